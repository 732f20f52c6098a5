//! The cmdlets of network virtualization: New-, Set-, Get- and Remove- of the four tables.

use super::Evaluator;
use super::arguments::{Bound, Parameter, aliased, value};
use super::expressions::unknown;
use super::fields::{matches, several, single};
use super::value::{Item, Value};
use crate::import::findings::{Noted, Result};
use crate::import::script::Command;
use crate::import::tables::{
    Cell, Clash, Field, FieldValue, Fields, HostIndex, RecordType, Role, RowId, TableName,
};
use crate::policy_file::{Diagnostic, Span};

/// What a cmdlet does with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    New,
    Set,
    Get,
    Remove,
}

impl Verb {
    pub(super) const ALL: [(&'static str, Self); 4] = [
        ("New", Self::New),
        ("Set", Self::Set),
        ("Get", Self::Get),
        ("Remove", Self::Remove),
    ];

    fn takes(self, field: &Field) -> bool {
        self != Self::New || field.role != Role::Observed
    }

    /// Whether a field picks entries.
    fn filters(self, field: &Field) -> bool {
        match self {
            Self::New => false,
            Self::Set => !field.role.can_be_changed() && field.role != Role::OptionalFixed,
            Self::Get | Self::Remove => true,
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn table_command(
        &mut self,
        verb: Verb,
        table: TableName,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let fields = table.fields().iter().filter(|field| verb.takes(field));
        let mut parameters: Vec<Parameter> = fields.map(|field| value(field.name)).collect();
        parameters.push(aliased("CimSession", "Session"));
        if matches!(verb, Verb::Set | Verb::Remove) {
            parameters.push(value("InputObject"));
        }
        let bound = self.bind(command, &parameters, &[]);
        // All values are looked at, so that all that is wrong is found.
        let hosts = self.hosts(&bound);
        let given = self.given_fields(table, &bound, |_| verb == Verb::New);
        let (bound, hosts, given) = (bound.whole()?, hosts?, given?);
        if self.only_asks(&bound) {
            return Ok(Vec::new());
        }
        let mut rows = match verb {
            Verb::New => self.add(table, &bound, given, &hosts)?,
            _ => self.picked(verb, table, &bound, &hosts, input)?,
        };
        match verb {
            Verb::New | Verb::Get => {}
            Verb::Set => self.change(table, &bound, &rows)?,
            Verb::Remove => rows.iter().for_each(|row| self.state.remove(row)),
        }
        if verb == Verb::Remove || (verb == Verb::Set && !bound.is_set("PassThru")) {
            rows.clear();
        }
        let items = rows
            .into_iter()
            .map(|row| Item::new(Value::Row(row.into()), &bound.span));
        Ok(items.collect())
    }

    /// Whether the command is not to change anything.
    pub(super) fn only_asks(&self, bound: &Bound) -> bool {
        let asks = bound.is_set("WhatIf");
        if asks {
            let message = format!("{} changes nothing with -WhatIf", bound.name.text);
            self.findings.note(Diagnostic::note(&bound.span, message));
        }
        asks
    }

    fn add(
        &mut self,
        table: TableName,
        bound: &Bound,
        fields: Fields,
        hosts: &[HostIndex],
    ) -> Result<Vec<RowId>> {
        let missing = table
            .fields()
            .iter()
            .filter(|field| field.role.must_be_given() && bound.get(field.name).is_none());
        let missing: Vec<_> = missing.map(|field| format!("-{}", field.name)).collect();
        if !missing.is_empty() {
            let message = format!("this {} lacks {}", table.entry(), missing.join(", "));
            return self.findings.refuse(
                Diagnostic::error(&bound.span, message)
                    .remedy("add what is missing, with its value"),
            );
        }
        let fields = with_defaults(table, fields, &bound.span);
        self.check(table, &fields)?;
        let mut added = Vec::new();
        for host in hosts {
            match self.state.add(table, *host, fields.clone(), &bound.span) {
                Ok(row) => added.push(row),
                Err(clash) => self.note_clash(table, *host, &fields, &clash, &bound.span),
            }
        }
        if added.len() == hosts.len() {
            Ok(added)
        } else {
            Err(Noted)
        }
    }

    /// The fields that the command gives, of those that are `wanted`.
    fn given_fields(
        &self,
        table: TableName,
        bound: &Bound,
        wanted: impl Fn(&Field) -> bool,
    ) -> Result<Fields> {
        let fields = table.fields().iter().filter(|field| wanted(field));
        let given = fields.filter_map(|field| Some((field, bound.get(field.name)?)));
        // All are converted, so that all that is wrong is found.
        let cells: Vec<_> = given
            .map(|(field, argument)| Ok((field.name, single(argument, field.kind, self.findings)?)))
            .collect();
        cells.into_iter().collect()
    }

    fn note_clash(
        &self,
        table: TableName,
        host: HostIndex,
        fields: &Fields,
        clash: &Clash,
        command: &Span,
    ) {
        let said = |cell: Option<&Cell>| {
            cell.map_or_else(|| "not given".to_owned(), |cell| cell.value.to_string())
        };
        let (first, second) = (clash.first.as_ref(), fields.get(clash.field));
        let message = format!(
            "{} has this {} already, with another {}: {}, here {}",
            self.state.host_entry(host),
            table.entry(),
            clash.field,
            said(first),
            said(second)
        );
        let place = second.map_or(command, |cell| &cell.origin);
        let before = first.map_or(&clash.place, |cell| &cell.origin);
        let finding = Diagnostic::error(place, message).remedy(format!(
            "change it with Set-NetVirtualization{}, or remove one of the two commands",
            table.noun()
        ));
        self.findings.note(if place == before {
            finding
        } else {
            finding.there(before, "the first is here")
        });
    }

    /// The entries that come through the pipeline, in -InputObject, or that the filters pick.
    fn picked(
        &mut self,
        verb: Verb,
        table: TableName,
        bound: &Bound,
        hosts: &[HostIndex],
        input: Option<Vec<Item>>,
    ) -> Result<Vec<RowId>> {
        let objects = bound
            .get("InputObject")
            .map(|argument| argument.item.items().to_vec());
        if let Some(items) = objects.or(input) {
            return self.rows_among(items, table, &bound.span);
        }
        let filters = self.filters(verb, table, bound)?;
        let mut picked = Vec::new();
        for host in hosts {
            let rows: Vec<_> = self.state.rows_of(table, *host).collect();
            let matching = rows.iter().filter(|(_, row)| {
                filters.iter().all(|(field, wanted)| {
                    let cell = row.cell(field.name).map(|cell| &cell.value);
                    cell.is_some_and(|value| wanted.iter().any(|wanted| matches(value, wanted)))
                })
            });
            picked.extend(matching.map(|(id, _)| (*id).clone()));
            let looked_at = rows.len();
            self.charge(looked_at / 8, &bound.span)?;
        }
        if picked.is_empty() {
            self.note_nothing(verb, table, bound, !filters.is_empty())?;
        }
        Ok(picked)
    }

    fn filters(
        &self,
        verb: Verb,
        table: TableName,
        bound: &Bound,
    ) -> Result<Vec<(&'static Field, Vec<FieldValue>)>> {
        let mut filters = Vec::new();
        for field in table.fields().iter().filter(|field| verb.filters(field)) {
            let Some(argument) = bound.get(field.name) else {
                continue;
            };
            if field.role == Role::Observed {
                let message = format!("-{} is known only to a running host", field.name);
                return self.findings.refuse(
                    Diagnostic::error(&argument.span, message)
                        .remedy("pick the entries by what the script has given them"),
                );
            }
            filters.push((field, several(argument, field.kind, self.findings)?));
        }
        Ok(filters)
    }

    fn rows_among(&self, items: Vec<Item>, table: TableName, span: &Span) -> Result<Vec<RowId>> {
        let mut rows = Vec::new();
        for item in items.iter().flat_map(Item::items) {
            match &item.value {
                Value::Row(row) if row.table == table => rows.push((**row).clone()),
                other => {
                    let message = format!(
                        "a {} is wanted here, and this is {}",
                        table.entry(),
                        other.kind()
                    );
                    return self
                        .findings
                        .refuse(Diagnostic::error(span, message).remedy(format!(
                            "hand on what Get-NetVirtualization{} yields",
                            table.noun()
                        )));
                }
            }
        }
        Ok(rows)
    }

    /// Changing what is not there is an error; not finding what was to be removed is mostly as it should be.
    fn note_nothing(
        &self,
        verb: Verb,
        table: TableName,
        bound: &Bound,
        is_filtered: bool,
    ) -> Result<()> {
        let message = format!("no {} that the script has made matches this", table.entry());
        let silent = bound
            .get("ErrorAction")
            .and_then(|argument| argument.item.value.text());
        let silent = silent.is_some_and(|text| {
            ["silentlycontinue", "ignore", "0", "4"].contains(&&*text.to_lowercase())
        });
        match verb {
            Verb::Set => self
                .findings
                .refuse(Diagnostic::error(&bound.span, message).remedy(format!(
                    "put the New-NetVirtualization{} before it, into the same script",
                    table.noun()
                ))),
            Verb::Remove if is_filtered && !silent => {
                self.findings.note(
                    Diagnostic::warning(&bound.span, message + ": nothing is removed")
                        .remedy("see that the filters are right"),
                );
                Ok(())
            }
            Verb::Remove | Verb::Get | Verb::New => Ok(()),
        }
    }

    fn change(&mut self, table: TableName, bound: &Bound, picked: &[RowId]) -> Result<()> {
        let changes = self.given_fields(table, bound, |field| field.role.can_be_changed())?;
        for id in picked {
            let Some(row) = self.state.row(id) else {
                continue;
            };
            let mut changed = row.fields.clone();
            changed.extend(changes.clone());
            self.check(table, &changed)?;
            self.state.change(id, &changes);
        }
        Ok(())
    }

    pub(super) fn member_of_row(&self, id: &RowId, name: &str) -> Option<Value> {
        let row = self.state.row(id)?;
        let field = id
            .table
            .fields()
            .iter()
            .find(|field| field.name.to_lowercase() == name)?;
        let cell = row.cell(field.name)?;
        Some(match &cell.value {
            FieldValue::Flag(flag) => Value::Flag(*flag),
            FieldValue::Number(number) => Value::Number(i64::from(*number)),
            FieldValue::Interface(None) => unknown("InterfaceIndex"),
            other => Value::Text(other.to_string().into()),
        })
    }
}

/// What a host takes for a field that is not given.
fn with_defaults(table: TableName, mut fields: Fields, place: &Span) -> Fields {
    if table == TableName::LookupRecords {
        let defaults = [
            ("Type", FieldValue::RecordType(RecordType::Static)),
            ("UseVmMACAddress", FieldValue::Flag(false)),
        ];
        for (name, value) in defaults {
            let origin = place.clone();
            fields.entry(name).or_insert(Cell { value, origin });
        }
    }
    fields
}

//! Picking from a pipeline, and repeating a block for what comes through it.

use std::rc::Rc;

use super::Evaluator;
use super::arguments::{self, Bound, value};
use super::fields::{is_same, mac as mac_address};
use super::value::{Adapter, Item, Value, Yielded};
use crate::import::findings::Result;
use crate::import::script::{
    Argument, Block, Command, Element, Expression, ExpressionKind, Name, Pipeline, Statement, Step,
};
use crate::import::tables::{Cell, RowId};
use crate::policy_file::{Diagnostic, suggestion};

/// `property -eq value`
struct Condition<'c> {
    property: Name,
    value: Item,
    written: &'c Expression,
}

impl Evaluator<'_> {
    pub(super) fn foreach_object(
        &mut self,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let bound = self
            .bind(command, &[value("Process")], &["Process"])
            .whole()?;
        let block = self.block_of(&bound, "Process")?;
        let item = Name {
            text: "_".to_owned(),
            span: command.name.span.clone(),
        };
        let outer = self.scopes.last().and_then(|scope| scope.get("_").cloned());
        let mut yielded = Yielded::default();
        for value in input.unwrap_or_default() {
            self.charge(1, &command.name.span)?;
            self.note_unknown(&value, &command.name.span);
            self.assign(&item, Ok(value));
            yielded.add(self.call(&block, &command.name.span));
        }
        if let Some(scope) = self.scopes.last_mut() {
            match outer {
                Some(outer) => scope.insert(item.text, outer),
                None => scope.remove("_"),
            };
        }
        yielded.all()
    }

    pub(super) fn block_of(&self, bound: &Bound, parameter: &'static str) -> Result<Rc<Block>> {
        let Some(argument) = bound.get(parameter) else {
            let message = format!("{} has no block of commands", bound.name.text);
            return self.findings.refuse(
                Diagnostic::error(&bound.span, message).remedy("write it in braces: `{ … }`"),
            );
        };
        match &argument.item.value {
            Value::Block(block) => Ok(Rc::clone(block)),
            other => {
                let message = format!(
                    "a block of commands is wanted here, and this is {}",
                    other.kind()
                );
                self.findings.refuse(
                    Diagnostic::error(&argument.span, message)
                        .remedy("write it in braces: `{ … }`"),
                )
            }
        }
    }

    pub(super) fn where_object(
        &mut self,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let conditions = self.conditions(command)?;
        let mut items = input.unwrap_or_default();
        for condition in &conditions {
            self.charge(items.len(), &command.name.span)?;
            let picked = items.into_iter().map(|item| self.pick(item, condition));
            items = picked
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect();
        }
        Ok(items)
    }

    /// Reads `{ $_.A -eq a -and $_.B -eq b }`, or `A -eq a` without a block.
    fn conditions<'c>(&mut self, command: &'c Command) -> Result<Vec<Condition<'c>>> {
        let refused = || {
            Diagnostic::error(&command.name.span, "this condition is not evaluated").remedy(
                "write `{ $_.MacAddress -eq \"060600000005\" }`, or several of these with -and",
            )
        };
        let pairs = match &command.arguments[..] {
            [Argument::Value(block)] => equalities(block),
            [
                Argument::Value(property),
                Argument::Parameter(operator, None),
                Argument::Value(value),
            ] if operator.text.eq_ignore_ascii_case("eq") => {
                word(property).map(|property| vec![(property, value)])
            }
            _ => None,
        };
        let Some(pairs) = pairs else {
            return self.findings.refuse(refused());
        };
        let conditions = pairs.into_iter().map(|(property, written)| {
            let value = self.expression(written)?;
            Ok(Condition {
                property,
                value,
                written,
            })
        });
        conditions.collect()
    }

    /// The item, if the condition holds. Of an adapter that is not known so far, the condition makes it known.
    fn pick(&self, item: Item, condition: &Condition<'_>) -> Result<Option<Item>> {
        let Condition {
            property, value, ..
        } = condition;
        let holds = match &item.value {
            Value::Unknown(_) => true,
            Value::Table(table) => {
                let found = table
                    .get(&property.text)
                    .and_then(|found| found.value.text());
                same_text(found, value)
            }
            Value::Row(row) => self.row_has(row, property, value)?,
            Value::Adapter(adapter) => {
                let narrowed = self.narrowed(adapter, condition)?;
                return Ok(narrowed
                    .map(|adapter| Item::new(Value::Adapter(Rc::new(adapter)), &item.origin)));
            }
            other => {
                let message = format!("{} has no property {}", other.kind(), property.text);
                return self.findings.refuse(
                    Diagnostic::error(&property.span, message).remedy("remove the condition"),
                );
            }
        };
        Ok(holds.then_some(item))
    }

    fn row_has(&self, row: &RowId, property: &Name, value: &Item) -> Result<bool> {
        let fields = row.table.fields();
        let field = fields
            .iter()
            .find(|field| field.name.to_lowercase() == property.text);
        let Some(field) = field else {
            let message = format!("a {} has no property {}", row.table.entry(), property.text);
            let remedy = suggestion(&property.text, fields.iter().map(|field| field.name));
            return self
                .findings
                .refuse(Diagnostic::error(&property.span, message).remedy(remedy));
        };
        let cell = self.state.row(row).and_then(|row| row.cell(field.name));
        let same = |cell: &Cell| is_same(&value.value, &cell.value, field.kind);
        Ok(cell.and_then(same).unwrap_or(false))
    }

    fn narrowed(&self, adapter: &Adapter, condition: &Condition<'_>) -> Result<Option<Adapter>> {
        let Condition {
            property,
            value,
            written,
        } = condition;
        let mut narrowed = adapter.clone();
        let holds = match property.text.as_str() {
            "macaddress" => {
                let argument = arguments::Argument {
                    item: value.clone(),
                    span: written.span.clone(),
                };
                let wanted = mac_address(&argument, self.findings)?;
                let known = narrowed.mac.get_or_insert((wanted, value.origin.clone()));
                known.0 == wanted
            }
            "name" => {
                let wanted = self.text_of(value, &written.span)?;
                let known = narrowed.name.get_or_insert(wanted.clone());
                known.eq_ignore_ascii_case(&wanted)
            }
            "vmname" => same_text(adapter.machine.value.text(), value),
            other => {
                let message = format!("import does not know the {other} of an adapter");
                return self.findings.refuse(
                    Diagnostic::error(&property.span, message)
                        .remedy("pick adapters by VMName, Name or MacAddress"),
                );
            }
        };
        Ok(holds.then_some(narrowed))
    }
}

fn same_text(found: Option<Rc<str>>, value: &Item) -> bool {
    let pair = found.zip(value.value.text());
    pair.is_some_and(|(found, wanted)| found.to_lowercase() == wanted.to_lowercase())
}

/// A bare word.
fn word(expression: &Expression) -> Option<Name> {
    match &expression.kind {
        ExpressionKind::Text(text) => Some(Name {
            text: text.to_lowercase(),
            span: expression.span.clone(),
        }),
        _ => None,
    }
}

/// The equalities that a block joins with `-and`.
fn equalities(block: &Expression) -> Option<Vec<(Name, &Expression)>> {
    let ExpressionKind::Block(block) = &block.kind else {
        return None;
    };
    let [Statement::Pipeline(Pipeline { elements })] = &block.statements[..] else {
        return None;
    };
    let [
        Element::Expression(Expression {
            kind: ExpressionKind::Operation(first, rest),
            ..
        }),
    ] = &elements[..]
    else {
        return None;
    };
    let mut pairs = Vec::new();
    let mut property = Some(&**first);
    for (operator, operand) in rest {
        match (operator.text.as_str(), property.take()) {
            ("-eq", Some(left)) => pairs.push((property_of_item(left)?, operand)),
            ("-and", None) => property = Some(operand),
            _ => return None,
        }
    }
    property.is_none().then_some(pairs)
}

/// `$_.property`
fn property_of_item(expression: &Expression) -> Option<Name> {
    let ExpressionKind::Steps(item, steps) = &expression.kind else {
        return None;
    };
    match (&item.kind, &steps[..]) {
        (ExpressionKind::Variable(item), [Step::Member(property)]) if item.text == "_" => {
            Some(property.clone())
        }
        _ => None,
    }
}

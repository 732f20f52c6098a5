//! Reads TOML tables key by key, noting every refusal with its place.
//!
//! serde would stop at the first error; an operator wants to see all of them.

use std::cell::Cell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Log, Span, suggestion};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<T> Located<T> {
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            value: convert(self.value),
            span: self.span,
        }
    }
}

/// Why a TOML value is refused.
pub(super) enum Refusal {
    /// It is of another TOML type than expected.
    Type,
    /// It is of the right type, but means nothing here.
    Value(String),
}

/// A value that can be written in a policy file.
pub(super) trait FromToml: Sized {
    /// What must be written, as `expected …` goes on.
    const EXPECTED: &'static str;

    fn from_toml(value: &DeValue<'_>) -> Result<Self, Refusal>;
}

/// A table being read: it knows which keys were asked for, so that the others can be refused.
pub(super) struct TableReader<'t> {
    table: &'t DeTable<'t>,
    kind: &'static str,
    span: Span,
    known: Vec<&'static str>,
    broken: Cell<bool>,
    log: &'t Log,
}

impl<'t> TableReader<'t> {
    pub(super) fn new(
        table: &'t DeTable<'t>,
        kind: &'static str,
        span: Span,
        log: &'t Log,
    ) -> Self {
        Self {
            table,
            kind,
            span,
            known: Vec::new(),
            broken: Cell::new(false),
            log,
        }
    }

    /// The table's header, or its braces.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether a value was refused or missing: then nothing should be concluded from the rest.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// The value of `key`, if there is a good one.
    pub(super) fn optional<T: FromToml>(&mut self, key: &'static str) -> Option<Located<T>> {
        let value = self.value(key)?;
        self.convert(value)
    }

    /// The value of `key`; that there is none is noted.
    pub(super) fn required<T: FromToml>(&mut self, key: &'static str) -> Option<Located<T>> {
        match self.value(key) {
            Some(value) => self.convert(value),
            None => {
                self.note_missing(key, T::EXPECTED);
                None
            }
        }
    }

    /// The good elements of the list `key` and the span of the whole list.
    pub(super) fn list<T: FromToml>(
        &mut self,
        key: &'static str,
    ) -> Option<Located<Vec<Located<T>>>> {
        let value = self.value(key)?;
        let Some(elements) = value.get_ref().as_array() else {
            self.note_type(value, &list_of(T::EXPECTED));
            return None;
        };
        Some(Located {
            value: elements.iter().filter_map(|e| self.convert(e)).collect(),
            span: value.span(),
        })
    }

    /// The good elements of the list `key`; that there is none is noted.
    pub(super) fn required_list<T: FromToml>(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<Located<T>>> {
        let value = self.table.get(key);
        if value.is_none() {
            self.note_missing(key, &list_of(T::EXPECTED));
        }
        let list = self.list(key)?;
        if let Some([]) = value
            .and_then(|value| value.get_ref().as_array())
            .map(|list| &list[..])
        {
            let message = format!("`{key}` of this {} is empty", self.kind);
            self.refuse(
                Diagnostic::error(&list.span, message).remedy(format!("add {}", T::EXPECTED)),
            );
        }
        Some(list.value)
    }

    /// The table `key`, a `kind`, if there is one.
    pub(super) fn table(
        &mut self,
        key: &'static str,
        kind: &'static str,
    ) -> Option<TableReader<'t>> {
        let value = self.value(key)?;
        self.enter(value, kind, &format!("a table, begun by [{key}]"))
    }

    /// The table `key`; that there is none is noted, and what was `expected`.
    pub(super) fn required_table(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Option<TableReader<'t>> {
        match self.value(key) {
            Some(value) => self.enter(value, key, expected),
            None => {
                self.note_missing(key, expected);
                None
            }
        }
    }

    /// The tables of the list `key`, each a `kind`; none if it is not there.
    pub(super) fn tables(&mut self, key: &'static str, kind: &'static str) -> Vec<TableReader<'t>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        match value.get_ref().as_array() {
            Some(elements) => elements
                .iter()
                .filter_map(|e| self.enter(e, kind, "a table"))
                .collect(),
            None => {
                self.note_type(value, &format!("a list of tables, each begun by [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.table.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let message = format!("`{}` is not a key of this {}", key.get_ref(), self.kind);
                let remedy = suggestion(key.get_ref(), self.known.iter().copied());
                self.log
                    .note(Diagnostic::error(&key.span(), message).remedy(remedy));
            }
        }
    }

    fn enter(
        &self,
        value: &'t Spanned<DeValue<'t>>,
        kind: &'static str,
        expected: &str,
    ) -> Option<TableReader<'t>> {
        match value.get_ref().as_table() {
            Some(table) => Some(TableReader::new(table, kind, value.span(), self.log)),
            None => {
                self.note_type(value, expected);
                None
            }
        }
    }

    fn convert<T: FromToml>(&self, value: &Spanned<DeValue<'_>>) -> Option<Located<T>> {
        match T::from_toml(value.get_ref()) {
            Ok(good) => Some(Located {
                value: good,
                span: value.span(),
            }),
            Err(Refusal::Type) => {
                self.note_type(value, T::EXPECTED);
                None
            }
            Err(Refusal::Value(message)) => {
                self.refuse(Diagnostic::error(&value.span(), message));
                None
            }
        }
    }

    fn note_type(&self, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = value.get_ref().type_str();
        let article = if matches!(found, "integer" | "array") {
            "an"
        } else {
            "a"
        };
        let message = format!("expected {expected}, found {article} {found}");
        self.refuse(Diagnostic::error(&value.span(), message));
    }

    fn note_missing(&self, key: &str, expected: &str) {
        let message = format!("this {} lacks `{key}`", self.kind);
        let remedy = format!("add `{key} = …`: {expected}");
        self.refuse(Diagnostic::error(&self.span, message).remedy(remedy));
    }

    fn refuse(&self, diagnostic: Diagnostic) {
        self.broken.set(true);
        self.log.note(diagnostic);
    }
}

fn list_of(element: &str) -> String {
    format!("a list, each element {element}")
}

//! The values of expressions.

use std::rc::Rc;

use super::Evaluator;
use super::value::{Item, Table, Value};
use crate::import::findings::{Noted, Result};
use crate::import::script::{Expression, ExpressionKind, Name, Piece, Step};
use crate::policy_file::{Diagnostic, Span, suggestion};

/// The longest text that a script may put together, in bytes.
const LONGEST_TEXT: usize = 65_536;

impl Evaluator<'_> {
    pub(super) fn expression(&mut self, expression: &Expression) -> Result<Item> {
        let span = &expression.span;
        self.charge(1, span)?;
        let value = match &expression.kind {
            ExpressionKind::Text(text) => Value::Text(text.clone()),
            ExpressionKind::Number(number) => Value::Number(*number),
            ExpressionKind::Block(block) => Value::Block(block.clone()),
            ExpressionKind::Variable(name) => return self.variable(name),
            ExpressionKind::Expandable(pieces) => return self.expanded(pieces, span),
            ExpressionKind::Steps(first, steps) => {
                let mut item = self.expression(first)?;
                for step in steps {
                    item = self.step(&item, step)?;
                }
                return Ok(item);
            }
            ExpressionKind::List(items) => {
                // All are evaluated, so that all that is wrong is found.
                let items: Vec<_> = items.iter().map(|item| self.expression(item)).collect();
                return self.array(items.into_iter().collect::<Result<_>>()?, span);
            }
            ExpressionKind::Array(block) => {
                let items = self.block(block)?;
                return self.array(items, span);
            }
            ExpressionKind::Table(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| {
                        let key = self.text(key);
                        let value = self.pipeline_value(value, span);
                        Ok((key?, value?))
                    })
                    .collect();
                let table = Value::table(entries.into_iter().collect::<Result<_>>()?);
                return self.not_too_deep(table, span);
            }
            ExpressionKind::Group(pipeline) => return self.pipeline_value(pipeline, span),
            ExpressionKind::Subexpression(block) => {
                let mut items = self.block(block)?;
                return match items.len() {
                    0 => Ok(Item::new(Value::Null, span)),
                    1 => Ok(items.swap_remove(0)),
                    _ => self.array(items, span),
                };
            }
            ExpressionKind::Operation(_, rest) => return self.refuse_operation(rest),
        };
        Ok(Item::new(value, span))
    }

    /// Refuses an operation: each of its operators once.
    fn refuse_operation<T>(&self, rest: &[(Name, Expression)]) -> Result<T> {
        let mut told = Vec::new();
        for (operator, _) in rest {
            let sign = operator.text.as_str();
            if told.contains(&sign) {
                continue;
            }
            told.push(sign);
            let remedy = match sign {
                "+" => "put texts together in quotes, as in \"10.0.0.$n\", and lists with commas",
                ".." => "write the numbers out, with commas",
                _ => "write down the value that results",
            };
            let message = format!("the operator `{sign}` is not evaluated");
            self.findings
                .note(Diagnostic::error(&operator.span, message).remedy(remedy));
        }
        Err(Noted)
    }

    pub(super) fn array(&mut self, items: Vec<Item>, span: &Span) -> Result<Item> {
        self.charge(items.len(), span)?;
        self.not_too_deep(Value::array(items), span)
    }

    fn not_too_deep(&self, value: Option<Value>, span: &Span) -> Result<Item> {
        match value {
            Some(value) => Ok(Item::new(value, span)),
            None => self.findings.refuse(
                Diagnostic::error(span, "lists lie in lists too deep to be followed")
                    .remedy("write the list out"),
            ),
        }
    }

    pub(super) fn variable(&mut self, name: &Name) -> Result<Item> {
        let constant = match name.text.as_str() {
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            "null" => Some(Value::Null),
            text if text.starts_with("env:") => Some(Value::Unknown(format!("${text}").into())),
            _ => None,
        };
        if let Some(value) = constant {
            return Ok(Item::new(value, &name.span));
        }
        let (scope, key) = match name.text.strip_prefix("using:") {
            Some(key) => (self.scopes.iter().rev().nth(1), key),
            None => (self.scopes.last(), name.text.as_str()),
        };
        match scope.and_then(|scope| scope.get(key)) {
            Some(value) => value.clone(),
            None => self.refuse_variable(name, key),
        }
    }

    fn refuse_variable(&self, name: &Name, key: &str) -> Result<Item> {
        let sent_along = self.scopes.len() > 1 && !name.text.starts_with("using:");
        let outside = sent_along && self.scopes.iter().any(|scope| scope.contains_key(key));
        let message = format!("`${}` has no value here", name.text);
        let remedy = if outside {
            format!("write `$using:{key}`: the block runs on another machine")
        } else {
            let names = self.scopes.last().into_iter().flatten();
            let known = names.map(|(name, _)| name.as_str());
            let near = suggestion(key, known.filter(|name| *name != "_"));
            match near.starts_with("did you mean") {
                true => near,
                false => format!("give it one before: `${key} = …`"),
            }
        };
        self.findings
            .refuse(Diagnostic::error(&name.span, message).remedy(remedy))
    }

    /// The value of an expression as text.
    pub(super) fn text(&mut self, expression: &Expression) -> Result<Rc<str>> {
        let item = self.expression(expression)?;
        self.text_of(&item, &expression.span)
    }

    pub(super) fn text_of(&self, item: &Item, span: &Span) -> Result<Rc<str>> {
        if let Some(text) = item.value.text() {
            return Ok(text);
        }
        let message = match &item.value {
            Value::Unknown(what) => {
                format!("`{what}` is known only to the machine that runs the script")
            }
            other => format!("text is wanted here, and this is {}", other.kind()),
        };
        self.findings
            .refuse(Diagnostic::error(span, message).remedy("write down the text itself"))
    }

    fn expanded(&mut self, pieces: &[Piece], span: &Span) -> Result<Item> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text += piece,
                Piece::Value(value) => {
                    let item = self.expression(value)?;
                    if let Value::Unknown(_) = item.value {
                        return Ok(item);
                    }
                    text += &self.text_of(&item, &value.span)?;
                }
            }
            self.charge(text.len() / 64, span)?;
            if text.len() > LONGEST_TEXT {
                return self.findings.refuse(
                    Diagnostic::error(span, "this text grows too long to be followed")
                        .remedy("write down what the script needs of it"),
                );
            }
        }
        Ok(Item::new(Value::Text(text.into()), span))
    }

    fn step(&mut self, item: &Item, step: &Step) -> Result<Item> {
        match step {
            Step::Member(name) => self.member(item, &name.text, &name.span),
            Step::NamedBy(expression) => {
                let name = self.text(expression)?;
                self.member(item, &name.to_lowercase(), &expression.span)
            }
            Step::Call(name) => self.called(item, name),
            Step::Index(index) => {
                let span = &index.span;
                let index = self.expression(index)?;
                self.element(item, &index, span)
            }
        }
    }

    fn member(&mut self, item: &Item, name: &str, span: &Span) -> Result<Item> {
        let counted = matches!(name, "count" | "length");
        let value = match &item.value {
            Value::Table(table) => match (table.get(name), name) {
                (Some(value), _) => return Ok(value.clone()),
                (None, "count") => number(table.entries.len()),
                (None, "keys") => {
                    let keys = table.entries.iter();
                    let keys =
                        keys.map(|(key, item)| Item::new(Value::Text(key.clone()), &item.origin));
                    return self.array(keys.collect(), span);
                }
                (None, "values") => {
                    let values = table.entries.iter().map(|(_, item)| item.clone());
                    return self.array(values.collect(), span);
                }
                (None, _) => return self.refuse_key(table, name, span),
            },
            Value::Array(array) if counted => number(array.items.len()),
            Value::Text(text) if name == "length" => number(text.chars().count()),
            Value::Text(_) | Value::Number(_) if counted => number(1),
            Value::Unknown(what) => unknown(&format!("{what}.{name}")),
            Value::Adapter(adapter) => self.member_of_adapter(adapter, name),
            Value::Row(row) => match self.member_of_row(row, name) {
                Some(value) => value,
                None => unknown(&format!("$_.{name}")),
            },
            Value::Session(host) => match &self.state.host_entry(*host).name {
                Some(host) if name == "computername" => Value::Text(host.as_str().into()),
                _ => unknown(&format!("session.{name}")),
            },
            other => {
                let message = format!("{} has no `{name}` here", other.kind());
                return self.findings.refuse(
                    Diagnostic::error(span, message).remedy("write down the value itself"),
                );
            }
        };
        Ok(Item::new(value, span))
    }

    fn refuse_key<T>(&self, table: &Table, name: &str, span: &Span) -> Result<T> {
        let message = format!("the hashtable has no entry `{name}`");
        let keys = table.entries.iter().map(|(key, _)| &**key);
        self.findings
            .refuse(Diagnostic::error(span, message).remedy(suggestion(name, keys)))
    }

    fn called(&mut self, item: &Item, name: &Name) -> Result<Item> {
        match (&item.value, name.text.as_str()) {
            (Value::Table(table), "getenumerator") => {
                let entry = |(key, value): &(Rc<str>, Item)| {
                    let key = Item::new(Value::Text(key.clone()), &value.origin);
                    let members = vec![
                        ("Key".into(), key.clone()),
                        ("Name".into(), key),
                        ("Value".into(), value.clone()),
                    ];
                    self.not_too_deep(Value::table(members), &value.origin)
                };
                let entries = table.entries.iter().map(entry).collect::<Result<_>>()?;
                self.array(entries, &name.span)
            }
            (value, "tostring") if value.text().is_some() => {
                let text = self.text_of(item, &name.span)?;
                Ok(Item::new(Value::Text(text), &item.origin))
            }
            (value, method) => {
                let message = format!("`{method}()` of {} is not evaluated", value.kind());
                self.findings.refuse(
                    Diagnostic::error(&name.span, message)
                        .remedy("write down the value that results"),
                )
            }
        }
    }

    fn element(&mut self, item: &Item, index: &Item, span: &Span) -> Result<Item> {
        match (&item.value, &index.value) {
            (Value::Array(array), Value::Number(number)) => {
                let position = usize::try_from(*number).ok();
                match position.and_then(|position| array.items.get(position)) {
                    Some(item) => Ok(item.clone()),
                    None => {
                        let length = array.items.len();
                        let message = format!("there is no element {number} in a list of {length}");
                        self.findings.refuse(
                            Diagnostic::error(span, message).remedy("elements are counted from 0"),
                        )
                    }
                }
            }
            (Value::Table(table), _) => {
                let key = self.text_of(index, span)?;
                match table.get(&key) {
                    Some(item) => Ok(item.clone()),
                    None => self.refuse_key(table, &key, span),
                }
            }
            (Value::Unknown(what), _) => Ok(Item::new(unknown(&format!("{what}[…]")), span)),
            (other, _) => {
                let message = format!("{} has no elements that could be picked so", other.kind());
                self.findings.refuse(
                    Diagnostic::error(span, message)
                        .remedy("pick from a list by number, from a hashtable by key"),
                )
            }
        }
    }
}

fn number(count: usize) -> Value {
    Value::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A value that only the machine knows that runs the script; `what` is cut where it grows too long.
pub(super) fn unknown(what: &str) -> Value {
    Value::Unknown(what.chars().take(80).collect::<String>().into())
}

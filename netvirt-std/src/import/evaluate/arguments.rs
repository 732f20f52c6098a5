//! Which argument of a command is which parameter's value.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Evaluator;
use super::value::{Item, Value};
use crate::import::findings::{Noted, Result};
use crate::import::script::{Argument as Written, Command, Expression, Name};
use crate::policy_file::{Diagnostic, Span, suggestion};

/// A parameter of a command.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    /// Another name, or the same.
    alias: &'static str,
    /// Whether it stands alone.
    switch: bool,
}

pub const fn value(name: &'static str) -> Parameter {
    aliased(name, name)
}

pub const fn aliased(name: &'static str, alias: &'static str) -> Parameter {
    Parameter {
        name,
        alias,
        switch: false,
    }
}

pub const fn switch(name: &'static str) -> Parameter {
    Parameter {
        name,
        alias: name,
        switch: true,
    }
}

/// What every command takes.
const COMMON: [Parameter; 16] = [
    Parameter {
        name: "Verbose",
        alias: "vb",
        switch: true,
    },
    Parameter {
        name: "Debug",
        alias: "db",
        switch: true,
    },
    Parameter {
        name: "WhatIf",
        alias: "wi",
        switch: true,
    },
    Parameter {
        name: "Confirm",
        alias: "cf",
        switch: true,
    },
    switch("AsJob"),
    switch("PassThru"),
    aliased("ErrorAction", "ea"),
    aliased("ErrorVariable", "ev"),
    aliased("WarningAction", "wa"),
    aliased("WarningVariable", "wv"),
    aliased("InformationAction", "infa"),
    aliased("InformationVariable", "iv"),
    aliased("OutVariable", "ov"),
    aliased("OutBuffer", "ob"),
    aliased("PipelineVariable", "pv"),
    value("ThrottleLimit"),
];

/// A value, and where a command takes it.
#[derive(Debug, Clone)]
pub struct Argument {
    pub item: Item,
    pub span: Span,
}

impl Argument {
    /// Adds the place where the value was written to what is said about it, if that is another.
    pub fn with_origin(&self, item: &Item, finding: Diagnostic) -> Diagnostic {
        let origin = &item.origin;
        if self.span.start <= origin.start && origin.end <= self.span.end {
            finding
        } else {
            finding.there(origin, "the value is written here")
        }
    }
}

/// The arguments of a command, by parameter.
#[derive(Debug)]
pub struct Bound {
    values: BTreeMap<&'static str, Argument>,
    /// Whether nothing was wrong with any argument.
    complete: bool,
    /// The command's name.
    pub span: Span,
    pub name: Name,
}

impl Bound {
    /// These arguments, if nothing was wrong with any of them.
    pub fn whole(self) -> Result<Self> {
        if self.complete { Ok(self) } else { Err(Noted) }
    }

    pub fn get(&self, parameter: &str) -> Option<&Argument> {
        self.values.get(parameter)
    }

    /// Whether a switch is set.
    pub fn is_set(&self, parameter: &str) -> bool {
        let value = self.get(parameter).map(|argument| &argument.item.value);
        value.is_some_and(|value| !matches!(value, Value::Flag(false)))
    }
}

/// An argument; a value that could not be had has been noted.
enum Given {
    Parameter(Name, Option<Result<Argument>>),
    Value(Result<Argument>),
}

impl Evaluator<'_> {
    /// Binds the arguments of `command`. Values without a parameter go to those of `positional`, in their order.
    pub fn bind(
        &mut self,
        command: &Command,
        parameters: &[Parameter],
        positional: &[&'static str],
    ) -> Bound {
        let mut bound = Bound {
            values: BTreeMap::new(),
            complete: true,
            span: command.name.span.clone(),
            name: command.name.clone(),
        };
        let mut loose = Vec::new();
        let mut given = self.given(command).into_iter().peekable();
        while let Some(argument) = given.next() {
            let (name, joined) = match argument {
                Given::Parameter(name, joined) => (name, joined),
                Given::Value(value) => {
                    bound.complete &= value.is_ok();
                    loose.extend(value);
                    continue;
                }
            };
            let is_value = |next: &Given| matches!(next, Given::Value(_));
            let Ok(parameter) = self.parameter(&name, parameters, command) else {
                bound.complete = false;
                given.next_if(is_value);
                continue;
            };
            let value = match joined {
                Some(value) => Some(value),
                None if parameter.switch => Some(Ok(Argument {
                    item: Item::new(Value::Flag(true), &name.span),
                    span: name.span.clone(),
                })),
                None => match given.next_if(is_value) {
                    Some(Given::Value(value)) => Some(value),
                    _ => None,
                },
            };
            bound.complete &= self.put(&mut bound, parameter, &name, value).is_ok();
        }
        self.put_loose(&mut bound, loose, positional);
        bound
    }

    fn given(&mut self, command: &Command) -> Vec<Given> {
        let mut given = Vec::new();
        for written in &command.arguments {
            match written {
                Written::Parameter(name, joined) => {
                    let joined = joined.as_ref().map(|value| self.argument(value));
                    given.push(Given::Parameter(name.clone(), joined));
                }
                Written::Value(value) => given.push(Given::Value(self.argument(value))),
                Written::Splat(variable) => match self.splatted(variable) {
                    Ok(entries) => given.extend(entries),
                    Err(Noted) => given.push(Given::Value(Err(Noted))),
                },
            }
        }
        given
    }

    fn argument(&mut self, written: &Expression) -> Result<Argument> {
        let span = written.span.clone();
        Ok(Argument {
            item: self.expression(written)?,
            span,
        })
    }

    fn splatted(&mut self, variable: &Name) -> Result<Vec<Given>> {
        let item = self.variable(variable)?;
        let Value::Table(table) = &item.value else {
            let message = format!(
                "`@{}` must be a hashtable, and is {}",
                variable.text,
                item.value.kind()
            );
            return self.findings.refuse(
                Diagnostic::error(&variable.span, message)
                    .remedy("give the arguments as `@{ Parameter = value; … }`"),
            );
        };
        let table = Rc::clone(table);
        let entries = table.entries.iter().map(|(key, item)| {
            let name = Name {
                text: key.to_string(),
                span: variable.span.clone(),
            };
            let value = Argument {
                item: item.clone(),
                span: variable.span.clone(),
            };
            Given::Parameter(name, Some(Ok(value)))
        });
        Ok(entries.collect())
    }

    /// The parameter that `name` is, or is the beginning of.
    fn parameter(
        &self,
        name: &Name,
        parameters: &[Parameter],
        command: &Command,
    ) -> Result<Parameter> {
        let written = name.text.to_lowercase();
        let all = || parameters.iter().chain(&COMMON);
        let is = |known: &str| known.to_lowercase() == written;
        if let Some(exact) = all().find(|known| is(known.name) || is(known.alias)) {
            return Ok(*exact);
        }
        let begun: Vec<_> = all()
            .filter(|known| known.name.to_lowercase().starts_with(&written))
            .collect();
        match begun[..] {
            [only] => Ok(*only),
            [] => {
                let message = format!("{} has no parameter -{}", command.name.text, name.text);
                let remedy = suggestion(&name.text, parameters.iter().map(|known| known.name));
                self.findings
                    .refuse(Diagnostic::error(&name.span, message).remedy(remedy))
            }
            _ => {
                let names: Vec<String> = begun
                    .iter()
                    .map(|known| format!("-{}", known.name))
                    .collect();
                let message = format!("-{} could be {}", name.text, names.join(" or "));
                self.findings.refuse(
                    Diagnostic::error(&name.span, message)
                        .remedy("write the parameter's whole name"),
                )
            }
        }
    }

    fn put(
        &self,
        bound: &mut Bound,
        parameter: Parameter,
        name: &Name,
        value: Option<Result<Argument>>,
    ) -> Result<()> {
        let Some(value) = value else {
            let message = format!("-{} has no value", parameter.name);
            return self.findings.refuse(
                Diagnostic::error(&name.span, message)
                    .remedy("write its value behind it, on the same line"),
            );
        };
        if bound.values.insert(parameter.name, value?).is_some() {
            let message = format!("-{} is given twice", parameter.name);
            return self
                .findings
                .refuse(Diagnostic::error(&name.span, message).remedy("remove one of them"));
        }
        Ok(())
    }

    /// Gives values without a parameter to those of `positional` that have none.
    fn put_loose(&self, bound: &mut Bound, loose: Vec<Argument>, positional: &[&'static str]) {
        let mut free = positional.iter();
        for value in loose {
            match free.find(|name| !bound.values.contains_key(*name)) {
                Some(name) => {
                    bound.values.insert(name, value);
                }
                None => {
                    bound.complete = false;
                    let message = format!(
                        "{} takes no value without a parameter's name here",
                        bound.name.text
                    );
                    let remedy =
                        "write the parameter's name before it, or all values of a list with commas";
                    self.findings
                        .note(Diagnostic::error(&value.span, message).remedy(remedy));
                }
            }
        }
    }
}

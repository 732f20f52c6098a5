//! Follows a script, statement by statement, and keeps what its commands set.
//!
//! A value that cannot be had is noted where it is wanted first; what depends on it is left out in silence, and
//! everything else goes on.

mod adapters;
mod arguments;
mod commands;
mod expressions;
mod fields;
mod hosts;
mod objects;
mod rules;
mod tables;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;

use super::findings::{Findings, Noted, Result};
use super::script::{Block, Element, Expression, Name, Pipeline, Statement};
use super::tables::{HostIndex, State};
use crate::policy_file::{Diagnostic, Span};
use value::{Item, Value, Yielded};

/// More than any script that a person wrote needs.
const MOST_STEPS: usize = 10_000_000;
/// How often blocks may call blocks: the stack has an end.
const DEEPEST_CALL: usize = 6;

/// Follows `script`; what is wrong with it is noted.
pub fn evaluate(script: &Block, findings: &Findings) -> State {
    let mut evaluator = Evaluator {
        findings,
        state: State::default(),
        scopes: vec![Scope::new()],
        remote: Vec::new(),
        steps: 0,
        calls: 0,
    };
    // Whatever went wrong has been noted.
    let _ = evaluator.block(script);
    evaluator.state
}

/// Variables by name; of some it is only known that their value could not be had.
type Scope = BTreeMap<String, Result<Item>>;

struct Evaluator<'f> {
    findings: &'f Findings,
    state: State,
    /// The last is the one in which variables are looked up; those before it sent the block that is running.
    scopes: Vec<Scope>,
    /// The host that the running block was sent to, the last of several.
    remote: Vec<HostIndex>,
    steps: usize,
    calls: usize,
}

impl Evaluator<'_> {
    /// Counts work, so that no script keeps import busy for ever.
    fn charge(&mut self, steps: usize, span: &Span) -> Result<()> {
        if self.steps > MOST_STEPS {
            return Err(Noted);
        }
        self.steps += steps;
        if self.steps <= MOST_STEPS {
            return Ok(());
        }
        self.findings.refuse(
            Diagnostic::error(span, "the script goes on for too long to be followed")
                .remedy("write down what its loops do, or import it in parts"),
        )
    }

    /// Follows all statements; yields what they yield, if nothing went wrong.
    fn block(&mut self, block: &Block) -> Result<Vec<Item>> {
        let mut yielded = Yielded::default();
        for statement in &block.statements {
            yielded.add(self.statement(statement));
        }
        yielded.all()
    }

    fn statement(&mut self, statement: &Statement) -> Result<Vec<Item>> {
        match statement {
            Statement::Pipeline(pipeline) => self.pipeline(pipeline),
            Statement::Assignment { variable, value } => {
                let value = self.pipeline_value(value, &variable.span);
                self.assign(variable, value.clone());
                value.map(|_| Vec::new())
            }
            Statement::Foreach {
                variable,
                items,
                body,
            } => {
                let items = self
                    .pipeline_value(items, &variable.span)
                    .inspect_err(|noted| {
                        self.assign(variable, Err(*noted));
                    });
                let items = items.map(|items| items.items().to_vec());
                self.repeat(variable, items?.into_iter(), body)
            }
            Statement::For {
                variable,
                first,
                inclusive,
                limit,
                body,
            } => {
                let first = self.whole_number(first);
                self.assign(variable, first.clone());
                let limit = self.whole_number(limit)?;
                let (first, limit) = (as_number(&first?), as_number(&limit));
                let end = limit.saturating_add(i64::from(*inclusive));
                self.count(variable, first..end, body)
            }
            Statement::Refused(variables) => {
                for variable in variables {
                    self.assign(variable, Err(Noted));
                }
                Err(Noted)
            }
        }
    }

    fn assign(&mut self, variable: &Name, value: Result<Item>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(variable.text.clone(), value);
        }
    }

    fn repeat(
        &mut self,
        variable: &Name,
        items: impl Iterator<Item = Item>,
        body: &Block,
    ) -> Result<Vec<Item>> {
        let mut yielded = Yielded::default();
        for item in items {
            self.charge(1, &variable.span)?;
            self.note_unknown(&item, &variable.span);
            self.assign(variable, Ok(item));
            yielded.add(self.block(body));
        }
        yielded.all()
    }

    /// Repeats `body` with the variable counting up. It must not be changed on the way.
    fn count(&mut self, variable: &Name, numbers: Range<i64>, body: &Block) -> Result<Vec<Item>> {
        let mut yielded = Yielded::default();
        let end = numbers.start.max(numbers.end);
        for number in numbers {
            self.charge(1, &variable.span)?;
            self.assign_number(variable, number);
            yielded.add(self.block(body));
            if as_number(&self.variable(variable)?) != number {
                let message = format!("`${}` is changed while it counts", variable.text);
                return self.findings.refuse(
                    Diagnostic::error(&variable.span, message)
                        .remedy("loop with foreach over a list of the numbers that are wanted"),
                );
            }
        }
        self.assign_number(variable, end);
        yielded.all()
    }

    fn assign_number(&mut self, variable: &Name, number: i64) {
        let item = Item::new(Value::Number(number), &variable.span);
        self.assign(variable, Ok(item));
    }

    /// Says that a block is followed for what only the machine knows that runs the script.
    fn note_unknown(&self, item: &Item, span: &Span) {
        if let Value::Unknown(what) = &item.value {
            let message = format!(
                "what `{what}` yields is known only to the machine that runs the script; the block is followed once"
            );
            self.findings.note(
                Diagnostic::warning(span, message)
                    .remedy("write down the values that it yields, if there are several"),
            );
        }
    }

    fn whole_number(&mut self, expression: &Expression) -> Result<Item> {
        let item = self.expression(expression)?;
        if matches!(item.value, Value::Number(_)) {
            return Ok(item);
        }
        let message = format!("a number is wanted here, and this is {}", item.value.kind());
        self.findings.refuse(
            Diagnostic::error(&expression.span, message).remedy("count from a number to a number"),
        )
    }

    /// Follows a pipeline; yields what its last element yields.
    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Vec<Item>> {
        let mut input: Option<Vec<Item>> = None;
        for element in &pipeline.elements {
            input = Some(match element {
                Element::Expression(expression) => self.expression(expression)?.items().to_vec(),
                Element::Command(command) => {
                    self.charge(1, &command.name.span)?;
                    self.command(command, input.take())?
                }
            });
        }
        Ok(input.unwrap_or_default())
    }

    /// The value of a pipeline that stands where one value is wanted.
    fn pipeline_value(&mut self, pipeline: &Pipeline, span: &Span) -> Result<Item> {
        if let [Element::Expression(expression)] = &pipeline.elements[..] {
            return self.expression(expression);
        }
        let mut items = self.pipeline(pipeline)?;
        match items.len() {
            0 => Ok(Item::new(Value::Null, span)),
            1 => Ok(items.swap_remove(0)),
            _ => self.array(items, span),
        }
    }

    /// Follows a block that another calls.
    fn call(&mut self, block: &Block, span: &Span) -> Result<Vec<Item>> {
        if self.calls == DEEPEST_CALL {
            return self.findings.refuse(
                Diagnostic::error(span, "blocks call blocks too deep to be followed")
                    .remedy("write the inner commands out"),
            );
        }
        self.calls += 1;
        let yielded = self.block(block);
        self.calls -= 1;
        yielded
    }

    /// Where a command runs that names no host.
    fn here(&mut self, span: &Span) -> HostIndex {
        match self.remote.last() {
            Some(host) => *host,
            None => self.state.this_machine(span),
        }
    }
}

fn as_number(item: &Item) -> i64 {
    match item.value {
        Value::Number(number) => number,
        _ => 0,
    }
}

//! Expressions, and the arguments of commands.

use std::rc::Rc;

use super::lexer::{Mode, Part, Quoting, Token, ends_word};
use super::parser::{Parser, variable_named};
use super::syntax::{
    Block, Element, Expression, ExpressionKind, Name, Piece, Pipeline, Statement, Step,
};
use crate::import::findings::Result;
use crate::policy_file::{Diagnostic, Span};

impl<'s> Parser<'s> {
    /// Reads operands and the operators between them.
    pub(super) fn expression(&mut self) -> Result<Expression> {
        let first = self.operand()?;
        let start = first.span.start;
        let mut rest = Vec::new();
        while let Token::Operator(operator) = self.peek(Mode::Expression) {
            let (_, span) = self.next(Mode::Expression);
            if matches!(operator, "++" | "--") {
                return self.refuse_operator(operator, span);
            }
            self.skip_newlines();
            let name = Name {
                text: operator.to_lowercase().replace(['–', '—', '―'], "-"),
                span,
            };
            rest.push((name, self.operand()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expression {
            kind: ExpressionKind::Operation(Box::new(first), rest),
            span: self.since(start),
        })
    }

    fn refuse_operator<T>(&self, operator: &str, span: Span) -> Result<T> {
        let message = format!("the operator `{operator}` is not evaluated");
        self.findings
            .refuse(Diagnostic::error(&span, message).remedy("write down the value that results"))
    }

    /// Reads a value, or several with commas between them.
    pub(super) fn operand(&mut self) -> Result<Expression> {
        self.list(Mode::Expression, Self::value)
    }

    /// Reads an argument of a command.
    pub(super) fn argument(&mut self) -> Result<Expression> {
        self.list(Mode::Arguments, Self::argument_item)
    }

    fn list(
        &mut self,
        mode: Mode,
        read: impl Fn(&mut Self) -> Result<Expression>,
    ) -> Result<Expression> {
        let first = read(self)?;
        if self.peek(mode) != Token::Comma {
            return Ok(first);
        }
        let start = first.span.start;
        let mut items = vec![first];
        while self.take(&Token::Comma, mode) {
            self.skip_newlines();
            items.push(read(self)?);
        }
        Ok(Expression {
            kind: ExpressionKind::List(items),
            span: self.since(start),
        })
    }

    fn value(&mut self) -> Result<Expression> {
        let value = self.deeper(Self::bare_value)?;
        self.steps(value)
    }

    fn argument_item(&mut self) -> Result<Expression> {
        let (token, span) = self.lexer.peek(Mode::Arguments);
        let item = match token {
            Token::Word => {
                self.next(Mode::Arguments);
                let pieces = self.deeper(|parser| parser.pieces(Quoting::Bare, span.start))?;
                self.text_of(pieces, span.start)
            }
            Token::Quote(_) | Token::Quoted(_) | Token::OpenBrace => {
                self.deeper(Self::bare_value)?
            }
            Token::Variable(_)
            | Token::OpenParenthesis
            | Token::OpenArray
            | Token::OpenTable
            | Token::OpenSubexpression => self.value()?,
            _ => return self.refuse_token(Mode::Arguments, "an argument"),
        };
        self.glued(item)
    }

    /// A word may go on behind a variable or a text: `$prefix/24`.
    fn glued(&mut self, item: Expression) -> Result<Expression> {
        let starts_word = |c: char| !ends_word(c) && c != '`';
        if !self
            .lexer
            .character()
            .is_some_and(|c| starts_word(c) || "'\"({".contains(c))
        {
            return Ok(item);
        }
        let continues = self.lexer.character().is_some_and(starts_word);
        let is_text = matches!(
            item.kind,
            ExpressionKind::Variable(_)
                | ExpressionKind::Steps(..)
                | ExpressionKind::Text(_)
                | ExpressionKind::Expandable(_)
        );
        if !(continues && is_text) {
            return self.refuse_token(
                Mode::Arguments,
                "a space here, or the whole argument in quotes",
            );
        }
        let start = item.span.start;
        let behind = self.lexer.position();
        let rest = self.deeper(|parser| parser.pieces(Quoting::Bare, behind))?;
        let pieces = std::iter::once(Piece::Value(item)).chain(rest).collect();
        Ok(self.text_of(pieces, start))
    }

    /// Reads one value without what is read off it.
    fn bare_value(&mut self) -> Result<Expression> {
        let (token, span) = self.lexer.peek(Mode::Expression);
        let start = span.start;
        if token == Token::OpenBracket {
            let is_array = self.type_names()?;
            let value = self.value()?;
            let span = self.since(start);
            let elements = vec![Element::Expression(value)];
            let mut pipeline = Pipeline { elements };
            if is_array {
                pipeline = as_array(pipeline, span.clone());
            }
            let kind = ExpressionKind::Group(Box::new(pipeline));
            return Ok(Expression { kind, span });
        }
        let kind = match token {
            Token::Quoted(text) => {
                self.next(Mode::Expression);
                ExpressionKind::Text(text.into())
            }
            Token::Quote(quoting) => {
                self.next(Mode::Expression);
                let pieces = self.pieces(quoting, start)?;
                return Ok(self.text_of(pieces, start));
            }
            Token::Variable(name) => {
                self.next(Mode::Expression);
                ExpressionKind::Variable(variable_named(name, span))
            }
            Token::Number(digits) => {
                self.next(Mode::Expression);
                ExpressionKind::Number(self.number(digits, &span)?)
            }
            Token::OpenParenthesis => {
                self.next(Mode::Expression);
                self.skip_newlines();
                let pipeline = self.pipeline()?;
                self.close(&Token::CloseParenthesis, &span)?;
                ExpressionKind::Group(Box::new(pipeline))
            }
            Token::OpenArray => ExpressionKind::Array(self.enclosed(&Token::CloseParenthesis)?),
            Token::OpenSubexpression => {
                ExpressionKind::Subexpression(self.enclosed(&Token::CloseParenthesis)?)
            }
            Token::OpenBrace => ExpressionKind::Block(Rc::new(self.enclosed(&Token::CloseBrace)?)),
            Token::OpenTable => {
                self.next(Mode::Expression);
                ExpressionKind::Table(self.entries(&span)?)
            }
            Token::Operator(operator) if operator != "." && operator != "::" => {
                return self.refuse_operator(operator, span);
            }
            _ => return self.refuse_token(Mode::Expression, "a value; text stands in quotes"),
        };
        Ok(Expression {
            kind,
            span: self.since(start),
        })
    }

    fn number(&self, digits: &str, span: &Span) -> Result<i64> {
        let number = match digits.get(..2) {
            Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16).ok(),
            _ => digits.parse().ok(),
        };
        match number {
            Some(number) => Ok(number),
            None => self.findings.refuse(
                Diagnostic::error(span, format!("`{digits}` is no whole number"))
                    .remedy("write addresses and other text in quotes"),
            ),
        }
    }

    /// Reads an opening sign, statements, and the closing sign.
    fn enclosed(&mut self, close: &Token<'s>) -> Result<Block> {
        let (_, open) = self.next(Mode::Expression);
        let block = self.block(close);
        self.close(close, &open)?;
        Ok(block)
    }

    /// Reads the entries of a hashtable and its closing brace.
    fn entries(&mut self, open: &Span) -> Result<Vec<(Expression, Pipeline)>> {
        let mut entries = Vec::new();
        loop {
            match self.peek(Mode::Expression) {
                Token::Newline | Token::Semicolon => {
                    self.next(Mode::Expression);
                }
                Token::CloseBrace | Token::End => {
                    self.close(&Token::CloseBrace, open)?;
                    return Ok(entries);
                }
                _ => {
                    let key = self.key()?;
                    self.expect(
                        &Token::Assignment("="),
                        Mode::Expression,
                        "`=` and the value",
                    )?;
                    self.skip_newlines();
                    entries.push((key, self.pipeline()?));
                    let behind = self.peek(Mode::Expression);
                    if !matches!(
                        behind,
                        Token::Newline | Token::Semicolon | Token::CloseBrace
                    ) {
                        return self.refuse_token(Mode::Expression, "`;`, a new line or `}`");
                    }
                }
            }
        }
    }

    fn key(&mut self) -> Result<Expression> {
        if let (Token::Name(name), span) = self.lexer.peek(Mode::Expression) {
            self.next(Mode::Expression);
            let kind = ExpressionKind::Text(name.into());
            return Ok(Expression { kind, span });
        }
        self.value()
    }

    /// Reads the types that a value is converted to. Says whether one is an array.
    pub(super) fn type_names(&mut self) -> Result<bool> {
        let mut is_array = false;
        while let (Token::OpenBracket, span) = self.lexer.peek(Mode::Expression) {
            let rest = self.lexer.rest_from(span.start);
            let end = closing_bracket(rest);
            let name = rest.get(1..end).unwrap_or_default().to_lowercase();
            let element = name.strip_suffix("[]");
            is_array |= element.is_some();
            let known = element.unwrap_or(&name);
            let known = known.strip_prefix("system.").unwrap_or(known);
            let is_static = rest
                .get(end..)
                .is_some_and(|behind| behind.starts_with("]::"));
            if is_static || !TYPES.contains(&known) {
                let message = format!("the type [{name}] is not evaluated");
                return self.findings.refuse(
                    Diagnostic::error(&(span.start..span.start + end), message)
                        .remedy("remove it, or write down the value that results"),
                );
            }
            self.lexer.jump(span.start + end + 1);
        }
        Ok(is_array)
    }

    /// Reads what is read off a value: `.name`, `[index]`.
    fn steps(&mut self, value: Expression) -> Result<Expression> {
        let start = value.span.start;
        let mut steps = Vec::new();
        loop {
            let before = self.lexer;
            if self.lexer.take("[") {
                self.skip_newlines();
                let index = self.deeper(Self::expression)?;
                self.close(
                    &Token::CloseBracket,
                    &(before.position()..before.position() + 1),
                )?;
                steps.push(Step::Index(index));
            } else if self.lexer.take(".") {
                let at = self.lexer.position();
                if let Some(name) = self.lexer.member() {
                    let name = Name {
                        text: name.to_lowercase(),
                        span: self.since(at),
                    };
                    steps.push(if self.lexer.take("()") {
                        Step::Call(name)
                    } else {
                        Step::Member(name)
                    });
                } else if let (Token::Variable(name), span) = self.lexer.peek(Mode::Expression)
                    && span.start == at
                {
                    self.next(Mode::Expression);
                    let kind = ExpressionKind::Variable(variable_named(name, span.clone()));
                    steps.push(Step::NamedBy(Expression { kind, span }));
                } else {
                    self.lexer = before;
                    break;
                }
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(value);
        }
        Ok(Expression {
            kind: ExpressionKind::Steps(Box::new(value), steps),
            span: self.since(start),
        })
    }

    /// Reads a text that has begun, to its end.
    pub(super) fn pieces(&mut self, quoting: Quoting, start: usize) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        loop {
            let at = self.lexer.position();
            let kind = match self.lexer.part(quoting) {
                Part::Text(text) => {
                    pieces.push(Piece::Text(text));
                    continue;
                }
                Part::Variable(name) => {
                    ExpressionKind::Variable(variable_named(name, self.since(at)))
                }
                Part::OpenSubexpression => {
                    let block = self.block(&Token::CloseParenthesis);
                    self.close(&Token::CloseParenthesis, &(at..at + 2))?;
                    ExpressionKind::Subexpression(block)
                }
                Part::End => return Ok(pieces),
                Part::Unended => {
                    let what = match quoting {
                        Quoting::Here => "here-string",
                        _ => "text in double quotes",
                    };
                    let opening = self.lexer.rest_from(start).chars().next();
                    let end = start + opening.map_or(0, char::len_utf8);
                    return self.refuse_unended(&(start..end), what);
                }
            };
            let span = self.since(at);
            pieces.push(Piece::Value(Expression { kind, span }));
        }
    }

    fn text_of(&self, mut pieces: Vec<Piece>, start: usize) -> Expression {
        let span = self.since(start);
        let kind = match &mut pieces[..] {
            [] => ExpressionKind::Text("".into()),
            [Piece::Text(text)] => ExpressionKind::Text(std::mem::take(text).into()),
            _ => ExpressionKind::Expandable(pieces),
        };
        Expression { kind, span }
    }
}

/// The types whose conversions leave text and numbers what they mean.
const TYPES: [&str; 19] = [
    "string",
    "int",
    "int32",
    "int64",
    "long",
    "uint16",
    "uint32",
    "uint64",
    "ushort",
    "uint",
    "byte",
    "guid",
    "ipaddress",
    "net.ipaddress",
    "object",
    "hashtable",
    "ordered",
    "pscustomobject",
    "void",
];

/// Where the bracket that `text` begins with is closed, or the line ends.
fn closing_bracket(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return at,
            ']' => depth -= 1,
            '\n' => return at,
            _ => {}
        }
    }
    text.len()
}

/// The value as an array, also if it is a single one.
pub(super) fn as_array(value: Pipeline, span: Span) -> Pipeline {
    let statements = vec![Statement::Pipeline(value)];
    let kind = ExpressionKind::Array(Block { statements });
    Pipeline {
        elements: vec![Element::Expression(Expression { kind, span })],
    }
}

//! Statements, pipelines and commands.

use super::expressions::as_array;
use super::lexer::{Lexer, Mode, Part, Quoting, Token};
use super::refused::keyword;
use super::syntax::{
    Argument, Block, Command, Element, Expression, ExpressionKind, Name, Pipeline, Statement,
};
use crate::import::findings::{Findings, Noted, Result};
use crate::policy_file::{Diagnostic, Span};

/// How deep brackets may be nested: the stack has an end.
const DEEPEST: usize = 32;

/// Reads a whole script; what is wrong in it is noted.
pub fn parse(text: &str, findings: &Findings) -> Block {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        findings,
        depth: 0,
        given_up: false,
    };
    parser.block(&Token::End)
}

pub(super) struct Parser<'s> {
    pub(super) lexer: Lexer<'s>,
    pub(super) findings: &'s Findings,
    depth: usize,
    /// Whether the rest was not read: then it is not missed either.
    pub(super) given_up: bool,
}

impl<'s> Parser<'s> {
    /// The next token, which stays.
    pub(super) fn peek(&self, mode: Mode) -> Token<'s> {
        self.lexer.peek(mode).0
    }

    pub(super) fn peek_span(&self, mode: Mode) -> Span {
        self.lexer.peek(mode).1
    }

    pub(super) fn next(&mut self, mode: Mode) -> (Token<'s>, Span) {
        self.lexer.next(mode)
    }

    /// Everything from `start` to what was read last.
    pub(super) fn since(&self, start: usize) -> Span {
        start..self.lexer.position().max(start)
    }

    pub(super) fn skip_newlines(&mut self) {
        while self.peek(Mode::Expression) == Token::Newline {
            self.next(Mode::Expression);
        }
    }

    /// Reads on one level deeper.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            let span = self.peek_span(Mode::Expression);
            self.give_up();
            let message = format!("brackets are nested more than {DEEPEST} deep");
            return self.findings.refuse(
                Diagnostic::error(&span, message)
                    .remedy("give the inner values names: `$name = …`"),
            );
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// Reads statements up to `end`, which stays.
    pub(super) fn block(&mut self, end: &Token<'s>) -> Block {
        let mut statements = Vec::new();
        loop {
            match self.peek(Mode::Arguments) {
                Token::Newline | Token::Semicolon => {
                    self.next(Mode::Arguments);
                }
                Token::End => return Block { statements },
                token if token == *end => return Block { statements },
                _ => statements.push(self.complete_statement(end)),
            }
        }
    }

    /// Reads a statement and sees that nothing hangs on at its end.
    fn complete_statement(&mut self, end: &Token<'s>) -> Statement {
        let begin = self.lexer;
        let statement = self.statement().and_then(|statement| {
            let token = self.peek(Mode::Arguments);
            let ends = matches!(token, Token::Newline | Token::Semicolon | Token::End);
            let is_loop = matches!(
                statement,
                Statement::Foreach { .. } | Statement::For { .. } | Statement::Refused(_)
            );
            // A statement that ends with a block needs no separator.
            if ends || token == *end || is_loop {
                Ok(statement)
            } else {
                self.refuse_token(Mode::Arguments, "the end of the statement")
            }
        });
        statement.unwrap_or_else(|Noted| {
            let variables = self.assigned_between(begin);
            let rest = self.skip_statement(end);
            Statement::Refused([variables, rest].concat())
        })
    }

    fn statement(&mut self) -> Result<Statement> {
        if self.begins_with_operand() {
            return self.assignment_or_pipeline();
        }
        let begin = self.lexer;
        if let (Token::Name(word), span) = self.next(Mode::Expression) {
            match word.to_lowercase().as_str() {
                "foreach" => return self.foreach(),
                "for" => return self.counted_loop(&span),
                word => {
                    if let Some(refusal) = keyword(word, &span) {
                        self.findings.note(refusal);
                        return Ok(Statement::Refused(self.skip_construct(word)));
                    }
                }
            }
        }
        self.lexer = begin;
        self.pipeline().map(Statement::Pipeline)
    }

    /// Whether an expression stands here, not the name of a command.
    fn begins_with_operand(&self) -> bool {
        match self.peek(Mode::Expression) {
            Token::Name(_) | Token::End | Token::Newline => false,
            Token::Operator(sign) => {
                ["!", "+", "-", "-not", "-bnot", "-split", "-join"].contains(&&*sign.to_lowercase())
            }
            Token::OpenBracket | Token::Number(_) => true,
            Token::Other('&') => false,
            _ => !matches!(
                self.peek(Mode::Arguments),
                Token::Word | Token::Parameter(..)
            ),
        }
    }

    fn assignment_or_pipeline(&mut self) -> Result<Statement> {
        let is_array = self.type_names()?;
        let first = self.expression()?;
        if let Token::Assignment(sign) = self.peek(Mode::Expression) {
            let (_, span) = self.next(Mode::Expression);
            if sign != "=" {
                let message = format!("`{sign}` is not evaluated");
                return self.findings.refuse(
                    Diagnostic::error(&span, message)
                        .remedy("write the whole value in one assignment: `$name = …`"),
                );
            }
            let ExpressionKind::Variable(variable) = first.kind else {
                return self.findings.refuse(
                    Diagnostic::error(&first.span, "only whole variables can be assigned here")
                        .remedy("write the whole value in one assignment: `$name = …`"),
                );
            };
            self.skip_newlines();
            let mut value = self.pipeline()?;
            if is_array {
                value = as_array(value, variable.span.clone());
            }
            return Ok(Statement::Assignment { variable, value });
        }
        self.pipeline_from(first).map(Statement::Pipeline)
    }

    fn foreach(&mut self) -> Result<Statement> {
        let open = self.peek_span(Mode::Expression);
        self.expect(&Token::OpenParenthesis, Mode::Expression, "`(`")?;
        self.skip_newlines();
        let variable = self.variable()?;
        match self.next(Mode::Expression) {
            (Token::Name(word), _) if word.eq_ignore_ascii_case("in") => {}
            (_, span) => return self.refuse_at(&span, "`in` and a list"),
        }
        self.skip_newlines();
        let items = self.deeper(Self::pipeline)?;
        self.close(&Token::CloseParenthesis, &open)?;
        let body = self.body()?;
        Ok(Statement::Foreach {
            variable,
            items,
            body,
        })
    }

    /// Reads `for ($i = 0; $i -lt 3; $i++) { … }`, the one form that is evaluated.
    fn counted_loop(&mut self, keyword: &Span) -> Result<Statement> {
        match self.counting_header() {
            Ok(Some((variable, first, inclusive, limit))) => Ok(Statement::For {
                variable,
                first,
                inclusive,
                limit,
                body: self.body()?,
            }),
            Ok(None) => {
                self.findings.note(
                    Diagnostic::error(keyword, "this `for` does not simply count up")
                        .remedy("write `for ($i = 0; $i -lt 3; $i++) { … }`, or loop with foreach over a list"),
                );
                Ok(Statement::Refused(self.skip_construct("for")))
            }
            Err(Noted) => Err(Noted),
        }
    }

    /// Yields nothing if the header is not of that form.
    fn counting_header(&mut self) -> Result<Option<(Name, Expression, bool, Expression)>> {
        self.expect(&Token::OpenParenthesis, Mode::Expression, "`(`")?;
        let begin = self.lexer;
        let header = self.deeper(|parser| Ok(parser.read_counting_header()))?;
        if header.is_none() {
            self.lexer = begin;
            self.skip_statement(&Token::CloseParenthesis);
            while self.take(&Token::Semicolon, Mode::Arguments) {
                self.skip_statement(&Token::CloseParenthesis);
            }
            self.take(&Token::CloseParenthesis, Mode::Arguments);
        }
        Ok(header)
    }

    fn read_counting_header(&mut self) -> Option<(Name, Expression, bool, Expression)> {
        let variable = self.read_variable()?;
        self.take(&Token::Assignment("="), Mode::Expression)
            .then_some(())?;
        let first = self.operand().ok()?;
        self.take(&Token::Semicolon, Mode::Expression)
            .then_some(())?;
        let counted = |name: &Name| name.text == variable.text;
        self.read_variable().filter(counted)?;
        let (Token::Operator(operator), _) = self.next(Mode::Expression) else {
            return None;
        };
        let inclusive = match operator.to_lowercase().as_str() {
            "-lt" => false,
            "-le" => true,
            _ => return None,
        };
        let limit = self.operand().ok()?;
        self.take(&Token::Semicolon, Mode::Expression)
            .then_some(())?;
        self.read_variable().filter(counted)?;
        self.take(&Token::Operator("++"), Mode::Expression)
            .then_some(())?;
        self.take(&Token::CloseParenthesis, Mode::Expression)
            .then_some(())?;
        Some((variable, first, inclusive, limit))
    }

    fn variable(&mut self) -> Result<Name> {
        let span = self.peek_span(Mode::Expression);
        match self.read_variable() {
            Some(name) => Ok(name),
            None => self.refuse_at(&span, "a variable"),
        }
    }

    fn read_variable(&mut self) -> Option<Name> {
        match self.next(Mode::Expression) {
            (Token::Variable(name), span) => Some(variable_named(name, span)),
            _ => None,
        }
    }

    /// Reads the statements in braces that a loop repeats.
    fn body(&mut self) -> Result<Block> {
        self.skip_newlines();
        let open = self.peek_span(Mode::Expression);
        self.expect(&Token::OpenBrace, Mode::Expression, "`{`")?;
        let body = self.deeper(|parser| Ok(parser.block(&Token::CloseBrace)))?;
        self.close(&Token::CloseBrace, &open)?;
        Ok(body)
    }

    pub(super) fn pipeline(&mut self) -> Result<Pipeline> {
        if self.begins_with_operand() {
            let first = self.expression()?;
            return self.pipeline_from(first);
        }
        let first = Element::Command(self.command()?);
        self.elements_behind(first)
    }

    fn pipeline_from(&mut self, first: Expression) -> Result<Pipeline> {
        self.elements_behind(Element::Expression(first))
    }

    fn elements_behind(&mut self, first: Element) -> Result<Pipeline> {
        let mut elements = vec![first];
        while self.take(&Token::Pipe, Mode::Arguments) {
            self.skip_newlines();
            elements.push(Element::Command(self.command()?));
        }
        // What an expression yields may be sent away as well.
        while let Token::Redirection(_) = self.peek(Mode::Arguments) {
            self.redirection()?;
        }
        Ok(Pipeline { elements })
    }

    fn command(&mut self) -> Result<Command> {
        let name = self.command_name()?;
        let mut arguments = Vec::new();
        loop {
            match self.peek(Mode::Arguments) {
                Token::End
                | Token::Newline
                | Token::Semicolon
                | Token::Pipe
                | Token::CloseParenthesis
                | Token::CloseBrace => break,
                Token::Redirection(_) => self.redirection()?,
                Token::Parameter(parameter, colon) => {
                    let (_, span) = self.next(Mode::Arguments);
                    let value = if colon { Some(self.argument()?) } else { None };
                    let name = Name {
                        text: parameter.to_owned(),
                        span,
                    };
                    arguments.push(Argument::Parameter(name, value));
                }
                Token::Splat(variable) => {
                    let (_, span) = self.next(Mode::Arguments);
                    arguments.push(Argument::Splat(variable_named(variable, span)));
                }
                _ => arguments.push(Argument::Value(self.argument()?)),
            }
        }
        Ok(Command { name, arguments })
    }

    /// The word that a command begins with, without the module that it is of.
    fn command_name(&mut self) -> Result<Name> {
        let (token, span) = self.lexer.peek(Mode::Arguments);
        match token {
            Token::Word if !self.is_dot_sourced() => {}
            Token::Word | Token::Other('&') => {
                return self.findings.refuse(
                    Diagnostic::error(&span, "what another file or block does is not evaluated")
                        .remedy("write its commands here"),
                );
            }
            Token::Parameter(name, _) => {
                let message = format!("`-{name}` stands where a command begins");
                return self
                    .findings
                    .refuse(Diagnostic::error(&span, message).remedy(
                        "end the line above with a backtick ` if the command goes on here",
                    ));
            }
            _ => return self.refuse_token(Mode::Arguments, "a command"),
        }
        let start = span.start;
        self.next(Mode::Arguments);
        let mut text = String::new();
        loop {
            match self.lexer.part(Quoting::Bare) {
                Part::Text(part) => text += &part,
                Part::End if !text.is_empty() => break,
                _ => {
                    let span = self.since(start);
                    return self.refuse_at(&span, "a command's name, without variables in it");
                }
            }
        }
        let text = match text.rsplit_once('\\') {
            Some((_, name)) if name.contains('-') && !name.contains('.') => name.to_owned(),
            _ => text,
        };
        let span = self.since(start);
        Ok(Name { text, span })
    }

    /// Whether `. script` stands here, or the path of one.
    fn is_dot_sourced(&self) -> bool {
        let (_, span) = self.lexer.peek(Mode::Arguments);
        let rest = self.lexer.rest_from(span.start);
        rest.strip_prefix('.')
            .is_some_and(|rest| rest.starts_with([' ', '\\', '/', '\t']))
    }

    /// Reads where output goes, which has no meaning here.
    fn redirection(&mut self) -> Result<()> {
        if let (Token::Redirection(true), _) = self.next(Mode::Arguments) {
            self.argument()?;
        }
        Ok(())
    }

    /// Reads the token, if it is the next.
    pub(super) fn take(&mut self, token: &Token<'_>, mode: Mode) -> bool {
        let is_next = self.peek(mode) == *token;
        if is_next {
            self.next(mode);
        }
        is_next
    }

    pub(super) fn expect(&mut self, token: &Token<'_>, mode: Mode, expected: &str) -> Result<()> {
        if self.take(token, mode) {
            return Ok(());
        }
        self.refuse_token(mode, expected)
    }
}

/// A variable by its name, which has no upper case and no scope but `env` and `using`.
pub(super) fn variable_named(name: &str, span: Span) -> Name {
    let name = name.to_lowercase();
    let text = match name.split_once(':') {
        Some(("script" | "global" | "local" | "private", name)) => name.to_owned(),
        _ => name,
    };
    Name { text, span }
}

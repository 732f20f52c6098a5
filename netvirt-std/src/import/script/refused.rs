//! What is not understood: named, and skipped as a whole.

use super::lexer::{Lexer, Mode, Quoting, Token, ends_word};
use super::parser::{Parser, variable_named};
use super::syntax::Name;
use crate::import::findings::{Noted, Result};
use crate::policy_file::{Diagnostic, Span};

/// What there is to say about a statement that begins with `word`, if it is one of those that are not evaluated.
pub(super) fn keyword(word: &str, span: &Span) -> Option<Diagnostic> {
    let remedy = match word {
        "if" | "switch" => "write down the commands of the branch that is taken",
        "while" | "do" | "until" => "write the commands out, or loop with foreach over a list",
        "function" | "filter" | "workflow" | "configuration" => {
            "write its commands where it is called, or loop with foreach over a list"
        }
        "param" | "dynamicparam" => "give each parameter a value as a variable: `$name = …`",
        "try" | "trap" => "write the commands without what watches over them",
        "elseif" | "else" | "catch" | "finally" => {
            "remove it with the statement that it belongs to"
        }
        "begin" | "process" | "end" | "clean" => "write the commands without it",
        "throw" | "return" | "break" | "continue" | "exit" => {
            "remove it, and the commands that are not reached"
        }
        "class" | "enum" | "using" | "data" | "parallel" | "sequence" => "remove it",
        _ => return None,
    };
    let message = format!("`{word}` is not evaluated: import follows commands that stand in a row");
    Some(Diagnostic::error(span, message).remedy(remedy))
}

impl<'s> Parser<'s> {
    /// Refuses the next token, where something else was expected.
    pub(super) fn refuse_token<T>(&mut self, mode: Mode, expected: &str) -> Result<T> {
        let (token, span) = self.lexer.peek(mode);
        match token {
            _ if self.given_up => Err(Noted),
            Token::Unended(what) => self.refuse_unended(&span, what),
            Token::BrokenContinuation => self.findings.refuse(
                Diagnostic::error(
                    &span,
                    "a backtick continues a line only if nothing follows it",
                )
                .remedy("remove the spaces behind it"),
            ),
            Token::Word => {
                let rest = self.lexer.rest_from(span.start);
                let end = span.start + rest.find(ends_word).unwrap_or(rest.len());
                self.refuse_at(&(span.start..end), expected)
            }
            _ => self.refuse_at(&span, expected),
        }
    }

    /// Reads the sign that closes what was opened at `open`; the ends of lines before it do not matter.
    pub(super) fn close(&mut self, sign: &Token<'s>, open: &Span) -> Result<()> {
        self.skip_newlines();
        if self.take(sign, Mode::Expression) {
            return Ok(());
        }
        let closing = match sign {
            Token::CloseBrace => "`}`",
            Token::CloseBracket => "`]`",
            _ => "`)`",
        };
        if self.given_up || self.peek(Mode::Expression) != Token::End {
            return self.refuse_token(Mode::Expression, closing);
        }
        let message = format!("this `{}` is not closed", self.lexer.between(open));
        self.findings.refuse(
            Diagnostic::error(open, message).remedy(format!("write {closing} where it ends")),
        )
    }

    /// Leaves the rest of the script unread.
    pub(super) fn give_up(&mut self) {
        self.lexer.finish();
        self.given_up = true;
    }

    pub(super) fn refuse_unended<T>(&mut self, span: &Span, what: &str) -> Result<T> {
        self.give_up();
        let end = match what {
            "comment" => "#>",
            "here-string" => "a line that begins with the closing quote and @",
            _ => "the closing quote",
        };
        let message = format!("this {what} does not end");
        self.findings
            .refuse(Diagnostic::error(span, message).remedy(format!("close it with {end}")))
    }

    /// Refuses what stands at `span`, where something else was expected.
    pub(super) fn refuse_at<T>(&mut self, span: &Span, expected: &str) -> Result<T> {
        let written = self.lexer.between(span);
        let found = match written {
            "" => "the end of the script".to_owned(),
            _ if written.starts_with(['\n', '\r']) => "the end of the line".to_owned(),
            _ => format!("`{}`", written.chars().take(40).collect::<String>()),
        };
        let message = format!("{found} was not expected here");
        self.findings
            .refuse(Diagnostic::error(span, message).remedy(format!("write {expected}")))
    }

    /// Skips the rest of a statement, to its end or to `end`. Yields the variables assigned in it.
    pub(super) fn skip_statement(&mut self, end: &Token<'s>) -> Vec<Name> {
        let mut assigned = Vec::new();
        let mut depth = 0_usize;
        loop {
            let token = self.peek(Mode::Arguments);
            match token {
                Token::End => return assigned,
                Token::Newline | Token::Semicolon if depth == 0 => return assigned,
                _ if depth == 0 && token == *end => return assigned,
                _ => {}
            }
            self.skip_token(&token, &mut depth, &mut assigned);
        }
    }

    /// Skips a statement with its blocks, and those that continue it: `else`, `catch` and so on.
    pub(super) fn skip_construct(&mut self, keyword: &str) -> Vec<Name> {
        let continuations: &[&str] = match keyword {
            "if" => &["elseif", "else"],
            "try" => &["catch", "finally"],
            "do" => &["while", "until"],
            _ => &[],
        };
        let mut assigned = Vec::new();
        let mut depth = 0_usize;
        let mut behind_block = false;
        loop {
            let token = self.peek(Mode::Arguments);
            match token {
                Token::End => return assigned,
                Token::CloseBrace | Token::CloseParenthesis if depth == 0 => return assigned,
                Token::Semicolon if depth == 0 => return assigned,
                Token::Newline if depth == 0 => {
                    let goes_on = match self.behind_newlines() {
                        Token::OpenBrace => true,
                        Token::Name(word) => {
                            behind_block && continuations.contains(&&*word.to_lowercase())
                        }
                        _ => false,
                    };
                    if !goes_on {
                        return assigned;
                    }
                }
                _ => {}
            }
            behind_block = match token {
                Token::CloseBrace => true,
                Token::Newline => behind_block,
                _ => false,
            };
            self.skip_token(&token, &mut depth, &mut assigned);
        }
    }

    fn skip_token(&mut self, token: &Token<'s>, depth: &mut usize, assigned: &mut Vec<Name>) {
        let (_, span) = self.next(Mode::Arguments);
        match token {
            Token::OpenParenthesis
            | Token::OpenBrace
            | Token::OpenArray
            | Token::OpenTable
            | Token::OpenSubexpression => *depth += 1,
            Token::CloseParenthesis | Token::CloseBrace => *depth = depth.saturating_sub(1),
            Token::Variable(name) if self.is_assigned() => {
                assigned.push(variable_named(name, span));
            }
            Token::Quote(quoting) => {
                let _ = self.deeper(|parser| parser.pieces(*quoting, span.start));
            }
            Token::Word => {
                let _ = self.deeper(|parser| parser.pieces(Quoting::Bare, span.start));
            }
            _ => {}
        }
    }

    fn is_assigned(&self) -> bool {
        matches!(self.peek(Mode::Expression), Token::Assignment(_))
    }

    /// The variables assigned in what has been read since `begin`.
    pub(super) fn assigned_between(&self, begin: Lexer<'s>) -> Vec<Name> {
        let end = self.lexer.position();
        let mut lexer = begin;
        let mut assigned = Vec::new();
        while lexer.position() < end {
            let before = lexer.position();
            if let (Token::Variable(name), span) = lexer.next(Mode::Expression)
                && matches!(lexer.peek(Mode::Expression).0, Token::Assignment(_))
            {
                assigned.push(variable_named(name, span));
            }
            if lexer.position() == before {
                break;
            }
        }
        assigned
    }

    fn behind_newlines(&self) -> Token<'s> {
        let mut lexer = self.lexer;
        loop {
            match lexer.next(Mode::Expression).0 {
                Token::Newline => {}
                token => return token,
            }
        }
    }
}

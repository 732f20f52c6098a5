//! From characters to the tokens of PowerShell.
//!
//! What a character means depends on where it stands: `-Metric` is a parameter behind a command and an operator in
//! an expression. So the parser says which it expects, token by token.

use crate::policy_file::Span;

/// Characters between the braces of `${…}`.
const LONGEST_BRACED_NAME: usize = 256;

/// Where a token is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Behind the name of a command.
    Arguments,
    /// Everywhere else.
    Expression,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'s> {
    End,
    Newline,
    Semicolon,
    Pipe,
    Comma,
    OpenParenthesis,
    CloseParenthesis,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    /// `@(`
    OpenArray,
    /// `@{`
    OpenTable,
    /// `$(`
    OpenSubexpression,
    /// Its name without `$` and braces.
    Variable(&'s str),
    /// Its name without `@`.
    Splat(&'s str),
    /// The name without the dash, and whether a colon joins its value to it.
    Parameter(&'s str, bool),
    /// A text in single quotes.
    Quoted(String),
    /// The beginning of a text in double quotes, which goes on in [`Part`]s.
    Quote(Quoting),
    /// The beginning of a bare word, which goes on in [`Part`]s. Nothing of it has been read.
    Word,
    Number(&'s str),
    /// A bare word in an expression.
    Name(&'s str),
    Operator(&'s str),
    /// `=`, or another operator that assigns.
    Assignment(&'s str),
    /// Where output goes, such as `2>`, and whether the place is named by what follows.
    Redirection(bool),
    /// What begins here and does not end before the script does.
    Unended(&'static str),
    /// A backtick with spaces behind it, where a line was to be continued.
    BrokenContinuation,
    Other(char),
}

/// A text made of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// `"…"`
    Double,
    /// `@"`, lines, `"@`
    Here,
    /// A bare word.
    Bare,
}

/// A part of a text in which variables are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'s> {
    Text(String),
    Variable(&'s str),
    /// `$(`; the statements that follow are the parser's.
    OpenSubexpression,
    End,
    Unended,
}

/// A place in the text of a script.
#[derive(Debug, Clone, Copy)]
pub struct Lexer<'s> {
    text: &'s str,
    position: usize,
}

impl<'s> Lexer<'s> {
    pub fn new(text: &'s str) -> Self {
        Self { text, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// The next token, which stays.
    pub fn peek(mut self, mode: Mode) -> (Token<'s>, Span) {
        self.next(mode)
    }

    /// The text from `start` on.
    pub fn rest_from(&self, start: usize) -> &'s str {
        self.text.get(start..).unwrap_or_default()
    }

    /// The text at `span`.
    pub fn between(&self, span: &Span) -> &'s str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Reads on at `position`.
    pub fn jump(&mut self, position: usize) {
        self.position = position.min(self.text.len());
    }

    /// What has not been read.
    pub fn rest(&self) -> &'s str {
        self.rest_from(self.position)
    }

    /// Gives up what has not been read.
    pub fn finish(&mut self) {
        self.position = self.text.len();
    }

    /// The next character, wherever it stands.
    pub fn character(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads the next token.
    pub fn next(&mut self, mode: Mode) -> (Token<'s>, Span) {
        let begin = self.position;
        if let Some(unended) = self.skip_blank() {
            return (Token::Unended(unended), begin..self.position);
        }
        let start = self.position;
        let token = self.token(mode);
        (token, start..self.position)
    }

    /// Skips spaces, comments and continued ends of lines. Says what did not end, if something did not.
    fn skip_blank(&mut self) -> Option<&'static str> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(is_blank).len();
            if blank > 0 {
                self.position += blank;
            } else if let Some(comment) = rest.strip_prefix("<#") {
                match comment.find("#>") {
                    Some(length) => self.position += length + 4,
                    None => {
                        self.finish();
                        return Some("comment");
                    }
                }
            } else if rest.starts_with('#') {
                self.position += rest.find(is_newline).unwrap_or(rest.len());
            } else if let Some(end_of_line) = rest.strip_prefix('`').and_then(newline) {
                self.position += 1 + end_of_line;
            } else {
                return None;
            }
        }
    }

    fn token(&mut self, mode: Mode) -> Token<'s> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Token::End;
        };
        if let Some(length) = newline(rest) {
            self.position += length;
            return Token::Newline;
        }
        if first == '`'
            && rest[1..]
                .trim_start_matches(is_blank)
                .starts_with(is_newline)
        {
            self.position += 1;
            return Token::BrokenContinuation;
        }
        for (sign, token) in SIGNS {
            if rest.starts_with(sign) {
                self.position += sign.len();
                return token.clone();
            }
        }
        match first {
            '$' => self.dollar(),
            '@' => self.at(),
            _ if is_single_quote(first) => self.single_quoted(),
            _ if is_double_quote(first) => {
                self.position += first.len_utf8();
                Token::Quote(Quoting::Double)
            }
            _ => match mode {
                Mode::Arguments => self.argument(first),
                Mode::Expression => self.operand_or_operator(first),
            },
        }
    }

    fn dollar(&mut self) -> Token<'s> {
        match self.variable() {
            Some(name) => Token::Variable(name),
            None => {
                self.position += 1;
                Token::Other('$')
            }
        }
    }

    /// Reads `$name`, `${name}` or `$scope:name`; nothing if there is none here.
    fn variable(&mut self) -> Option<&'s str> {
        let behind = self.rest().strip_prefix('$')?;
        if let Some(braced) = behind.strip_prefix('{') {
            let mut near = braced.char_indices().take(LONGEST_BRACED_NAME);
            let (length, end) = near.find(|(_, c)| matches!(c, '}' | '\n'))?;
            if end != '}' {
                return None;
            }
            self.position += length + 3;
            return Some(&braced[..length]);
        }
        let name = variable_name(behind)?;
        self.position += 1 + name.len();
        Some(name)
    }

    fn at(&mut self) -> Token<'s> {
        let behind = &self.rest()[1..];
        if let Some(quote) = behind
            .chars()
            .next()
            .filter(|c| is_single_quote(*c) || is_double_quote(*c))
        {
            let header = &behind[quote.len_utf8()..];
            let blank = header.len() - header.trim_start_matches(is_blank).len();
            if let Some(end_of_line) = newline(&header[blank..]) {
                self.position += 1 + quote.len_utf8() + blank + end_of_line;
                return match is_double_quote(quote) {
                    true => Token::Quote(Quoting::Here),
                    false => self.single_quoted_lines(),
                };
            }
        }
        let name = variable_name(behind).filter(|name| !name.contains(':'));
        self.position += 1 + name.map_or(0, str::len);
        name.map_or(Token::Other('@'), Token::Splat)
    }

    fn single_quoted(&mut self) -> Token<'s> {
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if is_single_quote(character)
                && characters.next_if(|(_, c)| is_single_quote(*c)).is_none()
            {
                self.position += at + character.len_utf8();
                return Token::Quoted(text);
            }
            text.push(character);
        }
        self.finish();
        Token::Unended("text in single quotes")
    }

    fn single_quoted_lines(&mut self) -> Token<'s> {
        let rest = self.rest();
        let is_end = |line: &&str| {
            let mut characters = line.chars();
            characters.next().is_some_and(is_single_quote) && characters.next() == Some('@')
        };
        let lines: Vec<&str> = rest
            .split_inclusive('\n')
            .take_while(|line| !is_end(line))
            .collect();
        let length: usize = lines.iter().map(|line| line.len()).sum();
        let Some(end) = rest[length..].chars().next() else {
            self.finish();
            return Token::Unended("here-string");
        };
        self.position += length + end.len_utf8() + 1;
        Token::Quoted(without_newline(&rest[..length]).to_owned())
    }

    fn argument(&mut self, first: char) -> Token<'s> {
        let rest = self.rest();
        if is_dash(first) {
            let behind = &rest[first.len_utf8()..];
            if behind.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                let name = &behind[..behind
                    .find(|c| ends_word(c) || "[.:".contains(c))
                    .unwrap_or(behind.len())];
                let colon = behind[name.len()..].starts_with(':');
                self.position += first.len_utf8() + name.len() + usize::from(colon);
                return Token::Parameter(name, colon);
            }
        }
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '*');
        if let Some(target) = digits.strip_prefix('>') {
            let target = target.strip_prefix('>').unwrap_or(target);
            let target = target.strip_prefix("&1").unwrap_or(target);
            self.position += rest.len() - target.len();
            return Token::Redirection(!rest[..rest.len() - target.len()].ends_with('1'));
        }
        if ends_word(first) {
            self.position += first.len_utf8();
            return Token::Other(first);
        }
        Token::Word
    }

    fn operand_or_operator(&mut self, first: char) -> Token<'s> {
        let rest = self.rest();
        let take = |lexer: &mut Self, length: usize| {
            lexer.position += length;
            &rest[..length]
        };
        if first.is_ascii_digit() {
            let length = number_length(rest);
            return Token::Number(take(self, length));
        }
        if first.is_alphabetic() || first == '_' {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || is_dash(c)))
                .unwrap_or(rest.len());
            return Token::Name(take(self, length));
        }
        if is_dash(first) {
            let behind = &rest[first.len_utf8()..];
            let word = behind
                .find(|c: char| !c.is_alphabetic())
                .unwrap_or(behind.len());
            if word > 0 {
                return Token::Operator(take(self, first.len_utf8() + word));
            }
        }
        if let Some(sign) = ASSIGNMENTS.iter().find(|sign| rest.starts_with(**sign)) {
            return Token::Assignment(take(self, sign.len()));
        }
        if let Some(sign) = OPERATORS.iter().find(|sign| rest.starts_with(**sign)) {
            return Token::Operator(take(self, sign.len()));
        }
        self.position += first.len_utf8();
        match first {
            '[' => Token::OpenBracket,
            ']' => Token::CloseBracket,
            _ if is_dash(first) => Token::Operator("-"),
            _ => Token::Other(first),
        }
    }

    /// Reads the name of a member.
    pub fn member(&mut self) -> Option<&'s str> {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        self.position += length;
        Some(&rest[..length]).filter(|name| !name.is_empty())
    }

    /// Reads what stands here next, if it is that.
    pub fn take(&mut self, sign: &str) -> bool {
        let is_next = self.rest().starts_with(sign);
        self.position += if is_next { sign.len() } else { 0 };
        is_next
    }

    /// Reads the next part of a text that has begun.
    pub fn part(&mut self, quoting: Quoting) -> Part<'s> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let at_start_of_line = text.is_empty() && self.text[..self.position].ends_with('\n');
            let end = match quoting {
                Quoting::Double => end_of_quote(rest),
                Quoting::Here => end_of_lines(rest, at_start_of_line),
                Quoting::Bare => end_of_word(rest),
            };
            let next = match (end, rest.chars().next()) {
                (Some(length), _) => Next::End(length),
                (None, None) => return Part::Unended,
                (None, Some('$')) if rest.starts_with("$(") => Next::Subexpression,
                (None, Some('$')) if { *self }.variable().is_some() => Next::Variable,
                (None, Some('`')) => Next::Escape,
                (None, Some(other)) => Next::Character(other),
            };
            match next {
                Next::Escape => text.extend(self.escaped()),
                Next::Character(other) => {
                    // A quote within quotes is written twice.
                    let doubled = quoting == Quoting::Double && is_double_quote(other);
                    let second = rest[other.len_utf8()..].chars().next();
                    self.position += other.len_utf8();
                    self.position += second.filter(|_| doubled).map_or(0, char::len_utf8);
                    text.push(other);
                }
                _ if !text.is_empty() => return Part::Text(text),
                Next::End(length) => {
                    self.position += length;
                    return Part::End;
                }
                Next::Subexpression => {
                    self.position += 2;
                    return Part::OpenSubexpression;
                }
                Next::Variable => return self.variable().map_or(Part::Unended, Part::Variable),
            }
        }
    }

    /// Reads a backtick and the character that it makes another of.
    fn escaped(&mut self) -> Option<char> {
        self.position += 1;
        let character = self.character()?;
        self.position += character.len_utf8();
        Some(match character {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            other => other,
        })
    }
}

/// What comes next in a text.
enum Next {
    /// Its end, of so many bytes.
    End(usize),
    Subexpression,
    Variable,
    Escape,
    Character(char),
}

/// What means the same everywhere, longer signs first.
const SIGNS: [(&str, Token<'static>); 11] = [
    ("$(", Token::OpenSubexpression),
    ("@(", Token::OpenArray),
    ("@{", Token::OpenTable),
    ("||", Token::Other('|')),
    ("|", Token::Pipe),
    (";", Token::Semicolon),
    (",", Token::Comma),
    ("(", Token::OpenParenthesis),
    (")", Token::CloseParenthesis),
    ("{", Token::OpenBrace),
    ("}", Token::CloseBrace),
];

const ASSIGNMENTS: [&str; 6] = ["=", "+=", "-=", "*=", "/=", "%="];

const OPERATORS: [&str; 12] = [
    "..", "++", "--", "::", "+", "*", "/", "%", "!", "?", ".", ":",
];

fn is_blank(character: char) -> bool {
    character.is_whitespace() && !is_newline(character)
}

fn is_newline(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

/// The bytes of the end of a line, if `text` begins with one.
fn newline(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n' | b'\r', ..] => Some(1),
        _ => None,
    }
}

fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// PowerShell takes the dashes that word processors make of a hyphen.
fn is_dash(character: char) -> bool {
    matches!(character, '-' | '–' | '—' | '―')
}

/// The same with quotes.
fn is_single_quote(character: char) -> bool {
    matches!(character, '\'' | '‘' | '’' | '‚' | '‛')
}

fn is_double_quote(character: char) -> bool {
    matches!(character, '"' | '“' | '”' | '„')
}

/// Whether a bare word is at its end before `character`.
pub fn ends_word(character: char) -> bool {
    character.is_whitespace()
        || is_single_quote(character)
        || is_double_quote(character)
        || "{}();,|&<>".contains(character)
}

/// `name`, `scope:name`, or one of the variables that are a single sign.
fn variable_name(text: &str) -> Option<&str> {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    let length = |text: &str| text.find(|c| !in_name(c)).unwrap_or(text.len());
    let first = length(text);
    if first == 0 {
        return text.get(..1).filter(|sign| ["?", "$", "^"].contains(sign));
    }
    let second = text[first..].strip_prefix(':').map_or(0, length);
    Some(
        &text[..if second > 0 {
            first + 1 + second
        } else {
            first
        }],
    )
}

/// A number, or what was meant as one or as an address: `10.0.0.5`, `4GB`. But `0..5` is two numbers.
fn number_length(text: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let digits = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        length += digits;
        match text[length..].strip_prefix('.') {
            Some(behind) if behind.starts_with(|c: char| c.is_ascii_digit()) => length += 1,
            _ => return length,
        }
    }
}

fn end_of_quote(text: &str) -> Option<usize> {
    let mut characters = text.chars();
    let quote = characters.next().filter(|c| is_double_quote(*c))?;
    let doubled = characters.next().is_some_and(is_double_quote);
    (!doubled).then_some(quote.len_utf8())
}

/// The end of a here-string: a quote and `@` at the start of a line. The end of the line before belongs to it.
fn end_of_lines(text: &str, at_start_of_line: bool) -> Option<usize> {
    let before = match newline(text) {
        Some(length) => length,
        None if at_start_of_line => 0,
        None => return None,
    };
    let mut characters = text[before..].chars();
    let quote = characters.next().filter(|c| is_double_quote(*c))?;
    (characters.next() == Some('@')).then_some(before + quote.len_utf8() + 1)
}

fn end_of_word(text: &str) -> Option<usize> {
    let mut characters = text.chars();
    match characters.next() {
        None => Some(0),
        Some('`') => newline(characters.as_str()).map(|_| 0),
        Some(character) => ends_word(character).then_some(0),
    }
}

//! What a script says, before anything of it is evaluated.

use std::rc::Rc;

use crate::policy_file::Span;

/// Statements in their order.
#[derive(Debug)]
pub struct Block {
    pub statements: Vec<Statement>,
}

#[derive(Debug)]
pub enum Statement {
    Assignment {
        variable: Name,
        value: Pipeline,
    },
    Pipeline(Pipeline),
    /// `foreach ($variable in items) { body }`
    Foreach {
        variable: Name,
        items: Pipeline,
        body: Block,
    },
    /// `for ($variable = first; $variable -lt limit; $variable++) { body }`
    For {
        variable: Name,
        first: Expression,
        /// Whether the limit is counted as well.
        inclusive: bool,
        limit: Expression,
        body: Block,
    },
    /// What has been refused, and the variables that would have got a value in it.
    Refused(Vec<Name>),
}

/// A name in lower case, and where it stands.
#[derive(Debug, Clone)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// Elements that hand on what they yield.
#[derive(Debug)]
pub struct Pipeline {
    pub elements: Vec<Element>,
}

#[derive(Debug)]
pub enum Element {
    Expression(Expression),
    Command(Command),
}

#[derive(Debug)]
pub struct Command {
    /// As it is written.
    pub name: Name,
    pub arguments: Vec<Argument>,
}

#[derive(Debug)]
pub enum Argument {
    /// `-Name`, with its value if a colon joins it.
    Parameter(Name, Option<Expression>),
    /// The value of the parameter before it, or of none.
    Value(Expression),
    /// `@name`
    Splat(Name),
}

#[derive(Debug)]
pub struct Expression {
    pub kind: ExpressionKind,
    pub span: Span,
}

#[derive(Debug)]
pub enum ExpressionKind {
    Text(Rc<str>),
    Number(i64),
    /// A text with variables in it.
    Expandable(Vec<Piece>),
    Variable(Name),
    /// What is read off a value, step by step.
    Steps(Box<Expression>, Vec<Step>),
    /// `a, b`
    List(Vec<Expression>),
    /// `@( … )`
    Array(Block),
    /// `@{ key = value }`
    Table(Vec<(Expression, Pipeline)>),
    /// `( … )`
    Group(Box<Pipeline>),
    /// `$( … )`
    Subexpression(Block),
    /// `{ … }`
    Block(Rc<Block>),
    /// Operands and the operators between them, all of one rank.
    Operation(Box<Expression>, Vec<(Name, Expression)>),
}

#[derive(Debug)]
pub enum Piece {
    Text(String),
    Value(Expression),
}

#[derive(Debug)]
pub enum Step {
    /// `.name`
    Member(Name),
    /// `.$name`
    NamedBy(Expression),
    /// `.name()`
    Call(Name),
    /// `[index]`
    Index(Expression),
}

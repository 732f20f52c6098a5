//! PowerShell, as far as scripts of Hyper-V Network Virtualization use it: text in, syntax tree out.
//!
//! What is not understood is noted and skipped, so that the rest is read as well.

mod expressions;
mod lexer;
mod parser;
mod refused;
mod syntax;

pub use parser::parse;
pub use syntax::{
    Argument, Block, Command, Element, Expression, ExpressionKind, Name, Piece, Pipeline,
    Statement, Step,
};

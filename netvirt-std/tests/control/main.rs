//! A running switch, seen and changed through its control socket.

mod apply;
mod command_line;
mod http;
mod lists;
mod policies;
mod questions;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod switch;

//! A running switch, seen and changed through its control socket.

mod http;
mod lists;
mod policies;
mod questions;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod switch;

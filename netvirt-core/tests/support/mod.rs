//! What the tests of whole policies and whole frames stand on.
#![allow(dead_code, reason = "each test program uses a part")]

pub mod drafts;
pub mod hosts;
pub mod network;
pub mod packets;
mod policies;

pub use policies::*;

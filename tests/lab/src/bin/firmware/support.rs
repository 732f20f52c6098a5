//! What the core's own tests of frames stand on.
#![allow(dead_code, reason = "they use all of it")]

#[path = "../../../../../netvirt-core/tests/support/hosts.rs"]
pub mod hosts;
#[path = "../../../../../netvirt-core/tests/support/network.rs"]
pub mod network;
#[path = "../../../../../netvirt-core/tests/support/packets.rs"]
pub mod packets;
#[path = "../../../../../netvirt-core/tests/support/policies.rs"]
mod policies;

pub use policies::*;

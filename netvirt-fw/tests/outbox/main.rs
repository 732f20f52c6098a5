//! Doing what was decided, in buffers: the outbox must send what the core says of the same frame, and count all it loses.

#[path = "../../../netvirt-core/tests/properties/frames.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod frames;
#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod support;

mod bench;
mod held;
mod losses;
mod outcomes;
mod properties;

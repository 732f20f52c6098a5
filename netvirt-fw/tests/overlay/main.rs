//! The overlay port: a stack inside a virtual network.

#[path = "../../../netvirt-core/tests/properties/frames.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod frames;
#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod wire;

mod bench;
mod congestion;
mod driver;
mod inward;
mod outward;
mod properties;
mod stacks;

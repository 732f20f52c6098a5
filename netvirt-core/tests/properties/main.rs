//! What holds for all frames and policies.

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod frames;
mod isolation;
mod quotes;
mod roundtrips;

//! What the fuzz targets do with their bytes.
//!
//! Each target is a function of bytes that panics where netvirt does something wrong. libFuzzer calls it through the
//! programs in `fuzz_targets`, and plain `cargo test` replays the corpora and the regression cases through the same
//! function.
//!
//! Frames, networks and the models of policy are those of the core's own tests.

#[allow(dead_code, reason = "the properties of the core use the rest")]
#[path = "../../../netvirt-core/tests/properties/frames.rs"]
mod frames;
#[allow(dead_code, reason = "the tests of merging use the rest")]
#[path = "../../../netvirt-core/tests/offload/mergers.rs"]
mod mergers;
#[path = "../../../netvirt-core/tests/policy_model/model.rs"]
mod model;
#[path = "../../../netvirt-core/tests/policy_model/steps.rs"]
mod steps;
#[path = "../../../netvirt-core/tests/policy_model/strategies.rs"]
mod strategies;
#[allow(dead_code, reason = "the tests of segmentation use the rest")]
#[path = "../../../netvirt-core/tests/offload/super_frames.rs"]
mod super_frames;
#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod support;

mod checksums;
mod decoder;
mod drawn;
mod encapsulate;
mod host;
mod inbound;
mod network;
mod outbound;
mod packet;
#[cfg(feature = "host-switch")]
mod policy_file;
mod rewrite;
#[cfg(feature = "host-switch")]
mod script;
pub mod seeds;
mod segments;
mod site;
mod transactions;
mod wire;

pub use checksums::checksums;
pub use decoder::decoder;
pub use encapsulate::encapsulate;
pub use inbound::inbound;
pub use network::network;
pub use outbound::outbound;
#[cfg(feature = "host-switch")]
pub use policy_file::policy_file;
pub use rewrite::rewrite;
#[cfg(feature = "host-switch")]
pub use script::script;
pub use segments::segments;
pub use transactions::transactions;
pub use wire::wire;

//! Where packets go next, told by the datapath without sending one.

mod agreement;
#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod networks;
#[path = "../support/mod.rs"]
mod support;
mod told;

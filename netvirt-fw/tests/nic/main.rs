//! The offload NIC between two links in memory, with the core's own decisions as its measure.

#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod support;

mod agreement;
mod exceptions;
mod link;
mod management;
mod news;
mod pressure;
mod site;
mod storm;
mod super_frames;

//! The network-virtualization datapath of [`netvirt_core`] on SmartNICs and DPUs.
//!
//! | Module | What is in it |
//! |---|---|
//! | [`download`] | changing the policy of a NIC over the network, and reading back what it holds and counts |
//! | [`driver`] | any driver of the embassy family as rings |
//! | [`header`] | what host and NIC tell each other beside each frame |
//! | [`nic`] | the offload NIC: a runner between host, wire and the NIC's own stack (feature `embassy`) |
//! | [`nve`] | policy, counters and their storage |
//! | [`outbox`] | doing what was decided about a frame |
//! | [`overlay`] | a network stack that lives inside a virtual network |
//! | [`rings`] | the seam to the NIC's own rings: batches of buffers with headroom, in place |
//!
//! With the feature `defmt` or `log` the NIC tells how each download ended, and which policy it has.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

#[cfg(feature = "embassy")]
#[macro_use]
mod events;

pub mod download;
#[cfg(feature = "embassy")]
pub mod driver;
pub mod header;
#[cfg(feature = "embassy")]
mod news;
#[cfg(feature = "embassy")]
pub mod nic;
pub mod nve;
pub mod outbox;
#[cfg(feature = "embassy")]
pub mod overlay;
pub mod rings;

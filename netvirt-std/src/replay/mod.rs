//! Pushing captured frames through the datapath of a host, offline.

mod input;

pub use input::{InputError, Place, PortCapture, frames_in_order};

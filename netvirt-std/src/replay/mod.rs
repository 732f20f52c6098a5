//! Pushing captured frames through the datapath of a host, offline.

mod input;
mod line;
mod recording;
mod run;

pub use input::{InputError, Place, PortCapture, frames_in_order};
pub use line::{FrameLine, OutLine};
pub use recording::Recording;
pub use run::{Replay, Replayed};

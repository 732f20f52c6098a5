//! Captures of frames: reading pcap and pcapng, putting several in order of time, writing pcapng.

mod error;
pub mod live;
mod merge;
mod read;
mod write;

pub use error::{CaptureError, CaptureFault};
pub use merge::in_order_of_time;
pub use read::{CaptureReader, CapturedFrame};
pub use write::{CaptureWriter, Direction, InterfaceId};

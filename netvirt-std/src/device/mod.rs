//! Devices: where frames come from and go to.
//!
//! A device has two halves, so that a frame can be sent out of where another one still lies. A [`Receiver`] fetches
//! frames in batches and keeps them until the next batch; a [`Sender`] takes frames in two pieces, a new front and
//! what is left of the received frame, so that nothing is copied between devices.

mod features;
pub mod kernel;
pub mod link;
pub mod memory;
pub mod namespace;
pub mod packet;
pub mod tap;
mod vnet_header;

use std::io;
use std::os::fd::BorrowedFd;

use netvirt_core::offload::Offload;

/// Frames that are fetched and sent at once.
pub const BATCH: usize = 32;

/// Work that a device takes over from the switch. What it does not, the switch does before it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Transport checksums may be left [partial](netvirt_core::offload::PartialChecksum).
    pub checksum: bool,
    /// Super-frames may be left [whole](netvirt_core::offload::Segmentation).
    pub segmentation: bool,
}

/// A received frame. It lies in the device until the next batch is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'d> {
    /// Its bytes, from the Ethernet header on, an 802.1Q tag included. An empty slice if the frame was larger than the
    /// device has room for or its virtio-net header contradicted it: the switch drops and counts it as truncated.
    pub bytes: &'d [u8],
    /// Work that is still to be done.
    pub offload: Offload,
}

/// The receiving half of one queue of a device.
pub trait Receiver: Send {
    /// What becomes readable when there is a frame.
    fn readiness(&self) -> BorrowedFd<'_>;

    /// Gives the frames of the last batch back and fetches up to [`BATCH`] others, without waiting. Yields how many
    /// there are; fewer than [`BATCH`] says that there are no more for now.
    ///
    /// # Errors
    /// The device is gone, or cannot be read.
    fn fetch(&mut self) -> io::Result<usize>;

    /// A frame of the batch, which is numbered below what `fetch` yielded.
    fn frame(&self, number: usize) -> Received<'_>;

    /// Whether the device is gone for good. Some do not say so when they are read.
    fn is_gone(&self) -> bool {
        false
    }

    /// Gives the frames of the batch back before the next is fetched. A ring is readable as long as a frame of it is
    /// kept, so this comes before waiting.
    fn release(&mut self) {}
}

/// A frame to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'f> {
    /// Its first bytes.
    pub front: &'f [u8],
    /// The bytes behind them.
    pub rest: &'f [u8],
    /// Work that is left for the device; only what its [`Capabilities`] say.
    pub offload: Offload,
    /// Set by the device if it could not take the frame.
    pub is_lost: bool,
}

impl<'f> Outgoing<'f> {
    /// A frame in one piece, with nothing left to do.
    pub const fn whole(bytes: &'f [u8]) -> Self {
        Self {
            front: bytes,
            rest: &[],
            offload: Offload::NONE,
            is_lost: false,
        }
    }
}

/// The sending half of one queue of a device.
pub trait Sender: Send {
    /// What the device takes over.
    fn capabilities(&self) -> Capabilities;

    /// Sends frames in their order, without waiting. Frames that the device has no room for, or that it refuses, are
    /// marked as lost.
    fn send(&mut self, frames: &mut [Outgoing<'_>]);
}

/// The largest frame of an interface: a packet of its MTU behind an Ethernet header with one tag.
fn largest_frame(mtu: u32) -> usize {
    const ETHERNET_HEADER: usize = 14;
    const TAG: usize = 4;
    ETHERNET_HEADER + TAG + mtu as usize
}

/// Bytes from one buffer to the next: at least `room`, and an odd number of cache lines, so that the first lines of all
/// buffers do not compete for the same few places in the cache.
fn spread(room: usize) -> usize {
    const CACHE_LINE: usize = 64;
    (room.div_ceil(CACHE_LINE) | 1) * CACHE_LINE
}

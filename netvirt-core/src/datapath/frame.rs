//! What the datapath is given.

use serde::{Deserialize, Serialize};

use super::reason::DropReason;
use crate::address::{PortId, UplinkId};
use crate::offload::Offload;
use crate::table::Cpu;
use crate::wire::{self, Facts, Network};

/// Where a frame came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ingress {
    /// From a virtual machine.
    Port(PortId),
    /// From the provider network.
    Uplink(UplinkId),
}

/// A received frame: its first bytes in one piece, its length, and the work beside it.
///
/// The datapath reads headers only, so a frame that lies in several buffers needs no more than its first
/// [`Frame::WINDOW`] bytes in one piece.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'f> {
    /// Where it came in.
    pub ingress: Ingress,
    /// The first bytes, from the Ethernet header on, without frame check sequence.
    pub window: &'f [u8],
    /// Bytes of the whole frame, at least those of the window.
    pub length: usize,
    /// Work still to be done.
    pub offload: Offload,
}

impl<'f> Frame<'f> {
    /// Bytes in which the headers of every frame are found: outer Ethernet, IP and GRE, inner Ethernet and
    /// IP with options, and the transport header.
    pub const WINDOW: usize = 256;

    /// Asks for the bytes that are read first.
    #[inline(always)]
    pub(super) fn prefetch<C: Cpu>(&self) {
        for line in [0, 64] {
            if let Some(first) = self.window.get(line) {
                C::prefetch(first);
            }
        }
    }

    /// Whether the header checksum of an IPv4 packet is right; IPv6 has none.
    #[inline(always)]
    pub(super) fn has_intact_header(&self, facts: &Facts) -> bool {
        facts.network != Network::Ipv4 || wire::ipv4_header_is_valid(self.window, facts)
    }

    /// Refuses work in front of the transport header: its place may be taken off the frame, or hold what is decided by.
    #[inline(always)]
    pub(super) fn check_offload(&self, facts: &Facts) -> Result<(), DropReason> {
        if self.offload == Offload::NONE || self.offload.lies_behind(facts.transport_offset) {
            Ok(())
        } else {
            Err(DropReason::OffloadBad)
        }
    }

    /// A frame that lies in one piece, with nothing left to do.
    pub const fn whole(ingress: Ingress, bytes: &'f [u8]) -> Self {
        Self {
            ingress,
            window: bytes,
            length: bytes.len(),
            offload: Offload::NONE,
        }
    }
}

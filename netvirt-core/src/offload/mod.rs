//! Work that a NIC may still have to do, or has already done, carried beside each frame; and the same work in
//! software: [`SuperFrame`] cuts, [`Merger`] merges, [`PartialChecksum::complete`] finishes checksums, [`rss_hash`] and
//! [`QueueFilters`] choose queues.

mod checksum;
mod headers;
mod merge;
mod rss;
mod segment;
mod toeplitz;
mod tunnel;
mod vmq;

pub use checksum::{ChecksumOutOfBounds, has_right_checksum};
pub use merge::{MERGED_ROOM, MergeFrame, MergeLimits, MergeSlot, Merged, Merger, Offer};
pub use rss::{HashTypes, IndirectionTable, NoPowerOfTwo, RssHash, rss_hash};
pub use segment::{
    InvalidSuperFrame, LONGEST_HEADERS, Segment, SegmentError, SegmentLimits, Segments, SuperFrame,
};
pub use toeplitz::{ByteTable, NibbleTable, TOEPLITZ_INPUT, Toeplitz, ToeplitzKey};
pub use vmq::{FilterRefused, QueueFilter, QueueFilters, QueueMatch, QueueSlot};

use crate::edit::HEADROOM;

/// A transport checksum that somebody further down the path must complete: the field holds the
/// pseudo-header's sum, not yet complemented, as in virtio-net's `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialChecksum {
    /// Where summing starts, in bytes from the start of the frame.
    pub start: u16,
    /// Where the sum is stored, in bytes behind `start`.
    pub offset: u16,
}

/// What a super-frame is to be cut into.
// Counted from 1, so that `Offload::NONE` is all zero bytes: a `static` of them takes no room in a firmware image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// TCP segments over IPv4.
    TcpIpv4 = 1,
    /// TCP segments over IPv6.
    TcpIpv6,
    /// UDP datagrams (UDP segmentation offload).
    Udp,
}

/// Segmentation that is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    /// What the segments are.
    pub kind: SegmentKind,
    /// Payload bytes of each segment but the last.
    pub segment_size: u16,
    /// Bytes of the frame in front of the payload, Ethernet header included.
    pub header_length: u16,
}

/// What still has to happen to a frame, and what a NIC already found out, after virtio-net's header.
/// The default says: complete, and nothing known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    /// The transport checksum to be completed.
    pub checksum: Option<PartialChecksum>,
    /// The segmentation to be done.
    pub segmentation: Option<Segmentation>,
    /// The RSS hash over the frame, if a NIC computed one.
    pub hash: Option<u32>,
}

impl Offload {
    /// Nothing to do, nothing known.
    pub const NONE: Self = Self {
        checksum: None,
        segmentation: None,
        hash: None,
    };

    /// Whether all work lies at `offset` or behind it, and still can be described when an edit has put the longest
    /// header in front.
    #[cold]
    pub(crate) fn lies_behind(&self, offset: u16) -> bool {
        let places = [
            self.checksum.map(|partial| partial.start),
            self.segmentation.map(|work| work.header_length),
        ];
        let usable = offset..=u16::MAX - HEADROOM as u16;
        places
            .into_iter()
            .flatten()
            .all(|place| usable.contains(&place))
    }

    /// The same work, after the front of the frame grew or shrank. It [lies behind](Self::lies_behind) what was pulled.
    #[inline(always)]
    pub(crate) fn shifted(self, pushed: usize, pulled: u16) -> Self {
        if self == Self::NONE {
            self
        } else {
            self.shift(pushed as u16, pulled)
        }
    }

    /// Whether the checksum at this offset in the frame is left to be completed.
    #[inline(always)]
    pub(crate) fn completes(&self, at: u16) -> bool {
        self.checksum
            .is_some_and(|partial| partial.start.wrapping_add(partial.offset) == at)
    }

    #[cold]
    fn shift(self, pushed: u16, pulled: u16) -> Self {
        let shift = |position: u16| position.saturating_sub(pulled).saturating_add(pushed);
        Self {
            checksum: self.checksum.map(|partial| PartialChecksum {
                start: shift(partial.start),
                ..partial
            }),
            segmentation: self.segmentation.map(|work| Segmentation {
                header_length: shift(work.header_length),
                ..work
            }),
            hash: self.hash,
        }
    }
}

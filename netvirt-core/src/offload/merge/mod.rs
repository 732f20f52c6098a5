//! Merging received segments back into super-frames (GRO, receive segment coalescing).

mod received;

use core::ops::Range;

use managed::ManagedSlice;

pub use received::MERGED_ROOM;
use received::{Layout, Received, Varying};

use super::{Offload, Segmentation};
use crate::address::{AddressBits, Family};
use crate::checksum::pseudo_header;
use crate::wire::{self, Facts, Fragment};

/// How far merging goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeLimits {
    /// Payload bytes of a segment, at least: smaller ones could not be cut again.
    pub smallest_segment: u16,
    /// Segments of a merged frame, at most.
    pub most_segments: u32,
    /// Bytes of a merged IP packet, at most.
    pub longest_packet: u16,
}

impl MergeLimits {
    /// 48 bytes, 64 segments, and the longest IP packet there is.
    pub const DEFAULT: Self = Self {
        smallest_segment: 48,
        most_segments: 64,
        longest_packet: u16::MAX,
    };
}

impl Default for MergeLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A frame as it is to be delivered, after decapsulation, in two pieces.
#[derive(Debug, Clone, Copy)]
pub struct MergeFrame<'f> {
    /// The first bytes, at least all headers.
    pub front: &'f [u8],
    /// What follows.
    pub rest: &'f [u8],
    /// Work beside the frame. A frame with a checksum or segmentation to be done is passed on as it is.
    pub offload: Offload,
    /// Where the frame goes to. Frames with different ones never meet: two tenants may use the same addresses.
    pub lane: u32,
    /// Whether the transport checksum was found right already; it is verified otherwise.
    pub is_valid: bool,
    /// Whether the receiver takes super-frames of UDP.
    pub merges_udp: bool,
}

/// What becomes of a frame that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// It is not merged: send it as it is.
    Alone,
    /// It is the first of its flow: keep these bytes of it, counted from the start of the frame, as the payload of the
    /// slot.
    Started {
        /// The slot.
        slot: usize,
        /// The payload.
        payload: Range<usize>,
    },
    /// It continues its flow: append these bytes of it to the payload of the slot.
    Joined {
        /// The slot.
        slot: usize,
        /// The payload.
        payload: Range<usize>,
    },
    /// What this slot holds has to be sent first: [`take`](Merger::take) it, then offer the frame again.
    Flush {
        /// The slot.
        slot: usize,
    },
}

/// A merged frame, whose payload the caller holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Bytes of its headers.
    pub header_length: usize,
    /// How many received frames it is.
    pub segments: u32,
    /// What is to be done to it: nothing, if it is a single frame.
    pub offload: Offload,
}

/// What two frames must share to be of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    lane: u32,
    protocol: u8,
    ports: u32,
    source: AddressBits,
    destination: AddressBits,
}

impl Flow {
    const fn of(lane: u32, facts: &Facts) -> Self {
        Self {
            lane,
            protocol: facts.protocol,
            ports: facts.ports,
            source: facts.source_address,
            destination: facts.destination_address,
        }
    }

    /// Whether a frame must not overtake those of the flow. Fragments do not tell their ports.
    fn includes(&self, other: &Self, facts: &Facts) -> bool {
        match facts.fragment {
            Fragment::Whole => self == other,
            Fragment::First | Fragment::Later => {
                (self.lane, self.source, self.destination)
                    == (other.lane, other.source, other.destination)
            }
        }
    }
}

/// Room for one flow whose frames are being merged.
#[derive(Debug, Clone, Copy)]
pub struct MergeSlot(Option<Held>);

impl MergeSlot {
    /// No flow.
    pub const EMPTY: Self = Self(None);
}

/// The headers of what was merged so far.
#[derive(Debug, Clone, Copy)]
struct Held {
    flow: Flow,
    first: Received,
    /// By how much the identification of IPv4 grows with each frame; known from the second on.
    identification_step: Option<u16>,
    segments: u32,
    payload_length: u32,
    /// The flags of the last frame.
    flags: u8,
    is_ended: bool,
    hash: Option<u32>,
    /// When it began.
    age: u32,
}

/// Merges frames of several flows at a time; holds their headers, while the caller holds their payload.
///
/// Frames are merged if the receiver of the merged frame sees what it would have seen of the single ones, and if
/// [segmenting](super::SuperFrame) the merged frame yields them again, byte for byte:
///
/// - Ethernet, IP and transport headers are equal but for lengths, checksums, the identification of IPv4, and TCP's
///   sequence number, PSH and FIN. So addresses, VLAN, DSCP and ECN, TTL, DF, flow label, ports, acknowledgment, window and
///   all options with their timestamps are. No frame has IP options, extension headers or is a fragment.
/// - The identification of IPv4 grows by one with each frame. With DF set it may also stay the same (RFC 6864 gives
///   it no meaning then); segmenting again numbers such frames, the one exception to *byte for byte*.
/// - TCP: each continues the one before, and has no flag but ACK, PSH and FIN; the latter two end the frame.
/// - UDP: only if the frame says so, and with a checksum.
/// - All but the last carry as much as the first, the last not more.
/// - All checksums are right, in the form in which they are computed.
///
/// The work for a frame is bounded: it is compared with each slot, and a flow that began longest ago makes room.
///
/// ```
/// use netvirt_core::offload::*;
/// # fn deliver(_: &[u8], _: &[u8], _: &Offload) {}
/// # let received: [Vec<u8>; 0] = [];
/// let mut slots = [MergeSlot::EMPTY; 8];
/// let mut merger = Merger::new((&mut slots[..]).into(), MergeLimits::DEFAULT);
/// let mut payloads = [const { Vec::new() }; 8];
/// let mut header = [0; MERGED_ROOM];
/// for bytes in &received {
///     let frame = MergeFrame {
///         front: bytes, rest: &[], offload: Offload::NONE, lane: 0, is_valid: false, merges_udp: false,
///     };
///     loop {
///         match merger.offer(&frame) {
///             Offer::Alone => deliver(bytes, &[], &Offload::NONE),
///             Offer::Started { slot, payload } => payloads[slot] = bytes[payload].to_vec(),
///             Offer::Joined { slot, payload } => payloads[slot].extend(&bytes[payload]),
///             Offer::Flush { slot } => {
///                 if let Some(merged) = merger.take(slot, &mut header) {
///                     deliver(&header[..merged.header_length], &payloads[slot], &merged.offload);
///                 }
///                 continue;
///             }
///         }
///         break;
///     }
/// }
/// // At the end of the batch nothing is held back.
/// while let Some(slot) = merger.oldest() {
///     if let Some(merged) = merger.take(slot, &mut header) {
///         deliver(&header[..merged.header_length], &payloads[slot], &merged.offload);
///     }
/// }
/// ```
pub struct Merger<'s> {
    slots: ManagedSlice<'s, MergeSlot>,
    limits: MergeLimits,
    began: u32,
}

impl<'s> Merger<'s> {
    /// Merges as many flows at a time as there are slots, all [`MergeSlot::EMPTY`]. Without slots nothing is merged.
    pub const fn new(slots: ManagedSlice<'s, MergeSlot>, limits: MergeLimits) -> Self {
        Self {
            slots,
            limits,
            began: 0,
        }
    }

    /// Decides about a frame. After [`Offer::Flush`] it is offered again; it never has to be more often than there are
    /// slots.
    pub fn offer(&mut self, frame: &MergeFrame<'_>) -> Offer {
        let length = frame.front.len().wrapping_add(frame.rest.len());
        let facts = match wire::parse(frame.front, length, 0) {
            Ok(facts) if facts.is_ip() => facts,
            _ => return Offer::Alone,
        };
        let flow = Flow::of(frame.lane, &facts);
        let received = Received::read(frame, &facts);
        let is_of_flow = |held: &Held| held.flow.includes(&flow, &facts);
        match (self.find(is_of_flow), received) {
            (Some(slot), Some(received)) => self.join(slot, &received),
            (Some(slot), None) => Offer::Flush { slot },
            (None, Some(received)) => self.start(flow, &received, frame.offload.hash),
            (None, None) => Offer::Alone,
        }
    }

    /// The slot that has been held longest, if any is.
    pub fn oldest(&self) -> Option<usize> {
        let age = |held: &Held| self.began.wrapping_sub(held.age);
        let held = self.slots.iter().enumerate();
        held.filter_map(|(slot, MergeSlot(held))| Some((age(held.as_ref()?), slot)))
            .max_by_key(|(age, _)| *age)
            .map(|(_, slot)| slot)
    }

    /// Ends what a slot holds, and writes its headers to the start of `out`; `None` if it holds nothing.
    pub fn take(&mut self, slot: usize, out: &mut [u8; MERGED_ROOM]) -> Option<Merged> {
        let held = self.slots.get_mut(slot)?.0.take()?;
        Some(held.emit(out))
    }

    fn find(&self, is_wanted: impl Fn(&Held) -> bool) -> Option<usize> {
        self.slots
            .iter()
            .position(|MergeSlot(held)| held.as_ref().is_some_and(&is_wanted))
    }

    fn join(&mut self, slot: usize, received: &Received) -> Offer {
        let held = self.slots.get_mut(slot).and_then(|slot| slot.0.as_mut());
        match held.and_then(|held| held.join(received, &self.limits)) {
            Some(()) => Offer::Joined {
                slot,
                payload: received.payload(),
            },
            None => Offer::Flush { slot },
        }
    }

    fn start(&mut self, flow: Flow, received: &Received, hash: Option<u32>) -> Offer {
        let is_small = received.payload_length < self.limits.smallest_segment;
        if is_small || received.is_end() || self.slots.is_empty() {
            return Offer::Alone;
        }
        let vacant = self
            .slots
            .iter_mut()
            .enumerate()
            .find(|(_, slot)| slot.0.is_none());
        let Some((slot, place)) = vacant else {
            return match self.oldest() {
                Some(slot) => Offer::Flush { slot },
                None => Offer::Alone,
            };
        };
        self.began = self.began.wrapping_add(1);
        place.0 = Some(Held {
            flow,
            first: *received,
            identification_step: None,
            segments: 1,
            payload_length: u32::from(received.payload_length),
            flags: received.varying.flags,
            is_ended: false,
            hash,
            age: self.began,
        });
        Offer::Started {
            slot,
            payload: received.payload(),
        }
    }
}

impl Received {
    /// Where its payload lies in the frame.
    fn payload(&self) -> Range<usize> {
        let start = usize::from(self.layout.length);
        start..start.wrapping_add(usize::from(self.payload_length))
    }
}

impl Held {
    /// Takes a frame of the same flow behind the others, if it continues them.
    fn join(&mut self, next: &Received, limits: &MergeLimits) -> Option<()> {
        let first = &self.first;
        let payload_length = self
            .payload_length
            .checked_add(u32::from(next.payload_length))?;
        let own_headers = u32::from(first.layout.length.wrapping_sub(first.layout.network));
        let continues = !self.is_ended
            && first.layout == next.layout
            && first.shape == next.shape
            && next.payload_length <= first.payload_length
            && self.segments < limits.most_segments
            && own_headers.wrapping_add(payload_length) <= u32::from(limits.longest_packet)
            && (first.layout.kind == super::SegmentKind::Udp
                || next.varying.sequence
                    == first.varying.sequence.wrapping_add(self.payload_length));
        if !continues {
            return None;
        }
        self.identification_step = self.step_to(next)?;
        self.is_ended = next.is_end() || next.payload_length < first.payload_length;
        self.segments = self.segments.wrapping_add(1);
        self.payload_length = payload_length;
        self.flags = next.varying.flags;
        Some(())
    }

    /// How the identification grows if this frame joins: `None` if not evenly, or in a way that is not allowed.
    fn step_to(&self, next: &Received) -> Option<Option<u16>> {
        if self.first.layout.family == Family::Ipv6 {
            return Some(None);
        }
        let first = self.first.varying.identification;
        let grown = next.varying.identification.wrapping_sub(first);
        let allowed = match (self.identification_step, grown) {
            (None, 0) if next.has_dont_fragment => 0,
            (None, 1) => 1,
            (Some(0), 0) => 0,
            (Some(1), _) if u32::from(grown) == self.segments => 1,
            _ => return None,
        };
        Some(Some(allowed))
    }

    fn emit(&self, out: &mut [u8; MERGED_ROOM]) -> Merged {
        let Received {
            layout,
            varying,
            payload_length,
            ..
        } = &self.first;
        *out = self.first.shape;
        let offload = match self.segments {
            1 => {
                layout.put_varying(out, varying, self.payload_length);
                Offload {
                    hash: self.hash,
                    ..Offload::NONE
                }
            }
            _ => {
                let merged = Varying {
                    flags: self.flags,
                    checksum: self.pseudo_sum(layout),
                    ..*varying
                };
                layout.put_varying(out, &merged, self.payload_length);
                Offload {
                    checksum: Some(layout.partial_checksum()),
                    segmentation: Some(Segmentation {
                        kind: layout.kind,
                        segment_size: *payload_length,
                        header_length: layout.length,
                    }),
                    hash: self.hash,
                }
            }
        };
        Merged {
            header_length: usize::from(layout.length),
            segments: self.segments,
            offload,
        }
    }

    fn pseudo_sum(&self, layout: &Layout) -> u16 {
        let header = u32::from(layout.length.wrapping_sub(layout.transport));
        pseudo_header(
            self.flow.source,
            self.flow.destination,
            self.flow.protocol,
            header.wrapping_add(self.payload_length),
        )
    }
}

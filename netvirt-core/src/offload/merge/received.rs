//! A received frame as merging sees it: whether it may be merged at all, what must be alike, and what differs from
//! segment to segment.

use super::MergeFrame;
use crate::address::Family;
use crate::checksum::ipv4_header_sum;
use crate::offload::checksum::{OFFSET_IN_UDP, is_right};
use crate::offload::headers::OFFSET_IN_TCP;
use crate::offload::{PartialChecksum, SegmentKind};
use crate::wire::{self, Facts, Network, Notes, protocol};

/// Bytes of room for the headers of a merged frame: Ethernet with a tag, IPv6, TCP with all options.
pub const MERGED_ROOM: usize = 128;

const DONT_FRAGMENT: u16 = 0x4000;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Where the headers of a frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub kind: SegmentKind,
    pub family: Family,
    pub network: u16,
    pub transport: u16,
    /// All headers, in bytes.
    pub length: u16,
}

/// What differs from segment to segment, beside lengths and what follows from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Varying {
    /// Of IPv4.
    pub identification: u16,
    /// Of TCP, like the flags.
    pub sequence: u32,
    pub flags: u8,
    pub checksum: u16,
}

/// A frame that may be merged with others of its flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub layout: Layout,
    /// The headers, with zeros for what differs from segment to segment: two frames merge only if these are equal.
    pub shape: [u8; MERGED_ROOM],
    pub varying: Varying,
    pub payload_length: u16,
    pub has_dont_fragment: bool,
}

impl Received {
    /// Reads a frame; `None` if it has to be passed on as it is.
    pub fn read(frame: &MergeFrame<'_>, facts: &Facts) -> Option<Self> {
        let is_finished = frame.offload.checksum.is_none() && frame.offload.segmentation.is_none();
        if !is_finished || facts.notes != Notes::EMPTY {
            return None;
        }
        let layout = Layout::of(frame, facts)?;
        let mut shape = [0; MERGED_ROOM];
        let header_length = usize::from(layout.length);
        shape
            .get_mut(..header_length)?
            .copy_from_slice(frame.front.get(..header_length)?);
        let flags_and_offset = layout.check_ip(frame, facts, &shape)?;
        let payload_length = facts.end.checked_sub(u32::from(layout.length))?;
        let varying = layout.take_varying(&mut shape, facts)?;
        if payload_length == 0 || !frame.is_valid && !is_right(facts, frame.front, frame.rest) {
            return None;
        }
        Some(Self {
            layout,
            shape,
            varying,
            payload_length: u16::try_from(payload_length).ok()?,
            has_dont_fragment: flags_and_offset == DONT_FRAGMENT,
        })
    }

    /// Whether nothing may be merged behind this frame.
    pub const fn is_end(&self) -> bool {
        self.varying.flags & (FIN | PSH) != 0
    }
}

impl Layout {
    fn of(frame: &MergeFrame<'_>, facts: &Facts) -> Option<Self> {
        let family = facts.family()?;
        let transport = frame.front.get(usize::from(facts.transport_offset)..)?;
        let (kind, length) = match facts.protocol {
            protocol::TCP => {
                let length = u16::from(*transport.get(12)? >> 4) * 4;
                match family {
                    Family::Ipv4 => (SegmentKind::TcpIpv4, length),
                    Family::Ipv6 => (SegmentKind::TcpIpv6, length),
                }
            }
            protocol::UDP if frame.merges_udp => (SegmentKind::Udp, 8),
            _ => return None,
        };
        Some(Self {
            kind,
            family,
            network: facts.network_offset,
            transport: facts.transport_offset,
            length: facts.transport_offset.checked_add(length)?,
        })
    }

    /// Whether the IP header is one that segmenting writes again; of IPv4 the flags and offset.
    fn check_ip(
        &self,
        frame: &MergeFrame<'_>,
        facts: &Facts,
        header: &[u8; MERGED_ROOM],
    ) -> Option<u16> {
        if facts.network != Network::Ipv4 {
            return Some(0);
        }
        let ip: &[u8; 20] = chunk(header, self.network)?;
        let flags_and_offset = u16::from_be_bytes([ip[6], ip[7]]);
        // The one of the two zeros that nobody computes would not come back.
        let is_canonical = [ip[10], ip[11]] != [0xff, 0xff];
        let is_right = is_canonical && wire::ipv4_header_is_valid(frame.front, facts);
        (is_right && matches!(flags_and_offset, 0 | DONT_FRAGMENT)).then_some(flags_and_offset)
    }

    /// Takes what differs from segment to segment out of the headers; `None` if they are not those of a segment.
    fn take_varying(&self, header: &mut [u8; MERGED_ROOM], facts: &Facts) -> Option<Varying> {
        let mut varying = Varying {
            identification: 0,
            sequence: 0,
            flags: 0,
            checksum: 0,
        };
        match self.family {
            Family::Ipv4 => {
                let ip: &mut [u8; 20] = chunk_mut(header, self.network)?;
                varying.identification = u16::from_be_bytes([ip[4], ip[5]]);
                [ip[2], ip[3], ip[4], ip[5], ip[10], ip[11]] = [0; 6];
            }
            Family::Ipv6 => {
                let ip: &mut [u8; 40] = chunk_mut(header, self.network)?;
                [ip[4], ip[5]] = [0; 2];
            }
        }
        match self.kind {
            SegmentKind::TcpIpv4 | SegmentKind::TcpIpv6 => {
                let tcp: &mut [u8; 20] = chunk_mut(header, self.transport)?;
                varying.sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
                varying.flags = tcp[13];
                varying.checksum = u16::from_be_bytes([tcp[16], tcp[17]]);
                let is_plain = tcp[13] & !(PSH | FIN) == ACK
                    && tcp[12] & 0x0f == 0
                    && tcp[12] >= 0x50
                    && [tcp[18], tcp[19]] == [0, 0]
                    && varying.checksum != 0xffff;
                [tcp[4], tcp[5], tcp[6], tcp[7]] = [0; 4];
                [tcp[13], tcp[16], tcp[17]] = [0; 3];
                is_plain.then_some(varying)
            }
            SegmentKind::Udp => {
                let udp: &mut [u8; 8] = chunk_mut(header, self.transport)?;
                varying.checksum = u16::from_be_bytes([udp[6], udp[7]]);
                let length = u16::from_be_bytes([udp[4], udp[5]]);
                let is_plain =
                    u32::from(length) == facts.transport_length() && varying.checksum != 0;
                [udp[4], udp[5], udp[6], udp[7]] = [0; 4];
                is_plain.then_some(varying)
            }
        }
    }

    /// Puts into headers without it what differs from segment to segment, for a payload of this length.
    pub fn put_varying(&self, header: &mut [u8; MERGED_ROOM], varying: &Varying, payload: u32) {
        let end = payload.wrapping_add(u32::from(self.length));
        let length = end.wrapping_sub(u32::from(self.network)) as u16;
        match self.family {
            Family::Ipv4 => {
                if let Some(ip) = chunk_mut::<20>(header, self.network) {
                    [ip[2], ip[3]] = length.to_be_bytes();
                    [ip[4], ip[5]] = varying.identification.to_be_bytes();
                    let checksum = !ipv4_header_sum(ip);
                    [ip[10], ip[11]] = checksum.to_be_bytes();
                }
            }
            Family::Ipv6 => {
                if let Some(ip) = chunk_mut::<40>(header, self.network) {
                    [ip[4], ip[5]] = length.wrapping_sub(40).to_be_bytes();
                }
            }
        }
        match self.kind {
            SegmentKind::TcpIpv4 | SegmentKind::TcpIpv6 => {
                if let Some(tcp) = chunk_mut::<20>(header, self.transport) {
                    [tcp[4], tcp[5], tcp[6], tcp[7]] = varying.sequence.to_be_bytes();
                    tcp[13] = varying.flags;
                    [tcp[16], tcp[17]] = varying.checksum.to_be_bytes();
                }
            }
            SegmentKind::Udp => {
                if let Some(udp) = chunk_mut::<8>(header, self.transport) {
                    let length = end.wrapping_sub(u32::from(self.transport)) as u16;
                    [udp[4], udp[5]] = length.to_be_bytes();
                    [udp[6], udp[7]] = varying.checksum.to_be_bytes();
                }
            }
        }
    }

    /// What is left to be done to a merged frame, but for the segmentation.
    pub fn partial_checksum(&self) -> PartialChecksum {
        PartialChecksum {
            start: self.transport,
            offset: match self.kind {
                SegmentKind::TcpIpv4 | SegmentKind::TcpIpv6 => OFFSET_IN_TCP,
                SegmentKind::Udp => OFFSET_IN_UDP,
            },
        }
    }
}

fn chunk<const N: usize>(header: &[u8; MERGED_ROOM], at: u16) -> Option<&[u8; N]> {
    header.get(usize::from(at)..)?.first_chunk()
}

fn chunk_mut<const N: usize>(header: &mut [u8; MERGED_ROOM], at: u16) -> Option<&mut [u8; N]> {
    header.get_mut(usize::from(at)..)?.first_chunk_mut()
}

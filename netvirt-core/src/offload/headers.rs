//! The headers of a super-frame that differ from segment to segment, and whether they allow to cut it.

use super::checksum::OFFSET_IN_UDP;
use super::{InvalidSuperFrame, Offload, SegmentKind, Segmentation};
use crate::address::Family;
use crate::checksum::{add, sum};
use crate::wire::{self, Fragment, Malformed, Notes, ethertype, protocol};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const URG: u8 = 0x20;
const CWR: u8 = 0x80;

/// Where TCP has its checksum.
pub(super) const OFFSET_IN_TCP: u16 = 16;

/// An IP header that is written anew for each segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IpHeader {
    /// Where it begins.
    pub offset: u16,
    fields: IpFields,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IpFields {
    Ipv4 {
        /// That of the first segment.
        identification: u16,
        /// The sum of all words but length, identification and checksum.
        constant_sum: u16,
    },
    Ipv6,
}

/// The transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp {
        /// That of the first segment.
        sequence: u32,
        flags: u8,
        /// The sum of the pseudo header without the length.
        pseudo_sum: u16,
        /// The sum of the header without sequence number, flags and checksum.
        constant_sum: u16,
    },
    Udp {
        ports_sum: u16,
        /// The sum of the pseudo header without the length; none if the datagrams have no checksum.
        pseudo_sum: Option<u16>,
    },
}

/// All headers of a super-frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Headers {
    /// The IP header of the tunnel.
    pub outer: Option<IpHeader>,
    pub inner: IpHeader,
    pub transport_offset: u16,
    pub transport: Transport,
    /// All of them, in bytes.
    pub length: u16,
}

/// Which segment of how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub number: u32,
    pub is_last: bool,
    /// Bytes of payload in front of it.
    pub sent: u32,
    /// Bytes of the whole segment, headers included.
    pub length: u32,
    /// The sum of its payload, if the checksum is to be completed.
    pub payload_sum: Option<u16>,
}

impl Headers {
    /// Reads the headers of a frame of `length` bytes, whose front is `window`.
    pub fn read(
        window: &[u8],
        length: usize,
        offload: &Offload,
        work: &Segmentation,
    ) -> Result<Self, InvalidSuperFrame> {
        let window = window
            .get(..usize::from(work.header_length))
            .ok_or(InvalidSuperFrame::HeaderLength)?;
        let (outer, frame) = match read_tunnel(window)? {
            Some((outer, frame)) => (Some(outer), frame),
            None => (None, 0),
        };
        let facts = wire::parse(window, length, frame).map_err(InvalidSuperFrame::Malformed)?;
        if facts.fragment != Fragment::Whole || facts.notes.contains(Notes::FRAGMENT_HEADER) {
            return Err(InvalidSuperFrame::Fragment);
        }
        let family = facts.family().ok_or(InvalidSuperFrame::Kind)?;
        let is_of_kind = match work.kind {
            SegmentKind::TcpIpv4 => (facts.protocol, family) == (protocol::TCP, Family::Ipv4),
            SegmentKind::TcpIpv6 => (facts.protocol, family) == (protocol::TCP, Family::Ipv6),
            SegmentKind::Udp => facts.protocol == protocol::UDP,
        };
        if !is_of_kind || !facts.has_transport() {
            return Err(InvalidSuperFrame::Kind);
        }
        if facts.end as usize != length {
            return Err(InvalidSuperFrame::Length);
        }
        let transport = window
            .get(usize::from(facts.transport_offset)..)
            .unwrap_or_default();
        let covered =
            u16::try_from(facts.transport_length()).map_err(|_| InvalidSuperFrame::Length)?;
        let has_checksum = |offset| {
            let partial = offload.checksum;
            partial.is_some_and(|at| (at.start, at.offset) == (facts.transport_offset, offset))
        };
        Ok(Self {
            outer,
            inner: IpHeader::read(window, facts.network_offset, family)?,
            transport_offset: facts.transport_offset,
            transport: match work.kind {
                SegmentKind::TcpIpv4 | SegmentKind::TcpIpv6 => {
                    read_tcp(transport, covered, has_checksum(OFFSET_IN_TCP))?
                }
                SegmentKind::Udp => read_udp(transport, covered, has_checksum(OFFSET_IN_UDP))?,
            },
            length: work.header_length,
        })
    }

    /// Where the checksum lies that a device may complete.
    pub fn checksum_offset(&self) -> Option<u16> {
        match self.transport {
            Transport::Tcp { .. } => Some(OFFSET_IN_TCP),
            Transport::Udp { pseudo_sum, .. } => pseudo_sum.map(|_| OFFSET_IN_UDP),
        }
    }

    /// Whether no length field overflows in a segment of `length` bytes.
    pub fn can_state(&self, length: u32) -> bool {
        let most = |header: &IpHeader| {
            let uncounted = match header.fields {
                IpFields::Ipv4 { .. } => u32::from(header.offset),
                IpFields::Ipv6 => u32::from(header.offset) + 40,
            };
            uncounted + u32::from(u16::MAX)
        };
        length <= most(self.outer.as_ref().unwrap_or(&self.inner))
    }

    /// Makes the headers of the super-frame in `out` those of one segment.
    pub fn patch(&self, out: &mut [u8], place: &Place) {
        if let Some(outer) = &self.outer {
            outer.patch(out, place);
        }
        self.inner.patch(out, place);
        let covered = place.length.wrapping_sub(u32::from(self.transport_offset)) as u16;
        let transport = out.get_mut(usize::from(self.transport_offset)..);
        match self.transport {
            Transport::Tcp {
                sequence,
                flags,
                pseudo_sum,
                constant_sum,
            } => {
                let Some(header) = transport.and_then(|rest| rest.first_chunk_mut::<20>()) else {
                    return;
                };
                let sequence = sequence.wrapping_add(place.sent);
                [header[4], header[5], header[6], header[7]] = sequence.to_be_bytes();
                let flags = flags & !place.foreign_flags();
                header[13] = flags;
                let [high, low] = [(sequence >> 16) as u16, sequence as u16];
                let header_sum = add(add(constant_sum, flags.into()), add(high, low));
                let checksum = place.checksum(add(pseudo_sum, covered), header_sum);
                [header[16], header[17]] = checksum.to_be_bytes();
            }
            Transport::Udp {
                ports_sum,
                pseudo_sum,
            } => {
                let Some(header) = transport.and_then(|rest| rest.first_chunk_mut::<8>()) else {
                    return;
                };
                let checksum = pseudo_sum.map_or(0, |pseudo_sum| {
                    match place.checksum(add(pseudo_sum, covered), add(ports_sum, covered)) {
                        // 0 says that there is none (RFC 768).
                        0 => 0xffff,
                        checksum => checksum,
                    }
                });
                [header[4], header[5]] = covered.to_be_bytes();
                [header[6], header[7]] = checksum.to_be_bytes();
            }
        }
    }
}

impl Place {
    /// The flags of TCP that belong to other segments: the first alone tells that the window was reduced, the last
    /// alone ends what is to be delivered at once, or all.
    const fn foreign_flags(&self) -> u8 {
        let first = if self.number == 0 { 0 } else { CWR };
        let last = if self.is_last { 0 } else { FIN | PSH };
        first | last
    }

    /// What the checksum field holds: the `partial` sum, or the checksum over header and payload too.
    const fn checksum(&self, partial: u16, header_sum: u16) -> u16 {
        match self.payload_sum {
            None => partial,
            Some(payload_sum) => !add(add(partial, header_sum), payload_sum),
        }
    }
}

impl IpHeader {
    fn read(window: &[u8], offset: u16, family: Family) -> Result<Self, InvalidSuperFrame> {
        let fields = match family {
            Family::Ipv4 => {
                let header: &[u8; 20] = chunk(window, usize::from(offset))?;
                let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
                let (length, identification, checksum) = (word(2), word(4), word(10));
                IpFields::Ipv4 {
                    identification,
                    constant_sum: add(!checksum, add(!length, !identification)),
                }
            }
            Family::Ipv6 => IpFields::Ipv6,
        };
        Ok(Self { offset, fields })
    }

    fn patch(&self, out: &mut [u8], place: &Place) {
        let Some(header) = out.get_mut(usize::from(self.offset)..) else {
            return;
        };
        let length = place.length.wrapping_sub(u32::from(self.offset));
        match self.fields {
            IpFields::Ipv4 {
                identification,
                constant_sum,
            } => {
                let Some(header) = header.first_chunk_mut::<20>() else {
                    return;
                };
                let length = length as u16;
                let identification = identification.wrapping_add(place.number as u16);
                let checksum = !add(constant_sum, add(length, identification));
                [header[2], header[3]] = length.to_be_bytes();
                [header[4], header[5]] = identification.to_be_bytes();
                [header[10], header[11]] = checksum.to_be_bytes();
            }
            IpFields::Ipv6 => {
                if let Some(header) = header.first_chunk_mut::<40>() {
                    [header[4], header[5]] = (length.wrapping_sub(40) as u16).to_be_bytes();
                }
            }
        }
    }
}

/// The outer IP header of an NVGRE frame, and where the inner frame begins. The outer length is not believed: it has
/// 16 bits, too few for a whole super-frame inside.
fn read_tunnel(window: &[u8]) -> Result<Option<(IpHeader, usize)>, InvalidSuperFrame> {
    let mut offset = 14;
    let mut kind = u16::from_be_bytes(*chunk(window, 12)?);
    if kind == ethertype::VLAN {
        offset = 18;
        kind = u16::from_be_bytes(*chunk(window, 16)?);
    }
    let (family, gre) = match kind {
        ethertype::IPV4 => {
            let header: &[u8; 20] = chunk(window, offset)?;
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
            match (header[9], header[0], fragment) {
                (protocol::GRE, 0x45..=0x4f, 0) => {}
                (protocol::GRE, 0x45..=0x4f, _) => return Err(InvalidSuperFrame::Fragment),
                (protocol::GRE, ..) => return Err(InvalidSuperFrame::Kind),
                _ => return Ok(None),
            }
            let length = usize::from(header[0] & 0xf) * 4;
            (Family::Ipv4, offset + length)
        }
        ethertype::IPV6 => {
            let header: &[u8; 40] = chunk(window, offset)?;
            match (header[6], header[0]) {
                (protocol::GRE, 0x60..=0x6f) => {}
                (protocol::GRE, _) => return Err(InvalidSuperFrame::Kind),
                _ => return Ok(None),
            }
            (Family::Ipv6, offset + 40)
        }
        _ => return Ok(None),
    };
    // The checksum and the sequence number of plain GRE would differ from segment to segment.
    let &[0x20, 0x00, 0x65, 0x58, _, _, _, _] = chunk(window, gre)? else {
        return Err(InvalidSuperFrame::Kind);
    };
    let header = IpHeader::read(window, offset as u16, family)?;
    Ok(Some((header, gre + 8)))
}

fn read_tcp(
    header: &[u8],
    covered: u16,
    has_checksum: bool,
) -> Result<Transport, InvalidSuperFrame> {
    let fixed: &[u8; 20] = header
        .first_chunk()
        .ok_or(InvalidSuperFrame::HeaderLength)?;
    if usize::from(fixed[12] >> 4) * 4 != header.len() {
        return Err(InvalidSuperFrame::HeaderLength);
    }
    if fixed[13] & (SYN | RST | URG) != 0 || [fixed[18], fixed[19]] != [0, 0] {
        return Err(InvalidSuperFrame::Flags);
    }
    if !has_checksum {
        return Err(InvalidSuperFrame::Checksum);
    }
    let checksum = [fixed[16], fixed[17]];
    let changing = [&fixed[4..8], &[0, fixed[13]], &checksum].map(sum);
    Ok(Transport::Tcp {
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        flags: fixed[13],
        pseudo_sum: add(u16::from_be_bytes(checksum), !covered),
        constant_sum: changing
            .into_iter()
            .fold(sum(header), |rest, part| add(rest, !part)),
    })
}

fn read_udp(
    header: &[u8],
    covered: u16,
    has_checksum: bool,
) -> Result<Transport, InvalidSuperFrame> {
    let Ok(&[ports @ .., length_0, length_1, sum_0, sum_1]) = <&[u8; 8]>::try_from(header) else {
        return Err(InvalidSuperFrame::HeaderLength);
    };
    if u16::from_be_bytes([length_0, length_1]) != covered {
        return Err(InvalidSuperFrame::Length);
    }
    let pseudo_sum = match u16::from_be_bytes([sum_0, sum_1]) {
        // There is none (RFC 768).
        0 => None,
        _ if !has_checksum => return Err(InvalidSuperFrame::Checksum),
        sum => Some(add(sum, !covered)),
    };
    Ok(Transport::Udp {
        ports_sum: sum(&ports),
        pseudo_sum,
    })
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<&[u8; N], InvalidSuperFrame> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(InvalidSuperFrame::Malformed(Malformed::Truncated))
}

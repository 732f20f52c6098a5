//! Packets read and compared as the RFCs have them, without regard to speed and without the core.

use std::net::IpAddr;

/// The sum of RFC 1071 over the concatenation of parts, of which all but the last have an even length.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2)).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    words.fold(0, |sum, word| {
        let sum = u32::from(sum) + word;
        (sum as u16) + (sum >> 16) as u16
    })
}

/// The sum of a segment and its pseudo header (RFC 9293 §3.1, RFC 8200 §8.1).
pub fn transport_sum(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let length = (segment.len() as u32).to_be_bytes();
    sum(&[&octets(from), &octets(to), &length, &[0, protocol], segment])
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// An IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip<'a> {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub traffic_class: u8,
    pub hop_limit: u8,
    /// What comes behind the IP header and the extension headers.
    pub protocol: u8,
    /// In units of 8 bytes.
    pub fragment_offset: u16,
    pub more_fragments: bool,
    /// All of it, without what follows.
    pub bytes: &'a [u8],
    /// Where the transport header starts.
    pub header_length: usize,
    /// Whether there is anything but the fixed header.
    pub has_options: bool,
}

impl<'a> Ip<'a> {
    /// Reads the packet at the front of `bytes`, if it is all there.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::read_ipv4(bytes),
            6 => Self::read_ipv6(bytes),
            _ => None,
        }
    }

    fn read_ipv4(bytes: &'a [u8]) -> Option<Self> {
        let header_length = usize::from(bytes[0] & 15) * 4;
        let length = usize::from(word(bytes, 2)?);
        if header_length < 20 || length < header_length {
            return None;
        }
        let bytes = bytes.get(..length)?;
        let fragment = word(bytes, 6)?;
        Some(Self {
            source: <[u8; 4]>::try_from(&bytes[12..16]).unwrap().into(),
            destination: <[u8; 4]>::try_from(&bytes[16..20]).unwrap().into(),
            traffic_class: bytes[1],
            hop_limit: bytes[8],
            protocol: bytes[9],
            fragment_offset: fragment & 0x1fff,
            more_fragments: fragment & 0x2000 != 0,
            bytes,
            header_length,
            has_options: header_length > 20,
        })
    }

    fn read_ipv6(bytes: &'a [u8]) -> Option<Self> {
        let length = 40 + usize::from(word(bytes, 4)?);
        let bytes = bytes.get(..length)?;
        let mut packet = Self {
            source: <[u8; 16]>::try_from(&bytes[8..24]).unwrap().into(),
            destination: <[u8; 16]>::try_from(&bytes[24..40]).unwrap().into(),
            traffic_class: bytes[0] << 4 | bytes[1] >> 4,
            hop_limit: bytes[7],
            protocol: bytes[6],
            fragment_offset: 0,
            more_fragments: false,
            bytes,
            header_length: 40,
            has_options: matches!(bytes[6], 0 | 43 | 44 | 60),
        };
        // The core gives a chain up that is longer than this, and takes the packet as it is.
        for _ in 0..8 {
            if !matches!(packet.protocol, 0 | 43 | 44 | 60) || packet.fragment_offset != 0 {
                break;
            }
            let header = &bytes[packet.header_length..];
            let extension_length = match packet.protocol {
                44 => 8,
                _ => 8 + 8 * usize::from(*header.get(1)?),
            };
            if packet.header_length + extension_length > 40 + 256 {
                break;
            }
            let header = header.get(..extension_length)?;
            if packet.protocol == 44 {
                let fragment = word(header, 2)?;
                packet.fragment_offset = fragment >> 3;
                packet.more_fragments |= fragment & 1 != 0;
            }
            packet.protocol = header[0];
            packet.header_length += extension_length;
        }
        Some(packet)
    }

    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Where IPv4 and IPv6 differ: 0 and 1, as in the tables of addresses.
    pub fn version(&self) -> usize {
        usize::from(self.source.is_ipv6())
    }

    pub fn transport(&self) -> &'a [u8] {
        &self.bytes[self.header_length..]
    }

    /// Whether the header's checksum is right; IPv6 has none.
    pub fn has_intact_header(&self) -> bool {
        self.version() == 1 || sum(&[&self.bytes[..self.header_length]]) == 0xffff
    }

    /// Where the checksum stands that covers the addresses, if it stands in this packet.
    pub fn checksum_at(&self) -> Option<usize> {
        let offset = match self.protocol {
            6 => 16,
            17 | 33 | 136 => 6,
            58 if self.version() == 1 => 2,
            _ => return None,
        };
        let at = self.header_length + offset;
        (self.fragment_offset == 0 && at + 2 <= self.bytes.len()).then_some(at)
    }

    /// Whether it opens a connection: then what its ends may send at once may be taken down to what fits.
    pub fn is_syn(&self) -> bool {
        let flags = self.transport().get(13).copied().unwrap_or(0);
        self.protocol == 6 && self.fragment_offset == 0 && flags & 2 != 0
    }

    /// Whether the two addresses lie in the packet a second time, where they have to be changed too or must not be
    /// carried at all: lists of addresses, and packets quoted by ICMP errors.
    pub fn has_more_addresses(&self) -> bool {
        let kind = self.transport().first();
        self.fragment_offset == 0
            && match self.protocol {
                1 => matches!(kind, Some(3 | 4 | 5 | 11 | 12)),
                58 => matches!(kind, Some(0..128)),
                _ => false,
            }
    }
}

/// What may change on a packet's way.
#[derive(Debug, Clone, Copy)]
pub struct Changes {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub traffic_class: u8,
    pub hop_limit: u8,
}

impl Changes {
    pub fn none(packet: &Ip<'_>) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            traffic_class: packet.traffic_class,
            hop_limit: packet.hop_limit,
        }
    }
}

/// Checks that a packet became another by these changes alone, with every checksum as right or wrong as it was.
#[track_caller]
pub fn assert_carried(before: &Ip<'_>, after: &[u8], changes: Changes) {
    let found = Ip::read(after).expect("a whole packet");
    assert_eq!(after.len(), before.bytes.len(), "no padding is payload");
    assert_eq!(found.source, changes.source);
    assert_eq!(found.destination, changes.destination);
    assert_eq!(found.traffic_class, changes.traffic_class);
    assert_eq!(found.hop_limit, changes.hop_limit);

    if before.is_syn() {
        return;
    }
    let is_readdressed = (before.source, before.destination) != (found.source, found.destination);
    let is_changed = is_readdressed
        || before.traffic_class != found.traffic_class
        || before.hop_limit != found.hop_limit;
    let transport = before.checksum_at().filter(|_| is_readdressed);
    let masked = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if before.version() == 0 {
            bytes[1] = 0;
            bytes[8] = 0;
            bytes[12..20].fill(0);
            if is_changed {
                bytes[10..12].fill(0);
            }
        } else {
            bytes[0] &= 0xf0;
            bytes[1] &= 0x0f;
            bytes[7] = 0;
            bytes[8..40].fill(0);
        }
        if let Some(at) = transport {
            bytes[at..at + 2].fill(0);
        }
        bytes
    };
    assert_eq!(masked(before.bytes), masked(after), "all else is as it was");
    if before.version() == 0 {
        assert_eq!(
            sum(&[&before.bytes[..before.header_length]]) % 0xffff,
            sum(&[&after[..before.header_length]]) % 0xffff,
            "the header's checksum is as right as it was"
        );
    }
    if let Some(at) = transport {
        assert_transport(before, &found, at);
    }
}

#[track_caller]
fn assert_transport(before: &Ip<'_>, after: &Ip<'_>, at: usize) {
    let stored = |packet: &Ip<'_>| word(packet.bytes, at).unwrap();
    let is_optional = matches!(before.protocol, 17 | 136);
    if is_optional && stored(before) == 0 {
        assert_eq!(stored(after), 0, "no checksum is no checksum");
        return;
    }
    assert!(!is_optional || stored(after) != 0, "a checksum is one");
    let sum_of = |packet: &Ip<'_>| {
        let (from, to) = (packet.source, packet.destination);
        transport_sum(from, to, packet.protocol, packet.transport()) % 0xffff
    };
    assert_eq!(
        sum_of(before),
        sum_of(after),
        "the transport's checksum is as right as it was"
    );
}

/// A GRE header of RFC 2784 and RFC 2890, and what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gre<'a> {
    pub flags: u16,
    pub protocol: u16,
    pub key: Option<u32>,
    pub sequence: Option<u32>,
    pub payload: &'a [u8],
    /// Whether the checksum, if there is one, is right.
    pub is_intact: bool,
}

impl<'a> Gre<'a> {
    /// Reads the header, if it is whole, of version 0 and without routing.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (flags, protocol) = (word(bytes, 0)?, word(bytes, 2)?);
        if flags & 0x4c07 != 0 {
            return None;
        }
        let mut at = 4;
        let mut next = || {
            let word = bytes.get(at..at + 4)?;
            at += 4;
            Some(u32::from_be_bytes(word.try_into().unwrap()))
        };
        let mut optional = |bit: u16| match flags & bit {
            0 => Some(None),
            _ => next().map(Some),
        };
        let checksum = optional(0x8000)?;
        let key = optional(0x2000)?;
        let sequence = optional(0x1000)?;
        Some(Self {
            flags,
            protocol,
            key,
            sequence,
            payload: bytes.get(at..)?,
            is_intact: checksum.is_none() || sum(&[bytes]) == 0xffff,
        })
    }
}

//! The outer header of a path to another host, written once when policy changes and copied per packet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{AddressBits, Family, MacAddress, UplinkId, VlanId};

/// Bytes of the longest outer header: Ethernet with one tag and IPv6.
pub(crate) const OUTER_ROOM: usize = 58;

/// Bytes of the longest Ethernet header.
pub(crate) const LINK_ROOM: usize = 18;

const IPV4_START: usize = OUTER_ROOM - 20;
const IPV6_START: usize = OUTER_ROOM - 40;
const GRE_PROTOCOL: u8 = 47;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPE_VLAN: u16 = 0x8100;

const RESOLVED: u8 = 1;
const IPV6: u8 = 2;
const TAGGED: u8 = 4;

/// What a template is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outer {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_mac: MacAddress,
    /// The next hop's, if it is known.
    pub next_hop_mac: Option<MacAddress>,
    pub vlan: Option<VlanId>,
    pub uplink: UplinkId,
    pub mtu: u16,
}

/// The outer header towards one provider address: Ethernet, optional tag, IPv4 or IPv6, in one cache line.
///
/// The bytes stand at the end of their room, so that every kind of header is one copy of constant size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Template {
    room: [u8; OUTER_ROOM],
    /// IPv4: the header's one's-complement sum without length, TTL, traffic class and checksum.
    checksum_base: u16,
    mtu: u16,
    flags: u8,
    uplink: u8,
}

impl Template {
    /// A template that leads nowhere.
    pub const VACANT: Self = Self {
        room: [0; OUTER_ROOM],
        checksum_base: 0,
        mtu: 0,
        flags: 0,
        uplink: 0,
    };

    /// Writes the header. `None` if source and destination are of different families.
    pub(crate) fn new(outer: &Outer) -> Option<Self> {
        let mut template = Self {
            mtu: outer.mtu,
            uplink: outer.uplink.0 as u8,
            ..Self::VACANT
        };
        let (start, ethertype) = match (outer.source, outer.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                template.write_ipv4(source.octets(), destination.octets());
                (IPV4_START, ETHERTYPE_IPV4)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                template.write_ipv6(source.octets(), destination.octets());
                template.flags |= IPV6;
                (IPV6_START, ETHERTYPE_IPV6)
            }
            _ => return None,
        };
        template.write_ethernet(start, ethertype, outer);
        Some(template)
    }

    /// The template of an address that cannot be reached. Its destination still says whose frames are believed.
    pub(crate) fn leading_nowhere(destination: IpAddr) -> Self {
        let unreachable = Outer {
            source: match destination {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            },
            destination,
            source_mac: MacAddress::ZERO,
            next_hop_mac: None,
            vlan: None,
            uplink: UplinkId(0),
            mtu: 0,
        };
        Self::new(&unreachable).unwrap_or(Self::VACANT)
    }

    fn write_ipv4(&mut self, source: [u8; 4], destination: [u8; 4]) {
        let Some(header) = self.room.last_chunk_mut::<20>() else {
            return;
        };
        let [s0, s1, s2, s3] = source;
        let [d0, d1, d2, d3] = destination;
        // Don't Fragment is set, so the identification may be anything (RFC 6864 §4.1).
        *header = [
            0x45,
            0,
            0,
            0,
            0,
            0,
            0x40,
            0,
            0,
            GRE_PROTOCOL,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ];
        self.checksum_base = crate::checksum::ipv4_header_sum(header);
    }

    fn write_ipv6(&mut self, source: [u8; 16], destination: [u8; 16]) {
        let Some(header) = self.room.last_chunk_mut::<40>() else {
            return;
        };
        let (fixed, addresses) = header.split_at_mut(8);
        for (byte, value) in fixed.iter_mut().zip([0x60, 0, 0, 0, 0, 0, GRE_PROTOCOL, 0]) {
            *byte = value;
        }
        for (byte, value) in addresses
            .iter_mut()
            .zip(source.into_iter().chain(destination))
        {
            *byte = value;
        }
    }

    fn write_ethernet(&mut self, ip_start: usize, ethertype: u16, outer: &Outer) {
        let tag = outer
            .vlan
            .map(|vlan| (u32::from(ETHERTYPE_VLAN) << 16 | u32::from(vlan.get())).to_be_bytes());
        let length = if tag.is_some() { 18 } else { 14 };
        if tag.is_some() {
            self.flags |= TAGGED;
        }
        if outer.next_hop_mac.is_some() {
            self.flags |= RESOLVED;
        }
        let header = outer
            .next_hop_mac
            .unwrap_or(MacAddress::ZERO)
            .0
            .into_iter()
            .chain(outer.source_mac.0)
            .chain(tag.into_iter().flatten())
            .chain(ethertype.to_be_bytes());
        for (byte, value) in self
            .room
            .iter_mut()
            .skip(ip_start.saturating_sub(length))
            .zip(header)
        {
            *byte = value;
        }
    }

    /// Sets or forgets the next hop's MAC address.
    pub(crate) fn set_next_hop(&mut self, mac: Option<MacAddress>) {
        self.flags = if mac.is_some() {
            self.flags | RESOLVED
        } else {
            self.flags & !RESOLVED
        };
        let start = OUTER_ROOM.saturating_sub(self.outer_length());
        for (byte, value) in self
            .room
            .iter_mut()
            .skip(start)
            .zip(mac.unwrap_or(MacAddress::ZERO).0)
        {
            *byte = value;
        }
    }

    /// Whether the next hop's MAC address is known.
    #[inline(always)]
    pub fn is_resolved(&self) -> bool {
        self.flags & RESOLVED != 0
    }

    /// The version of the outer IP header.
    #[inline(always)]
    pub fn family(&self) -> Family {
        if self.flags & IPV6 != 0 {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    /// The uplink that the path leaves through.
    #[inline(always)]
    pub fn uplink(&self) -> UplinkId {
        UplinkId(u32::from(self.uplink))
    }

    /// The largest IP packet that the path carries, in bytes.
    #[inline(always)]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The largest inner IP packet that NVGRE carries along this path, in bytes: the path's MTU less outer IP
    /// header, GRE with key and inner Ethernet header.
    #[inline(always)]
    pub fn inner_mtu(&self) -> u16 {
        let outer_ip = if self.flags & IPV6 != 0 { 40 } else { 20 };
        self.mtu.saturating_sub(outer_ip + 8 + 14)
    }

    /// Bytes of the outer header, Ethernet to IP.
    #[inline(always)]
    pub fn outer_length(&self) -> usize {
        let ethernet = if self.flags & TAGGED != 0 { 18 } else { 14 };
        let ip = if self.flags & IPV6 != 0 { 40 } else { 20 };
        ethernet + ip
    }

    /// The provider address the path leads to.
    #[inline(always)]
    pub fn destination(&self) -> AddressBits {
        if self.flags & IPV6 != 0 {
            self.room
                .last_chunk()
                .map_or_else(AddressBits::default, |octets| {
                    AddressBits::from_ipv6(*octets)
                })
        } else {
            self.room
                .last_chunk()
                .map_or_else(AddressBits::default, |octets| {
                    AddressBits::from_ipv4(*octets)
                })
        }
    }

    /// The own provider address that it starts from.
    pub fn source(&self) -> AddressBits {
        let [.., a, b, c, d, _, _, _, _] = self.room;
        match self.family() {
            Family::Ipv4 => AddressBits::from_ipv4([a, b, c, d]),
            Family::Ipv6 => {
                let source = self
                    .room
                    .get(IPV6_START + 8..)
                    .and_then(|rest| rest.first_chunk());
                source.map_or_else(AddressBits::default, |octets| {
                    AddressBits::from_ipv6(*octets)
                })
            }
        }
    }

    /// The Ethernet header in front of packets on this path.
    #[inline(always)]
    pub fn link(&self) -> LinkHeader {
        let tagged = self.flags & TAGGED != 0;
        let start = OUTER_ROOM.saturating_sub(self.outer_length());
        let octet = |position: usize| {
            self.room
                .get(start.wrapping_add(position))
                .copied()
                .unwrap_or(0)
        };
        let mac = |from: usize| MacAddress(core::array::from_fn(|i| octet(from.wrapping_add(i))));
        let vlan = u16::from_be_bytes([octet(14), octet(15)]);
        LinkHeader {
            destination: mac(0),
            source: mac(6),
            vlan: if tagged { VlanId::new(vlan).ok() } else { None },
        }
    }

    /// Bytes of the Ethernet header in front of packets on this path.
    #[inline(always)]
    pub(crate) fn link_length(&self) -> usize {
        if self.flags & TAGGED != 0 { 18 } else { 14 }
    }

    /// Writes the Ethernet header to the end of `room`.
    #[inline(always)]
    pub(crate) fn emit_link(&self, room: &mut [u8; LINK_ROOM]) {
        let start = if self.flags & IPV6 != 0 {
            IPV6_START
        } else {
            IPV4_START
        } - LINK_ROOM;
        if let Some(link) = self.room.get(start..).and_then(|rest| rest.first_chunk()) {
            *room = *link;
        }
    }

    /// Writes outer IP header fields that differ from packet to packet; `room` holds this template's bytes.
    #[inline(always)]
    pub(crate) fn emit(&self, room: &mut [u8; OUTER_ROOM], fields: OuterFields) {
        *room = self.room;
        if self.flags & IPV6 != 0 {
            let [high, low] = fields.payload_length.to_be_bytes();
            let [_, label2, label1, label0] = fields.flow_label.to_be_bytes();
            room[IPV6_START] = 0x60 | fields.traffic_class >> 4;
            room[IPV6_START + 1] = fields.traffic_class << 4 | label2 & 0x0f;
            room[IPV6_START + 2] = label1;
            room[IPV6_START + 3] = label0;
            room[IPV6_START + 4] = high;
            room[IPV6_START + 5] = low;
            room[IPV6_START + 7] = fields.hop_limit;
        } else {
            let length = fields.payload_length.wrapping_add(20);
            let sum = u32::from(self.checksum_base)
                + u32::from(length)
                + u32::from(fields.traffic_class)
                + (u32::from(fields.hop_limit) << 8);
            let sum = (sum & 0xffff) + (sum >> 16);
            let sum = (sum & 0xffff) + (sum >> 16);
            let [checksum_high, checksum_low] = (!(sum as u16)).to_be_bytes();
            let [length_high, length_low] = length.to_be_bytes();
            room[IPV4_START + 1] = fields.traffic_class;
            room[IPV4_START + 2] = length_high;
            room[IPV4_START + 3] = length_low;
            room[IPV4_START + 8] = fields.hop_limit;
            room[IPV4_START + 10] = checksum_high;
            room[IPV4_START + 11] = checksum_low;
        }
    }
}

/// The link-layer half of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHeader {
    /// The next hop's MAC address; zero as long as it is not known.
    pub destination: MacAddress,
    /// The uplink's MAC address.
    pub source: MacAddress,
    /// The VLAN whose tag packets bear, if they bear one.
    pub vlan: Option<VlanId>,
}

/// The fields of an outer IP header that differ from packet to packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OuterFields {
    /// Bytes behind the outer IP header.
    pub payload_length: u16,
    pub traffic_class: u8,
    pub hop_limit: u8,
    /// IPv6 only (RFC 6438).
    pub flow_label: u32,
}

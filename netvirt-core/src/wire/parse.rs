//! The one pass over a frame: Ethernet, tag, IP and its options or extension headers, ports.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::{Malformed, ethertype, protocol, take};
use crate::address::{AddressBits, Family, MacAddress};
use crate::checksum;

/// Headers are looked for in this many bytes, so that every offset fits 16 bits.
const LONGEST_WINDOW: usize = u16::MAX as usize;
/// IPv6 extension headers beyond these limits are not walked.
const MOST_EXTENSION_HEADERS: usize = 8;
const MOST_EXTENSION_BYTES: usize = 256;

/// What a frame says about itself. Offsets count from the start of the window that was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The Ethernet destination.
    pub destination: MacAddress,
    /// The Ethernet source.
    pub source: MacAddress,
    /// The IEEE 802.1Q tag.
    pub tag: Tag,
    /// The EtherType behind the tag. With [`Tag::Stacked`] it is that of the second tag.
    pub ethertype: u16,
    /// What the EtherType means.
    pub network: Network,
    /// The first byte behind the Ethernet header and its tag.
    pub network_offset: u16,
    /// The first byte behind the IP header and its extension headers; `network_offset` if this is not IP.
    pub transport_offset: u16,
    /// The end of the IP packet, without the padding of Ethernet; of the frame if this is not IP.
    pub end: u32,
    /// The IPv4 protocol, or the next header of the last IPv6 extension header that was walked.
    pub protocol: u8,
    /// The IPv4 time to live or IPv6 hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Whether routers must not fragment the packet; always so with IPv6.
    pub dont_fragment: bool,
    /// Which part of its datagram the packet is.
    pub fragment: Fragment,
    /// The IP source.
    pub source_address: AddressBits,
    /// The IP destination.
    pub destination_address: AddressBits,
    /// Source port << 16 | destination port of TCP, UDP, UDP-Lite, DCCP and SCTP; the identifier of an ICMP
    /// echo; 0 for all others and for every fragment, so that all fragments share a flow.
    pub ports: u32,
    /// What is rare.
    pub notes: Notes,
}

/// The IEEE 802.1Q tag of a frame. 0x8100, 0x88A8 and 0x9100 all announce one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The frame is untagged.
    None,
    /// A priority tag: its VLAN id is 0.
    Priority {
        /// PCP (3 bits), DEI (1), VLAN id (12).
        tci: u16,
    },
    /// A tag with a VLAN id.
    Vlan {
        /// PCP (3 bits), DEI (1), VLAN id (12).
        tci: u16,
    },
    /// Two tags or more; nothing behind the first is read.
    Stacked,
}

/// The protocol that an Ethernet frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// ARP; its content is not read yet.
    Arp,
    /// Any other; its content is not read.
    Other,
}

/// Which part of its datagram a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// All of it. So is an IPv6 "atomic" fragment (RFC 6946), which [`Notes::FRAGMENT_HEADER`] tells apart.
    Whole,
    /// The first of several: it has the transport header.
    First,
    /// A later one: it has no transport header.
    Later,
}

/// A set of rare properties of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Notes(u16);

impl Notes {
    /// None of them.
    pub const EMPTY: Self = Self(0);
    /// The IPv4 header has options.
    pub const IPV4_OPTIONS: Self = Self(1);
    /// A source route: the IPv4 options LSRR or SSRR, or an IPv6 routing header of type 0 (RFC 5095).
    pub const SOURCE_ROUTE: Self = Self(1 << 1);
    /// The IPv4 option record route.
    pub const RECORD_ROUTE: Self = Self(1 << 2);
    /// An IPv6 fragment header, be it of an "atomic" fragment.
    pub const FRAGMENT_HEADER: Self = Self(1 << 3);
    /// An IPv6 routing header of any type.
    pub const ROUTING_HEADER: Self = Self(1 << 4);
    /// An IPv6 routing header that has segments left: the destination address is not the final one.
    pub const SEGMENTS_LEFT: Self = Self(1 << 5);
    /// The home address option of mobile IPv6 (RFC 6275 §6.3).
    pub const HOME_ADDRESS: Self = Self(1 << 6);
    /// IPv6 extension headers of any kind.
    pub const EXTENSION_HEADERS: Self = Self(1 << 7);
    /// More than 4 extension headers or 64 bytes of them: more than a provider network has reason to send.
    pub const LONG_CHAIN: Self = Self(1 << 8);
    /// More than 8 extension headers or 256 bytes of them: the transport is unknown, `protocol` is that of
    /// the header at `transport_offset`, where the walk ended.
    pub const CHAIN_TOO_LONG: Self = Self(1 << 9);
    /// The packet is no fragment, yet ends before the ports of its transport header.
    pub const TRANSPORT_TRUNCATED: Self = Self(1 << 10);
    /// A fragment that starts 8 bytes into its datagram and so could replace TCP's flags (RFC 3128).
    pub const FRAGMENT_AT_8: Self = Self(1 << 11);

    const NAMES: [(Self, &'static str); 12] = [
        (Self::IPV4_OPTIONS, "IPv4 options"),
        (Self::SOURCE_ROUTE, "source route"),
        (Self::RECORD_ROUTE, "record route"),
        (Self::FRAGMENT_HEADER, "fragment header"),
        (Self::ROUTING_HEADER, "routing header"),
        (Self::SEGMENTS_LEFT, "segments left"),
        (Self::HOME_ADDRESS, "home address"),
        (Self::EXTENSION_HEADERS, "extension headers"),
        (Self::LONG_CHAIN, "long chain"),
        (Self::CHAIN_TOO_LONG, "chain too long"),
        (Self::TRANSPORT_TRUNCATED, "transport truncated"),
        (Self::FRAGMENT_AT_8, "fragment at 8"),
    ];

    /// Whether all of `others` are in the set.
    #[inline]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether any of `others` is in the set.
    #[inline]
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Both sets.
    #[inline]
    pub const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    #[inline]
    fn insert(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES
            .iter()
            .filter(|(note, _)| self.contains(*note))
            .map(|(_, name)| name);
        f.debug_set().entries(names).finish()
    }
}

/// Reads the Ethernet frame that starts `offset` bytes into `window`, the contiguous first bytes of a buffer
/// of `total_length` bytes.
///
/// # Errors
/// [`Malformed`] if a header does not fit or contradicts itself. A transport header that does not fit is a
/// note, not an error: policy may still have to answer such a packet.
#[inline]
pub fn parse(window: &[u8], total_length: usize, offset: usize) -> Result<Facts, Malformed> {
    let window = window
        .get(..total_length.min(LONGEST_WINDOW))
        .unwrap_or(window);
    let mut facts = Facts::of_ethernet(window, total_length, offset)?;
    match facts.network {
        Network::Ipv4 => facts.read_ipv4(window)?,
        Network::Ipv6 => facts.read_ipv6(window)?,
        Network::Arp | Network::Other => {}
    }
    Ok(facts)
}

/// Whether the checksum of the IPv4 header, options included, is right. `window` is what `facts` were read
/// from. False for what is not IPv4.
#[inline]
pub fn ipv4_header_is_valid(window: &[u8], facts: &Facts) -> bool {
    let header = window
        .get(usize::from(facts.network_offset)..usize::from(facts.transport_offset))
        .unwrap_or_default();
    let sum = match <&[u8; 20]>::try_from(header) {
        Ok(header) => checksum::ipv4_header_sum(header),
        Err(_) => checksum::sum(header),
    };
    facts.network == Network::Ipv4 && sum == 0xffff
}

impl Facts {
    #[inline(always)]
    fn of_ethernet(window: &[u8], total_length: usize, offset: usize) -> Result<Self, Malformed> {
        let mut rest = window.get(offset..).ok_or(Malformed::Truncated)?;
        let destination = MacAddress(take(&mut rest)?);
        let source = MacAddress(take(&mut rest)?);
        let mut ethertype = u16::from_be_bytes(take(&mut rest)?);
        let mut tag = Tag::None;
        if is_tag(ethertype) {
            let tci = u16::from_be_bytes(take(&mut rest)?);
            ethertype = u16::from_be_bytes(take(&mut rest)?);
            tag = match tci & 0xfff {
                _ if is_tag(ethertype) => Tag::Stacked,
                0 => Tag::Priority { tci },
                _ => Tag::Vlan { tci },
            };
        }
        let network = match ethertype {
            ethertype::IPV4 => Network::Ipv4,
            ethertype::IPV6 => Network::Ipv6,
            ethertype::ARP => Network::Arp,
            _ => Network::Other,
        };
        let network_offset = window.len().saturating_sub(rest.len()) as u16;
        Ok(Self {
            destination,
            source,
            tag,
            ethertype,
            network,
            network_offset,
            transport_offset: network_offset,
            end: u32::try_from(total_length).unwrap_or(u32::MAX),
            protocol: 0,
            hop_limit: 0,
            traffic_class: 0,
            dont_fragment: false,
            fragment: Fragment::Whole,
            source_address: AddressBits::default(),
            destination_address: AddressBits::default(),
            ports: 0,
            notes: Notes::EMPTY,
        })
    }

    /// RFC 791 §3.1.
    #[inline(always)]
    fn read_ipv4(&mut self, window: &[u8]) -> Result<(), Malformed> {
        let mut rest = window
            .get(usize::from(self.network_offset)..)
            .ok_or(Malformed::Truncated)?;
        let [version_and_length, traffic_class, length_0, length_1] = take(&mut rest)?;
        let [_, _, fragment_0, fragment_1] = take(&mut rest)?;
        let [hop_limit, protocol, _, _] = take(&mut rest)?;
        self.source_address = AddressBits::from_ipv4(take(&mut rest)?);
        self.destination_address = AddressBits::from_ipv4(take(&mut rest)?);
        self.traffic_class = traffic_class;
        self.hop_limit = hop_limit;
        self.protocol = protocol;

        if version_and_length >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_length = u16::from(version_and_length & 0xf) * 4;
        let Some(options_length) = header_length.checked_sub(20) else {
            return Err(Malformed::HeaderLength);
        };
        let total_length = u16::from_be_bytes([length_0, length_1]);
        if total_length < header_length {
            return Err(Malformed::TotalLength);
        }
        self.end_after(u32::from(total_length))?;
        if options_length > 0 {
            let options = rest
                .get(..usize::from(options_length))
                .ok_or(Malformed::Truncated)?;
            self.read_ipv4_options(options)?;
        }
        self.transport_offset = self.network_offset.saturating_add(header_length);

        let flags_and_offset = u16::from_be_bytes([fragment_0, fragment_1]);
        self.dont_fragment = flags_and_offset & 0x4000 != 0;
        self.note_fragment(flags_and_offset & 0x1fff, flags_and_offset & 0x2000 != 0);
        self.read_ports(window);
        Ok(())
    }

    #[cold]
    fn read_ipv4_options(&mut self, mut options: &[u8]) -> Result<(), Malformed> {
        self.notes.insert(Notes::IPV4_OPTIONS);
        while let Some((&kind, behind)) = options.split_first() {
            match kind {
                0 => break,
                1 => options = behind,
                _ => {
                    match kind {
                        131 | 137 => self.notes.insert(Notes::SOURCE_ROUTE),
                        7 => self.notes.insert(Notes::RECORD_ROUTE),
                        _ => {}
                    }
                    options = behind_option(options, 0)?;
                }
            }
        }
        Ok(())
    }

    /// RFC 8200 §3.
    #[inline(always)]
    fn read_ipv6(&mut self, window: &[u8]) -> Result<(), Malformed> {
        let mut rest = window
            .get(usize::from(self.network_offset)..)
            .ok_or(Malformed::Truncated)?;
        let [version_and_class, class_and_label, _, _] = take(&mut rest)?;
        let [length_0, length_1, next_header, hop_limit] = take(&mut rest)?;
        self.source_address = AddressBits::from_ipv6(take(&mut rest)?);
        self.destination_address = AddressBits::from_ipv6(take(&mut rest)?);
        self.traffic_class = version_and_class << 4 | class_and_label >> 4;
        self.hop_limit = hop_limit;
        self.protocol = next_header;
        self.dont_fragment = true;

        if version_and_class >> 4 != 6 {
            return Err(Malformed::Version);
        }
        self.end_after(40 + u32::from(u16::from_be_bytes([length_0, length_1])))?;
        self.transport_offset = self.network_offset.saturating_add(40);
        if is_extension_header(next_header) {
            self.read_extension_headers(window)?;
        }
        self.read_ports(window);
        Ok(())
    }

    /// RFC 8200 §4. AH and ESP end the walk: as in IPv4 they count as what the packet carries.
    #[cold]
    fn read_extension_headers(&mut self, window: &[u8]) -> Result<(), Malformed> {
        self.notes.insert(Notes::EXTENSION_HEADERS);
        let mut rest = self.transport(window);
        let mut walked = 0;
        for position in 1..=MOST_EXTENSION_HEADERS {
            let &[next_header, length, third, fourth, ..] =
                rest.first_chunk::<8>().ok_or(Malformed::Truncated)?;
            let header_length = match self.protocol {
                protocol::FRAGMENT => 8,
                _ => 8 + usize::from(length) * 8,
            };
            walked += header_length;
            if walked > MOST_EXTENSION_BYTES {
                break;
            }
            let (header, behind) = rest
                .split_at_checked(header_length)
                .ok_or(Malformed::Truncated)?;
            match self.protocol {
                protocol::ROUTING => self.note_routing_header(third, fourth),
                protocol::DESTINATION_OPTIONS => self.note_destination_options(header)?,
                protocol::FRAGMENT => {
                    let offset_and_more = u16::from_be_bytes([third, fourth]);
                    self.notes.insert(Notes::FRAGMENT_HEADER);
                    self.note_fragment(offset_and_more >> 3, offset_and_more & 1 != 0);
                }
                _ => {}
            }
            if position > 4 || walked > 64 {
                self.notes.insert(Notes::LONG_CHAIN);
            }
            self.protocol = next_header;
            self.transport_offset = self.transport_offset.saturating_add(header_length as u16);
            rest = behind;
            if !is_extension_header(next_header) || self.fragment == Fragment::Later {
                return Ok(());
            }
        }
        self.notes
            .insert(Notes::LONG_CHAIN.union(Notes::CHAIN_TOO_LONG));
        Ok(())
    }

    fn note_routing_header(&mut self, kind: u8, segments_left: u8) {
        self.notes.insert(Notes::ROUTING_HEADER);
        if kind == 0 {
            self.notes.insert(Notes::SOURCE_ROUTE);
        }
        if segments_left > 0 {
            self.notes.insert(Notes::SEGMENTS_LEFT);
        }
    }

    fn note_destination_options(&mut self, header: &[u8]) -> Result<(), Malformed> {
        let mut options = header.get(2..).ok_or(Malformed::Truncated)?;
        while let Some((&kind, behind)) = options.split_first() {
            match kind {
                0 => options = behind,
                _ => {
                    if kind == 201 {
                        self.notes.insert(Notes::HOME_ADDRESS);
                    }
                    options = behind_option(options, 2)?;
                }
            }
        }
        Ok(())
    }

    /// `offset` counts units of 8 bytes.
    #[inline(always)]
    fn note_fragment(&mut self, offset: u16, more: bool) {
        self.fragment = match (offset, more) {
            (0, false) => Fragment::Whole,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        };
        if offset == 1 {
            self.notes.insert(Notes::FRAGMENT_AT_8);
        }
    }

    /// Ends the packet `length` bytes behind the Ethernet header: what follows in the frame is padding.
    #[inline(always)]
    fn end_after(&mut self, length: u32) -> Result<(), Malformed> {
        let end = u32::from(self.network_offset) + length;
        if end > self.end {
            return Err(Malformed::TotalLength);
        }
        self.end = end;
        Ok(())
    }

    #[inline(always)]
    fn read_ports(&mut self, window: &[u8]) {
        if self.fragment != Fragment::Whole || self.notes.contains(Notes::CHAIN_TOO_LONG) {
            return;
        }
        match ports(self.protocol, self.transport(window)) {
            Some(ports) => self.ports = ports,
            None => self.notes.insert(Notes::TRANSPORT_TRUNCATED),
        }
    }

    /// The bytes of `window` behind the IP header and before the end of the packet: all of the transport
    /// header and payload that the window holds. Empty if this is not IP.
    #[inline]
    pub fn transport<'a>(&self, window: &'a [u8]) -> &'a [u8] {
        let end = window.len().min(self.end as usize);
        match self.is_ip() {
            true => window.get(usize::from(self.transport_offset)..end),
            false => None,
        }
        .unwrap_or_default()
    }

    /// The length of transport header and payload, in bytes, whether or not the window holds them.
    #[inline]
    pub const fn transport_length(&self) -> u32 {
        self.end.saturating_sub(self.transport_offset as u32)
    }

    /// Whether this is an IP packet.
    #[inline]
    pub const fn is_ip(&self) -> bool {
        matches!(self.network, Network::Ipv4 | Network::Ipv6)
    }

    /// The version of IP, if this is IP.
    #[inline]
    pub const fn family(&self) -> Option<Family> {
        match self.network {
            Network::Ipv4 => Some(Family::Ipv4),
            Network::Ipv6 => Some(Family::Ipv6),
            Network::Arp | Network::Other => None,
        }
    }

    /// The IP source, if this is IP.
    #[inline]
    pub fn source_ip(&self) -> Option<IpAddr> {
        self.family()
            .map(|family| self.source_address.to_ip(family))
    }

    /// The IP destination, if this is IP.
    #[inline]
    pub fn destination_ip(&self) -> Option<IpAddr> {
        self.family()
            .map(|family| self.destination_address.to_ip(family))
    }

    /// The congestion notification bits (RFC 3168): 0 not capable, 2 ECT(0), 1 ECT(1), 3 CE.
    #[inline]
    pub const fn ecn(&self) -> u8 {
        self.traffic_class & 3
    }
}

/// One line: who sends what to whom, the length of the IP packet (of the frame if this is not IP).
impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(source), Some(destination)) = (self.source_ip(), self.destination_ip()) else {
            write!(f, "{} > {} ", self.source, self.destination)?;
            return match self.network {
                Network::Arp => write!(f, "ARP, {} bytes", self.end),
                _ => write!(f, "EtherType {:#06x}, {} bytes", self.ethertype, self.end),
            };
        };
        if has_ports(self.protocol) && self.ports != 0 {
            let source = SocketAddr::new(source, (self.ports >> 16) as u16);
            let destination = SocketAddr::new(destination, self.ports as u16);
            write!(f, "{source} > {destination} ")?;
        } else {
            write!(f, "{source} > {destination} ")?;
        }
        match protocol_name(self.protocol) {
            Some(name) => f.write_str(name)?,
            None => write!(f, "protocol {}", self.protocol)?,
        }
        let length = self.end.saturating_sub(u32::from(self.network_offset));
        write!(f, ", {length} bytes, ttl {}", self.hop_limit)?;
        match self.fragment {
            Fragment::Whole => Ok(()),
            Fragment::First => f.write_str(", first fragment"),
            Fragment::Later => f.write_str(", later fragment"),
        }
    }
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN
    )
}

#[inline(always)]
const fn is_extension_header(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::DESTINATION_OPTIONS
    )
}

/// What follows the option at the front of `options`, whose length byte leaves out `uncounted` bytes.
fn behind_option(options: &[u8], uncounted: usize) -> Result<&[u8], Malformed> {
    let &[_, length] = options.first_chunk().ok_or(Malformed::Options)?;
    match usize::from(length) + uncounted {
        0 | 1 => Err(Malformed::Options),
        length => options.get(length..).ok_or(Malformed::Options),
    }
}

const fn has_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDP_LITE
    )
}

/// [`Facts::ports`] of a transport header; `None` if it is too short to tell.
#[inline(always)]
fn ports(protocol: u8, transport: &[u8]) -> Option<u32> {
    match protocol {
        _ if has_ports(protocol) => transport
            .first_chunk()
            .map(|ports| u32::from_be_bytes(*ports)),
        protocol::ICMP | protocol::ICMPV6 => {
            let &[kind, _, _, _, identifier_0, identifier_1, _, _] = transport.first_chunk()?;
            let identifier = u32::from_be_bytes([0, 0, identifier_0, identifier_1]);
            match (protocol, kind) {
                (protocol::ICMP, 0 | 8) | (protocol::ICMPV6, 128 | 129) => Some(identifier),
                _ => Some(0),
            }
        }
        _ => Some(0),
    }
}

const fn protocol_name(protocol: u8) -> Option<&'static str> {
    Some(match protocol {
        protocol::ICMP => "ICMP",
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::DCCP => "DCCP",
        protocol::GRE => "GRE",
        protocol::ICMPV6 => "ICMPv6",
        protocol::SCTP => "SCTP",
        protocol::UDP_LITE => "UDP-Lite",
        _ => return None,
    })
}

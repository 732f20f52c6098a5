//! What the one pass over a frame yields.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use super::protocol;
use crate::address::{AddressBits, Family, MacAddress};

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
    /// An IPv4 option in which routers write down their addresses: record route, or a timestamp with addresses.
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
    pub(super) fn insert(&mut self, others: Self) {
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

impl Facts {
    /// What stands in a place for facts before a frame was read.
    pub(crate) const NOTHING: Self = Self {
        destination: MacAddress::ZERO,
        source: MacAddress::ZERO,
        tag: Tag::None,
        ethertype: 0,
        network: Network::Other,
        network_offset: 0,
        transport_offset: 0,
        end: 0,
        protocol: 0,
        hop_limit: 0,
        traffic_class: 0,
        dont_fragment: false,
        fragment: Fragment::Whole,
        source_address: AddressBits { high: 0, low: 0 },
        destination_address: AddressBits { high: 0, low: 0 },
        ports: 0,
        notes: Notes::EMPTY,
    };

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

    /// Whether a transport header starts at `transport_offset`: an IP packet, no later fragment, and no chain
    /// of extension headers that was too long to walk.
    #[inline]
    pub const fn has_transport(&self) -> bool {
        self.is_ip()
            && !matches!(self.fragment, Fragment::Later)
            && !self.notes.contains(Notes::CHAIN_TOO_LONG)
    }

    /// Whether this is an IP packet.
    #[inline]
    pub const fn is_ip(&self) -> bool {
        matches!(self.network, Network::Ipv4 | Network::Ipv6)
    }

    /// Whether this is an IP packet that carries the ICMP of its own version.
    #[inline]
    pub const fn is_icmp(&self) -> bool {
        match self.protocol {
            protocol::ICMP => matches!(self.network, Network::Ipv4),
            protocol::ICMPV6 => matches!(self.network, Network::Ipv6),
            _ => false,
        }
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

pub(super) const fn has_ports(protocol: u8) -> bool {
    matches!(
        protocol,
        protocol::TCP | protocol::UDP | protocol::DCCP | protocol::SCTP | protocol::UDP_LITE
    )
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

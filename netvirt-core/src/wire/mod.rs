//! Bytes and their meaning, one protocol a file.
//!
//! [`parse()`] reads a frame in one pass into [`Facts`]; nothing behind it looks at raw offsets again. The other
//! files hold the formats that netvirt writes or answers, in the `Packet`/`Repr` idiom of `smoltcp::wire`:
//! a `Packet` shows every field of a buffer, a `Repr` is the meaning that netvirt accepts and emits.
//!
//! No function here can panic, whatever the bytes: what does not fit is [`Malformed`].

use core::fmt;
use core::mem;

mod arp;
mod ethernet;
mod facts;
mod gre;
mod icmp;
mod mld;
mod ndp;
mod nvgre;
mod parse;
mod tcp;
mod vlan;

pub use arp::{ArpMessage, ArpOperation};
pub use ethernet::{EthernetHeader, ipv4_multicast_mac};
pub use facts::{Facts, Fragment, Network, Notes, Tag};
pub use gre::{
    GreError, GreHeader, Packet as GrePacket, Repr as GreRepr, gre_checksum_is_valid, read_gre,
};
pub use icmp::{IcmpHeader, icmp_kind, icmpv4, icmpv6};
pub use mld::{ListenerReport, is_listener_query};
pub use ndp::{
    ALL_NODES, NeighborAdvertisement, NeighborMessage, NeighborSolicitation, PrefixInformation,
    RouterAdvertisement, RouterSolicitation, multicast_mac, read_neighbor_message,
    read_router_solicitation, solicited_node,
};
pub use nvgre::{Packet as NvgrePacket, Repr as NvgreRepr};
pub(crate) use parse::parse_into;
pub use parse::{ipv4_header_is_valid, parse, parse_quoted};
pub use tcp::maximum_segment_size;
pub use vlan::{Packet as VlanPacket, Repr as VlanRepr};

/// EtherTypes (IEEE 802.3, the IANA registry of RFC 9542).
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// An IEEE 802.1Q customer tag follows.
    pub const VLAN: u16 = 0x8100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// An IEEE 802.1ad service tag follows.
    pub const SERVICE_VLAN: u16 = 0x88a8;
    /// A tag of the time before IEEE 802.1ad follows.
    pub const OLD_SERVICE_VLAN: u16 = 0x9100;
    /// Transparent Ethernet bridging: the protocol type of GRE that carries Ethernet frames (RFC 7637 §3.2).
    pub const TRANSPARENT_ETHERNET: u16 = 0x6558;
}

/// IP protocol numbers and IPv6 next headers (the IANA registry).
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: u8 = 1;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// DCCP (RFC 4340).
    pub const DCCP: u8 = 33;
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// GRE (RFC 2784).
    pub const GRE: u8 = 47;
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// OSPF (RFC 2328, RFC 5340).
    pub const OSPF: u8 = 89;
    /// PIM (RFC 7761).
    pub const PIM: u8 = 103;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;
    /// UDP-Lite (RFC 3828).
    pub const UDP_LITE: u8 = 136;
}

/// Why bytes are not what their format demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// A header reaches beyond the window, the frame or the packet that contains it.
    Truncated,
    /// The IP version is not the one that the EtherType announces.
    Version,
    /// The IPv4 header length is below 20 bytes.
    HeaderLength,
    /// The length that IP states is below its header or beyond the frame.
    TotalLength,
    /// A list of options does not add up.
    Options,
    /// A field holds a value that its format does not allow there.
    Value,
    /// The checksum of the message is wrong.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a header is cut short",
            Self::Version => "the IP version contradicts the EtherType",
            Self::HeaderLength => "the IPv4 header length is below 20 bytes",
            Self::TotalLength => "the IP length is below the header or beyond the frame",
            Self::Options => "a list of options does not add up",
            Self::Value => "a field holds a value that is not allowed there",
            Self::Checksum => "the checksum is wrong",
        })
    }
}

impl core::error::Error for Malformed {}

/// Takes the next `N` bytes from the front of `rest`. By reference: arrays that travel through a `Result` by
/// value are loaded byte by byte.
#[inline(always)]
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], Malformed> {
    let (taken, behind) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
    *rest = behind;
    Ok(taken)
}

/// Writes `bytes` to the front of `rest`; `None` if they do not fit.
#[inline(always)]
fn put<const N: usize>(rest: &mut &mut [u8], bytes: [u8; N]) -> Option<()> {
    let (place, behind) = mem::take(rest).split_first_chunk_mut()?;
    *place = bytes;
    *rest = behind;
    Some(())
}

/// The `N` bytes that stand `at` bytes into `buffer`; zeros if it is shorter.
#[inline(always)]
fn field<const N: usize>(buffer: &[u8], at: usize) -> [u8; N] {
    buffer
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// Sets the `N` bytes that stand `at` bytes into `buffer`; a shorter buffer stays as it is.
#[inline(always)]
fn set_field<const N: usize>(buffer: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = buffer.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *field = value;
    }
}

#[cfg(test)]
mod vectors;

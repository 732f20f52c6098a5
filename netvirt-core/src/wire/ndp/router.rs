//! Router solicitations and advertisements (RFC 4861 §4.1 and §4.2).

use core::net::Ipv6Addr;

use super::{
    OPTION_LEN, SOURCE_LINK_LAYER, addresses, link_layer_option, pseudo_header, put_ipv6,
    read_header,
};
use crate::address::MacAddress;
use crate::checksum::{add, sum};
use crate::wire::{EthernetHeader, Facts, IcmpHeader, Malformed, ethertype, icmpv6, put};

const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
const PREFIX_OPTION_LEN: usize = 32;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;
/// A lifetime that does not end (RFC 4861 §4.6.2).
const INFINITE: [u8; 4] = [0xff; 4];
/// Reachable time and retransmission timer, both unspecified.
const TIMERS: [u8; 8] = [0; 8];

/// A router solicitation (RFC 4861 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterSolicitation {
    /// The IPv6 source; unspecified while the asker has no address.
    pub source: Ipv6Addr,
    /// The asker's MAC address, if it says so.
    pub source_mac: Option<MacAddress>,
}

/// Reads and validates the router solicitation in `window`, which `facts` were read from (RFC 4861 §6.1.1).
///
/// # Errors
/// As those of [`read_neighbor_message`](super::read_neighbor_message); [`Malformed::Value`] too for an asker without
/// address that tells its MAC address.
pub fn read_router_solicitation(
    window: &[u8],
    facts: &Facts,
) -> Result<RouterSolicitation, Malformed> {
    let (icmp, options) = read_header(window, facts)?;
    if icmp.kind != icmpv6::ROUTER_SOLICITATION {
        return Err(Malformed::Value);
    }
    let [source, _] = addresses(facts);
    let source_mac = link_layer_option(options, SOURCE_LINK_LAYER)?;
    if source.is_unspecified() && source_mac.is_some() {
        return Err(Malformed::Value);
    }
    Ok(RouterSolicitation { source, source_mac })
}

/// A prefix whose addresses are on the link, for good (RFC 4861 §4.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixInformation {
    /// The first address of the prefix.
    pub prefix: Ipv6Addr,
    /// Its length, in bits.
    pub length: u8,
    /// A: hosts make themselves addresses of it (RFC 4862 §5.5.3).
    pub autonomous: bool,
}

/// A router advertisement (RFC 4861 §4.2) that leaves addresses and all else to be configured without DHCP: M and O are
/// clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// The IPv6 source: a link-local address of the router.
    pub source: Ipv6Addr,
    /// The IPv6 destination: who asked, or all nodes.
    pub destination: Ipv6Addr,
    /// The router's MAC address.
    pub source_mac: MacAddress,
    /// The hop limit that hosts should send with.
    pub hop_limit: u8,
    /// How long the router may be used as a default router, in seconds; 0 says that it is none.
    pub lifetime: u16,
    /// The largest IPv6 packet that the link carries, in bytes, if hosts are to be told.
    pub mtu: Option<u16>,
    /// The prefixes on the link.
    pub prefixes: [Option<PrefixInformation>; Self::MAX_PREFIXES],
}

impl RouterAdvertisement {
    /// The most prefixes in one advertisement. More would make every verdict longer.
    pub const MAX_PREFIXES: usize = 3;
    /// The length of the longest frame that [`emit`](Self::emit) writes, in bytes.
    pub const MAX_FRAME_LEN: usize = 14 + 40 + IcmpHeader::LEN + MAX_REST_LEN;

    /// Writes the advertisement in a frame to the front of `out` and returns the frame's length; `None` if `out` is
    /// shorter. A frame for all nodes goes to [`multicast_mac`](super::multicast_mac) of `destination`.
    pub fn emit(&self, destination: MacAddress, out: &mut [u8]) -> Option<usize> {
        let mut room = [0; MAX_REST_LEN];
        let rest = self.write_rest(&mut room)?;
        let length = IcmpHeader::LEN + rest.len();
        let header = self.header(rest, length);
        let ethernet = EthernetHeader {
            destination,
            source: self.source_mac,
            vlan: None,
            ethertype: ethertype::IPV6,
        };
        let mut place = out;
        ethernet.write(&mut place)?;
        put_ipv6(&mut place, self.source, self.destination, length)?;
        put(&mut place, header.to_bytes())?;
        for (to, from) in place.get_mut(..rest.len())?.iter_mut().zip(rest) {
            *to = *from;
        }
        Some(ethernet.buffer_len() + 40 + length)
    }

    fn header(&self, rest: &[u8], length: usize) -> IcmpHeader {
        let [lifetime_0, lifetime_1] = self.lifetime.to_be_bytes();
        let blank = IcmpHeader {
            kind: icmpv6::ROUTER_ADVERTISEMENT,
            code: 0,
            checksum: 0,
            rest: [self.hop_limit, 0, lifetime_0, lifetime_1],
        };
        let message = add(sum(&blank.to_bytes()), sum(rest));
        let covered = add(
            message,
            pseudo_header(self.source, self.destination, length),
        );
        IcmpHeader {
            checksum: !covered,
            ..blank
        }
    }

    /// Writes what follows the first eight bytes.
    fn write_rest<'r>(&self, room: &'r mut [u8; MAX_REST_LEN]) -> Option<&'r [u8]> {
        let mut rest = room.as_mut_slice();
        put(&mut rest, TIMERS)?;
        let MacAddress([a, b, c, d, e, f]) = self.source_mac;
        put(&mut rest, [SOURCE_LINK_LAYER, 1, a, b, c, d, e, f])?;
        if let Some(mtu) = self.mtu {
            let [mtu_0, mtu_1] = mtu.to_be_bytes();
            put(&mut rest, [MTU, 1, 0, 0, 0, 0, mtu_0, mtu_1])?;
        }
        for prefix in self.prefixes.iter().flatten() {
            prefix.write(&mut rest)?;
        }
        let left = rest.len();
        room.get(..MAX_REST_LEN.checked_sub(left)?)
    }
}

const MAX_REST_LEN: usize =
    TIMERS.len() + 2 * OPTION_LEN + RouterAdvertisement::MAX_PREFIXES * PREFIX_OPTION_LEN;

impl PrefixInformation {
    fn write(&self, rest: &mut &mut [u8]) -> Option<()> {
        let flags = if self.autonomous {
            ON_LINK | AUTONOMOUS
        } else {
            ON_LINK
        };
        put(rest, [PREFIX_INFORMATION, 4, self.length, flags])?;
        // Valid lifetime, preferred lifetime, reserved.
        put(rest, INFINITE)?;
        put(rest, INFINITE)?;
        put(rest, [0; 4])?;
        put(rest, self.prefix.octets())
    }
}

#[cfg(test)]
mod tests;

//! Neighbor discovery for IPv6 (RFC 4861): solicitations and advertisements, of neighbors and of routers.

mod router;

use core::net::Ipv6Addr;

pub use router::{
    PrefixInformation, RouterAdvertisement, RouterSolicitation, read_router_solicitation,
};

use super::{
    EthernetHeader, Facts, IcmpHeader, Malformed, Network, Notes, ethertype, icmpv6, protocol, put,
    take,
};
use crate::address::{AddressBits, MacAddress, VlanId};
use crate::checksum::{self, transport_sum};

/// The multicast address of all nodes of a link (RFC 4291 §2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// RFC 4861 §7.1: whoever sends neighbor discovery is on the link, so no router has counted it down.
const HOP_LIMIT: u8 = 255;
/// ICMPv6 type, code, checksum, flags, target.
const MESSAGE_LEN: usize = 24;
/// A link-layer address option of Ethernet (RFC 2464 §6).
const OPTION_LEN: usize = 8;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

/// The solicited-node multicast address of `target` (RFC 4291 §2.7.1).
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(
        0xff02,
        0,
        0,
        0,
        0,
        1,
        0xff00 | a as u16,
        (b as u16) << 8 | c as u16,
    )
}

/// The MAC address of the IPv6 multicast group `group` (RFC 2464 §7).
pub const fn multicast_mac(group: Ipv6Addr) -> MacAddress {
    let [.., a, b, c, d] = group.octets();
    MacAddress([0x33, 0x33, a, b, c, d])
}

/// A neighbor discovery message that asks or says who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighborMessage {
    /// Who has the target?
    Solicitation(NeighborSolicitation),
    /// The target is here.
    Advertisement(NeighborAdvertisement),
}

/// A neighbor solicitation (RFC 4861 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborSolicitation {
    /// The IPv6 source; unspecified while the asker checks its own address for duplicates.
    pub source: Ipv6Addr,
    /// The IPv6 destination: the solicited-node group, or the target itself.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The asker's MAC address, if it says so.
    pub source_mac: Option<MacAddress>,
}

/// A neighbor advertisement (RFC 4861 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// The IPv6 source.
    pub source: Ipv6Addr,
    /// The IPv6 destination: who asked, or all nodes.
    pub destination: Ipv6Addr,
    /// The address that is advertised.
    pub target: Ipv6Addr,
    /// Its MAC address, if the message says so.
    pub target_mac: Option<MacAddress>,
    /// R: the sender is a router.
    pub router: bool,
    /// S: this answers a solicitation.
    pub solicited: bool,
    /// O: this replaces a MAC address that is known already.
    pub overriding: bool,
}

/// Reads and validates the neighbor solicitation or advertisement in `window`, which `facts` were read from
/// (RFC 4861 §7.1.1 and §7.1.2).
///
/// # Errors
/// [`Malformed::Truncated`] if the window does not hold the whole message, [`Malformed::Checksum`],
/// [`Malformed::Options`] for options of length 0, of a length that is not Ethernet's, or of which two say where
/// the sender is; [`Malformed::Value`] for all else: another type, a hop limit that is not 255, a fragment
/// (RFC 6980 §5), a multicast target.
pub fn read_neighbor_message(window: &[u8], facts: &Facts) -> Result<NeighborMessage, Malformed> {
    let (icmp, mut rest) = read_header(window, facts)?;
    let target = Ipv6Addr::from(*take::<16>(&mut rest)?);
    if target.is_multicast() {
        return Err(Malformed::Value);
    }
    let [source, destination] = addresses(facts);
    match icmp.kind {
        icmpv6::NEIGHBOR_SOLICITATION => NeighborSolicitation {
            source,
            destination,
            target,
            source_mac: link_layer_option(rest, SOURCE_LINK_LAYER)?,
        }
        .validated(),
        icmpv6::NEIGHBOR_ADVERTISEMENT => {
            let [flags, ..] = icmp.rest;
            NeighborAdvertisement {
                source,
                destination,
                target,
                target_mac: link_layer_option(rest, TARGET_LINK_LAYER)?,
                router: flags & ROUTER != 0,
                solicited: flags & SOLICITED != 0,
                overriding: flags & OVERRIDE != 0,
            }
            .validated()
        }
        _ => Err(Malformed::Value),
    }
}

/// The header of a message from this link, and the bytes behind it: what RFC 4861 asks of all its messages (§6.1 and
/// §7.1).
fn read_header<'w>(window: &'w [u8], facts: &Facts) -> Result<(IcmpHeader, &'w [u8]), Malformed> {
    let icmp = IcmpHeader::read(window, facts).ok_or(Malformed::Value)?;
    let is_local = facts.network == Network::Ipv6
        && facts.hop_limit == HOP_LIMIT
        && !facts.notes.contains(Notes::FRAGMENT_HEADER);
    if !is_local || icmp.code != 0 {
        return Err(Malformed::Value);
    }
    let message = facts.transport(window);
    if message.len() < facts.transport_length() as usize {
        return Err(Malformed::Truncated);
    }
    let (from, to) = (facts.source_address, facts.destination_address);
    if transport_sum(from, to, protocol::ICMPV6, message) != 0xffff {
        return Err(Malformed::Checksum);
    }
    let mut rest = message;
    let _: &[u8; IcmpHeader::LEN] = take(&mut rest)?;
    Ok((icmp, rest))
}

/// Source and destination of a packet.
fn addresses(facts: &Facts) -> [Ipv6Addr; 2] {
    [facts.source_address, facts.destination_address].map(|address| address.to_ipv6().into())
}

/// The MAC address in the option `kind` of the list `options` (RFC 4861 §4.6.1).
fn link_layer_option(mut options: &[u8], kind: u8) -> Result<Option<MacAddress>, Malformed> {
    let mut found = None;
    while !options.is_empty() {
        let &[option, length, a, b, c, d, e, f] =
            options.first_chunk().ok_or(Malformed::Options)?;
        if length == 0 || option == kind && (length != 1 || found.is_some()) {
            return Err(Malformed::Options);
        }
        if option == kind {
            found = Some(MacAddress([a, b, c, d, e, f]));
        }
        options = options
            .get(usize::from(length) * 8..)
            .ok_or(Malformed::Options)?;
    }
    Ok(found)
}

impl NeighborSolicitation {
    /// The length of the longest frame that [`emit`](Self::emit) writes, in bytes.
    pub const MAX_FRAME_LEN: usize = MAX_FRAME_LEN;

    /// Asks the link for the MAC address of `target` (RFC 4861 §7.2.2). The frame goes to
    /// [`multicast_mac`] of `destination`.
    pub const fn resolve(source: Ipv6Addr, source_mac: MacAddress, target: Ipv6Addr) -> Self {
        Self {
            source,
            destination: solicited_node(target),
            target,
            source_mac: Some(source_mac),
        }
    }

    /// Asks `target` whether it is still there (RFC 4861 §7.3.3). The frame goes to the MAC address at which it was.
    pub const fn confirm(source: Ipv6Addr, source_mac: MacAddress, target: Ipv6Addr) -> Self {
        Self {
            destination: target,
            ..Self::resolve(source, source_mac, target)
        }
    }

    /// Asks whether anybody has `target`, before it is used (RFC 4862 §5.4.2).
    pub const fn probe(target: Ipv6Addr) -> Self {
        Self {
            source: Ipv6Addr::UNSPECIFIED,
            destination: solicited_node(target),
            target,
            source_mac: None,
        }
    }

    /// Whether the asker checks its own address for duplicates.
    pub const fn is_probe(&self) -> bool {
        self.source.is_unspecified()
    }

    /// RFC 4861 §7.1.1, the last two points.
    fn validated(self) -> Result<NeighborMessage, Malformed> {
        let group = solicited_node(self.target);
        if self.is_probe() && (self.source_mac.is_some() || self.destination != group) {
            return Err(Malformed::Value);
        }
        Ok(NeighborMessage::Solicitation(self))
    }

    /// Answers: the target is at `mac` (RFC 4861 §7.2.4). `source` is the address that answers, the target
    /// itself unless a proxy has its own. The answer to a probe goes to all nodes.
    pub const fn reply(
        &self,
        source: Ipv6Addr,
        mac: MacAddress,
        router: bool,
    ) -> NeighborAdvertisement {
        let solicited = !self.is_probe();
        NeighborAdvertisement {
            source,
            destination: if solicited { self.source } else { ALL_NODES },
            target: self.target,
            target_mac: Some(mac),
            router,
            solicited,
            overriding: true,
        }
    }

    /// Writes the solicitation in a frame to the front of `out` and returns the frame's length; `None` if
    /// `out` is shorter.
    pub fn emit(
        &self,
        destination: MacAddress,
        source: MacAddress,
        vlan: Option<VlanId>,
        out: &mut [u8],
    ) -> Option<usize> {
        Message {
            source: self.source,
            destination: self.destination,
            kind: icmpv6::NEIGHBOR_SOLICITATION,
            flags: 0,
            target: self.target,
            option: self.source_mac.map(|mac| (SOURCE_LINK_LAYER, mac)),
        }
        .emit(destination, source, vlan, out)
    }
}

impl NeighborAdvertisement {
    /// The length of the longest frame that [`emit`](Self::emit) writes, in bytes.
    pub const MAX_FRAME_LEN: usize = MAX_FRAME_LEN;

    /// Tells all nodes that `target` is at `mac` (RFC 4861 §7.2.6). The frame goes to [`multicast_mac`] of
    /// `destination`.
    pub const fn announcement(target: Ipv6Addr, mac: MacAddress, router: bool) -> Self {
        Self {
            source: target,
            destination: ALL_NODES,
            target,
            target_mac: Some(mac),
            router,
            solicited: false,
            overriding: true,
        }
    }

    /// RFC 4861 §7.1.2: what goes to a group answers nobody.
    fn validated(self) -> Result<NeighborMessage, Malformed> {
        if self.destination.is_multicast() && self.solicited {
            return Err(Malformed::Value);
        }
        Ok(NeighborMessage::Advertisement(self))
    }

    /// Writes the advertisement in a frame to the front of `out` and returns the frame's length; `None` if
    /// `out` is shorter.
    pub fn emit(
        &self,
        destination: MacAddress,
        source: MacAddress,
        vlan: Option<VlanId>,
        out: &mut [u8],
    ) -> Option<usize> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        Message {
            source: self.source,
            destination: self.destination,
            kind: icmpv6::NEIGHBOR_ADVERTISEMENT,
            flags: flag(self.router, ROUTER)
                | flag(self.solicited, SOLICITED)
                | flag(self.overriding, OVERRIDE),
            target: self.target,
            option: self.target_mac.map(|mac| (TARGET_LINK_LAYER, mac)),
        }
        .emit(destination, source, vlan, out)
    }
}

const MAX_FRAME_LEN: usize = EthernetHeader::MAX_LEN + 40 + MESSAGE_LEN + OPTION_LEN;

/// What both messages have in common on the wire.
struct Message {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: Option<(u8, MacAddress)>,
}

impl Message {
    fn emit(
        &self,
        destination: MacAddress,
        source: MacAddress,
        vlan: Option<VlanId>,
        out: &mut [u8],
    ) -> Option<usize> {
        let ethernet = EthernetHeader {
            destination,
            source,
            vlan,
            ethertype: ethertype::IPV6,
        };
        let option = self
            .option
            .map(|(kind, MacAddress([a, b, c, d, e, f]))| [kind, 1, a, b, c, d, e, f]);
        let length = match option {
            Some(_) => MESSAGE_LEN + OPTION_LEN,
            None => MESSAGE_LEN,
        };
        let icmp = IcmpHeader {
            kind: self.kind,
            code: 0,
            checksum: self.checksum(option.unwrap_or_default(), length),
            rest: [self.flags, 0, 0, 0],
        };

        let mut rest = out;
        ethernet.write(&mut rest)?;
        put_ipv6(&mut rest, self.source, self.destination, length)?;
        put(&mut rest, icmp.to_bytes())?;
        put(&mut rest, self.target.octets())?;
        if let Some(option) = option {
            put(&mut rest, option)?;
        }
        Some(ethernet.buffer_len() + 40 + length)
    }

    /// An absent option is as good as one of zeros.
    fn checksum(&self, option: [u8; OPTION_LEN], length: usize) -> u16 {
        let pseudo_header = pseudo_header(self.source, self.destination, length);
        let parts: [&[u8]; 3] = [
            &[self.kind, 0, self.flags, 0],
            &self.target.octets(),
            &option,
        ];
        !parts.iter().fold(pseudo_header, |total, part| {
            checksum::add(total, checksum::sum(part))
        })
    }
}

/// Writes the IPv6 header of a message of `length` bytes to the front of `rest`.
fn put_ipv6(
    rest: &mut &mut [u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    length: usize,
) -> Option<()> {
    put(rest, [0x60, 0, 0, 0])?;
    put(rest, (length as u16).to_be_bytes())?;
    put(rest, [protocol::ICMPV6, HOP_LIMIT])?;
    put(rest, source.octets())?;
    put(rest, destination.octets())
}

/// The sum of what a message's checksum covers beside the message.
fn pseudo_header(source: Ipv6Addr, destination: Ipv6Addr, length: usize) -> u16 {
    let [source, destination] =
        [source, destination].map(|address| AddressBits::from_ipv6(address.octets()));
    checksum::pseudo_header(source, destination, protocol::ICMPV6, length as u32)
}

#[cfg(test)]
mod tests;

//! What routers of the provider network say of tunnelled packets that were too big for them.

use super::frame::Frame;
use super::verdict::Punt;
use crate::address::{AddressBits, Family, ProviderAddress};
use crate::checksum;
use crate::policy::{Policy, least_path_mtu};
use crate::wire::{Facts, IcmpHeader, NvgrePacket, NvgreRepr, icmpv4, icmpv6, protocol};

/// The code of ICMPv4 that says that fragmentation was needed and forbidden (RFC 1191 §4).
const FRAGMENTATION_NEEDED: u8 = 4;

/// The path MTU that a packet for one of our provider addresses tells, if it can be believed. Anybody may have sent
/// it, so it must quote what nobody but a router on the way would know: a tunnelled packet from that address to
/// another host, with a VSID of ours (RFC 5927 §7.2). Its checksum is verified, so it must lie whole in the window.
#[cold]
pub(super) fn told(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    family: Family,
) -> Option<Punt> {
    let icmp = IcmpHeader::read(frame.window, facts)?;
    let mtu = next_hop_mtu(&icmp, family).filter(|_| is_believable(&icmp, family))?;
    let message = facts.transport(frame.window);
    if message.len() < facts.transport_length() as usize || !is_intact(message, facts, family) {
        return None;
    }
    let quoted = message.get(IcmpHeader::LEN..)?;
    let quote = match family {
        Family::Ipv4 => Quote::of_ipv4(quoted)?,
        Family::Ipv6 => Quote::of_ipv6(quoted)?,
    };
    let gre = NvgreRepr::parse(&NvgrePacket::new_unchecked(quote.payload)).ok()?;
    policy.subnet_of(gre.vsid)?;
    if quote.source != facts.destination_address {
        return None;
    }
    let address = ProviderAddress::new(quote.destination.to_ip(family)).ok()?;
    let mtu = policy.learnable_mtu(family, mtu);
    (mtu < policy.template_to(address)?.mtu()).then_some(Punt::PathMtu { address, mtu })
}

/// Whether an error tells no smaller MTU than any link of the provider network has.
pub(super) fn is_believable(icmp: &IcmpHeader, family: Family) -> bool {
    next_hop_mtu(icmp, family).is_none_or(|mtu| mtu >= least_path_mtu(family))
}

/// What the next link carries (RFC 1191 §4, RFC 4443 §3.2).
fn next_hop_mtu(icmp: &IcmpHeader, family: Family) -> Option<u16> {
    match (family, icmp.kind, icmp.code) {
        (Family::Ipv4, icmpv4::DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED) => {
            let [_, _, high, low] = icmp.rest;
            Some(u16::from_be_bytes([high, low]))
        }
        // The code is to be ignored.
        (Family::Ipv6, icmpv6::PACKET_TOO_BIG, _) => {
            u16::try_from(u32::from_be_bytes(icmp.rest)).ok()
        }
        _ => None,
    }
}

fn is_intact(message: &[u8], facts: &Facts, family: Family) -> bool {
    let sum = match family {
        Family::Ipv4 => checksum::sum(message),
        Family::Ipv6 => checksum::transport_sum(
            facts.source_address,
            facts.destination_address,
            protocol::ICMPV6,
            message,
        ),
    };
    sum == 0xffff
}

/// The quoted front of a packet in the form in which [`Encapsulation`](crate::edit::Encapsulation) writes them.
struct Quote<'q> {
    source: AddressBits,
    destination: AddressBits,
    payload: &'q [u8],
}

impl<'q> Quote<'q> {
    /// Without options, not to be fragmented and no fragment.
    fn of_ipv4(quoted: &'q [u8]) -> Option<Self> {
        let (header, payload) = quoted.split_first_chunk::<20>()?;
        #[rustfmt::skip]
        let &[
            0x45, _, _, _,
            _, _, 0x40, 0,
            _, protocol::GRE, _, _,
            s0, s1, s2, s3,
            d0, d1, d2, d3,
        ] = header else {
            return None;
        };
        Some(Self {
            source: AddressBits::from_ipv4([s0, s1, s2, s3]),
            destination: AddressBits::from_ipv4([d0, d1, d2, d3]),
            payload,
        })
    }

    /// Without extension headers.
    fn of_ipv6(quoted: &'q [u8]) -> Option<Self> {
        let (&[version, _, _, _, _, _, protocol::GRE, _], rest) = quoted.split_first_chunk()?
        else {
            return None;
        };
        let (source, rest) = rest.split_first_chunk()?;
        let (destination, payload) = rest.split_first_chunk()?;
        (version >> 4 == 6).then_some(Self {
            source: AddressBits::from_ipv6(*source),
            destination: AddressBits::from_ipv6(*destination),
            payload,
        })
    }
}

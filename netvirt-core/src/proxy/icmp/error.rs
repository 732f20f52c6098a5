//! The gateway says why a packet of a virtual machine goes no further.

use super::Envelope;
use crate::address::{AddressBits, CustomerAddress, Family};
use crate::checksum::{add, pseudo_header, sum};
use crate::datapath::{DropReason, Frame};
use crate::edit::NoRoom;
use crate::policy::{Policy, PortEntry, Settings};
use crate::wire::{Facts, IcmpHeader, icmp_kind, icmpv4, icmpv6, protocol};

/// An ICMP error is no longer than what every host takes: with IPv4 the 576 bytes of RFC 1812 §4.3.2.3, with IPv6 the
/// least MTU (RFC 4443 §2.4 (c)).
const LONGEST_IPV4: u32 = 576;
const LONGEST_IPV6: u32 = 1280;

/// Internetwork control, as routers mark what they say themselves (RFC 1812 §4.3.2.5).
const TRAFFIC_CLASS: u8 = 0xc0;

/// What an ICMP error complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The packet does not fit: the largest that does, in bytes.
    TooBig { mtu: u16 },
    /// It has been passed on too often.
    TimeExceeded,
    /// No route leads there.
    NoRoute,
    /// Nobody is there.
    NoHost,
}

impl Problem {
    /// What a refusal is told as, if it is told.
    pub fn of(reason: DropReason, settings: &Settings) -> Option<Self> {
        match reason {
            DropReason::TtlExceeded => Some(Self::TimeExceeded),
            DropReason::NoRoute if settings.unreachables => Some(Self::NoRoute),
            DropReason::NoRecord | DropReason::NoPath if settings.unreachables => {
                Some(Self::NoHost)
            }
            _ => None,
        }
    }

    /// Type, code, and what else the header says.
    fn header(self, family: Family) -> IcmpHeader {
        let (mtu_0, mtu_1) = match self {
            Self::TooBig { mtu } => ((mtu >> 8) as u8, mtu as u8),
            _ => (0, 0),
        };
        let (kind, code) = match (family, self) {
            (Family::Ipv4, Self::TooBig { .. }) => (icmpv4::DESTINATION_UNREACHABLE, 4),
            (Family::Ipv4, Self::TimeExceeded) => (icmpv4::TIME_EXCEEDED, 0),
            (Family::Ipv4, Self::NoRoute) => (icmpv4::DESTINATION_UNREACHABLE, 0),
            (Family::Ipv4, Self::NoHost) => (icmpv4::DESTINATION_UNREACHABLE, 1),
            (Family::Ipv6, Self::TooBig { .. }) => (icmpv6::PACKET_TOO_BIG, 0),
            (Family::Ipv6, Self::TimeExceeded) => (icmpv6::TIME_EXCEEDED, 0),
            (Family::Ipv6, Self::NoRoute) => (icmpv6::DESTINATION_UNREACHABLE, 0),
            (Family::Ipv6, Self::NoHost) => (icmpv6::DESTINATION_UNREACHABLE, 3),
        };
        IcmpHeader {
            kind,
            code,
            checksum: 0,
            // RFC 1191 §4 has the MTU in the last two of four bytes, RFC 4443 §3.2 in all of them.
            rest: [0, 0, mtu_0, mtu_1],
        }
    }
}

/// An ICMP error of the gateway (RFC 792, RFC 4443 §3), with the front of the packet that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpError {
    envelope: Envelope,
    icmp: IcmpHeader,
    /// Where the quoted packet starts.
    network_offset: u16,
    /// Where the quote ends.
    end: u32,
}

/// The error for a packet of a virtual machine; none where RFC 1122 §3.2.2 and RFC 4443 §2.4 (e) forbid one, or if the
/// subnet has no gateway to say it.
pub(crate) fn error(
    policy: &Policy<'_>,
    settings: &Settings,
    entry: &PortEntry,
    frame: &Frame<'_>,
    facts: &Facts,
    problem: Problem,
) -> Option<IcmpError> {
    let family = facts.family()?;
    let is_broadcast = family == Family::Ipv4
        && policy
            .directed_broadcast(entry.subnet, facts.destination_address)
            .is_some();
    if is_broadcast || may_be_error(frame, facts, family) {
        return None;
    }
    let source = gateway_of(policy, entry, family, facts.source_address)?;
    let longest = match family {
        Family::Ipv4 => LONGEST_IPV4 - 20,
        Family::Ipv6 => LONGEST_IPV6 - 40,
    };
    let quoted = longest - IcmpHeader::LEN as u32;
    Some(IcmpError {
        envelope: Envelope::back_to_sender(facts, family, source, TRAFFIC_CLASS, settings),
        icmp: problem.header(family),
        network_offset: facts.network_offset,
        end: facts
            .end
            .min(u32::from(facts.network_offset).saturating_add(quoted)),
    })
}

/// Whether a packet is an ICMP error itself, or does not show that it is none.
fn may_be_error(frame: &Frame<'_>, facts: &Facts, family: Family) -> bool {
    let is_error = match family {
        Family::Ipv4 => icmpv4::is_error,
        Family::Ipv6 => icmpv6::is_error,
    };
    !facts.has_transport() || facts.is_icmp() && icmp_kind(frame.window, facts).is_none_or(is_error)
}

/// The gateway of the prefix that holds the sender, or of the subnet's first: a gateway's guest is in none.
fn gateway_of(
    policy: &Policy<'_>,
    entry: &PortEntry,
    family: Family,
    sender: AddressBits,
) -> Option<AddressBits> {
    let own = CustomerAddress::new(sender.to_ip(family))
        .ok()
        .and_then(|sender| policy.prefix_of(entry.subnet, sender));
    let prefix = own.or_else(|| policy.subnet(entry.subnet)?.first_prefix(family))?;
    prefix.gateway().map(AddressBits::from_ip)
}

impl IcmpError {
    pub(in crate::proxy) fn emit(&self, refused: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        let quote = refused
            .get(usize::from(self.network_offset)..self.end as usize)
            .ok_or(NoRoom)?;
        let length = quote.len().saturating_add(IcmpHeader::LEN);
        let header = self.sealed(quote, length as u32);
        let mut writer = self.envelope.open(length, out)?;
        writer.write(&header.to_bytes())?;
        writer.write(quote)?;
        Ok(writer.written)
    }

    /// The header with its checksum.
    fn sealed(&self, quote: &[u8], length: u32) -> IcmpHeader {
        let message = add(sum(&self.icmp.to_bytes()), sum(quote));
        let envelope = &self.envelope;
        let covered = match envelope.family {
            Family::Ipv4 => message,
            Family::Ipv6 => add(
                message,
                pseudo_header(
                    envelope.source,
                    envelope.destination,
                    protocol::ICMPV6,
                    length,
                ),
            ),
        };
        IcmpHeader {
            checksum: !covered,
            ..self.icmp
        }
    }
}

//! ICMP errors quote the packet that they are about, so its addresses are rewritten too.

use super::checksum;
use crate::address::{AddressBits, Family};
use crate::checksum::{Delta, sum};
use crate::datapath::frame::Frame;
use crate::datapath::reason::DropReason;
use crate::edit::{Quote, TransportChecksum};
use crate::wire::{Facts, IcmpHeader, Malformed, Network, icmp_kind, icmpv4, icmpv6, parse_quoted};

/// Whether a packet is an ICMP error. A later fragment starts with anything.
#[inline(always)]
pub(super) fn is_error(frame: &Frame<'_>, facts: &Facts) -> Result<bool, DropReason> {
    if !facts.is_icmp() || !facts.has_transport() {
        return Ok(false);
    }
    match icmp_kind(frame.window, facts) {
        Some(kind) => is_error_kind(facts.network, kind),
        None if facts.transport_length() == 0 => Err(DropReason::TinyFragment),
        None => Err(DropReason::Truncated),
    }
}

/// Whether a message of this type quotes a packet that can be translated.
fn is_error_kind(network: Network, kind: u8) -> Result<bool, DropReason> {
    match (network, kind) {
        // Only the distributed router could send one, and it does not.
        (Network::Ipv4, icmpv4::REDIRECT) => Err(DropReason::RouterGuard),
        (Network::Ipv4, _) => Ok(icmpv4::is_error(kind)),
        (_, icmpv6::DESTINATION_UNREACHABLE..=icmpv6::PARAMETER_PROBLEM) => Ok(true),
        _ if icmpv6::is_error(kind) => Err(DropReason::RewriteUnsupported),
        _ => Ok(false),
    }
}

/// A quoted packet as it was read.
pub(super) struct QuotedPacket {
    pub source: AddressBits,
    pub destination: AddressBits,
    network: u16,
    transport: TransportChecksum,
}

impl QuotedPacket {
    /// Reads the packet that an ICMP error quotes. It may be cut short anywhere behind its IP header.
    #[cold]
    #[inline(never)]
    pub fn read(frame: &Frame<'_>, facts: &Facts) -> Result<Self, DropReason> {
        let family = facts.family().ok_or(DropReason::IcmpInnerUnknown)?;
        let header =
            IcmpHeader::read(frame.window, facts).ok_or_else(|| cut_short(frame, facts))?;
        let start = facts
            .transport_offset
            .saturating_add(IcmpHeader::LEN as u16);
        let end = header.quote_end(family).map_or(facts.end, |length| {
            facts
                .end
                .min(u32::from(facts.transport_offset.saturating_add(length)))
        });
        let quoted =
            parse_quoted(frame.window, family, start, end).map_err(
                |malformed| match malformed {
                    Malformed::Truncated => cut_short(frame, facts),
                    _ => DropReason::IcmpInnerUnknown,
                },
            )?;
        match is_error(frame, &quoted) {
            Ok(false) | Err(DropReason::TinyFragment) => {}
            Err(DropReason::Truncated) => return Err(DropReason::Truncated),
            // Nobody may send an error about an error (RFC 1122 §3.2.2, RFC 4443 §2.4 (e)).
            _ => return Err(DropReason::IcmpInnerUnknown),
        }
        let header_length = match family {
            Family::Ipv4 => 20,
            Family::Ipv6 => 40,
        };
        checksum::check_reach(frame, facts, u32::from(start).wrapping_add(header_length))?;
        Ok(Self {
            source: quoted.source_address,
            destination: quoted.destination_address,
            network: quoted.network_offset,
            transport: checksum::of_quoted(frame, facts, &quoted)?,
        })
    }

    /// The change of its addresses to these.
    pub fn readdressed<'p>(
        &self,
        source: &'p AddressBits,
        destination: &'p AddressBits,
    ) -> Quote<'p> {
        Quote {
            source,
            destination,
            network: self.network,
            delta: Delta::between(self.source, *source)
                + Delta::between(self.destination, *destination),
            transport: self.transport,
            cut: 0,
            cut_delta: Delta::NONE,
        }
    }
}

/// The change of a quote, and the loss of what may stand behind it: extensions that tell of the network that the error was made
/// in (RFC 4950, RFC 5837).
pub(super) fn without_extensions<'p>(
    frame: &Frame<'_>,
    facts: &Facts,
    quote: Quote<'p>,
) -> Result<Quote<'p>, DropReason> {
    let header = IcmpHeader::read(frame.window, facts).ok_or(DropReason::Truncated)?;
    let family = facts.family().ok_or(DropReason::IcmpInnerUnknown)?;
    let Some(start) = header.extensions_start(family) else {
        return Ok(quote);
    };
    let start = u32::from(facts.transport_offset.saturating_add(start));
    let cut = facts.end.saturating_sub(start) as u16;
    if cut == 0 {
        return Ok(quote);
    }
    let lost = frame
        .window
        .get(start as usize..facts.end as usize)
        .ok_or(DropReason::Truncated)?;
    let [first, second, ..] = header.rest;
    let length = facts.transport_length() as u16;
    let headers = match family {
        Family::Ipv6 => {
            Delta::of_words(u16::from_be_bytes([first, second]), u16::from(second))
                + Delta::of_words(length, length.wrapping_sub(cut))
        }
        Family::Ipv4 => Delta::of_words(u16::from(second), 0),
    };
    let is_lost = |at: u16| u32::from(at).saturating_add(2) > start;
    let transport = match quote.transport.offset() {
        Some(at) if is_lost(at) => TransportChecksum::None,
        _ => quote.transport,
    };
    Ok(Quote {
        transport,
        cut,
        cut_delta: headers + Delta::of_words(sum(lost), 0),
        ..quote
    })
}

/// Why a quote ends too early: the packet does, or the window.
fn cut_short(frame: &Frame<'_>, facts: &Facts) -> DropReason {
    if frame.window.len() < facts.end as usize {
        DropReason::Truncated
    } else {
        DropReason::IcmpInnerUnknown
    }
}

//! The transport checksum that a change of addresses changes.

use crate::counters::{Event, Events};
use crate::datapath::frame::Frame;
use crate::datapath::reason::DropReason;
use crate::edit::{REWRITE_REACH, TransportChecksum};
use crate::wire::{Facts, Fragment, Network, Notes, protocol};

/// The checksum of a packet to be rewritten. `is_error` says that it is an ICMP error.
#[inline(always)]
pub(super) fn of_packet(
    frame: &Frame<'_>,
    facts: &Facts,
    is_error: bool,
) -> Result<TransportChecksum, DropReason> {
    let offset = match offset_in_transport(facts)? {
        Some(offset) => offset,
        None if is_error => 2,
        None => return Ok(TransportChecksum::None),
    };
    if facts.protocol == protocol::TCP && facts.notes.contains(Notes::FRAGMENT_AT_8) {
        return Err(DropReason::TinyFragment);
    }
    if facts.fragment == Fragment::Later {
        return Ok(TransportChecksum::None);
    }
    let at = facts.transport_offset.wrapping_add(offset);
    let end = u32::from(at).wrapping_add(2);
    if end > facts.end {
        return Err(DropReason::TinyFragment);
    }
    check_reach(frame, facts, end)?;
    let is_partial = frame.offload.completes(at);
    Ok(match facts.protocol {
        // Nothing but the message is summed, and whoever completes the checksum will see it as it then is.
        protocol::ICMP if is_partial => TransportChecksum::None,
        _ if is_partial => TransportChecksum::Partial(at),
        protocol::ICMP => TransportChecksum::Icmp(at),
        _ => complete(facts, at),
    })
}

/// The checksum of a quoted packet; none if the quote ends before it.
pub(super) fn of_quoted(
    frame: &Frame<'_>,
    facts: &Facts,
    quoted: &Facts,
) -> Result<TransportChecksum, DropReason> {
    let Some(offset) = offset_in_transport(quoted)? else {
        return Ok(TransportChecksum::None);
    };
    let at = quoted.transport_offset.wrapping_add(offset);
    let end = u32::from(at).wrapping_add(2);
    if quoted.fragment == Fragment::Later || end > quoted.end {
        return Ok(TransportChecksum::None);
    }
    check_reach(frame, facts, end)?;
    Ok(complete(quoted, at))
}

#[inline(always)]
fn complete(facts: &Facts, at: u16) -> TransportChecksum {
    match facts.protocol {
        // RFC 3828 §3.1 has no absent checksum; a 0 that is there all the same must not become a wrong one.
        protocol::UDP | protocol::UDP_LITE => TransportChecksum::Udp(at),
        _ => TransportChecksum::Complete(at),
    }
}

/// Where the checksum stands in a transport header whose pseudo header has the addresses, if there is one.
#[inline(always)]
fn offset_in_transport(facts: &Facts) -> Result<Option<u16>, DropReason> {
    const ADDRESS_LISTS: Notes = Notes::SOURCE_ROUTE
        .union(Notes::RECORD_ROUTE)
        .union(Notes::SEGMENTS_LEFT)
        .union(Notes::HOME_ADDRESS);
    if facts.notes.intersects(ADDRESS_LISTS) {
        return Err(DropReason::SourceRoute);
    }
    if facts.notes.contains(Notes::CHAIN_TOO_LONG) {
        return Err(DropReason::RewriteUnsupported);
    }
    match facts.protocol {
        protocol::TCP => Ok(Some(16)),
        protocol::UDP | protocol::UDP_LITE | protocol::DCCP => Ok(Some(6)),
        protocol::ICMPV6 if facts.network == Network::Ipv6 => Ok(Some(2)),
        protocol::OSPF | protocol::PIM if facts.network == Network::Ipv6 => {
            Err(DropReason::RewriteUnsupported)
        }
        _ => Ok(None),
    }
}

/// What changes must lie in the window, and near enough to the packet's start for every form of doing the edit.
#[inline(always)]
pub(super) fn check_reach(frame: &Frame<'_>, facts: &Facts, end: u32) -> Result<(), DropReason> {
    if end > u32::from(facts.network_offset).wrapping_add(REWRITE_REACH) {
        return Err(DropReason::RewriteUnsupported);
    }
    if end as usize > frame.window.len() {
        return Err(DropReason::Truncated);
    }
    Ok(())
}

/// UDP-Lite without a checksum is counted.
#[inline(always)]
pub(super) fn note_absent(
    frame: &Frame<'_>,
    facts: &Facts,
    transport: TransportChecksum,
    events: &mut Events,
) {
    if facts.protocol == protocol::UDP_LITE
        && let TransportChecksum::Udp(at) = transport
        && let Some([0, 0, ..]) = frame.window.get(usize::from(at)..)
    {
        events.insert(Event::ChecksumAbsent);
    }
}

//! Where a packet of a virtual machine is to go: subnet, routes of its domain, host, path.

use super::frame::Frame;
use super::inbound::is_unicast;
use super::job::Heading;
use super::reason::DropReason;
use super::refusal::Refusal;
use super::verdict::{Outcome, Verdict};
use crate::address::{AddressBits, Family, HostId, Vsid};
use crate::counters::Event;
use crate::edit::{Edit, Fragmentation, SegmentSize, TUNNEL_REACH, Template, TransportChecksum};
use crate::offload::Offload;
use crate::policy::{PathId, Policy, Record, Route, RouteKind, Settings, Subnet};
use crate::table::Key;
use crate::trace::{Observer, Step};
use crate::wire::{self, Facts, Fragment, Network, protocol};

/// The key of a customer address.
#[inline(always)]
pub(super) fn record_key(vsid: Vsid, family: Family, address: AddressBits) -> Key {
    match family {
        Family::Ipv4 => Key::ipv4(vsid, address.to_ipv4()),
        Family::Ipv6 => Key::ipv6(vsid, address.to_ipv6()),
    }
}

/// Finds where a packet from a machine in `subnet` heads. A destination within the subnet's own prefix is asked
/// for there; any other takes the longest route of the domain. Where nothing leads, the subnet itself is asked: the
/// sender is judged before the lack of a way.
#[inline(always)]
pub(super) fn head(
    heading: &mut Heading,
    policy: &Policy<'_>,
    subnet: &Subnet,
    vsid: Vsid,
    family: Family,
    address: AddressBits,
    observer: &mut impl Observer,
) {
    *heading = Heading {
        vsid,
        address,
        is_routed: false,
        is_via: false,
    };
    if !subnet.holds(family, address)
        && let Some(route) = route(policy, subnet, family, address, observer)
        && let Ok(along) = along(policy, route, vsid, address)
    {
        *heading = along;
    }
}

/// Where a packet heads that takes this route.
#[inline(never)]
pub(super) fn along(
    policy: &Policy<'_>,
    route: &Route,
    vsid: Vsid,
    destination: AddressBits,
) -> Result<Heading, DropReason> {
    let is_via = route.kind == RouteKind::Via;
    let (number, address) = if is_via {
        // A next hop in no subnet makes the route unusable.
        let subnet = route.via_subnet.checked_sub(1).ok_or(DropReason::NoPath)?;
        (subnet, route.next_hop)
    } else {
        (route.subnet, destination)
    };
    let target = policy
        .subnet(number)
        .and_then(|subnet| Vsid::new(subnet.vsid).ok())
        .ok_or(DropReason::NoRoute)?;
    Ok(Heading {
        vsid: target,
        address,
        is_routed: is_via || target != vsid,
        is_via,
    })
}

/// The best route of the subnet's domain to an address. There is none to a link-local one (RFC 4291 §2.5.6).
pub(super) fn route<'p>(
    policy: &'p Policy<'_>,
    subnet: &Subnet,
    family: Family,
    address: AddressBits,
    observer: &mut impl Observer,
) -> Option<&'p Route> {
    let domain = policy.domain(subnet.domain)?;
    let route = policy
        .route_to(domain, family, address)
        .filter(|_| !is_link_local(family, address));
    observer.note(|| Step::Route {
        address: address.to_ip(family),
        route: route.and_then(|route| Some((route.prefix()?, route.target()))),
    });
    route
}

/// Whether an address is IPv6 and of one link alone (RFC 4291 §2.5.6).
#[inline(always)]
pub(super) fn is_link_local(family: Family, address: AddressBits) -> bool {
    family == Family::Ipv6 && address.high >> 54 == 0xfe80 >> 6
}

/// Whether a gateway may speak for an address that no subnet holds: nobody beyond it has a link-local one, which may
/// be the router's, or one that no single machine can own.
pub(super) fn may_be_beyond_gateway(family: Family, address: AddressBits) -> bool {
    is_unicast(family, address) && !is_link_local(family, address)
}

/// Whether an address is the gateway of the subnet that a route leads to.
pub(super) fn is_gateway_of(route: &Route, family: Family, address: AddressBits) -> bool {
    route.kind == RouteKind::OnLink
        && route.prefix().and_then(|prefix| prefix.gateway()) == Some(address.to_ip(family))
}

/// A path through the provider network, and the header of its packets.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    pub id: PathId,
    pub template: &'p Template,
}

/// The path of a flow to a host.
#[inline(always)]
pub(super) fn tunnel_path<'p>(
    policy: &'p Policy<'_>,
    host: HostId,
    flow: u32,
) -> Result<Path<'p>, DropReason> {
    let id = policy
        .host(host)
        .and_then(|host| host.path_for(flow))
        .ok_or(DropReason::NoPath)?;
    Ok(Path {
        id,
        template: policy.template(id).ok_or(DropReason::NoPath)?,
    })
}

/// The path to a host for rewritten packets: they have no outer header, so they take the first path of their
/// own family.
#[inline(always)]
pub(super) fn rewrite_path<'p>(
    policy: &'p Policy<'_>,
    host: HostId,
    family: Family,
) -> Result<Path<'p>, DropReason> {
    let id = policy
        .host(host)
        .and_then(|host| host.path_of(family))
        .ok_or(DropReason::NoPath)?;
    Ok(Path {
        id,
        template: policy.template(id).ok_or(DropReason::NoPath)?,
    })
}

/// Notes the path that was chosen.
pub(super) fn note_path(template: &Template, observer: &mut impl Observer) {
    observer.note(|| Step::Path {
        destination: template.destination().to_ip(template.family()),
        inner_mtu: template.inner_mtu(),
        resolved: template.is_resolved(),
    });
}

/// Sends an edited frame along a path, or holds it until the next hop is known.
#[inline(always)]
pub(super) fn leave<'p>(verdict: &mut Verdict<'p>, path: Path<'p>, edit: Edit<'p>) {
    verdict.outcome = Outcome::Transmit {
        uplink: path.template.uplink(),
        edit,
    };
    if !path.template.is_resolved() {
        hold(verdict, path.id);
    }
}

#[cold]
#[inline(never)]
fn hold(verdict: &mut Verdict<'_>, path: PathId) {
    if let Outcome::Transmit { edit, .. } = verdict.outcome {
        verdict.outcome = Outcome::Hold { path, edit };
    }
}

/// Bytes of the largest IP packet that a frame will be on the path: of one segment, if it is to be cut.
#[inline(always)]
pub(super) fn packet_length(facts: &Facts, offload: &Offload) -> u32 {
    let whole = facts.end.wrapping_sub(u32::from(facts.network_offset));
    match offload.segmentation {
        None => whole,
        Some(work) => {
            let headers = work.header_length.saturating_sub(facts.network_offset);
            whole.min(u32::from(headers).wrapping_add(u32::from(work.segment_size)))
        }
    }
}

/// Makes the edit of a packet one that fits a path which carries packets of `mtu` bytes.
#[inline(always)]
pub(super) fn fit(
    frame: &Frame<'_>,
    facts: &Facts,
    mtu: u16,
    verdict: &mut Verdict<'_>,
) -> Result<(), Refusal> {
    if packet_length(facts, &frame.offload) <= u32::from(mtu) {
        return Ok(());
    }
    let fragmentation = fragment(frame, facts, mtu)?;
    if let Some((edit, events)) = verdict.edit_mut() {
        edit.fragmentation = Some(fragmentation);
        events.insert(Event::Fragmented);
    }
    Ok(())
}

/// A packet that may be cut passes in fragments (RFC 791 §3.2). Segments that do not fit are their sender's to make
/// smaller: who makes super-frames listens for the path's MTU.
#[cold]
fn fragment(frame: &Frame<'_>, facts: &Facts, mtu: u16) -> Result<Fragmentation, Refusal> {
    if !may_be_cut(frame, facts) {
        return Err(Refusal::TooBig { mtu });
    }
    if reaches_too_far(frame, facts) {
        return Err(DropReason::Malformed.into());
    }
    Fragmentation::of(header_length(facts), mtu).ok_or(Refusal::TooBig { mtu })
}

fn may_be_cut(frame: &Frame<'_>, facts: &Facts) -> bool {
    facts.network == Network::Ipv4 && !facts.dont_fragment && frame.offload.segmentation.is_none()
}

/// Bytes of the IP header, which is less than 256.
fn header_length(facts: &Facts) -> u8 {
    facts.transport_offset.saturating_sub(facts.network_offset) as u8
}

/// Bytes of the IP header of a packet whose copies may each be cut; none if they may not.
pub(super) fn header_of_fragments(frame: &Frame<'_>, facts: &Facts) -> Option<u8> {
    (may_be_cut(frame, facts) && !reaches_too_far(frame, facts)).then(|| header_length(facts))
}

/// Whether the last piece of an IPv4 fragment would start where no offset points to: behind the longest datagram.
fn reaches_too_far(frame: &Frame<'_>, facts: &Facts) -> bool {
    let packet = frame
        .window
        .get(usize::from(facts.network_offset)..)
        .unwrap_or_default();
    let Some(&[_, _, _, _, _, _, flags_and_offset, offset]) = packet.first_chunk() else {
        return true;
    };
    let offset = u32::from(u16::from_be_bytes([flags_and_offset & 0x1f, offset])) * 8;
    offset.wrapping_add(facts.transport_length()) > u32::from(u16::MAX)
}

/// Limits what a TCP connection may put into a packet, if this is the first packet of one and asks for more than the path
/// carries (RFC 9293 §3.7.1).
#[inline(always)]
pub(super) fn clamp(
    settings: &Settings,
    frame: &Frame<'_>,
    facts: &Facts,
    mtu: u16,
    verdict: &mut Verdict<'_>,
) {
    if settings.clamp_mss
        && facts.protocol == protocol::TCP
        && let Some((edit, _)) = verdict.edit_mut()
    {
        edit.segment_size = clamped(frame, facts, mtu);
    }
}

#[cold]
fn clamped(frame: &Frame<'_>, facts: &Facts, mtu: u16) -> Option<SegmentSize> {
    const HEADER: u16 = 20;
    const CHECKSUM: u16 = 16;
    let headers = match facts.family()? {
        Family::Ipv4 => 20 + HEADER,
        Family::Ipv6 => 40 + HEADER,
    };
    if facts.fragment != Fragment::Whole || !facts.has_transport() {
        return None;
    }
    let (announced, offset) = wire::maximum_segment_size(facts.transport(frame.window))?;
    let value = mtu.checked_sub(headers).filter(|most| announced > *most)?;
    let offset = facts.transport_offset.saturating_add(offset);
    let checksum = facts.transport_offset.saturating_add(CHECKSUM);
    let in_packet = offset.saturating_sub(facts.network_offset);
    if in_packet > TUNNEL_REACH - 2 {
        return None;
    }
    Some(SegmentSize {
        offset,
        value,
        checksum: if frame.offload.completes(checksum) {
            TransportChecksum::None
        } else {
            TransportChecksum::Complete(checksum)
        },
    })
}

/// Notes a record that was looked for.
pub(super) fn lookup_record(record: Option<&Record>) -> Option<crate::policy::LookupRecord> {
    record.and_then(Record::to_lookup_record)
}

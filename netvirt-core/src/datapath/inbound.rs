//! A frame from the provider network: ours or not, tunnel or rewritten, question or answer.

use super::frame::Frame;
use super::job::{Job, Stage};
use super::reason::DropReason;
use super::rewrite::check_link;
use super::verdict::{Outcome, Punt, Verdict};
use super::{path_mtu, tunnel};
use crate::address::{AddressBits, Family, UplinkId};
use crate::policy::{HostAddress, Policy, Reception};
use crate::proxy;
use crate::trace::{Observer, Step};
use crate::wire::{self, Facts, Fragment, Malformed, Network, Notes, Tag, protocol};

/// Reads the outer headers, checks them, and asks for the records of source and destination.
#[inline(never)]
pub(super) fn begin(
    job: &mut Job,
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    uplink: UplinkId,
    verdict: &mut Verdict<'_>,
    observer: &mut impl Observer,
) -> Result<Stage, DropReason> {
    wire::parse_into(&mut job.facts, frame.window, frame.length, 0).map_err(|malformed| {
        match malformed {
            Malformed::Truncated => DropReason::Truncated,
            _ => DropReason::OuterMalformed,
        }
    })?;
    let facts = &job.facts;
    observer.note(|| Step::Parsed(*facts));
    let Some(family) = facts.family() else {
        verdict.outcome = match facts.network {
            Network::Arp => proxy::arp::from_uplink(policy, frame, facts, uplink)?,
            _ if is_double_tagged_for_us(policy, facts, uplink) => return Err(DropReason::PaVlan),
            _ => Outcome::Punt(Punt::NotOurs),
        };
        return Ok(Stage::Decided);
    };
    let own = policy
        .own_address(family, facts.destination_address)
        .filter(|own| own.state.receives());
    if let Some(own) = own {
        check_link(facts, own, uplink)?;
    }
    if proxy::ndp::is_neighbor_discovery(frame, facts) {
        verdict.outcome = proxy::ndp::from_uplink(policy, frame, facts, uplink)?;
        return Ok(Stage::Decided);
    }
    let group = match own {
        None if facts.protocol == protocol::GRE => group_listener(policy, facts, family, uplink)?,
        _ => None,
    };
    let Some(own) = own.or(group.as_ref()) else {
        if facts.protocol == protocol::ICMPV6
            && let Some(query) = proxy::listener::query(policy, frame, facts, uplink)
        {
            verdict.outcome = query;
            return Ok(Stage::Decided);
        }
        frame.check_offload(facts)?;
        job.look_up_rewritten(policy, family);
        return Ok(Stage::Rewrite);
    };
    check_header(policy, frame, facts, own, family)?;
    if facts.protocol != protocol::GRE {
        let told = path_mtu::told(policy, frame, facts, family);
        verdict.outcome = Outcome::Punt(told.unwrap_or(Punt::HostStack));
        return Ok(Stage::Decided);
    }
    let stage = tunnel::begin(job, policy, frame, family, verdict, observer)?;
    if group.is_some() && stage == Stage::Tunnel {
        return Err(for_one_out_of_group(policy, verdict));
    }
    Ok(stage)
}

/// The own address that hears a group of the provider network, if the packet is for one that an address of a subnet is
/// mapped to. It came the way that a packet for that own address comes, but for the MAC address, which is the group's.
#[cold]
fn group_listener(
    policy: &Policy<'_>,
    facts: &Facts,
    family: Family,
    uplink: UplinkId,
) -> Result<Option<HostAddress>, DropReason> {
    let Some(listener) = policy.listener(family, facts.destination_address) else {
        return Ok(None);
    };
    check_link(facts, &listener, uplink)?;
    Ok(Some(listener))
}

/// Why a frame for one machine is not taken out of a group.
#[cold]
fn for_one_out_of_group(policy: &Policy<'_>, verdict: &Verdict<'_>) -> DropReason {
    match verdict.vsid {
        Some(vsid) => tunnel::unless_unknown(policy, vsid, DropReason::Multicast),
        None => DropReason::VsidUnknown,
    }
}

/// Behind two tags nothing is read, but no provider address has two.
#[cold]
fn is_double_tagged_for_us(policy: &Policy<'_>, facts: &Facts, uplink: UplinkId) -> bool {
    facts.tag == Tag::Stacked
        && policy
            .provider_addresses()
            .any(|own| own.mac == facts.destination && own.uplink == uplink)
}

/// The outer IP header of a packet for one of our provider addresses.
#[inline(always)]
fn check_header(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    own: &HostAddress,
    family: Family,
) -> Result<(), DropReason> {
    let is_strict = policy
        .settings()
        .is_none_or(|settings| settings.reception == Reception::Strict);
    if !frame.has_intact_header(facts)
        || facts.notes.intersects(
            Notes::SOURCE_ROUTE
                .union(Notes::ROUTING_HEADER)
                .union(Notes::LONG_CHAIN)
                .union(Notes::CHAIN_TOO_LONG),
        )
        || is_strict && facts.notes.contains(Notes::IPV4_OPTIONS)
    {
        return Err(DropReason::OuterMalformed);
    }
    if facts.fragment != Fragment::Whole || facts.notes.contains(Notes::FRAGMENT_HEADER) {
        return Err(DropReason::OuterFragment);
    }
    let source = facts.source_address;
    if !is_unicast(family, source)
        || source == AddressBits::from_ip(own.address.get())
        || policy.own_address(family, source).is_some()
    {
        return Err(DropReason::OuterSrcBad);
    }
    Ok(())
}

#[inline(always)]
pub(super) fn is_unicast(family: Family, address: AddressBits) -> bool {
    match family {
        Family::Ipv4 => {
            let first = address.low >> 24;
            address.low != 0 && first != 127 && first < 224
        }
        Family::Ipv6 => address.high >> 56 != 0xff && (address.high != 0 || address.low > 1),
    }
}

//! IP rewrite: customer addresses become provider addresses on the way out, and customer addresses again on
//! the way in. Nothing is added to the packet.

use super::frame::{Frame, Ingress};
use super::job::{Heading, Job};
use super::outbound::Departure;
use super::reason::DropReason;
use super::refusal::Refusal;
use super::resolve;
use super::verdict::{Outcome, Punt, Verdict};
use crate::address::{Family, HostId, PortId, UplinkId};
use crate::counters::Event;
use crate::edit::{Edit, Ethernet, Link, Push, Rewrite, TransportChecksum};
use crate::policy::{HostAddress, Location, Policy, Record, Settings};
use crate::trace::{Observer, Step};
use crate::wire::{Facts, Fragment, Notes, Tag, icmpv4, protocol};

/// Sends a packet whose two records both say rewrite.
#[inline(always)]
pub(super) fn send<'p>(
    departure: &Departure<'_, 'p, '_>,
    heading: &Heading,
    source: &'p Record,
    destination: &'p Record,
    host: HostId,
    verdict: &mut Verdict<'p>,
    observer: &mut impl Observer,
) -> Result<(), Refusal> {
    let facts = &departure.job.facts;
    let path = resolve::rewrite_path(departure.policy, host, departure.family)?;
    resolve::note_path(path.template, observer);
    if source.provider == 0 {
        return Err(DropReason::NoPath.into());
    }
    let size = departure.fit(path.template.mtu(), verdict)?;
    let push = Push::Link(Link {
        template: path.template,
        source: source.uses_vm_mac().then_some(source.mac),
    });
    let rewrite = Rewrite {
        source: source.provider_address(),
        destination: destination.provider_address(),
        delta: source.delta + destination.delta,
        transport: transport_checksum(departure.frame, facts)?,
    };
    let edit = Edit {
        rewrite: Some(rewrite),
        ..departure.edit(heading, push, size)
    };
    resolve::leave(verdict, path, edit);
    Ok(())
}

/// Where the checksum is that the addresses are part of.
#[inline(always)]
fn transport_checksum(frame: &Frame<'_>, facts: &Facts) -> Result<TransportChecksum, DropReason> {
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
    if facts.protocol == protocol::TCP && facts.notes.contains(Notes::FRAGMENT_AT_8) {
        return Err(DropReason::TinyFragment);
    }
    let offset = match facts.protocol {
        protocol::TCP => 16,
        protocol::UDP | protocol::UDP_LITE | protocol::DCCP => 6,
        protocol::ICMPV6 => 2,
        protocol::ICMP => return check_icmp(frame, facts).map(|()| TransportChecksum::None),
        protocol::OSPF | protocol::PIM if facts.family() == Some(Family::Ipv6) => {
            return Err(DropReason::RewriteUnsupported);
        }
        _ => return Ok(TransportChecksum::None),
    };
    if facts.fragment == Fragment::Later {
        return Ok(TransportChecksum::None);
    }
    if facts.protocol == protocol::ICMPV6 {
        check_icmp(frame, facts)?;
    }
    let at = facts.transport_offset.wrapping_add(offset);
    let end = u32::from(at).wrapping_add(2);
    if end > facts.end {
        return Err(DropReason::TinyFragment);
    }
    if end as usize > frame.window.len() {
        return Err(DropReason::Truncated);
    }
    let is_partial = frame
        .offload
        .checksum
        .is_some_and(|partial| partial.start.wrapping_add(partial.offset) == at);
    Ok(match facts.protocol {
        _ if is_partial => TransportChecksum::Partial(at),
        // RFC 3828 §3.1 has no absent checksum; a 0 that is there all the same must not become a wrong one.
        protocol::UDP | protocol::UDP_LITE => TransportChecksum::Udp(at),
        _ => TransportChecksum::Complete(at),
    })
}

/// ICMP errors quote a packet whose addresses would have to be rewritten too.
fn check_icmp(frame: &Frame<'_>, facts: &Facts) -> Result<(), DropReason> {
    if facts.fragment == Fragment::Later {
        return Ok(());
    }
    let Some(&kind) = facts.transport(frame.window).first() else {
        return Err(DropReason::TinyFragment);
    };
    let is_error = match facts.protocol {
        protocol::ICMPV6 => kind < 128,
        _ => matches!(
            kind,
            icmpv4::DESTINATION_UNREACHABLE
                | icmpv4::SOURCE_QUENCH
                | icmpv4::REDIRECT
                | icmpv4::TIME_EXCEEDED
                | icmpv4::PARAMETER_PROBLEM
        ),
    };
    if is_error {
        Err(DropReason::RewriteUnsupported)
    } else {
        Ok(())
    }
}

/// Decides a packet from the uplink that is for no provider address of the host itself.
#[inline(never)]
pub(super) fn conclude<'p>(
    job: &Job,
    policy: &'p Policy<'_>,
    frame: &Frame<'_>,
    verdict: &mut Verdict<'p>,
    observer: &mut impl Observer,
) -> Result<(), DropReason> {
    verdict.outcome = Outcome::Punt(Punt::NotOurs);
    let (source, destination) = (job.source(policy), job.destination(policy));
    let (Some(family), Some(settings)) = (job.facts.family(), policy.settings()) else {
        return Ok(());
    };
    for (address, record) in [
        (job.facts.destination_address, destination),
        (job.facts.source_address, source),
    ] {
        observer.note(|| Step::RewriteAddress {
            address: address.to_ip(family),
            record: resolve::lookup_record(record),
        });
    }
    let Some(destination) = destination else {
        return Ok(());
    };
    let arrival = Arrival {
        job,
        policy,
        frame,
        settings,
        family,
    };
    match destination.location() {
        Location::Port(port) => {
            verdict.vsid = destination.vsid();
            arrival.restore(source, destination, port, verdict)
        }
        Location::Host(host) if destination.previous_host() == Some(settings.local_host) => {
            verdict.vsid = destination.vsid();
            arrival.redirect(host, verdict)
        }
        Location::Host(_) => Ok(()),
    }
}

/// A rewritten packet for a machine that this host knows.
struct Arrival<'a, 'p, 's> {
    job: &'a Job,
    policy: &'p Policy<'s>,
    frame: &'a Frame<'a>,
    settings: &'p Settings,
    family: Family,
}

impl<'p> Arrival<'_, 'p, '_> {
    /// Gives the packet its customer addresses back and hands it to its machine.
    #[inline(always)]
    fn restore(
        &self,
        source: Option<&'p Record>,
        destination: &'p Record,
        port: PortId,
        verdict: &mut Verdict<'p>,
    ) -> Result<(), DropReason> {
        let facts = &self.job.facts;
        self.check_link(
            self.policy
                .provider_of(destination)
                .ok_or(DropReason::NoPath)?,
        )?;
        self.check_header()?;
        let source = source.ok_or(DropReason::SrcPaUnknown)?;
        if matches!(source.location(), Location::Port(_)) && source.previous_host().is_none() {
            return Err(DropReason::OuterSrcBad);
        }
        if !may_send(self.policy, source, destination, self.family) {
            return Err(DropReason::SrcPaUnknown);
        }
        let is_routed = source.subnet != destination.subnet;
        let push = Push::Ethernet(Ethernet {
            destination: &destination.mac,
            source: if is_routed {
                &self.settings.router_mac
            } else {
                &source.mac
            },
            ethertype: facts.ethertype,
        });
        let rewrite = Rewrite {
            source: source.address(),
            destination: destination.address(),
            delta: -(source.delta + destination.delta),
            transport: transport_checksum(self.frame, facts)?,
        };
        let edit = Edit {
            rewrite: Some(rewrite),
            ..self.edit(push)
        };
        verdict.outcome = Outcome::Deliver { port, edit };
        Ok(())
    }

    /// Sends the packet after a machine that moved, as it is but for the hop that this takes.
    #[cold]
    #[inline(never)]
    fn redirect(&self, host: HostId, verdict: &mut Verdict<'p>) -> Result<(), DropReason> {
        let facts = &self.job.facts;
        let address = facts.destination_address.to_ip(self.family);
        self.check_link(
            self.policy
                .on_link_source(address)
                .and_then(|number| self.policy.provider_address(number))
                .ok_or(DropReason::NoPath)?,
        )?;
        self.check_header()?;
        if facts.hop_limit <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        let path = resolve::rewrite_path(self.policy, host, self.family)?;
        let mtu = path.template.mtu();
        let fragmentation =
            resolve::fit(facts, &self.frame.offload, mtu, verdict).map_err(Refusal::reason)?;
        verdict.events.insert(Event::Redirect);
        let push = Push::Link(Link {
            template: path.template,
            source: None,
        });
        let edit = Edit {
            decrement_hop_limit: true,
            fragmentation,
            ..self.edit(push)
        };
        resolve::leave(verdict, path, edit);
        Ok(())
    }

    #[inline(always)]
    fn edit(&self, push: Push<'p>) -> Edit<'p> {
        let facts = &self.job.facts;
        Edit::front(
            facts,
            self.family,
            facts.network_offset,
            push,
            self.frame.offload,
        )
    }

    #[inline(always)]
    fn check_link(&self, own: &HostAddress) -> Result<(), DropReason> {
        let Ingress::Uplink(uplink) = self.frame.ingress else {
            return Err(DropReason::NoLocalDst);
        };
        check_link(&self.job.facts, own, uplink)
    }

    #[inline(always)]
    fn check_header(&self) -> Result<(), DropReason> {
        if self.frame.has_intact_header(&self.job.facts) {
            Ok(())
        } else {
            Err(DropReason::OuterMalformed)
        }
    }
}

/// Whether a packet came the way that its provider address says: uplink, MAC address, VLAN.
#[inline(always)]
pub(super) fn check_link(
    facts: &Facts,
    own: &HostAddress,
    uplink: UplinkId,
) -> Result<(), DropReason> {
    if facts.destination != own.mac || own.uplink != uplink {
        return Err(DropReason::OuterDstMac);
    }
    let is_right = match (facts.tag, own.vlan) {
        // VLAN id 0 only carries a priority (IEEE 802.1Q §9.6).
        (Tag::None | Tag::Priority { .. }, None) => true,
        (Tag::Vlan { tci }, Some(vlan)) => tci & 0xfff == vlan.get(),
        _ => false,
    };
    if is_right {
        Ok(())
    } else {
        Err(DropReason::PaVlan)
    }
}

/// Whether the sender's subnet is the receiver's, or one that may send to the receiver's domain.
#[inline(always)]
fn may_send(policy: &Policy<'_>, source: &Record, destination: &Record, family: Family) -> bool {
    source.has_provider_address()
        && destination.has_provider_address()
        && (source.subnet == destination.subnet
            || policy
                .subnet(destination.subnet)
                .and_then(|subnet| policy.domain(subnet.domain))
                .and_then(|domain| policy.source_route(domain, family, *source.address()))
                .is_some_and(|route| route.subnet == source.subnet))
}

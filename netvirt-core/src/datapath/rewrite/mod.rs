//! IP rewrite: customer addresses become provider addresses on the way out, and customer addresses again on
//! the way in. Nothing is added to the packet.

mod checksum;
mod quote;

use core::time::Duration;

use self::quote::QuotedPacket;
use super::frame::{Frame, Ingress};
use super::inbound::is_unicast;
use super::job::{Heading, Job};
use super::outbound::Departure;
use super::reason::DropReason;
use super::refusal::{Refusal, may_tell_error};
use super::verdict::{Outcome, Punt, Verdict};
use super::{path_mtu, resolve};
use crate::address::{AddressBits, Family, HostId, MacAddress, PortId, UplinkId};
use crate::checksum::Delta;
use crate::counters::Event;
use crate::edit::{Edit, Ethernet, Link, Push, Quote, Rewrite};
use crate::limit::PortLimits;
use crate::policy::{Domain, HostAddress, Location, Policy, Record, Route, RouteKind, Settings};
use crate::trace::{Observer, Step, Unobserved};
use crate::wire::{Facts, Fragment, IcmpHeader, Tag};

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
    let push = Push::Link(Link {
        template: path.template,
        source: source.uses_vm_mac().then_some(source.mac),
    });
    resolve::leave(verdict, path, departure.edit(heading, push));
    let addresses = Addresses {
        source: source.provider_address(),
        destination: destination.provider_address(),
        delta: source.delta + destination.delta,
    };
    readdress(departure.frame, facts, addresses, verdict, |quoted| {
        let mut find = |address| find_quoted(departure, address, source, destination, observer);
        let (from, to) = (find(quoted.source)?, find(quoted.destination)?);
        Ok(quoted.readdressed(from.provider_address(), to.provider_address()))
    })?;
    departure.fit(path.template.mtu(), verdict)
}

/// Who has a customer address of a quoted packet: the sender or the receiver of the error, or a machine that the sender may
/// send to.
#[cold]
#[inline(never)]
fn find_quoted<'p>(
    departure: &Departure<'_, 'p, '_>,
    address: AddressBits,
    source: &'p Record,
    destination: &'p Record,
    observer: &mut impl Observer,
) -> Result<&'p Record, DropReason> {
    let record = [source, destination]
        .into_iter()
        .find(|record| *record.address() == address)
        .or_else(|| look_up(departure, address));
    note_quoted(departure.family, address, record, observer);
    record.ok_or(DropReason::IcmpInnerUnknown)
}

/// The record that a packet of the sender to this address would go to.
fn look_up<'p>(departure: &Departure<'_, 'p, '_>, address: AddressBits) -> Option<&'p Record> {
    let (policy, vsid, family) = (departure.policy, departure.vsid, departure.family);
    let subnet = policy.subnet(departure.entry.subnet)?;
    let mut heading = departure.job.heading;
    resolve::head(
        &mut heading,
        policy,
        subnet,
        vsid,
        family,
        address,
        &mut Unobserved,
    );
    policy
        .records()
        .get(&resolve::record_key(heading.vsid, family, address))
        .filter(|record| record.has_provider_address() && !heading.is_via)
}

fn note_quoted(
    family: Family,
    address: AddressBits,
    record: Option<&Record>,
    observer: &mut impl Observer,
) {
    observer.note(|| Step::Quoted {
        address: address.to_ip(family),
        record: resolve::lookup_record(record),
    });
}

/// The addresses that a packet gets.
struct Addresses<'p> {
    source: &'p AddressBits,
    destination: &'p AddressBits,
    /// The one's-complement difference of these and those that it has.
    delta: Delta,
}

/// Changes a packet's addresses, and those that it quotes if it is an ICMP error: these `quote` translates.
#[inline(always)]
fn readdress<'p>(
    frame: &Frame<'_>,
    facts: &Facts,
    addresses: Addresses<'p>,
    verdict: &mut Verdict<'p>,
    quote: impl FnOnce(&QuotedPacket) -> Result<Quote<'p>, DropReason>,
) -> Result<(), DropReason> {
    let is_error = quote::is_error(frame, facts)?;
    let transport = checksum::of_packet(frame, facts, is_error)?;
    let Some((edit, events)) = verdict.edit_mut() else {
        return Ok(());
    };
    checksum::note_absent(frame, facts, transport, events);
    let rewrite = edit.rewrite.insert(Rewrite {
        source: addresses.source,
        destination: addresses.destination,
        delta: addresses.delta,
        transport,
        quote: None,
    });
    if is_error {
        let quote = quote(&QuotedPacket::read(frame, facts)?)?;
        edit.end = edit.end.wrapping_sub(u32::from(quote.cut));
        rewrite.quote = Some(quote);
    }
    Ok(())
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
            arrival.restore(source, destination, port, verdict, observer)
        }
        Location::Host(host) if destination.previous_host() == Some(settings.local_host) => {
            verdict.vsid = destination.vsid();
            arrival.redirect(host, verdict)
        }
        Location::Host(_) => Ok(()),
    }
}

/// Refuses an error of a router of the provider network if its receiver was told as many errors as its port's limit allows:
/// to a machine they are all its gateway's.
#[inline(always)]
pub(super) fn limit_router_errors(
    policy: &Policy<'_>,
    limits: &mut [PortLimits],
    now: Duration,
    verdict: &Verdict<'_>,
) -> Result<(), DropReason> {
    if verdict.events.contains(Event::RouterError)
        && let Outcome::Deliver { port, .. } = verdict.outcome
        && let Some(settings) = policy.settings()
        && !may_tell_error(settings, limits, port, now)
    {
        return Err(DropReason::ErrorLimit);
    }
    Ok(())
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
        observer: &mut impl Observer,
    ) -> Result<(), DropReason> {
        self.check_link(
            self.policy
                .provider_of(destination)
                .ok_or(DropReason::NoPath)?,
        )?;
        self.check_header()?;
        let Some(source) = source else {
            return self.restore_from_router(destination, port, verdict, observer);
        };
        if matches!(source.location(), Location::Port(_)) && source.previous_host().is_none() {
            return Err(DropReason::OuterSrcBad);
        }
        if !may_send(self.policy, source, destination, self.family) {
            return Err(DropReason::SrcPaUnknown);
        }
        let is_routed = source.subnet != destination.subnet;
        let sender = if is_routed {
            &self.settings.router_mac
        } else {
            &source.mac
        };
        let addresses = Addresses {
            source: source.address(),
            destination: destination.address(),
            delta: -(source.delta + destination.delta),
        };
        self.deliver(port, destination, sender, addresses, verdict, |quoted| {
            let mut find = |address| self.find_quoted(address, destination, Some(source), observer);
            let (from, to) = (find(quoted.source)?, find(quoted.destination)?);
            Ok(quoted.readdressed(from.address(), to.address()))
        })
    }

    /// An error that a router of the provider network sends, about a packet of the machine that it is for. To that machine
    /// its gateway is the only router there is.
    #[cold]
    #[inline(never)]
    fn restore_from_router(
        &self,
        destination: &'p Record,
        port: PortId,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), DropReason> {
        let facts = &self.job.facts;
        let (family, router) = (self.family, facts.source_address);
        let icmp = IcmpHeader::read(self.frame.window, facts);
        if !quote::is_error(self.frame, facts)?
            || !icmp.is_none_or(|icmp| path_mtu::is_believable(&icmp, family))
            || !is_unicast(family, router)
            || facts.fragment != Fragment::Whole
        {
            return Err(DropReason::SrcPaUnknown);
        }
        if self.policy.own_address(family, router).is_some() {
            return Err(DropReason::OuterSrcBad);
        }
        let gateway = self
            .gateway_of(destination)
            .ok_or(DropReason::SrcPaUnknown)?;
        let addresses = Addresses {
            source: gateway,
            destination: destination.address(),
            delta: Delta::between(router, *gateway) + -destination.delta,
        };
        let sender = &self.settings.router_mac;
        self.deliver(port, destination, sender, addresses, verdict, |quoted| {
            if quoted.source != *destination.provider_address() {
                return Err(DropReason::IcmpInnerUnknown);
            }
            let to = self.find_quoted(quoted.destination, destination, None, observer)?;
            let quote = quoted.readdressed(destination.address(), to.address());
            quote::without_extensions(self.frame, facts, quote)
        })?;
        verdict.events.insert(Event::RouterError);
        Ok(())
    }

    #[inline(always)]
    fn deliver(
        &self,
        port: PortId,
        destination: &'p Record,
        sender: &'p MacAddress,
        addresses: Addresses<'p>,
        verdict: &mut Verdict<'p>,
        quote: impl FnOnce(&QuotedPacket) -> Result<Quote<'p>, DropReason>,
    ) -> Result<(), DropReason> {
        let facts = &self.job.facts;
        let push = Push::Ethernet(Ethernet {
            destination: &destination.mac,
            source: sender,
            ethertype: facts.ethertype,
        });
        let edit = self.edit(push);
        verdict.outcome = Outcome::Deliver { port, edit };
        readdress(self.frame, facts, addresses, verdict, quote)
    }

    /// Who has a provider address of a quoted packet: the receiver or the sender of the error, or a machine that the receiver
    /// may send to.
    #[cold]
    #[inline(never)]
    fn find_quoted(
        &self,
        address: AddressBits,
        receiver: &'p Record,
        sender: Option<&'p Record>,
        observer: &mut impl Observer,
    ) -> Result<&'p Record, DropReason> {
        let (policy, family) = (self.policy, self.family);
        let record = [Some(receiver), sender]
            .into_iter()
            .flatten()
            .find(|record| *record.provider_address() == address)
            .or_else(|| {
                policy
                    .rewrite_record(family, address)
                    .filter(|record| may_reach(policy, receiver, record, family))
            });
        note_quoted(family, address, record, observer);
        record.ok_or(DropReason::IcmpInnerUnknown)
    }

    /// The gateway of the prefix in which a machine's customer address lies.
    fn gateway_of(&self, record: &Record) -> Option<&'p AddressBits> {
        let domain = domain_of(self.policy, record)?;
        self.policy
            .source_route(domain, self.family, *record.address())
            .and_then(Route::gateway)
    }

    /// Sends the packet after a machine that moved, as it is but for the hop that this takes. Nobody is told if it does not
    /// fit: its sender's gateway is on another host.
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
        let push = Push::Link(Link {
            template: path.template,
            source: None,
        });
        let edit = Edit {
            decrement_hop_limit: true,
            ..self.edit(push)
        };
        resolve::leave(verdict, path, edit);
        let mtu = path.template.mtu();
        resolve::fit(self.frame, facts, mtu, verdict).map_err(Refusal::reason)?;
        verdict.events.insert(Event::Redirect);
        Ok(())
    }

    #[inline(always)]
    fn edit(&self, push: Push<'p>) -> Edit<'p> {
        let facts = &self.job.facts;
        Edit::front(facts, self.family, facts.network_offset, push)
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
            || domain_of(policy, destination)
                .and_then(|domain| policy.source_route(domain, family, *source.address()))
                .is_some_and(|route| route.subnet == source.subnet))
}

/// Whether the routes of the sender's domain lead to the receiver's subnet.
fn may_reach(policy: &Policy<'_>, source: &Record, destination: &Record, family: Family) -> bool {
    source.subnet == destination.subnet
        || domain_of(policy, source)
            .and_then(|domain| policy.route_to(domain, family, *destination.address()))
            .is_some_and(|route| route.kind != RouteKind::Via && route.subnet == destination.subnet)
}

#[inline(always)]
fn domain_of<'p>(policy: &'p Policy<'_>, record: &Record) -> Option<&'p Domain> {
    policy
        .subnet(record.subnet)
        .and_then(|subnet| policy.domain(subnet.domain))
}

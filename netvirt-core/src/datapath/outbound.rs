//! A frame from a virtual machine: guard, route, and out through the tunnel, rewritten, or to a neighbour.

use super::flow::{Flow, outer_traffic_class};
use super::frame::{Frame, Ingress};
use super::job::{Heading, Job, Stage};
use super::reason::DropReason;
use super::refusal::Refusal;
use super::verdict::{Outcome, Punt, Verdict};
use super::{replicate, resolve, rewrite};
use crate::address::{Family, HostId, PortId, Vsid};
use crate::edit::{Edit, Encapsulation, Ethernet, Push};
use crate::policy::{Location, Policy, PortEntry, Record, Settings};
use crate::proxy;
use crate::trace::{Observer, Step};
use crate::wire::{self, Facts, Malformed, Network, Tag};

/// Reads the frame, checks what needs no lookup, and asks for the records of source and destination.
#[inline(never)]
pub(super) fn begin<'p>(
    job: &mut Job,
    policy: &'p Policy<'_>,
    frame: &Frame<'_>,
    port: PortId,
    verdict: &mut Verdict<'p>,
    observer: &mut impl Observer,
) -> Result<Stage, DropReason> {
    let (Some(entry), Some(settings)) = (policy.port(port), policy.settings()) else {
        return Err(DropReason::PortUnknown);
    };
    observer.note(|| Step::FromPort {
        vsid: Vsid::new(entry.vsid).ok(),
        mac: entry.mac,
    });
    let Ok(vsid) = Vsid::new(entry.vsid) else {
        verdict.outcome = Outcome::Punt(Punt::NotVirtualised);
        return Ok(Stage::Decided);
    };
    verdict.vsid = Some(vsid);
    wire::parse_into(&mut job.facts, frame.window, frame.length, 0).map_err(|malformed| {
        match malformed {
            Malformed::Truncated => DropReason::Truncated,
            _ => DropReason::Malformed,
        }
    })?;
    let facts = &job.facts;
    observer.note(|| Step::Parsed(*facts));
    check_link(facts, entry)?;
    let sender = Sender {
        port,
        entry,
        vsid,
        settings,
    };
    let Some(family) = facts.family() else {
        verdict.outcome = proxy::arp::from_port(policy, &sender, frame, facts)?;
        return Ok(Stage::Decided);
    };
    if proxy::ndp::hides_its_type(facts) {
        return Err(DropReason::TinyFragment);
    }
    if proxy::ndp::is_neighbor_discovery(frame, facts) {
        verdict.outcome = proxy::ndp::from_port(policy, &sender, frame, facts)?;
        return Ok(Stage::Decided);
    }
    if proxy::icmp::is_redirect(frame, facts) {
        return Err(DropReason::RouterGuard);
    }
    if is_to_many(facts, family) {
        let replication = replicate::from_port(policy, &sender, frame, facts, family, observer)?;
        verdict.outcome = Outcome::Replicate(replication);
        return Ok(Stage::Decided);
    }
    frame.check_offload(facts)?;
    let subnet = policy.subnet(entry.subnet).ok_or(DropReason::PortUnknown)?;
    job.subnet = entry.subnet;
    resolve::head(
        &mut job.heading,
        policy,
        subnet,
        vsid,
        family,
        facts.destination_address,
        observer,
    );
    let source = resolve::record_key(vsid, family, facts.source_address);
    let destination = resolve::record_key(job.heading.vsid, family, job.heading.address);
    job.look_up(policy, source, destination);
    Ok(Stage::Outbound)
}

/// The machine behind a port.
pub(crate) struct Sender<'p> {
    pub port: PortId,
    pub entry: &'p PortEntry,
    pub vsid: Vsid,
    pub settings: &'p Settings,
}

/// What the Ethernet header alone tells: no VLAN, own MAC address, a protocol that is carried.
#[inline(always)]
fn check_link(facts: &Facts, port: &PortEntry) -> Result<(), DropReason> {
    match facts.tag {
        Tag::None | Tag::Priority { .. } => {}
        Tag::Vlan { .. } | Tag::Stacked => return Err(DropReason::VmVlan),
    }
    if facts.source != port.mac {
        return Err(DropReason::MacSpoof);
    }
    if facts.network == Network::Other {
        return Err(DropReason::Ethertype);
    }
    Ok(())
}

/// Whether a packet is for more than one machine.
#[inline(always)]
pub(super) fn is_to_many(facts: &Facts, family: Family) -> bool {
    let [first, ..] = facts.destination.0;
    let address = facts.destination_address;
    let is_group = match family {
        Family::Ipv4 => address.low >= 0xe000_0000,
        Family::Ipv6 => address.high >> 56 == 0xff,
    };
    first & 1 != 0 || is_group
}

/// Decides, with the records at hand.
#[inline(never)]
pub(super) fn conclude<'p>(
    job: &Job,
    policy: &'p Policy<'_>,
    frame: &Frame<'_>,
    verdict: &mut Verdict<'p>,
    observer: &mut impl Observer,
) -> Result<(), Refusal> {
    let (Ingress::Port(port), Some(vsid)) = (frame.ingress, verdict.vsid) else {
        return Err(DropReason::PortUnknown.into());
    };
    let (Some(settings), Some(entry), Some(family)) =
        (policy.settings(), policy.port(port), job.facts.family())
    else {
        return Err(DropReason::PortUnknown.into());
    };
    let source = job.source(policy);
    observer.note(|| Step::Source {
        vsid,
        address: job.facts.source_address.to_ip(family),
        record: resolve::lookup_record(source),
    });
    let source = source.filter(|record| record.is_on_port(port));
    if source.is_none() {
        check_gateway_source(policy, entry, &job.facts, family)?;
    }
    let departure = Departure {
        job,
        policy,
        frame,
        settings,
        entry,
        vsid,
        family,
        source,
    };
    departure.conclude(verdict, observer)
}

/// Only a gateway may speak for an address without record, and only for one outside the tenant's own prefixes.
#[cold]
fn check_gateway_source(
    policy: &Policy<'_>,
    entry: &PortEntry,
    facts: &Facts,
    family: Family,
) -> Result<(), DropReason> {
    if !resolve::may_be_beyond_gateway(family, facts.source_address) {
        return Err(DropReason::CaSpoof);
    }
    let subnet = policy.subnet(entry.subnet);
    let domain = subnet.and_then(|subnet| policy.domain(subnet.domain));
    match domain.map(|domain| policy.source_route(domain, family, facts.source_address)) {
        Some(None) if entry.gateway => Ok(()),
        _ => Err(DropReason::CaSpoof),
    }
}

/// A packet whose sender is believed, on its way out.
pub(super) struct Departure<'a, 'p, 's> {
    pub job: &'a Job,
    pub policy: &'p Policy<'s>,
    pub frame: &'a Frame<'a>,
    pub settings: &'p Settings,
    pub entry: &'p PortEntry,
    pub vsid: Vsid,
    pub family: Family,
    /// The sender's record; none if it is a gateway's guest.
    pub source: Option<&'p Record>,
}

impl<'p> Departure<'_, 'p, '_> {
    #[inline(always)]
    fn conclude(
        &self,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), Refusal> {
        let heading = self.job.heading;
        let record = self.job.destination(self.policy);
        self.note_destination(&heading, record, observer);
        match record {
            Some(record) => self.send(&heading, record, verdict, observer),
            None => self.without_record(verdict, observer),
        }
    }

    #[inline(always)]
    fn note_destination(
        &self,
        heading: &Heading,
        record: Option<&Record>,
        observer: &mut impl Observer,
    ) {
        observer.note(|| Step::Destination {
            vsid: heading.vsid,
            address: heading.address.to_ip(self.family),
            record: resolve::lookup_record(record),
        });
    }

    /// No record where the packet headed: the gateway itself is meant, a longer route leads elsewhere, or
    /// nobody is there.
    #[cold]
    #[inline(never)]
    fn without_record(
        &self,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), Refusal> {
        let (facts, family) = (&self.job.facts, self.family);
        let address = facts.destination_address;
        if proxy::icmp::is_router_link_local(family, address) {
            verdict.outcome = proxy::icmp::from_port(self.frame, facts, self.settings)?;
            return Ok(());
        }
        let subnet = self
            .policy
            .subnet(self.entry.subnet)
            .ok_or(DropReason::NoRoute)?;
        let route = resolve::route(self.policy, subnet, family, address, observer)
            .ok_or(DropReason::NoRoute)?;
        if resolve::is_gateway_of(route, family, address) {
            verdict.outcome = proxy::icmp::from_port(self.frame, facts, self.settings)?;
            return Ok(());
        }
        let heading = resolve::along(self.policy, route, self.vsid, address)?;
        if heading == self.job.heading || !heading.is_via {
            return Err(DropReason::NoRecord.into());
        }
        let key = resolve::record_key(heading.vsid, family, heading.address);
        let record = self.policy.records().get(&key);
        self.note_destination(&heading, record, observer);
        self.send(
            &heading,
            record.ok_or(DropReason::NoRecord)?,
            verdict,
            observer,
        )
    }

    /// To the machine of `record`, or through it if it is a gateway.
    #[inline(always)]
    fn send(
        &self,
        heading: &Heading,
        record: &'p Record,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), Refusal> {
        if heading.is_routed {
            self.check_crossing(record)?;
            if self.job.facts.hop_limit <= 1 {
                return Err(DropReason::TtlExceeded.into());
            }
        }
        match record.location() {
            Location::Port(port) => {
                let push = Push::Ethernet(self.inner_ethernet(heading, record));
                verdict.outcome = Outcome::Deliver {
                    port,
                    edit: self.edit(heading, push),
                };
                Ok(())
            }
            Location::Host(host) => match self.source {
                Some(source) if source.is_rewrite() && record.is_rewrite() && !heading.is_via => {
                    rewrite::send(self, heading, source, record, host, verdict, observer)
                }
                _ => self.encapsulate(heading, record, host, verdict, observer),
            },
        }
    }

    /// What crosses subnets must come from where the receiver's host would look for its sender: out of a prefix of
    /// the sender's own subnet, or as a gateway's guest to the gateway's own domain. A receiver on this host is not
    /// told otherwise.
    #[inline(always)]
    fn check_crossing(&self, record: &Record) -> Result<(), DropReason> {
        let (policy, number) = (self.policy, self.entry.subnet);
        let address = self.job.facts.source_address;
        let subnet = policy.subnet(number).ok_or(DropReason::NoRoute)?;
        if self.source.is_none() {
            let target = policy.subnet(record.subnet).map(|target| target.domain);
            return match target == Some(subnet.domain) {
                true => Ok(()),
                false => Err(DropReason::CaSpoof),
            };
        }
        let is_attached = subnet.holds(self.family, address)
            || policy
                .domain(subnet.domain)
                .and_then(|domain| policy.source_route(domain, self.family, address))
                .is_some_and(|route| route.subnet == number);
        if is_attached {
            Ok(())
        } else {
            Err(DropReason::NoRoute)
        }
    }

    /// The Ethernet header that the receiver sees: from the sender within a subnet, from the router otherwise.
    #[inline(always)]
    fn inner_ethernet(&self, heading: &Heading, record: &'p Record) -> Ethernet<'p> {
        let crosses = self.vsid != heading.vsid;
        Ethernet {
            destination: &record.mac,
            source: if crosses {
                &self.settings.router_mac
            } else {
                &self.entry.mac
            },
            ethertype: self.job.facts.ethertype,
        }
    }

    /// Makes the edit one that fits a path which carries this many bytes.
    #[inline(always)]
    pub fn fit(&self, mtu: u16, verdict: &mut Verdict<'_>) -> Result<(), Refusal> {
        let (frame, facts) = (self.frame, &self.job.facts);
        resolve::fit(frame, facts, mtu, verdict)?;
        resolve::clamp(self.settings, frame, facts, mtu, verdict);
        Ok(())
    }

    /// What every edit of an outbound packet has in common.
    #[inline(always)]
    pub fn edit(&self, heading: &Heading, push: Push<'p>) -> Edit<'p> {
        let facts = &self.job.facts;
        let front = Edit::front(facts, self.family, facts.network_offset, push);
        Edit {
            decrement_hop_limit: heading.is_routed,
            ..front
        }
    }

    #[inline(always)]
    fn encapsulate(
        &self,
        heading: &Heading,
        record: &'p Record,
        host: HostId,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), Refusal> {
        let facts = &self.job.facts;
        let flow = Flow::of(self.settings, facts);
        let path = resolve::tunnel_path(self.policy, host, flow.hash)?;
        resolve::note_path(path.template, observer);
        let push = Push::Encapsulation(Encapsulation {
            template: path.template,
            key: heading.vsid.get() << 8 | u32::from(flow.id),
            traffic_class: outer_traffic_class(self.settings, facts.traffic_class),
            hop_limit: self.settings.outer_ttl,
            flow_label: flow.label,
            inner: self.inner_ethernet(heading, record),
        });
        resolve::leave(verdict, path, self.edit(heading, push));
        self.fit(path.template.inner_mtu(), verdict)
    }
}

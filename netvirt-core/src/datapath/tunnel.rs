//! NVGRE reception: what a tunnel from another host may say, and to whom.

use super::flow::{EcnNotCapable, decapsulated_ecn, is_ecn_anomaly};
use super::frame::Frame;
use super::job::{Job, Outer, Stage};
use super::outbound::is_to_many;
use super::reason::DropReason;
use super::refusal::Refusal;
use super::verdict::{Outcome, Verdict};
use super::{replicate, resolve};
use crate::address::{Family, HostId, MacAddress, Vsid};
use crate::counters::Event;
use crate::edit::{Edit, Encapsulation, Ethernet, Push};
use crate::policy::{Domain, Location, Policy, Reception, Record, Settings};
use crate::table::Key;
use crate::trace::{Observer, Step};
use crate::wire::{self, Facts, GreError, GreHeader, Malformed, Tag, ethertype};

/// Reads GRE behind the headers that were read, and the frame inside, and asks for the records of its source and
/// destination.
#[inline(always)]
pub(super) fn begin(
    job: &mut Job,
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    outer_family: Family,
    verdict: &mut Verdict<'_>,
    observer: &mut impl Observer,
) -> Result<Stage, DropReason> {
    let outer = &job.facts;
    let (gre, key) = read_gre(policy, frame, outer)?;
    observer.note(|| Step::Gre(gre));
    let vsid = Vsid::new(key >> 8).map_err(|_| DropReason::VsidUnknown)?;
    verdict.vsid = Some(vsid);
    job.outer = Outer {
        family: outer_family,
        source: outer.source_address,
        destination: outer.destination_address,
        hop_limit: outer.hop_limit,
        traffic_class: outer.traffic_class,
        key,
    };
    let end = outer.end as usize;
    wire::parse_into(&mut job.facts, frame.window, end, gre.payload_offset).map_err(
        |malformed| {
            let reason = why_malformed(frame, gre.payload_offset, end, malformed);
            unless_unknown(policy, vsid, reason)
        },
    )?;
    let facts = &job.facts;
    observer.note(|| Step::Parsed(*facts));
    let family = check_inner(facts)
        .and_then(|family| frame.check_offload(facts).map(|()| family))
        .map_err(|reason| unless_unknown(policy, vsid, reason))?;
    if is_to_many(facts, family)
        && let Some(settings) = policy.settings()
    {
        let arrival = Arrival {
            job,
            policy,
            frame,
            settings,
            vsid,
            family,
        };
        let replication = replicate::from_tunnel(&arrival, &mut verdict.events, observer)?;
        verdict.outcome = Outcome::Replicate(replication);
        return Ok(Stage::Decided);
    }
    let source = resolve::record_key(vsid, family, facts.source_address);
    let destination = resolve::record_key(vsid, family, facts.destination_address);
    job.look_up(policy, source, destination);
    Ok(Stage::Tunnel)
}

/// The GRE header, checked as RFC 2784 §2.3 and RFC 7637 §3.2 ask, and its key.
#[inline(always)]
fn read_gre(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    outer: &Facts,
) -> Result<(GreHeader, u32), DropReason> {
    // The padding of Ethernet is no part of the packet.
    let packet = frame
        .window
        .get(..outer.end as usize)
        .unwrap_or(frame.window);
    let gre =
        wire::read_gre(packet, usize::from(outer.transport_offset)).map_err(
            |error| match error {
                GreError::Version(_) => DropReason::GreVersion,
                GreError::Truncated => DropReason::Truncated,
                _ => DropReason::GreFlags,
            },
        )?;
    let is_plain = gre.checksum.is_none() && gre.sequence.is_none() && !gre.has_reserved_bits();
    if !is_plain {
        check_unusual(policy, frame, outer, &gre)?;
    }
    match gre.key {
        Some(key) if gre.protocol == ethertype::TRANSPARENT_ETHERNET => Ok((gre, key)),
        _ => Err(DropReason::GreProto),
    }
}

/// A checksum, a sequence number or reserved bits: refused or, from tolerated peers, verified and ignored.
#[cold]
fn check_unusual(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    outer: &Facts,
    gre: &GreHeader,
) -> Result<(), DropReason> {
    if policy
        .settings()
        .is_none_or(|settings| settings.reception == Reception::Strict)
    {
        return Err(DropReason::GreFlags);
    }
    if gre.checksum.is_none() {
        return Ok(());
    }
    // Summing needs the whole packet, so a frame that is only partly in the window cannot be believed.
    let packet = frame
        .window
        .get(usize::from(outer.transport_offset)..outer.end as usize);
    match packet {
        Some(packet) if wire::gre_checksum_is_valid(packet) => Ok(()),
        _ => Err(DropReason::GreCsum),
    }
}

/// The frame inside must be an untagged frame of one station, with IP.
#[inline(always)]
fn check_inner(facts: &Facts) -> Result<Family, DropReason> {
    if facts.tag != Tag::None || !facts.source.is_unicast() {
        return Err(DropReason::InnerL2);
    }
    facts.family().ok_or(DropReason::InnerEthertype)
}

/// An unknown VSID is told before anything about the frame inside.
#[cold]
pub(super) fn unless_unknown(policy: &Policy<'_>, vsid: Vsid, reason: DropReason) -> DropReason {
    if policy.subnet_of(vsid).is_some() {
        reason
    } else {
        DropReason::VsidUnknown
    }
}

/// Why the frame inside could not be read. Its Ethernet header is judged before what is behind it.
#[cold]
fn why_malformed(frame: &Frame<'_>, start: usize, end: usize, malformed: Malformed) -> DropReason {
    if end.saturating_sub(start) < 14 {
        return DropReason::InnerL2;
    }
    let Some(header) = frame
        .window
        .get(start..)
        .and_then(|rest| rest.first_chunk::<14>())
    else {
        return DropReason::Truncated;
    };
    let [_, _, _, _, _, _, source @ .., kind_0, kind_1] = *header;
    let is_tagged = matches!(
        u16::from_be_bytes([kind_0, kind_1]),
        ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN
    );
    match malformed {
        _ if is_tagged || !MacAddress(source).is_unicast() => DropReason::InnerL2,
        Malformed::Truncated => DropReason::Truncated,
        _ => DropReason::InnerMalformed,
    }
}

/// Decides, with the records at hand.
#[inline(never)]
pub(super) fn conclude<'p>(
    job: &Job,
    policy: &'p Policy<'_>,
    frame: &Frame<'_>,
    verdict: &mut Verdict<'p>,
    observer: &mut impl Observer,
) -> Result<(), DropReason> {
    let (Some(vsid), Some(family), Some(settings)) =
        (verdict.vsid, job.facts.family(), policy.settings())
    else {
        return Err(DropReason::VsidUnknown);
    };
    let arrival = Arrival {
        job,
        policy,
        frame,
        settings,
        vsid,
        family,
    };
    arrival.conclude(verdict, observer)
}

/// A frame out of a tunnel.
pub(super) struct Arrival<'a, 'p, 's> {
    pub job: &'a Job,
    pub policy: &'p Policy<'s>,
    pub frame: &'a Frame<'a>,
    settings: &'p Settings,
    pub vsid: Vsid,
    pub family: Family,
}

/// Whose host the outer source address belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The host on which the sender lives.
    Home,
    /// A host that the sender, or the receiver, lived on before.
    Former,
}

impl<'p> Arrival<'_, 'p, '_> {
    #[inline(always)]
    fn conclude(
        &self,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), DropReason> {
        let source = self.job.source(self.policy);
        let destination = self.job.destination(self.policy);
        if destination.is_none() && self.policy.subnet_of(self.vsid).is_none() {
            return Err(DropReason::VsidUnknown);
        }
        let (origin, source_mac) = self.check_source(source, destination, observer)?;
        observer.note(|| Step::Destination {
            vsid: self.vsid,
            address: self.job.facts.destination_address.to_ip(self.family),
            record: resolve::lookup_record(destination),
        });
        let destination = match destination {
            Some(record) => record,
            None => self.gateway_behind_mac().ok_or(DropReason::NoLocalDst)?,
        };
        if destination.mac != self.job.facts.destination {
            return Err(DropReason::NoLocalDst);
        }
        match destination.location() {
            Location::Port(port) => {
                self.check_inner_checksum()?;
                let (inner, outer) = (self.job.facts.traffic_class, self.job.outer.traffic_class);
                let ecn = decapsulated_ecn(inner, outer)
                    .map_err(|EcnNotCapable| DropReason::EcnNotCapable)?;
                if is_ecn_anomaly(inner, outer) {
                    verdict.events.insert(Event::EcnAnomaly);
                }
                // The inner Ethernet header is never tagged, so it is 14 bytes long.
                let pull = self.job.facts.network_offset.wrapping_sub(14);
                let edit = Edit {
                    ecn,
                    ..self.edit(pull, Push::Nothing)
                };
                verdict.outcome = Outcome::Deliver { port, edit };
                Ok(())
            }
            Location::Host(host)
                if destination.previous_host() == Some(self.settings.local_host) =>
            {
                self.redirect(
                    host,
                    origin,
                    &destination.mac,
                    source_mac,
                    verdict,
                    observer,
                )
            }
            Location::Host(_) => Err(DropReason::NoLocalDst),
        }
    }

    #[inline(always)]
    fn edit(&self, pull: u16, push: Push<'p>) -> Edit<'p> {
        Edit::front(&self.job.facts, self.family, pull, push)
    }

    /// Law: a receiver believes an inner source only if policy says that it lives on the host which owns the
    /// outer source, or lived there until a migration that is not retired yet.
    #[inline(always)]
    fn check_source(
        &self,
        source: Option<&'p Record>,
        destination: Option<&Record>,
        observer: &mut impl Observer,
    ) -> Result<(Origin, &'p MacAddress), DropReason> {
        observer.note(|| Step::Source {
            vsid: self.vsid,
            address: self.job.facts.source_address.to_ip(self.family),
            record: resolve::lookup_record(source),
        });
        let (source, mac) = match source {
            Some(source) => (source, &source.mac),
            None => self.source_elsewhere(observer)?,
        };
        let origin = self
            .origin(source, destination)
            .ok_or(DropReason::SrcPaMismatch)?;
        if self.job.facts.source == *mac {
            Ok((origin, mac))
        } else {
            Err(DropReason::InnerSrcMac)
        }
    }

    /// A sender outside the frame's subnet: in another subnet that may send to this one, or behind a gateway.
    /// Yields the record that vouches for it, and the MAC address that the frame must come from.
    #[cold]
    fn source_elsewhere(
        &self,
        observer: &mut impl Observer,
    ) -> Result<(&'p Record, &'p MacAddress), DropReason> {
        let unknown = DropReason::SrcPaMismatch;
        let address = self.job.facts.source_address;
        let domain = self
            .policy
            .subnet_of(self.vsid)
            .and_then(|number| self.policy.subnet(number));
        let domain = domain
            .and_then(|subnet| self.policy.domain(subnet.domain))
            .ok_or(unknown)?;
        let Some(route) = self.policy.source_route(domain, self.family, address) else {
            return Some(domain)
                .filter(|_| resolve::may_be_beyond_gateway(self.family, address))
                .and_then(|domain| self.gateway_of_source(domain))
                .ok_or(unknown);
        };
        let vsid = self
            .policy
            .subnet(route.subnet)
            .and_then(|subnet| Vsid::new(subnet.vsid).ok())
            .ok_or(unknown)?;
        let record = self
            .policy
            .records()
            .get(&resolve::record_key(vsid, self.family, address));
        observer.note(|| Step::Source {
            vsid,
            address: address.to_ip(self.family),
            record: resolve::lookup_record(record),
        });
        Ok((record.ok_or(unknown)?, &self.settings.router_mac))
    }

    /// A gateway of the domain that lives on the host which sent the frame, and the MAC address that it sends
    /// from; of several the one that the frame came from.
    fn gateway_of_source(&self, domain: &'p Domain) -> Option<(&'p Record, &'p MacAddress)> {
        let here = self.policy.subnet_of(self.vsid);
        let mut found = None;
        for record in self.policy.gateways(domain) {
            if self.origin(record, None).is_none() {
                continue;
            }
            let mac = if Some(record.subnet) == here {
                &record.mac
            } else {
                &self.settings.router_mac
            };
            found = Some((record, mac));
            if *mac == self.job.facts.source {
                break;
            }
        }
        found
    }

    /// Whose host the frame came from; none if it is no host that may send it.
    #[inline(always)]
    pub fn origin(&self, source: &Record, destination: Option<&Record>) -> Option<Origin> {
        if let Location::Host(home) = source.location()
            && self.sent_by(home)
        {
            return Some(Origin::Home);
        }
        let former = [
            source.previous_host(),
            destination.and_then(Record::previous_host),
        ];
        former
            .into_iter()
            .flatten()
            .any(|host| self.sent_by(host))
            .then_some(Origin::Former)
    }

    #[inline(always)]
    fn sent_by(&self, host: HostId) -> bool {
        let outer = &self.job.outer;
        self.policy.host(host).is_some_and(|host| {
            host.paths().any(|path| {
                self.policy.template(path).is_some_and(|path| {
                    path.destination() == outer.source && path.family() == outer.family
                })
            })
        })
    }

    /// A destination without record may lie behind a gateway of this host.
    #[cold]
    fn gateway_behind_mac(&self) -> Option<&'p Record> {
        let key = Key::mac(self.vsid, self.job.facts.destination);
        self.policy
            .records()
            .get(&key)
            .filter(|record| record.is_gateway())
    }

    #[inline(always)]
    pub fn check_inner_checksum(&self) -> Result<(), DropReason> {
        if self.frame.has_intact_header(&self.job.facts) {
            Ok(())
        } else {
            Err(DropReason::InnerMalformed)
        }
    }

    /// Sends a frame after a machine that moved: once, and not without end (the outer hop limit falls).
    #[cold]
    #[inline(never)]
    fn redirect(
        &self,
        host: HostId,
        origin: Origin,
        destination: &'p MacAddress,
        source: &'p MacAddress,
        verdict: &mut Verdict<'p>,
        observer: &mut impl Observer,
    ) -> Result<(), DropReason> {
        let (facts, outer) = (&self.job.facts, &self.job.outer);
        if origin == Origin::Former {
            return Err(DropReason::RedirectLoop);
        }
        self.check_inner_checksum()?;
        if outer.hop_limit <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        let path = resolve::tunnel_path(self.policy, host, 0)?;
        resolve::note_path(path.template, observer);
        let push = Push::Encapsulation(Encapsulation {
            template: path.template,
            key: outer.key,
            traffic_class: outer.traffic_class,
            hop_limit: outer.hop_limit.wrapping_sub(1),
            flow_label: 0,
            inner: Ethernet {
                destination,
                source,
                ethertype: facts.ethertype,
            },
        });
        resolve::leave(verdict, path, self.edit(facts.network_offset, push));
        let mtu = path.template.inner_mtu();
        resolve::fit(self.frame, facts, mtu, verdict).map_err(Refusal::reason)?;
        verdict.events.insert(Event::Redirect);
        Ok(())
    }
}

//! Broadcast and multicast: a copy for each port of the subnet, and one for each other host that has machines in it, or
//! one for all of these where the address is mapped to a group of the provider network.

use core::time::Duration;

use super::flow::{EcnNotCapable, Flow, decapsulated_ecn, is_ecn_anomaly, outer_traffic_class};
use super::frame::{Frame, Ingress};
use super::inbound::is_unicast;
use super::outbound::Sender;
use super::reason::DropReason;
use super::resolve;
use super::tunnel::Arrival;
use super::verdict::{Outcome, Verdict};
use crate::address::{AddressBits, Family, HostId, MacAddress, PortId, UplinkId, Vsid};
use crate::counters::{Counters, Event, Events};
use crate::edit::{Edit, Encapsulation, Ethernet, Fragmentation, Push, Template};
use crate::limit::PortLimits;
use crate::offload::Offload;
use crate::policy::{Group, Location, PathId, Policy, Record, Settings, Subnet};
use crate::proxy;
use crate::trace::{Observer, Step};
use crate::wire::{Facts, Notes};

/// A frame for all machines of a subnet: plain data, from which [`copies`](Self::copies) makes the copies one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replication {
    /// Number of the subnet.
    subnet: u32,
    /// The sender's port, which gets no copy.
    sender: Option<PortId>,
    destination: MacAddress,
    source: MacAddress,
    ethertype: u16,
    /// Where the IP header starts.
    network_offset: u16,
    /// Where the packet ends.
    end: u32,
    family: Family,
    offload: Offload,
    reach: Reach,
}

/// How far the copies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To ports and to other hosts.
    Everywhere {
        /// Chooses the paths.
        hash: u32,
        /// VSID << 8 | FlowID.
        key: u32,
        /// Of outer IPv6 headers.
        flow_label: u32,
        /// Bytes of the largest packet that a copy will be.
        length: u32,
        /// Bytes of the packet's IP header, if copies may be cut.
        header_of_fragments: Option<u8>,
        /// DSCP and ECN of the outer headers.
        traffic_class: u8,
        /// Where the header stands of the one packet that all other hosts take.
        group: Option<u32>,
    },
    /// To ports alone: the sender's host has sent to the other hosts itself.
    Ports {
        /// The ECN field to set, if it changes.
        ecn: Option<u8>,
    },
}

/// One copy of a frame for many.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Replica<'r> {
    /// Edit it and hand it to a port of this host.
    Deliver {
        /// The port.
        port: PortId,
        /// What is to be done to the frame first.
        edit: Edit<'r>,
    },
    /// Edit it and send it into the provider network.
    Transmit {
        /// The uplink.
        uplink: UplinkId,
        /// What is to be done to the frame first.
        edit: Edit<'r>,
    },
    /// Edit it and keep it until the next hop's MAC address is known, as a frame of [`Outcome::Hold`].
    Hold {
        /// The path it waits for.
        path: PathId,
        /// What is to be done to the frame first; its destination MAC address is left zero.
        edit: Edit<'r>,
    },
    /// Copies that cannot be carried, for a reason that is not counted: the frame itself was.
    Lost {
        /// The path to one host or group does not exist, or the packet does not fit through it; there are more hosts than
        /// a frame is copied to; or there are machines that are reached by rewrite, to which no copies go.
        reason: DropReason,
        /// How many. All machines that are reached by rewrite are one.
        copies: u32,
    },
}

impl Replica<'_> {
    /// The port of this host that it is to be delivered to, if it is.
    pub const fn port(&self) -> Option<PortId> {
        match self {
            Self::Deliver { port, .. } => Some(*port),
            _ => None,
        }
    }
}

impl Replication {
    /// The copies: those for ports of this host, and behind them those for other hosts. `policy` must be the one under which
    /// the frame was decided.
    pub fn copies<'r>(&'r self, policy: &'r Policy<'_>) -> impl Iterator<Item = Replica<'r>> {
        let ports = policy
            .ports_of(self.subnet)
            .filter(|port| Some(*port) != self.sender);
        let for_hosts = match &self.reach {
            Reach::Everywhere { .. } => policy.subnet(self.subnet).zip(policy.settings()),
            Reach::Ports { .. } => None,
        };
        let for_hosts = for_hosts
            .into_iter()
            .flat_map(|(subnet, settings)| self.for_hosts_of(policy, subnet, settings));
        ports.map(|port| self.for_port(port)).chain(for_hosts)
    }

    fn for_port(&self, port: PortId) -> Replica<'_> {
        let edit = match self.reach {
            Reach::Everywhere { .. } => {
                self.edit(self.network_offset, Push::Ethernet(self.ethernet()))
            }
            // The inner Ethernet header is never tagged, so it is 14 bytes long.
            Reach::Ports { ecn } => Edit {
                ecn,
                ..self.edit(self.network_offset.wrapping_sub(14), Push::Nothing)
            },
        };
        Replica::Deliver { port, edit }
    }

    fn for_hosts_of<'r>(
        &'r self,
        policy: &'r Policy<'_>,
        subnet: &Subnet,
        settings: &'r Settings,
    ) -> impl Iterator<Item = Replica<'r>> {
        let group = self.group(policy).filter(|_| subnet.hosts > 0);
        let copies = if group.is_some() { 1 } else { subnet.hosts };
        let most = settings.most_copies;
        let lost = [
            (DropReason::StormLimit, copies.saturating_sub(most)),
            (
                DropReason::RewriteUnsupported,
                u32::from(subnet.rewritten > 0),
            ),
        ];
        let lost = lost
            .into_iter()
            .filter(|(_, copies)| *copies > 0)
            .map(|(reason, copies)| Replica::Lost { reason, copies });
        let for_hosts = policy
            .hosts_of(self.subnet)
            .take_while(move |_| group.is_none())
            .map(move |host| self.for_host(policy, settings, host));
        group
            .map(|template| self.for_group(template, settings))
            .into_iter()
            .chain(for_hosts)
            .take(most as usize)
            .map(|copy| copy.unwrap_or_else(|reason| Replica::Lost { reason, copies: 1 }))
            .chain(lost)
    }

    /// The header of the one packet that all other hosts take, if there is one and it can leave.
    fn group<'r>(&self, policy: &'r Policy<'_>) -> Option<&'r Template> {
        match self.reach {
            Reach::Everywhere { group, .. } => policy
                .group_template(group?)
                .filter(|template| template.is_resolved()),
            Reach::Ports { .. } => None,
        }
    }

    fn for_group<'r>(
        &'r self,
        template: &'r Template,
        settings: &Settings,
    ) -> Result<Replica<'r>, DropReason> {
        Ok(Replica::Transmit {
            uplink: template.uplink(),
            edit: self.encapsulated(template, settings)?,
        })
    }

    fn for_host<'r>(
        &'r self,
        policy: &'r Policy<'_>,
        settings: &Settings,
        host: HostId,
    ) -> Result<Replica<'r>, DropReason> {
        let Reach::Everywhere { hash, .. } = self.reach else {
            return Err(DropReason::NoPath);
        };
        let path = resolve::tunnel_path(policy, host, hash)?;
        let edit = self.encapsulated(path.template, settings)?;
        Ok(if path.template.is_resolved() {
            Replica::Transmit {
                uplink: path.template.uplink(),
                edit,
            }
        } else {
            Replica::Hold {
                path: path.id,
                edit,
            }
        })
    }

    fn encapsulated<'r>(
        &'r self,
        template: &'r Template,
        settings: &Settings,
    ) -> Result<Edit<'r>, DropReason> {
        let Reach::Everywhere {
            key,
            flow_label,
            length,
            header_of_fragments,
            traffic_class,
            ..
        } = self.reach
        else {
            return Err(DropReason::NoPath);
        };
        let mtu = template.inner_mtu();
        let fragmentation = if length > u32::from(mtu) {
            let cut = header_of_fragments.and_then(|header| Fragmentation::of(header, mtu));
            Some(cut.ok_or(DropReason::TooBig)?)
        } else {
            None
        };
        let push = Push::Encapsulation(Encapsulation {
            template,
            key,
            traffic_class,
            hop_limit: settings.outer_ttl,
            flow_label,
            inner: self.ethernet(),
        });
        Ok(Edit {
            fragmentation,
            ..self.edit(self.network_offset, push)
        })
    }

    /// As the sender wrote it, but for a priority tag.
    fn ethernet(&self) -> Ethernet<'_> {
        Ethernet {
            destination: &self.destination,
            source: &self.source,
            ethertype: self.ethertype,
        }
    }

    fn edit<'r>(&self, pull: u16, push: Push<'r>) -> Edit<'r> {
        Edit {
            pull,
            push,
            end: self.end,
            family: self.family,
            decrement_hop_limit: false,
            ecn: None,
            rewrite: None,
            segment_size: None,
            fragmentation: None,
            offload: self.offload.shifted(push.length(), pull),
        }
    }

    fn of(frame: &Frame<'_>, facts: &Facts, family: Family, subnet: u32, reach: Reach) -> Self {
        Self {
            subnet,
            sender: None,
            destination: facts.destination,
            source: facts.source,
            ethertype: facts.ethertype,
            network_offset: facts.network_offset,
            end: facts.end,
            family,
            offload: frame.offload,
            reach,
        }
    }
}

/// A frame of a virtual machine for many. Only a machine with a record may send it; what comes from an address that no
/// record has, such as a question to DHCP, is no attack.
#[cold]
#[inline(never)]
pub(super) fn from_port(
    policy: &Policy<'_>,
    sender: &Sender<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    family: Family,
    observer: &mut impl Observer,
) -> Result<Replication, DropReason> {
    let number = sender.entry.subnet;
    check_group(policy, number, facts, family)?;
    frame.check_offload(facts)?;
    let source = find_source(policy, sender.vsid, facts, family, observer);
    if source.is_none_or(|source| !source.is_on_port(sender.port)) {
        return Err(if has_no_record(family, facts.source_address) {
            DropReason::Multicast
        } else {
            DropReason::CaSpoof
        });
    }
    let flow = Flow::of(sender.settings, facts);
    let reach = Reach::Everywhere {
        hash: flow.hash,
        key: sender.vsid.get() << 8 | u32::from(flow.id),
        flow_label: flow.label,
        length: resolve::packet_length(facts, &frame.offload),
        header_of_fragments: resolve::header_of_fragments(frame, facts),
        traffic_class: outer_traffic_class(sender.settings, facts.traffic_class),
        group: find_group(policy, number, sender.vsid, facts, family, observer),
    };
    Ok(Replication {
        sender: Some(sender.port),
        ..Replication::of(frame, facts, family, number, reach)
    })
}

/// Where the header stands of the one packet that carries a frame to all other hosts. There is none where all machines
/// are reached by rewrite.
fn find_group(
    policy: &Policy<'_>,
    subnet: u32,
    vsid: Vsid,
    facts: &Facts,
    family: Family,
    observer: &mut impl Observer,
) -> Option<u32> {
    if policy.subnet(subnet).is_none_or(Subnet::is_rewritten) {
        return None;
    }
    let group = policy.group(vsid, family, facts.destination_address)?;
    note_group(vsid, facts, family, Some(group), observer);
    policy.slot_of_group_path(group)
}

fn note_group(
    vsid: Vsid,
    facts: &Facts,
    family: Family,
    group: Option<&Group>,
    observer: &mut impl Observer,
) {
    observer.note(|| Step::Group {
        vsid,
        address: facts.destination_address.to_ip(family),
        provider_group: group.and_then(Group::provider_group),
    });
}

/// A frame out of a tunnel for many. Its sender is believed as that of any other frame, but must be of the same subnet.
#[cold]
#[inline(never)]
pub(super) fn from_tunnel(
    arrival: &Arrival<'_, '_, '_>,
    events: &mut Events,
    observer: &mut impl Observer,
) -> Result<Replication, DropReason> {
    let (policy, frame, facts) = (arrival.policy, arrival.frame, &arrival.job.facts);
    let (vsid, family) = (arrival.vsid, arrival.family);
    let number = policy.subnet_of(vsid).ok_or(DropReason::VsidUnknown)?;
    check_group(policy, number, facts, family)?;
    check_outer_group(arrival, observer)?;
    // What machines may tell about neighbours is judged where they are, and answered there.
    if proxy::ndp::is_neighbor_discovery(frame, facts) {
        return Err(DropReason::Multicast);
    }
    let source = find_source(policy, vsid, facts, family, observer)
        .filter(|source| arrival.origin(source, None).is_some())
        .ok_or(DropReason::SrcPaMismatch)?;
    if source.mac != facts.source {
        return Err(DropReason::InnerSrcMac);
    }
    if policy.ports_of(number).next().is_none() {
        return Err(DropReason::NoLocalDst);
    }
    arrival.check_inner_checksum()?;
    let (inner, outer) = (facts.traffic_class, arrival.job.outer.traffic_class);
    let ecn = decapsulated_ecn(inner, outer).map_err(|EcnNotCapable| DropReason::EcnNotCapable)?;
    if is_ecn_anomaly(inner, outer) {
        events.insert(Event::EcnAnomaly);
    }
    // A machine that has just moved here is still heard from where it was.
    let sender = match source.location() {
        Location::Port(port) => Some(port),
        Location::Host(_) => None,
    };
    Ok(Replication {
        sender,
        ..Replication::of(frame, facts, family, number, Reach::Ports { ecn })
    })
}

fn find_source<'p>(
    policy: &'p Policy<'_>,
    vsid: Vsid,
    facts: &Facts,
    family: Family,
    observer: &mut impl Observer,
) -> Option<&'p Record> {
    let address = facts.source_address;
    let key = resolve::record_key(vsid, family, address);
    let record = policy.records().get(&key);
    observer.note(|| Step::Source {
        vsid,
        address: address.to_ip(family),
        record: resolve::lookup_record(record),
    });
    record
}

/// Refuses what is for many on one layer and for one on the other (RFC 1122 §3.3.6), and groups that do not exist.
fn check_group(
    policy: &Policy<'_>,
    subnet: u32,
    facts: &Facts,
    family: Family,
) -> Result<(), DropReason> {
    // Neighbour discovery may hide behind headers that were not walked.
    if facts.notes.contains(Notes::CHAIN_TOO_LONG) {
        return Err(DropReason::Multicast);
    }
    let address = facts.destination_address;
    let is_group = match family {
        Family::Ipv4 => {
            address.low >> 28 == 0xe
                || address.low == u64::from(u32::MAX)
                || policy.directed_broadcast(subnet, address) == Some(subnet)
        }
        Family::Ipv6 => address.high >> 56 == 0xff,
    };
    let [first, ..] = facts.destination.0;
    if is_group && first & 1 != 0 {
        Ok(())
    } else {
        Err(DropReason::Multicast)
    }
}

/// Refuses a frame out of a group of the provider network to which its destination is not mapped. One that was sent to this
/// host alone is as good as ever: hosts learn one after another that there is a group.
fn check_outer_group(
    arrival: &Arrival<'_, '_, '_>,
    observer: &mut impl Observer,
) -> Result<(), DropReason> {
    let (facts, family) = (&arrival.job.facts, arrival.family);
    let outer = &arrival.job.outer;
    if is_unicast(outer.family, outer.destination) {
        return Ok(());
    }
    let group = arrival
        .policy
        .group(arrival.vsid, family, facts.destination_address);
    note_group(arrival.vsid, facts, family, group, observer);
    group
        .filter(|group| group.is_mapped_to(outer.family, outer.destination))
        .map(|_group| ())
        .ok_or(DropReason::Multicast)
}

/// Whether an address is unspecified or link-local, so that no record can have it (RFC 3927, RFC 4291 §2.5).
fn has_no_record(family: Family, address: AddressBits) -> bool {
    match family {
        Family::Ipv4 => address.low == 0 || address.low >> 16 == 0xa9fe,
        Family::Ipv6 => {
            address == AddressBits::default() || resolve::is_link_local(family, address)
        }
    }
}

/// Counts the copies of a frame that was decided, unless its port has sent as many such frames as it may: then it is
/// refused.
#[cold]
#[inline(never)]
pub(super) fn settle(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    limits: &mut [PortLimits],
    counters: &mut Counters<'_>,
    now: Duration,
    verdict: &mut Verdict<'_>,
) {
    let Outcome::Replicate(replication) = &verdict.outcome else {
        return;
    };
    if is_within_limit(policy, frame, limits, now) {
        counters.count_copies(frame, replication.copies(policy));
    } else {
        verdict.refuse(DropReason::StormLimit);
    }
}

/// Takes a token of the frame's port. What comes from another host was limited there.
fn is_within_limit(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    limits: &mut [PortLimits],
    now: Duration,
) -> bool {
    let Ingress::Port(port) = frame.ingress else {
        return true;
    };
    policy
        .settings()
        .zip(limits.get_mut(port.index()))
        .is_some_and(|(settings, limits)| limits.storm.take(settings.storm, now))
}

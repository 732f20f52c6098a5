//! What in the policy comes close to letting a refused frame pass.

use std::net::IpAddr;

use netvirt_core::address::Family;
use netvirt_core::datapath::{DropReason, Frame, Ingress, Outcome, Punt, Verdict};
use netvirt_core::policy::{Location, LookupRecord, Method, RouteTarget};
use netvirt_core::trace::Step;
use netvirt_core::wire::{ArpMessage, Facts, NeighborMessage, Network, Tag, read_neighbor_message};
use netvirt_core::{DomainId, HostId, MacAddress, Prefix, Vsid};

use super::names::Names;

/// No more near misses of one kind are told than this.
const MOST: usize = 4;

/// A frame that was decided.
pub(super) struct Case<'a> {
    pub names: Names<'a>,
    pub frame: &'a Frame<'a>,
    pub steps: &'a [Step],
    pub verdict: &'a Verdict<'a>,
}

impl Case<'_> {
    /// What in the policy comes close to letting the frame pass, in sentences.
    pub fn near_misses(&self) -> Vec<String> {
        let Some(reason) = self.verdict.reason else {
            return match self.verdict.outcome {
                Outcome::Punt(Punt::NotOurs) => self.for_another_host(),
                _ => Vec::new(),
            };
        };
        match reason {
            DropReason::NoRecord | DropReason::NoRoute | DropReason::NeighbourUnknown => {
                self.unknown_destination()
            }
            DropReason::NoPath => self.missing_path(),
            DropReason::MacSpoof => self.foreign_mac(),
            DropReason::CaSpoof | DropReason::ArpSpoof | DropReason::NdSpoof => {
                self.foreign_address()
            }
            DropReason::TooBig => self.sizes(),
            DropReason::OuterDstMac => self.expected_outer_mac(),
            DropReason::PaVlan => self.expected_vlan(),
            DropReason::VsidUnknown => self.known_subnets(),
            DropReason::SrcPaMismatch => self.sender_elsewhere(),
            DropReason::SrcPaUnknown => self.rewritten_sender(),
            DropReason::InnerSrcMac => self.expected_inner_mac(),
            DropReason::NoLocalDst => self.receiver_elsewhere(),
            _ => Vec::new(),
        }
    }

    /// The headers of the packet that is to be delivered: the inner ones if there is a tunnel.
    fn facts(&self) -> Option<&Facts> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Parsed(facts) => Some(facts),
            _ => None,
        })
    }

    /// The headers that the frame begins with.
    fn outer_facts(&self) -> Option<&Facts> {
        self.steps.iter().find_map(|step| match step {
            Step::Parsed(facts) => Some(facts),
            _ => None,
        })
    }

    /// The last record that was looked for as the destination's.
    fn destination(&self) -> Option<(Vsid, IpAddr, Option<LookupRecord>)> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Destination {
                vsid,
                address,
                record,
            } => Some((*vsid, *address, *record)),
            _ => None,
        })
    }

    /// The last record that was looked for as the sender's.
    fn source(&self) -> Option<(Vsid, IpAddr, Option<LookupRecord>)> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Source {
                vsid,
                address,
                record,
            } => Some((*vsid, *address, *record)),
            _ => None,
        })
    }

    /// The last route that was asked for, with the address that it leads to.
    fn route(&self) -> Option<(IpAddr, Option<(Prefix, RouteTarget)>)> {
        self.steps.iter().rev().find_map(|step| match step {
            Step::Route { address, route } => Some((*address, *route)),
            _ => None,
        })
    }

    fn port_mac(&self) -> Option<MacAddress> {
        self.steps.iter().find_map(|step| match step {
            Step::FromPort { mac, .. } => Some(*mac),
            _ => None,
        })
    }

    /// The address that the sender claims, and the one that it asks for, in ARP and neighbour discovery.
    fn neighbour_question(&self) -> Option<(IpAddr, IpAddr)> {
        let facts = self.facts()?;
        if facts.network == Network::Arp {
            let payload = self.frame.window.get(usize::from(facts.network_offset)..)?;
            let message = ArpMessage::parse(payload).ok()?;
            return Some((message.sender_ip.into(), message.target_ip.into()));
        }
        match read_neighbor_message(self.frame.window, facts).ok()? {
            NeighborMessage::Solicitation(message) => {
                Some((message.source.into(), message.target.into()))
            }
            NeighborMessage::Advertisement(message) => {
                Some((message.target.into(), message.destination.into()))
            }
        }
    }

    fn unknown_destination(&self) -> Vec<String> {
        let Some(vsid) = self.verdict.vsid else {
            return Vec::new();
        };
        let mut told = Vec::new();
        let asked = match (self.destination(), self.neighbour_question()) {
            (Some((vsid, address, _)), _) => Some((vsid, address)),
            (None, Some((_, target))) => Some((vsid, target)),
            (None, None) => None,
        };
        if let Some((_, Some((prefix, RouteTarget::Via(gateway))))) = self.route() {
            told.push(format!(
                "the route {prefix} leads via {gateway}, which no record knows"
            ));
        }
        if let Some((vsid, address)) = asked {
            told.extend(self.records_elsewhere(vsid, address));
            if self.verdict.reason == Some(DropReason::NoRoute) {
                told.extend(self.prefixes_elsewhere(vsid, address));
            }
        }
        told
    }

    /// Records of the same address in other virtual subnets.
    fn records_elsewhere(&self, vsid: Vsid, address: IpAddr) -> Vec<String> {
        let is_it = |record: &LookupRecord| {
            let known = record.kind.customer_address();
            record.vsid != vsid && known.is_some_and(|known| known.get() == address)
        };
        let records = sorted(self.names.policy.lookup_records().filter(is_it));
        let lines = records.iter().map(|record| {
            format!(
                "a record for {address} exists in VSID {} ({}), not in {vsid}",
                record.vsid,
                self.names.record(record)
            )
        });
        few(lines)
    }

    /// On-link prefixes of other routing domains that hold the address.
    fn prefixes_elsewhere(&self, vsid: Vsid, address: IpAddr) -> Vec<String> {
        let Some(from) = self.names.domain_of(vsid) else {
            return Vec::new();
        };
        let on_link = self
            .names
            .on_link()
            .filter(|(_, prefix)| prefix.contains(address));
        let lines = on_link.filter_map(|(vsid, prefix)| {
            let to = self.names.domain_of(vsid).filter(|to| *to != from)?;
            let subnet = self.names.vsid(vsid);
            Some(format!(
                "{address} lies in {prefix}, {subnet}; {}",
                self.no_peering(from, to)?
            ))
        });
        few(lines)
    }

    /// Says that a routing domain may not send to another; none if it may.
    fn no_peering(&self, from: DomainId, to: DomainId) -> Option<String> {
        let has = |from: DomainId, to: DomainId| {
            let mut peerings = self.names.policy.peerings();
            peerings.any(|peering| (peering.from, peering.to) == (from, to))
        };
        if has(from, to) {
            return None;
        }
        let (sender, receiver) = (self.names.domain(from), self.names.domain(to));
        Some(match has(to, from) {
            true => format!(
                "the peering of {receiver} and {sender} holds only from {receiver} to {sender}"
            ),
            false => format!("there is no peering from {sender} to {receiver}"),
        })
    }

    fn missing_path(&self) -> Vec<String> {
        let Some((_, _, destination)) = self.destination() else {
            return match self.route() {
                Some((_, Some((prefix, RouteTarget::Via(gateway))))) => vec![format!(
                    "the route {prefix} leads via {gateway}, which lies in no subnet of the routing domain"
                )],
                _ => Vec::new(),
            };
        };
        let Some(destination) = destination else {
            return Vec::new();
        };
        let Location::Host(host) = destination.location else {
            return Vec::new();
        };
        let has_path = self
            .steps
            .iter()
            .any(|step| matches!(step, Step::Path { .. }));
        if has_path && let Some((_, _, Some(source))) = self.source() {
            return self.unreachable_sender(&source);
        }
        let name = self.names.host(host);
        let own = list(
            self.names
                .policy
                .provider_addresses()
                .map(|own| format!("{}/{}", own.address, own.prefix_length)),
        );
        let reached = list(self.names.addresses_of(host));
        vec![format!(
            "{} is on {name}, which has {reached}; this host has {own}, and no provider route leads there",
            self.names.machine(destination.vsid, destination.mac)
        )]
    }

    /// Under rewrite the sender's own provider address must lie in a prefix of this host.
    fn unreachable_sender(&self, source: &LookupRecord) -> Vec<String> {
        match source.method {
            Method::Rewrite {
                provider_address, ..
            } => vec![format!(
                "the sender's provider address {provider_address} lies in no prefix of this host's provider addresses"
            )],
            Method::Encapsulate => Vec::new(),
        }
    }

    fn foreign_mac(&self) -> Vec<String> {
        let (Some(facts), Some(expected), Some(vsid)) =
            (self.facts(), self.port_mac(), self.verdict.vsid)
        else {
            return Vec::new();
        };
        let source = facts.source;
        let mut told = vec![format!(
            "the port's machine has MAC address {expected}, not {source}"
        )];
        let machines = self.names.host.machines.iter();
        told.extend(few(machines.filter(|machine| machine.mac == source).map(
            |machine| {
                let place = self.names.place(machine.location);
                match machine.vsid == vsid {
                    true => format!("{source} is {}'s, on {place}", machine.name),
                    false => format!(
                        "{source} is {}'s, on {place} in VSID {}",
                        machine.name, machine.vsid
                    ),
                }
            },
        )));
        told
    }

    /// Whose address the sender claims, and which it may.
    fn foreign_address(&self) -> Vec<String> {
        let Some(vsid) = self.verdict.vsid else {
            return Vec::new();
        };
        let claimed = match (self.source(), self.neighbour_question()) {
            (Some((_, address, _)), _) => address,
            (None, Some((sender, _))) => sender,
            (None, None) => return Vec::new(),
        };
        let records = || {
            self.names
                .policy
                .lookup_records()
                .filter(|record| record.vsid == vsid)
        };
        let has_it = |record: &LookupRecord| {
            record
                .kind
                .customer_address()
                .is_some_and(|known| known.get() == claimed)
        };
        let mut told = match records().find(has_it) {
            Some(record) => vec![format!(
                "{claimed} belongs to {}",
                self.names.record(&record)
            )],
            None => self.records_elsewhere(vsid, claimed),
        };
        if let Ingress::Port(port) = self.frame.ingress {
            let is_here = |record: &LookupRecord| record.location == Location::Port(port);
            let own = sorted(records().filter(is_here));
            let own = own
                .iter()
                .filter_map(|record| record.kind.customer_address());
            told.push(format!(
                "the addresses of {} are {}",
                self.names.port(port),
                list(own)
            ));
        }
        told
    }

    fn sizes(&self) -> Vec<String> {
        let (Some(facts), Some(room)) = (
            self.facts(),
            self.steps.iter().rev().find_map(|step| match step {
                Step::Path { inner_mtu, .. } => Some(*inner_mtu),
                _ => None,
            }),
        ) else {
            return Vec::new();
        };
        let length = facts.end.saturating_sub(u32::from(facts.network_offset));
        vec![format!(
            "the packet has {length} bytes; in NVGRE the path carries {room}, more if the physical network's MTU is \
             raised"
        )]
    }

    fn expected_outer_mac(&self) -> Vec<String> {
        let Some(facts) = self.outer_facts() else {
            return Vec::new();
        };
        let own = self.names.policy.provider_addresses();
        let own = own.filter(|own| Some(own.address.get()) == facts.destination_ip());
        few(own.map(|own| {
            format!(
                "{} has MAC address {}, not {}",
                own.address, own.mac, facts.destination
            )
        }))
    }

    fn expected_vlan(&self) -> Vec<String> {
        let Some(facts) = self.outer_facts() else {
            return Vec::new();
        };
        let target = match self.neighbour_question() {
            Some((_, target)) => Some(target),
            None => facts.destination_ip(),
        };
        let came = match facts.tag {
            Tag::None | Tag::Priority { .. } => "untagged".to_owned(),
            Tag::Vlan { tci } => format!("in VLAN {}", tci & 0xfff),
            Tag::Stacked => "with two tags or more".to_owned(),
        };
        let own = self.names.policy.provider_addresses();
        few(own
            .filter(|own| Some(own.address.get()) == target)
            .map(|own| {
                let expected = own
                    .vlan
                    .map_or("untagged".to_owned(), |vlan| format!("in VLAN {vlan}"));
                format!(
                    "{} is reached {expected}, the frame came {came}",
                    own.address
                )
            }))
    }

    fn known_subnets(&self) -> Vec<String> {
        let mut known: Vec<_> = self.names.policy.subnets().map(|(vsid, _)| vsid).collect();
        known.sort_unstable();
        let known = known.iter().map(|vsid| self.names.vsid(*vsid));
        vec![format!("this host knows {}", list(known))]
    }

    /// The sender's record, and whose host the frame came from.
    fn sender_elsewhere(&self) -> Vec<String> {
        let (Some((_, address, record)), Some(outer)) =
            (self.source(), self.outer_facts().and_then(Facts::source_ip))
        else {
            return Vec::new();
        };
        let came_from = match self.names.owner(outer) {
            Some(host) => format!(
                "the frame came from {outer}, which is {}'s",
                self.names.host(host)
            ),
            None => format!("the frame came from {outer}, which is no known host's"),
        };
        let Some(vsid) = self.verdict.vsid else {
            return Vec::new();
        };
        match record {
            Some(record) => {
                let lives = match record.location {
                    Location::Host(host) => self.lives(&record, host),
                    Location::Port(_) => format!("{address} is {}", self.names.record(&record)),
                };
                vec![format!("{lives}; {came_from}")]
            }
            None => {
                let mut told = self.records_elsewhere(vsid, address);
                if let Some(to) = self.names.domain_of(vsid) {
                    told.extend(self.senders_without_peering(to, address));
                }
                told
            }
        }
    }

    fn lives(&self, record: &LookupRecord, host: HostId) -> String {
        let machine = self.names.record(record);
        format!(
            "{machine} sends from {}",
            list(self.names.addresses_of(host))
        )
    }

    /// Routing domains that have the address on-link, and may not send here.
    fn senders_without_peering(&self, to: DomainId, address: IpAddr) -> Vec<String> {
        let on_link = self
            .names
            .on_link()
            .filter(|(_, prefix)| prefix.contains(address));
        few(on_link.filter_map(|(vsid, prefix)| {
            let from = self.names.domain_of(vsid).filter(|from| *from != to)?;
            let subnet = self.names.vsid(vsid);
            Some(format!(
                "{address} lies in {prefix}, {subnet}; {}",
                self.no_peering(from, to)?
            ))
        }))
    }

    fn rewritten_sender(&self) -> Vec<String> {
        let Some(outer) = self.outer_facts().and_then(Facts::source_ip) else {
            return Vec::new();
        };
        let behind = |wanted: IpAddr| {
            self.steps.iter().find_map(|step| match step {
                Step::RewriteAddress { address, record } if *address == wanted => *record,
                _ => None,
            })
        };
        let receiver = self
            .outer_facts()
            .and_then(Facts::destination_ip)
            .and_then(behind);
        match (behind(outer), receiver, self.names.owner(outer)) {
            (Some(sender), Some(receiver), _) => {
                let mut line = format!(
                    "{outer} stands for {} in {}, the destination is in {}",
                    self.names.record(&sender),
                    self.names.vsid(sender.vsid),
                    self.names.vsid(receiver.vsid)
                );
                let domains = self
                    .names
                    .domain_of(sender.vsid)
                    .zip(self.names.domain_of(receiver.vsid));
                if let Some(told) = domains.and_then(|(from, to)| self.no_peering(from, to)) {
                    line += &format!("; {told}");
                }
                vec![line]
            }
            (None, _, Some(host)) => {
                let host = self.names.host(host);
                vec![format!(
                    "{outer} is {host}'s own address, which stands for no machine"
                )]
            }
            _ => vec![format!("no record is reached under {outer}")],
        }
    }

    fn expected_inner_mac(&self) -> Vec<String> {
        let (Some((_, address, Some(record))), Some(facts), Some(vsid), Some(settings)) = (
            self.source(),
            self.facts(),
            self.verdict.vsid,
            self.names.policy.settings(),
        ) else {
            return Vec::new();
        };
        let source = facts.source;
        vec![if record.vsid == vsid {
            format!(
                "{address} is {} with MAC address {}, not {source}",
                self.names.record(&record),
                record.mac
            )
        } else {
            format!(
                "{address} is {} in another subnet, so the frame comes from the router, MAC address {}, not {source}",
                self.names.record(&record),
                settings.router_mac
            )
        }]
    }

    fn receiver_elsewhere(&self) -> Vec<String> {
        let (Some((vsid, address, record)), Some(facts)) = (self.destination(), self.facts())
        else {
            return Vec::new();
        };
        let destination = facts.destination;
        match record {
            None => self.records_elsewhere(vsid, address),
            Some(record) if record.mac != destination => vec![format!(
                "{address} is {} with MAC address {}, not {destination}",
                self.names.record(&record),
                record.mac
            )],
            Some(record) => {
                let machine = self.names.record(&record);
                vec![format!(
                    "{address} is {machine}, and no migration from here is under way"
                )]
            }
        }
    }

    /// Whose provider address a frame is for that is not ours.
    fn for_another_host(&self) -> Vec<String> {
        let Some(facts) = self.outer_facts() else {
            return Vec::new();
        };
        let Some(destination) = facts.destination_ip() else {
            return Vec::new();
        };
        let behind = self.steps.iter().find_map(|step| match step {
            Step::RewriteAddress { address, record } if *address == destination => *record,
            _ => None,
        });
        if let Some(record) = behind {
            return vec![format!(
                "{destination} stands for {}",
                self.names.record(&record)
            )];
        }
        if let Some(host) = self.names.owner(destination) {
            return vec![format!("{destination} is {}'s", self.names.host(host))];
        }
        let family = Family::of(destination);
        let own = self
            .names
            .policy
            .provider_addresses()
            .map(|own| own.address.get());
        let own = list(own.filter(|own| Family::of(*own) == family));
        vec![format!("this host's provider addresses are {own}")]
    }
}

/// Records in the order of their subnets: tables have an order of their own.
fn sorted(records: impl Iterator<Item = LookupRecord>) -> Vec<LookupRecord> {
    let mut records: Vec<_> = records.collect();
    records.sort_by_key(|record| {
        (
            record.vsid,
            record.kind.customer_address().map(|address| address.get()),
            record.mac,
        )
    });
    records
}

/// The first of many lines, and how many more there are.
fn few(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<_> = lines.collect();
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    if more != 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Things in a row, or `none`.
fn list<T: ToString>(things: impl IntoIterator<Item = T>) -> String {
    let things: Vec<_> = things.into_iter().map(|thing| thing.to_string()).collect();
    match things.is_empty() {
        true => "none".to_owned(),
        false => things.join(", "),
    }
}

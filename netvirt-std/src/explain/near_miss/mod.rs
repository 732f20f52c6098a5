//! What in the policy comes close to letting a refused frame pass.

mod inbound;
mod outbound;

use std::net::IpAddr;

use netvirt_core::datapath::{DropReason, Frame, Outcome, Punt, Verdict};
use netvirt_core::policy::{LookupRecord, Peering, RouteTarget};
use netvirt_core::trace::Step;
use netvirt_core::wire::{ArpMessage, Facts, NeighborMessage, Network, read_neighbor_message};
use netvirt_core::{DomainId, MacAddress, Prefix, Vsid};

use crate::explain::names::Names;

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

    /// The record that was found behind a provider address, under rewrite.
    fn behind(&self, wanted: IpAddr) -> Option<LookupRecord> {
        self.steps.iter().find_map(|step| match step {
            Step::RewriteAddress { address, record } if *address == wanted => *record,
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

    /// On-link prefixes of other routing domains that hold the address, where peering is what is missing.
    fn prefixes_elsewhere(
        &self,
        address: IpAddr,
        peering: impl Fn(DomainId) -> Option<Peering>,
    ) -> Vec<String> {
        let on_link = self.names.on_link();
        few(on_link
            .filter(|(_, prefix)| prefix.contains(address))
            .filter_map(|(vsid, prefix)| {
                let missing = self.missing(peering(self.names.domain_of(vsid)?)?)?;
                let subnet = self.names.vsid(vsid);
                Some(format!("{address} lies in {prefix}, {subnet}; {missing}"))
            }))
    }

    /// Says that a peering is missing; none if it is there.
    fn missing(&self, peering: Peering) -> Option<String> {
        let Peering { from, to } = peering;
        let has = |wanted| self.names.policy.peerings().any(|known| known == wanted);
        if from == to || has(peering) {
            return None;
        }
        let (sender, receiver) = (self.names.domain(from), self.names.domain(to));
        Some(if has(Peering { from: to, to: from }) {
            format!("the peering of {receiver} and {sender} holds only from {receiver} to {sender}")
        } else {
            format!("there is no peering from {sender} to {receiver}")
        })
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

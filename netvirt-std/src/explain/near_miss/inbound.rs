//! Near misses of what comes from the provider network.

use netvirt_core::HostId;
use netvirt_core::address::Family;
use netvirt_core::policy::{Location, LookupRecord, Peering};
use netvirt_core::wire::{Facts, Tag};

use super::{Case, few, list};

impl Case<'_> {
    pub(super) fn expected_outer_mac(&self) -> Vec<String> {
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

    pub(super) fn expected_vlan(&self) -> Vec<String> {
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

    pub(super) fn known_subnets(&self) -> Vec<String> {
        let mut known: Vec<_> = self.names.policy.subnets().map(|(vsid, _)| vsid).collect();
        known.sort_unstable();
        let known = known.iter().map(|vsid| self.names.vsid(*vsid));
        vec![format!("this host knows {}", list(known))]
    }

    /// The sender's record, and whose host the frame came from.
    pub(super) fn sender_elsewhere(&self) -> Vec<String> {
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
                let to = self.names.domain_of(vsid);
                let peering = |from| to.map(|to| Peering { from, to });
                told.extend(self.prefixes_elsewhere(address, peering));
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

    pub(super) fn rewritten_sender(&self) -> Vec<String> {
        let Some(outer) = self.outer_facts().and_then(Facts::source_ip) else {
            return Vec::new();
        };
        let receiver = self
            .outer_facts()
            .and_then(Facts::destination_ip)
            .and_then(|address| self.behind(address));
        match (self.behind(outer), receiver, self.names.owner(outer)) {
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
                let peering = domains.map(|(from, to)| Peering { from, to });
                if let Some(told) = peering.and_then(|peering| self.missing(peering)) {
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

    pub(super) fn expected_inner_mac(&self) -> Vec<String> {
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

    pub(super) fn receiver_elsewhere(&self) -> Vec<String> {
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
    pub(super) fn for_another_host(&self) -> Vec<String> {
        let Some(facts) = self.outer_facts() else {
            return Vec::new();
        };
        let Some(destination) = facts.destination_ip() else {
            return Vec::new();
        };
        if let Some(record) = self.behind(destination) {
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

//! The provider network: which addresses the hosts have, and which physical networks these make.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netvirt_core::{MacAddress, Prefix, VlanId};

use super::{Assembler, LookupRecord};
use crate::import::network::{Host, PhysicalNetwork};
use crate::import::tables::{At, HostIndex, Row, Rule, TableName};
use crate::policy_file::Span;

#[derive(Debug, Default)]
pub struct Provider {
    pub networks: Vec<PhysicalNetwork>,
    pub hosts: Vec<Host>,
    /// The position of the host that has an address, rewritten machines' addresses included.
    pub owners: BTreeMap<IpAddr, usize>,
    /// The positions of the hosts that commands ran on.
    pub positions: BTreeMap<HostIndex, usize>,
}

/// A provider address that a command gives to a host.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) host: HostIndex,
    pub(super) address: At<IpAddr>,
    pub(super) mac: Option<At<MacAddress>>,
    pub(super) interface: Option<At<String>>,
    /// Whether it is a rewritten machine's, and not the host's own.
    pub(super) of_machine: bool,
    pub(super) place: Span,
    prefix: At<Prefix>,
    vlan: Option<At<u32>>,
}

impl Assigned {
    fn of(host: HostIndex, row: &Row, rewritten: &BTreeSet<IpAddr>) -> Option<Self> {
        let address: At<IpAddr> = row.at("ProviderAddress")?;
        let length: At<u32> = row.at("PrefixLength")?;
        let prefix = Prefix::of(address.value, u8::try_from(length.value).ok()?).ok()?;
        let interface: At<Option<String>> = row.at("InterfaceIndex")?;
        Some(Self {
            host,
            of_machine: rewritten.contains(&address.value),
            address,
            mac: row.at("MACAddress"),
            interface: interface.value.map(|value| At {
                value,
                span: interface.span,
            }),
            place: row.place.clone(),
            prefix: At {
                value: prefix,
                span: length.span,
            },
            vlan: row.at("VlanID"),
        })
    }

    fn vlan(&self) -> Option<VlanId> {
        let tag = u16::try_from(self.vlan.as_ref()?.value).ok()?;
        VlanId::new(tag).ok()
    }

    /// Where its VLAN is given, or could be.
    fn place_of_vlan(&self) -> At<()> {
        let vlan = self.vlan.as_ref();
        At {
            value: (),
            span: vlan.map_or(&self.place, |vlan| &vlan.span).clone(),
        }
    }
}

impl Assembler<'_> {
    pub(super) fn provider(&self, records: &[LookupRecord]) -> Provider {
        let assigned = self.assigned(&self.rewritten(records));
        let mut provider = Provider {
            networks: self.physical_networks(&assigned),
            ..Provider::default()
        };
        self.add_hosts(&mut provider, &assigned);
        self.add_unclaimed(&mut provider, records);
        self.note_idle_hosts(&provider);
        self.add_provider_routes(&mut provider);
        provider
    }

    /// The provider addresses of rewritten machines. No host may have one of its own in common with them.
    fn rewritten(&self, records: &[LookupRecord]) -> BTreeSet<IpAddr> {
        let of_rule = |rule| {
            let records = records.iter();
            let records = records.filter(move |record| record.rule.value == rule);
            records.map(|record| (record.provider.value, &record.provider))
        };
        let encapsulated: BTreeMap<_, _> = of_rule(Rule::Encapsulate).collect();
        let mut rewritten = BTreeSet::new();
        for (address, later) in of_rule(Rule::Rewrite) {
            let Some(first) = encapsulated.get(&address) else {
                rewritten.insert(address);
                continue;
            };
            let message = format!(
                "{address} cannot serve both TranslationMethodNat and TranslationMethodEncap"
            );
            let remedy = "use another provider address for one of them";
            self.contradiction(later, first, message, remedy);
        }
        rewritten
    }

    /// What the commands assign; an address is on one host.
    fn assigned(&self, rewritten: &BTreeSet<IpAddr>) -> Vec<Assigned> {
        let mut assigned: Vec<Assigned> = Vec::new();
        let mut known = BTreeMap::new();
        for (host, row) in self.state.rows(TableName::ProviderAddresses) {
            let Some(later) = Assigned::of(host, row, rewritten) else {
                continue;
            };
            let position = *known.entry(later.address.value).or_insert(assigned.len());
            match assigned.get(position) {
                Some(first) => self.note_two_hosts(first, &later),
                None => assigned.push(later),
            }
        }
        assigned
    }

    fn note_two_hosts(&self, first: &Assigned, later: &Assigned) {
        let message = format!(
            "provider address {} is given to {} and to {}",
            later.address.value,
            self.state.host_entry(first.host),
            self.state.host_entry(later.host)
        );
        let remedy = "an address is on one host: remove one of the two commands";
        self.contradiction(&later.address, &first.address, message, remedy);
    }

    /// The networks of the hosts' own addresses, in which those of rewritten machines mostly lie as well.
    fn physical_networks(&self, assigned: &[Assigned]) -> Vec<PhysicalNetwork> {
        let mut networks: Vec<(PhysicalNetwork, &Assigned)> = Vec::new();
        let (machines, own): (Vec<_>, Vec<_>) =
            assigned.iter().partition(|address| address.of_machine);
        for address in own.into_iter().chain(machines) {
            let prefix = address.prefix.value;
            let holds = |(network, _): &&(PhysicalNetwork, _)| {
                network.prefix == prefix
                    || (address.of_machine && network.prefix.contains(address.address.value))
            };
            match networks.iter().find(holds) {
                Some((_, first)) => self.compare_vlans(first, address),
                None => {
                    let name = format!("site-{}", networks.len() + 1);
                    networks.push((self.physical_network(name, address), address));
                }
            }
        }
        networks.into_iter().map(|(network, _)| network).collect()
    }

    fn physical_network(&self, name: String, first: &Assigned) -> PhysicalNetwork {
        let prefix = first.prefix.value;
        let what = format!(
            "the name {name:?} of physical network {prefix}, and an MTU of 1500, which no command states"
        );
        let enough = match prefix.address() {
            IpAddr::V4(_) => 1542,
            IpAddr::V6(_) => 1562,
        };
        let remedy = format!(
            "correct them in the file; with {enough} or more, on the links as well, machines keep their 1500"
        );
        PhysicalNetwork {
            name,
            prefix,
            vlan: first.vlan(),
            routes: Vec::new(),
            place: first.place.clone(),
            assumed: self.assume(&first.prefix.span, what, remedy),
        }
    }

    fn compare_vlans(&self, first: &Assigned, later: &Assigned) {
        if first.vlan() == later.vlan() {
            return;
        }
        let said = |address: &Assigned| {
            let vlan = address.vlan();
            vlan.map_or("no VLAN".to_owned(), |id| format!("VLAN {id}"))
        };
        let message = format!(
            "{} is in {}, {} of the same network in {}",
            later.address.value,
            said(later),
            first.address.value,
            said(first)
        );
        let remedy = "give all addresses of a physical network the same -VlanID";
        self.contradiction(
            &later.place_of_vlan(),
            &first.place_of_vlan(),
            message,
            remedy,
        );
    }
}

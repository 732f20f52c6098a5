//! The provider network: physical networks, hosts and their addresses, provider routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netvirt_core::policy::ADDRESSES_PER_HOST;
use netvirt_core::{MacAddress, Prefix, VlanId};

use super::names::named;
use super::{Assembler, LookupRecord};
use crate::import::network::{Host, PhysicalNetwork, Route};
use crate::import::tables::{At, HostIndex, Row, Rule, TableName};
use crate::policy_file::{Diagnostic, Span};

/// A provider route while it is gathered: where it stands, its metric, and the hosts that have it.
type Gathered = (At<Prefix>, Option<u32>, BTreeSet<HostIndex>);

#[derive(Debug, Default)]
pub struct Provider {
    pub networks: Vec<PhysicalNetwork>,
    pub hosts: Vec<Host>,
    /// The position of the host that has an address, rewritten machines' addresses included.
    pub owners: BTreeMap<IpAddr, usize>,
    /// The positions of the hosts that the script names.
    pub positions: BTreeMap<HostIndex, usize>,
}

/// A provider address that a command gives to a host.
#[derive(Debug)]
struct Assigned {
    host: HostIndex,
    address: At<IpAddr>,
    prefix: At<Prefix>,
    vlan: Option<At<u32>>,
    mac: Option<At<MacAddress>>,
    interface: Option<At<String>>,
    place: Span,
}

impl Assigned {
    fn of(host: HostIndex, row: &Row) -> Option<Self> {
        let address: At<IpAddr> = row.at("ProviderAddress")?;
        let length: At<u32> = row.at("PrefixLength")?;
        let prefix = Prefix::of(address.value, u8::try_from(length.value).ok()?).ok()?;
        let interface: At<Option<String>> = row.at("InterfaceIndex")?;
        Some(Self {
            host,
            prefix: At {
                value: prefix,
                span: length.span,
            },
            address,
            vlan: row.at("VlanID"),
            mac: row.at("MACAddress"),
            interface: interface.value.map(|value| At {
                value,
                span: interface.span,
            }),
            place: row.place.clone(),
        })
    }

    fn vlan(&self) -> Option<VlanId> {
        let tag = u16::try_from(self.vlan.as_ref()?.value).ok()?;
        VlanId::new(tag).ok()
    }
}

impl Assembler<'_> {
    pub(super) fn provider(&self, records: &[LookupRecord]) -> Provider {
        let rewritten = self.rewritten(records);
        let assigned = self.assigned();
        let mut provider = Provider::default();
        // The hosts' own addresses tell the networks; those of rewritten machines mostly lie in them.
        let (machines, own): (Vec<_>, Vec<_>) = assigned
            .iter()
            .partition(|assigned| rewritten.contains(&assigned.address.value));
        let mut first_of = BTreeMap::new();
        for address in own.iter().chain(&machines) {
            self.add_network(
                &mut provider,
                &mut first_of,
                address,
                rewritten.contains(&address.address.value),
            );
        }
        self.add_hosts(&mut provider, &assigned, &rewritten);
        self.add_unclaimed(&mut provider, records);
        self.add_provider_routes(&mut provider);
        self.note_idle_hosts(&provider);
        provider
    }

    /// The provider addresses of rewritten machines. No host may have one of its own in common with them.
    fn rewritten(&self, records: &[LookupRecord]) -> BTreeSet<IpAddr> {
        let of_rule = |rule| {
            let records = records
                .iter()
                .filter(move |record| record.rule.value == rule);
            records.map(|record| (record.provider.value, &record.provider))
        };
        let encapsulated: BTreeMap<_, _> = of_rule(Rule::Encapsulate).collect();
        for (address, later) in of_rule(Rule::Rewrite) {
            if let Some(first) = encapsulated.get(&address) {
                let message = format!(
                    "{address} cannot serve both TranslationMethodNat and TranslationMethodEncap"
                );
                self.contradiction(
                    later,
                    first,
                    message,
                    "use another provider address for one of them",
                );
            }
        }
        let rewritten = of_rule(Rule::Rewrite).map(|(address, _)| address);
        rewritten
            .filter(|address| !encapsulated.contains_key(address))
            .collect()
    }

    /// What the commands assign; an address is on one host.
    fn assigned(&self) -> Vec<Assigned> {
        let mut assigned: Vec<Assigned> = Vec::new();
        for (host, row) in self.state.rows(TableName::ProviderAddresses) {
            let Some(later) = Assigned::of(host, row) else {
                continue;
            };
            let same = |known: &&Assigned| known.address.value == later.address.value;
            match assigned.iter().find(same) {
                Some(first) => {
                    let message = format!(
                        "provider address {} is given to {} and to {}",
                        later.address.value,
                        self.state.host_entry(first.host),
                        self.state.host_entry(later.host)
                    );
                    let remedy = "an address is on one host: remove one of the two commands";
                    self.contradiction(&later.address, &first.address, message, remedy);
                }
                None => assigned.push(later),
            }
        }
        assigned
    }

    fn add_network<'a>(
        &self,
        provider: &mut Provider,
        first_of: &mut BTreeMap<Prefix, &'a Assigned>,
        address: &'a Assigned,
        of_machine: bool,
    ) {
        let (prefix, vlan) = (address.prefix.value, address.vlan());
        let holds = |network: &&PhysicalNetwork| {
            network.prefix == prefix
                || (of_machine && network.prefix.contains(address.address.value))
        };
        if let Some(network) = provider.networks.iter().find(holds) {
            if network.vlan != vlan
                && let Some(first) = first_of.get(&network.prefix)
            {
                let said = |vlan: Option<VlanId>| {
                    vlan.map_or("no VLAN".to_owned(), |id| format!("VLAN {id}"))
                };
                let message = format!(
                    "{} is in {}, {} of the same network in {}",
                    address.address.value,
                    said(vlan),
                    first.address.value,
                    said(network.vlan)
                );
                let place = |assigned: &Assigned| At {
                    value: (),
                    span: assigned
                        .vlan
                        .as_ref()
                        .map_or(&assigned.place, |vlan| &vlan.span)
                        .clone(),
                };
                let remedy = "give all addresses of a physical network the same -VlanID";
                self.contradiction(&place(address), &place(first), message, remedy);
            }
            return;
        }
        first_of.insert(prefix, address);
        let name = format!("site-{}", provider.networks.len() + 1);
        let what = format!(
            "the name {name:?} of physical network {prefix}, and an MTU of 1500, which no command states"
        );
        let enough = if prefix.address().is_ipv4() {
            1542
        } else {
            1562
        };
        let remedy = format!(
            "correct them in the file; with {enough} or more, on the links as well, machines keep their 1500"
        );
        let assumed = self.assume(&address.prefix.span, what, remedy);
        provider.networks.push(PhysicalNetwork {
            name,
            prefix,
            vlan,
            routes: Vec::new(),
            place: address.place.clone(),
            assumed,
        });
    }

    fn add_hosts(
        &self,
        provider: &mut Provider,
        assigned: &[Assigned],
        rewritten: &BTreeSet<IpAddr>,
    ) {
        let mut of_host: BTreeMap<usize, (HostIndex, Vec<&Assigned>)> = BTreeMap::new();
        for address in assigned {
            let next = provider.hosts.len() + of_host.len();
            let position = *provider.positions.entry(address.host).or_insert(next);
            of_host
                .entry(position)
                .or_insert((address.host, Vec::new()))
                .1
                .push(address);
            provider.owners.insert(address.address.value, position);
        }
        for (host, addresses) in of_host.into_values() {
            let host = self.host(host, &addresses, rewritten, &provider.hosts);
            provider.hosts.push(host);
        }
    }

    fn host(
        &self,
        index: HostIndex,
        assigned: &[&Assigned],
        rewritten: &BTreeSet<IpAddr>,
        others: &[Host],
    ) -> Host {
        let entry = self.state.host_entry(index);
        let is_own = |assigned: &&&Assigned| !rewritten.contains(&assigned.address.value);
        let own: Vec<&Assigned> = assigned.iter().filter(is_own).copied().collect();
        let first = own.first().or(assigned.first());
        let place = first.map_or_else(|| entry.place.clone(), |first| first.place.clone());
        let address = first.map(|first| first.address.value);
        self.check_addresses(index, &own, &place);
        self.check_interfaces(index, assigned);
        let stated = self.stated_mac(index, assigned);
        let mac = stated.unwrap_or_else(|| derived_mac(address, others));
        let (name, origin) = match &entry.name {
            Some(name) => (named(name), "taken from the session with it"),
            None => {
                let address = address.map_or_else(String::new, |address| address.to_string());
                (
                    format!("host-{address}"),
                    "taken from its provider address, since no session names it",
                )
            }
        };
        let mut what = format!("the name of host {name:?}, {origin}");
        let mut remedy = "correct it in the file, if the host is called otherwise".to_owned();
        if stated.is_none() {
            what += &format!("; and the MAC address {mac} of its uplink, which no command states");
            remedy = "put the uplink's own MAC address into the file, or give -MACAddress with the provider address"
                .to_owned();
        }
        let named_at = first.map_or(&entry.place, |first| &first.address.span);
        let mut assumed = vec![self.assume(named_at, what, remedy)];
        if entry.name.is_none() && own.len() > 1 {
            let what = format!(
                "that one host has all {} addresses of host {name:?}",
                own.len()
            );
            assumed.push(self.assume(
                &own[1].address.span,
                what,
                "say which host each is on with -CimSession, or wrap the host's commands in \
                 `Invoke-Command -ComputerName NAME { … }`",
            ));
        }
        Host {
            name,
            mac,
            addresses: own.iter().map(|own| own.address.clone()).collect(),
            place,
            assumed,
        }
    }

    fn check_addresses(&self, index: HostIndex, own: &[&Assigned], place: &Span) {
        let host = self.state.host_entry(index);
        if own.is_empty() {
            self.miss(
                Diagnostic::error(
                    place,
                    format!("all provider addresses of {host} are those of rewritten machines"),
                )
                .remedy("a host needs one of its own: add a New-NetVirtualizationProviderAddress for it"),
            );
        }
        if let Some(extra) = own.get(ADDRESSES_PER_HOST) {
            let message =
                format!("{host} has more than {ADDRESSES_PER_HOST} provider addresses of its own");
            self.refuse(Diagnostic::error(&extra.place, message).remedy(
                "netvirt needs one for all tenants: let the lookup records of its machines use fewer",
            ));
        }
    }

    /// A host has one uplink.
    fn check_interfaces(&self, index: HostIndex, assigned: &[&Assigned]) {
        let mut interfaces = assigned
            .iter()
            .filter_map(|assigned| assigned.interface.as_ref());
        let Some(first) = interfaces.next() else {
            return;
        };
        if let Some(other) = interfaces.find(|other| other.value != first.value) {
            let message = format!(
                "{} has provider addresses on two interfaces, and a policy file knows one uplink",
                self.state.host_entry(index)
            );
            self.contradiction(
                other,
                first,
                message,
                "put all its provider addresses on one interface",
            );
        }
    }

    fn stated_mac(&self, index: HostIndex, assigned: &[&Assigned]) -> Option<MacAddress> {
        let mut stated = assigned.iter().filter_map(|assigned| assigned.mac.as_ref());
        let first = stated.next()?;
        if let Some(other) = stated.find(|other| other.value != first.value) {
            let message = format!(
                "{} has two MAC addresses for its provider addresses, and a policy file knows one uplink",
                self.state.host_entry(index)
            );
            self.contradiction(
                other,
                first,
                message,
                "give all its provider addresses the same -MACAddress",
            );
        }
        Some(first.value)
    }

    /// Hosts that only lookup records know of.
    fn add_unclaimed(&self, provider: &mut Provider, records: &[LookupRecord]) {
        for record in records {
            let address = &record.provider;
            if provider.owners.contains_key(&address.value) {
                continue;
            }
            let is_known = provider
                .networks
                .iter()
                .any(|network| network.prefix.contains(address.value));
            let is_rewritten = record.rule.value == Rule::Rewrite;
            if !is_known || is_rewritten {
                let message = format!(
                    "no command says which host has provider address {}",
                    address.value
                );
                self.miss(Diagnostic::error(&address.span, message).remedy(
                    "add its New-NetVirtualizationProviderAddress with -PrefixLength, and its host with -CimSession",
                ));
                continue;
            }
            let mac = derived_mac(Some(address.value), &provider.hosts);
            let name = format!("host-{}", address.value);
            let what = format!(
                "host {name:?} with MAC address {mac}: no command says which host has this provider address"
            );
            let remedy = "correct its name and the MAC address of its uplink in the file";
            let assumed = self.assume(&address.span, what, remedy);
            provider.owners.insert(address.value, provider.hosts.len());
            provider.hosts.push(Host {
                name,
                mac,
                addresses: vec![address.clone()],
                place: record.place.clone(),
                assumed: vec![assumed],
            });
        }
    }

    fn add_provider_routes(&self, provider: &mut Provider) {
        let mut on_hosts: BTreeMap<(usize, Prefix, IpAddr), Gathered> = BTreeMap::new();
        for (host, row) in self.state.rows(TableName::ProviderRoutes) {
            let (Some(prefix), Some(next_hop)) = (
                row.at::<Prefix>("DestinationPrefix"),
                row.at::<IpAddr>("NextHop"),
            ) else {
                continue;
            };
            let metric = row.at::<u32>("Metric");
            let Some(network) = self.network_of_route(provider, &prefix, &next_hop) else {
                continue;
            };
            let key = (network, prefix.value, next_hop.value);
            let metric_value = metric.as_ref().map(|metric| metric.value);
            if let Some((first, known, hosts)) = on_hosts.get_mut(&key) {
                hosts.insert(host);
                if *known != metric_value {
                    let message = format!(
                        "the route to {} has another metric on another host",
                        prefix.value
                    );
                    self.contradiction(
                        &prefix,
                        first,
                        message,
                        "give it the same -Metric on all hosts",
                    );
                }
                continue;
            }
            on_hosts.insert(key, (prefix.clone(), metric_value, BTreeSet::from([host])));
            provider.networks[network].routes.push(Route {
                prefix,
                next_hop,
                metric: metric_value,
            });
        }
        for ((network, ..), (prefix, _, hosts)) in &on_hosts {
            self.note_widened(provider, *network, prefix, hosts);
        }
    }

    /// The position of the physical network that a route leaves through, if it must be written.
    fn network_of_route(
        &self,
        provider: &Provider,
        prefix: &At<Prefix>,
        next_hop: &At<IpAddr>,
    ) -> Option<usize> {
        let (destinations, hop) = (prefix.value, next_hop.value);
        if hop.is_unspecified() {
            let is_on_link = |network: &PhysicalNetwork| network.prefix == destinations;
            if !provider.networks.iter().any(is_on_link) {
                let message =
                    format!("no provider address lies in {destinations}, which is to be on-link");
                self.miss(Diagnostic::error(&prefix.span, message).remedy(
                    "give a host a provider address in it with that -PrefixLength, or the route a router as -NextHop",
                ));
            }
            return None;
        }
        let holds = |network: &PhysicalNetwork| network.prefix.contains(hop);
        let found = provider.networks.iter().position(holds);
        if found.is_none() {
            let message = format!("the next hop {hop} is on no physical network of the script");
            self.miss(
                Diagnostic::error(&next_hop.span, message)
                    .remedy("give a router on the network of a provider address"),
            );
        }
        found
    }

    /// A policy file gives a route to all hosts of a physical network.
    fn note_widened(
        &self,
        provider: &Provider,
        network: usize,
        prefix: &At<Prefix>,
        hosts: &BTreeSet<HostIndex>,
    ) {
        let on_network = |host: &&Host| {
            let network = provider.networks[network].prefix;
            host.addresses
                .iter()
                .any(|address| network.contains(address.value))
        };
        let with_route: BTreeSet<_> = hosts
            .iter()
            .filter_map(|host| provider.positions.get(host))
            .collect();
        let without = provider
            .hosts
            .iter()
            .enumerate()
            .filter(|(position, host)| on_network(host) && !with_route.contains(position))
            .map(|(_, host)| format!("{:?}", host.name));
        let without: Vec<_> = without.collect();
        if !without.is_empty() {
            let message = format!(
                "the route to {} is given to all hosts of its physical network, also to {}",
                prefix.value,
                without.join(", ")
            );
            self.findings
                .note(Diagnostic::warning(&prefix.span, message).remedy(
                    "a policy file knows no routes of single hosts: see that it does no harm there",
                ));
        }
    }

    /// Hosts that commands run on and that have no provider address.
    fn note_idle_hosts(&self, provider: &Provider) {
        for (index, host) in self.state.named_hosts() {
            if !provider.positions.contains_key(&index) && self.complete {
                let message = format!("{host} has no provider address and is left out");
                self.findings.note(
                    Diagnostic::warning(&host.place, message).remedy(
                        "if machines run on it, add its New-NetVirtualizationProviderAddress",
                    ),
                );
            }
        }
    }
}

/// A locally administered MAC address for a host, from its provider address; the same whenever it is asked for.
fn derived_mac(address: Option<IpAddr>, others: &[Host]) -> MacAddress {
    let mut mac = match address {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            MacAddress([0x02, 0x00, a, b, c, d])
        }
        Some(IpAddr::V6(address)) => {
            // FNV-1a: short, and spreads the few bits in which the addresses of a network differ.
            let spread =
                |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
            let hash = address
                .octets()
                .into_iter()
                .fold(0xcbf2_9ce4_8422_2325, spread);
            let [a, b, c, d, e, ..] = hash.to_le_bytes();
            MacAddress([0x06, a, b, c, d, e])
        }
        None => MacAddress([0x02, 0, 0, 0, 0, 0]),
    };
    while others.iter().any(|other| other.mac == mac) {
        let [a, b, c, d, e, last] = mac.0;
        mac = MacAddress([
            a,
            b,
            c,
            d,
            e.wrapping_add(u8::from(last == 0xff)),
            last.wrapping_add(1),
        ]);
    }
    mac
}

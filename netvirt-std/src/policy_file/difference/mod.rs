//! What a running host has to change from one version of the policy file to the next.
//!
//! # The order
//!
//! The core takes the changes of a transaction one after another and refuses each that does not fit to what those
//! before it left: nothing is removed that others stand on, and nothing is taken that another still has. Two things may
//! want to exchange what they have, so neither "add first" nor "remove first" is always right. There are five phases:
//!
//! 1. *Clear*: what is gone is removed, and what the core does not change in place, and what has to let go of an
//!    address that something else takes. Whatever stands on these goes with them, to be built again.
//! 2. *Build*: everything new but records, and everything that changes in place, foundations first.
//! 3. *Turn*: the records that stay are set and moved, and so leave the ports and hosts that are gone.
//! 4. *Leave*: these ports and hosts are removed. They are the only ones that could not be before.
//! 5. *Fill*: the new records are added.
//!
//! All that is taken from another was let go in the first phase, and between the first and the last there is never
//! more than the new version says, except for what is removed in the fourth, which stands in nobody's way. So whatever
//! two good files say, the core takes the difference.

mod objects;
mod phases;
mod provider;

use std::collections::HashSet;
use std::net::IpAddr;

use netvirt_core::policy::{
    Change, CustomerRoute, HostAddress, Location, LookupRecord, MulticastGroup, Neighbour, Peering,
    Port, ProviderRoute, RecordName, RouteTarget, Settings,
};
use netvirt_core::{DomainId, HostId, PortId, Prefix, Vsid};

use objects::{Compared, Objects, compare};
use provider::{Hosts, contested};

/// The changes that turn what `before` builds into what `after` builds. Both build on empty tables, for the same
/// host.
pub(super) fn between(before: &[Change], after: &[Change]) -> Vec<Change> {
    Difference::of(&Objects::of(before), &Objects::of(after)).in_order()
}

/// All that differs. What does not change in place is both gone and new.
struct Difference<'c> {
    local_host: Option<HostId>,
    settings: Option<&'c Settings>,
    domains: Compared<DomainId>,
    subnets: Compared<(Vsid, DomainId)>,
    routes: Compared<&'c CustomerRoute>,
    peerings: Compared<Peering>,
    hosts: Hosts,
    provider_addresses: Compared<&'c HostAddress>,
    provider_routes: Compared<&'c ProviderRoute>,
    neighbours: Compared<&'c Neighbour>,
    ports: Compared<&'c Port>,
    records: Compared<&'c LookupRecord>,
    groups: Compared<&'c MulticastGroup>,
    torn_down: TornDown,
}

/// What is removed while clearing although records stand on it: they go with it.
struct TornDown {
    subnets: HashSet<Vsid>,
    ports: HashSet<PortId>,
    hosts: HashSet<HostId>,
}

impl TornDown {
    fn of(
        before: &Objects<'_>,
        subnets: &Compared<(Vsid, DomainId)>,
        ports: &Compared<&Port>,
        hosts: &HashSet<HostId>,
    ) -> Self {
        let changed = subnets.changed.iter().map(|(was, _)| was);
        let subnets = changed.chain(&subnets.gone).map(|(vsid, _)| *vsid);
        let subnets: HashSet<Vsid> = subnets.collect();
        let stands_on_them = |port: &&&Port| port.vsid.is_some_and(|vsid| subnets.contains(&vsid));
        let changed = ports.changed.iter().map(|(was, _)| was);
        let ports = changed.chain(before.ports.iter().filter(stands_on_them));
        Self {
            ports: ports.map(|port| port.port).collect(),
            subnets,
            hosts: hosts.clone(),
        }
    }

    /// Whether a record stands on something of it.
    fn carries(&self, record: &LookupRecord) -> bool {
        let is_torn_down = |host: &HostId| self.hosts.contains(host);
        self.subnets.contains(&record.vsid)
            || record.previous.as_ref().is_some_and(is_torn_down)
            || match &record.location {
                Location::Port(port) => self.ports.contains(port),
                Location::Host(host) => is_torn_down(host),
            }
    }
}

impl<'c> Difference<'c> {
    fn of(before: &Objects<'c>, after: &Objects<'c>) -> Self {
        let subnets = compare(&before.subnets, &after.subnets, |(vsid, _)| *vsid);
        let ports = compare(&before.ports, &after.ports, port_key);
        let own = compare(
            &before.provider_addresses,
            &after.provider_addresses,
            |own| own.address,
        );
        let records = compare(&before.records, &after.records, record_key);
        let contested = contested(before, after, &own, &records);
        let hosts = Hosts::between(before, after, &contested);
        let torn_down = TornDown::of(before, &subnets, &ports, &hosts.torn_down);
        let lets_go = |record: &LookupRecord| {
            let address = record.method.provider_address();
            address.is_some_and(|address| contested.contains(&address))
        };
        Self {
            local_host: after.settings.map(|settings| settings.local_host),
            settings: after.settings.filter(|_| before.settings != after.settings),
            domains: compare(&before.domains, &after.domains, |domain| *domain),
            routes: compare(&before.routes, &after.routes, route_key).rebuilding_carried(
                &before.routes,
                route_key,
                |route| torn_down.subnets.contains(&route.vsid),
            ),
            peerings: compare(&before.peerings, &after.peerings, |rule| *rule),
            provider_addresses: own,
            provider_routes: compare(&before.provider_routes, &after.provider_routes, |route| {
                (route.prefix, route.next_hop)
            }),
            neighbours: compare(&before.neighbours, &after.neighbours, |known| {
                (known.uplink, known.address)
            }),
            hosts,
            subnets: subnets.rebuilding(|_, _| true),
            ports: ports.rebuilding_carried(&before.ports, port_key, |port| {
                torn_down.ports.contains(&port.port)
            }),
            records: records
                .rebuilding_carried(&before.records, record_key, |record| {
                    torn_down.carries(record)
                })
                .rebuilding(|was, is| was.mac != is.mac || lets_go(was)),
            groups: compare(&before.groups, &after.groups, group_key)
                .rebuilding_carried(&before.groups, group_key, |group| {
                    torn_down.subnets.contains(&group.vsid)
                })
                .rebuilding(|_, _| true),
            torn_down,
        }
    }

    fn in_order(self) -> Vec<Change> {
        let mut changes = Vec::new();
        changes.extend(self.settings.copied().map(Change::SetSettings));
        self.clear(&mut changes);
        self.build(&mut changes);
        self.turn(&mut changes);
        self.leave(&mut changes);
        self.fill(&mut changes);
        changes
    }
}

fn record_key(record: &&LookupRecord) -> RecordName {
    record.name()
}

fn group_key(group: &&MulticastGroup) -> (Vsid, IpAddr) {
    (group.vsid, group.address)
}

fn port_key(port: &&Port) -> PortId {
    port.port
}

fn route_key(route: &&CustomerRoute) -> (Vsid, Prefix, RouteTarget) {
    (route.vsid, route.prefix, route.target)
}

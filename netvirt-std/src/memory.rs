//! The tables of a host, in memory of the process.

use std::collections::HashMap;

use managed::ManagedSlice;
use netvirt_core::counters::{Counters, PortCounters, SubnetCounters};
use netvirt_core::datapath::Worker;
use netvirt_core::edit::Template;
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::{
    Change, Domain, Group, GroupPath, Host, HostAddress, Location, Member, NeighbourEntry, Path,
    Peering, Place, Policies, Policy, PolicyStorage, PortEntry, ProviderRoute, Record, Route,
    RouteTarget, Subnet, TableName,
};
use netvirt_core::table::{
    Ipv4Interval, Ipv6Interval, SLOTS_PER_BUCKET, Seed, TagBucket, buckets_for,
};
use netvirt_core::{DomainId, HostId, PortId, Vsid};
use serde::{Deserialize, Serialize};

/// How much the tables of a host can hold. Full tables refuse changes, so leave room for what is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCapacity {
    /// Lookup records of any kind.
    pub records: usize,
    /// How many of the records have a provider address of their own, for rewrite.
    pub rewritten_records: usize,
    /// Virtual subnets.
    pub subnets: usize,
    /// Routing domains; they are numbered below this.
    pub domains: usize,
    /// Customer routes, and once more for each peering the on-link routes of both its domains.
    pub customer_routes: usize,
    /// Peerings, each direction for itself.
    pub peerings: usize,
    /// Hosts; they are numbered below this.
    pub hosts: usize,
    /// Provider addresses of other hosts.
    pub host_addresses: usize,
    /// Ports; they are numbered below this.
    pub ports: usize,
    /// Provider addresses of this host.
    pub provider_addresses: usize,
    /// Provider routes.
    pub provider_routes: usize,
    /// Next hops whose MAC address is known.
    pub neighbours: usize,
    /// Multicast groups of subnets that are mapped to groups of the provider network.
    pub multicast_groups: usize,
}

impl HostCapacity {
    /// A cluster of ordinary size: room for this many records, a subnet for each eight of them, a host for
    /// each four, and any of the records reached by rewrite.
    pub fn for_records(records: usize) -> Self {
        let subnets = records / 8;
        let hosts = records / 4;
        Self {
            records,
            rewritten_records: records,
            subnets,
            domains: subnets,
            customer_routes: 2 * subnets,
            peerings: subnets,
            hosts,
            host_addresses: 2 * hosts,
            ports: 256,
            provider_addresses: 16,
            provider_routes: 64,
            neighbours: 2 * hosts,
            multicast_groups: subnets,
        }
        .with_headroom()
    }

    /// What the changes need in empty tables, and headroom for as much again as a quarter.
    pub fn for_changes(changes: &[Change]) -> Self {
        Self::exactly_for(changes).with_headroom()
    }

    /// What the changes need in empty tables.
    pub fn exactly_for(changes: &[Change]) -> Self {
        let mut count = Count::default();
        for change in changes {
            count.add(change);
        }
        count.finish()
    }

    /// The larger of the two, of everything.
    pub fn at_least(self, other: &Self) -> Self {
        Self {
            records: self.records.max(other.records),
            rewritten_records: self.rewritten_records.max(other.rewritten_records),
            subnets: self.subnets.max(other.subnets),
            domains: self.domains.max(other.domains),
            customer_routes: self.customer_routes.max(other.customer_routes),
            peerings: self.peerings.max(other.peerings),
            hosts: self.hosts.max(other.hosts),
            host_addresses: self.host_addresses.max(other.host_addresses),
            ports: self.ports.max(other.ports),
            provider_addresses: self.provider_addresses.max(other.provider_addresses),
            provider_routes: self.provider_routes.max(other.provider_routes),
            neighbours: self.neighbours.max(other.neighbours),
            multicast_groups: self.multicast_groups.max(other.multicast_groups),
        }
    }

    /// A quarter more of everything, and eight.
    fn with_headroom(self) -> Self {
        let more = |number: usize| number.saturating_add(number / 4).saturating_add(8);
        Self {
            records: more(self.records),
            rewritten_records: more(self.rewritten_records),
            subnets: more(self.subnets),
            domains: more(self.domains),
            customer_routes: more(self.customer_routes),
            peerings: more(self.peerings),
            hosts: more(self.hosts),
            host_addresses: more(self.host_addresses),
            ports: more(self.ports),
            provider_addresses: more(self.provider_addresses),
            provider_routes: more(self.provider_routes),
            neighbours: more(self.neighbours),
            multicast_groups: more(self.multicast_groups),
        }
    }

    /// The most intervals into which the customer routes of one family fall: a route has a start and an end,
    /// as a destination and again as a source.
    const fn intervals(&self) -> usize {
        self.customer_routes.saturating_mul(4)
    }

    /// The most (subnet, host) pairs that there can be: a host is a member of a subnet by its records.
    pub(crate) const fn members(&self) -> usize {
        let pairs = self.subnets.saturating_mul(self.hosts);
        if pairs < self.records {
            pairs
        } else {
            self.records
        }
    }

    fn storage(&self) -> PolicyStorage<'static> {
        PolicyStorage {
            record_tags: tags(self.records),
            records: slots(self.records, Record::VACANT),
            rewrite_tags: tags(self.rewritten_records),
            rewrite_numbers: slots(self.rewritten_records, 0),
            subnet_tags: tags(self.subnets),
            subnet_numbers: slots(self.subnets, 0),
            subnets: places(self.subnets),
            domains: places(self.domains),
            routes: places(self.customer_routes),
            ipv4_intervals: filled(self.intervals(), Ipv4Interval::EMPTY),
            ipv6_intervals: filled(self.intervals(), Ipv6Interval::EMPTY),
            peerings: places(self.peerings),
            hosts: places(self.hosts),
            path_tags: tags(self.host_addresses),
            path_numbers: slots(self.host_addresses, 0),
            paths: places(self.host_addresses),
            templates: filled(self.host_addresses, Template::VACANT),
            ports: places(self.ports),
            provider_addresses: places(self.provider_addresses),
            provider_routes: places(self.provider_routes),
            neighbour_tags: tags(self.neighbours),
            neighbours: slots(self.neighbours, NeighbourEntry::VACANT),
            member_tags: tags(self.members()),
            members: slots(self.members(), Member::VACANT),
            group_tags: tags(self.multicast_groups),
            groups: slots(self.multicast_groups, Group::VACANT),
            group_path_tags: tags(self.multicast_groups),
            group_paths: slots(self.multicast_groups, GroupPath::VACANT),
        }
    }

    /// One empty copy of a policy, for hosts that keep their two copies behind locks.
    pub fn policy(&self, seed: Seed) -> Policy<'static> {
        Policy::new(self.storage(), seed)
    }

    /// Both copies of an empty policy. See [`Policy::new`] for the seed.
    pub fn policies(&self, seed: Seed) -> Policies<'static> {
        Policies::new(self.policy(seed), self.policy(seed))
    }

    /// Counters for every port and every subnet.
    pub fn counters(&self) -> Counters<'static> {
        Counters::new(
            filled(self.ports, PortCounters::ZERO),
            filled(self.subnets, SubnetCounters::ZERO),
        )
    }

    /// A worker with counters for every port and every subnet, and limits for every port.
    pub fn worker(&self) -> Worker<'static> {
        Worker::new(self.counters(), filled(self.ports, PortLimits::FULL))
    }

    /// How many bytes each table of one copy takes.
    pub fn bytes_of_tables(&self) -> Vec<(&'static str, usize)> {
        let tables = [
            (TableName::Records, exact::<Record>(self.records)),
            (
                TableName::RewriteIndex,
                exact::<u32>(self.rewritten_records),
            ),
            (
                TableName::Subnets,
                exact::<u32>(self.subnets) + plain::<Subnet>(self.subnets),
            ),
            (TableName::Domains, plain::<Domain>(self.domains)),
            (
                TableName::CustomerRoutes,
                plain::<Route>(self.customer_routes),
            ),
            (
                TableName::RouteIntervals,
                plain::<Ipv4Interval>(self.intervals()) + plain::<Ipv6Interval>(self.intervals()),
            ),
            (TableName::Peerings, plain::<Option<Peering>>(self.peerings)),
            (TableName::Hosts, plain::<Host>(self.hosts)),
            (
                TableName::Paths,
                exact::<u32>(self.host_addresses)
                    + plain::<Option<Path>>(self.host_addresses)
                    + plain::<Template>(self.host_addresses),
            ),
            (TableName::Ports, plain::<PortEntry>(self.ports)),
            (
                TableName::ProviderAddresses,
                plain::<Option<HostAddress>>(self.provider_addresses),
            ),
            (
                TableName::ProviderRoutes,
                plain::<Option<ProviderRoute>>(self.provider_routes),
            ),
            (
                TableName::Neighbours,
                exact::<NeighbourEntry>(self.neighbours),
            ),
            (TableName::SubnetMembers, exact::<Member>(self.members())),
            (
                TableName::MulticastGroups,
                exact::<Group>(self.multicast_groups) + exact::<GroupPath>(self.multicast_groups),
            ),
        ];
        tables.map(|(table, bytes)| (table.name(), bytes)).to_vec()
    }
}

fn filled<T: Clone>(length: usize, vacant: T) -> ManagedSlice<'static, T> {
    ManagedSlice::Owned(vec![vacant; length])
}

fn places<T: Place>(length: usize) -> ManagedSlice<'static, T> {
    filled(length, T::VACANT)
}

fn tags(entries: usize) -> ManagedSlice<'static, TagBucket> {
    filled(buckets_for(entries), TagBucket::EMPTY)
}

fn slots<E: Clone>(entries: usize, vacant: E) -> ManagedSlice<'static, E> {
    filled(buckets_for(entries) * SLOTS_PER_BUCKET, vacant)
}

/// The bytes of an exact-match table.
const fn exact<E>(entries: usize) -> usize {
    buckets_for(entries) * (size_of::<TagBucket>() + SLOTS_PER_BUCKET * size_of::<E>())
}

const fn plain<T>(length: usize) -> usize {
    length * size_of::<T>()
}

/// What changes ask of the tables.
#[derive(Default)]
struct Count {
    records: usize,
    rewritten_records: usize,
    domain_of: HashMap<Vsid, DomainId>,
    domains: usize,
    routes: usize,
    on_link_routes: HashMap<DomainId, usize>,
    peerings: Vec<Peering>,
    hosts: usize,
    host_addresses: usize,
    ports: usize,
    provider_addresses: usize,
    provider_routes: usize,
    neighbours: usize,
    multicast_groups: usize,
}

impl Count {
    fn add(&mut self, change: &Change) {
        match change {
            Change::AddDomain(domain) => self.domains = self.domains.max(up_to(domain.0)),
            Change::AddSubnet { vsid, domain } => {
                self.domain_of.insert(*vsid, *domain);
            }
            Change::AddCustomerRoute(route) => {
                self.routes += 1;
                if route.target == RouteTarget::OnLink
                    && let Some(domain) = self.domain_of.get(&route.vsid)
                {
                    *self.on_link_routes.entry(*domain).or_default() += 1;
                }
            }
            Change::AddPeering(peering) => self.peerings.push(*peering),
            Change::AddHost(HostId(host)) => self.hosts = self.hosts.max(up_to(*host)),
            Change::AddHostAddress(..) => self.host_addresses += 1,
            Change::AddPort(port) => self.use_port(port.port),
            Change::AddRecord(record) => {
                self.records += 1;
                if record.method.provider_address().is_some() {
                    self.rewritten_records += 1;
                }
                if let Location::Port(port) = record.location {
                    self.use_port(port);
                }
            }
            Change::AddProviderAddress(_) => self.provider_addresses += 1,
            Change::AddProviderRoute(_) => self.provider_routes += 1,
            Change::SetNeighbour(_) => self.neighbours += 1,
            Change::AddMulticastGroup(_) => self.multicast_groups += 1,
            _ => {}
        }
    }

    fn use_port(&mut self, PortId(port): PortId) {
        self.ports = self.ports.max(up_to(port));
    }

    fn finish(self) -> HostCapacity {
        let on_link = |domain| self.on_link_routes.get(&domain).copied().unwrap_or(0);
        let imported: usize = self
            .peerings
            .iter()
            .map(|peering| on_link(peering.from) + on_link(peering.to))
            .sum();
        // A next hop is another host or a router; those that a transaction does not state are learnt later.
        let next_hops = self.host_addresses + self.provider_routes;
        HostCapacity {
            records: self.records,
            rewritten_records: self.rewritten_records,
            subnets: self.domain_of.len(),
            domains: self.domains,
            customer_routes: self.routes + imported,
            peerings: self.peerings.len(),
            hosts: self.hosts,
            host_addresses: self.host_addresses,
            ports: self.ports,
            provider_addresses: self.provider_addresses,
            provider_routes: self.provider_routes,
            neighbours: self.neighbours.max(next_hops),
            multicast_groups: self.multicast_groups,
        }
    }
}

/// The capacity that a table needs to have a place of this number.
const fn up_to(number: u32) -> usize {
    number as usize + 1
}

#[cfg(test)]
mod tests;

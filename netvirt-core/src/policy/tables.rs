//! One copy of the policy: the tables that packets read.

use core::fmt;
use core::net::IpAddr;

use managed::ManagedSlice;

use super::change::{HostAddress, Peering, ProviderRoute, Settings};
use super::groups::{Group, GroupPath};
use super::members::{Member, linked, member_key};
use super::networks::{Domain, PortEntry, Route, RouteKind, Subnet};
use super::next_hop::NextHop;
use super::provider::{Host, NeighbourEntry, Path, PathId};
use super::record::{Gateway, Record};
use super::slab::Slab;
use crate::address::{
    AddressBits, Family, HostId, PortId, Prefix, ProviderAddress, UplinkId, Vsid,
};
use crate::edit::Template;
use crate::table::{
    ExactTable, Index, Ipv4Interval, Ipv4Pool, Ipv6Interval, Ipv6Pool, Key, Run, Seed, TagBucket,
    UnequalCapacity,
};
use crate::wire::RouterAdvertisement;

/// The storage of one copy of a policy: each table's capacity is the length of its slice.
///
/// An exact-match table for N things needs [`buckets_for`](crate::table::buckets_for)`(N)` tag buckets and
/// eight slots a bucket.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field is the storage of the table of its name"
)]
pub struct PolicyStorage<'s> {
    pub record_tags: ManagedSlice<'s, TagBucket>,
    pub records: ManagedSlice<'s, Record>,
    pub rewrite_tags: ManagedSlice<'s, TagBucket>,
    pub rewrite_numbers: ManagedSlice<'s, u32>,
    pub subnet_tags: ManagedSlice<'s, TagBucket>,
    pub subnet_numbers: ManagedSlice<'s, u32>,
    pub subnets: ManagedSlice<'s, Subnet>,
    pub domains: ManagedSlice<'s, Domain>,
    pub routes: ManagedSlice<'s, Route>,
    pub ipv4_intervals: ManagedSlice<'s, Ipv4Interval>,
    pub ipv6_intervals: ManagedSlice<'s, Ipv6Interval>,
    pub peerings: ManagedSlice<'s, Option<Peering>>,
    pub hosts: ManagedSlice<'s, Host>,
    pub path_tags: ManagedSlice<'s, TagBucket>,
    pub path_numbers: ManagedSlice<'s, u32>,
    pub paths: ManagedSlice<'s, Option<Path>>,
    pub templates: ManagedSlice<'s, Template>,
    pub ports: ManagedSlice<'s, PortEntry>,
    pub provider_addresses: ManagedSlice<'s, Option<HostAddress>>,
    pub provider_routes: ManagedSlice<'s, Option<ProviderRoute>>,
    pub neighbour_tags: ManagedSlice<'s, TagBucket>,
    pub neighbours: ManagedSlice<'s, NeighbourEntry>,
    pub member_tags: ManagedSlice<'s, TagBucket>,
    pub members: ManagedSlice<'s, Member>,
    pub group_tags: ManagedSlice<'s, TagBucket>,
    pub groups: ManagedSlice<'s, Group>,
    pub group_path_tags: ManagedSlice<'s, TagBucket>,
    pub group_paths: ManagedSlice<'s, GroupPath>,
}

/// One copy of the policy. Packets read it; only a [`Transaction`](super::Transaction) changes it.
pub struct Policy<'s> {
    pub(super) settings: Option<Settings>,
    pub(super) version: u64,
    pub(super) records: ExactTable<'s, Record>,
    pub(super) rewrite: Index<'s>,
    pub(super) subnet_index: Index<'s>,
    pub(super) subnets: Slab<'s, Subnet>,
    pub(super) domains: Slab<'s, Domain>,
    pub(super) routes: Slab<'s, Route>,
    pub(super) ipv4_routes: Ipv4Pool<'s>,
    pub(super) ipv6_routes: Ipv6Pool<'s>,
    pub(super) peerings: Slab<'s, Option<Peering>>,
    pub(super) hosts: Slab<'s, Host>,
    pub(super) path_index: Index<'s>,
    pub(super) paths: Slab<'s, Option<Path>>,
    pub(super) templates: ManagedSlice<'s, Template>,
    pub(super) ports: Slab<'s, PortEntry>,
    pub(super) provider_addresses: Slab<'s, Option<HostAddress>>,
    pub(super) provider_routes: Slab<'s, Option<ProviderRoute>>,
    pub(super) neighbours: ExactTable<'s, NeighbourEntry>,
    pub(super) members: ExactTable<'s, Member>,
    pub(super) groups: ExactTable<'s, Group>,
    /// One for each group of the provider network that groups are mapped to.
    pub(super) group_paths: ExactTable<'s, GroupPath>,
    /// Domains are to be rebuilt before the copy may be read.
    pub(super) domains_dirty: bool,
    /// Paths are to be resolved again before the copy may be read.
    pub(super) paths_dirty: bool,
    /// Some subnet has an IPv6 prefix, so that every path must carry what IPv6 needs.
    pub(super) has_ipv6_subnets: bool,
}

impl<'s> Policy<'s> {
    /// An empty policy in this storage, which must be freshly made. Without trust in tenants the seed is to
    /// be drawn at random; both copies of a policy must have the same.
    pub fn new(storage: PolicyStorage<'s>, seed: Seed) -> Self {
        Self {
            settings: None,
            version: 0,
            records: ExactTable::new(storage.record_tags, storage.records, seed),
            rewrite: Index::new(storage.rewrite_tags, storage.rewrite_numbers, seed),
            subnet_index: Index::new(storage.subnet_tags, storage.subnet_numbers, seed),
            subnets: Slab::new(storage.subnets),
            domains: Slab::new(storage.domains),
            routes: Slab::new(storage.routes),
            ipv4_routes: Ipv4Pool::new(storage.ipv4_intervals),
            ipv6_routes: Ipv6Pool::new(storage.ipv6_intervals),
            peerings: Slab::new(storage.peerings),
            hosts: Slab::new(storage.hosts),
            path_index: Index::new(storage.path_tags, storage.path_numbers, seed),
            paths: Slab::new(storage.paths),
            templates: storage.templates,
            ports: Slab::new(storage.ports),
            provider_addresses: Slab::new(storage.provider_addresses),
            provider_routes: Slab::new(storage.provider_routes),
            neighbours: ExactTable::new(storage.neighbour_tags, storage.neighbours, seed),
            members: ExactTable::new(storage.member_tags, storage.members, seed),
            groups: ExactTable::new(storage.group_tags, storage.groups, seed),
            group_paths: ExactTable::new(storage.group_path_tags, storage.group_paths, seed),
            domains_dirty: false,
            paths_dirty: false,
            has_ipv6_subnets: false,
        }
    }

    /// The number of policy transactions that made this copy what it is.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What holds for the whole host, once it was said.
    pub const fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Whether every table has as much storage as that of `other`.
    pub(super) fn has_capacity_of(&self, other: &Self) -> bool {
        self.capacities() == other.capacities()
    }

    fn capacities(&self) -> [usize; 20] {
        [
            self.records.capacity(),
            self.rewrite.capacity(),
            self.subnet_index.capacity(),
            self.subnets.capacity(),
            self.domains.capacity(),
            self.routes.capacity(),
            self.ipv4_routes.capacity(),
            self.ipv6_routes.capacity(),
            self.peerings.capacity(),
            self.hosts.capacity(),
            self.path_index.capacity(),
            self.paths.capacity(),
            self.templates.len(),
            self.ports.capacity(),
            self.provider_addresses.capacity(),
            self.provider_routes.capacity(),
            self.neighbours.capacity(),
            self.members.capacity(),
            self.groups.capacity(),
            self.group_paths.capacity(),
        ]
    }

    /// Makes this copy equal to `other`.
    ///
    /// # Errors
    /// [`UnequalCapacity`] if the two have storage of different size; nothing is copied then.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        if !self.has_capacity_of(other) {
            return Err(UnequalCapacity);
        }
        self.settings = other.settings;
        self.version = other.version;
        self.records.copy_from(&other.records)?;
        self.rewrite.copy_from(&other.rewrite)?;
        self.subnet_index.copy_from(&other.subnet_index)?;
        self.subnets.copy_from(&other.subnets)?;
        self.domains.copy_from(&other.domains)?;
        self.routes.copy_from(&other.routes)?;
        self.ipv4_routes.copy_from(&other.ipv4_routes)?;
        self.ipv6_routes.copy_from(&other.ipv6_routes)?;
        self.peerings.copy_from(&other.peerings)?;
        self.hosts.copy_from(&other.hosts)?;
        self.path_index.copy_from(&other.path_index)?;
        self.paths.copy_from(&other.paths)?;
        for (place, template) in self.templates.iter_mut().zip(other.templates.iter()) {
            *place = *template;
        }
        self.ports.copy_from(&other.ports)?;
        self.provider_addresses
            .copy_from(&other.provider_addresses)?;
        self.provider_routes.copy_from(&other.provider_routes)?;
        self.neighbours.copy_from(&other.neighbours)?;
        self.members.copy_from(&other.members)?;
        self.groups.copy_from(&other.groups)?;
        self.group_paths.copy_from(&other.group_paths)?;
        self.domains_dirty = other.domains_dirty;
        self.paths_dirty = other.paths_dirty;
        self.has_ipv6_subnets = other.has_ipv6_subnets;
        Ok(())
    }
}

impl fmt::Debug for Policy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("version", &self.version)
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

/// What packets ask.
impl Policy<'_> {
    #[inline(always)]
    pub(crate) fn records(&self) -> &ExactTable<'_, Record> {
        &self.records
    }

    #[inline(always)]
    pub(crate) fn rewrite_index(&self) -> &Index<'_> {
        &self.rewrite
    }

    #[inline(always)]
    pub(crate) fn port(&self, port: PortId) -> Option<&PortEntry> {
        self.ports.get(port.index())
    }

    #[inline(always)]
    pub(crate) fn subnet(&self, number: u32) -> Option<&Subnet> {
        self.subnets.get(number as usize)
    }

    #[inline(always)]
    pub(crate) fn domain(&self, number: u32) -> Option<&Domain> {
        self.domains.get(number as usize)
    }

    #[inline(always)]
    pub(crate) fn host(&self, host: HostId) -> Option<&Host> {
        self.hosts.get(host.index())
    }

    #[inline(always)]
    pub(crate) fn template(&self, path: PathId) -> Option<&Template> {
        self.templates.get(path.0 as usize)
    }

    /// Whom to ask for a MAC address before a frame can leave along `path`.
    pub fn next_hop(&self, path: PathId) -> Option<NextHop> {
        let address = self.path(path.0 as usize)?.next_hop?;
        let template = self.template(path)?;
        let link = template.link();
        Some(NextHop {
            uplink: template.uplink(),
            address: address.get(),
            vlan: link.vlan,
            source: template.source().to_ip(template.family()),
            source_mac: link.source,
        })
    }

    /// The header of packets to a provider address of another host.
    pub(crate) fn template_to(&self, address: ProviderAddress) -> Option<&Template> {
        self.templates.get(self.path_to(address)?)
    }

    pub(crate) fn path(&self, number: usize) -> Option<&Path> {
        self.paths.get(number)?.as_ref()
    }

    #[inline(always)]
    pub(crate) fn route(&self, number: u32) -> Option<&Route> {
        self.routes.get(number as usize)
    }

    /// The first of a subnet's on-link prefixes of IPv6.
    pub(crate) fn ipv6_prefixes(
        &self,
        subnet: &Subnet,
    ) -> [Option<Prefix>; RouterAdvertisement::MAX_PREFIXES] {
        subnet
            .ipv6_routes
            .map(|number| self.route(number.checked_sub(1)?)?.prefix())
    }

    /// The wildcard records of a domain's gateways.
    pub(crate) fn gateways(&self, domain: &Domain) -> impl Iterator<Item = &Record> {
        let find = |gateway: Gateway| self.records.get(&gateway.key()?);
        core::iter::successors(find(domain.first_gateway), move |record| {
            find(record.next_gateway())
        })
    }

    /// The ports of a subnet, the last that was added first.
    pub(crate) fn ports_of(&self, subnet: u32) -> impl Iterator<Item = PortId> {
        let first = self.subnet(subnet).and_then(Subnet::first_port);
        core::iter::successors(first, |port| self.port(*port)?.next_port())
    }

    /// The other hosts that have machines in a subnet which are reached through a tunnel.
    pub(crate) fn hosts_of(&self, subnet: u32) -> impl Iterator<Item = HostId> {
        let first = self
            .subnet(subnet)
            .and_then(|subnet| linked(subnet.first_host));
        core::iter::successors(first, move |host| {
            linked(self.members.get(&member_key(subnet, *host))?.next)
        })
    }

    /// The number of the subnet of `vsid`.
    #[inline]
    pub(crate) fn subnet_of(&self, vsid: Vsid) -> Option<u32> {
        self.subnet_index.find(&subnet_key(vsid), |number| {
            self.subnet(number)
                .is_some_and(|subnet| subnet.vsid == vsid.get())
        })
    }

    /// The best route of a domain to an address.
    #[inline]
    pub(crate) fn route_to(
        &self,
        domain: &Domain,
        family: Family,
        address: AddressBits,
    ) -> Option<&Route> {
        let [ipv4, ipv6] = domain.destinations;
        self.route_in(ipv4, ipv6, family, address)
    }

    /// The number of the subnet whose machines are all meant by an IPv4 address, as those of subnet `asker` see it: it is the
    /// last address of one of its prefixes. A prefix of two addresses has no such (RFC 3021).
    pub(crate) fn directed_broadcast(&self, asker: u32, address: AddressBits) -> Option<u32> {
        let domain = self.domain(self.subnet(asker)?.domain)?;
        let route = self
            .route_to(domain, Family::Ipv4, address)
            .filter(|route| route.kind == RouteKind::OnLink)?;
        let prefix = route.prefix()?;
        (prefix.length() < 31 && prefix.last() == address.to_ip(Family::Ipv4))
            .then_some(route.subnet)
    }

    /// The subnet, of this domain or one that may send to it, in which an address lies.
    #[inline]
    pub(crate) fn source_route(
        &self,
        domain: &Domain,
        family: Family,
        address: AddressBits,
    ) -> Option<&Route> {
        let [ipv4, ipv6] = domain.sources;
        self.route_in(ipv4, ipv6, family, address)
    }

    #[inline]
    fn route_in(
        &self,
        ipv4: Run,
        ipv6: Run,
        family: Family,
        address: AddressBits,
    ) -> Option<&Route> {
        let value = match family {
            Family::Ipv4 => self.ipv4_routes.lookup(ipv4, address),
            Family::Ipv6 => self.ipv6_routes.lookup(ipv6, address),
        }?;
        self.route(value.checked_sub(1)?)
    }

    /// The own provider address that a packet from the uplink is for, if it is for one.
    #[inline]
    pub(crate) fn own_address(&self, family: Family, address: AddressBits) -> Option<&HostAddress> {
        let address = address.to_ip(family);
        self.provider_addresses()
            .find(|own| own.address.get() == address)
    }

    pub(crate) fn provider_address(&self, number: u32) -> Option<&HostAddress> {
        self.provider_addresses.get(number as usize)?.as_ref()
    }

    /// The own provider address under which a local record is reached by rewrite.
    #[inline(always)]
    pub(crate) fn provider_of(&self, record: &Record) -> Option<&HostAddress> {
        let number = record.provider.checked_sub(1)?;
        self.provider_addresses.get(usize::from(number))?.as_ref()
    }

    /// The record that stands behind a provider address in rewritten packets.
    pub(crate) fn rewrite_record(&self, family: Family, address: AddressBits) -> Option<&Record> {
        let slot = self.rewrite.find(&provider_key(family, address), |slot| {
            self.is_rewrite_of(slot, family, address)
        })?;
        self.records.at(slot)
    }

    /// Whether the record in `slot` is the one behind this provider address.
    #[inline(always)]
    pub(crate) fn is_rewrite_of(&self, slot: u32, family: Family, address: AddressBits) -> bool {
        self.records.found(slot).is_some_and(|record| {
            record.has_provider_address()
                && *record.provider_address() == address
                && record.key_family() == Some(family)
        })
    }

    /// The MAC address of a next hop.
    pub(super) fn neighbour(&self, uplink: UplinkId, address: IpAddr) -> Option<&NeighbourEntry> {
        self.neighbours.get(&neighbour_key(uplink, address))
    }

    /// The provider addresses of this host.
    pub fn provider_addresses(&self) -> impl Iterator<Item = &HostAddress> + Clone {
        self.provider_addresses
            .iter()
            .filter_map(|(_, address)| address.as_ref())
    }
}

/// The key of the index from VSIDs to subnet numbers.
pub(super) fn subnet_key(vsid: Vsid) -> Key {
    Key::new(vsid.get() << 8 | 0xff, AddressBits::default())
}

/// The key of the indices from provider addresses.
#[inline(always)]
pub(crate) fn provider_key(family: Family, address: AddressBits) -> Key {
    let scope = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    Key::new(scope, address)
}

pub(super) fn neighbour_key(uplink: UplinkId, address: IpAddr) -> Key {
    let family: u32 = match address {
        IpAddr::V4(_) => 1,
        IpAddr::V6(_) => 2,
    };
    Key::new(uplink.0 << 8 | family, AddressBits::from_ip(address))
}

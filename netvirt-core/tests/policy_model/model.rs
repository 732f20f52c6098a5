//! What policy says, without any table: sets of what was said.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;

use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::*;

/// What was said, as sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    settings: Option<Settings>,
    domains: HashSet<DomainId>,
    subnets: HashMap<Vsid, DomainId>,
    customer_routes: HashMap<(Vsid, Prefix, RouteTarget), u32>,
    peerings: HashSet<Peering>,
    hosts: HashSet<HostId>,
    host_addresses: HashMap<ProviderAddress, HostId>,
    ports: HashMap<PortId, Port>,
    records: HashMap<RecordName, LookupRecord>,
    provider_addresses: HashMap<ProviderAddress, HostAddress>,
    provider_routes: HashMap<(Prefix, ProviderAddress), u32>,
    neighbours: HashMap<(UplinkId, ProviderAddress), MacAddress>,
    path_mtus: HashMap<ProviderAddress, u16>,
    multicast_groups: HashMap<(Vsid, IpAddr), ProviderGroup>,
}

impl Model {
    /// Does what a change says that policy found legal.
    pub fn change(&mut self, change: &Change) {
        match *change {
            Change::SetSettings(settings) => self.settings = Some(settings),
            Change::AddDomain(domain) => drop(self.domains.insert(domain)),
            Change::RemoveDomain(domain) => drop(self.domains.remove(&domain)),
            Change::AddSubnet { vsid, domain } => drop(self.subnets.insert(vsid, domain)),
            Change::RemoveSubnet(vsid) => drop(self.subnets.remove(&vsid)),
            Change::AddCustomerRoute(route) | Change::SetCustomerRoute(route) => {
                self.customer_routes
                    .insert((route.vsid, route.prefix, route.target), route.metric);
            }
            Change::RemoveCustomerRoute(route) => {
                self.customer_routes
                    .remove(&(route.vsid, route.prefix, route.target));
            }
            Change::AddPeering(peering) => drop(self.peerings.insert(peering)),
            Change::RemovePeering(peering) => drop(self.peerings.remove(&peering)),
            Change::AddHost(host) => drop(self.hosts.insert(host)),
            Change::RemoveHost(host) => {
                self.hosts.remove(&host);
                self.host_addresses.retain(|_, owner| *owner != host);
                let addresses = &self.host_addresses;
                self.path_mtus
                    .retain(|address, _| addresses.contains_key(address));
            }
            Change::AddHostAddress(host, address) => {
                self.host_addresses.insert(address, host);
            }
            Change::RemoveHostAddress(_, address) => {
                self.host_addresses.remove(&address);
                self.path_mtus.remove(&address);
            }
            Change::AddPort(port) => drop(self.ports.insert(port.port, port)),
            Change::RemovePort(port) => drop(self.ports.remove(&port)),
            Change::AddRecord(record) | Change::SetRecord(record) => {
                self.records.insert(record.name(), record);
            }
            Change::MoveRecord(name, location) => {
                let record = self.records.get_mut(&name).unwrap();
                let host_of = |location| match location {
                    Location::Port(_) => HOST_1,
                    Location::Host(host) => host,
                };
                let left = host_of(record.location);
                if left != host_of(location) {
                    record.previous = Some(left);
                }
                record.location = location;
            }
            Change::RetireMigration(name) => self.records.get_mut(&name).unwrap().previous = None,
            Change::RemoveRecord(name) => drop(self.records.remove(&name)),
            Change::AddProviderAddress(own) | Change::SetProviderAddress(own) => {
                self.provider_addresses.insert(own.address, own);
            }
            Change::RemoveProviderAddress(address) => {
                self.provider_addresses.remove(&address);
            }
            Change::AddProviderRoute(route) | Change::SetProviderRoute(route) => {
                self.provider_routes
                    .insert((route.prefix, route.next_hop), route.metric);
            }
            Change::RemoveProviderRoute(route) => {
                self.provider_routes.remove(&(route.prefix, route.next_hop));
            }
            Change::SetNeighbour(neighbour) => {
                self.neighbours
                    .insert((neighbour.uplink, neighbour.address), neighbour.mac);
            }
            Change::RemoveNeighbour { uplink, address } => {
                self.neighbours.remove(&(uplink, address));
            }
            Change::SetPathMtu { address, mtu } => {
                self.path_mtus.insert(address, mtu);
            }
            Change::RemovePathMtu { address } => drop(self.path_mtus.remove(&address)),
            Change::SetAddressState { address, state } => {
                self.provider_addresses.get_mut(&address).unwrap().state = state;
            }
            Change::AddMulticastGroup(group) => {
                self.multicast_groups
                    .insert((group.vsid, group.address), group.provider_group);
            }
            Change::RemoveMulticastGroup { vsid, address } => {
                self.multicast_groups.remove(&(vsid, address));
            }
            _ => unreachable!("a change that the model does not know: {change:?}"),
        }
    }

    pub fn of(dump: &Dump) -> Self {
        Self {
            settings: dump.settings,
            domains: distinct(dump.domains.iter().copied()),
            subnets: keyed(dump.subnets.iter().copied()),
            customer_routes: keyed(
                dump.customer_routes
                    .iter()
                    .map(|route| ((route.vsid, route.prefix, route.target), route.metric)),
            ),
            peerings: distinct(dump.peerings.iter().copied()),
            hosts: distinct(dump.hosts.iter().copied()),
            host_addresses: keyed(
                dump.host_addresses
                    .iter()
                    .map(|(host, address)| (*address, *host)),
            ),
            ports: keyed(dump.ports.iter().map(|port| (port.port, *port))),
            records: keyed(
                dump.lookup_records
                    .iter()
                    .map(|record| (record.name(), *record)),
            ),
            provider_addresses: keyed(
                dump.provider_addresses
                    .iter()
                    .map(|own| (own.address, *own)),
            ),
            provider_routes: keyed(
                dump.provider_routes
                    .iter()
                    .map(|route| ((route.prefix, route.next_hop), route.metric)),
            ),
            neighbours: keyed(
                dump.neighbours
                    .iter()
                    .map(|known| ((known.uplink, known.address), known.mac)),
            ),
            path_mtus: keyed(dump.path_mtus.iter().copied()),
            multicast_groups: keyed(
                dump.multicast_groups
                    .iter()
                    .map(|group| ((group.vsid, group.address), group.provider_group)),
            ),
        }
    }

    /// How many others stand on something, by the model's own count.
    pub fn users(&self, what: Missing) -> u32 {
        let records = |wanted: &dyn Fn(&LookupRecord) -> usize| -> usize {
            self.records.values().map(wanted).sum()
        };
        let count = match what {
            Missing::Domain(domain) => {
                let subnets = self.subnets.values().filter(|of| **of == domain).count();
                let ends = |peering: &Peering| {
                    usize::from(peering.from == domain) + usize::from(peering.to == domain)
                };
                subnets + self.peerings.iter().map(ends).sum::<usize>()
            }
            Missing::Subnet(vsid) => {
                let routes = self.customer_routes.keys();
                let ports = self.ports.values();
                let groups = self.multicast_groups.keys();
                routes.filter(|(of, ..)| *of == vsid).count()
                    + ports.filter(|port| port.vsid == Some(vsid)).count()
                    + groups.filter(|(of, _)| *of == vsid).count()
                    + records(&|record| usize::from(record.vsid == vsid))
            }
            Missing::Host(host) | Missing::HostAddress(host, _) => records(&|record| {
                usize::from(record.location == Location::Host(host))
                    + usize::from(record.previous == Some(host))
            }),
            Missing::Port(port) => {
                records(&|record| usize::from(record.location == Location::Port(port)))
            }
            _ => panic!("nothing stands on {what}"),
        };
        count as u32
    }

    /// The broadcast of each subnet goes to its ports, and to the hosts of its records that are reached by NVGRE.
    pub fn assert_members(&self, dump: &Dump) {
        for (vsid, ports) in &dump.subnet_ports {
            let expected = self.ports.values().filter(|port| port.vsid == Some(*vsid));
            assert_eq!(
                distinct(ports.iter().copied()),
                distinct(expected.map(|port| port.port))
            );
        }
        for (vsid, hosts) in &dump.subnet_hosts {
            let expected: HashSet<_> = self
                .records
                .values()
                .filter(|record| record.vsid == *vsid)
                .filter(|record| !matches!(record.method, Method::Rewrite { .. }))
                .filter_map(|record| match record.location {
                    Location::Host(host) => Some(host),
                    Location::Port(_) => None,
                })
                .collect();
            assert_eq!(distinct(hosts.iter().copied()), expected);
        }
    }

    /// What must hold whatever was said.
    pub fn assert_legal(&self) {
        for domain in self.subnets.values() {
            assert!(self.domains.contains(domain));
        }
        for Peering { from, to } in &self.peerings {
            assert!(from != to && self.domains.contains(from) && self.domains.contains(to));
        }
        self.assert_disjoint_prefixes();
        for host in self.host_addresses.values() {
            assert!(self.hosts.contains(host) && *host != HOST_1);
        }
        for (address, mtu) in &self.path_mtus {
            assert!(self.host_addresses.contains_key(address));
            assert!(*mtu >= if address.get().is_ipv6() { 1280 } else { 576 });
        }
        for port in self.ports.values() {
            assert!(
                port.vsid
                    .is_none_or(|vsid| self.subnets.contains_key(&vsid))
            );
        }
        for record in self.records.values() {
            self.assert_legal_record(record);
        }
        for (vsid, _) in self.multicast_groups.keys() {
            assert!(self.subnets.contains_key(vsid));
        }
        let rewrites = self.records.values();
        let rewrites = rewrites.filter_map(|record| record.method.provider_address());
        let owned = rewrites
            .chain(self.host_addresses.keys().copied())
            .chain(self.provider_addresses.keys().copied());
        distinct(owned);
        let has_ipv6_subnet = self.customer_routes.keys().any(|(_, prefix, target)| {
            prefix.address().is_ipv6() && *target == RouteTarget::OnLink
        });
        for own in self.provider_addresses.values() {
            let outer = if own.address.get().is_ipv6() { 40 } else { 20 };
            assert!(!has_ipv6_subnet || own.mtu >= 1280 + outer + 8 + 14);
        }
    }

    fn assert_legal_record(&self, record: &LookupRecord) {
        assert!(self.subnets.contains_key(&record.vsid));
        match record.location {
            Location::Port(port) => {
                let port = self.ports[&port];
                assert_eq!((port.vsid, port.mac), (Some(record.vsid), record.mac));
            }
            Location::Host(host) => {
                assert!(self.host_addresses.values().any(|owner| *owner == host));
            }
        }
        if let Some(previous) = record.previous {
            assert!(previous == HOST_1 || self.hosts.contains(&previous));
        }
        if let Some(provider) = record.method.provider_address() {
            let customer = record.kind.customer_address().unwrap();
            assert_eq!(Family::of(provider.get()), Family::of(customer.get()));
        }
    }

    /// Among a domain and all its peers every address is in one subnet at most.
    fn assert_disjoint_prefixes(&self) {
        for domain in &self.domains {
            let reachable: HashSet<_> = self
                .peerings
                .iter()
                .filter(|peering| peering.from == *domain || peering.to == *domain)
                .flat_map(|peering| [peering.from, peering.to])
                .chain([*domain])
                .collect();
            let prefixes: Vec<_> = self
                .customer_routes
                .keys()
                .filter(|(vsid, _, target)| {
                    *target == RouteTarget::OnLink && reachable.contains(&self.subnets[vsid])
                })
                .map(|(_, prefix, _)| *prefix)
                .collect();
            for (position, prefix) in prefixes.iter().enumerate() {
                for other in &prefixes[..position] {
                    assert!(!prefix.overlaps(*other), "{prefix} and {other}");
                }
            }
        }
    }

    /// Whether a record's customer address is legal where it is; its prefix may have gone.
    pub fn is_inside_subnet(&self, record: &LookupRecord) -> bool {
        let Some(address) = record.kind.customer_address() else {
            return true;
        };
        self.customer_routes.keys().any(|(vsid, prefix, target)| {
            *vsid == record.vsid && *target == RouteTarget::OnLink && prefix.contains(address.get())
        })
    }

    /// Whether a group is legal where it is; the prefix whose broadcast it is may have gone, and the own address it needs.
    pub fn is_legal_group(&self, group: &MulticastGroup) -> bool {
        let is_broadcast = |prefix: &Prefix| {
            prefix.address().is_ipv4() && prefix.length() < 31 && prefix.last() == group.address
        };
        let mut routes = self.customer_routes.keys();
        let is_broadcast_of_subnet = routes.any(|(vsid, prefix, target)| {
            *vsid == group.vsid && *target == RouteTarget::OnLink && is_broadcast(prefix)
        });
        let is_ipv4 = group.provider_group.get().is_ipv4();
        let mut own = self.provider_addresses.keys();
        own.any(|own| own.get().is_ipv4() == is_ipv4)
            && (group.address.is_multicast()
                || group.address == IpAddr::from([0xff; 4])
                || is_broadcast_of_subnet)
    }

    pub fn is_on_link(&self, next_hop: ProviderAddress) -> bool {
        self.provider_addresses.values().any(|own| {
            Prefix::of(own.address.get(), own.prefix_length)
                .is_ok_and(|prefix| prefix.contains(next_hop.get()))
        })
    }
}

fn keyed<K: Hash + Eq + Debug, V>(pairs: impl Iterator<Item = (K, V)>) -> HashMap<K, V> {
    let mut map = HashMap::new();
    for (key, value) in pairs {
        let message = format!("{key:?} is there twice");
        assert!(map.insert(key, value).is_none(), "{message}");
    }
    map
}

fn distinct<T: Hash + Eq + Debug>(things: impl Iterator<Item = T>) -> HashSet<T> {
    keyed(things.map(|thing| (thing, ()))).into_keys().collect()
}

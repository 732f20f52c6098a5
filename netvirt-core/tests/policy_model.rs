//! Random transactions against a model that knows nothing of tables: sets of what was said.

mod support;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::prelude::*;
use proptest::sample::select;
use support::*;

/// What was said, as sets.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
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
}

impl Model {
    /// Does what a change says that policy found legal.
    fn change(&mut self, change: &Change) {
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
            }
            Change::AddHostAddress(host, address) => {
                self.host_addresses.insert(address, host);
            }
            Change::RemoveHostAddress(_, address) => {
                self.host_addresses.remove(&address);
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
            _ => unreachable!("a change that the model does not know: {change:?}"),
        }
    }

    fn of(dump: &Dump) -> Self {
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
        }
    }

    /// How many others stand on something, by the model's own count.
    fn users(&self, what: Missing) -> u32 {
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
                routes.filter(|(of, ..)| *of == vsid).count()
                    + ports.filter(|port| port.vsid == Some(vsid)).count()
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

    /// What must hold whatever was said.
    fn assert_legal(&self) {
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
        for port in self.ports.values() {
            assert!(
                port.vsid
                    .is_none_or(|vsid| self.subnets.contains_key(&vsid))
            );
        }
        for record in self.records.values() {
            self.assert_legal_record(record);
        }
        let rewrites = self.records.values().filter_map(provider_address);
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
        if let (Some(provider), Some(customer)) =
            (provider_address(record), record.kind.customer_address())
        {
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
    fn is_inside_subnet(&self, record: &LookupRecord) -> bool {
        let Some(address) = record.kind.customer_address() else {
            return true;
        };
        self.customer_routes.keys().any(|(vsid, prefix, target)| {
            *vsid == record.vsid && *target == RouteTarget::OnLink && prefix.contains(address.get())
        })
    }

    fn is_on_link(&self, next_hop: ProviderAddress) -> bool {
        self.provider_addresses.values().any(|own| {
            Prefix::of(own.address.get(), own.prefix_length)
                .is_ok_and(|prefix| prefix.contains(next_hop.get()))
        })
    }
}

fn provider_address(record: &LookupRecord) -> Option<ProviderAddress> {
    match record.method {
        Method::Encapsulate => None,
        Method::Rewrite {
            provider_address, ..
        } => Some(provider_address),
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

fn any_vsid() -> impl Strategy<Value = Vsid> {
    select(vec![5001, 5002, 6001, 7001]).prop_map(vsid)
}

fn any_domain() -> impl Strategy<Value = DomainId> {
    // Rarely one that no table holds.
    prop_oneof![12 => 0..3u32, 1 => Just(99)].prop_map(DomainId)
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    select(vec![
        "10.0.0.0/24",
        "10.0.0.0/29",
        "10.0.0.8/29",
        "10.0.1.0/24",
        "10.0.0.0/16",
        "0.0.0.0/0",
        "10.0.2.4/30",
        "fd00:1::/64",
        "fd00:2::/64",
        "::/0",
    ])
    .prop_map(prefix)
}

fn any_customer_address() -> impl Strategy<Value = CustomerAddress> {
    select(vec![
        "10.0.0.1",
        "10.0.0.5",
        "10.0.0.7",
        "10.0.0.9",
        "10.0.0.10",
        "10.0.1.5",
        "10.0.2.5",
        "10.0.2.6",
        "fd00:1::1",
        "fd00:1::5",
        "fd00:1::6",
        "fd00:2::5",
    ])
    .prop_map(ca)
}

fn any_provider_address() -> impl Strategy<Value = ProviderAddress> {
    select(vec![
        "192.168.4.1",
        "192.168.4.2",
        "192.168.4.3",
        "192.168.4.4",
        "192.168.5.1",
        "192.168.5.2",
        "fd01::1",
        "fd01::2",
        "fd02::1",
        "fd02::2",
    ])
    .prop_map(pa)
}

fn any_mac() -> impl Strategy<Value = MacAddress> {
    prop_oneof![
        20 => (1..4u8).prop_map(|last| MacAddress([2, 0, 0, 0, 0, last])),
        1 => Just(MacAddress::BROADCAST),
    ]
}

fn any_host() -> impl Strategy<Value = HostId> {
    prop_oneof![12 => 1..4u32, 1 => Just(99)].prop_map(HostId)
}

fn any_port() -> impl Strategy<Value = PortId> {
    prop_oneof![12 => 0..4u32, 1 => Just(99)].prop_map(PortId)
}

fn any_location() -> impl Strategy<Value = Location> {
    prop_oneof![
        any_port().prop_map(Location::Port),
        any_host().prop_map(Location::Host),
    ]
}

fn any_route() -> impl Strategy<Value = CustomerRoute> {
    let target = prop_oneof![
        2 => Just(RouteTarget::OnLink),
        1 => any_customer_address().prop_map(RouteTarget::Via),
    ];
    (any_vsid(), any_prefix(), target, 0..3u32).prop_map(|(vsid, prefix, target, metric)| {
        CustomerRoute {
            vsid,
            prefix,
            target,
            metric,
        }
    })
}

fn any_record() -> impl Strategy<Value = LookupRecord> {
    let kind = prop_oneof![
        4 => any_customer_address().prop_map(RecordKind::Static),
        1 => any_customer_address().prop_map(RecordKind::Dynamic),
        1 => Just(RecordKind::L2Only),
        2 => Just(RecordKind::GatewayWildcard),
    ];
    let rewrite = (any_provider_address(), any::<bool>());
    let method = prop_oneof![
        Just(Method::Encapsulate),
        rewrite.prop_map(|(provider_address, use_vm_mac)| Method::Rewrite {
            provider_address,
            use_vm_mac
        }),
    ];
    let previous = prop_oneof![3 => Just(None), 1 => any_host().prop_map(Some)];
    (
        any_vsid(),
        kind,
        any_mac(),
        any_location(),
        previous,
        method,
    )
        .prop_map(
            |(vsid, kind, mac, location, previous, method)| LookupRecord {
                vsid,
                kind,
                mac,
                location,
                previous,
                method,
            },
        )
}

fn any_record_name() -> impl Strategy<Value = RecordName> {
    any_record().prop_map(|record| record.name())
}

fn any_own_address() -> impl Strategy<Value = HostAddress> {
    let state = select(vec![
        AddressState::Preferred,
        AddressState::Deprecated,
        AddressState::Tentative,
    ]);
    let prefix_length = select(vec![24, 32, 64, 16, 200]);
    let mtu = prop_oneof![8 => Just(1600), 1 => Just(1300)];
    (any_provider_address(), prefix_length, any_mac(), mtu, state).prop_map(
        |(address, prefix_length, mac, mtu, state)| HostAddress {
            address,
            prefix_length,
            uplink: UplinkId(0),
            mac,
            vlan: None,
            mtu,
            state,
        },
    )
}

fn any_provider_route() -> impl Strategy<Value = ProviderRoute> {
    let prefix = select(vec!["192.168.5.0/24", "0.0.0.0/0", "fd02::/64"]).prop_map(prefix);
    (prefix, any_provider_address(), 0..3u32).prop_map(|(prefix, next_hop, metric)| ProviderRoute {
        prefix,
        next_hop,
        metric,
    })
}

fn any_neighbour() -> impl Strategy<Value = Neighbour> {
    (0..2u32, any_provider_address(), any_mac()).prop_map(|(uplink, address, mac)| Neighbour {
        uplink: UplinkId(uplink),
        address,
        mac,
    })
}

fn any_peering() -> impl Strategy<Value = Peering> {
    (any_domain(), any_domain()).prop_map(|(from, to)| Peering { from, to })
}

fn any_network_change() -> impl Strategy<Value = Change> {
    let port = (
        any_port(),
        prop::option::weighted(0.9, any_vsid()),
        any_mac(),
    )
        .prop_map(|(port, vsid, mac)| Port { port, vsid, mac });
    prop_oneof![
        3 => any_domain().prop_map(Change::AddDomain),
        1 => any_domain().prop_map(Change::RemoveDomain),
        4 => (any_vsid(), any_domain()).prop_map(|(vsid, domain)| Change::AddSubnet { vsid, domain }),
        1 => any_vsid().prop_map(Change::RemoveSubnet),
        6 => any_route().prop_map(Change::AddCustomerRoute),
        1 => any_route().prop_map(Change::SetCustomerRoute),
        2 => any_route().prop_map(Change::RemoveCustomerRoute),
        4 => any_peering().prop_map(Change::AddPeering),
        1 => any_peering().prop_map(Change::RemovePeering),
        4 => port.prop_map(Change::AddPort),
        1 => any_port().prop_map(Change::RemovePort),
    ]
}

fn any_record_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => any_record().prop_map(Change::AddRecord),
        4 => any_record().prop_map(Change::SetRecord),
        4 => (any_record_name(), any_location())
            .prop_map(|(name, location)| Change::MoveRecord(name, location)),
        1 => any_record_name().prop_map(Change::RetireMigration),
        2 => any_record_name().prop_map(Change::RemoveRecord),
    ]
}

fn any_provider_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any_host().prop_map(Change::AddHost),
        1 => any_host().prop_map(Change::RemoveHost),
        4 => (any_host(), any_provider_address())
            .prop_map(|(host, address)| Change::AddHostAddress(host, address)),
        1 => (any_host(), any_provider_address())
            .prop_map(|(host, address)| Change::RemoveHostAddress(host, address)),
        2 => any_own_address().prop_map(Change::AddProviderAddress),
        1 => any_own_address().prop_map(Change::SetProviderAddress),
        1 => any_provider_address().prop_map(Change::RemoveProviderAddress),
        2 => any_provider_route().prop_map(Change::AddProviderRoute),
        1 => any_provider_route().prop_map(Change::SetProviderRoute),
        1 => any_provider_route().prop_map(Change::RemoveProviderRoute),
        2 => any_neighbour().prop_map(Change::SetNeighbour),
        1 => any_neighbour().prop_map(|known| Change::RemoveNeighbour {
            uplink: known.uplink,
            address: known.address,
        }),
    ]
}

fn any_transaction() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => any_network_change(),
        4 => any_record_change(),
        3 => any_provider_change(),
    ];
    prop_oneof![
        3 => prop::collection::vec(change.clone(), 1),
        1 => prop::collection::vec(change, 2..5),
    ]
}

/// Too little of most things for what the strategies think of.
const TIGHT: Capacities = Capacities {
    records: 8,
    rewrites: 8,
    domains: 3,
    subnets: 3,
    routes: 6,
    intervals: 14,
    peerings: 2,
    hosts: 4,
    paths: 4,
    ports: 3,
    provider_addresses: 2,
    provider_routes: 2,
    neighbours: 8,
};

/// Something of everything, so that random changes have something to meet.
fn beginning() -> Vec<Change> {
    let mut changes = vec![
        settings(),
        Change::AddHost(HOST_2),
        Change::AddHostAddress(HOST_2, pa("192.168.4.2")),
        Change::AddProviderAddress(own_address("192.168.4.1", 24)),
    ];
    for (domain, number, destination) in [(BLUE, 5001, "10.0.0.0/24"), (RED, 6001, "10.0.1.0/24")] {
        changes.extend([
            Change::AddDomain(domain),
            Change::AddSubnet {
                vsid: vsid(number),
                domain,
            },
            Change::AddCustomerRoute(on_link(number, destination)),
            Change::AddPort(port(domain.0, number, "020000000001")),
        ]);
    }
    changes
}

/// Applies a transaction to policy and model, and compares them.
fn step(policies: &mut Policies<'_>, model: &mut Model, changes: &[Change], abort_first: bool) {
    let before = Dump::of_both(policies);
    let encoded = tx(changes);
    if abort_first {
        let _ = policies
            .prepare(Transaction::new(&encoded))
            .map(Prepared::abort);
        assert_eq!(Dump::of_both(policies), before, "no trace of an abort");
    }
    match policies.apply(Transaction::new(&encoded)) {
        Ok(()) => {
            changes.iter().for_each(|change| model.change(change));
            model.assert_legal();
            let is_policy = changes.iter().any(Change::is_policy);
            let version = policies.live().version();
            assert_eq!(version, before.version + u64::from(is_policy));
        }
        Err(Refused { change, why }) => {
            assert_eq!(
                Dump::of_both(policies),
                before,
                "a refusal leaves no trace: {why}"
            );
            assert!(change <= changes.len());
            if let Refusal::InUse(what, users) = why {
                let mut until_then = model.clone();
                changes[..change]
                    .iter()
                    .for_each(|change| until_then.change(change));
                assert_eq!(users, until_then.users(what), "{what}");
                assert_ne!(users, 0);
            }
        }
    }
    assert_eq!(Model::of(&Dump::of_both(policies)), *model);
}

/// Takes everything down, the last first.
fn tear_down(dump: &Dump) -> Vec<Change> {
    let mut changes = Vec::new();
    let records = dump.lookup_records.iter();
    changes.extend(records.map(|record| Change::RemoveRecord(record.name())));
    let neighbours = dump.neighbours.iter();
    changes.extend(neighbours.map(|known| Change::RemoveNeighbour {
        uplink: known.uplink,
        address: known.address,
    }));
    changes.extend(
        dump.provider_routes
            .iter()
            .copied()
            .map(Change::RemoveProviderRoute),
    );
    changes.extend(
        dump.provider_addresses
            .iter()
            .map(|own| Change::RemoveProviderAddress(own.address)),
    );
    changes.extend(dump.hosts.iter().copied().map(Change::RemoveHost));
    changes.extend(dump.ports.iter().map(|port| Change::RemovePort(port.port)));
    changes.extend(dump.peerings.iter().copied().map(Change::RemovePeering));
    changes.extend(
        dump.customer_routes
            .iter()
            .copied()
            .map(Change::RemoveCustomerRoute),
    );
    changes.extend(
        dump.subnets
            .iter()
            .map(|(vsid, _)| Change::RemoveSubnet(*vsid)),
    );
    changes.extend(dump.domains.iter().copied().map(Change::RemoveDomain));
    changes
}

/// Says all of it again, as far as it would be legal if it were new.
fn build_up(dump: &Dump, model: &Model) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(dump.domains.iter().copied().map(Change::AddDomain));
    let subnets = dump.subnets.iter();
    changes.extend(subnets.map(|&(vsid, domain)| Change::AddSubnet { vsid, domain }));
    changes.extend(dump.peerings.iter().copied().map(Change::AddPeering));
    changes.extend(
        dump.customer_routes
            .iter()
            .copied()
            .map(Change::AddCustomerRoute),
    );
    changes.extend(dump.ports.iter().copied().map(Change::AddPort));
    changes.extend(dump.hosts.iter().copied().map(Change::AddHost));
    let addresses = dump.host_addresses.iter();
    changes.extend(addresses.map(|&(host, address)| Change::AddHostAddress(host, address)));
    changes.extend(
        dump.provider_addresses
            .iter()
            .copied()
            .map(Change::AddProviderAddress),
    );
    let routes = dump.provider_routes.iter().copied();
    let routes = routes.filter(|route| model.is_on_link(route.next_hop));
    changes.extend(routes.map(Change::AddProviderRoute));
    changes.extend(dump.neighbours.iter().copied().map(Change::SetNeighbour));
    let records = dump.lookup_records.iter().copied();
    let records = records.filter(|record| model.is_inside_subnet(record));
    changes.extend(records.map(Change::AddRecord));
    changes
}

fn only_settings() -> Model {
    let mut model = Model::default();
    model.change(&settings());
    model
}

fn run(capacities: Capacities, transactions: &[(Vec<Change>, bool)], in_one: bool) {
    let mut policies = capacities.policies();
    let mut model = Model::default();
    step(&mut policies, &mut model, &beginning(), false);
    assert_ne!(model, Model::default(), "the beginning fits");
    for (changes, abort_first) in transactions {
        step(&mut policies, &mut model, changes, *abort_first);
    }
    // Whatever it came to, it can be taken down and built again in the same storage: nothing leaks.
    for _ in 0..2 {
        let dump = Dump::of_both(&mut policies);
        let down = tear_down(&dump);
        let up = build_up(&dump, &model);
        let size = if in_one { usize::MAX } else { 1 };
        for changes in down.chunks(size.min(down.len().max(1))) {
            apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
        }
        assert_eq!(Model::of(&Dump::of_both(&mut policies)), only_settings());
        let mut expected = only_settings();
        up.iter().for_each(|change| expected.change(change));
        apply(&mut policies, &up).unwrap_or_else(|refused| panic!("{refused}"));
        model = expected;
        assert_eq!(Model::of(&Dump::of_both(&mut policies)), model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policy_is_what_was_said_and_was_legal(
        transactions in prop::collection::vec((any_transaction(), any::<bool>()), 0..120),
        in_one in any::<bool>(),
    ) {
        run(Capacities::ROOMY, &transactions, in_one);
    }

    #[test]
    fn policy_in_little_storage_refuses_what_does_not_fit_and_leaks_nothing(
        transactions in prop::collection::vec((any_transaction(), any::<bool>()), 0..120),
        in_one in any::<bool>(),
    ) {
        run(TIGHT, &transactions, in_one);
    }
}

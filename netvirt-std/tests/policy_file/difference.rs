//! What a running host changes from one version of the file to the next.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

use netvirt_core::datapath::Ingress;
use netvirt_core::policy::*;
use netvirt_core::proxy::Owned;
use netvirt_core::table::Seed;
use netvirt_core::*;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use netvirt_std::switch::{DecisionKind, Switch};
use netvirt_std::transaction::encode;
use proptest::prelude::*;

use crate::network::{Edit, Plan, any_edit, any_plan};
use crate::support::{ethernet, ipv4, udp};
use crate::{WHOLE, edited};

/// Everything that the tables say.
#[derive(Debug, PartialEq)]
struct Listing {
    settings: Option<Settings>,
    domains: HashSet<DomainId>,
    subnets: HashSet<(Vsid, DomainId)>,
    customer_routes: HashSet<CustomerRoute>,
    peerings: HashSet<Peering>,
    hosts: HashSet<HostId>,
    host_addresses: HashSet<(HostId, ProviderAddress)>,
    ports: HashSet<Port>,
    records: HashSet<LookupRecord>,
    provider_addresses: HashSet<HostAddress>,
    provider_routes: HashSet<ProviderRoute>,
    neighbours: HashSet<Neighbour>,
    multicast_groups: HashSet<MulticastGroup>,
    owned: Vec<Owned>,
}

impl Listing {
    fn of(policy: &Policy<'_>) -> Self {
        let mut owned: Vec<Owned> = policy.owned_addresses().collect();
        owned.sort_by_key(|owned| owned.address);
        Self {
            settings: policy.settings().copied(),
            domains: set(policy.domains()),
            subnets: set(policy.subnets()),
            customer_routes: set(policy.customer_routes()),
            peerings: set(policy.peerings()),
            hosts: set(policy.hosts()),
            host_addresses: set(policy.host_addresses()),
            ports: set(policy.ports()),
            records: set(policy.lookup_records()),
            provider_addresses: set(policy.provider_addresses().copied()),
            provider_routes: set(policy.provider_routes()),
            neighbours: set(policy.neighbours()),
            multicast_groups: set(policy.multicast_groups()),
            owned,
        }
    }
}

fn set<T: Hash + Eq + Debug>(things: impl Iterator<Item = T>) -> HashSet<T> {
    let mut set = HashSet::new();
    for thing in things {
        let told = format!("{thing:?} is there twice");
        assert!(set.insert(thing), "{told}");
    }
    set
}

/// Room for whatever the tests think of.
const ROOMY: HostCapacity = HostCapacity {
    records: 256,
    rewritten_records: 256,
    subnets: 32,
    domains: 32,
    customer_routes: 256,
    peerings: 32,
    hosts: 32,
    host_addresses: 64,
    ports: 64,
    provider_addresses: 16,
    provider_routes: 32,
    neighbours: 64,
    multicast_groups: 16,
};

fn switch() -> Switch {
    Switch::new(ROOMY.policies(Seed::new(1, 2)), ROOMY.worker())
}

fn apply(switch: &mut Switch, changes: &[Change]) {
    let encoded = encode(changes);
    if let Err(Refused { change, why }) = switch.apply(Transaction::new(&encoded), &mut Vec::new())
    {
        panic!("{why}: {:#?}", changes.get(change));
    }
}

/// A switch that never had another policy.
fn fresh(policy: &HostPolicy) -> Switch {
    let mut switch = switch();
    apply(&mut switch, &policy.changes);
    switch
}

/// What becomes of a packet from each local machine to each address of all, through the router and directly.
fn decisions(
    switch: &mut Switch,
    policy: &HostPolicy,
    version: usize,
) -> Vec<(PortId, CustomerAddress, String)> {
    // Long enough between any two packets that none waits for a next hop any more.
    let mut now = version as u64 * 1_000_000_000_000_000;
    let targets = policy.machines.iter();
    let targets: Vec<_> = targets
        .flat_map(|m| m.addresses.iter().map(|address| (*address, m.mac)))
        .filter(|(address, _)| address.get().is_ipv4())
        .collect();
    let router = "02:15:5d:00:00:01".parse().unwrap();
    let mut decisions = Vec::new();
    for port in &policy.ports {
        let sources = port
            .addresses
            .iter()
            .filter(|address| address.get().is_ipv4());
        for source in sources {
            for (target, mac) in &targets {
                for mac in [*mac, router] {
                    let packet = ipv4(&source.to_string(), &target.to_string(), 17, &udp(20));
                    let frame = ethernet(&mac.to_string(), &port.mac.to_string(), 0x0800, &packet);
                    now += 100_000_000_000;
                    let decision =
                        switch.receive(now, Ingress::Port(port.port), &frame, &mut Vec::new());
                    // Of several paths to a host another may come first, and its next hop is known or not.
                    let kind = match decision.kind {
                        DecisionKind::Held => DecisionKind::Transmitted,
                        kind => kind,
                    };
                    let told = format!("{kind:?} {:?} {:?}", decision.reason, decision.vsid);
                    decisions.push((port.port, *target, told));
                }
            }
        }
    }
    decisions
}

fn parse(text: &str) -> PolicyFile {
    PolicyFile::parse(text, "network.toml").unwrap_or_else(|found| panic!("{found}\n{text}"))
}

/// A host that runs through versions of a file, and others that see only the last of them.
fn run_through(plan: &Plan, versions: &[Vec<Edit>]) {
    let mut plan = plan.clone();
    let mut policy = parse(&plan.render()).for_host("host-1").unwrap();
    let mut running = fresh(&policy);
    for (version, edits) in versions.iter().enumerate() {
        edits.iter().for_each(|edit| plan.edit(edit));
        let file = parse(&plan.render());
        let next = file.for_host_after("host-1", &policy.numbering).unwrap();
        assert_eq!(next.local_host, policy.local_host);
        let difference = next.difference(&policy);

        let before = Listing::of(running.policy());
        let mut new = fresh(&next);
        let after = Listing::of(new.policy());
        apply(&mut running, &difference);
        assert_eq!(Listing::of(running.policy()), after);
        assert_eq!(difference.is_empty(), before == after);
        assert_eq!(next.difference(&next), []);
        let decided = decisions(&mut running, &next, version).into_iter();
        for (decided, expected) in decided.zip(decisions(&mut new, &next, version)) {
            assert_eq!(decided, expected);
        }

        // Whatever the numbers mean, the difference is right.
        let renumbered = file.for_host("host-1").unwrap();
        let mut other = fresh(&policy);
        apply(&mut other, &renumbered.difference(&policy));
        assert_eq!(
            Listing::of(other.policy()),
            Listing::of(fresh(&renumbered).policy())
        );
        policy = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_difference_makes_the_old_policy_the_new_one(
        plan in any_plan(),
        versions in prop::collection::vec(prop::collection::vec(any_edit(), 1..5), 1..4),
    ) {
        run_through(&plan, &versions);
    }
}

/// What a host changes when passages of the whole file are replaced, and that it is right.
fn changes_of(host: &str, edits: &[(&str, &str)]) -> Vec<Change> {
    let edit = |text: String, (old, new): &(&str, &str)| edited(&text, old, new);
    difference_of(host, WHOLE, &edits.iter().fold(WHOLE.to_owned(), edit))
}

fn difference_of(host: &str, before: &str, after: &str) -> Vec<Change> {
    let before = parse(before).for_host(host).unwrap();
    let after = parse(after).for_host_after(host, &before.numbering);
    let after = after.unwrap();
    let difference = after.difference(&before);
    let mut running = fresh(&before);
    apply(&mut running, &difference);
    let expected = Listing::of(fresh(&after).policy());
    assert_eq!(Listing::of(running.policy()), expected);
    difference
}

fn vsid(number: u32) -> Vsid {
    Vsid::new(number).unwrap()
}

fn ca(text: &str) -> CustomerAddress {
    CustomerAddress::new(text.parse().unwrap()).unwrap()
}

fn pa(text: &str) -> ProviderAddress {
    ProviderAddress::new(text.parse().unwrap()).unwrap()
}

fn name(number: u32, address: &str) -> RecordName {
    RecordName::Address(vsid(number), ca(address))
}

/// The record of blue-1, which runs on host-1.
fn blue_1(address: &str, location: Location) -> LookupRecord {
    LookupRecord {
        vsid: vsid(5001),
        kind: RecordKind::Static(ca(address)),
        mac: "06:06:00:00:00:05".parse().unwrap(),
        location,
        previous: None,
        method: Method::Encapsulate,
    }
}

/// Every host knows these two so; host-1 is 0.
const HOST_2: HostId = HostId(1);
const HOST_3: HostId = HostId(2);

const BLUE_1_ON_HOST_1: &str = "subnet = \"blue-web\"\nhost = \"host-1\"";

#[test]
fn without_a_change_nothing_is_changed() {
    assert_eq!(changes_of("host-1", &[]), []);
    // Nor by names, comments, and whatever only devices care for.
    let edits = [
        ("name = \"blue-web\"\n", "# the web\n"),
        ("subnet = \"blue-web\"", "subnet = 5001"),
        ("interface = \"tap-blue-1\"", "mtu = 1400"),
    ];
    assert_eq!(changes_of("host-1", &edits), []);
    // Nor by another order of the machines and hosts.
    let machines = WHOLE.find("[[vm]]").unwrap();
    let peerings = WHOLE.find("[[peering]]").unwrap();
    let others = WHOLE[peerings..].find("[[vm]]").unwrap() + peerings;
    let reordered = [
        &WHOLE[..machines],
        &WHOLE[others..],
        "\n",
        &WHOLE[machines..others],
    ];
    assert_eq!(difference_of("host-1", WHOLE, &reordered.concat()), []);
}

#[test]
fn a_group_that_carries_an_address_is_replaced_in_one_transaction() {
    let subnet = "prefixes = [\"10.0.0.0/24\", \"fd00:5001::/64\"]";
    let mapped = |provider: &str| {
        let line = format!("multicast = [{{ group = \"239.1.1.1\", provider = {provider:?} }}]");
        edited(WHOLE, subnet, &format!("{subnet}\n{line}"))
    };
    let (one, other) = (mapped("239.192.0.1"), mapped("239.192.0.2"));
    let add = |provider: &str| {
        Change::AddMulticastGroup(MulticastGroup {
            vsid: Vsid::new(5001).unwrap(),
            address: [239, 1, 1, 1].into(),
            provider_group: ProviderGroup::new(provider.parse().unwrap()).unwrap(),
        })
    };
    let remove = Change::RemoveMulticastGroup {
        vsid: Vsid::new(5001).unwrap(),
        address: [239, 1, 1, 1].into(),
    };
    assert_eq!(difference_of("host-1", WHOLE, &one), [add("239.192.0.1")]);
    assert_eq!(
        difference_of("host-1", &one, &other),
        [remove, add("239.192.0.2")]
    );
    assert_eq!(difference_of("host-1", &other, WHOLE), [remove]);
    assert_eq!(difference_of("host-3", WHOLE, &one), []);
}

#[test]
fn a_machine_that_leaves_is_moved_and_its_port_removed() {
    let edits = [(
        BLUE_1_ON_HOST_1,
        "subnet = \"blue-web\"\nhost = \"host-3\"\nmigrating-from = \"host-1\"",
    )];
    let to = Location::Host(HOST_3);
    let expected = [
        Change::MoveRecord(name(5001, "10.0.0.5"), to),
        Change::MoveRecord(name(5001, "fd00:5001::5"), to),
        Change::RemovePort(PortId(0)),
    ];
    assert_eq!(changes_of("host-1", &edits), expected);
    // For the others it moves from one host to another, and arrives.
    assert_eq!(changes_of("host-2", &edits).len(), 2);
    let arrives = changes_of("host-3", &edits);
    assert!(matches!(
        arrives[..],
        [
            Change::AddPort(_),
            Change::MoveRecord(..),
            Change::MoveRecord(..)
        ]
    ));
}

#[test]
fn a_machine_that_moves_without_trace_is_set() {
    let edits = [(BLUE_1_ON_HOST_1, "subnet = \"blue-web\"\nhost = \"host-3\"")];
    let to = Location::Host(HOST_3);
    let expected = [
        Change::SetRecord(blue_1("10.0.0.5", to)),
        Change::SetRecord(blue_1("fd00:5001::5", to)),
    ];
    assert_eq!(changes_of("host-2", &edits), expected);
}

#[test]
fn a_migration_ends_when_the_file_forgets_the_host_it_came_from() {
    let edits = [("migrating-from = \"host-3\"\n", "")];
    let retired = Change::RetireMigration(name(7001, "10.0.0.7"));
    assert_eq!(changes_of("host-1", &edits), [retired]);
    // Host 3 needs nothing of green any more.
    let forgotten = changes_of("host-3", &edits);
    let green = DomainId(1);
    assert!(forgotten.contains(&Change::RemoveDomain(green)));
    assert!(forgotten.contains(&Change::RemoveSubnet(vsid(7001))));
}

#[test]
fn a_machine_with_another_name_keeps_its_records_behind_another_port() {
    let port = Port {
        port: PortId(2),
        vsid: Some(vsid(5001)),
        mac: "06:06:00:00:00:05".parse().unwrap(),
    };
    let to = Location::Port(PortId(2));
    let expected = [
        Change::AddPort(port),
        Change::MoveRecord(name(5001, "10.0.0.5"), to),
        Change::MoveRecord(name(5001, "fd00:5001::5"), to),
        Change::RemovePort(PortId(0)),
    ];
    assert_eq!(
        changes_of("host-1", &[("\"blue-1\"", "\"blue-one\"")]),
        expected
    );
}

#[test]
fn another_mac_address_is_another_port_and_another_record() {
    let edits = [("mac = \"06:06:00:00:00:05\"", "mac = \"06:06:00:00:00:99\"")];
    let mac = "06:06:00:00:00:99".parse().unwrap();
    let record = |address| {
        let here = Location::Port(PortId(0));
        Change::AddRecord(LookupRecord {
            mac,
            ..blue_1(address, here)
        })
    };
    let port = Port {
        port: PortId(0),
        vsid: Some(vsid(5001)),
        mac,
    };
    let expected = [
        Change::RemoveRecord(name(5001, "10.0.0.5")),
        Change::RemoveRecord(name(5001, "fd00:5001::5")),
        Change::RemovePort(PortId(0)),
        Change::AddPort(port),
        record("10.0.0.5"),
        record("fd00:5001::5"),
    ];
    assert_eq!(changes_of("host-1", &edits), expected);
}

#[test]
fn metrics_settings_and_neighbours_are_set() {
    let gateway = "next-hop = \"10.0.1.2\"";
    let changed = changes_of(
        "host-1",
        &[(gateway, "next-hop = \"10.0.1.2\"\nmetric = 9")],
    );
    let route = CustomerRoute {
        vsid: vsid(5002),
        prefix: "0.0.0.0/0".parse().unwrap(),
        target: RouteTarget::Via(ca("10.0.1.2")),
        metric: 9,
    };
    assert_eq!(changed, [Change::SetCustomerRoute(route)]);

    let changed = changes_of("host-1", &[("outer-ttl = 64", "outer-ttl = 65")]);
    assert!(matches!(
        changed[..],
        [Change::SetSettings(Settings { outer_ttl: 65, .. })]
    ));

    let neighbour = "{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:16\" }";
    let known = Neighbour {
        uplink: UplinkId(0),
        address: pa("192.168.4.22"),
        mac: "02:00:00:00:00:17".parse().unwrap(),
    };
    let changed = changes_of("host-1", &[("00:16\" }", "00:17\" }")]);
    assert_eq!(changed, [Change::SetNeighbour(known)]);
    let forgotten = Change::RemoveNeighbour {
        uplink: UplinkId(0),
        address: pa("192.168.4.22"),
    };
    assert_eq!(changes_of("host-1", &[(neighbour, "")]), [forgotten]);
}

#[test]
fn a_wider_network_sets_the_own_address_and_another_metric_its_route() {
    let changed = changes_of(
        "host-1",
        &[("vlan = 100\nmtu = 1600", "vlan = 101\nmtu = 9000")],
    );
    let [Change::SetProviderAddress(own)] = changed[..] else {
        panic!("{changed:?}")
    };
    assert_eq!((own.vlan, own.mtu), (VlanId::new(101).ok(), 9000));

    let router = "next-hop = \"192.168.4.1\"";
    let changed = changes_of(
        "host-1",
        &[(router, "next-hop = \"192.168.4.1\"\nmetric = 9")],
    );
    assert!(matches!(
        changed[..],
        [Change::SetProviderRoute(ProviderRoute { metric: 9, .. })]
    ));
}

#[test]
fn a_subnet_changes_its_method_record_by_record() {
    let changed = changes_of(
        "host-2",
        &[("method = \"rewrite\"", "method = \"transition\"")],
    );
    assert_eq!(changed.len(), 3);
    let in_transition = |change: &Change| match change {
        Change::SetRecord(record) => matches!(record.method, Method::Transition { .. }),
        _ => false,
    };
    assert!(changed.iter().all(in_transition));
}

#[test]
fn machines_that_exchange_their_provider_addresses_let_go_of_them_first() {
    let changed = changes_of(
        "host-3",
        &[
            ("\"192.168.4.105\"", "\"192.168.4.x\""),
            ("\"192.168.4.207\"", "\"192.168.4.105\""),
            ("\"192.168.4.x\"", "\"192.168.4.207\""),
        ],
    );
    assert!(matches!(
        changed[..],
        [
            Change::RemoveRecord(_),
            Change::RemoveRecord(_),
            Change::AddRecord(_),
            Change::AddRecord(_)
        ]
    ));
}

#[test]
fn a_new_provider_address_of_a_host_needs_no_record_touched() {
    let changed = changes_of("host-1", &[("\"192.168.5.33\"", "\"192.168.5.34\"")]);
    let expected = [
        Change::AddHostAddress(HOST_3, pa("192.168.5.34")),
        Change::RemoveHostAddress(HOST_3, pa("192.168.5.33")),
    ];
    assert_eq!(changed, expected);
    // All four are replaced by four others.
    let four = |first: u8| {
        let addresses: Vec<String> = (first..first + 4)
            .map(|n| format!("\"192.168.5.{n}\""))
            .collect();
        edited(WHOLE, "\"192.168.5.33\"", &addresses.join(", "))
    };
    let changed = difference_of("host-1", &four(33), &four(43));
    assert_eq!(changed.len(), 8);
}

#[test]
fn hosts_that_exchange_their_addresses_are_built_again_with_their_records() {
    let changed = changes_of(
        "host-1",
        &[
            (
                "addresses = [\"192.168.4.22\", \"2001:db8:4::22\"]",
                "addresses = [\"192.168.5.33\"]",
            ),
            (
                "{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:16\" }",
                "",
            ),
            (
                "addresses = [\"192.168.5.33\"]\n\n[[routing",
                "addresses = [\"192.168.4.22\", \"2001:db8:4::22\"]\n\n[[routing",
            ),
            (
                "addresses = [\"10.0.0.7\"]\nprovider-addresses = [\"192.168.4.207\"]",
                "addresses = [\"10.0.0.7\"]\nprovider-addresses = [\"192.168.5.207\"]",
            ),
        ],
    );
    for host in [HOST_2, HOST_3] {
        assert!(changed.contains(&Change::RemoveHost(host)));
        assert!(changed.contains(&Change::AddHost(host)));
    }
    let records = changed
        .iter()
        .filter(|change| matches!(change, Change::RemoveRecord(_)));
    assert_eq!(records.count(), 7);
}

#[test]
fn a_prefix_goes_to_another_subnet_and_the_machines_in_it_stay() {
    let text = edited(
        WHOLE,
        "next-hop = \"10.0.1.2\"",
        "next-hop = \"10.0.1.2\"\n[[routing-domain.subnet]]\nvsid = 5003\nprefixes = [\"10.0.9.0/24\"]",
    );
    let swapped = edited(
        &text,
        "prefixes = [\"10.0.9.0/24\"]",
        "prefixes = [\"10.0.2.0/24\"]",
    );
    let swapped = edited(
        &swapped,
        "prefixes = [\"10.0.1.0/24\"]",
        "prefixes = [\"10.0.1.0/24\", \"10.0.9.0/24\"]",
    );
    let on_link = |number, prefix: &str| CustomerRoute {
        vsid: vsid(number),
        prefix: prefix.parse().unwrap(),
        target: RouteTarget::OnLink,
        metric: 255,
    };
    let expected = [
        Change::RemoveCustomerRoute(on_link(5003, "10.0.9.0/24")),
        Change::AddCustomerRoute(on_link(5002, "10.0.9.0/24")),
        Change::AddCustomerRoute(on_link(5003, "10.0.2.0/24")),
    ];
    assert_eq!(difference_of("host-1", &text, &swapped), expected);
}

#[test]
fn a_subnet_in_another_routing_domain_is_built_again() {
    // VSID 8001 goes from orange to green.
    let subnet = "[[routing-domain.subnet]]\nvsid = 8001\nprefixes = [\"10.8.0.0/16\"]\n";
    let text = edited(WHOLE, subnet, "");
    let text = edited(
        &text,
        "method = \"rewrite\"\n",
        &format!("method = \"rewrite\"\n{subnet}"),
    );
    let changed = difference_of("host-3", WHOLE, &text);
    let built = Change::AddSubnet {
        vsid: vsid(8001),
        domain: DomainId(1),
    };
    assert!(changed.contains(&Change::RemoveSubnet(vsid(8001))));
    assert!(changed.contains(&built));
    let ports = changed
        .iter()
        .filter(|change| matches!(change, Change::AddPort(_)));
    assert_eq!(ports.count(), 3);
}

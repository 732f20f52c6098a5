//! What a host derives from the file.

use netvirt_core::address::UplinkId;
use netvirt_core::limit::RateLimit;
use netvirt_core::policy::{
    AddressState, Change, CustomerRoute, DscpPolicy, EcnPolicy, FlowIdPolicy, HostAddress,
    Location, LookupRecord, Method, MulticastGroup, Neighbour, Peering, Port, ProviderRoute,
    Reception, RecordKind, RouteTarget, RouterAdvertisements, Settings, Transaction,
};
use netvirt_core::{DomainId, HostId, MacAddress, PortId, ProviderGroup, VlanId, Vsid};
use netvirt_std::policy_file::{HostPolicy, PolicyFile, allocate};

use crate::{THREE_TENANTS, TWO_HOSTS, WHOLE, edited};

const ROUTER: MacAddress = MacAddress([0x02, 0x15, 0x5d, 0, 0, 1]);

fn derived(text: &str, host: &str) -> HostPolicy {
    PolicyFile::parse(text, "network.toml")
        .unwrap()
        .for_host(host)
        .unwrap()
}

fn vsid(number: u32) -> Vsid {
    Vsid::new(number).unwrap()
}

fn mac(text: &str) -> MacAddress {
    text.parse().unwrap()
}

/// Any address type from its text.
macro_rules! address {
    ($text:expr) => {
        std::net::IpAddr::try_into($text.parse().unwrap()).unwrap()
    };
}

/// The settings of a host, with these lines in the file.
fn settings(lines: &str) -> Settings {
    let text = edited(
        TWO_HOSTS,
        "[[physical-network]]",
        &format!("{lines}\n[[physical-network]]"),
    );
    let changes = derived(&text, "host-1").changes;
    let [Change::SetSettings(settings), ..] = changes[..] else {
        panic!("{changes:?}")
    };
    settings
}

#[test]
fn settings_are_as_the_field_has_them_unless_the_file_says_otherwise() {
    let usual = Settings::new(HostId(0), ROUTER);
    assert_eq!(settings(""), usual);
    assert_eq!(settings("[settings]"), usual);
    let limit = |per_second, burst| RateLimit { per_second, burst };
    let (rate, burst) = (usual.errors.per_second, usual.errors.burst);
    for (line, expected) in [
        (
            "ecn = \"compatible\"",
            Settings {
                ecn: EcnPolicy::Compatible,
                ..usual
            },
        ),
        (
            "errors = { per-second = 7, burst = 3 }",
            Settings {
                errors: limit(7, 3),
                ..usual
            },
        ),
        (
            "errors = { per-second = 7 }",
            Settings {
                errors: limit(7, burst),
                ..usual
            },
        ),
        (
            "errors = { burst = 3 }",
            Settings {
                errors: limit(rate, 3),
                ..usual
            },
        ),
        (
            "errors = { per-second = 0, burst = 0 }",
            Settings {
                errors: limit(0, 0),
                ..usual
            },
        ),
        (
            "unreachables = true",
            Settings {
                unreachables: true,
                ..usual
            },
        ),
        (
            "clamp-mss = true",
            Settings {
                clamp_mss: true,
                ..usual
            },
        ),
        (
            "storm = { per-second = 7, burst = 3 }",
            Settings {
                storm: limit(7, 3),
                ..usual
            },
        ),
        (
            "most-copies = 9",
            Settings {
                most_copies: 9,
                ..usual
            },
        ),
        (
            "router-advertisements = \"autonomous\"",
            Settings {
                router_advertisements: RouterAdvertisements::Autonomous,
                ..usual
            },
        ),
        (
            "router-advertisements = \"off\"",
            Settings {
                router_advertisements: RouterAdvertisements::Off,
                ..usual
            },
        ),
    ] {
        assert_eq!(settings(&format!("[settings]\n{line}")), expected, "{line}");
    }
}

fn on_link(number: u32, prefix: &str) -> Change {
    Change::AddCustomerRoute(CustomerRoute {
        vsid: vsid(number),
        prefix: prefix.parse().unwrap(),
        target: RouteTarget::OnLink,
        metric: 255,
    })
}

fn record(number: u32, ca: &str, station: &str, location: Location) -> LookupRecord {
    LookupRecord {
        vsid: vsid(number),
        kind: RecordKind::Static(address!(ca)),
        mac: mac(station),
        location,
        previous: None,
        method: Method::Encapsulate,
    }
}

fn port(number: u32, subnet: u32, station: &str) -> Change {
    Change::AddPort(Port {
        port: PortId(number),
        vsid: Some(vsid(subnet)),
        mac: mac(station),
    })
}

fn own_address(pa: &str, length: u8, station: &str, vlan: Option<u16>) -> Change {
    Change::AddProviderAddress(HostAddress {
        address: address!(pa),
        prefix_length: length,
        uplink: UplinkId(0),
        mac: mac(station),
        vlan: vlan.map(|vlan| VlanId::new(vlan).unwrap()),
        mtu: 1600,
        state: AddressState::Preferred,
    })
}

fn records(policy: &HostPolicy) -> Vec<LookupRecord> {
    let only_records = |change: &Change| match change {
        Change::AddRecord(record) => Some(*record),
        _ => None,
    };
    policy.changes.iter().filter_map(only_records).collect()
}

fn host_names(policy: &HostPolicy) -> Vec<&str> {
    policy.hosts.iter().map(|info| &*info.name).collect()
}

const HERE_0: Location = Location::Port(PortId(0));
const HERE_1: Location = Location::Port(PortId(1));

#[test]
fn the_minimal_network_gives_each_host_four_records_and_two_routes() {
    let other = Location::Host(HostId(1));
    let expected = [
        Change::SetSettings(Settings::new(HostId(0), ROUTER)),
        Change::AddDomain(DomainId(0)),
        Change::AddDomain(DomainId(1)),
        Change::AddSubnet {
            vsid: vsid(5001),
            domain: DomainId(0),
        },
        Change::AddSubnet {
            vsid: vsid(6001),
            domain: DomainId(1),
        },
        on_link(5001, "10.0.0.0/24"),
        on_link(6001, "10.0.0.0/24"),
        Change::AddHost(HostId(1)),
        Change::AddHostAddress(HostId(1), address!("192.168.4.22")),
        own_address("192.168.4.11", 24, "02:00:00:00:00:0b", None),
        port(0, 5001, "06:06:00:00:00:05"),
        port(1, 6001, "08:08:00:00:00:05"),
        Change::AddRecord(record(5001, "10.0.0.5", "060600000005", HERE_0)),
        Change::AddRecord(record(5001, "10.0.0.7", "060600000007", other)),
        Change::AddRecord(record(6001, "10.0.0.5", "080800000005", HERE_1)),
        Change::AddRecord(record(6001, "10.0.0.7", "080800000007", other)),
    ];
    assert_eq!(derived(TWO_HOSTS, "host-1").changes, expected);

    let host_2 = derived(TWO_HOSTS, "host-2");
    assert_eq!(host_2.changes.len(), expected.len());
    assert_eq!(host_2.local_host, HostId(1));
    assert_eq!(host_names(&host_2), ["host-1", "host-2"]);
    let other = Location::Host(HostId(0));
    assert_eq!(
        records(&host_2),
        [
            record(5001, "10.0.0.5", "060600000005", other),
            record(5001, "10.0.0.7", "060600000007", HERE_0),
            record(6001, "10.0.0.5", "080800000005", other),
            record(6001, "10.0.0.7", "080800000007", HERE_1),
        ]
    );
}

#[test]
fn every_table_of_the_file_reaches_the_host() {
    let policy = derived(WHOLE, "host-1");
    let [blue, green, orange] = [0, 1, 2].map(DomainId);
    let [host_2, host_3] = [1, 2].map(HostId);
    let expected = [
        Change::SetSettings(Settings {
            flow_id: FlowIdPolicy::PerFlow { seed: 0x5eed },
            outer_ttl: 64,
            dscp: DscpPolicy::Pipe(46),
            reception: Reception::Tolerant,
            ..Settings::new(HostId(0), ROUTER)
        }),
        Change::AddDomain(blue),
        Change::AddDomain(green),
        Change::AddDomain(orange),
        Change::AddSubnet {
            vsid: vsid(5001),
            domain: blue,
        },
        Change::AddSubnet {
            vsid: vsid(5002),
            domain: blue,
        },
        Change::AddSubnet {
            vsid: vsid(7001),
            domain: green,
        },
        Change::AddSubnet {
            vsid: vsid(8001),
            domain: orange,
        },
        on_link(5001, "10.0.0.0/24"),
        on_link(5001, "fd00:5001::/64"),
        on_link(5002, "10.0.1.0/24"),
        on_link(7001, "10.0.0.0/24"),
        on_link(7001, "fd00:7001::/64"),
        on_link(8001, "10.8.0.0/16"),
        Change::AddHost(host_2),
        Change::AddHostAddress(host_2, address!("192.168.4.22")),
        Change::AddHostAddress(host_2, address!("2001:db8:4::22")),
        Change::AddHost(host_3),
        Change::AddHostAddress(host_3, address!("192.168.5.33")),
        own_address("192.168.4.11", 24, "02:00:00:00:00:0b", Some(100)),
        own_address("2001:db8:4::11", 64, "02:00:00:00:00:0b", None),
        Change::AddProviderRoute(ProviderRoute {
            prefix: "192.168.5.0/24".parse().unwrap(),
            next_hop: address!("192.168.4.1"),
            metric: 255,
        }),
        Change::SetNeighbour(Neighbour {
            uplink: UplinkId(0),
            address: address!("192.168.4.22"),
            mac: mac("02:00:00:00:00:16"),
        }),
        port(0, 5001, "06:06:00:00:00:05"),
        port(1, 7001, "0a:0a:00:00:00:05"),
        Change::AddRecord(record(5001, "10.0.0.5", "060600000005", HERE_0)),
        Change::AddRecord(record(5001, "fd00:5001::5", "060600000005", HERE_0)),
        Change::AddRecord(record(
            5001,
            "10.0.0.7",
            "060600000007",
            Location::Host(host_2),
        )),
        Change::AddRecord(record(
            5002,
            "10.0.1.2",
            "060600000102",
            Location::Host(host_2),
        )),
        Change::AddRecord(LookupRecord {
            kind: RecordKind::GatewayWildcard,
            ..record(5002, "10.0.1.2", "060600000102", Location::Host(host_2))
        }),
        Change::AddRecord(LookupRecord {
            method: Method::Rewrite {
                provider_address: address!("192.168.4.105"),
                use_vm_mac: true,
            },
            ..record(7001, "10.0.0.5", "0a0a00000005", HERE_1)
        }),
        Change::AddRecord(LookupRecord {
            method: Method::Rewrite {
                provider_address: address!("2001:db8:4::105"),
                use_vm_mac: true,
            },
            ..record(7001, "fd00:7001::5", "0a0a00000005", HERE_1)
        }),
        Change::AddRecord(LookupRecord {
            previous: Some(host_3),
            method: Method::Rewrite {
                provider_address: address!("192.168.4.207"),
                use_vm_mac: false,
            },
            ..record(7001, "10.0.0.7", "0a0a00000007", Location::Host(host_2))
        }),
        Change::AddRecord(record(
            8001,
            "10.8.0.5",
            "0c0c00000005",
            Location::Host(host_3),
        )),
        Change::AddRecord(record(
            8001,
            "10.8.0.6",
            "0c0c00000006",
            Location::Host(host_3),
        )),
        Change::AddRecord(record(
            8001,
            "10.8.0.7",
            "0c0c00000007",
            Location::Host(host_3),
        )),
        Change::AddCustomerRoute(CustomerRoute {
            vsid: vsid(5002),
            prefix: "0.0.0.0/0".parse().unwrap(),
            target: RouteTarget::Via(address!("10.0.1.2")),
            metric: 255,
        }),
        Change::AddPeering(Peering {
            from: blue,
            to: orange,
        }),
        Change::AddPeering(Peering {
            from: orange,
            to: blue,
        }),
    ];
    assert_eq!(policy.changes, expected);
}

#[test]
fn a_host_knows_its_peers_and_the_machines_that_left_but_nothing_else() {
    // host-3 runs orange, which is peered with blue; a machine of green has just left it.
    let policy = derived(WHOLE, "host-3");
    let names: Vec<&str> = policy
        .domains
        .iter()
        .map(|domain| domain.name.as_str())
        .collect();
    assert_eq!(names, ["blue", "green", "orange"]);
    let moved = records(&policy)
        .into_iter()
        .find(|r| r.previous.is_some())
        .unwrap();
    assert_eq!(moved.previous, Some(policy.local_host));

    let alone = edited(WHOLE, "migrating-from = \"host-3\"\n", "");
    let alone = &alone[..alone.find("[[peering]]").unwrap()];
    let policy = derived(alone, "host-3");
    assert_eq!(policy.domains[0].name, "orange");
    assert_eq!(policy.domains.len(), 1);
    assert_eq!(host_names(&policy), ["host-3"]);
    assert_eq!(
        records(&policy),
        [record(8001, "10.8.0.5", "0c0c00000005", HERE_0)]
    );
}

#[test]
fn in_transition_the_provider_addresses_stay() {
    let text = edited(
        THREE_TENANTS,
        "method = \"rewrite\"",
        "method = \"transition\"",
    );
    let policy = derived(&text, "host-1");
    let methods = records(&policy)
        .into_iter()
        .filter(|record| record.vsid == vsid(7001));
    let expected =
        ["192.168.4.100", "192.168.4.101", "192.168.4.102"].map(|pa| Method::Transition {
            provider_address: address!(pa),
            use_vm_mac: false,
        });
    assert!(methods.map(|record| record.method).eq(expected));
    // It may be rewrite next time, so addresses are still given.
    let text = edited(&text, "provider-addresses = [\"192.168.4.101\"]\n", "");
    let (_, assigned) = allocate(&text, "network.toml").unwrap();
    assert_eq!(assigned.len(), 1);
    // The room for NVGRE is needed already.
    let text = edited(&text, "mtu = 1600", "mtu = 1500");
    let (text, _) = allocate(&text, "network.toml").unwrap();
    assert_eq!(derived(&text, "host-1").port("green-1").unwrap().mtu, 1458);
}

#[test]
fn names_stand_beside_the_numbers() {
    let policy = derived(WHOLE, "host-1");
    assert_eq!(policy.host_name(HostId(2)), Some("host-3"));
    assert_eq!(policy.host_name(HostId(3)), None);
    assert_eq!(policy.domain_name(DomainId(1)), Some("green"));
    let id = policy.domains[0].id.as_deref();
    assert_eq!(id, Some("{11111111-2222-3333-4444-000000005001}"));
    assert_eq!(policy.subnets[0].name.as_deref(), Some("blue-web"));
    let port = policy.port("blue-1").unwrap();
    assert_eq!(port.port, PortId(0));
    assert_eq!(port.interface.as_deref(), Some("tap-blue-1"));
    assert!(policy.port("blue-2").is_none());
    assert_eq!(policy.machines[1].name, "blue-2");
    assert_eq!(policy.machines[1].location, Location::Host(HostId(1)));
}

#[test]
fn the_encoding_is_that_of_the_changes() {
    for (text, host) in [
        (TWO_HOSTS, "host-2"),
        (THREE_TENANTS, "host-1"),
        (WHOLE, "host-1"),
    ] {
        let policy = derived(text, host);
        let encoded = policy.encode();
        let decoded: Result<Vec<Change>, _> = Transaction::new(&encoded).changes().collect();
        assert_eq!(decoded, Ok(policy.changes));
    }
}

#[test]
fn a_host_that_is_not_in_the_file_is_named_with_those_that_are() {
    let file = PolicyFile::parse(TWO_HOSTS, "two-hosts.toml").unwrap();
    assert_eq!(
        file.for_host("hots-1").unwrap_err().to_string(),
        "the policy file has no host \"hots-1\": did you mean `host-1`?"
    );
    assert_eq!(
        file.for_host("x").unwrap_err().to_string(),
        "the policy file has no host \"x\": choose one of: host-1, host-2"
    );
}

#[test]
fn groups_reach_the_hosts_that_have_machines_in_their_subnet() {
    let subnet = "prefixes = [\"10.0.1.0/24\"]";
    let mapped = "multicast = [{ group = \"10.0.1.255\", provider = \"239.192.0.1\" }]";
    let text = edited(WHOLE, subnet, &format!("{subnet}\n{mapped}"));
    let groups = |host: &str| -> Vec<MulticastGroup> {
        let changes = derived(&text, host).changes.into_iter();
        let groups = changes.filter_map(|change| match change {
            Change::AddMulticastGroup(group) => Some(group),
            _ => None,
        });
        groups.collect()
    };
    let expected = MulticastGroup {
        vsid: vsid(5002),
        address: "10.0.1.255".parse().unwrap(),
        provider_group: ProviderGroup::new("239.192.0.1".parse().unwrap()).unwrap(),
    };
    assert_eq!(groups("host-2"), [expected]);
    // They know the subnet and are not in it.
    assert_eq!(groups("host-1"), []);
    assert_eq!(groups("host-3"), []);
}

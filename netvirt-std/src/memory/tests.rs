use std::net::IpAddr;

use netvirt_core::policy::{
    AddressState, CustomerRoute, LookupRecord, MAX_CHANGE_LENGTH, Method, MulticastGroup,
    Neighbour, Port, RecordKind, Settings, Transaction, TransactionWriter,
};
use netvirt_core::{CustomerAddress, MacAddress, Prefix, ProviderAddress, ProviderGroup, UplinkId};

use super::*;

const SEED: Seed = Seed::new(1, 2);

fn mac(number: u32) -> MacAddress {
    let [a, b, c, d] = number.to_be_bytes();
    MacAddress([2, 0, a, b, c, d])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn provider(text: &str) -> ProviderAddress {
    ProviderAddress::new(address(text)).unwrap()
}

fn subnet(number: u32) -> Vsid {
    Vsid::new(5000 + number).unwrap()
}

fn customer(subnet: u32, machine: u32) -> CustomerAddress {
    CustomerAddress::new([10, subnet as u8, 0, 2 + machine as u8].into()).unwrap()
}

fn apply(policies: &mut Policies<'_>, changes: &[Change]) -> Result<(), String> {
    let mut buffer = vec![0; changes.len() * MAX_CHANGE_LENGTH];
    let mut writer = TransactionWriter::new(&mut buffer);
    for change in changes {
        writer.push(change).unwrap();
    }
    let applied = policies.apply(Transaction::new(writer.finish()));
    applied.map_err(|refused| refused.to_string())
}

/// A network that uses every table: domains in pairs that are peered both ways, each with four subnets.
fn network(domains: u32, machines: u32) -> Vec<Change> {
    let mut changes = vec![Change::SetSettings(Settings::new(HostId(0), mac(1)))];
    changes.push(Change::AddProviderAddress(HostAddress {
        address: provider("192.168.0.1"),
        prefix_length: 24,
        uplink: UplinkId(0),
        mac: mac(2),
        vlan: None,
        mtu: 1600,
        state: AddressState::Preferred,
    }));
    let next_hop = provider("192.168.0.254");
    changes.push(Change::AddProviderRoute(ProviderRoute {
        prefix: "172.16.0.0/12".parse().unwrap(),
        next_hop,
        metric: 0,
    }));
    changes.push(Change::SetNeighbour(Neighbour {
        uplink: UplinkId(0),
        address: next_hop,
        mac: mac(3),
    }));
    changes.push(Change::AddHost(HostId(7)));
    for last in 1..=4 {
        let text = format!("172.16.0.{last}");
        changes.push(Change::AddHostAddress(HostId(7), provider(&text)));
    }
    for domain in 0..domains {
        changes.push(Change::AddDomain(DomainId(domain)));
    }
    for number in 0..4 * domains {
        add_subnet(&mut changes, number, machines);
    }
    for pair in 0..domains / 2 {
        let (from, to) = (DomainId(2 * pair), DomainId(2 * pair + 1));
        changes.push(Change::AddPeering(Peering { from, to }));
        changes.push(Change::AddPeering(Peering { from: to, to: from }));
    }
    changes
}

fn add_subnet(changes: &mut Vec<Change>, number: u32, machines: u32) {
    let vsid = subnet(number);
    let domain = DomainId(number / 4);
    changes.push(Change::AddSubnet { vsid, domain });
    let on_link = |prefix: &str| {
        let prefix: Prefix = prefix.parse().unwrap();
        Change::AddCustomerRoute(CustomerRoute {
            vsid,
            prefix,
            target: RouteTarget::OnLink,
            metric: 0,
        })
    };
    changes.push(on_link(&format!("10.{number}.0.0/24")));
    changes.push(on_link(&format!("2001:db8:{number}::/64")));
    changes.push(Change::AddMulticastGroup(MulticastGroup {
        vsid,
        address: [255, 255, 255, 255].into(),
        provider_group: ProviderGroup::new([239, 192, 0, number as u8].into()).unwrap(),
    }));
    let port = PortId(number);
    changes.push(Change::AddPort(Port {
        port,
        vsid: Some(vsid),
        mac: mac(100 + number),
    }));
    let record = |kind, method, location, mac| {
        Change::AddRecord(LookupRecord {
            vsid,
            kind,
            mac,
            location,
            previous: None,
            method,
        })
    };
    changes.push(record(
        RecordKind::GatewayWildcard,
        Method::Encapsulate,
        Location::Port(port),
        mac(100 + number),
    ));
    for machine in 0..machines {
        let provider_address = provider(&format!("172.17.{number}.{machine}"));
        let use_vm_mac = false;
        let method = match machine % 4 {
            1 => Method::Rewrite {
                provider_address,
                use_vm_mac,
            },
            3 => Method::Transition {
                provider_address,
                use_vm_mac,
            },
            _ => Method::Encapsulate,
        };
        changes.push(record(
            RecordKind::Static(customer(number, machine)),
            method,
            Location::Host(HostId(7)),
            mac(1000 * number + machine),
        ));
    }
}

#[test]
fn what_is_counted_takes_the_changes_it_was_counted_for() {
    for (domains, machines) in [(2, 0), (2, 1), (8, 100), (50, 10)] {
        let changes = network(domains, machines);
        let capacity = HostCapacity::for_changes(&changes);
        let mut policies = capacity.policies(SEED);
        assert_eq!(apply(&mut policies, &changes), Ok(()), "{capacity:?}");
    }
}

#[test]
fn without_headroom_it_still_fits_and_with_less_it_does_not() {
    let changes = network(50, 10);
    let count = || {
        let mut count = Count::default();
        changes.iter().for_each(|change| count.add(change));
        count.finish()
    };
    assert_eq!(apply(&mut count().policies(SEED), &changes), Ok(()));
    type Field = fn(&mut HostCapacity) -> &mut usize;
    let slabs: [(Field, &str); 6] = [
        (|capacity| &mut capacity.domains, "routing domains"),
        (|capacity| &mut capacity.customer_routes, "customer routes"),
        (|capacity| &mut capacity.peerings, "peerings"),
        (|capacity| &mut capacity.hosts, "hosts"),
        (|capacity| &mut capacity.ports, "ports"),
        (|capacity| &mut capacity.provider_routes, "provider routes"),
    ];
    for (field, table) in slabs {
        let mut less = count();
        *field(&mut less) -= 1;
        let refused = apply(&mut less.policies(SEED), &changes).unwrap_err();
        assert!(refused.contains(&format!("table of {table}:")), "{refused}");
    }
}

#[test]
fn headroom_takes_what_comes_later() {
    let changes = network(4, 10);
    let mut policies = HostCapacity::for_changes(&changes).policies(SEED);
    apply(&mut policies, &changes).unwrap();
    let later = [
        Change::AddHost(HostId(8)),
        Change::AddHostAddress(HostId(8), provider("172.16.0.8")),
        Change::AddRecord(LookupRecord {
            vsid: subnet(0),
            kind: RecordKind::Static(customer(0, 200)),
            mac: mac(9999),
            location: Location::Host(HostId(8)),
            previous: None,
            method: Method::Encapsulate,
        }),
    ];
    assert_eq!(apply(&mut policies, &later), Ok(()));
}

#[test]
fn bytes_of_tables_are_those_of_their_storage() {
    let capacity = HostCapacity::for_changes(&network(6, 30));
    let PolicyStorage {
        record_tags,
        records,
        rewrite_tags,
        rewrite_numbers,
        subnet_tags,
        subnet_numbers,
        subnets,
        domains,
        routes,
        ipv4_intervals,
        ipv6_intervals,
        peerings,
        hosts,
        path_tags,
        path_numbers,
        paths,
        templates,
        ports,
        provider_addresses,
        provider_routes,
        neighbour_tags,
        neighbours,
        member_tags,
        members,
        group_tags,
        groups,
        group_path_tags,
        group_paths,
    } = &capacity.storage();
    let expected = [
        size_of_val(&**record_tags) + size_of_val(&**records),
        size_of_val(&**rewrite_tags) + size_of_val(&**rewrite_numbers),
        size_of_val(&**subnet_tags) + size_of_val(&**subnet_numbers) + size_of_val(&**subnets),
        size_of_val(&**domains),
        size_of_val(&**routes),
        size_of_val(&**ipv4_intervals) + size_of_val(&**ipv6_intervals),
        size_of_val(&**peerings),
        size_of_val(&**hosts),
        size_of_val(&**path_tags)
            + size_of_val(&**path_numbers)
            + size_of_val(&**paths)
            + size_of_val(&**templates),
        size_of_val(&**ports),
        size_of_val(&**provider_addresses),
        size_of_val(&**provider_routes),
        size_of_val(&**neighbour_tags) + size_of_val(&**neighbours),
        size_of_val(&**member_tags) + size_of_val(&**members),
        size_of_val(&**group_tags)
            + size_of_val(&**groups)
            + size_of_val(&**group_path_tags)
            + size_of_val(&**group_paths),
    ];
    let bytes: Vec<_> = capacity
        .bytes_of_tables()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(bytes, expected);
}

#[test]
fn a_million_records_take_what_was_planned() {
    let capacity = HostCapacity::for_records(1_000_000);
    let (table, bytes) = capacity.bytes_of_tables()[0];
    assert_eq!(table, "lookup records");
    let per_record = bytes as f64 / capacity.records as f64;
    assert!(per_record <= 80.0, "{per_record} bytes a record");
}

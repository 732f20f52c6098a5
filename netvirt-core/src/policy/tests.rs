//! What packets find in the tables after a transaction.

use std::collections::BTreeMap;
use std::format;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::address::{AddressBits, DomainId, Family, HostId, MacAddress, PortId, UplinkId, VlanId};
use crate::edit::Template;
use crate::table::Key;

mod paths;
#[path = "../../tests/support/policies.rs"]
mod support;
use support::*;

const GREEN: DomainId = DomainId(2);
const HOST_3: HostId = HostId(3);

fn bits(text: &str) -> (Family, AddressBits) {
    let address = text.parse().unwrap();
    (Family::of(address), AddressBits::from_ip(address))
}

/// The VSID and kind of the route that a domain has to an address.
fn destination(
    policies: &Policies<'_>,
    domain: DomainId,
    address: &str,
) -> Option<(u32, RouteKind)> {
    let policy = policies.live();
    let (family, address) = bits(address);
    let route = policy.route_to(policy.domain(domain.0)?, family, address)?;
    Some((policy.subnet(route.subnet)?.vsid, route.kind))
}

/// The VSID from which a domain may hear an address.
fn source(policies: &Policies<'_>, domain: DomainId, address: &str) -> Option<u32> {
    let policy = policies.live();
    let (family, address) = bits(address);
    let route = policy.source_route(policy.domain(domain.0)?, family, address)?;
    Some(policy.subnet(route.subnet)?.vsid)
}

fn change(policies: &mut Policies<'_>, changes: &[Change]) {
    apply(policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
}

fn green() -> Vec<Change> {
    vec![
        Change::AddDomain(GREEN),
        Change::AddSubnet {
            vsid: vsid(7001),
            domain: GREEN,
        },
        Change::AddCustomerRoute(on_link(7001, "10.7.0.0/24")),
    ]
}

#[test]
fn a_subnet_is_on_link_for_its_own_domain_alone() {
    let policies = policies_of(&two_hosts());
    assert_eq!(
        destination(&policies, BLUE, "10.0.0.7"),
        Some((5001, RouteKind::OnLink))
    );
    assert_eq!(
        destination(&policies, RED, "10.0.0.7"),
        Some((6001, RouteKind::OnLink))
    );
    assert_eq!(destination(&policies, BLUE, "10.0.1.0"), None);
    assert_eq!(source(&policies, RED, "10.0.0.7"), Some(6001));
}

#[test]
fn a_peering_opens_one_direction() {
    let mut policies = policies_of(&[two_hosts(), green()].concat());
    let peering = Peering {
        from: BLUE,
        to: GREEN,
    };
    let reach = |policies: &Policies<'_>| {
        (
            destination(policies, BLUE, "10.7.0.9"),
            destination(policies, GREEN, "10.0.0.7"),
            source(policies, BLUE, "10.7.0.9"),
            source(policies, GREEN, "10.0.0.7"),
        )
    };
    assert_eq!(reach(&policies), (None, None, None, None));
    change(&mut policies, &[Change::AddPeering(peering)]);
    let to_green = Some((7001, RouteKind::PeerDestination));
    assert_eq!(reach(&policies), (to_green, None, None, Some(5001)));
    change(&mut policies, &[Change::RemovePeering(peering)]);
    assert_eq!(reach(&policies), (None, None, None, None));
}

#[test]
fn peers_follow_each_others_subnets() {
    let mut policies = policies_of(&[two_hosts(), green()].concat());
    change(
        &mut policies,
        &[Change::AddPeering(Peering {
            from: BLUE,
            to: GREEN,
        })],
    );
    let more = on_link(7001, "10.7.1.0/24");
    change(&mut policies, &[Change::AddCustomerRoute(more)]);
    assert!(destination(&policies, BLUE, "10.7.1.9").is_some());
    change(&mut policies, &[Change::RemoveCustomerRoute(more)]);
    assert_eq!(destination(&policies, BLUE, "10.7.1.9"), None);
    assert!(destination(&policies, BLUE, "10.7.0.9").is_some());
    change(
        &mut policies,
        &[Change::AddCustomerRoute(via(
            7001,
            "10.9.0.0/16",
            "10.7.0.9",
        ))],
    );
    assert_eq!(
        destination(&policies, BLUE, "10.9.0.1"),
        None,
        "what lies behind a peer's machines is not shared"
    );
    change(
        &mut policies,
        &[Change::AddCustomerRoute(on_link(5001, "10.0.9.0/24"))],
    );
    assert_eq!(source(&policies, GREEN, "10.0.9.7"), Some(5001));
}

#[test]
fn spec_2_3_metric_the_longest_prefix_and_then_the_lowest_wins() {
    let mut policies = policies_of(&two_hosts());
    let with_metric = |route: CustomerRoute, metric| CustomerRoute { metric, ..route };
    let dear = with_metric(via(5001, "10.0.0.0/8", "10.0.0.5"), 9);
    let cheap = with_metric(via(5001, "10.0.0.0/8", "10.0.0.7"), 2);
    let next_hop = |policies: &Policies<'_>, address: &str| {
        let policy = policies.live();
        let (family, address) = bits(address);
        let route = policy.route_to(policy.domain(BLUE.0)?, family, address)?;
        Some(route.target())
    };
    let through = |address| Some(RouteTarget::Via(ca(address)));
    change(
        &mut policies,
        &[
            Change::AddCustomerRoute(dear),
            Change::AddCustomerRoute(cheap),
        ],
    );
    assert_eq!(next_hop(&policies, "10.9.0.1"), through("10.0.0.7"));
    assert_eq!(next_hop(&policies, "10.0.0.9"), Some(RouteTarget::OnLink));
    let cheapest = Change::SetCustomerRoute(with_metric(dear, 1));
    change(&mut policies, &[cheapest]);
    assert_eq!(next_hop(&policies, "10.9.0.1"), through("10.0.0.5"));
    change(&mut policies, &[Change::RemoveCustomerRoute(dear)]);
    assert_eq!(next_hop(&policies, "10.9.0.1"), through("10.0.0.7"));
}

#[test]
fn a_next_hop_is_looked_for_in_the_subnets_of_its_domain() {
    let mut policies = policies_of(&two_hosts());
    let via_vsid = |policies: &Policies<'_>| {
        let policy = policies.live();
        let (family, address) = bits("10.9.0.1");
        let route = policy.route_to(policy.domain(BLUE.0).unwrap(), family, address);
        let number = route.unwrap().via_subnet.checked_sub(1)?;
        Some(policy.subnet(number)?.vsid)
    };
    let default = Change::AddCustomerRoute(via(5001, "0.0.0.0/0", "10.5.0.9"));
    let edge = Change::AddSubnet {
        vsid: vsid(5009),
        domain: BLUE,
    };
    let edge_prefix = on_link(5009, "10.5.0.0/24");
    change(&mut policies, &[default]);
    assert_eq!(via_vsid(&policies), None);
    change(
        &mut policies,
        &[edge, Change::AddCustomerRoute(edge_prefix)],
    );
    assert_eq!(via_vsid(&policies), Some(5009));
    change(&mut policies, &[Change::RemoveCustomerRoute(edge_prefix)]);
    assert_eq!(via_vsid(&policies), None);
}

#[test]
fn a_subnet_knows_its_first_prefix_of_each_family() {
    let mut policies = policies_of(&two_hosts());
    let holds = |policies: &Policies<'_>, address: &str| {
        let policy = policies.live();
        let subnet = policy
            .subnet(policy.subnet_of(vsid(5001)).unwrap())
            .unwrap();
        let (family, address) = bits(address);
        (subnet.holds(family, address), subnet.first_prefix(family))
    };
    let first = Some(prefix("10.0.0.0/24"));
    assert_eq!(holds(&policies, "10.0.0.255"), (true, first));
    assert_eq!(holds(&policies, "10.0.1.0"), (false, first));
    assert_eq!(holds(&policies, "::"), (false, None));
    assert_eq!(holds(&policies, "ffff::"), (false, None));
    change(
        &mut policies,
        &[
            Change::AddCustomerRoute(on_link(5001, "9.0.0.0/8")),
            Change::AddCustomerRoute(on_link(5001, "::/0")),
        ],
    );
    let lower = Some(prefix("9.0.0.0/8"));
    assert_eq!(holds(&policies, "9.255.0.0"), (true, lower));
    assert_eq!(holds(&policies, "10.0.0.255"), (false, lower));
    assert_eq!(holds(&policies, "ffff::"), (true, Some(prefix("::/0"))));
    change(
        &mut policies,
        &[
            Change::RemoveCustomerRoute(on_link(5001, "9.0.0.0/8")),
            Change::RemoveCustomerRoute(on_link(5001, "10.0.0.0/24")),
        ],
    );
    for address in ["0.0.0.0", "10.0.0.7", "255.255.255.255"] {
        assert_eq!(holds(&policies, address), (false, None), "{address}");
    }
}

#[test]
fn nothing_is_left_of_domains_that_go() {
    let before = policies_of(&two_hosts());
    let mut policies = policies_of(&two_hosts());
    let usage = |policies: &Policies<'_>| {
        let policy = policies.live();
        (
            policy.routes.iter().count(),
            policy.ipv4_routes.used(),
            policy.ipv6_routes.used(),
        )
    };
    let peering = Peering {
        from: BLUE,
        to: GREEN,
    };
    let mut up = green();
    up.push(Change::AddCustomerRoute(on_link(7001, "fd00:7::/64")));
    up.push(Change::AddPeering(peering));
    let mut down = [
        Change::RemovePeering(peering),
        Change::RemoveCustomerRoute(on_link(7001, "10.7.0.0/24")),
        Change::RemoveCustomerRoute(on_link(7001, "fd00:7::/64")),
        Change::RemoveSubnet(vsid(7001)),
        Change::RemoveDomain(GREEN),
    ];
    for order in 0..3 {
        change(&mut policies, &up);
        assert_ne!(usage(&policies), usage(&before));
        change(&mut policies, &down);
        assert_eq!(usage(&policies), usage(&before), "order {order}");
        down[..3].rotate_left(1);
    }
}

#[test]
fn a_local_rewritten_record_knows_the_own_address_of_its_network() {
    let local = rewritten(
        record(5001, "10.0.0.9", "060600000005", Location::Port(BLUE_PORT)),
        "192.168.5.9",
    );
    let mut policies = policies_of(&two_hosts());
    change(&mut policies, &[Change::AddRecord(local)]);
    let provider = |policies: &Policies<'_>| {
        let policy = policies.live();
        let (family, address) = bits("192.168.5.9");
        let record = policy.rewrite_record(family, address)?;
        assert_eq!(record.to_lookup_record(), Some(local));
        Some(policy.provider_of(record)?.address)
    };
    assert_eq!(provider(&policies), None);
    let own = own_address("192.168.5.11", 24);
    change(&mut policies, &[Change::AddProviderAddress(own)]);
    assert_eq!(provider(&policies), Some(own.address));
    change(&mut policies, &[Change::RemoveProviderAddress(own.address)]);
    assert_eq!(provider(&policies), None);
}

#[test]
fn the_gateways_of_a_domain_are_those_with_a_wildcard_record() {
    let mut policies = policies_of(&two_hosts());
    let gateway = |number: u8| LookupRecord {
        kind: RecordKind::GatewayWildcard,
        mac: MacAddress([2, 0, 0, 0, 7, number]),
        ..record(5001, "10.0.0.9", "020000000000", Location::Host(HOST_2))
    };
    let gateways = |policies: &Policies<'_>, domain: DomainId| {
        let policy = policies.live();
        let mut machines: Vec<_> = policy
            .gateways(policy.domain(domain.0).unwrap())
            .map(|record| record.mac.0[5])
            .collect();
        machines.sort_unstable();
        machines
    };
    for number in 1..=4 {
        change(&mut policies, &[Change::AddRecord(gateway(number))]);
    }
    assert_eq!(gateways(&policies, BLUE), [1, 2, 3, 4]);
    assert_eq!(gateways(&policies, RED), []);
    // The last, the first, one between, and one that stays what it is; all others stand by.
    let plain = LookupRecord {
        kind: RecordKind::L2Only,
        ..gateway(1)
    };
    change(&mut policies, &[Change::SetRecord(plain)]);
    assert_eq!(gateways(&policies, BLUE), [2, 3, 4]);
    change(&mut policies, &[Change::RemoveRecord(gateway(4).name())]);
    assert_eq!(gateways(&policies, BLUE), [2, 3]);
    change(&mut policies, &[Change::AddRecord(gateway(5))]);
    change(&mut policies, &[Change::RemoveRecord(gateway(3).name())]);
    change(&mut policies, &[Change::SetRecord(gateway(2))]);
    assert_eq!(gateways(&policies, BLUE), [2, 5]);
    let moved = [
        Change::AddPort(Port {
            port: PortId(7),
            vsid: Some(vsid(5001)),
            mac: gateway(2).mac,
        }),
        Change::MoveRecord(gateway(2).name(), Location::Port(PortId(7))),
    ];
    change(&mut policies, &moved);
    assert_eq!(gateways(&policies, BLUE), [2, 5]);
    assert!(policies.live().port(PortId(7)).unwrap().gateway);
    change(&mut policies, &[Change::RemoveRecord(gateway(2).name())]);
    assert!(!policies.live().port(PortId(7)).unwrap().gateway);
    assert_eq!(gateways(&policies, BLUE), [5]);
}

#[test]
fn packets_find_records_and_their_rewrite_by_either_address() {
    let mut policies = policies_of(&two_hosts());
    let name = |number: u8| format!("10.0.0.{number}");
    let machine = |number: u8| {
        let location = Location::Host(HOST_2);
        let record = record(5001, &name(number), "060600000099", location);
        rewritten(record, &format!("192.168.5.{number}"))
    };
    let all: Vec<_> = (10..250).map(|n| Change::AddRecord(machine(n))).collect();
    change(&mut policies, &all);
    for number in 10..250 {
        let policy = policies.live();
        let key = Key::ip(vsid(5001), name(number).parse().unwrap());
        let record = policy.records().get(&key).unwrap();
        assert_eq!(record.to_lookup_record(), Some(machine(number)));
        let (family, provider) = bits(&format!("192.168.5.{number}"));
        assert_eq!(policy.rewrite_record(family, provider), Some(record));
    }
}

#[test]
fn a_domain_that_was_not_touched_keeps_its_routes_when_others_move_in_the_pool() {
    let mut policies = policies_of(&two_hosts());
    for third in (2..40).step_by(2) {
        let route = on_link(5001, &format!("10.0.{third}.0/24"));
        change(&mut policies, &[Change::AddCustomerRoute(route)]);
        assert_eq!(
            destination(&policies, RED, "10.0.0.7"),
            Some((6001, RouteKind::OnLink))
        );
        assert_eq!(source(&policies, RED, "10.0.0.7"), Some(6001));
        assert_eq!(
            destination(&policies, BLUE, &format!("10.0.{third}.7")),
            Some((5001, RouteKind::OnLink))
        );
    }
}

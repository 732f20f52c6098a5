//! Customer routes.

use netvirt_core::policy::*;

use crate::support::*;
use crate::{accept, refusal_of_whole, refuse};

#[test]
fn spec_2_3_family_prefix_and_next_hop_are_of_one() {
    let next_hop = "2001:db8::7";
    assert_eq!(
        refuse(&[Change::AddCustomerRoute(via(5001, "0.0.0.0/0", next_hop))]),
        Refusal::NextHopFamily(prefix("0.0.0.0/0"), next_hop.parse().unwrap())
    );
    assert_eq!(
        refuse(&[Change::AddCustomerRoute(via(5001, "::/0", "10.0.0.7"))]),
        Refusal::NextHopFamily(prefix("::/0"), "10.0.0.7".parse().unwrap())
    );
}

#[test]
fn spec_2_3_next_hop_without_record_is_accepted_until_there_is_one() {
    let default = via(5001, "0.0.0.0/0", "10.77.0.1");
    let policies = accept(&[Change::AddCustomerRoute(default)]);
    assert!(
        policies
            .live()
            .customer_routes()
            .any(|route| route == default)
    );
}

#[test]
fn off_link_routes_may_overlap_everything() {
    accept(&[
        Change::AddCustomerRoute(via(5001, "10.0.0.0/8", "10.0.0.7")),
        Change::AddCustomerRoute(via(5001, "10.0.0.0/24", "10.0.0.7")),
        Change::AddCustomerRoute(via(5001, "10.0.0.128/25", "10.0.0.7")),
        Change::AddCustomerRoute(via(5001, "10.0.0.128/25", "10.0.0.5")),
    ]);
}

#[test]
fn spec_2_3_metric_a_route_is_known_by_everything_but_it() {
    let cheap = CustomerRoute {
        metric: 1,
        ..via(5001, "0.0.0.0/0", "10.0.0.7")
    };
    let dear = CustomerRoute { metric: 9, ..cheap };
    let add = Change::AddCustomerRoute(cheap);
    let default = |policies: &mut Policies<'_>| {
        let routes = Dump::of_both(policies).customer_routes;
        let default = routes.into_iter().filter(|route| route.vsid == vsid(5001));
        default.collect::<Vec<_>>()
    };
    let subnet = on_link(5001, "10.0.0.0/24");
    accept(&[add, add]);
    assert_eq!(
        refuse(&[add, Change::AddCustomerRoute(dear)]),
        Refusal::Exists(Missing::CustomerRoute(vsid(5001), prefix("0.0.0.0/0")))
    );
    let mut policies = accept(&[add, Change::SetCustomerRoute(dear)]);
    assert_eq!(default(&mut policies), [dear, subnet]);
    apply(&mut policies, &[Change::RemoveCustomerRoute(cheap)]).unwrap();
    assert_eq!(default(&mut policies), [subnet]);
}

#[test]
fn an_on_link_route_keeps_its_records_when_its_metric_changes() {
    let cheap = CustomerRoute {
        metric: 1,
        ..on_link(5001, "10.0.0.0/24")
    };
    let mut policies = accept(&[Change::SetCustomerRoute(cheap)]);
    let dump = Dump::of_both(&mut policies);
    assert_eq!(dump.customer_routes[0], cheap);
    assert_eq!(dump.lookup_records.len(), 4);
}

#[test]
fn records_outlive_their_prefix_and_can_still_move() {
    let blue2 = RecordName::Address(vsid(5001), ca("10.0.0.7"));
    let policies = accept(&[
        Change::RemoveCustomerRoute(on_link(5001, "10.0.0.0/24")),
        Change::AddPort(port(2, 5001, "060600000007")),
        Change::MoveRecord(blue2, Location::Port(netvirt_core::PortId(2))),
        Change::RetireMigration(blue2),
    ]);
    assert_eq!(policies.live().lookup_records().count(), 4);
    assert_eq!(
        refuse(&[
            Change::RemoveCustomerRoute(on_link(5001, "10.0.0.0/24")),
            Change::AddRecord(record(
                5001,
                "10.0.0.9",
                "060600000009",
                Location::Host(HOST_2)
            )),
        ]),
        Refusal::OutsideSubnet(RecordName::Address(vsid(5001), ca("10.0.0.9"))),
        "but none is added"
    );
}

#[test]
fn a_prefix_does_not_reserve_the_address_of_a_record() {
    let remove = Change::RemoveCustomerRoute(on_link(5001, "10.0.0.0/24"));
    let blue1 = RecordName::Address(vsid(5001), ca("10.0.0.5"));
    let blue2 = RecordName::Address(vsid(5001), ca("10.0.0.7"));
    for (narrow, reserved, why) in [
        ("10.0.0.4/30", blue1, "gateway"),
        ("10.0.0.0/29", blue2, "broadcast"),
        ("10.0.0.5/32", blue1, ""),
    ] {
        let add = Change::AddCustomerRoute(on_link(5001, narrow));
        if why.is_empty() {
            accept(&[remove, add]);
        } else {
            assert_eq!(
                refuse(&[remove, add]),
                Refusal::ReservedAddress(reserved, prefix(narrow)),
                "{why}"
            );
        }
    }
}

#[test]
fn spec_2_ipv6_mtu_1280_bytes_are_needed_inside_the_tunnel() {
    let ipv6 = Change::AddCustomerRoute(on_link(5001, "2001:db8:1::/64"));
    // 1280 behind outer IPv4 (20), GRE with key (8) and inner Ethernet (14).
    let narrow = |mtu| {
        Change::SetProviderAddress(HostAddress {
            mtu,
            ..own_address("192.168.4.11", 24)
        })
    };
    accept(&[ipv6, narrow(1322)]);
    let too_small = |address, mtu, least| Refusal::MtuTooSmall {
        address: pa(address),
        mtu,
        least,
    };
    for changes in [[ipv6, narrow(1321)], [narrow(1321), ipv6]] {
        assert_eq!(
            refusal_of_whole(&mut policies_of(&two_hosts()), &changes),
            too_small("192.168.4.11", 1321, 1322)
        );
    }
    let outer_ipv6 = |mtu| {
        Change::AddProviderAddress(HostAddress {
            mtu,
            ..own_address("2001:db8:f::11", 64)
        })
    };
    accept(&[ipv6, outer_ipv6(1342)]);
    assert_eq!(
        refusal_of_whole(&mut policies_of(&two_hosts()), &[outer_ipv6(1341), ipv6]),
        too_small("2001:db8:f::11", 1341, 1342)
    );
    accept(&[narrow(576)]);
    accept(&[
        narrow(576),
        Change::AddCustomerRoute(via(5001, "::/0", "2001:db8:1::7")),
    ]);
}

//! The provider network: hosts, own addresses, routes, neighbours.

use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::*;
use crate::{accept, refuse};

const HOST_3: HostId = HostId(3);

fn route(destination: &str, next_hop: &str, metric: u32) -> ProviderRoute {
    ProviderRoute {
        prefix: prefix(destination),
        next_hop: pa(next_hop),
        metric,
    }
}

#[test]
fn what_is_not_there_cannot_be_changed() {
    let address = pa("192.168.4.99");
    let cases = [
        (Change::RemoveHost(HOST_3), Missing::Host(HOST_3)),
        (
            Change::AddHostAddress(HOST_3, address),
            Missing::Host(HOST_3),
        ),
        (
            Change::RemoveHostAddress(HOST_3, address),
            Missing::Host(HOST_3),
        ),
        (
            Change::RemoveHostAddress(HOST_2, address),
            Missing::HostAddress(HOST_2, address),
        ),
        (
            Change::RemoveHostAddress(HOST_2, pa("192.168.4.11")),
            Missing::HostAddress(HOST_2, pa("192.168.4.11")),
        ),
        (
            Change::SetProviderAddress(own_address("192.168.4.99", 24)),
            Missing::ProviderAddress(address),
        ),
        (
            Change::RemoveProviderAddress(address),
            Missing::ProviderAddress(address),
        ),
        (
            Change::SetProviderRoute(route("10.0.0.0/8", "192.168.4.1", 1)),
            Missing::ProviderRoute(prefix("10.0.0.0/8")),
        ),
        (
            Change::RemoveProviderRoute(route("10.0.0.0/8", "192.168.4.1", 1)),
            Missing::ProviderRoute(prefix("10.0.0.0/8")),
        ),
        (
            Change::RemoveNeighbour {
                uplink: UplinkId(0),
                address,
            },
            Missing::Neighbour(address),
        ),
        (
            Change::RemoveNeighbour {
                uplink: UplinkId(1),
                address: pa("192.168.4.22"),
            },
            Missing::Neighbour(pa("192.168.4.22")),
        ),
        (path_mtu("192.168.4.99", 1400), Missing::Path(address)),
        (
            path_mtu("192.168.4.11", 1400),
            Missing::Path(pa("192.168.4.11")),
        ),
        (Change::RemovePathMtu { address }, Missing::PathMtu(address)),
        (
            Change::RemovePathMtu {
                address: pa("192.168.4.22"),
            },
            Missing::PathMtu(pa("192.168.4.22")),
        ),
    ];
    for (change, missing) in cases {
        assert_eq!(refuse(&[change]), Refusal::Missing(missing), "{change:?}");
    }
}

#[test]
fn a_host_with_records_stays_and_keeps_an_address() {
    assert_eq!(
        refuse(&[Change::RemoveHost(HOST_2)]),
        Refusal::InUse(Missing::Host(HOST_2), 2)
    );
    let address = pa("192.168.4.22");
    assert_eq!(
        refuse(&[Change::RemoveHostAddress(HOST_2, address)]),
        Refusal::InUse(Missing::HostAddress(HOST_2, address), 2)
    );
    let policies = accept(&[
        Change::AddHostAddress(HOST_2, pa("192.168.4.23")),
        Change::RemoveHostAddress(HOST_2, address),
    ]);
    let addresses: Vec<_> = policies.live().host_addresses().collect();
    assert_eq!(addresses, [(HOST_2, pa("192.168.4.23"))]);
}

#[test]
fn a_host_that_goes_gives_its_addresses_back() {
    let address = pa("192.168.4.33");
    let there = [
        Change::AddHost(HOST_3),
        Change::AddHostAddress(HOST_3, address),
    ];
    let take = Change::AddHostAddress(HOST_2, address);
    assert_eq!(
        refuse(&[&there[..], &[take]].concat()),
        Refusal::ProviderAddressTaken(address)
    );
    accept(&[&there[..], &[Change::RemoveHost(HOST_3), take]].concat());
}

#[test]
fn a_host_has_four_addresses_at_most() {
    let add = [23, 24, 25, 26]
        .map(|last| Change::AddHostAddress(HOST_2, pa(&format!("192.168.4.{last}"))));
    accept(&add[..3]);
    assert_eq!(refuse(&add), Refusal::TooManyAddresses(HOST_2));
    let remove = Change::RemoveHostAddress(HOST_2, pa("192.168.4.24"));
    accept(&[&add[..3], &[remove, add[3]]].concat());
}

#[test]
fn spec_2_4_owner_an_own_address_is_no_other_hosts() {
    let address = pa("192.168.4.22");
    assert_eq!(
        refuse(&[Change::AddProviderAddress(own_address("192.168.4.22", 24))]),
        Refusal::ProviderAddressTaken(address)
    );
    let own = pa("192.168.4.11");
    assert_eq!(
        refuse(&[Change::AddHostAddress(HOST_2, own)]),
        Refusal::ProviderAddressTaken(own)
    );
}

#[test]
fn spec_2_4_set_an_own_address_is_added_once_and_then_set() {
    let own = own_address("192.168.4.11", 24);
    let changed = HostAddress {
        prefix_length: 16,
        vlan: VlanId::new(7).ok(),
        mac: mac("020000000177"),
        state: AddressState::Deprecated,
        ..own
    };
    accept(&[Change::AddProviderAddress(own)]);
    assert_eq!(
        refuse(&[Change::AddProviderAddress(changed)]),
        Refusal::Exists(Missing::ProviderAddress(own.address))
    );
    let policies = accept(&[Change::SetProviderAddress(changed)]);
    assert!(policies.live().provider_addresses().eq([&changed]));
}

#[test]
fn an_own_address_is_what_headers_can_hold() {
    let own = own_address("192.168.4.12", 24);
    let group = HostAddress {
        mac: MacAddress::BROADCAST,
        ..own
    };
    let long = HostAddress {
        prefix_length: 33,
        ..own
    };
    let far = HostAddress {
        uplink: UplinkId(256),
        ..own
    };
    for (own, why) in [
        (
            group,
            Refusal::Address(InvalidAddress::MacNotUnicast(group.mac)),
        ),
        (long, Refusal::Address(InvalidAddress::PrefixLength(33))),
        (far, Refusal::OutOfRange(OutOfRange::UplinkNumber)),
    ] {
        assert_eq!(refuse(&[Change::AddProviderAddress(own)]), why);
    }
}

#[test]
fn spec_2_5_route_goes_through_a_router_that_is_on_link() {
    let far = route("10.0.0.0/8", "192.168.5.1", 1);
    assert_eq!(
        refuse(&[Change::AddProviderRoute(far)]),
        Refusal::NextHopOffLink(far.next_hop)
    );
    let mixed = route("10.0.0.0/8", "2001:db8::1", 1);
    assert_eq!(
        refuse(&[Change::AddProviderRoute(mixed)]),
        Refusal::NextHopFamily(mixed.prefix, mixed.next_hop.get())
    );
    let tentative = HostAddress {
        state: AddressState::Tentative,
        ..own_address("192.168.5.11", 24)
    };
    accept(&[
        Change::AddProviderAddress(tentative),
        Change::AddProviderRoute(far),
    ]);
}

#[test]
fn spec_2_5_metric_a_provider_route_is_known_by_everything_but_it() {
    let cheap = route("10.0.0.0/8", "192.168.4.1", 1);
    let dear = route("10.0.0.0/8", "192.168.4.1", 9);
    let add = Change::AddProviderRoute(cheap);
    accept(&[add, add]);
    assert_eq!(
        refuse(&[add, Change::AddProviderRoute(dear)]),
        Refusal::Exists(Missing::ProviderRoute(cheap.prefix))
    );
    let mut policies = accept(&[add, Change::SetProviderRoute(dear)]);
    assert!(policies.live().provider_routes().eq([dear]));
    apply(&mut policies, &[Change::RemoveProviderRoute(cheap)]).unwrap();
    assert!(Dump::of_both(&mut policies).provider_routes.is_empty());
}

#[test]
fn a_neighbour_has_one_mac_address_on_an_uplink() {
    let first = neighbour("192.168.4.1", mac("020000000001"));
    let second = neighbour("192.168.4.1", mac("020000000002"));
    let elsewhere = Neighbour {
        uplink: UplinkId(1),
        ..first
    };
    let mut policies = accept(&[first, elsewhere, second].map(Change::SetNeighbour));
    let neighbours = Dump::of_both(&mut policies).neighbours;
    assert_eq!(neighbours.len(), 3, "with the other host's");
    assert!(neighbours.contains(&second) && neighbours.contains(&elsewhere));
    let group = neighbour("192.168.4.1", MacAddress::BROADCAST);
    assert_eq!(
        refuse(&[Change::SetNeighbour(group)]),
        Refusal::Address(InvalidAddress::MacNotUnicast(group.mac))
    );
    let far = Neighbour {
        uplink: UplinkId(1 << 24),
        ..first
    };
    assert_eq!(
        refuse(&[Change::SetNeighbour(far)]),
        Refusal::OutOfRange(OutOfRange::UplinkNumber)
    );
}

#[test]
fn a_path_mtu_is_no_less_than_every_host_takes() {
    let ipv6 = [
        Change::AddHost(HOST_3),
        Change::AddHostAddress(HOST_3, pa("fd00:4::33")),
    ];
    let too_small = Refusal::OutOfRange(OutOfRange::PathMtu);
    for (address, least) in [("192.168.4.22", 576), ("fd00:4::33", 1280)] {
        for mtu in [0, 1, least - 1] {
            let changes = [&ipv6[..], &[path_mtu(address, mtu)]].concat();
            assert_eq!(refuse(&changes), too_small, "{address} {mtu}");
        }
        for mtu in [least, u16::MAX] {
            let policies = accept(&[&ipv6[..], &[path_mtu(address, mtu)]].concat());
            assert!(policies.live().path_mtus().eq([(pa(address), mtu)]));
        }
    }
}

#[test]
fn a_path_mtu_goes_when_it_is_removed_and_with_the_address_of_the_host() {
    let address = pa("192.168.4.33");
    let there = [
        Change::AddHost(HOST_3),
        Change::AddHostAddress(HOST_3, address),
        path_mtu("192.168.4.33", 1400),
    ];
    let other = Change::AddHostAddress(HOST_3, pa("192.168.4.34"));
    for gone in [
        vec![Change::RemovePathMtu { address }],
        vec![other, Change::RemoveHostAddress(HOST_3, address)],
        vec![Change::RemoveHost(HOST_3), there[0]],
    ] {
        let again = Change::AddHostAddress(HOST_3, address);
        let mut policies = accept(&[&there[..], &gone, &[again]].concat());
        assert_eq!(Dump::of_both(&mut policies).path_mtus, []);
    }
}

//! The headers of packets to other hosts, and which of them a flow takes.

use super::*;

/// The header on the way to a provider address of another host, which is the same in both copies.
fn template(policies: &mut Policies<'_>, address: &str) -> Template {
    let of = |policy: &Policy<'_>| {
        let path = policy.path_to(pa(address)).unwrap();
        *policy.template(PathId(path as u32)).unwrap()
    };
    let live = of(policies.live());
    apply(policies, &[]).unwrap();
    assert_eq!(of(policies.live()), live);
    live
}

#[test]
fn the_header_leads_to_an_on_link_host_itself() {
    let mut policies = policies_of(&two_hosts());
    let known = template(&mut policies, "192.168.4.22");
    assert!(known.is_resolved());
    assert_eq!(known.destination(), bits("192.168.4.22").1);
    assert_eq!((known.uplink(), known.mtu()), (UplinkId(0), 1600));
    assert_eq!(known.link().destination, OTHER_UPLINK_MAC);
    assert_eq!(known.link().source, UPLINK_MAC);
    assert_eq!(known.link().vlan, None);
}

#[test]
fn the_header_follows_the_neighbour() {
    let mut policies = policies_of(&two_hosts());
    let known = template(&mut policies, "192.168.4.22");
    let forget = Change::RemoveNeighbour {
        uplink: UplinkId(0),
        address: pa("192.168.4.22"),
    };
    change(&mut policies, &[forget]);
    assert!(!template(&mut policies, "192.168.4.22").is_resolved());
    let replaced = neighbour("192.168.4.22", mac("020000000299"));
    change(&mut policies, &[Change::SetNeighbour(replaced)]);
    let template_now = template(&mut policies, "192.168.4.22");
    assert_eq!(template_now.link().destination, replaced.mac);
    let elsewhere = Neighbour {
        uplink: UplinkId(1),
        mac: mac("020000000288"),
        ..replaced
    };
    change(&mut policies, &[Change::SetNeighbour(elsewhere)]);
    assert_eq!(template(&mut policies, "192.168.4.22"), template_now);
    let back = neighbour("192.168.4.22", OTHER_UPLINK_MAC);
    change(&mut policies, &[Change::SetNeighbour(back)]);
    assert_eq!(template(&mut policies, "192.168.4.22"), known);
}

#[test]
fn the_header_follows_the_own_address() {
    let mut policies = policies_of(&two_hosts());
    let before = template(&mut policies, "192.168.4.22");
    let own = own_address("192.168.4.11", 24);
    let changed = HostAddress {
        vlan: VlanId::new(7).ok(),
        mtu: 9000,
        mac: mac("020000000177"),
        ..own
    };
    change(&mut policies, &[Change::SetProviderAddress(changed)]);
    let after = template(&mut policies, "192.168.4.22");
    assert!(after.is_resolved(), "the neighbour is still known");
    assert_eq!(
        (after.mtu(), after.link().vlan),
        (9000, VlanId::new(7).ok())
    );
    assert_eq!(after.link().source, changed.mac);
    let tentative = HostAddress {
        state: AddressState::Tentative,
        ..own
    };
    for unusable in [
        Change::SetProviderAddress(tentative),
        Change::RemoveProviderAddress(own.address),
    ] {
        change(&mut policies, &[unusable]);
        let nowhere = template(&mut policies, "192.168.4.22");
        assert!(!nowhere.is_resolved());
        assert_eq!(nowhere.destination(), before.destination());
        assert_eq!(policies.live().host(HOST_2).unwrap().path_for(0), None);
    }
    change(&mut policies, &[Change::AddProviderAddress(own)]);
    assert_eq!(template(&mut policies, "192.168.4.22"), before);
    assert!(policies.live().host(HOST_2).unwrap().path_for(0).is_some());
}

#[test]
fn the_header_carries_the_smaller_of_what_network_and_first_link_do() {
    let mut policies = policies_of(&two_hosts());
    let before = template(&mut policies, "192.168.4.22");
    let mut mtu_after = |changes: &[Change]| {
        change(&mut policies, changes);
        let template = template(&mut policies, "192.168.4.22");
        assert_eq!(template.destination(), before.destination());
        assert_eq!(template.link(), before.link());
        template.mtu()
    };
    assert_eq!(mtu_after(&[path_mtu("192.168.4.22", 1400)]), 1400);
    assert_eq!(mtu_after(&[path_mtu("192.168.4.22", 9000)]), 1600);
    assert_eq!(mtu_after(&[path_mtu("192.168.4.22", 1500)]), 1500);
    // Whatever the path is found anew for, the network is the same.
    let own = |mtu| {
        Change::SetProviderAddress(HostAddress {
            mtu,
            ..own_address("192.168.4.11", 24)
        })
    };
    assert_eq!(mtu_after(&[own(9000)]), 1500);
    assert_eq!(mtu_after(&[own(1450)]), 1450);
    assert_eq!(mtu_after(&[own(1600)]), 1500);
    let forgotten = Change::RemoveNeighbour {
        uplink: UplinkId(0),
        address: pa("192.168.4.22"),
    };
    let known = Change::SetNeighbour(neighbour("192.168.4.22", OTHER_UPLINK_MAC));
    assert_eq!(mtu_after(&[forgotten, known]), 1500);
    let away = Change::RemoveProviderAddress(pa("192.168.4.11"));
    let back = Change::AddProviderAddress(own_address("192.168.4.11", 24));
    assert_eq!(mtu_after(&[away, back]), 1500);
    let second = Change::AddHostAddress(HOST_2, pa("192.168.4.23"));
    assert_eq!(mtu_after(&[second]), 1500);
    assert_eq!(template(&mut policies, "192.168.4.23").mtu(), 1600);
    let forget = Change::RemovePathMtu {
        address: pa("192.168.4.22"),
    };
    change(&mut policies, &[forget]);
    assert_eq!(template(&mut policies, "192.168.4.22"), before);
}

#[test]
fn what_ipv6_subnets_need_is_left_to_them_as_long_as_they_are_there() {
    let mut policies = policies_of(&two_hosts());
    let outer_ipv6 = [
        Change::AddProviderAddress(own_address("fd00:4::11", 64)),
        Change::AddHostAddress(HOST_2, pa("fd00:4::22")),
        path_mtu("fd00:4::22", 1280),
        path_mtu("192.168.4.22", 576),
    ];
    change(&mut policies, &outer_ipv6);
    let mut mtus_after = |changes: &[Change]| {
        change(&mut policies, changes);
        ["192.168.4.22", "fd00:4::22"].map(|address| template(&mut policies, address).mtu())
    };
    let (blue, red) = (on_link(5001, "fd00:1::/64"), on_link(6001, "fd00:1::/64"));
    let said = [576, 1280];
    let least = [1280 + 20 + 22, 1280 + 40 + 22];
    assert_eq!(mtus_after(&[]), said);
    assert_eq!(mtus_after(&[Change::AddCustomerRoute(blue)]), least);
    assert_eq!(mtus_after(&[Change::AddCustomerRoute(red)]), least);
    assert_eq!(mtus_after(&[Change::RemoveCustomerRoute(blue)]), least);
    assert_eq!(mtus_after(&[path_mtu("192.168.4.22", 1321)]), least);
    assert_eq!(mtus_after(&[path_mtu("192.168.4.22", 1323)]), [1323, 1342]);
    let last = [
        Change::RemoveCustomerRoute(red),
        path_mtu("192.168.4.22", 576),
    ];
    assert_eq!(mtus_after(&last), said);
    let default = via(5001, "::/0", "fd00:1::9");
    assert_eq!(mtus_after(&[Change::AddCustomerRoute(default)]), said);
    let first = [
        path_mtu("192.168.4.22", 600),
        Change::AddCustomerRoute(blue),
    ];
    assert_eq!(mtus_after(&first), least);
}

#[test]
fn a_preferred_source_comes_before_a_deprecated_one() {
    let mut policies = policies_of(&two_hosts());
    let source_mac = |policies: &mut Policies<'_>| template(policies, "192.168.4.22").link().source;
    let second = HostAddress {
        mac: mac("020000000188"),
        ..own_address("192.168.4.12", 24)
    };
    let deprecated = HostAddress {
        state: AddressState::Deprecated,
        ..own_address("192.168.4.11", 24)
    };
    change(&mut policies, &[Change::SetProviderAddress(deprecated)]);
    assert_eq!(source_mac(&mut policies), UPLINK_MAC);
    change(&mut policies, &[Change::AddProviderAddress(second)]);
    assert_eq!(source_mac(&mut policies), second.mac);
}

#[test]
fn spec_2_5_metric_the_longest_and_then_cheapest_route_leads_off_link() {
    let mut policies = policies_of(&two_hosts());
    let routers = [1, 2, 3].map(|last| {
        neighbour(
            &format!("192.168.4.{last}"),
            MacAddress([2, 0, 0, 0, 9, last]),
        )
    });
    change(&mut policies, &routers.map(Change::SetNeighbour));
    change(
        &mut policies,
        &[
            Change::AddHost(HOST_3),
            Change::AddHostAddress(HOST_3, pa("172.16.1.3")),
        ],
    );
    let mut router = |changed: Change| {
        change(&mut policies, &[changed]);
        let template = template(&mut policies, "172.16.1.3");
        template
            .is_resolved()
            .then(|| template.link().destination.0[5])
    };
    let route = |destination: &str, last: u8, metric| ProviderRoute {
        prefix: prefix(destination),
        next_hop: pa(&format!("192.168.4.{last}")),
        metric,
    };
    let add =
        |destination, last, metric| Change::AddProviderRoute(route(destination, last, metric));
    assert_eq!(router(add("172.17.0.0/16", 1, 0)), None);
    assert_eq!(router(add("0.0.0.0/0", 1, 0)), Some(1));
    assert_eq!(router(add("172.16.0.0/16", 2, 9)), Some(2), "longer");
    assert_eq!(router(add("172.16.0.0/16", 3, 5)), Some(3), "cheaper");
    let dearer = Change::SetProviderRoute(route("172.16.0.0/16", 3, 10));
    assert_eq!(router(dearer), Some(2));
    let gone = Change::RemoveProviderRoute(route("172.16.0.0/16", 2, 9));
    assert_eq!(router(gone), Some(3));
    let moved = neighbour("192.168.4.3", MacAddress([2, 0, 0, 0, 9, 99]));
    assert_eq!(router(Change::SetNeighbour(moved)), Some(99));
    let on_link = own_address("172.16.1.11", 24);
    assert_eq!(router(Change::AddProviderAddress(on_link)), None, "on-link");
}

#[test]
fn flows_spread_over_the_paths_that_can_be_used() {
    let mut policies = policies_of(&two_hosts());
    let addresses = ["172.16.1.1", "192.168.4.23", "fd01::22"];
    change(
        &mut policies,
        &addresses.map(|address| Change::AddHostAddress(HOST_2, pa(address))),
    );
    let chosen = |policies: &Policies<'_>| {
        let policy = policies.live();
        let host = policy.host(HOST_2).unwrap();
        let mut flows = BTreeMap::new();
        for flow in (0..=u32::MAX).step_by(1 << 24) {
            let path = host.path_for(flow).unwrap();
            let path = policy.path(path.0 as usize).unwrap();
            *flows.entry(path.address).or_insert(0) += 1;
        }
        flows
    };
    let expected = [("192.168.4.22", 128), ("192.168.4.23", 128)];
    let of = |expected: &[(&str, i32)]| {
        let pairs = expected
            .iter()
            .map(|(address, flows)| (pa(address), *flows));
        pairs.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(chosen(&policies), of(&expected));
    let first = |policies: &Policies<'_>, family| {
        let policy = policies.live();
        let path = policy.host(HOST_2)?.path_of(family)?;
        Some(policy.path(path.0 as usize)?.address)
    };
    assert_eq!(first(&policies, Family::Ipv4), Some(pa("192.168.4.22")));
    assert_eq!(first(&policies, Family::Ipv6), None);

    let ipv6_too = Change::AddProviderAddress(own_address("fd01::11", 64));
    let gone = Change::RemoveHostAddress(HOST_2, pa("192.168.4.22"));
    change(&mut policies, &[ipv6_too, gone]);
    assert_eq!(
        chosen(&policies),
        of(&[("192.168.4.23", 128), ("fd01::22", 128)])
    );
    assert_eq!(first(&policies, Family::Ipv6), Some(pa("fd01::22")));
}

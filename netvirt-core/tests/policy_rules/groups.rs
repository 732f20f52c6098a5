//! Multicast groups that are mapped to groups of the provider network.

use netvirt_core::policy::*;

use super::support::*;

fn add(group: MulticastGroup) -> Change {
    Change::AddMulticastGroup(group)
}

fn remove(group: MulticastGroup) -> Change {
    Change::RemoveMulticastGroup {
        vsid: group.vsid,
        address: group.address,
    }
}

fn groups(policies: &mut Policies<'_>) -> Vec<MulticastGroup> {
    Dump::of_both(policies).multicast_groups
}

fn blue(address: &str, provider_group: &str) -> MulticastGroup {
    group(BLUE_VSID, address, provider_group)
}

/// Blue has IPv6 too, and this host an IPv6 provider address.
fn dual_stack() -> [Change; 2] {
    [
        Change::AddProviderAddress(own_address("fd01::1", 64)),
        Change::AddCustomerRoute(on_link(BLUE_VSID, "fd00:1::/64")),
    ]
}

#[test]
fn spec_3_10_group_policy_every_address_for_many_can_be_mapped_to_a_group_of_either_family() {
    let mut policies = super::accept(&dual_stack());
    for address in [
        "224.0.0.251",
        "239.255.255.255",
        "255.255.255.255",
        "10.0.0.255",
        "ff02::fb",
    ] {
        for provider in ["239.192.0.1", "ff05::1"] {
            let group = blue(address, provider);
            for _ in 0..2 {
                apply(&mut policies, &[add(group)]).unwrap();
                assert_eq!(groups(&mut policies), [group]);
            }
            apply(&mut policies, &[remove(group)]).unwrap();
            assert_eq!(groups(&mut policies), []);
        }
    }
}

#[test]
fn spec_3_10_group_policy_an_address_of_one_cannot_be_mapped() {
    let others = ["10.0.4.0/31", "fd80::/16"];
    let [pair, wide] = others.map(|prefix| Change::AddCustomerRoute(on_link(BLUE_VSID, prefix)));
    for address in [
        "10.0.0.5",
        "10.0.0.0",
        "10.0.0.254",
        "10.0.1.255",
        "10.0.4.1",
        "240.0.0.1",
        "0.0.0.0",
        "127.0.0.1",
        "::",
        "::1",
        "fd00:1::ffff:ffff:ffff:ffff",
        "fd80:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        let group = blue(address, "239.192.0.1");
        let [own, on_link] = dual_stack();
        let refusal = super::refuse(&[own, on_link, pair, wide, add(group)]);
        assert_eq!(refusal, Refusal::NotForMany(group));
        let text = refusal.to_string();
        for named in [address, "239.192.0.1", "5001"] {
            assert!(text.contains(named), "{text}");
        }
    }
}

#[test]
fn spec_3_10_group_policy_a_group_needs_an_own_address_of_its_family() {
    let group = blue("239.1.1.1", "ff05::1");
    let refusal = super::refuse(&[add(group)]);
    assert_eq!(refusal, Refusal::NoSourceForGroup(group));
    let text = refusal.to_string();
    for named in ["239.1.1.1", "ff05::1", "5001"] {
        assert!(text.contains(named), "{text}");
    }
    // It may become usable later, and go although groups need it: then there is no way.
    let tentative = HostAddress {
        state: AddressState::Tentative,
        ..own_address("fd01::1", 64)
    };
    let mut policies = super::accept(&[Change::AddProviderAddress(tentative), add(group)]);
    let gone = Change::RemoveProviderAddress(tentative.address);
    apply(&mut policies, &[gone]).unwrap();
    assert_eq!(groups(&mut policies), [group]);
}

#[test]
fn spec_3_10_group_policy_an_address_of_a_subnet_is_mapped_to_one_group() {
    let group = blue("239.1.1.1", "239.192.0.1");
    let name = Missing::MulticastGroup(group.vsid, group.address);
    assert_eq!(
        super::refuse(&[add(group), add(blue("239.1.1.1", "239.192.0.2"))]),
        Refusal::Exists(name)
    );
    assert_eq!(super::refuse(&[remove(group)]), Refusal::Missing(name));
    assert_eq!(
        super::refuse(&[add(group), remove(group), remove(group)]),
        Refusal::Missing(name)
    );
    assert!(name.to_string().contains("239.1.1.1 of VSID 5001"));
    let moved = [
        add(group),
        remove(group),
        add(blue("239.1.1.1", "239.192.0.2")),
    ];
    super::accept(&moved);
}

#[test]
fn addresses_of_several_subnets_share_a_group() {
    let red = group(RED_VSID, "239.1.1.1", "239.192.0.1");
    let shared = [
        blue("239.1.1.1", "239.192.0.1"),
        blue("239.1.1.2", "239.192.0.1"),
        red,
    ];
    let mut policies = super::accept(&shared.map(add));
    assert_eq!(groups(&mut policies).len(), 3);
    for (number, group) in shared.into_iter().enumerate() {
        apply(&mut policies, &[remove(group)]).unwrap();
        assert_eq!(groups(&mut policies).len(), 2 - number);
    }
}

#[test]
fn spec_3_10_group_policy_a_group_stands_on_its_subnet() {
    let group = group(7001, "239.1.1.1", "239.192.0.1");
    let missing = Missing::Subnet(group.vsid);
    assert_eq!(super::refuse(&[add(group)]), Refusal::Missing(missing));
    let subnet = Change::AddSubnet {
        vsid: group.vsid,
        domain: BLUE,
    };
    let without = Change::RemoveSubnet(group.vsid);
    assert_eq!(
        super::refuse(&[subnet, add(group), without]),
        Refusal::InUse(missing, 1)
    );
    super::accept(&[subnet, add(group), remove(group), without]);
}

#[test]
fn a_broadcast_address_stays_mapped_when_its_prefix_goes() {
    let route = on_link(BLUE_VSID, "10.0.4.0/24");
    let group = blue("10.0.4.255", "239.192.0.1");
    let mut policies = super::accept(&[
        Change::AddCustomerRoute(route),
        add(group),
        Change::RemoveCustomerRoute(route),
    ]);
    assert_eq!(groups(&mut policies), [group]);
    assert_eq!(
        super::refusal(&mut policies, &[remove(group), add(group)]),
        Refusal::NotForMany(group)
    );
}

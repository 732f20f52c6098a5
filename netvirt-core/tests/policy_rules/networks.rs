//! Routing domains, subnets, ports and peerings.

use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::*;
use crate::{accept, refuse};

const GREEN: DomainId = DomainId(2);
const GREEN_VSID: u32 = 7001;
const YELLOW: DomainId = DomainId(3);
const YELLOW_VSID: u32 = 8001;

fn subnet(number: u32, domain: DomainId) -> Change {
    Change::AddSubnet {
        vsid: vsid(number),
        domain,
    }
}

fn peering(from: DomainId, to: DomainId) -> Peering {
    Peering { from, to }
}

/// A domain with one subnet.
fn tenant(domain: DomainId, number: u32, destination: &str) -> [Change; 3] {
    [
        Change::AddDomain(domain),
        subnet(number, domain),
        Change::AddCustomerRoute(on_link(number, destination)),
    ]
}

fn overlap(new: &str, other: &str, other_subnet: u32) -> Refusal {
    Refusal::Overlap {
        prefix: prefix(new),
        other: prefix(other),
        other_subnet: vsid(other_subnet),
    }
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let cases = [
        (Change::RemoveDomain(GREEN), Missing::Domain(GREEN)),
        (
            Change::RemoveSubnet(vsid(GREEN_VSID)),
            Missing::Subnet(vsid(GREEN_VSID)),
        ),
        (Change::RemovePort(PortId(63)), Missing::Port(PortId(63))),
        (
            Change::RemovePort(PortId(u32::MAX)),
            Missing::Port(PortId(u32::MAX)),
        ),
        (
            Change::RemovePeering(peering(BLUE, RED)),
            Missing::Peering(BLUE, RED),
        ),
        (
            Change::RemoveCustomerRoute(on_link(5001, "10.9.0.0/24")),
            Missing::CustomerRoute(vsid(5001), prefix("10.9.0.0/24")),
        ),
        (
            Change::SetCustomerRoute(on_link(5001, "10.9.0.0/24")),
            Missing::CustomerRoute(vsid(5001), prefix("10.9.0.0/24")),
        ),
        (
            Change::AddCustomerRoute(on_link(GREEN_VSID, "10.9.0.0/24")),
            Missing::Subnet(vsid(GREEN_VSID)),
        ),
        (
            Change::AddPort(port(5, GREEN_VSID, "060600000009")),
            Missing::Subnet(vsid(GREEN_VSID)),
        ),
        (subnet(GREEN_VSID, GREEN), Missing::Domain(GREEN)),
        (
            Change::AddPeering(peering(BLUE, GREEN)),
            Missing::Domain(GREEN),
        ),
        (
            Change::AddPeering(peering(GREEN, BLUE)),
            Missing::Domain(GREEN),
        ),
    ];
    for (change, missing) in cases {
        assert_eq!(refuse(&[change]), Refusal::Missing(missing), "{change:?}");
    }
}

#[test]
fn spec_2_11_in_use_what_others_stand_on_cannot_be_removed() {
    assert_eq!(
        refuse(&[Change::RemoveDomain(BLUE)]),
        Refusal::InUse(Missing::Domain(BLUE), 1)
    );
    assert_eq!(
        refuse(&[Change::RemoveSubnet(vsid(BLUE_VSID))]),
        Refusal::InUse(Missing::Subnet(vsid(BLUE_VSID)), 4),
        "a route, a port, two records"
    );
    assert_eq!(
        refuse(&[Change::RemovePort(BLUE_PORT)]),
        Refusal::InUse(Missing::Port(BLUE_PORT), 1)
    );
    let mut changes = tenant(GREEN, GREEN_VSID, "10.7.0.0/24").to_vec();
    changes.push(Change::AddPeering(peering(GREEN, BLUE)));
    changes.push(Change::RemoveCustomerRoute(on_link(
        GREEN_VSID,
        "10.7.0.0/24",
    )));
    changes.push(Change::RemoveSubnet(vsid(GREEN_VSID)));
    changes.push(Change::RemoveDomain(GREEN));
    assert_eq!(
        refuse(&changes),
        Refusal::InUse(Missing::Domain(GREEN), 1),
        "the peering"
    );
}

#[test]
fn spec_2_3_domain_a_vsid_belongs_to_one() {
    assert_eq!(
        refuse(&[subnet(BLUE_VSID, RED)]),
        Refusal::Exists(Missing::Subnet(vsid(BLUE_VSID)))
    );
}

#[test]
fn spec_2_1_port_has_one_vsid_and_one_mac_address() {
    let exists = Refusal::Exists(Missing::Port(BLUE_PORT));
    let blue = port(0, BLUE_VSID, "060600000005");
    accept(&[Change::AddPort(blue)]);
    let other_vsid = Port {
        vsid: Some(vsid(RED_VSID)),
        ..blue
    };
    let other_mac = Port {
        mac: mac("060600000006"),
        ..blue
    };
    assert_eq!(refuse(&[Change::AddPort(other_vsid)]), exists);
    assert_eq!(refuse(&[Change::AddPort(other_mac)]), exists);
    let group = Port {
        mac: mac("010000000005"),
        port: PortId(9),
        ..blue
    };
    assert_eq!(
        refuse(&[Change::AddPort(group)]),
        Refusal::Address(InvalidAddress::MacNotUnicast(group.mac))
    );
}

#[test]
fn a_port_without_vsid_stands_on_no_subnet() {
    let plain = Port {
        port: PortId(7),
        vsid: None,
        mac: mac("060600000009"),
    };
    let mut policies = accept(&[Change::AddPort(plain)]);
    assert!(policies.live().ports().any(|port| port == plain));
    apply(&mut policies, &[Change::RemovePort(PortId(7))]).unwrap();
    let dump = Dump::of_both(&mut policies);
    assert_eq!(dump.ports.len(), 2);
}

#[test]
fn spec_2_3_overlap_is_refused_within_a_domain() {
    let second = subnet(5002, BLUE);
    for inside in [
        "10.0.0.0/24",
        "10.0.0.128/25",
        "10.0.0.7/32",
        "10.0.0.0/8",
        "0.0.0.0/0",
    ] {
        assert_eq!(
            refuse(&[second, Change::AddCustomerRoute(on_link(5002, inside))]),
            overlap(inside, "10.0.0.0/24", 5001)
        );
    }
    assert_eq!(
        refuse(&[Change::AddCustomerRoute(on_link(5001, "10.0.0.0/25"))]),
        overlap("10.0.0.0/25", "10.0.0.0/24", 5001),
        "nor do those of one subnet"
    );
    accept(&[
        second,
        Change::AddCustomerRoute(on_link(5002, "10.0.1.0/24")),
    ]);
    accept(&[second, Change::AddCustomerRoute(on_link(5002, "::/0"))]);
    accept(&[
        second,
        Change::RemoveCustomerRoute(on_link(5001, "10.0.0.0/24")),
        Change::AddCustomerRoute(on_link(5002, "10.0.0.0/25")),
    ]);
}

#[test]
fn a_domain_does_not_peer_with_itself() {
    assert_eq!(
        refuse(&[Change::AddPeering(peering(BLUE, BLUE))]),
        Refusal::PeeringWithItself(BLUE)
    );
}

#[test]
fn spec_2_peering_domains_that_overlap_do_not_peer_in_either_direction() {
    for (from, to, other_subnet) in [(BLUE, RED, RED_VSID), (RED, BLUE, BLUE_VSID)] {
        assert_eq!(
            refuse(&[Change::AddPeering(peering(from, to))]),
            overlap("10.0.0.0/24", "10.0.0.0/24", other_subnet)
        );
    }
}

#[test]
fn domains_that_peer_do_not_come_to_overlap() {
    for (from, to) in [(BLUE, GREEN), (GREEN, BLUE)] {
        let mut changes = tenant(GREEN, GREEN_VSID, "10.7.0.0/24").to_vec();
        changes.push(Change::AddPeering(peering(from, to)));
        accept(&changes);
        changes.push(Change::AddCustomerRoute(on_link(GREEN_VSID, "10.0.0.0/16")));
        assert_eq!(
            refuse(&changes),
            overlap("10.0.0.0/16", "10.0.0.0/24", BLUE_VSID)
        );
        changes.pop();
        changes.push(Change::AddCustomerRoute(on_link(BLUE_VSID, "10.7.0.64/26")));
        assert_eq!(
            refuse(&changes),
            overlap("10.7.0.64/26", "10.7.0.0/24", GREEN_VSID)
        );
        changes.pop();
        changes.push(Change::RemovePeering(peering(from, to)));
        changes.push(Change::AddCustomerRoute(on_link(BLUE_VSID, "10.7.0.64/26")));
        accept(&changes);
    }
}

#[test]
fn two_peers_of_one_domain_do_not_overlap() {
    let green = tenant(GREEN, GREEN_VSID, "10.7.0.0/24");
    let refused = overlap("10.0.0.0/24", "10.0.0.0/24", BLUE_VSID);
    for (one, other) in [
        (peering(GREEN, BLUE), peering(GREEN, RED)),
        (peering(GREEN, BLUE), peering(RED, GREEN)),
        (peering(BLUE, GREEN), peering(RED, GREEN)),
    ] {
        let peerings = [Change::AddPeering(one), Change::AddPeering(other)];
        assert_eq!(refuse(&[&green[..], &peerings].concat()), refused);
        let instead = [
            Change::AddPeering(one),
            Change::RemovePeering(one),
            Change::AddPeering(other),
        ];
        accept(&[&green[..], &instead].concat());
    }
}

#[test]
fn two_peers_of_one_domain_do_not_come_to_overlap() {
    let mut changes = tenant(GREEN, GREEN_VSID, "10.7.0.0/24").to_vec();
    changes.extend(tenant(YELLOW, YELLOW_VSID, "10.8.0.0/24"));
    changes.push(Change::AddPeering(peering(GREEN, BLUE)));
    changes.push(Change::AddPeering(peering(YELLOW, GREEN)));
    accept(&changes);
    changes.push(Change::AddCustomerRoute(on_link(
        YELLOW_VSID,
        "10.0.0.0/25",
    )));
    assert_eq!(
        refuse(&changes),
        overlap("10.0.0.0/25", "10.0.0.0/24", BLUE_VSID)
    );
}

#[test]
fn a_peering_in_both_directions_is_two() {
    let mut changes = tenant(GREEN, GREEN_VSID, "10.7.0.0/24").to_vec();
    changes.push(Change::AddPeering(peering(GREEN, BLUE)));
    changes.push(Change::AddPeering(peering(BLUE, GREEN)));
    changes.push(Change::AddPeering(peering(BLUE, GREEN)));
    let mut policies = accept(&changes);
    apply(
        &mut policies,
        &[Change::RemovePeering(peering(GREEN, BLUE))],
    )
    .unwrap();
    assert_eq!(
        Dump::of_both(&mut policies).peerings,
        [peering(BLUE, GREEN)]
    );
}

#[test]
fn a_domain_goes_in_the_transaction_that_ends_its_peering() {
    let mut changes = tenant(GREEN, GREEN_VSID, "10.7.0.0/24").to_vec();
    changes.push(Change::AddPeering(peering(GREEN, BLUE)));
    changes.push(Change::AddPeering(peering(BLUE, GREEN)));
    let mut policies = accept(&changes);
    let before = Dump::of_both(&mut policies_of(&two_hosts()));
    let mut backwards = [
        Change::RemovePeering(peering(BLUE, GREEN)),
        Change::RemovePeering(peering(GREEN, BLUE)),
        Change::RemoveCustomerRoute(on_link(GREEN_VSID, "10.7.0.0/24")),
        Change::RemoveSubnet(vsid(GREEN_VSID)),
        Change::RemoveDomain(GREEN),
    ];
    apply(&mut policies, &backwards).unwrap();
    assert_eq!(
        Dump::of_both(&mut policies),
        Dump {
            version: 3,
            ..before.clone()
        }
    );
    // The route may as well go before the peering.
    backwards.swap(0, 2);
    apply(&mut policies, &changes).unwrap();
    apply(&mut policies, &backwards).unwrap();
    assert_eq!(
        Dump::of_both(&mut policies),
        Dump {
            version: 5,
            ..before
        }
    );
}

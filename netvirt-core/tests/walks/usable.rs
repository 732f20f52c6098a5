//! What listings call usable is what packets can use.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, on_link, via, vsid};

/// Host 1, whose own provider addresses of IPv4 and IPv6 are in these states.
fn host_in(network: &Network, states: [AddressState; 2]) -> Nve {
    let mut host = Nve::new(&network.changes(1));
    for (own, state) in network.own_addresses(1).into_iter().zip(states) {
        host.apply(&[Change::SetAddressState {
            address: own.address,
            state,
        }]);
    }
    host
}

fn record(host: &Nve, network: &Network, name: &str, version: usize) -> LookupRecord {
    let machine = network.machine(name);
    let name = RecordName::Address(vsid(machine.vsid), ca(machine.addresses[version]));
    let mut records = host.policies.live().lookup_records();
    records.find(|record| record.name() == name).unwrap()
}

fn is_usable(host: &Nve, network: &Network, name: &str, version: usize) -> bool {
    let record = record(host, network, name, version);
    host.policies.live().is_usable(&record)
}

/// What a machine of host 1 sends leaves the host, or finds no path.
fn leaves(host: &mut Nve, network: &Network, from: &str, to: &str, version: usize) -> bool {
    let frame = network.datagram(from, to, version).frame();
    match host.take_from_port(network.machine(from).port, &frame) {
        Fate::Transmitted(..) => true,
        Fate::Dropped(DropReason::NoPath) => false,
        other => panic!("{other:?}"),
    }
}

const GOOD: AddressState = AddressState::Preferred;
const ASKED: AddressState = AddressState::Tentative;

#[test]
fn spec_2_2_unusable_if_no_path_leads_to_its_host() {
    let network = Network::standard();
    for (states, any, each) in [
        ([GOOD, GOOD], true, [true, true]),
        ([ASKED, GOOD], true, [false, true]),
        ([GOOD, ASKED], true, [true, false]),
        ([ASKED, ASKED], false, [false, false]),
    ] {
        let mut host = host_in(&network, states);
        for (version, own) in each.into_iter().enumerate() {
            // A tunnel takes any path; a rewritten packet one of its own family, and its sender's address too.
            assert_eq!(is_usable(&host, &network, "blue b", version), any);
            assert_eq!(
                leaves(&mut host, &network, "blue a", "blue b", version),
                any
            );
            for name in ["green a", "green b"] {
                assert_eq!(is_usable(&host, &network, name, version), own);
            }
            let left = leaves(&mut host, &network, "green a", "green b", version);
            assert_eq!(left, own);
            // On the same host nothing stands between them.
            assert!(is_usable(&host, &network, "blue near a", version));
        }
    }
}

#[test]
fn in_transition_a_record_needs_what_it_is_sent_by_and_received_under() {
    let network = Network::standard().with(|network| {
        for name in ["green a", "green b"] {
            network.machine_mut(name).transition = vec![1];
        }
    });
    let mut host = host_in(&network, [ASKED, GOOD]);
    assert!(is_usable(&host, &network, "green b", 0));
    assert!(leaves(&mut host, &network, "green a", "green b", 0));
    assert!(!is_usable(&host, &network, "green a", 0));
    let packet = network.datagram("green b", "green a", 0);
    let rewritten = Nve::new(&network.changes(2)).transmits(3, GREEN_1, &packet.frame());
    host.refuses_uplink(Some(GREEN_1), &rewritten, DropReason::NoPath);
    assert!(is_usable(&host, &network, "green a", 1));
}

#[test]
fn records_without_customer_address_are_where_their_host_is() {
    let network = Network::standard();
    for (states, expected) in [([GOOD, ASKED], true), ([ASKED, ASKED], false)] {
        let host = host_in(&network, states);
        let policy = host.policies.live();
        let wildcard = policy
            .lookup_records()
            .find(|record| record.kind == RecordKind::GatewayWildcard)
            .unwrap();
        assert_eq!(policy.is_usable(&wildcard), expected);
        let nowhere = LookupRecord {
            location: Location::Host(HostId(9)),
            ..wildcard
        };
        assert!(!policy.is_usable(&nowhere));
    }
}

#[test]
fn a_route_is_usable_if_its_next_hop_has_a_record_in_its_domain() {
    let network = Network::standard().with(|network| {
        network.subnets[3].2.push("10.9.0.0/24");
        network.machine_mut("red b").addresses.push("10.9.0.7");
    });
    let mut host = Nve::new(&network.changes(1));
    let [ipv4, ipv6] = network.routes[..] else {
        panic!("{:?}", network.routes);
    };
    let is_usable = |host: &Nve, route| host.policies.live().is_usable_route(&route);
    assert!(
        host.policies
            .live()
            .customer_routes()
            .all(|route| is_usable(&host, route))
    );

    let gate = RecordName::Address(vsid(BLUE_EDGE), ca("10.0.2.2"));
    let gone = record(&host, &network, "gate", 0);
    host.apply(&[Change::RemoveRecord(gate)]);
    assert!(!is_usable(&host, ipv4) && is_usable(&host, ipv6));
    let outward = network.datagram("blue a", "gate", 0);
    let outward = outward.with(|packet| packet.destination = ip("198.51.100.9"));
    host.refuses(0, BLUE_1, &outward.frame(), DropReason::NoRecord);
    host.apply(&[Change::AddRecord(gone)]);
    assert!(is_usable(&host, ipv4));
    host.transmits(0, BLUE_1, &outward.frame());

    // In no subnet, in one of another tenant, in no domain.
    for strange in [
        via(BLUE_1, "203.0.113.0/24", "172.16.0.9"),
        via(BLUE_1, "203.0.113.0/24", "10.9.0.7"),
        via(5999, "203.0.113.0/24", "10.0.2.2"),
    ] {
        assert!(!is_usable(&host, strange), "{strange:?}");
    }
    assert!(is_usable(&host, via(BLUE_2, "203.0.113.0/24", "10.0.2.2")));
    assert!(is_usable(&host, on_link(BLUE_1, "10.0.0.0/24")));
}

//! Walks 4, 5 and 7: between subnets, other tenants, nobody there; peerings.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, on_link, pa, prefix, via, vsid};

/// The packet as the receiver gets it after the distributed router.
fn routed(packet: &Packet, to: &Machine) -> Vec<u8> {
    let packet = packet.clone().between(ROUTER, to.mac);
    packet.with(|packet| packet.hop_limit -= 1).frame()
}

#[test]
fn spec_3_4_the_ttl_falls_once_and_the_wire_carries_the_receivers_vsid() {
    for outer in [Outer::V4, Outer::V6] {
        let network = Network::standard().with(|network| network.outer = outer);
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        for version in 0..2 {
            let packet = network.datagram("blue a", "blue c", version);
            let inner = routed(&packet, network.machine("blue c"));
            let wire = sender.transmits(0, BLUE_1, &packet.frame());
            assert_eq!(wire, network.tunnel(1, 2, BLUE_2).wrap(&inner));
            assert_eq!(receiver.delivers(1, BLUE_2, &wire), inner);
        }
    }
}

#[test]
fn spec_3_4_between_subnets_of_one_host_the_router_is_the_same() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let packet = network.datagram("blue a", "blue near c", version);
        let expected = routed(&packet, network.machine("blue near c"));
        assert_eq!(host.switches(0, 2, BLUE_1, &packet.frame()), expected);
    }
}

#[test]
fn to_the_router_for_the_own_subnet_is_within_the_subnet() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let direct = network.datagram("blue a", "blue b", 0);
    let by_router = direct
        .clone()
        .with(|packet| packet.destination_mac = ROUTER);
    let wire = host.transmits(0, BLUE_1, &by_router.frame());
    assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&direct.frame()));
}

#[test]
fn spec_3_4_the_last_hop_is_not_routed_but_still_switched() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        for hop_limit in [0, 1] {
            for to in ["blue c", "blue near c"] {
                let packet = network.datagram("blue a", to, version);
                let frame = packet.with(|packet| packet.hop_limit = hop_limit).frame();
                host.explains(0, BLUE_1, &frame, DropReason::TtlExceeded);
            }
            let packet = network.datagram("blue a", "blue b", version);
            let frame = packet.with(|packet| packet.hop_limit = hop_limit).frame();
            let wire = host.transmits(0, BLUE_1, &frame);
            assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&frame));
        }
        let packet = network.datagram("blue a", "blue c", version);
        let packet = packet.with(|packet| packet.hop_limit = 2);
        host.transmits(0, BLUE_1, &packet.frame());
    }
}

#[test]
fn a_second_prefix_of_the_subnet_is_no_other_subnet() {
    let network = Network::standard().with(|network| {
        network.subnets[0].2.push("172.16.0.0/24");
        network.machine_mut("blue b").addresses.push("172.16.0.7");
    });
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    let blue_b = network.machine("blue b").mac;
    let packet = network.datagram("blue a", "blue b", 0);
    let packet = packet
        .with(|packet| packet.destination = ip("172.16.0.7"))
        .between(network.machine("blue a").mac, blue_b);
    let wire = sender.transmits(0, BLUE_1, &packet.frame());
    assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&packet.frame()));
    assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
}

#[test]
fn spec_3_5_and_3_7_nobody_there_is_no_record_and_nowhere_is_no_route() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let to = |from: &str, version: usize, address: &str| {
        let packet = network.datagram(from, from, version);
        packet
            .with(|packet| packet.destination = ip(address))
            .frame()
    };
    for (version, address) in [
        (0, "10.0.0.99"),
        (0, "10.0.1.99"),
        (1, "2001:db8:1::99"),
        (1, "2001:db8:2::99"),
    ] {
        host.refuses(
            0,
            BLUE_1,
            &to("blue a", version, address),
            DropReason::NoRecord,
        );
    }
    for (version, address) in [
        (0, "10.0.1.6"),
        (0, "8.8.8.8"),
        (1, "2001:db8:2::6"),
        (1, "fe80::77"),
    ] {
        host.refuses(
            3,
            RED_1,
            &to("red a", version, address),
            DropReason::NoRoute,
        );
    }
}

#[test]
fn spec_3_5_a_tenant_reaches_no_address_that_only_another_has() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    // Only blue has 10.0.0.9, on this very host; red asks for it in its own subnet.
    let packet = network.datagram("red a", "red a", 0);
    let frame = packet
        .with(|packet| packet.destination = ip("10.0.0.9"))
        .frame();
    host.refuses(3, RED_1, &frame, DropReason::NoRecord);
}

#[test]
fn spec_6_forged_vsid_a_machine_stays_among_customers() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let packet = Packet::udp("10.0.0.5", "192.168.4.22", b"leak")
        .between(network.machine("red a").mac, ROUTER);
    host.refuses(3, RED_1, &packet.frame(), DropReason::NoRoute);
    // A machine that speaks NVGRE itself is carried as any other payload.
    let inner = network.datagram("red a", "red b", 0).frame();
    let forged = network.tunnel(1, 2, RED_1).gre(&inner);
    let packet = Packet::raw("10.0.0.5", "10.0.0.7", 47, &forged)
        .between(network.machine("blue a").mac, network.machine("blue b").mac);
    let wire = host.transmits(0, BLUE_1, &packet.frame());
    assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&packet.frame()));
    let mut receiver = Nve::new(&network.changes(2));
    assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
}

/// Red moved to prefixes that blue does not have, so that the two can be peered.
fn peered(peerings: &[(DomainId, DomainId)]) -> Network {
    Network::standard().with(|network| {
        network.subnets[3].2 = vec!["10.9.0.0/24", "2001:db8:9::/64"];
        network.machine_mut("red a").addresses = vec!["10.9.0.5", "2001:db8:9::5"];
        network.machine_mut("red b").addresses = vec!["10.9.0.7", "2001:db8:9::7"];
        let peering = |&(from, to)| Peering { from, to };
        network.peerings = peerings.iter().map(peering).collect();
        network.routes.clear();
        // A gateway speaks for all addresses that are not its tenant's, a peer's among them.
        network.machine_mut("gate").is_gateway = false;
    })
}

#[test]
fn spec_2_peering_lets_one_domain_send_and_the_reverse_needs_its_own() {
    let network = peered(&[(BLUE, RED)]);
    let mut one = Nve::new(&network.changes(1));
    let mut two = Nve::new(&network.changes(2));
    for version in 0..2 {
        let packet = network.datagram("blue a", "red b", version);
        let inner = routed(&packet, network.machine("red b"));
        let wire = one.transmits(0, BLUE_1, &packet.frame());
        assert_eq!(wire, network.tunnel(1, 2, RED_1).wrap(&inner));
        assert_eq!(two.delivers(2, RED_1, &wire), inner);

        let back = network.datagram("red b", "blue a", version);
        two.refuses(2, RED_1, &back.frame(), DropReason::NoRoute);
        // Even if the sender's host carried it, the receiver's does not believe it.
        let forged = network
            .tunnel(2, 1, BLUE_1)
            .wrap(&routed(&back, network.machine("blue a")));
        one.refuses_uplink(Some(BLUE_1), &forged, DropReason::SrcPaMismatch);

        let near = network.datagram("red a", "blue near a", version);
        one.refuses(3, RED_1, &near.frame(), DropReason::NoRoute);
    }
}

#[test]
fn a_gateways_guests_do_not_cross_a_peering() {
    // The gateway, red a and whom it claims to be are on one host: nobody behind a wire looks again.
    let network = peered(&[(BLUE, RED)]).with(|network| {
        let gate = network.machine_mut("gate");
        (gate.host, gate.is_gateway) = (1, true);
        let red_b = network.machine_mut("red b");
        (red_b.host, red_b.port) = (1, 6);
    });
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let outside = ["198.51.100.9", "2001:db8:ffff::9"][version];
        for source in [outside, network.machine("red b").addresses[version]] {
            let packet = network.datagram("gate", "red a", version);
            let packet = packet.with(|packet| packet.source = ip(source));
            host.refuses(5, BLUE_EDGE, &packet.frame(), DropReason::CaSpoof);
        }
        // In its own domain the gateway is believed, and it may cross the peering as itself.
        let inward = network.datagram("gate", "blue a", version);
        let inward = inward.with(|packet| packet.source = ip(outside));
        host.switches(5, 0, BLUE_EDGE, &inward.frame());
        let own = network.datagram("gate", "red a", version);
        host.switches(5, 3, BLUE_EDGE, &own.frame());
    }
}

#[test]
fn spec_2_11_detach_a_subnet_without_its_prefix_is_cut_off() {
    let network = Network::standard().with(|network| network.routes.clear());
    let mut host = Nve::new(&network.changes(1));
    for prefix in ["10.0.0.0/24", "2001:db8:1::/64"] {
        host.apply(&[Change::RemoveCustomerRoute(on_link(BLUE_1, prefix))]);
    }
    for version in 0..2 {
        let across = network.datagram("blue a", "blue near c", version);
        host.refuses(0, BLUE_1, &across.frame(), DropReason::NoRoute);
        let within = network.datagram("blue a", "blue near a", version);
        assert_eq!(host.switches(0, 1, BLUE_1, &within.frame()), within.frame());
    }
}

#[test]
fn a_peering_both_ways_carries_answers() {
    let network = peered(&[(BLUE, RED), (RED, BLUE)]);
    let mut fabric = Fabric::new(&network);
    for (from, port, to, arrives) in [
        ("blue a", 0, "red b", (2, 2)),
        ("red a", 3, "blue b", (2, 0)),
        ("red a", 3, "blue near a", (1, 1)),
    ] {
        let packet = network.datagram(from, to, 0);
        let arrival = fabric.send(1, port, &packet.frame()).unwrap();
        assert_eq!((arrival.host, arrival.port.0), arrives);
        assert_eq!(arrival.frame, routed(&packet, network.machine(to)));
    }
}

#[test]
fn a_peering_is_not_passed_on() {
    // Green is peered with nobody; and blue's peer does not lead to blue's gateway.
    let network = peered(&[(BLUE, RED), (RED, BLUE)]).with(|network| {
        network.routes = vec![via(BLUE_EDGE, "0.0.0.0/0", "10.0.2.2")];
    });
    let mut host = Nve::new(&network.changes(1));
    let packet = network.datagram("red a", "blue b", 0);
    let frame = packet
        .with(|packet| packet.destination = ip("8.8.8.8"))
        .frame();
    host.refuses(3, RED_1, &frame, DropReason::NoRoute);
    let packet = network.datagram("red a", "blue b", 0);
    let frame = packet
        .with(|packet| packet.destination = ip("10.0.0.99"))
        .frame();
    host.refuses(3, RED_1, &frame, DropReason::NoRecord);
}

#[test]
fn a_host_without_a_usable_path_is_no_path() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[
        Change::AddHost(HostId(3)),
        Change::AddHostAddress(HostId(3), pa("203.0.113.3")),
        Change::MoveRecord(
            RecordName::Address(vsid(BLUE_1), ca("10.0.0.7")),
            Location::Host(HostId(3)),
        ),
    ]);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    host.refuses(0, BLUE_1, &frame, DropReason::NoPath);
    host.apply(&[Change::AddProviderRoute(ProviderRoute {
        prefix: prefix("203.0.113.0/24"),
        next_hop: pa("192.168.4.1"),
        metric: 1,
    })]);
    assert!(matches!(host.take_from_port(0, &frame), Fate::Held(..)));
}

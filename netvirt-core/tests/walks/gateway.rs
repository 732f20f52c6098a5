//! Walk 6: out through a tenant's gateway, and in from it.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{mac, via};

const OUTSIDE: [&str; 2] = ["198.51.100.9", "2001:db8:ffff::9"];

/// From blue a to the world.
fn outward(network: &Network, version: usize) -> Packet {
    let packet = network.datagram("blue a", "gate", version);
    packet.with(|packet| {
        packet.destination = ip(OUTSIDE[version]);
        fill_transport(packet.source, packet.destination, 17, &mut packet.transport);
    })
}

/// From the world to a machine, as the gateway sends it.
fn inward(network: &Network, to: &str, version: usize) -> Packet {
    let packet = network.datagram("gate", to, version);
    packet.with(|packet| {
        packet.source = ip(OUTSIDE[version]);
        fill_transport(packet.source, packet.destination, 17, &mut packet.transport);
    })
}

fn routed(packet: &Packet, source: MacAddress, destination: MacAddress) -> Vec<u8> {
    let packet = packet.clone().between(source, destination);
    packet.with(|packet| packet.hop_limit -= 1).frame()
}

#[test]
fn spec_3_6_out_what_no_subnet_holds_goes_to_the_gateway() {
    let network = Network::standard();
    let gate = network.machine("gate").mac;
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        let packet = outward(&network, version);
        let inner = routed(&packet, ROUTER, gate);
        let wire = sender.transmits(0, BLUE_1, &packet.frame());
        assert_eq!(wire, network.tunnel(1, 2, BLUE_EDGE).wrap(&inner));
        assert_eq!(receiver.delivers(5, BLUE_EDGE, &wire), inner);
    }
}

#[test]
fn the_gateway_on_the_same_host_gets_it_directly() {
    let network = Network::standard().with(|network| network.machine_mut("gate").host = 1);
    let gate = network.machine("gate").mac;
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let packet = outward(&network, version);
        let out = host.switches(0, 5, BLUE_1, &packet.frame());
        assert_eq!(out, routed(&packet, ROUTER, gate));
        let packet = inward(&network, "blue a", version);
        let out = host.switches(5, 0, BLUE_EDGE, &packet.frame());
        assert_eq!(out, routed(&packet, ROUTER, network.machine("blue a").mac));
    }
}

#[test]
fn spec_3_6_in_the_world_comes_through_the_gateway() {
    let network = Network::standard();
    let blue_a = network.machine("blue a").mac;
    let mut gateway = Nve::new(&network.changes(2));
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let packet = inward(&network, "blue a", version);
        let inner = routed(&packet, ROUTER, blue_a);
        let wire = gateway.transmits(5, BLUE_EDGE, &packet.frame());
        assert_eq!(wire, network.tunnel(2, 1, BLUE_1).wrap(&inner));
        assert_eq!(host.delivers(0, BLUE_1, &wire), inner);
    }
}

#[test]
fn a_gateway_in_the_machines_own_subnet_speaks_with_its_own_mac() {
    let network = Network::standard().with(|network| {
        let gate = network.machine_mut("gate");
        gate.vsid = BLUE_1;
        gate.addresses = vec!["10.0.0.2"];
        network.routes = vec![via(BLUE_1, "0.0.0.0/0", "10.0.0.2")];
    });
    let (blue_a, gate) = (network.machine("blue a").mac, network.machine("gate").mac);
    let mut fabric = Fabric::new(&network);
    let packet = outward(&network, 0);
    let arrival = fabric.send(1, 0, &packet.frame()).unwrap();
    assert_eq!((arrival.host, arrival.port), (2, PortId(5)));
    assert_eq!(arrival.frame, routed(&packet, blue_a, gate));

    let packet = inward(&network, "blue a", 0);
    let arrival = fabric.send(2, 5, &packet.frame()).unwrap();
    assert_eq!((arrival.host, arrival.port), (1, PortId(0)));
    assert_eq!(arrival.frame, packet.clone().between(gate, blue_a).frame());
    let from_router = network
        .tunnel(2, 1, BLUE_1)
        .wrap(&packet.between(ROUTER, blue_a).frame());
    fabric
        .host(1)
        .refuses_uplink(Some(BLUE_1), &from_router, DropReason::InnerSrcMac);
}

#[test]
fn two_gateways_of_one_host_are_both_believed() {
    let network = Network::standard().with(|network| {
        let mut second = network.machine("gate").clone();
        second.name = "second gate";
        second.mac = mac("060600000003");
        second.vsid = BLUE_1;
        second.addresses = vec!["10.0.0.3"];
        second.port = 6;
        network.machines.push(second);
    });
    let mut fabric = Fabric::new(&network);
    for (port, gate) in [(5, "gate"), (6, "second gate")] {
        let packet = inward(&network, "blue a", 0)
            .with(|packet| packet.source_mac = network.machine(gate).mac);
        let arrival = fabric.send(2, port, &packet.frame()).unwrap();
        assert_eq!((arrival.host, arrival.port), (1, PortId(0)), "{gate}");
    }
}

#[test]
fn gateways_of_two_hosts_are_both_believed() {
    let network = Network::standard().with(|network| {
        network.hosts = 3;
        let mut second = network.machine("gate").clone();
        second.name = "second gate";
        second.mac = mac("060600000203");
        second.addresses = vec!["10.0.2.3"];
        second.host = 3;
        network.machines.push(second);
    });
    let mut fabric = Fabric::new(&network);
    for (host, gate) in [(2, "gate"), (3, "second gate")] {
        let packet = inward(&network, "blue a", 0)
            .with(|packet| packet.source_mac = network.machine(gate).mac);
        let arrival = fabric.send(host, 5, &packet.frame()).unwrap();
        assert_eq!((arrival.host, arrival.port), (1, PortId(0)), "{gate}");
    }
}

#[test]
fn spec_3_6_in_an_outside_source_is_believed_only_from_the_gateways_host() {
    let network = Network::standard().with(|network| network.hosts = 3);
    let blue_a = network.machine("blue a").mac;
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let inner = routed(&inward(&network, "blue a", version), ROUTER, blue_a);
        let forged = network.tunnel(3, 1, BLUE_1).wrap(&inner);
        host.refuses_uplink(Some(BLUE_1), &forged, DropReason::SrcPaMismatch);
        let strange = inward(&network, "blue a", version).between(mac("060600000007"), blue_a);
        let wire = network.tunnel(2, 1, BLUE_1).wrap(&strange.frame());
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerSrcMac);
    }
}

#[test]
fn spec_3_6_in_a_gateway_cannot_pass_for_a_machine_of_its_tenant() {
    let network = Network::standard();
    let blue_a = network.machine("blue a").mac;
    let mut gateway = Nve::new(&network.changes(2));
    let mut host = Nve::new(&network.changes(1));
    for source in ["10.0.0.77", "10.0.0.9", "10.0.1.6", "10.0.2.77"] {
        let packet = inward(&network, "blue a", 0).with(|packet| packet.source = ip(source));
        gateway.refuses(5, BLUE_EDGE, &packet.frame(), DropReason::CaSpoof);
    }
    for source in ["10.0.0.77", "10.0.0.9", "10.0.2.77"] {
        let packet = inward(&network, "blue a", 0).with(|packet| packet.source = ip(source));
        let wire = network
            .tunnel(2, 1, BLUE_1)
            .wrap(&routed(&packet, ROUTER, blue_a));
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
    }
}

#[test]
fn a_gateway_does_not_speak_for_the_router_nor_for_what_is_no_machine() {
    let network = Network::standard();
    let blue_a = network.machine("blue a").mac;
    let mut gateway = Nve::new(&network.changes(2));
    let mut host = Nve::new(&network.changes(1));
    let ipv4 = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"];
    let ipv6 = ["::", "::1", "fe80::1", "fe80::7", "ff02::1"];
    for (version, source) in [(0, &ipv4[..]), (1, &ipv6[..])]
        .into_iter()
        .flat_map(|(version, sources)| sources.iter().map(move |source| (version, source)))
    {
        let packet = inward(&network, "blue a", version).with(|packet| packet.source = ip(source));
        gateway.refuses(5, BLUE_EDGE, &packet.frame(), DropReason::CaSpoof);
        let wire = network
            .tunnel(2, 1, BLUE_1)
            .wrap(&routed(&packet, ROUTER, blue_a));
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
    }
}

#[test]
fn the_gateway_speaks_for_itself_too() {
    let network = Network::standard();
    let mut fabric = Fabric::new(&network);
    let packet = network.datagram("gate", "blue a", 0);
    let arrival = fabric.send(2, 5, &packet.frame()).unwrap();
    assert_eq!(
        arrival.frame,
        routed(&packet, ROUTER, network.machine("blue a").mac)
    );
}

#[test]
fn another_tenants_gateway_is_not_believed() {
    let network = Network::standard();
    let red_a = network.machine("red a").mac;
    let mut host = Nve::new(&network.changes(1));
    let inner = routed(&inward(&network, "red a", 0), ROUTER, red_a);
    let wire = network.tunnel(2, 1, RED_1).wrap(&inner);
    host.refuses_uplink(Some(RED_1), &wire, DropReason::SrcPaMismatch);
}

#[test]
fn without_its_wildcard_record_no_machine_is_a_gateway() {
    let network =
        Network::standard().with(|network| network.machine_mut("gate").is_gateway = false);
    let mut two = Nve::new(&network.changes(2));
    let packet = inward(&network, "blue a", 0);
    two.refuses(5, BLUE_EDGE, &packet.frame(), DropReason::CaSpoof);
    let wire = network.tunnel(1, 2, BLUE_EDGE).wrap(&routed(
        &outward(&network, 0),
        ROUTER,
        network.machine("gate").mac,
    ));
    two.refuses_uplink(Some(BLUE_EDGE), &wire, DropReason::NoLocalDst);
}

#[test]
fn a_route_to_nobody_carries_nothing() {
    let network = Network::standard();
    let nobody = network.clone().with(|network| {
        network.routes = vec![via(BLUE_EDGE, "0.0.0.0/0", "10.0.2.99")];
    });
    let nowhere = network.clone().with(|network| {
        network.routes = vec![via(BLUE_EDGE, "0.0.0.0/0", "10.7.7.7")];
    });
    let frame = outward(&network, 0).frame();
    Nve::new(&nobody.changes(1)).refuses(0, BLUE_1, &frame, DropReason::NoRecord);
    let mut host = Nve::new(&nowhere.changes(1));
    host.refuses(0, BLUE_1, &frame, DropReason::NoPath);
    // A sender that is not believed is refused as that, wherever it wanted to go.
    let spoofed = outward(&network, 0).with(|packet| packet.source = ip("10.0.0.66"));
    host.refuses(0, BLUE_1, &spoofed.frame(), DropReason::CaSpoof);
}

#[test]
fn the_longest_route_wins_and_a_record_beats_every_route() {
    let network = Network::standard().with(|network| {
        let mut second = network.machine("gate").clone();
        second.name = "second gate";
        second.mac = mac("060600000203");
        second.addresses = vec!["10.0.2.3"];
        second.port = 6;
        network.machines.push(second);
        network
            .routes
            .push(via(BLUE_EDGE, "198.51.100.0/24", "10.0.2.3"));
        network
            .routes
            .push(via(BLUE_EDGE, "10.0.0.7/32", "10.0.2.3"));
        network
            .routes
            .push(via(BLUE_EDGE, "10.0.0.77/32", "10.0.2.3"));
    });
    let mut fabric = Fabric::new(&network);
    for (destination, port) in [
        ("198.51.100.9", 6),
        ("198.51.101.9", 5),
        ("10.0.0.7", 0),
        ("10.0.0.77", 6),
    ] {
        let packet = outward(&network, 0).with(|packet| packet.destination = ip(destination));
        let arrival = fabric.send(1, 0, &packet.frame()).unwrap();
        assert_eq!(
            (arrival.host, arrival.port),
            (2, PortId(port)),
            "{destination}"
        );
    }
}

#[test]
fn spec_2_3_metric_of_equal_routes_the_cheaper_wins() {
    let network = Network::standard().with(|network| {
        let mut second = network.machine("gate").clone();
        second.name = "second gate";
        second.mac = mac("060600000203");
        second.addresses = vec!["10.0.2.3"];
        second.port = 6;
        network.machines.push(second);
        network.routes.push(CustomerRoute {
            metric: 1,
            ..via(BLUE_EDGE, "0.0.0.0/0", "10.0.2.3")
        });
    });
    let mut fabric = Fabric::new(&network);
    let arrival = fabric.send(1, 0, &outward(&network, 0).frame()).unwrap();
    assert_eq!(arrival.port, PortId(6));
}

//! A sender is believed only for what policy says of it: at its own host, and again at the receiver's.

use netvirt_core::datapath::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::mac;
use crate::support::network::*;
use crate::support::packets::*;

#[test]
fn spec_3_guard_a_machine_speaks_only_with_its_own_mac() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for (port, name) in [(0, "blue a"), (4, "green a")] {
        let machine = network.machine(name);
        for foreign in [
            "060600000009",
            "080800000005",
            "000000000000",
            "ffffffffffff",
        ] {
            let packet = network
                .datagram(name, name, 0)
                .between(mac(foreign), ROUTER);
            host.refuses(port, machine.vsid, &packet.frame(), DropReason::MacSpoof);
            let asked = arp_request((mac(foreign), "10.0.0.5"), "10.0.0.7");
            host.refuses(port, machine.vsid, &asked, DropReason::MacSpoof);
        }
    }
}

#[test]
fn spec_3_guard_a_machine_speaks_only_with_its_own_addresses() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for (port, from, to) in [(0, "blue a", "blue b"), (4, "green a", "green b")] {
        let vsid = network.machine(from).vsid;
        // A neighbour on the same host, one on another host, nobody, the gateway, outside, none.
        for source in [
            "10.0.0.9",
            "10.0.0.7",
            "10.0.0.99",
            "10.0.0.1",
            "198.51.100.9",
            "0.0.0.0",
            "10.0.1.8",
        ] {
            let packet = network.datagram(from, to, 0);
            let frame = packet.with(|packet| packet.source = ip(source)).frame();
            host.refuses(port, vsid, &frame, DropReason::CaSpoof);
        }
        for source in [
            "2001:db8:1::9",
            "2001:db8:1::7",
            "2001:db8:1::1",
            "::",
            "fe80::1",
            "2001:db8:ffff::9",
        ] {
            let packet = network.datagram(from, to, 1);
            let frame = packet.with(|packet| packet.source = ip(source)).frame();
            host.refuses(port, vsid, &frame, DropReason::CaSpoof);
        }
    }
}

#[test]
fn spec_3_guard_a_spoofed_sender_is_refused_as_that_wherever_it_sends() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for destination in ["10.0.0.99", "10.0.1.6", "8.8.8.8", "10.0.0.1", "10.0.0.9"] {
        let packet = network.datagram("red a", "red b", 0).with(|packet| {
            packet.source = ip("10.0.0.66");
            packet.destination = ip(destination);
            packet.hop_limit = 1;
        });
        host.refuses(3, RED_1, &packet.frame(), DropReason::CaSpoof);
    }
}

/// Three hosts, so that one can lie about another.
fn three() -> Network {
    Network::standard().with(|network| network.hosts = 3)
}

#[test]
fn spec_1_5_18_and_6_forged_host_a_sender_is_believed_only_from_its_host() {
    for outer in [Outer::V4, Outer::V6] {
        let network = three().with(|network| network.outer = outer);
        let mut host = Nve::new(&network.changes(2));
        for version in 0..2 {
            let inner = network.datagram("blue a", "blue b", version);
            let forged = network.tunnel(3, 2, BLUE_1).wrap(&inner.frame());
            host.refuses_uplink(Some(BLUE_1), &forged, DropReason::SrcPaMismatch);
            let honest = network.tunnel(1, 2, BLUE_1).wrap(&inner.frame());
            assert_eq!(host.delivers(0, BLUE_1, &honest), inner.frame());
            // From another address of the sender's host it is still the sender's host.
            let other = match outer {
                Outer::V4 => network.clone().with(|network| network.outer = Outer::V6),
                Outer::V6 => network.clone().with(|network| network.outer = Outer::V4),
            };
            let honest = other.tunnel(1, 2, BLUE_1).wrap(&inner.frame());
            assert_eq!(host.delivers(0, BLUE_1, &honest), inner.frame());
        }
    }
}

#[test]
fn spec_6_forged_host_that_no_policy_knows_is_not_believed() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let inner = network.datagram("blue a", "blue b", 0).frame();
    let tunnel = network
        .tunnel(1, 2, BLUE_1)
        .with(|tunnel| tunnel.source = ip("203.0.113.7"));
    host.refuses_uplink(
        Some(BLUE_1),
        &tunnel.wrap(&inner),
        DropReason::SrcPaMismatch,
    );
    // The address of one version is not that of the other with the same bits.
    let tunnel = network
        .clone()
        .with(|network| network.outer = Outer::V6)
        .tunnel(1, 2, BLUE_1);
    let tunnel = tunnel.with(|tunnel| tunnel.source = ip("::c0a8:040b"));
    host.refuses_uplink(
        Some(BLUE_1),
        &tunnel.wrap(&inner),
        DropReason::SrcPaMismatch,
    );
}

#[test]
fn spec_1_5_18_no_sender_without_record_is_believed() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    for (version, source) in [
        (0, "10.0.0.99"),
        (0, "10.0.0.1"),
        (0, "10.0.1.99"),
        (0, "198.51.100.9"),
        (0, "0.0.0.0"),
        (1, "2001:db8:1::99"),
        (1, "fe80::1"),
        (1, "::"),
    ] {
        let packet = network.datagram("blue a", "blue b", version);
        let inner = packet.with(|packet| packet.source = ip(source)).frame();
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&inner);
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
    }
}

#[test]
fn a_receiver_believes_nobody_who_says_to_be_a_machine_of_its_own() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let inner = network.datagram("blue near a", "blue a", 0).frame();
    let wire = network.tunnel(2, 1, BLUE_1).wrap(&inner);
    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
    let routed = network.datagram("blue near c", "blue a", 0);
    let routed = routed
        .between(ROUTER, network.machine("blue a").mac)
        .frame();
    let wire = network.tunnel(2, 1, BLUE_1).wrap(&routed);
    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
}

#[test]
fn spec_1_5_inner_mac_is_the_senders_or_across_subnets_the_routers() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let blue_b = network.machine("blue b").mac;
    let from = |name: &str, source: MacAddress| {
        let packet = network.datagram(name, "blue b", 0).between(source, blue_b);
        network.tunnel(1, 2, BLUE_1).wrap(&packet.frame())
    };
    let (a, near_c) = (
        network.machine("blue a").mac,
        network.machine("blue near c").mac,
    );
    host.delivers(0, BLUE_1, &from("blue a", a));
    host.delivers(0, BLUE_1, &from("blue near c", ROUTER));
    for (name, source) in [
        ("blue a", ROUTER),
        ("blue a", near_c),
        ("blue near c", near_c),
        ("blue near c", a),
    ] {
        host.refuses_uplink(Some(BLUE_1), &from(name, source), DropReason::InnerSrcMac);
    }
}

#[test]
fn spec_1_5_order_the_source_is_judged_before_the_destination() {
    let network = three();
    let mut host = Nve::new(&network.changes(2));
    let inner = network
        .datagram("blue a", "blue b", 0)
        .with(|packet| packet.destination = ip("10.0.0.99"));
    let forged = network.tunnel(3, 2, BLUE_1).wrap(&inner.frame());
    host.refuses_uplink(Some(BLUE_1), &forged, DropReason::SrcPaMismatch);
    let honest = network.tunnel(1, 2, BLUE_1).wrap(&inner.frame());
    host.refuses_uplink(Some(BLUE_1), &honest, DropReason::NoLocalDst);
}

#[test]
fn spec_6_foreign_domain_a_frame_in_another_tenants_vsid_is_not_believed() {
    let network = Network::standard().with(|network| {
        network.machines.retain(|machine| machine.name != "red a");
    });
    let mut host = Nve::new(&network.changes(2));
    let inner = network.datagram("blue a", "blue b", 0).frame();
    let wire = network.tunnel(1, 2, RED_1).wrap(&inner);
    host.refuses_uplink(Some(RED_1), &wire, DropReason::SrcPaMismatch);
    // Green has a machine of that address on that host, but not of that MAC address.
    for vsid in [GREEN_1, GREEN_2] {
        let wire = network.tunnel(1, 2, vsid).wrap(&inner);
        host.refuses_uplink(Some(vsid), &wire, DropReason::InnerSrcMac);
    }
}

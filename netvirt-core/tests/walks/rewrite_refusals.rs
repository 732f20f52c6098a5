//! What IP rewrite cannot carry, refused on both sides.

use netvirt_core::datapath::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Refused from green a, and as it would come to green b from a host that did not refuse it.
fn refused_both_ways(packet: Packet, reason: DropReason) {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let frame = packet.clone().between(a.mac, b.mac).frame();
    Nve::new(&network.changes(1)).refuses(4, GREEN_1, &frame, reason);
    let version = usize::from(packet.source.is_ipv6());
    let rewritten = packet.between(host_mac(1), host_mac(2)).with(|packet| {
        packet.source = ip(a.rewrite[version]);
        packet.destination = ip(b.rewrite[version]);
    });
    Nve::new(&network.changes(2)).refuses_uplink(Some(GREEN_1), &rewritten.frame(), reason);
    // The tunnel takes it all.
    let blue = network.machine("blue a").mac;
    let frame = rewritten.between(blue, blue).with(|packet| {
        packet.source = ip(a.addresses[version]);
        packet.destination = ip(b.addresses[version]);
    });
    Nve::new(&network.changes(1)).transmits(0, BLUE_1, &frame.frame());
}

const V4: (&str, &str) = ("10.0.0.5", "10.0.0.7");
const V6: (&str, &str) = ("2001:db8:1::5", "2001:db8:1::7");

#[test]
fn spec_1_7_7_address_lists_in_ipv4_options() {
    for kind in [131, 137, 7] {
        let packet = Packet::udp(V4.0, V4.1, b"x");
        let packet = packet.with(|packet| packet.ipv4_options = vec![kind, 7, 4, 10, 0, 0, 1, 0]);
        refused_both_ways(packet, DropReason::SourceRoute);
    }
}

#[test]
fn spec_1_7_7_timestamps_with_the_addresses_of_who_wrote_them() {
    let with_flag = |flag: u8| {
        let option = vec![68, 12, 5, flag, 0, 0, 0, 0, 0, 0, 0, 0];
        Packet::udp(V4.0, V4.1, b"x").with(|packet| packet.ipv4_options = option)
    };
    for flag in [1, 3, 0xf1] {
        refused_both_ways(with_flag(flag), DropReason::SourceRoute);
    }
    // Times alone tell nothing of the provider network.
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let frame = with_flag(0xf0).between(a.mac, b.mac).frame();
    let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &frame);
    assert_eq!(
        Nve::new(&network.changes(2)).delivers(3, GREEN_1, &wire),
        frame
    );
}

#[test]
fn spec_1_7_7_address_lists_in_ipv6_extension_headers() {
    let home_address = [&[0, 2, 1, 2, 0, 0, 201, 16][..], &[0x20; 16]].concat();
    for (number, header) in [
        (43, vec![0, 0, 0, 0, 0, 0, 0, 0]),
        (43, vec![0, 0, 4, 1, 0, 0, 0, 0]),
        (43, vec![0, 0, 2, 1, 0, 0, 0, 0]),
        (60, home_address),
    ] {
        let packet = Packet::udp(V6.0, V6.1, b"x");
        let packet = packet.with(|packet| packet.extensions = vec![(number, header)]);
        refused_both_ways(packet, DropReason::SourceRoute);
    }
}

#[test]
fn spec_1_7_7_a_chain_of_extension_headers_without_end() {
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let packet = Packet::udp(V6.0, V6.1, b"x");
    let packet = packet.with(|packet| packet.extensions = vec![(60, padding); 9]);
    refused_both_ways(packet, DropReason::RewriteUnsupported);
}

#[test]
fn spec_1_7_4_routing_protocols_of_ipv6() {
    for protocol in [89, 103] {
        refused_both_ways(
            Packet::raw(V6.0, V6.1, protocol, &[0; 24]),
            DropReason::RewriteUnsupported,
        );
    }
}

#[test]
fn spec_1_7_6_a_first_fragment_must_hold_its_checksum() {
    // An ICMPv6 message without its first byte goes nowhere at all.
    for (protocol, lengths) in [(6, [0, 17]), (17, [0, 7]), (58, [1, 3])] {
        for length in lengths {
            if protocol != 58 {
                let packet = Packet::raw(V4.0, V4.1, protocol, &vec![0; length]);
                let packet = packet.with(|packet| packet.fragment = 0x2000);
                refused_both_ways(packet, DropReason::TinyFragment);
            }
            let payload: Vec<u8> = [128, 0, 0, 0].into_iter().cycle().take(length).collect();
            let packet = Packet::raw(V6.0, V6.1, protocol, &payload);
            let packet = packet.with(|packet| packet.fragment = 0x2000);
            refused_both_ways(packet, DropReason::TinyFragment);
        }
    }
}

#[test]
fn spec_1_7_6_no_fragment_may_replace_the_flags_of_tcp() {
    for (source, destination) in [V4, V6] {
        let packet = Packet::raw(source, destination, 6, &[0; 32]);
        let packet = packet.with(|packet| packet.fragment = 0x2001);
        refused_both_ways(packet, DropReason::TinyFragment);
    }
}

#[test]
fn spec_1_7_not_carried_are_other_protocols_and_tags() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let packet = network.datagram("green a", "green b", 0);
    let tagged = packet
        .clone()
        .with(|packet| packet.tags = vec![(0x8100, 5)]);
    host.refuses(4, GREEN_1, &tagged.frame(), DropReason::VmVlan);
    let mut frame = packet.frame();
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    host.refuses(4, GREEN_1, &frame, DropReason::Ethertype);
}

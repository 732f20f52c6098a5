//! IP rewrite to the byte: each payload, each protocol number, each error of a checksum.

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Green a and green b: customer addresses, then provider addresses.
const VERSIONS: [[&str; 4]; 2] = [
    ["10.0.0.5", "10.0.0.7", "192.168.4.105", "192.168.4.207"],
    [
        "2001:db8:1::5",
        "2001:db8:1::7",
        "fd00:4::105",
        "fd00:4::207",
    ],
];
const IPV4: usize = 0;
const IPV6: usize = 1;

/// From green a to green b, its transport checksum as it should be.
fn green(version: usize, protocol: u8, transport: &[u8]) -> Packet {
    let [source, destination, ..] = VERSIONS[version];
    let network = Network::standard();
    let packet = Packet::raw(source, destination, protocol, transport).between(
        network.machine("green a").mac,
        network.machine("green b").mac,
    );
    summed(packet)
}

/// With the transport checksum that belongs there.
fn summed(packet: Packet) -> Packet {
    packet.with(|packet| {
        let (source, destination) = (packet.source, packet.destination);
        fill_transport(source, destination, packet.protocol, &mut packet.transport);
    })
}

/// On the wire: between the provider addresses and the hosts, its transport as it is.
fn between_hosts(packet: &Packet) -> Packet {
    let [.., source, destination] = VERSIONS[usize::from(packet.source.is_ipv6())];
    let packet = packet.clone().between(host_mac(1), host_mac(2));
    packet.with(|packet| (packet.source, packet.destination) = (ip(source), ip(destination)))
}

/// What the wire carries, and that the frame arrives as it was sent.
fn travels(packet: &Packet, on_the_wire: &Packet) {
    let network = Network::standard();
    let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &packet.frame());
    assert_eq!(wire, on_the_wire.frame());
    let arrived = Nve::new(&network.changes(2)).delivers(3, GREEN_1, &wire);
    assert_eq!(arrived, packet.frame());
}

/// The checksum of the transport is what it would have been between the provider addresses.
fn travels_summed(packet: &Packet) {
    travels(packet, &summed(between_hosts(packet)));
}

/// The transport is not touched.
fn travels_untouched(packet: &Packet) {
    travels(packet, &between_hosts(packet));
}

fn udp(version: usize, payload: &[u8]) -> Packet {
    let [source, destination, ..] = VERSIONS[version];
    green(
        version,
        17,
        &Packet::udp(source, destination, payload).transport,
    )
}

fn tcp(version: usize, payload: &[u8]) -> Packet {
    let [source, destination, ..] = VERSIONS[version];
    green(
        version,
        6,
        &Packet::tcp(source, destination, payload).transport,
    )
}

#[test]
fn spec_3_3_and_1_7_3_the_frame_arrives_as_it_was_sent() {
    for version in [IPV4, IPV6] {
        for length in [0, 1, 2, 3, 64, 1400] {
            let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
            travels_summed(&udp(version, &payload));
            travels_summed(&tcp(version, &payload));
        }
    }
}

#[test]
fn spec_1_7_4_sctp_and_all_others_get_other_addresses_and_no_more() {
    // Each version has its own ICMP, and routing protocols of IPv6 sum its addresses.
    let known: [&[u8]; 2] = [&[1, 6, 17, 33, 136], &[6, 17, 33, 58, 89, 103, 136]];
    let headers = [0, 43, 44, 51, 60, 135, 139, 140, 253, 254];
    for version in [IPV4, IPV6] {
        for protocol in 0..=255 {
            if known[usize::from(version == IPV6)].contains(&protocol)
                || (version == IPV6 && headers.contains(&protocol))
            {
                continue;
            }
            travels_untouched(&green(version, protocol, b"some payload of a protocol"));
        }
        // An authentication header is the end of what is read, whatever it says comes next.
        let authenticated = hex("11 04 0000 00000100 00000001 000102030405060708090a0b");
        travels_untouched(&green(version, 51, &authenticated));
    }
}

#[test]
fn spec_1_7_4_a_wrong_checksum_stays_wrong_by_as_much() {
    for version in [IPV4, IPV6] {
        for (packet, at) in [(udp(version, b"hello, hnv"), 6), (tcp(version, b"x"), 16)] {
            let right = summed(between_hosts(&packet));
            let sum = |packet: &Packet| {
                u32::from(u16::from_be_bytes([
                    packet.transport[at],
                    packet.transport[at + 1],
                ]))
            };
            for error in [1u32, 0x1234, 0x8000] {
                let off = |packet: &Packet| {
                    let wrong = sum(packet) + error;
                    let wrong = (wrong & 0xffff) + (wrong >> 16);
                    packet.clone().with(|packet| {
                        packet.transport[at..at + 2].copy_from_slice(&(wrong as u16).to_be_bytes());
                    })
                };
                travels(&off(&packet), &off(&right));
            }
        }
    }
}

#[test]
fn spec_2_2_vm_mac_is_no_matter_of_tunnels() {
    let network = Network::standard().with(|network| {
        network.machine_mut("green a").use_vm_mac = true;
        network.machine_mut("green b").rewrite.clear();
    });
    let frame = udp(IPV4, b"hello, hnv").frame();
    let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &frame);
    assert_eq!(wire, network.tunnel(1, 2, GREEN_1).wrap(&frame));
}

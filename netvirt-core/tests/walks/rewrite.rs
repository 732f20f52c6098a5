//! Walk 3: IP rewrite, there and back.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

const VERSIONS: [[&str; 4]; 2] = [
    ["10.0.0.5", "10.0.0.7", "192.168.4.105", "192.168.4.207"],
    [
        "2001:db8:1::5",
        "2001:db8:1::7",
        "fd00:4::105",
        "fd00:4::207",
    ],
];

/// The same packet between other addresses, with its checksum computed anew.
pub(super) fn readdressed(packet: &Packet, source: &str, destination: &str) -> Packet {
    packet.clone().with(|packet| {
        (packet.source, packet.destination) = (ip(source), ip(destination));
        fill_transport(
            packet.source,
            packet.destination,
            packet.protocol,
            &mut packet.transport,
        );
    })
}

/// Green a to green b, there and back: what the wire carries, and that the frame comes out as it went in.
fn there_and_back(network: &Network, packet: &Packet, on_the_wire: &Packet) {
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    let wire = sender.transmits(4, GREEN_1, &packet.frame());
    let expected = on_the_wire.clone().between(host_mac(1), host_mac(2));
    assert_eq!(wire, expected.frame());
    assert_eq!(receiver.delivers(3, GREEN_1, &wire), packet.frame());
}

fn green(network: &Network, packet: Packet) -> Packet {
    packet.between(
        network.machine("green a").mac,
        network.machine("green b").mac,
    )
}

/// There and back, in both versions of IP; the wire carries what would have been written between provider addresses.
fn both_versions(packet: impl Fn(&str, &str) -> Packet) {
    let network = Network::standard();
    for [source, destination, outer_source, outer_destination] in VERSIONS {
        let packet = green(&network, packet(source, destination));
        let expected = readdressed(&packet, outer_source, outer_destination);
        there_and_back(&network, &packet, &expected);
    }
}

#[test]
fn spec_1_7_4_tcp_and_dccp() {
    for payload in [&b""[..], b"odd", b"hello, hnv"] {
        both_versions(|source, destination| Packet::tcp(source, destination, payload));
    }
    both_versions(|source, destination| {
        let dccp = [&[4, 87, 8, 174, 4, 0, 0, 0][..], &[7; 12]].concat();
        let packet = Packet::raw(source, destination, 33, &dccp);
        readdressed(&packet, source, destination)
    });
}

#[test]
fn spec_1_7_4_udp_and_udp_lite() {
    for protocol in [17, 136] {
        for payload in [&b""[..], b"odd", b"hello, hnv"] {
            both_versions(|source, destination| {
                let packet = Packet::udp(source, destination, payload)
                    .with(|packet| packet.protocol = protocol);
                readdressed(&packet, source, destination)
            });
        }
    }
}

#[test]
fn spec_1_7_4_a_udp_checksum_of_zero_is_sent_as_the_other_zero() {
    let network = Network::standard();
    for [source, destination, outer_source, outer_destination] in VERSIONS {
        let with_word =
            |from: &str, to: &str, word: u16| Packet::udp(from, to, &word.to_be_bytes());
        let is_zero = |packet: &Packet| packet.transport[6..8] == [0xff; 2];
        let on_the_wire = (0..=u16::MAX)
            .map(|word| with_word(outer_source, outer_destination, word))
            .find(is_zero)
            .unwrap();
        let here = (0..=u16::MAX)
            .map(|word| with_word(source, destination, word))
            .find(is_zero)
            .unwrap();
        let packets = [readdressed(&on_the_wire, source, destination), here];
        for packet in packets {
            let packet = green(&network, packet);
            let expected = readdressed(&packet, outer_source, outer_destination);
            there_and_back(&network, &packet, &expected);
        }
    }
}

#[test]
fn spec_1_7_4_icmp_of_ipv4_covers_no_addresses() {
    let network = Network::standard();
    let [source, destination, outer_source, outer_destination] = VERSIONS[0];
    for kind in [0, 8, 9, 10, 13, 14, 17, 18, 30, 40, 255] {
        let packet = green(
            &network,
            Packet::icmp(source, destination, 1, kind, b"hello"),
        );
        let expected = readdressed(&packet, outer_source, outer_destination);
        assert_eq!(expected.transport, packet.transport);
        there_and_back(&network, &packet, &expected);
    }
}

#[test]
fn spec_1_7_4_icmpv6() {
    let network = Network::standard();
    let [source, destination, outer_source, outer_destination] = VERSIONS[1];
    for kind in [128, 129, 130, 131, 143, 200, 255] {
        let packet = green(
            &network,
            Packet::icmp(source, destination, 58, kind, b"hello"),
        );
        let expected = readdressed(&packet, outer_source, outer_destination);
        assert_ne!(expected.transport, packet.transport);
        there_and_back(&network, &packet, &expected);
    }
}

#[test]
fn spec_1_7_4_sctp_esp_gre_ip_in_ip_igmp_ah_and_all_others_change_no_byte_of_payload() {
    for protocol in [132, 50, 47, 4, 41, 2, 51, 46, 59, 112, 253] {
        both_versions(|source, destination| {
            Packet::raw(source, destination, protocol, b"some payload")
        });
    }
    // OSPF and PIM of IPv4 cover no addresses.
    let network = Network::standard();
    let [source, destination, outer_source, outer_destination] = VERSIONS[0];
    for protocol in [89, 103] {
        let packet = Packet::raw(source, destination, protocol, b"some payload");
        let packet = green(&network, packet);
        let expected = readdressed(&packet, outer_source, outer_destination);
        there_and_back(&network, &packet, &expected);
    }
}

/// A datagram of this protocol without a checksum, and the same between provider addresses.
fn without_checksum(network: &Network, protocol: u8, version: [&str; 4]) -> [Packet; 2] {
    let [source, destination, outer_source, outer_destination] = version;
    let packet = green(network, Packet::udp(source, destination, b"hello"));
    let outer = readdressed(&packet, outer_source, outer_destination);
    [packet, outer].map(|packet| {
        packet.with(|packet| {
            packet.protocol = protocol;
            packet.transport[6..8].fill(0);
        })
    })
}

#[test]
fn spec_1_7_4_an_absent_udp_checksum_stays_absent() {
    let network = Network::standard();
    for version in VERSIONS {
        let [packet, expected] = without_checksum(&network, 17, version);
        there_and_back(&network, &packet, &expected);
    }
}

#[test]
fn spec_1_7_4_udp_lite_without_a_checksum_is_left_and_counted() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in VERSIONS {
        let [packet, expected] = without_checksum(&network, 136, version);
        let (frame, wire) = (
            packet.frame(),
            expected.between(host_mac(1), host_mac(2)).frame(),
        );
        let bytes = frame.len();
        let fate = sender.take_from_port(4, &frame);
        assert_eq!(fate, Fate::Transmitted(UplinkId(0), wire.clone()));
        assert_eq!(
            sender.counted(),
            counted_from_port("transmitted 1, checksums_absent", 4, GREEN_1, bytes)
        );
        let fate = receiver.take_from_uplink(&wire);
        assert_eq!(fate, Fate::Delivered(PortId(3), frame));
        let counted = counted_to_port(3, GREEN_1, bytes);
        assert_eq!(
            receiver.counted(),
            counted.replace("delivered 1", "delivered 1, checksums_absent 1")
        );
    }
}

#[test]
fn spec_1_7_3_the_flow_label_stays() {
    let network = Network::standard();
    let packet = network.datagram("green a", "green b", 1);
    let mut frame = packet.frame();
    frame[15..18].copy_from_slice(&[0x0a, 0xbc, 0xde]);
    let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &frame);
    assert_eq!(wire[15..18], frame[15..18]);
    assert_eq!(
        Nve::new(&network.changes(2)).delivers(3, GREEN_1, &wire),
        frame
    );
}

#[test]
fn spec_1_7_4_a_wrong_checksum_stays_wrong() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for [source, destination, ..] in VERSIONS {
        for at in [6, 16] {
            let packet = match at {
                6 => Packet::udp(source, destination, b"hello, hnv"),
                _ => Packet::tcp(source, destination, b"hello, hnv"),
            };
            let packet = green(&network, packet).with(|packet| packet.transport[at + 1] ^= 0x55);
            let wire = sender.transmits(4, GREEN_1, &packet.frame());
            let header = wire.len() - packet.transport.len();
            let (protocol, segment) = (packet.protocol, &wire[header..]);
            let provider = readdressed(
                &packet,
                VERSIONS[usize::from(packet.source.is_ipv6())][2],
                VERSIONS[usize::from(packet.source.is_ipv6())][3],
            );
            let mut right = segment.to_vec();
            fill_transport(provider.source, provider.destination, protocol, &mut right);
            assert_ne!(segment, right);
            assert_eq!(receiver.delivers(3, GREEN_1, &wire), packet.frame());
        }
    }
    // Nor is the checksum of the IP header repaired: the receiver's host refuses it.
    let mut broken = green(&network, Packet::udp("10.0.0.5", "10.0.0.7", b"hello")).frame();
    broken[24] ^= 1;
    let wire = sender.transmits(4, GREEN_1, &broken);
    receiver.refuses_uplink(Some(GREEN_1), &wire, DropReason::OuterMalformed);
}

#[test]
fn spec_1_7_6_every_fragment_is_rewritten_and_only_the_first_has_a_checksum() {
    let network = Network::standard();
    for [source, destination, outer_source, outer_destination] in VERSIONS {
        let whole = green(&network, Packet::udp(source, destination, &[7; 64]));
        let rewritten = readdressed(&whole, outer_source, outer_destination);
        let cut = |packet: &Packet, first: bool| {
            packet.clone().with(|packet| {
                packet.fragment = if first { 0x2000 } else { 4 };
                let (head, tail) = packet.transport.split_at(32);
                packet.transport = if first { head.to_vec() } else { tail.to_vec() };
            })
        };
        for first in [true, false] {
            there_and_back(&network, &cut(&whole, first), &cut(&rewritten, first));
        }
    }
    // An atomic fragment is an ordinary packet.
    let [source, destination, outer_source, outer_destination] = VERSIONS[1];
    let atomic =
        green(&network, Packet::tcp(source, destination, b"x")).with(|packet| packet.fragment = 0);
    there_and_back(
        &network,
        &atomic,
        &readdressed(&atomic, outer_source, outer_destination),
    );
}

#[test]
fn spec_1_7_7_options_and_extension_headers_are_carried() {
    let network = Network::standard();
    let [source, destination, outer_source, outer_destination] = VERSIONS[0];
    let options = Packet::tcp(source, destination, b"x")
        .with(|packet| packet.ipv4_options = vec![0x94, 4, 0, 0]);
    let packet = green(&network, options);
    there_and_back(
        &network,
        &packet,
        &readdressed(&packet, outer_source, outer_destination),
    );
    let [source, destination, outer_source, outer_destination] = VERSIONS[1];
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let extended = Packet::udp(source, destination, b"x")
        .with(|packet| packet.extensions = vec![(0, padding.clone()), (60, padding)]);
    let packet = green(&network, extended);
    there_and_back(
        &network,
        &packet,
        &readdressed(&packet, outer_source, outer_destination),
    );
}

#[test]
fn spec_1_7_8_class_and_ttl_and_identification_stay() {
    let network = Network::standard();
    for [source, destination, outer_source, outer_destination] in VERSIONS {
        let packet = Packet::udp(source, destination, b"x").with(|packet| {
            packet.traffic_class = 0xbb;
            packet.hop_limit = 1;
            packet.identification = 0xbeef;
        });
        let packet = green(&network, packet);
        there_and_back(
            &network,
            &packet,
            &readdressed(&packet, outer_source, outer_destination),
        );
    }
}

#[test]
fn padding_and_priority_tag_do_not_travel() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    let packet = network.datagram("green a", "green b", 0);
    let wire = sender.transmits(4, GREEN_1, &packet.frame());
    let padded = packet.clone().with(|packet| {
        packet.padding = 8;
        packet.tags = vec![(0x8100, 0xe000)];
    });
    assert_eq!(sender.transmits(4, GREEN_1, &padded.frame()), wire);
    let mut padded = wire.clone();
    padded.extend([0xee; 8]);
    padded.splice(12..12, [0x81, 0, 0xe0, 0]);
    assert_eq!(receiver.delivers(3, GREEN_1, &padded), packet.frame());
}

#[test]
fn spec_1_7_2_a_machines_own_mac_may_leave_the_host() {
    let network =
        Network::standard().with(|network| network.machine_mut("green a").use_vm_mac = true);
    let mut sender = Nve::new(&network.changes(1));
    let packet = network.datagram("green a", "green b", 0);
    let wire = sender.transmits(4, GREEN_1, &packet.frame());
    assert_eq!(
        wire[..12],
        [host_mac(2).0, network.machine("green a").mac.0].concat()
    );
    assert_eq!(
        Nve::new(&network.changes(2)).delivers(3, GREEN_1, &wire),
        packet.frame()
    );
}

#[test]
fn spec_1_7_2_a_vlan_on_the_provider_address_is_written_and_demanded() {
    let network = Network::standard().with(|network| network.vlan = Some(5));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        let packet = network.datagram("green a", "green b", version);
        let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &packet.frame());
        assert_eq!(wire[12..16], [0x81, 0, 0, 5]);
        assert_eq!(receiver.delivers(3, GREEN_1, &wire), packet.frame());
        let mut other = wire.clone();
        other[15] = 6;
        receiver.refuses_uplink(Some(GREEN_1), &other, DropReason::PaVlan);
        let untagged = [&wire[..12], &wire[16..]].concat();
        receiver.refuses_uplink(Some(GREEN_1), &untagged, DropReason::PaVlan);
    }
}

#[test]
fn spec_1_7_inbound_between_subnets_the_sender_counts_down_and_the_receiver_sees_the_router() {
    let network = Network::standard();
    let green_c = network.machine("green c").mac;
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for (version, [_, _, outer_source, _]) in VERSIONS.iter().enumerate() {
        let packet = network.datagram("green a", "green c", version);
        let wire = sender.transmits(4, GREEN_1, &packet.frame());
        let to = network.machine("green c").rewrite[version];
        let expected = readdressed(&packet, outer_source, to).between(host_mac(1), host_mac(2));
        let expected = expected.with(|packet| packet.hop_limit -= 1);
        assert_eq!(wire, expected.frame());
        let arrived = packet
            .between(ROUTER, green_c)
            .with(|packet| packet.hop_limit -= 1);
        assert_eq!(receiver.delivers(4, GREEN_2, &wire), arrived.frame());
    }
}

#[test]
fn on_the_same_host_nothing_is_rewritten() {
    let network = Network::standard().with(|network| {
        network.machine_mut("green b").host = 1;
        network.machine_mut("green b").port = 5;
    });
    let mut host = Nve::new(&network.changes(1));
    let frame = network.datagram("green a", "green b", 0).frame();
    assert_eq!(host.switches(4, 5, GREEN_1, &frame), frame);
}

#[test]
fn spec_1_7_1_one_record_under_rewrite_is_not_enough() {
    for encapsulated in ["green a", "green b"] {
        let network =
            Network::standard().with(|network| network.machine_mut(encapsulated).rewrite.clear());
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        for version in 0..2 {
            let frame = network.datagram("green a", "green b", version).frame();
            let wire = sender.transmits(4, GREEN_1, &frame);
            assert_eq!(wire, network.tunnel(1, 2, GREEN_1).wrap(&frame));
            assert_eq!(receiver.delivers(3, GREEN_1, &wire), frame);
        }
    }
}

#[test]
fn spec_1_7_inbound_a_tenants_own_gre_to_its_provider_address_is_its_own() {
    let network = Network::standard();
    let inner = network.datagram("red a", "red b", 0).frame();
    let packet = Packet::raw(
        "10.0.0.5",
        "10.0.0.7",
        47,
        &network.tunnel(1, 2, RED_1).gre(&inner),
    );
    let packet = green(&network, packet);
    there_and_back(
        &network,
        &packet,
        &readdressed(&packet, "192.168.4.105", "192.168.4.207"),
    );
}

#[test]
fn spec_1_7_inbound_the_wire_must_lead_to_the_host_that_owns_the_address() {
    let network = Network::standard();
    let wire = Nve::new(&network.changes(1)).transmits(
        4,
        GREEN_1,
        &network.datagram("green a", "green b", 0).frame(),
    );
    let mut receiver = Nve::new(&network.changes(2));
    let mut strange = wire.clone();
    strange[5] = 99;
    receiver.refuses_uplink(Some(GREEN_1), &strange, DropReason::OuterDstMac);
    // A host that is not the owner's has no business with it, nor has one where the address means nothing.
    Nve::new(&network.changes(1)).punts(&wire, Punt::NotOurs);
    Nve::new(&[]).punts(&wire, Punt::NotOurs);
}

#[test]
fn spec_1_7_inbound_the_sender_must_be_a_rewritten_machine_of_the_same_domain() {
    let network = Network::standard();
    let packet = network.datagram("green a", "green b", 0);
    let mut receiver = Nve::new(&network.changes(2));
    let from = |source: &str| {
        readdressed(&packet, source, "192.168.4.207")
            .between(host_mac(1), host_mac(2))
            .frame()
    };
    for source in [
        "192.168.4.106",
        "192.168.4.11",
        "10.0.0.5",
        "203.0.113.1",
        "0.0.0.0",
        "224.0.0.1",
    ] {
        receiver.refuses_uplink(Some(GREEN_1), &from(source), DropReason::SrcPaUnknown);
    }
    receiver.refuses_uplink(
        Some(GREEN_1),
        &from("192.168.4.206"),
        DropReason::OuterSrcBad,
    );
    // A machine of another tenant, and one of the tenant's that is not reached by rewrite.
    let foreign = network.clone().with(|network| {
        network.machine_mut("red a").rewrite = vec!["192.168.4.108"];
    });
    let mut receiver = Nve::new(&foreign.changes(2));
    receiver.refuses_uplink(
        Some(GREEN_1),
        &from("192.168.4.108"),
        DropReason::SrcPaUnknown,
    );
}

#[test]
fn spec_1_7_inbound_peered_domains_rewrite_to_each_other_as_far_as_the_peering_goes() {
    let network = Network::standard().with(|network| {
        network.subnets[3].2 = vec!["10.9.0.0/24", "2001:db8:9::/64"];
        network.machine_mut("red a").addresses = vec!["10.9.0.5"];
        network.machine_mut("red a").rewrite = vec!["192.168.4.108"];
        network.machine_mut("red b").addresses = vec![];
        network.peerings = vec![Peering {
            from: RED,
            to: GREEN,
        }];
    });
    let mut one = Nve::new(&network.changes(1));
    let mut two = Nve::new(&network.changes(2));
    let packet = network.datagram("red a", "green b", 0);
    let wire = one.transmits(3, RED_1, &packet.frame());
    let arrived = packet
        .between(ROUTER, network.machine("green b").mac)
        .with(|packet| packet.hop_limit -= 1);
    assert_eq!(two.delivers(3, GREEN_1, &wire), arrived.frame());
    let back = network.datagram("green b", "red a", 0);
    two.refuses(3, GREEN_1, &back.frame(), DropReason::NoRoute);
    let forged =
        readdressed(&back, "192.168.4.207", "192.168.4.108").between(host_mac(2), host_mac(1));
    one.refuses_uplink(Some(RED_1), &forged.frame(), DropReason::SrcPaUnknown);
}

#[test]
fn without_a_provider_address_of_its_network_nothing_is_rewritten() {
    let network = Network::standard().with(|network| {
        network.machine_mut("green a").rewrite = vec!["203.0.113.105", "fd00:4::105"];
    });
    let mut host = Nve::new(&network.changes(1));
    let frame = network.datagram("green a", "green b", 0).frame();
    host.refuses(4, GREEN_1, &frame, DropReason::NoPath);
    let frame = network.datagram("green a", "green b", 1).frame();
    host.transmits(4, GREEN_1, &frame);
}

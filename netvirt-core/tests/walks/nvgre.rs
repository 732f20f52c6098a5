//! Walks 1 and 2: within a subnet, on one host and between two by NVGRE.

use std::collections::BTreeSet;

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::mac;
use crate::support::network::*;
use crate::support::packets::*;

#[test]
fn spec_3_1_on_the_same_host_a_frame_goes_straight_to_its_port() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let frame = network.datagram("blue a", "blue near a", version).frame();
        assert_eq!(host.switches(0, 1, BLUE_1, &frame), frame);
    }
}

#[test]
fn spec_3_2_and_1_2_versions_each_travels_in_each() {
    for outer in [Outer::V4, Outer::V6] {
        let network = Network::standard().with(|network| network.outer = outer);
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        for version in 0..2 {
            let frame = network.datagram("blue a", "blue b", version).frame();
            let wire = sender.transmits(0, BLUE_1, &frame);
            assert_eq!(
                wire,
                network.tunnel(1, 2, BLUE_1).wrap(&frame),
                "{outer:?} {version}"
            );
            assert_eq!(
                receiver.delivers(0, BLUE_1, &wire),
                frame,
                "{outer:?} {version}"
            );
        }
    }
}

#[test]
fn spec_3_5_equal_addresses_of_two_tenants_go_to_their_own() {
    let network = Network::standard();
    let mut fabric = Fabric::new(&network);
    for (from, port, to, to_port, vsid) in [
        ("blue a", 0, "blue b", 0, BLUE_1),
        ("red a", 3, "red b", 2, RED_1),
    ] {
        let frame = network.datagram(from, to, 0).frame();
        let arrival = fabric.send(1, port, &frame).unwrap();
        assert_eq!((arrival.host, arrival.port), (2, PortId(to_port)));
        assert_eq!(arrival.frame, frame);
        assert_eq!(arrival.wire, [network.tunnel(1, 2, vsid).wrap(&frame)]);
    }
}

#[test]
fn spec_2_8_by_address_the_destination_mac_is_the_records() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for to in ["blue b", "blue near a"] {
        let right = network.datagram("blue a", to, 0);
        let wrong = right.clone().with(|packet| packet.destination_mac = ROUTER);
        assert_eq!(
            host.take_from_port(0, &wrong.frame()),
            host.take_from_port(0, &right.frame())
        );
    }
}

#[test]
fn spec_1_5_5_padding_is_trimmed_both_ways() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        let packet = network.datagram("blue a", "blue b", version);
        let padded = packet.clone().with(|packet| packet.padding = 13).frame();
        let tunnel = network.tunnel(1, 2, BLUE_1);
        assert_eq!(
            sender.transmits(0, BLUE_1, &padded),
            tunnel.wrap(&packet.frame())
        );

        let inside = tunnel.wrap(&padded);
        assert_eq!(receiver.delivers(0, BLUE_1, &inside), packet.frame());
        let outside = tunnel
            .clone()
            .with(|tunnel| tunnel.padding = 9)
            .wrap(&packet.frame());
        assert_eq!(receiver.delivers(0, BLUE_1, &outside), packet.frame());
        let near = network.datagram("blue a", "blue near a", version);
        let padded = near.clone().with(|packet| packet.padding = 4).frame();
        assert_eq!(sender.switches(0, 1, BLUE_1, &padded), near.frame());
    }
}

#[test]
fn spec_1_2_inner_tag_a_priority_is_stripped_and_any_other_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let packet = network.datagram("blue a", "blue b", 0);
    let tagged = |tags: &[(u16, u16)]| packet.clone().with(|packet| packet.tags = tags.to_vec());
    for kind in [0x8100, 0x88a8, 0x9100] {
        let wire = host.transmits(0, BLUE_1, &tagged(&[(kind, 0xa000)]).frame());
        assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&packet.frame()));
        for tags in [
            &[(kind, 0x0005)][..],
            &[(kind, 0), (kind, 0)],
            &[(0x88a8, 7), (kind, 5)],
        ] {
            host.refuses(0, BLUE_1, &tagged(tags).frame(), DropReason::VmVlan);
        }
    }
}

#[test]
fn spec_1_2_dscp_and_1_2_ecn_out_are_copied_or_dscp_is_fixed() {
    let uniform = Network::standard();
    let pipe = Network::standard().with(|network| network.settings.dscp = DscpPolicy::Pipe(46));
    for (network, outer_class) in [(uniform, 0x29), (pipe, 46 << 2 | 1)] {
        for outer in [Outer::V4, Outer::V6] {
            let network = network.clone().with(|network| network.outer = outer);
            let mut host = Nve::new(&network.changes(1));
            let frame = network.datagram("blue a", "blue b", 0);
            let frame = frame.with(|packet| packet.traffic_class = 0x29).frame();
            let tunnel = network.tunnel(1, 2, BLUE_1);
            let expected = tunnel.with(|tunnel| tunnel.traffic_class = outer_class);
            assert_eq!(host.transmits(0, BLUE_1, &frame), expected.wrap(&frame));
        }
    }
}

#[test]
fn spec_1_2_ttl_outside_is_the_policys() {
    for outer in [Outer::V4, Outer::V6] {
        let network = Network::standard().with(|network| {
            network.settings.outer_ttl = 128;
            network.outer = outer;
        });
        let frame = network.datagram("blue a", "blue b", 0).frame();
        let wire = Nve::new(&network.changes(1)).transmits(0, BLUE_1, &frame);
        assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&frame));
    }
}

#[test]
fn spec_1_5_3_and_2_4_vlan_of_the_provider_address_is_written_and_demanded() {
    for outer in [Outer::V4, Outer::V6] {
        let network = Network::standard().with(|network| {
            network.vlan = Some(5);
            network.outer = outer;
        });
        let frame = network.datagram("blue a", "blue b", 0).frame();
        let wire = Nve::new(&network.changes(1)).transmits(0, BLUE_1, &frame);
        let tunnel = network.tunnel(1, 2, BLUE_1);
        assert_eq!(wire, tunnel.wrap(&frame));

        let mut receiver = Nve::new(&network.changes(2));
        assert_eq!(receiver.delivers(0, BLUE_1, &wire), frame);
        let tagged = |tags: &[(u16, u16)]| tunnel.clone().with(|tunnel| tunnel.tags = tags.into());
        // The priority bits are no part of the VLAN id.
        let prioritised = tagged(&[(0x8100, 0xe005)]).wrap(&frame);
        assert_eq!(receiver.delivers(0, BLUE_1, &prioritised), frame);
        for tags in [
            &[][..],
            &[(0x8100, 6)],
            &[(0x8100, 0)],
            &[(0x88a8, 7), (0x8100, 5)],
        ] {
            receiver.refuses_uplink(None, &tagged(tags).wrap(&frame), DropReason::PaVlan);
        }
    }
}

/// RFC 8200 §4.5: the header behind the fragment header need not be that of the transport, which only the first fragment has.
#[test]
fn spec_1_2_flow_id_is_shared_by_fragments_whatever_stands_behind_the_fragment_header() {
    let network = Network::standard().with(|network| {
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 7 };
    });
    let mut host = Nve::new(&network.changes(1));
    let (a, b) = (network.machine("blue a"), network.machine("blue b"));
    // Destination options of padding, and UDP behind them.
    let options = [17, 0, 1, 4, 0, 0, 0, 0, 4, 87, 8, 174, 0, 100, 0, 0];
    let ids: BTreeSet<_> = [0x2000, 0x2002, 0x0004]
        .map(|word| {
            let packet = Packet::raw(a.addresses[1], b.addresses[1], 60, &options);
            let packet = packet.between(a.mac, b.mac);
            let frame = packet.with(|packet| packet.fragment = word).frame();
            host.transmits(0, BLUE_1, &frame)[41]
        })
        .into();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
fn spec_1_2_flow_id_is_shared_by_a_flow_and_flows_spread() {
    let network = Network::standard().with(|network| {
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 7 };
        network.outer = Outer::V6;
    });
    let mut host = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    let mut ids = BTreeSet::new();
    let mut labels = BTreeSet::new();
    let mut families = BTreeSet::new();
    for source_port in 0..64u16 {
        let packet = network.datagram("blue a", "blue b", 0).with(|packet| {
            packet.transport[..2].copy_from_slice(&source_port.to_be_bytes());
            fill_transport(packet.source, packet.destination, 17, &mut packet.transport);
        });
        let mut outers =
            [packet.clone(), packet.with(|packet| packet.hop_limit = 9)].map(|packet| {
                let wire = host.transmits(0, BLUE_1, &packet.frame());
                assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
                let is_ipv6 = wire[12..14] == [0x86, 0xdd];
                let key = if is_ipv6 { 61 } else { 41 };
                let label = if is_ipv6 {
                    wire[15..18].to_vec()
                } else {
                    vec![]
                };
                (is_ipv6, wire[key], label)
            });
        outers.sort();
        let [first, second] = outers;
        assert_eq!(first, second);
        families.insert(first.0);
        ids.insert(first.1);
        labels.insert(first.2);
    }
    assert_eq!(families.len(), 2, "flows take both paths");
    assert!(ids.len() > 32, "{} FlowIDs for 64 flows", ids.len());
    let uses_all_20_bits = labels
        .iter()
        .any(|label| label.first().is_some_and(|class| class & 0x0f != 0));
    assert!(uses_all_20_bits);
    assert!(
        labels.len() > 16,
        "{} flow labels for 64 flows",
        labels.len()
    );
}

#[test]
fn spec_1_2_flow_id_is_shared_by_the_fragments_of_a_datagram() {
    let network = Network::standard().with(|network| {
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 7 };
    });
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let keys = [0x2000, 0x2001, 0x0002].map(|fragment| {
            let packet = network.datagram("blue a", "blue b", version);
            let packet = packet.with(|packet| {
                packet.fragment = fragment;
                packet.transport[0] ^= fragment as u8;
            });
            let wire = host.transmits(0, BLUE_1, &packet.frame());
            let is_ipv6 = wire[12..14] == [0x86, 0xdd];
            (is_ipv6, if is_ipv6 { wire[61] } else { wire[41] })
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }
}

#[test]
fn spec_2_1_plain_ports_are_the_callers() {
    let network = Network::standard();
    let mut changes = network.changes(1);
    changes.push(Change::AddPort(Port {
        port: PortId(9),
        vsid: None,
        mac: mac("0202020202aa"),
    }));
    let mut host = Nve::new(&changes);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    assert_eq!(
        host.take_from_port(9, &frame),
        Fate::Punted(Punt::NotVirtualised)
    );
    assert_eq!(
        host.counted(),
        format!(
            "received 1, punted 1, port 9 in 1, port 9 in bytes {}",
            frame.len()
        )
    );
}

#[test]
fn an_unknown_port_is_refused() {
    let network = Network::standard();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let mut host = Nve::new(&network.changes(1));
    for port in [63, 64, u32::MAX] {
        assert_eq!(
            host.take_from_port(port, &frame),
            Fate::Dropped(DropReason::PortUnknown)
        );
    }
    let bytes = frame.len();
    assert_eq!(
        host.counted(),
        format!(
            "received 3, dropped 3, port_unknown 3, port 63 in 1, port 63 in bytes {bytes}, port 63 refused 1"
        )
    );
    let mut empty = Nve::new(&[]);
    assert_eq!(
        empty.take_from_port(0, &frame),
        Fate::Dropped(DropReason::PortUnknown)
    );
    assert_eq!(empty.take_from_uplink(&frame), Fate::Punted(Punt::NotOurs));
}

#[test]
fn frames_cut_short_or_contradictory_are_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        let frame = network.datagram("blue a", "blue b", version).frame();
        let header = if version == 0 { 34 } else { 54 };
        for length in 1..header {
            host.refuses(0, BLUE_1, &frame[..length], DropReason::Truncated);
        }
        for length in header..frame.len() {
            host.refuses(0, BLUE_1, &frame[..length], DropReason::Malformed);
        }
        let mut versionless = frame.clone();
        versionless[14] = 0x55;
        host.refuses(0, BLUE_1, &versionless, DropReason::Malformed);
    }
    let mut other = network.datagram("blue a", "blue b", 0).frame();
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    host.refuses(0, BLUE_1, &other, DropReason::Ethertype);
}

#[test]
fn what_is_for_many_on_one_layer_alone_is_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let base = network.datagram("blue a", "blue b", 0);
    for packet in [
        base.clone()
            .with(|packet| packet.destination_mac = MacAddress::BROADCAST),
        base.clone()
            .with(|packet| packet.destination = ip("224.0.0.251")),
        base.clone()
            .with(|packet| packet.destination = ip("255.255.255.255")),
        network
            .datagram("blue a", "blue b", 1)
            .with(|packet| packet.destination = ip("ff02::fb")),
    ] {
        host.refuses(0, BLUE_1, &packet.frame(), DropReason::Multicast);
    }
}

#[test]
fn a_later_fragment_is_no_neighbour_discovery_whatever_it_starts_with() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for kind in 133..=137 {
        let packet = network.datagram("blue a", "blue near a", 1).with(|packet| {
            packet.protocol = 58;
            packet.fragment = 4;
            packet.transport[0] = kind;
        });
        let out = host.switches(0, 1, BLUE_1, &packet.frame());
        assert_eq!(out, packet.frame(), "{kind}");
    }
}

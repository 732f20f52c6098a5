//! The fields of a tunnel packet: what is written into each, and what is made of it at the other end.

use std::collections::BTreeSet;

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{neighbour, pa};

const OUTERS: [Outer; 2] = [Outer::V4, Outer::V6];

fn standard(outer: Outer) -> Network {
    Network::standard().with(|network| network.outer = outer)
}

fn sent(network: &Network, packet: &Packet) -> Vec<u8> {
    Nve::new(&network.changes(1)).transmits(0, BLUE_1, &packet.frame())
}

#[test]
fn spec_1_2_gre_and_1_2_identification_and_1_2_fragment_every_byte_in_front_of_the_inner_frame() {
    let packet = Network::standard().datagram("blue a", "blue b", 0);
    let wire = sent(&standard(Outer::V4), &packet);
    let header = "02000000 0016 02000000 000b 0800 45 00 0050 0000 4000 40 2f b10d \
                  c0a8040b c0a80416 2000 6558 001389 a7";
    assert_eq!(wire[..42], hex(header));
    assert_eq!(wire[42..], packet.frame());

    let wire = sent(&standard(Outer::V6), &packet);
    let header = "02000000 0016 02000000 000b 86dd 60000000 003c 2f 40 \
                  fd000004 00000000 00000000 00000011 fd000004 00000000 00000000 00000022 \
                  2000 6558 001389 a7";
    assert_eq!(wire[..62], hex(header));
    assert_eq!(wire[62..], packet.frame());
}

#[test]
fn spec_1_2_fragment_what_comes_in_pieces_is_refused() {
    for outer in OUTERS {
        let network = standard(outer);
        let mut host = Nve::new(&network.changes(2));
        let frame = network.datagram("blue a", "blue b", 0).frame();
        for fragment in [0x2000, 0x2001, 0x0001, 0x1fff] {
            let tunnel = network.tunnel(1, 2, BLUE_1);
            let wire = tunnel.with(|tunnel| tunnel.fragment = fragment);
            host.refuses_uplink(None, &wire.wrap(&frame), DropReason::OuterFragment);
        }
    }
}

#[test]
fn spec_1_2_flow_id_zero_is_what_is_not_made() {
    for outer in OUTERS {
        let network = standard(outer).with(|network| {
            network.settings.flow_id = FlowIdPolicy::Fixed(0);
        });
        for source_port in 0..16 {
            let packet = network.datagram("blue a", "blue b", 0).with(|packet| {
                packet.transport[1] = source_port;
            });
            let tunnel = network.tunnel(1, 2, BLUE_1);
            let expected = tunnel.with(|tunnel| tunnel.flow_id = 0);
            assert_eq!(sent(&network, &packet), expected.wrap(&packet.frame()));
        }
    }
}

#[test]
fn spec_1_2_flow_id_stands_behind_the_vsid_and_is_read_as_nothing() {
    for outer in OUTERS {
        let network = standard(outer);
        let mut host = Nve::new(&network.changes(2));
        let frame = network.datagram("blue a", "blue b", 1).frame();
        for flow_id in 0..=255 {
            let tunnel = network.tunnel(1, 2, BLUE_1);
            let wire = tunnel.with(|tunnel| tunnel.flow_id = flow_id).wrap(&frame);
            assert_eq!(host.delivers(0, BLUE_1, &wire), frame);
        }
    }
}

#[test]
fn spec_1_2_inner_protocol_and_2_9_limits_nothing_but_ip_travels() {
    let network = Network::standard();
    for (port, name) in [(0, "blue a"), (4, "green a")] {
        let mut host = Nve::new(&network.changes(1));
        let machine = network.machine(name);
        for destination in [MacAddress::BROADCAST, ROUTER, network.machine("blue b").mac] {
            // IPX, MPLS, PPPoE, 802.1X, LLDP, AoE, and an 802.3 length.
            for kind in [0x8137u16, 0x8847, 0x8864, 0x888e, 0x88cc, 0x88a2, 0x0040] {
                let mut frame = [destination.0, machine.mac.0].concat();
                frame.extend(kind.to_be_bytes());
                frame.extend([0; 46]);
                host.refuses(port, machine.vsid, &frame, DropReason::Ethertype);
            }
        }
    }
}

#[test]
fn spec_1_2_ttl_inside_is_left_alone() {
    for outer in OUTERS {
        let network = standard(outer);
        let mut receiver = Nve::new(&network.changes(2));
        for version in 0..2 {
            for hop_limit in [0, 1, 64, 255] {
                let packet = network.datagram("blue a", "blue b", version);
                let packet = packet.with(|packet| packet.hop_limit = hop_limit);
                let wire = sent(&network, &packet);
                let tunnel = network.tunnel(1, 2, BLUE_1);
                assert_eq!(wire, tunnel.wrap(&packet.frame()));
                assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
            }
        }
    }
}

#[test]
fn spec_1_2_dscp_outside_goes_away_with_the_tunnel() {
    for outer in OUTERS {
        let network = standard(outer);
        let mut host = Nve::new(&network.changes(2));
        for version in 0..2 {
            let packet = network.datagram("blue a", "blue b", version);
            let frame = packet.with(|packet| packet.traffic_class = 0x28).frame();
            for dscp in 0..64 {
                let tunnel = network.tunnel(1, 2, BLUE_1);
                let wire = tunnel.with(|tunnel| tunnel.traffic_class = dscp << 2);
                assert_eq!(host.delivers(0, BLUE_1, &wire.wrap(&frame)), frame);
            }
        }
    }
}

#[test]
fn spec_1_2_ecn_compatible_tunnels_carry_no_mark() {
    for outer in OUTERS {
        let network = standard(outer).with(|network| {
            network.settings.ecn = EcnPolicy::Compatible;
        });
        for version in 0..2 {
            for ecn in 0..4 {
                let packet = network.datagram("blue a", "blue b", version);
                let packet = packet.with(|packet| packet.traffic_class = 0xb8 | ecn);
                let tunnel = network.tunnel(1, 2, BLUE_1);
                let expected = tunnel.with(|tunnel| tunnel.traffic_class = 0xb8);
                assert_eq!(sent(&network, &packet), expected.wrap(&packet.frame()));
            }
        }
    }
}

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// What arrives of this inner mark inside each outer one: the mark and whether no router makes the pair (RFC 6040 §4.2,
/// figure 4), or nothing.
fn marks(inner: u8, row: [(u8, Option<(u8, bool)>); 4]) {
    for outer_version in OUTERS {
        let network = standard(outer_version);
        let mut host = Nve::new(&network.changes(2));
        for version in 0..2 {
            let with_ecn = |ecn: u8| {
                let packet = network.datagram("blue a", "blue b", version);
                packet.with(|packet| packet.traffic_class = 0xb8 | ecn)
            };
            for (outer, expected) in row {
                let tunnel = network.tunnel(1, 2, BLUE_1);
                let wire = tunnel.with(|tunnel| tunnel.traffic_class = 0x28 | outer);
                let wire = wire.wrap(&with_ecn(inner).frame());
                let Some((ecn, is_odd)) = expected else {
                    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::EcnNotCapable);
                    continue;
                };
                host.counted();
                let expected = Fate::Delivered(PortId(0), with_ecn(ecn).frame());
                assert_eq!(host.take_from_uplink(&wire), expected, "{outer:02b}");
                let counted = counted_to_port(0, BLUE_1, wire.len());
                let counted = match is_odd {
                    true => counted.replacen("port", "ecn_anomalies 1, port", 1),
                    false => counted,
                };
                assert_eq!(host.counted(), counted, "{outer:02b}");
            }
        }
    }
}

#[test]
fn spec_1_2_ecn_not_ect_inside() {
    let row = [
        (NOT_ECT, Some((NOT_ECT, false))),
        (ECT_0, Some((NOT_ECT, true))),
        (ECT_1, Some((NOT_ECT, true))),
        (CE, None),
    ];
    marks(NOT_ECT, row);
}

#[test]
fn spec_1_2_ecn_ect0_inside() {
    let row = [
        (NOT_ECT, Some((ECT_0, false))),
        (ECT_0, Some((ECT_0, false))),
        (ECT_1, Some((ECT_1, false))),
        (CE, Some((CE, false))),
    ];
    marks(ECT_0, row);
}

#[test]
fn spec_1_2_ecn_ect1_inside() {
    let row = [
        (NOT_ECT, Some((ECT_1, false))),
        (ECT_0, Some((ECT_1, true))),
        (ECT_1, Some((ECT_1, false))),
        (CE, Some((CE, false))),
    ];
    marks(ECT_1, row);
}

#[test]
fn spec_1_2_ecn_ce_inside() {
    let row = [
        (NOT_ECT, Some((CE, false))),
        (ECT_0, Some((CE, false))),
        (ECT_1, Some((CE, true))),
        (CE, Some((CE, false))),
    ];
    marks(CE, row);
}

#[test]
fn spec_1_2_provider_address_is_chosen_by_flow_and_each_is_believed() {
    let network = Network::standard().with(|network| {
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 7 };
    });
    let second = |host: u32, address: &str| HostAddress {
        address: pa(address),
        ..network.own_addresses(host)[0]
    };
    let mut sender = Nve::new(&network.changes(1));
    sender.apply(&[
        Change::AddHostAddress(HostId(2), pa("192.168.4.23")),
        Change::SetNeighbour(neighbour("192.168.4.23", host_mac(2))),
    ]);
    let mut receiver = Nve::new(&network.changes(2));
    receiver.apply(&[
        Change::AddProviderAddress(second(2, "192.168.4.23")),
        Change::AddHostAddress(HostId(1), pa("192.168.4.12")),
    ]);
    let mut destinations = BTreeSet::new();
    for source_port in 0..64 {
        let packet = network.datagram("blue a", "blue b", 0).with(|packet| {
            packet.transport[1] = source_port;
        });
        let wire = sender.transmits(0, BLUE_1, &packet.frame());
        assert_eq!(sender.transmits(0, BLUE_1, &packet.frame()), wire);
        assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
        let is_ipv4 = wire[12] == 0x08;
        let (source, destination) = match is_ipv4 {
            true => (wire[26..30].to_vec(), wire[30..34].to_vec()),
            false => (wire[22..38].to_vec(), wire[38..54].to_vec()),
        };
        let own = match is_ipv4 {
            true => hex("c0a8040b"),
            false => hex("fd000004 00000000 00000000 00000011"),
        };
        assert_eq!(source, own);
        destinations.insert(destination);
    }
    assert_eq!(
        destinations,
        BTreeSet::from([
            hex("c0a80416"),
            hex("c0a80417"),
            hex("fd000004 00000000 00000000 00000022"),
        ])
    );
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let tunnel = network.tunnel(1, 2, BLUE_1);
    let wire = tunnel.with(|tunnel| tunnel.source = ip("192.168.4.12"));
    assert_eq!(receiver.delivers(0, BLUE_1, &wire.wrap(&frame)), frame);
}

#[test]
fn spec_1_2_misdelivered_after_any_damaged_bit_of_addresses_and_key() {
    let network = standard(Outer::V6);
    let mut host = Nve::new(&network.changes(2));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&frame);
    let (addresses, vsid) = (22..54, 58..61);
    for at in addresses.chain(vsid) {
        for bit in 0..8 {
            let mut damaged = wire.clone();
            damaged[at] ^= 1 << bit;
            host.counted();
            let fate = host.take_from_uplink(&damaged);
            let counted = host.counted();
            use DropReason::*;
            let refused = |reason| counted_refused_uplink(reason, host.vsid, damaged.len());
            let expected = match fate {
                Fate::Dropped(reason @ (SrcPaMismatch | OuterSrcBad)) if at < 38 => refused(reason),
                Fate::Punted(Punt::NotOurs) if at < 54 => "received 1, punted 1".to_owned(),
                Fate::Dropped(VsidUnknown) => counted_refused_uplink(VsidUnknown, None, 0),
                Fate::Dropped(reason @ (SrcPaMismatch | InnerSrcMac)) => refused(reason),
                _ => panic!("byte {at} bit {bit}: {fate:?}"),
            };
            assert_eq!(counted, expected);
        }
    }
}

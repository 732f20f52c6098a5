//! Walk 8: packets that may be cut pass in fragments, and connections are told what fits.

use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

const MAY_BE_CUT: u16 = 0;
const MORE: u16 = 0x2000;

/// Cuts an IPv4 packet with a whole header, written from scratch.
pub(super) fn cut(packet: &Packet, mtu: usize) -> Vec<Packet> {
    let header = 20 + packet.ipv4_options.len();
    let step = (mtu - header) / 8 * 8;
    let count = packet.transport.len().div_ceil(step);
    let parts = packet.transport.chunks(step).enumerate();
    parts
        .map(|(number, part)| {
            let mut fragment = packet.clone();
            fragment.transport = part.to_vec();
            fragment.fragment += (number * step / 8) as u16;
            if number + 1 < count {
                fragment.fragment |= MORE;
            }
            fragment.padding = 0;
            if number > 0 {
                fragment.ipv4_options = uncopied_blanked(&packet.ipv4_options);
            }
            fragment
        })
        .collect()
}

/// Record route and timestamp stay behind, router alert goes along.
fn uncopied_blanked(options: &[u8]) -> Vec<u8> {
    match options {
        [148, ..] => options.to_vec(),
        _ => vec![1; options.len()],
    }
}

fn blue(network: &Network, to: &str, length: usize) -> Packet {
    let (a, b) = (network.machine("blue a"), network.machine(to));
    let first_hop = if a.vsid == b.vsid { b.mac } else { ROUTER };
    Packet::of_length(a.addresses[0], b.addresses[0], length)
        .between(a.mac, first_hop)
        .with(|packet| packet.fragment = MAY_BE_CUT)
}

fn green(network: &Network, length: usize) -> Packet {
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    Packet::of_length(a.addresses[0], b.addresses[0], length)
        .between(a.mac, b.mac)
        .with(|packet| packet.fragment = MAY_BE_CUT)
}

#[track_caller]
fn fragmented(host: &mut Nve, port: u32, vsid: u32, frame: &[u8]) -> Vec<Vec<u8>> {
    host.counted();
    let fate = host.take_from_port(port, frame);
    let Fate::Fragmented(UplinkId(0), pieces) = fate else {
        panic!("not in pieces but {fate:?}");
    };
    let counted = counted_from_port("transmitted", port, vsid, frame.len());
    let counted = counted.replacen("transmitted 1,", "transmitted 1, fragmented 1,", 1);
    assert_eq!(host.counted(), counted);
    pieces
}

#[test]
fn spec_3_8_fragment_the_inner_packet_is_cut_and_never_the_outer() {
    for (outer, mtu, limit) in [
        (Outer::V4, 1500, 1458),
        (Outer::V6, 1500, 1438),
        (Outer::V4, 1600, 1558),
        (Outer::V4, 1400, 1358),
    ] {
        let network = Network::standard().with(|network| {
            network.outer = outer;
            network.mtu = mtu;
        });
        let mut host = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        for length in [limit + 1, limit + 8, 2 * limit, 3001, 9000, 65_535] {
            for padding in [0, 5] {
                let packet = blue(&network, "blue b", length);
                let packet = packet.with(|packet| packet.padding = padding);
                let pieces = fragmented(&mut host, 0, BLUE_1, &packet.frame());
                let expected: Vec<_> = cut(&packet, limit).iter().map(Packet::frame).collect();
                let wrapped: Vec<_> = expected
                    .iter()
                    .map(|piece| network.tunnel(1, 2, BLUE_1).wrap(piece))
                    .collect();
                assert_eq!(pieces, wrapped, "{length}");
                assert!(pieces.len() > 1 && pieces.iter().all(|p| p.len() <= 14 + mtu as usize));
                for (piece, expected) in pieces.iter().zip(&expected) {
                    assert_eq!(receiver.delivers(0, BLUE_1, piece), *expected);
                }
            }
        }
    }
}

#[test]
fn spec_3_8_what_is_routed_is_cut_with_its_ttl_less_one() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let packet = blue(&network, "blue c", 4000);
    let pieces = fragmented(&mut host, 0, BLUE_1, &packet.frame());
    let routed = packet.with(|packet| {
        packet.hop_limit -= 1;
        (packet.source_mac, packet.destination_mac) = (ROUTER, network.machine("blue c").mac);
    });
    let expected = cut(&routed, 1458);
    let tunnel = network.tunnel(1, 2, BLUE_2);
    let expected: Vec<_> = expected.iter().map(|p| tunnel.wrap(&p.frame())).collect();
    assert_eq!(pieces, expected);
}

#[test]
fn spec_3_8_fragments_are_cut_again_and_say_whether_they_were_the_last() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    for word in [0x0000, 0x0100, MORE, MORE | 0x0100] {
        let packet = blue(&network, "blue b", 3000).with(|packet| packet.fragment = word);
        let pieces = fragmented(&mut host, 0, BLUE_1, &packet.frame());
        let last = pieces.len() - 1;
        let expected = cut(&packet, 1458).into_iter().enumerate();
        let expected: Vec<_> = expected
            .map(|(number, mut piece)| {
                if number == last {
                    piece.fragment |= word & MORE;
                }
                network.tunnel(1, 2, BLUE_1).wrap(&piece.frame())
            })
            .collect();
        assert_eq!(pieces, expected, "{word:#06x}");
    }
}

#[test]
fn spec_6_fragments_that_end_behind_the_longest_datagram_are_not_cut() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    // 2980 bytes of payload, the last of which is byte 65,535 of the datagram, or one behind it.
    let last = |length: usize| {
        blue(&network, "blue b", length).with(|packet| packet.fragment = (65536 - 2984) as u16 / 8)
    };
    fragmented(&mut host, 0, BLUE_1, &last(20 + 2983).frame());
    let frame = last(20 + 2984).frame();
    host.refuses(0, BLUE_1, &frame, DropReason::Malformed);
}

#[test]
fn spec_3_8_what_rewrite_refuses_was_not_cut() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let packet = green(&network, 3000).with(|packet| {
        packet.ipv4_options = vec![7, 7, 4, 10, 0, 0, 1, 0];
    });
    host.refuses(4, GREEN_1, &packet.frame(), DropReason::SourceRoute);
}

/// RFC 791 §3.1: bit 7 of an option's type says whether all fragments have it.
#[test]
fn spec_3_8_options_go_along_as_their_types_say() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let router_alert = vec![148, 4, 0, 0];
    let timestamp = vec![68, 8, 5, 0, 0, 0, 0, 0];
    let odd = vec![1, 25, 3, 7, 25, 2, 1, 1];
    for options in [router_alert, timestamp, odd] {
        let packet = blue(&network, "blue b", 3000).with(|packet| packet.ipv4_options = options);
        let pieces = fragmented(&mut host, 0, BLUE_1, &packet.frame());
        let tunnel = network.tunnel(1, 2, BLUE_1);
        let expected: Vec<_> = cut(&packet, 1458)
            .iter()
            .map(|piece| tunnel.wrap(&piece.frame()))
            .collect();
        assert_eq!(pieces, expected);
    }
}

#[test]
fn spec_3_8_a_wrong_header_checksum_stays_wrong_in_each_fragment() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let packet = blue(&network, "blue b", 3000);
    let mut frame = packet.frame();
    frame[24] ^= 0x10;
    for piece in fragmented(&mut host, 0, BLUE_1, &frame) {
        assert_ne!(checksum(&piece[56..76]), 0);
    }
}

#[test]
fn spec_3_8_under_rewrite_the_rewritten_packet_is_cut() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    for protocol in [6, 17, 136, 1, 132] {
        let mut transport = vec![0x5a; 3000];
        // An echo, so that ICMP is no error.
        transport[..8].copy_from_slice(&[8, 0, 0, 0, 0, 1, 0, 1]);
        let packet = Packet::raw(a.addresses[0], b.addresses[0], protocol, &transport)
            .between(a.mac, b.mac)
            .with(|packet| {
                packet.fragment = MAY_BE_CUT;
                fill_transport(
                    packet.source,
                    packet.destination,
                    protocol,
                    &mut packet.transport,
                );
            });
        let pieces = fragmented(&mut host, 4, GREEN_1, &packet.frame());
        let rewritten = packet.clone().with(|packet| {
            (packet.source, packet.destination) = (ip(a.rewrite[0]), ip(b.rewrite[0]));
            (packet.source_mac, packet.destination_mac) = (host_mac(1), host_mac(2));
            fill_transport(
                packet.source,
                packet.destination,
                protocol,
                &mut packet.transport,
            );
        });
        let expected: Vec<_> = cut(&rewritten, 1500).iter().map(Packet::frame).collect();
        assert_eq!(pieces, expected, "protocol {protocol}");
        for (piece, original) in pieces.iter().zip(cut(&packet, 1500)) {
            assert_eq!(receiver.delivers(3, GREEN_1, piece), original.frame());
        }
    }
}

#[test]
fn spec_3_8_a_super_frame_that_does_not_fit_is_too_big_whatever_it_says() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let (a, b) = (network.machine("blue a"), network.machine("blue b"));
    let packet = Packet::tcp(a.addresses[0], b.addresses[0], &[7; 4000])
        .between(a.mac, b.mac)
        .with(|packet| packet.fragment = MAY_BE_CUT);
    let frame = packet.frame();
    let fate = host.process(&Frame {
        offload: Offload {
            segmentation: Some(Segmentation {
                kind: SegmentKind::TcpIpv4,
                segment_size: 1460,
                header_length: 54,
            }),
            ..Offload::NONE
        },
        ..Frame::whole(Ingress::Port(PortId(0)), &frame)
    });
    assert!(
        matches!(fate, Fate::Explained(DropReason::TooBig, _)),
        "{fate:?}"
    );
}

#[test]
fn spec_3_8_a_packet_for_a_machine_that_moved_is_cut_for_the_second_half_of_its_way() {
    let network = Network::standard().with(|network| {
        network.mtu = 1500;
        network.hosts = 3;
    });
    let mut host = Nve::new(&network.changes(2));
    let record =
        policy::RecordName::Address(crate::support::vsid(BLUE_1), crate::support::ca("10.0.0.7"));
    let to = policy::Location::Host(HostId(3));
    host.apply(&[policy::Change::MoveRecord(record, to)]);
    // It came from where more fits.
    let packet = blue(&network, "blue b", 2000);
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&packet.frame());
    host.counted();
    let fate = host.take_from_uplink(&wire);
    let Fate::Fragmented(_, pieces) = fate else {
        panic!("not in pieces but {fate:?}");
    };
    let tunnel = network
        .tunnel(2, 3, BLUE_1)
        .with(|tunnel| tunnel.hop_limit = 63);
    let expected: Vec<_> = cut(&packet, 1458)
        .iter()
        .map(|piece| tunnel.wrap(&piece.frame()))
        .collect();
    assert_eq!(pieces, expected);
    let bytes = wire.len();
    assert_eq!(
        host.counted(),
        format!(
            "received 1, transmitted 1, fragmented 1, redirects 1, 5001 received 1, \
             5001 received bytes {bytes}"
        )
    );
}

/// A SYN that announces a maximum segment size.
fn syn(network: &Network, names: [&str; 2], version: usize, options: &[u8]) -> Packet {
    let [a, b] = names.map(|name| network.machine(name));
    Packet::tcp(a.addresses[version], b.addresses[version], &[])
        .between(a.mac, b.mac)
        .with(|packet| {
            packet.transport.truncate(20);
            packet.transport[12] = ((20 + options.len()) / 4 * 16) as u8;
            packet.transport[13] = 0x02;
            packet.transport.extend(options);
            seal(packet);
        })
}

fn seal(packet: &mut Packet) {
    let (source, destination) = (packet.source, packet.destination);
    fill_transport(source, destination, packet.protocol, &mut packet.transport);
}

fn clamping() -> Network {
    Network::standard().with(|network| {
        network.mtu = 1500;
        network.settings.clamp_mss = true;
    })
}

#[test]
fn spec_3_8_clamp_a_connection_is_told_what_fits_where_policy_says_so() {
    let network = clamping();
    let plain = network
        .clone()
        .with(|network| network.settings.clamp_mss = false);
    let tunnelled = (["blue a", "blue b"], (0, BLUE_1), [1418_u16, 1398]);
    let rewritten = (["green a", "green b"], (4, GREEN_1), [1460, 1440]);
    for (names, (port, vsid), fitting) in [tunnelled, rewritten] {
        for (version, most) in fitting.into_iter().enumerate() {
            for (announced, at) in [(8960_u16, 0), (8960, 1), (most + 1, 0), (most + 1, 3)] {
                let options = |value: u16| {
                    let mut options = vec![1; at];
                    options.extend([2, 4]);
                    options.extend(value.to_be_bytes());
                    options.resize(options.len().next_multiple_of(4), 0);
                    options
                };
                let mut host = Nve::new(&network.changes(1));
                let mut untouched = Nve::new(&plain.changes(1));
                let asks = syn(&network, names, version, &options(announced));
                let told = syn(&network, names, version, &options(most));
                assert_eq!(
                    host.transmits(port, vsid, &asks.frame()),
                    untouched.transmits(port, vsid, &told.frame()),
                    "{announced} at {at}"
                );
                // What fits stays, and so does what is no SYN.
                let fits = told.frame();
                assert_eq!(
                    host.transmits(port, vsid, &fits),
                    untouched.transmits(port, vsid, &fits)
                );
                let later = asks.with(|packet| packet.transport[13] = 0x10).frame();
                assert_eq!(
                    host.transmits(port, vsid, &later),
                    untouched.transmits(port, vsid, &later)
                );
            }
        }
    }
}

#[test]
fn spec_3_8_a_checksum_that_is_left_to_the_device_does_not_cover_the_options_yet() {
    let network = clamping();
    let mut host = Nve::new(&network.changes(1));
    let asks = syn(&network, ["blue a", "blue b"], 0, &[2, 4, 0x23, 0x00]).frame();
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 16,
        }),
        ..Offload::NONE
    };
    let fate = host.process(&Frame {
        offload,
        ..Frame::whole(Ingress::Port(PortId(0)), &asks)
    });
    let Fate::Transmitted(_, wire) = fate else {
        panic!("{fate:?}");
    };
    let inner = &wire[42..];
    assert_eq!(inner[56..58], 1418_u16.to_be_bytes());
    assert_eq!(inner[50..52], asks[50..52], "the checksum is as it was");
}

/// The device completes a checksum of something that TCP carries; TCP's own is complete already.
#[test]
fn spec_3_8_a_checksum_that_is_not_the_one_left_to_the_device_covers_the_options() {
    let network = clamping();
    let names = ["blue a", "blue b"];
    let [asks, told] = [[2, 4, 0x23, 0x00], [2, 4, 0x05, 0x8a]]
        .map(|options| syn(&network, names, 0, &options).frame());
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: 54,
            offset: 0,
        }),
        ..Offload::NONE
    };
    let [clamped, expected] = [asks, told].map(|frame| {
        let fate = Nve::new(&network.changes(1)).process(&Frame {
            offload,
            ..Frame::whole(Ingress::Port(PortId(0)), &frame)
        });
        let Fate::Transmitted(_, wire) = fate else {
            panic!("{fate:?}");
        };
        wire
    });
    assert_eq!(clamped, expected);
}

/// A header that is sent apart from its payload has only so much room.
#[test]
fn spec_3_8_a_connection_asked_for_behind_long_headers_is_told_nothing() {
    let network = clamping();
    let plain = network
        .clone()
        .with(|network| network.settings.clamp_mss = false);
    let behind = |length: u8, most: u16| {
        let padding = [
            &[0, length / 8 - 1, 1, length - 4][..],
            &vec![0; usize::from(length) - 4],
        ];
        let [high, low] = most.to_be_bytes();
        syn(&network, ["blue a", "blue b"], 1, &[2, 4, high, low])
            .with(|packet| packet.extensions = vec![(60, padding.concat())])
            .frame()
    };
    for length in (8..=248).step_by(8) {
        let is_near = 40 + u16::from(length) + 24 <= 176;
        let told = if is_near { 1398 } else { 8960 };
        let clamped = Nve::new(&network.changes(1)).transmits(0, BLUE_1, &behind(length, 8960));
        let expected = Nve::new(&plain.changes(1)).transmits(0, BLUE_1, &behind(length, told));
        assert_eq!(clamped, expected, "{length}");
    }
}

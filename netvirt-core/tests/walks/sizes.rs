//! Walk 8: what fits through which path, whole and in segments, and what is left to be done to it.

use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

#[test]
fn the_limit_of_a_tunnel_is_exact() {
    for (outer, mtu, limit) in [
        (Outer::V4, 1600, 1558),
        (Outer::V6, 1600, 1538),
        (Outer::V4, 9000, 8958),
        (Outer::V6, 9000, 8938),
        (Outer::V4, 1500, 1458),
        (Outer::V6, 1500, 1438),
    ] {
        let network = Network::standard().with(|network| {
            network.outer = outer;
            network.mtu = mtu;
        });
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        let (a, b) = (network.machine("blue a"), network.machine("blue b"));
        for version in 0..2 {
            let of = |length| {
                Packet::of_length(a.addresses[version], b.addresses[version], length)
                    .between(a.mac, b.mac)
            };
            let frame = of(limit).frame();
            let wire = sender.transmits(0, BLUE_1, &frame);
            assert_eq!(wire.len(), 14 + usize::from(mtu));
            assert_eq!(receiver.delivers(0, BLUE_1, &wire), frame);
            sender.explains(0, BLUE_1, &of(limit + 1).frame(), DropReason::TooBig);
            let padded = of(limit).with(|packet| packet.padding = 4).frame();
            assert_eq!(sender.transmits(0, BLUE_1, &padded), wire);
        }
    }
}

#[test]
fn rewrite_takes_nothing_from_the_limit() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    for version in 0..2 {
        let of = |length| {
            Packet::of_length(a.addresses[version], b.addresses[version], length)
                .between(a.mac, b.mac)
        };
        assert_eq!(host.transmits(4, GREEN_1, &of(1600).frame()).len(), 1614);
        host.explains(4, GREEN_1, &of(1601).frame(), DropReason::TooBig);
    }
}

#[test]
fn nothing_is_too_big_for_the_same_host() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let (a, b) = (network.machine("blue a"), network.machine("blue near a"));
    let frame = Packet::of_length("10.0.0.5", "10.0.0.9", 9000)
        .between(a.mac, b.mac)
        .frame();
    assert_eq!(host.switches(0, 1, BLUE_1, &frame), frame);
}

/// A TCP super-frame with the checksum of its pseudo header alone.
fn super_frame(
    network: &Network,
    from: &str,
    to: &str,
    version: usize,
    payload: usize,
) -> (Packet, Offload) {
    let (from, to) = (network.machine(from), network.machine(to));
    let first_hop = if from.vsid == to.vsid { to.mac } else { ROUTER };
    let packet = Packet::tcp(
        from.addresses[version],
        to.addresses[version],
        &vec![7; payload],
    );
    let packet = packet.between(from.mac, first_hop).with(|packet| {
        let sum = partial(packet);
        packet.transport[16..18].copy_from_slice(&sum.to_be_bytes());
    });
    let headers = if version == 0 { 34 } else { 54 };
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: headers,
            offset: 16,
        }),
        segmentation: Some(Segmentation {
            kind: if version == 0 {
                SegmentKind::TcpIpv4
            } else {
                SegmentKind::TcpIpv6
            },
            segment_size: 1400,
            header_length: headers + 20,
        }),
        hash: Some(0x1234_5678),
    };
    (packet, offload)
}

/// The sum of the pseudo header, not complemented.
fn partial(packet: &Packet) -> u16 {
    let mut nothing = vec![0; packet.transport.len()];
    fill_transport(
        packet.source,
        packet.destination,
        packet.protocol,
        &mut nothing,
    );
    !u16::from_be_bytes([nothing[16], nothing[17]])
}

/// Does what a partial checksum leaves to be done.
fn complete(frame: &mut [u8], offload: &Offload) {
    let PartialChecksum { start, offset } = offload.checksum.unwrap();
    let (start, at) = (usize::from(start), usize::from(start + offset));
    let sum = checksum(&frame[start..]);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn with_offload<'a>(port: u32, frame: &'a [u8], offload: Offload) -> Frame<'a> {
    Frame {
        offload,
        ..Frame::whole(Ingress::Port(PortId(port)), frame)
    }
}

#[test]
fn a_super_frame_passes_if_one_segment_fits_and_its_work_moves_along() {
    for outer in [Outer::V4, Outer::V6] {
        let network = Network::standard().with(|network| network.outer = outer);
        let mut host = Nve::new(&network.changes(1));
        for version in 0..2 {
            let (packet, offload) = super_frame(&network, "blue a", "blue b", version, 14_000);
            let frame = packet.frame();
            let Fate::Transmitted(_, mut wire) = host.process(&with_offload(0, &frame, offload))
            else {
                panic!("not transmitted");
            };
            let pushed = if outer == Outer::V4 { 42 } else { 62 };
            let start = offload.checksum.unwrap().start + pushed;
            let work = offload.segmentation.unwrap();
            let expected = Offload {
                checksum: Some(PartialChecksum { start, offset: 16 }),
                segmentation: Some(Segmentation {
                    header_length: work.header_length + pushed,
                    ..work
                }),
                hash: offload.hash,
            };
            assert_eq!(host.offload, expected);
            complete(&mut wire, &expected);
            let full = packet.with(|packet| {
                fill_transport(packet.source, packet.destination, 6, &mut packet.transport);
            });
            assert_eq!(wire, network.tunnel(1, 2, BLUE_1).wrap(&full.frame()));
        }
    }
}

#[test]
fn work_in_front_of_the_packet_is_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let (packet, offload) = super_frame(&network, "blue a", "blue b", 0, 1000);
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&packet.frame());
    let transport = 42 + 34;
    let moved = |start, header_length| Offload {
        checksum: Some(PartialChecksum { start, offset: 16 }),
        segmentation: offload.segmentation.map(|work| Segmentation {
            header_length,
            ..work
        }),
        ..offload
    };
    let mut take = |start, header_length| {
        let fate = host.process(&Frame {
            offload: moved(start, header_length),
            ..Frame::whole(Ingress::Uplink(UplinkId(0)), &wire)
        });
        (fate, host.offload, host.counted())
    };
    let (fate, left, _) = take(transport, transport + 20);
    assert!(matches!(fate, Fate::Delivered(..)));
    assert_eq!(left, offload);
    for (start, header_length) in [
        (0, transport + 20),
        (34, transport + 20),
        (transport - 1, transport + 20),
        (transport, transport - 1),
        (u16::MAX, transport + 20),
        (transport, u16::MAX),
    ] {
        let (fate, _, counted) = take(start, header_length);
        assert_eq!(fate, Fate::Dropped(DropReason::OffloadBad), "{start}");
        let expected = counted_refused_uplink(DropReason::OffloadBad, Some(BLUE_1), wire.len());
        assert_eq!(counted, expected);
    }
    let mut host = Nve::new(&network.changes(1));
    let frame = packet.frame();
    let fate = host.process(&with_offload(0, &frame, moved(33, 54)));
    assert_eq!(fate, Fate::Dropped(DropReason::OffloadBad));
    let fate = host.process(&with_offload(0, &frame, moved(34, 54)));
    assert!(matches!(fate, Fate::Transmitted(..)));
}

#[test]
fn a_segment_that_does_not_fit_is_too_big() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let (packet, mut offload) = super_frame(&network, "blue a", "blue b", 0, 14_000);
    let frame = packet.frame();
    for (segment_size, fits) in [(1518, true), (1519, false)] {
        offload.segmentation = offload.segmentation.map(|work| Segmentation {
            segment_size,
            ..work
        });
        let fate = host.process(&with_offload(0, &frame, offload));
        assert_eq!(
            matches!(fate, Fate::Transmitted(..)),
            fits,
            "{segment_size}"
        );
        assert_eq!(
            matches!(fate, Fate::Explained(DropReason::TooBig, _)),
            !fits,
            "{segment_size}"
        );
    }
    // One that is shorter than a segment could be is not longer for that.
    let (packet, mut offload) = super_frame(&network, "blue a", "blue b", 0, 1000);
    offload.segmentation = offload.segmentation.map(|work| Segmentation {
        segment_size: 9000,
        ..work
    });
    let fate = host.process(&with_offload(0, &packet.frame(), offload));
    assert!(matches!(fate, Fate::Transmitted(..)));
}

#[test]
fn through_rewrite_a_partial_checksum_stays_partial_and_right() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        for to in ["green b", "green c"] {
            let (packet, offload) = super_frame(&network, "green a", to, version, 14_000);
            let frame = packet.frame();
            let Fate::Transmitted(_, wire) = sender.process(&with_offload(4, &frame, offload))
            else {
                panic!("not transmitted");
            };
            assert_eq!(sender.offload, offload);
            let provider = |name: &str| ip(network.machine(name).rewrite[version]);
            let mut completed = wire.clone();
            complete(&mut completed, &sender.offload);
            let full = packet.clone().with(|packet| {
                packet.source = provider("green a");
                packet.destination = provider(to);
                fill_transport(packet.source, packet.destination, 6, &mut packet.transport);
                packet.hop_limit -= u8::from(to == "green c");
            });
            assert_eq!(completed[14..], full.ip_packet());

            // The receiver's port may have to complete it: in customer addresses.
            let given = Frame {
                offload: sender.offload,
                ..Frame::whole(Ingress::Uplink(UplinkId(0)), &wire)
            };
            let Fate::Delivered(_, mut delivered) = receiver.process(&given) else {
                panic!("not delivered");
            };
            assert_eq!(receiver.offload, offload);
            complete(&mut delivered, &receiver.offload);
            let full = packet.with(|packet| {
                fill_transport(packet.source, packet.destination, 6, &mut packet.transport);
                packet.hop_limit -= u8::from(to == "green c");
            });
            assert_eq!(delivered[14..], full.ip_packet());
        }
    }
}

#[test]
fn a_tag_that_is_stripped_moves_the_work_too() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let (packet, mut offload) = super_frame(&network, "blue a", "blue near a", 0, 3000);
    let tagged = packet
        .clone()
        .with(|packet| packet.tags = vec![(0x8100, 0xa000)])
        .frame();
    let expected = offload;
    offload.checksum = offload.checksum.map(|partial| PartialChecksum {
        start: 38,
        ..partial
    });
    offload.segmentation = offload.segmentation.map(|work| Segmentation {
        header_length: 58,
        ..work
    });
    let fate = host.process(&with_offload(0, &tagged, offload));
    assert_eq!(fate, Fate::Delivered(PortId(1), packet.frame()));
    assert_eq!(host.offload, expected);
}

#[test]
fn only_the_window_is_needed() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for (port, from, to) in [(0, "blue a", "blue b"), (4, "green a", "green b")] {
        let (from, to) = (network.machine(from), network.machine(to));
        let frame = Packet::of_length("10.0.0.5", "10.0.0.7", 1500)
            .between(from.mac, to.mac)
            .frame();
        let whole = Frame::whole(Ingress::Port(PortId(port)), &frame);
        let first = Frame {
            window: &frame[..Frame::WINDOW],
            ..whole
        };
        let policy = sender.policies.live();
        let verdict = sender.worker.process(policy, &whole, Duration::ZERO);
        let of_window = sender.worker.process(policy, &first, Duration::ZERO);
        assert_eq!(verdict, of_window);
        let wire = edited(verdict.edit().unwrap(), &frame);
        let whole = Frame::whole(Ingress::Uplink(UplinkId(0)), &wire);
        let first = Frame {
            window: &wire[..Frame::WINDOW],
            ..whole
        };
        let policy = receiver.policies.live();
        let verdict = receiver.worker.process(policy, &whole, Duration::ZERO);
        assert!(matches!(verdict.outcome, Outcome::Deliver { .. }));
        assert_eq!(
            verdict,
            receiver.worker.process(policy, &first, Duration::ZERO)
        );
    }
}

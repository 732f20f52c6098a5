//! Every outcome leaves as the core says.

use netvirt_core::counters::Event;
use netvirt_core::datapath::{DropReason, Ingress, Punt};
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_core::{PortId, UplinkId};

use crate::bench::{Bench, Egress, ROOMY, broadcast, large, leaving, narrow};
use crate::support::hosts::Fate;
use crate::support::network::{BLUE_1, Network, host_mac};
use crate::support::packets::{arp_request, checksum, solicitation};

const UPLINK: Egress = Egress::Uplink(UplinkId(0));

fn standard() -> Bench {
    Bench::new(&Network::standard().changes(1), ROOMY)
}

#[test]
fn a_machines_packet_leaves_encapsulated_in_its_own_buffer() {
    let mut host = standard();
    let frame = Network::standard().datagram("blue a", "blue b", 0).frame();
    let Fate::Transmitted(uplink, wire) = host.take_from_port(0, &frame) else {
        panic!("not transmitted");
    };
    assert_eq!(host.left(), [(Egress::Uplink(uplink), wire)]);
    assert_eq!(host.nve.counted().matches("transmitted 1").count(), 1);
}

#[test]
fn a_rewritten_packet_leaves_in_its_own_buffer() {
    let mut host = standard();
    let frame = Network::standard()
        .datagram("green a", "green c", 1)
        .frame();
    let Fate::Transmitted(_, wire) = host.take_from_port(4, &frame) else {
        panic!("not transmitted");
    };
    assert!(wire.len() <= frame.len());
    assert_eq!(host.left(), [(UPLINK, wire)]);
}

#[test]
fn a_received_packet_goes_to_its_port() {
    let network = Network::standard();
    let inner = network.datagram("blue b", "blue a", 0).frame();
    let mut host = standard();
    host.take_from_uplink(&network.tunnel(2, 1, BLUE_1).wrap(&inner));
    assert_eq!(host.left(), [(Egress::Port(PortId(0)), inner)]);
}

#[test]
fn questions_are_answered_out_of_where_they_came_in() {
    let network = Network::standard();
    let a = network.machine("blue a");
    let mut host = standard();
    let question = arp_request((a.mac, "10.0.0.5"), "10.0.0.7");
    let Fate::Replied(answer) = host.take_from_port(0, &question) else {
        panic!("not answered");
    };
    assert_eq!(host.left(), [(Egress::Port(PortId(0)), answer)]);
    let question = solicitation((host_mac(2), "fd00:4::22"), "fd00:4::11").frame();
    let Fate::Replied(answer) = host.take_from_uplink(&question) else {
        panic!("not answered");
    };
    assert_eq!(host.left(), [(UPLINK, answer)]);
}

#[test]
fn who_sends_too_much_at_once_is_told() {
    let mut host = narrow();
    let frame = large("blue a", "blue c")
        .with(|packet| packet.fragment = 0x4000)
        .frame();
    let Fate::Explained(reason, answer) = host.take_from_port(0, &frame) else {
        panic!("not told");
    };
    assert_eq!(reason, DropReason::TooBig);
    assert_eq!(host.left(), [(Egress::Port(PortId(0)), answer)]);
}

#[test]
fn what_is_the_callers_comes_back_in_its_buffer() {
    let mut host = standard();
    let network = Network::standard();
    let stray = network
        .tunnel(2, 1, BLUE_1)
        .with(|tunnel| tunnel.destination = [192, 168, 4, 99].into())
        .wrap(&network.datagram("blue b", "blue a", 0).frame());
    let (_, punt) = host.take(Ingress::Uplink(UplinkId(0)), &stray, Offload::NONE);
    assert_eq!(punt, Some(Punt::NotOurs));
    assert_eq!(host.left(), []);
}

#[test]
fn what_is_refused_leaves_nothing_but_its_buffer() {
    let mut host = standard();
    let spoofed = Network::standard().datagram("red a", "red b", 0).frame();
    assert_eq!(
        host.take_from_port(0, &spoofed),
        Fate::Dropped(DropReason::MacSpoof)
    );
    assert_eq!(host.left(), []);
}

#[test]
fn each_copy_for_many_leaves_in_a_buffer_of_its_own() {
    let mut host = standard();
    let fate = host.take_from_port(0, &broadcast());
    let (expected, _) = leaving(Ingress::Port(PortId(0)), fate);
    assert_eq!(expected.len(), 2, "to blue near a and to host 2");
    assert_eq!(host.left(), expected);
}

#[test]
fn what_its_path_does_not_carry_leaves_in_fragments() {
    for options in [vec![], vec![148, 4, 0, 0], vec![68, 40, 5, 0]] {
        let mut host = narrow();
        let mut packet = large("blue a", "blue b");
        packet.ipv4_options = options;
        packet
            .ipv4_options
            .resize(packet.ipv4_options.len().min(1) * 40, 1);
        let Fate::Fragmented(_, pieces) = host.take_from_port(0, &packet.frame()) else {
            panic!("not cut");
        };
        assert!(pieces.len() > 2);
        let expected: Vec<_> = pieces.into_iter().map(|piece| (UPLINK, piece)).collect();
        assert_eq!(host.left(), expected);
        assert_eq!(host.event(Event::Fragmented), 1);
    }
}

#[test]
fn under_rewrite_it_is_the_same() {
    let mut host = narrow();
    let Fate::Fragmented(_, pieces) = host.take_from_port(4, &large("green a", "green b").frame())
    else {
        panic!("not cut");
    };
    let expected: Vec<_> = pieces.into_iter().map(|piece| (UPLINK, piece)).collect();
    assert_eq!(host.left(), expected);
}

/// A packet whose checksum its sender left to the device, and the same with the checksum complete.
fn unfinished(from: &str, to: &str) -> (Vec<u8>, Vec<u8>, Offload) {
    let complete = large(from, to).frame();
    let mut frame = complete.clone();
    let (start, offset) = (34, 6);
    let pseudo: Vec<u8> = [&frame[26..34], &[0, 17], &frame[38..40]].concat();
    let sum = !checksum(&pseudo);
    frame[start + offset..][..2].copy_from_slice(&sum.to_be_bytes());
    let partial = PartialChecksum {
        start: start as u16,
        offset: offset as u16,
    };
    let offload = Offload {
        checksum: Some(partial),
        ..Offload::NONE
    };
    (frame, complete, offload)
}

#[test]
fn a_checksum_is_complete_before_its_packet_is_cut() {
    for (from, to, port) in [("blue a", "blue b", 0), ("green a", "green b", 4)] {
        let (frame, complete, offload) = unfinished(from, to);
        let mut host = narrow();
        host.take(Ingress::Port(PortId(port)), &frame, offload);
        let left = host.left_with_work();
        host.take_from_port(port, &complete);
        let expected = host.left_with_work();
        assert!(left.len() > 2);
        assert_eq!(left, expected, "{from}");
    }
}

#[test]
fn work_beside_a_frame_is_left_to_who_takes_it() {
    let network = Network::standard();
    let (frame, _, offload) = unfinished("blue a", "blue b");
    let mut host = Bench::new(
        &network.with(|network| network.mtu = 2000).changes(1),
        ROOMY,
    );
    host.take(Ingress::Port(PortId(0)), &frame, offload);
    let left = host.left_with_work();
    let [(UPLINK, wire, work)] = &left[..] else {
        panic!("{left:?}");
    };
    let partial = work.checksum.unwrap();
    assert_eq!((wire.len(), partial.start), (frame.len() + 42, 34 + 42));
}

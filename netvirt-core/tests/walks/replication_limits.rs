//! Walk 10: copies that wait, are cut or are lost, and how many there may be.

use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::limit::RateLimit;
use netvirt_core::policy::*;
use netvirt_core::*;

use super::fragments::cut;
use super::replication::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{mac, pa, path_mtu};

#[test]
fn spec_3_10_an_unresolved_path_holds_its_copy_alone() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[Change::RemoveNeighbour {
        uplink: HERE,
        address: pa(&host_ipv4(3)),
    }]);
    let frame = broadcast(&network).frame();
    let Fate::Replicated(copies) = host.take_from_port(0, &frame) else {
        panic!("not replicated");
    };
    let [Fate::Delivered(..), Fate::Held(next_hop, held), sent] = &copies[..] else {
        panic!("{copies:?}");
    };
    assert_eq!(next_hop.address, ip(&host_ipv4(3)));
    let mut wire = network.tunnel(1, 3, BLUE_1).wrap(&frame);
    wire[..6].fill(0);
    assert_eq!(*held, wire);
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&frame);
    assert_eq!(*sent, Fate::Transmitted(HERE, wire));
    assert_eq!(host.counted(), counted(3, 0, &[1], frame.len()));
}

#[test]
fn spec_3_10_a_path_that_is_too_small_or_missing_loses_its_copy_alone() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let narrow = [host_ipv4(3), host_ipv6(3)].map(|address| path_mtu(&address, 1400));
    host.apply(&narrow);
    let long = Packet::of_length("10.0.0.5", "255.255.255.255", 1400)
        .between(network.machine("blue a").mac, MacAddress::BROADCAST)
        .frame();
    let sent = |frame: &[u8]| Fate::Transmitted(HERE, network.tunnel(1, 2, BLUE_1).wrap(frame));
    let expected = [
        Fate::Delivered(PortId(1), long.clone()),
        Fate::Lost(DropReason::TooBig, 1),
        sent(&long),
    ];
    assert_eq!(
        host.take_from_port(0, &long),
        Fate::Replicated(expected.to_vec())
    );
    assert_eq!(host.counted(), counted(2, 1, &[1], long.len()));

    // Host 3 is where no route leads.
    let elsewhere = [
        Change::AddHostAddress(HostId(3), pa("203.0.113.3")),
        Change::RemoveHostAddress(HostId(3), pa(&host_ipv4(3))),
        Change::RemoveHostAddress(HostId(3), pa(&host_ipv6(3))),
    ];
    host.apply(&elsewhere);
    let frame = broadcast(&network).frame();
    let expected = [
        Fate::Delivered(PortId(1), frame.clone()),
        Fate::Lost(DropReason::NoPath, 1),
        sent(&frame),
    ];
    assert_eq!(
        host.take_from_port(0, &frame),
        Fate::Replicated(expected.to_vec())
    );
    assert_eq!(host.counted(), counted(2, 1, &[1], frame.len()));
}

#[test]
fn spec_3_10_and_3_8_a_copy_that_may_be_cut_passes_a_small_path_in_fragments() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let narrow = [host_ipv4(3), host_ipv6(3)].map(|address| path_mtu(&address, 1400));
    host.apply(&narrow);
    let packet = Packet::of_length("10.0.0.5", "255.255.255.255", 1400)
        .between(network.machine("blue a").mac, MacAddress::BROADCAST)
        .with(|packet| packet.fragment = 0);
    let long = packet.frame();
    let tunnel = |to: u32, packet: &Packet| network.tunnel(1, to, BLUE_1).wrap(&packet.frame());
    let pieces = cut(&packet, 1358);
    let expected = [
        Fate::Delivered(PortId(1), long.clone()),
        Fate::Fragmented(HERE, pieces.iter().map(|piece| tunnel(3, piece)).collect()),
        Fate::Transmitted(HERE, tunnel(2, &packet)),
    ];
    assert_eq!(
        host.take_from_port(0, &long),
        Fate::Replicated(expected.to_vec())
    );
    let counted = counted(3, 0, &[1], long.len());
    assert_eq!(
        host.counted(),
        counted.replacen("copies 3", "copies 3, fragmented 1", 1)
    );
}

#[test]
fn spec_6_amplification_no_frame_is_copied_to_more_hosts_than_the_cap_allows() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let frame = broadcast(&network).frame();
    for (most, sent) in [(0, 0), (1, 1), (2, 2), (512, 2)] {
        set(&mut host, |settings| settings.most_copies = most);
        let Fate::Replicated(copies) = host.take_from_port(0, &frame) else {
            panic!("not replicated");
        };
        let lost = 2 - sent;
        let last = copies.last().cloned();
        if lost > 0 {
            assert_eq!(last, Some(Fate::Lost(DropReason::StormLimit, lost)));
        }
        assert_eq!(
            host.counted(),
            counted(1 + sent, lost, &[1], frame.len()),
            "at most {most}"
        );
    }
}

#[test]
fn spec_6_amplification_a_port_sends_to_many_as_often_as_its_limit_allows() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    set(&mut host, |settings| {
        settings.storm = RateLimit {
            per_second: 10,
            burst: 3,
        };
    });
    let frame = broadcast(&network).frame();
    let near = to_all(&network, "blue near a", "224.0.0.251").frame();
    let is_sent = |fate| matches!(fate, Fate::Replicated(_));
    for _ in 0..3 {
        assert!(is_sent(host.take_from_port(0, &frame)));
    }
    host.refuses(0, BLUE_1, &frame, DropReason::StormLimit);
    // Other frames of the port go, other ports go, and what was limited where it was sent.
    let unicast = network.datagram("blue a", "blue b", 0).frame();
    host.transmits(0, BLUE_1, &unicast);
    assert!(is_sent(host.take_from_port(1, &near)));
    let from_3 = to_all(&network, "blue d", "224.0.0.251").frame();
    let wire = network.tunnel(3, 1, BLUE_1).wrap(&from_3);
    for _ in 0..10 {
        assert!(is_sent(host.take_from_uplink(&wire)));
    }
    host.now += Duration::from_millis(100);
    assert!(is_sent(host.take_from_port(0, &frame)));
    host.refuses(0, BLUE_1, &frame, DropReason::StormLimit);
    // What is refused for another reason costs nothing.
    host.now += Duration::from_millis(100);
    let spoofed = broadcast(&network).with(|packet| packet.source = ip("10.0.0.7"));
    host.refuses(0, BLUE_1, &spoofed.frame(), DropReason::CaSpoof);
    assert!(is_sent(host.take_from_port(0, &frame)));
}

#[test]
fn spec_1_7_many_machines_that_are_reached_by_rewrite_are_left_out_and_counted() {
    let network = three().with(|network| {
        let mut near = network.machine("green a").clone();
        (near.name, near.mac, near.port) = ("green near a", mac("0a0a00000009"), 9);
        near.addresses = vec!["10.0.0.9", "2001:db8:1::9"];
        near.rewrite = vec!["192.168.4.109", "fd00:4::109"];
        network.machines.push(near);
    });
    let mut host = Nve::new(&network.changes(1));
    let frame = to_all(&network, "green a", "255.255.255.255").frame();
    let local = Fate::Delivered(PortId(9), frame.clone());
    let expected = vec![local.clone(), Fate::Lost(DropReason::RewriteUnsupported, 1)];
    assert_eq!(host.take_from_port(4, &frame), Fate::Replicated(expected));
    let bytes = frame.len();
    assert_eq!(
        host.counted(),
        format!(
            "received 1, replicated 1, copies 1, copies_lost 1, port 4 in 1, \
             port 4 in bytes {bytes}, port 9 out 1, port 9 out bytes {bytes}, \
             7001 sent 1, 7001 sent bytes {bytes}"
        )
    );
    // In transition they are reached by NVGRE.
    let green_b = network.clone().with(|network| {
        network.machine_mut("green b").transition = vec![1];
    });
    let records = green_b.records(green_b.machine("green b"), 1);
    host.apply(
        &records
            .into_iter()
            .map(Change::SetRecord)
            .collect::<Vec<_>>(),
    );
    let sent = Fate::Transmitted(HERE, network.tunnel(1, 2, GREEN_1).wrap(&frame));
    assert_eq!(
        host.take_from_port(4, &frame),
        Fate::Replicated(vec![local, sent])
    );
}

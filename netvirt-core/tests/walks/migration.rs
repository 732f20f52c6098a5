//! A machine that moved: its former host sends frames on, once, and its new host believes former hosts until the
//! migration is retired.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, mac, vsid};

const NAMES: [&str; 2] = ["10.0.0.7", "2001:db8:1::7"];

fn three(outer: Outer) -> Network {
    Network::standard().with(|network| {
        network.hosts = 3;
        network.outer = outer;
    })
}

fn name(subnet: u32, address: &str) -> RecordName {
    RecordName::Address(vsid(subnet), ca(address))
}

/// Blue b, or green b, moves from host 2 to a port of host 3, as one of the three hosts learns it.
fn move_to_3(host: &mut Nve, number: u32, subnet: u32, adapter: MacAddress, port: u32) {
    let mut changes = vec![];
    let mut location = Location::Host(HostId(3));
    if number == 3 {
        location = Location::Port(PortId(port));
        changes.push(Change::AddPort(Port {
            port: PortId(port),
            vsid: Some(vsid(subnet)),
            mac: adapter,
        }));
    }
    let moves = NAMES.map(|address| Change::MoveRecord(name(subnet, address), location));
    changes.extend(moves);
    host.apply(&changes);
}

/// Host 1 has not heard of it yet; hosts 2 and 3 have.
fn moved(network: &Network, machine: &str, port: u32) -> Fabric {
    let machine = network.machine(machine);
    let mut fabric = Fabric::new(network);
    for number in [2, 3] {
        move_to_3(
            fabric.host(number),
            number as u32,
            machine.vsid,
            machine.mac,
            port,
        );
    }
    fabric
}

#[test]
fn spec_2_7_redirect_with_the_ttl_less_one() {
    for outer in [Outer::V4, Outer::V6] {
        let network = three(outer);
        let mut fabric = moved(&network, "blue b", 0);
        for version in 0..2 {
            let packet = network.datagram("blue a", "blue b", version);
            let frame = packet.with(|packet| packet.traffic_class = 0x02).frame();
            let first = fabric.host(1).transmits(0, BLUE_1, &frame);
            let marked = network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.traffic_class = 3);
            assert_eq!(fabric.host(2).counted(), "");
            // Congestion met on the first part of the way is not forgotten on the second.
            let Fate::Transmitted(_, second) =
                fabric.host(2).take_from_uplink(&marked.wrap(&frame))
            else {
                panic!("not sent on");
            };
            let expected = network.tunnel(2, 3, BLUE_1).with(|tunnel| {
                tunnel.traffic_class = 3;
                tunnel.hop_limit = 63;
            });
            assert_eq!(second, expected.wrap(&frame));
            let bytes = first.len();
            assert_eq!(
                fabric.host(2).counted(),
                format!(
                    "received 1, transmitted 1, redirects 1, 5001 received 1, \
                     5001 received bytes {bytes}"
                )
            );
            let congested = network.datagram("blue a", "blue b", version);
            let congested = congested.with(|packet| packet.traffic_class = 0x03).frame();
            assert_eq!(fabric.host(3).delivers(0, BLUE_1, &second), congested);
        }
    }
}

#[test]
fn a_frame_on_its_last_hop_is_not_sent_on() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "blue b", 0);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    for hop_limit in [0, 1] {
        let tunnel = network
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.hop_limit = hop_limit);
        fabric
            .host(2)
            .refuses_uplink(Some(BLUE_1), &tunnel.wrap(&frame), DropReason::TtlExceeded);
    }
}

#[test]
fn spec_2_7_redirect_happens_once() {
    // The sender moved from 3 to 1, as host 2 knows; what comes from 3 was sent on already.
    let network = three(Outer::V4).with(|network| network.machine_mut("blue a").host = 3);
    let mut fabric = Fabric::new(&network);
    let blue_b = network.machine("blue b").mac;
    let two = fabric.host(2);
    two.apply(&[Change::MoveRecord(
        name(BLUE_1, "10.0.0.5"),
        Location::Host(HostId(1)),
    )]);
    move_to_3(two, 2, BLUE_1, blue_b, 0);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let from_former = network.tunnel(3, 2, BLUE_1).wrap(&frame);
    two.refuses_uplink(Some(BLUE_1), &from_former, DropReason::RedirectLoop);
    let from_home = network.tunnel(1, 2, BLUE_1).wrap(&frame);
    assert!(matches!(
        two.take_from_uplink(&from_home),
        Fate::Transmitted(..)
    ));
}

#[test]
fn spec_2_7_believed_are_former_hosts_until_the_migration_is_retired() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "blue b", 0);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let sent_on = network.tunnel(2, 3, BLUE_1).wrap(&frame);
    let direct = network.tunnel(1, 3, BLUE_1).wrap(&frame);
    let three = fabric.host(3);
    assert_eq!(three.delivers(0, BLUE_1, &sent_on), frame);
    assert_eq!(three.delivers(0, BLUE_1, &direct), frame);
    three.apply(&[Change::RetireMigration(name(BLUE_1, NAMES[0]))]);
    three.refuses_uplink(Some(BLUE_1), &sent_on, DropReason::SrcPaMismatch);
    assert_eq!(three.delivers(0, BLUE_1, &direct), frame);

    let two = fabric.host(2);
    two.apply(&[Change::RetireMigration(name(BLUE_1, NAMES[0]))]);
    two.refuses_uplink(
        Some(BLUE_1),
        &network.tunnel(1, 2, BLUE_1).wrap(&frame),
        DropReason::NoLocalDst,
    );
}

#[test]
fn a_moved_sender_is_believed_from_both_hosts_until_retired() {
    let network = three(Outer::V4);
    let mut fabric = Fabric::new(&network);
    let blue_b = network.machine("blue b").mac;
    let one = fabric.host(1);
    move_to_3(one, 1, BLUE_1, blue_b, 0);
    let frame = network.datagram("blue b", "blue a", 0).frame();
    let old = network.tunnel(2, 1, BLUE_1).wrap(&frame);
    let new = network.tunnel(3, 1, BLUE_1).wrap(&frame);
    assert_eq!(one.delivers(0, BLUE_1, &old), frame);
    assert_eq!(one.delivers(0, BLUE_1, &new), frame);
    one.apply(&[Change::RetireMigration(name(BLUE_1, NAMES[0]))]);
    one.refuses_uplink(Some(BLUE_1), &old, DropReason::SrcPaMismatch);
    assert_eq!(one.delivers(0, BLUE_1, &new), frame);
}

#[test]
fn the_former_host_reaches_the_moved_machine_itself() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "blue b", 0);
    let packet = network.datagram("blue c", "blue b", 0);
    let arrival = fabric.send(2, 1, &packet.frame()).unwrap();
    assert_eq!((arrival.host, arrival.port), (3, PortId(0)));
}

#[test]
fn a_destroyed_or_strange_frame_is_not_sent_on() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "blue b", 0);
    let packet = network.datagram("blue a", "blue b", 0);
    let mut broken = packet.frame();
    broken[24] ^= 1;
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&broken);
    fabric
        .host(2)
        .refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerMalformed);
    let strange = packet
        .clone()
        .with(|packet| packet.destination_mac = mac("060600000099"));
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&strange.frame());
    fabric
        .host(2)
        .refuses_uplink(Some(BLUE_1), &wire, DropReason::NoLocalDst);
    let spoofed = packet.with(|packet| packet.source = ip("10.0.0.99"));
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&spoofed.frame());
    fabric
        .host(2)
        .refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
}

#[test]
fn what_was_rewritten_is_sent_on_with_its_own_ttl_less_one() {
    let network = three(Outer::V4);
    for version in 0..2 {
        let mut fabric = moved(&network, "green b", 3);
        let packet = network.datagram("green a", "green b", version);
        let first = fabric.host(1).transmits(4, GREEN_1, &packet.frame());
        fabric.host(2).counted();
        let Fate::Transmitted(_, second) = fabric.host(2).take_from_uplink(&first) else {
            panic!("not sent on");
        };
        assert_eq!(
            fabric.host(2).counted(),
            format!(
                "received 1, transmitted 1, redirects 1, 7001 received 1, \
                 7001 received bytes {}",
                first.len()
            )
        );
        assert_eq!(second[..12], [host_mac(3).0, host_mac(2).0].concat());
        let aged = packet.with(|packet| packet.hop_limit -= 1).frame();
        assert_eq!(fabric.host(3).delivers(3, GREEN_1, &second), aged);
    }
}

#[test]
fn what_was_rewritten_is_not_sent_on_at_its_last_hop_nor_too_big_nor_damaged() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "green b", 3);
    let packet = network
        .datagram("green a", "green b", 0)
        .with(|packet| packet.hop_limit = 1);
    let wire = fabric.host(1).transmits(4, GREEN_1, &packet.frame());
    fabric
        .host(2)
        .refuses_uplink(Some(GREEN_1), &wire, DropReason::TtlExceeded);

    let packet = network.datagram("green a", "green b", 0);
    let mut wire = fabric.host(1).transmits(4, GREEN_1, &packet.frame());
    wire[0] = 0x06;
    fabric
        .host(2)
        .refuses_uplink(Some(GREEN_1), &wire, DropReason::OuterDstMac);
    wire[0] = 0x02;
    wire[24] ^= 1;
    fabric
        .host(2)
        .refuses_uplink(Some(GREEN_1), &wire, DropReason::OuterMalformed);

    let (a, b) = (
        network.machine("green a").mac,
        network.machine("green b").mac,
    );
    let big = Packet::of_length("10.0.0.5", "10.0.0.7", 1600).between(a, b);
    let wire = fabric.host(1).transmits(4, GREEN_1, &big.frame());
    let narrow = HostAddress {
        mtu: 1500,
        ..network.own_addresses(2)[0]
    };
    fabric.host(2).apply(&[Change::SetProviderAddress(narrow)]);
    fabric
        .host(2)
        .refuses_uplink(Some(GREEN_1), &wire, DropReason::TooBig);
}

#[test]
fn what_was_rewritten_is_sent_on_only_out_of_its_own_vlan_and_uplink() {
    let network = three(Outer::V4).with(|network| network.vlan = Some(10));
    let mut fabric = moved(&network, "green b", 3);
    let packet = network.datagram("green a", "green b", 0);
    let mut wire = fabric.host(1).transmits(4, GREEN_1, &packet.frame());
    let elsewhere = Frame::whole(Ingress::Uplink(UplinkId(1)), &wire);
    assert_eq!(
        fabric.host(2).process(&elsewhere),
        Fate::Dropped(DropReason::OuterDstMac)
    );
    wire[15] = 11;
    fabric
        .host(2)
        .refuses_uplink(Some(GREEN_1), &wire, DropReason::PaVlan);
}

#[test]
fn a_frame_too_big_for_the_second_part_of_the_way_is_refused() {
    let network = three(Outer::V4);
    let mut fabric = moved(&network, "blue b", 0);
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let big = Packet::of_length("10.0.0.5", "10.0.0.7", 1558).between(a, b);
    let wire = fabric.host(1).transmits(0, BLUE_1, &big.frame());
    let narrow = HostAddress {
        mtu: 1599,
        ..network.own_addresses(2)[0]
    };
    assert!(matches!(
        fabric.host(2).take_from_uplink(&wire),
        Fate::Transmitted(..)
    ));
    fabric.host(2).apply(&[Change::SetProviderAddress(narrow)]);
    fabric
        .host(2)
        .refuses_uplink(Some(BLUE_1), &wire, DropReason::TooBig);
}

//! A next hop whose MAC address is not known: the frame waits, edited, and the adapter is told whom to ask.

use std::time::Duration;

use netvirt_core::counters::Tally;
use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::policy::*;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, mac, neighbour, pa, prefix, vsid};

fn unresolved(outer: Outer, vlan: Option<u16>) -> Network {
    Network::standard().with(|network| {
        network.is_resolved = false;
        network.outer = outer;
        network.vlan = vlan;
    })
}

fn question(next_hop: &NextHop) -> Vec<u8> {
    let mut out = [0xaa; LONGEST_MESSAGE];
    let length = next_hop.solicitation(&mut out).unwrap();
    out[..length].to_vec()
}

/// The bytes of a frame behind its MAC addresses, with a tag put there.
fn tagged(mut frame: Vec<u8>, vlan: Option<u16>) -> Vec<u8> {
    if let Some(vlan) = vlan {
        let tag = [0x8100u16.to_be_bytes(), vlan.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    frame
}

#[test]
fn spec_3_2_next_hop_the_frame_waits_and_six_bytes_complete_it() {
    for outer in [Outer::V4, Outer::V6] {
        for vlan in [None, Some(5)] {
            let network = unresolved(outer, vlan);
            let mut host = Nve::new(&network.changes(1));
            for (port, from, to) in [(0, "blue a", "blue b"), (4, "green a", "green b")] {
                let version = usize::from(outer == Outer::V6);
                let frame = network.datagram(from, to, version).frame();
                host.counted();
                let Fate::Held(next_hop, mut held) = host.take_from_port(port, &frame) else {
                    panic!("not held");
                };
                let vsid = network.machine(from).vsid;
                assert_eq!(
                    host.counted(),
                    counted_from_port("held", port, vsid, frame.len())
                );
                let addresses = match outer {
                    Outer::V4 => (host_ipv4(1), host_ipv4(2)),
                    Outer::V6 => (host_ipv6(1), host_ipv6(2)),
                };
                assert_eq!(next_hop.uplink, UplinkId(0));
                assert_eq!(next_hop.address, ip(&addresses.1));
                let asker = (host_mac(1), addresses.0.as_str());
                let expected = match outer {
                    Outer::V4 => arp_request(asker, &addresses.1),
                    Outer::V6 => solicitation(asker, &addresses.1).frame(),
                };
                assert_eq!(question(&next_hop), tagged(expected, vlan));

                assert_eq!(held[..6], [0; 6]);
                held[..6].copy_from_slice(&host_mac(2).0);
                let resolved = network.clone().with(|network| network.is_resolved = true);
                let mut sender = Nve::new(&resolved.changes(1));
                assert_eq!(held, sender.transmits(port, vsid, &frame));
            }
        }
    }
}

#[test]
fn what_the_next_hop_says_resolves_its_paths() {
    let network = unresolved(Outer::V4, None);
    let mut host = Nve::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    assert!(matches!(host.take_from_port(0, &frame), Fate::Held(..)));
    let own = (host_mac(1), "192.168.4.11");
    let theirs = (host_mac(2), "192.168.4.22");
    let reply = arp((host_mac(1), host_mac(2)), 2, theirs, own);
    let told = Punt::Neighbour {
        uplink: UplinkId(0),
        address: ip("192.168.4.22"),
        mac: host_mac(2),
        overriding: true,
    };
    host.punts(&reply, told);
    host.apply(&[Change::SetNeighbour(neighbour("192.168.4.22", host_mac(2)))]);
    host.transmits(0, BLUE_1, &frame);
    host.apply(&[Change::RemoveNeighbour {
        uplink: UplinkId(0),
        address: pa("192.168.4.22"),
    }]);
    assert!(matches!(host.take_from_port(0, &frame), Fate::Held(..)));
}

#[test]
fn a_next_hop_that_is_known_is_asked_alone() {
    for (outer, vlan) in [
        (Outer::V4, None),
        (Outer::V4, Some(5)),
        (Outer::V6, Some(5)),
    ] {
        let network = unresolved(outer, vlan);
        let host = Nve::new(&network.changes(1));
        let is_host_2 = |address| address == ip(&host_ipv4(2)) || address == ip(&host_ipv6(2));
        let mut next_hops = host.policies.live().next_hops();
        let next_hop = next_hops.find(|hop| is_host_2(hop.address)).unwrap();
        let mut out = [0xaa; LONGEST_MESSAGE];
        let length = next_hop.poll(host_mac(2), &mut out).unwrap();
        let expected = match outer {
            Outer::V4 => {
                let asker = (host_mac(1), host_ipv4(1));
                let asked = (MacAddress::ZERO, host_ipv4(2));
                let link = (host_mac(2), host_mac(1));
                arp(link, 1, (asker.0, &asker.1), (asked.0, &asked.1))
            }
            Outer::V6 => solicitation((host_mac(1), &host_ipv6(1)), &host_ipv6(2))
                .with(|packet| {
                    packet.destination = ip(&host_ipv6(2));
                    packet.destination_mac = host_mac(2);
                    fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
                })
                .frame(),
        };
        assert_eq!(out[..length], tagged(expected, vlan));
        for short in 0..length {
            assert!(next_hop.poll(host_mac(2), &mut out[..short]).is_err());
        }
    }
}

#[test]
fn only_ways_to_hosts_have_next_hops() {
    let mut host = Nve::new(&[]);
    let network = Network::standard();
    host.apply(&network.changes(1));
    let mut asked: Vec<_> = host
        .policies
        .live()
        .next_hops()
        .map(|hop| hop.address)
        .collect();
    let mut expected: Vec<_> = host
        .policies
        .live()
        .host_addresses()
        .map(|(_, address)| address.get())
        .collect();
    asked.sort();
    expected.sort();
    assert!(!asked.is_empty());
    assert_eq!(asked, expected);
    for own in network.own_addresses(1) {
        host.apply(&[Change::SetProviderAddress(HostAddress {
            state: AddressState::Tentative,
            ..own
        })]);
    }
    assert_eq!(host.policies.live().next_hops().count(), 0);
}

#[test]
fn behind_a_provider_route_the_router_is_asked() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[
        Change::AddHost(HostId(3)),
        Change::AddHostAddress(HostId(3), pa("203.0.113.3")),
        Change::AddProviderRoute(ProviderRoute {
            prefix: prefix("203.0.113.0/24"),
            next_hop: pa("192.168.4.1"),
            metric: 1,
        }),
        Change::MoveRecord(
            RecordName::Address(vsid(BLUE_1), ca("10.0.0.7")),
            Location::Host(HostId(3)),
        ),
    ]);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let Fate::Held(next_hop, _) = host.take_from_port(0, &frame) else {
        panic!("not held");
    };
    assert_eq!(
        question(&next_hop),
        arp_request((host_mac(1), "192.168.4.11"), "192.168.4.1")
    );
    host.apply(&[Change::SetNeighbour(neighbour(
        "192.168.4.1",
        mac("020000000001"),
    ))]);
    host.counted();
    let wire = host.transmits(0, BLUE_1, &frame);
    let tunnel = network.tunnel(1, 2, BLUE_1).with(|tunnel| {
        tunnel.destination_mac = mac("020000000001");
        tunnel.destination = ip("203.0.113.3");
    });
    assert_eq!(wire, tunnel.wrap(&frame));
}

#[test]
fn a_frame_that_was_never_released_is_lost_for_a_reason() {
    let network = unresolved(Outer::V4, None);
    let mut host = Nve::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let given = Frame::whole(Ingress::Port(PortId(0)), &frame);
    let Nve {
        policies, worker, ..
    } = &mut host;
    let verdict = worker.process(policies.live(), &given, Duration::ZERO);
    worker
        .counters_mut()
        .lost(&given, &verdict, DropReason::NeighbourTimeout);
    let bytes = frame.len();
    let expected = counted_from_port("dropped", 0, BLUE_1, bytes);
    let expected = expected.replace("dropped 1", "dropped 1, neighbour_timeout 1");
    assert_eq!(host.counted(), expected);
}

#[test]
fn a_super_frame_that_no_device_could_cut_was_never_transmitted() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let packet = Packet::tcp("10.0.0.5", "10.0.0.7", &[0x5a; 9000]);
    let [from, to] = ["blue a", "blue b"].map(|name| network.machine(name).mac);
    let frame = packet.between(from, to).frame();
    let segmentation = Segmentation {
        kind: SegmentKind::TcpIpv4,
        segment_size: 1400,
        header_length: 54,
    };
    let given = Frame {
        offload: Offload {
            segmentation: Some(segmentation),
            ..Offload::NONE
        },
        ..Frame::whole(Ingress::Port(PortId(0)), &frame)
    };
    let Nve {
        policies, worker, ..
    } = &mut host;
    let verdict = worker.process(policies.live(), &given, Duration::ZERO);
    assert!(
        matches!(verdict.outcome, Outcome::Transmit { .. }),
        "{verdict:?}"
    );
    worker
        .counters_mut()
        .lost(&given, &verdict, DropReason::SuperFrame);
    let expected = counted_from_port("dropped", 0, BLUE_1, frame.len());
    let expected = expected.replace("dropped 1", "dropped 1, super_frame 1");
    assert_eq!(host.counted(), expected);
}

#[test]
fn a_frame_that_its_port_could_not_take_was_never_delivered() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue near a", 0).frame();
    let given = Frame::whole(Ingress::Port(PortId(0)), &frame);
    let Nve {
        policies, worker, ..
    } = &mut host;
    let verdict = worker.process(policies.live(), &given, Duration::ZERO);
    assert!(
        matches!(verdict.outcome, Outcome::Deliver { .. }),
        "{verdict:?}"
    );
    let port = PortId(0);
    let before = worker.counters().port(port).received;
    worker
        .counters_mut()
        .lost(&given, &verdict, DropReason::PortFull);
    let Outcome::Deliver { port: to, .. } = verdict.outcome else {
        unreachable!()
    };
    assert_eq!(worker.counters().port(to).delivered, Tally::ZERO);
    assert_eq!(worker.counters().port(port).received, before);
    assert_eq!(worker.counters().refused(DropReason::PortFull), 1);
    assert!(worker.counters().totals().add_up());
}

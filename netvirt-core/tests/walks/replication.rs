//! Walk 10: broadcast and multicast within a subnet, a copy for each port and each host.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, mac, vsid};

pub const HERE: UplinkId = UplinkId(0);

/// Blue's first subnet has machines on three hosts: ports 0 and 1 of host 1, 0 of host 2, 0 and 1 of host 3.
pub fn three() -> Network {
    Network::standard().with(|network| {
        network.hosts = 3;
        for (name, adapter, addresses, port) in [
            ("blue d", "06060000000b", ["10.0.0.11", "2001:db8:1::b"], 0),
            ("blue e", "06060000000c", ["10.0.0.12", "2001:db8:1::c"], 1),
        ] {
            let mut machine = network.machine("blue b").clone();
            (machine.name, machine.mac) = (name, mac(adapter));
            (machine.addresses, machine.host, machine.port) = (addresses.to_vec(), 3, port);
            network.machines.push(machine);
        }
    })
}

/// A datagram from a machine to a group or a broadcast address.
pub fn to_all(network: &Network, from: &str, group: &str) -> Packet {
    let machine = network.machine(from);
    let (destination, version) = match ip(group) {
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            (MacAddress([0x33, 0x33, a, b, c, d]), 1)
        }
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            (MacAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d]), 0)
        }
        IpAddr::V4(_) => (MacAddress::BROADCAST, 0),
    };
    Packet::udp(machine.addresses[version], group, b"hello, all")
        .between(machine.mac, destination)
        .with(|packet| packet.hop_limit = 1)
}

pub fn broadcast(network: &Network) -> Packet {
    to_all(network, "blue a", "255.255.255.255")
}

pub const GROUPS: [&str; 5] = [
    "255.255.255.255",
    "10.0.0.255",
    "224.0.0.251",
    "239.255.255.250",
    "ff02::fb",
];

/// How a frame for many from port 0 of blue's first subnet is counted.
pub fn counted(copies: u32, lost: u32, ports: &[u32], bytes: usize) -> String {
    let event = |name: &str, count| match count {
        0 => String::new(),
        count => format!(", {name} {count}"),
    };
    let ports: String = ports
        .iter()
        .map(|port| format!(", port {port} out 1, port {port} out bytes {bytes}"))
        .collect();
    format!(
        "received 1, replicated 1{}{}, port 0 in 1, port 0 in bytes {bytes}{ports}, \
         5001 sent 1, 5001 sent bytes {bytes}",
        event("copies", copies),
        event("copies_lost", lost),
    )
}

/// How a copy that came in from another host is counted.
pub fn counted_copy(ports: &[u32], bytes: usize) -> String {
    let tallies: String = ports
        .iter()
        .map(|port| format!(", port {port} out 1, port {port} out bytes {bytes}"))
        .collect();
    format!(
        "received 1, replicated 1, copies {}{tallies}, 5001 received 1, 5001 received bytes {bytes}",
        ports.len()
    )
}

/// Lets the settings of a host be others.
pub fn set(host: &mut Nve, change: impl FnOnce(&mut Settings)) {
    let mut settings = *host.policies.live().settings().unwrap();
    change(&mut settings);
    host.apply(&[Change::SetSettings(settings)]);
}

#[test]
fn spec_3_10_one_copy_for_each_other_port_and_one_for_each_host() {
    for outer in [Outer::V4, Outer::V6] {
        let network = three().with(|network| network.outer = outer);
        let mut host = Nve::new(&network.changes(1));
        for group in GROUPS {
            let frame = to_all(&network, "blue a", group).frame();
            let copies = [
                Fate::Delivered(PortId(1), frame.clone()),
                Fate::Transmitted(HERE, network.tunnel(1, 3, BLUE_1).wrap(&frame)),
                Fate::Transmitted(HERE, network.tunnel(1, 2, BLUE_1).wrap(&frame)),
            ];
            let fate = host.take_from_port(0, &frame);
            assert_eq!(fate, Fate::Replicated(copies.to_vec()), "{group}");
            assert_eq!(host.vsid, Some(BLUE_1));
            assert_eq!(host.counted(), counted(3, 0, &[1], frame.len()));
        }
    }
}

#[test]
fn spec_3_10_a_receiver_hands_it_to_its_ports_and_sends_nothing_on() {
    let network = three();
    let mut host = Nve::new(&network.changes(3));
    for group in GROUPS {
        let frame = to_all(&network, "blue a", group).frame();
        let wire = network.tunnel(1, 3, BLUE_1).wrap(&frame);
        let copies = [1, 0].map(|port| Fate::Delivered(PortId(port), frame.clone()));
        assert_eq!(
            host.take_from_uplink(&wire),
            Fate::Replicated(copies.to_vec()),
            "{group}"
        );
        assert_eq!(host.vsid, Some(BLUE_1));
        assert_eq!(host.counted(), counted_copy(&[0, 1], wire.len()));
    }
}

#[test]
fn spec_2_9_multicast_reaches_every_machine_of_the_subnet_once_and_nobody_else() {
    let network = three();
    let mut fabric = Fabric::new(&network);
    let places = [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1)];
    for (name, place) in ["blue a", "blue near a", "blue b", "blue d", "blue e"]
        .into_iter()
        .zip(places)
    {
        let frame = to_all(&network, name, "224.0.0.251").frame();
        let arrivals = fabric.send_to_all(place.0, place.1, &frame).unwrap();
        let mut heard: Vec<_> = arrivals
            .iter()
            .map(|arrival| (arrival.host, arrival.port.0))
            .collect();
        heard.sort();
        let others: Vec<_> = places.into_iter().filter(|other| *other != place).collect();
        assert_eq!(heard, others, "{name}");
        assert!(arrivals.iter().all(|arrival| arrival.frame == frame));
    }
}

#[test]
fn spec_3_10_nobody_to_hear_it_is_no_loss() {
    let network = three().with(|network| {
        network.machines.retain(|machine| machine.name == "blue a");
    });
    let mut host = Nve::new(&network.changes(1));
    let frame = broadcast(&network).frame();
    assert_eq!(host.take_from_port(0, &frame), Fate::Replicated(vec![]));
    assert_eq!(host.counted(), counted(0, 0, &[], frame.len()));
}

#[test]
fn spec_3_10_padding_and_a_priority_tag_are_taken_off() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let plain = broadcast(&network);
    let marked = plain.clone().with(|packet| {
        packet.tags = vec![(0x8100, 0xa000)];
        packet.padding = 5;
    });
    assert_eq!(
        host.take_from_port(0, &marked.frame()),
        host.take_from_port(0, &plain.frame())
    );
}

#[test]
fn spec_3_10_the_outer_header_is_that_of_a_unicast_frame() {
    let network = three().with(|network| {
        network.vlan = Some(7);
        network.settings.outer_ttl = 9;
        network.settings.dscp = DscpPolicy::Pipe(10);
    });
    let mut host = Nve::new(&network.changes(1));
    let frame = broadcast(&network)
        .with(|packet| packet.traffic_class = 0xb9)
        .frame();
    let Fate::Replicated(copies) = host.take_from_port(0, &frame) else {
        panic!("not replicated");
    };
    let tunnel = network.tunnel(1, 2, BLUE_1).with(|tunnel| {
        tunnel.hop_limit = 9;
        tunnel.traffic_class = 10 << 2 | 1;
    });
    assert_eq!(copies[2], Fate::Transmitted(HERE, tunnel.wrap(&frame)));
}

#[test]
fn spec_3_10_congestion_on_the_way_is_told_to_every_receiver() {
    let network = three();
    let mut host = Nve::new(&network.changes(3));
    let sent = |class| broadcast(&network).with(|packet| packet.traffic_class = class);
    let congested = network
        .tunnel(1, 3, BLUE_1)
        .with(|tunnel| tunnel.traffic_class = 3);
    let heard = sent(3).frame();
    let copies = [1, 0].map(|port| Fate::Delivered(PortId(port), heard.clone()));
    assert_eq!(
        host.take_from_uplink(&congested.wrap(&sent(2).frame())),
        Fate::Replicated(copies.to_vec())
    );
    host.refuses_uplink(
        Some(BLUE_1),
        &congested.wrap(&sent(0).frame()),
        DropReason::EcnNotCapable,
    );
}

#[test]
fn spec_3_10_work_beside_the_frame_goes_with_each_copy() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let bytes = broadcast(&network).frame();
    let frame = Frame {
        offload: Offload {
            checksum: Some(PartialChecksum {
                start: 34,
                offset: 6,
            }),
            ..Offload::NONE
        },
        ..Frame::whole(Ingress::Port(PortId(0)), &bytes)
    };
    let verdict = host
        .worker
        .process(host.policies.live(), &frame, Duration::ZERO);
    let Outcome::Replicate(replication) = verdict.outcome else {
        panic!("{verdict:?}");
    };
    let starts: Vec<_> = replication
        .copies(host.policies.live())
        .map(|copy| match copy {
            Replica::Deliver { edit, .. } | Replica::Transmit { edit, .. } => {
                edit.offload.checksum.unwrap().start
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(starts, [34, 34 + 42, 34 + 42]);
}

#[test]
fn spec_3_10_a_frame_for_many_must_be_so_on_both_layers() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let to_one = network.datagram("blue a", "blue b", 0);
    let to_many = broadcast(&network);
    let with_address = |address: &str| {
        let address = ip(address);
        to_many.clone().with(|packet| packet.destination = address)
    };
    let unicast_mac = |packet: &Packet| {
        packet
            .clone()
            .with(|packet| packet.destination_mac = to_one.destination_mac)
    };
    for packet in [
        with_address("10.0.0.7"),
        // Broadcast of another subnet, of a tenant and of nobody.
        with_address("10.0.1.255"),
        with_address("10.0.0.254"),
        with_address("192.0.2.255"),
        with_address("240.0.0.1"),
        unicast_mac(&to_many),
        unicast_mac(&to_all(&network, "blue a", "224.0.0.251")),
        unicast_mac(&to_all(&network, "blue a", "ff02::fb")),
    ] {
        host.refuses(0, BLUE_1, &packet.frame(), DropReason::Multicast);
    }
    let directed = unicast_mac(&to_all(&network, "blue a", "10.0.0.255"));
    host.refuses(0, BLUE_1, &directed.frame(), DropReason::NoRecord);
    let directed = to_all(&network, "blue a", "10.0.1.255").with(|packet| {
        packet.destination_mac = ROUTER;
    });
    host.refuses(0, BLUE_1, &directed.frame(), DropReason::NoRecord);
}

#[test]
fn spec_3_10_a_prefix_of_two_addresses_has_no_broadcast() {
    let network = three().with(|network| {
        network.subnets[0].2.push("10.0.4.0/31");
        network.subnets[0].2.push("10.0.5.0/30");
    });
    let mut host = Nve::new(&network.changes(1));
    let pair = to_all(&network, "blue a", "10.0.4.1");
    host.refuses(0, BLUE_1, &pair.frame(), DropReason::Multicast);
    let second_prefix = to_all(&network, "blue a", "10.0.5.3");
    let fate = host.take_from_port(0, &second_prefix.frame());
    assert!(
        matches!(fate, Fate::Replicated(copies) if copies.len() == 3),
        "of any prefix"
    );
}

#[test]
fn spec_3_10_only_a_machine_with_a_record_sends_to_many() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    for (group, source, reason) in [
        ("255.255.255.255", "0.0.0.0", DropReason::Multicast),
        ("224.0.0.251", "169.254.7.7", DropReason::Multicast),
        ("ff02::1:2", "fe80::400:ff:fe00:5", DropReason::Multicast),
        ("ff02::16", "::", DropReason::Multicast),
        ("255.255.255.255", "10.0.0.7", DropReason::CaSpoof),
        ("255.255.255.255", "10.0.0.9", DropReason::CaSpoof),
        ("255.255.255.255", "10.0.0.77", DropReason::CaSpoof),
        ("224.0.0.251", "192.0.2.1", DropReason::CaSpoof),
        ("ff02::fb", "2001:db8:1::7", DropReason::CaSpoof),
        ("ff02::fb", "2001:db8:ffff::1", DropReason::CaSpoof),
    ] {
        let packet = to_all(&network, "blue a", group).with(|packet| packet.source = ip(source));
        host.refuses(0, BLUE_1, &packet.frame(), reason);
    }
    let other_mac = broadcast(&network).with(|packet| packet.source_mac = ROUTER);
    host.refuses(0, BLUE_1, &other_mac.frame(), DropReason::MacSpoof);
}

#[test]
fn spec_3_10_a_gateway_sends_to_many_for_itself_alone() {
    let network = three();
    let mut host = Nve::new(&network.changes(2));
    let own = to_all(&network, "gate", "224.0.0.9");
    assert_eq!(
        host.take_from_port(5, &own.frame()),
        Fate::Replicated(vec![])
    );
    let guest = own.with(|packet| packet.source = ip("198.51.100.9"));
    host.refuses(5, BLUE_EDGE, &guest.frame(), DropReason::CaSpoof);
}

#[test]
fn spec_3_10_neighbour_discovery_is_not_replicated() {
    let network = three();
    let mut host = Nve::new(&network.changes(1));
    let machine = network.machine("blue a");
    let question = solicitation((machine.mac, "2001:db8:1::5"), "2001:db8:1::7");
    let fate = host.take_from_port(0, &question.frame());
    assert!(matches!(fate, Fate::Replied(_)), "{fate:?}");
    let mut receiver = Nve::new(&network.changes(3));
    let wire = network.tunnel(1, 3, BLUE_1).wrap(&question.frame());
    receiver.refuses_uplink(Some(BLUE_1), &wire, DropReason::Multicast);
}

#[test]
fn spec_3_10_a_receiver_believes_the_sender_as_that_of_any_frame() {
    let network = three();
    let mut host = Nve::new(&network.changes(3));
    let frame = broadcast(&network);
    let from_1 = network.tunnel(1, 3, BLUE_1);
    let with_source = |source: &str| {
        let source = ip(source);
        frame.clone().with(|packet| packet.source = source)
    };
    let refused = [
        // From a host on which the sender does not live, or where nobody knows it.
        (
            network.tunnel(2, 3, BLUE_1).wrap(&frame.frame()),
            DropReason::SrcPaMismatch,
        ),
        (
            from_1.wrap(&with_source("10.0.0.77").frame()),
            DropReason::SrcPaMismatch,
        ),
        (
            from_1.wrap(&with_source("0.0.0.0").frame()),
            DropReason::SrcPaMismatch,
        ),
        // A machine of the domain, on the right host, in another subnet.
        (
            from_1.wrap(
                &with_source("10.0.1.8")
                    .with(|packet| packet.source_mac = ROUTER)
                    .frame(),
            ),
            DropReason::SrcPaMismatch,
        ),
        (
            from_1.wrap(&frame.clone().with(|p| p.source_mac = ROUTER).frame()),
            DropReason::InnerSrcMac,
        ),
        (
            from_1.wrap(&frame.clone().with(|p| p.source_mac.0[0] = 3).frame()),
            DropReason::InnerL2,
        ),
        (
            from_1.wrap(
                &frame
                    .clone()
                    .with(|p| p.destination_mac = mac("06060000000b"))
                    .frame(),
            ),
            DropReason::Multicast,
        ),
        (
            from_1.wrap(&to_all(&network, "blue a", "10.0.1.255").frame()),
            DropReason::Multicast,
        ),
    ];
    for (wire, reason) in refused {
        host.refuses_uplink(Some(BLUE_1), &wire, reason);
    }
    let mut damaged = from_1.wrap(&frame.frame());
    damaged[42 + 14 + 10] ^= 1;
    host.refuses_uplink(Some(BLUE_1), &damaged, DropReason::InnerMalformed);
}

#[test]
fn spec_3_10_a_host_without_ports_in_the_subnet_has_nobody_to_tell() {
    let network = three().with(|network| {
        network
            .machines
            .retain(|machine| machine.name != "blue d" && machine.name != "blue e");
    });
    let mut host = Nve::new(&network.changes(3));
    let wire = network
        .tunnel(1, 3, BLUE_1)
        .wrap(&broadcast(&network).frame());
    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::NoLocalDst);
    let unknown = network
        .tunnel(1, 3, 9999)
        .wrap(&broadcast(&network).frame());
    host.refuses_uplink(None, &unknown, DropReason::VsidUnknown);
}

#[test]
fn spec_3_10_the_copies_follow_a_machine_that_moves() {
    let network = three().with(|network| {
        network
            .machines
            .retain(|machine| machine.name != "blue d" && machine.name != "blue e");
    });
    let mut fabric = Fabric::new(&network);
    let blue_b = network.machine("blue b").clone();
    let names = blue_b
        .addresses
        .iter()
        .map(|address| RecordName::Address(vsid(BLUE_1), ca(address)));
    let names: Vec<_> = names.collect();
    let moved = |location| -> Vec<_> {
        let moves = names.iter().map(|name| Change::MoveRecord(*name, location));
        moves.collect()
    };
    let mut arrived = moved(Location::Port(PortId(8)));
    arrived.insert(
        0,
        Change::AddPort(Port {
            port: PortId(8),
            vsid: Some(vsid(BLUE_1)),
            mac: blue_b.mac,
        }),
    );
    let frame = broadcast(&network).frame();
    let heard = |fabric: &mut Fabric| -> Vec<_> {
        let arrivals = fabric.send_to_all(1, 0, &frame).unwrap();
        let places = arrivals
            .iter()
            .map(|arrival| (arrival.host, arrival.port.0));
        places.collect()
    };
    fabric.host(3).apply(&arrived);
    fabric.host(2).apply(&moved(Location::Host(HostId(3))));
    assert_eq!(heard(&mut fabric), [(1, 1), (2, 0)], "not told yet");
    fabric.host(1).apply(&moved(Location::Host(HostId(3))));
    assert_eq!(heard(&mut fabric), [(1, 1), (3, 8)]);

    // What it said before it moved comes to host 3 too, but not to itself.
    let late = to_all(&network, "blue b", "224.0.0.251").frame();
    let wire = network.tunnel(2, 3, BLUE_1).wrap(&late);
    assert_eq!(
        fabric.host(3).take_from_uplink(&wire),
        Fate::Replicated(vec![])
    );
    // Until the migration is retired.
    let retired: Vec<_> = names
        .iter()
        .map(|name| Change::RetireMigration(*name))
        .collect();
    fabric.host(3).apply(&retired);
    fabric
        .host(3)
        .refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
}

#[test]
fn spec_3_10_flows_spread_over_the_addresses_of_each_host() {
    let network = three().with(|network| {
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 5 };
    });
    let mut host = Nve::new(&network.changes(1));
    let mut growths = BTreeSet::new();
    for source_port in 1..60 {
        let frame = broadcast(&network)
            .with(|packet| packet.transport[1] = source_port)
            .frame();
        let Fate::Replicated(copies) = host.take_from_port(0, &frame) else {
            panic!("not replicated");
        };
        let grown: Vec<_> = copies
            .iter()
            .filter_map(|copy| match copy {
                Fate::Transmitted(_, wire) => Some(wire.len() - frame.len()),
                _ => None,
            })
            .collect();
        // Both hosts have one address of each version, and a flow chooses alike.
        assert!(grown == [42, 42] || grown == [62, 62], "{grown:?}");
        growths.insert(grown[0]);
    }
    assert_eq!(growths.len(), 2, "both versions carry some");
}

/// A neighbour advertisement that nobody walks to must not pass for plain multicast.
#[test]
fn spec_3_10_what_stands_behind_headers_without_end_is_not_replicated() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let a = network.machine("blue a").mac;
    let all = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
    let packet = Packet::icmp("2001:db8:1::5", "ff02::1", 58, 136, &[0; 24]).between(a, all);
    let options = (60, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let hidden = packet.with(|packet| packet.extensions = vec![options; 10]);
    host.refuses(0, BLUE_1, &hidden.frame(), DropReason::Multicast);
}

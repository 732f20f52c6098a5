//! Walk 10 where an address for many is mapped to a group of the provider network: one packet for all other hosts.

use netvirt_core::datapath::*;
use netvirt_core::limit::RateLimit;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::replication::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{group, pa};

const HERE: UplinkId = UplinkId(0);
const MDNS: &str = "224.0.0.251";
/// The groups of the provider network, with their MAC addresses: the lower 23 and 32 bits (RFC 1112 §6.4, RFC 2464 §7).
const PROVIDERS: [(&str, [u8; 6]); 3] = [
    ("239.192.1.2", [0x01, 0x00, 0x5e, 0x40, 0x01, 0x02]),
    ("239.0.128.255", [0x01, 0x00, 0x5e, 0x00, 0x80, 0xff]),
    ("ff05::a1b2:c3d4", [0x33, 0x33, 0xa1, 0xb2, 0xc3, 0xd4]),
];

fn add(vsid: u32, address: &str, provider: &str) -> Change {
    Change::AddMulticastGroup(group(vsid, address, provider))
}

fn remove(vsid: u32, address: &str) -> Change {
    Change::RemoveMulticastGroup {
        vsid: crate::support::vsid(vsid),
        address: ip(address),
    }
}

/// A host of the network that maps an address of blue's first subnet to a group.
fn mapped(network: &Network, host: u32, address: &str, provider: &str) -> Nve {
    let mut host = Nve::new(&network.changes(host));
    host.apply(&[add(BLUE_1, address, provider)]);
    host
}

/// The outer headers of a packet to a group, as they are with the settings of this network.
fn to_group(network: &Network, from: u32, provider: &str, vsid: u32) -> Tunnel {
    let (_, mac) = PROVIDERS
        .into_iter()
        .find(|(group, _)| *group == provider)
        .unwrap();
    network.tunnel(from, from, vsid).with(|tunnel| {
        tunnel.destination = ip(provider);
        tunnel.destination_mac = MacAddress(mac);
        tunnel.source = ip(&match tunnel.destination.is_ipv4() {
            true => host_ipv4(from),
            false => host_ipv6(from),
        });
    })
}

fn delivered(ports: &[u32], frame: &[u8]) -> Vec<Fate> {
    let ports = ports.iter();
    ports
        .map(|port| Fate::Delivered(PortId(*port), frame.to_vec()))
        .collect()
}

/// What becomes of a frame from port 0 of host 1: the copy for port 1, and these.
fn copies(frame: &[u8], others: &[Fate]) -> Fate {
    Fate::Replicated([&delivered(&[1], frame), others].concat())
}

#[test]
fn spec_3_10_group_out_one_packet_goes_to_the_group_instead_of_one_to_each_host() {
    for vlan in [None, Some(7)] {
        let network = three().with(|network| network.vlan = vlan);
        for address in GROUPS {
            for (provider, _) in PROVIDERS {
                let mut host = mapped(&network, 1, address, provider);
                let frame = to_all(&network, "blue a", address).frame();
                let wire = to_group(&network, 1, provider, BLUE_1).wrap(&frame);
                assert_eq!(
                    host.take_from_port(0, &frame),
                    copies(&frame, &[Fate::Transmitted(HERE, wire)]),
                    "{address} to {provider}"
                );
                assert_eq!(host.vsid, Some(BLUE_1));
                assert_eq!(host.counted(), counted(2, 0, &[1], frame.len()));
            }
        }
    }
}

#[test]
fn spec_3_10_group_out_the_header_is_that_of_a_copy_for_one_host() {
    for outer in [Outer::V4, Outer::V6] {
        let network = three().with(|network| {
            network.outer = outer;
            network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 5 };
            network.settings.outer_ttl = 9;
            network.settings.dscp = DscpPolicy::Pipe(10);
            // Only the addresses of the wanted version, so that each flow takes it.
            network.hosts = 2;
            network.machines.retain(|machine| machine.host < 3);
        });
        let (unwanted, provider) = match outer {
            Outer::V4 => (host_ipv6(2), PROVIDERS[0].0),
            Outer::V6 => (host_ipv4(2), PROVIDERS[2].0),
        };
        let mut host = Nve::new(&network.changes(1));
        host.apply(&[Change::RemoveHostAddress(HostId(2), pa(&unwanted))]);
        let frame = to_all(&network, "blue a", MDNS)
            .with(|packet| packet.traffic_class = 0xb9)
            .frame();
        let sent = |host: &mut Nve| match host.take_from_port(0, &frame) {
            Fate::Replicated(copies) => match &copies[..] {
                [_, Fate::Transmitted(HERE, wire)] => wire.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let to_host = sent(&mut host);
        host.apply(&[add(BLUE_1, MDNS, provider)]);
        let to_group = sent(&mut host);
        // All but the destinations, and IPv4's checksum over them.
        let same: &[std::ops::Range<usize>] = match outer {
            Outer::V4 => &[6..24, 26..30, 34..to_host.len()],
            Outer::V6 => &[6..38, 54..to_host.len()],
        };
        for range in same {
            assert_eq!(to_group[range.clone()], to_host[range.clone()], "{outer:?}");
        }
    }
}

#[test]
fn spec_3_10_group_out_no_next_hop_is_asked_for() {
    let network = three().with(|network| network.is_resolved = false);
    let mut host = mapped(&network, 1, MDNS, PROVIDERS[0].0);
    let frame = to_all(&network, "blue a", MDNS).frame();
    let wire = to_group(&network, 1, PROVIDERS[0].0, BLUE_1).wrap(&frame);
    let expected = copies(&frame, &[Fate::Transmitted(HERE, wire)]);
    assert_eq!(host.take_from_port(0, &frame), expected);
    // Neighbours that come and go change nothing.
    let neighbour = Neighbour {
        uplink: HERE,
        address: pa(&host_ipv4(2)),
        mac: host_mac(2),
    };
    host.apply(&[Change::SetNeighbour(neighbour)]);
    host.apply(&[Change::RemoveNeighbour {
        uplink: HERE,
        address: neighbour.address,
    }]);
    assert_eq!(host.take_from_port(0, &frame), expected);
}

#[test]
fn spec_3_10_group_out_other_addresses_and_other_subnets_are_copied_as_ever() {
    let network = three();
    let mut plain = Nve::new(&network.changes(1));
    let mut host = mapped(&network, 1, MDNS, PROVIDERS[0].0);
    host.apply(&[add(RED_1, "239.255.255.250", PROVIDERS[0].0)]);
    for (port, sender, address) in [
        (0, "blue a", "239.255.255.250"),
        (0, "blue a", "255.255.255.255"),
        (0, "blue a", "ff02::fb"),
        (3, "red a", MDNS),
        (2, "blue near c", MDNS),
    ] {
        let frame = to_all(&network, sender, address).frame();
        let fate = host.take_from_port(port, &frame);
        assert!(matches!(fate, Fate::Replicated(_)));
        assert_eq!(fate, plain.take_from_port(port, &frame), "{sender}");
    }
    // And this one, as soon as it is not mapped any more.
    host.apply(&[remove(BLUE_1, MDNS)]);
    let frame = to_all(&network, "blue a", MDNS).frame();
    assert_eq!(
        host.take_from_port(0, &frame),
        plain.take_from_port(0, &frame)
    );
}

#[test]
fn spec_3_10_group_out_a_shared_group_carries_as_long_as_one_address_is_mapped_to_it() {
    let network = three();
    let (provider, _) = PROVIDERS[0];
    let mut host = mapped(&network, 1, MDNS, provider);
    host.apply(&[
        add(BLUE_1, "255.255.255.255", provider),
        add(RED_1, MDNS, provider),
    ]);
    host.apply(&[remove(BLUE_1, MDNS)]);
    let frame = to_all(&network, "blue a", "255.255.255.255").frame();
    let wire = to_group(&network, 1, provider, BLUE_1).wrap(&frame);
    assert_eq!(
        host.take_from_port(0, &frame),
        copies(&frame, &[Fate::Transmitted(HERE, wire)])
    );
    host.apply(&[remove(BLUE_1, "255.255.255.255")]);
    let frame = to_all(&network, "red a", MDNS).frame();
    let wire = to_group(&network, 1, provider, RED_1).wrap(&frame);
    assert_eq!(
        host.take_from_port(3, &frame),
        Fate::Replicated(vec![Fate::Transmitted(HERE, wire)])
    );
    host.apply(&[remove(RED_1, MDNS)]);
    let from_2 = to_group(&network, 2, provider, RED_1);
    let heard = from_2.wrap(&to_all(&network, "red b", MDNS).frame());
    host.counted();
    host.punts(&heard, Punt::NotOurs);
}

#[test]
fn spec_3_10_group_out_it_leaves_from_the_first_own_address_that_can_be_used() {
    let network = three();
    let (provider, _) = PROVIDERS[0];
    let mut host = mapped(&network, 1, MDNS, provider);
    let [first, _] = network.own_addresses(1)[..] else {
        panic!("two addresses");
    };
    let second = HostAddress {
        address: pa("192.168.9.1"),
        uplink: UplinkId(1),
        mac: MacAddress([2, 0, 0, 0, 0, 99]),
        vlan: VlanId::new(9).ok(),
        ..first
    };
    host.apply(&[Change::AddProviderAddress(second)]);
    let frame = to_all(&network, "blue a", MDNS).frame();
    let from_first = Fate::Transmitted(HERE, to_group(&network, 1, provider, BLUE_1).wrap(&frame));
    let from_second = to_group(&network, 1, provider, BLUE_1).with(|tunnel| {
        tunnel.source = ip("192.168.9.1");
        tunnel.source_mac = second.mac;
        tunnel.tags = vec![(0x8100, 9)];
    });
    let from_second = Fate::Transmitted(UplinkId(1), from_second.wrap(&frame));
    let nowhere = Fate::Lost(DropReason::NoPath, 1);
    use AddressState::{Deprecated, Duplicate, Preferred, Tentative};
    for (states, expected) in [
        ([Preferred, Preferred], &from_first),
        ([Deprecated, Preferred], &from_second),
        ([Deprecated, Tentative], &from_first),
        ([Duplicate, Deprecated], &from_second),
        ([Tentative, Duplicate], &nowhere),
    ] {
        for (own, state) in [first, second].into_iter().zip(states) {
            host.apply(&[Change::SetAddressState {
                address: own.address,
                state,
            }]);
        }
        assert_eq!(
            host.take_from_port(0, &frame),
            copies(&frame, std::slice::from_ref(expected)),
            "{states:?}"
        );
    }
    assert_eq!(
        host.counted(),
        // Five frames, of which the last lost its copy.
        format!(
            "received 5, replicated 5, copies 9, copies_lost 1, port 0 in 5, port 0 in bytes {bytes}, port 1 out 5, \
             port 1 out bytes {bytes}, 5001 sent 5, 5001 sent bytes {bytes}",
            bytes = 5 * frame.len()
        )
    );
    // Without any own address of its family, too; and with one again.
    host.apply(&[first, second].map(|own| Change::RemoveProviderAddress(own.address)));
    assert_eq!(
        host.take_from_port(0, &frame),
        copies(&frame, std::slice::from_ref(&nowhere))
    );
    host.apply(&[Change::AddProviderAddress(first)]);
    assert_eq!(
        host.take_from_port(0, &frame),
        copies(&frame, &[from_first])
    );
}

#[test]
fn spec_3_10_group_out_what_does_not_fit_the_uplink_is_lost() {
    let network = three();
    let near = network.machine("blue a").mac;
    for (provider, most) in [(PROVIDERS[0].0, 1558), (PROVIDERS[2].0, 1538)] {
        let mut host = mapped(&network, 1, "255.255.255.255", provider);
        for (length, lost) in [(most, 0), (most + 1, 1)] {
            let frame = Packet::of_length("10.0.0.5", "255.255.255.255", length)
                .between(near, MacAddress::BROADCAST)
                .frame();
            let tunnel = to_group(&network, 1, provider, BLUE_1);
            let copy = match lost {
                0 => Fate::Transmitted(HERE, tunnel.wrap(&frame)),
                _ => Fate::Lost(DropReason::TooBig, 1),
            };
            assert_eq!(host.take_from_port(0, &frame), copies(&frame, &[copy]));
            assert_eq!(host.counted(), counted(2 - lost, lost, &[1], frame.len()));
        }
    }
}

#[test]
fn spec_3_10_group_out_and_6_amplification_it_is_one_copy_and_limited_as_all() {
    let network = three();
    let (provider, _) = PROVIDERS[0];
    let mut host = mapped(&network, 1, MDNS, provider);
    let frame = to_all(&network, "blue a", MDNS).frame();
    let wire = to_group(&network, 1, provider, BLUE_1).wrap(&frame);
    let sent = copies(&frame, &[Fate::Transmitted(HERE, wire)]);
    set(&mut host, |settings| settings.most_copies = 1);
    assert_eq!(host.take_from_port(0, &frame), sent);
    assert_eq!(host.counted(), counted(2, 0, &[1], frame.len()));
    set(&mut host, |settings| settings.most_copies = 0);
    let lost = Fate::Lost(DropReason::StormLimit, 1);
    assert_eq!(host.take_from_port(0, &frame), copies(&frame, &[lost]));
    assert_eq!(host.counted(), counted(1, 1, &[1], frame.len()));
    set(&mut host, |settings| {
        settings.storm = RateLimit {
            per_second: 1,
            burst: 2,
        };
    });
    host.now += std::time::Duration::from_secs(10);
    let fates = [(); 3].map(|()| host.take_from_port(0, &frame));
    let is_sent = fates.map(|fate| matches!(fate, Fate::Replicated(_)));
    assert_eq!(is_sent, [true, true, false]);
    host.refuses(0, BLUE_1, &frame, DropReason::StormLimit);
}

#[test]
fn spec_3_10_group_out_only_a_machine_with_a_record_sends_to_it() {
    let network = three();
    let mut host = mapped(&network, 1, "255.255.255.255", PROVIDERS[0].0);
    let packet = to_all(&network, "blue a", "255.255.255.255");
    for (source, reason) in [
        ("0.0.0.0", DropReason::Multicast),
        ("10.0.0.7", DropReason::CaSpoof),
    ] {
        let spoofed = packet.clone().with(|packet| packet.source = ip(source));
        host.refuses(0, BLUE_1, &spoofed.frame(), reason);
    }
    let unicast = packet.with(|packet| packet.destination_mac = host_mac(2));
    host.refuses(0, BLUE_1, &unicast.frame(), DropReason::Multicast);
}

#[test]
fn spec_3_10_group_out_and_1_7_many_nothing_goes_to_a_group_where_all_are_reached_by_rewrite() {
    let network = three();
    let (provider, _) = PROVIDERS[0];
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[add(GREEN_1, MDNS, provider)]);
    let frame = to_all(&network, "green a", MDNS).frame();
    let lost = Fate::Lost(DropReason::RewriteUnsupported, 1);
    assert_eq!(
        host.take_from_port(4, &frame),
        Fate::Replicated(vec![lost.clone()])
    );
    let bytes = frame.len();
    assert_eq!(
        host.counted(),
        format!(
            "received 1, replicated 1, copies_lost 1, port 4 in 1, port 4 in bytes {bytes}, \
             7001 sent 1, 7001 sent bytes {bytes}"
        )
    );
    // In transition all send NVGRE.
    let transition = network.clone().with(|network| {
        for name in ["green a", "green b"] {
            network.machine_mut(name).transition = vec![1];
        }
    });
    let mut host = Nve::new(&transition.changes(1));
    host.apply(&[add(GREEN_1, MDNS, provider)]);
    let wire = to_group(&network, 1, provider, GREEN_1).wrap(&frame);
    assert_eq!(
        host.take_from_port(4, &frame),
        Fate::Replicated(vec![Fate::Transmitted(HERE, wire)])
    );
}

#[test]
fn spec_3_10_group_in_every_port_of_the_subnet_hears_it() {
    for vlan in [None, Some(7)] {
        let network = three().with(|network| network.vlan = vlan);
        for address in GROUPS {
            for (provider, _) in PROVIDERS {
                let mut host = mapped(&network, 3, address, provider);
                let frame = to_all(&network, "blue a", address).frame();
                let wire = to_group(&network, 1, provider, BLUE_1).wrap(&frame);
                assert_eq!(
                    host.take_from_uplink(&wire),
                    Fate::Replicated(delivered(&[1, 0], &frame)),
                    "{address} from {provider}"
                );
                assert_eq!(host.vsid, Some(BLUE_1));
                assert_eq!(host.counted(), counted_copy(&[0, 1], wire.len()));
            }
        }
    }
}

#[test]
fn spec_3_10_group_in_each_machine_of_the_subnet_hears_it_once_and_nobody_else() {
    let network = three();
    let (provider, _) = PROVIDERS[2];
    let mut fabric = Fabric::new(&network);
    for host in 1..=3 {
        // The others listen to the same group.
        fabric.host(host).apply(&[
            add(BLUE_1, MDNS, provider),
            add(BLUE_2, MDNS, provider),
            add(RED_1, MDNS, provider),
        ]);
    }
    let places = [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1)];
    for (name, (from, port)) in ["blue a", "blue near a", "blue b", "blue d", "blue e"]
        .into_iter()
        .zip(places)
    {
        let frame = to_all(&network, name, MDNS).frame();
        let mut heard = vec![];
        let mut wires = vec![];
        let Fate::Replicated(sent) = fabric.host(from).take_from_port(port, &frame) else {
            panic!("not replicated");
        };
        for copy in sent {
            match copy {
                Fate::Delivered(port, copy) => heard.push((from, port.0, copy)),
                Fate::Transmitted(HERE, wire) => wires.push(wire),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(wires.len(), 1, "{name}");
        for host in (1..=3).filter(|host| *host != from) {
            let Fate::Replicated(copies) = fabric.host(host).take_from_uplink(&wires[0]) else {
                panic!("not replicated");
            };
            heard.extend(copies.into_iter().map(|copy| match copy {
                Fate::Delivered(port, frame) => (host, port.0, frame),
                other => panic!("{other:?}"),
            }));
        }
        heard.sort();
        let others = places.into_iter().filter(|place| *place != (from, port));
        let expected: Vec<_> = others
            .map(|(host, port)| (host, port, frame.clone()))
            .collect();
        assert_eq!(heard, expected, "{name}");
    }
}

#[test]
fn spec_3_10_group_in_a_copy_for_this_host_alone_is_taken_too() {
    let network = three();
    let mut host = mapped(&network, 3, MDNS, PROVIDERS[0].0);
    let frame = to_all(&network, "blue a", MDNS).frame();
    let wire = network.tunnel(1, 3, BLUE_1).wrap(&frame);
    assert_eq!(
        host.take_from_uplink(&wire),
        Fate::Replicated(delivered(&[1, 0], &frame))
    );
    assert_eq!(host.counted(), counted_copy(&[0, 1], wire.len()));
}

#[test]
fn spec_3_10_group_in_and_1_5_2_other_groups_and_other_packets_are_not_ours() {
    let network = three();
    let mut host = mapped(&network, 3, MDNS, PROVIDERS[0].0);
    let frame = to_all(&network, "blue a", MDNS).frame();
    for provider in [PROVIDERS[1].0, PROVIDERS[2].0] {
        let wire = to_group(&network, 1, provider, BLUE_1).wrap(&frame);
        host.punts(&wire, Punt::NotOurs);
    }
    // What is no tunnel, whatever MAC address it has.
    let tunnel = to_group(&network, 1, PROVIDERS[0].0, BLUE_1);
    for (protocol, destination) in [(17, tunnel.destination_mac), (2, host_mac(3))] {
        let packet = tunnel
            .packet(b"some payload of the host")
            .with(|packet| packet.protocol = protocol);
        let packet = packet.with(|packet| packet.destination_mac = destination);
        host.punts(&packet.frame(), Punt::NotOurs);
    }
    // Without an own address that can be used the host hears nothing.
    let wire = tunnel.wrap(&frame);
    for state in [AddressState::Tentative, AddressState::Duplicate] {
        host.apply(&[Change::SetAddressState {
            address: pa(&host_ipv4(3)),
            state,
        }]);
        host.punts(&wire, Punt::NotOurs);
    }
    host.apply(&[Change::RemoveProviderAddress(pa(&host_ipv4(3)))]);
    host.punts(&wire, Punt::NotOurs);
}

#[test]
fn spec_3_10_group_in_and_1_5_3_the_link_is_that_of_the_own_address_but_for_the_groups_mac() {
    for vlan in [None, Some(7)] {
        let network = three().with(|network| network.vlan = vlan);
        let mut host = mapped(&network, 3, MDNS, PROVIDERS[0].0);
        let frame = to_all(&network, "blue a", MDNS).frame();
        let tunnel = to_group(&network, 1, PROVIDERS[0].0, BLUE_1);
        for strange in [
            host_mac(3),
            MacAddress::BROADCAST,
            MacAddress(PROVIDERS[1].1),
            MacAddress([0x01, 0x00, 0x5e, 0xc0, 0x01, 0x02]),
        ] {
            let tunnel = tunnel.clone().with(|t| t.destination_mac = strange);
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::OuterDstMac);
        }
        let wire = tunnel.wrap(&frame);
        let elsewhere = Frame::whole(Ingress::Uplink(UplinkId(1)), &wire);
        assert_eq!(
            host.process(&elsewhere),
            Fate::Dropped(DropReason::OuterDstMac)
        );
        host.counted();
        for tags in [vec![(0x8100, 8)], vec![(0x8100, vlan.map_or(7, |_| 0))]] {
            let tunnel = tunnel.clone().with(|tunnel| tunnel.tags = tags);
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::PaVlan);
        }
    }
}

#[test]
fn spec_3_10_group_in_every_rule_of_a_tunnel_holds() {
    for (provider, _) in [PROVIDERS[0], PROVIDERS[2]] {
        let network = three();
        let mut host = mapped(&network, 3, MDNS, provider);
        let packet = to_all(&network, "blue a", MDNS);
        let frame = packet.frame();
        let good = to_group(&network, 1, provider, BLUE_1);
        let tunnel = |change: &dyn Fn(&mut Tunnel)| {
            let tunnel = good.clone().with(|tunnel| change(tunnel));
            tunnel.wrap(&frame)
        };
        let inside = |change: &dyn Fn(&mut Packet)| {
            let packet = packet.clone().with(|packet| change(packet));
            good.wrap(&packet.frame())
        };
        let family = |ipv4: String, ipv6: String| match good.destination.is_ipv4() {
            true => ip(&ipv4),
            false => ip(&ipv6),
        };
        let host_address = |number| family(host_ipv4(number), host_ipv6(number));
        let outside = [
            (
                tunnel(&|t| t.source = host_address(3)),
                DropReason::OuterSrcBad,
            ),
            (
                tunnel(&|t| t.source = ip(provider)),
                DropReason::OuterSrcBad,
            ),
            (
                tunnel(&|t| t.source = family("127.0.0.1".into(), "::1".into())),
                DropReason::OuterSrcBad,
            ),
            (tunnel(&|t| t.fragment = 0x2000), DropReason::OuterFragment),
            (tunnel(&|t| t.gre_flags = 0x2001), DropReason::GreVersion),
            (tunnel(&|t| t.gre_flags = 0x3000), DropReason::GreFlags),
            (tunnel(&|t| t.gre_flags = 0), DropReason::GreProto),
            (tunnel(&|t| t.gre_protocol = 0x0800), DropReason::GreProto),
            (tunnel(&|t| t.vsid = 9999), DropReason::VsidUnknown),
            (tunnel(&|t| t.vsid = 17), DropReason::VsidUnknown),
        ];
        for (wire, reason) in outside {
            host.refuses_uplink(None, &wire, reason);
        }
        let inner = [
            (inside(&|p| p.tags = vec![(0x8100, 5)]), DropReason::InnerL2),
            (inside(&|p| p.source_mac.0[0] = 3), DropReason::InnerL2),
            (
                good.wrap(&[&frame[..12], &[0x88, 0xcc], &frame[14..]].concat()),
                DropReason::InnerEthertype,
            ),
            (
                good.wrap(&frame[..frame.len() - 1]),
                DropReason::InnerMalformed,
            ),
            (
                good.wrap(&[&frame[..24], &[!frame[24]], &frame[25..]].concat()),
                DropReason::InnerMalformed,
            ),
            // A sender that lives nowhere, on another host than the outer source's, or under another MAC address.
            (
                inside(&|p| p.source = ip("10.0.0.77")),
                DropReason::SrcPaMismatch,
            ),
            (
                inside(&|p| p.source = ip("10.0.0.7")),
                DropReason::SrcPaMismatch,
            ),
            (
                tunnel(&|t| t.source = host_address(2)),
                DropReason::SrcPaMismatch,
            ),
            (
                tunnel(&|t| t.source = family("192.168.4.99".into(), "fd00:4::99".into())),
                DropReason::SrcPaMismatch,
            ),
            (inside(&|p| p.source_mac = ROUTER), DropReason::InnerSrcMac),
            (tunnel(&|t| t.traffic_class = 3), DropReason::EcnNotCapable),
            (
                inside(&|p| p.destination_mac = host_mac(3)),
                DropReason::Multicast,
            ),
        ];
        for (wire, reason) in inner {
            host.refuses_uplink(Some(BLUE_1), &wire, reason);
        }
        let wire = good.wrap(&frame);
        for length in 34..wire.len() {
            let fate = host.take_from_uplink(&wire[..length]);
            assert!(matches!(fate, Fate::Dropped(_)), "{length}: {fate:?}");
        }
    }
    let network = three().with(|network| {
        network
            .machines
            .retain(|machine| machine.name != "blue d" && machine.name != "blue e");
    });
    let mut host = mapped(&network, 3, MDNS, PROVIDERS[0].0);
    let frame = to_all(&network, "blue a", MDNS).frame();
    let wire = to_group(&network, 1, PROVIDERS[0].0, BLUE_1).wrap(&frame);
    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::NoLocalDst);
}

#[test]
fn spec_3_10_group_in_what_comes_out_of_a_group_is_for_an_address_that_is_mapped_to_it() {
    let network = three();
    let (provider, _) = PROVIDERS[0];
    let mut host = mapped(&network, 3, MDNS, provider);
    host.apply(&[
        add(BLUE_1, "239.255.255.250", PROVIDERS[1].0),
        add(RED_1, "255.255.255.255", provider),
    ]);
    let tunnel = to_group(&network, 1, provider, BLUE_1);
    for address in ["239.255.255.250", "255.255.255.255", "ff02::fb"] {
        let frame = to_all(&network, "blue a", address).frame();
        host.refuses_uplink(Some(BLUE_1), &tunnel.wrap(&frame), DropReason::Multicast);
    }
    // Mapped in another subnet alone.
    let red = to_group(&network, 1, provider, RED_1);
    let frame = to_all(&network, "red a", MDNS).frame();
    host.refuses_uplink(Some(RED_1), &red.wrap(&frame), DropReason::Multicast);
    // For one machine.
    let frame = network.datagram("blue a", "blue d", 0).frame();
    host.refuses_uplink(Some(BLUE_1), &tunnel.wrap(&frame), DropReason::Multicast);
    let unknown = tunnel.with(|tunnel| tunnel.vsid = 9999);
    host.refuses_uplink(None, &unknown.wrap(&frame), DropReason::VsidUnknown);
}

#[test]
fn spec_3_10_group_in_congestion_on_the_way_is_told_to_every_receiver() {
    let network = three();
    let mut host = mapped(&network, 3, MDNS, PROVIDERS[0].0);
    let sent = |class| {
        let packet = to_all(&network, "blue a", MDNS);
        packet.with(|packet| packet.traffic_class = class).frame()
    };
    let congested =
        to_group(&network, 1, PROVIDERS[0].0, BLUE_1).with(|tunnel| tunnel.traffic_class = 3);
    assert_eq!(
        host.take_from_uplink(&congested.wrap(&sent(2))),
        Fate::Replicated(delivered(&[1, 0], &sent(3)))
    );
}

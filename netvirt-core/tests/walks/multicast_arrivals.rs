//! Walk 10 out of a group of the provider network: who hears it, and what is not believed.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use super::multicast_groups::*;
use crate::replication::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::pa;
use crate::support::packets::*;

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

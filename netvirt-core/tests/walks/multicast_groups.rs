//! Walk 10 where an address for many is mapped to a group of the provider network: one packet for all other hosts.

use std::slice;

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
pub const MDNS: &str = "224.0.0.251";
/// The groups of the provider network, with their MAC addresses: the lower 23 and 32 bits (RFC 1112 §6.4, RFC 2464 §7).
pub const PROVIDERS: [(&str, [u8; 6]); 3] = [
    ("239.192.1.2", [0x01, 0x00, 0x5e, 0x40, 0x01, 0x02]),
    ("239.0.128.255", [0x01, 0x00, 0x5e, 0x00, 0x80, 0xff]),
    ("ff05::a1b2:c3d4", [0x33, 0x33, 0xa1, 0xb2, 0xc3, 0xd4]),
];

pub fn add(vsid: u32, address: &str, provider: &str) -> Change {
    Change::AddMulticastGroup(group(vsid, address, provider))
}

pub fn remove(vsid: u32, address: &str) -> Change {
    Change::RemoveMulticastGroup {
        vsid: crate::support::vsid(vsid),
        address: ip(address),
    }
}

/// A host of the network that maps an address of blue's first subnet to a group.
pub fn mapped(network: &Network, host: u32, address: &str, provider: &str) -> Nve {
    let mut host = Nve::new(&network.changes(host));
    host.apply(&[add(BLUE_1, address, provider)]);
    host
}

/// The outer headers of a packet to a group, as they are with the settings of this network.
pub fn to_group(network: &Network, from: u32, provider: &str, vsid: u32) -> Tunnel {
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

pub fn delivered(ports: &[u32], frame: &[u8]) -> Vec<Fate> {
    let ports = ports.iter();
    ports
        .map(|port| Fate::Delivered(PortId(*port), frame.to_vec()))
        .collect()
}

/// What becomes of a frame from port 0 of host 1: the copy for port 1, and these.
pub fn copies(frame: &[u8], others: &[Fate]) -> Fate {
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
    // Then it is as if there were no group: a copy for each host, here over IPv6.
    let over_ipv6 = three().with(|network| network.outer = Outer::V6);
    let one_by_one =
        [3, 2].map(|to| Fate::Transmitted(HERE, over_ipv6.tunnel(1, to, BLUE_1).wrap(&frame)));
    use AddressState::{Deprecated, Duplicate, Preferred, Tentative};
    for (states, expected) in [
        ([Preferred, Preferred], slice::from_ref(&from_first)),
        ([Deprecated, Preferred], slice::from_ref(&from_second)),
        ([Deprecated, Tentative], slice::from_ref(&from_first)),
        ([Duplicate, Deprecated], slice::from_ref(&from_second)),
        ([Tentative, Duplicate], &one_by_one),
    ] {
        for (own, state) in [first, second].into_iter().zip(states) {
            host.apply(&[Change::SetAddressState {
                address: own.address,
                state,
            }]);
        }
        assert_eq!(
            host.take_from_port(0, &frame),
            copies(&frame, expected),
            "{states:?}"
        );
    }
    assert_eq!(
        host.counted(),
        // Five frames, the last of which was copied one by one.
        format!(
            "received 5, replicated 5, copies 11, port 0 in 5, port 0 in bytes {bytes}, port 1 out 5, \
             port 1 out bytes {bytes}, 5001 sent 5, 5001 sent bytes {bytes}",
            bytes = 5 * frame.len()
        )
    );
    // Without any own address of its family, too; and with one again.
    host.apply(&[first, second].map(|own| Change::RemoveProviderAddress(own.address)));
    assert_eq!(host.take_from_port(0, &frame), copies(&frame, &one_by_one));
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
fn spec_3_10_group_out_copies_go_where_the_group_cannot_be_sent_to() {
    let network = three().with(|network| network.outer = Outer::V4);
    let (provider, _) = PROVIDERS[2];
    let mut host = mapped(&network, 1, MDNS, provider);
    for own in network.own_addresses(1) {
        if own.address.get().is_ipv6() {
            host.apply(&[Change::RemoveProviderAddress(own.address)]);
        }
    }
    let frame = to_all(&network, "blue a", MDNS).frame();
    let to_host = |to: u32| Fate::Transmitted(HERE, network.tunnel(1, to, BLUE_1).wrap(&frame));
    let expected = copies(&frame, &[to_host(3), to_host(2)]);
    assert_eq!(host.take_from_port(0, &frame), expected);
    assert_eq!(host.counted(), counted(3, 0, &[1], frame.len()));
}

#[test]
fn spec_3_10_group_out_nothing_goes_to_a_group_that_no_other_host_needs() {
    let network = Network::standard().with(|network| {
        let is_far = |machine: &Machine| machine.vsid == BLUE_1 && machine.host != 1;
        network.machines.retain(|machine| !is_far(machine));
    });
    let mut host = mapped(&network, 1, MDNS, PROVIDERS[0].0);
    let frame = to_all(&network, "blue a", MDNS).frame();
    assert_eq!(host.take_from_port(0, &frame), copies(&frame, &[]));
    assert_eq!(host.counted(), counted(1, 0, &[1], frame.len()));
}

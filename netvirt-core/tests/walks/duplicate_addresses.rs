//! Duplicate address detection: what a host asks before it uses a provider address, and what shows it another user.

use netvirt_core::datapath::*;
use netvirt_core::edit::NoRoom;
use netvirt_core::policy::*;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::pa;
use crate::support::packets::*;

const OTHER: MacAddress = MacAddress([2, 0, 0, 0, 0, 99]);
const IN_USE: [AddressState; 2] = [AddressState::Preferred, AddressState::Deprecated];
const IPV4: &str = "192.168.4.11";
const IPV6: &str = "fd00:4::11";
const ALL_NODES: (MacAddress, &str) = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");

/// Host 1, whose own provider addresses are in this state.
fn host_in(network: &Network, state: AddressState) -> Nve {
    let mut host = Nve::new(&network.changes(1));
    for own in network.own_addresses(1) {
        host.apply(&[Change::SetAddressState {
            address: own.address,
            state,
        }]);
    }
    host
}

fn conflict(address: &str, mac: MacAddress) -> Punt {
    Punt::AddressConflict {
        uplink: UplinkId(0),
        address: pa(address),
        mac,
    }
}

fn heard(address: &str, mac: MacAddress) -> Punt {
    Punt::Neighbour {
        uplink: UplinkId(0),
        address: ip(address),
        mac,
        overriding: true,
    }
}

fn tagged(mut frame: Vec<u8>, vlan: Option<u16>) -> Vec<u8> {
    if let Some(vlan) = vlan {
        let tag = [0x8100u16.to_be_bytes(), vlan.to_be_bytes()].concat();
        frame.splice(12..12, tag);
    }
    frame
}

/// What a station that uses one of our IPv4 addresses may send: a reply, an announcement, a question about others.
fn uses_of_ipv4(mac: MacAddress) -> [Vec<u8>; 3] {
    let peer = (host_mac(2), "192.168.4.22");
    [
        arp((peer.0, mac), 2, (mac, IPV4), peer),
        arp_request((mac, IPV4), IPV4),
        arp_request((mac, IPV4), peer.1),
    ]
}

/// The same with IPv6: advertisements to all nodes and to one, the latter without its link-layer address too.
fn uses_of_ipv6(mac: MacAddress) -> [Vec<u8>; 3] {
    let peer = (host_mac(2), "fd00:4::22");
    let solicited = advertisement((mac, IPV6), peer, 0x60, (IPV6, mac));
    let without_option = solicited.clone().with(|packet| {
        packet.transport.truncate(24);
        fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
    });
    [
        advertisement((mac, IPV6), ALL_NODES, 0x20, (IPV6, mac)).frame(),
        solicited.frame(),
        without_option.frame(),
    ]
}

fn probes(mac: MacAddress) -> [(&'static str, Vec<u8>); 2] {
    [
        (IPV4, arp_request((mac, "0.0.0.0"), IPV4)),
        (IPV6, solicitation((mac, "::"), IPV6).frame()),
    ]
}

#[test]
fn an_address_is_asked_for_before_it_is_used() {
    for vlan in [None, Some(5)] {
        let network = Network::standard().with(|network| network.vlan = vlan);
        let own = network.own_addresses(1);
        for (own, (address, expected)) in own.iter().zip(probes(host_mac(1))) {
            assert_eq!(own.address, pa(address));
            let expected = tagged(expected, vlan);
            let mut out = [0xaa; LONGEST_MESSAGE];
            let report = own.listener_report(&mut out).unwrap();
            assert_eq!(report.is_some(), address == IPV6);
            assert_eq!(own.probe(&mut out), Ok(expected.len()));
            assert_eq!(out[..expected.len()], expected);
            for short in 0..expected.len() {
                assert_eq!(own.probe(&mut out[..short]), Err(NoRoom));
            }
        }
    }
}

#[test]
fn whoever_uses_an_own_address_is_in_conflict_whatever_its_state() {
    let network = Network::standard();
    for state in [AddressState::Tentative, IN_USE[0], IN_USE[1]] {
        let mut host = host_in(&network, state);
        for frame in uses_of_ipv4(OTHER) {
            host.punts(&frame, conflict(IPV4, OTHER));
        }
        for frame in uses_of_ipv6(OTHER) {
            host.punts(&frame, conflict(IPV6, OTHER));
        }
        let to_us = advertisement((OTHER, IPV6), (host_mac(1), IPV6), 0x60, (IPV6, OTHER));
        host.punts(&to_us.frame(), conflict(IPV6, OTHER));
    }
}

#[test]
fn a_probe_is_in_conflict_with_ours_and_answered_later() {
    let network = Network::standard();
    let mut asking = host_in(&network, AddressState::Tentative);
    for (address, probe) in probes(OTHER) {
        asking.punts(&probe, conflict(address, OTHER));
        for state in IN_USE {
            host_in(&network, state).replies_uplink(&probe);
        }
    }
}

#[test]
fn an_address_that_is_known_to_be_anothers_is_no_conflict() {
    let network = Network::standard();
    let mut host = host_in(&network, AddressState::Duplicate);
    let [reply, announcement, question] = uses_of_ipv4(OTHER);
    for frame in [reply, announcement, question] {
        host.punts(&frame, Punt::NotOurs);
    }
    for frame in uses_of_ipv6(OTHER) {
        host.punts(&frame, Punt::NotOurs);
    }
    for (_, probe) in probes(OTHER) {
        host.punts(&probe, Punt::NotOurs);
    }
}

#[test]
fn our_own_frames_come_back_without_conflict() {
    let network = Network::standard();
    let mut asking = host_in(&network, AddressState::Tentative);
    for (_, probe) in probes(host_mac(1)) {
        asking.punts(&probe, Punt::NotOurs);
    }
    let own_frames = [uses_of_ipv4(host_mac(1)), uses_of_ipv6(host_mac(1))];
    for frame in own_frames.as_flattened() {
        asking.punts(frame, Punt::NotOurs);
    }
    let mut using = Nve::new(&network.changes(1));
    let [reply, announcement, question] = uses_of_ipv4(host_mac(1));
    using.punts(&reply, heard(IPV4, host_mac(1)));
    using.punts(&announcement, heard(IPV4, host_mac(1)));
    using.punts(&question, Punt::NotOurs);
    let [to_all, to_one, without_option] = uses_of_ipv6(host_mac(1));
    using.punts(&to_all, heard(IPV6, host_mac(1)));
    using.punts(&to_one, heard(IPV6, host_mac(1)));
    let reachable = Punt::Reachable {
        uplink: UplinkId(0),
        address: ip(IPV6),
    };
    using.punts(&without_option, reachable);
}

#[test]
fn nobody_is_in_conflict_on_another_uplink_or_vlan_or_with_no_station() {
    for vlan in [None, Some(5)] {
        let network = Network::standard().with(|network| network.vlan = vlan);
        let mut host = host_in(&network, AddressState::Tentative);
        let probes = probes(OTHER).map(|(_, probe)| probe);
        let frames = [&uses_of_ipv4(OTHER)[..], &uses_of_ipv6(OTHER), &probes].concat();
        let mut is_conflict = |uplink, frame: &[u8]| {
            let frame = Frame::whole(Ingress::Uplink(UplinkId(uplink)), frame);
            matches!(
                host.process(&frame),
                Fate::Punted(Punt::AddressConflict { .. })
            )
        };
        let other_vlan = if vlan.is_some() { None } else { Some(5) };
        for frame in frames {
            assert!(is_conflict(0, &tagged(frame.clone(), vlan)));
            assert!(!is_conflict(1, &tagged(frame.clone(), vlan)));
            assert!(!is_conflict(0, &tagged(frame.clone(), other_vlan)));
            assert!(!is_conflict(0, &tagged(frame, Some(6))));
        }
        for frame in uses_of_ipv4(MacAddress::BROADCAST) {
            assert!(!is_conflict(0, &tagged(frame, vlan)));
        }
    }
}

#[test]
fn what_is_damaged_or_came_from_afar_shows_nothing() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let packet = advertisement((OTHER, IPV6), ALL_NODES, 0x20, (IPV6, OTHER));
    let routed = packet.clone().with(|packet| packet.hop_limit = 254);
    host.refuses_uplink(None, &routed.frame(), DropReason::OuterMalformed);
    let mut damaged = packet.frame();
    damaged[60] ^= 1;
    host.refuses_uplink(None, &damaged, DropReason::OuterMalformed);
    let mut damaged = arp_request((OTHER, IPV4), IPV4);
    damaged[16] = 9;
    host.refuses_uplink(None, &damaged, DropReason::OuterMalformed);
}

#[test]
fn a_machines_own_provider_address_moves_without_conflict() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let announcement = arp_request((OTHER, "192.168.4.105"), "192.168.4.105");
    host.punts(&announcement, heard("192.168.4.105", OTHER));
}

#[test]
fn a_tentative_address_is_neither_received_nor_a_source() {
    let network = Network::standard();
    let mut host = host_in(&network, AddressState::Tentative);
    let tunnelled = network.datagram("blue b", "blue a", 0).frame();
    let tunnelled = network.tunnel(2, 1, BLUE_1).wrap(&tunnelled);
    host.punts(&tunnelled, Punt::NotOurs);
    let sent = network.datagram("blue a", "blue b", 0).frame();
    host.refuses(0, BLUE_1, &sent, DropReason::NoPath);

    let rewritten = network.datagram("green b", "green a", 0).frame();
    let rewritten = Nve::new(&network.changes(2)).transmits(3, GREEN_1, &rewritten);
    host.refuses_uplink(Some(GREEN_1), &rewritten, DropReason::NoPath);
    let sent = network.datagram("green a", "green b", 0).frame();
    host.refuses(4, GREEN_1, &sent, DropReason::NoPath);
}

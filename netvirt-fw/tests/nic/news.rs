//! What the NIC learns of the provider network, and tells it.

use std::time::Duration;

use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::policy::{Change, Neighbour};
use netvirt_core::{HostId, MacAddress, ProviderAddress, UplinkId};

use crate::site::*;
use crate::support::hosts::Nve;
use crate::support::network::*;
use crate::support::packets::*;

const HERE: &str = "192.168.4.11";
const THERE: &str = "192.168.4.22";

/// A NIC that does not know where the other host is.
fn unresolved() -> (Network, Site) {
    let network = Network::standard().with(|network| network.is_resolved = false);
    let site = Site::new(&network.changes(1));
    (network, site)
}

fn answer() -> Vec<u8> {
    arp(
        (host_mac(1), host_mac(2)),
        2,
        (host_mac(2), THERE),
        (host_mac(1), HERE),
    )
}

#[test]
fn frames_wait_for_the_next_hop_and_leave_when_it_answers() {
    let (network, mut site) = unresolved();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    site.machine_sends(0, &frame);
    assert_eq!(
        site.wire.take_sent(),
        [arp_request((host_mac(1), HERE), THERE)]
    );
    site.wire_brings(&answer());
    let wire = Nve::new(&Network::standard().changes(1)).transmits(0, BLUE_1, &frame);
    assert_eq!(site.wire.take_sent(), vec![wire.clone()]);
    site.machine_sends(0, &frame);
    assert_eq!(site.wire.take_sent(), [wire]);
    // The host may have asked too.
    let heard = exception(Ingress::Uplink(UplinkId(0)), None, &answer());
    assert_eq!(site.told(), [heard]);
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_believed_but_a_known_next_hop_may_move() {
    let (_, mut site) = unresolved();
    site.wire_brings(&answer());
    let known = |site: &Site| -> Vec<MacAddress> {
        site.nve.lock(|nve| {
            let nve = nve.borrow();
            nve.policies
                .live()
                .neighbours()
                .map(|known| known.mac)
                .collect()
        })
    };
    assert!(known(&site).is_empty());
    let mut site = Site::new(&Network::standard().changes(1));
    assert!(known(&site).contains(&host_mac(2)));
    let moved = MacAddress([2, 0, 0, 0, 0xd, 1]);
    let announcement = arp(
        (MacAddress::BROADCAST, moved),
        1,
        (moved, THERE),
        (MacAddress::ZERO, THERE),
    );
    site.wire_brings(&announcement);
    assert!(known(&site).contains(&moved));
}

#[test]
fn what_waited_in_vain_is_given_up_after_three_questions() {
    let (network, mut site) = unresolved();
    site.machine_sends(0, &network.datagram("blue a", "blue b", 0).frame());
    let question = arp_request((host_mac(1), HERE), THERE);
    assert_eq!(site.wire.take_sent(), vec![question.clone()]);
    for second in 1..3 {
        site.now = Duration::from_secs(second);
        site.run();
        assert_eq!(
            site.wire.take_sent(),
            vec![question.clone()],
            "second {second}"
        );
    }
    site.now = Duration::from_secs(3);
    site.run();
    assert!(site.wire.take_sent().is_empty());
    assert_eq!(site.refused(DropReason::NeighbourTimeout), 1);
}

#[test]
fn the_addresses_of_a_policy_are_announced_when_it_comes() {
    let network = Network::standard().with(|network| {
        let machine = network.machine_mut("green b");
        (machine.host, machine.port) = (1, 6);
    });
    let mut site = Site::new(&[]);
    site.apply(&network.changes(1));
    site.run();
    let mut announced = site.wire.take_sent();
    let core = Nve::new(&network.changes(1));
    let mut expected: Vec<Vec<u8>> = core
        .policies
        .live()
        .owned_addresses()
        .map(|owned| {
            let mut out = vec![0; 256];
            let length = owned.announcement(&mut out).unwrap();
            out[..length].to_vec()
        })
        .collect();
    announced.sort();
    expected.sort();
    assert_eq!(announced, expected);
    assert!(expected.len() > 4, "more than are announced at once");
}

#[test]
fn a_path_mtu_is_believed_for_ten_minutes() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let sent = Nve::new(&network.changes(1)).transmits(
        0,
        BLUE_1,
        &network.datagram("blue a", "blue b", 0).frame(),
    );
    let error = Packet::icmp("203.0.113.1", HERE, 1, 3, &sent[14..14 + 28]);
    let router = MacAddress([2, 0, 0, 0, 0xd, 2]);
    let error = error.between(router, host_mac(1)).with(|packet| {
        packet.transport[1] = 4;
        packet.transport[4..8].copy_from_slice(&1400_u32.to_be_bytes());
        let (source, destination) = (packet.source, packet.destination);
        fill_transport(source, destination, 1, &mut packet.transport);
    });
    site.wire_brings(&error.frame());
    let path_mtus = |site: &Site| {
        site.nve
            .lock(|nve| nve.borrow().policies.live().path_mtus().count())
    };
    assert_eq!(path_mtus(&site), 1);
    site.now = Duration::from_secs(599);
    site.run();
    assert_eq!(path_mtus(&site), 1);
    site.now = Duration::from_secs(600);
    site.run();
    assert_eq!(path_mtus(&site), 0);
}

/// A NIC that has just learnt where the other host is.
fn resolved() -> (Vec<u8>, Site) {
    let (network, mut site) = unresolved();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    site.machine_sends(0, &frame);
    site.wire_brings(&answer());
    site.wire.take_sent();
    (frame, site)
}

/// What the wire carries at this second.
fn at(site: &mut Site, second: u64) -> Vec<Vec<u8>> {
    site.now = Duration::from_secs(second);
    site.run();
    site.wire.take_sent()
}

/// Asks the other host whether it is still there.
fn poll() -> Vec<u8> {
    arp(
        (host_mac(2), host_mac(1)),
        1,
        (host_mac(1), HERE),
        (MacAddress::ZERO, THERE),
    )
}

#[test]
fn a_next_hop_that_is_silent_is_asked_three_times_and_then_asked_for_anew() {
    let (frame, mut site) = resolved();
    assert!(at(&mut site, 29).is_empty());
    for second in 30..33 {
        assert_eq!(at(&mut site, second), [poll()], "second {second}");
        assert!(at(&mut site, second).is_empty());
    }
    assert!(at(&mut site, 33).is_empty());
    site.machine_sends(0, &frame);
    assert_eq!(
        site.wire.take_sent(),
        [arp_request((host_mac(1), HERE), THERE)]
    );
    // Another machine has its address now.
    let moved = MacAddress([2, 0, 0, 0, 0xd, 1]);
    site.wire_brings(&arp(
        (host_mac(1), moved),
        2,
        (moved, THERE),
        (host_mac(1), HERE),
    ));
    let sent = site.wire.take_sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][..6], moved.0);
}

#[test]
fn a_next_hop_that_answers_is_young_again() {
    let (_, mut site) = resolved();
    for half_minute in 1..6 {
        let second = 30 * half_minute;
        assert!(at(&mut site, second - 1).is_empty());
        assert_eq!(at(&mut site, second), [poll()]);
        site.wire_brings(&answer());
    }
}

#[test]
fn a_next_hop_that_the_policy_states_is_not_asked() {
    let mut site = Site::new(&Network::standard().changes(1));
    assert!(at(&mut site, 1000).is_empty());
}

#[test]
fn a_next_hop_that_the_policy_states_anew_is_not_asked_any_more() {
    let (_, mut site) = resolved();
    site.apply(&[Change::SetNeighbour(Neighbour {
        uplink: UplinkId(0),
        address: ProviderAddress::new(THERE.parse().unwrap()).unwrap(),
        mac: MacAddress([2, 0, 0, 0, 0xd, 1]),
    })]);
    assert!(at(&mut site, 1000).is_empty());
}

#[test]
fn a_next_hop_that_no_path_leads_over_is_forgotten_without_being_asked() {
    let (_, mut site) = resolved();
    let there = ProviderAddress::new(THERE.parse().unwrap()).unwrap();
    site.apply(&[Change::RemoveHostAddress(HostId(2), there)]);
    at(&mut site, 1);
    assert!(at(&mut site, 30).is_empty());
    let is_known = site.nve.lock(|nve| {
        let nve = nve.borrow();
        let mut known = nve.policies.live().neighbours();
        known.any(|known| known.address == there)
    });
    assert!(!is_known);
}

//! What the stack sends.

use std::time::Duration;

use netvirt_core::counters::Event;
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::{Change, Neighbour};
use netvirt_core::{MacAddress, UplinkId};

use crate::bench::Device;
use crate::support::hosts::{Fate, Nve};
use crate::support::network::{Network, Outer, ROUTER, host_mac};
use crate::support::packets::{Packet, advertisement, arp, arp_request, solicitation};
use crate::support::{pa, path_mtu};

const SECOND: Duration = Duration::from_secs(1);

/// What the core says of a frame of blue a, or green a.
fn said(network: &Network, port: u32, frame: &[u8]) -> Fate {
    Nve::new(&network.changes(1)).take_from_port(port, frame)
}

#[test]
fn frames_leave_encapsulated_or_rewritten() {
    let network = Network::standard();
    for (from, to, port, version) in [
        ("blue a", "blue b", 0, 0),
        ("blue a", "blue c", 0, 1),
        ("green a", "green b", 4, 0),
        ("green a", "green c", 4, 1),
    ] {
        let frame = network.datagram(from, to, version).frame();
        let Fate::Transmitted(_, wire) = said(&network, port, &frame) else {
            panic!("not transmitted");
        };
        let mut device = Device::new(&network, from);
        assert_eq!(device.send(&frame), [wire]);
        assert_eq!(device.totals().transmitted, 1);
        assert_eq!(device.woken(), 1, "by the test that took the frame");
    }
}

#[test]
fn questions_are_answered_without_the_underlay() {
    let network = Network::standard();
    let a = network.machine("blue a").mac;
    for question in [
        arp_request((a, "10.0.0.5"), "10.0.0.7"),
        solicitation((a, "2001:db8:1::5"), "2001:db8:1::7").frame(),
        Packet::echo("10.0.0.5", "10.0.0.1", b"there?")
            .between(a, ROUTER)
            .frame(),
    ] {
        let Fate::Replied(answer) = said(&network, 0, &question) else {
            panic!("not answered");
        };
        let mut device = Device::new(&network, "blue a");
        assert!(device.try_send(&question));
        assert_eq!(device.woken(), 1, "there is something to receive");
        assert_eq!(device.receive(), Some(answer));
        assert_eq!(device.receive(), None);
        assert!(device.underlay.sent().is_empty());
        assert_eq!(device.totals().replied, 1);
    }
}

/// The standard network, of which nobody knows a next hop.
fn unresolved() -> Network {
    Network::standard().with(|network| network.is_resolved = false)
}

/// Host 2 answers host 1.
fn answer() -> Vec<u8> {
    let (asker, answerer) = (host_mac(1), host_mac(2));
    let sender = (answerer, "192.168.4.22");
    arp((asker, answerer), 2, sender, (asker, "192.168.4.11"))
}

fn question() -> Vec<u8> {
    arp_request((host_mac(1), "192.168.4.11"), "192.168.4.22")
}

#[test]
fn a_frame_waits_until_its_next_hop_has_answered() {
    let network = unresolved();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let mut device = Device::new(&network, "blue a");
    assert_eq!(device.send(&frame), [question()]);
    assert_eq!(device.due(), Some(SECOND));
    assert!(device.arrive(&answer()).is_empty());
    let Fate::Transmitted(_, wire) = said(&Network::standard(), 0, &frame) else {
        panic!("not transmitted");
    };
    assert_eq!(device.underlay.sent(), std::slice::from_ref(&wire));
    assert_eq!(device.send(&frame), [wire], "the next one need not wait");
    let totals = device.totals();
    assert_eq!((totals.held, totals.transmitted, totals.punted), (1, 1, 1));
}

#[test]
fn who_was_not_asked_is_not_believed() {
    let network = unresolved();
    let mut device = Device::new(&network, "blue a");
    device.arrive(&answer());
    let frame = network.datagram("blue a", "blue b", 0).frame();
    assert_eq!(device.send(&frame), [question()]);
}

#[test]
fn a_next_hop_that_does_not_answer_is_asked_three_times() {
    let network = unresolved();
    let mut device = Device::new(&network, "blue a");
    device.send(&network.datagram("blue a", "blue b", 0).frame());
    for _ in 0..2 {
        device.pass(SECOND - Duration::from_nanos(1));
        device.poll();
        assert!(device.underlay.sent().is_empty());
        device.pass(Duration::from_nanos(1));
        device.poll();
        assert_eq!(device.underlay.sent(), [question()]);
        assert_eq!(device.due(), Some(SECOND));
    }
    device.pass(SECOND);
    device.poll();
    assert!(device.underlay.sent().is_empty());
    assert_eq!(device.refused(DropReason::NeighbourTimeout), 1);
    assert_eq!(device.due(), None);
}

#[test]
fn what_the_path_does_not_carry_is_cut_or_explained() {
    let network = Network::standard();
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let mut changes = network.changes(1);
    changes.push(path_mtu("192.168.4.22", 1400));
    let whole = Packet::of_length("10.0.0.5", "10.0.0.7", 1500).between(a, b);
    let mut device = Device::new(&network, "blue a");
    device.apply(&[path_mtu("192.168.4.22", 1400)]);

    let may_be_cut = whole.clone().with(|packet| packet.fragment = 0).frame();
    let Fate::Fragmented(_, pieces) = Nve::new(&changes).take_from_port(0, &may_be_cut) else {
        panic!("not cut");
    };
    assert_eq!(device.send(&may_be_cut), pieces);

    let Fate::Explained(_, answer) = Nve::new(&changes).take_from_port(0, &whole.frame()) else {
        panic!("not explained");
    };
    assert!(device.send(&whole.frame()).is_empty());
    assert_eq!(device.receive(), Some(answer));
    assert_eq!(device.event(Event::Fragmented), 1);
    assert_eq!(device.refused(DropReason::TooBig), 1);
}

#[test]
fn a_broadcast_reaches_other_hosts_and_no_port_that_is_not_there() {
    let network = Network::standard();
    let frame = Packet::udp("10.0.0.5", "10.0.0.255", b"to all")
        .between(network.machine("blue a").mac, MacAddress::BROADCAST)
        .frame();
    let Fate::Replicated(copies) = said(&network, 0, &frame) else {
        panic!("not for many");
    };
    let on_the_wire: Vec<_> = copies
        .into_iter()
        .filter_map(|copy| match copy {
            Fate::Transmitted(_, bytes) => Some(bytes),
            _ => None,
        })
        .collect();
    let mut device = Device::new(&network, "blue a");
    assert_eq!(device.send(&frame), on_the_wire);
    assert_eq!(
        (device.event(Event::Copy), device.event(Event::CopyLost)),
        (1, 1)
    );
    assert_eq!(device.totals().replicated, 1);
}

#[test]
fn what_is_refused_is_counted() {
    let network = Network::standard();
    let mut device = Device::new(&network, "blue a");
    assert!(
        device
            .send(&network.datagram("red a", "red b", 0).frame())
            .is_empty()
    );
    assert_eq!(device.refused(DropReason::MacSpoof), 1);
    // A machine of the same host is not there.
    assert!(
        device
            .send(&network.datagram("blue a", "blue near a", 0).frame())
            .is_empty()
    );
    assert_eq!(device.refused(DropReason::PortFull), 1);
    assert_eq!(device.totals().dropped, 2);
}

#[test]
fn without_policy_all_frames_are_refused_until_there_is_one() {
    let network = Network::standard();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let mut device = Device::without_policy(crate::bench::port_of(&network, "blue a"));
    assert!(device.send(&frame).is_empty());
    assert_eq!(device.refused(DropReason::PortUnknown), 1);
    device.apply(&network.changes(1));
    let sent = device.send(&frame);
    let announced = 4;
    assert_eq!(
        sent.len(),
        announced + 1,
        "the addresses of the host, and the frame"
    );
}

#[test]
fn a_next_hop_that_was_not_heard_for_long_is_asked_in_time() {
    let network = unresolved();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let mut device = Device::new(&network, "blue a");
    device.send(&frame);
    device.arrive(&answer());
    device.underlay.sent();
    device.poll();
    assert_eq!(device.due(), Some(30 * SECOND));
    device.pass(29 * SECOND);
    for _ in 0..3 {
        device.pass(SECOND);
        device.poll();
        assert_eq!(device.due(), Some(SECOND));
        let poll = arp(
            (host_mac(2), host_mac(1)),
            1,
            (host_mac(1), "192.168.4.11"),
            (MacAddress::ZERO, "192.168.4.22"),
        );
        assert_eq!(device.underlay.sent(), [poll]);
    }
    device.pass(SECOND);
    device.poll();
    assert_eq!(device.send(&frame), [question()]);
}

#[test]
fn an_answer_without_a_mac_address_says_that_a_next_hop_is_there() {
    let network = unresolved().with(|network| network.outer = Outer::V6);
    let (here, there) = ("fd00:4::11", "fd00:4::22");
    let mut device = Device::new(&network, "blue a");
    device.send(&network.datagram("blue a", "blue b", 0).frame());
    let (asker, answerer) = ((host_mac(1), here), (host_mac(2), there));
    let answer = advertisement(answerer, asker, 0x60, (there, host_mac(2)));
    device.arrive(&answer.frame());
    assert_eq!(device.underlay.sent().len(), 1, "what waited");
    device.pass(30 * SECOND);
    device.poll();
    assert_eq!(device.underlay.sent().len(), 1, "a question");
    let without_option = answer
        .with(|packet| packet.transport.truncate(24))
        .checked();
    device.arrive(&without_option.frame());
    device.pass(29 * SECOND);
    device.poll();
    assert!(device.underlay.sent().is_empty());
    device.pass(SECOND);
    device.poll();
    assert_eq!(device.underlay.sent().len(), 1, "another one");
}

#[test]
fn what_waits_leaves_for_the_next_hop_that_the_policy_states_meanwhile() {
    let network = unresolved().with(|network| network.outer = Outer::V6);
    let (here, there) = ("fd00:4::11", "fd00:4::22");
    let mut device = Device::new(&network, "blue a");
    device.send(&network.datagram("blue a", "blue b", 0).frame());
    device.apply(&[Change::SetNeighbour(Neighbour {
        uplink: UplinkId(0),
        address: pa(there),
        mac: host_mac(2),
    })]);
    device.poll();
    device.underlay.sent();
    // It does not override.
    let other = MacAddress([2, 0, 0, 0, 0xd, 1]);
    let answer = advertisement((other, there), (host_mac(1), here), 0x40, (there, other));
    device.arrive(&answer.frame());
    let sent = device.underlay.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0][..6], host_mac(2).0);
}

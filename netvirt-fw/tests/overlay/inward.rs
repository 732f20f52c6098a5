//! What the underlay brings.

use std::time::Duration;

use netvirt_core::MacAddress;
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::Change;

use crate::bench::Device;
use crate::support::hosts::{Fate, Nve};
use crate::support::network::{BLUE_1, GREEN_1, Network, host_mac};
use crate::support::pa;
use crate::support::packets::{Packet, arp_request, fill_transport, solicitation};

#[test]
fn packets_for_the_stack_reach_it() {
    let network = Network::standard();
    let inner = network.datagram("blue b", "blue a", 1).frame();
    let mut device = Device::new(&network, "blue a");
    assert_eq!(
        device.arrive(&network.tunnel(2, 1, BLUE_1).wrap(&inner)),
        [inner]
    );
    assert_eq!(device.totals().delivered, 1);

    let sent = network.datagram("green b", "green a", 0).frame();
    let Fate::Transmitted(_, wire) = Nve::new(&network.changes(2)).take_from_port(3, &sent) else {
        panic!("not transmitted");
    };
    let Fate::Delivered(_, frame) = Nve::new(&network.changes(1)).take_from_uplink(&wire) else {
        panic!("not delivered");
    };
    let mut device = Device::new(&network, "green a");
    assert_eq!(device.arrive(&wire), [frame]);
}

#[test]
fn the_device_answers_for_its_provider_addresses() {
    let network = Network::standard();
    for question in [
        arp_request((host_mac(2), "192.168.4.22"), "192.168.4.11"),
        solicitation((host_mac(2), "fd00:4::22"), "fd00:4::11").frame(),
    ] {
        let Fate::Replied(answer) = Nve::new(&network.changes(1)).take_from_uplink(&question)
        else {
            panic!("not answered");
        };
        let mut device = Device::new(&network, "blue a");
        assert!(device.arrive(&question).is_empty());
        assert_eq!(device.underlay.sent(), [answer]);
        assert_eq!(device.totals().replied, 1);
    }
}

#[test]
fn what_is_not_for_the_stack_does_not_reach_it() {
    let network = Network::standard();
    let mut device = Device::new(&network, "blue a");
    let other_machine = network.datagram("blue b", "blue near a", 0).frame();
    assert!(
        device
            .arrive(&network.tunnel(2, 1, BLUE_1).wrap(&other_machine))
            .is_empty()
    );
    assert_eq!(device.refused(DropReason::PortFull), 1);
    let other_tenant = network.datagram("green b", "green a", 0).frame();
    assert!(
        device
            .arrive(&network.tunnel(2, 1, GREEN_1).wrap(&other_tenant))
            .is_empty()
    );
    let forged = network.datagram("blue c", "blue a", 0).frame();
    assert!(
        device
            .arrive(&network.tunnel(2, 1, BLUE_1).wrap(&forged))
            .is_empty()
    );
    let plain = network.datagram("blue b", "blue a", 0);
    let plain = plain.between(host_mac(2), host_mac(1)).frame();
    assert!(device.arrive(&plain).is_empty());
    let totals = device.totals();
    assert_eq!((totals.delivered, totals.received), (0, 4));
}

#[test]
fn addresses_are_announced_when_a_policy_brings_them() {
    let network = Network::standard();
    let mut device = Device::without_policy(crate::bench::port_of(&network, "blue a"));
    device.poll();
    assert!(device.underlay.sent().is_empty());
    device.apply(&network.changes(1));
    device.poll();
    let expected = device.with_nve(|nve| {
        let owned: Vec<_> = nve.policies.live().owned_addresses().collect();
        let announcement = |owned: &netvirt_core::proxy::Owned| {
            let mut bytes = vec![0; 256];
            let length = owned.announcement(&mut bytes).unwrap();
            bytes.truncate(length);
            bytes
        };
        owned.iter().map(announcement).collect::<Vec<_>>()
    });
    assert_eq!(expected.len(), 4);
    assert_eq!(device.underlay.sent(), expected);
    device.poll();
    assert!(device.underlay.sent().is_empty());
}

#[test]
fn a_path_mtu_is_learnt_and_forgotten_after_ten_minutes() {
    let network = Network::standard();
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let large = Packet::of_length("10.0.0.5", "10.0.0.7", 1500)
        .between(a, b)
        .with(|packet| packet.fragment = 0)
        .frame();
    let mut device = Device::new(&network, "blue a");
    let [wire] = &device.send(&large)[..] else {
        panic!("not whole");
    };
    let too_big = Packet::icmp("203.0.113.1", "192.168.4.11", 1, 3, &wire[14..42])
        .between(MacAddress([2, 0, 0, 0, 0, 77]), host_mac(1))
        .with(|packet| {
            packet.transport[1] = 4;
            packet.transport[4..8].copy_from_slice(&1400u32.to_be_bytes());
            let (source, destination) = (packet.source, packet.destination);
            fill_transport(source, destination, 1, &mut packet.transport);
        });
    assert!(device.arrive(&too_big.frame()).is_empty());
    assert_eq!(device.send(&large).len(), 2);
    assert_eq!(device.due(), Some(Duration::from_secs(600)));
    device.pass(Duration::from_secs(600) - Duration::from_nanos(1));
    assert_eq!(device.send(&large).len(), 2);
    device.pass(Duration::from_nanos(1));
    assert_eq!(device.send(&large).len(), 1);
}

#[test]
fn a_policy_may_change_between_two_frames() {
    let network = Network::standard();
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let mut device = Device::new(&network, "blue a");
    assert_eq!(device.send(&frame).len(), 1);
    let records = network.records(network.machine("blue b"), 1);
    let removed: Vec<_> = records
        .iter()
        .map(|record| Change::RemoveRecord(record.name()))
        .collect();
    device.apply(&removed);
    // New policies are announced.
    device.poll();
    device.underlay.sent();
    assert!(device.send(&frame).is_empty());
    let address = pa("192.168.4.22");
    assert!(device.with_nve(|nve| {
        nve.policies
            .live()
            .neighbours()
            .any(|n| n.address == address)
    }));
    assert_eq!(device.totals().dropped, 1);
}

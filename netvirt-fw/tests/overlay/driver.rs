//! What the port says of itself.

use std::task::{Context, Waker};

use embassy_net_driver::{Checksum, Driver, HardwareAddress, LinkState, TxToken};
use netvirt_core::edit::HEADROOM;
use netvirt_fw::overlay::{Overlay, State};
use netvirt_fw::rings::Buffer;

use crate::bench::{Device, LONGEST, port_of, shared};
use crate::support::Capacities;
use crate::support::network::{Network, Outer};
use crate::wire::MemoryDriver;

fn longest_frame(device: &Device) -> usize {
    device.overlay.capabilities().max_transmission_unit
}

#[test]
fn its_longest_frame_fits_through_every_tunnel() {
    let network = Network::standard();
    let device = Device::without_policy(port_of(&network, "blue a"));
    assert_eq!(longest_frame(&device), LONGEST - (HEADROOM - 14));
    // IPv4 and IPv6, 20 + 8 or 40 + 8 bytes in front of the frame.
    let device = Device::new(&network, "blue a");
    assert_eq!(longest_frame(&device), 1600 - 48);
    let network = Network::standard().with(|network| (network.mtu, network.vlan) = (9000, Some(5)));
    let device = Device::new(&network, "blue a");
    assert_eq!(longest_frame(&device), LONGEST - 18 - 48);
}

#[test]
fn its_longest_frame_is_no_longer_than_a_buffer() {
    let network = Network::standard();
    let nve = shared(Capacities::ROOMY.policies());
    let state = Box::leak(Box::new(State::<{ Buffer::HEADROOM + 600 }, 8>::new()));
    let underlay = MemoryDriver::new(LONGEST, 8);
    let mut overlay = Overlay::new(state, nve, port_of(&network, "blue a"), underlay);
    assert_eq!(overlay.capabilities().max_transmission_unit, 600);
    let mut context = Context::from_waker(Waker::noop());
    let leave = overlay.transmit(&mut context).expect("room");
    leave.consume(600, |room| assert_eq!(room.len(), 600));
}

/// A packet as long as the port says leaves whole, whatever the tunnel.
#[test]
fn frames_of_that_length_leave_whole() {
    for (outer, vlan, mtu) in [
        (Outer::V4, None, 1600),
        (Outer::V6, None, 1600),
        (Outer::V6, Some(5), 9000),
        (Outer::V4, Some(5), 1500),
    ] {
        let network = Network::standard().with(|network| {
            (network.outer, network.vlan, network.mtu) = (outer, vlan, mtu);
        });
        let mut device = Device::new(&network, "blue a");
        let length = longest_frame(&device) - 14;
        let packet = network.datagram("blue a", "blue b", 0);
        let missing = length - packet.ip_packet().len();
        let payload = vec![7; b"hello, hnv".len() + missing];
        let longest = crate::support::packets::Packet::udp("10.0.0.5", "10.0.0.7", &payload)
            .between(packet.source_mac, packet.destination_mac);
        assert_eq!(longest.frame().len(), length + 14);
        let sent = device.send(&longest.frame());
        assert_eq!(sent.len(), 1, "{outer:?} {vlan:?} {mtu}");
        assert!(sent[0].len() <= LONGEST);
    }
}

#[test]
fn the_stack_computes_checksums_itself() {
    let device = Device::new(&Network::standard(), "blue a");
    let checksum = device.overlay.capabilities().checksum;
    for checksum in [
        checksum.ipv4,
        checksum.udp,
        checksum.tcp,
        checksum.icmpv4,
        checksum.icmpv6,
    ] {
        assert!(matches!(checksum, Checksum::Both));
    }
}

#[test]
fn it_has_the_address_of_its_port_and_the_link_of_the_underlay() {
    let network = Network::standard();
    let mut device = Device::new(&network, "blue a");
    let mac = network.machine("blue a").mac.0;
    assert_eq!(
        device.overlay.hardware_address(),
        HardwareAddress::Ethernet(mac)
    );
    for (is_down, expected) in [(false, LinkState::Up), (true, LinkState::Down)] {
        device.underlay.touch(|hardware| hardware.is_down = is_down);
        let state = device.polled(|overlay, cx| overlay.link_state(cx));
        assert!(state == expected);
    }
}

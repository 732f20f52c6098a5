//! Nothing is lost because somebody is slow, or it is counted.

use embassy_net_driver::{Driver, RxToken, TxToken};
use netvirt_core::datapath::DropReason;
use netvirt_fw::driver::Lost;

use crate::bench::{Device, LONGEST};
use crate::support::network::{BLUE_1, Network};
use crate::support::packets::{Packet, arp_request};

fn datagram() -> Vec<u8> {
    Network::standard().datagram("blue a", "blue b", 0).frame()
}

fn arrival(payload: u8) -> (Vec<u8>, Vec<u8>) {
    let network = Network::standard();
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let inner = Packet::udp("10.0.0.7", "10.0.0.5", &[payload; 20])
        .between(b, a)
        .frame();
    (network.tunnel(2, 1, BLUE_1).wrap(&inner), inner)
}

fn question() -> Vec<u8> {
    let a = Network::standard().machine("blue a").mac;
    arp_request((a, "10.0.0.5"), "10.0.0.7")
}

#[test]
fn a_busy_underlay_holds_the_stack_back_both_ways() {
    let mut device = Device::new(&Network::standard(), "blue a");
    let (wire, inner) = arrival(1);
    device.underlay.touch(|hardware| hardware.room = 2);
    assert!(device.try_send(&datagram()) && device.try_send(&datagram()));
    assert!(!device.try_send(&datagram()));
    device.underlay.arrive(&wire);
    assert_eq!(device.receive(), None);
    device.woken();
    assert_eq!(device.underlay.sent().len(), 2);
    assert_eq!(device.woken(), 1, "there is room again");
    assert_eq!(device.receive(), Some(inner));
    assert!(device.try_send(&datagram()));
    let totals = device.totals();
    assert_eq!((totals.received, totals.dropped), (4, 0));
}

#[test]
fn the_fragments_of_a_packet_leave_when_there_is_room() {
    let network = Network::standard();
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let large = Packet::of_length("10.0.0.5", "10.0.0.7", 1500).between(a, b);
    let large = large.with(|packet| packet.fragment = 0).frame();
    let mut device = Device::new(&network, "blue a");
    device.apply(&[crate::support::path_mtu("192.168.4.22", 1400)]);
    device.underlay.touch(|hardware| hardware.room = 1);
    assert_eq!(device.send(&large).len(), 1);
    device.poll();
    assert_eq!(device.underlay.sent().len(), 1);
    assert_eq!(device.totals().dropped, 0);
}

#[test]
fn a_frame_that_the_stack_does_not_look_at_is_received_again() {
    let mut device = Device::new(&Network::standard(), "blue a");
    let (first, second) = (arrival(1), arrival(2));
    device.underlay.arrive(&first.0);
    device.underlay.arrive(&second.0);
    for _ in 0..3 {
        assert!(device.polled(|overlay, cx| overlay.receive(cx).is_some()));
    }
    assert_eq!(device.receive(), Some(first.1));
    assert_eq!(device.receive(), Some(second.1));
    assert_eq!(device.receive(), None);
    assert_eq!(device.totals().received, 2);
}

#[test]
fn leave_to_send_that_is_not_used_sends_nothing() {
    let mut device = Device::new(&Network::standard(), "blue a");
    for _ in 0..20 {
        assert!(device.polled(|overlay, cx| overlay.transmit(cx).is_some()));
    }
    assert!(device.underlay.sent().is_empty());
    assert_eq!(device.totals().received, 0);
}

#[test]
fn an_answer_is_sent_while_the_frame_is_received() {
    let mut device = Device::new(&Network::standard(), "blue a");
    let (wire, inner) = arrival(1);
    device.underlay.arrive(&wire);
    let answer = datagram();
    let seen = device.polled(|overlay, cx| {
        let (frame, leave) = overlay.receive(cx)?;
        Some(frame.consume(|frame| {
            leave.consume(answer.len(), |room| room.copy_from_slice(&answer));
            frame.to_vec()
        }))
    });
    assert_eq!(seen, Some(inner));
    assert_eq!(device.underlay.sent().len(), 1);
}

#[test]
fn few_answers_wait_for_a_stack_that_does_not_receive() {
    let mut device = Device::new(&Network::standard(), "blue a");
    for _ in 0..5 {
        assert!(device.try_send(&question()));
    }
    assert_eq!(device.refused(DropReason::PortFull), 3);
    assert!(device.try_send(&datagram()), "there are buffers for others");
    assert_eq!(device.underlay.sent().len(), 1);
    let answers = std::iter::from_fn(|| device.receive()).count();
    assert_eq!(answers, 2);
}

#[test]
fn who_does_not_answer_does_not_hold_up_others() {
    let network = Network::standard().with(|network| network.is_resolved = false);
    let mut device = Device::new(&network, "blue a");
    for _ in 0..20 {
        assert!(device.try_send(&datagram()));
        device.underlay.sent();
    }
    assert_eq!(device.refused(DropReason::NeighbourQueueFull), 18);
    assert!(device.try_send(&question()));
    assert!(device.receive().is_some());
    let (wire, inner) = arrival(1);
    assert_eq!(device.arrive(&wire), [inner]);
}

#[test]
fn rubbish_does_not_keep_the_stack_from_others_for_long() {
    let mut device = Device::new(&Network::standard(), "blue a");
    for _ in 0..20 {
        device.underlay.arrive(&[0xff; 60]);
    }
    device.woken();
    assert_eq!(device.receive(), None);
    assert_eq!(device.totals().received, 16);
    assert_eq!(device.woken(), 1, "there is more");
    assert_eq!(device.receive(), None);
    assert_eq!(device.woken(), 0);
    assert_eq!(device.totals().received, 20);
}

#[test]
fn what_is_too_long_is_counted() {
    let mut device = Device::new(&Network::standard(), "blue a");
    assert!(device.arrive(&[0; LONGEST + 1]).is_empty());
    assert_eq!(
        device.overlay.lost(),
        Lost {
            received: 1,
            sent: 0
        }
    );
    assert_eq!(device.totals().received, 0);

    // The policy believes in a longer packet than the underlay carries.
    let network = Network::standard().with(|network| network.mtu = 9000);
    let mut device = Device::new(&network, "blue a");
    let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
    let large = Packet::of_length("10.0.0.5", "10.0.0.7", 1590)
        .between(a, b)
        .frame();
    assert!(device.send(&large).is_empty());
    assert_eq!(device.refused(DropReason::PortFull), 1);
}

#[test]
fn the_stack_is_woken_by_the_next_frame() {
    let mut device = Device::new(&Network::standard(), "blue a");
    assert_eq!(device.receive(), None);
    assert_eq!(device.woken(), 0);
    device.underlay.arrive(&arrival(1).0);
    assert_eq!(device.woken(), 1);
}

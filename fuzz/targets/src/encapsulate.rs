//! Encapsulation and decapsulation, and what a congested network does in between.

use crate::inbound::combined_ecn;
use crate::packet::{Changes, Ip, assert_carried};
use crate::site::*;
use crate::support::hosts::Fate;
use crate::support::network::*;

/// decapsulate(encapsulate(x)) = x, but for padding, the hop of a router, and marks of congestion.
///
/// The first byte chooses the variant of the network and the mark, the second sender and receiver; a packet follows.
pub fn encapsulate(data: &[u8]) {
    let [variant, pair, packet @ ..] = data else {
        return;
    };
    with_site(*variant & !8, |site| {
        let senders = ["blue a", "blue near a", "blue near c", "red a"];
        let sender = site.network.machine(senders[usize::from(pair & 3)]).clone();
        let domain = site.network.domain_of(sender.vsid);
        let receivers: Vec<Machine> = site
            .network
            .machines
            .iter()
            .filter(|machine| machine.host == 2 && site.network.domain_of(machine.vsid) == domain)
            .cloned()
            .collect();
        let receiver = &receivers[usize::from(pair >> 2) % receivers.len()];
        let frame = between(&sender, receiver, packet);
        let Fate::Transmitted(_, mut wire) = site.host(1).take_from_port(sender.port, &frame)
        else {
            return;
        };
        let packet = Ip::read(&frame[14..]).expect("only packets are sent");
        let mark = variant >> 6;
        congest(&mut wire, mark);
        let fate = site.host(2).take_from_uplink(&wire);
        let outer = read(&wire).expect("an outer packet").1.traffic_class;
        let ecn = combined_ecn(packet.traffic_class, outer);
        let (Some(ecn), true) = (ecn, packet.has_intact_header()) else {
            assert!(matches!(fate, Fate::Dropped(_)), "{fate:?}");
            return;
        };
        let Fate::Delivered(port, out) = fate else {
            panic!("{fate:?}: what was sent is received");
        };
        assert_eq!(port.0, receiver.port);
        let is_routed = sender.vsid != receiver.vsid;
        let changes = Changes {
            traffic_class: packet.traffic_class & !3 | ecn,
            hop_limit: packet.hop_limit - u8::from(is_routed),
            ..Changes::none(&packet)
        };
        assert_eq!(out[..6], receiver.mac.0);
        assert_eq!(out[6..12], if is_routed { ROUTER.0 } else { sender.mac.0 });
        assert_carried(&packet, &out[14..], changes);
    });
}

/// A frame of one machine to another around a packet, which is given their addresses.
pub fn between(sender: &Machine, receiver: &Machine, packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let addresses = [sender, receiver].map(|machine| address_for(machine, &packet));
    readdress(&mut packet, addresses);
    let is_near = sender.vsid == receiver.vsid;
    let mut frame = if is_near { receiver.mac.0 } else { ROUTER.0 }.to_vec();
    frame.extend(sender.mac.0);
    frame.extend(match packet.first().map(|first| first >> 4) {
        Some(6) => [0x86, 0xdd],
        _ => [8, 0],
    });
    frame.extend(packet);
    frame
}

/// What a router does to a packet of a flow that is capable of ECN: bits of `mark` are set.
fn congest(wire: &mut [u8], mark: u8) {
    let at = Link::read(wire).expect("a frame").length;
    if wire[at] >> 4 == 4 {
        wire[at + 1] |= mark;
        fill_header_checksum(&mut wire[at..]);
    } else {
        wire[at + 1] |= mark << 4;
    }
}

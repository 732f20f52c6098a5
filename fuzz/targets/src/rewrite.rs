//! IP rewrite, there and back.

use std::net::IpAddr;

use crate::encapsulate::between;
use crate::inbound::is_plainly_rewritten;
use crate::packet::{Changes, Ip, assert_carried, sum, transport_sum};
use crate::site::*;
use crate::support::hosts::Fate;
use crate::support::network::Machine;
use crate::support::packets::ip;

/// Rewrite and back is the identity, up to the two forms of zero that a checksum has; and on the wire every checksum
/// is as right or wrong as it was.
///
/// The first byte chooses the variant of the network, the second the receiver and padding; a packet follows.
pub fn rewrite(data: &[u8]) {
    let [variant, pair, packet @ ..] = data else {
        return;
    };
    with_site(*variant & !8, |site| {
        let sender = site.network.machine("green a").clone();
        let receivers = ["green b", "green c"].map(|name| site.network.machine(name).clone());
        let receiver = &receivers[usize::from(pair & 1)];
        let padding = vec![0xee; usize::from(pair >> 5)];
        let frame = between(&sender, receiver, &[packet, &padding].concat());
        let fate = site.host(1).take_from_port(sender.port, &frame);
        let Some(packet) = Ip::read(&frame[14..]) else {
            assert!(matches!(fate, Fate::Dropped(_)), "{fate:?}");
            return;
        };
        let is_routed = sender.vsid != receiver.vsid;
        let Fate::Transmitted(_, wire) = fate else {
            let is_alive = !is_routed || packet.hop_limit > 1;
            let fits = packet.bytes.len() <= 1280;
            assert!(
                !(is_plainly_rewritten(&packet) && is_alive && fits),
                "{fate:?}"
            );
            return;
        };
        check_wire(&sender, receiver, &wire, &packet);
        let Fate::Delivered(port, out) = site.host(2).take_from_uplink(&wire) else {
            panic!("what was sent is received");
        };
        assert_eq!(port.0, receiver.port);
        let mut expected = packet.bytes.to_vec();
        if is_routed {
            route(&mut expected);
        }
        assert_same_but_for_zero(&expected, &out[14..], &packet);
    });
}

/// On the wire there are provider addresses, and checksums as right or wrong as they were.
fn check_wire(sender: &Machine, receiver: &Machine, wire: &[u8], packet: &Ip<'_>) {
    let version = packet.version();
    let link = Link::read(wire).expect("a frame");
    // ICMP of the other version is carried as what it is not, so nobody reads its checksum.
    let is_foreign = packet.protocol != [1, 58][version];
    if packet.has_more_addresses() && is_foreign {
        return;
    }
    if packet.has_more_addresses() {
        let sent = Ip::read(&wire[link.length..]).expect("a packet");
        return check_quote(sender, receiver, packet, &sent);
    }
    let is_routed = sender.vsid != receiver.vsid;
    let changes = Changes {
        source: ip(sender.rewrite[version]),
        destination: ip(receiver.rewrite[version]),
        hop_limit: packet.hop_limit - u8::from(is_routed),
        ..Changes::none(packet)
    };
    assert_carried(packet, &wire[link.length..], changes);
}

/// An error quotes what its receiver sent to its sender; the quote's addresses and checksums go with the packet's.
fn check_quote(sender: &Machine, receiver: &Machine, packet: &Ip<'_>, sent: &Ip<'_>) {
    let sum_of = |packet: &Ip<'_>| match packet.version() {
        0 => sum(&[packet.transport()]) % 0xffff,
        _ => {
            let (from, to) = (packet.source, packet.destination);
            transport_sum(from, to, packet.protocol, packet.transport()) % 0xffff
        }
    };
    assert_eq!(sum_of(packet), sum_of(sent), "the error's checksum");
    let quotes = [packet, sent].map(|error| error.transport().get(8..).and_then(Ip::read));
    if let [Some(quote), Some(quote_sent)] = quotes
        && !quote.has_more_addresses()
    {
        let version = packet.version();
        let is_answer = address_of(receiver, version) == quote.source
            && address_of(sender, version) == quote.destination;
        let changes = Changes {
            source: ip(receiver.rewrite[version]),
            destination: ip(sender.rewrite[version]),
            ..Changes::none(&quote)
        };
        if is_answer {
            assert_carried(&quote, quote_sent.bytes, changes);
        }
    }
}

fn address_of(machine: &Machine, version: usize) -> IpAddr {
    ip(machine.addresses[version])
}

/// The hop of the router.
fn route(packet: &mut [u8]) {
    if packet[0] >> 4 == 4 {
        packet[8] -= 1;
        fill_header_checksum(packet);
    } else {
        packet[7] -= 1;
    }
}

/// Other checksums lie in a quoted packet. UDP's checksum returns bit for bit, the others as the same number.
fn assert_same_but_for_zero(before: &[u8], after: &[u8], packet: &Ip<'_>) {
    if packet.is_syn() {
        return;
    }
    if packet.has_more_addresses() {
        let words = before.chunks(2).zip(after.chunks(2));
        assert!(
            words
                .into_iter()
                .all(|(was, is)| was == is || is == [0; 2] && was == [0xff; 2])
        );
        return assert_eq!(before.len(), after.len());
    }
    let mut before = before.to_vec();
    let header = Some(10).filter(|_| packet.version() == 0);
    let transport = packet.checksum_at().filter(|_| packet.protocol != 17);
    for at in [header, transport].into_iter().flatten() {
        let is_other_zero = before[at..at + 2] == [0xff; 2] && after[at..at + 2] == [0; 2];
        if is_other_zero {
            before[at..at + 2].fill(0);
        }
    }
    assert_eq!(before, after);
}

//! Walk 8, its last part: a router of the provider network says that a tunnelled packet was too big for it.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{on_link, pa, path_mtu};

const OUTERS: [Outer; 2] = [Outer::V4, Outer::V6];
const ROUTER_ON_THE_WAY: MacAddress = MacAddress([2, 0, 0, 0, 0, 77]);

/// The standard network with this outer version; its tenants have IPv4 alone.
fn ipv4_tenants(outer: Outer) -> Network {
    Network::standard().with(|network| {
        network.outer = outer;
        network.routes.truncate(1);
        for (_, _, prefixes) in &mut network.subnets {
            prefixes.truncate(1);
        }
        for machine in &mut network.machines {
            machine.addresses.truncate(1);
            machine.rewrite.truncate(1);
        }
    })
}

/// Hosts 1 and 2 as their addresses of the outer version.
fn addresses(outer: Outer) -> [String; 2] {
    match outer {
        Outer::V4 => [host_ipv4(1), host_ipv4(2)],
        Outer::V6 => [host_ipv6(1), host_ipv6(2)],
    }
}

fn is_learnt(outer: Outer, mtu: u16) -> Punt {
    Punt::PathMtu {
        address: pa(&addresses(outer)[1]),
        mtu,
    }
}

/// What host 1 sends into the tunnel to host 2, from the outer IP header on.
fn sent(network: &Network) -> Vec<u8> {
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let wire = Nve::new(&network.changes(1)).transmits(0, BLUE_1, &frame);
    wire[14..].to_vec()
}

/// The least that a router quotes: the IP header and eight bytes.
fn front(outer: Outer, packet: &[u8]) -> Vec<u8> {
    packet[..if outer == Outer::V4 { 28 } else { 48 }].to_vec()
}

/// The message of a router to host 1 that this packet was too big for its next link.
fn too_big(outer: Outer, mtu: u32, quoted: &[u8]) -> Packet {
    let [own, _] = addresses(outer);
    let packet = match outer {
        Outer::V4 => Packet::icmp("203.0.113.1", &own, 1, 3, quoted),
        Outer::V6 => Packet::icmp("2001:db8:99::1", &own, 58, 2, quoted),
    };
    let packet = packet.between(ROUTER_ON_THE_WAY, host_mac(1));
    changed(packet, |message| {
        message[1] = if outer == Outer::V4 { 4 } else { 0 };
        message[4..8].copy_from_slice(&mtu.to_be_bytes());
    })
}

/// The message after a change, with its checksum computed anew.
fn changed(packet: Packet, change: impl FnOnce(&mut Vec<u8>)) -> Packet {
    packet.with(|packet| {
        change(&mut packet.transport);
        let (source, destination) = (packet.source, packet.destination);
        fill_transport(source, destination, packet.protocol, &mut packet.transport);
    })
}

#[test]
fn spec_3_8_learnt_from_a_quote_whole_or_short() {
    for outer in OUTERS {
        let network = ipv4_tenants(outer);
        let mut host = Nve::new(&network.changes(1));
        let packet = sent(&network);
        for quoted in [&front(outer, &packet), &packet] {
            let message = too_big(outer, 1400, quoted);
            host.punts(&message.frame(), is_learnt(outer, 1400));
            let padded = message.with(|packet| packet.padding = 6);
            host.punts(&padded.frame(), is_learnt(outer, 1400));
        }
    }
}

#[test]
fn any_mtu_is_believed_that_is_smaller_and_not_too_small() {
    for (outer, least) in [(Outer::V4, 576), (Outer::V6, 1280)] {
        let network = ipv4_tenants(outer);
        let mut host = Nve::new(&network.changes(1));
        let quoted = front(outer, &sent(&network));
        for mtu in [least, least + 1, 1599] {
            let message = too_big(outer, u32::from(mtu), &quoted);
            host.punts(&message.frame(), is_learnt(outer, mtu));
        }
        for mtu in [0, 68, u32::from(least) - 1, 1600, 9000, 65535] {
            let message = too_big(outer, mtu, &quoted);
            host.punts(&message.frame(), Punt::HostStack);
        }
    }
    // In IPv4 the upper half of the word is unused, in IPv6 it is part of the MTU.
    let network = ipv4_tenants(Outer::V4);
    let quoted = front(Outer::V4, &sent(&network));
    let message = too_big(Outer::V4, 0x1_0000 + 1400, &quoted);
    Nve::new(&network.changes(1)).punts(&message.frame(), is_learnt(Outer::V4, 1400));
    let network = ipv4_tenants(Outer::V6);
    let quoted = front(Outer::V6, &sent(&network));
    let message = too_big(Outer::V6, 0x1_0000 + 1400, &quoted);
    Nve::new(&network.changes(1)).punts(&message.frame(), Punt::HostStack);
}

#[test]
fn spec_3_8_learnt_for_its_path_until_it_is_forgotten() {
    for outer in OUTERS {
        let network = ipv4_tenants(outer).with(|network| {
            network.hosts = 3;
            network.machine_mut("blue near a").host = 3;
        });
        let headers = if outer == Outer::V4 { 42 } else { 62 };
        let of = |to: &str, length: usize| {
            let (a, b) = (network.machine("blue a"), network.machine(to));
            let packet = Packet::of_length(a.addresses[0], b.addresses[0], length);
            packet.between(a.mac, b.mac).frame()
        };
        let mut host = Nve::new(&network.changes(1));
        let quoted = front(outer, &sent(&network));
        let narrow = too_big(outer, 1400, &quoted).frame();
        host.punts(&narrow, is_learnt(outer, 1400));
        let [_, address] = addresses(outer);
        host.apply(&[path_mtu(&address, 1400)]);

        host.transmits(0, BLUE_1, &of("blue b", 1400 - headers));
        let too_long = of("blue b", 1401 - headers);
        host.explains(0, BLUE_1, &too_long, DropReason::TooBig);
        host.transmits(0, BLUE_1, &of("blue near a", 1600 - headers));
        // Nothing new is told by the same again, nor by more.
        host.punts(&narrow, Punt::HostStack);
        host.punts(&too_big(outer, 1500, &quoted).frame(), Punt::HostStack);
        let narrower = too_big(outer, 1300, &quoted).frame();
        host.punts(&narrower, is_learnt(outer, 1300));

        let address = pa(&address);
        host.apply(&[Change::RemovePathMtu { address }]);
        host.transmits(0, BLUE_1, &too_long);
    }
}

#[test]
fn what_was_learnt_holds_for_rewritten_packets_too() {
    let network = ipv4_tenants(Outer::V4);
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[path_mtu("192.168.4.22", 1400)]);
    let [a, b] = ["green a", "green b"].map(|name| network.machine(name).mac);
    let of = |length| Packet::of_length("10.0.0.5", "10.0.0.7", length).between(a, b);
    host.transmits(4, GREEN_1, &of(1400).frame());
    host.explains(4, GREEN_1, &of(1401).frame(), DropReason::TooBig);
}

#[test]
fn no_less_is_learnt_than_ipv6_subnets_need() {
    for (outer, least) in [(Outer::V4, 1322), (Outer::V6, 1342)] {
        let network = ipv4_tenants(outer);
        let mut host = Nve::new(&network.changes(1));
        let quoted = front(outer, &sent(&network));
        let narrow = too_big(outer, 1290, &quoted).frame();
        host.punts(&narrow, is_learnt(outer, 1290));
        let ipv6 = on_link(RED_1, "2001:db8:1::/64");
        host.apply(&[Change::AddCustomerRoute(ipv6)]);
        host.punts(&narrow, is_learnt(outer, least));
        host.apply(&[path_mtu(&addresses(outer)[1], least)]);
        host.punts(&narrow, Punt::HostStack);
        host.apply(&[Change::RemoveCustomerRoute(ipv6)]);
        host.punts(&narrow, is_learnt(outer, 1290));
    }
}

#[test]
fn spec_6_icmp_a_quote_that_is_not_of_a_packet_of_ours_is_not_believed() {
    for outer in OUTERS {
        let network = ipv4_tenants(outer);
        let mut host = Nve::new(&network.changes(1));
        let quoted = front(outer, &sent(&network));
        let gre = quoted.len() - 8;
        // The last byte of the IP source and destination.
        let (source, destination) = match outer {
            Outer::V4 => (15, 19),
            Outer::V6 => (23, 39),
        };
        let mut lies: Vec<(&str, usize, u8)> = vec![
            ("version", 0, 0x55),
            ("another own address", source, 12),
            ("no path", destination, 99),
            ("own address as destination", destination, 11),
            ("no key", gre, 0),
            ("with a checksum", gre, 0xa0),
            ("with a sequence number", gre, 0x30),
            ("GRE version", gre + 1, 1),
            ("not Ethernet inside", gre + 2, 0x08),
            ("VSID of nobody", gre + 5, 0x14),
            ("reserved VSID", gre + 5, 0x00),
        ];
        lies.extend(match outer {
            Outer::V4 => vec![
                ("options", 0, 0x46),
                ("another protocol", 9, 17),
                ("a fragment", 7, 1),
                ("may be fragmented", 6, 0),
            ],
            Outer::V6 => vec![("another protocol", 6, 17)],
        });
        for (lie, at, byte) in lies {
            let mut quoted = quoted.clone();
            assert_ne!(quoted[at], byte, "{lie}");
            quoted[at] = byte;
            let message = too_big(outer, 1400, &quoted);
            host.punts(&message.frame(), Punt::HostStack);
        }
        for length in 0..quoted.len() {
            let message = too_big(outer, 1400, &quoted[..length]);
            host.punts(&message.frame(), Punt::HostStack);
        }
        host.punts(
            &too_big(outer, 1400, &quoted).frame(),
            is_learnt(outer, 1400),
        );
    }
}

#[test]
fn a_message_that_is_damaged_cut_or_another_is_not_believed() {
    for outer in OUTERS {
        let network = ipv4_tenants(outer);
        let mut host = Nve::new(&network.changes(1));
        let message = too_big(outer, 1400, &sent(&network));
        for byte in 0..8 {
            let damaged = message
                .clone()
                .with(|packet| packet.transport[byte] ^= 0x10);
            host.punts(&damaged.frame(), Punt::HostStack);
        }
        let damaged = message.clone().with(|packet| {
            let last = packet.transport.len() - 1;
            packet.transport[last] ^= 1;
        });
        host.punts(&damaged.frame(), Punt::HostStack);
        let other_kind = changed(message.clone(), |message| message[0] ^= 3);
        host.punts(&other_kind.frame(), Punt::HostStack);
        // ICMPv4 says it by its code; in ICMPv6 the code means nothing.
        let other_code = changed(message.clone(), |message| message[1] = 3).frame();
        match outer {
            Outer::V4 => host.punts(&other_code, Punt::HostStack),
            Outer::V6 => host.punts(&other_code, is_learnt(outer, 1400)),
        }
        // A window that holds only part of the message does not show whether its checksum is right, even where
        // what is missing would not change the sum.
        let frame = changed(message, |message| message.extend([0, 0])).frame();
        let cut = Frame {
            window: &frame[..frame.len() - 2],
            ..Frame::whole(Ingress::Uplink(UplinkId(0)), &frame)
        };
        assert_eq!(host.process(&cut), Fate::Punted(Punt::HostStack));
    }
}

#[test]
fn a_message_for_another_own_address_than_the_quoted_one_is_not_believed() {
    let network = ipv4_tenants(Outer::V4);
    let mut host = Nve::new(&network.changes(1));
    let second = HostAddress {
        address: pa("192.168.4.12"),
        ..network.own_addresses(1)[0]
    };
    host.apply(&[Change::AddProviderAddress(second)]);
    let quoted = front(Outer::V4, &sent(&network));
    let to_second = too_big(Outer::V4, 1400, &quoted).with(|packet| {
        packet.destination = ip("192.168.4.12");
    });
    host.punts(&to_second.frame(), Punt::HostStack);
}

#[test]
fn a_path_that_cannot_be_used_learns_nothing() {
    let network = ipv4_tenants(Outer::V4);
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[
        Change::AddHost(HostId(3)),
        Change::AddHostAddress(HostId(3), pa("203.0.113.3")),
    ]);
    let mut quoted = front(Outer::V4, &sent(&network));
    quoted[16..20].copy_from_slice(&[203, 0, 113, 3]);
    let message = too_big(Outer::V4, 1400, &quoted);
    host.punts(&message.frame(), Punt::HostStack);
}

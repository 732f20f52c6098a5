//! Questions of virtual machines: answered from the records, or for the gateway; nothing leaves the host.

use netvirt_core::datapath::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

fn blue_a() -> (Network, Nve, MacAddress) {
    let network = Network::standard();
    let host = Nve::new(&network.changes(1));
    let mac = network.machine("blue a").mac;
    (network, host, mac)
}

fn arp_reply(asker: (MacAddress, &str), answer: (MacAddress, &str)) -> Vec<u8> {
    arp((asker.0, answer.0), 2, answer, asker)
}

#[test]
fn spec_3_9_and_2_8_arp_is_answered_for_records_and_gateways_of_the_subnet() {
    let (network, mut host, a) = blue_a();
    let asker = (a, "10.0.0.5");
    for (target, answer) in [
        ("10.0.0.7", network.machine("blue b").mac),
        ("10.0.0.9", network.machine("blue near a").mac),
        ("10.0.0.1", ROUTER),
    ] {
        let reply = host.replies(0, BLUE_1, &arp_request(asker, target));
        assert_eq!(reply, arp_reply(asker, (answer, target)));
        // Whoever checks first whether an address is free hears the same.
        let probe = (a, "0.0.0.0");
        let reply = host.replies(0, BLUE_1, &arp_request(probe, target));
        assert_eq!(reply, arp_reply(probe, (answer, target)));
    }
    for target in ["10.0.0.99", "10.0.1.6", "10.0.1.1", "198.51.100.9"] {
        host.refuses(
            0,
            BLUE_1,
            &arp_request(asker, target),
            DropReason::NeighbourUnknown,
        );
    }
}

#[test]
fn each_tenant_hears_of_its_own() {
    let (network, mut host, _) = blue_a();
    let asker = (network.machine("red a").mac, "10.0.0.5");
    let reply = host.replies(3, RED_1, &arp_request(asker, "10.0.0.7"));
    assert_eq!(
        reply,
        arp_reply(asker, (network.machine("red b").mac, "10.0.0.7"))
    );
    host.refuses(
        3,
        RED_1,
        &arp_request(asker, "10.0.0.9"),
        DropReason::NeighbourUnknown,
    );
}

#[test]
fn a_priority_tag_does_not_hide_a_question_and_padding_does_not_hurt() {
    let (network, mut host, a) = blue_a();
    let asker = (a, "10.0.0.5");
    let mut tagged = arp_request(asker, "10.0.0.7");
    tagged.splice(12..12, [0x81, 0, 0xe0, 0]);
    tagged.resize(64, 0);
    let reply = host.replies(0, BLUE_1, &tagged);
    assert_eq!(
        reply,
        arp_reply(asker, (network.machine("blue b").mac, "10.0.0.7"))
    );
}

#[test]
fn spec_2_8_probe_about_itself_a_machine_hears_nothing() {
    let (_, mut host, a) = blue_a();
    for sender in ["0.0.0.0", "10.0.0.5"] {
        host.refuses(
            0,
            BLUE_1,
            &arp_request((a, sender), "10.0.0.5"),
            DropReason::OwnAddress,
        );
    }
    let announced = arp(
        (MacAddress::BROADCAST, a),
        2,
        (a, "10.0.0.5"),
        (a, "10.0.0.5"),
    );
    host.refuses(0, BLUE_1, &announced, DropReason::OwnAddress);
    host.refuses(
        0,
        BLUE_1,
        &solicitation((a, "::"), "2001:db8:1::5").frame(),
        DropReason::OwnAddress,
    );
    let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
    let own = advertisement((a, "2001:db8:1::5"), all, 0x20, ("2001:db8:1::5", a));
    host.refuses(0, BLUE_1, &own.frame(), DropReason::OwnAddress);
}

#[test]
fn spec_2_8_sanity_and_6_neighbours_a_lie_in_arp_is_refused() {
    let (network, mut host, a) = blue_a();
    let other = network.machine("blue near a").mac;
    let all = MacAddress::BROADCAST;
    for lie in [
        // Another's address, another's MAC address, the gateway's, nobody's.
        arp_request((a, "10.0.0.9"), "10.0.0.7"),
        arp(
            (all, a),
            1,
            (other, "10.0.0.5"),
            (MacAddress::ZERO, "10.0.0.7"),
        ),
        arp_request((a, "10.0.0.1"), "10.0.0.7"),
        arp_request((a, "10.0.0.99"), "10.0.0.7"),
        // An announcement of another's address, as a request and as a reply.
        arp_request((a, "10.0.0.9"), "10.0.0.9"),
        arp((all, a), 2, (a, "10.0.0.1"), (all, "10.0.0.1")),
        arp((other, a), 2, (a, "10.0.0.1"), (other, "10.0.0.9")),
    ] {
        host.refuses(0, BLUE_1, &lie, DropReason::ArpSpoof);
    }
}

#[test]
fn spec_2_8_unicast_arp_goes_to_a_local_machine_and_is_answered_for_others() {
    let (network, mut host, a) = blue_a();
    let near = network.machine("blue near a").mac;
    let asker = (a, "10.0.0.5");
    let ask = |link: MacAddress, target| arp((link, a), 1, asker, (link, target));
    let question = ask(near, "10.0.0.9");
    assert_eq!(host.switches(0, 1, BLUE_1, &question), question);
    let answer = arp((a, near), 2, (near, "10.0.0.9"), asker);
    assert_eq!(host.switches(1, 0, BLUE_1, &answer), answer);

    let b = network.machine("blue b").mac;
    let reply = host.replies(0, BLUE_1, &ask(b, "10.0.0.7"));
    assert_eq!(reply, arp_reply(asker, (b, "10.0.0.7")));
    let reply = host.replies(0, BLUE_1, &ask(ROUTER, "10.0.0.1"));
    assert_eq!(reply, arp_reply(asker, (ROUTER, "10.0.0.1")));
    let to_remote = arp((b, a), 2, asker, (b, "10.0.0.7"));
    host.refuses(0, BLUE_1, &to_remote, DropReason::NeighbourUnknown);
}

#[test]
fn damaged_questions_are_refused() {
    let (_, mut host, a) = blue_a();
    let question = arp_request((a, "10.0.0.5"), "10.0.0.7");
    for length in [14, 41] {
        host.refuses(0, BLUE_1, &question[..length], DropReason::Truncated);
    }
    for (at, value) in [(15, 6), (16, 9), (18, 8), (19, 16), (21, 3)] {
        let mut broken = question.clone();
        broken[at] = value;
        host.refuses(0, BLUE_1, &broken, DropReason::Malformed);
    }
    let question = solicitation((a, "2001:db8:1::5"), "2001:db8:1::7").frame();
    for (at, value) in [(21, 254), (57, 0), (79, 0)] {
        let mut broken = question.clone();
        broken[at] ^= value ^ 0x5a;
        host.refuses(0, BLUE_1, &broken, DropReason::Malformed);
    }
}

/// The answer to a solicitation.
fn nd_reply(
    asker: (MacAddress, &str),
    source: (MacAddress, &str),
    flags: u8,
    target: &str,
) -> Vec<u8> {
    advertisement(source, asker, flags, (target, source.0)).frame()
}

const ALL_NODES: (MacAddress, &str) = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");

#[test]
fn spec_3_9_and_2_8_nd_solicitations_are_answered_for_records() {
    let (network, mut host, a) = blue_a();
    for (target, name) in [
        ("2001:db8:1::7", "blue b"),
        ("2001:db8:1::9", "blue near a"),
    ] {
        let mac = network.machine(name).mac;
        for source in ["2001:db8:1::5", "fe80::5"] {
            let asker = (a, source);
            let reply = host.replies(0, BLUE_1, &solicitation(asker, target).frame());
            assert_eq!(reply, nd_reply(asker, (mac, target), 0x60, target));
        }
        // A probe finds that the address is taken: the answer is for all to hear.
        let reply = host.replies(0, BLUE_1, &solicitation((a, "::"), target).frame());
        assert_eq!(reply, nd_reply(ALL_NODES, (mac, target), 0x20, target));
    }
    for target in [
        "2001:db8:1::99",
        "2001:db8:2::6",
        "2001:db8:2::1",
        "fe80::9",
    ] {
        let question = solicitation((a, "2001:db8:1::5"), target).frame();
        host.refuses(0, BLUE_1, &question, DropReason::NeighbourUnknown);
    }
}

#[test]
fn spec_2_8_gateway_ipv6_answers_as_a_router_from_the_address_that_was_asked_for() {
    let (_, mut host, a) = blue_a();
    for target in ["2001:db8:1::1", "fe80::1"] {
        for source in ["2001:db8:1::5", "fe80::5"] {
            let asker = (a, source);
            let reply = host.replies(0, BLUE_1, &solicitation(asker, target).frame());
            assert_eq!(reply, nd_reply(asker, (ROUTER, target), 0xe0, target));
        }
        let reply = host.replies(0, BLUE_1, &solicitation((a, "::"), target).frame());
        assert_eq!(reply, nd_reply(ALL_NODES, (ROUTER, target), 0xa0, target));
    }
}

#[test]
fn spec_2_8_nd_sanity_and_6_neighbours_a_lie_is_refused() {
    let (network, mut host, a) = blue_a();
    let near = network.machine("blue near a").mac;
    let own = (a, "2001:db8:1::5");
    let to_near = (near, "2001:db8:1::9");
    let with_foreign_option = |mut frame: Vec<u8>| {
        let segment = frame.len() - 32;
        frame[segment + 26..].copy_from_slice(&near.0);
        let (from, to) = (ip("2001:db8:1::5"), ip("ff02::1:ff00:7"));
        fill_transport(from, to, 58, &mut frame[segment..]);
        frame
    };
    for lie in [
        solicitation((a, "2001:db8:1::9"), "2001:db8:1::7").frame(),
        solicitation((a, "2001:db8:1::1"), "2001:db8:1::7").frame(),
        solicitation((a, "fe80::1"), "2001:db8:1::7").frame(),
        with_foreign_option(solicitation(own, "2001:db8:1::7").frame()),
        advertisement(own, to_near, 0x60, ("2001:db8:1::7", a)).frame(),
        advertisement(own, to_near, 0x60, ("2001:db8:1::1", a)).frame(),
        advertisement(own, to_near, 0x60, ("fe80::1", a)).frame(),
        advertisement(own, to_near, 0x60, ("2001:db8:1::5", near)).frame(),
        advertisement((a, "2001:db8:1::9"), to_near, 0x60, ("2001:db8:1::5", a)).frame(),
        advertisement(own, ALL_NODES, 0x20, ("2001:db8:1::9", a)).frame(),
    ] {
        host.refuses(0, BLUE_1, &lie, DropReason::NdSpoof);
    }
}

#[test]
fn spec_2_8_unicast_neighbour_discovery_goes_to_a_local_machine() {
    let (network, mut host, a) = blue_a();
    let near = network.machine("blue near a").mac;
    let to = |packet: Packet, link, address: &str| {
        packet.with(|packet| {
            packet.destination = ip(address);
            packet.destination_mac = link;
            fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
        })
    };
    let own = (a, "2001:db8:1::5");
    let question = to(solicitation(own, "2001:db8:1::9"), near, "2001:db8:1::9").frame();
    assert_eq!(host.switches(0, 1, BLUE_1, &question), question);
    let answer = advertisement((near, "2001:db8:1::9"), own, 0x60, ("2001:db8:1::9", near)).frame();
    assert_eq!(host.switches(1, 0, BLUE_1, &answer), answer);

    let b = network.machine("blue b").mac;
    let question = to(solicitation(own, "2001:db8:1::7"), b, "2001:db8:1::7").frame();
    let reply = host.replies(0, BLUE_1, &question);
    assert_eq!(
        reply,
        nd_reply(own, (b, "2001:db8:1::7"), 0x60, "2001:db8:1::7")
    );
    let answer = advertisement(own, (b, "2001:db8:1::7"), 0x60, ("2001:db8:1::5", a)).frame();
    host.refuses(0, BLUE_1, &answer, DropReason::NeighbourUnknown);
}

#[test]
fn spec_2_8_router_guard_a_machine_is_no_router() {
    let (_, mut host, a) = blue_a();
    for (kind, reason) in [
        (134, DropReason::RouterGuard),
        (137, DropReason::RouterGuard),
    ] {
        for source in ["fe80::5", "2001:db8:1::5"] {
            let packet = Packet::icmp(source, "ff02::1", 58, kind, &[0; 40]);
            let packet = packet
                .with(|packet| packet.hop_limit = 255)
                .between(a, ALL_NODES.0);
            host.refuses(0, BLUE_1, &packet.frame(), reason);
        }
    }
    let to_one = Packet::icmp("fe80::5", "2001:db8:1::9", 58, 134, &[0; 8]).between(a, ROUTER);
    host.refuses(0, BLUE_1, &to_one.frame(), DropReason::RouterGuard);
}

#[test]
fn spec_2_8_gateway_answers_echo_requests() {
    let (network, mut host, a) = blue_a();
    for (source, gateways) in [
        ("10.0.0.5", &["10.0.0.1", "10.0.1.1", "10.0.2.1"][..]),
        (
            "2001:db8:1::5",
            &["2001:db8:1::1", "2001:db8:2::1", "fe80::1"],
        ),
    ] {
        for gateway in gateways {
            for payload in [&b""[..], b"odd", &[7; 1400]] {
                let request = Packet::echo(source, gateway, payload).between(a, ROUTER);
                let request = request.with(|packet| {
                    packet.traffic_class = 0xb8;
                    packet.padding = 5;
                });
                let kind = if request.source.is_ipv4() { 0 } else { 129 };
                let protocol = request.protocol;
                let reply =
                    Packet::icmp(gateway, source, protocol, kind, payload).between(ROUTER, a);
                let reply = reply.with(|packet| {
                    packet.traffic_class = 0xb8;
                    packet.identification = 0;
                });
                assert_eq!(host.replies(0, BLUE_1, &request.frame()), reply.frame());
            }
        }
    }
    // From another tenant's machine, of its own gateway only.
    let red = network.machine("red a").mac;
    let own = Packet::echo("10.0.0.5", "10.0.0.1", b"x").between(red, ROUTER);
    host.replies(3, RED_1, &own.frame());
    let other = Packet::echo("10.0.0.5", "10.0.1.1", b"x").between(red, ROUTER);
    host.refuses(3, RED_1, &other.frame(), DropReason::NoRoute);
}

#[test]
fn the_gateway_answers_nothing_else() {
    let (_, mut host, a) = blue_a();
    let echo = Packet::echo("10.0.0.5", "10.0.0.1", &[7; 64]);
    for packet in [
        Packet::udp("10.0.0.5", "10.0.0.1", b"x"),
        Packet::tcp("10.0.0.5", "10.0.0.1", b"x"),
        Packet::icmp("10.0.0.5", "10.0.0.1", 1, 0, b"x"),
        Packet::icmp("10.0.0.5", "10.0.0.1", 1, 13, b"x"),
        Packet::raw("10.0.0.5", "10.0.0.1", 1, &[8, 0, 0]),
        echo.clone().with(|packet| packet.fragment = 0x2000),
        echo.with(|packet| packet.fragment = 2),
        Packet::udp("2001:db8:1::5", "2001:db8:1::1", b"x"),
        Packet::udp("2001:db8:1::5", "fe80::1", b"x"),
        Packet::icmp("2001:db8:1::5", "fe80::1", 58, 129, b"x"),
    ] {
        host.refuses(
            0,
            BLUE_1,
            &packet.between(a, ROUTER).frame(),
            DropReason::GatewayAddress,
        );
    }
}

#[test]
fn a_wrong_echo_checksum_is_not_repaired() {
    let (_, mut host, a) = blue_a();
    let wrong = |packet: Packet| packet.with(|packet| packet.transport[2] ^= 0x40);
    let request = wrong(Packet::echo("10.0.0.5", "10.0.0.1", b"hello")).between(a, ROUTER);
    let reply = host.replies(0, BLUE_1, &request.frame());
    assert_ne!(checksum(&reply[34..]), 0);
}

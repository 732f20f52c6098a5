//! ICMP errors under IP rewrite whose quoted packets are not translated: the errors go no further.

use netvirt_core::datapath::*;
use netvirt_core::*;

use super::quotes::*;
use super::rewrite::readdressed;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

#[test]
fn spec_1_7_5_a_quote_without_a_whole_ip_header_is_not_translated() {
    for version in &VERSIONS {
        let packet = Packet::udp(version.a[0], version.b[0], b"hello");
        let (whole, hidden) = (packet.ip_packet(), version.hidden(&packet).ip_packet());
        for kind in version.kinds {
            for end in [0, 1, version.header - 1] {
                let (quote, hidden) = (&whole[..end], &hidden[..end]);
                refused(version, kind, quote, hidden, DropReason::IcmpInnerUnknown);
            }
            // Nor is one that is not of the error's own version.
            let mut other = whole.clone();
            other[0] ^= 0x20;
            refused(version, kind, &other, &other, DropReason::IcmpInnerUnknown);
        }
    }
    // Options and extension headers belong to it.
    let options =
        Packet::udp(V4.a[0], V4.b[0], b"x").with(|packet| packet.ipv4_options = vec![1; 40]);
    let padding = [&[0, 4, 1, 36][..], &[0; 36]].concat();
    let extended =
        Packet::udp(V6.a[0], V6.b[0], b"x").with(|packet| packet.extensions = vec![(60, padding)]);
    for (version, packet, end) in [(&V4, options, 59), (&V6, extended, 79)] {
        let (quote, hidden) = (packet.ip_packet(), version.hidden(&packet).ip_packet());
        refused(
            version,
            version.kinds[0],
            &quote[..end],
            &hidden[..end],
            DropReason::IcmpInnerUnknown,
        );
    }
    // The message itself may end too early.
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    for version in &VERSIONS {
        for length in 0..8 {
            let packet = error(version.b[0], version.a[0], version.kinds[0], [0; 4], &[]);
            let packet = packet.with(|packet| packet.transport.truncate(length));
            let frame = green_b_to_a(&network, packet).frame();
            let reason = match length {
                0..4 => DropReason::TinyFragment,
                _ => DropReason::IcmpInnerUnknown,
            };
            host.refuses(3, GREEN_1, &frame, reason);
        }
    }
}

#[test]
fn spec_1_7_5_what_rewrite_does_not_carry_it_does_not_quote() {
    let both = |version: &Version, packet: Packet, reason| {
        let hidden = version.hidden(&packet).ip_packet();
        refused(
            version,
            version.kinds[0],
            &packet.ip_packet(),
            &hidden,
            reason,
        );
    };
    for kind in [131, 137, 7] {
        let packet = Packet::udp(V4.a[0], V4.b[0], b"x")
            .with(|packet| packet.ipv4_options = vec![kind, 7, 4, 10, 0, 0, 1, 0]);
        both(&V4, packet, DropReason::SourceRoute);
    }
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    for (extensions, reason) in [
        (
            vec![(43, vec![0, 0, 0, 0, 0, 0, 0, 0])],
            DropReason::SourceRoute,
        ),
        (
            vec![(43, vec![0, 0, 4, 1, 0, 0, 0, 0])],
            DropReason::SourceRoute,
        ),
        (vec![(60, padding); 9], DropReason::RewriteUnsupported),
    ] {
        let packet =
            Packet::udp(V6.a[0], V6.b[0], b"x").with(|packet| packet.extensions = extensions);
        both(&V6, packet, reason);
    }
    for protocol in [89, 103] {
        let packet = Packet::raw(V6.a[0], V6.b[0], protocol, &[0; 24]);
        both(&V6, packet, DropReason::RewriteUnsupported);
    }
}

#[test]
fn spec_1_7_5_an_error_about_an_error_is_refused() {
    for version in &VERSIONS {
        let innermost = Packet::udp(version.b[0], version.a[0], b"x").ip_packet();
        for kind in version.kinds {
            let packet = error(version.a[0], version.b[0], kind, [0; 4], &innermost);
            let hidden = version.hidden(&packet).ip_packet();
            refused(
                version,
                kind,
                &packet.ip_packet(),
                &hidden,
                DropReason::IcmpInnerUnknown,
            );
        }
    }
    let redirect = error(V4.a[0], V4.b[0], 5, [0; 4], &[]);
    let hidden = V4.hidden(&redirect).ip_packet();
    refused(
        &V4,
        3,
        &redirect.ip_packet(),
        &hidden,
        DropReason::IcmpInnerUnknown,
    );
}

#[test]
fn spec_1_7_5_redirects_are_dropped() {
    let quote = Packet::udp(V4.a[0], V4.b[0], b"x");
    let hidden = V4.hidden(&quote).ip_packet();
    refused(&V4, 5, &quote.ip_packet(), &hidden, DropReason::RouterGuard);
    let network = Network::standard();
    arrives_in_vain(
        &network,
        V4.router,
        &V4,
        5,
        &hidden,
        DropReason::RouterGuard,
    );
    // Those of IPv6 are neighbour discovery, which never leaves a host and comes to the host alone.
    let quote = Packet::udp(V6.a[0], V6.b[0], b"x").ip_packet();
    let redirect = error(V6.b[0], V6.a[0], 137, [0; 4], &quote);
    let frame = green_b_to_a(&network, redirect).frame();
    Nve::new(&network.changes(2)).refuses(3, GREEN_1, &frame, DropReason::RouterGuard);
    let redirect = error(V6.router, V6.a[1], 137, [0; 4], &quote);
    let frame = redirect.between(host_mac(2), host_mac(1)).frame();
    Nve::new(&network.changes(1)).punts(&frame, Punt::HostStack);
}

#[test]
fn spec_1_7_5_other_errors_of_icmpv6_are_not_known() {
    let quote = Packet::udp(V6.a[0], V6.b[0], b"x");
    let hidden = V6.hidden(&quote).ip_packet();
    for kind in [0, 5, 100, 101, 127] {
        let quote = quote.ip_packet();
        refused(&V6, kind, &quote, &hidden, DropReason::RewriteUnsupported);
    }
}

#[test]
fn spec_1_7_5_a_quoted_address_without_record_is_refused() {
    for version in &VERSIONS {
        let packet = Packet::udp(version.a[0], version.b[0], b"x");
        let is_ipv4 = version.header == 20;
        let (stranger, foreign) = match is_ipv4 {
            true => ("10.0.0.99", "203.0.113.1"),
            false => ("2001:db8:1::99", "2001:db8:ffff::1"),
        };
        let strangers = match is_ipv4 {
            true => "192.168.4.99",
            false => "fd00:4::99",
        };
        for (from, to) in [
            ((stranger, strangers), (version.b[0], version.b[1])),
            ((version.a[0], version.a[1]), (stranger, strangers)),
            ((foreign, foreign), (version.b[0], version.b[1])),
            // Provider addresses are nothing that a machine could quote, nor may the wire show customer addresses.
            ((version.a[1], version.a[0]), (version.b[1], version.b[0])),
        ] {
            let quote = readdressed(&packet, from.0, to.0).ip_packet();
            let hidden = readdressed(&packet, from.1, to.1).ip_packet();
            for kind in version.kinds {
                refused(version, kind, &quote, &hidden, DropReason::IcmpInnerUnknown);
            }
        }
    }
}

#[test]
fn spec_1_7_5_a_quote_shows_no_machine_that_the_receiver_may_not_send_to() {
    let network = peered();
    let quoted = Packet::udp("10.0.0.5", "10.9.0.7", b"x");
    let (green_b, green_a) = (network.machine("green b"), network.machine("green a"));
    // Green b knows no way to red.
    let packet = error(V4.b[0], V4.a[0], 3, [0; 4], &quoted.ip_packet());
    let frame = packet.between(green_b.mac, green_a.mac).frame();
    Nve::new(&network.changes(2)).refuses(3, GREEN_1, &frame, DropReason::IcmpInnerUnknown);
    let hidden = readdressed(&quoted, "192.168.4.105", "192.168.4.109").ip_packet();
    arrives_in_vain(
        &network,
        V4.b[1],
        &V4,
        3,
        &hidden,
        DropReason::IcmpInnerUnknown,
    );
    // Red b may tell green a of a packet that green a sent to red b, should there have been one.
    let red_b = network.machine("red b");
    let packet = error("10.9.0.7", V4.a[0], 3, [0; 4], &quoted.ip_packet());
    let sent = packet.clone().between(red_b.mac, ROUTER).frame();
    let wire = Nve::new(&network.changes(2)).transmits(2, RED_1, &sent);
    let arrived = packet
        .between(ROUTER, green_a.mac)
        .with(|packet| packet.hop_limit -= 1);
    assert_eq!(
        Nve::new(&network.changes(1)).delivers(4, GREEN_1, &wire),
        arrived.frame()
    );
}

#[test]
fn what_changes_must_lie_in_the_window_and_within_reach() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    for version in &VERSIONS {
        let quoted = Packet::tcp(version.a[0], version.b[0], b"hello, hnv").ip_packet();
        let packet = error(
            version.b[0],
            version.a[0],
            version.kinds[0],
            [0; 4],
            &quoted,
        );
        let frame = green_b_to_a(&network, packet).frame();
        let least = 14 + version.header + 8 + version.header + 18;
        for window in [14 + version.header, least - 1, least] {
            let given = Frame {
                window: &frame[..window],
                ..Frame::whole(Ingress::Port(PortId(3)), &frame)
            };
            let verdict = host.worker.process(host.policies.live(), &given, host.now);
            let expected = (window < least).then_some(DropReason::Truncated);
            assert_eq!(verdict.reason, expected, "{window}");
        }
        host.counted();
    }
    // Behind 238 bytes of the packet nothing is changed, however it is sent.
    let options = |length: u8| {
        let mut header = vec![0, length / 8 - 1, 1, length - 4];
        header.resize(usize::from(length), 0);
        vec![(60, header)]
    };
    let udp = Packet::udp(V6.b[0], V6.a[0], b"x");
    let quoted = Packet::udp(V6.a[0], V6.b[0], b"x");
    let told = error(V6.b[0], V6.a[0], 1, [0; 4], &quoted.ip_packet());
    for (packet, most) in [(udp, 184), (told, 136)] {
        for (length, reason) in [
            (most, None),
            (most + 8, Some(DropReason::RewriteUnsupported)),
        ] {
            let packet = packet
                .clone()
                .with(|packet| packet.extensions = options(length));
            let frame = green_b_to_a(&network, packet).frame();
            match reason {
                None => drop(host.transmits(3, GREEN_1, &frame)),
                Some(reason) => host.refuses(3, GREEN_1, &frame, reason),
            }
        }
    }
}

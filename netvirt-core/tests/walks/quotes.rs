//! ICMP errors under IP rewrite: the packet that they quote is rewritten too, and back.

use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use super::rewrite::readdressed;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Of each version of IP: customer and provider addresses of green a and green b, and the types of errors.
const V4: Version = Version {
    a: ["10.0.0.5", "192.168.4.105"],
    b: ["10.0.0.7", "192.168.4.207"],
    gateway: "10.0.0.1",
    router: "192.168.99.1",
    kinds: [3, 4, 11, 12],
    header: 20,
};
const V6: Version = Version {
    a: ["2001:db8:1::5", "fd00:4::105"],
    b: ["2001:db8:1::7", "fd00:4::207"],
    gateway: "2001:db8:1::1",
    router: "fd00:99::1",
    kinds: [1, 2, 3, 4],
    header: 40,
};
const VERSIONS: [Version; 2] = [V4, V6];

#[derive(Clone, Copy)]
struct Version {
    a: [&'static str; 2],
    b: [&'static str; 2],
    gateway: &'static str,
    router: &'static str,
    kinds: [u8; 4],
    header: usize,
}

impl Version {
    /// What green a may have sent to green b.
    fn packets(&self) -> Vec<Packet> {
        let [source, destination] = [self.a[0], self.b[0]];
        let dccp = [&[4, 87, 8, 174, 4, 0, 0, 0][..], &[7; 12]].concat();
        let mut packets = vec![
            Packet::tcp(source, destination, b"hello, hnv"),
            Packet::udp(source, destination, b"odd"),
            Packet::echo(source, destination, b"hello, hnv"),
        ];
        packets.extend([33, 136].map(|protocol| {
            let packet = Packet::raw(source, destination, protocol, &dccp);
            readdressed(&packet, source, destination)
        }));
        packets.extend(
            [132, 50, 51, 47, 4, 41, 2, 253]
                .map(|protocol| Packet::raw(source, destination, protocol, b"some more payload")),
        );
        packets
    }

    fn hidden(&self, packet: &Packet) -> Packet {
        readdressed(packet, self.a[1], self.b[1])
    }
}

/// An ICMP error about a packet of which this is quoted.
fn error(source: &str, destination: &str, kind: u8, rest: [u8; 4], quote: &[u8]) -> Packet {
    let protocol = if ip(source).is_ipv4() { 1 } else { 58 };
    let message = [&[kind, 1, 0, 0], &rest[..], quote].concat();
    let packet = Packet::raw(source, destination, protocol, &message);
    readdressed(&packet, source, destination)
}

/// Green b tells green a; `quote` becomes `hidden` on the wire, and is again what it was when it arrives.
#[track_caller]
fn travels(version: &Version, kind: u8, rest: [u8; 4], quote: &[u8], hidden: &[u8]) {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let packet = error(version.b[0], version.a[0], kind, rest, quote).between(b.mac, a.mac);
    let wire = Nve::new(&network.changes(2)).transmits(3, GREEN_1, &packet.frame());
    let expected = error(version.b[1], version.a[1], kind, rest, hidden);
    assert_eq!(wire, expected.between(host_mac(2), host_mac(1)).frame());
    let arrived = Nve::new(&network.changes(1)).delivers(4, GREEN_1, &wire);
    assert_eq!(arrived, packet.frame());
}

/// Green b must not tell green a this, and if its host lets it, green a's host does not. The packet that is quoted stands
/// between customer addresses first, between provider addresses then.
#[track_caller]
fn refused(version: &Version, kind: u8, quote: &[u8], hidden: &[u8], reason: DropReason) {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let packet = error(version.b[0], version.a[0], kind, [0; 4], quote).between(b.mac, a.mac);
    Nve::new(&network.changes(2)).refuses(3, GREEN_1, &packet.frame(), reason);
    arrives_in_vain(&network, version.b[1], version, kind, hidden, reason);
}

/// What comes to green a's host from a provider address is refused.
#[track_caller]
fn arrives_in_vain(
    network: &Network,
    source: &str,
    version: &Version,
    kind: u8,
    hidden: &[u8],
    reason: DropReason,
) {
    let packet = error(source, version.a[1], kind, [0; 4], hidden);
    let frame = packet.between(host_mac(2), host_mac(1)).frame();
    Nve::new(&network.changes(1)).refuses_uplink(Some(GREEN_1), &frame, reason);
}

#[test]
fn spec_1_7_5_errors_of_every_type_about_packets_of_every_protocol() {
    for version in &VERSIONS {
        for kind in version.kinds {
            for packet in version.packets() {
                let hidden = version.hidden(&packet);
                travels(
                    version,
                    kind,
                    [0, 0, 5, 0xdc],
                    &packet.ip_packet(),
                    &hidden.ip_packet(),
                );
            }
        }
    }
}

#[test]
fn spec_1_7_5_a_quote_may_end_anywhere_behind_its_ip_header() {
    for version in &VERSIONS {
        for packet in version.packets() {
            let checksum_at = match packet.protocol {
                6 => Some(16),
                17 | 33 | 136 => Some(6),
                58 => Some(2),
                _ => None,
            };
            let (whole, hidden) = (packet.ip_packet(), version.hidden(&packet).ip_packet());
            for end in version.header..whole.len() {
                let mut hidden = hidden[..end].to_vec();
                // Half a checksum cannot be adjusted.
                if checksum_at.is_some_and(|at| end == version.header + at + 1) {
                    hidden[end - 1] = whole[end - 1];
                }
                travels(version, version.kinds[0], [0; 4], &whole[..end], &hidden);
            }
        }
    }
}

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

fn green_b_to_a(network: &Network, packet: Packet) -> Packet {
    packet.between(
        network.machine("green b").mac,
        network.machine("green a").mac,
    )
}

#[test]
fn spec_1_7_5_an_absent_checksum_in_a_quote_stays_absent() {
    for version in &VERSIONS {
        for protocol in [17, 136] {
            let packet = Packet::udp(version.a[0], version.b[0], b"hello").with(|packet| {
                packet.protocol = protocol;
                packet.transport[6..8].fill(0);
            });
            let hidden = version
                .hidden(&packet)
                .with(|packet| packet.transport[6..8].fill(0));
            let (quote, hidden) = (packet.ip_packet(), hidden.ip_packet());
            travels(version, version.kinds[0], [0; 4], &quote, &hidden);
        }
    }
}

#[test]
fn spec_1_7_5_wrong_checksums_in_and_around_a_quote_stay_wrong() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(2));
    let mut receiver = Nve::new(&network.changes(1));
    for version in &VERSIONS {
        let quoted = Packet::tcp(version.a[0], version.b[0], b"hello, hnv");
        let packet = error(
            version.b[0],
            version.a[0],
            version.kinds[0],
            [0; 4],
            &quoted.ip_packet(),
        );
        let frame = green_b_to_a(&network, packet).frame();
        let right = sender.transmits(3, GREEN_1, &frame);
        let message = 14 + version.header;
        let quote = message + 8;
        let mut places = vec![message + 3, quote + version.header + 17];
        if version.header == 20 {
            places.push(quote + 11);
        }
        for at in places {
            let mut wrong = frame.clone();
            wrong[at] = wrong[at].wrapping_add(1);
            let wire = sender.transmits(3, GREEN_1, &wrong);
            // It is wrong by as much as it was.
            let mut expected = right.clone();
            expected[at] = expected[at].wrapping_add(1);
            assert_eq!(wire, expected);
            assert_eq!(receiver.delivers(4, GREEN_1, &wire), wrong);
        }
    }
}

#[test]
fn spec_1_7_5_a_quoted_fragment_has_a_checksum_if_it_is_the_first() {
    for version in &VERSIONS {
        let whole = Packet::udp(version.a[0], version.b[0], &[7; 64]);
        for (source, fragment, range) in [
            (&whole, 0x2000, 0..32),
            (&whole, 4, 32..72),
            (&whole, 0x2004, 32..64),
            (&whole, 1, 8..72),
            (&whole, 0, 0..72),
        ] {
            let cut = |packet: &Packet| {
                packet.clone().with(|packet| {
                    packet.fragment = fragment;
                    packet.transport = packet.transport[range.clone()].to_vec();
                })
            };
            let quote = cut(source).ip_packet();
            let hidden = cut(&version.hidden(source)).ip_packet();
            travels(version, version.kinds[0], [0; 4], &quote, &hidden);
        }
    }
}

#[test]
fn spec_1_7_5_options_and_extension_headers_of_a_quote_are_passed_over() {
    for length in [4, 20, 40] {
        let packet = Packet::tcp(V4.a[0], V4.b[0], b"hello")
            .with(|packet| packet.ipv4_options = vec![1; length]);
        let hidden = V4.hidden(&packet).ip_packet();
        travels(&V4, 3, [0; 4], &packet.ip_packet(), &hidden);
    }
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    for extensions in [
        vec![(0, padding.clone())],
        vec![(0, padding.clone()), (60, padding.clone())],
        vec![(43, vec![0, 0, 4, 0, 0, 0, 0, 0])],
    ] {
        let packet =
            Packet::tcp(V6.a[0], V6.b[0], b"hello").with(|packet| packet.extensions = extensions);
        let hidden = V6.hidden(&packet).ip_packet();
        travels(&V6, 1, [0; 4], &packet.ip_packet(), &hidden);
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
fn spec_1_7_5_extensions_behind_a_quote_stay_as_they_are() {
    let structure = hex("2000 0000 0010 0101 00000000 c0a80469 c0a804cf 0a000005");
    for (version, kinds, rest) in [
        (&V4, vec![3, 11, 12], [0, 32, 0, 0]),
        (&V6, vec![1, 3], [16, 0, 0, 0]),
    ] {
        for packet in version.packets() {
            let extended = |packet: Packet| {
                let mut quote = packet.ip_packet();
                quote.resize(128, 0);
                [&quote[..], &structure].concat()
            };
            let hidden = extended(version.hidden(&packet));
            let quote = extended(packet);
            for kind in &kinds {
                travels(version, *kind, rest, &quote, &hidden);
            }
        }
    }
    // The checksum would lie behind the end that the error states for its quote.
    let padding = [&[0, 10, 1, 84][..], &[0; 84]].concat();
    let packet =
        Packet::udp(V6.a[0], V6.b[0], b"x").with(|packet| packet.extensions = vec![(60, padding)]);
    let (whole, hidden) = (packet.ip_packet(), V6.hidden(&packet).ip_packet());
    let behind = whole[128..].to_vec();
    let hidden = [&hidden[..128], &behind].concat();
    travels(&V6, 1, [16, 0, 0, 0], &whole, &hidden);
    // Without that length it is the checksum, and so it is if the length is too short to be one, or not one at all.
    for (kind, rest) in [
        (1, [0; 4]),
        (1, [15, 0, 0, 0]),
        (2, [16, 0, 0, 0]),
        (4, [16, 0, 0, 0]),
    ] {
        let hidden = V6.hidden(&packet).ip_packet();
        travels(&V6, kind, rest, &whole, &hidden);
    }
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
fn spec_1_7_5_an_error_may_cross_subnets_and_quote_who_is_in_another() {
    let network = Network::standard();
    let (a, c) = (network.machine("green a"), network.machine("green c"));
    let mut sender = Nve::new(&network.changes(2));
    let mut receiver = Nve::new(&network.changes(1));
    for (number, version) in VERSIONS.iter().enumerate() {
        let (c_customer, c_provider) = (c.addresses[number], c.rewrite[number]);
        let quoted = Packet::tcp(version.a[0], c_customer, b"hello, hnv");
        let hidden = readdressed(&quoted, version.a[1], c_provider).ip_packet();
        let kind = version.kinds[0];
        // From green c itself, through the router.
        let packet = error(c_customer, version.a[0], kind, [0; 4], &quoted.ip_packet());
        let wire = sender.transmits(4, GREEN_2, &packet.clone().between(c.mac, ROUTER).frame());
        let expected = error(c_provider, version.a[1], kind, [0; 4], &hidden)
            .between(host_mac(2), host_mac(1))
            .with(|packet| packet.hop_limit -= 1);
        assert_eq!(wire, expected.frame());
        let arrived = packet
            .between(ROUTER, a.mac)
            .with(|packet| packet.hop_limit -= 1);
        assert_eq!(receiver.delivers(4, GREEN_1, &wire), arrived.frame());
        // From green b, that was asked to pass it on.
        travels(version, kind, [0; 4], &quoted.ip_packet(), &hidden);
    }
}

/// Green a may send to red a, which is on its own host, but not the other way round.
fn peered() -> Network {
    Network::standard().with(|network| {
        network.subnets[3].2 = vec!["10.9.0.0/24", "2001:db8:9::/64"];
        network.machine_mut("red a").addresses = vec!["10.9.0.5"];
        network.machine_mut("red a").rewrite = vec!["192.168.4.108"];
        network.machine_mut("red b").addresses = vec!["10.9.0.7"];
        network.machine_mut("red b").rewrite = vec!["192.168.4.109"];
        network.peerings = vec![Peering {
            from: RED,
            to: GREEN,
        }];
    })
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
fn spec_1_7_5_only_a_first_fragment_of_an_error_has_a_quote() {
    let network = Network::standard();
    let mut sender = Nve::new(&network.changes(2));
    let mut receiver = Nve::new(&network.changes(1));
    for version in &VERSIONS {
        let quoted = Packet::tcp(version.a[0], version.b[0], &[0x5a; 64]);
        let hidden = version.hidden(&quoted);
        let kind = version.kinds[0];
        let whole = error(
            version.b[0],
            version.a[0],
            kind,
            [0; 4],
            &quoted.ip_packet(),
        );
        let wire = error(
            version.b[1],
            version.a[1],
            kind,
            [0; 4],
            &hidden.ip_packet(),
        );
        for (fragment, range) in [(0x2000, 0..80), (10, 80..whole.transport.len())] {
            let cut = |packet: &Packet| {
                packet.clone().with(|packet| {
                    packet.fragment = fragment;
                    packet.transport = packet.transport[range.clone()].to_vec();
                })
            };
            let part = green_b_to_a(&network, cut(&whole));
            let out = sender.transmits(3, GREEN_1, &part.frame());
            assert_eq!(out, cut(&wire).between(host_mac(2), host_mac(1)).frame());
            assert_eq!(receiver.delivers(4, GREEN_1, &out), part.frame());
        }
        // A later fragment could otherwise bring the addresses.
        let first = whole.with(|packet| {
            packet.fragment = 0x2000;
            packet.transport.truncate(16);
        });
        let frame = green_b_to_a(&network, first).frame();
        sender.refuses(3, GREEN_1, &frame, DropReason::IcmpInnerUnknown);
    }
}

#[test]
fn spec_1_7_8_routers_of_the_provider_network_tell_machines_in_their_own_words() {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let mut host = Nve::new(&network.changes(1));
    for version in &VERSIONS {
        for packet in version.packets() {
            let packet = packet.between(a.mac, b.mac);
            let sent = host.transmits(4, GREEN_1, &packet.frame());
            for kind in version.kinds {
                for length in [version.header + 8, packet.ip_packet().len()] {
                    let rest = [0, 0, 5, 0x78];
                    let quote = &sent[14..14 + length];
                    let told = error(version.router, version.a[1], kind, rest, quote)
                        .with(|packet| packet.hop_limit = 1)
                        .between(host_mac(2), host_mac(1));
                    let quote = &packet.ip_packet()[..length];
                    let expected = error(version.gateway, version.a[0], kind, rest, quote)
                        .with(|packet| packet.hop_limit = 1)
                        .between(ROUTER, a.mac);
                    assert_eq!(host.delivers(4, GREEN_1, &told.frame()), expected.frame());
                }
            }
        }
    }
}

#[test]
fn spec_1_7_8_of_packets_to_other_subnets_too() {
    let network = Network::standard();
    let (a, c) = (network.machine("green a"), network.machine("green c"));
    let mut host = Nve::new(&network.changes(1));
    for (number, version) in VERSIONS.iter().enumerate() {
        let packet = network.datagram("green a", "green c", number);
        let sent = host.transmits(4, GREEN_1, &packet.frame());
        let kind = version.kinds[1];
        let told = error(version.router, version.a[1], kind, [0; 4], &sent[14..])
            .between(host_mac(2), host_mac(1));
        let quoted = packet.with(|packet| packet.hop_limit -= 1);
        assert_eq!(quoted.destination, ip(c.addresses[number]));
        let expected = error(
            version.gateway,
            version.a[0],
            kind,
            [0; 4],
            &quoted.ip_packet(),
        );
        assert_eq!(
            host.delivers(4, GREEN_1, &told.frame()),
            expected.between(ROUTER, a.mac).frame()
        );
    }
}

#[test]
fn spec_1_7_8_routers_are_believed_only_about_what_the_machine_may_have_sent() {
    let network = peered();
    for (version, other, red, own) in [
        (&V4, "192.168.4.206", "192.168.4.109", "192.168.4.11"),
        (&V6, "fd00:4::206", "fd00:4::109", "fd00:4::11"),
    ] {
        let packet = Packet::udp(version.a[0], version.b[0], b"hello");
        for (source, destination) in [
            // Of another machine.
            (version.b[1], version.a[1]),
            (other, version.b[1]),
            // Nobody's, a stranger's, one of another tenant to which no route leads.
            (version.a[1], version.router),
            (version.a[1], own),
            (version.a[1], red),
            (version.a[0], version.b[0]),
        ] {
            let hidden = readdressed(&packet, source, destination).ip_packet();
            for kind in version.kinds {
                arrives_in_vain(
                    &network,
                    version.router,
                    version,
                    kind,
                    &hidden,
                    DropReason::IcmpInnerUnknown,
                );
            }
        }
        let hidden = version.hidden(&packet).ip_packet();
        for (source, reason) in [
            (own, DropReason::OuterSrcBad),
            (
                if version.header == 20 {
                    "224.0.0.1"
                } else {
                    "ff02::1"
                },
                DropReason::SrcPaUnknown,
            ),
        ] {
            arrives_in_vain(&network, source, version, version.kinds[0], &hidden, reason);
        }
        // A router has nothing else to say to a machine.
        let echo = Packet::echo(version.router, version.a[1], b"x");
        let frame = echo.between(host_mac(2), host_mac(1)).frame();
        Nve::new(&network.changes(1)).refuses_uplink(
            Some(GREEN_1),
            &frame,
            DropReason::SrcPaUnknown,
        );
    }
}

#[test]
fn spec_1_7_8_a_domain_that_may_send_to_another_hears_of_its_packets() {
    let network = peered();
    let mut host = Nve::new(&network.changes(2));
    let packet = network.datagram("red b", "green a", 0);
    let sent = host.transmits(2, RED_1, &packet.frame());
    let told = error(V4.router, "192.168.4.109", 3, [0, 0, 5, 0x78], &sent[14..])
        .between(host_mac(1), host_mac(2));
    let quoted = packet.with(|packet| packet.hop_limit -= 1);
    let expected = error(
        "10.9.0.1",
        "10.9.0.7",
        3,
        [0, 0, 5, 0x78],
        &quoted.ip_packet(),
    );
    assert_eq!(
        host.delivers(2, RED_1, &told.frame()),
        expected
            .between(ROUTER, network.machine("red b").mac)
            .frame()
    );
}

#[test]
fn a_partial_checksum_of_an_error_is_completed_over_what_the_quote_then_is() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    for version in &VERSIONS {
        let quoted = Packet::tcp(version.a[0], version.b[0], b"hello, hnv");
        let whole = |from: &str, to: &str, quoted: &Packet| {
            error(from, to, version.kinds[0], [0; 4], &quoted.ip_packet())
        };
        let packet = green_b_to_a(&network, whole(version.b[0], version.a[0], &quoted));
        let start = 14 + version.header;
        let partial = PartialChecksum {
            start: start as u16,
            offset: 2,
        };
        // What the sender leaves to be done: the pseudo header's sum, which ICMP of IPv4 does not have.
        let mut frame = packet.frame();
        let pseudo_header = match version.header {
            20 => 0,
            _ => {
                let octets = [packet.source, packet.destination].map(|address| match address {
                    std::net::IpAddr::V6(v6) => v6.octets(),
                    std::net::IpAddr::V4(_) => unreachable!(),
                });
                let length = (packet.transport.len() as u32).to_be_bytes();
                let header = [&octets[0][..], &octets[1], &length, &[0, 0, 0, 58]].concat();
                !checksum(&header)
            }
        };
        frame[start + 2..start + 4].copy_from_slice(&pseudo_header.to_be_bytes());
        let given = Frame {
            offload: Offload {
                checksum: Some(partial),
                ..Offload::NONE
            },
            ..Frame::whole(Ingress::Port(PortId(3)), &frame)
        };
        let Fate::Transmitted(_, mut wire) = host.process(&given) else {
            panic!("not transmitted");
        };
        host.offload
            .checksum
            .unwrap()
            .complete(&mut wire, &[])
            .unwrap();
        let expected = whole(version.b[1], version.a[1], &version.hidden(&quoted));
        assert_eq!(wire, expected.between(host_mac(2), host_mac(1)).frame());
    }
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

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
pub(super) const V4: Version = Version {
    a: ["10.0.0.5", "192.168.4.105"],
    b: ["10.0.0.7", "192.168.4.207"],
    gateway: "10.0.0.1",
    router: "192.168.99.1",
    kinds: [3, 4, 11, 12],
    header: 20,
};
pub(super) const V6: Version = Version {
    a: ["2001:db8:1::5", "fd00:4::105"],
    b: ["2001:db8:1::7", "fd00:4::207"],
    gateway: "2001:db8:1::1",
    router: "fd00:99::1",
    kinds: [1, 2, 3, 4],
    header: 40,
};
pub(super) const VERSIONS: [Version; 2] = [V4, V6];

#[derive(Clone, Copy)]
pub(super) struct Version {
    pub a: [&'static str; 2],
    pub b: [&'static str; 2],
    pub gateway: &'static str,
    pub router: &'static str,
    pub kinds: [u8; 4],
    pub header: usize,
}

impl Version {
    /// What green a may have sent to green b.
    pub fn packets(&self) -> Vec<Packet> {
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

    pub fn hidden(&self, packet: &Packet) -> Packet {
        readdressed(packet, self.a[1], self.b[1])
    }
}

/// An ICMP error about a packet of which this is quoted.
pub(super) fn error(
    source: &str,
    destination: &str,
    kind: u8,
    rest: [u8; 4],
    quote: &[u8],
) -> Packet {
    let protocol = if ip(source).is_ipv4() { 1 } else { 58 };
    let message = [&[kind, 1, 0, 0], &rest[..], quote].concat();
    let packet = Packet::raw(source, destination, protocol, &message);
    readdressed(&packet, source, destination)
}

/// Green b tells green a; `quote` becomes `hidden` on the wire, and is again what it was when it arrives.
#[track_caller]
pub(super) fn travels(version: &Version, kind: u8, rest: [u8; 4], quote: &[u8], hidden: &[u8]) {
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
pub(super) fn refused(
    version: &Version,
    kind: u8,
    quote: &[u8],
    hidden: &[u8],
    reason: DropReason,
) {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let packet = error(version.b[0], version.a[0], kind, [0; 4], quote).between(b.mac, a.mac);
    Nve::new(&network.changes(2)).refuses(3, GREEN_1, &packet.frame(), reason);
    arrives_in_vain(&network, version.b[1], version, kind, hidden, reason);
}

/// What comes to green a's host from a provider address is refused.
#[track_caller]
pub(super) fn arrives_in_vain(
    network: &Network,
    source: &str,
    version: &Version,
    kind: u8,
    hidden: &[u8],
    reason: DropReason,
) {
    // An MTU that is believed.
    let packet = error(source, version.a[1], kind, [0, 0, 5, 0x78], hidden);
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

pub(super) fn green_b_to_a(network: &Network, packet: Packet) -> Packet {
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
pub(super) fn peered() -> Network {
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

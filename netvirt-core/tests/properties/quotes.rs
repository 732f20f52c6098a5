//! ICMP errors under IP rewrite: whatever they quote comes back as it was.

use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::edit::DETACHED_ROOM;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::frames::*;
use crate::roundtrips::equal_but_for_zero;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Of each version of IP: customer and provider addresses of green a and green b, and the types of errors.
const A: [[&str; 2]; 2] = [
    ["10.0.0.5", "192.168.4.105"],
    ["2001:db8:1::5", "fd00:4::105"],
];
const B: [[&str; 2]; 2] = [
    ["10.0.0.7", "192.168.4.207"],
    ["2001:db8:1::7", "fd00:4::207"],
];
const KINDS: [[u8; 4]; 2] = [[3, 4, 11, 12], [1, 2, 3, 4]];

/// An error of green b about a packet of green a.
#[derive(Debug, Clone)]
struct Told {
    version: usize,
    kind: u8,
    rest: [u8; 4],
    quoted: Packet,
    /// How much of the packet is quoted.
    length: usize,
    behind: Vec<u8>,
}

fn errors() -> impl Strategy<Value = Told> {
    let rest = prop_oneof![2 => Just([0; 4]), 1 => any::<[u8; 4]>()];
    (0usize..2).prop_flat_map(move |version| {
        (
            select(KINDS[version].to_vec()),
            rest.clone(),
            packets_between(A[version][0].into(), B[version][0].into()),
            any::<Index>(),
            prop_oneof![2 => Just(vec![]), 1 => vec(any::<u8>(), 1..60)],
        )
            .prop_map(move |(kind, rest, quoted, cut, behind)| Told {
                version,
                kind,
                rest,
                length: cut.index(quoted.ip_packet().len() + 1),
                quoted,
                behind,
            })
    })
}

impl Told {
    /// The quote with what is behind it, cut short, of the packet between customer (0) or provider addresses (1).
    fn quote(&self, world: usize, packet: &Packet) -> Vec<u8> {
        let packet = packet.clone().with(|packet| {
            packet.source = ip(A[self.version][world]);
            packet.destination = ip(B[self.version][world]);
        });
        let mut quote = packet.ip_packet();
        if self.length < quote.len() {
            quote.truncate(self.length);
        } else {
            quote.extend(&self.behind);
        }
        quote
    }

    fn message(&self, quote: &[u8]) -> Packet {
        let message = [&[self.kind, 0, 0, 0], &self.rest[..], quote].concat();
        let protocol = [1, 58][self.version];
        Packet::raw(B[self.version][0], A[self.version][0], protocol, &message)
    }

    /// The packet with a right transport checksum between customer or provider addresses. A later fragment has none.
    fn filled(&self, world: usize) -> Packet {
        let is_later = self.quoted.fragment & 0x1fff != 0;
        self.quoted.clone().with(|packet| {
            if !is_later {
                fill_transport(
                    ip(A[self.version][world]),
                    ip(B[self.version][world]),
                    packet.protocol,
                    &mut packet.transport,
                );
            }
        })
    }
}

fn is_refusal_of_quotes(fate: &Fate) -> bool {
    matches!(
        fate,
        Fate::Dropped(
            DropReason::IcmpInnerUnknown
                | DropReason::SourceRoute
                | DropReason::RewriteUnsupported
                | DropReason::TinyFragment
        )
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn spec_1_7_5_what_is_quoted_comes_back_as_it_was(told in vec(errors(), 1..6), checksum: [u8; 2], is_right: bool) {
        let network = Network::standard();
        let mut fabric = Fabric::new(&network);
        for told in told {
            let packet = told.message(&told.quote(0, &told.quoted)).with(|packet| {
                packet.transport[2..4].copy_from_slice(&checksum);
                if is_right {
                    fill_transport(packet.source, packet.destination, packet.protocol, &mut packet.transport);
                }
            });
            let packet = packet.between(network.machine("green b").mac, network.machine("green a").mac);
            match fabric.send(2, 3, &packet.frame()) {
                Ok(arrival) => {
                    prop_assert_eq!((arrival.host, arrival.port), (1, PortId(4)));
                    prop_assert!(
                        equal_but_for_zero(&packet.frame(), &arrival.frame),
                        "{:?}\n{:?}", packet.frame(), arrival.frame
                    );
                }
                Err(fate) => prop_assert!(is_refusal_of_quotes(&fate), "{:?}", fate),
            }
        }
    }

    #[test]
    fn spec_1_7_5_quotes_are_on_the_wire_as_if_computed_anew(told in errors()) {
        let network = Network::standard();
        let mut host = Nve::new(&network.changes(2));
        let told = Told { rest: [0; 4], ..told };
        let (quote, hidden) = (told.quote(0, &told.filled(0)), told.quote(1, &told.filled(1)));
        let mut packet = told.message(&quote);
        fill_transport(packet.source, packet.destination, packet.protocol, &mut packet.transport);
        let packet = packet.between(network.machine("green b").mac, network.machine("green a").mac);
        match host.take_from_port(3, &packet.frame()) {
            Fate::Transmitted(_, wire) => {
                let mut hidden = hidden;
                // Half a checksum is not adjusted.
                if let Some(half) = told.half_a_checksum() {
                    hidden[half] = quote[half];
                }
                let expected = told.message(&hidden).with(|packet| {
                    packet.source = ip(B[told.version][1]);
                    packet.destination = ip(A[told.version][1]);
                    fill_transport(packet.source, packet.destination, packet.protocol, &mut packet.transport);
                });
                let expected = expected.between(host_mac(2), host_mac(1)).frame();
                prop_assert!(
                    equal_but_for_zero(&expected, &wire) || equal_but_for_zero(&wire, &expected),
                    "{:?}\n{:?}", expected, wire
                );
            }
            fate => prop_assert!(is_refusal_of_quotes(&fate), "{:?}", fate),
        }
    }

    #[test]
    fn spec_1_7_5_no_bytes_behind_an_icmp_header_do_harm(
        version in 0usize..2,
        kind: u8,
        bytes in vec(any::<u8>(), 0..200),
        first in select(vec![0x45u8, 0x4f, 0x46, 0x60, 0x6f]),
        protocol in select(vec![0u8, 1, 6, 17, 43, 44, 58, 60, 136]),
        from_router: bool,
        cut in 14usize..250,
    ) {
        let network = Network::standard();
        let mut bytes = bytes;
        for (at, value) in [(4, first), (13, protocol), (10, protocol)] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        // Of many the addresses are known.
        let octets = |text: &str| match ip(text) {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let addresses = [octets(A[version][1]), octets(B[version][1])].concat();
        let start = 4 + [12, 8][version];
        if let Some(place) = bytes.get_mut(start..start + addresses.len()) {
            place.copy_from_slice(&addresses);
        }
        let message = [&[kind, 0, 0, 0], &bytes[..]].concat();
        let source = if from_router { ["203.0.113.1", "2001:db8:99::1"][version] } else { B[version][1] };
        let packet = Packet::raw(source, A[version][1], [1, 58][version], &message);
        let frame = packet.between(host_mac(2), host_mac(1)).frame();
        let window = &frame[..cut.min(frame.len())];
        let mut host = Nve::new(&network.changes(1));
        let given = Frame { window, ..Frame::whole(Ingress::Uplink(UplinkId(0)), &frame) };
        let verdict = host.worker.process(host.policies.live(), &given, Duration::ZERO);
        if let Some(edit) = verdict.edit() {
            prop_assert!(edit.detach(window, &mut [0; DETACHED_ROOM]).is_ok());
            edited(edit, &frame);
        }
    }
}

impl Told {
    /// Where the quote ends, if it ends with the first byte of a transport checksum.
    fn half_a_checksum(&self) -> Option<usize> {
        let transport = self.quoted.ip_packet().len() - self.quoted.transport.len();
        let at = match self.quoted.protocol {
            6 => 16,
            17 | 33 | 136 => 6,
            58 if self.version == 1 => 2,
            _ => return None,
        };
        (self.length == transport + at + 1).then_some(transport + at)
    }
}

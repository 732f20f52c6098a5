//! What one host does to a frame the other undoes.

use std::time::Duration;

use netvirt_core::address::{AddressBits, Family};
use netvirt_core::checksum::Delta;
use netvirt_core::datapath::*;
use netvirt_core::edit::Ethernet;
use netvirt_core::edit::*;
use netvirt_core::offload::Offload;
use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::frames::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

const A: [&str; 2] = ["10.0.0.5", "2001:db8:1::5"];
const B: [&str; 2] = ["10.0.0.7", "2001:db8:1::7"];

fn packets() -> impl Strategy<Value = Packet> {
    (0usize..2).prop_flat_map(|version| packets_between(A[version].into(), B[version].into()))
}

fn networks() -> impl Strategy<Value = Network> {
    let flow_ids = prop_oneof![
        any::<u8>().prop_map(FlowIdPolicy::Fixed),
        any::<u64>().prop_map(|seed| FlowIdPolicy::PerFlow { seed }),
    ];
    let dscp = prop_oneof![
        Just(DscpPolicy::Uniform),
        (0u8..64).prop_map(DscpPolicy::Pipe)
    ];
    let outer = select(vec![Outer::V4, Outer::V6]);
    let reception = select(vec![Reception::Strict, Reception::Tolerant]);
    let vlan = prop::option::of(1u16..4095);
    (flow_ids, dscp, outer, reception, vlan, 1u8..).prop_map(
        |(flow_id, dscp, outer, reception, vlan, outer_ttl)| {
            Network::standard().with(|network| {
                network.outer = outer;
                network.vlan = vlan;
                let settings = &mut network.settings;
                (settings.flow_id, settings.dscp, settings.outer_ttl) = (flow_id, dscp, outer_ttl);
                settings.reception = reception;
            })
        },
    )
}

/// Whether two frames differ at most in the two forms of zero that a checksum can have.
pub fn equal_but_for_zero(sent: &[u8], received: &[u8]) -> bool {
    let mut differences =
        (0..sent.len().max(received.len())).filter(|at| sent.get(*at) != received.get(*at));
    while let Some(first) = differences.next() {
        let is_zero = differences.next() == Some(first + 1)
            && sent[first..=first + 1] == [0xff, 0xff]
            && received[first..=first + 1] == [0, 0];
        if !is_zero {
            return false;
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_encapsulated_is_decapsulated_as_it_was(
        network in networks(),
        packets in vec(packets(), 1..12),
    ) {
        let mut fabric = Fabric::new(&network);
        let (a, b) = (network.machine("blue a").mac, network.machine("blue b").mac);
        for packet in packets {
            let packet = packet.between(a, b);
            let expected = packet.clone().with(|packet| packet.padding = 0).frame();
            match fabric.send(1, 0, &packet.frame()) {
                Ok(arrival) => {
                    prop_assert_eq!((arrival.host, arrival.port), (2, PortId(0)));
                    prop_assert_eq!(arrival.wire.len(), 1);
                    prop_assert_eq!(arrival.frame, expected);
                }
                // ICMP of random bytes may be a redirect or neighbour discovery, or may not show that it is none.
                Err(fate) => {
                    let is_guarded = match (packet.protocol, packet.transport.first()) {
                        (1, Some(kind)) => *kind == 5,
                        (58, Some(kind)) => (133..=137).contains(kind),
                        (58, None) => fate == Fate::Dropped(DropReason::TinyFragment),
                        _ => false,
                    };
                    prop_assert!(is_guarded, "{:?}", fate);
                }
            }
        }
    }

    #[test]
    fn what_is_rewritten_is_restored_as_it_was(packets in vec(packets(), 1..12)) {
        let network = Network::standard();
        let mut fabric = Fabric::new(&network);
        let (a, b) = (network.machine("green a").mac, network.machine("green b").mac);
        for packet in packets {
            let packet = packet.between(a, b);
            let expected = packet.clone().with(|packet| packet.padding = 0).frame();
            match fabric.send(1, 4, &packet.frame()) {
                Ok(arrival) => {
                    prop_assert_eq!((arrival.host, arrival.port), (2, PortId(3)));
                    match packet.protocol {
                        6 | 33 | 58 => prop_assert!(
                            equal_but_for_zero(&expected, &arrival.frame),
                            "{:?}\n{:?}", expected, arrival.frame
                        ),
                        _ => prop_assert_eq!(arrival.frame, expected),
                    }
                }
                Err(Fate::Dropped(reason)) => prop_assert!(
                    matches!(
                        reason,
                        DropReason::SourceRoute
                            | DropReason::TinyFragment
                            | DropReason::RewriteUnsupported
                            | DropReason::RouterGuard
                            | DropReason::IcmpInnerUnknown
                            | DropReason::Malformed
                            | DropReason::Truncated
                            | DropReason::Multicast
                    ),
                    "{}", reason
                ),
                Err(fate) => prop_assert!(false, "{:?}", fate),
            }
        }
    }

    #[test]
    fn any_edit_is_the_same_in_its_three_forms(
        frame in vec(any::<u8>(), 240..300),
        pull in 0u16..60,
        cut in 0usize..20,
        family in select(vec![Family::Ipv4, Family::Ipv6]),
        decrement_hop_limit: bool,
        ecn in prop::option::of(0u8..4),
        push in prop::option::of((any::<[u8; 12]>(), any::<u16>())),
        addresses: [u64; 4],
        rewrite in prop::option::of((any::<u16>(), 40u16..60, 0u8..5)),
        quote in prop::option::of((0u16..40, any::<u16>(), any::<bool>())),
        size in prop::option::of((40u16..60, any::<u16>(), prop::option::of(40u16..60))),
    ) {
        let network = if push.is_some() { pull } else { pull + 14 };
        let macs = push.map(|(macs, ethertype)| {
            let (destination, source) = macs.split_at(6);
            let mac = |octets: &[u8]| MacAddress(octets.try_into().unwrap());
            (mac(destination), mac(source), ethertype)
        });
        let push = macs.as_ref().map_or(Push::Nothing, |(destination, source, ethertype)| {
            Push::Ethernet(Ethernet { destination, source, ethertype: *ethertype })
        });
        let [a, b, c, d] = addresses;
        let (source, destination) = (AddressBits { high: a, low: b }, AddressBits { high: c, low: d });
        let rewrite = rewrite.map(|(delta, offset, kind)| Rewrite {
            source: &source,
            destination: &destination,
            delta: Delta::of_words(0, delta),
            transport: match kind {
                0 => TransportChecksum::None,
                1 => TransportChecksum::Complete(network + offset),
                2 => TransportChecksum::Udp(network + offset),
                3 => TransportChecksum::Partial(network + offset),
                _ => TransportChecksum::Icmp(network + offset),
            },
            quote: quote.map(|(behind, delta, is_reached)| Quote {
                source: &destination,
                destination: &source,
                network: network + 64 + behind,
                delta: Delta::of_words(0, delta),
                transport: match is_reached {
                    true => TransportChecksum::Complete(network + 64 + behind + 56),
                    false => TransportChecksum::None,
                },
                cut: 0,
                cut_delta: Delta::NONE,
            }),
        });
        let edit = Edit {
            pull,
            push,
            end: (frame.len() - cut) as u32,
            family,
            decrement_hop_limit,
            ecn,
            rewrite,
            segment_size: size.map(|(offset, value, checksum)| SegmentSize {
                offset: network + offset,
                value,
                checksum: checksum.map_or(TransportChecksum::None, |offset| {
                    TransportChecksum::Complete(network + offset)
                }),
            }),
            fragmentation: None,
            offload: Offload::NONE,
        };
        // Frames of at least 240 bytes hold whatever such an edit touches, but for the last few offsets.
        prop_assume!(u32::from(network) + 164 <= edit.end);
        prop_assert_eq!(edited(&edit, &frame).len(), edit.length());
    }

    #[test]
    fn no_edit_panics_on_a_frame_that_is_not_its_own(
        network in networks(),
        packet in packets(),
        other in vec(any::<u8>(), 0..90),
        headroom in 0usize..100,
        port in select(vec![(0u32, "blue a"), (4, "green a")]),
    ) {
        let host = Nve::new(&network.changes(1));
        let frame = packet.between(network.machine(port.1).mac, ROUTER).frame();
        let mut worker = worker();
        let given = Frame::whole(Ingress::Port(PortId(port.0)), &frame);
        let verdict = worker.process(host.policies.live(), &given, Duration::ZERO);
        if let Some(edit) = verdict.edit() {
            let mut buffer = vec![0; headroom];
            buffer.extend(&other);
            let _ = edit.apply_in_place(&mut buffer, headroom..headroom + other.len());
            let _ = edit.apply_in_place(&mut buffer, headroom..headroom + other.len() + 50);
            let _ = edit.apply_in_place(&mut buffer, usize::MAX - 3..usize::MAX);
            let _ = edit.apply_into(&other, &mut buffer);
            let mut front = [0; DETACHED_ROOM];
            if let Ok(detached) = edit.detach(&other, &mut front)
                && let Some(mut fragments) = edit.fragments(&front, &detached)
            {
                while fragments.next_into(&mut [0; DETACHED_ROOM]).is_some() {}
            }
        }
        if let Outcome::Reply(reply) = verdict.outcome {
            let _ = reply.emit(&other, &mut vec![0; headroom]);
        }
    }
}

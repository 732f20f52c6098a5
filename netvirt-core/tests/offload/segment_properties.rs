//! What holds for all super-frames and all bytes.

use netvirt_core::checksum::{copy_and_sum, sum, sum_and_fetch};
use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::table::Portable;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::super_frames::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Plain super-frames of TCP and UDP over both versions.
pub fn plain() -> impl Strategy<Value = Super> {
    let shape = (0usize..2, any::<bool>(), 48u16..2000, 0usize..9000);
    let numbers = (
        any::<u16>(),
        any::<u32>(),
        any::<u32>(),
        any::<u16>(),
        any::<[u8; 2]>(),
    );
    let kind = (
        select(vec![
            ACK,
            ACK | PSH,
            ACK | FIN,
            ACK | CWR | ECE,
            ACK | FIN | PSH,
        ]),
        select(vec![0usize, 12, 20, 40]),
        any::<bool>(),
        any::<bool>(),
    );
    let filler = select(vec![None, Some(0x00), Some(0xff)]);
    (shape, numbers, kind, filler).prop_map(
        |(
            (version, is_tcp, size, length),
            (identification, sequence, acknowledgment, window, [class, hop_limit]),
            (flags, options, has_checksum, may_be_fragmented),
            filler,
        )| {
            let whole = match (is_tcp, has_checksum) {
                (true, _) => tcp(version, flags, &payload(options), length),
                (false, true) => udp(version, length),
                (false, false) => udp(version, length).without_checksum(),
            };
            whole.with(|it| {
                it.size = size;
                if is_tcp {
                    it.packet.transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                    it.packet.transport[8..12].copy_from_slice(&acknowledgment.to_be_bytes());
                    it.packet.transport[14..16].copy_from_slice(&window.to_be_bytes());
                }
                if let Some(byte) = filler {
                    it.payload.fill(byte);
                }
                it.packet.identification = identification;
                it.packet.traffic_class = class;
                it.packet.hop_limit = hop_limit;
                it.flow_label = sequence & 0xf_ffff;
                if version == 0 && may_be_fragmented {
                    it.packet.fragment = 0;
                }
            })
        },
    )
}

fn anywhere() -> impl Strategy<Value = Super> {
    let tunnels = select(vec![None, Some(0), Some(1)]);
    (plain(), tunnels, any::<u16>()).prop_map(|(whole, version, identification)| {
        whole.with(|it| {
            it.tunnel = version.map(tunnel);
            it.outer_identification = identification;
        })
    })
}

/// What the datapath of host 1 sends for a frame of "blue a", and what is left to be done to it.
fn encapsulate(host: &mut Nve, frame: &[u8], offload: Offload) -> (Vec<u8>, Offload) {
    let fate = host.process(&Frame {
        offload,
        ..Frame::whole(Ingress::Port(PortId(0)), frame)
    });
    let Fate::Transmitted(_, wire) = fate else {
        panic!("{fate:?}");
    };
    (wire, host.offload)
}

/// The identification of the outer IPv4 header, which is then 0, its checksum set right for that.
fn take_outer_identification(frame: &mut [u8]) -> u16 {
    let header = &mut frame[14..34];
    let identification = u16::from_be_bytes([header[4], header[5]]);
    header[4..6].fill(0);
    header[10..12].fill(0);
    let sum = checksum(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    identification
}

/// Any bytes, or the same many times: the least and the greatest carry nothing and most.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = vec(any::<u8>(), 0..400);
    let alike =
        (select(vec![0, 1, 0xff]), 0usize..400).prop_map(|(byte, length)| vec![byte; length]);
    prop_oneof![any_bytes, alike]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn segments_are_those_of_the_reference(whole in anywhere()) {
        prop_assert_eq!(cut(&whole.frame(), &whole.offload()), Ok(whole.expected()));
    }

    /// The identification of the outer IPv4 header is the one field that tells which came first: the datapath sends
    /// 0 in all its packets, a super-frame's segments count from there.
    #[test]
    fn segmenting_and_encapsulating_commute(
        whole in plain(),
        outer in select(vec![Outer::V4, Outer::V6]),
    ) {
        let network = Network::standard().with(|network| {
            network.outer = outer;
            network.mtu = 9000;
        });
        let mut host = Nve::new(&network.changes(1));
        let (from, to) = (network.machine("blue a"), network.machine("blue b"));
        let version = usize::from(whole.packet.source.is_ipv6());
        let whole = whole.with(|it| {
            it.packet = it.packet.clone().between(from.mac, to.mac);
            it.packet.source = ip(from.addresses[version]);
            it.packet.destination = ip(to.addresses[version]);
            it.packet.hop_limit = it.packet.hop_limit.max(2);
        });
        let (tunnelled, offload) = encapsulate(&mut host, &whole.frame(), whole.offload());
        let mut last = cut(&tunnelled, &offload).unwrap();
        let first: Vec<Vec<u8>> = cut(&whole.frame(), &whole.offload())
            .unwrap()
            .iter()
            .map(|segment| encapsulate(&mut host, segment, Offload::NONE).0)
            .collect();
        if outer == Outer::V4 {
            for (number, segment) in last.iter_mut().enumerate() {
                prop_assert_eq!(usize::from(take_outer_identification(segment)), number);
            }
        }
        prop_assert_eq!(first, last);
    }

    #[test]
    fn whatever_the_bytes_each_segment_has_its_part_of_the_payload(
        whole in anywhere(),
        damage in vec((0usize..140, any::<u8>()), 1..4),
        start in 0u16..140,
        header_length in select(vec![0i32, 0, 0, -4, 4, 40]),
        size in select(vec![0u16, 1, 48, 1400, u16::MAX]),
    ) {
        let mut frame = whole.frame();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        let mut offload = whole.offload();
        let work = offload.segmentation.as_mut().unwrap();
        work.header_length = (i32::from(work.header_length) + header_length) as u16;
        if start < 70 {
            work.segment_size = size;
        }
        if let Ok(segments) = cut(&frame, &offload) {
            let headers = usize::from(offload.segmentation.unwrap().header_length);
            let payload: Vec<u8> = segments.iter().flat_map(|it| &it[headers..]).copied().collect();
            prop_assert_eq!(payload, &frame[headers..]);
        }
    }

    #[test]
    fn what_is_fetched_meanwhile_is_not_summed(
        bytes in payloads(),
        next in vec(any::<u8>(), 0..400),
    ) {
        prop_assert_eq!(sum_and_fetch::<Portable>(&bytes, &next), sum(&bytes));
    }

    #[test]
    fn copying_sums_what_it_copies(
        bytes in payloads(),
        next in vec(any::<u8>(), 0..400),
        room in 0usize..400,
    ) {
        let mut copy = vec![0xee; room];
        let copied = bytes.len().min(room);
        prop_assert_eq!(copy_and_sum::<Portable>(&bytes, &mut copy, &next), sum(&bytes[..copied]));
        prop_assert_eq!(&copy[..copied], &bytes[..copied]);
        prop_assert!(copy[copied..].iter().all(|byte| *byte == 0xee));
    }
}

//! What holds for whatever is received.

use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::offload::*;
use netvirt_core::{PortId, UplinkId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::mergers::*;
use crate::segment_properties::plain;
use crate::super_frames::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Super-frames of which all segments can be merged: those with CWR or ECE stay alone.
fn mergeable() -> impl Strategy<Value = Super> {
    plain().prop_map(|whole| {
        whole.with(|it| {
            if it.is_tcp() {
                it.packet.transport[13] &= !(CWR | ECE);
            }
        })
    })
}

/// Whether this many segments are within the limits.
fn is_within_limits(whole: &Super) -> bool {
    let segments = whole.expected().len();
    let has_checksum = whole.offload().checksum.is_some();
    (2..=MergeLimits::DEFAULT.most_segments as usize).contains(&segments) && has_checksum
}

/// Without the identification of IPv4 where DF takes its meaning, and the checksum over it.
fn without_identification(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[12..14] == [0x08, 0x00] && frame[20] & 0x40 != 0 {
        frame[18..20].fill(0);
        frame[24..26].fill(0);
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn merging_the_segments_of_a_frame_yields_it(whole in mergeable()) {
        prop_assume!(is_within_limits(&whole));
        let delivered = merged(&whole.expected());
        prop_assert_eq!(delivered.len(), 1);
        prop_assert_eq!(&delivered[0].frame, &whole.frame());
        prop_assert_eq!(delivered[0].offload, Offload { hash: None, ..whole.offload() });
    }

    /// A super-frame, through a tunnel in segments, arrives as the super-frame that it was.
    #[test]
    fn a_super_frame_comes_out_of_the_tunnel_as_it_went_in(
        whole in mergeable(),
        outer in select(vec![Outer::V4, Outer::V6]),
    ) {
        prop_assume!(is_within_limits(&whole));
        let network = Network::standard().with(|network| {
            network.outer = outer;
            network.mtu = 9000;
        });
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        let (from, to) = (network.machine("blue a"), network.machine("blue b"));
        let version = usize::from(whole.packet.source.is_ipv6());
        let whole = whole.with(|it| {
            it.packet = it.packet.clone().between(from.mac, to.mac);
            it.packet.source = ip(from.addresses[version]);
            it.packet.destination = ip(to.addresses[version]);
            it.packet.hop_limit = it.packet.hop_limit.max(2);
            it.packet.traffic_class &= !3;
        });
        let fate = sender.process(&Frame {
            offload: whole.offload(),
            ..Frame::whole(Ingress::Port(PortId(0)), &whole.frame())
        });
        let Fate::Transmitted(UplinkId(0), wire) = fate else {
            panic!("{fate:?}");
        };
        let arrived: Vec<Vec<u8>> = cut(&wire, &sender.offload)
            .unwrap()
            .iter()
            .map(|segment| receiver.delivers(0, BLUE_1, segment))
            .collect();
        let delivered = merged(&arrived);
        prop_assert_eq!(delivered.len(), 1);
        prop_assert_eq!(&delivered[0].frame, &whole.frame());
    }

    /// However the frames of two flows mix, are damaged, lost or doubled: what a receiver gets of each flow is, cut
    /// again, what was received, in its order.
    #[test]
    fn cutting_what_was_merged_yields_what_was_received(
        flows in (plain(), plain()),
        order in vec((any::<bool>(), 0usize..12, select(vec![0u8, 0, 0, 0, 0, 1, 3])), 1..60),
        damage in vec((0usize..60, 4usize..60, 0u8..8), 0..3),
        slots in 0usize..4,
    ) {
        let flows = [flows.0, flows.1.with(|it| {
            it.packet.transport[0] ^= 0x80;
        })];
        let segments = flows.each_ref().map(|flow| {
            flow.clone().with(|it| it.payload.truncate(12 * usize::from(it.size))).expected()
        });
        let mut next = [0usize; 2];
        let mut received = vec![];
        for (which, jump, kind) in order {
            let which = usize::from(which);
            let number = match kind {
                0 => next[which],
                1 => jump,
                _ => next[which].saturating_sub(1),
            } % segments[which].len();
            next[which] = number + 1;
            received.push((which, segments[which][number].clone()));
        }
        // Behind the ports: what belongs to another flow may overtake.
        for (frame, at, bit) in damage {
            let frames = received.len();
            let (which, frame) = &mut received[frame % frames];
            if let Some(byte) = frame.get_mut(flows[*which].transport_offset() + at) {
                *byte ^= 1 << bit;
            }
        }
        let mut receiver = Receiver::new(slots);
        for (lane, frame) in &received {
            receiver.take(&MergeFrame { lane: *lane as u32, ..whole(frame) });
        }
        let delivered = receiver.finish();
        let again: Vec<Vec<u8>> = delivered
            .iter()
            .flat_map(Delivered::cut_again)
            .map(without_identification)
            .collect();
        let received: Vec<(usize, Vec<u8>)> = received
            .into_iter()
            .map(|(which, frame)| (which, without_identification(frame)))
            .collect();
        prop_assert_eq!(again.len(), received.len());
        // Frames of different flows may overtake each other.
        let of_flow = |frames: &[Vec<u8>], which: usize| -> Vec<Vec<u8>> {
            let is_of = |frame: &&Vec<u8>| received.iter().any(|(lane, it)| *lane == which && it == *frame);
            frames.iter().filter(is_of).cloned().collect()
        };
        let in_order: Vec<Vec<u8>> = received.iter().map(|(_, frame)| frame.clone()).collect();
        for which in 0..2 {
            prop_assert_eq!(of_flow(&again, which), of_flow(&in_order, which));
        }
    }

    #[test]
    fn merging_takes_any_bytes(frames in vec(vec(any::<u8>(), 0..120), 0..8), cut_at in 0usize..120) {
        let mut receiver = Receiver::new(2);
        for frame in &frames {
            let (front, rest) = frame.split_at(cut_at.min(frame.len()));
            receiver.take(&MergeFrame { rest, ..whole(front) });
        }
        prop_assert_eq!(receiver.finish(), as_they_are(&frames));
    }
}

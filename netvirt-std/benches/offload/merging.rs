//! Received segments of 1400 bytes, merged back into super-frames.

use std::hint::black_box;

use netvirt_core::offload::{
    MERGED_ROOM, MergeFrame, MergeLimits, MergeSlot, Merger, Offer, Offload, SegmentLimits,
    SuperFrame,
};
use netvirt_std::cpu::HostCpu;

use crate::frames::{Carrier, HEADERS, PAYLOAD, SEGMENTS, check, payload};
use crate::sampler::{Sampler, time};

/// How many flows take turns.
pub const FLOWS: [usize; 2] = [1, 8];
/// Whether the checksums are verified here, or were by the NIC.
pub const CHECKS: [(&str, bool); 2] = [
    ("checksum verified", false),
    ("checksum verified by the NIC", true),
];

const SLOTS: usize = 8;

/// The name of a row.
pub fn row(flows: usize) -> String {
    format!("merging, flows that take turns: {flows}")
}

/// Measures merging.
pub fn run(sampler: &mut Sampler) {
    for flows in FLOWS {
        let name = row(flows);
        if !sampler.wants(&name) {
            continue;
        }
        let frames = received(flows);
        let mut group = sampler.group(&name, frames.len());
        for (check, is_valid) in CHECKS {
            verify(&frames, flows, is_valid);
            group.measure(check, || {
                let mut slots = [MergeSlot::EMPTY; SLOTS];
                let mut merger = Merger::new((&mut slots[..]).into(), MergeLimits::DEFAULT);
                time(|| {
                    let merged = merge(&mut merger, &frames, is_valid, |_, _, _| {});
                    assert_eq!(merged, flows);
                })
            });
        }
    }
}

/// The segments of so many super-frames, in turns.
fn received(flows: usize) -> Vec<Vec<u8>> {
    let payload = payload();
    let fronts: Vec<Vec<u8>> = (0..flows)
        .map(|flow| Carrier::Plain.front(1000 + flow as u16))
        .collect();
    let offload = Carrier::Plain.offload();
    let mut frames = vec![];
    for number in 0..SEGMENTS {
        for front in &fronts {
            let whole = SuperFrame::new(front, HEADERS + PAYLOAD, &offload, SegmentLimits::DEFAULT)
                .expect("a super-frame");
            let segment = whole.segments().nth(number).expect("a segment");
            let mut frame = vec![0; segment.length()];
            segment.emit::<HostCpu>(&payload, &mut frame).expect("room");
            if front == &fronts[0] {
                check(&frame, number, Carrier::Plain, &payload);
            }
            frames.push(frame);
        }
    }
    frames
}

/// Offers all frames, takes what was merged, and yields how many that were. `append` hears of payloads.
fn merge(
    merger: &mut Merger<'_>,
    frames: &[Vec<u8>],
    is_valid: bool,
    mut append: impl FnMut(usize, &[u8], &Offload),
) -> usize {
    let mut merged = 0;
    let mut header = [0; MERGED_ROOM];
    for bytes in frames {
        let frame = MergeFrame {
            front: bytes,
            rest: &[],
            offload: Offload::NONE,
            lane: 0,
            is_valid,
            merges_udp: false,
        };
        match black_box(merger.offer(&frame)) {
            Offer::Started { slot, payload } | Offer::Joined { slot, payload } => {
                append(slot, &bytes[payload], &Offload::NONE);
            }
            other => panic!("{other:?}"),
        }
    }
    while let Some(slot) = merger.oldest() {
        if let Some(taken) = merger.take(slot, &mut header) {
            append(slot, &header[..taken.header_length], &taken.offload);
            merged += 1;
        }
    }
    merged
}

fn verify(frames: &[Vec<u8>], flows: usize, is_valid: bool) {
    let mut slots = [MergeSlot::EMPTY; SLOTS];
    let mut merger = Merger::new((&mut slots[..]).into(), MergeLimits::DEFAULT);
    let mut payloads = vec![vec![]; SLOTS];
    let mut headers = vec![];
    let merged = merge(
        &mut merger,
        frames,
        is_valid,
        |slot, bytes, offload| match offload.segmentation {
            None => payloads[slot].extend_from_slice(bytes),
            Some(_) => {
                assert_eq!(*offload, Carrier::Plain.offload());
                headers.push(bytes.to_vec());
            }
        },
    );
    assert_eq!(merged, flows);
    let expected = payload();
    assert!(payloads[..flows].iter().all(|it| *it == expected));
    for (flow, header) in headers.iter().enumerate() {
        assert_eq!(*header, Carrier::Plain.front(1000 + flow as u16));
    }
}

//! Which received frames become one, and which do not.

use netvirt_core::offload::*;

use crate::mergers::*;
use crate::super_frames::*;
use crate::support::packets::*;

/// TCP and UDP over both versions, with and without a tag.
pub(super) fn all(length: usize) -> Vec<Super> {
    let timestamps = hex("0101 080a 11223344 55667788");
    let mut all = vec![];
    for version in 0..2 {
        for whole in [
            tcp(version, ACK, &[], length),
            tcp(version, ACK | PSH, &timestamps, length),
            tcp(version, ACK | FIN, &[1; 40], length),
            udp(version, length),
        ] {
            let tagged = |it: &mut Super| it.packet.tags = vec![(0x8100, 0x6005)];
            all.extend([whole.clone(), whole.with(tagged)]);
        }
    }
    all
}

/// The super-frame itself, as it is delivered.
pub(super) fn delivered(whole: &Super) -> Delivered {
    Delivered {
        frame: whole.frame(),
        offload: Offload {
            hash: None,
            ..whole.offload()
        },
        segments: whole.expected().len() as u32,
    }
}

#[test]
fn segments_become_the_frame_that_they_were_cut_from() {
    for length in [1401, 2800, 5000, 60_000] {
        for whole in all(length) {
            assert_eq!(merged(&whole.expected()), [delivered(&whole)]);
        }
    }
}

#[test]
fn a_frame_alone_stays_what_it_is() {
    for whole in all(1400) {
        let segments = whole.expected();
        assert_eq!(segments.len(), 1);
        assert_eq!(merged(&segments), as_they_are(&segments));
    }
}

#[test]
fn padding_is_no_payload() {
    let whole = tcp(0, ACK, &[], 2800 + 5);
    let mut segments = whole.expected();
    segments[0].extend([0xee; 6]);
    segments[2].extend([0xee; 1]);
    assert_eq!(merged(&segments), [delivered(&whole)]);
    let mut receiver = Receiver::new(1);
    for segment in &segments {
        let (front, rest) = segment.split_at(whole.header_length());
        receiver.take(&MergeFrame {
            rest,
            ..crate::mergers::whole(front)
        });
    }
    assert_eq!(receiver.finish(), [delivered(&whole)]);
}

#[test]
fn headers_may_end_anywhere_in_the_front() {
    for whole in all(2801) {
        for front in [whole.header_length(), whole.header_length() + 1, 700, 1200] {
            let mut receiver = Receiver::new(1);
            for segment in &whole.expected() {
                let (front, rest) = segment.split_at(front.min(segment.len()));
                receiver.take(&MergeFrame {
                    rest,
                    ..crate::mergers::whole(front)
                });
            }
            assert_eq!(receiver.finish(), [delivered(&whole)]);
        }
        let mut receiver = Receiver::new(1);
        for segment in &whole.expected() {
            let (front, rest) = segment.split_at(whole.header_length() - 1);
            receiver.take(&MergeFrame {
                rest,
                ..crate::mergers::whole(front)
            });
        }
        assert_eq!(receiver.finish(), as_they_are(&whole.expected()));
    }
}

pub(super) fn plain() -> Super {
    tcp(0, ACK, &hex("0101 080a 11223344 55667788"), 4200)
}

pub(super) fn plain_ipv6() -> Super {
    tcp(1, ACK, &hex("0101 080a 11223344 55667788"), 4200)
}

#[test]
fn fragments_are_not_merged_and_overtake_nothing() {
    for version in 0..2 {
        for fragment in [0x2000, 0x2010, 0x0020] {
            let frames = udp(version, 2800)
                .with(|it| it.packet.fragment = fragment)
                .expected();
            assert_eq!(merged(&frames), as_they_are(&frames));
            let before = udp(version, 2800).expected();
            let all = [&before[..1], &frames[..1], &before[1..]].concat();
            assert_eq!(merged(&all), as_they_are(&all));
        }
    }
    let atomic = udp(1, 2800).with(|it| it.packet.fragment = 0).expected();
    assert_eq!(merged(&atomic), as_they_are(&atomic));
}

/// Segments of an IPv4 super-frame with these identifications.
pub(super) fn identified(whole: &Super, identifications: &[u16]) -> Vec<Vec<u8>> {
    let segment = |(number, identification): (usize, &u16)| {
        let first = identification.wrapping_sub(number as u16);
        whole
            .clone()
            .with(|it| it.packet.identification = first)
            .expected()
            .remove(number)
    };
    identifications.iter().enumerate().map(segment).collect()
}

#[test]
fn identifications_grow_by_one() {
    let joined = |fragment, identifications: &[u16]| -> Vec<u32> {
        let whole = plain().with(|it| it.packet.fragment = fragment);
        let merged = merged(&identified(&whole, identifications));
        merged.iter().map(|it| it.segments).collect()
    };
    for fragment in [0x4000, 0] {
        assert_eq!(joined(fragment, &[7, 8, 9]), [3]);
        assert_eq!(joined(fragment, &[0xffff, 0, 1]), [3]);
        assert_eq!(joined(fragment, &[7, 9, 10]), [1, 2]);
        assert_eq!(joined(fragment, &[7, 6, 5]), [1, 1, 1]);
        assert_eq!(joined(fragment, &[7, 8, 8]), [2, 1]);
        assert_eq!(joined(fragment, &[7, 8, 10]), [2, 1]);
    }
    // Without a meaning they may also stay.
    assert_eq!(joined(0x4000, &[7, 7, 7]), [3]);
    assert_eq!(joined(0x4000, &[0, 0, 1]), [2, 1]);
    assert_eq!(joined(0, &[7, 7, 7]), [1, 1, 1]);
}

#[test]
fn constant_identifications_are_numbered_when_the_frame_is_cut_again() {
    let whole = plain().with(|it| it.packet.identification = 7);
    let merged = merged(&identified(&whole, &[7, 7, 7]));
    assert_eq!(merged, [delivered(&whole)]);
    assert_eq!(
        cut(&merged[0].frame, &merged[0].offload),
        Ok(whole.expected())
    );
}

#[test]
fn psh_and_fin_end_a_frame() {
    for flags in [ACK | PSH, ACK | FIN, ACK | PSH | FIN] {
        for version in 0..2 {
            let first = tcp(version, flags, &[], 2800);
            // What follows is a frame of its own.
            let behind = tcp(version, ACK, &[], 4200).expected().split_off(2);
            let frames = [first.expected(), behind.clone()].concat();
            let expected = [vec![delivered(&first)], as_they_are(&behind)].concat();
            assert_eq!(merged(&frames), expected);
            // The first ends what has not begun.
            let single = tcp(version, flags, &[], 1400).expected();
            let frames = [single, tcp(version, ACK, &[], 2800).expected().split_off(1)].concat();
            assert_eq!(merged(&frames), as_they_are(&frames));
        }
    }
}

#[test]
fn sizes() {
    for whole in [plain(), plain_ipv6(), udp(0, 4200), udp(1, 4200)] {
        let first = whole
            .clone()
            .with(|it| it.payload.truncate(1400))
            .expected();
        // A shorter one is the last.
        let segments = |lengths: &[usize]| -> Vec<Vec<u8>> {
            let mut start = 0;
            let segment = |(number, &length): (usize, &usize)| {
                let it = whole.clone().with(|it| {
                    it.payload = payload(4200)[start..start + length].to_vec();
                    it.packet.identification += number as u16;
                    if it.is_tcp() {
                        let sequence = 0xffff_fa00u32.wrapping_add(start as u32).to_be_bytes();
                        it.packet.transport[4..8].copy_from_slice(&sequence);
                    }
                });
                start += length;
                it.expected().remove(0)
            };
            lengths.iter().enumerate().map(segment).collect()
        };
        let joined = |lengths: &[usize]| -> Vec<u32> {
            merged(&segments(lengths))
                .iter()
                .map(|it| it.segments)
                .collect()
        };
        assert_eq!(segments(&[1400]), first);
        assert_eq!(joined(&[1400, 1400, 1400]), [3]);
        assert_eq!(joined(&[1400, 1399, 1399]), [2, 1]);
        assert_eq!(joined(&[1400, 1, 1400]), [2, 1]);
        assert_eq!(joined(&[1000, 1001]), [1, 1]);
        assert_eq!(joined(&[48, 48, 48]), [3]);
        assert_eq!(joined(&[47, 47]), [1, 1]);
    }
}

#[test]
fn frames_without_payload() {
    for version in 0..2 {
        for whole in [tcp(version, ACK, &[], 0), udp(version, 0)] {
            let frames = [whole.expected(), whole.expected()].concat();
            assert_eq!(merged(&frames), as_they_are(&frames));
        }
        // They overtake nothing of their flow, and do not join what they continue.
        let segments = tcp(version, ACK, &[], 2800).expected();
        for sent in [0, 1400] {
            let empty = tcp(version, ACK, &[], 0).with(|it| {
                let sequence = 0xffff_fa00u32.wrapping_add(sent).to_be_bytes();
                it.packet.transport[4..8].copy_from_slice(&sequence);
                it.packet.identification += 1;
            });
            let frames = [&segments[..1], &empty.expected()[..], &segments[1..]].concat();
            assert_eq!(merged(&frames), as_they_are(&frames));
        }
    }
}

#[test]
fn wrong_checksums_stay_wrong() {
    for whole in [plain(), plain_ipv6(), udp(0, 4200), udp(1, 4200)] {
        for damaged in 0..3 {
            let mut frames = whole.expected();
            let last = frames[damaged].len() - 1;
            frames[damaged][last] ^= 0x04;
            let delivered = merged(&frames);
            let single = &as_they_are(&frames)[damaged];
            assert!(delivered.contains(single), "{damaged}");
            let count: u32 = delivered.iter().map(|it| it.segments).sum();
            assert_eq!(count, 3);
        }
    }
    let mut frames = plain().expected();
    frames[1][24] ^= 1;
    assert_eq!(merged(&frames), as_they_are(&frames));
}

#[test]
fn a_checksum_that_was_verified_is_not_verified_again() {
    let whole = plain();
    let mut frames = whole.expected();
    frames[1][700] ^= 0x04;
    let mut receiver = Receiver::new(1);
    for frame in &frames {
        receiver.take(&MergeFrame {
            is_valid: true,
            ..crate::mergers::whole(frame)
        });
    }
    let delivered = receiver.finish();
    assert_eq!((delivered.len(), delivered[0].segments), (1, 3));
}

#[test]
fn checksums_that_would_come_back_in_another_form() {
    // 0xFFFF where 0 is what is computed: the same number, other bytes.
    let other_zero = |version: usize, at_ip: bool| {
        (0..=u16::MAX).find_map(|word| {
            let whole = tcp(version, ACK, &[], 2800).with(|it| match at_ip {
                true => it.packet.identification = word,
                false => it.packet.transport[14..16].copy_from_slice(&word.to_be_bytes()),
            });
            let mut frames = whole.expected();
            let at = if at_ip {
                24
            } else {
                whole.transport_offset() + 16
            };
            (frames[1][at..at + 2] == [0, 0]).then(|| {
                frames[1][at..at + 2].fill(0xff);
                frames
            })
        })
    };
    for frames in [
        other_zero(0, false),
        other_zero(1, false),
        other_zero(0, true),
    ] {
        let frames = frames.unwrap();
        assert_eq!(merged(&frames), as_they_are(&frames));
    }
}

#[test]
fn udp_without_checksum_or_without_wish() {
    for version in 0..2 {
        let frames = udp(version, 2800).without_checksum().expected();
        assert_eq!(merged(&frames), as_they_are(&frames));
        let frames = udp(version, 2800).expected();
        let mut receiver = Receiver::new(1);
        for frame in &frames {
            receiver.take(&MergeFrame {
                merges_udp: false,
                ..whole(frame)
            });
        }
        assert_eq!(receiver.finish(), as_they_are(&frames));
        // Even if the NIC finds the checksum right, or nothing wrong where there is none.
        let at = udp(version, 0).transport_offset();
        for change in [at + 5, at + 6] {
            let mut frames = frames.clone();
            match change == at + 5 {
                true => frames[1][change] ^= 1,
                false => frames[1][change..change + 2].fill(0),
            }
            let mut receiver = Receiver::new(1);
            for frame in &frames {
                receiver.take(&MergeFrame {
                    is_valid: true,
                    ..whole(frame)
                });
            }
            assert_eq!(receiver.finish(), as_they_are(&frames));
        }
    }
}

#[test]
fn work_beside_a_frame_is_passed_on() {
    let whole = plain();
    let frames = whole.expected();
    for offload in [
        Offload {
            segmentation: None,
            ..whole.offload()
        },
        Offload {
            checksum: None,
            ..whole.offload()
        },
    ] {
        let mut receiver = Receiver::new(1);
        receiver.take(&crate::mergers::whole(&frames[0]));
        receiver.take(&MergeFrame {
            offload,
            ..crate::mergers::whole(&frames[1])
        });
        let mut expected = as_they_are(&frames[..2]);
        expected[1].offload = offload;
        assert_eq!(receiver.finish(), expected);
    }
    // A hash is no work: the first one stays.
    let mut receiver = Receiver::new(1);
    for (hash, frame) in (5..).zip(&frames) {
        let offload = Offload {
            hash: Some(hash),
            ..Offload::NONE
        };
        receiver.take(&MergeFrame {
            offload,
            ..crate::mergers::whole(frame)
        });
    }
    assert_eq!(receiver.finish()[0].offload.hash, Some(5));
}

#[test]
fn limits_of_length_and_number() {
    let longest = tcp(0, ACK, &[], 65_535 - 40).with(|it| it.size = 1455);
    let frames = longest.expected();
    assert_eq!(frames.len(), 46);
    let joined = |slots, limits| -> Vec<u32> {
        let mut receiver = Receiver::within(slots, limits);
        for frame in &frames {
            receiver.take(&whole(frame));
        }
        receiver.finish().iter().map(|it| it.segments).collect()
    };
    let limits = MergeLimits::DEFAULT;
    assert_eq!(joined(1, limits), [46]);
    assert_eq!(
        joined(
            1,
            MergeLimits {
                longest_packet: 65_534,
                ..limits
            }
        ),
        [45, 1]
    );
    assert_eq!(
        joined(
            1,
            MergeLimits {
                most_segments: 20,
                ..limits
            }
        ),
        [20, 20, 6]
    );
    assert_eq!(
        joined(
            1,
            MergeLimits {
                smallest_segment: 1456,
                ..limits
            }
        ),
        [1; 46]
    );
    assert_eq!(joined(0, limits), [1; 46]);
}

#[test]
fn several_flows_and_the_oldest_makes_room() {
    let flow = |port: u8, length| tcp(0, ACK, &[], length).with(|it| it.packet.transport[1] = port);
    let segments: Vec<Vec<Vec<u8>>> = (1..=3).map(|port| flow(port, 2800).expected()).collect();
    let interleaved = |flows: usize| -> Vec<&Vec<u8>> {
        (0..2)
            .flat_map(|number| segments[..flows].iter().map(move |flow| &flow[number]))
            .collect()
    };
    let run = |slots, flows| {
        let mut receiver = Receiver::new(slots);
        for frame in interleaved(flows) {
            receiver.take(&whole(frame));
        }
        receiver.finish()
    };
    let expected: Vec<Delivered> = (1..=3).map(|port| delivered(&flow(port, 2800))).collect();
    assert_eq!(run(3, 3), expected);
    assert_eq!(run(2, 2), expected[..2]);
    // With too little room each flow drives another out: nothing is merged, nothing lost, the order kept.
    let frames = interleaved(3);
    assert_eq!(run(2, 3), as_they_are(&frames));
    assert_eq!(run(1, 3), as_they_are(&frames));
}

#[test]
fn what_is_not_ip_is_passed_on() {
    let mac = netvirt_core::MacAddress([2; 6]);
    let frames = [
        arp_request((mac, "10.0.0.5"), "10.0.0.7"),
        vec![1; 9],
        vec![],
    ];
    assert_eq!(merged(&frames), as_they_are(&frames));
    // It has no flow, so that it may overtake.
    let segments = plain().expected();
    let delivered = merged(&[&segments[0], &frames[0], &segments[1]]);
    assert_eq!(delivered[0].frame, frames[0]);
    assert_eq!(delivered[1].segments, 2);
}

#[test]
fn a_slot_that_holds_nothing_yields_nothing() {
    let mut receiver = Receiver::new(2);
    let mut out = [0xee; MERGED_ROOM];
    for slot in [0, 1, 2, usize::MAX] {
        assert_eq!(receiver.merger.take(slot, &mut out), None);
    }
    assert_eq!(receiver.merger.oldest(), None);
    assert_eq!(out, [0xee; MERGED_ROOM]);
}

//! Segmentation and merging, held against segments that are built one by one.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::offload::*;
use netvirt_core::table::Portable;

use crate::mergers::{Receiver, merged, whole};
use crate::site::{fill_header_checksum, read};
use crate::super_frames::*;

/// Bytes that say what a super-frame is.
pub const SHAPE: usize = 20;
/// Bytes that say what is to be done to a frame of any bytes.
const WORK: usize = 10;
/// Bytes that say what is received next.
const STEP: usize = 4;

/// The first byte chooses: a super-frame against the reference and back, any bytes with any work to be done, or a
/// sequence of frames for a receiver that merges.
pub fn segments(data: &[u8]) {
    let [what, data @ ..] = data else {
        return;
    };
    match what % 3 {
        0 => super_frame(data),
        1 => any_bytes(data),
        _ => sequence(what >> 2, data),
    }
}

/// Cut, it is the reference's segments; merged again, it is itself.
fn super_frame(data: &[u8]) {
    let Some((shape, filler)) = data.split_first_chunk() else {
        return;
    };
    let it = shaped(shape, filler);
    let smallest = SegmentLimits::DEFAULT.smallest_segment;
    let forbids = |flag| it.is_tcp() && it.packet.transport[13] & flag != 0;
    let is_urgent = it.is_tcp() && it.packet.transport[18..20] != [0, 0];
    let expected = if it.size < smallest {
        Err(InvalidSuperFrame::SegmentSize)
    } else if forbids(SYN | RST | URG) || is_urgent {
        Err(InvalidSuperFrame::Flags)
    } else {
        Ok(it.expected())
    };
    assert_eq!(cut(&it.frame(), &it.offload()), expected);
    let Ok(segments) = expected else {
        return;
    };
    let delivered = merged(&segments);
    if is_mergeable(&it, segments.len()) {
        assert_eq!(delivered.len(), 1);
        assert_eq!(delivered[0].frame, it.frame());
        let offload = Offload {
            hash: None,
            ..it.offload()
        };
        assert_eq!(delivered[0].offload, offload);
    }
    let again: Vec<_> = delivered.iter().flat_map(|one| one.cut_again()).collect();
    assert_eq!(again, segments);
}

/// Whether all of its segments become one frame.
fn is_mergeable(it: &Super, segments: usize) -> bool {
    let is_plain = || {
        let header = &it.packet.transport;
        header[13] & !(FIN | PSH) == ACK && header[12] & 0x0f == 0
    };
    it.tunnel.is_none()
        && it.offload().checksum.is_some()
        && (2..=MergeLimits::DEFAULT.most_segments as usize).contains(&segments)
        && (!it.is_tcp() || is_plain())
}

/// A super-frame of TCP or UDP over either version, plain or inside NVGRE, with any values in its fields.
fn shaped(shape: &[u8; SHAPE], filler: &[u8]) -> Super {
    let &[
        kind,
        flags,
        options,
        size_0,
        size_1,
        length_0,
        length_1,
        class,
        hop_limit,
        id_0,
        id_1,
        outer_0,
        outer_1,
        sequence_0,
        sequence_1,
        sequence_2,
        sequence_3,
        bits,
        label,
        tag,
    ] = shape;
    let length = usize::from(u16::from_be_bytes([length_0, length_1])) % 9000;
    let version = usize::from(kind & 1);
    let it = match kind >> 1 & 3 {
        0 => udp(version, length),
        1 => udp(version, length).without_checksum(),
        _ => tcp(
            version,
            flags,
            &payload(usize::from(options % 11) * 4),
            length,
        ),
    };
    it.with(|it| {
        if it.is_tcp() {
            let header = &mut it.packet.transport;
            header[4..8].copy_from_slice(&[sequence_0, sequence_1, sequence_2, sequence_3]);
            header[12] |= bits & 0x0f;
            header[19] = bits >> 7;
        }
        if !filler.is_empty() {
            let filler = filler.iter().cycle();
            it.payload
                .iter_mut()
                .zip(filler)
                .for_each(|(byte, new)| *byte = *new);
        }
        it.size = u16::from_be_bytes([size_0, size_1]);
        it.packet.traffic_class = class;
        it.packet.hop_limit = hop_limit;
        it.packet.identification = u16::from_be_bytes([id_0, id_1]);
        it.outer_identification = u16::from_be_bytes([outer_0, outer_1]);
        it.flow_label = u32::from(label) << 12 | u32::from(class);
        if kind & 8 != 0 && version == 0 {
            it.packet.fragment = 0;
        }
        if kind & 16 != 0 {
            it.packet.tags = vec![(0x8100, u16::from(tag))];
        }
        it.tunnel = match kind >> 6 {
            2 => Some(tunnel(0)),
            3 => Some(tunnel(1)),
            _ => None,
        };
    })
}

/// Whatever the bytes and the work: the payload is cut without gap or overlap, into no more segments than allowed, and
/// each segment is a frame that is cut into itself.
fn any_bytes(data: &[u8]) {
    let Some((&work, frame)) = data.split_first_chunk::<WORK>() else {
        return;
    };
    let [
        kind,
        start_0,
        start_1,
        offset,
        size_0,
        size_1,
        headers_0,
        headers_1,
        most,
        front,
    ] = work;
    let offload = Offload {
        checksum: (kind & 4 == 0).then_some(PartialChecksum {
            start: u16::from_be_bytes([start_0, start_1]),
            offset: u16::from(offset),
        }),
        segmentation: (kind & 8 == 0).then_some(Segmentation {
            kind: [
                SegmentKind::TcpIpv4,
                SegmentKind::TcpIpv6,
                SegmentKind::Udp,
                SegmentKind::Udp,
            ][usize::from(kind & 3)],
            segment_size: u16::from_be_bytes([size_0, size_1]),
            header_length: u16::from_be_bytes([headers_0, headers_1]),
        }),
        hash: None,
    };
    complete(frame, &offload, usize::from(front));
    let limits = SegmentLimits {
        smallest_segment: u16::from(kind >> 4),
        most_segments: u32::from(most),
    };
    let Ok(super_frame) = SuperFrame::new(frame, frame.len(), &offload, limits) else {
        return;
    };
    let work = offload.segmentation.expect("asked for");
    assert_eq!(super_frame.header_length(), usize::from(work.header_length));
    let (front, payload) = frame.split_at(super_frame.header_length());
    assert!(SuperFrame::new(front, frame.len(), &offload, limits).is_ok());
    assert!(super_frame.segments().len() <= usize::from(most));
    let mut next = 0;
    for segment in super_frame.segments() {
        let part = segment.payload();
        assert_eq!(part.start, next);
        assert!(part.len() <= usize::from(work.segment_size));
        assert!(!part.is_empty() || payload.is_empty());
        next = part.end;
        let partial = emitted(&segment, front.len(), payload);
        let again = SuperFrame::new(&partial, partial.len(), &offload, limits).unwrap();
        let again: Vec<_> = again.segments().collect();
        assert_eq!(again.len(), 1);
        assert_eq!(emitted(&again[0], front.len(), &payload[part]), partial);
    }
    assert_eq!(next, payload.len());
}

/// A partial checksum of any frame in two pieces is completed as in one, or nothing is written.
fn complete(frame: &[u8], offload: &Offload, front: usize) {
    let Some(partial) = offload.checksum else {
        return;
    };
    let mut at_once = frame.to_vec();
    let mut in_pieces = frame.to_vec();
    let whole = partial.complete(&mut at_once, &[]);
    let (front, rest) = in_pieces.split_at_mut(front.min(frame.len()));
    match partial.complete(front, rest) {
        Ok(()) => assert_eq!((whole, in_pieces), (Ok(()), at_once)),
        Err(ChecksumOutOfBounds) => assert_eq!(in_pieces, frame),
    }
}

/// A segment of this payload with its checksum left partial. Finished in both ways it is the same otherwise.
fn emitted(segment: &Segment<'_>, header_length: usize, payload: &[u8]) -> Vec<u8> {
    let mut header = [0xee; LONGEST_HEADERS];
    assert_eq!(segment.emit_header(&mut header), Ok(header_length));
    let partial = [&header[..header_length], &payload[segment.payload()]].concat();
    assert_eq!(segment.length(), partial.len());
    let mut finished = partial.clone();
    if let Some(checksum) = segment.offload().checksum {
        checksum.complete(&mut finished, &[]).unwrap();
    }
    let mut copied = vec![0; segment.length()];
    assert_eq!(
        segment.emit::<Portable>(payload, &mut copied),
        Ok(finished.len())
    );
    assert_eq!(copied, finished);
    let done = segment.emit_finished_header::<Portable>(payload, &mut header);
    assert_eq!(done, Ok(header_length));
    assert_eq!(header[..header_length], finished[..header_length]);
    let mut short = vec![0xee; segment.length() - 1];
    assert_eq!(
        segment.emit::<Portable>(payload, &mut short),
        Err(SegmentError::NoRoom)
    );
    assert!(short.iter().all(|byte| *byte == 0xee));
    partial
}

/// Two flows, in lanes of their own, whose frames mix and are lost, doubled, damaged or padded: what is delivered is,
/// cut again, what was received, each flow in its order, and nothing of one lane is in a frame of the other.
fn sequence(choice: u8, data: &[u8]) {
    let Some((shapes, steps)) = data.split_first_chunk::<{ 2 * SHAPE }>() else {
        return;
    };
    let (shapes, _) = shapes.as_chunks();
    // Two tenants may well send the same.
    let shapes = if choice & 32 == 0 {
        shapes
    } else {
        &[shapes[0]; 2]
    };
    let flows: Vec<Vec<Vec<u8>>> = shapes
        .iter()
        .zip(0..)
        .map(|(it, lane)| flow(it, lane))
        .collect();
    let mut receiver = Receiver::within(
        usize::from(choice & 3),
        MergeLimits {
            smallest_segment: if choice & 4 == 0 { 48 } else { 200 },
            most_segments: if choice & 8 == 0 { 64 } else { 3 },
            longest_packet: if choice & 16 == 0 { u16::MAX } else { 700 },
        },
    );
    let mut received: Vec<(u32, Vec<u8>)> = vec![];
    let mut next = [0; 2];
    let (steps, _) = steps.as_chunks::<STEP>();
    for &[what, jump, at, flip] in steps.iter().take(64) {
        let lane = usize::from(what & 1);
        let number = match what >> 1 & 3 {
            2 => usize::from(jump),
            3 => next[lane] - usize::from(next[lane] > 0),
            _ => next[lane],
        } % flows[lane].len();
        next[lane] = number + 1;
        let mut frame = flows[lane][number].clone();
        let (is_damaged, is_cut) = (what & 8 != 0 && flip != 0, what & 16 != 0);
        if is_damaged {
            let at = usize::from(at) % frame.len();
            frame[at] ^= flip;
        }
        frame.extend(vec![
            0xee;
            usize::from(what >> 5 & 1) * usize::from(jump % 8)
        ]);
        let (front, rest) = match is_cut {
            true => frame.split_at((MERGED_ROOM + usize::from(at)).min(frame.len())),
            false => (&frame[..], &[][..]),
        };
        receiver.take(&MergeFrame {
            rest,
            lane: lane as u32,
            is_valid: what & 64 != 0 && !is_damaged,
            merges_udp: what & 128 == 0,
            ..whole(front)
        });
        received.push((lane as u32, frame));
        if jump >= 0xf0
            && let Some(slot) = receiver.merger.oldest()
        {
            receiver.flush(slot);
        }
    }
    let mut again = vec![];
    for delivered in receiver.finish() {
        let segments = delivered.cut_again();
        assert_eq!(segments.len(), delivered.segments as usize);
        if segments.len() > 1 {
            let header_length = delivered.offload.segmentation.unwrap().header_length;
            let payload = &delivered.frame[usize::from(header_length)..];
            assert!(payload.iter().all(|byte| byte >> 4 == payload[0] >> 4));
        }
        again.extend(segments.iter().map(|frame| comparable(frame)));
    }
    let received: Vec<_> = received
        .iter()
        .map(|(lane, frame)| (*lane, comparable(frame)))
        .collect();
    assert_all_arrived_in_order(&received, &again);
}

/// The segments of a flow, whose payload tells the lane.
fn flow(shape: &[u8; SHAPE], lane: u8) -> Vec<Vec<u8>> {
    let it = shaped(shape, &[]).with(|it| {
        it.size = 48 + it.size % 512;
        it.payload.truncate(8 * usize::from(it.size));
        for byte in &mut it.payload {
            *byte = lane << 4 | *byte & 0x0f;
        }
        it.tunnel = None;
    });
    it.expected()
}

/// A frame without its padding, and without the identification where DF takes its meaning (RFC 6864).
fn comparable(frame: &[u8]) -> Vec<u8> {
    let Some((link, packet)) = read(frame) else {
        return frame.to_vec();
    };
    let mut bytes = frame[..link.length + packet.bytes.len()].to_vec();
    let header = &mut bytes[link.length..];
    if packet.version() == 0 && header[6] & 0x40 != 0 && packet.has_intact_header() {
        header[4..6].fill(0);
        fill_header_checksum(header);
    }
    bytes
}

/// Frames of different flows may overtake each other, and so may those that tell no flow.
fn assert_all_arrived_in_order(received: &[(u32, Vec<u8>)], again: &[Vec<u8>]) {
    let mut lanes: BTreeMap<&[u8], BTreeSet<u32>> = BTreeMap::new();
    for (lane, frame) in received {
        lanes.entry(frame).or_default().insert(*lane);
    }
    let mut flows: BTreeMap<_, [Vec<&[u8]>; 2]> = BTreeMap::new();
    let in_order = received.iter().map(|(_, frame)| frame);
    for (side, frame) in in_order
        .map(|it| (0, it))
        .chain(again.iter().map(|it| (1, it)))
    {
        let lanes = lanes.get(&frame[..]).expect("a frame that was received");
        flows.entry((lanes, flow_of(frame))).or_default()[side].push(frame);
    }
    for ((lanes, flow), [mut received, mut again]) in flows {
        if lanes.len() > 1 || flow.is_none() {
            received.sort();
            again.sort();
        }
        assert!(again == received, "a flow out of order");
    }
}

/// Addresses, protocol and ports.
fn flow_of(frame: &[u8]) -> Option<(Vec<u8>, u8)> {
    let (_, packet) = read(frame)?;
    let shortest = if packet.protocol == 6 { 20 } else { 8 };
    let ports = packet.transport().get(..shortest)?.get(..4)?;
    let addresses = [packet.source, packet.destination].map(crate::packet::octets);
    Some(([&addresses.concat(), ports].concat(), packet.protocol))
}

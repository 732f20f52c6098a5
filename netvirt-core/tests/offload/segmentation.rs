//! Every row of the table of large send offload over NVGRE (LSOv2, USO): what each segment has in its fields.

use std::cell::RefCell;

use netvirt_core::offload::*;
use netvirt_core::table::{Cpu, Portable};

use crate::super_frames::*;
use crate::support::packets::*;

/// TCP and UDP over both versions, plain and inside both tunnels.
fn all(length: usize) -> Vec<Super> {
    let mut all = vec![];
    for version in 0..2 {
        for plain in [tcp(version, ACK | PSH, &[], length), udp(version, length)] {
            all.extend([plain.clone(), plain.clone().inside(0), plain.inside(1)]);
        }
    }
    all
}

fn segments(whole: &Super) -> Vec<Vec<u8>> {
    cut(&whole.frame(), &whole.offload()).unwrap()
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Cuts, holds every byte against the reference, and yields the segments.
#[track_caller]
fn cut_rightly(whole: &Super) -> Vec<Vec<u8>> {
    let segments = segments(whole);
    assert_eq!(segments, whole.expected());
    segments
}

#[test]
fn spec_4_3_outer_length() {
    for version in 0..2 {
        let whole = tcp(0, ACK, &[], 3000).inside(version);
        let headers = 14 + [0, 40][version];
        let lengths: Vec<u16> = cut_rightly(&whole)
            .iter()
            .map(|segment| word(segment, [16, 18][version]))
            .collect();
        let whole_length = |payload: usize| (whole.header_length() + payload - headers) as u16;
        let expected = [1400, 1400, 200].map(whole_length);
        assert_eq!(lengths, expected);
    }
}

#[test]
fn spec_4_3_outer_length_of_a_super_frame_that_its_field_has_no_bits_for() {
    for version in 0..2 {
        let whole = tcp(0, ACK, &[], 65_535 - 40).inside(version);
        let frame = whole.frame();
        assert!(frame.len() > 65_535 + 14 + [20, 40][version]);
        assert_eq!(cut_rightly(&whole).len(), 47);
    }
}

#[test]
fn spec_4_3_outer_identification() {
    let whole = tcp(1, ACK, &[], 4000)
        .inside(0)
        .with(|it| it.outer_identification = 0xfffe);
    let identifications: Vec<u16> = cut_rightly(&whole)
        .iter()
        .map(|segment| word(segment, 18))
        .collect();
    assert_eq!(identifications, [0xfffe, 0xffff, 0]);
}

#[test]
fn spec_4_3_inner_identification() {
    for whole in [tcp(0, ACK, &[], 4000), udp(0, 4000)] {
        for whole in [whole.clone(), whole.clone().inside(0), whole.inside(1)] {
            let whole = whole.with(|it| it.packet.identification = 0x7fff);
            let at = whole.inner_offset() + 18;
            let identifications: Vec<u16> = cut_rightly(&whole)
                .iter()
                .map(|segment| word(segment, at))
                .collect();
            assert_eq!(identifications, [0x7fff, 0x8000, 0x8001]);
        }
    }
}

#[test]
fn spec_4_3_inner_length() {
    for whole in all(3000) {
        let at = whole.inner_offset()
            + if whole.packet.source.is_ipv4() {
                16
            } else {
                18
            };
        let headers = match whole.packet.source.is_ipv4() {
            true => 20 + whole.packet.transport.len(),
            false => whole.packet.transport.len(),
        };
        let lengths: Vec<usize> = cut_rightly(&whole)
            .iter()
            .map(|segment| usize::from(word(segment, at)) - headers)
            .collect();
        assert_eq!(lengths, [1400, 1400, 200]);
    }
}

#[test]
fn spec_4_3_ipv4_checksums() {
    for whole in all(3000) {
        for segment in cut_rightly(&whole) {
            if whole.packet.source.is_ipv4() {
                let at = whole.inner_offset() + 14;
                assert_eq!(checksum(&segment[at..at + 20]), 0);
            }
            if whole
                .tunnel
                .as_ref()
                .is_some_and(|tunnel| tunnel.source.is_ipv4())
            {
                assert_eq!(checksum(&segment[14..34]), 0);
            }
        }
    }
}

#[test]
fn spec_4_3_ipv4_checksum_that_was_wrong_stays_wrong_by_as_much() {
    let whole = tcp(0, ACK, &[], 3000);
    let mut frame = whole.frame();
    frame[24] ^= 0x01;
    for segment in cut(&frame, &whole.offload()).unwrap() {
        assert_ne!(checksum(&segment[14..34]), 0);
    }
}

#[test]
fn spec_4_3_transport_checksum() {
    for whole in all(3001) {
        for segment in cut_rightly(&whole) {
            let mut transport = segment[whole.transport_offset()..].to_vec();
            let Packet {
                source,
                destination,
                protocol,
                ..
            } = whole.packet;
            fill_transport(source, destination, protocol, &mut transport);
            assert_eq!(segment[whole.transport_offset()..], transport);
        }
    }
}

#[test]
fn spec_4_3_transport_checksum_of_a_wrong_pseudo_header_stays_wrong() {
    for whole in all(3000) {
        let mut frame = whole.frame();
        let at = whole.transport_offset() + if whole.is_tcp() { 16 } else { 6 };
        frame[at] ^= 0x40;
        let segments = cut(&frame, &whole.offload()).unwrap();
        for (segment, expected) in segments.iter().zip(whole.expected()) {
            assert_ne!(segment[at..at + 2], expected[at..at + 2]);
        }
    }
}

#[test]
fn spec_4_3_tcp_sequence() {
    for version in 0..2 {
        for whole in [
            tcp(version, ACK, &[], 3000),
            tcp(version, ACK, &[], 3000).inside(version),
        ] {
            let at = whole.transport_offset() + 4;
            let sequences: Vec<u32> = cut_rightly(&whole)
                .iter()
                .map(|segment| {
                    u32::from(word(segment, at)) << 16 | u32::from(word(segment, at + 2))
                })
                .collect();
            // The first crosses the end of the number space.
            assert_eq!(sequences, [0xffff_fa00, 0xffff_ff78, 0x0000_04f0]);
        }
    }
}

/// The flags of each of three segments.
fn flags_of(flags: u8) -> Vec<u8> {
    let whole = tcp(0, flags, &[], 3000).inside(0);
    let at = whole.transport_offset() + 13;
    cut_rightly(&whole)
        .iter()
        .map(|segment| segment[at])
        .collect()
}

#[test]
fn spec_4_3_fin_and_psh_on_the_last_only() {
    assert_eq!(flags_of(ACK | FIN), [ACK, ACK, ACK | FIN]);
    assert_eq!(flags_of(ACK | PSH), [ACK, ACK, ACK | PSH]);
}

#[test]
fn spec_4_3_cwr_on_the_first_only() {
    assert_eq!(flags_of(ACK | CWR), [ACK | CWR, ACK, ACK]);
    assert_eq!(
        flags_of(ACK | ECE | PSH),
        [ACK | ECE, ACK | ECE, ACK | ECE | PSH]
    );
}

#[test]
fn spec_4_3_all_flags_of_a_single_segment() {
    let flags = ACK | FIN | PSH | CWR | ECE;
    let whole = tcp(0, flags, &[], 1400);
    assert_eq!(cut_rightly(&whole)[0][47], flags);
}

#[test]
fn spec_4_3_tcp_options_and_timestamps_are_copied() {
    let options = hex("0101 080a 11223344 55667788");
    let sack = hex(
        "0101 080a 11223344 55667788 0101 051a 00000001 00000002 00000003 00000004 00000005 00000006",
    );
    for options in [options, sack] {
        for version in 0..2 {
            for whole in [
                tcp(version, ACK, &options, 3000),
                tcp(version, ACK, &options, 3000).inside(1),
            ] {
                let at = whole.transport_offset() + 20;
                for segment in cut_rightly(&whole) {
                    assert_eq!(segment[at..at + options.len()], options);
                }
            }
        }
    }
}

#[test]
fn spec_4_3_ipv4_options_and_ipv6_extension_headers_are_copied() {
    for whole in [tcp(0, ACK, &[], 3000), udp(0, 3000)] {
        let whole = whole.with(|it| it.packet.ipv4_options = vec![0x94, 4, 0, 0]);
        assert_eq!(cut_rightly(&whole).len(), 3);
        assert_eq!(cut_rightly(&whole.inside(0)).len(), 3);
    }
    for whole in [tcp(1, ACK, &[], 3000), udp(1, 3000)] {
        let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
        let whole =
            whole.with(|it| it.packet.extensions = vec![(0, padding.clone()), (60, padding)]);
        assert_eq!(cut_rightly(&whole).len(), 3);
        assert_eq!(cut_rightly(&whole.inside(0)).len(), 3);
    }
}

#[test]
fn spec_4_3_routing_header_keeps_the_final_destination_in_the_checksum() {
    // A routing header of type 2 with a segment left: the checksum is over the address in it (RFC 8200 §8.1).
    let mut routing = vec![0, 2, 2, 1, 0, 0, 0, 0];
    routing.extend(
        "2001:db8::99"
            .parse::<std::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    let far = |it: &mut Super| it.packet.destination = ip("2001:db8::99");
    let near = |it: &mut Super| it.packet.extensions = vec![(43, routing.clone())];
    let direct = tcp(1, ACK, &[], 3000).with(far);
    let routed = tcp(1, ACK, &[], 3000).with(near);
    let mut frame = routed.frame();
    let sum = direct.transport_offset() + 16;
    let at = routed.transport_offset() + 16;
    frame[at..at + 2].copy_from_slice(&direct.frame()[sum..sum + 2]);
    let segments = cut(&frame, &routed.offload()).unwrap();
    for (segment, expected) in segments.iter().zip(direct.expected()) {
        assert_eq!(
            segment[routed.transport_offset()..],
            expected[direct.transport_offset()..]
        );
    }
}

#[test]
fn spec_4_3_outer_key_dscp_ttl_and_inner_macs_are_copied() {
    for version in 0..2 {
        let whole = udp(1, 3000).inside(version).with(|it| {
            it.flow_label = 0xabcde;
            it.packet.traffic_class = 0xb9;
            let tunnel = it.tunnel.as_mut().unwrap();
            tunnel.traffic_class = 0x2a;
            tunnel.hop_limit = 77;
            tunnel.vsid = 0x00ab_cdef;
            tunnel.flow_id = 0x5a;
            tunnel.tags = vec![(0x8100, 0x6123)];
            tunnel.flow_label = 0xbcdef;
        });
        assert_eq!(cut_rightly(&whole).len(), 3);
    }
}

#[test]
fn spec_4_3_fragment_fields_stay_zero() {
    for whole in [tcp(0, ACK, &[], 3000), tcp(0, ACK, &[], 3000).inside(0)] {
        for segment in cut_rightly(&whole) {
            let at = whole.inner_offset() + 20;
            assert_eq!(word(&segment, at), 0x4000);
        }
        let may_be_fragmented = whole.with(|it| it.packet.fragment = 0);
        cut_rightly(&may_be_fragmented);
    }
}

#[test]
fn spec_4_3_sizes() {
    for (length, expected) in [
        (0, vec![0]),
        (1, vec![1]),
        (1400, vec![1400]),
        (1401, vec![1400, 1]),
        (2800, vec![1400, 1400]),
        (2801, vec![1400, 1400, 1]),
    ] {
        for whole in all(length) {
            let headers = whole.header_length();
            let lengths: Vec<usize> = cut_rightly(&whole)
                .iter()
                .map(|segment| segment.len() - headers)
                .collect();
            assert_eq!(lengths, expected);
        }
    }
}

#[test]
fn spec_4_3_udp_length() {
    let whole = udp(0, 3000);
    let lengths: Vec<u16> = cut_rightly(&whole)
        .iter()
        .map(|segment| word(segment, 38))
        .collect();
    assert_eq!(lengths, [1408, 1408, 208]);
}

#[test]
fn spec_4_3_udp_checksum_zero_stays_zero() {
    for version in 0..2 {
        for whole in [udp(version, 3000), udp(version, 3000).inside(version)] {
            let whole = whole.without_checksum();
            let at = whole.transport_offset() + 6;
            for segment in cut_rightly(&whole) {
                assert_eq!(word(&segment, at), 0);
            }
            let frame = whole.frame();
            let offload = whole.offload();
            let super_frame =
                SuperFrame::new(&frame, frame.len(), &offload, SegmentLimits::DEFAULT).unwrap();
            for segment in super_frame.segments() {
                assert_eq!(segment.offload().checksum, None);
            }
        }
    }
}

#[test]
fn spec_4_3_udp_checksum_that_comes_out_zero_is_sent_as_all_ones() {
    let mut found = 0;
    let mut whole = udp(0, 96).with(|it| it.size = 48);
    for word in 0..=u16::MAX {
        whole.payload[..2].copy_from_slice(&word.to_be_bytes());
        let segments = segments(&whole);
        if segments[0][40..42] == [0xff, 0xff] {
            found += 1;
            assert_eq!(segments, whole.expected());
        }
        assert_ne!(segments[0][40..42], [0, 0]);
    }
    assert_eq!(found, 1);
}

#[test]
fn headers_are_written_with_a_partial_or_a_finished_checksum() {
    for whole in all(3001) {
        let (frame, offload) = (whole.frame(), whole.offload());
        let headers = whole.header_length();
        // The front may be exactly the headers.
        let super_frame = SuperFrame::new(
            &frame[..headers],
            frame.len(),
            &offload,
            SegmentLimits::DEFAULT,
        )
        .unwrap();
        assert_eq!(super_frame.header_length(), headers);
        assert_eq!(super_frame.segments().len(), 3);
        for (number, (segment, expected)) in
            super_frame.segments().zip(whole.expected()).enumerate()
        {
            assert_eq!(segment.number() as usize, number);
            let payload = &frame[headers..];
            let mut finished = [0xee; 300];
            assert_eq!(
                segment.emit_finished_header::<Portable>(payload, &mut finished),
                Ok(headers)
            );
            assert_eq!(finished[..headers], expected[..headers]);
            let payload = &payload[segment.payload()];
            assert_eq!(payload, &expected[headers..]);
            assert!(finished[headers..].iter().all(|byte| *byte == 0xee));

            let mut partial = [0xee; 300];
            assert_eq!(segment.emit_header(&mut partial), Ok(headers));
            assert!(partial[headers..].iter().all(|byte| *byte == 0xee));
            let left = segment.offload();
            assert_eq!((left.segmentation, left.hash), (None, offload.hash));
            let done = left
                .checksum
                .unwrap()
                .complete(&mut partial[..headers], payload);
            assert_eq!((done, partial), (Ok(()), finished));
        }
    }
}

#[test]
fn a_partial_checksum_is_the_sum_of_the_pseudo_header_of_the_segment() {
    for whole in all(3000) {
        let frame = whole.frame();
        let offload = whole.offload();
        let super_frame =
            SuperFrame::new(&frame, frame.len(), &offload, SegmentLimits::DEFAULT).unwrap();
        for segment in super_frame.segments() {
            let mut header = [0; 300];
            segment.emit_header(&mut header).unwrap();
            let covered = whole.packet.transport.len() + segment.payload().len();
            let mut nothing = vec![0; covered];
            let Packet {
                source,
                destination,
                protocol,
                ..
            } = whole.packet;
            fill_transport(source, destination, protocol, &mut nothing);
            let offset = if whole.is_tcp() { 16 } else { 6 };
            let at = whole.transport_offset() + offset;
            assert_eq!(word(&header, at), !word(&nothing, offset));
        }
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let whole = tcp(0, ACK, &[], 3000).inside(0);
    let (frame, offload) = (whole.frame(), whole.offload());
    let headers = whole.header_length();
    let super_frame =
        SuperFrame::new(&frame, frame.len(), &offload, SegmentLimits::DEFAULT).unwrap();
    let segment = super_frame.segments().next().unwrap();
    let payload = &frame[headers..];
    let mut out = vec![0xee; headers + 1400];
    let (short_header, short) = (headers - 1, headers + 1399);
    let no_room = Err(SegmentError::NoRoom);
    assert_eq!(segment.emit_header(&mut out[..short_header]), no_room);
    assert_eq!(
        segment.emit_finished_header::<Portable>(payload, &mut out[..short_header]),
        no_room
    );
    assert_eq!(
        segment.emit::<Portable>(payload, &mut out[..short]),
        no_room
    );
    for wrong in [
        &payload[..2999],
        &frame[headers - 1..],
        &payload[..1400],
        &[],
    ] {
        let error = Err(SegmentError::Payload);
        assert_eq!(
            segment.emit_finished_header::<Portable>(wrong, &mut out),
            error
        );
        assert_eq!(segment.emit::<Portable>(wrong, &mut out), error);
    }
    assert!(out.iter().all(|byte| *byte == 0xee));
}

thread_local! {
    /// The addresses that were fetched since they were last taken.
    static FETCHED: RefCell<Vec<usize>> = const { RefCell::new(vec![]) };
}

/// A CPU that only notes what it is to fetch.
struct Noting;

impl Cpu for Noting {
    fn prefetch<T>(line: &T) {
        let address = std::ptr::from_ref(line).cast::<u8>().addr();
        FETCHED.with_borrow_mut(|fetched| fetched.push(address));
    }
}

/// Where in `bytes` something was fetched since this was last asked, in order.
fn fetched_within(fetched: &[usize], bytes: &[u8]) -> Vec<usize> {
    let start = bytes.as_ptr().addr();
    let inside = fetched.iter().filter(|at| {
        bytes
            .as_ptr_range()
            .contains(&std::ptr::without_provenance(**at))
    });
    inside.map(|at| at - start).collect()
}

#[test]
fn the_payload_a_page_ahead_is_fetched_line_by_line_and_nothing_outside() {
    let whole = tcp(0, ACK, &[], 9000).inside(0);
    let (frame, offload) = (whole.frame(), whole.offload());
    let (front, payload) = frame.split_at(whole.header_length());
    let super_frame =
        SuperFrame::new(front, frame.len(), &offload, SegmentLimits::DEFAULT).unwrap();
    for segment in super_frame.segments() {
        let start = segment.payload().start + 4096;
        let lines = segment.payload().len() / 64;
        let ahead: Vec<usize> = (start..)
            .step_by(64)
            .take(lines)
            .filter(|line| line + 64 <= payload.len())
            .collect();
        let header: Vec<usize> = (0..front.len()).step_by(64).collect();
        let mut out = vec![0; segment.length()];
        segment
            .emit_finished_header::<Noting>(payload, &mut out)
            .unwrap();
        let fetched = FETCHED.take();
        assert_eq!(fetched_within(&fetched, payload), ahead);
        assert_eq!(fetched_within(&fetched, &out), header);
        assert_eq!(fetched.len(), ahead.len() + header.len());

        segment.emit::<Noting>(payload, &mut out).unwrap();
        let fetched = FETCHED.take();
        assert_eq!(fetched_within(&fetched, payload), ahead);
        let place = front.len()..front.len() + 64 * lines;
        let places: Vec<usize> = header
            .into_iter()
            .chain(place.step_by(64).skip(4))
            .collect();
        assert_eq!(fetched_within(&fetched, &out), places);
        assert_eq!(fetched.len(), ahead.len() + places.len());
    }
}

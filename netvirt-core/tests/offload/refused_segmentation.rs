//! Super-frames that are not cut, and why.

use netvirt_core::offload::*;
use netvirt_core::wire::Malformed;

use crate::super_frames::*;
use crate::support::packets::*;

#[track_caller]
fn refused(whole: &Super, change: impl FnOnce(&mut Segmentation), error: InvalidSuperFrame) {
    let mut offload = whole.offload();
    change(offload.segmentation.as_mut().unwrap());
    assert_eq!(cut(&whole.frame(), &offload), Err(error));
}

fn as_it_is(_: &mut Segmentation) {}

fn plain() -> Super {
    tcp(0, ACK, &[], 3000)
}

#[test]
fn a_frame_that_is_not_to_be_cut() {
    let offload = Offload {
        segmentation: None,
        ..plain().offload()
    };
    assert_eq!(
        cut(&plain().frame(), &offload),
        Err(InvalidSuperFrame::NoSegmentation)
    );
}

#[test]
fn spec_6_super_frames_tiny_segments() {
    for size in [0, 1, 47] {
        refused(
            &plain(),
            |work| work.segment_size = size,
            InvalidSuperFrame::SegmentSize,
        );
    }
    let limits = SegmentLimits {
        smallest_segment: 0,
        ..SegmentLimits::DEFAULT
    };
    let whole = plain().with(|it| it.size = 0);
    let cut = cut_within(&whole.frame(), &whole.offload(), limits);
    assert_eq!(cut, Err(InvalidSuperFrame::SegmentSize));
    let whole = plain().with(|it| it.size = 1);
    let cut = cut_within(&whole.frame(), &whole.offload(), limits);
    assert_eq!(cut, Err(InvalidSuperFrame::TooManySegments));
    let whole = plain().with(|it| it.size = 48);
    assert_eq!(
        cut_within(&whole.frame(), &whole.offload(), SegmentLimits::DEFAULT)
            .unwrap()
            .len(),
        63
    );
}

#[test]
fn spec_6_super_frames_more_segments_than_the_limit() {
    let whole = plain();
    let within = |most_segments| {
        let limits = SegmentLimits {
            most_segments,
            ..SegmentLimits::DEFAULT
        };
        cut_within(&whole.frame(), &whole.offload(), limits).map(|segments| segments.len())
    };
    assert_eq!(within(3), Ok(3));
    assert_eq!(within(2), Err(InvalidSuperFrame::TooManySegments));
    assert_eq!(within(0), Err(InvalidSuperFrame::TooManySegments));
}

#[test]
fn a_header_length_that_is_not_that_of_the_headers() {
    for whole in [
        plain(),
        plain().inside(0),
        udp(1, 3000),
        udp(1, 3000).inside(1),
    ] {
        for wrong in [-1, 1, 4] {
            let header_length = (whole.header_length() as i32 + wrong) as u16;
            refused(
                &whole,
                |work| work.header_length = header_length,
                InvalidSuperFrame::HeaderLength,
            );
        }
    }
}

#[test]
fn a_header_length_in_front_of_the_transport_header() {
    let whole = plain().inside(0);
    for header_length in 0..whole.transport_offset() as u16 {
        let mut offload = whole.offload();
        offload.segmentation.as_mut().unwrap().header_length = header_length;
        assert!(cut(&whole.frame(), &offload).is_err(), "{header_length}");
    }
}

#[test]
fn spec_6_super_frames_headers_beyond_256_bytes() {
    // 80 bytes of extension headers reach behind that, together with a tunnel over IPv6 and all options of TCP.
    let long = |length| {
        let mut padding = vec![0, (length / 8 - 1) as u8, 1, length as u8 - 4];
        padding.resize(length, 0);
        tcp(1, ACK, &[1; 40], 3000)
            .inside(1)
            .with(|it| it.packet.extensions = vec![(60, padding)])
    };
    let fits = long(72);
    assert_eq!(fits.header_length(), 62 + 14 + 40 + 72 + 60);
    assert!(fits.header_length() <= 256);
    assert_eq!(cut(&fits.frame(), &fits.offload()), Ok(fits.expected()));
    let too_long = long(88);
    assert_eq!(too_long.header_length(), 264);
    refused(&too_long, as_it_is, InvalidSuperFrame::HeaderLength);
}

#[test]
fn headers_beyond_what_is_given_in_one_piece() {
    let whole = plain();
    let frame = whole.frame();
    let headers = whole.header_length();
    let given = |front| {
        SuperFrame::new(
            &frame[..front],
            frame.len(),
            &whole.offload(),
            SegmentLimits::DEFAULT,
        )
        .map(|_| ())
    };
    assert_eq!(given(headers), Ok(()));
    assert_eq!(given(headers - 1), Err(InvalidSuperFrame::HeaderLength));
    assert_eq!(given(0), Err(InvalidSuperFrame::HeaderLength));
}

#[test]
fn kinds_that_contradict_the_headers() {
    let kinds = [SegmentKind::TcpIpv4, SegmentKind::TcpIpv6, SegmentKind::Udp];
    for version in 0..2 {
        for whole in [tcp(version, ACK, &[], 3000), udp(version, 3000)] {
            for whole in [whole.clone(), whole.clone().inside(0), whole.inside(1)] {
                let right = whole.offload().segmentation.unwrap().kind;
                for kind in kinds.into_iter().filter(|kind| *kind != right) {
                    refused(&whole, |work| work.kind = kind, InvalidSuperFrame::Kind);
                }
            }
        }
    }
}

#[test]
fn what_is_neither_tcp_nor_udp() {
    for protocol in [1, 33, 50, 132, 136] {
        let whole = plain().with(|it| it.packet.protocol = protocol);
        let offload = plain().offload();
        assert_eq!(
            cut(&whole.frame(), &offload),
            Err(InvalidSuperFrame::Kind),
            "{protocol}"
        );
    }
    let mut frame = plain().frame();
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(
        cut(&frame, &plain().offload()),
        Err(InvalidSuperFrame::Kind)
    );
}

#[test]
fn tunnels_that_are_not_nvgre() {
    for change in [
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0x3000,
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0xa000,
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0,
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0x2001,
        |tunnel: &mut Tunnel| tunnel.gre_protocol = 0x0800,
    ] {
        for version in 0..2 {
            let whole = plain()
                .inside(version)
                .with(|it| change(it.tunnel.as_mut().unwrap()));
            refused(&whole, as_it_is, InvalidSuperFrame::Kind);
        }
    }
    // A tunnel in the tunnel is what the packet carries.
    let whole = plain().inside(0);
    let nested = tunnel(0).wrap(&whole.frame());
    let mut offload = whole.offload();
    offload.segmentation.as_mut().unwrap().header_length += 42;
    assert_eq!(cut(&nested, &offload), Err(InvalidSuperFrame::Kind));
}

#[test]
fn fragments() {
    for fragment in [0x2000, 0x2001, 0x0001, 0x0010] {
        for version in 0..2 {
            let whole = udp(version, 3000).with(|it| it.packet.fragment = fragment);
            refused(&whole, as_it_is, InvalidSuperFrame::Fragment);
            refused(&whole.inside(0), as_it_is, InvalidSuperFrame::Fragment);
        }
        let whole = plain()
            .inside(0)
            .with(|it| it.tunnel.as_mut().unwrap().fragment = fragment);
        refused(&whole, as_it_is, InvalidSuperFrame::Fragment);
    }
    // All segments would have the identification of an atomic fragment.
    let atomic = udp(1, 3000).with(|it| it.packet.fragment = 0);
    refused(&atomic, as_it_is, InvalidSuperFrame::Fragment);
}

#[test]
fn syn_rst_urg_and_urgent_pointers() {
    for flags in [SYN, RST, URG, SYN | ACK, RST | ACK, URG | ACK | PSH] {
        let whole = tcp(0, flags, &[], 3000);
        refused(&whole, as_it_is, InvalidSuperFrame::Flags);
        refused(&whole.inside(1), as_it_is, InvalidSuperFrame::Flags);
    }
    let urgent = plain().with(|it| it.packet.transport[19] = 1);
    refused(&urgent, as_it_is, InvalidSuperFrame::Flags);
}

#[test]
fn checksums_that_are_complete_or_elsewhere() {
    for whole in [
        plain(),
        plain().inside(0),
        udp(0, 3000),
        udp(1, 3000).inside(1),
    ] {
        let right = whole.offload().checksum.unwrap();
        let moved = |start: i32, offset: i32| {
            Some(PartialChecksum {
                start: (i32::from(right.start) + start) as u16,
                offset: (i32::from(right.offset) + offset) as u16,
            })
        };
        for checksum in [None, moved(1, 0), moved(-20, 0), moved(0, 2), moved(0, -2)] {
            let offload = Offload {
                checksum,
                ..whole.offload()
            };
            let cut = cut(&whole.frame(), &offload);
            assert_eq!(cut, Err(InvalidSuperFrame::Checksum), "{checksum:?}");
        }
    }
}

#[test]
fn spec_6_super_frames_lengths_that_contradict_the_frame() {
    for whole in [
        plain(),
        plain().inside(0),
        udp(0, 3000),
        udp(1, 3000).inside(1),
    ] {
        let mut padded = whole.frame();
        padded.push(0);
        assert_eq!(
            cut(&padded, &whole.offload()),
            Err(InvalidSuperFrame::Length)
        );
        let mut short = whole.frame();
        short.pop();
        let error = InvalidSuperFrame::Malformed(Malformed::TotalLength);
        assert_eq!(cut(&short, &whole.offload()), Err(error));
    }
    let whole = udp(0, 3000);
    let mut frame = whole.frame();
    frame[39] ^= 1;
    assert_eq!(
        cut(&frame, &whole.offload()),
        Err(InvalidSuperFrame::Length)
    );
}

#[test]
fn segments_that_no_ip_header_can_state() {
    // The inner packet is as long as can be; the tunnel's header has no room for it in one piece.
    for version in 0..2 {
        let most = 65_535 - 20 - 8 - 14 - 40;
        let whole = plain()
            .with(|it| it.payload = payload(65_535 - 40))
            .inside(version);
        let most = most + [0, 20][version];
        let of = |size| whole.clone().with(|it| it.size = size);
        let fits = of(most as u16);
        assert_eq!(cut(&fits.frame(), &fits.offload()), Ok(fits.expected()));
        refused(
            &of(most as u16 + 1),
            as_it_is,
            InvalidSuperFrame::SegmentTooLong,
        );
    }
    let largest = plain().with(|it| (it.payload, it.size) = (payload(65_535 - 40), u16::MAX));
    assert_eq!(
        cut(&largest.frame(), &largest.offload()),
        Ok(largest.expected())
    );
}

#[test]
fn malformed_outer_headers() {
    let whole = plain().inside(0);
    for (at, value) in [(14, 0x44), (14, 0x65), (14, 0x4f)] {
        let mut frame = whole.frame();
        frame[at] = value;
        assert!(cut(&frame, &whole.offload()).is_err(), "{value:x}");
    }
    let whole = plain().inside(1);
    let mut frame = whole.frame();
    frame[14] = 0x45;
    assert!(cut(&frame, &whole.offload()).is_err());
}

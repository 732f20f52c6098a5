//! The header of virtio-net (virtio 1.3 §5.1.6) in front of each frame of a TAP or a packet socket.
//!
//! It is written by a virtual machine, or by the kernel on its behalf, and says where in the frame somebody is still
//! to write. So it is not trusted: what it asks for must not touch what the switch decided by.

use netvirt_core::offload::{Offload, PartialChecksum, SegmentKind, Segmentation};
use netvirt_core::wire::{Facts, Network, parse, protocol};

/// Bytes of the header without the number of buffers, which is the one that packet sockets speak.
pub(super) const LENGTH: usize = 10;
/// Bytes of the header with the number of buffers, which is what virtio 1 and so TAPs speak.
pub(super) const LENGTH_WITH_BUFFERS: usize = 12;

const NEEDS_CHECKSUM: u8 = 1;

const GSO_NONE: u8 = 0;
const GSO_TCP_IPV4: u8 = 1;
const GSO_TCP_IPV6: u8 = 4;
const GSO_UDP: u8 = 5;
/// A bit beside the others: only the first segment may have the CWR flag, which is so with any segmentation.
const GSO_ECN: u8 = 0x80;

const TCP_CHECKSUM_OFFSET: u16 = 16;
/// SCTP alone has its checksum there, which is a CRC (RFC 9260 §6.8).
const SCTP_CHECKSUM_OFFSET: u16 = 8;
const UDP_CHECKSUM_OFFSET: u16 = 6;
const UDP_HEADER_LENGTH: u16 = 8;
/// The ports of TCP and UDP.
const PORTS_LENGTH: u16 = 4;

/// The same as [`read`], once an unfinished CRC of SCTP is finished: whoever sends the frame on would take it for a sum.
///
/// A TAP needs no such care. Its kernel finishes CRCs itself, unlike that of a veth pair.
pub(super) fn receive(header: &[u8; LENGTH], frame: &mut [u8]) -> Option<Offload> {
    let checksum = checksum_in(header);
    if checksum.is_some_and(|checksum| checksum.offset == SCTP_CHECKSUM_OFFSET) {
        finish_crc(header, frame)
    } else {
        read(header, frame)
    }
}

#[cold]
fn finish_crc(header: &[u8; LENGTH], frame: &mut [u8]) -> Option<Offload> {
    let crc = checksum_in(header)?;
    let facts = parse(frame, frame.len(), 0).ok()?;
    let is_own = crc.start == facts.transport_offset && facts.protocol == protocol::SCTP;
    if gso_type_in(header) != GSO_NONE || !facts.is_ip() || !(is_own || is_of_content(crc, &facts))
    {
        return None;
    }
    // Padding is no part of the packet.
    let packet = frame.get_mut(usize::from(crc.start)..facts.end as usize)?;
    let place = usize::from(crc.offset)..usize::from(crc.offset) + size_of::<u32>();
    packet.get_mut(place.clone())?.fill(0);
    let finished = crc32c::crc32c(packet).to_le_bytes();
    packet.get_mut(place)?.copy_from_slice(&finished);
    Some(Offload::NONE)
}

/// What is still to be done to `frame`; nothing if the header contradicts itself or the frame.
pub(super) fn read(header: &[u8; LENGTH], frame: &[u8]) -> Option<Offload> {
    let gso_type = gso_type_in(header);
    let Some(checksum) = checksum_in(header) else {
        // Segments need checksums of their own (virtio 1.3 §5.1.6.2), so a super-frame without one is none.
        return (gso_type == GSO_NONE).then_some(Offload::NONE);
    };
    let facts = parse(frame, frame.len(), 0).ok()?;
    if !is_behind_what_decides(checksum, &facts) || !is_within(checksum, frame) {
        return None;
    }
    let segmentation = match gso_type {
        GSO_NONE => None,
        _ => Some(Segmentation {
            kind: kind_of(gso_type, checksum, &facts)?,
            segment_size: segment_size_in(header)?,
            header_length: header_length(checksum, frame)?,
        }),
    };
    Some(Offload {
        checksum: Some(checksum),
        segmentation,
        hash: None,
    })
}

fn checksum_in(header: &[u8; LENGTH]) -> Option<PartialChecksum> {
    let [flags, _, _, _, _, _, c0, c1, o0, o1] = *header;
    (flags & NEEDS_CHECKSUM != 0).then_some(PartialChecksum {
        start: u16::from_ne_bytes([c0, c1]),
        offset: u16::from_ne_bytes([o0, o1]),
    })
}

const fn gso_type_in(header: &[u8; LENGTH]) -> u8 {
    let [_, gso_type, ..] = *header;
    gso_type & !GSO_ECN
}

fn segment_size_in(header: &[u8; LENGTH]) -> Option<u16> {
    let [_, _, _, _, s0, s1, ..] = *header;
    Some(u16::from_ne_bytes([s0, s1])).filter(|&size| size > 0)
}

/// Whether the checksum is the packet's own, or lies in what the packet carries: a field among its addresses or ports
/// would change them after the switch has believed them.
fn is_behind_what_decides(checksum: PartialChecksum, facts: &Facts) -> bool {
    let is_own = checksum.start == facts.transport_offset
        && match facts.protocol {
            protocol::TCP => checksum.offset == TCP_CHECKSUM_OFFSET,
            protocol::UDP => checksum.offset == UDP_CHECKSUM_OFFSET,
            _ => false,
        };
    facts.is_ip() && (is_own || is_of_content(checksum, facts))
}

/// A machine, or a host, may run a tunnel of its own.
fn is_of_content(checksum: PartialChecksum, facts: &Facts) -> bool {
    checksum.start >= facts.transport_offset.saturating_add(PORTS_LENGTH)
}

fn is_within(checksum: PartialChecksum, frame: &[u8]) -> bool {
    let position = usize::from(checksum.start) + usize::from(checksum.offset);
    position + 2 <= frame.len()
}

fn kind_of(gso_type: u8, checksum: PartialChecksum, facts: &Facts) -> Option<SegmentKind> {
    let (kind, offset, network) = match gso_type {
        GSO_TCP_IPV4 => (
            SegmentKind::TcpIpv4,
            TCP_CHECKSUM_OFFSET,
            Some(Network::Ipv4),
        ),
        GSO_TCP_IPV6 => (
            SegmentKind::TcpIpv6,
            TCP_CHECKSUM_OFFSET,
            Some(Network::Ipv6),
        ),
        GSO_UDP => (SegmentKind::Udp, UDP_CHECKSUM_OFFSET, None),
        _ => return None,
    };
    let is_carried = checksum.start != facts.transport_offset;
    let fits = is_carried || network.is_none_or(|network| network == facts.network);
    (fits && checksum.offset == offset).then_some(kind)
}

/// Read from the frame: the header's own length is a hint, and Linux states what it could copy at once.
fn header_length(checksum: PartialChecksum, frame: &[u8]) -> Option<u16> {
    let transport = frame.get(usize::from(checksum.start)..)?;
    let length = match checksum.offset {
        TCP_CHECKSUM_OFFSET => u16::from(transport.get(12)? >> 4) * 4,
        _ => UDP_HEADER_LENGTH,
    };
    let is_whole = usize::from(length) <= transport.len() && length > checksum.offset;
    is_whole.then_some(checksum.start.checked_add(length)?)
}

/// The header that asks for the work in `offload`.
pub(super) fn write(offload: &Offload) -> [u8; LENGTH_WITH_BUFFERS] {
    let mut header = [0; LENGTH_WITH_BUFFERS];
    let [flags, gso_type, l0, l1, s0, s1, c0, c1, o0, o1, ..] = &mut header;
    if let Some(checksum) = offload.checksum {
        *flags = NEEDS_CHECKSUM;
        [*c0, *c1] = checksum.start.to_ne_bytes();
        [*o0, *o1] = checksum.offset.to_ne_bytes();
    }
    if let Some(segmentation) = offload.segmentation {
        *gso_type = match segmentation.kind {
            SegmentKind::TcpIpv4 => GSO_TCP_IPV4,
            SegmentKind::TcpIpv6 => GSO_TCP_IPV6,
            SegmentKind::Udp => GSO_UDP,
        };
        [*l0, *l1] = segmentation.header_length.to_ne_bytes();
        [*s0, *s1] = segmentation.segment_size.to_ne_bytes();
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGGED: [u8; 4] = [0x81, 0x00, 0x00, 0x05];

    fn ipv4(protocol: u8, transport: &[u8]) -> Vec<u8> {
        let length = (20 + transport.len()) as u16;
        let mut frame = vec![2; 12];
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend(transport);
        frame
    }

    fn ipv6(protocol: u8, transport: &[u8]) -> Vec<u8> {
        let length = transport.len() as u16;
        let mut frame = vec![2; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend([0xfd; 32]);
        frame.extend(transport);
        frame
    }

    /// A TCP segment whose header has `options` bytes of options and claims them.
    fn tcp(options: usize, payload: usize) -> Vec<u8> {
        let mut segment = vec![0; 20 + options + payload];
        segment[12] = ((20 + options) as u8 / 4) << 4;
        segment
    }

    fn header(flags: u8, gso_type: u8, size: u16, start: u16, offset: u16) -> [u8; LENGTH] {
        let [s0, s1] = size.to_ne_bytes();
        let [c0, c1] = start.to_ne_bytes();
        let [o0, o1] = offset.to_ne_bytes();
        // Linux puts a length there that says nothing.
        [flags, gso_type, 0xff, 0xff, s0, s1, c0, c1, o0, o1]
    }

    fn partial(start: u16, offset: u16) -> [u8; LENGTH] {
        header(NEEDS_CHECKSUM, GSO_NONE, 0, start, offset)
    }

    fn work(start: u16, offset: u16) -> Offload {
        Offload {
            checksum: Some(PartialChecksum { start, offset }),
            ..Offload::NONE
        }
    }

    #[test]
    fn no_header_asks_for_nothing() {
        assert_eq!(read(&[0; LENGTH], &[]), Some(Offload::NONE));
        assert_eq!(write(&Offload::NONE), [0; LENGTH_WITH_BUFFERS]);
        // What a NIC has verified needs no work.
        let verified = header(2, GSO_NONE, 0, 0xffff, 0xffff);
        assert_eq!(read(&verified, &[]), Some(Offload::NONE));
    }

    #[test]
    fn the_checksum_of_tcp_and_udp_may_be_partial() {
        for (frame, start, offset) in [
            (ipv4(protocol::TCP, &tcp(0, 0)), 34, 16),
            (ipv4(protocol::UDP, &[0; 8]), 34, 6),
            (ipv6(protocol::TCP, &tcp(0, 0)), 54, 16),
            (ipv6(protocol::UDP, &[0; 8]), 54, 6),
        ] {
            let offload = read(&partial(start, offset), &frame);
            assert_eq!(offload, Some(work(start, offset)));
            let mut tagged = frame;
            tagged.splice(12..12, TAGGED);
            let offload = read(&partial(start + 4, offset), &tagged);
            assert_eq!(offload, Some(work(start + 4, offset)));
        }
    }

    #[test]
    fn an_unfinished_crc_of_sctp_is_finished() {
        // The CRC32c of 32 zeros, in the order of the wire (RFC 3720 §B.4).
        const FINISHED: [u8; 4] = [0xaa, 0x36, 0x91, 0x8a];
        let mut chunk = [0; 32];
        chunk[8..12].copy_from_slice(b"left");
        let tunnelled = ipv4(protocol::UDP, &[&[0; 30][..], &chunk].concat());
        for (mut frame, start) in [
            (ipv4(protocol::SCTP, &chunk), 34),
            (ipv6(protocol::SCTP, &chunk), 54),
            (tunnelled, 64),
        ] {
            let mut finished = frame.clone();
            let place = usize::from(start) + 8;
            finished[place..place + 4].copy_from_slice(&FINISHED);
            for padding in [&b""[..], b"padding"] {
                frame.extend(padding);
                finished.extend(padding);
                let offload = receive(&partial(start, 8), &mut frame);
                assert_eq!(offload, Some(Offload::NONE));
                assert_eq!(frame, finished);
            }
        }
    }

    #[test]
    fn a_crc_that_does_not_fit_its_packet_is_refused() {
        let mut cut = ipv4(protocol::SCTP, &[0; 11]);
        assert_eq!(receive(&partial(34, 8), &mut cut), None);
        cut.extend(b"padding");
        assert_eq!(receive(&partial(34, 8), &mut cut), None);
        let mut super_frame = ipv4(protocol::SCTP, &[0; 3000]);
        for gso_type in 1..6 {
            let header = header(NEEDS_CHECKSUM, gso_type, 1400, 34, 8);
            assert_eq!(receive(&header, &mut super_frame), None);
        }
    }

    #[test]
    fn a_checksum_that_would_change_addresses_or_ports_is_refused() {
        let frame = ipv4(protocol::UDP, &[0; 30]);
        let last = frame.len() as u16 - 2;
        for field in 0..=last {
            for start in 0..=field {
                let offset = field - start;
                let is_own = start == 34 && offset == 6;
                let is_content = start >= 38;
                assert_eq!(
                    read(&partial(start, offset), &frame).is_some(),
                    is_own || is_content,
                    "{start} + {offset}"
                );
            }
        }
    }

    #[test]
    fn spec_6_guest_headers_with_a_checksum_beyond_the_frame_are_refused() {
        for payload in 0..4 {
            let frame = ipv4(protocol::UDP, &vec![0; 8 + payload]);
            let last = frame.len() as u16 - 2;
            for offset in 0..6 {
                let inside = 38 + offset <= last;
                let offload = read(&partial(38, offset), &frame);
                assert_eq!(offload.is_some(), inside, "{payload} {offset}");
            }
            assert_eq!(read(&partial(last + 1, 0), &frame), None);
        }
        let cut = ipv4(protocol::UDP, &[0; 7]);
        assert_eq!(read(&partial(34, 6), &cut), None);
        let frame = ipv4(protocol::UDP, &[0; 8]);
        for (start, offset) in [(0xffff, 0), (0, 0xffff), (0xffff, 0xffff), (34, 0xffff)] {
            assert_eq!(read(&partial(start, offset), &frame), None);
        }
    }

    #[test]
    fn what_is_not_ip_has_no_partial_checksum() {
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        let mut unknown = arp.clone();
        unknown[12..14].copy_from_slice(&[0x88, 0xb5]);
        for frame in [&arp[..], &unknown, &arp[..13], &[]] {
            assert_eq!(read(&partial(40, 6), frame), None);
        }
        let icmp = ipv4(protocol::ICMP, &[0; 20]);
        assert_eq!(read(&partial(34, 2), &icmp), None);
    }

    #[test]
    fn super_frames_are_understood() {
        for (frame, gso_type, start, offset, kind, header_length) in [
            (
                ipv4(protocol::TCP, &tcp(12, 3000)),
                1,
                34,
                16,
                SegmentKind::TcpIpv4,
                66,
            ),
            (
                ipv6(protocol::TCP, &tcp(0, 3000)),
                4,
                54,
                16,
                SegmentKind::TcpIpv6,
                74,
            ),
            (
                ipv4(protocol::UDP, &[0; 3008]),
                5,
                34,
                6,
                SegmentKind::Udp,
                42,
            ),
        ] {
            let offload = Offload {
                segmentation: Some(Segmentation {
                    kind,
                    segment_size: 1400,
                    header_length,
                }),
                ..work(start, offset)
            };
            for ecn in [0, GSO_ECN] {
                let header = header(NEEDS_CHECKSUM, gso_type | ecn, 1400, start, offset);
                assert_eq!(read(&header, &frame), Some(offload));
            }
            let written = write(&offload);
            assert_eq!(written[2..4], header_length.to_ne_bytes());
            assert_eq!(written[LENGTH..], [0; 2]);
            assert_eq!(read(written.first_chunk().unwrap(), &frame), Some(offload));
        }
    }

    #[test]
    fn spec_6_guest_headers_that_contradict_themselves_are_refused() {
        let tcp4 = ipv4(protocol::TCP, &tcp(12, 3000));
        let udp = ipv4(protocol::UDP, &[0; 3008]);
        let claims = |frame: &[u8], flags, gso_type, size, offset| {
            read(&header(flags, gso_type, size, 34, offset), frame)
        };
        assert!(claims(&tcp4, NEEDS_CHECKSUM, 1, 1400, 16).is_some());
        assert_eq!(claims(&tcp4, 0, 1, 1400, 16), None, "no checksum");
        assert_eq!(claims(&tcp4, NEEDS_CHECKSUM, 1, 0, 16), None, "no size");
        assert_eq!(claims(&tcp4, NEEDS_CHECKSUM, 4, 1400, 16), None, "IPv6");
        assert_eq!(claims(&tcp4, NEEDS_CHECKSUM, 5, 1400, 16), None, "UDP");
        assert_eq!(claims(&udp, NEEDS_CHECKSUM, 1, 1400, 6), None, "TCP");
        // UDP fragmentation, and what there is not.
        for gso_type in [2, 3, 6, 0x7f] {
            assert_eq!(claims(&udp, NEEDS_CHECKSUM, gso_type, 1400, 6), None);
        }
        for data_offset in [0, 4, 15] {
            let mut wrong = ipv4(protocol::TCP, &tcp(0, 8));
            wrong[34 + 12] = data_offset << 4;
            let offload = claims(&wrong, NEEDS_CHECKSUM, 1, 1400, 16);
            assert_eq!(offload, None, "{data_offset}");
        }
    }
}

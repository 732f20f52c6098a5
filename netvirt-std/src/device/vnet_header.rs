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
const UDP_CHECKSUM_OFFSET: u16 = 6;
const UDP_HEADER_LENGTH: u16 = 8;
/// The ports of TCP and UDP.
const PORTS_LENGTH: u16 = 4;

/// What is still to be done to `frame`; nothing if the header contradicts itself or the frame.
pub(super) fn read(header: &[u8; LENGTH], frame: &[u8]) -> Option<Offload> {
    let [flags, gso_type, _, _, s0, s1, c0, c1, o0, o1] = *header;
    let gso_type = gso_type & !GSO_ECN;
    if flags & NEEDS_CHECKSUM == 0 {
        // Segments need checksums of their own (virtio 1.3 §5.1.6.2), so a super-frame without one is none.
        return (gso_type == GSO_NONE).then_some(Offload::NONE);
    }
    let checksum = PartialChecksum {
        start: u16::from_ne_bytes([c0, c1]),
        offset: u16::from_ne_bytes([o0, o1]),
    };
    let facts = parse(frame, frame.len(), 0).ok()?;
    if !is_behind_what_decides(checksum, &facts) || !is_within(checksum, frame) {
        return None;
    }
    let segmentation = match gso_type {
        GSO_NONE => None,
        _ => Some(Segmentation {
            kind: kind_of(gso_type, checksum, &facts)?,
            segment_size: Some(u16::from_ne_bytes([s0, s1])).filter(|&size| size > 0)?,
            header_length: header_length(checksum, frame)?,
        }),
    };
    Some(Offload {
        checksum: Some(checksum),
        segmentation,
        hash: None,
    })
}

/// Whether the checksum is the packet's own, or lies in what the packet carries: a field among its addresses or ports
/// would change them after the switch has believed them.
fn is_behind_what_decides(checksum: PartialChecksum, facts: &Facts) -> bool {
    let is_ip = matches!(facts.network, Network::Ipv4 | Network::Ipv6);
    let is_own = checksum.start == facts.transport_offset
        && match facts.protocol {
            protocol::TCP => checksum.offset == TCP_CHECKSUM_OFFSET,
            protocol::UDP => checksum.offset == UDP_CHECKSUM_OFFSET,
            _ => false,
        };
    // A machine, or a host, may run a tunnel of its own.
    let is_of_content = checksum.start >= facts.transport_offset.saturating_add(PORTS_LENGTH);
    is_ip && (is_own || is_of_content)
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
    fn a_checksum_beyond_the_frame_is_refused() {
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
    fn super_frames_that_contradict_themselves_are_refused() {
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

//! A super-frame of TCP, plain and inside NVGRE, and the check of its segments by smoltcp.

use netvirt_core::offload::{Offload, PartialChecksum, SegmentKind, Segmentation};
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};

/// Payload bytes of a segment.
pub const SEGMENT: usize = 1400;
/// Payload bytes of the super-frame: as many as an IPv4 packet carries.
pub const PAYLOAD: usize = 65_535 - 40;
/// How many segments that is.
pub const SEGMENTS: usize = PAYLOAD.div_ceil(SEGMENT);
/// Bytes of NVGRE over IPv4 in front of a frame.
pub const TUNNEL: usize = 14 + 20 + 8;
/// Bytes of Ethernet, IPv4 and TCP headers.
pub const HEADERS: usize = 14 + 20 + 20;

const SEQUENCE: u32 = 0xffff_0000;

/// What the segments are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Ethernet.
    Plain,
    /// NVGRE over IPv4.
    Nvgre,
}

impl Carrier {
    /// Bytes in front of the frame.
    pub const fn length(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::Nvgre => TUNNEL,
        }
    }

    /// The work beside the super-frame.
    pub fn offload(self) -> Offload {
        Offload {
            checksum: Some(PartialChecksum {
                start: (self.length() + 34) as u16,
                offset: 16,
            }),
            segmentation: Some(Segmentation {
                kind: SegmentKind::TcpIpv4,
                segment_size: SEGMENT as u16,
                header_length: (self.length() + HEADERS) as u16,
            }),
            hash: None,
        }
    }

    /// All headers of the super-frame, from `port`.
    pub fn front(self, port: u16) -> Vec<u8> {
        let mut front = vec![];
        if self == Self::Nvgre {
            front.extend([2, 0, 0, 0, 0, 0x16, 2, 0, 0, 0, 0, 0x0b, 0x08, 0]);
            // The length of so much has no room in its field; segments get their own.
            let length = (28 + HEADERS + PAYLOAD) as u16;
            front.extend(ipv4(length, 47, [192, 168, 4, 11], [192, 168, 4, 22]));
            front.extend([0x20, 0, 0x65, 0x58, 0, 0x13, 0x89, 0xa7]);
        }
        front.extend([6, 6, 0, 0, 0, 7, 6, 6, 0, 0, 0, 5, 0x08, 0]);
        front.extend(ipv4((40 + PAYLOAD) as u16, 6, [10, 0, 0, 5], [10, 0, 0, 7]));
        front.extend(port.to_be_bytes());
        front.extend([0, 80]);
        front.extend(SEQUENCE.to_be_bytes());
        front.extend([0, 0, 0, 2, 0x50, 0x18, 0x7f, 0xff]);
        let pseudo = [10, 0, 0, 5, 10, 0, 0, 7, 0, 6];
        let length = ((20 + PAYLOAD) as u16).to_be_bytes();
        front.extend((!checksum(&[&pseudo[..], &length].concat())).to_be_bytes());
        front.extend([0, 0]);
        front
    }
}

/// Bytes of which no two segments are alike.
pub fn payload() -> Vec<u8> {
    (0..PAYLOAD as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn ipv4(length: u16, protocol: u8, source: [u8; 4], destination: [u8; 4]) -> [u8; 20] {
    let mut header = [
        0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header[12..16].copy_from_slice(&source);
    header[16..].copy_from_slice(&destination);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !(((sum & 0xffff) + (sum >> 16)) as u16)
}

/// Checks a whole segment by what smoltcp reads in it.
///
/// # Panics
/// If it is not the segment of this number.
pub fn check(segment: &[u8], number: usize, carrier: Carrier, payload: &[u8]) {
    let mut frame = segment;
    if carrier == Carrier::Nvgre {
        let outer = Ipv4Packet::new_checked(&segment[14..]).expect("outer header");
        assert!(outer.verify_checksum());
        assert_eq!(usize::from(outer.total_len()), segment.len() - 14);
        assert_eq!(usize::from(outer.ident()), number + 1);
        frame = &segment[TUNNEL..];
    }
    let ethernet = EthernetFrame::new_checked(frame).expect("Ethernet");
    let ipv4 = Ipv4Packet::new_checked(ethernet.payload()).expect("IPv4");
    assert!(ipv4.verify_checksum());
    assert_eq!(usize::from(ipv4.total_len()), frame.len() - 14);
    assert_eq!(usize::from(ipv4.ident()), number + 1);
    let tcp = TcpPacket::new_checked(ipv4.payload()).expect("TCP");
    assert!(tcp.verify_checksum(&ipv4.src_addr().into(), &ipv4.dst_addr().into()));
    let start = number * SEGMENT;
    let expected = &payload[start..PAYLOAD.min(start + SEGMENT)];
    assert_eq!(
        tcp.seq_number().0 as u32,
        SEQUENCE.wrapping_add(start as u32)
    );
    assert_eq!(tcp.psh(), number + 1 == SEGMENTS);
    assert_eq!(tcp.payload(), expected);
}

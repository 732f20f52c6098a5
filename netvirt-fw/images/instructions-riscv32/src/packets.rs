//! The walks that are measured, and their packets.

use netvirt_core::checksum;
use netvirt_core::offload::{Offload, PartialChecksum, SegmentKind, Segmentation};

use crate::network::{FAR, NEAR, NEAR_REWRITTEN, NOBODY, ROUTER, Station};

/// Bytes of a buffer.
pub const LONGEST: usize = 4096;

/// A way through the NIC.
pub struct Walk {
    pub name: &'static str,
    pub way: Way,
    to: Station,
    /// Bytes of the frames of machines.
    pub lengths: &'static [usize],
    /// Frames that leave for each that comes in.
    pub leaving: usize,
    is_super_frame: bool,
}

/// The direction, and the port of the machine.
#[derive(Clone, Copy)]
pub enum Way {
    /// From a machine to the wire.
    Out(u32),
    /// From the wire to a machine: the answer to what left.
    In(u32),
}

const fn walk(name: &'static str, way: Way, to: Station) -> Walk {
    Walk {
        name,
        way,
        to,
        lengths: &[64, 1400],
        leaving: 1,
        is_super_frame: false,
    }
}

const SEGMENT: usize = 1400;
const SEGMENTS: usize = 2;

pub const WALKS: &[Walk] = &[
    walk("encapsulate", Way::Out(NEAR.port), FAR),
    walk("decapsulate", Way::In(NEAR.port), FAR),
    walk("rewrite, out", Way::Out(NEAR_REWRITTEN.port), FAR),
    walk("rewrite, in", Way::In(NEAR_REWRITTEN.port), FAR),
    walk("routed", Way::Out(NEAR.port), ROUTER),
    Walk {
        leaving: 0,
        ..walk("refused", Way::Out(NEAR.port), NOBODY)
    },
    Walk {
        lengths: &[TCP_PAYLOAD + SEGMENTS * SEGMENT],
        leaving: SEGMENTS,
        is_super_frame: true,
        ..walk("segmented in two", Way::Out(NEAR.port), FAR)
    },
];

impl Walk {
    /// What the machine sends.
    pub fn packet(&self, length: usize) -> Packet {
        let from = match self.way {
            Way::Out(NEAR_PORT) | Way::In(NEAR_PORT) => NEAR,
            _ => NEAR_REWRITTEN,
        };
        match self.is_super_frame {
            true => Packet::super_frame(&from, &self.to, length),
            false => Packet::udp(&from, &self.to, length),
        }
    }
}

const NEAR_PORT: u32 = NEAR.port;

const IP: usize = 14;
const ADDRESSES: usize = IP + 12;
const TRANSPORT: usize = IP + 20;
const TCP_PAYLOAD: usize = TRANSPORT + 20;
const UDP: u8 = 17;
const TCP: u8 = 6;
const GRE: u8 = 47;
/// Bytes in front of the frame inside a tunnel.
const TUNNEL: usize = TRANSPORT + 8;

/// A frame and the work that is left to be done to it.
pub struct Packet {
    bytes: [u8; LONGEST],
    length: usize,
    pub offload: Offload,
}

impl Packet {
    pub fn new(frame: &[u8]) -> Self {
        let mut bytes = [0; LONGEST];
        bytes[..frame.len()].copy_from_slice(frame);
        Self {
            bytes,
            length: frame.len(),
            offload: Offload::NONE,
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn udp(from: &Station, to: &Station, length: usize) -> Self {
        let mut packet = Self::ipv4(from, to, UDP, length);
        let transport = &mut packet.bytes[TRANSPORT..length];
        transport[..4].copy_from_slice(&[0xc0, 0, 0x1f, 0x90]);
        let bytes = (transport.len() as u16).to_be_bytes();
        transport[4..6].copy_from_slice(&bytes);
        packet.complete(6);
        packet
    }

    fn super_frame(from: &Station, to: &Station, length: usize) -> Self {
        let mut packet = Self::ipv4(from, to, TCP, length);
        let transport = &mut packet.bytes[TRANSPORT..length];
        transport[..4].copy_from_slice(&[0xc0, 0, 0x1f, 0x90]);
        transport[12..14].copy_from_slice(&[0x50, 0x10]);
        packet.offload = Offload {
            checksum: Some(PartialChecksum {
                start: TRANSPORT as u16,
                offset: 16,
            }),
            segmentation: Some(Segmentation {
                kind: SegmentKind::TcpIpv4,
                segment_size: SEGMENT as u16,
                header_length: TCP_PAYLOAD as u16,
            }),
            hash: None,
        };
        packet
    }

    fn ipv4(from: &Station, to: &Station, protocol: u8, length: usize) -> Self {
        let mut packet = Self::new(&[0; LONGEST]);
        packet.length = length;
        let ethernet = [&to.mac.0[..], &from.mac.0, &[8, 0]];
        let mut place = 0;
        for part in ethernet {
            packet.bytes[place..place + part.len()].copy_from_slice(part);
            place += part.len();
        }
        let [high, low] = ((length - IP) as u16).to_be_bytes();
        let [f0, f1, f2, f3] = from.address;
        let [t0, t1, t2, t3] = to.address;
        let mut header = [
            0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0, f0, f1, f2, f3, t0, t1, t2, t3,
        ];
        let sum = !checksum::ipv4_header_sum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.bytes[IP..TRANSPORT].copy_from_slice(&header);
        packet
    }

    /// Makes the transport checksum at this offset.
    fn complete(&mut self, offset: usize) {
        let length = self.length;
        let protocol = u16::from(self.bytes[IP + 9]);
        let [high, low] = (protocol + (length - TRANSPORT) as u16).to_be_bytes();
        // The rest of the pseudo-header is right before.
        let mut covered = [0; LONGEST];
        covered[..2].copy_from_slice(&[high, low]);
        let rest = &self.bytes[ADDRESSES..length];
        covered[2..2 + rest.len()].copy_from_slice(rest);
        let sum = !checksum::sum(&covered[..2 + rest.len()]);
        self.bytes[TRANSPORT + offset..][..2].copy_from_slice(&sum.to_be_bytes());
    }

    /// Turns it into the answer: all that comes in pairs changes places, which no checksum sees.
    pub fn mirror(&mut self) {
        mirror(&mut self.bytes[..self.length]);
    }
}

fn mirror(frame: &mut [u8]) {
    exchange::<6>(frame, 0);
    exchange::<4>(frame, ADDRESSES);
    match frame[IP + 9] {
        GRE => mirror(&mut frame[TUNNEL..]),
        _ => exchange::<2>(frame, TRANSPORT),
    }
}

fn exchange<const N: usize>(frame: &mut [u8], place: usize) {
    let (first, second) = frame[place..].split_at_mut(N);
    first.swap_with_slice(&mut second[..N]);
}

//! Super-frames, and the segments that they must become: each built as a packet of its own, every length and checksum
//! computed from scratch.

use netvirt_core::offload::*;
use netvirt_core::table::Portable;

use crate::support::network::Network;
use crate::support::packets::*;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;
pub const ECE: u8 = 0x40;
pub const CWR: u8 = 0x80;

/// A super-frame in the making.
#[derive(Debug, Clone)]
pub struct Super {
    /// The packet, whose transport is the header alone.
    pub packet: Packet,
    pub payload: Vec<u8>,
    pub size: u16,
    pub tunnel: Option<Tunnel>,
    /// The identification of the outer IPv4 header.
    pub outer_identification: u16,
    /// The flow label of the packet, if it is IPv6.
    pub flow_label: u32,
}

/// Bytes of which no two windows are alike.
pub fn payload(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn addresses(version: usize) -> [&'static str; 2] {
    [["10.0.0.5", "10.0.0.7"], ["2001:db8::5", "2001:db8::7"]][version]
}

/// TCP with these flags and options, over IPv4 (0) or IPv6 (1), cut by 1400 bytes.
pub fn tcp(version: usize, flags: u8, options: &[u8], length: usize) -> Super {
    let [source, destination] = addresses(version);
    let mut header = hex("04d2 0050 fffffa00 00000002");
    header.extend([((20 + options.len()) as u8) << 2, flags]);
    header.extend(hex("7fff 0000 0000"));
    header.extend(options);
    Super::of(Packet::raw(source, destination, 6, &header), length)
}

/// UDP, over IPv4 (0) or IPv6 (1), cut by 1400 bytes.
pub fn udp(version: usize, length: usize) -> Super {
    let [source, destination] = addresses(version);
    let header = hex("0457 08ae 0000 0000");
    Super::of(Packet::raw(source, destination, 17, &header), length)
}

/// The outer headers of host 1 towards host 2, over IPv4 (0) or IPv6 (1).
pub fn tunnel(version: usize) -> Tunnel {
    let hosts = [["192.168.4.11", "192.168.4.22"], ["fd00::11", "fd00::22"]][version];
    Network::standard().tunnel(1, 2, 5001).with(|tunnel| {
        tunnel.source = ip(hosts[0]);
        tunnel.destination = ip(hosts[1]);
    })
}

impl Super {
    fn of(packet: Packet, length: usize) -> Self {
        Self {
            packet,
            payload: payload(length),
            size: 1400,
            tunnel: None,
            outer_identification: 0,
            flow_label: 0,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Inside NVGRE over IPv4 (0) or IPv6 (1).
    pub fn inside(self, version: usize) -> Self {
        self.with(|it| it.tunnel = Some(tunnel(version)))
    }

    pub fn is_tcp(&self) -> bool {
        self.packet.protocol == 6
    }

    fn checksum_at(&self) -> usize {
        if self.is_tcp() { 16 } else { 6 }
    }

    /// Where the transport header begins.
    pub fn transport_offset(&self) -> usize {
        self.header_length() - self.packet.transport.len()
    }

    /// Bytes of all headers.
    pub fn header_length(&self) -> usize {
        self.wrap(&self.packet, 0).len()
    }

    /// Where the frame of the packet itself begins.
    pub fn inner_offset(&self) -> usize {
        self.header_length() - self.packet.frame().len()
    }

    /// Whether the packets of UDP have a checksum.
    fn has_checksum(&self) -> bool {
        self.is_tcp() || self.packet.transport[6..8] != [0xaa; 2]
    }

    /// UDP without checksums.
    pub fn without_checksum(self) -> Self {
        // Told apart from a field that is still to be written.
        self.with(|it| it.packet.transport[6..8].fill(0xaa))
    }

    pub fn offload(&self) -> Offload {
        let start = self.transport_offset() as u16;
        let offset = self.checksum_at() as u16;
        Offload {
            checksum: self
                .has_checksum()
                .then_some(PartialChecksum { start, offset }),
            segmentation: Some(Segmentation {
                kind: match (self.is_tcp(), self.packet.source.is_ipv4()) {
                    (true, true) => SegmentKind::TcpIpv4,
                    (true, false) => SegmentKind::TcpIpv6,
                    (false, _) => SegmentKind::Udp,
                },
                segment_size: self.size,
                header_length: self.header_length() as u16,
            }),
            hash: Some(0x1234_5678),
        }
    }

    /// The whole frame, with the sum of the pseudo header in the place of the checksum.
    pub fn frame(&self) -> Vec<u8> {
        let mut packet = self.with_payload(&self.payload);
        if self.has_checksum() {
            let mut nothing = vec![0; packet.transport.len()];
            fill_transport(
                packet.source,
                packet.destination,
                packet.protocol,
                &mut nothing,
            );
            let at = self.checksum_at();
            let sum = !u16::from_be_bytes([nothing[at], nothing[at + 1]]);
            packet.transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        self.wrap(&packet, self.outer_identification)
    }

    /// The segments, one by one, from scratch.
    pub fn expected(&self) -> Vec<Vec<u8>> {
        let size = usize::from(self.size);
        let chunks: Vec<&[u8]> = match self.payload.is_empty() {
            true => vec![&[]],
            false => self.payload.chunks(size).collect(),
        };
        let last = chunks.len() - 1;
        let segment = |(number, chunk): (usize, &&[u8])| {
            let mut packet = self.with_payload(chunk);
            packet.identification = packet.identification.wrapping_add(number as u16);
            if self.is_tcp() {
                let field: [u8; 4] = packet.transport[4..8].try_into().unwrap();
                let sequence = u32::from_be_bytes(field).wrapping_add((number * size) as u32);
                packet.transport[4..8].copy_from_slice(&sequence.to_be_bytes());
                if number > 0 {
                    packet.transport[13] &= !CWR;
                }
                if number < last {
                    packet.transport[13] &= !(FIN | PSH);
                }
            }
            if self.has_checksum() {
                fill_transport(
                    packet.source,
                    packet.destination,
                    packet.protocol,
                    &mut packet.transport,
                );
            }
            self.wrap(
                &packet,
                self.outer_identification.wrapping_add(number as u16),
            )
        };
        chunks.iter().enumerate().map(segment).collect()
    }

    fn with_payload(&self, payload: &[u8]) -> Packet {
        let mut packet = self.packet.clone();
        packet.transport.extend(payload);
        if !self.is_tcp() {
            let length = packet.transport.len() as u16;
            packet.transport[4..6].copy_from_slice(&length.to_be_bytes());
            packet.transport[6..8].fill(0);
        }
        packet
    }

    fn wrap(&self, packet: &Packet, outer_identification: u16) -> Vec<u8> {
        let mut inner = packet.frame();
        if packet.source.is_ipv6() {
            let at = 14 + 4 * packet.tags.len();
            inner[at + 1] |= (self.flow_label >> 16) as u8 & 0x0f;
            inner[at + 2..at + 4].copy_from_slice(&(self.flow_label as u16).to_be_bytes());
        }
        let Some(tunnel) = &self.tunnel else {
            return inner;
        };
        let mut frame = tunnel.wrap(&inner);
        if tunnel.source.is_ipv4() {
            let at = 14 + 4 * tunnel.tags.len();
            let header = &mut frame[at..at + 20 + tunnel.ipv4_options.len()];
            header[4..6].copy_from_slice(&outer_identification.to_be_bytes());
            header[10..12].fill(0);
            let sum = checksum(header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        frame
    }
}

/// All segments of a frame, whole.
pub fn cut(frame: &[u8], offload: &Offload) -> Result<Vec<Vec<u8>>, InvalidSuperFrame> {
    cut_within(frame, offload, SegmentLimits::DEFAULT)
}

pub fn cut_within(
    frame: &[u8],
    offload: &Offload,
    limits: SegmentLimits,
) -> Result<Vec<Vec<u8>>, InvalidSuperFrame> {
    let super_frame = SuperFrame::new(frame, frame.len(), offload, limits)?;
    let payload = &frame[super_frame.header_length()..];
    let whole = |segment: Segment<'_>| {
        let mut out = vec![0xee; segment.length() + 3];
        let length = segment.emit::<Portable>(payload, &mut out);
        assert_eq!(length, Ok(segment.length()));
        assert_eq!(
            out[segment.length()..],
            [0xee; 3],
            "nothing behind it is written"
        );
        out.truncate(segment.length());
        out
    };
    Ok(super_frame.segments().map(whole).collect())
}

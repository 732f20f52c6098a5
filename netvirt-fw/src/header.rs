//! The header between a host and its NIC, in front of each frame that the NIC decides or has decided.
//!
//! It stands behind the Ethernet header of the link between the two, whose addresses are the host's and the NIC's own; the
//! frame follows. All fields are in network byte order.
//!
//! ```text
//!  0 Ethernet header, EtherType 0x88B5 (IEEE 802, for local experiments)
//! 14 version (4 bits), kind (4 bits)
//! 15 flags: 1 checksum is partial, 2 hash is present, 4 checksum was validated, 8 came from an uplink
//! 16 queue
//! 17 segmentation: 0 none, 1 TCP over IPv4, 2 TCP over IPv6, 3 UDP
//! 18 port or uplink (4 bytes)
//! 22 checksum start (2 bytes), in bytes from the start of the frame
//! 24 checksum offset (2 bytes), in bytes behind that
//! 26 segment size (2 bytes)
//! 28 length of the headers of a segment (2 bytes)
//! 30 hash (4 bytes)
//! 34 frames that were merged (2 bytes)
//! 36 reason of an exception, counted from 1 (1 byte)
//! 37 zero (1 byte)
//! 38 VSID of the port (3 bytes), 0 if it has none or there is no port
//! 41 zero (1 byte)
//! 42 the frame
//! ```
//!
//! Both ends number ports by their own policies. The VSID lets them see when these differ, so that no frame reaches the machine of
//! another tenant meanwhile.
//!
//! The frame begins 2 bytes behind a multiple of 4, so that its IP header lies at one.

use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::offload::{Offload, PartialChecksum, SegmentKind, Segmentation};
use netvirt_core::wire::Malformed;
use netvirt_core::{MacAddress, PortId, UplinkId, Vsid};

/// The EtherType of the link between host and NIC.
pub const ETHERTYPE: u16 = 0x88b5;
/// Bytes of the header.
pub const HEADER_LEN: usize = 28;
/// Bytes of the header and of the Ethernet header before it.
pub const LINK_LEN: usize = 14 + HEADER_LEN;

const VERSION: u8 = 1;

const PARTIAL: u8 = 1;
const HASHED: u8 = 2;
const VALIDATED: u8 = 4;
const FROM_UPLINK: u8 = 8;

/// The layout of the header, field by field.
type Fields = [u8; HEADER_LEN];

/// What a frame between host and NIC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To the NIC: a machine sent it out of this port. It is to be decided.
    Sent(PortId),
    /// To the NIC: the host decided it. It leaves there, when the work beside it is done.
    Decided(UplinkId),
    /// To the host: it is for the machine behind this port.
    Delivered(PortId),
    /// To the host: the NIC's policy does not cover it. The host is to decide it.
    Exception {
        /// Where it came in.
        ingress: Ingress,
        /// What the NIC would have refused it for.
        reason: Option<DropReason>,
    },
}

const SENT: u8 = 0;
const DECIDED: u8 = 1;
const DELIVERED: u8 = 2;
const EXCEPTION: u8 = 3;

/// A buffer that starts with the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Takes a buffer of any length.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Takes a buffer that holds the header.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] if it is too short.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let packet = Self::new_unchecked(buffer);
        packet.fields()?;
        Ok(packet)
    }

    /// Gives the buffer back.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The frame behind the header.
    pub fn payload(&self) -> &[u8] {
        self.buffer.as_ref().get(HEADER_LEN..).unwrap_or_default()
    }

    fn fields(&self) -> Result<&Fields, Malformed> {
        self.buffer
            .as_ref()
            .first_chunk()
            .ok_or(Malformed::Truncated)
    }
}

/// The meaning of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// What the frame is.
    pub kind: Kind,
    /// The work that is left to be done to it.
    pub offload: Offload,
    /// The virtual subnet of the port that a frame is [sent](Kind::Sent) from or [delivered](Kind::Delivered) to, as the policy of
    /// who writes this has it. An exception names the port as the host did before.
    pub vsid: Option<Vsid>,
    /// To the host: the queue that was chosen for it; 0 if none was.
    pub queue: u8,
    /// To the host: the checksums were found right, those inside a tunnel too.
    pub is_validated: bool,
    /// To the host: how many received frames it is, if more than one; otherwise 0.
    pub merged: u16,
}

impl Repr {
    /// A frame of this kind, complete, of which nothing is known.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            offload: Offload::NONE,
            vsid: None,
            queue: 0,
            is_validated: false,
            merged: 0,
        }
    }

    /// Reads the header. Whether the places of the work lie in the frame is for the datapath to see.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::Version`] for another version than 1; [`Malformed::Value`] for anything that this
    /// version does not say.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, Malformed> {
        let [
            version_and_kind,
            flags,
            queue,
            segmentation,
            place_0,
            place_1,
            place_2,
            place_3,
            start_0,
            start_1,
            offset_0,
            offset_1,
            size_0,
            size_1,
            length_0,
            length_1,
            hash_0,
            hash_1,
            hash_2,
            hash_3,
            merged_0,
            merged_1,
            reason,
            zero,
            vsid_0,
            vsid_1,
            vsid_2,
            last_zero,
        ] = *packet.fields()?;
        if version_and_kind >> 4 != VERSION {
            return Err(Malformed::Version);
        }
        if flags & !(PARTIAL | HASHED | VALIDATED | FROM_UPLINK) != 0 || zero | last_zero != 0 {
            return Err(Malformed::Value);
        }
        let place = u32::from_be_bytes([place_0, place_1, place_2, place_3]);
        let checksum = PartialChecksum {
            start: u16::from_be_bytes([start_0, start_1]),
            offset: u16::from_be_bytes([offset_0, offset_1]),
        };
        let segmentation = match segmentation {
            0 => None,
            kind => Some(Segmentation {
                kind: segment_kind(kind)?,
                segment_size: u16::from_be_bytes([size_0, size_1]),
                header_length: u16::from_be_bytes([length_0, length_1]),
            }),
        };
        let vsid = match u32::from_be_bytes([0, vsid_0, vsid_1, vsid_2]) {
            0 => None,
            number => Some(Vsid::new(number).map_err(|_| Malformed::Value)?),
        };
        let kind = read_kind(
            version_and_kind & 0xf,
            flags & FROM_UPLINK != 0,
            place,
            reason,
        )?;
        Ok(Self {
            kind,
            offload: Offload {
                checksum: (flags & PARTIAL != 0).then_some(checksum),
                segmentation,
                hash: (flags & HASHED != 0)
                    .then_some(u32::from_be_bytes([hash_0, hash_1, hash_2, hash_3])),
            },
            vsid,
            queue,
            is_validated: flags & VALIDATED != 0,
            merged: u16::from_be_bytes([merged_0, merged_1]),
        })
    }

    /// Bytes of the header.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header. A buffer that is too short for it is left as it is.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        if let Some(fields) = packet.buffer.as_mut().first_chunk_mut() {
            *fields = self.fields();
        }
    }

    fn fields(&self) -> Fields {
        let (kind, is_from_uplink, place, reason) = match self.kind {
            Kind::Sent(port) => (SENT, false, port.0, 0),
            Kind::Decided(uplink) => (DECIDED, false, uplink.0, 0),
            Kind::Delivered(port) => (DELIVERED, false, port.0, 0),
            Kind::Exception { ingress, reason } => {
                let (is_from_uplink, place) = match ingress {
                    Ingress::Port(port) => (false, port.0),
                    Ingress::Uplink(uplink) => (true, uplink.0),
                };
                let reason = reason.map_or(0, |reason| (reason.index() as u8).wrapping_add(1));
                (EXCEPTION, is_from_uplink, place, reason)
            }
        };
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let flags = flag(self.offload.checksum.is_some(), PARTIAL)
            | flag(self.offload.hash.is_some(), HASHED)
            | flag(self.is_validated, VALIDATED)
            | flag(is_from_uplink, FROM_UPLINK);
        let (segmentation, size, length) = match self.offload.segmentation {
            None => (0, 0, 0),
            Some(work) => (number_of(work.kind), work.segment_size, work.header_length),
        };
        let (start, offset) = match self.offload.checksum {
            None => (0, 0),
            Some(partial) => (partial.start, partial.offset),
        };
        let [_, vsid_0, vsid_1, vsid_2] = self.vsid.map_or(0, Vsid::get).to_be_bytes();
        let [place_0, place_1, place_2, place_3] = place.to_be_bytes();
        let [start_0, start_1] = start.to_be_bytes();
        let [offset_0, offset_1] = offset.to_be_bytes();
        let [size_0, size_1] = size.to_be_bytes();
        let [length_0, length_1] = length.to_be_bytes();
        let [hash_0, hash_1, hash_2, hash_3] = self.offload.hash.unwrap_or(0).to_be_bytes();
        let [merged_0, merged_1] = self.merged.to_be_bytes();
        [
            VERSION << 4 | kind,
            flags,
            self.queue,
            segmentation,
            place_0,
            place_1,
            place_2,
            place_3,
            start_0,
            start_1,
            offset_0,
            offset_1,
            size_0,
            size_1,
            length_0,
            length_1,
            hash_0,
            hash_1,
            hash_2,
            hash_3,
            merged_0,
            merged_1,
            reason,
            0,
            vsid_0,
            vsid_1,
            vsid_2,
            0,
        ]
    }
}

fn read_kind(number: u8, is_from_uplink: bool, place: u32, reason: u8) -> Result<Kind, Malformed> {
    let ingress = match is_from_uplink {
        false => Ingress::Port(PortId(place)),
        true => Ingress::Uplink(UplinkId(place)),
    };
    match (number, ingress, reason) {
        (SENT, Ingress::Port(port), 0) => Ok(Kind::Sent(port)),
        (DECIDED, Ingress::Port(_), 0) => Ok(Kind::Decided(UplinkId(place))),
        (DELIVERED, Ingress::Port(port), 0) => Ok(Kind::Delivered(port)),
        (EXCEPTION, ingress, 0) => Ok(Kind::Exception {
            ingress,
            reason: None,
        }),
        (EXCEPTION, ingress, reason) => {
            let index = usize::from(reason.wrapping_sub(1));
            let reason = DropReason::ALL.get(index).ok_or(Malformed::Value)?;
            Ok(Kind::Exception {
                ingress,
                reason: Some(*reason),
            })
        }
        _ => Err(Malformed::Value),
    }
}

fn segment_kind(number: u8) -> Result<SegmentKind, Malformed> {
    match number {
        1 => Ok(SegmentKind::TcpIpv4),
        2 => Ok(SegmentKind::TcpIpv6),
        3 => Ok(SegmentKind::Udp),
        _ => Err(Malformed::Value),
    }
}

const fn number_of(kind: SegmentKind) -> u8 {
    match kind {
        SegmentKind::TcpIpv4 => 1,
        SegmentKind::TcpIpv6 => 2,
        SegmentKind::Udp => 3,
    }
}

/// The addresses of the link between host and NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkAddresses {
    /// Whose frame it is to.
    pub destination: MacAddress,
    /// Whose frame it is.
    pub source: MacAddress,
}

impl LinkAddresses {
    /// Writes the Ethernet header and the header behind it.
    pub fn emit(&self, repr: &Repr, out: &mut [u8; LINK_LEN]) {
        let Some((ethernet, rest)) = out.split_first_chunk_mut::<14>() else {
            return;
        };
        let [d0, d1, d2, d3, d4, d5] = self.destination.0;
        let [s0, s1, s2, s3, s4, s5] = self.source.0;
        let [e0, e1] = ETHERTYPE.to_be_bytes();
        *ethernet = [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, e0, e1];
        repr.emit(&mut Packet::new_unchecked(rest));
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const PORT: PortId = PortId(0x0102_0304);

    const VSID: Vsid = match Vsid::new(0x14_1516) {
        Ok(vsid) => vsid,
        Err(_) => panic!("a VSID"),
    };

    /// A TCP super-frame of a machine, each field with another value.
    const FULL: Repr = Repr {
        kind: Kind::Sent(PORT),
        offload: Offload {
            checksum: Some(PartialChecksum {
                start: 0x0506,
                offset: 0x0708,
            }),
            segmentation: Some(Segmentation {
                kind: SegmentKind::TcpIpv6,
                segment_size: 0x090a,
                header_length: 0x0b0c,
            }),
            hash: Some(0x0d0e_0f10),
        },
        vsid: Some(VSID),
        queue: 0x11,
        is_validated: true,
        merged: 0x1213,
    };

    const BYTES: [u8; HEADER_LEN] = [
        0x10, 0x07, 0x11, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0x12, 0x13,
        0, 0, 0x14, 0x15, 0x16, 0,
    ];

    fn emitted(repr: &Repr) -> [u8; HEADER_LEN] {
        let mut packet = Packet::new_unchecked([0xee; HEADER_LEN]);
        repr.emit(&mut packet);
        packet.into_inner()
    }

    fn parsed(bytes: &[u8]) -> Result<Repr, Malformed> {
        Repr::parse(&Packet::new_checked(bytes)?)
    }

    #[test]
    fn each_field_has_its_place() {
        assert_eq!(emitted(&FULL), BYTES);
        assert_eq!(parsed(&BYTES), Ok(FULL));
    }

    #[test]
    fn each_kind_has_its_number() {
        let exception = |ingress, reason| Kind::Exception { ingress, reason };
        let from_port = Ingress::Port(PORT);
        let from_uplink = Ingress::Uplink(UplinkId(7));
        for (kind, front, place, reason) in [
            (Kind::Sent(PORT), [0x10, 0], [1, 2, 3, 4], 0),
            (Kind::Decided(UplinkId(7)), [0x11, 0], [0, 0, 0, 7], 0),
            (Kind::Delivered(PORT), [0x12, 0], [1, 2, 3, 4], 0),
            (exception(from_port, None), [0x13, 0], [1, 2, 3, 4], 0),
            (exception(from_uplink, None), [0x13, 8], [0, 0, 0, 7], 0),
            (
                exception(from_port, Some(DropReason::Truncated)),
                [0x13, 0],
                [1, 2, 3, 4],
                1,
            ),
            (
                exception(from_uplink, Some(DropReason::SuperFrame)),
                [0x13, 8],
                [0, 0, 0, 7],
                DropReason::COUNT as u8,
            ),
        ] {
            let bytes = emitted(&Repr::new(kind));
            assert_eq!(bytes[..2], front, "{kind:?}");
            assert_eq!(bytes[4..8], place, "{kind:?}");
            assert_eq!(bytes[22], reason, "{kind:?}");
            assert_eq!(parsed(&bytes), Ok(Repr::new(kind)));
        }
    }

    #[test]
    fn what_this_version_does_not_say_is_refused() {
        let changed = |index: usize, value: u8| {
            let mut bytes = BYTES;
            bytes[index] = value;
            parsed(&bytes)
        };
        for version in (0..16).filter(|version| *version != VERSION) {
            assert_eq!(changed(0, version << 4), Err(Malformed::Version));
        }
        for kind in EXCEPTION + 1..16 {
            assert_eq!(changed(0, VERSION << 4 | kind), Err(Malformed::Value));
        }
        for flag in [8, 16, 32, 64, 128] {
            assert_eq!(changed(1, flag), Err(Malformed::Value), "flag {flag}");
        }
        for segmentation in 4..=255 {
            assert_eq!(changed(3, segmentation), Err(Malformed::Value));
        }
        assert_eq!(
            changed(22, 1),
            Err(Malformed::Value),
            "reason of no exception"
        );
        assert_eq!(changed(23, 1), Err(Malformed::Value));
        assert_eq!(changed(27, 1), Err(Malformed::Value));
        let mut exception = emitted(&Repr::new(Kind::Exception {
            ingress: Ingress::Port(PORT),
            reason: None,
        }));
        exception[22] = DropReason::COUNT as u8 + 1;
        assert_eq!(parsed(&exception), Err(Malformed::Value));
    }

    #[test]
    fn a_cut_header_is_truncated_and_none_is_written_into_too_little_room() {
        for length in 0..HEADER_LEN {
            assert_eq!(parsed(&BYTES[..length]), Err(Malformed::Truncated));
            let mut packet = Packet::new_unchecked(std::vec![0xee; length]);
            FULL.emit(&mut packet);
            assert_eq!(packet.into_inner(), std::vec![0xee; length]);
        }
    }

    #[test]
    fn the_frame_follows_and_its_ip_header_is_aligned() {
        let bytes: Vec<u8> = [&BYTES[..], &[1, 2, 3]].concat();
        assert_eq!(Packet::new_unchecked(&bytes).payload(), [1, 2, 3]);
        assert_eq!((LINK_LEN + 14) % 4, 0);
        let link = LinkAddresses {
            destination: MacAddress([2, 0, 0, 0, 0, 1]),
            source: MacAddress([2, 0, 0, 0, 0, 2]),
        };
        let mut out = [0xee; LINK_LEN];
        link.emit(&FULL, &mut out);
        let ethernet = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];
        assert_eq!(out[..14], ethernet);
        assert_eq!(out[14..], BYTES);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again_bit_for_bit_in_what_it_says(bytes: [u8; HEADER_LEN], version in 0..4_u8) {
            let mut bytes = bytes;
            bytes[0] = VERSION << 4 | version;
            bytes[1] &= 0xf;
            bytes[3] &= 3;
            (bytes[23], bytes[27]) = (0, 0);
            if let Ok(repr) = parsed(&bytes) {
                prop_assert_eq!(parsed(&emitted(&repr)), Ok(repr));
            }
        }
    }
}

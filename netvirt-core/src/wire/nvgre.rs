//! NVGRE (RFC 7637): GRE whose key is a virtual subnet id and a flow id, and whose payload is Ethernet.

use super::gre::{self, GreError};
use super::{ethertype, field, set_field};
use crate::address::{InvalidAddress, Vsid};

const FLAGS: usize = 0;
const PROTOCOL: usize = 2;
const KEY: usize = 4;
const HEADER_LEN: usize = 8;

/// C = 0, K = 1, S = 0, version 0 (RFC 7637 §3.2).
const NVGRE_FLAGS: u16 = 0x2000;

/// A buffer that starts with an NVGRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Takes a buffer of any length. Fields that it is too short for read as zero.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Takes a buffer that holds an NVGRE header.
    ///
    /// # Errors
    /// [`GreError::Truncated`] if it is too short.
    pub fn new_checked(buffer: T) -> Result<Self, GreError> {
        let packet = Self::new_unchecked(buffer);
        packet.check_len()?;
        Ok(packet)
    }

    /// Whether the buffer holds an NVGRE header.
    ///
    /// # Errors
    /// [`GreError::Truncated`] if it is too short.
    pub fn check_len(&self) -> Result<(), GreError> {
        match self.buffer.as_ref().len() < HEADER_LEN {
            true => Err(GreError::Truncated),
            false => Ok(()),
        }
    }

    /// Gives the buffer back.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The key: VSID << 8 | FlowID (RFC 7637 §3.2).
    pub fn key(&self) -> u32 {
        u32::from_be_bytes(field(self.buffer.as_ref(), KEY))
    }

    /// The virtual subnet id, 24 bits, reserved values included (RFC 7637 §3.2).
    pub fn vsid(&self) -> u32 {
        self.key() >> 8
    }

    /// The entropy of the flow inside its virtual subnet (RFC 7637 §3.2).
    pub fn flow_id(&self) -> u8 {
        self.key() as u8
    }

    /// The inner Ethernet frame.
    pub fn payload(&self) -> &[u8] {
        self.buffer.as_ref().get(HEADER_LEN..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the GRE flags and protocol to the constants of RFC 7637 §3.2.
    pub fn fill_constants(&mut self) {
        let protocol = ethertype::TRANSPARENT_ETHERNET.to_be_bytes();
        set_field(self.buffer.as_mut(), FLAGS, NVGRE_FLAGS.to_be_bytes());
        set_field(self.buffer.as_mut(), PROTOCOL, protocol);
    }

    /// Sets VSID and FlowID.
    pub fn set_key(&mut self, key: u32) {
        set_field(self.buffer.as_mut(), KEY, key.to_be_bytes());
    }

    /// The inner Ethernet frame.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        self.buffer
            .as_mut()
            .get_mut(HEADER_LEN..)
            .unwrap_or_default()
    }
}

/// The meaning of an NVGRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// The virtual subnet.
    pub vsid: Vsid,
    /// The entropy of the flow inside its virtual subnet; 0 if the sender makes none.
    pub flow_id: u8,
}

impl Repr {
    /// The length of an NVGRE header, in bytes.
    pub const HEADER_LEN: usize = HEADER_LEN;

    /// Reads a header as RFC 7637 has it sent. Reserved GRE bits are ignored.
    ///
    /// # Errors
    /// Those of [`read_gre`](super::read_gre), then [`GreError::NotNvgre`] and [`GreError::ReservedVsid`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, GreError> {
        let header = gre::read_gre(packet.buffer.as_ref(), 0)?;
        let is_bare = header.checksum.is_none() && header.sequence.is_none();
        match header.key {
            Some(key) if is_bare && header.protocol == ethertype::TRANSPARENT_ETHERNET => {
                Self::of_key(key).map_err(|_| GreError::ReservedVsid(key >> 8))
            }
            _ => Err(GreError::NotNvgre),
        }
    }

    /// Reads a GRE key as VSID << 8 | FlowID.
    ///
    /// # Errors
    /// [`InvalidAddress::Vsid`] if the VSID is reserved.
    #[inline]
    pub const fn of_key(key: u32) -> Result<Self, InvalidAddress> {
        match Vsid::new(key >> 8) {
            Ok(vsid) => Ok(Self {
                vsid,
                flow_id: key as u8,
            }),
            Err(error) => Err(error),
        }
    }

    /// The GRE key.
    #[inline]
    pub const fn key(&self) -> u32 {
        self.vsid.get() << 8 | self.flow_id as u32
    }

    /// The length of the header, in bytes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the header.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        packet.fill_constants();
        packet.set_key(self.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static HEADER: [u8; 9] = [0x20, 0x00, 0x65, 0x58, 0x00, 0x13, 0x89, 0xa7, 0xee];

    fn repr() -> Repr {
        Repr {
            vsid: Vsid::new(5001).unwrap(),
            flow_id: 0xa7,
        }
    }

    #[test]
    fn deconstruct() {
        let packet = Packet::new_checked(&HEADER[..]).unwrap();
        assert_eq!(packet.key(), 0x001389a7);
        assert_eq!(packet.vsid(), 5001);
        assert_eq!(packet.flow_id(), 0xa7);
        assert_eq!(packet.payload(), [0xee]);
        assert_eq!(Repr::parse(&packet), Ok(repr()));
    }

    #[test]
    fn emit_writes_every_byte_of_the_header_and_none_behind() {
        let mut packet = Packet::new_unchecked([0xff; 9]);
        packet.payload_mut()[0] = 0xee;
        repr().emit(&mut packet);
        assert_eq!(packet.into_inner(), HEADER);
    }

    #[test]
    fn what_is_not_nvgre_is_told_apart() {
        let parse = |change: fn(&mut [u8; 16])| {
            let mut bytes = [0; 16];
            bytes[..9].copy_from_slice(&HEADER);
            change(&mut bytes);
            Repr::parse(&Packet::new_unchecked(&bytes[..]))
        };
        assert_eq!(parse(|_| {}), Ok(repr()));
        assert_eq!(parse(|bytes| bytes[1] = 0xf8), Ok(repr()));
        assert_eq!(parse(|bytes| bytes[0] = 0xa0), Err(GreError::NotNvgre));
        assert_eq!(parse(|bytes| bytes[0] = 0x30), Err(GreError::NotNvgre));
        assert_eq!(parse(|bytes| bytes[0] = 0x00), Err(GreError::NotNvgre));
        assert_eq!(parse(|bytes| bytes[3] = 0x59), Err(GreError::NotNvgre));
        assert_eq!(parse(|bytes| bytes[1] = 1), Err(GreError::Version(1)));
        assert_eq!(parse(|bytes| bytes[0] = 0x60), Err(GreError::Routing));
        assert_eq!(
            parse(|bytes| bytes[5] = 0x0f),
            Err(GreError::ReservedVsid(0xf89))
        );
        assert_eq!(
            parse(|bytes| bytes[4..7].fill(0xff)),
            Err(GreError::ReservedVsid(0xff_ffff))
        );
    }

    #[test]
    fn every_legal_key_survives() {
        for vsid in (0x1000..=0xff_fffe).step_by(4093) {
            let key = vsid << 8 | vsid & 0xff;
            assert_eq!(Repr::of_key(key).map(|repr| repr.key()), Ok(key));
        }
        for reserved in [0, 0xfff, 0xff_ffff] {
            assert!(Repr::of_key(reserved << 8).is_err());
        }
    }

    #[test]
    fn every_prefix_of_a_header_is_truncated() {
        for length in 0..8 {
            let cut = &HEADER[..length];
            assert_eq!(Packet::new_checked(cut).map(drop), Err(GreError::Truncated));
            assert_eq!(
                Repr::parse(&Packet::new_unchecked(cut)),
                Err(GreError::Truncated)
            );
        }
    }
}

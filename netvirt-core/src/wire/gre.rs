//! Generic routing encapsulation: RFC 2784 with the key and sequence number of RFC 2890.

use core::fmt;

use super::{field, set_field};
use crate::checksum;

const FLAGS: usize = 0;
const PROTOCOL: usize = 2;
const CHECKSUM: usize = 4;

/// C: a checksum and a reserved word follow (RFC 2784 §2.1).
const CHECKSUM_PRESENT: u16 = 0x8000;
/// K: a key follows (RFC 2890 §2).
const KEY_PRESENT: u16 = 0x2000;
/// S: a sequence number follows (RFC 2890 §2).
const SEQUENCE_PRESENT: u16 = 0x1000;
/// Bits 1, 4 and 5: receivers that do not implement RFC 1701 must discard (RFC 2784 §2.2).
const ROUTING: u16 = 0x4c00;
/// Bits 6 to 12: ignored on receipt (RFC 2784 §2.2).
const RESERVED: u16 = 0x03f8;
/// RFC 2784 §2.3: must be zero; 1 is PPTP (RFC 2637).
const VERSION: u16 = 0x0007;

/// Why a GRE packet is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GreError {
    /// The header does not fit.
    Truncated,
    /// The version is not 0.
    Version(u8),
    /// Bits of RFC 1701 are set that RFC 2784 forbids to ignore.
    Routing,
    /// The checksum is wrong.
    Checksum,
    /// The header is GRE, but not that of NVGRE: flags 0x2000, protocol 0x6558 (RFC 7637 §3.2).
    NotNvgre,
    /// The VSID is one that RFC 7637 §3.3 reserves.
    ReservedVsid(u32),
}

impl fmt::Display for GreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the GRE header is cut short"),
            Self::Version(version) => write!(f, "GRE version {version} is not supported, only 0"),
            Self::Routing => f.write_str("the GRE header asks for RFC 1701 routing"),
            Self::Checksum => f.write_str("the GRE checksum is wrong"),
            Self::NotNvgre => f.write_str("the GRE header is not that of NVGRE"),
            Self::ReservedVsid(vsid) => write!(f, "VSID {vsid} is reserved"),
        }
    }
}

impl core::error::Error for GreError {}

/// A received GRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GreHeader {
    /// The flags and version word as it stands in the packet.
    pub flags: u16,
    /// The EtherType of the payload.
    pub protocol: u16,
    /// The stored checksum, if C is set.
    pub checksum: Option<u16>,
    /// The key, if K is set.
    pub key: Option<u32>,
    /// The sequence number, if S is set.
    pub sequence: Option<u32>,
    /// Where the payload starts, counted from the start of the window.
    pub payload_offset: usize,
}

impl GreHeader {
    /// Whether bits are set that RFC 2784 §2.2 has receivers ignore. A strict receiver need not.
    #[inline]
    pub const fn has_reserved_bits(&self) -> bool {
        self.flags & RESERVED != 0
    }
}

/// Reads the GRE header that starts `offset` bytes into `window`. The checksum is not verified:
/// [`gre_checksum_is_valid`] needs the whole packet for that.
///
/// # Errors
/// [`GreError::Truncated`], [`GreError::Version`] and [`GreError::Routing`], the version first.
#[inline]
pub fn read_gre(window: &[u8], offset: usize) -> Result<GreHeader, GreError> {
    let mut rest = window.get(offset..).ok_or(GreError::Truncated)?;
    let &[flags_0, flags_1, protocol_0, protocol_1] = take_word(&mut rest)?;
    let flags = u16::from_be_bytes([flags_0, flags_1]);
    check_flags(flags)?;
    let mut optional = |present: u16| match flags & present {
        0 => Ok(None),
        _ => take_word(&mut rest).map(Some),
    };
    let checksum = optional(CHECKSUM_PRESENT)?;
    let key = optional(KEY_PRESENT)?;
    let sequence = optional(SEQUENCE_PRESENT)?;
    Ok(GreHeader {
        flags,
        protocol: u16::from_be_bytes([protocol_0, protocol_1]),
        checksum: checksum.map(|&[high, low, _, _]| u16::from_be_bytes([high, low])),
        key: key.map(|key| u32::from_be_bytes(*key)),
        sequence: sequence.map(|sequence| u32::from_be_bytes(*sequence)),
        payload_offset: offset.saturating_add(header_len(flags)),
    })
}

#[inline(always)]
fn take_word<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8; 4], GreError> {
    super::take(rest).map_err(|_| GreError::Truncated)
}

#[inline(always)]
fn check_flags(flags: u16) -> Result<(), GreError> {
    if flags & VERSION != 0 {
        return Err(GreError::Version((flags & VERSION) as u8));
    }
    if flags & ROUTING != 0 {
        return Err(GreError::Routing);
    }
    Ok(())
}

const fn word_len(flags: u16, present: u16) -> usize {
    match flags & present {
        0 => 0,
        _ => 4,
    }
}

const fn key_at(flags: u16) -> usize {
    4 + word_len(flags, CHECKSUM_PRESENT)
}

const fn sequence_at(flags: u16) -> usize {
    key_at(flags) + word_len(flags, KEY_PRESENT)
}

const fn header_len(flags: u16) -> usize {
    sequence_at(flags) + word_len(flags, SEQUENCE_PRESENT)
}

/// Whether the checksum in `packet`, a GRE header with C set and its whole payload, is right (RFC 2784 §2.1).
#[inline]
pub fn gre_checksum_is_valid(packet: &[u8]) -> bool {
    checksum::sum(packet) == 0xffff
}

/// A buffer that starts with a GRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Takes a buffer of any length. Fields that it is too short for read as zero.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Takes a buffer that holds the header which its flags announce.
    ///
    /// # Errors
    /// [`GreError::Truncated`] if it is too short.
    pub fn new_checked(buffer: T) -> Result<Self, GreError> {
        let packet = Self::new_unchecked(buffer);
        packet.check_len()?;
        Ok(packet)
    }

    /// Whether the buffer holds the header which its flags announce.
    ///
    /// # Errors
    /// [`GreError::Truncated`] if it is too short.
    pub fn check_len(&self) -> Result<(), GreError> {
        match self.buffer.as_ref().len() < self.header_len() {
            true => Err(GreError::Truncated),
            false => Ok(()),
        }
    }

    /// Gives the buffer back.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The flags and version word.
    pub fn flags(&self) -> u16 {
        u16::from_be_bytes(field(self.buffer.as_ref(), FLAGS))
    }

    /// The version (RFC 2784 §2.3).
    pub fn version(&self) -> u8 {
        (self.flags() & VERSION) as u8
    }

    /// The EtherType of the payload (RFC 2784 §2.4).
    pub fn protocol(&self) -> u16 {
        u16::from_be_bytes(field(self.buffer.as_ref(), PROTOCOL))
    }

    /// The checksum, if C is set (RFC 2784 §2.5).
    pub fn checksum(&self) -> Option<u16> {
        (self.flags() & CHECKSUM_PRESENT != 0)
            .then(|| u16::from_be_bytes(field(self.buffer.as_ref(), CHECKSUM)))
    }

    /// The key, if K is set (RFC 2890 §2.1).
    pub fn key(&self) -> Option<u32> {
        let flags = self.flags();
        (flags & KEY_PRESENT != 0)
            .then(|| u32::from_be_bytes(field(self.buffer.as_ref(), key_at(flags))))
    }

    /// The sequence number, if S is set (RFC 2890 §2.2).
    pub fn sequence(&self) -> Option<u32> {
        let flags = self.flags();
        (flags & SEQUENCE_PRESENT != 0)
            .then(|| u32::from_be_bytes(field(self.buffer.as_ref(), sequence_at(flags))))
    }

    /// The length of the header that the flags announce, 4 to 16 bytes.
    pub fn header_len(&self) -> usize {
        header_len(self.flags())
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        self.buffer
            .as_ref()
            .get(self.header_len()..)
            .unwrap_or_default()
    }

    /// Whether the checksum over header and payload is right; true if there is none (RFC 2784 §2.5).
    pub fn verify_checksum(&self) -> bool {
        self.checksum().is_none() || gre_checksum_is_valid(self.buffer.as_ref())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the flags and version word. It decides where the other fields stand, so it is set first.
    pub fn set_flags(&mut self, flags: u16) {
        set_field(self.buffer.as_mut(), FLAGS, flags.to_be_bytes());
    }

    /// Sets the EtherType of the payload.
    pub fn set_protocol(&mut self, protocol: u16) {
        set_field(self.buffer.as_mut(), PROTOCOL, protocol.to_be_bytes());
    }

    /// Sets the key, if K is set.
    pub fn set_key(&mut self, key: u32) {
        let flags = self.flags();
        if flags & KEY_PRESENT != 0 {
            set_field(self.buffer.as_mut(), key_at(flags), key.to_be_bytes());
        }
    }

    /// Sets the sequence number, if S is set.
    pub fn set_sequence(&mut self, sequence: u32) {
        let flags = self.flags();
        if flags & SEQUENCE_PRESENT != 0 {
            set_field(
                self.buffer.as_mut(),
                sequence_at(flags),
                sequence.to_be_bytes(),
            );
        }
    }

    /// Computes the checksum over header and payload, if C is set (RFC 2784 §2.5).
    pub fn fill_checksum(&mut self) {
        if self.flags() & CHECKSUM_PRESENT != 0 {
            set_field(self.buffer.as_mut(), CHECKSUM, [0; 4]);
            let checksum = !checksum::sum(self.buffer.as_ref());
            set_field(self.buffer.as_mut(), CHECKSUM, checksum.to_be_bytes());
        }
    }

    /// What follows the header.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let header_len = self.header_len();
        self.buffer
            .as_mut()
            .get_mut(header_len..)
            .unwrap_or_default()
    }
}

/// The meaning of a GRE header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// The EtherType of the payload.
    pub protocol: u16,
    /// Whether a checksum guards header and payload.
    pub checksum: bool,
    /// The key.
    pub key: Option<u32>,
    /// The sequence number.
    pub sequence: Option<u32>,
}

impl Repr {
    /// Reads a packet and verifies its checksum if it has one.
    ///
    /// # Errors
    /// Those of [`read_gre`], then [`GreError::Checksum`].
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, GreError> {
        let header = read_gre(packet.buffer.as_ref(), 0)?;
        if !packet.verify_checksum() {
            return Err(GreError::Checksum);
        }
        Ok(Self {
            protocol: header.protocol,
            checksum: header.checksum.is_some(),
            key: header.key,
            sequence: header.sequence,
        })
    }

    /// The length of the header, in bytes.
    pub const fn buffer_len(&self) -> usize {
        header_len(self.flags())
    }

    const fn flags(&self) -> u16 {
        let checksum = if self.checksum { CHECKSUM_PRESENT } else { 0 };
        let key = if self.key.is_some() { KEY_PRESENT } else { 0 };
        let sequence = if self.sequence.is_some() {
            SEQUENCE_PRESENT
        } else {
            0
        };
        checksum | key | sequence
    }

    /// Writes the header. Where it has a checksum the payload must stand behind it already.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        packet.set_flags(self.flags());
        packet.set_protocol(self.protocol);
        if let Some(key) = self.key {
            packet.set_key(key);
        }
        if let Some(sequence) = self.sequence {
            packet.set_sequence(sequence);
        }
        packet.fill_checksum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FULL: [u8; 19] = [
        0xb0, 0x00, 0x65, 0x58, 0xea, 0x05, 0x00, 0x00, 0x00, 0x13, 0x89, 0xa7, 0x00, 0x00, 0x00,
        0x2a, 0xaa, 0xbb, 0xcc,
    ];

    fn full() -> Repr {
        Repr {
            protocol: 0x6558,
            checksum: true,
            key: Some(0x1389a7),
            sequence: Some(42),
        }
    }

    #[test]
    fn deconstruct() {
        let packet = Packet::new_checked(&FULL[..]).unwrap();
        assert_eq!(packet.version(), 0);
        assert_eq!(packet.protocol(), 0x6558);
        assert_eq!(packet.checksum(), Some(0xea05));
        assert!(packet.verify_checksum());
        assert_eq!(packet.key(), Some(0x1389a7));
        assert_eq!(packet.sequence(), Some(42));
        assert_eq!(packet.header_len(), 16);
        assert_eq!(packet.payload(), [0xaa, 0xbb, 0xcc]);
    }

    #[test]
    fn emitted_bytes_are_those_of_the_rfcs_and_read_back() {
        let mut packet = Packet::new_unchecked([0xff; 19]);
        packet.set_flags(full().flags());
        packet.payload_mut().copy_from_slice(&FULL[16..]);
        full().emit(&mut packet);
        assert_eq!(packet.into_inner(), FULL);
        assert_eq!(Repr::parse(&packet), Ok(full()));
    }

    #[test]
    fn every_flags_word_is_accepted_or_refused_as_rfc_2784_says() {
        for flags in 0..=u16::MAX {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&flags.to_be_bytes());
            let read = read_gre(&bytes, 0);
            if flags & 7 != 0 {
                assert_eq!(read, Err(GreError::Version((flags & 7) as u8)));
            } else if flags & 0x4c00 != 0 {
                assert_eq!(read, Err(GreError::Routing));
            } else {
                let header = read.unwrap();
                let words = (flags & 0xb000).count_ones() as usize;
                assert_eq!(header.payload_offset, 4 + 4 * words);
                assert_eq!(header.has_reserved_bits(), flags & 0x03f8 != 0);
                let short = &bytes[..header.payload_offset - 1];
                assert_eq!(read_gre(short, 0), Err(GreError::Truncated));
            }
        }
    }

    #[test]
    fn optional_words_stand_in_the_order_of_rfc_2890() {
        for present in 0..8u8 {
            let repr = Repr {
                protocol: 0x0800,
                checksum: present & 1 != 0,
                key: (present & 2 != 0).then_some(0x0102_0304),
                sequence: (present & 4 != 0).then_some(0x0506_0708),
            };
            let mut buffer = std::vec![0xee; repr.buffer_len() + 5];
            repr.emit(&mut Packet::new_unchecked(&mut buffer));
            assert_eq!(Repr::parse(&Packet::new_unchecked(&buffer)), Ok(repr));
            let mut expected = std::vec![];
            expected.extend(repr.key.iter().flat_map(|word| word.to_be_bytes()));
            expected.extend(repr.sequence.iter().flat_map(|word| word.to_be_bytes()));
            let optional_at = if repr.checksum { 8 } else { 4 };
            assert_eq!(buffer[optional_at..repr.buffer_len()], expected);
        }
    }

    #[test]
    fn one_damaged_bit_anywhere_fails_the_checksum() {
        assert!(gre_checksum_is_valid(&FULL));
        for bit in 0..FULL.len() * 8 {
            let mut damaged = FULL;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!gre_checksum_is_valid(&damaged), "bit {bit}");
        }
    }

    #[test]
    fn every_prefix_of_a_header_is_truncated() {
        for length in 0..16 {
            let cut = &FULL[..length];
            assert_eq!(Packet::new_checked(cut).map(drop), Err(GreError::Truncated));
            assert_eq!(read_gre(cut, 0), Err(GreError::Truncated));
        }
        assert_eq!(read_gre(&FULL, 20), Err(GreError::Truncated));
        assert_eq!(read_gre(&FULL, usize::MAX), Err(GreError::Truncated));
    }
}

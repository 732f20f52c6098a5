//! The IEEE 802.1Q tag: what stands behind an EtherType that announces one.

use super::{Malformed, field, set_field};
use crate::address::VlanId;

const CONTROL: usize = 0;
const ETHERTYPE: usize = 2;
const HEADER_LEN: usize = 4;

/// A buffer that starts with the tag control information (IEEE 802.1Q §9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// Takes a buffer of any length. Fields that it is too short for read as zero.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// Takes a buffer that holds a tag.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] if it is too short.
    pub fn new_checked(buffer: T) -> Result<Self, Malformed> {
        let packet = Self::new_unchecked(buffer);
        packet.check_len()?;
        Ok(packet)
    }

    /// Whether the buffer holds a tag.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] if it is too short.
    pub fn check_len(&self) -> Result<(), Malformed> {
        match self.buffer.as_ref().len() < HEADER_LEN {
            true => Err(Malformed::Truncated),
            false => Ok(()),
        }
    }

    /// Gives the buffer back.
    pub fn into_inner(self) -> T {
        self.buffer
    }

    /// The tag control information: PCP (3 bits), DEI (1), VLAN id (12).
    pub fn control(&self) -> u16 {
        u16::from_be_bytes(field(self.buffer.as_ref(), CONTROL))
    }

    /// The priority code point, 0..=7 (IEEE 802.1Q §9.6, PCP).
    pub fn priority(&self) -> u8 {
        (self.control() >> 13) as u8
    }

    /// Whether the frame may be dropped first (IEEE 802.1Q §9.6, DEI).
    pub fn drop_eligible(&self) -> bool {
        self.control() & 0x1000 != 0
    }

    /// The VLAN id, 0..=4095, where 0 is none and 4095 is reserved (IEEE 802.1Q §9.6, VID).
    pub fn vlan(&self) -> u16 {
        self.control() & 0xfff
    }

    /// The EtherType behind the tag.
    pub fn ethertype(&self) -> u16 {
        u16::from_be_bytes(field(self.buffer.as_ref(), ETHERTYPE))
    }

    /// What follows the tag.
    pub fn payload(&self) -> &[u8] {
        self.buffer.as_ref().get(HEADER_LEN..).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets PCP, DEI and VLAN id.
    pub fn set_control(&mut self, control: u16) {
        set_field(self.buffer.as_mut(), CONTROL, control.to_be_bytes());
    }

    /// Sets the EtherType behind the tag.
    pub fn set_ethertype(&mut self, ethertype: u16) {
        set_field(self.buffer.as_mut(), ETHERTYPE, ethertype.to_be_bytes());
    }
}

/// The meaning of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repr {
    /// The priority code point, 0..=7; higher bits are not sent.
    pub priority: u8,
    /// Whether the frame may be dropped first.
    pub drop_eligible: bool,
    /// The VLAN; `None` in a priority tag.
    pub vlan: Option<VlanId>,
    /// The EtherType behind the tag.
    pub ethertype: u16,
}

impl Repr {
    /// Reads a tag.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::Value`] for the reserved VLAN id 4095.
    pub fn parse<T: AsRef<[u8]>>(packet: &Packet<T>) -> Result<Self, Malformed> {
        packet.check_len()?;
        let vlan = match packet.vlan() {
            0 => None,
            vlan => Some(VlanId::new(vlan).map_err(|_| Malformed::Value)?),
        };
        Ok(Self {
            priority: packet.priority(),
            drop_eligible: packet.drop_eligible(),
            vlan,
            ethertype: packet.ethertype(),
        })
    }

    /// The length of a tag, in bytes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }

    /// Writes the tag.
    pub fn emit<T: AsRef<[u8]> + AsMut<[u8]>>(&self, packet: &mut Packet<T>) {
        let priority = u16::from(self.priority & 7) << 13;
        let drop_eligible = u16::from(self.drop_eligible) << 12;
        let vlan = self.vlan.map_or(0, VlanId::get);
        packet.set_control(priority | drop_eligible | vlan);
        packet.set_ethertype(self.ethertype);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TAG: [u8; 6] = [0xb1, 0x23, 0x08, 0x00, 0xaa, 0xbb];

    #[test]
    fn deconstruct() {
        let packet = Packet::new_checked(&TAG[..]).unwrap();
        assert_eq!(packet.priority(), 5);
        assert!(packet.drop_eligible());
        assert_eq!(packet.vlan(), 0x123);
        assert_eq!(packet.ethertype(), 0x0800);
        assert_eq!(packet.payload(), [0xaa, 0xbb]);
    }

    #[test]
    fn every_control_word_survives_parse_and_emit_but_the_reserved_vlan() {
        for control in 0..=u16::MAX {
            let [high, low] = control.to_be_bytes();
            let packet = Packet::new_unchecked([high, low, 0x86, 0xdd]);
            match Repr::parse(&packet) {
                Ok(repr) => {
                    let mut emitted = Packet::new_unchecked([0; 4]);
                    repr.emit(&mut emitted);
                    assert_eq!(emitted.into_inner(), packet.into_inner());
                }
                Err(error) => {
                    assert_eq!((error, control & 0xfff), (Malformed::Value, 0xfff));
                }
            }
        }
    }

    #[test]
    fn a_cut_tag_is_truncated() {
        for length in 0..4 {
            assert_eq!(
                Packet::new_checked(&TAG[..length]),
                Err(Malformed::Truncated)
            );
        }
    }
}

//! The Ethernet header of frames that netvirt writes itself.

use core::net::Ipv4Addr;

use super::{ethertype, put};
use crate::address::{MacAddress, VlanId};

/// The MAC address of the IPv4 multicast group `group` (RFC 1112 §6.4). 32 groups share one.
pub const fn ipv4_multicast_mac(group: Ipv4Addr) -> MacAddress {
    let [_, b, c, d] = group.octets();
    MacAddress([0x01, 0x00, 0x5e, b & 0x7f, c, d])
}

/// An Ethernet header, with an IEEE 802.1Q tag of priority 0 if it has a VLAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EthernetHeader {
    /// The station or group that the frame goes to.
    pub destination: MacAddress,
    /// The station that sends it.
    pub source: MacAddress,
    /// The VLAN, if the frame is tagged.
    pub vlan: Option<VlanId>,
    /// The EtherType of the payload.
    pub ethertype: u16,
}

impl EthernetHeader {
    /// The length of the longest such header, in bytes.
    pub const MAX_LEN: usize = 18;

    /// The length of the header: 14 bytes, 18 with a tag.
    #[inline]
    pub const fn buffer_len(&self) -> usize {
        match self.vlan {
            None => 14,
            Some(_) => 18,
        }
    }

    /// Writes the header to the front of `out` and returns its length; `None` if `out` is shorter.
    #[inline]
    pub fn emit(&self, mut out: &mut [u8]) -> Option<usize> {
        self.write(&mut out)?;
        Some(self.buffer_len())
    }

    #[inline]
    pub(super) fn write(&self, rest: &mut &mut [u8]) -> Option<()> {
        put(rest, self.destination.0)?;
        put(rest, self.source.0)?;
        if let Some(vlan) = self.vlan {
            put(rest, ethertype::VLAN.to_be_bytes())?;
            put(rest, vlan.get().to_be_bytes())?;
        }
        put(rest, self.ethertype.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_written_with_and_without_a_tag_and_never_in_part_of_its_room() {
        let mut header = EthernetHeader {
            destination: MacAddress([1, 2, 3, 4, 5, 6]),
            source: MacAddress([7, 8, 9, 10, 11, 12]),
            vlan: None,
            ethertype: 0x86dd,
        };
        let mut out = [0; 18];
        assert_eq!(header.emit(&mut out), Some(14));
        assert_eq!(
            out[..14],
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd]
        );
        assert_eq!(header.emit(&mut out[..13]), None);

        header.vlan = VlanId::new(0x123).ok();
        assert_eq!(header.emit(&mut out), Some(18));
        assert_eq!(out[12..], [0x81, 0, 0x01, 0x23, 0x86, 0xdd]);
        assert_eq!(header.emit(&mut out[..17]), None);
    }
}

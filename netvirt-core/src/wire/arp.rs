//! ARP for IPv4 over Ethernet (RFC 826), with the probes and announcements of RFC 5227.

use core::net::Ipv4Addr;

use super::{EthernetHeader, Malformed, ethertype, put, take};
use crate::address::{MacAddress, VlanId};

/// Hardware type Ethernet, protocol type IPv4, their address lengths (RFC 826).
const ETHERNET_AND_IPV4: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// What an ARP message does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArpOperation {
    /// It asks who has the target address.
    Request,
    /// It says who has the sender address.
    Reply,
}

/// An ARP message for IPv4 over Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpMessage {
    /// Request or reply.
    pub operation: ArpOperation,
    /// The sender's MAC address.
    pub sender_mac: MacAddress,
    /// The sender's IP address; unspecified in a probe.
    pub sender_ip: Ipv4Addr,
    /// The target's MAC address; zero in a request.
    pub target_mac: MacAddress,
    /// The target's IP address.
    pub target_ip: Ipv4Addr,
}

impl ArpMessage {
    /// The length of a message, in bytes.
    pub const LEN: usize = 28;
    /// The length of the longest frame that [`emit`](Self::emit) writes, in bytes.
    pub const MAX_FRAME_LEN: usize = EthernetHeader::MAX_LEN + Self::LEN;

    /// Reads the message at the front of `payload`, what follows the Ethernet header.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], or [`Malformed::Value`] for other hardware, protocols and operations.
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut rest = payload;
        let kind: &[u8; 6] = take(&mut rest)?;
        let operation = take(&mut rest)?;
        let message = Self {
            operation: match u16::from_be_bytes(*operation) {
                1 => ArpOperation::Request,
                2 => ArpOperation::Reply,
                _ => return Err(Malformed::Value),
            },
            sender_mac: MacAddress(*take(&mut rest)?),
            sender_ip: Ipv4Addr::from(*take::<4>(&mut rest)?),
            target_mac: MacAddress(*take(&mut rest)?),
            target_ip: Ipv4Addr::from(*take::<4>(&mut rest)?),
        };
        match *kind == ETHERNET_AND_IPV4 {
            true => Ok(message),
            false => Err(Malformed::Value),
        }
    }

    /// Asks for the MAC address of `target_ip`.
    pub const fn request(sender_mac: MacAddress, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self {
            operation: ArpOperation::Request,
            sender_mac,
            sender_ip,
            target_mac: MacAddress::ZERO,
            target_ip,
        }
    }

    /// Asks whether anybody has `ip`, before it is used (RFC 5227 §2.1.1).
    pub const fn probe(mac: MacAddress, ip: Ipv4Addr) -> Self {
        Self::request(mac, Ipv4Addr::UNSPECIFIED, ip)
    }

    /// Tells everybody that `ip` is at `mac` (RFC 5227 §2.3), as a request: so all neighbours update
    /// what they know, and none has to answer.
    pub const fn announcement(mac: MacAddress, ip: Ipv4Addr) -> Self {
        Self::request(mac, ip, ip)
    }

    /// Answers this request: its target is at `mac`.
    pub const fn reply(&self, mac: MacAddress) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }

    /// Whether this is a probe: a request whose sender claims no address yet.
    pub const fn is_probe(&self) -> bool {
        matches!(self.operation, ArpOperation::Request) && self.sender_ip.is_unspecified()
    }

    /// Whether the message says something about its own sender only: an announcement, or the "gratuitous
    /// ARP" of older stacks.
    pub const fn is_announcement(&self) -> bool {
        self.sender_ip.to_bits() == self.target_ip.to_bits() && !self.sender_ip.is_unspecified()
    }

    /// Writes the message in a frame to the front of `out` and returns the frame's length, 42 or 46 bytes;
    /// `None` if `out` is shorter. The padding of Ethernet to 60 bytes is left to the port.
    pub fn emit(
        &self,
        destination: MacAddress,
        source: MacAddress,
        vlan: Option<VlanId>,
        out: &mut [u8],
    ) -> Option<usize> {
        let ethernet = EthernetHeader {
            destination,
            source,
            vlan,
            ethertype: ethertype::ARP,
        };
        let mut rest = out;
        ethernet.write(&mut rest)?;
        put(&mut rest, ETHERNET_AND_IPV4)?;
        put(
            &mut rest,
            match self.operation {
                ArpOperation::Request => [0, 1],
                ArpOperation::Reply => [0, 2],
            },
        )?;
        put(&mut rest, self.sender_mac.0)?;
        put(&mut rest, self.sender_ip.octets())?;
        put(&mut rest, self.target_mac.0)?;
        put(&mut rest, self.target_ip.octets())?;
        Some(ethernet.buffer_len() + Self::LEN)
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire as reference;

    use super::*;
    use crate::wire::{Network, Tag, parse};

    const OURS: MacAddress = MacAddress([6, 6, 0, 0, 0, 5]);
    const THEIRS: MacAddress = MacAddress([6, 6, 0, 0, 0, 7]);
    const OUR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
    const THEIR_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

    fn messages() -> [ArpMessage; 4] {
        let request = ArpMessage::request(OURS, OUR_IP, THEIR_IP);
        [
            request,
            request.reply(THEIRS),
            ArpMessage::probe(OURS, OUR_IP),
            ArpMessage::announcement(OURS, OUR_IP),
        ]
    }

    fn reference_bytes(message: &ArpMessage) -> [u8; 28] {
        let mut bytes = [0; 28];
        reference::ArpRepr::EthernetIpv4 {
            operation: match message.operation {
                ArpOperation::Request => reference::ArpOperation::Request,
                ArpOperation::Reply => reference::ArpOperation::Reply,
            },
            source_hardware_addr: reference::EthernetAddress(message.sender_mac.0),
            source_protocol_addr: message.sender_ip,
            target_hardware_addr: reference::EthernetAddress(message.target_mac.0),
            target_protocol_addr: message.target_ip,
        }
        .emit(&mut reference::ArpPacket::new_unchecked(&mut bytes));
        bytes
    }

    #[test]
    fn frames_carry_what_the_reference_writes_tagged_and_untagged() {
        for message in messages() {
            for (vlan, offset) in [(None, 14), (VlanId::new(12).ok(), 18)] {
                let mut frame = [0; ArpMessage::MAX_FRAME_LEN];
                let length = message.emit(MacAddress::BROADCAST, OURS, vlan, &mut frame);
                assert_eq!(length, Some(offset + 28));
                let frame = &frame[..offset + 28];
                assert_eq!(frame[offset..], reference_bytes(&message));
                let facts = parse(frame, frame.len(), 0).unwrap();
                assert_eq!(facts.network, Network::Arp);
                assert_eq!(usize::from(facts.network_offset), offset);
                assert_eq!(facts.tag == Tag::None, vlan.is_none());
                assert_eq!(ArpMessage::parse(&frame[offset..]), Ok(message));
                for short in 0..frame.len() {
                    let out = &mut [0; ArpMessage::MAX_FRAME_LEN][..short];
                    assert_eq!(message.emit(OURS, THEIRS, vlan, out), None);
                }
            }
        }
    }

    #[test]
    fn a_reply_answers_the_asker_about_the_target() {
        let reply = ArpMessage::request(OURS, OUR_IP, THEIR_IP).reply(THEIRS);
        assert_eq!(reply.operation, ArpOperation::Reply);
        assert_eq!((reply.sender_mac, reply.sender_ip), (THEIRS, THEIR_IP));
        assert_eq!((reply.target_mac, reply.target_ip), (OURS, OUR_IP));
    }

    #[test]
    fn probes_and_announcements_are_told_apart() {
        let kinds = messages().map(|message| (message.is_probe(), message.is_announcement()));
        assert_eq!(
            kinds,
            [(false, false), (false, false), (true, false), (false, true)]
        );
    }

    #[test]
    fn other_hardware_protocols_and_operations_are_refused_and_prefixes_truncated() {
        let bytes = reference_bytes(&messages()[0]);
        for position in 0..8 {
            let mut other = bytes;
            other[position] ^= 0x10;
            assert_eq!(
                ArpMessage::parse(&other),
                Err(Malformed::Value),
                "byte {position}"
            );
        }
        for length in 0..28 {
            assert_eq!(
                ArpMessage::parse(&bytes[..length]),
                Err(Malformed::Truncated)
            );
        }
    }
}

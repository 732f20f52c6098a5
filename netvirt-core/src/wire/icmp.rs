//! The first eight bytes of ICMP (RFC 792) and ICMPv6 (RFC 4443), and the answer to an echo request.

use super::Facts;
use crate::address::Family;
use crate::checksum::Delta;

/// ICMPv4 types (RFC 792).
pub mod icmpv4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable; its code 4 asks to fragment (RFC 1191).
    pub const DESTINATION_UNREACHABLE: u8 = 3;
    /// Source quench, obsolete (RFC 6633).
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;

    /// Whether a message of this type quotes the packet that it is about (RFC 1122 §3.2.2).
    #[inline]
    pub const fn is_error(kind: u8) -> bool {
        matches!(
            kind,
            DESTINATION_UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
        )
    }
}

/// ICMPv6 types (RFC 4443, RFC 4861, RFC 3810).
pub mod icmpv6 {
    /// Destination unreachable.
    pub const DESTINATION_UNREACHABLE: u8 = 1;
    /// Packet too big.
    pub const PACKET_TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Multicast listener query (RFC 3810).
    pub const LISTENER_QUERY: u8 = 130;
    /// Version 2 multicast listener report (RFC 3810).
    pub const LISTENER_REPORT: u8 = 143;
    /// Router solicitation.
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbor solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbor advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect.
    pub const REDIRECT: u8 = 137;

    /// Whether a message of this type is about a packet and must not be answered by another (RFC 4443 §2.4 (e)).
    #[inline]
    pub const fn is_error(kind: u8) -> bool {
        kind < 128 || kind == REDIRECT
    }
}

/// The type of the ICMP message in `window`, which `facts` were read from. `None` if the packet is not ICMP of its family, is
/// a later fragment, or ends before the type.
#[inline(always)]
pub fn icmp_kind(window: &[u8], facts: &Facts) -> Option<u8> {
    if facts.is_icmp() && facts.has_transport() {
        facts.transport(window).first().copied()
    } else {
        None
    }
}

/// The first eight bytes of an ICMP or ICMPv6 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IcmpHeader {
    /// The type, of [`icmpv4`] or [`icmpv6`] as the family says.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The stored checksum, not verified. That of ICMPv6 covers a pseudo header too.
    pub checksum: u16,
    /// The last four bytes, whose meaning hangs on the type: identifier and sequence number, an MTU, …
    pub rest: [u8; 4],
}

impl IcmpHeader {
    /// The length of this header, in bytes.
    pub const LEN: usize = 8;

    /// Reads the header of the ICMP message in `window`, which `facts` were read from. `None` if the packet
    /// is not ICMP of its family, is a later fragment, or is too short.
    #[inline]
    pub fn read(window: &[u8], facts: &Facts) -> Option<Self> {
        if !facts.is_icmp() || !facts.has_transport() {
            return None;
        }
        let &[kind, code, checksum_0, checksum_1, a, b, c, d] =
            facts.transport(window).first_chunk()?;
        Some(Self {
            kind,
            code,
            checksum: u16::from_be_bytes([checksum_0, checksum_1]),
            rest: [a, b, c, d],
        })
    }

    /// Where in an ICMP error the quoted packet ends, in bytes from the start of this header, if the error says so: then
    /// extensions follow (RFC 4884 §4).
    #[inline]
    pub const fn quote_end(self, family: Family) -> Option<u16> {
        match self.quote_length(family) {
            Some(length @ Self::LEAST_EXTENDED_QUOTE..) => Some(length + Self::LEN as u16),
            _ => None,
        }
    }

    /// Where in an ICMP error extensions may begin, in bytes from the start of this header, also if the error does not say
    /// so: routers that are older than that rule put them behind 128 bytes (RFC 4884 §5.5).
    #[inline]
    pub const fn extensions_start(self, family: Family) -> Option<u16> {
        match (self.quote_end(family), self.quote_length(family)) {
            (None, Some(_)) => Some(Self::LEAST_EXTENDED_QUOTE + Self::LEN as u16),
            (end, _) => end,
        }
    }

    /// Bytes of the quote before extensions; less is no length.
    const LEAST_EXTENDED_QUOTE: u16 = 128;

    /// Bytes of the quote as its length attribute has it, if errors of this type have one.
    const fn quote_length(self, family: Family) -> Option<u16> {
        let [in_ipv6, in_ipv4, _, _] = self.rest;
        match (family, self.kind) {
            (
                Family::Ipv4,
                icmpv4::DESTINATION_UNREACHABLE | icmpv4::TIME_EXCEEDED | icmpv4::PARAMETER_PROBLEM,
            ) => Some(in_ipv4 as u16 * 4),
            (Family::Ipv6, icmpv6::DESTINATION_UNREACHABLE | icmpv6::TIME_EXCEEDED) => {
                Some(in_ipv6 as u16 * 8)
            }
            _ => None,
        }
    }

    /// The header of the reply to this echo request; `None` if it is not one. The message behind it is sent
    /// back as it came, with source and destination address exchanged, which no checksum notices.
    #[inline]
    pub const fn echo_reply(self, family: Family) -> Option<Self> {
        let (request, reply) = match family {
            Family::Ipv4 => (icmpv4::ECHO_REQUEST, icmpv4::ECHO_REPLY),
            Family::Ipv6 => (icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY),
        };
        if self.kind != request || self.code != 0 {
            return None;
        }
        let delta = Delta::of_words((request as u16) << 8, (reply as u16) << 8);
        Some(Self {
            kind: reply,
            checksum: delta.apply(self.checksum),
            ..self
        })
    }

    /// The bytes of the header.
    #[inline]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        let [checksum_0, checksum_1] = self.checksum.to_be_bytes();
        let [a, b, c, d] = self.rest;
        [self.kind, self.code, checksum_0, checksum_1, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::checksum::{sum, transport_sum};
    use crate::wire::vectors::{ipv4_frame, ipv6_frame};
    use crate::wire::{parse, protocol};

    const IDENTIFIER_AND_SEQUENCE: [u8; 4] = [0x12, 0x34, 0x00, 0x07];

    fn echo(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut message = Vec::from([kind, 0, 0, 0]);
        message.extend(IDENTIFIER_AND_SEQUENCE);
        message.extend(data);
        message
    }

    #[test]
    fn an_echo_request_in_ipv4_becomes_a_reply_whose_checksum_is_right() {
        for last in 0..=255 {
            let mut message = echo(icmpv4::ECHO_REQUEST, &[1, 2, 3, last]);
            let checksum = !sum(&message);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
            let frame = ipv4_frame(protocol::ICMP, &message);
            let facts = parse(&frame, frame.len(), 0).unwrap();
            assert_eq!(facts.ports, 0x1234);

            let header = IcmpHeader::read(&frame, &facts).unwrap();
            assert_eq!(header.rest, IDENTIFIER_AND_SEQUENCE);
            assert_eq!(header.to_bytes(), message[..8]);
            let reply = header.echo_reply(Family::Ipv4).unwrap();
            message[..8].copy_from_slice(&reply.to_bytes());
            assert_eq!(message[0], icmpv4::ECHO_REPLY);
            assert_eq!(sum(&message), 0xffff);
        }
    }

    #[test]
    fn an_echo_request_in_ipv6_becomes_a_reply_whose_checksum_is_right() {
        for last in 0..=255 {
            let mut message = echo(icmpv6::ECHO_REQUEST, &[1, 2, last]);
            let blank = ipv6_frame(&[], protocol::ICMPV6, &message);
            let facts = parse(&blank, blank.len(), 0).unwrap();
            let (source, destination) = (facts.source_address, facts.destination_address);
            let checksum = !transport_sum(source, destination, protocol::ICMPV6, &message);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
            let frame = ipv6_frame(&[], protocol::ICMPV6, &message);

            let header = IcmpHeader::read(&frame, &facts).unwrap();
            let reply = header.echo_reply(Family::Ipv6).unwrap();
            message[..8].copy_from_slice(&reply.to_bytes());
            assert_eq!(message[0], icmpv6::ECHO_REPLY);
            let sum = transport_sum(destination, source, protocol::ICMPV6, &message);
            assert_eq!(sum, 0xffff);
        }
    }

    #[test]
    fn only_echo_requests_of_the_family_are_answered() {
        for kind in 0..=255 {
            for code in [0, 1] {
                let header = IcmpHeader {
                    kind,
                    code,
                    checksum: 0,
                    rest: [0; 4],
                };
                let is_reply = |family| header.echo_reply(family).is_some();
                assert_eq!(is_reply(Family::Ipv4), (kind, code) == (8, 0));
                assert_eq!(is_reply(Family::Ipv6), (kind, code) == (128, 0));
            }
        }
    }

    #[test]
    fn what_is_not_icmp_of_its_family_is_not_read() {
        let message = echo(8, &[]);
        for (protocol, expected) in [(protocol::ICMP, true), (protocol::ICMPV6, false)] {
            let frame = ipv4_frame(protocol, &message);
            let facts = parse(&frame, frame.len(), 0).unwrap();
            assert_eq!(IcmpHeader::read(&frame, &facts).is_some(), expected);
            let frame = ipv6_frame(&[], protocol, &message);
            let facts = parse(&frame, frame.len(), 0).unwrap();
            assert_eq!(IcmpHeader::read(&frame, &facts).is_some(), !expected);
        }
        let short = ipv4_frame(protocol::ICMP, &message[..7]);
        let facts = parse(&short, short.len(), 0).unwrap();
        assert_eq!(IcmpHeader::read(&short, &facts), None);
    }
}

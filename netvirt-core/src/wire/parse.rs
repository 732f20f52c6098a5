//! The one pass over a frame: Ethernet, tag, IP and its options or extension headers, ports.

use super::facts::has_ports;
use super::{Facts, Fragment, Malformed, Network, Notes, Tag, ethertype, protocol, take};
use crate::address::{AddressBits, MacAddress};
use crate::checksum;

/// Headers are looked for in this many bytes, so that every offset fits 16 bits.
const LONGEST_WINDOW: usize = u16::MAX as usize;
/// IPv6 extension headers beyond these limits are not walked.
const MOST_EXTENSION_HEADERS: usize = 8;
const MOST_EXTENSION_BYTES: usize = 256;

/// Reads the Ethernet frame that starts `offset` bytes into `window`, the contiguous first bytes of a buffer
/// of `total_length` bytes.
///
/// # Errors
/// [`Malformed`] if a header does not fit or contradicts itself. A transport header that does not fit is a
/// note, not an error: policy may still have to answer such a packet.
#[inline]
pub fn parse(window: &[u8], total_length: usize, offset: usize) -> Result<Facts, Malformed> {
    let window = window
        .get(..total_length.min(LONGEST_WINDOW))
        .unwrap_or(window);
    let mut facts = Facts::of_ethernet(window, total_length, offset)?;
    match facts.network {
        Network::Ipv4 => facts.read_ipv4(window)?,
        Network::Ipv6 => facts.read_ipv6(window)?,
        Network::Arp | Network::Other => {}
    }
    Ok(facts)
}

/// Whether the checksum of the IPv4 header, options included, is right. `window` is what `facts` were read
/// from. False for what is not IPv4.
#[inline]
pub fn ipv4_header_is_valid(window: &[u8], facts: &Facts) -> bool {
    let header = window
        .get(usize::from(facts.network_offset)..usize::from(facts.transport_offset))
        .unwrap_or_default();
    let sum = match <&[u8; 20]>::try_from(header) {
        Ok(header) => checksum::ipv4_header_sum(header),
        Err(_) => checksum::sum(header),
    };
    facts.network == Network::Ipv4 && sum == 0xffff
}

impl Facts {
    #[inline(always)]
    fn of_ethernet(window: &[u8], total_length: usize, offset: usize) -> Result<Self, Malformed> {
        let mut rest = window.get(offset..).ok_or(Malformed::Truncated)?;
        let destination = MacAddress(take(&mut rest)?);
        let source = MacAddress(take(&mut rest)?);
        let mut ethertype = u16::from_be_bytes(take(&mut rest)?);
        let mut tag = Tag::None;
        if is_tag(ethertype) {
            let tci = u16::from_be_bytes(take(&mut rest)?);
            ethertype = u16::from_be_bytes(take(&mut rest)?);
            tag = match tci & 0xfff {
                _ if is_tag(ethertype) => Tag::Stacked,
                0 => Tag::Priority { tci },
                _ => Tag::Vlan { tci },
            };
        }
        let network = match ethertype {
            ethertype::IPV4 => Network::Ipv4,
            ethertype::IPV6 => Network::Ipv6,
            ethertype::ARP => Network::Arp,
            _ => Network::Other,
        };
        let network_offset = window.len().saturating_sub(rest.len()) as u16;
        Ok(Self {
            destination,
            source,
            tag,
            ethertype,
            network,
            network_offset,
            transport_offset: network_offset,
            end: u32::try_from(total_length).unwrap_or(u32::MAX),
            protocol: 0,
            hop_limit: 0,
            traffic_class: 0,
            dont_fragment: false,
            fragment: Fragment::Whole,
            source_address: AddressBits::default(),
            destination_address: AddressBits::default(),
            ports: 0,
            notes: Notes::EMPTY,
        })
    }

    /// RFC 791 §3.1.
    #[inline(always)]
    fn read_ipv4(&mut self, window: &[u8]) -> Result<(), Malformed> {
        let mut rest = window
            .get(usize::from(self.network_offset)..)
            .ok_or(Malformed::Truncated)?;
        let [version_and_length, traffic_class, length_0, length_1] = take(&mut rest)?;
        let [_, _, fragment_0, fragment_1] = take(&mut rest)?;
        let [hop_limit, protocol, _, _] = take(&mut rest)?;
        self.source_address = AddressBits::from_ipv4(take(&mut rest)?);
        self.destination_address = AddressBits::from_ipv4(take(&mut rest)?);
        self.traffic_class = traffic_class;
        self.hop_limit = hop_limit;
        self.protocol = protocol;

        if version_and_length >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_length = u16::from(version_and_length & 0xf) * 4;
        let Some(options_length) = header_length.checked_sub(20) else {
            return Err(Malformed::HeaderLength);
        };
        let total_length = u16::from_be_bytes([length_0, length_1]);
        if total_length < header_length {
            return Err(Malformed::TotalLength);
        }
        self.end_after(u32::from(total_length))?;
        if options_length > 0 {
            let options = rest
                .get(..usize::from(options_length))
                .ok_or(Malformed::Truncated)?;
            self.read_ipv4_options(options)?;
        }
        self.transport_offset = self.network_offset.saturating_add(header_length);

        let flags_and_offset = u16::from_be_bytes([fragment_0, fragment_1]);
        self.dont_fragment = flags_and_offset & 0x4000 != 0;
        self.note_fragment(flags_and_offset & 0x1fff, flags_and_offset & 0x2000 != 0);
        self.read_ports(window);
        Ok(())
    }

    #[cold]
    fn read_ipv4_options(&mut self, mut options: &[u8]) -> Result<(), Malformed> {
        self.notes.insert(Notes::IPV4_OPTIONS);
        while let Some((&kind, behind)) = options.split_first() {
            match kind {
                0 => break,
                1 => options = behind,
                _ => {
                    match kind {
                        131 | 137 => self.notes.insert(Notes::SOURCE_ROUTE),
                        7 => self.notes.insert(Notes::RECORD_ROUTE),
                        _ => {}
                    }
                    options = behind_option(options, 0)?;
                }
            }
        }
        Ok(())
    }

    /// RFC 8200 §3.
    #[inline(always)]
    fn read_ipv6(&mut self, window: &[u8]) -> Result<(), Malformed> {
        let mut rest = window
            .get(usize::from(self.network_offset)..)
            .ok_or(Malformed::Truncated)?;
        let [version_and_class, class_and_label, _, _] = take(&mut rest)?;
        let [length_0, length_1, next_header, hop_limit] = take(&mut rest)?;
        self.source_address = AddressBits::from_ipv6(take(&mut rest)?);
        self.destination_address = AddressBits::from_ipv6(take(&mut rest)?);
        self.traffic_class = version_and_class << 4 | class_and_label >> 4;
        self.hop_limit = hop_limit;
        self.protocol = next_header;
        self.dont_fragment = true;

        if version_and_class >> 4 != 6 {
            return Err(Malformed::Version);
        }
        self.end_after(40 + u32::from(u16::from_be_bytes([length_0, length_1])))?;
        self.transport_offset = self.network_offset.saturating_add(40);
        if is_extension_header(next_header) {
            self.read_extension_headers(window)?;
        }
        self.read_ports(window);
        Ok(())
    }

    /// RFC 8200 §4. AH and ESP end the walk: as in IPv4 they count as what the packet carries.
    #[cold]
    fn read_extension_headers(&mut self, window: &[u8]) -> Result<(), Malformed> {
        self.notes.insert(Notes::EXTENSION_HEADERS);
        let mut rest = self.transport(window);
        let mut walked = 0;
        for position in 1..=MOST_EXTENSION_HEADERS {
            let &[next_header, length, third, fourth, ..] =
                rest.first_chunk::<8>().ok_or(Malformed::Truncated)?;
            let header_length = match self.protocol {
                protocol::FRAGMENT => 8,
                _ => 8 + usize::from(length) * 8,
            };
            walked += header_length;
            if walked > MOST_EXTENSION_BYTES {
                break;
            }
            let (header, behind) = rest
                .split_at_checked(header_length)
                .ok_or(Malformed::Truncated)?;
            match self.protocol {
                protocol::ROUTING => self.note_routing_header(third, fourth),
                protocol::DESTINATION_OPTIONS => self.note_destination_options(header)?,
                protocol::FRAGMENT => {
                    let offset_and_more = u16::from_be_bytes([third, fourth]);
                    self.notes.insert(Notes::FRAGMENT_HEADER);
                    self.note_fragment(offset_and_more >> 3, offset_and_more & 1 != 0);
                }
                _ => {}
            }
            if position > 4 || walked > 64 {
                self.notes.insert(Notes::LONG_CHAIN);
            }
            self.protocol = next_header;
            self.transport_offset = self.transport_offset.saturating_add(header_length as u16);
            rest = behind;
            if !is_extension_header(next_header) || self.fragment == Fragment::Later {
                return Ok(());
            }
        }
        self.notes
            .insert(Notes::LONG_CHAIN.union(Notes::CHAIN_TOO_LONG));
        Ok(())
    }

    fn note_routing_header(&mut self, kind: u8, segments_left: u8) {
        self.notes.insert(Notes::ROUTING_HEADER);
        if kind == 0 {
            self.notes.insert(Notes::SOURCE_ROUTE);
        }
        if segments_left > 0 {
            self.notes.insert(Notes::SEGMENTS_LEFT);
        }
    }

    fn note_destination_options(&mut self, header: &[u8]) -> Result<(), Malformed> {
        let mut options = header.get(2..).ok_or(Malformed::Truncated)?;
        while let Some((&kind, behind)) = options.split_first() {
            match kind {
                0 => options = behind,
                _ => {
                    if kind == 201 {
                        self.notes.insert(Notes::HOME_ADDRESS);
                    }
                    options = behind_option(options, 2)?;
                }
            }
        }
        Ok(())
    }

    /// `offset` counts units of 8 bytes.
    #[inline(always)]
    fn note_fragment(&mut self, offset: u16, more: bool) {
        self.fragment = match (offset, more) {
            (0, false) => Fragment::Whole,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        };
        if offset == 1 {
            self.notes.insert(Notes::FRAGMENT_AT_8);
        }
    }

    /// Ends the packet `length` bytes behind the Ethernet header: what follows in the frame is padding.
    #[inline(always)]
    fn end_after(&mut self, length: u32) -> Result<(), Malformed> {
        let end = u32::from(self.network_offset) + length;
        if end > self.end {
            return Err(Malformed::TotalLength);
        }
        self.end = end;
        Ok(())
    }

    #[inline(always)]
    fn read_ports(&mut self, window: &[u8]) {
        if self.fragment != Fragment::Whole || self.notes.contains(Notes::CHAIN_TOO_LONG) {
            return;
        }
        match ports(self.protocol, self.transport(window)) {
            Some(ports) => self.ports = ports,
            None => self.notes.insert(Notes::TRANSPORT_TRUNCATED),
        }
    }
}

#[inline(always)]
const fn is_tag(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::VLAN | ethertype::SERVICE_VLAN | ethertype::OLD_SERVICE_VLAN
    )
}

#[inline(always)]
const fn is_extension_header(next_header: u8) -> bool {
    matches!(
        next_header,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::DESTINATION_OPTIONS
    )
}

/// What follows the option at the front of `options`, whose length byte leaves out `uncounted` bytes.
fn behind_option(options: &[u8], uncounted: usize) -> Result<&[u8], Malformed> {
    let &[_, length] = options.first_chunk().ok_or(Malformed::Options)?;
    match usize::from(length) + uncounted {
        0 | 1 => Err(Malformed::Options),
        length => options.get(length..).ok_or(Malformed::Options),
    }
}

/// [`Facts::ports`] of a transport header; `None` if it is too short to tell.
#[inline(always)]
fn ports(protocol: u8, transport: &[u8]) -> Option<u32> {
    match protocol {
        _ if has_ports(protocol) => transport
            .first_chunk()
            .map(|ports| u32::from_be_bytes(*ports)),
        protocol::ICMP | protocol::ICMPV6 => {
            let &[kind, _, _, _, identifier_0, identifier_1, _, _] = transport.first_chunk()?;
            let identifier = u32::from_be_bytes([0, 0, identifier_0, identifier_1]);
            match (protocol, kind) {
                (protocol::ICMP, 0 | 8) | (protocol::ICMPV6, 128 | 129) => Some(identifier),
                _ => Some(0),
            }
        }
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests;

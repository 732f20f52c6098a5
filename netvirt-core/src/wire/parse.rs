//! The one pass over a frame: Ethernet, tag, IP and its options or extension headers, ports.

use super::facts::has_ports;
use super::{Facts, Fragment, Malformed, Network, Notes, Tag, ethertype, protocol, take};
use crate::address::{AddressBits, Family, MacAddress};
use crate::checksum;

/// Headers are looked for in this many bytes, so that every offset fits 16 bits.
const LONGEST_WINDOW: usize = u16::MAX as usize;
/// IPv6 extension headers beyond these limits are not walked.
const MOST_EXTENSION_HEADERS: usize = 8;
const MOST_EXTENSION_BYTES: u16 = 256;

/// Reads the Ethernet frame that starts `offset` bytes into `window`, the contiguous first bytes of a buffer
/// of `total_length` bytes.
///
/// # Errors
/// [`Malformed`] if a header does not fit or contradicts itself. A transport header that does not fit is a
/// note, not an error: policy may still have to answer such a packet.
#[inline(always)]
pub fn parse(window: &[u8], total_length: usize, offset: usize) -> Result<Facts, Malformed> {
    let mut facts = Facts::NOTHING;
    parse_into(&mut facts, window, total_length, offset)?;
    Ok(facts)
}

/// As [`parse`], into the place where the facts are to stay. After an error they mean nothing.
// Out of line, the facts would be copied right after they were written field by field, which stalls the load.
#[inline(always)]
pub(crate) fn parse_into(
    facts: &mut Facts,
    window: &[u8],
    total_length: usize,
    offset: usize,
) -> Result<(), Malformed> {
    let window = window
        .get(..total_length.min(LONGEST_WINDOW))
        .unwrap_or(window);
    let mut rest = window.get(offset..).ok_or(Malformed::Truncated)?;
    let mut header: &[u8] = take::<14>(&mut rest)?;
    facts.destination = MacAddress(*take(&mut header)?);
    facts.source = MacAddress(*take(&mut header)?);
    let mut ethertype = u16::from_be_bytes(*take(&mut header)?);
    let mut tag = Tag::None;
    if is_tag(ethertype) {
        let tci = u16::from_be_bytes(*take(&mut rest)?);
        ethertype = u16::from_be_bytes(*take(&mut rest)?);
        tag = match tci & 0xfff {
            _ if is_tag(ethertype) => Tag::Stacked,
            0 => Tag::Priority { tci },
            _ => Tag::Vlan { tci },
        };
    }
    facts.tag = tag;
    facts.ethertype = ethertype;
    facts.network_offset = window.len().saturating_sub(rest.len()) as u16;
    facts.end = u32::try_from(total_length).unwrap_or(u32::MAX);
    match ethertype {
        ethertype::IPV4 => parse_ipv4(facts, rest),
        ethertype::IPV6 => parse_ipv6(facts, rest),
        _ => {
            facts.set_unread(ethertype);
            Ok(())
        }
    }
}

/// Reads the IP packet that an ICMP error quotes (RFC 792, RFC 4443 §3). It starts `offset` bytes into `window` and may be
/// cut short anywhere behind its IP header and extension headers: [`Facts::end`] is where the packet ends or, if that is
/// earlier, the quote, which reaches to `end`. There is no Ethernet header.
///
/// # Errors
/// [`Malformed`] if a header is cut short or contradicts itself.
#[cold]
pub fn parse_quoted(
    window: &[u8],
    family: Family,
    offset: u16,
    end: u32,
) -> Result<Facts, Malformed> {
    let quote = window
        .get(..end as usize)
        .unwrap_or(window)
        .get(usize::from(offset)..)
        .ok_or(Malformed::Truncated)?;
    let mut facts = Facts {
        network_offset: offset,
        end: u32::MAX,
        ..Facts::NOTHING
    };
    match family {
        Family::Ipv4 => parse_ipv4(&mut facts, quote),
        Family::Ipv6 => parse_ipv6(&mut facts, quote),
    }?;
    facts.end = facts.end.min(end);
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

/// RFC 791 §3.1. `packet` is the window behind the Ethernet header.
#[inline(always)]
fn parse_ipv4(facts: &mut Facts, packet: &[u8]) -> Result<(), Malformed> {
    let mut rest = packet;
    let mut header: &[u8] = take::<20>(&mut rest)?;
    let &[version_and_length, traffic_class] = take(&mut header)?;
    let total_length = u16::from_be_bytes(*take(&mut header)?);
    let _identification: &[u8; 2] = take(&mut header)?;
    let flags_and_offset = u16::from_be_bytes(*take(&mut header)?);
    let &[hop_limit, protocol] = take(&mut header)?;
    let _checksum: &[u8; 2] = take(&mut header)?;
    let source_address = AddressBits::from_ipv4(*take(&mut header)?);
    let destination_address = AddressBits::from_ipv4(*take(&mut header)?);
    if version_and_length >> 4 != 4 {
        return Err(Malformed::Version);
    }
    let header_length = u16::from(version_and_length & 0xf) * 4;
    let Some(options_length) = header_length.checked_sub(20) else {
        return Err(Malformed::HeaderLength);
    };
    if total_length < header_length {
        return Err(Malformed::TotalLength);
    }
    let end = packet_end(facts, u32::from(total_length))?;
    let mut notes = Notes::EMPTY;
    if options_length > 0 {
        let (options, behind) = rest
            .split_at_checked(usize::from(options_length))
            .ok_or(Malformed::Truncated)?;
        notes = read_ipv4_options(options)?;
        rest = behind;
    }

    let fragment_offset = flags_and_offset & 0x1fff;
    if fragment_offset == 1 {
        notes.insert(Notes::FRAGMENT_AT_8);
    }
    facts.network = Network::Ipv4;
    facts.transport_offset = facts.network_offset.saturating_add(header_length);
    facts.end = end;
    facts.protocol = protocol;
    facts.hop_limit = hop_limit;
    facts.traffic_class = traffic_class;
    facts.dont_fragment = flags_and_offset & 0x4000 != 0;
    facts.fragment = fragment(fragment_offset, flags_and_offset & 0x2000 != 0);
    facts.source_address = source_address;
    facts.destination_address = destination_address;
    facts.notes = notes;
    facts.read_ports(rest);
    Ok(())
}

/// RFC 8200 §3. `packet` is the window behind the Ethernet header.
#[inline(always)]
fn parse_ipv6(facts: &mut Facts, packet: &[u8]) -> Result<(), Malformed> {
    let mut rest = packet;
    let mut header: &[u8] = take::<40>(&mut rest)?;
    let &[version_and_class, class_and_label] = take(&mut header)?;
    let _flow_label: &[u8; 2] = take(&mut header)?;
    let payload_length = u16::from_be_bytes(*take(&mut header)?);
    let &[next_header, hop_limit] = take(&mut header)?;
    let source_address = AddressBits::from_ipv6(*take(&mut header)?);
    let destination_address = AddressBits::from_ipv6(*take(&mut header)?);
    if version_and_class >> 4 != 6 {
        return Err(Malformed::Version);
    }
    let end = packet_end(facts, 40 + u32::from(payload_length))?;
    let mut chain = Chain {
        protocol: next_header,
        length: 0,
        fragment: Fragment::Whole,
        notes: Notes::EMPTY,
    };
    if is_extension_header(next_header) {
        let payload = rest.get(..usize::from(payload_length)).unwrap_or(rest);
        chain = read_extension_headers(next_header, payload)?;
        rest = rest.get(usize::from(chain.length)..).unwrap_or_default();
    }
    facts.network = Network::Ipv6;
    facts.transport_offset = facts
        .network_offset
        .saturating_add(40)
        .saturating_add(chain.length);
    facts.end = end;
    facts.protocol = chain.protocol;
    facts.hop_limit = hop_limit;
    facts.traffic_class = version_and_class << 4 | class_and_label >> 4;
    facts.dont_fragment = true;
    facts.fragment = chain.fragment;
    facts.source_address = source_address;
    facts.destination_address = destination_address;
    facts.notes = chain.notes;
    facts.read_ports(rest);
    Ok(())
}

/// The end of a packet of `length` bytes: what follows in the frame is padding.
#[inline(always)]
fn packet_end(frame: &Facts, length: u32) -> Result<u32, Malformed> {
    let end = u32::from(frame.network_offset) + length;
    match end > frame.end {
        true => Err(Malformed::TotalLength),
        false => Ok(end),
    }
}

impl Facts {
    /// Fills in what is said of a packet that is not IP.
    fn set_unread(&mut self, ethertype: u16) {
        *self = Self {
            destination: self.destination,
            source: self.source,
            tag: self.tag,
            ethertype,
            network: match ethertype {
                ethertype::ARP => Network::Arp,
                _ => Network::Other,
            },
            network_offset: self.network_offset,
            transport_offset: self.network_offset,
            end: self.end,
            ..Self::NOTHING
        };
    }

    /// Fills in the ports from `rest`, the window behind the IP header.
    #[inline(always)]
    fn read_ports(&mut self, rest: &[u8]) {
        self.ports = 0;
        if self.fragment == Fragment::Whole && !self.notes.contains(Notes::CHAIN_TOO_LONG) {
            let transport = rest.get(..self.transport_length() as usize).unwrap_or(rest);
            match ports(self.protocol, transport) {
                Some(ports) => self.ports = ports,
                None => self.notes.insert(Notes::TRANSPORT_TRUNCATED),
            }
        }
    }
}

#[cold]
fn read_ipv4_options(mut options: &[u8]) -> Result<Notes, Malformed> {
    let mut notes = Notes::IPV4_OPTIONS;
    while let Some((&kind, behind)) = options.split_first() {
        match kind {
            0 => break,
            1 => options = behind,
            _ => {
                match kind {
                    131 | 137 => notes.insert(Notes::SOURCE_ROUTE),
                    7 => notes.insert(Notes::RECORD_ROUTE),
                    68 if has_timestamp_addresses(options) => notes.insert(Notes::RECORD_ROUTE),
                    _ => {}
                }
                options = behind_option(options, 0)?;
            }
        }
    }
    Ok(notes)
}

/// Whether an internet timestamp option has routers write down their addresses: its last four flags are not 0 (RFC 791 §3.1).
fn has_timestamp_addresses(option: &[u8]) -> bool {
    option.get(3).is_some_and(|flags| flags & 0xf != 0)
}

/// What the extension headers of an IPv6 packet say.
struct Chain {
    /// The next header of the last one.
    protocol: u8,
    /// Their length, in bytes.
    length: u16,
    fragment: Fragment,
    notes: Notes,
}

/// RFC 8200 §4. AH and ESP end the walk: as in IPv4 they count as what the packet carries.
#[cold]
fn read_extension_headers(first: u8, mut rest: &[u8]) -> Result<Chain, Malformed> {
    let mut chain = Chain {
        protocol: first,
        length: 0,
        fragment: Fragment::Whole,
        notes: Notes::EXTENSION_HEADERS,
    };
    for position in 1..=MOST_EXTENSION_HEADERS {
        let &[next_header, length, third, fourth, ..] =
            rest.first_chunk::<8>().ok_or(Malformed::Truncated)?;
        let header_length = match chain.protocol {
            protocol::FRAGMENT => 8,
            _ => 8 + u16::from(length) * 8,
        };
        if chain.length + header_length > MOST_EXTENSION_BYTES {
            break;
        }
        let (header, behind) = rest
            .split_at_checked(usize::from(header_length))
            .ok_or(Malformed::Truncated)?;
        match chain.protocol {
            protocol::ROUTING => chain.note_routing_header(third, fourth),
            protocol::DESTINATION_OPTIONS => chain.note_destination_options(header)?,
            protocol::FRAGMENT => chain.note_fragment(u16::from_be_bytes([third, fourth])),
            _ => {}
        }
        chain.protocol = next_header;
        chain.length += header_length;
        rest = behind;
        if position > 4 || chain.length > 64 {
            chain.notes.insert(Notes::LONG_CHAIN);
        }
        if !is_extension_header(next_header) || chain.fragment == Fragment::Later {
            return Ok(chain);
        }
    }
    chain.notes.insert(Notes::LONG_CHAIN);
    chain.notes.insert(Notes::CHAIN_TOO_LONG);
    Ok(chain)
}

impl Chain {
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

    fn note_fragment(&mut self, offset_and_more: u16) {
        let offset = offset_and_more >> 3;
        self.notes.insert(Notes::FRAGMENT_HEADER);
        if offset == 1 {
            self.notes.insert(Notes::FRAGMENT_AT_8);
        }
        // A second header, which RFC 8200 §4.1 does not foresee, takes nothing back of what the first said.
        let stated = fragment(offset, offset_and_more & 1 != 0);
        if stated != Fragment::Whole {
            self.fragment = stated;
        }
    }
}

/// `offset` counts units of 8 bytes.
#[inline(always)]
const fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
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

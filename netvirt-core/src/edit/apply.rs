//! Doing an edit: in place, into another buffer, or as a detached header.

use core::fmt;
use core::ops::Range;

use super::template::{LINK_ROOM, OUTER_ROOM, OuterFields};
use super::{
    Edit, Encapsulation, Ethernet, Link, Push, Quote, Rewrite, SegmentSize, TransportChecksum,
};
use crate::address::{AddressBits, Family};
use crate::checksum::Delta;
use crate::wire::IcmpHeader;

/// Bytes of the longest header that is pushed: Ethernet with a tag, IPv6, GRE with key, inner Ethernet.
const HEADER_ROOM: usize = OUTER_ROOM + 8 + 14;

/// Bytes that a buffer should have free in front of a frame, so that every edit can be done in place.
pub const HEADROOM: usize = HEADER_ROOM;

/// Bytes of room for a detached header.
pub const DETACHED_ROOM: usize = 256;

/// Bytes of a packet that its rewrite may change, so that they always fit behind a link header into a detached one.
pub(crate) const REWRITE_REACH: u32 = (DETACHED_ROOM - LINK_ROOM) as u32;

/// Bytes of a packet that may change behind any header that is pushed.
pub(crate) const TUNNEL_REACH: u16 = (DETACHED_ROOM - HEADER_ROOM) as u16;

/// The buffer has no room for the edited frame, or the frame is not the one that the edit was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the buffer has no room for the edited frame: leave {HEADROOM} bytes free in front of it"
        )
    }
}

impl core::error::Error for NoRoom {}

/// A header that replaces the front of a frame whose payload stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// Where in the room the header lies.
    pub header: Range<usize>,
    /// What follows it, in the frame as it was received.
    pub payload: Range<usize>,
}

impl Edit<'_> {
    /// Edits a frame where it lies: `buffer[frame]` is the frame as it was given to the datapath, and in front
    /// of it there is room ([`HEADROOM`]). Yields where the edited frame lies. If only the frame's window is
    /// in this buffer, what lies in further buffers is behind the range and ends at [`Edit::end`].
    ///
    /// # Errors
    /// [`NoRoom`]; the frame is then untouched.
    #[inline]
    pub fn apply_in_place(
        &self,
        buffer: &mut [u8],
        frame: Range<usize>,
    ) -> Result<Range<usize>, NoRoom> {
        let packet = frame.start.wrapping_add(usize::from(self.pull));
        let end = frame.end.min(frame.start.wrapping_add(self.end as usize));
        match &self.push {
            Push::Nothing => {}
            Push::Ethernet(header) => header.emit(room_before(buffer, packet)?),
            Push::Link(link) => link.emit(room_before(buffer, packet)?),
            Push::Encapsulation(encapsulation) => {
                encapsulation.emit(room_before(buffer, packet)?, self.packet_length());
            }
        }
        if self.changes_packet() {
            self.patch(buffer.get_mut(frame.start..end).ok_or(NoRoom)?, 0);
        }
        Ok(packet.wrapping_sub(self.pushed())..end)
    }

    /// Writes the edited frame to the start of `out`, leaving the original as it is. Yields its length.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is shorter than [`Edit::length`] or `frame` than [`Edit::end`].
    pub fn apply_into(&self, frame: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        let payload = frame
            .get(usize::from(self.pull)..self.end as usize)
            .ok_or(NoRoom)?;
        let length = self.pushed().wrapping_add(payload.len());
        let (header, rest) = out
            .get_mut(..length)
            .ok_or(NoRoom)?
            .split_at_mut_checked(self.pushed())
            .ok_or(NoRoom)?;
        self.emit_header(header, self.packet_length());
        copy(payload, rest);
        self.patch(rest, self.pull);
        Ok(length)
    }

    /// Writes the front of the edited frame into `room` and says which bytes of the original follow it. The
    /// original is not touched: what the edit changes behind the pushed header is copied into the room.
    ///
    /// # Errors
    /// [`NoRoom`] if what changes lies further back than the room reaches.
    pub fn detach(
        &self,
        window: &[u8],
        room: &mut [u8; DETACHED_ROOM],
    ) -> Result<Detached, NoRoom> {
        let changed = window
            .get(usize::from(self.pull)..self.changed_end())
            .ok_or(NoRoom)?;
        let length = self.pushed().wrapping_add(changed.len());
        let (header, rest) = room
            .get_mut(..length)
            .ok_or(NoRoom)?
            .split_at_mut_checked(self.pushed())
            .ok_or(NoRoom)?;
        self.emit_header(header, self.packet_length());
        copy(changed, rest);
        self.patch(rest, self.pull);
        Ok(Detached {
            header: 0..length,
            payload: self.changed_end()..self.end as usize,
        })
    }

    /// Bytes of the packet behind what was pulled.
    #[inline(always)]
    fn packet_length(&self) -> u32 {
        self.end.wrapping_sub(u32::from(self.pull))
    }

    /// Writes the pushed header into exactly its room; `packet_length` bytes follow it.
    pub(super) fn emit_header(&self, out: &mut [u8], packet_length: u32) {
        match &self.push {
            Push::Nothing => {}
            Push::Ethernet(header) => {
                if let Some(room) = out.first_chunk_mut() {
                    header.emit(room);
                }
            }
            Push::Link(link) => {
                let mut room = [0; LINK_ROOM];
                link.emit(&mut room);
                copy_end(&room, out);
            }
            Push::Encapsulation(encapsulation) => {
                let mut room = [0; HEADER_ROOM];
                encapsulation.emit(&mut room, packet_length);
                copy_end(&room, out);
            }
        }
    }

    /// Where the last byte that changes ends, counted from the start of the received frame.
    fn changed_end(&self) -> usize {
        if !self.changes_packet() {
            return usize::from(self.pull);
        }
        let fixed = match self.family {
            Family::Ipv4 => 20,
            Family::Ipv6 => 40,
        };
        let header_length = self.fragmentation.map_or(fixed, |fragmentation| {
            usize::from(fragmentation.header_length)
        });
        let rewritten = self.rewrite.map_or(0, |rewrite| rewrite.changed_end(fixed));
        let sized = self.segment_size.map_or(0, SegmentSize::changed_end);
        usize::from(self.network())
            .wrapping_add(header_length)
            .max(rewritten)
            .max(sized)
    }

    /// Changes the packet's own headers. `bytes` begin at offset `base` of the received frame.
    #[inline(always)]
    fn patch(&self, bytes: &mut [u8], base: u16) {
        let Some(packet) = bytes.get_mut(usize::from(self.network().wrapping_sub(base))..) else {
            return;
        };
        match self.family {
            Family::Ipv4 => self.patch_ipv4(packet),
            Family::Ipv6 => self.patch_ipv6(packet),
        }
        if let Some(rewrite) = &self.rewrite {
            rewrite.patch_transport(self.family, bytes, base, self.network());
        }
        if let Some(size) = &self.segment_size {
            size.patch(bytes, base);
        }
    }

    #[inline(always)]
    fn patch_ipv4(&self, packet: &mut [u8]) {
        let Some(header) = packet.first_chunk_mut::<20>() else {
            return;
        };
        let mut delta = Delta::default();
        if self.decrement_hop_limit {
            let old = u16::from_be_bytes([header[8], header[9]]);
            header[8] = header[8].wrapping_sub(1);
            delta = delta + Delta::of_words(old, u16::from_be_bytes([header[8], header[9]]));
        }
        if let Some(ecn) = self.ecn {
            let old = u16::from_be_bytes([header[0], header[1]]);
            header[1] = header[1] & !3 | ecn & 3;
            delta = delta + Delta::of_words(old, u16::from_be_bytes([header[0], header[1]]));
        }
        if let Some(rewrite) = &self.rewrite {
            set_ipv4_addresses(header, rewrite.source, rewrite.destination);
            delta = delta + rewrite.delta;
        }
        [header[10], header[11]] = delta
            .apply(u16::from_be_bytes([header[10], header[11]]))
            .to_be_bytes();
    }

    #[inline(always)]
    fn patch_ipv6(&self, packet: &mut [u8]) {
        let Some(header) = packet.first_chunk_mut::<40>() else {
            return;
        };
        if self.decrement_hop_limit {
            header[7] = header[7].wrapping_sub(1);
        }
        if let Some(ecn) = self.ecn {
            // The two ECN bits end the traffic class, which straddles the first two octets.
            header[1] = header[1] & !0x30 | (ecn & 3) << 4;
        }
        if let Some(rewrite) = &self.rewrite {
            set_ipv6_addresses(header, rewrite.source, rewrite.destination);
        }
    }
}

impl Rewrite<'_> {
    /// Where the last byte ends that changes behind the IP header of `header_length` bytes.
    #[inline(always)]
    fn changed_end(&self, header_length: usize) -> usize {
        let quote = self
            .quote
            .map_or(0, |quote| quote.changed_end(header_length));
        self.transport.end().max(quote)
    }

    #[inline(always)]
    fn patch_transport(&self, family: Family, bytes: &mut [u8], base: u16, network: u16) {
        let quoted = match &self.quote {
            Some(quote) => quote.patch(family, bytes, base, network),
            None => Delta::NONE,
        };
        self.transport.patch(bytes, base, self.delta, quoted);
    }
}

impl Quote<'_> {
    fn changed_end(&self, header_length: usize) -> usize {
        let header = usize::from(self.network).wrapping_add(header_length);
        header.max(self.transport.end())
    }

    /// Changes the quoted packet; yields by how much that changes the sum of the message. The error's IP header starts at offset
    /// `network` of the received frame.
    #[cold]
    #[inline(never)]
    fn patch(&self, family: Family, bytes: &mut [u8], base: u16, network: u16) -> Delta {
        if self.cut > 0 {
            self.forget_extensions(family, bytes, network.wrapping_sub(base), base);
        }
        let start = usize::from(self.network.wrapping_sub(base));
        let packet = bytes.get_mut(start..).unwrap_or_default();
        let header = match family {
            Family::Ipv4 => self.patch_ipv4(packet),
            Family::Ipv6 => self.patch_ipv6(packet),
        };
        header + self.cut_delta + self.transport.patch(bytes, base, self.delta, Delta::NONE)
    }

    /// Shortens the packet whose IP header starts at `start` of `bytes`, and takes the length of the quote out of its ICMP header:
    /// without extensions there is none (RFC 4884 §4).
    fn forget_extensions(&self, family: Family, bytes: &mut [u8], start: u16, base: u16) {
        let icmp = self
            .network
            .wrapping_sub(base)
            .wrapping_sub(IcmpHeader::LEN as u16);
        let (total, of_quote) = match family {
            Family::Ipv4 => (start.wrapping_add(2), icmp.wrapping_add(5)),
            Family::Ipv6 => (start.wrapping_add(4), icmp.wrapping_add(4)),
        };
        if let Some(length) = bytes.get_mut(usize::from(of_quote)) {
            *length = 0;
        }
        let Some(field) = word_at(bytes, total) else {
            return;
        };
        let old = u16::from_be_bytes(*field);
        let new = old.wrapping_sub(self.cut);
        *field = new.to_be_bytes();
        if family == Family::Ipv4
            && let Some(field) = word_at(bytes, start.wrapping_add(10))
        {
            let checksum = Delta::of_words(old, new).apply(u16::from_be_bytes(*field));
            *field = checksum.to_be_bytes();
        }
    }

    fn patch_ipv4(&self, packet: &mut [u8]) -> Delta {
        let Some(header) = packet.first_chunk_mut::<20>() else {
            return Delta::NONE;
        };
        set_ipv4_addresses(header, self.source, self.destination);
        let old = u16::from_be_bytes([header[10], header[11]]);
        let new = self.delta.apply(old);
        [header[10], header[11]] = new.to_be_bytes();
        self.delta + Delta::of_words(old, new)
    }

    fn patch_ipv6(&self, packet: &mut [u8]) -> Delta {
        let Some(header) = packet.first_chunk_mut::<40>() else {
            return Delta::NONE;
        };
        set_ipv6_addresses(header, self.source, self.destination);
        self.delta
    }
}

impl TransportChecksum {
    /// Adjusts the stored checksum to a change of the addresses that its pseudo header covers and to one of the message;
    /// yields by how much it changed itself.
    #[inline(always)]
    fn patch(self, bytes: &mut [u8], base: u16, addresses: Delta, message: Delta) -> Delta {
        let Some(offset) = self.offset() else {
            return Delta::NONE;
        };
        let Some(field) = word_at(bytes, offset.wrapping_sub(base)) else {
            return Delta::NONE;
        };
        let old = u16::from_be_bytes(*field);
        let new = match self {
            Self::Udp(_) => addresses.apply_udp(old),
            // The field holds a sum that is not complemented yet, so the difference is added as it is; the message will be
            // summed as it then is.
            Self::Partial(_) => !addresses.apply(!old),
            Self::Icmp(_) => message.apply(old),
            Self::Complete(_) | Self::None => (addresses + message).apply(old),
        };
        *field = new.to_be_bytes();
        Delta::of_words(old, new)
    }
}

#[inline(always)]
fn set_ipv4_addresses(header: &mut [u8; 20], source: &AddressBits, destination: &AddressBits) {
    [header[12], header[13], header[14], header[15]] = source.to_ipv4();
    [header[16], header[17], header[18], header[19]] = destination.to_ipv4();
}

#[inline(always)]
fn set_ipv6_addresses(header: &mut [u8; 40], source: &AddressBits, destination: &AddressBits) {
    if let Some((_, addresses)) = header.split_first_chunk_mut::<8>()
        && let Some((source_field, addresses)) = addresses.split_first_chunk_mut()
        && let Some(destination_field) = addresses.first_chunk_mut()
    {
        *source_field = source.to_ipv6();
        *destination_field = destination.to_ipv6();
    }
}

impl SegmentSize {
    fn changed_end(self) -> usize {
        usize::from(self.offset)
            .wrapping_add(2)
            .max(self.checksum.end())
    }

    #[cold]
    fn patch(&self, bytes: &mut [u8], base: u16) {
        let Some(field) = word_at(bytes, self.offset.wrapping_sub(base)) else {
            return;
        };
        let old = u16::from_be_bytes(*field);
        *field = self.value.to_be_bytes();
        let Some(checksum) = self.checksum.offset() else {
            return;
        };
        let delta = match self.offset.wrapping_sub(checksum) % 2 {
            0 => Delta::of_words(old, self.value),
            // Its bytes are the other halves of their words (RFC 1071 §2 (B)).
            _ => Delta::of_words(old.swap_bytes(), self.value.swap_bytes()),
        };
        if let Some(field) = word_at(bytes, checksum.wrapping_sub(base)) {
            *field = delta.apply(u16::from_be_bytes(*field)).to_be_bytes();
        }
    }
}

#[inline(always)]
fn word_at(bytes: &mut [u8], at: u16) -> Option<&mut [u8; 2]> {
    bytes.get_mut(usize::from(at)..)?.first_chunk_mut()
}

impl Encapsulation<'_> {
    /// Writes outer header, GRE and inner Ethernet header to the end of `room`; `packet_length` bytes follow.
    #[inline(always)]
    fn emit(&self, room: &mut [u8; HEADER_ROOM], packet_length: u32) {
        let Some((outer, inner)) = room.split_first_chunk_mut::<OUTER_ROOM>() else {
            return;
        };
        let Some((gre, ethernet)) = inner.split_first_chunk_mut::<8>() else {
            return;
        };
        let fields = OuterFields {
            payload_length: (packet_length as u16).wrapping_add(8 + 14),
            traffic_class: self.traffic_class,
            hop_limit: self.hop_limit,
            flow_label: self.flow_label,
        };
        self.template.emit(outer, fields);
        let [vsid2, vsid1, vsid0, flow_id] = self.key.to_be_bytes();
        // K set, everything else clear, Transparent Ethernet Bridging (RFC 7637 §3.2).
        *gre = [0x20, 0x00, 0x65, 0x58, vsid2, vsid1, vsid0, flow_id];
        if let Some(ethernet) = ethernet.first_chunk_mut() {
            self.inner.emit(ethernet);
        }
    }
}

impl Ethernet<'_> {
    #[inline(always)]
    fn emit(&self, room: &mut [u8; 14]) {
        let [
            d0,
            d1,
            d2,
            d3,
            d4,
            d5,
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            kind_0,
            kind_1,
        ] = room;
        [*d0, *d1, *d2, *d3, *d4, *d5] = self.destination.0;
        [*s0, *s1, *s2, *s3, *s4, *s5] = self.source.0;
        [*kind_0, *kind_1] = self.ethertype.to_be_bytes();
    }
}

impl Link<'_> {
    /// Writes the Ethernet header to the end of `room`.
    #[inline(always)]
    fn emit(&self, room: &mut [u8; LINK_ROOM]) {
        self.template.emit_link(room);
        if let Some(source) = self.source {
            let start = LINK_ROOM
                .wrapping_sub(self.template.link_length())
                .wrapping_add(6);
            if let Some(place) = room
                .get_mut(start..)
                .and_then(|rest| rest.first_chunk_mut())
            {
                *place = source.0;
            }
        }
    }
}

/// The `N` bytes in front of `packet`.
#[inline(always)]
fn room_before<const N: usize>(buffer: &mut [u8], packet: usize) -> Result<&mut [u8; N], NoRoom> {
    let start = packet.checked_sub(N).ok_or(NoRoom)?;
    buffer
        .get_mut(start..)
        .and_then(|rest| rest.first_chunk_mut())
        .ok_or(NoRoom)
}

/// Copies the end of `from` that `to` has room for.
fn copy_end(from: &[u8], to: &mut [u8]) {
    copy(
        from.get(from.len().saturating_sub(to.len())..)
            .unwrap_or_default(),
        to,
    );
}

/// Copies as many bytes as both have.
#[inline]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    let length = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) {
        to.copy_from_slice(from);
    }
}

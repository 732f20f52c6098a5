//! What is to be done to a frame, as plain data, and the doing of it.

mod apply;
mod fragment;
mod template;

pub use apply::{DETACHED_ROOM, Detached, HEADROOM, NoRoom};
pub(crate) use apply::{REWRITE_REACH, TUNNEL_REACH};
pub use fragment::{Fragmentation, Fragments};
pub(crate) use template::Outer;
pub use template::{LinkHeader, Template};

use crate::address::{AddressBits, Family, MacAddress};
use crate::checksum::Delta;
use crate::offload::Offload;
use crate::wire::Facts;

/// What is put in front of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push<'p> {
    /// Nothing: the frame begins where the pull ended.
    Nothing,
    /// An untagged Ethernet header.
    Ethernet(Ethernet<'p>),
    /// The Ethernet header of a path through the provider network.
    Link(Link<'p>),
    /// An outer header, GRE with the key, and an inner Ethernet header (RFC 7637 §3.2).
    Encapsulation(Encapsulation<'p>),
}

/// An untagged Ethernet header, whose addresses stand in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ethernet<'p> {
    /// The station that the frame goes to.
    pub destination: &'p MacAddress,
    /// The station that it comes from.
    pub source: &'p MacAddress,
    /// What it carries.
    pub ethertype: u16,
}

/// The Ethernet header of a packet that crosses the provider network without a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link<'p> {
    /// Whose Ethernet header it is.
    pub template: &'p Template,
    /// The source MAC address, if it is not the uplink's.
    pub source: Option<MacAddress>,
}

/// The NVGRE header of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulation<'p> {
    /// The outer header.
    pub template: &'p Template,
    /// VSID << 8 | FlowID.
    pub key: u32,
    /// DSCP and ECN of the outer header.
    pub traffic_class: u8,
    /// TTL or hop limit of the outer header.
    pub hop_limit: u8,
    /// The flow label of an outer IPv6 header, 20 bits.
    pub flow_label: u32,
    /// The inner Ethernet header, never tagged (RFC 7637 §3.3).
    pub inner: Ethernet<'p>,
}

/// The replacement of both addresses of an IP packet, and what it does to the checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite<'p> {
    /// The new source.
    pub source: &'p AddressBits,
    /// The new destination.
    pub destination: &'p AddressBits,
    /// The one's-complement difference of new and old addresses.
    pub delta: Delta,
    /// The checksum of the transport header.
    pub transport: TransportChecksum,
    /// The quoted packet, if this is an ICMP error.
    pub quote: Option<Quote<'p>>,
}

/// The replacement of both addresses of the packet that an ICMP error quotes. The error's own checksum covers all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'p> {
    /// Its new source.
    pub source: &'p AddressBits,
    /// Its new destination.
    pub destination: &'p AddressBits,
    /// Where its IP header starts, counted from the start of the frame. It is of the same version as the error's.
    pub network: u16,
    /// The one's-complement difference of its new and old addresses.
    pub delta: Delta,
    /// The checksum of its transport header, if the quote reaches so far.
    pub transport: TransportChecksum,
    /// Bytes that the error loses behind the quote: extensions (RFC 4884) that are not for its receiver.
    pub cut: u16,
    /// The one's-complement difference that their loss makes to the message and its length.
    pub cut_delta: Delta,
}

/// The transport checksum, where a change of addresses changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChecksum {
    /// There is none that covers addresses, or it lies in another fragment.
    None,
    /// A checksum over addresses and message, at this offset from the start of the frame.
    Complete(u16),
    /// UDP's or UDP-Lite's, where zero says that there is none.
    Udp(u16),
    /// The pseudo-header's sum alone, to be completed further down the path.
    Partial(u16),
    /// ICMP's in IPv4: it covers no addresses but those of a quoted packet.
    Icmp(u16),
}

impl TransportChecksum {
    /// Where it is, counted from the start of the frame.
    pub const fn offset(self) -> Option<u16> {
        match self {
            Self::None => None,
            Self::Complete(offset)
            | Self::Udp(offset)
            | Self::Partial(offset)
            | Self::Icmp(offset) => Some(offset),
        }
    }

    /// Where it ends.
    #[inline(always)]
    fn end(self) -> usize {
        self.offset()
            .map_or(0, |offset| usize::from(offset).wrapping_add(2))
    }
}

/// The maximum segment size that a TCP SYN announces, to be lowered to what the path carries (RFC 9293 §3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSize {
    /// Where it stands, in bytes from the start of the frame.
    pub offset: u16,
    /// What is to stand there.
    pub value: u16,
    /// TCP's checksum; none if it covers no more than the pseudo header yet.
    pub checksum: TransportChecksum,
}

/// What is to be done to a frame: plain data, to be applied in place, into another buffer, or as a header
/// before an untouched payload; to be printed, compared, or programmed into a device.
///
/// All offsets count from the start of the frame as it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'p> {
    /// Bytes to take off the front.
    pub pull: u16,
    /// What to put there instead.
    pub push: Push<'p>,
    /// Where the packet ends: padding behind it is cut off.
    pub end: u32,
    /// The version of the packet's IP header, if that is to be changed. It lies behind what is pulled, or, if
    /// nothing is pushed, behind the Ethernet header that then comes first.
    pub family: Family,
    /// Whether the TTL or hop limit is taken down by one.
    pub decrement_hop_limit: bool,
    /// The ECN field to set (RFC 6040), if it changes.
    pub ecn: Option<u8>,
    /// The addresses to replace.
    pub rewrite: Option<Rewrite<'p>>,
    /// TCP's maximum segment size, if it is to be lowered.
    pub segment_size: Option<SegmentSize>,
    /// How the packet is to be cut when all else is done, if its path carries no packets of its size. The three forms of
    /// applying an edit leave it whole; [`Edit::fragments`] cuts it.
    pub fragmentation: Option<Fragmentation>,
    /// The work that is left for whoever takes the edited frame.
    pub offload: Offload,
}

impl<'p> Edit<'p> {
    /// Another front for a packet, and the end of its padding. What is rare is added where the edit lies.
    #[inline(always)]
    pub(crate) fn front(facts: &Facts, family: Family, pull: u16, push: Push<'p>) -> Self {
        Self {
            pull,
            push,
            end: facts.end,
            family,
            decrement_hop_limit: false,
            ecn: None,
            rewrite: None,
            segment_size: None,
            fragmentation: None,
            offload: Offload::NONE,
        }
    }
}

impl Edit<'_> {
    /// Leaves the work beside the frame as it was received to whoever takes the edited one.
    pub(crate) fn carry(&mut self, offload: Offload) {
        self.offload = offload.shifted(self.pushed(), self.pull);
    }

    /// Bytes that are put in front.
    #[inline(always)]
    pub fn pushed(&self) -> usize {
        self.push.length()
    }

    /// Bytes of the edited frame.
    #[inline]
    pub fn length(&self) -> usize {
        (self.end as usize)
            .saturating_sub(usize::from(self.pull))
            .wrapping_add(self.pushed())
    }

    /// Where the IP header of the packet starts.
    #[inline(always)]
    pub(crate) fn network(&self) -> u16 {
        match self.push {
            Push::Nothing => self.pull.wrapping_add(14),
            Push::Ethernet(_) | Push::Link(_) | Push::Encapsulation(_) => self.pull,
        }
    }

    /// Whether bytes behind the pushed header change.
    #[inline(always)]
    fn changes_packet(&self) -> bool {
        self.decrement_hop_limit
            || self.ecn.is_some()
            || self.rewrite.is_some()
            || self.segment_size.is_some()
            || self.fragmentation.is_some()
    }
}

impl Push<'_> {
    /// Bytes that are put in front.
    #[inline(always)]
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Ethernet(_) => 14,
            Self::Link(link) => link.template.link_length(),
            Self::Encapsulation(encapsulation) => encapsulation.template.outer_length() + 8 + 14,
        }
    }
}

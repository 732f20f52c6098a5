//! What the gateway says in ICMP: the answer to an echo request, and why a packet goes no further.

mod echo;
mod error;

pub use echo::EchoReply;
pub use error::IcmpError;

pub(crate) use echo::from_port;
pub(crate) use error::{Problem, error};

use super::ndp::ROUTER_LINK_LOCAL;
use crate::address::{AddressBits, Family};
use crate::checksum;
use crate::datapath::Frame;
use crate::edit::NoRoom;
use crate::policy::Settings;
use crate::wire::{EthernetHeader, Facts, Network, icmp_kind, icmpv4, protocol};

/// TTL and hop limit of packets that the gateway makes.
const HOP_LIMIT: u8 = 64;

/// Whether this is the router's link-local address.
pub(crate) fn is_router_link_local(family: Family, address: AddressBits) -> bool {
    family == Family::Ipv6 && address == AddressBits::from_ipv6(ROUTER_LINK_LOCAL.octets())
}

/// Whether an IPv4 packet tells its receiver of a shorter way (RFC 792): that is for the distributed router to know.
#[inline(always)]
pub(crate) fn is_redirect(frame: &Frame<'_>, facts: &Facts) -> bool {
    facts.network == Network::Ipv4 && icmp_kind(frame.window, facts) == Some(icmpv4::REDIRECT)
}

/// The headers of an ICMP packet that the gateway makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Envelope {
    ethernet: EthernetHeader,
    family: Family,
    source: AddressBits,
    destination: AddressBits,
    traffic_class: u8,
}

impl Envelope {
    /// Back to where a packet came from.
    fn back_to_sender(
        facts: &Facts,
        family: Family,
        source: AddressBits,
        traffic_class: u8,
        settings: &Settings,
    ) -> Self {
        Self {
            ethernet: EthernetHeader {
                destination: facts.source,
                source: settings.router_mac,
                vlan: None,
                ethertype: facts.ethertype,
            },
            family,
            source,
            destination: facts.source_address,
            traffic_class,
        }
    }

    /// Writes the headers of a message of `length` bytes to the front of `out`.
    fn open<'o>(&self, length: usize, out: &'o mut [u8]) -> Result<Writer<'o>, NoRoom> {
        let length = u16::try_from(length).map_err(|_| NoRoom)?;
        let mut writer = Writer { out, written: 0 };
        let mut ethernet = [0; 14];
        self.ethernet.emit(&mut ethernet).ok_or(NoRoom)?;
        writer.write(&ethernet)?;
        match self.family {
            Family::Ipv4 => writer.write(&self.ipv4_header(length))?,
            Family::Ipv6 => {
                writer.write(&self.ipv6_header(length))?;
                writer.write(&self.source.to_ipv6())?;
                writer.write(&self.destination.to_ipv6())?;
            }
        }
        Ok(writer)
    }

    fn ipv4_header(&self, payload: u16) -> [u8; 20] {
        let [length_0, length_1] = payload.saturating_add(20).to_be_bytes();
        let [s0, s1, s2, s3] = self.source.to_ipv4();
        let [d0, d1, d2, d3] = self.destination.to_ipv4();
        let class = self.traffic_class;
        #[rustfmt::skip]
        let mut header = [
            0x45, class, length_0, length_1,
            0, 0, 0x40, 0,
            HOP_LIMIT, protocol::ICMP, 0, 0,
            s0, s1, s2, s3,
            d0, d1, d2, d3,
        ];
        [header[10], header[11]] = (!checksum::ipv4_header_sum(&header)).to_be_bytes();
        header
    }

    fn ipv6_header(&self, payload: u16) -> [u8; 8] {
        let [length_0, length_1] = payload.to_be_bytes();
        let class = self.traffic_class;
        [
            0x60 | class >> 4,
            class << 4,
            0,
            0,
            length_0,
            length_1,
            protocol::ICMPV6,
            HOP_LIMIT,
        ]
    }
}

/// Writes one piece behind the other.
struct Writer<'o> {
    out: &'o mut [u8],
    written: usize,
}

impl Writer<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<(), NoRoom> {
        let end = self.written.saturating_add(piece.len());
        let place = self.out.get_mut(self.written..end).ok_or(NoRoom)?;
        for (to, from) in place.iter_mut().zip(piece) {
            *to = *from;
        }
        self.written = end;
        Ok(())
    }
}

//! The gateway answers echo requests.

use super::Reply;
use super::ndp::ROUTER_LINK_LOCAL;
use crate::address::{AddressBits, Family};
use crate::checksum;
use crate::datapath::{DropReason, Frame, Outcome};
use crate::edit::NoRoom;
use crate::policy::Settings;
use crate::wire::{EthernetHeader, Facts, Fragment, IcmpHeader, protocol};

/// TTL and hop limit of packets that the gateway makes.
const HOP_LIMIT: u8 = 64;

/// The gateway's answer to an echo request (RFC 792, RFC 4443 §4.2). The data is the request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoReply {
    ethernet: EthernetHeader,
    family: Family,
    source: AddressBits,
    destination: AddressBits,
    traffic_class: u8,
    icmp: IcmpHeader,
    /// Where the request's ICMP header starts.
    transport_offset: u16,
    /// Where its data ends.
    end: u32,
}

/// Whether this is the router's link-local address.
pub(crate) fn is_router_link_local(family: Family, address: AddressBits) -> bool {
    family == Family::Ipv6 && address == AddressBits::from_ipv6(ROUTER_LINK_LOCAL.octets())
}

/// A packet for the gateway itself.
pub(crate) fn from_port<'p>(
    frame: &Frame<'_>,
    facts: &Facts,
    settings: &Settings,
) -> Result<Outcome<'p>, DropReason> {
    let family = facts.family().ok_or(DropReason::GatewayAddress)?;
    let request =
        IcmpHeader::read(frame.window, facts).filter(|_| facts.fragment == Fragment::Whole);
    let icmp = request
        .and_then(|request| request.echo_reply(family))
        .ok_or(DropReason::GatewayAddress)?;
    let ethernet = EthernetHeader {
        destination: facts.source,
        source: settings.router_mac,
        vlan: None,
        ethertype: facts.ethertype,
    };
    Ok(Outcome::Reply(Reply::Echo(EchoReply {
        ethernet,
        family,
        source: facts.destination_address,
        destination: facts.source_address,
        traffic_class: facts.traffic_class,
        icmp,
        transport_offset: facts.transport_offset,
        end: facts.end,
    })))
}

impl EchoReply {
    pub(super) fn emit(&self, request: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        let data = usize::from(self.transport_offset).saturating_add(IcmpHeader::LEN);
        let data = request.get(data..self.end as usize).ok_or(NoRoom)?;
        let length =
            u16::try_from(data.len().saturating_add(IcmpHeader::LEN)).map_err(|_| NoRoom)?;
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
        writer.write(&self.icmp.to_bytes())?;
        writer.write(data)?;
        Ok(writer.written)
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

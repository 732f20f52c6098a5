//! Multicast listener discovery for IPv6, version 2 (RFC 3810): which groups a host listens to.

use core::net::Ipv6Addr;

use super::{
    EthernetHeader, Facts, Network, ethertype, field, icmpv6, multicast_mac, protocol, put,
};
use crate::address::{AddressBits, MacAddress, VlanId};
use crate::checksum::{self, transport_sum};

/// RFC 3810 §5.2.14.
const ALL_ROUTERS_OF_MLD: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// RFC 3810 §5: no router sends a message on.
const HOP_LIMIT: u8 = 1;
/// Hop-by-hop options: the router alert of MLD (RFC 2711 §2.1) and padding.
const ROUTER_ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];
/// ICMPv6 type, code, checksum, reserved, the number of records; and one record without sources.
const MESSAGE_LEN: u16 = 28;
const PAYLOAD_LEN: u16 = ROUTER_ALERT.len() as u16 + MESSAGE_LEN;
/// The record of a group that is listened to from now on, whatever the source (RFC 3810 §5.2.12).
const CHANGE_TO_EXCLUDE: [u8; 4] = [4, 0, 0, 0];

/// A report that a host listens to a group (RFC 3810 §5.2). It comes from the unspecified address, as from a host that
/// has no link-local one (RFC 3590 §4): switches that snoop take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerReport {
    /// The group.
    pub group: Ipv6Addr,
}

impl ListenerReport {
    /// The length of the longest frame that [`emit`](Self::emit) writes, in bytes.
    pub const MAX_FRAME_LEN: usize = EthernetHeader::MAX_LEN + 40 + PAYLOAD_LEN as usize;

    /// Writes the report in a frame to the front of `out` and returns the frame's length; `None` if `out` is shorter.
    pub fn emit(&self, source: MacAddress, vlan: Option<VlanId>, out: &mut [u8]) -> Option<usize> {
        let ethernet = EthernetHeader {
            destination: multicast_mac(ALL_ROUTERS_OF_MLD),
            source,
            vlan,
            ethertype: ethertype::IPV6,
        };
        let mut rest = out;
        ethernet.write(&mut rest)?;
        put(&mut rest, [0x60, 0, 0, 0])?;
        put(&mut rest, PAYLOAD_LEN.to_be_bytes())?;
        put(&mut rest, [protocol::HOP_BY_HOP, HOP_LIMIT])?;
        put(&mut rest, Ipv6Addr::UNSPECIFIED.octets())?;
        put(&mut rest, ALL_ROUTERS_OF_MLD.octets())?;
        put(&mut rest, ROUTER_ALERT)?;
        put(&mut rest, [icmpv6::LISTENER_REPORT, 0])?;
        put(&mut rest, self.checksum().to_be_bytes())?;
        put(&mut rest, [0, 0, 0, 1])?;
        put(&mut rest, CHANGE_TO_EXCLUDE)?;
        put(&mut rest, self.group.octets())?;
        Some(ethernet.buffer_len() + 40 + usize::from(PAYLOAD_LEN))
    }

    fn checksum(&self) -> u16 {
        let pseudo_header = checksum::pseudo_header(
            AddressBits::from_ipv6(Ipv6Addr::UNSPECIFIED.octets()),
            AddressBits::from_ipv6(ALL_ROUTERS_OF_MLD.octets()),
            protocol::ICMPV6,
            u32::from(MESSAGE_LEN),
        );
        let parts: [&[u8]; 3] = [
            &[icmpv6::LISTENER_REPORT, 0, 0, 0, 0, 0, 0, 1],
            &CHANGE_TO_EXCLUDE,
            &self.group.octets(),
        ];
        !parts.iter().fold(pseudo_header, |total, part| {
            checksum::add(total, checksum::sum(part))
        })
    }
}

/// Whether the packet in `window`, which `facts` were read from, asks which groups are listened to, in either version
/// of the protocol (RFC 3810 §5.1 and §6.2).
pub fn is_listener_query(window: &[u8], facts: &Facts) -> bool {
    let message = facts.transport(window);
    let [kind] = field(message, 0);
    let (from, to) = (facts.source_address, facts.destination_address);
    facts.network == Network::Ipv6
        && facts.protocol == protocol::ICMPV6
        && facts.has_transport()
        && kind == icmpv6::LISTENER_QUERY
        && facts.hop_limit == HOP_LIMIT
        && Ipv6Addr::from(from.to_ipv6()).is_unicast_link_local()
        && message.len() == facts.transport_length() as usize
        && transport_sum(from, to, protocol::ICMPV6, message) == 0xffff
}

#[cfg(test)]
mod tests {
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire as reference;

    use super::*;
    use crate::wire::{Tag, parse};

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 5]);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0x11);

    fn reference_report() -> [u8; 28] {
        let record =
            reference::MldAddressRecordRepr::new(reference::MldRecordType::ChangeToExclude, GROUP);
        let mut records = [0; 20];
        record.emit(&mut reference::MldAddressRecord::new_unchecked(
            &mut records,
        ));
        let report = reference::MldRepr::Report {
            nr_mcast_addr_rcrds: 1,
            data: &records,
        };
        let mut bytes = [0; 28];
        reference::Icmpv6Repr::Mld(report).emit(
            &Ipv6Addr::UNSPECIFIED,
            &ALL_ROUTERS_OF_MLD,
            &mut reference::Icmpv6Packet::new_unchecked(&mut bytes),
            &ChecksumCapabilities::default(),
        );
        bytes
    }

    #[test]
    fn a_report_is_that_of_the_reference_behind_a_router_alert() {
        for (vlan, offset) in [(None, 14), (VlanId::new(12).ok(), 18)] {
            let mut frame = [0xee; ListenerReport::MAX_FRAME_LEN];
            let report = ListenerReport { group: GROUP };
            let length = report.emit(OURS, vlan, &mut frame).unwrap();
            assert_eq!(length, offset + 76);
            let frame = &frame[..length];
            let facts = parse(frame, length, 0).unwrap();
            let to = MacAddress([0x33, 0x33, 0, 0, 0, 0x16]);
            assert_eq!((facts.destination, facts.source), (to, OURS));
            assert_eq!(facts.tag == Tag::None, vlan.is_none());
            assert_eq!((facts.protocol, facts.hop_limit), (protocol::ICMPV6, 1));
            let alert = reference::Ipv6OptionRepr::RouterAlert(
                reference::Ipv6OptionRouterAlert::MulticastListenerDiscovery,
            );
            let option = reference::Ipv6Option::new_checked(&frame[offset + 42..]).unwrap();
            assert_eq!(reference::Ipv6OptionRepr::parse(&option), Ok(alert));
            assert_eq!(facts.transport(frame), reference_report());
            for short in 0..length {
                assert_eq!(report.emit(OURS, vlan, &mut [0; 94][..short]), None);
            }
        }
    }
}

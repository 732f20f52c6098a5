//! Pings.

use std::net::{IpAddr, Ipv6Addr};

use netvirt_core::MacAddress;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, IpRepr,
};

const HOP_LIMIT: u8 = 64;
const IDENTIFIER: u16 = 0x6e76;

/// The two ends of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends<A> {
    /// Where it says that it comes from.
    pub from: A,
    /// Where it goes.
    pub to: A,
}

/// A frame with an echo request that carries `data`. None if the addresses are not of one family.
pub(crate) fn echo_request(
    macs: Ends<MacAddress>,
    addresses: Ends<IpAddr>,
    data: &[u8],
) -> Option<Vec<u8>> {
    let (ethertype, protocol, message) = match (addresses.from, addresses.to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (EthernetProtocol::Ipv4, IpProtocol::Icmp, icmpv4(data)),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let message = icmpv6(Ends { from, to }, data);
            (EthernetProtocol::Ipv6, IpProtocol::Icmpv6, message)
        }
        _ => return None,
    };
    let link = EthernetRepr {
        src_addr: EthernetAddress(macs.from.0),
        dst_addr: EthernetAddress(macs.to.0),
        ethertype,
    };
    let header = IpRepr::new(
        addresses.from.into(),
        addresses.to.into(),
        protocol,
        message.len(),
        HOP_LIMIT,
    );
    let mut frame = vec![0; link.buffer_len() + header.header_len()];
    let (first, second) = frame.split_at_mut(link.buffer_len());
    link.emit(&mut EthernetFrame::new_unchecked(first));
    header.emit(second, &ChecksumCapabilities::default());
    frame.extend(message);
    Some(frame)
}

fn icmpv4(data: &[u8]) -> Vec<u8> {
    let message = Icmpv4Repr::EchoRequest {
        ident: IDENTIFIER,
        seq_no: 0,
        data,
    };
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(
        &mut Icmpv4Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    bytes
}

fn icmpv6(addresses: Ends<Ipv6Addr>, data: &[u8]) -> Vec<u8> {
    let message = Icmpv6Repr::EchoRequest {
        ident: IDENTIFIER,
        seq_no: 0,
        data,
    };
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(
        &addresses.from,
        &addresses.to,
        &mut Icmpv6Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    bytes
}

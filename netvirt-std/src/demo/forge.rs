//! Frames that no honest machine sends.

use std::net::Ipv4Addr;

use netvirt_core::MacAddress;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr,
};

use crate::echo::{Ends, echo_request};

/// A ping. The text makes it one of a kind.
pub fn ping(macs: Ends<MacAddress>, addresses: Ends<Ipv4Addr>, text: &str) -> Vec<u8> {
    let addresses = Ends {
        from: addresses.from.into(),
        to: addresses.to.into(),
    };
    echo_request(macs, addresses, text.as_bytes()).expect("both addresses are IPv4")
}

/// An NVGRE packet with a frame inside.
pub fn nvgre(
    macs: Ends<MacAddress>,
    addresses: Ends<Ipv4Addr>,
    vsid: u32,
    inner: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x20, 0, 0x65, 0x58];
    bytes.extend_from_slice(&(vsid << 8).to_be_bytes());
    bytes.extend_from_slice(inner);
    ipv4(macs, addresses, IpProtocol::Unknown(47), &bytes)
}

/// An ARP reply to `macs.to` which claims that `address` is at `macs.from`.
pub fn arp_claim(macs: Ends<MacAddress>, address: Ipv4Addr, told: Ipv4Addr) -> Vec<u8> {
    let claim = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(macs.from.0),
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress(macs.to.0),
        target_protocol_addr: told,
    };
    let mut bytes = vec![0; claim.buffer_len()];
    claim.emit(&mut ArpPacket::new_unchecked(&mut bytes));
    ethernet(macs, EthernetProtocol::Arp, &bytes)
}

fn ipv4(
    macs: Ends<MacAddress>,
    addresses: Ends<Ipv4Addr>,
    protocol: IpProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: addresses.from,
        dst_addr: addresses.to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(
        &mut Ipv4Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    bytes.extend_from_slice(payload);
    ethernet(macs, EthernetProtocol::Ipv4, &bytes)
}

fn ethernet(macs: Ends<MacAddress>, ethertype: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let header = EthernetRepr {
        src_addr: EthernetAddress(macs.from.0),
        dst_addr: EthernetAddress(macs.to.0),
        ethertype,
    };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    bytes.extend_from_slice(payload);
    bytes
}

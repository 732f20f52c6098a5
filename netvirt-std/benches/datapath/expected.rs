//! What must come out, written by smoltcp from what was meant.

use netvirt_core::MacAddress;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr,
};

use crate::network::{Network, OWN_ADDRESS, OWN_MAC, PROVIDER_ROUTER_MAC, Reach, SUBNETS};
use crate::traffic::{Direction, HEADROOM, Packet, Ring, STRIDE, TUNNEL_LENGTH};

/// Compares the first buffers of a ring with what the packets must have become.
///
/// # Panics
/// If one differs.
pub fn check(
    network: &Network,
    direction: Direction,
    customer: usize,
    packets: &[Packet],
    ring: &Ring,
) {
    for (packet, buffer) in packets.iter().zip(ring.buffers().chunks(STRIDE)) {
        let mut expected = vec![0; packet.length(customer)];
        packet.write(&mut expected);
        let start = match (network.reach, direction) {
            (Reach::Nvgre, Direction::Out) => {
                expected = encapsulated(network, packet, &expected);
                HEADROOM - TUNNEL_LENGTH
            }
            (Reach::Nvgre, Direction::In) => {
                expected.drain(..TUNNEL_LENGTH);
                HEADROOM + TUNNEL_LENGTH
            }
            (Reach::Rewrite, direction) => {
                readdressed(direction, packet).write(&mut expected);
                HEADROOM
            }
        };
        let mut found = buffer[start..start + expected.len()].to_vec();
        if (network.reach, direction) == (Reach::Nvgre, Direction::Out) {
            // The FlowID is the datapath's own choice.
            found[TUNNEL_LENGTH - 1] = 0;
        }
        assert!(
            found == expected,
            "{found:02x?}\nis not\n{expected:02x?}\n{packet:?}"
        );
    }
}

/// The record number that a MAC address of the network stands for.
fn record(mac: MacAddress) -> u32 {
    let MacAddress([_, _, a, b, c, d]) = mac;
    u32::from_be_bytes([a, b, c, d])
}

fn encapsulated(network: &Network, packet: &Packet, frame: &[u8]) -> Vec<u8> {
    let far = record(packet.destination_mac);
    let mut out = vec![0; TUNNEL_LENGTH];
    let header = OuterHeader {
        source_mac: OWN_MAC.0,
        destination_mac: PROVIDER_ROUTER_MAC.0,
        source: OWN_ADDRESS,
        destination: Network::host_address(network.host(far)),
        key: Network::vsid(Network::subnet(far)).get() << 8,
        payload: frame.len(),
    };
    emit_with_smoltcp(&header, &mut out);
    out.extend(frame);
    out
}

/// The packet between the same two machines with the other kind of addresses.
fn readdressed(direction: Direction, packet: &Packet) -> Packet {
    match direction {
        Direction::Out => Packet {
            destination_mac: PROVIDER_ROUTER_MAC,
            source_mac: OWN_MAC,
            source: Network::rewrite_address(record(packet.source_mac)),
            destination: Network::rewrite_address(record(packet.destination_mac)),
            ..*packet
        },
        Direction::In => {
            let near = packet.destination - Network::rewrite_address(0);
            let far = packet.source - (Network::rewrite_address(SUBNETS) - SUBNETS);
            Packet {
                destination_mac: Network::mac(near),
                source_mac: Network::mac(far),
                source: Network::customer_address(far),
                destination: Network::customer_address(near),
                ..*packet
            }
        }
    }
}

/// An NVGRE header over IPv4 up to the inner Ethernet header.
#[derive(Debug, Clone, Copy)]
pub struct OuterHeader {
    /// The outer Ethernet source.
    pub source_mac: [u8; 6],
    /// The outer Ethernet destination.
    pub destination_mac: [u8; 6],
    /// The outer IPv4 source.
    pub source: u32,
    /// The outer IPv4 destination.
    pub destination: u32,
    /// VSID << 8 | FlowID.
    pub key: u32,
    /// Bytes of the inner frame.
    pub payload: usize,
}

/// Writes the header with smoltcp, and GRE, which it does not know, by hand.
#[inline]
pub fn emit_with_smoltcp(header: &OuterHeader, out: &mut [u8]) {
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(header.source_mac),
        dst_addr: EthernetAddress(header.destination_mac),
        ethertype: EthernetProtocol::Ipv4,
    };
    ethernet.emit(&mut EthernetFrame::new_unchecked(&mut out[..14]));
    let ipv4 = Ipv4Repr {
        src_addr: Ipv4Address::from_bits(header.source),
        dst_addr: Ipv4Address::from_bits(header.destination),
        next_header: IpProtocol::from(47),
        payload_len: 8 + header.payload,
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    ipv4.emit(&mut Ipv4Packet::new_unchecked(&mut out[14..34]), &checksums);
    emit_gre(header.key, &mut out[34..42]);
}

/// GRE with key alone, for Transparent Ethernet Bridging (RFC 7637 §3.2).
#[inline]
pub fn emit_gre(key: u32, out: &mut [u8]) {
    out[..4].copy_from_slice(&[0x20, 0, 0x65, 0x58]);
    out[4..8].copy_from_slice(&key.to_be_bytes());
}

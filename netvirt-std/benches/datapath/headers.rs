//! Reading and writing headers beside smoltcp and etherparse.

use std::hint::black_box;
use std::time::Duration;

use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, NetSlice, SlicedPacket, TransportSlice,
};
use managed::ManagedSlice;
use netvirt_core::counters::Counters;
use netvirt_core::datapath::{Frame, Outcome, Verdict, Worker};
use netvirt_core::edit::Push;
use netvirt_core::wire::{self, Facts};
use netvirt_std::cpu::HostCpu;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, TcpPacket};

use crate::expected::{OuterHeader, emit_gre, emit_with_smoltcp};
use crate::network::{Network, OWN_ADDRESS, OWN_MAC, PROVIDER_ROUTER_MAC, Reach};
use crate::sampler::{Sampler, time};
use crate::traffic::{
    Direction, Distribution, HEADROOM, PASS, Packet, Pass, Ring, STRIDE, TUNNEL_LENGTH, Trace,
};

/// Who reads and writes.
pub const CONTESTANTS: [&str; 3] = ["netvirt", "smoltcp", "etherparse"];
/// What is done; the first two read, the last writes.
pub const WORK: [&str; 3] = [
    "read Ethernet, IPv4, TCP",
    "read the NVGRE packet and the frame inside",
    "write the NVGRE header",
];

/// What a reader must find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    source: u32,
    destination: u32,
    ports: u32,
    protocol: u8,
    hop_limit: u8,
    traffic_class: u8,
    end: u32,
    /// VSID << 8 | FlowID.
    key: u32,
}

/// Measures all work.
pub fn run(sampler: &mut Sampler) {
    let network = Network {
        records: 1000,
        reach: Reach::Nvgre,
    };
    let mut ring = Ring::new(PASS);
    if !WORK.iter().any(|work| sampler.wants(work)) {
        return;
    }
    for (work, direction) in [(WORK[0], Direction::Out), (WORK[1], Direction::In)] {
        let mut group = sampler.group(work, PASS);
        for contestant in CONTESTANTS {
            let mut trace = Trace::draw(&network, Distribution::Uniform);
            verify_reader(contestant, &network, direction, &mut trace, &mut ring);
            group.measure(contestant, || {
                let pass = ring.hot(64, || trace.packet(&network, direction));
                let length = frame_length(direction);
                time(|| read_all(contestant, direction, &pass, length))
            });
        }
    }
    write(sampler, &network, &mut ring);
}

const fn frame_length(direction: Direction) -> usize {
    match direction {
        Direction::Out => 64,
        Direction::In => TUNNEL_LENGTH + 64,
    }
}

fn verify_reader(
    contestant: &str,
    network: &Network,
    direction: Direction,
    trace: &mut Trace,
    ring: &mut Ring,
) {
    let mut packets = Vec::new();
    let pass = ring.hot(64, || {
        packets.push(trace.packet(network, direction));
        packets[packets.len() - 1]
    });
    for (packet, buffer) in packets.iter().zip(pass.buffers.chunks(STRIDE)) {
        let frame = &buffer[HEADROOM..HEADROOM + frame_length(direction)];
        assert_eq!(
            read(contestant, direction, frame),
            Some(meant(packet, frame.len())),
            "{contestant}"
        );
    }
}

fn meant(packet: &Packet, end: usize) -> Found {
    Found {
        destination_mac: packet.destination_mac.0,
        source_mac: packet.source_mac.0,
        source: packet.source,
        destination: packet.destination,
        ports: u32::from(packet.port) << 16 | 443,
        protocol: 6,
        hop_limit: 64,
        traffic_class: 0,
        end: end as u32,
        key: packet.tunnel.map_or(0, |tunnel| tunnel.key),
    }
}

fn read(contestant: &str, direction: Direction, frame: &[u8]) -> Option<Found> {
    match (contestant, direction) {
        ("netvirt", Direction::Out) => netvirt(frame, 0, 0),
        ("netvirt", Direction::In) => netvirt_tunnel(frame),
        ("smoltcp", Direction::Out) => smoltcp(frame, 0),
        ("smoltcp", Direction::In) => smoltcp_tunnel(frame),
        (_, Direction::Out) => etherparse(frame, 0),
        (_, Direction::In) => etherparse_tunnel(frame),
    }
}

fn read_all(contestant: &str, direction: Direction, pass: &Pass<'_>, length: usize) {
    match (contestant, direction) {
        ("netvirt", Direction::Out) => each(pass, length, |frame| netvirt(frame, 0, 0)),
        ("netvirt", Direction::In) => each(pass, length, netvirt_tunnel),
        ("smoltcp", Direction::Out) => each(pass, length, |frame| smoltcp(frame, 0)),
        ("smoltcp", Direction::In) => each(pass, length, smoltcp_tunnel),
        (_, Direction::Out) => each(pass, length, |frame| etherparse(frame, 0)),
        (_, Direction::In) => each(pass, length, etherparse_tunnel),
    }
}

#[inline(always)]
fn each(pass: &Pass<'_>, length: usize, read: impl Fn(&[u8]) -> Option<Found>) {
    for buffer in pass.buffers.chunks_exact(STRIDE) {
        black_box(&read(&buffer[HEADROOM..HEADROOM + length]));
    }
}

#[inline(always)]
fn netvirt(frame: &[u8], offset: usize, key: u32) -> Option<Found> {
    let facts: Facts = wire::parse(frame, frame.len(), offset).ok()?;
    Some(Found {
        destination_mac: facts.destination.0,
        source_mac: facts.source.0,
        source: facts.source_address.low as u32,
        destination: facts.destination_address.low as u32,
        ports: facts.ports,
        protocol: facts.protocol,
        hop_limit: facts.hop_limit,
        traffic_class: facts.traffic_class,
        end: facts.end,
        key,
    })
}

#[inline(always)]
fn netvirt_tunnel(frame: &[u8]) -> Option<Found> {
    let outer = wire::parse(frame, frame.len(), 0).ok()?;
    let is_ours = outer.destination == OWN_MAC
        && outer.destination_address.low == u64::from(OWN_ADDRESS)
        && wire::ipv4_header_is_valid(frame, &outer);
    if outer.protocol != 47 || !is_ours {
        return None;
    }
    let gre = wire::read_gre(frame, usize::from(outer.transport_offset)).ok()?;
    netvirt(frame, gre.payload_offset, gre.key?)
}

#[inline(always)]
fn smoltcp(frame: &[u8], key: u32) -> Option<Found> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let ipv4 = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    if ipv4.version() != 4 || ipv4.next_header() != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(ipv4.payload()).ok()?;
    Some(Found {
        destination_mac: ethernet.dst_addr().0,
        source_mac: ethernet.src_addr().0,
        source: ipv4.src_addr().to_bits(),
        destination: ipv4.dst_addr().to_bits(),
        ports: u32::from(tcp.src_port()) << 16 | u32::from(tcp.dst_port()),
        protocol: 6,
        hop_limit: ipv4.hop_limit(),
        traffic_class: ipv4.dscp() << 2 | ipv4.ecn(),
        end: 14 + u32::from(ipv4.total_len()) + if key == 0 { 0 } else { TUNNEL_LENGTH as u32 },
        key,
    })
}

#[inline(always)]
fn smoltcp_tunnel(frame: &[u8]) -> Option<Found> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 || ethernet.dst_addr().0 != OWN_MAC.0 {
        return None;
    }
    let ipv4 = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    let is_ours = ipv4.dst_addr().to_bits() == OWN_ADDRESS && ipv4.verify_checksum();
    if ipv4.version() != 4 || u8::from(ipv4.next_header()) != 47 || !is_ours {
        return None;
    }
    let (key, inner) = read_gre(ipv4.payload())?;
    smoltcp(inner, key)
}

/// What neither smoltcp nor etherparse knows: GRE with a key and nothing else.
#[inline(always)]
fn read_gre(packet: &[u8]) -> Option<(u32, &[u8])> {
    let (header, inner) = packet.split_first_chunk::<8>()?;
    let [0x20, 0, 0x65, 0x58, key @ ..] = header else {
        return None;
    };
    Some((u32::from_be_bytes(*key), inner))
}

#[inline(always)]
fn etherparse(frame: &[u8], key: u32) -> Option<Found> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(ipv4)), Some(TransportSlice::Tcp(tcp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    let ethernet = packet.link.as_ref()?.to_header()?.ethernet2()?;
    let ip = ipv4.header();
    Some(Found {
        destination_mac: ethernet.destination,
        source_mac: ethernet.source,
        source: u32::from_be_bytes(ip.source()),
        destination: u32::from_be_bytes(ip.destination()),
        ports: u32::from(tcp.source_port()) << 16 | u32::from(tcp.destination_port()),
        protocol: ip.protocol().0,
        hop_limit: ip.ttl(),
        traffic_class: ip.dcp().value() << 2 | ip.ecn().value(),
        end: 14 + u32::from(ip.total_len()) + if key == 0 { 0 } else { TUNNEL_LENGTH as u32 },
        key,
    })
}

#[inline(always)]
fn etherparse_tunnel(frame: &[u8]) -> Option<Found> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(NetSlice::Ipv4(ipv4)) = &packet.net else {
        return None;
    };
    let ethernet = packet.link.as_ref()?.to_header()?.ethernet2()?;
    let ip = ipv4.header();
    let is_ours = ethernet.destination == OWN_MAC.0
        && ip.destination() == OWN_ADDRESS.to_be_bytes()
        && ip.to_header().calc_header_checksum() == ip.header_checksum();
    if ip.protocol() != IpNumber::GRE || !is_ours {
        return None;
    }
    let (key, inner) = read_gre(ipv4.payload().payload)?;
    etherparse(inner, key)
}

/// The header in front of a customer's frame, from what a decision yields.
fn write(sampler: &mut Sampler, network: &Network, ring: &mut Ring) {
    let policies = network.load();
    let mut trace = Trace::draw(network, Distribution::Uniform);
    let pass = ring.hot(64, || trace.packet(network, Direction::Out));
    let verdicts = decide(policies.live(), &pass);
    let headers: Vec<OuterHeader> = verdicts.iter().map(outer_header).collect();
    let mut group = sampler.group(WORK[2], PASS);
    for contestant in CONTESTANTS {
        let pass = ring.hot(64, || trace.packet(network, Direction::Out));
        write_all(contestant, &verdicts, &headers, pass.buffers);
        verify_writer(contestant, &headers, pass.buffers);
        group.measure(contestant, || {
            let pass = ring.hot(64, || trace.packet(network, Direction::Out));
            time(|| write_all(contestant, &verdicts, &headers, pass.buffers))
        });
    }
}

fn decide<'p>(
    policy: &'p netvirt_core::policy::Policy<'static>,
    pass: &Pass<'_>,
) -> Vec<Verdict<'p>> {
    let buffers = pass.buffers.chunks(STRIDE);
    let frames: Vec<Frame<'_>> = buffers
        .zip(pass.ingress)
        .map(|(buffer, &ingress)| Frame::whole(ingress, &buffer[HEADROOM..HEADROOM + 64]))
        .collect();
    let mut verdicts = vec![Verdict::UNDECIDED; frames.len()];
    let counters = Counters::new(ManagedSlice::Owned(vec![]), ManagedSlice::Owned(vec![]));
    let mut worker = Worker::new(counters, ManagedSlice::Owned(vec![]));
    worker.process_batch::<HostCpu>(policy, &frames, &mut verdicts, Duration::ZERO);
    verdicts
}

fn outer_header(verdict: &Verdict<'_>) -> OuterHeader {
    let Some(Push::Encapsulation(encapsulation)) = verdict.edit().map(|edit| edit.push) else {
        panic!("not encapsulated: {verdict:?}");
    };
    OuterHeader {
        source_mac: OWN_MAC.0,
        destination_mac: PROVIDER_ROUTER_MAC.0,
        source: OWN_ADDRESS,
        destination: encapsulation.template.destination().low as u32,
        key: encapsulation.key,
        payload: 64,
    }
}

fn write_all(
    contestant: &str,
    verdicts: &[Verdict<'_>],
    headers: &[OuterHeader],
    buffers: &mut [u8],
) {
    let buffers = buffers.chunks_exact_mut(STRIDE);
    match contestant {
        "netvirt" => {
            for (buffer, verdict) in buffers.zip(verdicts) {
                if let Outcome::Transmit { edit, .. } = &verdict.outcome {
                    black_box(edit.apply_in_place(buffer, HEADROOM..HEADROOM + 64)).ok();
                }
            }
        }
        "smoltcp" => {
            for (buffer, header) in buffers.zip(headers) {
                emit_with_smoltcp(
                    header,
                    black_box(&mut buffer[HEADROOM - TUNNEL_LENGTH..HEADROOM]),
                );
            }
        }
        _ => {
            for (buffer, header) in buffers.zip(headers) {
                emit_with_etherparse(
                    header,
                    black_box(&mut buffer[HEADROOM - TUNNEL_LENGTH..HEADROOM]),
                );
            }
        }
    }
}

#[inline]
fn emit_with_etherparse(header: &OuterHeader, out: &mut [u8]) {
    let ethernet = Ethernet2Header {
        source: header.source_mac,
        destination: header.destination_mac,
        ether_type: EtherType::IPV4,
    };
    out[..14].copy_from_slice(&ethernet.to_bytes());
    let length = (8 + header.payload) as u16;
    let ipv4 = Ipv4Header::new(
        length,
        64,
        IpNumber::GRE,
        header.source.to_be_bytes(),
        header.destination.to_be_bytes(),
    );
    if let Ok(mut ipv4) = ipv4 {
        ipv4.header_checksum = ipv4.calc_header_checksum();
        out[14..34].copy_from_slice(&ipv4.to_bytes());
    }
    emit_gre(header.key, &mut out[34..42]);
}

fn verify_writer(contestant: &str, headers: &[OuterHeader], buffers: &[u8]) {
    for (buffer, header) in buffers.chunks(STRIDE).zip(headers) {
        let mut expected = [0; TUNNEL_LENGTH];
        emit_with_smoltcp(header, &mut expected);
        assert_eq!(
            buffer[HEADROOM - TUNNEL_LENGTH..HEADROOM],
            expected,
            "{contestant}"
        );
    }
}

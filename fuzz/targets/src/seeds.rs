//! Where fuzzing begins: frames that were captured, frames of the standard network, and what the properties draw.

use netvirt_core::MacAddress;

use crate::drawn::CHOICE;
use crate::packet::Ip;
use crate::site::{Site, with_site};
use crate::super_frames::{Super, tcp, udp};
use crate::support::network::*;
use crate::support::packets::*;
use crate::transactions::some_transactions;

/// An input, and the target that it is for.
pub type Seed = (&'static str, Vec<u8>);

/// The inputs that a captured Ethernet frame makes for the targets that read frames or packets.
pub fn of_frame(number: usize, frame: &[u8]) -> Vec<Seed> {
    let [variant, choice] = [number as u8, (number / 8) as u8];
    let mut seeds = vec![
        ("decoder", frame.to_vec()),
        ("wire", with([0, 0], frame)),
        ("inbound", with([variant, 0], frame)),
        ("outbound", with([variant, choice, 3 | choice << 2], frame)),
    ];
    let Some(packet) = frame.get(14..).and_then(Ip::read) else {
        return seeds;
    };
    let bytes = &frame[14..];
    seeds.extend([
        ("encapsulate", with([variant, choice], bytes)),
        ("rewrite", with([variant, choice], bytes)),
        ("wire", with([0, 0], packet.transport())),
        ("checksums", of_packet(&packet)),
    ]);
    seeds
}

fn with<const N: usize>(front: [u8; N], rest: &[u8]) -> Vec<u8> {
    [&front, rest].concat()
}

fn of_packet(packet: &Ip<'_>) -> Vec<u8> {
    let start = [12, 8][packet.version()];
    let mut seed = vec![packet.version() as u8, packet.protocol];
    let addresses = packet.bytes[start..].iter().cycle().take(64);
    seed.extend(addresses);
    seed.extend(packet.transport());
    seed
}

/// The inputs that need no capture.
pub fn of_the_standard_network() -> Vec<Seed> {
    let mut seeds = vec![];
    for variant in 0..32 {
        with_site(variant, |site| {
            seeds.extend(arrivals(site, variant));
            seeds.extend(departures(site, variant));
        });
    }
    with_site(0, |site| seeds.extend(errors(&site.network)));
    seeds.extend(super_frames());
    for number in 0..100 {
        seeds.push(("network", choices(number, 41)));
        seeds.push((
            "transactions",
            with([number as u8 & 3], &choices(number, 60)),
        ));
        seeds.push(("transactions", encoded_transactions(number)));
        seeds.push(("segments", with([0], &choices(number, 6))));
        let limits = (number * 3 % 249) as u8 + 2;
        seeds.push(("segments", with([limits], &choices(number, 50))));
    }
    seeds
}

/// Super-frames as they are, with the work that is to be done to them, for the segmentation of any bytes.
fn super_frames() -> Vec<Seed> {
    let mut seeds = vec![];
    for version in 0..2 {
        let plain = [
            tcp(version, 0x99, &[1; 12], 400),
            udp(version, 400),
            udp(version, 400).without_checksum(),
        ];
        for it in plain {
            let inside = [0, 1].map(|outer| it.clone().inside(outer));
            seeds.extend([it].into_iter().chain(inside).map(|it| of_super_frame(&it)));
        }
    }
    seeds
}

fn of_super_frame(it: &Super) -> Seed {
    let offload = it.offload();
    let work = offload.segmentation.expect("of a super-frame");
    let no_checksum = if offload.checksum.is_none() { 4 } else { 0 };
    let (start, offset) = offload.checksum.map_or((0, 0), |at| (at.start, at.offset));
    let [start_0, start_1] = start.to_be_bytes();
    let [headers_0, headers_1] = work.header_length.to_be_bytes();
    let front = [
        1,
        work.kind as u8 | no_checksum,
        start_0,
        start_1,
        offset as u8,
        0,
        100,
        headers_0,
        headers_1,
        64,
        60,
    ];
    ("segments", with(front, &it.frame()))
}

/// Any choices, as many as `count`.
fn choices(number: u32, count: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9) | 1;
    let next = || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(count * CHOICE).collect()
}

fn encoded_transactions(number: u32) -> Vec<u8> {
    let mut seed = vec![4 | number as u8 & 3];
    for (encoded, way) in some_transactions(&choices(number, 30)) {
        let way = (way as u16) << 14;
        seed.extend((encoded.len() as u16 | way).to_le_bytes());
        seed.extend(encoded);
    }
    seed
}

/// What the hosts of the standard network may send to host 1.
fn arrivals(site: &Site, variant: u8) -> Vec<Seed> {
    let network = &site.network;
    let mut seeds = vec![];
    let here = network.machines.iter().filter(|machine| machine.host == 1);
    for receiver in here {
        let there = network.machines.iter().filter(|machine| {
            machine.host == 2 && network.domain_of(machine.vsid) == network.domain_of(receiver.vsid)
        });
        for (number, sender) in there.enumerate() {
            for version in 0..2 {
                let is_near = sender.vsid == receiver.vsid;
                let source = if is_near { sender.mac } else { ROUTER };
                for (kind, packet) in packets(sender, receiver, version).into_iter().enumerate() {
                    let packet = packet.between(source, receiver.mac);
                    let wire = if sender.rewrite.is_empty() {
                        let flags = [0x2000, 0xa000, 0x3000, 0xb000][(kind + number) % 4];
                        let tunnel = network.tunnel(2, 1, receiver.vsid).with(|tunnel| {
                            tunnel.gre_flags = if variant & 1 == 0 { 0x2000 } else { flags };
                            tunnel.traffic_class = kind as u8;
                            tunnel.padding = kind % 3;
                        });
                        tunnel.wrap(&packet.frame())
                    } else {
                        rewritten(site, packet, sender, receiver, version)
                    };
                    seeds.push(("inbound", with([variant, 0], &wire)));
                }
            }
        }
    }
    seeds
}

fn rewritten(
    site: &Site,
    packet: Packet,
    sender: &Machine,
    receiver: &Machine,
    version: usize,
) -> Vec<u8> {
    let packet = packet.between(host_mac(2), host_mac(1)).with(|packet| {
        packet.source = ip(sender.rewrite[version]);
        packet.destination = ip(receiver.rewrite[version]);
        packet.tags = site
            .network
            .vlan
            .into_iter()
            .map(|tag| (0x8100, tag))
            .collect();
        let (from, to) = (packet.source, packet.destination);
        fill_transport(from, to, packet.protocol, &mut packet.transport);
    });
    packet.frame()
}

/// What the machines of host 1 may send.
fn departures(site: &Site, variant: u8) -> Vec<Seed> {
    let network = &site.network;
    let mut seeds = vec![];
    for sender in network.machines.iter().filter(|machine| machine.host == 1) {
        let front = [variant, sender.port as u8, 0];
        let near = network.machines.iter();
        for receiver in
            near.filter(|other| network.domain_of(other.vsid) == network.domain_of(sender.vsid))
        {
            let is_near = sender.vsid == receiver.vsid;
            let to = if is_near { receiver.mac } else { ROUTER };
            for version in 0..2 {
                let packets = packets(sender, receiver, version);
                for (kind, packet) in packets.into_iter().enumerate() {
                    let frame = packet.between(sender.mac, to).frame();
                    seeds.push(("outbound", with(front, &frame)));
                    if variant < 4 {
                        let pair = [variant | (kind as u8) << 6, kind as u8];
                        seeds.push(("encapsulate", with(pair, &frame[14..])));
                        seeds.push(("rewrite", with(pair, &frame[14..])));
                        seeds.push(("decoder", frame));
                    }
                }
            }
            let [first, second] = [receiver.addresses[0], receiver.addresses[1]];
            let own = (sender.mac, sender.addresses[0]);
            seeds.push(("outbound", with(front, &arp_request(own, first))));
            let own = (sender.mac, sender.addresses[1]);
            let question = solicitation(own, second).frame();
            seeds.push(("wire", with([0, 0], &question)));
            seeds.push(("outbound", with(front, &question)));
            let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), second);
            let statement = advertisement(own, all, 0x60, (second, receiver.mac)).frame();
            seeds.push(("wire", with([0, 0], &statement)));
            seeds.push(("inbound", with([variant, 0], &statement)));
        }
    }
    seeds
}

/// ICMP errors of a machine under rewrite about what another one sent to it, whole and cut short.
fn errors(network: &Network) -> Vec<Seed> {
    let sender = network.machine("green a");
    let mut seeds = vec![];
    for (pair, name) in [(0, "green b"), (1, "green c")] {
        let receiver = network.machine(name);
        for version in 0..2 {
            let (from, to) = (sender.addresses[version], receiver.addresses[version]);
            for quoted in packets(receiver, sender, version) {
                let quoted = quoted.ip_packet();
                let (protocol, kind) = [(1, 3), (58, 1)][version];
                for length in [quoted.len(), quoted.len() - 3, 48] {
                    let quoted = &quoted[..length.min(quoted.len())];
                    let error = Packet::icmp(from, to, protocol, kind, quoted);
                    seeds.push(("rewrite", with([0, pair], &error.ip_packet())));
                }
            }
        }
    }
    seeds
}

/// One packet of each kind that is treated differently.
fn packets(sender: &Machine, receiver: &Machine, version: usize) -> Vec<Packet> {
    let (from, to) = (sender.addresses[version], receiver.addresses[version]);
    let udp = || Packet::udp(from, to, b"hello, hnv");
    vec![
        udp(),
        Packet::tcp(from, to, b"hello, hnv").with(|packet| packet.traffic_class = 2),
        Packet::echo(from, to, b"hello, hnv"),
        udp().with(|packet| packet.transport[6..8].fill(0)),
        udp().with(|packet| (packet.fragment, packet.traffic_class) = (0x2000, 1)),
        udp().with(|packet| (packet.fragment, packet.padding) = (0x2001, 6)),
        Packet::raw(from, to, 132, &[7; 24]).with(|packet| packet.traffic_class = 3),
    ]
}

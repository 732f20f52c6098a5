//! Frames of all kinds.

use netvirt_core::MacAddress;
use netvirt_core::offload::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::packets::*;

/// Any IP packet between two addresses of one version.
pub fn packets_between(source: String, destination: String) -> impl Strategy<Value = Packet> {
    let is_ipv4 = ip(&source).is_ipv4();
    let protocols = select(vec![
        6, 17, 1, 58, 33, 136, 132, 47, 50, 4, 41, 89, 103, 59, 200,
    ]);
    let transport = (protocols, vec(any::<u8>(), 0..80), any::<bool>()).prop_map(
        move |(protocol, mut bytes, is_right)| {
            if is_right {
                fill_transport(ip(&source), ip(&destination), protocol, &mut bytes);
            }
            Packet::raw(&source, &destination, protocol, &bytes)
        },
    );
    let options = select(vec![
        vec![],
        vec![],
        vec![],
        vec![0x94, 4, 0, 0],
        vec![1, 1, 1, 0],
        vec![131, 7, 4, 10, 0, 0, 1, 0],
        vec![7, 7, 4, 10, 0, 0, 1, 0],
    ]);
    let padding = [0, 0, 1, 4, 0, 0, 0, 0].to_vec();
    let extensions = select(vec![
        vec![],
        vec![],
        vec![(0, padding.clone())],
        vec![(0, padding.clone()), (60, padding.clone())],
        vec![(43, vec![0, 0, 0, 1, 0, 0, 0, 0])],
        vec![(60, padding.clone()); 6],
        vec![(60, padding); 9],
    ]);
    let fragments = select(vec![
        0x4000, 0x4000, 0x4000, 0x2000, 0x2001, 0x0001, 0x0010, 0,
    ]);
    (
        transport,
        options,
        extensions,
        fragments,
        any::<[u8; 2]>(),
        0usize..9,
        any::<u16>(),
    )
        .prop_map(
            move |(
                mut packet,
                options,
                extensions,
                fragment,
                [class, ttl],
                padding,
                identification,
            )| {
                if is_ipv4 {
                    packet.ipv4_options = options;
                } else {
                    packet.extensions = extensions;
                }
                packet.fragment = fragment;
                packet.traffic_class = class;
                packet.hop_limit = ttl;
                packet.padding = padding;
                packet.identification = identification;
                packet
            },
        )
}

/// Any packet between any two of these addresses.
pub fn packets_among(addresses: Vec<String>) -> impl Strategy<Value = Packet> {
    let pairs: Vec<(String, String)> = addresses
        .iter()
        .flat_map(|source| {
            addresses
                .iter()
                .map(move |destination| (source, destination))
        })
        .filter(|(source, destination)| ip(source).is_ipv4() == ip(destination).is_ipv4())
        .map(|(source, destination)| (source.clone(), destination.clone()))
        .collect();
    select(pairs).prop_flat_map(|(source, destination)| packets_between(source, destination))
}

/// A change of a few bytes.
#[derive(Debug, Clone)]
pub struct Damage {
    bytes: Vec<(Index, u8)>,
    cut: Option<Index>,
}

impl Damage {
    pub fn apply(&self, frame: &mut Vec<u8>) {
        for (at, value) in &self.bytes {
            if !frame.is_empty() {
                // Headers are where it hurts.
                let reach = frame.len().min(110);
                frame[at.index(reach)] = *value;
            }
        }
        if let Some(cut) = self.cut {
            frame.truncate(cut.index(frame.len() + 1));
        }
    }
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let bytes = prop_oneof![
        2 => Just(vec![]),
        2 => vec((any::<Index>(), any::<u8>()), 1..4),
        1 => vec((any::<Index>(), any::<u8>()), 4..40),
    ];
    let cut = prop_oneof![4 => Just(None), 1 => any::<Index>().prop_map(Some)];
    (bytes, cut).prop_map(|(bytes, cut)| Damage { bytes, cut })
}

/// Any work beside a frame, sensible or not.
pub fn offloads() -> impl Strategy<Value = Offload> {
    let checksum = prop::option::of((0u16..200, 0u16..40))
        .prop_map(|partial| partial.map(|(start, offset)| PartialChecksum { start, offset }));
    let kinds = select(vec![
        SegmentKind::TcpIpv4,
        SegmentKind::TcpIpv6,
        SegmentKind::Udp,
    ]);
    let segmentation = prop::option::of((kinds, any::<u16>(), any::<u16>())).prop_map(|work| {
        work.map(|(kind, segment_size, header_length)| Segmentation {
            kind,
            segment_size,
            header_length,
        })
    });
    (checksum, segmentation, any::<Option<u32>>()).prop_map(|(checksum, segmentation, hash)| {
        Offload {
            checksum,
            segmentation,
            hash,
        }
    })
}

/// A question or a statement about addresses, honest or not.
pub fn neighbour_messages(
    macs: Vec<MacAddress>,
    addresses: Vec<String>,
) -> impl Strategy<Value = Vec<u8>> {
    let pick = (select(macs), select(addresses.clone()), select(addresses));
    (pick, any::<bool>()).prop_filter_map("one version", |((mac, sender, target), is_statement)| {
        let (from, to) = (ip(&sender), ip(&target));
        if from.is_ipv4() != to.is_ipv4() {
            return None;
        }
        let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), target.as_str());
        Some(match (from.is_ipv4(), is_statement) {
            (true, false) => arp_request((mac, &sender), &target),
            (true, true) => arp((mac, mac), 2, (mac, &sender), (mac, &target)),
            (false, false) => solicitation((mac, &sender), &target).frame(),
            (false, true) => advertisement((mac, &sender), all, 0x60, (&sender, mac)).frame(),
        })
    })
}

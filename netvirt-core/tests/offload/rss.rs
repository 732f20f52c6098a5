//! The rules of receive side scaling: the Toeplitz hash, what of a frame it is over, and the queue.

use std::net::IpAddr;

use netvirt_core::offload::*;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::super_frames::{ACK, tcp, tunnel, udp};
use crate::support::packets::*;

const KEY: ToeplitzKey = ToeplitzKey::VERIFICATION;
static NIBBLES: NibbleTable = NibbleTable::new(&KEY);
static BYTES: ByteTable = {
    let mut table = ByteTable::ZERO;
    table.set_key(&KEY);
    table
};

/// Destination, source, the hash of the addresses, the hash of addresses and ports.
const VECTORS: [(&str, u16, &str, u16, u32, u32); 8] = [
    (
        "161.142.100.80",
        1766,
        "66.9.149.187",
        2794,
        0x323e_8fc2,
        0x51cc_c178,
    ),
    (
        "65.69.140.83",
        4739,
        "199.92.111.2",
        14230,
        0xd718_262a,
        0xc626_b0ea,
    ),
    (
        "12.22.207.184",
        38024,
        "24.19.198.95",
        12898,
        0xd2d0_a5de,
        0x5c2b_394a,
    ),
    (
        "209.142.163.6",
        2217,
        "38.27.205.30",
        48228,
        0x8298_9176,
        0xafc7_327f,
    ),
    (
        "202.188.127.2",
        1303,
        "153.39.163.191",
        44251,
        0x5d18_09c5,
        0x10e8_28a2,
    ),
    (
        "3ffe:2501:200:3::1",
        1766,
        "3ffe:2501:200:1fff::7",
        2794,
        0x2cc1_8cd5,
        0x4020_7d3d,
    ),
    (
        "ff02::1",
        4739,
        "3ffe:501:8::260:97ff:fe40:efab",
        14230,
        0x0f0c_461c,
        0xdde5_1bbf,
    ),
    (
        "fe80::200:f8ff:fe21:67cf",
        38024,
        "3ffe:1900:4545:3:200:f8ff:fe21:67cf",
        44251,
        0x4b61_e985,
        0x02d1_feef,
    ),
];

fn octets(address: &str) -> Vec<u8> {
    match ip(address) {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The definition, on single bits.
fn by_definition(key: &[u8; 40], input: &[u8]) -> u32 {
    let bits = |bytes: &[u8]| -> Vec<u32> {
        let bit = |at: usize| u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
        (0..bytes.len() * 8).map(bit).collect()
    };
    let key = bits(key);
    let first_word = |from: usize| {
        key[from..from + 32]
            .iter()
            .fold(0, |word, bit| word << 1 | bit)
    };
    let set = |(at, bit): (usize, &u32)| (*bit == 1).then(|| first_word(at));
    bits(input)
        .iter()
        .enumerate()
        .filter_map(set)
        .fold(0, |hash, word| hash ^ word)
}

fn forms() -> [&'static dyn Toeplitz; 3] {
    [&KEY, &NIBBLES, &BYTES]
}

/// The hash under the verification key, of all types.
fn hash(frame: &[u8]) -> Option<(u32, HashTypes)> {
    hash_of(HashTypes::ALL, frame)
}

fn hash_of(types: HashTypes, frame: &[u8]) -> Option<(u32, HashTypes)> {
    let hash = rss_hash(&NIBBLES, types, frame, frame.len())?;
    Some((hash.value, hash.hash_type))
}

/// What is hashed, by the addresses and ports alone.
fn of(source: &str, destination: &str, ports: Option<(u16, u16)>) -> u32 {
    let mut input = [octets(source), octets(destination)].concat();
    if let Some((from, to)) = ports {
        input.extend(from.to_be_bytes());
        input.extend(to.to_be_bytes());
    }
    by_definition(&KEY.0, &input)
}

#[test]
fn spec_4_4_toeplitz_of_all_published_vectors() {
    for (destination, to, source, from, addresses, with_ports) in VECTORS {
        let mut input = [octets(source), octets(destination)].concat();
        for form in forms() {
            assert_eq!(form.hash(&input), addresses, "{source}");
        }
        input.extend(from.to_be_bytes());
        input.extend(to.to_be_bytes());
        for form in forms() {
            assert_eq!(form.hash(&input), with_ports, "{source}");
        }
    }
}

#[test]
fn spec_4_4_published_vectors_in_frames() {
    for (destination, to, source, from, addresses, with_ports) in VECTORS {
        let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
        let is_ipv4 = ip(source).is_ipv4();
        let mut segment = hex("00000000 00000001 00000002 5010 ffff 0000 0000");
        segment[..4].copy_from_slice(&ports);
        let frame = Packet::raw(source, destination, 6, &segment).frame();
        let [tcp, ip] = match is_ipv4 {
            true => [HashTypes::TCP_IPV4, HashTypes::IPV4],
            false => [HashTypes::TCP_IPV6_EX, HashTypes::IPV6_EX],
        };
        assert_eq!(hash(&frame), Some((with_ports, tcp)));
        assert_eq!(hash_of(ip, &frame), Some((addresses, ip)));
    }
}

#[test]
fn spec_4_4_reference_vector_of_the_inner_packet() {
    let inner = udp(0, 10).frame();
    assert_eq!(hash(&inner), Some((0xfd4d_0d47, HashTypes::UDP_IPV4)));
    assert_eq!(
        hash_of(HashTypes::IPV4, &inner),
        Some((0x2e83_de50, HashTypes::IPV4))
    );
}

#[test]
fn spec_4_4_nvgre_hashes_the_inner_addresses_and_ports() {
    for outer in 0..2 {
        for (whole, addresses, ports, kind) in [
            (
                tcp(0, ACK, &[], 9),
                ["10.0.0.5", "10.0.0.7"],
                (1234, 80),
                HashTypes::TCP_IPV4,
            ),
            (
                udp(0, 9),
                ["10.0.0.5", "10.0.0.7"],
                (1111, 2222),
                HashTypes::UDP_IPV4,
            ),
            (
                tcp(1, ACK, &[], 9),
                ["2001:db8::5", "2001:db8::7"],
                (1234, 80),
                HashTypes::TCP_IPV6_EX,
            ),
            (
                udp(1, 9),
                ["2001:db8::5", "2001:db8::7"],
                (1111, 2222),
                HashTypes::UDP_IPV6_EX,
            ),
        ] {
            let frame = whole.inside(outer).frame();
            let expected = of(addresses[0], addresses[1], Some(ports));
            assert_eq!(hash(&frame), Some((expected, kind)));
        }
    }
}

/// The hash of the addresses of a tunnel.
fn of_outer(version: usize) -> Option<(u32, HashTypes)> {
    Some(match version {
        0 => (of("192.168.4.11", "192.168.4.22", None), HashTypes::IPV4),
        _ => (of("fd00::11", "fd00::22", None), HashTypes::IPV6_EX),
    })
}

#[test]
fn spec_4_4_nvgre_falls_back_to_the_outer_addresses() {
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let fragment = |version, fragment| {
        udp(version, 100)
            .with(|it| it.packet.fragment = fragment)
            .frame()
    };
    let mut cut_short = udp(0, 0).frame();
    cut_short.truncate(20);
    let inner_frames = [
        // No TCP or UDP.
        Packet::echo("10.0.0.5", "10.0.0.7", b"ping").frame(),
        Packet::raw("10.0.0.5", "10.0.0.7", 132, &[0; 20]).frame(),
        // Not directly behind IP.
        tcp(1, ACK, &[], 9)
            .with(|it| it.packet.extensions = vec![(0, padding)])
            .frame(),
        // Fragments, also the first.
        fragment(0, 0x2000),
        fragment(0, 0x0010),
        fragment(1, 0x2000),
        fragment(1, 0x0010),
        fragment(1, 0),
        // No IP.
        arp_request((netvirt_core::MacAddress([2; 6]), "10.0.0.5"), "10.0.0.7"),
        // Not to be parsed.
        cut_short,
        vec![1; 13],
        // A tag, which no inner frame has.
        tcp(0, ACK, &[], 9)
            .with(|it| it.packet.tags = vec![(0x8100, 5)])
            .frame(),
        // Ports that are missing.
        Packet::raw("10.0.0.5", "10.0.0.7", 17, &[1, 2, 3]).frame(),
    ];
    for (number, inner) in inner_frames.iter().enumerate() {
        for version in 0..2 {
            let frame = tunnel(version).wrap(inner);
            assert_eq!(hash(&frame), of_outer(version), "{number}");
        }
    }
}

#[test]
fn spec_4_4_encapsulations_that_are_not_known_hash_the_outer_addresses() {
    let inner = tcp(0, ACK, &[], 9).frame();
    for change in [
        |tunnel: &mut Tunnel| tunnel.gre_protocol = 0x0800,
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0,
        |tunnel: &mut Tunnel| tunnel.gre_flags = 0x2001,
        |tunnel: &mut Tunnel| tunnel.fragment = 0x2000,
        |tunnel: &mut Tunnel| tunnel.fragment = 0x0010,
    ] {
        for version in 0..2 {
            assert_eq!(
                hash(&tunnel(version).with(change).wrap(&inner)),
                of_outer(version)
            );
        }
    }
}

#[test]
fn spec_4_4_plain_fragments_hash_the_addresses_also_the_first() {
    for fragment in [0x2000, 0x2010, 0x0010] {
        let ipv4 = udp(0, 100).with(|it| it.packet.fragment = fragment).frame();
        let expected = of("10.0.0.5", "10.0.0.7", None);
        assert_eq!(hash(&ipv4), Some((expected, HashTypes::IPV4)));
        let ipv6 = udp(1, 100).with(|it| it.packet.fragment = fragment).frame();
        let expected = of("2001:db8::5", "2001:db8::7", None);
        assert_eq!(hash(&ipv6), Some((expected, HashTypes::IPV6_EX)));
    }
}

#[test]
fn spec_4_4_other_protocols_hash_the_addresses() {
    for protocol in [1, 33, 50, 132, 136] {
        let frame = Packet::raw("10.0.0.5", "10.0.0.7", protocol, &[1; 40]).frame();
        let expected = of("10.0.0.5", "10.0.0.7", None);
        assert_eq!(hash(&frame), Some((expected, HashTypes::IPV4)));
    }
}

#[test]
fn spec_4_4_what_cannot_be_parsed_has_no_hash() {
    let frame = tcp(0, ACK, &[], 9).frame();
    for length in 0..34 {
        assert_eq!(hash(&frame[..length]), None);
    }
    let mut other_version = frame.clone();
    other_version[14] = 0x65;
    assert_eq!(hash(&other_version), None);
    let mut no_ip = frame.clone();
    no_ip[12..14].copy_from_slice(&[0x12, 0x34]);
    assert_eq!(hash(&no_ip), None);
    assert_eq!(hash_of(HashTypes::NONE, &frame), None);
}

#[test]
fn spec_4_4_types_that_are_not_wanted() {
    let ipv4 = tcp(0, ACK, &[], 9).frame();
    let other = HashTypes::UDP_IPV4
        .union(HashTypes::TCP_IPV6)
        .union(HashTypes::IPV6);
    assert_eq!(hash_of(other, &ipv4), None);
    let addresses = (of("10.0.0.5", "10.0.0.7", None), HashTypes::IPV4);
    assert_eq!(
        hash_of(other.union(HashTypes::IPV4), &ipv4),
        Some(addresses)
    );
    let tunnelled = tcp(0, ACK, &[], 9).inside(0).frame();
    assert_eq!(hash_of(HashTypes::IPV4, &tunnelled), of_outer(0));
}

#[test]
fn spec_4_4_ipv6_ex_uses_home_address_and_routing_header_2() {
    let (home, far) = ("2001:db8:1::99", "2001:db8:2::88");
    let mut home_option = vec![0, 2, 1, 2, 0, 0, 201, 16];
    home_option.extend(octets(home));
    let mut routing = vec![0, 2, 2, 1, 0, 0, 0, 0];
    routing.extend(octets(far));
    let both = tcp(1, ACK, &[], 9)
        .with(|it| it.packet.extensions = vec![(43, routing.clone()), (60, home_option.clone())]);
    let frame = both.frame();
    let ports = Some((1234, 80));
    let plain = ["2001:db8::5", "2001:db8::7"];
    for (types, expected, hash_type) in [
        (HashTypes::ALL, of(home, far, ports), HashTypes::TCP_IPV6_EX),
        (
            HashTypes::TCP_IPV6,
            of(plain[0], plain[1], ports),
            HashTypes::TCP_IPV6,
        ),
        (HashTypes::IPV6_EX, of(home, far, None), HashTypes::IPV6_EX),
        (
            HashTypes::IPV6,
            of(plain[0], plain[1], None),
            HashTypes::IPV6,
        ),
    ] {
        assert_eq!(hash_of(types, &frame), Some((expected, hash_type)));
    }
    for (extensions, expected) in [
        (vec![(60, home_option.clone())], of(home, plain[1], ports)),
        (vec![(43, routing.clone())], of(plain[0], far, ports)),
        // A hop-by-hop header in front, and an atomic fragment header behind.
        (
            vec![
                (0, vec![0, 0, 1, 4, 0, 0, 0, 0]),
                (43, routing.clone()),
                (44, vec![0; 8]),
            ],
            of(plain[0], far, ports),
        ),
        // A routing header of another type.
        (
            vec![(43, [&[0, 2, 4, 0], &routing[4..]].concat())],
            of(plain[0], plain[1], ports),
        ),
    ] {
        let frame = tcp(1, ACK, &[], 9)
            .with(|it| it.packet.extensions = extensions)
            .frame();
        assert_eq!(hash(&frame), Some((expected, HashTypes::TCP_IPV6_EX)));
    }
    let datagram = udp(1, 9)
        .with(|it| it.packet.extensions = vec![(60, home_option)])
        .frame();
    let expected = of(home, plain[1], Some((1111, 2222)));
    assert_eq!(hash(&datagram), Some((expected, HashTypes::UDP_IPV6_EX)));
    let ports = of(plain[0], plain[1], Some((1111, 2222)));
    assert_eq!(
        hash_of(HashTypes::UDP_IPV6, &datagram),
        Some((ports, HashTypes::UDP_IPV6))
    );
}

#[test]
fn spec_4_4_indirection_by_the_low_bits() {
    let entries: Vec<u16> = (0..128).map(|entry| entry % 7).collect();
    let table = IndirectionTable::new(&entries).unwrap();
    for (_, _, _, _, addresses, with_ports) in VECTORS {
        for hash in [addresses, with_ports] {
            assert_eq!(table.queue(hash), entries[(hash & 0x7f) as usize]);
        }
    }
    for length in [0, 3, 5, 6, 7, 100, 127] {
        assert_eq!(IndirectionTable::new(&entries[..length]), Err(NoPowerOfTwo));
    }
    assert_eq!(IndirectionTable::new(&[9]).unwrap().queue(u32::MAX), 9);
}

proptest! {
    #[test]
    fn all_forms_of_a_key_hash_as_defined(
        key in prop::array::uniform32(any::<u8>()),
        last in any::<[u8; 8]>(),
        input in vec(any::<u8>(), 0..37),
        behind in any::<u8>(),
    ) {
        let key: [u8; 40] = [&key[..], &last[..]].concat().try_into().unwrap();
        let expected = by_definition(&key, &input);
        let key = ToeplitzKey(key);
        let mut bytes = Box::new(ByteTable::ZERO);
        prop_assert_eq!(bytes.hash(&input), 0);
        bytes.set_key(&key);
        let nibbles = Box::new(NibbleTable::new(&key));
        prop_assert_eq!(key.hash(&input), expected);
        prop_assert_eq!(nibbles.hash(&input), expected);
        prop_assert_eq!(bytes.hash(&input), expected);
        if input.len() == 36 {
            let longer = [&input[..], &[behind]].concat();
            prop_assert_eq!(key.hash(&longer), expected);
            prop_assert_eq!(nibbles.hash(&longer), expected);
            prop_assert_eq!(bytes.hash(&longer), expected);
        }
    }

    #[test]
    fn hashing_takes_any_bytes(bytes in vec(any::<u8>(), 0..200), at in 0usize..100) {
        rss_hash(&KEY, HashTypes::ALL, &bytes, bytes.len());
        let mut frame = tcp(1, ACK, &[], 9).inside(0).frame();
        for (place, byte) in frame.iter_mut().skip(at).zip(bytes.iter().take(4)) {
            *place = *byte;
        }
        rss_hash(&KEY, HashTypes::ALL, &frame, frame.len());
    }
}

use std::string::ToString;
use std::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as reference;

use super::*;
use crate::wire::read_gre;
use crate::wire::vectors::{NVGRE_FRAME, hex, ipv4_frame, ipv4_frame_with_options, ipv6_frame};

const PORTS: [u8; 8] = [0x04, 0x57, 0x08, 0xae, 0, 8, 0, 0];
const PORTS_1111_TO_2222: u32 = 1111 << 16 | 2222;

fn read(frame: &[u8]) -> Result<Facts, Malformed> {
    parse(frame, frame.len(), 0)
}

fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], &tags.concat(), &frame[12..]].concat()
}

/// An extension header of `bytes`, whose length byte says so.
fn extension(number: u8, bytes: &[u8]) -> (u8, Vec<u8>) {
    let mut bytes = bytes.to_vec();
    bytes[1] = (bytes.len() / 8 - 1) as u8;
    (number, bytes)
}

fn fragment_header(offset_and_more: u16) -> (u8, Vec<u8>) {
    let [high, low] = offset_and_more.to_be_bytes();
    (
        protocol::FRAGMENT,
        std::vec![0, 0, high, low, 0, 0, 0, 0x2a],
    )
}

/// Frames that cover every way through the parser.
fn frames() -> Vec<Vec<u8>> {
    let udp = ipv4_frame(protocol::UDP, &PORTS);
    std::vec![
        hex(NVGRE_FRAME),
        udp.clone(),
        tagged(&udp, &[[0x81, 0, 0xa0, 0x05]]),
        tagged(&udp, &[[0x81, 0, 0, 5], [0x81, 0, 0, 6]]),
        ipv4_frame_with_options(&[7, 7, 4, 10, 0, 0, 1, 0], 0x2000, protocol::TCP, &PORTS),
        ipv6_frame(&[], protocol::TCP, &PORTS),
        ipv6_frame(
            &[
                extension(protocol::HOP_BY_HOP, &[0, 0, 5, 2, 0, 0, 1, 0]),
                extension(protocol::ROUTING, &[0; 24]),
                extension(protocol::DESTINATION_OPTIONS, &[0; 8]),
                fragment_header(0),
            ],
            protocol::UDP,
            &PORTS,
        ),
        hex("ffffffffffff0606000000050806"),
        hex("0180c200000e06060000000588cc00"),
    ]
}

#[test]
fn the_reference_frame_is_read_outside_and_inside() {
    let frame = hex(NVGRE_FRAME);
    let outer = read(&frame).unwrap();
    assert_eq!(outer.destination, MacAddress([2, 0, 0, 0, 0, 0x16]));
    assert_eq!(outer.source, MacAddress([2, 0, 0, 0, 0, 0x0b]));
    assert_eq!((outer.tag, outer.ethertype), (Tag::None, 0x0800));
    assert_eq!((outer.network_offset, outer.transport_offset), (14, 34));
    assert_eq!((outer.protocol, outer.ports), (protocol::GRE, 0));
    assert!(outer.dont_fragment && ipv4_header_is_valid(&frame, &outer));
    assert_eq!(
        outer.to_string(),
        "192.168.4.11 > 192.168.4.22 GRE, 80 bytes, ttl 64"
    );

    let gre = read_gre(&frame, usize::from(outer.transport_offset)).unwrap();
    assert_eq!((gre.key, gre.payload_offset), (Some(0x1389a7), 42));
    let inner = parse(&frame, outer.end as usize, gre.payload_offset).unwrap();
    assert_eq!(inner.destination, MacAddress([6, 6, 0, 0, 0, 7]));
    assert_eq!((inner.network_offset, inner.transport_offset), (56, 76));
    assert_eq!((inner.end, inner.transport_length()), (94, 18));
    assert_eq!(inner.ports, PORTS_1111_TO_2222);
    assert_eq!(inner.transport(&frame), &frame[76..]);
    assert!(ipv4_header_is_valid(&frame, &inner));
    assert_eq!(
        inner.to_string(),
        "10.0.0.5:1111 > 10.0.0.7:2222 UDP, 38 bytes, ttl 64"
    );
}

#[test]
fn ipv6_is_read_with_class_and_ports() {
    let facts = read(&ipv6_frame(&[], protocol::TCP, &PORTS)).unwrap();
    assert_eq!((facts.network_offset, facts.transport_offset), (14, 54));
    assert_eq!((facts.traffic_class, facts.ecn()), (0xb9, 1));
    assert!(facts.dont_fragment);
    assert_eq!(facts.notes, Notes::EMPTY);
    assert_eq!(
        facts.to_string(),
        "[2001:db8::5]:1111 > [2001:db8::7]:2222 TCP, 48 bytes, ttl 64"
    );
}

#[test]
fn fields_agree_with_what_smoltcp_emits() {
    let repr = reference::Ipv4Repr {
        src_addr: [10, 9, 8, 7].into(),
        dst_addr: [1, 2, 3, 4].into(),
        next_header: reference::IpProtocol::Tcp,
        payload_len: 21,
        hop_limit: 33,
    };
    let mut frame = std::vec![0; 14 + 20 + 21];
    frame[12] = 0x08;
    repr.emit(
        &mut reference::Ipv4Packet::new_unchecked(&mut frame[14..]),
        &ChecksumCapabilities::default(),
    );
    let facts = read(&frame).unwrap();
    assert_eq!(facts.source_ip(), Some(repr.src_addr.into()));
    assert_eq!(facts.destination_ip(), Some(repr.dst_addr.into()));
    assert_eq!((facts.hop_limit, facts.protocol), (33, protocol::TCP));
    assert_eq!(facts.end as usize, frame.len());
    assert!(ipv4_header_is_valid(&frame, &facts));

    let repr = reference::Ipv6Repr {
        src_addr: "2001:db8::1".parse().unwrap(),
        dst_addr: "fe80::2".parse().unwrap(),
        next_header: reference::IpProtocol::Udp,
        payload_len: 8,
        hop_limit: 44,
    };
    let mut frame = std::vec![0; 14 + 40 + 8];
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    repr.emit(&mut reference::Ipv6Packet::new_unchecked(&mut frame[14..]));
    let facts = read(&frame).unwrap();
    assert_eq!(facts.source_ip(), Some(repr.src_addr.into()));
    assert_eq!(facts.destination_ip(), Some(repr.dst_addr.into()));
    assert_eq!((facts.hop_limit, facts.protocol), (44, protocol::UDP));
    assert!(!ipv4_header_is_valid(&frame, &facts));
}

#[test]
fn tags_are_told_apart_and_shift_what_follows() {
    let untagged = ipv4_frame(protocol::UDP, &PORTS);
    for tpid in [[0x81, 0x00], [0x88, 0xa8], [0x91, 0x00]] {
        for (tci, expected) in [
            (0xa005, Tag::Vlan { tci: 0xa005 }),
            (0x0fff, Tag::Vlan { tci: 0x0fff }),
            (0xe000, Tag::Priority { tci: 0xe000 }),
        ] {
            let [high, low] = u16::to_be_bytes(tci);
            let tag = [tpid[0], tpid[1], high, low];
            let facts = read(&tagged(&untagged, &[tag])).unwrap();
            assert_eq!((facts.tag, facts.ethertype), (expected, 0x0800));
            assert_eq!((facts.network_offset, facts.transport_offset), (18, 38));
            assert_eq!(facts.ports, PORTS_1111_TO_2222);

            let facts = read(&tagged(&untagged, &[tag, [0x88, 0xa8, 0, 1]])).unwrap();
            assert_eq!((facts.tag, facts.ethertype), (Tag::Stacked, 0x88a8));
            assert_eq!((facts.network, facts.network_offset), (Network::Other, 18));
        }
    }
}

#[test]
fn padding_is_no_part_of_the_packet() {
    let mut frame = ipv4_frame(protocol::UDP, &PORTS);
    let length = frame.len();
    frame.resize(60, 0xff);
    let facts = read(&frame).unwrap();
    assert_eq!(facts.end as usize, length);
    assert_eq!(facts.transport(&frame), PORTS);

    // Ports that stand in the padding are none.
    let mut frame = ipv4_frame(protocol::UDP, &PORTS[..3]);
    frame.resize(60, 0xff);
    let facts = read(&frame).unwrap();
    assert_eq!((facts.ports, facts.notes), (0, Notes::TRANSPORT_TRUNCATED));
}

#[test]
fn a_window_shorter_than_the_frame_is_enough_if_it_holds_the_headers() {
    let frame = ipv4_frame(protocol::TCP, &[0; 1000]);
    let facts = parse(&frame[..54], frame.len(), 0).unwrap();
    assert_eq!(facts, read(&frame).unwrap());
    assert_eq!(facts.transport(&frame[..54]).len(), 20);
    assert_eq!(facts.transport_length(), 1000);
    assert_eq!(parse(&frame, 500, 0), Err(Malformed::TotalLength));
}

#[test]
fn contradictions_of_an_ipv4_header_are_malformed() {
    let refused = |position: usize, value: u8| {
        let mut frame = ipv4_frame(protocol::UDP, &PORTS);
        frame[position] = value;
        read(&frame).err()
    };
    assert_eq!(refused(14, 0x65), Some(Malformed::Version));
    assert_eq!(refused(14, 0x44), Some(Malformed::HeaderLength));
    assert_eq!(refused(14, 0x48), Some(Malformed::TotalLength));
    assert_eq!(refused(17, 19), Some(Malformed::TotalLength));
    assert_eq!(refused(17, 29), Some(Malformed::TotalLength));
    assert_eq!(refused(17, 28), None);
    let mut frame = ipv6_frame(&[], protocol::UDP, &PORTS);
    frame[19] += 1;
    assert_eq!(read(&frame), Err(Malformed::TotalLength));
    frame[14] = 0x4b;
    assert_eq!(read(&frame), Err(Malformed::Version));
}

#[test]
fn a_header_checksum_covers_the_options_too() {
    let frame = ipv4_frame_with_options(&[1, 1, 1, 0], 0, protocol::UDP, &PORTS);
    let facts = read(&frame).unwrap();
    assert_eq!(
        (facts.transport_offset, facts.notes),
        (38, Notes::IPV4_OPTIONS)
    );
    assert_eq!(facts.ports, PORTS_1111_TO_2222);
    assert!(ipv4_header_is_valid(&frame, &facts));
    for bit in 14 * 8..38 * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(!ipv4_header_is_valid(&damaged, &facts), "bit {bit}");
    }
}

#[test]
fn ipv4_options_that_route_or_record_are_noted_and_broken_lists_refused() {
    let notes = |options: &[u8]| {
        read(&ipv4_frame_with_options(options, 0, protocol::UDP, &PORTS)).map(|facts| facts.notes)
    };
    let with = |note: Notes| Ok(Notes::IPV4_OPTIONS.union(note));
    assert_eq!(notes(&[1, 131, 3, 4]), with(Notes::SOURCE_ROUTE));
    assert_eq!(notes(&[137, 3, 4, 0]), with(Notes::SOURCE_ROUTE));
    assert_eq!(notes(&[1, 7, 3, 4]), with(Notes::RECORD_ROUTE));
    assert_eq!(notes(&[148, 4, 0, 0]), with(Notes::EMPTY));
    assert_eq!(notes(&[0, 131, 3, 4]), with(Notes::EMPTY));
    for broken in [[148, 0, 0, 0], [148, 1, 0, 0], [148, 5, 0, 0], [1, 1, 1, 7]] {
        assert_eq!(notes(&broken), Err(Malformed::Options), "{broken:?}");
    }
}

#[test]
fn fragments_have_no_ports_and_all_but_the_first_no_transport() {
    let fragment = |flags_and_offset| {
        let frame = ipv4_frame_with_options(&[], flags_and_offset, protocol::UDP, &PORTS);
        let facts = read(&frame).unwrap();
        (facts.fragment, facts.ports, facts.has_transport())
    };
    assert_eq!(
        fragment(0x4000),
        (Fragment::Whole, PORTS_1111_TO_2222, true)
    );
    assert_eq!(fragment(0x2000), (Fragment::First, 0, true));
    assert_eq!(fragment(0x2001), (Fragment::Later, 0, false));
    assert_eq!(fragment(0x1fff), (Fragment::Later, 0, false));

    let fragment = |offset_and_more| {
        let frame = ipv6_frame(&[fragment_header(offset_and_more)], protocol::UDP, &PORTS);
        let facts = read(&frame).unwrap();
        assert_eq!(
            (facts.protocol, facts.transport_offset),
            (protocol::UDP, 62)
        );
        assert!(facts.notes.contains(Notes::FRAGMENT_HEADER));
        (facts.fragment, facts.ports, facts.has_transport())
    };
    assert_eq!(fragment(0), (Fragment::Whole, PORTS_1111_TO_2222, true));
    assert_eq!(fragment(1), (Fragment::First, 0, true));
    assert_eq!(fragment(1 << 3 | 1), (Fragment::Later, 0, false));
    assert_eq!(fragment(100 << 3), (Fragment::Later, 0, false));
}

#[test]
fn a_fragment_that_could_replace_tcp_flags_is_noted() {
    for (flags_and_offset, expected) in [(0x2000, false), (0x2001, true), (1, true), (2, false)] {
        let frame = ipv4_frame_with_options(&[], flags_and_offset, protocol::TCP, &PORTS);
        let notes = read(&frame).unwrap().notes;
        assert_eq!(notes.contains(Notes::FRAGMENT_AT_8), expected);
    }
}

#[test]
fn nothing_is_walked_behind_the_header_of_a_later_fragment() {
    let chain = [
        fragment_header(8),
        extension(protocol::DESTINATION_OPTIONS, &[0; 8]),
    ];
    let facts = read(&ipv6_frame(&chain, protocol::UDP, &PORTS)).unwrap();
    assert_eq!(facts.protocol, protocol::DESTINATION_OPTIONS);
    assert_eq!(
        (facts.fragment, facts.transport_offset),
        (Fragment::Later, 62)
    );
}

#[test]
fn extension_headers_are_walked_and_noted() {
    let notes = |chain: &[(u8, Vec<u8>)]| {
        let length: usize = chain.iter().map(|(_, bytes)| bytes.len()).sum();
        let facts = read(&ipv6_frame(chain, protocol::UDP, &PORTS)).unwrap();
        assert_eq!(usize::from(facts.transport_offset), 54 + length);
        assert_eq!(facts.ports, PORTS_1111_TO_2222);
        facts.notes
    };
    let with = |note: Notes| Notes::EXTENSION_HEADERS.union(note);
    let routing = |kind, left| extension(protocol::ROUTING, &[0, 0, kind, left, 0, 0, 0, 0]);
    let rh0 = Notes::ROUTING_HEADER.union(Notes::SOURCE_ROUTE);
    assert_eq!(notes(&[routing(0, 0)]), with(rh0));
    assert_eq!(
        notes(&[routing(0, 1)]),
        with(rh0.union(Notes::SEGMENTS_LEFT))
    );
    assert_eq!(notes(&[routing(4, 0)]), with(Notes::ROUTING_HEADER));
    assert_eq!(
        notes(&[routing(4, 2)]),
        with(Notes::ROUTING_HEADER.union(Notes::SEGMENTS_LEFT))
    );
    let mut home_address = [0; 24];
    home_address[2..6].copy_from_slice(&[1, 0, 201, 16]);
    let home_address = extension(protocol::DESTINATION_OPTIONS, &home_address);
    assert_eq!(notes(&[home_address]), with(Notes::HOME_ADDRESS));
    let router_alert = extension(protocol::HOP_BY_HOP, &[0, 0, 5, 2, 0, 0, 1, 0]);
    assert_eq!(notes(&[router_alert]), with(Notes::EMPTY));
}

#[test]
fn a_destination_option_beyond_its_header_is_refused() {
    let options = extension(protocol::DESTINATION_OPTIONS, &[0, 0, 30, 5, 0, 0, 0, 0]);
    let frame = ipv6_frame(&[options], protocol::UDP, &PORTS);
    assert_eq!(read(&frame), Err(Malformed::Options));
}

#[test]
fn the_walk_over_extension_headers_has_its_limits() {
    let notes = |count: usize, length: usize| {
        let chain = std::vec![extension(protocol::HOP_BY_HOP, &std::vec![0; length]); count];
        let facts = read(&ipv6_frame(&chain, protocol::UDP, &PORTS)).unwrap();
        let too_long = facts.notes.contains(Notes::CHAIN_TOO_LONG);
        assert_eq!(facts.ports == PORTS_1111_TO_2222, !too_long);
        assert_eq!(facts.has_transport(), !too_long);
        assert_eq!(facts.protocol == protocol::HOP_BY_HOP, too_long);
        (facts.notes.contains(Notes::LONG_CHAIN), too_long)
    };
    assert_eq!(notes(4, 16), (false, false));
    assert_eq!(notes(5, 8), (true, false));
    assert_eq!(notes(1, 72), (true, false));
    assert_eq!(notes(8, 32), (true, false));
    assert_eq!(notes(9, 8), (true, true));
    assert_eq!(notes(1, 256), (true, false));
    assert_eq!(notes(1, 264), (true, true));
}

#[test]
fn only_icmp_echoes_have_an_identifier() {
    for kind in 0..=255 {
        let message = [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
        let ports = |frame: Vec<u8>| read(&frame).unwrap().ports;
        let expected = |is_echo| if is_echo { 0x1234 } else { 0 };
        assert_eq!(
            ports(ipv4_frame(protocol::ICMP, &message)),
            expected(matches!(kind, 0 | 8))
        );
        assert_eq!(
            ports(ipv6_frame(&[], protocol::ICMPV6, &message)),
            expected(matches!(kind, 128 | 129))
        );
    }
}

#[test]
fn the_protocols_with_ports_are_five() {
    for protocol in 0..=255 {
        let expected = match protocol {
            6 | 17 | 33 | 132 | 136 => PORTS_1111_TO_2222,
            _ => 0,
        };
        let facts = read(&ipv4_frame(protocol, &PORTS)).unwrap();
        assert_eq!(facts.ports, expected, "protocol {protocol}");
    }
}

#[test]
fn every_prefix_of_every_frame_is_refused_or_read_inside_its_bounds() {
    for frame in frames() {
        let whole = read(&frame).unwrap();
        for length in 0..frame.len() {
            let cut = &frame[..length];
            if let Ok(facts) = read(cut) {
                assert_eq!(facts.network, whole.network);
                assert!(!facts.is_ip() && usize::from(facts.network_offset) <= length);
            }
            if let Ok(facts) = parse(cut, frame.len(), 0) {
                assert!(usize::from(facts.transport_offset) <= length);
                assert_eq!((facts.end, facts.protocol), (whole.end, whole.protocol));
            }
        }
    }
}

#[test]
fn an_offset_beyond_the_window_is_truncated() {
    let frame = hex(NVGRE_FRAME);
    for offset in [frame.len() - 13, frame.len(), frame.len() + 1, usize::MAX] {
        assert_eq!(
            parse(&frame, frame.len(), offset),
            Err(Malformed::Truncated)
        );
    }
    let long = std::vec![0; 70_000];
    assert!(parse(&long, long.len(), 65_521).is_ok());
    assert_eq!(parse(&long, long.len(), 65_522), Err(Malformed::Truncated));
}

#[test]
fn what_stood_in_the_place_before_does_not_matter() {
    let stale = Facts {
        destination: MacAddress([9; 6]),
        source: MacAddress([9; 6]),
        tag: Tag::Vlan { tci: 9 },
        ethertype: 9,
        network: Network::Other,
        network_offset: 9,
        transport_offset: 9,
        end: 9,
        protocol: 9,
        hop_limit: 9,
        traffic_class: 9,
        dont_fragment: true,
        fragment: Fragment::First,
        source_address: AddressBits { high: 9, low: 9 },
        destination_address: AddressBits { high: 9, low: 9 },
        ports: 9,
        notes: Notes::SOURCE_ROUTE,
    };
    let places = frames()
        .iter()
        .map(|frame| read(frame).unwrap())
        .chain([stale])
        .collect::<Vec<_>>();
    for frame in frames() {
        for place in &places {
            let mut facts = *place;
            parse_into(&mut facts, &frame, frame.len(), 0).unwrap();
            assert_eq!(facts, read(&frame).unwrap());
        }
    }
}

#[test]
fn facts_stay_small_enough_for_a_batch() {
    assert!(size_of::<Facts>() <= 72);
}

#[test]
fn summaries_name_what_is_known() {
    let summary = |frame: &[u8]| read(frame).unwrap().to_string();
    assert_eq!(
        summary(&hex("ffffffffffff0606000000050806")),
        "06:06:00:00:00:05 > ff:ff:ff:ff:ff:ff ARP, 14 bytes"
    );
    assert_eq!(
        summary(&hex("0180c200000e06060000000588cc00")),
        "06:06:00:00:00:05 > 01:80:c2:00:00:0e EtherType 0x88cc, 15 bytes"
    );
    assert_eq!(
        summary(&ipv4_frame_with_options(&[], 0x2000, protocol::UDP, &PORTS)),
        "10.0.0.5 > 10.0.0.7 UDP, 28 bytes, ttl 64, first fragment"
    );
    assert_eq!(
        summary(&ipv4_frame_with_options(&[], 7, 99, &PORTS)),
        "10.0.0.5 > 10.0.0.7 protocol 99, 28 bytes, ttl 64, later fragment"
    );
}

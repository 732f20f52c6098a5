//! What an incremental checksum has to do with a full one, for any bytes.

use core::net::IpAddr;

use netvirt_core::checksum::{Delta, add, ipv4_header_sum, pseudo_header, sum, transport_sum};
use netvirt_core::offload::PartialChecksum;
use netvirt_core::{AddressBits, Family};
use proptest::prelude::*;
use smoltcp::wire as reference;

fn bits(family: Family, octets: [u8; 16]) -> AddressBits {
    match family {
        Family::Ipv4 => AddressBits::from_ipv4([octets[0], octets[1], octets[2], octets[3]]),
        Family::Ipv6 => AddressBits::from_ipv6(octets),
    }
}

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

/// Addresses of random words, with the words that one's complement cannot tell apart more often.
fn octets() -> impl Strategy<Value = [u8; 16]> {
    let word = prop_oneof![4 => any::<u16>(), 1 => Just(0), 1 => Just(0xffff)];
    prop::array::uniform8(word).prop_map(|words| {
        let mut octets = [0; 16];
        for (place, word) in octets.chunks_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        octets
    })
}

fn checksum_of(from: AddressBits, to: AddressBits, protocol: u8, segment: &[u8]) -> u16 {
    !transport_sum(from, to, protocol, segment)
}

/// The sum of RFC 1071 as its first page has it.
fn word_by_word(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u16::from_be_bytes([pair[0], low])
    });
    words.fold(0, |sum, word| {
        let sum = u32::from(sum) + u32::from(word);
        (sum as u16) + (sum >> 16) as u16
    })
}

/// Whether two checksums are the same number: 0x0000 and 0xFFFF are.
fn same(one: u16, other: u16) -> bool {
    one % 0xffff == other % 0xffff
}

proptest! {
    #[test]
    fn incremental_equals_full(
        family in families(),
        (source, destination) in (octets(), octets()),
        (new_source, new_destination) in (octets(), octets()),
        protocol: u8,
        segment in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (from, to) = (bits(family, source), bits(family, destination));
        let (new_from, new_to) = (bits(family, new_source), bits(family, new_destination));
        let delta = Delta::between(from, new_from) + Delta::between(to, new_to);
        let before = checksum_of(from, to, protocol, &segment);
        let after = checksum_of(new_from, new_to, protocol, &segment);
        prop_assert!(same(delta.apply(before), after));
    }

    #[test]
    fn rewrite_and_restore_is_the_identity(
        family in families(),
        (old, new) in (octets(), octets()),
        checksum: u16,
    ) {
        let forth = Delta::between(bits(family, old), bits(family, new));
        let back = Delta::between(bits(family, new), bits(family, old));
        prop_assert_eq!(back, -forth);
        prop_assert_eq!(back.apply_udp(forth.apply_udp(checksum)), checksum);
        prop_assert!(same(back.apply(forth.apply(checksum)), checksum));
        if checksum != 0xffff {
            prop_assert_eq!(back.apply(forth.apply(checksum)), checksum);
        }
    }

    #[test]
    fn deltas_add_in_any_order(words: [u16; 6], checksum: u16) {
        let [a, b, c, d, e, f] = words;
        let (one, two, three) = (Delta::of_words(a, b), Delta::of_words(c, d), Delta::of_words(e, f));
        prop_assert_eq!(one + two, two + one);
        prop_assert_eq!((one + two) + three, one + (two + three));
        prop_assert!(same((one + two).apply(checksum), two.apply(one.apply(checksum))));
        prop_assert_eq!((one + two).apply_udp(checksum), two.apply_udp(one.apply_udp(checksum)));
    }

    #[test]
    fn sums_are_those_of_smoltcp(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(sum(&bytes), reference::checksum::data(&bytes));
    }

    #[test]
    fn a_sum_is_that_of_its_even_parts(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        cut in 0usize..200,
    ) {
        let (front, back) = bytes.split_at((cut * 2).min(bytes.len() & !1));
        prop_assert_eq!(add(sum(front), sum(back)), sum(&bytes));
    }

    #[test]
    fn an_ipv4_header_sums_as_any_bytes_do(header: [u8; 20]) {
        prop_assert_eq!(ipv4_header_sum(&header), sum(&header));
    }

    #[test]
    fn pseudo_headers_are_those_of_smoltcp(
        family in families(),
        (source, destination) in (octets(), octets()),
        protocol: u8,
        length: u16,
    ) {
        let address = |octets| -> IpAddr { bits(family, octets).to_ip(family) };
        let expected = reference::checksum::pseudo_header(
            &address(source).into(),
            &address(destination).into(),
            protocol.into(),
            length.into(),
        );
        let sum = pseudo_header(bits(family, source), bits(family, destination), protocol, length.into());
        prop_assert!(same(sum, expected));
    }

    #[test]
    fn a_checksum_completed_in_two_pieces_is_the_full_one(
        family in families(),
        (source, destination) in (octets(), octets()),
        protocol_and_offset in prop::sample::select(vec![(6u8, 16u16), (17, 6), (33, 6), (58, 2)]),
        header in prop::collection::vec(any::<u8>(), 0..60),
        mut segment in prop::collection::vec(any::<u8>(), 18..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let (protocol, offset) = protocol_and_offset;
        let (from, to) = (bits(family, source), bits(family, destination));
        let pseudo = pseudo_header(from, to, protocol, segment.len() as u32);
        let field = usize::from(offset)..usize::from(offset) + 2;
        segment[field.clone()].copy_from_slice(&pseudo.to_be_bytes());
        let expected = match !word_by_word(&segment) {
            0 if offset == 6 => 0xffff,
            expected => expected,
        };
        let mut frame = [&header[..], &segment].concat();
        let first = header.len() + field.end;
        let cut = first + cut.index(frame.len() - first + 1);
        let (front, rest) = frame.split_at_mut(cut);
        let partial = PartialChecksum { start: header.len() as u16, offset };
        prop_assert_eq!(partial.complete(front, rest), Ok(()));

        segment[field].copy_from_slice(&expected.to_be_bytes());
        prop_assert_eq!(frame, [&header[..], &segment].concat());
    }
}

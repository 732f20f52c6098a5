//! What a change of addresses does to a checksum, against the checksum computed from scratch.

use std::net::IpAddr;

use netvirt_core::checksum::{self, Delta};
use netvirt_core::offload::PartialChecksum;
use netvirt_core::wire::gre_checksum_is_valid;
use netvirt_core::{AddressBits, Family};

use crate::packet::{octets, sum, transport_sum};

/// Checksum deltas against full sums.
///
/// Version and protocol, then four addresses (source and destination, before and after), then a segment.
pub fn checksums(data: &[u8]) {
    let Some((&[version, protocol], rest)) = data.split_first_chunk() else {
        return;
    };
    let Some((addresses, segment)) = rest.split_first_chunk::<64>() else {
        return;
    };
    let address = |number: usize| -> IpAddr {
        let octets: [u8; 16] = addresses[16 * number..][..16].try_into().unwrap();
        match version % 2 {
            0 => <[u8; 4]>::try_from(&octets[..4]).unwrap().into(),
            _ => octets.into(),
        }
    };
    let [from, to, new_from, new_to] = [0, 1, 2, 3].map(address);
    sums(from, to, protocol, segment);

    let delta = between(from, new_from) + between(to, new_to);
    let back = between(new_from, from) + between(new_to, to);
    assert_eq!(back, -delta);
    let before = !transport_sum(from, to, protocol, segment);
    let after = !transport_sum(new_from, new_to, protocol, segment);
    assert_eq!(delta.apply(before) % 0xffff, after % 0xffff);
    if (from, to) == (new_from, new_to) {
        assert_eq!(delta, Delta::NONE);
    }
    for stored in [0, 1, 0xfffe, 0xffff, before, after, sum(&[segment])] {
        stays_as_wrong(delta, stored, before, after);
        assert_eq!(back.apply_udp(delta.apply_udp(stored)), stored);
        assert_eq!(delta.apply_udp(stored) == 0, stored == 0);
        let returned = back.apply(delta.apply(stored));
        assert!(returned == stored || (stored, returned) == (0xffff, 0));
    }
    complete(from, to, protocol, segment);
}

fn between(old: IpAddr, new: IpAddr) -> Delta {
    Delta::between(AddressBits::from_ip(old), AddressBits::from_ip(new))
}

/// What a stored checksum was beside the right one, it still is.
fn stays_as_wrong(delta: Delta, stored: u16, before: u16, after: u16) {
    let distance =
        |stored: u16, right: u16| (u32::from(stored) + 0xffff - u32::from(right)) % 0xffff;
    assert_eq!(
        distance(delta.apply(stored), after),
        distance(stored, before)
    );
}

fn sums(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) {
    assert_eq!(checksum::sum(segment), sum(&[segment]));
    let (source, destination) = (AddressBits::from_ip(from), AddressBits::from_ip(to));
    assert_eq!(
        checksum::transport_sum(source, destination, protocol, segment) % 0xffff,
        transport_sum(from, to, protocol, segment) % 0xffff
    );
    if let Some(header) = segment.first_chunk::<20>() {
        assert_eq!(checksum::ipv4_header_sum(header), sum(&[header]));
    }
    assert_eq!(
        gre_checksum_is_valid(segment),
        sum(&[segment]) == 0xffff,
        "a GRE checksum covers what it stands in"
    );
    assert_eq!(
        AddressBits::from_ip(from).to_ip(Family::of(from)),
        from,
        "{:?}",
        octets(from)
    );
}

/// A checksum left to a device, finished in two pieces.
fn complete(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) {
    let Some(&cut) = segment.first() else { return };
    let offset = match protocol % 3 {
        0 => 16,
        1 => 6,
        _ => 2,
    };
    let mut frame = vec![0x55; usize::from(cut % 7)];
    let start = frame.len();
    frame.extend(segment);
    let field = start + offset..start + offset + 2;
    let partial = PartialChecksum {
        start: start as u16,
        offset: offset as u16,
    };
    if frame.len() < field.end {
        let before = frame.clone();
        assert!(partial.complete(&mut frame, &[]).is_err());
        assert_eq!(frame, before);
        return;
    }
    frame[field.clone()].fill(0);
    let expected = match !transport_sum(from, to, protocol, &frame[start..]) {
        0 if offset == 6 => 0xffff,
        expected => expected,
    };
    let pseudo = sum(&[
        &octets(from),
        &octets(to),
        &(segment.len() as u32).to_be_bytes(),
        &[0, protocol],
    ]);
    frame[field.clone()].copy_from_slice(&pseudo.to_be_bytes());
    let mut expected_frame = frame.clone();
    expected_frame[field.clone()].copy_from_slice(&expected.to_be_bytes());
    let cut = field.end + usize::from(cut) % (frame.len() - field.end + 1);
    let (front, rest) = frame.split_at_mut(cut);
    assert_eq!(partial.complete(front, rest), Ok(()));
    assert_eq!(frame, expected_frame);
}

//! Frames of one flow that differ in what a receiver would see: they are not merged.

use netvirt_core::offload::*;

use super::merging::*;
use crate::mergers::*;
use crate::super_frames::*;
use crate::support::packets::*;

/// The second segment with this change is not merged with the first, and both are delivered unchanged, in their
/// order.
#[track_caller]
fn kept_apart(whole: &Super, change: impl FnOnce(&mut Super)) {
    let first = whole.expected().remove(0);
    let second = whole.clone().with(change).expected().remove(1);
    let frames = [first, second];
    assert_eq!(merged(&frames), as_they_are(&frames));
}

#[test]
fn frames_that_are_alike_are_not_kept_apart() {
    for whole in [plain(), plain_ipv6(), udp(0, 4200), udp(1, 4200)] {
        let frames = &whole.expected()[..2];
        let merged = merged(frames);
        assert_eq!((merged.len(), merged[0].segments), (1, 2));
    }
}

#[test]
fn other_link_addresses_and_vlans() {
    for whole in [plain(), plain_ipv6(), udp(0, 4200)] {
        kept_apart(&whole, |it| it.packet.source_mac.0[5] ^= 1);
        kept_apart(&whole, |it| it.packet.destination_mac.0[0] ^= 2);
        kept_apart(&whole, |it| it.packet.tags = vec![(0x8100, 0)]);
        let tagged = whole.with(|it| it.packet.tags = vec![(0x8100, 5)]);
        kept_apart(&tagged, |it| it.packet.tags = vec![(0x8100, 6)]);
        kept_apart(&tagged, |it| it.packet.tags = vec![(0x8100, 0x2005)]);
        kept_apart(&tagged, |it| it.packet.tags = vec![(0x88a8, 5)]);
    }
}

#[test]
fn other_addresses_and_ports() {
    for whole in [plain(), udp(0, 4200)] {
        kept_apart(&whole, |it| it.packet.source = ip("10.0.0.6"));
        kept_apart(&whole, |it| it.packet.destination = ip("10.0.0.6"));
        kept_apart(&whole, |it| it.packet.transport[1] ^= 1);
        kept_apart(&whole, |it| it.packet.transport[2] ^= 1);
    }
    for whole in [plain_ipv6(), udp(1, 4200)] {
        kept_apart(&whole, |it| it.packet.source = ip("2001:db8::6"));
        kept_apart(&whole, |it| it.packet.destination = ip("2001:db9::7"));
    }
}

#[test]
fn other_dscp_ecn_and_ttl() {
    for whole in [plain(), plain_ipv6(), udp(0, 4200), udp(1, 4200)] {
        kept_apart(&whole, |it| it.packet.traffic_class = 0x20);
        kept_apart(&whole, |it| it.packet.hop_limit = 63);
        let capable = whole.with(|it| it.packet.traffic_class = 2);
        kept_apart(&capable, |it| it.packet.traffic_class = 3);
    }
}

#[test]
fn other_flow_labels() {
    let whole = plain_ipv6().with(|it| it.flow_label = 0x12345);
    kept_apart(&whole, |it| it.flow_label = 0x12346);
    kept_apart(&whole, |it| it.flow_label = 0x02345);
}

#[test]
fn one_may_be_fragmented_and_the_other_not() {
    kept_apart(&plain(), |it| it.packet.fragment = 0);
    let may_be = plain().with(|it| it.packet.fragment = 0);
    kept_apart(&may_be, |it| it.packet.fragment = 0x4000);
    // A bit that nobody has a meaning for.
    let reserved = plain().with(|it| it.packet.fragment = 0xc000);
    let frames = reserved.expected();
    assert_eq!(merged(&frames), as_they_are(&frames));
}

#[test]
fn ip_options_and_extension_headers() {
    let options = vec![0x94, 4, 0, 0];
    kept_apart(&plain(), |it| it.packet.ipv4_options = options.clone());
    let frames = plain()
        .with(|it| it.packet.ipv4_options = options)
        .expected();
    assert_eq!(merged(&frames), as_they_are(&frames));
    let extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0])];
    kept_apart(&plain_ipv6(), |it| {
        it.packet.extensions = extensions.clone()
    });
    let frames = plain_ipv6()
        .with(|it| it.packet.extensions = extensions)
        .expected();
    assert_eq!(merged(&frames), as_they_are(&frames));
}

#[test]
fn tcp_gaps_and_repetitions() {
    for whole in [plain(), plain_ipv6()] {
        for change in [
            1u32,
            1u32.wrapping_neg(),
            1400,
            1400u32.wrapping_neg(),
            0x8000_0000,
        ] {
            kept_apart(&whole, |it| {
                let field: [u8; 4] = it.packet.transport[4..8].try_into().unwrap();
                let moved = u32::from_be_bytes(field).wrapping_add(change);
                it.packet.transport[4..8].copy_from_slice(&moved.to_be_bytes());
            });
        }
        let segments = whole.expected();
        let swapped = [segments[1].clone(), segments[0].clone()];
        assert_eq!(merged(&swapped), as_they_are(&swapped));
    }
}

#[test]
fn other_acknowledgments_windows_and_options() {
    for whole in [plain(), plain_ipv6()] {
        for byte in (8..12).chain(14..16).chain(20..32) {
            kept_apart(&whole, |it| it.packet.transport[byte] ^= 0x10);
        }
        kept_apart(&whole, |it| {
            it.packet.transport.truncate(20);
            it.packet.transport[12] = 0x50;
        });
    }
}

#[test]
fn tcp_flags_that_say_more() {
    for whole in [plain(), plain_ipv6()] {
        for flags in [SYN, RST, URG, CWR, ECE].map(|flag| flag | ACK) {
            // Built as the first of its frame, since CWR does not come with any other.
            let second = whole.clone().with(|it| {
                let sequence = 0xffff_fa00u32.wrapping_add(1400).to_be_bytes();
                it.packet.transport[4..8].copy_from_slice(&sequence);
                it.packet.transport[13] = flags;
                it.packet.identification += 1;
                it.payload.truncate(1400);
            });
            let frames = [whole.expected().remove(0), second.expected().remove(0)];
            assert_eq!(merged(&frames), as_they_are(&frames), "{flags:x}");
        }
        let no_ack = whole.clone().with(|it| it.packet.transport[13] = 0);
        assert_eq!(merged(&no_ack.expected()), as_they_are(&no_ack.expected()));
        let accurate_ecn = whole.clone().with(|it| it.packet.transport[12] |= 1);
        assert_eq!(
            merged(&accurate_ecn.expected()),
            as_they_are(&accurate_ecn.expected())
        );
        let urgent = whole.with(|it| it.packet.transport[19] = 1);
        assert_eq!(merged(&urgent.expected()), as_they_are(&urgent.expected()));
    }
}

#[test]
fn frames_for_different_receivers_never_meet() {
    let whole = plain();
    let frames = whole.expected();
    let mut receiver = Receiver::new(4);
    for (lane, frame) in [
        (1, &frames[0]),
        (2, &frames[1]),
        (1, &frames[1]),
        (2, &frames[2]),
    ] {
        receiver.take(&MergeFrame {
            lane,
            ..crate::mergers::whole(frame)
        });
    }
    let delivered = receiver.finish();
    let parts = |it: &Delivered| cut(&it.frame, &it.offload).unwrap();
    assert_eq!(delivered.len(), 2);
    assert_eq!(parts(&delivered[0]), frames[..2]);
    assert_eq!(parts(&delivered[1]), frames[1..]);
}

//! The work that a host leaves to its NIC.

use netvirt_core::PortId;
use netvirt_core::datapath::DropReason;
use netvirt_core::offload::*;
use netvirt_fw::header::{Kind, Repr};
use netvirt_fw::nic::{Config, Spread};
use netvirt_fw::rings::Capabilities;

use crate::site::*;
use crate::support::hosts::Nve;
use crate::support::network::*;
use crate::support::packets::*;

/// Three kilobytes of UDP from one machine to another, to be cut into datagrams of 1,000 bytes.
fn super_frame(network: &Network, from: &str, to: &str, version: usize) -> (Vec<u8>, Offload) {
    let (sender, receiver) = (network.machine(from), network.machine(to));
    let packet = Packet::udp(
        sender.addresses[version],
        receiver.addresses[version],
        &[7; 2500],
    )
    .between(sender.mac, receiver.mac);
    let mut frame = packet.frame();
    let start: u16 = [34, 54][version];
    let at = usize::from(start) + 6;
    let pseudo = pseudo_header_sum(&frame, version);
    frame[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
    let offload = Offload {
        checksum: Some(PartialChecksum { start, offset: 6 }),
        segmentation: Some(Segmentation {
            kind: SegmentKind::Udp,
            segment_size: 1000,
            header_length: start + 8,
        }),
        hash: None,
    };
    (frame, offload)
}

fn pseudo_header_sum(frame: &[u8], version: usize) -> u16 {
    let (addresses, length) = match version {
        0 => (&frame[26..34], &frame[38..40]),
        _ => (&frame[22..54], &frame[58..60]),
    };
    !checksum(&[addresses, &[0, 17], length].concat())
}

/// The segments of a frame, finished.
fn segments(frame: &[u8], offload: &Offload) -> Vec<Vec<u8>> {
    let whole = SuperFrame::new(frame, frame.len(), offload, SegmentLimits::DEFAULT).unwrap();
    let payload = &frame[whole.header_length()..];
    let written = whole.segments().map(|segment| {
        let mut out = vec![0; 2048];
        let length = segment
            .emit::<netvirt_core::table::Portable>(payload, &mut out)
            .unwrap();
        out.truncate(length);
        out
    });
    written.collect()
}

fn sent(offload: Offload) -> Repr {
    Repr {
        offload,
        ..Repr::new(Kind::Sent(PortId(0)))
    }
}

#[test]
fn a_super_frame_leaves_as_what_its_segments_would_have_become() {
    let network = Network::standard();
    for version in 0..2 {
        let mut site = Site::new(&network.changes(1));
        let (frame, offload) = super_frame(&network, "blue a", "blue b", version);
        site.host_sends(&sent(offload), &frame);
        let left = site.wire.take_sent();
        assert_eq!(left.len(), 3);
        let mut core = Nve::new(&network.changes(1));
        for (number, (left, segment)) in left.iter().zip(segments(&frame, &offload)).enumerate() {
            let mut expected = core.transmits(0, BLUE_1, &segment);
            // The outer identification counts on, where the core leaves it at 0.
            expected[18..20].copy_from_slice(&(number as u16).to_be_bytes());
            expected[24..26].fill(0);
            let sum = checksum(&expected[14..34]);
            expected[24..26].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(left, &expected, "segment {number}");
        }
        assert_eq!(site.counters(|counters| counters.totals().transmitted), 1);
    }
}

#[test]
fn between_two_machines_of_the_host_a_super_frame_stays_whole() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let (frame, offload) = super_frame(&network, "blue a", "blue near a", 0);
    site.host_sends(&sent(offload), &frame);
    let expected = Repr {
        offload,
        ..Repr::new(Kind::Delivered(PortId(1)))
    };
    assert_eq!(site.told(), [(expected, frame)]);
}

#[test]
fn a_partial_checksum_is_completed_behind_the_tunnel_unless_the_wire_does_it() {
    let network = Network::standard();
    let (frame, offload) = super_frame(&network, "blue a", "blue b", 0);
    let frame = &frame[..1042];
    let mut frame = frame.to_vec();
    frame[16..18].copy_from_slice(&1028_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&1008_u16.to_be_bytes());
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    let pseudo = pseudo_header_sum(&frame, 0);
    frame[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let offload = Offload {
        segmentation: None,
        ..offload
    };
    let mut site = Site::new(&network.changes(1));
    site.host_sends(&sent(offload), &frame);
    let mut whole = frame.clone();
    offload.checksum.unwrap().complete(&mut whole, &[]).unwrap();
    let expected = Nve::new(&network.changes(1)).transmits(0, BLUE_1, &whole);
    assert_eq!(site.wire.take_sent(), [expected]);
    site.wire.set_capabilities(Capabilities { checksum: true });
    site.host_sends(&sent(offload), &frame);
    let left = site.wire.take_sent();
    assert_eq!(left[0][42..], frame, "as the host left it");
}

#[test]
fn a_super_frame_that_cannot_be_cut_is_refused_and_counted() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let (frame, offload) = super_frame(&network, "blue a", "blue b", 0);
    let mut wrong = offload;
    wrong.segmentation.as_mut().unwrap().header_length = 41;
    site.host_sends(&sent(wrong), &frame);
    assert!(site.wire.take_sent().is_empty());
    assert_eq!(site.refused(DropReason::SuperFrame), 1);
}

#[test]
fn a_frame_from_the_wire_has_the_hash_of_its_inner_flow_and_that_flows_queue() {
    static KEY: NibbleTable = NibbleTable::new(&ToeplitzKey::VERIFICATION);
    let config = Config {
        spread: Some(Spread {
            key: &KEY,
            types: HashTypes::ALL,
            queues: IndirectionTable::new(&[4, 5, 6, 7]).unwrap(),
        }),
        ..CONFIG
    };
    let network = Network::standard();
    let mut site = Site::configured(&network.changes(1), &config);
    for version in 0..2 {
        let inner = network.datagram("blue b", "blue a", version).frame();
        let wire = Nve::new(&network.changes(2)).transmits(0, BLUE_1, &inner);
        site.wire_brings(&wire);
        let hash = rss_hash(&KEY, HashTypes::ALL, &inner, inner.len()).unwrap();
        let (repr, frame) = site.told().pop().unwrap();
        assert_eq!(frame, inner);
        assert_eq!(repr.offload.hash, Some(hash.value));
        assert_eq!(repr.queue, 4 + (hash.value % 4) as u8);
    }
}

#[test]
fn a_nic_that_validates_says_which_frames_have_the_right_checksum() {
    let config = Config {
        validates: true,
        ..CONFIG
    };
    let network = Network::standard();
    let mut site = Site::configured(&network.changes(1), &config);
    for version in 0..2 {
        let right = network.datagram("blue b", "blue a", version).frame();
        let mut wrong = right.clone();
        *wrong.last_mut().unwrap() ^= 1;
        for (inner, is_validated) in [(right, true), (wrong, false)] {
            let wire = Nve::new(&network.changes(2)).transmits(0, BLUE_1, &inner);
            site.wire_brings(&wire);
            let (repr, frame) = site.told().pop().unwrap();
            assert_eq!((repr.is_validated, frame), (is_validated, inner));
        }
    }
}

#[test]
fn what_is_to_be_completed_is_not_validated_even_if_it_happens_to_be_right() {
    let config = Config {
        validates: true,
        ..CONFIG
    };
    let network = Network::standard();
    let mut site = Site::configured(&network.changes(1), &config);
    let right = network.datagram("blue a", "blue near a", 0).frame();
    let incomplete = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 6,
        }),
        ..Offload::NONE
    };
    for (offload, is_validated) in [(Offload::NONE, true), (incomplete, false)] {
        site.host_sends(&sent(offload), &right);
        let (repr, _) = site.told().pop().unwrap();
        assert_eq!((repr.offload, repr.is_validated), (offload, is_validated));
    }
}

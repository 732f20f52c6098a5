use std::vec::Vec;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as reference;

use super::*;
use crate::wire::parse;

const OURS: MacAddress = MacAddress([6, 6, 0, 0, 0, 5]);
const THEIRS: MacAddress = MacAddress([6, 6, 0, 0, 0, 7]);
const OUR_IP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xaa, 0x1234);
const THEIR_IP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xbb, 0x5678);

fn messages() -> Vec<NeighborMessage> {
    let resolve = NeighborSolicitation::resolve(OUR_IP, OURS, THEIR_IP);
    let probe = NeighborSolicitation::probe(OUR_IP);
    std::vec![
        NeighborMessage::Solicitation(resolve),
        NeighborMessage::Solicitation(probe),
        NeighborMessage::Advertisement(resolve.reply(THEIR_IP, THEIRS, false)),
        NeighborMessage::Advertisement(resolve.reply(THEIR_IP, THEIRS, true)),
        NeighborMessage::Advertisement(probe.reply(OUR_IP, THEIRS, false)),
        NeighborMessage::Advertisement(NeighborAdvertisement::announcement(OUR_IP, OURS, true)),
    ]
}

fn emit(message: &NeighborMessage, vlan: Option<VlanId>, out: &mut [u8]) -> Option<usize> {
    match message {
        NeighborMessage::Solicitation(message) => message.emit(THEIRS, OURS, vlan, out),
        NeighborMessage::Advertisement(message) => message.emit(THEIRS, OURS, vlan, out),
    }
}

fn frame_of(message: &NeighborMessage) -> Vec<u8> {
    let mut out = std::vec![0xee; MAX_FRAME_LEN];
    let length = emit(message, None, &mut out).unwrap();
    out.truncate(length);
    out
}

/// The ICMPv6 message as smoltcp writes it, checksum included.
fn reference_bytes(message: &NeighborMessage) -> Vec<u8> {
    let link_layer = |mac: MacAddress| reference::EthernetAddress(mac.0).into();
    let (source, destination, repr) = match *message {
        NeighborMessage::Solicitation(message) => (
            message.source,
            message.destination,
            reference::NdiscRepr::NeighborSolicit {
                target_addr: message.target,
                lladdr: message.source_mac.map(link_layer),
            },
        ),
        NeighborMessage::Advertisement(message) => {
            let mut flags = reference::NdiscNeighborFlags::empty();
            flags.set(reference::NdiscNeighborFlags::ROUTER, message.router);
            flags.set(reference::NdiscNeighborFlags::SOLICITED, message.solicited);
            flags.set(reference::NdiscNeighborFlags::OVERRIDE, message.overriding);
            (
                message.source,
                message.destination,
                reference::NdiscRepr::NeighborAdvert {
                    flags,
                    target_addr: message.target,
                    lladdr: message.target_mac.map(link_layer),
                },
            )
        }
    };
    let repr = reference::Icmpv6Repr::Ndisc(repr);
    let mut bytes = std::vec![0; repr.buffer_len()];
    repr.emit(
        &source,
        &destination,
        &mut reference::Icmpv6Packet::new_unchecked(&mut bytes),
        &ChecksumCapabilities::default(),
    );
    bytes
}

fn read(frame: &[u8]) -> Result<NeighborMessage, Malformed> {
    read_neighbor_message(frame, &parse(frame, frame.len(), 0)?)
}

/// Changes a frame and makes its checksum right again, so that only the change can be refused.
fn changed(message: &NeighborMessage, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = frame_of(message);
    change(&mut frame);
    let length = frame.len() as u16 - 54;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    frame[56..58].fill(0);
    let facts = parse(&frame, frame.len(), 0).unwrap();
    let (source, destination) = (facts.source_address, facts.destination_address);
    let checksum = !transport_sum(source, destination, protocol::ICMPV6, &frame[54..]);
    frame[56..58].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn group_addresses_are_those_of_the_rfcs() {
    let group: Ipv6Addr = "ff02::1:ffaa:bbcc".parse().unwrap();
    assert_eq!(
        solicited_node("fe80::1122:33aa:bbcc".parse().unwrap()),
        group
    );
    assert_eq!(
        multicast_mac(group),
        MacAddress([0x33, 0x33, 0xff, 0xaa, 0xbb, 0xcc])
    );
}

#[test]
fn messages_are_those_of_the_reference_and_read_back() {
    for message in messages() {
        for (vlan, offset) in [(None, 14), (VlanId::new(12).ok(), 18)] {
            let mut out = [0xee; MAX_FRAME_LEN];
            let length = emit(&message, vlan, &mut out).unwrap();
            let frame = &out[..length];
            assert_eq!(frame[offset + 40..], reference_bytes(&message));
            let facts = parse(frame, frame.len(), 0).unwrap();
            assert_eq!((facts.destination, facts.source), (THEIRS, OURS));
            assert_eq!((facts.hop_limit, facts.end as usize), (255, length));
            assert_eq!(read_neighbor_message(frame, &facts), Ok(message));
            for short in 0..length {
                assert_eq!(emit(&message, vlan, &mut [0; MAX_FRAME_LEN][..short]), None);
            }
        }
    }
}

#[test]
fn an_answer_goes_to_the_asker_and_the_answer_to_a_probe_to_all() {
    let answer =
        NeighborSolicitation::resolve(OUR_IP, OURS, THEIR_IP).reply(THEIR_IP, THEIRS, true);
    assert_eq!((answer.destination, answer.target), (OUR_IP, THEIR_IP));
    assert!(answer.solicited && answer.overriding && answer.router);
    let answer = NeighborSolicitation::probe(OUR_IP).reply(OUR_IP, THEIRS, false);
    assert_eq!(answer.destination, ALL_NODES);
    assert!(!answer.solicited && answer.overriding && !answer.router);
}

#[test]
fn every_cut_frame_is_refused() {
    for message in messages() {
        let frame = frame_of(&message);
        for length in 0..frame.len() {
            assert!(read(&frame[..length]).is_err(), "{length} bytes");
            // The whole frame is there, but the window shows only a part of it.
            let read = parse(&frame[..length], frame.len(), 0)
                .and_then(|facts| read_neighbor_message(&frame[..length], &facts));
            assert!(read.is_err(), "{length} bytes of the window");
        }
    }
}

#[test]
fn every_damaged_bit_of_a_message_is_noticed() {
    for message in messages() {
        let frame = frame_of(&message);
        for bit in 54 * 8..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&damaged).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn what_rfc_4861_forbids_is_refused() {
    let resolve =
        NeighborMessage::Solicitation(NeighborSolicitation::resolve(OUR_IP, OURS, THEIR_IP));
    let probe = NeighborMessage::Solicitation(NeighborSolicitation::probe(OUR_IP));
    let announcement =
        NeighborMessage::Advertisement(NeighborAdvertisement::announcement(OUR_IP, OURS, false));
    fn refused(message: &NeighborMessage, expected: Malformed, change: fn(&mut Vec<u8>)) {
        assert_eq!(read(&changed(message, change)), Err(expected));
    }
    for message in messages() {
        assert_eq!(read(&changed(&message, |_| {})), Ok(message));
        refused(&message, Malformed::Value, |frame| frame[21] = 254);
        refused(&message, Malformed::Value, |frame| frame[54] = 133);
        refused(&message, Malformed::Value, |frame| frame[55] = 1);
        refused(&message, Malformed::Value, |frame| frame[62] = 0xff);
        refused(&message, Malformed::Truncated, |frame| frame.truncate(77));
    }
    refused(&resolve, Malformed::Options, |frame| frame[79] = 0);
    refused(&resolve, Malformed::Options, |frame| frame[79] = 2);
    refused(&resolve, Malformed::Options, |frame| frame.truncate(82));
    refused(&resolve, Malformed::Options, |frame| {
        frame.extend([SOURCE_LINK_LAYER, 1, 6, 6, 0, 0, 0, 9]);
    });
    refused(&probe, Malformed::Value, |frame| {
        frame.extend([SOURCE_LINK_LAYER, 1, 6, 6, 0, 0, 0, 5]);
    });
    refused(&probe, Malformed::Value, |frame| frame[53] ^= 1);
    refused(&announcement, Malformed::Value, |frame| {
        frame[58] |= SOLICITED
    });
}

#[test]
fn an_option_that_nobody_knows_is_passed_over() {
    let resolve =
        NeighborMessage::Solicitation(NeighborSolicitation::resolve(OUR_IP, OURS, THEIR_IP));
    let frame = changed(&resolve, |frame| {
        let nonce = [14, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
        frame.splice(78..78, nonce);
    });
    assert_eq!(read(&frame), Ok(resolve));
}

#[test]
fn a_fragmented_solicitation_is_refused_even_if_it_is_whole() {
    let frame = frame_of(&messages()[0]);
    let mut atomic = frame.clone();
    atomic.splice(54..54, [protocol::ICMPV6, 0, 0, 0, 0, 0, 0, 1]);
    atomic[19] += 8;
    atomic[20] = protocol::FRAGMENT;
    assert!(read(&frame).is_ok());
    assert_eq!(read(&atomic), Err(Malformed::Value));
}

use std::vec::Vec;

use smoltcp::time::Duration;
use smoltcp::wire as reference;

use super::*;
use crate::checksum::transport_sum;
use crate::wire::{ALL_NODES, multicast_mac, parse, protocol};

const ASKER_MAC: MacAddress = MacAddress([6, 6, 0, 0, 0, 5]);
const ROUTER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 5);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A solicitation with these options, and its checksum right.
fn solicitation(source: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(multicast_mac(ALL_ROUTERS).0);
    frame.extend(ASKER_MAC.0);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((8 + options.len() as u16).to_be_bytes());
    frame.extend([protocol::ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(ALL_ROUTERS.octets());
    frame.extend([icmpv6::ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    frame.extend(options);
    sealed(frame)
}

fn sealed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[56..58].fill(0);
    let checksum = !message_sum(&frame);
    frame[56..58].copy_from_slice(&checksum.to_be_bytes());
    frame
}

fn message_sum(frame: &[u8]) -> u16 {
    let facts = parse(frame, frame.len(), 0).unwrap();
    let (source, destination) = (facts.source_address, facts.destination_address);
    transport_sum(source, destination, protocol::ICMPV6, &frame[54..])
}

fn read(frame: &[u8]) -> Result<RouterSolicitation, Malformed> {
    read_router_solicitation(frame, &parse(frame, frame.len(), 0)?)
}

const OWN_MAC: [u8; 8] = [SOURCE_LINK_LAYER, 1, 6, 6, 0, 0, 0, 5];

#[test]
fn solicitations_are_read_with_and_without_address() {
    for (source, options, source_mac) in [
        (ASKER, &OWN_MAC[..], Some(ASKER_MAC)),
        (ASKER, &[], None),
        (Ipv6Addr::UNSPECIFIED, &[], None),
        // A nonce (RFC 3971 §5.3.2), which nobody here knows.
        (
            ASKER,
            &[
                14,
                1,
                1,
                2,
                3,
                4,
                5,
                6,
                SOURCE_LINK_LAYER,
                1,
                6,
                6,
                0,
                0,
                0,
                5,
            ],
            Some(ASKER_MAC),
        ),
    ] {
        let expected = RouterSolicitation { source, source_mac };
        assert_eq!(read(&solicitation(source, options)), Ok(expected));
    }
}

/// RFC 4861 §6.1.1.
#[test]
fn what_a_solicitation_must_not_be_is_refused() {
    let good = solicitation(ASKER, &OWN_MAC);
    let changed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        sealed(frame)
    };
    for (frame, expected) in [
        (changed(21, 254), Malformed::Value),
        (changed(55, 1), Malformed::Value),
        (changed(54, icmpv6::ROUTER_ADVERTISEMENT), Malformed::Value),
        (changed(63, 0), Malformed::Options),
        (changed(63, 2), Malformed::Options),
        (
            solicitation(Ipv6Addr::UNSPECIFIED, &OWN_MAC),
            Malformed::Value,
        ),
        (
            solicitation(ASKER, &[OWN_MAC, OWN_MAC].concat()),
            Malformed::Options,
        ),
        (solicitation(ASKER, &OWN_MAC[..7]), Malformed::Options),
    ] {
        assert_eq!(read(&frame), Err(expected));
    }
    for bit in 54 * 8..good.len() * 8 {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&damaged).is_err(), "bit {bit}");
    }
    for length in 0..good.len() {
        let facts = parse(&good[..length], good.len(), 0);
        let read = facts.and_then(|facts| read_router_solicitation(&good[..length], &facts));
        assert!(read.is_err(), "{length} bytes of the window");
    }
}

fn advertisement(prefixes: usize, mtu: Option<u16>) -> RouterAdvertisement {
    let prefix = |number: usize| PrefixInformation {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, number as u16, 0, 0, 0, 0, 0),
        length: 64 - number as u8,
        autonomous: number == 0,
    };
    RouterAdvertisement {
        source: ROUTER,
        destination: ALL_NODES,
        source_mac: ROUTER_MAC,
        hop_limit: 64,
        lifetime: 65535,
        mtu,
        prefixes: core::array::from_fn(|number| (number < prefixes).then(|| prefix(number))),
    }
}

fn frame_of(message: &RouterAdvertisement) -> Vec<u8> {
    let mut out = std::vec![0xee; RouterAdvertisement::MAX_FRAME_LEN];
    let length = message.emit(multicast_mac(ALL_NODES), &mut out).unwrap();
    out.truncate(length);
    for short in 0..length {
        let mut out = std::vec![0; short];
        assert_eq!(message.emit(multicast_mac(ALL_NODES), &mut out), None);
    }
    out
}

#[test]
fn an_advertisement_is_what_the_rfc_draws() {
    let frame = frame_of(&advertisement(2, Some(1458)));
    let mut expected = Vec::from([0x33, 0x33, 0, 0, 0, 1]);
    expected.extend(ROUTER_MAC.0);
    expected.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 96, 58, 255]);
    expected.extend(ROUTER.octets());
    expected.extend(ALL_NODES.octets());
    expected.extend([134, 0, frame[56], frame[57], 64, 0, 0xff, 0xff]);
    expected.extend([0; 8]);
    expected.extend([1, 1, 2, 0, 0, 0, 0, 1]);
    expected.extend([5, 1, 0, 0, 0, 0, 0x05, 0xb2]);
    for (number, length, flags) in [(0, 64, 0xc0), (1, 63, 0x80)] {
        expected.extend([3, 4, length, flags]);
        expected.extend([0xff; 8]);
        expected.extend([0; 4]);
        expected.extend([0x20, 0x01, 0x0d, 0xb8, 0, number]);
        expected.extend([0; 10]);
    }
    assert_eq!(frame, expected);
    assert_eq!(message_sum(&frame), 0xffff);
}

#[test]
fn the_longest_fills_the_room_and_the_shortest_has_no_options_but_the_router() {
    let longest = frame_of(&advertisement(
        RouterAdvertisement::MAX_PREFIXES,
        Some(1280),
    ));
    assert_eq!(longest.len(), RouterAdvertisement::MAX_FRAME_LEN);
    assert_eq!(message_sum(&longest), 0xffff);
    let shortest = frame_of(&advertisement(0, None));
    assert_eq!(shortest.len(), 14 + 40 + 24);
    assert_eq!(message_sum(&shortest), 0xffff);
}

#[test]
fn the_reference_reads_what_is_meant() {
    for (prefixes, mtu) in [(1, Some(1458)), (1, None), (0, Some(1280))] {
        let message = advertisement(prefixes, mtu);
        let frame = frame_of(&message);
        let packet = reference::Icmpv6Packet::new_checked(&frame[54..]).unwrap();
        let repr = reference::NdiscRepr::parse(&packet).unwrap();
        let information = message.prefixes[0].map(|_| reference::NdiscPrefixInformation {
            prefix_len: 64,
            flags: reference::NdiscPrefixInfoFlags::ON_LINK
                | reference::NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: Duration::from_secs(u64::from(u32::MAX)),
            preferred_lifetime: Duration::from_secs(u64::from(u32::MAX)),
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        });
        let expected = reference::NdiscRepr::RouterAdvert {
            hop_limit: 64,
            flags: reference::NdiscRouterFlags::empty(),
            router_lifetime: Duration::from_secs(65535),
            reachable_time: Duration::ZERO,
            retrans_time: Duration::ZERO,
            lladdr: Some(reference::EthernetAddress(ROUTER_MAC.0).into()),
            mtu: mtu.map(u32::from),
            prefix_info: information,
        };
        assert_eq!(repr, expected);
    }
}

//! The core's one pass over a frame against an independent decoder.

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};
use netvirt_core::wire::{Facts, Fragment, Malformed, Network, Notes, Tag, parse};

/// Differential: wherever etherparse accepts a frame, the core reads the same offsets, addresses, lengths, fragment
/// state and ports.
///
/// The two may differ where they are meant to:
/// - the core refuses options that do not add up, which etherparse does not read;
/// - to the core AH is what a packet carries, to etherparse it is one more header to walk;
/// - the core takes an IPv6 payload length of 0 as it stands, etherparse for a jumbogram's;
/// - the core stops at a later fragment and after 8 extension headers or 256 bytes of them;
/// - the core reads one tag, and nothing behind a second.
pub fn decoder(frame: &[u8]) {
    let Ok(theirs) = SlicedPacket::from_ethernet(frame) else {
        return;
    };
    let ours = match parse(frame, frame.len(), 0) {
        Err(Malformed::Options) => return,
        Err(Malformed::Truncated) if is_jumbogram(&theirs) => return,
        ours => ours.expect("etherparse accepts it"),
    };
    match theirs.link_exts[..] {
        [] => assert_eq!(ours.tag, Tag::None),
        [LinkExtSlice::Vlan(ref vlan)] => {
            let tci = u16::from_be_bytes([vlan.slice()[0], vlan.slice()[1]]);
            match ours.tag {
                Tag::Priority { tci: found } => assert_eq!((found, tci & 0xfff), (tci, 0)),
                Tag::Vlan { tci: found } => assert_eq!((found, tci & 0xfff == 0), (tci, false)),
                other => panic!("{other:?}"),
            }
        }
        [LinkExtSlice::Vlan(_), LinkExtSlice::Vlan(_), ..] => {
            return assert_eq!(ours.tag, Tag::Stacked);
        }
        // A MACsec header is an EtherType like any other.
        _ => return,
    }
    match &theirs.net {
        None => assert!(!ours.is_ip()),
        Some(NetSlice::Arp(_)) => assert_eq!(ours.network, Network::Arp),
        Some(NetSlice::Ipv4(packet)) => {
            let header = packet.header();
            assert_eq!(ours.network, Network::Ipv4);
            assert_eq!(ours.source_ip(), Some(header.source_addr().into()));
            assert_eq!(
                ours.destination_ip(),
                Some(header.destination_addr().into())
            );
            assert_eq!(ours.hop_limit, header.ttl());
            let class = header.dcp().value() << 2 | header.ecn().value();
            assert_eq!(ours.traffic_class, class);
            assert_eq!(ours.dont_fragment, header.dont_fragment());
            assert_eq!(ours.protocol, header.protocol().0);
            let offset = header.fragments_offset().value();
            check_fragment(&ours, offset, header.more_fragments());
            assert_eq!(
                usize::from(ours.transport_offset) - usize::from(ours.network_offset),
                header.slice().len()
            );
            let end = usize::from(ours.network_offset) + usize::from(header.total_len());
            assert_eq!(ours.end as usize, end);
            assert_eq!(
                ours.notes.contains(Notes::IPV4_OPTIONS),
                !header.options().is_empty()
            );
            if packet.extensions().auth.is_none() {
                check_transport(&ours, &theirs);
            }
        }
        Some(NetSlice::Ipv6(packet)) => {
            let header = packet.header();
            assert_eq!(ours.network, Network::Ipv6);
            assert_eq!(ours.source_ip(), Some(header.source_addr().into()));
            assert_eq!(
                ours.destination_ip(),
                Some(header.destination_addr().into())
            );
            assert_eq!(ours.hop_limit, header.hop_limit());
            assert_eq!(ours.traffic_class, header.traffic_class());
            let end = usize::from(ours.network_offset) + 40 + usize::from(header.payload_length());
            assert_eq!(ours.end as usize, end);
            let is_walked_alike = header.payload_length() != 0
                && ours.fragment != Fragment::Later
                && ours.protocol != 51
                && !ours.notes.contains(Notes::CHAIN_TOO_LONG);
            if is_walked_alike {
                let payload = packet.payload();
                assert_eq!(ours.protocol, payload.ip_number.0);
                assert_eq!(ours.transport(frame), payload.payload);
                assert_eq!(ours.fragment != Fragment::Whole, payload.fragmented);
                check_transport(&ours, &theirs);
            }
        }
    }
}

fn is_jumbogram(packet: &SlicedPacket<'_>) -> bool {
    matches!(&packet.net, Some(NetSlice::Ipv6(packet)) if packet.header().payload_length() == 0)
}

fn check_fragment(ours: &Facts, offset: u16, more: bool) {
    let expected = match (offset, more) {
        (0, false) => Fragment::Whole,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    };
    assert_eq!(ours.fragment, expected);
    assert_eq!(ours.notes.contains(Notes::FRAGMENT_AT_8), offset == 1);
}

fn check_transport(ours: &Facts, theirs: &SlicedPacket<'_>) {
    let ports = match &theirs.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => return,
    };
    assert_eq!(ours.fragment, Fragment::Whole);
    assert_eq!(((ours.ports >> 16) as u16, ours.ports as u16), ports);
    assert!(!ours.notes.contains(Notes::TRANSPORT_TRUNCATED));
}

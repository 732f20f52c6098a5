//! What holds for any bytes: nothing panics, and no offset leaves the frame.

use netvirt_core::wire::{
    ArpMessage, Facts, GrePacket, GreRepr, IcmpHeader, NvgrePacket, NvgreRepr, VlanPacket,
    VlanRepr, ipv4_header_is_valid, parse, read_gre, read_neighbor_message,
};
use netvirt_core::{AddressBits, Family, Vsid};
use proptest::prelude::*;
use smoltcp::wire as reference;

/// Random bytes, with an Ethernet header and an IP version in front so that most of them get far.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let network = prop_oneof![
        Just((&[0x08, 0x00][..], 0x45)),
        Just((&[0x08, 0x00][..], 0x48)),
        Just((&[0x86, 0xdd][..], 0x60)),
        Just((&[0x81, 0x00, 0x00, 0x05, 0x08, 0x00][..], 0x45)),
        Just((&[0x88, 0xa8, 0x20, 0x00, 0x86, 0xdd][..], 0x60)),
        Just((&[0x08, 0x06][..], 0)),
        Just((&[][..], 0)),
    ];
    // Extension headers, protocols with ports, ICMP, GRE and anything.
    let protocol = prop_oneof![
        prop::sample::select(vec![0u8, 43, 44, 60, 6, 17, 1, 58, 47]),
        any::<u8>(),
    ];
    let payload = prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..400);
    (network, protocol, payload, any::<bool>()).prop_map(|(network, protocol, payload, fits)| {
        let (ethertype, version) = network;
        let mut frame = vec![0x06; 12];
        frame.extend(ethertype);
        let start = frame.len();
        frame.extend(payload);
        let length = frame.len() - start;
        let mut set = |at: usize, value: u8| {
            if let Some(byte) = frame.get_mut(start + at) {
                *byte = value;
            }
        };
        if version != 0 {
            set(0, version);
            set(if version == 0x60 { 6 } else { 9 }, protocol);
        }
        if fits {
            let (at, stated) = match version {
                0x60 => (4, length.saturating_sub(40)),
                _ => (2, length),
            };
            set(at, (stated >> 8) as u8);
            set(at + 1, stated as u8);
        }
        frame
    })
}

fn check_bounds(facts: &Facts, window: &[u8], total_length: usize, offset: usize) {
    let network = usize::from(facts.network_offset);
    let transport = usize::from(facts.transport_offset);
    assert!(offset + 14 <= network);
    assert!(network <= transport && transport <= window.len());
    assert!(transport <= facts.end as usize && facts.end as usize <= total_length);
    let end = window.len().min(facts.end as usize);
    let expected = match facts.is_ip() {
        true => &window[transport..end],
        false => &[],
    };
    assert_eq!(facts.transport(window), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn parsing_never_panics_and_stays_inside_the_frame(
        frame in frames(),
        offset in prop_oneof![3 => Just(0), 1 => 0usize..500],
        cut in 0usize..500,
    ) {
        let window = &frame[..frame.len() - cut.min(frame.len() / 2)];
        if let Ok(facts) = parse(window, frame.len(), offset) {
            check_bounds(&facts, window, frame.len(), offset);
            let _ = ipv4_header_is_valid(window, &facts);
            let _ = IcmpHeader::read(window, &facts);
            let _ = read_neighbor_message(window, &facts);
            let _ = format!("{facts} {facts:?}");
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        offset in prop_oneof![0usize..70, Just(usize::MAX)],
    ) {
        let _ = parse(&bytes, bytes.len(), offset);
        let _ = parse(&bytes, usize::MAX, offset);
        let _ = read_gre(&bytes, offset);
        let _ = ArpMessage::parse(&bytes);
        let _ = GreRepr::parse(&GrePacket::new_unchecked(&bytes));
        let _ = NvgreRepr::parse(&NvgrePacket::new_unchecked(&bytes));
        let _ = VlanRepr::parse(&VlanPacket::new_unchecked(&bytes));
        let mut written = bytes.clone();
        let mut packet = GrePacket::new_unchecked(&mut written);
        packet.set_key(1);
        packet.set_sequence(2);
        packet.fill_checksum();
        packet.payload_mut().fill(3);
    }

    #[test]
    fn addresses_agree_with_smoltcp(frame in frames()) {
        let Ok(facts) = parse(&frame, frame.len(), 0) else { return Ok(()) };
        let packet = &frame[usize::from(facts.network_offset)..facts.end as usize];
        match facts.family() {
            Some(Family::Ipv4) => {
                let packet = reference::Ipv4Packet::new_checked(packet).unwrap();
                prop_assert_eq!(facts.source_ip(), Some(packet.src_addr().into()));
                prop_assert_eq!(facts.destination_ip(), Some(packet.dst_addr().into()));
                prop_assert_eq!(facts.protocol, u8::from(packet.next_header()));
                prop_assert_eq!(facts.transport(&frame), packet.payload());
                prop_assert_eq!(ipv4_header_is_valid(&frame, &facts), packet.verify_checksum());
                prop_assert_eq!(facts.dont_fragment, packet.dont_frag());
                prop_assert_eq!(facts.traffic_class, packet.dscp() << 2 | packet.ecn());
            }
            Some(Family::Ipv6) => {
                let packet = reference::Ipv6Packet::new_checked(packet).unwrap();
                prop_assert_eq!(facts.source_address, AddressBits::from_ip(packet.src_addr().into()));
                prop_assert_eq!(facts.destination_ip(), Some(packet.dst_addr().into()));
                prop_assert_eq!(facts.hop_limit, packet.hop_limit());
                prop_assert_eq!(facts.traffic_class, packet.traffic_class());
            }
            None => prop_assert_eq!(facts.source_ip(), None),
        }
    }

    #[test]
    fn gre_headers_survive_emit_and_parse(
        protocol: u16,
        checksum: bool,
        key: Option<u32>,
        sequence: Option<u32>,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let repr = GreRepr { protocol, checksum, key, sequence };
        let mut bytes = vec![0; repr.buffer_len()];
        bytes.extend(&payload);
        repr.emit(&mut GrePacket::new_unchecked(&mut bytes));
        let packet = GrePacket::new_checked(&bytes).unwrap();
        prop_assert_eq!(GreRepr::parse(&packet), Ok(repr));
        prop_assert_eq!(packet.payload(), payload);
        let header = read_gre(&bytes, 0).unwrap();
        prop_assert_eq!((header.key, header.sequence), (key, sequence));
        prop_assert_eq!(header.payload_offset, repr.buffer_len());
    }

    #[test]
    fn nvgre_headers_survive_emit_and_parse(vsid in 0x1000u32..=0xff_fffe, flow_id: u8) {
        let repr = NvgreRepr { vsid: Vsid::new(vsid).unwrap(), flow_id };
        let mut packet = NvgrePacket::new_unchecked([0xff; 8]);
        repr.emit(&mut packet);
        prop_assert_eq!(NvgreRepr::parse(&packet), Ok(repr));
        let header = read_gre(&packet.into_inner(), 0).unwrap();
        prop_assert_eq!(header.key.map(NvgreRepr::of_key), Some(Ok(repr)));
    }
}

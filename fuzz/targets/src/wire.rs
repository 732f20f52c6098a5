//! Every parser of the core's wire formats, and what it parsed written again.

use netvirt_core::wire::*;
use netvirt_core::{AddressBits, Family};

use crate::packet::{self, sum};

/// Every wire parser: no offset leaves the frame, what is read stands there, and what is written reads the same.
///
/// The first byte says how much of the frame lies in the window, the second how many bytes stand before it.
pub fn wire(data: &[u8]) {
    let [cut, before, bytes @ ..] = data else {
        return;
    };
    formats(bytes);
    let offset = usize::from(*before % 64).min(bytes.len());
    let window = &bytes[..bytes.len() - usize::from(*cut).min(bytes.len())];
    for (window, offset) in [(bytes, 0), (window, offset)] {
        if let Ok(facts) = parse(window, bytes.len(), offset) {
            check_facts(&facts, window, bytes, offset);
        }
    }
    let _ = parse(bytes, usize::MAX, offset);
    let _ = parse(bytes, bytes.len(), usize::MAX);
}

fn check_facts(facts: &Facts, window: &[u8], frame: &[u8], offset: usize) {
    let network = usize::from(facts.network_offset);
    let transport = usize::from(facts.transport_offset);
    assert!(offset + 14 <= network);
    assert!(network <= transport && transport <= window.len());
    assert!(transport <= facts.end as usize && facts.end as usize <= frame.len());
    let end = window.len().min(facts.end as usize);
    let expected = match facts.is_ip() {
        true => &window[transport..end],
        false => &[],
    };
    assert_eq!(facts.transport(window), expected);
    let _ = format!("{facts} {facts:?}");

    let header = &window[network..transport];
    let is_intact = facts.network == Network::Ipv4 && sum(&[header]) == 0xffff;
    assert_eq!(ipv4_header_is_valid(window, facts), is_intact);
    if facts.fragment != Fragment::Whole {
        assert_eq!(facts.ports, 0, "a fragment has no ports");
    }
    if let Some(icmp) = IcmpHeader::read(window, facts) {
        assert_eq!(icmp.to_bytes()[..], window[transport..][..IcmpHeader::LEN]);
        check_echo(icmp, facts, window);
    }
    if let Ok(message) = read_neighbor_message(window, facts) {
        check_neighbour(&message, facts, window);
    }
    if is_listener_query(window, facts) {
        assert_eq!((facts.protocol, facts.hop_limit), (58, 1));
        assert_eq!(transport_sum(facts, window), 0xffff);
    }
    check_listener_report(facts);
}

fn transport_sum(facts: &Facts, window: &[u8]) -> u16 {
    let (Some(from), Some(to)) = (facts.source_ip(), facts.destination_ip()) else {
        return 0;
    };
    let message = facts.transport(window);
    packet::transport_sum(from, to, facts.protocol, message)
}

/// The answer to an echo has a checksum as right or wrong as the request had.
fn check_echo(icmp: IcmpHeader, facts: &Facts, window: &[u8]) {
    let Some(reply) = facts.family().and_then(|family| icmp.echo_reply(family)) else {
        return;
    };
    let message = facts.transport(window);
    let mut answer = reply.to_bytes().to_vec();
    answer.extend(&message[IcmpHeader::LEN..]);
    assert_eq!(sum(&[&answer]) % 0xffff, sum(&[message]) % 0xffff);
}

/// The message in a frame of our own says the same.
fn check_neighbour(message: &NeighborMessage, facts: &Facts, window: &[u8]) {
    assert_eq!(transport_sum(facts, window), 0xffff);
    let mut frame = [0xaa; 128];
    let (destination, source) = (facts.destination, facts.source);
    let length = match message {
        NeighborMessage::Solicitation(it) => it.emit(destination, source, None, &mut frame),
        NeighborMessage::Advertisement(it) => it.emit(destination, source, None, &mut frame),
    };
    let frame = &frame[..length.unwrap()];
    let again = parse(frame, frame.len(), 0).unwrap();
    assert_eq!(read_neighbor_message(frame, &again), Ok(*message));
    assert_eq!(
        (again.destination, again.source),
        (facts.destination, facts.source)
    );
}

fn check_listener_report(facts: &Facts) {
    if facts.family() != Some(Family::Ipv6) {
        return;
    }
    let group = facts.destination_address.to_ipv6().into();
    let mut frame = [0xaa; ListenerReport::MAX_FRAME_LEN];
    let length = ListenerReport { group }
        .emit(facts.source, None, &mut frame)
        .unwrap();
    let frame = &frame[..length];
    let report = parse(frame, length, 0).unwrap();
    assert_eq!((report.protocol, report.hop_limit), (58, 1));
    assert_eq!(transport_sum(&report, frame), 0xffff);
    let written: [u8; 16] = frame[length - 16..].try_into().unwrap();
    assert_eq!(
        AddressBits::from_ipv6(written),
        facts.destination_address,
        "the group stands last"
    );
}

/// The formats that stand for themselves, each read from the front of the bytes.
fn formats(bytes: &[u8]) {
    check_gre(bytes);
    if let Ok(message) = ArpMessage::parse(bytes) {
        let mut frame = [0xaa; ArpMessage::MAX_FRAME_LEN];
        let (mac, to) = (message.sender_mac, message.target_mac);
        let length = message.emit(to, mac, None, &mut frame).unwrap();
        assert_eq!(frame[14..length], bytes[..ArpMessage::LEN]);
        assert_eq!(
            message.reply(to).reply(mac).sender_ip,
            message.sender_ip,
            "asked back, it is the same question"
        );
    }
    let packet = NvgrePacket::new_unchecked(bytes);
    if let Ok(repr) = NvgreRepr::parse(&packet) {
        let mut written = bytes.to_vec();
        written[..NvgreRepr::HEADER_LEN].fill(0xaa);
        repr.emit(&mut NvgrePacket::new_unchecked(&mut written));
        assert_eq!(written[..2], [0x20, 0], "no reserved bits are sent");
        assert_eq!(written[2..], bytes[2..]);
    }
    if let Ok(repr) = VlanRepr::parse(&VlanPacket::new_unchecked(bytes)) {
        let mut written = bytes.to_vec();
        written[..repr.buffer_len()].fill(0xaa);
        repr.emit(&mut VlanPacket::new_unchecked(&mut written));
        assert_eq!(written, bytes);
    }
}

fn check_gre(bytes: &[u8]) {
    let packet = GrePacket::new_unchecked(bytes);
    let naive = packet::Gre::read(bytes);
    match read_gre(bytes, 0) {
        Ok(header) => {
            let naive = naive.expect("a header that is whole and of RFC 2784");
            assert_eq!(header.key, naive.key);
            assert_eq!(header.sequence, naive.sequence);
            assert_eq!(bytes[header.payload_offset..], *naive.payload);
            assert_eq!(packet.payload(), naive.payload);
        }
        Err(GreError::Version(version)) => assert_eq!(version, bytes[1] & 7),
        Err(GreError::Routing) => assert_ne!(bytes[0] & 0x4c, 0),
        Err(_) => assert_eq!(naive, None),
    }
    let Ok(repr) = GreRepr::parse(&packet) else {
        return;
    };
    let mut written = bytes.to_vec();
    written[..repr.buffer_len()].fill(0xaa);
    repr.emit(&mut GrePacket::new_unchecked(&mut written));
    let again = GrePacket::new_unchecked(&written);
    assert_eq!(GreRepr::parse(&again), Ok(repr));
    assert_eq!(again.payload(), packet.payload());
}

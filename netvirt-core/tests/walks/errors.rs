//! Walks 4, 5, 7 and 8: what the gateway says of packets that go no further, to whom, and how often.

use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::limit::RateLimit;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// The gateways of blue's first subnet.
const GATEWAYS: [&str; 2] = ["10.0.0.1", "2001:db8:1::1"];

/// The error about a frame, as it is to be.
fn error(frame: &[u8], version: usize, kind: [u8; 2], rest: u32) -> Vec<u8> {
    let (protocol, longest) = [(1, 576 - 28), (58, 1280 - 48)][version];
    let packet = &frame[14..];
    let mut message = vec![kind[0], kind[1], 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(&packet[..packet.len().min(longest)]);
    let sender = match version {
        0 => std::net::Ipv4Addr::from_octets(packet[12..16].try_into().unwrap()).into(),
        _ => std::net::Ipv6Addr::from_octets(packet[8..24].try_into().unwrap()).into(),
    };
    fill_transport(ip(GATEWAYS[version]), sender, protocol, &mut message);
    let error = Packet::raw(GATEWAYS[version], &sender.to_string(), protocol, &message);
    let error = error.with(|error| {
        error.destination_mac = MacAddress(frame[6..12].try_into().unwrap());
        error.source_mac = ROUTER;
        error.identification = 0;
        error.traffic_class = 0xc0;
    });
    error.frame()
}

fn of_length(network: &Network, to: &str, version: usize, length: usize) -> Packet {
    let (a, b) = (network.machine("blue a"), network.machine(to));
    let first_hop = if a.vsid == b.vsid { b.mac } else { ROUTER };
    Packet::of_length(a.addresses[version], b.addresses[version], length).between(a.mac, first_hop)
}

#[test]
fn spec_3_8_a_packet_too_big_for_its_path_is_told_what_fits() {
    for (outer, mtu, limit) in [(Outer::V4, 1500, 1458), (Outer::V6, 1600, 1538)] {
        let network = Network::standard().with(|network| {
            network.outer = outer;
            network.mtu = mtu;
        });
        let mut host = Nve::new(&network.changes(1));
        for version in 0..2 {
            for to in ["blue b", "blue c"] {
                for length in [limit + 1, 9000] {
                    let frame = of_length(&network, to, version, length).frame();
                    let told = host.explains(0, BLUE_1, &frame, DropReason::TooBig);
                    let kind = [[3, 4], [2, 0]][version];
                    assert_eq!(told, error(&frame, version, kind, limit as u32), "{length}");
                }
            }
        }
    }
}

#[test]
fn spec_3_8_under_rewrite_the_whole_of_the_link_fits() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    let mut host = Nve::new(&network.changes(1));
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    for version in 0..2 {
        let packet = Packet::of_length(a.addresses[version], b.addresses[version], 1501);
        let frame = packet.between(a.mac, b.mac).frame();
        let told = host.explains(4, GREEN_1, &frame, DropReason::TooBig);
        let kind = [[3, 4], [2, 0]][version];
        assert_eq!(told, error(&frame, version, kind, 1500));
    }
}

#[test]
fn spec_3_4_a_packet_that_was_passed_on_too_often_is_quoted_as_it_came() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for version in 0..2 {
        for hop_limit in [0, 1] {
            for to in ["blue c", "blue near c"] {
                let packet = network.datagram("blue a", to, version);
                let frame = packet.with(|packet| packet.hop_limit = hop_limit).frame();
                let told = host.explains(0, BLUE_1, &frame, DropReason::TtlExceeded);
                let kind = [[11, 0], [3, 0]][version];
                assert_eq!(told, error(&frame, version, kind, 0));
            }
        }
    }
}

#[test]
fn spec_3_5_and_3_7_nobody_there_and_no_way_there_are_told_where_policy_says_so() {
    let silent = Network::standard().with(|network| network.routes.clear());
    let telling = silent
        .clone()
        .with(|network| network.settings.unreachables = true);
    let absent = [
        ["10.0.0.77", "2001:db8:1::77"],
        ["10.9.9.9", "2001:db8:9::9"],
    ];
    let kinds = [[[3, 1], [1, 3]], [[3, 0], [1, 0]]];
    let reasons = [DropReason::NoRecord, DropReason::NoRoute];
    for (row, reason) in reasons.into_iter().enumerate() {
        for version in 0..2 {
            let a = silent.machine("blue a");
            let packet = Packet::udp(a.addresses[version], absent[row][version], b"who?");
            let frame = packet.between(a.mac, ROUTER).frame();
            Nve::new(&silent.changes(1)).refuses(0, BLUE_1, &frame, reason);
            let mut host = Nve::new(&telling.changes(1));
            let told = host.explains(0, BLUE_1, &frame, reason);
            assert_eq!(told, error(&frame, version, kinds[row][version], 0));
        }
    }
}

/// RFC 1122 §3.2.2, RFC 4443 §2.4 (e).
#[test]
fn nothing_is_told_about_errors_and_later_fragments() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let expired = |version: usize, protocol: u8, transport: &[u8]| {
        let (a, c) = (network.machine("blue a"), network.machine("blue c"));
        Packet::raw(
            a.addresses[version],
            c.addresses[version],
            protocol,
            transport,
        )
        .between(a.mac, ROUTER)
        .with(|packet| packet.hop_limit = 1)
    };
    let message = |kind: u8| [kind, 0, 0, 0, 0, 0, 0, 0];
    for version in 0..2 {
        let protocol = [1, 58][version];
        for kind in 0..=255 {
            // Neighbour discovery is not routed at all, and redirects are refused before.
            if [kind == 5, (133..=137).contains(&kind)][version] {
                continue;
            }
            let is_error = match version {
                0 => matches!(kind, 3 | 4 | 11 | 12),
                _ => kind < 128,
            };
            let frame = expired(version, protocol, &message(kind)).frame();
            host.now += Duration::from_secs(1);
            match is_error {
                true => host.refuses(0, BLUE_1, &frame, DropReason::TtlExceeded),
                false => drop(host.explains(0, BLUE_1, &frame, DropReason::TtlExceeded)),
            }
        }
        // A message too short to tell may be an error.
        let frame = expired(version, protocol, &[]).frame();
        host.refuses(0, BLUE_1, &frame, DropReason::TtlExceeded);
        // So may one behind more headers than are walked.
        if version == 1 {
            let frame = expired(version, 58, &message(128))
                .with(|packet| packet.extensions = vec![(60, vec![0, 0, 1, 4, 0, 0, 0, 0]); 9])
                .frame();
            host.refuses(0, BLUE_1, &frame, DropReason::TtlExceeded);
        }
        let fragment = |word: u16| {
            let packet = expired(version, 17, &[7; 16]);
            packet.with(|packet| packet.fragment = word).frame()
        };
        host.refuses(0, BLUE_1, &fragment(0x2003), DropReason::TtlExceeded);
        host.refuses(0, BLUE_1, &fragment(0x0003), DropReason::TtlExceeded);
        drop(host.explains(0, BLUE_1, &fragment(0x2000), DropReason::TtlExceeded));
    }
}

#[test]
fn spec_3_8_errors_are_as_frequent_as_the_limit_allows() {
    let network = Network::standard().with(|network| {
        network.settings.errors = RateLimit {
            per_second: 10,
            burst: 3,
        };
    });
    let mut host = Nve::new(&network.changes(1));
    host.now = Duration::from_secs(1000);
    let frame = of_length(&network, "blue b", 0, 1559).frame();
    let near = of_length(&network, "blue b", 0, 1559).with(|packet| {
        let near = network.machine("blue near a");
        packet.source = ip(near.addresses[0]);
        packet.source_mac = near.mac;
    });
    let told = |host: &mut Nve, port: u32, frame: &[u8]| {
        host.counted();
        let fate = host.take_from_port(port, frame);
        let counted = host.counted();
        match fate {
            Fate::Explained(DropReason::TooBig, _) => true,
            Fate::Dropped(DropReason::TooBig) => {
                let (bytes, reason) = (frame.len(), DropReason::TooBig);
                let expected = counted_refused(reason, port, BLUE_1, bytes);
                let expected = expected.replacen("too_big", "errors_suppressed 1, too_big", 1);
                assert_eq!(counted, expected);
                false
            }
            other => panic!("{other:?}"),
        }
    };
    let burst = |host: &mut Nve, port, frame: &[u8]| -> usize {
        (0..20).filter(|_| told(host, port, frame)).count()
    };
    assert_eq!(burst(&mut host, 0, &frame), 3);
    // Each port has its own.
    assert_eq!(burst(&mut host, 1, &near.frame()), 3);
    assert_eq!(burst(&mut host, 0, &frame), 0);
    host.now += Duration::from_millis(100);
    assert_eq!(burst(&mut host, 0, &frame), 1);
    host.now += Duration::from_millis(250);
    assert_eq!(burst(&mut host, 0, &frame), 2);
    host.now += Duration::from_secs(60);
    assert_eq!(burst(&mut host, 0, &frame), 3);
}

#[test]
fn an_answer_that_is_lost_leaves_the_reason_that_it_had() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let bytes = of_length(&network, "blue b", 0, 1559).frame();
    let frame = Frame::whole(Ingress::Port(PortId(0)), &bytes);
    let verdict = host.worker.process(host.policies.live(), &frame, host.now);
    host.worker
        .counters_mut()
        .lost(&frame, &verdict, DropReason::PortFull);
    let expected = counted_refused(DropReason::TooBig, 0, BLUE_1, bytes.len());
    assert_eq!(host.counted(), expected);
}

/// RFC 1122 §3.2.2: nobody is told that a packet for all machines of a subnet found nobody.
#[test]
fn spec_3_10_nothing_is_told_about_directed_broadcasts() {
    let network = Network::standard().with(|network| network.settings.unreachables = true);
    let mut host = Nve::new(&network.changes(1));
    let a = network.machine("blue a");
    let nobody = |address: &str, to: MacAddress| {
        Packet::udp(a.addresses[0], address, b"x")
            .between(a.mac, to)
            .frame()
    };
    let near = network.machine("blue b").mac;
    host.refuses(0, BLUE_1, &nobody("10.0.0.255", near), DropReason::NoRecord);
    host.refuses(
        0,
        BLUE_1,
        &nobody("10.0.1.255", ROUTER),
        DropReason::NoRecord,
    );
    drop(host.explains(0, BLUE_1, &nobody("10.0.0.254", near), DropReason::NoRecord));
    drop(host.explains(
        0,
        BLUE_1,
        &nobody("10.0.1.254", ROUTER),
        DropReason::NoRecord,
    ));
}

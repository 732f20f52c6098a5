//! ICMP errors of routers of the provider network, about rewritten packets: machines hear them from their own gateway.

use std::time::Duration;

use netvirt_core::datapath::*;
use netvirt_core::limit::RateLimit;

use super::quotes::*;
use super::rewrite::readdressed;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

#[test]
fn spec_1_7_8_routers_of_the_provider_network_tell_machines_in_their_own_words() {
    let network = Network::standard();
    let (a, b) = (network.machine("green a"), network.machine("green b"));
    let mut host = Nve::new(&network.changes(1));
    for version in &VERSIONS {
        for packet in version.packets() {
            let packet = packet.between(a.mac, b.mac);
            let sent = host.transmits(4, GREEN_1, &packet.frame());
            host.now += Duration::from_secs(1);
            for kind in version.kinds {
                for length in [version.header + 8, packet.ip_packet().len()] {
                    let quote = &sent[14..14 + length];
                    let told = error(version.router, version.a[1], kind, rest(1400), quote)
                        .with(|packet| packet.hop_limit = 1)
                        .between(host_mac(2), host_mac(1));
                    let quote = &packet.ip_packet()[..length];
                    let expected = error(version.gateway, version.a[0], kind, rest(1400), quote)
                        .with(|packet| packet.hop_limit = 1)
                        .between(ROUTER, a.mac);
                    assert_eq!(host.tells(4, GREEN_1, &told.frame()), expected.frame());
                }
            }
        }
    }
}

#[test]
fn spec_1_7_8_of_packets_to_other_subnets_too() {
    let network = Network::standard();
    let (a, c) = (network.machine("green a"), network.machine("green c"));
    let mut host = Nve::new(&network.changes(1));
    for (number, version) in VERSIONS.iter().enumerate() {
        let packet = network.datagram("green a", "green c", number);
        let sent = host.transmits(4, GREEN_1, &packet.frame());
        let kind = version.kinds[1];
        let told = error(version.router, version.a[1], kind, rest(1400), &sent[14..])
            .between(host_mac(2), host_mac(1));
        let quoted = packet.with(|packet| packet.hop_limit -= 1);
        assert_eq!(quoted.destination, ip(c.addresses[number]));
        let expected = error(
            version.gateway,
            version.a[0],
            kind,
            rest(1400),
            &quoted.ip_packet(),
        );
        assert_eq!(
            host.tells(4, GREEN_1, &told.frame()),
            expected.between(ROUTER, a.mac).frame()
        );
    }
}

#[test]
fn spec_1_7_8_routers_are_believed_only_about_what_the_machine_may_have_sent() {
    let network = peered();
    for (version, other, red, own) in [
        (&V4, "192.168.4.206", "192.168.4.109", "192.168.4.11"),
        (&V6, "fd00:4::206", "fd00:4::109", "fd00:4::11"),
    ] {
        let packet = Packet::udp(version.a[0], version.b[0], b"hello");
        for (source, destination) in [
            // Of another machine.
            (version.b[1], version.a[1]),
            (other, version.b[1]),
            // Nobody's, a stranger's, one of another tenant to which no route leads.
            (version.a[1], version.router),
            (version.a[1], own),
            (version.a[1], red),
            (version.a[0], version.b[0]),
        ] {
            let hidden = readdressed(&packet, source, destination).ip_packet();
            for kind in version.kinds {
                arrives_in_vain(
                    &network,
                    version.router,
                    version,
                    kind,
                    &hidden,
                    DropReason::IcmpInnerUnknown,
                );
            }
        }
        let hidden = version.hidden(&packet).ip_packet();
        for (source, reason) in [
            (own, DropReason::OuterSrcBad),
            (
                if version.header == 20 {
                    "224.0.0.1"
                } else {
                    "ff02::1"
                },
                DropReason::SrcPaUnknown,
            ),
        ] {
            arrives_in_vain(&network, source, version, version.kinds[0], &hidden, reason);
        }
        // A router has nothing else to say to a machine.
        let echo = Packet::echo(version.router, version.a[1], b"x");
        let frame = echo.between(host_mac(2), host_mac(1)).frame();
        Nve::new(&network.changes(1)).refuses_uplink(
            Some(GREEN_1),
            &frame,
            DropReason::SrcPaUnknown,
        );
    }
}

#[test]
fn spec_1_7_8_a_domain_that_may_send_to_another_hears_of_its_packets() {
    let network = peered();
    let mut host = Nve::new(&network.changes(2));
    let packet = network.datagram("red b", "green a", 0);
    let sent = host.transmits(2, RED_1, &packet.frame());
    let told = error(V4.router, "192.168.4.109", 3, [0, 0, 5, 0x78], &sent[14..])
        .between(host_mac(1), host_mac(2));
    let quoted = packet.with(|packet| packet.hop_limit -= 1);
    let expected = error(
        "10.9.0.1",
        "10.9.0.7",
        3,
        [0, 0, 5, 0x78],
        &quoted.ip_packet(),
    );
    assert_eq!(
        host.tells(2, RED_1, &told.frame()),
        expected
            .between(ROUTER, network.machine("red b").mac)
            .frame()
    );
}

/// A router says that a packet of green a to green b does not fit.
fn too_big(version: &Version, mtu: u16) -> Vec<u8> {
    let kind = [version.kinds[0], version.kinds[1]][usize::from(version.header == 40)];
    let packet = version.hidden(&Packet::udp(version.a[0], version.b[0], b"hello"));
    error(
        version.router,
        version.a[1],
        kind,
        rest(mtu),
        &packet.ip_packet(),
    )
    .between(host_mac(2), host_mac(1))
    .with(|told| told.transport[1] = [4, 0][usize::from(version.header == 40)])
    .checked()
    .frame()
}

fn rest(mtu: u16) -> [u8; 4] {
    let [high, low] = mtu.to_be_bytes();
    [0, 0, high, low]
}

#[test]
fn spec_6_icmp_no_router_is_believed_that_a_link_carries_less_than_every_link_does() {
    let network = Network::standard();
    for (version, least) in [(&V4, 576), (&V6, 1280)] {
        let mut host = Nve::new(&network.changes(1));
        for mtu in [least, least + 1, 1500, 9000] {
            host.tells(4, GREEN_1, &too_big(version, mtu));
        }
        for mtu in [0, 68, least - 1] {
            let frame = too_big(version, mtu);
            host.refuses_uplink(Some(GREEN_1), &frame, DropReason::SrcPaUnknown);
        }
    }
}

#[test]
fn spec_6_icmp_storm_routers_are_heard_as_often_as_the_gateway_may_speak() {
    let network = Network::standard().with(|network| {
        network.settings.errors = RateLimit {
            per_second: 10,
            burst: 3,
        };
    });
    let mut host = Nve::new(&network.changes(1));
    host.now = Duration::from_secs(1000);
    let frame = too_big(&V4, 1400);
    for _ in 0..3 {
        host.tells(4, GREEN_1, &frame);
    }
    let refused = |host: &mut Nve| {
        host.counted();
        assert_eq!(
            host.take_from_uplink(&frame),
            Fate::Dropped(DropReason::ErrorLimit)
        );
        let counted = counted_refused_uplink(DropReason::ErrorLimit, Some(GREEN_1), frame.len());
        assert_eq!(host.counted(), counted);
    };
    refused(&mut host);
    host.now += Duration::from_millis(100);
    host.tells(4, GREEN_1, &frame);
    refused(&mut host);
}

/// RFC 4950, RFC 5837: such extensions name labels, interfaces and addresses of the provider network.
#[test]
fn spec_1_7_8_extensions_tell_of_the_provider_network_and_stay_in_it() {
    let network = Network::standard();
    let a = network.machine("green a");
    let structure = hex("2000 0000 0010 0101 00000000 c0a80469 c0a804cf 0a000005");
    for (version, kinds, length, odd) in [
        (&V4, vec![3, 11, 12], [0x5a, 32, 5, 0x78], true),
        (&V4, vec![3, 11, 12], [0x5a, 33, 5, 0x78], false),
        (&V6, vec![1, 3], [16, 0x5a, 0, 0], true),
        (&V6, vec![1, 3], [17, 0x5a, 0, 0], false),
    ] {
        let mut host = Nve::new(&network.changes(1));
        let (at, unit) = [(1, 4), (0, 8)][usize::from(version.header == 40)];
        let quote = |packet: &Packet| {
            let mut quote = packet.ip_packet();
            quote.resize(usize::from(length[at]) * unit, 0);
            quote
        };
        for packet in version.packets() {
            host.now += Duration::from_secs(1);
            for kind in &kinds {
                let hidden = quote(&version.hidden(&packet));
                let extended = [&hidden[..], &structure, &[7; 1][..usize::from(odd)]].concat();
                let told = error(version.router, version.a[1], *kind, length, &extended)
                    .between(host_mac(2), host_mac(1));
                let mut without = length;
                without[at] = 0;
                let shown = quote(&packet);
                let expected = error(version.gateway, version.a[0], *kind, without, &shown)
                    .between(ROUTER, a.mac);
                assert_eq!(host.tells(4, GREEN_1, &told.frame()), expected.frame());
            }
        }
    }
}

#[test]
fn spec_1_7_8_a_fragment_of_an_error_is_not_translated() {
    let network = Network::standard();
    for version in &VERSIONS {
        let packet = version.hidden(&Packet::udp(version.a[0], version.b[0], b"hello"));
        let quote = packet.ip_packet();
        let first = error(
            version.router,
            version.a[1],
            version.kinds[0],
            [0; 4],
            &quote,
        )
        .between(host_mac(2), host_mac(1))
        .with(|packet| packet.fragment = 0x2000);
        Nve::new(&network.changes(1)).refuses_uplink(
            Some(GREEN_1),
            &first.frame(),
            DropReason::SrcPaUnknown,
        );
    }
}

/// Routers that are older than RFC 4884 put extensions behind 128 bytes and do not say so.
#[test]
fn spec_1_7_8_extensions_that_are_not_announced_stay_behind_too() {
    let network = Network::standard();
    let a = network.machine("green a");
    let labels = hex("2000 dfff 0008 0101 000121ff");
    for (version, kinds) in [(&V4, [3, 11, 12].as_slice()), (&V6, &[1, 3])] {
        let mut host = Nve::new(&network.changes(1));
        for kind in kinds {
            let padded = |packet: &Packet, behind: &[u8]| {
                let mut quote = packet.ip_packet();
                quote.resize(128, 0);
                [&quote[..], behind].concat()
            };
            let packet = Packet::udp(version.a[0], version.b[0], b"hello");
            let hidden = padded(&version.hidden(&packet), &labels);
            let told = error(version.router, version.a[1], *kind, [0; 4], &hidden)
                .between(host_mac(2), host_mac(1));
            let shown = padded(&packet, &[]);
            let expected =
                error(version.gateway, version.a[0], *kind, [0; 4], &shown).between(ROUTER, a.mac);
            assert_eq!(host.tells(4, GREEN_1, &told.frame()), expected.frame());
        }
    }
    // A checksum that would lie behind them is lost with them.
    let padding = [&[0, 11, 1, 92][..], &[0; 92]].concat();
    let packet = Packet::udp(V6.a[0], V6.b[0], b"hello, hnv")
        .with(|packet| packet.extensions = vec![(60, padding)]);
    let hidden = V6.hidden(&packet).ip_packet();
    let told = error(V6.router, V6.a[1], 1, [0; 4], &hidden).between(host_mac(2), host_mac(1));
    let shown = &packet.ip_packet()[..128];
    let expected = error(V6.gateway, V6.a[0], 1, [0; 4], shown).between(ROUTER, a.mac);
    let out = Nve::new(&network.changes(1)).tells(4, GREEN_1, &told.frame());
    assert_eq!(out, expected.frame());
}

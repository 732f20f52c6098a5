//! What a host accepts from the provider network: the rows of the receive order, one by one, and which comes first.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

fn both() -> [Network; 2] {
    [Outer::V4, Outer::V6].map(|outer| Network::standard().with(|network| network.outer = outer))
}

fn inner(network: &Network) -> Vec<u8> {
    network.datagram("blue a", "blue b", 0).frame()
}

#[test]
fn spec_1_5_1_frames_cut_short_are_truncated() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&inner(&network));
    for length in 1..34 {
        host.refuses_uplink(None, &wire[..length], DropReason::Truncated);
    }
    // Cut behind the outer IP header, whose length field is made to fit.
    let payload = network.tunnel(1, 2, BLUE_1).gre(&inner(&network));
    let cut = |length: usize| network.tunnel(1, 2, BLUE_1).packet(&payload[..length]);
    for length in 0..8 {
        for padding in [0, 60] {
            let frame = cut(length).with(|packet| packet.padding = padding).frame();
            host.refuses_uplink(None, &frame, DropReason::Truncated);
        }
    }
    for length in 8..22 {
        for padding in [0, 60] {
            let frame = cut(length).with(|packet| packet.padding = padding).frame();
            host.refuses_uplink(Some(BLUE_1), &frame, DropReason::InnerL2);
        }
    }
    for length in 22..42 {
        host.refuses_uplink(Some(BLUE_1), &cut(length).frame(), DropReason::Truncated);
    }
    for length in 42..payload.len() {
        host.refuses_uplink(
            Some(BLUE_1),
            &cut(length).frame(),
            DropReason::InnerMalformed,
        );
    }
}

#[test]
fn spec_1_5_2_other_addresses_are_not_ours() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let foreign = network
            .tunnel(1, 3, BLUE_1)
            .with(|tunnel| tunnel.destination_mac = host_mac(2));
        host.punts(&foreign.wrap(&inner(&network)), Punt::NotOurs);
    }
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let mut other = inner(&network);
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    host.punts(&other, Punt::NotOurs);
}

#[test]
fn spec_1_5_2_and_2_4_state_an_address_must_be_known_to_be_unique() {
    let network = Network::standard();
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&inner(&network));
    for (state, receives) in [
        (AddressState::Preferred, true),
        (AddressState::Deprecated, true),
        (AddressState::Tentative, false),
        (AddressState::Duplicate, false),
    ] {
        let mut host = Nve::new(&network.changes(2));
        let own = HostAddress {
            state,
            ..network.own_addresses(2)[0]
        };
        host.apply(&[Change::SetProviderAddress(own)]);
        match receives {
            true => drop(host.delivers(0, BLUE_1, &wire)),
            false => host.punts(&wire, Punt::NotOurs),
        }
    }
}

#[test]
fn spec_1_5_link_is_the_addresss_own() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let frame = inner(&network);
        for strange in [host_mac(1), MacAddress::BROADCAST, ROUTER] {
            let tunnel = network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.destination_mac = strange);
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::OuterDstMac);
        }
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&frame);
        let elsewhere = Frame::whole(Ingress::Uplink(UplinkId(1)), &wire);
        assert_eq!(
            host.process(&elsewhere),
            Fate::Dropped(DropReason::OuterDstMac)
        );
    }
}

#[test]
fn spec_1_5_3_untagged_addresses_take_no_vlan_but_a_priority() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let frame = inner(&network);
        let tagged = |tags: &[(u16, u16)]| {
            network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.tags = tags.to_vec())
                .wrap(&frame)
        };
        assert_eq!(
            host.delivers(0, BLUE_1, &tagged(&[(0x8100, 0xe000)])),
            frame
        );
        for tags in [
            &[(0x8100, 5)][..],
            &[(0x8100, 0), (0x8100, 0)],
            &[(0x88a8, 7), (0x8100, 5)],
        ] {
            host.refuses_uplink(None, &tagged(tags), DropReason::PaVlan);
        }
        // Two tags on a frame for somebody else are nothing of ours.
        let foreign = network.tunnel(1, 2, BLUE_1).with(|tunnel| {
            tunnel.tags = vec![(0x88a8, 7), (0x8100, 5)];
            tunnel.destination_mac = host_mac(3);
        });
        host.punts(&foreign.wrap(&frame), Punt::NotOurs);
    }
}

#[test]
fn spec_1_5_4_a_contradictory_outer_header_is_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&inner(&network));
    for (at, value) in [
        (14, 0x44),
        (14, 0x65),
        (17, 10),
        (16, 0x7f),
        (24, 0),
        (22, 63),
    ] {
        let mut broken = wire.clone();
        broken[at] = value;
        host.refuses_uplink(None, &broken, DropReason::OuterMalformed);
    }
}

#[test]
fn spec_1_5_6_outer_options() {
    let strict = Network::standard();
    let tolerant = tolerant(Outer::V4);
    let frame = inner(&strict);
    let with = |options: &[u8]| {
        strict
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.ipv4_options = options.to_vec())
            .wrap(&frame)
    };
    let router_alert = with(&[0x94, 4, 0, 0]);
    Nve::new(&strict.changes(2)).refuses_uplink(None, &router_alert, DropReason::OuterMalformed);
    let mut host = Nve::new(&tolerant.changes(2));
    assert_eq!(host.delivers(0, BLUE_1, &router_alert), frame);
    for source_route in [131, 137] {
        let wire = with(&[source_route, 7, 4, 10, 0, 0, 1, 0]);
        host.refuses_uplink(None, &wire, DropReason::OuterMalformed);
    }
}

#[test]
fn spec_1_5_7_outer_extension_headers_and_fragments() {
    let network = Network::standard().with(|network| network.outer = Outer::V6);
    let mut host = Nve::new(&network.changes(2));
    let frame = inner(&network);
    let with = |extensions: &[(u8, Vec<u8>)]| {
        network
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.extensions = extensions.to_vec())
            .wrap(&frame)
    };
    let padding = vec![0, 0, 1, 4, 0, 0, 0, 0];
    let hop_by_hop = (0, padding.clone());
    let destination = (60, padding);
    assert_eq!(
        host.delivers(0, BLUE_1, &with(std::slice::from_ref(&hop_by_hop))),
        frame
    );
    assert_eq!(
        host.delivers(0, BLUE_1, &with(&[hop_by_hop.clone(), destination.clone()])),
        frame
    );
    let four = vec![destination.clone(); 4];
    assert_eq!(host.delivers(0, BLUE_1, &with(&four)), frame);
    for many in [5, 9] {
        host.refuses_uplink(
            None,
            &with(&vec![destination.clone(); many]),
            DropReason::OuterMalformed,
        );
    }
    for routing in [vec![0, 0, 0, 0, 0, 0, 0, 0], vec![0, 0, 4, 0, 0, 0, 0, 0]] {
        host.refuses_uplink(None, &with(&[(43, routing)]), DropReason::OuterMalformed);
    }
    for outer in [Outer::V4, Outer::V6] {
        let network = network.clone().with(|network| network.outer = outer);
        for fragment in [0x2000, 0x2001, 0x0010] {
            let tunnel = network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.fragment = fragment);
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::OuterFragment);
        }
    }
    // An atomic fragment is one of IPv6 all the same.
    let atomic = network
        .tunnel(1, 2, BLUE_1)
        .with(|tunnel| tunnel.fragment = 0);
    host.refuses_uplink(None, &atomic.wrap(&frame), DropReason::OuterFragment);
}

#[test]
fn spec_1_5_8_no_host_has_such_a_source() {
    let frame = inner(&Network::standard());
    for (network, sources) in both().into_iter().zip([
        vec![
            "224.0.0.1",
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "192.168.4.22",
        ],
        vec!["ff02::1", "::1", "::", "fd00:4::22"],
    ]) {
        let mut host = Nve::new(&network.changes(2));
        for source in sources {
            let tunnel = network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.source = ip(source));
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::OuterSrcBad);
        }
    }
}

fn refuses_gre_flags(flags: impl Iterator<Item = u16> + Clone, reason: DropReason) {
    for reception in [Reception::Strict, Reception::Tolerant] {
        for network in both() {
            let network = network.with(|network| network.settings.reception = reception);
            let mut host = Nve::new(&network.changes(2));
            for gre_flags in flags.clone() {
                let tunnel = network.tunnel(1, 2, BLUE_1);
                let wire = tunnel.with(|tunnel| tunnel.gre_flags = gre_flags);
                host.refuses_uplink(None, &wire.wrap(&inner(&network)), reason);
            }
        }
    }
}

#[test]
fn spec_1_5_9_gre_of_another_version() {
    refuses_gre_flags(
        (1..8).map(|version| 0x2000 | version),
        DropReason::GreVersion,
    );
    // The version says what the flags mean, so it is judged first.
    refuses_gre_flags(
        (1..8).map(|version| 0x6c00 | version),
        DropReason::GreVersion,
    );
}

#[test]
fn spec_1_5_10_routing_and_recursion_of_rfc_1701() {
    let flags = [0x4000, 0x0800, 0x0400, 0x4c00];
    refuses_gre_flags(
        flags.into_iter().map(|flags| 0x2000 | flags),
        DropReason::GreFlags,
    );
}

fn tolerant(outer: Outer) -> Network {
    Network::standard().with(|network| {
        network.settings.reception = Reception::Tolerant;
        network.outer = outer;
    })
}

fn takes_gre_flags_if_tolerant(flags: &[u16]) {
    let frame = inner(&Network::standard());
    for outer in [Outer::V4, Outer::V6] {
        let strict = Network::standard().with(|network| network.outer = outer);
        let tolerant = tolerant(outer);
        let mut strict_host = Nve::new(&strict.changes(2));
        let mut tolerant_host = Nve::new(&tolerant.changes(2));
        for &gre_flags in flags {
            let tunnel = strict.tunnel(1, 2, BLUE_1).with(|tunnel| {
                tunnel.gre_flags = gre_flags;
                tunnel.padding = 3;
            });
            let wire = tunnel.wrap(&frame);
            strict_host.refuses_uplink(None, &wire, DropReason::GreFlags);
            assert_eq!(tolerant_host.delivers(0, BLUE_1, &wire), frame);
        }
    }
}

#[test]
fn spec_1_5_11_reserved_flags_are_for_the_tolerant() {
    takes_gre_flags_if_tolerant(&[0x2008, 0x2200, 0x23f8]);
}

#[test]
fn spec_1_5_12_a_gre_checksum_is_for_the_tolerant() {
    takes_gre_flags_if_tolerant(&[0xa000, 0xb000, 0xb3f8]);
}

#[test]
fn spec_1_5_13_a_sequence_number_is_for_the_tolerant() {
    takes_gre_flags_if_tolerant(&[0x3000, 0xb000]);
}

#[test]
fn spec_1_5_12_a_wrong_gre_checksum_is_refused_whatever_else_is_wrong() {
    let network = tolerant(Outer::V4);
    let mut host = Nve::new(&network.changes(2));
    let frame = inner(&network);
    for flags in [0xa000, 0x8000, 0xb000] {
        let tunnel = network
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.gre_flags = flags);
        let mut wire = tunnel.wrap(&frame);
        *wire.last_mut().unwrap() ^= 1;
        host.refuses_uplink(None, &wire, DropReason::GreCsum);
    }
    // What lies beyond the window cannot be summed, so it cannot be believed.
    let wire = network
        .tunnel(1, 2, BLUE_1)
        .with(|tunnel| tunnel.gre_flags = 0xa000)
        .wrap(&frame);
    let partly = Frame {
        window: &wire[..wire.len() - 1],
        ..Frame::whole(Ingress::Uplink(UplinkId(0)), &wire)
    };
    assert_eq!(host.process(&partly), Fate::Dropped(DropReason::GreCsum));
}

#[test]
fn spec_1_5_14_other_gre_is_not_nvgre() {
    for network in [Network::standard(), tolerant(Outer::V4)] {
        let mut host = Nve::new(&network.changes(2));
        let frame = inner(&network);
        let keyless = network
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.gre_flags = 0);
        host.refuses_uplink(None, &keyless.wrap(&frame), DropReason::GreProto);
        for protocol in [0x0800, 0x86dd, 0x880b, 0x6559] {
            let tunnel = network
                .tunnel(1, 2, BLUE_1)
                .with(|tunnel| tunnel.gre_protocol = protocol);
            host.refuses_uplink(None, &tunnel.wrap(&frame), DropReason::GreProto);
        }
    }
}

#[test]
fn spec_1_5_15_vsids_must_be_known() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let mut tagged = inner(&network);
        tagged[12..14].copy_from_slice(&[0x81, 0]);
        for frame in [inner(&network), tagged, vec![]] {
            for vsid in [0, 0xfff, 0xff_ffff, 0x1000, 5999, 0xff_fffe] {
                let wire = network.tunnel(1, 2, vsid).wrap(&frame);
                host.refuses_uplink(None, &wire, DropReason::VsidUnknown);
            }
        }
    }
}

#[test]
fn spec_1_5_16_the_inner_link_is_untagged_and_from_a_station() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let packet = network.datagram("blue a", "blue b", 0);
        for tags in [
            &[(0x8100, 5)][..],
            &[(0x8100, 0)],
            &[(0x88a8, 5)],
            &[(0x9100, 5)],
            &[(0x8100, 1), (0x8100, 2)],
        ] {
            let tagged = packet
                .clone()
                .with(|packet| packet.tags = tags.to_vec())
                .frame();
            let wire = network.tunnel(1, 2, BLUE_1).wrap(&tagged);
            host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerL2);
            for cut in 14..tagged.len().min(20) {
                let wire = network.tunnel(1, 2, BLUE_1).wrap(&tagged[..cut]);
                host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerL2);
            }
        }
        for source in [
            MacAddress::ZERO,
            MacAddress::BROADCAST,
            MacAddress([1, 0, 0x5e, 0, 0, 1]),
        ] {
            let strange = packet
                .clone()
                .with(|packet| packet.source_mac = source)
                .frame();
            let wire = network.tunnel(1, 2, BLUE_1).wrap(&strange);
            host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerL2);
        }
    }
}

#[test]
fn spec_1_5_17_only_ip_travels() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let a = network.machine("blue a").mac;
    let mut other = inner(&network);
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    for frame in [arp_request((a, "10.0.0.5"), "10.0.0.7"), other] {
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&frame);
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerEthertype);
    }
    let group = network
        .datagram("blue a", "blue b", 0)
        .with(|packet| packet.destination = ip("224.0.0.5"));
    let wire = network.tunnel(1, 2, BLUE_1).wrap(&group.frame());
    host.refuses_uplink(Some(BLUE_1), &wire, DropReason::Multicast);
}

#[test]
fn spec_1_5_19_the_receiver_must_live_here() {
    let network = Network::standard().with(|network| network.hosts = 3);
    let mut host = Nve::new(&network.changes(2));
    let packet = network.datagram("blue a", "blue b", 0);
    let elsewhere = packet
        .clone()
        .with(|packet| packet.destination = ip("10.0.0.9"));
    let nobody = packet
        .clone()
        .with(|packet| packet.destination = ip("10.0.0.99"));
    let other_mac = packet
        .clone()
        .with(|packet| packet.destination_mac = host_mac(2));
    let other_subnet = packet
        .clone()
        .with(|packet| packet.destination = ip("10.0.1.6"));
    for packet in [elsewhere, nobody, other_mac, other_subnet] {
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&packet.frame());
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::NoLocalDst);
    }
    // A gateway's MAC address is no way around a tenant's own addresses.
    let gate = network.machine("gate").mac;
    let packet = network.datagram("blue a", "gate", 0).between(ROUTER, gate);
    let packet = packet.with(|packet| packet.destination = ip("198.51.100.9"));
    let wire = network.tunnel(1, 2, BLUE_EDGE).wrap(&packet.frame());
    host.delivers(5, BLUE_EDGE, &wire);
}

#[test]
fn spec_1_5_20_the_inner_header_must_be_intact() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let good = inner(&network);
        for (at, value) in [(14, 0x44), (14, 0x65), (17, 10), (16, 0x7f), (24, 0)] {
            let mut broken = good.clone();
            broken[at] = value;
            let wire = network.tunnel(1, 2, BLUE_1).wrap(&broken);
            host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerMalformed);
        }
    }
}

#[test]
fn spec_1_5_order_lengths_then_the_sender_then_the_checksum_then_congestion() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let good = inner(&network);
        let spoofed = network
            .datagram("blue a", "blue b", 0)
            .with(|packet| packet.source = ip("10.0.0.99"));
        let mut both = spoofed.frame();
        both[24] ^= 1;
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&both);
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
        both[16] = 0x7f;
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&both);
        host.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerMalformed);
        let mut broken = good;
        broken[24] ^= 1;
        let wire = network
            .tunnel(1, 2, BLUE_1)
            .with(|tunnel| tunnel.traffic_class = 3);
        host.refuses_uplink(
            Some(BLUE_1),
            &wire.wrap(&broken),
            DropReason::InnerMalformed,
        );
    }
}

#[test]
fn spec_1_5_21_what_a_tenant_nests_is_its_own() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let nested = network
        .tunnel(1, 2, RED_1)
        .packet(&network.tunnel(1, 2, RED_1).gre(&inner(&network)));
    for protocol in [47, 4, 41] {
        let packet = Packet::raw("10.0.0.5", "10.0.0.7", protocol, &nested.ip_packet())
            .between(network.machine("blue a").mac, network.machine("blue b").mac);
        let wire = network.tunnel(1, 2, BLUE_1).wrap(&packet.frame());
        assert_eq!(host.delivers(0, BLUE_1, &wire), packet.frame());
    }
}

#[test]
fn what_is_no_tunnel_is_the_host_stacks() {
    for network in both() {
        let mut host = Nve::new(&network.changes(2));
        let tunnel = network.tunnel(1, 2, BLUE_1);
        for protocol in [1, 6, 17, 4, 41, 50] {
            let packet = tunnel
                .packet(b"some payload of the host")
                .with(|packet| packet.protocol = protocol);
            host.punts(&packet.frame(), Punt::HostStack);
        }
    }
}

//! What attackers try, from a machine, from the provider network and over time, and that it gets them nothing.

use std::collections::BTreeMap;

use netvirt_core::checksum::sum;
use netvirt_core::datapath::*;
use netvirt_core::offload::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::Dump;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

const OUTERS: [Outer; 2] = [Outer::V4, Outer::V6];

fn blue(payload: &[u8], version: usize) -> Packet {
    let network = Network::standard();
    let (a, b) = (network.machine("blue a"), network.machine("blue b"));
    Packet::udp(a.addresses[version], b.addresses[version], payload).between(a.mac, b.mac)
}

/// From blue a to blue b in NVGRE, host 1 to host 2.
fn tunnelled(network: &Network, packet: &Packet) -> Vec<u8> {
    network.tunnel(1, 2, BLUE_1).wrap(&packet.frame())
}

/// Blue a's packet goes through the tunnel whole, and nothing else happens.
fn passes(sender: &mut Nve, receiver: &mut Nve, packet: &Packet) {
    let network = Network::standard();
    let wire = sender.transmits(0, BLUE_1, &packet.frame());
    assert_eq!(wire, tunnelled(&network, packet));
    assert_eq!(receiver.delivers(0, BLUE_1, &wire), packet.frame());
}

fn hosts() -> (Nve, Nve) {
    let network = Network::standard();
    (Nve::new(&network.changes(1)), Nve::new(&network.changes(2)))
}

#[test]
fn spec_6_forged_vsid_in_a_tunnel_of_the_machines_own_is_payload() {
    let network = Network::standard();
    let (mut sender, mut receiver) = hosts();
    let stolen = network.datagram("red a", "red b", 0).frame();
    let forged = network.tunnel(1, 2, RED_1).gre(&stolen);
    let to_neighbour = Packet::raw("10.0.0.5", "10.0.0.7", 47, &forged)
        .between(network.machine("blue a").mac, network.machine("blue b").mac);
    passes(&mut sender, &mut receiver, &to_neighbour);
    // To the provider address itself it goes where the tenant's default route leads: to its gateway.
    let to_host = Packet::raw("10.0.0.5", "192.168.4.22", 47, &forged)
        .between(network.machine("blue a").mac, ROUTER);
    let wire = sender.transmits(0, BLUE_1, &to_host.frame());
    let routed = to_host.between(ROUTER, network.machine("gate").mac);
    let routed = routed.with(|packet| packet.hop_limit -= 1).frame();
    assert_eq!(wire, network.tunnel(1, 2, BLUE_EDGE).wrap(&routed));
    assert_eq!(receiver.delivers(5, BLUE_EDGE, &wire), routed);
    // And a tag, which could name somebody's VLAN, is refused.
    let tagged = to_neighbour.with(|packet| packet.tags = vec![(0x8100, 0x0005)]);
    sender.refuses(0, BLUE_1, &tagged.frame(), DropReason::VmVlan);
}

#[test]
fn spec_6_spoofed_inside_is_refused_on_both_hosts() {
    for outer in OUTERS {
        let network = Network::standard().with(|network| network.outer = outer);
        let mut sender = Nve::new(&network.changes(1));
        let mut receiver = Nve::new(&network.changes(2));
        for version in 0..2 {
            let honest = network.datagram("blue a", "blue b", version);
            let near = network.machine("blue near a");
            let other_mac = honest.clone().with(|packet| packet.source_mac = near.mac);
            sender.refuses(0, BLUE_1, &other_mac.frame(), DropReason::MacSpoof);
            let wire = tunnelled(&network, &other_mac);
            receiver.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerSrcMac);

            // Of a machine on another host than the one whose provider address is given.
            let other_ca = honest.with(|packet| packet.source = ip(near.addresses[version]));
            sender.refuses(0, BLUE_1, &other_ca.frame(), DropReason::CaSpoof);
            let wire = network.tunnel(2, 1, BLUE_1).wrap(&other_ca.frame());
            sender.refuses_uplink(Some(BLUE_1), &wire, DropReason::SrcPaMismatch);
        }
    }
}

#[test]
fn spec_6_nested_tunnels_are_taken_off_one_at_a_time() {
    let network = Network::standard();
    let (mut sender, mut receiver) = hosts();
    let mut packet = blue(b"at the bottom", 0);
    for depth in 0..12 {
        passes(&mut sender, &mut receiver, &packet);
        let gre = network.tunnel(1, 2, BLUE_1).gre(&packet.frame());
        packet = match depth % 3 {
            // A tunnel of the provider's own in the payload, with its VSID and its addresses.
            0 => {
                let outer = network.tunnel(1, 2, BLUE_1).packet(&gre);
                Packet::raw("10.0.0.5", "10.0.0.7", 4, &outer.ip_packet())
            }
            1 => Packet::raw("10.0.0.5", "10.0.0.7", 47, &gre),
            _ => Packet::raw("10.0.0.5", "10.0.0.7", 41, &blue(&gre, 1).ip_packet()),
        }
        .between(network.machine("blue a").mac, network.machine("blue b").mac);
    }
}

/// Frames of many kinds, each with the offsets of its length fields.
fn specimens() -> Vec<(Packet, Vec<usize>)> {
    let mut specimens = vec![];
    for version in 0..2 {
        let [a, b] = [["10.0.0.5", "10.0.0.7"], ["2001:db8:1::5", "2001:db8:1::7"]][version];
        let macs = blue(b"", 0);
        let lengths = [vec![14, 16, 17], vec![18, 19]][version].clone();
        for packet in [
            Packet::udp(a, b, b"hello, hnv"),
            Packet::tcp(a, b, b"hello, hnv"),
            Packet::echo(a, b, b"hello, hnv"),
        ] {
            let packet = packet.between(macs.source_mac, macs.destination_mac);
            specimens.push((packet, lengths.clone()));
        }
    }
    specimens
}

#[test]
fn spec_6_short_frames_from_a_machine_end_where_they_are_cut() {
    let (mut sender, _) = hosts();
    for (packet, _) in specimens() {
        let frame = packet.frame();
        let header = if packet.source.is_ipv4() { 34 } else { 54 };
        for length in 1..frame.len() {
            let reason = match length < header {
                true => DropReason::Truncated,
                false => DropReason::Malformed,
            };
            sender.refuses(0, BLUE_1, &frame[..length], reason);
        }
    }
}

#[test]
fn spec_6_short_frames_in_a_tunnel_end_where_they_are_cut() {
    for outer in OUTERS {
        let network = Network::standard().with(|network| network.outer = outer);
        let mut receiver = Nve::new(&network.changes(2));
        for (packet, _) in specimens() {
            let inner = packet.frame();
            let header = if packet.source.is_ipv4() { 34 } else { 54 };
            for length in 0..inner.len() {
                let reason = match length {
                    ..14 => DropReason::InnerL2,
                    _ if length < header => DropReason::Truncated,
                    _ => DropReason::InnerMalformed,
                };
                // The outer length is that of what is left; then padding stands where the rest was.
                for padding in [0, 200] {
                    let tunnel = network.tunnel(1, 2, BLUE_1);
                    let wire = tunnel.with(|tunnel| tunnel.padding = padding);
                    let wire = wire.wrap(&inner[..length]);
                    receiver.refuses_uplink(Some(BLUE_1), &wire, reason);
                }
            }
        }
    }
}

#[test]
fn spec_6_short_frames_whose_lengths_lie_are_refused() {
    let (mut sender, mut receiver) = hosts();
    let network = Network::standard();
    for (packet, lengths) in specimens() {
        for at in lengths {
            let mut lying = packet.frame();
            lying[at] = lying[at].wrapping_add(if at == 14 { 0x0f } else { 1 });
            sender.refuses(0, BLUE_1, &lying, DropReason::Malformed);
            let wire = network.tunnel(1, 2, BLUE_1).wrap(&lying);
            receiver.refuses_uplink(Some(BLUE_1), &wire, DropReason::InnerMalformed);
        }
    }
}

#[test]
fn spec_6_short_windows_hold_all_that_is_read_or_nothing_is_decided() {
    let (mut sender, mut receiver) = hosts();
    let network = Network::standard();
    for (packet, _) in specimens() {
        let frame = packet.frame();
        let wire = tunnelled(&network, &packet);
        for (host, ingress, bytes) in [
            (&mut sender, Ingress::Port(PortId(0)), &frame),
            (&mut receiver, Ingress::Uplink(UplinkId(0)), &wire),
        ] {
            for window in 0..bytes.len() {
                let partly = Frame {
                    window: &bytes[..window],
                    ..Frame::whole(ingress, bytes)
                };
                host.counted();
                let verdict = host.worker.process(host.policies.live(), &partly, host.now);
                let vsid = verdict.vsid.map(Vsid::get);
                let expected = match (verdict.reason, &verdict.outcome) {
                    (None, Outcome::Transmit { .. }) => {
                        counted_from_port("transmitted", 0, BLUE_1, bytes.len())
                    }
                    (None, Outcome::Deliver { .. }) => counted_to_port(0, BLUE_1, bytes.len()),
                    (Some(DropReason::Truncated), _) if matches!(ingress, Ingress::Port(_)) => {
                        counted_refused(DropReason::Truncated, 0, BLUE_1, bytes.len())
                    }
                    (Some(reason @ (DropReason::Truncated | DropReason::InnerL2)), _) => {
                        counted_refused_uplink(reason, vsid, bytes.len())
                    }
                    _ => panic!("{verdict:?}"),
                };
                assert_eq!(host.counted(), expected);
            }
        }
    }
}

#[test]
fn spec_6_padding_of_any_length_changes_nothing() {
    let (mut sender, mut receiver) = hosts();
    let network = Network::standard();
    for (packet, _) in specimens() {
        let wire = tunnelled(&network, &packet);
        for padding in [1, 7, 46, 255, 1400, 9000] {
            let padded = packet.clone().with(|packet| packet.padding = padding);
            assert_eq!(sender.transmits(0, BLUE_1, &padded.frame()), wire);
            let inside = network.tunnel(1, 2, BLUE_1).wrap(&padded.frame());
            assert_eq!(receiver.delivers(0, BLUE_1, &inside), packet.frame());
            let mut outside = wire.clone();
            outside.resize(wire.len() + padding, 0x45);
            assert_eq!(receiver.delivers(0, BLUE_1, &outside), packet.frame());
        }
    }
}

#[test]
fn spec_6_odd_protocols_are_decided_by_addresses_like_any_other() {
    let (mut sender, mut receiver) = hosts();
    let network = Network::standard();
    let (a, b) = (network.machine("blue a"), network.machine("blue b"));
    // Hop-by-hop, routing, fragment, authentication, destination and other extension headers are walked.
    let headers = [0, 43, 44, 51, 60, 135, 139, 140, 253, 254];
    for version in 0..2 {
        let [from, to] = [a.addresses[version], b.addresses[version]];
        for protocol in 0..=255 {
            if version == 1 && headers.contains(&protocol) {
                continue;
            }
            let packet = Packet::raw(from, to, protocol, &[0x2a; 40]).between(a.mac, b.mac);
            passes(&mut sender, &mut receiver, &packet);
            // What one packet of the kind was allowed opens nothing for the next with other addresses.
            let other =
                packet.with(|packet| packet.source = ip(["10.0.0.66", "fd00::66"][version]));
            sender.refuses(0, BLUE_1, &other.frame(), DropReason::CaSpoof);
        }
    }
}

/// What of a frame is counted for the whole host.
fn counters_of(fate: &Fate) -> Vec<String> {
    let fate = match fate {
        Fate::Delivered(..) => "delivered",
        Fate::Transmitted(..) => "transmitted",
        Fate::Punted(_) => "punted",
        Fate::Dropped(reason) => {
            return ["received", "dropped", reason.name()]
                .map(str::to_owned)
                .into();
        }
        other => panic!("{other:?}"),
    };
    ["received", fate].map(str::to_owned).into()
}

#[test]
fn spec_6_traffic_of_many_flows_leaves_nothing_behind() {
    let (mut sender, mut receiver) = hosts();
    let before = [&sender, &receiver].map(|host| Dump::of(host.policies.live()));
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let specimen = blue(&[0; 8], 0).frame();
    let wire = tunnelled(&Network::standard(), &blue(&[0; 8], 0));
    let header = wire.len() - specimen.len();
    let mut fates = [BTreeMap::new(), BTreeMap::new()];
    for _ in 0..1_000_000 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
        let [choice, value, ports @ .., _, _] = random.to_be_bytes();
        // Source or destination, protocol, a byte of either: whatever the number says.
        let at = [26, 27, 28, 29, 30, 31, 32, 33, 23][usize::from(choice) % 9];
        let mut frame = specimen.clone();
        frame[at] = value;
        frame[34..38].copy_from_slice(&ports);
        frame[24..26].fill(0);
        let checksum = !sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&checksum.to_be_bytes());
        let mut tunnel = wire.clone();
        tunnel[header..].copy_from_slice(&frame);
        let taken = [
            sender.take_from_port(0, &frame),
            receiver.take_from_uplink(&tunnel),
        ];
        for (fates, fate) in fates.iter_mut().zip(taken) {
            for counter in counters_of(&fate) {
                *fates.entry(counter).or_insert(0) += 1;
            }
        }
    }
    for (host, fates) in [&mut sender, &mut receiver].into_iter().zip(&fates) {
        let counted = host.counted();
        let counted = counted
            .split(", ")
            .filter_map(|entry| entry.rsplit_once(' '));
        let counted: BTreeMap<_, u64> = counted
            .filter(|(name, _)| !name.contains(' '))
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect();
        assert_eq!(counted, *fates);
    }
    let after = [&sender, &receiver].map(|host| Dump::of(host.policies.live()));
    assert_eq!(after, before);
    passes(&mut sender, &mut receiver, &blue(b"as ever", 0));
}

#[test]
fn spec_6_fragments_are_decided_one_by_one_in_any_order() {
    let (mut sender, mut receiver) = hosts();
    // The last first, one twice, two that overlap, one beyond 64 KiB, and never the first.
    let orders = [
        &[0x0004, 0x2000, 0x2002][..],
        &[0x2002, 0x2002],
        &[0x2001, 0x2002, 0x2003],
        &[0x3fff, 0x1fff],
        &[0x2001; 50],
    ];
    for version in 0..2 {
        for words in orders {
            for word in words {
                let packet = blue(&[7; 32], version).with(|packet| packet.fragment = *word);
                passes(&mut sender, &mut receiver, &packet);
            }
        }
        // The first fragment of a flow opens nothing for fragments with other addresses.
        let other = blue(&[7; 32], version).with(|packet| {
            packet.fragment = 0x0004;
            packet.source = ip(["10.0.0.66", "fd00::66"][version]);
        });
        sender.refuses(0, BLUE_1, &other.frame(), DropReason::CaSpoof);
    }
}

#[test]
fn spec_6_checksums_of_machines_pass_as_they_are() {
    let (mut sender, mut receiver) = hosts();
    for version in 0..2 {
        for sum in [0, 0xffff, 1, 0x8000] {
            let packet = blue(b"hello, hnv", version).with(|packet| {
                packet.transport[6..8].copy_from_slice(&u16::to_be_bytes(sum));
            });
            passes(&mut sender, &mut receiver, &packet);
        }
    }
}

#[test]
fn spec_6_checksums_that_are_to_be_written_outside_the_transport_are_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for (port, name, to) in [(0, "blue a", "blue b"), (4, "green a", "green b")] {
        let vsid = network.machine(name).vsid;
        for version in 0..2 {
            let frame = network.datagram(name, to, version).frame();
            let header = [34, 54][version];
            for start in [0, 12, 14, header - 1] {
                let partial = Frame {
                    offload: Offload {
                        checksum: Some(PartialChecksum { start, offset: 6 }),
                        ..Offload::NONE
                    },
                    ..Frame::whole(Ingress::Port(PortId(port)), &frame)
                };
                host.counted();
                assert_eq!(
                    host.process(&partial),
                    Fate::Dropped(DropReason::OffloadBad)
                );
                let expected = counted_refused(DropReason::OffloadBad, port, vsid, frame.len());
                assert_eq!(host.counted(), expected);
            }
        }
    }
}

#[test]
fn spec_6_icmp_storm_of_one_machine_is_its_own() {
    let network = Network::standard().with(|network| {
        network.settings.errors.burst = 5;
    });
    let mut host = Nve::new(&network.changes(1));
    let expired = |name: &str| {
        let packet = network.datagram(name, "blue c", 0);
        packet.with(|packet| packet.hop_limit = 1).frame()
    };
    let frame = expired("blue a");
    let bytes = frame.len();
    for _ in 0..5 {
        host.explains(0, BLUE_1, &frame, DropReason::TtlExceeded);
    }
    for _ in 0..1000 {
        host.counted();
        let fate = host.take_from_port(0, &frame);
        assert_eq!(fate, Fate::Dropped(DropReason::TtlExceeded));
        let expected = counted_refused(DropReason::TtlExceeded, 0, BLUE_1, bytes);
        let expected = expected.replacen("ttl_exceeded", "errors_suppressed 1, ttl_exceeded", 1);
        assert_eq!(host.counted(), expected);
    }
    let near = expired("blue near a");
    host.explains(1, BLUE_1, &near, DropReason::TtlExceeded);
}

#[test]
fn spec_6_neighbours_are_not_redirected_nor_given_a_router() {
    let (mut host, _) = hosts();
    let network = Network::standard();
    let a = network.machine("blue a").mac;
    let all = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
    for kind in [134, 137] {
        for (destination, link) in [("ff02::1", all), ("2001:db8:1::9", ROUTER)] {
            for hop_limit in [255, 64] {
                let packet = Packet::icmp("fe80::5", destination, 58, kind, &[0; 40]);
                let packet = packet.between(a, link);
                let packet = packet.with(|packet| packet.hop_limit = hop_limit);
                host.refuses(0, BLUE_1, &packet.frame(), DropReason::RouterGuard);
            }
        }
    }
    // IPv4's, by NVGRE, within this host and to the router, whole and in fragments.
    for to in ["10.0.0.7", "10.0.0.9", "10.0.0.1", "10.0.1.6"] {
        for word in [0x4000, 0x2000] {
            let packet = Packet::icmp("10.0.0.5", to, 1, 5, &[0; 40]).between(a, ROUTER);
            let packet = packet.with(|packet| packet.fragment = word);
            host.refuses(0, BLUE_1, &packet.frame(), DropReason::RouterGuard);
        }
    }
}

#[test]
fn spec_6_helpers_are_nothing_to_the_datapath() {
    let (mut host, _) = hosts();
    let a = Network::standard().machine("blue a").mac;
    let groups = [[1, 0x80, 0xc2, 0, 0, 0x0e], [1, 0x80, 0xc2, 0, 0, 0]];
    // LLDP, slow protocols, 802.1X, and spanning tree in LLC.
    for group in groups {
        for kind in [0x88ccu16, 0x8809, 0x888e, 0x0026] {
            let frame = |source: MacAddress| {
                let mut frame = [group, source.0].concat();
                frame.extend(kind.to_be_bytes());
                frame.extend([0xff; 46]);
                frame
            };
            host.refuses(0, BLUE_1, &frame(a), DropReason::Ethertype);
            host.punts(&frame(host_mac(7)), Punt::NotOurs);
        }
    }
}

#[test]
fn spec_6_sequence_numbers_lock_nobody_out() {
    let network = Network::standard().with(|network| {
        network.settings.reception = Reception::Tolerant;
    });
    let mut host = Nve::new(&network.changes(2));
    let packet = blue(b"hello, hnv", 0);
    let tunnel = network.tunnel(1, 2, BLUE_1);
    let mut wire = tunnel
        .with(|tunnel| tunnel.gre_flags = 0x3000)
        .wrap(&packet.frame());
    for number in [0u32, u32::MAX, 1, 1, 0x8000_0000, 0] {
        wire[42..46].copy_from_slice(&number.to_be_bytes());
        assert_eq!(host.delivers(0, BLUE_1, &wire), packet.frame());
    }
}

#[test]
fn spec_2_7_messages_between_hosts_are_nobodys_orders() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let before = Dump::of(host.policies.live());
    let lost = network.datagram("red a", "red b", 0).ip_packet();
    // A redirect and an unreachable of NVGRE, whose inner packet is one between the hosts.
    for (kind, code) in [(5, 10), (3, 10)] {
        let message = Packet::icmp("192.168.4.22", "192.168.4.11", 1, kind, &lost);
        let message = message
            .with(|packet| {
                packet.transport[1] = code;
                let (source, destination) = (packet.source, packet.destination);
                fill_transport(source, destination, 1, &mut packet.transport);
            })
            .between(host_mac(2), host_mac(1));
        let wire = network.tunnel(2, 1, RED_1).wrap(&message.frame());
        host.refuses_uplink(Some(RED_1), &wire, DropReason::SrcPaMismatch);
        let wire = network.tunnel(2, 1, 0xff_ffff).wrap(&message.frame());
        host.refuses_uplink(None, &wire, DropReason::VsidUnknown);
        host.punts(&message.frame(), Punt::HostStack);
    }
    assert_eq!(Dump::of(host.policies.live()), before);
}

/// RFC 7112 §5: otherwise neighbour discovery could pass that nobody has judged.
#[test]
fn spec_6_fragments_and_6_neighbours_a_first_fragment_shows_what_kind_of_icmpv6_it_is() {
    let (mut sender, mut receiver) = hosts();
    let in_pieces = |payload: &[u8], word: u16| {
        let [a, b] = ["blue a", "blue b"].map(|name| Network::standard().machine(name).clone());
        Packet::raw(a.addresses[1], b.addresses[1], 58, payload)
            .between(a.mac, b.mac)
            .with(|packet| packet.fragment = word)
    };
    let bare = in_pieces(&[], 0x2000);
    sender.refuses(0, BLUE_1, &bare.frame(), DropReason::TinyFragment);
    let behind_options = bare.with(|packet| packet.extensions = vec![(60, vec![0; 8])]);
    sender.refuses(0, BLUE_1, &behind_options.frame(), DropReason::TinyFragment);
    passes(&mut sender, &mut receiver, &in_pieces(&[128; 8], 0x2000));
    passes(&mut sender, &mut receiver, &in_pieces(&[], 0x0001));
}

//! §2.8: the distributed router tells the machines of IPv6 subnets that it is there; nobody else does.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::wire::multicast_mac;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::on_link;
use crate::support::packets::*;

const ALL_NODES: (MacAddress, &str) = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
const ALL_ROUTERS: (MacAddress, &str) = (MacAddress([0x33, 0x33, 0, 0, 0, 2]), "ff02::2");
/// An on-link prefix of which no machine makes itself addresses.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0xc0;

/// A router solicitation that tells this MAC address.
fn question(sender: (MacAddress, &str), told: Option<MacAddress>) -> Packet {
    let mut message = hex("8500 0000 00000000");
    if let Some(mac) = told {
        message.extend([1, 1]);
        message.extend(mac.0);
    }
    Packet::raw(sender.1, ALL_ROUTERS.1, 58, &message)
        .with(|packet| packet.hop_limit = 255)
        .checked()
        .between(sender.0, ALL_ROUTERS.0)
}

/// The router's answer.
fn answer(
    receiver: (MacAddress, &str),
    lifetime: u16,
    mtu: u16,
    prefixes: &[(&str, u8, u8)],
) -> Vec<u8> {
    let mut message = hex("8600 0000 4000");
    message.extend(lifetime.to_be_bytes());
    message.extend(hex("00000000 00000000"));
    message.extend(hex("0101"));
    message.extend(ROUTER.0);
    message.extend(hex("0501 0000 0000"));
    message.extend(mtu.to_be_bytes());
    for (prefix, length, flags) in prefixes {
        message.extend([3, 4, *length, *flags]);
        message.extend(hex("ffffffff ffffffff 00000000"));
        let std::net::IpAddr::V6(prefix) = ip(prefix) else {
            panic!("{prefix}");
        };
        message.extend(prefix.octets());
    }
    Packet::raw("fe80::1", receiver.1, 58, &message)
        .with(|packet| packet.hop_limit = 255)
        .checked()
        .between(ROUTER, receiver.0)
        .frame()
}

const BLUE: &[(&str, u8, u8)] = &[("2001:db8:1::", 64, ON_LINK)];

fn host_of(network: &Network) -> Nve {
    Nve::new(&network.changes(1))
}

#[test]
fn spec_2_8_advertisement_a_machine_that_asks_for_routers_hears_of_the_router() {
    let network = Network::standard();
    let mut host = host_of(&network);
    let a = network.machine("blue a").mac;
    for (asker, told, receiver) in [
        ("fe80::5", Some(a), (a, "fe80::5")),
        ("fe80::5", None, (a, "fe80::5")),
        ("2001:db8:1::5", Some(a), (a, "2001:db8:1::5")),
        ("::", None, ALL_NODES),
    ] {
        let reply = host.replies(0, BLUE_1, &question((a, asker), told).frame());
        assert_eq!(reply, answer(receiver, 65535, 1558 - 20, BLUE), "{asker}");
    }
    // Where it is sent to does not matter: no other router hears it.
    let to_router = question((a, "fe80::5"), None).with(|packet| {
        packet.destination = ip("fe80::1");
        packet.destination_mac = ROUTER;
    });
    let reply = host.replies(0, BLUE_1, &to_router.checked().frame());
    assert_eq!(reply, answer((a, "fe80::5"), 65535, 1538, BLUE));
}

#[test]
fn spec_2_8_advertisement_each_subnet_hears_its_own_prefixes_and_as_many_as_fit() {
    let network = Network::standard().with(|network| {
        let more = [
            "2001:db8:1:2::/64",
            "2001:db8:1:1::/80",
            "2001:db8:1:3::/64",
        ];
        network.subnets[0].2.extend(more);
        network.settings.router_advertisements = RouterAdvertisements::Autonomous;
    });
    let mut host = host_of(&network);
    for (name, port, vsid, prefixes) in [
        (
            "blue a",
            0,
            BLUE_1,
            &[
                ("2001:db8:1::", 64, AUTONOMOUS),
                // Nobody makes an address of 80 bits and 64.
                ("2001:db8:1:1::", 80, ON_LINK),
                ("2001:db8:1:2::", 64, AUTONOMOUS),
            ][..],
        ),
        (
            "blue near c",
            2,
            BLUE_2,
            &[("2001:db8:2::", 64, AUTONOMOUS)],
        ),
        ("red a", 3, RED_1, &[("2001:db8:1::", 64, AUTONOMOUS)]),
    ] {
        let asker = (network.machine(name).mac, "fe80::5");
        let reply = host.replies(port, vsid, &question(asker, None).frame());
        assert_eq!(reply, answer(asker, 65535, 1538, prefixes));
    }
    host.apply(&[
        Change::RemoveCustomerRoute(on_link(BLUE_1, "2001:db8:1:1::/80")),
        Change::RemoveCustomerRoute(on_link(BLUE_1, "2001:db8:1:2::/64")),
    ]);
    let asker = (network.machine("blue a").mac, "fe80::5");
    let left = [
        ("2001:db8:1::", 64, AUTONOMOUS),
        ("2001:db8:1:3::", 64, AUTONOMOUS),
    ];
    let reply = host.replies(0, BLUE_1, &question(asker, None).frame());
    assert_eq!(reply, answer(asker, 65535, 1538, &left));
}

/// The MTU that a machine is told.
fn told_mtu(network: &Network, name: &str) -> u16 {
    let mut host = host_of(network);
    let machine = network.machine(name);
    let asker = (machine.mac, "fe80::5");
    let reply = host.replies(machine.port, machine.vsid, &question(asker, None).frame());
    u16::from_be_bytes(reply[84..86].try_into().unwrap())
}

#[test]
fn spec_2_8_advertisement_the_mtu_fits_any_tunnel_or_is_plain_where_all_is_rewritten() {
    let network = Network::standard().with(|network| network.mtu = 1500);
    // A tunnel over IPv6 has the longer header, whichever is preferred.
    assert_eq!(told_mtu(&network, "blue a"), 1500 - 62);
    assert_eq!(told_mtu(&network, "green a"), 1500);
    let ipv4_only = network.changes(1).into_iter().filter(
        |change| !matches!(change, Change::AddProviderAddress(own) if own.address.get().is_ipv6()),
    );
    let mut host = Nve::new(&ipv4_only.collect::<Vec<_>>());
    let asker = (network.machine("blue a").mac, "fe80::5");
    let reply = host.replies(0, BLUE_1, &question(asker, None).frame());
    assert_eq!(reply, answer(asker, 65535, 1500 - 42, BLUE));
    // One machine that is, or may be, reached through a tunnel is enough.
    for host in [1, 2] {
        let mixed = network.clone().with(|network| {
            network.machine_mut("green b").transition = vec![host];
        });
        let expected = [1438, 1500][host as usize - 1];
        assert_eq!(told_mtu(&mixed, "green a"), expected);
    }
    let tunnelled = network.clone().with(|network| {
        network.machine_mut("green b").rewrite.clear();
    });
    assert_eq!(told_mtu(&tunnelled, "green a"), 1438);
}

#[test]
fn spec_2_8_advertisement_the_mtu_follows_the_records() {
    let network = Network::standard().with(|network| {
        network.mtu = 1500;
        network.machine_mut("green b").rewrite.clear();
    });
    let mut host = host_of(&network);
    let mtu = |host: &Nve| {
        let message = host.policies.live().router_advertisement(PortId(4));
        message.and_then(|message| message.mtu)
    };
    assert_eq!(mtu(&host), Some(1438));
    let b = network.machine("green b");
    let records = network.records(b, 1);
    host.apply(
        &records
            .iter()
            .map(|record| Change::RemoveRecord(record.name()))
            .collect::<Vec<_>>(),
    );
    assert_eq!(mtu(&host), Some(1500));
    host.apply(&[Change::AddRecord(records[0])]);
    assert_eq!(mtu(&host), Some(1438));
    let rewritten = LookupRecord {
        method: Method::Rewrite {
            provider_address: crate::support::pa("192.168.4.207"),
            use_vm_mac: false,
        },
        ..records[0]
    };
    host.apply(&[Change::SetRecord(rewritten)]);
    assert_eq!(mtu(&host), Some(1500));
}

#[test]
fn spec_2_8_advertisement_without_ipv6_or_by_policy_nobody_answers() {
    let silent = Network::standard()
        .with(|network| network.settings.router_advertisements = RouterAdvertisements::Off);
    let without = Network::standard().with(|network| network.subnets[0].2.truncate(1));
    let without = without.with(|network| {
        for name in ["blue a", "blue b", "blue near a"] {
            network.machine_mut(name).addresses.truncate(1);
        }
    });
    for network in [silent, without] {
        let mut host = host_of(&network);
        let asker = (network.machine("blue a").mac, "fe80::5");
        let frame = question(asker, None).frame();
        host.refuses(0, BLUE_1, &frame, DropReason::NeighbourUnknown);
        let policy = host.policies.live();
        assert_eq!(policy.router_advertisement(PortId(0)), None);
    }
}

/// What a gateway sends is on its way out of the tenant's network.
#[test]
fn spec_2_8_advertisement_a_gateway_is_not_sent_back_to_the_router() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(2));
    let asker = (network.machine("gate").mac, "fe80::2");
    let reply = host.replies(5, BLUE_EDGE, &question(asker, None).frame());
    let prefixes = [("2001:db8:3::", 64, ON_LINK)];
    assert_eq!(reply, answer(asker, 0, 1538, &prefixes));
}

#[test]
fn spec_2_8_advertisement_a_lie_in_a_router_solicitation_is_refused() {
    let network = Network::standard();
    let mut host = host_of(&network);
    let (a, near) = (
        network.machine("blue a").mac,
        network.machine("blue near a").mac,
    );
    for lie in [
        question((a, "fe80::5"), Some(near)),
        question((a, "2001:db8:1::9"), None),
        question((a, "2001:db8:1::99"), Some(a)),
        question((a, "2001:db8:1::1"), None),
        question((a, "fe80::1"), None),
    ] {
        host.refuses(0, BLUE_1, &lie.frame(), DropReason::NdSpoof);
    }
    let foreign = question((near, "fe80::9"), None).frame();
    host.refuses(0, BLUE_1, &foreign, DropReason::MacSpoof);
}

#[test]
fn spec_2_8_advertisement_a_damaged_router_solicitation_is_refused() {
    let network = Network::standard();
    let mut host = host_of(&network);
    let a = network.machine("blue a").mac;
    let good = question((a, "fe80::5"), Some(a));
    let resealed = |change: fn(&mut Packet)| good.clone().with(change).checked();
    for damaged in [
        resealed(|packet| packet.hop_limit = 254),
        resealed(|packet| packet.transport[1] = 1),
        resealed(|packet| packet.transport[9] = 0),
        resealed(|packet| packet.transport[9] = 2),
        resealed(|packet| packet.transport.truncate(12)),
        question((a, "::"), Some(a)),
        good.clone().with(|packet| packet.transport[2] ^= 1),
    ] {
        host.refuses(0, BLUE_1, &damaged.frame(), DropReason::Malformed);
    }
    let frame = good.frame();
    let bytes = &frame[..64];
    let window = Frame {
        length: frame.len(),
        ..Frame::whole(Ingress::Port(PortId(0)), bytes)
    };
    assert_eq!(host.process(&window), Fate::Dropped(DropReason::Truncated));
}

#[test]
fn spec_2_8_advertisement_what_is_advertised_unasked_is_what_is_answered() {
    let network = Network::standard();
    let host = host_of(&network);
    let policy = host.policies.live();
    let message = policy.router_advertisement(PortId(0)).unwrap();
    let mut out = [0xaa; LONGEST_MESSAGE];
    let length = message.emit(multicast_mac(message.destination), &mut out);
    let expected = answer(ALL_NODES, 65535, 1538, BLUE);
    assert_eq!(out[..length.unwrap()], expected);
    assert_eq!(policy.router_advertisement(PortId(63)), None);
}

#[test]
fn spec_2_8_advertisement_a_port_that_is_not_virtualised_hears_of_no_router() {
    let network = Network::standard();
    let mut host = host_of(&network);
    host.apply(&[Change::AddPort(Port {
        port: PortId(20),
        vsid: None,
        mac: MacAddress([2, 0, 0, 0, 0, 99]),
    })]);
    let policy = host.policies.live();
    assert_eq!(policy.router_advertisement(PortId(20)), None);
}

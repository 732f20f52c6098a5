//! A running network changes from rewrite to NVGRE and back: hosts are told one after another, and no packet is lost.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, pa, vsid};

const GREENS: [&str; 3] = ["green a", "green b", "green c"];

fn rewrite(provider_address: ProviderAddress) -> Method {
    Method::Rewrite {
        provider_address,
        use_vm_mac: false,
    }
}

fn transition(provider_address: ProviderAddress) -> Method {
    Method::Transition {
        provider_address,
        use_vm_mac: false,
    }
}

fn encapsulate(_: ProviderAddress) -> Method {
    Method::Encapsulate
}

/// The standard network, in which the hosts of these numbers say transition.
fn in_transition_on(hosts: &[u32]) -> Network {
    Network::standard().with(|network| {
        for name in GREENS {
            network.machine_mut(name).transition = hosts.to_vec();
        }
    })
}

/// Green's three machines on three hosts.
fn three_hosts() -> Network {
    Network::standard().with(|network| {
        network.hosts = 3;
        let green_c = network.machine_mut("green c");
        (green_c.host, green_c.port) = (3, 0);
    })
}

/// Every record of green's machines, and the provider address of each.
fn green_records(network: &Network, host: u32) -> Vec<(LookupRecord, ProviderAddress)> {
    let machines = GREENS.map(|name| network.machine(name));
    let records = machines.iter().flat_map(|machine| {
        let providers = machine.rewrite.iter().map(|provider| pa(provider));
        network.records(machine, host).into_iter().zip(providers)
    });
    records.collect()
}

/// Whether this frame on the wire is NVGRE, whatever its version of IP.
fn is_nvgre(wire: &[u8]) -> bool {
    match wire[12..14] {
        [0x08, 0x00] => wire[23] == 47,
        _ => wire[20] == 47,
    }
}

/// Every machine of a tenant reaches every other.
fn everybody_is_reached(network: &Network, fabric: &mut Fabric) {
    for tenant in [&GREENS[..], &["red a", "red b"]] {
        for from in tenant {
            for to in tenant.iter().filter(|to| *to != from) {
                for version in 0..2 {
                    is_reached(network, fabric, (from, to), version);
                }
            }
        }
    }
}

/// What one machine sends arrives where the other lives, rewritten if its host says so of both, otherwise in NVGRE.
fn is_reached(network: &Network, fabric: &mut Fabric, (from, to): (&str, &str), version: usize) {
    let (sender, receiver) = (network.machine(from), network.machine(to));
    let sent = network.datagram(from, to, version);
    let arrival = fabric.send(sender.host as usize, sender.port, &sent.frame());
    let arrival = arrival.unwrap_or_else(|fate| panic!("{from} to {to}: {fate:?}"));
    let mut expected = sent;
    if sender.vsid != receiver.vsid {
        expected.hop_limit -= 1;
        expected = expected.between(ROUTER, receiver.mac);
    }
    assert_eq!(arrival.frame, expected.frame(), "{from} to {to}");
    assert_eq!(
        (arrival.host as u32, arrival.port),
        (receiver.host, PortId(receiver.port))
    );
    let said = fabric.host(sender.host as usize).policies.live();
    let is_rewritten = |machine: &Machine| {
        let name = RecordName::Address(vsid(machine.vsid), ca(machine.addresses[version]));
        let mut records = said.lookup_records();
        let record = records.find(|record| record.name() == name).unwrap();
        matches!(record.method, Method::Rewrite { .. })
    };
    let is_encapsulated = !(is_rewritten(sender) && is_rewritten(receiver));
    assert_eq!(arrival.wire.len(), 1);
    assert_eq!(
        is_nvgre(&arrival.wire[0]),
        is_encapsulated,
        "{from} to {to}"
    );
}

#[test]
fn hosts_change_one_after_another_record_by_record_and_nothing_is_lost() {
    let network = three_hosts();
    for order in [[1, 2, 3], [3, 1, 2]] {
        let mut fabric = Fabric::new(&network);
        everybody_is_reached(&network, &mut fabric);
        for method in [transition, encapsulate, transition, rewrite] {
            for host in order {
                for (record, provider) in green_records(&network, host) {
                    let method = method(provider);
                    let changed = Change::SetRecord(LookupRecord { method, ..record });
                    fabric.host(host as usize).apply(&[changed]);
                    everybody_is_reached(&network, &mut fabric);
                }
            }
        }
    }
}

#[test]
fn a_host_that_says_rewrite_takes_nvgre_from_one_in_transition() {
    let network = in_transition_on(&[1]);
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        let frame = network.datagram("green a", "green b", version).frame();
        let wire = sender.transmits(4, GREEN_1, &frame);
        assert_eq!(wire, network.tunnel(1, 2, GREEN_1).wrap(&frame));
        assert_eq!(receiver.delivers(3, GREEN_1, &wire), frame);
    }
}

#[test]
fn a_host_in_transition_takes_rewritten_packets_from_one_that_says_rewrite() {
    let network = in_transition_on(&[2]);
    let mut sender = Nve::new(&network.changes(1));
    let mut receiver = Nve::new(&network.changes(2));
    for version in 0..2 {
        let packet = network.datagram("green a", "green b", version);
        let wire = sender.transmits(4, GREEN_1, &packet.frame());
        assert_eq!(wire.len(), packet.frame().len());
        assert_eq!(receiver.delivers(3, GREEN_1, &wire), packet.frame());
        let routed = network.datagram("green a", "green c", version);
        let wire = sender.transmits(4, GREEN_1, &routed.frame());
        assert!(!is_nvgre(&wire));
        let arrived = routed
            .between(ROUTER, network.machine("green c").mac)
            .with(|packet| packet.hop_limit -= 1);
        assert_eq!(receiver.delivers(4, GREEN_2, &wire), arrived.frame());
    }
}

#[test]
fn one_record_in_transition_is_enough_for_nvgre() {
    for name in ["green a", "green b"] {
        let network =
            Network::standard().with(|network| network.machine_mut(name).transition = vec![1, 2]);
        let frame = network.datagram("green a", "green b", 0).frame();
        let wire = Nve::new(&network.changes(1)).transmits(4, GREEN_1, &frame);
        assert_eq!(wire, network.tunnel(1, 2, GREEN_1).wrap(&frame));
        let rewritten = Nve::new(&Network::standard().changes(1)).transmits(4, GREEN_1, &frame);
        let mut receiver = Nve::new(&network.changes(2));
        for wire in [wire, rewritten] {
            assert_eq!(receiver.delivers(3, GREEN_1, &wire), frame);
        }
    }
}

#[test]
fn in_transition_what_only_rewrite_has_room_for_is_too_big() {
    let network = Network::standard();
    let machines = ["green a", "green b"].map(|name| network.machine(name).mac);
    let big = Packet::of_length("10.0.0.5", "10.0.0.7", 1559).between(machines[0], machines[1]);
    let mut host = Nve::new(&network.changes(1));
    host.transmits(4, GREEN_1, &big.frame());
    let mut host = Nve::new(&in_transition_on(&[1]).changes(1));
    host.explains(4, GREEN_1, &big.frame(), DropReason::TooBig);
}

#[test]
fn after_the_transition_nothing_rewritten_is_taken() {
    let before = Network::standard();
    let after = Network::standard().with(|network| {
        for name in GREENS {
            network.machine_mut(name).rewrite.clear();
        }
    });
    let frame = before.datagram("green a", "green b", 0).frame();
    let wire = Nve::new(&before.changes(1)).transmits(4, GREEN_1, &frame);
    Nve::new(&after.changes(2)).punts(&wire, Punt::NotOurs);
    // Nor from a machine whose record is through with it already.
    let half = in_transition_on(&[2]).with(|network| {
        network.machine_mut("green a").rewrite.clear();
    });
    let mut receiver = Nve::new(&half.changes(2));
    receiver.refuses_uplink(Some(GREEN_1), &wire, DropReason::SrcPaUnknown);
}

#[test]
fn tenants_in_transition_do_not_meet() {
    let network = in_transition_on(&[1, 2]).with(|network| {
        let red = network.machine_mut("red a");
        red.rewrite = vec!["192.168.4.108", "fd00:4::108"];
        red.transition = vec![2];
    });
    let mut receiver = Nve::new(&network.changes(2));
    for [foreign, unknown, to] in [
        ["192.168.4.108", "192.168.4.109", "192.168.4.207"],
        ["fd00:4::108", "fd00:4::109", "fd00:4::207"],
    ] {
        for source in [foreign, unknown] {
            let wire = Packet::udp(source, to, b"x").between(host_mac(1), host_mac(2));
            receiver.refuses_uplink(Some(GREEN_1), &wire.frame(), DropReason::SrcPaUnknown);
        }
    }
    // The VSID of another tenant does not help the sender either.
    let frame = network.datagram("green a", "green b", 0).frame();
    let foreign = network.tunnel(1, 2, RED_1).wrap(&frame);
    receiver.refuses_uplink(Some(RED_1), &foreign, DropReason::InnerSrcMac);
}

#[test]
fn the_provider_address_is_answered_for_and_announced_in_transition() {
    let peer = (host_mac(2), "192.168.4.22");
    let peer_v6 = (host_mac(2), "fd00:4::22");
    let owned = |host: &Nve| {
        let owned = host.policies.live().owned_addresses();
        let mut owned: Vec<_> = owned.map(|owned| owned.address).collect();
        owned.sort();
        owned
    };
    let under_rewrite = Nve::new(&Network::standard().changes(1));
    let mut host = Nve::new(&in_transition_on(&[1]).changes(1));
    assert_eq!(owned(&host), owned(&under_rewrite));
    for announced in host.policies.live().owned_addresses() {
        assert!(announced.announcement(&mut [0; LONGEST_MESSAGE]).is_ok());
    }
    host.replies_uplink(&arp_request(peer, "192.168.4.105"));
    host.replies_uplink(&solicitation(peer_v6, "fd00:4::105").frame());

    for (record, _) in green_records(&Network::standard(), 1) {
        let method = Method::Encapsulate;
        host.apply(&[Change::SetRecord(LookupRecord { method, ..record })]);
    }
    assert_eq!(owned(&host), [ip("192.168.4.11"), ip("fd00:4::11")]);
    host.punts(&arp_request(peer, "192.168.4.105"), Punt::NotOurs);
}

/// Green b moves from host 2 to host 3 while the hosts change their method; host 1 has not heard of the move.
#[test]
fn a_machine_that_moves_in_transition_is_found_in_either_form() {
    let green_b = Network::standard().machine("green b").mac;
    for transition in [vec![2, 3], vec![2], vec![3], vec![1, 2, 3], vec![1]] {
        let network = in_transition_on(&transition).with(|network| network.hosts = 3);
        let mut fabric = Fabric::new(&network);
        let port = PortId(3);
        fabric.host(3).apply(&[Change::AddPort(Port {
            port,
            vsid: Some(vsid(GREEN_1)),
            mac: green_b,
        })]);
        for address in ["10.0.0.7", "2001:db8:1::7"] {
            let name = RecordName::Address(vsid(GREEN_1), ca(address));
            let there = Location::Host(HostId(3));
            fabric.host(2).apply(&[Change::MoveRecord(name, there)]);
            fabric
                .host(3)
                .apply(&[Change::MoveRecord(name, Location::Port(port))]);
        }
        for version in 0..2 {
            let sent = network.datagram("green a", "green b", version);
            let arrival = fabric.send(1, 4, &sent.frame()).unwrap();
            assert_eq!((arrival.host, arrival.port), (3, port));
            let encapsulates = transition.contains(&1);
            let expected = match encapsulates {
                true => sent,
                // What was rewritten has only its own TTL to be counted down.
                false => sent.with(|packet| packet.hop_limit -= 1),
            };
            assert_eq!(arrival.frame, expected.frame());
            assert_eq!(arrival.wire.len(), 2);
            for wire in arrival.wire {
                assert_eq!(is_nvgre(&wire), encapsulates);
            }
        }
    }
}

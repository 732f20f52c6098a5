//! Tenants never meet: no frame of one routing domain reaches a port of another, unless a peering lets it.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;

use crate::frames::*;
use crate::support::drafts::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

fn addresses() -> Vec<String> {
    let mut addresses: Vec<&str> = ADDRESSES.into_iter().flatten().flatten().collect();
    addresses.extend([
        "198.51.100.9",
        "2001:db8:ffff::9",
        "10.0.0.1",
        "2001:db8:1::1",
        "fe80::1",
        "10.0.0.77",
        "255.255.255.255",
        "10.0.0.255",
        "224.0.0.251",
        "ff02::fb",
    ]);
    addresses.into_iter().map(String::from).collect()
}

fn provider_addresses() -> Vec<String> {
    let addresses = PROVIDER.into_iter().flatten();
    addresses.map(String::from).collect()
}

/// Groups and broadcast addresses, of each version.
const GROUPS: [(&str, &str); 4] = [
    ("255.255.255.255", "ff02::fb"),
    ("224.0.0.251", "ff05::2"),
    ("239.1.2.3", "ff0e::1"),
    ("10.0.0.255", "ff02::1"),
];

#[derive(Debug, Clone)]
struct Attempt {
    machine: Index,
    /// Speaks with the machine's own address, rather than any.
    is_honest: bool,
    destination_mac: MacAddress,
    packet: Packet,
    damage: Option<Damage>,
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let macs = select(vec![
        ROUTER,
        MacAddress([6, 0, 0, 0, 0, 0]),
        MacAddress([6, 0, 0, 0, 0, 1]),
        host_mac(2),
        MacAddress::BROADCAST,
    ]);
    let damage = prop::option::weighted(0.3, damage());
    (
        any::<Index>(),
        prop::bool::weighted(0.8),
        macs,
        packets_among(addresses()),
        damage,
    )
        .prop_map(
            |(machine, is_honest, destination_mac, packet, damage)| Attempt {
                machine,
                is_honest,
                destination_mac,
                packet,
                damage,
            },
        )
}

impl Attempt {
    fn frame(&self, sender: &Machine) -> Vec<u8> {
        let packet = self
            .packet
            .clone()
            .between(sender.mac, self.destination_mac);
        let packet = packet.with(|packet| {
            if self.is_honest {
                packet.source = ip(sender.addresses[usize::from(packet.source.is_ipv6())]);
            }
        });
        let mut frame = packet.frame();
        if let Some(damage) = &self.damage {
            damage.apply(&mut frame);
        }
        frame
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_a_machine_sends_stays_in_its_domain_or_goes_where_a_peering_lets_it(
        draft in drafts(),
        attempts in vec(attempts(), 1..60),
    ) {
        let network = draft.network();
        let mut fabric = Fabric::new(&network);
        for attempt in attempts {
            let sender = attempt.machine.get(&network.machines);
            let from = network.domain_of(sender.vsid);
            let Ok(arrival) = fabric.send(sender.host as usize, sender.port, &attempt.frame(sender)) else {
                continue;
            };
            let receiver = network
                .machines
                .iter()
                .find(|machine| (machine.host as usize, machine.port) == (arrival.host, arrival.port.0))
                .unwrap();
            let to = network.domain_of(receiver.vsid);
            let peering = Peering { from: DomainId(from), to: DomainId(to) };
            prop_assert!(
                from == to || network.peerings.contains(&peering),
                "from {:?} to {:?}", sender, receiver
            );
        }
    }

    #[test]
    fn what_the_wire_brings_goes_only_where_it_says_and_only_from_where_its_sender_lives(
        draft in drafts(),
        attempts in vec((attempts(), 1..=HOSTS, 1..=HOSTS, select(VSIDS.to_vec()), any::<Index>()), 1..60),
    ) {
        let network = draft.network();
        let mut fabric = Fabric::new(&network);
        for (attempt, from, to, vsid, receiver) in attempts {
            let sender = attempt.machine.get(&network.machines);
            let receiver = receiver.get(&network.machines);
            let inner = attempt.packet.clone().with(|packet| {
                let version = usize::from(packet.source.is_ipv6());
                if attempt.is_honest {
                    packet.source = ip(sender.addresses[version]);
                    packet.destination = ip(receiver.addresses[version]);
                }
            });
            for source_mac in [sender.mac, ROUTER] {
                let inner = inner.clone().between(source_mac, receiver.mac);
                let wire = network.tunnel(from, to, vsid).wrap(&inner.frame());
                let host = fabric.host(to as usize);
                let Fate::Delivered(port, frame) = host.take_from_uplink(&wire) else {
                    continue;
                };
                let machine = network
                    .machines
                    .iter()
                    .find(|machine| (machine.host, machine.port) == (to, port.0))
                    .unwrap();
                prop_assert_eq!(machine.vsid, vsid);
                prop_assert_eq!(&frame[..6], &machine.mac.0);
                // Somebody of that address, who may send here, or a gateway of the domain, lives on that host.
                let domain = network.domain_of(vsid);
                let may_send = |other: &Machine| {
                    let theirs = network.domain_of(other.vsid);
                    let peering = Peering { from: DomainId(theirs), to: DomainId(domain) };
                    theirs == domain || network.peerings.contains(&peering)
                };
                let is_believable = network.machines.iter().any(|other| {
                    let is_it = other.addresses.iter().any(|address| ip(address) == inner.source);
                    let is_gateway = other.is_gateway && network.domain_of(other.vsid) == domain;
                    other.host == from && (is_gateway || is_it && may_send(other))
                });
                prop_assert!(is_believable, "{:?} from host {} in {}", inner, from, vsid);
            }
        }
    }

    #[test]
    fn what_is_for_many_reaches_each_machine_of_the_subnet_once_and_no_other(
        draft in drafts(),
        attempts in vec((attempts(), select(GROUPS.to_vec())), 1..60),
    ) {
        let network = draft.network();
        let mut fabric = Fabric::new(&network);
        for (attempt, (v4, v6)) in attempts {
            let sender = attempt.machine.get(&network.machines);
            let mut attempt = attempt.clone();
            attempt.destination_mac = MacAddress::BROADCAST;
            attempt.packet.destination = if attempt.packet.source.is_ipv4() { ip(v4) } else { ip(v6) };
            let frame = attempt.frame(sender);
            let Ok(arrivals) = fabric.send_to_all(sender.host as usize, sender.port, &frame) else {
                continue;
            };
            let heard: Vec<_> = arrivals
                .iter()
                .map(|arrival| (arrival.host as u32, arrival.port.0))
                .collect();
            let machines = network.machines.iter().filter(|machine| machine.vsid == sender.vsid);
            let machines: Vec<_> = machines.collect();
            // Each host has its own opinion on which machines are reached by NVGRE; a gateway's wildcard record always is.
            let is_tunnelled = |machine: &Machine| {
                machine.rewrite.is_empty()
                    || machine.transition.contains(&sender.host)
                    || machine.is_gateway
            };
            let is_member = |host: u32| {
                machines.iter().any(|machine| machine.host == host && is_tunnelled(machine))
            };
            let others = machines.iter().filter(|machine| machine.port != sender.port);
            let expected: BTreeSet<_> = others
                .filter(|machine| machine.host == sender.host || is_member(machine.host))
                .map(|machine| (machine.host, machine.port))
                .collect();
            prop_assert_eq!(heard.len(), heard.iter().collect::<BTreeSet<_>>().len());
            let heard: BTreeSet<_> = heard.into_iter().collect();
            // Damage may reach what only the receiver's host looks at: it hears nothing then.
            let is_subset = heard.is_subset(&expected);
            prop_assert!(is_subset && (attempt.damage.is_some() || heard == expected), "{:?} {:?}", heard, expected);
        }
    }

    #[test]
    fn what_was_rewritten_goes_only_to_the_address_it_names_and_only_from_who_may_send(
        draft in drafts(),
        attempts in vec((packets_among(provider_addresses()), any::<Index>(), any::<bool>(), 1..=HOSTS), 1..60),
    ) {
        let network = draft.network();
        let mut fabric = Fabric::new(&network);
        let owner_of = |address| {
            let owns = |machine: &&Machine| machine.rewrite.iter().any(|own| ip(own) == address);
            network.machines.iter().find(owns)
        };
        for (packet, receiver, is_aimed, any_host) in attempts {
            let receiver = receiver.get(&network.machines);
            let mut packet = packet;
            let mut to = any_host;
            if let (true, Some(own)) = (is_aimed, receiver.rewrite.get(usize::from(packet.source.is_ipv6()))) {
                (packet.destination, to) = (ip(own), receiver.host);
            }
            let wire = packet.clone().between(host_mac(1), host_mac(to));
            let host = fabric.host(to as usize);
            let Fate::Delivered(port, frame) = host.take_from_uplink(&wire.frame()) else {
                continue;
            };
            let receiver = owner_of(packet.destination).unwrap();
            prop_assert_eq!((receiver.host, receiver.port), (to, port.0));
            prop_assert_eq!(&frame[..6], &receiver.mac.0);
            let sender = owner_of(packet.source).unwrap();
            let from = network.domain_of(sender.vsid);
            let to = network.domain_of(receiver.vsid);
            let peering = Peering { from: DomainId(from), to: DomainId(to) };
            prop_assert!(from == to || network.peerings.contains(&peering));
        }
    }
}

#[test]
fn random_networks_carry_most_of_what_they_should() {
    // Guards the properties above against drafts in which nothing can be sent at all.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut fates: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..200 {
        let network = drafts().new_tree(&mut runner).unwrap().current().network();
        let mut fabric = Fabric::new(&network);
        for sender in &network.machines {
            for receiver in &network.machines {
                let packet = Packet::udp(sender.addresses[0], receiver.addresses[0], b"x");
                let packet = packet.between(sender.mac, ROUTER);
                let sent = fabric.send(sender.host as usize, sender.port, &packet.frame());
                let is_same = network.domain_of(sender.vsid) == network.domain_of(receiver.vsid);
                let arrived = sent.is_ok_and(|arrival| {
                    (arrival.host as u32, arrival.port.0) == (receiver.host, receiver.port)
                });
                assert!(
                    arrived || !is_same,
                    "{sender:?} does not reach {receiver:?}"
                );
                *fates
                    .entry(if arrived { "arrived" } else { "not" })
                    .or_default() += 1;
            }
        }
    }
    assert!(fates["arrived"] > 1000 && fates["not"] > 1000, "{fates:?}");
}

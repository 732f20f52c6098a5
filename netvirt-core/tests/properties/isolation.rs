//! Tenants never meet: no frame of one routing domain reaches a port of another, unless a peering lets it.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;

use crate::frames::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::via;

const HOSTS: u32 = 3;
const VSIDS: [u32; 6] = [BLUE_1, BLUE_2, BLUE_EDGE, RED_1, GREEN_1, GREEN_2];
/// Few enough that tenants have the same ones all the time.
const PREFIXES: [[&str; 2]; 4] = [
    ["10.0.0.0/24", "2001:db8:1::/64"],
    ["10.0.1.0/24", "2001:db8:2::/64"],
    ["10.0.2.0/24", "2001:db8:3::/64"],
    ["10.0.3.0/24", "2001:db8:4::/64"],
];
/// Two addresses of each version in each prefix.
const ADDRESSES: [[[&str; 2]; 2]; 4] = [
    [["10.0.0.5", "2001:db8:1::5"], ["10.0.0.6", "2001:db8:1::6"]],
    [["10.0.1.5", "2001:db8:2::5"], ["10.0.1.6", "2001:db8:2::6"]],
    [["10.0.2.5", "2001:db8:3::5"], ["10.0.2.6", "2001:db8:3::6"]],
    [["10.0.3.5", "2001:db8:4::5"], ["10.0.3.6", "2001:db8:4::6"]],
];
const PROVIDER: [[&str; 2]; 12] = [
    ["192.168.4.101", "fd00:4::101"],
    ["192.168.4.102", "fd00:4::102"],
    ["192.168.4.103", "fd00:4::103"],
    ["192.168.4.104", "fd00:4::104"],
    ["192.168.4.105", "fd00:4::105"],
    ["192.168.4.106", "fd00:4::106"],
    ["192.168.4.107", "fd00:4::107"],
    ["192.168.4.108", "fd00:4::108"],
    ["192.168.4.109", "fd00:4::109"],
    ["192.168.4.110", "fd00:4::110"],
    ["192.168.4.111", "fd00:4::111"],
    ["192.168.4.112", "fd00:4::112"],
];

#[derive(Debug, Clone)]
struct Draft {
    /// Domain and prefix of each subnet.
    subnets: Vec<(u32, usize)>,
    /// Subnet, which of its addresses, host, rewritten, gateway.
    machines: Vec<(Index, usize, u32, bool, bool)>,
    /// Machines on whose records the hosts do not agree yet, and the hosts that say transition.
    transitions: Vec<(Index, Vec<u32>)>,
    routes: Vec<(Index, Index)>,
    peerings: Vec<(u32, u32)>,
    per_flow: bool,
}

fn drafts() -> impl Strategy<Value = Draft> {
    let subnets = vec((0u32..3, 0usize..4), 2..=6);
    let machine = (
        any::<Index>(),
        0usize..2,
        1..=HOSTS,
        any::<bool>(),
        prop::bool::weighted(0.15),
    );
    let machines = vec(machine, 3..=12);
    let transitions = vec((any::<Index>(), vec(1..=HOSTS, 0..=3)), 0..6);
    let routes = vec((any::<Index>(), any::<Index>()), 0..3);
    let peerings = vec((0u32..3, 0u32..3), 0..3);
    (
        subnets,
        machines,
        transitions,
        routes,
        peerings,
        any::<bool>(),
    )
        .prop_map(
            |(subnets, machines, transitions, routes, peerings, per_flow)| Draft {
                subnets,
                machines,
                transitions,
                routes,
                peerings,
                per_flow,
            },
        )
}

impl Draft {
    /// The network without what contradicts itself.
    fn network(&self) -> Network {
        let mut network = Network::standard();
        network.hosts = HOSTS;
        network.subnets.clear();
        network.machines.clear();
        network.routes.clear();
        if self.per_flow {
            network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 11 };
        }
        let mut kept: Vec<(u32, u32, usize)> = vec![];
        for (vsid, (domain, prefix)) in VSIDS.iter().zip(&self.subnets) {
            if kept
                .iter()
                .all(|(_, other, used)| (other, used) != (domain, prefix))
            {
                kept.push((*vsid, *domain, *prefix));
                let prefixes = PREFIXES[*prefix].to_vec();
                network.subnets.push((*vsid, DomainId(*domain), prefixes));
            }
        }
        for (number, (subnet, which, host, is_rewritten, is_gateway)) in
            self.machines.iter().enumerate()
        {
            let (vsid, _, prefix) = kept[subnet.index(kept.len())];
            let addresses = ADDRESSES[prefix][*which].to_vec();
            let is_taken = |other: &Machine| other.vsid == vsid && other.addresses == addresses;
            if network.machines.iter().any(is_taken) {
                continue;
            }
            network.machines.push(Machine {
                name: "any",
                vsid,
                mac: MacAddress([6, 0, 0, 0, 0, number as u8]),
                addresses,
                host: *host,
                port: number as u32,
                rewrite: if *is_rewritten {
                    PROVIDER[number].to_vec()
                } else {
                    vec![]
                },
                transition: vec![],
                use_vm_mac: false,
                is_gateway: *is_gateway,
            });
        }
        for (machine, hosts) in &self.transitions {
            let number = machine.index(network.machines.len());
            network.machines[number].transition.clone_from(hosts);
        }
        for (subnet, machine) in &self.routes {
            let (vsid, domain, _) = kept[subnet.index(kept.len())];
            let machine = machine.get(&network.machines).clone();
            if network.domain_of(machine.vsid) == domain
                && !network
                    .routes
                    .iter()
                    .any(|route| network.domain_of(route.vsid.get()) == domain)
            {
                network
                    .routes
                    .push(via(vsid, "0.0.0.0/0", machine.addresses[0]));
                network.routes.push(via(vsid, "::/0", machine.addresses[1]));
            }
        }
        // Domains that meet in a third must be disjoint too.
        let mut joined: BTreeSet<u32> = BTreeSet::new();
        for (from, to) in &self.peerings {
            let would_join: BTreeSet<u32> = joined.iter().copied().chain([*from, *to]).collect();
            let mut prefixes = kept
                .iter()
                .filter(|(_, domain, _)| would_join.contains(domain))
                .map(|(_, _, prefix)| *prefix);
            let mut used = BTreeSet::new();
            if from != to && prefixes.all(|prefix| used.insert(prefix)) {
                joined = would_join;
                network.peerings.push(Peering {
                    from: DomainId(*from),
                    to: DomainId(*to),
                });
            }
        }
        network
    }
}

impl Network {
    fn domain_of(&self, vsid: u32) -> u32 {
        self.subnets
            .iter()
            .find(|(other, ..)| *other == vsid)
            .unwrap()
            .1
            .0
    }
}

fn addresses() -> Vec<String> {
    let mut addresses: Vec<&str> = ADDRESSES.into_iter().flatten().flatten().collect();
    addresses.extend([
        "198.51.100.9",
        "2001:db8:ffff::9",
        "10.0.0.1",
        "2001:db8:1::1",
        "fe80::1",
        "10.0.0.77",
    ]);
    addresses.into_iter().map(String::from).collect()
}

fn provider_addresses() -> Vec<String> {
    let addresses = PROVIDER.into_iter().flatten();
    addresses.map(String::from).collect()
}

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

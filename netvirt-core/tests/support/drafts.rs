//! Random networks: few addresses, so that tenants have the same ones all the time.

use std::collections::BTreeSet;

use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::network::*;
use super::via;

/// How many hosts a random network has.
pub const HOSTS: u32 = 3;
pub const VSIDS: [u32; 6] = [BLUE_1, BLUE_2, BLUE_EDGE, RED_1, GREEN_1, GREEN_2];
const PREFIXES: [[&str; 2]; 4] = [
    ["10.0.0.0/24", "2001:db8:1::/64"],
    ["10.0.1.0/24", "2001:db8:2::/64"],
    ["10.0.2.0/24", "2001:db8:3::/64"],
    ["10.0.3.0/24", "2001:db8:4::/64"],
];
/// Two addresses of each version in each prefix.
pub const ADDRESSES: [[[&str; 2]; 2]; 4] = [
    [["10.0.0.5", "2001:db8:1::5"], ["10.0.0.6", "2001:db8:1::6"]],
    [["10.0.1.5", "2001:db8:2::5"], ["10.0.1.6", "2001:db8:2::6"]],
    [["10.0.2.5", "2001:db8:3::5"], ["10.0.2.6", "2001:db8:3::6"]],
    [["10.0.3.5", "2001:db8:4::5"], ["10.0.3.6", "2001:db8:4::6"]],
];
pub const PROVIDER: [[&str; 2]; 12] = [
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

/// A random network, with what contradicts itself.
#[derive(Debug, Clone)]
pub struct Draft {
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

pub fn drafts() -> impl Strategy<Value = Draft> {
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
    pub fn network(&self) -> Network {
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
    /// The routing domain of a subnet.
    pub fn domain_of(&self, vsid: u32) -> u32 {
        self.subnets
            .iter()
            .find(|(other, ..)| *other == vsid)
            .unwrap()
            .1
            .0
    }
}

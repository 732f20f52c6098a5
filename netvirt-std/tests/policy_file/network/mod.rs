//! Random policy files about few things, so that versions of a file quarrel over them.

mod edits;

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

pub use edits::{Edit, any_edit};
use netvirt_core::Prefix;
use proptest::prelude::*;
use proptest::sample::select;

/// Prefix, what it may be narrowed to, router.
const NETWORKS: [(&str, &str, &str); 3] = [
    ("192.168.4.0/24", "192.168.4.0/26", "192.168.4.30"),
    ("192.168.5.0/24", "192.168.5.0/25", "192.168.5.30"),
    ("2001:db8:4::/64", "2001:db8:4::/80", "2001:db8:4::30"),
];

const PROVIDER_ADDRESSES: [&str; 18] = [
    "192.168.4.11",
    "192.168.4.12",
    "192.168.4.13",
    "192.168.4.14",
    "192.168.4.15",
    "192.168.4.16",
    "192.168.4.17",
    "192.168.4.18",
    "192.168.4.19",
    "192.168.5.11",
    "192.168.5.12",
    "192.168.5.13",
    "192.168.5.14",
    "2001:db8:4::11",
    "2001:db8:4::12",
    "2001:db8:4::13",
    "2001:db8:4::14",
    "2001:db8:4::15",
];

const VSIDS: [u32; 4] = [5001, 5002, 6001, 7001];

const PREFIXES: [&str; 8] = [
    "10.0.0.0/24",
    "10.0.0.0/16",
    "10.0.0.4/30",
    "10.0.0.128/25",
    "10.0.1.0/24",
    "10.8.0.0/24",
    "fd00:1::/64",
    "fd00:2::/64",
];

const CUSTOMER_ADDRESSES: [&str; 12] = [
    "10.0.0.2",
    "10.0.0.4",
    "10.0.0.5",
    "10.0.0.6",
    "10.0.0.7",
    "10.0.0.130",
    "10.0.1.5",
    "10.8.0.5",
    "10.8.0.6",
    "fd00:1::5",
    "fd00:1::6",
    "fd00:2::5",
];

/// The last of them stands for the broadcast address of the subnet's first IPv4 prefix.
const FOR_MANY: [&str; 4] = ["239.1.1.1", "255.255.255.255", "ff02::fb", "broadcast"];

const PROVIDER_GROUPS: [&str; 3] = ["239.192.0.1", "239.192.0.2", "ff05::1"];

const METHODS: [&str; 3] = ["encapsulate", "rewrite", "transition"];

pub const HOSTS: usize = 4;
const DOMAINS: usize = 3;
const MACHINES: usize = 8;

/// What a file would like to say. What cannot stand beside what comes before it is left out.
#[derive(Debug, Clone)]
pub struct Plan {
    settings: u8,
    networks: Vec<NetworkPlan>,
    hosts: Vec<HostPlan>,
    subnets: Vec<SubnetPlan>,
    machines: Vec<MachinePlan>,
    routes: Vec<RoutePlan>,
    peerings: Vec<(usize, usize, bool)>,
}

#[derive(Debug, Clone)]
pub struct NetworkPlan {
    is_narrow: bool,
    vlan: Option<u16>,
    mtu: u16,
    metric: u8,
}

#[derive(Debug, Clone)]
pub struct HostPlan {
    is_there: bool,
    uplink: u8,
    addresses: Vec<usize>,
    neighbours: Vec<(usize, u8)>,
}

#[derive(Debug, Clone)]
pub struct SubnetPlan {
    domain: Option<usize>,
    method: usize,
    prefixes: Vec<usize>,
    groups: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
pub struct MachinePlan {
    is_there: bool,
    subnet: usize,
    host: usize,
    previous: Option<usize>,
    mac: u8,
    addresses: Vec<(usize, usize)>,
    is_gateway: bool,
    uses_vm_mac: bool,
}

#[derive(Debug, Clone)]
pub struct RoutePlan {
    domain: usize,
    prefix: &'static str,
    next_hop: usize,
    metric: u8,
}

fn any_network() -> impl Strategy<Value = NetworkPlan> {
    let vlan = prop::option::weighted(0.3, 100..102u16);
    (prop::bool::weighted(0.2), vlan, 1500..1502u16, 0..3u8).prop_map(
        |(is_narrow, vlan, mtu, metric)| NetworkPlan {
            is_narrow,
            vlan,
            mtu,
            metric,
        },
    )
}

fn any_host() -> impl Strategy<Value = HostPlan> {
    let addresses = prop_oneof![
        3 => prop::collection::vec(0..PROVIDER_ADDRESSES.len(), 1..3),
        1 => prop::collection::vec(0..PROVIDER_ADDRESSES.len(), 4..6),
    ];
    let neighbour = (0..PROVIDER_ADDRESSES.len(), 0..2u8);
    let neighbours = prop::collection::vec(neighbour, 0..3);
    (prop::bool::weighted(0.8), 0..2u8, addresses, neighbours).prop_map(
        |(is_there, uplink, addresses, neighbours)| HostPlan {
            is_there,
            uplink,
            addresses,
            neighbours,
        },
    )
}

fn any_subnet() -> impl Strategy<Value = SubnetPlan> {
    let domain = prop::option::weighted(0.9, 0..DOMAINS);
    let prefixes = prop::collection::vec(0..PREFIXES.len(), 1..4);
    let group = (0..FOR_MANY.len(), 0..PROVIDER_GROUPS.len());
    let groups = prop::collection::vec(group, 0..3);
    (domain, 0..METHODS.len(), prefixes, groups).prop_map(|(domain, method, prefixes, groups)| {
        SubnetPlan {
            domain,
            method,
            prefixes,
            groups,
        }
    })
}

fn any_machine() -> impl Strategy<Value = MachinePlan> {
    let pair = (0..CUSTOMER_ADDRESSES.len(), 0..PROVIDER_ADDRESSES.len());
    (
        prop::bool::weighted(0.9),
        0..VSIDS.len(),
        0..HOSTS,
        prop::option::weighted(0.3, 0..HOSTS),
        0..4u8,
        prop::collection::vec(pair, 1..6),
        prop::bool::weighted(0.3),
        any::<bool>(),
    )
        .prop_map(
            |(is_there, subnet, host, previous, mac, addresses, is_gateway, uses_vm_mac)| {
                MachinePlan {
                    is_there,
                    subnet,
                    host,
                    previous,
                    mac,
                    addresses,
                    is_gateway,
                    uses_vm_mac,
                }
            },
        )
}

fn any_route() -> impl Strategy<Value = RoutePlan> {
    let prefix = select(&["0.0.0.0/0", "172.16.0.0/12", "::/0"][..]);
    (0..DOMAINS, prefix, 0..CUSTOMER_ADDRESSES.len(), 0..3u8).prop_map(
        |(domain, prefix, next_hop, metric)| RoutePlan {
            domain,
            prefix,
            next_hop,
            metric,
        },
    )
}

fn any_peering() -> impl Strategy<Value = (usize, usize, bool)> {
    (0..DOMAINS, 0..DOMAINS, any::<bool>())
}

pub fn any_plan() -> impl Strategy<Value = Plan> {
    (
        0..3u8,
        prop::collection::vec(any_network(), NETWORKS.len()),
        prop::collection::vec(any_host(), HOSTS),
        prop::collection::vec(any_subnet(), VSIDS.len()),
        prop::collection::vec(any_machine(), MACHINES),
        prop::collection::vec(any_route(), 0..4),
        prop::collection::vec(any_peering(), 0..3),
    )
        .prop_map(
            |(settings, networks, hosts, subnets, machines, routes, peerings)| Plan {
                settings,
                networks,
                hosts,
                subnets,
                machines,
                routes,
                peerings,
            },
        )
}

impl Plan {
    /// The file. `host-1` is always there and comes first.
    pub fn render(&self) -> String {
        Writer::default().write(self)
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Whether a machine may own an address.
fn holds(prefix: Prefix, address: IpAddr) -> bool {
    prefix.contains(address)
        && address != prefix.address()
        && prefix.gateway() != Some(address)
        && (address.is_ipv6() || address != prefix.last())
}

fn quoted(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", quoted.join(", "))
}

/// A subnet that made it into the file.
struct Subnet {
    domain: usize,
    vsid: u32,
    method: &'static str,
    prefixes: Vec<Prefix>,
    /// Addresses for many, and the groups that carry them.
    groups: Vec<(IpAddr, &'static str)>,
}

/// The file so far, and what is taken.
#[derive(Default)]
struct Writer {
    text: String,
    provider_addresses: HashSet<usize>,
    /// The networks that each host is on.
    networks_of_hosts: Vec<Option<Vec<Prefix>>>,
    subnets: Vec<Option<Subnet>>,
    macs: HashSet<(u32, u8)>,
    customer_addresses: HashSet<(u32, usize)>,
}

impl Writer {
    fn write(mut self, plan: &Plan) -> String {
        let ttl = 64 + plan.settings;
        writeln!(self.text, "[settings]\nouter-ttl = {ttl}").unwrap();
        for (network, described) in plan.networks.iter().zip(NETWORKS) {
            self.network(network, described);
        }
        for (number, host) in plan.hosts.iter().enumerate() {
            self.host(plan, number, host);
        }
        for (vsid, subnet) in VSIDS.into_iter().zip(&plan.subnets) {
            self.choose_subnet(vsid, subnet);
        }
        for domain in 0..DOMAINS {
            self.domain(plan, domain);
        }
        for (number, machine) in plan.machines.iter().enumerate() {
            self.machine(number, machine);
        }
        self.peerings(plan);
        self.text
    }

    fn network(&mut self, plan: &NetworkPlan, (wide, narrow, router): (&str, &str, &str)) {
        let prefix = if plan.is_narrow { narrow } else { wide };
        let NetworkPlan { mtu, metric, .. } = plan;
        writeln!(
            self.text,
            "[[physical-network]]\nname = {wide:?}\nprefix = {prefix:?}\nmtu = {mtu}"
        )
        .unwrap();
        if let Some(vlan) = plan.vlan {
            writeln!(self.text, "vlan = {vlan}").unwrap();
        }
        let others = NETWORKS.iter().map(|(other, ..)| *other);
        let same_version = |other: &&str| ip(router).is_ipv4() == other.contains('.');
        for other in others.filter(|other| *other != wide).filter(same_version) {
            writeln!(
                self.text,
                "[[physical-network.route]]\nprefix = {other:?}\nnext-hop = {router:?}\nmetric = {metric}"
            )
            .unwrap();
        }
    }

    fn host(&mut self, plan: &Plan, number: usize, host: &HostPlan) {
        self.networks_of_hosts.push(None);
        let mut addresses = Vec::new();
        for address in &host.addresses {
            if addresses.len() < 4 && self.provider_addresses.insert(*address) {
                addresses.push(PROVIDER_ADDRESSES[*address]);
            }
        }
        if number == 0 && addresses.is_empty() {
            addresses.push("192.168.4.10");
        }
        // The local host does not leave.
        let is_there = number == 0 || host.is_there && !addresses.is_empty();
        if !is_there {
            for address in addresses {
                let number = PROVIDER_ADDRESSES
                    .iter()
                    .position(|known| *known == address);
                self.provider_addresses.remove(&number.unwrap());
            }
            return;
        }
        let name = number + 1;
        let uplink = host.uplink;
        writeln!(
            self.text,
            "[[host]]\nname = \"host-{name}\"\nuplink = {{ mac = \"0200000{uplink}000{name}\" }}\n\
             addresses = {}",
            quoted(&addresses)
        )
        .unwrap();
        let networks = plan.networks.iter().zip(NETWORKS);
        let networks = networks
            .map(|(plan, (wide, narrow, _))| prefix(if plan.is_narrow { narrow } else { wide }));
        let networks: Vec<Prefix> = networks
            .filter(|network| {
                addresses
                    .iter()
                    .any(|address| network.contains(ip(address)))
            })
            .collect();
        let mut known = HashSet::new();
        let neighbours = host.neighbours.iter().filter_map(|(address, mac)| {
            let address = PROVIDER_ADDRESSES[*address];
            let on_link = networks.iter().any(|network| network.contains(ip(address)));
            let is_good = on_link && !addresses.contains(&address) && known.insert(address);
            let written = format!("{{ address = {address:?}, mac = \"0200000000a{mac}\" }}");
            is_good.then_some(written)
        });
        let neighbours: Vec<String> = neighbours.collect();
        writeln!(self.text, "neighbours = [{}]", neighbours.join(", ")).unwrap();
        self.networks_of_hosts[number] = Some(networks);
    }

    fn choose_subnet(&mut self, vsid: u32, plan: &SubnetPlan) {
        let mut prefixes: Vec<Prefix> = Vec::new();
        for number in &plan.prefixes {
            let prefix = prefix(PREFIXES[*number]);
            let siblings = self.subnets.iter().flatten();
            let siblings = siblings.filter(|subnet| Some(subnet.domain) == plan.domain);
            let mut taken = siblings
                .flat_map(|subnet| &subnet.prefixes)
                .chain(&prefixes);
            if !taken.any(|other| other.overlaps(prefix)) {
                prefixes.push(prefix);
            }
        }
        let domain = plan.domain.filter(|_| !prefixes.is_empty());
        let groups = self.choose_groups(&prefixes, &plan.groups);
        self.subnets.push(domain.map(|domain| Subnet {
            domain,
            vsid,
            method: METHODS[plan.method],
            prefixes,
            groups,
        }));
    }

    /// Each address once, and only groups that any host can send to.
    fn choose_groups(
        &self,
        prefixes: &[Prefix],
        plan: &[(usize, usize)],
    ) -> Vec<(IpAddr, &'static str)> {
        let ipv4 = prefixes.iter().find(|prefix| prefix.address().is_ipv4());
        let mut known = HashSet::new();
        let groups = plan.iter().filter_map(|(address, provider)| {
            let provider = PROVIDER_GROUPS[*provider];
            let can_send = |networks: &Vec<Prefix>| {
                let mut addresses = networks.iter().map(|network| network.address());
                addresses.any(|address| address.is_ipv4() == ip(provider).is_ipv4())
            };
            let address = match FOR_MANY[*address] {
                "broadcast" => ipv4?.last(),
                address => ip(address),
            };
            let is_good = self.networks_of_hosts.iter().flatten().all(can_send);
            (is_good && known.insert(address)).then_some((address, provider))
        });
        groups.collect()
    }

    fn subnets_of(&self, domain: usize) -> impl Iterator<Item = &Subnet> {
        let subnets = self.subnets.iter().flatten();
        subnets.filter(move |subnet| subnet.domain == domain)
    }

    fn domain(&mut self, plan: &Plan, domain: usize) {
        let mut text = format!("[[routing-domain]]\nname = \"domain-{domain}\"\n");
        for subnet in self.subnets_of(domain) {
            let prefixes: Vec<String> = subnet.prefixes.iter().map(Prefix::to_string).collect();
            let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            text += &format!(
                "[[routing-domain.subnet]]\nvsid = {}\nmethod = {:?}\nprefixes = {}\n",
                subnet.vsid,
                subnet.method,
                quoted(&prefixes)
            );
            for (address, provider) in &subnet.groups {
                text += &format!(
                    "[[routing-domain.subnet.multicast]]\ngroup = \"{address}\"\nprovider = {provider:?}\n"
                );
            }
        }
        let mut known = HashSet::new();
        for route in plan.routes.iter().filter(|route| route.domain == domain) {
            let next_hop = CUSTOMER_ADDRESSES[route.next_hop];
            let in_a_subnet = self
                .subnets_of(domain)
                .flat_map(|subnet| &subnet.prefixes)
                .any(|prefix| holds(*prefix, ip(next_hop)));
            let same_version = prefix(route.prefix).address().is_ipv4() == ip(next_hop).is_ipv4();
            if in_a_subnet && same_version && known.insert((route.prefix, next_hop)) {
                text += &format!(
                    "[[routing-domain.route]]\nprefix = {:?}\nnext-hop = {next_hop:?}\nmetric = {}\n",
                    route.prefix, route.metric
                );
            }
        }
        self.text += &text;
    }

    fn machine(&mut self, number: usize, machine: &MachinePlan) {
        let (Some(subnet), Some(networks)) = (
            &self.subnets[machine.subnet],
            &self.networks_of_hosts[machine.host],
        ) else {
            return;
        };
        let vsid = subnet.vsid;
        if !machine.is_there || self.macs.contains(&(vsid, machine.mac)) {
            return;
        }
        let has_provider_addresses = subnet.method != "encapsulate";
        let (mut addresses, mut provider_addresses) = (Vec::new(), Vec::new());
        for (customer, provider) in &machine.addresses {
            let address = ip(CUSTOMER_ADDRESSES[*customer]);
            let is_legal = subnet.prefixes.iter().any(|prefix| holds(*prefix, address));
            if !is_legal || self.customer_addresses.contains(&(vsid, *customer)) {
                continue;
            }
            if has_provider_addresses {
                let from_there_on = (0..PROVIDER_ADDRESSES.len())
                    .map(|step| (provider + step) % PROVIDER_ADDRESSES.len());
                let can_stand = |number: &usize| {
                    let provider = ip(PROVIDER_ADDRESSES[*number]);
                    provider.is_ipv4() == address.is_ipv4()
                        && networks.iter().any(|network| network.contains(provider))
                        && !self.provider_addresses.contains(number)
                };
                let Some(free) = from_there_on.into_iter().find(can_stand) else {
                    continue;
                };
                self.provider_addresses.insert(free);
                provider_addresses.push(PROVIDER_ADDRESSES[free]);
            }
            self.customer_addresses.insert((vsid, *customer));
            addresses.push(CUSTOMER_ADDRESSES[*customer]);
        }
        let is_gateway = machine.is_gateway && !has_provider_addresses;
        if addresses.is_empty() && !is_gateway {
            return;
        }
        self.macs.insert((vsid, machine.mac));
        let text = &mut self.text;
        let (host, mac) = (machine.host + 1, machine.mac);
        writeln!(
            text,
            "[[vm]]\nname = \"vm-{number}\"\nsubnet = {vsid}\nhost = \"host-{host}\"\n\
             mac = \"06000000000{mac}\"\naddresses = {}\ngateway = {is_gateway}",
            quoted(&addresses)
        )
        .unwrap();
        if has_provider_addresses {
            let provider_addresses = quoted(&provider_addresses);
            let uses_vm_mac = machine.uses_vm_mac;
            writeln!(
                text,
                "provider-addresses = {provider_addresses}\nuse-vm-mac = {uses_vm_mac}"
            )
            .unwrap();
        }
        let is_there = |host: &usize| self.networks_of_hosts[*host].is_some();
        let left = machine.previous.filter(|host| *host != machine.host);
        if let Some(left) = left.filter(is_there) {
            writeln!(text, "migrating-from = \"host-{}\"", left + 1).unwrap();
        }
    }

    fn peerings(&mut self, plan: &Plan) {
        let mut rules: Vec<(usize, usize)> = Vec::new();
        for (from, to, both_ways) in &plan.peerings {
            let mut more = vec![(*from, *to)];
            if *both_ways {
                more.push((*to, *from));
            }
            let is_new = from != to && more.iter().all(|rule| !rules.contains(rule));
            if !is_new || !self.are_disjoint(&[&rules[..], &more].concat()) {
                continue;
            }
            rules.append(&mut more);
            writeln!(
                self.text,
                "[[peering]]\nfrom = \"domain-{from}\"\nto = \"domain-{to}\"\nboth-ways = {both_ways}"
            )
            .unwrap();
        }
    }

    /// Whether under these peerings no domain meets an address twice.
    fn are_disjoint(&self, rules: &[(usize, usize)]) -> bool {
        (0..DOMAINS).all(|domain| {
            let is_met = |other: &usize| {
                rules.contains(&(domain, *other)) || rules.contains(&(*other, domain))
            };
            let met = (0..DOMAINS).filter(|other| *other == domain || is_met(other));
            let prefixes: Vec<Prefix> = met
                .flat_map(|other| self.subnets_of(other))
                .flat_map(|subnet| subnet.prefixes.iter().copied())
                .collect();
            let pairs = prefixes.iter().enumerate();
            let mut pairs =
                pairs.flat_map(|(n, prefix)| prefixes[..n].iter().map(move |p| (prefix, p)));
            !pairs.any(|(prefix, other)| prefix.overlaps(*other))
        })
    }
}

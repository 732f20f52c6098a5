//! The provider network: physical networks, hosts, who reaches whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netvirt_core::ProviderAddress;
use netvirt_core::policy::ADDRESSES_PER_HOST;

use super::{Unique, list, overlaps, reserved};
use crate::policy_file::diagnostic::{Diagnostic, Log};
use crate::policy_file::model::{Host, Model, PhysicalNetwork, StaticNeighbour, VirtualMachine};
use crate::policy_file::mtu::{LEAST_IPV4_MTU, LEAST_IPV6_MTU, nvgre_overhead};
use crate::policy_file::reader::Located;

pub(super) fn check(model: &Model, log: &Log) {
    for network in &model.networks {
        check_network(network, log);
    }
    check_networks_apart(model, log);
    check_provider_addresses(model, log);
    check_uplinks(model, log);
    for host in &model.hosts {
        check_number_of_addresses(host, log);
    }
    if !model.networks_incomplete {
        let owners = owners(model);
        for host in &model.hosts {
            check_attached(model, host, log);
            check_neighbours(model, host, &owners, log);
        }
        check_ipv6_fits(model, log);
        if !model
            .networks
            .iter()
            .any(|network| network.routes_incomplete)
        {
            check_reach(model, log);
        }
    }
}

fn check_network(network: &PhysicalNetwork, log: &Log) {
    let prefix = network.prefix.value;
    let (least, family) = match prefix.address() {
        IpAddr::V4(_) => (LEAST_IPV4_MTU, "IPv4"),
        IpAddr::V6(_) => (LEAST_IPV6_MTU, "IPv6"),
    };
    if network.mtu.value < least {
        let message = format!("an MTU of {} is too small for {family}", network.mtu.value);
        log.note(
            Diagnostic::error(&network.mtu.span, message).remedy(format!(
                "write {least} or more; 1500 is usual, 1600 leaves room for NVGRE"
            )),
        );
    }
    for range in &network.pool {
        let ends = [range.value.first, range.value.last];
        let outside = ends.iter().find(|end| !prefix.contains(**end));
        let forbidden = ends
            .iter()
            .find_map(|end| Some((end, reserved(prefix, *end)?)));
        let problem = match (outside, forbidden) {
            (Some(end), _) => format!("{end} lies outside the physical network"),
            (None, Some((end, role))) => format!("{end} is {role}"),
            (None, None) => continue,
        };
        log.note(
            Diagnostic::error(
                &range.span,
                format!("the pool of {}: {problem}", network.name.value),
            )
            .there(&network.prefix.span, "the physical network")
            .remedy("let both ends of the range be addresses that a machine can own"),
        );
    }
    check_provider_routes(network, log);
}

fn check_provider_routes(network: &PhysicalNetwork, log: &Log) {
    let mut seen = Unique::new();
    for route in &network.routes {
        let (prefix, next_hop) = (route.prefix.value, route.next_hop.value.get());
        if prefix.address().is_ipv4() != next_hop.is_ipv4() {
            let message = format!("the route to {prefix} has a next hop of the other IP version");
            log.note(
                Diagnostic::error(&route.next_hop.span, message)
                    .there(&route.prefix.span, "the destinations")
                    .remedy("give a router of the same IP version as the destinations"),
            );
        } else if !network.prefix.value.contains(next_hop) {
            let message = format!(
                "the next hop {next_hop} is not on the physical network {}",
                network.name.value
            );
            log.note(
                Diagnostic::error(&route.next_hop.span, message)
                    .there(&network.prefix.span, "the physical network")
                    .remedy("give a router with an address in that prefix"),
            );
        } else {
            check_not_reserved(network, &route.next_hop, log);
        }
        let on_link = &network.prefix;
        if on_link.value.length() <= prefix.length() && on_link.value.overlaps(prefix) {
            let message =
                format!("{prefix} lies in the physical network itself and needs no route");
            log.note(
                Diagnostic::error(&route.prefix.span, message)
                    .there(&on_link.span, "on-link already")
                    .remedy("remove the route"),
            );
        }
        if let Some(first) = seen.see((prefix, next_hop), &route.prefix.span) {
            let message = format!("two routes to {prefix} have the same next hop {next_hop}");
            log.note(
                Diagnostic::error(&route.prefix.span, message)
                    .there(first, "the first is here")
                    .remedy("remove one of them"),
            );
        }
    }
}

fn check_networks_apart(model: &Model, log: &Log) {
    let prefixes = model
        .networks
        .iter()
        .map(|network| (&network.prefix, &network.name.value));
    for overlap in overlaps(prefixes.collect()) {
        let message = format!(
            "the physical networks {} and {} overlap",
            overlap.first.1, overlap.second.1
        );
        log.note(
            Diagnostic::error(&overlap.second.0.span, message)
                .there(&overlap.first.0.span, "overlaps this")
                .remedy("give each physical network a prefix of its own"),
        );
    }
}

/// A provider address belongs to one host, or to one address of one rewrite machine.
fn check_provider_addresses(model: &Model, log: &Log) {
    let mut owners = Unique::new();
    let of_hosts = model.hosts.iter().flat_map(|host| &host.addresses);
    let of_machines = model
        .machines
        .iter()
        .flat_map(VirtualMachine::provider_addresses);
    for address in of_hosts.chain(of_machines) {
        if let Some(first) = owners.see(address.value, &address.span) {
            let message = format!("provider address {} is given twice", address.value);
            log.note(
                Diagnostic::error(&address.span, message)
                    .there(first, "the first is here")
                    .remedy("a provider address has one owner: give another one here"),
            );
        }
    }
    for route in model.networks.iter().flat_map(|network| &network.routes) {
        let next_hop = &route.next_hop;
        if let Some(owner) = owners.place(&next_hop.value) {
            let message = format!(
                "the next hop {} is a host's or a machine's provider address, and these route nothing",
                next_hop.value
            );
            log.note(
                Diagnostic::error(&next_hop.span, message)
                    .there(owner, "whose it is")
                    .remedy("give the address of a router of the provider network"),
            );
        }
    }
}

/// The core spreads flows over this many addresses of a host.
fn check_number_of_addresses(host: &Host, log: &Log) {
    if let Some(extra) = host.addresses.get(ADDRESSES_PER_HOST) {
        let message = format!(
            "host {} has {} provider addresses",
            host.name.value,
            host.addresses.len()
        );
        log.note(
            Diagnostic::error(&extra.span, message)
                .remedy(format!("give it at most {ADDRESSES_PER_HOST}")),
        );
    }
}

/// A host's addresses lie in physical networks of the file.
fn check_attached(model: &Model, host: &Host, log: &Log) {
    for address in &host.addresses {
        if let Some(network) = model.network_of(address.value.get()) {
            check_not_reserved(network, address, log);
            continue;
        }
        let message = format!(
            "provider address {} of host {} lies in no physical network",
            address.value, host.name.value
        );
        let prefixes = list(model.networks.iter().map(|network| network.prefix.value));
        log.note(Diagnostic::error(&address.span, message).remedy(format!(
            "add a [[physical-network]] for it, or use an address in one of: {prefixes}"
        )));
    }
}

/// Notes a provider address that no machine of the physical network may own.
pub(super) fn check_not_reserved(
    network: &PhysicalNetwork,
    address: &Located<ProviderAddress>,
    log: &Log,
) {
    if let Some(role) = reserved(network.prefix.value, address.value.get()) {
        let message = format!(
            "{} is {role} of physical network {}",
            address.value, network.name.value
        );
        log.note(
            Diagnostic::error(&address.span, message)
                .there(&network.prefix.span, "the physical network")
                .remedy("use another address of the prefix"),
        );
    }
}

fn check_uplinks(model: &Model, log: &Log) {
    let mut macs = Unique::new();
    for host in &model.hosts {
        let mac = &host.uplink.mac;
        if let Some(first) = macs.see(mac.value, &mac.span) {
            let message = format!(
                "two hosts have an uplink with the MAC address {}",
                mac.value
            );
            log.note(
                Diagnostic::error(&mac.span, message)
                    .there(first, "the first is here")
                    .remedy("give the MAC address of this host's own adapter"),
            );
        }
    }
}

fn check_neighbours(model: &Model, host: &Host, owners: &Owners<'_>, log: &Log) {
    let networks = model.networks_of(host);
    let mut seen = Unique::new();
    for neighbour in &host.neighbours {
        let address = &neighbour.address;
        let on_link = |n: &&PhysicalNetwork| n.prefix.value.contains(address.value.get());
        if host.addresses.iter().any(|own| own.value == address.value) {
            let message = format!(
                "{} is host {}'s own address",
                address.value, host.name.value
            );
            log.note(
                Diagnostic::error(&address.span, message)
                    .remedy("a neighbour is another machine: remove the entry or correct it"),
            );
        } else if !networks.iter().any(on_link) {
            let message = format!(
                "the neighbour {} is on no physical network of host {}",
                address.value, host.name.value
            );
            log.note(Diagnostic::error(&address.span, message).remedy(format!(
                "a neighbour is reached without a router: give an address in one of: {}",
                list(networks.iter().map(|network| network.prefix.value))
            )));
        } else if let Some(first) = seen.see(address.value, &address.span) {
            let message = format!("the neighbour {} is given twice", address.value);
            log.note(
                Diagnostic::error(&address.span, message)
                    .there(first, "the first is here")
                    .remedy("remove one of them"),
            );
        } else if let Some(owner) = owners.get(&address.value) {
            check_neighbour_mac(neighbour, owner, log);
        }
    }
}

/// The hosts, by their addresses.
type Owners<'m> = BTreeMap<ProviderAddress, &'m Host>;

fn owners(model: &Model) -> Owners<'_> {
    let addresses = model.hosts.iter().flat_map(|host| {
        let with_owner = move |address: &Located<ProviderAddress>| (address.value, host);
        host.addresses.iter().map(with_owner)
    });
    addresses.collect()
}

/// A host's address is behind its uplink, unless something in between answers for it.
fn check_neighbour_mac(neighbour: &StaticNeighbour, owner: &Host, log: &Log) {
    let uplink = &owner.uplink.mac;
    if uplink.value != neighbour.mac {
        let message = format!(
            "the neighbour {} is host {}, whose uplink has another MAC address: {}",
            neighbour.address.value, owner.name.value, uplink.value
        );
        log.note(
            Diagnostic::warning(&neighbour.address.span, message)
                .there(&uplink.span, "its MAC address")
                .remedy("correct one of them, or remove the neighbour: it will be asked"),
        );
    }
}

/// Every host that knows an IPv6 subnet needs a path that carries 1280 bytes inside the tunnel: its machines may
/// reach others, of the same routing domain or a peered one, that take NVGRE.
fn check_ipv6_fits(model: &Model, log: &Log) {
    let hosts = model.hosts_of_domains();
    let mut noted = BTreeSet::new();
    for subnet in &model.subnets {
        let Some(prefix) = subnet.prefixes.iter().find(|p| p.value.address().is_ipv6()) else {
            continue;
        };
        let hosts = hosts[subnet.domain].iter().map(|host| &model.hosts[*host]);
        for network in hosts.flat_map(|host| model.networks_of(host)) {
            let needed = LEAST_IPV6_MTU + nvgre_overhead(network);
            if network.mtu.value >= needed || !noted.insert(network.name.span.start) {
                continue;
            }
            let message = format!(
                "the MTU of physical network {} is {}: too small for the IPv6 subnet {}",
                network.name.value, network.mtu.value, prefix.value
            );
            log.note(
                Diagnostic::error(&network.mtu.span, message)
                    .there(&prefix.span, "needs 1280 bytes inside the tunnel")
                    .remedy(format!(
                        "raise it to {needed} or more, on its links as well"
                    )),
            );
        }
    }
}

/// Machines that may talk are of no use to each other where their hosts cannot meet.
fn check_reach(model: &Model, log: &Log) {
    let mut hosts_of_domain: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for machine in &model.machines {
        let domain = model.subnet_of(machine).domain;
        hosts_of_domain
            .entry(domain)
            .or_default()
            .insert(machine.host.value);
    }
    let members = |domain| hosts_of_domain.get(&domain).into_iter().flatten().copied();
    let attachments = Attachments::new(model);
    let inside = hosts_of_domain.keys().map(|domain| (*domain, *domain));
    let across = model.peerings.iter().map(|rule| (rule.from, rule.to));
    let mut checked = BTreeSet::new();
    for (from, to) in inside.chain(across) {
        let senders: BTreeSet<usize> = members(from)
            .map(|host| attachments.representative(host))
            .collect();
        for (sender, receiver) in senders
            .into_iter()
            .flat_map(|sender| members(to).map(move |to| (sender, to)))
        {
            if checked.insert((sender, receiver)) && !attachments.reaches(sender, receiver) {
                note_unreachable(&model.hosts[sender], &model.hosts[receiver], log);
            }
        }
    }
}

fn note_unreachable(from: &Host, to: &Host, log: &Log) {
    let Some(address) = to.addresses.first() else {
        return;
    };
    let message = format!(
        "host {} has no way to host {}: the records of its machines stay Unusable there",
        from.name.value, to.name.value
    );
    log.note(
        Diagnostic::warning(&address.span, message)
            .there(&from.name.span, "the host that has to send")
            .remedy("add a [[physical-network.route]] that leads to this address"),
    );
}

/// Which host is on which physical networks.
struct Attachments<'m> {
    model: &'m Model,
    networks: Vec<Vec<&'m PhysicalNetwork>>,
    /// The first host on the same networks: what it reaches, they all reach.
    representatives: Vec<usize>,
}

impl<'m> Attachments<'m> {
    fn new(model: &'m Model) -> Self {
        let networks: Vec<_> = model
            .hosts
            .iter()
            .map(|host| model.networks_of(host))
            .collect();
        let mut first = BTreeMap::new();
        let representatives = networks.iter().enumerate().map(|(host, networks)| {
            let place = |network: &&PhysicalNetwork| network.prefix.span.start;
            let key: Vec<usize> = networks.iter().map(place).collect();
            *first.entry(key).or_insert(host)
        });
        Self {
            model,
            representatives: representatives.collect(),
            networks,
        }
    }

    fn representative(&self, host: usize) -> usize {
        self.representatives[host]
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        if self.networks[from].is_empty() || self.networks[to].is_empty() {
            return true; // That a host is on no network at all is noted elsewhere.
        }
        self.model.hosts[to].addresses.iter().any(|address| {
            let address = address.value.get();
            self.networks[from].iter().any(|network| {
                network.prefix.value.contains(address)
                    || network
                        .routes
                        .iter()
                        .any(|route| route.prefix.value.contains(address))
            })
        })
    }
}

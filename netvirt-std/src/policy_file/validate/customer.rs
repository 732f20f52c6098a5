//! The tenants: routing domains, their subnets and routes, and who may talk to whom.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::CustomerAddress;

use super::{Overlap, Unique, overlaps, reserved};
use crate::policy_file::diagnostic::{Diagnostic, Log, Span};
use crate::policy_file::model::{Model, Route, RoutingDomain, Subnet, VirtualMachine};

pub(super) fn check(model: &Model, log: &Log) {
    check_domain_ids(model, log);
    if !model.subnets_incomplete {
        check_members(model, log);
    }
    check_vsids(model, log);
    for domain in 0..model.domains.len() {
        check_prefixes_apart(model, domain, log);
    }
    let machines = Owners::new(model);
    for (position, domain) in model.domains.iter().enumerate() {
        check_routes(model, position, domain, &machines, log);
    }
    check_peerings(model, &machines, log);
}

fn check_domain_ids(model: &Model, log: &Log) {
    let mut seen = Unique::new();
    for id in model.domains.iter().filter_map(|domain| domain.id.as_ref()) {
        if let Some(first) = seen.see(id.value, &id.span) {
            let message = format!("two routing domains have the id {}", id.value.braced());
            log.note(
                Diagnostic::error(&id.span, message)
                    .there(first, "the first is here")
                    .remedy("give each routing domain a GUID of its own"),
            );
        }
    }
}

fn check_members(model: &Model, log: &Log) {
    for (position, domain) in model.domains.iter().enumerate() {
        if model.subnets_of(position).next().is_none() {
            let message = format!("routing domain {} has no subnet", domain.name.value);
            log.note(
                Diagnostic::warning(&domain.name.span, message)
                    .remedy("add a [[routing-domain.subnet]] behind it"),
            );
        }
    }
}

fn check_vsids(model: &Model, log: &Log) {
    let mut first_of: BTreeMap<_, &Subnet> = BTreeMap::new();
    for subnet in &model.subnets {
        let vsid = subnet.vsid.value;
        let Some(first) = first_of.get(&vsid) else {
            first_of.insert(vsid, subnet);
            continue;
        };
        let message = if first.domain == subnet.domain {
            format!("two subnets have VSID {vsid}")
        } else {
            format!(
                "VSID {vsid} is in two routing domains, {} and {}",
                model.domains[first.domain].name.value, model.domains[subnet.domain].name.value
            )
        };
        log.note(
            Diagnostic::error(&subnet.vsid.span, message)
                .there(&first.vsid.span, "the first is here")
                .remedy("give each subnet of the file a VSID of its own"),
        );
    }
}

fn check_prefixes_apart(model: &Model, domain: usize, log: &Log) {
    let prefixes = model.subnets_of(domain).flat_map(|subnet| {
        let with_owner = |prefix| (prefix, subnet.vsid.value);
        subnet.prefixes.iter().map(with_owner)
    });
    for overlap in overlaps(prefixes.collect()) {
        let message = format!(
            "{} and {} overlap within routing domain {}",
            overlap.first.0.value, overlap.second.0.value, model.domains[domain].name.value
        );
        log.note(
            Diagnostic::error(&overlap.second.0.span, message)
                .there(
                    &overlap.first.0.span,
                    format!("overlaps this prefix of subnet {}", overlap.first.1),
                )
                .remedy("give the subnets of one routing domain disjoint prefixes"),
        );
    }
}

/// Which machine owns a customer address, and where the file says so, by routing domain.
struct Owners<'m> {
    machines: BTreeMap<(usize, CustomerAddress), (&'m VirtualMachine, &'m Span)>,
}

impl<'m> Owners<'m> {
    fn new(model: &'m Model) -> Self {
        let mut machines = BTreeMap::new();
        for machine in &model.machines {
            let domain = model.subnet_of(machine).domain;
            for address in machine.addresses() {
                let key = (domain, address.value);
                machines.entry(key).or_insert((machine, &address.span));
            }
        }
        Self { machines }
    }

    /// The lowest address that machines of both domains own where their prefixes overlap.
    fn in_both(&self, overlap: &Overlap<'_, usize>) -> Option<CustomerAddress> {
        let Overlap { first, second } = overlap;
        let own = self
            .machines
            .keys()
            .filter(|(domain, _)| *domain == first.1);
        own.map(|(_, address)| *address)
            .filter(|address| {
                [first, second]
                    .iter()
                    .all(|side| side.0.value.contains(address.get()))
            })
            .find(|address| self.machines.contains_key(&(second.1, *address)))
    }

    /// Shows the machine that owns an address.
    fn show(&self, owner: (usize, CustomerAddress), found: Diagnostic) -> Diagnostic {
        match self.machines.get(&owner) {
            Some((machine, place)) => found.there(
                place,
                format!("{} is virtual machine {}", owner.1, machine.name.value),
            ),
            None => found,
        }
    }
}

fn check_routes(
    model: &Model,
    position: usize,
    domain: &RoutingDomain,
    machines: &Owners<'_>,
    log: &Log,
) {
    let mut seen = Unique::new();
    for route in &domain.routes {
        let (prefix, next_hop) = (route.prefix.value, route.next_hop.value);
        let on_link = model
            .subnets_of(position)
            .flat_map(|subnet| &subnet.prefixes)
            .find(|on_link| on_link.value == prefix);
        if let Some(on_link) = on_link {
            let message = format!("{prefix} is a subnet of this routing domain");
            log.note(
                Diagnostic::error(&route.prefix.span, message)
                    .there(&on_link.span, "on-link already")
                    .remedy("remove the route, or give destinations outside the routing domain"),
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
        if prefix.address().is_ipv4() != next_hop.get().is_ipv4() {
            let message = format!("the route to {prefix} has a next hop of the other IP version");
            log.note(
                Diagnostic::error(&route.next_hop.span, message)
                    .there(&route.prefix.span, "the destinations")
                    .remedy("give a machine of the same IP version as the destinations"),
            );
            continue;
        }
        check_next_hop(model, position, route, machines, log);
    }
}

fn check_next_hop(
    model: &Model,
    domain: usize,
    route: &Route<CustomerAddress>,
    machines: &Owners<'_>,
    log: &Log,
) {
    let next_hop = &route.next_hop;
    let address = next_hop.value.get();
    let name = &model.domains[domain].name.value;
    let prefixes = model.subnets_of(domain).flat_map(|subnet| &subnet.prefixes);
    let mut holding = prefixes.filter(|prefix| prefix.value.contains(address));
    let Some(prefix) = holding.next() else {
        let message = format!("the next hop {address} is in no subnet of routing domain {name}");
        log.note(
            Diagnostic::error(&next_hop.span, message)
                .remedy("give the address of a gateway machine of the same routing domain"),
        );
        return;
    };
    let role = if prefix.value.gateway() == Some(address) {
        Some("the distributed router itself")
    } else {
        reserved(prefix.value, address)
    };
    if let Some(role) = role {
        log.note(
            Diagnostic::error(
                &next_hop.span,
                format!("the next hop {address} is {role} in {}", prefix.value),
            )
            .there(&prefix.span, "the subnet's prefix")
            .remedy("give the address of the machine behind which the destinations lie"),
        );
        return;
    }
    match machines.machines.get(&(domain, next_hop.value)) {
        None if model.machines_incomplete => {}
        None => log.note(
            Diagnostic::warning(
                &next_hop.span,
                format!("no machine owns the next hop {address}: the route stays Unusable"),
            )
            .remedy("add a [[vm]] with this address"),
        ),
        Some((machine, _)) if !machine.is_gateway() => log.note(
            Diagnostic::warning(
                &next_hop.span,
                format!("the next hop {address} is no gateway: it may not send what it forwards"),
            )
            .there(&machine.name.span, "the machine that owns it")
            .remedy("add `gateway = true` to the machine"),
        ),
        Some(_) => {}
    }
}

fn check_peerings(model: &Model, machines: &Owners<'_>, log: &Log) {
    let mut seen = Unique::new();
    for rule in &model.peerings {
        if rule.from == rule.to {
            let name = &model.domains[rule.from].name.value;
            let message = format!("routing domain {name} cannot be peered with itself");
            log.note(
                Diagnostic::error(&rule.span, message)
                    .remedy("remove the rule: its subnets reach each other anyway"),
            );
            continue;
        }
        let directions = [(rule.from, rule.to), (rule.to, rule.from)];
        for direction in directions
            .into_iter()
            .take(if rule.both_ways { 2 } else { 1 })
        {
            if let Some(first) = seen.see(direction, &rule.span) {
                let message = format!(
                    "the peering from {} to {} is given twice",
                    model.domains[direction.0].name.value, model.domains[direction.1].name.value
                );
                log.note(
                    Diagnostic::error(&rule.span, message)
                        .there(first, "the first is here")
                        .remedy("remove one of them"),
                );
            }
        }
    }
    check_peers_apart(model, machines, log);
}

/// A destination must be found in one domain only, among all that a domain is peered with.
fn check_peers_apart(model: &Model, machines: &Owners<'_>, log: &Log) {
    let mut noted = BTreeSet::new();
    for (position, domain) in model.domains.iter().enumerate() {
        let rules = model
            .peerings
            .iter()
            .filter(|rule| rule.from != rule.to && (rule.from == position || rule.to == position));
        let meeting: BTreeMap<usize, _> = rules
            .map(|rule| (rule.from + rule.to - position, &rule.span))
            .collect();
        let prefixes = meeting
            .keys()
            .chain(std::iter::once(&position))
            .flat_map(|owner| {
                let subnets = model.subnets_of(*owner);
                subnets.flat_map(move |s| s.prefixes.iter().map(move |prefix| (prefix, *owner)))
            });
        for overlap in overlaps(prefixes.collect()) {
            let Overlap { first, second } = &overlap;
            let place = (first.0.span.start, second.0.span.start);
            if meeting.is_empty() || first.1 == second.1 || !noted.insert(place) {
                continue;
            }
            let Some(rule) = meeting.get(&second.1).or_else(|| meeting.get(&first.1)) else {
                continue;
            };
            let message = format!(
                "peering makes {} ambiguous for routing domain {}: it is in {} and in {}",
                second.0.value,
                domain.name.value,
                model.domains[first.1].name.value,
                model.domains[second.1].name.value
            );
            let mut found = Diagnostic::error(rule, message)
                .there(&first.0.span, "overlaps")
                .there(&second.0.span, "overlaps");
            if let Some(address) = machines.in_both(&overlap) {
                found = machines.show((first.1, address), found);
                found = machines.show((second.1, address), found);
            }
            log.note(found.remedy("peer only routing domains whose prefixes are disjoint"));
        }
    }
}

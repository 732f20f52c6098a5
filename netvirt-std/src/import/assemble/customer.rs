//! The tenants: routing domains, their subnets, and routes to what lies outside.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netvirt_core::{Prefix, Vsid};
use uuid::Uuid;

use super::{Assembler, LookupRecord};
use crate::import::network::{Route, RoutingDomain, Subnet};
use crate::import::tables::{At, HostIndex, Row, Rule, TableName};
use crate::policy_file::{Diagnostic, Span};

/// A customer route, and a host that has it.
#[derive(Debug)]
struct Told {
    host: HostIndex,
    domain: At<Uuid>,
    vsid: At<Vsid>,
    prefix: At<Prefix>,
    next_hop: At<IpAddr>,
    metric: Option<At<u32>>,
    place: Span,
}

impl Told {
    fn of(host: HostIndex, row: &Row) -> Option<Self> {
        Some(Self {
            host,
            domain: row.at("RoutingDomainID")?,
            vsid: row.at("VirtualSubnetID")?,
            prefix: row.at("DestinationPrefix")?,
            next_hop: row.at("NextHop")?,
            metric: row.at("Metric"),
            place: row.place.clone(),
        })
    }

    fn metric(&self) -> Option<u32> {
        self.metric.as_ref().map(|metric| metric.value)
    }
}

impl Assembler<'_> {
    /// The routing domains in the order in which the script comes to them.
    pub(super) fn domains(&self, records: &[LookupRecord]) -> Vec<RoutingDomain> {
        let mut domains: Vec<RoutingDomain> = Vec::new();
        for route in self.customer_routes() {
            let is_it = |domain: &RoutingDomain| domain.id == route.domain.value;
            let position = domains.iter().position(is_it).unwrap_or_else(|| {
                domains.push(RoutingDomain {
                    name: String::new(),
                    id: route.domain.value,
                    subnets: Vec::new(),
                    routes: Vec::new(),
                    place: route.place.clone(),
                });
                domains.len() - 1
            });
            if route.next_hop.value.is_unspecified() {
                add_prefix(&mut domains[position].subnets, route);
            } else {
                add_route(&mut domains[position].routes, route);
            }
        }
        // A domain whose routes all lead elsewhere has nobody who could use them.
        domains.retain(|domain| !domain.subnets.is_empty());
        self.choose_methods(&mut domains, records);
        self.name_domains(&mut domains);
        self.note_homeless(&domains, records);
        domains
    }

    /// The routes in the order in which they were made, each once; a subnet lies in one domain.
    fn customer_routes(&self) -> Vec<Told> {
        let mut routes: Vec<Told> = Vec::new();
        let mut known: BTreeMap<_, usize> = BTreeMap::new();
        let mut homes: BTreeMap<Vsid, At<Uuid>> = BTreeMap::new();
        for (host, row) in self.state.rows(TableName::CustomerRoutes) {
            let Some(route) = Told::of(host, row) else {
                continue;
            };
            let home = homes
                .entry(route.vsid.value)
                .or_insert_with(|| route.domain.clone());
            if home.value != route.domain.value {
                let message = format!(
                    "VSID {} is in two routing domains, {} and {}",
                    route.vsid.value,
                    home.value.braced(),
                    route.domain.value.braced()
                );
                let remedy = "put each virtual subnet into one routing domain";
                self.contradiction(&route.domain, &home.clone(), message, remedy);
                continue;
            }
            let key = (route.vsid.value, route.prefix.value, route.next_hop.value);
            match known.get(&key) {
                Some(position) => self.compare_metrics(&routes[*position], &route),
                None => {
                    known.insert(key, routes.len());
                    routes.push(route);
                }
            }
        }
        routes
    }

    fn compare_metrics(&self, first: &Told, later: &Told) {
        if first.metric() == later.metric() {
            return;
        }
        let said = |route: &Told| {
            route
                .metric()
                .map_or("none".to_owned(), |metric| metric.to_string())
        };
        let message = format!(
            "the route to {} has metric {} for {}, {} for {}",
            later.prefix.value,
            said(later),
            self.state.host_entry(later.host),
            said(first),
            self.state.host_entry(first.host)
        );
        let place = |route: &Told| At {
            value: (),
            span: route
                .metric
                .as_ref()
                .map_or(&route.place, |metric| &metric.span)
                .clone(),
        };
        self.contradiction(
            &place(later),
            &place(first),
            message,
            "give it the same -Metric on all hosts",
        );
    }

    /// A policy file has one method for all machines of a subnet.
    fn choose_methods(&self, domains: &mut [RoutingDomain], records: &[LookupRecord]) {
        let mut methods: BTreeMap<Vsid, &At<Rule>> = BTreeMap::new();
        for record in records {
            let vsid = record.vsid.value;
            let first = methods.entry(vsid).or_insert(&record.rule);
            if first.value != record.rule.value {
                let message = format!(
                    "VSID {vsid} has records of both TranslationMethodEncap and TranslationMethodNat"
                );
                let remedy = "a policy file has one method for a virtual subnet: use one rule for all its records";
                self.contradiction(&record.rule, first, message, remedy);
            }
        }
        for subnet in domains.iter_mut().flat_map(|domain| &mut domain.subnets) {
            subnet.rewrite = methods
                .get(&subnet.vsid)
                .is_some_and(|rule| rule.value == Rule::Rewrite);
        }
    }

    fn name_domains(&self, domains: &mut [RoutingDomain]) {
        for domain in &mut *domains {
            let lowest = domain.subnets.iter().map(|subnet| subnet.vsid).min();
            domain.name = lowest.map_or_else(String::new, |vsid| format!("domain-{vsid}"));
        }
        if let Some(first) = domains.first() {
            let names: Vec<_> = domains.iter().map(|domain| domain.name.as_str()).collect();
            let what = match names[..] {
                [only] => format!(
                    "the name of routing domain {only:?}; commands know it by its GUID only"
                ),
                _ => format!(
                    "the names of routing domains {}; commands know them by their GUIDs only",
                    names.join(", ")
                ),
            };
            self.assume(
                &first.place,
                what,
                "give them names of your own in the file",
            );
        }
    }

    /// Records of subnets that no route puts into a domain.
    fn note_homeless(&self, domains: &[RoutingDomain], records: &[LookupRecord]) {
        let mut homes = domains
            .iter()
            .flat_map(|domain| &domain.subnets)
            .map(|subnet| subnet.vsid);
        let homes: Vec<Vsid> = homes.by_ref().collect();
        let mut told = Vec::new();
        for vsid in records.iter().map(|record| &record.vsid) {
            if homes.contains(&vsid.value) || told.contains(&vsid.value) {
                continue;
            }
            told.push(vsid.value);
            let message = format!(
                "no on-link customer route says which prefix VSID {} is",
                vsid.value
            );
            self.miss(Diagnostic::error(&vsid.span, message).remedy(
                "add its New-NetVirtualizationCustomerRoute with -NextHop 0.0.0.0, or :: for IPv6",
            ));
        }
    }
}

fn add_prefix(subnets: &mut Vec<Subnet>, route: Told) {
    match subnets
        .iter_mut()
        .find(|subnet| subnet.vsid == route.vsid.value)
    {
        Some(subnet) => subnet.prefixes.push(route.prefix),
        None => subnets.push(Subnet {
            vsid: route.vsid.value,
            prefixes: vec![route.prefix],
            rewrite: false,
            place: route.place,
        }),
    }
}

/// Routes are the domain's: one that several of its subnets have is one route, with the metric that wins.
fn add_route(routes: &mut Vec<Route>, route: Told) {
    let metric = route.metric();
    let is_it = |known: &&mut Route| {
        known.prefix.value == route.prefix.value && known.next_hop.value == route.next_hop.value
    };
    match routes.iter_mut().find(is_it) {
        Some(known) => known.metric = known.metric.min(metric),
        None => routes.push(Route {
            prefix: route.prefix,
            next_hop: route.next_hop,
            metric,
        }),
    }
}

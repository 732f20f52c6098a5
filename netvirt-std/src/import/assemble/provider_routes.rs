//! Provider routes: hosts have them, in a policy file physical networks have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netvirt_core::Prefix;

use super::Assembler;
use super::provider::Provider;
use crate::import::network::{PhysicalNetwork, Route};
use crate::import::tables::{At, HostIndex, TableName};
use crate::policy_file::Diagnostic;

/// A route, and the hosts that have it.
struct Gathered {
    route: Route,
    hosts: BTreeSet<HostIndex>,
}

impl Assembler<'_> {
    pub(super) fn add_provider_routes(&self, provider: &mut Provider) {
        let mut gathered: Vec<(usize, Gathered)> = Vec::new();
        let mut known = BTreeMap::new();
        for (host, row) in self.state.rows(TableName::ProviderRoutes) {
            let (Some(prefix), Some(next_hop)) = (
                row.at::<Prefix>("DestinationPrefix"),
                row.at::<IpAddr>("NextHop"),
            ) else {
                continue;
            };
            let Some(network) = self.network_of_route(provider, &prefix, &next_hop) else {
                continue;
            };
            let route = Route {
                metric: row.at::<u32>("Metric").map(|metric| metric.value),
                prefix,
                next_hop,
            };
            let key = (network, route.prefix.value, route.next_hop.value);
            let position = *known.entry(key).or_insert(gathered.len());
            match gathered.get_mut(position) {
                Some((_, first)) => {
                    self.compare_provider_routes(&first.route, &route);
                    first.hosts.insert(host);
                }
                None => {
                    let hosts = BTreeSet::from([host]);
                    gathered.push((network, Gathered { route, hosts }));
                }
            }
        }
        for (network, Gathered { route, hosts }) in gathered {
            self.note_widened(provider, network, &route.prefix, &hosts);
            if let Some(network) = provider.networks.get_mut(network) {
                network.routes.push(route);
            }
        }
    }

    fn compare_provider_routes(&self, first: &Route, later: &Route) {
        if first.metric != later.metric {
            let prefix = later.prefix.value;
            let message = format!("the route to {prefix} has another metric on another host");
            let remedy = "give it the same -Metric on all hosts";
            self.contradiction(&later.prefix, &first.prefix, message, remedy);
        }
    }

    /// The position of the physical network that a route leaves through, if it must be written.
    fn network_of_route(
        &self,
        provider: &Provider,
        prefix: &At<Prefix>,
        next_hop: &At<IpAddr>,
    ) -> Option<usize> {
        let (destinations, hop) = (prefix.value, next_hop.value);
        if hop.is_unspecified() {
            let is_on_link = |network: &PhysicalNetwork| network.prefix == destinations;
            if !provider.networks.iter().any(is_on_link) {
                let message =
                    format!("no provider address lies in {destinations}, which is to be on-link");
                self.miss(Diagnostic::error(&prefix.span, message).remedy(
                    "give a host a provider address in it with that -PrefixLength, or the route a router as -NextHop",
                ));
            }
            return None;
        }
        let holds = |network: &PhysicalNetwork| network.prefix.contains(hop);
        let found = provider.networks.iter().position(holds);
        if found.is_none() {
            let message = format!("the next hop {hop} is on no physical network of the script");
            let remedy = "give a router on the network of a provider address";
            self.miss(Diagnostic::error(&next_hop.span, message).remedy(remedy));
        }
        found
    }

    /// Tells of the hosts that get a route which they do not have in the script.
    fn note_widened(
        &self,
        provider: &Provider,
        network: usize,
        prefix: &At<Prefix>,
        hosts: &BTreeSet<HostIndex>,
    ) {
        let with_route = hosts.iter().filter_map(|host| provider.positions.get(host));
        let with_route: BTreeSet<usize> = with_route.copied().collect();
        let Some(network) = provider.networks.get(network).map(|network| network.prefix) else {
            return;
        };
        let hosts = provider.hosts.iter().enumerate();
        let without = hosts.filter(|(position, host)| {
            let is_on = host
                .addresses
                .iter()
                .any(|address| network.contains(address.value));
            is_on && !with_route.contains(position)
        });
        let without: Vec<String> = without
            .map(|(_, host)| format!("{:?}", host.name))
            .collect();
        if !without.is_empty() {
            let message = format!(
                "the route to {} is given to all hosts of its physical network, also to {}",
                prefix.value,
                without.join(", ")
            );
            let remedy =
                "a policy file knows no routes of single hosts: see that it does no harm there";
            self.findings
                .note(Diagnostic::warning(&prefix.span, message).remedy(remedy));
        }
    }
}

//! Customer routes, and their flattening for lookup.

use super::super::change::{CustomerRoute, RouteTarget};
use super::super::networks::{Domain, Route, RouteKind};
use super::super::refusal::{InTable, Missing, Refusal, TableName};
use super::super::tables::Policy;
use crate::address::{AddressBits, CustomerAddress, DomainId, Family, Prefix, Vsid};
use crate::table::{Interval, IntervalPool, PrefixValue, Run};
use crate::wire::RouterAdvertisement;

impl Policy<'_> {
    pub(super) fn add_customer_route(&mut self, declared: &CustomerRoute) -> Result<(), Refusal> {
        let (domain, route) = self.check_route(declared)?;
        if let Some(present) = self.find_route(domain, &route) {
            let same = self
                .route(present)
                .is_some_and(|present| present.metric == declared.metric);
            let exists = Missing::CustomerRoute(declared.vsid, declared.prefix);
            return if same {
                Ok(())
            } else {
                Err(Refusal::Exists(exists))
            };
        }
        if declared.target == RouteTarget::OnLink {
            self.check_no_overlap(domain, declared.prefix)?;
            for peer in self.peers(domain) {
                self.check_no_overlap(peer, declared.prefix)?;
                for other in self.peers(peer).filter(|other| *other != domain) {
                    self.check_no_overlap(other, declared.prefix)?;
                }
            }
            self.check_reserved_addresses(declared.vsid, declared.prefix)?;
        }
        self.link_route(domain, route)?;
        self.use_subnet(route.subnet, 1);
        self.routes_changed(domain, &route)
    }

    pub(super) fn set_customer_route(&mut self, declared: &CustomerRoute) -> Result<(), Refusal> {
        self.remove_customer_route(declared)?;
        self.add_customer_route(declared)
    }

    pub(super) fn remove_customer_route(
        &mut self,
        declared: &CustomerRoute,
    ) -> Result<(), Refusal> {
        let (domain, route) = self.check_route(declared)?;
        let missing = Refusal::Missing(Missing::CustomerRoute(declared.vsid, declared.prefix));
        let number = self.find_route(domain, &route).ok_or(missing)?;
        self.unlink_route(domain, number);
        self.use_subnet(route.subnet, -1);
        self.routes_changed(domain, &route)
    }

    fn check_route(&self, declared: &CustomerRoute) -> Result<(DomainId, Route), Refusal> {
        let number = self.present_subnet(declared.vsid)?;
        let missing = Refusal::Missing(Missing::Subnet(declared.vsid));
        let subnet = self.subnet(number).ok_or(missing)?;
        if let RouteTarget::Via(next_hop) = declared.target
            && Family::of(next_hop.get()) != Family::of(declared.prefix.address())
        {
            return Err(Refusal::NextHopFamily(declared.prefix, next_hop.get()));
        }
        let route = Route::new(declared.prefix, declared.target, declared.metric, number);
        Ok((DomainId(subnet.domain), route))
    }

    /// Refuses a prefix that shares addresses with a subnet of `domain`.
    pub(super) fn check_no_overlap(&self, domain: DomainId, prefix: Prefix) -> Result<(), Refusal> {
        let subnets = self
            .domain_routes(domain)
            .filter(|(_, route)| route.kind == RouteKind::OnLink);
        for (_, route) in subnets {
            if let Some(other) = route.prefix()
                && other.overlaps(prefix)
                && let Some(Ok(other_subnet)) = self
                    .subnet(route.subnet)
                    .map(|subnet| Vsid::new(subnet.vsid))
            {
                return Err(Refusal::Overlap {
                    prefix,
                    other,
                    other_subnet,
                });
            }
        }
        Ok(())
    }

    fn routes_changed(&mut self, domain: DomainId, route: &Route) -> Result<(), Refusal> {
        if route.kind == RouteKind::OnLink {
            self.note_prefixes(domain, route);
            for number in 0..self.peerings.capacity() {
                if let Some(peering) = self.peerings.get(number).copied().flatten()
                    && (peering.from == domain || peering.to == domain)
                {
                    self.take_down(peering.from)?;
                    self.take_down(peering.to)?;
                }
            }
        }
        self.take_down(domain)
    }

    /// Notes in a subnet which on-link routes it has, after a change of one.
    fn note_prefixes(&mut self, domain: DomainId, changed: &Route) {
        let family = changed.family();
        let own = |(_, other): &(u32, &Route)| {
            other.kind == RouteKind::OnLink
                && other.subnet == changed.subnet
                && other.family() == family
        };
        let first = self.domain_routes(domain).find(own);
        let first = first.map(|(_, route)| (route.base, route.length));
        let mut numbers = [0; RouterAdvertisement::MAX_PREFIXES];
        if family == Family::Ipv6 {
            for (place, (number, _)) in numbers
                .iter_mut()
                .zip(self.domain_routes(domain).filter(own))
            {
                *place = number.saturating_add(1);
            }
        }
        if let Some(subnet) = self.subnets.get_mut(changed.subnet as usize) {
            subnet.set_prefix(family, first);
            if family == Family::Ipv6 {
                subnet.ipv6_routes = numbers;
            }
        }
    }

    /// Takes down what was derived from the routes of a domain and its peers, because they change. It is
    /// built again before the copy may be read; until then it occupies nothing.
    pub(super) fn take_down(&mut self, domain: DomainId) -> Result<(), Refusal> {
        let Some(entry) = self.domains.get_mut(domain.index()) else {
            return Ok(());
        };
        if core::mem::replace(&mut entry.dirty, true) {
            return Ok(());
        }
        self.domains_dirty = true;
        while let Some(number) = self.first_imported_route(domain) {
            self.unlink_route(domain, number);
        }
        self.flatten_routes(domain, Use::Destinations, NO_ROUTE)?;
        self.flatten_routes(domain, Use::Sources, NO_ROUTE)
    }

    /// The number of a domain's first route plus one.
    fn first_route(&self, domain: DomainId) -> u32 {
        let domain = self.domains.get(domain.index());
        domain.map_or(NO_ROUTE, |domain| domain.first_route)
    }

    /// The routes of a domain with their numbers, in the order of family, base, length and metric.
    pub(in super::super) fn domain_routes(
        &self,
        domain: DomainId,
    ) -> impl Iterator<Item = (u32, &Route)> + Clone {
        let first = self.first_route(domain);
        let find = |next: u32| {
            let number = next.checked_sub(1)?;
            Some((number, self.routes.get(number as usize)?))
        };
        core::iter::successors(find(first), move |(_, route)| find(route.next))
    }

    fn find_route(&self, domain: DomainId, route: &Route) -> Option<u32> {
        let (number, _) = self
            .domain_routes(domain)
            .find(|(_, present)| present.is_same_route(route))?;
        Some(number)
    }

    fn link_route(&mut self, domain: DomainId, route: Route) -> Result<(), Refusal> {
        let before = self
            .domain_routes(domain)
            .take_while(|(_, present)| present.order() <= route.order())
            .last();
        let before = before.map(|(number, _)| number);
        let number = self.routes.insert(route).of(TableName::CustomerRoutes)?;
        let next = self
            .next_route_mut(domain, before)
            .map(|next| core::mem::replace(next, number.saturating_add(1)));
        if let Some(route) = self.routes.get_mut(number as usize) {
            route.next = next.unwrap_or(0);
        }
        Ok(())
    }

    fn unlink_route(&mut self, domain: DomainId, number: u32) {
        let before = self
            .domain_routes(domain)
            .take_while(|(present, _)| *present != number)
            .last();
        let before = before.map(|(number, _)| number);
        let Some(route) = self.routes.remove(number as usize) else {
            return;
        };
        if let Some(next) = self.next_route_mut(domain, before) {
            *next = route.next;
        }
    }

    /// The link to the route behind `before`, or to the first.
    fn next_route_mut(&mut self, domain: DomainId, before: Option<u32>) -> Option<&mut u32> {
        match before {
            Some(before) => self
                .routes
                .get_mut(before as usize)
                .map(|route| &mut route.next),
            None => self
                .domains
                .get_mut(domain.index())
                .map(|domain| &mut domain.first_route),
        }
    }

    pub(super) fn rebuild_dirty_domains(&mut self) -> Result<(), Refusal> {
        if !self.domains_dirty {
            return Ok(());
        }
        for number in 0..self.domains.capacity() {
            if self.domains.get(number).is_some_and(|domain| domain.dirty) {
                self.rebuild_domain(DomainId(number as u32))?;
            }
        }
        self.domains_dirty = false;
        Ok(())
    }

    fn rebuild_domain(&mut self, domain: DomainId) -> Result<(), Refusal> {
        self.import_routes(domain)?;
        self.resolve_next_hops(domain);
        let first = self.first_route(domain);
        self.flatten_routes(domain, Use::Destinations, first)?;
        self.flatten_routes(domain, Use::Sources, first)?;
        if let Some(domain) = self.domains.get_mut(domain.index()) {
            domain.dirty = false;
        }
        Ok(())
    }

    /// Takes over the subnets of peered domains, so that one lookup finds them.
    fn import_routes(&mut self, domain: DomainId) -> Result<(), Refusal> {
        for number in 0..self.peerings.capacity() {
            let Some(peering) = self.peerings.get(number).copied().flatten() else {
                continue;
            };
            let (peer, kind) = match domain {
                _ if peering.from == domain => (peering.to, RouteKind::PeerDestination),
                _ if peering.to == domain => (peering.from, RouteKind::PeerSource),
                _ => continue,
            };
            let mut done = 0;
            while let Some(route) = self.nth_subnet_route(peer, done) {
                self.link_route(domain, Route { kind, ..route })?;
                done = done.saturating_add(1);
            }
        }
        Ok(())
    }

    fn first_imported_route(&self, domain: DomainId) -> Option<u32> {
        let (number, _) = self
            .domain_routes(domain)
            .find(|(_, route)| route.is_imported())?;
        Some(number)
    }

    fn nth_subnet_route(&self, domain: DomainId, n: usize) -> Option<Route> {
        let (_, route) = self
            .domain_routes(domain)
            .filter(|(_, route)| route.kind == RouteKind::OnLink)
            .nth(n)?;
        Some(*route)
    }

    /// Finds the subnet in which each next hop is.
    fn resolve_next_hops(&mut self, domain: DomainId) {
        let mut at = self.first_route(domain);
        while let Some(number) = at.checked_sub(1) {
            let Some(route) = self.routes.get(number as usize).copied() else {
                return;
            };
            if route.kind == RouteKind::Via {
                let subnet = self.on_link_route(domain, route.family(), route.next_hop);
                let via_subnet = subnet.map_or(0, |on_link| on_link.subnet.saturating_add(1));
                if let Some(route) = self.routes.get_mut(number as usize) {
                    route.via_subnet = via_subnet;
                }
            }
            at = route.next;
        }
    }

    /// The on-link route of a domain in whose prefix an address lies.
    pub(in super::super) fn on_link_route(
        &self,
        domain: DomainId,
        family: Family,
        address: AddressBits,
    ) -> Option<&Route> {
        let address = address.to_ip(family);
        let (_, route) = self.domain_routes(domain).find(|(_, route)| {
            route.kind == RouteKind::OnLink
                && route
                    .prefix()
                    .is_some_and(|prefix| prefix.contains(address))
        })?;
        Some(route)
    }

    /// The on-link prefix of a subnet in which a customer address lies.
    pub(crate) fn prefix_of(&self, subnet: u32, address: CustomerAddress) -> Option<Prefix> {
        let bits = AddressBits::from_ip(address.get());
        let family = Family::of(address.get());
        let entry = self.subnet(subnet)?;
        if let Some(prefix) = entry
            .first_prefix(family)
            .filter(|_| entry.holds(family, bits))
        {
            return Some(prefix);
        }
        self.domain_routes(DomainId(entry.domain))
            .filter(|(_, route)| route.kind == RouteKind::OnLink && route.subnet == subnet)
            .find_map(|(_, route)| {
                route
                    .prefix()
                    .filter(|prefix| prefix.contains(address.get()))
            })
    }

    /// Flattens those routes of a domain, from the first one on, that are for a use into its pair of runs.
    fn flatten_routes(&mut self, domain: DomainId, of: Use, first: u32) -> Result<(), Refusal> {
        let Some(place) = self.domains.get_mut(domain.index()) else {
            return Ok(());
        };
        let [ipv4, ipv6] = *of.runs(place);
        let routes = |family: Family| {
            let find = |next: u32| Some((next, self.routes.get(next.checked_sub(1)? as usize)?));
            core::iter::successors(find(first), move |(_, route)| find(route.next))
                .filter(move |(_, route)| route.family() == family && of.wants(route))
                .map(|(value, route)| PrefixValue {
                    base: route.base,
                    length: route.length,
                    value,
                })
        };
        let rebuilt = [
            rebuild(
                &mut self.ipv4_routes,
                ipv4,
                routes(Family::Ipv4),
                self.domains.iter_mut().map(|(_, domain)| domain),
                Family::Ipv4,
            )?,
            rebuild(
                &mut self.ipv6_routes,
                ipv6,
                routes(Family::Ipv6),
                self.domains.iter_mut().map(|(_, domain)| domain),
                Family::Ipv6,
            )?,
        ];
        if let Some(place) = self.domains.get_mut(domain.index()) {
            *of.runs(place) = rebuilt;
        }
        Ok(())
    }
}

/// In place of the number of a route plus one.
const NO_ROUTE: u32 = 0;

/// What the routes of a domain are looked up for.
#[derive(Clone, Copy)]
enum Use {
    Destinations,
    Sources,
}

impl Use {
    /// The domain's runs, one of each family.
    fn runs(self, domain: &mut Domain) -> &mut [Run; 2] {
        match self {
            Self::Destinations => &mut domain.destinations,
            Self::Sources => &mut domain.sources,
        }
    }

    fn wants(self, route: &Route) -> bool {
        match self {
            Self::Destinations => route.is_destination(),
            Self::Sources => route.is_source(),
        }
    }
}

/// Replaces one run of a pool, telling the pool of all the others.
fn rebuild<'d, I: Interval>(
    pool: &mut IntervalPool<'_, I>,
    run: Run,
    prefixes: impl Iterator<Item = PrefixValue> + Clone,
    domains: impl Iterator<Item = &'d mut Domain>,
    family: Family,
) -> Result<Run, Refusal> {
    let of_family = |[ipv4, ipv6]: &'d mut [Run; 2]| match family {
        Family::Ipv4 => ipv4,
        Family::Ipv6 => ipv6,
    };
    let runs = domains.flat_map(|domain| {
        [
            of_family(&mut domain.destinations),
            of_family(&mut domain.sources),
        ]
    });
    pool.rebuild(run, prefixes, runs)
        .of(TableName::RouteIntervals)
}

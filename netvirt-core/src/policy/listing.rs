//! The policy as the operator said it, object by object, each table in its own order.

use super::change::{CustomerRoute, LookupRecord, Neighbour, Peering, Port, ProviderRoute};
use super::networks::Route;
use super::tables::Policy;
use crate::address::{DomainId, HostId, PortId, ProviderAddress, Vsid};

impl Policy<'_> {
    /// The lookup records.
    pub fn lookup_records(&self) -> impl Iterator<Item = LookupRecord> {
        self.records
            .iter()
            .filter_map(|(_, record)| record.to_lookup_record())
    }

    /// The routing domains.
    pub fn domains(&self) -> impl Iterator<Item = DomainId> {
        self.domains
            .iter()
            .map(|(number, _)| DomainId(number as u32))
    }

    /// The virtual subnets, each with its routing domain.
    pub fn subnets(&self) -> impl Iterator<Item = (Vsid, DomainId)> {
        self.subnets.iter().filter_map(|(_, subnet)| {
            let vsid = Vsid::new(subnet.vsid).ok()?;
            Some((vsid, DomainId(subnet.domain)))
        })
    }

    /// The customer routes, domain by domain, in the order of family, prefix and metric.
    pub fn customer_routes(&self) -> impl Iterator<Item = CustomerRoute> {
        self.domains()
            .flat_map(|domain| self.domain_routes(domain))
            .filter(|(_, route)| !route.is_imported())
            .filter_map(|(_, route)| self.customer_route(route))
    }

    fn customer_route(&self, route: &Route) -> Option<CustomerRoute> {
        Some(CustomerRoute {
            vsid: Vsid::new(self.subnet(route.subnet)?.vsid).ok()?,
            prefix: route.prefix()?,
            target: route.target(),
            metric: route.metric,
        })
    }

    /// The peerings.
    pub fn peerings(&self) -> impl Iterator<Item = Peering> {
        self.peerings.iter().filter_map(|(_, peering)| *peering)
    }

    /// The other hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> {
        self.hosts.iter().map(|(number, _)| HostId(number as u32))
    }

    /// The provider addresses of other hosts.
    pub fn host_addresses(&self) -> impl Iterator<Item = (HostId, ProviderAddress)> {
        self.paths.iter().filter_map(|(_, path)| {
            let path = path.as_ref()?;
            Some((path.host, path.address))
        })
    }

    /// The largest packets, in bytes, that paths were said to carry, where that was said.
    pub fn path_mtus(&self) -> impl Iterator<Item = (ProviderAddress, u16)> {
        self.paths.iter().filter_map(|(_, path)| {
            let path = path.as_ref()?;
            Some((path.address, path.mtu?.get()))
        })
    }

    /// The ports of this host.
    pub fn ports(&self) -> impl Iterator<Item = Port> {
        self.ports.iter().map(|(number, entry)| Port {
            port: PortId(number as u32),
            vsid: Vsid::new(entry.vsid).ok(),
            mac: entry.mac,
        })
    }

    /// The provider routes.
    pub fn provider_routes(&self) -> impl Iterator<Item = ProviderRoute> {
        self.provider_routes.iter().filter_map(|(_, route)| *route)
    }

    /// The neighbours in the provider network whose MAC addresses are known.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour> {
        self.neighbours
            .iter()
            .filter_map(|(_, neighbour)| neighbour.to_neighbour())
    }
}

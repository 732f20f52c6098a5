//! The names that the operator gave to what the datapath knows by numbers.

use netvirt_core::policy::{Location, LookupRecord, Policy, RouteTarget};
use netvirt_core::{DomainId, HostId, MacAddress, PortId, Prefix, ProviderAddress, Vsid};

use crate::policy_file::HostPolicy;

/// A policy and the names of what is in it.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The names.
    pub host: &'a HostPolicy,
    /// The policy.
    pub policy: &'a Policy<'a>,
}

impl<'a> Names<'a> {
    /// The name of the machine on a port of this host.
    pub fn port(self, port: PortId) -> String {
        let known = self.host.ports.iter().find(|known| known.port == port);
        known.map_or_else(|| format!("port {port}"), |known| known.name.clone())
    }

    /// The name of a host.
    pub fn host(self, host: HostId) -> String {
        let name = self.host.host_name(host);
        name.map_or_else(|| format!("host {host}"), str::to_owned)
    }

    /// The name of the machine with a MAC address in a virtual subnet.
    pub fn machine(self, vsid: Vsid, mac: MacAddress) -> String {
        let mut machines = self.host.machines.iter();
        let known = machines.find(|known| (known.vsid, known.mac) == (vsid, mac));
        known.map_or_else(|| format!("a machine {mac}"), |known| known.name.clone())
    }

    /// The machine that a record is about, and where it runs: `blue-2 on host-2`.
    pub fn record(self, record: &LookupRecord) -> String {
        let machine = self.machine(record.vsid, record.mac);
        format!("{machine} on {}", self.place(record.location))
    }

    /// The host on which something runs.
    pub fn place(self, location: Location) -> String {
        match location {
            Location::Port(_) => self.host.name.clone(),
            Location::Host(host) => self.host(host),
        }
    }

    /// The routing domain of a virtual subnet.
    pub fn domain_of(self, vsid: Vsid) -> Option<DomainId> {
        let mut subnets = self.policy.subnets();
        Some(subnets.find(|(known, _)| *known == vsid)?.1)
    }

    /// The name of a routing domain.
    pub fn domain(self, domain: DomainId) -> String {
        let name = self.host.domain_name(domain);
        name.map_or_else(|| format!("domain {domain}"), str::to_owned)
    }

    /// A virtual subnet with its routing domain: `VSID 5001 (blue)`.
    pub fn vsid(self, vsid: Vsid) -> String {
        match self.domain_of(vsid) {
            Some(domain) => format!("VSID {vsid} ({})", self.domain(domain)),
            None => format!("VSID {vsid}"),
        }
    }

    /// The host that owns a provider address.
    pub fn owner(self, address: std::net::IpAddr) -> Option<HostId> {
        let mut addresses = self.policy.host_addresses();
        Some(addresses.find(|(_, known)| known.get() == address)?.0)
    }

    /// The provider addresses of another host.
    pub fn addresses_of(self, host: HostId) -> Vec<ProviderAddress> {
        let addresses = self.policy.host_addresses();
        addresses
            .filter(|(known, _)| *known == host)
            .map(|(_, address)| address)
            .collect()
    }

    /// The on-link prefixes of all virtual subnets.
    pub fn on_link(self) -> impl Iterator<Item = (Vsid, Prefix)> + 'a {
        let routes = self.policy.customer_routes();
        routes
            .filter(|route| route.target == RouteTarget::OnLink)
            .map(|route| (route.vsid, route.prefix))
    }
}

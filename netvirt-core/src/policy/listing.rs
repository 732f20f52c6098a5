//! The policy as the operator said it, object by object, each table in its own order.

use super::change::{
    Change, CustomerRoute, Location, LookupRecord, Method, Neighbour, Peering, Port, ProviderRoute,
    RecordName, RouteTarget,
};
use super::networks::{PortEntry, Route};
use super::next_hop::NextHop;
use super::provider::PathId;
use super::record::Record;
use super::tables::Policy;
use crate::address::{
    AddressBits, CustomerAddress, DomainId, Family, HostId, PortId, ProviderAddress, Vsid,
};

impl Policy<'_> {
    /// All that was said, as changes that say it to an empty policy: what others stand on first, and state of the network
    /// last.
    ///
    /// A policy may hold what would be refused if it were said anew, because what it stood on went later: a provider
    /// route whose next hop is in no own prefix any more, for example.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let settings = self.settings().copied().map(Change::SetSettings);
        let subnets = self.subnets();
        let host_addresses = self.host_addresses();
        let path_mtus = self.path_mtus();
        settings
            .into_iter()
            .chain(self.domains().map(Change::AddDomain))
            .chain(subnets.map(|(vsid, domain)| Change::AddSubnet { vsid, domain }))
            .chain(self.peerings().map(Change::AddPeering))
            .chain(self.customer_routes().map(Change::AddCustomerRoute))
            .chain(self.ports().map(Change::AddPort))
            .chain(self.hosts().map(Change::AddHost))
            .chain(host_addresses.map(|(host, address)| Change::AddHostAddress(host, address)))
            .chain(
                self.provider_addresses()
                    .copied()
                    .map(Change::AddProviderAddress),
            )
            .chain(self.provider_routes().map(Change::AddProviderRoute))
            .chain(self.lookup_records().map(Change::AddRecord))
            .chain(self.multicast_groups().map(Change::AddMulticastGroup))
            .chain(self.neighbours().map(Change::SetNeighbour))
            .chain(path_mtus.map(|(address, mtu)| Change::SetPathMtu { address, mtu }))
    }

    /// The lookup records.
    pub fn lookup_records(&self) -> impl Iterator<Item = LookupRecord> {
        self.records
            .iter()
            .filter_map(|(_, record)| record.to_lookup_record())
    }

    /// Whether packets reach the machine of a record: a way leads to its host, or, if it is on this host and has a
    /// provider address of its own, an own provider address lies in the network of that. Policy allows what is not
    /// usable yet.
    pub fn is_usable(&self, record: &LookupRecord) -> bool {
        match (record.location, record.method) {
            (Location::Port(_), method) => method
                .provider_address()
                .is_none_or(|provider| self.on_link_source(provider.get()).is_some()),
            // A rewritten packet has no outer header, so it takes a path of its own family.
            (
                Location::Host(host),
                Method::Rewrite {
                    provider_address, ..
                },
            ) => self
                .host(host)
                .and_then(|host| host.path_of(Family::of(provider_address.get())))
                .is_some(),
            (Location::Host(host), _) => self.host(host).is_some_and(|host| host.usable > 0),
        }
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

    /// The ports of a virtual subnet: where its broadcast and multicast go on this host, in this order.
    pub fn subnet_ports(&self, vsid: Vsid) -> impl Iterator<Item = PortId> {
        let subnet = self.subnet_of(vsid).into_iter();
        subnet.flat_map(|number| self.ports_of(number))
    }

    /// The other hosts that the broadcast and multicast of a virtual subnet go to, in this order: those of its records
    /// that are reached through a tunnel.
    pub fn subnet_hosts(&self, vsid: Vsid) -> impl Iterator<Item = HostId> {
        let subnet = self.subnet_of(vsid).into_iter();
        subnet.flat_map(|number| self.hosts_of(number))
    }

    /// The customer routes, domain by domain, in the order of family, prefix and metric.
    pub fn customer_routes(&self) -> impl Iterator<Item = CustomerRoute> {
        self.domains()
            .flat_map(|domain| self.domain_routes(domain))
            .filter(|(_, route)| !route.is_imported())
            .filter_map(|(_, route)| self.customer_route(route))
    }

    /// Whether a customer route leads anywhere: its next hop, if it has one, has a record in the routing domain.
    pub fn is_usable_route(&self, route: &CustomerRoute) -> bool {
        match route.target {
            RouteTarget::OnLink => true,
            RouteTarget::Via(next_hop) => self.next_hop_record(route.vsid, next_hop).is_some(),
        }
    }

    fn next_hop_record(&self, vsid: Vsid, next_hop: CustomerAddress) -> Option<&Record> {
        let domain = DomainId(self.subnet(self.subnet_of(vsid)?)?.domain);
        let (family, address) = (
            Family::of(next_hop.get()),
            AddressBits::from_ip(next_hop.get()),
        );
        let subnet = self.on_link_route(domain, family, address)?.subnet;
        let vsid = Vsid::new(self.subnet(subnet)?.vsid).ok()?;
        self.find_record(&RecordName::Address(vsid, next_hop))
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

    /// Whom to ask for a MAC address on the ways to other hosts. A next hop of several paths comes several times.
    pub fn next_hops(&self) -> impl Iterator<Item = NextHop> {
        self.paths
            .iter()
            .filter_map(|(number, _)| self.next_hop(PathId(number as u32)))
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
        let ports = self.ports.iter();
        ports.map(|(number, entry)| listed_port(PortId(number as u32), entry))
    }

    /// The port of this number.
    pub fn find_port(&self, port: PortId) -> Option<Port> {
        self.port(port).map(|entry| listed_port(port, entry))
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

fn listed_port(port: PortId, entry: &PortEntry) -> Port {
    Port {
        port,
        vsid: Vsid::new(entry.vsid).ok(),
        mac: entry.mac,
    }
}

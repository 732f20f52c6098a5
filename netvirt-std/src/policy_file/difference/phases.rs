//! The phases of a difference, each in the order that the core wants.

use netvirt_core::HostId;
use netvirt_core::policy::{Change, Location, LookupRecord, Port};

use super::Difference;

impl Difference<'_> {
    pub(super) fn clear(&self, changes: &mut Vec<Change>) {
        let groups = self.groups.gone.iter();
        changes.extend(groups.map(|group| Change::RemoveMulticastGroup {
            vsid: group.vsid,
            address: group.address,
        }));
        let records = self.records.gone.iter();
        changes.extend(records.map(|record| Change::RemoveRecord(record.name())));
        let peerings = self.peerings.gone.iter();
        changes.extend(peerings.map(|peering| Change::RemovePeering(*peering)));
        let routes = self.routes.gone.iter();
        changes.extend(routes.map(|route| Change::RemoveCustomerRoute(**route)));
        let ports = self
            .ports
            .gone
            .iter()
            .filter(|port| self.is_torn_down(port));
        changes.extend(ports.map(|port| Change::RemovePort(port.port)));
        let subnets = self.subnets.gone.iter();
        changes.extend(subnets.map(|(vsid, _)| Change::RemoveSubnet(*vsid)));
        let domains = self.domains.gone.iter();
        changes.extend(domains.map(|domain| Change::RemoveDomain(*domain)));

        let neighbours = self.neighbours.gone.iter();
        changes.extend(neighbours.map(|known| Change::RemoveNeighbour {
            uplink: known.uplink,
            address: known.address,
        }));
        let routes = self.provider_routes.gone.iter();
        changes.extend(routes.map(|route| Change::RemoveProviderRoute(**route)));
        let own = self.provider_addresses.gone.iter();
        changes.extend(own.map(|own| Change::RemoveProviderAddress(own.address)));
        changes.extend(&self.hosts.clear);
    }

    pub(super) fn build(&self, changes: &mut Vec<Change>) {
        let own = &self.provider_addresses;
        changes.extend(own.new.iter().map(|own| Change::AddProviderAddress(**own)));
        let changed = own.changed.iter();
        changes.extend(changed.map(|(_, own)| Change::SetProviderAddress(**own)));
        let routes = &self.provider_routes;
        let new = routes.new.iter();
        changes.extend(new.map(|route| Change::AddProviderRoute(**route)));
        let changed = routes.changed.iter();
        changes.extend(changed.map(|(_, route)| Change::SetProviderRoute(**route)));
        let changed = self.neighbours.changed.iter().map(|(_, known)| known);
        let neighbours = changed.chain(&self.neighbours.new);
        changes.extend(neighbours.map(|known| Change::SetNeighbour(**known)));
        changes.extend(&self.hosts.build);

        let domains = self.domains.new.iter();
        changes.extend(domains.map(|domain| Change::AddDomain(*domain)));
        let subnets = self.subnets.new.iter();
        changes.extend(subnets.map(|&(vsid, domain)| Change::AddSubnet { vsid, domain }));
        let routes = &self.routes;
        let new = routes.new.iter();
        changes.extend(new.map(|route| Change::AddCustomerRoute(**route)));
        let changed = routes.changed.iter();
        changes.extend(changed.map(|(_, route)| Change::SetCustomerRoute(**route)));
        let peerings = self.peerings.new.iter();
        changes.extend(peerings.map(|peering| Change::AddPeering(*peering)));
        let ports = self.ports.new.iter();
        changes.extend(ports.map(|port| Change::AddPort(**port)));
        let groups = self.groups.new.iter();
        changes.extend(groups.map(|group| Change::AddMulticastGroup(**group)));
    }

    pub(super) fn turn(&self, changes: &mut Vec<Change>) {
        let records = self.records.changed.iter();
        changes.extend(records.map(|(was, is)| self.turned(was, is)));
    }

    pub(super) fn leave(&self, changes: &mut Vec<Change>) {
        let ports = self
            .ports
            .gone
            .iter()
            .filter(|port| !self.is_torn_down(port));
        changes.extend(ports.map(|port| Change::RemovePort(port.port)));
        changes.extend(&self.hosts.leave);
    }

    pub(super) fn fill(&self, changes: &mut Vec<Change>) {
        let records = self.records.new.iter();
        changes.extend(records.map(|record| Change::AddRecord(**record)));
    }

    fn is_torn_down(&self, port: &Port) -> bool {
        self.torn_down.ports.contains(&port.port)
    }

    /// The change that makes one record of another, in the words of the field where there are some.
    fn turned(&self, was: &LookupRecord, is: &LookupRecord) -> Change {
        let retired = LookupRecord {
            previous: None,
            ..*was
        };
        if *is == retired {
            Change::RetireMigration(is.name())
        } else if *is == self.moved(was, is.location) {
            Change::MoveRecord(is.name(), is.location)
        } else {
            Change::SetRecord(*is)
        }
    }

    /// What a record becomes when its machine moves: the host that it leaves is its previous one.
    fn moved(&self, was: &LookupRecord, location: Location) -> LookupRecord {
        let (left, arrived) = (self.host_of(was.location), self.host_of(location));
        LookupRecord {
            location,
            previous: if left == arrived { was.previous } else { left },
            ..*was
        }
    }

    fn host_of(&self, location: Location) -> Option<HostId> {
        match location {
            Location::Host(host) => Some(host),
            Location::Port(_) => self.local_host,
        }
    }
}

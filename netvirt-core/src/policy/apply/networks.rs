//! Routing domains, subnets, peerings and ports.

use super::super::change::{Peering, Port};
use super::super::networks::{Domain, PortEntry, RouteKind, Subnet};
use super::super::refusal::{InTable, Missing, Refusal, TableName};
use super::super::slab::Place;
use super::super::tables::{Policy, subnet_key};
use crate::address::{DomainId, PortId, Vsid};
use crate::table::Full;

impl Policy<'_> {
    pub(super) fn add_domain(&mut self, domain: DomainId) -> Result<(), Refusal> {
        let place = self
            .domains
            .place_mut(domain.index())
            .ok_or(Full)
            .of(TableName::Domains)?;
        if place.is_vacant() {
            *place = Domain::PRESENT;
        }
        Ok(())
    }

    pub(super) fn remove_domain(&mut self, domain: DomainId) -> Result<(), Refusal> {
        let users = self.present_domain(domain)?.users;
        if users != 0 {
            return Err(Refusal::InUse(Missing::Domain(domain), users));
        }
        // Without routes and peers all that was derived is taken down, so nothing is left behind.
        self.domains.remove(domain.index());
        Ok(())
    }

    pub(super) fn present_domain(&mut self, domain: DomainId) -> Result<&mut Domain, Refusal> {
        self.domains
            .get_mut(domain.index())
            .ok_or(Refusal::Missing(Missing::Domain(domain)))
    }

    pub(super) fn add_subnet(&mut self, vsid: Vsid, domain: DomainId) -> Result<(), Refusal> {
        self.present_domain(domain)?;
        if let Some(number) = self.subnet_of(vsid) {
            let same = self
                .subnet(number)
                .is_some_and(|subnet| subnet.domain == domain.0);
            return if same {
                Ok(())
            } else {
                Err(Refusal::Exists(Missing::Subnet(vsid)))
            };
        }
        let number = self
            .subnets
            .insert(Subnet::new(vsid, domain.0))
            .of(TableName::Subnets)?;
        self.subnet_index
            .insert(&subnet_key(vsid), number)
            .of(TableName::Subnets)?;
        self.use_domain(domain, 1)
    }

    pub(super) fn remove_subnet(&mut self, vsid: Vsid) -> Result<(), Refusal> {
        let number = self.present_subnet(vsid)?;
        let Some(subnet) = self.subnet(number).copied() else {
            return Ok(());
        };
        if subnet.users != 0 {
            return Err(Refusal::InUse(Missing::Subnet(vsid), subnet.users));
        }
        self.subnet_index.remove(&subnet_key(vsid), number);
        self.subnets.remove(number as usize);
        self.use_domain(DomainId(subnet.domain), -1)
    }

    pub(super) fn present_subnet(&self, vsid: Vsid) -> Result<u32, Refusal> {
        self.subnet_of(vsid)
            .ok_or(Refusal::Missing(Missing::Subnet(vsid)))
    }

    fn use_domain(&mut self, domain: DomainId, by: i32) -> Result<(), Refusal> {
        let domain = self.present_domain(domain)?;
        domain.users = domain.users.saturating_add_signed(by);
        Ok(())
    }

    pub(super) fn use_subnet(&mut self, number: u32, by: i32) {
        if let Some(subnet) = self.subnets.get_mut(number as usize) {
            subnet.users = subnet.users.saturating_add_signed(by);
        }
    }

    pub(super) fn add_port(&mut self, port: &Port) -> Result<(), Refusal> {
        port.mac.unicast()?;
        let subnet = port
            .vsid
            .map(|vsid| self.present_subnet(vsid))
            .transpose()?;
        let entry = PortEntry {
            vsid: port.vsid.map_or(0, Vsid::get),
            subnet: subnet.unwrap_or(0),
            mac: port.mac,
            present: true,
            gateway: false,
            users: 0,
            next: 0,
        };
        let place = self
            .ports
            .place_mut(port.port.index())
            .ok_or(Full)
            .of(TableName::Ports)?;
        if !place.is_vacant() {
            let same = (place.vsid, place.mac) == (entry.vsid, entry.mac);
            return if same {
                Ok(())
            } else {
                Err(Refusal::Exists(Missing::Port(port.port)))
            };
        }
        *place = entry;
        if let Some(subnet) = subnet {
            self.use_subnet(subnet, 1);
            self.link_port(port.port, subnet);
        }
        Ok(())
    }

    pub(super) fn remove_port(&mut self, port: PortId) -> Result<(), Refusal> {
        let entry = self
            .port(port)
            .copied()
            .ok_or(Refusal::Missing(Missing::Port(port)))?;
        if entry.users != 0 {
            return Err(Refusal::InUse(Missing::Port(port), entry.users));
        }
        if entry.vsid != 0 {
            self.unlink_port(port, entry.subnet);
            self.use_subnet(entry.subnet, -1);
        }
        self.ports.remove(port.index());
        Ok(())
    }

    pub(super) fn add_peering(&mut self, peering: &Peering) -> Result<(), Refusal> {
        if peering.from == peering.to {
            return Err(Refusal::PeeringWithItself(peering.from));
        }
        self.present_domain(peering.from)?;
        self.present_domain(peering.to)?;
        if self.find_peering(peering).is_some() {
            return Ok(());
        }
        self.check_peering(peering)?;
        self.peerings
            .insert(Some(*peering))
            .of(TableName::Peerings)?;
        self.use_peering(peering, 1)
    }

    pub(super) fn remove_peering(&mut self, peering: &Peering) -> Result<(), Refusal> {
        let missing = Refusal::Missing(Missing::Peering(peering.from, peering.to));
        let number = self.find_peering(peering).ok_or(missing)?;
        self.peerings.remove(number);
        self.use_peering(peering, -1)
    }

    fn use_peering(&mut self, peering: &Peering, by: i32) -> Result<(), Refusal> {
        for domain in [peering.from, peering.to] {
            self.use_domain(domain, by)?;
            self.take_down(domain)?;
        }
        Ok(())
    }

    fn find_peering(&self, peering: &Peering) -> Option<usize> {
        let (number, _) = self
            .peerings
            .iter()
            .find(|(_, present)| **present == Some(*peering))?;
        Some(number)
    }

    /// The domains that are peered with this one in either direction.
    pub(super) fn peers(&self, domain: DomainId) -> impl Iterator<Item = DomainId> + Clone {
        self.peerings.iter().filter_map(move |(_, peering)| {
            let peering = (*peering)?;
            match domain {
                _ if peering.from == domain => Some(peering.to),
                _ if peering.to == domain => Some(peering.from),
                _ => None,
            }
        })
    }

    /// Among a domain and all its peers no two may own an address, or it would not know which is meant.
    fn check_peering(&self, &Peering { from, to }: &Peering) -> Result<(), Refusal> {
        self.check_disjoint(from, to)?;
        for (domain, peer) in [(from, to), (to, from)] {
            for other in self.peers(domain).filter(|other| *other != peer) {
                self.check_disjoint(peer, other)?;
            }
        }
        Ok(())
    }

    fn check_disjoint(&self, domain: DomainId, other: DomainId) -> Result<(), Refusal> {
        let own = self
            .domain_routes(domain)
            .filter(|(_, route)| route.kind == RouteKind::OnLink);
        for (_, route) in own {
            if let Some(prefix) = route.prefix() {
                self.check_no_overlap(other, prefix)?;
            }
        }
        Ok(())
    }
}

//! The provider network: hosts and the paths to them, own addresses, routes and neighbours.

use core::net::IpAddr;
use core::num::NonZeroU16;

use super::super::change::{AddressState, HostAddress, Neighbour, ProviderRoute};
use super::super::networks::{Route, RouteKind};
use super::super::provider::{
    ADDRESSES_PER_HOST, Host, NeighbourEntry, Path, least_path_mtu, tunnel_overhead,
};
use super::super::refusal::{InTable, Missing, OutOfRange, Refusal, TableName};
use super::super::slab::Place;
use super::super::tables::{Policy, neighbour_key, provider_key};
use crate::address::{AddressBits, Family, HostId, Prefix, ProviderAddress, UplinkId};
use crate::edit::{Outer, Template};
use crate::table::{Full, Key};

/// The least IPv6 MTU (RFC 8200 §5).
const IPV6_LEAST_MTU: u16 = 1280;

impl Policy<'_> {
    pub(super) fn add_host(&mut self, host: HostId) -> Result<(), Refusal> {
        if self.is_local_host(host) {
            return Err(Refusal::LocalHost(host));
        }
        let place = self
            .hosts
            .place_mut(host.index())
            .ok_or(Full)
            .of(TableName::Hosts)?;
        if place.is_vacant() {
            *place = Host::PRESENT;
        }
        Ok(())
    }

    pub(super) fn remove_host(&mut self, host: HostId) -> Result<(), Refusal> {
        let entry = self.present_host(host)?;
        if entry.users != 0 {
            return Err(Refusal::InUse(Missing::Host(host), entry.users));
        }
        for number in entry.path_numbers() {
            self.remove_path(number);
        }
        self.hosts.remove(host.index());
        Ok(())
    }

    fn present_host(&self, host: HostId) -> Result<Host, Refusal> {
        self.host(host)
            .copied()
            .ok_or(Refusal::Missing(Missing::Host(host)))
    }

    pub(super) fn add_host_address(
        &mut self,
        host: HostId,
        address: ProviderAddress,
    ) -> Result<(), Refusal> {
        let entry = self.present_host(host)?;
        if self
            .path_to(address)
            .and_then(|number| self.path(number))
            .is_some_and(|path| path.host == host)
        {
            return Ok(());
        }
        if self.is_taken(address) {
            return Err(Refusal::ProviderAddressTaken(address));
        }
        if entry.path_numbers().count() == ADDRESSES_PER_HOST {
            return Err(Refusal::TooManyAddresses(host));
        }
        let number = self
            .paths
            .insert(Some(Path {
                address,
                host,
                next_hop: None,
                mtu: None,
            }))
            .of(TableName::Paths)?;
        if number as usize >= self.templates.len() {
            return Err(Refusal::Full(TableName::Paths));
        }
        self.path_index
            .insert(&path_key(address), number)
            .of(TableName::Paths)?;
        if let Some(entry) = self.hosts.get_mut(host.index())
            && let Some(place) = entry.paths.iter_mut().find(|path| **path == 0)
        {
            *place = number.saturating_add(1);
        }
        self.resolve_path(number as usize);
        self.order_paths(host);
        Ok(())
    }

    pub(super) fn remove_host_address(
        &mut self,
        host: HostId,
        address: ProviderAddress,
    ) -> Result<(), Refusal> {
        let entry = self.present_host(host)?;
        let number = self
            .path_to(address)
            .filter(|number| entry.path_numbers().any(|own| own == *number))
            .ok_or(Refusal::Missing(Missing::HostAddress(host, address)))?;
        if entry.users != 0 && entry.path_numbers().count() == 1 {
            return Err(Refusal::InUse(
                Missing::HostAddress(host, address),
                entry.users,
            ));
        }
        self.remove_path(number);
        if let Some(entry) = self.hosts.get_mut(host.index())
            && let Some(place) = entry
                .paths
                .iter_mut()
                .find(|path| **path == number as u32 + 1)
        {
            *place = 0;
        }
        self.order_paths(host);
        Ok(())
    }

    fn remove_path(&mut self, number: usize) {
        if let Some(Some(path)) = self.paths.remove(number) {
            self.path_index
                .remove(&path_key(path.address), number as u32);
        }
        if let Some(template) = self.templates.get_mut(number) {
            *template = Template::VACANT;
        }
    }

    /// The number of the path to a provider address of another host.
    pub(in super::super) fn path_to(&self, address: ProviderAddress) -> Option<usize> {
        let is_it = |number: u32| {
            self.path(number as usize)
                .is_some_and(|path| path.address == address)
        };
        self.path_index
            .find(&path_key(address), is_it)
            .map(|number| number as usize)
    }

    pub(super) fn resolve_all_paths(&mut self) {
        for number in 0..self.paths.capacity() {
            self.resolve_path(number);
        }
        for number in 0..self.hosts.capacity() {
            self.order_paths(HostId(number as u32));
        }
        self.paths_dirty = false;
    }

    /// Finds the way to a provider address and writes the header for it.
    fn resolve_path(&mut self, number: usize) {
        let Some(path) = self.path(number).copied() else {
            return;
        };
        let next_hop = self.next_hop_to(path.address);
        let template = next_hop.and_then(|next_hop| self.template_for(&path, next_hop));
        if let Some(Some(path)) = self.paths.get_mut(number) {
            path.next_hop = next_hop;
        }
        if let Some(place) = self.templates.get_mut(number) {
            *place = template.unwrap_or_else(|| Template::leading_nowhere(path.address.get()));
        }
    }

    fn template_for(&self, path: &Path, next_hop: ProviderAddress) -> Option<Template> {
        let source = self.on_link_source(next_hop.get())?;
        let own = self.provider_address(source)?;
        let next_hop_mac = self
            .neighbour(own.uplink, next_hop.get())
            .map(|neighbour| neighbour.mac);
        let family = Family::of(path.address.get());
        let carried = path.mtu.map(|mtu| self.learnable_mtu(family, mtu.get()));
        Template::new(&Outer {
            source: own.address.get(),
            destination: path.address.get(),
            source_mac: own.mac,
            next_hop_mac,
            vlan: own.vlan,
            uplink: own.uplink,
            mtu: carried.map_or(own.mtu, |mtu| mtu.min(own.mtu)),
        })
    }

    /// What is made of an MTU that the network says a path has: IPv6 subnets need their least inside the tunnel.
    pub(crate) fn learnable_mtu(&self, family: Family, mtu: u16) -> u16 {
        match self.has_ipv6_subnets {
            true => mtu.max(least_mtu_for_ipv6(family)),
            false => mtu,
        }
    }

    pub(super) fn set_path_mtu(
        &mut self,
        address: ProviderAddress,
        mtu: u16,
    ) -> Result<(), Refusal> {
        if mtu < least_path_mtu(Family::of(address.get())) {
            return Err(Refusal::OutOfRange(OutOfRange::PathMtu));
        }
        let missing = Refusal::Missing(Missing::Path(address));
        let number = self.path_to(address).ok_or(missing)?;
        self.replace_path_mtu(number, NonZeroU16::new(mtu));
        Ok(())
    }

    pub(super) fn remove_path_mtu(&mut self, address: ProviderAddress) -> Result<(), Refusal> {
        let missing = Refusal::Missing(Missing::PathMtu(address));
        let number = self.path_to(address).ok_or(missing)?;
        self.replace_path_mtu(number, None)
            .map(|_mtu| ())
            .ok_or(missing)
    }

    fn replace_path_mtu(&mut self, number: usize, mtu: Option<NonZeroU16>) -> Option<NonZeroU16> {
        let path = self.paths.get_mut(number)?.as_mut()?;
        let before = core::mem::replace(&mut path.mtu, mtu);
        self.resolve_path(number);
        before
    }

    /// The address itself if an own prefix holds it; otherwise the next hop of the longest provider route, the
    /// cheapest of equal ones.
    fn next_hop_to(&self, address: ProviderAddress) -> Option<ProviderAddress> {
        if self.on_link_source(address.get()).is_some() {
            return Some(address);
        }
        self.provider_routes
            .iter()
            .filter_map(|(_, route)| route.as_ref())
            .filter(|route| route.prefix.contains(address.get()))
            .filter(|route| self.on_link_source(route.next_hop.get()).is_some())
            .max_by_key(|route| (route.prefix.length(), core::cmp::Reverse(route.metric)))
            .map(|route| route.next_hop)
    }

    /// The number of the own provider address in whose prefix an address lies, the preferred ones first.
    pub(crate) fn on_link_source(&self, address: IpAddr) -> Option<u32> {
        self.first_source(|own| own_prefix(own).is_ok_and(|prefix| prefix.contains(address)))
    }

    /// The number of the first of those own provider addresses that can be used, the preferred ones first.
    pub(super) fn first_source(&self, is_it: impl Fn(&HostAddress) -> bool) -> Option<u32> {
        let first = |state: AddressState| {
            self.provider_addresses
                .iter()
                .find(|(_, own)| own.is_some_and(|own| own.state == state && is_it(&own)))
        };
        let (number, _) =
            first(AddressState::Preferred).or_else(|| first(AddressState::Deprecated))?;
        u32::try_from(number).ok()
    }

    /// Puts the paths that can be used in front, and notes the first of each family.
    fn order_paths(&mut self, host: HostId) {
        let Some(entry) = self.host(host).copied() else {
            return;
        };
        let usable = |number: &usize| {
            self.path(*number)
                .is_some_and(|path| path.next_hop.is_some())
        };
        let family = |number: usize| self.path(number).map(|path| Family::of(path.address.get()));
        let number_of = |number: usize| number as u32 + 1;
        let mut ordered = Host {
            paths: [0; ADDRESSES_PER_HOST],
            usable: 0,
            path_of_family: [0; 2],
            ..entry
        };
        let in_order = entry
            .path_numbers()
            .filter(|number| usable(number))
            .chain(entry.path_numbers().filter(|number| !usable(number)));
        for (place, number) in ordered.paths.iter_mut().zip(in_order) {
            *place = number_of(number);
        }
        ordered.usable = entry.path_numbers().filter(usable).count() as u32;
        let first = |wanted| {
            entry
                .path_numbers()
                .filter(usable)
                .find(|number| family(*number) == Some(wanted))
                .map_or(0, number_of)
        };
        ordered.path_of_family = [first(Family::Ipv4), first(Family::Ipv6)];
        if let Some(place) = self.hosts.get_mut(host.index()) {
            *place = ordered;
        }
    }

    pub(super) fn add_provider_address(&mut self, own: &HostAddress) -> Result<(), Refusal> {
        self.check_own_address(own)?;
        let bits = AddressBits::from_ip(own.address.get());
        if let Some(present) = self.own_address(Family::of(own.address.get()), bits) {
            let exists = Refusal::Exists(Missing::ProviderAddress(own.address));
            return if present == own { Ok(()) } else { Err(exists) };
        }
        if self.is_taken(own.address) {
            return Err(Refusal::ProviderAddressTaken(own.address));
        }
        self.provider_addresses
            .insert(Some(*own))
            .of(TableName::ProviderAddresses)?;
        self.paths_dirty = true;
        Ok(())
    }

    pub(super) fn set_provider_address(&mut self, own: &HostAddress) -> Result<(), Refusal> {
        self.check_own_address(own)?;
        let number = self.own_number(own.address)?;
        if let Some(place) = self.provider_addresses.get_mut(number) {
            *place = Some(*own);
        }
        self.paths_dirty = true;
        Ok(())
    }

    pub(super) fn set_address_state(
        &mut self,
        address: ProviderAddress,
        state: AddressState,
    ) -> Result<(), Refusal> {
        let number = self.own_number(address)?;
        if let Some(Some(own)) = self.provider_addresses.get_mut(number) {
            own.state = state;
        }
        self.paths_dirty = true;
        Ok(())
    }

    pub(super) fn remove_provider_address(
        &mut self,
        address: ProviderAddress,
    ) -> Result<(), Refusal> {
        let number = self.own_number(address)?;
        self.provider_addresses.remove(number);
        self.paths_dirty = true;
        Ok(())
    }

    fn own_number(&self, address: ProviderAddress) -> Result<usize, Refusal> {
        let own = self
            .provider_addresses
            .iter()
            .find(|(_, own)| own.is_some_and(|own| own.address == address));
        own.map(|(number, _)| number)
            .ok_or(Refusal::Missing(Missing::ProviderAddress(address)))
    }

    fn check_own_address(&self, own: &HostAddress) -> Result<(), Refusal> {
        own.mac.unicast()?;
        own_prefix(own)?;
        check_uplink(own.uplink)
    }

    /// After a change of the prefixes of subnets. The first IPv6 subnet may widen paths, the last may narrow them.
    pub(super) fn look_for_ipv6_subnets(&mut self) {
        if !self.domains_dirty {
            return;
        }
        let is_ipv6_subnet = |route: &Route| route.kind == RouteKind::OnLink && route.ipv6;
        let are_there = self.routes.iter().any(|(_, route)| is_ipv6_subnet(route));
        self.paths_dirty |= are_there != self.has_ipv6_subnets;
        self.has_ipv6_subnets = are_there;
    }

    /// IPv6 inside the tunnel needs its least MTU of every physical network (RFC 8200 §5).
    pub(super) fn check_mtu(&self) -> Result<(), Refusal> {
        if !self.has_ipv6_subnets {
            return Ok(());
        }
        for own in self.provider_addresses() {
            let least = least_mtu_for_ipv6(Family::of(own.address.get()));
            if own.mtu < least {
                return Err(Refusal::MtuTooSmall {
                    address: own.address,
                    mtu: own.mtu,
                    least,
                });
            }
        }
        Ok(())
    }

    pub(super) fn add_provider_route(&mut self, route: &ProviderRoute) -> Result<(), Refusal> {
        if Family::of(route.prefix.address()) != Family::of(route.next_hop.get()) {
            return Err(Refusal::NextHopFamily(route.prefix, route.next_hop.get()));
        }
        // Whether the address that holds it can be used yet does not matter: it may become preferred later.
        let is_on_link = |own: &HostAddress| {
            own_prefix(own).is_ok_and(|prefix| prefix.contains(route.next_hop.get()))
        };
        if !self.provider_addresses().any(is_on_link) {
            return Err(Refusal::NextHopOffLink(route.next_hop));
        }
        if let Ok(number) = self.provider_route_number(route) {
            let same = self.provider_routes.get(number).copied().flatten() == Some(*route);
            return if same {
                Ok(())
            } else {
                Err(Refusal::Exists(Missing::ProviderRoute(route.prefix)))
            };
        }
        self.provider_routes
            .insert(Some(*route))
            .of(TableName::ProviderRoutes)?;
        self.paths_dirty = true;
        Ok(())
    }

    pub(super) fn set_provider_route(&mut self, route: &ProviderRoute) -> Result<(), Refusal> {
        self.remove_provider_route(route)?;
        self.add_provider_route(route)
    }

    pub(super) fn remove_provider_route(&mut self, route: &ProviderRoute) -> Result<(), Refusal> {
        let number = self.provider_route_number(route)?;
        self.provider_routes.remove(number);
        self.paths_dirty = true;
        Ok(())
    }

    fn provider_route_number(&self, route: &ProviderRoute) -> Result<usize, Refusal> {
        let is_it = |present: &ProviderRoute| {
            (present.prefix, present.next_hop) == (route.prefix, route.next_hop)
        };
        let present = self
            .provider_routes
            .iter()
            .find(|(_, present)| present.as_ref().is_some_and(is_it));
        present
            .map(|(number, _)| number)
            .ok_or(Refusal::Missing(Missing::ProviderRoute(route.prefix)))
    }

    pub(super) fn set_neighbour(&mut self, neighbour: &Neighbour) -> Result<(), Refusal> {
        let mac = neighbour.mac.unicast()?;
        check_uplink(neighbour.uplink)?;
        let key = neighbour_key(neighbour.uplink, neighbour.address.get());
        self.neighbours
            .insert(NeighbourEntry::new(key, mac), |_, _, _| {})
            .of(TableName::Neighbours)?;
        self.set_next_hop(neighbour.uplink, neighbour.address, Some(mac));
        Ok(())
    }

    pub(super) fn remove_neighbour(
        &mut self,
        uplink: UplinkId,
        address: ProviderAddress,
    ) -> Result<(), Refusal> {
        let removed = self
            .neighbours
            .remove(&neighbour_key(uplink, address.get()));
        removed.ok_or(Refusal::Missing(Missing::Neighbour(address)))?;
        self.set_next_hop(uplink, address, None);
        Ok(())
    }

    /// Rewrites the headers of all paths behind a next hop.
    fn set_next_hop(
        &mut self,
        uplink: UplinkId,
        address: ProviderAddress,
        mac: Option<crate::MacAddress>,
    ) {
        for (number, path) in self.paths.iter() {
            if path.and_then(|path| path.next_hop) == Some(address)
                && let Some(template) = self.templates.get_mut(number)
                && template.uplink() == uplink
            {
                template.set_next_hop(mac);
            }
        }
    }
}

/// The least MTU of a physical network that carries IPv6 inside the tunnel.
const fn least_mtu_for_ipv6(outer: Family) -> u16 {
    IPV6_LEAST_MTU + tunnel_overhead(outer)
}

fn check_uplink(uplink: UplinkId) -> Result<(), Refusal> {
    if uplink.0 > u32::from(u8::MAX) {
        return Err(Refusal::OutOfRange(OutOfRange::UplinkNumber));
    }
    Ok(())
}

fn own_prefix(own: &HostAddress) -> Result<Prefix, Refusal> {
    Ok(Prefix::of(own.address.get(), own.prefix_length)?)
}

fn path_key(address: ProviderAddress) -> Key {
    provider_key(
        Family::of(address.get()),
        AddressBits::from_ip(address.get()),
    )
}

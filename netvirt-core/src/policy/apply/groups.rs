//! Multicast groups of subnets, and the headers to groups of the provider network.

use core::net::IpAddr;

use super::super::change::MulticastGroup;
use super::super::groups::{Group, GroupPath, group_mac};
use super::super::refusal::{InTable, Missing, Refusal, TableName};
use super::super::tables::Policy;
use crate::address::{CustomerAddress, Family, Vsid};
use crate::edit::{Outer, Template};
use crate::table::{Entry, Key};

impl Policy<'_> {
    pub(super) fn add_multicast_group(&mut self, group: &MulticastGroup) -> Result<(), Refusal> {
        let entry = Group::new(group);
        if let Some(present) = self.groups.get(&entry.key()) {
            let exists = Missing::MulticastGroup(group.vsid, group.address);
            return if *present == entry {
                Ok(())
            } else {
                Err(Refusal::Exists(exists))
            };
        }
        let subnet = self.present_subnet(group.vsid)?;
        if !self.is_for_many(subnet, group.address) {
            return Err(Refusal::NotForMany(*group));
        }
        self.check_can_send_to(group)?;
        self.groups
            .insert(entry, |_, _, _| {})
            .of(TableName::MulticastGroups)?;
        let template = self.template_for_group(group.provider_group.get());
        self.group_paths
            .insert(GroupPath(template), |_, _, _| {})
            .of(TableName::MulticastGroups)?;
        self.use_subnet(subnet, 1);
        Ok(())
    }

    pub(super) fn remove_multicast_group(
        &mut self,
        vsid: Vsid,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let missing = Refusal::Missing(Missing::MulticastGroup(vsid, address));
        let (_, gone) = self.groups.remove(&Key::ip(vsid, address)).ok_or(missing)?;
        let subnet = self.present_subnet(vsid)?;
        self.use_subnet(subnet, -1);
        let path_key = gone.path_key();
        if !self
            .groups
            .iter()
            .any(|(_, group)| group.path_key() == path_key)
        {
            self.group_paths.remove(&path_key);
        }
        Ok(())
    }

    /// Whether an address of a subnet is multicast or broadcast. A prefix of two addresses has no broadcast (RFC 3021).
    fn is_for_many(&self, subnet: u32, address: IpAddr) -> bool {
        let is_directed_broadcast = |address: CustomerAddress| {
            let prefix = self.prefix_of(subnet, address);
            prefix.is_some_and(|prefix| {
                address.get().is_ipv4() && prefix.length() < 31 && prefix.last() == address.get()
            })
        };
        match (address, CustomerAddress::new(address)) {
            (_, Ok(unicast)) => is_directed_broadcast(unicast),
            (IpAddr::V4(v4), Err(_)) => v4.is_multicast() || v4.is_broadcast(),
            (IpAddr::V6(v6), Err(_)) => v6.is_multicast(),
        }
    }

    /// Whether the own address that a group needs can be used yet does not matter: it may become preferred later.
    fn check_can_send_to(&self, group: &MulticastGroup) -> Result<(), Refusal> {
        let family = Family::of(group.provider_group.get());
        self.provider_addresses()
            .any(|own| Family::of(own.address.get()) == family)
            .then_some(())
            .ok_or(Refusal::NoSourceForGroup(*group))
    }

    /// After a change of the own provider addresses.
    pub(super) fn resolve_all_groups(&mut self) {
        for slot in 0..self.group_paths.capacity() as u32 {
            let Some(GroupPath(template)) = self.group_paths.at(slot) else {
                continue;
            };
            let template = self.template_for_group(template.destination().to_ip(template.family()));
            if let Some(place) = self.group_paths.at_mut(slot) {
                *place = GroupPath(template);
            }
        }
    }

    /// The header from the first own address of the group's family that can be used. A group has its MAC address by rule,
    /// so nobody is asked for it.
    fn template_for_group(&self, group: IpAddr) -> Template {
        let family = Family::of(group);
        let source = self
            .first_source(|own| Family::of(own.address.get()) == family)
            .and_then(|number| self.provider_address(number));
        source
            .and_then(|own| {
                Template::new(&Outer {
                    source: own.address.get(),
                    destination: group,
                    source_mac: own.mac,
                    next_hop_mac: Some(group_mac(group)),
                    vlan: own.vlan,
                    uplink: own.uplink,
                    mtu: own.mtu,
                })
            })
            .unwrap_or_else(|| Template::leading_nowhere(group))
    }
}

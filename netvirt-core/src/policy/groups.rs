//! Multicast groups of subnets that are mapped to groups of the provider network.

use core::net::IpAddr;

use super::change::{HostAddress, MulticastGroup};
use super::tables::{Policy, provider_key};
use crate::address::{AddressBits, Family, MacAddress, ProviderGroup, Vsid};
use crate::edit::Template;
use crate::table::{Entry, Key};
use crate::wire::{ipv4_multicast_mac, multicast_mac};

/// A multicast or broadcast address of a subnet, and the group of the provider network that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Group {
    address: AddressBits,
    provider_group: AddressBits,
    scope: u32,
    provider_scope: u32,
}

impl Group {
    /// What storage is filled with.
    pub const VACANT: Self = Self {
        address: AddressBits { high: 0, low: 0 },
        provider_group: AddressBits { high: 0, low: 0 },
        scope: 0,
        provider_scope: 0,
    };

    pub(super) fn new(group: &MulticastGroup) -> Self {
        let (key, provider) = (
            Key::ip(group.vsid, group.address),
            path_key(group.provider_group),
        );
        Self {
            address: key.bits(),
            provider_group: provider.bits(),
            scope: key.scope(),
            provider_scope: provider.scope(),
        }
    }

    /// The key of the header of its packets.
    pub(super) fn path_key(&self) -> Key {
        Key::new(self.provider_scope, self.provider_group)
    }

    /// Whether its packets go to this group of the provider network.
    pub(crate) fn is_mapped_to(&self, family: Family, provider_group: AddressBits) -> bool {
        self.path_key() == provider_key(family, provider_group)
    }

    /// The group of the provider network.
    pub(crate) fn provider_group(&self) -> Option<ProviderGroup> {
        let family = [Family::Ipv4, Family::Ipv6]
            .into_iter()
            .find(|family| self.is_mapped_to(*family, self.provider_group))?;
        ProviderGroup::new(self.provider_group.to_ip(family)).ok()
    }

    fn to_multicast_group(self) -> Option<MulticastGroup> {
        let key = self.key();
        Some(MulticastGroup {
            vsid: key.vsid()?,
            address: key.to_ip()?,
            provider_group: self.provider_group()?,
        })
    }
}

impl Entry for Group {
    fn key(&self) -> Key {
        Key::new(self.scope, self.address)
    }
}

/// The header of packets to a group of the provider network. Its next hop is the group's MAC address, so that it is known
/// as soon as an own address is there to send from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct GroupPath(pub(super) Template);

impl GroupPath {
    /// What storage is filled with.
    pub const VACANT: Self = Self(Template::VACANT);
}

impl Entry for GroupPath {
    fn key(&self) -> Key {
        let Self(template) = self;
        provider_key(template.family(), template.destination())
    }
}

/// The key of the header of packets to a group of the provider network.
pub(super) fn path_key(group: ProviderGroup) -> Key {
    provider_key(Family::of(group.get()), AddressBits::from_ip(group.get()))
}

/// The MAC address of a group.
pub(super) fn group_mac(group: IpAddr) -> MacAddress {
    match group {
        IpAddr::V4(group) => ipv4_multicast_mac(group),
        IpAddr::V6(group) => multicast_mac(group),
    }
}

impl Policy<'_> {
    /// The multicast groups that are mapped to groups of the provider network.
    pub fn multicast_groups(&self) -> impl Iterator<Item = MulticastGroup> {
        self.groups
            .iter()
            .filter_map(|(_, group)| group.to_multicast_group())
    }

    /// Whether what is sent to a group leaves this host: from an own address of the family of the provider network's group.
    pub fn is_usable_group(&self, group: &MulticastGroup) -> bool {
        let path = self.group_paths.get(&path_key(group.provider_group));
        path.is_some_and(|GroupPath(template)| template.is_resolved())
    }

    /// The group of the provider network to which an address of a subnet is mapped.
    pub(crate) fn group(&self, vsid: Vsid, family: Family, address: AddressBits) -> Option<&Group> {
        self.groups.get(&Key::ip(vsid, address.to_ip(family)))
    }

    /// Where the header of a group's packets stands, until the policy changes.
    pub(crate) fn slot_of_group_path(&self, group: &Group) -> Option<u32> {
        self.group_paths.slot_of(&group.path_key())
    }

    /// The header of packets to a group of the provider network.
    pub(crate) fn group_template(&self, slot: u32) -> Option<&Template> {
        self.group_paths
            .at(slot)
            .map(|GroupPath(template)| template)
    }

    /// Who hears a group of the provider network: the own address that sends to it, with the group's MAC address.
    pub(crate) fn listener(&self, family: Family, group: AddressBits) -> Option<HostAddress> {
        let GroupPath(template) = self.group_paths.get(&provider_key(family, group))?;
        // Nobody has the unspecified address, from which a header leads nowhere.
        let own = self.own_address(family, template.source())?;
        Some(HostAddress {
            mac: template.link().destination,
            ..*own
        })
    }
}

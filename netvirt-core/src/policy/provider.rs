//! The provider network in the form that packets read: hosts, the paths to them, next hops.

use core::num::NonZeroU16;

use super::change::Neighbour;
use super::slab::Place;
use crate::address::{AddressBits, Family, HostId, MacAddress, ProviderAddress, UplinkId};
use crate::table::{Entry, Key};

/// The most provider addresses that one host has.
pub const ADDRESSES_PER_HOST: usize = 4;

/// Another host: the paths that lead to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Host {
    /// Numbers + 1 of the paths to its provider addresses, those that can be used first.
    pub(super) paths: [u32; ADDRESSES_PER_HOST],
    /// Number + 1 of the first usable path of each family.
    pub(super) path_of_family: [u32; 2],
    /// How many of the paths can be used.
    pub(crate) usable: u32,
    /// Records that stand on it.
    pub(super) users: u32,
    pub(super) present: bool,
}

impl Host {
    pub(super) const PRESENT: Self = Self {
        present: true,
        ..Self::VACANT
    };

    /// The numbers of its paths.
    pub(crate) fn path_numbers(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        self.paths
            .into_iter()
            .filter_map(|path| path.checked_sub(1))
            .map(|path| path as usize)
    }

    /// Its paths, those that can be used first.
    #[inline(always)]
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathId> + use<> {
        self.paths
            .into_iter()
            .filter_map(|path| path.checked_sub(1))
            .map(PathId)
    }

    /// The path that a flow takes, out of those that can be used.
    #[inline(always)]
    pub(crate) fn path_for(&self, flow: u32) -> Option<PathId> {
        let choice = (u64::from(flow) * u64::from(self.usable)) >> 32;
        let path = *self.paths.get(choice as usize)?;
        if self.usable == 0 {
            None
        } else {
            path.checked_sub(1).map(PathId)
        }
    }

    /// The first path of a family that can be used.
    #[inline(always)]
    pub(crate) fn path_of(&self, family: Family) -> Option<PathId> {
        let [ipv4, ipv6] = self.path_of_family;
        let path = match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        };
        path.checked_sub(1).map(PathId)
    }
}

impl Place for Host {
    const VACANT: Self = Self {
        paths: [0; ADDRESSES_PER_HOST],
        path_of_family: [0; 2],
        usable: 0,
        users: 0,
        present: false,
    };
    fn is_vacant(&self) -> bool {
        !self.present
    }
}

/// The way to one provider address of another host; its header is the template of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub(crate) address: ProviderAddress,
    pub(crate) host: HostId,
    /// Whom to ask for a MAC address on the way there, if there is a way.
    pub(crate) next_hop: Option<ProviderAddress>,
    /// The largest packet that the network carries there, where that is known to be less than its first link does.
    pub(super) mtu: Option<NonZeroU16>,
}

/// The least MTU that a path may be said to have: what every IPv4 host takes (RFC 791 §3.1), and what every IPv6
/// link carries (RFC 8200 §5). Whoever says less may only want our packets to be small.
pub(crate) const fn least_path_mtu(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 576,
        Family::Ipv6 => 1280,
    }
}

/// The bytes that NVGRE adds to an IP packet: outer IP header, GRE with key, inner Ethernet header.
pub(crate) const fn tunnel_overhead(outer: Family) -> u16 {
    let outer_ip = match outer {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    outer_ip + 8 + 14
}

/// Names a path through the provider network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathId(pub(crate) u32);

/// A next hop whose MAC address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct NeighbourEntry {
    address: AddressBits,
    scope: u32,
    pub(crate) mac: MacAddress,
}

impl NeighbourEntry {
    /// What storage is filled with.
    pub const VACANT: Self = Self {
        address: AddressBits { high: 0, low: 0 },
        scope: 0,
        mac: MacAddress::ZERO,
    };

    pub(super) fn new(key: Key, mac: MacAddress) -> Self {
        Self {
            address: key.bits(),
            scope: key.scope(),
            mac,
        }
    }

    /// The neighbour in the words of the operator.
    pub(super) fn to_neighbour(self) -> Option<Neighbour> {
        let address = ProviderAddress::new(self.key().to_ip()?).ok()?;
        Some(Neighbour {
            uplink: UplinkId(self.scope >> 8),
            address,
            mac: self.mac,
        })
    }
}

impl Entry for NeighbourEntry {
    fn key(&self) -> Key {
        Key::new(self.scope, self.address)
    }
}

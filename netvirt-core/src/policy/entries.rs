//! What the tables hold: policy in the form that packets read.

use core::net::IpAddr;

use super::change::{Location, LookupRecord, Method, Neighbour, RecordKind, RouteTarget};
use super::slab::Place;
use crate::address::{
    AddressBits, CustomerAddress, Family, HostId, MacAddress, PortId, Prefix, ProviderAddress,
    UplinkId, Vsid,
};
use crate::checksum::Delta;
use crate::table::{Entry, Key, Run};

/// Marks a location as a port of this host.
const LOCAL: u32 = 1 << 31;

/// A lookup record as packets read it: one cache line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Record {
    address: AddressBits,
    provider_address: AddressBits,
    scope: u32,
    location: u32,
    /// Host number + 1.
    previous: u32,
    /// Number of the subnet.
    pub(crate) subnet: u32,
    pub(crate) mac: MacAddress,
    /// Customer to provider address.
    pub(crate) delta: Delta,
    flags: u16,
    /// Rewrite on this host: number + 1 of the own provider address whose prefix holds this one.
    pub(crate) provider: u16,
    reserved: u32,
}

const REWRITE: u16 = 1;
const USE_VM_MAC: u16 = 2;
const DYNAMIC: u16 = 4;
const L2_ONLY: u16 = 8;
const GATEWAY: u16 = 16;

impl Record {
    /// What storage is filled with.
    pub const VACANT: Self = Self {
        address: AddressBits { high: 0, low: 0 },
        provider_address: AddressBits { high: 0, low: 0 },
        scope: 0,
        location: 0,
        previous: 0,
        subnet: 0,
        mac: MacAddress::ZERO,
        delta: Delta::NONE,
        flags: 0,
        provider: 0,
        reserved: 0,
    };

    pub(super) fn new(record: &LookupRecord, subnet: u32) -> Self {
        let key = match record.kind.customer_address() {
            Some(address) => Key::ip(record.vsid, address.get()),
            None => Key::mac(record.vsid, record.mac),
        };
        let mut flags = match record.kind {
            RecordKind::Static(_) => 0,
            RecordKind::Dynamic(_) => DYNAMIC,
            RecordKind::L2Only => L2_ONLY,
            RecordKind::GatewayWildcard => GATEWAY,
        };
        let mut provider_address = AddressBits::default();
        let mut delta = Delta::NONE;
        if let Method::Rewrite {
            provider_address: address,
            use_vm_mac,
        } = record.method
        {
            flags |= REWRITE | if use_vm_mac { USE_VM_MAC } else { 0 };
            provider_address = AddressBits::from_ip(address.get());
            delta = Delta::between(key.bits(), provider_address);
        }
        Self {
            address: key.bits(),
            provider_address,
            scope: key.scope(),
            location: pack_location(record.location),
            previous: record.previous.map_or(0, |host| host.0.wrapping_add(1)),
            subnet,
            mac: record.mac,
            delta,
            flags,
            provider: 0,
            reserved: 0,
        }
    }

    /// The record in the words of the operator.
    pub fn to_lookup_record(&self) -> Option<LookupRecord> {
        let key = self.key();
        let kind = match (key.to_ip().map(CustomerAddress::new), self.flags) {
            (Some(Ok(address)), flags) if flags & DYNAMIC != 0 => RecordKind::Dynamic(address),
            (Some(Ok(address)), _) => RecordKind::Static(address),
            (_, flags) if flags & GATEWAY != 0 => RecordKind::GatewayWildcard,
            _ => RecordKind::L2Only,
        };
        let method = match self.provider_ip().map(ProviderAddress::new) {
            Some(Ok(provider_address)) => Method::Rewrite {
                provider_address,
                use_vm_mac: self.uses_vm_mac(),
            },
            _ => Method::Encapsulate,
        };
        Some(LookupRecord {
            vsid: key.vsid()?,
            kind,
            mac: self.mac,
            location: self.location(),
            previous: self.previous_host(),
            method,
        })
    }

    /// The version of the customer address, if the record has one.
    #[inline(always)]
    pub(crate) fn key_family(&self) -> Option<Family> {
        self.key().family()
    }

    #[inline(always)]
    pub(crate) fn address(&self) -> &AddressBits {
        &self.address
    }

    /// The provider address that stands for the customer address under rewrite.
    #[inline(always)]
    pub(crate) fn provider_address(&self) -> &AddressBits {
        &self.provider_address
    }

    /// The subnet that it is in.
    #[inline(always)]
    pub(crate) fn vsid(&self) -> Option<Vsid> {
        Vsid::new(self.scope >> 8).ok()
    }

    pub(crate) fn provider_ip(&self) -> Option<IpAddr> {
        let family = Family::of(self.key().to_ip()?);
        self.is_rewrite()
            .then(|| self.provider_address.to_ip(family))
    }

    #[inline(always)]
    pub(crate) fn location(&self) -> Location {
        if self.location & LOCAL != 0 {
            Location::Port(PortId(self.location & !LOCAL))
        } else {
            Location::Host(HostId(self.location))
        }
    }

    #[inline(always)]
    pub(crate) fn is_on_port(&self, port: PortId) -> bool {
        self.location == LOCAL | port.0
    }

    #[inline(always)]
    pub(crate) fn previous_host(&self) -> Option<HostId> {
        self.previous.checked_sub(1).map(HostId)
    }

    pub(super) fn set_location(&mut self, location: Location, previous: Option<HostId>) {
        self.location = pack_location(location);
        self.previous = previous.map_or(0, |host| host.0.wrapping_add(1));
    }

    #[inline(always)]
    pub(crate) fn is_rewrite(&self) -> bool {
        self.flags & REWRITE != 0
    }

    #[inline(always)]
    pub(crate) fn uses_vm_mac(&self) -> bool {
        self.flags & USE_VM_MAC != 0
    }

    #[inline(always)]
    pub(crate) fn is_gateway(&self) -> bool {
        self.flags & GATEWAY != 0
    }

    /// The domain's next gateway. It stands in place of the provider address, which no wildcard record has.
    pub(super) fn next_gateway(&self) -> Gateway {
        if self.is_gateway() {
            Gateway {
                vsid: self.provider_address.high as u32,
                mac: self.provider_address.to_mac(),
            }
        } else {
            Gateway::NONE
        }
    }

    pub(super) fn set_next_gateway(&mut self, next: Gateway) {
        self.provider_address = AddressBits {
            high: u64::from(next.vsid),
            low: next.mac.to_bits(),
        };
    }
}

impl Entry for Record {
    #[inline(always)]
    fn key(&self) -> Key {
        Key::new(self.scope, self.address)
    }
}

fn pack_location(location: Location) -> u32 {
    match location {
        Location::Port(port) => LOCAL | port.0,
        Location::Host(host) => host.0,
    }
}

/// The first on-link prefix of a family, for the common question whether an address is in the subnet.
///
/// The base stands inverted, so that all-zero bytes hold no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
struct MaskedPrefix {
    inverted_base: AddressBits,
    mask: AddressBits,
}

impl MaskedPrefix {
    const NONE: Self = Self {
        inverted_base: AddressBits { high: 0, low: 0 },
        mask: AddressBits { high: 0, low: 0 },
    };

    fn new(base: AddressBits, length: u8, family: Family) -> Self {
        let width: u32 = match family {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        };
        let host_bits = width.saturating_sub(u32::from(length));
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Self {
            inverted_base: AddressBits {
                high: !base.high,
                low: !base.low,
            },
            mask: AddressBits {
                high: (mask >> 64) as u64,
                low: mask as u64,
            },
        }
    }

    #[inline(always)]
    fn contains(&self, address: AddressBits) -> bool {
        let high = (address.high & self.mask.high) ^ self.inverted_base.high;
        let low = (address.low & self.mask.low) ^ self.inverted_base.low;
        high & low == u64::MAX
    }
}

/// A virtual subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Subnet {
    prefixes: [MaskedPrefix; 2],
    /// 0 if the place is vacant.
    pub(crate) vsid: u32,
    pub(crate) domain: u32,
    /// Records, routes and ports that stand on it.
    pub(super) users: u32,
    /// Ports among them.
    pub(super) ports: u32,
}

impl Subnet {
    pub(super) fn new(vsid: Vsid, domain: u32) -> Self {
        Self {
            vsid: vsid.get(),
            domain,
            ..Self::VACANT
        }
    }

    /// Whether the address lies in the first on-link prefix of its family.
    #[inline(always)]
    pub(crate) fn holds(&self, family: Family, address: AddressBits) -> bool {
        let [ipv4, ipv6] = &self.prefixes;
        match family {
            Family::Ipv4 => ipv4.contains(address),
            Family::Ipv6 => ipv6.contains(address),
        }
    }

    /// Whether a machine of this host is in the subnet.
    #[inline(always)]
    pub(crate) fn is_local(&self) -> bool {
        self.ports != 0
    }

    /// The first on-link prefix of a family.
    pub(crate) fn first_prefix(&self, family: Family) -> Option<Prefix> {
        let [ipv4, ipv6] = &self.prefixes;
        let (prefix, width) = match family {
            Family::Ipv4 => (ipv4, 32),
            Family::Ipv6 => (ipv6, 128),
        };
        let mask = prefix.mask.to_u128() & (u128::MAX >> (128 - width));
        let base = !prefix.inverted_base.to_u128();
        let base = AddressBits {
            high: (base >> 64) as u64,
            low: base as u64,
        };
        // Where there is no prefix, the base is all ones and no prefix of length 0.
        Prefix::new(base.to_ip(family), mask.count_ones() as u8).ok()
    }

    pub(super) fn set_prefix(&mut self, family: Family, prefix: Option<(AddressBits, u8)>) {
        let [ipv4, ipv6] = &mut self.prefixes;
        let place = match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        };
        *place = prefix.map_or(MaskedPrefix::NONE, |(base, length)| {
            MaskedPrefix::new(base, length, family)
        });
    }
}

impl Place for Subnet {
    const VACANT: Self = Self {
        prefixes: [MaskedPrefix::NONE; 2],
        vsid: 0,
        domain: 0,
        users: 0,
        ports: 0,
    };
    fn is_vacant(&self) -> bool {
        self.vsid == 0
    }
}

/// A routing domain: its declared routes, and where they lie flattened for lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Domain {
    /// Where its packets may go: its own routes and the subnets of domains it may send to.
    pub(crate) destinations: [Run; 2],
    /// Where packets to it may come from: its own subnets and those of domains that may send to it.
    pub(crate) sources: [Run; 2],
    /// Number + 1 of its first route.
    pub(super) first_route: u32,
    /// The first of its gateways, each of which names the next.
    pub(super) first_gateway: Gateway,
    /// Subnets and peerings that stand on it.
    pub(super) users: u32,
    pub(super) present: bool,
    /// The runs are to be rebuilt before the copy may be read.
    pub(super) dirty: bool,
}

impl Domain {
    pub(super) const PRESENT: Self = Self {
        present: true,
        ..Self::VACANT
    };
}

impl Place for Domain {
    const VACANT: Self = Self {
        destinations: [Run::EMPTY; 2],
        sources: [Run::EMPTY; 2],
        first_route: 0,
        first_gateway: Gateway::NONE,
        users: 0,
        present: false,
        dirty: false,
    };
    fn is_vacant(&self) -> bool {
        !self.present
    }
}

/// What a customer route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RouteKind {
    Vacant,
    /// The prefix is a subnet of the domain itself.
    OnLink,
    /// The prefix lies behind a machine of the domain.
    Via,
    /// The prefix is a subnet of a peered domain that this domain may send to.
    PeerDestination,
    /// The prefix is a subnet of a peered domain that may send to this domain.
    PeerSource,
}

/// A customer route of one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Route {
    pub(super) base: AddressBits,
    pub(crate) next_hop: AddressBits,
    /// Number of the subnet the route belongs to; where it leads if on-link.
    pub(crate) subnet: u32,
    /// Number + 1 of the subnet in which the next hop is; 0 if it is in none.
    pub(crate) via_subnet: u32,
    pub(super) metric: u32,
    /// Number + 1 of the domain's next route, in the order of family, base, length, metric.
    pub(super) next: u32,
    pub(super) length: u8,
    pub(crate) ipv6: bool,
    pub(crate) kind: RouteKind,
}

impl Route {
    pub(super) fn new(prefix: Prefix, target: RouteTarget, metric: u32, subnet: u32) -> Self {
        let (kind, next_hop) = match target {
            RouteTarget::OnLink => (RouteKind::OnLink, AddressBits::default()),
            RouteTarget::Via(address) => (RouteKind::Via, AddressBits::from_ip(address.get())),
        };
        Self {
            base: AddressBits::from_ip(prefix.address()),
            next_hop,
            subnet,
            via_subnet: 0,
            metric,
            next: 0,
            length: prefix.length(),
            ipv6: Family::of(prefix.address()) == Family::Ipv6,
            kind,
        }
    }

    pub(crate) fn family(&self) -> Family {
        if self.ipv6 {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    }

    pub(crate) fn prefix(&self) -> Option<Prefix> {
        Prefix::new(self.base.to_ip(self.family()), self.length).ok()
    }

    pub(crate) fn target(&self) -> RouteTarget {
        match CustomerAddress::new(self.next_hop.to_ip(self.family())) {
            Ok(next_hop) if self.kind == RouteKind::Via => RouteTarget::Via(next_hop),
            _ => RouteTarget::OnLink,
        }
    }

    pub(super) fn is_same_route(&self, other: &Self) -> bool {
        self.order().0 == other.order().0
            && (self.kind, self.subnet, self.next_hop) == (other.kind, other.subnet, other.next_hop)
    }

    /// Longer and cheaper prefixes come later and earlier.
    pub(super) fn order(&self) -> ((bool, AddressBits, u8), u32) {
        ((self.ipv6, self.base, self.length), self.metric)
    }

    pub(super) fn is_imported(&self) -> bool {
        matches!(
            self.kind,
            RouteKind::PeerDestination | RouteKind::PeerSource
        )
    }

    pub(super) fn is_destination(&self) -> bool {
        matches!(
            self.kind,
            RouteKind::OnLink | RouteKind::Via | RouteKind::PeerDestination
        )
    }

    pub(super) fn is_source(&self) -> bool {
        matches!(self.kind, RouteKind::OnLink | RouteKind::PeerSource)
    }
}

impl Place for Route {
    const VACANT: Self = Self {
        base: AddressBits { high: 0, low: 0 },
        next_hop: AddressBits { high: 0, low: 0 },
        subnet: 0,
        via_subnet: 0,
        metric: 0,
        next: 0,
        length: 0,
        ipv6: false,
        kind: RouteKind::Vacant,
    };
    fn is_vacant(&self) -> bool {
        self.kind == RouteKind::Vacant
    }
}

/// Where to find the wildcard record of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Gateway {
    /// 0 if there is no gateway.
    vsid: u32,
    mac: MacAddress,
}

impl Gateway {
    pub(super) const NONE: Self = Self {
        vsid: 0,
        mac: MacAddress::ZERO,
    };

    pub(super) fn of(record: &LookupRecord) -> Self {
        Self {
            vsid: record.vsid.get(),
            mac: record.mac,
        }
    }

    /// The key of the record.
    pub(super) fn key(self) -> Option<Key> {
        Some(Key::mac(Vsid::new(self.vsid).ok()?, self.mac))
    }
}

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
}

/// Names a path through the provider network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathId(pub(crate) u32);

/// A port as packets read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct PortEntry {
    pub(crate) vsid: u32,
    /// Number of the subnet.
    pub(crate) subnet: u32,
    pub(crate) mac: MacAddress,
    pub(super) present: bool,
    /// A wildcard record lets it speak for addresses without record.
    pub(crate) gateway: bool,
    /// Records that stand on it.
    pub(super) users: u32,
}

impl Place for PortEntry {
    const VACANT: Self = Self {
        vsid: 0,
        subnet: 0,
        mac: MacAddress::ZERO,
        present: false,
        gateway: false,
        users: 0,
    };
    fn is_vacant(&self) -> bool {
        !self.present
    }
}

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

//! Domains, subnets, routes and ports in the form that packets read.

use super::change::RouteTarget;
use super::record::Gateway;
use super::slab::Place;
use crate::address::{AddressBits, CustomerAddress, Family, MacAddress, PortId, Prefix, Vsid};
use crate::table::Run;
use crate::wire::RouterAdvertisement;

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
    /// Records, routes, ports and multicast groups that stand on it.
    pub(super) users: u32,
    /// Number + 1 of the first of its ports, each of which names the next.
    pub(super) first_port: u32,
    /// Number + 1 of the first of the other hosts with machines in it that are reached through a tunnel.
    pub(super) first_host: u32,
    /// How many such hosts there are.
    pub(crate) hosts: u32,
    /// Records of machines on other hosts that are reached by rewrite.
    pub(crate) rewritten: u32,
    /// Records of it whose machines are reached through tunnels.
    pub(super) tunnelled: u32,
    /// Numbers + 1 of the first of its on-link routes of IPv6.
    pub(super) ipv6_routes: [u32; RouterAdvertisement::MAX_PREFIXES],
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

    pub(super) fn first_port(&self) -> Option<PortId> {
        self.first_port.checked_sub(1).map(PortId)
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

    /// Whether all its machines are reached by rewrite, so that what the physical network carries is theirs.
    pub(crate) fn is_rewritten(&self) -> bool {
        self.tunnelled == 0
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
        first_port: 0,
        first_host: 0,
        hosts: 0,
        rewritten: 0,
        tunnelled: 0,
        ipv6_routes: [0; RouterAdvertisement::MAX_PREFIXES],
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
    /// The machine that the route leads through; of an on-link prefix its gateway, zero if it has none.
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
            RouteTarget::OnLink => {
                let gateway = prefix.gateway().map(AddressBits::from_ip);
                (RouteKind::OnLink, gateway.unwrap_or_default())
            }
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

    /// The gateway of an on-link prefix.
    pub(crate) fn gateway(&self) -> Option<&AddressBits> {
        Some(&self.next_hop)
            .filter(|address| self.kind == RouteKind::OnLink && **address != AddressBits::default())
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
    /// Number + 1 of the next port of the subnet; 0 if it is the last.
    pub(super) next: u32,
}

impl PortEntry {
    /// The next port of the subnet.
    pub(super) fn next_port(&self) -> Option<PortId> {
        self.next.checked_sub(1).map(PortId)
    }
}

impl Place for PortEntry {
    const VACANT: Self = Self {
        vsid: 0,
        subnet: 0,
        mac: MacAddress::ZERO,
        present: false,
        gateway: false,
        users: 0,
        next: 0,
    };
    fn is_vacant(&self) -> bool {
        !self.present
    }
}

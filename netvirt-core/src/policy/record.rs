//! Lookup records in the form that packets read.

use core::net::IpAddr;

use super::change::{Location, LookupRecord, Method, RecordKind};
use crate::address::{
    AddressBits, CustomerAddress, Family, HostId, MacAddress, PortId, ProviderAddress, Vsid,
};
use crate::checksum::Delta;
use crate::table::{Entry, Key};

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
    /// With a provider address, on this host: number + 1 of the own provider address whose prefix holds this one.
    pub(crate) provider: u16,
    reserved: u32,
}

/// It has a provider address of its own, to which rewritten packets come.
const PROVIDER_ADDRESS: u16 = 1;
const USE_VM_MAC: u16 = 2;
const DYNAMIC: u16 = 4;
const L2_ONLY: u16 = 8;
const GATEWAY: u16 = 16;
/// Rewritten packets still come; those that go out are encapsulated.
const TRANSITION: u16 = 32;

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
        flags |= match record.method {
            Method::Encapsulate => 0,
            Method::Rewrite { use_vm_mac, .. } => rewrite_flags(use_vm_mac),
            Method::Transition { use_vm_mac, .. } => TRANSITION | rewrite_flags(use_vm_mac),
        };
        if let Some(address) = record.method.provider_address() {
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
            Some(Ok(provider_address)) if self.is_rewrite() => Method::Rewrite {
                provider_address,
                use_vm_mac: self.uses_vm_mac(),
            },
            Some(Ok(provider_address)) => Method::Transition {
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

    /// The provider address that stands for the customer address in rewritten packets.
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
        self.has_provider_address()
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

    /// Whether rewritten packets come to it and from it: under rewrite, and in transition.
    #[inline(always)]
    pub(crate) fn has_provider_address(&self) -> bool {
        self.flags & PROVIDER_ADDRESS != 0
    }

    /// Whether packets to it and from it are to be rewritten.
    #[inline(always)]
    pub(crate) fn is_rewrite(&self) -> bool {
        self.flags & (PROVIDER_ADDRESS | TRANSITION) == PROVIDER_ADDRESS
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

const fn rewrite_flags(use_vm_mac: bool) -> u16 {
    PROVIDER_ADDRESS | if use_vm_mac { USE_VM_MAC } else { 0 }
}

fn pack_location(location: Location) -> u32 {
    match location {
        Location::Port(port) => LOCAL | port.0,
        Location::Host(host) => host.0,
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

//! Lookup records, and the gateways among them.

use core::net::IpAddr;

use super::super::change::{Location, LookupRecord, Method, RecordKind, RecordName};
use super::super::record::{Gateway, Record};
use super::super::refusal::{InTable, Missing, Refusal, TableName};
use super::super::tables::{Policy, provider_key};
use crate::address::{AddressBits, CustomerAddress, Family, HostId, Prefix, ProviderAddress, Vsid};
use crate::table::{Entry, Key};

impl Policy<'_> {
    pub(super) fn add_record(&mut self, record: &LookupRecord) -> Result<(), Refusal> {
        let name = record.name();
        if let Some(present) = self.find_record(&name) {
            let same = present.to_lookup_record() == Some(*record);
            return if same {
                Ok(())
            } else {
                Err(Refusal::Exists(Missing::Record(name)))
            };
        }
        let subnet = self.present_subnet(record.vsid)?;
        self.check_customer_address(record, subnet)?;
        self.put_record(record, subnet)
    }

    /// Puts a record in place whose customer address is known to be legal.
    fn put_record(&mut self, record: &LookupRecord, subnet: u32) -> Result<(), Refusal> {
        self.check_record(record)?;
        let mut entry = Record::new(record, subnet);
        entry.provider = self.provider_number(&entry);
        self.insert_record(entry)?;
        self.join(record, subnet)?;
        self.use_record(record, subnet, 1);
        if record.kind == RecordKind::GatewayWildcard {
            self.link_gateway(record, subnet);
        }
        Ok(())
    }

    pub(super) fn set_record(&mut self, record: &LookupRecord) -> Result<(), Refusal> {
        let present = self.present_record(&record.name())?;
        if present.mac != record.mac {
            return Err(Refusal::MacDiffers(record.name(), present.mac));
        }
        let subnet = self.remove_record(&record.name())?;
        // The customer address stays, even where the prefix around it has gone by now.
        self.put_record(record, subnet)
    }

    pub(super) fn move_record(&mut self, name: &RecordName, to: Location) -> Result<(), Refusal> {
        let record = self.present_record(name)?;
        let left = match record.location {
            Location::Host(host) => Some(host),
            Location::Port(_) => self.settings.map(|settings| settings.local_host),
        };
        let arrived = match to {
            Location::Host(host) => Some(host),
            Location::Port(_) => self.settings.map(|settings| settings.local_host),
        };
        let previous = if left == arrived {
            record.previous
        } else {
            left
        };
        self.set_record(&LookupRecord {
            location: to,
            previous,
            ..record
        })
    }

    pub(super) fn retire_migration(&mut self, name: &RecordName) -> Result<(), Refusal> {
        let record = self.present_record(name)?;
        self.set_record(&LookupRecord {
            previous: None,
            ..record
        })
    }

    /// Returns the number of the subnet that the record was in.
    pub(super) fn remove_record(&mut self, name: &RecordName) -> Result<u32, Refusal> {
        let record = self.present_record(name)?;
        let subnet = self.present_subnet(record.vsid)?;
        if record.kind == RecordKind::GatewayWildcard {
            self.unlink_gateway(&record, subnet);
        }
        if let Some((slot, entry)) = self.records.remove(&key_of(name))
            && let Some(key) = rewrite_key(&entry)
        {
            self.rewrite.remove(&key, slot);
        }
        self.part(&record, subnet);
        self.use_record(&record, subnet, -1);
        Ok(subnet)
    }

    /// The record of that name.
    pub(in super::super) fn find_record(&self, name: &RecordName) -> Option<&Record> {
        self.records.get(&key_of(name))
    }

    fn present_record(&self, name: &RecordName) -> Result<LookupRecord, Refusal> {
        self.find_record(name)
            .and_then(Record::to_lookup_record)
            .ok_or(Refusal::Missing(Missing::Record(*name)))
    }

    fn check_record(&self, record: &LookupRecord) -> Result<(), Refusal> {
        record.mac.unicast()?;
        self.check_location(record)?;
        if let Some(previous) = record.previous {
            self.check_previous(previous)?;
        }
        if let Some(provider_address) = record.method.provider_address() {
            self.check_rewrite(record, provider_address)?;
        }
        Ok(())
    }

    fn check_customer_address(&self, record: &LookupRecord, subnet: u32) -> Result<(), Refusal> {
        let Some(address) = record.kind.customer_address() else {
            return Ok(());
        };
        let name = record.name();
        let prefix = self
            .prefix_of(subnet, address)
            .ok_or(Refusal::OutsideSubnet(name))?;
        if reserved_addresses(prefix).any(|reserved| reserved == address.get()) {
            return Err(Refusal::ReservedAddress(name, prefix));
        }
        Ok(())
    }

    /// Refuses a prefix that reserves an address of which there is a record already.
    pub(super) fn check_reserved_addresses(
        &self,
        vsid: Vsid,
        prefix: Prefix,
    ) -> Result<(), Refusal> {
        for address in reserved_addresses(prefix) {
            if let Ok(address) = CustomerAddress::new(address)
                && let name = RecordName::Address(vsid, address)
                && self.find_record(&name).is_some()
            {
                return Err(Refusal::ReservedAddress(name, prefix));
            }
        }
        Ok(())
    }

    fn check_location(&self, record: &LookupRecord) -> Result<(), Refusal> {
        match record.location {
            Location::Port(port) => {
                let entry = self
                    .port(port)
                    .ok_or(Refusal::Missing(Missing::Port(port)))?;
                if entry.vsid != record.vsid.get() || entry.mac != record.mac {
                    return Err(Refusal::PortMismatch(port, record.name()));
                }
            }
            Location::Host(host) => {
                if self.is_local_host(host) {
                    return Err(Refusal::LocalHost(host));
                }
                let entry = self
                    .host(host)
                    .ok_or(Refusal::Missing(Missing::Host(host)))?;
                if entry.path_numbers().next().is_none() {
                    return Err(Refusal::Unreachable(host));
                }
            }
        }
        Ok(())
    }

    fn check_previous(&self, host: HostId) -> Result<(), Refusal> {
        if self.is_local_host(host) || self.host(host).is_some() {
            Ok(())
        } else {
            Err(Refusal::Missing(Missing::Host(host)))
        }
    }

    pub(super) fn is_local_host(&self, host: HostId) -> bool {
        self.settings
            .is_some_and(|settings| settings.local_host == host)
    }

    fn check_rewrite(
        &self,
        record: &LookupRecord,
        provider: ProviderAddress,
    ) -> Result<(), Refusal> {
        let name = record.name();
        let address = record
            .kind
            .customer_address()
            .ok_or(Refusal::RewriteWithoutAddress(name))?;
        let family = Family::of(address.get());
        if Family::of(provider.get()) != family {
            return Err(Refusal::RewriteFamily(name));
        }
        if self.is_taken(provider) {
            Err(Refusal::ProviderAddressTaken(provider))
        } else {
            Ok(())
        }
    }

    /// Whether a provider address already belongs to a host, this one included, or to a record.
    pub(super) fn is_taken(&self, address: ProviderAddress) -> bool {
        let family = Family::of(address.get());
        let bits = AddressBits::from_ip(address.get());
        self.own_address(family, bits).is_some()
            || self.path_to(address).is_some()
            || self.rewrite_record(family, bits).is_some()
    }

    /// Puts the entry into its table and index, and lets the index follow the entries that had to move.
    fn insert_record(&mut self, entry: Record) -> Result<(), Refusal> {
        let Self {
            records, rewrite, ..
        } = self;
        let moved = |entry: &Record, from, to| {
            if let Some(key) = rewrite_key(entry) {
                rewrite.repoint(&key, from, to);
            }
        };
        let (slot, _) = records.insert(entry, moved).of(TableName::Records)?;
        match rewrite_key(&entry) {
            Some(key) => self.rewrite.insert(&key, slot).of(TableName::RewriteIndex),
            None => Ok(()),
        }
    }

    /// Counts a record with everything that it stands on.
    fn use_record(&mut self, record: &LookupRecord, subnet: u32, by: i32) {
        self.use_subnet(subnet, by);
        if !matches!(record.method, Method::Rewrite { .. })
            && let Some(subnet) = self.subnets.get_mut(subnet as usize)
        {
            subnet.tunnelled = subnet.tunnelled.saturating_add_signed(by);
        }
        let host = match record.location {
            Location::Host(host) => Some(host),
            Location::Port(port) => {
                if let Some(port) = self.ports.get_mut(port.index()) {
                    port.users = port.users.saturating_add_signed(by);
                }
                None
            }
        };
        for host in [host, record.previous].into_iter().flatten() {
            if let Some(host) = self.hosts.get_mut(host.index()) {
                host.users = host.users.saturating_add_signed(by);
            }
        }
    }

    /// Number + 1 of the own provider address whose prefix holds a local record's provider address.
    fn provider_number(&self, entry: &Record) -> u16 {
        let Location::Port(_) = entry.location() else {
            return 0;
        };
        let Some(address) = entry.provider_ip() else {
            return 0;
        };
        let own = self
            .on_link_source(address)
            .map_or(0, |number| number.saturating_add(1));
        u16::try_from(own).unwrap_or(0)
    }

    /// After a change of the own provider addresses.
    pub(super) fn find_providers_of_records(&mut self) {
        for slot in 0..self.records.capacity() as u32 {
            let Some(entry) = self
                .records
                .at(slot)
                .filter(|entry| entry.has_provider_address())
            else {
                continue;
            };
            let provider = self.provider_number(entry);
            if let Some(entry) = self.records.at_mut(slot) {
                entry.provider = provider;
            }
        }
    }

    fn link_gateway(&mut self, record: &LookupRecord, subnet: u32) {
        self.set_gateway_port(record, true);
        let gateway = Gateway::of(record);
        if let Some(first) = self.first_gateway_mut(subnet) {
            let next = core::mem::replace(first, gateway);
            self.set_next_gateway(gateway, next);
        }
    }

    fn unlink_gateway(&mut self, record: &LookupRecord, subnet: u32) {
        self.set_gateway_port(record, false);
        let gateway = Gateway::of(record);
        let next = self.next_gateway(gateway);
        let Some(first) = self.first_gateway_mut(subnet) else {
            return;
        };
        if *first == gateway {
            *first = next;
            return;
        }
        let mut before = *first;
        while before != Gateway::NONE && self.next_gateway(before) != gateway {
            before = self.next_gateway(before);
        }
        self.set_next_gateway(before, next);
    }

    /// A gateway's port may speak for addresses without record.
    fn set_gateway_port(&mut self, record: &LookupRecord, gateway: bool) {
        if let Location::Port(port) = record.location
            && let Some(port) = self.ports.get_mut(port.index())
        {
            port.gateway = gateway;
        }
    }

    fn first_gateway_mut(&mut self, subnet: u32) -> Option<&mut Gateway> {
        let domain = self.subnet(subnet)?.domain as usize;
        let domain = self.domains.get_mut(domain)?;
        Some(&mut domain.first_gateway)
    }

    fn next_gateway(&self, gateway: Gateway) -> Gateway {
        let record = gateway.key().and_then(|key| self.records.get(&key));
        record.map_or(Gateway::NONE, Record::next_gateway)
    }

    fn set_next_gateway(&mut self, gateway: Gateway, next: Gateway) {
        if let Some(slot) = gateway.key().and_then(|key| self.records.slot_of(&key))
            && let Some(record) = self.records.at_mut(slot)
        {
            record.set_next_gateway(next);
        }
    }
}

/// The addresses of a virtual subnet that no machine may have: the gateway's, and with IPv4 those of the
/// network itself and of broadcast (RFC 1122 §3.2.1.3, RFC 3021).
fn reserved_addresses(prefix: Prefix) -> impl Iterator<Item = IpAddr> {
    let has_broadcast = Family::of(prefix.address()) == Family::Ipv4 && prefix.length() < 31;
    let network = has_broadcast.then(|| [prefix.address(), prefix.last()]);
    let network = network.into_iter().flatten();
    prefix.gateway().into_iter().chain(network)
}

fn key_of(name: &RecordName) -> Key {
    match *name {
        RecordName::Address(vsid, address) => Key::ip(vsid, address.get()),
        RecordName::Mac(vsid, mac) => Key::mac(vsid, mac),
    }
}

fn rewrite_key(entry: &Record) -> Option<Key> {
    let family = Family::of(entry.key().to_ip()?);
    entry
        .has_provider_address()
        .then(|| provider_key(family, *entry.provider_address()))
}

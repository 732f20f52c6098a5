//! The hosts: what they are called, and their uplinks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netvirt_core::MacAddress;
use netvirt_core::policy::ADDRESSES_PER_HOST;

use super::names::named;
use super::provider::{Assigned, Provider};
use super::{Assembler, LookupRecord};
use crate::import::network::Host;
use crate::import::tables::{HostIndex, Rule};
use crate::policy_file::Diagnostic;

impl Assembler<'_> {
    /// Adds the hosts that commands give addresses to, in the order of these commands.
    pub(super) fn add_hosts(&self, provider: &mut Provider, assigned: &[Assigned]) {
        let mut of_hosts: Vec<Vec<&Assigned>> = Vec::new();
        let mut positions = BTreeMap::new();
        for address in assigned {
            let position = *positions.entry(address.host).or_insert(of_hosts.len());
            match of_hosts.get_mut(position) {
                Some(addresses) => addresses.push(address),
                None => of_hosts.push(vec![address]),
            }
            provider.owners.insert(address.address.value, position);
        }
        for addresses in of_hosts {
            let host = self.host(&addresses, &provider.hosts);
            provider.hosts.extend(host);
        }
        provider.positions = positions;
    }

    /// The host that has these addresses.
    fn host(&self, assigned: &[&Assigned], others: &[Host]) -> Option<Host> {
        let own = assigned.iter().filter(|address| !address.of_machine);
        let own: Vec<&Assigned> = own.copied().collect();
        let first = *own.first().or(assigned.first())?;
        self.check_addresses(first, &own);
        self.check_interfaces(assigned);
        let stated = self.stated_mac(assigned);
        let mac = stated.unwrap_or_else(|| derived_mac(first.address.value, others));
        let name = match &self.state.host_entry(first.host).name {
            Some(name) => named(name),
            None => format!("host-{}", first.address.value),
        };
        let mut assumed = vec![self.assume_host(first, &name, mac, stated.is_none())];
        assumed.extend(self.assume_one_host(first.host, &own, &name));
        Some(Host {
            name,
            mac,
            addresses: own.iter().map(|own| own.address.clone()).collect(),
            place: first.place.clone(),
            assumed,
        })
    }

    fn assume_host(
        &self,
        first: &Assigned,
        name: &str,
        mac: MacAddress,
        mac_is_derived: bool,
    ) -> String {
        let origin = match self.state.host_entry(first.host).name {
            Some(_) => "taken from the session with it",
            None => "taken from its provider address, since no session names it",
        };
        let named = format!("the name of host {name:?}, {origin}");
        if mac_is_derived {
            let what = format!(
                "{named}; and the MAC address {mac} of its uplink, which no command states"
            );
            let remedy = "put the uplink's own MAC address into the file, or give -MACAddress with the provider address";
            self.assume(&first.address.span, what, remedy)
        } else {
            let remedy = "correct it in the file, if the host is called otherwise";
            self.assume(&first.address.span, named, remedy)
        }
    }

    /// Commands for several hosts may have been put into one script without saying for which each is.
    fn assume_one_host(&self, host: HostIndex, own: &[&Assigned], name: &str) -> Option<String> {
        let second = own.get(1)?;
        if self.state.host_entry(host).name.is_some() {
            return None;
        }
        let what = format!(
            "that one host has all {} addresses of host {name:?}",
            own.len()
        );
        let remedy = "say which host each is on with -CimSession, or wrap the host's commands in \
                      `Invoke-Command -ComputerName NAME { … }`";
        Some(self.assume(&second.address.span, what, remedy))
    }

    fn check_addresses(&self, first: &Assigned, own: &[&Assigned]) {
        let host = self.state.host_entry(first.host);
        if own.is_empty() {
            let message =
                format!("all provider addresses of {host} are those of rewritten machines");
            let remedy =
                "a host needs one of its own: add a New-NetVirtualizationProviderAddress for it";
            self.miss(Diagnostic::error(&first.place, message).remedy(remedy));
        }
        if let Some(extra) = own.get(ADDRESSES_PER_HOST) {
            let message =
                format!("{host} has more than {ADDRESSES_PER_HOST} provider addresses of its own");
            let remedy = "netvirt needs one for all tenants: let the lookup records of its machines use fewer";
            self.findings
                .note(Diagnostic::error(&extra.place, message).remedy(remedy));
        }
    }

    /// A host has one uplink.
    fn check_interfaces(&self, assigned: &[&Assigned]) {
        let mut interfaces = assigned
            .iter()
            .filter_map(|address| Some((address, address.interface.as_ref()?)));
        let Some((_, first)) = interfaces.next() else {
            return;
        };
        if let Some((address, other)) = interfaces.find(|(_, other)| other.value != first.value) {
            let message = format!(
                "{} has provider addresses on two interfaces, and a policy file knows one uplink",
                self.state.host_entry(address.host)
            );
            let remedy = "put all its provider addresses on one interface";
            self.contradiction(other, first, message, remedy);
        }
    }

    fn stated_mac(&self, assigned: &[&Assigned]) -> Option<MacAddress> {
        let mut stated = assigned
            .iter()
            .filter_map(|address| Some((address, address.mac.as_ref()?)));
        let (_, first) = stated.next()?;
        if let Some((address, other)) = stated.find(|(_, other)| other.value != first.value) {
            let message = format!(
                "{} has two MAC addresses for its provider addresses, and a policy file knows one uplink",
                self.state.host_entry(address.host)
            );
            let remedy = "give all its provider addresses the same -MACAddress";
            self.contradiction(other, first, message, remedy);
        }
        Some(first.value)
    }

    /// Adds hosts that only lookup records know of.
    pub(super) fn add_unclaimed(&self, provider: &mut Provider, records: &[LookupRecord]) {
        for record in records {
            let address = &record.provider;
            if provider.owners.contains_key(&address.value) {
                continue;
            }
            let mut networks = provider.networks.iter();
            let is_near = networks.any(|network| network.prefix.contains(address.value));
            if !is_near || record.rule.value == Rule::Rewrite {
                let message = format!(
                    "no command says which host has provider address {}",
                    address.value
                );
                self.miss(Diagnostic::error(&address.span, message).remedy(
                    "add its New-NetVirtualizationProviderAddress with -PrefixLength, and its host with -CimSession",
                ));
                continue;
            }
            provider.owners.insert(address.value, provider.hosts.len());
            provider.hosts.push(self.unclaimed(record, &provider.hosts));
        }
    }

    fn unclaimed(&self, record: &LookupRecord, others: &[Host]) -> Host {
        let address = &record.provider;
        let mac = derived_mac(address.value, others);
        let name = format!("host-{}", address.value);
        let what = format!(
            "host {name:?} with MAC address {mac}: no command says which host has this provider address"
        );
        let remedy = "correct its name and the MAC address of its uplink in the file";
        Host {
            name,
            mac,
            addresses: vec![address.clone()],
            place: record.place.clone(),
            assumed: vec![self.assume(&address.span, what, remedy)],
        }
    }

    /// Tells of hosts that commands run on and that have no provider address.
    pub(super) fn note_idle_hosts(&self, provider: &Provider) {
        for (index, host) in self.state.named_hosts() {
            if !provider.positions.contains_key(&index) {
                let message = format!("{host} has no provider address and is left out");
                let remedy = "if machines run on it, add its New-NetVirtualizationProviderAddress";
                self.miss(Diagnostic::warning(&host.place, message).remedy(remedy));
            }
        }
    }
}

/// A locally administered MAC address for a host, from its provider address; the same whenever it is asked for.
fn derived_mac(address: IpAddr, others: &[Host]) -> MacAddress {
    let mut mac = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            MacAddress([0x02, 0x00, a, b, c, d])
        }
        IpAddr::V6(address) => {
            // FNV-1a: short, and spreads the few bits in which the addresses of a network differ.
            let spread =
                |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
            let hash = address
                .octets()
                .into_iter()
                .fold(0xcbf2_9ce4_8422_2325, spread);
            let [a, b, c, d, e, ..] = hash.to_le_bytes();
            MacAddress([0x06, a, b, c, d, e])
        }
    };
    while others.iter().any(|other| other.mac == mac) {
        let [_, _, _, _, tens, ones] = &mut mac.0;
        *ones = ones.wrapping_add(1);
        *tens = tens.wrapping_add(u8::from(*ones == 0));
    }
    mac
}

//! The virtual machines: what the lookup records of a MAC address make together.

use std::collections::BTreeMap;

use netvirt_core::Vsid;

use super::provider::Provider;
use super::{Assembler, LookupRecord};
use crate::import::network::{Machine, RoutingDomain, Subnet};
use crate::import::tables::Rule;
use crate::policy_file::Diagnostic;

impl Assembler<'_> {
    /// The machines, subnet by subnet, and in these in the order of their records.
    pub(super) fn machines(
        &self,
        records: &[LookupRecord],
        provider: &Provider,
        domains: &[RoutingDomain],
    ) -> Vec<Machine> {
        let mut order: BTreeMap<Vsid, usize> = BTreeMap::new();
        for subnet in domains.iter().flat_map(|domain| &domain.subnets) {
            let position = order.len();
            order.entry(subnet.vsid).or_insert(position);
        }
        let mut groups: Vec<Vec<&LookupRecord>> = Vec::new();
        let mut known = BTreeMap::new();
        for record in records {
            let position = *known
                .entry((record.vsid.value, record.mac.value))
                .or_insert(groups.len());
            match groups.get_mut(position) {
                Some(group) => group.push(record),
                None => groups.push(vec![record]),
            }
        }
        groups.sort_by_key(|group| {
            group
                .first()
                .and_then(|record| order.get(&record.vsid.value))
        });
        let made = groups
            .iter()
            .filter_map(|group| self.machine(group, provider, domains));
        made.collect()
    }

    /// The machine that has these records; none if what they say cannot be a machine.
    fn machine(
        &self,
        records: &[&LookupRecord],
        provider: &Provider,
        domains: &[RoutingDomain],
    ) -> Option<Machine> {
        let first = records.first()?;
        let domain = domains.iter().find(|domain| {
            domain
                .subnets
                .iter()
                .any(|subnet| subnet.vsid == first.vsid.value)
        })?;
        let subnet = domain
            .subnets
            .iter()
            .find(|subnet| subnet.vsid == first.vsid.value)?;
        let kept = records.iter().copied();
        let kept: Vec<_> = kept
            .filter(|record| !self.is_routers(record, subnet))
            .collect();
        let first = kept.first()?;
        let host = *provider.owners.get(&first.provider.value)?;
        let elsewhere =
            |record: &&&LookupRecord| provider.owners.get(&record.provider.value) != Some(&host);
        if let Some(other) = kept.iter().find(elsewhere) {
            let message = format!(
                "the machine with MAC address {} in VSID {} is on two hosts, at {} and at {}",
                first.mac.value, first.vsid.value, first.provider.value, other.provider.value
            );
            let remedy = "let all lookup records of a machine have provider addresses of one host";
            self.contradiction(&other.provider, &first.provider, message, remedy);
        }
        if let Some(other) = kept
            .iter()
            .find(|other| other.use_vm_mac.value != first.use_vm_mac.value)
        {
            let message = format!(
                "the records of the machine with MAC address {} differ in UseVmMACAddress",
                first.mac.value
            );
            let remedy =
                "a policy file says it of the whole machine: give all its records the same";
            self.contradiction(&other.use_vm_mac, &first.use_vm_mac, message, remedy);
        }
        let (wildcards, own): (Vec<&LookupRecord>, Vec<_>) =
            kept.iter().partition(|record| record.is_wildcard());
        if let Some(wildcard) = wildcards.first() {
            self.note_wider(&wildcards, domain, wildcard);
        }
        let mut names = own
            .iter()
            .chain(&wildcards)
            .filter_map(|record| record.machine.clone());
        let name = names.next().unwrap_or_default();
        let rewritten = own
            .iter()
            .filter(|record| record.rule.value == Rule::Rewrite);
        Some(Machine {
            vsid: first.vsid.value,
            host,
            mac: first.mac.clone(),
            addresses: own.iter().map(|record| record.address.clone()).collect(),
            provider_addresses: rewritten.map(|record| record.provider.clone()).collect(),
            gateway: !wildcards.is_empty(),
            use_vm_mac: first.use_vm_mac.value,
            remarks: remarks(&kept, &name),
            name,
            place: first.place.clone(),
            assumed: Vec::new(),
        })
    }

    /// Whether a record is of the subnet's default gateway, which every host is itself.
    fn is_routers(&self, record: &LookupRecord, subnet: &Subnet) -> bool {
        let address = record.address.value;
        let prefixes = subnet.prefixes.iter();
        let is_gateway = prefixes
            .map(|prefix| prefix.value.gateway())
            .any(|gateway| gateway == Some(address));
        if is_gateway {
            let message = format!(
                "{address} is the default gateway of VSID {}; the record is left out",
                subnet.vsid
            );
            self.findings.note(
                Diagnostic::warning(&record.address.span, message)
                    .remedy("every host is that gateway itself; give a machine another address"),
            );
        }
        is_gateway
    }

    /// A wildcard record is of one IP version, a gateway of a policy file of both.
    fn note_wider(
        &self,
        wildcards: &[&LookupRecord],
        domain: &RoutingDomain,
        record: &LookupRecord,
    ) {
        let has = |v4: bool| {
            wildcards
                .iter()
                .any(|wildcard| wildcard.address.value.is_ipv4() == v4)
        };
        let uses = |v4: bool| {
            let mut prefixes = domain.subnets.iter().flat_map(|subnet| &subnet.prefixes);
            prefixes.any(|prefix| prefix.value.address().is_ipv4() == v4)
        };
        let missing = [(true, "IPv4"), (false, "IPv6")];
        for (_, version) in missing.into_iter().filter(|(v4, _)| uses(*v4) && !has(*v4)) {
            let message = format!(
                "the gateway with MAC address {} may carry {version} as well, for which it has no wildcard record",
                record.mac.value
            );
            self.findings.note(
                Diagnostic::warning(&record.address.span, message)
                    .remedy("a policy file does not tell the IP versions of a gateway apart: see that it does no harm"),
            );
        }
    }
}

/// What administrators wrote to the records.
fn remarks(records: &[&LookupRecord], name: &str) -> Vec<String> {
    let contexts = records
        .iter()
        .filter_map(|record| Some(("Context", record.context.as_ref()?)));
    let customers = records
        .iter()
        .filter_map(|record| Some(("CustomerID", record.customer.as_ref()?)));
    let names = records
        .iter()
        .filter_map(|record| Some(("VMName", record.machine.as_ref()?)));
    let names = names.filter(|(_, other)| *other != name);
    let mut remarks: Vec<String> = Vec::new();
    for (field, text) in names.chain(contexts).chain(customers) {
        let remark = format!("{field} {text}");
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks
}

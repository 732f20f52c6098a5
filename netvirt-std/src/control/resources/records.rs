//! The lookup records.

use std::collections::HashMap;
use std::net::IpAddr;

use netvirt_core::policy::{Location, LookupRecord, Method, RecordKind};
use netvirt_core::{HostId, PortId};
use serde::{Deserialize, Serialize};

use super::{joined, or_nothing};
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::{MachineNaming, Naming};
use crate::control::problem::Refusal;
use crate::report::{Align, Table};

/// A lookup record: which machine has a customer address, where it runs and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    /// The virtual subnet.
    pub vsid: u32,
    /// Its name, if it was given one.
    pub subnet: Option<String>,
    /// The routing domain.
    pub domain: Option<String>,
    /// `static`, `dynamic`, `l2-only` or `gateway-wildcard`.
    pub kind: String,
    /// The customer address; none in a record of a MAC address.
    pub address: Option<IpAddr>,
    /// The machine's MAC address.
    pub mac: String,
    /// The machine.
    pub machine: Option<String>,
    /// The host on which it runs.
    pub location: String,
    /// Its port, if it runs on this host.
    pub port: Option<u32>,
    /// The host on which it ran before, until the migration is retired.
    pub previous: Option<String>,
    /// `encapsulate`, `rewrite` or `transition` between the two.
    pub method: String,
    /// Whether rewritten packets leave with the machine's MAC address.
    pub use_vm_mac: bool,
    /// The provider address that stands for this customer address alone; else those of the host.
    pub provider_addresses: Vec<IpAddr>,
    /// Whether the policy knows a way to the machine.
    pub usable: bool,
}

/// What is copied of each record while the policy is locked.
struct Copied {
    record: LookupRecord,
    is_usable: bool,
}

/// What the views of all records stand on.
struct Context {
    naming: Naming,
    machines: MachineNaming,
    /// Whose they are: none for this host.
    provider_addresses: HashMap<Option<HostId>, Vec<IpAddr>>,
}

impl Context {
    fn view(&self, copied: &Copied) -> RecordView {
        let Copied { record, is_usable } = copied;
        let naming = &self.naming;
        RecordView {
            vsid: record.vsid.get(),
            subnet: naming.subnet_name(record.vsid),
            domain: naming.domain_name(record.vsid),
            kind: kind_name(record.kind).to_owned(),
            address: record.kind.customer_address().map(|address| address.get()),
            mac: record.mac.to_string(),
            machine: self.machines.name(record.vsid, record.mac),
            location: naming.place(record.location),
            port: match record.location {
                Location::Port(PortId(port)) => Some(port),
                Location::Host(_) => None,
            },
            previous: record.previous.map(|host| naming.host(host)),
            method: method_name(record.method).to_owned(),
            use_vm_mac: uses_vm_mac(record.method),
            provider_addresses: self.provider_addresses(record),
            usable: *is_usable,
        }
    }

    fn provider_addresses(&self, record: &LookupRecord) -> Vec<IpAddr> {
        if let Some(own) = record.method.provider_address() {
            return vec![own.get()];
        }
        let host = match record.location {
            Location::Port(_) => None,
            Location::Host(host) => Some(host),
        };
        let addresses = self.provider_addresses.get(&host);
        addresses.cloned().unwrap_or_default()
    }
}

const fn kind_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Static(_) => "static",
        RecordKind::Dynamic(_) => "dynamic",
        RecordKind::L2Only => "l2-only",
        RecordKind::GatewayWildcard => "gateway-wildcard",
    }
}

const fn method_name(method: Method) -> &'static str {
    match method {
        Method::Encapsulate => "encapsulate",
        Method::Rewrite { .. } => "rewrite",
        Method::Transition { .. } => "transition",
    }
}

const fn uses_vm_mac(method: Method) -> bool {
    match method {
        Method::Encapsulate => false,
        Method::Rewrite { use_vm_mac, .. } | Method::Transition { use_vm_mac, .. } => use_vm_mac,
    }
}

impl Resource for RecordView {
    const NAME: &'static str = "records";

    fn table(records: &[Self]) -> String {
        let mut table = Table::new([
            ("VSID", Align::Right),
            ("domain", Align::Left),
            ("address", Align::Left),
            ("MAC address", Align::Left),
            ("machine", Align::Left),
            ("location", Align::Left),
            ("method", Align::Left),
            ("provider addresses", Align::Left),
            ("remarks", Align::Left),
        ]);
        for record in records {
            table.row([
                &record.vsid,
                &or_nothing(record.domain.as_ref()),
                &or_nothing(record.address),
                &record.mac,
                &or_nothing(record.machine.as_ref()),
                &record.location,
                &record.method,
                &joined(&record.provider_addresses),
                &record.remarks(),
            ]);
        }
        table.to_string()
    }
}

impl RecordView {
    /// What is not as with most records.
    fn remarks(&self) -> String {
        let kind = (self.kind != "static").then(|| self.kind.clone());
        let previous = self
            .previous
            .as_ref()
            .map(|host| format!("before on {host}"));
        let unusable = (!self.usable).then(|| "unusable".to_owned());
        let remarks = [kind, previous, unusable].into_iter().flatten();
        remarks.collect::<Vec<_>>().join(", ")
    }
}

impl Listed for RecordView {
    /// The records are copied once, so that the list is of one version: a million of them in some tens of milliseconds,
    /// in which no packet waits. Names are looked up afterwards, record by record.
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let (policy, provider_addresses, copies) = access.look(|names, policy| {
            let copies = policy.lookup_records().map(|record| Copied {
                is_usable: policy.is_usable(&record),
                record,
            });
            let mut addresses: HashMap<_, Vec<IpAddr>> = HashMap::new();
            for (host, address) in policy.host_addresses() {
                addresses.entry(Some(host)).or_default().push(address.get());
            }
            let own = policy.provider_addresses().map(|own| own.address.get());
            addresses.insert(None, own.collect());
            (names.clone(), addresses, copies.collect::<Vec<_>>())
        })?;
        let context = Context {
            machines: MachineNaming::new(policy.clone()),
            naming: Naming::new(policy),
            provider_addresses,
        };
        Ok(copies.into_iter().map(move |copied| context.view(&copied)))
    }
}

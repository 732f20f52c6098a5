//! The cmdlets of Hyper-V that put a virtual machine's network adapter into a virtual subnet.

use std::rc::Rc;

use netvirt_core::Vsid;

use super::Evaluator;
use super::arguments::{Argument, Bound, Parameter, aliased, switch, value};
use super::expressions::unknown;
use super::fields;
use super::value::{Adapter, Item, Value};
use crate::import::findings::{Noted, Result};
use crate::import::script::Command;
use crate::import::tables::{Binding, FieldValue, Kind};
use crate::policy_file::Diagnostic;

/// What Set-VMNetworkAdapter takes besides what concerns virtual subnets.
const OTHERS: [Parameter; 21] = [
    switch("ManagementOS"),
    switch("DynamicMacAddress"),
    value("MacAddressSpoofing"),
    value("DhcpGuard"),
    value("RouterGuard"),
    value("PortMirroring"),
    value("IeeePriorityTag"),
    value("VmqWeight"),
    value("IovWeight"),
    value("IovQueuePairsRequested"),
    value("IovInterruptModeration"),
    value("IPsecOffloadMaximumSecurityAssociation"),
    value("MaximumBandwidth"),
    value("MinimumBandwidthAbsolute"),
    value("MinimumBandwidthWeight"),
    value("AllowTeaming"),
    value("NotMonitoredInCluster"),
    value("StormLimit"),
    value("DynamicIPAddressLimit"),
    value("DeviceNaming"),
    value("Credential"),
];

const PICKING: [Parameter; 5] = [
    value("VMName"),
    aliased("Name", "VMNetworkAdapterName"),
    value("VMNetworkAdapter"),
    aliased("ComputerName", "Cn"),
    value("CimSession"),
];

impl Evaluator<'_> {
    /// `Get-VM`: all adapters of the machines.
    pub(super) fn get_machine(&mut self, command: &Command) -> Result<Vec<Item>> {
        let parameters = [
            aliased("Name", "VMName"),
            aliased("ComputerName", "Cn"),
            value("CimSession"),
            value("Credential"),
        ];
        let bound = self.bind(command, &parameters, &["Name"]).whole()?;
        let Some(names) = bound.get("Name").cloned() else {
            return Ok(vec![Item::new(unknown("Get-VM"), &bound.span)]);
        };
        self.adapters_of(&names, None, &bound)
    }

    /// `Get-VMNetworkAdapter`
    pub(super) fn get_adapter(
        &mut self,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let others = [value("Credential"), switch("ManagementOS"), switch("All")];
        let parameters = [&PICKING[..], &others].concat();
        let bound = self.bind(command, &parameters, &["VMName"]).whole()?;
        if bound.is_set("ManagementOS") {
            return Ok(vec![Item::new(
                unknown("Get-VMNetworkAdapter -ManagementOS"),
                &bound.span,
            )]);
        }
        self.picked_adapters(&bound, input)
    }

    /// `Set-VMNetworkAdapter`
    pub(super) fn set_adapter(
        &mut self,
        command: &Command,
        input: Option<Vec<Item>>,
    ) -> Result<Vec<Item>> {
        let own = [value("VirtualSubnetId"), value("StaticMacAddress")];
        let parameters = [&PICKING[..], &own, &OTHERS].concat();
        let bound = self.bind(command, &parameters, &["VMName"]).whole()?;
        self.note_others(&bound);
        if bound.is_set("ManagementOS") || self.only_asks(&bound) {
            return Ok(Vec::new());
        }
        let vsid = match bound.get("VirtualSubnetId") {
            Some(argument) => Some(self.virtual_subnet(argument)?),
            None => None,
        };
        let mac = match bound.get("StaticMacAddress") {
            Some(argument) => Some(fields::mac(argument, self.findings)?),
            None => None,
        };
        for item in self.picked_adapters(&bound, input)? {
            let Value::Adapter(adapter) = &item.value else {
                return self.refuse_adapter(&item, &bound);
            };
            let machine = self.text_of(&adapter.machine, &bound.span)?;
            let binding = Binding {
                host: adapter.host,
                machine: machine.to_string(),
                adapter: adapter.name.as_deref().map(str::to_lowercase),
                mac: mac.or(adapter.mac.as_ref().map(|(mac, _)| *mac)),
                vsid: vsid.flatten(),
                place: bound.span.clone(),
            };
            self.keep(binding, vsid.is_some());
        }
        Ok(Vec::new())
    }

    /// Says of parameters that netvirt has no counterpart of that they are left out.
    fn note_others(&self, bound: &Bound) {
        let given: Vec<String> = OTHERS
            .iter()
            .filter(|parameter| bound.get(parameter.name).is_some())
            .map(|parameter| format!("-{}", parameter.name))
            .collect();
        if !given.is_empty() {
            let message = format!(
                "{} has no counterpart in a policy file and is left out",
                given.join(", ")
            );
            self.findings.note(Diagnostic::note(&bound.span, message));
        }
    }

    /// The virtual subnet; none for 0.
    fn virtual_subnet(&self, argument: &Argument) -> Result<Option<Vsid>> {
        if argument
            .item
            .value
            .text()
            .is_some_and(|text| text.trim() == "0")
        {
            return Ok(None);
        }
        match fields::single(argument, Kind::Vsid, self.findings)?.value {
            FieldValue::Vsid(vsid) => Ok(Some(vsid)),
            _ => Err(Noted),
        }
    }

    /// Adapters from the pipeline, from -VMNetworkAdapter, or of the machines in -VMName.
    fn picked_adapters(&mut self, bound: &Bound, input: Option<Vec<Item>>) -> Result<Vec<Item>> {
        let name = match bound.get("Name") {
            Some(argument) => Some(self.text_of(&argument.item, &argument.span)?),
            None => None,
        };
        if let Some(machines) = bound.get("VMName").cloned() {
            return self.adapters_of(&machines, name, bound);
        }
        let given = bound
            .get("VMNetworkAdapter")
            .map(|argument| argument.item.items().to_vec());
        let Some(items) = given.or(input) else {
            let message = format!("{} names no virtual machine", bound.name.text);
            return self
                .findings
                .refuse(Diagnostic::error(&bound.span, message).remedy("name it with -VMName"));
        };
        let mut adapters = Vec::new();
        for item in items.iter().flat_map(Item::items) {
            match &item.value {
                Value::Adapter(adapter) => {
                    let mut adapter = (**adapter).clone();
                    adapter.name = name.clone().or(adapter.name);
                    adapters.push(Item::new(Value::Adapter(Rc::new(adapter)), &item.origin));
                }
                _ => return self.refuse_adapter(item, bound),
            }
        }
        Ok(adapters)
    }

    fn refuse_adapter<T>(&self, item: &Item, bound: &Bound) -> Result<T> {
        let message = match &item.value {
            Value::Unknown(what) => format!("which adapters `{what}` yields, only the host knows"),
            other => format!(
                "a network adapter is wanted here, and this is {}",
                other.kind()
            ),
        };
        self.findings.refuse(
            Diagnostic::error(&bound.span, message)
                .remedy("name the machine: `Get-VMNetworkAdapter -VMName NAME | …`"),
        )
    }

    fn adapters_of(
        &mut self,
        machines: &Argument,
        name: Option<Rc<str>>,
        bound: &Bound,
    ) -> Result<Vec<Item>> {
        let hosts = self.hosts(bound)?;
        let mut adapters = Vec::new();
        for machine in machines.item.items() {
            let text = self.text_of(machine, &machines.span)?;
            if text.is_empty() || text.contains(['*', '?']) {
                let message = format!("which machines {text:?} names, only the host knows");
                return self.findings.refuse(
                    Diagnostic::error(&machines.span, message)
                        .remedy("write the names out, with commas"),
                );
            }
            adapters.extend(hosts.iter().map(|host| {
                let adapter = Adapter {
                    host: *host,
                    machine: machine.clone(),
                    name: name.clone(),
                    mac: None,
                };
                Item::new(Value::Adapter(Rc::new(adapter)), &machines.span)
            }));
        }
        Ok(adapters)
    }

    /// Keeps what was said last of an adapter.
    fn keep(&mut self, mut binding: Binding, says_subnet: bool) {
        let is_same = |known: &Binding| {
            known.host == binding.host
                && known.machine.eq_ignore_ascii_case(&binding.machine)
                && known.adapter == binding.adapter
                && (known.mac == binding.mac || known.mac.is_none() || binding.mac.is_none())
        };
        if let Some(position) = self.state.bindings.iter().position(is_same) {
            let known = self.state.bindings.remove(position);
            binding.mac = binding.mac.or(known.mac);
            if !says_subnet {
                binding.vsid = known.vsid;
                binding.place = known.place;
            }
        }
        self.state.bindings.push(binding);
    }

    pub(super) fn member_of_adapter(&self, adapter: &Adapter, name: &str) -> Value {
        match (name, &adapter.mac, &adapter.name) {
            ("vmname", ..) => adapter.machine.value.clone(),
            ("macaddress", Some((mac, _)), _) => {
                Value::Text(mac.to_string().replace(':', "").to_uppercase().into())
            }
            ("name", _, Some(name)) => Value::Text(name.clone()),
            ("computername", ..) => match &self.state.host_entry(adapter.host).name {
                Some(host) => Value::Text(host.as_str().into()),
                None => unknown("$env:computername"),
            },
            _ => {
                let machine = adapter.machine.value.text().unwrap_or_default();
                unknown(&format!("(Get-VMNetworkAdapter {machine}).{name}"))
            }
        }
    }
}

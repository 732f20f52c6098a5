//! The names of the virtual machines: where ports are bound they are told, else they have to be made.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::MacAddress;

use super::Assembler;
use super::provider::Provider;
use crate::import::network::Machine;
use crate::import::tables::{At, Binding};
use crate::policy_file::Diagnostic;

/// A name as the policy file takes it.
pub fn named(text: &str) -> String {
    let fits = |c: char| if c == '=' || c.is_control() { '-' } else { c };
    text.trim().chars().map(fits).collect()
}

impl Assembler<'_> {
    /// Names the machines after the ports that they hang on, and sees that ports and records agree.
    pub(super) fn name(&self, machines: &mut [Machine], provider: &Provider) {
        let mut at_port = vec![false; machines.len()];
        let mut left = Vec::new();
        for binding in &self.state.bindings {
            let found = match binding.mac {
                Some(mac) => self.find_by_mac(machines, binding, mac),
                None => self.find_by_name(machines, binding),
            };
            match found {
                Found::Machine(position) => {
                    at_port[position] = true;
                    self.note_elsewhere(binding, &machines[position], provider);
                    rename(&mut machines[position], &binding.machine);
                }
                Found::Contradiction => {}
                Found::Nothing if binding.vsid.is_some() => left.push(binding),
                Found::Nothing => {}
            }
        }
        for binding in self.name_by_elimination(machines, &at_port, left, provider) {
            self.note_left(binding, machines);
        }
        self.name_by_their_macs(machines);
        make_unique(machines);
    }

    fn find_by_mac(&self, machines: &[Machine], binding: &Binding, mac: MacAddress) -> Found {
        let with_mac = |machine: &Machine| machine.mac.value == mac;
        let is_it = |machine: &Machine| with_mac(machine) && Some(machine.vsid) == binding.vsid;
        if let Some(position) = machines.iter().position(is_it) {
            return Found::Machine(position);
        }
        match machines.iter().find(|machine| with_mac(machine)) {
            Some(machine) => self.refuse_binding(binding, machine),
            None => Found::Nothing,
        }
    }

    fn find_by_name(&self, machines: &[Machine], binding: &Binding) -> Found {
        let has_name = |machine: &Machine| machine.name.eq_ignore_ascii_case(&binding.machine);
        let is_it = |machine: &Machine| has_name(machine) && Some(machine.vsid) == binding.vsid;
        if let Some(position) = machines.iter().position(is_it) {
            return Found::Machine(position);
        }
        let of_name: Vec<_> = machines
            .iter()
            .filter(|machine| has_name(machine))
            .collect();
        match (binding.vsid, &of_name[..]) {
            (None, [machine]) => self.refuse_binding(binding, machine),
            _ => Found::Nothing,
        }
    }

    /// A port in another subnet than its machine's records.
    fn refuse_binding(&self, binding: &Binding, machine: &Machine) -> Found {
        let bound = binding.vsid.map_or_else(
            || "no virtual subnet".to_owned(),
            |vsid| format!("VSID {vsid}"),
        );
        let message = format!(
            "the port of {:?} is in {bound}, its lookup records are in VSID {}",
            binding.machine, machine.vsid
        );
        let place = At {
            value: (),
            span: binding.place.clone(),
        };
        let records = At {
            value: (),
            span: machine.place.clone(),
        };
        self.contradiction(&place, &records, message, "let both have the same VSID");
        Found::Contradiction
    }

    /// A machine may have moved since its port was bound; a policy file follows the records.
    fn note_elsewhere(&self, port: &Binding, machine: &Machine, provider: &Provider) {
        let entry = self.state.host_entry(port.host);
        if entry.name.is_none() || provider.positions.get(&port.host) == Some(&machine.host) {
            return;
        }
        let host = provider.hosts.get(machine.host);
        let message = format!(
            "the port of {:?} is bound on {entry}, its lookup records are at host {:?}",
            port.machine,
            host.map_or("", |host| &host.name)
        );
        let finding = Diagnostic::warning(&port.place, message)
            .there(&machine.place, "its first record")
            .remedy("the records are followed: see that the machine has moved there");
        self.findings.note(finding);
    }

    /// Where one port and one machine of a host and a subnet are left, they belong together. Yields the ports that
    /// are left then.
    fn name_by_elimination<'b>(
        &self,
        machines: &mut [Machine],
        at_port: &[bool],
        ports: Vec<&'b Binding>,
        provider: &Provider,
    ) -> Vec<&'b Binding> {
        let mut machines_at: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (position, machine) in machines.iter().enumerate() {
            if !at_port[position] {
                let place = (machine.host, machine.vsid);
                machines_at.entry(place).or_default().push(position);
            }
        }
        let place = |port: &Binding| Some((*provider.positions.get(&port.host)?, port.vsid?));
        let mut ports_at: BTreeMap<_, usize> = BTreeMap::new();
        for place in ports.iter().filter_map(|port| place(port)) {
            *ports_at.entry(place).or_default() += 1;
        }
        let mut left = Vec::new();
        for port in ports {
            let place = place(port).filter(|place| ports_at.get(place) == Some(&1));
            let candidates = place.and_then(|place| machines_at.get(&place));
            match candidates.map(Vec::as_slice) {
                Some(&[position]) if port.mac.is_none() => {
                    self.assume_port(&mut machines[position], port);
                }
                _ => left.push(port),
            }
        }
        left
    }

    fn assume_port(&self, machine: &mut Machine, port: &Binding) {
        let what = format!(
            "that {:?} has MAC address {}: of the ports and the records of VSID {} on its host, these two are left",
            port.machine, machine.mac.value, machine.vsid
        );
        let remedy = "say it with -VMName in the lookup record";
        machine.assumed.push(self.assume(&port.place, what, remedy));
        rename(machine, &port.machine);
    }

    fn note_left(&self, port: &Binding, machines: &[Machine]) {
        let message = format!(
            "no lookup record is known to be of {:?}, whose port is in a virtual subnet; it is left out",
            port.machine
        );
        let mut finding = Diagnostic::warning(&port.place, message)
            .remedy("give its lookup records -VMName, if there are any; else add them");
        let namesake = machines
            .iter()
            .find(|machine| machine.name.eq_ignore_ascii_case(&port.machine));
        if let Some(namesake) = namesake {
            finding = finding.there(
                &namesake.place,
                format!("of that name, but in VSID {}", namesake.vsid),
            );
        }
        self.miss(finding);
    }

    fn name_by_their_macs(&self, machines: &mut [Machine]) {
        let nameless = machines
            .iter_mut()
            .filter(|machine| machine.name.trim().is_empty());
        let mut places = Vec::new();
        for machine in nameless {
            let digits = machine.mac.value.to_string().replace(':', "");
            machine.name = format!("vm-{digits}");
            machine
                .assumed
                .push("its name, made of its MAC address".to_owned());
            places.push(machine.place.clone());
        }
        if let Some(first) = places.first() {
            let what = match places.len() {
                1 => "the name of a virtual machine, made of its MAC address".to_owned(),
                number => {
                    format!("the names of {number} virtual machines, made of their MAC addresses")
                }
            };
            self.assume(
                first,
                what,
                "give the lookup records -VMName, or name the machines in the file",
            );
        }
    }
}

/// The machine that a port is of.
enum Found {
    /// Its position.
    Machine(usize),
    /// There is one, but it cannot be.
    Contradiction,
    Nothing,
}

/// Names a machine, and keeps as a remark how its records call it.
fn rename(machine: &mut Machine, name: &str) {
    if !machine.name.is_empty() && machine.name.to_lowercase() != name.to_lowercase() {
        machine
            .remarks
            .insert(0, format!("VMName {}", machine.name));
    }
    machine.name = name.to_owned();
}

/// A policy file has no two machines of one name.
fn make_unique(machines: &mut [Machine]) {
    let mut taken = BTreeSet::from(["uplink".to_owned()]);
    for machine in machines {
        let name = named(&machine.name);
        let with_subnet = format!("{name}-{}", machine.vsid);
        let numbered = (2..).map(|number| format!("{name}-{}-{number}", machine.vsid));
        let candidates = [name.clone(), with_subnet].into_iter().chain(numbered);
        let free = candidates
            .into_iter()
            .find(|candidate| !taken.contains(candidate));
        machine.name = free.unwrap_or(name);
        taken.insert(machine.name.clone());
    }
}

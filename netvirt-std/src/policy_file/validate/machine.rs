//! The virtual machines: what they own, where they run, and how they are reached.

use std::net::IpAddr;

use netvirt_core::Family;

use super::provider::check_not_reserved;
use super::{Unique, list, reserved};
use crate::policy_file::diagnostic::{Diagnostic, Log};
use crate::policy_file::model::{Model, Subnet, VirtualMachine};
use crate::policy_file::values::SubnetMethod;

pub(super) fn check(model: &Model, log: &Log) {
    check_unique(model, log);
    for machine in &model.machines {
        let subnet = model.subnet_of(machine);
        check_identity(model, machine, log);
        check_addresses(machine, subnet, log);
        match subnet.method {
            SubnetMethod::Encapsulate => check_encapsulated(machine, subnet, log),
            SubnetMethod::Rewrite | SubnetMethod::Transition => {
                check_no_gateway(machine, log);
                check_pairs(machine, log);
                if !model.networks_incomplete {
                    check_homes(model, machine, log);
                }
            }
        }
    }
}

fn check_unique(model: &Model, log: &Log) {
    let mut addresses = Unique::new();
    let mut macs = Unique::new();
    for machine in &model.machines {
        let vsid = model.subnet_of(machine).vsid.value;
        if let Some(first) = macs.see((vsid, machine.mac.value), &machine.mac.span) {
            let message = format!(
                "two machines of VSID {vsid} have MAC address {}",
                machine.mac.value
            );
            log.note(
                Diagnostic::error(&machine.mac.span, message)
                    .there(first, "the first is here")
                    .remedy("give each machine of a subnet a MAC address of its own"),
            );
        }
        for address in machine.addresses() {
            if let Some(first) = addresses.see((vsid, address.value), &address.span) {
                let message = format!("{} is given twice in VSID {vsid}", address.value);
                log.note(
                    Diagnostic::error(&address.span, message)
                        .there(first, "the first is here")
                        .remedy(
                            "a customer address has one owner in its subnet: give another one here",
                        ),
                );
            }
        }
    }
}

fn check_identity(model: &Model, machine: &VirtualMachine, log: &Log) {
    if machine.name.value.0 == "uplink" {
        log.note(
            Diagnostic::error(&machine.name.span, "\"uplink\" names the host's uplink")
                .remedy("give the virtual machine another name"),
        );
    }
    if machine.mac.value == model.settings.router_mac {
        let message = format!(
            "{} is the MAC address of the distributed router",
            machine.mac.value
        );
        log.note(
            Diagnostic::error(&machine.mac.span, message)
                .remedy("give the machine another one, or change `router-mac` in [settings]"),
        );
    }
    let left = machine.migrating_from.as_ref();
    if let Some(left) = left.filter(|left| left.value == machine.host.value) {
        log.note(
            Diagnostic::error(&left.span, "the machine migrates from the host it runs on")
                .there(&machine.host.span, "the host it runs on")
                .remedy("let `host` name the new host, or remove `migrating-from`"),
        );
    }
}

fn check_addresses(machine: &VirtualMachine, subnet: &Subnet, log: &Log) {
    if machine.addresses().is_empty() && !machine.is_gateway() {
        let span = machine
            .addresses
            .as_ref()
            .map_or(&machine.span, |list| &list.span);
        let message = format!("virtual machine {} has no address", machine.name.value);
        log.note(
            Diagnostic::error(span, message)
                .remedy("add `addresses = [\"…\"]` with its customer addresses"),
        );
    }
    for address in machine.addresses() {
        let ip = address.value.get();
        let Some(prefix) = subnet.prefixes.iter().find(|p| p.value.contains(ip)) else {
            let message = format!("{ip} is in no prefix of subnet {}", subnet.vsid.value);
            log.note(Diagnostic::error(&address.span, message).remedy(format!(
                "give an address in one of: {}",
                list(subnet.prefixes.iter().map(|prefix| prefix.value))
            )));
            continue;
        };
        let role = if prefix.value.gateway() == Some(ip) {
            Some("the gateway address")
        } else {
            reserved(prefix.value, ip)
        };
        if let Some(role) = role {
            log.note(
                Diagnostic::error(&address.span, format!("{ip} is {role} of {}", prefix.value))
                    .there(&prefix.span, "the subnet's prefix")
                    .remedy("give the machine another address of the prefix"),
            );
        }
    }
}

fn check_encapsulated(machine: &VirtualMachine, subnet: &Subnet, log: &Log) {
    let vsid = subnet.vsid.value;
    if let Some(list) = machine
        .provider_addresses
        .as_ref()
        .filter(|list| !list.value.is_empty())
    {
        let message = format!("subnet {vsid} uses NVGRE, where only hosts have provider addresses");
        log.note(
            Diagnostic::error(&list.span, message).remedy(
                "remove `provider-addresses`, or write `method = \"rewrite\"` in the subnet",
            ),
        );
    }
    if let Some(flag) = machine.use_vm_mac.as_ref().filter(|flag| flag.value) {
        let message = format!("subnet {vsid} uses NVGRE, whose outer source is always the uplink");
        log.note(
            Diagnostic::error(&flag.span, message)
                .remedy("remove `use-vm-mac`: it is a choice of rewrite subnets"),
        );
    }
}

fn check_no_gateway(machine: &VirtualMachine, log: &Log) {
    if let Some(flag) = machine.gateway.as_ref().filter(|flag| flag.value) {
        let message = "a gateway carries addresses that have no provider address of their own, \
                       so it is reached by NVGRE alone";
        log.note(Diagnostic::error(&flag.span, message).remedy(
            "put it into a subnet of the same routing domain with `method = \"encapsulate\"`",
        ));
    }
}

/// Each provider address stands for the customer address at its place in the list.
fn check_pairs(machine: &VirtualMachine, log: &Log) {
    const REMEDY: &str = "give one provider address for each of `addresses`, in the same order";
    for (address, provider) in machine.addresses().iter().zip(machine.provider_addresses()) {
        if !same_version(provider.value.get(), address.value.get()) {
            let message = format!(
                "{} cannot stand for {}: rewrite does not change the IP version",
                provider.value, address.value
            );
            log.note(
                Diagnostic::error(&provider.span, message)
                    .there(&address.span, "the customer address")
                    .remedy(REMEDY),
            );
        }
    }
    for extra in machine
        .provider_addresses()
        .iter()
        .skip(machine.addresses().len())
    {
        let message = format!("{} belongs to no address of the machine", extra.value);
        log.note(Diagnostic::error(&extra.span, message).remedy(REMEDY));
    }
}

/// A machine's provider addresses lie in physical networks of the host it runs on.
fn check_homes(model: &Model, machine: &VirtualMachine, log: &Log) {
    let host = &model.hosts[machine.host.value];
    let networks = model.networks_of(host);
    let reachable = |ip| {
        networks
            .iter()
            .any(|n| same_version(n.prefix.value.address(), ip))
    };
    for address in machine.addresses() {
        if !reachable(address.value.get()) {
            let message = format!(
                "{} cannot be rewritten: host {} is on no physical network of its IP version",
                address.value, host.name.value
            );
            log.note(
                Diagnostic::error(&address.span, message)
                    .there(&machine.host.span, "the host")
                    .remedy("give the host an address of that version, or use NVGRE"),
            );
        }
    }
    for provider in machine.provider_addresses() {
        let ip = provider.value.get();
        if let Some(network) = networks.iter().find(|n| n.prefix.value.contains(ip)) {
            check_not_reserved(network, provider, log);
            continue;
        }
        let message = format!(
            "{} is on no physical network of host {}",
            provider.value, host.name.value
        );
        log.note(
            Diagnostic::error(&provider.span, message)
                .there(&machine.host.span, "the host")
                .remedy(format!(
                    "use an address in one of: {}; or remove it and run `netvirt allocate`",
                    list(networks.iter().map(|network| network.prefix.value))
                )),
        );
    }
}

fn same_version(a: IpAddr, b: IpAddr) -> bool {
    Family::of(a) == Family::of(b)
}

//! Addresses for many of subnets, and the groups of the provider network that carry them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Unique;
use crate::policy_file::diagnostic::{Diagnostic, Log};
use crate::policy_file::model::{GroupMapping, Host, Model, Subnet, VirtualMachine};
use crate::policy_file::values::SubnetMethod;

pub(super) fn check(model: &Model, log: &Log) {
    let hosts = hosts_of_subnets(model);
    for (position, subnet) in model.subnets.iter().enumerate() {
        let mut seen = Unique::new();
        for group in &subnet.groups {
            let address = &group.address;
            if let Some(first) = seen.see(address.value, &address.span) {
                let message = format!(
                    "{} of subnet {} is mapped twice",
                    address.value, subnet.vsid.value
                );
                log.note(
                    Diagnostic::error(&address.span, message)
                        .there(first, "the first is here")
                        .remedy("one group carries an address: remove one of them"),
                );
            }
            check_is_for_many(subnet, group, log);
            for host in hosts.get(&position).into_iter().flatten() {
                check_can_send(subnet, group, &model.hosts[*host], log);
            }
        }
        if subnet.method == SubnetMethod::Rewrite {
            note_rewrite(subnet, log);
        }
    }
}

fn check_is_for_many(subnet: &Subnet, group: &GroupMapping, log: &Log) {
    let address = group.address.value;
    let mut prefixes = subnet.prefixes.iter();
    let is_broadcast = address == IpAddr::from([0xff; 4])
        || address.is_ipv4() && prefixes.any(|prefix| prefix.value.last() == address);
    if !address.is_multicast() && !is_broadcast {
        let message = format!(
            "{address} is not for many: {} cannot carry it",
            group.provider.value
        );
        log.note(Diagnostic::error(&group.address.span, message).remedy(
            "map a multicast address, 255.255.255.255 or the last address of an IPv4 prefix of the subnet",
        ));
    }
}

/// The hosts that send to the groups of a subnet: those on which it has machines.
fn hosts_of_subnets(model: &Model) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut hosts: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let has_groups = |machine: &&VirtualMachine| !model.subnet_of(machine).groups.is_empty();
    for machine in model.machines.iter().filter(has_groups) {
        let hosts = hosts.entry(machine.subnet).or_default();
        hosts.insert(machine.host.value);
    }
    hosts
}

fn check_can_send(subnet: &Subnet, group: &GroupMapping, host: &Host, log: &Log) {
    let provider = &group.provider;
    let is_ipv4 = provider.value.get().is_ipv4();
    let mut addresses = host.addresses.iter();
    if addresses.any(|own| own.value.get().is_ipv4() == is_ipv4) {
        return;
    }
    let version = if is_ipv4 { "IPv4" } else { "IPv6" };
    let message = format!(
        "host {} has machines in subnet {}, and no {version} provider address from which it could send to {}",
        host.name.value, subnet.vsid.value, provider.value
    );
    log.note(
        Diagnostic::error(&provider.span, message)
            .there(&host.name.span, "the host")
            .remedy(
                "give it one, or map to a group of a version that all hosts of the subnet have",
            ),
    );
}

fn note_rewrite(subnet: &Subnet, log: &Log) {
    let Some(group) = subnet.groups.first() else {
        return;
    };
    let message = format!(
        "the machines of subnet {} are reached by rewrite: nothing is sent to {}",
        subnet.vsid.value, group.provider.value
    );
    log.note(
        Diagnostic::warning(&group.provider.span, message)
            .remedy("remove `multicast`, or let the subnet use `method = \"encapsulate\"`"),
    );
}

//! How the virtual machines hang on their switches.

use std::path::Path;

use super::Unique;
use crate::policy_file::diagnostic::{Diagnostic, Log};
use crate::policy_file::model::{Model, VirtualMachine};
use crate::policy_file::mtu::{LEAST_IPV4_MTU, LEAST_IPV6_MTU, Narrowest};
use crate::policy_file::values::{AttachmentKind, SubnetMethod};

pub(super) fn check(model: &Model, log: &Log) {
    check_interfaces(model, log);
    let narrowest = Narrowest::of(model);
    for machine in &model.machines {
        check_namespace(machine, log);
        check_least_mtu(machine, log);
        if !model.networks_incomplete {
            check_mtu(machine, model.subnet_of(machine).method, &narrowest, log);
        }
    }
}

/// A namespace of a host has one interface of a name.
fn check_interfaces(model: &Model, log: &Log) {
    let mut users = Unique::new();
    for (position, host) in model.hosts.iter().enumerate() {
        if let Some(interface) = &host.uplink.interface {
            users.see((position, None, &*interface.value.0), &interface.span);
        }
    }
    for machine in &model.machines {
        let Some(interface) = &machine.interface else {
            continue;
        };
        let host = machine.host.value;
        let namespace = machine.namespace.as_ref().map(|n| n.value.0.as_path());
        let Some(first) = users.see((host, namespace, &*interface.value.0), &interface.span) else {
            continue;
        };
        let message = format!(
            "interface {:?} {}of host {} has two users",
            interface.value.0,
            namespace.map_or(String::new(), in_namespace),
            model.hosts[host].name.value
        );
        log.note(
            Diagnostic::error(&interface.span, message)
                .there(first, "the first is here")
                .remedy("give the machine an `interface` of its own, or another `namespace`"),
        );
    }
}

fn in_namespace(path: &Path) -> String {
    format!("in network namespace {} ", path.display())
}

fn check_namespace(machine: &VirtualMachine, log: &Log) {
    if let (Some(namespace), AttachmentKind::Veth, Some(attach)) = (
        &machine.namespace,
        machine.attachment_kind(),
        &machine.attach,
    ) {
        let message = "the host's end of a veth pair lies in the switch's own network namespace";
        log.note(
            Diagnostic::error(&namespace.span, message)
                .there(&attach.span, "the interface is there already")
                .remedy(
                    "remove `namespace`, or let the switch make the interface: `attach = \"tap\"`",
                ),
        );
    }
}

fn check_least_mtu(machine: &VirtualMachine, log: &Log) {
    let (least, family) = if machine.has_ipv6_address() {
        (LEAST_IPV6_MTU, "IPv6")
    } else {
        (LEAST_IPV4_MTU, "IPv4")
    };
    if let Some(mtu) = machine.mtu.as_ref().filter(|mtu| mtu.value < least) {
        let message = format!("an MTU of {} is too small for {family}", mtu.value);
        log.note(
            Diagnostic::error(&mtu.span, message)
                .remedy(format!("write {least} or more, or leave it out")),
        );
    }
}

fn check_mtu(machine: &VirtualMachine, method: SubnetMethod, narrowest: &Narrowest<'_>, log: &Log) {
    let (Some(mtu), Some(limit)) = (&machine.mtu, narrowest.limit(method)) else {
        return;
    };
    if mtu.value <= limit.mtu {
        return;
    }
    let inside = match method {
        SubnetMethod::Encapsulate | SubnetMethod::Transition => " inside NVGRE",
        SubnetMethod::Rewrite => "",
    };
    let message = format!(
        "an MTU of {} does not fit: physical network {} carries {}{inside}",
        mtu.value, limit.network.name.value, limit.mtu
    );
    log.note(
        Diagnostic::error(&mtu.span, message)
            .there(&limit.network.mtu.span, "the narrowest of all networks")
            .remedy(format!(
                "write {} or less, or raise the MTU of the physical network, on its links as well",
                limit.mtu
            )),
    );
}

//! The ports of the switch.

use std::net::IpAddr;

use netvirt_core::counters::PortCounters;
use serde::{Deserialize, Serialize};

use super::{joined, or_nothing};
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::Naming;
use crate::control::problem::Refusal;
use crate::policy_file::{Attachment, PortInfo};
use crate::report::{Align, Table};

/// A port, its machine, and what passed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// Its number.
    pub number: u32,
    /// The virtual machine.
    pub machine: String,
    /// The network interface.
    pub interface: Option<String>,
    /// The path of the network namespace of the interface, if it is not the switch's own.
    pub namespace: Option<String>,
    /// `tap` or `veth`.
    pub attach: String,
    /// The virtual subnet.
    pub vsid: u32,
    /// Its name, if it was given one.
    pub subnet: Option<String>,
    /// The routing domain.
    pub domain: Option<String>,
    /// The machine's MAC address.
    pub mac: String,
    /// Its customer addresses.
    pub addresses: Vec<IpAddr>,
    /// Its MTU, in bytes.
    pub mtu: u16,
    /// Frames from the machine.
    pub received_frames: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Frames to the machine.
    pub delivered_frames: u64,
    /// Their bytes, as they came into the switch.
    pub delivered_bytes: u64,
    /// Frames from the machine that were refused.
    pub refused_frames: u64,
    /// Frames from the machine that the kernel dropped because the switch did not fetch them in time, or was not there.
    pub missed_frames: u64,
}

impl PortView {
    fn new(port: &PortInfo, counted: PortCounters, missed: u64, naming: &Naming) -> Self {
        let (attach, namespace) = match &port.attachment {
            Attachment::Tap { namespace } => ("tap", namespace.as_ref()),
            Attachment::Veth => ("veth", None),
        };
        Self {
            number: port.port.0,
            machine: port.name.clone(),
            interface: port.interface.clone(),
            namespace: namespace.map(|path| path.display().to_string()),
            attach: attach.to_owned(),
            vsid: port.vsid.get(),
            subnet: naming.subnet_name(port.vsid),
            domain: naming.domain_name(port.vsid),
            mac: port.mac.to_string(),
            addresses: port.addresses.iter().map(|address| address.get()).collect(),
            mtu: port.mtu,
            received_frames: counted.received.frames,
            received_bytes: counted.received.bytes,
            delivered_frames: counted.delivered.frames,
            delivered_bytes: counted.delivered.bytes,
            refused_frames: counted.refused,
            missed_frames: missed,
        }
    }
}

impl Resource for PortView {
    const NAME: &'static str = "ports";

    fn table(ports: &[Self]) -> String {
        let mut table = Table::new([
            ("machine", Align::Left),
            ("interface", Align::Left),
            ("VSID", Align::Right),
            ("domain", Align::Left),
            ("MAC address", Align::Left),
            ("addresses", Align::Left),
            ("received", Align::Right),
            ("delivered", Align::Right),
            ("refused", Align::Right),
            ("missed", Align::Right),
        ]);
        for port in ports {
            table.row([
                &port.machine,
                &or_nothing(port.interface.as_ref()),
                &port.vsid,
                &or_nothing(port.domain.as_ref()),
                &port.mac,
                &joined(&port.addresses),
                &port.received_frames,
                &port.delivered_frames,
                &port.refused_frames,
                &port.missed_frames,
            ]);
        }
        table.to_string()
    }
}

impl Listed for PortView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let (policy, counters, missed) = access.ask(|host| {
            let policy = host.policy().clone();
            let ports = policy.ports.iter();
            let missed: Vec<u64> = ports.map(|port| host.missed_at_port(port.port)).collect();
            (policy, host.counters(), missed)
        })?;
        let counters = counters?;
        let naming = Naming::new(policy.clone());
        let views =
            policy.ports.iter().zip(missed).map(|(port, missed)| {
                PortView::new(port, counters.port(port.port), missed, &naming)
            });
        Ok(views.collect::<Vec<_>>().into_iter())
    }
}

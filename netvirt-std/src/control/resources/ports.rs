//! The ports of the switch.

use std::net::IpAddr;

use netvirt_core::PortId;
use netvirt_core::counters::PortCounters;
use serde::{Deserialize, Serialize};

use super::{joined, or_nothing};
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::Naming;
use crate::control::problem::Refusal;
use crate::host::Host;
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
    /// Whether the interface is there. One that went away is looked for every second; meanwhile nothing is carried.
    pub attached: bool,
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

/// What the switch knows of the device of a port.
struct DeviceState {
    is_attached: bool,
    missed_frames: u64,
}

impl DeviceState {
    fn of(port: PortId, host: &mut Host) -> Self {
        Self {
            is_attached: host.is_attached(port),
            missed_frames: host.missed_at_port(port),
        }
    }
}

impl PortView {
    fn new(port: &PortInfo, counted: PortCounters, device: &DeviceState, naming: &Naming) -> Self {
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
            attached: device.is_attached,
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
            missed_frames: device.missed_frames,
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
                &interface_of(port),
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

fn interface_of(port: &PortView) -> String {
    let name = or_nothing(port.interface.as_ref());
    if port.attached {
        name
    } else {
        format!("{name}, gone")
    }
}

impl Listed for PortView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let (policy, counters, devices) = access.ask(|host| {
            let policy = host.policy().clone();
            let ports = policy.ports.iter();
            let devices: Vec<_> = ports.map(|port| DeviceState::of(port.port, host)).collect();
            (policy, host.counters(), devices)
        })?;
        let counters = counters?;
        let naming = Naming::new(policy.clone());
        let views =
            policy.ports.iter().zip(&devices).map(|(port, device)| {
                PortView::new(port, counters.port(port.port), device, &naming)
            });
        Ok(views.collect::<Vec<_>>().into_iter())
    }
}

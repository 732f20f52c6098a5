//! The devices of this machine's kernel, as the policy file names them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Weak;

use netvirt_core::PortId;

use super::link::Interface;
use super::namespace::Namespace;
use super::packet::{Missed, PacketDevice, PacketOptions, Role};
use super::tap::{Tap, TapOptions};
use super::{Receiver, Sender};
use crate::host::{Devices, Queue};
use crate::policy_file::{Attachment, HostPolicy, PortInfo};

/// TAPs and packet sockets of the kernel, in the network namespace of whoever asks.
#[derive(Debug, Default)]
pub struct KernelDevices {
    uplink: Option<Watched>,
    ports: BTreeMap<PortId, Watched>,
    /// What was opened for ports that are not fitted yet.
    opened: BTreeMap<PortId, Device>,
}

/// What is kept of an open device.
#[derive(Debug)]
enum Device {
    Tap {
        interface: Interface,
        anchor: Weak<File>,
    },
    Packet(Missed),
}

/// A device, and how many frames were lost on the way in.
#[derive(Debug)]
struct Watched {
    device: Device,
    /// At the devices that were in its place before.
    missed_before: u64,
    /// At this one, when it was last looked.
    missed: u64,
}

impl Watched {
    /// Goes on counting where another device stopped.
    fn after(before: Option<Self>, device: Device) -> Self {
        Self {
            device,
            missed_before: before.map_or(0, |mut before| before.missed()),
            missed: 0,
        }
    }

    fn missed(&mut self) -> u64 {
        // A device that is gone loses nothing any more.
        let missed = match &mut self.device {
            Device::Tap { interface, .. } => interface.link().map(|link| link.counters.tx_dropped),
            Device::Packet(missed) => missed.total(),
        };
        self.missed = missed.unwrap_or(self.missed);
        self.missed_before + self.missed
    }
}

impl Devices for KernelDevices {
    fn open_uplink(&mut self, host: &HostPolicy, queues: usize) -> io::Result<Vec<Queue>> {
        let Some(interface) = &host.uplink_interface else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!(
                    "the policy file does not say by which interface {:?} is in the provider network: write \
                     `uplink = {{ mac = \"…\", interface = \"…\" }}`",
                    host.name
                ),
            ));
        };
        let (queues, device) = open_packet(interface, Role::Uplink, queues)?;
        self.uplink = Some(Watched::after(self.uplink.take(), device));
        Ok(queues)
    }

    fn check_port(&mut self, port: &PortInfo) -> io::Result<()> {
        let interface = interface_of(port)?;
        match &port.attachment {
            Attachment::Veth => PacketDevice::check(interface, &Namespace::current()),
            Attachment::Tap { namespace } => {
                let namespace = open_namespace(namespace.as_deref())?;
                Tap::check(&tap_options(port, interface, &namespace, 1))
            }
        }
    }

    fn open_port(&mut self, port: &PortInfo, queues: usize) -> io::Result<Vec<Queue>> {
        let interface = interface_of(port)?;
        let (queues, device) = match &port.attachment {
            Attachment::Veth => open_packet(interface, Role::Port, queues)?,
            Attachment::Tap { namespace } => {
                open_tap(port, interface, namespace.as_deref(), queues)?
            }
        };
        self.opened.insert(port.port, device);
        Ok(queues)
    }

    fn fit_port(&mut self, port: &PortInfo) -> io::Result<()> {
        if let Some(device) = self.opened.remove(&port.port) {
            let before = self.ports.remove(&port.port);
            self.ports.insert(port.port, Watched::after(before, device));
        }
        match self.ports.get_mut(&port.port) {
            Some(Watched {
                device: Device::Tap { interface, anchor },
                ..
            }) => Tap::fit(interface, anchor, Some(port.mac), port.mtu.into()),
            _ => Ok(()),
        }
    }

    fn missed_at_uplink(&mut self) -> u64 {
        self.uplink.as_mut().map_or(0, Watched::missed)
    }

    fn missed_at_port(&mut self, port: PortId) -> u64 {
        self.ports.get_mut(&port).map_or(0, Watched::missed)
    }

    fn close_port(&mut self, port: PortId) {
        if self.opened.remove(&port).is_none() {
            self.ports.remove(&port);
        }
    }

    fn remove_port(&mut self, port: &PortInfo) {
        let Attachment::Tap { namespace } = &port.attachment else {
            return;
        };
        let removed = interface_of(port)
            .and_then(|interface| Tap::remove(interface, &open_namespace(namespace.as_deref())?));
        // The namespace of a machine that is no more is often gone too, and its TAP with it.
        if let Err(error) = removed {
            tracing::info!(machine = port.name, %error, "the TAP of a machine is not removed");
        }
    }
}

fn open_tap(
    port: &PortInfo,
    interface: &str,
    namespace: Option<&Path>,
    queues: usize,
) -> io::Result<(Vec<Queue>, Device)> {
    let namespace = open_namespace(namespace)?;
    let tap = Tap::attach(&tap_options(port, interface, &namespace, queues))?;
    let queues = tap.queues.into_iter().map(queue_of).collect();
    let Tap {
        interface, anchor, ..
    } = tap;
    Ok((queues, Device::Tap { interface, anchor }))
}

fn tap_options<'o>(
    port: &PortInfo,
    name: &'o str,
    namespace: &'o Namespace,
    queues: usize,
) -> TapOptions<'o> {
    TapOptions {
        name,
        namespace,
        mac: Some(port.mac),
        mtu: port.mtu.into(),
        queues,
    }
}

fn open_packet(interface: &str, role: Role, queues: usize) -> io::Result<(Vec<Queue>, Device)> {
    let device = PacketDevice::open(&PacketOptions {
        interface,
        namespace: &Namespace::current(),
        role,
        queues,
        bypass_qdisc: false,
    })?;
    let queues = device.queues.into_iter().map(queue_of).collect();
    Ok((queues, Device::Packet(device.missed)))
}

fn queue_of((receiver, sender): (impl Receiver + 'static, impl Sender + 'static)) -> Queue {
    Queue {
        receiver: Box::new(receiver),
        sender: Box::new(sender),
    }
}

fn interface_of(port: &PortInfo) -> io::Result<&str> {
    port.interface.as_deref().ok_or_else(|| {
        let message = format!(
            "Linux takes no interface of the name {:?}: give the machine an `interface` in the policy file",
            port.name
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

fn open_namespace(path: Option<&Path>) -> io::Result<Namespace> {
    match path {
        Some(path) => Namespace::open(&path.to_string_lossy()),
        None => Ok(Namespace::current()),
    }
}

//! The devices of this machine's kernel, as the policy file names them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

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
}

/// What tells how many frames an open device lost on the way in.
#[derive(Debug)]
enum Watched {
    Tap(Interface),
    Packet(Missed),
}

impl Watched {
    fn missed(&mut self) -> u64 {
        // A device that is gone loses nothing any more.
        match self {
            Self::Tap(interface) => interface.link().map_or(0, |link| link.counters.tx_dropped),
            Self::Packet(missed) => missed.total().unwrap_or(0),
        }
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
        let (queues, watched) = open_packet(interface, Role::Uplink, queues)?;
        self.uplink = Some(watched);
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
        let (queues, watched) = match &port.attachment {
            Attachment::Veth => open_packet(interface, Role::Port, queues)?,
            Attachment::Tap { namespace } => {
                open_tap(port, interface, namespace.as_deref(), queues)?
            }
        };
        self.ports.insert(port.port, watched);
        Ok(queues)
    }

    fn fit_port(&mut self, port: &PortInfo) -> io::Result<()> {
        match self.ports.get_mut(&port.port) {
            Some(Watched::Tap(interface)) => {
                Tap::set_up(interface, Some(port.mac), port.mtu.into())
            }
            Some(Watched::Packet(_)) | None => Ok(()),
        }
    }

    fn missed_at_uplink(&mut self) -> u64 {
        self.uplink.as_mut().map_or(0, Watched::missed)
    }

    fn missed_at_port(&mut self, port: PortId) -> u64 {
        self.ports.get_mut(&port).map_or(0, Watched::missed)
    }

    fn close_port(&mut self, port: PortId) {
        self.ports.remove(&port);
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
) -> io::Result<(Vec<Queue>, Watched)> {
    let namespace = open_namespace(namespace)?;
    let tap = Tap::open(&tap_options(port, interface, &namespace, queues))?;
    let queues = tap.queues.into_iter().map(queue_of).collect();
    Ok((queues, Watched::Tap(tap.interface)))
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

fn open_packet(interface: &str, role: Role, queues: usize) -> io::Result<(Vec<Queue>, Watched)> {
    let device = PacketDevice::open(&PacketOptions {
        interface,
        namespace: &Namespace::current(),
        role,
        queues,
        bypass_qdisc: false,
    })?;
    let queues = device.queues.into_iter().map(queue_of).collect();
    Ok((queues, Watched::Packet(device.missed)))
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

//! The devices of a host's ports, from being opened to being let go, and those that went away by themselves.

use std::sync::Arc;
use std::time::Duration;

use netvirt_core::PortId;
use netvirt_core::datapath::Ingress;

use super::announcements::Announcements;
use super::ports::{Queue, attach_receiver, attach_sender, is_same_port};
use super::{ClosedPort, Host, HostError, UPLINK};
use crate::device::{Receiver, Sender};
use crate::policy_file::{HostPolicy, PortInfo};
use crate::switch::Egress;
use crate::worker::{Forwarder, WorkerGone};

/// How often devices that are gone are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The receiving half of a queue that is not served yet.
pub(super) struct Unserved {
    port: PortId,
    /// Whose it is to be.
    worker: usize,
    receiver: Box<dyn Receiver>,
}

/// Devices that are gone, although nobody let go of them.
#[derive(Debug, Default)]
pub(super) struct Lost {
    devices: Vec<Ingress>,
    next_look: Duration,
}

/// A queue that a worker has given back. It is closed when this is dropped.
pub(super) struct Detached {
    _receiver: Option<Box<dyn Receiver>>,
    _sender: Option<Box<dyn Sender>>,
}

impl Lost {
    pub fn has(&self, ingress: Ingress) -> bool {
        self.devices.contains(&ingress)
    }
}

impl Host {
    /// Makes sure that the ports of the prepared version can be opened.
    pub(super) fn check_ports(&mut self) -> Result<(), HostError> {
        let prepared = self.prepared.iter().flat_map(|prepared| &prepared.opened);
        for port in prepared {
            self.devices
                .check_port(port)
                .map_err(|error| HostError::port(port, error))?;
        }
        Ok(())
    }

    pub(super) fn open_ports(
        &mut self,
        ports: &[PortInfo],
    ) -> Result<Vec<(PortId, Vec<Queue>)>, HostError> {
        let mut opened = Vec::new();
        for port in ports {
            match self.devices.open_port(port, self.workers.len()) {
                Ok(queues) => opened.push((port.port, queues)),
                Err(error) => {
                    for (port, _) in opened {
                        self.devices.close_port(port);
                    }
                    return Err(HostError::port(port, error));
                }
            }
        }
        Ok(opened)
    }

    /// Gives the workers the sending halves. Yields the receiving halves.
    pub(super) fn attach_senders(
        &self,
        opened: Vec<(PortId, Vec<Queue>)>,
    ) -> Result<Vec<Unserved>, HostError> {
        let mut receivers = Vec::new();
        for (port, queues) in opened {
            for (worker, queue) in queues.into_iter().enumerate() {
                attach_sender(&self.workers[worker], Egress::Port(port), queue.sender)?;
                receivers.push(Unserved {
                    port,
                    worker,
                    receiver: queue.receiver,
                });
            }
        }
        Ok(receivers)
    }

    /// Serves machines that wait, once the provider addresses are found unique.
    pub(super) fn serve_machines(&mut self) {
        self.serves |= self.addresses.are_decided();
        if !self.serves {
            return;
        }
        for waiting in std::mem::take(&mut self.unserved) {
            let ingress = Ingress::Port(waiting.port);
            if self.lost.has(ingress) {
                continue;
            }
            let worker = &self.workers[waiting.worker];
            if let Err(error) = attach_receiver(worker, ingress, waiting.receiver) {
                tracing::error!(device = self.name_of(ingress), %error, "a machine is not served");
                self.lose(ingress);
            }
        }
        if let Some(when_ready) = self.when_ready.take() {
            when_ready();
        }
    }

    /// Gives the machines of ports that were opened, and those for which they are new, their MAC addresses and MTUs.
    pub(super) fn fit_ports(&mut self, before: &HostPolicy, opened: &[PortInfo]) {
        let has_changed = |port: &&PortInfo| {
            let mut old = before.ports.iter().filter(|old| is_same_port(old, port));
            old.any(|old| (old.mac, old.mtu) != (port.mac, port.mtu))
        };
        let policy = Arc::clone(&self.policy);
        for port in opened.iter().chain(policy.ports.iter().filter(has_changed)) {
            self.fit_port(port);
        }
    }

    fn fit_port(&mut self, port: &PortInfo) {
        if let Err(error) = self.devices.fit_port(port) {
            tracing::error!(machine = port.name, %error, "a machine's interface stays as it was");
        }
    }

    /// Takes devices from the workers. What is still in them is carried by the new policy, which refuses and counts it.
    pub(super) fn detach_ports(&mut self, closed: &[ClosedPort]) -> Vec<Detached> {
        let mut detached = Vec::new();
        for ClosedPort { port, .. } in closed {
            let ingress = Ingress::Port(port.port);
            detached.extend(self.detach(ingress, !self.has_port(port.port)));
            self.unserved.retain(|waiting| waiting.port != port.port);
            self.lost.devices.retain(|lost| *lost != ingress);
        }
        detached
    }

    /// Lets go of devices that nobody has any more.
    pub(super) fn close_ports(&mut self, closed: &[ClosedPort]) {
        for ClosedPort { port, is_gone } in closed {
            if !self.has_port(port.port) {
                self.devices.close_port(port.port);
            }
            if *is_gone {
                self.devices.remove_port(port);
            }
        }
    }

    fn has_port(&self, number: PortId) -> bool {
        self.policy.ports.iter().any(|port| port.port == number)
    }

    /// Takes a device's queues from the workers, the sending halves if that is wanted. Whoever gets them closes them: the
    /// kernel may take its time for it, and workers have none. A worker that has ended has none either.
    fn detach(&self, ingress: Ingress, with_senders: bool) -> Vec<Detached> {
        let egress = egress_of(ingress);
        let take = move |worker: &mut Forwarder| Detached {
            _sender: with_senders.then(|| worker.remove_sender(egress)).flatten(),
            _receiver: worker.remove_receiver(ingress),
        };
        let detached = self.workers.iter().map(|worker| worker.ask(take));
        detached.flatten().collect()
    }

    /// Notices devices that are gone, and looks whether they are back.
    pub(super) fn look_after_devices(&mut self) {
        let now = self.now();
        if now < self.lost.next_look {
            return;
        }
        self.lost.next_look = now + LOOK;
        for ingress in std::mem::take(&mut self.lost.devices) {
            if let Err(error) = self.reopen(ingress) {
                tracing::debug!(device = self.name_of(ingress), %error, "a device is still gone");
                drop(self.detach(ingress, true));
                self.lost.devices.push(ingress);
            }
        }
        let broken = self
            .workers
            .iter()
            .map(|worker| worker.ask(|worker| worker.broken()));
        match broken.collect::<Result<Vec<_>, WorkerGone>>() {
            Ok(broken) => broken
                .into_iter()
                .flatten()
                .for_each(|ingress| self.lose(ingress)),
            Err(error) => tracing::error!(error = %HostError::from(error), "the switch is broken"),
        }
    }

    fn lose(&mut self, ingress: Ingress) {
        if self.lost.has(ingress) {
            return;
        }
        tracing::error!(
            device = self.name_of(ingress),
            "a device is gone, frames for it are lost; it is looked for every second"
        );
        drop(self.detach(ingress, true));
        self.lost.devices.push(ingress);
    }

    /// Opens a device anew, and has it served.
    fn reopen(&mut self, ingress: Ingress) -> Result<(), HostError> {
        match ingress {
            Ingress::Uplink(_) => self.reopen_uplink()?,
            Ingress::Port(number) => {
                let ports = self.policy.ports.iter();
                let ports: Vec<_> = ports.filter(|port| port.port == number).cloned().collect();
                let opened = self.open_ports(&ports)?;
                let receivers = self.attach_senders(opened)?;
                self.unserved.extend(receivers);
                ports.iter().for_each(|port| self.fit_port(port));
            }
        }
        tracing::info!(device = self.name_of(ingress), "a device is back");
        Ok(())
    }

    /// Whatever the network has learnt of this host meanwhile, it is told anew.
    fn reopen_uplink(&mut self) -> Result<(), HostError> {
        let queues = self
            .devices
            .open_uplink(&self.policy, self.workers.len())
            .map_err(HostError::Device)?;
        for (worker, queue) in self.workers.iter().zip(queues) {
            attach_sender(worker, Egress::Uplink(UPLINK), queue.sender)?;
            attach_receiver(worker, Ingress::Uplink(UPLINK), queue.receiver)?;
        }
        self.announcements = Announcements::default();
        self.announce();
        Ok(())
    }

    /// Whether frames of a machine are carried: its device is there.
    pub fn is_attached(&self, port: PortId) -> bool {
        !self.lost.has(Ingress::Port(port))
    }

    fn name_of(&self, ingress: Ingress) -> String {
        let interface = |name: &Option<String>| name.clone().unwrap_or_default();
        match ingress {
            Ingress::Uplink(_) => format!("uplink {}", interface(&self.policy.uplink_interface)),
            Ingress::Port(number) => {
                let mut ports = self.policy.ports.iter();
                let port = ports.find(|port| port.port == number);
                port.map_or_else(
                    || format!("port {}", number.0),
                    |port| format!("{} of machine {}", interface(&port.interface), port.name),
                )
            }
        }
    }
}

const fn egress_of(ingress: Ingress) -> Egress {
    match ingress {
        Ingress::Port(port) => Egress::Port(port),
        Ingress::Uplink(uplink) => Egress::Uplink(uplink),
    }
}

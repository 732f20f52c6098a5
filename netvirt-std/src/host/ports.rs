//! The devices of a switch: who opens them, and how they come to the workers.

use std::io;

use netvirt_core::PortId;
use netvirt_core::datapath::Ingress;

use super::HostError;
use crate::device::{Receiver, Sender};
use crate::policy_file::{HostPolicy, PortInfo};
use crate::switch::Egress;
use crate::worker::WorkerHandle;

/// One queue of a device.
pub struct Queue {
    /// Where frames come from.
    pub receiver: Box<dyn Receiver>,
    /// Where frames go to.
    pub sender: Box<dyn Sender>,
}

/// Whoever opens the devices of a switch: the kernel's, or others in tests and in programs that bring their own.
pub trait Devices: Send {
    /// Opens the uplink of a host, with so many queues.
    ///
    /// # Errors
    /// It cannot be opened; the error says why and what to do.
    fn open_uplink(&mut self, host: &HostPolicy, queues: usize) -> io::Result<Vec<Queue>>;

    /// Makes sure that the port of a machine can be opened. Whoever has it notices nothing of it.
    ///
    /// # Errors
    /// It could not be opened; the error says why and what to do.
    fn check_port(&mut self, _port: &PortInfo) -> io::Result<()> {
        Ok(())
    }

    /// Opens the port of a machine, with so many queues, and changes nothing for a machine that has it already. Another
    /// switch may still have it open. Once the port is in use, [`fit_port`](Self::fit_port) follows; if it is not to be
    /// used after all, [`close_port`](Self::close_port).
    ///
    /// # Errors
    /// It cannot be opened; the error says why and what to do.
    fn open_port(&mut self, port: &PortInfo, queues: usize) -> io::Result<Vec<Queue>>;

    /// Gives the machine of an open port the MAC address and the MTU that it is to have now, where that is the switch's
    /// to give.
    ///
    /// # Errors
    /// It cannot be so; the error says why and what to do.
    fn fit_port(&mut self, _port: &PortInfo) -> io::Result<()> {
        Ok(())
    }

    /// Frames that came to the uplink and were lost because the switch did not fetch them in time.
    fn missed_at_uplink(&mut self) -> u64 {
        0
    }

    /// Frames that the machine of this port sent and that were lost in the same way.
    fn missed_at_port(&mut self, _port: PortId) -> u64 {
        0
    }

    /// All queues of a port were let go.
    fn close_port(&mut self, _port: PortId) {}

    /// The machine of this port is no more: what was made for it is to be removed.
    fn remove_port(&mut self, port: &PortInfo);
}

/// Whether two ports hang on the same interface.
pub(super) fn is_same_device(one: &PortInfo, other: &PortInfo) -> bool {
    one.interface == other.interface && one.attachment == other.attachment
}

/// Whether a port is the other one, on the same interface.
pub(super) fn is_same_port(one: &PortInfo, other: &PortInfo) -> bool {
    one.port == other.port && is_same_device(one, other)
}

pub(super) fn attach_sender(
    worker: &WorkerHandle,
    egress: Egress,
    sender: Box<dyn Sender>,
) -> Result<(), HostError> {
    // The one before is closed here.
    drop(worker.ask(move |worker| worker.add_sender(egress, sender))?);
    Ok(())
}

pub(super) fn attach_receiver(
    worker: &WorkerHandle,
    ingress: Ingress,
    receiver: Box<dyn Receiver>,
) -> Result<(), HostError> {
    worker
        .ask(move |worker| worker.add_receiver(ingress, receiver))?
        .map_err(HostError::Device)
}

//! A worker: one thread that carries frames between the queues of devices that were given to it.
//!
//! Nothing is shared on the way of a packet but the policy, which is read. Whoever controls the switch talks to a worker
//! through its [`WorkerHandle`]: work for the worker is put into its mailbox and done between two batches.

mod carrier;
mod forwarder;
mod nic;
mod outbox;
mod senders;
mod waiting;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use netvirt_core::datapath::Worker;
use netvirt_core::{MacAddress, ProviderAddress, UplinkId};
use rustix::event::{EventfdFlags, eventfd};

pub use forwarder::{Forwarder, Stalls};
pub use nic::{NicCounters, NicLink};
pub use waiting::Pace;

use crate::live::LivePolicy;

/// What a worker tells whoever controls the switch. When nobody listens, or too slowly, it is forgotten: whatever it
/// was, the network will say it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This worker asks for the MAC address of a next hop. The answer may come to any worker.
    Asked {
        /// Where it asks.
        uplink: UplinkId,
        /// Whom it asks for.
        address: IpAddr,
    },
    /// A machine of the provider network told its MAC address.
    Neighbour {
        /// Where it was heard.
        uplink: UplinkId,
        /// Whose it is.
        address: IpAddr,
        /// The MAC address told.
        mac: MacAddress,
        /// Whether it replaces another one that is known already.
        overriding: bool,
    },
    /// A machine of the provider network answered that it is there, without telling its MAC address.
    Reachable {
        /// Where it was heard.
        uplink: UplinkId,
        /// Whose answer it is.
        address: IpAddr,
    },
    /// A router of the provider network asks which multicast groups are listened to.
    ListenerQuery,
    /// Another machine uses a provider address of this host.
    AddressConflict {
        /// The address.
        address: ProviderAddress,
        /// The MAC address of the other machine.
        mac: MacAddress,
    },
    /// A router of the provider network carries only smaller packets to a host.
    PathMtu {
        /// The provider address of that host.
        address: ProviderAddress,
        /// What it carries, in bytes of the outer IP packet.
        mtu: u16,
    },
}

/// Work for a worker, done between two batches.
type Job = Box<dyn FnOnce(&mut Forwarder) + Send>;

/// Holds on to a worker's thread.
#[derive(Debug)]
pub struct WorkerHandle {
    jobs: mpsc::Sender<Job>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

/// The worker's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerGone;

impl WorkerHandle {
    /// Starts a worker without devices. `events` is called with what it hears, and must not wait.
    ///
    /// # Errors
    /// The kernel has no file descriptor or no thread left.
    pub fn start(
        name: String,
        policies: Arc<LivePolicy>,
        datapath: Worker<'static>,
        events: impl Fn(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (jobs, mailbox) = mpsc::channel();
        let forwarder = Forwarder::new(policies, datapath, mailbox, Arc::clone(&wake), events)?;
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || forwarder.run())?;
        Ok(Self {
            jobs,
            wake,
            thread: Some(thread),
        })
    }

    /// Puts work into the worker's mailbox.
    pub fn tell(&self, job: impl FnOnce(&mut Forwarder) + Send + 'static) {
        if self.jobs.send(Box::new(job)).is_ok() {
            // A counter that is full already wakes the worker.
            let _ = rustix::io::write(self.wake.as_fd(), &1_u64.to_ne_bytes());
        }
    }

    /// Has the worker do something, and waits for the result.
    ///
    /// # Errors
    /// [`WorkerGone`].
    pub fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Forwarder) -> R + Send + 'static,
    ) -> Result<R, WorkerGone> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.tell(move |forwarder| {
            let _ = answer.send(job(forwarder));
        });
        answered.recv().map_err(|mpsc::RecvError| WorkerGone)
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.tell(Forwarder::stop);
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

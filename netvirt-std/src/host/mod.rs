//! A running switch: workers, devices, and the policy that they carry out.
//!
//! A [`Host`] belongs to one thread. It hears what its workers tell, does what is due, and takes new versions of the
//! policy file while packets flow. [`serve`] runs it; whoever wants something of it goes through a [`HostHandle`].

mod addresses;
mod announcements;
mod devices;
mod error;
mod neighbours;
mod network;
mod path_mtus;
mod ports;
mod routers;
mod service;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netvirt_core::counters::Counters;
use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{Change, HostAddress, Neighbour};
use netvirt_core::table::Seed;
use netvirt_core::{PortId, UplinkId};

pub use error::HostError;
pub use neighbours::KnownNeighbour;
pub use path_mtus::LearntMtu;
pub use ports::{Devices, Queue};
pub use service::{HostGone, HostHandle, Inbox, serve};

use addresses::Addresses;
use announcements::Announcements;
use devices::{Lost, Unserved};
use neighbours::Neighbours;
use path_mtus::PathMtus;
use ports::{attach_receiver, attach_sender, is_same_device, is_same_port};
use routers::RouterAdvertisements;

use crate::capture::live::CaptureSender;
use crate::live::{LivePolicy, PolicyWriter};
use crate::memory::HostCapacity;
use crate::policy_file::{HostPolicy, PolicyFile, PortInfo};
use crate::scheduling::run_in_real_time;
use crate::switch::Egress;
use crate::worker::{Event, Forwarder, NicCounters, NicLink, Stalls, WorkerHandle};

/// The only uplink that a host has so far.
const UPLINK: UplinkId = UplinkId(0);

/// Virtual subnets whose counters are read between two batches: some microseconds' worth.
const SUBNETS_AT_ONCE: usize = 1024;

/// How a switch is to be run.
#[derive(Debug, Clone, Copy)]
pub struct HostOptions {
    /// Lookup records that there must be room for, if the policy file has fewer.
    pub records: usize,
    /// Workers, each with a queue of every device.
    pub workers: usize,
    /// How long a provider address is probed before it is used.
    pub duplicate_detection: Duration,
    /// Workers run before all threads of the machine that are not real-time. For machines whose processors are shared
    /// with others than netvirt.
    pub real_time: bool,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            records: 4096,
            workers: 1,
            duplicate_detection: Duration::from_millis(300),
            real_time: false,
        }
    }
}

/// The switch of one host, and all that it knows.
pub struct Host {
    policy: Arc<HostPolicy>,
    prepared: Option<Prepared>,
    writer: PolicyWriter,
    capacity: HostCapacity,
    workers: Vec<WorkerHandle>,
    devices: Box<dyn Devices>,
    /// Machines' queues that are not served before the provider addresses are found unique: until then their frames
    /// wait in the kernel.
    unserved: Vec<Unserved>,
    /// Whether machines are served: once they are, they stay so.
    serves: bool,
    lost: Lost,
    addresses: Addresses,
    announcements: Announcements,
    neighbours: Neighbours,
    path_mtus: PathMtus,
    router_advertisements: RouterAdvertisements,
    capture: Option<CaptureSender>,
    /// What is to be done as soon as frames of machines are carried.
    when_ready: Option<Box<dyn FnOnce() + Send>>,
    started: Instant,
}

/// A version of the policy that was found good and waits to be committed.
struct Prepared {
    policy: Arc<HostPolicy>,
    version: u64,
    /// The tables change; otherwise only what lies outside them does.
    has_changes: bool,
    /// Ports that are new, or on another interface than before.
    opened: Vec<PortInfo>,
    /// Ports as they were, that are no more or on another interface.
    closed: Vec<ClosedPort>,
}

/// A port whose device is let go.
struct ClosedPort {
    port: PortInfo,
    /// Its machine is no more, here or on another host, and nobody else has its interface.
    is_gone: bool,
}

impl Host {
    /// Starts a switch. It takes part in the provider network at once, and carries frames of its machines as soon as it
    /// [is ready](Self::is_ready).
    ///
    /// # Errors
    /// [`HostError`]; nothing is left running.
    pub fn start(
        file: &PolicyFile,
        name: &str,
        options: &HostOptions,
        mut devices: Box<dyn Devices>,
        events: impl Fn(Event) + Send + Clone + 'static,
        capture: Option<CaptureSender>,
    ) -> Result<Self, HostError> {
        let policy = Arc::new(file.for_host(name)?);
        let capacity = HostCapacity::for_changes(&policy.changes)
            .at_least(&HostCapacity::for_records(options.records));
        let writer = PolicyWriter::new(&capacity, random_seed());
        let mut workers = Vec::new();
        for (number, queue) in devices
            .open_uplink(&policy, options.workers)
            .map_err(HostError::Device)?
            .into_iter()
            .enumerate()
        {
            let worker = WorkerHandle::start(
                format!("worker-{number}"),
                Arc::clone(writer.policies()),
                capacity.worker(),
                events.clone(),
            )
            .map_err(HostError::NoWorker)?;
            if options.real_time {
                worker
                    .ask(|_| run_in_real_time())?
                    .map_err(HostError::NoRealTime)?;
            }
            let capture = capture.clone();
            let nic = policy
                .nic
                .map(|nic| NicLink::new(UPLINK, nic.mac, policy.uplink_mac));
            worker.ask(move |worker| {
                worker.set_capture(capture);
                worker.set_nic(nic);
            })?;
            attach_sender(&worker, Egress::Uplink(UPLINK), queue.sender)?;
            attach_receiver(&worker, Ingress::Uplink(UPLINK), queue.receiver)?;
            workers.push(worker);
        }
        if let Some(capture) = &capture {
            capture.name(Ingress::Uplink(UPLINK), "uplink");
            for port in &policy.ports {
                capture.name(Ingress::Port(port.port), &port.name);
            }
        }
        let mut host = Self {
            policy: Arc::clone(&policy),
            prepared: None,
            writer,
            capacity,
            workers,
            devices,
            unserved: Vec::new(),
            serves: false,
            lost: Lost::default(),
            addresses: Addresses::new(match policy.nic {
                None => options.duplicate_detection,
                // They are the NIC's.
                Some(_) => Duration::ZERO,
            }),
            announcements: Announcements::default(),
            neighbours: Neighbours::default(),
            path_mtus: PathMtus::default(),
            router_advertisements: RouterAdvertisements::default(),
            capture,
            when_ready: None,
            started: Instant::now(),
        };
        let changes = policy.changes.clone();
        host.prepare_changes(policy, changes, &[], |_| false)?;
        host.commit()?;
        Ok(host)
    }

    /// Makes a new version of the policy ready to be committed, in place of what was prepared before. Packets see nothing
    /// of it yet. Yields the version that they will see.
    ///
    /// # Errors
    /// [`HostError`]; then nothing is prepared.
    pub fn prepare(&mut self, file: &PolicyFile) -> Result<u64, HostError> {
        self.abort();
        let policy = Arc::new(file.for_host_after(&self.policy.name, &self.policy.numbering)?);
        let nic_of = |policy: &HostPolicy| policy.nic.map(|nic| nic.mac);
        if policy.uplink_interface != self.policy.uplink_interface
            || nic_of(&policy) != nic_of(&self.policy)
        {
            return Err(HostError::OtherUplink);
        }
        let changes = policy.difference(&self.policy);
        let ports = self.policy.ports.clone();
        let version =
            self.prepare_changes(policy, changes, &ports, |machine| file.has_machine(machine))?;
        self.check_ports().inspect_err(|_| {
            self.abort();
        })?;
        Ok(version)
    }

    fn prepare_changes(
        &mut self,
        policy: Arc<HostPolicy>,
        mut changes: Vec<Change>,
        before: &[PortInfo],
        has_machine: impl Fn(&str) -> bool,
    ) -> Result<u64, HostError> {
        for change in &mut changes {
            if let Change::AddProviderAddress(own) | Change::SetProviderAddress(own) = change {
                own.state = self.addresses.state_of(own.address);
            }
        }
        let version = if changes.is_empty() {
            self.version()
        } else {
            let prepared = self.writer.prepare(&changes);
            prepared.map_err(|refused| HostError::refused(&refused, &changes))?
        };
        let is_new = |port: &&PortInfo| !before.iter().any(|old| is_same_port(port, old));
        let is_closed = |port: &&PortInfo| !policy.ports.iter().any(|new| is_same_port(port, new));
        let has_interface = |port: &PortInfo| policy.ports.iter().any(|p| is_same_device(port, p));
        let closed = before.iter().filter(is_closed);
        self.prepared = Some(Prepared {
            opened: policy.ports.iter().filter(is_new).cloned().collect(),
            closed: closed
                .map(|port| ClosedPort {
                    port: port.clone(),
                    is_gone: !has_machine(&port.name) && !has_interface(port),
                })
                .collect(),
            policy,
            version,
            has_changes: !changes.is_empty(),
        });
        Ok(version)
    }

    /// Lets packets see what was prepared, all of it at once. Yields the version that they see.
    ///
    /// # Errors
    /// [`HostError::NothingPrepared`], or a device could not be opened after all: then nothing has changed, and nothing is
    /// prepared any more. Or a worker has ended; then the same holds.
    pub fn commit(&mut self) -> Result<u64, HostError> {
        let prepared = self.take_prepared().ok_or(HostError::NothingPrepared)?;
        let opened = self.open_ports(&prepared.opened).inspect_err(|_| {
            self.writer.abort();
        })?;
        // What the machines sent before is still carried as it was.
        for closed in &prepared.closed {
            let ingress = Ingress::Port(closed.port.port);
            self.each_worker(|| move |worker: &mut Forwarder| worker.drain(ingress))?;
        }
        // A port can take frames before the first comes for it.
        let receivers = self.attach_senders(opened)?;
        self.writer.commit();
        let before = std::mem::replace(&mut self.policy, prepared.policy);
        let detached = self.detach_ports(&prepared.closed);
        self.unserved.extend(receivers);
        self.fit_ports(&before, &prepared.opened);
        self.follow(&before);
        self.serve_machines();
        // Comes last, because the kernel takes its time for it.
        drop(detached);
        self.close_ports(&prepared.closed);
        Ok(self.version())
    }

    /// What was prepared, unless the network has changed so that it cannot be committed any more.
    fn take_prepared(&mut self) -> Option<Prepared> {
        let prepared = self.prepared.take()?;
        self.can_commit(&prepared).then_some(prepared)
    }

    const fn can_commit(&self, prepared: &Prepared) -> bool {
        self.writer.has_prepared() || !prepared.has_changes
    }

    /// Forgets what was prepared. Says whether anything was.
    pub fn abort(&mut self) -> bool {
        self.writer.abort();
        self.prepared.take().is_some()
    }

    /// Prepares and commits.
    ///
    /// # Errors
    /// [`HostError`]; the policy is then as it was.
    pub fn apply(&mut self, file: &PolicyFile) -> Result<u64, HostError> {
        self.prepare(file)?;
        self.commit()
    }

    /// Has everything that stands on the policy follow it.
    fn follow(&mut self, before: &HostPolicy) {
        let now = self.now();
        self.addresses
            .state(self.policy.own_addresses().copied(), now);
        self.see_to_addresses();
        let stated: Vec<Neighbour> = self.policy.stated_neighbours().copied().collect();
        self.neighbours.state(stated.iter().copied());
        self.release(stated);
        let live = self.writer.policies().read();
        let states: Vec<_> = self.addresses.states_unlike(&live).collect();
        self.path_mtus
            .retain(|address| live.path_mtus().any(|(path, _)| path == address));
        drop(live);
        self.apply_state(&states);
        if let Some(capture) = &self.capture {
            for port in &self.policy.ports {
                if !before.ports.contains(port) {
                    capture.name(Ingress::Port(port.port), &port.name);
                }
            }
        }
        self.announce();
        self.advertise_router();
    }

    /// Has something done on the host's thread as soon as the switch [is ready](Self::is_ready).
    pub fn when_ready(&mut self, action: impl FnOnce() + Send + 'static) {
        self.when_ready = Some(Box::new(action));
    }

    /// Whether frames of machines are carried.
    pub fn is_ready(&self) -> bool {
        self.serves && self.unserved.is_empty() && !self.lost.has(Ingress::Uplink(UPLINK))
    }

    /// Has each worker do something. What they yield is dropped here.
    fn each_worker<Job, R>(&self, job: impl Fn() -> Job) -> Result<(), HostError>
    where
        Job: FnOnce(&mut Forwarder) -> R + Send + 'static,
        R: Send + 'static,
    {
        for worker in &self.workers {
            worker.ask(job())?;
        }
        Ok(())
    }

    /// The version of the policy that packets see.
    pub fn version(&self) -> u64 {
        self.policies().read().version()
    }

    /// The version that was prepared and waits to be committed.
    pub fn prepared_version(&self) -> Option<u64> {
        let prepared = self.prepared.as_ref().filter(|it| self.can_commit(it));
        prepared.map(|prepared| prepared.version)
    }

    /// The policy that is in force, with its names.
    pub const fn policy(&self) -> &Arc<HostPolicy> {
        &self.policy
    }

    /// The policy as packets read it.
    pub const fn policies(&self) -> &Arc<LivePolicy> {
        self.writer.policies()
    }

    /// The room of the tables.
    pub const fn capacity(&self) -> &HostCapacity {
        &self.capacity
    }

    /// How many workers there are.
    pub const fn workers(&self) -> usize {
        self.workers.len()
    }

    /// The provider addresses of this host, each with what is known of its uniqueness.
    pub fn addresses(&self) -> impl Iterator<Item = &HostAddress> {
        self.addresses.iter()
    }

    /// The next hops whose MAC addresses are known.
    pub fn neighbours(&self) -> impl Iterator<Item = &KnownNeighbour> {
        self.neighbours.iter()
    }

    /// What was learnt of path MTUs.
    pub fn path_mtus(&self) -> impl Iterator<Item = &LearntMtu> {
        self.path_mtus.iter()
    }

    /// What all workers counted. They are asked for a part at a time, and carry frames in between.
    ///
    /// # Errors
    /// A worker has ended.
    pub fn counters(&self) -> Result<Counters<'static>, HostError> {
        let mut counters = self.capacity.counters();
        for worker in &self.workers {
            counters = worker.ask(move |worker| {
                counters.merge_totals(worker.counters());
                counters
            })?;
            for start in (0..self.capacity.subnets).step_by(SUBNETS_AT_ONCE) {
                counters = worker.ask(move |worker| {
                    let places = start..start + SUBNETS_AT_ONCE;
                    counters.merge_subnets(worker.counters(), places);
                    counters
                })?;
            }
        }
        Ok(counters)
    }

    /// What passed between all workers and the offload NIC, if there is one.
    ///
    /// # Errors
    /// A worker has ended.
    pub fn nic_counters(&self) -> Result<Option<NicCounters>, HostError> {
        if self.policy.nic.is_none() {
            return Ok(None);
        }
        let mut counters = NicCounters::default();
        for worker in &self.workers {
            counters.merge(&worker.ask(|worker| *worker.nic_counters())?);
        }
        Ok(Some(counters))
    }

    /// Frames of the provider network that were lost because the switch did not fetch them in time.
    pub fn missed_at_uplink(&mut self) -> u64 {
        self.devices.missed_at_uplink()
    }

    /// Frames of the machine of this port that were lost in the same way.
    pub fn missed_at_port(&mut self, port: PortId) -> u64 {
        self.devices.missed_at_port(port)
    }

    /// The longest stalls of any worker since this was asked for last.
    ///
    /// # Errors
    /// A worker has ended.
    pub fn take_stalls(&self) -> Result<Stalls, HostError> {
        let mut longest = Stalls::default();
        for worker in &self.workers {
            let stalls = worker.ask(Forwarder::take_stalls)?;
            longest.step = longest.step.max(stalls.step);
            longest.policy = longest.policy.max(stalls.policy);
        }
        Ok(longest)
    }

    /// Time since the switch was started.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Nobody outside can know it, so nobody can choose keys that meet in one place.
fn random_seed() -> Seed {
    let random = || RandomState::new().hash_one(0);
    Seed::new(random(), random())
}

//! The round of a worker: wait, fetch, decide, send.

use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use netvirt_core::counters::Counters;
use netvirt_core::datapath::{Frame, Ingress, Worker};
use netvirt_core::policy::Neighbour;
use rustix::io::Errno;

use super::carrier::Carrier;
use super::nic::{NicCounters, NicLink};
use super::outbox::Outbox;
use super::waiting::{Found, Pace, Waiting};
use super::{Event, Job};
use crate::capture::live::CaptureSender;
use crate::device::{BATCH, Receiver, Sender};
use crate::live::LivePolicy;
use crate::switch::Egress;

/// The number under which the mailbox is waited for.
const MAILBOX: u64 = u64::MAX;
/// How often held frames are looked at.
const HELD_CHECK: Duration = Duration::from_millis(100);
/// More batches than any device holds.
const MOST_BATCHES: usize = 128;
/// How exact naps are, in nanoseconds. The kernel's usual 50 µs would double them.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::new(1_000).unwrap();

/// A worker's own state. Its public methods are what its owner can [ask](super::WorkerHandle::ask) for.
pub struct Forwarder {
    inlets: Vec<Option<Inlet>>,
    carrier: Carrier,
    waiting: Waiting,
    mailbox: mpsc::Receiver<Job>,
    wake: Arc<OwnedFd>,
    is_stopping: bool,
}

/// The receiving half of a device, and what it is to the datapath.
struct Inlet {
    ingress: Ingress,
    receiver: Box<dyn Receiver>,
    /// The device is gone. Nothing is fetched any more.
    is_broken: bool,
}

/// The longest times in which frames waited for a worker that was awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stalls {
    /// One batch of frames, or what the worker's owner had asked for meanwhile.
    pub step: Duration,
    /// Of that, waiting for the policy.
    pub policy: Duration,
}

impl Stalls {
    /// Takes note of a step that began then. Yields the beginning of the next one.
    fn end_step(&mut self, begun: Instant) -> Instant {
        let now = Instant::now();
        self.step = self.step.max(now - begun);
        now
    }
}

impl Forwarder {
    pub(super) fn new(
        policies: Arc<LivePolicy>,
        datapath: Worker<'static>,
        mailbox: mpsc::Receiver<Job>,
        wake: Arc<OwnedFd>,
        events: impl Fn(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let waiting = Waiting::new(Pace::default())?;
        waiting.add(wake.as_fd(), MAILBOX)?;
        Ok(Self {
            inlets: Vec::new(),
            carrier: Carrier::new(policies, datapath, Outbox::new(events)),
            waiting,
            mailbox,
            wake,
            is_stopping: false,
        })
    }

    /// Carries frames until it is told to stop.
    pub(super) fn run(mut self) {
        // Without it naps are longer, and all is right still.
        let _ = rustix::thread::set_current_timer_slack(Some(TIMER_SLACK));
        let mut found = Found::default();
        while !self.is_stopping {
            found = match self.round(found) {
                Ok(found) => found,
                Err(error) => {
                    tracing::error!(%error, "a worker cannot wait for its devices any more and ends");
                    return;
                }
            };
        }
    }

    /// Waits for frames or jobs, and sees to them. `last` is what the round before found; yields what this one did.
    fn round(&mut self, last: Found) -> io::Result<Found> {
        let longest = self.carrier.outbox.holds_frames().then_some(HELD_CHECK);
        self.waiting.wait(last, longest)?;
        let mut step = Instant::now();
        let mut found = Found::default();
        for place in 0..self.waiting.ready() {
            match self.waiting.number(place) {
                MAILBOX => self.do_jobs(),
                number => {
                    let frames = self.serve(number as usize);
                    found.frames += frames;
                    found.is_more |= frames == BATCH;
                }
            }
            step = self.carrier.stalls.end_step(step);
        }
        if self.carrier.outbox.holds_frames() {
            self.carrier.look_at_held();
            self.carrier.stalls.end_step(step);
        }
        Ok(found)
    }

    fn do_jobs(&mut self) {
        // Nothing to read would only say that the jobs were done already.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        while let Ok(job) = self.mailbox.try_recv() {
            job(self);
        }
    }

    /// Carries one batch of an inlet. Yields how many frames it had.
    fn serve(&mut self, number: usize) -> usize {
        let Some(Some(inlet)) = self.inlets.get_mut(number) else {
            return 0;
        };
        if inlet.is_broken {
            return 0;
        }
        match inlet.receiver.fetch() {
            Ok(count) => {
                self.carry(number, count);
                self.give_back(number);
                count
            }
            Err(error) if is_passing(&error) => 0,
            Err(error) => {
                tracing::debug!(ingress = ?inlet.ingress, %error, "a device is gone");
                inlet.is_broken = true;
                self.waiting.remove(inlet.receiver.readiness());
                0
            }
        }
    }

    fn carry(&mut self, number: usize, count: usize) {
        let Some(Some(Inlet {
            ingress, receiver, ..
        })) = self.inlets.get(number)
        else {
            return;
        };
        let mut frames = [Frame::whole(*ingress, &[]); BATCH];
        let frames = &mut frames[..count];
        for (number, frame) in frames.iter_mut().enumerate() {
            let received = receiver.frame(number);
            frame.window = received.bytes;
            frame.length = received.bytes.len();
            frame.offload = received.offload;
        }
        match (self.carrier.outbox.nic, *ingress) {
            (None, _) => self.carrier.decide(frames),
            (Some(link), Ingress::Port(port)) => self.carrier.hand_over(&link, port, frames),
            (Some(link), Ingress::Uplink(_)) => self.carrier.take_back(&link, frames),
        }
    }

    fn give_back(&mut self, number: usize) {
        if let Some(Some(inlet)) = self.inlets.get_mut(number) {
            inlet.receiver.release();
        }
    }

    /// Carries frames of this device from now on.
    ///
    /// # Errors
    /// The kernel does not let the device be waited for.
    pub fn add_receiver(
        &mut self,
        ingress: Ingress,
        receiver: Box<dyn Receiver>,
    ) -> io::Result<()> {
        let vacant = self.inlets.iter().position(Option::is_none);
        let number = vacant.unwrap_or_else(|| {
            self.inlets.push(None);
            self.inlets.len() - 1
        });
        self.waiting.add(receiver.readiness(), number as u64)?;
        self.inlets[number] = Some(Inlet {
            ingress,
            receiver,
            is_broken: false,
        });
        Ok(())
    }

    /// Carries what is in this device now. A machine that goes on sending is not waited for.
    pub fn drain(&mut self, ingress: Ingress) {
        if let Some(number) = self.number_of(ingress) {
            for _ in 0..MOST_BATCHES {
                if self.serve(number) < BATCH {
                    break;
                }
            }
        }
    }

    /// Carries what is in this device now, and is done with it. Closing it can take the kernel a while: that is for
    /// whoever asked, not for the worker.
    pub fn remove_receiver(&mut self, ingress: Ingress) -> Option<Box<dyn Receiver>> {
        self.drain(ingress);
        let number = self.number_of(ingress)?;
        let inlet = self.inlets[number].take()?;
        if !inlet.is_broken {
            self.waiting.remove(inlet.receiver.readiness());
        }
        Some(inlet.receiver)
    }

    /// Where devices are gone.
    pub fn broken(&self) -> Vec<Ingress> {
        let inlets = self.inlets.iter().flatten();
        let broken = inlets.filter(|inlet| inlet.is_broken || inlet.receiver.is_gone());
        broken.map(|inlet| inlet.ingress).collect()
    }

    fn number_of(&self, ingress: Ingress) -> Option<usize> {
        let is_it = |inlet: &Inlet| inlet.ingress == ingress;
        self.inlets
            .iter()
            .position(|inlet| inlet.as_ref().is_some_and(is_it))
    }

    /// Frames that leave there go to this device from now on. Yields the one before.
    pub fn add_sender(
        &mut self,
        egress: Egress,
        sender: Box<dyn Sender>,
    ) -> Option<Box<dyn Sender>> {
        self.carrier.outbox.senders.insert(egress, sender)
    }

    /// Nothing leaves there any more.
    pub fn remove_sender(&mut self, egress: Egress) -> Option<Box<dyn Sender>> {
        self.carrier.outbox.senders.remove(egress)
    }

    /// Sends a frame of the switch's own. What is lost is not told: whoever asks or announces does so again.
    pub fn send(&mut self, egress: Egress, frame: &[u8]) {
        let _ = self.carrier.outbox.send(egress, frame);
    }

    /// Sends what waited for this next hop.
    pub fn release(&mut self, neighbour: &Neighbour) {
        self.carrier.release(neighbour);
    }

    /// What this worker counted.
    pub const fn counters(&self) -> &Counters<'static> {
        self.carrier.datapath.counters()
    }

    /// The longest stalls since they were last taken.
    pub fn take_stalls(&mut self) -> Stalls {
        std::mem::take(&mut self.carrier.stalls)
    }

    /// Shows frames to a capture, or to none.
    pub fn set_capture(&mut self, capture: Option<CaptureSender>) {
        self.carrier.outbox.capture = capture;
    }

    /// Hands frames of machines to an offload NIC behind the uplink from now on, or decides all of them here.
    pub const fn set_nic(&mut self, nic: Option<NicLink>) {
        self.carrier.outbox.nic = nic;
    }

    /// What passed between this worker and the offload NIC.
    pub const fn nic_counters(&self) -> &NicCounters {
        &self.carrier.nic_counters
    }

    /// Changes when the worker looks for frames.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.waiting.set_pace(pace);
    }

    pub(super) const fn stop(&mut self) {
        self.is_stopping = true;
    }
}

/// Whether a device that fails so may work again: a link that is down comes up.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::NETDOWN, Errno::IO, Errno::INTR, Errno::AGAIN];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

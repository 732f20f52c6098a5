//! What becomes of a batch: it is decided here, handed to an offload NIC, or comes back from one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netvirt_core::PortId;
use netvirt_core::datapath::{Frame, Ingress, Verdict, Worker};
use netvirt_core::policy::Neighbour;

use super::forwarder::Stalls;
use super::nic::{self, HandedBack, NicCounters, NicLink};
use super::outbox::Outbox;
use crate::cpu::HostCpu;
use crate::device::BATCH;
use crate::live::LivePolicy;

/// The way of frames through a worker, between the devices that they come from and those that they leave through.
pub(super) struct Carrier {
    pub policies: Arc<LivePolicy>,
    pub datapath: Worker<'static>,
    pub outbox: Outbox,
    pub stalls: Stalls,
    pub nic_counters: NicCounters,
    started: Instant,
}

impl Carrier {
    pub fn new(policies: Arc<LivePolicy>, datapath: Worker<'static>, outbox: Outbox) -> Self {
        Self {
            policies,
            datapath,
            outbox,
            stalls: Stalls::default(),
            nic_counters: NicCounters::default(),
            started: Instant::now(),
        }
    }

    /// Decides a batch and does what was decided.
    pub fn decide(&mut self, frames: &[Frame<'_>]) {
        let before = Instant::now();
        let policy = self.policies.read();
        self.stalls.policy = self.stalls.policy.max(before.elapsed());
        let mut verdicts = [Verdict::UNDECIDED; BATCH];
        let verdicts = &mut verdicts[..frames.len()];
        let now = self.now();
        self.datapath.process_batch::<HostCpu>(
            &policy,
            frames,
            verdicts,
            Duration::from_nanos(now),
        );
        self.outbox
            .carry_out(&policy, frames, verdicts, self.datapath.counters_mut(), now);
    }

    /// Hands frames of a machine to the offload NIC, which decides them.
    pub fn hand_over(&mut self, link: &NicLink, port: PortId, frames: &[Frame<'_>]) {
        self.nic_counters.handed_over += frames.len() as u64;
        let own = self.policies.read().find_port(port);
        let vsid = own.and_then(|own| own.vsid);
        self.nic_counters.handed_over_lost += self.outbox.hand_over(link, port, vsid, frames);
    }

    /// Takes what comes from the offload NIC: frames for machines, and such as its policy does not cover.
    pub fn take_back(&mut self, link: &NicLink, frames: &[Frame<'_>]) {
        const NOTHING: Frame<'_> = Frame::whole(Ingress::Port(PortId(0)), &[]);
        let (mut delivered, mut exceptions) = ([NOTHING; BATCH], [NOTHING; BATCH]);
        let mut ports = [PortId(0); BATCH];
        let (mut deliveries, mut exception_count) = (0, 0);
        let policy = self.policies.read();
        for frame in frames {
            match nic::read(frame.window, link.nic()) {
                Ok(HandedBack::Delivered(port, vsid, frame)) => {
                    let own = policy.find_port(port);
                    if own.is_some_and(|own| !nic::is_for(&own, vsid, &frame)) {
                        self.nic_counters.misdirected += 1;
                        continue;
                    }
                    (ports[deliveries], delivered[deliveries]) = (port, frame);
                    deliveries += 1;
                }
                Ok(HandedBack::Exception(frame)) => {
                    exceptions[exception_count] = frame;
                    exception_count += 1;
                }
                Ok(HandedBack::Other) => {}
                Err(_) => self.nic_counters.malformed += 1,
            }
        }
        drop(policy);
        self.nic_counters.delivered += deliveries as u64;
        self.nic_counters.delivered_lost += self
            .outbox
            .deliver(&ports[..deliveries], &delivered[..deliveries]);
        self.nic_counters.exceptions += exception_count as u64;
        if exception_count > 0 {
            self.decide(&exceptions[..exception_count]);
        }
    }

    pub fn look_at_held(&mut self) {
        let now = self.now();
        self.outbox.look_at_held(self.datapath.counters_mut(), now);
    }

    /// Sends what waited for this next hop.
    pub fn release(&mut self, neighbour: &Neighbour) {
        self.outbox.release(neighbour, self.datapath.counters_mut());
    }

    /// Nanoseconds.
    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

//! What was counted. Every received frame once, whatever became of it.

mod event;

use core::ops::Range;

pub use event::{Event, Events};
use managed::ManagedSlice;
use serde::{Deserialize, Serialize};

use crate::address::{PortId, Vsid};
use crate::datapath::{DropReason, Frame, Ingress, Outcome, Replica, Verdict};
use crate::policy::Policy;

/// Frames and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Frames.
    pub frames: u64,
    /// Bytes of those frames, as they came in.
    pub bytes: u64,
}

impl Tally {
    /// Nothing yet.
    pub const ZERO: Self = Self {
        frames: 0,
        bytes: 0,
    };

    #[inline(always)]
    fn add(&mut self, bytes: usize) {
        self.frames = self.frames.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }

    fn take_back(&mut self, bytes: usize) {
        self.frames = self.frames.wrapping_sub(1);
        self.bytes = self.bytes.wrapping_sub(bytes as u64);
    }
}

/// What became of the frames of a worker: received = the sum of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Frames given to the datapath.
    pub received: u64,
    /// Frames handed to ports of this host.
    pub delivered: u64,
    /// Frames sent into the provider network.
    pub transmitted: u64,
    /// Frames with more than one destination.
    pub replicated: u64,
    /// Frames that the host answered.
    pub replied: u64,
    /// Frames that were the caller's.
    pub punted: u64,
    /// Frames that wait, or waited, for a next hop.
    pub held: u64,
    /// Frames thrown away.
    pub dropped: u64,
}

impl Totals {
    const ZERO: Self = Self {
        received: 0,
        delivered: 0,
        transmitted: 0,
        replicated: 0,
        replied: 0,
        punted: 0,
        held: 0,
        dropped: 0,
    };

    /// Whether every received frame was counted once.
    pub const fn add_up(&self) -> bool {
        self.received
            == self.delivered
                + self.transmitted
                + self.replicated
                + self.replied
                + self.punted
                + self.held
                + self.dropped
    }

    fn of_outcome(&mut self, outcome: &Outcome<'_>) -> &mut u64 {
        match outcome {
            Outcome::Deliver { .. } => &mut self.delivered,
            Outcome::Transmit { .. } => &mut self.transmitted,
            Outcome::Replicate(_) => &mut self.replicated,
            Outcome::Reply(_) => &mut self.replied,
            Outcome::Punt(_) => &mut self.punted,
            Outcome::Hold { .. } => &mut self.held,
            Outcome::Drop => &mut self.dropped,
        }
    }
}

/// What passed a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortCounters {
    /// From the virtual machine.
    pub received: Tally,
    /// To the virtual machine.
    pub delivered: Tally,
    /// From the virtual machine, and refused.
    pub refused: u64,
}

impl PortCounters {
    /// Nothing yet.
    pub const ZERO: Self = Self {
        received: Tally::ZERO,
        delivered: Tally::ZERO,
        refused: 0,
    };
}

/// What was decided in a virtual subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubnetCounters {
    /// Sent by machines of this host.
    pub sent: Tally,
    /// Received from other hosts.
    pub received: Tally,
    /// Refused, in either direction.
    pub refused: u64,
    /// Whose they are. Numbers of subnets are used again; what one tenant did is not for the next to see.
    vsid: Option<Vsid>,
}

impl SubnetCounters {
    /// Nothing yet.
    pub const ZERO: Self = Self {
        sent: Tally::ZERO,
        received: Tally::ZERO,
        refused: 0,
        vsid: None,
    };

    /// These counters, if they are those of `vsid`; otherwise from zero.
    #[inline(always)]
    fn of(&mut self, vsid: Option<Vsid>) -> &mut Self {
        if self.vsid != vsid {
            *self = Self { vsid, ..Self::ZERO };
        }
        self
    }
}

/// The counters of one worker. Add up those of all workers to see the host's.
#[derive(Debug)]
pub struct Counters<'s> {
    totals: Totals,
    reasons: [u64; DropReason::COUNT],
    events: [u64; Event::COUNT],
    ports: ManagedSlice<'s, PortCounters>,
    subnets: ManagedSlice<'s, SubnetCounters>,
}

impl<'s> Counters<'s> {
    /// All zero. What lies beyond this storage is counted in the totals alone; give as many as the policy
    /// has room for ports and subnets.
    pub const fn new(
        ports: ManagedSlice<'s, PortCounters>,
        subnets: ManagedSlice<'s, SubnetCounters>,
    ) -> Self {
        Self {
            totals: Totals::ZERO,
            reasons: [0; DropReason::COUNT],
            events: [0; Event::COUNT],
            ports,
            subnets,
        }
    }

    /// What became of all frames.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Frames refused for this reason, whether they were dropped or answered.
    pub fn refused(&self, reason: DropReason) -> u64 {
        self.reasons.get(reason.index()).copied().unwrap_or(0)
    }

    /// How often something rare happened.
    pub fn event(&self, event: Event) -> u64 {
        self.events.get(event.index()).copied().unwrap_or(0)
    }

    /// What passed a port.
    pub fn port(&self, port: PortId) -> PortCounters {
        self.ports.get(port.index()).copied().unwrap_or_default()
    }

    /// What was decided in a virtual subnet of the policy.
    pub fn subnet(&self, policy: &Policy<'_>, vsid: Vsid) -> SubnetCounters {
        let subnet = policy
            .subnet_of(vsid)
            .and_then(|number| self.subnets.get(number as usize));
        let subnet = subnet.filter(|subnet| subnet.vsid == Some(vsid));
        subnet.copied().unwrap_or_default()
    }

    /// Counts a frame that was decided. `subnet` is the number of the subnet it was decided in.
    #[inline(always)]
    pub(crate) fn count(&mut self, frame: &Frame<'_>, verdict: &Verdict<'_>, subnet: Option<u32>) {
        self.totals.received = self.totals.received.wrapping_add(1);
        let total = self.totals.of_outcome(&verdict.outcome);
        *total = total.wrapping_add(1);
        if verdict.events != Events::NONE {
            self.count_events(verdict.events);
        }
        let refused = match verdict.reason {
            Some(reason) => {
                if let Some(counter) = self.reasons.get_mut(reason.index()) {
                    *counter = counter.wrapping_add(1);
                }
                1
            }
            None => 0,
        };
        if let Ingress::Port(port) = frame.ingress
            && let Some(port) = self.ports.get_mut(port.index())
        {
            port.received.add(frame.length);
            port.refused = port.refused.wrapping_add(refused);
        }
        if let Outcome::Deliver { port, .. } = &verdict.outcome
            && let Some(port) = self.ports.get_mut(port.index())
        {
            port.delivered.add(frame.length);
        }
        if let Some(subnet) = subnet.and_then(|number| self.subnets.get_mut(number as usize)) {
            let subnet = subnet.of(verdict.vsid);
            match frame.ingress {
                Ingress::Port(_) => subnet.sent.add(frame.length),
                Ingress::Uplink(_) => subnet.received.add(frame.length),
            }
            subnet.refused = subnet.refused.wrapping_add(refused);
        }
    }

    #[cold]
    fn count_events(&mut self, events: Events) {
        for event in events.iter() {
            self.count_event(event, 1);
        }
    }

    fn count_event(&mut self, event: Event, times: u64) {
        if let Some(counter) = self.events.get_mut(event.index()) {
            *counter = counter.wrapping_add(times);
        }
    }

    /// Counts the copies of a frame for many. The frame itself is counted beside them.
    pub(crate) fn count_copies<'r>(
        &mut self,
        frame: &Frame<'_>,
        copies: impl Iterator<Item = Replica<'r>>,
    ) {
        for replica in copies {
            match replica {
                Replica::Lost { copies, .. } => self.count_event(Event::CopyLost, copies.into()),
                Replica::Deliver { port, .. } => {
                    self.count_event(Event::Copy, 1);
                    if let Some(port) = self.ports.get_mut(port.index()) {
                        port.delivered.add(frame.length);
                    }
                }
                Replica::Transmit { edit, .. } | Replica::Hold { edit, .. } => {
                    self.count_event(Event::Copy, 1);
                    let is_cut = edit.fragmentation.is_some();
                    self.count_event(Event::Fragmented, is_cut.into());
                }
            }
        }
    }

    /// Takes a copy of a frame for many back that the adapter could not handle as decided: it was lost after all. `port` is
    /// where it was to be delivered, if it was.
    pub fn lost_copy(&mut self, frame: &Frame<'_>, port: Option<PortId>) {
        if let Some(port) = port.and_then(|port| self.ports.get_mut(port.index())) {
            port.delivered.take_back(frame.length);
        }
        self.lost_held_copy();
    }

    /// Takes a copy of a frame for many back that was held and could not be sent.
    pub fn lost_held_copy(&mut self) {
        self.take_back_event(Event::Copy);
        self.count_event(Event::CopyLost, 1);
    }

    /// Takes a frame back that the adapter could not handle as decided: it was dropped after all. If it was refused before,
    /// and what is lost is the answer to it, its reason stays the first.
    pub fn lost(&mut self, frame: &Frame<'_>, verdict: &Verdict<'_>, reason: DropReason) {
        let total = self.totals.of_outcome(&verdict.outcome);
        *total = total.wrapping_sub(1);
        if let Outcome::Deliver { port, .. } = &verdict.outcome
            && let Some(port) = self.ports.get_mut(port.index())
        {
            port.delivered.take_back(frame.length);
        }
        match verdict.reason {
            None => self.drop_late(reason),
            Some(_) => {
                self.totals.dropped = self.totals.dropped.wrapping_add(1);
                self.take_back_event(Event::ErrorSent);
            }
        }
    }

    fn take_back_event(&mut self, event: Event) {
        if let Some(counter) = self.events.get_mut(event.index()) {
            *counter = counter.wrapping_sub(1);
        }
    }

    /// Takes back a frame that was held and could not be sent.
    pub fn lost_held(&mut self, reason: DropReason) {
        self.totals.held = self.totals.held.wrapping_sub(1);
        self.drop_late(reason);
    }

    fn drop_late(&mut self, reason: DropReason) {
        self.totals.dropped = self.totals.dropped.wrapping_add(1);
        if let Some(counter) = self.reasons.get_mut(reason.index()) {
            *counter = counter.wrapping_add(1);
        }
    }

    /// Adds another worker's counters to these. Both must have worked under the same policy.
    pub fn merge(&mut self, other: &Counters<'_>) {
        self.merge_totals(other);
        self.merge_subnets(other, 0..other.subnets.len());
    }

    /// The part of [`merge`](Self::merge) that takes the same time however many virtual subnets there are: totals, reasons,
    /// events and ports.
    pub fn merge_totals(&mut self, other: &Counters<'_>) {
        let Totals {
            received,
            delivered,
            transmitted,
            replicated,
            replied,
            punted,
            held,
            dropped,
        } = &mut self.totals;
        let theirs = &other.totals;
        for (mine, theirs) in [
            (received, theirs.received),
            (delivered, theirs.delivered),
            (transmitted, theirs.transmitted),
            (replicated, theirs.replicated),
            (replied, theirs.replied),
            (punted, theirs.punted),
            (held, theirs.held),
            (dropped, theirs.dropped),
        ] {
            *mine = mine.wrapping_add(theirs);
        }
        for (mine, theirs) in self.reasons.iter_mut().zip(other.reasons) {
            *mine = mine.wrapping_add(theirs);
        }
        for (mine, theirs) in self.events.iter_mut().zip(other.events) {
            *mine = mine.wrapping_add(theirs);
        }
        for (mine, theirs) in self.ports.iter_mut().zip(other.ports.iter()) {
            mine.received.merge(theirs.received);
            mine.delivered.merge(theirs.delivered);
            mine.refused = mine.refused.wrapping_add(theirs.refused);
        }
    }

    /// The rest of [`merge`](Self::merge), for some of the places of virtual subnets. A worker that must not be kept from
    /// its packets for long is asked for a few thousand at a time.
    pub fn merge_subnets(&mut self, other: &Counters<'_>, places: Range<usize>) {
        let pairs = self.subnets.iter_mut().zip(other.subnets.iter());
        for (mine, theirs) in pairs.skip(places.start).take(places.len()) {
            if theirs.vsid.is_none() {
                continue;
            }
            let mine = mine.of(theirs.vsid);
            mine.sent.merge(theirs.sent);
            mine.received.merge(theirs.received);
            mine.refused = mine.refused.wrapping_add(theirs.refused);
        }
    }
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.frames = self.frames.wrapping_add(other.frames);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

//! The way of frames through the NIC, between queues: from the host, from the wire, and from the NIC's own stack.

use core::array;
use core::fmt;
use core::time::Duration;

use netvirt_core::datapath::{DropReason, Frame, Ingress, Outcome, Punt, Verdict};
use netvirt_core::offload::{
    HashTypes, IndirectionTable, NibbleTable, Offload, has_right_checksum, rss_hash,
};
use netvirt_core::policy::Port;
use netvirt_core::table::Portable;
use netvirt_core::{PortId, UplinkId};

use super::bridge::{Bridge, Destinations, Side};
use super::finish::can_be_cut;
use super::framing::{HostLink, Named, Origin};
use crate::header::{Kind, Repr};
use crate::news::News;
use crate::nve::{BATCH, LastDrop, NicCounters, Nve};
use crate::outbox::{Decided, Exits, Outbox};
use crate::rings::{Buffer, Queue};

/// How frames from the wire are spread over the host's queues.
#[derive(Clone, Copy)]
pub struct Spread {
    /// The key of the hash.
    pub key: &'static NibbleTable,
    /// What is hashed.
    pub types: HashTypes,
    /// The queue of each hash; numbers above 255 cannot be told and count as 255.
    pub queues: IndirectionTable<'static>,
}

impl fmt::Debug for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spread")
            .field("types", &self.types)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

/// Both sides of the NIC.
#[derive(Debug)]
pub(super) struct Sides<'q, 'b> {
    pub link: HostLink,
    pub spread: Option<Spread>,
    pub validates: bool,
    pub to_host: Queue<'q, 'b>,
    pub to_wire: Queue<'q, 'b>,
}

impl<'b> Exits<'b> for Sides<'_, 'b> {
    fn deliver(&mut self, port: &Port, mut frame: Buffer<'b>) -> Result<(), Buffer<'b>> {
        let repr = Repr {
            offload: frame.offload,
            vsid: port.vsid,
            is_validated: self.is_valid(&frame),
            queue: self.queue_of(&frame.offload),
            ..Repr::new(Kind::Delivered(port.port))
        };
        match self.link.put(&mut frame, &repr) {
            Ok(()) => self.to_host.push(frame),
            Err(_) => Err(frame),
        }
    }

    fn transmit(&mut self, _: UplinkId, frame: Buffer<'b>) -> Result<(), Buffer<'b>> {
        self.to_wire.push(frame)
    }
}

impl Sides<'_, '_> {
    /// Whether the frame is known to have the right checksum. What is not complete yet has none.
    fn is_valid(&self, frame: &Buffer<'_>) -> bool {
        let is_complete = frame.offload.checksum.is_none() && frame.offload.segmentation.is_none();
        self.validates && is_complete && has_right_checksum(frame.frame())
    }

    fn queue_of(&self, offload: &Offload) -> u8 {
        let queue = self.spread.as_ref().zip(offload.hash);
        let queue = queue.map_or(0, |(spread, hash)| spread.queues.queue(hash));
        u8::try_from(queue).unwrap_or(u8::MAX)
    }
}

/// The datapath of a NIC.
#[derive(Debug)]
pub(super) struct Datapath<'q, 'b> {
    pub outbox: Outbox<'q, 'b, Sides<'q, 'b>>,
    /// For the NIC's own stack.
    pub to_stack: Queue<'q, 'b>,
    pub bridge: Bridge,
    pub news: News,
    pub uplink: UplinkId,
    pub counters: NicCounters,
}

/// Frames that are to be decided together.
struct Batch<'b> {
    arrived: [Option<Arrived<'b>>; BATCH],
    length: usize,
}

struct Arrived<'b> {
    ingress: Ingress,
    buffer: Buffer<'b>,
}

impl<'b> Batch<'b> {
    const fn new() -> Self {
        Self {
            arrived: [const { None }; BATCH],
            length: 0,
        }
    }

    fn push(&mut self, ingress: Ingress, buffer: Buffer<'b>) -> Result<(), Buffer<'b>> {
        match self.arrived.get_mut(self.length) {
            Some(place) => {
                *place = Some(Arrived { ingress, buffer });
                self.length = self.length.wrapping_add(1);
                Ok(())
            }
            None => Err(buffer),
        }
    }
}

impl<'b> Datapath<'_, 'b> {
    /// Carries frames of the host: those of its machines, those that it decided itself, and its own.
    pub fn take_from_host(
        &mut self,
        nve: &mut Nve<'_>,
        received: &mut Queue<'_, 'b>,
        now: Duration,
    ) {
        let mut batch = Batch::new();
        while let Some(mut buffer) = received.pop() {
            match self.outbox.exits.link.take(&mut buffer) {
                Ok(Origin::Machine(port, named)) if is_it(nve, port, named) => {
                    self.collect(&mut batch, Ingress::Port(port), buffer);
                }
                Ok(Origin::Machine(..)) => {
                    self.counters.misdirected = self.counters.misdirected.wrapping_add(1);
                    self.outbox.spare(buffer);
                }
                Ok(Origin::Decided(uplink)) => self.send_decided(uplink, buffer),
                Ok(Origin::Host) => self.bridge(buffer, Side::Host),
                Err(_) => {
                    self.counters.malformed = self.counters.malformed.wrapping_add(1);
                    self.outbox.spare(buffer);
                }
            }
        }
        self.carry_out(nve, &mut batch, now);
    }

    /// Carries frames of the provider network.
    pub fn take_from_wire(
        &mut self,
        nve: &mut Nve<'_>,
        received: &mut Queue<'_, 'b>,
        now: Duration,
    ) {
        let mut batch = Batch::new();
        let ingress = Ingress::Uplink(self.uplink);
        while let Some(mut buffer) = received.pop() {
            if let Some(spread) = &self.outbox.exits.spread {
                let frame = buffer.frame();
                let hash = rss_hash(spread.key, spread.types, frame, frame.len());
                buffer.offload.hash = hash.map(|hash| hash.value);
            }
            self.collect(&mut batch, ingress, buffer);
        }
        self.carry_out(nve, &mut batch, now);
    }

    /// Carries a frame of the NIC's own stack.
    pub fn take_from_stack(&mut self, buffer: Buffer<'b>) {
        let destinations = self.bridge.forward_from_stack(buffer.frame());
        self.forward(buffer, destinations);
    }

    fn collect(&mut self, batch: &mut Batch<'b>, ingress: Ingress, buffer: Buffer<'b>) {
        if let Err(buffer) = batch.push(ingress, buffer) {
            self.lose(buffer);
        }
    }

    fn carry_out(&mut self, nve: &mut Nve<'_>, batch: &mut Batch<'b>, now: Duration) {
        let heard = self.decide(nve, batch, now);
        for punt in heard.iter().flatten() {
            self.news.hear(punt, nve, &mut self.outbox, now);
        }
    }

    /// Decides about frames and does what was decided. Yields what they tell of the provider network.
    // Not inlined: the verdicts of a batch are large, and are to be off the stack when the policy is changed by what was heard.
    #[inline(never)]
    fn decide(
        &mut self,
        nve: &mut Nve<'_>,
        batch: &mut Batch<'b>,
        now: Duration,
    ) -> [Option<Punt>; BATCH] {
        let mut frames = [Frame::whole(Ingress::Port(PortId(0)), &[]); BATCH];
        for (frame, arrived) in frames.iter_mut().zip(batch.arrived.iter().flatten()) {
            *frame = Frame {
                offload: arrived.buffer.offload,
                ..Frame::whole(arrived.ingress, arrived.buffer.frame())
            };
        }
        let frames = frames.get(..batch.length).unwrap_or_default();
        let mut verdicts = [Verdict::UNDECIDED; BATCH];
        let policy = nve.policies.live();
        let worker = &mut nve.worker;
        worker.process_batch::<Portable>(policy, frames, &mut verdicts, now);
        let refused = frames.iter().zip(&verdicts);
        let refused = refused.filter_map(|(frame, verdict)| LastDrop::of(frame, verdict));
        refused.for_each(|drop| nve.last_drops.note(drop));
        let mut heard: [Option<Punt>; BATCH] = array::from_fn(|_| None);
        let decided = batch.arrived.iter_mut().zip(&verdicts).zip(&mut heard);
        for ((arrived, verdict), heard) in decided {
            let Some(Arrived { ingress, buffer }) = arrived.take() else {
                break;
            };
            let received = Frame {
                length: buffer.frame().len(),
                ..Frame::whole(ingress, &[])
            };
            if leaves_uncut(verdict) && !can_be_cut(buffer.frame(), &buffer.offload) {
                let counters = worker.counters_mut();
                counters.lost(&received, verdict, DropReason::SuperFrame);
                self.outbox.spare(buffer);
                continue;
            }
            let decided = Decided {
                ingress,
                buffer,
                verdict,
            };
            let punted = self
                .outbox
                .carry_out(policy, decided, worker.counters_mut(), now);
            if let Some((punt, buffer)) = punted {
                *heard = Some(punt);
                if self.hand_over(punt, ingress, buffer).is_err() {
                    let counters = worker.counters_mut();
                    counters.lost(&received, verdict, DropReason::PortFull);
                }
            }
        }
        heard
    }

    /// Gives a frame that is not the datapath's to whose it is.
    fn hand_over(&mut self, punt: Punt, ingress: Ingress, buffer: Buffer<'b>) -> Result<(), Lost> {
        let reason = match punt {
            Punt::NotOurs | Punt::HostStack => {
                self.bridge(buffer, Side::Wire);
                return Ok(());
            }
            Punt::ListenerQuery { .. } | Punt::PathMtu { .. } => {
                self.outbox.spare(buffer);
                return Ok(());
            }
            Punt::Uncovered { reason } => Some(reason),
            // The host may have asked itself.
            _ => None,
        };
        let is_news = !matches!(punt, Punt::Uncovered { .. } | Punt::NotVirtualised);
        match self.except(ingress, reason, buffer) {
            Err(Lost) if !is_news => Err(Lost),
            _ => Ok(()),
        }
    }

    /// Leaves a frame to the host to decide.
    fn except(
        &mut self,
        ingress: Ingress,
        reason: Option<DropReason>,
        mut buffer: Buffer<'b>,
    ) -> Result<(), Lost> {
        let sides = &mut self.outbox.exits;
        let repr = Repr {
            offload: buffer.offload,
            queue: sides.queue_of(&buffer.offload),
            ..Repr::new(Kind::Exception { ingress, reason })
        };
        let pushed = match sides.link.put(&mut buffer, &repr) {
            Ok(()) => sides.to_host.push(buffer),
            Err(_) => Err(buffer),
        };
        match pushed {
            Ok(()) => {
                self.counters.exceptions = self.counters.exceptions.wrapping_add(1);
                Ok(())
            }
            Err(buffer) => {
                self.outbox.spare(buffer);
                Err(Lost)
            }
        }
    }

    fn send_decided(&mut self, uplink: UplinkId, buffer: Buffer<'b>) {
        self.counters.decided = self.counters.decided.wrapping_add(1);
        if let Err(buffer) = self.outbox.exits.transmit(uplink, buffer) {
            self.lose(buffer);
        }
    }

    fn bridge(&mut self, buffer: Buffer<'b>, from: Side) {
        let destinations = self.bridge.forward(buffer.frame(), from);
        self.forward(buffer, destinations);
    }

    /// Gives a frame to each of its destinations: copies to all but the last.
    fn forward(&mut self, buffer: Buffer<'b>, destinations: Destinations) {
        let Destinations { stack, host, wire } = destinations;
        if stack && (host || wire) {
            self.copy(&buffer, Place::Stack);
        }
        if host && wire {
            self.copy(&buffer, Place::Host);
        }
        match (stack, host, wire) {
            (_, _, true) => self.put(buffer, Place::Wire),
            (_, true, false) => self.put(buffer, Place::Host),
            (true, false, false) => self.put(buffer, Place::Stack),
            (false, false, false) => self.lose(buffer),
        }
    }

    fn copy(&mut self, original: &Buffer<'b>, place: Place) {
        let Some(mut copy) = self.outbox.pool.pop() else {
            self.counters.lost = self.counters.lost.wrapping_add(1);
            return;
        };
        match copy.fill(original.frame()) {
            Ok(()) => self.put(copy, place),
            Err(_) => self.lose(copy),
        }
    }

    fn put(&mut self, buffer: Buffer<'b>, place: Place) {
        if matches!(place, Place::Host) && self.outbox.exits.link.is_own(buffer.frame()) {
            self.counters.forged = self.counters.forged.wrapping_add(1);
            self.outbox.spare(buffer);
            return;
        }
        let queue = match place {
            Place::Stack => &mut self.to_stack,
            Place::Host => &mut self.outbox.exits.to_host,
            Place::Wire => &mut self.outbox.exits.to_wire,
        };
        match queue.push(buffer) {
            Ok(()) => self.counters.bridged = self.counters.bridged.wrapping_add(1),
            Err(buffer) => self.lose(buffer),
        }
    }

    fn lose(&mut self, buffer: Buffer<'b>) {
        self.counters.lost = self.counters.lost.wrapping_add(1);
        self.outbox.spare(buffer);
    }
}

/// Whether the host means the same machine by a port. What the policy does not know it does not cover.
fn is_it(nve: &Nve<'_>, port: PortId, named: Named) -> bool {
    let own = nve.policies.live().find_port(port);
    match named {
        Named::In(vsid) => own.is_none_or(|own| own.vsid == vsid),
        Named::ByNumber => true,
    }
}

/// A queue is full; the buffer is spare again.
struct Lost;

#[derive(Clone, Copy)]
enum Place {
    Stack,
    Host,
    Wire,
}

/// Whether a frame goes where super-frames are cut first.
const fn leaves_uncut(verdict: &Verdict<'_>) -> bool {
    matches!(
        verdict.outcome,
        Outcome::Transmit { .. } | Outcome::Hold { .. }
    )
}

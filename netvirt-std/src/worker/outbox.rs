//! Doing what was decided about a batch: each frame gets its new front and leaves with those for the same device.

use std::ops::Range;

use netvirt_core::counters::Counters;
use netvirt_core::datapath::{DropReason, Frame, Outcome, Punt, Verdict};
use netvirt_core::edit::{DETACHED_ROOM, Detached, Edit};
use netvirt_core::offload::Offload;
use netvirt_core::policy::{Neighbour, NextHop, PathId, Policy};
use netvirt_core::proxy::Reply;

use super::Event;
use super::senders::Senders;
use crate::capture::live::CaptureSender;
use crate::device::{BATCH, Capabilities, Outgoing};
use crate::held::HeldFrames;
use crate::switch::{Egress, Sent, answer, solicitation};

/// Where everything leaves a worker.
pub(super) struct Outbox {
    pub senders: Senders,
    pub capture: Option<CaptureSender>,
    held: HeldFrames,
    events: Box<dyn Fn(Event) + Send>,
    /// The new fronts of a batch: one a frame, and more for what leaves in pieces.
    fronts: Fronts,
    departures: Vec<Departure>,
    /// What a frame of the batch caused: the answer to it, or the question for its next hop.
    messages: Vec<Sent>,
}

/// A frame of the batch that is ready to leave, or a piece of one: a front, and the rest of the frame as it was received.
#[derive(Debug, Clone)]
struct Departure {
    number: usize,
    egress: Egress,
    /// The number of its front's room.
    room: usize,
    front: Range<usize>,
    rest: Range<usize>,
    offload: Offload,
}

/// Rooms that stay when a batch is done.
#[derive(Debug, Default)]
struct Fronts {
    rooms: Vec<[u8; DETACHED_ROOM]>,
    used: usize,
}

impl Fronts {
    /// The number of a room that this batch does not use yet.
    fn next(&mut self) -> usize {
        let room = self.used;
        if room == self.rooms.len() {
            self.rooms.push([0; DETACHED_ROOM]);
        }
        self.used += 1;
        room
    }
}

impl Outbox {
    pub fn new(events: impl Fn(Event) + Send + 'static) -> Self {
        Self {
            senders: Senders::default(),
            capture: None,
            held: HeldFrames::default(),
            events: Box::new(events),
            fronts: Fronts::default(),
            departures: Vec::with_capacity(BATCH),
            messages: Vec::new(),
        }
    }

    /// Does what was decided. Frames for one device leave in their order.
    pub fn carry_out(
        &mut self,
        policy: &Policy<'_>,
        frames: &[Frame<'_>],
        verdicts: &[Verdict<'_>],
        counters: &mut Counters<'_>,
        now: u64,
    ) {
        self.departures.clear();
        self.fronts.used = 0;
        for (number, (frame, verdict)) in frames.iter().zip(verdicts).enumerate() {
            let done = self.see_to(policy, number, frame, verdict, now);
            let lost = done.err();
            if let Some(reason) = lost {
                counters.lost(frame, verdict, reason);
            }
            if let Some(capture) = &self.capture {
                capture.came(frame.ingress, frame.window, verdict.reason.or(lost));
            }
            // Comes behind, so that a capture shows the cause first.
            if let Err(reason) = self.send_messages()
                && let Outcome::Reply(_) = verdict.outcome
            {
                counters.lost(frame, verdict, reason);
            }
        }
        self.depart(frames, verdicts, counters);
    }

    fn see_to(
        &mut self,
        policy: &Policy<'_>,
        number: usize,
        frame: &Frame<'_>,
        verdict: &Verdict<'_>,
        now: u64,
    ) -> Result<(), DropReason> {
        match &verdict.outcome {
            Outcome::Deliver { port, edit } => {
                self.prepare(number, Egress::Port(*port), edit, frame)
            }
            Outcome::Transmit { uplink, edit } => {
                self.prepare(number, Egress::Uplink(*uplink), edit, frame)
            }
            Outcome::Hold { path, edit } => self.hold(policy, number, *path, edit, frame, now),
            Outcome::Reply(reply) => self.reply(reply, frame),
            Outcome::Punt(punt) => {
                self.tell(punt);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the front of a frame that is to leave with its batch.
    fn prepare(
        &mut self,
        number: usize,
        egress: Egress,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), DropReason> {
        let sender = self.senders.get_mut(egress).ok_or(DropReason::PortFull)?;
        let capabilities = match edit.fragmentation {
            None => sender.capabilities(),
            // No device takes work over that spans fragments.
            Some(_) => Capabilities::default(),
        };
        let departure = self.edit(number, egress, edit, frame, capabilities)?;
        match edit.fragmentation {
            None => self.departures.push(departure),
            Some(_) => {
                let pieces = self.cut(edit, &departure)?;
                self.departures.extend(pieces);
            }
        }
        Ok(())
    }

    /// The fragments of a packet.
    #[cold]
    fn cut(&mut self, edit: &Edit<'_>, whole: &Departure) -> Result<Vec<Departure>, DropReason> {
        let front = self.fronts.rooms[whole.room];
        let detached = Detached {
            header: whole.front.clone(),
            payload: whole.rest.clone(),
        };
        let mut pieces = Vec::new();
        let mut fragments = edit
            .fragments(&front, &detached)
            .ok_or(DropReason::NoHeadroom)?;
        loop {
            let room = self.fronts.next();
            let Some(piece) = fragments.next_into(&mut self.fronts.rooms[room]) else {
                return Ok(pieces);
            };
            pieces.push(Departure {
                room,
                front: piece.header,
                rest: piece.payload,
                ..whole.clone()
            });
        }
    }

    fn edit(
        &mut self,
        number: usize,
        egress: Egress,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
        capabilities: Capabilities,
    ) -> Result<Departure, DropReason> {
        let number_of_room = self.fronts.next();
        let room = &mut self.fronts.rooms[number_of_room];
        let detached = edit
            .detach(frame.window, room)
            .map_err(|_| DropReason::NoHeadroom)?;
        let mut departure = Departure {
            number,
            egress,
            room: number_of_room,
            front: detached.header,
            rest: detached.payload,
            offload: edit.offload,
        };
        if departure.offload != Offload::NONE {
            departure.finish(room, frame, capabilities)?;
        }
        Ok(departure)
    }

    /// Sends what is ready, device by device in the order of the batch.
    fn depart(
        &mut self,
        frames: &[Frame<'_>],
        verdicts: &[Verdict<'_>],
        counters: &mut Counters<'_>,
    ) {
        // A frame that is lost in part is lost once.
        let mut lost = [false; BATCH];
        let runs = self
            .departures
            .chunk_by(|one, next| one.egress == next.egress)
            .flat_map(|run| run.chunks(BATCH));
        for run in runs {
            let mut outgoing = [Outgoing::whole(&[]); BATCH];
            for (place, departure) in outgoing.iter_mut().zip(run) {
                *place = Outgoing {
                    front: &self.fronts.rooms[departure.room][departure.front.clone()],
                    rest: &frames[departure.number].window[departure.rest.clone()],
                    offload: departure.offload,
                    is_lost: false,
                };
            }
            let outgoing = &mut outgoing[..run.len()];
            if let Some(sender) = self.senders.get_mut(run[0].egress) {
                sender.send(outgoing);
            }
            for (sent, Departure { number, egress, .. }) in outgoing.iter().zip(run) {
                if sent.is_lost {
                    if !std::mem::replace(&mut lost[*number], true) {
                        counters.lost(&frames[*number], &verdicts[*number], DropReason::PortFull);
                    }
                } else if let Some(capture) = &self.capture {
                    capture.left(*egress, sent.front, sent.rest);
                }
            }
        }
    }

    fn reply(&mut self, reply: &Reply, frame: &Frame<'_>) -> Result<(), DropReason> {
        self.messages.push(answer(reply, frame)?);
        Ok(())
    }

    /// Sends what the last frame caused. A question that is lost is asked again, an answer is not given again.
    fn send_messages(&mut self) -> Result<(), DropReason> {
        while let Some(message) = self.messages.pop() {
            self.send(message.egress, &message.bytes)?;
        }
        Ok(())
    }

    /// Sends a frame that lies in one piece.
    pub fn send(&mut self, egress: Egress, bytes: &[u8]) -> Result<(), DropReason> {
        let sender = self.senders.get_mut(egress).ok_or(DropReason::PortFull)?;
        let mut frame = [Outgoing::whole(bytes)];
        sender.send(&mut frame);
        if frame[0].is_lost {
            return Err(DropReason::PortFull);
        }
        if let Some(capture) = &self.capture {
            capture.left(egress, bytes, &[]);
        }
        Ok(())
    }

    /// Keeps a frame until its next hop is known, and asks for that.
    fn hold(
        &mut self,
        policy: &Policy<'_>,
        number: usize,
        path: PathId,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
        now: u64,
    ) -> Result<(), DropReason> {
        let next_hop = policy.next_hop(path).ok_or(DropReason::NoPath)?;
        let egress = Egress::Uplink(next_hop.uplink);
        let departure = self.edit(number, egress, edit, frame, Capabilities::default())?;
        let pieces = match edit.fragmentation {
            None => vec![departure],
            Some(_) => self.cut(edit, &departure)?,
        };
        let whole = |piece: Departure| {
            let front = &self.fronts.rooms[piece.room][piece.front];
            Sent::whole(egress, [front, &frame.window[piece.rest]].concat())
        };
        let waiting = pieces.into_iter().map(whole).collect();
        let caused = self.messages.len();
        let kept = self.held.keep(&next_hop, waiting, now, &mut self.messages);
        if self.messages.len() > caused {
            self.tell_asked(&next_hop);
        }
        kept
    }

    fn ask(&mut self, next_hop: &NextHop) {
        if let Some(question) = solicitation(next_hop) {
            self.tell_asked(next_hop);
            // What is lost here is asked again.
            let _ = self.send(question.egress, &question.bytes);
        }
    }

    /// Comes before the question: the answer may be told by another worker before this one goes on.
    fn tell_asked(&self, next_hop: &NextHop) {
        (self.events)(Event::Asked {
            uplink: next_hop.uplink,
            address: next_hop.address,
        });
    }

    /// Whether frames wait for next hops.
    pub fn holds_frames(&self) -> bool {
        !self.held.is_empty()
    }

    /// Asks for next hops once more, and gives up what waited too long.
    pub fn look_at_held(&mut self, counters: &mut Counters<'_>, now: u64) {
        for _ in 0..self.held.expire(now) {
            counters.lost_held(DropReason::NeighbourTimeout);
        }
        for next_hop in self.held.due(now) {
            self.ask(&next_hop);
        }
    }

    /// Sends what waited for a next hop.
    pub fn release(&mut self, neighbour: &Neighbour, counters: &mut Counters<'_>) {
        let waiting = self.held.take(neighbour.uplink, neighbour.address.get());
        for frame in waiting.into_iter().flatten() {
            let mut pieces = frame.into_iter().map(|piece| piece.to(neighbour.mac));
            let sent = pieces.try_for_each(|piece| self.send(piece.egress, &piece.bytes));
            if let Err(reason) = sent {
                counters.lost_held(reason);
            }
        }
    }

    /// Tells whoever controls the switch what the network said.
    fn tell(&self, punt: &Punt) {
        match *punt {
            Punt::Neighbour {
                uplink,
                address,
                mac,
                overriding,
            } => (self.events)(Event::Neighbour {
                uplink,
                address,
                mac,
                overriding,
            }),
            Punt::Reachable { uplink, address } => {
                (self.events)(Event::Reachable { uplink, address });
            }
            Punt::ListenerQuery { .. } => (self.events)(Event::ListenerQuery),
            Punt::AddressConflict { address, mac, .. } => {
                (self.events)(Event::AddressConflict { address, mac });
            }
            Punt::PathMtu { address, mtu } => (self.events)(Event::PathMtu { address, mtu }),
            _ => {}
        }
    }
}

impl Departure {
    /// Does the work that the device does not take over.
    #[cold]
    fn finish(
        &mut self,
        room: &mut [u8; DETACHED_ROOM],
        frame: &Frame<'_>,
        capabilities: Capabilities,
    ) -> Result<(), DropReason> {
        if self.offload.segmentation.is_some() && !capabilities.segmentation {
            return Err(DropReason::SuperFrame);
        }
        let Some(partial) = self.offload.checksum.filter(|_| !capabilities.checksum) else {
            return Ok(());
        };
        // The checksum lies in what follows the front unless an edit changed it: then the front grows.
        let field_end = usize::from(partial.start) + usize::from(partial.offset) + 2;
        let missing = field_end.saturating_sub(self.front.len());
        let grown = self.front.end + missing;
        let follows = self.rest.start..self.rest.start + missing;
        let follows = frame.window.get(follows).ok_or(DropReason::Truncated)?;
        room.get_mut(self.front.end..grown)
            .ok_or(DropReason::NoHeadroom)?
            .copy_from_slice(follows);
        self.front.end = grown;
        self.rest.start += missing;
        let rest = frame
            .window
            .get(self.rest.clone())
            .ok_or(DropReason::Truncated)?;
        partial
            .complete(&mut room[self.front.clone()], rest)
            .map_err(|_| DropReason::Truncated)?;
        self.offload.checksum = None;
        Ok(())
    }
}

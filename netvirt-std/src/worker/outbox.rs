//! Doing what was decided about a batch: each frame gets its new front and leaves with those for the same device.

use std::ops::Range;

use netvirt_core::counters::Counters;
use netvirt_core::datapath::{DropReason, Frame, Outcome, Punt, Replica, Replication, Verdict};
use netvirt_core::edit::{DETACHED_ROOM, Detached, Edit};
use netvirt_core::offload::Offload;
use netvirt_core::policy::{Neighbour, NextHop, Policy};
use netvirt_core::proxy::Reply;
use netvirt_core::{PortId, Vsid};
use netvirt_fw::header::LINK_LEN;

use super::Event;
use super::nic::NicLink;
use super::senders::Senders;
use crate::capture::live::CaptureSender;
use crate::device::{BATCH, Capabilities, Outgoing};
use crate::held::{HeldFrame, HeldFrames};
use crate::switch::{Egress, Sent, answer, solicitation};

/// An offload NIC does whatever is left to be done.
const NIC_CAPABILITIES: Capabilities = Capabilities {
    checksum: true,
    segmentation: true,
};

/// Where everything leaves a worker.
pub(super) struct Outbox {
    pub senders: Senders,
    pub capture: Option<CaptureSender>,
    /// The uplink leads to an offload NIC, which wants to know that a frame was decided here.
    pub nic: Option<NicLink>,
    held: HeldFrames,
    events: Box<dyn Fn(Event) + Send>,
    /// The new fronts of a batch: one a frame, and more for what leaves in pieces.
    fronts: Fronts,
    departures: Vec<Departure>,
    /// What a frame of the batch caused: the answer to it, or the question for its next hop.
    messages: Vec<Sent>,
}

/// A frame of the batch that is ready to leave, or a piece or a copy of one: a front, and the rest of the frame as it was
/// received.
#[derive(Debug, Clone)]
struct Departure {
    /// Number of the frame in the batch.
    number: usize,
    /// It is one of several copies of the frame, which are counted apart.
    is_copy: bool,
    /// It is another fragment of the packet before it.
    continues: bool,
    egress: Egress,
    /// The number of its front's room.
    room: usize,
    front: Range<usize>,
    rest: Range<usize>,
    offload: Offload,
}

/// Frames, and what was decided about them.
#[derive(Clone, Copy)]
struct Batch<'b, 'f, 'p> {
    frames: &'b [Frame<'f>],
    verdicts: &'b [Verdict<'p>],
}

/// Rooms that stay when a batch is done.
#[derive(Debug, Default)]
struct Fronts {
    rooms: Vec<Room>,
    used: usize,
}

/// Room for the front of a frame, and for what an offload NIC is told before it.
#[derive(Debug)]
struct Room {
    bytes: [u8; LINK_LEN + DETACHED_ROOM],
    begins: usize,
}

impl Room {
    const EMPTY: Self = Self {
        bytes: [0; LINK_LEN + DETACHED_ROOM],
        begins: LINK_LEN,
    };

    fn front(&self) -> &[u8; DETACHED_ROOM] {
        self.bytes.last_chunk().unwrap()
    }

    fn front_mut(&mut self) -> &mut [u8; DETACHED_ROOM] {
        self.bytes.last_chunk_mut().unwrap()
    }

    /// The front, which always begins where its room does, and what stands before it.
    fn whole(&self, front: &Range<usize>) -> &[u8] {
        &self.bytes[self.begins..LINK_LEN + front.end]
    }

    fn put_before(&mut self, link: &[u8; LINK_LEN]) {
        self.bytes[..LINK_LEN].copy_from_slice(link);
        self.begins = 0;
    }
}

impl Fronts {
    /// The number of a room that this batch does not use yet.
    fn next(&mut self) -> usize {
        let room = self.used;
        if room == self.rooms.len() {
            self.rooms.push(Room::EMPTY);
        }
        self.rooms[room].begins = LINK_LEN;
        self.used += 1;
        room
    }
}

impl Outbox {
    pub fn new(events: impl Fn(Event) + Send + 'static) -> Self {
        Self {
            senders: Senders::default(),
            capture: None,
            nic: None,
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
        let batch = Batch { frames, verdicts };
        for (number, (frame, verdict)) in frames.iter().zip(verdicts).enumerate() {
            if let Outcome::Replicate(replication) = &verdict.outcome {
                self.came(frame, None);
                self.replicate(policy, batch, number, replication, counters, now);
                continue;
            }
            let done = self.see_to(policy, number, frame, verdict, now);
            let lost = done.err();
            if let Some(reason) = lost {
                counters.lost(frame, verdict, reason);
            }
            self.came(frame, verdict.reason.or(lost));
            // Comes behind, so that a capture shows the cause first.
            if let Err(reason) = self.send_messages()
                && let Outcome::Reply(_) = verdict.outcome
            {
                counters.lost(frame, verdict, reason);
            }
        }
        self.depart(batch, counters);
    }

    /// Hands frames to the ports that an offload NIC found for them. Yields how many were lost.
    pub fn deliver(&mut self, ports: &[PortId], frames: &[Frame<'_>]) -> u64 {
        let mut lost = 0;
        for (number, (port, frame)) in ports.iter().zip(frames).enumerate() {
            let mut departure = Departure::of(number, Egress::Port(*port), false);
            departure.rest = 0..frame.window.len();
            departure.offload = frame.offload;
            departure.room = self.fronts.next();
            let sender = self.senders.get_mut(departure.egress);
            let finished = sender.is_some_and(|sender| {
                let room = self.fronts.rooms[departure.room].front_mut();
                let capabilities = sender.capabilities();
                departure.finish(room, frame, capabilities).is_ok()
            });
            match finished {
                true => self.departures.push(departure),
                false => lost += 1,
            }
        }
        self.send_ready(frames, |_| lost += 1);
        lost
    }

    /// Hands frames of a machine to the offload NIC as they are. Yields how many were lost.
    pub fn hand_over(
        &mut self,
        link: &NicLink,
        port: PortId,
        vsid: Option<Vsid>,
        frames: &[Frame<'_>],
    ) -> u64 {
        let Some(sender) = self.senders.get_mut(Egress::Uplink(link.uplink)) else {
            return frames.len() as u64;
        };
        let mut fronts = [[0; LINK_LEN]; BATCH];
        let mut outgoing = [Outgoing::whole(&[]); BATCH];
        for ((front, place), frame) in fronts.iter_mut().zip(&mut outgoing).zip(frames) {
            *front = link.hand_over(port, vsid, frame.offload);
            place.front = front;
            place.rest = frame.window;
        }
        let outgoing = &mut outgoing[..frames.len()];
        sender.send(outgoing);
        outgoing.iter().filter(|sent| sent.is_lost).count() as u64
    }

    fn came(&self, frame: &Frame<'_>, refused: Option<DropReason>) {
        if let Some(capture) = &self.capture {
            capture.came(frame.ingress, frame.window, refused);
        }
    }

    fn see_to(
        &mut self,
        policy: &Policy<'_>,
        number: usize,
        frame: &Frame<'_>,
        verdict: &Verdict<'_>,
        now: u64,
    ) -> Result<(), DropReason> {
        let leaves = |egress| Departure::of(number, egress, false);
        match &verdict.outcome {
            Outcome::Deliver { port, edit } => {
                self.prepare(leaves(Egress::Port(*port)), edit, frame)
            }
            Outcome::Transmit { uplink, edit } => {
                self.prepare(leaves(Egress::Uplink(*uplink)), edit, frame)
            }
            Outcome::Hold { path, edit } => {
                let next_hop = policy.next_hop(*path).ok_or(DropReason::NoPath)?;
                let departure = leaves(Egress::Uplink(next_hop.uplink));
                self.hold(&next_hop, departure, edit, frame, now)
            }
            Outcome::Reply(reply) => self.reply(reply, frame),
            Outcome::Punt(punt) => {
                self.tell(punt);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sends every copy of a frame for many, each for itself: what becomes of one does not matter to the others. They may be
    /// more than should ever wait to leave together.
    #[cold]
    fn replicate(
        &mut self,
        policy: &Policy<'_>,
        batch: Batch<'_, '_, '_>,
        number: usize,
        replication: &Replication,
        counters: &mut Counters<'_>,
        now: u64,
    ) {
        let frame = &batch.frames[number];
        for replica in replication.copies(policy) {
            if self.departures.len() >= BATCH {
                self.depart(batch, counters);
            }
            if self.copy(policy, number, frame, &replica, now).is_err() {
                counters.lost_copy(frame, replica.port());
            }
        }
        // A question that is lost is asked again.
        while !self.messages.is_empty() {
            let _ = self.send_messages();
        }
    }

    fn copy(
        &mut self,
        policy: &Policy<'_>,
        number: usize,
        frame: &Frame<'_>,
        replica: &Replica<'_>,
        now: u64,
    ) -> Result<(), DropReason> {
        let leaves = |egress| Departure::of(number, egress, true);
        match replica {
            Replica::Deliver { port, edit } => {
                self.prepare(leaves(Egress::Port(*port)), edit, frame)
            }
            Replica::Transmit { uplink, edit } => {
                self.prepare(leaves(Egress::Uplink(*uplink)), edit, frame)
            }
            Replica::Hold { path, edit } => {
                let next_hop = policy.next_hop(*path).ok_or(DropReason::NoPath)?;
                let departure = leaves(Egress::Uplink(next_hop.uplink));
                self.hold(&next_hop, departure, edit, frame, now)
            }
            _ => Ok(()),
        }
    }

    /// Makes the front of a frame that is to leave with its batch.
    fn prepare(
        &mut self,
        mut departure: Departure,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), DropReason> {
        let is_nic = self.link_of(departure.egress).is_some();
        let sender = self.senders.get_mut(departure.egress);
        let sender = sender.ok_or(DropReason::PortFull)?;
        let capabilities = match edit.fragmentation {
            None if is_nic => NIC_CAPABILITIES,
            None => sender.capabilities(),
            // No device takes work over that spans fragments.
            Some(_) => Capabilities::default(),
        };
        self.edit(&mut departure, edit, frame, capabilities)?;
        match edit.fragmentation {
            None => self.ready(departure),
            Some(_) => {
                for piece in self.cut(edit, &departure)? {
                    self.ready(piece);
                }
            }
        }
        Ok(())
    }

    /// Lets a frame leave with its batch. An offload NIC is told what is left to be done to it.
    fn ready(&mut self, mut departure: Departure) {
        if let Some(link) = self.link_of(departure.egress) {
            let offload = std::mem::take(&mut departure.offload);
            self.fronts.rooms[departure.room].put_before(&link.decided(offload));
        }
        self.departures.push(departure);
    }

    /// The link to the offload NIC, if there is one and it leads there.
    fn link_of(&self, egress: Egress) -> Option<NicLink> {
        self.nic
            .filter(|link| egress == Egress::Uplink(link.uplink))
    }

    /// The fragments of a packet.
    #[cold]
    fn cut(&mut self, edit: &Edit<'_>, whole: &Departure) -> Result<Vec<Departure>, DropReason> {
        let front = *self.fronts.rooms[whole.room].front();
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
            let Some(piece) = fragments.next_into(self.fronts.rooms[room].front_mut()) else {
                return Ok(pieces);
            };
            pieces.push(Departure {
                continues: !pieces.is_empty(),
                room,
                front: piece.header,
                rest: piece.payload,
                ..whole.clone()
            });
        }
    }

    fn edit(
        &mut self,
        departure: &mut Departure,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
        capabilities: Capabilities,
    ) -> Result<(), DropReason> {
        departure.room = self.fronts.next();
        let room = self.fronts.rooms[departure.room].front_mut();
        let detached = edit
            .detach(frame.window, room)
            .map_err(|_| DropReason::NoHeadroom)?;
        departure.front = detached.header;
        departure.rest = detached.payload;
        departure.offload = edit.offload;
        if departure.offload != Offload::NONE {
            departure.finish(room, frame, capabilities)?;
        }
        Ok(())
    }

    /// Sends what is ready, device by device in the order of the batch.
    fn depart(&mut self, batch: Batch<'_, '_, '_>, counters: &mut Counters<'_>) {
        self.send_ready(batch.frames, |departure| {
            let number = departure.number;
            let (frame, verdict) = (&batch.frames[number], &batch.verdicts[number]);
            if departure.is_copy {
                counters.lost_copy(frame, departure.port());
            } else {
                counters.lost(frame, verdict, DropReason::PortFull);
            }
        });
    }

    /// The same, telling which frames are lost.
    fn send_ready(&mut self, frames: &[Frame<'_>], mut lost: impl FnMut(&Departure)) {
        // A frame that is lost in part is lost once.
        let mut is_counted = false;
        let runs = self
            .departures
            .chunk_by(|one, next| one.egress == next.egress)
            .flat_map(|run| run.chunks(BATCH));
        for run in runs {
            let mut outgoing = [Outgoing::whole(&[]); BATCH];
            for (place, departure) in outgoing.iter_mut().zip(run) {
                *place = Outgoing {
                    front: self.fronts.rooms[departure.room].whole(&departure.front),
                    rest: &frames[departure.number].window[departure.rest.clone()],
                    offload: departure.offload,
                    is_lost: false,
                };
            }
            let outgoing = &mut outgoing[..run.len()];
            if let Some(sender) = self.senders.get_mut(run[0].egress) {
                sender.send(outgoing);
            }
            for (sent, departure) in outgoing.iter().zip(run) {
                is_counted &= departure.continues;
                if !sent.is_lost {
                    if let Some(capture) = &self.capture {
                        capture.left(departure.egress, sent.front, sent.rest);
                    }
                    continue;
                }
                if !std::mem::replace(&mut is_counted, true) {
                    lost(departure);
                }
            }
        }
        self.departures.clear();
        self.fronts.used = 0;
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
        let link = self.link_of(egress);
        let link = link.map(|link| link.decided(Offload::NONE));
        let sender = self.senders.get_mut(egress).ok_or(DropReason::PortFull)?;
        let mut frame = [Outgoing {
            front: link.as_ref().map_or(&[], |link| &link[..]),
            rest: bytes,
            ..Outgoing::whole(&[])
        }];
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
        next_hop: &NextHop,
        mut departure: Departure,
        edit: &Edit<'_>,
        frame: &Frame<'_>,
        now: u64,
    ) -> Result<(), DropReason> {
        let (egress, is_copy) = (departure.egress, departure.is_copy);
        let used = self.fronts.used;
        self.edit(&mut departure, edit, frame, Capabilities::default())?;
        let pieces = match edit.fragmentation {
            None => vec![departure],
            Some(_) => self.cut(edit, &departure)?,
        };
        let whole = |piece: Departure| {
            let front = &self.fronts.rooms[piece.room].front()[piece.front];
            Sent::whole(egress, [front, &frame.window[piece.rest]].concat())
        };
        let pieces = pieces.into_iter().map(whole).collect();
        // What waits has its bytes: its rooms are free again.
        self.fronts.used = used;
        let waiting = HeldFrame { pieces, is_copy };
        let caused = self.messages.len();
        let kept = self.held.keep(next_hop, waiting, now, &mut self.messages);
        if self.messages.len() > caused {
            self.tell_asked(next_hop);
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
        self.held.expire(counters, now);
        for next_hop in self.held.due(now) {
            self.ask(&next_hop);
        }
    }

    /// Sends what waited for a next hop.
    pub fn release(&mut self, neighbour: &Neighbour, counters: &mut Counters<'_>) {
        let waiting = self.held.take(neighbour.uplink, neighbour.address.get());
        for mut frame in waiting.into_iter().flatten() {
            let pieces = std::mem::take(&mut frame.pieces);
            let mut pieces = pieces.into_iter().map(|piece| piece.to(neighbour.mac));
            let sent = pieces.try_for_each(|piece| self.send(piece.egress, &piece.bytes));
            if let Err(reason) = sent {
                frame.lost(counters, reason);
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
    /// A frame of the batch, or a copy of it, whose front is yet to be made.
    const fn of(number: usize, egress: Egress, is_copy: bool) -> Self {
        Self {
            number,
            is_copy,
            continues: false,
            egress,
            room: 0,
            front: 0..0,
            rest: 0..0,
            offload: Offload::NONE,
        }
    }

    /// The port that it goes to, if it goes to one.
    const fn port(&self) -> Option<PortId> {
        match self.egress {
            Egress::Port(port) => Some(port),
            Egress::Uplink(_) => None,
        }
    }

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

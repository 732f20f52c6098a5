//! Doing what was decided about a frame, in buffers: it is edited where it lies and leaves; copies, fragments, answers and
//! questions are made in spare buffers; what waits for a next hop waits in its own.

mod held;

use core::time::Duration;

use netvirt_core::counters::Counters;
use netvirt_core::datapath::{
    DropReason, Frame, Ingress, Outcome, Punt, Replica, Replication, Verdict,
};
use netvirt_core::edit::{DETACHED_ROOM, Detached, Edit, NoRoom};
use netvirt_core::offload::Offload;
use netvirt_core::policy::{Neighbour, NextHop, PathId, Policy, Port};
use netvirt_core::proxy::Reply;
use netvirt_core::{MacAddress, PortId, UplinkId};

use crate::rings::{Buffer, OutOfBuffer, Queue};
pub use held::{Held, MOST_PIECES, Waiting};

use held::{Key, Piece};

/// What finished frames leave through.
pub trait Exits<'b> {
    /// Takes a frame for the machine behind a port, which is ready but for the work beside it.
    ///
    /// # Errors
    /// Gives the buffer back if the frame cannot leave there: the queue is full, or there is no such port.
    fn deliver(&mut self, port: &Port, frame: Buffer<'b>) -> Result<(), Buffer<'b>>;

    /// Takes a frame for the provider network, which is ready but for the work beside it.
    ///
    /// # Errors
    /// Gives the buffer back if the frame cannot leave there: the queue is full, or there is no such uplink.
    fn transmit(&mut self, uplink: UplinkId, frame: Buffer<'b>) -> Result<(), Buffer<'b>>;
}

/// A received frame in its buffer, and what was decided about it.
#[derive(Debug)]
pub struct Decided<'v, 'p, 'b> {
    /// Where it came in.
    pub ingress: Ingress,
    /// The frame as it was received, whole.
    pub buffer: Buffer<'b>,
    /// The decision.
    pub verdict: &'v Verdict<'p>,
}

/// Where everything leaves, or waits.
///
/// A frame that cannot be handled as decided is counted as lost: [`DropReason::NoHeadroom`] if an edit has no room in its
/// buffer, [`DropReason::PortFull`] if it cannot leave or no buffer is spare for what is to be made of it, and
/// [`DropReason::NeighbourQueueFull`] or [`DropReason::NeighbourTimeout`] if it waited in vain. A packet that is lost in part is
/// lost once.
#[derive(Debug)]
pub struct Outbox<'q, 'b, X> {
    /// Where finished frames go.
    pub exits: X,
    /// Spare buffers. It must have as many places as there are buffers.
    pub pool: Queue<'q, 'b>,
    /// What waits for a next hop.
    pub held: Held<'q, 'b>,
}

/// What the counters are to be told of a frame that is edited already.
type Received = Frame<'static>;

/// Where the pieces of an edited packet go.
#[derive(Clone, Copy)]
enum Destination {
    Port(Port),
    Uplink(UplinkId),
    /// They wait for a next hop.
    Wait {
        next_hop: Key,
        is_copy: bool,
    },
}

impl<'q, 'b, X: Exits<'b>> Outbox<'q, 'b, X> {
    /// An outbox in which nothing waits yet.
    pub const fn new(exits: X, pool: Queue<'q, 'b>, held: Held<'q, 'b>) -> Self {
        Self { exits, pool, held }
    }

    /// Does what was decided about a frame. If that is the caller's, it is given back. `policy` must be the one under which it
    /// was decided, `counters` those that counted it; `now` is the time since any moment that stays the same.
    pub fn carry_out(
        &mut self,
        policy: &Policy<'_>,
        decided: Decided<'_, '_, 'b>,
        counters: &mut Counters<'_>,
        now: Duration,
    ) -> Option<(Punt, Buffer<'b>)> {
        let Decided {
            ingress,
            buffer,
            verdict,
        } = decided;
        let received = Received {
            ingress,
            window: &[],
            length: buffer.frame().len(),
            offload: Offload::NONE,
        };
        let done = match &verdict.outcome {
            Outcome::Deliver { port, edit } => self.deliver(policy, *port, edit, buffer),
            Outcome::Transmit { uplink, edit } => {
                self.send(Destination::Uplink(*uplink), edit, buffer)
            }
            Outcome::Hold { path, edit } => match edited(edit, buffer) {
                Ok(edited) => self.hold(policy, *path, edit, edited, false, now),
                Err(buffer) => self.lose(buffer, DropReason::NoHeadroom),
            },
            Outcome::Reply(reply) => {
                let done = self.reply(policy, reply, ingress, &buffer);
                self.spare(buffer);
                done
            }
            Outcome::Replicate(replication) => {
                self.replicate(policy, replication, &received, &buffer, counters, now);
                self.spare(buffer);
                Ok(())
            }
            Outcome::Punt(punt) => return Some((*punt, buffer)),
            _ => {
                self.spare(buffer);
                Ok(())
            }
        };
        if let Err(reason) = done {
            counters.lost(&received, verdict, reason);
        }
        None
    }

    /// Lets everything leave that waited for this next hop, whose MAC address is known now.
    pub fn release(&mut self, neighbour: &Neighbour, counters: &mut Counters<'_>) {
        let key = Key::new(neighbour.uplink, neighbour.address.get());
        let Some(waiting) = self.held.remove(&key) else {
            return;
        };
        let mut is_lost = false;
        for piece in waiting.into_pieces() {
            // What is left of a packet that is lost is not worth sending.
            is_lost &= piece.continues;
            if is_lost {
                self.spare(piece.buffer);
                continue;
            }
            let mut buffer = piece.buffer;
            address_to(&mut buffer, neighbour.mac);
            if let Err(reason) = self.transmit(neighbour.uplink, buffer) {
                is_lost = true;
                lost_held(counters, piece.is_copy, reason);
            }
        }
    }

    /// Gives up what waited for its next hop for too long, and asks once more for those that did not answer for a second. To be
    /// called when the time comes that [`Held::due`] says.
    pub fn look_at_held(&mut self, counters: &mut Counters<'_>, now: Duration) {
        while let Some(waiting) = self.held.remove_expired(now) {
            for piece in waiting.into_pieces() {
                self.spare(piece.buffer);
                if !piece.continues {
                    lost_held(counters, piece.is_copy, DropReason::NeighbourTimeout);
                }
            }
        }
        while let Some(next_hop) = self.held.next_to_ask(now) {
            self.ask(&next_hop);
        }
    }

    /// Takes a buffer back whose frame is done with.
    pub fn spare(&mut self, buffer: Buffer<'b>) {
        let refused = self.pool.push(buffer);
        debug_assert!(refused.is_ok(), "the pool has places for all buffers");
    }

    fn deliver(
        &mut self,
        policy: &Policy<'_>,
        port: PortId,
        edit: &Edit<'_>,
        buffer: Buffer<'b>,
    ) -> Result<(), DropReason> {
        match policy.find_port(port) {
            Some(port) => self.send(Destination::Port(port), edit, buffer),
            None => self.lose(buffer, DropReason::PortFull),
        }
    }

    fn send(
        &mut self,
        destination: Destination,
        edit: &Edit<'_>,
        buffer: Buffer<'b>,
    ) -> Result<(), DropReason> {
        match edited(edit, buffer) {
            Ok(edited) => self.finish(destination, edit, edited),
            Err(buffer) => self.lose(buffer, DropReason::NoHeadroom),
        }
    }

    /// Keeps an edited frame until its next hop is known, and asks for that.
    fn hold(
        &mut self,
        policy: &Policy<'_>,
        path: PathId,
        edit: &Edit<'_>,
        edited: Buffer<'b>,
        is_copy: bool,
        now: Duration,
    ) -> Result<(), DropReason> {
        let Some(next_hop) = policy.next_hop(path) else {
            return self.lose(edited, DropReason::NoPath);
        };
        let Some(is_to_be_asked) = self.held.expect(&next_hop, now) else {
            return self.lose(edited, DropReason::NeighbourQueueFull);
        };
        if is_to_be_asked {
            self.ask(&next_hop);
        }
        let next_hop = Key::of(&next_hop);
        self.finish(Destination::Wait { next_hop, is_copy }, edit, edited)
    }

    /// Brings an edited frame to its destination, in one piece or as many as its path asks for.
    fn finish(
        &mut self,
        destination: Destination,
        edit: &Edit<'_>,
        mut edited: Buffer<'b>,
    ) -> Result<(), DropReason> {
        if edit.fragmentation.is_none() {
            return self.put(destination, edited, false);
        }
        let done = self.cut(destination, edit, &mut edited);
        self.spare(edited);
        done
    }

    #[cold]
    fn cut(
        &mut self,
        destination: Destination,
        edit: &Edit<'_>,
        edited: &mut Buffer<'b>,
    ) -> Result<(), DropReason> {
        // Nobody behind can complete what spans several packets.
        if let Some(partial) = edited.offload.checksum.take() {
            partial
                .complete(edited.frame_mut(), &[])
                .map_err(|_| DropReason::Truncated)?;
        }
        let frame = edited.frame();
        let mut front = [0; DETACHED_ROOM];
        let detached = detached(frame, &mut front);
        let mut fragments = edit
            .fragments(&front, &detached)
            .ok_or(DropReason::NoHeadroom)?;
        let mut room = [0; DETACHED_ROOM];
        let mut counted = fragments.clone();
        let pieces = core::iter::from_fn(|| counted.next_into(&mut room)).count();
        self.has_room_for(destination, pieces)?;
        let mut continues = false;
        while let Some(piece) = fragments.next_into(&mut room) {
            let buffer = self.pool.pop().ok_or(DropReason::PortFull)?;
            let front = room.get(piece.header).unwrap_or_default();
            let rest = frame.get(piece.payload).unwrap_or_default();
            match joined(buffer, front, rest) {
                Ok(buffer) => self.put(destination, buffer, continues)?,
                Err(buffer) => return self.lose(buffer, DropReason::NoHeadroom),
            }
            continues = true;
        }
        Ok(())
    }

    /// Part of a packet is of no use to anybody, so it is not begun without buffers and places for all of it.
    fn has_room_for(&self, destination: Destination, pieces: usize) -> Result<(), DropReason> {
        if let Destination::Wait { next_hop, .. } = destination
            && self.room_to_wait(&next_hop) < pieces
        {
            return Err(DropReason::NeighbourQueueFull);
        }
        if self.pool.len() < pieces {
            return Err(DropReason::PortFull);
        }
        Ok(())
    }

    /// How many more buffers may wait for a next hop. No more than a quarter of all do: nobody shall be able to hold the others
    /// up by sending to where nobody answers.
    fn room_to_wait(&self, next_hop: &Key) -> usize {
        let most = (self.pool.len().saturating_add(self.pool.room()) / 4).max(1);
        let left = most.saturating_sub(self.held.len());
        self.held.room(next_hop).min(left)
    }

    fn put(
        &mut self,
        destination: Destination,
        buffer: Buffer<'b>,
        continues: bool,
    ) -> Result<(), DropReason> {
        match destination {
            Destination::Port(port) => self.hand_to(&port, buffer),
            Destination::Uplink(uplink) => self.transmit(uplink, buffer),
            Destination::Wait { next_hop, is_copy } => {
                let piece = Piece {
                    buffer,
                    is_copy,
                    continues,
                };
                let kept = match self.room_to_wait(&next_hop) {
                    0 => Err(piece),
                    _ => self.held.keep(&next_hop, piece),
                };
                kept.or_else(|piece| self.lose(piece.buffer, DropReason::NeighbourQueueFull))
            }
        }
    }

    fn hand_to(&mut self, port: &Port, buffer: Buffer<'b>) -> Result<(), DropReason> {
        match self.exits.deliver(port, buffer) {
            Ok(()) => Ok(()),
            Err(buffer) => self.lose(buffer, DropReason::PortFull),
        }
    }

    fn transmit(&mut self, uplink: UplinkId, buffer: Buffer<'b>) -> Result<(), DropReason> {
        match self.exits.transmit(uplink, buffer) {
            Ok(()) => Ok(()),
            Err(buffer) => self.lose(buffer, DropReason::PortFull),
        }
    }

    fn lose(&mut self, buffer: Buffer<'b>, reason: DropReason) -> Result<(), DropReason> {
        self.spare(buffer);
        Err(reason)
    }

    /// Writes the answer to a frame, out of where that came in.
    #[cold]
    fn reply(
        &mut self,
        policy: &Policy<'_>,
        reply: &Reply,
        ingress: Ingress,
        question: &Buffer<'b>,
    ) -> Result<(), DropReason> {
        let mut answer = self.pool.pop().ok_or(DropReason::PortFull)?;
        let length = reply.emit(question.frame(), answer.space_mut()).ok();
        match length.map(|length| answer.received(length)) {
            Some(Ok(())) => match ingress {
                Ingress::Uplink(uplink) => self.transmit(uplink, answer),
                Ingress::Port(port) => match policy.find_port(port) {
                    Some(port) => self.hand_to(&port, answer),
                    None => self.lose(answer, DropReason::PortFull),
                },
            },
            _ => self.lose(answer, DropReason::Truncated),
        }
    }

    /// Asks for a next hop's MAC address. A question that is lost is asked again.
    #[cold]
    fn ask(&mut self, next_hop: &NextHop) {
        self.tell(next_hop.uplink, |out| next_hop.solicitation(out));
    }

    /// Sends a message that `emit` writes into the provider network. It yields the message's length, 0 if there is nothing to say after all. What is lost
    /// is not counted: it was not received.
    pub fn tell(
        &mut self,
        uplink: UplinkId,
        emit: impl FnOnce(&mut [u8]) -> Result<usize, NoRoom>,
    ) {
        let Some(mut message) = self.pool.pop() else {
            return;
        };
        let length = emit(message.space_mut()).unwrap_or(0);
        let _ = match message.received(length) {
            Ok(()) if length > 0 => self.transmit(uplink, message),
            _ => self.lose(message, DropReason::Truncated),
        };
    }

    /// Sends every copy of a frame for many, each for itself: what becomes of one does not matter to the others.
    #[cold]
    fn replicate(
        &mut self,
        policy: &Policy<'_>,
        replication: &Replication,
        received: &Received,
        original: &Buffer<'b>,
        counters: &mut Counters<'_>,
        now: Duration,
    ) {
        for replica in replication.copies(policy) {
            if self.copy(policy, &replica, original, now).is_err() {
                counters.lost_copy(received, replica.port());
            }
        }
    }

    fn copy(
        &mut self,
        policy: &Policy<'_>,
        replica: &Replica<'_>,
        original: &Buffer<'b>,
        now: Duration,
    ) -> Result<(), DropReason> {
        match replica {
            Replica::Deliver { port, edit } => {
                let copy = self.copied(original)?;
                self.deliver(policy, *port, edit, copy)
            }
            Replica::Transmit { uplink, edit } => {
                let copy = self.copied(original)?;
                self.send(Destination::Uplink(*uplink), edit, copy)
            }
            Replica::Hold { path, edit } => match edited(edit, self.copied(original)?) {
                Ok(edited) => self.hold(policy, *path, edit, edited, true, now),
                Err(buffer) => self.lose(buffer, DropReason::NoHeadroom),
            },
            // The core has counted it.
            _ => Ok(()),
        }
    }

    fn copied(&mut self, original: &Buffer<'b>) -> Result<Buffer<'b>, DropReason> {
        let buffer = self.pool.pop().ok_or(DropReason::PortFull)?;
        joined(buffer, original.frame(), &[]).map_err(|buffer| {
            self.spare(buffer);
            DropReason::NoHeadroom
        })
    }
}

/// The frame of a buffer, edited where it lies.
fn edited<'b>(edit: &Edit<'_>, mut buffer: Buffer<'b>) -> Result<Buffer<'b>, Buffer<'b>> {
    let place = buffer.place();
    let Ok(place) = edit.apply_in_place(buffer.bytes_mut(), place) else {
        return Err(buffer);
    };
    buffer.offload = edit.offload;
    match buffer.set_place(place) {
        Ok(()) => Ok(buffer),
        Err(OutOfBuffer) => Err(buffer),
    }
}

/// An edited frame as if its first bytes, as many as there is room for, had been detached.
fn detached(frame: &[u8], front: &mut [u8; DETACHED_ROOM]) -> Detached {
    let length = frame.len().min(front.len());
    for (byte, value) in front.iter_mut().zip(frame) {
        *byte = *value;
    }
    Detached {
        header: 0..length,
        payload: length..frame.len(),
    }
}

/// A buffer with a frame of two parts in it.
fn joined<'b>(mut buffer: Buffer<'b>, front: &[u8], rest: &[u8]) -> Result<Buffer<'b>, Buffer<'b>> {
    let room = buffer.space_mut().split_at_mut_checked(front.len());
    let rooms = room.and_then(|(first, behind)| Some((first, behind.get_mut(..rest.len())?)));
    let Some((first, second)) = rooms else {
        return Err(buffer);
    };
    first.copy_from_slice(front);
    second.copy_from_slice(rest);
    match buffer.received(front.len().saturating_add(rest.len())) {
        Ok(()) => Ok(buffer),
        Err(OutOfBuffer) => Err(buffer),
    }
}

fn address_to(buffer: &mut Buffer<'_>, mac: MacAddress) {
    if let Some(destination) = buffer.frame_mut().first_chunk_mut() {
        *destination = mac.0;
    }
}

fn lost_held(counters: &mut Counters<'_>, is_copy: bool, reason: DropReason) {
    if is_copy {
        counters.lost_held_copy();
    } else {
        counters.lost_held(reason);
    }
}

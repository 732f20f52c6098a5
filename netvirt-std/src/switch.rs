//! A host's switch without its devices: frames in, frames out. The devices, or a capture, are the caller's.

use std::time::Duration;

use netvirt_core::counters::Counters;
use netvirt_core::datapath::{
    DropReason, Frame, Ingress, Outcome, Punt, Replica, Replication, Verdict, Worker,
};
use netvirt_core::edit::{DETACHED_ROOM, Edit, HEADROOM};
use netvirt_core::offload::Offload;
use netvirt_core::policy::{
    Change, Neighbour, NextHop, PathId, Policies, Policy, Refused, Transaction, TransactionWriter,
};
use netvirt_core::proxy::{LONGEST_MESSAGE, Owned, Reply};
use netvirt_core::table::Seed;
use netvirt_core::trace::{Observer, Unobserved};
use netvirt_core::{MacAddress, PortId, ProviderAddress, UplinkId, Vsid};

use crate::held::{HeldFrame, HeldFrames};
use crate::memory::HostCapacity;

/// Where a frame leaves the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Egress {
    /// To a virtual machine.
    Port(PortId),
    /// Into the provider network.
    Uplink(UplinkId),
}

/// A frame that left the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Where it left.
    pub egress: Egress,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Bytes of the whole frame; more than `bytes` if only the front of the received frame was at hand.
    pub length: usize,
    /// Work that is left for whoever takes it.
    pub offload: Offload,
}

impl Sent {
    /// The same, for the station that was waited for.
    pub(crate) fn to(mut self, mac: MacAddress) -> Self {
        for (to, from) in self.bytes.iter_mut().zip(mac.0) {
            *to = from;
        }
        self
    }

    /// A frame that lies here from its first byte to its last, with nothing left to do.
    pub(crate) fn whole(egress: Egress, bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Self {
            egress,
            bytes,
            length,
            offload: Offload::NONE,
        }
    }
}

/// What became of a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub kind: DecisionKind,
    /// Why it was refused, if it was.
    pub reason: Option<DropReason>,
    /// The virtual subnet in which it was decided.
    pub vsid: Option<Vsid>,
    /// The version of the policy that decided.
    pub version: u64,
}

/// The outcomes, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    /// Handed to a port.
    Delivered,
    /// Sent into the provider network.
    Transmitted,
    /// Copied for many.
    Replicated,
    /// Answered.
    Replied,
    /// Left to the caller, for this reason.
    Punted(Punt),
    /// Waiting for a next hop.
    Held,
    /// Thrown away.
    Dropped,
}

impl DecisionKind {
    /// The name of the outcome in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Transmitted => "transmitted",
            Self::Replicated => "replicated",
            Self::Replied => "replied",
            Self::Punted(_) => "punted",
            Self::Held => "held",
            Self::Dropped => "dropped",
        }
    }

    /// Whose a punted frame is, or why.
    pub const fn punt_name(&self) -> Option<&'static str> {
        match self {
            Self::Punted(Punt::NotOurs) => Some("not_ours"),
            Self::Punted(Punt::HostStack) => Some("host_stack"),
            Self::Punted(Punt::NotVirtualised) => Some("not_virtualised"),
            Self::Punted(Punt::Uncovered { .. }) => Some("uncovered"),
            Self::Punted(Punt::Neighbour { .. }) => Some("neighbour"),
            Self::Punted(Punt::Reachable { .. }) => Some("reachable"),
            Self::Punted(Punt::ListenerQuery { .. }) => Some("listener_query"),
            Self::Punted(Punt::AddressConflict { .. }) => Some("address_conflict"),
            Self::Punted(Punt::PathMtu { .. }) => Some("path_mtu"),
            Self::Punted(_) => Some("other"),
            _ => None,
        }
    }
}

/// The switch of one host.
#[derive(Debug)]
pub struct Switch {
    policies: Policies<'static>,
    worker: Worker<'static>,
    held: HeldFrames,
    /// Frames are edited here; they begin behind [`HEADROOM`] bytes.
    buffer: Vec<u8>,
    released: u64,
}

impl Switch {
    /// A switch with an empty policy.
    pub fn new(policies: Policies<'static>, worker: Worker<'static>) -> Self {
        Self {
            policies,
            worker,
            held: HeldFrames::default(),
            buffer: Vec::new(),
            released: 0,
        }
    }

    /// A switch with room for these changes and some more, and an empty policy still: the changes are yet to be
    /// [applied](Self::apply). See [`Policy::new`] for the seed.
    pub fn with_room_for(changes: &[Change], seed: Seed) -> Self {
        let capacity = HostCapacity::for_changes(changes);
        Self::new(capacity.policies(seed), capacity.worker())
    }

    /// The policy that packets see.
    pub const fn policy(&self) -> &Policy<'static> {
        self.policies.live()
    }

    /// The worker, with its counters.
    pub const fn worker(&self) -> &Worker<'static> {
        &self.worker
    }

    /// Held frames that were sent when their next hop answered.
    pub const fn released(&self) -> u64 {
        self.released
    }

    /// Applies a transaction, and announces the provider addresses that appear with it.
    ///
    /// # Errors
    /// [`Refused`]; the policy is then as it was.
    pub fn apply(
        &mut self,
        transaction: Transaction<'_>,
        sent: &mut Vec<Sent>,
    ) -> Result<(), Refused> {
        let before: Vec<Owned> = self.policy().owned_addresses().collect();
        self.policies.apply(transaction)?;
        for owned in self
            .policies
            .live()
            .owned_addresses()
            .filter(|owned| !before.contains(owned))
        {
            let mut bytes = vec![0; LONGEST_MESSAGE];
            if let Ok(length) = owned.announcement(&mut bytes) {
                bytes.truncate(length);
                sent.push(Sent::whole(Egress::Uplink(owned.uplink), bytes));
            }
        }
        Ok(())
    }

    /// Takes a frame. What leaves the switch because of it, the frame itself or others, is added to `sent`.
    /// `now` is in nanoseconds, from any start.
    pub fn receive(
        &mut self,
        now: u64,
        ingress: Ingress,
        bytes: &[u8],
        sent: &mut Vec<Sent>,
    ) -> Decision {
        self.receive_observed(now, ingress, bytes, bytes.len(), sent, &mut Unobserved)
    }

    /// The same, for a frame of which only the front may be at hand, telling an observer every step.
    pub fn receive_observed(
        &mut self,
        now: u64,
        ingress: Ingress,
        window: &[u8],
        length: usize,
        sent: &mut Vec<Sent>,
        observer: &mut impl Observer,
    ) -> Decision {
        self.expire(now);
        let frame = Frame {
            ingress,
            window,
            length,
            offload: Offload::NONE,
        };
        let since_start = Duration::from_nanos(now);
        let verdict =
            self.worker
                .process_observed(self.policies.live(), &frame, since_start, observer);
        let mut exit = Exit {
            policy: self.policies.live(),
            frame: &frame,
            buffer: &mut self.buffer,
            held: &mut self.held,
            now,
            sent,
        };
        let done = match &verdict.outcome {
            Outcome::Replicate(replication) => {
                exit.replicate(replication, self.worker.counters_mut());
                Ok(())
            }
            _ => exit.carry_out(&verdict),
        };
        let mut decision = Decision {
            kind: DecisionKind::of(&verdict.outcome),
            reason: verdict.reason,
            vsid: verdict.vsid,
            version: self.policies.live().version(),
        };
        if let Err(reason) = done {
            self.worker.counters_mut().lost(&frame, &verdict, reason);
            (decision.kind, decision.reason) = (DecisionKind::Dropped, Some(reason));
        }
        if let DecisionKind::Punted(Punt::Neighbour {
            uplink,
            address,
            mac,
            ..
        }) = decision.kind
            && let Ok(address) = ProviderAddress::new(address)
        {
            self.learn(
                Neighbour {
                    uplink,
                    address,
                    mac,
                },
                sent,
            );
        }
        decision
    }

    /// Drops held frames whose next hop did not answer.
    fn expire(&mut self, now: u64) {
        self.held.expire(self.worker.counters_mut(), now);
    }

    /// Believes a next hop's MAC address if it was asked for, and sends what waited for it.
    fn learn(&mut self, neighbour: Neighbour, sent: &mut Vec<Sent>) {
        let Some(waiting) = self.held.take(neighbour.uplink, neighbour.address.get()) else {
            return;
        };
        let mut encoded = [0; netvirt_core::policy::MAX_CHANGE_LENGTH];
        let mut writer = TransactionWriter::new(&mut encoded);
        // A full neighbour table leaves the next hop unknown; it is asked for again with the next frame.
        if writer.push(&Change::SetNeighbour(neighbour)).is_ok() {
            let _ = self.policies.apply(Transaction::new(writer.finish()));
        }
        for HeldFrame { pieces, is_copy } in waiting {
            self.released += u64::from(!is_copy);
            sent.extend(pieces.into_iter().map(|piece| piece.to(neighbour.mac)));
        }
    }
}

impl DecisionKind {
    /// What a verdict comes to.
    pub(crate) const fn of(outcome: &Outcome<'_>) -> Self {
        match outcome {
            Outcome::Deliver { .. } => Self::Delivered,
            Outcome::Transmit { .. } => Self::Transmitted,
            Outcome::Replicate(_) => Self::Replicated,
            Outcome::Reply(_) => Self::Replied,
            Outcome::Punt(punt) => Self::Punted(*punt),
            Outcome::Hold { .. } => Self::Held,
            _ => Self::Dropped,
        }
    }
}

/// Where one frame leaves, or waits.
struct Exit<'a, 'f> {
    policy: &'a Policy<'static>,
    frame: &'a Frame<'f>,
    buffer: &'a mut Vec<u8>,
    held: &'a mut HeldFrames,
    now: u64,
    sent: &'a mut Vec<Sent>,
}

impl Exit<'_, '_> {
    /// Does what was decided.
    fn carry_out(&mut self, verdict: &Verdict<'_>) -> Result<(), DropReason> {
        let pieces = outgoing(self.policy, verdict, self.frame, self.buffer)?;
        if let Outcome::Hold { path, .. } = &verdict.outcome {
            let is_copy = false;
            self.hold(*path, HeldFrame { pieces, is_copy })
        } else {
            self.sent.extend(pieces);
            Ok(())
        }
    }

    /// Sends every copy of a frame for many, each for itself.
    fn replicate(&mut self, replication: &Replication, counters: &mut Counters<'_>) {
        for replica in replication.copies(self.policy) {
            if self.copy(&replica).is_err() {
                counters.lost_copy(self.frame, replica.port());
            }
        }
    }

    fn copy(&mut self, replica: &Replica<'_>) -> Result<(), DropReason> {
        match replica {
            Replica::Deliver { port, edit } => self.send(Egress::Port(*port), edit),
            Replica::Transmit { uplink, edit } => self.send(Egress::Uplink(*uplink), edit),
            Replica::Hold { path, edit } => {
                let next_hop = self.policy.next_hop(*path).ok_or(DropReason::NoPath)?;
                let egress = Egress::Uplink(next_hop.uplink);
                let pieces = pieces(egress, edit, self.frame, self.buffer)?;
                let is_copy = true;
                self.hold(*path, HeldFrame { pieces, is_copy })
            }
            _ => Ok(()),
        }
    }

    fn send(&mut self, egress: Egress, edit: &Edit<'_>) -> Result<(), DropReason> {
        let pieces = pieces(egress, edit, self.frame, self.buffer)?;
        self.sent.extend(pieces);
        Ok(())
    }

    fn hold(&mut self, path: PathId, frame: HeldFrame) -> Result<(), DropReason> {
        let next_hop = self.policy.next_hop(path).ok_or(DropReason::NoPath)?;
        self.held.keep(&next_hop, frame, self.now, self.sent)
    }
}

/// What a verdict makes of a frame: the edited frame or its fragments, or the answer to it. A frame that is to be held
/// still lacks its destination MAC address. It is edited in `buffer`. The copies of a frame for many are not made here.
pub(crate) fn outgoing(
    policy: &Policy<'_>,
    verdict: &Verdict<'_>,
    frame: &Frame<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Sent>, DropReason> {
    let (egress, edit) = match &verdict.outcome {
        Outcome::Deliver { port, edit } => (Egress::Port(*port), edit),
        Outcome::Transmit { uplink, edit } => (Egress::Uplink(*uplink), edit),
        Outcome::Hold { path, edit } => {
            let next_hop = policy.next_hop(*path).ok_or(DropReason::NoPath)?;
            (Egress::Uplink(next_hop.uplink), edit)
        }
        Outcome::Reply(reply) => return answer(reply, frame).map(|answer| vec![answer]),
        _ => return Ok(vec![]),
    };
    pieces(egress, edit, frame, buffer)
}

/// The edited frame, or its fragments.
fn pieces(
    egress: Egress,
    edit: &Edit<'_>,
    frame: &Frame<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Sent>, DropReason> {
    if edit.fragmentation.is_some() {
        return fragments(egress, edit, frame);
    }
    Ok(vec![Sent {
        egress,
        bytes: edited(edit, frame, buffer)?,
        length: edit.length(),
        offload: edit.offload,
    }])
}

/// The fragments of an edited frame, which must be at hand as a whole.
fn fragments(egress: Egress, edit: &Edit<'_>, frame: &Frame<'_>) -> Result<Vec<Sent>, DropReason> {
    let mut front = [0; DETACHED_ROOM];
    let detached = edit
        .detach(frame.window, &mut front)
        .map_err(|_| DropReason::NoHeadroom)?;
    let mut room = [0; DETACHED_ROOM];
    let mut sent = Vec::new();
    let mut fragments = edit
        .fragments(&front, &detached)
        .ok_or(DropReason::NoHeadroom)?;
    while let Some(piece) = fragments.next_into(&mut room) {
        let payload = frame.window.get(piece.payload);
        let payload = payload.ok_or(DropReason::Truncated)?;
        let bytes = [&room[piece.header], payload].concat();
        sent.push(Sent::whole(egress, bytes));
    }
    Ok(sent)
}

/// Edits a copy of the frame, in place as a device's buffer would be.
fn edited(edit: &Edit<'_>, frame: &Frame<'_>, buffer: &mut Vec<u8>) -> Result<Vec<u8>, DropReason> {
    buffer.clear();
    buffer.resize(HEADROOM, 0);
    buffer.extend_from_slice(frame.window);
    let place = HEADROOM..buffer.len();
    let place = edit
        .apply_in_place(buffer, place)
        .map_err(|_| DropReason::NoHeadroom)?;
    Ok(buffer[place].to_vec())
}

/// Writes an answer, out of where the question came in.
pub(crate) fn answer(reply: &Reply, frame: &Frame<'_>) -> Result<Sent, DropReason> {
    // An error quotes the frame behind headers of its own.
    let mut bytes = vec![0; frame.window.len() + LONGEST_MESSAGE];
    let length = reply
        .emit(frame.window, &mut bytes)
        .map_err(|_| DropReason::Truncated)?;
    bytes.truncate(length);
    let egress = match frame.ingress {
        Ingress::Port(port) => Egress::Port(port),
        Ingress::Uplink(uplink) => Egress::Uplink(uplink),
    };
    Ok(Sent::whole(egress, bytes))
}

/// The question for a next hop's MAC address.
pub(crate) fn solicitation(next_hop: &NextHop) -> Option<Sent> {
    let mut bytes = vec![0; LONGEST_MESSAGE];
    let length = next_hop.solicitation(&mut bytes).ok()?;
    bytes.truncate(length);
    Some(Sent::whole(Egress::Uplink(next_hop.uplink), bytes))
}

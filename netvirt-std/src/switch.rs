//! A host's switch without its devices: frames in, frames out. The devices, or a capture, are the caller's.

use netvirt_core::datapath::{DropReason, Frame, Ingress, Outcome, Punt, Verdict, Worker};
use netvirt_core::edit::HEADROOM;
use netvirt_core::offload::Offload;
use netvirt_core::policy::{
    Change, Neighbour, Policies, Policy, Refused, Transaction, TransactionWriter,
};
use netvirt_core::proxy::{LONGEST_MESSAGE, Owned};
use netvirt_core::trace::{Observer, Unobserved};
use netvirt_core::{PortId, ProviderAddress, UplinkId, Vsid};

use crate::held::{HeldFrames, Kept};

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
    /// Work that is left for whoever takes it.
    pub offload: Offload,
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
            Self::Replied => "replied",
            Self::Punted(_) => "punted",
            Self::Held => "held",
            Self::Dropped => "dropped",
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
                sent.push(Sent {
                    egress: Egress::Uplink(owned.uplink),
                    bytes,
                    offload: Offload::NONE,
                });
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
        let verdict = self
            .worker
            .process_observed(self.policies.live(), &frame, observer);
        let done = carry_out(
            self.policies.live(),
            &verdict,
            &frame,
            &mut self.buffer,
            &mut self.held,
            now,
            sent,
        );
        let mut decision = Decision {
            kind: kind_of(&verdict),
            reason: verdict.reason,
            vsid: verdict.vsid,
            version: self.policies.live().version(),
        };
        if let Err(reason) = done {
            self.worker.counters_mut().lost(&verdict, reason);
            (decision.kind, decision.reason) = (DecisionKind::Dropped, Some(reason));
        }
        if let DecisionKind::Punted(Punt::Neighbour {
            uplink,
            address,
            mac,
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
        for kept in self.held.expire(now) {
            self.worker
                .counters_mut()
                .lost_held(DropReason::NeighbourTimeout);
            drop(kept);
        }
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
        for Kept { mut bytes, offload } in waiting {
            for (to, from) in bytes.iter_mut().zip(neighbour.mac.0) {
                *to = from;
            }
            self.released += 1;
            sent.push(Sent {
                egress: Egress::Uplink(neighbour.uplink),
                bytes,
                offload,
            });
        }
    }
}

fn kind_of(verdict: &Verdict<'_>) -> DecisionKind {
    match verdict.outcome {
        Outcome::Deliver { .. } => DecisionKind::Delivered,
        Outcome::Transmit { .. } => DecisionKind::Transmitted,
        Outcome::Reply(_) => DecisionKind::Replied,
        Outcome::Punt(punt) => DecisionKind::Punted(punt),
        Outcome::Hold { .. } => DecisionKind::Held,
        _ => DecisionKind::Dropped,
    }
}

/// Does what was decided.
fn carry_out(
    policy: &Policy<'_>,
    verdict: &Verdict<'_>,
    frame: &Frame<'_>,
    buffer: &mut Vec<u8>,
    held: &mut HeldFrames,
    now: u64,
    sent: &mut Vec<Sent>,
) -> Result<(), DropReason> {
    match &verdict.outcome {
        Outcome::Deliver { port, edit } => {
            let bytes = edited(edit, frame, buffer)?;
            sent.push(Sent {
                egress: Egress::Port(*port),
                bytes,
                offload: edit.offload,
            });
        }
        Outcome::Transmit { uplink, edit } => {
            let bytes = edited(edit, frame, buffer)?;
            sent.push(Sent {
                egress: Egress::Uplink(*uplink),
                bytes,
                offload: edit.offload,
            });
        }
        Outcome::Hold { path, edit } => {
            let next_hop = policy.next_hop(*path).ok_or(DropReason::NoPath)?;
            let kept = Kept {
                bytes: edited(edit, frame, buffer)?,
                offload: edit.offload,
            };
            if held
                .keep(&next_hop, kept, now)
                .map_err(|_| DropReason::NeighbourQueueFull)?
            {
                let mut bytes = vec![0; LONGEST_MESSAGE];
                let length = next_hop
                    .solicitation(&mut bytes)
                    .map_err(|_| DropReason::NoPath)?;
                bytes.truncate(length);
                sent.push(Sent {
                    egress: Egress::Uplink(next_hop.uplink),
                    bytes,
                    offload: Offload::NONE,
                });
            }
        }
        Outcome::Reply(reply) => {
            let mut bytes = vec![0; frame.window.len().max(LONGEST_MESSAGE)];
            let length = reply
                .emit(frame.window, &mut bytes)
                .map_err(|_| DropReason::Truncated)?;
            bytes.truncate(length);
            let egress = match frame.ingress {
                Ingress::Port(port) => Egress::Port(port),
                Ingress::Uplink(uplink) => Egress::Uplink(uplink),
            };
            sent.push(Sent {
                egress,
                bytes,
                offload: Offload::NONE,
            });
        }
        _ => {}
    }
    Ok(())
}

/// Edits a copy of the frame, in place as a device's buffer would be.
fn edited(
    edit: &netvirt_core::edit::Edit<'_>,
    frame: &Frame<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, DropReason> {
    buffer.clear();
    buffer.resize(HEADROOM, 0);
    buffer.extend_from_slice(frame.window);
    let place = HEADROOM..buffer.len();
    let place = edit
        .apply_in_place(buffer, place)
        .map_err(|_| DropReason::NoHeadroom)?;
    Ok(buffer[place].to_vec())
}

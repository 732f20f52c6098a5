//! What the datapath decided.

use core::net::IpAddr;

use super::reason::DropReason;
use super::replicate::Replication;
use crate::address::{MacAddress, PortId, ProviderAddress, UplinkId, Vsid};
use crate::counters::Events;
use crate::edit::Edit;
use crate::offload::Offload;
use crate::policy::{PathId, Policy, Uncovered};
use crate::proxy::Reply;

/// The decision about one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict<'p> {
    /// What is to happen to the frame.
    pub outcome: Outcome<'p>,
    /// Why it was refused; present if and only if it was dropped or a refusal was answered.
    pub reason: Option<DropReason>,
    /// The virtual subnet in which the frame was decided, if it came that far.
    pub vsid: Option<Vsid>,
    /// What was rare about it.
    pub events: Events,
}

/// What is to happen to a frame. Exactly one of these for every frame received.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Outcome<'p> {
    /// Edit it and hand it to a port of this host.
    Deliver {
        /// The port.
        port: PortId,
        /// What is to be done to the frame first.
        edit: Edit<'p>,
    },
    /// Edit it and send it into the provider network.
    Transmit {
        /// The uplink.
        uplink: UplinkId,
        /// What is to be done to the frame first.
        edit: Edit<'p>,
    },
    /// It is for many: do what each of its [copies](Replication::copies) asks for.
    Replicate(Replication),
    /// Answer it, out of where it came in.
    Reply(Reply),
    /// It is the caller's.
    Punt(Punt),
    /// Edit it and keep it until the next hop's MAC address is known; then write that address over the
    /// first six bytes and send it. It is not to be processed again.
    Hold {
        /// The path it waits for; [`Policy::next_hop`](crate::policy::Policy::next_hop) says whom to ask.
        path: PathId,
        /// What is to be done to the frame first; its destination MAC address is left zero.
        edit: Edit<'p>,
    },
    /// Throw it away, for the reason in the verdict.
    Drop,
}

impl<'p> Verdict<'p> {
    /// What stands in a place for a verdict before there is one.
    pub const UNDECIDED: Self = Self::undecided();

    /// [`Self::UNDECIDED`], written field by field: a constant is copied with all the room that an edit would take.
    #[inline(always)]
    pub(super) const fn undecided() -> Self {
        Self {
            outcome: Outcome::Drop,
            reason: None,
            vsid: None,
            events: Events::NONE,
        }
    }

    /// Refuses the frame without an answer.
    #[inline(always)]
    pub(super) fn refuse(&mut self, reason: DropReason) {
        self.outcome = Outcome::Drop;
        self.reason = Some(reason);
        // What was rare about it does not count beside why it goes no further.
        self.events = Events::NONE;
    }

    /// Leaves the frame to the caller, if it was refused only because the policy does not cover it and the policy says so.
    /// Yields whether it does.
    #[cold]
    pub(super) fn leave_uncovered(&mut self, reason: DropReason, policy: &Policy<'_>) -> bool {
        let is_left = reason.is_uncovered()
            && policy
                .settings()
                .is_some_and(|settings| settings.uncovered == Uncovered::Punt);
        if is_left {
            self.outcome = Outcome::Punt(Punt::Uncovered { reason });
            self.reason = None;
            self.events = Events::NONE;
        }
        is_left
    }

    /// Leaves the work beside the frame as it was received to whoever takes the edited one.
    #[cold]
    #[inline(never)]
    pub(super) fn carry(&mut self, offload: Offload) {
        if let Some((edit, _)) = self.edit_mut() {
            edit.carry(offload);
        }
    }

    /// The edit where it lies, and what was rare. An edit is much to move: what seldom belongs to one is added in its place.
    #[inline(always)]
    pub(super) const fn edit_mut(&mut self) -> Option<(&mut Edit<'p>, &mut Events)> {
        match &mut self.outcome {
            Outcome::Deliver { edit, .. }
            | Outcome::Transmit { edit, .. }
            | Outcome::Hold { edit, .. } => Some((edit, &mut self.events)),
            Outcome::Replicate(_) | Outcome::Reply(_) | Outcome::Punt(_) | Outcome::Drop => None,
        }
    }

    /// The edit, if the frame is to be edited. Each copy of a frame for many has its own.
    pub const fn edit(&self) -> Option<&Edit<'p>> {
        match &self.outcome {
            Outcome::Deliver { edit, .. }
            | Outcome::Transmit { edit, .. }
            | Outcome::Hold { edit, .. } => Some(edit),
            Outcome::Replicate(_) | Outcome::Reply(_) | Outcome::Punt(_) | Outcome::Drop => None,
        }
    }
}

/// Why a frame is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Punt {
    /// From the uplink, and for no provider address of this host.
    NotOurs,
    /// For a provider address of this host, but no tunnel: the business of the host's own stack.
    HostStack,
    /// From a port that is not virtualised.
    NotVirtualised,
    /// The policy does not cover it, and [leaves](crate::policy::Uncovered::Punt) such frames to the caller.
    Uncovered {
        /// What it would have been refused for.
        reason: DropReason,
    },
    /// Another machine of the provider network told its MAC address: an ARP reply or a neighbour
    /// advertisement, heard in the network of the own address whose prefix holds its own. Believe it only if it was
    /// asked for.
    Neighbour {
        /// Where it was heard.
        uplink: UplinkId,
        /// Whose it is.
        address: IpAddr,
        /// The MAC address told.
        mac: MacAddress,
        /// Whether it replaces another MAC address that is known already (RFC 4861 §7.2.5); always so with ARP.
        overriding: bool,
    },
    /// Another machine of the provider network answered this host that it is there, without telling its MAC address
    /// (RFC 4861 §7.2.4).
    Reachable {
        /// Where it was heard.
        uplink: UplinkId,
        /// Whose answer it is.
        address: IpAddr,
    },
    /// A router of the provider network asks which multicast groups are listened to (RFC 3810 §5.1). The answer is a
    /// [listener report](crate::proxy::Owned::listener_report) for each address that the host owns.
    ListenerQuery {
        /// Where it was heard.
        uplink: UplinkId,
    },
    /// Another machine of the provider network uses one of this host's own provider addresses, or is about to use
    /// one that is still tentative here (RFC 5227 §2.1.1 and §2.4, RFC 4862 §5.4).
    AddressConflict {
        /// Where it was heard.
        uplink: UplinkId,
        /// The address that both have.
        address: ProviderAddress,
        /// The other machine's MAC address.
        mac: MacAddress,
    },
    /// A router of the provider network says that a tunnelled packet of this host was too big for the path
    /// (RFC 1191 §3, RFC 8201 §4), and says it so that it can be believed: with a packet that this host may have
    /// sent. [`Change::SetPathMtu`](crate::policy::Change::SetPathMtu) makes it so; it should be forgotten after
    /// some ten minutes.
    PathMtu {
        /// Where the path leads.
        address: ProviderAddress,
        /// The largest packet that it carries, in bytes: less than is known of it.
        mtu: u16,
    },
}

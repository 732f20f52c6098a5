//! Why a frame of a virtual machine goes no further, and whether its sender is told.

use core::time::Duration;

use super::frame::{Frame, Ingress};
use super::job::Job;
use super::reason::DropReason;
use super::verdict::{Outcome, Verdict};
use crate::address::PortId;
use crate::counters::Event;
use crate::limit::PortLimits;
use crate::policy::{Policy, Settings};
use crate::proxy::Reply;
use crate::proxy::icmp::{self, IcmpError, Problem};

/// Why a frame of a virtual machine goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For this reason.
    Because(DropReason),
    /// The path carries packets of this many bytes at most.
    TooBig { mtu: u16 },
}

/// Takes a token for an ICMP error that is told to the machine behind a port.
pub(super) fn may_tell_error(
    settings: &Settings,
    limits: &mut [PortLimits],
    port: PortId,
    now: Duration,
) -> bool {
    limits
        .get_mut(port.index())
        .is_some_and(|limits| limits.errors.take(settings.errors, now))
}

impl From<DropReason> for Refusal {
    #[inline(always)]
    fn from(reason: DropReason) -> Self {
        Self::Because(reason)
    }
}

impl Refusal {
    /// What is counted.
    pub const fn reason(self) -> DropReason {
        match self {
            Self::Because(reason) => reason,
            Self::TooBig { .. } => DropReason::TooBig,
        }
    }

    /// Refuses the frame, and answers it if that is due and the port's limit allows it.
    #[cold]
    #[inline(never)]
    pub fn settle(
        self,
        job: &Job,
        policy: &Policy<'_>,
        frame: &Frame<'_>,
        limits: &mut [PortLimits],
        now: Duration,
        verdict: &mut Verdict<'_>,
    ) {
        verdict.refuse(self.reason());
        if verdict.leave_uncovered(self.reason(), policy) {
            return;
        }
        let (Ingress::Port(port), Some(settings)) = (frame.ingress, policy.settings()) else {
            return;
        };
        let Some(error) = self.answer(job, policy, frame) else {
            return;
        };
        if may_tell_error(settings, limits, port, now) {
            verdict.outcome = Outcome::Reply(Reply::Error(error));
            verdict.events.insert(Event::ErrorSent);
        } else {
            verdict.events.insert(Event::ErrorSuppressed);
        }
    }

    fn answer(self, job: &Job, policy: &Policy<'_>, frame: &Frame<'_>) -> Option<IcmpError> {
        let (Ingress::Port(port), settings) = (frame.ingress, policy.settings()?) else {
            return None;
        };
        let problem = match self {
            Self::Because(reason) => Problem::of(reason, settings)?,
            Self::TooBig { mtu } => Problem::TooBig { mtu },
        };
        icmp::error(
            policy,
            settings,
            policy.port(port)?,
            frame,
            &job.facts,
            problem,
        )
    }
}

//! One worker: its own state, and the passes in which it decides a batch.

use core::slice;
use core::time::Duration;

use managed::ManagedSlice;

use super::frame::{Frame, Ingress};
use super::job::{Job, Stage};
use super::refusal::Refusal;
use super::verdict::{Outcome, Verdict};
use super::{inbound, outbound, replicate, rewrite, tunnel};
use crate::counters::{Counters, Events};
use crate::limit::PortLimits;
use crate::offload::Offload;
use crate::policy::Policy;
use crate::table::{Cpu, Portable};
use crate::trace::{Observer, Unobserved};

/// Frames that one pass takes; more than this many waits for memory do not overlap on any CPU tried.
const BATCH: usize = 32;

/// What one worker owns: counters, what is left of the limits, and room for the frames that it decides at once, which take some
/// 300 bytes each.
#[derive(Debug)]
pub struct Worker<'s, const FRAMES: usize = BATCH> {
    counters: Counters<'s>,
    limits: ManagedSlice<'s, PortLimits>,
    jobs: [Job; FRAMES],
}

impl<'s> Worker<'s> {
    /// A worker that has done nothing yet. `limits` has a place for each port of the policy; ports beyond it are
    /// given nothing that is limited.
    pub const fn new(counters: Counters<'s>, limits: ManagedSlice<'s, PortLimits>) -> Self {
        Self::of_size(counters, limits)
    }
}

impl<'s, const FRAMES: usize> Worker<'s, FRAMES> {
    /// A worker as [`new`](Worker::new) makes it, that decides `FRAMES` at once.
    pub const fn of_size(counters: Counters<'s>, limits: ManagedSlice<'s, PortLimits>) -> Self {
        const { assert!(FRAMES > 0) };
        Self {
            counters,
            limits,
            jobs: [Job::IDLE; FRAMES],
        }
    }

    /// What it counted.
    pub const fn counters(&self) -> &Counters<'s> {
        &self.counters
    }

    /// Where the adapter counts what it could not handle as decided.
    pub const fn counters_mut(&mut self) -> &mut Counters<'s> {
        &mut self.counters
    }

    /// Decides one frame. `now` is the time since any moment that stays the same.
    pub fn process<'p>(
        &mut self,
        policy: &'p Policy<'_>,
        frame: &Frame<'_>,
        now: Duration,
    ) -> Verdict<'p> {
        self.process_observed(policy, frame, now, &mut Unobserved)
    }

    /// Decides one frame and tells the observer how.
    pub fn process_observed<'p>(
        &mut self,
        policy: &'p Policy<'_>,
        frame: &Frame<'_>,
        now: Duration,
        observer: &mut impl Observer,
    ) -> Verdict<'p> {
        let mut verdict = Verdict::undecided();
        self.process_chunk::<Portable>(
            policy,
            slice::from_ref(frame),
            slice::from_mut(&mut verdict),
            now,
            observer,
        );
        verdict
    }

    /// Decides a batch of frames, each for itself, all under one version of the policy and at one time. `verdicts` takes the
    /// decisions in the order of the frames; frames without a place for their verdict are not looked at. Yields how
    /// many were decided.
    pub fn process_batch<'p, C: Cpu>(
        &mut self,
        policy: &'p Policy<'_>,
        frames: &[Frame<'_>],
        verdicts: &mut [Verdict<'p>],
        now: Duration,
    ) -> usize {
        let decided = frames.len().min(verdicts.len());
        let frames = frames.get(..decided).unwrap_or_default();
        for (frames, verdicts) in frames.chunks(FRAMES).zip(verdicts.chunks_mut(FRAMES)) {
            self.process_chunk::<C>(policy, frames, verdicts, now, &mut Unobserved);
        }
        decided
    }

    /// Each pass takes all frames before the next begins, so that their waits for memory overlap.
    #[inline(always)]
    fn process_chunk<'p, C: Cpu>(
        &mut self,
        policy: &'p Policy<'_>,
        frames: &[Frame<'_>],
        verdicts: &mut [Verdict<'p>],
        now: Duration,
        observer: &mut impl Observer,
    ) {
        for frame in frames {
            frame.prefetch::<C>();
        }
        for ((job, frame), verdict) in self.jobs.iter_mut().zip(frames).zip(verdicts.iter_mut()) {
            (verdict.reason, verdict.vsid, verdict.events) = (None, None, Events::NONE);
            let begun = match frame.ingress {
                Ingress::Port(port) => outbound::begin(job, policy, frame, port, verdict, observer),
                Ingress::Uplink(uplink) => {
                    inbound::begin(job, policy, frame, uplink, verdict, observer)
                }
            };
            job.stage = begun.unwrap_or_else(|reason| {
                verdict.refuse(reason);
                verdict.leave_uncovered(reason, policy);
                Stage::Decided
            });
            job.prefetch_tags::<C>(policy);
        }
        for (job, _) in self.jobs.iter_mut().zip(frames) {
            job.match_tags::<C>(policy);
        }
        for (job, _) in self.jobs.iter().zip(frames) {
            job.follow_index::<C>(policy);
        }
        for (job, _) in self.jobs.iter_mut().zip(frames) {
            job.resolve::<C>(policy);
        }
        for (job, _) in self.jobs.iter().zip(frames) {
            job.follow_host::<C>(policy);
        }
        for ((job, frame), verdict) in self.jobs.iter().zip(frames).zip(verdicts) {
            let concluded = match job.stage {
                Stage::Outbound => outbound::conclude(job, policy, frame, verdict, observer),
                Stage::Tunnel => tunnel::conclude(job, policy, frame, verdict, observer)
                    .map_err(Refusal::Because),
                Stage::Rewrite => rewrite::conclude(job, policy, frame, verdict, observer)
                    .and_then(|()| {
                        rewrite::limit_router_errors(policy, &mut self.limits, now, verdict)
                    })
                    .map_err(Refusal::Because),
                Stage::Decided => {
                    if let Outcome::Replicate(_) = verdict.outcome {
                        let (limits, counters) = (&mut self.limits, &mut self.counters);
                        replicate::settle(policy, frame, limits, counters, now, verdict);
                    }
                    Ok(())
                }
            };
            if let Err(refusal) = concluded {
                refusal.settle(job, policy, frame, &mut self.limits, now, verdict);
            }
            if frame.offload != Offload::NONE && job.stage != Stage::Decided {
                verdict.carry(frame.offload);
            }
            let subnet = job.subnet_of(policy, verdict.vsid);
            self.counters.count(frame, verdict, subnet);
        }
    }
}

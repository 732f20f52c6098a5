//! The switch that captured frames are pushed through.

use netvirt_core::UplinkId;
use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{Refused, Transaction};
use netvirt_core::table::Seed;
use netvirt_core::trace::{Observer, Step};
use netvirt_core::wire::Facts;

use super::input::Place;
use super::line::FrameLine;
use crate::capture::CapturedFrame;
use crate::counters::CounterReport;
use crate::policy_file::HostPolicy;
use crate::switch::{Decision, Sent, Switch};

/// Captures tell of the past, so nobody can aim frames at the hash tables; the same input gives the same output.
const SEED: Seed = Seed::new(0, 0);
/// The only uplink that a host has so far.
const UPLINK: UplinkId = UplinkId(0);

/// A host in the midst of a running network: its policy is in force, and its provider addresses were announced
/// long ago. Nothing is known that the policy does not say, and every counter is zero.
#[derive(Debug)]
pub struct Replay<'h> {
    host: &'h HostPolicy,
    switch: Switch,
    frames: u64,
}

/// A frame that went through the switch.
#[derive(Debug)]
pub struct Replayed {
    /// Its place in the order of arrival, counted from 0.
    pub index: u64,
    /// Where it arrived.
    pub place: Place,
    /// What became of it.
    pub decision: Decision,
    /// What its headers say: the inner ones if there is a tunnel. None if they could not be read.
    pub facts: Option<Facts>,
    /// What left the switch because of it.
    pub sent: Vec<Sent>,
}

impl<'h> Replay<'h> {
    /// A host as the policy makes it.
    ///
    /// # Errors
    /// The core refuses the policy.
    pub fn new(host: &'h HostPolicy) -> Result<Self, Refused> {
        let mut switch = Switch::with_room_for(&host.changes, SEED);
        let mut announcements = Vec::new();
        switch.apply(Transaction::new(&host.encode()), &mut announcements)?;
        Ok(Self {
            host,
            switch,
            frames: 0,
        })
    }

    /// The switch.
    pub const fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Pushes a frame through the switch at the time at which it was captured.
    pub fn push(&mut self, place: Place, frame: &CapturedFrame) -> Replayed {
        let mut sent = Vec::new();
        let mut last = LastParsed(None);
        let decision = self.switch.receive_observed(
            frame.timestamp,
            place.ingress(),
            &frame.bytes,
            frame.original_length as usize,
            &mut sent,
            &mut last,
        );
        let index = self.frames;
        self.frames += 1;
        Replayed {
            index,
            place,
            decision,
            facts: last.0,
            sent,
        }
    }

    /// The frame's line in the report.
    pub fn line<'r>(&self, replayed: &'r Replayed) -> FrameLine<'r>
    where
        'h: 'r,
    {
        FrameLine::new(replayed, self.host)
    }

    /// What was counted so far.
    pub fn counters(&self) -> CounterReport {
        let switch = &self.switch;
        CounterReport::new(
            switch.worker().counters(),
            switch.policy(),
            self.host,
            Some(switch.released()),
        )
    }
}

impl Place {
    /// The place as the datapath knows it.
    pub const fn ingress(self) -> Ingress {
        match self {
            Self::Port(port) => Ingress::Port(port),
            Self::Uplink => Ingress::Uplink(UPLINK),
        }
    }
}

/// Remembers what the last header that was read says.
struct LastParsed(Option<Facts>);

impl Observer for LastParsed {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        if let Step::Parsed(facts) = step() {
            self.0 = Some(facts);
        }
    }
}

//! A host in memory whose every decision is entered in the books a second time.

use std::time::Duration;

use netvirt_core::counters::{Counters, Event, PortCounters, SubnetCounters, Totals};
use netvirt_core::datapath::*;
use netvirt_core::edit::DETACHED_ROOM;
use netvirt_core::policy::*;
use netvirt_core::{PortId, UplinkId, Vsid};

use crate::support::hosts::{Fate, fate, worker};
use crate::support::{Capacities, apply};

/// Ports beyond these have no counters.
const PORTS: u32 = 64;

/// One host: its policy, one worker, and the virtual subnets it knows.
pub struct Host {
    pub policies: Policies<'static>,
    /// What time it is, since a moment of no importance.
    pub now: Duration,
    worker: Worker<'static>,
    vsids: Vec<Vsid>,
}

impl Host {
    pub fn new(changes: &[Change], capacities: &Capacities) -> Self {
        let vsids = changes.iter().filter_map(|change| match change {
            Change::AddSubnet { vsid, .. } => Some(*vsid),
            _ => None,
        });
        let mut policies = capacities.policies();
        apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
        Self {
            policies,
            now: Duration::ZERO,
            worker: worker(),
            vsids: vsids.collect(),
        }
    }

    /// As if it had never seen a frame.
    pub fn forget(&mut self) {
        self.worker = worker();
        self.now = Duration::ZERO;
    }

    pub fn take_from_port(&mut self, port: u32, frame: &[u8]) -> Fate {
        self.decide(&Frame::whole(Ingress::Port(PortId(port)), frame))
    }

    pub fn take_from_uplink(&mut self, frame: &[u8]) -> Fate {
        self.decide(&Frame::whole(Ingress::Uplink(UplinkId(0)), frame))
    }

    /// Decides a frame that lies whole in its window, checks the books, and does what was decided.
    pub fn decide(&mut self, frame: &Frame<'_>) -> Fate {
        let before = Books::of(self);
        let verdict = self.worker.process(self.policies.live(), frame, self.now);
        check_books(before, &verdict, frame, self);
        fate(self.policies.live(), &verdict, frame.window)
    }

    /// Decides a frame of which only a part lies in its window, or whose length lies: nothing may panic.
    pub fn endure(&mut self, frame: &Frame<'_>) {
        let before = Books::of(self);
        let verdict = self.worker.process(self.policies.live(), frame, self.now);
        check_books(before, &verdict, frame, self);
        if let Some(edit) = verdict.edit() {
            let mut buffer = vec![0; 80 + frame.window.len()];
            let end = buffer.len();
            let _ = edit.apply_in_place(&mut buffer, 80..end);
            let _ = edit.apply_into(frame.window, &mut buffer);
            let _ = edit.detach(frame.window, &mut [0; DETACHED_ROOM]);
        }
        if let Outcome::Reply(reply) = &verdict.outcome {
            let _ = reply.emit(frame.window, &mut [0; 400]);
        }
    }
}

/// Everything that a host counts.
#[derive(Debug, Clone, PartialEq)]
struct Books {
    totals: Totals,
    reasons: Vec<u64>,
    ports: Vec<PortCounters>,
    subnets: Vec<SubnetCounters>,
}

impl Books {
    fn of(host: &Host) -> Self {
        let counters: &Counters<'_> = host.worker.counters();
        let reasons = DropReason::ALL.iter();
        let policy = host.policies.live();
        Self {
            totals: *counters.totals(),
            reasons: reasons.map(|reason| counters.refused(*reason)).collect(),
            ports: (0..PORTS).map(|port| counters.port(PortId(port))).collect(),
            subnets: host
                .vsids
                .iter()
                .map(|vsid| counters.subnet(policy, *vsid))
                .collect(),
        }
    }

    /// Enters what one frame is to be counted as. False if it is an outcome whose entries are not known here.
    fn enter(&mut self, verdict: &Verdict<'_>, frame: &Frame<'_>, vsids: &[Vsid]) -> bool {
        let bytes = frame.length as u64;
        self.totals.received += 1;
        let total = match verdict.outcome {
            Outcome::Deliver { .. } => &mut self.totals.delivered,
            Outcome::Transmit { .. } => &mut self.totals.transmitted,
            Outcome::Reply(_) => &mut self.totals.replied,
            Outcome::Punt(_) => &mut self.totals.punted,
            Outcome::Hold { .. } => &mut self.totals.held,
            Outcome::Drop => &mut self.totals.dropped,
            _ => return false,
        };
        *total += 1;
        let refused = u64::from(verdict.reason.is_some());
        if let Some(reason) = verdict.reason {
            let place = DropReason::ALL.iter().position(|other| *other == reason);
            self.reasons[place.unwrap()] += 1;
        }
        if let Ingress::Port(port) = frame.ingress
            && let Some(port) = self.ports.get_mut(port.0 as usize)
        {
            port.received.frames += 1;
            port.received.bytes = port.received.bytes.wrapping_add(bytes);
            port.refused += refused;
        }
        if let Outcome::Deliver { port, .. } = verdict.outcome {
            let port = &mut self.ports[port.0 as usize];
            port.delivered.frames += 1;
            port.delivered.bytes = port.delivered.bytes.wrapping_add(bytes);
        }
        let place = vsids.iter().position(|vsid| Some(*vsid) == verdict.vsid);
        if let Some(subnet) = place.map(|place| &mut self.subnets[place]) {
            let tally = match frame.ingress {
                Ingress::Port(_) => &mut subnet.sent,
                Ingress::Uplink(_) => &mut subnet.received,
            };
            tally.frames += 1;
            tally.bytes = tally.bytes.wrapping_add(bytes);
            subnet.refused += refused;
        }
        true
    }
}

/// Every frame is counted once, and every refusal for one reason.
fn check_books(mut expected: Books, verdict: &Verdict<'_>, frame: &Frame<'_>, host: &Host) {
    let found = Books::of(host);
    assert!(found.totals.add_up(), "{:?}", found.totals);
    let told = host.worker.counters().event(Event::ErrorSent);
    let refused: u64 = found.reasons.iter().sum();
    assert_eq!(refused, found.totals.dropped + told, "{verdict:?}");
    if matches!(verdict.outcome, Outcome::Drop) {
        assert!(verdict.reason.is_some(), "{verdict:?}");
    }
    if expected.enter(verdict, frame, &host.vsids) {
        // The place of a subnet's counters may only now have become its own, which does not show in what it counted.
        let tallies = |books: &Books| -> Vec<_> {
            let subnets = books.subnets.iter();
            subnets
                .map(|subnet| (subnet.sent, subnet.received, subnet.refused))
                .collect()
        };
        assert_eq!(found.totals, expected.totals, "{verdict:?}");
        assert_eq!(found.reasons, expected.reasons, "{verdict:?}");
        assert_eq!(found.ports, expected.ports, "{verdict:?}");
        assert_eq!(tallies(&found), tallies(&expected), "{verdict:?}");
    }
}

//! The accounts: every datagram is booked in the phase in which it was sent.

use std::io;
use std::net::SocketAddr;

use crate::datagram::Header;
use crate::plan::{Flow, Plan};

/// Misdelivered datagrams of a phase of which standard error tells each.
const TOLD: u64 = 10;

/// A stretch of the run between two marks.
#[derive(Debug, Default)]
pub struct Phase {
    pub name: String,
    /// Loss is expected.
    pub may_lose: bool,
    /// The sequence number with which each flow entered it.
    first: Vec<u64>,
    pub rounds: u64,
    /// Rounds that were left out because the ledger itself was not let run in time.
    pub skipped: u64,
    pub sent: u64,
    /// Datagrams that the sender's own kernel refused, and what it said last.
    pub unsent: u64,
    pub refusal: String,
    pub received: u64,
    pub duplicated: u64,
    /// Overtaken by a later one.
    pub reordered: u64,
    /// Came to another endpoint, from another source or with another tenant's token than it must.
    pub misdelivered: u64,
    /// Not what was sent by this run.
    pub corrupt: u64,
    /// Sent where nothing may arrive.
    pub probes: u64,
    pub gap: Gap,
    /// From sending to arrival, in nanoseconds.
    pub longest_delay: u64,
}

/// The longest time in which nothing of a flow arrived, in nanoseconds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Gap {
    pub flow: String,
    pub arrivals: u64,
    /// The time between the sending of the same two datagrams.
    pub sendings: u64,
}

impl Phase {
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Whether all went as it must.
    pub fn is_good(&self) -> bool {
        let must_be_none = [self.misdelivered, self.corrupt, self.duplicated];
        let lost = self.lost() + self.unsent;
        must_be_none == [0; 3] && (self.may_lose || lost == 0)
    }

    fn see_gap(&mut self, flow: &Flow, arrivals: u64, sendings: u64) {
        if arrivals > self.gap.arrivals {
            self.gap = Gap {
                flow: flow.name.clone(),
                arrivals,
                sendings,
            };
        }
    }
}

/// What is known of a flow.
#[derive(Debug, Default)]
struct Account {
    /// The next sequence number to send.
    next: u64,
    last_sent: u64,
    /// One bit for each sequence number that arrived.
    arrived: Vec<u64>,
    highest: Option<u64>,
    last: Moment,
}

/// When a datagram was sent and when it arrived, in nanoseconds since 1970.
#[derive(Debug, Default, Clone, Copy)]
struct Moment {
    sent: u64,
    arrival: u64,
}

/// The ledger.
#[derive(Debug)]
pub struct Book {
    run: u64,
    length: usize,
    plan: Plan,
    accounts: Vec<Account>,
    phases: Vec<Phase>,
}

impl Book {
    /// `run` tells the datagrams of this run, all of `length` bytes, from those of others.
    pub fn new(plan: Plan, run: u64, length: usize) -> Self {
        let accounts = plan.flows.iter().map(|_| Account::default()).collect();
        let mut book = Self {
            run,
            length,
            plan,
            accounts,
            phases: Vec::new(),
        };
        // Neighbours are found.
        book.begin("start", true);
        book
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Begins a phase.
    pub fn begin(&mut self, name: &str, may_lose: bool) {
        self.phases.push(Phase {
            name: name.into(),
            may_lose,
            first: self.accounts.iter().map(|account| account.next).collect(),
            ..Phase::default()
        });
    }

    /// The phase that was begun last.
    pub fn current(&mut self) -> &mut Phase {
        self.phases.last_mut().expect("a book begins with a phase")
    }

    /// The header of the next datagram of a flow.
    pub fn next(&self, flow: usize, started: u64, now: u64) -> Header {
        Header {
            run: self.run,
            token: self.plan.flows[flow].token,
            flow: flow as u64,
            sequence: self.accounts[flow].next,
            started,
            sent: now,
        }
    }

    /// The datagram was handed to the kernel.
    pub fn sent(&mut self, header: &Header) {
        let flow = header.flow as usize;
        self.accounts[flow].next += 1;
        self.accounts[flow].last_sent = header.sent;
        if self.plan.flows[flow].is_probe {
            self.current().probes += 1;
        } else {
            self.current().sent += 1;
        }
    }

    /// The kernel did not take a datagram of the flow.
    pub fn refused(&mut self, flow: usize, why: &io::Error) {
        if !self.plan.flows[flow].is_probe {
            let phase = self.current();
            phase.unsent += 1;
            phase.refusal = why.to_string();
        }
    }

    /// A datagram arrived at an endpoint.
    pub fn arrived(&mut self, endpoint: usize, source: SocketAddr, bytes: &[u8], arrival: u64) {
        let header = Header::read(bytes, self.length).filter(|header| self.was_sent(header));
        let Some(header) = header else {
            self.current().corrupt += 1;
            return;
        };
        let flow = header.flow as usize;
        let (plan, account) = (&self.plan.flows[flow], &mut self.accounts[flow]);
        let after = self
            .phases
            .partition_point(|phase| phase.first[flow] <= header.sequence);
        let phase = &mut self.phases[after - 1];

        let is_right = endpoint == plan.to
            && source == plan.source
            && header.token == self.plan.token_at(endpoint)
            && !plan.is_probe;
        if !is_right {
            if phase.misdelivered < TOLD {
                let (name, endpoint) = (&plan.name, &self.plan.endpoints[endpoint].name);
                eprintln!(
                    "misdelivered: number {} of {name} came to {endpoint} from {source} in phase {}",
                    header.sequence, phase.name
                );
            }
            phase.misdelivered += 1;
        } else if account.has_seen(header.sequence) {
            phase.duplicated += 1;
        } else {
            phase.received += 1;
            phase.reordered += u64::from(account.highest > Some(header.sequence));
            let since = account.last.not_before(header.started);
            phase.see_gap(
                plan,
                arrival.saturating_sub(since.arrival),
                header.sent.saturating_sub(since.sent),
            );
            phase.longest_delay = phase.longest_delay.max(arrival.saturating_sub(header.sent));
            account.see(&header, arrival);
        }
    }

    fn was_sent(&self, header: &Header) -> bool {
        let account = usize::try_from(header.flow)
            .ok()
            .and_then(|flow| self.accounts.get(flow));
        header.run == self.run && account.is_some_and(|account| header.sequence < account.next)
    }

    /// Whether nothing is under way any more.
    pub fn is_settled(&self) -> bool {
        self.phases.iter().all(|phase| phase.lost() == 0)
    }

    /// Books the gaps that no arrival ended.
    pub fn close(&mut self) {
        for (flow, account) in self.plan.flows.iter().zip(&self.accounts) {
            let phase = self.phases.last_mut().filter(|_| !flow.is_probe);
            let silence = account.last_sent.saturating_sub(account.last.arrival);
            if let Some(phase) = phase
                && account.last.arrival > 0
            {
                phase.see_gap(flow, silence, account.last_sent - account.last.sent);
            }
        }
    }
}

impl Account {
    fn has_seen(&self, sequence: u64) -> bool {
        let word = self.arrived.get(sequence as usize / 64);
        word.is_some_and(|word| word & 1 << (sequence % 64) != 0)
    }

    fn see(&mut self, header: &Header, arrival: u64) {
        let word = header.sequence as usize / 64;
        if self.arrived.len() <= word {
            self.arrived.resize(word + 1, 0);
        }
        self.arrived[word] |= 1 << (header.sequence % 64);
        self.highest = self.highest.max(Some(header.sequence));
        self.last = Moment {
            sent: header.sent,
            arrival,
        };
    }
}

impl Moment {
    /// The later of this moment and one in which a flow started.
    fn not_before(self, started: u64) -> Self {
        if self.arrival >= started {
            self
        } else {
            Self {
                sent: started,
                arrival: started,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Endpoint;

    const MS: u64 = 1_000_000;
    const LENGTH: usize = 128;

    /// blue-1 and blue-2 send to each other, red-2 has the address of blue-2.
    fn book() -> Book {
        let endpoints = [
            "blue-1,blue,a,10.0.0.5",
            "blue-2,blue,b,10.0.0.7",
            "red-2,red,c,10.0.0.7",
        ];
        let endpoints: Vec<Endpoint> = endpoints.map(|text| text.parse().unwrap()).into();
        let mut plan = Plan {
            endpoints,
            flows: Vec::new(),
        };
        plan.add_flow(0, 1, 9, false);
        plan.add_flow(1, 0, 9, false);
        plan.add_flow(0, 2, 9, true);
        let mut book = Book::new(plan, 77, LENGTH);
        book.begin("steady", false);
        book
    }

    fn send(book: &mut Book, flow: usize, at: u64) -> [u8; LENGTH] {
        let mut datagram = [0; LENGTH];
        let header = book.next(flow, 1000 * MS, at);
        header.write(&mut datagram);
        book.sent(&header);
        datagram
    }

    fn arrive(book: &mut Book, endpoint: usize, datagram: &[u8], at: u64) {
        let source = book.plan().flows[0].source;
        book.arrived(endpoint, source, datagram, at);
    }

    #[test]
    fn what_arrives_is_received_once() {
        let mut book = book();
        let datagram = send(&mut book, 0, 1000 * MS);
        assert!(!book.is_settled());
        arrive(&mut book, 1, &datagram, 1001 * MS);
        assert!(book.is_settled() && book.current().is_good());
        arrive(&mut book, 1, &datagram, 1001 * MS);
        let phase = book.current();
        assert_eq!((phase.sent, phase.received, phase.duplicated), (1, 1, 1));
        assert!(!phase.is_good());
    }

    #[test]
    fn a_datagram_belongs_to_the_phase_in_which_it_was_sent() {
        let mut book = book();
        let early = send(&mut book, 0, 1000 * MS);
        let _lost = send(&mut book, 0, 1001 * MS);
        book.begin("change", true);
        let late = send(&mut book, 0, 1002 * MS);
        arrive(&mut book, 1, &late, 1003 * MS);
        arrive(&mut book, 1, &early, 1004 * MS);
        let [_, steady, change] = book.phases() else {
            panic!("three phases")
        };
        assert_eq!(
            (
                steady.sent,
                steady.received,
                steady.lost(),
                steady.reordered
            ),
            (2, 1, 1, 1)
        );
        assert_eq!(
            (
                change.sent,
                change.received,
                change.lost(),
                change.reordered
            ),
            (1, 1, 0, 0)
        );
        assert!(!steady.is_good() && change.is_good());
    }

    #[test]
    fn the_wrong_place_source_or_tenant_is_misdelivery() {
        let mut book = book();
        let datagram = send(&mut book, 0, 1000 * MS);
        arrive(&mut book, 0, &datagram, 1000 * MS);
        arrive(&mut book, 2, &datagram, 1000 * MS);
        let another = "10.0.0.9:9".parse().unwrap();
        book.arrived(1, another, &datagram, 1000 * MS);
        let probe = send(&mut book, 2, 1000 * MS);
        arrive(&mut book, 2, &probe, 1000 * MS);
        let phase = book.current();
        assert_eq!(
            (phase.misdelivered, phase.received, phase.probes),
            (4, 0, 1)
        );
        assert!(!phase.is_good());
    }

    #[test]
    fn other_contents_are_corrupt() {
        let mut book = book();
        let datagram = send(&mut book, 0, 1000 * MS);
        for place in [0, 30, LENGTH - 1] {
            let mut changed = datagram;
            changed[place] ^= 1;
            arrive(&mut book, 1, &changed, 1000 * MS);
        }
        arrive(&mut book, 1, &datagram[..LENGTH - 1], 1000 * MS);
        assert_eq!((book.current().corrupt, book.current().received), (4, 0));
    }

    #[test]
    fn a_gap_is_the_time_between_arrivals_and_not_a_pause() {
        let mut book = book();
        for (sent, arrival) in [(1000, 1001), (1001, 1041), (1002, 1042)] {
            let datagram = send(&mut book, 0, sent * MS);
            arrive(&mut book, 1, &datagram, arrival * MS);
        }
        let first = Gap {
            flow: "blue-1>blue-2".into(),
            arrivals: 40 * MS,
            sendings: MS,
        };
        assert_eq!(book.current().gap, first);
        assert_eq!(book.current().longest_delay, 40 * MS);

        book.begin("resumed", false);
        let mut datagram = [0; LENGTH];
        let header = book.next(0, 9000 * MS, 9000 * MS);
        header.write(&mut datagram);
        book.sent(&header);
        arrive(&mut book, 1, &datagram, 9003 * MS);
        assert_eq!(
            (book.current().gap.arrivals, book.current().gap.sendings),
            (3 * MS, 0)
        );
    }

    #[test]
    fn silence_at_the_end_is_a_gap() {
        let mut book = book();
        let datagram = send(&mut book, 0, 1000 * MS);
        arrive(&mut book, 1, &datagram, 1001 * MS);
        send(&mut book, 0, 1031 * MS);
        book.close();
        assert_eq!(book.current().gap.arrivals, 30 * MS);
    }
}

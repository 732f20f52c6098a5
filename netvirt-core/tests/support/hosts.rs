//! Hosts in memory, the wire between them, and what they counted.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use managed::ManagedSlice;
use netvirt_core::counters::{Counters, Event, PortCounters, SubnetCounters, Tally};
use netvirt_core::datapath::*;
use netvirt_core::edit::{DETACHED_ROOM, Edit, HEADROOM};
use netvirt_core::limit::PortLimits;
use netvirt_core::offload::Offload;
use netvirt_core::policy::*;
use netvirt_core::proxy::Reply;
use netvirt_core::*;

use super::network::Network;

const PORTS: u32 = 64;

/// What became of a frame, with everything done that was to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    Delivered(PortId, Vec<u8>),
    Transmitted(UplinkId, Vec<u8>),
    /// Transmitted in several pieces.
    Fragmented(UplinkId, Vec<Vec<u8>>),
    Held(NextHop, Vec<u8>),
    /// Each copy as if it were a frame of its own.
    Replicated(Vec<Fate>),
    /// Copies that could not be carried.
    Lost(DropReason, u32),
    Replied(Vec<u8>),
    /// Refused, and its sender is told.
    Explained(DropReason, Vec<u8>),
    Punted(Punt),
    Dropped(DropReason),
}

/// One host: its policy and one worker.
pub struct Nve {
    pub policies: Policies<'static>,
    pub worker: Worker<'static>,
    vsids: Vec<Vsid>,
    seen: Ledger,
    /// What was left to do for the last edited frame.
    pub offload: Offload,
    /// The subnet in which the last frame was decided.
    pub vsid: Option<u32>,
    /// What time it is, since a moment of no importance.
    pub now: Duration,
}

pub fn worker() -> Worker<'static> {
    worker_of_size()
}

pub fn worker_of_size<const FRAMES: usize>() -> Worker<'static, FRAMES> {
    Worker::of_size(
        Counters::new(
            ManagedSlice::Owned(vec![PortCounters::ZERO; PORTS as usize]),
            ManagedSlice::Owned(vec![SubnetCounters::ZERO; 64]),
        ),
        ManagedSlice::Owned(vec![PortLimits::FULL; PORTS as usize]),
    )
}

impl Nve {
    pub fn new(changes: &[Change]) -> Self {
        let vsids = changes
            .iter()
            .filter_map(|change| match change {
                Change::AddSubnet { vsid, .. } => Some(*vsid),
                _ => None,
            })
            .collect();
        Self {
            policies: super::policies_of(changes),
            worker: worker(),
            vsids,
            seen: Ledger::default(),
            offload: Offload::NONE,
            vsid: None,
            now: Duration::ZERO,
        }
    }

    pub fn apply(&mut self, changes: &[Change]) {
        super::apply(&mut self.policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
    }

    pub fn take_from_port(&mut self, port: u32, frame: &[u8]) -> Fate {
        self.process(&Frame::whole(Ingress::Port(PortId(port)), frame))
    }

    pub fn take_from_uplink(&mut self, frame: &[u8]) -> Fate {
        self.process(&Frame::whole(Ingress::Uplink(UplinkId(0)), frame))
    }

    /// Decides a frame that lies whole in its window and does what was decided.
    pub fn process(&mut self, frame: &Frame<'_>) -> Fate {
        let verdict = self.worker.process(self.policies.live(), frame, self.now);
        self.vsid = verdict.vsid.map(Vsid::get);
        if let Some(edit) = verdict.edit() {
            self.offload = edit.offload;
        }
        let is_explained = matches!(verdict.outcome, Outcome::Reply(Reply::Error(_)));
        let is_refused = is_explained || matches!(verdict.outcome, Outcome::Drop);
        assert_eq!(verdict.reason.is_some(), is_refused, "{verdict:?}");
        fate(self.policies.live(), &verdict, frame.window)
    }

    /// What was counted since this was asked before, in words.
    pub fn counted(&mut self) -> String {
        let now = self.ledger();
        let before = std::mem::replace(&mut self.seen, now.clone());
        now.since(&before)
    }

    fn ledger(&self) -> Ledger {
        Ledger::of(self.worker.counters(), self.policies.live(), &self.vsids)
    }
}

impl Drop for Nve {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let counters = self.worker.counters();
        assert!(counters.totals().add_up(), "{:?}", counters.totals());
        let refused: u64 = DropReason::ALL
            .iter()
            .map(|reason| counters.refused(*reason))
            .sum();
        assert_eq!(
            refused,
            counters.totals().dropped + counters.event(Event::ErrorSent),
            "one reason for each frame that was refused"
        );
    }
}

/// Does what was decided.
pub fn fate(policy: &Policy<'_>, verdict: &Verdict<'_>, frame: &[u8]) -> Fate {
    match &verdict.outcome {
        Outcome::Deliver { port, edit } => Fate::Delivered(*port, edited(edit, frame)),
        Outcome::Transmit { uplink, edit } if edit.fragmentation.is_some() => {
            Fate::Fragmented(*uplink, fragments(edit, frame))
        }
        Outcome::Transmit { uplink, edit } => Fate::Transmitted(*uplink, edited(edit, frame)),
        Outcome::Hold { path, edit } => {
            Fate::Held(policy.next_hop(*path).unwrap(), edited(edit, frame))
        }
        Outcome::Reply(reply) => {
            let mut out = vec![0xaa; 2048];
            let length = reply.emit(frame, &mut out).unwrap();
            out.truncate(length);
            match verdict.reason {
                Some(reason) => Fate::Explained(reason, out),
                None => Fate::Replied(out),
            }
        }
        Outcome::Replicate(replication) => Fate::Replicated(
            replication
                .copies(policy)
                .map(|replica| match replica {
                    Replica::Deliver { port, edit } => Fate::Delivered(port, edited(&edit, frame)),
                    Replica::Transmit { uplink, edit } if edit.fragmentation.is_some() => {
                        Fate::Fragmented(uplink, fragments(&edit, frame))
                    }
                    Replica::Transmit { uplink, edit } => {
                        Fate::Transmitted(uplink, edited(&edit, frame))
                    }
                    Replica::Hold { path, edit } => {
                        Fate::Held(policy.next_hop(path).unwrap(), edited(&edit, frame))
                    }
                    Replica::Lost { reason, copies } => Fate::Lost(reason, copies),
                    other => panic!("{other:?}"),
                })
                .collect(),
        ),
        Outcome::Punt(punt) => Fate::Punted(*punt),
        Outcome::Drop => Fate::Dropped(verdict.reason.unwrap()),
        other => panic!("{other:?}"),
    }
}

/// The frame after the edit. The three forms of doing it must agree.
pub fn edited(edit: &Edit<'_>, frame: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0xaa; HEADROOM];
    buffer.extend(frame);
    buffer.extend([0xbb; 8]);
    let range = edit
        .apply_in_place(&mut buffer, HEADROOM..HEADROOM + frame.len())
        .unwrap();
    let in_place = buffer[range].to_vec();
    assert_eq!(buffer[HEADROOM + frame.len()..], [0xbb; 8]);

    let mut out = vec![0xaa; edit.length()];
    assert_eq!(edit.apply_into(frame, &mut out), Ok(edit.length()));
    assert_eq!(out, in_place, "into another buffer and in place, {edit:?}");

    let mut room = [0xaa; DETACHED_ROOM];
    let detached = edit.detach(frame, &mut room).unwrap();
    let gathered = [&room[detached.header], &frame[detached.payload]].concat();
    assert_eq!(gathered, in_place, "detached and in place, {edit:?}");
    in_place
}

/// The fragments that an edit makes of a frame.
pub fn fragments(edit: &Edit<'_>, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut front = [0xaa; DETACHED_ROOM];
    let detached = edit.detach(frame, &mut front).unwrap();
    let mut fragments = edit.fragments(&front, &detached).unwrap();
    let mut room = [0xbb; DETACHED_ROOM];
    let pieces = std::iter::from_fn(|| {
        let piece = fragments.next_into(&mut room)?;
        Some([&room[piece.header], &frame[piece.payload]].concat())
    });
    pieces.collect()
}

/// Everything that is counted, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ledger(BTreeMap<(usize, String), u64>);

impl Ledger {
    fn of(counters: &Counters<'_>, policy: &Policy<'_>, vsids: &[Vsid]) -> Self {
        let mut ledger = Self::default();
        let totals = counters.totals();
        let mut note = |order, name: String, value| {
            ledger.0.insert((order, name), value);
        };
        note(0, "received".into(), totals.received);
        note(1, "delivered".into(), totals.delivered);
        note(1, "transmitted".into(), totals.transmitted);
        note(1, "replicated".into(), totals.replicated);
        note(1, "replied".into(), totals.replied);
        note(1, "punted".into(), totals.punted);
        note(1, "held".into(), totals.held);
        note(1, "dropped".into(), totals.dropped);
        for reason in DropReason::ALL {
            note(2, reason.name().into(), counters.refused(*reason));
        }
        for event in Event::ALL {
            note(2, event.name().into(), counters.event(*event));
        }
        let mut tally = |order, name: String, tally: Tally| {
            note(order, name.clone(), tally.frames);
            note(order, format!("{name} bytes"), tally.bytes);
        };
        for port in 0..PORTS {
            let counted = counters.port(PortId(port));
            tally(3, format!("port {port} in"), counted.received);
            tally(3, format!("port {port} out"), counted.delivered);
        }
        for vsid in vsids {
            let counted = counters.subnet(policy, *vsid);
            tally(4, format!("{vsid} sent"), counted.sent);
            tally(4, format!("{vsid} received"), counted.received);
        }
        for port in 0..PORTS {
            note(
                3,
                format!("port {port} refused"),
                counters.port(PortId(port)).refused,
            );
        }
        for vsid in vsids {
            note(
                4,
                format!("{vsid} refused"),
                counters.subnet(policy, *vsid).refused,
            );
        }
        ledger
    }

    /// "received 1, dropped 1, mac_spoof 1, port 0 in 1, port 0 in bytes 60, …": all that changed.
    fn since(&self, before: &Self) -> String {
        let mut text = String::new();
        for (name, now) in &self.0 {
            let change = now - before.0.get(name).copied().unwrap_or(0);
            if change != 0 {
                let separator = if text.is_empty() { "" } else { ", " };
                write!(text, "{separator}{} {change}", name.1).unwrap();
            }
        }
        text
    }
}

/// How a frame from a port is counted, in the words of [`Nve::counted`].
pub fn counted_from_port(outcome: &str, port: u32, vsid: u32, bytes: usize) -> String {
    format!(
        "received 1, {outcome} 1, port {port} in 1, port {port} in bytes {bytes}, \
         {vsid} sent 1, {vsid} sent bytes {bytes}"
    )
}

/// How a frame that goes from one port to another is counted.
pub fn counted_between(from: u32, to: u32, vsid: u32, bytes: usize) -> String {
    let mut ports = [
        format!("port {from} in 1, port {from} in bytes {bytes}"),
        format!("port {to} out 1, port {to} out bytes {bytes}"),
    ];
    ports.sort();
    let [first, second] = ports;
    format!("received 1, delivered 1, {first}, {second}, {vsid} sent 1, {vsid} sent bytes {bytes}")
}

/// How a frame from the uplink that goes to a port is counted.
pub fn counted_to_port(port: u32, vsid: u32, bytes: usize) -> String {
    format!(
        "received 1, delivered 1, port {port} out 1, port {port} out bytes {bytes}, \
         {vsid} received 1, {vsid} received bytes {bytes}"
    )
}

/// How a frame from a port that is refused is counted.
pub fn counted_refused(reason: DropReason, port: u32, vsid: u32, bytes: usize) -> String {
    format!(
        "received 1, dropped 1, {reason} 1, port {port} in 1, port {port} in bytes {bytes}, \
         port {port} refused 1, {vsid} refused 1, {vsid} sent 1, {vsid} sent bytes {bytes}"
    )
}

/// How a frame from a port that is refused, and whose sender is told, is counted.
pub fn counted_explained(reason: DropReason, port: u32, vsid: u32, bytes: usize) -> String {
    format!(
        "received 1, replied 1, errors_sent 1, {reason} 1, port {port} in 1, \
         port {port} in bytes {bytes}, port {port} refused 1, {vsid} refused 1, {vsid} sent 1, \
         {vsid} sent bytes {bytes}"
    )
}

/// How a frame from the uplink that is refused is counted; `vsid` if it came as far as a known subnet.
pub fn counted_refused_uplink(reason: DropReason, vsid: Option<u32>, bytes: usize) -> String {
    let subnet = vsid.map_or(String::new(), |vsid| {
        format!(", {vsid} received 1, {vsid} received bytes {bytes}, {vsid} refused 1")
    });
    format!("received 1, dropped 1, {reason} 1{subnet}")
}

impl Nve {
    /// A frame from a port is refused for this reason, and counted so, and nothing else is.
    #[track_caller]
    pub fn refuses(&mut self, port: u32, vsid: u32, frame: &[u8], reason: DropReason) {
        self.counted();
        assert_eq!(self.take_from_port(port, frame), Fate::Dropped(reason));
        assert_eq!(self.vsid, Some(vsid));
        assert_eq!(
            self.counted(),
            counted_refused(reason, port, vsid, frame.len())
        );
    }

    /// A frame from a port is refused for this reason and its sender is told; yields what it is told.
    #[track_caller]
    pub fn explains(&mut self, port: u32, vsid: u32, frame: &[u8], reason: DropReason) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_port(port, frame);
        let Fate::Explained(explained, out) = fate else {
            panic!("not explained but {fate:?}");
        };
        assert_eq!((explained, self.vsid), (reason, Some(vsid)));
        assert_eq!(
            self.counted(),
            counted_explained(reason, port, vsid, frame.len())
        );
        out
    }

    /// A frame from the uplink is refused for this reason, in this subnet if it came so far.
    #[track_caller]
    pub fn refuses_uplink(&mut self, vsid: Option<u32>, frame: &[u8], reason: DropReason) {
        self.counted();
        assert_eq!(self.take_from_uplink(frame), Fate::Dropped(reason));
        assert_eq!(
            self.counted(),
            counted_refused_uplink(reason, vsid, frame.len())
        );
    }

    /// A frame from the uplink is the caller's.
    #[track_caller]
    pub fn punts(&mut self, frame: &[u8], punt: Punt) {
        self.counted();
        assert_eq!(self.take_from_uplink(frame), Fate::Punted(punt));
        assert_eq!(self.counted(), "received 1, punted 1");
    }

    /// A frame from a port leaves for the provider network; yields what left.
    #[track_caller]
    pub fn transmits(&mut self, port: u32, vsid: u32, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_port(port, frame);
        let Fate::Transmitted(UplinkId(0), out) = fate else {
            panic!("not transmitted but {fate:?}");
        };
        assert_eq!(
            self.counted(),
            counted_from_port("transmitted", port, vsid, frame.len())
        );
        out
    }

    /// A frame from the uplink goes to a port of a subnet; yields what was delivered.
    #[track_caller]
    pub fn delivers(&mut self, port: u32, vsid: u32, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_uplink(frame);
        let Fate::Delivered(to, out) = fate else {
            panic!("not delivered but {fate:?}");
        };
        assert_eq!((to, self.vsid), (PortId(port), Some(vsid)));
        assert_eq!(self.counted(), counted_to_port(port, vsid, frame.len()));
        out
    }

    /// An error of a router of the provider network is told to a machine; yields what was delivered.
    #[track_caller]
    pub fn tells(&mut self, port: u32, vsid: u32, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_uplink(frame);
        let Fate::Delivered(to, out) = fate else {
            panic!("not told but {fate:?}");
        };
        assert_eq!((to, self.vsid), (PortId(port), Some(vsid)));
        let counted = counted_to_port(port, vsid, frame.len());
        assert_eq!(
            self.counted(),
            counted.replacen("delivered 1", "delivered 1, router_errors 1", 1)
        );
        out
    }

    /// A frame goes from one port to another of this host; yields what was delivered.
    #[track_caller]
    pub fn switches(&mut self, from: u32, to: u32, vsid: u32, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_port(from, frame);
        let Fate::Delivered(port, out) = fate else {
            panic!("not delivered but {fate:?}");
        };
        assert_eq!(port, PortId(to));
        assert_eq!(self.counted(), counted_between(from, to, vsid, frame.len()));
        out
    }

    /// A frame from a port is answered; yields the answer.
    #[track_caller]
    pub fn replies(&mut self, port: u32, vsid: u32, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_port(port, frame);
        let Fate::Replied(out) = fate else {
            panic!("not answered but {fate:?}");
        };
        assert_eq!(
            self.counted(),
            counted_from_port("replied", port, vsid, frame.len())
        );
        out
    }

    /// A frame from the uplink is answered; yields the answer.
    #[track_caller]
    pub fn replies_uplink(&mut self, frame: &[u8]) -> Vec<u8> {
        self.counted();
        let fate = self.take_from_uplink(frame);
        let Fate::Replied(out) = fate else {
            panic!("not answered but {fate:?}");
        };
        assert_eq!(self.counted(), "received 1, replied 1");
        out
    }
}

/// All hosts of a network, and the wire that joins them.
pub struct Fabric {
    pub hosts: Vec<Nve>,
}

/// What came out of a fabric.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    pub host: usize,
    pub port: PortId,
    pub frame: Vec<u8>,
    /// What the wire carried on the way.
    pub wire: Vec<Vec<u8>>,
}

impl Fabric {
    pub fn new(network: &Network) -> Self {
        let hosts = (1..=network.hosts).map(|host| Nve::new(&network.changes(host)));
        Self {
            hosts: hosts.collect(),
        }
    }

    /// The host of this number, counted from 1.
    pub fn host(&mut self, number: usize) -> &mut Nve {
        &mut self.hosts[number - 1]
    }

    /// Sends a frame from a port and follows it until it arrives or ends.
    pub fn send(&mut self, host: usize, port: u32, frame: &[u8]) -> Result<Arrival, Fate> {
        let fate = self.host(host).take_from_port(port, frame);
        self.follow(host, fate)
    }

    /// Sends a frame for many from a port and follows each copy until it arrives.
    pub fn send_to_all(
        &mut self,
        host: usize,
        port: u32,
        frame: &[u8],
    ) -> Result<Vec<Arrival>, Fate> {
        let copies = match self.host(host).take_from_port(port, frame) {
            Fate::Replicated(copies) => copies,
            other => return Err(other),
        };
        let mut arrivals = vec![];
        for copy in copies {
            match copy {
                Fate::Delivered(port, frame) => arrivals.push(Arrival {
                    host,
                    port,
                    frame,
                    wire: vec![],
                }),
                Fate::Transmitted(UplinkId(0), wire) => {
                    let at = usize::from(wire[5]) / 11;
                    match self.host(at).take_from_uplink(&wire) {
                        Fate::Replicated(copies) => {
                            arrivals.extend(copies.into_iter().map(|copy| {
                                let Fate::Delivered(port, frame) = copy else {
                                    panic!("replicated again: {copy:?}");
                                };
                                Arrival {
                                    host: at,
                                    port,
                                    frame,
                                    wire: vec![wire.clone()],
                                }
                            }))
                        }
                        Fate::Dropped(_) => {}
                        other => panic!("{other:?}"),
                    }
                }
                Fate::Lost(..) | Fate::Held(..) => {}
                other => panic!("{other:?}"),
            }
        }
        Ok(arrivals)
    }

    fn follow(&mut self, mut at: usize, mut fate: Fate) -> Result<Arrival, Fate> {
        let mut wire = vec![];
        loop {
            match fate {
                Fate::Delivered(port, frame) => {
                    return Ok(Arrival {
                        host: at,
                        port,
                        frame,
                        wire,
                    });
                }
                Fate::Transmitted(UplinkId(0), frame) if wire.len() < 8 => {
                    at = usize::from(frame[5]) / 11;
                    fate = self.host(at).take_from_uplink(&frame);
                    wire.push(frame);
                }
                other => return Err(other),
            }
        }
    }
}

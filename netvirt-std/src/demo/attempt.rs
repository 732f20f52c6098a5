//! What machines try, and whether it ends as expected.

use std::net::IpAddr;

use netvirt_core::datapath::DropReason;
use smoltcp::wire::{Icmpv4Message, Icmpv6Message};

use super::DemoError;
use super::judgement::Seen;
use super::network::{Machine, Network};
use super::witness::{Counts, OnWire, Origin, Refusal, Witness, added};
use crate::report::Bytes;

/// Pings that make an attempt.
pub(super) const PINGS: u16 = 3;
/// Part of the script: steps made one after the other.
#[derive(Debug, Clone)]
pub struct Act {
    /// What they show.
    pub title: &'static str,
    /// The steps, each with the attempts that are made at the same time.
    pub steps: Vec<Vec<Attempt>>,
}

/// What came of an act.
#[derive(Debug, Clone)]
pub struct ActReport {
    /// What it shows.
    pub title: &'static str,
    /// What came of every attempt.
    pub findings: Vec<Finding>,
    /// Frames that waited meanwhile because a host did not know a next hop.
    pub held: u64,
    /// Frames by which hosts asked one another for that, and answered.
    pub resolution: u64,
}

/// Something that somebody tries.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which machine; none is an intruder in the provider network.
    pub from: Option<&'static str>,
    /// What it does.
    pub deed: Deed,
    /// What is to come of it.
    pub expected: Expected,
}

/// What somebody does.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Pings an address.
    Ping(IpAddr),
    /// Sends this many bytes by TCP to an address.
    Send(IpAddr, usize),
    /// Puts a frame on the wire as it is, with another inside that tells it from all others.
    Forge {
        /// What it is, for people.
        story: &'static str,
        /// The frame.
        frame: Vec<u8>,
        /// The part by which it is recognised.
        inner: Vec<u8>,
    },
}

/// What is to come of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Every ping is answered.
    Answers,
    /// All bytes arrive at this machine, in order and unchanged.
    Received(&'static str),
    /// It arrives at this machine; an answer may reach the sender, nothing any other.
    OnlyBetween(&'static str),
    /// This host refuses every frame of it, for this reason.
    Refused(&'static str, DropReason),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it ended as expected.
    pub held: bool,
    /// What was tried.
    pub what: String,
    /// What was to come of it.
    pub expected: String,
    /// What came of it.
    pub seen: String,
    /// What was on the wire for it.
    pub wire: String,
}

/// Makes the attempts of an act.
///
/// # Errors
/// The policy lacks a machine, or the network cannot go on.
pub fn make<N: Network>(network: &mut N, act: &Act) -> Result<ActReport, DemoError> {
    let resolution = |network: &N| {
        let wire = &network.witness().wire;
        wire.get(&OnWire::Resolution).copied().unwrap_or(0)
    };
    let (held_before, resolution_before) = (network.held(), resolution(network));
    let mut findings = Vec::new();
    for step in &act.steps {
        findings.extend(make_step(network, step)?);
    }
    Ok(ActReport {
        title: act.title,
        findings,
        held: network.held() - held_before,
        resolution: resolution(network) - resolution_before,
    })
}

/// Makes attempts at the same time.
fn make_step<N: Network>(network: &mut N, attempts: &[Attempt]) -> Result<Vec<Finding>, DemoError> {
    let before = Before::of(network.witness());
    let is_refusal = |attempt: &Attempt| matches!(attempt.expected, Expected::Refused(..));
    let patience = if attempts.iter().all(is_refusal) {
        N::PATIENCE
    } else {
        N::DEADLINE
    };
    let end = network.now() + patience;
    let mut running = Vec::new();
    for (number, attempt) in attempts.iter().enumerate() {
        running.push(Running::begin(network, attempt, number)?);
    }
    loop {
        let moved = network.round()?;
        let mut all_done = true;
        for attempt in &mut running {
            all_done &= attempt.is_over(network, &before);
        }
        if !moved && all_done || network.now() >= end {
            break;
        }
        if !moved {
            network.wait(end)?;
        }
    }
    for machine in running.iter().filter_map(|attempt| attempt.machine) {
        network.machine(machine).close();
    }
    network.settle()?;
    let strays = strays(network);
    let seen = before.until(network.witness(), strays);
    running
        .iter()
        .map(|attempt| attempt.judge(network.cast(), &seen))
        .collect()
}

/// What had been seen before a step.
struct Before {
    refused: Counts<Refusal>,
    arrived: Counts<(Origin, usize)>,
    wire: Counts<OnWire>,
}

impl Before {
    fn of(witness: &Witness) -> Self {
        Self {
            refused: witness.refused.clone(),
            arrived: witness.arrived.clone(),
            wire: witness.wire.clone(),
        }
    }

    fn until(&self, now: &Witness, strays: Vec<String>) -> Seen {
        Seen {
            refused: added(&now.refused, &self.refused),
            arrived: added(&now.arrived, &self.arrived),
            wire: added(&now.wire, &self.wire),
            strays,
        }
    }
}

/// An attempt under way.
pub(super) struct Running<'a> {
    pub attempt: &'a Attempt,
    /// The machine that tries.
    pub machine: Option<usize>,
    /// How far it came.
    pub progress: Progress,
}

pub(super) enum Progress {
    Ping {
        identifier: u16,
        to: IpAddr,
        sent: u16,
        answered: u16,
    },
    Send {
        receiver: Option<usize>,
        content: Vec<u8>,
        sent: usize,
        received: Vec<u8>,
    },
    Forged,
}

impl<'a> Running<'a> {
    fn begin<N: Network>(
        network: &mut N,
        attempt: &'a Attempt,
        number: usize,
    ) -> Result<Self, DemoError> {
        let machine = attempt.from.map(|name| network.cast().machine(name));
        let machine = machine.transpose()?;
        let unable = |error| DemoError::Machine(attempt.from.unwrap_or_default().to_owned(), error);
        let progress = match (&attempt.deed, machine) {
            (Deed::Ping(to), Some(machine)) => {
                let identifier = 0x100 + number as u16;
                let sender = network.machine(machine);
                sender.open_ping(identifier, *to).map_err(unable)?;
                Progress::Ping {
                    identifier,
                    to: *to,
                    sent: 0,
                    answered: 0,
                }
            }
            (Deed::Send(to, bytes), Some(machine)) => {
                let receiver = match attempt.expected {
                    Expected::Received(name) => Some(network.cast().machine(name)?),
                    _ => None,
                };
                let content = content_of(&network.cast().machines[machine].name, *bytes);
                // The port is the same for all that send at the same time.
                let local_port = 40_000 + (network.now().as_millis() % 10_000) as u16;
                let sender = network.machine(machine);
                sender.connect(local_port, *to).map_err(unable)?;
                Progress::Send {
                    receiver,
                    content,
                    sent: 0,
                    received: Vec::new(),
                }
            }
            (Deed::Forge { frame, .. }, Some(machine)) => {
                network.send(machine, frame)?;
                Progress::Forged
            }
            (Deed::Forge { frame, inner, .. }, None) => {
                network.intrude(frame, inner)?;
                Progress::Forged
            }
            (_, None) => return Err(DemoError::Missing("a machine that does it".to_owned())),
        };
        Ok(Self {
            attempt,
            machine,
            progress,
        })
    }

    /// Takes the next step. Says whether there is none.
    fn go_on<N: Network>(&mut self, network: &mut N) -> bool {
        let Some(machine) = self.machine else {
            return true;
        };
        match &mut self.progress {
            Progress::Forged => true,
            Progress::Ping {
                identifier,
                to,
                sent,
                answered,
            } => {
                let name = network.cast().machines[machine].name.clone();
                let sender = network.machine(machine);
                while let Some((message, from)) = sender.receive_icmp() {
                    let expected = echo(false, *to, *identifier, *answered, &name);
                    let is_answer = from == *to && same_echo(&message, &expected);
                    *answered += u16::from(is_answer);
                }
                if *sent == *answered && *sent < PINGS {
                    let request = echo(true, *to, *identifier, *sent, &name);
                    *sent += u16::from(sender.send_icmp(&request));
                }
                *answered == PINGS
            }
            Progress::Send {
                receiver,
                content,
                sent,
                received,
            } => {
                let sender = network.machine(machine);
                if *sent < content.len() {
                    *sent += sender.write(&content[*sent..]);
                }
                if *sent == content.len() {
                    sender.finish_writing();
                }
                let is_over = sender.is_over();
                let Some(receiver) = receiver else {
                    return is_over;
                };
                let receiver = network.machine(*receiver);
                received.extend(receiver.take_received());
                is_over && receiver.is_idle()
            }
        }
    }

    /// Whether what is to come of it has come, or something else has. Where time is free, that can still change.
    fn is_over<N: Network>(&mut self, network: &mut N, before: &Before) -> bool {
        let is_through = self.go_on(network);
        let cast = network.cast();
        let seen = || before.until(network.witness(), Vec::new());
        let is_refused = || !seen().refusals_of(self.tenant(cast)).is_empty();
        let is_final = !N::TIME_IS_FREE;
        match self.attempt.expected {
            Expected::Answers | Expected::Received(_) => is_through || is_final && is_refused(),
            Expected::OnlyBetween(receiver) => {
                let mut places = seen().places().into_iter();
                places.any(|place| cast.machines[place].name == receiver)
                    || is_final && is_refused()
            }
            Expected::Refused(..) => {
                (is_through || is_final) && (is_refused() || !seen().places().is_empty())
            }
        }
    }
}

/// Bytes that servers received which nobody was to send them, in words.
fn strays<N: Network>(network: &mut N) -> Vec<String> {
    let mut strays = Vec::new();
    for number in 0..network.cast().machines.len() {
        let length = network.machine(number).take_received().len();
        if length > 0 {
            let name = &network.cast().machines[number].name;
            strays.push(format!("{} arrived at {name}", Bytes(length)));
        }
    }
    strays
}

/// Bytes that only this machine sends, the same every time.
fn content_of(machine: &str, length: usize) -> Vec<u8> {
    let mut state = machine
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15, |state: u64, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    let mut content = Vec::with_capacity(length + 8);
    while content.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(length);
    content
}

/// An ICMP echo with the sender's name in it. The stack that sends it fills in the checksum.
fn echo(is_request: bool, to: IpAddr, identifier: u16, sequence: u16, name: &str) -> Vec<u8> {
    let kind: u8 = match (to, is_request) {
        (IpAddr::V4(_), true) => Icmpv4Message::EchoRequest.into(),
        (IpAddr::V4(_), false) => Icmpv4Message::EchoReply.into(),
        (IpAddr::V6(_), true) => Icmpv6Message::EchoRequest.into(),
        (IpAddr::V6(_), false) => Icmpv6Message::EchoReply.into(),
    };
    let [identifier_0, identifier_1] = identifier.to_be_bytes();
    let [sequence_0, sequence_1] = sequence.to_be_bytes();
    let mut message = vec![
        kind,
        0,
        0,
        0,
        identifier_0,
        identifier_1,
        sequence_0,
        sequence_1,
    ];
    message.extend_from_slice(format!("this is {name}, to {to}").as_bytes());
    message
}

/// Whether two echos are the same but for their checksums, which the stack verified.
fn same_echo(one: &[u8], other: &[u8]) -> bool {
    one.get(..2) == other.get(..2) && one.get(4..) == other.get(4..)
}

//! What machines try, and whether it ends as expected.

use std::io::Write;
use std::net::IpAddr;

use netvirt_core::datapath::DropReason;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use smoltcp::wire::{Icmpv4Message, Icmpv6Message};

use super::DemoError;
use super::judgement::Seen;
use super::network::Network;
use super::witness::{OnWire, added};
use crate::report::Bytes;

/// Pings that make an attempt.
pub(super) const PINGS: u16 = 3;
/// Simulated nanoseconds after which what is refused counts as refused.
const PATIENCE: u64 = 3_000_000_000;
/// Simulated nanoseconds after which what should work counts as failed.
const DEADLINE: u64 = 60_000_000_000;

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
/// The policy lacks a machine, or the capture cannot be written.
pub fn make<W: Write>(network: &mut Network<W>, act: &Act) -> Result<ActReport, DemoError> {
    let resolution = |network: &Network<W>| {
        network
            .witness
            .wire
            .get(&OnWire::Resolution)
            .copied()
            .unwrap_or(0)
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
fn make_step<W: Write>(
    network: &mut Network<W>,
    attempts: &[Attempt],
) -> Result<Vec<Finding>, DemoError> {
    let refused_before = network.witness.refused.clone();
    let (arrived_before, wire_before) = (
        network.witness.arrived.clone(),
        network.witness.wire.clone(),
    );
    let is_refusal = |attempt: &Attempt| matches!(attempt.expected, Expected::Refused(..));
    let patience = if attempts.iter().all(is_refusal) {
        PATIENCE
    } else {
        DEADLINE
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
            all_done &= attempt.go_on(network);
        }
        if !moved && all_done || network.now() >= end {
            break;
        }
        if !moved {
            network.wait(end);
        }
    }
    for attempt in &running {
        attempt.close(network);
    }
    let seen = Seen {
        refused: added(&network.witness.refused, &refused_before),
        arrived: added(&network.witness.arrived, &arrived_before),
        wire: added(&network.witness.wire, &wire_before),
        strays: strays(network),
    };
    running
        .iter()
        .map(|attempt| attempt.judge(network, &seen))
        .collect()
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
        socket: SocketHandle,
        identifier: u16,
        to: IpAddr,
        sent: u16,
        answered: u16,
    },
    Send {
        socket: SocketHandle,
        receiver: Option<usize>,
        content: Vec<u8>,
        sent: usize,
        received: Vec<u8>,
    },
    Forged,
}

impl<'a> Running<'a> {
    fn begin<W: Write>(
        network: &mut Network<W>,
        attempt: &'a Attempt,
        number: usize,
    ) -> Result<Self, DemoError> {
        let machine = attempt.from.map(|name| network.machine(name)).transpose()?;
        let unable = || DemoError::Machine(attempt.from.unwrap_or("an intruder").to_owned());
        let progress = match (&attempt.deed, machine) {
            (Deed::Ping(to), Some(machine)) => {
                let identifier = 0x100 + number as u16;
                let socket = network.machines[machine]
                    .open_ping(identifier)
                    .ok_or_else(unable)?;
                Progress::Ping {
                    socket,
                    identifier,
                    to: *to,
                    sent: 0,
                    answered: 0,
                }
            }
            (Deed::Send(to, bytes), Some(machine)) => {
                let receiver = match attempt.expected {
                    Expected::Received(name) => Some(network.machine(name)?),
                    _ => None,
                };
                // The port is the same for all that send at the same time.
                let local_port = 40_000 + (network.now() / 1_000_000 % 10_000) as u16;
                let sender = &mut network.machines[machine];
                let content = content_of(&sender.config.name, *bytes);
                let socket = sender.connect(local_port, *to).ok_or_else(unable)?;
                Progress::Send {
                    socket,
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
                network.intrude(frame.clone(), inner)?;
                Progress::Forged
            }
            (_, None) => return Err(unable()),
        };
        Ok(Self {
            attempt,
            machine,
            progress,
        })
    }

    /// Takes the next step. Says whether there is none.
    fn go_on<W: Write>(&mut self, network: &mut Network<W>) -> bool {
        let Some(machine) = self.machine else {
            return true;
        };
        match &mut self.progress {
            Progress::Forged => true,
            Progress::Ping {
                socket,
                identifier,
                to,
                sent,
                answered,
            } => {
                let sender = &mut network.machines[machine];
                while let Some((message, from)) = sender.receive_icmp(*socket) {
                    let expected = echo(false, *to, *identifier, *answered, &sender.config.name);
                    let is_answer = from == *to && same_echo(&message, &expected);
                    *answered += u16::from(is_answer);
                }
                if *sent == *answered && *sent < PINGS {
                    let request = echo(true, *to, *identifier, *sent, &sender.config.name);
                    *sent += u16::from(sender.send_icmp(*socket, &request, *to));
                }
                *answered == PINGS
            }
            Progress::Send {
                socket,
                receiver,
                content,
                sent,
                received,
            } => {
                let connection = network.machines[machine].connection(*socket);
                if connection.can_send() && *sent < content.len() {
                    *sent += connection.send_slice(&content[*sent..]).unwrap_or(0);
                }
                if *sent == content.len() {
                    connection.close();
                }
                let is_over = matches!(
                    connection.state(),
                    tcp::State::Closed | tcp::State::TimeWait
                );
                if let Some(receiver) = receiver {
                    received.extend(network.machines[*receiver].take_received());
                    return is_over && network.machines[*receiver].is_idle();
                }
                is_over
            }
        }
    }

    fn close<W: Write>(&self, network: &mut Network<W>) {
        if let (Some(machine), Progress::Ping { socket, .. } | Progress::Send { socket, .. }) =
            (self.machine, &self.progress)
        {
            network.machines[machine].close(*socket);
        }
    }
}

/// Bytes that servers received which nobody was to send them, in words.
fn strays<W: Write>(network: &mut Network<W>) -> Vec<String> {
    let machines = network.machines.iter_mut();
    let taken = machines.map(|machine| (machine.take_received().len(), &machine.config.name));
    let strays = taken.filter(|(length, _)| *length > 0);
    strays
        .map(|(length, name)| format!("{} arrived at {name}", Bytes(length)))
        .collect()
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

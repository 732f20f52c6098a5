//! One line for each frame, for programs and for people.

use std::fmt;

use serde::{Serialize, Serializer};

use super::run::Replayed;
use crate::hex::Hex;
use crate::policy_file::HostPolicy;
use crate::switch::{Egress, Sent};

/// What became of a frame. Its JSON keys come in the order of these fields, and all of them always.
#[derive(Debug, Serialize)]
pub struct FrameLine<'r> {
    /// The place of the frame in the order of arrival, counted from 0.
    pub index: u64,
    /// Where it arrived: a machine's name, or `uplink`.
    pub port: &'r str,
    /// Delivered, transmitted, replied, punted, held or dropped.
    pub verdict: &'static str,
    /// Why it was refused, if it was.
    pub reason: Option<&'static str>,
    /// Why it was punted, if it was.
    pub punt: Option<&'static str>,
    /// The virtual subnet in which it was decided.
    pub vsid: Option<u32>,
    /// The version of the policy that decided.
    pub policy_version: u64,
    /// What left the switch because of it, in that order.
    pub out: Vec<OutLine<'r>>,
    #[serde(skip)]
    packet: Option<String>,
    #[serde(skip)]
    widest_port: usize,
}

/// A frame that left the switch.
#[derive(Debug, Serialize)]
pub struct OutLine<'r> {
    /// Where: a machine's name, or `uplink`.
    pub port: &'r str,
    /// Its bytes in hexadecimal.
    #[serde(serialize_with = "as_hex")]
    pub frame: &'r [u8],
    /// Bytes of the whole frame. Only there if the received frame was cut by a snap length, and this one with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(bytes))
}

impl<'r> FrameLine<'r> {
    pub(super) fn new(replayed: &'r Replayed, host: &'r HostPolicy) -> Self {
        let decision = &replayed.decision;
        let sent = replayed.sent.iter();
        let ports = host.ports.iter().map(|port| port.name.chars().count());
        Self {
            index: replayed.index,
            port: replayed.place.name(host),
            verdict: decision.kind.name(),
            reason: decision.reason.map(|reason| reason.name()),
            punt: decision.kind.punt_name(),
            vsid: decision.vsid.map(|vsid| vsid.get()),
            policy_version: decision.version,
            out: sent.map(|sent| OutLine::new(sent, host)).collect(),
            packet: replayed.facts.map(|facts| facts.to_string()),
            widest_port: ports.fold("uplink".len(), usize::max),
        }
    }
}

impl<'r> OutLine<'r> {
    fn new(sent: &'r Sent, host: &'r HostPolicy) -> Self {
        Self {
            port: sent.egress.name(host),
            frame: &sent.bytes,
            length: (sent.length > sent.bytes.len()).then_some(sent.length),
        }
    }
}

impl Egress {
    /// The name of the place where a frame leaves: a machine's, or `uplink`.
    pub fn name(self, host: &HostPolicy) -> &str {
        match self {
            Self::Port(port) => super::Place::Port(port).name(host),
            Self::Uplink(_) => super::Place::Uplink.name(host),
        }
    }
}

/// One short line for people.
impl fmt::Display for FrameLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.widest_port;
        write!(f, "{:>6}  {:<width$}  ", self.index, self.port)?;
        match self.vsid {
            Some(vsid) => write!(f, "{vsid:>8}  ")?,
            None => write!(f, "{:>8}  ", "-")?,
        }
        let verdict = match self.reason.or(self.punt) {
            Some(why) => format!("{} ({why})", self.verdict),
            None => self.verdict.to_owned(),
        };
        let packet = self.packet.as_deref().unwrap_or("unreadable");
        write!(f, "{verdict:<24}  {packet}")?;
        self.out.iter().try_for_each(|out| {
            let length = out.length.unwrap_or(out.frame.len());
            write!(f, " -> {}, {length} bytes", out.port)
        })
    }
}

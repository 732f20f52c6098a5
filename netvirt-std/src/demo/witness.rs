//! What happened in the network, noted frame by frame by somebody who does not ask the datapath.

use std::collections::{BTreeMap, HashMap};

use netvirt_core::datapath::DropReason;

use super::cast::MachineConfig;
use super::look::{Content, fingerprint};

/// Whose frame arrived at a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A machine of this tenant sent it.
    Tenant(String),
    /// Somebody in the provider network who is no host sent it.
    Intruder,
    /// The host made it: an answer for the network.
    Host,
    /// Nobody is known to have sent it.
    Unknown,
}

/// What a frame on the wire was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnWire {
    /// NVGRE of this tenant.
    Encapsulated(String),
    /// A rewritten packet of this tenant.
    Rewritten(String),
    /// Hosts looking for one another.
    Resolution,
    /// From an intruder.
    Intruder,
    /// Nothing that belongs there.
    Unknown,
}

/// A frame that a host refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The host.
    pub host: usize,
    /// Why.
    pub reason: DropReason,
    /// The tenant whose machine sent it; none if it came from the wire.
    pub tenant: Option<String>,
    /// Who sent it, and what it was, in words.
    pub what: String,
}

/// Numbers of frames, by what they were.
pub type Counts<K> = BTreeMap<K, u64>;

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub struct Witness {
    senders: HashMap<u64, Origin>,
    /// Frames of which two origins sent the same, so that whose they are cannot be told.
    pub ambiguous: u64,
    /// Frames that machines sent, by tenant.
    pub sent: Counts<String>,
    /// Frames that arrived, by origin and by machine.
    pub arrived: Counts<(Origin, usize)>,
    /// Frames refused, of those that somebody wanted sent.
    pub refused: Counts<Refusal>,
    /// Frames refused that machines sent of their own accord.
    pub refused_unasked: Counts<Refusal>,
    /// Frames on the wire.
    pub wire: Counts<OnWire>,
    /// How often a frame on the wire was for a host.
    pub for_hosts: u64,
    /// Frames on the wire that were for no host.
    pub for_nobody: u64,
    /// Frames that were not seen, for want of room.
    pub missed: u64,
}

impl Witness {
    /// A machine sends a frame.
    pub fn saw_sent(&mut self, tenant: &str, frame: &[u8]) {
        *self.sent.entry(tenant.to_owned()).or_default() += 1;
        self.remember(Origin::Tenant(tenant.to_owned()), frame);
    }

    /// An intruder sends a frame that carries `inner`.
    pub fn saw_intruder(&mut self, inner: &[u8]) {
        self.remember(Origin::Intruder, inner);
    }

    fn remember(&mut self, origin: Origin, frame: &[u8]) {
        let known = self
            .senders
            .entry(fingerprint(frame))
            .or_insert_with(|| origin.clone());
        if *known != origin {
            self.ambiguous += 1;
        }
    }

    /// A frame is on the wire.
    pub fn saw_on_wire(&mut self, kind: OnWire) {
        *self.wire.entry(kind).or_default() += 1;
    }

    /// A frame on the wire is for so many hosts.
    pub fn saw_receivers(&mut self, hosts: usize) {
        self.for_hosts += hosts as u64;
        self.for_nobody += u64::from(hosts == 0);
    }

    /// A frame arrives at a machine.
    pub fn saw_arrival(&mut self, machine: usize, frame: &[u8]) {
        let origin = match self.senders.get(&fingerprint(frame)) {
            Some(origin) => origin.clone(),
            None if Content::of(frame).is_of_host() => Origin::Host,
            None => Origin::Unknown,
        };
        *self.arrived.entry((origin, machine)).or_default() += 1;
    }

    /// A host refuses a frame that came from a machine, or from the wire.
    pub fn saw_refusal(
        &mut self,
        host: usize,
        reason: DropReason,
        sender: Option<&MachineConfig>,
        frame: &[u8],
    ) {
        let content = Content::of(frame);
        let refused = if content.is_multicast_report() {
            &mut self.refused_unasked
        } else {
            &mut self.refused
        };
        let whom = sender.map_or("the wire", |sender| &sender.name);
        let refusal = Refusal {
            host,
            reason,
            tenant: sender.map(|sender| sender.tenant.clone()),
            what: format!("{whom}: {content}"),
        };
        *refused.entry(refusal).or_default() += 1;
    }

    /// All frames refused.
    pub fn all_refused(&self) -> impl Iterator<Item = (&Refusal, &u64)> {
        self.refused.iter().chain(&self.refused_unasked)
    }
}

/// How often which host refused for which reason.
pub fn by_reason<'a>(
    refusals: impl Iterator<Item = (&'a Refusal, &'a u64)>,
) -> Counts<(usize, DropReason)> {
    let mut counts = Counts::new();
    for (refusal, frames) in refusals {
        *counts.entry((refusal.host, refusal.reason)).or_default() += frames;
    }
    counts
}

/// What was added to counts since they were `before`.
pub fn added<K: Ord + Clone>(now: &Counts<K>, before: &Counts<K>) -> Counts<K> {
    let difference = |(key, frames): (&K, &u64)| {
        let more = frames - before.get(key).copied().unwrap_or(0);
        (more > 0).then(|| (key.clone(), more))
    };
    now.iter().filter_map(difference).collect()
}

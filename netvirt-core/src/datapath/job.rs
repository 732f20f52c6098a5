//! One frame on its way through the passes.

use crate::address::{AddressBits, Family, Vsid};
use crate::policy::{Host, Location, Policy, Record, provider_key};
use crate::table::{Candidates, Cpu, Key, Probe};
use crate::wire::Facts;

/// What is to be done when the lookups are through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing: the verdict stands.
    Decided,
    /// A frame of a virtual machine.
    Outbound,
    /// A frame out of an NVGRE tunnel.
    Tunnel,
    /// A packet from the uplink that may have been rewritten.
    Rewrite,
}

/// A slot that no table has.
const NOT_FOUND: u32 = u32::MAX;

/// What the tunnel said about the frame inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    pub family: Family,
    pub source: AddressBits,
    pub destination: AddressBits,
    pub hop_limit: u8,
    pub traffic_class: u8,
    /// VSID << 8 | FlowID.
    pub key: u32,
}

/// Where a packet of a virtual machine is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heading {
    /// The subnet it travels in from here.
    pub vsid: Vsid,
    /// The record of this address is wanted: the destination's or the gateway's on the way there.
    pub address: AddressBits,
    /// The distributed router takes it from one subnet to another, or to a gateway.
    pub is_routed: bool,
    /// It goes to a gateway.
    pub is_via: bool,
}

/// One frame on its way: what was read, and what is being looked up for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub stage: Stage,
    /// What was read of the packet that is to be delivered: the inner one if there is a tunnel.
    pub facts: Facts,
    /// Outbound: the number of the sender's subnet.
    pub subnet: u32,
    pub outer: Outer,
    pub heading: Heading,
    keys: [Key; 2],
    probes: [Probe; 2],
    candidates: [Candidates; 2],
    /// [`NOT_FOUND`] if there is no record.
    slots: [u32; 2],
}

impl Job {
    pub const IDLE: Self = Self {
        stage: Stage::Decided,
        facts: Facts::NOTHING,
        subnet: 0,
        outer: Outer {
            family: Family::Ipv4,
            source: AddressBits { high: 0, low: 0 },
            destination: AddressBits { high: 0, low: 0 },
            hop_limit: 0,
            traffic_class: 0,
            key: 0,
        },
        heading: Heading {
            vsid: Vsid::MIN,
            address: AddressBits { high: 0, low: 0 },
            is_routed: false,
            is_via: false,
        },
        keys: [Key::new(0, AddressBits { high: 0, low: 0 }); 2],
        probes: [Probe::NOWHERE; 2],
        candidates: [Candidates::NONE; 2],
        slots: [NOT_FOUND; 2],
    };

    /// Asks for the records of source and destination.
    #[inline(always)]
    pub fn look_up(&mut self, policy: &Policy<'_>, source: Key, destination: Key) {
        self.keys = [source, destination];
        self.probes = [
            policy.records().probe(&source),
            policy.records().probe(&destination),
        ];
    }

    /// Asks for the records behind two provider addresses.
    #[inline(always)]
    pub fn look_up_rewritten(&mut self, policy: &Policy<'_>, family: Family) {
        let source = provider_key(family, self.facts.source_address);
        let destination = provider_key(family, self.facts.destination_address);
        self.keys = [source, destination];
        let index = policy.rewrite_index();
        self.probes = [index.probe(&source), index.probe(&destination)];
    }

    #[inline(always)]
    pub fn prefetch_tags<C: Cpu>(&self, policy: &Policy<'_>) {
        match self.stage {
            Stage::Decided => {}
            Stage::Rewrite => {
                for probe in &self.probes {
                    policy.rewrite_index().prefetch_tags::<C>(probe);
                }
            }
            Stage::Outbound | Stage::Tunnel => {
                for probe in &self.probes {
                    policy.records().prefetch_tags::<C>(probe);
                }
            }
        }
    }

    #[inline(always)]
    pub fn match_tags<C: Cpu>(&mut self, policy: &Policy<'_>) {
        match self.stage {
            Stage::Decided => {}
            Stage::Rewrite => {
                for (candidates, probe) in self.candidates.iter_mut().zip(&self.probes) {
                    *candidates = policy.rewrite_index().candidates::<C>(probe);
                }
            }
            Stage::Outbound | Stage::Tunnel => {
                for (candidates, probe) in self.candidates.iter_mut().zip(&self.probes) {
                    *candidates = policy.records().candidates::<C>(probe);
                }
            }
        }
    }

    /// Under rewrite, tags lead to the numbers of records only: asks for the records.
    #[inline(always)]
    pub fn follow_index<C: Cpu>(&self, policy: &Policy<'_>) {
        if self.stage == Stage::Rewrite {
            for candidates in &self.candidates {
                if let Some(number) = policy.rewrite_index().likely_number(candidates) {
                    policy.records().prefetch::<C>(number);
                }
            }
        }
    }

    /// Finds the records and asks for the far host, if there is one.
    #[inline(always)]
    pub fn resolve<C: Cpu>(&mut self, policy: &Policy<'_>) {
        match self.stage {
            Stage::Decided => {}
            Stage::Rewrite => {
                let family = self.facts.family().unwrap_or(Family::Ipv4);
                for ((slot, candidates), key) in
                    self.slots.iter_mut().zip(&self.candidates).zip(&self.keys)
                {
                    let is_it = |slot| policy.is_rewrite_of(slot, family, key.bits());
                    *slot = policy
                        .rewrite_index()
                        .resolve(candidates, is_it)
                        .unwrap_or(NOT_FOUND);
                }
            }
            Stage::Outbound | Stage::Tunnel => {
                for ((slot, candidates), key) in
                    self.slots.iter_mut().zip(&self.candidates).zip(&self.keys)
                {
                    let found = policy.records().resolve(candidates, key);
                    *slot = found.map_or(NOT_FOUND, |(slot, _)| slot);
                }
                if let Some(host) = self.far_host(policy) {
                    C::prefetch(host);
                }
            }
        }
    }

    /// Asks for the header template of the far host.
    #[inline(always)]
    pub fn follow_host<C: Cpu>(&self, policy: &Policy<'_>) {
        if let Some(template) = self
            .far_host(policy)
            .and_then(|host| host.path_for(0))
            .and_then(|path| policy.template(path))
        {
            C::prefetch(template);
        }
    }

    /// The host that the packet goes to or, out of a tunnel, comes from. A rewritten packet comes from none.
    #[inline(always)]
    fn far_host<'p>(&self, policy: &'p Policy<'_>) -> Option<&'p Host> {
        let record = match self.stage {
            Stage::Outbound => self.destination(policy),
            Stage::Tunnel => self.source(policy),
            Stage::Rewrite | Stage::Decided => None,
        };
        match record?.location() {
            Location::Host(host) => policy.host(host),
            Location::Port(_) => None,
        }
    }

    /// The sender's record, if it was found.
    #[inline(always)]
    pub fn source<'p>(&self, policy: &'p Policy<'_>) -> Option<&'p Record> {
        let [slot, _] = self.slots;
        policy.records().found(slot)
    }

    /// The receiver's record, if it was found.
    #[inline(always)]
    pub fn destination<'p>(&self, policy: &'p Policy<'_>) -> Option<&'p Record> {
        let [_, slot] = self.slots;
        policy.records().found(slot)
    }

    /// The number of the subnet in which the frame was decided, if it came that far.
    #[inline(always)]
    pub fn subnet_of(&self, policy: &Policy<'_>, decided_in: Option<Vsid>) -> Option<u32> {
        let vsid = decided_in?;
        let of_receiver = match self.stage {
            Stage::Outbound => return Some(self.subnet),
            Stage::Tunnel | Stage::Rewrite => self.destination(policy).map(|record| record.subnet),
            Stage::Decided => None,
        };
        of_receiver.or_else(|| policy.subnet_of(vsid))
    }
}

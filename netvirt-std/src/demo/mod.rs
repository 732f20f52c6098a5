//! The demo network: three tenants on two hosts, who use the same addresses and never meet.
//!
//! The hosts' switches are the real ones, with the policy of `examples/three-tenants.toml`. There are two networks that
//! the same script is played in:
//!
//! - [for real](in_namespaces): every machine is a network namespace with the kernel's own TCP/IP, and every host runs
//!   `netvirt switch`. The kernel must permit it.
//! - [in memory](in_memory): a wire in memory joins the switches, the virtual machines are smoltcp stacks, and time is
//!   simulated, so every run is the same and none waits.
//!
//! A witness who does not ask the datapath looks at every frame; what it saw decides whether the tenants met.

mod attempt;
mod cast;
mod forge;
mod judgement;
mod look;
mod memory;
mod network;
mod print;
mod real;
mod script;
mod verdict;
mod witness;

use std::fmt;
use std::io::{self, Write};

use crate::capture::{CaptureError, CaptureWriter};
use crate::policy_file::PolicyFile;

use attempt::{Act, ActReport, Finding};
use cast::MachineConfig;
use memory::MemoryNetwork;
use network::{HostReport, Network};
use real::{Finished, RealNetwork};
use witness::Witness;

pub use real::{Attach, Stage, Throughput};

/// The policy of the demo network.
pub const POLICY: &str = include_str!("../../../examples/three-tenants.toml");

/// What happened in the demo network. [`Display`](fmt::Display) tells people.
pub struct Report {
    hosts: Vec<HostReport>,
    machines: Vec<MachineConfig>,
    witness: Witness,
    inside: Vec<ActReport>,
    across: Vec<ActReport>,
    overall: Vec<Finding>,
    throughput: Vec<Throughput>,
}

/// Why the demo could not be given.
#[derive(Debug)]
pub enum DemoError {
    /// The capture of the wire cannot be written.
    Capture(CaptureError),
    /// A host's tables refuse its policy.
    Refused(String, String),
    /// The policy has no machine or host of this name, which the demo needs.
    Missing(String),
    /// A machine could not do its part.
    Machine(String, io::Error),
    /// The switch of a host could not do its part.
    Switch(String, String),
    /// Nothing came through where throughput was to be measured.
    Throughput(&'static str, io::Error),
    /// The system does not do what it permitted before.
    System(io::Error),
    /// Somebody wants it to end.
    Interrupted,
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => error.fmt(f),
            Self::Refused(host, why) => write!(f, "{host}: {why}"),
            Self::Missing(name) => {
                write!(f, "the demo needs {name}, which the policy does not have")
            }
            Self::Machine(name, error) => write!(f, "{name} cannot do its part: {error}"),
            Self::Switch(host, why) => write!(f, "the switch of {host}: {why}"),
            Self::Throughput(way, error) => write!(f, "TCP through {way}: {error}"),
            Self::System(error) => error.fmt(f),
            Self::Interrupted => f.write_str("interrupted; nothing is left behind"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<CaptureError> for DemoError {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

impl From<io::Error> for DemoError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Builds the network of the policy in memory, makes every attempt, and judges. Frames on the wire go into `capture`,
/// whose output comes back with the report.
///
/// # Errors
/// The demo cannot be given. That an expectation failed is no error: see [`Report::failed`].
pub fn in_memory<W: Write>(
    policy: &PolicyFile,
    capture: CaptureWriter<W>,
) -> Result<(Report, W), DemoError> {
    let mut network = MemoryNetwork::start(policy, capture)?;
    let acts = play(&mut network)?;
    let (cast, witness, hosts, output) = network.finish()?;
    let report = Report::new(hosts, cast.machines, witness, acts);
    Ok((report, output))
}

/// Starts switches and machines on a stage, makes every attempt, judges, and measures throughput. Frames on the wire go
/// into `capture`, except those that throughput is measured by; its output comes back with the report.
///
/// # Errors
/// The demo cannot be given, or was interrupted. Nothing of it is left then either.
pub fn in_namespaces<W: Write>(
    stage: Stage,
    capture: CaptureWriter<W>,
) -> Result<(Report, W), DemoError> {
    let mut network = RealNetwork::start(stage, capture)?;
    let acts = play(&mut network)?;
    let Finished {
        hosts,
        machines,
        witness,
        output,
        track,
    } = network.finish()?;
    let report = Report {
        throughput: track.measure()?,
        ..Report::new(hosts, machines, witness, acts)
    };
    Ok((report, output))
}

/// What came of the script: inside every tenant, and across tenants.
type Acts = (Vec<ActReport>, Vec<ActReport>);

fn play(network: &mut impl Network) -> Result<Acts, DemoError> {
    let inside = make_all(network, &script::inside())?;
    let acts = script::across(network.cast())?;
    let across = make_all(network, &acts)?;
    Ok((inside, across))
}

fn make_all(network: &mut impl Network, acts: &[Act]) -> Result<Vec<ActReport>, DemoError> {
    acts.iter().map(|act| attempt::make(network, act)).collect()
}

impl Report {
    fn new(
        hosts: Vec<HostReport>,
        machines: Vec<MachineConfig>,
        witness: Witness,
        (inside, across): Acts,
    ) -> Self {
        let overall = verdict::overall(&hosts, &machines, &witness);
        Self {
            hosts,
            machines,
            witness,
            inside,
            across,
            overall,
            throughput: Vec::new(),
        }
    }

    /// How many expectations there were.
    pub fn expectations(&self) -> usize {
        self.findings().count()
    }

    /// How many of them failed.
    pub fn failed(&self) -> usize {
        self.findings().filter(|finding| !finding.held).count()
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        let attempts = self
            .inside
            .iter()
            .chain(&self.across)
            .flat_map(|act| &act.findings);
        attempts.chain(&self.overall)
    }
}

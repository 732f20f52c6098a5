//! The demo network: three tenants on two hosts, who use the same addresses and never meet.
//!
//! The hosts' switches are the real ones, with the policy of `examples/three-tenants.toml`. A wire in memory joins
//! them, the virtual machines are smoltcp stacks, and time is simulated, so every run is the same and none waits.
//! A witness who does not ask the datapath looks at every frame; what it saw decides whether the tenants met.

mod attempt;
mod forge;
mod judgement;
mod look;
mod machine;
mod network;
mod print;
mod script;
mod verdict;
mod witness;

use std::fmt;
use std::io::Write;

use crate::capture::{CaptureError, CaptureWriter};
use crate::policy_file::PolicyFile;

use attempt::{Act, ActReport, Finding};
use network::{Host, Network, Parts};
use witness::Witness;

/// The policy of the demo network.
pub const POLICY: &str = include_str!("../../../examples/three-tenants.toml");

/// What happened in the demo network. [`Display`](fmt::Display) tells people.
pub struct Report {
    hosts: Vec<Host>,
    machines: Vec<machine::Machine>,
    witness: Witness,
    inside: Vec<ActReport>,
    across: Vec<ActReport>,
    overall: Vec<Finding>,
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
    Machine(String),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(error) => error.fmt(f),
            Self::Refused(host, why) => write!(f, "{host}: {why}"),
            Self::Missing(name) => {
                write!(f, "the demo needs {name}, which the policy does not have")
            }
            Self::Machine(name) => write!(f, "{name} cannot open a socket"),
        }
    }
}

impl std::error::Error for DemoError {}

impl From<CaptureError> for DemoError {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

/// Builds the network of the policy, makes every attempt, and judges. Frames on the wire go into `capture`, whose output
/// comes back with the report.
///
/// # Errors
/// The demo cannot be given. That an expectation failed is no error: see [`Report::failed`].
pub fn run<W: Write>(
    policy: &PolicyFile,
    capture: CaptureWriter<W>,
) -> Result<(Report, W), DemoError> {
    let mut network = Network::start(policy, capture)?;
    let inside = make_all(&mut network, &script::inside())?;
    let acts = script::across(&network)?;
    let across = make_all(&mut network, &acts)?;
    let (
        Parts {
            hosts,
            machines,
            witness,
        },
        output,
    ) = network.finish()?;
    let overall = verdict::overall(&hosts, &machines, &witness);
    let report = Report {
        hosts,
        machines,
        witness,
        inside,
        across,
        overall,
    };
    Ok((report, output))
}

fn make_all<W: Write>(network: &mut Network<W>, acts: &[Act]) -> Result<Vec<ActReport>, DemoError> {
    acts.iter().map(|act| attempt::make(network, act)).collect()
}

impl Report {
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

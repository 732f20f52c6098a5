//! Why a switch does not do what it was asked for.

use std::fmt;
use std::io;

use netvirt_core::policy::{Change, Refusal, Refused};

use crate::policy_file::{PortInfo, UnknownHost};
use crate::worker::WorkerGone;

/// Why a switch could not be started, or does not take a version of the policy. What was there before goes on.
#[derive(Debug)]
pub enum HostError {
    /// The policy file does not have this host.
    UnknownHost(UnknownHost),
    /// The tables do not take a change.
    Refused {
        /// Which change, in words.
        change: String,
        /// Why.
        why: Refusal,
    },
    /// A device cannot be opened. The message says which, why and what to do.
    Device(io::Error),
    /// No worker can be started.
    NoWorker(io::Error),
    /// A worker may not run in real time.
    NoRealTime(io::Error),
    /// The host's uplink would be another interface.
    OtherUplink,
    /// A worker has ended.
    WorkerGone,
    /// Something was to be committed, and nothing is prepared.
    NothingPrepared,
}

impl HostError {
    /// The device of a machine cannot be opened.
    pub(super) fn port(port: &PortInfo, error: io::Error) -> Self {
        let message = format!("machine {:?}: {error}", port.name);
        Self::Device(io::Error::new(error.kind(), message))
    }

    pub(super) fn refused(refused: &Refused, changes: &[Change]) -> Self {
        let change = changes.get(refused.change);
        Self::Refused {
            change: change.map_or("all changes together".into(), |change| {
                format!("{change:?}")
            }),
            why: refused.why,
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownHost(unknown) => unknown.fmt(f),
            Self::Refused { change, why } => {
                write!(f, "the switch refuses this version of the policy: {why} ({change})")?;
                if matches!(why, Refusal::Full(_)) {
                    f.write_str("; start the switch again with a larger --records")?;
                }
                Ok(())
            }
            Self::Device(error) => error.fmt(f),
            Self::NoWorker(error) => write!(f, "no worker can be started: {error}"),
            Self::NoRealTime(error) => write!(
                f,
                "workers may not run in real time: {error}; run as root or with CAP_SYS_NICE, or start without --real-time"
            ),
            Self::OtherUplink => f.write_str(
                "the interface of this host's uplink is another one than before: start the switch again with this file",
            ),
            Self::WorkerGone => f.write_str(
                "a worker has ended because of an error that it logged; start the switch again",
            ),
            Self::NothingPrepared => f.write_str(
                "no version of the policy is prepared, or the network has changed so that it cannot be committed; \
                 prepare it again",
            ),
        }
    }
}

impl std::error::Error for HostError {}

impl From<UnknownHost> for HostError {
    fn from(unknown: UnknownHost) -> Self {
        Self::UnknownHost(unknown)
    }
}

impl From<WorkerGone> for HostError {
    fn from(WorkerGone: WorkerGone) -> Self {
        Self::WorkerGone
    }
}

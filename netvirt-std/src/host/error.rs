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
    /// A table has no room for all that the policy file has.
    NoRoom {
        /// The host.
        host: String,
        /// What is in the table, in words.
        what: &'static str,
        /// How many of these the file has for the host.
        needed: usize,
        /// How many the table takes.
        room: usize,
        /// Whether an option says for how many there is to be room.
        is_of_records: bool,
    },
    /// A device cannot be opened. The message says which, why and what to do.
    Device(io::Error),
    /// No worker can be started.
    NoWorker(io::Error),
    /// A worker may not run in real time.
    NoRealTime(io::Error),
    /// The host's uplink would be another interface, or lead to another NIC.
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
            Self::Refused { change, why } => write!(
                f,
                "the switch refuses this version of the policy: {why} ({change})"
            ),
            Self::NoRoom {
                host,
                what,
                needed,
                room,
                is_of_records,
            } => {
                write!(f, "there is no room for more {what}: ")?;
                if needed > room {
                    let (needed, room) = (Grouped(*needed), Grouped(*room));
                    write!(f, "{host} needs {needed} and has room for {room}")?;
                } else {
                    // What comes is added before all that goes is removed.
                    write!(f, "{host} needs more than it has while it changes over")?;
                }
                f.write_str("; start its switch again with this file")?;
                if *is_of_records {
                    write!(f, ", or with --records {}", needed.max(room))?;
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
                "the interface of this host's uplink, or the NIC behind it, is another one than before: \
                 start the switch again with this file",
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

/// A number as people read it: 20,004.
struct Grouped(usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.char_indices() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
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

//! What can go wrong between a host and a NIC.

use std::fmt;
use std::io;

use netvirt_core::policy::{Change, Refusal};
use netvirt_fw::download::{HandshakeError, RecordError};

use super::report::describe;

/// Why a NIC was not asked, or not changed. Unless it says otherwise, the NIC has the policy that it had.
#[derive(Debug)]
pub enum OffloadError {
    /// Nobody answers at this address.
    Unreachable {
        /// The address, as it was given.
        nic: String,
        /// Why not.
        error: io::Error,
    },
    /// Who answers is no NIC of this version with this key.
    Handshake(HandshakeError),
    /// The connection was lost, or the NIC was silent for too long.
    Lost(io::Error),
    /// The same, when the NIC had been told to put the new policy in force: whether it has is not known.
    LostInCommit(io::Error),
    /// What came is not the NIC's, or makes no sense.
    Record(RecordError),
    /// The NIC answered something else than it was asked.
    Unexpected(String),
    /// Somebody else changed the policy meanwhile.
    Moved {
        /// The version that it has now.
        version: u64,
    },
    /// The NIC refuses the policy.
    Refused {
        /// The change that does not fit; none if they do not fit together.
        change: Option<Box<Change>>,
        /// Why.
        why: Refusal,
    },
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { nic, error } => {
                write!(f, "the NIC cannot be reached at {nic}: {error}")
            }
            Self::Handshake(HandshakeError::NotAuthentic) => f.write_str(
                "the NIC has another key: give the key that was put into it with --key-file",
            ),
            Self::Handshake(error) => error.fmt(f),
            Self::Lost(error) => write!(
                f,
                "the connection to the NIC was lost: {error}; the NIC has the policy that it had"
            ),
            Self::LostInCommit(error) => write!(
                f,
                "the connection was lost when the NIC had been told to put the policy in force: {error}; \
                 whether it has is said by `netvirt offload diff`"
            ),
            Self::Record(error) => write!(f, "{error}; the NIC has the policy that it had"),
            Self::Unexpected(reply) => write!(
                f,
                "the NIC answered {reply}, which is no answer to what it was asked: bring both to the same release"
            ),
            Self::Moved { version } => write!(
                f,
                "somebody else has changed the policy of the NIC, which has version {version} now: try again"
            ),
            Self::Refused { change, why } => {
                write!(
                    f,
                    "the NIC refuses the policy, and keeps what it had: {why}"
                )?;
                match change {
                    Some(change) => write!(f, " (at: {})", describe(change)),
                    None => f.write_str(" (at the end of all changes)"),
                }
            }
        }
    }
}

impl std::error::Error for OffloadError {}

impl From<HandshakeError> for OffloadError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<RecordError> for OffloadError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

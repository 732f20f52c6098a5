//! Who asks.

use std::io;

use tokio::net::UnixStream;

use super::problem::Refusal;

/// The program at the other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    /// The user that it runs as.
    pub uid: u32,
}

impl Peer {
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let uid = stream.peer_cred()?.uid();
        Ok(Self { uid })
    }

    /// Logs that it does not get what it wants.
    pub fn is_refused(self, wanted: &str, refusal: &Refusal) {
        let why = refusal.problem.error.lines().next().unwrap_or_default();
        tracing::info!(
            wanted,
            uid = self.uid,
            why,
            "a change of the policy is refused"
        );
    }
}

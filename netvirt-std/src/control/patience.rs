//! How long the switch waits for those who ask.

use std::time::Duration;

/// How long a [`ControlServer`](super::ControlServer) waits for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the next request on a connection, to the end of its header.
    pub header: Duration,
    /// For the rest of the request.
    pub body: Duration,
    /// For the next piece of a list to be taken.
    pub piece: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            body: Duration::from_secs(60),
            piece: Duration::from_secs(10),
        }
    }
}

//! How a request reaches the switch.

use std::sync::Arc;

use netvirt_core::policy::Policy;

use super::problem::Refusal;
use crate::host::{Host, HostHandle};
use crate::live::LivePolicy;
use crate::policy_file::HostPolicy;

/// What a request may use. Its methods wait, so they are for threads that may.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub host: HostHandle,
    /// Read here, beside the workers, so that large answers do not take the host's thread.
    pub policies: Arc<LivePolicy>,
}

impl Access {
    /// Has the host's thread do something.
    pub fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Host) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        Ok(self.host.ask(request)?)
    }

    /// Looks at the policy that is in force, and at its names. Packets are not held up by it; the next change of the
    /// policy waits for it.
    pub fn look<R>(
        &self,
        look: impl FnOnce(&Arc<HostPolicy>, &Policy<'_>) -> R,
    ) -> Result<R, Refusal> {
        loop {
            let (names, version) = self.ask(|host| (Arc::clone(host.policy()), host.version()))?;
            let policy = self.policies.read();
            // Otherwise another version came into force between the two.
            if policy.version() == version {
                return Ok(look(&names, &policy));
            }
        }
    }
}

/// Does work that waits or takes long on a thread that may.
pub(super) async fn aside<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_panicked| Err(Refusal::internal()))
}

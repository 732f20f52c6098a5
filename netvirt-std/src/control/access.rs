//! How a request reaches the switch.

use std::sync::{Arc, Mutex, PoisonError};

use netvirt_core::policy::Policy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::patience::Patience;
use super::problem::Refusal;
use crate::host::{Host, HostHandle};
use crate::live::LivePolicy;
use crate::policy_file::HostPolicy;
use crate::worker::Stalls;

/// What the control socket knows beside the host.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// By which id a version of the policy is prepared.
    pub prepared: Option<String>,
    /// The longest since they began again.
    pub stalls: Stalls,
}

/// Lists that are made at once, and policy files that are held at once; others wait for their turn. Together they leave
/// threads for small questions.
const LISTS_AT_ONCE: usize = 3;
const POLICY_TEXTS_AT_ONCE: usize = 2;
/// Threads for what waits or takes long.
pub(super) const THREADS: usize = 8;

/// What a request may use. Its methods wait, so they are for threads that may.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub host: HostHandle,
    /// Read here, beside the workers, so that large answers do not take the host's thread.
    pub policies: Arc<LivePolicy>,
    pub patience: Patience,
    /// Only the host's thread looks at it, so that it is always about what the host has.
    beside: Arc<Mutex<Beside>>,
    lists: Arc<Semaphore>,
    policy_texts: Arc<Semaphore>,
}

impl Access {
    pub fn new(host: HostHandle, policies: Arc<LivePolicy>, patience: Patience) -> Self {
        Self {
            host,
            policies,
            patience,
            beside: Arc::default(),
            lists: Arc::new(Semaphore::new(LISTS_AT_ONCE)),
            policy_texts: Arc::new(Semaphore::new(POLICY_TEXTS_AT_ONCE)),
        }
    }

    /// Waits until a list may be made.
    pub async fn list_turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        turn(&self.lists).await
    }

    /// Waits until a policy file may be read.
    pub async fn policy_turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        turn(&self.policy_texts).await
    }

    /// Has the host's thread do something with the host and with what is known beside it.
    pub fn ask_both<R: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Host, &mut Beside) -> R + Send + 'static,
    ) -> Result<R, Refusal> {
        let beside = Arc::clone(&self.beside);
        self.ask(move |host| {
            let mut beside = beside.lock().unwrap_or_else(PoisonError::into_inner);
            request(host, &mut beside)
        })
    }

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

async fn turn(semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
    let turn = Arc::clone(semaphore).acquire_owned().await;
    turn.map_err(|_closed| Refusal::internal())
}

/// Does work that waits or takes long on a thread that may.
pub(super) async fn aside<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, Refusal> + Send + 'static,
) -> Result<R, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_panicked| Err(Refusal::internal()))
}

//! The policy of a running switch: two copies behind locks, of which packets read one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::thread;

use netvirt_core::policy::{Change, Policy, Refused, Transaction};
use netvirt_core::table::Seed;

use crate::memory::HostCapacity;
use crate::transaction::encode;

/// Two copies of the policy, for any number of workers that read and one [`PolicyWriter`].
#[derive(Debug)]
pub struct LivePolicy {
    copies: [RwLock<Policy<'static>>; 2],
    /// Which copy packets read.
    live: AtomicUsize,
}

impl LivePolicy {
    /// The copy that packets read, for the time of one batch. Never waits for a transaction.
    pub fn read(&self) -> RwLockReadGuard<'_, Policy<'static>> {
        loop {
            let live = self.live.load(Ordering::Acquire);
            let policy = match self.copies[live].try_read() {
                Ok(policy) => policy,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // The copies were flipped between the two looks; the next look sees the other copy.
                Err(TryLockError::WouldBlock) => {
                    thread::yield_now();
                    continue;
                }
            };
            // They may have been flipped, and the next transaction prepared on this copy, before it was locked.
            if self.live.load(Ordering::Acquire) == live {
                return policy;
            }
        }
    }

    /// The copy that no packet reads. Waits for batches that began before the last flip.
    fn draft(&self) -> RwLockWriteGuard<'_, Policy<'static>> {
        let draft = 1 - self.live.load(Ordering::Acquire);
        self.copies[draft]
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn flip(&self) {
        self.live.fetch_xor(1, Ordering::AcqRel);
    }
}

/// The one who changes a [`LivePolicy`]: a transaction is prepared on the copy that nobody reads, and becomes
/// visible by one flip or leaves no trace.
#[derive(Debug)]
pub struct PolicyWriter {
    policies: Arc<LivePolicy>,
    /// What the draft holds beyond the live copy.
    prepared: Option<Vec<u8>>,
}

impl PolicyWriter {
    /// Two empty copies. See [`Policy::new`] for the seed.
    pub fn new(capacity: &HostCapacity, seed: Seed) -> Self {
        Self {
            policies: Arc::new(LivePolicy {
                copies: [capacity.policy(seed), capacity.policy(seed)].map(RwLock::new),
                live: AtomicUsize::new(0),
            }),
            prepared: None,
        }
    }

    /// What workers read.
    pub const fn policies(&self) -> &Arc<LivePolicy> {
        &self.policies
    }

    /// Checks changes and makes them ready to be committed, in place of what was prepared before. Yields the version
    /// that packets will see.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is prepared.
    pub fn prepare(&mut self, changes: &[Change]) -> Result<u64, Refused> {
        self.abort();
        self.prepare_encoded(encode(changes))
    }

    fn prepare_encoded(&mut self, encoded: Vec<u8>) -> Result<u64, Refused> {
        let mut draft = self.policies.draft();
        if let Err(refused) = draft.apply(&Transaction::new(&encoded)) {
            restore(&mut draft, &self.policies.read());
            return Err(refused);
        }
        let version = draft.version();
        drop(draft);
        self.prepared = Some(encoded);
        Ok(version)
    }

    /// Whether something is prepared. What the network says can take that away, see [`apply_state`](Self::apply_state).
    pub const fn has_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// Lets packets see what was prepared, all of it at once; the other copy follows. Says whether anything was.
    pub fn commit(&mut self) -> bool {
        let Some(encoded) = self.prepared.take() else {
            return false;
        };
        self.policies.flip();
        let mut other = self.policies.draft();
        // The other copy was equal, so what one took the other takes; copying is for the impossible.
        if other.apply(&Transaction::new(&encoded)).is_err() {
            restore(&mut other, &self.policies.read());
        }
        true
    }

    /// Forgets what was prepared. Says whether anything was.
    pub fn abort(&mut self) -> bool {
        let was_prepared = self.prepared.take().is_some();
        if was_prepared {
            restore(&mut self.policies.draft(), &self.policies.read());
        }
        was_prepared
    }

    /// Prepares and commits changes of the network's state, such as a next hop's MAC address. What was prepared before
    /// stays prepared.
    ///
    /// # Errors
    /// [`Refused`]; the policy is then as it was.
    pub fn apply_state(&mut self, changes: &[Change]) -> Result<(), Refused> {
        let waiting = self.prepared.take();
        if waiting.is_some() {
            restore(&mut self.policies.draft(), &self.policies.read());
        }
        let done = self.prepare_encoded(encode(changes));
        self.commit();
        if let Some(waiting) = waiting {
            // Refused only if the new state contradicts it: then there is nothing to commit any more, which `commit` says.
            let _ = self.prepare_encoded(waiting);
        }
        done.map(|_version| ())
    }
}

fn restore(draft: &mut Policy<'static>, live: &Policy<'static>) {
    // The two are of equal capacity.
    let _ = draft.copy_from(live);
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use netvirt_core::policy::{Neighbour, Settings};
    use netvirt_core::{DomainId, HostId, MacAddress, ProviderAddress, UplinkId};

    use super::*;

    const SEED: Seed = Seed::new(1, 2);

    fn writer() -> PolicyWriter {
        let mut writer = PolicyWriter::new(&HostCapacity::for_records(16), SEED);
        let settings = Settings::new(HostId(0), MacAddress([2, 0, 0, 0, 0, 1]));
        writer.prepare(&[Change::SetSettings(settings)]).unwrap();
        assert!(writer.commit());
        writer
    }

    fn domains(policy: &Policy<'_>) -> Vec<u32> {
        policy.domains().map(|domain| domain.0).collect()
    }

    fn neighbour() -> Change {
        Change::SetNeighbour(Neighbour {
            uplink: UplinkId(0),
            address: ProviderAddress::new([192, 168, 4, 1].into()).unwrap(),
            mac: MacAddress([2, 0, 0, 0, 0, 9]),
        })
    }

    #[test]
    fn spec_6_reconfiguration_packets_see_a_transaction_when_it_is_committed() {
        let mut writer = writer();
        let policies = Arc::clone(writer.policies());
        assert_eq!(
            writer.prepare(&[Change::AddDomain(DomainId(1))]).unwrap(),
            2
        );
        assert!(domains(&policies.read()).is_empty());
        assert!(writer.commit());
        assert_eq!(domains(&policies.read()), [1]);
        assert_eq!(policies.read().version(), 2);
        // The copy that followed is live after the next one.
        writer.prepare(&[Change::AddDomain(DomainId(2))]).unwrap();
        writer.commit();
        assert_eq!(domains(&policies.read()), [1, 2]);
    }

    #[test]
    fn what_is_refused_or_aborted_leaves_no_trace() {
        let mut writer = writer();
        let policies = Arc::clone(writer.policies());
        writer
            .prepare(&[
                Change::AddDomain(DomainId(1)),
                Change::RemoveDomain(DomainId(7)),
            ])
            .unwrap_err();
        assert!(!writer.commit());
        writer.prepare(&[Change::AddDomain(DomainId(3))]).unwrap();
        assert!(writer.abort());
        assert!(!writer.commit());
        writer.prepare(&[Change::AddDomain(DomainId(2))]).unwrap();
        writer.commit();
        writer.prepare(&[Change::AddDomain(DomainId(4))]).unwrap();
        writer.commit();
        assert_eq!(domains(&policies.read()), [2, 4]);
        assert_eq!(policies.read().version(), 3);
    }

    #[test]
    fn state_is_seen_at_once_and_what_was_prepared_stays_prepared() {
        let mut writer = writer();
        let policies = Arc::clone(writer.policies());
        writer.prepare(&[Change::AddDomain(DomainId(1))]).unwrap();
        writer.apply_state(&[neighbour()]).unwrap();
        assert_eq!(policies.read().neighbours().count(), 1);
        assert!(domains(&policies.read()).is_empty());
        assert_eq!(policies.read().version(), 1);
        assert!(writer.commit());
        assert_eq!(domains(&policies.read()), [1]);
        assert_eq!(policies.read().neighbours().count(), 1);
    }

    #[test]
    fn a_reader_that_stays_delays_the_writer_and_not_other_readers() {
        let mut writer = writer();
        let policies = Arc::clone(writer.policies());
        let slow = policies.read();
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                writer.prepare(&[Change::AddDomain(DomainId(1))]).unwrap();
                writer.commit();
                done.send(()).unwrap();
            });
            while domains(&policies.read()).is_empty() {
                thread::yield_now();
            }
            assert!(is_done.try_recv().is_err());
            assert!(domains(&slow).is_empty());
            drop(slow);
            is_done.recv().unwrap();
        });
    }
}

//! Two copies of the policy: one that packets read, one to be edited.

use super::refusal::{Refusal, Refused};
use super::tables::Policy;
use super::transaction::Transaction;
use crate::table::UnequalCapacity;

/// Two copies of the policy. A transaction is prepared on the one that nobody reads and becomes visible by
/// one flip, or leaves no trace.
///
/// This is the form for one thread, as in firmware. A host with several workers keeps its two copies behind
/// locks and does the same with [`Policy::apply`] and [`Policy::copy_from`].
#[derive(Debug)]
pub struct Policies<'s> {
    copies: [Policy<'s>; 2],
    /// The first copy is live.
    first: bool,
    /// The draft holds a transaction that was neither committed nor aborted yet.
    is_prepared: bool,
}

impl<'s> Policies<'s> {
    /// Takes two empty copies with storage of the same size and the same seed.
    pub const fn new(first: Policy<'s>, second: Policy<'s>) -> Self {
        Self {
            copies: [first, second],
            first: true,
            is_prepared: false,
        }
    }

    /// The copy that packets read.
    #[inline]
    pub const fn live(&self) -> &Policy<'s> {
        let [first, second] = &self.copies;
        if self.first { first } else { second }
    }

    const fn split(&mut self) -> (&mut Policy<'s>, &mut Policy<'s>) {
        let [first, second] = &mut self.copies;
        if self.first {
            (first, second)
        } else {
            (second, first)
        }
    }

    /// Checks a transaction and makes it ready to be committed. No packet sees anything of it yet.
    ///
    /// # Errors
    /// [`Refused`]; both copies are then as they were.
    pub fn prepare<'p, 't>(
        &'p mut self,
        transaction: Transaction<'t>,
    ) -> Result<Prepared<'p, 's, 't>, Refused> {
        // A guard that was forgotten, not dropped, left its transaction behind.
        let is_left_over = core::mem::replace(&mut self.is_prepared, false);
        let (live, draft) = self.split();
        if is_left_over {
            restore(draft, live);
        }
        if !live.has_capacity_of(draft) {
            return Err(Refused {
                change: 0,
                why: Refusal::UnequalCapacity(UnequalCapacity),
            });
        }
        match draft.apply(&transaction) {
            Ok(()) => {
                self.is_prepared = true;
                Ok(Prepared {
                    policies: self,
                    transaction,
                })
            }
            Err(refused) => {
                restore(draft, live);
                Err(refused)
            }
        }
    }

    /// Prepares and commits.
    ///
    /// # Errors
    /// [`Refused`]; both copies are then as they were.
    pub fn apply(&mut self, transaction: Transaction<'_>) -> Result<(), Refused> {
        self.prepare(transaction)?.commit();
        Ok(())
    }
}

fn restore<'s>(draft: &mut Policy<'s>, live: &Policy<'s>) {
    // It was checked before that the two are of equal capacity.
    let _ = draft.copy_from(live);
}

/// A transaction that was found valid and that fits. Dropped without [`commit`](Self::commit) it leaves no trace.
#[derive(Debug)]
pub struct Prepared<'p, 's, 't> {
    policies: &'p mut Policies<'s>,
    transaction: Transaction<'t>,
}

impl Prepared<'_, '_, '_> {
    /// The policy version that packets will see.
    pub fn version(&mut self) -> u64 {
        let (_, draft) = self.policies.split();
        draft.version()
    }

    /// Lets packets see the transaction, all of it at once; the other copy follows.
    pub fn commit(self) {
        self.policies.first = !self.policies.first;
        self.policies.is_prepared = false;
        let (live, other) = self.policies.split();
        // The other copy was equal, so what one took the other takes; copying is for the impossible.
        if other.apply(&self.transaction).is_err() {
            restore(other, live);
        }
    }

    /// Forgets the transaction.
    pub fn abort(self) {}
}

impl Drop for Prepared<'_, '_, '_> {
    fn drop(&mut self) {
        if core::mem::replace(&mut self.policies.is_prepared, false) {
            let (live, draft) = self.policies.split();
            restore(draft, live);
        }
    }
}

//! Two copies of the policy: one that packets read, one to be edited.

use super::change::Change;
use super::refusal::{Refusal, Refused};
use super::tables::Policy;
use super::transaction::Transaction;
use crate::table::UnequalCapacity;

/// Two copies of the policy. A transaction is prepared on the one that nobody reads, the draft, and becomes visible by
/// one flip, or leaves no trace.
///
/// This is the form for one thread, as in firmware. A host with several workers keeps its two copies behind
/// locks and does the same with [`Policy::apply`] and [`Policy::copy_from`].
///
/// A transaction that is there as a whole is [applied](Self::apply) or [prepared](Self::prepare) in one call. One that comes
/// piece by piece, between packets, is [begun](Self::begin_draft), [drafted](Self::draft) change by change,
/// [prepared](Self::prepare_draft) and [committed](Self::commit_draft). There is one draft: who begins another transaction, in
/// either way, ends the one that was not committed yet.
///
/// ```
/// use netvirt_core::policy::{Change, Policies, Settings};
/// # use netvirt_core::policy::Profile256;
/// # use netvirt_core::table::Seed;
/// use netvirt_core::{DomainId, HostId, MacAddress};
/// # static STORAGE: std::sync::Mutex<[Profile256; 2]> = std::sync::Mutex::new([const { Profile256::new() }; 2]);
/// # let mut storage = STORAGE.lock().unwrap();
/// # let [first, second] = storage.each_mut().map(|copy| copy.policy(Seed::new(1, 2)));
/// # let mut policies = Policies::new(first, second);
///
/// let router = MacAddress([2, 0, 0, 0, 0, 1]);
/// policies.begin_draft()?;
/// policies.draft(&Change::SetSettings(Settings::new(HostId(1), router)))?;
/// // Packets are carried here, by the policy as it was.
/// policies.draft(&Change::AddDomain(DomainId(0)))?;
/// policies.prepare_draft()?;
/// assert_eq!(policies.live().domains().count(), 0);
/// policies.commit_draft()?;
/// assert_eq!(policies.live().domains().count(), 1);
/// # Ok::<(), netvirt_core::policy::Refused>(())
/// ```
#[derive(Debug)]
pub struct Policies<'s> {
    copies: [Policy<'s>; 2],
    /// The first copy is live.
    first: bool,
    draft: Draft,
}

/// What the copy that nobody reads holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Draft {
    /// The same as the live copy.
    Equal,
    /// The first changes of a transaction.
    Begun {
        /// How many.
        changes: usize,
        /// Some of them are policy.
        is_policy: bool,
    },
    /// A transaction that was neither committed nor aborted yet.
    Prepared,
    /// Nothing of use.
    Stale,
}

impl<'s> Policies<'s> {
    /// Takes two empty copies with storage of the same size and the same seed.
    pub const fn new(first: Policy<'s>, second: Policy<'s>) -> Self {
        Self {
            copies: [first, second],
            first: true,
            draft: Draft::Equal,
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
        self.follow()?;
        self.draft = Draft::Stale;
        let (_, draft) = self.split();
        draft.apply(&transaction)?;
        self.draft = Draft::Prepared;
        Ok(Prepared {
            policies: self,
            transaction,
        })
    }

    /// Prepares and commits.
    ///
    /// # Errors
    /// [`Refused`]; both copies are then as they were.
    pub fn apply(&mut self, transaction: Transaction<'_>) -> Result<(), Refused> {
        self.prepare(transaction)?.commit();
        Ok(())
    }

    /// Begins a transaction whose changes come one by one.
    ///
    /// # Errors
    /// [`Refused`] only if the two copies have storage of different size.
    pub fn begin_draft(&mut self) -> Result<(), Refused> {
        self.follow()?;
        self.draft = Draft::Begun {
            changes: 0,
            is_policy: false,
        };
        Ok(())
    }

    /// The next change of the transaction that was begun. No packet sees anything of it yet.
    ///
    /// # Errors
    /// [`Refused`] if it does not fit to what those before it left, which ends the transaction without a trace, or if none
    /// was begun.
    pub fn draft(&mut self, change: &Change) -> Result<(), Refused> {
        let Draft::Begun { changes, is_policy } = self.draft else {
            return Err(Refused::NOT_BEGUN);
        };
        self.draft = Draft::Stale;
        let (_, draft) = self.split();
        draft.change(change).map_err(|why| Refused {
            change: changes,
            why,
        })?;
        self.draft = Draft::Begun {
            changes: changes.saturating_add(1),
            is_policy: is_policy | change.is_policy(),
        };
        Ok(())
    }

    /// Ends the changes of the transaction that was begun, and checks them as a whole. Yields the policy version that packets
    /// will see.
    ///
    /// # Errors
    /// [`Refused`] if they do not fit together, which ends the transaction without a trace, or if none was begun.
    pub fn prepare_draft(&mut self) -> Result<u64, Refused> {
        let Draft::Begun { changes, is_policy } = self.draft else {
            return Err(Refused::NOT_BEGUN);
        };
        self.draft = Draft::Stale;
        let (_, draft) = self.split();
        draft.conclude(is_policy).map_err(|why| Refused {
            change: changes,
            why,
        })?;
        let version = draft.version();
        self.draft = Draft::Prepared;
        Ok(version)
    }

    /// Lets packets see the prepared transaction, all of it at once. Yields the policy version that they see.
    ///
    /// # Errors
    /// [`Refused`] if none was prepared.
    pub fn commit_draft(&mut self) -> Result<u64, Refused> {
        if self.draft != Draft::Prepared {
            return Err(Refused::NOT_BEGUN);
        }
        self.first = !self.first;
        self.draft = Draft::Stale;
        Ok(self.live().version())
    }

    /// Forgets the transaction that was begun or prepared, if there is one.
    pub fn abort_draft(&mut self) {
        if self.draft != Draft::Equal {
            self.draft = Draft::Stale;
        }
    }

    /// Takes in what became known of the state of the network. Packets see it at once, and a transaction that was begun or
    /// prepared goes on, with it.
    ///
    /// # Errors
    /// [`Refusal`] if the change is [policy](Change::is_policy), or if the live policy has no place for it. Nothing was changed
    /// then.
    pub fn learn(&mut self, change: &Change) -> Result<(), Refusal> {
        if change.is_policy() {
            return Err(Refusal::NotState);
        }
        let state = self.draft;
        let (live, draft) = self.split();
        live.learn(change)?;
        // What the draft has no place for is learned again when it is needed.
        let followed = match state {
            Draft::Equal | Draft::Prepared => draft.learn(change),
            Draft::Begun { .. } => draft.change(change),
            Draft::Stale => Ok(()),
        };
        if state == Draft::Equal && followed.is_err() {
            self.draft = Draft::Stale;
        }
        Ok(())
    }

    /// Makes the draft equal to the live copy, whatever it held.
    fn follow(&mut self) -> Result<(), Refused> {
        let is_equal = self.draft == Draft::Equal;
        let (live, draft) = self.split();
        let followed = match is_equal {
            true if live.has_capacity_of(draft) => Ok(()),
            true => Err(UnequalCapacity),
            false => draft.copy_from(live),
        };
        followed.map_err(|unequal| Refused {
            change: 0,
            why: Refusal::UnequalCapacity(unequal),
        })?;
        self.draft = Draft::Equal;
        Ok(())
    }
}

impl Refused {
    const NOT_BEGUN: Self = Self {
        change: 0,
        why: Refusal::NotBegun,
    };
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
    pub fn commit(mut self) {
        let Self {
            policies,
            transaction,
        } = &mut self;
        policies.first = !policies.first;
        let (_, other) = policies.split();
        // The other copy was equal, so that what one took the other takes, and nothing is to be copied.
        policies.draft = match other.apply(transaction) {
            Ok(()) => Draft::Equal,
            Err(_) => Draft::Stale,
        };
    }

    /// Forgets the transaction.
    pub fn abort(self) {}
}

impl Drop for Prepared<'_, '_, '_> {
    fn drop(&mut self) {
        self.policies.abort_draft();
    }
}

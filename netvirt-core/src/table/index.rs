//! The index of entries by something other than their own key.

use managed::ManagedSlice;

use super::cpu::Cpu;
use super::cuckoo::{Candidates, Cuckoo, Probe, TagBucket};
use super::hash::{Key, Seed};
use super::{Full, UnequalCapacity};

/// Numbers of entries that are stored elsewhere, found by a second key of theirs: the provider address under
/// IP rewrite, whose lookup record stands in an [`ExactTable`](super::ExactTable) under its customer address.
///
/// The index holds tags and numbers, six bytes a slot, but no keys: whoever looks up decides by the
/// entry of that number whether it is the right one. When entries move, [`repoint`](Self::repoint)
/// follows them.
pub struct Index<'s> {
    numbers: Cuckoo<'s, u32>,
    seed: Seed,
}

impl<'s> Index<'s> {
    /// An empty index in this storage; `tags` all [`TagBucket::EMPTY`]. Storage for N numbers is
    /// [`buckets_for`](super::buckets_for)`(N)` tag buckets and
    /// [`SLOTS_PER_BUCKET`](super::SLOTS_PER_BUCKET) times as many slots.
    pub const fn new(
        tags: ManagedSlice<'s, TagBucket>,
        slots: ManagedSlice<'s, u32>,
        seed: Seed,
    ) -> Self {
        Self {
            numbers: Cuckoo::new(tags, slots),
            seed,
        }
    }

    /// How many numbers the index holds.
    pub const fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether the index holds no number.
    pub const fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The number of slots.
    pub fn capacity(&self) -> usize {
        self.numbers.capacity()
    }

    /// Stage one of a lookup in a batch: where the number for `key` can be.
    #[inline(always)]
    pub fn probe(&self, key: &Key) -> Probe {
        self.numbers.probe(self.seed.hash(key))
    }

    /// Stage one: asks for the tags there.
    #[inline(always)]
    pub fn prefetch_tags<C: Cpu>(&self, probe: &Probe) {
        self.numbers.prefetch_tags::<C>(probe);
    }

    /// Stage two: matches the tags and asks for the numbers they belong to.
    #[inline(always)]
    pub fn candidates<C: Cpu>(&self, probe: &Probe) -> Candidates {
        self.numbers.candidates::<C>(probe)
    }

    /// Between stages two and three: the number that most likely is the right one, so that the entry which it
    /// stands for can be asked for.
    #[inline(always)]
    pub fn likely_number(&self, candidates: &Candidates) -> Option<u32> {
        self.numbers.first_candidate(candidates).copied()
    }

    /// Stage three: the candidate that `is_match` recognises as the number for the key.
    #[inline(always)]
    pub fn resolve(&self, candidates: &Candidates, is_match: impl Fn(u32) -> bool) -> Option<u32> {
        let (_, number) = self
            .numbers
            .resolve(candidates, |&number| is_match(number))?;
        Some(*number)
    }

    /// The number for `key` that `is_match` recognises.
    #[inline]
    pub fn find(&self, key: &Key, is_match: impl Fn(u32) -> bool) -> Option<u32> {
        let slot = self
            .numbers
            .find(self.seed.hash_one(key), |&number| is_match(number))?;
        self.numbers.get(slot).copied()
    }

    /// Adds `number` for a `key` that has none yet.
    ///
    /// # Errors
    /// [`Full`] if there is no room; nothing has changed then.
    pub fn insert(&mut self, key: &Key, number: u32) -> Result<(), Full> {
        self.numbers
            .insert_new(self.seed.hash_one(key), number, |_, _, _| {})?;
        Ok(())
    }

    /// Takes `number` for `key` out; false if it was not there.
    pub fn remove(&mut self, key: &Key, number: u32) -> bool {
        let slot = self.slot_of(key, number);
        slot.and_then(|slot| self.numbers.remove(slot)).is_some()
    }

    /// Puts the number `to` in the place of `from` for `key`; false if `from` was not there.
    pub fn repoint(&mut self, key: &Key, from: u32, to: u32) -> bool {
        let slot = self.slot_of(key, from);
        match slot.and_then(|slot| self.numbers.get_mut(slot)) {
            Some(number) => {
                *number = to;
                true
            }
            None => false,
        }
    }

    /// Removes all numbers, and makes storage that served before an empty index.
    pub fn clear(&mut self) {
        self.numbers.clear();
    }

    /// Makes this index a copy of `other`, seed included.
    ///
    /// # Errors
    /// [`UnequalCapacity`] if the two differ in capacity; nothing is copied then.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        self.numbers.copy_from(&other.numbers)?;
        self.seed = other.seed;
        Ok(())
    }

    fn slot_of(&self, key: &Key, number: u32) -> Option<u32> {
        self.numbers
            .find(self.seed.hash_one(key), |&held| held == number)
    }
}

//! The exact-match table of lookup records.

use managed::ManagedSlice;

use super::cpu::Cpu;
use super::cuckoo::{Candidates, Cuckoo, Probe, TagBucket};
use super::hash::{Key, Seed};
use super::{Full, UnequalCapacity};

/// What an [`ExactTable`] holds. Best of 64 bytes and aligned to them, so that an entry is one cache line.
pub trait Entry: Copy {
    /// What the entry is found by. It must not change while the entry is in a table.
    fn key(&self) -> Key;
}

/// Entries found by their [`Key`], in storage that the caller provides.
///
/// A batch looks up in stages, each for all its keys before the next: [`probe`](Self::probe) and
/// [`prefetch_tags`](Self::prefetch_tags), then [`candidates`](Self::candidates), then
/// [`resolve`](Self::resolve). Waiting for memory then overlaps.
pub struct ExactTable<'s, E: Entry> {
    entries: Cuckoo<'s, E>,
    seed: Seed,
}

impl<'s, E: Entry> ExactTable<'s, E> {
    /// An empty table in this storage; `tags` all [`TagBucket::EMPTY`]. Storage for N entries is
    /// [`buckets_for`](super::buckets_for)`(N)` tag buckets and
    /// [`SLOTS_PER_BUCKET`](super::SLOTS_PER_BUCKET) times as many slots.
    pub const fn new(
        tags: ManagedSlice<'s, TagBucket>,
        slots: ManagedSlice<'s, E>,
        seed: Seed,
    ) -> Self {
        Self {
            entries: Cuckoo::new(tags, slots),
            seed,
        }
    }

    /// The number of entries.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of slots.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// Stage one: where the entry of `key` can be.
    #[inline(always)]
    pub fn probe(&self, key: &Key) -> Probe {
        self.entries.probe(self.seed.hash(key))
    }

    /// Stage one: asks for the tags there.
    #[inline(always)]
    pub fn prefetch_tags<C: Cpu>(&self, probe: &Probe) {
        self.entries.prefetch_tags::<C>(probe);
    }

    /// Stage two: matches the tags and asks for the entries they belong to.
    #[inline(always)]
    pub fn candidates<C: Cpu>(&self, probe: &Probe) -> Candidates {
        self.entries.candidates::<C>(probe)
    }

    /// Stage three: the entry of `key` and its slot, given the candidates for it.
    #[inline(always)]
    pub fn resolve(&self, candidates: &Candidates, key: &Key) -> Option<(u32, &E)> {
        self.entries
            .resolve(candidates, |entry| entry.key() == *key)
    }

    /// The entry of `key`.
    #[inline]
    pub fn get(&self, key: &Key) -> Option<&E> {
        self.at(self.slot_of(key)?)
    }

    /// The slot in which the entry of `key` is, until the table changes.
    #[inline]
    pub fn slot_of(&self, key: &Key) -> Option<u32> {
        self.entries
            .find(self.seed.hash_one(key), |entry| entry.key() == *key)
    }

    /// The entry in `slot`.
    #[inline]
    pub fn at(&self, slot: u32) -> Option<&E> {
        self.entries.get(slot)
    }

    /// The entry in a slot that a lookup found since the table last changed.
    #[inline(always)]
    pub(crate) fn found(&self, slot: u32) -> Option<&E> {
        self.entries.found(slot)
    }

    /// Asks for the entry in `slot`.
    #[inline(always)]
    pub fn prefetch<C: Cpu>(&self, slot: u32) {
        if let Some(entry) = self.entries.found(slot) {
            C::prefetch(entry);
        }
    }

    /// The entry in `slot`, to be changed in everything but its key.
    #[inline]
    pub fn at_mut(&mut self, slot: u32) -> Option<&mut E> {
        self.entries.get_mut(slot)
    }

    /// All entries with their slots, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &E)> {
        self.entries.iter()
    }

    /// Adds `entry` or puts it in the place of the one with its key. Returns its slot, and the one replaced.
    ///
    /// `moved` hears of each other entry that has to move, from one slot to another, in the order in which
    /// they move, always into a slot that is vacant by then.
    ///
    /// # Errors
    /// [`Full`] if there is no room; the table is unchanged and nothing has moved then.
    pub fn insert(
        &mut self,
        entry: E,
        moved: impl FnMut(&E, u32, u32),
    ) -> Result<(u32, Option<E>), Full> {
        let key = entry.key();
        if let Some(slot) = self.slot_of(&key)
            && let Some(present) = self.entries.get_mut(slot)
        {
            return Ok((slot, Some(core::mem::replace(present, entry))));
        }
        let slot = self
            .entries
            .insert_new(self.seed.hash_one(&key), entry, moved)?;
        Ok((slot, None))
    }

    /// Takes out the entry of `key`, and returns it with the slot it was in.
    pub fn remove(&mut self, key: &Key) -> Option<(u32, E)> {
        let slot = self.slot_of(key)?;
        Some((slot, self.entries.remove(slot)?))
    }

    /// Removes all entries, and makes storage that served before an empty table.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Makes this table a copy of `other`, seed included, with every entry in the same slot.
    ///
    /// # Errors
    /// [`UnequalCapacity`] if the tables differ in capacity; nothing is copied then.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        self.entries.copy_from(&other.entries)?;
        self.seed = other.seed;
        Ok(())
    }
}

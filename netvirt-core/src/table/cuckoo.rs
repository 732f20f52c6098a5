//! The core of the exact-match tables: two choices of bucket, eight slots a bucket, and a 16-bit tag a slot
//! in an array of its own, so that a lookup reads two tag lines and, nearly always, one payload.

use core::hint::select_unpredictable;

use managed::ManagedSlice;

use super::cpu::{Cpu, Portable};
use super::{Full, UnequalCapacity};

/// Payload slots that belong to one [`TagBucket`].
pub const SLOTS_PER_BUCKET: usize = 8;

/// How many buckets an insertion may look at for a vacant slot. Tables of up to this many buckets are
/// searched exhaustively.
const SEARCH_LIMIT: usize = 128;

const VACANT: u16 = 0;

/// The tags of one bucket's eight slots. All-zero bytes are an empty bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct TagBucket([u16; SLOTS_PER_BUCKET]);

impl TagBucket {
    /// A bucket of eight vacant slots.
    pub const EMPTY: Self = Self([VACANT; SLOTS_PER_BUCKET]);

    #[inline(always)]
    fn vacant(&self) -> u8 {
        Portable::match_tags(&self.0, VACANT)
    }
}

/// The buckets that a table needs to take `records` records of any mix: one [`TagBucket`] and
/// [`SLOTS_PER_BUCKET`] slots each.
///
/// Up to 16 records fit without a spare slot, whatever they are. More get 32 spare slots and at least one for
/// every eight records: 36 buckets for 256 records, and 74.3 bytes for each of a million records of 64 bytes. A
/// seed under which so many records crowd too few buckets is rarer than one in 10^9.
pub const fn buckets_for(records: usize) -> usize {
    if records <= 2 * SLOTS_PER_BUCKET {
        return records.div_ceil(SLOTS_PER_BUCKET);
    }
    let share = records / 8;
    let spare = if share > 32 { share } else { 32 };
    records
        .saturating_add(spare)
        .div_ceil(SLOTS_PER_BUCKET)
        .next_multiple_of(2)
}

/// Where an entry of some hash can be: two buckets, and the tag that it carries there.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    // Not an array of two: read back as one word it waits for both halves to be stored, which doubles the
    // time of a lookup in a batch.
    first: u32,
    second: u32,
    tag: u16,
}

/// The slots of both buckets whose tag is that of the probe: nearly always the one slot of a key that is
/// present, and none of a key that is absent. Valid until the table changes.
#[derive(Debug, Clone, Copy)]
pub struct Candidates {
    first: u32,
    second: u32,
    mask: u16,
}

impl Probe {
    /// What stands in a place for a probe before there is one.
    pub(crate) const NOWHERE: Self = Self {
        first: 0,
        second: 0,
        tag: VACANT,
    };
}

impl Candidates {
    /// No slot.
    pub(crate) const NONE: Self = Self {
        first: 0,
        second: 0,
        mask: 0,
    };

    /// The first of them.
    #[inline(always)]
    fn first(&self) -> Option<u32> {
        let lane = self.mask.trailing_zeros();
        let bucket = select_unpredictable(lane < 8, self.first, self.second);
        (self.mask != 0).then_some(slot_number(bucket, lane & 7))
    }

    #[inline(always)]
    fn slots(self) -> impl Iterator<Item = u32> {
        let Self {
            first,
            second,
            mut mask,
        } = self;
        core::iter::from_fn(move || {
            let lane = mask.trailing_zeros();
            if mask == 0 {
                return None;
            }
            mask &= mask.wrapping_sub(1);
            Some(slot_number(
                select_unpredictable(lane < 8, first, second),
                lane & 7,
            ))
        })
    }
}

/// A hash table of `V` without growth, allocation or deletion marks.
///
/// The buckets in use are as many as both storages provide. An entry can move to its other bucket knowing
/// only its tag and where it is, so the table never needs to see a key.
pub struct Cuckoo<'s, V: Copy> {
    tags: ManagedSlice<'s, TagBucket>,
    slots: ManagedSlice<'s, V>,
    len: u32,
}

impl<'s, V: Copy> Cuckoo<'s, V> {
    /// An empty table in this storage, `tags` all [`TagBucket::EMPTY`]; what `slots` holds does not matter.
    pub const fn new(tags: ManagedSlice<'s, TagBucket>, slots: ManagedSlice<'s, V>) -> Self {
        Self {
            tags,
            slots,
            len: 0,
        }
    }

    /// The number of entries.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of slots. Insertions start to be refused somewhat below it: see [`buckets_for`].
    pub fn capacity(&self) -> usize {
        self.buckets() as usize * SLOTS_PER_BUCKET
    }

    #[inline(always)]
    fn buckets(&self) -> u32 {
        let buckets = self.tags.len().min(self.slots.len() / SLOTS_PER_BUCKET);
        buckets.min(u32::MAX as usize / SLOTS_PER_BUCKET) as u32
    }

    /// Where an entry of `hash` can be.
    #[inline(always)]
    pub fn probe(&self, hash: u64) -> Probe {
        probe(self.buckets(), hash)
    }

    /// Asks for the tags of both buckets.
    #[inline(always)]
    pub fn prefetch_tags<C: Cpu>(&self, probe: &Probe) {
        for bucket in [probe.first, probe.second] {
            if let Some(tags) = self.tags.get(bucket as usize) {
                C::prefetch(tags);
            }
        }
    }

    /// Matches the tags of both buckets and asks for the first slot that matches, nearly always the only one.
    #[inline(always)]
    pub fn candidates<C: Cpu>(&self, probe: &Probe) -> Candidates {
        let candidates = candidates::<C>(&self.tags, probe);
        if let Some(value) = candidates
            .first()
            .and_then(|slot| self.slots.get(slot as usize))
        {
            C::prefetch(value);
        }
        candidates
    }

    /// The first candidate that `is_match` recognises, and its slot.
    #[inline(always)]
    pub fn resolve(
        &self,
        candidates: &Candidates,
        is_match: impl Fn(&V) -> bool,
    ) -> Option<(u32, &V)> {
        let slot = candidates.first()?;
        match self.slots.get(slot as usize) {
            Some(value) if is_match(value) => Some((slot, value)),
            _ => self.resolve_rest(candidates, is_match),
        }
    }

    /// Two keys of one bucket share a tag once in thousands.
    #[cold]
    #[inline(never)]
    fn resolve_rest(
        &self,
        candidates: &Candidates,
        is_match: impl Fn(&V) -> bool,
    ) -> Option<(u32, &V)> {
        candidates.slots().skip(1).find_map(|slot| {
            let value = self.slots.get(slot as usize)?;
            is_match(value).then_some((slot, value))
        })
    }

    /// The slot of the entry of `hash` that `is_match` recognises.
    #[inline]
    pub fn find(&self, hash: u64, is_match: impl Fn(&V) -> bool) -> Option<u32> {
        let candidates = look_up_one(&self.tags, self.buckets(), hash);
        self.resolve(&candidates, is_match).map(|(slot, _)| slot)
    }

    /// The entry in `slot`.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&V> {
        (self.tag(slot)? != VACANT).then(|| self.slots.get(slot as usize))?
    }

    /// The entry in a slot that a lookup found since the table last changed.
    #[inline(always)]
    pub(crate) fn found(&self, slot: u32) -> Option<&V> {
        self.slots.get(slot as usize)
    }

    /// The first candidate, not knowing yet whether it is the right one.
    #[inline(always)]
    pub(super) fn first_candidate(&self, candidates: &Candidates) -> Option<&V> {
        self.slots.get(candidates.first()? as usize)
    }

    /// The entry in `slot`, to be changed without changing what it is found by.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut V> {
        (self.tag(slot)? != VACANT).then(|| self.slots.get_mut(slot as usize))?
    }

    /// All entries with their slots, in the order of slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &V)> {
        let tags = self.tags.iter().flat_map(|bucket| bucket.0);
        let entries = (0..).zip(tags.zip(self.slots.iter()));
        entries.filter_map(|(slot, (tag, value))| (tag != VACANT).then_some((slot, value)))
    }

    /// Adds an entry that the table does not hold yet, and returns its slot.
    ///
    /// Others may have to move to their other bucket; `moved` hears of each that moves, from one slot to
    /// another, in the order in which they do, always into a slot that is vacant by then.
    ///
    /// # Errors
    /// [`Full`] if no vacant slot is in reach; nothing has moved then.
    pub fn insert_new(
        &mut self,
        hash: u64,
        value: V,
        moved: impl FnMut(&V, u32, u32),
    ) -> Result<u32, Full> {
        let probe = self.probe(hash);
        let slot = match vacant_slot(&self.tags, self.buckets(), &probe) {
            Some(slot) => slot,
            None => self.make_room(&probe, moved).ok_or(Full)?,
        };
        self.put(slot, probe.tag, value);
        self.len = self.len.wrapping_add(1);
        Ok(slot)
    }

    /// Takes out the entry in `slot`.
    pub fn remove(&mut self, slot: u32) -> Option<V> {
        let value = *self.get(slot)?;
        *self.tag_mut(slot)? = VACANT;
        self.len = self.len.wrapping_sub(1);
        Some(value)
    }

    /// Removes all entries, and makes storage that served before an empty table.
    pub fn clear(&mut self) {
        self.tags.fill(TagBucket::EMPTY);
        self.len = 0;
    }

    /// Makes this table a copy of `other`, entry for entry in the same slots.
    ///
    /// # Errors
    /// [`UnequalCapacity`] if the tables differ in capacity; nothing is copied then.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        if self.buckets() != other.buckets() {
            return Err(UnequalCapacity);
        }
        let tags = self.tags.iter_mut().zip(other.tags.iter());
        let slots = self.slots.as_chunks_mut::<SLOTS_PER_BUCKET>().0.iter_mut();
        let others = other.slots.as_chunks::<SLOTS_PER_BUCKET>().0.iter();
        for ((tags, other_tags), (slots, other_slots)) in tags.zip(slots.zip(others)) {
            *tags = *other_tags;
            *slots = *other_slots;
        }
        self.len = other.len;
        Ok(())
    }

    /// Frees a slot in one of the two buckets by the shortest chain of moves. What has moved out of the slot
    /// still stands there too, and is to be overwritten.
    #[cold]
    fn make_room(&mut self, probe: &Probe, mut moved: impl FnMut(&V, u32, u32)) -> Option<u32> {
        let mut path = Path::new();
        let mut hole = path_to_hole(&self.tags, self.buckets(), probe, &mut path)?;
        let mut step = *path.last()?;
        while let Some((parent, lane)) = step.parent {
            step = *path.get(usize::from(parent))?;
            let from = slot_number(step.bucket, lane.into());
            let value = *self.slots.get(from as usize)?;
            self.put(hole, self.tag(from)?, value);
            moved(&value, from, hole);
            hole = from;
        }
        Some(hole)
    }

    fn put(&mut self, slot: u32, tag: u16, value: V) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = value;
        }
        if let Some(place) = self.tag_mut(slot) {
            *place = tag;
        }
    }

    #[inline]
    fn tag(&self, slot: u32) -> Option<u16> {
        let bucket = self.tags.get(slot as usize / SLOTS_PER_BUCKET)?;
        bucket.0.get(slot as usize % SLOTS_PER_BUCKET).copied()
    }

    fn tag_mut(&mut self, slot: u32) -> Option<&mut u16> {
        let bucket = self.tags.get_mut(slot as usize / SLOTS_PER_BUCKET)?;
        bucket.0.get_mut(slot as usize % SLOTS_PER_BUCKET)
    }
}

/// The buckets that a search has seen, each once.
type Path = heapless::Vec<Step, SEARCH_LIMIT>;

#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    /// The step before, and the lane there whose entry has its other place in this bucket.
    parent: Option<(u8, u8)>,
}

const _: () = assert!(SEARCH_LIMIT <= u8::MAX as usize);

#[inline(always)]
fn probe(buckets: u32, hash: u64) -> Probe {
    let tag = hash as u16;
    let tag = if tag == VACANT { 1 } else { tag };
    let first = reduce((hash >> 32) as u32, buckets);
    let second = other_bucket(first, tag, buckets);
    Probe { first, second, tag }
}

#[inline(always)]
fn candidates<C: Cpu>(tags: &[TagBucket], probe: &Probe) -> Candidates {
    let Probe { first, second, tag } = *probe;
    let matches = |bucket: u32| {
        let tags = tags.get(bucket as usize);
        tags.map_or(0, |tags| u16::from(C::match_tags(&tags.0, tag)))
    };
    Candidates {
        first,
        second,
        mask: matches(first) | matches(second) << 8,
    }
}

/// Both stages for a lookup that is not one of a batch. Such lookups are many and seldom on a frame's way, so that they share one
/// copy of this.
#[inline(never)]
fn look_up_one(tags: &[TagBucket], buckets: u32, hash: u64) -> Candidates {
    candidates::<Portable>(tags, &probe(buckets, hash))
}

/// Searches breadth first for a bucket with a vacant slot, which is that of the last step.
fn path_to_hole(tags: &[TagBucket], buckets: u32, probe: &Probe, path: &mut Path) -> Option<u32> {
    for bucket in [probe.first, probe.second] {
        path.push(Step {
            bucket,
            parent: None,
        })
        .ok()?;
    }
    let mut next = 0;
    while let Some(&Step { bucket, .. }) = path.get(next) {
        let tags_there = tags.get(bucket as usize)?;
        for (lane, tag) in (0..).zip(tags_there.0) {
            let target = other_bucket(bucket, tag, buckets);
            if path.iter().any(|step| step.bucket == target) {
                continue;
            }
            let parent = Some((next as u8, lane));
            path.push(Step {
                bucket: target,
                parent,
            })
            .ok()?;
            let vacant = vacant_lanes(tags, buckets, target);
            if vacant != 0 {
                return Some(slot_number(target, vacant.trailing_zeros()));
            }
        }
        next = next.wrapping_add(1);
    }
    None
}

/// A vacant slot in the emptier of the two buckets.
fn vacant_slot(tags: &[TagBucket], buckets: u32, probe: &Probe) -> Option<u32> {
    let first = vacant_lanes(tags, buckets, probe.first);
    let second = vacant_lanes(tags, buckets, probe.second);
    let (bucket, lanes) = if second.count_ones() > first.count_ones() {
        (probe.second, second)
    } else {
        (probe.first, first)
    };
    (lanes != 0).then(|| slot_number(bucket, lanes.trailing_zeros()))
}

fn vacant_lanes(tags: &[TagBucket], buckets: u32, bucket: u32) -> u8 {
    let in_use = bucket < buckets;
    tags.get(bucket as usize)
        .filter(|_| in_use)
        .map_or(0, TagBucket::vacant)
}

#[inline(always)]
fn slot_number(bucket: u32, lane: u32) -> u32 {
    bucket
        .wrapping_mul(SLOTS_PER_BUCKET as u32)
        .wrapping_add(lane)
}

/// Spreads 32 random bits over `0..buckets` without a division.
#[inline(always)]
fn reduce(random: u32, buckets: u32) -> u32 {
    (u64::from(random).wrapping_mul(u64::from(buckets)) >> 32) as u32
}

/// The other bucket in which an entry with `tag` in `bucket` can be: the two add up to a number that
/// depends on the tag alone, so each is the other's other.
///
/// That number is odd where the buckets are an even number, so that an entry always has two buckets.
#[inline(always)]
fn other_bucket(bucket: u32, tag: u16, buckets: u32) -> u32 {
    let random = u32::from(tag).wrapping_mul(0x9e37_79b1);
    let sum = reduce(random, buckets) | (!buckets & 1);
    let around = select_unpredictable(sum < bucket, buckets, 0);
    sum.wrapping_sub(bucket).wrapping_add(around)
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn each_bucket_is_the_other_of_its_other_and_even_tables_always_have_two() {
        for buckets in [1, 2, 3, 10, 37, 38, 140_626, u32::MAX / 8] {
            for tag in (1..=u16::MAX).step_by(7) {
                for bucket in [0, 1, buckets / 2, buckets - 1].map(|bucket| bucket % buckets) {
                    let other = other_bucket(bucket, tag, buckets);
                    assert!(other < buckets);
                    assert_eq!(other_bucket(other, tag, buckets), bucket);
                    assert!(buckets % 2 == 1 || other != bucket);
                }
            }
        }
    }

    #[test]
    fn a_hash_without_tag_bits_is_found_like_any_other() {
        let mut tags = [TagBucket::EMPTY; 2];
        let mut slots = [0u32; 16];
        let mut table = Cuckoo::new(
            ManagedSlice::Borrowed(&mut tags),
            ManagedSlice::Borrowed(&mut slots),
        );
        assert_eq!(
            table.find(0, |_| true),
            None,
            "vacant slots are no candidates"
        );
        let slot = table.insert_new(0, 7, |_, _, _| {}).unwrap();
        assert_eq!(table.find(0, |&value| value == 7), Some(slot));
    }

    #[test]
    fn only_buckets_that_both_storages_provide_are_used() {
        for (tag_buckets, slots) in [(3, 16), (2, 31), (2, 16), (2, 23), (2, 7), (0, 8)] {
            let usable = (slots / 8).min(tag_buckets);
            let mut tags = vec![TagBucket::EMPTY; tag_buckets];
            let mut slots = vec![0u64; slots];
            let mut table = Cuckoo::new(
                ManagedSlice::Borrowed(&mut tags),
                ManagedSlice::Borrowed(&mut slots),
            );
            assert_eq!(table.capacity(), usable * 8);
            let hashes = (0..1000u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let accepted =
                hashes.filter(|&hash| table.insert_new(hash, hash, |_, _, _| {}).is_ok());
            assert_eq!(
                accepted.count(),
                usable * 8,
                "two buckets or one can be filled entirely"
            );
            assert_eq!(
                table.insert_new(5, 5, |_, _, _| panic!("nothing may move")),
                Err(Full)
            );
        }
    }

    #[test]
    fn a_copy_needs_the_same_capacity() {
        let (mut tags, mut slots) = ([TagBucket::EMPTY; 2], [0u32; 16]);
        let (mut more_tags, mut more_slots) = ([TagBucket::EMPTY; 4], [0u32; 32]);
        let mut table = Cuckoo::new(
            ManagedSlice::Borrowed(&mut tags),
            ManagedSlice::Borrowed(&mut slots),
        );
        let mut larger = Cuckoo::new(
            ManagedSlice::Borrowed(&mut more_tags),
            ManagedSlice::Borrowed(&mut more_slots),
        );
        table.insert_new(1, 1, |_, _, _| {}).unwrap();
        assert_eq!(larger.copy_from(&table), Err(UnequalCapacity));
        assert!(larger.is_empty());
    }
}

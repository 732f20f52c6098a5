//! Longest prefix: nested prefixes flattened to intervals that do not overlap, sorted, in one pool for all
//! owners of a family.

use core::cell::Cell;
use core::marker::PhantomData;

use managed::ManagedSlice;

use super::{Full, UnequalCapacity};
use crate::address::AddressBits;

/// Addresses from a start to the start of the next interval, which all have the same value.
pub trait Interval: Copy {
    /// The highest address of the family, as a number.
    const LAST_ADDRESS: u128;

    /// The interval from `start` on; value 0 says that no prefix covers it.
    fn new(start: u128, value: u32) -> Self;

    /// Whether the interval starts at or before `address`.
    fn starts_by(&self, address: AddressBits) -> bool;

    /// The value, 0 for none.
    fn value(&self) -> u32;
}

/// An [`Interval`] of IPv4 addresses: 8 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv4Interval {
    start: u32,
    value: u32,
}

impl Ipv4Interval {
    /// What storage is filled with.
    pub const EMPTY: Self = Self { start: 0, value: 0 };
}

impl Interval for Ipv4Interval {
    const LAST_ADDRESS: u128 = u32::MAX as u128;

    fn new(start: u128, value: u32) -> Self {
        Self {
            start: start as u32,
            value,
        }
    }

    #[inline(always)]
    fn starts_by(&self, address: AddressBits) -> bool {
        self.start <= address.low as u32
    }

    #[inline(always)]
    fn value(&self) -> u32 {
        self.value
    }
}

/// An [`Interval`] of IPv6 addresses: 24 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv6Interval {
    start: AddressBits,
    value: u32,
}

impl Ipv6Interval {
    /// What storage is filled with.
    pub const EMPTY: Self = Self {
        start: AddressBits { high: 0, low: 0 },
        value: 0,
    };
}

impl Interval for Ipv6Interval {
    const LAST_ADDRESS: u128 = u128::MAX;

    fn new(start: u128, value: u32) -> Self {
        let start = AddressBits {
            high: (start >> 64) as u64,
            low: start as u64,
        };
        Self { start, value }
    }

    #[inline(always)]
    fn starts_by(&self, address: AddressBits) -> bool {
        // In words, not as one u128: the search then takes less than half the time.
        let AddressBits { high, low } = self.start;
        (high < address.high) | ((high == address.high) & (low <= address.low))
    }

    #[inline(always)]
    fn value(&self) -> u32 {
        self.value
    }
}

/// One owner's intervals within a pool. All-zero is an owner without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Run {
    offset: u32,
    len: u32,
}

impl Run {
    /// No intervals: every lookup finds nothing.
    pub const EMPTY: Self = Self { offset: 0, len: 0 };

    /// The number of intervals.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there is no interval.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A prefix and what a lookup of an address in it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixValue {
    /// The first address of the prefix.
    pub base: AddressBits,
    /// The number of leading bits that are fixed.
    pub length: u8,
    /// What is found; 0 says that nothing is, whatever shorter prefix there is.
    pub value: u32,
}

/// A pool of IPv4 intervals.
pub type Ipv4Pool<'s> = IntervalPool<'s, Ipv4Interval>;
/// A pool of IPv6 intervals.
pub type Ipv6Pool<'s> = IntervalPool<'s, Ipv6Interval>;

/// The intervals of all owners, each owner's in one [`Run`], without gaps between the runs.
///
/// An owner with n prefixes needs at most 2n intervals: one where each prefix starts, and one where what
/// is around it goes on.
pub struct IntervalPool<'s, I: Interval> {
    intervals: ManagedSlice<'s, I>,
    used: u32,
}

impl<'s, I: Interval> IntervalPool<'s, I> {
    /// An empty pool in this storage; what it holds does not matter.
    pub const fn new(intervals: ManagedSlice<'s, I>) -> Self {
        Self { intervals, used: 0 }
    }

    /// The number of intervals in use.
    pub const fn used(&self) -> usize {
        self.used as usize
    }

    /// The number of intervals that there is storage for.
    pub fn capacity(&self) -> usize {
        self.intervals.len().min(u32::MAX as usize)
    }

    /// The value of the longest prefix of the owner of `run` that `address` lies in.
    #[inline]
    pub fn lookup(&self, run: Run, address: AddressBits) -> Option<u32> {
        let start = run.offset as usize;
        let intervals = self.intervals.get(start..start.wrapping_add(run.len()))?;
        let behind = intervals.partition_point(|interval| interval.starts_by(address));
        let value = intervals.get(behind.wrapping_sub(1))?.value();
        (value != 0).then_some(value)
    }

    /// Replaces the intervals of `run` by those of `prefixes`, and returns the run they are in now.
    ///
    /// `prefixes` must be sorted by base, then by length; of equal prefixes the first counts. `runs` must
    /// give every run of this pool, because those behind `run` may have to be moved; `run` itself may be
    /// among them, unchanged, and is then to be overwritten with what is returned. A run that was empty goes
    /// to the end of the pool and moves no other, so `runs` is not asked.
    ///
    /// # Errors
    /// [`Full`] if the intervals do not fit, or if `run` is none of this pool; nothing has changed then.
    pub fn rebuild<'r>(
        &mut self,
        run: Run,
        prefixes: impl Iterator<Item = PrefixValue> + Clone,
        runs: impl Iterator<Item = &'r mut Run>,
    ) -> Result<Run, Full> {
        let mut count = 0u32;
        flatten::<I>(prefixes.clone(), |_| count = count.saturating_add(1));
        let run = self.resize(run, count, runs)?;
        let mut places = self.intervals.iter_mut().skip(run.offset as usize);
        flatten::<I>(prefixes, |interval| {
            if let Some(place) = places.next() {
                *place = interval;
            }
        });
        Ok(run)
    }

    /// Forgets the intervals of all owners, whose runs must be made empty with it.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Makes this pool a copy of `other`, so that the same runs are valid in it.
    ///
    /// # Errors
    /// [`UnequalCapacity`] if the two differ in capacity; nothing is copied then.
    pub fn copy_from(&mut self, other: &Self) -> Result<(), UnequalCapacity> {
        if self.capacity() != other.capacity() {
            return Err(UnequalCapacity);
        }
        let places = self.intervals.iter_mut().zip(other.intervals.iter());
        for (place, interval) in places.take(other.used()) {
            *place = *interval;
        }
        self.used = other.used;
        Ok(())
    }

    /// Gives `run` room for `len` intervals, and moves what is behind it so that no gap stays.
    fn resize<'r>(
        &mut self,
        run: Run,
        len: u32,
        runs: impl Iterator<Item = &'r mut Run>,
    ) -> Result<Run, Full> {
        let offset = if run.is_empty() {
            self.used
        } else {
            run.offset
        };
        let end = offset
            .checked_add(run.len)
            .filter(|&end| end <= self.used)
            .ok_or(Full)?;
        let shift = |position: u32| position.checked_sub(run.len)?.checked_add(len);
        let used = shift(self.used).ok_or(Full)?;
        if used as usize > self.capacity() {
            return Err(Full);
        }
        if end < self.used && len != run.len {
            let new_end = offset.wrapping_add(len);
            let behind = self.used.wrapping_sub(end) as usize;
            slide(&mut self.intervals, end as usize, new_end as usize, behind);
            for other in runs.filter(|other| !other.is_empty() && other.offset >= end) {
                other.offset = shift(other.offset).unwrap_or(other.offset);
            }
        }
        self.used = used;
        Ok(if len == 0 {
            Run::EMPTY
        } else {
            Run { offset, len }
        })
    }
}

/// Turns nested prefixes into intervals that do not overlap, neighbours of one value merged.
fn flatten<I: Interval>(prefixes: impl Iterator<Item = PrefixValue>, emit: impl FnMut(I)) {
    let mut open = OpenPrefixes::<I>::NONE;
    let mut intervals = Intervals::to(emit);
    for PrefixValue {
        base,
        length,
        value,
    } in prefixes
    {
        let base = base.to_u128();
        while let Some(next) = open.close_before(base) {
            intervals.start(next, open.value());
        }
        if open.open(base, length, value) {
            intervals.start(base, value);
        }
    }
    while let Some(next) = open.close() {
        intervals.start(next, open.value());
    }
    intervals.finish();
}

/// The prefixes that the address arrived at lies in, the longest on top.
struct OpenPrefixes<I> {
    stack: heapless::Vec<OpenPrefix, MAX_NESTED>,
    /// An address in all of them.
    inside: u128,
    family: PhantomData<I>,
}

/// Lengths 0 to 128.
const MAX_NESTED: usize = 129;

struct OpenPrefix {
    length: u8,
    value: u32,
}

impl<I: Interval> OpenPrefixes<I> {
    const NONE: Self = Self {
        stack: heapless::Vec::new(),
        inside: 0,
        family: PhantomData,
    };

    /// The value of the longest open prefix.
    fn value(&self) -> u32 {
        self.stack.last().map_or(0, |open| open.value)
    }

    /// The last address of the longest open prefix.
    fn last_address(&self) -> Option<u128> {
        let length = u32::from(self.stack.last()?.length);
        Some(self.inside | I::LAST_ADDRESS.checked_shr(length).unwrap_or(0))
    }

    /// Closes the longest open prefix. Returns the address behind it, unless it ends with the family.
    fn close(&mut self) -> Option<u128> {
        let last = self.last_address()?;
        self.stack.pop();
        (last < I::LAST_ADDRESS).then(|| last.wrapping_add(1))
    }

    /// Closes the longest open prefix if it ends before `address`.
    fn close_before(&mut self, address: u128) -> Option<u128> {
        if self.last_address()? < address {
            self.close()
        } else {
            None
        }
    }

    /// Opens a prefix inside the longest open one; false if it is the same prefix.
    fn open(&mut self, base: u128, length: u8, value: u32) -> bool {
        let is_longer = self.stack.last().is_none_or(|open| open.length < length);
        self.inside = base;
        is_longer && self.stack.push(OpenPrefix { length, value }).is_ok()
    }
}

/// The intervals on their way out, each held back until it is known where the next one starts.
struct Intervals<I, E: FnMut(I)> {
    pending: Option<(u128, u32)>,
    value_before: u32,
    emit: E,
    family: PhantomData<I>,
}

impl<I: Interval, E: FnMut(I)> Intervals<I, E> {
    fn to(emit: E) -> Self {
        Self {
            pending: None,
            value_before: 0,
            emit,
            family: PhantomData,
        }
    }

    /// From `start` on the value is `value`, whatever was said of this start before.
    fn start(&mut self, start: u128, value: u32) {
        if self.pending.is_some_and(|(pending, _)| pending != start) {
            self.finish();
        }
        self.pending = Some((start, value));
    }

    fn finish(&mut self) {
        if let Some((start, value)) = self.pending.take()
            && value != self.value_before
        {
            (self.emit)(I::new(start, value));
            self.value_before = value;
        }
    }
}

/// Moves `len` elements from one place to another that may overlap it.
fn slide<T: Copy>(elements: &mut [T], from: usize, to: usize, len: usize) {
    let cells = Cell::from_mut(elements).as_slice_of_cells();
    let place = |start: usize| cells.get(start..start.checked_add(len)?);
    let (Some(source), Some(target)) = (place(from), place(to)) else {
        return;
    };
    let moves = source.iter().zip(target);
    if to < from {
        moves.for_each(|(source, target)| target.set(source.get()));
    } else {
        moves
            .rev()
            .for_each(|(source, target)| target.set(source.get()));
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use std::vec::Vec;

    use super::*;
    use crate::address::Prefix;

    fn prefixes(list: &[(&str, u32)]) -> Vec<PrefixValue> {
        let mut prefixes: Vec<_> = list
            .iter()
            .map(|(text, value)| {
                let prefix: Prefix = text.parse().unwrap();
                let base = AddressBits::from_ip(prefix.address());
                PrefixValue {
                    base,
                    length: prefix.length(),
                    value: *value,
                }
            })
            .collect();
        prefixes.sort_by_key(|prefix| (prefix.base, prefix.length));
        prefixes
    }

    fn find<I: Interval>(pool: &IntervalPool<'_, I>, run: Run, address: &str) -> Option<u32> {
        pool.lookup(
            run,
            AddressBits::from_ip(address.parse::<IpAddr>().unwrap()),
        )
    }

    #[test]
    fn the_longest_prefix_wins_and_the_one_around_it_goes_on_behind_it() {
        let mut storage = [Ipv4Interval::EMPTY; 8];
        let mut pool = Ipv4Pool::new(ManagedSlice::Borrowed(&mut storage));
        let routes = prefixes(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.1.0/24", 3)]);
        let run = pool
            .rebuild(Run::EMPTY, routes.into_iter(), [].iter_mut())
            .unwrap();
        for (address, value) in [
            ("9.255.255.255", None),
            ("10.0.0.0", Some(1)),
            ("10.1.0.255", Some(2)),
            ("10.1.1.0", Some(3)),
            ("10.1.1.255", Some(3)),
            ("10.1.2.0", Some(2)),
            ("10.2.0.0", Some(1)),
            ("11.0.0.0", None),
        ] {
            assert_eq!(find(&pool, run, address), value, "{address}");
        }
    }

    #[test]
    fn a_prefix_at_the_end_of_the_family_has_nothing_behind_it() {
        let mut storage = [Ipv6Interval::EMPTY; 3];
        let mut pool = Ipv6Pool::new(ManagedSlice::Borrowed(&mut storage));
        let routes = prefixes(&[("::/0", 1), ("ff00::/8", 2), ("::/128", 3)]);
        let run = pool
            .rebuild(Run::EMPTY, routes.into_iter(), [].iter_mut())
            .unwrap();
        assert_eq!(find(&pool, run, "::"), Some(3));
        assert_eq!(find(&pool, run, "::1"), Some(1));
        assert_eq!(
            find(&pool, run, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            Some(2)
        );
    }

    #[test]
    fn equal_prefixes_count_once_equal_neighbours_merge_and_zero_is_no_route() {
        let mut storage = [Ipv4Interval::EMPTY; 8];
        let mut pool = Ipv4Pool::new(ManagedSlice::Borrowed(&mut storage));
        let list = [
            ("10.0.0.0/9", 1),
            ("10.0.0.0/9", 2),
            ("10.128.0.0/9", 1),
            ("10.64.0.0/16", 0),
        ];
        let run = pool
            .rebuild(Run::EMPTY, prefixes(&list).into_iter(), [].iter_mut())
            .unwrap();
        assert_eq!(run.len(), 4, "start, hole, behind the hole, end");
        assert_eq!(find(&pool, run, "10.1.0.0"), Some(1));
        assert_eq!(find(&pool, run, "10.64.0.1"), None);
        assert_eq!(find(&pool, run, "10.200.0.0"), Some(1));
    }

    #[test]
    fn deepest_nesting_fits_in_two_intervals_a_prefix() {
        let mut storage = [Ipv6Interval::EMPTY; 2 * 129];
        let mut pool = Ipv6Pool::new(ManagedSlice::Borrowed(&mut storage));
        let base = AddressBits {
            high: 0x5555_5555_5555_5555,
            low: 0x5555_5555_5555_5555,
        };
        let nested = (0..=128u8).map(|length| {
            let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let bits = base.to_u128() & mask;
            let base = AddressBits {
                high: (bits >> 64) as u64,
                low: bits as u64,
            };
            PrefixValue {
                base,
                length,
                value: u32::from(length) + 1,
            }
        });
        let mut nested: Vec<_> = nested.collect();
        nested.sort_by_key(|prefix| (prefix.base, prefix.length));
        let run = pool
            .rebuild(Run::EMPTY, nested.into_iter(), [].iter_mut())
            .unwrap();
        assert_eq!(pool.lookup(run, base), Some(129));
        for bit in 0..128u8 {
            let bits = base.to_u128() ^ 1 << (127 - bit);
            let address = AddressBits {
                high: (bits >> 64) as u64,
                low: bits as u64,
            };
            assert_eq!(
                pool.lookup(run, address),
                Some(u32::from(bit) + 1),
                "/{bit}"
            );
        }
    }

    #[test]
    fn a_run_that_does_not_fit_changes_nothing() {
        let mut storage = [Ipv4Interval::EMPTY; 4];
        let mut pool = Ipv4Pool::new(ManagedSlice::Borrowed(&mut storage));
        let one = prefixes(&[("10.0.0.0/8", 1)]);
        let two = prefixes(&[("10.0.0.0/8", 7), ("12.0.0.0/8", 8)]);
        let first = pool
            .rebuild(Run::EMPTY, one.iter().copied(), [].iter_mut())
            .unwrap();
        let second = pool
            .rebuild(Run::EMPTY, one.into_iter(), [].iter_mut())
            .unwrap();
        let mut runs = [first, second];
        assert_eq!(
            pool.rebuild(first, two.iter().copied(), runs.iter_mut()),
            Err(Full)
        );
        assert_eq!((runs, pool.used()), ([first, second], 4));
        assert_eq!(find(&pool, first, "10.0.0.1"), Some(1));
        assert_eq!(find(&pool, second, "10.0.0.1"), Some(1));

        runs[0] = pool
            .rebuild(first, [].into_iter(), runs.iter_mut())
            .unwrap();
        assert_eq!((runs[0], pool.used()), (Run::EMPTY, 2));
        assert_eq!(find(&pool, runs[1], "10.0.0.1"), Some(1));
        assert_eq!(find(&pool, runs[0], "10.0.0.1"), None);
    }

    #[test]
    fn the_runs_of_a_pool_are_valid_in_its_copy() {
        let (mut storage, mut copied) = ([Ipv4Interval::EMPTY; 4], [Ipv4Interval::EMPTY; 4]);
        let mut larger = [Ipv4Interval::EMPTY; 5];
        let mut pool = Ipv4Pool::new(ManagedSlice::Borrowed(&mut storage));
        let mut copy = Ipv4Pool::new(ManagedSlice::Borrowed(&mut copied));
        let mut unequal = Ipv4Pool::new(ManagedSlice::Borrowed(&mut larger));
        let one = prefixes(&[("10.0.0.0/8", 1)]);
        let run = pool
            .rebuild(Run::EMPTY, one.into_iter(), [].iter_mut())
            .unwrap();
        assert_eq!(copy.copy_from(&pool), Ok(()));
        assert_eq!((copy.used(), find(&copy, run, "10.0.0.1")), (2, Some(1)));
        assert_eq!(unequal.copy_from(&pool), Err(UnequalCapacity));
        assert_eq!((unequal.used(), find(&unequal, run, "10.0.0.1")), (0, None));
    }
}

//! The tables against the obvious models: sorted maps, and a search through all prefixes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use managed::ManagedSlice;
use netvirt_core::AddressBits;
use netvirt_core::table::{
    Cuckoo, Entry, ExactTable, Full, Index, Interval, IntervalPool, Ipv4Interval, Ipv4Pool,
    Ipv6Interval, Ipv6Pool, Key, Portable, PrefixValue, Run, SLOTS_PER_BUCKET, Seed, TagBucket,
    buckets_for,
};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    key: Key,
    value: u32,
}

impl Entry for Record {
    fn key(&self) -> Key {
        self.key
    }
}

const NO_RECORD: Record = Record {
    key: key(0),
    value: 0,
};

const fn key(number: u32) -> Key {
    Key::new(
        0x0010_0001,
        AddressBits {
            high: 0,
            low: number as u64,
        },
    )
}

/// Few buckets, an odd number of them too, and none at all, so that moves and refusals are common.
fn buckets() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), Just(2), Just(3), Just(4), Just(7)]
}

#[derive(Debug, Clone)]
enum Operation {
    Insert { key: u32, value: u32 },
    Remove { key: u32 },
    Change { key: u32, value: u32 },
    Clear,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let key = 0..80u32;
    let operation = prop_oneof![
        120 => (key.clone(), any::<u32>()).prop_map(|(key, value)| Operation::Insert { key, value }),
        40 => key.clone().prop_map(|key| Operation::Remove { key }),
        20 => (key, any::<u32>()).prop_map(|(key, value)| Operation::Change { key, value }),
        1 => Just(Operation::Clear),
    ];
    prop::collection::vec(operation, 1..400)
}

fn content(table: &ExactTable<'_, Record>) -> Vec<(u32, Record)> {
    table.iter().map(|(slot, record)| (slot, *record)).collect()
}

proptest! {
    /// The mirror holds for every key the slot that the table reported, kept right by `moved` alone.
    #[test]
    fn exact_table_is_a_map(
        buckets in buckets(),
        seed in any::<(u64, u64)>(),
        operations in operations(),
    ) {
        let mut tags = vec![TagBucket::EMPTY; buckets];
        let mut slots = vec![NO_RECORD; buckets * SLOTS_PER_BUCKET];
        let mut table = ExactTable::new(
            ManagedSlice::Borrowed(&mut tags),
            ManagedSlice::Borrowed(&mut slots),
            Seed::new(seed.0, seed.1),
        );
        let mut model = BTreeMap::new();
        let mut mirror = BTreeMap::new();
        for operation in operations {
            match operation {
                Operation::Insert { key: number, value } => {
                    let record = Record { key: key(number), value };
                    let before = content(&table);
                    let mut keys: BTreeMap<_, _> =
                        mirror.iter().map(|(&key, &slot)| (slot, key)).collect();
                    let inserted = table.insert(record, |entry, from, to| {
                        let moved = keys.remove(&from).expect("only an entry moves");
                        assert_eq!(entry.key, key(moved));
                        assert_eq!(keys.insert(to, moved), None, "moved into a slot in use");
                    });
                    match inserted {
                        Ok((slot, replaced)) => {
                            prop_assert_eq!(replaced, model.insert(number, record));
                            keys.insert(slot, number);
                            mirror = keys.into_iter().map(|(slot, key)| (key, slot)).collect();
                        }
                        Err(Full) => {
                            prop_assert!(!model.contains_key(&number));
                            prop_assert_eq!(content(&table), before);
                        }
                    }
                }
                Operation::Remove { key: number } => {
                    let removed = table.remove(&key(number));
                    prop_assert_eq!(removed.map(|(slot, _)| slot), mirror.remove(&number));
                    prop_assert_eq!(removed.map(|(_, record)| record), model.remove(&number));
                }
                Operation::Change { key: number, value } => {
                    let slot = table.slot_of(&key(number));
                    prop_assert_eq!(slot.is_some(), model.contains_key(&number));
                    if let (Some(slot), Some(record)) = (slot, model.get_mut(&number)) {
                        record.value = value;
                        table.at_mut(slot).expect("the slot was found").value = value;
                    }
                }
                Operation::Clear => {
                    table.clear();
                    model.clear();
                    mirror.clear();
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.iter().count(), model.len());
            for number in 0..80 {
                let found = table.get(&key(number));
                prop_assert_eq!(found, model.get(&number));
                let candidates = table.candidates::<Portable>(&table.probe(&key(number)));
                let resolved = table.resolve(&candidates, &key(number));
                prop_assert_eq!(resolved.map(|(_, record)| record), found);
                let slot = mirror.get(&number).copied();
                prop_assert_eq!(table.slot_of(&key(number)), slot);
                prop_assert_eq!(slot.and_then(|slot| table.at(slot)), found);
            }
        }

        let mut tags = vec![TagBucket::EMPTY; buckets];
        let mut slots = vec![NO_RECORD; buckets * SLOTS_PER_BUCKET];
        let mut copy = ExactTable::new(
            ManagedSlice::Borrowed(&mut tags),
            ManagedSlice::Borrowed(&mut slots),
            Seed::new(0, 0),
        );
        prop_assert_eq!(copy.copy_from(&table), Ok(()));
        prop_assert_eq!(content(&copy), content(&table));
        prop_assert_eq!(copy.len(), table.len());
        for number in 0..80 {
            prop_assert_eq!(copy.get(&key(number)), model.get(&number));
        }
    }

    /// The entries of the index are the positions in a list, which know their keys.
    #[test]
    fn index_is_a_map(
        buckets in buckets(),
        seed in any::<(u64, u64)>(),
        operations in operations(),
    ) {
        let mut tags = vec![TagBucket::EMPTY; buckets];
        let mut slots = vec![0; buckets * SLOTS_PER_BUCKET];
        let mut index = Index::new(
            ManagedSlice::Borrowed(&mut tags),
            ManagedSlice::Borrowed(&mut slots),
            Seed::new(seed.0, seed.1),
        );
        let mut model: BTreeMap<u32, u32> = BTreeMap::new();
        let owners = RefCell::new(Vec::new());
        let new_entry = |key: u32| {
            owners.borrow_mut().push(key);
            owners.borrow().len() as u32 - 1
        };
        let owned_by = |key: u32| {
            let owners = &owners;
            move |number: u32| owners.borrow().get(number as usize) == Some(&key)
        };
        for operation in operations {
            match operation {
                Operation::Insert { key: number, .. } if !model.contains_key(&number) => {
                    let entry = new_entry(number);
                    if index.insert(&key(number), entry).is_ok() {
                        model.insert(number, entry);
                    }
                }
                Operation::Insert { key: number, .. } | Operation::Change { key: number, .. } => {
                    let entry = new_entry(number);
                    let present = model.get(&number).copied();
                    let repointed = index.repoint(&key(number), present.unwrap_or(0), entry);
                    prop_assert_eq!(repointed, present.is_some());
                    model.entry(number).and_modify(|present| *present = entry);
                }
                Operation::Remove { key: number } => {
                    let present = model.remove(&number);
                    let removed = index.remove(&key(number), present.unwrap_or(0));
                    prop_assert_eq!(removed, present.is_some());
                }
                Operation::Clear => {
                    index.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(index.len(), model.len());
            for number in 0..80 {
                let found = index.find(&key(number), owned_by(number));
                prop_assert_eq!(found, model.get(&number).copied());
                let candidates = index.candidates::<Portable>(&index.probe(&key(number)));
                prop_assert_eq!(index.resolve(&candidates, owned_by(number)), found);
            }
        }
    }
}

/// An even stream of numbers, so that every filling is one that can be repeated.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
}

fn refusals(records: usize, fillings: usize) -> usize {
    let buckets = buckets_for(records);
    let mut tags = vec![TagBucket::EMPTY; buckets];
    let mut slots = vec![0u32; buckets * SLOTS_PER_BUCKET];
    let mut table = Cuckoo::new(
        ManagedSlice::Borrowed(&mut tags),
        ManagedSlice::Borrowed(&mut slots),
    );
    let mut hashes = Stream(records as u64);
    let mut filling = || {
        table.clear();
        (0..records as u32)
            .all(|value| table.insert_new(hashes.next(), value, |_, _, _| {}).is_ok())
    };
    (0..fillings).filter(|_| !filling()).count()
}

#[test]
fn storage_for_n_records_takes_n_records_of_any_mix() {
    for (records, fillings) in [
        (1, 100),
        (16, 20_000),
        (17, 20_000),
        (64, 20_000),
        (256, 20_000),
        (4096, 200),
        (100_000, 3),
    ] {
        assert_eq!(
            refusals(records, fillings),
            0,
            "of {fillings} fillings of {records}"
        );
    }
}

#[test]
fn storage_for_a_million_records_is_at_most_eighty_bytes_a_record() {
    let bucket = size_of::<TagBucket>() + SLOTS_PER_BUCKET * 64;
    assert!(buckets_for(1_000_000) * bucket <= 80_000_000);
    let bucket = size_of::<TagBucket>() + SLOTS_PER_BUCKET * size_of::<u32>();
    assert!(
        buckets_for(1_000_000) * bucket <= 8_000_000,
        "an index entry is at most 8 bytes"
    );
}

#[test]
fn tables_can_be_statics() {
    static TABLE: Mutex<ExactTable<'_, Record>> = Mutex::new(ExactTable::new(
        ManagedSlice::Borrowed(&mut []),
        ManagedSlice::Borrowed(&mut []),
        Seed::new(1, 2),
    ));
    static ROUTES: Mutex<Ipv4Pool<'_>> = Mutex::new(Ipv4Pool::new(ManagedSlice::Borrowed(&mut [])));
    assert_eq!(TABLE.lock().unwrap().get(&key(1)), None);
    let routes = ROUTES.lock().unwrap();
    assert_eq!(routes.lookup(Run::EMPTY, bits(1)), None);
}

/// Prefixes near each other, many of them nested, in a family of `width` bits.
fn prefixes(width: u8) -> impl Strategy<Value = Vec<PrefixValue>> {
    let length = prop_oneof![0..=width, width - 6..=width, width / 2 - 4..=width / 2 + 4];
    let prefix = (any::<u128>(), length, 0..6u32).prop_map(move |(random, length, value)| {
        let last = u128::MAX >> (128 - width);
        let host = last.checked_shr(length.into()).unwrap_or(0);
        let base = spread(random, width) & !host;
        PrefixValue {
            base: bits(base),
            length,
            value,
        }
    });
    prop::collection::vec(prefix, 0..24).prop_map(|mut prefixes| {
        prefixes.sort_by_key(|prefix| (prefix.base, prefix.length));
        prefixes
    })
}

/// One of few addresses, which differ at the start, in the middle and at the end of the width.
fn spread(random: u128, width: u8) -> u128 {
    let top = (random & 3) << (width - 2);
    let middle = (random >> 8 & 3) << (width / 2);
    let all = if random >> 24 & 7 == 0 {
        u128::MAX >> (128 - width)
    } else {
        0
    };
    top | middle | random >> 16 & 7 | all
}

fn bits(address: u128) -> AddressBits {
    AddressBits {
        high: (address >> 64) as u64,
        low: address as u64,
    }
}

fn longest(prefixes: &[PrefixValue], width: u8, address: u128) -> Option<u32> {
    let mut best: Option<&PrefixValue> = None;
    for prefix in prefixes {
        let host = (u128::MAX >> (128 - width))
            .checked_shr(prefix.length.into())
            .unwrap_or(0);
        let is_inside = address & !host == prefix.base.to_u128();
        if is_inside && best.is_none_or(|best| prefix.length > best.length) {
            best = Some(prefix);
        }
    }
    best.map(|prefix| prefix.value).filter(|value| *value != 0)
}

type Rebuild = (usize, Vec<PrefixValue>);

fn rebuilds(width: u8) -> impl Strategy<Value = Vec<Rebuild>> {
    prop::collection::vec((0..4usize, prefixes(width)), 1..12)
}

fn check_pool<I: Interval>(
    pool: &mut IntervalPool<'_, I>,
    width: u8,
    rebuilds: Vec<Rebuild>,
    addresses: &[u128],
) -> Result<(), TestCaseError> {
    let mut runs = [Run::EMPTY; 4];
    let mut models: [Vec<PrefixValue>; 4] = Default::default();
    for (owner, prefixes) in rebuilds {
        let before = (runs, pool.used());
        let rebuilt = pool.rebuild(runs[owner], prefixes.iter().copied(), runs.iter_mut());
        match rebuilt {
            Ok(run) => {
                prop_assert!(run.len() <= 2 * prefixes.len());
                runs[owner] = run;
                models[owner] = prefixes;
            }
            Err(Full) => {
                prop_assert_eq!((runs, pool.used()), before);
                let others: usize = before.1 - runs[owner].len();
                prop_assert!(others + 2 * prefixes.len() > pool.capacity());
            }
        }
        let in_runs: usize = runs.iter().map(|run| run.len()).sum();
        prop_assert_eq!(pool.used(), in_runs, "no gap stays");
        for (run, model) in runs.iter().zip(&models) {
            for prefix in model {
                let base = prefix.base.to_u128();
                prop_assert_eq!(pool.lookup(*run, prefix.base), longest(model, width, base));
            }
            for &address in addresses {
                prop_assert_eq!(
                    pool.lookup(*run, bits(address)),
                    longest(model, width, address)
                );
            }
        }
    }
    Ok(())
}

fn addresses(width: u8) -> impl Strategy<Value = Vec<u128>> {
    let last = u128::MAX >> (128 - width);
    let near = any::<u128>().prop_map(move |random| spread(random, width));
    let before = any::<u128>().prop_map(move |random| spread(random, width).wrapping_sub(1) & last);
    let any = any::<u128>().prop_map(move |random| random & last);
    prop::collection::vec(prop_oneof![near, before, any], 60)
}

proptest! {
    #[test]
    fn ipv4_pool_finds_the_longest_prefix_of_each_owner(
        rebuilds in rebuilds(32),
        addresses in addresses(32),
        capacity in 0..100usize,
    ) {
        let mut storage = vec![Ipv4Interval::EMPTY; capacity];
        let mut pool = Ipv4Pool::new(ManagedSlice::Borrowed(&mut storage));
        check_pool(&mut pool, 32, rebuilds, &addresses)?;
    }

    #[test]
    fn ipv6_pool_finds_the_longest_prefix_of_each_owner(
        rebuilds in rebuilds(128),
        addresses in addresses(128),
        capacity in 0..100usize,
    ) {
        let mut storage = vec![Ipv6Interval::EMPTY; capacity];
        let mut pool = Ipv6Pool::new(ManagedSlice::Borrowed(&mut storage));
        check_pool(&mut pool, 128, rebuilds, &addresses)?;
    }
}

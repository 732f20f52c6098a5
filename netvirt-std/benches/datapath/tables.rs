//! The exact-match table beside hashbrown with foldhash: the same keys, the same entries of 64 bytes.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use managed::ManagedSlice;
use netvirt_core::AddressBits;
use netvirt_core::table::{Entry, ExactTable, Key, SLOTS_PER_BUCKET, Seed, TagBucket, buckets_for};
use netvirt_std::cpu::HostCpu;

use crate::pages::{self, Pages};
use crate::sampler::{Sampler, time};

/// Keys that are looked up at once.
const BATCH: usize = 32;
/// Keys of a pass.
const PASS: usize = 1024;
/// How many entries the tables hold.
pub const ENTRIES: [usize; 3] = [1_000, 65_536, 1_000_000];
/// What is looked up.
pub const ASKED: [&str; 2] = ["present", "absent"];
/// Who looks up, and how.
pub const CONTESTANTS: [&str; 4] = ["netvirt 32", "hashbrown 32", "netvirt 1", "hashbrown 1"];

/// The name of the group of one row.
pub fn row(entries: usize, asked: &str) -> String {
    format!("table of {entries}, {asked}")
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Slot {
    key: Key,
    value: u64,
}

impl Entry for Slot {
    #[inline(always)]
    fn key(&self) -> Key {
        self.key
    }
}

const VACANT: Slot = Slot {
    key: Key::new(0, AddressBits { high: 0, low: 0 }),
    value: 0,
};

/// The key of an entry: an IPv4 address in one of 64 subnets.
fn key(number: usize) -> Key {
    let scope = (5000 + 37 * (number as u32 % 64)) << 8 | 1;
    let low = 0x0a00_0002 + number as u64 / 64;
    Key::new(scope, AddressBits { high: 0, low })
}

fn value(number: usize) -> u64 {
    number as u64 ^ 0x55
}

/// Measures all sizes.
pub fn run(sampler: &mut Sampler) {
    pages::allocate_on(Pages::Huge);
    for entries in ENTRIES {
        if !ASKED
            .iter()
            .any(|asked| sampler.wants(&row(entries, asked)))
        {
            continue;
        }
        let tables = Tables::new(entries);
        for asked in ASKED {
            let mut group = sampler.group(&row(entries, asked), PASS);
            let first = if asked == "present" { 0 } else { entries };
            for contestant in CONTESTANTS {
                let mut keys = Keys::new(first, entries);
                tables.verify(contestant, asked, &mut keys);
                group.measure(contestant, || tables.pass(contestant, keys.next()));
            }
        }
    }
    pages::allocate_on(Pages::Small);
}

struct Keys {
    drawn: Vec<(Key, u64)>,
    next: usize,
}

impl Keys {
    const LENGTH: usize = 1 << 20;

    fn new(first: usize, entries: usize) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let drawn = (0..Self::LENGTH).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let number = first + ((u128::from(state) * entries as u128) >> 64) as usize;
            (key(number), value(number))
        });
        Self {
            drawn: drawn.collect(),
            next: 0,
        }
    }

    fn next(&mut self) -> &[(Key, u64)] {
        let first = self.next;
        self.next = (first + PASS) % Self::LENGTH;
        &self.drawn[first..first + PASS]
    }
}

struct Tables {
    netvirt: ExactTable<'static, Slot>,
    hashbrown: HashTable<Slot>,
    hasher: FixedState,
}

impl Tables {
    fn new(entries: usize) -> Self {
        let buckets = buckets_for(entries);
        let mut tables = Self {
            netvirt: ExactTable::new(
                ManagedSlice::Owned(vec![TagBucket::EMPTY; buckets]),
                ManagedSlice::Owned(vec![VACANT; buckets * SLOTS_PER_BUCKET]),
                Seed::new(1, 2),
            ),
            hashbrown: HashTable::with_capacity(entries),
            hasher: FixedState::with_seed(3),
        };
        for number in 0..entries {
            let slot = Slot {
                key: key(number),
                value: value(number),
            };
            tables
                .netvirt
                .insert(slot, |_, _, _| {})
                .expect("room for every entry");
            let hasher = tables.hasher.clone();
            let hash = |slot: &Slot| hasher.hash_one(slot.key);
            tables.hashbrown.insert_unique(hash(&slot), slot, hash);
        }
        tables
    }

    fn verify(&self, contestant: &str, asked: &str, keys: &mut Keys) {
        for _ in 0..64 {
            let keys = keys.next();
            let found = self.answers(contestant, keys);
            for ((_, value), found) in keys.iter().zip(found) {
                let expected = if asked == "present" { *value } else { 0 };
                assert_eq!(found, expected, "{contestant}");
            }
        }
    }

    fn answers(&self, contestant: &str, keys: &[(Key, u64)]) -> Vec<u64> {
        let mut answers = vec![0; keys.len()];
        self.look_up(contestant, keys, &mut answers);
        answers
    }

    fn pass(&self, contestant: &str, keys: &[(Key, u64)]) -> Duration {
        let mut answers = [0; PASS];
        time(|| self.look_up(contestant, keys, black_box(&mut answers)))
    }

    fn look_up(&self, contestant: &str, keys: &[(Key, u64)], answers: &mut [u64]) {
        match contestant {
            "netvirt 32" => self.netvirt_batches(keys, answers),
            "netvirt 1" => self.netvirt_single(keys, answers),
            "hashbrown 32" => self.hashbrown_batches(keys, answers),
            _ => self.hashbrown_single(keys, answers),
        }
    }

    #[inline(never)]
    fn netvirt_batches(&self, keys: &[(Key, u64)], answers: &mut [u64]) {
        let table = &self.netvirt;
        let batches = keys
            .as_chunks::<BATCH>()
            .0
            .iter()
            .zip(answers.as_chunks_mut::<BATCH>().0);
        for (keys, answers) in batches {
            let probes: [_; BATCH] = std::array::from_fn(|at| {
                let probe = table.probe(&keys[at].0);
                table.prefetch_tags::<HostCpu>(&probe);
                probe
            });
            let candidates = probes.map(|probe| table.candidates::<HostCpu>(&probe));
            for ((answer, candidates), (key, _)) in answers.iter_mut().zip(&candidates).zip(keys) {
                *answer = table
                    .resolve(candidates, key)
                    .map_or(0, |(_, slot)| slot.value);
            }
        }
    }

    /// hashbrown has no stages, but answers that do not wait for each other overlap.
    #[inline(never)]
    fn hashbrown_batches(&self, keys: &[(Key, u64)], answers: &mut [u64]) {
        let batches = keys
            .as_chunks::<BATCH>()
            .0
            .iter()
            .zip(answers.as_chunks_mut::<BATCH>().0);
        for (keys, answers) in batches {
            let hashes = keys.map(|(key, _)| self.hasher.hash_one(key));
            for ((answer, (key, _)), hash) in answers.iter_mut().zip(keys).zip(hashes) {
                let found = self.hashbrown.find(hash, |slot| slot.key == *key);
                *answer = found.map_or(0, |slot| slot.value);
            }
        }
    }

    /// The next key is only known when the answer before it is.
    #[inline(never)]
    fn netvirt_single(&self, keys: &[(Key, u64)], answers: &mut [u64]) {
        let mut before = 0;
        for (answer, (key, _)) in answers.iter_mut().zip(keys) {
            let key = after(*key, before);
            *answer = self.netvirt.get(&key).map_or(0, |slot| slot.value);
            before = *answer;
        }
    }

    #[inline(never)]
    fn hashbrown_single(&self, keys: &[(Key, u64)], answers: &mut [u64]) {
        let mut before = 0;
        for (answer, (key, _)) in answers.iter_mut().zip(keys) {
            let key = after(*key, before);
            let found = self
                .hashbrown
                .find(self.hasher.hash_one(key), |slot| slot.key == key);
            *answer = found.map_or(0, |slot| slot.value);
            before = *answer;
        }
    }
}

/// The same key, which the CPU cannot know before `answer`.
#[inline(always)]
fn after(key: Key, answer: u64) -> Key {
    let AddressBits { high, low } = key.bits();
    Key::new(
        key.scope(),
        AddressBits {
            high,
            // No answer has its highest bit set.
            low: low + (answer >> 63),
        },
    )
}

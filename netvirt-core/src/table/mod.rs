//! Tables in storage that the caller provides: exact match for lookup records, an index of records by
//! another address, and longest prefix for routes.
//!
//! A table neither allocates nor grows. All-zero bytes are a valid empty table, full is an error that
//! changes nothing, and a lookup costs the same whatever keys a tenant chooses.

mod cpu;
mod cuckoo;
mod exact;
mod hash;
mod index;
mod prefix;

use core::fmt;

use serde::{Deserialize, Serialize};

pub use cpu::{Cpu, Portable};
pub use cuckoo::{Candidates, Cuckoo, Probe, SLOTS_PER_BUCKET, TagBucket, buckets_for};
pub use exact::{Entry, ExactTable};
pub use hash::{Key, Seed};
pub use index::Index;
pub use prefix::{
    Interval, IntervalPool, Ipv4Interval, Ipv4Pool, Ipv6Interval, Ipv6Pool, PrefixValue, Run,
};

/// A table has no room for what was to be added, and is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table is full: give it more storage or remove entries")
    }
}

impl core::error::Error for Full {}

/// Two tables differ in capacity, so that one cannot become a copy of the other. Nothing was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnequalCapacity;

impl fmt::Display for UnequalCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tables differ in capacity: give both copies the same storage")
    }
}

impl core::error::Error for UnequalCapacity {}

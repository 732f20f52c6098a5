//! Virtual machine queues: which queue a received frame goes to, by the machine that it is for.

use core::fmt;

use super::tunnel::inner_frame;
use crate::address::{AddressBits, MacAddress, Vsid};
use crate::table::{Entry, ExactTable, Full, Key};
use crate::wire::{self, Facts, Tag};

/// What filters compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueMatch {
    /// VSID and destination MAC address of the inner frame. Tenants may use the same MAC addresses.
    VsidAndMac,
    /// The MAC address alone, as NICs with NDIS filters do. Of several machines with the same MAC address one can have a
    /// filter; frames of another VSID are found out afterwards and go to the default queue.
    MacOnly,
}

/// One filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFilter {
    /// The virtual subnet of frames inside NVGRE; `None` for frames that are not.
    pub vsid: Option<Vsid>,
    /// The Ethernet destination: of the inner frame inside NVGRE, of the frame itself otherwise.
    pub mac: MacAddress,
    /// Where such frames go.
    pub queue: u16,
}

/// Room for one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSlot {
    /// What the key is of: with VSID or without.
    scope: u32,
    /// 0 for frames that are not inside NVGRE.
    vsid: u32,
    mac: MacAddress,
    queue: u16,
}

impl QueueSlot {
    /// No filter.
    pub const EMPTY: Self = Self {
        scope: 0,
        vsid: 0,
        mac: MacAddress::ZERO,
        queue: 0,
    };
}

impl Entry for QueueSlot {
    #[inline]
    fn key(&self) -> Key {
        Key::new(self.scope, AddressBits::from_mac(self.mac))
    }
}

/// Why a filter was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterRefused {
    /// There is no room.
    Full,
    /// [`QueueMatch::MacOnly`] has a filter for this MAC address in another virtual subnet.
    MacTaken,
}

impl fmt::Display for FilterRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => Full.fmt(f),
            Self::MacTaken => f.write_str(
                "another virtual subnet has a filter for this MAC address: match by VSID and MAC, or leave this \
                 machine to the default queue",
            ),
        }
    }
}

impl core::error::Error for FilterRefused {}

/// Filters in storage of the caller.
///
/// A filter matches untagged frames and those with VLAN id 0. Inside NVGRE that is the inner frame, which has no tag.
///
/// ```
/// use netvirt_core::offload::{QueueFilter, QueueFilters, QueueMatch, QueueSlot};
/// use netvirt_core::table::{ExactTable, Seed, TagBucket};
/// use netvirt_core::{MacAddress, Vsid};
///
/// let (mut tags, mut slots) = ([TagBucket::EMPTY; 2], [QueueSlot::EMPTY; 16]);
/// let table = ExactTable::new((&mut tags[..]).into(), (&mut slots[..]).into(), Seed::new(1, 2));
/// let mut filters = QueueFilters::new(table, QueueMatch::VsidAndMac);
/// let mac = MacAddress([2, 0, 0, 0, 0, 7]);
/// filters.insert(QueueFilter { vsid: None, mac, queue: 3 })?;
///
/// let frame = b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x12\x34and so on";
/// assert_eq!(filters.queue(frame, frame.len()), Some(3));
/// # Ok::<(), netvirt_core::offload::FilterRefused>(())
/// ```
pub struct QueueFilters<'s> {
    table: ExactTable<'s, QueueSlot>,
    by: QueueMatch,
}

impl<'s> QueueFilters<'s> {
    /// Filters in an empty table.
    pub const fn new(table: ExactTable<'s, QueueSlot>, by: QueueMatch) -> Self {
        Self { table, by }
    }

    /// Adds a filter, or changes the queue of the one that is there.
    ///
    /// # Errors
    /// [`FilterRefused`]; nothing has changed then.
    pub fn insert(&mut self, filter: QueueFilter) -> Result<(), FilterRefused> {
        let slot = self.slot(&filter);
        let is_taken = |present: &QueueSlot| present.vsid != slot.vsid;
        if self.table.get(&slot.key()).is_some_and(is_taken) {
            return Err(FilterRefused::MacTaken);
        }
        match self.table.insert(slot, |_, _, _| {}) {
            Ok(_) => Ok(()),
            Err(Full) => Err(FilterRefused::Full),
        }
    }

    /// Takes the filter of a machine out; false if there is none.
    pub fn remove(&mut self, vsid: Option<Vsid>, mac: MacAddress) -> bool {
        let queue = 0;
        let slot = self.slot(&QueueFilter { vsid, mac, queue });
        let is_its_own = |present: &QueueSlot| present.vsid == slot.vsid;
        self.table.get(&slot.key()).is_some_and(is_its_own)
            && self.table.remove(&slot.key()).is_some()
    }

    /// The queue of the frame of `length` bytes that begins with `window`; `None` if no filter matches, so that it
    /// goes to the default queue.
    pub fn queue(&self, window: &[u8], length: usize) -> Option<u16> {
        let outer = wire::parse(window, length, 0).ok()?;
        let inside = inner_frame(window, &outer).and_then(|inner| {
            let facts = wire::parse(window, outer.end as usize, inner.offset).ok()?;
            Some((inner.key >> 8, facts))
        });
        // Without an inner Ethernet header the outermost one counts.
        let (vsid, facts) = inside.unwrap_or((0, outer));
        let slot = self.table.get(&self.key(vsid, &facts)?)?;
        (slot.vsid == vsid).then_some(slot.queue)
    }

    fn key(&self, vsid: u32, facts: &Facts) -> Option<Key> {
        let is_of_vlan_0 = matches!(facts.tag, Tag::None | Tag::Priority { .. });
        let mac = AddressBits::from_mac(facts.destination);
        is_of_vlan_0.then(|| Key::new(self.scope(vsid), mac))
    }

    fn slot(&self, filter: &QueueFilter) -> QueueSlot {
        let vsid = filter.vsid.map_or(0, Vsid::get);
        QueueSlot {
            scope: self.scope(vsid),
            vsid,
            mac: filter.mac,
            queue: filter.queue,
        }
    }

    const fn scope(&self, vsid: u32) -> u32 {
        match self.by {
            QueueMatch::VsidAndMac => vsid,
            QueueMatch::MacOnly => 0,
        }
    }
}

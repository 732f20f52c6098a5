//! What host and NIC say to each other.

use core::marker::PhantomData;

use netvirt_core::counters::{PortCounters, SubnetCounters, Totals};
use netvirt_core::policy::Refused;
use netvirt_core::{PortId, Vsid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::nve::NicCounters;

/// What a host asks of a NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// A part of a list.
    Read {
        /// Which.
        list: List,
        /// How many items of it to leave out.
        from: u32,
    },
    /// Begins a transaction, if the policy still has this version.
    Begin {
        /// The version that the transaction changes.
        version: u64,
    },
    /// The next changes, whole ones, in the core's encoding.
    Changes(&'a [u8]),
    /// Ends the changes and checks them as a whole.
    Prepare,
    /// Lets packets see them.
    Commit,
    /// Forgets them.
    Abort,
}

/// What can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum List {
    /// The policy, as changes that say it to an empty one.
    Policy,
    /// The counters: a [`Count`] each, without those that are zero.
    Counters,
    /// The frames that were refused last: a [`LastDrop`](crate::nve::LastDrop) each, from the last on.
    LastDrops,
}

/// What a NIC answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// To [`Request::Read`].
    Items {
        /// The version of the policy.
        version: u64,
        /// The items, to be read with [`Items`].
        items: &'a [u8],
        /// How many items to leave out for the next part, if there is one.
        next: Option<u32>,
    },
    /// To [`Request::Begin`].
    Begun,
    /// To [`Request::Begin`]: the policy has another version by now.
    Moved {
        /// Which.
        version: u64,
    },
    /// To [`Request::Changes`]: they fit so far.
    Taken,
    /// To [`Request::Prepare`]: the whole fits.
    Prepared {
        /// The version that the policy will have.
        version: u64,
    },
    /// To [`Request::Commit`].
    Committed {
        /// The version that the policy has.
        version: u64,
    },
    /// To [`Request::Abort`].
    Aborted,
    /// Nothing was changed, and the transaction has ended.
    Refused(Refused),
}

/// A counter, or some that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Count {
    /// What became of all frames.
    Totals(Totals),
    /// Frames refused for one reason: a place in [`DropReason::ALL`](netvirt_core::datapath::DropReason::ALL).
    Reason(u8, u64),
    /// How often something rare happened: a place in [`Event::ALL`](netvirt_core::counters::Event::ALL).
    Event(u8, u64),
    /// What passed a port.
    Port(PortId, PortCounters),
    /// What was decided in a virtual subnet.
    Subnet(Vsid, SubnetCounters),
    /// What the NIC itself counted.
    Nic(NicCounters),
}

/// The items of a part of a list, one after another; an error ends them.
#[derive(Debug, Clone)]
pub struct Items<'a, T> {
    rest: &'a [u8],
    item: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Items<'a, T> {
    /// The items in these bytes.
    pub const fn new(items: &'a [u8]) -> Self {
        Self {
            rest: items,
            item: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Iterator for Items<'_, T> {
    type Item = postcard::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = postcard::take_from_bytes(self.rest);
        let taken = taken.map(|(item, rest)| {
            self.rest = rest;
            item
        });
        if taken.is_err() {
            self.rest = &[];
        }
        Some(taken)
    }
}

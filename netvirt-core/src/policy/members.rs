//! Which other hosts have machines in a subnet: where its broadcast and multicast go.

use crate::address::{AddressBits, HostId};
use crate::table::{Entry, Key};

/// Another host with machines in a subnet that are reached through a tunnel, linked to the subnet's other such hosts.
///
/// The links are hosts and not slots, because entries move in their table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Member {
    /// Number of the subnet.
    subnet: u32,
    host: u32,
    /// Host + 1 of the member before this one; 0 if this is the first.
    pub(super) previous: u32,
    /// Host + 1 of the next; 0 if this is the last.
    pub(super) next: u32,
    /// Records that say so.
    pub(super) records: u32,
}

impl Member {
    /// What storage is filled with.
    pub const VACANT: Self = Self {
        subnet: 0,
        host: 0,
        previous: 0,
        next: 0,
        records: 0,
    };

    /// A member by one record, in front of all others.
    pub(super) fn first(subnet: u32, host: HostId, next: u32) -> Self {
        Self {
            subnet,
            host: host.0,
            previous: 0,
            next,
            records: 1,
        }
    }
}

impl Entry for Member {
    fn key(&self) -> Key {
        member_key(self.subnet, HostId(self.host))
    }
}

pub(super) fn member_key(subnet: u32, host: HostId) -> Key {
    let bits = AddressBits {
        high: 0,
        low: u64::from(host.0),
    };
    Key::new(subnet, bits)
}

/// The host that a link names.
pub(super) fn linked(link: u32) -> Option<HostId> {
    link.checked_sub(1).map(HostId)
}

/// The link that names a host.
pub(super) fn link_to(host: HostId) -> u32 {
    host.0.wrapping_add(1)
}

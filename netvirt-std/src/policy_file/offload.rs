//! A host's part of the file for its offload NIC.

use netvirt_core::HostId;
use netvirt_core::policy::{AddressState, Change, HostAddress, Location, LookupRecord, Settings};

use super::difference;
use super::host_policy::{HostPolicy, OffloadNic};

impl HostPolicy {
    /// The changes for an offload NIC of this host: the same, but that the NIC leaves to the host what it does not cover, if
    /// the file says so.
    pub fn changes_for_nic(&self) -> Vec<Change> {
        let for_nic = |change: &Change| match (*change, self.nic) {
            (Change::SetSettings(settings), Some(OffloadNic { uncovered, .. })) => {
                Change::SetSettings(Settings {
                    uncovered,
                    ..settings
                })
            }
            (other, _) => other,
        };
        self.changes.iter().map(for_nic).collect()
    }

    /// What turns the policy that a NIC [has](netvirt_core::policy::Policy::changes) into this host's: one transaction, empty if
    /// nothing differs. What the NIC has learnt of the network stays.
    pub fn difference_for_nic(&self, present: &[Change]) -> Vec<Change> {
        let mut wanted = self.changes_for_nic();
        // A device cannot become another host, and hosts have no numbers outside of a policy.
        if let Some((theirs, ours)) = local_host(present).zip(local_host(&wanted)) {
            for change in &mut wanted {
                *change = with_hosts_exchanged(change, theirs, ours);
            }
        }
        let present = present.iter().filter_map(|change| said(change, &wanted));
        difference::between(&present.collect::<Vec<_>>(), &wanted)
    }
}

fn local_host(changes: &[Change]) -> Option<HostId> {
    changes.iter().find_map(|change| match change {
        Change::SetSettings(settings) => Some(settings.local_host),
        _ => None,
    })
}

/// What was said to a NIC, without what it learnt.
fn said(change: &Change, wanted: &[Change]) -> Option<Change> {
    match *change {
        Change::SetNeighbour(_) => wanted.contains(change).then_some(*change),
        Change::SetPathMtu { .. } => None,
        Change::AddProviderAddress(own) => Some(Change::AddProviderAddress(HostAddress {
            state: AddressState::Preferred,
            ..own
        })),
        other => Some(other),
    }
}

/// The change with the numbers of two hosts exchanged.
fn with_hosts_exchanged(change: &Change, one: HostId, other: HostId) -> Change {
    let renumbered = |host: HostId| match host {
        host if host == one => other,
        host if host == other => one,
        host => host,
    };
    match *change {
        Change::SetSettings(settings) => Change::SetSettings(Settings {
            local_host: renumbered(settings.local_host),
            ..settings
        }),
        Change::AddHost(host) => Change::AddHost(renumbered(host)),
        Change::AddHostAddress(host, address) => Change::AddHostAddress(renumbered(host), address),
        Change::AddRecord(record) => Change::AddRecord(LookupRecord {
            location: match record.location {
                Location::Host(host) => Location::Host(renumbered(host)),
                here => here,
            },
            previous: record.previous.map(renumbered),
            ..record
        }),
        other => other,
    }
}

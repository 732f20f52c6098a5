//! What a list of changes builds, kind by kind, and how two such lists differ.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use netvirt_core::policy::{
    Change, CustomerRoute, HostAddress, LookupRecord, MulticastGroup, Neighbour, Peering, Port,
    ProviderRoute, Settings,
};
use netvirt_core::{DomainId, HostId, ProviderAddress, Vsid};

/// The things that changes add to empty tables, each kind in the order of the changes.
#[derive(Default)]
pub(super) struct Objects<'c> {
    pub(super) settings: Option<&'c Settings>,
    pub(super) domains: Vec<DomainId>,
    pub(super) subnets: Vec<(Vsid, DomainId)>,
    pub(super) routes: Vec<&'c CustomerRoute>,
    pub(super) peerings: Vec<Peering>,
    pub(super) hosts: Vec<HostId>,
    pub(super) host_addresses: Vec<(HostId, ProviderAddress)>,
    pub(super) ports: Vec<&'c Port>,
    pub(super) records: Vec<&'c LookupRecord>,
    pub(super) provider_addresses: Vec<&'c HostAddress>,
    pub(super) provider_routes: Vec<&'c ProviderRoute>,
    pub(super) neighbours: Vec<&'c Neighbour>,
    pub(super) groups: Vec<&'c MulticastGroup>,
}

impl<'c> Objects<'c> {
    pub(super) fn of(changes: &'c [Change]) -> Self {
        let mut objects = Self::default();
        for change in changes {
            objects.add(change);
        }
        objects
    }

    fn add(&mut self, change: &'c Change) {
        match change {
            Change::SetSettings(settings) => self.settings = Some(settings),
            Change::AddDomain(domain) => self.domains.push(*domain),
            Change::AddSubnet { vsid, domain } => self.subnets.push((*vsid, *domain)),
            Change::AddCustomerRoute(route) => self.routes.push(route),
            Change::AddPeering(peering) => self.peerings.push(*peering),
            Change::AddHost(host) => self.hosts.push(*host),
            Change::AddHostAddress(host, address) => self.host_addresses.push((*host, *address)),
            Change::AddPort(port) => self.ports.push(port),
            Change::AddRecord(record) => self.records.push(record),
            Change::AddProviderAddress(address) => self.provider_addresses.push(address),
            Change::AddProviderRoute(route) => self.provider_routes.push(route),
            Change::SetNeighbour(neighbour) => self.neighbours.push(neighbour),
            Change::AddMulticastGroup(group) => self.groups.push(group),
            _ => debug_assert!(false, "a host's part of the file only adds: {change:?}"),
        }
    }
}

/// How the things of one kind differ.
pub(super) struct Compared<T> {
    /// In the order of the version before.
    pub(super) gone: Vec<T>,
    /// Those that are there in both versions and not the same, as they were and as they are; in the order of the
    /// new version.
    pub(super) changed: Vec<(T, T)>,
    /// In the order of the new version.
    pub(super) new: Vec<T>,
}

impl<T: Copy> Compared<T> {
    /// Takes the changed things that do not change in place for gone, as they were, and new, as they are.
    pub(super) fn rebuilding(mut self, does_not_change: impl Fn(&T, &T) -> bool) -> Self {
        let is_rebuilt = |(was, is): &mut (T, T)| does_not_change(was, is);
        for (was, is) in self.changed.extract_if(.., is_rebuilt) {
            self.gone.push(was);
            self.new.push(is);
        }
        self
    }

    /// The same for the things that cannot stay where they are, even if they are the same in both versions.
    pub(super) fn rebuilding_carried<K: Hash + Eq>(
        mut self,
        before: &[T],
        key: impl Fn(&T) -> K,
        is_carried: impl Fn(&T) -> bool,
    ) -> Self {
        let changed = self.changed.iter().map(|(was, _)| was);
        let differing: HashSet<K> = changed.chain(&self.gone).map(&key).collect();
        let is_same = |thing: &&T| !differing.contains(&key(thing));
        let carried = before.iter().filter(|thing| is_carried(thing));
        for thing in carried.filter(is_same) {
            self.gone.push(*thing);
            self.new.push(*thing);
        }
        self.rebuilding(|was, _| is_carried(was))
    }
}

/// Compares things that are found by a key.
pub(super) fn compare<T: Copy + PartialEq, K: Hash + Eq>(
    before: &[T],
    after: &[T],
    key: impl Fn(&T) -> K,
) -> Compared<T> {
    let (before, after) = without_common_ends(before, after);
    let mut unmatched: HashMap<K, T> = before.iter().map(|thing| (key(thing), *thing)).collect();
    let mut compared = Compared {
        gone: Vec::new(),
        changed: Vec::new(),
        new: Vec::new(),
    };
    for thing in after {
        match unmatched.remove(&key(thing)) {
            None => compared.new.push(*thing),
            Some(was) if was == *thing => {}
            Some(was) => compared.changed.push((was, *thing)),
        }
    }
    let is_gone = |thing: &&T| unmatched.contains_key(&key(thing));
    compared.gone = before.iter().filter(is_gone).copied().collect();
    compared
}

/// Most of a large file stays as it is, and much of it before the first change and behind the last.
fn without_common_ends<'a, T: PartialEq>(before: &'a [T], after: &'a [T]) -> (&'a [T], &'a [T]) {
    let same = |(was, is): &(&T, &T)| was == is;
    let first = before.iter().zip(after).take_while(same).count();
    let (before, after) = (&before[first..], &after[first..]);
    let pairs_from_behind = before.iter().rev().zip(after.iter().rev());
    let last = pairs_from_behind.take_while(same).count();
    (&before[..before.len() - last], &after[..after.len() - last])
}

//! Provider addresses that pass from one owner to another, and the hosts that they belong to.

use std::collections::{BTreeMap, HashSet};

use netvirt_core::policy::{Change, HostAddress, LookupRecord};
use netvirt_core::{HostId, ProviderAddress};

use super::objects::{Compared, Objects, compare};

/// The provider addresses that something else takes from a record or a host that stays, or that goes only when records
/// have left it. The core lets each address have one owner, so the old one has to let go before the new one can take it.
pub(super) fn contested(
    before: &Objects<'_>,
    after: &Objects<'_>,
    own: &Compared<&HostAddress>,
    records: &Compared<&LookupRecord>,
) -> HashSet<ProviderAddress> {
    let of_hosts = compare(&before.host_addresses, &after.host_addresses, |pair| *pair);
    let of_record = |record: &&LookupRecord| record.method.provider_address();
    let exchanged = records
        .changed
        .iter()
        .filter(|(was, is)| of_record(was) != of_record(is));

    let left_by_records = exchanged.clone().filter_map(|(was, _)| of_record(was));
    let left_by_hosts = of_hosts.gone.iter().map(|(_, address)| *address);
    let left: HashSet<ProviderAddress> = left_by_records.chain(left_by_hosts).collect();
    let by_records = exchanged.map(|(_, is)| is).chain(&records.new);
    let by_hosts = of_hosts.new.iter().map(|(_, address)| *address);
    by_records
        .filter_map(of_record)
        .chain(by_hosts)
        .chain(own.new.iter().map(|own| own.address))
        .filter(|address| left.contains(address))
        .collect()
}

/// How the other hosts and their addresses change, phase by phase.
#[derive(Default)]
pub(super) struct Hosts {
    pub(super) clear: Vec<Change>,
    pub(super) build: Vec<Change>,
    pub(super) leave: Vec<Change>,
    /// Those that are removed while clearing, because others take all their addresses.
    pub(super) torn_down: HashSet<HostId>,
}

impl Hosts {
    pub(super) fn between(
        before: &Objects<'_>,
        after: &Objects<'_>,
        contested: &HashSet<ProviderAddress>,
    ) -> Self {
        let before = addresses_by_host(before);
        let after = addresses_by_host(after);
        let mut hosts = Self::default();
        for (host, old) in &before {
            match after.get(host) {
                Some(new) => hosts.change(*host, old, new, contested),
                None => hosts.part_with(*host, old, contested),
            }
        }
        for (host, new) in &after {
            if !before.contains_key(host) {
                hosts.add(*host, new);
            }
        }
        hosts
    }

    fn add(&mut self, host: HostId, addresses: &[ProviderAddress]) {
        self.build.push(Change::AddHost(host));
        let addresses = addresses.iter();
        self.build
            .extend(addresses.map(|address| Change::AddHostAddress(host, *address)));
    }

    /// Removes a host that records may still stand on until they have moved.
    fn part_with(
        &mut self,
        host: HostId,
        addresses: &[ProviderAddress],
        contested: &HashSet<ProviderAddress>,
    ) {
        if addresses.iter().all(|address| contested.contains(address)) {
            self.tear_down(host);
            return;
        }
        let wanted_by_others = addresses.iter().filter(|a| contested.contains(a));
        self.clear
            .extend(wanted_by_others.map(|address| Change::RemoveHostAddress(host, *address)));
        self.leave.push(Change::RemoveHost(host));
    }

    fn change(
        &mut self,
        host: HostId,
        old: &[ProviderAddress],
        new: &[ProviderAddress],
        contested: &HashSet<ProviderAddress>,
    ) {
        let arriving: Vec<_> = new.iter().filter(|a| !old.contains(a)).collect();
        let leaving: Vec<_> = old.iter().filter(|a| !new.contains(a)).collect();
        let add = |address: &&ProviderAddress| Change::AddHostAddress(host, **address);
        let remove = |address: &&ProviderAddress| Change::RemoveHostAddress(host, **address);
        if leaving.len() < old.len() {
            self.clear.extend(leaving.iter().map(remove));
            self.build.extend(arriving.iter().map(add));
            return;
        }
        // Records may stand on the host, so one of its addresses stays until the first new one is there.
        let bridge = leaving.iter().find(|a| !contested.contains(a)).copied();
        let Some(bridge) = bridge else {
            self.tear_down(host);
            self.add(host, new);
            return;
        };
        let others = leaving.iter().filter(|address| **address != bridge);
        self.clear.extend(others.map(remove));
        self.build.extend(arriving.iter().take(1).map(add));
        self.build.push(remove(&bridge));
        self.build.extend(arriving.iter().skip(1).map(add));
    }

    fn tear_down(&mut self, host: HostId) {
        self.clear.push(Change::RemoveHost(host));
        self.torn_down.insert(host);
    }
}

fn addresses_by_host(objects: &Objects<'_>) -> BTreeMap<HostId, Vec<ProviderAddress>> {
    let hosts = objects.hosts.iter();
    let mut by_host: BTreeMap<_, _> = hosts.map(|host| (*host, Vec::new())).collect();
    for (host, address) in &objects.host_addresses {
        by_host.entry(*host).or_default().push(*address);
    }
    by_host
}

//! Transactions applied to policy and to the model, step by step.

use netvirt_core::policy::*;

use crate::model::Model;
use crate::support::*;

/// Too little of most things for what the strategies think of.
pub const TIGHT: Capacities = Capacities {
    records: 8,
    rewrites: 8,
    domains: 3,
    subnets: 3,
    routes: 6,
    intervals: 14,
    peerings: 2,
    hosts: 4,
    paths: 4,
    ports: 3,
    provider_addresses: 2,
    provider_routes: 2,
    neighbours: 8,
    members: 8,
    groups: 8,
};

/// Something of everything, so that random changes have something to meet.
fn beginning() -> Vec<Change> {
    let mut changes = vec![
        settings(),
        Change::AddHost(HOST_2),
        Change::AddHostAddress(HOST_2, pa("192.168.4.2")),
        Change::AddProviderAddress(own_address("192.168.4.1", 24)),
    ];
    for (domain, number, destination) in [(BLUE, 5001, "10.0.0.0/24"), (RED, 6001, "10.0.1.0/24")] {
        changes.extend([
            Change::AddDomain(domain),
            Change::AddSubnet {
                vsid: vsid(number),
                domain,
            },
            Change::AddCustomerRoute(on_link(number, destination)),
            Change::AddPort(port(domain.0, number, "020000000001")),
        ]);
    }
    changes
}

/// Applies a transaction in its encoding to policy and model, and compares them.
fn step(policies: &mut Policies<'_>, model: &mut Model, encoded: &[u8], abort_first: bool) {
    let before = Dump::of_both(policies);
    if abort_first {
        let _ = policies
            .prepare(Transaction::new(encoded))
            .map(Prepared::abort);
        assert_eq!(Dump::of_both(policies), before, "no trace of an abort");
    }
    let changes: Vec<_> = Transaction::new(encoded).changes().collect();
    match policies.apply(Transaction::new(encoded)) {
        Ok(()) => {
            let changes = changes.into_iter().map(Result::unwrap);
            let mut is_policy = false;
            for change in changes {
                model.change(&change);
                is_policy |= change.is_policy();
            }
            model.assert_legal();
            let version = policies.live().version();
            assert_eq!(version, before.version + u64::from(is_policy));
        }
        Err(Refused { change, why }) => {
            assert_eq!(
                Dump::of_both(policies),
                before,
                "a refusal leaves no trace: {why}"
            );
            assert!(change <= changes.len());
            if let Refusal::InUse(what, users) = why {
                let mut until_then = model.clone();
                let done = changes.into_iter().take(change).map(Result::unwrap);
                done.for_each(|change| until_then.change(&change));
                assert_eq!(users, until_then.users(what), "{what}");
                assert_ne!(users, 0);
            }
        }
    }
    let dump = Dump::of_both(policies);
    assert_eq!(Model::of(&dump), *model);
    model.assert_members(&dump);
}

/// Takes everything down, the last first.
fn tear_down(dump: &Dump) -> Vec<Change> {
    let mut changes = Vec::new();
    let groups = dump.multicast_groups.iter();
    changes.extend(groups.map(|group| Change::RemoveMulticastGroup {
        vsid: group.vsid,
        address: group.address,
    }));
    let records = dump.lookup_records.iter();
    changes.extend(records.map(|record| Change::RemoveRecord(record.name())));
    let neighbours = dump.neighbours.iter();
    changes.extend(neighbours.map(|known| Change::RemoveNeighbour {
        uplink: known.uplink,
        address: known.address,
    }));
    changes.extend(
        dump.provider_routes
            .iter()
            .copied()
            .map(Change::RemoveProviderRoute),
    );
    changes.extend(
        dump.provider_addresses
            .iter()
            .map(|own| Change::RemoveProviderAddress(own.address)),
    );
    changes.extend(dump.hosts.iter().copied().map(Change::RemoveHost));
    changes.extend(dump.ports.iter().map(|port| Change::RemovePort(port.port)));
    changes.extend(dump.peerings.iter().copied().map(Change::RemovePeering));
    changes.extend(
        dump.customer_routes
            .iter()
            .copied()
            .map(Change::RemoveCustomerRoute),
    );
    changes.extend(
        dump.subnets
            .iter()
            .map(|(vsid, _)| Change::RemoveSubnet(*vsid)),
    );
    changes.extend(dump.domains.iter().copied().map(Change::RemoveDomain));
    changes
}

/// Says all of it again, as far as it would be legal if it were new.
fn build_up(dump: &Dump, model: &Model) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(dump.domains.iter().copied().map(Change::AddDomain));
    let subnets = dump.subnets.iter();
    changes.extend(subnets.map(|&(vsid, domain)| Change::AddSubnet { vsid, domain }));
    changes.extend(dump.peerings.iter().copied().map(Change::AddPeering));
    changes.extend(
        dump.customer_routes
            .iter()
            .copied()
            .map(Change::AddCustomerRoute),
    );
    changes.extend(dump.ports.iter().copied().map(Change::AddPort));
    changes.extend(dump.hosts.iter().copied().map(Change::AddHost));
    let addresses = dump.host_addresses.iter();
    changes.extend(addresses.map(|&(host, address)| Change::AddHostAddress(host, address)));
    changes.extend(
        dump.provider_addresses
            .iter()
            .copied()
            .map(Change::AddProviderAddress),
    );
    let routes = dump.provider_routes.iter().copied();
    let routes = routes.filter(|route| model.is_on_link(route.next_hop));
    changes.extend(routes.map(Change::AddProviderRoute));
    changes.extend(dump.neighbours.iter().copied().map(Change::SetNeighbour));
    let path_mtus = dump.path_mtus.iter();
    changes.extend(path_mtus.map(|&(address, mtu)| Change::SetPathMtu { address, mtu }));
    let records = dump.lookup_records.iter().copied();
    let records = records.filter(|record| model.is_inside_subnet(record));
    changes.extend(records.map(Change::AddRecord));
    let groups = dump.multicast_groups.iter().copied();
    let groups = groups.filter(|group| model.is_legal_group(group));
    changes.extend(groups.map(Change::AddMulticastGroup));
    changes
}

fn only_settings(dump: &Dump) -> Model {
    Model::of(&Dump {
        settings: dump.settings,
        ..Dump::default()
    })
}

/// Applies transactions, each of them aborted once before if that is said, and takes everything down and builds it up
/// again, in one transaction or many.
pub fn run(
    capacities: Capacities,
    transactions: impl Iterator<Item = (Vec<u8>, bool)>,
    in_one: bool,
) {
    let mut policies = capacities.policies();
    let mut model = Model::default();
    step(&mut policies, &mut model, &tx(&beginning()), false);
    assert_ne!(model, Model::default(), "the beginning fits");
    for (encoded, abort_first) in transactions {
        step(&mut policies, &mut model, &encoded, abort_first);
    }
    // Whatever it came to, it can be taken down and built again in the same storage: nothing leaks.
    for _ in 0..2 {
        let dump = Dump::of_both(&mut policies);
        let down = tear_down(&dump);
        let up = build_up(&dump, &model);
        let size = if in_one { usize::MAX } else { 1 };
        for changes in down.chunks(size.min(down.len().max(1))) {
            apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
        }
        assert_eq!(
            Model::of(&Dump::of_both(&mut policies)),
            only_settings(&dump)
        );
        let mut expected = only_settings(&dump);
        up.iter().for_each(|change| expected.change(change));
        apply(&mut policies, &up).unwrap_or_else(|refused| panic!("{refused}"));
        model = expected;
        let dump = Dump::of_both(&mut policies);
        assert_eq!(Model::of(&dump), model);
        model.assert_members(&dump);
    }
}

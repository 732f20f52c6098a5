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

/// How a transaction reaches the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Whole,
    /// Change by change. Packets see nothing of it until it is committed.
    ByPieces,
    /// Prepared and aborted, and then whole.
    AbortedFirst,
    /// Change by change to its end and aborted, and then whole.
    AbortedAtTheEnd,
}

impl Way {
    pub const ALL: [Self; 4] = [
        Self::Whole,
        Self::ByPieces,
        Self::AbortedFirst,
        Self::AbortedAtTheEnd,
    ];

    fn take(self, policies: &mut Policies<'_>, encoded: &[u8]) -> Result<(), Refused> {
        let transaction = Transaction::new(encoded);
        let before = Dump::of(policies.live());
        match self {
            Self::Whole => policies.apply(transaction),
            Self::AbortedFirst => {
                let _ = policies.prepare(transaction).map(Prepared::abort);
                assert_eq!(Dump::of_both(policies), before, "no trace of an abort");
                policies.apply(transaction)
            }
            Self::ByPieces => {
                let drafted = draft(policies, transaction);
                assert_eq!(Dump::of(policies.live()), before, "no trace of a draft");
                let version = drafted?;
                assert_eq!(policies.commit_draft(), Ok(version));
                assert_eq!(policies.live().version(), version);
                Ok(())
            }
            Self::AbortedAtTheEnd => {
                let drafted = draft(policies, transaction);
                policies.abort_draft();
                assert_eq!(Dump::of_both(policies), before, "no trace of a draft");
                let applied = policies.apply(transaction);
                assert_eq!(drafted.map(|_version| ()), applied);
                applied
            }
        }
    }
}

fn draft(policies: &mut Policies<'_>, transaction: Transaction<'_>) -> Result<u64, Refused> {
    policies.begin_draft()?;
    for (number, change) in transaction.changes().enumerate() {
        let change = change.map_err(|malformed| Refused {
            change: number,
            why: malformed.into(),
        })?;
        policies.draft(&change)?;
    }
    policies.prepare_draft()
}

/// Applies a transaction in its encoding to policy and model, and compares them.
fn step(policies: &mut Policies<'_>, model: &mut Model, encoded: &[u8], way: Way) {
    let before = Dump::of_both(policies);
    let changes: Vec<_> = Transaction::new(encoded).changes().collect();
    match way.take(policies, encoded) {
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
fn build_up(policy: &Policy<'_>, model: &Model) -> Vec<Change> {
    let is_legal = |change: &Change| match change {
        Change::SetSettings(_) => false,
        Change::AddProviderRoute(route) => model.is_on_link(route.next_hop),
        Change::AddRecord(record) => model.is_inside_subnet(record),
        Change::AddMulticastGroup(group) => model.is_legal_group(group),
        _ => true,
    };
    policy.changes().filter(is_legal).collect()
}

fn only_settings(dump: &Dump) -> Model {
    Model::of(&Dump {
        settings: dump.settings,
        ..Dump::default()
    })
}

/// Applies transactions, each in its way, and takes everything down and builds it up again, in one transaction or many.
pub fn run(
    capacities: Capacities,
    transactions: impl Iterator<Item = (Vec<u8>, Way)>,
    in_one: bool,
) {
    let mut policies = capacities.policies();
    let mut model = Model::default();
    step(&mut policies, &mut model, &tx(&beginning()), Way::Whole);
    assert_ne!(model, Model::default(), "the beginning fits");
    for (encoded, way) in transactions {
        step(&mut policies, &mut model, &encoded, way);
    }
    // Whatever it came to, it can be taken down and built again in the same storage: nothing leaks.
    for _ in 0..2 {
        let dump = Dump::of_both(&mut policies);
        let down = tear_down(&dump);
        let up = build_up(policies.live(), &model);
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

//! Random transactions against a model that knows nothing of tables.

mod model;
mod steps;
mod strategies;
#[path = "../support/mod.rs"]
mod support;

use netvirt_core::policy::Change;
use proptest::prelude::*;
use steps::*;
use strategies::any_transaction;
use support::*;

fn encoded(transactions: &[(Vec<Change>, Way)]) -> impl Iterator<Item = (Vec<u8>, Way)> {
    let encode = |(changes, way): &(Vec<Change>, Way)| (tx(changes), *way);
    transactions.iter().map(encode)
}

fn any_way() -> impl Strategy<Value = Way> {
    prop::sample::select(&Way::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policy_is_what_was_said_and_was_legal(
        transactions in prop::collection::vec((any_transaction(), any_way()), 0..120),
        in_one in any::<bool>(),
    ) {
        run(Capacities::ROOMY, encoded(&transactions), in_one);
    }

    #[test]
    fn policy_in_little_storage_refuses_what_does_not_fit_and_leaks_nothing(
        transactions in prop::collection::vec((any_transaction(), any_way()), 0..120),
        in_one in any::<bool>(),
    ) {
        run(TIGHT, encoded(&transactions), in_one);
    }
}

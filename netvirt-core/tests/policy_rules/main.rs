//! What policy allows, refuses and does, rule by rule.

mod drafts;
mod groups;
mod members;
mod networks;
mod provider;
mod records;
mod routes;
#[path = "../support/mod.rs"]
mod support;
mod transactions;

use netvirt_core::policy::{Change, Policies, Refusal, Refused};
use support::*;

/// The refusal of the last of these changes by a policy that takes those before.
#[track_caller]
fn refusal(policies: &mut Policies<'_>, changes: &[Change]) -> Refusal {
    let before = Dump::of_both(policies);
    let refused = apply(policies, changes).expect_err("the changes must be refused");
    assert_eq!(Dump::of_both(policies), before, "a refusal leaves no trace");
    assert_eq!(refused.change, changes.len() - 1, "{refused}");
    refused.why
}

/// The refusal of changes that are legal one by one and do not fit together.
#[track_caller]
fn refusal_of_whole(policies: &mut Policies<'_>, changes: &[Change]) -> Refusal {
    let before = Dump::of_both(policies);
    let Refused { change, why } =
        apply(policies, changes).expect_err("the changes must be refused");
    assert_eq!(Dump::of_both(policies), before, "a refusal leaves no trace");
    assert_eq!(change, changes.len(), "{why}");
    why
}

/// What two hosts with two tenants say, and then these changes.
#[track_caller]
fn accept(changes: &[Change]) -> Policies<'static> {
    let mut policies = policies_of(&two_hosts());
    apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
    policies
}

/// The refusal of the last of these changes by two hosts with two tenants.
#[track_caller]
fn refuse(changes: &[Change]) -> Refusal {
    refusal(&mut policies_of(&two_hosts()), changes)
}

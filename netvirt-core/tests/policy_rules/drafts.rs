//! Transactions whose changes come one by one, and what is learned in between.

use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::*;

#[test]
fn a_transaction_by_pieces_is_refused_whole_and_says_which_change_did_not_fit() {
    let mut policies = policies_of(&two_hosts());
    let before = Dump::of_both(&mut policies);
    policies.begin_draft().unwrap();
    policies.draft(&Change::AddDomain(DomainId(7))).unwrap();
    let missing = Change::RemoveDomain(DomainId(9));
    let why = Refusal::Missing(Missing::Domain(DomainId(9)));
    assert_eq!(policies.draft(&missing), Err(Refused { change: 1, why }));
    let not_begun = Err(Refused {
        change: 0,
        why: Refusal::NotBegun,
    });
    assert_eq!(policies.draft(&Change::AddDomain(DomainId(8))), not_begun);
    assert_eq!(policies.prepare_draft().map(|_| ()), not_begun);
    assert_eq!(policies.commit_draft().map(|_| ()), not_begun);
    assert_eq!(Dump::of_both(&mut policies), before);
}

#[test]
fn a_transaction_by_pieces_is_not_committed_before_it_is_prepared_and_ends_with_another() {
    let mut policies = policies_of(&two_hosts());
    let not_begun = Refusal::NotBegun;
    policies.begin_draft().unwrap();
    policies.draft(&Change::AddDomain(DomainId(7))).unwrap();
    assert_eq!(policies.commit_draft().unwrap_err().why, not_begun);
    assert_eq!(policies.prepare_draft(), Ok(2));
    assert_eq!(policies.prepare_draft().unwrap_err().why, not_begun);
    apply(&mut policies, &[Change::AddDomain(DomainId(8))]).unwrap();
    assert_eq!(policies.commit_draft().unwrap_err().why, not_begun);
    let domains = Dump::of_both(&mut policies).domains;
    assert!(domains.contains(&DomainId(8)) && !domains.contains(&DomainId(7)));
}

#[test]
fn what_is_learned_while_a_transaction_is_drafted_counts_at_once_and_stays() {
    let neighbour = neighbour("192.168.4.23", mac("020000000023"));
    let known = |policies: &Policies<'_>| policies.live().neighbours().collect::<Vec<_>>();
    for is_prepared in [false, true] {
        for is_committed in [false, true] {
            let mut policies = policies_of(&two_hosts());
            let mut expected = known(&policies);
            expected.push(neighbour);
            policies.begin_draft().unwrap();
            policies.draft(&Change::AddDomain(DomainId(7))).unwrap();
            if is_prepared {
                policies.prepare_draft().unwrap();
            }
            policies.learn(&Change::SetNeighbour(neighbour)).unwrap();
            assert_eq!(known(&policies), expected);
            assert_eq!(policies.live().version(), 1);
            if !is_prepared {
                policies.prepare_draft().unwrap();
            }
            match is_committed {
                true => assert_eq!(policies.commit_draft(), Ok(2)),
                false => policies.abort_draft(),
            }
            assert_eq!(known(&policies), expected);
            assert_eq!(Dump::of_both(&mut policies).neighbours, expected);
        }
    }
}

#[test]
fn what_is_learned_is_state_and_is_refused_without_a_trace_if_there_is_no_place_for_it() {
    let mut policies = policies_of(&two_hosts());
    let before = Dump::of_both(&mut policies);
    let domain = Change::AddDomain(DomainId(7));
    assert_eq!(policies.learn(&domain), Err(Refusal::NotState));
    let address = pa("192.168.4.99");
    let missing = Refusal::Missing(Missing::PathMtu(address));
    assert_eq!(
        policies.learn(&Change::RemovePathMtu { address }),
        Err(missing)
    );
    assert_eq!(Dump::of_both(&mut policies), before);
    let learned = path_mtu("192.168.4.22", 1400);
    policies.learn(&learned).unwrap();
    let after = Dump::of_both(&mut policies);
    apply(&mut policies, &[learned]).unwrap();
    assert_eq!(Dump::of_both(&mut policies), after);
}

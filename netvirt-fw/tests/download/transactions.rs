//! Transactions: nothing is seen before it is committed, and what is refused leaves no trace.

use netvirt_core::policy::*;
use netvirt_core::*;
use netvirt_fw::download::*;

use crate::host::{Host, Nic};
use crate::pipe::connection;
use crate::support::*;

#[test]
fn a_policy_is_downloaded_piece_by_piece_and_seen_at_once() {
    let nic = Nic::started(1);
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 0 }, Reply::Begun)
            .await;
        for changes in two_hosts().chunks(3) {
            host.expect(Request::Changes(&tx(changes)), Reply::Taken)
                .await;
            assert_eq!(nic.policy(|policy| policy.changes().count()), 0);
        }
        host.expect(Request::Prepare, Reply::Prepared { version: 1 })
            .await;
        assert_eq!(nic.version(), 0);
        host.expect(Request::Commit, Reply::Committed { version: 1 })
            .await;
    });
    assert_eq!(nic.dump(), Dump::of_both(&mut policies_of(&two_hosts())));
}

#[test]
fn several_transactions_follow_each_other_in_one_connection_and_in_several() {
    let nic = Nic::with_policy(&two_hosts());
    let domain = |number| Change::AddDomain(DomainId(number));
    nic.meet(async |host| {
        host.push(1, &[domain(5)]).await;
        host.push(2, &[domain(6), domain(7)]).await;
    });
    nic.meet(async |host| host.push(3, &[Change::RemoveDomain(DomainId(6))]).await);
    let dump = nic.dump();
    assert_eq!(dump.version, 4);
    assert_eq!(dump.domains, [BLUE, RED, DomainId(5), DomainId(7)]);
}

#[test]
fn a_policy_that_does_not_fit_is_refused_whole_and_the_table_is_named() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    // There are eight domains, and two of them are taken.
    let too_many: Vec<_> = (2..9)
        .map(|number| Change::AddDomain(DomainId(number)))
        .collect();
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        let refused = Reply::Refused(Refused {
            change: 6,
            why: Refusal::Full(TableName::Domains),
        });
        host.expect(Request::Changes(&tx(&too_many)), refused).await;
        assert_ended(host).await;
        host.push(1, &too_many[..6]).await;
    });
    assert_eq!(nic.dump().domains.len(), before.domains.len() + 6);
}

async fn assert_ended(host: &mut Host) {
    let not_begun = Reply::Refused(Refused {
        change: 0,
        why: Refusal::NotBegun,
    });
    let changes = tx(&[Change::AddDomain(DomainId(3))]);
    for request in [
        Request::Changes(&changes),
        Request::Prepare,
        Request::Commit,
    ] {
        host.expect(request, not_begun).await;
    }
}

#[test]
fn what_does_not_fit_together_is_refused_when_it_is_prepared() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    let narrow = HostAddress {
        mtu: 1300,
        ..own_address("192.168.4.11", 24)
    };
    let changes = [
        Change::AddCustomerRoute(on_link(5001, "fd00::/64")),
        Change::SetProviderAddress(narrow),
    ];
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        host.expect(Request::Changes(&tx(&changes)), Reply::Taken)
            .await;
        host.ask(&Request::Prepare, |reply| {
            let Reply::Refused(Refused { change: 2, why }) = reply else {
                panic!("{reply:?}");
            };
            assert!(matches!(why, Refusal::MtuTooSmall { mtu: 1300, .. }));
        })
        .await;
        assert_ended(host).await;
    });
    assert_eq!(nic.dump(), before);
}

#[test]
fn bytes_that_are_no_change_are_refused_with_their_number() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    let mut changes = tx(&[
        Change::AddDomain(DomainId(3)),
        Change::AddDomain(DomainId(4)),
    ]);
    changes.push(0xff);
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        host.ask(&Request::Changes(&changes), |reply| {
            assert!(
                matches!(reply, Reply::Refused(Refused { change: 2, .. })),
                "{reply:?}"
            );
        })
        .await;
        assert_ended(host).await;
    });
    assert_eq!(nic.dump(), before);
}

#[test]
fn a_transaction_on_a_version_that_has_gone_is_not_begun() {
    let nic = Nic::with_policy(&two_hosts());
    nic.meet(async |host| {
        for version in [0, 2] {
            host.expect(Request::Begin { version }, Reply::Moved { version: 1 })
                .await;
            assert_ended(host).await;
        }
    });
}

#[test]
fn an_aborted_transaction_leaves_no_trace() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        let changes = tx(&[Change::AddDomain(DomainId(3))]);
        host.expect(Request::Changes(&changes), Reply::Taken).await;
        host.expect(Request::Prepare, Reply::Prepared { version: 2 })
            .await;
        host.expect(Request::Abort, Reply::Aborted).await;
        assert_ended(host).await;
    });
    assert_eq!(nic.dump(), before);
}

#[test]
fn a_next_hop_that_is_learned_in_between_stays() {
    let nic = Nic::with_policy(&two_hosts());
    let learned = neighbour("192.168.4.23", mac("020000000023"));
    nic.meet(async |host| {
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        let changes = tx(&[Change::AddDomain(DomainId(3))]);
        host.expect(Request::Changes(&changes), Reply::Taken).await;
        nic.with(|nve| nve.policies.learn(&Change::SetNeighbour(learned)))
            .unwrap();
        host.expect(Request::Prepare, Reply::Prepared { version: 2 })
            .await;
        host.expect(Request::Commit, Reply::Committed { version: 2 })
            .await;
    });
    let dump = nic.dump();
    assert!(dump.domains.contains(&DomainId(3)) && dump.neighbours.contains(&learned));
}

/// As when the firmware's clock says that the connection takes too long.
#[test]
fn a_server_that_is_dropped_forgets_what_was_prepared() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    let [near, far] = connection();
    let prepare = async {
        let mut host = Host::connect(near, &crate::host::KEY).await.unwrap();
        host.expect(Request::Begin { version: 1 }, Reply::Begun)
            .await;
        let changes = tx(&[Change::AddDomain(DomainId(3))]);
        host.expect(Request::Changes(&changes), Reply::Taken).await;
        host.expect(Request::Prepare, Reply::Prepared { version: 2 })
            .await;
        host
    };
    let host = embassy_futures::block_on(async {
        match embassy_futures::select::select(prepare, nic.serve(far)).await {
            embassy_futures::select::Either::First(host) => host,
            embassy_futures::select::Either::Second(ended) => panic!("{ended:?}"),
        }
    });
    drop(host);
    let commit = nic.with(|nve| nve.policies.commit_draft());
    assert_eq!(commit.unwrap_err().why, Refusal::NotBegun);
    assert_eq!(nic.dump(), before);
}

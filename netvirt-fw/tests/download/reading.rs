//! What a NIC holds and counts is read back.

use std::time::Duration;

use netvirt_core::counters::Event;
use netvirt_core::datapath::{DropReason, Frame, Ingress};
use netvirt_core::policy::*;
use netvirt_fw::download::*;
use netvirt_fw::nve::{LastDrop, NicCounters};

use crate::host::Nic;
use crate::support::*;

#[test]
fn a_policy_is_read_back_as_the_changes_that_make_it() {
    let mut changes = two_hosts();
    let record = |number: u8| {
        let machine = LookupRecord {
            kind: RecordKind::Static(ca(&format!("10.0.0.{number}"))),
            ..record(
                BLUE_VSID,
                "10.0.0.20",
                "060600000007",
                Location::Host(HOST_2),
            )
        };
        Change::AddRecord(machine)
    };
    changes.extend((20..120).map(record));
    let nic = Nic::with_policy(&changes);
    let (read, parts) = nic.meet(async |host| host.read::<Change>(List::Policy).await);
    assert!(parts > 2, "it took {parts} parts");
    let copy = Nic::with_policy(&read);
    assert_eq!(copy.policy(|policy| policy.lookup_records().count()), 104);
    let sorted = |nic: &Nic| {
        let mut all: Vec<_> = nic.policy(|policy| policy.changes().collect());
        all.sort_by_key(|change| format!("{change:?}"));
        all
    };
    assert_eq!(sorted(&copy), sorted(&nic));
}

#[test]
fn an_empty_nic_has_nothing_to_tell() {
    let nic = Nic::started(1);
    nic.meet(async |host| {
        assert_eq!(host.read::<Change>(List::Policy).await, (vec![], 1));
        assert_eq!(host.read::<Count>(List::Counters).await, (vec![], 1));
        assert_eq!(host.read::<LastDrop>(List::LastDrops).await, (vec![], 1));
        let beyond = Request::Read {
            list: List::Policy,
            from: u32::MAX,
        };
        let nothing = Reply::Items {
            version: 0,
            items: &[],
            next: None,
        };
        host.expect(beyond, nothing).await;
    });
}

#[test]
fn counters_and_the_last_drops_are_read_back() {
    let nic = Nic::with_policy(&two_hosts());
    let frames = [[0_u8; 60], [0xff; 60]];
    let ingress = Ingress::Port(BLUE_PORT);
    let mut noted = vec![];
    nic.with(|nve| {
        for frame in &frames {
            let frame = Frame::whole(ingress, frame);
            let verdict = nve
                .worker
                .process(nve.policies.live(), &frame, Duration::ZERO);
            let drop = LastDrop::of(&frame, &verdict).unwrap();
            noted.insert(0, drop);
            nve.last_drops.note(drop);
        }
        nve.nic = NicCounters {
            exceptions: 3,
            ..NicCounters::default()
        };
    });
    let (counts, drops) = nic.meet(async |host| {
        let (counts, _) = host.read::<Count>(List::Counters).await;
        let (drops, _) = host.read::<LastDrop>(List::LastDrops).await;
        (counts, drops)
    });
    assert_eq!(drops, noted);
    assert_eq!(drops[0].ingress, ingress);
    let refused: Vec<_> = drops.iter().filter_map(LastDrop::reason).collect();
    assert!(refused.contains(&DropReason::MacSpoof), "{refused:?}");
    nic.with(|nve| {
        let counters = nve.worker.counters();
        assert!(counts.contains(&Count::Totals(*counters.totals())));
        assert!(counts.contains(&Count::Nic(nve.nic)));
        let port = counters.port(BLUE_PORT);
        assert!(counts.contains(&Count::Port(BLUE_PORT, port)));
        for reason in refused {
            let times = counters.refused(reason);
            assert!(counts.contains(&Count::Reason(reason.index() as u8, times)));
        }
        let reasons = counts.iter().filter_map(|count| match count {
            Count::Reason(_, times) => Some(times),
            _ => None,
        });
        assert_eq!(reasons.sum::<u64>(), 2);
    });
}

/// Both ends must mean the same by a number. Whoever changes what stands here raises [`VERSION`].
#[test]
fn the_numbers_of_this_version_are_these() {
    let reasons = DropReason::ALL.iter().map(|reason| reason.name());
    let events = Event::ALL.iter().map(|event| event.name());
    let names: String = reasons.chain(events).flat_map(|name| [name, " "]).collect();
    // FNV-1a
    let digest = names
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    assert_eq!(
        (VERSION, format!("{digest:016x}")),
        (1, "6aa48ffbf8fb55ab".into()),
        "{names}"
    );
}

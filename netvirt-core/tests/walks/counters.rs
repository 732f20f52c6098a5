//! Counters beyond those that every walk states: whose they are, and several workers.

use netvirt_core::counters::{SubnetCounters, Tally};
use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::*;

const FRAME: [u8; 60] = [2; 60];

/// A port of a subnet; frames of anything but its MAC address are refused, and counted in the subnet.
fn subnet_with_port(number: u32) -> Vec<Change> {
    vec![
        Change::AddSubnet {
            vsid: vsid(number),
            domain: DomainId(0),
        },
        Change::AddPort(port(0, number, "060600000005")),
    ]
}

fn refuse_one(host: &mut Nve) {
    let fate = host.take_from_port(0, &FRAME);
    assert!(matches!(fate, Fate::Dropped(_)), "{fate:?}");
}

#[test]
fn spec_6_counters_a_subnet_does_not_inherit_those_of_the_one_that_had_its_number() {
    let mut changes = vec![settings(), Change::AddDomain(DomainId(0))];
    changes.extend(subnet_with_port(5001));
    let mut host = Nve::new(&changes);
    refuse_one(&mut host);
    let of = |host: &Nve, number| {
        host.worker
            .counters()
            .subnet(host.policies.live(), vsid(number))
    };
    assert_eq!(of(&host, 5001).refused, 1);

    host.apply(&[
        Change::RemovePort(PortId(0)),
        Change::RemoveSubnet(vsid(5001)),
    ]);
    host.apply(&subnet_with_port(6001));
    assert_eq!(of(&host, 6001), SubnetCounters::ZERO);
    refuse_one(&mut host);
    assert_eq!(
        (of(&host, 6001).refused, of(&host, 6001).sent.frames),
        (1, 1)
    );
}

#[test]
fn the_counters_of_workers_add_up_to_those_of_the_host() {
    let mut changes = vec![settings(), Change::AddDomain(DomainId(0))];
    changes.extend(subnet_with_port(5001));
    let mut host = Nve::new(&changes);
    let mut other = worker();
    let frame = Frame::whole(Ingress::Port(PortId(0)), &FRAME);
    for _ in 0..2 {
        other.process(host.policies.live(), &frame, host.now);
    }
    refuse_one(&mut host);
    other.counters_mut().merge(host.worker.counters());
    let counters = other.counters();
    assert!(counters.totals().add_up());
    assert_eq!(
        (counters.totals().received, counters.totals().dropped),
        (3, 3)
    );
    let refused: u64 = DropReason::ALL
        .iter()
        .map(|reason| counters.refused(*reason))
        .sum();
    assert_eq!(refused, 3);
    let expected = Tally {
        frames: 3,
        bytes: 180,
    };
    assert_eq!(counters.port(PortId(0)).received, expected);
    assert_eq!(
        counters.subnet(host.policies.live(), vsid(5001)).sent,
        expected
    );
}

#[test]
fn spec_2_11_counters_survive_transactions() {
    let mut changes = vec![settings(), Change::AddDomain(DomainId(0))];
    changes.extend(subnet_with_port(5001));
    let mut host = Nve::new(&changes);
    refuse_one(&mut host);
    let counted = host.counted();
    assert!(counted.starts_with("received 1, dropped 1"), "{counted}");
    host.apply(&[
        Change::AddSubnet {
            vsid: vsid(4096),
            domain: DomainId(0),
        },
        Change::AddPort(port(1, 5001, "060600000006")),
    ]);
    host.apply(&[Change::RemovePort(PortId(1))]);
    assert_eq!(host.counted(), "");
    refuse_one(&mut host);
    assert_eq!(host.counted(), counted);
}

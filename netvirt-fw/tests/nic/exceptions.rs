//! What the policy of the NIC does not cover goes to the host, and what the host decides leaves by the NIC.

use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::policy::*;
use netvirt_core::{PortId, UplinkId};
use netvirt_fw::header::{Kind, Repr};
use netvirt_fw::nic::{Config, Framing};

use crate::site::*;
use crate::support::hosts::Nve;
use crate::support::network::*;
use crate::support::vsid;

/// A NIC without the record of blue b.
fn part(config: &Config, uncovered: Uncovered) -> (Network, Site) {
    let network = Network::standard().with(|network| network.settings.uncovered = uncovered);
    let mut changes = network.changes(1);
    let blue_b = network.machine("blue b").mac;
    changes.retain(|change| !matches!(change, Change::AddRecord(record) if record.mac == blue_b));
    let site = Site::configured(&changes, config);
    (network, site)
}

#[test]
fn what_is_not_covered_goes_to_the_host_with_its_reason_both_ways() {
    let (network, mut site) = part(&CONFIG, Uncovered::Punt);
    let out = network.datagram("blue a", "blue b", 0).frame();
    site.machine_sends(0, &out);
    let from_port = Ingress::Port(PortId(0));
    assert_eq!(
        site.told(),
        [exception(from_port, Some(DropReason::NoRecord), &out)]
    );
    let back = network.datagram("blue b", "blue a", 0).frame();
    let wire = Nve::new(&network.changes(2)).transmits(0, BLUE_1, &back);
    site.wire_brings(&wire);
    let from_wire = Ingress::Uplink(UplinkId(0));
    assert_eq!(
        site.told(),
        [exception(from_wire, Some(DropReason::SrcPaMismatch), &wire)]
    );
    let totals = site.counters(|counters| *counters.totals());
    assert_eq!((totals.received, totals.punted), (2, 2));
    assert_eq!(site.nic_counters().exceptions, 2);
    assert!(site.wire.take_sent().is_empty());
}

#[test]
fn a_policy_that_refuses_keeps_it_from_the_host() {
    let (network, mut site) = part(&CONFIG, Uncovered::Refuse);
    site.machine_sends(0, &network.datagram("blue a", "blue b", 0).frame());
    assert!(site.told().is_empty());
    assert_eq!(site.refused(DropReason::NoRecord), 1);
}

#[test]
fn what_the_host_decided_leaves_as_it_is() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    site.host_sends(&Repr::new(Kind::Decided(UplinkId(0))), &frame);
    assert_eq!(site.wire.take_sent(), [frame]);
    assert_eq!(site.nic_counters().decided, 1);
    assert_eq!(site.counters(|counters| counters.totals().received), 0);
}

#[test]
fn a_host_that_only_has_tags_is_told_of_no_exceptions_and_they_are_counted_as_lost() {
    let config = Config {
        framing: Framing::Tag,
        ..CONFIG
    };
    let (network, mut site) = part(&config, Uncovered::Punt);
    let tagged =
        |frame: &[u8], vlan: u8| [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat();
    let uncovered = network.datagram("blue a", "blue b", 0).frame();
    site.host.bring(&tagged(&uncovered, 1));
    site.run();
    assert!(site.host.take_sent().is_empty());
    assert_eq!(site.refused(DropReason::PortFull), 1);
    let near = network.datagram("blue a", "blue near a", 0).frame();
    site.host.bring(&tagged(&near, 1));
    site.run();
    assert_eq!(site.host.take_sent(), [tagged(&near, 2)]);
}

#[test]
fn a_header_that_says_nonsense_is_counted_and_goes_nowhere() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let sent = site.with_vsid(Repr::new(Kind::Sent(PortId(0))));
    let mut nonsense = with_header(&sent, &frame);
    nonsense[14] = 0x20;
    site.host.bring(&nonsense);
    site.host_sends(&Repr::new(Kind::Delivered(PortId(0))), &frame);
    assert_eq!(site.nic_counters().malformed, 2);
    assert!(site.wire.take_sent().is_empty() && site.told().is_empty());
}

#[test]
fn a_nic_can_be_asked_which_frames_it_refused_last_and_what_it_counted() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let mut forged = network.datagram("blue a", "blue b", 0).frame();
    forged[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 99]);
    site.machine_sends(0, &forged);
    site.host_sends(&Repr::new(Kind::Decided(UplinkId(0))), &forged);
    site.nve.lock(|nve| {
        let nve = nve.borrow();
        let noted: Vec<_> = nve.last_drops.iter().collect();
        let [drop] = noted[..] else {
            panic!("{noted:?}")
        };
        assert_eq!(drop.reason(), Some(DropReason::MacSpoof));
        assert_eq!(drop.ingress, Ingress::Port(PortId(0)));
        assert_eq!(drop.length as usize, forged.len());
        assert_eq!(nve.nic, site.nic_counters());
        assert_eq!(nve.nic.decided, 1);
    });
}

/// As when a host was started anew with another file than the NIC has.
#[test]
fn a_frame_from_a_port_that_is_another_tenants_in_the_nic_goes_nowhere() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let right = site.with_vsid(Repr::new(Kind::Sent(PortId(0))));
    for vsid in [None, Some(vsid(right.vsid.unwrap().get() + 1))] {
        site.host
            .bring(&with_header(&Repr { vsid, ..right }, &frame));
        site.run();
    }
    assert!(site.wire.take_sent().is_empty() && site.told().is_empty());
    assert_eq!(site.nic_counters().misdirected, 2);
    assert_eq!(site.counters(|counters| counters.totals().received), 0);
    site.host.bring(&with_header(&right, &frame));
    site.run();
    assert_eq!(site.wire.take_sent().len(), 1);
}

/// Who writes into the provider network must not be able to put frames into machines past all policy.
#[test]
fn a_frame_of_the_wire_that_looks_like_the_nics_own_does_not_reach_the_host() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let inner = network.datagram("blue b", "blue a", 0).frame();
    let delivered = site.with_vsid(Repr::new(Kind::Delivered(PortId(0))));
    let mut forged = with_header(&delivered, &inner);
    forged[..6].copy_from_slice(&HOST.0);
    forged[6..12].copy_from_slice(&NIC.0);
    let tag = |frame: &[u8], tag: &[u8]| [&frame[..12], tag, &frame[12..]].concat();
    let tagged = tag(&forged, &[0x81, 0, 0, 0]);
    let twice = tag(&tagged, &[0x88, 0xa8, 0, 1]);
    for frame in [forged, tagged, twice] {
        site.wire_brings(&frame);
        assert!(site.host.take_sent().is_empty());
    }
    assert_eq!(site.nic_counters().forged, 3);
    let other = tag(
        &network
            .datagram("blue b", "blue a", 0)
            .between(STACK, HOST)
            .frame(),
        &[0x81, 0, 0, 1],
    );
    site.wire_brings(&other);
    assert_eq!(site.host.take_sent(), [other]);
}

#[test]
fn a_host_that_tells_machines_by_tags_gets_no_tagged_frame_of_the_wire() {
    let config = Config {
        framing: Framing::Tag,
        ..CONFIG
    };
    let (network, mut site) = part(&config, Uncovered::Punt);
    let plain = network
        .datagram("blue b", "blue a", 0)
        .between(STACK, HOST)
        .frame();
    for tag in [[0x81, 0, 0, 1], [0x88, 0xa8, 0, 1]] {
        site.wire_brings(&[&plain[..12], &tag, &plain[12..]].concat());
        assert!(site.host.take_sent().is_empty());
    }
    assert_eq!(site.nic_counters().forged, 2);
    site.wire_brings(&plain);
    assert_eq!(site.host.take_sent(), [plain]);
}

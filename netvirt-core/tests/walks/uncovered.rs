//! What a part of a policy does not cover is left to the caller, who has the whole.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Machines whose records the part lacks, beside all of the red tenant.
const MISSING: [&str; 3] = ["blue b", "blue near a", "green b"];

/// What a NIC with little room has of the policy of host 1.
fn part(network: &Network, uncovered: Uncovered) -> Nve {
    let mut changes = network.changes(1);
    for change in &mut changes {
        if let Change::SetSettings(settings) = change {
            settings.uncovered = uncovered;
        }
    }
    let macs = MISSING.map(|name| network.machine(name).mac);
    changes.retain(|change| match change {
        Change::AddDomain(domain) => *domain != RED,
        Change::AddSubnet { domain, .. } => *domain != RED,
        Change::AddCustomerRoute(route) => route.vsid.get() != RED_1,
        Change::AddPort(port) => port.vsid.is_none_or(|vsid| vsid.get() != RED_1),
        Change::AddRecord(record) => record.vsid.get() != RED_1 && !macs.contains(&record.mac),
        _ => true,
    });
    Nve::new(&changes)
}

/// Frames that the whole policy carries or answers and the part does not, and why.
fn uncovered(network: &Network) -> Vec<(Ingress, Vec<u8>, DropReason)> {
    let mut other = Nve::new(&network.changes(2));
    let (port, uplink) = (
        |port| Ingress::Port(PortId(port)),
        Ingress::Uplink(UplinkId(0)),
    );
    let mut sent_by_other = |from: &str, to: &str| {
        let machine = network.machine(from);
        let frame = network.datagram(from, to, 0).frame();
        other.transmits(machine.port, machine.vsid, &frame)
    };
    let blue_a = (network.machine("blue a").mac, "10.0.0.5");
    vec![
        (
            port(3),
            network.datagram("red a", "red b", 0).frame(),
            DropReason::PortUnknown,
        ),
        (
            port(0),
            network.datagram("blue a", "blue b", 0).frame(),
            DropReason::NoRecord,
        ),
        (
            port(0),
            arp_request(blue_a, "10.0.0.7"),
            DropReason::NeighbourUnknown,
        ),
        (
            uplink,
            sent_by_other("red b", "red a"),
            DropReason::VsidUnknown,
        ),
        (
            uplink,
            sent_by_other("blue b", "blue a"),
            DropReason::SrcPaMismatch,
        ),
        (
            uplink,
            sent_by_other("blue c", "blue near a"),
            DropReason::NoLocalDst,
        ),
        (
            uplink,
            sent_by_other("green b", "green a"),
            DropReason::SrcPaUnknown,
        ),
    ]
}

#[test]
fn what_a_part_does_not_cover_is_punted_with_its_reason_and_carried_by_the_whole() {
    let network = Network::standard();
    let mut whole = Nve::new(&network.changes(1));
    let mut part_that_punts = part(&network, Uncovered::Punt);
    let mut part_that_refuses = part(&network, Uncovered::Refuse);
    for (ingress, frame, reason) in uncovered(&network) {
        let frame = Frame::whole(ingress, &frame);
        assert!(reason.is_uncovered());
        part_that_punts.counted();
        let punted = part_that_punts.process(&frame);
        assert_eq!(punted, Fate::Punted(Punt::Uncovered { reason }));
        let counted = part_that_punts.counted();
        assert!(counted.starts_with("received 1, punted 1"), "{counted}");
        assert!(!counted.contains("refused"), "{counted}");
        let refused = part_that_refuses.process(&frame);
        assert_eq!(refused, Fate::Dropped(reason));
        let carried = whole.process(&frame);
        assert!(
            matches!(
                carried,
                Fate::Delivered(..) | Fate::Transmitted(..) | Fate::Replied(_)
            ),
            "{carried:?}"
        );
    }
}

#[test]
fn a_packet_without_a_route_is_left_too_and_nobody_is_told_of_it() {
    let network = Network::standard().with(|network| {
        network.settings.unreachables = true;
        network.settings.uncovered = Uncovered::Punt;
        network.routes.clear();
    });
    let mut host = Nve::new(&network.changes(1));
    let away = network.datagram("blue a", "blue b", 0);
    let away = away.with(|packet| packet.destination = ip("198.51.100.9"));
    host.counted();
    let punted = host.take_from_port(0, &away.frame());
    let reason = DropReason::NoRoute;
    assert_eq!(punted, Fate::Punted(Punt::Uncovered { reason }));
    assert_eq!(
        host.counted(),
        counted_from_port("punted", 0, BLUE_1, away.frame().len())
    );
}

#[test]
fn what_the_policy_does_cover_is_refused_as_ever() {
    let network = Network::standard();
    let mut host = part(&network, Uncovered::Punt);
    let near = network.datagram("blue a", "blue near c", 0);
    let mac = near
        .clone()
        .with(|packet| packet.source_mac = network.machine("blue near c").mac);
    host.refuses(0, BLUE_1, &mac.frame(), DropReason::MacSpoof);
    let address = near.clone().with(|packet| packet.source = ip("10.0.0.9"));
    host.refuses(0, BLUE_1, &address.frame(), DropReason::CaSpoof);
    let last_hop = near.with(|packet| packet.hop_limit = 1);
    host.explains(0, BLUE_1, &last_hop.frame(), DropReason::TtlExceeded);
}

#[test]
fn before_there_is_any_policy_nothing_is_left_to_anybody() {
    let network = Network::standard();
    let mut host = Nve::new(&[]);
    let frame = network.datagram("blue a", "blue b", 0).frame();
    let fate = host.take_from_port(0, &frame);
    assert_eq!(fate, Fate::Dropped(DropReason::PortUnknown));
}

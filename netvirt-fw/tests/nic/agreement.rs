//! What the NIC does is what the core decided: the same bytes, the same counters.

use netvirt_core::datapath::{DropReason, Frame, Ingress};
use netvirt_core::{PortId, UplinkId};
use proptest::prelude::*;

use crate::site::{Site, Told, delivered};
use crate::support::hosts::{Fate, Nve};
use crate::support::network::*;
use crate::support::packets::*;

/// What leaves on the wire and to the host because of one frame that the core decided so.
fn expected(ingress: Ingress, fate: &Fate) -> (Vec<Vec<u8>>, Vec<Told>) {
    let back = |bytes: &Vec<u8>| match ingress {
        Ingress::Uplink(_) => (vec![bytes.clone()], vec![]),
        Ingress::Port(port) => (vec![], vec![delivered(port.0, bytes.clone())]),
    };
    match fate {
        Fate::Delivered(port, bytes) => (vec![], vec![delivered(port.0, bytes.clone())]),
        Fate::Transmitted(_, bytes) => (vec![bytes.clone()], vec![]),
        Fate::Fragmented(_, pieces) => (pieces.clone(), vec![]),
        Fate::Replied(bytes) | Fate::Explained(_, bytes) => back(bytes),
        Fate::Replicated(copies) => {
            let (mut wire, mut host) = (vec![], vec![]);
            for copy in copies {
                let (to_wire, to_host) = expected(ingress, copy);
                wire.extend(to_wire);
                host.extend(to_host);
            }
            (wire, host)
        }
        Fate::Dropped(_) | Fate::Lost(..) => (vec![], vec![]),
        other => panic!("{other:?}"),
    }
}

/// Gives a frame to a NIC and to the core and compares what comes of it, counters included.
fn agree(site: &mut Site, core: &mut Nve, ingress: Ingress, frame: &[u8]) -> Fate {
    let fate = core.process(&Frame::whole(ingress, frame));
    match ingress {
        Ingress::Port(port) => site.machine_sends(port.0, frame),
        Ingress::Uplink(_) => site.wire_brings(frame),
    }
    if let Fate::Punted(_) = fate {
        // Where it goes is the bridge's business.
        site.wire.take_sent();
        site.host.take_sent();
    } else {
        let (wire, host) = expected(ingress, &fate);
        assert_eq!(site.wire.take_sent(), wire, "{fate:?}");
        assert_eq!(site.told(), host, "{fate:?}");
    }
    site.counters(|counters| {
        let expected = core.worker.counters();
        assert_eq!(counters.totals(), expected.totals());
        for reason in DropReason::ALL {
            assert_eq!(counters.refused(*reason), expected.refused(*reason));
        }
        for port in 0..8 {
            assert_eq!(counters.port(PortId(port)), expected.port(PortId(port)));
        }
    });
    fate
}

fn both(network: &Network) -> (Site, Nve) {
    let changes = network.changes(1);
    (Site::new(&changes), Nve::new(&changes))
}

const UPLINK: Ingress = Ingress::Uplink(UplinkId(0));

#[test]
fn each_walk_is_that_of_the_core() {
    let network = Network::standard();
    let (mut site, mut core) = both(&network);
    let mut other = Nve::new(&network.changes(2));
    let port = |port| Ingress::Port(PortId(port));
    for version in 0..2 {
        for (from, to) in [
            ("blue a", "blue b"),
            ("blue a", "blue near a"),
            ("blue a", "blue c"),
            ("blue a", "blue near c"),
            ("red a", "red b"),
            ("green a", "green b"),
            ("green a", "green c"),
        ] {
            let machine = network.machine(from);
            let packet = network.datagram(from, to, version);
            agree(&mut site, &mut core, port(machine.port), &packet.frame());
            let last_hop = packet.with(|packet| packet.hop_limit = 1);
            agree(&mut site, &mut core, port(machine.port), &last_hop.frame());
        }
        for (from, to) in [
            ("blue b", "blue a"),
            ("blue c", "blue a"),
            ("green b", "green a"),
        ] {
            let machine = network.machine(from);
            let frame = network.datagram(from, to, version).frame();
            let wire = other.transmits(machine.port, machine.vsid, &frame);
            let fate = agree(&mut site, &mut core, UPLINK, &wire);
            assert!(matches!(fate, Fate::Delivered(..)));
        }
    }
    let blue_a = (network.machine("blue a").mac, "10.0.0.5");
    for target in ["10.0.0.7", "10.0.0.1", "10.0.0.99"] {
        agree(&mut site, &mut core, port(0), &arp_request(blue_a, target));
    }
    let broadcast = network.datagram("blue a", "blue b", 0).with(|packet| {
        packet.destination = ip("255.255.255.255");
        packet.destination_mac = netvirt_core::MacAddress::BROADCAST;
    });
    let fate = agree(&mut site, &mut core, port(0), &broadcast.checked().frame());
    assert!(matches!(fate, Fate::Replicated(_)), "{fate:?}");
    let large = Packet::of_length("10.0.0.5", "10.0.0.7", 1590)
        .between(blue_a.0, network.machine("blue b").mac);
    for fragment in [0x4000, 0] {
        let packet = large.clone().with(|packet| packet.fragment = fragment);
        agree(&mut site, &mut core, port(0), &packet.frame());
    }
    let asks = arp_request((host_mac(2), "192.168.4.22"), "192.168.4.11");
    agree(&mut site, &mut core, UPLINK, &asks);
}

proptest! {
    #[test]
    fn whatever_comes_the_nic_does_what_the_core_decides(
        frames in prop::collection::vec(
            (0..7_usize, 0..7_usize, 0..2_usize, any::<bool>(), any::<u16>(), any::<u8>()),
            1..24,
        ),
    ) {
        let network = Network::standard();
        let (mut site, mut core) = both(&network);
        let names = ["blue a", "blue b", "blue near a", "blue c", "red a", "green a", "green b"];
        for (from, to, version, is_from_wire, at, value) in frames {
            let packet = network.datagram(names[from], names[to], version);
            let (ingress, mut frame) = match is_from_wire {
                false => (Ingress::Port(PortId(network.machine(names[from]).port)), packet.frame()),
                true => {
                    let vsid = network.machine(names[to]).vsid;
                    (UPLINK, network.tunnel(2, 1, vsid).wrap(&packet.frame()))
                }
            };
            // Most frames are as they should be, but for one byte.
            let at = usize::from(at) % (2 * frame.len());
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            agree(&mut site, &mut core, ingress, &frame);
        }
    }
}

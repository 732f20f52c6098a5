//! Whatever stack and underlay do: what leaves is what the core says.

use netvirt_core::counters::{Event, Totals};
use netvirt_core::{PortId, UplinkId};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bench::Device;
use crate::frames::{damage, packets_among};
use crate::support::hosts::{Fate, Nve};
use crate::support::network::{Network, ROUTER};

/// Frames of blue a, and packets out of tunnels to host 1.
fn frames() -> impl Strategy<Value = (bool, Vec<u8>)> {
    let network = Network::standard();
    let machines = network.machines.iter();
    let mut addresses: Vec<String> = machines
        .flat_map(|machine| {
            machine
                .addresses
                .iter()
                .map(|address| String::from(*address))
        })
        .collect();
    addresses.extend(["10.0.0.1", "10.0.0.255", "224.0.0.1"].map(String::from));
    let parts = (any::<bool>(), any::<bool>(), any::<bool>(), 0..1300usize);
    (packets_among(addresses), parts, damage()).prop_map(
        move |(mut packet, (is_outward, is_honest, is_routed, more), damage)| {
            let (a, b) = (network.machine("blue a"), network.machine("blue b"));
            let (from, to) = if is_outward { (a, b) } else { (b, a) };
            let version = usize::from(packet.source.is_ipv6());
            if is_honest {
                packet.source = from.addresses[version].parse().unwrap();
            }
            if is_honest && !is_outward {
                packet.destination = to.addresses[version].parse().unwrap();
            }
            packet = packet.between(from.mac, if is_routed { ROUTER } else { to.mac });
            packet.transport.resize(packet.transport.len() + more, 0x5a);
            let mut frame = packet.frame();
            if !is_outward {
                frame = network.tunnel(2, 1, from.vsid).wrap(&frame);
            }
            damage.apply(&mut frame);
            (is_outward, frame)
        },
    )
}

/// What leaves into the underlay, and to the stack.
fn leaving(is_outward: bool, fate: Fate) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let none = Vec::new;
    match fate {
        Fate::Transmitted(UplinkId(0), bytes) => (vec![bytes], none()),
        Fate::Fragmented(UplinkId(0), pieces) => (pieces, none()),
        Fate::Delivered(PortId(0), bytes) => (none(), vec![bytes]),
        Fate::Replied(bytes) | Fate::Explained(_, bytes) if is_outward => (none(), vec![bytes]),
        Fate::Replied(bytes) | Fate::Explained(_, bytes) => (vec![bytes], none()),
        Fate::Replicated(copies) => {
            let parts = copies.into_iter().map(|copy| leaving(is_outward, copy));
            let (wire, stack): (Vec<_>, Vec<_>) = parts.unzip();
            (wire.concat(), stack.concat())
        }
        _ => (none(), none()),
    }
}

proptest! {
    #[test]
    fn what_leaves_is_what_the_core_says(frames in vec(frames(), 1..30)) {
        let network = Network::standard();
        let mut device = Device::new(&network, "blue a");
        let mut host = Nve::new(&network.changes(1));
        host.now = std::time::Duration::from_secs(1000);
        let mut lost = 0;
        for (is_outward, frame) in frames {
            let fate = if is_outward {
                host.take_from_port(0, &frame)
            } else {
                host.take_from_uplink(&frame)
            };
            lost += u64::from(matches!(fate, Fate::Delivered(port, _) if port != PortId(0)));
            let (wire, stack) = leaving(is_outward, fate);
            if is_outward {
                prop_assert_eq!(device.send(&frame), wire);
                let received: Vec<_> = std::iter::from_fn(|| device.receive()).collect();
                prop_assert_eq!(received, stack);
            } else {
                prop_assert_eq!(device.arrive(&frame), stack);
                prop_assert_eq!(device.underlay.sent(), wire);
            }
        }
        // All is counted as the core does, but for what machines would get that are not there.
        let expected = host.worker.counters();
        let mut totals = *expected.totals();
        totals.delivered -= lost;
        totals.dropped += lost;
        prop_assert_eq!(device.totals(), Totals { ..totals });
        let copies = |lost: u64, done: u64| lost + done;
        prop_assert_eq!(
            copies(device.event(Event::Copy), device.event(Event::CopyLost)),
            copies(expected.event(Event::Copy), expected.event(Event::CopyLost))
        );
    }
}

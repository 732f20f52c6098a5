//! Whatever is received: what leaves is what the core says, and no buffer is lost.

use netvirt_core::datapath::Ingress;
use netvirt_core::{MacAddress, PortId, UplinkId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bench::{Bench, ROOMY, leaving};
use crate::frames::{damage, packets_among};
use crate::support::network::{Network, ROUTER};

fn networks() -> impl Strategy<Value = Network> {
    (any::<bool>(), select(vec![1400, 1600])).prop_map(|(is_resolved, mtu)| {
        Network::standard().with(|network| {
            network.is_resolved = is_resolved;
            network.mtu = mtu;
        })
    })
}

fn addresses(network: &Network) -> Vec<String> {
    let machines = network.machines.iter();
    let addresses = machines.flat_map(|machine| machine.addresses.iter());
    let others = [
        "10.0.0.255",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "10.0.0.1",
    ];
    addresses
        .chain(&others)
        .map(|address| String::from(*address))
        .collect()
}

/// Frames from machines of host 1 and out of tunnels from host 2, most of them honest.
fn frames() -> impl Strategy<Value = (Ingress, Vec<u8>)> {
    let network = Network::standard();
    let packets = packets_among(addresses(&network));
    let parts = (0..network.machines.len(), 0..network.machines.len(), 0..4u8);
    (packets, parts, damage(), 0..1300usize).prop_map(
        move |(mut packet, (from, to, how), damage, more)| {
            let (from, to) = (&network.machines[from], &network.machines[to]);
            let destination = match how {
                0 => to.mac,
                1 => ROUTER,
                _ if packet.destination.is_multicast() => MacAddress::BROADCAST,
                _ if from.vsid == to.vsid => to.mac,
                _ => ROUTER,
            };
            packet = packet.between(from.mac, destination);
            if how > 1 && from.addresses.len() > 1 {
                let version = usize::from(packet.source.is_ipv6());
                packet.source = from.addresses[version].parse().unwrap();
            }
            packet.transport.resize(packet.transport.len() + more, 0x5a);
            let (ingress, mut frame) = if from.host == 1 {
                (Ingress::Port(PortId(from.port)), packet.frame())
            } else {
                let tunnel = network.tunnel(2, 1, from.vsid);
                (Ingress::Uplink(UplinkId(0)), tunnel.wrap(&packet.frame()))
            };
            damage.apply(&mut frame);
            (ingress, frame)
        },
    )
}

proptest! {
    #[test]
    fn what_leaves_is_what_the_core_says(network in networks(), frames in vec(frames(), 1..20)) {
        let mut host = Bench::new(&network.changes(1), ROOMY);
        let mut waiting = 0;
        for (ingress, frame) in frames {
            let (fate, _) = host.take(ingress, &frame, Default::default());
            let (expected, held) = leaving(ingress, fate);
            let mut left = host.left();
            for (next_hop, _) in &held {
                // The question comes when the first frame waits.
                let mut question = vec![0; 256];
                let length = next_hop.solicitation(&mut question).unwrap();
                left.retain(|(_, bytes)| *bytes != question[..length]);
            }
            prop_assert_eq!(left, expected);
            waiting = ROOMY.buffers - host.outbox.pool.len();
        }
        host.keeps(waiting);
    }
}

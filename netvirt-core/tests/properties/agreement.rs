//! One by one or in a batch, on any CPU, observed or not: the decision is the same.

use std::time::Duration;

use netvirt_core::counters::Events;
use netvirt_core::datapath::*;
use netvirt_core::edit::DETACHED_ROOM;
use netvirt_core::offload::Offload;
use netvirt_core::policy::*;
use netvirt_core::proxy::Reply;
use netvirt_core::table::{Cpu, Portable};
use netvirt_core::trace::{Observer, Step};
use netvirt_core::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::frames::*;
use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;

/// Compares tags one by one.
struct Plain;

impl Cpu for Plain {
    fn match_tags(tags: &[u16; 8], tag: u16) -> u8 {
        (0..8)
            .filter(|lane| tags[*lane] == tag)
            .fold(0, |mask, lane| mask | 1 << lane)
    }
}

/// Remembers every step.
#[derive(Default)]
struct Listener(Vec<Step>);

impl Observer for Listener {
    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.0.push(step());
    }
}

#[derive(Debug, Clone)]
struct Given {
    ingress: Ingress,
    bytes: Vec<u8>,
    window: usize,
    offload: Offload,
}

impl Given {
    fn frame(&self) -> Frame<'_> {
        Frame {
            ingress: self.ingress,
            window: &self.bytes[..self.window.min(self.bytes.len())],
            length: self.bytes.len(),
            offload: self.offload,
        }
    }
}

fn addresses() -> Vec<String> {
    let network = Network::standard();
    let of_machines = network
        .machines
        .iter()
        .flat_map(|machine| machine.addresses.clone());
    let mut addresses: Vec<String> = of_machines.map(String::from).collect();
    let others = [
        "10.0.0.1",
        "10.0.0.99",
        "10.0.1.1",
        "198.51.100.9",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.168.4.11",
        "2001:db8:1::1",
        "2001:db8:1::99",
        "2001:db8:ffff::1",
        "fe80::1",
        "fe80::5",
        "::",
        "ff02::1",
    ];
    addresses.extend(others.map(String::from));
    addresses.sort();
    addresses.dedup();
    addresses
}

fn macs() -> Vec<MacAddress> {
    let network = Network::standard();
    let mut macs: Vec<MacAddress> = network.machines.iter().map(|machine| machine.mac).collect();
    macs.extend([ROUTER, MacAddress::BROADCAST, host_mac(1)]);
    macs
}

/// What a machine might send, with the port that it would come from.
fn from_ports() -> impl Strategy<Value = (Ingress, Vec<u8>)> {
    let network = Network::standard();
    let machines: Vec<Machine> = network
        .machines
        .into_iter()
        .filter(|machine| machine.host == 1)
        .collect();
    let honest = (
        select(machines),
        packets_among(addresses()),
        any::<bool>(),
        select(macs()),
    );
    let honest = honest.prop_map(|(machine, packet, is_own, to)| {
        let packet = packet.between(machine.mac, to).with(|packet| {
            if is_own {
                let own = machine.addresses.iter().map(|address| ip(address));
                let own = own.filter(|own| own.is_ipv4() == packet.source.is_ipv4());
                packet.source = own.max().unwrap();
            }
        });
        (Ingress::Port(PortId(machine.port)), packet.frame())
    });
    let messages = (0u32..6, neighbour_messages(macs(), addresses()));
    let messages = messages.prop_map(|(port, frame)| (Ingress::Port(PortId(port)), frame));
    prop_oneof![3 => honest, 1 => messages]
}

/// What the wire might bring.
fn from_uplink() -> impl Strategy<Value = (Ingress, Vec<u8>)> {
    let inner = (packets_among(addresses()), select(macs()), select(macs()));
    let vsids = select(vec![
        BLUE_1, BLUE_2, BLUE_EDGE, RED_1, GREEN_1, GREEN_2, 5999, 0, 0xff_ffff,
    ]);
    let flags = select(vec![0x2000, 0x2000, 0x2000, 0xa000, 0x3000, 0x2008, 0x0000]);
    let outer = select(vec![Outer::V4, Outer::V6]);
    let tunnels = (inner, vsids, flags, outer, any::<u8>()).prop_map(
        |((packet, source, destination), vsid, flags, outer, class)| {
            let network = Network::standard().with(|network| network.outer = outer);
            let tunnel = network.tunnel(2, 1, vsid).with(|tunnel| {
                tunnel.gre_flags = flags;
                tunnel.traffic_class = class;
            });
            tunnel.wrap(&packet.between(source, destination).frame())
        },
    );
    let provider = [
        "192.168.4.207",
        "192.168.4.206",
        "192.168.4.22",
        "fd00:4::207",
        "fd00:4::206",
    ];
    let own = [
        "192.168.4.105",
        "192.168.4.11",
        "fd00:4::105",
        "fd00:4::11",
        "192.168.4.207",
    ];
    let wire_addresses: Vec<String> = [provider, own]
        .concat()
        .into_iter()
        .map(String::from)
        .collect();
    let rewritten = packets_among(wire_addresses.clone())
        .prop_map(|packet| packet.between(host_mac(2), host_mac(1)).frame());
    let messages = neighbour_messages(macs(), wire_addresses);
    prop_oneof![3 => tunnels, 2 => rewritten, 1 => messages]
        .prop_map(|frame| (Ingress::Uplink(UplinkId(0)), frame))
}

fn given() -> impl Strategy<Value = Given> {
    let window = prop_oneof![4 => Just(usize::MAX), 1 => 0usize..200];
    let offload = prop_oneof![3 => Just(Offload::NONE), 1 => offloads()];
    (
        prop_oneof![from_ports(), from_uplink()],
        damage(),
        window,
        offload,
    )
        .prop_map(|((ingress, mut bytes), damage, window, offload)| {
            damage.apply(&mut bytes);
            Given {
                ingress,
                bytes,
                window,
                offload,
            }
        })
}

/// A host with machines of all kinds, some of them moved.
fn busy_host(reception: Reception) -> Nve {
    let network = Network::standard().with(|network| {
        network.settings.reception = reception;
        network.settings.flow_id = FlowIdPolicy::PerFlow { seed: 3 };
    });
    let mut host = Nve::new(&network.changes(1));
    let moved = ["10.0.0.9", "2001:db8:1::9"].map(|address| {
        let name = RecordName::Address(
            Vsid::new(BLUE_1).unwrap(),
            CustomerAddress::new(ip(address)).unwrap(),
        );
        Change::MoveRecord(name, Location::Host(HostId(2)))
    });
    host.apply(&moved);
    host
}

fn receptions() -> impl Strategy<Value = Reception> {
    select(vec![Reception::Strict, Reception::Tolerant])
}

fn in_a_batch<C: Cpu>(host: &mut Nve, frames: &[Frame<'_>]) -> (Vec<String>, String) {
    let Nve {
        policies, worker, ..
    } = &mut *host;
    // What stood there before does not matter.
    let stale = Verdict {
        outcome: Outcome::Punt(Punt::HostStack),
        reason: Some(DropReason::PortFull),
        vsid: Vsid::new(5999).ok(),
        events: Events::NONE,
    };
    let mut verdicts = vec![stale; frames.len()];
    let decided = worker.process_batch::<C>(policies.live(), frames, &mut verdicts, Duration::ZERO);
    assert_eq!(decided, frames.len());
    let verdicts = verdicts
        .iter()
        .map(|verdict| format!("{verdict:?}"))
        .collect();
    (verdicts, host.counted())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_batch_is_its_frames_one_by_one(
        reception in receptions(),
        given in vec(given(), 1..80),
    ) {
        let frames: Vec<Frame<'_>> = given.iter().map(Given::frame).collect();
        let mut host = busy_host(reception);
        let mut single = vec![];
        for frame in &frames {
            let verdict = host.worker.process(host.policies.live(), frame, Duration::ZERO);
            single.push(format!("{verdict:?}"));
        }
        let single = (single, host.counted());
        prop_assert_eq!(&in_a_batch::<Portable>(&mut busy_host(reception), &frames), &single);
        prop_assert_eq!(&in_a_batch::<Plain>(&mut busy_host(reception), &frames), &single);
    }

    #[test]
    fn a_batch_decides_no_more_than_there_is_room_for(
        given in vec(given(), 1..80),
        room in 0usize..90,
    ) {
        let frames: Vec<Frame<'_>> = given.iter().map(Given::frame).collect();
        let mut host = busy_host(Reception::Strict);
        let mut verdicts = vec![Verdict::UNDECIDED; room];
        let Nve { policies, worker, .. } = &mut host;
        let decided = worker.process_batch::<Portable>(policies.live(), &frames, &mut verdicts, Duration::ZERO);
        prop_assert_eq!(decided, room.min(frames.len()));
        prop_assert_eq!(worker.counters().totals().received, decided as u64);
        prop_assert!(verdicts[decided..].iter().all(|verdict| *verdict == Verdict::UNDECIDED));
    }

    #[test]
    fn who_watches_changes_nothing(reception in receptions(), given in vec(given(), 1..20)) {
        let mut unwatched = busy_host(reception);
        let mut watched = busy_host(reception);
        for given in &given {
            let frame = given.frame();
            let plain = unwatched.worker.process(unwatched.policies.live(), &frame, Duration::ZERO);
            let mut listener = Listener::default();
            let Nve { policies, worker, .. } = &mut watched;
            let heard = worker.process_observed(policies.live(), &frame, Duration::ZERO, &mut listener);
            prop_assert_eq!(plain, heard);
            let is_seen = !matches!(plain.reason, Some(DropReason::Truncated | DropReason::OuterMalformed | DropReason::PortUnknown));
            prop_assert!(!listener.0.is_empty() || !is_seen, "{:?}", plain);
            prop_assert_eq!(unwatched.counted(), watched.counted());
        }
    }

    #[test]
    fn any_bytes_on_any_side_are_decided_for_one_reason_at_most(
        bytes in vec(any::<u8>(), 0..160),
        ingress in prop_oneof![
            (0u32..70).prop_map(|port| Ingress::Port(PortId(port))),
            (0u32..3).prop_map(|uplink| Ingress::Uplink(UplinkId(uplink))),
        ],
        length in prop_oneof![Just(0usize), 0usize..100_000, Just(usize::MAX)],
        offload in offloads(),
        given in given(),
    ) {
        let mut host = busy_host(Reception::Tolerant);
        let whole = Frame { offload, ..Frame::whole(ingress, &bytes) };
        // Lengths that contradict the window must not hurt either.
        let lying = Frame { length, ..given.frame() };
        for frame in [whole, lying, given.frame()] {
            let verdict = host.worker.process(host.policies.live(), &frame, Duration::ZERO);
            let is_refused = matches!(verdict.outcome, Outcome::Drop | Outcome::Reply(Reply::Error(_)));
            prop_assert_eq!(verdict.reason.is_some(), is_refused);
            if let Some(edit) = verdict.edit() {
                let mut buffer = vec![0; 80 + frame.window.len()];
                let end = buffer.len();
                let _ = edit.apply_in_place(&mut buffer, 80..end);
                let _ = edit.apply_into(frame.window, &mut [0; 400]);
                let _ = edit.detach(frame.window, &mut [0; DETACHED_ROOM]);
            }
            if let Outcome::Reply(reply) = &verdict.outcome {
                let _ = reply.emit(frame.window, &mut [0; 400]);
            }
        }
    }
}

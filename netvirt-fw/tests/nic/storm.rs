//! Anything at all, from everywhere: nothing panics, nothing is lost uncounted, no buffer goes astray, and afterwards the NIC works.

use std::time::Duration;

use netvirt_core::offload::*;
use netvirt_core::policy::Change;
use netvirt_core::{MacAddress, PortId, UplinkId};
use netvirt_fw::header::{Kind, LINK_LEN, Repr};
use netvirt_fw::nic::Config;
use netvirt_fw::rings::Capabilities;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::site::*;
use crate::support::hosts::Nve;
use crate::support::network::*;
use crate::support::packets::*;

/// Frames that mean something, to be spoilt.
struct Frames {
    /// Of machines of the host, with their ports.
    out: Vec<(u32, Vec<u8>)>,
    /// Of the wire.
    back: Vec<Vec<u8>>,
}

impl Frames {
    fn of(network: &Network) -> Self {
        let (mut out, mut back) = (vec![], vec![]);
        let mut other = Nve::new(&network.changes(2));
        for version in 0..2 {
            for (from, to) in [
                ("blue a", "blue b"),
                ("blue a", "blue near a"),
                ("blue a", "blue c"),
                ("red a", "red b"),
                ("green a", "green b"),
            ] {
                let machine = network.machine(from);
                let packet = network.datagram(from, to, version);
                out.push((machine.port, packet.frame()));
                let last_hop = packet.with(|packet| packet.hop_limit = 1);
                out.push((machine.port, last_hop.frame()));
            }
            for (from, to) in [("blue b", "blue a"), ("green b", "green a")] {
                let machine = network.machine(from);
                let frame = network.datagram(from, to, version).frame();
                back.push(other.transmits(machine.port, machine.vsid, &frame));
            }
        }
        let to_all = network
            .datagram("blue a", "blue b", 0)
            .between(network.machine("blue a").mac, MacAddress::BROADCAST);
        out.push((0, to_all.frame()));
        out.push((
            0,
            arp_request((network.machine("blue a").mac, "10.0.0.5"), "10.0.0.7"),
        ));
        back.push(
            network
                .datagram("blue b", "blue a", 0)
                .between(STACK, HOST)
                .frame(),
        );
        back.push(arp_request((host_mac(2), "192.168.4.22"), "192.168.4.11"));
        Self { out, back }
    }
}

/// Bytes of a frame that become others, and how many are left of it.
#[derive(Debug, Clone)]
struct Spoilt {
    bytes: Vec<(Index, u8)>,
    length: Option<Index>,
}

impl Spoilt {
    fn spoil(&self, mut frame: Vec<u8>) -> Vec<u8> {
        for (at, byte) in &self.bytes {
            // Mostly in the headers.
            let at = at.index(frame.len().min(120));
            frame[at] = *byte;
        }
        if let Some(length) = &self.length {
            frame.truncate(length.index(frame.len() + 1));
        }
        frame
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A machine sends, and leaves this work to the NIC.
    Machine(Index, Spoilt, Offload),
    /// The host sends a frame with a spoilt header of the link.
    Host(Index, Spoilt),
    /// The host has decided.
    Decided(Index, Spoilt),
    Wire(Index, Spoilt),
    Bytes(bool, Vec<u8>),
    Stack(Index),
    /// Whether host and wire take frames, and how many.
    Room(bool, usize),
    Checksums(bool),
    Seconds(u64),
    /// The same policy as a new version.
    Policy,
    Run,
}

fn spoilt() -> impl Strategy<Value = Spoilt> {
    let bytes = prop::collection::vec(any::<(Index, u8)>(), 0..3);
    let length = prop::option::weighted(0.1, any::<Index>());
    (bytes, length).prop_map(|(bytes, length)| Spoilt { bytes, length })
}

fn offload() -> impl Strategy<Value = Offload> {
    let checksum =
        (0..80_u16, 0..20_u16).prop_map(|(start, offset)| PartialChecksum { start, offset });
    let kind = prop::sample::select(vec![
        SegmentKind::TcpIpv4,
        SegmentKind::TcpIpv6,
        SegmentKind::Udp,
    ]);
    let segmentation =
        (kind, 0..200_u16, 0..120_u16).prop_map(|(kind, segment_size, header_length)| {
            Segmentation {
                kind,
                segment_size,
                header_length,
            }
        });
    let checksum = prop::option::weighted(0.2, checksum);
    let segmentation = prop::option::weighted(0.2, segmentation);
    (checksum, segmentation).prop_map(|(checksum, segmentation)| Offload {
        checksum,
        segmentation,
        hash: None,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<Index>;
    prop_oneof![
        6 => (index(), spoilt(), offload()).prop_map(|(which, how, work)| Step::Machine(which, how, work)),
        2 => (index(), spoilt()).prop_map(|(which, how)| Step::Host(which, how)),
        1 => (index(), spoilt()).prop_map(|(which, how)| Step::Decided(which, how)),
        6 => (index(), spoilt()).prop_map(|(which, how)| Step::Wire(which, how)),
        1 => (any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(side, bytes)| Step::Bytes(side, bytes)),
        1 => index().prop_map(Step::Stack),
        1 => (any::<bool>(), prop_oneof![0..4_usize, Just(usize::MAX)]).prop_map(|(side, room)| Step::Room(side, room)),
        1 => any::<bool>().prop_map(Step::Checksums),
        1 => (0..700_u64).prop_map(Step::Seconds),
        1 => Just(Step::Policy),
        4 => Just(Step::Run),
    ]
}

fn take(site: &mut Site, frames: &Frames, changes: &[Change], step: &Step) {
    match step {
        Step::Machine(which, how, offload) => {
            let (port, frame) = which.get(&frames.out);
            let repr = site.with_vsid(Repr {
                offload: *offload,
                ..Repr::new(Kind::Sent(PortId(*port)))
            });
            let sent = with_header(&repr, &how.spoil(frame.clone()));
            site.host.bring(&sent);
        }
        Step::Host(which, how) => {
            let (port, frame) = which.get(&frames.out);
            let sent = with_header(&site.with_vsid(Repr::new(Kind::Sent(PortId(*port)))), frame);
            let (header, frame) = sent.split_at(LINK_LEN);
            site.host
                .bring(&[&how.spoil(header.to_vec()), frame].concat());
        }
        Step::Decided(which, how) => {
            let frame = how.spoil(which.get(&frames.back).clone());
            let decided = Repr::new(Kind::Decided(UplinkId(0)));
            site.host.bring(&with_header(&decided, &frame));
        }
        Step::Wire(which, how) => site.wire.bring(&how.spoil(which.get(&frames.back).clone())),
        Step::Bytes(true, bytes) => site.host.bring(bytes),
        Step::Bytes(false, bytes) => site.wire.bring(bytes),
        Step::Stack(which) => {
            site.run();
            let frame: &Vec<u8> = which.get(&frames.back);
            site.stack_sends(frame);
        }
        Step::Room(true, room) => site.host.set_room(*room),
        Step::Room(false, room) => site.wire.set_room(*room),
        Step::Checksums(checksum) => site.wire.set_capabilities(Capabilities {
            checksum: *checksum,
        }),
        Step::Seconds(seconds) => site.now += Duration::from_secs(*seconds),
        Step::Policy => site.apply(changes),
        Step::Run => site.run(),
    }
}

/// What was sent is taken, what waits is given up.
fn settle(site: &mut Site) {
    for _ in 0..4 {
        site.host.set_room(usize::MAX);
        site.wire.set_room(usize::MAX);
        site.now += Duration::from_secs(1000);
        site.run();
        site.host.take_sent();
        site.wire.take_sent();
        site.stack_received();
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_the_nic_works_on(steps in prop::collection::vec(step(), 0..120), validates: bool) {
        let network = Network::standard();
        let frames = Frames::of(&network);
        let changes = network.changes(1);
        let mut site = Site::configured(&changes, &Config { validates, ..CONFIG });
        for step in &steps {
            take(&mut site, &frames, &changes, step);
        }
        settle(&mut site);
        let ((host, _), (wire, spare)) = (site.host.buffers(), site.wire.buffers());
        prop_assert_eq!(host + wire + spare, BUFFERS);
        let totals = site.counters(|counters| *counters.totals());
        prop_assert!(totals.add_up(), "{totals:?}");
        let (port, frame) = &frames.out[2];
        site.machine_sends(*port, frame);
        prop_assert_eq!(site.told().len(), 1, "the machine beside it is still reached");
    }
}

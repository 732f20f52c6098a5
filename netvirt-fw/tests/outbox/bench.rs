//! A host whose frames leave into a list.

use std::time::Duration;

use netvirt_core::counters::Event;
use netvirt_core::datapath::{DropReason, Frame, Ingress, Punt};
use netvirt_core::offload::Offload;
use netvirt_core::policy::{Change, NextHop, Port};
use netvirt_core::{MacAddress, PortId, UplinkId};
use netvirt_fw::outbox::{Decided, Exits, Held, Outbox};
use netvirt_fw::rings::{Buffer, BufferMemory, Queue};

use crate::support::hosts::{Fate, Nve, fate};
use crate::support::network::{Network, ROUTER};
use crate::support::packets::Packet;

/// Bytes of the longest frame that a buffer takes.
const LONGEST: usize = 2048;
type Memory = BufferMemory<[u8; Buffer::HEADROOM + LONGEST]>;

/// How much there is of everything.
#[derive(Clone, Copy)]
pub struct Rooms {
    pub buffers: usize,
    pub next_hops: usize,
    /// Frames that leave before the way out is full.
    pub exits: usize,
}

pub const ROOMY: Rooms = Rooms {
    buffers: 32,
    next_hops: 4,
    exits: 32,
};

/// What left.
#[derive(Debug)]
pub struct Left {
    room: usize,
    frames: Vec<(Egress, Buffer<'static>)>,
}

impl Exits<'static> for Left {
    fn deliver(&mut self, port: &Port, frame: Buffer<'static>) -> Result<(), Buffer<'static>> {
        self.leave(Egress::Port(port.port), frame)
    }

    fn transmit(
        &mut self,
        uplink: UplinkId,
        frame: Buffer<'static>,
    ) -> Result<(), Buffer<'static>> {
        self.leave(Egress::Uplink(uplink), frame)
    }
}

/// Where a frame left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Egress {
    Port(PortId),
    Uplink(UplinkId),
}

impl From<Ingress> for Egress {
    fn from(ingress: Ingress) -> Self {
        match ingress {
            Ingress::Port(port) => Self::Port(port),
            Ingress::Uplink(uplink) => Self::Uplink(uplink),
        }
    }
}

impl Left {
    fn leave(&mut self, egress: Egress, frame: Buffer<'static>) -> Result<(), Buffer<'static>> {
        if self.frames.len() == self.room {
            return Err(frame);
        }
        self.frames.push((egress, frame));
        Ok(())
    }
}

pub struct Bench {
    pub nve: Nve,
    pub outbox: Outbox<'static, 'static, Left>,
    pub now: Duration,
    buffers: usize,
    held: usize,
}

/// Places that are never given back.
fn places<T>(count: usize) -> &'static mut [Option<T>] {
    Box::leak((0..count).map(|_| None).collect())
}

impl Bench {
    pub fn new(changes: &[Change], rooms: Rooms) -> Self {
        let left = Left {
            room: rooms.exits,
            frames: vec![],
        };
        let mut pool = Queue::new(places(rooms.buffers));
        for _ in 0..rooms.buffers {
            let memory = Box::leak(Box::new(Memory::new()));
            let mut buffer = Buffer::new(memory);
            buffer.bytes_mut().fill(0xee);
            assert!(pool.push(buffer).is_ok());
        }
        Self {
            nve: Nve::new(changes),
            outbox: Outbox::new(left, pool, Held::new(places(rooms.next_hops))),
            now: Duration::from_secs(1000),
            buffers: rooms.buffers,
            held: 0,
        }
    }

    /// Has a frame decided and done. Yields what the core says of it, and what is the caller's.
    pub fn take(
        &mut self,
        ingress: Ingress,
        bytes: &[u8],
        offload: Offload,
    ) -> (Fate, Option<Punt>) {
        let mut buffer = self.outbox.pool.pop().expect("a buffer for the frame");
        buffer.fill(bytes).unwrap();
        let frame = Frame {
            ingress,
            window: bytes,
            length: bytes.len(),
            offload,
        };
        let policy = self.nve.policies.live();
        let verdict = self.nve.worker.process(policy, &frame, self.now);
        let fate = fate(policy, &verdict, bytes);
        let decided = Decided {
            ingress,
            buffer,
            verdict: &verdict,
        };
        let counters = self.nve.worker.counters_mut();
        let left = self.outbox.carry_out(policy, decided, counters, self.now);
        let punt = left.map(|(punt, buffer)| {
            assert_eq!(buffer.frame(), bytes, "as it was received");
            self.outbox.spare(buffer);
            punt
        });
        (fate, punt)
    }

    pub fn take_from_port(&mut self, port: u32, bytes: &[u8]) -> Fate {
        self.take(Ingress::Port(PortId(port)), bytes, Offload::NONE)
            .0
    }

    pub fn take_from_uplink(&mut self, bytes: &[u8]) -> Fate {
        self.take(Ingress::Uplink(UplinkId(0)), bytes, Offload::NONE)
            .0
    }

    /// What left since this was asked before.
    pub fn left(&mut self) -> Leaving {
        let left = self.left_with_work();
        left.into_iter()
            .map(|(egress, bytes, _)| (egress, bytes))
            .collect()
    }

    /// The same, with the work beside it.
    pub fn left_with_work(&mut self) -> Vec<(Egress, Vec<u8>, Offload)> {
        let frames = std::mem::take(&mut self.outbox.exits.frames);
        let taken = frames.into_iter().map(|(egress, buffer)| {
            let bytes = buffer.frame().to_vec();
            let offload = buffer.offload;
            self.outbox.spare(buffer);
            (egress, bytes, offload)
        });
        taken.collect()
    }

    /// Says how many buffers still wait when the bench is given up.
    pub fn keeps(&mut self, held: usize) {
        self.held = held;
    }

    pub fn refused(&self, reason: DropReason) -> u64 {
        self.nve.worker.counters().refused(reason)
    }

    pub fn event(&self, event: Event) -> u64 {
        self.nve.worker.counters().event(event)
    }
}

impl Drop for Bench {
    /// No buffer is lost. That totals add up the host checks itself.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = self.outbox.exits.frames.len();
            assert_eq!(self.outbox.pool.len() + left + self.held, self.buffers);
        }
    }
}

/// What left, and where.
pub type Leaving = Vec<(Egress, Vec<u8>)>;

/// What leaves because of a frame, by what the core says of it, and what waits.
pub fn leaving(ingress: Ingress, fate: Fate) -> (Leaving, Vec<(NextHop, Vec<u8>)>) {
    let (mut left, mut held) = (vec![], vec![]);
    match fate {
        Fate::Delivered(port, bytes) => left.push((Egress::Port(port), bytes)),
        Fate::Transmitted(uplink, bytes) => left.push((Egress::Uplink(uplink), bytes)),
        Fate::Fragmented(uplink, pieces) => {
            left.extend(
                pieces
                    .into_iter()
                    .map(|piece| (Egress::Uplink(uplink), piece)),
            );
        }
        Fate::Replied(bytes) | Fate::Explained(_, bytes) => left.push((ingress.into(), bytes)),
        Fate::Replicated(copies) => {
            for copy in copies {
                let (copies_left, copies_held) = leaving(ingress, copy);
                left.extend(copies_left);
                held.extend(copies_held);
            }
        }
        Fate::Held(next_hop, bytes) => held.push((next_hop, bytes)),
        Fate::Lost(..) | Fate::Punted(_) | Fate::Dropped(_) => {}
    }
    (left, held)
}

/// Host 1, whose paths carry no more than 600 bytes at once.
pub fn narrow() -> Bench {
    Bench::new(&narrow_network().changes(1), ROOMY)
}

pub fn narrow_network() -> Network {
    Network::standard().with(|network| {
        network.mtu = 600;
        network
            .subnets
            .iter_mut()
            .for_each(|(_, _, prefixes)| prefixes.truncate(1));
        network.routes.truncate(1);
        for machine in &mut network.machines {
            machine.addresses.truncate(1);
            machine.rewrite.truncate(1);
        }
    })
}

/// A packet of 1400 bytes that may be cut.
pub fn large(from: &str, to: &str) -> Packet {
    let network = Network::standard();
    let (from, to) = (network.machine(from), network.machine(to));
    let first_hop = if from.vsid == to.vsid { to.mac } else { ROUTER };
    Packet::of_length(from.addresses[0], to.addresses[0], 1400)
        .between(from.mac, first_hop)
        .with(|packet| packet.fragment = 0)
}

/// A broadcast of blue a.
pub fn broadcast() -> Vec<u8> {
    let a = Network::standard().machine("blue a").mac;
    Packet::udp("10.0.0.5", "10.0.0.255", b"to all")
        .between(a, MacAddress::BROADCAST)
        .frame()
}

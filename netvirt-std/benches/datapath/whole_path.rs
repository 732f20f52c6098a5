//! The whole path of a packet: from a frame in its buffer to the edited frame, everything counted.

use std::hint::black_box;
use std::time::Duration;

use managed::ManagedSlice;
use netvirt_core::counters::{Counters, PortCounters, SubnetCounters};
use netvirt_core::datapath::{DropReason, Frame, Outcome, Verdict, Worker};
use netvirt_core::policy::Policy;
use netvirt_std::cpu::HostCpu;

use crate::expected;
use crate::mixes::{self, Mix};
use crate::network::{Network, Reach, SUBNETS};
use crate::pages::{self, Pages};
use crate::sampler::{Group, Sampler, time};
use crate::traffic::{Direction, Distribution, HEADROOM, PASS, Packet, Pass, Ring, STRIDE, Trace};

/// Nothing that is measured hangs on the time.
const NOW: Duration = Duration::ZERO;
/// Frames that the datapath is given at once.
pub const BATCH: usize = 32;
/// Buffers of the ring whose frames are in no cache.
const COLD_BUFFERS: usize = 64 * 1024;

/// The lengths of the customers' frames.
pub const LENGTHS: [usize; 2] = [64, 1400];
/// How many records there are.
pub const RECORDS: [u32; 3] = [1_000, 65_536, 1_000_000];
/// How they are reached.
pub const REACHES: [(Reach, &str); 2] = [(Reach::Nvgre, "NVGRE"), (Reach::Rewrite, "rewrite")];
/// Which way frames go.
pub const DIRECTIONS: [(Direction, &str); 2] = [(Direction::Out, "out"), (Direction::In, "in")];
/// How the far ends are drawn.
pub const DISTRIBUTIONS: [(Distribution, &str); 2] = [
    (Distribution::Uniform, "uniform"),
    (Distribution::Skewed, "skewed"),
];
/// How frames are handed over, and whether a cache holds them.
pub const HANDOVERS: [(bool, bool, &str); 4] = [
    (true, true, "32 hot"),
    (true, false, "32 cold"),
    (false, true, "1 hot"),
    (false, false, "1 cold"),
];
/// The name of the group of hostile mixes.
pub const MIXES: &str = "mixes";

/// The name of the group of one row of the table.
pub fn row(pages: Pages, reach: &str, direction: &str, records: u32, distribution: &str) -> String {
    format!("{pages}, {reach} {direction}, {records}, {distribution}")
}

/// The name of one column.
pub fn column(handover: &str, length: usize) -> String {
    format!("{handover} {length}")
}

/// Measures all networks on pages of both sizes.
pub fn run(sampler: &mut Sampler) {
    for pages in [Pages::Huge, Pages::Small] {
        pages::allocate_on(pages);
        let mut ring = Ring::new(COLD_BUFFERS);
        for (reach, reach_name) in REACHES {
            for records in RECORDS {
                let has_mixes = pages == Pages::Huge && records == 1_000_000;
                let rows = rows_of(pages, reach_name, records);
                let is_wanted = rows.iter().any(|(_, _, name)| sampler.wants(name));
                if !(is_wanted || has_mixes && sampler.wants(MIXES)) {
                    continue;
                }
                let network = Network { records, reach };
                let policies = network.load();
                let mut path = WholePath::new(network, policies.live());
                eprintln!(
                    "{reach_name}, {records} records, {pages} pages: {} MiB on huge pages",
                    pages::huge_bytes() >> 20
                );
                path.verify(&mut ring);
                for (direction, distribution, name) in rows {
                    let mut trace = Trace::draw(&network, distribution);
                    let mut group = sampler.group(&name, PASS);
                    path.measure_row(&mut group, &mut ring, direction, &mut trace);
                }
                if has_mixes {
                    let mut group = sampler.group(MIXES, PASS);
                    path.measure_mixes(&mut group, &mut ring, reach_name);
                }
            }
        }
    }
    pages::allocate_on(Pages::Small);
}

/// The rows that one network fills, with their names.
fn rows_of(pages: Pages, reach: &str, records: u32) -> Vec<(Direction, Distribution, String)> {
    let mut rows = Vec::new();
    for (direction, direction_name) in DIRECTIONS {
        for (distribution, distribution_name) in DISTRIBUTIONS {
            let name = row(pages, reach, direction_name, records, distribution_name);
            rows.push((direction, distribution, name));
        }
    }
    rows
}

/// A worker and the policy it decides under.
struct WholePath<'p> {
    network: Network,
    policy: &'p Policy<'static>,
    worker: Worker<'static>,
    verdicts: [Verdict<'p>; BATCH],
}

impl<'p> WholePath<'p> {
    fn new(network: Network, policy: &'p Policy<'static>) -> Self {
        let ports = vec![PortCounters::ZERO; SUBNETS as usize];
        let subnets = vec![SubnetCounters::ZERO; SUBNETS as usize];
        Self {
            network,
            policy,
            worker: Worker::new(
                Counters::new(ManagedSlice::Owned(ports), ManagedSlice::Owned(subnets)),
                ManagedSlice::Owned(vec![]),
            ),
            verdicts: [Verdict::UNDECIDED; BATCH],
        }
    }

    fn measure_row(
        &mut self,
        group: &mut Group<'_>,
        ring: &mut Ring,
        direction: Direction,
        trace: &mut Trace,
    ) {
        let network = self.network;
        let before = *self.worker.counters().totals();
        for (in_batches, is_hot, name) in HANDOVERS {
            for length in LENGTHS {
                ring.rewind();
                group.measure(&column(name, length), || {
                    let packet = || trace.packet(&network, direction);
                    let pass = if is_hot {
                        ring.hot(length, packet)
                    } else {
                        ring.cold(length, packet)
                    };
                    let length = frame_length(&network, direction, length);
                    self.pass(in_batches, length, pass)
                });
            }
        }
        let after = self.worker.counters().totals();
        let gone = match direction {
            Direction::Out => after.transmitted - before.transmitted,
            Direction::In => after.delivered - before.delivered,
        };
        assert_eq!(
            gone,
            after.received - before.received,
            "a typical packet was refused"
        );
    }

    /// Decides and edits the frames of a pass.
    fn pass(&mut self, in_batches: bool, length: usize, pass: Pass<'_>) -> Duration {
        if in_batches {
            time(|| self.in_batches(length, pass))
        } else {
            time(|| self.one_by_one(length, pass))
        }
    }

    #[inline(never)]
    fn in_batches(&mut self, length: usize, pass: Pass<'_>) {
        let batches = pass
            .buffers
            .chunks_exact_mut(BATCH * STRIDE)
            .zip(pass.ingress.chunks_exact(BATCH));
        for (buffers, ingress) in batches {
            let frames: [Frame<'_>; BATCH] = std::array::from_fn(|at| {
                let start = at * STRIDE + HEADROOM;
                Frame::whole(ingress[at], &buffers[start..start + length])
            });
            self.worker
                .process_batch::<HostCpu>(self.policy, &frames, &mut self.verdicts, NOW);
            for (buffer, verdict) in buffers.chunks_exact_mut(STRIDE).zip(&self.verdicts) {
                edit(verdict, buffer, length);
            }
        }
    }

    #[inline(never)]
    fn one_by_one(&mut self, length: usize, pass: Pass<'_>) {
        let buffers = pass.buffers.chunks_exact_mut(STRIDE);
        for (buffer, &ingress) in buffers.zip(pass.ingress) {
            let frame = Frame::whole(ingress, &buffer[HEADROOM..HEADROOM + length]);
            let verdict = self.worker.process(self.policy, &frame, NOW);
            edit(&verdict, buffer, length);
        }
    }

    /// Compares what comes out with what an independent writer of headers says, in batches and one by one.
    fn verify(&mut self, ring: &mut Ring) {
        let network = self.network;
        for (direction, _) in DIRECTIONS {
            for (distribution, _) in DISTRIBUTIONS {
                for customer in LENGTHS {
                    for in_batches in [true, false] {
                        let mut trace = Trace::draw(&network, distribution);
                        let mut packets = Vec::new();
                        let pass = ring.hot(customer, || {
                            packets.push(trace.packet(&network, direction));
                            packets[packets.len() - 1]
                        });
                        let length = frame_length(&network, direction, customer);
                        self.pass(in_batches, length, pass);
                        expected::check(&network, direction, customer, &packets, ring);
                    }
                }
            }
        }
    }

    fn measure_mixes(&mut self, group: &mut Group<'_>, ring: &mut Ring, reach: &str) {
        let network = self.network;
        for mix in mixes::all(network.reach) {
            let mut trace = Trace::draw(&network, Distribution::Uniform);
            let mut packet = || mix.packet(&network, &mut trace);
            let length = packet().length(LENGTHS[0]);
            let pass = ring.hot(LENGTHS[0], &mut packet);
            self.pass(true, length, pass);
            self.assert_decided_as(&mix);
            group.measure(&mix.full_name(reach), || {
                let pass = ring.hot(LENGTHS[0], &mut packet);
                self.pass(true, length, pass)
            });
        }
    }

    fn assert_decided_as(&self, mix: &Mix) {
        for verdict in &self.verdicts {
            let is_right = match (mix.refused, verdict.reason) {
                (Some(expected), Some(reason)) => expected == reason,
                (None, None) => true,
                _ => false,
            };
            assert!(
                is_right,
                "{}: {:?}",
                mix.name,
                verdict.reason.map(DropReason::name)
            );
        }
    }
}

/// The length of a typical frame around a customer's frame.
fn frame_length(network: &Network, direction: Direction, customer: usize) -> usize {
    Packet::typical(network, direction, SUBNETS, 0).length(customer)
}

/// What the adapter does with a verdict, but for sending.
#[inline(always)]
fn edit(verdict: &Verdict<'_>, buffer: &mut [u8], length: usize) {
    match &verdict.outcome {
        Outcome::Transmit { edit, .. } | Outcome::Deliver { edit, .. } => {
            black_box(edit.apply_in_place(buffer, HEADROOM..HEADROOM + length)).ok();
        }
        other => {
            black_box(other);
        }
    }
}

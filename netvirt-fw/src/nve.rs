//! The network virtualization edge of a NIC: policy, counters and their storage, in static memory.

use netvirt_core::Vsid;
use netvirt_core::counters::{Counters, PortCounters, SubnetCounters};
use netvirt_core::datapath::{DropReason, Frame, Ingress, Verdict, Worker};
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::{Policies, SUBNETS_PER_GROUP, StaticStorage};
use netvirt_core::table::{Seed, buckets_for};
use serde::{Deserialize, Serialize};

/// Frames that are decided at once.
pub const BATCH: usize = 8;

/// What decides about frames: two copies of the policy, and one worker with its counters. What a NIC is asked about is here, too.
#[derive(Debug)]
pub struct Nve<'s> {
    /// The policy that frames meet, and the draft of the next.
    pub policies: Policies<'s>,
    /// What decides, and what it counted.
    pub worker: Worker<'s, BATCH>,
    /// The frames that were refused last.
    pub last_drops: LastDrops,
    /// What the NIC around it counted.
    pub nic: NicCounters,
}

/// What the NIC itself counted, beside what its [`Nve`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NicCounters {
    /// Frames from the host whose header says nothing that this version knows.
    pub malformed: u64,
    /// Frames from ports that are in another virtual subnet by the host's policy: the two must have the same.
    pub misdirected: u64,
    /// Frames from the wire that look as if the NIC had written them to its host: nobody else may.
    pub forged: u64,
    /// Frames that the host had decided.
    pub decided: u64,
    /// Frames that the policy does not cover, handed to the host.
    pub exceptions: u64,
    /// Frames of the host's own and of the NIC's stack, and copies of them, that crossed the NIC.
    pub bridged: u64,
    /// Frames that were lost because a queue was full, or no buffer was left. Those of machines are counted by the [`Nve`].
    pub lost: u64,
    /// Frames that had left the datapath, and whose checksum or segments could not be made: the host's header was wrong.
    pub unfinished: u64,
}

/// A frame that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrop {
    /// Why: a place in [`DropReason::ALL`].
    reason: u8,
    /// Where it came in.
    pub ingress: Ingress,
    /// The virtual subnet it was refused in, if it came so far.
    pub vsid: Option<Vsid>,
    /// Its bytes.
    pub length: u32,
}

impl LastDrop {
    /// What is to be noted of a frame, if it was refused.
    pub fn of(frame: &Frame<'_>, verdict: &Verdict<'_>) -> Option<Self> {
        Some(Self {
            reason: verdict.reason?.index() as u8,
            ingress: frame.ingress,
            vsid: verdict.vsid,
            length: u32::try_from(frame.length).unwrap_or(u32::MAX),
        })
    }

    /// Why it was refused; none if it was noted by a NIC that knows more reasons.
    pub fn reason(&self) -> Option<DropReason> {
        DropReason::ALL.get(usize::from(self.reason)).copied()
    }
}

/// The frames that were refused last.
#[derive(Debug, Default)]
pub struct LastDrops {
    noted: [Option<LastDrop>; 16],
    /// How many there were. The next takes the place of that number.
    total: usize,
}

impl LastDrops {
    /// Nothing was refused yet.
    pub const NONE: Self = Self {
        noted: [None; 16],
        total: 0,
    };

    /// Notes a frame, in the place of the one that was refused longest ago.
    pub fn note(&mut self, drop: LastDrop) {
        let next = self.total % self.noted.len();
        if let Some(place) = self.noted.get_mut(next) {
            *place = Some(drop);
        }
        self.total = self.total.wrapping_add(1);
    }

    /// From the last to the one before, and so on.
    pub fn iter(&self) -> impl Iterator<Item = &LastDrop> {
        let (later, earlier) = self.noted.split_at(self.total % self.noted.len());
        later.iter().rev().chain(earlier.iter().rev()).flatten()
    }
}

/// An edge that is shared with whoever changes its policy. It is locked for the time of one frame.
#[cfg(feature = "embassy")]
pub type SharedNve<'n, M> = embassy_sync::blocking_mutex::Mutex<M, core::cell::RefCell<Nve<'n>>>;

/// Everything that an [`Nve`] is stored in: two copies of a policy as [`StaticStorage`] describes it, and the counters and
/// limits of its ports and subnets.
///
/// ```
/// use netvirt_core::table::Seed;
/// use netvirt_fw::nve::Storage256;
/// # use std::sync::Mutex;
/// // Firmware has a StaticCell here.
/// static STORAGE: Mutex<Storage256> = Mutex::new(Storage256::new());
///
/// let mut storage = STORAGE.lock().unwrap();
/// let nve = storage.nve(Seed::new(1, 2)); // better: drawn at random
/// assert_eq!(nve.policies.live().version(), 0);
/// ```
#[derive(Debug)]
pub struct Storage<
    const RECORD_BUCKETS: usize,
    const SUBNET_GROUPS: usize,
    const HOST_GROUPS: usize,
    const PORTS: usize,
> {
    copies: [StaticStorage<RECORD_BUCKETS, SUBNET_GROUPS, HOST_GROUPS, PORTS>; 2],
    port_counters: [PortCounters; PORTS],
    subnet_counters: [[SubnetCounters; SUBNETS_PER_GROUP]; SUBNET_GROUPS],
    limits: [PortLimits; PORTS],
}

/// Room for 256 lookup records, 8 subnets, 16 hosts and 32 ports.
pub type Storage256 = Storage<{ buckets_for(256) }, 1, 2, 32>;
/// Room for 4,096 lookup records, 64 subnets, 128 hosts and 256 ports.
pub type Storage4096 = Storage<{ buckets_for(4096) }, 8, 16, 256>;

impl<
    const RECORD_BUCKETS: usize,
    const SUBNET_GROUPS: usize,
    const HOST_GROUPS: usize,
    const PORTS: usize,
> Storage<RECORD_BUCKETS, SUBNET_GROUPS, HOST_GROUPS, PORTS>
{
    /// Storage in which nothing was done yet.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        Self {
            copies: [const { StaticStorage::new() }; 2],
            port_counters: [PortCounters::ZERO; _],
            subnet_counters: [[SubnetCounters::ZERO; _]; _],
            limits: [PortLimits::FULL; _],
        }
    }

    /// An edge with an empty policy. The seed is to be drawn at random, so that no tenant can choose addresses that share a
    /// place in a table.
    pub fn nve(&mut self, seed: Seed) -> Nve<'_> {
        let [first, second] = self.copies.each_mut().map(|copy| copy.policy(seed));
        let counters = Counters::new(
            (&mut self.port_counters[..]).into(),
            self.subnet_counters.as_flattened_mut().into(),
        );
        Nve {
            policies: Policies::new(first, second),
            worker: Worker::of_size(counters, (&mut self.limits[..]).into()),
            last_drops: LastDrops::NONE,
            nic: NicCounters::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use netvirt_core::PortId;

    use super::*;

    #[test]
    fn the_last_drops_are_told_from_the_last_on() {
        let drop = |length| LastDrop {
            reason: 0,
            ingress: Ingress::Port(PortId(0)),
            vsid: None,
            length,
        };
        let mut drops = LastDrops::NONE;
        let told = |drops: &LastDrops| drops.iter().map(|drop| drop.length).collect::<Vec<_>>();
        assert_eq!(told(&drops), []);
        (0..3).for_each(|length| drops.note(drop(length)));
        assert_eq!(told(&drops), [2, 1, 0]);
        (3..40).for_each(|length| drops.note(drop(length)));
        assert_eq!(told(&drops), (24..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn an_edge_of_256_records_takes_little_memory() {
        let bytes = size_of::<Storage256>();
        assert!(bytes <= 75 * 1024, "{bytes} bytes");
    }
}

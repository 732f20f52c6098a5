//! The network virtualization edge of a NIC: policy, counters and their storage, in static memory.

use netvirt_core::counters::{Counters, PortCounters, SubnetCounters};
use netvirt_core::datapath::Worker;
use netvirt_core::limit::PortLimits;
use netvirt_core::policy::{Policies, SUBNETS_PER_GROUP, StaticStorage};
use netvirt_core::table::{Seed, buckets_for};

/// What decides about frames: two copies of the policy, and one worker with its counters.
#[derive(Debug)]
pub struct Nve<'s> {
    /// The policy that frames meet, and the draft of the next.
    pub policies: Policies<'s>,
    /// What decides, and what it counted.
    pub worker: Worker<'s>,
}

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

/// Room for 256 lookup records, 8 subnets, 16 hosts and 64 ports.
pub type Storage256 = Storage<{ buckets_for(256) }, 1, 2, 64>;
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
            worker: Worker::new(counters, (&mut self.limits[..]).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_of_256_records_takes_little_memory() {
        let bytes = size_of::<Storage256>();
        assert!(bytes <= 80 * 1024, "{bytes} bytes");
    }
}

//! Path MTUs learnt from the provider network, each for some time.

use std::collections::BTreeMap;
use std::time::Duration;

use netvirt_core::ProviderAddress;

/// How long a path MTU is believed (RFC 1191 §6.3, RFC 8201 §5.3).
const LIFETIME: Duration = Duration::from_secs(600);

/// A path MTU, and when it was learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearntMtu {
    /// Where the path leads.
    pub address: ProviderAddress,
    /// The MTU of the outer packet, in bytes.
    pub mtu: u16,
    /// When it was learnt, as time since the switch was started.
    pub learnt: Duration,
}

/// What was learnt.
#[derive(Debug, Default)]
pub(super) struct PathMtus {
    learnt: BTreeMap<ProviderAddress, LearntMtu>,
}

impl PathMtus {
    /// A path is said to have an MTU. Says whether that is learnt: it is below what was known.
    pub fn learn(&mut self, address: ProviderAddress, mtu: u16, now: Duration) -> bool {
        let known = self.learnt.get(&address);
        if known.is_some_and(|known| known.mtu <= mtu) {
            return false;
        }
        let learnt = LearntMtu {
            address,
            mtu,
            learnt: now,
        };
        self.learnt.insert(address, learnt);
        true
    }

    /// What was learnt of a path could not be used.
    pub fn forget(&mut self, address: ProviderAddress) {
        self.learnt.remove(&address);
    }

    /// Those that are too old now; they are forgotten already.
    pub fn due(&mut self, now: Duration) -> Vec<ProviderAddress> {
        let old = self
            .learnt
            .extract_if(.., |_, mtu| now >= mtu.learnt + LIFETIME);
        old.map(|(address, _)| address).collect()
    }

    /// Keeps those of paths that there still are.
    pub fn retain(&mut self, is_kept: impl Fn(ProviderAddress) -> bool) {
        self.learnt.retain(|address, _| is_kept(*address));
    }

    /// All that was learnt.
    pub fn iter(&self) -> impl Iterator<Item = &LearntMtu> {
        self.learnt.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learnt_is_forgotten_after_ten_minutes() {
        let address = ProviderAddress::new([192, 168, 4, 22].into()).unwrap();
        let mut mtus = PathMtus::default();
        let start = Duration::from_secs(5);
        assert!(mtus.learn(address, 1400, start));
        assert!(mtus.learn(address, 1300, start));
        assert_eq!(mtus.iter().map(|mtu| mtu.mtu).collect::<Vec<_>>(), [1300]);
        assert_eq!(mtus.due(start + LIFETIME - Duration::from_nanos(1)), []);
        assert_eq!(mtus.due(start + LIFETIME), [address]);
        assert_eq!(mtus.iter().count(), 0);
    }

    #[test]
    fn what_is_no_less_than_what_is_known_is_not_learnt() {
        let address = ProviderAddress::new([192, 168, 4, 22].into()).unwrap();
        let mut mtus = PathMtus::default();
        assert!(mtus.learn(address, 1400, Duration::ZERO));
        for mtu in [1400, 1401] {
            assert!(!mtus.learn(address, mtu, LIFETIME / 2));
        }
        assert_eq!(mtus.due(LIFETIME), [address]);
        assert!(mtus.learn(address, 1400, LIFETIME));
    }
}

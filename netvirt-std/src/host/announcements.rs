//! Telling the provider network which addresses this host has taken.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::policy::Policy;
use netvirt_core::proxy::Owned;
use netvirt_core::{MacAddress, UplinkId};

/// Time until an announcement is repeated, once (RFC 5227 §1.1, ANNOUNCE_INTERVAL).
const REPEAT: Duration = Duration::from_secs(2);

/// Least time between two rounds of listener reports.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// What was announced, and what is to be announced again.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    announced: BTreeMap<(UplinkId, IpAddr), MacAddress>,
    repeats: Vec<(Duration, Owned)>,
    /// A router asked which groups are listened to.
    is_queried: bool,
    /// When that may be answered.
    next_report: Duration,
}

impl Announcements {
    /// What this host has under a policy that it did not have before, and is to be announced now.
    pub fn of(&mut self, policy: &Policy<'_>, now: Duration) -> Vec<Owned> {
        let mut announced = BTreeMap::new();
        let mut news = Vec::new();
        for owned in policy.owned_addresses() {
            let key = (owned.uplink, owned.address);
            if self.announced.get(&key) != Some(&owned.mac) {
                news.push(owned);
            }
            announced.insert(key, owned.mac);
        }
        self.announced = announced;
        self.repeats
            .extend(news.iter().map(|owned| (now + REPEAT, *owned)));
        news
    }

    /// What is to be announced again at this time, if this host still has it.
    pub fn due(&mut self, now: Duration) -> Vec<Owned> {
        let due = self.repeats.extract_if(.., |(when, _)| now >= *when);
        let due = due.map(|(_, owned)| owned);
        due.filter(|owned| self.announced.get(&(owned.uplink, owned.address)) == Some(&owned.mac))
            .collect()
    }

    /// A router asked which groups are listened to.
    pub const fn query(&mut self) {
        self.is_queried = true;
    }

    /// Whether the groups of all addresses are to be reported at this time. One round answers all that asked before it.
    pub fn is_report_due(&mut self, now: Duration) -> bool {
        let is_due = self.is_queried && now >= self.next_report;
        if is_due {
            self.is_queried = false;
            self.next_report = now + REPORT_AGAIN;
        }
        is_due
    }

    /// Whether something is to be announced again.
    pub fn are_pending(&self) -> bool {
        !self.repeats.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_answered_once_and_not_too_often() {
        let mut announcements = Announcements::default();
        assert!(!announcements.is_report_due(Duration::ZERO));
        announcements.query();
        announcements.query();
        assert!(announcements.is_report_due(Duration::ZERO));
        assert!(!announcements.is_report_due(REPORT_AGAIN));
        announcements.query();
        assert!(announcements.is_report_due(REPORT_AGAIN));
        announcements.query();
        let soon = 2 * REPORT_AGAIN - Duration::from_nanos(1);
        assert!(!announcements.is_report_due(soon));
        assert!(announcements.is_report_due(2 * REPORT_AGAIN));
    }
}

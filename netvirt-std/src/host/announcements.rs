//! Telling the provider network which addresses this host has taken.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::policy::Policy;
use netvirt_core::proxy::Owned;
use netvirt_core::{MacAddress, UplinkId};

/// Time until an announcement is repeated, once (RFC 5227 §1.1, ANNOUNCE_INTERVAL).
const REPEAT: Duration = Duration::from_secs(2);

/// What was announced, and what is to be announced again.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    announced: BTreeMap<(UplinkId, IpAddr), MacAddress>,
    repeats: Vec<(Duration, Owned)>,
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

    /// Whether something is to be announced again.
    pub fn are_pending(&self) -> bool {
        !self.repeats.is_empty()
    }
}

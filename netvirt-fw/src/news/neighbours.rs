//! The next hops that were heard of: asked again before they grow old, forgotten when they are gone.

use core::net::IpAddr;
use core::time::Duration;

use netvirt_core::UplinkId;
use netvirt_core::policy::{Change, Neighbour, NextHop};

use super::{known_mac, place_for};
use crate::nve::Nve;
use crate::outbox::{Exits, Outbox};

/// Next hops that are remembered at the same time.
const NEXT_HOPS: usize = 32;
/// How long a next hop is believed without being heard (RFC 4861 §10, REACHABLE_TIME).
const REACHABLE: Duration = Duration::from_secs(30);
/// Time between two questions (RFC 4861 §10, RETRANS_TIMER).
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Questions without an answer before a next hop is forgotten (RFC 4861 §10, MAX_UNICAST_SOLICIT).
const MOST_QUESTIONS: u8 = 3;

/// The next hops whose MAC address was heard. Those that the policy states are not among them.
#[derive(Debug)]
pub(super) struct Neighbours {
    known: [Option<KnownNeighbour>; NEXT_HOPS],
    /// Nothing is due before.
    due: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct KnownNeighbour {
    neighbour: Neighbour,
    /// When it is asked, for the first time or once more.
    due: Duration,
    questions: u8,
}

impl Neighbours {
    pub const fn new() -> Self {
        Self {
            known: [None; NEXT_HOPS],
            due: None,
        }
    }

    /// Remembers a next hop that was believed. Yields the one that made room for it, which is to be forgotten.
    pub fn remember(&mut self, neighbour: Neighbour, now: Duration) -> Option<Neighbour> {
        let heard = KnownNeighbour {
            neighbour,
            due: now.saturating_add(REACHABLE),
            questions: 0,
        };
        self.due = self.due.into_iter().chain([heard.due]).min();
        let is_it = |known: &KnownNeighbour| known.is(neighbour.uplink, neighbour.address.get());
        let place = place_for(&mut self.known, is_it, |known| known.due)?;
        let before = place.replace(heard)?;
        (!is_it(&before)).then_some(before.neighbour)
    }

    /// A next hop is still there.
    pub fn confirm(&mut self, uplink: UplinkId, address: IpAddr, now: Duration) {
        let mut known = self.known.iter_mut().flatten();
        if let Some(known) = known.find(|known| known.is(uplink, address)) {
            known.due = now.saturating_add(REACHABLE);
            known.questions = 0;
        }
    }

    /// When it is time to [see to](Self::see_to) them, at the earliest.
    pub const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Asks those that were not heard for long, and forgets who does not answer or is not needed any more.
    pub fn see_to<'b, X: Exits<'b>>(
        &mut self,
        nve: &mut Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
        now: Duration,
    ) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        for place in &mut self.known {
            *place = place.and_then(|known| match known.due <= now {
                true => known.seen_to(nve, outbox, now),
                false => Some(known),
            });
        }
        self.due = self.known.iter().flatten().map(|known| known.due).min();
    }
}

impl KnownNeighbour {
    fn is(&self, uplink: UplinkId, address: IpAddr) -> bool {
        (self.neighbour.uplink, self.neighbour.address.get()) == (uplink, address)
    }

    /// What is left of it after it was asked, or forgotten.
    fn seen_to<'b, X: Exits<'b>>(
        self,
        nve: &mut Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
        now: Duration,
    ) -> Option<Self> {
        let Neighbour {
            uplink,
            address,
            mac,
        } = self.neighbour;
        // The policy states another one since.
        if known_mac(nve, uplink, address.get()) != Some(mac) {
            return None;
        }
        let next_hop = next_hop_of(nve, &self.neighbour);
        let Some(next_hop) = next_hop.filter(|_| self.questions < MOST_QUESTIONS) else {
            forget(nve, &self.neighbour);
            return None;
        };
        outbox.tell(uplink, |out| next_hop.poll(mac, out));
        Some(Self {
            questions: self.questions.saturating_add(1),
            due: now.saturating_add(ASK_AGAIN),
            ..self
        })
    }
}

/// It is asked for again with the next frame.
pub(super) fn forget(nve: &mut Nve<'_>, neighbour: &Neighbour) {
    let &Neighbour {
        uplink, address, ..
    } = neighbour;
    let _ = nve
        .policies
        .learn(&Change::RemoveNeighbour { uplink, address });
}

/// How a neighbour is asked, if a path leads over it.
fn next_hop_of(nve: &Nve<'_>, neighbour: &Neighbour) -> Option<NextHop> {
    let mut next_hops = nve.policies.live().next_hops();
    let place = (neighbour.uplink, neighbour.address.get());
    next_hops.find(|next_hop| (next_hop.uplink, next_hop.address) == place)
}

#[cfg(test)]
mod tests {
    use netvirt_core::{MacAddress, ProviderAddress};

    use super::*;

    fn neighbour(last: u8, mac: u8) -> Neighbour {
        Neighbour {
            uplink: UplinkId(0),
            address: ProviderAddress::new([192, 168, 4, last].into()).unwrap(),
            mac: MacAddress([2, 0, 0, 0, 0, mac]),
        }
    }

    #[test]
    fn the_one_that_was_not_heard_for_longest_makes_room() {
        let second = |number: usize| Duration::from_secs(number as u64);
        let mut neighbours = Neighbours::new();
        for number in 0..NEXT_HOPS {
            let made_room = neighbours.remember(neighbour(number as u8 + 1, 1), second(number));
            assert_eq!(made_room, None);
        }
        assert_eq!(neighbours.due(), Some(REACHABLE));
        // One that is known takes no other's place.
        assert_eq!(neighbours.remember(neighbour(1, 2), second(40)), None);
        neighbours.confirm(UplinkId(0), [192, 168, 4, 2].into(), second(41));
        let made_room = neighbours.remember(neighbour(100, 1), second(42));
        assert_eq!(made_room, Some(neighbour(3, 1)));
    }
}

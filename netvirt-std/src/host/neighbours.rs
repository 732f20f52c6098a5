//! The next hops of the provider network: heard of, asked again before they grow old, forgotten when they are gone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::UplinkId;
use netvirt_core::policy::{Neighbour, NextHop};

/// How long a next hop is believed without being heard (RFC 4861 §10, REACHABLE_TIME).
const REACHABLE: Duration = Duration::from_secs(30);
/// Time between two questions (RFC 4861 §10, RETRANS_TIMER).
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long an answer is waited for: as long as frames are (RFC 4861 §10, MAX_MULTICAST_SOLICIT).
const AWAITED: Duration = Duration::from_secs(3);
/// Questions without an answer before a next hop is forgotten (RFC 4861 §10, MAX_UNICAST_SOLICIT).
const MOST_QUESTIONS: u32 = 3;

/// A next hop, and when it was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownNeighbour {
    /// Who it is.
    pub neighbour: Neighbour,
    /// When it was last heard, as time since the switch was started; none for one that the policy file states.
    pub heard: Option<Duration>,
    questions: u32,
    last_question: Duration,
}

/// What is to be done about a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NeighbourStep {
    /// Its MAC address is news, and what waits for it can leave.
    Learn(Neighbour),
    /// Its MAC address was known, and what waits for it can leave.
    Release(Neighbour),
    /// It is to be asked, in this way, whether it is still there.
    Poll(Neighbour, NextHop),
    /// It did not answer, or no path leads over it any more.
    Forget(Neighbour),
}

/// All next hops whose MAC address is known.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    known: BTreeMap<(UplinkId, IpAddr), KnownNeighbour>,
    /// For whom a worker asked, and when.
    asked: BTreeMap<(UplinkId, IpAddr), Duration>,
}

impl Neighbours {
    /// States next hops that are not to be asked, in place of those stated before.
    pub fn state(&mut self, stated: impl IntoIterator<Item = Neighbour>) {
        self.known.retain(|_, known| known.heard.is_some());
        for neighbour in stated {
            self.known.insert(
                key_of(&neighbour),
                KnownNeighbour {
                    neighbour,
                    heard: None,
                    questions: 0,
                    last_question: Duration::ZERO,
                },
            );
        }
    }

    /// A worker asks for a next hop: frames wait for it.
    pub fn ask(&mut self, uplink: UplinkId, address: IpAddr, now: Duration) {
        self.asked.insert((uplink, address), now);
    }

    /// A machine told its MAC address. That is believed if a worker asked for it, and news if the machine is a next hop
    /// already; what does not override replaces no other MAC address (RFC 4861 §7.2.5), and nothing what is stated.
    pub fn hear(
        &mut self,
        neighbour: Neighbour,
        overriding: bool,
        now: Duration,
    ) -> Option<NeighbourStep> {
        let asked = self.asked.remove(&key_of(&neighbour));
        let is_awaited = asked.is_some_and(|asked| now < asked + AWAITED);
        let heard = KnownNeighbour {
            neighbour,
            heard: Some(now),
            questions: 0,
            last_question: now,
        };
        let Some(known) = self.known.get_mut(&key_of(&neighbour)) else {
            return is_awaited.then(|| {
                self.known.insert(key_of(&neighbour), heard);
                NeighbourStep::Learn(neighbour)
            });
        };
        let is_same = known.neighbour.mac == neighbour.mac;
        if known.heard.is_some() && (is_same || overriding) {
            *known = heard;
        }
        if known.neighbour == neighbour && !is_same {
            Some(NeighbourStep::Learn(neighbour))
        } else {
            is_awaited.then_some(NeighbourStep::Release(known.neighbour))
        }
    }

    /// A next hop answered that it is there, without telling its MAC address.
    pub fn confirm(&mut self, uplink: UplinkId, address: IpAddr, now: Duration) {
        if let Some(known) = self.known.get_mut(&(uplink, address))
            && known.heard.is_some()
        {
            known.heard = Some(now);
            known.questions = 0;
        }
    }

    /// There was no room for a next hop: it is not known, unless it is stated.
    pub fn forget(&mut self, neighbour: &Neighbour) {
        self.known
            .retain(|key, known| *key != key_of(neighbour) || known.heard.is_none());
    }

    /// What is due at this time. A next hop that is to be forgotten is so already. `next_hop_of` says how a neighbour is
    /// asked if a path leads over it.
    pub fn due(
        &mut self,
        now: Duration,
        mut next_hop_of: impl FnMut(&Neighbour) -> Option<NextHop>,
    ) -> Vec<NeighbourStep> {
        self.asked.retain(|_, asked| now < *asked + AWAITED);
        let mut steps = Vec::new();
        self.known.retain(|_, known| {
            let Some(heard) = known.heard else {
                return true;
            };
            if now < heard + REACHABLE || now < known.last_question + ASK_AGAIN {
                return true;
            }
            let next_hop = next_hop_of(&known.neighbour);
            let Some(next_hop) = next_hop.filter(|_| known.questions < MOST_QUESTIONS) else {
                steps.push(NeighbourStep::Forget(known.neighbour));
                return false;
            };
            known.questions += 1;
            known.last_question = now;
            steps.push(NeighbourStep::Poll(known.neighbour, next_hop));
            true
        });
        steps
    }

    /// All that are known.
    pub fn iter(&self) -> impl Iterator<Item = &KnownNeighbour> {
        self.known.values()
    }
}

fn key_of(neighbour: &Neighbour) -> (UplinkId, IpAddr) {
    (neighbour.uplink, neighbour.address.get())
}

#[cfg(test)]
mod tests {
    use netvirt_core::{MacAddress, ProviderAddress};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn neighbour(last: u8, mac: u8) -> Neighbour {
        Neighbour {
            uplink: UplinkId(0),
            address: ProviderAddress::new([192, 168, 4, last].into()).unwrap(),
            mac: MacAddress([2, 0, 0, 0, 0, mac]),
        }
    }

    fn ask(neighbours: &mut Neighbours, neighbour: Neighbour, now: Duration) {
        neighbours.ask(neighbour.uplink, neighbour.address.get(), now);
    }

    fn next_hop_of(neighbour: &Neighbour) -> Option<NextHop> {
        Some(NextHop {
            uplink: neighbour.uplink,
            address: neighbour.address.get(),
            vlan: None,
            source: [192, 168, 4, 11].into(),
            source_mac: MacAddress([2, 0, 0, 0, 0, 11]),
        })
    }

    fn poll(neighbour: Neighbour) -> NeighbourStep {
        NeighbourStep::Poll(neighbour, next_hop_of(&neighbour).unwrap())
    }

    /// What is due while paths lead over all next hops.
    fn due(neighbours: &mut Neighbours, now: Duration) -> Vec<NeighbourStep> {
        neighbours.due(now, next_hop_of)
    }

    /// Hears an advertisement that overrides, as those of ARP do.
    fn hear(
        neighbours: &mut Neighbours,
        neighbour: Neighbour,
        now: Duration,
    ) -> Option<NeighbourStep> {
        neighbours.hear(neighbour, true, now)
    }

    /// Next hops of which one is known since the first second.
    fn knowing(neighbour: Neighbour) -> Neighbours {
        let mut neighbours = Neighbours::default();
        ask(&mut neighbours, neighbour, SECOND);
        let learnt = hear(&mut neighbours, neighbour, SECOND);
        assert_eq!(learnt, Some(NeighbourStep::Learn(neighbour)));
        neighbours
    }

    #[test]
    fn only_those_who_were_asked_or_are_known_are_believed() {
        let mut neighbours = Neighbours::default();
        let router = neighbour(1, 1);
        assert_eq!(hear(&mut neighbours, router, SECOND), None);
        ask(&mut neighbours, router, SECOND);
        assert_eq!(hear(&mut neighbours, neighbour(2, 1), SECOND), None);
        let learnt = hear(&mut neighbours, router, SECOND);
        assert_eq!(learnt, Some(NeighbourStep::Learn(router)));
        assert_eq!(hear(&mut neighbours, router, SECOND), None);
        // Another router took the address over.
        let other = neighbour(1, 2);
        let learnt = hear(&mut neighbours, other, SECOND);
        assert_eq!(learnt, Some(NeighbourStep::Learn(other)));
        assert_eq!(neighbours.iter().count(), 1);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_believed() {
        for (late, is_believed) in [(Duration::from_nanos(1), true), (Duration::ZERO, false)] {
            let mut neighbours = Neighbours::default();
            ask(&mut neighbours, neighbour(1, 1), SECOND);
            let heard = hear(&mut neighbours, neighbour(1, 1), SECOND + AWAITED - late);
            assert_eq!(heard.is_some(), is_believed);
        }
    }

    #[test]
    fn what_does_not_override_replaces_nothing() {
        let router = neighbour(1, 1);
        let mut neighbours = knowing(router);
        let other = neighbour(1, 2);
        assert_eq!(neighbours.hear(other, false, 20 * SECOND), None);
        assert_eq!(neighbours.iter().next().unwrap().neighbour, router);
        assert_eq!(due(&mut neighbours, 31 * SECOND), [poll(router)]);
        // It confirms, and it is the answer for who has none yet.
        assert_eq!(neighbours.hear(router, false, 31 * SECOND), None);
        assert_eq!(due(&mut neighbours, 60 * SECOND), []);
        ask(&mut neighbours, neighbour(2, 2), SECOND);
        let learnt = neighbours.hear(neighbour(2, 2), false, SECOND);
        assert_eq!(learnt, Some(NeighbourStep::Learn(neighbour(2, 2))));
    }

    #[test]
    fn who_is_silent_is_asked_three_times_and_forgotten() {
        let router = neighbour(1, 1);
        let mut neighbours = knowing(router);
        assert_eq!(due(&mut neighbours, 30 * SECOND), []);
        for question in 31..34 {
            let steps = due(&mut neighbours, question * SECOND);
            assert_eq!(steps, [poll(router)]);
            assert_eq!(due(&mut neighbours, question * SECOND), []);
        }
        let steps = due(&mut neighbours, 34 * SECOND);
        assert_eq!(steps, [NeighbourStep::Forget(router)]);
        assert_eq!(neighbours.iter().count(), 0);
    }

    #[test]
    fn an_answer_makes_it_young_again() {
        let router = neighbour(1, 1);
        let mut neighbours = knowing(router);
        assert_eq!(due(&mut neighbours, 31 * SECOND).len(), 1);
        assert_eq!(hear(&mut neighbours, router, 31 * SECOND), None);
        assert_eq!(due(&mut neighbours, 60 * SECOND), []);
        assert_eq!(due(&mut neighbours, 61 * SECOND).len(), 1);
        neighbours.confirm(router.uplink, router.address.get(), 61 * SECOND);
        assert_eq!(due(&mut neighbours, 90 * SECOND), []);
        assert_eq!(due(&mut neighbours, 91 * SECOND).len(), 1);
    }

    #[test]
    fn only_what_is_known_can_be_confirmed() {
        let mut neighbours = Neighbours::default();
        let router = neighbour(1, 1);
        neighbours.confirm(router.uplink, router.address.get(), SECOND);
        assert_eq!(neighbours.iter().count(), 0);
    }

    #[test]
    fn what_the_policy_file_states_is_neither_asked_nor_changed() {
        let mut neighbours = Neighbours::default();
        let stated = neighbour(1, 1);
        let other = neighbour(1, 2);
        neighbours.state([stated]);
        assert_eq!(hear(&mut neighbours, other, SECOND), None);
        // Frames that a worker held before leave for the MAC address that is stated.
        ask(&mut neighbours, stated, SECOND);
        let released = hear(&mut neighbours, other, SECOND);
        assert_eq!(released, Some(NeighbourStep::Release(stated)));
        neighbours.confirm(stated.uplink, stated.address.get(), SECOND);
        assert_eq!(due(&mut neighbours, 1000 * SECOND), []);
        neighbours.forget(&stated);
        assert_eq!(neighbours.iter().count(), 1);
        neighbours.state([]);
        ask(&mut neighbours, stated, SECOND);
        let learnt = hear(&mut neighbours, other, SECOND);
        assert_eq!(learnt, Some(NeighbourStep::Learn(other)));
    }

    #[test]
    fn over_whom_no_path_leads_is_forgotten_instead_of_polled() {
        let router = neighbour(1, 1);
        let mut neighbours = knowing(router);
        assert_eq!(neighbours.due(30 * SECOND, |_| None), []);
        let due = neighbours.due(31 * SECOND, |_| None);
        assert_eq!(due, [NeighbourStep::Forget(router)]);
        assert_eq!(neighbours.iter().count(), 0);
    }

    #[test]
    fn what_is_forgotten_is_not_polled() {
        let router = neighbour(1, 1);
        let mut neighbours = knowing(router);
        neighbours.forget(&router);
        assert_eq!(due(&mut neighbours, 31 * SECOND), []);
        assert_eq!(hear(&mut neighbours, router, 31 * SECOND), None);
    }
}

//! The next hops of the provider network: heard of, asked again before they grow old, forgotten when they are gone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::UplinkId;
use netvirt_core::policy::Neighbour;

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
    /// It is to be asked whether it is still there.
    Ask(Neighbour),
    /// It did not answer.
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
    /// States next hops that are not to be asked, in place of those stated before. Yields those that are no longer
    /// stated: their addresses are no more than what was once heard.
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

    /// A machine told its MAC address. Says whether that is news to believe: the machine is a next hop already, or a
    /// worker asked for it.
    pub fn hear(&mut self, neighbour: Neighbour, now: Duration) -> bool {
        let asked = self.asked.remove(&key_of(&neighbour));
        let is_awaited = asked.is_some_and(|asked| now < asked + AWAITED);
        let heard = KnownNeighbour {
            neighbour,
            heard: Some(now),
            questions: 0,
            last_question: now,
        };
        match self.known.get_mut(&key_of(&neighbour)) {
            Some(KnownNeighbour { heard: None, .. }) => false,
            Some(known) => {
                let was = std::mem::replace(known, heard);
                was.neighbour.mac != neighbour.mac
            }
            None if is_awaited => {
                self.known.insert(key_of(&neighbour), heard);
                true
            }
            None => false,
        }
    }

    /// What is due at this time. A next hop that is to be forgotten is so already.
    pub fn due(&mut self, now: Duration) -> Vec<NeighbourStep> {
        self.asked.retain(|_, asked| now < *asked + AWAITED);
        let mut steps = Vec::new();
        self.known.retain(|_, known| {
            let Some(heard) = known.heard else {
                return true;
            };
            if now < heard + REACHABLE || now < known.last_question + ASK_AGAIN {
                return true;
            }
            if known.questions == MOST_QUESTIONS {
                steps.push(NeighbourStep::Forget(known.neighbour));
                return false;
            }
            known.questions += 1;
            known.last_question = now;
            steps.push(NeighbourStep::Ask(known.neighbour));
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

    #[test]
    fn only_those_who_were_asked_or_are_known_are_believed() {
        let mut neighbours = Neighbours::default();
        assert!(!neighbours.hear(neighbour(1, 1), SECOND));
        ask(&mut neighbours, neighbour(1, 1), SECOND);
        assert!(!neighbours.hear(neighbour(2, 1), SECOND));
        assert!(neighbours.hear(neighbour(1, 1), SECOND));
        assert!(!neighbours.hear(neighbour(1, 1), SECOND));
        // Another router took the address over.
        assert!(neighbours.hear(neighbour(1, 2), SECOND));
        assert_eq!(neighbours.iter().count(), 1);
    }

    #[test]
    fn an_answer_that_comes_too_late_is_not_believed() {
        for (late, is_believed) in [(Duration::from_nanos(1), true), (Duration::ZERO, false)] {
            let mut neighbours = Neighbours::default();
            ask(&mut neighbours, neighbour(1, 1), SECOND);
            let heard = SECOND + AWAITED - late;
            assert_eq!(neighbours.hear(neighbour(1, 1), heard), is_believed);
        }
    }

    #[test]
    fn who_is_silent_is_asked_three_times_and_forgotten() {
        let mut neighbours = Neighbours::default();
        let router = neighbour(1, 1);
        ask(&mut neighbours, router, SECOND);
        neighbours.hear(router, SECOND);
        assert_eq!(neighbours.due(30 * SECOND), []);
        for question in 31..34 {
            let due = neighbours.due(question * SECOND);
            assert_eq!(due, [NeighbourStep::Ask(router)]);
            assert_eq!(neighbours.due(question * SECOND), []);
        }
        let due = neighbours.due(34 * SECOND);
        assert_eq!(due, [NeighbourStep::Forget(router)]);
        assert_eq!(neighbours.iter().count(), 0);
    }

    #[test]
    fn an_answer_makes_it_young_again() {
        let mut neighbours = Neighbours::default();
        let router = neighbour(1, 1);
        ask(&mut neighbours, router, SECOND);
        neighbours.hear(router, SECOND);
        assert_eq!(neighbours.due(31 * SECOND).len(), 1);
        assert!(!neighbours.hear(router, 31 * SECOND));
        assert_eq!(neighbours.due(60 * SECOND), []);
        assert_eq!(neighbours.due(61 * SECOND).len(), 1);
    }

    #[test]
    fn what_the_policy_file_states_is_neither_asked_nor_changed() {
        let mut neighbours = Neighbours::default();
        neighbours.state([neighbour(1, 1)]);
        ask(&mut neighbours, neighbour(1, 1), SECOND);
        assert!(!neighbours.hear(neighbour(1, 2), SECOND));
        assert_eq!(neighbours.due(1000 * SECOND), []);
        neighbours.state([]);
        ask(&mut neighbours, neighbour(1, 1), SECOND);
        assert!(neighbours.hear(neighbour(1, 2), SECOND));
    }
}

//! Frames that wait for a next hop's MAC address: few, and not for long.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use netvirt_core::UplinkId;
use netvirt_core::counters::Counters;
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::NextHop;

use crate::switch::{Sent, solicitation};

/// Next hops that are asked for at the same time.
const MOST_NEXT_HOPS: usize = 64;
/// Frames that wait for one next hop.
const MOST_FRAMES: usize = 3;
/// Nanoseconds until a question is asked again (RFC 4861 §10, RETRANS_TIMER).
const ASK_AGAIN: u64 = 1_000_000_000;
/// Nanoseconds until what waits is given up: three questions (RFC 4861 §10, MAX_MULTICAST_SOLICIT).
const GIVE_UP: u64 = 3 * ASK_AGAIN;

/// What waits.
#[derive(Debug)]
pub(crate) struct HeldFrame {
    /// The edited frame, in its pieces if it was cut.
    pub pieces: Vec<Sent>,
    /// It is one of the copies of a frame for many, which are counted apart.
    pub is_copy: bool,
}

impl HeldFrame {
    /// Counts it as lost.
    pub fn lost(&self, counters: &mut Counters<'_>, reason: DropReason) {
        if self.is_copy {
            counters.lost_held_copy();
        } else {
            counters.lost_held(reason);
        }
    }
}

#[derive(Debug)]
struct Waiting {
    next_hop: NextHop,
    first_asked: u64,
    last_asked: u64,
    frames: Vec<HeldFrame>,
}

/// Edited frames that lack a destination MAC address, by the next hop that they wait for.
#[derive(Debug, Default)]
pub(crate) struct HeldFrames {
    next_hops: BTreeMap<(u32, IpAddr), Waiting>,
}

impl HeldFrames {
    /// Keeps a frame until its next hop is known. If that is to be asked for, for the first time or once more, the question is
    /// added to `questions`, even if there is no room for the frame: the last one may have been lost.
    pub fn keep(
        &mut self,
        next_hop: &NextHop,
        frame: HeldFrame,
        now: u64,
        questions: &mut Vec<Sent>,
    ) -> Result<(), DropReason> {
        let has_room = self.next_hops.len() < MOST_NEXT_HOPS;
        let (waiting, is_to_be_asked) = match self.next_hops.entry(key_of(next_hop)) {
            Entry::Vacant(place) if has_room => (place.insert(Waiting::new(next_hop, now)), true),
            Entry::Vacant(_) => return Err(DropReason::NeighbourQueueFull),
            Entry::Occupied(place) => {
                let waiting = place.into_mut();
                let is_asked_again = waiting.is_asked_again(now);
                (waiting, is_asked_again)
            }
        };
        if is_to_be_asked {
            questions.extend(solicitation(next_hop));
        }
        if waiting.frames.len() == MOST_FRAMES {
            return Err(DropReason::NeighbourQueueFull);
        }
        waiting.frames.push(frame);
        Ok(())
    }

    /// The next hops that are to be asked once more.
    pub fn due(&mut self, now: u64) -> Vec<NextHop> {
        let due = |waiting: &mut Waiting| waiting.is_asked_again(now).then_some(waiting.next_hop);
        self.next_hops.values_mut().filter_map(due).collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.next_hops.is_empty()
    }

    /// The frames that waited for a next hop; none if it was not asked for.
    pub fn take(&mut self, uplink: UplinkId, address: IpAddr) -> Option<Vec<HeldFrame>> {
        Some(self.next_hops.remove(&(uplink.0, address))?.frames)
    }

    /// Gives up what waited too long, and counts it.
    pub fn expire(&mut self, counters: &mut Counters<'_>, now: u64) {
        self.next_hops.retain(|_, waiting| {
            let is_over = now.saturating_sub(waiting.first_asked) >= GIVE_UP;
            if is_over {
                for frame in &waiting.frames {
                    frame.lost(counters, DropReason::NeighbourTimeout);
                }
            }
            !is_over
        });
    }
}

impl Waiting {
    /// A next hop that is asked for now.
    fn new(next_hop: &NextHop, now: u64) -> Self {
        Self {
            next_hop: *next_hop,
            first_asked: now,
            last_asked: now,
            frames: Vec::new(),
        }
    }

    /// Whether it is time to ask again; if so, that is taken for done.
    fn is_asked_again(&mut self, now: u64) -> bool {
        let is_due = now.saturating_sub(self.last_asked) >= ASK_AGAIN;
        if is_due {
            self.last_asked = now;
        }
        is_due
    }
}

fn key_of(next_hop: &NextHop) -> (u32, IpAddr) {
    (next_hop.uplink.0, next_hop.address)
}

//! Frames that wait for a next hop's MAC address: few, and not for long.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netvirt_core::UplinkId;
use netvirt_core::policy::NextHop;

use crate::switch::Sent;

/// Next hops that are asked for at the same time.
const MOST_NEXT_HOPS: usize = 64;
/// Frames that wait for one next hop.
const MOST_FRAMES: usize = 3;
/// Nanoseconds until a question is asked again (RFC 4861 §10, RETRANS_TIMER).
const ASK_AGAIN: u64 = 1_000_000_000;
/// Nanoseconds until what waits is given up: three questions (RFC 4861 §10, MAX_MULTICAST_SOLICIT).
const GIVE_UP: u64 = 3 * ASK_AGAIN;

/// There is no room for the frame.
#[derive(Debug)]
pub(crate) struct QueueFull;

#[derive(Debug)]
struct Waiting {
    first_asked: u64,
    last_asked: u64,
    frames: Vec<Sent>,
}

/// Edited frames that lack a destination MAC address, by the next hop that they wait for.
#[derive(Debug, Default)]
pub(crate) struct HeldFrames {
    next_hops: BTreeMap<(u32, IpAddr), Waiting>,
}

impl HeldFrames {
    /// Keeps a frame. Says whether the next hop is to be asked, for the first time or once more.
    pub fn keep(&mut self, next_hop: &NextHop, frame: Sent, now: u64) -> Result<bool, QueueFull> {
        let key = (next_hop.uplink.0, next_hop.address);
        let has_room = self.next_hops.len() < MOST_NEXT_HOPS || self.next_hops.contains_key(&key);
        if !has_room {
            return Err(QueueFull);
        }
        let mut ask = false;
        let waiting = self.next_hops.entry(key).or_insert_with(|| {
            ask = true;
            Waiting {
                first_asked: now,
                last_asked: now,
                frames: Vec::new(),
            }
        });
        if waiting.frames.len() == MOST_FRAMES {
            return Err(QueueFull);
        }
        if now.saturating_sub(waiting.last_asked) >= ASK_AGAIN {
            waiting.last_asked = now;
            ask = true;
        }
        waiting.frames.push(frame);
        Ok(ask)
    }

    /// What waited for a next hop; none if it was not asked for.
    pub fn take(&mut self, uplink: UplinkId, address: IpAddr) -> Option<Vec<Sent>> {
        Some(self.next_hops.remove(&(uplink.0, address))?.frames)
    }

    /// Gives up what waited too long, and says how many frames those were.
    pub fn expire(&mut self, now: u64) -> usize {
        let mut given_up = 0;
        self.next_hops.retain(|_, waiting| {
            let is_over = now.saturating_sub(waiting.first_asked) >= GIVE_UP;
            given_up += if is_over { waiting.frames.len() } else { 0 };
            !is_over
        });
        given_up
    }
}

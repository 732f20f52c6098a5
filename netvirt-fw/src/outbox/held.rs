//! Frames that wait for a next hop's MAC address: few, and not for long.

use core::mem;
use core::net::IpAddr;
use core::time::Duration;

use netvirt_core::UplinkId;
use netvirt_core::policy::NextHop;

use crate::rings::Buffer;

/// Buffers that wait for one next hop at most. A packet that was cut takes one for each fragment.
pub const MOST_PIECES: usize = 4;
/// Time until a question is asked again (RFC 4861 §10, RETRANS_TIMER).
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Time until what waits is given up: three questions (RFC 4861 §10, MAX_MULTICAST_SOLICIT).
const GIVE_UP: Duration = Duration::from_secs(3);

/// A next hop that was asked for, and what waits for it.
#[derive(Debug)]
pub struct Waiting<'b> {
    next_hop: NextHop,
    first_asked: Duration,
    last_asked: Duration,
    pieces: [Option<Piece<'b>>; MOST_PIECES],
}

/// An edited frame or a fragment of one, in its buffer.
#[derive(Debug)]
pub(super) struct Piece<'b> {
    pub buffer: Buffer<'b>,
    /// It is one of the copies of a frame for many, which are counted apart.
    pub is_copy: bool,
    /// It is another fragment of the packet before it.
    pub continues: bool,
}

/// Names a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    uplink: UplinkId,
    address: IpAddr,
}

impl Key {
    pub const fn new(uplink: UplinkId, address: IpAddr) -> Self {
        Self { uplink, address }
    }

    pub const fn of(next_hop: &NextHop) -> Self {
        Self::new(next_hop.uplink, next_hop.address)
    }
}

/// Edited frames that lack a destination MAC address, by the next hop that they wait for.
#[derive(Debug)]
pub struct Held<'q, 'b> {
    next_hops: &'q mut [Option<Waiting<'b>>],
}

impl<'q, 'b> Held<'q, 'b> {
    /// Asks for as many next hops at the same time as there are places. What is in them is forgotten.
    pub fn new(places: &'q mut [Option<Waiting<'b>>]) -> Self {
        places.fill_with(|| None);
        Self { next_hops: places }
    }

    /// Whether frames wait for the MAC address of this next hop, so that it was asked for.
    pub fn awaits(&self, uplink: UplinkId, address: IpAddr) -> bool {
        self.get(&Key::new(uplink, address)).is_some()
    }

    /// Buffers that wait.
    pub fn len(&self) -> usize {
        self.next_hops.iter().flatten().map(Waiting::len).sum()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When it is time to [look at what is held](super::Outbox::look_at_held); none while there is nothing to do.
    pub fn due(&self) -> Option<Duration> {
        self.next_hops.iter().flatten().map(Waiting::due).min()
    }

    /// Makes sure that a next hop is waited for, and says whether it is to be asked, for the first time or once more: the last
    /// question may have been lost. None if there is no place for it.
    pub(super) fn expect(&mut self, next_hop: &NextHop, now: Duration) -> Option<bool> {
        if let Some(waiting) = self.get_mut(&Key::of(next_hop)) {
            return Some(waiting.is_asked_again(now));
        }
        let place = self.next_hops.iter_mut().find(|place| place.is_none())?;
        *place = Some(Waiting {
            next_hop: *next_hop,
            first_asked: now,
            last_asked: now,
            pieces: [const { None }; MOST_PIECES],
        });
        Some(true)
    }

    /// How many more buffers may wait for a next hop that is expected.
    pub(super) fn room(&self, next_hop: &Key) -> usize {
        self.get(next_hop)
            .map_or(0, |waiting| MOST_PIECES.saturating_sub(waiting.len()))
    }

    pub(super) fn keep(&mut self, next_hop: &Key, piece: Piece<'b>) -> Result<(), Piece<'b>> {
        let place = self
            .get_mut(next_hop)
            .and_then(|waiting| waiting.pieces.iter_mut().find(|place| place.is_none()));
        match place {
            Some(place) => {
                *place = Some(piece);
                Ok(())
            }
            None => Err(piece),
        }
    }

    pub(super) fn remove(&mut self, next_hop: &Key) -> Option<Waiting<'b>> {
        self.remove_if(|waiting| Key::of(&waiting.next_hop) == *next_hop)
    }

    /// Removes one of those that did not answer in time.
    pub(super) fn remove_expired(&mut self, now: Duration) -> Option<Waiting<'b>> {
        self.remove_if(|waiting| waiting.is_over(now))
    }

    /// One of those that are to be asked once more; it is taken for asked.
    pub(super) fn next_to_ask(&mut self, now: Duration) -> Option<NextHop> {
        let mut waiting = self.next_hops.iter_mut().flatten();
        let due = waiting.find_map(|waiting| waiting.is_asked_again(now).then_some(waiting));
        due.map(|waiting| waiting.next_hop)
    }

    fn remove_if(&mut self, is_meant: impl Fn(&Waiting<'b>) -> bool) -> Option<Waiting<'b>> {
        let mut places = self.next_hops.iter_mut();
        mem::take(places.find(|place| place.as_ref().is_some_and(&is_meant))?)
    }

    fn get(&self, key: &Key) -> Option<&Waiting<'b>> {
        let mut waiting = self.next_hops.iter().flatten();
        waiting.find(|waiting| Key::of(&waiting.next_hop) == *key)
    }

    fn get_mut(&mut self, key: &Key) -> Option<&mut Waiting<'b>> {
        let mut waiting = self.next_hops.iter_mut().flatten();
        waiting.find(|waiting| Key::of(&waiting.next_hop) == *key)
    }
}

impl<'b> Waiting<'b> {
    pub(super) fn into_pieces(self) -> impl Iterator<Item = Piece<'b>> {
        self.pieces.into_iter().flatten()
    }

    fn len(&self) -> usize {
        self.pieces.iter().flatten().count()
    }

    /// Whether it is time to ask again; if so, that is taken for done.
    fn is_asked_again(&mut self, now: Duration) -> bool {
        let is_due = now >= self.next_question();
        if is_due {
            self.last_asked = now;
        }
        is_due
    }

    fn is_over(&self, now: Duration) -> bool {
        now >= self.end()
    }

    fn due(&self) -> Duration {
        self.next_question().min(self.end())
    }

    const fn next_question(&self) -> Duration {
        self.last_asked.saturating_add(ASK_AGAIN)
    }

    const fn end(&self) -> Duration {
        self.first_asked.saturating_add(GIVE_UP)
    }
}

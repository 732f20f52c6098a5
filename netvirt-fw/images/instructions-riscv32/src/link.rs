//! A link whose both ends are in memory.

use core::cell::RefCell;
use core::task::Context;

use heapless::Deque;
use netvirt_fw::rings::{Buffer, Queue, Rings};

use crate::packets::Packet;

/// Buffers in each direction.
const PLACES: usize = 16;

type Buffers = Deque<Buffer<'static>, PLACES>;

/// A link, as who is not the NIC sees it.
pub struct Link(RefCell<Ends>);

struct Ends {
    /// To be received into.
    posted: Buffers,
    arriving: Buffers,
    sent: Buffers,
    sent_frames: usize,
}

/// The NIC's end of a link.
pub struct Ring(pub &'static Link);

impl Link {
    pub const fn new() -> Self {
        Self(RefCell::new(Ends {
            posted: Buffers::new(),
            arriving: Buffers::new(),
            sent: Buffers::new(),
            sent_frames: 0,
        }))
    }

    /// Lets a packet arrive behind this front.
    pub fn bring(&self, front: &[u8], packet: &Packet) {
        let ends = &mut *self.0.borrow_mut();
        let Some(mut buffer) = ends.posted.pop_front() else {
            board::fail("no buffer to receive into");
        };
        let length = front.len() + packet.bytes().len();
        let space = buffer.space_mut();
        space[..front.len()].copy_from_slice(front);
        space[front.len()..length].copy_from_slice(packet.bytes());
        let has_room = buffer.received(length).is_ok() && ends.arriving.push_back(buffer).is_ok();
        if !has_room {
            board::fail("the packet does not fit");
        }
    }

    /// What the NIC sent last.
    pub fn last_sent(&self) -> Option<Packet> {
        let ends = self.0.borrow();
        ends.sent.back().map(|buffer| Packet::new(buffer.frame()))
    }

    /// Whether the NIC took all that arrived.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().arriving.is_empty()
    }

    /// Frames that the NIC sent, ever.
    pub fn sent_frames(&self) -> usize {
        self.0.borrow().sent_frames
    }
}

impl Rings<'static> for Ring {
    fn receive(
        &mut self,
        _: &mut Context<'_>,
        frames: &mut Queue<'_, 'static>,
        pool: &mut Queue<'_, 'static>,
    ) {
        let ends = &mut *self.0.0.borrow_mut();
        while frames.room() > 0
            && let Some(buffer) = ends.arriving.pop_front()
        {
            let _ = frames.push(buffer);
        }
        while !ends.posted.is_full()
            && let Some(buffer) = pool.pop()
        {
            let _ = ends.posted.push_back(buffer);
        }
    }

    fn room(&mut self, _: &mut Context<'_>, pool: &mut Queue<'_, 'static>) -> usize {
        let ends = &mut *self.0.0.borrow_mut();
        while let Some(buffer) = ends.sent.pop_front() {
            let _ = pool.push(buffer);
        }
        PLACES
    }

    fn send(&mut self, frames: &mut Queue<'_, 'static>) {
        let ends = &mut *self.0.0.borrow_mut();
        while !ends.sent.is_full()
            && let Some(buffer) = frames.pop()
        {
            let _ = ends.sent.push_back(buffer);
            ends.sent_frames += 1;
        }
    }

    fn is_up(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn longest_frame(&self) -> usize {
        1600
    }
}

//! One side of the NIC: what its rings received, and what they sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Context;

use netvirt_fw::rings::{Buffer, Capabilities, Queue, Rings};

/// Buffers that a ring holds to receive into.
const POSTED: usize = 8;

/// A link, as both its ends see it.
#[derive(Clone)]
pub struct Link(Rc<RefCell<Ends>>);

struct Ends {
    arriving: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    /// Frames that it takes until somebody looks at what it sent.
    room: usize,
    capabilities: Capabilities,
    is_up: bool,
    /// Buffers of the ring, and those that were in the pool when it was last looked at.
    own: usize,
    spare: usize,
}

/// The NIC's end of a link.
pub struct Ring {
    link: Link,
    posted: Vec<Buffer<'static>>,
    sending: Vec<Buffer<'static>>,
}

impl Link {
    pub fn new() -> Self {
        Self(Rc::new(RefCell::new(Ends {
            arriving: VecDeque::new(),
            sent: Vec::new(),
            room: usize::MAX,
            capabilities: Capabilities::default(),
            is_up: true,
            own: 0,
            spare: 0,
        })))
    }

    pub fn ring(&self) -> Ring {
        Ring {
            link: self.clone(),
            posted: Vec::new(),
            sending: Vec::new(),
        }
    }

    pub fn bring(&self, frame: &[u8]) {
        self.0.borrow_mut().arriving.push_back(frame.to_vec());
    }

    pub fn take_sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    /// Frames that still wait to be received.
    pub fn waiting(&self) -> usize {
        self.0.borrow().arriving.len()
    }

    /// Buffers of the ring, and those that were in the pool when frames were last received.
    pub fn buffers(&self) -> (usize, usize) {
        let ends = self.0.borrow();
        (ends.own, ends.spare)
    }

    pub fn set_room(&self, frames: usize) {
        self.0.borrow_mut().room = frames;
    }

    pub fn set_capabilities(&self, capabilities: Capabilities) {
        self.0.borrow_mut().capabilities = capabilities;
    }
}

impl Rings<'static> for Ring {
    fn receive(
        &mut self,
        _: &mut Context<'_>,
        frames: &mut Queue<'_, 'static>,
        pool: &mut Queue<'_, 'static>,
    ) {
        let mut ends = self.link.0.borrow_mut();
        while frames.room() > 0 && !ends.arriving.is_empty() {
            let Some(mut buffer) = self.posted.pop().or_else(|| pool.pop()) else {
                break;
            };
            let frame = ends.arriving.pop_front().unwrap();
            buffer.fill(&frame).unwrap();
            frames.push(buffer).unwrap();
        }
        while self.posted.len() < POSTED
            && let Some(buffer) = pool.pop()
        {
            self.posted.push(buffer);
        }
        ends.own = self.posted.len() + self.sending.len();
        ends.spare = pool.len();
    }

    fn room(&mut self, _: &mut Context<'_>, pool: &mut Queue<'_, 'static>) -> usize {
        for buffer in self.sending.drain(..) {
            pool.push(buffer).unwrap();
        }
        self.link.0.borrow().room
    }

    fn send(&mut self, frames: &mut Queue<'_, 'static>) {
        let mut ends = self.link.0.borrow_mut();
        while ends.room > 0
            && let Some(buffer) = frames.pop()
        {
            ends.room -= 1;
            ends.sent.push(buffer.frame().to_vec());
            self.sending.push(buffer);
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.link.0.borrow().capabilities
    }

    fn is_up(&mut self, _: &mut Context<'_>) -> bool {
        self.link.0.borrow().is_up
    }

    fn longest_frame(&self) -> usize {
        1600
    }
}

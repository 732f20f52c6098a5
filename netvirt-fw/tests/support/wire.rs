//! Drivers in memory, two at the ends of a wire or one in the hands of a test.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Waker};

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};

/// What a driver's hardware holds.
#[derive(Debug, Default)]
pub struct Hardware {
    /// Frames that wait to be received.
    pub received: VecDeque<Vec<u8>>,
    /// Frames that were sent.
    pub sent: VecDeque<Vec<u8>>,
    /// Frames that may wait to be sent.
    pub room: usize,
    pub is_down: bool,
    waker: Option<Waker>,
}

/// A driver of one waker that gives a frame out only with leave to send one.
#[derive(Debug, Clone)]
pub struct MemoryDriver {
    hardware: Rc<RefCell<Hardware>>,
    longest_frame: usize,
}

impl MemoryDriver {
    pub fn new(longest_frame: usize, room: usize) -> Self {
        let hardware = Hardware {
            room,
            ..Hardware::default()
        };
        Self {
            hardware: Rc::new(RefCell::new(hardware)),
            longest_frame,
        }
    }

    /// Lets the test do something to the hardware, and wakes who waits for that.
    pub fn touch<R>(&self, what: impl FnOnce(&mut Hardware) -> R) -> R {
        let mut hardware = self.hardware.borrow_mut();
        let result = what(&mut hardware);
        if let Some(waker) = hardware.waker.take() {
            waker.wake();
        }
        result
    }

    /// A frame arrives.
    pub fn arrive(&self, frame: &[u8]) {
        self.touch(|hardware| hardware.received.push_back(frame.to_vec()));
    }

    /// What was sent since this was asked before.
    pub fn sent(&self) -> Vec<Vec<u8>> {
        self.touch(|hardware| hardware.sent.drain(..).collect())
    }

    /// Carries what was sent to another driver.
    pub fn carry_to(&self, other: &Self) -> usize {
        // Nobody is woken where nothing was sent.
        if self.hardware.borrow().sent.is_empty() {
            return 0;
        }
        let frames = self.sent();
        frames.iter().for_each(|frame| other.arrive(frame));
        frames.len()
    }

    fn can_send(&self, cx: &Context<'_>) -> bool {
        let mut hardware = self.hardware.borrow_mut();
        hardware.waker = Some(cx.waker().clone());
        hardware.sent.len() < hardware.room
    }
}

impl Driver for MemoryDriver {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sender<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sender<'_>)> {
        if !self.can_send(cx) {
            return None;
        }
        let frame = self.hardware.borrow_mut().received.pop_front()?;
        Some((Received(frame), Sender(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Sender<'_>> {
        self.can_send(cx).then_some(Sender(self))
    }

    fn link_state(&mut self, _: &mut Context<'_>) -> LinkState {
        match self.hardware.borrow().is_down {
            true => LinkState::Down,
            false => LinkState::Up,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.longest_frame;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, 1])
    }
}

pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

pub struct Sender<'a>(&'a MemoryDriver);

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        assert!(length <= self.0.longest_frame, "a driver may panic at this");
        let mut frame = vec![0xee; length];
        let result = f(&mut frame);
        self.0.hardware.borrow_mut().sent.push_back(frame);
        result
    }
}

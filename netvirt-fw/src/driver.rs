//! Any network driver of the embassy family as [rings](crate::rings): frames are copied once on their way in and once on their
//! way out.
//!
//! What a driver can do decides what the rings can:
//!
//! - A driver says of one frame at a time that it can be sent, so there is never [room](Rings::room) for more than one;
//!   [`send`](Rings::send) goes on for as long as the driver takes frames.
//! - Most drivers give no frame out while they cannot take one: congestion on the way out of a link holds up its way in too.
//!   Frames then wait in the driver, and are lost where its hardware counts them.
//! - A driver wakes who asked last. One task must own each driver.
//! - The work beside a frame cannot be told to a driver, so it has to be done before.

use core::task::{Context, Waker};

use embassy_net_driver::{Driver, LinkState, RxToken, TxToken};

use crate::rings::{Buffer, OutOfBuffer, Queue, Rings};

/// A driver as rings.
///
/// ```
/// use embassy_net_driver::Driver;
/// use netvirt_fw::driver::DriverRings;
/// use netvirt_fw::rings::Rings;
///
/// fn longest_frame(driver: impl Driver) -> usize {
///     let mut sent = [const { None }; 8];
///     DriverRings::new(driver, &mut sent).longest_frame()
/// }
/// ```
#[derive(Debug)]
pub struct DriverRings<'q, 'b, D> {
    driver: D,
    /// Buffers of frames that were sent, until somebody takes them.
    sent: Queue<'q, 'b>,
    /// Who is to be woken.
    waker: Option<Waker>,
    lost: Lost,
}

/// Frames that were lost between a driver and the buffers. They are counted nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Received, and too long for a buffer.
    pub received: u64,
    /// To be sent, and longer than the driver's longest frame.
    pub sent: u64,
}

impl<'q, 'b, D: Driver> DriverRings<'q, 'b, D> {
    /// Rings that send as many frames in a row as there are places, at most.
    pub fn new(driver: D, sent: &'q mut [Option<Buffer<'b>>]) -> Self {
        Self {
            driver,
            sent: Queue::new(sent),
            waker: None,
            lost: Lost::default(),
        }
    }

    /// What was lost here.
    pub const fn lost(&self) -> Lost {
        self.lost
    }

    /// The driver.
    pub const fn driver(&self) -> &D {
        &self.driver
    }

    fn remember(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Sends one frame, and says whether the driver took it. One that no driver could take is thrown away.
    fn send_one(&mut self, frame: &[u8]) -> bool {
        if frame.len() > self.longest_frame() {
            self.lost.sent = self.lost.sent.wrapping_add(1);
            return true;
        }
        let waker = self.waker.as_ref().unwrap_or(Waker::noop());
        let Some(token) = self.driver.transmit(&mut Context::from_waker(waker)) else {
            return false;
        };
        token.consume(frame.len(), |out| {
            for (byte, value) in out.iter_mut().zip(frame) {
                *byte = *value;
            }
        });
        true
    }
}

impl<'b, D: Driver> Rings<'b> for DriverRings<'_, 'b, D> {
    /// Without buffers nothing is received, and nobody woken: frames stay in the driver until this is called with some.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Queue<'_, 'b>,
        pool: &mut Queue<'_, 'b>,
    ) {
        self.remember(cx);
        while frames.room() > 0
            && let Some(mut buffer) = pool.pop()
        {
            let token = self.driver.receive(cx);
            // The token to send with is not needed.
            let received = token.map(|(token, _)| token.consume(|frame| buffer.fill(frame)));
            let is_kept = received == Some(Ok(()));
            let refused = if is_kept {
                frames.push(buffer)
            } else {
                pool.push(buffer)
            };
            debug_assert!(refused.is_ok());
            match received {
                None => return,
                Some(Err(OutOfBuffer)) => self.lost.received = self.lost.received.wrapping_add(1),
                Some(Ok(())) => {}
            }
        }
    }

    fn room(&mut self, cx: &mut Context<'_>, pool: &mut Queue<'_, 'b>) -> usize {
        self.remember(cx);
        while pool.room() > 0
            && let Some(buffer) = self.sent.pop()
        {
            let refused = pool.push(buffer);
            debug_assert!(refused.is_ok());
        }
        // A token that is not used sends nothing.
        let is_ready = self.sent.room() > 0 && self.driver.transmit(cx).is_some();
        usize::from(is_ready)
    }

    fn send(&mut self, frames: &mut Queue<'_, 'b>) {
        while self.sent.room() > 0
            && let Some(frame) = frames.first_mut()
            && self.send_one(frame.frame())
        {
            let refused = frames.pop().map(|frame| self.sent.push(frame));
            debug_assert!(refused.is_some_and(|refused| refused.is_ok()));
        }
    }

    fn is_up(&mut self, cx: &mut Context<'_>) -> bool {
        self.remember(cx);
        self.driver.link_state(cx) == LinkState::Up
    }

    fn longest_frame(&self) -> usize {
        self.driver.capabilities().max_transmission_unit
    }
}

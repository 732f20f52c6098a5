//! The one place where time comes from.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Waker};
use core::time::Duration;

use embassy_time::{Instant, Timer};

/// Where an overlay port has the time from.
pub trait Clock {
    /// The time since any moment that stays the same.
    fn now(&self) -> Duration;

    /// Has somebody woken at this time. What was asked for before may be forgotten.
    fn wake_at(&self, due: Duration, waker: &Waker);
}

/// The clock of [`embassy_time`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        Duration::from_micros(Instant::now().as_micros())
    }

    fn wake_at(&self, due: Duration, waker: &Waker) {
        let due = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        let timer = pin!(Timer::at(Instant::from_micros(due)));
        // From here on the driver of the time knows whom to wake; the timer is not needed for that.
        let _ = timer.poll(&mut Context::from_waker(waker));
    }
}

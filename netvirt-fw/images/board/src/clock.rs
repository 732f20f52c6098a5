//! Time for embassy: a counter that never stops, and one alarm.

use core::cell::RefCell;
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::processor;

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock::new());

struct Clock {
    state: Mutex<RefCell<State>>,
}

struct State {
    sleepers: Queue,
    alarm: u64,
}

impl Clock {
    const fn new() -> Self {
        Self {
            state: Mutex::new(RefCell::new(State {
                sleepers: Queue::new(),
                alarm: u64::MAX,
            })),
        }
    }
}

impl Driver for Clock {
    fn now(&self) -> u64 {
        processor::now()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            let state = &mut *self.state.borrow_ref_mut(section);
            if state.sleepers.schedule_wake(at, waker) {
                state.wake_due();
            }
        });
    }
}

impl State {
    fn wake_due(&mut self) {
        let now = processor::now();
        let longest = now.saturating_add(processor::LONGEST_SLEEP);
        self.alarm = self.sleepers.next_expiration(now).min(longest);
        processor::set_alarm(self.alarm);
    }
}

/// Wakes those whose time has come.
pub(crate) fn service() {
    critical_section::with(|section| {
        let mut state = CLOCK.state.borrow_ref_mut(section);
        if processor::now() >= state.alarm {
            state.wake_due();
        }
    });
}

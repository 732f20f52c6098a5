//! Lines of devices, and who waits for them.

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_sync::waitqueue::AtomicWaker;

use crate::processor;

const LINES: usize = 4;
const UNUSED: u32 = u32::MAX;

struct Line {
    number: AtomicU32,
    waker: AtomicWaker,
}

static TABLE: [Line; LINES] = [const {
    Line {
        number: AtomicU32::new(UNUSED),
        waker: AtomicWaker::new(),
    }
}; LINES];

/// Lets a line end the sleep. Yields where one task can wait for it, or nothing if all places are taken.
///
/// Who is woken first quiets the device, then looks what there is: what comes after the look raises the line again.
pub fn enable(number: u32) -> Option<&'static AtomicWaker> {
    let line = TABLE
        .iter()
        .find(|line| line.number.load(Ordering::Relaxed) == UNUSED)?;
    line.number.store(number, Ordering::Relaxed);
    processor::enable_line(number);
    Some(&line.waker)
}

pub(crate) fn service() {
    processor::take_raised(
        lines().map(|line| line.number.load(Ordering::Relaxed)),
        wake,
    );
}

fn lines() -> impl Iterator<Item = &'static Line> {
    TABLE
        .iter()
        .take_while(|line| line.number.load(Ordering::Relaxed) != UNUSED)
}

fn wake(number: u32) {
    for line in lines().filter(|line| line.number.load(Ordering::Relaxed) == number) {
        line.waker.wake();
    }
}

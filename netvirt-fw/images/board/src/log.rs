//! The log: defmt's frames, byte by byte to the serial port.

use core::cell::UnsafeCell;

use defmt::Encoder;

use crate::processor;

#[defmt::global_logger]
struct Logger;

struct State(UnsafeCell<Encoder>);

// SAFETY: there is only one thread, and no interrupt handler.
unsafe impl Sync for State {}

static STATE: State = State(UnsafeCell::new(Encoder::new()));

/// # Safety
/// The logger was acquired, and no other reference lives.
unsafe fn encoder() -> &'static mut Encoder {
    // SAFETY: only one thread gets here, and it lets go of one reference before it asks for the next.
    unsafe { &mut *STATE.0.get() }
}

fn write(bytes: &[u8]) {
    bytes.iter().copied().for_each(processor::write_byte);
}

// SAFETY: a fault is the only thing that can come between; it begins a frame anew and never returns.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: see above.
        unsafe { encoder() }.start_frame(write);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: see above.
        unsafe { encoder() }.end_frame(write);
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: see above.
        unsafe { encoder() }.write(bytes, write);
    }
}

//! Arm's MPS2 board with the FPGA image AN386: a Cortex-M4 at 25 MHz.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::{NVIC, SCB};

use crate::Register;
use crate::fault::fault;

pub use cortex_m_rt as runtime;

/// Starts the image: the tasks of `$main`, which is a `fn(Spawner)`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        // SAFETY: the run time looks for this name, and calls it once.
        #[unsafe(export_name = "main")]
        extern "C" fn __main() -> ! {
            use $crate::runtime as _;
            $crate::run($main)
        }
    };
}

/// A register of this board.
const fn register(address: usize) -> Register {
    // SAFETY: the addresses below are those of Arm's application note AN386.
    unsafe { Register::new(address) }
}

/// Starts the board again.
pub fn reset() -> ! {
    SCB::sys_reset()
}

pub(crate) fn start() {
    cortex_m::interrupt::disable();
    UART_DIVIDER.write(16);
    UART_CONTROL.write(UART_TRANSMIT);
    PRESCALER.write(CYCLES_PER_MICROSECOND - 1);
    COUNTER.write(0);
    enable_line(ALARM_LINE);
}

// ---- Serial port, of Arm's CMSDK ----

const UART: usize = 0x4000_4000;
const UART_DATA: Register = register(UART);
const UART_STATE: Register = register(UART + 4);
const UART_IS_FULL: u32 = 1;
const UART_CONTROL: Register = register(UART + 8);
const UART_TRANSMIT: u32 = 1;
const UART_DIVIDER: Register = register(UART + 0x10);

pub(crate) fn write_byte(byte: u8) {
    while UART_STATE.read() & UART_IS_FULL != 0 {}
    UART_DATA.write(byte.into());
}

// ---- Clock: the counter of the board's FPGA, in microseconds; the alarm is a timer of the CMSDK ----

const CYCLES_PER_MICROSECOND: u32 = 25;
const FPGA: usize = 0x4002_8000;
const COUNTER: Register = register(FPGA + 0x18);
const PRESCALER: Register = register(FPGA + 0x1c);

const ALARM: usize = 0x4000_0000;
const ALARM_CONTROL: Register = register(ALARM);
const ALARM_RUN_AND_RAISE: u32 = 1 << 3 | 1;
const ALARM_VALUE: Register = register(ALARM + 4);
const ALARM_CLEAR: Register = register(ALARM + 0xc);
const ALARM_LINE: u32 = 8;
/// Less than both the timer and the counter take to wrap.
pub(crate) const LONGEST_SLEEP: u64 = 100_000_000;

/// The counter as it was last read, and how often it wrapped until then.
static LAST: AtomicU32 = AtomicU32::new(0);
static WRAPS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn now() -> u64 {
    let count = COUNTER.read();
    let mut wraps = WRAPS.load(Ordering::Relaxed);
    if count < LAST.load(Ordering::Relaxed) {
        wraps = wraps.wrapping_add(1);
        WRAPS.store(wraps, Ordering::Relaxed);
    }
    LAST.store(count, Ordering::Relaxed);
    u64::from(wraps) << 32 | u64::from(count)
}

pub(crate) fn set_alarm(at: u64) {
    let microseconds = at.saturating_sub(now()).clamp(1, LONGEST_SLEEP) as u32;
    ALARM_VALUE.write(microseconds.saturating_mul(CYCLES_PER_MICROSECOND));
    ALARM_CONTROL.write(ALARM_RUN_AND_RAISE);
}

// ---- Interrupt controller: the NVIC ----

#[derive(Clone, Copy)]
struct Line(u32);

// SAFETY: it is the same number each time, and less than 240.
unsafe impl InterruptNumber for Line {
    fn number(self) -> u16 {
        (self.0 % 240) as u16
    }
}

pub(crate) fn enable_line(number: u32) {
    // SAFETY: interrupts stay masked, so that no handler is ever entered.
    unsafe { NVIC::unmask(Line(number)) };
}

pub(crate) fn take_raised(lines: impl Iterator<Item = u32>, mut wake: impl FnMut(u32)) {
    if NVIC::is_pending(Line(ALARM_LINE)) {
        ALARM_CLEAR.write(1);
        NVIC::unpend(Line(ALARM_LINE));
    }
    for number in lines {
        if NVIC::is_pending(Line(number)) {
            NVIC::unpend(Line(number));
            wake(number);
        }
    }
}

pub(crate) fn sleep() {
    cortex_m::asm::dsb();
    cortex_m::asm::wfi();
}

// ---- Exceptions ----

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    fault(frame.pc() as usize, frame.xpsr() as usize)
}

#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) -> ! {
    fault(0, number as usize)
}

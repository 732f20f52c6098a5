//! QEMU's `virt` with an Arm core of 64 bits, at EL1.

use core::arch::asm;
use core::hint;
use core::num::NonZeroU64;

use aarch64_rt::{
    ExceptionHandlers, InitialPagetable, RegisterStateRef, exception_handlers, initial_pagetable,
};
use smccc::{Hvc, psci};

use crate::Register;
use crate::fault::fault;

pub use aarch64_rt as runtime;

/// Starts the image: the tasks of `$main`, which is a `fn(Spawner)`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        fn __run(_: u64, _: u64, _: u64, _: u64) -> ! {
            $crate::run($main)
        }
        // 64 KiB of stack.
        $crate::runtime::entry!(__run, 16);
    };
}

/// A register of this board.
const fn register(address: usize) -> Register {
    // SAFETY: the addresses below are those of QEMU's hw/arm/virt.c.
    unsafe { Register::new(address) }
}

/// Starts the board again.
pub fn reset() -> ! {
    let _ = psci::system_reset::<Hvc>();
    loop {
        hint::spin_loop();
    }
}

pub(crate) fn start() {
    UART_CONTROL.write(UART_ENABLE);
    DISTRIBUTOR_CONTROL.write(1);
    PRIORITY_MASK.write(0xff);
    INTERFACE_CONTROL.write(1);
    enable_line(VIRTUAL_TIMER);
}

// ---- Memory: devices in the first GiB, RAM in the second ----

initial_pagetable!({
    const BLOCK: usize = 1;
    const NORMAL_MEMORY: usize = 1 << 2;
    const INNER_SHAREABLE: usize = 3 << 8;
    const ACCESSED: usize = 1 << 10;
    const NEVER_EXECUTED: usize = 3 << 53;
    let mut blocks = [0; 512];
    blocks[0] = BLOCK | ACCESSED | NEVER_EXECUTED;
    blocks[1] = 0x4000_0000 | BLOCK | ACCESSED | NORMAL_MEMORY | INNER_SHAREABLE;
    InitialPagetable(blocks)
});

// ---- Serial port, a PL011 ----

const UART: usize = 0x0900_0000;
const UART_DATA: Register = register(UART);
const UART_FLAGS: Register = register(UART + 0x18);
const UART_IS_FULL: u32 = 1 << 5;
const UART_CONTROL: Register = register(UART + 0x30);
const UART_ENABLE: u32 = 1 << 8 | 1;

pub(crate) fn write_byte(byte: u8) {
    while UART_FLAGS.read() & UART_IS_FULL != 0 {}
    UART_DATA.write(byte.into());
}

// ---- Clock: the virtual timer, in microseconds ----

/// The alarm can be set to any time.
pub(crate) const LONGEST_SLEEP: u64 = u64::MAX;
const VIRTUAL_TIMER: u32 = 27;
const MICROSECONDS: u64 = 1_000_000;

fn frequency() -> NonZeroU64 {
    let hertz: u64;
    // SAFETY: reading this register changes nothing.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hertz, options(nomem, nostack)) };
    NonZeroU64::new(hertz).unwrap_or(NonZeroU64::MIN)
}

pub(crate) fn now() -> u64 {
    let count: u64;
    // SAFETY: reading this register changes nothing.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    let hertz = frequency();
    count / hertz * MICROSECONDS + count % hertz * MICROSECONDS / hertz
}

pub(crate) fn set_alarm(at: u64) {
    let hertz = frequency().get();
    let seconds = (at / MICROSECONDS).saturating_mul(hertz);
    let count = seconds.saturating_add((at % MICROSECONDS * hertz).div_ceil(MICROSECONDS));
    // SAFETY: the timer raises a line whose interrupt is masked.
    unsafe {
        asm!(
            "msr cntv_cval_el0, {count}",
            "msr cntv_ctl_el0, {enable}",
            "isb",
            count = in(reg) count,
            enable = in(reg) 1_u64,
            options(nostack),
        );
    }
}

// ---- Interrupt controller: a GICv2, whose lines are never acknowledged, so that they stay pending while they are raised ----

const DISTRIBUTOR: usize = 0x0800_0000;
const DISTRIBUTOR_CONTROL: Register = register(DISTRIBUTOR);
const ENABLE: usize = DISTRIBUTOR + 0x100;
const PENDING: usize = DISTRIBUTOR + 0x200;
const PRIORITY: usize = DISTRIBUTOR + 0x400;
const TARGETS: usize = DISTRIBUTOR + 0x800;
const INTERFACE: usize = 0x0801_0000;
const INTERFACE_CONTROL: Register = register(INTERFACE);
const PRIORITY_MASK: Register = register(INTERFACE + 4);

const LINES: u32 = 1020;

/// One bit of a bank of registers for each line.
const fn bit(bank: usize, line: u32) -> (Register, u32) {
    let line = line % LINES;
    (register(bank + (line / 32 * 4) as usize), 1 << (line % 32))
}

/// Writes the byte of a line in a bank of registers.
fn write_line(bank: usize, line: u32, value: u32) {
    let line = line % LINES;
    let bytes = register(bank + (line / 4 * 4) as usize);
    let shift = line % 4 * 8;
    bytes.write(bytes.read() & !(0xff << shift) | value << shift);
}

pub(crate) fn enable_line(number: u32) {
    const MIDDLE: u32 = 0x80;
    const FIRST_CORE: u32 = 1;
    write_line(PRIORITY, number, MIDDLE);
    // The targets of a core's own lines cannot be written, and writing them does no harm.
    write_line(TARGETS, number, FIRST_CORE);
    let (enable, bit) = bit(ENABLE, number);
    enable.write(bit);
}

pub(crate) fn take_raised(lines: impl Iterator<Item = u32>, mut wake: impl FnMut(u32)) {
    for number in lines {
        let (pending, bit) = bit(PENDING, number);
        if pending.read() & bit != 0 {
            wake(number);
        }
    }
}

pub(crate) fn sleep() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) };
}

// ---- Exceptions ----

exception_handlers!(Faults);

struct Faults;

impl ExceptionHandlers for Faults {
    extern "C" fn sync_current(state: RegisterStateRef<'_>) {
        let syndrome: usize;
        // SAFETY: reading this register changes nothing.
        unsafe { asm!("mrs {}, esr_el1", out(reg) syndrome, options(nomem, nostack)) };
        fault(state.elr, syndrome)
    }
}

//! QEMU's `virt` with a RISC-V core of 32 bits, in machine mode.

use core::arch::{asm, global_asm};
use core::hint;

use crate::Register;
use crate::fault::fault;

pub use riscv_rt as runtime;

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
    // SAFETY: the addresses below are those of QEMU's hw/riscv/virt.c.
    unsafe { Register::new(address) }
}

const TEST_FINISHER: Register = register(0x10_0000);
const RESET: u32 = 0x7777;

/// Starts the board again.
pub fn reset() -> ! {
    TEST_FINISHER.write(RESET);
    loop {
        hint::spin_loop();
    }
}

pub(crate) fn start() {
    ALARM_HIGH.write(u32::MAX);
    THRESHOLD.write(0);
    // SAFETY: `mstatus.MIE` is 0, so that these interrupts end `wfi` and are never taken.
    unsafe {
        riscv::register::mie::set_mext();
        riscv::register::mie::set_mtimer();
    }
}

// ---- Serial port, a 16550 with registers of one byte ----

const UART: usize = 0x1000_0000;
const UART_STATUS: usize = UART + 5;
const UART_IS_READY: u8 = 1 << 5;

pub(crate) fn write_byte(byte: u8) {
    // SAFETY: both are registers of the serial port.
    unsafe {
        while (UART_STATUS as *const u8).read_volatile() & UART_IS_READY == 0 {}
        (UART as *mut u8).write_volatile(byte);
    }
}

// ---- Clock: the machine timer at 10 MHz ----

/// The alarm can be set to any time.
pub(crate) const LONGEST_SLEEP: u64 = u64::MAX;
const ALARM_LOW: Register = register(0x0200_4000);
const ALARM_HIGH: Register = register(0x0200_4004);
const TIME_LOW: Register = register(0x0200_bff8);
const TIME_HIGH: Register = register(0x0200_bffc);

pub(crate) fn now() -> u64 {
    loop {
        let high = TIME_HIGH.read();
        let low = TIME_LOW.read();
        if TIME_HIGH.read() == high {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

pub(crate) fn set_alarm(at: u64) {
    // In between it must not be in the past.
    ALARM_HIGH.write(u32::MAX);
    ALARM_LOW.write(at as u32);
    ALARM_HIGH.write((at >> 32) as u32);
}

// ---- Interrupt controller: the PLIC, context 0 ----

const PLIC: usize = 0x0c00_0000;
const ENABLED: usize = PLIC + 0x2000;
const THRESHOLD: Register = register(PLIC + 0x20_0000);
const CLAIM: Register = register(PLIC + 0x20_0004);

pub(crate) fn enable_line(number: u32) {
    let number = number as usize % 1024;
    register(PLIC + 4 * number).write(1);
    let enabled = register(ENABLED + number / 32 * 4);
    enabled.write(enabled.read() | 1 << (number % 32));
}

pub(crate) fn take_raised(_lines: impl Iterator<Item = u32>, mut wake: impl FnMut(u32)) {
    loop {
        match CLAIM.read() {
            0 => return,
            number => {
                wake(number);
                CLAIM.write(number);
            }
        }
    }
}

pub(crate) fn sleep() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("fence", "wfi", options(nostack)) };
}

// ---- What compilers call ----

// The copy that Rust brings along aligns the destination and shifts words where the source is not aligned. This processor need not,
// and copies the few words of a buffer with half the instructions.
global_asm!(
    ".section .text.memcpy, \"ax\", @progbits",
    ".globl memcpy",
    ".type memcpy, @function",
    "memcpy:",
    "    mv      a3, a0",
    "    li      a4, 16",
    "    bltu    a2, a4, 2f",
    "1:  lw      a5, 0(a1)",
    "    lw      a6, 4(a1)",
    "    lw      a7, 8(a1)",
    "    lw      t0, 12(a1)",
    "    addi    a1, a1, 16",
    "    addi    a2, a2, -16",
    "    sw      a5, 0(a3)",
    "    sw      a6, 4(a3)",
    "    sw      a7, 8(a3)",
    "    sw      t0, 12(a3)",
    "    addi    a3, a3, 16",
    "    bgeu    a2, a4, 1b",
    "2:  li      a4, 4",
    "    bltu    a2, a4, 4f",
    "3:  lw      a5, 0(a1)",
    "    addi    a1, a1, 4",
    "    addi    a2, a2, -4",
    "    sw      a5, 0(a3)",
    "    addi    a3, a3, 4",
    "    bgeu    a2, a4, 3b",
    "4:  beqz    a2, 6f",
    "5:  lbu     a5, 0(a1)",
    "    addi    a1, a1, 1",
    "    addi    a2, a2, -1",
    "    sb      a5, 0(a3)",
    "    addi    a3, a3, 1",
    "    bnez    a2, 5b",
    "6:  ret",
    ".size memcpy, . - memcpy",
);

// ---- What the run time calls ----

#[unsafe(no_mangle)]
extern "C" fn _dispatch_exception(_frame: &riscv_rt::TrapFrame, cause: usize) {
    fault(riscv::register::mepc::read(), cause)
}

#[unsafe(no_mangle)]
extern "C" fn _dispatch_core_interrupt(cause: usize) {
    fault(riscv::register::mepc::read(), cause)
}

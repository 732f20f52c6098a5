//! What three boards have beside their Ethernet devices, the same on each: log, clock, sleep, reset.
//!
//! One core runs one thread, and its interrupts stay masked: they only end its sleep. So nothing ever runs beside anything
//! else, critical sections are free, and there is no interrupt handler. A device that has something to say raises its line;
//! the loop of the [executor](run) wakes the task that waits for this line, and the task looks for itself.
//!
//! An image says `board::entry!(main)` and has a `fn main(Spawner)` that starts its tasks.
//!
//! To bring up another board is to write what each of the three modules `aarch64`, `riscv32` and `cortex_m` has: a byte to
//! the log, a counter and an alarm, which lines are raised, sleep, reset, and how the processor gets to `run`.
#![no_std]

#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(target_arch = "riscv32", path = "riscv32.rs")]
#[cfg_attr(target_arch = "arm", path = "cortex_m.rs")]
mod processor;

mod clock;
mod critical;
mod executor;
mod fault;
pub mod interrupts;
mod log;
mod register;

pub use executor::{run, spawn};
pub use fault::fail;
pub use processor::reset;
#[doc(hidden)]
pub use processor::runtime;
pub use register::Register;

//! The no-panic gate: a library of the datapath's entry points that links only if none of them can panic.
//!
//! The panic handler calls a function that nobody defines. As long as one branch to a panic survives in an
//! entry point, the link fails for that symbol. `tests/no-panic/check` builds and links.
#![no_std]

mod entry_points;

unsafe extern "C" {
    fn netvirt_core_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: no program runs this; the linker finds that the function does not exist.
    unsafe { netvirt_core_can_panic() }
}

#[cfg(feature = "planted")]
#[unsafe(no_mangle)]
#[allow(improper_ctypes_definitions, reason = "no C program calls it")]
extern "C" fn planted(bytes: &[u8], index: usize) -> u8 {
    bytes[index]
}

use core::sync::atomic::{Ordering, compiler_fence};

use critical_section::RawRestoreState;

/// One thread on one core without interrupts is always in its critical section.
struct Alone;

critical_section::set_impl!(Alone);

// SAFETY: interrupts are masked from the first instruction on and nothing unmasks them; only one core is ever started.
unsafe impl critical_section::Impl for Alone {
    unsafe fn acquire() -> RawRestoreState {
        compiler_fence(Ordering::SeqCst);
    }

    unsafe fn release(_: RawRestoreState) {
        compiler_fence(Ordering::SeqCst);
    }
}

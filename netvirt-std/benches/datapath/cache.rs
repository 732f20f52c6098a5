//! The caches of the CPU.

/// Takes bytes out of all caches, where the CPU has an instruction for it. They are out when this returns: what is
/// timed next does not wait for it.
pub fn evict(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        // SAFETY: the address is readable, and SSE2 is part of x86-64.
        unsafe { core::arch::x86_64::_mm_clflush(line.as_ptr()) }
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_mfence()
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

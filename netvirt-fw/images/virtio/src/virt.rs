//! The virtio buses of QEMU's `virt` boards, which QEMU calls `virtio-mmio-bus.N`.

use core::sync::atomic::{AtomicU32, Ordering};

use virtio_drivers::transport::DeviceType;

use crate::{Device, Unusable};

#[cfg(target_arch = "aarch64")]
mod place {
    pub const BUSES: usize = 32;
    pub const FIRST: usize = 0x0a00_0000;
    pub const LENGTH: usize = 0x200;
    pub const FIRST_LINE: u32 = 48;
}

#[cfg(target_arch = "riscv32")]
mod place {
    pub const BUSES: usize = 8;
    pub const FIRST: usize = 0x1000_1000;
    pub const LENGTH: usize = 0x1000;
    pub const FIRST_LINE: u32 = 1;
}

/// The buses that were given out, a bit each.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Looks for a device of a kind at a bus. Each bus is given out once.
///
/// # Errors
/// [`Unusable::Absent`]
pub fn find(bus: usize, kind: DeviceType) -> Result<Device, Unusable> {
    let bit = 1 << (bus % place::BUSES);
    if bus >= place::BUSES || TAKEN.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return Err(Unusable::Absent);
    }
    let address = place::FIRST + bus * place::LENGTH;
    let line = place::FIRST_LINE + bus as u32;
    // SAFETY: each bus has its registers there (hw/arm/virt.c, hw/riscv/virt.c), and this one is used by nobody else.
    unsafe { Device::find(address, place::LENGTH, line, kind) }
}

use core::ptr;

/// A register of a device, 32 bits wide.
#[derive(Debug, Clone, Copy)]
pub struct Register(usize);

impl Register {
    /// The register at an address.
    ///
    /// # Safety
    /// There is a register of 32 bits for as long as the program runs, and neither reading nor writing it changes memory.
    pub const unsafe fn new(address: usize) -> Self {
        Self(address)
    }

    /// Reads it.
    pub fn read(self) -> u32 {
        // SAFETY: who made `self` promised that this is a register.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    /// Writes it.
    pub fn write(self, value: u32) {
        // SAFETY: who made `self` promised that this is a register.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}

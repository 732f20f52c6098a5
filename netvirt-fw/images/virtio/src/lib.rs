//! virtio's network and entropy devices (OASIS virtio 1.2) behind registers in memory.
//!
//! | Module | What is in it |
//! |---|---|
//! | [`queue`] | the split virtqueue: buffers lent to a device and given back |
//! | [`net`] | a network device as [`netvirt_fw::rings::Rings`]: batches, in place, one doorbell each |
//! | [`entropy`] | random bytes |
//! | [`virt`] | where QEMU's `virt` boards have them |
//!
//! Memory is what its address says (no MMU that moves it), and devices see it as the processor does.
#![no_std]

pub mod entropy;
pub mod net;
pub mod queue;
#[cfg(any(target_arch = "aarch64", target_arch = "riscv32"))]
pub mod virt;

use core::ptr::{self, NonNull};

use virtio_drivers::transport::mmio::{MmioTransport, MmioVersion};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

const VERSION_1: u64 = 1 << 32;

/// A device that was found and is not used yet.
pub struct Device {
    transport: MmioTransport<'static>,
    line: u32,
}

/// Why a device cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// There is none of the kind that is looked for, or one of the time before virtio 1.0.
    Absent,
    /// It refuses what the driver offers.
    Features,
    /// Its queues are shorter than those of the driver.
    Queue,
    /// It does not tell what it is.
    Configuration,
    /// No task more can wait for an interrupt line.
    Line,
}

impl Unusable {
    /// The reason in words.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Absent => "no virtio 1 device of this kind",
            Self::Features => "the virtio device refuses the features offered",
            Self::Queue => "the virtio device has shorter queues",
            Self::Configuration => "the virtio device has no configuration",
            Self::Line => "too many interrupt lines",
        }
    }
}

impl Device {
    /// Looks for a device of a kind behind the registers at an address, which raises an interrupt line.
    ///
    /// # Safety
    /// There is room for a virtio device, `length` bytes long, that nothing else uses.
    ///
    /// # Errors
    /// [`Unusable::Absent`]
    pub unsafe fn find(
        address: usize,
        length: usize,
        line: u32,
        kind: DeviceType,
    ) -> Result<Self, Unusable> {
        let registers = NonNull::new(ptr::with_exposed_provenance_mut(address));
        let registers = registers.ok_or(Unusable::Absent)?;
        // SAFETY: as the caller promises.
        let transport = unsafe { MmioTransport::new(registers, length) };
        let transport = transport.map_err(|_| Unusable::Absent)?;
        match transport.version() == MmioVersion::Modern && transport.device_type() == kind {
            true => Ok(Self { transport, line }),
            false => Err(Unusable::Absent),
        }
    }

    /// Begins to use the device: resets it and agrees with it what both can do of `wanted`.
    fn begin(&mut self, wanted: u64) -> Result<u64, Unusable> {
        let transport = &mut self.transport;
        let mut status = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        transport.set_status(DeviceStatus::empty());
        transport.set_status(status);
        let features = transport.read_device_features() & (wanted | VERSION_1);
        transport.write_driver_features(features);
        status |= DeviceStatus::FEATURES_OK;
        transport.set_status(status);
        let is_agreed = transport.get_status().contains(DeviceStatus::FEATURES_OK);
        match is_agreed && features & VERSION_1 != 0 {
            true => Ok(features),
            false => Err(Unusable::Features),
        }
    }
}

impl From<virtio_drivers::Error> for Unusable {
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Configuration
    }
}

//! Random bytes from virtio's entropy device (§5.4).

use core::hint;

use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::queue::{Lent, Queue, Shared};
use crate::{Device, Unusable};

/// The kind of the device.
pub const KIND: DeviceType = DeviceType::EntropySource;

/// Waits for as many random bytes as `memory` is long.
///
/// # Errors
/// Why the device cannot be used.
pub fn draw(
    mut device: Device,
    shared: &'static mut Shared<1>,
    memory: &'static mut [u8],
) -> Result<&'static mut [u8], Unusable> {
    device.begin(0)?;
    let transport = &mut device.transport;
    let mut queue = Queue::new(transport, 0, shared)?;
    transport.finish_init();
    let (mut memory, mut drawn) = (memory, 0);
    while drawn < memory.len() {
        let rest = drawn..memory.len();
        queue
            .lend(memory, rest, Lent::ToWrite)
            .map_err(|_| Unusable::Queue)?;
        queue.ring_doorbell(transport);
        let written;
        (memory, written) = loop {
            match queue.take_back() {
                Some(taken) => break taken,
                None => hint::spin_loop(),
            }
        };
        drawn = drawn.saturating_add(written);
    }
    transport.set_status(DeviceStatus::empty());
    Ok(memory)
}

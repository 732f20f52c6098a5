//! Random bytes from virtio's entropy device (§5.4).

use core::hint;

use netvirt_fw::rings::{Buffer, BufferMemory};
use static_cell::ConstStaticCell;
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use crate::queue::{Lent, Queue, Shared};
use crate::{Device, Unusable};

/// The kind of the device.
pub const KIND: DeviceType = DeviceType::EntropySource;

/// Bytes that are drawn.
pub const LENGTH: usize = 64;

/// Waits for random bytes. There is one device, which is asked once: as the seed of all that is to be random until the next
/// reset.
///
/// # Errors
/// Why the device cannot be used.
pub fn draw(mut device: Device) -> Result<[u8; LENGTH], Unusable> {
    static SHARED: ConstStaticCell<Shared<1>> = ConstStaticCell::new(Shared::new());
    static MEMORY: ConstStaticCell<BufferMemory<[u8; LENGTH]>> =
        ConstStaticCell::new(BufferMemory::new());
    let (Some(shared), Some(memory)) = (SHARED.try_take(), MEMORY.try_take()) else {
        return Err(Unusable::Queue);
    };
    device.begin(0)?;
    let transport = &mut device.transport;
    let mut queue = Queue::new(transport, 0, shared)?;
    transport.finish_init();
    let (mut buffer, mut drawn) = (Buffer::new(memory), 0_usize);
    while drawn < LENGTH {
        let lent = queue.lend(buffer, drawn..LENGTH, Lent::ToWrite);
        lent.map_err(|_| Unusable::Queue)?;
        queue.ring_doorbell(transport);
        let written;
        (buffer, written) = wait_for(|| queue.take_back());
        drawn = drawn.saturating_add(written);
    }
    transport.set_status(DeviceStatus::empty());
    Ok(*buffer.bytes().first_chunk().ok_or(Unusable::Queue)?)
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        match look() {
            Some(found) => return found,
            None => hint::spin_loop(),
        }
    }
}

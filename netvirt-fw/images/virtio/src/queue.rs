//! The split virtqueue (virtio 1.2, §2.7), with buffers of one piece.
//!
//! What both sides see are atomics, so that nothing here is unsafe but taking memory back from the device.

use core::array;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

use heapless::Vec;
use netvirt_fw::rings::{Buffer, BufferMemory};
use virtio_drivers::transport::Transport;

use crate::Unusable;

const DEVICE_WRITES: u16 = 2;
const NO_DOORBELL: u16 = 1;

/// What a queue of `N` buffers shares with its device.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct Shared<const N: usize> {
    descriptors: [Descriptor; N],
    available: Available<N>,
    used: Used<N>,
}

#[repr(C)]
#[derive(Debug)]
struct Descriptor {
    address: [AtomicU32; 2],
    length: AtomicU32,
    flags: AtomicU16,
    next: AtomicU16,
}

#[repr(C)]
#[derive(Debug)]
struct Available<const N: usize> {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [AtomicU16; N],
}

#[repr(C, align(4))]
#[derive(Debug)]
struct Used<const N: usize> {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [UsedElement; N],
}

#[repr(C)]
#[derive(Debug)]
struct UsedElement {
    descriptor: AtomicU32,
    length: AtomicU32,
}

impl<const N: usize> Shared<N> {
    /// A queue in which nothing was put yet.
    #[expect(clippy::new_without_default, reason = "it is to lie where it is made")]
    pub const fn new() -> Self {
        const { assert!(N.is_power_of_two() && N <= 1 << 15) };
        Self {
            descriptors: [const {
                Descriptor {
                    address: [const { AtomicU32::new(0) }; 2],
                    length: AtomicU32::new(0),
                    flags: AtomicU16::new(0),
                    next: AtomicU16::new(0),
                }
            }; N],
            available: Available {
                flags: AtomicU16::new(0),
                index: AtomicU16::new(0),
                ring: [const { AtomicU16::new(0) }; N],
            },
            used: Used {
                flags: AtomicU16::new(0),
                index: AtomicU16::new(0),
                ring: [const {
                    UsedElement {
                        descriptor: AtomicU32::new(0),
                        length: AtomicU32::new(0),
                    }
                }; N],
            },
        }
    }
}

/// Who of the two may touch a lent buffer, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lent {
    /// The device reads it.
    ToRead,
    /// The device writes it.
    ToWrite,
}

/// A queue of at most `N` buffers that a device uses.
#[derive(Debug)]
pub struct Queue<const N: usize> {
    number: u16,
    shared: &'static Shared<N>,
    lent: [Option<NonNull<BufferMemory>>; N],
    free: Vec<u16, N>,
    next_available: u16,
    next_used: u16,
}

impl<const N: usize> Queue<N> {
    /// Tells the device where the queue is.
    ///
    /// # Errors
    /// [`Unusable::Queue`]
    pub fn new(
        transport: &mut impl Transport,
        number: u16,
        shared: &'static mut Shared<N>,
    ) -> Result<Self, Unusable> {
        let size = N as u32;
        if transport.max_queue_size(number) < size || transport.queue_used(number) {
            return Err(Unusable::Queue);
        }
        let shared = &*shared;
        transport.queue_set(
            number,
            size,
            address_of(&raw const shared.descriptors),
            address_of(&raw const shared.available),
            address_of(&raw const shared.used),
        );
        Ok(Self {
            number,
            shared,
            lent: [None; N],
            free: array::from_fn::<u16, N, _>(|index| index as u16).into(),
            next_available: 0,
            next_used: 0,
        })
    }

    /// Buffers that can be lent now.
    pub fn room(&self) -> usize {
        self.free.len()
    }

    /// Lends the device a part of the bytes of a buffer. It sees them when the [doorbell](Self::ring_doorbell) is rung.
    ///
    /// # Errors
    /// Gives the buffer back if the queue is full or the buffer has no such part.
    pub fn lend(
        &mut self,
        buffer: Buffer<'static>,
        part: Range<usize>,
        lent: Lent,
    ) -> Result<(), Buffer<'static>> {
        let Some(bytes) = buffer.bytes().get(part) else {
            return Err(buffer);
        };
        let (address, length) = (address_of(bytes.as_ptr()), bytes.len());
        let Some(index) = self.free.pop() else {
            return Err(buffer);
        };
        let shared = self.shared;
        let slot = usize::from(self.next_available) % N;
        let (Some(descriptor), Some(place), Some(entry)) = (
            shared.descriptors.get(usize::from(index)),
            self.lent.get_mut(usize::from(index)),
            shared.available.ring.get(slot),
        ) else {
            return Err(buffer);
        };
        let [low, high] = &descriptor.address;
        low.store(address as u32, Ordering::Relaxed);
        high.store((address >> 32) as u32, Ordering::Relaxed);
        descriptor.length.store(length as u32, Ordering::Relaxed);
        let flags = match lent {
            Lent::ToRead => 0,
            Lent::ToWrite => DEVICE_WRITES,
        };
        descriptor.flags.store(flags, Ordering::Relaxed);
        entry.store(index, Ordering::Relaxed);
        *place = Some(NonNull::from(buffer.into_memory()));
        self.next_available = self.next_available.wrapping_add(1);
        Ok(())
    }

    /// Shows the device what was lent since the last time, and rings its doorbell if it waits for that.
    pub fn ring_doorbell(&self, transport: &mut impl Transport) {
        let Shared {
            available, used, ..
        } = self.shared;
        if available.index.load(Ordering::Relaxed) == self.next_available {
            return;
        }
        available
            .index
            .store(self.next_available, Ordering::Release);
        // The device must see the index before it is asked whether it waits (§2.7.13.4.1).
        fence(Ordering::SeqCst);
        if used.flags.load(Ordering::Relaxed) & NO_DOORBELL == 0 {
            transport.notify(self.number);
        }
    }

    /// Whether the device gives a buffer back.
    pub fn is_ready(&self) -> bool {
        self.shared.used.index.load(Ordering::Acquire) != self.next_used
    }

    /// Takes back what the device used, and how many bytes it wrote.
    pub fn take_back(&mut self) -> Option<(Buffer<'static>, usize)> {
        while self.is_ready() {
            let slot = usize::from(self.next_used) % N;
            self.next_used = self.next_used.wrapping_add(1);
            let element = self.shared.used.ring.get(slot)?;
            let index = element.descriptor.load(Ordering::Relaxed);
            let length = element.length.load(Ordering::Relaxed);
            let Some(mut memory) = self.lent.get_mut(index as usize).and_then(Option::take) else {
                // The device gives back what was not lent.
                continue;
            };
            let _ = self.free.push(index as u16);
            // SAFETY: the pointer was made of the only reference to this memory, which was given up then; the device was
            // the only one to use it since, and is done with it. Nobody else gets it, as it is no longer in `lent`.
            let memory = unsafe { memory.as_mut() };
            return Some((Buffer::new(memory), length as usize));
        }
        None
    }
}

/// Where the device finds it.
fn address_of<T>(place: *const T) -> u64 {
    place.expose_provenance() as u64
}

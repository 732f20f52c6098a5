//! Memory shared with the kernel, which fills its slots with frames in turn (TPACKET_V2).

use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{tpacket_req, tpacket_versions, tpacket2_hdr};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::socket;
use crate::device::spread;

/// Bytes of the blocks that a ring is made of, each of which holds as many whole slots as it can. The kernel takes its
/// memory for a block in one piece, and so in powers of two. The largest MTU there is fits several times.
const BLOCK: usize = 1 << 20;

/// Bytes of a slot in front of the frame: the kernel's header, a socket address and the virtio-net header, aligned,
/// which makes 76.
const HEADROOM: usize = 128;

/// A receive ring.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    /// Bytes of all blocks.
    length: usize,
    /// Bytes from one slot to the next of its block.
    spacing: usize,
    slots: usize,
    /// The slot that is filled next.
    next: Slot,
    /// The first of the slots that are kept, which end at `next`.
    oldest: Slot,
    /// How many slots are kept.
    kept: usize,
}

/// A place for one frame: where it begins in the memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot(usize);

// SAFETY: the memory belongs to the ring alone; the kernel is beside it in any thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a socket, which is not attached yet, a ring of at least so many slots for frames of that many bytes.
    pub fn new(socket: impl AsFd, least_slots: usize, largest_frame: usize) -> io::Result<Self> {
        let spacing = spread(HEADROOM + largest_frame);
        let slots_per_block = BLOCK / spacing;
        let blocks = least_slots.div_ceil(slots_per_block);
        let slots = blocks * slots_per_block;
        let length = blocks * BLOCK;
        let version = tpacket_versions::TPACKET_V2 as u32;
        socket::set(&socket, libc::PACKET_VERSION, version)?;
        let request = tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: spacing as u32,
            tp_frame_nr: slots as u32,
        };
        socket::set(&socket, libc::PACKET_RX_RING, request)?;
        Ok(Self {
            memory: map(socket, length)?,
            length,
            spacing,
            slots,
            next: Slot::default(),
            oldest: Slot::default(),
            kept: 0,
        })
    }

    /// The next slot, if the kernel has filled it. It is kept until [`Ring::release`].
    pub fn take(&mut self) -> Option<Slot> {
        let slot = self.next;
        let is_filled = self.status(slot).load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        // Where all slots are kept, the first of them comes next.
        if !is_filled || self.kept == self.slots {
            return None;
        }
        self.next = self.after(slot);
        self.kept += 1;
        Some(slot)
    }

    /// Gives all slots that were taken back to the kernel.
    pub fn release(&mut self) {
        for _ in 0..self.kept {
            let status = self.status(self.oldest);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.oldest = self.after(self.oldest);
        }
        self.kept = 0;
    }

    fn after(&self, Slot(start): Slot) -> Slot {
        let next = start + self.spacing;
        let next_block = start - start % BLOCK + BLOCK;
        match next_block {
            _ if next + self.spacing <= next_block => Slot(next),
            _ if next_block < self.length => Slot(next_block),
            _ => Slot::default(),
        }
    }

    /// What the kernel says about the frame of a slot that was taken.
    pub fn header(&self, slot: Slot) -> tpacket2_hdr {
        // SAFETY: every slot starts with such a header, aligned, and the kernel leaves a taken slot alone.
        unsafe { ptr::read(self.start_of(slot).cast().as_ptr()) }
    }

    /// Bytes of a slot that was taken.
    pub fn bytes(&self, slot: Slot, start: usize, length: usize) -> &[u8] {
        assert!(start + length <= self.spacing);
        // SAFETY: the bytes lie in the slot, which the kernel leaves alone until it is released, for which nobody may have
        // borrowed the ring.
        unsafe { slice::from_raw_parts(self.start_of(slot).add(start).as_ptr(), length) }
    }

    /// All bytes of a slot that was taken.
    pub fn slot_mut(&mut self, slot: Slot) -> &mut [u8] {
        // SAFETY: as above, and whoever asks is the only one.
        unsafe { slice::from_raw_parts_mut(self.start_of(slot).as_ptr(), self.spacing) }
    }

    fn status(&self, slot: Slot) -> &AtomicU32 {
        // SAFETY: every slot starts with its status, aligned; nobody has a reference to its bytes here.
        unsafe { AtomicU32::from_ptr(self.start_of(slot).cast().as_ptr()) }
    }

    fn start_of(&self, Slot(start): Slot) -> NonNull<u8> {
        assert!(start + self.spacing <= self.length);
        // SAFETY: the whole slot lies in the memory.
        unsafe { self.memory.add(start) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nothing borrows from it any more.
        // Unmapping what was mapped does not fail.
        let _ = unsafe { munmap(self.memory.as_ptr().cast(), self.length) };
    }
}

fn map(socket: impl AsFd, length: usize) -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses where.
    let memory = unsafe { mmap(ptr::null_mut(), length, access, MapFlags::SHARED, socket, 0) }?;
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

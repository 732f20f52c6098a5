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

/// Bytes of a ring: 2500 frames of 1500 bytes, so that a worker may sleep a tick of the kernel while 600,000 packets a
/// second arrive. It is one block, so that slots follow each other at one distance.
const LENGTH: usize = 4 << 20;

/// Bytes of a slot in front of the frame: the kernel's header, a socket address and the virtio-net header, aligned,
/// which makes 76.
const HEADROOM: usize = 128;

/// A receive ring.
#[derive(Debug)]
pub(super) struct Ring {
    memory: NonNull<u8>,
    /// Bytes from one slot to the next.
    spacing: usize,
    slots: usize,
    /// The slot that is filled next.
    next: usize,
    /// How many slots in front of `next` are kept.
    kept: usize,
}

// SAFETY: the memory belongs to the ring alone; the kernel is beside it in any thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Gives a socket, which is not attached yet, a ring for frames of that many bytes.
    pub fn new(socket: impl AsFd, largest_frame: usize) -> io::Result<Self> {
        let spacing = spread(HEADROOM + largest_frame);
        let slots = LENGTH / spacing;
        let version = tpacket_versions::TPACKET_V2 as u32;
        socket::set(&socket, libc::PACKET_VERSION, version)?;
        let request = tpacket_req {
            tp_block_size: LENGTH as u32,
            tp_block_nr: 1,
            tp_frame_size: spacing as u32,
            tp_frame_nr: slots as u32,
        };
        socket::set(&socket, libc::PACKET_RX_RING, request)?;
        Ok(Self {
            memory: map(socket)?,
            spacing,
            slots,
            next: 0,
            kept: 0,
        })
    }

    /// The next slot, if the kernel has filled it. It is kept until [`Ring::release`].
    pub fn take(&mut self) -> Option<usize> {
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
        let mut slot = (self.next + self.slots - self.kept) % self.slots;
        for _ in 0..self.kept {
            let status = self.status(slot);
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            slot = self.after(slot);
        }
        self.kept = 0;
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots { 0 } else { slot + 1 }
    }

    /// What the kernel says about the frame of a slot that was taken.
    pub fn header(&self, slot: usize) -> tpacket2_hdr {
        // SAFETY: every slot starts with such a header, aligned, and the kernel leaves a taken slot alone.
        unsafe { ptr::read(self.start_of(slot).cast().as_ptr()) }
    }

    /// Bytes of a slot that was taken.
    pub fn bytes(&self, slot: usize, start: usize, length: usize) -> &[u8] {
        assert!(start + length <= self.spacing);
        // SAFETY: the bytes lie in the slot, which the kernel leaves alone until it is released, for which nobody may have
        // borrowed the ring.
        unsafe { slice::from_raw_parts(self.start_of(slot).add(start).as_ptr(), length) }
    }

    /// All bytes of a slot that was taken.
    pub fn slot_mut(&mut self, slot: usize) -> &mut [u8] {
        // SAFETY: as above, and whoever asks is the only one.
        unsafe { slice::from_raw_parts_mut(self.start_of(slot).as_ptr(), self.spacing) }
    }

    fn status(&self, slot: usize) -> &AtomicU32 {
        // SAFETY: every slot starts with its status, aligned; nobody has a reference to its bytes here.
        unsafe { AtomicU32::from_ptr(self.start_of(slot).cast().as_ptr()) }
    }

    fn start_of(&self, slot: usize) -> NonNull<u8> {
        assert!(slot < self.slots);
        // SAFETY: all slots lie in the memory.
        unsafe { self.memory.add(slot * self.spacing) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and nothing borrows from it any more.
        // Unmapping what was mapped does not fail.
        let _ = unsafe { munmap(self.memory.as_ptr().cast(), LENGTH) };
    }
}

fn map(socket: impl AsFd) -> io::Result<NonNull<u8>> {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses where.
    let memory = unsafe { mmap(ptr::null_mut(), LENGTH, access, MapFlags::SHARED, socket, 0) }?;
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

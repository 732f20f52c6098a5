//! Two devices joined by a cable, all in memory: a whole network of switches needs no rights.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netvirt_core::offload::Offload;
use rustix::event::{EventfdFlags, eventfd};

use super::{BATCH, Capabilities, Outgoing, Received, Receiver, Sender};

/// Makes the two ends of a cable. Up to `capacity` frames are on their way in either direction; further ones are lost.
/// Both ends take over what `capabilities` say.
///
/// # Errors
/// The process has too many open files.
pub fn cable(
    capacity: usize,
    capabilities: Capabilities,
) -> io::Result<[(MemoryReceiver, MemorySender); 2]> {
    let there = Arc::new(Queue::new(capacity)?);
    let back = Arc::new(Queue::new(capacity)?);
    let end = |from: &Arc<Queue>, to: &Arc<Queue>| {
        let receiver = MemoryReceiver {
            queue: Arc::clone(from),
            batch: Vec::with_capacity(BATCH),
        };
        let sender = MemorySender {
            queue: Arc::clone(to),
            capabilities,
        };
        (receiver, sender)
    };
    Ok([end(&back, &there), end(&there, &back)])
}

#[derive(Debug)]
struct Queue {
    frames: Mutex<VecDeque<Frame>>,
    capacity: usize,
    /// Readable while there are frames.
    readiness: OwnedFd,
}

#[derive(Debug)]
struct Frame {
    bytes: Vec<u8>,
    offload: Offload,
}

impl Queue {
    fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            frames: Mutex::new(VecDeque::with_capacity(capacity)),
            capacity,
            readiness: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half of an end that frames of the other end come out of.
#[derive(Debug)]
pub struct MemoryReceiver {
    queue: Arc<Queue>,
    batch: Vec<Frame>,
}

impl Receiver for MemoryReceiver {
    fn readiness(&self) -> BorrowedFd<'_> {
        self.queue.readiness.as_fd()
    }

    fn fetch(&mut self) -> io::Result<usize> {
        self.release();
        let mut frames = self.queue.lock();
        let count = frames.len().min(BATCH);
        self.batch.extend(frames.drain(..count));
        if count > 0 && frames.is_empty() {
            rustix::io::read(&self.queue.readiness, &mut [0; 8])?;
        }
        Ok(count)
    }

    fn frame(&self, number: usize) -> Received<'_> {
        let frame = &self.batch[number];
        Received {
            bytes: &frame.bytes,
            offload: frame.offload,
        }
    }

    fn release(&mut self) {
        self.batch.clear();
    }
}

/// The half of an end that frames to the other end go into.
#[derive(Debug)]
pub struct MemorySender {
    queue: Arc<Queue>,
    capabilities: Capabilities,
}

impl Sender for MemorySender {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn send(&mut self, outgoing: &mut [Outgoing<'_>]) {
        let mut frames = self.queue.lock();
        let was_empty = frames.is_empty();
        for frame in outgoing {
            frame.is_lost = frames.len() >= self.queue.capacity;
            if !frame.is_lost {
                frames.push_back(Frame {
                    bytes: [frame.front, frame.rest].concat(),
                    offload: frame.offload,
                });
            }
        }
        if was_empty && !frames.is_empty() {
            // It counts up to 2^64 - 2, and to 1 here.
            let _ = rustix::io::write(&self.queue.readiness, &1u64.to_ne_bytes());
        }
    }
}

//! The seam between a NIC's own rings and the datapath: buffers with room in front of their frames, taken and given in
//! batches, never copied.

use core::fmt;
use core::mem;
use core::ops::{Deref, DerefMut, Range};
use core::task::Context;

use netvirt_core::edit::HEADROOM;
use netvirt_core::offload::Offload;

/// The memory of one [`Buffer`]: what is known of the frame in it, and the bytes that the frame lies in.
///
/// The bytes begin a cache line of their own, so that a device that writes them disturbs nothing else.
///
/// ```
/// use netvirt_fw::rings::BufferMemory;
///
/// let memory: [BufferMemory<[u8; 2048]>; 4] = [const { BufferMemory::new() }; 4];
/// ```
#[repr(C)]
pub struct BufferMemory<B: ?Sized = [u8]> {
    start: u32,
    end: u32,
    /// The work that is left to be done to the frame.
    pub offload: Offload,
    line: [Line; 0],
    bytes: B,
}

#[repr(align(64))]
struct Line;

impl<const LENGTH: usize> BufferMemory<[u8; LENGTH]> {
    /// Memory of `LENGTH` bytes, with nothing in it. If it has no more than [`Buffer::HEADROOM`], it has no room for any frame.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        const { assert!(LENGTH <= u32::MAX as usize, "places are told in 32 bits") };
        Self {
            start: 0,
            end: 0,
            offload: Offload::NONE,
            line: [],
            bytes: [0; _],
        }
    }
}

/// A piece of packet memory and the frame in it, if there is one.
///
/// A ring receives into the bytes behind [`Buffer::HEADROOM`]; what is put in front of a frame grows into the bytes before.
///
/// It is no more than a reference to its [memory](BufferMemory), so that it is cheap to be handed on.
pub struct Buffer<'b>(&'b mut BufferMemory);

impl<'b> Buffer<'b> {
    /// Bytes that are kept free in front of a received frame. A multiple of 64, so that a received frame begins a cache line.
    pub const HEADROOM: usize = HEADROOM.next_multiple_of(64);

    /// An empty buffer. What was in the memory is forgotten.
    pub const fn new(memory: &'b mut BufferMemory) -> Self {
        memory.start = 0;
        memory.end = 0;
        memory.offload = Offload::NONE;
        Self(memory)
    }

    /// The memory alone.
    pub const fn into_memory(self) -> &'b mut BufferMemory {
        self.0
    }
}

impl Deref for Buffer<'_> {
    type Target = BufferMemory;

    #[inline]
    fn deref(&self) -> &BufferMemory {
        self.0
    }
}

impl DerefMut for Buffer<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut BufferMemory {
        self.0
    }
}

impl BufferMemory {
    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.bytes.get(self.place()).unwrap_or_default()
    }

    /// The frame, to be changed where it lies.
    pub fn frame_mut(&mut self) -> &mut [u8] {
        let place = self.place();
        self.bytes.get_mut(place).unwrap_or_default()
    }

    /// Where in the bytes the frame lies.
    pub const fn place(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// All of the bytes.
    pub const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of the bytes, to be written.
    pub const fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Bytes of the longest frame that can be received.
    pub const fn capacity(&self) -> usize {
        self.bytes.len().saturating_sub(Buffer::HEADROOM)
    }

    /// Where a frame is received into: everything behind the headroom.
    pub fn space_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(Buffer::HEADROOM..).unwrap_or_default()
    }

    /// Says where the frame lies.
    ///
    /// # Errors
    /// [`OutOfBuffer`]; all is then as it was.
    pub fn set_place(&mut self, frame: Range<usize>) -> Result<(), OutOfBuffer> {
        if frame.start > frame.end || frame.end > self.bytes.len() {
            return Err(OutOfBuffer);
        }
        // There are no more than 4 GiB.
        (self.start, self.end) = (frame.start as u32, frame.end as u32);
        Ok(())
    }

    /// Says that a frame of `length` bytes was received behind the headroom, with nothing left to be done to it.
    ///
    /// # Errors
    /// [`OutOfBuffer`]; all is then as it was.
    pub fn received(&mut self, length: usize) -> Result<(), OutOfBuffer> {
        self.set_place(Buffer::HEADROOM..Buffer::HEADROOM.saturating_add(length))?;
        self.offload = Offload::NONE;
        Ok(())
    }

    /// Puts a copy of a frame behind the headroom, with nothing left to be done to it.
    ///
    /// # Errors
    /// [`OutOfBuffer`] if it is too long; all is then as it was.
    pub fn fill(&mut self, frame: &[u8]) -> Result<(), OutOfBuffer> {
        let space = self.space_mut().get_mut(..frame.len());
        space.ok_or(OutOfBuffer)?.copy_from_slice(frame);
        self.received(frame.len())
    }

    /// Takes bytes off the front of the frame, at most all.
    pub fn pull(&mut self, bytes: usize) {
        let Range { start, end } = self.place();
        self.start = start.saturating_add(bytes).min(end) as u32;
    }

    /// Puts bytes in front of the frame and yields them. What is in them is not said.
    ///
    /// # Errors
    /// [`OutOfBuffer`] if there is no room left; all is then as it was.
    pub fn push(&mut self, bytes: usize) -> Result<&mut [u8], OutOfBuffer> {
        let behind = self.place().start;
        let start = behind.checked_sub(bytes).ok_or(OutOfBuffer)?;
        let room = self.bytes.get_mut(start..behind).ok_or(OutOfBuffer)?;
        self.start = start as u32;
        Ok(room)
    }
}

impl fmt::Debug for BufferMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferMemory")
            .field("frame", &self.place())
            .field("offload", &self.offload)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&&*self.0).finish()
    }
}

/// A frame does not lie in the memory of its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBuffer;

impl fmt::Display for OutOfBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the frame does not lie in its buffer: buffers need {} bytes in front of the longest frame",
            Buffer::HEADROOM
        )
    }
}

impl core::error::Error for OutOfBuffer {}

/// Places for buffers: empty ones that wait to be used, or frames in their order.
///
/// ```
/// use netvirt_fw::rings::{Buffer, BufferMemory, Queue};
///
/// let mut memory = [const { BufferMemory::<[u8; 2048]>::new() }; 4];
/// let mut places = [const { None }; 4];
/// let mut pool = Queue::new(&mut places);
/// for buffer in &mut memory {
///     assert!(pool.push(Buffer::new(buffer)).is_ok());
/// }
/// assert_eq!(pool.len(), 4);
/// ```
#[derive(Debug)]
pub struct Queue<'q, 'b> {
    places: &'q mut [Option<Buffer<'b>>],
    first: usize,
    length: usize,
}

impl<'q, 'b> Queue<'q, 'b> {
    /// A queue that holds as many buffers as there are places. What is in them is forgotten.
    pub fn new(places: &'q mut [Option<Buffer<'b>>]) -> Self {
        places.fill_with(|| None);
        Self {
            places,
            first: 0,
            length: 0,
        }
    }

    /// Buffers in the queue.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Buffers that it still takes.
    pub const fn room(&self) -> usize {
        self.places.len().saturating_sub(self.length)
    }

    /// Adds a buffer behind the last.
    ///
    /// # Errors
    /// Gives the buffer back if the queue is full.
    pub fn push(&mut self, buffer: Buffer<'b>) -> Result<(), Buffer<'b>> {
        let index = self.wrapped(self.first.wrapping_add(self.length));
        match self.places.get_mut(index) {
            Some(place @ None) => {
                *place = Some(buffer);
                self.length = self.length.wrapping_add(1);
                Ok(())
            }
            _ => Err(buffer),
        }
    }

    /// Takes the first buffer.
    pub fn pop(&mut self) -> Option<Buffer<'b>> {
        let buffer = mem::take(self.places.get_mut(self.first)?)?;
        self.first = self.wrapped(self.first.wrapping_add(1));
        self.length = self.length.wrapping_sub(1);
        Some(buffer)
    }

    /// The first buffer.
    pub fn first_mut(&mut self) -> Option<&mut Buffer<'b>> {
        self.places.get_mut(self.first)?.as_mut()
    }

    /// The buffers in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Buffer<'b>> {
        let (behind, before) = self.places.split_at_checked(self.first).unwrap_or_default();
        before.iter().chain(behind).map_while(Option::as_ref)
    }

    /// The buffers in their order, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Buffer<'b>> {
        let (behind, before) = self
            .places
            .split_at_mut_checked(self.first)
            .unwrap_or_default();
        before.iter_mut().chain(behind).map_while(Option::as_mut)
    }

    const fn wrapped(&self, index: usize) -> usize {
        match index < self.places.len() {
            true => index,
            false => index.wrapping_sub(self.places.len()),
        }
    }
}

/// A NIC's rings towards one side: one that is received from, one that is sent to.
///
/// Buffers travel: what is received from one side is changed where it lies and sent to another. A ring holds empty buffers
/// only as long as frames are received into them, and takes new ones from the pool; the buffers of frames that were sent go
/// back into it. All rings of a NIC share one pool of buffers of one size.
///
/// `'b` is the packet memory, as a rule `'static`.
pub trait Rings<'b> {
    /// Adds frames that were received to `frames`, as many as it takes, and gives the ring new buffers out of `pool`. If none is
    /// left to be taken, `cx` is woken when there is.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut Queue<'_, 'b>,
        pool: &mut Queue<'_, 'b>,
    );

    /// How many frames can be sent at once. If none, `cx` is woken when there can be one. Buffers of frames that are sent by now
    /// go into `pool`.
    fn room(&mut self, cx: &mut Context<'_>, pool: &mut Queue<'_, 'b>) -> usize;

    /// Sends frames from the front of `frames`, in their order, as many as there is [room](Self::room) for. All work beside
    /// them was done but what [`capabilities`](Self::capabilities) names.
    fn send(&mut self, frames: &mut Queue<'_, 'b>);

    /// What the hardware does to frames that are sent.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Whether the link carries frames. `cx` is woken when that changes.
    fn is_up(&mut self, cx: &mut Context<'_>) -> bool;

    /// Bytes of the longest frame that the link carries, Ethernet header included, frame check sequence not.
    fn longest_frame(&self) -> usize;
}

/// What a ring's hardware does to frames that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// It completes partial checksums, also behind a tunnel's header.
    pub checksum: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn numbered(number: u8) -> BufferMemory<[u8; 1]> {
        let mut memory = BufferMemory::new();
        memory.bytes = [number];
        memory
    }

    #[test]
    fn a_frame_grows_into_its_headroom_and_shrinks_again() {
        let mut memory = BufferMemory::<[u8; Buffer::HEADROOM + 64]>::new();
        let mut buffer = Buffer::new(&mut memory);
        assert_eq!((buffer.capacity(), buffer.frame()), (64, &[][..]));
        buffer.fill(&[1, 2, 3]).unwrap();
        buffer.push(2).unwrap().copy_from_slice(&[8, 9]);
        assert_eq!(buffer.frame(), [8, 9, 1, 2, 3]);
        buffer.pull(3);
        assert_eq!(buffer.frame(), [2, 3]);
        buffer.pull(3);
        assert!(buffer.frame().is_empty());
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut memory = BufferMemory::<[u8; Buffer::HEADROOM + 8]>::new();
        let mut buffer = Buffer::new(&mut memory);
        buffer.fill(&[7; 8]).unwrap();
        assert_eq!(buffer.fill(&[6; 9]), Err(OutOfBuffer));
        assert_eq!(buffer.received(9), Err(OutOfBuffer));
        assert_eq!(buffer.push(Buffer::HEADROOM + 1), Err(OutOfBuffer));
        assert_eq!(buffer.set_place(0..Buffer::HEADROOM + 9), Err(OutOfBuffer));
        #[expect(clippy::reversed_empty_ranges, reason = "it is to be refused")]
        let reversed = 2..1;
        assert_eq!(buffer.set_place(reversed), Err(OutOfBuffer));
        assert_eq!(buffer.frame(), [7; 8]);
        let mut none = BufferMemory::<[u8; 0]>::new();
        assert!(Buffer::new(&mut none).fill(&[]).is_err());
    }

    #[test]
    fn a_full_queue_gives_the_buffer_back() {
        let [mut first, mut second] = [1, 2].map(numbered);
        let mut places = [None];
        let mut queue = Queue::new(&mut places);
        assert!(queue.push(Buffer::new(&mut first)).is_ok());
        let refused = queue.push(Buffer::new(&mut second)).unwrap_err();
        assert_eq!(refused.bytes()[0], 2);
        assert_eq!((queue.len(), queue.room()), (1, 0));
    }

    proptest! {
        #[test]
        fn a_queue_keeps_the_order(steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let mut memory: Vec<_> = (0..=255).map(numbered).collect();
            let mut spare: VecDeque<_> = memory.iter_mut().map(|piece| Buffer::new(piece)).collect();
            let mut places = [const { None }; 5];
            let mut queue = Queue::new(&mut places);
            let mut model = VecDeque::new();
            for is_push in steps {
                if is_push {
                    let buffer = spare.pop_front().unwrap();
                    let number = buffer.bytes()[0];
                    match queue.push(buffer) {
                        Ok(()) => model.push_back(number),
                        Err(_) => prop_assert_eq!(model.len(), 5),
                    }
                } else {
                    let number = queue.pop().map(|buffer| buffer.bytes()[0]);
                    prop_assert_eq!(number, model.pop_front());
                }
                let held: Vec<u8> = queue.iter().map(|buffer| buffer.bytes()[0]).collect();
                let also: Vec<u8> = queue.iter_mut().map(|buffer| buffer.bytes()[0]).collect();
                prop_assert_eq!(&held, &also);
                prop_assert_eq!(&held, &model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(queue.len() + queue.room(), 5);
            }
        }
    }
}

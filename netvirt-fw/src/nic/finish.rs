//! The last work before a frame leaves into the provider network: what the host left to do to it.

use netvirt_core::edit::HEADROOM;
use netvirt_core::offload::{LONGEST_HEADERS, Offload, SegmentLimits, SuperFrame};
use netvirt_core::table::Portable;

use crate::rings::{Buffer, Capabilities, Queue};

/// Segments are cut by these limits.
const LIMITS: SegmentLimits = SegmentLimits::DEFAULT;

/// Does the work that is left, segment by segment as the ring has room for them.
#[derive(Debug, Default)]
pub(super) struct Finisher<'b> {
    cut: Option<Cut<'b>>,
}

/// A super-frame of which some segments have left.
#[derive(Debug)]
struct Cut<'b> {
    super_frame: Buffer<'b>,
    next: usize,
}

/// What comes next of a super-frame.
enum Next<'b> {
    /// A segment.
    Segment(Buffer<'b>),
    /// A segment that does not fit into its buffer.
    TooLong(Buffer<'b>),
    /// A segment, as soon as there is a buffer for it.
    NoBuffer,
    /// Nothing: all have left.
    End,
    /// Nothing: its headers do not allow to cut it.
    Invalid,
}

/// Whether a frame can be cut wherever it leaves, also behind the longest header that is put in front of it.
pub(super) fn can_be_cut(frame: &[u8], offload: &Offload) -> bool {
    let Some(work) = offload.segmentation else {
        return true;
    };
    let headers = usize::from(work.header_length).saturating_add(HEADROOM);
    let longest = headers.saturating_add(work.segment_size.into());
    headers <= LONGEST_HEADERS
        && longest <= usize::from(u16::MAX)
        && SuperFrame::new(frame, frame.len(), offload, LIMITS).is_ok()
}

impl<'b> Finisher<'b> {
    /// Moves frames from `frames` to `ready`, with all work done that the ring does not do. Yields how many were lost because
    /// their work made no sense.
    pub fn finish(
        &mut self,
        frames: &mut Queue<'_, 'b>,
        ready: &mut Queue<'_, 'b>,
        pool: &mut Queue<'_, 'b>,
        capabilities: Capabilities,
    ) -> u32 {
        let mut lost: u32 = 0;
        while ready.room() > 0 {
            if let Some(cut) = &mut self.cut {
                match cut.next(pool) {
                    Next::Segment(segment) => keep(ready, segment),
                    Next::TooLong(buffer) => {
                        lost = lost.wrapping_add(1);
                        keep(pool, buffer);
                    }
                    Next::NoBuffer => break,
                    Next::End => self.end(pool),
                    Next::Invalid => {
                        lost = lost.wrapping_add(1);
                        self.end(pool);
                    }
                }
            } else if let Some(mut frame) = frames.pop() {
                if frame.offload.segmentation.is_some() {
                    self.cut = Some(Cut {
                        super_frame: frame,
                        next: 0,
                    });
                } else if complete(&mut frame, capabilities) {
                    keep(ready, frame);
                } else {
                    lost = lost.wrapping_add(1);
                    keep(pool, frame);
                }
            } else {
                break;
            }
        }
        lost
    }

    fn end(&mut self, pool: &mut Queue<'_, 'b>) {
        if let Some(cut) = self.cut.take() {
            keep(pool, cut.super_frame);
        }
    }
}

impl<'b> Cut<'b> {
    fn next(&mut self, pool: &mut Queue<'_, 'b>) -> Next<'b> {
        let frame = self.super_frame.frame();
        let offload = &self.super_frame.offload;
        let Ok(super_frame) = SuperFrame::new(frame, frame.len(), offload, LIMITS) else {
            return Next::Invalid;
        };
        let Some(segment) = super_frame.segments().nth(self.next) else {
            return Next::End;
        };
        let Some(mut buffer) = pool.pop() else {
            return Next::NoBuffer;
        };
        self.next = self.next.wrapping_add(1);
        let payload = frame.get(super_frame.header_length()..).unwrap_or_default();
        let length = segment.emit::<Portable>(payload, buffer.space_mut());
        match length.is_ok_and(|length| buffer.received(length).is_ok()) {
            true => Next::Segment(buffer),
            false => Next::TooLong(buffer),
        }
    }
}

/// Completes the checksum, unless the ring does. False if it lies outside the frame.
fn complete(frame: &mut Buffer<'_>, capabilities: Capabilities) -> bool {
    match frame.offload.checksum {
        Some(partial) if !capabilities.checksum => {
            frame.offload.checksum = None;
            partial.complete(frame.frame_mut(), &[]).is_ok()
        }
        _ => true,
    }
}

/// Puts a buffer where there is room for it by construction: a pool takes all buffers there are.
fn keep<'b>(queue: &mut Queue<'_, 'b>, buffer: Buffer<'b>) {
    let refused = queue.push(buffer);
    debug_assert!(refused.is_ok());
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use netvirt_core::offload::{PartialChecksum, SegmentKind, Segmentation};

    use super::*;
    use crate::rings::BufferMemory;

    /// Ethernet, IPv4 and UDP in front of 100 bytes, with the sum of the pseudo header in the checksum's place.
    fn datagram() -> Vec<u8> {
        let mut frame = Vec::from(*b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x08\0");
        frame.extend([
            0x45, 0, 0, 128, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 5, 10, 0, 0, 7,
        ]);
        frame.extend([4, 87, 8, 174, 0, 108, 0, 0]);
        frame.extend([7; 100]);
        frame
    }

    const CHECKSUM: PartialChecksum = PartialChecksum {
        start: 34,
        offset: 6,
    };

    const SEGMENTATION: Segmentation = Segmentation {
        kind: SegmentKind::Udp,
        segment_size: 64,
        header_length: 42,
    };

    /// What leaves of one frame in rounds of `room` frames, with `spare` buffers besides its own, and what is lost.
    fn finished(
        offload: Offload,
        room: usize,
        spare: usize,
        capabilities: Capabilities,
    ) -> (Vec<(Vec<u8>, Offload)>, u32) {
        let mut memory: Vec<_> = (0..=spare)
            .map(|_| BufferMemory::<[u8; 512]>::new())
            .collect();
        let mut places: Vec<_> = memory.iter().map(|_| None).collect();
        let mut pool = Queue::new(&mut places);
        for memory in &mut memory {
            pool.push(Buffer::new(memory)).unwrap();
        }
        let mut places = [const { None }; 4];
        let mut frames = Queue::new(&mut places);
        let mut frame = pool.pop().unwrap();
        frame.fill(&datagram()).unwrap();
        frame.offload = offload;
        frames.push(frame).unwrap();
        let mut places: Vec<_> = (0..room).map(|_| None).collect();
        let mut ready = Queue::new(&mut places);
        let (mut left, mut lost) = (Vec::new(), 0);
        let mut finisher = Finisher::default();
        for _ in 0..8 {
            lost += finisher.finish(&mut frames, &mut ready, &mut pool, capabilities);
            while let Some(buffer) = ready.pop() {
                left.push((buffer.frame().to_vec(), buffer.offload));
                pool.push(buffer).unwrap();
            }
        }
        assert_eq!(pool.len(), spare + 1, "every buffer is back");
        (left, lost)
    }

    #[test]
    fn a_partial_checksum_is_completed_unless_the_ring_does_it() {
        let offload = Offload {
            checksum: Some(CHECKSUM),
            ..Offload::NONE
        };
        let (left, lost) = finished(offload, 4, 0, Capabilities::default());
        let mut expected = datagram();
        CHECKSUM.complete(&mut expected, &[]).unwrap();
        assert_eq!((left, lost), (std::vec![(expected, Offload::NONE)], 0));
        let (left, _) = finished(offload, 4, 0, Capabilities { checksum: true });
        assert_eq!(left, [(datagram(), offload)]);
    }

    #[test]
    fn segments_leave_as_there_is_room_and_memory_for_them() {
        let offload = Offload {
            checksum: Some(CHECKSUM),
            segmentation: Some(SEGMENTATION),
            hash: None,
        };
        let frame = datagram();
        let whole = SuperFrame::new(&frame, frame.len(), &offload, LIMITS).unwrap();
        let expected: Vec<_> = whole
            .segments()
            .map(|segment| {
                let mut out = [0; 512];
                let length = segment.emit::<Portable>(&frame[42..], &mut out).unwrap();
                (out[..length].to_vec(), Offload::NONE)
            })
            .collect();
        assert_eq!(expected.len(), 2);
        for (room, spare) in [(4, 4), (1, 4), (4, 1), (1, 1)] {
            let (left, lost) = finished(offload, room, spare, Capabilities::default());
            assert_eq!((left, lost), (expected.clone(), 0), "{room} {spare}");
        }
    }

    #[test]
    fn work_that_makes_no_sense_is_lost_once() {
        let no_place = Offload {
            checksum: Some(PartialChecksum {
                start: 34,
                offset: 600,
            }),
            ..Offload::NONE
        };
        let no_segments = Offload {
            checksum: Some(CHECKSUM),
            segmentation: Some(Segmentation {
                header_length: 41,
                ..SEGMENTATION
            }),
            hash: None,
        };
        for offload in [no_place, no_segments] {
            let (left, lost) = finished(offload, 4, 4, Capabilities::default());
            assert_eq!((left, lost), (std::vec![], 1));
        }
    }

    #[test]
    fn what_the_longest_header_in_front_would_break_is_not_to_be_cut() {
        let frame = datagram();
        let with = |work: Segmentation| Offload {
            checksum: Some(CHECKSUM),
            segmentation: Some(work),
            hash: None,
        };
        assert!(can_be_cut(&frame, &Offload::NONE));
        assert!(can_be_cut(&frame, &with(SEGMENTATION)));
        let headers_too_long = Segmentation {
            header_length: 200,
            ..SEGMENTATION
        };
        assert!(!can_be_cut(&frame, &with(headers_too_long)));
        let segments_too_long = Segmentation {
            segment_size: u16::MAX - 60,
            ..SEGMENTATION
        };
        assert!(!can_be_cut(&frame, &with(segments_too_long)));
        let too_small = Segmentation {
            segment_size: 8,
            ..SEGMENTATION
        };
        assert!(!can_be_cut(&frame, &with(too_small)));
    }
}

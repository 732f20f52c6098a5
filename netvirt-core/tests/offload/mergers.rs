//! A receiver that merges: what it delivers for the frames that come.

use netvirt_core::offload::*;

use crate::super_frames::cut;

/// A delivered frame: its bytes, what is to be done to it, how many received frames it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    pub frame: Vec<u8>,
    pub offload: Offload,
    pub segments: u32,
}

impl Delivered {
    /// The frames that it is made of.
    pub fn cut_again(&self) -> Vec<Vec<u8>> {
        match self.offload.segmentation {
            Some(_) => cut(&self.frame, &self.offload).unwrap(),
            None => vec![self.frame.clone()],
        }
    }
}

pub struct Receiver {
    pub merger: Merger<'static>,
    payloads: Vec<Vec<u8>>,
    pub delivered: Vec<Delivered>,
}

/// A frame as it comes, in one piece.
pub fn whole(bytes: &[u8]) -> MergeFrame<'_> {
    MergeFrame {
        front: bytes,
        rest: &[],
        offload: Offload::NONE,
        lane: 0,
        is_valid: false,
        merges_udp: true,
    }
}

impl Receiver {
    pub fn new(slots: usize) -> Self {
        Self::within(slots, MergeLimits::DEFAULT)
    }

    pub fn within(slots: usize, limits: MergeLimits) -> Self {
        Self {
            merger: Merger::new(vec![MergeSlot::EMPTY; slots].into(), limits),
            payloads: vec![vec![]; slots],
            delivered: vec![],
        }
    }

    pub fn take(&mut self, frame: &MergeFrame<'_>) {
        let bytes = [frame.front, frame.rest].concat();
        for _ in 0..=self.payloads.len() {
            match self.merger.offer(frame) {
                Offer::Alone => self.delivered.push(Delivered {
                    frame: bytes.clone(),
                    offload: frame.offload,
                    segments: 1,
                }),
                Offer::Started { slot, payload } => self.payloads[slot] = bytes[payload].to_vec(),
                Offer::Joined { slot, payload } => self.payloads[slot].extend(&bytes[payload]),
                Offer::Flush { slot } => {
                    self.flush(slot);
                    continue;
                }
            }
            return;
        }
        panic!("offered more often than there are slots");
    }

    pub fn flush(&mut self, slot: usize) {
        let mut header = [0xee; MERGED_ROOM];
        let merged = self.merger.take(slot, &mut header).unwrap();
        let mut frame = header[..merged.header_length].to_vec();
        frame.append(&mut self.payloads[slot]);
        self.delivered.push(Delivered {
            frame,
            offload: merged.offload,
            segments: merged.segments,
        });
    }

    pub fn finish(mut self) -> Vec<Delivered> {
        while let Some(slot) = self.merger.oldest() {
            self.flush(slot);
        }
        self.delivered
    }
}

/// What is delivered for these frames.
pub fn merged<F: AsRef<[u8]>>(frames: &[F]) -> Vec<Delivered> {
    let mut receiver = Receiver::new(4);
    for frame in frames {
        receiver.take(&whole(frame.as_ref()));
    }
    receiver.finish()
}

/// Frames that are delivered as they came.
pub fn as_they_are<F: AsRef<[u8]>>(frames: &[F]) -> Vec<Delivered> {
    let single = |frame: &F| Delivered {
        frame: frame.as_ref().to_vec(),
        offload: Offload::NONE,
        segments: 1,
    };
    frames.iter().map(single).collect()
}

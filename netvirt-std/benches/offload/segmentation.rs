//! A super-frame of 64 KiB in NVGRE, cut into segments of 1400 bytes.

use std::hint::black_box;

use netvirt_core::offload::{LONGEST_HEADERS, PartialChecksum, SegmentLimits, SuperFrame};
use netvirt_std::cpu::HostCpu;

use crate::cache::evict;
use crate::frames::{Carrier, PAYLOAD, SEGMENT, SEGMENTS, check, payload};
use crate::pages::{Pages, allocate_on, huge_bytes};
use crate::sampler::{Sampler, time};

/// What is made of a segment. In all but the first, its checksum is completed.
pub const WORK: [&str; 4] = [
    "header, checksum by the device",
    "header, payload summed",
    "payload summed while copied",
    "payload copied, then summed",
];
/// What no work on the payload can be faster than: nothing is made but this, in one piece.
pub const ROOFS: [&str; 2] = ["payload read", "payload copied"];
/// Where source and destination are, and on which pages.
pub const PLACES: [(Pages, bool); 4] = [
    (Pages::Huge, true),
    (Pages::Huge, false),
    (Pages::Small, true),
    (Pages::Small, false),
];

/// An odd number of cache lines from one segment to the next.
const STRIDE: usize = 25 * 64;
const _: () = assert!(Carrier::Nvgre.length() + crate::frames::HEADERS + SEGMENT <= STRIDE);
/// Super-frames that take turns, so that hot ones stay in the second cache and cold ones have pages of their own.
const FRAMES: usize = 4;

/// The name of a place.
pub fn row((pages, is_hot): (Pages, bool)) -> String {
    let heat = if is_hot { "hot" } else { "cold" };
    format!("segmentation, NVGRE, {heat}, {pages} pages")
}

struct Buffers {
    front: Vec<u8>,
    payloads: Vec<Vec<u8>>,
    out: Vec<Vec<u8>>,
}

impl Buffers {
    fn new(pages: Pages) -> Self {
        allocate_on(pages);
        // Larger than they need be, so that they get pages of their own.
        let large = |mut bytes: Vec<u8>| {
            let mut room = vec![0; 4 << 20];
            room[..bytes.len()].copy_from_slice(&bytes);
            bytes.clear();
            room
        };
        Self {
            front: Carrier::Nvgre.front(1234),
            payloads: (0..FRAMES).map(|_| large(payload())).collect(),
            out: (0..FRAMES).map(|_| large(vec![])).collect(),
        }
    }

    fn super_frame(&self) -> SuperFrame<'_> {
        let length = self.front.len() + PAYLOAD;
        let offload = Carrier::Nvgre.offload();
        SuperFrame::new(&self.front, length, &offload, SegmentLimits::DEFAULT)
            .expect("a super-frame")
    }

    /// Whose turn is next. Cold is what another device or CPU wrote: in no cache, but its page is known.
    fn next(&self, turn: usize, (_, is_hot): (Pages, bool)) -> usize {
        let next = (turn + 1) % FRAMES;
        if !is_hot {
            evict(&self.payloads[next][..PAYLOAD]);
            evict(&self.out[next][..SEGMENTS * STRIDE]);
        }
        next
    }
}

/// Measures all work in all places.
pub fn run(sampler: &mut Sampler) {
    for place in PLACES {
        let name = row(place);
        if !sampler.wants(&name) {
            continue;
        }
        let mut buffers = Buffers::new(place.0);
        println!("{name}: {} MiB on huge pages", huge_bytes() >> 20);
        let mut group = sampler.group(&name, SEGMENTS);
        for (number, work) in WORK.into_iter().enumerate() {
            cut(number, &mut buffers, 0);
            verify(number, &buffers);
            let mut turn = 0;
            group.measure(work, || {
                turn = buffers.next(turn, place);
                time(|| cut(number, &mut buffers, turn))
            });
        }
        for (number, roof) in ROOFS.into_iter().enumerate() {
            let mut turn = 0;
            group.measure(roof, || {
                turn = buffers.next(turn, place);
                time(|| touch(number, &mut buffers, turn))
            });
        }
    }
}

fn cut(work: usize, buffers: &mut Buffers, turn: usize) {
    let mut out = std::mem::take(&mut buffers.out[turn]);
    let super_frame = black_box(buffers.super_frame());
    let payload = &buffers.payloads[turn][..PAYLOAD];
    let header_length = super_frame.header_length();
    for (segment, place) in super_frame.segments().zip(out.chunks_exact_mut(STRIDE)) {
        let done = match work {
            0 => segment.emit_header(&mut place[..LONGEST_HEADERS]),
            1 => segment.emit_finished_header::<HostCpu>(payload, &mut place[..LONGEST_HEADERS]),
            2 => segment.emit::<HostCpu>(payload, place),
            _ => segment.emit_header(place).inspect(|_| {
                let part = &payload[segment.payload()];
                let whole = &mut place[..header_length + part.len()];
                whole[header_length..].copy_from_slice(part);
                if let Some(partial) = segment.offload().checksum {
                    partial.complete(whole, &[]).expect("in the header");
                }
            }),
        };
        black_box(done).expect("room");
    }
    buffers.out[turn] = out;
}

fn touch(roof: usize, buffers: &mut Buffers, turn: usize) {
    let payload = black_box(&buffers.payloads[turn][..PAYLOAD]);
    match roof {
        0 => {
            let (words, _) = payload.as_chunks();
            let words = words.iter().map(|word| u64::from_ne_bytes(*word));
            black_box(words.fold(0, u64::wrapping_add));
        }
        _ => buffers.out[turn][..PAYLOAD].copy_from_slice(payload),
    }
}

/// Checks every segment of the first super-frame, put together as a device would.
fn verify(work: usize, buffers: &Buffers) {
    let super_frame = buffers.super_frame();
    let payload = &buffers.payloads[0][..PAYLOAD];
    let segments = super_frame.segments().zip(buffers.out[0].chunks(STRIDE));
    for (number, (segment, place)) in segments.enumerate() {
        let mut whole = place[..segment.length()].to_vec();
        if work < 2 {
            whole[super_frame.header_length()..].copy_from_slice(&payload[segment.payload()]);
        }
        if work == 0 {
            let partial: PartialChecksum = segment.offload().checksum.expect("partial");
            partial.complete(&mut whole, &[]).expect("in the header");
        }
        check(&whole, number, Carrier::Nvgre, payload);
    }
}

//! Cutting super-frames into segments, as a NIC with large send offload would (LSO, USO).

use core::fmt;
use core::iter::FusedIterator;
use core::ops::Range;

use super::headers::{Headers, Place};
use super::{Offload, PartialChecksum};
use crate::checksum::{copy_and_sum, sum_and_fetch};
use crate::table::Cpu;
use crate::wire::Malformed;

/// Bytes of the longest headers that are cut: up to the last byte of the inner TCP or UDP header, as NDIS suggests.
pub const LONGEST_HEADERS: usize = 256;

/// How many bytes ahead of its sum the payload is fetched: a page, at whose end the prefetchers of CPUs stop.
const FETCHED_AHEAD: usize = 4096;

/// What a super-frame may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentLimits {
    /// Payload bytes of a segment, at least. Tiny segments multiply the work of a frame.
    pub smallest_segment: u16,
    /// Segments of a super-frame, at most.
    pub most_segments: u32,
}

impl SegmentLimits {
    /// 48 bytes, and as many segments of that size as the largest IP packet has room for.
    pub const DEFAULT: Self = Self {
        smallest_segment: 48,
        most_segments: 65_535 / 48 + 1,
    };
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a frame is not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidSuperFrame {
    /// Its offload asks for no segmentation.
    NoSegmentation,
    /// The size of a segment is below the limit, or 0.
    SegmentSize,
    /// It would become more segments than the limit allows.
    TooManySegments,
    /// The stated length of the headers is above 256 bytes, beyond the bytes that were given in one piece, or not
    /// where the TCP or UDP header ends.
    HeaderLength,
    /// The headers do not make sense.
    Malformed(Malformed),
    /// The headers are not those of the stated kind, or in a tunnel that is not NVGRE.
    Kind,
    /// A length that IP or UDP states is not that of the frame.
    Length,
    /// A segment would be too long for its IP header to state.
    SegmentTooLong,
    /// It is a fragment of an IP packet.
    Fragment,
    /// SYN, RST or URG is set, or there is an urgent pointer.
    Flags,
    /// The checksum is not the partial one of the TCP or UDP header, which segments need.
    Checksum,
}

impl fmt::Display for InvalidSuperFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSegmentation => f.write_str("the frame asks for no segmentation"),
            Self::SegmentSize => f.write_str("the segment size is below the limit"),
            Self::TooManySegments => f.write_str("the frame has more segments than the limit"),
            Self::HeaderLength => write!(
                f,
                "the stated header length is not that of the headers, above {LONGEST_HEADERS} bytes, or beyond the \
                 front of the frame: give all headers in one piece"
            ),
            Self::Malformed(malformed) => write!(f, "the headers are malformed: {malformed}"),
            Self::Kind => f.write_str("the headers are not those of the stated kind of segments"),
            Self::Length => f.write_str("a length in the headers is not that of the frame"),
            Self::SegmentTooLong => f.write_str("a segment would exceed the longest IP packet"),
            Self::Fragment => f.write_str("a fragment cannot be segmented"),
            Self::Flags => f.write_str("a segment of TCP with SYN, RST or URG cannot be cut"),
            Self::Checksum => f.write_str(
                "the checksum is complete, or not that of the transport header: leave it partial, so that each \
                 segment gets its own",
            ),
        }
    }
}

impl core::error::Error for InvalidSuperFrame {}

/// A segment could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentError {
    /// The buffer is shorter than what is to be written; nothing was.
    NoRoom,
    /// The payload that was given is not as long as that of the super-frame; nothing was written.
    Payload,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoom => "the buffer has no room for the segment",
            Self::Payload => {
                "the payload is not as long as that of the super-frame: give all that follows its headers"
            }
        })
    }
}

impl core::error::Error for SegmentError {}

/// A frame that is to be cut, plain or inside NVGRE, whose headers were found to allow it.
///
/// Each segment has the headers of the super-frame but for: lengths, the identifications of
/// IPv4 (one more for each segment, in both headers), checksums, the sequence number of TCP, FIN and PSH (on the last
/// segment only) and CWR (on the first only). The payload is neither read nor copied, unless a checksum over it is wanted.
///
/// ```
/// use netvirt_core::offload::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut frame = Vec::from(*b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x08\0");
/// # frame.extend([0x45, 0, 0, 128, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 5, 10, 0, 0, 7]);
/// # frame.extend([4, 87, 8, 174, 0, 108, 0, 0]);
/// # frame.extend([7; 100]);
/// # let offload = Offload {
/// #     segmentation: Some(Segmentation { kind: SegmentKind::Udp, segment_size: 64, header_length: 42 }),
/// #     ..Offload::NONE
/// # };
/// // All headers must lie in one piece; the payload behind them may lie elsewhere.
/// let (front, payload) = frame.split_at(42);
/// let super_frame = SuperFrame::new(front, frame.len(), &offload, SegmentLimits::DEFAULT)?;
/// for segment in super_frame.segments() {
///     let mut header = [0; LONGEST_HEADERS];
///     let length = segment.emit_header(&mut header)?;
///     // One gathering write of these two pieces, with segment.offload() beside them.
///     let pieces = [&header[..length], &payload[segment.payload()]];
///     # assert_eq!(pieces[1].len(), if segment.number() == 0 { 64 } else { 36 });
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SuperFrame<'f> {
    front: &'f [u8],
    headers: Headers,
    payload_length: u32,
    segment_size: u32,
    segments: u32,
    hash: Option<u32>,
}

impl<'f> SuperFrame<'f> {
    /// Takes a frame of `length` bytes, which end where its packet ends. `front` are its first bytes, at least all
    /// headers; `offload` is what is to be done to it.
    ///
    /// # Errors
    /// [`InvalidSuperFrame`] if its headers do not allow to cut it as its offload says, or a limit is exceeded.
    pub fn new(
        front: &'f [u8],
        length: usize,
        offload: &Offload,
        limits: SegmentLimits,
    ) -> Result<Self, InvalidSuperFrame> {
        let work = offload
            .segmentation
            .ok_or(InvalidSuperFrame::NoSegmentation)?;
        if work.segment_size < limits.smallest_segment {
            return Err(InvalidSuperFrame::SegmentSize);
        }
        let header_length = usize::from(work.header_length);
        if header_length > LONGEST_HEADERS {
            return Err(InvalidSuperFrame::HeaderLength);
        }
        let headers = Headers::read(front, length, offload, &work)?;
        let payload_length = length.saturating_sub(header_length) as u32;
        let segment_size = u32::from(work.segment_size);
        // A frame without payload is one segment, too.
        let further = payload_length
            .saturating_sub(1)
            .checked_div(segment_size)
            .ok_or(InvalidSuperFrame::SegmentSize)?;
        if further >= limits.most_segments {
            return Err(InvalidSuperFrame::TooManySegments);
        }
        let longest = u32::from(work.header_length) + payload_length.min(segment_size);
        if !headers.can_state(longest) {
            return Err(InvalidSuperFrame::SegmentTooLong);
        }
        Ok(Self {
            front: front
                .get(..header_length)
                .ok_or(InvalidSuperFrame::HeaderLength)?,
            headers,
            payload_length,
            segment_size,
            segments: further + 1,
            hash: offload.hash,
        })
    }

    /// Bytes of the headers of each segment, and of the super-frame in front of its payload.
    pub const fn header_length(&self) -> usize {
        self.front.len()
    }

    /// The segments in their order.
    pub const fn segments(&self) -> Segments<'_> {
        Segments {
            super_frame: self,
            next: 0,
        }
    }

    /// The segment of a number below [`segments`](Self::segments)`().len()`.
    const fn segment(&self, number: u32) -> Segment<'_> {
        Segment {
            super_frame: self,
            number,
        }
    }
}

/// The segments of a super-frame.
#[derive(Debug, Clone)]
pub struct Segments<'s> {
    super_frame: &'s SuperFrame<'s>,
    next: u32,
}

impl<'s> Iterator for Segments<'s> {
    type Item = Segment<'s>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'s>> {
        let number = self.next;
        if number >= self.super_frame.segments {
            return None;
        }
        self.next = number.wrapping_add(1);
        Some(self.super_frame.segment(number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.super_frame.segments.saturating_sub(self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Segments<'_> {}
impl FusedIterator for Segments<'_> {}

/// One segment of a super-frame, not yet written.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'s> {
    super_frame: &'s SuperFrame<'s>,
    number: u32,
}

impl Segment<'_> {
    /// Its place among the segments, from 0.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Which bytes of the super-frame's payload are its own, counted from the end of the headers.
    #[inline]
    pub fn payload(&self) -> Range<usize> {
        let start = self.number.wrapping_mul(self.super_frame.segment_size);
        let end = start.wrapping_add(self.super_frame.segment_size);
        start as usize..end.min(self.super_frame.payload_length) as usize
    }

    /// Bytes of the whole segment.
    #[inline]
    pub fn length(&self) -> usize {
        self.super_frame
            .front
            .len()
            .wrapping_add(self.payload().len())
    }

    /// What is left to be done if the checksum stays partial.
    pub fn offload(&self) -> Offload {
        Offload {
            checksum: self.partial_checksum(),
            segmentation: None,
            hash: self.super_frame.hash,
        }
    }

    fn partial_checksum(&self) -> Option<PartialChecksum> {
        let headers = &self.super_frame.headers;
        Some(PartialChecksum {
            start: headers.transport_offset,
            offset: headers.checksum_offset()?,
        })
    }

    /// Writes the headers to the start of `out`, with a partial checksum for the device to complete: see
    /// [`offload`](Self::offload). Yields their length.
    ///
    /// # Errors
    /// [`SegmentError::NoRoom`].
    #[inline]
    pub fn emit_header(&self, out: &mut [u8]) -> Result<usize, SegmentError> {
        self.emit_header_with(None, out)
    }

    /// The same, with the checksum completed if the sum of the payload is given.
    #[inline]
    fn emit_header_with(
        &self,
        payload_sum: Option<u16>,
        out: &mut [u8],
    ) -> Result<usize, SegmentError> {
        let super_frame = self.super_frame;
        let length = super_frame.front.len();
        let header = out.get_mut(..length).ok_or(SegmentError::NoRoom)?;
        header.copy_from_slice(super_frame.front);
        let payload = self.payload();
        let place = Place {
            number: self.number,
            is_last: self.number.wrapping_add(1) == super_frame.segments,
            sent: payload.start as u32,
            length: (length as u32).wrapping_add(payload.len() as u32),
            payload_sum,
        };
        super_frame.headers.patch(header, &place);
        Ok(length)
    }

    /// Writes the headers to the start of `out`, with the checksum over the payload completed; nothing is left to be
    /// done. `payload` is that of the whole super-frame, not copied: the CPU fetches what the next segments need of it.
    /// Yields the length of the headers.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn emit_finished_header<C: Cpu>(
        &self,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SegmentError> {
        let (own, next) = self.parts(payload)?;
        let header = out
            .get_mut(..self.super_frame.header_length())
            .ok_or(SegmentError::NoRoom)?;
        C::prefetch_all(header);
        self.emit_header_with(Some(sum_and_fetch::<C>(own, next)), header)
    }

    /// Writes the whole segment to the start of `out`, with its checksum completed while its payload is copied.
    /// `payload` is that of the whole super-frame: the CPU fetches what the next segments need of it. Yields the length
    /// of the segment.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn emit<C: Cpu>(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, SegmentError> {
        let (own, next) = self.parts(payload)?;
        let length = self.length();
        let (header, place) = out
            .get_mut(..length)
            .and_then(|out| out.split_at_mut_checked(self.super_frame.header_length()))
            .ok_or(SegmentError::NoRoom)?;
        C::prefetch_all(header);
        let sum = copy_and_sum::<C>(own, place, next);
        self.emit_header_with(Some(sum), header)?;
        Ok(length)
    }

    /// The payload of this segment, and the bytes to be fetched while it is read.
    fn parts<'p>(&self, payload: &'p [u8]) -> Result<(&'p [u8], &'p [u8]), SegmentError> {
        if payload.len() != self.super_frame.payload_length as usize {
            return Err(SegmentError::Payload);
        }
        let range = self.payload();
        let next = range.start.wrapping_add(FETCHED_AHEAD);
        let own = payload.get(range).ok_or(SegmentError::Payload)?;
        Ok((own, payload.get(next..).unwrap_or_default()))
    }
}

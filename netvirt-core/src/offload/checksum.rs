//! Finishing a checksum that the sender left to its device.

use core::fmt;

use super::PartialChecksum;
use crate::checksum::{add, pseudo_header, sum};
use crate::wire::{self, Facts, Fragment, Notes, protocol};

/// Where UDP has its checksum, in which 0 says that there is none (RFC 768).
pub(super) const OFFSET_IN_UDP: u16 = 6;

/// A partial checksum that begins or is stored outside the front of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChecksumOutOfBounds;

impl fmt::Display for ChecksumOutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the checksum to be completed lies outside the front of the frame: \
             give more of the frame in one piece, or drop it",
        )
    }
}

impl core::error::Error for ChecksumOutOfBounds {}

impl PartialChecksum {
    /// Completes the checksum of a frame that lies in two pieces: `front`, which holds the field, and `rest`,
    /// empty if there is but one. The last of them ends where the packet ends: padding would be summed too.
    ///
    /// A finished checksum of 0 is stored as 0xFFFF if the field lies where UDP has it, 6 bytes behind the start.
    /// UDP-Lite has it there too and forbids 0 as well (RFC 3828 §3.1); to DCCP both zeros are the same number.
    ///
    /// # Errors
    /// [`ChecksumOutOfBounds`] if the field does not lie in `front`; nothing is written then.
    pub fn complete(&self, front: &mut [u8], rest: &[u8]) -> Result<(), ChecksumOutOfBounds> {
        let covered = front
            .get_mut(usize::from(self.start)..)
            .ok_or(ChecksumOutOfBounds)?;
        let rest = match covered.len() % 2 {
            0 => sum(rest),
            // Its bytes are the other halves of their words (RFC 1071 §2 (B)).
            _ => sum(rest).swap_bytes(),
        };
        // The field holds the sum of the pseudo header, so that is summed too.
        let finished = match !add(sum(covered), rest) {
            0 if self.offset == OFFSET_IN_UDP => 0xffff,
            finished => finished,
        };
        let field = covered
            .get_mut(usize::from(self.offset)..)
            .and_then(|behind| behind.first_chunk_mut())
            .ok_or(ChecksumOutOfBounds)?;
        *field = finished.to_be_bytes();
        Ok(())
    }
}

/// Whether a complete frame carries TCP or UDP whose checksum is right, as a NIC says it of what it received. Of fragments, of
/// UDP without a checksum and of anything else it cannot be said.
///
/// ```
/// use netvirt_core::offload::has_right_checksum;
/// let frame = b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x08\0\
///     \x45\0\0\x1c\0\0\x40\0\x40\x11\x26\xc6\x0a\0\0\x05\x0a\0\0\x07\
///     \x04\x57\x08\xae\0\x08\xde\xcd";
/// assert!(has_right_checksum(frame));
/// ```
pub fn has_right_checksum(frame: &[u8]) -> bool {
    wire::parse(frame, frame.len(), 0).is_ok_and(|facts| {
        let is_whole = facts.fragment == Fragment::Whole
            && facts.has_transport()
            && !facts.notes.contains(Notes::TRANSPORT_TRUNCATED);
        let transport = facts.transport(frame);
        let is_summed = match facts.protocol {
            protocol::TCP => true,
            protocol::UDP => transport.get(6..8).is_some_and(|field| field != [0, 0]),
            _ => false,
        };
        is_whole && is_summed && is_right(&facts, frame, &[])
    })
}

/// Whether the transport checksum over both pieces of a frame is right.
pub(super) fn is_right(facts: &Facts, front: &[u8], rest: &[u8]) -> bool {
    let front = facts.transport(front);
    let length = facts.transport_length();
    let rest = rest
        .get(..(length as usize).saturating_sub(front.len()))
        .unwrap_or_default();
    let rest = match front.len() % 2 {
        0 => sum(rest),
        // Its bytes are the other halves of their words (RFC 1071 §2 (B)).
        _ => sum(rest).swap_bytes(),
    };
    let pseudo = pseudo_header(
        facts.source_address,
        facts.destination_address,
        facts.protocol,
        length,
    );
    add(pseudo, add(sum(front), rest)) == 0xffff
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The UDP datagram of the reference vector, 10.0.0.5:1111 to 10.0.0.7:2222, whose checksum is 0x0BDD, with
    /// the sum of its pseudo header in its place.
    const DATAGRAM: [u8; 18] = [
        0x04, 0x57, 0x08, 0xae, 0x00, 0x12, 0x14, 0x2f, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x2c, 0x20,
        0x68, 0x6e, 0x76,
    ];

    /// Completes the datagram behind `start` bytes of headers, cut in two behind the first `cut` bytes.
    fn completed(
        datagram: &[u8],
        start: u16,
        cut: usize,
        offset: u16,
    ) -> Result<Vec<u8>, ChecksumOutOfBounds> {
        let mut frame = std::vec![0xee; usize::from(start)];
        frame.extend(datagram);
        let before = frame.clone();
        let (front, rest) = frame.split_at_mut(cut);
        let done = PartialChecksum { start, offset }.complete(front, rest);
        assert!(done.is_ok() || frame == before, "nothing is written");
        done.map(|()| frame)
    }

    #[test]
    fn the_checksum_of_the_reference_vector_comes_out_wherever_the_frame_is_cut() {
        let mut expected = DATAGRAM;
        expected[6..8].copy_from_slice(&[0x0b, 0xdd]);
        for start in [0, 13, 14, 34, 54] {
            let field_end = usize::from(start) + 8;
            let end = usize::from(start) + DATAGRAM.len();
            for cut in 0..=end {
                match completed(&DATAGRAM, start, cut, 6) {
                    Ok(frame) => {
                        assert!(cut >= field_end);
                        assert!(frame[..usize::from(start)].iter().all(|byte| *byte == 0xee));
                        assert_eq!(frame[usize::from(start)..], expected, "{start} {cut}");
                    }
                    Err(ChecksumOutOfBounds) => assert!(cut < field_end, "{start} {cut}"),
                }
            }
        }
    }

    #[test]
    fn a_last_odd_byte_is_the_high_half_of_its_word() {
        let odd = &DATAGRAM[..17];
        for cut in 8..=17 {
            let frame = completed(odd, 0, cut, 6).unwrap();
            // The byte that is missing was the low half of its word.
            assert_eq!(frame[6..8], u16::to_be_bytes(0x0bdd + 0x76), "{cut}");
        }
    }

    #[test]
    fn a_finished_zero_is_stored_as_the_other_zero_in_udp_alone() {
        let nothing = [0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
        for (offset, expected) in [(2, 0), (4, 0), (6, 0xffff), (8, 0)] {
            let frame = completed(&nothing, 0, 10, offset).unwrap();
            let field = usize::from(offset)..usize::from(offset) + 2;
            assert_eq!(frame[field], u16::to_be_bytes(expected), "offset {offset}");
        }
    }

    #[test]
    fn what_lies_outside_the_front_is_refused() {
        let length = DATAGRAM.len() as u16;
        let outside = [
            (length, 0),
            (length - 1, 0),
            (0, length - 1),
            (length - 2, 1),
            (length + 1, 0),
            (0, u16::MAX),
            (u16::MAX, u16::MAX),
        ];
        for (start, offset) in outside {
            let mut front = DATAGRAM;
            let partial = PartialChecksum { start, offset };
            let done = partial.complete(&mut front, &DATAGRAM);
            assert_eq!(done, Err(ChecksumOutOfBounds), "{start} {offset}");
            assert_eq!(front, DATAGRAM);
        }
        let last = PartialChecksum {
            start: length - 2,
            offset: 0,
        };
        assert_eq!(last.complete(&mut DATAGRAM.clone(), &[]), Ok(()));
        assert_eq!(last.complete(&mut [], &DATAGRAM), Err(ChecksumOutOfBounds));
    }
}

//! Cutting an edited IPv4 packet into fragments that its path carries (RFC 791 §3.2).

use core::ops::Range;

use super::Edit;
use super::apply::{DETACHED_ROOM, Detached, copy};
use crate::checksum::{Delta, sum};

/// How a packet is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragmentation {
    /// Bytes of the longest fragment, IP header included.
    pub mtu: u16,
    /// Bytes of the packet's IP header.
    pub(crate) header_length: u8,
}

impl Fragmentation {
    /// Into fragments of `mtu` bytes at most; none if these would have no room for payload.
    pub(crate) fn of(header_length: u8, mtu: u16) -> Option<Self> {
        (mtu >= u16::from(header_length).saturating_add(8)).then_some(Self { mtu, header_length })
    }
}

/// The fragments of one packet. Each is a new front, and the bytes of the received frame that follow it.
#[derive(Debug, Clone)]
pub struct Fragments<'a, 'p> {
    edit: &'a Edit<'p>,
    /// The packet's IP header, edited.
    header: &'a [u8],
    /// The first bytes of its payload, if the edit changed them.
    changed: &'a [u8],
    /// The rest of its payload, in the frame as it was received.
    payload: Range<usize>,
    /// Payload bytes of every fragment but the last: a multiple of 8.
    step: usize,
    /// Payload bytes that were given out.
    done: usize,
}

const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

impl<'p> Edit<'p> {
    /// The fragments of a frame that was [detached](Edit::detach) into `front`, which has to be done first. A checksum that
    /// is left to be completed must be complete by then, as must the bytes of it that lie in `front`.
    ///
    /// None if the packet is to stay in one piece.
    pub fn fragments<'a>(
        &'a self,
        front: &'a [u8; DETACHED_ROOM],
        detached: &Detached,
    ) -> Option<Fragments<'a, 'p>> {
        let Fragmentation { mtu, header_length } = self.fragmentation?;
        let (header, changed) = front
            .get(detached.header.clone())?
            .get(self.pushed()..)?
            .split_at_checked(usize::from(header_length))?;
        let step = usize::from(mtu.saturating_sub(u16::from(header_length)) & !7);
        (step > 0).then_some(Fragments {
            edit: self,
            header,
            changed,
            payload: detached.payload.clone(),
            step,
            done: 0,
        })
    }
}

impl Fragments<'_, '_> {
    /// Writes the front of the next fragment into `room` and says which bytes of the received frame follow it.
    pub fn next_into(&mut self, room: &mut [u8; DETACHED_ROOM]) -> Option<Detached> {
        let total = self.changed.len().wrapping_add(self.payload.len());
        let rest = total.checked_sub(self.done).filter(|rest| *rest > 0)?;
        let part = self.done..self.done.wrapping_add(rest.min(self.step));
        self.done = part.end;

        let pushed = self.edit.pushed();
        let (link, behind) = room.split_at_mut_checked(pushed)?;
        let packet_length = self.header.len().wrapping_add(part.len());
        self.edit.emit_header(link, packet_length as u32);
        let (header, behind) = behind.split_at_mut_checked(self.header.len())?;
        copy(self.header, header);
        self.fill_in(header, &part, part.end == total);
        let changed = self
            .changed
            .get(part.start..part.end.min(self.changed.len()))
            .unwrap_or_default();
        copy(changed, behind.get_mut(..changed.len())?);

        let in_payload = |at: usize| {
            self.payload
                .start
                .wrapping_add(at.saturating_sub(self.changed.len()))
        };
        Some(Detached {
            header: 0..pushed
                .wrapping_add(header.len())
                .wrapping_add(changed.len()),
            payload: in_payload(part.start)..in_payload(part.end),
        })
    }

    /// Makes the packet's header that of the fragment with this part of its payload. A checksum that was wrong stays so.
    fn fill_in(&self, header: &mut [u8], part: &Range<usize>, is_last: bool) {
        let before = sum(header);
        if part.start > 0 {
            blank_uncopied_options(header.get_mut(20..).unwrap_or_default());
        }
        let length = header.len().wrapping_add(part.len()) as u16;
        let Some(fixed) = header.first_chunk_mut::<20>() else {
            return;
        };
        [fixed[2], fixed[3]] = length.to_be_bytes();
        let word = u16::from_be_bytes([fixed[6], fixed[7]]);
        let offset = (word & OFFSET).wrapping_add((part.start / 8) as u16);
        let more = if is_last { 0 } else { MORE_FRAGMENTS };
        [fixed[6], fixed[7]] = (word & !OFFSET | more | offset & OFFSET).to_be_bytes();
        let stored = u16::from_be_bytes([fixed[10], fixed[11]]);
        let delta = Delta::of_words(before, sum(header));
        if let Some(fixed) = header.first_chunk_mut::<20>() {
            [fixed[10], fixed[11]] = delta.apply(stored).to_be_bytes();
        }
    }
}

/// Options without the copied flag are in the first fragment only; elsewhere they become no-operations.
fn blank_uncopied_options(mut options: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    while let Some(&kind) = options.first() {
        let length = match kind {
            END => return,
            NO_OPERATION => 1,
            _ => options.get(1).copied().map_or(1, usize::from).max(2),
        };
        let Some((option, behind)) = options.split_at_mut_checked(length) else {
            return;
        };
        if kind & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        options = behind;
    }
}

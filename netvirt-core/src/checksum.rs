//! The Internet checksum: sums (RFC 1071) and the differences that a change of addresses makes to them
//! (RFC 1624). All arithmetic is one's complement: a carry out of bit 15 comes back in at bit 0.

use core::cell::Cell;
use core::ops::{Add, Neg};

use smoltcp::wire::checksum;

use crate::address::AddressBits;
use crate::table::Cpu;

/// What a change of covered bytes adds to a checksum: the sum of `~m + m'` over the changed words
/// (RFC 1624 equation 3, `HC' = ~(~HC + ~m + m')`).
///
/// A change that sums to nothing is held as 0, never as 0xFFFF, so that applying it leaves every stored
/// checksum as it was. All-zero bytes are the delta of no change.
///
/// ```
/// use netvirt_core::checksum::Delta;
/// let delta = Delta::of_words(0x0a00, 0xc0a8);
/// assert_eq!((-delta).apply(delta.apply(0x1488)), 0x1488);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Delta(u16);

impl Delta {
    /// Nothing changes.
    pub const NONE: Self = Self(0);

    /// The delta of replacing the address `old` by `new`.
    #[inline]
    pub const fn between(old: AddressBits, new: AddressBits) -> Self {
        Self::of_sum(fold(
            halves(new.high) + halves(new.low) + halves(!old.high) + halves(!old.low),
        ))
    }

    /// The delta of replacing the 16-bit word `old` by `new`.
    #[inline]
    pub const fn of_words(old: u16, new: u16) -> Self {
        Self::of_sum(add(new, !old))
    }

    const fn of_sum(sum: u16) -> Self {
        match sum {
            0xffff => Self::NONE,
            sum => Self(sum),
        }
    }

    /// The number that stands for this delta, never 0xFFFF.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The stored checksum after the change. For TCP, DCCP, UDP-Lite, ICMP and the IPv4 header.
    ///
    /// A wrong checksum stays wrong by the same amount. There and back returns every checksum, but 0xFFFF
    /// may return as 0x0000, the other form of the same number.
    #[inline]
    pub const fn apply(self, checksum: u16) -> u16 {
        if self.0 == 0 {
            return checksum;
        }
        !add(!checksum, self.0)
    }

    /// The stored UDP checksum after the change: 0 says that there is none and stays, and a result of 0 is
    /// sent as 0xFFFF (RFC 768). There and back returns every checksum bit for bit.
    #[inline]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            checksum => checksum,
        }
    }
}

/// Both changes, in either order.
impl Add for Delta {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self::of_sum(add(self.0, other.0))
    }
}

/// The change that takes this one back.
impl Neg for Delta {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self::of_sum(!self.0)
    }
}

/// The two 32-bit halves of `word`, added; eight of these and more fit 64 bits.
const fn halves(word: u64) -> u64 {
    (word >> 32) + (word & 0xffff_ffff)
}

/// Brings carries back in until 16 bits are left. Zero only if `sum` is zero.
const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

/// Adds two sums.
#[inline]
pub const fn add(one: u16, other: u16) -> u16 {
    let (sum, carry) = one.overflowing_add(other);
    sum.wrapping_add(carry as u16)
}

/// The sum of `bytes` as 16-bit words in transmission order, an odd last byte padded with zero. Not yet
/// complemented: data that contains its own right checksum sums to 0xFFFF.
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    // smoltcp adds in 32 bits, which overflow behind 128 KiB.
    bytes
        .chunks(0x1_0000)
        .fold(0, |total, chunk| add(total, checksum::data(chunk)))
}

/// The [`sum`] of `bytes`, of which there are many. Meanwhile the CPU fetches as many bytes of `next`, which will be
/// read soon.
#[inline]
pub fn sum_and_fetch<C: Cpu>(bytes: &[u8], next: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks();
    let (next, _) = next.as_chunks();
    add(sum_blocks::<C>(blocks, next), sum(rest))
}

/// Copies `from` to the start of `to`, as many bytes as both have, and yields their [`sum`]: each byte is read once.
/// Meanwhile the CPU fetches as many bytes of `next`, which will be read soon.
///
/// ```
/// use netvirt_core::checksum::{copy_and_sum, sum};
/// use netvirt_core::table::Portable;
/// let mut copy = [0; 5];
/// assert_eq!(copy_and_sum::<Portable>(b"hello", &mut copy, &[]), sum(b"hello"));
/// assert_eq!(&copy, b"hello");
/// ```
#[inline]
pub fn copy_and_sum<C: Cpu>(from: &[u8], to: &mut [u8], next: &[u8]) -> u16 {
    let length = from.len().min(to.len());
    let (blocks, rest) = from.get(..length).unwrap_or_default().as_chunks();
    let (places, rest_place) = to.get_mut(..length).unwrap_or_default().as_chunks_mut();
    let (next, _) = next.as_chunks();
    rest_place.copy_from_slice(rest);
    add(copy_blocks::<C>(blocks, places, next), sum(rest))
}

/// The sum of all blocks. Not inlined: the compiler adds several words at once only where it sees nothing else.
#[inline(never)]
fn sum_blocks<C: Cpu>(blocks: &[Block], next: &[Block]) -> u16 {
    let mut lanes = Lanes::default();
    for (number, block) in blocks.iter().enumerate() {
        fetch::<C, _>(next, number);
        lanes.add(block);
    }
    lanes.sum()
}

/// The same, while each block is copied to its place.
#[inline(never)]
fn copy_blocks<C: Cpu>(blocks: &[Block], places: &mut [Block], next: &[Block]) -> u16 {
    let mut lanes = Lanes::default();
    let places = Cell::from_mut(places).as_slice_of_cells();
    for (number, (&block, place)) in blocks.iter().zip(places).enumerate() {
        fetch::<C, _>(next, number);
        fetch::<C, _>(places, number.wrapping_add(PLACES_AHEAD));
        place.set(block);
        lanes.add(&block);
    }
    lanes.sum()
}

/// A cache line of most CPUs. One is fetched for each that is summed: prefetches in a burst would wait for each other,
/// and the sum for them.
type Block = [u8; 64];

/// How many lines ahead of the copy its place is fetched. Stores wait for their line in a buffer, so a few suffice, and
/// more push out what is fetched to be read.
const PLACES_AHEAD: usize = 4;

#[inline(always)]
fn fetch<C: Cpu, T>(lines: &[T], number: usize) {
    if let Some(line) = lines.get(number) {
        C::prefetch(line);
    }
}

/// Sums of 64-bit words in lanes of their own, so that the compiler adds several at once. Totals overflow; the upper
/// halves alone do not, and tell by how much.
#[derive(Default)]
struct Lanes {
    totals: [u64; 8],
    uppers: [u64; 8],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, block: &Block) {
        let (words, _) = block.as_chunks();
        for ((total, upper), word) in self.totals.iter_mut().zip(&mut self.uppers).zip(words) {
            let word = u64::from_ne_bytes(*word);
            *total = total.wrapping_add(word);
            *upper = upper.wrapping_add(word >> 32);
        }
    }

    /// The sum of all blocks.
    #[inline(always)]
    fn sum(self) -> u16 {
        let total = self.totals.into_iter().fold(0, u64::wrapping_add);
        let upper = self.uppers.into_iter().fold(0, u64::wrapping_add);
        let lower = total.wrapping_sub(upper << 32);
        // A sum of swapped words is the swapped sum (RFC 1071 §2 (B)).
        u16::from_be(fold(lower.wrapping_add(upper)))
    }
}

/// The sum of an IPv4 header without options: 0xFFFF if its checksum is right.
#[inline]
pub fn ipv4_header_sum(header: &[u8; 20]) -> u16 {
    let (words, _) = header.as_chunks::<4>();
    let words = words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)));
    // A sum of swapped words is the swapped sum (RFC 1071 §2 (B)).
    u16::from_be(fold(words.sum()))
}

/// The sum of the pseudo header that TCP, UDP and ICMPv6 put before their `length` bytes. IPv4 (RFC 9293
/// §3.1) and IPv6 (RFC 8200 §8.1) differ in layout only, so one sum serves both.
#[inline]
pub const fn pseudo_header(
    source: AddressBits,
    destination: AddressBits,
    protocol: u8,
    length: u32,
) -> u16 {
    fold(
        halves(source.high)
            + halves(source.low)
            + halves(destination.high)
            + halves(destination.low)
            + protocol as u64
            + length as u64,
    )
}

/// The sum of a transport segment and its pseudo header: 0xFFFF if the checksum in it is right, and the
/// complement of the checksum to store if that field holds zero.
#[inline]
pub fn transport_sum(
    source: AddressBits,
    destination: AddressBits,
    protocol: u8,
    segment: &[u8],
) -> u16 {
    let length = segment.len() as u32;
    add(
        pseudo_header(source, destination, protocol, length),
        sum(segment),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deltas at the edges, a few ordinary ones, and those of the rewrite in the reference vector.
    fn deltas() -> [Delta; 12] {
        let ip = |octets| AddressBits::from_ipv4(octets);
        let ours = Delta::between(ip([10, 0, 0, 5]), ip([192, 168, 4, 105]));
        let theirs = Delta::between(ip([10, 0, 0, 7]), ip([192, 168, 4, 207]));
        [
            Delta::NONE,
            Delta::of_words(0, 1),
            Delta::of_words(1, 0),
            Delta::of_words(0, 0xfffe),
            Delta::of_words(0xfffe, 0),
            Delta::of_words(0x1234, 0xfedc),
            Delta::of_words(0, 0x8000),
            Delta::of_words(0, 0x7fff),
            ours,
            theirs,
            ours + theirs,
            -(ours + theirs),
        ]
    }

    #[test]
    fn udp_checksums_return_bit_for_bit_and_others_up_to_the_two_zeros() {
        for delta in deltas() {
            for checksum in 0..=u16::MAX {
                assert_eq!((-delta).apply_udp(delta.apply_udp(checksum)), checksum);
                let returned = (-delta).apply(delta.apply(checksum));
                let zero_turned = checksum == 0xffff && returned == 0 && delta != Delta::NONE;
                assert!(
                    returned == checksum || zero_turned,
                    "{delta:?} {checksum:#06x}"
                );
            }
        }
    }

    #[test]
    fn an_absent_udp_checksum_stays_absent_and_a_present_one_never_vanishes() {
        for delta in deltas() {
            for checksum in 0..=u16::MAX {
                assert_eq!(delta.apply_udp(checksum) == 0, checksum == 0);
            }
        }
    }

    #[test]
    fn an_error_in_a_checksum_is_carried_along() {
        for delta in deltas() {
            let right = delta.apply(0x1488);
            for error in 1..0xffff {
                let wrong = delta.apply(add(0x1488, error));
                assert_eq!(wrong % 0xffff, add(right, error) % 0xffff);
            }
        }
    }

    #[test]
    fn an_unchanged_address_changes_no_checksum() {
        let words = [0, 1, 0xffff, 0xffff_ffff, 0x1_0000, u64::MAX, 0x2001_0db8];
        for high in words {
            for low in words {
                let address = AddressBits { high, low };
                let delta = Delta::between(address, address);
                assert_eq!(delta, Delta::NONE);
                assert!((0..=u16::MAX).all(|checksum| delta.apply(checksum) == checksum));
            }
        }
    }

    #[test]
    fn no_delta_is_held_as_the_other_zero() {
        for old in 0..=u16::MAX {
            let delta = Delta::of_words(old, !old);
            assert_ne!(delta.get(), 0xffff);
            assert_ne!((-delta).get(), 0xffff);
            assert_eq!(delta + -delta, Delta::NONE);
        }
    }

    #[test]
    fn the_rewrite_of_the_reference_vector_gives_its_checksums() {
        let ip = |octets| AddressBits::from_ipv4(octets);
        let delta = Delta::between(ip([10, 0, 0, 5]), ip([192, 168, 4, 105]))
            + Delta::between(ip([10, 0, 0, 7]), ip([192, 168, 4, 207]));
        assert_eq!(delta.apply(0x1488), 0x9e0a);
        assert_eq!(delta.apply_udp(0x0bdd), 0x955f);
    }

    #[test]
    fn sums_agree_with_rfc_1071_at_every_small_length() {
        let bytes: [u8; 67] = core::array::from_fn(|index| (index * 151 + 7) as u8);
        for length in 0..=bytes.len() {
            let expected = bytes[..length].chunks(2).fold(0, |total, pair| {
                add(
                    total,
                    u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]),
                )
            });
            assert_eq!(sum(&bytes[..length]), expected, "{length} bytes");
        }
    }

    #[test]
    fn a_sum_beyond_128_kib_keeps_its_carries() {
        let ones = std::vec![0xffu8; 300_000];
        assert_eq!(sum(&ones), 0xffff);
    }

    #[test]
    fn an_ipv4_header_sums_as_any_bytes_do() {
        let header = [
            0x45, 0, 0, 0x26, 0x12, 0x34, 0x40, 0, 0x40, 0x11, 0x14, 0x88, 10, 0, 0, 5, 10, 0, 0, 7,
        ];
        assert_eq!(ipv4_header_sum(&header), 0xffff);
        for position in 0..20 {
            let mut damaged = header;
            damaged[position] ^= 0x40;
            assert_eq!(ipv4_header_sum(&damaged), sum(&damaged));
            assert_ne!(ipv4_header_sum(&damaged), 0xffff);
        }
    }
}

//! What this machine's CPU does faster than portable code.

use netvirt_core::table::Cpu;

/// The CPU that the program was built for: on x86-64 prefetch, and SSE2's comparison of eight tags at once;
/// elsewhere portable code.
#[derive(Debug, Clone, Copy)]
pub struct HostCpu;

#[cfg(target_arch = "x86_64")]
impl Cpu for HostCpu {
    #[inline(always)]
    fn prefetch<T>(line: &T) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch accesses no memory that the program could observe, and SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(line).cast()) }
    }

    #[inline(always)]
    fn match_tags(tags: &[u16; 8], tag: u16) -> u8 {
        use core::arch::x86_64::{
            _mm_cmpeq_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
            _mm_setzero_si128,
        };
        // SAFETY: the array is 16 readable bytes, the load needs no alignment, and SSE2 is part of x86-64.
        let tags = unsafe { _mm_loadu_si128(tags.as_ptr().cast()) };
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let equal = _mm_cmpeq_epi16(tags, _mm_set1_epi16(tag as i16));
            _mm_movemask_epi8(_mm_packs_epi16(equal, _mm_setzero_si128())) as u8
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Cpu for HostCpu {}

#[cfg(test)]
mod tests {
    use netvirt_core::table::Portable;

    use super::*;

    #[track_caller]
    fn assert_equal(tags: [u16; 8], tag: u16) {
        let expected = Portable::match_tags(&tags, tag);
        assert_eq!(
            HostCpu::match_tags(&tags, tag),
            expected,
            "{tags:x?} {tag:x}"
        );
    }

    #[test]
    fn every_tag_in_every_set_of_lanes_matches_as_portable_code_does() {
        for tag in 0..=u16::MAX {
            for mask in [0u8, 0x01, 0x80, 0x55, 0xaa, 0xff, tag as u8] {
                let tags = core::array::from_fn(|lane| match mask >> lane & 1 {
                    1 => tag,
                    // What saturation to bytes or a carry could confuse with it.
                    _ => [tag ^ 1, tag ^ 0x8000, tag.swap_bytes() ^ 0x0100, !tag][lane % 4],
                });
                assert_equal(tags, tag);
            }
        }
    }

    #[test]
    fn tags_of_few_values_match_as_portable_code_does() {
        const VALUES: [u16; 6] = [0, 1, 0x00ff, 0x7fff, 0x8000, 0xffff];
        for arrangement in 0..VALUES.len().pow(8) {
            let tags = core::array::from_fn(|lane| {
                VALUES[arrangement / VALUES.len().pow(lane as u32) % VALUES.len()]
            });
            assert_equal(tags, VALUES[arrangement % VALUES.len()]);
        }
    }

    #[test]
    fn tags_are_read_from_where_they_are() {
        #[repr(C)]
        struct Shifted(u16, [u16; 8]);
        let shifted = Shifted(9, [1, 2, 3, 4, 5, 6, 7, 9]);
        HostCpu::prefetch(&shifted);
        assert_eq!(HostCpu::match_tags(&shifted.1, shifted.0), 0x80);
        HostCpu::prefetch(&());
    }
}

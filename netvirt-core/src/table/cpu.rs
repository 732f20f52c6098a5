//! What a table asks of the CPU beyond portable code.

/// What a CPU can do better than portable code. Every function has a default that is right everywhere, so
/// an implementation only ever changes speed.
///
/// The implementing type is a marker without data, passed as a generic parameter.
pub trait Cpu {
    /// Asks for the cache line in which `_line` begins, because it will be read soon.
    #[inline(always)]
    fn prefetch<T>(_line: &T) {}

    /// Asks for all cache lines of `bytes`.
    #[inline(always)]
    fn prefetch_all(bytes: &[u8]) {
        bytes.iter().step_by(64).for_each(Self::prefetch);
    }

    /// The mask of the `tags` that equal `tag`: bit `i` is set exactly when `tags[i] == tag`.
    #[inline(always)]
    fn match_tags(tags: &[u16; 8], tag: u16) -> u8 {
        let [a, b, c, d, e, f, g, h] = *tags;
        match_four([a, b, c, d], tag) | match_four([e, f, g, h], tag) << 4
    }
}

/// Any CPU: no prefetch, and tags are matched four at a time in a 64-bit word.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Cpu for Portable {}

#[inline(always)]
fn match_four([a, b, c, d]: [u16; 4], tag: u16) -> u8 {
    const EACH_LANE: u64 = 0x0001_0001_0001_0001;
    const ALL_BUT_TOP: u64 = EACH_LANE * 0x7fff;
    let word = u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48;
    let difference = word ^ (EACH_LANE.wrapping_mul(u64::from(tag)));
    // No carry leaves a lane here, unlike in the shorter `x - 1 & !x`, which reports false matches.
    let differs = ((difference & ALL_BUT_TOP).wrapping_add(ALL_BUT_TOP)) | difference;
    let equal = !differs >> 15 & EACH_LANE;
    // Brings lane i, at bit 16 * i, to bit 48 + i; the other products stay below bit 48 or leave the word.
    const GATHER: u64 = 1 << 48 | 1 << 33 | 1 << 18 | 1 << 3;
    (equal.wrapping_mul(GATHER) >> 48) as u8 & 0xf
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(tags: &[u16; 8], tag: u16) -> u8 {
        (0..8)
            .filter(|&lane| tags[lane] == tag)
            .fold(0, |mask, lane| mask | 1 << lane)
    }

    #[test]
    fn every_set_of_equal_lanes_is_found_exactly() {
        // Lanes that differ by one bit or by one are those that carries could confuse.
        let near = |tag: u16, lane: usize| match lane % 4 {
            0 => tag ^ 1,
            1 => tag ^ 0x8000,
            2 => tag.wrapping_add(1),
            _ => tag.wrapping_sub(1),
        };
        for tag in 0..=u16::MAX {
            for mask in [0u8, 1, 0x80, 0x55, 0xaa, 0xff, tag as u8, (tag >> 8) as u8] {
                let tags = core::array::from_fn(|lane| match mask >> lane & 1 {
                    1 => tag,
                    _ => near(tag, lane),
                });
                assert_eq!(Portable::match_tags(&tags, tag), mask);
            }
        }
    }

    #[test]
    fn tags_of_few_values_match_as_in_a_loop() {
        const VALUES: [u16; 6] = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        for arrangement in 0..VALUES.len().pow(8) {
            let tags = core::array::from_fn(|lane| {
                VALUES[arrangement / VALUES.len().pow(lane as u32) % VALUES.len()]
            });
            let tag = VALUES[arrangement % 5];
            assert_eq!(
                Portable::match_tags(&tags, tag),
                naive(&tags, tag),
                "{tags:x?} {tag:x}"
            );
        }
    }
}

//! What is read of TCP (RFC 9293): the maximum segment size that opens a connection.

const SYN: u8 = 0x02;
/// Bytes of the header without options.
const HEADER: usize = 20;

/// Option kinds (RFC 9293 §3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;

/// The maximum segment size that a TCP segment announces (RFC 9293 §3.7.1), and where it stands, in bytes from the start
/// of its header. Only a SYN announces one.
pub fn maximum_segment_size(segment: &[u8]) -> Option<(u16, u16)> {
    let (header, _) = segment.split_first_chunk::<HEADER>()?;
    let length = usize::from(header[12] >> 4) * 4;
    if header[13] & SYN == 0 {
        return None;
    }
    let options = segment.get(HEADER..length)?;
    let mut at = 0_usize;
    loop {
        let option = options.get(at..)?;
        let length = match option {
            [END, ..] | [] => return None,
            [NO_OPERATION, ..] => 1,
            [MAXIMUM_SEGMENT_SIZE, 4, high, low, ..] => {
                let offset = (HEADER + 2).wrapping_add(at);
                return Some((u16::from_be_bytes([*high, *low]), offset as u16));
            }
            [_, length, ..] if *length >= 2 => usize::from(*length),
            [_, ..] => return None,
        };
        at = at.wrapping_add(length);
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn segment(flags: u8, options: &[u8]) -> Vec<u8> {
        let mut segment = std::vec![0; HEADER];
        segment[12] = ((HEADER + options.len()) / 4) as u8 * 16;
        segment[13] = flags;
        segment.extend(options);
        segment
    }

    #[test]
    fn it_is_found_wherever_it_stands_among_the_options() {
        for (options, at) in [
            (&[2, 4, 5, 180][..], 22),
            (&[1, 1, 1, 2, 4, 5, 180, 0], 25),
            (&[3, 3, 7, 2, 4, 5, 180, 0], 25),
            (&[1, 3, 3, 7, 4, 2, 1, 1, 2, 4, 5, 180], 30),
        ] {
            let found = maximum_segment_size(&segment(SYN, options));
            assert_eq!(found, Some((1460, at)), "{options:?}");
            assert_eq!(maximum_segment_size(&segment(0x10, options)), None);
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is_whole() {
        for options in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 2, 4, 5],
            &[2, 3, 5, 0],
            &[2, 4],
            &[1, 1, 2, 4],
            &[9, 0, 2, 4],
            &[9, 1, 2, 4],
            &[9, 200, 2, 4],
        ] {
            assert_eq!(
                maximum_segment_size(&segment(SYN, options)),
                None,
                "{options:?}"
            );
        }
        let whole = segment(SYN, &[2, 4, 5, 180]);
        for length in 0..whole.len() {
            assert_eq!(maximum_segment_size(&whole[..length]), None);
        }
        // A header that claims to be shorter than it can be.
        let mut short = whole;
        short[12] = 0x40;
        assert_eq!(maximum_segment_size(&short), None);
    }
}

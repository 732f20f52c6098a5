//! Putting several captures in one order of time.

use super::error::CaptureError;
use super::read::CapturedFrame;

/// All frames of several captures in order of their timestamps, each with the place of its capture.
///
/// Frames of one timestamp come in the order of `captures`, and within one capture in the order of the file:
/// the same captures always give the same order.
///
/// # Errors
/// The first error of the first capture that has one.
pub fn in_order_of_time<C>(
    captures: impl IntoIterator<Item = C>,
) -> Result<Vec<(usize, CapturedFrame)>, CaptureError>
where
    C: Iterator<Item = Result<CapturedFrame, CaptureError>>,
{
    let mut frames = Vec::new();
    for (capture, reader) in captures.into_iter().enumerate() {
        for frame in reader {
            frames.push((capture, frame?));
        }
    }
    // A stable sort is the tie rule. A merge of sorted captures would not do: captures of several queues
    // are often not quite sorted.
    frames.sort_by_key(|(_, frame)| frame.timestamp);
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(frames: &[(u64, u8)]) -> impl Iterator<Item = Result<CapturedFrame, CaptureError>> {
        frames.iter().map(|&(timestamp, byte)| {
            Ok(CapturedFrame {
                timestamp,
                bytes: vec![byte],
                original_length: 1,
                interface: 0,
                comment: None,
            })
        })
    }

    #[test]
    fn frames_come_by_time_then_by_capture_then_by_place() {
        let captures = [
            capture(&[(5, b'a'), (3, b'b'), (5, b'c')]),
            capture(&[(3, b'd'), (4, b'e'), (5, b'f')]),
        ];
        let order: Vec<_> = in_order_of_time(captures)
            .unwrap()
            .into_iter()
            .map(|(capture, frame)| (capture, frame.bytes[0]))
            .collect();
        let expected = [
            (0, b'b'),
            (1, b'd'),
            (1, b'e'),
            (0, b'a'),
            (0, b'c'),
            (1, b'f'),
        ];
        assert_eq!(order, expected);
    }
}

//! A connection in memory, and what runs both of its ends.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};

#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    is_closed: bool,
    /// All that was ever sent.
    sent: Vec<u8>,
}

/// One end. When it is dropped the other reads to the end.
pub struct End {
    inward: Rc<RefCell<Way>>,
    outward: Rc<RefCell<Way>>,
    /// How many bytes are taken at once.
    piece: usize,
}

pub fn connection() -> [End; 2] {
    let ways = [Rc::<RefCell<Way>>::default(), Rc::default()];
    let end = |inward: usize, outward: usize, piece| End {
        inward: ways[inward].clone(),
        outward: ways[outward].clone(),
        piece,
    };
    [end(0, 1, usize::MAX), end(1, 0, 7)]
}

impl End {
    /// All that was sent here.
    pub fn sent(&self) -> Vec<u8> {
        self.outward.borrow().sent.clone()
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outward.borrow_mut().is_closed = true;
    }
}

impl ErrorType for End {
    type Error = Infallible;
}

impl Read for End {
    async fn read(&mut self, room: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|_| {
            let mut way = self.inward.borrow_mut();
            let taken = room.len().min(way.bytes.len()).min(self.piece);
            if taken == 0 && !way.is_closed {
                return Poll::Pending;
            }
            for (place, byte) in room.iter_mut().zip(way.bytes.drain(..taken)) {
                *place = byte;
            }
            Poll::Ready(Ok(taken))
        })
        .await
    }
}

impl Write for End {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut way = self.outward.borrow_mut();
        way.bytes.extend(bytes);
        way.sent.extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Runs both until both have ended.
#[track_caller]
pub fn run<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut output, mut other_output) = (None, None);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        poll_into(&mut output, one.as_mut(), &mut context);
        poll_into(&mut other_output, other.as_mut(), &mut context);
        match (output, other_output) {
            (Some(output), Some(other_output)) => return (output, other_output),
            unfinished => (output, other_output) = unfinished,
        }
    }
    panic!("the two wait for each other");
}

fn poll_into<T>(
    output: &mut Option<T>,
    future: std::pin::Pin<&mut impl Future<Output = T>>,
    context: &mut Context<'_>,
) {
    if output.is_none()
        && let Poll::Ready(ready) = future.poll(context)
    {
        *output = Some(ready);
    }
}

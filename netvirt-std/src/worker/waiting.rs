//! Waiting for frames: for each when little goes on, in short naps when much does, not at all when more are there.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Devices that are told ready at once.
const MOST_READY: usize = 64;

/// When to look for frames again.
///
/// Waking up costs more than a packet does. Under load a worker therefore naps instead of waiting for the next frame,
/// and finds several; with little to do it waits for each, so that nobody waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a nap is.
    pub nap: Duration,
    /// A round of so many frames is load.
    pub load: usize,
    /// Lighter rounds in a row after which it is waited for each frame again.
    pub light_rounds: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            nap: Duration::from_micros(30),
            load: 4,
            light_rounds: 10,
        }
    }
}

/// What a worker found in a round.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub frames: usize,
    /// A device gave a full batch, so most likely it has more.
    pub is_more: bool,
}

/// What a worker waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    epoll: OwnedFd,
    /// The numbers of those that are ready.
    ready: Vec<u64>,
    pace: Pace,
    /// Under load, the light rounds in a row.
    light_rounds: Option<u32>,
}

impl Waiting {
    pub fn new(pace: Pace) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            ready: Vec::with_capacity(MOST_READY),
            pace,
            light_rounds: None,
        })
    }

    pub const fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Waits for this one too, under a number.
    pub fn add(&self, readiness: BorrowedFd<'_>, number: u64) -> io::Result<()> {
        let number = epoll::EventData::new_u64(number);
        Ok(epoll::add(
            &self.epoll,
            readiness,
            number,
            epoll::EventFlags::IN,
        )?)
    }

    /// Waits for this one no longer.
    pub fn remove(&self, readiness: BorrowedFd<'_>) {
        // What was closed already is waited for no longer either.
        let _ = epoll::delete(&self.epoll, readiness);
    }

    /// Waits until something is ready, no longer than `longest`. `last` is what the last round found.
    pub fn wait(&mut self, last: Found, longest: Option<Duration>) -> io::Result<()> {
        self.light_rounds = match self.light_rounds {
            _ if last.frames >= self.pace.load => Some(0),
            Some(rounds) if rounds < self.pace.light_rounds => Some(rounds + 1),
            _ => None,
        };
        if self.light_rounds.is_some() && !last.is_more {
            std::thread::sleep(self.pace.nap);
        }
        let longest = match self.light_rounds {
            Some(_) => Some(Duration::ZERO),
            None => longest,
        };
        let longest = longest.and_then(|longest| Timespec::try_from(longest).ok());
        self.ready.clear();
        let mut room = [MaybeUninit::uninit(); MOST_READY];
        let (ready, _) = match epoll::wait(&self.epoll, &mut room, longest.as_ref()) {
            Err(Errno::INTR) => return Ok(()),
            ready => ready?,
        };
        self.ready
            .extend(ready.iter().map(|event| event.data.u64()));
        Ok(())
    }

    /// How many are ready.
    pub const fn ready(&self) -> usize {
        self.ready.len()
    }

    /// The number of one that is ready.
    pub fn number(&self, place: usize) -> u64 {
        self.ready[place]
    }
}

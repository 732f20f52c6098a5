//! Capturing what a running switch carries, without holding it up.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use netvirt_core::datapath::{DropReason, Ingress};
// The standard library's channel does not reserve a place in advance.
use tokio::sync::mpsc::{self, error::TryRecvError};

use super::{CaptureError, CaptureFault, CaptureWriter, Direction, InterfaceId};
use crate::scheduling;
use crate::switch::Egress;

/// Frames that may wait for being written.
const ROOM: usize = 16_384;
/// Of that, the room for what was refused alone: it is rare, and what people look for.
const ROOM_FOR_REFUSED: usize = ROOM / 4;
/// The name of the thread that writes.
const THREAD: &str = "capture";

/// Takes frames for a capture. What the file cannot take in time is left out and counted.
#[derive(Debug, Clone)]
pub struct CaptureSender {
    frames: mpsc::Sender<Message>,
    missed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Name(Ingress, String),
    Frame {
        time: u64,
        place: Ingress,
        direction: Direction,
        bytes: Vec<u8>,
        refusal: Option<DropReason>,
    },
}

impl CaptureSender {
    /// What is called so from now on in the capture.
    pub fn name(&self, place: Ingress, name: &str) {
        self.send(true, || Message::Name(place, name.to_owned()));
    }

    /// A frame came into the switch, and was refused or not.
    pub fn came(&self, place: Ingress, bytes: &[u8], refusal: Option<DropReason>) {
        self.send(refusal.is_some(), || Message::Frame {
            time: now(),
            place,
            direction: Direction::Inbound,
            bytes: bytes.to_vec(),
            refusal,
        });
    }

    /// A frame in two pieces left the switch.
    pub fn left(&self, egress: Egress, front: &[u8], rest: &[u8]) {
        self.send(false, || Message::Frame {
            time: now(),
            place: match egress {
                Egress::Port(port) => Ingress::Port(port),
                Egress::Uplink(uplink) => Ingress::Uplink(uplink),
            },
            direction: Direction::Outbound,
            bytes: [front, rest].concat(),
            refusal: None,
        });
    }

    /// Nothing is copied that there is no room for. What is important finds room where other frames do not.
    fn send(&self, is_important: bool, message: impl FnOnce() -> Message) {
        let has_room = is_important || self.frames.capacity() > ROOM_FOR_REFUSED;
        match self.frames.try_reserve() {
            Ok(place) if has_room => place.send(message()),
            _ => {
                self.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A capture file that is being written. It ends when every [`CaptureSender`] of it is gone.
#[derive(Debug)]
pub struct LiveCapture {
    missed: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), CaptureError>>,
}

impl LiveCapture {
    /// Makes a capture file, or replaces the one that is there, and writes what the sender is given.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn start(path: &Path) -> Result<(CaptureSender, Self), CaptureError> {
        let writer = CaptureWriter::create(path)?;
        let (frames, mut received) = mpsc::channel(ROOM);
        let missed = Arc::new(AtomicU64::new(0));
        let sender = CaptureSender {
            frames,
            missed: Arc::clone(&missed),
        };
        let mut recording = Recording {
            writer,
            names: HashMap::new(),
            interfaces: HashMap::new(),
        };
        let thread = thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                scheduling::yield_to_workers();
                let recorded = recording
                    .record(&mut received)
                    .and_then(|()| recording.writer.finish().map(|_file| ()));
                // The switch goes on, perhaps for long, before anybody hears of it in another way.
                if let Err(error) = &recorded {
                    tracing::error!(%error, "the capture has ended: no more frames are written");
                }
                recorded
            })
            .map_err(|error| CaptureError::in_file(path, CaptureFault::Io(error)))?;
        Ok((sender, Self { missed, thread }))
    }

    /// Waits for the end of the file. Yields how many frames it could not take in time.
    ///
    /// # Errors
    /// The file could not be written to its end.
    pub fn finish(self) -> Result<u64, CaptureError> {
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(self.missed.load(Ordering::Relaxed))
    }
}

struct Recording {
    writer: CaptureWriter<BufWriter<File>>,
    names: HashMap<Ingress, String>,
    interfaces: HashMap<Ingress, InterfaceId>,
}

impl Recording {
    fn record(&mut self, messages: &mut mpsc::Receiver<Message>) -> Result<(), CaptureError> {
        loop {
            match messages.try_recv() {
                Ok(message) => self.take(message)?,
                Err(TryRecvError::Disconnected) => return Ok(()),
                // Nothing else is to be done, so whoever follows the file need not wait either.
                Err(TryRecvError::Empty) => {
                    self.writer.flush()?;
                    match messages.blocking_recv() {
                        Some(message) => self.take(message)?,
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), CaptureError> {
        match message {
            Message::Name(place, name) => {
                self.names.insert(place, name);
                self.interfaces.remove(&place);
                Ok(())
            }
            Message::Frame {
                time,
                place,
                direction,
                bytes,
                refusal,
            } => {
                let interface = self.interface(place)?;
                let comment = refusal.map(DropReason::name);
                self.writer
                    .write(interface, time, direction, &bytes, comment)
            }
        }
    }

    fn interface(&mut self, place: Ingress) -> Result<InterfaceId, CaptureError> {
        if let Some(interface) = self.interfaces.get(&place) {
            return Ok(*interface);
        }
        let name = self.names.get(&place).map_or("unnamed", String::as_str);
        let interface = self.writer.add_interface(name)?;
        self.interfaces.insert(place, interface);
        Ok(interface)
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use netvirt_core::UplinkId;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted_and_not_copied() {
        let (frames, _received) = mpsc::channel(ROOM_FOR_REFUSED + 1);
        let sender = CaptureSender {
            frames,
            missed: Arc::default(),
        };
        let uplink = Ingress::Uplink(UplinkId(0));
        let missed = || sender.missed.load(Ordering::Relaxed);
        sender.came(uplink, &[1; 60], None);
        assert_eq!(missed(), 0);
        sender.send(false, || panic!("copied"));
        assert_eq!(missed(), 1);
        // The rest is for what was refused.
        for _ in 0..ROOM_FOR_REFUSED {
            sender.came(uplink, &[1; 60], Some(DropReason::NoRoute));
        }
        assert_eq!(missed(), 1);
        sender.came(uplink, &[1; 60], Some(DropReason::NoRoute));
        assert_eq!(missed(), 2);
    }

    /// The niceness of the threads that write, `proc_pid_stat(5)`.
    fn niceness() -> Vec<i32> {
        const NICE: usize = 19;
        let threads = fs::read_dir("/proc/self/task").unwrap();
        // Those of other tests may end meanwhile.
        let stat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).ok();
        threads
            .filter_map(|thread| stat(thread.unwrap()))
            .filter(|stat| stat.contains(&format!("({THREAD})")))
            .map(|stat| {
                let (_, fields) = stat.rsplit_once(')').unwrap();
                let mut fields = fields.split_whitespace();
                fields.nth(NICE - 3).unwrap().parse().unwrap()
            })
            .collect()
    }

    #[test]
    fn workers_go_before_the_thread_that_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.pcapng");
        let (sender, recording) = LiveCapture::start(&path).unwrap();
        // It writes when it has begun.
        while fs::metadata(&path).unwrap().len() == 0 {
            thread::yield_now();
        }
        assert_eq!(niceness(), [10]);
        drop(sender);
        assert_eq!(recording.finish().unwrap(), 0);
    }
}

//! The thread that a host belongs to, and how others reach it.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Instant;

use super::Host;
use crate::scheduling::yield_to_workers;
use crate::worker::Event;

/// What may wait for the host's thread. Under a flood of what workers hear, the rest is forgotten.
const ROOM: usize = 1024;

enum Message {
    Heard(Event),
    Request(Box<dyn FnOnce(&mut Host) + Send>),
    Stop,
}

/// How others reach a host.
#[derive(Debug, Clone)]
pub struct HostHandle {
    messages: mpsc::SyncSender<Message>,
}

/// The host's end of its handles.
#[derive(Debug)]
pub struct Inbox {
    messages: mpsc::Receiver<Message>,
}

/// The switch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostGone;

impl HostHandle {
    /// A handle, and the end of it that [`serve`] takes.
    pub fn new() -> (Self, Inbox) {
        let (sender, messages) = mpsc::sync_channel(ROOM);
        (Self { messages: sender }, Inbox { messages })
    }

    /// What a worker is given to tell what it hears.
    pub fn listener(&self) -> impl Fn(Event) + Send + Clone + 'static {
        let messages = self.messages.clone();
        move |event| {
            let _ = messages.try_send(Message::Heard(event));
        }
    }

    /// Has the host do something. `answer` is called with the result on the host's thread.
    ///
    /// # Errors
    /// [`HostGone`].
    pub fn request<R>(
        &self,
        request: impl FnOnce(&mut Host) -> R + Send + 'static,
        answer: impl FnOnce(R) + Send + 'static,
    ) -> Result<(), HostGone> {
        let request = Message::Request(Box::new(move |host| answer(request(host))));
        self.messages.send(request).map_err(|_| HostGone)
    }

    /// Has the host do something, and waits for the result.
    ///
    /// # Errors
    /// [`HostGone`].
    pub fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Host) -> R + Send + 'static,
    ) -> Result<R, HostGone> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.request(request, move |result| {
            let _ = answer.send(result);
        })?;
        answered.recv().map_err(|mpsc::RecvError| HostGone)
    }

    /// Ends [`serve`].
    pub fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }
}

/// Runs a host until it is told to stop.
///
/// What waits is taken before what is due is done: an address is not found unique while a conflict about it waits.
pub fn serve(mut host: Host, inbox: &Inbox) {
    yield_to_workers();
    let mut due = Instant::now();
    loop {
        let patience = due.saturating_duration_since(Instant::now());
        let first = match inbox.messages.recv_timeout(patience) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let waiting = first.into_iter().chain(inbox.messages.try_iter());
        if host.take_messages(waiting.take(ROOM)).is_break() {
            return;
        }
        // A request may have brought what is due earlier.
        let now = Instant::now();
        due = due.min(now + host.next_look());
        if now >= due {
            host.see_to_what_is_due();
            due = now + host.next_look();
        }
    }
}

impl Host {
    /// Takes messages in their order, those that were heard in a row at once. Breaks where it is told to stop.
    fn take_messages(&mut self, messages: impl Iterator<Item = Message>) -> ControlFlow<()> {
        let mut heard = Vec::new();
        for message in messages {
            match message {
                Message::Heard(event) => heard.push(event),
                Message::Request(request) => {
                    self.hear(heard.drain(..));
                    request(self);
                }
                Message::Stop => return ControlFlow::Break(()),
            }
        }
        self.hear(heard);
        ControlFlow::Continue(())
    }
}

//! Waiting, unless somebody interrupts.

use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::demo::DemoError;

/// Waits, and hears signals from its beginning on: none of them ends the process at once any more.
pub struct Pauses {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Pauses {
    /// Begins to hear.
    ///
    /// # Errors
    /// The system has no resources left.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let [interrupt, terminate, hangup] = [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ];
        drop(inside);
        Ok(Self {
            runtime,
            interrupt,
            terminate,
            hangup,
        })
    }

    /// Waits that long.
    ///
    /// # Errors
    /// [`DemoError::Interrupted`].
    pub fn pause(&mut self, time: Duration) -> Result<(), DemoError> {
        let Self {
            runtime,
            interrupt,
            terminate,
            hangup,
        } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = interrupt.recv() => Err(DemoError::Interrupted),
                _ = terminate.recv() => Err(DemoError::Interrupted),
                _ = hangup.recv() => Err(DemoError::Interrupted),
                () = sleep(time) => Ok(()),
            }
        })
    }
}

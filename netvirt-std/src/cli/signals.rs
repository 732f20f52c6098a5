//! Being told to stop.

use std::io;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Who tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// SIGINT: somebody at a terminal, who waits.
    Interrupt,
    /// SIGTERM, or SIGHUP when the terminal is gone.
    Terminate,
}

/// The signals that tell a program to stop.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.terminate.recv() => Told::Terminate,
            _ = self.hang_up.recv() => Told::Terminate,
        }
    }
}

/// From now on these signals do nothing but what `react` does, on a thread of its own.
pub fn listen<Reaction: Future<Output = ()>>(
    react: impl FnOnce(Signals) -> Reaction + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || runtime.block_on(react(signals)))
        .map(|_| ())
}

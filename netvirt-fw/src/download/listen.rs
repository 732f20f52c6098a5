//! The NIC's end on a stack of embassy-net.

use core::pin::pin;

use embassy_futures::yield_now;
use embassy_net::Stack;
use embassy_net::tcp::{self, TcpSocket};
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_time::{Duration, with_timeout};

use super::PORT;
use super::server::{Ended, serve};
use super::session::{Key, Nonces};
use crate::nve::SharedNve;

/// How long a host may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may last: nobody keeps others away for longer.
const LONGEST: Duration = Duration::from_secs(60);

/// What a connection needs. It is little, because each side waits for the other's answer.
#[derive(Debug)]
pub struct Buffers {
    received: [u8; 512],
    sent: [u8; 512],
}

impl Buffers {
    /// Buffers with nothing in them.
    #[expect(clippy::new_without_default, reason = "they are to be a static")]
    pub const fn new() -> Self {
        Self {
            received: [0; _],
            sent: [0; _],
        }
    }
}

/// Serves connections to [`PORT`] of a stack, one after another, for ever.
pub async fn listen<M: RawMutex>(
    stack: Stack<'_>,
    buffers: &mut Buffers,
    nve: &SharedNve<'_, M>,
    key: &Key,
    mut nonces: Nonces,
) -> ! {
    loop {
        let mut socket = TcpSocket::new(stack, &mut buffers.received, &mut buffers.sent);
        socket.set_timeout(Some(PATIENCE));
        if socket.accept(PORT).await.is_ok() {
            let served = {
                // It is large, and made where it stays.
                let served = pin!(serve(&mut socket, nve, key, nonces.draw()));
                with_timeout(LONGEST, served).await
            };
            let served = served.unwrap_or(Err(Ended::TooLong));
            match served {
                // The host has closed the connection, and so has heard all.
                Ok(()) => socket.abort(),
                Err(_) => socket.close(),
            }
            tell(served);
            // It is done, or the host is gone.
            let _ = socket.flush().await;
        }
        yield_now().await;
    }
}

fn tell(served: Result<(), Ended<tcp::Error>>) {
    match served {
        Ok(()) => info!("a host was served"),
        Err(why) => warning!("a host was not served: {}", why),
    }
}

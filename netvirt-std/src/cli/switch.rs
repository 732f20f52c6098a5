//! `netvirt switch`

use std::env;
use std::io::{self, IsTerminal, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::thread;
use std::time::Duration;

use netvirt_std::capture::live::LiveCapture;
use netvirt_std::control::ControlServer;
use netvirt_std::device::kernel::KernelDevices;
use netvirt_std::host::{Host, HostHandle, HostOptions, serve};
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, SwitchArgs, control, policy};

/// What a shell says of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;

/// Runs a host's switch until it is told to stop.
pub fn run(args: &SwitchArgs) -> Result<(), Failure> {
    start_logging(args.log);
    let file = policy::read(&args.policy).map_err(Failure::into_bad_input)?;
    let (handle, inbox) = HostHandle::new();
    stop_when_told(handle.clone())
        .map_err(|error| Failure::Impossible(format!("signals cannot be received: {error}")))?;
    let (capture, recording) = match &args.capture {
        Some(path) => {
            let (sender, recording) = LiveCapture::start(path)?;
            (Some(sender), Some(recording))
        }
        None => (None, None),
    };
    let options = HostOptions {
        records: args.records,
        workers: args.workers.into(),
        duplicate_detection: Duration::from_millis(args.duplicate_detection),
        real_time: args.real_time,
    };
    let mut host = Host::start(
        &file,
        &args.host,
        &options,
        Box::new(KernelDevices::default()),
        handle.listener(),
        capture,
    )
    .map_err(|error| Failure::Impossible(error.to_string()))?;
    let socket = match &args.control {
        Some(socket) => socket.clone(),
        None => control::default_socket(&args.host),
    };
    let control = ControlServer::start(&socket, &host, handle)
        .map_err(|error| Failure::Impossible(error.to_string()))?;
    host.when_ready(say_ready);
    tracing::info!(host = args.host, socket = %socket.display(), "the switch runs");
    serve(host, &inbox);
    drop(control);
    if let Some(recording) = recording {
        let missed = recording.finish()?;
        if missed > 0 {
            tracing::warn!(
                frames = missed,
                "the capture could not take all frames in time"
            );
        }
    }
    tracing::info!("the switch has ended");
    Ok(())
}

fn start_logging(level: tracing::Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .with_writer(io::stderr)
        .init();
}

/// The first signal ends the switch in its own way, the second at once.
fn stop_when_told(handle: HostHandle) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (mut terminated, mut interrupted) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        )
    };
    let signals = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            handle.stop();
            tokio::select! {
                _ = terminated.recv() => {}
                _ = interrupted.recv() => {}
            }
            process::exit(INTERRUPTED);
        });
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(signals)
        .map(|_| ())
}

/// Tells whoever started the switch that it carries frames: by a line, and as systemd wants it (`sd_notify(3)`).
fn say_ready() {
    let mut out = io::stdout().lock();
    // Whoever does not listen does not wait for it either.
    let _ = writeln!(out, "ready").and_then(|()| out.flush());
    if let Some(socket) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = notify(socket.as_encoded_bytes())
    {
        tracing::warn!(%error, "the service manager cannot be told that the switch is ready");
    }
}

fn notify(socket: &[u8]) -> io::Result<()> {
    let address = match socket {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(String::from_utf8_lossy(path).as_ref())?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

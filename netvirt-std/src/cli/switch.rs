//! `netvirt switch`

use std::env;
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::{Duration, Instant};

use netvirt_std::capture::live::LiveCapture;
use netvirt_std::control::{ControlServer, ControlSocket, Patience};
use netvirt_std::device::kernel::KernelDevices;
use netvirt_std::host::{Host, HostHandle, HostOptions, serve};

use super::signals::{self, Told};
use super::uplink::UplinkClaim;
use super::{Failure, SwitchArgs, control, policy};

/// What a shell says of a program that an interrupt ended.
const INTERRUPTED: i32 = 130;
/// Signals this close to the first say nothing new.
const AT_THE_SAME_TIME: Duration = Duration::from_secs(1);

/// Runs a host's switch until it is told to stop.
pub fn run(args: &SwitchArgs) -> Result<(), Failure> {
    start_logging(args.log);
    let file = policy::read(&args.policy).map_err(Failure::into_bad_input)?;
    // Another switch that runs already is not touched: no device is opened and no file written before this.
    let socket = match &args.control {
        Some(socket) => socket.clone(),
        None => control::default_socket(&args.host),
    };
    let claimed = ControlSocket::claim(&socket).map_err(impossible)?;
    let uplink = file.uplink_interface(&args.host);
    let _uplink = uplink.map(UplinkClaim::new).transpose()?;
    let (handle, inbox) = HostHandle::new();
    stop_when_told(handle.clone(), claimed.remover())
        .map_err(|error| Failure::Impossible(format!("signals cannot be received: {error}")))?;
    let (capture, recording) = match &args.capture {
        Some(path) => {
            let (sender, recording) = LiveCapture::start(path)?;
            (Some(sender), Some(recording))
        }
        None => (None, None),
    };
    let options = HostOptions {
        records: args.records as usize,
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
    .map_err(impossible)?;
    let control = ControlServer::start(claimed, &host, handle, Patience::default())
        .map_err(|error| Failure::Impossible(format!("the control socket: {error}")))?;
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

fn impossible(error: impl Error) -> Failure {
    Failure::Impossible(error.to_string())
}

/// The first signal ends the switch in its own way. Who is impatient ends it at once: by a second interrupt, or by telling
/// it again later. Service managers may tell it twice at the same time.
fn stop_when_told(handle: HostHandle, clean_up: impl FnOnce() + Send + 'static) -> io::Result<()> {
    signals::listen(|mut signals| async move {
        signals.next().await;
        let first = Instant::now();
        handle.stop();
        while signals.next().await != Told::Interrupt && first.elapsed() < AT_THE_SAME_TIME {}
        clean_up();
        process::exit(INTERRUPTED);
    })
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

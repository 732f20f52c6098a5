//! The least that can carry frames between two TAPs: one thread that waits, reads and writes. It knows no policy and
//! looks at nothing, so a switch cannot be expected to be faster; a baseline for `tests/bench-switch`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Parser;
use netvirt_lab::tap::{self, Frames};
use rustix::event::{PollFd, PollFlags, poll};

/// Copies frames between two TAPs, which it makes. Prints `ready` when both are there.
#[derive(Parser)]
struct Arguments {
    /// One TAP.
    #[arg(value_name = "NAMESPACE,NAME", value_parser = place)]
    one: Place,
    /// The other.
    #[arg(value_name = "NAMESPACE,NAME", value_parser = place)]
    other: Place,
    /// Take TCP unsegmented as well, not only partial checksums.
    #[arg(long)]
    super_frames: bool,
}

/// A network namespace and an interface in it.
type Place = (String, String);

/// A super-frame of 64 KiB, its Ethernet header and the virtio-net header.
const LONGEST: usize = (64 << 10) + 64;
/// Frames that are taken from one TAP before it is the other's turn.
const TURN: usize = 64;

fn main() -> ExitCode {
    let Err(error) = run(&Arguments::parse());
    eprintln!("tap-copy: {error}");
    ExitCode::from(2)
}

fn run(arguments: &Arguments) -> io::Result<std::convert::Infallible> {
    let frames = if arguments.super_frames {
        Frames::SuperFrames
    } else {
        Frames::PartialChecksums
    };
    let one = tap::open(&arguments.one.0, &arguments.one.1, frames)?;
    let other = tap::open(&arguments.other.0, &arguments.other.1, frames)?;
    println!("ready");

    let mut buffer = vec![0; LONGEST];
    loop {
        poll(
            &mut [&one, &other].map(|tap| PollFd::new(tap, PollFlags::IN)),
            None,
        )?;
        copy(&one, &other, &mut buffer)?;
        copy(&other, &one, &mut buffer)?;
    }
}

fn copy(mut from: &File, mut to: &File, buffer: &mut [u8]) -> io::Result<()> {
    for _ in 0..TURN {
        let length = match from.read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // The interface is down.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(()),
            Err(error) => return Err(error),
        };
        // A frame that the other side does not take is lost, as on a wire.
        let _ = to.write(&buffer[..length]);
    }
    Ok(())
}

fn place(text: &str) -> Result<Place, &'static str> {
    let (namespace, name) = text.split_once(',').ok_or("expected NAMESPACE,NAME")?;
    Ok((namespace.into(), name.into()))
}

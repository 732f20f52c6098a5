//! Puts frames through a device, one after the other, and compares what comes out with what is expected.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use netvirt_lab::tap::{self, Frames};
use netvirt_std::capture::{CaptureError, CaptureReader, CaptureWriter, Direction};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Puts frames through a device and compares what comes out, byte for byte. Succeeds if all are as expected.
#[derive(Parser)]
struct Arguments {
    /// The TAP through which the device receives.
    #[arg(long, value_name = "NAMESPACE,NAME", value_parser = place)]
    into: Place,
    /// The TAP through which it sends.
    #[arg(long, value_name = "NAMESPACE,NAME", value_parser = place)]
    out_of: Place,
    /// The frames.
    #[arg(long, value_name = "CAPTURE")]
    frames: PathBuf,
    /// What is to come out for each of them.
    #[arg(long, value_name = "CAPTURE")]
    expected: PathBuf,
    /// Where to write what comes out.
    #[arg(long, value_name = "FILE.pcapng")]
    capture: Option<PathBuf>,
}

/// A network namespace and an interface in it.
type Place = (String, String);

/// How long a device may take. It only bounds how long a failure takes.
const PATIENCE: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// Longest frame.
const LONGEST: usize = 9216;
/// Differences that are told in full.
const TOLD: usize = 10;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("put-through: {error}");
            ExitCode::from(2)
        }
    }
}

/// Yields how many frames came out otherwise than expected.
fn run(arguments: &Arguments) -> Result<usize, Box<dyn std::error::Error>> {
    let frames = read(&arguments.frames)?;
    let expected = read(&arguments.expected)?;
    if frames.len() != expected.len() {
        let (count, wanted) = (frames.len(), expected.len());
        return Err(format!("{count} frames go in, {wanted} are expected").into());
    }
    let mut device = Device {
        into: open(&arguments.into)?,
        out_of: open(&arguments.out_of)?,
    };
    let mut passed = Vec::new();
    let mut different = 0;
    for (number, (frame, expected)) in frames.iter().zip(&expected).enumerate() {
        let seen = device.pass(frame)?;
        if seen.as_ref() != Some(expected) {
            different += 1;
            if different <= TOLD {
                tell(number + 1, frame, expected, seen.as_deref());
            }
        }
        passed.extend(seen);
    }
    if let Some(file) = &arguments.capture {
        write(file, &passed)?;
    }
    println!(
        "{} of {} frames as expected",
        frames.len() - different,
        frames.len()
    );
    Ok(different)
}

/// What stands between two TAPs.
struct Device {
    into: File,
    out_of: File,
}

impl Device {
    /// The frame that comes out, if one does.
    fn pass(&mut self, frame: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.into.write_all(frame)?;
        let mut awaited = [PollFd::new(&self.out_of, PollFlags::IN)];
        if poll(&mut awaited, Some(&PATIENCE))? == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; LONGEST];
        let length = self.out_of.read(&mut buffer)?;
        buffer.truncate(length);
        Ok(Some(buffer))
    }
}

fn open((namespace, name): &Place) -> io::Result<File> {
    tap::open(namespace, name, Frames::Plain)
}

fn read(file: &Path) -> Result<Vec<Vec<u8>>, CaptureError> {
    CaptureReader::open(file)?
        .map(|frame| frame.map(|frame| frame.bytes))
        .collect()
}

fn write(file: &Path, frames: &[Vec<u8>]) -> Result<(), CaptureError> {
    let mut writer = CaptureWriter::create(file)?;
    let interface = writer.add_interface("device")?;
    for (time, frame) in (0..).zip(frames) {
        writer.write(interface, time, Direction::Outbound, frame, None)?;
    }
    writer.finish()?;
    Ok(())
}

fn tell(number: usize, frame: &[u8], expected: &[u8], seen: Option<&[u8]>) {
    println!("frame {number}:   {}", hex(frame));
    println!("  expected: {}", hex(expected));
    match seen {
        Some(seen) => println!("  came out: {}", hex(seen)),
        None => println!("  nothing came out"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(text: &str) -> Result<Place, &'static str> {
    let (namespace, name) = text.split_once(',').ok_or("expected NAMESPACE,NAME")?;
    Ok((namespace.into(), name.into()))
}

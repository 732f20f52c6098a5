//! `netvirt replay`

use std::io::Write;

use netvirt_std::capture::CaptureError;
use netvirt_std::replay::{InputError, Recording, Replay, frames_in_order};
use serde::Serialize;

use super::{Failure, ReplayArgs, policy};

/// Pushes captured frames through a host's switch, and says what became of each.
pub fn run(args: &ReplayArgs, out: &mut impl Write) -> Result<(), Failure> {
    let host = policy::of_host(&args.policy, &args.host)?;
    let frames = frames_in_order(&args.inputs, &host)?;
    let mut replay =
        Replay::new(&host).map_err(|refused| Failure::BadInput(refused.to_string()))?;
    let mut recording = match &args.capture {
        Some(file) => Some(Recording::create(file, &host)?),
        None => None,
    };
    for (place, frame) in &frames {
        let replayed = replay.push(*place, frame);
        if let Some(recording) = &mut recording {
            recording.add(frame, &replayed)?;
        }
        let line = replay.line(&replayed);
        match args.json {
            true => write_json(out, &line)?,
            false => writeln!(out, "{line}")?,
        }
    }
    if let Some(recording) = recording {
        recording.finish()?;
    }
    let counters = replay.counters();
    match args.json {
        true => write_json(out, &Counters { counters })?,
        false => write!(out, "\n{counters}")?,
    }
    Ok(())
}

/// Tells the last line from those of the frames.
#[derive(Serialize)]
struct Counters<C> {
    counters: C,
}

/// Writes a value as one line of JSON.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(|error| Failure::Output(error.into()))?;
    Ok(writeln!(out)?)
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::Impossible(error.to_string())
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        Self::Impossible(error.to_string())
    }
}

//! `netvirt trace`

use std::io::Write;

use netvirt_core::datapath::Frame;
use netvirt_core::offload::Offload;
use netvirt_std::capture::{CaptureReader, CapturedFrame};
use netvirt_std::explain::explain;
use netvirt_std::hex;
use netvirt_std::replay::{Place, Replay};

use super::replay::write_json;
use super::{Failure, TraceArgs, TracedFrames, policy};

/// Explains what a host's switch decides about frames, each for itself.
pub fn run(args: &TraceArgs, out: &mut impl Write) -> Result<(), Failure> {
    let host = policy::of_host(&args.policy, &args.host)?;
    let place = Place::named(&args.port, &host)?;
    let frames = read(&args.frames)?;
    let replay = Replay::new(&host).map_err(|refused| Failure::BadInput(refused.to_string()))?;
    let policy = replay.switch().policy();
    for (index, captured) in frames.iter().enumerate() {
        let frame = Frame {
            ingress: place.ingress(),
            window: &captured.bytes,
            length: captured.original_length as usize,
            offload: Offload::NONE,
        };
        let explanation = explain(policy, &host, &args.port, &frame);
        if args.json {
            write_json(out, &explanation)?;
            continue;
        }
        if frames.len() > 1 {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(out, "{gap}frame        {index}")?;
        }
        write!(out, "{explanation}")?;
    }
    Ok(())
}

fn read(frames: &TracedFrames) -> Result<Vec<CapturedFrame>, Failure> {
    if let Some(file) = &frames.capture {
        return Ok(CaptureReader::open(file)?.collect::<Result<_, _>>()?);
    }
    let text = frames.hex.as_deref().unwrap_or_default();
    let bytes = hex::parse(text)
        .map_err(|invalid| Failure::Impossible(format!("--hex is no frame: {invalid}")))?;
    Ok(vec![CapturedFrame {
        timestamp: 0,
        original_length: bytes.len() as u32,
        bytes,
        interface: 0,
    }])
}

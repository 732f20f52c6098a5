//! `netvirt trace`

use std::io::Write;

use netvirt_core::datapath::Frame;
use netvirt_core::offload::Offload;
use netvirt_std::capture::{CaptureReader, CapturedFrame};
use netvirt_std::control::{Client, Form, TraceRequest};
use netvirt_std::explain::explain;
use netvirt_std::hex::{self, Hex};
use netvirt_std::policy_file::HostPolicy;
use netvirt_std::replay::{Place, Replay};

use super::decider::Decider;
use super::replay::write_json;
use super::{Failure, TraceArgs, TracedFrames};

/// Explains what a host's switch decides about frames, each for itself.
pub fn run(args: &TraceArgs, out: &mut impl Write) -> Result<(), Failure> {
    let form = args.decider.form();
    let decider = args.decider.decider()?;
    let frames = read(&args.frames)?;
    match decider {
        Decider::Policy(host) => offline(&host, &args.port, &frames, form, out),
        Decider::Switch(client) => ask(&client, &args.port, &frames, form, out),
    }
}

/// The policy file decides.
fn offline(
    host: &HostPolicy,
    port: &str,
    frames: &[CapturedFrame],
    form: Form,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let place = Place::named(port, host)?;
    let replay = Replay::new(host).map_err(|refused| Failure::BadInput(refused.to_string()))?;
    let policy = replay.switch().policy();
    for (index, captured) in frames.iter().enumerate() {
        let frame = Frame {
            ingress: place.ingress(),
            window: &captured.bytes,
            length: captured.original_length as usize,
            offload: Offload::NONE,
        };
        let explanation = explain(policy, host, port, &frame);
        match form {
            Form::Json => write_json(out, &explanation)?,
            Form::Text => {
                write_number(index, frames, out)?;
                write!(out, "{explanation}")?;
            }
        }
    }
    Ok(())
}

/// The live policy of a running switch decides.
fn ask(
    client: &Client,
    port: &str,
    frames: &[CapturedFrame],
    form: Form,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for (index, captured) in frames.iter().enumerate() {
        let request = TraceRequest {
            port: port.to_owned(),
            frame: Hex(&captured.bytes).to_string(),
            length: Some(captured.original_length as usize),
        };
        let explanation = client.trace(&request, form)?;
        match form {
            Form::Json => writeln!(out, "{}", String::from_utf8_lossy(&explanation))?,
            Form::Text => {
                write_number(index, frames, out)?;
                out.write_all(&explanation)?;
            }
        }
    }
    Ok(())
}

/// Says which of several frames comes next.
fn write_number(
    index: usize,
    frames: &[CapturedFrame],
    out: &mut impl Write,
) -> Result<(), Failure> {
    if frames.len() > 1 {
        let gap = if index == 0 { "" } else { "\n" };
        writeln!(out, "{gap}frame        {index}")?;
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
        comment: None,
    }])
}

//! What a replay did, as a capture.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::input::Place;
use super::run::Replayed;
use crate::capture::{CaptureError, CaptureWriter, CapturedFrame, Direction, InterfaceId};
use crate::policy_file::HostPolicy;
use crate::switch::{Decision, Egress};

/// A capture with an interface for each port and for the uplink: what came into the switch, and behind each frame
/// what left because of it. A refused frame has the reason as its comment.
pub struct Recording<W: Write> {
    writer: CaptureWriter<W>,
    ports: HashMap<Place, InterfaceId>,
    uplink: InterfaceId,
}

impl Recording<BufWriter<File>> {
    /// Makes a capture file, or replaces the one that is there.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(path: &Path, host: &HostPolicy) -> Result<Self, CaptureError> {
        Self::new(CaptureWriter::create(path)?, host)
    }
}

impl<W: Write> Recording<W> {
    /// Records into a capture.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn new(mut writer: CaptureWriter<W>, host: &HostPolicy) -> Result<Self, CaptureError> {
        let uplink = writer.add_interface(Place::Uplink.name(host))?;
        let mut ports = HashMap::new();
        for port in &host.ports {
            ports.insert(Place::Port(port.port), writer.add_interface(&port.name)?);
        }
        Ok(Self {
            writer,
            ports,
            uplink,
        })
    }

    /// Records a frame, and what left the switch because of it.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn add(&mut self, frame: &CapturedFrame, replayed: &Replayed) -> Result<(), CaptureError> {
        let time = frame.timestamp;
        let received = (&*frame.bytes, frame.original_length as usize);
        let comment = refusal(&replayed.decision);
        let place = self.interface(replayed.place);
        let inbound = Direction::Inbound;
        self.writer
            .write_cut(place, time, inbound, received, comment.as_deref())?;
        for sent in &replayed.sent {
            let place = match sent.egress {
                Egress::Port(port) => self.interface(Place::Port(port)),
                Egress::Uplink(_) => self.uplink,
            };
            let bytes = (&*sent.bytes, sent.length);
            self.writer
                .write_cut(place, time, Direction::Outbound, bytes, None)?;
        }
        Ok(())
    }

    /// Writes out what is still buffered, and gives the output back.
    ///
    /// # Errors
    /// The output refuses it.
    pub fn finish(self) -> Result<W, CaptureError> {
        self.writer.finish()
    }

    fn interface(&self, place: Place) -> InterfaceId {
        self.ports.get(&place).copied().unwrap_or(self.uplink)
    }
}

fn refusal(decision: &Decision) -> Option<String> {
    let reason = decision.reason?;
    let verdict = decision.kind.name();
    Some(match decision.vsid {
        Some(vsid) => format!("{verdict}: {reason} (VSID {vsid})"),
        None => format!("{verdict}: {reason}"),
    })
}

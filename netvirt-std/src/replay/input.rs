//! Which frames arrive, where, and in which order.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use netvirt_core::PortId;

use crate::capture::{CaptureError, CaptureReader, CapturedFrame, in_order_of_time};
use crate::policy_file::HostPolicy;

/// The name that stands for the uplink where otherwise a machine's name stands.
const UPLINK: &str = "uplink";

/// Where a frame arrives at the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// From a virtual machine.
    Port(PortId),
    /// From the provider network.
    Uplink,
}

impl Place {
    /// The place of that name: `uplink`, or the port of the machine.
    ///
    /// # Errors
    /// The host has no such port.
    pub fn named(name: &str, host: &HostPolicy) -> Result<Self, InputError> {
        if name == UPLINK {
            return Ok(Self::Uplink);
        }
        let port = host.ports.iter().find(|port| port.name == name);
        port.map(|port| Self::Port(port.port))
            .ok_or_else(|| InputError::UnknownPort {
                name: name.to_owned(),
                host: host.name.clone(),
                ports: host.ports.iter().map(|port| port.name.clone()).collect(),
            })
    }

    /// The name of the place.
    pub fn name(self, host: &HostPolicy) -> &str {
        match self {
            Self::Uplink => UPLINK,
            Self::Port(wanted) => host
                .ports
                .iter()
                .find(|port| port.port == wanted)
                .map_or("?", |port| &port.name),
        }
    }
}

/// A capture of what arrives at one place, written `PORT=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortCapture {
    /// A machine's name, or `uplink`.
    pub port: String,
    /// The capture file.
    pub file: PathBuf,
}

impl FromStr for PortCapture {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((port, file)) if !port.is_empty() && !file.is_empty() => Ok(Self {
                port: port.to_owned(),
                file: file.into(),
            }),
            _ => Err(InputError::NoPortCapture(text.to_owned())),
        }
    }
}

/// The frames of all captures in order of time. Of frames with the same timestamp, those of the capture that
/// was named first come first, and within a capture those that stand first.
///
/// # Errors
/// A capture is for a port that the host does not have, or cannot be read.
pub fn frames_in_order(
    captures: &[PortCapture],
    host: &HostPolicy,
) -> Result<Vec<(Place, CapturedFrame)>, InputError> {
    let mut places = Vec::new();
    let mut readers = Vec::new();
    for capture in captures {
        places.push(Place::named(&capture.port, host)?);
        readers.push(CaptureReader::open(&capture.file)?);
    }
    let frames = in_order_of_time(readers)?;
    let at_place = |(capture, frame): (usize, CapturedFrame)| (places[capture], frame);
    Ok(frames.into_iter().map(at_place).collect())
}

/// What shall arrive cannot arrive.
#[derive(Debug)]
#[non_exhaustive]
pub enum InputError {
    /// The text does not have the form `PORT=FILE`.
    NoPortCapture(String),
    /// The host has no such port.
    UnknownPort {
        /// The name that was asked for.
        name: String,
        /// The host.
        host: String,
        /// The ports that it has.
        ports: Vec<String>,
    },
    /// A capture cannot be read.
    Capture(CaptureError),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPortCapture(text) => write!(
                f,
                "{text:?} is not PORT=FILE: name a virtual machine or {UPLINK}, then its capture"
            ),
            Self::UnknownPort { name, host, ports } => {
                write!(f, "{host} has no port {name:?}: it has {UPLINK}")?;
                ports.iter().try_for_each(|port| write!(f, ", {port}"))
            }
            Self::Capture(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Capture(error) => error.source(),
            _ => None,
        }
    }
}

impl From<CaptureError> for InputError {
    fn from(error: CaptureError) -> Self {
        Self::Capture(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{CaptureWriter, Direction};
    use crate::policy_file::PolicyFile;

    fn host() -> HostPolicy {
        let text = include_str!("../../../examples/two-hosts.toml");
        let file = PolicyFile::parse(text, "two-hosts.toml").unwrap();
        file.for_host("host-1").unwrap()
    }

    #[test]
    fn a_port_is_named_by_its_machine_and_the_uplink_by_its_own_name() {
        let host = host();
        for (number, name) in ["blue-1", "red-1"].into_iter().enumerate() {
            let place = Place::named(name, &host).unwrap();
            assert_eq!(place, Place::Port(PortId(number as u32)));
            assert_eq!(place.name(&host), name);
        }
        assert_eq!(Place::named("uplink", &host).unwrap(), Place::Uplink);
        let error = Place::named("blue-2", &host).unwrap_err();
        assert_eq!(
            error.to_string(),
            "host-1 has no port \"blue-2\": it has uplink, blue-1, red-1"
        );
    }

    #[test]
    fn a_file_name_may_hold_an_equals_sign_and_neither_side_may_be_empty() {
        let capture: PortCapture = "red-1=runs/a=b.pcap".parse().unwrap();
        assert_eq!(capture.port, "red-1");
        assert_eq!(capture.file, PathBuf::from("runs/a=b.pcap"));
        for text in ["", "red-1", "=a.pcap", "red-1="] {
            assert!(text.parse::<PortCapture>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn frames_of_several_captures_arrive_in_order_of_time() {
        let directory = tempfile::tempdir().unwrap();
        let capture = |port: &str, times: &[u64]| {
            let file = directory.path().join(port).with_extension("pcapng");
            let mut writer = CaptureWriter::create(&file).unwrap();
            let interface = writer.add_interface(port).unwrap();
            for time in times {
                writer
                    .write(interface, *time, Direction::Inbound, &[0; 60], None)
                    .unwrap();
            }
            writer.finish().unwrap();
            let port = port.to_owned();
            PortCapture { port, file }
        };
        let uplink = capture("uplink", &[3, 5]);
        let red = capture("red-1", &[1, 3, 9]);
        let order = |captures: &[PortCapture]| -> Vec<_> {
            let frames = frames_in_order(captures, &host()).unwrap();
            frames
                .into_iter()
                .map(|(place, frame)| (frame.timestamp, place))
                .collect()
        };
        let (up, port) = (Place::Uplink, Place::Port(PortId(1)));
        assert_eq!(
            order(&[uplink.clone(), red.clone()]),
            [(1, port), (3, up), (3, port), (5, up), (9, port)]
        );
        assert_eq!(
            order(&[red, uplink]),
            [(1, port), (3, port), (3, up), (5, up), (9, port)]
        );
    }
}

//! The VLAN side of a router: a trunk that carries 802.1Q tags, and a port without tags for each VLAN. Stands in for
//! the kernel's VLAN interfaces, which not every kernel has.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use clap::Parser;
use netvirt_lab::tap::{self, Frames};
use rustix::event::{PollFd, PollFlags, poll};

/// Makes TAPs and passes frames between a trunk and the ports of its VLANs. Prints `ready` when all are there.
#[derive(Parser)]
struct Arguments {
    /// Where frames have tags.
    #[arg(value_name = "NAMESPACE,NAME", value_parser = trunk)]
    trunk: Place,
    /// Where the frames of one VLAN have none.
    #[arg(value_name = "NAMESPACE,NAME,VLAN", value_parser = port, required = true)]
    ports: Vec<(Place, u16)>,
}

/// A network namespace and an interface in it.
type Place = (String, String);

/// Where a tag stands: behind the two MAC addresses.
const TAG_AT: usize = 12;
const TAG_LENGTH: usize = 4;
const TPID: [u8; 2] = [0x81, 0x00];
/// Longest frame, a tag included.
const LONGEST: usize = 9216;

fn main() -> ExitCode {
    let Err(error) = run(&Arguments::parse());
    eprintln!("vlan-trunk: {error}");
    ExitCode::from(2)
}

fn run(arguments: &Arguments) -> io::Result<std::convert::Infallible> {
    let open = |place: &Place| tap::open(&place.0, &place.1, Frames::Plain);
    let trunk = open(&arguments.trunk)?;
    let ports = arguments
        .ports
        .iter()
        .map(|(place, vlan)| Ok((open(place)?, *vlan)));
    let ports: Vec<_> = ports.collect::<io::Result<_>>()?;
    println!("ready");

    let mut buffer = [0; LONGEST];
    let taps: Vec<_> = ports.iter().map(|(port, _)| port).chain([&trunk]).collect();
    loop {
        let mut awaited: Vec<_> = taps
            .iter()
            .map(|tap| PollFd::new(*tap, PollFlags::IN))
            .collect();
        poll(&mut awaited, None)?;
        while let Some(frame) = read(&trunk, &mut buffer)? {
            let port = ports.iter().find(|(_, vlan)| is_tagged(frame, *vlan));
            if let Some((port, _)) = port {
                let (addresses, tagged) = frame.split_at(TAG_AT);
                write(port, &[addresses, &tagged[TAG_LENGTH..]]);
            }
        }
        for (port, vlan) in &ports {
            while let Some(frame) = read(port, &mut buffer)? {
                let (addresses, rest) = frame.split_at(TAG_AT);
                write(&trunk, &[addresses, &TPID, &vlan.to_be_bytes(), rest]);
            }
        }
    }
}

fn is_tagged(frame: &[u8], vlan: u16) -> bool {
    let tag = frame[TAG_AT..].first_chunk::<TAG_LENGTH>();
    tag.is_some_and(|[a, b, c, d]| [*a, *b] == TPID && u16::from_be_bytes([*c, *d]) & 0xfff == vlan)
}

/// The next frame, if there is one.
fn read<'b>(mut tap: &File, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    match tap.read(buffer) {
        Ok(length) => Ok(Some(&buffer[..length])),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // The interface is down.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A frame that is not taken is lost, as on a wire.
fn write(mut tap: &File, parts: &[&[u8]]) {
    let _ = tap.write(&parts.concat());
}

fn trunk(text: &str) -> Result<Place, &'static str> {
    let (namespace, name) = text.split_once(',').ok_or("expected NAMESPACE,NAME")?;
    Ok((namespace.into(), name.into()))
}

fn port(text: &str) -> Result<(Place, u16), &'static str> {
    let expected = "expected NAMESPACE,NAME,VLAN with a VLAN id from 1 to 4094";
    let (place, vlan) = text.rsplit_once(',').ok_or(expected)?;
    let vlan = vlan
        .parse()
        .ok()
        .filter(|vlan| (1..=4094).contains(vlan))
        .ok_or(expected)?;
    Ok((trunk(place)?, vlan))
}

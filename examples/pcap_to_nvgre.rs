//! Turns a capture of a virtual machine's frames into a capture of what its host sends for them into the provider
//! network, and says what became of each frame. `netvirt replay` does this and more; here it is in a few lines.
//!
//! ```text
//! cargo run --example pcap_to_nvgre
//! cargo run --example pcap_to_nvgre -- POLICY.toml MACHINE IN.pcap OUT.pcapng
//! ```
//!
//! Look at the result with `tshark -r OUT.pcapng` or Wireshark.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use netvirt_core::PortId;
use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{Change, Neighbour, Transaction};
use netvirt_core::table::Seed;
use netvirt_std::capture::{CaptureReader, CaptureWriter, Direction};
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use netvirt_std::switch::{Egress, Sent, Switch};

fn main() -> Result<(), Box<dyn Error>> {
    let [policy, machine, input, output] = arguments()?;
    let text = fs::read_to_string(&policy).map_err(|error| format!("{policy}: {error}"))?;
    let file = PolicyFile::parse(&text, &policy).map_err(|errors| errors.to_string())?;
    let (host, port) =
        host_of(&machine, &file).ok_or(format!("{policy} has no machine {machine}"))?;

    let mut switch = switch_of(&host)?;
    let mut writer = CaptureWriter::create(Path::new(&output))?;
    let uplink = writer.add_interface(&host.name)?;

    println!("{machine} on {}, from {input}:", host.name);
    for (number, frame) in (1..).zip(CaptureReader::open(Path::new(&input))?) {
        let frame = frame?;
        if frame.is_truncated() {
            return Err(format!("frame {number} was cut by the snap length of the capture").into());
        }
        let mut sent = Vec::new();
        let ingress = Ingress::Port(port);
        let decision = switch.receive(frame.timestamp, ingress, &frame.bytes, &mut sent);

        let mut fate = decision.kind.name().to_owned();
        if let Some(reason) = decision.reason {
            fate += &format!(": {}", reason.name());
        }
        for Sent { egress, bytes, .. } in sent {
            if let Egress::Uplink(_) = egress {
                fate += &format!(" as {} bytes", bytes.len());
                writer.write(uplink, frame.timestamp, Direction::Outbound, &bytes, None)?;
            }
        }
        println!("{number:>4}  {:>5} bytes  {fate}", frame.bytes.len());
    }
    writer.finish()?;
    println!("what left the uplink: {output}");
    Ok(())
}

/// What was asked for, or the sample.
fn arguments() -> Result<[String; 4], String> {
    let given: Vec<String> = env::args().skip(1).collect();
    if given.is_empty() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("examples");
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        return Ok([
            path(examples.join("two-hosts.toml")),
            "blue-1".into(),
            path(examples.join("captures/blue-1.pcap")),
            path(env::temp_dir().join("blue-1-nvgre.pcapng")),
        ]);
    }
    given
        .try_into()
        .map_err(|_| "give POLICY.toml MACHINE IN.pcap OUT.pcapng, or nothing".into())
}

/// The policy of the host on which a machine runs, and the machine's port there.
fn host_of(machine: &str, file: &PolicyFile) -> Option<(HostPolicy, PortId)> {
    let mut hosts = file
        .host_names()
        .filter_map(|name| file.for_host(name).ok());
    let (mut host, port) = hosts.find_map(|host| {
        let port = host.port(machine)?.port;
        Some((host, port))
    })?;
    host.changes.extend(neighbours_of(&host.name, file));
    Some((host, port))
}

/// The MAC addresses of all other hosts, as far as they need no router. Nobody answers ARP in a capture, and frames
/// would be held until somebody did.
fn neighbours_of(host: &str, file: &PolicyFile) -> Vec<Change> {
    file.host_names()
        .filter(|name| *name != host)
        .filter_map(|name| file.for_host(name).ok())
        .flat_map(|other| other.changes)
        .filter_map(|change| match change {
            Change::AddProviderAddress(own) => Some(Change::SetNeighbour(Neighbour {
                uplink: own.uplink,
                address: own.address,
                mac: own.mac,
            })),
            _ => None,
        })
        .collect()
}

/// The host's switch, its policy in force. What it announces on the uplink when it starts is of no interest here.
fn switch_of(host: &HostPolicy) -> Result<Switch, Box<dyn Error>> {
    // Drawn at random where tenants are not to be trusted; here the same input gives the same output.
    let seed = Seed::new(0, 0);
    let mut switch = Switch::with_room_for(&host.changes, seed);
    switch.apply(Transaction::new(&host.encode()), &mut Vec::new())?;
    Ok(switch)
}

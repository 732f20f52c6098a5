//! What is required, row by row (tests/rows), through a NIC that got its policy over the network: the same frames come out as out
//! of `netvirt replay`, byte for byte, and the same is counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use netvirt_core::offload::Offload;
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use netvirt_std::replay::{Place, PortCapture, Replay, Replayed, frames_in_order};
use netvirt_std::switch::{Egress, Sent};

use crate::attached::Attached;
use crate::{Outcome, same};

const ROWS: &str = "tests/rows";

/// Compares all captures of the rows.
pub fn compare(image: &str) -> Outcome {
    let path = Path::new(ROWS).join("network.toml");
    let text = fs::read_to_string(&path)?;
    let file = PolicyFile::parse(&text, "network.toml").map_err(|errors| errors.to_string())?;
    let (mut frames, mut came_out) = (0, 0);
    for ((section, host), captures) in captures()? {
        let host = file.for_host(&host)?;
        let story = Story::new(image, &path, &host)?;
        let compared = story.tell(&captures);
        let compared =
            compared.map_err(|why| format!("section {section}, {}: {why}", host.name))?;
        frames += compared.0;
        came_out += compared.1;
    }
    println!(
        "  {frames} frames of the rows: {came_out} come out byte for byte as replayed, all counters are the same"
    );
    Ok(())
}

/// The captures of each section and host.
type Captures = BTreeMap<(String, String), Vec<PortCapture>>;

fn captures() -> Outcome<Captures> {
    let mut captures = BTreeMap::<_, Vec<PortCapture>>::new();
    for section in fs::read_dir(ROWS)? {
        let section = section?.path();
        if !section.is_dir() {
            continue;
        }
        for capture in fs::read_dir(&section)? {
            let path: PathBuf = capture?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let mut parts = name.unwrap_or_default().split('.');
            let (Some(host), Some(port)) = (parts.next(), parts.next()) else {
                return Err(format!("{}: not HOST.PORT.pcapng", path.display()).into());
            };
            let section = section.file_name().unwrap_or_default().to_string_lossy();
            let key = (section.into_owned(), host.to_owned());
            captures.entry(key).or_default().push(PortCapture {
                port: port.to_owned(),
                file: path,
            });
        }
    }
    Ok(captures)
}

/// A NIC that has a host's policy, and the same host replayed.
struct Story<'h> {
    nic: Attached<'h>,
    host: &'h HostPolicy,
    replay: Replay<'h>,
}

impl<'h> Story<'h> {
    fn new(image: &str, policy: &Path, host: &'h HostPolicy) -> Outcome<Self> {
        let nic = Attached::boot(image, policy, host)?;
        Ok(Self {
            nic,
            host,
            replay: Replay::new(host)?,
        })
    }

    /// Yields how many frames went in, and how many came out.
    fn tell(mut self, captures: &[PortCapture]) -> Outcome<(u64, u64)> {
        let (mut frames, mut came_out) = (0, 0);
        for frame in frames_in_order(captures, self.host)? {
            let (place, frame) = frame;
            let replayed = self.replay.push(place, &frame);
            let outcome = self
                .send(place, &frame.bytes)
                .and_then(|()| self.hear(&replayed));
            let row = frame.comment.as_deref().unwrap_or("a frame without row");
            outcome.map_err(|why| format!("{row}: {why}"))?;
            frames += 1;
            came_out += replayed.sent.len() as u64;
        }
        self.nic.expect_end(&self.replay.counters())?;
        Ok((frames, came_out))
    }

    fn send(&self, place: Place, frame: &[u8]) -> Outcome {
        match place {
            Place::Uplink => self.nic.arrive(frame),
            Place::Port(port) => self.nic.send(port, frame, Offload::NONE),
        }
    }

    /// What comes out at each place comes in its order.
    fn hear(&self, replayed: &Replayed) -> Outcome {
        for sent in &replayed.sent {
            let received = match sent.egress {
                Egress::Uplink(_) => self.nic.transmitted()?,
                Egress::Port(port) => self.nic.delivered_to(port)?,
            };
            same(&received, &whole(sent)?)?;
        }
        Ok(())
    }
}

/// A frame as it leaves a NIC that leaves no work to others.
fn whole(sent: &Sent) -> Outcome<Vec<u8>> {
    if sent.offload != Offload::NONE || sent.length != sent.bytes.len() {
        return Err("the rows are of whole frames".into());
    }
    Ok(sent.bytes.clone())
}

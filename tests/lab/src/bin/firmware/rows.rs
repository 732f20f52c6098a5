//! What is required, row by row (tests/rows), through a NIC that got its policy over the network: the same frames come out as out
//! of `netvirt replay`, byte for byte, and the same is counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use netvirt_core::offload::Offload;
use netvirt_core::{MacAddress, PortId};
use netvirt_fw::header::{ETHERTYPE, Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use netvirt_lab::board::Cable;
use netvirt_std::counters::{Count, CounterReport};
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use netvirt_std::replay::{Place, PortCapture, Replay, Replayed, frames_in_order};
use netvirt_std::switch::{Egress, Sent};

use crate::management::Managed;
use crate::{Outcome, same};

const ROWS: &str = "tests/rows";
/// The NIC's address on the link to its host.
const NIC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// A frame that crosses the NIC behind all that it had to say.
const MARKER: [u8; 60] = {
    let mut frame = [0x4d; 60];
    // Of an EtherType for experiments, from and to nobody.
    (frame[0], frame[6], frame[12], frame[13]) = (2, 2, 0x88, 0xb6);
    frame
};

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
    nic: Managed,
    host: &'h HostPolicy,
    replay: Replay<'h>,
}

impl<'h> Story<'h> {
    fn new(image: &str, policy: &Path, host: &'h HostPolicy) -> Outcome<Self> {
        let nic = Managed::boot(image)?;
        nic.push(policy, &host.name)?;
        // It has announced its addresses.
        nic.host.send(&MARKER)?;
        while from_wire(&nic.wire)? != MARKER {}
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
        // Nothing else comes out.
        self.nic.host.send(&MARKER)?;
        same(&from_wire(&self.nic.wire)?, &MARKER)?;
        self.compare_counters()?;
        // From here on it is counted.
        self.nic.wire.send(&MARKER)?;
        loop {
            let frame = self.nic.host.receive()?;
            if frame == MARKER {
                break;
            }
            if let Some((repr, _)) = from_link(&frame)? {
                return Err(format!("the host was given {:?} besides", repr.kind).into());
            }
        }
        Ok((frames, came_out))
    }

    fn send(&self, place: Place, frame: &[u8]) -> Outcome {
        match place {
            Place::Uplink => self.nic.wire.send(frame)?,
            Place::Port(port) => {
                let addresses = LinkAddresses {
                    destination: NIC,
                    source: self.host.uplink_mac,
                };
                let own = self.host.ports.iter().find(|own| own.port == port);
                let repr = Repr {
                    vsid: own.map(|own| own.vsid),
                    ..Repr::new(Kind::Sent(port))
                };
                let mut link = [0; LINK_LEN];
                addresses.emit(&repr, &mut link);
                self.nic.host.send(&[&link[..], frame].concat())?;
            }
        }
        Ok(())
    }

    /// What comes out at each place comes in its order.
    fn hear(&self, replayed: &Replayed) -> Outcome {
        for sent in &replayed.sent {
            let received = match sent.egress {
                Egress::Uplink(_) => from_wire(&self.nic.wire)?,
                Egress::Port(port) => self.delivered_to(port)?,
            };
            same(&received, &whole(sent)?)?;
        }
        Ok(())
    }

    fn delivered_to(&self, port: PortId) -> Outcome<Vec<u8>> {
        loop {
            let frame = self.nic.host.receive()?;
            match from_link(&frame)? {
                // The host's own business, and what the NIC has heard of next hops.
                None => {}
                Some((repr, _)) if matches!(repr.kind, Kind::Exception { reason: None, .. }) => {}
                Some((repr, frame)) if repr.kind == Kind::Delivered(port) => return Ok(frame),
                Some((repr, _)) => {
                    let why = format!(
                        "the host was given {:?}, not a frame for port {port}",
                        repr.kind
                    );
                    return Err(why.into());
                }
            }
        }
    }

    fn compare_counters(&self) -> Outcome {
        let (counted, expected) = (self.nic.counters()?, self.replay.counters());
        let totals = |report: &CounterReport| {
            [
                ("received", report.received),
                ("delivered", report.delivered),
                ("transmitted", report.transmitted),
                ("replicated", report.replicated),
                ("replied", report.replied),
                ("punted", report.punted),
                ("held", report.held),
                ("dropped", report.dropped),
            ]
            .map(|(name, frames)| (name.to_owned(), frames))
        };
        let ports = expected
            .ports
            .iter()
            .zip(&self.host.ports)
            .map(|(counted, port)| {
                let numbers = (counted.received, counted.delivered, counted.refused);
                (format!("port {}", port.port), numbers)
            });
        let nothing = (Count::default(), Count::default(), 0);
        let ports: Vec<_> = ports.filter(|(_, numbers)| *numbers != nothing).collect();
        let of_nic = counted.ports.iter().map(|counted| {
            let numbers = (counted.received, counted.delivered, counted.refused);
            (counted.port.clone(), numbers)
        });
        differing("totals", &totals(&counted)[..], &totals(&expected)[..])?;
        differing(
            "reasons",
            &sorted(counted.reasons),
            &sorted(expected.reasons),
        )?;
        differing("events", &sorted(counted.events), &sorted(expected.events))?;
        differing("ports", &of_nic.collect::<Vec<_>>(), &ports)
    }
}

fn sorted(mut counters: Vec<(String, u64)>) -> Vec<(String, u64)> {
    counters.sort();
    counters
}

fn differing<T: PartialEq + std::fmt::Debug>(what: &str, counted: &[T], expected: &[T]) -> Outcome {
    let differing = counted
        .iter()
        .zip(expected)
        .find(|(one, other)| one != other);
    match differing {
        Some((one, other)) => Err(format!("{what}: the NIC counted {one:?}, not {other:?}").into()),
        None if counted.len() != expected.len() => {
            Err(format!("{what}: the NIC counted {counted:?}, not {expected:?}").into())
        }
        None => Ok(()),
    }
}

/// A frame as it leaves a NIC that leaves no work to others.
fn whole(sent: &Sent) -> Outcome<Vec<u8>> {
    if sent.offload != Offload::NONE || sent.length != sent.bytes.len() {
        return Err("the rows are of whole frames".into());
    }
    Ok(sent.bytes.clone())
}

/// The next frame in the provider network, but for those of QEMU's own network.
fn from_wire(wire: &Cable) -> Outcome<Vec<u8>> {
    loop {
        let frame = wire.receive()?;
        if !frame
            .get(6..)
            .is_some_and(|source| source.starts_with(&[0x52, 0x55]))
        {
            return Ok(frame);
        }
    }
}

/// What the NIC says on the link to its host; none if it is another frame.
fn from_link(frame: &[u8]) -> Outcome<Option<(Repr, Vec<u8>)>> {
    if frame.get(ETHERNET - 2..ETHERNET) != Some(&ETHERTYPE.to_be_bytes()[..]) {
        return Ok(None);
    }
    let rest = &frame[ETHERNET..];
    let malformed = |_| "the NIC's header is malformed";
    let packet = Packet::new_checked(rest).map_err(malformed)?;
    let repr = Repr::parse(&packet).map_err(malformed)?;
    let length = repr.buffer_len();
    Ok(Some((repr, rest[length..].to_vec())))
}

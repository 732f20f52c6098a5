//! A NIC between host and wire that got a host's policy over the network.

use std::path::Path;

use netvirt_core::offload::Offload;
use netvirt_core::{MacAddress, PortId};
use netvirt_fw::header::{ETHERTYPE, Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use netvirt_lab::board::Cable;
use netvirt_std::counters::{Count, CounterReport};
use netvirt_std::policy_file::HostPolicy;

use crate::management::Managed;
use crate::{Outcome, same};

/// The NIC's address on the link to its host.
const NIC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Bytes of the stack that are to be left.
const LEAST_STACK: usize = 1024;
/// A frame that crosses the NIC behind all that it had to say.
const MARKER: [u8; 60] = {
    let mut frame = [0x4d; 60];
    // Of an EtherType for experiments, from and to nobody.
    (frame[0], frame[6], frame[12], frame[13]) = (2, 2, 0x88, 0xb6);
    frame
};

/// The NIC, and the policy of its host.
pub struct Attached<'h> {
    nic: Managed,
    host: &'h HostPolicy,
}

impl<'h> Attached<'h> {
    /// A NIC that has taken its policy from this file, and has announced its addresses.
    pub fn boot(image: &str, policy: &Path, host: &'h HostPolicy) -> Outcome<Self> {
        let nic = Managed::boot(image)?;
        nic.push(policy, &host.name)?;
        nic.host.send(&MARKER)?;
        while from_wire(&nic.wire)? != MARKER {}
        Ok(Self { nic, host })
    }

    /// The wire brings a frame.
    pub fn arrive(&self, frame: &[u8]) -> Outcome {
        Ok(self.nic.wire.send(frame)?)
    }

    /// The host hands it a frame of a machine, and the work beside it.
    pub fn send(&self, port: PortId, frame: &[u8], offload: Offload) -> Outcome {
        let addresses = LinkAddresses {
            destination: NIC,
            source: self.host.uplink_mac,
        };
        let own = self.host.ports.iter().find(|own| own.port == port);
        let repr = Repr {
            offload,
            vsid: own.map(|own| own.vsid),
            ..Repr::new(Kind::Sent(port))
        };
        let mut link = [0; LINK_LEN];
        addresses.emit(&repr, &mut link);
        Ok(self.nic.host.send(&[&link[..], frame].concat())?)
    }

    /// The next frame that leaves into the wire.
    pub fn transmitted(&self) -> Outcome<Vec<u8>> {
        from_wire(&self.nic.wire)
    }

    /// The next frame for a machine.
    pub fn delivered_to(&self, port: PortId) -> Outcome<Vec<u8>> {
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

    /// Nothing more came out, and the same was counted.
    pub fn expect_end(&self, expected: &CounterReport) -> Outcome {
        self.nic.host.send(&MARKER)?;
        same(&from_wire(&self.nic.wire)?, &MARKER)?;
        self.compare_counters(expected)?;
        self.check_stack()?;
        // From here on it is counted.
        self.nic.wire.send(&MARKER)?;
        loop {
            let frame = self.nic.host.receive()?;
            if frame == MARKER {
                return Ok(());
            }
            if let Some((repr, _)) = from_link(&frame)? {
                return Err(format!("the host was given {:?} besides", repr.kind).into());
            }
        }
    }

    /// The stack has never been nearly full.
    fn check_stack(&self) -> Outcome {
        match self.nic.board.stack_left()? {
            Some(left) if left < LEAST_STACK => {
                Err(format!("only {left} bytes of the stack were never used").into())
            }
            _ => Ok(()),
        }
    }

    fn compare_counters(&self, expected: &CounterReport) -> Outcome {
        let counted = self.nic.counters()?;
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
        differing("totals", &totals(&counted)[..], &totals(expected)[..])?;
        differing(
            "reasons",
            &sorted(&counted.reasons),
            &sorted(&expected.reasons),
        )?;
        differing(
            "events",
            &sorted(&counted.events),
            &sorted(&expected.events),
        )?;
        differing("ports", &of_nic.collect::<Vec<_>>(), &ports)
    }
}

fn sorted(counters: &[(String, u64)]) -> Vec<(String, u64)> {
    let mut counters = counters.to_vec();
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

//! What is seen of every frame, at machines and on the wire, by the kernel's packet sockets.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::site::{INTRUDER, Site};
use super::watch::Watch;
use crate::capture::{CaptureError, CaptureWriter, Direction, InterfaceId};
use crate::demo::DemoError;
use crate::demo::cast::Cast;
use crate::demo::witness::{OnWire, Witness};
use crate::device::link::Interface;

/// Looks at every machine and at the wire.
pub struct Eyes<W: Write> {
    machines: Vec<Watch>,
    /// Frames that arrived at machines. They are told of later than what is seen to be sent at the same time, for whose
    /// they are is known from that.
    arrivals: Vec<(usize, Vec<u8>)>,
    wire: Watch,
    ports: Vec<Port>,
    capture: CaptureWriter<W>,
    /// Frames that machines sent, by their host.
    pub from_machines: Vec<u64>,
    /// Frames that the wire brought, by host.
    pub from_wire: Vec<u64>,
    /// Frames of machines that came onto the wire, by host.
    pub to_wire: Vec<u64>,
}

/// A port of the wire.
struct Port {
    /// The number of its interface.
    interface: u32,
    /// The number of its host; the intruder has none.
    host: Option<usize>,
    recorded_as: InterfaceId,
}

impl<W: Write> Eyes<W> {
    /// Looks from now on. Frames on the wire go into `capture`.
    ///
    /// # Errors
    /// The kernel does not permit it, or the capture cannot be written.
    pub fn open(
        site: &Site,
        cast: &Cast,
        mut capture: CaptureWriter<W>,
    ) -> Result<Self, DemoError> {
        let hosts = cast.hosts.iter().map(|host| host.name.as_str());
        let names = [(INTRUDER, None)].into_iter();
        let names = names.chain(hosts.zip((0..).map(Some)));
        let port = |(name, host): (&str, Option<usize>)| -> Result<Port, DemoError> {
            Ok(Port {
                interface: Interface::open(name, &site.wire)?.index(),
                host,
                recorded_as: capture.add_interface(name)?,
            })
        };
        let ports = names.map(port).collect::<Result<_, _>>()?;
        let machines = site.machines.iter();
        Ok(Self {
            machines: machines
                .map(|machine| Watch::start(&machine.space))
                .collect::<io::Result<_>>()?,
            arrivals: Vec::new(),
            wire: Watch::start(&site.wire)?,
            ports,
            capture,
            from_machines: vec![0; cast.hosts.len()],
            from_wire: vec![0; cast.hosts.len()],
            to_wire: vec![0; cast.hosts.len()],
        })
    }

    /// Tells the witness what was seen since this was called last. Says whether there was anything.
    ///
    /// # Errors
    /// The kernel does not tell, or the capture cannot be written.
    pub fn look(&mut self, cast: &Cast, witness: &mut Witness) -> Result<bool, DemoError> {
        let arrived = std::mem::take(&mut self.arrivals);
        let mut moved = !arrived.is_empty();
        moved |= self.look_at_machines(cast, witness)?;
        for (machine, frame) in arrived {
            witness.saw_arrival(machine, &frame);
        }
        moved |= self.look_at_wire(cast, witness)?;
        Ok(moved)
    }

    fn look_at_machines(&mut self, cast: &Cast, witness: &mut Witness) -> io::Result<bool> {
        let mut moved = false;
        for (number, (watch, config)) in self.machines.iter_mut().zip(&cast.machines).enumerate() {
            while let Some(sighting) = watch.next()? {
                moved = true;
                if sighting.is_leaving {
                    witness.saw_sent(&config.tenant, sighting.bytes);
                    self.from_machines[config.host] += 1;
                } else {
                    self.arrivals.push((number, sighting.bytes.to_vec()));
                }
            }
        }
        Ok(moved)
    }

    fn look_at_wire(&mut self, cast: &Cast, witness: &mut Witness) -> Result<bool, DemoError> {
        let mut moved = false;
        while let Some(sighting) = self.wire.next()? {
            let is_it = |port: &&Port| port.interface == sighting.interface;
            let port = self.ports.iter().find(is_it);
            let Some(port) = port.filter(|_| !sighting.is_leaving) else {
                continue;
            };
            moved = true;
            let kind = match port.host {
                Some(host) => {
                    let kind = cast.kind_on_wire(sighting.bytes);
                    let is_of_machine =
                        matches!(kind, OnWire::Encapsulated(_) | OnWire::Rewritten(_));
                    self.to_wire[host] += u64::from(is_of_machine);
                    kind
                }
                None => OnWire::Intruder,
            };
            witness.saw_on_wire(kind);
            let receivers = cast.receivers(sighting.bytes);
            witness.saw_receivers(receivers.len());
            for host in receivers {
                self.from_wire[host] += 1;
            }
            let (interface, bytes) = (port.recorded_as, sighting.bytes);
            self.capture
                .write(interface, now(), Direction::Outbound, bytes, None)?;
        }
        Ok(moved)
    }

    /// How many frames were not seen, because there was no room for them.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn missed(&self) -> io::Result<u64> {
        let watches = self.machines.iter().chain([&self.wire]);
        watches.map(Watch::take_missed).sum()
    }

    /// Looks no longer. Yields the output of the capture.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn close(self) -> Result<W, CaptureError> {
        self.capture.finish()
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

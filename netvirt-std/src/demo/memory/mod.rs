//! The network in memory: every run is the same, and none waits.
//!
//! The hosts' switches are the real ones, the virtual machines are smoltcp stacks, and time is simulated.

mod machine;

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use netvirt_core::datapath::Ingress;
use netvirt_core::policy::Transaction;
use netvirt_core::table::Seed;
use netvirt_core::{PortId, UplinkId};
use smoltcp::time::Instant;

use super::DemoError;
use super::cast::Cast;
use super::network::{HostReport, Network};
use super::witness::{OnWire, Witness};
use crate::capture::{CaptureWriter, Direction, InterfaceId};
use crate::counters::CounterReport;
use crate::policy_file::PolicyFile;
use crate::switch::{Egress, Sent, Switch};
use machine::Machine;

const UPLINK: UplinkId = UplinkId(0);
/// What a round takes, and so the wire in each direction.
const ROUND: Duration = Duration::from_micros(20);

/// A host's switch.
struct Host {
    switch: Switch,
    /// The machines on its ports.
    machines: HashMap<PortId, usize>,
    interface: InterfaceId,
}

/// The whole network.
pub struct MemoryNetwork<W: Write> {
    cast: Cast,
    hosts: Vec<Host>,
    machines: Vec<Machine>,
    witness: Witness,
    now: Duration,
    wire: Vec<Vec<u8>>,
    capture: CaptureWriter<W>,
    intruder: InterfaceId,
}

impl<W: Write> MemoryNetwork<W> {
    /// Starts every host and machine of the policy. Frames on the wire go into `capture`.
    ///
    /// # Errors
    /// The core refuses the policy, or the capture cannot be written.
    pub fn start(file: &PolicyFile, mut capture: CaptureWriter<W>) -> Result<Self, DemoError> {
        let intruder = capture.add_interface("intruder")?;
        let cast = Cast::of(file);
        // A seed must differ between machines, or their connections look alike.
        let machines = cast.machines.iter().zip(1..);
        let mut network = Self {
            machines: machines
                .map(|(config, seed)| Machine::start(config, seed))
                .collect(),
            cast,
            hosts: Vec::new(),
            witness: Witness::default(),
            now: Duration::ZERO,
            wire: Vec::new(),
            capture,
            intruder,
        };
        for number in 0..network.cast.hosts.len() {
            network.start_host(number)?;
        }
        Ok(network)
    }

    fn start_host(&mut self, number: usize) -> Result<(), DemoError> {
        let policy = &self.cast.hosts[number];
        let machines = self.cast.machines.iter().enumerate();
        let own = machines.filter(|(_, config)| config.host == number);
        let machines = own
            .map(|(machine, config)| (config.port, machine))
            .collect();
        let interface = self.capture.add_interface(&policy.name)?;
        // The same every time, so that the demo is.
        let seed = Seed::new(0x6e65_7476_6972_7431, 0x6e65_7476_6972_7432);
        let mut switch = Switch::with_room_for(&policy.changes, seed);
        let mut sent = Vec::new();
        let applied = switch.apply(Transaction::new(&policy.encode()), &mut sent);
        applied.map_err(|refused| DemoError::Refused(policy.name.clone(), refused.to_string()))?;
        self.hosts.push(Host {
            switch,
            machines,
            interface,
        });
        self.carry(number, sent)
    }

    /// A frame arrives at the host, or the hosts, that it is for.
    fn arrive(&mut self, frame: &[u8]) -> Result<(), DemoError> {
        let hosts = self.cast.receivers(frame);
        self.witness.saw_receivers(hosts.len());
        for host in hosts {
            self.switch(host, Ingress::Uplink(UPLINK), frame)?;
        }
        Ok(())
    }

    fn switch(&mut self, host: usize, ingress: Ingress, frame: &[u8]) -> Result<(), DemoError> {
        let mut sent = Vec::new();
        let now = self.now.as_nanos() as u64;
        let decision = self.hosts[host]
            .switch
            .receive(now, ingress, frame, &mut sent);
        if let Some(reason) = decision.reason {
            let machine = match ingress {
                Ingress::Port(port) => self.hosts[host].machines.get(&port),
                Ingress::Uplink(_) => None,
            };
            let sender = machine.map(|machine| &self.cast.machines[*machine]);
            self.witness.saw_refusal(host, reason, sender, frame);
        }
        self.carry(host, sent)
    }

    /// Carries what left a switch to where it goes.
    fn carry(&mut self, host: usize, sent: Vec<Sent>) -> Result<(), DemoError> {
        for Sent { egress, bytes, .. } in sent {
            match egress {
                Egress::Port(port) => {
                    let Some(machine) = self.hosts[host].machines.get(&port) else {
                        continue;
                    };
                    self.witness.saw_arrival(*machine, &bytes);
                    self.machines[*machine].hand(bytes);
                }
                Egress::Uplink(_) => {
                    self.witness.saw_on_wire(self.cast.kind_on_wire(&bytes));
                    self.record(self.hosts[host].interface, &bytes)?;
                    self.wire.push(bytes);
                }
            }
        }
        Ok(())
    }

    fn record(&mut self, interface: InterfaceId, frame: &[u8]) -> Result<(), DemoError> {
        let now = self.now.as_nanos() as u64;
        self.capture
            .write(interface, now, Direction::Outbound, frame, None)?;
        Ok(())
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now.as_micros() as i64)
    }

    /// Ends the network: who took part, what was seen, the hosts, and the output of the capture.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn finish(self) -> Result<(Cast, Witness, Vec<HostReport>, W), DemoError> {
        let hosts = self.hosts.iter().zip(&self.cast.hosts);
        let reports = hosts.map(|(host, policy)| {
            let (tables, counters) = (host.switch.policy(), host.switch.worker().counters());
            let released = Some(host.switch.released());
            let counted = CounterReport::new(counters, tables, policy, released);
            HostReport::new(policy, tables, counted)
        });
        let reports = reports.collect();
        Ok((self.cast, self.witness, reports, self.capture.finish()?))
    }
}

impl<W: Write> Network for MemoryNetwork<W> {
    type Machine = Machine;

    const DEADLINE: Duration = Duration::from_secs(60);
    const PATIENCE: Duration = Duration::from_secs(3);
    const TIME_IS_FREE: bool = true;

    fn cast(&self) -> &Cast {
        &self.cast
    }

    fn machine(&mut self, number: usize) -> &mut Machine {
        &mut self.machines[number]
    }

    fn witness(&self) -> &Witness {
        &self.witness
    }

    fn held(&self) -> u64 {
        let counters = self
            .hosts
            .iter()
            .map(|host| host.switch.worker().counters());
        counters.map(|counters| counters.totals().held).sum()
    }

    fn now(&self) -> Duration {
        self.now
    }

    /// The wire carries what it took the round before.
    fn round(&mut self) -> Result<bool, DemoError> {
        self.now += ROUND;
        let arriving = std::mem::take(&mut self.wire);
        let mut moved = !arriving.is_empty();
        for frame in arriving {
            self.arrive(&frame)?;
        }
        for machine in 0..self.machines.len() {
            let now = self.instant();
            for frame in self.machines[machine].work(now) {
                moved = true;
                self.send(machine, &frame)?;
            }
        }
        Ok(moved)
    }

    fn wait(&mut self, end: Duration) -> Result<(), DemoError> {
        let now = self.instant();
        let timers = self
            .machines
            .iter_mut()
            .filter_map(|machine| machine.next_work(now));
        let next = timers.min().map_or(end, |timer| {
            Duration::from_micros(timer.total_micros() as u64)
        });
        self.now = self.now.max(next.min(end));
        Ok(())
    }

    fn settle(&mut self) -> Result<(), DemoError> {
        Ok(())
    }

    fn send(&mut self, machine: usize, frame: &[u8]) -> Result<(), DemoError> {
        let config = &self.cast.machines[machine];
        let (host, port) = (config.host, config.port);
        self.witness.saw_sent(&config.tenant, frame);
        self.switch(host, Ingress::Port(port), frame)
    }

    fn intrude(&mut self, frame: &[u8], inner: &[u8]) -> Result<(), DemoError> {
        self.witness.saw_intruder(inner);
        self.witness.saw_on_wire(OnWire::Intruder);
        self.record(self.intruder, frame)?;
        self.wire.push(frame.to_vec());
        Ok(())
    }
}

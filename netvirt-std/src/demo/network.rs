//! The demo network: hosts with a switch each, machines on their ports, one wire between them, and a clock.

use std::collections::HashMap;
use std::io::Write;
use std::net::IpAddr;

use netvirt_core::MacAddress;
use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{Change, Method, RouteTarget, Transaction};
use netvirt_core::table::Seed;
use netvirt_core::{PortId, UplinkId};
use smoltcp::time::Instant;

use super::DemoError;
use super::look::Content;
use super::machine::{Machine, MachineConfig};
use super::witness::{OnWire, Witness};
use crate::capture::{CaptureWriter, Direction, InterfaceId};
use crate::policy_file::{HostPolicy, PolicyFile};
use crate::switch::{Egress, Sent, Switch};

const UPLINK: UplinkId = UplinkId(0);
/// Nanoseconds that a round takes, and so the wire in each direction.
const ROUND: u64 = 20_000;

/// A host: its part of the policy, and its switch.
pub struct Host {
    /// Its part of the policy.
    pub policy: HostPolicy,
    /// Its switch.
    pub switch: Switch,
    /// Frames that reached its switch from the wire.
    pub from_wire: u64,
    /// Frames that its switch sent into the wire.
    pub to_wire: u64,
    /// The machines on its ports.
    machines: HashMap<PortId, usize>,
    interface: InterfaceId,
}

/// The whole network.
pub struct Network<W: Write> {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The machines, in the order of the policy's ports, host by host.
    pub machines: Vec<Machine>,
    /// What was seen.
    pub witness: Witness,
    /// Simulated nanoseconds.
    now: u64,
    wire: Vec<Vec<u8>>,
    tenant_of_vsid: HashMap<u32, String>,
    tenant_of_provider_address: HashMap<IpAddr, String>,
    capture: CaptureWriter<W>,
    intruder: InterfaceId,
}

impl<W: Write> Network<W> {
    /// Starts every host and machine of the policy. Frames on the wire go into `capture`.
    ///
    /// # Errors
    /// The core refuses the policy, or the capture cannot be written.
    pub fn start(file: &PolicyFile, mut capture: CaptureWriter<W>) -> Result<Self, DemoError> {
        let intruder = capture.add_interface("intruder")?;
        let mut network = Self {
            hosts: Vec::new(),
            machines: Vec::new(),
            witness: Witness::default(),
            now: 0,
            wire: Vec::new(),
            tenant_of_vsid: HashMap::new(),
            tenant_of_provider_address: HashMap::new(),
            capture,
            intruder,
        };
        for name in file.host_names() {
            let policy = file.for_host(name).expect("the file names this host");
            network.start_host(policy)?;
        }
        Ok(network)
    }

    fn start_host(&mut self, policy: HostPolicy) -> Result<(), DemoError> {
        self.learn_tenants(&policy);
        let number = self.hosts.len();
        let mut machines = HashMap::new();
        for config in machines_of(&policy, number) {
            machines.insert(config.port, self.machines.len());
            let seed = self.machines.len() as u64 + 1;
            self.machines.push(Machine::start(config, seed));
        }
        let interface = self.capture.add_interface(&policy.name)?;
        let mut sent = Vec::new();
        let mut switch = switch_of(&policy);
        let applied = switch.apply(Transaction::new(&policy.encode()), &mut sent);
        applied.map_err(|refused| DemoError::Refused(policy.name.clone(), refused.to_string()))?;
        self.hosts.push(Host {
            policy,
            switch,
            from_wire: 0,
            to_wire: 0,
            machines,
            interface,
        });
        self.carry(number, sent)
    }

    fn learn_tenants(&mut self, policy: &HostPolicy) {
        for subnet in &policy.subnets {
            let tenant = policy.domain_name(subnet.domain).unwrap_or_default();
            self.tenant_of_vsid
                .insert(subnet.vsid.get(), tenant.to_owned());
        }
        for change in &policy.changes {
            if let Change::AddRecord(record) = change
                && let Method::Rewrite {
                    provider_address, ..
                } = record.method
                && let Some(tenant) = self.tenant_of_vsid.get(&record.vsid.get())
            {
                self.tenant_of_provider_address
                    .insert(provider_address.get(), tenant.clone());
            }
        }
    }

    /// Simulated nanoseconds since the start.
    pub const fn now(&self) -> u64 {
        self.now
    }

    /// Frames that hosts had to hold so far, because they did not know a next hop.
    pub fn held(&self) -> u64 {
        self.hosts
            .iter()
            .map(|host| host.switch.worker().counters().totals().held)
            .sum()
    }

    /// The number of a machine.
    ///
    /// # Errors
    /// The policy has none of that name.
    pub fn machine(&self, name: &str) -> Result<usize, DemoError> {
        let found = self
            .machines
            .iter()
            .position(|machine| machine.config.name == name);
        found.ok_or_else(|| DemoError::Missing(name.to_owned()))
    }

    /// One round: whoever has something to send sends it, and the wire carries what it took the round before.
    /// Says whether anything moved.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn round(&mut self) -> Result<bool, DemoError> {
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

    /// Passes the time until a machine's timer, but not beyond `end`.
    pub fn wait(&mut self, end: u64) {
        let now = self.instant();
        let timers = self
            .machines
            .iter_mut()
            .filter_map(|machine| machine.next_work(now));
        let next = timers
            .min()
            .map_or(end, |timer| timer.total_micros().cast_unsigned() * 1000);
        self.now = self.now.max(next.min(end));
    }

    /// A frame leaves a machine's network card.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn send(&mut self, machine: usize, frame: &[u8]) -> Result<(), DemoError> {
        let config = &self.machines[machine].config;
        let (host, port) = (config.host, config.port);
        self.witness.saw_sent(&config.tenant, frame);
        self.switch(host, Ingress::Port(port), frame)
    }

    /// Somebody who is no host puts a frame on the wire, with another inside.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn intrude(&mut self, frame: Vec<u8>, inner: &[u8]) -> Result<(), DemoError> {
        self.witness.saw_intruder(inner);
        *self.witness.wire.entry(OnWire::Intruder).or_default() += 1;
        self.capture
            .write(self.intruder, self.now, Direction::Outbound, &frame, None)?;
        self.wire.push(frame);
        Ok(())
    }

    /// A frame arrives at the host, or the hosts, that it is for.
    fn arrive(&mut self, frame: &[u8]) -> Result<(), DemoError> {
        let destination = frame
            .first_chunk()
            .map_or(MacAddress::ZERO, |mac| MacAddress(*mac));
        let source = frame.get(6..12);
        let is_for = |host: &Host| {
            let own = host.policy.uplink_mac;
            own == destination || !destination.is_unicast() && source != Some(&own.0)
        };
        let hosts: Vec<usize> = (0..self.hosts.len())
            .filter(|host| is_for(&self.hosts[*host]))
            .collect();
        if hosts.is_empty() {
            self.witness.for_nobody += 1;
        }
        for host in hosts {
            self.hosts[host].from_wire += 1;
            self.switch(host, Ingress::Uplink(UPLINK), frame)?;
        }
        Ok(())
    }

    fn switch(&mut self, host: usize, ingress: Ingress, frame: &[u8]) -> Result<(), DemoError> {
        let mut sent = Vec::new();
        let decision = self.hosts[host]
            .switch
            .receive(self.now, ingress, frame, &mut sent);
        if let Some(reason) = decision.reason {
            let machine = match ingress {
                Ingress::Port(port) => self.hosts[host].machines.get(&port),
                Ingress::Uplink(_) => None,
            };
            let sender = machine.map(|machine| &self.machines[*machine].config);
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
                    self.hosts[host].to_wire += 1;
                    let kind = self.kind_on_wire(&bytes);
                    *self.witness.wire.entry(kind).or_default() += 1;
                    let interface = self.hosts[host].interface;
                    self.capture
                        .write(interface, self.now, Direction::Outbound, &bytes, None)?;
                    self.wire.push(bytes);
                }
            }
        }
        Ok(())
    }

    fn kind_on_wire(&self, frame: &[u8]) -> OnWire {
        let content = Content::of(frame);
        let tenant = |address: &IpAddr| self.tenant_of_provider_address.get(address);
        let kind = match &content {
            _ if content.is_address_resolution() => Some(OnWire::Resolution),
            Content::Ip {
                source,
                destination,
                ..
            } => match content.vsid() {
                Some(vsid) => self
                    .tenant_of_vsid
                    .get(&vsid)
                    .cloned()
                    .map(OnWire::Encapsulated),
                None => match (tenant(source), tenant(destination)) {
                    (Some(from), Some(to)) if from == to => Some(OnWire::Rewritten(from.clone())),
                    _ => None,
                },
            },
            _ => None,
        };
        kind.unwrap_or(OnWire::Unknown)
    }

    fn instant(&self) -> Instant {
        Instant::from_micros((self.now / 1000).cast_signed())
    }

    /// Ends the demo: what remains of it, and the output of the capture.
    ///
    /// # Errors
    /// The capture cannot be written.
    pub fn finish(self) -> Result<(Parts, W), DemoError> {
        let output = self.capture.finish()?;
        Ok((
            Parts {
                hosts: self.hosts,
                machines: self.machines,
                witness: self.witness,
            },
            output,
        ))
    }
}

/// What remains of a network to be reported.
pub struct Parts {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The machines.
    pub machines: Vec<Machine>,
    /// What was seen.
    pub witness: Witness,
}

/// The machines on a host's ports.
fn machines_of(policy: &HostPolicy, host: usize) -> impl Iterator<Item = MachineConfig> {
    let prefix_of = |vsid, address| {
        policy.changes.iter().find_map(|change| match change {
            Change::AddCustomerRoute(route)
                if route.vsid == vsid
                    && route.target == RouteTarget::OnLink
                    && route.prefix.contains(address) =>
            {
                Some((address, route.prefix))
            }
            _ => None,
        })
    };
    policy.ports.iter().map(move |port| MachineConfig {
        name: port.name.clone(),
        tenant: tenant_of(&port.name).to_owned(),
        host,
        port: port.port,
        mac: port.mac,
        addresses: port
            .addresses
            .iter()
            .filter_map(|ca| prefix_of(port.vsid, ca.get()))
            .collect(),
    })
}

/// The demo's machines are called after their tenants, so that a policy that puts one into the wrong routing
/// domain does not change whose it is.
fn tenant_of(machine: &str) -> &str {
    machine.split('-').next().unwrap_or(machine)
}

fn switch_of(policy: &HostPolicy) -> Switch {
    // The same every time, so that the demo is.
    let seed = Seed::new(0x6e65_7476_6972_7431, 0x6e65_7476_6972_7432);
    Switch::with_room_for(&policy.changes, seed)
}

//! The network for real: network namespaces, the kernel's TCP/IP, and one process for each host's switch.
//!
//! What is seen is seen by the kernel's packet sockets, in every machine's namespace and on the wire. Only why a frame
//! was refused is asked of the switch that refused it.

mod eyes;
mod links;
mod machine;
mod namespace;
mod pause;
mod policy;
mod site;
mod switches;
mod throughput;
mod watch;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use netvirt_core::policy::Transaction;
use netvirt_core::table::Seed;
use tempfile::TempDir;

use super::DemoError;
use super::cast::{Cast, MachineConfig};
use super::network::{HostReport, Network};
use super::witness::Witness;
use crate::capture::CaptureWriter;
use crate::counters::CounterReport;
use crate::policy_file::{HostPolicy, PolicyFile};
use crate::switch::Switch;
use eyes::Eyes;
use machine::Machine;
use pause::Pauses;
use policy::with_devices;
use site::{NIC, Site, UPLINK};
use switches::{Refused, SwitchProcess, Telling};
use throughput::{Pair, Way};
use watch::Injector;

pub use site::Attach;
pub use throughput::Throughput;

const POLICY_NAME: &str = "three-tenants.toml";

/// How long nothing is done where nothing moves.
const IDLE: Duration = Duration::from_micros(500);
/// How long switches may take until they are ready, and frames until they have arrived.
const PATIENCE: Duration = Duration::from_secs(5);

/// The place of the network: everything that the kernel must permit.
pub struct Stage {
    cast: Cast,
    site: Site,
    policy: String,
    program: PathBuf,
}

impl Stage {
    /// Makes hosts, machines and the wire, which all end with this process. If root's rights are needed and missing, the
    /// process becomes root of a user namespace, which must happen before it has a second thread. `program` is netvirt,
    /// whose switch every host is to run.
    ///
    /// # Errors
    /// This is not permitted here.
    ///
    /// # Panics
    /// If the text is no policy file.
    pub fn build(policy: &str, program: PathBuf) -> io::Result<Self> {
        let file = PolicyFile::parse(policy, POLICY_NAME).expect("the demo has a policy");
        let cast = Cast::of(&file);
        Ok(Self {
            site: Site::build(&cast)?,
            cast,
            policy: policy.to_owned(),
            program,
        })
    }

    /// How machines hang on their switches.
    pub fn attach(&self) -> Attach {
        self.site.attach
    }

    /// The policy as it is run.
    fn policy(&self) -> String {
        with_devices(&self.policy, UPLINK, |name| {
            let machine = self.cast.machine(name);
            machine.map_or(String::new(), |machine| self.site.attachment(machine))
        })
    }
}

/// The whole network. What stands first ends first.
pub struct RealNetwork<W: Write> {
    switches: Vec<SwitchProcess>,
    /// What each switch had counted when it was last asked.
    counters: Vec<CounterReport>,
    eyes: Eyes<W>,
    witness: Witness,
    intruder: Injector,
    pauses: Pauses,
    started: Instant,
    stage: Stage,
    /// Where the files are.
    directory: TempDir,
}

impl<W: Write> RealNetwork<W> {
    /// Starts every host's switch and every machine. Frames on the wire go into `capture`.
    ///
    /// # Errors
    /// A part does not start, or somebody interrupts.
    pub fn start(mut stage: Stage, capture: CaptureWriter<W>) -> Result<Self, DemoError> {
        let mut pauses = Pauses::new()?;
        let directory = tempfile::Builder::new().prefix("netvirt-demo-").tempdir()?;
        fs::write(directory.path().join(POLICY_NAME), stage.policy())?;
        let eyes = Eyes::open(&stage.site, &stage.cast, capture)?;
        let intruder = Injector::open(&stage.site.intruder, NIC)?;
        let switches = start_switches(&stage, &directory, Telling::Refusals, &mut pauses)?;
        for (machine, config) in stage.site.machines.iter_mut().zip(&stage.cast.machines) {
            machine.set_up(config)?;
        }
        let mut network = Self {
            switches,
            counters: Vec::new(),
            eyes,
            witness: Witness::default(),
            intruder,
            pauses,
            started: Instant::now(),
            stage,
            directory,
        };
        network.begin_counting()?;
        Ok(network)
    }

    /// Takes the hosts' word for what the wire brought before all of them were ready, and so for no longer than that.
    fn begin_counting(&mut self) -> Result<(), DemoError> {
        loop {
            while self.look()? {}
            self.ask_for_counters()?;
            if !self.look()? {
                break;
            }
        }
        let from_wire = self.counters.iter().map(|counted| {
            let ports = counted.ports.iter().map(|port| port.received.frames);
            counted.received - ports.sum::<u64>()
        });
        self.eyes.from_wire = from_wire.collect();
        self.witness.for_hosts = self.eyes.from_wire.iter().sum();
        Ok(())
    }

    fn look(&mut self) -> Result<bool, DemoError> {
        let mut moved = self.eyes.look(&self.stage.cast, &mut self.witness)?;
        for (host, switch) in self.switches.iter().enumerate() {
            for Refused {
                port,
                reason,
                bytes,
            } in switch.refusals()
            {
                let mut machines = self.stage.cast.machines.iter();
                let sender = machines.find(|machine| machine.name == port);
                self.witness.saw_refusal(host, reason, sender, &bytes);
                moved = true;
            }
        }
        Ok(moved)
    }

    fn ask_for_counters(&mut self) -> Result<(), DemoError> {
        let switches = self.switches.iter();
        self.counters = switches
            .map(SwitchProcess::counters)
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Whether the hosts have counted every frame that was seen to be brought, and told of every one that they refused.
    fn has_settled(&self) -> bool {
        let mut hosts = self.counters.iter().enumerate();
        hosts.all(|(host, counted)| {
            let brought = self.eyes.from_machines[host] + self.eyes.from_wire[host];
            let refused = counted
                .reasons
                .iter()
                .map(|(_, frames)| frames)
                .sum::<u64>();
            let seen = self.witness.all_refused();
            let seen = seen.filter(|(refusal, _)| refusal.host == host);
            counted.received == brought && refused == seen.map(|(_, frames)| frames).sum::<u64>()
        })
    }

    /// Ends the attempts: who took part, what was seen, the hosts, the output of the capture, and what is left to
    /// measure.
    ///
    /// # Errors
    /// A switch does not end as it should, or the capture cannot be written.
    pub fn finish(mut self) -> Result<Finished<W>, DemoError> {
        self.settle()?;
        self.witness.missed = self.eyes.missed()?;
        let hosts = self.stage.cast.hosts.iter().zip(self.counters);
        let hosts = hosts.zip(&self.eyes.to_wire);
        let hosts = hosts.map(|((policy, counted), to_wire)| report(policy, counted, *to_wire));
        let hosts = hosts.collect::<Result<_, _>>()?;
        for switch in self.switches {
            switch.stop()?;
        }
        Ok(Finished {
            hosts,
            machines: self.stage.cast.machines.clone(),
            witness: self.witness,
            output: self.eyes.close()?,
            track: Track {
                pauses: self.pauses,
                stage: self.stage,
                directory: self.directory,
            },
        })
    }
}

/// A host, with the tables that its switch has under this policy. What was seen on the wire beyond what was sent at once
/// had been held before.
fn report(
    policy: &HostPolicy,
    mut counted: CounterReport,
    to_wire: u64,
) -> Result<HostReport, DemoError> {
    counted.released = Some(to_wire.saturating_sub(counted.transmitted));
    let mut tables = Switch::with_room_for(&policy.changes, Seed::new(0, 0));
    let applied = tables.apply(Transaction::new(&policy.encode()), &mut Vec::new());
    applied.map_err(|refused| DemoError::Refused(policy.name.clone(), refused.to_string()))?;
    Ok(HostReport::new(policy, tables.policy(), counted))
}

fn start_switches(
    stage: &Stage,
    directory: &TempDir,
    telling: Telling,
    pauses: &mut Pauses,
) -> Result<Vec<SwitchProcess>, DemoError> {
    let policy = directory.path().join(POLICY_NAME);
    let hosts = stage.site.hosts.iter().zip(&stage.cast.hosts);
    let started = hosts.map(|(space, host)| {
        SwitchProcess::start(&stage.program, space, &host.name, &policy, telling)
    });
    let mut switches = started.collect::<io::Result<Vec<_>>>()?;
    for switch in &mut switches {
        let end = Instant::now() + PATIENCE;
        while !switch.has_become_ready() {
            switch.check()?;
            if Instant::now() > end {
                return Err(switch.failed("it does not get ready"));
            }
            pauses.pause(IDLE)?;
        }
    }
    Ok(switches)
}

/// What is left of a network.
pub struct Finished<W> {
    /// The hosts.
    pub hosts: Vec<HostReport>,
    /// The machines.
    pub machines: Vec<MachineConfig>,
    /// What was seen.
    pub witness: Witness,
    /// The output of the capture.
    pub output: W,
    /// The same network, on which nobody looks any more.
    pub track: Track,
}

/// A network on which throughput is measured.
pub struct Track {
    pauses: Pauses,
    stage: Stage,
    directory: TempDir,
}

impl Track {
    /// Measures TCP between hosts, and for comparison over a veth pair.
    ///
    /// # Errors
    /// A part does not start, or somebody interrupts.
    pub fn measure(mut self) -> Result<Vec<Throughput>, DemoError> {
        let switches = start_switches(
            &self.stage,
            &self.directory,
            Telling::Nothing,
            &mut self.pauses,
        )?;
        let pair = Pair::new()?;
        let cut = Pair::new()?;
        cut.disable_segmentation_offload()?;
        let machine = |name| {
            let number = self.stage.cast.machine(name)?;
            Ok::<_, DemoError>(&self.stage.site.machines[number].space)
        };
        let ways = [
            Way {
                name: "plain veth pair",
                from: &pair.from,
                to: &pair.to,
            },
            Way {
                name: "the same without segmentation offload",
                from: &cut.from,
                to: &cut.to,
            },
            Way {
                name: "host-1 to host-2, rewrite",
                from: machine("green-1")?,
                to: machine("green-2")?,
            },
            Way {
                name: "host-1 to host-2, NVGRE",
                from: machine("blue-1")?,
                to: machine("blue-2")?,
            },
        ];
        let throughputs = throughput::measure(&ways, &mut self.pauses)?;
        for switch in switches {
            switch.stop()?;
        }
        Ok(throughputs)
    }
}

impl<W: Write> Network for RealNetwork<W> {
    type Machine = Machine;

    const DEADLINE: Duration = Duration::from_secs(10);
    const PATIENCE: Duration = PATIENCE;
    const TIME_IS_FREE: bool = false;

    fn cast(&self) -> &Cast {
        &self.stage.cast
    }

    fn machine(&mut self, number: usize) -> &mut Machine {
        &mut self.stage.site.machines[number]
    }

    fn witness(&self) -> &Witness {
        &self.witness
    }

    fn held(&self) -> u64 {
        self.counters.iter().map(|counted| counted.held).sum()
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn round(&mut self) -> Result<bool, DemoError> {
        let mut moved = false;
        for machine in &mut self.stage.site.machines {
            moved |= machine.serve()?;
        }
        moved |= self.look()?;
        Ok(moved)
    }

    fn wait(&mut self, _: Duration) -> Result<(), DemoError> {
        self.switches
            .iter_mut()
            .try_for_each(SwitchProcess::check)?;
        self.pauses.pause(IDLE)
    }

    fn settle(&mut self) -> Result<(), DemoError> {
        let end = Instant::now() + PATIENCE;
        loop {
            while self.round()? && Instant::now() < end {}
            self.ask_for_counters()?;
            if self.has_settled() && !self.round()? || Instant::now() > end {
                return Ok(());
            }
            self.pauses.pause(IDLE)?;
        }
    }

    fn send(&mut self, machine: usize, frame: &[u8]) -> Result<(), DemoError> {
        let space = &self.stage.site.machines[machine].space;
        Ok(Injector::open(space, NIC)?.send(frame)?)
    }

    fn intrude(&mut self, frame: &[u8], inner: &[u8]) -> Result<(), DemoError> {
        self.witness.saw_intruder(inner);
        Ok(self.intruder.send(frame)?)
    }
}

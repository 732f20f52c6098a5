//! The network without its switches: namespaces for hosts and machines, and the wire between the hosts.

use std::io;

use netvirt_core::MacAddress;

use super::links::{self, End};
use super::machine::Machine;
use super::namespace::{Ipv6, Space, enter_user_namespace};
use crate::demo::cast::Cast;
use crate::device::namespace::Namespace;
use crate::device::tap::{Tap, TapOptions};
use crate::policy_file::HostPolicy;

/// The name of a machine's network card, and of the intruder's.
pub const NIC: &str = "eth0";
/// The name of a host's adapter to the wire.
pub const UPLINK: &str = "uplink";
/// The name of the intruder's end of the wire.
pub const INTRUDER: &str = "intruder";
/// The bridge that the wire is.
const BRIDGE: &str = "wire";

/// How machines hang on their switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// The switch makes their network cards.
    Tap,
    /// Their network cards are ends of pairs whose other ends the switch takes.
    Veth,
}

/// Where everything happens. All of it ends with this process.
pub struct Site {
    /// How machines hang on their switches.
    pub attach: Attach,
    /// Where the hosts' switches run.
    pub hosts: Vec<Space>,
    /// The machines, with the numbers that the cast gives them.
    pub machines: Vec<Machine>,
    /// The wire. Every host's port of it has the host's name.
    pub wire: Space,
    /// Where the intruder is.
    pub intruder: Space,
}

impl Site {
    /// Makes the namespaces, as root or in a user namespace, and the wire.
    ///
    /// # Errors
    /// This machine does not permit it. The process may be in a user namespace then.
    pub fn build(cast: &Cast) -> io::Result<Self> {
        let wire = first_space()?;
        let attach = if are_taps_permitted()? {
            Attach::Tap
        } else {
            Attach::Veth
        };
        let hosts = cast.hosts.iter().map(|_| Space::new(Ipv6::Off));
        let machines = cast.machines.iter().map(Machine::new);
        let site = Self {
            attach,
            hosts: hosts.collect::<io::Result<_>>()?,
            machines: machines.collect::<io::Result<_>>()?,
            wire,
            intruder: Space::new(Ipv6::Off)?,
        };
        site.lay_wire(cast)?;
        if attach == Attach::Veth {
            site.plug_in_machines(cast)?;
        }
        Ok(site)
    }

    fn lay_wire(&self, cast: &Cast) -> io::Result<()> {
        let mtu = cast.hosts.iter().flat_map(HostPolicy::own_addresses);
        let mtu = mtu.map(|own| own.mtu).min().unwrap_or(1500);
        for (space, host) in self.hosts.iter().zip(&cast.hosts) {
            self.connect(space, UPLINK, Some(host.uplink_mac), &host.name, mtu)?;
        }
        self.connect(&self.intruder, NIC, None, INTRUDER, mtu)?;
        let hosts = cast.hosts.iter().map(|host| host.name.as_str());
        let ports: Vec<&str> = hosts.chain([INTRUDER]).collect();
        links::add_bridge(&self.wire, BRIDGE, &ports)
    }

    fn connect(
        &self,
        space: &Space,
        name: &str,
        mac: Option<MacAddress>,
        port: &str,
        mtu: u16,
    ) -> io::Result<()> {
        let here = End { space, name, mac };
        let there = End {
            space: &self.wire,
            name: port,
            mac: None,
        };
        links::add_pair(here, there, mtu)
    }

    fn plug_in_machines(&self, cast: &Cast) -> io::Result<()> {
        for (machine, config) in self.machines.iter().zip(&cast.machines) {
            let port = cast.hosts[config.host].port(&config.name);
            let mtu = port.map_or(1500, |port| port.mtu);
            let nic = End {
                space: &machine.space,
                name: NIC,
                mac: Some(config.mac),
            };
            let port = End {
                space: &self.hosts[config.host],
                name: &config.name,
                mac: None,
            };
            links::add_pair(nic, port, mtu)?;
            // There is no room for more than one packet at once between a pair and a switch.
            links::disable_segmentation_offload(&machine.space, NIC)?;
        }
        Ok(())
    }

    /// What the policy file says about a machine's network card beyond what the example says.
    pub fn attachment(&self, machine: usize) -> String {
        match self.attach {
            Attach::Tap => format!(
                "interface = \"{NIC}\"\nnamespace = \"{}\"\nattach = \"tap\"\n",
                self.machines[machine].space.path()
            ),
            Attach::Veth => "attach = \"veth\"\n".to_owned(),
        }
    }
}

/// Who may not make a namespace tries again as the root of a user namespace.
fn first_space() -> io::Result<Space> {
    match Space::new(Ipv6::Off) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            enter_user_namespace()?;
            Space::new(Ipv6::Off)
        }
        other => other,
    }
}

/// Makes a TAP, which ends with its namespace.
fn are_taps_permitted() -> io::Result<bool> {
    let space = Space::new(Ipv6::Off)?;
    let namespace: &Namespace = &space;
    let tap = Tap::open(&TapOptions {
        name: NIC,
        namespace,
        mac: None,
        mtu: 1500,
        queues: 1,
    });
    Ok(tap.is_ok())
}

//! What one host is given to do, with the names that its numbers stand for.

use std::fmt;
use std::path::PathBuf;

use netvirt_core::policy::{Change, HostAddress, Location, Neighbour, Uncovered};
use netvirt_core::{CustomerAddress, DomainId, HostId, MacAddress, PortId, Vsid};

use super::difference;
use super::numbering::Numbering;
use crate::transaction::encode;

/// The policy of one host, with the names that its numbers stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPolicy {
    /// SHA-256 of the file, in hexadecimal, as `sha256sum` says it: hosts that have the same follow the same file.
    pub digest: String,
    /// The host's name.
    pub name: String,
    /// Its number, which never changes.
    pub local_host: HostId,
    /// The changes, each valid against those before; applied to an empty policy they build the host's.
    pub changes: Vec<Change>,
    /// The numbers in them, for the [next version](super::PolicyFile::for_host_after) of the file.
    pub numbering: Numbering,
    /// The hosts that this one has to know, itself among them.
    pub hosts: Vec<HostInfo>,
    /// The routing domains that it has to know.
    pub domains: Vec<DomainInfo>,
    /// The subnets of these.
    pub subnets: Vec<SubnetInfo>,
    /// The ports of its own virtual machines.
    pub ports: Vec<PortInfo>,
    /// All virtual machines in these routing domains, here and elsewhere, in the order of the file.
    pub machines: Vec<MachineInfo>,
    /// The MAC address of the uplink.
    pub uplink_mac: MacAddress,
    /// The network interface that is the uplink, if it was given; a running switch needs it.
    pub uplink_interface: Option<String>,
    /// The NIC behind the uplink that does the datapath's work, if there is one.
    pub nic: Option<OffloadNic>,
}

/// A NIC that runs the datapath for its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffloadNic {
    /// Its MAC address on the link to the host.
    pub mac: MacAddress,
    /// What it does with frames that its policy does not cover: the host has the whole policy.
    pub uncovered: Uncovered,
}

/// A host as the operator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// The number that the datapath knows it by.
    pub host: HostId,
    /// Its name.
    pub name: String,
}

/// A routing domain as the operator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// The number that the datapath knows it by.
    pub domain: DomainId,
    /// Its name.
    pub name: String,
    /// Its GUID in braces, if it was given one.
    pub id: Option<String>,
}

/// A virtual subnet as the operator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetInfo {
    /// Its VSID.
    pub vsid: Vsid,
    /// Its routing domain.
    pub domain: DomainId,
    /// Its name, if it was given one.
    pub name: Option<String>,
}

/// A port of the host's switch and the virtual machine on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// The port's number.
    pub port: PortId,
    /// The virtual machine's name.
    pub name: String,
    /// The network interface by which the machine hangs on the switch: the one it was given, or the machine's name.
    /// None if it was given none and Linux takes no interface of that name; a running switch needs one.
    pub interface: Option<String>,
    /// What the interface is.
    pub attachment: Attachment,
    /// The MTU that the machine should have, in bytes: its packets fit whatever way they take.
    pub mtu: u16,
    /// The virtual subnet.
    pub vsid: Vsid,
    /// The machine's MAC address.
    pub mac: MacAddress,
    /// The machine's customer addresses.
    pub addresses: Vec<CustomerAddress>,
}

/// How a virtual machine hangs on the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// The switch makes a TAP and serves its other side.
    Tap {
        /// The path of the network namespace that the TAP is made in; without it, the switch's own.
        namespace: Option<PathBuf>,
    },
    /// The interface exists, in the switch's own network namespace, and frames cross it as a packet socket sees them:
    /// it is the host's end of a container's veth pair, or a hypervisor's TAP.
    Veth,
}

/// A virtual machine that the host can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineInfo {
    /// Its name.
    pub name: String,
    /// Its virtual subnet.
    pub vsid: Vsid,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Where it runs.
    pub location: Location,
    /// Its customer addresses.
    pub addresses: Vec<CustomerAddress>,
}

impl HostPolicy {
    /// The changes in the core's one encoding.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.changes)
    }

    /// What turns the policy that the changes of `before` built into this one: one transaction, empty if nothing
    /// differs. It names only what differs and what the core cannot change in place; the core takes it whatever the
    /// two say.
    ///
    /// `before` is the same host's part of another version of the file, and this one was derived
    /// [after](super::PolicyFile::for_host_after) it.
    ///
    /// # Make before break
    ///
    /// One host changes over between two frames: the whole difference is one transaction, and no frame sees a part
    /// of it. But hosts are not told at the same time, and a frame may leave one under the new version and reach
    /// another under the old. A network changes without loss if the file takes steps in which both ways work, and
    /// every host has taken one step before the first takes the next:
    ///
    /// - A machine moves: `host` is the new one and `migrating-from` the old. Frames from both are believed, and the
    ///   old host sends on what still reaches it ([`MoveRecord`](Change::MoveRecord)), so the new host is told first
    ///   and then the old one. The step before may name the new host in `migrating-from` already, so that all
    ///   believe it before it speaks. The step after, without `migrating-from`, breaks with the old host
    ///   ([`RetireMigration`](Change::RetireMigration)).
    /// - A host gets another provider address: first it has both, then only the new one.
    /// - A subnet changes between rewrite and NVGRE: in between it is in transition.
    /// - A gateway is replaced: first both carry the route, the new one at a worse metric; then the metrics change
    ///   ([`SetCustomerRoute`](Change::SetCustomerRoute)); then the old route goes, and the machine.
    pub fn difference(&self, before: &Self) -> Vec<Change> {
        difference::between(&before.changes, &self.changes)
    }

    /// The port of the virtual machine `name`, if it runs here.
    pub fn port(&self, name: &str) -> Option<&PortInfo> {
        self.ports.iter().find(|port| port.name == name)
    }

    /// The provider addresses of the host itself.
    pub fn own_addresses(&self) -> impl Iterator<Item = &HostAddress> {
        self.changes.iter().filter_map(|change| match change {
            Change::AddProviderAddress(own) => Some(own),
            _ => None,
        })
    }

    /// The next hops that need not be asked for.
    pub fn stated_neighbours(&self) -> impl Iterator<Item = &Neighbour> {
        self.changes.iter().filter_map(|change| match change {
            Change::SetNeighbour(neighbour) => Some(neighbour),
            _ => None,
        })
    }

    /// The name of a host.
    pub fn host_name(&self, host: HostId) -> Option<&str> {
        let info = self.hosts.iter().find(|info| info.host == host)?;
        Some(&info.name)
    }

    /// The name of a routing domain.
    pub fn domain_name(&self, domain: DomainId) -> Option<&str> {
        let info = self.domains.iter().find(|info| info.domain == domain)?;
        Some(&info.name)
    }
}

/// A host name that the policy file does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownHost {
    /// The name asked for.
    pub name: String,
    pub(super) remedy: String,
}

impl fmt::Display for UnknownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the policy file has no host {:?}: {}",
            self.name, self.remedy
        )
    }
}

impl std::error::Error for UnknownHost {}

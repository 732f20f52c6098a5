//! The policy file: one TOML file that describes a whole virtual network.
//!
//! [`PolicyFile::parse`] reads and checks it and reports everything that is wrong at once, each with its
//! place and a remedy. [`PolicyFile::for_host`] derives what one host needs. [`allocate`] gives rewrite
//! addresses their provider addresses and writes them into the file.
//!
//! Every host reads the same file, so all agree on the provider address of every customer address. An
//! entry that cannot be read is reported and not checked further.
//!
//! # The format
//!
//! Keys marked with `?` may be left out; then the value shown is used.
//!
//! | Table | Key | Meaning |
//! |---|---|---|
//! | `[settings]`? | `router-mac`? `"02:15:5d:00:00:01"` | MAC address of the distributed router, the default gateway of every subnet |
//! | | `flow-id`? `"per-flow"` | how the FlowID is chosen: per flow, or a fixed number 0..=255 |
//! | | `flow-seed`? `0` | key of the hash over flows |
//! | | `outer-ttl`? `64` | TTL or hop limit of the outer header |
//! | | `dscp`? `"uniform"` | DSCP of the outer header: the inner packet's, or a fixed number 0..=63 |
//! | | `ecn`? `"normal"` | ECN of the outer header: `"normal"`, the inner packet's, or `"compatible"`, none, for hosts that would not hand congestion on |
//! | | `reception`? `"strict"` | `"strict"` or `"tolerant"` towards unusual GRE headers |
//! | | `errors`? `{ per-second = 100, burst = 50 }` | ICMP errors that one machine is sent; 0 a second is none |
//! | | `unreachables`? `false` | a packet to where no route leads, or nobody is, is answered with an ICMP error too |
//! | | `clamp-mss`? `false` | TCP connections are told, as they are opened, to fill no more of a packet than their path carries |
//! | | `storm`? `{ per-second = 1000, burst = 250 }` | broadcast and multicast frames that one machine may send; 0 a second is none |
//! | | `most-copies`? `512` | the most other hosts that one broadcast or multicast frame is copied to |
//! | | `router-advertisements`? `"on-link"` | what machines of IPv6 subnets are told of the router: nothing (`"off"`), default route, prefixes and MTU, or that they also make themselves addresses (`"autonomous"`), which need their `[[vm]]` `addresses` all the same |
//! | `[[physical-network]]` | `name` | |
//! | | `prefix` | its on-link prefix; a site with IPv4 and IPv6 is two physical networks |
//! | | `vlan`? untagged | VLAN id, 1..=4094 |
//! | | `mtu`? `1500` | IP MTU in bytes; NVGRE takes 42 of them over IPv4, 62 over IPv6 |
//! | | `pool`? `[]` | ranges `"first-last"` that [`allocate`] may take addresses from |
//! | `[[physical-network.route]]` | `prefix`, `next-hop`, `metric`? `255` | a provider route |
//! | `[[host]]` | `name` | |
//! | | `uplink = { mac = "…", interface = "…" }` | the adapter to the provider network; `interface`? is needed only by a running switch |
//! | | `uplink.nic = { mac = "…", uncovered = "to-host" }` | the adapter does the datapath's work: its MAC address on the link to the host; what it does with frames that its policy does not cover, `"to-host"` or `"drop"` |
//! | | `addresses` | its provider addresses, each in a physical network |
//! | | `neighbours`? `[]` | `{ address = "…", mac = "…" }`, next hops that need not be asked for |
//! | `[[routing-domain]]` | `name` | one tenant's virtual network |
//! | | `id`? | its GUID |
//! | `[[routing-domain.subnet]]` | `vsid` | 4096..=16777214, unique in the file |
//! | | `prefixes` | its on-link prefixes; the second address of each is the gateway |
//! | | `name`? | another way to refer to the subnet |
//! | | `method`? `"encapsulate"` | `"encapsulate"` (NVGRE), `"rewrite"`, or `"transition"` while a running network changes from one to the other: sent as NVGRE, received in either form |
//! | | `multicast`? `[]` | `{ group = "…", provider = "…" }`: a multicast or broadcast address of the subnet, and the group of the provider network that carries it: one packet for all other hosts instead of one for each |
//! | `[[routing-domain.route]]` | `prefix`, `next-hop`, `metric`? `255` | destinations behind a gateway machine of the domain |
//! | `[[vm]]` | `name` | also the name of its port |
//! | | `subnet` | VSID or name |
//! | | `host` | where it runs |
//! | | `mac`, `addresses` | its MAC address and customer addresses |
//! | | `interface`? its name | network interface by which it hangs on the switch |
//! | | `attach`? `"tap"` | `"tap"`: the switch makes the interface; `"veth"`: it is there, as the host's end of a container's veth pair or a hypervisor's TAP |
//! | | `namespace`? the switch's own | name or path of the network namespace that the TAP is made in |
//! | | `mtu`? at most 1500 | its MTU in bytes; as much as fits through every physical network that a host is on |
//! | | `provider-addresses`? | under rewrite and in transition: one for each of `addresses`, in their order |
//! | | `use-vm-mac`? `false` | the same: rewritten frames leave with the machine's MAC address |
//! | | `gateway`? `false` | it may carry addresses that have no record |
//! | | `migrating-from`? | the host it ran on before, until all flows have followed it |
//! | `[[peering]]` | `from`, `to`, `both-ways`? `false` | one routing domain may send to another |
//!
//! A customer route names no subnet: its next hop lies in exactly one of the domain.
//!
//! The provider network must bring the packets of a `provider` group to every host with machines in the subnet: hosts do not
//! ask for them (neither IGMP nor MLD), so switches that snoop are to be told, and routers. Several groups may share one,
//! also those of other tenants. It is sent to from the first of a host's `addresses` of its IP version.

mod allocate;
mod derive;
mod diagnostic;
mod difference;
mod host_policy;
mod model;
mod mtu;
mod numbering;
mod offload;
mod read;
mod reader;
mod validate;
mod values;

use std::sync::Arc;

pub use allocate::{Assigned, allocate};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, Span};
pub use host_policy::{
    Attachment, DomainInfo, HostInfo, HostPolicy, MachineInfo, OffloadNic, PortInfo, SubnetInfo,
    UnknownHost,
};
pub use numbering::Numbering;

pub(crate) use diagnostic::{Log, nearest, suggestion};
use model::Model;

/// A policy file that was read and found good.
///
/// ```
/// use netvirt_std::policy_file::PolicyFile;
///
/// let text = include_str!("../../../examples/two-hosts.toml");
/// let file = PolicyFile::parse(text, "two-hosts.toml").unwrap();
/// let host = file.for_host("host-1").unwrap();
/// assert_eq!(host.ports.len(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct PolicyFile {
    model: Arc<Model>,
    warnings: Diagnostics,
}

/// How much a policy file describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Physical networks.
    pub physical_networks: usize,
    /// Hosts.
    pub hosts: usize,
    /// Routing domains.
    pub routing_domains: usize,
    /// Virtual subnets.
    pub subnets: usize,
    /// Virtual machines.
    pub machines: usize,
    /// Peerings; one that holds both ways counts once.
    pub peerings: usize,
}

impl PolicyFile {
    /// Reads and checks `text`. `file_name` stands in the diagnostics.
    ///
    /// # Errors
    ///
    /// All errors of the file, and its warnings.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Diagnostics> {
        let log = Log::default();
        let model = read::read(text, &log);
        if let Some(model) = &model {
            validate::check(model, &log);
            validate::check_allocated(model, file_name, &log);
        }
        let found = log.into_diagnostics(file_name, text);
        match model {
            Some(model) if !found.has_errors() => Ok(Self {
                model: Arc::new(model),
                warnings: found,
            }),
            _ => Err(found),
        }
    }

    /// What will not work as written, although the file can be used.
    pub fn warnings(&self) -> &Diagnostics {
        &self.warnings
    }

    /// SHA-256 of the text, in hexadecimal, as `sha256sum` says it.
    pub fn digest(&self) -> &str {
        &self.model.digest
    }

    /// How much there is of everything.
    pub fn summary(&self) -> Summary {
        Summary {
            physical_networks: self.model.networks.len(),
            hosts: self.model.hosts.len(),
            routing_domains: self.model.domains.len(),
            subnets: self.model.subnets.len(),
            machines: self.model.machines.len(),
            peerings: self.model.peerings.len(),
        }
    }

    /// The names of all hosts, in the order of the file.
    pub fn host_names(&self) -> impl ExactSizeIterator<Item = &str> {
        let hosts = self.model.hosts.iter();
        hosts.map(|host| host.name.value.0.as_str())
    }

    /// The network interface that is the uplink of the host `name`, if it was given.
    pub fn uplink_interface(&self, name: &str) -> Option<&str> {
        let mut hosts = self.model.hosts.iter();
        let host = hosts.find(|host| host.name.value.0 == name)?;
        let interface = host.uplink.interface.as_ref()?;
        Some(&interface.value.0)
    }

    /// Whether there is a virtual machine of this name, on whatever host.
    pub fn has_machine(&self, name: &str) -> bool {
        let mut machines = self.model.machines.iter();
        machines.any(|machine| machine.name.value.0 == name)
    }

    /// What the host `name` needs: its own addresses and ports, and the records of the routing domains
    /// that its machines are in, were in, or are peered with.
    ///
    /// # Errors
    ///
    /// The file has no such host.
    pub fn for_host(&self, name: &str) -> Result<HostPolicy, UnknownHost> {
        self.for_host_after(name, &Numbering::default())
    }

    /// The same for a host that runs already: what was there in the version of the file that gave `numbering`, and
    /// still is, keeps its number. The [difference](HostPolicy::difference) of the two is what the host has to change.
    ///
    /// # Errors
    ///
    /// The file has no such host.
    pub fn for_host_after(
        &self,
        name: &str,
        numbering: &Numbering,
    ) -> Result<HostPolicy, UnknownHost> {
        derive::for_host(&self.model, name, numbering)
    }
}

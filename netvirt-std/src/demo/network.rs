//! What the script needs of a network, whether it is made of memory or of the kernel's namespaces.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use netvirt_core::HostId;
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::{LookupRecord, Policy};

use super::DemoError;
use super::cast::Cast;
use super::witness::Witness;
use crate::counters::CounterReport;
use crate::policy_file::HostPolicy;

/// The port on which every machine takes whatever anybody sends: discard (RFC 863).
pub const SERVER_PORT: u16 = 9;

/// Hosts with a switch each, machines on their ports, and one wire between the hosts.
pub trait Network {
    /// A virtual machine.
    type Machine: Machine;

    /// After so long, what should work counts as failed.
    const DEADLINE: Duration;
    /// After so long, what is to be refused counts as not refused.
    const PATIENCE: Duration;
    /// Whether waiting costs nothing. If so, a machine may try again until the patience ends; if not, an attempt ends
    /// with the first refusal.
    const TIME_IS_FREE: bool;

    /// Who takes part.
    fn cast(&self) -> &Cast;

    /// A machine, by its number.
    fn machine(&mut self, number: usize) -> &mut Self::Machine;

    /// What was seen so far.
    fn witness(&self) -> &Witness;

    /// Frames that hosts had to hold so far, because they did not know a next hop.
    fn held(&self) -> u64;

    /// Time since the start.
    fn now(&self) -> Duration;

    /// One round: whoever has something to do does it. Says whether anything moved.
    ///
    /// # Errors
    /// The network cannot go on.
    fn round(&mut self) -> Result<bool, DemoError>;

    /// Passes the time until something may move, but not beyond `end`.
    ///
    /// # Errors
    /// The network cannot go on.
    fn wait(&mut self, end: Duration) -> Result<(), DemoError>;

    /// Lets what is under way arrive, so that all of it was seen.
    ///
    /// # Errors
    /// The network cannot go on.
    fn settle(&mut self) -> Result<(), DemoError>;

    /// A machine sends a frame past its own TCP/IP stack.
    ///
    /// # Errors
    /// The network cannot go on.
    fn send(&mut self, machine: usize, frame: &[u8]) -> Result<(), DemoError>;

    /// Somebody who is no host puts a frame on the wire, with another inside.
    ///
    /// # Errors
    /// The network cannot go on.
    fn intrude(&mut self, frame: &[u8], inner: &[u8]) -> Result<(), DemoError>;
}

/// A virtual machine. It has a [server](SERVER_PORT), and tries one thing at a time: it pings, or it sends by TCP.
pub trait Machine {
    /// Opens what it needs to ping an address with this identifier.
    ///
    /// # Errors
    /// It cannot.
    fn open_ping(&mut self, identifier: u16, to: IpAddr) -> io::Result<()>;

    /// Sends it an ICMP message, whose checksum is filled in. Says whether it was taken.
    fn send_icmp(&mut self, message: &[u8]) -> bool;

    /// Takes the next ICMP message that arrived, with its sender.
    fn receive_icmp(&mut self) -> Option<(Vec<u8>, IpAddr)>;

    /// Begins a TCP connection to the server of a machine.
    ///
    /// # Errors
    /// It cannot.
    fn connect(&mut self, local_port: u16, to: IpAddr) -> io::Result<()>;

    /// Sends as many bytes as can be sent now, and says how many: none before the connection is there.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// Says that there is no more to be sent.
    fn finish_writing(&mut self);

    /// Whether both ends are done with the connection.
    fn is_over(&mut self) -> bool;

    /// Gives up what it tried.
    fn close(&mut self);

    /// Takes what its server received since it was last asked.
    fn take_received(&mut self) -> Vec<u8>;

    /// Whether its server has no connection.
    fn is_idle(&self) -> bool;
}

/// A host in the end: what its switch had, and what it counted.
pub struct HostReport {
    /// Its part of the policy.
    pub policy: HostPolicy,
    /// The lookup records.
    pub records: Vec<LookupRecord>,
    /// The host's own provider addresses.
    pub own_addresses: Vec<IpAddr>,
    /// The provider addresses of other hosts.
    pub host_addresses: Vec<(HostId, IpAddr)>,
    /// What its switch counted.
    pub counted: CounterReport,
}

impl HostReport {
    /// A host whose switch has these tables.
    pub fn new(policy: &HostPolicy, tables: &Policy<'_>, counted: CounterReport) -> Self {
        let own_addresses = tables.provider_addresses();
        let host_addresses = tables.host_addresses();
        Self {
            policy: policy.clone(),
            records: tables.lookup_records().collect(),
            own_addresses: own_addresses.map(|own| own.address.get()).collect(),
            host_addresses: host_addresses
                .map(|(host, address)| (host, address.get()))
                .collect(),
            counted,
        }
    }

    /// Frames refused for this reason.
    pub fn refused(&self, reason: DropReason) -> u64 {
        let mut reasons = self.counted.reasons.iter();
        let counted = reasons.find(|(name, _)| name == reason.name());
        counted.map_or(0, |(_, frames)| *frames)
    }
}

//! Why a change of policy was refused.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::change::{MulticastGroup, RecordName};
use super::transaction::MalformedChange;
use crate::address::{
    DomainId, HostId, InvalidAddress, MacAddress, PortId, Prefix, ProviderAddress, Vsid,
};
use crate::table::{Full, UnequalCapacity};

/// A transaction was refused; nothing of it was seen by any packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which change was refused, counted from 0; one behind the last if the whole does not fit together.
    pub change: usize,
    /// Why.
    pub why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "change {}: {}", self.change, self.why)
    }
}

impl core::error::Error for Refused {}

/// The tables whose storage can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TableName {
    /// Lookup records.
    Records,
    /// The index from provider addresses to records, for rewrite.
    RewriteIndex,
    /// Routing domains; the domain's number must be below the capacity.
    Domains,
    /// Virtual subnets.
    Subnets,
    /// Customer routes, those of peered domains included.
    CustomerRoutes,
    /// The flattened customer routes.
    RouteIntervals,
    /// Peerings.
    Peerings,
    /// Hosts; the host's number must be below the capacity.
    Hosts,
    /// Provider addresses of other hosts.
    Paths,
    /// Ports; the port's number must be below the capacity.
    Ports,
    /// Provider addresses of this host.
    ProviderAddresses,
    /// Provider routes.
    ProviderRoutes,
    /// Neighbours.
    Neighbours,
    /// Hosts of a subnet, once for each subnet that a host has machines in.
    SubnetMembers,
    /// Multicast groups, and the groups of the provider network that they are mapped to.
    MulticastGroups,
}

impl TableName {
    /// The table's name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Records => "lookup records",
            Self::RewriteIndex => "rewrite index",
            Self::Domains => "routing domains",
            Self::Subnets => "virtual subnets",
            Self::CustomerRoutes => "customer routes",
            Self::RouteIntervals => "route intervals",
            Self::Peerings => "peerings",
            Self::Hosts => "hosts",
            Self::Paths => "provider addresses of other hosts",
            Self::Ports => "ports",
            Self::ProviderAddresses => "provider addresses",
            Self::ProviderRoutes => "provider routes",
            Self::Neighbours => "neighbours",
            Self::SubnetMembers => "hosts of each subnet",
            Self::MulticastGroups => "multicast groups",
        }
    }
}

/// Something that a change names and that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// The settings, which must come first.
    Settings,
    /// A routing domain.
    Domain(DomainId),
    /// A virtual subnet.
    Subnet(Vsid),
    /// A host.
    Host(HostId),
    /// A host's provider address.
    HostAddress(HostId, ProviderAddress),
    /// A port.
    Port(PortId),
    /// A lookup record.
    Record(RecordName),
    /// A customer route.
    CustomerRoute(Vsid, Prefix),
    /// A peering.
    Peering(DomainId, DomainId),
    /// A provider address of this host.
    ProviderAddress(ProviderAddress),
    /// A provider route.
    ProviderRoute(Prefix),
    /// A neighbour.
    Neighbour(ProviderAddress),
    /// A path to a provider address of another host.
    Path(ProviderAddress),
    /// The MTU of a path.
    PathMtu(ProviderAddress),
    /// A multicast group of a subnet.
    MulticastGroup(Vsid, IpAddr),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings => f.write_str("the settings"),
            Self::Domain(domain) => write!(f, "routing domain {domain}"),
            Self::Subnet(vsid) => write!(f, "virtual subnet {vsid}"),
            Self::Host(host) => write!(f, "host {host}"),
            Self::HostAddress(host, address) => {
                write!(f, "provider address {address} of host {host}")
            }
            Self::Port(port) => write!(f, "port {port}"),
            Self::Record(name) => write!(f, "the record {name}"),
            Self::CustomerRoute(vsid, prefix) => write!(f, "the route of VSID {vsid} to {prefix}"),
            Self::Peering(from, to) => write!(f, "the peering from domain {from} to {to}"),
            Self::ProviderAddress(address) => write!(f, "provider address {address}"),
            Self::ProviderRoute(prefix) => write!(f, "the provider route to {prefix}"),
            Self::Neighbour(address) => write!(f, "neighbour {address}"),
            Self::Path(address) => write!(f, "a path to {address}"),
            Self::PathMtu(address) => write!(f, "an MTU of the path to {address}"),
            Self::MulticastGroup(vsid, address) => {
                write!(f, "multicast group {address} of VSID {vsid}")
            }
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(vsid, address) => write!(f, "{address} in VSID {vsid}"),
            Self::Mac(vsid, mac) => write!(f, "{mac} in VSID {vsid}"),
        }
    }
}

/// Why one change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are no change.
    Malformed(MalformedChange),
    /// A table's storage is full.
    Full(TableName),
    /// The two copies of the policy have storage of different size.
    UnequalCapacity(UnequalCapacity),
    /// What the change names is not there.
    Missing(Missing),
    /// It exists already, and is different.
    Exists(Missing),
    /// Others still stand on it.
    InUse(Missing, u32),
    /// An address is not legal here.
    Address(InvalidAddress),
    /// Two on-link prefixes of one routing domain, or of two that are peered, share addresses.
    Overlap {
        /// The prefix that was to be added.
        prefix: Prefix,
        /// The one that is there.
        other: Prefix,
        /// The subnet of the one that is there.
        other_subnet: Vsid,
    },
    /// Prefix and next hop are not of one family.
    NextHopFamily(Prefix, IpAddr),
    /// A customer address lies in no on-link prefix of its subnet.
    OutsideSubnet(RecordName),
    /// A customer address is the gateway's, or the first or last of an IPv4 prefix.
    ReservedAddress(RecordName, Prefix),
    /// The port has another VSID or MAC address than the record.
    PortMismatch(PortId, RecordName),
    /// A record points at this host by its number; it must name the port.
    LocalHost(HostId),
    /// A host without provider address cannot be reached.
    Unreachable(HostId),
    /// A host has as many provider addresses as it can have.
    TooManyAddresses(HostId),
    /// Under rewrite, CA and PA must be of the same family.
    RewriteFamily(RecordName),
    /// Only a record with a customer address can be rewritten.
    RewriteWithoutAddress(RecordName),
    /// A provider address already belongs to something else.
    ProviderAddressTaken(ProviderAddress),
    /// A record of the same name has another MAC address; remove it and add the new one.
    MacDiffers(RecordName, MacAddress),
    /// A domain cannot peer with itself.
    PeeringWithItself(DomainId),
    /// A provider route's next hop is on-link through none of the host's provider addresses.
    NextHopOffLink(ProviderAddress),
    /// A physical network too narrow for the 1280 bytes that IPv6 needs inside the tunnel (RFC 8200 §5).
    MtuTooSmall {
        /// Whose network it is.
        address: ProviderAddress,
        /// Its MTU.
        mtu: u16,
        /// The least it must be.
        least: u16,
    },
    /// An address that is to be mapped to a group is neither multicast nor the broadcast address of its subnet.
    NotForMany(MulticastGroup),
    /// This host has no provider address of the family of the group that an address is to be mapped to.
    NoSourceForGroup(MulticastGroup),
    /// A value lies outside what the field can hold.
    OutOfRange(OutOfRange),
    /// No transaction was begun, or another one has ended it.
    NotBegun,
    /// The change is policy, not state of the network.
    NotState,
}

/// What lies outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum OutOfRange {
    /// A host number above 2147483647.
    HostNumber,
    /// An uplink number above 255.
    UplinkNumber,
    /// An outer TTL of 0.
    OuterTtl,
    /// A DSCP above 63.
    Dscp,
    /// A path MTU below 576 with IPv4 (RFC 791), or below 1280 with IPv6 (RFC 8200 §5).
    PathMtu,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNumber => "a host number above 2147483647",
            Self::UplinkNumber => "an uplink number above 255",
            Self::OuterTtl => "an outer TTL of 0",
            Self::Dscp => "a DSCP above 63",
            Self::PathMtu => "a path MTU below 576 with IPv4, or below 1280 with IPv6,",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Full(table) => write!(
                f,
                "no room in the table of {}: give it more storage",
                table.name()
            ),
            Self::UnequalCapacity(unequal) => unequal.fmt(f),
            Self::Missing(what) => write!(f, "{what} does not exist: add it first"),
            Self::Exists(what) => write!(
                f,
                "{what} exists already and is different: set or remove it"
            ),
            Self::InUse(what, users) => write!(
                f,
                "{what} is still used by {users} others: remove those first"
            ),
            Self::Address(address) => address.fmt(f),
            Self::Overlap {
                prefix,
                other,
                other_subnet,
            } => write!(
                f,
                "{prefix} overlaps {other} of VSID {other_subnet}: prefixes that can reach each other must be disjoint"
            ),
            Self::NextHopFamily(prefix, next_hop) => {
                write!(
                    f,
                    "the route to {prefix} cannot go through {next_hop}: use a next hop of the same family"
                )
            }
            Self::OutsideSubnet(name) => {
                write!(
                    f,
                    "{name} lies in no prefix of its subnet: add the on-link route first or correct the address"
                )
            }
            Self::ReservedAddress(name, prefix) => {
                write!(
                    f,
                    "{name} is reserved in {prefix} (first, gateway or last): choose another address"
                )
            }
            Self::PortMismatch(port, name) => {
                write!(
                    f,
                    "port {port} has another VSID or MAC address than the record {name}"
                )
            }
            Self::LocalHost(host) => write!(f, "host {host} is this host: name the port instead"),
            Self::Unreachable(host) => {
                write!(f, "host {host} has no provider address: add one first")
            }
            Self::TooManyAddresses(host) => {
                write!(
                    f,
                    "host {host} has {} provider addresses already, the most it can have",
                    super::ADDRESSES_PER_HOST
                )
            }
            Self::RewriteFamily(name) => {
                write!(
                    f,
                    "{name} cannot be rewritten to an address of the other family: give it a PA of its own family"
                )
            }
            Self::RewriteWithoutAddress(name) => {
                write!(
                    f,
                    "{name} has no customer address to rewrite: use encapsulation"
                )
            }
            Self::ProviderAddressTaken(address) => {
                write!(
                    f,
                    "provider address {address} already belongs to another host or record: choose another"
                )
            }
            Self::MacDiffers(name, mac) => {
                write!(
                    f,
                    "{name} belongs to {mac}: remove that record and add the new one"
                )
            }
            Self::PeeringWithItself(domain) => {
                write!(f, "routing domain {domain} cannot peer with itself")
            }
            Self::NextHopOffLink(address) => {
                write!(
                    f,
                    "next hop {address} is on-link through no provider address of this host: add that first"
                )
            }
            Self::MtuTooSmall {
                address,
                mtu,
                least,
            } => write!(
                f,
                "the network of {address} has MTU {mtu}, and IPv6 subnets need {least}: raise it or remove the IPv6 prefix"
            ),
            Self::NotForMany(MulticastGroup {
                vsid,
                address,
                provider_group,
            }) => write!(
                f,
                "{address} cannot be mapped to {provider_group}: it is neither multicast nor a broadcast address of VSID {vsid}"
            ),
            Self::NoSourceForGroup(MulticastGroup {
                vsid,
                address,
                provider_group,
            }) => write!(
                f,
                "{address} of VSID {vsid} cannot be mapped to {provider_group}: this host has no provider address of that family, add one first"
            ),
            Self::OutOfRange(what) => write!(f, "{what} is out of range"),
            Self::NotBegun => {
                f.write_str("no transaction was begun, or another one has ended it: begin again")
            }
            Self::NotState => {
                f.write_str("this is policy, not state of the network: make it a transaction")
            }
        }
    }
}

impl core::error::Error for Refusal {}

impl From<MalformedChange> for Refusal {
    fn from(malformed: MalformedChange) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<InvalidAddress> for Refusal {
    fn from(address: InvalidAddress) -> Self {
        Self::Address(address)
    }
}

impl From<UnequalCapacity> for Refusal {
    fn from(unequal: UnequalCapacity) -> Self {
        Self::UnequalCapacity(unequal)
    }
}

/// Says which table it was that was full.
pub(super) trait InTable<T> {
    fn of(self, table: TableName) -> Result<T, Refusal>;
}

impl<T> InTable<T> for Result<T, Full> {
    fn of(self, table: TableName) -> Result<T, Refusal> {
        self.map_err(|Full| Refusal::Full(table))
    }
}

//! What an operator may say: the objects of policy and the changes to them, in one binary encoding.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::address::{
    CustomerAddress, DomainId, HostId, MacAddress, PortId, Prefix, ProviderAddress, ProviderGroup,
    UplinkId, VlanId, Vsid,
};
use crate::limit::RateLimit;

/// How packets between two customer addresses cross the provider network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// NVGRE (`TranslationMethodEncap`): the frame travels whole, behind an outer header between the
    /// provider addresses of the two hosts.
    Encapsulate,
    /// IP rewrite (`TranslationMethodNat`): the customer address is replaced by a provider address that
    /// belongs to it alone. Used only if both records say so; otherwise NVGRE. NVGRE is received all the same.
    Rewrite {
        /// The provider address of this customer address, of the same family, unique in the network.
        provider_address: ProviderAddress,
        /// Whether frames leave with the MAC address of the virtual machine instead of the uplink's.
        use_vm_mac: bool,
    },
    /// On the way from one of the two to the other: sent as NVGRE, received in either form. The provider
    /// address is still this host's to answer for and to announce.
    ///
    /// A running network changes its method without losing a packet if every host says this before the first
    /// says the new method. Hosts may be told one after another. The physical network must have room for the
    /// outer header of NVGRE by then.
    Transition {
        /// The provider address of this customer address, as under rewrite.
        provider_address: ProviderAddress,
        /// As under rewrite; it takes effect when the record says rewrite.
        use_vm_mac: bool,
    },
}

impl Method {
    /// The provider address that stands for the customer address in rewritten packets, if there is one.
    pub const fn provider_address(self) -> Option<ProviderAddress> {
        match self {
            Self::Encapsulate => None,
            Self::Rewrite {
                provider_address, ..
            }
            | Self::Transition {
                provider_address, ..
            } => Some(provider_address),
        }
    }
}

/// What a lookup record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordKind {
    /// An address that the operator assigned.
    Static(CustomerAddress),
    /// An address that was learned from the virtual machine.
    Dynamic(CustomerAddress),
    /// A MAC address whose customer addresses are not known yet.
    L2Only,
    /// A gateway: it may send and receive with customer addresses that have no record.
    GatewayWildcard,
}

impl RecordKind {
    /// The customer address, where the record has one.
    pub const fn customer_address(self) -> Option<CustomerAddress> {
        match self {
            Self::Static(address) | Self::Dynamic(address) => Some(address),
            Self::L2Only | Self::GatewayWildcard => None,
        }
    }
}

/// Where a virtual machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Location {
    /// On this host, behind the port.
    Port(PortId),
    /// On another host.
    Host(HostId),
}

/// A lookup record: which machine owns a customer address, where it runs and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LookupRecord {
    /// The virtual subnet.
    pub vsid: Vsid,
    /// The customer address, or what stands in its place.
    pub kind: RecordKind,
    /// The MAC address of the virtual machine's adapter.
    pub mac: MacAddress,
    /// Where the machine runs.
    pub location: Location,
    /// The host it ran on before, until the migration is retired.
    pub previous: Option<HostId>,
    /// How it is reached from other hosts.
    pub method: Method,
}

/// Names one record: (VSID, CA), or (VSID, MAC) where there is no CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RecordName {
    /// The record of a customer address.
    Address(Vsid, CustomerAddress),
    /// The wildcard or L2-only record of a MAC address.
    Mac(Vsid, MacAddress),
}

impl LookupRecord {
    /// The name under which the record is found.
    pub const fn name(&self) -> RecordName {
        match self.kind.customer_address() {
            Some(address) => RecordName::Address(self.vsid, address),
            None => RecordName::Mac(self.vsid, self.mac),
        }
    }
}

/// Where a customer route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouteTarget {
    /// The prefix *is* the virtual subnet; its second address is the gateway.
    OnLink,
    /// The prefix lies behind this machine of the same routing domain.
    Via(CustomerAddress),
}

/// A customer route of one routing domain. The lowest metric of equal prefixes wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CustomerRoute {
    /// The virtual subnet the route belongs to; its routing domain is the route's.
    pub vsid: Vsid,
    /// The destinations.
    pub prefix: Prefix,
    /// Where they are.
    pub target: RouteTarget,
    /// Preference among routes to the same prefix, lower first.
    pub metric: u32,
}

/// A port of the switch and the adapter that hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The port's number.
    pub port: PortId,
    /// Its virtual subnet; `None` is Hyper-V's VSID 0, a port that is not virtualised.
    pub vsid: Option<Vsid>,
    /// The only MAC address that may speak here.
    pub mac: MacAddress,
}

/// What is known of a provider address's uniqueness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AddressState {
    /// Unique and in use.
    Preferred,
    /// Still received, no longer chosen as a source.
    Deprecated,
    /// Not yet known to be unique: neither answered, nor received, nor used as a source.
    /// [`HostAddress::probe`] asks whether it is.
    Tentative,
    /// Another machine has it: used no more than a tentative one.
    Duplicate,
}

impl AddressState {
    /// Whether frames to the address are accepted and questions for it answered.
    pub const fn receives(self) -> bool {
        matches!(self, Self::Preferred | Self::Deprecated)
    }
}

/// A provider address of this host, and the physical network it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostAddress {
    /// The address.
    pub address: ProviderAddress,
    /// The length of its on-link prefix, in bits.
    pub prefix_length: u8,
    /// The uplink it lives on.
    pub uplink: UplinkId,
    /// The MAC address that owns it.
    pub mac: MacAddress,
    /// The VLAN of the physical network, if tagged.
    pub vlan: Option<VlanId>,
    /// The IP MTU of the physical network, in bytes.
    pub mtu: u16,
    /// What is known of its uniqueness.
    pub state: AddressState,
}

/// A route of the provider network, for provider addresses that are not on-link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProviderRoute {
    /// The destinations.
    pub prefix: Prefix,
    /// The router, on-link through one of the host's provider addresses.
    pub next_hop: ProviderAddress,
    /// Preference among routes to the same prefix, lower first.
    pub metric: u32,
}

/// A multicast or broadcast address of a subnet that a group of the provider network carries: what is sent to it leaves
/// this host as one packet to the group, instead of one to each other host, and is taken from the group.
///
/// The provider network must bring the group's packets to every host of the subnet. Each of these must say the same before
/// the first of them sends so; copies of hosts that do not say it yet are still taken. A host sends from, and listens at, the
/// first of its provider addresses of the group's family that can be used, so these must be of one VLAN; while it has none, it
/// sends copies as ever. It holds for NVGRE alone: where all
/// machines of a subnet are reached by rewrite, nothing is sent to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MulticastGroup {
    /// The subnet.
    pub vsid: Vsid,
    /// The address in the subnet: of a multicast group, 255.255.255.255, or the last of one of its IPv4 prefixes.
    pub address: IpAddr,
    /// The group of the provider network, of either family. It may carry several groups, of several subnets too.
    pub provider_group: ProviderGroup,
}

/// Leave for one routing domain to send to another. Stateless: replies need the reverse peering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peering {
    /// The domain that may send.
    pub from: DomainId,
    /// The domain that receives.
    pub to: DomainId,
}

/// How the FlowID, the last octet of the NVGRE key, is chosen (RFC 7637 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FlowIdPolicy {
    /// From a keyed hash over the inner flow, so that routers spread flows over equal paths.
    PerFlow {
        /// The key of the hash.
        seed: u64,
    },
    /// Always the same, for peers that match the whole key.
    Fixed(u8),
}

/// The DSCP of the outer header (RFC 2983).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DscpPolicy {
    /// The inner packet's: the uniform model.
    Uniform,
    /// This value, 0..=63: the pipe model.
    Pipe(u8),
}

/// The ECN field of the outer header (RFC 6040 §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EcnPolicy {
    /// The inner packet's: congestion on the way is told to its receiver.
    Normal,
    /// Not ECN-capable, for receivers that do not know what to make of it: routers drop instead of marking.
    Compatible,
}

/// How much a received GRE header may differ from what RFC 7637 asks the sender for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reception {
    /// Checksum, sequence number, reserved bits and outer IPv4 options are refused.
    Strict,
    /// A checksum is verified, a sequence number and reserved bits are ignored (RFC 2784 §2.3).
    Tolerant,
}

/// What the distributed router tells the machines of subnets with an IPv6 prefix (RFC 4861 §6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RouterAdvertisements {
    /// Nothing: they have their routes from elsewhere.
    Off,
    /// That it is their default router, the prefixes on the link, and the MTU.
    OnLink,
    /// The same, and that they are to make themselves addresses of the prefixes of 64 bits (RFC 4862 §5.5.3). Such an
    /// address needs its lookup record as any other.
    Autonomous,
}

/// What becomes of a frame that the policy does not cover: of a port, a subnet or an address that it says nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Uncovered {
    /// It is dropped, or answered with an ICMP error: the policy is all there is.
    Refuse,
    /// It is the caller's, for the reason it would be refused for: whoever is behind the caller has more of the policy.
    /// So a NIC holds the part of a policy that it has room for, and its host the whole. The part should have all that the whole
    /// says of a routing domain, or nothing; of its lookup records some may be missing. Broadcasts reach those hosts only of
    /// which it has a record.
    Punt,
}

/// What holds for the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// This host's own number.
    pub local_host: HostId,
    /// The MAC address of the distributed router, the same on all hosts.
    pub router_mac: MacAddress,
    /// How the FlowID is chosen.
    pub flow_id: FlowIdPolicy,
    /// TTL or hop limit of the outer header.
    pub outer_ttl: u8,
    /// DSCP of the outer header.
    pub dscp: DscpPolicy,
    /// ECN of the outer header.
    pub ecn: EcnPolicy,
    /// What is accepted from other hosts.
    pub reception: Reception,
    /// ICMP errors of the gateway to one port: too big, time exceeded, unreachable.
    pub errors: RateLimit,
    /// Whether a packet to where no route leads, or nobody is, is answered with an ICMP error too. If it is not, a
    /// machine that scans its network learns nothing.
    pub unreachables: bool,
    /// Whether a TCP connection that is opened is told to fill no more of a packet than its path carries, where it asks
    /// for more (MSS clamping): a way around firewalls that swallow the ICMP errors it would be told by.
    pub clamp_mss: bool,
    /// Broadcast and multicast frames that one port may send.
    pub storm: RateLimit,
    /// The most other hosts that one broadcast or multicast frame is copied to.
    pub most_copies: u32,
    /// What the router tells of itself.
    pub router_advertisements: RouterAdvertisements,
    /// What becomes of frames that the policy does not cover.
    pub uncovered: Uncovered,
}

impl Settings {
    /// A host with the defaults of the field: FlowID per flow, TTL 64, DSCP and ECN copied, strict reception, a hundred
    /// ICMP errors and a thousand broadcasts a second for each port, each to at most 512 hosts; router advertisements that
    /// leave it to the operator who has which address.
    pub const fn new(local_host: HostId, router_mac: MacAddress) -> Self {
        Self {
            local_host,
            router_mac,
            flow_id: FlowIdPolicy::PerFlow { seed: 0 },
            outer_ttl: 64,
            dscp: DscpPolicy::Uniform,
            ecn: EcnPolicy::Normal,
            reception: Reception::Strict,
            errors: RateLimit {
                per_second: 100,
                burst: 50,
            },
            unreachables: false,
            clamp_mss: false,
            storm: RateLimit {
                per_second: 1000,
                burst: 250,
            },
            most_copies: 512,
            router_advertisements: RouterAdvertisements::OnLink,
            uncovered: Uncovered::Refuse,
        }
    }
}

/// One change of policy.
///
/// *Add* makes something new; adding what exists is no error if it is identical. *Set* replaces the
/// changeable part of what exists. *Remove* refuses what others still stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Change {
    /// Says what holds for the whole host. Must come before anything else.
    SetSettings(Settings),
    /// Adds a routing domain.
    AddDomain(DomainId),
    /// Removes a routing domain without subnets and peerings.
    RemoveDomain(DomainId),
    /// Adds a virtual subnet to a routing domain.
    AddSubnet {
        /// The subnet.
        vsid: Vsid,
        /// Its routing domain.
        domain: DomainId,
    },
    /// Removes a virtual subnet without routes, records, ports and multicast groups.
    RemoveSubnet(Vsid),
    /// Adds a customer route.
    AddCustomerRoute(CustomerRoute),
    /// Changes the metric of a customer route.
    SetCustomerRoute(CustomerRoute),
    /// Removes a customer route; the metric is not looked at.
    RemoveCustomerRoute(CustomerRoute),
    /// Lets a routing domain send to another.
    AddPeering(Peering),
    /// Ends that.
    RemovePeering(Peering),
    /// Adds another host of the provider network.
    AddHost(HostId),
    /// Removes a host without records.
    RemoveHost(HostId),
    /// Adds a provider address to another host.
    AddHostAddress(HostId, ProviderAddress),
    /// Removes a provider address from another host.
    RemoveHostAddress(HostId, ProviderAddress),
    /// Adds a port of this host.
    AddPort(Port),
    /// Removes a port without records.
    RemovePort(PortId),
    /// Adds a lookup record.
    AddRecord(LookupRecord),
    /// Replaces a lookup record of the same name and MAC address.
    SetRecord(LookupRecord),
    /// Moves a machine's record to where it runs now; the host it leaves becomes the previous host.
    MoveRecord(RecordName, Location),
    /// Forgets the previous host: frames from there are no longer believed nor sent on.
    RetireMigration(RecordName),
    /// Removes a lookup record.
    RemoveRecord(RecordName),
    /// Adds a provider address of this host.
    AddProviderAddress(HostAddress),
    /// Changes everything but the address of a provider address of this host.
    SetProviderAddress(HostAddress),
    /// Removes a provider address of this host.
    RemoveProviderAddress(ProviderAddress),
    /// Adds a provider route.
    AddProviderRoute(ProviderRoute),
    /// Changes the metric of a provider route.
    SetProviderRoute(ProviderRoute),
    /// Removes a provider route; the metric is not looked at.
    RemoveProviderRoute(ProviderRoute),
    /// States the MAC address of a next hop. Network state rather than policy: alone in a transaction
    /// it does not raise the version.
    SetNeighbour(Neighbour),
    /// Forgets a next hop's MAC address.
    RemoveNeighbour {
        /// The uplink it was seen on.
        uplink: UplinkId,
        /// Its address.
        address: ProviderAddress,
    },
    /// States the largest packet that the provider network carries to a provider address of another host (RFC 1191,
    /// RFC 8201), if that is less than its first link does. Network state, as is a neighbour. It goes with the
    /// address of the host.
    SetPathMtu {
        /// Where the path leads.
        address: ProviderAddress,
        /// Bytes, at least 576 with IPv4 and 1280 with IPv6. As long as there are IPv6 subnets, the path is taken to
        /// carry 1280 bytes inside the tunnel whatever is said here.
        mtu: u16,
    },
    /// Forgets that: the path is taken to carry what its first link does.
    RemovePathMtu {
        /// Where the path leads.
        address: ProviderAddress,
    },
    /// States what became known of the uniqueness of a provider address of this host. Network state, as is a neighbour.
    SetAddressState {
        /// The address.
        address: ProviderAddress,
        /// What is known.
        state: AddressState,
    },
    /// Maps a multicast or broadcast address of a subnet to a group of the provider network. This host must have a
    /// provider address of the group's family.
    AddMulticastGroup(MulticastGroup),
    /// Ends that: what is sent to the address is copied for each other host.
    RemoveMulticastGroup {
        /// The subnet.
        vsid: Vsid,
        /// The address in the subnet.
        address: IpAddr,
    },
}

impl Change {
    /// Whether the change is policy, rather than state of the network.
    pub const fn is_policy(&self) -> bool {
        !matches!(
            self,
            Self::SetNeighbour(_)
                | Self::RemoveNeighbour { .. }
                | Self::SetPathMtu { .. }
                | Self::RemovePathMtu { .. }
                | Self::SetAddressState { .. }
        )
    }
}

/// The MAC address of a next hop in the provider network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    /// The uplink it is reached through.
    pub uplink: UplinkId,
    /// Its address.
    pub address: ProviderAddress,
    /// Its MAC address.
    pub mac: MacAddress,
}

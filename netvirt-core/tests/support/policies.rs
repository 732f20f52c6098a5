//! What tests of policy and datapath share: policies on the heap, and the networks they talk about.

#![allow(dead_code, reason = "each test uses the part that it needs")]

// Named because unit tests of the core, which has no prelude of `std`, use this file too.
use std::vec::Vec;
use std::{panic, vec};

use managed::ManagedSlice;
use netvirt_core::edit::Template;
use netvirt_core::policy::*;
use netvirt_core::table::{
    Ipv4Interval, Ipv6Interval, SLOTS_PER_BUCKET, Seed, TagBucket, buckets_for,
};
use netvirt_core::*;

/// How much a policy on the heap holds of everything. Exact, except that the tables of records, rewrites,
/// subnets, paths and neighbours round up to 8, to 16 and from there to more.
#[derive(Debug, Clone, Copy)]
pub struct Capacities {
    pub records: usize,
    pub rewrites: usize,
    pub domains: usize,
    pub subnets: usize,
    pub routes: usize,
    pub intervals: usize,
    pub peerings: usize,
    pub hosts: usize,
    pub paths: usize,
    pub ports: usize,
    pub provider_addresses: usize,
    pub provider_routes: usize,
    pub neighbours: usize,
    pub members: usize,
    pub groups: usize,
}

impl Capacities {
    /// Room for whatever a test thinks of.
    pub const ROOMY: Self = Self {
        records: 1024,
        rewrites: 1024,
        domains: 32,
        subnets: 64,
        routes: 256,
        intervals: 1024,
        peerings: 32,
        hosts: 64,
        paths: 128,
        ports: 64,
        provider_addresses: 8,
        provider_routes: 16,
        neighbours: 64,
        members: 256,
        groups: 16,
    };

    /// An empty copy of a policy.
    pub fn policy(&self) -> Policy<'static> {
        Policy::new(
            PolicyStorage {
                record_tags: tags(self.records),
                records: slots(self.records, Record::VACANT),
                rewrite_tags: tags(self.rewrites),
                rewrite_numbers: slots(self.rewrites, 0),
                subnet_tags: tags(self.subnets),
                subnet_numbers: slots(self.subnets, 0),
                subnets: places(self.subnets),
                domains: places(self.domains),
                routes: places(self.routes),
                ipv4_intervals: filled(self.intervals, Ipv4Interval::EMPTY),
                ipv6_intervals: filled(self.intervals, Ipv6Interval::EMPTY),
                peerings: places(self.peerings),
                hosts: places(self.hosts),
                path_tags: tags(self.paths),
                path_numbers: slots(self.paths, 0),
                paths: places(self.paths),
                templates: filled(self.paths, Template::VACANT),
                ports: places(self.ports),
                provider_addresses: places(self.provider_addresses),
                provider_routes: places(self.provider_routes),
                neighbour_tags: tags(self.neighbours),
                neighbours: slots(self.neighbours, NeighbourEntry::VACANT),
                member_tags: tags(self.members),
                members: slots(self.members, Member::VACANT),
                group_tags: tags(self.groups),
                groups: slots(self.groups, Group::VACANT),
                group_path_tags: tags(self.groups),
                group_paths: slots(self.groups, GroupPath::VACANT),
            },
            Seed::new(1, 2),
        )
    }

    /// Two empty copies.
    pub fn policies(&self) -> Policies<'static> {
        Policies::new(self.policy(), self.policy())
    }
}

fn filled<T: Clone>(count: usize, value: T) -> ManagedSlice<'static, T> {
    ManagedSlice::Owned(vec![value; count])
}

fn places<T: Place>(count: usize) -> ManagedSlice<'static, T> {
    filled(count, T::VACANT)
}

/// One bucket always takes 8 entries, two take 16.
fn buckets(entries: usize) -> usize {
    match entries {
        0..=16 => entries.div_ceil(SLOTS_PER_BUCKET),
        more => buckets_for(more),
    }
}

fn tags(entries: usize) -> ManagedSlice<'static, TagBucket> {
    filled(buckets(entries), TagBucket::EMPTY)
}

fn slots<T: Clone>(entries: usize, value: T) -> ManagedSlice<'static, T> {
    filled(buckets(entries) * SLOTS_PER_BUCKET, value)
}

/// Encodes changes as one transaction.
pub fn tx(changes: &[Change]) -> Vec<u8> {
    let mut buffer = vec![0; changes.len() * MAX_CHANGE_LENGTH];
    let mut writer = TransactionWriter::new(&mut buffer);
    for change in changes {
        writer.push(change).unwrap();
    }
    let length = writer.finish().len();
    buffer.truncate(length);
    buffer
}

/// Applies changes as one transaction.
pub fn apply(policies: &mut Policies<'_>, changes: &[Change]) -> Result<(), Refused> {
    policies.apply(Transaction::new(&tx(changes)))
}

/// A roomy policy made of these changes.
pub fn policies_of(changes: &[Change]) -> Policies<'static> {
    let mut policies = Capacities::ROOMY.policies();
    apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
    policies
}

pub fn vsid(number: u32) -> Vsid {
    Vsid::new(number).unwrap()
}

pub fn mac(text: &str) -> MacAddress {
    text.parse().unwrap()
}

pub fn ca(text: &str) -> CustomerAddress {
    CustomerAddress::new(text.parse().unwrap()).unwrap()
}

pub fn pa(text: &str) -> ProviderAddress {
    ProviderAddress::new(text.parse().unwrap()).unwrap()
}

/// An address of a subnet that is mapped to a group of the provider network.
pub fn group(subnet: u32, address: &str, provider_group: &str) -> MulticastGroup {
    MulticastGroup {
        vsid: vsid(subnet),
        address: address.parse().unwrap(),
        provider_group: ProviderGroup::new(provider_group.parse().unwrap()).unwrap(),
    }
}

pub fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub fn on_link(subnet: u32, destination: &str) -> CustomerRoute {
    CustomerRoute {
        vsid: vsid(subnet),
        prefix: prefix(destination),
        target: RouteTarget::OnLink,
        metric: 255,
    }
}

pub fn via(subnet: u32, destination: &str, next_hop: &str) -> CustomerRoute {
    CustomerRoute {
        target: RouteTarget::Via(ca(next_hop)),
        ..on_link(subnet, destination)
    }
}

/// A static record that is reached by NVGRE.
pub fn record(subnet: u32, address: &str, adapter: &str, location: Location) -> LookupRecord {
    LookupRecord {
        vsid: vsid(subnet),
        kind: RecordKind::Static(ca(address)),
        mac: mac(adapter),
        location,
        previous: None,
        method: Method::Encapsulate,
    }
}

/// The same record under IP rewrite.
pub fn rewritten(record: LookupRecord, provider: &str) -> LookupRecord {
    LookupRecord {
        method: Method::Rewrite {
            provider_address: pa(provider),
            use_vm_mac: false,
        },
        ..record
    }
}

/// The same record on its way between the two methods.
pub fn in_transition(record: LookupRecord, provider: &str) -> LookupRecord {
    LookupRecord {
        method: Method::Transition {
            provider_address: pa(provider),
            use_vm_mac: false,
        },
        ..record
    }
}

/// A port of this host and its virtual subnet.
pub fn port(number: u32, subnet: u32, adapter: &str) -> Port {
    Port {
        port: PortId(number),
        vsid: Some(vsid(subnet)),
        mac: mac(adapter),
    }
}

/// A preferred provider address of this host on uplink 0, untagged, with room for NVGRE in the MTU.
pub fn own_address(address: &str, prefix_length: u8) -> HostAddress {
    HostAddress {
        address: pa(address),
        prefix_length,
        uplink: UplinkId(0),
        mac: UPLINK_MAC,
        vlan: None,
        mtu: 1600,
        state: AddressState::Preferred,
    }
}

pub fn neighbour(address: &str, station: MacAddress) -> Neighbour {
    Neighbour {
        uplink: UplinkId(0),
        address: pa(address),
        mac: station,
    }
}

pub fn path_mtu(address: &str, mtu: u16) -> Change {
    Change::SetPathMtu {
        address: pa(address),
        mtu,
    }
}

/// The MAC address of the distributed router.
pub const ROUTER_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x01]);
/// The MAC address of this host's uplink.
pub const UPLINK_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0x01, 0x01]);
/// The MAC address of the other host's uplink.
pub const OTHER_UPLINK_MAC: MacAddress = MacAddress([0x02, 0, 0, 0, 0x02, 0x01]);

pub const HOST_1: HostId = HostId(1);
pub const HOST_2: HostId = HostId(2);
pub const BLUE: DomainId = DomainId(0);
pub const RED: DomainId = DomainId(1);
pub const BLUE_VSID: u32 = 5001;
pub const RED_VSID: u32 = 6001;
/// The port of Blue1 on host 1, VSID 5001.
pub const BLUE_PORT: PortId = PortId(0);
/// The port of Red1 on host 1, VSID 6001.
pub const RED_PORT: PortId = PortId(1);

pub fn settings() -> Change {
    Change::SetSettings(Settings::new(HOST_1, ROUTER_MAC))
}

/// The two-host network of the field's own example, as host 1 sees it: Blue1 10.0.0.5 and Red1 10.0.0.5 hang on its
/// ports, Blue2 10.0.0.7 and Red2 10.0.0.7 run on host 2; PAs 192.168.4.11 and 192.168.4.22, the latter's MAC
/// address known.
pub fn two_hosts() -> Vec<Change> {
    let mut changes = vec![
        settings(),
        Change::AddProviderAddress(own_address("192.168.4.11", 24)),
        Change::AddHost(HOST_2),
        Change::AddHostAddress(HOST_2, pa("192.168.4.22")),
        Change::SetNeighbour(neighbour("192.168.4.22", OTHER_UPLINK_MAC)),
    ];
    for (domain, number, own_port, here, there) in [
        (BLUE, BLUE_VSID, BLUE_PORT, "060600000005", "060600000007"),
        (RED, RED_VSID, RED_PORT, "080800000005", "080800000007"),
    ] {
        changes.extend([
            Change::AddDomain(domain),
            Change::AddSubnet {
                vsid: vsid(number),
                domain,
            },
            Change::AddCustomerRoute(on_link(number, "10.0.0.0/24")),
            Change::AddPort(port(own_port.0, number, here)),
            Change::AddRecord(record(number, "10.0.0.5", here, Location::Port(own_port))),
            Change::AddRecord(record(number, "10.0.0.7", there, Location::Host(HOST_2))),
        ]);
    }
    changes
}

/// Everything that a policy says, in the order of its tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dump {
    pub version: u64,
    pub settings: Option<Settings>,
    pub domains: Vec<DomainId>,
    pub subnets: Vec<(Vsid, DomainId)>,
    pub customer_routes: Vec<CustomerRoute>,
    pub peerings: Vec<Peering>,
    pub hosts: Vec<HostId>,
    pub host_addresses: Vec<(HostId, ProviderAddress)>,
    pub path_mtus: Vec<(ProviderAddress, u16)>,
    pub ports: Vec<Port>,
    pub lookup_records: Vec<LookupRecord>,
    pub provider_addresses: Vec<HostAddress>,
    pub provider_routes: Vec<ProviderRoute>,
    pub neighbours: Vec<Neighbour>,
    pub subnet_ports: Vec<(Vsid, Vec<PortId>)>,
    pub subnet_hosts: Vec<(Vsid, Vec<HostId>)>,
    pub multicast_groups: Vec<MulticastGroup>,
}

impl Dump {
    pub fn of(policy: &Policy<'_>) -> Self {
        Self {
            version: policy.version(),
            settings: policy.settings().copied(),
            domains: policy.domains().collect(),
            subnets: policy.subnets().collect(),
            customer_routes: policy.customer_routes().collect(),
            peerings: policy.peerings().collect(),
            hosts: policy.hosts().collect(),
            host_addresses: policy.host_addresses().collect(),
            path_mtus: policy.path_mtus().collect(),
            ports: policy.ports().collect(),
            lookup_records: policy.lookup_records().collect(),
            provider_addresses: policy.provider_addresses().copied().collect(),
            provider_routes: policy.provider_routes().collect(),
            neighbours: policy.neighbours().collect(),
            subnet_ports: policy
                .subnets()
                .map(|(vsid, _)| (vsid, policy.subnet_ports(vsid).collect()))
                .collect(),
            subnet_hosts: policy
                .subnets()
                .map(|(vsid, _)| (vsid, policy.subnet_hosts(vsid).collect()))
                .collect(),
            multicast_groups: policy.multicast_groups().collect(),
        }
    }

    /// What the live copy says, and that the other says the same: an empty transaction changes nothing but
    /// which copy is live.
    pub fn of_both(policies: &mut Policies<'_>) -> Self {
        let live = Self::of(policies.live());
        apply(policies, &[]).unwrap();
        assert_eq!(Self::of(policies.live()), live, "the two copies differ");
        live
    }
}

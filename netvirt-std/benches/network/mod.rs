//! The network that is measured: one host with a virtual machine in each of 64 subnets, and as many machines on
//! other hosts as wanted, fifty a host. Eight tenants with the same addresses, eight subnets each.

use std::net::{IpAddr, Ipv4Addr};

use netvirt_core::policy::{
    AddressState, Change, CustomerRoute, HostAddress, Location, LookupRecord, MAX_CHANGE_LENGTH,
    Method, Neighbour, Policies, Port, ProviderRoute, RecordKind, RouteTarget, Settings,
    Transaction, TransactionWriter,
};
use netvirt_core::table::Seed;
use netvirt_core::{
    CustomerAddress, DomainId, HostId, MacAddress, PortId, Prefix, ProviderAddress, UplinkId, Vsid,
};
use netvirt_std::memory::HostCapacity;

/// Subnets, each with one machine on this host: records 0 to 63.
pub const SUBNETS: u32 = 64;
const SUBNETS_PER_TENANT: u32 = 8;
const RECORDS_PER_HOST: u32 = 50;
const CHANGES_PER_TRANSACTION: usize = 8192;

/// The provider address of this host, in the /24 in which its machines' rewrite addresses lie too.
pub const OWN_ADDRESS: u32 = 0xc0a8_0001;
const ROUTER: u32 = 0xc0a8_00fe;
const LOCAL_REWRITE_ADDRESSES: u32 = 0xc0a8_0010;
const REWRITE_ADDRESSES: u32 = 0x6440_0000;
const HOST_ADDRESSES: u32 = 0x6460_0000;
/// The MAC address of this host's uplink.
pub const OWN_MAC: MacAddress = MacAddress([2, 0xee, 0, 0, 0, 1]);
/// The MAC address of the provider network's router.
pub const PROVIDER_ROUTER_MAC: MacAddress = MacAddress([2, 0xee, 0, 0, 0, 2]);
/// The MAC address of the distributed router.
pub const ROUTER_MAC: MacAddress = MacAddress([2, 0xee, 0, 0, 0, 3]);

/// How all records are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By NVGRE.
    Nvgre,
    /// By rewrite.
    Rewrite,
}

/// A network of so many records; record `i` is in subnet `i % 64`.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Lookup records.
    pub records: u32,
    /// How they are reached.
    pub reach: Reach,
}

impl Network {
    /// The subnet of a record.
    pub const fn subnet(record: u32) -> u32 {
        record % SUBNETS
    }

    /// The VSID of a subnet.
    pub fn vsid(subnet: u32) -> Vsid {
        Vsid::new(5000 + 37 * subnet).expect("a VSID of the operator's range")
    }

    /// The first address of a subnet, a /12 that every tenant has.
    pub const fn base(subnet: u32) -> u32 {
        0x0a00_0000 | (subnet % SUBNETS_PER_TENANT) << 20
    }

    /// The customer address of a record, or of one that does not exist.
    pub const fn customer_address(record: u32) -> u32 {
        // The first address is the network's, the second the gateway's.
        Self::base(Self::subnet(record)) + 2 + record / SUBNETS
    }

    /// The provider address of a record under rewrite.
    pub const fn rewrite_address(record: u32) -> u32 {
        if record < SUBNETS {
            LOCAL_REWRITE_ADDRESSES + record
        } else {
            REWRITE_ADDRESSES + record
        }
    }

    /// The MAC address of a record.
    pub const fn mac(record: u32) -> MacAddress {
        let [a, b, c, d] = record.to_be_bytes();
        MacAddress([2, 0x15, a, b, c, d])
    }

    /// How many other hosts there are.
    pub const fn hosts(&self) -> u32 {
        self.records.div_ceil(RECORDS_PER_HOST)
    }

    /// The host of a record that is not local.
    pub const fn host(&self, record: u32) -> u32 {
        1 + (record.wrapping_mul(0x9e37_79b1) >> 8) % self.hosts()
    }

    /// The provider address of a host.
    pub const fn host_address(host: u32) -> u32 {
        HOST_ADDRESSES + host
    }

    /// Tables that hold the network and no more.
    pub fn capacity(&self) -> HostCapacity {
        HostCapacity {
            records: self.records as usize,
            rewritten_records: match self.reach {
                Reach::Nvgre => 0,
                Reach::Rewrite => self.records as usize,
            },
            subnets: SUBNETS as usize,
            domains: (SUBNETS / SUBNETS_PER_TENANT) as usize,
            customer_routes: SUBNETS as usize,
            peerings: 0,
            hosts: self.hosts() as usize + 1,
            host_addresses: self.hosts() as usize,
            ports: SUBNETS as usize,
            provider_addresses: 1,
            provider_routes: 1,
            neighbours: 1,
            multicast_groups: 0,
        }
    }

    /// Both copies of the policy, loaded through transactions.
    pub fn load(&self) -> Policies<'static> {
        let mut policies = self.capacity().policies(Seed::new(0x5eed, 0xfeed));
        let mut buffer = vec![0; CHANGES_PER_TRANSACTION * MAX_CHANGE_LENGTH];
        let changes: Vec<Change> = self.frame_of_policy();
        apply(&mut policies, &mut buffer, changes.into_iter());
        let mut record = 0;
        while record < self.records {
            let end = self.records.min(record + CHANGES_PER_TRANSACTION as u32);
            let changes = (record..end).map(|record| Change::AddRecord(self.record(record)));
            apply(&mut policies, &mut buffer, changes);
            record = end;
        }
        policies
    }

    /// Everything but the records.
    fn frame_of_policy(&self) -> Vec<Change> {
        let mut changes = vec![
            Change::SetSettings(Settings::new(HostId(0), ROUTER_MAC)),
            Change::AddProviderAddress(HostAddress {
                address: provider(OWN_ADDRESS),
                prefix_length: 24,
                uplink: UplinkId(0),
                mac: OWN_MAC,
                vlan: None,
                mtu: 1600,
                state: AddressState::Preferred,
            }),
            Change::AddProviderRoute(ProviderRoute {
                prefix: prefix(REWRITE_ADDRESSES, 10),
                next_hop: provider(ROUTER),
                metric: 0,
            }),
            Change::SetNeighbour(Neighbour {
                uplink: UplinkId(0),
                address: provider(ROUTER),
                mac: PROVIDER_ROUTER_MAC,
            }),
        ];
        for host in 1..=self.hosts() {
            let address = provider(Self::host_address(host));
            changes.push(Change::AddHost(HostId(host)));
            changes.push(Change::AddHostAddress(HostId(host), address));
        }
        for domain in 0..SUBNETS / SUBNETS_PER_TENANT {
            changes.push(Change::AddDomain(DomainId(domain)));
        }
        for subnet in 0..SUBNETS {
            changes.extend(subnet_with_port(subnet));
        }
        changes
    }

    fn record(&self, record: u32) -> LookupRecord {
        let address = Ipv4Addr::from_bits(Self::customer_address(record)).into();
        LookupRecord {
            vsid: Self::vsid(Self::subnet(record)),
            kind: RecordKind::Static(CustomerAddress::new(address).expect("a unicast address")),
            mac: Self::mac(record),
            location: if record < SUBNETS {
                Location::Port(PortId(record))
            } else {
                Location::Host(HostId(self.host(record)))
            },
            previous: None,
            method: match self.reach {
                Reach::Nvgre => Method::Encapsulate,
                Reach::Rewrite => Method::Rewrite {
                    provider_address: provider(Self::rewrite_address(record)),
                    use_vm_mac: false,
                },
            },
        }
    }
}

fn subnet_with_port(subnet: u32) -> [Change; 3] {
    let vsid = Network::vsid(subnet);
    [
        Change::AddSubnet {
            vsid,
            domain: DomainId(subnet / SUBNETS_PER_TENANT),
        },
        Change::AddCustomerRoute(CustomerRoute {
            vsid,
            prefix: prefix(Network::base(subnet), 12),
            target: RouteTarget::OnLink,
            metric: 0,
        }),
        Change::AddPort(Port {
            port: PortId(subnet),
            vsid: Some(vsid),
            mac: Network::mac(subnet),
        }),
    ]
}

fn apply(
    policies: &mut Policies<'static>,
    buffer: &mut Vec<u8>,
    changes: impl ExactSizeIterator<Item = Change>,
) {
    buffer.resize(changes.len() * MAX_CHANGE_LENGTH, 0);
    let mut writer = TransactionWriter::new(buffer);
    for change in changes {
        writer.push(&change).expect("room for every change");
    }
    if let Err(refused) = policies.apply(Transaction::new(writer.finish())) {
        panic!("the policy is refused: {refused}");
    }
}

fn provider(address: u32) -> ProviderAddress {
    ProviderAddress::new(IpAddr::V4(Ipv4Addr::from_bits(address))).expect("a unicast address")
}

fn prefix(address: u32, length: u8) -> Prefix {
    Prefix::new(IpAddr::V4(Ipv4Addr::from_bits(address)), length).expect("no bits behind it")
}

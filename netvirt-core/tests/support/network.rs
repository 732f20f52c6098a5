//! The network that the tests of the datapath talk about.
//!
//! Hosts 1 to 3 have the provider addresses 192.168.4.11, .22 and .33 and fd00:4::11, ::22 and ::33. Blue and red use
//! the same customer addresses under NVGRE, green and teal under rewrite; red lives beside all of them.

use netvirt_core::policy::*;
use netvirt_core::*;

use super::packets::{Packet, Tunnel, ip};
use super::{ca, on_link, pa, via, vsid};

pub const BLUE: DomainId = DomainId(0);
pub const RED: DomainId = DomainId(1);
pub const GREEN: DomainId = DomainId(2);

pub const BLUE_1: u32 = 5001;
pub const BLUE_2: u32 = 5002;
/// The subnet of blue's gateway.
pub const BLUE_EDGE: u32 = 5003;
pub const RED_1: u32 = 6001;
pub const GREEN_1: u32 = 7001;
pub const GREEN_2: u32 = 7002;

pub const ROUTER: MacAddress = super::ROUTER_MAC;

/// A virtual machine.
#[derive(Debug, Clone)]
pub struct Machine {
    pub name: &'static str,
    pub vsid: u32,
    pub mac: MacAddress,
    pub addresses: Vec<&'static str>,
    pub host: u32,
    pub port: u32,
    /// Provider addresses under rewrite, one for each address; none is NVGRE.
    pub rewrite: Vec<&'static str>,
    /// The hosts whose policy says transition instead of rewrite.
    pub transition: Vec<u32>,
    pub use_vm_mac: bool,
    pub is_gateway: bool,
}

/// Which version of outer IP the hosts prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outer {
    V4,
    V6,
}

/// A whole network, from which the policy of each host is derived.
#[derive(Debug, Clone)]
pub struct Network {
    pub hosts: u32,
    pub outer: Outer,
    pub subnets: Vec<(u32, DomainId, Vec<&'static str>)>,
    pub routes: Vec<CustomerRoute>,
    pub machines: Vec<Machine>,
    pub peerings: Vec<Peering>,
    pub settings: Settings,
    pub vlan: Option<u16>,
    pub mtu: u16,
    /// The hosts know each other's MAC addresses.
    pub is_resolved: bool,
}

pub fn host_mac(host: u32) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, host as u8 * 11])
}

pub fn host_ipv4(host: u32) -> String {
    format!("192.168.4.{}", host * 11)
}

pub fn host_ipv6(host: u32) -> String {
    format!("fd00:4::{}", host * 11)
}

fn machine(
    name: &'static str,
    vsid: u32,
    mac: &str,
    addresses: &[&'static str],
    (host, port): (u32, u32),
) -> Machine {
    Machine {
        name,
        vsid,
        mac: super::mac(mac),
        addresses: addresses.to_vec(),
        host,
        port,
        rewrite: vec![],
        transition: vec![],
        use_vm_mac: false,
        is_gateway: false,
    }
}

impl Network {
    /// The network of the module's description.
    pub fn standard() -> Self {
        let one = ["10.0.0.0/24", "2001:db8:1::/64"];
        let two = ["10.0.1.0/24", "2001:db8:2::/64"];
        let subnets = vec![
            (BLUE_1, BLUE, one.to_vec()),
            (BLUE_2, BLUE, two.to_vec()),
            (BLUE_EDGE, BLUE, vec!["10.0.2.0/24", "2001:db8:3::/64"]),
            (RED_1, RED, one.to_vec()),
            (GREEN_1, GREEN, one.to_vec()),
            (GREEN_2, GREEN, two.to_vec()),
        ];
        let (a, b, c) = (
            ["10.0.0.5", "2001:db8:1::5"],
            ["10.0.0.7", "2001:db8:1::7"],
            ["10.0.1.6", "2001:db8:2::6"],
        );
        let mut machines = vec![
            machine("blue a", BLUE_1, "060600000005", &a, (1, 0)),
            machine("blue b", BLUE_1, "060600000007", &b, (2, 0)),
            machine(
                "blue near a",
                BLUE_1,
                "060600000009",
                &["10.0.0.9", "2001:db8:1::9"],
                (1, 1),
            ),
            machine("blue c", BLUE_2, "060600000106", &c, (2, 1)),
            machine(
                "blue near c",
                BLUE_2,
                "060600000108",
                &["10.0.1.8", "2001:db8:2::8"],
                (1, 2),
            ),
            machine("red a", RED_1, "080800000005", &a, (1, 3)),
            machine("red b", RED_1, "080800000007", &b, (2, 2)),
            machine("green a", GREEN_1, "0a0a00000005", &a, (1, 4)),
            machine("green b", GREEN_1, "0a0a00000007", &b, (2, 3)),
            machine("green c", GREEN_2, "0a0a00000106", &c, (2, 4)),
            machine(
                "gate",
                BLUE_EDGE,
                "060600000202",
                &["10.0.2.2", "2001:db8:3::2"],
                (2, 5),
            ),
        ];
        for (name, provider) in [
            ("green a", ["192.168.4.105", "fd00:4::105"]),
            ("green b", ["192.168.4.207", "fd00:4::207"]),
            ("green c", ["192.168.4.206", "fd00:4::206"]),
        ] {
            let green = machines.iter_mut().find(|machine| machine.name == name);
            green.unwrap().rewrite = provider.to_vec();
        }
        machines.last_mut().unwrap().is_gateway = true;
        Self {
            hosts: 2,
            outer: Outer::V4,
            subnets,
            routes: vec![
                via(BLUE_EDGE, "0.0.0.0/0", "10.0.2.2"),
                via(BLUE_EDGE, "::/0", "2001:db8:3::2"),
            ],
            machines,
            peerings: vec![],
            settings: Settings {
                flow_id: FlowIdPolicy::Fixed(0xa7),
                ..Settings::new(HostId(1), ROUTER)
            },
            vlan: None,
            mtu: 1600,
            is_resolved: true,
        }
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub fn machine(&self, name: &str) -> &Machine {
        self.machines
            .iter()
            .find(|machine| machine.name == name)
            .unwrap()
    }

    pub fn machine_mut(&mut self, name: &str) -> &mut Machine {
        self.machines
            .iter_mut()
            .find(|machine| machine.name == name)
            .unwrap()
    }

    /// The address objects of a host in the order of preference.
    pub fn own_addresses(&self, host: u32) -> Vec<HostAddress> {
        let mut addresses = vec![
            self.own_address(host, &host_ipv4(host), 24),
            self.own_address(host, &host_ipv6(host), 64),
        ];
        if self.outer == Outer::V6 {
            addresses.reverse();
        }
        addresses
    }

    fn own_address(&self, host: u32, address: &str, prefix_length: u8) -> HostAddress {
        HostAddress {
            address: pa(address),
            prefix_length,
            uplink: UplinkId(0),
            mac: host_mac(host),
            vlan: self.vlan.map(|vlan| VlanId::new(vlan).unwrap()),
            mtu: self.mtu,
            state: AddressState::Preferred,
        }
    }

    /// The records of a machine, as a host sees them.
    pub fn records(&self, machine: &Machine, host: u32) -> Vec<LookupRecord> {
        let location = if machine.host == host {
            Location::Port(PortId(machine.port))
        } else {
            Location::Host(HostId(machine.host))
        };
        let record = |kind, method| LookupRecord {
            vsid: vsid(machine.vsid),
            kind,
            mac: machine.mac,
            location,
            previous: None,
            method,
        };
        let mut records = vec![];
        for (number, address) in machine.addresses.iter().enumerate() {
            let use_vm_mac = machine.use_vm_mac;
            let method = match machine.rewrite.get(number).map(|provider| pa(provider)) {
                None => Method::Encapsulate,
                Some(provider_address) if machine.transition.contains(&host) => {
                    Method::Transition {
                        provider_address,
                        use_vm_mac,
                    }
                }
                Some(provider_address) => Method::Rewrite {
                    provider_address,
                    use_vm_mac,
                },
            };
            records.push(record(RecordKind::Static(ca(address)), method));
        }
        if machine.is_gateway {
            records.push(record(RecordKind::GatewayWildcard, Method::Encapsulate));
        }
        records
    }

    /// The policy of one host.
    pub fn changes(&self, host: u32) -> Vec<Change> {
        let settings = Settings {
            local_host: HostId(host),
            ..self.settings
        };
        let mut changes = vec![Change::SetSettings(settings)];
        changes.extend(
            self.own_addresses(host)
                .into_iter()
                .map(Change::AddProviderAddress),
        );
        for other in (1..=self.hosts).filter(|other| *other != host) {
            changes.push(Change::AddHost(HostId(other)));
            for address in self.own_addresses(other) {
                changes.push(Change::AddHostAddress(HostId(other), address.address));
                if self.is_resolved {
                    changes.push(Change::SetNeighbour(Neighbour {
                        uplink: UplinkId(0),
                        address: address.address,
                        mac: host_mac(other),
                    }));
                }
            }
        }
        for domain in 0..3 {
            changes.push(Change::AddDomain(DomainId(domain)));
        }
        for (number, domain, prefixes) in &self.subnets {
            changes.push(Change::AddSubnet {
                vsid: vsid(*number),
                domain: *domain,
            });
            let on_link = prefixes.iter().map(|prefix| on_link(*number, prefix));
            changes.extend(on_link.map(Change::AddCustomerRoute));
        }
        changes.extend(self.routes.iter().copied().map(Change::AddCustomerRoute));
        changes.extend(self.peerings.iter().copied().map(Change::AddPeering));
        for machine in &self.machines {
            if machine.host == host {
                changes.push(Change::AddPort(Port {
                    port: PortId(machine.port),
                    vsid: Some(vsid(machine.vsid)),
                    mac: machine.mac,
                }));
            }
            changes.extend(
                self.records(machine, host)
                    .into_iter()
                    .map(Change::AddRecord),
            );
        }
        changes
    }

    /// The outer headers between two hosts, as they are with the settings of this network.
    pub fn tunnel(&self, from: u32, to: u32, vsid: u32) -> Tunnel {
        let (source, destination) = match self.outer {
            Outer::V4 => (host_ipv4(from), host_ipv4(to)),
            Outer::V6 => (host_ipv6(from), host_ipv6(to)),
        };
        Tunnel {
            destination_mac: host_mac(to),
            source_mac: host_mac(from),
            tags: self.vlan.into_iter().map(|vlan| (0x8100, vlan)).collect(),
            source: ip(&source),
            destination: ip(&destination),
            hop_limit: self.settings.outer_ttl,
            traffic_class: 0,
            flow_label: 0,
            ipv4_options: vec![],
            extensions: vec![],
            fragment: 0x4000,
            gre_flags: 0x2000,
            gre_protocol: 0x6558,
            vsid,
            flow_id: 0xa7,
            padding: 0,
        }
    }

    /// A datagram from one machine to another by their addresses of one version (0: IPv4, 1: IPv6), as the sender
    /// writes it: to the receiver itself within a subnet, to the router otherwise.
    pub fn datagram(&self, from: &str, to: &str, version: usize) -> Packet {
        let (from, to) = (self.machine(from), self.machine(to));
        let first_hop = if from.vsid == to.vsid { to.mac } else { ROUTER };
        Packet::udp(
            from.addresses[version],
            to.addresses[version],
            b"hello, hnv",
        )
        .between(from.mac, first_hop)
    }
}

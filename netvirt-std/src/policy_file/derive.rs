//! What one host needs of the whole: the changes that build its policy from nothing.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::address::UplinkId;
use netvirt_core::policy::{
    AddressState, Change, CustomerRoute, HostAddress, Location, LookupRecord, Method,
    MulticastGroup, Neighbour, Peering, Port, ProviderRoute, RecordKind, RouteTarget, Settings,
};
use netvirt_core::{CustomerAddress, DomainId, HostId, PortId, ProviderAddress};

use super::diagnostic::suggestion;
use super::host_policy::{
    Attachment, DomainInfo, HostInfo, HostPolicy, MachineInfo, PortInfo, SubnetInfo, UnknownHost,
};
use super::model::{Host, Model, PhysicalNetwork, Subnet, VirtualMachine};
use super::mtu::Narrowest;
use super::numbering::Numbering;
use super::values::{AttachmentKind, SubnetMethod};

/// The only uplink that a host has so far.
const UPLINK: UplinkId = UplinkId(0);
/// Hyper-V's metric for on-link customer routes.
const ON_LINK_METRIC: u32 = 255;

pub(super) fn for_host(
    model: &Model,
    name: &str,
    before: &Numbering,
) -> Result<HostPolicy, UnknownHost> {
    let named = |host: &Host| host.name.value.0 == name;
    match model.hosts.iter().position(named) {
        Some(position) => Ok(Derivation::new(model, position, before).finish()),
        None => Err(UnknownHost {
            name: name.into(),
            remedy: suggestion(
                name,
                model.hosts.iter().map(|host| host.name.value.0.as_str()),
            ),
        }),
    }
}

/// One host's part of the file: positions in it and their numbers, in the order of the file.
struct Derivation<'m> {
    model: &'m Model,
    local: usize,
    numbering: Numbering,
    domains: BTreeMap<usize, DomainId>,
    hosts: BTreeMap<usize, HostId>,
    ports: BTreeMap<usize, PortId>,
}

impl<'m> Derivation<'m> {
    fn new(model: &'m Model, local: usize, before: &Numbering) -> Self {
        let domains = needed_domains(model, local);
        let hosts: BTreeSet<usize> = model
            .machines
            .iter()
            .filter(|machine| domains.contains(&model.subnet_of(machine).domain))
            .flat_map(|machine| [Some(machine.host.value), previous_host(machine)])
            .flatten()
            .chain([local])
            .collect();
        let positions = 0..model.machines.len();
        let ports: BTreeSet<usize> = positions
            .filter(|position| model.machines[*position].host.value == local)
            .collect();
        let host_name = |position: &usize| &*model.hosts[*position].name.value.0;
        let domain_name = |position: &usize| &*model.domains[*position].name.value.0;
        let port_name = |position: &usize| &*model.machines[*position].name.value.0;
        let numbering = before.next(
            hosts.iter().map(host_name),
            domains.iter().map(domain_name),
            ports.iter().map(port_name),
        );
        Self {
            model,
            local,
            domains: numbered(domains, |position| numbering.domain(domain_name(position))),
            hosts: numbered(hosts, |position| numbering.host(host_name(position))),
            ports: numbered(ports, |position| numbering.port(port_name(position))),
            numbering,
        }
    }

    fn finish(self) -> HostPolicy {
        let host = &self.model.hosts[self.local];
        let narrowest = Narrowest::of(self.model);
        let domains = self.domains.iter();
        let ports = self.ports.iter();
        HostPolicy {
            digest: self.model.digest.clone(),
            name: host.name.value.0.clone(),
            local_host: self.hosts[&self.local],
            changes: self.changes(host),
            hosts: self
                .hosts
                .iter()
                .map(|(position, id)| self.host_info(*position, *id))
                .collect(),
            domains: domains
                .map(|(position, id)| self.domain_info(*position, *id))
                .collect(),
            subnets: self
                .subnets()
                .map(|(subnet, domain)| subnet_info(subnet, domain))
                .collect(),
            ports: ports
                .map(|(position, port)| self.port_info(*position, *port, &narrowest))
                .collect(),
            machines: self
                .machines()
                .map(|(position, m)| self.machine_info(position, m))
                .collect(),
            uplink_mac: host.uplink.mac.value,
            uplink_interface: host
                .uplink
                .interface
                .as_ref()
                .map(|interface| interface.value.0.clone()),
            nic: host.uplink.nic,
            numbering: self.numbering,
        }
    }

    fn changes(&self, host: &Host) -> Vec<Change> {
        let mut changes = vec![Change::SetSettings(self.settings())];
        changes.extend(
            self.domains
                .values()
                .map(|domain| Change::AddDomain(*domain)),
        );
        changes.extend(self.subnets().map(|(subnet, domain)| Change::AddSubnet {
            vsid: subnet.vsid.value,
            domain,
        }));
        changes.extend(
            self.subnets()
                .flat_map(|(subnet, _)| on_link_routes(subnet)),
        );
        changes.extend(self.other_hosts());
        changes.extend(self.provider_addresses(host));
        changes.extend(self.provider_routes(host));
        changes.extend(neighbours(host));
        changes.extend(self.ports.iter().map(|(position, port)| {
            let machine = &self.model.machines[*position];
            Change::AddPort(Port {
                port: *port,
                vsid: Some(self.model.subnet_of(machine).vsid.value),
                mac: machine.mac.value,
            })
        }));
        changes.extend(
            self.machines()
                .flat_map(|(position, m)| self.records(position, m)),
        );
        changes.extend(self.off_link_routes());
        changes.extend(self.peerings());
        changes.extend(self.multicast_groups());
        changes
    }

    fn settings(&self) -> Settings {
        Settings {
            local_host: self.hosts[&self.local],
            ..self.model.settings
        }
    }

    /// The subnets of the needed domains, domain by domain.
    fn subnets(&self) -> impl Iterator<Item = (&'m Subnet, DomainId)> {
        let model = self.model;
        let domains = self.domains.iter().map(|(position, id)| (*position, *id));
        domains.flat_map(move |(position, id)| model.subnets_of(position).map(move |s| (s, id)))
    }

    /// The machines in the needed domains and their positions in the file.
    fn machines(&self) -> impl Iterator<Item = (usize, &'m VirtualMachine)> {
        let positions = self.model.machines.iter().enumerate();
        positions.filter(|(_, m)| self.domains.contains_key(&self.model.subnet_of(m).domain))
    }

    fn other_hosts(&self) -> impl Iterator<Item = Change> {
        let others = self
            .hosts
            .iter()
            .filter(|(position, _)| **position != self.local);
        others.flat_map(|(position, id)| {
            let addresses = self.model.hosts[*position].addresses.iter();
            std::iter::once(Change::AddHost(*id))
                .chain(addresses.map(|address| Change::AddHostAddress(*id, address.value)))
        })
    }

    fn provider_addresses(&self, host: &Host) -> impl Iterator<Item = Change> {
        host.addresses.iter().filter_map(|address| {
            let network = self.model.network_of(address.value.get())?;
            Some(Change::AddProviderAddress(host_address(
                host,
                network,
                address.value,
            )))
        })
    }

    fn provider_routes(&self, host: &Host) -> impl Iterator<Item = Change> {
        let networks = self.model.networks_of(host).into_iter();
        networks.flat_map(|network| &network.routes).map(|route| {
            Change::AddProviderRoute(ProviderRoute {
                prefix: route.prefix.value,
                next_hop: route.next_hop.value,
                metric: route.metric,
            })
        })
    }

    fn records(&self, position: usize, machine: &VirtualMachine) -> Vec<Change> {
        let record = |kind, method| {
            Change::AddRecord(LookupRecord {
                vsid: self.model.subnet_of(machine).vsid.value,
                kind,
                mac: machine.mac.value,
                location: self.location(position, machine),
                previous: previous_host(machine).map(|host| self.hosts[&host]),
                method,
            })
        };
        let addresses = machine.addresses().iter().enumerate();
        let mut records: Vec<Change> = addresses
            .map(|(nth, address)| {
                record(RecordKind::Static(address.value), self.method(machine, nth))
            })
            .collect();
        if machine.is_gateway() {
            records.push(record(RecordKind::GatewayWildcard, Method::Encapsulate));
        }
        records
    }

    fn location(&self, position: usize, machine: &VirtualMachine) -> Location {
        match self.ports.get(&position) {
            Some(port) => Location::Port(*port),
            None => Location::Host(self.hosts[&machine.host.value]),
        }
    }

    /// How the `nth` address of a machine is reached.
    fn method(&self, machine: &VirtualMachine, nth: usize) -> Method {
        let Some(provider) = machine.provider_addresses().get(nth) else {
            return Method::Encapsulate;
        };
        let (provider_address, use_vm_mac) = (provider.value, machine.uses_vm_mac());
        match self.model.subnet_of(machine).method {
            SubnetMethod::Encapsulate => Method::Encapsulate,
            SubnetMethod::Rewrite => Method::Rewrite {
                provider_address,
                use_vm_mac,
            },
            SubnetMethod::Transition => Method::Transition {
                provider_address,
                use_vm_mac,
            },
        }
    }

    fn off_link_routes(&self) -> impl Iterator<Item = Change> {
        self.domains.keys().flat_map(|position| {
            self.model.domains[*position]
                .routes
                .iter()
                .filter_map(|route| {
                    let next_hop = route.next_hop.value;
                    let holds = |subnet: &&Subnet| {
                        subnet
                            .prefixes
                            .iter()
                            .any(|p| p.value.contains(next_hop.get()))
                    };
                    Some(Change::AddCustomerRoute(CustomerRoute {
                        vsid: self.model.subnets_of(*position).find(holds)?.vsid.value,
                        prefix: route.prefix.value,
                        target: RouteTarget::Via(next_hop),
                        metric: route.metric,
                    }))
                })
        })
    }

    fn peerings(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for rule in &self.model.peerings {
            let domains = (self.domains.get(&rule.from), self.domains.get(&rule.to));
            let (Some(&from), Some(&to)) = domains else {
                continue;
            };
            changes.push(Change::AddPeering(Peering { from, to }));
            if rule.both_ways {
                changes.push(Change::AddPeering(Peering { from: to, to: from }));
            }
        }
        changes
    }

    /// The groups of the subnets that machines of this host are in: the others it neither sends to nor hears.
    fn multicast_groups(&self) -> impl Iterator<Item = Change> {
        let model = self.model;
        let machines = self.ports.keys().map(|position| &model.machines[*position]);
        let subnets: BTreeSet<usize> = machines.map(|machine| machine.subnet).collect();
        let subnets = subnets.into_iter().map(|position| &model.subnets[position]);
        subnets.flat_map(|subnet| {
            subnet.groups.iter().map(|group| {
                Change::AddMulticastGroup(MulticastGroup {
                    vsid: subnet.vsid.value,
                    address: group.address.value,
                    provider_group: group.provider.value,
                })
            })
        })
    }

    fn host_info(&self, position: usize, host: HostId) -> HostInfo {
        let name = self.model.hosts[position].name.value.0.clone();
        HostInfo { host, name }
    }

    fn domain_info(&self, position: usize, domain: DomainId) -> DomainInfo {
        let said = &self.model.domains[position];
        DomainInfo {
            domain,
            name: said.name.value.0.clone(),
            id: said.id.as_ref().map(|id| id.value.braced().to_string()),
        }
    }

    fn port_info(&self, position: usize, port: PortId, narrowest: &Narrowest<'_>) -> PortInfo {
        let machine = &self.model.machines[position];
        let subnet = self.model.subnet_of(machine);
        PortInfo {
            port,
            name: machine.name.value.0.clone(),
            interface: machine
                .interface
                .as_ref()
                .map(|interface| interface.value.0.clone()),
            attachment: attachment(machine),
            mtu: narrowest.mtu_of(machine, subnet.method),
            vsid: subnet.vsid.value,
            mac: machine.mac.value,
            addresses: addresses(machine),
        }
    }

    fn machine_info(&self, position: usize, machine: &VirtualMachine) -> MachineInfo {
        MachineInfo {
            name: machine.name.value.0.clone(),
            vsid: self.model.subnet_of(machine).vsid.value,
            mac: machine.mac.value,
            location: self.location(position, machine),
            addresses: addresses(machine),
        }
    }
}

/// The routing domains whose records a host needs.
fn needed_domains(model: &Model, local: usize) -> BTreeSet<usize> {
    let hosts = model.hosts_of_domains().into_iter().enumerate();
    hosts
        .filter(|(_, hosts)| hosts.contains(&local))
        .map(|(domain, _)| domain)
        .collect()
}

fn previous_host(machine: &VirtualMachine) -> Option<usize> {
    machine.migrating_from.as_ref().map(|host| host.value)
}

/// The positions with their numbers.
fn numbered<Id>(
    positions: BTreeSet<usize>,
    number: impl Fn(&usize) -> Option<Id>,
) -> BTreeMap<usize, Id> {
    let numbered = positions
        .into_iter()
        .filter_map(|position| Some((position, number(&position)?)));
    numbered.collect()
}

fn addresses(machine: &VirtualMachine) -> Vec<CustomerAddress> {
    let addresses = machine.addresses().iter();
    addresses.map(|address| address.value).collect()
}

fn attachment(machine: &VirtualMachine) -> Attachment {
    match machine.attachment_kind() {
        AttachmentKind::Veth => Attachment::Veth,
        AttachmentKind::Tap => Attachment::Tap {
            namespace: machine.namespace.as_ref().map(|n| n.value.0.clone()),
        },
    }
}

fn subnet_info(subnet: &Subnet, domain: DomainId) -> SubnetInfo {
    SubnetInfo {
        vsid: subnet.vsid.value,
        domain,
        name: subnet.name.as_ref().map(|name| name.value.0.clone()),
    }
}

fn on_link_routes(subnet: &Subnet) -> impl Iterator<Item = Change> {
    subnet.prefixes.iter().map(|prefix| {
        Change::AddCustomerRoute(CustomerRoute {
            vsid: subnet.vsid.value,
            prefix: prefix.value,
            target: RouteTarget::OnLink,
            metric: ON_LINK_METRIC,
        })
    })
}

fn host_address(host: &Host, network: &PhysicalNetwork, address: ProviderAddress) -> HostAddress {
    HostAddress {
        address,
        prefix_length: network.prefix.value.length(),
        uplink: UPLINK,
        mac: host.uplink.mac.value,
        vlan: network.vlan,
        mtu: network.mtu.value,
        state: AddressState::Preferred,
    }
}

fn neighbours(host: &Host) -> impl Iterator<Item = Change> {
    host.neighbours.iter().map(|neighbour| {
        Change::SetNeighbour(Neighbour {
            uplink: UPLINK,
            address: neighbour.address.value,
            mac: neighbour.mac,
        })
    })
}

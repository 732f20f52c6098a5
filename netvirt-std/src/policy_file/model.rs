//! What a policy file says: its tables as values, every reference already resolved to an index.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netvirt_core::policy::Settings;
use netvirt_core::{
    CustomerAddress, MacAddress, Prefix, ProviderAddress, ProviderGroup, VlanId, Vsid,
};
use uuid::Uuid;

use super::diagnostic::Span;
use super::host_policy::OffloadNic;
use super::reader::Located;
use super::values::{
    AddressRange, AttachmentKind, InterfaceName, Name, NamespacePath, SubnetMethod,
};

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// SHA-256 of the text, in hexadecimal.
    pub(super) digest: String,
    /// What holds for each host; its own number is to be filled in.
    pub(super) settings: Settings,
    pub(super) networks: Vec<PhysicalNetwork>,
    pub(super) hosts: Vec<Host>,
    pub(super) domains: Vec<RoutingDomain>,
    pub(super) subnets: Vec<Subnet>,
    pub(super) machines: Vec<VirtualMachine>,
    pub(super) peerings: Vec<PeeringRule>,
    /// Whether an entry of that kind could not be read: what seems to be missing may be that one.
    pub(super) networks_incomplete: bool,
    pub(super) subnets_incomplete: bool,
    pub(super) machines_incomplete: bool,
}

#[derive(Debug, Clone)]
pub(super) struct PhysicalNetwork {
    pub(super) name: Located<Name>,
    pub(super) prefix: Located<Prefix>,
    pub(super) vlan: Option<VlanId>,
    pub(super) mtu: Located<u16>,
    pub(super) pool: Vec<Located<AddressRange>>,
    pub(super) routes: Vec<Route<ProviderAddress>>,
    /// Whether one of the routes could not be read.
    pub(super) routes_incomplete: bool,
}

/// A route whose next hop is an address of type `A`.
#[derive(Debug, Clone)]
pub(super) struct Route<A> {
    pub(super) prefix: Located<Prefix>,
    pub(super) next_hop: Located<A>,
    pub(super) metric: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) name: Located<Name>,
    pub(super) uplink: Uplink,
    pub(super) addresses: Vec<Located<ProviderAddress>>,
    pub(super) neighbours: Vec<StaticNeighbour>,
}

/// A host's adapter to the provider network.
#[derive(Debug, Clone)]
pub(super) struct Uplink {
    pub(super) mac: Located<MacAddress>,
    pub(super) interface: Option<Located<InterfaceName>>,
    pub(super) nic: Option<OffloadNic>,
}

#[derive(Debug, Clone)]
pub(super) struct StaticNeighbour {
    pub(super) address: Located<ProviderAddress>,
    pub(super) mac: MacAddress,
}

#[derive(Debug, Clone)]
pub(super) struct RoutingDomain {
    pub(super) name: Located<Name>,
    pub(super) id: Option<Located<Uuid>>,
    pub(super) routes: Vec<Route<CustomerAddress>>,
}

#[derive(Debug, Clone)]
pub(super) struct Subnet {
    pub(super) domain: usize,
    pub(super) name: Option<Located<Name>>,
    pub(super) vsid: Located<Vsid>,
    pub(super) prefixes: Vec<Located<Prefix>>,
    pub(super) method: SubnetMethod,
    pub(super) groups: Vec<GroupMapping>,
}

/// An address for many of a subnet, and the group of the provider network that carries it.
#[derive(Debug, Clone)]
pub(super) struct GroupMapping {
    pub(super) address: Located<IpAddr>,
    pub(super) provider: Located<ProviderGroup>,
}

#[derive(Debug, Clone)]
pub(super) struct VirtualMachine {
    pub(super) span: Span,
    pub(super) name: Located<Name>,
    pub(super) subnet: usize,
    pub(super) host: Located<usize>,
    pub(super) migrating_from: Option<Located<usize>>,
    pub(super) mac: Located<MacAddress>,
    pub(super) addresses: Option<Located<Vec<Located<CustomerAddress>>>>,
    pub(super) provider_addresses: Option<Located<Vec<Located<ProviderAddress>>>>,
    pub(super) use_vm_mac: Option<Located<bool>>,
    pub(super) gateway: Option<Located<bool>>,
    /// The machine's own name where none is given and it can be one.
    pub(super) interface: Option<Located<InterfaceName>>,
    pub(super) namespace: Option<Located<NamespacePath>>,
    pub(super) attach: Option<Located<AttachmentKind>>,
    pub(super) mtu: Option<Located<u16>>,
}

#[derive(Debug, Clone)]
pub(super) struct PeeringRule {
    pub(super) span: Span,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) both_ways: bool,
}

impl Model {
    /// The physical network that `address` lies in.
    pub(super) fn network_of(&self, address: IpAddr) -> Option<&PhysicalNetwork> {
        self.networks
            .iter()
            .find(|network| network.prefix.value.contains(address))
    }

    /// The physical networks that a host has an address in, each once.
    pub(super) fn networks_of(&self, host: &Host) -> Vec<&PhysicalNetwork> {
        let attached = |network: &&PhysicalNetwork| {
            let prefix = network.prefix.value;
            host.addresses
                .iter()
                .any(|a| prefix.contains(a.value.get()))
        };
        self.networks.iter().filter(attached).collect()
    }

    /// The hosts that need the records of each routing domain: those that its machines run on or ran on
    /// before, and the same of the domains that it is peered with.
    pub(super) fn hosts_of_domains(&self) -> Vec<BTreeSet<usize>> {
        let mut own = vec![BTreeSet::new(); self.domains.len()];
        for machine in &self.machines {
            let hosts = [Some(&machine.host), machine.migrating_from.as_ref()];
            let hosts = hosts.into_iter().flatten().map(|host| host.value);
            own[self.subnet_of(machine).domain].extend(hosts);
        }
        let mut all = own.clone();
        for rule in &self.peerings {
            all[rule.from].extend(&own[rule.to]);
            all[rule.to].extend(&own[rule.from]);
        }
        all
    }

    pub(super) fn subnets_of(&self, domain: usize) -> impl Iterator<Item = &Subnet> {
        self.subnets.iter().filter(move |s| s.domain == domain)
    }

    pub(super) fn subnet_of(&self, machine: &VirtualMachine) -> &Subnet {
        &self.subnets[machine.subnet]
    }
}

impl VirtualMachine {
    pub(super) fn addresses(&self) -> &[Located<CustomerAddress>] {
        self.addresses.as_ref().map_or(&[], |list| &list.value)
    }

    pub(super) fn provider_addresses(&self) -> &[Located<ProviderAddress>] {
        self.provider_addresses
            .as_ref()
            .map_or(&[], |list| &list.value)
    }

    pub(super) fn is_gateway(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.value)
    }

    pub(super) fn attachment_kind(&self) -> AttachmentKind {
        let said = self.attach.as_ref();
        said.map_or(AttachmentKind::Tap, |attach| attach.value)
    }

    pub(super) fn has_ipv6_address(&self) -> bool {
        let mut addresses = self.addresses().iter();
        addresses.any(|address| address.value.get().is_ipv6())
    }

    pub(super) fn uses_vm_mac(&self) -> bool {
        self.use_vm_mac.as_ref().is_some_and(|flag| flag.value)
    }
}

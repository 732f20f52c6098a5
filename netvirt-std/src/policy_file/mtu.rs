//! How large the packets of virtual machines can be.

use std::net::IpAddr;

use super::model::{Model, PhysicalNetwork, VirtualMachine};
use super::values::SubnetMethod;

/// The least MTU of an IPv6 link (RFC 8200 §5).
pub(super) const LEAST_IPV6_MTU: u16 = 1280;
/// What every IPv4 host must be able to receive (RFC 791 §3.1).
pub(super) const LEAST_IPV4_MTU: u16 = 576;
/// The IP MTU of plain Ethernet.
pub(super) const ETHERNET_MTU: u16 = 1500;

/// The bytes that NVGRE adds to an inner IP packet: inner Ethernet, GRE with key, and the outer IP header.
pub(super) fn nvgre_overhead(network: &PhysicalNetwork) -> u16 {
    let outer_header = match network.prefix.value.address() {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    14 + 8 + outer_header
}

/// The narrowest of the physical networks that hosts are on, for each way through them.
pub(super) struct Narrowest<'m> {
    encapsulated: Option<Limit<'m>>,
    rewritten: Option<Limit<'m>>,
}

/// The most that a physical network carries of a virtual machine's packet.
#[derive(Clone, Copy)]
pub(super) struct Limit<'m> {
    pub(super) mtu: u16,
    pub(super) network: &'m PhysicalNetwork,
}

impl<'m> Narrowest<'m> {
    pub(super) fn of(model: &'m Model) -> Self {
        let addresses = || model.hosts.iter().flat_map(|host| &host.addresses);
        let is_used = |network: &&PhysicalNetwork| {
            addresses().any(|address| network.prefix.value.contains(address.value.get()))
        };
        let used: Vec<&PhysicalNetwork> = model.networks.iter().filter(is_used).collect();
        let narrowest = |overhead: fn(&PhysicalNetwork) -> u16| {
            let limits = used.iter().map(|&network| Limit {
                mtu: network.mtu.value.saturating_sub(overhead(network)),
                network,
            });
            limits.min_by_key(|limit| limit.mtu)
        };
        Self {
            encapsulated: narrowest(nvgre_overhead),
            rewritten: narrowest(|_| 0),
        }
    }

    /// The limit of a subnet's machines; none without physical networks.
    pub(super) fn limit(&self, method: SubnetMethod) -> Option<Limit<'m>> {
        match method {
            SubnetMethod::Encapsulate | SubnetMethod::Transition => self.encapsulated,
            SubnetMethod::Rewrite => self.rewritten,
        }
    }

    /// The MTU that a machine should have: what it was given, or else what fits everywhere.
    pub(super) fn mtu_of(&self, machine: &VirtualMachine, method: SubnetMethod) -> u16 {
        if let Some(said) = &machine.mtu {
            return said.value;
        }
        let fitting = self.limit(method).map_or(ETHERNET_MTU, |limit| limit.mtu);
        // The hosts of an IPv6 subnet are on wider networks, whatever others are on.
        let least = if machine.has_ipv6_address() {
            LEAST_IPV6_MTU
        } else {
            0
        };
        fitting.clamp(least, ETHERNET_MTU)
    }
}

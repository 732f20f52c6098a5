//! Who takes part: the hosts and machines of a policy, and whose the frames on the wire are.

use std::collections::HashMap;
use std::net::IpAddr;

use netvirt_core::policy::{Change, Method, RouteTarget};
use netvirt_core::{MacAddress, PortId, Prefix};

use super::DemoError;
use super::look::Content;
use super::witness::OnWire;
use crate::policy_file::{HostPolicy, PolicyFile};

/// The hosts and machines of a policy.
pub struct Cast {
    /// The hosts, each with its part of the policy.
    pub hosts: Vec<HostPolicy>,
    /// The machines, in the order of the policy's ports, host by host.
    pub machines: Vec<MachineConfig>,
    tenant_of_vsid: HashMap<u32, String>,
    tenant_of_provider_address: HashMap<IpAddr, String>,
}

/// A machine that the policy places on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// Its name.
    pub name: String,
    /// The tenant that owns it: the name of its routing domain, were everything in order.
    pub tenant: String,
    /// The number of its host.
    pub host: usize,
    /// Its port there.
    pub port: PortId,
    /// Its MAC address.
    pub mac: MacAddress,
    /// Its addresses, each with the prefix of the subnet.
    pub addresses: Vec<(IpAddr, Prefix)>,
}

impl Cast {
    /// Everybody whom the policy names.
    pub fn of(file: &PolicyFile) -> Self {
        let policy_of = |name| file.for_host(name).expect("the file names this host");
        let mut cast = Self {
            hosts: file.host_names().map(policy_of).collect(),
            machines: Vec::new(),
            tenant_of_vsid: HashMap::new(),
            tenant_of_provider_address: HashMap::new(),
        };
        for (number, policy) in cast.hosts.iter().enumerate() {
            cast.machines.extend(machines_of(policy, number));
            learn_tenants(
                policy,
                &mut cast.tenant_of_vsid,
                &mut cast.tenant_of_provider_address,
            );
        }
        cast
    }

    /// The number of a machine.
    ///
    /// # Errors
    /// The policy has none of that name.
    pub fn machine(&self, name: &str) -> Result<usize, DemoError> {
        let mut machines = self.machines.iter();
        let found = machines.position(|machine| machine.name == name);
        found.ok_or_else(|| DemoError::Missing(name.to_owned()))
    }

    /// The part of the policy of a host.
    ///
    /// # Errors
    /// The policy has none of that name.
    pub fn host(&self, name: &str) -> Result<&HostPolicy, DemoError> {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.ok_or_else(|| DemoError::Missing(name.to_owned()))
    }

    /// The MAC address of every subnet's default gateway.
    pub fn router_mac(&self) -> MacAddress {
        let mut changes = self.hosts.iter().flat_map(|host| &host.changes);
        let router = changes.find_map(|change| match change {
            Change::SetSettings(settings) => Some(settings.router_mac),
            _ => None,
        });
        router.unwrap_or(MacAddress::ZERO)
    }

    /// The hosts that a frame on the wire is for.
    pub fn receivers(&self, frame: &[u8]) -> Vec<usize> {
        let destination = frame
            .first_chunk()
            .map_or(MacAddress::ZERO, |mac| MacAddress(*mac));
        let source = frame.get(6..12);
        let is_for = |host: &HostPolicy| {
            let own = host.uplink_mac;
            own == destination || !destination.is_unicast() && source != Some(&own.0)
        };
        let hosts = self.hosts.iter().enumerate();
        hosts
            .filter(|(_, host)| is_for(host))
            .map(|(number, _)| number)
            .collect()
    }

    /// What a frame is that a host put on the wire.
    pub fn kind_on_wire(&self, frame: &[u8]) -> OnWire {
        let content = Content::of(frame);
        let tenant = |address: &IpAddr| self.tenant_of_provider_address.get(address);
        let kind = match &content {
            _ if content.is_address_resolution() => Some(OnWire::Resolution),
            Content::Ip {
                source,
                destination,
                ..
            } => match content.vsid() {
                Some(vsid) => self
                    .tenant_of_vsid
                    .get(&vsid)
                    .cloned()
                    .map(OnWire::Encapsulated),
                None => match (tenant(source), tenant(destination)) {
                    (Some(from), Some(to)) if from == to => Some(OnWire::Rewritten(from.clone())),
                    _ => None,
                },
            },
            _ => None,
        };
        kind.unwrap_or(OnWire::Unknown)
    }
}

fn learn_tenants(
    policy: &HostPolicy,
    of_vsid: &mut HashMap<u32, String>,
    of_provider_address: &mut HashMap<IpAddr, String>,
) {
    for subnet in &policy.subnets {
        let tenant = policy.domain_name(subnet.domain).unwrap_or_default();
        of_vsid.insert(subnet.vsid.get(), tenant.to_owned());
    }
    for change in &policy.changes {
        if let Change::AddRecord(record) = change
            && let Method::Rewrite {
                provider_address, ..
            } = record.method
            && let Some(tenant) = of_vsid.get(&record.vsid.get())
        {
            of_provider_address.insert(provider_address.get(), tenant.clone());
        }
    }
}

/// The machines on a host's ports.
fn machines_of(policy: &HostPolicy, host: usize) -> impl Iterator<Item = MachineConfig> {
    let prefix_of = |vsid, address| {
        policy.changes.iter().find_map(|change| match change {
            Change::AddCustomerRoute(route)
                if route.vsid == vsid
                    && route.target == RouteTarget::OnLink
                    && route.prefix.contains(address) =>
            {
                Some((address, route.prefix))
            }
            _ => None,
        })
    };
    policy.ports.iter().map(move |port| MachineConfig {
        name: port.name.clone(),
        tenant: tenant_of(&port.name).to_owned(),
        host,
        port: port.port,
        mac: port.mac,
        addresses: port
            .addresses
            .iter()
            .filter_map(|ca| prefix_of(port.vsid, ca.get()))
            .collect(),
    })
}

/// The demo's machines are called after their tenants, so that a policy that puts one into the wrong routing
/// domain does not change whose it is.
fn tenant_of(machine: &str) -> &str {
    machine.split('-').next().unwrap_or(machine)
}

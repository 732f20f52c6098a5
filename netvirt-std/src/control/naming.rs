//! The operator's names, found quickly however many there are.

use std::collections::HashMap;
use std::sync::Arc;

use netvirt_core::policy::Location;
use netvirt_core::{DomainId, HostId, MacAddress, Vsid};

use crate::policy_file::{DomainInfo, HostPolicy, SubnetInfo};

/// The names of one version of the policy, by the numbers that they stand for.
pub(super) struct Naming {
    policy: Arc<HostPolicy>,
    hosts: HashMap<HostId, usize>,
    domains: HashMap<DomainId, usize>,
    subnets: HashMap<Vsid, usize>,
}

/// The names of machines.
pub(super) struct MachineNaming {
    policy: Arc<HostPolicy>,
    machines: HashMap<(Vsid, MacAddress), usize>,
}

impl Naming {
    pub fn new(policy: Arc<HostPolicy>) -> Self {
        let hosts = policy.hosts.iter().map(|info| info.host);
        let domains = policy.domains.iter().map(|info| info.domain);
        let subnets = policy.subnets.iter().map(|info| info.vsid);
        Self {
            hosts: hosts.zip(0..).collect(),
            domains: domains.zip(0..).collect(),
            subnets: subnets.zip(0..).collect(),
            policy,
        }
    }

    /// The host itself.
    pub fn own(&self) -> &str {
        &self.policy.name
    }

    pub fn host(&self, host: HostId) -> String {
        match self.hosts.get(&host) {
            Some(place) => self.policy.hosts[*place].name.clone(),
            None => format!("host {host}"),
        }
    }

    /// The host on which something runs.
    pub fn place(&self, location: Location) -> String {
        match location {
            Location::Port(_) => self.own().to_owned(),
            Location::Host(host) => self.host(host),
        }
    }

    pub fn subnet(&self, vsid: Vsid) -> Option<&SubnetInfo> {
        let place = self.subnets.get(&vsid)?;
        Some(&self.policy.subnets[*place])
    }

    pub fn subnet_name(&self, vsid: Vsid) -> Option<String> {
        self.subnet(vsid)?.name.clone()
    }

    /// The routing domain of a subnet.
    pub fn domain(&self, vsid: Vsid) -> Option<&DomainInfo> {
        let place = self.domains.get(&self.subnet(vsid)?.domain)?;
        Some(&self.policy.domains[*place])
    }

    pub fn domain_name(&self, vsid: Vsid) -> Option<String> {
        Some(self.domain(vsid)?.name.clone())
    }
}

impl MachineNaming {
    pub fn new(policy: Arc<HostPolicy>) -> Self {
        let machines = policy.machines.iter().map(|info| (info.vsid, info.mac));
        Self {
            machines: machines.zip(0..).collect(),
            policy,
        }
    }

    /// The machine with a MAC address in a virtual subnet.
    pub fn name(&self, vsid: Vsid, mac: MacAddress) -> Option<String> {
        let place = self.machines.get(&(vsid, mac))?;
        Some(self.policy.machines[*place].name.clone())
    }
}

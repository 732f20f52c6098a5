//! The numbers by which the datapath knows what the file calls by name.

use std::collections::{BTreeMap, BTreeSet};

use netvirt_core::{DomainId, HostId, PortId};

/// The numbers of hosts, routing domains and ports in the policy of one host, by their names.
///
/// Workers, devices and counters hold on to numbers, so what stays in the file keeps its number from one version of
/// the file to the next, wherever it stands there. What is new gets the lowest number that nothing has, nor had in
/// the version before: frames of a machine that has just left are never taken for another's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbering {
    hosts: Numbers,
    domains: Numbers,
    ports: Numbers,
}

type Numbers = BTreeMap<String, u32>;

impl Numbering {
    /// The numbering of the next version, which has these names.
    pub(super) fn next<'n>(
        &self,
        hosts: impl Iterator<Item = &'n str>,
        domains: impl Iterator<Item = &'n str>,
        ports: impl Iterator<Item = &'n str>,
    ) -> Self {
        Self {
            hosts: renumbered(&self.hosts, hosts),
            domains: renumbered(&self.domains, domains),
            ports: renumbered(&self.ports, ports),
        }
    }

    /// The numbering of a running switch whose machines have these ports.
    pub fn of_ports(ports: impl IntoIterator<Item = (String, PortId)>) -> Self {
        let ports = ports.into_iter().map(|(machine, port)| (machine, port.0));
        Self {
            ports: ports.collect(),
            ..Self::default()
        }
    }

    /// The number of a host.
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.hosts.get(name).copied().map(HostId)
    }

    /// The number of a routing domain.
    pub fn domain(&self, name: &str) -> Option<DomainId> {
        self.domains.get(name).copied().map(DomainId)
    }

    /// The number of the port of a virtual machine.
    pub fn port(&self, machine: &str) -> Option<PortId> {
        self.ports.get(machine).copied().map(PortId)
    }
}

fn renumbered<'n>(before: &Numbers, names: impl Iterator<Item = &'n str>) -> Numbers {
    let taken: BTreeSet<u32> = before.values().copied().collect();
    let mut free = (0..).filter(|number| !taken.contains(number));
    names
        .filter_map(|name| {
            let number = before.get(name).copied().or_else(|| free.next())?;
            Some((name.to_owned(), number))
        })
        .collect()
}

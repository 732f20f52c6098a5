//! The hosts of the provider network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::or_nothing;
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::Naming;
use crate::control::problem::Refusal;
use crate::report::{Age, Align, Table};

/// A provider address of a host, this one or another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// The host.
    pub host: String,
    /// Whether it is this one.
    pub local: bool,
    /// One of its provider addresses.
    pub address: IpAddr,
    /// What the path there was learnt to carry, in bytes of the outer packet; none if it carries what the physical
    /// network does.
    pub path_mtu: Option<u16>,
    /// How long ago that was learnt, in seconds.
    pub path_mtu_age_seconds: Option<u64>,
}

impl Resource for HostView {
    const NAME: &'static str = "hosts";

    fn table(hosts: &[Self]) -> String {
        let mut table = Table::new([
            ("host", Align::Left),
            ("provider address", Align::Left),
            ("path MTU", Align::Right),
            ("learnt", Align::Left),
        ]);
        for host in hosts {
            let here = if host.local { " (here)" } else { "" };
            let age = host.path_mtu_age_seconds.map(Duration::from_secs);
            table.row([
                &format!("{}{here}", host.host),
                &host.address,
                &or_nothing(host.path_mtu),
                &age.map_or_else(String::new, |age| format!("{} ago", Age(age))),
            ]);
        }
        table.to_string()
    }
}

impl Listed for HostView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let learnt: HashMap<IpAddr, (u16, u64)> = access.ask(|host| {
            let now = host.now();
            let learnt = host.path_mtus().map(|path| {
                let age = now.saturating_sub(path.learnt);
                (path.address.get(), (path.mtu, age.as_secs()))
            });
            learnt.collect()
        })?;
        let (policy, own, others) = access.look(|names, policy| {
            let own: Vec<_> = policy.provider_addresses().copied().collect();
            let others: Vec<_> = policy.host_addresses().collect();
            (names.clone(), own, others)
        })?;
        let naming = Naming::new(policy);
        let own_name = naming.own().to_owned();
        let own = own
            .into_iter()
            .map(move |own| (own_name.clone(), true, own.address.get()));
        let others = others
            .into_iter()
            .map(move |(host, address)| (naming.host(host), false, address.get()));
        Ok(own.chain(others).map(move |(host, local, address)| {
            let learnt = learnt.get(&address);
            Self {
                host,
                local,
                address,
                path_mtu: learnt.map(|(mtu, _)| *mtu),
                path_mtu_age_seconds: learnt.map(|(_, age)| *age),
            }
        }))
    }
}

//! Multicast groups of subnets that groups of the provider network carry.

use std::net::IpAddr;

use netvirt_core::policy::MulticastGroup;
use serde::{Deserialize, Serialize};

use super::or_nothing;
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::Naming;
use crate::control::problem::Refusal;
use crate::report::{Align, Table};

/// An address for many of a subnet, and the group of the provider network that carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MulticastGroupView {
    /// The routing domain.
    pub domain: Option<String>,
    /// The virtual subnet.
    pub vsid: u32,
    /// Its name, where it has one.
    pub subnet: Option<String>,
    /// The multicast or broadcast address in the subnet.
    pub group: IpAddr,
    /// The group of the provider network.
    pub provider: IpAddr,
    /// Whether this host has a provider address from which it can send there.
    pub usable: bool,
}

impl MulticastGroupView {
    fn new(group: &MulticastGroup, usable: bool, naming: &Naming) -> Self {
        Self {
            domain: naming.domain_name(group.vsid),
            vsid: group.vsid.get(),
            subnet: naming.subnet_name(group.vsid),
            group: group.address,
            provider: group.provider_group.get(),
            usable,
        }
    }
}

impl Resource for MulticastGroupView {
    const NAME: &'static str = "multicast-groups";

    fn table(groups: &[Self]) -> String {
        let mut table = Table::new([
            ("domain", Align::Left),
            ("VSID", Align::Right),
            ("group", Align::Left),
            ("provider group", Align::Left),
            ("remarks", Align::Left),
        ]);
        for group in groups {
            table.row([
                &or_nothing(group.domain.as_ref()),
                &group.vsid,
                &group.group,
                &group.provider,
                &if group.usable { "" } else { "unusable" },
            ]);
        }
        table.to_string()
    }
}

impl Listed for MulticastGroupView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let (policy, groups) = access.look(|names, policy| {
            let groups = policy.multicast_groups();
            let groups: Vec<_> = groups
                .map(|group| (policy.is_usable_group(&group), group))
                .collect();
            (names.clone(), groups)
        })?;
        let naming = Naming::new(policy);
        let views = groups.into_iter();
        Ok(views.map(move |(usable, group)| MulticastGroupView::new(&group, usable, &naming)))
    }
}

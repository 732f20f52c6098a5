//! Refusals for want of room, with what it takes.

use netvirt_core::policy::{Refusal as Why, TableName};

use crate::host::{Host, HostError};
use crate::memory::HostCapacity;
use crate::policy_file::PolicyFile;

/// A table that has no room for a policy file, with the numbers that tell what to do; any other error as it is.
pub(super) fn explained(error: HostError, host: &Host, file: &PolicyFile) -> HostError {
    let HostError::Refused {
        why: Why::Full(table),
        ..
    } = error
    else {
        return error;
    };
    no_room(table, host, file).unwrap_or(error)
}

fn no_room(table: TableName, host: &Host, file: &PolicyFile) -> Option<HostError> {
    let before = host.policy();
    let policy = file.for_host_after(&before.name, &before.numbering).ok()?;
    Some(HostError::NoRoom {
        host: before.name.clone(),
        what: table.name(),
        needed: number_of(table, &HostCapacity::exactly_for(&policy.changes))?,
        room: number_of(table, host.capacity())?,
        is_of_records: table == TableName::Records,
    })
}

const fn number_of(table: TableName, capacity: &HostCapacity) -> Option<usize> {
    Some(match table {
        TableName::Records => capacity.records,
        TableName::RewriteIndex => capacity.rewritten_records,
        TableName::Domains => capacity.domains,
        TableName::Subnets => capacity.subnets,
        TableName::CustomerRoutes | TableName::RouteIntervals => capacity.customer_routes,
        TableName::Peerings => capacity.peerings,
        TableName::Hosts => capacity.hosts,
        TableName::Paths => capacity.host_addresses,
        TableName::Ports => capacity.ports,
        TableName::ProviderAddresses => capacity.provider_addresses,
        TableName::ProviderRoutes => capacity.provider_routes,
        TableName::Neighbours => capacity.neighbours,
        TableName::SubnetMembers => capacity.members(),
        TableName::MulticastGroups => capacity.multicast_groups,
        _ => return None,
    })
}

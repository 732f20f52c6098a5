//! What other machines of the provider network say of themselves.

use core::net::IpAddr;

use super::arp::check_vlan;
use crate::address::UplinkId;
use crate::policy::Policy;
use crate::wire::Facts;

/// Whether a message about this address was heard where this host would ask for it: in the network of the own provider
/// address whose prefix holds it. What is said elsewhere is not of the machine that is meant.
pub(super) fn is_neighbour(
    policy: &Policy<'_>,
    facts: &Facts,
    uplink: UplinkId,
    address: IpAddr,
) -> bool {
    policy
        .on_link_source(address)
        .and_then(|own| policy.provider_address(own))
        .is_some_and(|own| own.uplink == uplink && check_vlan(facts, own.vlan).is_ok())
}

//! Whom the adapter asks for a MAC address.

use core::net::IpAddr;

use crate::address::{MacAddress, UplinkId, VlanId};

/// A next hop of the provider network, and who asks for its MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Where to ask.
    pub uplink: UplinkId,
    /// Whom to ask for.
    pub address: IpAddr,
    /// The VLAN to ask in.
    pub vlan: Option<VlanId>,
    /// The provider address that asks.
    pub source: IpAddr,
    /// Its MAC address.
    pub source_mac: MacAddress,
}

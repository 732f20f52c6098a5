//! A virtual network as a policy file describes it.

use std::net::IpAddr;

use netvirt_core::{MacAddress, Prefix, VlanId, Vsid};
use uuid::Uuid;

use super::tables::At;
use crate::policy_file::Span;

#[derive(Debug, Default)]
pub struct Network {
    pub physical: Vec<PhysicalNetwork>,
    pub hosts: Vec<Host>,
    pub domains: Vec<RoutingDomain>,
    pub machines: Vec<Machine>,
}

#[derive(Debug)]
pub struct PhysicalNetwork {
    pub name: String,
    pub prefix: Prefix,
    pub vlan: Option<VlanId>,
    pub routes: Vec<Route>,
    pub place: Span,
    /// What no command states: `assumed: …`.
    pub assumed: String,
}

/// A provider route or a customer route to what is not on-link.
#[derive(Debug)]
pub struct Route {
    pub prefix: At<Prefix>,
    pub next_hop: At<IpAddr>,
    pub metric: Option<u32>,
}

#[derive(Debug)]
pub struct Host {
    pub name: String,
    pub mac: MacAddress,
    pub addresses: Vec<At<IpAddr>>,
    pub place: Span,
    pub assumed: Vec<String>,
}

#[derive(Debug)]
pub struct RoutingDomain {
    pub name: String,
    pub id: Uuid,
    pub subnets: Vec<Subnet>,
    pub routes: Vec<Route>,
    pub place: Span,
}

#[derive(Debug)]
pub struct Subnet {
    pub vsid: Vsid,
    pub prefixes: Vec<At<Prefix>>,
    pub rewrite: bool,
    pub place: Span,
}

#[derive(Debug)]
pub struct Machine {
    pub name: String,
    pub vsid: Vsid,
    /// The position of its host.
    pub host: usize,
    pub mac: At<MacAddress>,
    pub addresses: Vec<At<IpAddr>>,
    /// Under rewrite, one for each of the addresses.
    pub provider_addresses: Vec<At<IpAddr>>,
    pub gateway: bool,
    pub use_vm_mac: bool,
    /// What administrators wrote to it that means nothing to the network.
    pub remarks: Vec<String>,
    pub place: Span,
    pub assumed: Vec<String>,
}

//! The network-virtualization datapath: NVGRE encapsulation and IP rewrite between customer and provider
//! addresses, for switches, SmartNICs and firmware.
#![no_std]
#![forbid(unsafe_code)]

// The name under which the helpers of the integration tests know this crate.
#[cfg(test)]
extern crate self as netvirt_core;
#[cfg(test)]
extern crate std;

pub mod address;
pub mod checksum;
pub mod counters;
pub mod datapath;
pub mod edit;
pub mod offload;
pub mod policy;
pub mod proxy;
pub mod table;
pub mod trace;
pub mod wire;

pub use address::{
    AddressBits, CustomerAddress, DomainId, Family, HostId, InvalidAddress, MacAddress, PortId,
    Prefix, ProviderAddress, UplinkId, VlanId, Vsid,
};

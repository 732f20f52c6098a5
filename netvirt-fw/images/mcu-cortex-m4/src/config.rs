//! What is soldered and what is chosen.

use core::net::Ipv4Addr;

use embassy_net::Ipv4Cidr;
use embassy_time::Duration;
use netvirt_core::table::{Seed, buckets_for};
use netvirt_core::{MacAddress, PortId, UplinkId};
use netvirt_fw::nve;
use netvirt_fw::overlay::{Port, State};
use netvirt_fw::rings::Buffer;

/// Where the registers of the LAN9118 begin.
pub const LAN9118: usize = 0x4020_0000;
/// Its interrupt line.
pub const LAN9118_LINE: u32 = 13;

/// Eight frames, as long as Ethernet has them.
pub type Packets = State<'static, { Buffer::HEADROOM + 1514 }, 8>;

/// Room for the policy, twice: 8 lookup records, subnets and hosts, and one port.
pub type Storage = nve::Storage<{ buckets_for(8) }, 1, 1, 1>;

/// The address in the provider network, and the length of its prefix.
pub const PROVIDER: Ipv4Cidr = Ipv4Cidr::new(Ipv4Addr::new(192, 168, 4, 50), 24);
/// Bytes of the longest packet that the provider network carries.
pub const MTU: u16 = 1500;
/// The address in the virtual network, and the length of its prefix.
pub const CUSTOMER: Ipv4Cidr = Ipv4Cidr::new(Ipv4Addr::new(10, 0, 0, 50), 24);
/// Where the stack is in the policy.
pub const PORT: Port = Port {
    port: PortId(0),
    mac: MacAddress([6, 6, 0, 0, 0, 0x50]),
    uplink: UplinkId(0),
};

/// The board has no source of entropy. The tables need none: all that is in them is the policy, to which no tenant can add, so
/// that nobody can choose addresses that share a place.
pub const TABLE_SEED: Seed = Seed::new(0, 0);
/// TCP does need one: with a seed that everybody can read, connections can be forged by who does not see them. A device that
/// is to be trusted has a source.
pub const STACK_SEED: u64 = 1;

/// The port of the echo service (RFC 862).
pub const ECHO: u16 = 7;
/// How long one who is served may be silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

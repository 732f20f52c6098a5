//! What is soldered and what is chosen.

use embassy_net::{Ipv4Address, Ipv4Cidr};

/// Where the registers of the LAN9118 begin.
pub const LAN9118: usize = 0x4020_0000;
/// Its interrupt line.
pub const LAN9118_LINE: u32 = 13;

/// The address in the provider network, and the length of its prefix.
pub const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 168, 4, 50), 24);

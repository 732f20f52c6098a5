//! IP and MAC addresses as words.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::MacAddress;

/// The two versions of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4 (RFC 791).
    Ipv4,
    /// IPv6 (RFC 8200).
    Ipv6,
}

impl Family {
    /// The version that `address` belongs to.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// An IP address as two words, the form in which tables and packet facts hold it: two compares and no
/// branch on the version. IPv4 stands in the low 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(C)]
pub struct AddressBits {
    /// The first 64 bits of an IPv6 address; zero for IPv4.
    pub high: u64,
    /// The last 64 bits of an IPv6 address, or an IPv4 address in the low 32.
    pub low: u64,
}

impl AddressBits {
    /// The words of an IPv4 address in transmission order.
    #[inline(always)]
    pub const fn from_ipv4(octets: [u8; 4]) -> Self {
        Self {
            high: 0,
            low: u32::from_be_bytes(octets) as u64,
        }
    }

    /// The words of an IPv6 address in transmission order.
    #[inline(always)]
    pub const fn from_ipv6(octets: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(octets);
        Self {
            high: (bits >> 64) as u64,
            low: bits as u64,
        }
    }

    /// The words of a MAC address, in the low 48 bits.
    #[inline(always)]
    pub const fn from_mac(mac: MacAddress) -> Self {
        Self {
            high: 0,
            low: mac.to_bits(),
        }
    }

    /// The words of `address`.
    #[inline]
    pub const fn from_ip(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::from_ipv4(v4.octets()),
            IpAddr::V6(v6) => Self::from_ipv6(v6.octets()),
        }
    }

    /// The IPv4 address in transmission order.
    #[inline(always)]
    pub const fn to_ipv4(self) -> [u8; 4] {
        (self.low as u32).to_be_bytes()
    }

    /// The IPv6 address in transmission order.
    #[inline(always)]
    pub const fn to_ipv6(self) -> [u8; 16] {
        self.to_u128().to_be_bytes()
    }

    /// The address as one number, for ordering.
    #[inline(always)]
    pub const fn to_u128(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The MAC address in the low 48 bits.
    #[inline(always)]
    pub const fn to_mac(self) -> MacAddress {
        let [_, _, a, b, c, d, e, f] = self.low.to_be_bytes();
        MacAddress([a, b, c, d, e, f])
    }

    /// The address, read as one of `family`.
    #[inline]
    pub const fn to_ip(self, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::from_bits(self.low as u32)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::from_bits(self.to_u128())),
        }
    }
}

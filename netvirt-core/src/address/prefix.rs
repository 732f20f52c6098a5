//! Address prefixes.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidAddress;

/// An address prefix, `address/length`, without bits behind its length.
///
/// ```
/// use netvirt_core::Prefix;
/// let prefix: Prefix = "10.0.0.0/24".parse().unwrap();
/// assert!(prefix.contains("10.0.0.7".parse().unwrap()));
/// assert_eq!(prefix.gateway(), "10.0.0.1".parse().ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(IpAddr, u8)", into = "(IpAddr, u8)")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Takes a prefix without bits behind its length.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, InvalidAddress> {
        let base = prefix_base(address, length).ok_or(InvalidAddress::PrefixLength(length))?;
        if base == address {
            Ok(Self { address, length })
        } else {
            Err(InvalidAddress::PrefixHostBits(address, length))
        }
    }

    /// The prefix of `length` bits that `address` lies in.
    pub fn of(address: IpAddr, length: u8) -> Result<Self, InvalidAddress> {
        let address = prefix_base(address, length).ok_or(InvalidAddress::PrefixLength(length))?;
        Ok(Self { address, length })
    }

    /// The first address of the prefix.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that are fixed.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is of the same family and lies in the prefix.
    pub fn contains(self, address: IpAddr) -> bool {
        prefix_base(address, self.length) == Some(self.address)
    }

    /// Whether the two prefixes share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }

    /// The last address of the prefix.
    pub fn last(self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() | host))
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() | host))
            }
        }
    }

    /// The address behind the first one: the default gateway of a virtual subnet, reserved for the
    /// distributed router. A prefix of one address has none.
    pub fn gateway(self) -> Option<IpAddr> {
        match self.address {
            IpAddr::V4(v4) if self.length < 32 => {
                Some(Ipv4Addr::from_bits(v4.to_bits() | 1).into())
            }
            IpAddr::V6(v6) if self.length < 128 => {
                Some(Ipv6Addr::from_bits(v6.to_bits() | 1).into())
            }
            _ => None,
        }
    }
}

/// The prefix's first address; none if it is longer than the address.
pub(super) fn prefix_base(address: IpAddr, length: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some(Ipv4Addr::from_bits(v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            Some(Ipv6Addr::from_bits(v6.to_bits() & mask).into())
        }
        _ => None,
    }
}

impl TryFrom<(IpAddr, u8)> for Prefix {
    type Error = InvalidAddress;
    fn try_from((address, length): (IpAddr, u8)) -> Result<Self, InvalidAddress> {
        Self::new(address, length)
    }
}

impl From<Prefix> for (IpAddr, u8) {
    fn from(prefix: Prefix) -> Self {
        (prefix.address, prefix.length)
    }
}

impl FromStr for Prefix {
    type Err = InvalidAddress;
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (address, length) = text.split_once('/').ok_or(InvalidAddress::PrefixSyntax)?;
        let address = address.parse().map_err(|_| InvalidAddress::PrefixSyntax)?;
        let length = length.parse().map_err(|_| InvalidAddress::PrefixSyntax)?;
        Self::new(address, length)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_knows_its_members_and_its_gateway() {
        let prefix: Prefix = "10.2.3.0/24".parse().unwrap();
        assert_eq!(prefix.gateway(), Some(IpAddr::from([10, 2, 3, 1])));
        assert_eq!(prefix.last(), IpAddr::from([10, 2, 3, 255]));
        assert!(prefix.contains(IpAddr::from([10, 2, 3, 255])));
        assert!(!prefix.contains(IpAddr::from([10, 2, 4, 0])));
        assert!(!prefix.contains("::".parse().unwrap()));
        let everything: Prefix = "::/0".parse().unwrap();
        assert!(everything.contains("ff02::1".parse().unwrap()));
        assert!(everything.overlaps("2001:db8::/32".parse().unwrap()));
        assert!(!everything.overlaps(prefix));
        assert_eq!("10.2.3.4/32".parse::<Prefix>().unwrap().gateway(), None);
    }

    #[test]
    fn prefix_refuses_what_it_cannot_mean() {
        assert_eq!(
            "10.2.3.4/24".parse::<Prefix>(),
            Err(InvalidAddress::PrefixHostBits(
                IpAddr::from([10, 2, 3, 4]),
                24
            ))
        );
        assert_eq!(
            "10.0.0.0/33".parse::<Prefix>(),
            Err(InvalidAddress::PrefixLength(33))
        );
        for text in ["10.0.0.0", "10.0.0.0/", "/8", "ten/8"] {
            assert_eq!(
                text.parse::<Prefix>(),
                Err(InvalidAddress::PrefixSyntax),
                "{text}"
            );
        }
    }
}

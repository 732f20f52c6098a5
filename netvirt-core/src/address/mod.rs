//! Identifiers and addresses: validated once, where they enter, and never questioned again.

use core::fmt;
use core::net::IpAddr;
use core::num::{NonZeroU16, NonZeroU32};
use core::str::FromStr;

use serde::{Deserialize, Serialize};

mod bits;
mod prefix;

pub use bits::{AddressBits, Family};
pub use prefix::Prefix;
use prefix::prefix_base;

/// A value that is not legal for the identifier or address it was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum InvalidAddress {
    /// A VSID outside 4096..=16777214 (RFC 7637 §3.3 reserves the rest).
    Vsid(u32),
    /// A VLAN id outside 1..=4094 (IEEE 802.1Q).
    Vlan(u16),
    /// A MAC address that is not six octets in hexadecimal.
    MacSyntax,
    /// A MAC address that is multicast or all zero where a station's own address is needed.
    MacNotUnicast(MacAddress),
    /// An IP address that no single machine can own: unspecified, loopback, multicast or broadcast.
    NotUnicast(IpAddr),
    /// An IP address that is no group's where one is needed.
    NotMulticast(IpAddr),
    /// A prefix that is longer than the address is wide.
    PrefixLength(u8),
    /// A prefix whose address has bits set behind its length.
    PrefixHostBits(IpAddr, u8),
    /// A prefix that is not written `address/length`.
    PrefixSyntax,
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsid(value) => write!(
                f,
                "VSID {value} is outside {}..={}: choose one inside, the others are reserved",
                Vsid::MIN.get(),
                Vsid::MAX.get()
            ),
            Self::Vlan(value) => write!(f, "VLAN id {value} is outside 1..=4094"),
            Self::MacSyntax => {
                f.write_str("a MAC address is six octets in hexadecimal, such as 06:06:00:00:00:05")
            }
            Self::MacNotUnicast(mac) => {
                write!(
                    f,
                    "{mac} is not the address of one station: use a unicast MAC address"
                )
            }
            Self::NotUnicast(address) => {
                write!(
                    f,
                    "{address} cannot belong to one machine: use a unicast address"
                )
            }
            Self::NotMulticast(address) => {
                write!(
                    f,
                    "{address} is no multicast address: use one of 224.0.0.0/4 or ff00::/8, such as 239.192.0.1"
                )
            }
            Self::PrefixLength(length) => {
                write!(
                    f,
                    "/{length} is longer than the address: at most /32 for IPv4, /128 for IPv6"
                )
            }
            Self::PrefixHostBits(address, length) => match prefix_base(*address, *length) {
                Some(base) => {
                    write!(
                        f,
                        "{address}/{length} has bits behind its length: write {base}/{length}"
                    )
                }
                None => write!(f, "{address}/{length} has bits behind its length"),
            },
            Self::PrefixSyntax => {
                f.write_str("a prefix is written address/length, such as 10.0.0.0/24")
            }
        }
    }
}

impl core::error::Error for InvalidAddress {}

/// A 24-bit virtual subnet id, the tenant's half of the NVGRE key (RFC 7637 §3.2).
///
/// Only 4096..=16777214 can be held: 0..=0xFFF are reserved and 0xFFFFFF is the vendor's.
///
/// ```
/// use netvirt_core::Vsid;
/// assert_eq!(Vsid::new(5001).unwrap().get(), 5001);
/// assert!(Vsid::new(0xFF_FFFF).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
#[repr(transparent)]
pub struct Vsid(NonZeroU32);

impl Vsid {
    /// The lowest VSID that policy may use.
    pub const MIN: Self = Self(NonZeroU32::new(0x00_1000).unwrap());
    /// The highest VSID that policy may use.
    pub const MAX: Self = Self(NonZeroU32::new(0xFF_FFFE).unwrap());

    /// Takes a VSID in 4096..=16777214.
    pub const fn new(value: u32) -> Result<Self, InvalidAddress> {
        match NonZeroU32::new(value) {
            Some(number) if value >= Self::MIN.get() && value <= Self::MAX.get() => {
                Ok(Self(number))
            }
            _ => Err(InvalidAddress::Vsid(value)),
        }
    }

    /// The number, below 2^24.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for Vsid {
    type Error = InvalidAddress;
    fn try_from(value: u32) -> Result<Self, InvalidAddress> {
        Self::new(value)
    }
}

impl From<Vsid> for u32 {
    fn from(vsid: Vsid) -> Self {
        vsid.get()
    }
}

impl fmt::Display for Vsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Vsid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vsid({})", self.0)
    }
}

/// An IEEE 802 MAC address, in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[repr(transparent)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The broadcast address, ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All zero: no address.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is clear and the address is not all zero: it can belong to one station.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.to_bits() != 0
    }

    /// Whether this is the broadcast address.
    pub const fn is_broadcast(self) -> bool {
        self.to_bits() == 0xffff_ffff_ffff
    }

    /// This address, if one station can own it.
    pub const fn unicast(self) -> Result<Self, InvalidAddress> {
        if self.is_unicast() {
            Ok(self)
        } else {
            Err(InvalidAddress::MacNotUnicast(self))
        }
    }

    /// The address as a 48-bit number.
    pub const fn to_bits(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads six octets in hexadecimal, joined by `:` or `-` or by nothing (the Hyper-V cmdlets' form).
impl FromStr for MacAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let separator = match text.as_bytes().get(2) {
            Some(b':') => Some(b':'),
            Some(b'-') => Some(b'-'),
            _ => None,
        };
        let mut rest = text.as_bytes();
        let mut octets = [0; 6];
        for (position, octet) in octets.iter_mut().enumerate() {
            if let (Some(separator), true) = (separator, position > 0) {
                rest = rest
                    .strip_prefix(&[separator])
                    .ok_or(InvalidAddress::MacSyntax)?;
            }
            let (digits, behind) = rest
                .split_first_chunk::<2>()
                .ok_or(InvalidAddress::MacSyntax)?;
            *octet = hex_octet(*digits).ok_or(InvalidAddress::MacSyntax)?;
            rest = behind;
        }
        if rest.is_empty() {
            Ok(Self(octets))
        } else {
            Err(InvalidAddress::MacSyntax)
        }
    }
}

fn hex_octet([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// The tag of a VLAN of the provider network, 1..=4094 (IEEE 802.1Q).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
#[repr(transparent)]
pub struct VlanId(NonZeroU16);

impl VlanId {
    /// Takes a VLAN id in 1..=4094.
    pub const fn new(value: u16) -> Result<Self, InvalidAddress> {
        match NonZeroU16::new(value) {
            Some(number) if value <= 4094 => Ok(Self(number)),
            _ => Err(InvalidAddress::Vlan(value)),
        }
    }

    /// The number, 1..=4094.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for VlanId {
    type Error = InvalidAddress;
    fn try_from(value: u16) -> Result<Self, InvalidAddress> {
        Self::new(value)
    }
}

impl From<VlanId> for u16 {
    fn from(vlan: VlanId) -> Self {
        vlan.get()
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

macro_rules! ip_address {
    ($(#[$doc:meta])* $name:ident, $takes:literal, $is_legal:path, $otherwise:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "IpAddr", into = "IpAddr")]
        #[repr(transparent)]
        pub struct $name(IpAddr);

        impl $name {
            #[doc = $takes]
            pub const fn new(address: IpAddr) -> Result<Self, InvalidAddress> {
                if $is_legal(address) { Ok(Self(address)) } else { Err($otherwise(address)) }
            }

            /// The address.
            pub const fn get(self) -> IpAddr {
                self.0
            }
        }

        impl TryFrom<IpAddr> for $name {
            type Error = InvalidAddress;
            fn try_from(address: IpAddr) -> Result<Self, InvalidAddress> {
                Self::new(address)
            }
        }

        impl From<$name> for IpAddr {
            fn from(address: $name) -> Self {
                address.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ip_address! {
    /// A customer address (CA): what a virtual machine believes its address to be. Tenants may reuse them.
    CustomerAddress, "Takes an address that one machine can own.", is_unicast, InvalidAddress::NotUnicast
}

ip_address! {
    /// A provider address (PA): an address of the physical network, owned by one host at a time.
    ProviderAddress, "Takes an address that one machine can own.", is_unicast, InvalidAddress::NotUnicast
}

ip_address! {
    /// A multicast group of the physical network.
    ProviderGroup, "Takes a multicast address.", is_multicast, InvalidAddress::NotMulticast
}

/// Whether one machine can own `address`.
pub(crate) const fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_loopback() || v6.is_multicast()),
    }
}

const fn is_multicast(address: IpAddr) -> bool {
    address.is_multicast()
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(transparent)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! dense_number {
    ($(#[$doc:meta])* $name:ident) => {
        number! { $(#[$doc])* $name }

        impl $name {
            /// The number as an index.
            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

dense_number! {
    /// A port of the switch that a virtual machine hangs on. Dense: the caller numbers its ports from 0.
    PortId
}

number! {
    /// An uplink of this host to the provider network, counted from 0.
    UplinkId
}

dense_number! {
    /// A host (NVE) of the provider network, as the caller numbers them from 0.
    HostId
}

dense_number! {
    /// A routing domain: one tenant's virtual network. The adapter keeps its GUID and name; the core
    /// uses the number that the caller gives it, counted from 0.
    DomainId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_1_2_vsid_and_2_1_vsid_keeps_out_what_rfc_7637_reserves() {
        for reserved in [0, 1, 0xFFF, 0xFF_FFFF, 0x100_0000, u32::MAX] {
            assert_eq!(Vsid::new(reserved), Err(InvalidAddress::Vsid(reserved)));
        }
        for legal in [0x1000, 5001, 0xFF_FFFE] {
            assert_eq!(Vsid::new(legal).map(Vsid::get), Ok(legal));
        }
    }

    #[test]
    fn mac_is_read_in_the_three_forms_of_the_field() {
        let expected = Ok(MacAddress([0x06, 0x06, 0, 0, 0xab, 0x05]));
        for text in ["06:06:00:00:ab:05", "06-06-00-00-AB-05", "06060000ab05"] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in [
            "",
            "06:06:00:00:ab",
            "06:06:00:00:ab:05:06",
            "0606:0000:ab05",
            "06:06:00:00:ab:+5",
            "06:06-00:00:ab:05",
        ] {
            assert_eq!(
                text.parse::<MacAddress>(),
                Err(InvalidAddress::MacSyntax),
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_of_many_is_no_customer_or_provider_address() {
        for text in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
        ] {
            let address = text.parse().unwrap();
            assert_eq!(
                CustomerAddress::new(address),
                Err(InvalidAddress::NotUnicast(address))
            );
            assert_eq!(
                ProviderAddress::new(address),
                Err(InvalidAddress::NotUnicast(address))
            );
        }
        assert!(CustomerAddress::new(IpAddr::from([10, 0, 0, 5])).is_ok());
    }

    #[test]
    fn a_group_has_an_address_of_many() {
        for (text, is_legal) in [
            ("223.255.255.255", false),
            ("224.0.0.0", true),
            ("239.255.255.255", true),
            ("240.0.0.0", false),
            ("255.255.255.255", false),
            ("feff::1", false),
            ("ff05::1", true),
        ] {
            let address = text.parse().unwrap();
            let refused = InvalidAddress::NotMulticast(address);
            let expected = if is_legal { Ok(address) } else { Err(refused) };
            assert_eq!(
                ProviderGroup::new(address).map(ProviderGroup::get),
                expected
            );
        }
    }
}

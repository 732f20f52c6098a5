//! The key of a lookup record and its seeded hash.

use core::fmt;
use core::net::IpAddr;

use crate::address::{AddressBits, Family, MacAddress, Vsid};

/// What a lookup record is found by: an address within a virtual subnet.
///
/// The scope holds the VSID above one octet for the kind of address (1 IPv4, 2 IPv6, 3 MAC), so that
/// equal bits of different kinds or tenants never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bits: AddressBits,
    scope: u32,
}

const KIND_IPV4: u32 = 1;
const KIND_IPV6: u32 = 2;
const KIND_MAC: u32 = 3;

impl Key {
    /// The key of `bits` in any other `scope` that a caller defines, such as an index of provider addresses.
    #[inline(always)]
    pub const fn new(scope: u32, bits: AddressBits) -> Self {
        Self { bits, scope }
    }

    /// The key of an IPv4 address in a virtual subnet; `octets` in transmission order.
    #[inline(always)]
    pub const fn ipv4(vsid: Vsid, octets: [u8; 4]) -> Self {
        Self::new(vsid.get() << 8 | KIND_IPV4, AddressBits::from_ipv4(octets))
    }

    /// The key of an IPv6 address in a virtual subnet; `octets` in transmission order.
    #[inline(always)]
    pub const fn ipv6(vsid: Vsid, octets: [u8; 16]) -> Self {
        Self::new(vsid.get() << 8 | KIND_IPV6, AddressBits::from_ipv6(octets))
    }

    /// The key of an IP address in a virtual subnet.
    #[inline]
    pub const fn ip(vsid: Vsid, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::ipv4(vsid, v4.octets()),
            IpAddr::V6(v6) => Self::ipv6(vsid, v6.octets()),
        }
    }

    /// The key of a MAC address in a virtual subnet.
    #[inline(always)]
    pub const fn mac(vsid: Vsid, mac: MacAddress) -> Self {
        Self::new(vsid.get() << 8 | KIND_MAC, AddressBits::from_mac(mac))
    }

    /// The address as words.
    #[inline(always)]
    pub const fn bits(&self) -> AddressBits {
        self.bits
    }

    /// The VSID and the kind of address as one number, or the scope that [`Key::new`] was given.
    #[inline(always)]
    pub const fn scope(&self) -> u32 {
        self.scope
    }

    /// The virtual subnet, if this is the key of a lookup record.
    pub const fn vsid(&self) -> Option<Vsid> {
        match Vsid::new(self.scope >> 8) {
            Ok(vsid) => Some(vsid),
            Err(_) => None,
        }
    }

    /// The version of the IP address, if this is the key of one.
    #[inline(always)]
    pub const fn family(&self) -> Option<Family> {
        match self.scope & 0xff {
            KIND_IPV4 => Some(Family::Ipv4),
            KIND_IPV6 => Some(Family::Ipv6),
            _ => None,
        }
    }

    /// The IP address, if this is the key of one.
    pub const fn to_ip(&self) -> Option<IpAddr> {
        match self.scope & 0xff {
            KIND_IPV4 => Some(self.bits.to_ip(Family::Ipv4)),
            KIND_IPV6 => Some(self.bits.to_ip(Family::Ipv6)),
            _ => None,
        }
    }

    /// The MAC address, if this is the key of one.
    pub const fn to_mac(&self) -> Option<MacAddress> {
        match self.scope & 0xff {
            KIND_MAC => Some(self.bits.to_mac()),
            _ => None,
        }
    }
}

/// The secret under which a table hashes its keys. Tenants choose addresses but not the seed, so they
/// cannot crowd a bucket on purpose.
#[derive(Clone, Copy)]
pub struct Seed([u64; 2]);

impl Seed {
    /// A seed of 128 bits, which the caller draws at random where tenants are not trusted.
    pub const fn new(first: u64, second: u64) -> Self {
        // A word of zero would wipe out the other factor; these constants keep simple seeds away from it.
        Self([
            first ^ 0x9e37_79b9_7f4a_7c15,
            second ^ 0xd1b5_4a32_d192_ed03,
        ])
    }

    /// The hash of a key that is looked up alone. All such lookups share one copy of this.
    #[inline(never)]
    pub(super) fn hash_one(self, key: &Key) -> u64 {
        self.hash(key)
    }

    /// The hash of `key`: two folded multiplications.
    #[inline(always)]
    pub const fn hash(self, key: &Key) -> u64 {
        let [first, second] = self.0;
        let address = folded_product(key.bits.low ^ first, key.bits.high ^ second);
        folded_product(address ^ second, key.scope as u64 ^ first)
    }
}

/// Keeps the secret out of logs.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[inline(always)]
const fn folded_product(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const VSID: Vsid = Vsid::MIN;

    #[test]
    fn a_key_gives_back_what_it_was_made_of() {
        for text in ["10.0.0.5", "2001:db8::5"] {
            let address = text.parse().unwrap();
            let key = Key::ip(VSID, address);
            assert_eq!(
                (key.vsid(), key.to_ip(), key.to_mac()),
                (Some(VSID), Some(address), None)
            );
        }
        let mac = MacAddress([6, 6, 0, 0, 0, 5]);
        let key = Key::mac(VSID, mac);
        assert_eq!(
            (key.vsid(), key.to_ip(), key.to_mac()),
            (Some(VSID), None, Some(mac))
        );
    }

    #[test]
    fn equal_bits_of_another_kind_or_subnet_are_another_key() {
        let other = Vsid::new(VSID.get() + 1).unwrap();
        let keys = [
            Key::ipv4(VSID, [0, 0, 0, 5]),
            Key::ipv4(other, [0, 0, 0, 5]),
            Key::ip(VSID, "::5".parse().unwrap()),
            Key::mac(VSID, MacAddress([0, 0, 0, 0, 0, 5])),
        ];
        let seed = Seed::new(1, 2);
        assert_eq!(BTreeSet::from(keys).len(), keys.len());
        assert_eq!(
            BTreeSet::from(keys.map(|key| seed.hash(&key))).len(),
            keys.len()
        );
    }

    #[test]
    fn each_part_of_the_key_and_of_the_seed_changes_about_half_of_the_hash() {
        let key = |high, low, scope| Key::new(scope, AddressBits { high, low });
        let mut flipped = [0u32; 5];
        for bit in 0..32 {
            let (high, low, scope) = (0x2001_0db8 << 32, 0x0a00_0005, VSID.get() << 8 | KIND_IPV6);
            let hash = Seed::new(7, 9).hash(&key(high, low, scope));
            let changed = [
                Seed::new(7, 9).hash(&key(high ^ 1 << bit, low, scope)),
                Seed::new(7, 9).hash(&key(high, low ^ 1 << bit, scope)),
                Seed::new(7, 9).hash(&key(high, low, scope ^ 1 << bit)),
                Seed::new(7 ^ 1 << bit, 9).hash(&key(high, low, scope)),
                Seed::new(7, 9 ^ 1 << bit).hash(&key(high, low, scope)),
            ];
            for (sum, hash_of_changed) in flipped.iter_mut().zip(changed) {
                *sum += (hash ^ hash_of_changed).count_ones();
            }
        }
        for sum in flipped {
            assert!((28 * 32..36 * 32).contains(&sum), "{flipped:?}");
        }
    }
}

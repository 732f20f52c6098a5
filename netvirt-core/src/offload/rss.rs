//! Receive side scaling: which hash a frame has, and which queue that is.

use super::toeplitz::Toeplitz;
use super::tunnel::inner_frame;
use crate::address::{AddressBits, Family};
use crate::wire::{self, Facts, Fragment, Notes, Tag, protocol};

/// What may be hashed, and what was: the flags of NDIS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashTypes(u32);

impl HashTypes {
    /// None: no frame has a hash.
    pub const NONE: Self = Self(0);
    /// Both addresses of any IPv4 packet.
    pub const IPV4: Self = Self(0x0100);
    /// Addresses and ports of TCP over IPv4.
    pub const TCP_IPV4: Self = Self(0x0200);
    /// Both addresses of any IPv6 packet, as its fixed header has them.
    pub const IPV6: Self = Self(0x0400);
    /// The same, with the home address option as source and the address in a routing header of type 2 as destination.
    pub const IPV6_EX: Self = Self(0x0800);
    /// Addresses and ports of TCP over IPv6.
    pub const TCP_IPV6: Self = Self(0x1000);
    /// The same, with home addresses.
    pub const TCP_IPV6_EX: Self = Self(0x2000);
    /// Addresses and ports of UDP over IPv4.
    pub const UDP_IPV4: Self = Self(0x4000);
    /// Addresses and ports of UDP over IPv6.
    pub const UDP_IPV6: Self = Self(0x8000);
    /// The same, with home addresses.
    pub const UDP_IPV6_EX: Self = Self(0x0001_0000);
    /// All of them.
    pub const ALL: Self = Self(0x0001_ff00);

    /// Both sets.
    pub const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of `others` are in the set.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// The first of `types` that is in the set.
    fn first_of(self, types: [Self; 2]) -> Option<Self> {
        types.into_iter().find(|wanted| self.contains(*wanted))
    }
}

/// The hash of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RssHash {
    /// The Toeplitz hash.
    pub value: u32,
    /// What it is over: one type.
    pub hash_type: HashTypes,
}

/// The hash of the frame of `length` bytes that begins with `window`; `None` if it cannot be parsed or is of no type
/// that may be hashed.
///
/// - NVGRE: inner addresses and ports, if TCP or UDP follow directly behind the inner IP header; otherwise, and for
///   inner fragments, the outer addresses.
/// - Any other frame: addresses and ports of TCP and UDP, otherwise the addresses; of each fragment the addresses.
///
/// ```
/// use netvirt_core::offload::{HashTypes, NibbleTable, ToeplitzKey, rss_hash};
/// static TABLE: NibbleTable = NibbleTable::new(&ToeplitzKey::VERIFICATION);
/// let frame = b"\x02\0\0\0\0\x07\x02\0\0\0\0\x05\x08\0\
///     \x45\0\0\x14\0\0\x40\0\x40\xfd\x25\xe2\x0a\0\0\x05\x0a\0\0\x07";
/// let hash = rss_hash(&TABLE, HashTypes::ALL, frame, frame.len()).unwrap();
/// assert_eq!((hash.value, hash.hash_type), (0x2e83_de50, HashTypes::IPV4));
/// ```
pub fn rss_hash(
    key: &impl Toeplitz,
    types: HashTypes,
    window: &[u8],
    length: usize,
) -> Option<RssHash> {
    let outer = wire::parse(window, length, 0).ok()?;
    match inner_frame(window, &outer) {
        Some(inner) => wire::parse(window, outer.end as usize, inner.offset)
            .ok()
            .filter(is_directly_transport)
            .and_then(|facts| of_ports(key, types, window, &facts)),
        None => of_ports(key, types, window, &outer),
    }
    .or_else(|| of_addresses(key, types, window, &outer))
}

/// Whether ports follow directly behind the IP header of an inner frame.
fn is_directly_transport(inner: &Facts) -> bool {
    inner.tag == Tag::None && !inner.notes.contains(Notes::EXTENSION_HEADERS)
}

fn of_ports(
    key: &impl Toeplitz,
    types: HashTypes,
    window: &[u8],
    facts: &Facts,
) -> Option<RssHash> {
    let has_ports = facts.fragment == Fragment::Whole
        && facts.has_transport()
        && !facts.notes.contains(Notes::TRANSPORT_TRUNCATED);
    let of_type = match (facts.family()?, facts.protocol) {
        _ if !has_ports => None,
        (Family::Ipv4, protocol::TCP) => Some([HashTypes::TCP_IPV4; 2]),
        (Family::Ipv4, protocol::UDP) => Some([HashTypes::UDP_IPV4; 2]),
        (Family::Ipv6, protocol::TCP) => Some([HashTypes::TCP_IPV6_EX, HashTypes::TCP_IPV6]),
        (Family::Ipv6, protocol::UDP) => Some([HashTypes::UDP_IPV6_EX, HashTypes::UDP_IPV6]),
        _ => None,
    };
    let hash_type = types.first_of(of_type?)?;
    let addresses = Addresses::of(facts, window, hash_type);
    let value = match facts.family()? {
        Family::Ipv4 => key.hash(&join::<8, 4, 12>(
            addresses.ipv4(),
            facts.ports.to_be_bytes(),
        )),
        Family::Ipv6 => key.hash(&join::<32, 4, 36>(
            addresses.ipv6(),
            facts.ports.to_be_bytes(),
        )),
    };
    Some(RssHash { value, hash_type })
}

fn of_addresses(
    key: &impl Toeplitz,
    types: HashTypes,
    window: &[u8],
    facts: &Facts,
) -> Option<RssHash> {
    let family = facts.family()?;
    let hash_type = types.first_of(match family {
        Family::Ipv4 => [HashTypes::IPV4; 2],
        Family::Ipv6 => [HashTypes::IPV6_EX, HashTypes::IPV6],
    })?;
    let addresses = Addresses::of(facts, window, hash_type);
    let value = match family {
        Family::Ipv4 => key.hash(&addresses.ipv4()),
        Family::Ipv6 => key.hash(&addresses.ipv6()),
    };
    Some(RssHash { value, hash_type })
}

/// The addresses that are hashed.
struct Addresses {
    source: AddressBits,
    destination: AddressBits,
}

impl Addresses {
    fn of(facts: &Facts, window: &[u8], hash_type: HashTypes) -> Self {
        let fixed = Self {
            source: facts.source_address,
            destination: facts.destination_address,
        };
        let is_extended = HashTypes::IPV6_EX
            .union(HashTypes::TCP_IPV6_EX)
            .union(HashTypes::UDP_IPV6_EX)
            .contains(hash_type);
        let has_others = facts
            .notes
            .intersects(Notes::HOME_ADDRESS.union(Notes::ROUTING_HEADER));
        match is_extended && has_others {
            true => fixed.replaced_by(facts, window),
            false => fixed,
        }
    }

    /// With the addresses of mobile IPv6 (RFC 6275 §6.3, §6.4), which stand in extension headers that were walked
    /// before and are intact.
    #[cold]
    fn replaced_by(mut self, facts: &Facts, window: &[u8]) -> Self {
        let fixed = usize::from(facts.network_offset);
        let mut next = window.get(fixed.wrapping_add(6)).copied().unwrap_or(0);
        let mut rest = window
            .get(fixed.wrapping_add(40)..usize::from(facts.transport_offset))
            .unwrap_or_default();
        while let Some(&[following, length, kind, ..]) = rest.first_chunk::<8>() {
            let length = match next {
                protocol::FRAGMENT => 8,
                _ => 8 + usize::from(length) * 8,
            };
            let Some((header, behind)) = rest.split_at_checked(length) else {
                break;
            };
            match (next, kind, header) {
                (protocol::ROUTING, 2, [_, _, _, _, _, _, _, _, address @ ..]) => {
                    self.destination = first_address(address).unwrap_or(self.destination);
                }
                (protocol::DESTINATION_OPTIONS, _, [_, _, options @ ..]) => {
                    self.source = home_address(options).unwrap_or(self.source);
                }
                _ => {}
            }
            (next, rest) = (following, behind);
        }
        self
    }

    fn ipv4(&self) -> [u8; 8] {
        join::<4, 4, 8>(self.source.to_ipv4(), self.destination.to_ipv4())
    }

    fn ipv6(&self) -> [u8; 32] {
        join::<16, 16, 32>(self.source.to_ipv6(), self.destination.to_ipv6())
    }
}

fn first_address(bytes: &[u8]) -> Option<AddressBits> {
    bytes
        .first_chunk()
        .map(|octets| AddressBits::from_ipv6(*octets))
}

/// The address in a home address option (type 201) among destination options.
fn home_address(mut options: &[u8]) -> Option<AddressBits> {
    loop {
        options = match options {
            [0, behind @ ..] => behind,
            [201, 16, behind @ ..] => return first_address(behind),
            [_, length, behind @ ..] => behind.get(usize::from(*length)..)?,
            _ => return None,
        };
    }
}

#[inline(always)]
fn join<const A: usize, const B: usize, const BOTH: usize>(
    first: [u8; A],
    second: [u8; B],
) -> [u8; BOTH] {
    let mut both = [0; BOTH];
    if let Some((front, rest)) = both.split_first_chunk_mut()
        && let Some(back) = rest.first_chunk_mut()
    {
        *front = first;
        *back = second;
    }
    both
}

/// The number of entries of an indirection table is not a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPowerOfTwo;

impl core::fmt::Display for NoPowerOfTwo {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the indirection table needs 1, 2, 4, 8 or any higher power of two of entries")
    }
}

impl core::error::Error for NoPowerOfTwo {}

/// Which queue each hash belongs to: the low bits of the hash choose an entry. Several entries a queue, best 2 to 8,
/// let load be moved in small steps.
///
/// ```
/// use netvirt_core::offload::IndirectionTable;
/// let table = IndirectionTable::new(&[0, 1, 2, 3, 0, 1, 2, 2])?;
/// assert_eq!(table.queue(0x51cc_c17f), 2);
/// # Ok::<(), netvirt_core::offload::NoPowerOfTwo>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndirectionTable<'s> {
    entries: &'s [u16],
}

impl<'s> IndirectionTable<'s> {
    /// A table of these queues.
    ///
    /// # Errors
    /// [`NoPowerOfTwo`] if their number is none.
    pub const fn new(entries: &'s [u16]) -> Result<Self, NoPowerOfTwo> {
        match entries.len().is_power_of_two() {
            true => Ok(Self { entries }),
            false => Err(NoPowerOfTwo),
        }
    }

    /// The queue of a hash.
    #[inline]
    pub fn queue(&self, hash: u32) -> u16 {
        let mask = self.entries.len().wrapping_sub(1);
        let entry = self.entries.get(hash as usize & mask);
        entry.copied().unwrap_or_default()
    }
}

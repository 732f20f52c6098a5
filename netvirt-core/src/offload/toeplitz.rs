//! The Toeplitz hash, with tables of three sizes.

/// The longest input, in bytes: two IPv6 addresses and two ports.
pub const TOEPLITZ_INPUT: usize = 36;

/// A secret key of the Toeplitz hash in one of its forms: all yield the same, at a different cost in time and memory.
///
/// | form | memory | where |
/// |---|---|---|
/// | [`ToeplitzKey`] | 40 bytes | the key itself; bit by bit |
/// | [`NibbleTable`] | 4.5 KiB | firmware: `const` from a fixed key |
/// | [`ByteTable`] | 36 KiB | hosts |
pub trait Toeplitz {
    /// The hash of `input`, addresses and ports in transmission order, of which at most 36 bytes count.
    fn hash(&self, input: &[u8]) -> u32;
}

/// The key itself.
///
/// ```
/// use netvirt_core::offload::{NibbleTable, Toeplitz, ToeplitzKey};
/// static TABLE: NibbleTable = NibbleTable::new(&ToeplitzKey::VERIFICATION);
/// // 66.9.149.187:2794 to 161.142.100.80:1766
/// let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
/// assert_eq!(TABLE.hash(&input), 0x51cc_c178);
/// assert_eq!(ToeplitzKey::VERIFICATION.hash(&input), 0x51cc_c178);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToeplitzKey(pub [u8; 40]);

impl ToeplitzKey {
    /// The key of the published verification suite. Everybody knows it: draw one at random where tenants are not
    /// trusted.
    pub const VERIFICATION: Self = Self([
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ]);

    /// The first word of the key, and the bytes that come in one by one.
    const fn split(&self) -> (u64, &[u8]) {
        match self.0.split_first_chunk::<4>() {
            Some((word, rest)) => (u32::from_be_bytes(*word) as u64, rest),
            None => (0, &[]),
        }
    }
}

/// Keeps the secret out of logs.
impl core::fmt::Debug for ToeplitzKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ToeplitzKey(..)")
    }
}

impl Toeplitz for ToeplitzKey {
    fn hash(&self, input: &[u8]) -> u32 {
        let (mut window, key) = self.split();
        let mut hash = 0;
        for (byte, next) in input.iter().zip(key) {
            window = shift(window, *next);
            hash ^= of_byte(*byte, window);
        }
        hash
    }
}

/// The 40 bits of the key that meet the next byte of the input.
const fn shift(window: u64, next: u8) -> u64 {
    (window << 8 | next as u64) & 0xff_ffff_ffff
}

/// What a byte of the input adds to the hash where these 40 bits of the key meet it.
const fn of_byte(byte: u8, window: u64) -> u32 {
    let mut hash = 0;
    let mut bit = 0;
    while bit < 8 {
        if byte & 0x80 >> bit != 0 {
            hash ^= (window >> (8 - bit)) as u32;
        }
        bit += 1;
    }
    hash
}

/// What every value of half a byte adds, at every place.
#[derive(Clone)]
pub struct NibbleTable([[[u32; 16]; 2]; TOEPLITZ_INPUT]);

impl NibbleTable {
    /// The table of a key, best made at compile time.
    pub const fn new(key: &ToeplitzKey) -> Self {
        let mut table = Self([[[0; 16]; 2]; TOEPLITZ_INPUT]);
        let mut places: &mut [[[u32; 16]; 2]] = &mut table.0;
        let (mut window, mut key) = key.split();
        while let (Some(([high, low], behind)), Some((next, rest))) =
            (places.split_first_mut(), key.split_first())
        {
            window = shift(window, *next);
            fill(high, window, 4);
            fill(low, window, 0);
            (places, key) = (behind, rest);
        }
        table
    }
}

impl Toeplitz for NibbleTable {
    #[inline]
    fn hash(&self, input: &[u8]) -> u32 {
        input
            .iter()
            .zip(&self.0)
            .fold(0, |hash, (byte, [high, low])| {
                hash ^ high[usize::from(byte >> 4)] ^ low[usize::from(byte & 0xf)]
            })
    }
}

/// What every value of a byte adds, at every place. All-zero bytes are the table of the key zero.
#[derive(Clone)]
pub struct ByteTable([[u32; 256]; TOEPLITZ_INPUT]);

impl ByteTable {
    /// The table of the key zero, under which everything hashes to 0.
    pub const ZERO: Self = Self([[0; 256]; TOEPLITZ_INPUT]);

    /// Makes it the table of a key, where it lies.
    pub const fn set_key(&mut self, key: &ToeplitzKey) {
        let mut places: &mut [[u32; 256]] = &mut self.0;
        let (mut window, mut key) = key.split();
        while let (Some((place, behind)), Some((next, rest))) =
            (places.split_first_mut(), key.split_first())
        {
            window = shift(window, *next);
            fill(place, window, 0);
            (places, key) = (behind, rest);
        }
    }
}

impl Toeplitz for ByteTable {
    #[inline]
    fn hash(&self, input: &[u8]) -> u32 {
        input
            .iter()
            .zip(&self.0)
            .fold(0, |hash, (byte, place)| hash ^ place[usize::from(*byte)])
    }
}

/// Writes what each value adds that is shifted left by some bits in its byte.
const fn fill(mut cells: &mut [u32], window: u64, shifted: u32) {
    let mut value: u8 = 0;
    while let Some((cell, behind)) = cells.split_first_mut() {
        *cell = of_byte(value << shifted, window);
        value = value.wrapping_add(1);
        cells = behind;
    }
}

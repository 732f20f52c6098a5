//! Greeting, challenge and sealed records.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::VERSION;

/// Bytes before the body of a record.
pub const HEADER_LEN: usize = 2;
/// Bytes of the longest body.
pub const MAX_BODY: usize = 512;
/// Bytes of the longest record.
pub const MAX_RECORD: usize = HEADER_LEN + MAX_BODY + TAG_LEN;
/// Bytes of a greeting.
pub const GREETING_LEN: usize = PREAMBLE_LEN + NONCE_LEN;
/// Bytes of the answer to a greeting.
pub const ANSWER_LEN: usize = GREETING_LEN + TAG_LEN;

const NAME: [u8; 7] = *b"netvirt";
const PREAMBLE_LEN: usize = NAME.len() + 1;
const NONCE_LEN: usize = 32;
const TAG_LEN: usize = 16;

type HmacSha256 = Hmac<Sha256>;
type Tag = [u8; TAG_LEN];

/// The secret that a NIC and those who manage it share. To be drawn at random, not made up.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, as a key file has them; white space may follow. None if there is anything else.
    ///
    /// ```
    /// use netvirt_fw::download::Key;
    ///
    /// const KEY: Option<Key> = Key::from_hex(b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
    /// assert!(KEY.is_some());
    /// ```
    pub const fn from_hex(text: &[u8]) -> Option<Self> {
        let Some((digits, [])) = text.trim_ascii_end().split_first_chunk::<64>() else {
            return None;
        };
        let (pairs, _) = digits.as_chunks::<2>();
        let mut bytes = [0; 32];
        let (mut places, mut pairs): (&mut [u8], _) = (&mut bytes, pairs);
        while let (Some((place, following)), Some((&[high, low], rest))) =
            (places.split_first_mut(), pairs.split_first())
        {
            let (Some(high), Some(low)) = ((high as char).to_digit(16), (low as char).to_digit(16))
            else {
                return None;
            };
            *place = (high << 4 | low) as u8;
            (places, pairs) = (following, rest);
        }
        Some(Self(bytes))
    }

    fn hmac(&self) -> HmacSha256 {
        let Self(bytes) = self;
        keyed(bytes)
    }
}

/// Not the key itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

fn keyed(key: &[u8; 32]) -> HmacSha256 {
    let mut block = [0; 64];
    if let Some(place) = block.first_chunk_mut() {
        *place = *key;
    }
    // A key that is shorter than a block is one with zeros behind it (RFC 2104 §2).
    HmacSha256::new(&block.into())
}

/// A number that is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// Takes bytes that were never used before and cannot be foreseen.
    pub const fn new(bytes: [u8; NONCE_LEN]) -> Self {
        Self(bytes)
    }
}

/// As many nonces as are needed, out of one random seed.
#[derive(Debug, Clone)]
pub struct Nonces {
    seed: Key,
    used: u64,
}

impl Nonces {
    /// Takes 32 random bytes, other ones each time that the NIC starts.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self {
            seed: Key(seed),
            used: 0,
        }
    }

    /// The next one.
    pub fn draw(&mut self) -> Nonce {
        let mut hmac = self.seed.hmac();
        hmac.update(&self.used.to_be_bytes());
        self.used = self.used.wrapping_add(1);
        Nonce(hmac.finalize().into_bytes().into())
    }
}

/// What a host says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting([u8; GREETING_LEN]);

impl Greeting {
    /// The greeting of this version.
    pub fn new(nonce: Nonce) -> Self {
        let Nonce(nonce) = nonce;
        Self(concat(&preamble(), &nonce))
    }

    /// What a host sent.
    pub const fn received(bytes: [u8; GREETING_LEN]) -> Self {
        Self(bytes)
    }

    /// What is sent.
    pub const fn as_bytes(&self) -> &[u8; GREETING_LEN] {
        let Self(bytes) = self;
        bytes
    }
}

/// What a NIC says to a greeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer([u8; ANSWER_LEN]);

impl Answer {
    /// What a NIC sent.
    pub const fn received(bytes: [u8; ANSWER_LEN]) -> Self {
        Self(bytes)
    }

    /// What is sent.
    pub const fn as_bytes(&self) -> &[u8; ANSWER_LEN] {
        let Self(bytes) = self;
        bytes
    }
}

/// Why a connection came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HandshakeError {
    /// The other speaks another protocol.
    NotNetvirt,
    /// The other speaks this version.
    Version(u8),
    /// The other has another key.
    NotAuthentic,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotNetvirt => f.write_str("there is no netvirt NIC at this address and port"),
            Self::Version(version) => write!(
                f,
                "the other side speaks version {version} of the protocol, and this one {VERSION}: bring both to the same release"
            ),
            Self::NotAuthentic => f.write_str("the other side has another key"),
        }
    }
}

impl core::error::Error for HandshakeError {}

/// Why a record was not taken. The connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum RecordError {
    /// It is longer than any that is allowed.
    Oversized,
    /// Its tag is not that of this record at this place: it was altered, or the other has another key.
    NotAuthentic,
    /// Its body is no message of this version.
    Malformed,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oversized => "a record is longer than any that is allowed",
            Self::NotAuthentic => {
                "a record was altered on the way, or the other side has another key"
            }
            Self::Malformed => "a record holds no message of this version",
        })
    }
}

impl core::error::Error for RecordError {}

/// One end of a connection between two who proved their key to each other.
#[derive(Clone)]
pub struct Session {
    sending: Direction,
    receiving: Direction,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("sent", &self.sending.records)
            .field("received", &self.receiving.records)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// The host's end.
    ///
    /// # Errors
    /// [`HandshakeError`] if the answer is not that of a NIC with this key to this greeting.
    pub fn of_host(
        key: &Key,
        greeting: &Greeting,
        answer: &Answer,
    ) -> Result<Self, HandshakeError> {
        check_preamble(answer.as_bytes())?;
        let (challenge, tag) = split(answer.as_bytes());
        let session = Self {
            sending: Direction::new(key, b"host to NIC", greeting, &nonce_in(challenge)),
            receiving: Direction::new(key, b"NIC to host", greeting, &nonce_in(challenge)),
        };
        let mut hmac = session.receiving.hmac.clone();
        hmac.update(challenge);
        let verified = hmac.verify_truncated_left(tag);
        verified.map_err(|_| HandshakeError::NotAuthentic)?;
        Ok(session)
    }

    /// The NIC's end, and what it answers: to a host of another version, too, which learns from it which one this is. The host
    /// has yet to prove its key, with its first record.
    #[inline(never)]
    pub fn of_nic(
        key: &Key,
        greeting: &Greeting,
        nonce: Nonce,
    ) -> (Answer, Result<Self, HandshakeError>) {
        let Greeting(challenge) = Greeting::new(nonce);
        if let Err(error) = check_preamble(greeting.as_bytes()) {
            return (Answer(concat(&challenge, &[0; TAG_LEN])), Err(error));
        }
        let Nonce(nonce) = nonce;
        let session = Self {
            sending: Direction::new(key, b"NIC to host", greeting, &nonce),
            receiving: Direction::new(key, b"host to NIC", greeting, &nonce),
        };
        let mut hmac = session.sending.hmac.clone();
        hmac.update(&challenge);
        let answer = Answer(concat(&challenge, &truncated(hmac)));
        (answer, Ok(session))
    }

    /// Makes a record of a message. Yields its bytes.
    ///
    /// # Errors
    /// [`RecordError::Oversized`] if the message is longer than [`MAX_BODY`].
    #[inline(never)]
    pub fn seal<'r>(
        &mut self,
        message: &impl Serialize,
        record: &'r mut [u8; MAX_RECORD],
    ) -> Result<&'r [u8], RecordError> {
        let (header, rest) = record.split_at_mut(HEADER_LEN);
        let (body, _) = rest.split_at_mut(MAX_BODY);
        let written = postcard::to_slice(message, body).map_err(|_| RecordError::Oversized)?;
        let length = written.len();
        header.copy_from_slice(&(length as u16).to_be_bytes());
        let signed = HEADER_LEN.wrapping_add(length);
        let tag = truncated(
            self.sending
                .hmac_of(record.get(..signed).unwrap_or_default()),
        );
        self.sending.records = self.sending.records.wrapping_add(1);
        let end = signed.wrapping_add(TAG_LEN);
        for (place, byte) in record.iter_mut().skip(signed).zip(tag) {
            *place = byte;
        }
        record.get(..end).ok_or(RecordError::Oversized)
    }

    /// Takes the message out of a record.
    ///
    /// # Errors
    /// [`RecordError`]; nothing in the record is to be believed then.
    pub fn open<'r, M: Deserialize<'r>>(&mut self, record: &'r [u8]) -> Result<M, RecordError> {
        let body = self.body(record)?;
        match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(message),
            _ => Err(RecordError::Malformed),
        }
    }
}

// Hashes are large. The working memory of these is not to lie on a NIC's small stack below everything that a message causes, which
// is why they are calls of their own.
impl Session {
    #[inline(never)]
    fn body<'r>(&mut self, record: &'r [u8]) -> Result<&'r [u8], RecordError> {
        let (signed, tag) = record
            .split_last_chunk::<TAG_LEN>()
            .ok_or(RecordError::NotAuthentic)?;
        let verified = self.receiving.hmac_of(signed).verify_truncated_left(tag);
        verified.map_err(|_| RecordError::NotAuthentic)?;
        self.receiving.records = self.receiving.records.wrapping_add(1);
        Ok(signed.get(HEADER_LEN..).unwrap_or_default())
    }
}

/// How many bytes of a record come behind its header.
///
/// # Errors
/// [`RecordError::Oversized`].
pub fn length_behind(header: [u8; HEADER_LEN]) -> Result<usize, RecordError> {
    match usize::from(u16::from_be_bytes(header)) {
        length @ ..=MAX_BODY => Ok(length.wrapping_add(TAG_LEN)),
        _ => Err(RecordError::Oversized),
    }
}

/// What is signed in one direction.
#[derive(Clone)]
struct Direction {
    hmac: HmacSha256,
    records: u64,
}

impl Direction {
    fn new(key: &Key, name: &[u8], greeting: &Greeting, nonce: &[u8; NONCE_LEN]) -> Self {
        let mut hmac = key.hmac();
        hmac.update(name);
        hmac.update(greeting.as_bytes());
        hmac.update(nonce);
        let derived: [u8; 32] = hmac.finalize().into_bytes().into();
        Self {
            hmac: keyed(&derived),
            records: 0,
        }
    }

    fn hmac_of(&self, signed: &[u8]) -> HmacSha256 {
        let mut hmac = self.hmac.clone();
        hmac.update(&self.records.to_be_bytes());
        hmac.update(signed);
        hmac
    }
}

const fn preamble() -> [u8; PREAMBLE_LEN] {
    let [n, e, t, v, i, r, again] = NAME;
    [n, e, t, v, i, r, again, VERSION]
}

fn check_preamble(said: &[u8]) -> Result<(), HandshakeError> {
    match said.split_first_chunk() {
        Some((&NAME, [VERSION, ..])) => Ok(()),
        Some((&NAME, &[version, ..])) => Err(HandshakeError::Version(version)),
        _ => Err(HandshakeError::NotNetvirt),
    }
}

fn concat<const LENGTH: usize>(front: &[u8], back: &[u8]) -> [u8; LENGTH] {
    let mut both = [0; LENGTH];
    for (place, byte) in both.iter_mut().zip(front.iter().chain(back)) {
        *place = *byte;
    }
    both
}

/// What is signed of an answer, and its tag.
fn split(answer: &[u8; ANSWER_LEN]) -> (&[u8], &Tag) {
    answer.split_last_chunk().unwrap_or((&[], &[0; TAG_LEN]))
}

fn nonce_in(challenge: &[u8]) -> [u8; NONCE_LEN] {
    challenge.last_chunk().copied().unwrap_or([0; NONCE_LEN])
}

fn truncated(hmac: HmacSha256) -> Tag {
    let whole: [u8; 32] = hmac.finalize().into_bytes().into();
    whole.first_chunk().copied().unwrap_or([0; TAG_LEN])
}

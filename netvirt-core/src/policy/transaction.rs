//! The one binary form of policy changes: each change in postcard encoding, one after another.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::change::Change;

/// Changes of policy in their encoding, to be applied as a whole or not at all.
///
/// ```
/// use netvirt_core::policy::{Change, Transaction, TransactionWriter};
/// use netvirt_core::DomainId;
///
/// let mut buffer = [0; 64];
/// let mut writer = TransactionWriter::new(&mut buffer);
/// writer.push(&Change::AddDomain(DomainId(0))).unwrap();
/// let transaction = Transaction::new(writer.finish());
/// assert_eq!(transaction.changes().count(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction<'a> {
    encoded: &'a [u8],
}

impl<'a> Transaction<'a> {
    /// Takes changes in their encoding; they are decoded, and refused if malformed, when applied.
    pub const fn new(encoded: &'a [u8]) -> Self {
        Self { encoded }
    }

    /// The encoding.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.encoded
    }

    /// The changes in their order.
    pub const fn changes(&self) -> Changes<'a> {
        Changes { rest: self.encoded }
    }
}

/// The changes of a transaction in their order.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    rest: &'a [u8],
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, MalformedChange>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match postcard::take_from_bytes(self.rest) {
            Ok((change, rest)) => {
                self.rest = rest;
                Some(Ok(change))
            }
            Err(_) => {
                self.rest = &[];
                Some(Err(MalformedChange))
            }
        }
    }
}

/// Bytes that are no change in this version's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MalformedChange;

impl fmt::Display for MalformedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction is cut short or was not encoded by this version of netvirt")
    }
}

impl core::error::Error for MalformedChange {}

/// Encodes changes into a buffer of the caller.
#[derive(Debug)]
pub struct TransactionWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

/// The buffer of a [`TransactionWriter`] cannot take the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferFull;

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction buffer is full: give a larger one or split the transaction")
    }
}

impl core::error::Error for BufferFull {}

/// The most bytes that one change takes in its encoding.
pub const MAX_CHANGE_LENGTH: usize = 96;

impl<'b> TransactionWriter<'b> {
    /// Writes from the start of `buffer`.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Adds a change behind those before. Nothing is written if it does not fit.
    pub fn push(&mut self, change: &Change) -> Result<(), BufferFull> {
        let room = self.buffer.get_mut(self.used..).ok_or(BufferFull)?;
        let written = postcard::to_slice(change, room).map_err(|_| BufferFull)?;
        self.used = self.used.saturating_add(written.len());
        Ok(())
    }

    /// The encoded changes.
    pub fn finish(self) -> &'b [u8] {
        let Self { buffer, used } = self;
        buffer.get(..used).unwrap_or_default()
    }
}

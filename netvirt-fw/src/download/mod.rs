//! Policy download: a host changes the policy of a NIC over a connection, as a whole or not at all, and reads back what the NIC
//! holds and counts.
//!
//! Both have the same secret [`Key`], and each proves it to the other. What a third party records cannot be used again, also
//! after the NIC was started anew, and nothing can be altered, left out or added on the way. It is not secret: who sees the
//! connection can read the policy.
//!
//! # The connection
//!
//! A TCP connection to [`PORT`] of the NIC's management address. The host speaks first:
//!
//! ```text
//! host → NIC   greeting   "netvirt" (7 bytes), version (1), nonce of the host (32)
//! NIC → host   answer     "netvirt" (7 bytes), version (1), nonce of the NIC (32), tag (16)
//! host → NIC   record     length of the body (2), body, tag (16)
//! NIC → host   record     the same, one for each of the host's
//! …
//! ```
//!
//! A tag is the first half of HMAC-SHA256. The keys of the two directions are HMACs under the secret key of
//! `"host to NIC"` and `"NIC to host"`, each followed by the greeting and by the nonce of the NIC. The answer's tag is of the
//! answer up to there, under the key of its direction. A record's tag is of its number in its direction (8 bytes, from 0), its
//! length and its body.
//!
//! A body is a [`Request`] or a [`Reply`] in postcard encoding. Numbers outside of bodies are in network byte order.
//!
//! # Transactions
//!
//! ```text
//! Read { Policy, from: 0 }  → Items { version, … }     what the NIC holds
//! Begin { version }         → Begun                    or Moved: somebody else changed the policy
//! Changes(…)                → Taken                    as often as needed, whole changes in the core's encoding
//! Prepare                   → Prepared { version }     all of them fit
//! Commit                    → Committed { version }    packets see them, all at once
//! ```
//!
//! A change that does not fit is answered by `Refused`, which says which and why. Nothing is left of the transaction then, nor
//! if the connection ends before `Commit`.

mod message;
mod session;

#[cfg(feature = "embassy-net")]
mod listen;
#[cfg(feature = "embassy")]
mod server;

#[cfg(feature = "embassy-net")]
pub use listen::{Buffers, listen};
pub use message::{Count, Items, List, Reply, Request};
#[cfg(feature = "embassy")]
pub use server::{Ended, serve};
pub use session::{
    ANSWER_LEN, Answer, GREETING_LEN, Greeting, HEADER_LEN, HandshakeError, Key, MAX_BODY,
    MAX_RECORD, Nonce, Nonces, RecordError, Session, length_behind,
};

/// The port of TCP at which a NIC listens.
pub const PORT: u16 = 0x88b5;

/// Raised whenever the greeting, a message, a change of policy, a refusal, or the number of a drop reason or event changes.
pub const VERSION: u8 = 1;

//! Managing an offload NIC over the network: its policy is changed as a whole or not at all, and what it holds and counts is read
//! back.
//!
//! The protocol is that of [`netvirt_fw::download`]: both ends prove that they have the same secret [`Key`], and nothing that was
//! recorded, altered or cut on the way changes a NIC.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use netvirt_std::offload::{Client, read_key};
//! use netvirt_std::policy_file::PolicyFile;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = std::fs::read_to_string("network.toml")?;
//! let file = PolicyFile::parse(&text, "network.toml").map_err(|errors| errors.to_string())?;
//! let host = file.for_host("host-1")?;
//!
//! let mut nic = Client::connect("192.0.2.250", &read_key(Path::new("nic.key"))?)?;
//! let present = nic.policy()?;
//! let changes = host.difference_for_nic(&present.changes);
//! nic.push(present.version, &changes)?;
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod key;
mod report;

pub use client::{Client, NicPolicy};
pub use error::OffloadError;
pub use key::{InvalidKey, read_key};
pub use netvirt_fw::download::Key;
pub use report::{NicReport, describe};

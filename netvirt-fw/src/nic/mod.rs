//! The offload NIC.
mod bridge;
mod finish;
mod framing;
pub use framing::Framing;

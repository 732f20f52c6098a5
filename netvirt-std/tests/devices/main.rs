//! Devices against the kernel, in network namespaces that each test makes for itself.

mod cable;
mod container;
mod memory;
mod namespace;
mod packet;
mod router;
mod support;
mod tap;

//! What the programs of the whole-system tests have in common: network namespaces, TAPs, batches of datagrams.
//!
//! None of it is netvirt: the tests measure with tools of their own.

pub mod board;
pub mod inbox;
pub mod namespace;
pub mod tap;

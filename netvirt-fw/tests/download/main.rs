//! Policy download over a connection in memory.

#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod support;

mod attacks;
mod host;
mod pipe;
mod reading;
mod transactions;

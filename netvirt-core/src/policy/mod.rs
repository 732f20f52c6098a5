//! What the operator said: tables that packets read, and the transactions that change them.

mod apply;
mod change;
mod copies;
mod entries;
mod listing;
mod next_hop;
mod refusal;
mod slab;
mod static_storage;
mod tables;
#[cfg(test)]
mod tests;
mod transaction;

pub use change::*;
pub use copies::{Policies, Prepared};
pub(crate) use entries::RouteKind;
pub use entries::{
    ADDRESSES_PER_HOST, Domain, Host, NeighbourEntry, Path, PathId, PortEntry, Record, Route,
    Subnet,
};
pub use next_hop::NextHop;
pub use refusal::{Missing, Refusal, Refused, TableName};
pub use slab::Place;
pub use static_storage::{Profile256, StaticStorage};
pub(crate) use tables::provider_key;
pub use tables::{Policy, PolicyStorage};
pub use transaction::*;

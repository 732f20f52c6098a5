//! What the operator said: tables that packets read, and the transactions that change them.

mod apply;
mod change;
mod copies;
mod entries;
mod listing;
mod refusal;
mod slab;
mod static_storage;
mod tables;
mod transaction;

pub use change::*;
pub use copies::{Policies, Prepared};
pub(crate) use entries::RouteKind;
pub use entries::{
    ADDRESSES_PER_HOST, Domain, Host, NeighbourEntry, Path, PortEntry, Record, Route, Subnet,
};
pub use refusal::{Missing, Refusal, Refused, TableName};
pub use slab::Place;
pub use static_storage::{Profile256, StaticStorage};
pub(crate) use tables::provider_key;
pub use tables::{Policy, PolicyStorage};
pub use transaction::*;

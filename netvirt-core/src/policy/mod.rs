//! What the operator said: tables that packets read, and the transactions that change them.

mod apply;
mod change;
mod copies;
mod groups;
mod listing;
mod members;
mod networks;
mod next_hop;
mod provider;
mod record;
mod refusal;
mod slab;
mod static_storage;
mod tables;
#[cfg(test)]
mod tests;
mod transaction;

pub use change::*;
pub use copies::{Policies, Prepared};
pub use groups::{Group, GroupPath};
pub use members::Member;
pub(crate) use networks::RouteKind;
pub use networks::{Domain, PortEntry, Route, Subnet};
pub use next_hop::NextHop;
pub use provider::{ADDRESSES_PER_HOST, Host, NeighbourEntry, Path, PathId};
pub(crate) use provider::{least_path_mtu, tunnel_overhead};
pub use record::Record;
pub use refusal::{Missing, OutOfRange, Refusal, Refused, TableName};
pub use slab::Place;
pub use static_storage::{Profile256, SUBNETS_PER_GROUP, StaticStorage};
pub(crate) use tables::provider_key;
pub use tables::{Policy, PolicyStorage};
pub use transaction::*;

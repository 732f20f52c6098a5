//! The walks of packets through one host and between hosts: verdict, reason, bytes, and every counter that moves.

#[path = "../support/mod.rs"]
mod support;

mod advertisements;
mod counters;
mod duplicate_addresses;
mod errors;
mod fields;
mod fragments;
mod gateway;
mod migration;
mod multicast_arrivals;
mod multicast_groups;
mod next_hop;
mod nvgre;
mod path_mtu;
mod proxies;
mod quote_refusals;
mod quotes;
mod reception;
mod replication;
mod replication_limits;
mod rewrite;
mod rewrite_exact;
mod rewrite_refusals;
mod router_errors;
mod routing;
mod sizes;
mod spoofing;
mod threats;
mod transition;
mod uncovered;
mod uplink_proxies;
mod usable;

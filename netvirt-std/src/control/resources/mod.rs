//! What a switch tells of itself, one kind of object a file.

pub(super) mod counters;
mod customer_routes;
mod hosts;
mod multicast_groups;
mod neighbours;
mod ports;
mod provider_addresses;
mod provider_routes;
mod records;
pub(super) mod status;

pub use customer_routes::CustomerRouteView;
pub use hosts::HostView;
pub use multicast_groups::MulticastGroupView;
pub use neighbours::NeighbourView;
pub use ports::PortView;
pub use provider_addresses::ProviderAddressView;
pub use provider_routes::ProviderRouteView;
pub use records::RecordView;
pub use status::Status;

use std::fmt::Display;

/// What stands in a cell where there is nothing.
const NOTHING: &str = "-";

fn or_nothing(value: Option<impl Display>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| value.to_string())
}

fn joined(values: &[impl Display]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    match values.len() {
        0 => NOTHING.to_owned(),
        _ => values.join(", "),
    }
}

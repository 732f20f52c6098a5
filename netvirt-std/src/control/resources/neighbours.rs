//! The next hops of the provider network.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::problem::Refusal;
use crate::host::KnownNeighbour;
use crate::report::{Age, Align, Table};

/// A next hop whose MAC address is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourView {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: String,
    /// How it is known: `stated` in the policy file, or `heard` in the network.
    pub known: String,
    /// How long ago it was heard last, in seconds.
    pub age_seconds: Option<u64>,
}

impl NeighbourView {
    fn new(known: &KnownNeighbour, now: Duration) -> Self {
        let age = known.heard.map(|heard| now.saturating_sub(heard));
        Self {
            address: known.neighbour.address.get(),
            mac: known.neighbour.mac.to_string(),
            known: if age.is_some() { "heard" } else { "stated" }.to_owned(),
            age_seconds: age.map(|age| age.as_secs()),
        }
    }
}

impl Resource for NeighbourView {
    const NAME: &'static str = "neighbours";

    fn table(neighbours: &[Self]) -> String {
        let mut table = Table::new([
            ("address", Align::Left),
            ("MAC address", Align::Left),
            ("known", Align::Left),
        ]);
        for neighbour in neighbours {
            let age = neighbour.age_seconds.map(Duration::from_secs);
            let known = match age {
                Some(age) => format!("{}, {} ago", neighbour.known, Age(age)),
                None => neighbour.known.clone(),
            };
            table.row([&neighbour.address, &neighbour.mac, &known]);
        }
        table.to_string()
    }
}

impl Listed for NeighbourView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let views = access.ask(|host| {
            let now = host.now();
            let known = host.neighbours();
            known
                .map(|known| NeighbourView::new(known, now))
                .collect::<Vec<_>>()
        })?;
        Ok(views.into_iter())
    }
}

//! The routes of the provider network.

use std::net::IpAddr;

use netvirt_core::policy::ProviderRoute;
use serde::{Deserialize, Serialize};

use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::problem::Refusal;
use crate::report::{Align, Table};

/// A route of the provider network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderRouteView {
    /// The destinations.
    pub prefix: String,
    /// The router.
    pub next_hop: IpAddr,
    /// Preference among routes to the same prefix, lower first.
    pub metric: u32,
}

impl From<ProviderRoute> for ProviderRouteView {
    fn from(route: ProviderRoute) -> Self {
        Self {
            prefix: route.prefix.to_string(),
            next_hop: route.next_hop.get(),
            metric: route.metric,
        }
    }
}

impl Resource for ProviderRouteView {
    const NAME: &'static str = "provider-routes";

    fn table(routes: &[Self]) -> String {
        let mut table = Table::new([
            ("prefix", Align::Left),
            ("next hop", Align::Left),
            ("metric", Align::Right),
        ]);
        for route in routes {
            table.row([&route.prefix, &route.next_hop, &route.metric]);
        }
        table.to_string()
    }
}

impl Listed for ProviderRouteView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let routes: Vec<_> = access.look(|_, policy| policy.provider_routes().collect())?;
        Ok(routes.into_iter().map(Self::from))
    }
}

//! The customer routes.

use std::net::IpAddr;

use netvirt_core::policy::{CustomerRoute, RouteTarget};
use serde::{Deserialize, Serialize};

use super::or_nothing;
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::naming::Naming;
use crate::control::problem::Refusal;
use crate::report::{Align, Table};

/// A customer route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerRouteView {
    /// The routing domain.
    pub domain: Option<String>,
    /// Its GUID in braces, if it was given one.
    pub domain_id: Option<String>,
    /// The virtual subnet.
    pub vsid: u32,
    /// Its name, if it was given one.
    pub subnet: Option<String>,
    /// The destinations.
    pub prefix: String,
    /// The machine that they lie behind; none if they are on-link.
    pub next_hop: Option<IpAddr>,
    /// Preference among routes to the same prefix, lower first.
    pub metric: u32,
    /// Whether the next hop, if there is one, has a record.
    pub usable: bool,
}

impl CustomerRouteView {
    fn new(route: &CustomerRoute, usable: bool, naming: &Naming) -> Self {
        let domain = naming.domain(route.vsid);
        Self {
            domain: domain.map(|domain| domain.name.clone()),
            domain_id: domain.and_then(|domain| domain.id.clone()),
            vsid: route.vsid.get(),
            subnet: naming.subnet_name(route.vsid),
            prefix: route.prefix.to_string(),
            next_hop: match route.target {
                RouteTarget::OnLink => None,
                RouteTarget::Via(next_hop) => Some(next_hop.get()),
            },
            metric: route.metric,
            usable,
        }
    }
}

impl Resource for CustomerRouteView {
    const NAME: &'static str = "customer-routes";

    fn table(routes: &[Self]) -> String {
        let mut table = Table::new([
            ("domain", Align::Left),
            ("VSID", Align::Right),
            ("prefix", Align::Left),
            ("next hop", Align::Left),
            ("metric", Align::Right),
            ("remarks", Align::Left),
        ]);
        for route in routes {
            let next_hop = route.next_hop.map(|next_hop| next_hop.to_string());
            table.row([
                &or_nothing(route.domain.as_ref()),
                &route.vsid,
                &route.prefix,
                &next_hop.as_deref().unwrap_or("on-link"),
                &route.metric,
                &if route.usable { "" } else { "unusable" },
            ]);
        }
        table.to_string()
    }
}

impl Listed for CustomerRouteView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let (policy, routes) = access.look(|names, policy| {
            let routes = policy.customer_routes();
            let routes: Vec<_> = routes
                .map(|route| (policy.is_usable_route(&route), route))
                .collect();
            (names.clone(), routes)
        })?;
        let naming = Naming::new(policy);
        let views = routes.into_iter();
        Ok(views.map(move |(usable, route)| CustomerRouteView::new(&route, usable, &naming)))
    }
}

//! What was counted.

use std::collections::HashSet;

use axum::Json;
use axum::extract::State;

use crate::control::access::{Access, aside};
use crate::control::list::{Parameters, filter_of};
use crate::control::problem::Refusal;
use crate::counters::{CounterReport, SubnetCount};

/// All counters; those of subnets and of their ports as far as the query asks for the subnets.
pub(in crate::control) async fn answer(
    State(access): State<Access>,
    parameters: Parameters,
) -> Result<Json<CounterReport>, Refusal> {
    let filter = filter_of::<SubnetCount>(parameters)?;
    let report = aside(move || {
        let counters = access.ask(|host| host.counters())??;
        let nic = access.ask(|host| host.nic_counters())??;
        let (mut report, names) = access.look(|names, policy| {
            // Who sends what was held does not count it.
            let report = CounterReport::new(&counters, policy, names, None);
            (report, names.clone())
        })?;
        report.nic = nic;
        report.subnets.retain(|subnet| filter.takes(subnet));
        let chosen: HashSet<u32> = report.subnets.iter().map(|subnet| subnet.vsid).collect();
        let mut ports = names.ports.iter();
        let mut is_chosen = || {
            ports
                .next()
                .is_some_and(|port| chosen.contains(&port.vsid.get()))
        };
        report.ports.retain(|_| is_chosen());
        Ok(report)
    });
    Ok(Json(report.await?))
}

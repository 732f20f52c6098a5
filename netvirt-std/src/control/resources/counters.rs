//! What was counted.

use axum::Json;
use axum::extract::State;

use crate::control::access::{Access, aside};
use crate::control::list::{Parameters, filter_of};
use crate::control::problem::Refusal;
use crate::counters::{CounterReport, SubnetCount};

/// All counters; those of subnets as far as the query asks for them.
pub(in crate::control) async fn answer(
    State(access): State<Access>,
    parameters: Parameters,
) -> Result<Json<CounterReport>, Refusal> {
    let filter = filter_of::<SubnetCount>(parameters)?;
    let report = aside(move || {
        let counters = access.ask(|host| host.counters())??;
        let mut report = access.look(|names, policy| {
            // Who sends what was held does not count it.
            CounterReport::new(&counters, policy, names, None)
        })?;
        report.subnets.retain(|subnet| filter.takes(subnet));
        Ok(report)
    });
    Ok(Json(report.await?))
}

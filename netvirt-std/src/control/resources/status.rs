//! The switch itself.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::or_nothing;
use crate::control::access::{Access, Beside, aside};
use crate::control::list::{Parameters, filter_of};
use crate::control::problem::Refusal;
use crate::host::{Host, HostError};
use crate::memory::HostCapacity;
use crate::report::{Age, Align, Table};
use crate::worker::Stalls;

/// What the switch is and how it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The host.
    pub host: String,
    /// The version of the policy that packets see.
    pub version: u64,
    /// SHA-256 of the policy file that is in force, as `sha256sum` says it.
    pub digest: String,
    /// The version that waits to be committed.
    pub prepared_version: Option<u64>,
    /// What that version is committed or aborted by.
    pub prepared_id: Option<String>,
    /// Whether frames of machines are carried.
    pub ready: bool,
    /// How many workers there are.
    pub workers: usize,
    /// How long the switch runs, in seconds.
    pub uptime_seconds: u64,
    /// The longest time that a worker took for one batch of frames or one task of its owner, in nanoseconds; since the
    /// switch was started, or since the longest stalls began again.
    pub longest_stall_ns: u64,
    /// The longest time in which a worker waited for the policy, in nanoseconds; since the same.
    pub longest_policy_wait_ns: u64,
    /// Frames of the provider network that the kernel dropped because the switch did not fetch them in time.
    pub uplink_missed_frames: u64,
    /// What the tables have room for.
    pub capacity: HostCapacity,
}

impl Status {
    fn take(host: &mut Host, beside: &mut Beside) -> Result<Self, HostError> {
        let last = host.take_stalls()?;
        let stalls = &mut beside.stalls;
        stalls.step = stalls.step.max(last.step);
        stalls.policy = stalls.policy.max(last.policy);
        Ok(Self {
            host: host.policy().name.clone(),
            version: host.version(),
            digest: host.policy().digest.clone(),
            prepared_version: host.prepared_version(),
            prepared_id: host.prepared_version().and(beside.prepared.clone()),
            ready: host.is_ready(),
            workers: host.workers(),
            uptime_seconds: host.now().as_secs(),
            longest_stall_ns: nanoseconds(stalls.step),
            longest_policy_wait_ns: nanoseconds(stalls.policy),
            uplink_missed_frames: host.missed_at_uplink(),
            capacity: *host.capacity(),
        })
    }
}

/// There is one switch, so nothing to choose from.
#[derive(Deserialize)]
struct NoFields {}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(in crate::control) async fn answer(
    State(access): State<Access>,
    parameters: Parameters,
) -> Result<Json<Status>, Refusal> {
    filter_of::<NoFields>(parameters)?;
    let status = aside(move || Ok(access.ask_both(Status::take)??)).await?;
    Ok(Json(status))
}

/// The status, of which the longest stalls begin again from nothing.
pub(in crate::control) async fn reset_stalls(
    State(access): State<Access>,
) -> Result<Json<Status>, Refusal> {
    let status = aside(move || {
        Ok(access.ask_both(|host, beside| {
            let status = Status::take(host, beside);
            beside.stalls = Stalls::default();
            status
        })??)
    });
    Ok(Json(status.await?))
}

/// Two tables for people.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = |nanoseconds| Age(Duration::from_nanos(nanoseconds));
        let mut table = Table::new([("switch", Align::Left), ("", Align::Left)]);
        table.row([&"host", &self.host]);
        table.row([&"policy version", &self.version]);
        table.row([&"policy file (SHA-256)", &self.digest]);
        table.row([&"prepared version", &or_nothing(self.prepared_version)]);
        table.row([&"  its id", &or_nothing(self.prepared_id.as_ref())]);
        table.row([&"ready", &if self.ready { "yes" } else { "not yet" }]);
        table.row([&"workers", &self.workers]);
        table.row([&"uptime", &Age(Duration::from_secs(self.uptime_seconds))]);
        table.row([&"longest stall", &age(self.longest_stall_ns)]);
        table.row([&"  of it for the policy", &age(self.longest_policy_wait_ns)]);
        table.row([&"missed at the uplink", &self.uplink_missed_frames]);
        write!(f, "{table}\n{}", self.capacity_table())
    }
}

impl Status {
    fn capacity_table(&self) -> Table<2> {
        let HostCapacity {
            records,
            rewritten_records,
            subnets,
            domains,
            customer_routes,
            peerings,
            hosts,
            host_addresses,
            ports,
            provider_addresses,
            provider_routes,
            neighbours,
            multicast_groups,
        } = self.capacity;
        let mut table = Table::new([("room for", Align::Left), ("number", Align::Right)]);
        for (what, number) in [
            ("lookup records", records),
            ("  of these for rewrite", rewritten_records),
            ("virtual subnets", subnets),
            ("routing domains", domains),
            ("customer routes", customer_routes),
            ("peerings", peerings),
            ("hosts", hosts),
            ("their provider addresses", host_addresses),
            ("ports", ports),
            ("own provider addresses", provider_addresses),
            ("provider routes", provider_routes),
            ("next hops", neighbours),
            ("multicast groups", multicast_groups),
        ] {
            table.row([&what, &number]);
        }
        table
    }
}

//! What a switch counted, with the names that the operator gave.

use std::fmt;

use netvirt_core::counters::{Counters, Event, Tally};
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::Policy;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::policy_file::HostPolicy;
use crate::report::{Align, Table};
use crate::worker::NicCounters;

/// All counters of a switch. Its JSON keys come in the order of these fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterReport {
    /// The version of the policy.
    pub policy_version: u64,
    /// Frames that arrived: as many as the next seven lines add up to.
    pub received: u64,
    /// Frames handed to machines of this host.
    pub delivered: u64,
    /// Frames sent into the provider network.
    pub transmitted: u64,
    /// Frames with more than one destination.
    pub replicated: u64,
    /// Frames that the host answered.
    pub replied: u64,
    /// Frames that are not the datapath's.
    pub punted: u64,
    /// Frames that wait, or waited, for a next hop.
    pub held: u64,
    /// Frames thrown away.
    pub dropped: u64,
    /// Held frames that were sent when their next hop answered, where somebody counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u64>,
    /// What passed between the switch and its offload NIC, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nic: Option<NicCounters>,
    /// Refused frames by reason, every reason in its own order.
    #[serde(serialize_with = "as_map", deserialize_with = "from_map")]
    pub reasons: Vec<(String, u64)>,
    /// What is rare, and counted beside what became of a frame: every event in its own order.
    #[serde(default, serialize_with = "as_map", deserialize_with = "from_map")]
    pub events: Vec<(String, u64)>,
    /// By port, in the order of the policy.
    pub ports: Vec<PortCount>,
    /// By virtual subnet, in the order of the policy.
    pub subnets: Vec<SubnetCount>,
}

/// The counters of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortCount {
    /// The machine.
    pub port: String,
    /// From the machine.
    pub received: Count,
    /// To the machine.
    pub delivered: Count,
    /// From the machine, and refused.
    pub refused: u64,
}

/// The counters of a virtual subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetCount {
    /// Its VSID.
    pub vsid: u32,
    /// Its routing domain.
    pub domain: String,
    /// Sent by machines of this host.
    pub sent: Count,
    /// Received from other hosts.
    pub received: Count,
    /// Refused, in either direction.
    pub refused: u64,
}

/// Frames, and their bytes as they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl From<Tally> for Count {
    fn from(Tally { frames, bytes }: Tally) -> Self {
        Self { frames, bytes }
    }
}

fn as_map<S: Serializer>(numbers: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(numbers.iter().map(|(name, number)| (name, number)))
}

fn from_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, u64)>, D::Error> {
    deserializer.deserialize_map(InOrder)
}

/// Keeps the order of a map.
struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, u64)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

impl CounterReport {
    /// What was counted under a policy. Who sends held frames says how many.
    pub fn new(
        counters: &Counters<'_>,
        policy: &Policy<'_>,
        host: &HostPolicy,
        released: Option<u64>,
    ) -> Self {
        let totals = counters.totals();
        let reasons = DropReason::ALL.iter();
        let events = Event::ALL.iter();
        let ports = host.ports.iter().map(|port| {
            let counted = counters.port(port.port);
            PortCount {
                port: port.name.clone(),
                received: counted.received.into(),
                delivered: counted.delivered.into(),
                refused: counted.refused,
            }
        });
        let subnets = host.subnets.iter().map(|subnet| {
            let counted = counters.subnet(policy, subnet.vsid);
            let domain = host.domain_name(subnet.domain).unwrap_or_default();
            SubnetCount {
                vsid: subnet.vsid.get(),
                domain: domain.to_owned(),
                sent: counted.sent.into(),
                received: counted.received.into(),
                refused: counted.refused,
            }
        });
        Self {
            policy_version: policy.version(),
            received: totals.received,
            delivered: totals.delivered,
            transmitted: totals.transmitted,
            replicated: totals.replicated,
            replied: totals.replied,
            punted: totals.punted,
            held: totals.held,
            dropped: totals.dropped,
            released,
            nic: None,
            reasons: reasons
                .map(|reason| (reason.name().to_owned(), counters.refused(*reason)))
                .collect(),
            events: events
                .map(|event| (event.name().to_owned(), counters.event(*event)))
                .collect(),
            ports: ports.collect(),
            subnets: subnets.collect(),
        }
    }
}

/// Tables for people. What is zero among the totals, reasons and events is left out.
impl fmt::Display for CounterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Policy version {}.\n\n{}",
            self.policy_version,
            self.totals()
        )?;
        let refused = listed(["refused because", "frames"], &self.reasons);
        let rare = listed(["beside these", "number"], &self.events);
        let nic = self.nic.map(|nic| nic.named()).unwrap_or_default();
        let nic = listed(["offload NIC", "frames"], &nic);
        for table in [nic, refused, rare] {
            if !table.is_empty() {
                writeln!(f, "{table}")?;
            }
        }
        f.write_str(&self.by_place())
    }
}

impl CounterReport {
    /// The tables by port and by subnet, for people: without what is counted of all tenants together.
    pub fn by_place(&self) -> String {
        format!("{}\n{}", self.by_port(), self.by_subnet())
    }

    fn totals(&self) -> Table<2> {
        let totals = [
            ("delivered", self.delivered),
            ("transmitted", self.transmitted),
            ("replicated", self.replicated),
            ("replied", self.replied),
            ("punted", self.punted),
            ("held", self.held),
            ("  of these released", self.released.unwrap_or(0)),
            ("dropped", self.dropped),
        ];
        let mut table = Table::new([("frames", Align::Left), ("number", Align::Right)]);
        table.row([&"received", &self.received]);
        for (name, number) in totals.iter().filter(|(_, number)| *number != 0) {
            table.row([name, number]);
        }
        table
    }

    fn by_port(&self) -> Table<6> {
        let mut table = Table::new([
            ("port", Align::Left),
            ("received", Align::Right),
            ("bytes", Align::Right),
            ("delivered", Align::Right),
            ("bytes", Align::Right),
            ("refused", Align::Right),
        ]);
        for line in &self.ports {
            let PortCount {
                port,
                received,
                delivered,
                refused,
            } = line;
            table.row([
                port,
                &received.frames,
                &received.bytes,
                &delivered.frames,
                &delivered.bytes,
                refused,
            ]);
        }
        table
    }

    fn by_subnet(&self) -> Table<7> {
        let mut table = Table::new([
            ("VSID", Align::Right),
            ("routing domain", Align::Left),
            ("sent", Align::Right),
            ("bytes", Align::Right),
            ("received", Align::Right),
            ("bytes", Align::Right),
            ("refused", Align::Right),
        ]);
        for line in &self.subnets {
            let SubnetCount {
                vsid,
                domain,
                sent,
                received,
                refused,
            } = line;
            table.row([
                vsid,
                domain,
                &sent.frames,
                &sent.bytes,
                &received.frames,
                &received.bytes,
                refused,
            ]);
        }
        table
    }
}

/// The counters of a list that are not zero.
fn listed([name, number]: [&'static str; 2], counters: &[(String, u64)]) -> Table<2> {
    let mut table = Table::new([(name, Align::Left), (number, Align::Right)]);
    for (name, number) in counters.iter().filter(|(_, number)| *number != 0) {
        table.row([name, number]);
    }
    table
}

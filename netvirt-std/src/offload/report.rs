//! What a NIC holds and counts, for people and for programs.

use std::fmt;

use netvirt_core::counters::{Event, Totals};
use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::policy::{
    Change, Location, LookupRecord, Method, MulticastGroup, RecordKind, RouteTarget,
};
use netvirt_fw::download::Count;
use netvirt_fw::nve::{LastDrop, NicCounters};
use serde::Serialize;

use super::client::NicPolicy;
use crate::counters::{CounterReport, PortCount, SubnetCount};
use crate::report::{Align, Table};

/// Everything that a NIC tells. Its JSON keys come in the order of these fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NicReport {
    /// How many policy transactions it has taken since it was started.
    pub version: u64,
    /// The policy and what it knows of the network, in words, in the order of its tables.
    pub policy: Vec<String>,
    /// What its datapath counted.
    pub counters: CounterReport,
    /// What the NIC around the datapath counted.
    pub nic: NicCounters,
    /// The frames that it refused last, from the last on.
    pub last_drops: Vec<LastDropView>,
}

/// A frame that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastDropView {
    /// Why.
    pub reason: String,
    /// Where it came in: `port 3`, or `uplink 0`.
    pub ingress: String,
    /// The virtual subnet it was refused in, if it came so far.
    pub vsid: Option<u32>,
    /// Its bytes.
    pub length: u32,
}

impl NicReport {
    /// What these say. Ports are called by their numbers.
    pub fn new(policy: &NicPolicy, counts: &[Count], last_drops: &[LastDrop]) -> Self {
        let nic = counts.iter().find_map(|count| match count {
            Count::Nic(counted) => Some(*counted),
            _ => None,
        });
        Self {
            version: policy.version,
            policy: policy.changes.iter().map(describe).collect(),
            counters: counter_report(policy, counts),
            nic: nic.unwrap_or_default(),
            last_drops: last_drops.iter().map(LastDropView::new).collect(),
        }
    }
}

impl LastDropView {
    fn new(drop: &LastDrop) -> Self {
        let reason = drop
            .reason()
            .map_or("a reason of a later release", DropReason::name);
        Self {
            reason: reason.to_owned(),
            ingress: match drop.ingress {
                Ingress::Port(port) => format!("port {port}"),
                Ingress::Uplink(uplink) => format!("uplink {uplink}"),
            },
            vsid: drop.vsid.map(|vsid| vsid.get()),
            length: drop.length,
        }
    }
}

fn counter_report(policy: &NicPolicy, counts: &[Count]) -> CounterReport {
    let (mut totals, mut ports, mut subnets) = (Totals::default(), vec![], vec![]);
    let mut reasons = vec![0; DropReason::COUNT];
    let mut events = vec![0; Event::COUNT];
    for count in counts {
        match *count {
            Count::Totals(counted) => totals = counted,
            Count::Reason(number, frames) => set(&mut reasons, number, frames),
            Count::Event(number, times) => set(&mut events, number, times),
            Count::Port(port, counted) => ports.push(PortCount {
                port: format!("port {port}"),
                received: counted.received.into(),
                delivered: counted.delivered.into(),
                refused: counted.refused,
            }),
            Count::Subnet(vsid, counted) => subnets.push(SubnetCount {
                vsid: vsid.get(),
                domain: domain_of(policy, vsid.get()),
                sent: counted.sent.into(),
                received: counted.received.into(),
                refused: counted.refused,
            }),
            Count::Nic(_) => {}
        }
    }
    let named = |names: Vec<&str>, numbers: Vec<u64>| {
        let names = names.into_iter().map(str::to_owned);
        names.zip(numbers).collect()
    };
    CounterReport {
        policy_version: policy.version,
        received: totals.received,
        delivered: totals.delivered,
        transmitted: totals.transmitted,
        replicated: totals.replicated,
        replied: totals.replied,
        punted: totals.punted,
        held: totals.held,
        dropped: totals.dropped,
        released: None,
        nic: None,
        reasons: named(
            DropReason::ALL.iter().map(|reason| reason.name()).collect(),
            reasons,
        ),
        events: named(
            Event::ALL.iter().map(|event| event.name()).collect(),
            events,
        ),
        ports,
        subnets,
    }
}

/// What a later release counts beyond this one's numbers is left out.
fn set(counters: &mut [u64], number: u8, count: u64) {
    if let Some(counter) = counters.get_mut(usize::from(number)) {
        *counter = count;
    }
}

fn domain_of(policy: &NicPolicy, number: u32) -> String {
    let domain = policy.changes.iter().find_map(|change| match change {
        Change::AddSubnet { vsid, domain } if vsid.get() == number => Some(domain),
        _ => None,
    });
    domain.map_or_else(String::new, |domain| format!("domain {domain}"))
}

/// Tables for people. What is zero is left out.
impl fmt::Display for NicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Policy:")?;
        for line in &self.policy {
            writeln!(f, "  {line}")?;
        }
        if self.policy.is_empty() {
            writeln!(f, "  none")?;
        }
        writeln!(f, "\n{}", self.counters)?;
        let mut nic = Table::new([("the NIC itself", Align::Left), ("frames", Align::Right)]);
        let counted = [
            ("not understood", self.nic.malformed),
            ("from a machine that is another here", self.nic.misdirected),
            ("from the wire, as if by the NIC", self.nic.forged),
            ("decided by the host", self.nic.decided),
            ("left to the host", self.nic.exceptions),
            ("bridged", self.nic.bridged),
            ("lost", self.nic.lost),
            ("not finished", self.nic.unfinished),
        ];
        for (name, frames) in counted.iter().filter(|(_, frames)| *frames != 0) {
            nic.row([name, frames]);
        }
        if !nic.is_empty() {
            writeln!(f, "{nic}")?;
        }
        let mut drops = Table::new([
            ("refused last", Align::Left),
            ("came in at", Align::Left),
            ("VSID", Align::Right),
            ("bytes", Align::Right),
        ]);
        for drop in &self.last_drops {
            let vsid = drop.vsid.map_or_else(String::new, |vsid| vsid.to_string());
            drops.row([&drop.reason, &drop.ingress, &vsid, &drop.length]);
        }
        match drops.is_empty() {
            true => Ok(()),
            false => write!(f, "{drops}"),
        }
    }
}

/// A change of policy in words.
pub fn describe(change: &Change) -> String {
    match change {
        Change::SetSettings(settings) => format!(
            "host {}, router {}, outer TTL {}",
            settings.local_host, settings.router_mac, settings.outer_ttl
        ),
        Change::AddDomain(domain) => format!("routing domain {domain}"),
        Change::RemoveDomain(domain) => format!("no routing domain {domain}"),
        Change::AddSubnet { vsid, domain } => format!("VSID {vsid} in routing domain {domain}"),
        Change::RemoveSubnet(vsid) => format!("no VSID {vsid}"),
        Change::AddCustomerRoute(route) | Change::SetCustomerRoute(route) => format!(
            "route of VSID {} to {} {}, metric {}",
            route.vsid,
            route.prefix,
            target(&route.target),
            route.metric
        ),
        Change::RemoveCustomerRoute(route) => {
            let target = target(&route.target);
            format!(
                "no route of VSID {} to {} {target}",
                route.vsid, route.prefix
            )
        }
        Change::AddPeering(peering) => {
            format!("routing domain {} may send to {}", peering.from, peering.to)
        }
        Change::RemovePeering(peering) => {
            format!(
                "routing domain {} may not send to {}",
                peering.from, peering.to
            )
        }
        Change::AddHost(host) => format!("host {host}"),
        Change::RemoveHost(host) => format!("no host {host}"),
        Change::AddHostAddress(host, address) => format!("host {host} has {address}"),
        Change::RemoveHostAddress(host, address) => format!("host {host} has not {address}"),
        Change::AddPort(port) => match port.vsid {
            Some(vsid) => format!("port {} of VSID {vsid} with {}", port.port, port.mac),
            None => format!(
                "port {} that is not virtualised, with {}",
                port.port, port.mac
            ),
        },
        Change::RemovePort(port) => format!("no port {port}"),
        Change::AddRecord(record) | Change::SetRecord(record) => describe_record(record),
        Change::MoveRecord(name, location) => {
            format!("{name} moves {}", place(location))
        }
        Change::RetireMigration(name) => format!("{name} has moved"),
        Change::RemoveRecord(name) => format!("no record of {name}"),
        Change::AddProviderAddress(own) | Change::SetProviderAddress(own) => {
            let vlan = own
                .vlan
                .map_or_else(String::new, |vlan| format!(", VLAN {vlan}"));
            let (address, length, uplink) = (own.address, own.prefix_length, own.uplink);
            format!(
                "own address {address}/{length} on uplink {uplink}{vlan}, MTU {}",
                own.mtu
            )
        }
        Change::RemoveProviderAddress(address) => format!("no own address {address}"),
        Change::AddProviderRoute(route) | Change::SetProviderRoute(route) => format!(
            "provider route to {} via {}, metric {}",
            route.prefix, route.next_hop, route.metric
        ),
        Change::RemoveProviderRoute(route) => {
            format!(
                "no provider route to {} via {}",
                route.prefix, route.next_hop
            )
        }
        Change::SetNeighbour(known) => {
            format!(
                "next hop {} on uplink {} is {}",
                known.address, known.uplink, known.mac
            )
        }
        Change::RemoveNeighbour { uplink, address } => {
            format!("next hop {address} on uplink {uplink} is not known")
        }
        Change::SetPathMtu { address, mtu } => format!("the path to {address} carries {mtu} bytes"),
        Change::RemovePathMtu { address } => {
            format!("the path to {address} carries what its first link does")
        }
        Change::SetAddressState { address, state } => format!("own address {address} is {state:?}"),
        Change::AddMulticastGroup(MulticastGroup {
            vsid,
            address,
            provider_group,
        }) => format!("{address} of VSID {vsid} goes to group {provider_group}"),
        Change::RemoveMulticastGroup { vsid, address } => {
            format!("{address} of VSID {vsid} goes to no group")
        }
        other => format!("{other:?}"),
    }
}

fn describe_record(record: &LookupRecord) -> String {
    let what = match record.kind {
        RecordKind::Static(address) => address.to_string(),
        RecordKind::Dynamic(address) => format!("{address}, learnt,"),
        RecordKind::L2Only => "a machine without address".to_owned(),
        RecordKind::GatewayWildcard => "a gateway".to_owned(),
    };
    let method = match record.method {
        Method::Encapsulate => "by NVGRE".to_owned(),
        Method::Rewrite {
            provider_address, ..
        } => format!("by rewrite to {provider_address}"),
        Method::Transition {
            provider_address, ..
        } => format!("by NVGRE, and by rewrite from {provider_address}"),
    };
    let (vsid, mac, place) = (record.vsid, record.mac, place(&record.location));
    let before = record
        .previous
        .map_or_else(String::new, |host| format!(", before on host {host}"));
    format!("{what} in VSID {vsid} is {mac} {place} {method}{before}")
}

fn place(location: &Location) -> String {
    match location {
        Location::Port(port) => format!("at port {port}"),
        Location::Host(host) => format!("on host {host}"),
    }
}

fn target(target: &RouteTarget) -> String {
    match target {
        RouteTarget::OnLink => "on link".to_owned(),
        RouteTarget::Via(next_hop) => format!("via {next_hop}"),
    }
}

//! The report for people, in at most 100 columns.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use netvirt_core::datapath::DropReason;
use netvirt_core::policy::{Location, LookupRecord, Method, RecordKind};

use super::attempt::{ActReport, Finding};
use super::network::HostReport;
use super::witness::{OnWire, Origin};
use super::{Report, Throughput};
use crate::report::{Align, Table};

/// Columns inside the box of a host.
const BOX: usize = 44;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write_picture(f)?;
        for host in &self.hosts {
            write_records(f, host)?;
        }
        heading(f, "Inside every tenant")?;
        write_acts(f, &self.inside)?;
        heading(f, "Across tenants, and past the rules")?;
        write_acts(f, &self.across)?;
        self.write_refusals(f)?;
        self.write_arrivals(f)?;
        self.write_counters(f)?;
        self.write_throughput(f)?;
        heading(f, "All in all")?;
        let width = self
            .overall
            .iter()
            .map(|finding| finding.what.len())
            .max()
            .unwrap_or(0);
        write_findings(f, &self.overall, (width, 0))
    }
}

impl Report {
    /// The hosts side by side, and the wire between them.
    fn write_picture(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let boxes: Vec<Vec<String>> = (0..self.hosts.len())
            .map(|host| self.host_box(host))
            .collect();
        let height = boxes.iter().map(Vec::len).max().unwrap_or(0);
        writeln!(
            f,
            "Three tenants on two hosts. Blue, red and green use the same addresses and never meet.\n"
        )?;
        let beside = |line: &dyn Fn(usize) -> String| {
            let parts: Vec<String> = (0..boxes.len()).map(line).collect();
            format!("  {}", parts.join("  "))
        };
        let rule = "─".repeat(BOX);
        writeln!(
            f,
            "{}",
            beside(&|host| format!(" {:<BOX$} ", self.host_title(host))).trim_end()
        )?;
        writeln!(f, "{}", beside(&|_| format!("┌{rule}┐")))?;
        for row in 0..height {
            let cell = |host: usize| boxes[host].get(row).map_or("", String::as_str).to_owned();
            writeln!(f, "{}", beside(&|host| format!("│{:<BOX$}│", cell(host))))?;
        }
        let half = "─".repeat(BOX / 2);
        writeln!(
            f,
            "{}",
            beside(&|_| format!("└{half}┬{}┘", "─".repeat(BOX - 1 - BOX / 2)))
        )?;
        let wire = self.witness.wire.values().sum::<u64>();
        let text = format!(" the wire: {wire} frames ");
        let width = ((BOX + 4) * self.hosts.len().saturating_sub(1)).saturating_sub(1);
        writeln!(f, "  {:<1$}└{text:─^width$}┘\n", "", BOX / 2 + 1)?;
        writeln!(
            f,
            "  NVGRE   The frame crosses the wire whole, between the addresses of the hosts, behind a header"
        )?;
        writeln!(
            f,
            "          that says which virtual subnet (VSID) it belongs to."
        )?;
        writeln!(
            f,
            "  rewrite Every customer address (CA) has a provider address (PA) of its own, which stands in its"
        )?;
        writeln!(
            f,
            "          place on the wire. Nothing is added to the packet."
        )
    }

    fn host_title(&self, host: usize) -> String {
        let host = &self.hosts[host];
        let mut addresses = host.own_addresses.clone();
        addresses.sort();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        format!("{}: PA {}", host.policy.name, addresses.join(", "))
    }

    fn host_box(&self, host: usize) -> Vec<String> {
        let policy = &self.hosts[host].policy;
        let line = |port: &crate::policy_file::PortInfo| {
            let addresses: Vec<String> = port.addresses.iter().map(ToString::to_string).collect();
            let method = self.method_of(port.vsid.get());
            format!(
                " {:<7} {:<22} {} {method}",
                port.name,
                addresses.join(" "),
                port.vsid
            )
        };
        policy.ports.iter().map(line).collect()
    }

    fn method_of(&self, vsid: u32) -> &'static str {
        let mut records = self.hosts.iter().flat_map(|host| &host.records);
        let record = records.find(|record| record.vsid.get() == vsid);
        record.map_or("", |record| method_name(record.method))
    }

    /// The counters of reasons, and beside each the frames that were seen to be refused for it.
    fn write_refusals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        heading(
            f,
            "Refused, and why: the counters of each host, and the frames that raised them",
        )?;
        let mut table = Table::new([
            ("host", Align::Left),
            ("reason", Align::Left),
            ("counter", Align::Right),
            ("frames", Align::Right),
            ("from, and what it was", Align::Left),
        ]);
        for (number, host) in self.hosts.iter().enumerate() {
            for reason in DropReason::ALL {
                let mut counter = host.refused(*reason).to_string();
                let refused = self.witness.all_refused();
                for (refusal, frames) in refused
                    .filter(|(refusal, _)| (refusal.host, refusal.reason) == (number, *reason))
                {
                    table.row([&host.policy.name, reason, &counter, frames, &refusal.what]);
                    counter.clear();
                }
            }
        }
        write_indented(f, &table)
    }

    /// Whose frames arrived where.
    fn write_arrivals(&self, f: &mut Formatter<'_>) -> fmt::Result {
        heading(f, "Every frame that reached a machine, by who sent it")?;
        let mut table = Table::new([
            ("sent by", Align::Left),
            ("to blue", Align::Right),
            ("to red", Align::Right),
            ("to green", Align::Right),
        ]);
        let tenants = ["blue", "red", "green"];
        let arrived = |origin: &Origin, tenant: &str| -> u64 {
            let of_tenant = |at: usize| self.machines[at].tenant == tenant;
            let arrivals = self.witness.arrived.iter();
            arrivals
                .filter(|((from, at), _)| from == origin && of_tenant(*at))
                .map(|(_, frames)| frames)
                .sum()
        };
        let mut row = |name: &str, origin: &Origin| {
            let [blue, red, green] = tenants.map(|tenant| arrived(origin, tenant));
            table.row([&name, &blue, &red, &green]);
        };
        for tenant in tenants {
            row(
                &format!("machines of {tenant}"),
                &Origin::Tenant(tenant.to_owned()),
            );
        }
        row("the host (ARP, ND, gateway)", &Origin::Host);
        row("the intruder", &Origin::Intruder);
        row("nobody known", &Origin::Unknown);
        write_indented(f, &table)
    }

    fn write_counters(&self, f: &mut Formatter<'_>) -> fmt::Result {
        heading(f, "What became of every frame that a host received")?;
        let mut table = Table::new([
            ("host", Align::Left),
            ("received", Align::Right),
            ("= delivered", Align::Right),
            ("+ transmitted", Align::Right),
            ("+ replied", Align::Right),
            ("+ punted", Align::Right),
            ("+ held", Align::Right),
            ("+ dropped", Align::Right),
        ]);
        for host in &self.hosts {
            let counted = &host.counted;
            table.row([
                &host.policy.name,
                &counted.received,
                &counted.delivered,
                &counted.transmitted,
                &counted.replied,
                &counted.punted,
                &counted.held,
                &counted.dropped,
            ]);
        }
        write_indented(f, &table)?;
        let wire = self
            .witness
            .wire
            .iter()
            .map(|(kind, frames)| on_wire(kind, *frames));
        let wire: Vec<String> = wire.collect();
        writeln!(f, "\n  On the wire: {}.", wire.join(", "))
    }
}

impl Report {
    /// How fast each way is, beside the first.
    fn write_throughput(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(fastest) = self.throughput.first() else {
            return Ok(());
        };
        heading(f, "Throughput of one TCP connection, measured in turn")?;
        let mut table = Table::new([
            ("way", Align::Left),
            ("Gbit/s", Align::Right),
            ("ratio", Align::Right),
        ]);
        for Throughput {
            way,
            bits_per_second,
        } in &self.throughput
        {
            let gigabits = format!("{:.2}", bits_per_second / 1e9);
            let ratio = format!("{:.2}", bits_per_second / fastest.bits_per_second);
            table.row([way, &gigabits, &ratio]);
        }
        write_indented(f, &table)?;
        writeln!(
            f,
            "\n  The switches do not use segmentation offload yet: each packet of 1500 bytes passes them by itself."
        )
    }
}

fn on_wire(kind: &OnWire, frames: u64) -> String {
    match kind {
        OnWire::Encapsulated(tenant) => format!("{tenant} {frames} NVGRE"),
        OnWire::Rewritten(tenant) => format!("{tenant} {frames} rewritten"),
        OnWire::Resolution => format!("hosts {frames} ARP"),
        OnWire::Intruder => format!("intruder {frames}"),
        OnWire::Unknown => format!("others {frames}"),
    }
}

/// The lookup records of a host, as its switch has them.
fn write_records(f: &mut Formatter<'_>, host: &HostReport) -> fmt::Result {
    let title = format!(
        "Lookup records of {}, policy version {}",
        host.policy.name, host.counted.policy_version
    );
    heading(f, &title)?;
    let mut table = Table::new([
        ("tenant", Align::Left),
        ("VSID", Align::Right),
        ("CA", Align::Left),
        ("MAC", Align::Left),
        ("machine", Align::Left),
        ("is on", Align::Left),
        ("PA", Align::Left),
        ("method", Align::Left),
        ("type", Align::Left),
    ]);
    let mut records = host.records.clone();
    records.sort_by_key(|record| {
        (
            record.vsid,
            record.kind.customer_address().map(|address| address.get()),
        )
    });
    for record in records {
        let tenant = host
            .policy
            .subnets
            .iter()
            .find(|subnet| subnet.vsid == record.vsid);
        let tenant = tenant
            .and_then(|subnet| host.policy.domain_name(subnet.domain))
            .unwrap_or("");
        let machine = host
            .policy
            .machines
            .iter()
            .find(|machine| machine.mac == record.mac);
        let machine = machine.map_or("", |machine| &machine.name);
        let is_on = match record.location {
            Location::Port(_) => "this host",
            Location::Host(number) => host.policy.host_name(number).unwrap_or("?"),
        };
        table.row([
            &tenant,
            &record.vsid,
            &customer_address(record.kind),
            &record.mac,
            &machine,
            &is_on,
            &provider_address(host, &record),
            &method_name(record.method),
            &kind_name(record.kind),
        ]);
    }
    write_indented(f, &table)
}

fn customer_address(kind: RecordKind) -> String {
    kind.customer_address()
        .map_or("any".to_owned(), |address| address.to_string())
}

/// Where packets for the record's machine go on the wire.
fn provider_address(host: &HostReport, record: &LookupRecord) -> String {
    match (record.method, record.location) {
        (
            Method::Rewrite {
                provider_address, ..
            },
            _,
        ) => provider_address.to_string(),
        (_, Location::Port(_)) => joined(host.own_addresses.iter()),
        (_, Location::Host(number)) => {
            let addresses = host.host_addresses.iter();
            joined(
                addresses
                    .filter(|(of, _)| *of == number)
                    .map(|(_, address)| address),
            )
        }
    }
}

fn joined<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    addresses
        .map(|address| address.to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

const fn method_name(method: Method) -> &'static str {
    match method {
        Method::Encapsulate => "NVGRE",
        Method::Rewrite { .. } => "rewrite",
        Method::Transition { .. } => "transition",
    }
}

const fn kind_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Static(_) => "static",
        RecordKind::Dynamic(_) => "dynamic",
        RecordKind::L2Only => "L2 only",
        RecordKind::GatewayWildcard => "gateway",
    }
}

fn heading(f: &mut Formatter<'_>, title: &str) -> fmt::Result {
    writeln!(f, "\n{title}\n{}", "═".repeat(title.chars().count()))
}

fn write_indented(f: &mut Formatter<'_>, text: &impl Display) -> fmt::Result {
    text.to_string()
        .lines()
        .try_for_each(|line| writeln!(f, "  {line}"))
}

fn write_acts(f: &mut Formatter<'_>, acts: &[ActReport]) -> fmt::Result {
    let width = |column: fn(&Finding) -> &str| {
        let findings = acts.iter().flat_map(|act| &act.findings);
        findings
            .map(|finding| column(finding).chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = (
        width(|finding| &finding.what),
        width(|finding| &finding.seen),
    );
    for act in acts {
        writeln!(f, "  {}", act.title)?;
        if act.held > 0 {
            let (held, asked) = (act.held, act.resolution);
            writeln!(
                f,
                "    · {held} frames waited until the hosts knew each other's MAC, by {asked} frames of ARP"
            )?;
        }
        write_findings(f, &act.findings, widths)?;
    }
    Ok(())
}

fn write_findings(
    f: &mut Formatter<'_>,
    findings: &[Finding],
    (what_width, seen_width): (usize, usize),
) -> fmt::Result {
    for Finding {
        held,
        what,
        expected,
        seen,
        wire,
    } in findings
    {
        if *held {
            let line = format!("    ✓ {what:<what_width$}  {seen:<seen_width$}  {wire}");
            writeln!(f, "{}", line.trim_end())?;
        } else {
            writeln!(f, "    ✗ {what}")?;
            writeln!(f, "      expected: {expected}")?;
            writeln!(f, "      seen:     {seen}")?;
        }
    }
    Ok(())
}

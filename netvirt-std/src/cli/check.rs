//! `netvirt check`

use std::io::Write;
use std::path::Path;

use netvirt_core::policy::Change;
use netvirt_core::table::Seed;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::{HostPolicy, PolicyFile, Summary};
use netvirt_std::report::{Align, Bytes, Table};

use super::{Failure, plural, policy};

/// Reports what is wrong with the file; else what it gives each host to do.
pub fn run(path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let file = policy::read(path)?;
    let mut hosts = Table::new([
        ("host", Align::Left),
        ("ports", Align::Right),
        ("records", Align::Right),
        ("other hosts", Align::Right),
        ("tables", Align::Right),
    ]);
    for name in file.host_names() {
        let host = host_policy(&file, name)?;
        let capacity = HostCapacity::for_changes(&host.changes);
        load(&host, &capacity).map_err(|why| Failure::Found(format!("{name}: {why}")))?;
        let tables: usize = capacity
            .bytes_of_tables()
            .iter()
            .map(|(_, size)| size)
            .sum();
        hosts.row([
            &name,
            &host.ports.len(),
            &count(&host, |change| matches!(change, Change::AddRecord(_))),
            &count(&host, |change| matches!(change, Change::AddHost(_))),
            &Bytes(2 * tables),
        ]);
    }
    writeln!(out, "{} is good: {}.", policy::name(path), contents(&file))?;
    if !hosts.is_empty() {
        write!(out, "\n{hosts}")?;
    }
    Ok(())
}

fn host_policy(file: &PolicyFile, name: &str) -> Result<HostPolicy, Failure> {
    let policy = file.for_host(name);
    policy.map_err(|unknown| Failure::Impossible(unknown.to_string()))
}

/// The core has the last word: its tables must take what the file gives the host.
fn load(host: &HostPolicy, capacity: &HostCapacity) -> Result<(), String> {
    let mut policies = capacity.policies(Seed::new(0, 0));
    let encoded = host.encode();
    let transaction = netvirt_core::policy::Transaction::new(&encoded);
    let applied = policies.apply(transaction);
    applied.map_err(|refused| refused.to_string())
}

fn count(host: &HostPolicy, wanted: impl Fn(&Change) -> bool) -> usize {
    host.changes.iter().filter(|change| wanted(change)).count()
}

fn contents(file: &PolicyFile) -> String {
    let Summary {
        physical_networks,
        hosts,
        routing_domains,
        subnets,
        machines,
        peerings,
    } = file.summary();
    let parts = [
        plural(physical_networks, "physical network"),
        plural(hosts, "host"),
        plural(routing_domains, "routing domain"),
        plural(subnets, "virtual subnet"),
        plural(machines, "virtual machine"),
        plural(peerings, "peering"),
    ];
    parts.join(", ")
}

//! Loads a policy of a million records through the public API and prints what it costs: time, and the bytes of
//! every table, per record and per process. Ends with an error if a record takes more than 80 bytes a copy.

#[path = "../network/mod.rs"]
mod network;

use std::process::ExitCode;
use std::time::Instant;

use netvirt_std::memory::HostCapacity;
use network::{Network, Reach};

const RECORDS: u32 = 1_000_000;
const MOST_BYTES_PER_RECORD: f64 = 80.0;

fn main() -> ExitCode {
    println!("A policy of {RECORDS} records on one host, two copies");
    let nvgre = report("NVGRE", Reach::Nvgre);
    let rewrite = report("rewrite", Reach::Rewrite);
    if nvgre.max(rewrite) <= MOST_BYTES_PER_RECORD {
        ExitCode::SUCCESS
    } else {
        println!("The record table takes more than {MOST_BYTES_PER_RECORD} bytes a record.");
        ExitCode::FAILURE
    }
}

/// Yields the bytes of the record table per record and copy.
fn report(name: &str, reach: Reach) -> f64 {
    let network = Network {
        records: RECORDS,
        reach,
    };
    let before = resident_bytes();
    let begun = Instant::now();
    let policies = network.load();
    let seconds = begun.elapsed().as_secs_f64();
    let resident = resident_bytes().saturating_sub(before);
    let changes = f64::from(RECORDS);
    println!("\n{name}, {} other hosts", network.hosts());
    println!(
        "  loaded in {seconds:.2} s, {:.0} ns a record for both copies; policy version {}",
        seconds * 1e9 / changes,
        policies.live().version()
    );
    println!(
        "  {:<36} {:>14} {:>16}",
        "table", "bytes a copy", "bytes a record"
    );
    let tables = network.capacity().bytes_of_tables();
    let per_record = |bytes: usize| bytes as f64 / changes;
    for (table, bytes) in &tables {
        println!("  {table:<36} {bytes:>14} {:>16.2}", per_record(*bytes));
    }
    let sum: usize = tables.iter().map(|(_, bytes)| bytes).sum();
    println!("  {:<36} {sum:>14} {:>16.2}", "one copy", per_record(sum));
    println!(
        "  {:<36} {:>14} {:>16.2}",
        "both copies",
        2 * sum,
        per_record(2 * sum)
    );
    println!(
        "  {:<36} {resident:>14} {:>16.2}",
        "resident, process",
        per_record(resident)
    );
    per_record(record_table(&network.capacity()))
}

fn record_table(capacity: &HostCapacity) -> usize {
    let tables = capacity.bytes_of_tables();
    let (_, bytes) = tables.first().expect("the record table comes first");
    *bytes
}

/// What the process has in memory, where the system tells.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kibibytes.unwrap_or(0) * 1024
}

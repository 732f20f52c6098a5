//! Sends numbered UDP datagrams at a steady rate between endpoints in network namespaces, and keeps the ledger: what
//! was lost, doubled, overtaken, or came where it does not belong.
//!
//! ```text
//! ledger --endpoint blue-1,blue,NAMESPACE,10.0.0.5 --endpoint blue-2,blue,NAMESPACE,10.0.0.7 --pair blue-1,blue-2
//! ```
//!
//! Once all sockets are open it prints `ready` and sends; the first phase, `start`, may lose, for neighbours have to be
//! found. It answers every line on standard input with a line that
//! begins with `ok` or `error`:
//!
//! | Command | |
//! |---|---|
//! | `mark NAME [may-lose]` | a phase begins; what is sent from now on belongs to it |
//! | `run ROUNDS` | answered when so many more datagrams of each flow were due |
//! | `pause FLOW`, `resume FLOW` | a flow (`blue-1>blue-2`), all flows that an endpoint sends, or `all` |
//! | `stop`, or end of file | ends it |
//!
//! At the end it waits for what is under way, prints one line a phase and ends with status 1 if anything was
//! misdelivered, corrupt or doubled, or was lost in a phase that may not lose.

mod book;
mod command;
mod datagram;
mod plan;
mod report;
mod run;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use plan::{Endpoint, Pair};

/// Sends numbered datagrams between network namespaces and says what became of them.
#[derive(Parser)]
struct Arguments {
    /// A place that sends and receives; NAMESPACE is a name or a path.
    #[arg(
        long = "endpoint",
        value_name = "NAME,TENANT,NAMESPACE,ADDRESS",
        required = true
    )]
    endpoints: Vec<Endpoint>,
    /// Two endpoints of one tenant that send to each other.
    #[arg(long = "pair", value_name = "NAME,NAME", required = true)]
    pairs: Vec<Pair>,
    /// An endpoint that sends to the address of another, where nothing of it may arrive.
    #[arg(long = "probe", value_name = "FROM,TO")]
    probes: Vec<Pair>,
    /// Datagrams a second of each flow.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Bytes of a datagram, without its headers.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(64..=9000))]
    size: u16,
    /// UDP port of all endpoints.
    #[arg(long, default_value_t = 5477)]
    port: u16,
    /// Stop by itself after this time; otherwise at the end of standard input.
    #[arg(long)]
    seconds: Option<u32>,
    /// How long to wait for what is under way, counted from the last arrival, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    drain: u64,
    /// One JSON object a phase.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match keep(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("ledger: {why}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went as it must.
fn keep(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let plan = plan::Plan::new(arguments)?;
    let book = run::Run::new(plan, arguments)?.finish(Duration::from_millis(arguments.drain))?;
    report::print(&book, arguments.json);
    Ok(book.phases().iter().all(book::Phase::is_good))
}

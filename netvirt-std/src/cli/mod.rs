//! The command line: what can be asked, and how the answer ends.

mod allocate;
mod apply;
mod check;
mod control;
mod decider;
mod demo;
mod import;
mod offload;
mod policy;
mod replay;
mod select_next_hop;
mod show;
mod signals;
mod switch;
mod top;
mod trace;
mod uplink;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use netvirt_std::replay::PortCapture;

use decider::DeciderArgs;
use offload::OffloadArgs;
use select_next_hop::SelectNextHopArgs;
use show::ShowArgs;
use top::TopArgs;

/// Lets many tenants share one physical network while each believes it owns it.
///
/// One policy file describes the whole virtual network: physical networks, hosts, routing domains with their
/// subnets, and virtual machines. Every command reads it; every host derives its own part from it.
#[derive(Parser)]
#[command(version, after_long_help = EXIT_STATUS)]
struct Cli {
    /// Without a command, the demo.
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  all is well
  1  something was found wrong
  2  the command could not be carried out: wrong options, or a file that cannot be read or written";

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong with a policy file, and where.
    ///
    /// Every error comes with its line and what to do about it. If there is none, shows what the file gives
    /// each host: ports for its own machines, lookup records for all machines that they can reach, and the
    /// memory that both copies of its tables take.
    #[command(after_long_help = "Example:\n  netvirt check examples/two-hosts.toml")]
    Check(PolicyArgs),
    /// Give the machines of rewrite subnets their provider addresses.
    ///
    /// Under IP rewrite each customer address is carried under a provider address of its own. They are taken
    /// from the pools of the physical networks and written into the file, once, so that all hosts agree on
    /// them. Nothing else in the file is touched, and running it again changes nothing.
    #[command(after_long_help = "Example:\n  netvirt allocate examples/three-tenants.toml")]
    Allocate(PolicyArgs),
    /// Run the switch of a host.
    ///
    /// Carries frames between the virtual machines of this host and the provider network, in the foreground, until SIGTERM
    /// or SIGINT. Prints `ready` when it does so: first it makes sure that nobody else has its provider addresses. The
    /// machines' TAPs stay when it ends, and a switch that is started again finds them. Its own provider addresses must
    /// not be configured on the uplink's interface.
    #[command(
        after_long_help = "Example:\n  netvirt switch --policy network.toml --host host-1 --capture wire.pcapng"
    )]
    Switch(SwitchArgs),
    /// Have running switches take a new version of the policy file.
    ///
    /// The difference to the version before becomes one transaction: packets see all of it at once, or, if anything is
    /// wrong with it, nothing. With --hosts all switches prepare it before the first one commits it; then they commit in
    /// the order given, so name the hosts first that receive what the others will send.
    #[command(after_long_help = "Examples:\n  netvirt apply network.toml\n  \
        netvirt apply --hosts /run/netvirt/host-2.sock /run/netvirt/host-1.sock network.toml")]
    Apply(ApplyArgs),
    /// Manage the NIC that does the datapath's work for a host.
    ///
    /// Both ends have the same secret key, and each proves it to the other: the NIC takes a policy from nobody else. If anything
    /// goes wrong, it keeps the policy that it had.
    #[command(
        after_long_help = "Examples:\n  openssl rand -hex 32 > nic.key; chmod 600 nic.key\n  \
        netvirt offload push --nic 192.0.2.250 --key-file nic.key --policy network.toml --host host-1\n  \
        netvirt offload diff --nic 192.0.2.250 --key-file nic.key --policy network.toml --host host-1\n  \
        netvirt offload show --nic 192.0.2.250 --key-file nic.key --json"
    )]
    Offload(OffloadArgs),
    /// Make a policy file out of a script of Hyper-V Network Virtualization.
    ///
    /// Follows a PowerShell script that is made of the cmdlets of NetWNV, such as New-NetVirtualizationLookupRecord, and
    /// of Set-VMNetworkAdapter -VirtualSubnetId, with literal values, variables and loops over lists; -CimSession and
    /// Invoke-Command say which host a command runs on. What is not understood, or cannot be said in a policy file, is
    /// told with its place and what to do about it, all of it at once; then no file is written. What no command states
    /// and had to be assumed is told as well, and marked in the file.
    #[command(
        after_long_help = "Example:\n  netvirt import examples/two-hosts.ps1 --output site.toml\n  netvirt check site.toml"
    )]
    Import(ImportArgs),
    /// Push captured frames through a host's switch, offline.
    ///
    /// The frames of all captures arrive in the order of their timestamps, and the switch does with them what it
    /// would do in the network: encapsulates, rewrites, delivers, answers, holds for a next hop, refuses. One line
    /// says what became of each frame; the counters come at the end. The same input gives the same output.
    #[command(
        after_long_help = "Example:\n  netvirt replay --policy examples/two-hosts.toml --host host-1 \\\n      \
        --in blue-1=blue.pcap --in uplink=wire.pcapng --capture out.pcapng"
    )]
    Replay(ReplayArgs),
    /// Explain what a host's switch decides about a frame, and why.
    ///
    /// Tells every step that the datapath takes, what it does to the frame, and, if it refuses it, what in the
    /// policy comes close to letting it pass.
    ///
    /// The decision is that of the datapath itself, under a policy file or under the live policy of a running switch, and
    /// no counter moves.
    #[command(
        after_long_help = "Examples:\n  netvirt trace --policy examples/two-hosts.toml --host host-1 \\\n      \
        --port blue-1 --in blue.pcap\n  netvirt trace --control /run/netvirt/host-1.sock --port uplink --in wire.pcap"
    )]
    Trace(TraceArgs),
    /// Say where packets between two customer addresses go next.
    ///
    /// A dry run: the datapath decides a packet as a machine of the host would send it, under a policy file or under the
    /// live policy of a running switch. Nothing is sent and no counter moves. Tells the next hop, that is the destination
    /// or the gateway on the way to it, the MAC addresses of the frame that it receives, its host, and how the packet
    /// crosses the provider network.
    #[command(
        after_long_help = "Examples:\n  netvirt select-next-hop --policy examples/two-hosts.toml --host host-1 \\\n      \
        --vsid 5001 --source 10.0.0.5 10.0.0.7\n  \
        netvirt select-next-hop --control /run/netvirt/host-1.sock --vsid 5001 10.0.0.7"
    )]
    SelectNextHop(SelectNextHopArgs),
    /// Show what a running switch knows and does.
    ///
    /// Asks the switch through its control socket. Every field that --json shows can be filtered on: FIELD=VALUE may be
    /// given several times, of different fields all must fit, of the same field any; FIELD= asks for those without a
    /// value.
    #[command(
        after_long_help = "Examples:\n  netvirt show ports\n  netvirt show records vsid=5001 vsid=6001 location=host-2\n  \
        netvirt show status --json --control /run/netvirt/host-1.sock"
    )]
    Show(ShowArgs),
    /// Watch how fast a running switch works.
    ///
    /// Shows what passes its ports, what is decided for each tenant, and what is refused and why, in a second. Keys: q
    /// ends, tab and 1 to 3 choose what is shown, s sorts by something else.
    #[command(
        after_long_help = "Examples:\n  netvirt top\n  netvirt top --control /run/netvirt/host-1.sock --interval 5 --once"
    )]
    Top(TopArgs),
    /// Show three tenants with the same addresses on two hosts, who never meet.
    ///
    /// Builds the network of examples/three-tenants.toml: a network namespace with the kernel's TCP/IP for every virtual
    /// machine, a running switch for every host. Lets the machines talk inside their tenants and try to reach others,
    /// says what flowed and what was refused, and measures throughput. Ends with 0 only if all went as it must, and leaves
    /// nothing behind but the capture. Needs no rights: who is not root gets a user namespace, and where the kernel
    /// permits neither, the network is in memory, its time simulated.
    Demo(DemoArgs),
}

#[derive(Args, Default)]
struct DemoArgs {
    /// Where to write the frames of the wire [default: netvirt-demo.pcapng in the directory for temporary files].
    #[arg(long, value_name = "FILE.pcapng")]
    capture: Option<PathBuf>,
    /// Have the whole network in memory, even if the kernel permits more.
    #[arg(long)]
    in_memory: bool,
}

/// The one file that describes the virtual network.
#[derive(Args)]
struct PolicyArgs {
    /// The policy file (TOML); `-` is standard input.
    file: PathBuf,
}

/// As many as there are virtual subnets: some gigabytes of tables.
const MOST_RECORDS: i64 = 1 << 24;

#[derive(Args)]
struct SwitchArgs {
    /// The policy file (TOML).
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The host whose switch it is.
    #[arg(long, value_name = "NAME")]
    host: String,
    /// Where it is controlled [default: /run/netvirt/NAME.sock].
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Write all frames that come in and leave to this file (pcapng).
    #[arg(long, value_name = "FILE.pcapng")]
    capture: Option<PathBuf>,
    /// How many lookup records there shall be room for, if the policy file has fewer.
    #[arg(long, value_name = "NUMBER", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(..=MOST_RECORDS))]
    records: u32,
    /// How many workers, each with a queue of every device.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// How long to ask whether somebody else has a provider address before it is used; 0 does not ask.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 300)]
    duplicate_detection: u64,
    /// Run the workers before all other programs (SCHED_RR), so that none of these delays frames.
    #[arg(long)]
    real_time: bool,
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: tracing::Level,
}

#[derive(Args)]
struct ApplyArgs {
    /// The policy file (TOML); `-` is standard input.
    #[arg(required_unless_present_any = ["commit", "abort", "hosts"])]
    file: Option<PathBuf>,
    /// The control socket of the switch [default: the only one in /run/netvirt].
    #[arg(long, value_name = "SOCKET", conflicts_with = "hosts")]
    control: Option<PathBuf>,
    /// Make the version ready, and let packets see nothing of it yet. Says the id that it is committed by.
    #[arg(long, conflicts_with_all = ["commit", "abort", "hosts"])]
    prepare: bool,
    /// Put in force what was prepared under this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "abort", "hosts"])]
    commit: Option<String>,
    /// Forget what was prepared under this id.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "hosts"])]
    abort: Option<String>,
    /// The control sockets of all switches that shall take it, in the order in which they commit; then the file.
    #[arg(long, value_name = "SOCKET", num_args = 1..)]
    hosts: Vec<PathBuf>,
}

impl ApplyArgs {
    /// The sockets and the file. A file behind `--hosts` is taken for one of the sockets at first.
    fn hosts_and_file(&self) -> Result<(&[PathBuf], Option<&Path>), Failure> {
        match (&self.file, &self.hosts[..]) {
            (Some(file), hosts) => Ok((hosts, Some(file))),
            (None, []) => Ok((&[], None)),
            (None, [hosts @ .., file]) if !hosts.is_empty() => Ok((hosts, Some(file))),
            (None, _) => Err(Failure::Impossible(
                "--hosts needs the sockets of the switches and then the policy file".into(),
            )),
        }
    }
}

#[derive(Args)]
struct ImportArgs {
    /// The script (PowerShell; UTF-8 or UTF-16).
    file: PathBuf,
    /// Where to write the policy file (TOML); it must not exist [default: standard output].
    #[arg(long, value_name = "FILE.toml")]
    output: Option<PathBuf>,
}

#[derive(Args)]
struct ReplayArgs {
    /// The policy file (TOML).
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The host whose switch it is.
    #[arg(long, value_name = "NAME")]
    host: String,
    /// A capture (pcap or pcapng) of what arrives at a port: a virtual machine's name or `uplink`, then the file.
    #[arg(long = "in", value_name = "PORT=FILE", required = true)]
    inputs: Vec<PortCapture>,
    /// Write what came in and what left, port by port, to this file (pcapng).
    #[arg(long, value_name = "OUT.pcapng")]
    capture: Option<PathBuf>,
    /// One JSON object a frame, then one with all counters.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct TraceArgs {
    #[command(flatten)]
    decider: DeciderArgs,
    /// Where the frame arrives: a virtual machine's name or `uplink`.
    #[arg(long, value_name = "PORT")]
    port: String,
    #[command(flatten)]
    frames: TracedFrames,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct TracedFrames {
    /// The frame in hexadecimal, from its Ethernet header on; spaces and colons may part the bytes.
    #[arg(long, value_name = "FRAME")]
    hex: Option<String>,
    /// A capture (pcap or pcapng); each of its frames is explained for itself.
    #[arg(long = "in", value_name = "FILE")]
    capture: Option<PathBuf>,
}

/// Carries out what the command line says.
pub fn run() -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let command = Cli::parse().command;
    let done = match command.unwrap_or(Command::Demo(DemoArgs::default())) {
        Command::Demo(args) => demo::run(&args, &mut out),
        Command::Check(PolicyArgs { file }) => check::run(&file, &mut out),
        Command::Allocate(PolicyArgs { file }) => allocate::run(&file, &mut out),
        Command::Import(args) => import::run(&args, &mut out),
        Command::Replay(args) => replay::run(&args, &mut out),
        Command::Switch(args) => switch::run(&args),
        Command::Apply(args) => apply::run(&args, &mut out),
        Command::Offload(args) => offload::run(&args, &mut out),
        Command::Trace(args) => trace::run(&args, &mut out),
        Command::SelectNextHop(args) => select_next_hop::run(&args, &mut out),
        Command::Show(args) => show::run(&args, &mut out),
        Command::Top(args) => top::run(&args, &mut out),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Why a command did not end well.
enum Failure {
    /// Something was found wrong.
    Found(String),
    /// The same, of something that was needed to carry out a command.
    BadInput(String),
    /// What was asked for could not be carried out.
    Impossible(String),
    /// Nobody takes the answer.
    Output(io::Error),
}

impl Failure {
    fn into_bad_input(self) -> Self {
        match self {
            Self::Found(message) => Self::BadInput(message),
            other => other,
        }
    }

    fn report(self) -> ExitCode {
        let (status, message) = match self {
            Self::Found(message) => (1, message),
            Self::BadInput(message) => (2, message),
            Self::Impossible(message) => (2, format!("error: {message}")),
            // Whoever reads only the first lines of the answer has what they want.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Output(error) => (2, format!("error: standard output: {error}")),
        };
        complain(&message);
        ExitCode::from(status)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Says something on standard error; if nobody listens there, so be it.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "{}", message.trim_end());
}

fn plural(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}

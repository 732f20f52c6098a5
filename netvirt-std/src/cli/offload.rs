//! `netvirt offload`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use netvirt_core::PortId;
use netvirt_std::control::{ClientError, PortView};
use netvirt_std::offload::{Client, NicReport, OffloadError, describe, read_key};
use netvirt_std::policy_file::{HostPolicy, Numbering};
use serde::Serialize;

use super::{Failure, control, plural, policy};

#[derive(Args)]
pub struct OffloadArgs {
    #[command(subcommand)]
    command: OffloadCommand,
}

#[derive(Subcommand)]
enum OffloadCommand {
    /// Give a NIC its host's part of the policy.
    ///
    /// The difference to what the NIC has becomes one transaction: frames meet all of it at once, or, if anything is wrong with
    /// it, the NIC keeps what it had.
    Push(WantedArgs),
    /// Show what a NIC has: policy, counters and the frames that it refused last.
    Show(NicArgs),
    /// Say in what a NIC differs from its host's part of the policy, without changing it. Ends with 1 if it does.
    Diff(WantedArgs),
}

#[derive(Args)]
struct NicArgs {
    /// The NIC's management address: a name or an IP address, and its port if that is not 34997.
    #[arg(long, value_name = "ADDRESS")]
    nic: String,
    /// The file with the NIC's key: 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// In JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct WantedArgs {
    #[command(flatten)]
    nic: NicArgs,
    /// The policy file (TOML).
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The host whose NIC it is.
    #[arg(long, value_name = "NAME")]
    host: String,
    /// The switch of this host, by whose numbers of ports the NIC has to go [default: /run/netvirt/NAME.sock, if a switch serves
    /// it].
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

/// Changes or shows what a NIC has.
pub fn run(args: &OffloadArgs, out: &mut impl Write) -> Result<(), Failure> {
    match &args.command {
        OffloadCommand::Push(args) => push(args, out),
        OffloadCommand::Show(args) => show(args, out),
        OffloadCommand::Diff(args) => diff(args, out),
    }
}

/// What `push` and `diff` say in JSON.
#[derive(Serialize)]
struct Difference {
    /// The version of the policy that the NIC has.
    version: u64,
    /// What was, or is to be, changed.
    changes: Vec<String>,
}

fn push(args: &WantedArgs, out: &mut impl Write) -> Result<(), Failure> {
    let host = wanted(args)?;
    let mut nic = connect(&args.nic)?;
    let present = nic.policy().map_err(failure)?;
    let changes = host.difference_for_nic(&present.changes);
    let version = match &changes[..] {
        [] => present.version,
        changes => nic.push(present.version, changes).map_err(failure)?,
    };
    if args.nic.json {
        return say(&changes, version, out);
    }
    match &changes[..] {
        [] => writeln!(out, "the NIC has this policy already, version {version}")?,
        changes => {
            let changes = plural(changes.len(), "change");
            writeln!(out, "version {version} is in force, {changes}")?;
        }
    }
    Ok(())
}

fn diff(args: &WantedArgs, out: &mut impl Write) -> Result<(), Failure> {
    let host = wanted(args)?;
    let present = connect(&args.nic)?.policy().map_err(failure)?;
    let changes = host.difference_for_nic(&present.changes);
    if args.nic.json {
        say(&changes, present.version, out)?;
    } else {
        for change in &changes {
            writeln!(out, "{}", describe(change))?;
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::Found(format!(
        "the NIC has another policy, version {}: {} to {}",
        present.version,
        plural(changes.len(), "change"),
        args.host
    )))
}

fn say(
    changes: &[netvirt_core::policy::Change],
    version: u64,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let changes = changes.iter().map(describe).collect();
    json(&Difference { version, changes }, out)
}

fn show(args: &NicArgs, out: &mut impl Write) -> Result<(), Failure> {
    let mut nic = connect(args)?;
    let policy = nic.policy().map_err(failure)?;
    let counts = nic.counters().map_err(failure)?;
    let last_drops = nic.last_drops().map_err(failure)?;
    let report = NicReport::new(&policy, &counts, &last_drops);
    match args.json {
        true => json(&report, out),
        false => Ok(write!(out, "{report}")?),
    }
}

fn json(shown: &impl Serialize, out: &mut impl Write) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, shown).map_err(|error| Failure::Output(error.into()))?;
    Ok(writeln!(out)?)
}

fn connect(args: &NicArgs) -> Result<Client, Failure> {
    let key = read_key(&args.key_file).map_err(|why| Failure::Impossible(why.to_string()))?;
    Client::connect(&args.nic, &key).map_err(failure)
}

/// The host's part of the file. Ports have the numbers by which the running switch knows them.
fn wanted(args: &WantedArgs) -> Result<HostPolicy, Failure> {
    let file = policy::read(&args.policy).map_err(Failure::into_bad_input)?;
    let numbering = numbering(args)?;
    let host = file.for_host_after(&args.host, &numbering);
    let host = host.map_err(|unknown| Failure::Impossible(unknown.to_string()))?;
    if host.nic.is_none() {
        super::complain(&format!(
            "warning: the file does not say that {} has a NIC: add `nic = {{ mac = \"…\" }}` to its uplink",
            args.host
        ));
    }
    Ok(host)
}

fn numbering(args: &WantedArgs) -> Result<Numbering, Failure> {
    let default = control::default_socket(&args.host);
    let socket: &Path = match &args.control {
        Some(socket) => socket,
        None if default.exists() => &default,
        None => return Ok(Numbering::default()),
    };
    let ports = match control::client(Some(socket))?.list::<PortView>(&[]) {
        Ok(ports) => ports.into_iter(),
        // A switch that was killed leaves its socket.
        Err(ClientError::NoSwitch { .. }) if args.control.is_none() => {
            return Ok(Numbering::default());
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Numbering::of_ports(
        ports.map(|port| (port.machine, PortId(port.number))),
    ))
}

/// A NIC that refuses has found something wrong; one that does not answer could not be asked.
fn failure(error: OffloadError) -> Failure {
    let message = error.to_string();
    match error {
        OffloadError::Refused { .. } | OffloadError::Moved { .. } => Failure::Found(message),
        _ => Failure::Impossible(message),
    }
}

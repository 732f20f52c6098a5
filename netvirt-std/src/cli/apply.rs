//! `netvirt apply`

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use netvirt_std::control::{Client, ClientError, Prepared};
use tokio::sync::watch;

use super::{ApplyArgs, Failure, control, plural, policy, signals};

/// Has running switches take a new version of the policy file.
pub fn run(args: &ApplyArgs, out: &mut impl Write) -> Result<(), Failure> {
    let (hosts, file) = args.hosts_and_file()?;
    if hosts.is_empty() {
        return apply_to_one(args, file, out);
    }
    see_that_all_differ(hosts)?;
    let file = file.ok_or_else(no_file)?;
    let (text, name) = checked(file)?;
    let clients: Vec<Client> = hosts
        .iter()
        .map(|socket| control::client(Some(socket)))
        .collect::<Result<_, _>>()?;
    apply_to_all(&clients, &text, &name, out)
}

fn no_file() -> Failure {
    Failure::Impossible("say which policy file is to be applied".into())
}

fn apply_to_one(
    args: &ApplyArgs,
    file: Option<&Path>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let client = control::client(args.control.as_deref())?;
    if let Some(id) = &args.commit {
        let taken = client.commit(id).map_err(refused)?;
        writeln!(out, "version {} is in force", taken.version)?;
    } else if let Some(id) = &args.abort {
        let aborted = client.abort(id).map_err(refused)?.aborted;
        let what = if aborted {
            "what was prepared is forgotten"
        } else {
            "nothing was prepared"
        };
        writeln!(out, "{what}")?;
    } else {
        let (text, name) = checked(file.ok_or_else(no_file)?)?;
        if args.prepare {
            let Prepared { version, id, .. } = client.prepare(text, &name).map_err(refused)?;
            writeln!(out, "version {version} is prepared: --commit {id}")?;
        } else {
            let taken = client.apply(text, &name).map_err(refused)?;
            writeln!(out, "version {} is in force", taken.version)?;
        }
    }
    Ok(())
}

/// The text of a policy file that is good in itself, and its name. The switch checks it again; here all that is wrong
/// is shown with the lines that it is in.
fn checked(path: &Path) -> Result<(String, String), Failure> {
    let text = policy::read_text(path)?;
    policy::parse(&text, path)?;
    Ok((text, policy::name(path)))
}

/// One switch cannot prepare twice.
fn see_that_all_differ(sockets: &[PathBuf]) -> Result<(), Failure> {
    let real = |socket: &PathBuf| fs::canonicalize(socket).unwrap_or_else(|_| socket.clone());
    let known: Vec<PathBuf> = sockets.iter().map(real).collect();
    match (1..known.len()).find(|number| known[..*number].contains(&known[*number])) {
        None => Ok(()),
        Some(number) => Err(Failure::Impossible(format!(
            "{} is given twice: name every switch once",
            sockets[number].display()
        ))),
    }
}

/// Prepares all, then commits all, in the order given: if one cannot prepare, or somebody interrupts, none changes.
fn apply_to_all(
    clients: &[Client],
    text: &str,
    name: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let stop = stop_when_told()?;
    let mut ids = Vec::new();
    // Whether anybody reads it or not: what was begun is brought to its end.
    let mut said = Ok(());
    for client in clients {
        let interrupted = told(stop.clone());
        match client.prepare_unless(text.to_owned(), name, interrupted) {
            Ok(prepared) => {
                said = said.and(say(out, client, prepared.version, "prepared"));
                ids.push(prepared.id);
            }
            Err(error) => {
                let why = of(client, &error);
                let left = abort(clients.iter().zip(&ids));
                let message = format!("{why}\nno host was changed{left}");
                return Err(failure(&error, message));
            }
        }
    }
    for (number, client) in clients.iter().enumerate() {
        match client.commit(&ids[number]) {
            Ok(taken) => said = said.and(say(out, client, taken.version, "in force")),
            Err(error) => {
                let left = abort(clients.iter().zip(&ids).skip(number + 1));
                let message = half_way(clients, number, &error) + &left + GO_ON;
                return Err(failure(&error, message));
            }
        }
    }
    said
}

const GO_ON: &str =
    "\napply the file again when the failed switch works, or the file before to go back";

/// From now on signals do not end the program: they say that no more switches are to prepare.
fn stop_when_told() -> Result<watch::Receiver<bool>, Failure> {
    let (tell, stop) = watch::channel(false);
    let listening = signals::listen(|mut signals| async move {
        signals.next().await;
        tell.send_replace(true);
        // Whoever commits is not to be interrupted: some hosts would have the version and some not.
        tell.closed().await;
    });
    listening
        .map_err(|error| Failure::Impossible(format!("signals cannot be received: {error}")))?;
    Ok(stop)
}

async fn told(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|told| *told).await;
}

fn say(out: &mut impl Write, client: &Client, version: u64, what: &str) -> Result<(), Failure> {
    let socket = client.socket().display();
    writeln!(out, "{socket}: version {version} is {what}")?;
    Ok(out.flush()?)
}

/// Has switches forget what they prepared. Yields what is to be said of those that did not answer.
fn abort<'a>(prepared: impl Iterator<Item = (&'a Client, &'a String)>) -> String {
    let failures: Vec<String> = prepared
        .filter_map(|(client, id)| Some(of(client, &client.abort(id).err()?)))
        .collect();
    if failures.is_empty() {
        String::new()
    } else {
        format!(
            ", but what is prepared could not be taken back here:\n{}",
            failures.join("\n")
        )
    }
}

/// Which hosts have the new version and which do not, after one that had prepared it failed to commit.
fn half_way(clients: &[Client], failed: usize, error: &ClientError) -> String {
    let list = |clients: &[Client]| {
        let names = clients
            .iter()
            .map(|client| client.socket().display().to_string());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut message = of(&clients[failed], error);
    if failed > 0 {
        message += &format!(
            "\n{} already: {}",
            plural(failed, "host has the new version").replace("hosts has", "hosts have"),
            list(&clients[..failed])
        );
    }
    let is_known = matches!(
        error,
        ClientError::Refused { .. } | ClientError::NoSwitch { .. }
    );
    let without = if is_known { failed } else { failed + 1 };
    if !is_known {
        let name = list(&clients[failed..without]);
        message += &format!("\nnot known, ask it by `netvirt show`: {name}");
    }
    if without < clients.len() {
        message += &format!("\nwithout it: {}", list(&clients[without..]));
    }
    message
}

fn of(client: &Client, error: &ClientError) -> String {
    format!("{}: {error}", client.socket().display())
}

fn refused(error: ClientError) -> Failure {
    let message = error.to_string();
    failure(&error, message)
}

/// A switch that refuses has found something wrong; one that does not answer could not be asked.
fn failure(error: &ClientError, message: String) -> Failure {
    match error {
        ClientError::Refused { .. } => Failure::Found(message),
        _ => Failure::Impossible(message),
    }
}

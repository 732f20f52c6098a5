//! `netvirt apply`

use std::io::Write;
use std::path::Path;

use netvirt_std::control::{Client, ClientError, Taken};

use super::{ApplyArgs, Failure, control, plural, policy};

/// Has running switches take a new version of the policy file.
pub fn run(args: &ApplyArgs, out: &mut impl Write) -> Result<(), Failure> {
    let (hosts, file) = args.hosts_and_file()?;
    if hosts.is_empty() {
        apply_to_one(args, file, out)
    } else {
        let file = file.ok_or_else(no_file)?;
        let (text, name) = checked(file)?;
        let clients: Vec<Client> = hosts
            .iter()
            .map(|socket| control::client(Some(socket)))
            .collect::<Result<_, _>>()?;
        apply_to_all(&clients, &text, &name, out)
    }
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
    if args.commit {
        let taken = client.commit().map_err(refused)?;
        writeln!(out, "version {} is in force", taken.version)?;
    } else if args.abort {
        let aborted = client.abort().map_err(refused)?.aborted;
        let what = if aborted {
            "what was prepared is forgotten"
        } else {
            "nothing was prepared"
        };
        writeln!(out, "{what}")?;
    } else {
        let (text, name) = checked(file.ok_or_else(no_file)?)?;
        if args.prepare {
            let taken = client.prepare(text, &name).map_err(refused)?;
            writeln!(out, "version {} is prepared", taken.version)?;
        } else {
            let taken = client.apply(text, &name).map_err(refused)?;
            writeln!(out, "version {} is in force", taken.version)?;
        }
    }
    Ok(())
}

/// The text of a policy file that is good in itself. The switch checks it again; here all that is wrong is shown with
/// the lines that it is in.
fn checked(path: &Path) -> Result<(String, String), Failure> {
    policy::read(path)?;
    Ok((policy::read_text(path)?, policy::name(path)))
}

/// Prepares all, then commits all, in the order given: if one cannot prepare, none changes.
fn apply_to_all(
    clients: &[Client],
    text: &str,
    name: &str,
    out: &mut impl Write,
) -> Result<(), Failure> {
    for (number, client) in clients.iter().enumerate() {
        match client.prepare(text.to_owned(), name) {
            Ok(taken) => say(out, client, &taken, "prepared")?,
            Err(error) => {
                let why = of(client, &error);
                let left = abort(&clients[..number]);
                return Err(Failure::Found(format!("{why}\nno host was changed{left}")));
            }
        }
    }
    for (number, client) in clients.iter().enumerate() {
        match client.commit() {
            Ok(taken) => say(out, client, &taken, "in force")?,
            Err(error) => {
                return Err(Failure::Found(half_way(clients, number, &error)));
            }
        }
    }
    Ok(())
}

fn say(out: &mut impl Write, client: &Client, taken: &Taken, what: &str) -> Result<(), Failure> {
    let socket = client.socket().display();
    Ok(writeln!(
        out,
        "{socket}: version {} is {what}",
        taken.version
    )?)
}

/// Has switches forget what they prepared. Yields what is to be said of those that did not answer.
fn abort(clients: &[Client]) -> String {
    let failures: Vec<String> = clients
        .iter()
        .filter_map(|client| Some(of(client, &client.abort().err()?)))
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
    let left = abort(&clients[failed + 1..]);
    let mut message = format!("{}\n", of(&clients[failed], error));
    if failed > 0 {
        message += &format!(
            "{} already: {}\n",
            plural(failed, "host has the new version").replace("hosts has", "hosts have"),
            list(&clients[..failed])
        );
    }
    message
        + &format!(
            "without it: {}{left}\napply the file again when the failed switch works, or the file before to go back",
            list(&clients[failed..])
        )
}

fn of(client: &Client, error: &ClientError) -> String {
    format!("{}: {error}", client.socket().display())
}

fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { problem, .. } => Failure::Found(problem.error),
        other => Failure::Impossible(other.to_string()),
    }
}

//! Finding the control socket of a switch.

use std::fs;
use std::path::{Path, PathBuf};

use netvirt_std::control::Client;

use super::Failure;

/// Where switches have their sockets if they are not told otherwise.
const DIRECTORY: &str = "/run/netvirt";

/// The socket of a host's switch.
pub fn default_socket(host: &str) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{host}.sock"))
}

/// A client of the switch at this socket; without it, of the only one that there is on this machine.
pub fn client(socket: Option<&Path>) -> Result<Client, Failure> {
    let socket = match socket {
        Some(socket) => socket.to_owned(),
        None => only_socket()?,
    };
    Client::new(&socket).map_err(|error| Failure::Impossible(error.to_string()))
}

fn only_socket() -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let mut sockets: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "sock")
        })
        .collect();
    sockets.sort();
    match &sockets[..] {
        [socket] => Ok(socket.clone()),
        [] => Err(Failure::Impossible(format!(
            "there is no socket of a switch in {DIRECTORY}: start `netvirt switch`, or say with --control which socket it \
             serves"
        ))),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|socket| socket.display().to_string())
                .collect();
            Err(Failure::Impossible(format!(
                "several switches run here: say which with --control: {}",
                names.join(", ")
            )))
        }
    }
}

//! Finding the control socket of a switch, and what its refusals come to.

use std::fs;
use std::path::{Path, PathBuf};

use netvirt_std::control::{Client, ClientError};

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
        None => only_socket(Path::new(DIRECTORY))?,
    };
    Client::new(&socket).map_err(|error| Failure::Impossible(error.to_string()))
}

fn only_socket(directory: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
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
            "there is no socket of a switch in {}: start `netvirt switch`, or say with --control which socket it serves",
            directory.display()
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

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Impossible(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        match only_socket(directory.path()) {
            Ok(path) => Ok(path.file_name().unwrap().to_str().unwrap().to_owned()),
            Err(Failure::Impossible(message)) => {
                Err(message.replace(directory.path().to_str().unwrap(), "DIRECTORY"))
            }
            Err(_) => panic!("another failure"),
        }
    }

    #[test]
    fn the_only_switch_need_not_be_named() {
        let chosen = chosen(&["host-1.sock", "notes.txt"]);
        assert_eq!(chosen, Ok("host-1.sock".to_owned()));
    }

    #[test]
    fn one_of_several_is_to_be_chosen() {
        let expected = "several switches run here: say which with --control: DIRECTORY/host-1.sock, DIRECTORY/host-2.sock";
        let chosen = chosen(&["host-2.sock", "host-1.sock"]);
        assert_eq!(chosen, Err(expected.to_owned()));
    }

    #[test]
    fn without_a_switch_one_is_to_be_started() {
        let message = chosen(&[]).unwrap_err();
        assert!(message.contains("start `netvirt switch`"), "{message}");
        let missing = only_socket(Path::new("no/such/directory"));
        assert!(matches!(missing, Err(Failure::Impossible(_))));
    }
}

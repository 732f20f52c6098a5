//! Finding the control socket of a switch, and what its refusals come to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use netvirt_std::control::{Client, ClientError};
use socket2::{Domain, SockAddr, Socket, Type};

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
        .filter(|path| !is_left_over(path))
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

/// Whether nobody listens any more, as when a switch was killed. Does not wait for one that is stopped.
fn is_left_over(socket: &Path) -> bool {
    let connect = || {
        let asking = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        asking.connect(&SockAddr::unix(socket)?)
    };
    connect().is_err_and(|error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Impossible(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Which one is chosen in a directory with sockets that are served, and others.
    fn chosen(served: &[&str], others: &[&str]) -> Result<String, String> {
        let directory = tempfile::tempdir().unwrap();
        let bind = |name: &&str| UnixListener::bind(directory.path().join(name)).unwrap();
        let _served: Vec<UnixListener> = served.iter().map(bind).collect();
        for name in others {
            drop(bind(name));
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
        let chosen = chosen(&["host-1.sock", "notes.txt"], &[]);
        assert_eq!(chosen, Ok("host-1.sock".to_owned()));
    }

    #[test]
    fn what_killed_switches_left_is_no_switch() {
        let chosen = chosen(&["host-2.sock"], &["host-1.sock", "host-3.sock"]);
        assert_eq!(chosen, Ok("host-2.sock".to_owned()));
    }

    #[test]
    fn one_of_several_is_to_be_chosen() {
        let expected = "several switches run here: say which with --control: DIRECTORY/host-1.sock, DIRECTORY/host-2.sock";
        let chosen = chosen(&["host-2.sock", "host-1.sock"], &["host-3.sock"]);
        assert_eq!(chosen, Err(expected.to_owned()));
    }

    #[test]
    fn without_a_switch_one_is_to_be_started() {
        for left_over in [&[][..], &["host-1.sock"]] {
            let message = chosen(&[], left_over).unwrap_err();
            assert!(message.contains("start `netvirt switch`"), "{message}");
        }
        let missing = only_socket(Path::new("no/such/directory"));
        assert!(matches!(missing, Err(Failure::Impossible(_))));
    }
}

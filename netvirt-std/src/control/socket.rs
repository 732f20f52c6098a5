//! The place of a switch's socket in the file system.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Only who owns the socket, and root, may change a network.
const MODE: u32 = 0o600;
/// `sun_path` without the zero behind it (`unix(7)`).
const LONGEST_PATH: usize = 107;

/// Why a switch cannot be controlled through a socket.
#[derive(Debug)]
pub enum SocketError {
    /// Another switch serves it.
    InUse(PathBuf),
    /// Nobody could connect to a path of this length.
    TooLong(PathBuf),
    /// Something that is no socket lies there.
    NoSocket(PathBuf),
    /// It cannot be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "another switch serves {}: stop it first", path.display())
            }
            Self::TooLong(path) => write!(
                f,
                "{} has {} bytes, and the path of a socket has {LONGEST_PATH} at most: choose a shorter one with --control",
                path.display(),
                path.as_os_str().len()
            ),
            Self::NoSocket(path) => write!(
                f,
                "{} is there and is no socket: choose another path with --control",
                path.display()
            ),
            Self::Io(path, error) => write!(
                f,
                "no socket can be made at {}: {error}; choose another path with --control",
                path.display()
            ),
        }
    }
}

impl std::error::Error for SocketError {}

/// A socket of this path that nobody else has and nobody serves yet: who connects waits. It goes when this goes.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) file: SocketFile,
}

impl ControlSocket {
    /// Makes a socket that listens, in place of one that nobody serves any more.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn claim(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(SocketError::TooLong(path.to_owned()));
        }
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(SocketError::NoSocket(path.to_owned()));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(SocketError::InUse(path.to_owned()));
            }
            _ => {}
        }
        let made = SocketFile::make(path);
        let (listener, file) = made.map_err(|error| SocketError::Io(path.to_owned(), error))?;
        Ok(Self { listener, file })
    }

    /// Removes it from the file system, for a program that ends at once.
    pub fn remover(&self) -> impl FnOnce() + Send + 'static {
        let file = self.file.clone();
        move || file.remove()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.file.remove();
    }
}

/// A socket's place in the file system.
#[derive(Debug, Clone)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Which file it is: another switch may have put its own there.
    inode: u64,
}

impl SocketFile {
    /// It is protected before it has its name, and takes its place in one step.
    fn make(path: &Path) -> io::Result<(UnixListener, Self)> {
        let directory = path.parent().filter(|parent| *parent != Path::new(""));
        let directory = directory.unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let made = tempfile::Builder::new().make_in(directory, |path| UnixListener::bind(path))?;
        fs::set_permissions(made.path(), Permissions::from_mode(MODE))?;
        let inode = fs::symlink_metadata(made.path())?.ino();
        let listener = made.persist(path)?;
        let file = Self {
            path: path.to_owned(),
            inode,
        };
        Ok((listener, file))
    }

    fn remove(&self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_socket_is_made_for_its_owner_alone_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/netvirt/host-1.sock");
        let socket = ControlSocket::claim(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_that_somebody_serves_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host-1.sock");
        let served = ControlSocket::claim(&path).unwrap();
        let error = ControlSocket::claim(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        assert!(error.to_string().contains("another switch serves"));
        UnixStream::connect(&path).unwrap();
        drop(served);
    }

    #[test]
    fn what_a_dead_switch_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host-1.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let socket = ControlSocket::claim(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        // And what took its place is not removed with it.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_path_that_nobody_could_connect_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let room = LONGEST_PATH - directory.path().as_os_str().len() - 1;
        let longest = directory.path().join("s".repeat(room));
        let socket = ControlSocket::claim(&longest).unwrap();
        UnixStream::connect(&longest).unwrap();
        drop(socket);
        let longer = directory.path().join("s".repeat(room + 1));
        let error = ControlSocket::claim(&longer).unwrap_err();
        assert!(error.to_string().contains("has 108 bytes"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host-1.sock");
        fs::write(&path, "precious").unwrap();
        let error = ControlSocket::claim(&path).unwrap_err();
        assert!(matches!(error, SocketError::NoSocket(_)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}

//! Network namespaces: where an interface lives.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io, panic, thread};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns add` puts the namespaces that it names.
const NAMED: &str = "/run/netns";

/// A network namespace: that of the caller, or another one, which it keeps alive.
#[derive(Debug, Clone)]
pub struct Namespace(Option<Arc<Foreign>>);

#[derive(Debug)]
struct Foreign {
    origin: Origin,
    file: OwnedFd,
}

#[derive(Debug)]
enum Origin {
    Name(String),
    Path(PathBuf),
    FileDescriptor,
}

impl Namespace {
    /// The namespace of whichever thread asks.
    pub const fn current() -> Self {
        Self(None)
    }

    /// The namespace that `ip netns add` made under this name; with a slash in it, the one at this path, such as
    /// `/proc/1234/ns/net`.
    ///
    /// # Errors
    /// There is none, or it may not be opened.
    pub fn open(name_or_path: &str) -> io::Result<Self> {
        let (origin, path) = if name_or_path.contains('/') {
            let path = PathBuf::from(name_or_path);
            (Origin::Path(path.clone()), path)
        } else {
            let path = Path::new(NAMED).join(name_or_path);
            (Origin::Name(name_or_path.to_owned()), path)
        };
        match File::open(path) {
            Ok(file) => Ok(Self::new(origin, file.into())),
            Err(error) => Err(io::Error::new(error.kind(), origin.opening_failed(&error))),
        }
    }

    /// The namespace that an open file stands for.
    pub fn from_fd(file: OwnedFd) -> Self {
        Self::new(Origin::FileDescriptor, file)
    }

    fn new(origin: Origin, file: OwnedFd) -> Self {
        Self(Some(Arc::new(Foreign { origin, file })))
    }

    /// Does some work inside the namespace. The thread that asks stays where it is: another one enters, and ends
    /// with the work. Sockets and TAPs that are opened inside belong to the namespace for good.
    ///
    /// # Errors
    /// The namespace cannot be entered; then nothing was done.
    ///
    /// # Panics
    /// If the work does.
    pub fn run_inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let Some(foreign) = &self.0 else {
            return Ok(work());
        };
        let entered_and_done = thread::scope(|scope| {
            let inside = || foreign.enter().map(|()| work());
            thread::Builder::new()
                .spawn_scoped(scope, inside)
                .map(|thread| thread.join())
        })?;
        entered_and_done.unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// What to type in front of `link` or `address` to mean this namespace.
    pub(super) fn ip(&self) -> String {
        match self.0.as_deref().map(|foreign| &foreign.origin) {
            None | Some(Origin::FileDescriptor) => "ip".to_owned(),
            Some(Origin::Name(name)) => format!("ip -n {name}"),
            Some(Origin::Path(path)) => format!("nsenter --net={} ip", path.display()),
        }
    }
}

impl Foreign {
    fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(
            |error| {
                let error = io::Error::from(error);
                io::Error::new(error.kind(), self.origin.entering_failed(&error))
            },
        )
    }
}

impl Origin {
    fn opening_failed(&self, error: &io::Error) -> String {
        match (self, error.kind()) {
            (Self::Name(name), io::ErrorKind::NotFound) => {
                format!("{self} does not exist; make it with `ip netns add {name}`")
            }
            (_, io::ErrorKind::NotFound) => format!("{self} does not exist"),
            _ => format!("{self} cannot be opened: {error}"),
        }
    }

    fn entering_failed(&self, error: &io::Error) -> String {
        match (self, error.kind()) {
            (_, io::ErrorKind::PermissionDenied) => {
                format!("{self} may not be entered; run as root, or with CAP_SYS_ADMIN")
            }
            // What is left at its place when the machine, or somebody, has unmounted it.
            (Self::Name(name), io::ErrorKind::InvalidInput) => format!(
                "{self} is a file without a namespace; make it anew with \
                 `ip netns delete {name}` and `ip netns add {name}`"
            ),
            (Self::Path(path), io::ErrorKind::InvalidInput) => {
                format!("{} is no network namespace", path.display())
            }
            _ => format!("{self} cannot be entered: {error}"),
        }
    }
}

/// As an error message names it.
impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("this network namespace"),
            Some(foreign) => foreign.origin.fmt(f),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "network namespace {name}"),
            Self::Path(path) => write!(f, "network namespace {}", path.display()),
            Self::FileDescriptor => f.write_str("the network namespace of a file descriptor"),
        }
    }
}

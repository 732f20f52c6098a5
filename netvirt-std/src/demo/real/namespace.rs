//! Network namespaces without names: each ends with the last process or interface that is in it.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::io::Errno;
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::device::namespace::Namespace;

/// A network namespace of the demo.
#[derive(Debug)]
pub struct Space {
    namespace: Namespace,
    file: OwnedFd,
}

/// Whether interfaces in a namespace have IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6 {
    /// They do not.
    Off,
    /// They have the addresses that they are given, make none of their own, and take no routes from routers.
    GivenAddresses,
}

impl Space {
    /// Makes a namespace.
    ///
    /// # Errors
    /// This is not permitted, or the kernel has no IPv6.
    pub fn new(ipv6: Ipv6) -> io::Result<Self> {
        let file = in_a_thread(|| {
            unshare(UnshareFlags::NEWNET, "a network namespace")?;
            set_up(ipv6)?;
            File::open("/proc/thread-self/ns/net")
        })?;
        let file = OwnedFd::from(file);
        Ok(Self {
            namespace: Namespace::from_fd(file.try_clone()?),
            file,
        })
    }

    /// Sets a parameter of the kernel's network.
    ///
    /// # Errors
    /// It is not permitted, or the kernel has no such parameter.
    pub fn set(&self, key: &str, value: &str) -> io::Result<()> {
        self.run_inside(|| set(key, value))?
    }

    /// A path by which other processes find it, as long as this one lives.
    pub fn path(&self) -> String {
        let process = std::process::id();
        format!("/proc/{process}/fd/{}", self.file.as_raw_fd())
    }
}

impl Deref for Space {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

impl AsFd for Space {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What leaves a thread in another namespace than the rest of the process is done in a thread of its own.
fn in_a_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        worker
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Makes interfaces send nothing that they were not told to send.
fn set_up(ipv6: Ipv6) -> io::Result<()> {
    match ipv6 {
        Ipv6::Off => match set("ipv6/conf/default/disable_ipv6", "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        },
        Ipv6::GivenAddresses => {
            const NO_LINK_LOCAL_ADDRESS: &str = "1";
            set("ipv6/conf/default/disable_ipv6", "0")?;
            set("ipv6/conf/default/accept_ra", "0")?;
            set("ipv6/conf/default/addr_gen_mode", NO_LINK_LOCAL_ADDRESS)
        }
    }
}

fn set(key: &str, value: &str) -> io::Result<()> {
    write(&format!("/proc/sys/net/{key}"), value)
}

/// Moves this process into a user namespace of its own, in which it may do to networks what root may.
///
/// # Errors
/// This is not permitted, or the process has more than one thread.
pub fn enter_user_namespace() -> io::Result<()> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(UnshareFlags::NEWUSER, "a user namespace")?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

fn write(path: &str, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

fn unshare(namespace: UnshareFlags, what: &str) -> io::Result<()> {
    // SAFETY: file descriptors stay shared, for `FILES` is not what any caller asks for.
    let unshared = unsafe { unshare_unsafe(namespace) };
    unshared.map_err(|error| {
        let why = match error {
            // What the kernel says where a limit is zero.
            Errno::NOSPC => "there may be no more of them (user.max_user_namespaces)".to_owned(),
            _ => io::Error::from(error).to_string(),
        };
        io::Error::new(error.kind(), format!("{what}: {why}"))
    })
}

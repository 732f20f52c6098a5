//! Network namespaces.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does `work` inside a network namespace, which is given by its name or its path. What `work` opens there stays
/// there; the caller does not move.
///
/// # Errors
/// There is no such namespace, it may not be entered, or `work` failed.
pub fn inside<T: Send>(
    namespace: &str,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let worker = || {
        enter(namespace)?;
        work()
    };
    thread::scope(|scope| scope.spawn(worker).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves the calling thread into a network namespace, which is given by its name or its path.
///
/// # Errors
/// There is no such namespace, or it may not be entered.
pub fn enter(namespace: &str) -> io::Result<()> {
    let path = if namespace.contains('/') {
        namespace.to_owned()
    } else {
        format!("/run/netns/{namespace}")
    };
    let opened = File::open(&path).map_err(|error| {
        io::Error::new(error.kind(), format!("network namespace {path}: {error}"))
    })?;
    move_into_link_name_space(opened.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

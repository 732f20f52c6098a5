//! TAP devices.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use crate::namespace;

/// Bytes of the virtio-net header.
const VNET_HEADER: libc::c_int = 12;

/// What passes between the kernel and the owner of a TAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// Frames as on a wire.
    Plain,
    /// A virtio-net header, then a frame whose checksum may be partial.
    PartialChecksums,
    /// The same, and TCP may be left to be segmented (TSO for IPv4 and IPv6).
    SuperFrames,
}

/// Makes the TAP `name` in a network namespace, or attaches to it. Reading does not wait. Whoever made it brings it up.
///
/// # Errors
/// The namespace or `/dev/net/tun` cannot be opened, or the kernel refuses the TAP.
pub fn open(namespace: &str, name: &str, frames: Frames) -> io::Result<File> {
    namespace::inside(namespace, || open_here(name, frames)).map_err(|error| {
        io::Error::new(error.kind(), format!("TAP {name} in {namespace}: {error}"))
    })
}

fn open_here(name: &str, frames: Frames) -> io::Result<File> {
    let tap = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    rustix::fs::fcntl_setfl(&tap, rustix::fs::OFlags::NONBLOCK)?;
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    let offloads = match frames {
        Frames::Plain => {
            attach(&tap, name, flags)?;
            return Ok(tap);
        }
        Frames::PartialChecksums => libc::TUN_F_CSUM,
        Frames::SuperFrames => libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6,
    };
    attach(&tap, name, flags | libc::IFF_VNET_HDR)?;
    take_over(&tap, offloads)?;
    Ok(tap)
}

fn attach(tap: &File, name: &str, flags: libc::c_int) -> io::Result<()> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: flags as libc::c_short,
        },
    };
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name of an interface has 15 bytes at most",
        ));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: TUNSETIFF reads and writes one `ifreq`, which is what the pointer leads to.
    succeeded(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

fn take_over(tap: &File, offloads: libc::c_uint) -> io::Result<()> {
    let length = VNET_HEADER;
    // SAFETY: TUNSETVNETHDRSZ reads one `int`, which is what the pointer leads to.
    succeeded(unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETVNETHDRSZ, &raw const length) })?;
    // SAFETY: TUNSETOFFLOAD takes a number and no pointer.
    succeeded(unsafe {
        libc::ioctl(
            tap.as_raw_fd(),
            libc::TUNSETOFFLOAD,
            libc::c_ulong::from(offloads),
        )
    })
}

fn succeeded(status: libc::c_int) -> io::Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! Datagrams received in batches, each with its sender and the time when the kernel got it.

use std::io;
use std::mem;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

/// Datagrams of one system call.
const BATCH: usize = 32;
/// Bytes of a datagram that are kept.
const LENGTH: usize = 9216;
/// Room for the one control message that is asked for, a `timespec`.
const CONTROL: usize = 64;

/// A received datagram.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'i> {
    /// What was sent.
    pub bytes: &'i [u8],
    /// Who sent it.
    pub source: SocketAddr,
    /// When the kernel received it, in nanoseconds since 1970; 0 if the socket was not told to [`stamp`] arrivals.
    pub arrival: u64,
}

/// Buffers for one batch of datagrams.
pub struct Inbox {
    slots: Box<[Slot; BATCH]>,
}

#[derive(Clone, Copy)]
struct Slot {
    bytes: [u8; LENGTH],
    source: libc::sockaddr_storage,
    control: Control,
    length: usize,
    control_length: usize,
}

#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

/// Lets the kernel note when each datagram of the socket arrived.
///
/// # Errors
/// The kernel refuses.
pub fn stamp(socket: &UdpSocket) -> io::Result<()> {
    set_option(socket, libc::SO_TIMESTAMPNS, 1)
}

/// Gives the socket room for so many bytes of datagrams that wait for the MAC address of their next hop. Without it,
/// one address that nobody answers for would keep back what goes to others.
///
/// # Errors
/// This is not permitted.
pub fn enlarge_send_buffer(socket: &UdpSocket, bytes: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::SO_SNDBUFFORCE, bytes)
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    let (socket, level) = (socket.as_raw_fd(), libc::SOL_SOCKET);
    // SAFETY: the option is an `int`, and the pointer leads to one of that length.
    match unsafe { libc::setsockopt(socket, level, option, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Default for Inbox {
    fn default() -> Self {
        // SAFETY: a slot has numbers and arrays of numbers only, for which zero is a value.
        let empty: Slot = unsafe { mem::zeroed() };
        Self {
            slots: Box::new([empty; BATCH]),
        }
    }
}

impl Inbox {
    /// Fetches what has arrived, at most one batch, without waiting.
    ///
    /// # Errors
    /// The socket cannot be read.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
    ) -> io::Result<impl ExactSizeIterator<Item = Datagram<'_>>> {
        let count = self.fill(socket)?;
        Ok(self.slots[..count].iter().map(Slot::datagram))
    }

    fn fill(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        // SAFETY: a `mmsghdr` has numbers and pointers only, for which zero is a value.
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut places = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        for ((message, place), slot) in messages
            .iter_mut()
            .zip(&mut places)
            .zip(self.slots.iter_mut())
        {
            *place = libc::iovec {
                iov_base: slot.bytes.as_mut_ptr().cast(),
                iov_len: LENGTH,
            };
            let header = &mut message.msg_hdr;
            header.msg_iov = place;
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut slot.source).cast();
            header.msg_namelen = size_of_val(&slot.source) as libc::socklen_t;
            header.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        // SAFETY: every message points at a place, name and control of the lengths it states, all of which live in
        // `places` and `self.slots` until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            return match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error => Err(error),
            };
        };
        for (slot, message) in self.slots.iter_mut().zip(&messages).take(count) {
            slot.length = message.msg_len as usize;
            slot.control_length = message.msg_hdr.msg_controllen;
        }
        Ok(count)
    }
}

impl Slot {
    fn datagram(&self) -> Datagram<'_> {
        Datagram {
            bytes: &self.bytes[..self.length],
            source: self.source(),
            arrival: self.arrival(),
        }
    }

    fn source(&self) -> SocketAddr {
        let place = &raw const self.source;
        if i32::from(self.source.ss_family) == libc::AF_INET {
            // SAFETY: `sockaddr_storage` has room and alignment for every address, and the family says which it is.
            let address = unsafe { *place.cast::<libc::sockaddr_in>() };
            (
                address.sin_addr.s_addr.to_ne_bytes(),
                u16::from_be(address.sin_port),
            )
                .into()
        } else {
            // SAFETY: as above; the sockets of a lab are of these two families.
            let address = unsafe { *place.cast::<libc::sockaddr_in6>() };
            (
                Ipv6Addr::from(address.sin6_addr.s6_addr),
                u16::from_be(address.sin6_port),
            )
                .into()
        }
    }

    /// The time of arrival: the one control message, a header of 16 bytes and a `timespec`.
    fn arrival(&self) -> u64 {
        // SAFETY: the length of a control message follows from that of its data alone.
        let data = unsafe { libc::CMSG_LEN(0) } as usize;
        let expected = data + size_of::<libc::timespec>();
        if self.control_length < expected {
            return 0;
        }
        // SAFETY: `control` is aligned as a `timespec` is, as is its offset in it, and a `timespec` fits behind it.
        let time = unsafe { *self.control.0.as_ptr().add(data).cast::<libc::timespec>() };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

//! Packet sockets, as far as Linux has words for them that Rust has not.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::{c_int, sockaddr_ll, socklen_t};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom, socket_with,
};
use socket2::{SockFilter, SockRef};

/// All protocols, in the byte order of the network.
pub(crate) const EVERY_PROTOCOL: u16 = (libc::ETH_P_ALL as u16).to_be();
/// Nothing is received.
pub(crate) const NO_PROTOCOL: u16 = 0;

/// A socket that is attached nowhere yet.
pub(crate) fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    Ok(socket)
}

/// Attaches a socket to an interface. From now on it receives frames of the protocol.
pub(crate) fn attach(socket: impl AsFd, protocol: u16, index: u32) -> io::Result<()> {
    let address = LinkAddress(sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol,
        sll_ifindex: index as c_int,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    });
    Ok(bind(socket, &address)?)
}

/// Takes the next frame: how many bytes of it fit, and where the kernel saw it.
pub(crate) fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<sockaddr_ll>)> {
    let (_, length, address) = recvfrom(socket, buffer, RecvFlags::empty())?;
    Ok((length, address.as_ref().and_then(link_address)))
}

fn link_address(address: &SocketAddrAny) -> Option<sockaddr_ll> {
    let is_whole = address.addr_len() as usize >= size_of::<sockaddr_ll>();
    let is_link = address.address_family() == AddressFamily::PACKET;
    (is_whole && is_link).then(|| {
        // SAFETY: so many bytes are there, and any are a value of its numbers.
        unsafe { address.as_ptr().cast::<sockaddr_ll>().read_unaligned() }
    })
}

struct LinkAddress(sockaddr_ll);

// SAFETY: the pointer is that of a whole `sockaddr_ll`, which is what packet sockets take.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let length = size_of::<sockaddr_ll>() as SocketAddrLen;
        f((&raw const self.0).cast(), length)
    }
}

/// Lets a socket take no frame, wherever it is attached, until [`take_everything`].
pub(crate) fn take_nothing(socket: impl AsFd) -> io::Result<()> {
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let length_to_take = 0;
    let filter = [SockFilter::new(RETURN, 0, 0, length_to_take)];
    SockRef::from(&socket).attach_filter(&filter)
}

/// Lets a socket take all frames again.
pub(crate) fn take_everything(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).detach_filter()
}

/// Sets an option of packet sockets.
pub(crate) fn set<T: Copy>(socket: impl AsFd, option: c_int, value: T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel reads no more than `length` bytes of the value.
    let status = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_PACKET,
            option,
            (&raw const value).cast(),
            length,
        )
    };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Frames that found the ring full since this was asked last.
pub(crate) fn take_drops(socket: impl AsFd) -> io::Result<u32> {
    let statistics: libc::tpacket_stats = get(socket, libc::PACKET_STATISTICS)?;
    Ok(statistics.tp_drops)
}

/// Lets sockets share what their interface receives: each frame goes to one of them, all of a flow to the same. The
/// first makes a group, whose number the others join.
pub(crate) fn share(socket: impl AsFd, group: Option<u16>) -> io::Result<u16> {
    // A group receives for its sockets, so that it needs to be told as well what to ignore.
    let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
    let request = match group {
        None => (mode | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16,
        Some(group) => mode << 16 | u32::from(group),
    };
    set(&socket, libc::PACKET_FANOUT, request)?;
    let joined: u32 = get(&socket, libc::PACKET_FANOUT)?;
    Ok(joined as u16)
}

/// An option made of numbers, for which any bytes are a value.
trait Numbers: Copy {}
impl Numbers for u32 {}
impl Numbers for libc::tpacket_stats {}

fn get<T: Numbers>(socket: impl AsFd, option: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as socklen_t;
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes no more than `length` bytes into the value.
    let status = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_PACKET,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match status {
        // SAFETY: zero, or whatever the kernel wrote over it, is a value of numbers.
        0 => Ok(unsafe { value.assume_init() }),
        _ => Err(io::Error::last_os_error()),
    }
}

//! What the kernel lets a bystander see: every frame that crosses the interfaces of a namespace.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{SendFlags, send};

use super::namespace::Space;
use crate::device::link::Interface;
use crate::device::packet::socket;

/// What may wait to be seen, in bytes with the kernel's own. An ordinary user gets less; machines send so little at
/// once that it suffices.
const ROOM: usize = 8 << 20;
const LARGEST_FRAME: usize = 1 << 16;

/// Sees the frames that cross the interfaces of a namespace.
pub struct Watch {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// A frame that was seen.
#[derive(Debug)]
pub struct Sighting<'w> {
    /// The number of the interface.
    pub interface: u32,
    /// Whether it left through the interface, rather than came in.
    pub is_leaving: bool,
    /// Its bytes. A transport checksum may be missing still.
    pub bytes: &'w [u8],
}

impl Watch {
    /// Sees every frame from now on, whatever interfaces the namespace has, or will have.
    ///
    /// # Errors
    /// It is not permitted.
    pub fn start(space: &Space) -> io::Result<Self> {
        const EVERY_INTERFACE: u32 = 0;
        let watching = space.run_inside(socket::open)??;
        // In a user namespace of its own, a process has what the system gives everybody.
        set_socket_recv_buffer_size_force(&watching, ROOM)
            .or_else(|_| set_socket_recv_buffer_size(&watching, ROOM))?;
        socket::attach(&watching, socket::EVERY_PROTOCOL, EVERY_INTERFACE)?;
        Ok(Self {
            socket: watching,
            buffer: vec![0; LARGEST_FRAME],
        })
    }

    /// The next frame that was seen, if there is one.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn next(&mut self) -> io::Result<Option<Sighting<'_>>> {
        let (length, address) = match socket::receive(&self.socket, &mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        };
        Ok(Some(Sighting {
            interface: address.map_or(0, |address| address.sll_ifindex as u32),
            is_leaving: address.is_some_and(|address| address.sll_pkttype == libc::PACKET_OUTGOING),
            bytes: &self.buffer[..length.min(LARGEST_FRAME)],
        }))
    }

    /// How many frames there was no room for since this was asked last.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn take_missed(&self) -> io::Result<u64> {
        Ok(socket::take_drops(&self.socket)?.into())
    }
}

/// Sends frames through an interface, past the TCP/IP stack.
pub struct Injector {
    socket: OwnedFd,
}

impl Injector {
    /// Gets ready to send.
    ///
    /// # Errors
    /// There is no such interface, or it is not permitted.
    pub fn open(space: &Space, interface: &str) -> io::Result<Self> {
        let index = Interface::open(interface, space)?.index();
        let sending = space.run_inside(socket::open)??;
        socket::attach(&sending, socket::NO_PROTOCOL, index)?;
        Ok(Self { socket: sending })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The interface does not take it.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(&self.socket, frame, SendFlags::empty())?;
        Ok(())
    }
}

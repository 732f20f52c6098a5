//! A virtual machine: a network namespace, and the kernel's TCP/IP in it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use smoltcp::wire::Icmpv4Packet;
use socket2::{Domain, Protocol, Socket, Type};

use super::links;
use super::namespace::{Ipv6, Space};
use super::site::NIC;
use crate::demo::cast::MachineConfig;
use crate::demo::network::{self, SERVER_PORT};

/// What a connection may have under way, in bytes with the kernel's own: so little that whoever watches misses nothing.
const SEND_BUFFER: usize = 32 << 10;
/// The largest ICMP message, its IP header included.
const LARGEST_MESSAGE: usize = 2048;

/// A running machine.
pub struct Machine {
    /// Where it runs.
    pub space: Space,
    servers: Vec<TcpListener>,
    accepted: Vec<TcpStream>,
    received: Vec<u8>,
    means: Means,
}

/// What it tries with.
enum Means {
    Nothing,
    Ping { socket: Socket, to: IpAddr },
    Send { stream: TcpStream, state: Sending },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    Finished,
    Over,
}

impl Machine {
    /// A machine that is still to get a network card.
    ///
    /// # Errors
    /// Namespaces are not permitted.
    pub fn new(config: &MachineConfig) -> io::Result<Self> {
        let has_ipv6 = config.addresses.iter().any(|(own, _)| own.is_ipv6());
        let ipv6 = if has_ipv6 {
            Ipv6::GivenAddresses
        } else {
            Ipv6::Off
        };
        Ok(Self {
            space: Space::new(ipv6)?,
            servers: Vec::new(),
            accepted: Vec::new(),
            received: Vec::new(),
            means: Means::Nothing,
        })
    }

    /// Gives its network card its addresses, and starts its server.
    ///
    /// # Errors
    /// It has no network card, or it is not permitted.
    pub fn set_up(&mut self, config: &MachineConfig) -> io::Result<()> {
        // Who gets no answer does not ask again while something else is tried.
        self.space
            .set(&format!("ipv4/neigh/{NIC}/mcast_solicit"), "1")?;
        for (address, subnet) in &config.addresses {
            links::add_address(&self.space, NIC, *address, *subnet)?;
            let place = SocketAddr::new(*address, SERVER_PORT);
            let server = self.space.run_inside(|| TcpListener::bind(place))??;
            server.set_nonblocking(true)?;
            self.servers.push(server);
        }
        Ok(())
    }

    /// Lets its server work. Says whether there was anything to do.
    ///
    /// # Errors
    /// The server cannot go on.
    pub fn serve(&mut self) -> io::Result<bool> {
        let mut moved = false;
        for server in &self.servers {
            while let Some((stream, _)) = unless_waiting(server.accept())? {
                stream.set_nonblocking(true)?;
                self.accepted.push(stream);
                moved = true;
            }
        }
        let received = &mut self.received;
        let before = (received.len(), self.accepted.len());
        self.accepted.retain_mut(|stream| take(stream, received));
        Ok(moved || before != (received.len(), self.accepted.len()))
    }
}

/// Takes what a connection has brought, and says whether there may be more.
fn take(stream: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    match stream.read_to_end(received) {
        Ok(_) => false,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

fn unless_waiting<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn domain_of(address: IpAddr) -> Domain {
    if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    }
}

impl network::Machine for Machine {
    fn open_ping(&mut self, _identifier: u16, to: IpAddr) -> io::Result<()> {
        let protocol = if to.is_ipv4() {
            Protocol::ICMPV4
        } else {
            Protocol::ICMPV6
        };
        let open = || Socket::new(domain_of(to), Type::RAW, Some(protocol));
        let socket = self.space.run_inside(open)??;
        socket.set_nonblocking(true)?;
        // What comes from anybody else is not for this socket.
        socket.connect(&SocketAddr::new(to, 0).into())?;
        self.means = Means::Ping { socket, to };
        Ok(())
    }

    fn send_icmp(&mut self, message: &[u8]) -> bool {
        let Means::Ping { socket, to } = &self.means else {
            return false;
        };
        let mut message = message.to_vec();
        if to.is_ipv4() {
            Icmpv4Packet::new_unchecked(&mut message).fill_checksum();
        }
        socket.send(&message).is_ok()
    }

    fn receive_icmp(&mut self) -> Option<(Vec<u8>, IpAddr)> {
        let Means::Ping { socket, to } = &mut self.means else {
            return None;
        };
        let mut packet = vec![0; LARGEST_MESSAGE];
        let length = socket.read(&mut packet).ok()?;
        packet.truncate(length);
        let header = if to.is_ipv4() {
            usize::from(packet.first()? & 0x0f) * 4
        } else {
            0
        };
        Some((packet.get(header..)?.to_vec(), *to))
    }

    fn connect(&mut self, local_port: u16, to: IpAddr) -> io::Result<()> {
        let open = || Socket::new(domain_of(to), Type::STREAM, Some(Protocol::TCP));
        let socket = self.space.run_inside(open)??;
        socket.set_nonblocking(true)?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let any: IpAddr = match to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.bind(&SocketAddr::new(any, local_port).into())?;
        match socket.connect(&SocketAddr::new(to, SERVER_PORT).into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            other => other?,
        }
        self.means = Means::Send {
            stream: socket.into(),
            state: Sending::Open,
        };
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let Means::Send { stream, state } = &mut self.means else {
            return 0;
        };
        match stream.write(bytes) {
            Ok(length) => length,
            Err(error) => {
                let is_waiting = matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                );
                if !is_waiting {
                    *state = Sending::Over;
                }
                0
            }
        }
    }

    fn finish_writing(&mut self) {
        if let Means::Send { stream, state } = &mut self.means
            && *state == Sending::Open
        {
            *state = match stream.shutdown(Shutdown::Write) {
                Ok(()) => Sending::Finished,
                Err(_) => Sending::Over,
            };
        }
    }

    fn is_over(&mut self) -> bool {
        let Means::Send { stream, state } = &mut self.means else {
            return true;
        };
        if *state == Sending::Finished && !take(stream, &mut Vec::new()) {
            *state = Sending::Over;
        }
        *state == Sending::Over
    }

    fn close(&mut self) {
        self.means = Means::Nothing;
    }

    fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    fn is_idle(&self) -> bool {
        self.accepted.is_empty()
    }
}

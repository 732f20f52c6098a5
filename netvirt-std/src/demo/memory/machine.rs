//! A virtual machine: a TCP/IP stack of its own behind a port of a host's switch.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::demo::cast::MachineConfig;
use crate::demo::network::{self, SERVER_PORT};

/// The largest Ethernet frame of a machine: an IP packet of 1,500 bytes.
const LONGEST_FRAME: usize = 1514;
/// What a TCP socket buffers in each direction.
const TCP_BUFFER: usize = 64 * 1024;
/// A running machine.
pub struct Machine {
    interface: Interface,
    nic: Nic,
    sockets: SocketSet<'static>,
    server: SocketHandle,
    /// What it tries with, and whom it tries to reach.
    attempt: Option<(SocketHandle, IpAddr)>,
    /// What its server received since it was last asked.
    received: Vec<u8>,
}

impl Machine {
    /// Starts a machine.
    pub fn start(config: &MachineConfig, seed: u64) -> Self {
        let mut nic = Nic::default();
        let hardware = HardwareAddress::Ethernet(EthernetAddress(config.mac.0));
        let mut settings = Config::new(hardware);
        settings.random_seed = seed;
        let mut interface = Interface::new(settings, &mut nic, Instant::ZERO);
        for (address, prefix) in &config.addresses {
            let cidr = IpCidr::new((*address).into(), prefix.length());
            interface.update_ip_addrs(|addresses| {
                let _ = addresses.push(cidr);
            });
            let routes = interface.routes_mut();
            let _ = match prefix.gateway() {
                Some(IpAddr::V4(gateway)) => routes.add_default_ipv4_route(gateway).err(),
                Some(IpAddr::V6(gateway)) => routes.add_default_ipv6_route(gateway).err(),
                None => None,
            };
        }
        let mut sockets = SocketSet::new(Vec::new());
        let server = sockets.add(tcp_socket());
        Self {
            interface,
            nic,
            sockets,
            server,
            attempt: None,
            received: Vec::new(),
        }
    }

    /// Hands it a frame.
    pub fn hand(&mut self, frame: Vec<u8>) {
        self.nic.to_machine.push_back(frame);
    }

    /// Lets it work, and takes what it sends.
    pub fn work(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.interface.poll(now, &mut self.nic, &mut self.sockets);
        self.serve();
        self.interface.poll(now, &mut self.nic, &mut self.sockets);
        self.nic.to_switch.drain(..).collect()
    }

    /// When it has to work next, if nothing arrives before.
    pub fn next_work(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }

    fn serve(&mut self) {
        let server = self.sockets.get_mut::<tcp::Socket<'_>>(self.server);
        if !server.is_open() {
            let _ = server.listen(SERVER_PORT);
        }
        while let Ok(length) = server.recv(|bytes| {
            self.received.extend_from_slice(bytes);
            (bytes.len(), bytes.len())
        }) {
            if length == 0 {
                break;
            }
        }
        if server.state() == tcp::State::CloseWait {
            server.close();
        }
    }

    fn connection(&mut self) -> Option<&mut tcp::Socket<'static>> {
        let (socket, _) = self.attempt?;
        Some(self.sockets.get_mut(socket))
    }
}

impl network::Machine for Machine {
    fn open_ping(&mut self, identifier: u16, to: IpAddr) -> io::Result<()> {
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 2048]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        let bound = socket.bind(icmp::Endpoint::Ident(identifier));
        bound.map_err(io::Error::other)?;
        self.attempt = Some((self.sockets.add(socket), to));
        Ok(())
    }

    fn send_icmp(&mut self, message: &[u8]) -> bool {
        let Some((socket, to)) = self.attempt else {
            return false;
        };
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(socket);
        socket.send_slice(message, to.into()).is_ok()
    }

    fn receive_icmp(&mut self) -> Option<(Vec<u8>, IpAddr)> {
        let (socket, _) = self.attempt?;
        let socket = self.sockets.get_mut::<icmp::Socket<'_>>(socket);
        let (bytes, from) = socket.recv().ok()?;
        Some((bytes.to_vec(), from.into()))
    }

    fn connect(&mut self, local_port: u16, to: IpAddr) -> io::Result<()> {
        let mut socket = tcp_socket();
        let remote = (IpAddress::from(to), SERVER_PORT);
        let begun = socket.connect(self.interface.context(), remote, local_port);
        begun.map_err(io::Error::other)?;
        self.attempt = Some((self.sockets.add(socket), to));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.connection()
            .map_or(0, |socket| socket.send_slice(bytes).unwrap_or(0))
    }

    fn finish_writing(&mut self) {
        if let Some(socket) = self.connection() {
            socket.close();
        }
    }

    fn is_over(&mut self) -> bool {
        self.connection().is_none_or(|socket| {
            matches!(socket.state(), tcp::State::Closed | tcp::State::TimeWait)
        })
    }

    fn close(&mut self) {
        if let Some((socket, _)) = self.attempt.take() {
            self.sockets.remove(socket);
        }
    }

    fn take_received(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }

    fn is_idle(&self) -> bool {
        let server = self.sockets.get::<tcp::Socket<'_>>(self.server);
        matches!(server.state(), tcp::State::Listen | tcp::State::Closed)
    }
}

fn tcp_socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; TCP_BUFFER]);
    tcp::Socket::new(buffer(), buffer())
}

/// The machine's network card: two queues.
#[derive(Debug, Default)]
struct Nic {
    to_machine: VecDeque<Vec<u8>>,
    to_switch: Vec<Vec<u8>>,
}

impl Device for Nic {
    type RxToken<'a> = Received;
    type TxToken<'a> = Free<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Free<'_>)> {
        let frame = self.to_machine.pop_front()?;
        Some((Received(frame), Free(&mut self.to_switch)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Free<'_>> {
        Some(Free(&mut self.to_switch))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities
    }
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Free<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Free<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let done = write(&mut frame);
        self.0.push(frame);
        done
    }
}

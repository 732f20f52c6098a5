//! A connection to a small device, from a machine with a TCP of its own.

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr, Ipv4Address};

use crate::device::{BLUE_2, INSIDE};
use crate::site::Site;
use crate::{Outcome, Random};

/// The port of the echo service (RFC 862).
const ECHO: u16 = 7;
/// Bytes of the longest frame, as if there were no tunnel: the device says how much it takes.
const LONGEST_FRAME: usize = 1514;
/// Time stands still on this side: on the cable nothing is lost that would have to be said again.
const NOW: Instant = Instant::ZERO;

/// So many bytes come back, and then the connection ends.
pub fn echoes(site: &mut Site, count: usize) -> Outcome {
    let bytes = Random(5).bytes(count);
    let mut nic = Nic { site, failed: None };
    let mut interface = interface(&mut nic);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    let target = (Ipv4Address::from(INSIDE.address), ECHO);
    socket.connect(interface.context(), target, 49152)?;
    let mut sockets = SocketSet::new(vec![]);
    let handle = sockets.add(socket);

    let (mut rest, mut received) = (&bytes[..], vec![]);
    loop {
        interface.poll(NOW, &mut nic, &mut sockets);
        nic.failed.take().map_or(Ok(()), Err)?;
        let socket = sockets.get_mut::<Socket<'_>>(handle);
        let is_more = socket.can_recv() || socket.can_send() && !rest.is_empty();
        if socket.can_send() {
            rest = &rest[socket.send_slice(rest)?..];
        }
        if socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes)))?;
        }
        if received.len() == count {
            socket.close();
        }
        match socket.state() {
            State::TimeWait => break,
            State::Closed => return Err("the device has ended the connection".into()),
            _ if is_more || nic.site.has_received() => {}
            _ => nic.site.hear()?,
        }
    }
    if received != bytes {
        return Err("other bytes have come back".into());
    }
    println!("  sends {count} bytes back by TCP");
    Ok(())
}

fn interface(nic: &mut Nic<'_>) -> Interface {
    let mac = EthernetAddress(BLUE_2.station.mac);
    let mut interface = Interface::new(Config::new(mac.into()), nic, NOW);
    let address = Ipv4Address::from(BLUE_2.station.address);
    interface.update_ip_addrs(|addresses| {
        // There is a place for one.
        let _ = addresses.push(IpCidr::new(address.into(), 24));
    });
    interface
}

fn buffer() -> SocketBuffer<'static> {
    SocketBuffer::new(vec![0; 16 << 10])
}

/// The network card of the machine.
struct Nic<'s> {
    site: &'s mut Site,
    /// Why a frame could not be sent.
    failed: Option<Box<dyn std::error::Error>>,
}

impl<'s> Device for Nic<'s> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a, 's>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sender<'_, 's>)> {
        let frame = self.site.try_receive()?;
        Some((Received(frame), Sender(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sender<'_, 's>> {
        Some(Sender(self))
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

struct Sender<'a, 's>(&'a mut Nic<'s>);

impl TxToken for Sender<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let written = write(&mut frame);
        if let Err(why) = self.0.site.send(BLUE_2.port, &frame) {
            self.0.failed = Some(why);
        }
        written
    }
}

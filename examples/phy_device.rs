//! A `smoltcp::phy::Device` that lives inside a virtual network.
//!
//! `blue-1` and `red-1` on one host each send a datagram to 10.0.0.7. On the other host two machines have that
//! address, Blue's and Red's, and each gets the one of its own tenant. The machines are smoltcp stacks; the two hosts
//! are joined by a wire in memory, and what crosses it is printed.
//!
//! ```text
//! cargo run --example phy_device
//! ```
//!
//! To put a stack of yours into a virtual network, copy [`VirtualNic`]: what the stack sends enters the switch at
//! the machine's port, what the switch hands to the port waits for the stack.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};

use netvirt_core::datapath::Ingress;
use netvirt_core::policy::Transaction;
use netvirt_core::table::Seed;
use netvirt_core::wire::{NvgrePacket, ethertype};
use netvirt_core::{PortId, UplinkId};
use netvirt_std::policy_file::{HostPolicy, PolicyFile, PortInfo};
use netvirt_std::switch::{Egress, Sent, Switch};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpCidr};

const UDP_PORT: u16 = 4242;

fn main() -> Result<(), Box<dyn Error>> {
    let text = include_str!("two-hosts.toml");
    let file = PolicyFile::parse(text, "two-hosts.toml").map_err(|errors| errors.to_string())?;
    let policies = [file.for_host("host-1")?, file.for_host("host-2")?];
    let [first, second] = policies.each_ref().map(Host::start);
    let wire = RefCell::new(Wire {
        hosts: [first?, second?],
    });

    let mut machines = Vec::new();
    for (host, policy) in policies.iter().enumerate() {
        for port in &policy.ports {
            machines.push(Machine::start(port, host, &wire));
        }
    }
    for machine in &mut machines {
        if machine.name.ends_with("-1") {
            let name = machine.name;
            machine.send(
                Ipv4Addr::new(10, 0, 0, 7).into(),
                &format!("{name} was here"),
            )?;
        }
    }
    for millisecond in 0..10 {
        let now = Instant::from_millis(millisecond);
        for machine in &mut machines {
            machine.work(now);
        }
    }
    Ok(())
}

/// The network card of a machine: a port of a host's switch.
struct VirtualNic<'w> {
    wire: &'w RefCell<Wire>,
    host: usize,
    port: PortId,
}

impl Device for VirtualNic<'_> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Received, Sender<'_>)> {
        let frame = self.wire.borrow_mut().hosts[self.host].take(self.port)?;
        Some((Received(frame), self.transmit(now)?))
    }

    fn transmit(&mut self, now: Instant) -> Option<Sender<'_>> {
        Some(Sender { nic: self, now })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // An IP packet of 1,500 bytes; the physical network has room for NVGRE around it.
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame for the stack.
struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// Takes a frame from the stack to the switch.
struct Sender<'a> {
    nic: &'a VirtualNic<'a>,
    now: Instant,
}

impl TxToken for Sender<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let written = write(&mut frame);
        let ingress = Ingress::Port(self.nic.port);
        let mut wire = self.nic.wire.borrow_mut();
        wire.carry(self.now, self.nic.host, ingress, &frame);
        written
    }
}

/// Two hosts, and the wire between their uplinks.
struct Wire {
    hosts: [Host; 2],
}

impl Wire {
    /// Hands a frame to a host's switch, and carries what leaves the switch to where it goes.
    fn carry(&mut self, now: Instant, host: usize, ingress: Ingress, frame: &[u8]) {
        let nanoseconds = now.total_micros().unsigned_abs() * 1000;
        let mut sent = Vec::new();
        let switch = &mut self.hosts[host].switch;
        let decision = switch.receive(nanoseconds, ingress, frame, &mut sent);
        if let Some(reason) = decision.reason {
            println!("{}  refused: {}", self.hosts[host].name, reason.name());
        }
        for Sent { egress, bytes, .. } in sent {
            match egress {
                Egress::Port(port) => self.hosts[host].hand(port, bytes),
                Egress::Uplink(_) => {
                    println!(
                        "{}  on the wire: {}",
                        self.hosts[host].name,
                        describe(&bytes)
                    );
                    self.carry(now, 1 - host, Ingress::Uplink(UplinkId(0)), &bytes);
                }
            }
        }
    }
}

fn describe(frame: &[u8]) -> String {
    let protocol = [frame[12], frame[13]];
    match u16::from_be_bytes(protocol) {
        ethertype::ARP => format!("{} bytes, ARP", frame.len()),
        _ => {
            let nvgre = NvgrePacket::new_unchecked(&frame[34..]);
            format!("{} bytes, NVGRE with VSID {}", frame.len(), nvgre.vsid())
        }
    }
}

/// A host's switch, and the frames that wait for its machines.
struct Host {
    name: String,
    switch: Switch,
    waiting: HashMap<PortId, VecDeque<Vec<u8>>>,
}

impl Host {
    /// Puts the host's policy in force. Nobody hears what it announces on the uplink: the other is not there yet.
    fn start(policy: &HostPolicy) -> Result<Self, Box<dyn Error>> {
        // Drawn at random where tenants are not to be trusted.
        let seed = Seed::new(0, 0);
        let mut switch = Switch::with_room_for(&policy.changes, seed);
        switch.apply(Transaction::new(&policy.encode()), &mut Vec::new())?;
        Ok(Self {
            name: policy.name.clone(),
            switch,
            waiting: HashMap::new(),
        })
    }

    fn hand(&mut self, port: PortId, frame: Vec<u8>) {
        self.waiting.entry(port).or_default().push_back(frame);
    }

    fn take(&mut self, port: PortId) -> Option<Vec<u8>> {
        self.waiting.get_mut(&port)?.pop_front()
    }
}

/// A virtual machine: a smoltcp stack with one UDP socket.
struct Machine<'w> {
    name: &'w str,
    nic: VirtualNic<'w>,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl<'w> Machine<'w> {
    fn start(port: &'w PortInfo, host: usize, wire: &'w RefCell<Wire>) -> Self {
        let mut nic = VirtualNic {
            wire,
            host,
            port: port.port,
        };
        let config = Config::new(EthernetAddress(port.mac.0).into());
        let mut interface = Interface::new(config, &mut nic, Instant::ZERO);
        let address = IpCidr::new(port.addresses[0].get().into(), 24);
        interface.update_ip_addrs(|list| list.push(address).expect("the list is still empty"));
        let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 4], vec![0; 1024]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.bind(UDP_PORT).expect("a new socket takes a port");
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Self {
            name: &port.name,
            nic,
            interface,
            sockets,
            socket,
        }
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn send(&mut self, to: IpAddr, text: &str) -> Result<(), Box<dyn Error>> {
        println!("{}  sends to {to}: {text:?}", self.name);
        Ok(self.socket().send_slice(text.as_bytes(), (to, UDP_PORT))?)
    }

    /// Lets the stack work, and prints what it received.
    fn work(&mut self, now: Instant) {
        self.interface.poll(now, &mut self.nic, &mut self.sockets);
        let name = self.name;
        while let Ok((text, from)) = self.socket().recv() {
            println!(
                "{name}  received from {from}: {:?}",
                String::from_utf8_lossy(text)
            );
        }
    }
}

//! Network interfaces of the kernel: looked up, watched and set up by rtnetlink, in any namespace.

use std::os::fd::{AsFd, BorrowedFd};
use std::{fmt, io, mem};

use netvirt_core::MacAddress;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::namespace::Namespace;

/// An interface, in its namespace. The kernel may rename or remove it at any time.
#[derive(Debug)]
pub struct Interface {
    name: String,
    index: u32,
    namespace: Namespace,
    netlink: Socket,
}

/// How an interface is, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its MAC address, if it is an Ethernet interface.
    pub mac: Option<MacAddress>,
    /// The largest packet, in bytes behind the Ethernet header.
    pub mtu: u32,
    /// Whether it is meant to work.
    pub is_up: bool,
    /// Whether somebody is at the other end.
    pub has_carrier: bool,
    /// The name of its driver's kind, such as `tun` or `veth`; none for hardware.
    pub kind: Option<String>,
    /// What went through it.
    pub counters: LinkCounters,
}

/// What went through an interface since it exists, as the kernel sees it: what a TAP transmits is what the switch
/// receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets that were broken when they arrived.
    pub rx_errors: u64,
    /// Received packets that the kernel had no room or no use for.
    pub rx_dropped: u64,
    /// Packets transmitted.
    pub tx_packets: u64,
    /// Bytes transmitted.
    pub tx_bytes: u64,
    /// Packets that broke when they were transmitted.
    pub tx_errors: u64,
    /// Packets that there was no room for. With a TAP, the switch was too slow to fetch these.
    pub tx_dropped: u64,
}

impl Interface {
    /// The interface of this name.
    ///
    /// # Errors
    /// There is none ([`io::ErrorKind::NotFound`]), or the namespace cannot be entered.
    pub fn open(name: &str, namespace: &Namespace) -> io::Result<Self> {
        check_name(name)?;
        let netlink = namespace.run_inside(connect)??;
        let mut interface = Self {
            name: name.to_owned(),
            index: 0,
            namespace: namespace.clone(),
            netlink,
        };
        let by_name = vec![LinkAttribute::IfName(name.to_owned())];
        interface.index = interface.get(by_name)?.header.index;
        Ok(interface)
    }

    /// Its name when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number by which its namespace knows it.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How it is now.
    ///
    /// # Errors
    /// It is gone ([`io::ErrorKind::NotFound`]).
    pub fn link(&mut self) -> io::Result<Link> {
        self.get(Vec::new()).map(Link::from)
    }

    /// Gives it a MAC address.
    ///
    /// # Errors
    /// Not permitted, or the address or the driver does not allow it.
    pub fn set_mac(&mut self, mac: MacAddress) -> io::Result<()> {
        let address = LinkAttribute::Address(mac.0.to_vec());
        self.set(LinkFlags::empty(), vec![address])
            .map_err(|error| {
                self.setting_failed(&format_args!("be given MAC address {mac}"), &error)
            })
    }

    /// Sets its MTU, in bytes behind the Ethernet header.
    ///
    /// # Errors
    /// Not permitted, or too small or too large for the driver.
    pub fn set_mtu(&mut self, mtu: u32) -> io::Result<()> {
        self.set(LinkFlags::empty(), vec![LinkAttribute::Mtu(mtu)])
            .map_err(|error| self.setting_failed(&format_args!("be given MTU {mtu}"), &error))
    }

    /// Lets it work.
    ///
    /// # Errors
    /// Not permitted, or the driver does not allow it.
    pub fn set_up(&mut self) -> io::Result<()> {
        self.set(LinkFlags::Up, Vec::new())
            .map_err(|error| self.setting_failed(&"be set up", &error))
    }

    fn get(&mut self, attributes: Vec<LinkAttribute>) -> io::Result<LinkMessage> {
        let request = RouteNetlinkMessage::GetLink(self.message(attributes));
        let reply = exchange(&self.netlink, request, NLM_F_REQUEST);
        match reply.map_err(|error| self.looking_failed(&error))? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            _ => Err(self.looking_failed(&io::ErrorKind::InvalidData.into())),
        }
    }

    fn set(&mut self, flags: LinkFlags, attributes: Vec<LinkAttribute>) -> io::Result<()> {
        let mut message = self.message(attributes);
        message.header.flags = flags;
        message.header.change_mask = flags;
        let request = RouteNetlinkMessage::SetLink(message);
        exchange(&self.netlink, request, NLM_F_REQUEST | NLM_F_ACK).map(drop)
    }

    fn message(&self, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index;
        message.attributes = attributes;
        message
    }

    /// A socket in the interface's namespace, which takes any request about interfaces.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }

    fn looking_failed(&self, error: &io::Error) -> io::Error {
        // A request by name says that there is no such device, one by number that there is none any more.
        let reason = match error.raw_os_error() {
            Some(libc::ENODEV | libc::ENXIO) => {
                let hint = format!("`{} link` lists what there is", self.namespace.ip());
                let message = format!("{self} does not exist; {hint}");
                return io::Error::new(io::ErrorKind::NotFound, message);
            }
            _ => format!("{self} cannot be looked up: {error}"),
        };
        io::Error::new(error.kind(), reason)
    }

    fn setting_failed(&self, what: &dyn fmt::Display, error: &io::Error) -> io::Error {
        let reason = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("{self} may not {what}; run as root, or with CAP_NET_ADMIN")
            }
            _ => format!("{self} cannot {what}: {error}"),
        };
        io::Error::new(error.kind(), reason)
    }
}

/// As an error message names it.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {} in {}", self.name, self.namespace)
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
        let mut link = Self {
            mac: None,
            mtu: 0,
            is_up: flags.contains(LinkFlags::Up),
            has_carrier: flags.contains(LinkFlags::LowerUp),
            kind: None,
            counters: LinkCounters::default(),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::Address(mac) if is_ethernet => {
                    link.mac = mac.try_into().map(MacAddress).ok();
                }
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Stats64(counters) => link.counters = counters.into(),
                LinkAttribute::LinkInfo(info) => link.kind = info.iter().find_map(kind_of),
                _ => {}
            }
        }
        link
    }
}

fn kind_of(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

impl From<Stats64> for LinkCounters {
    fn from(counters: Stats64) -> Self {
        Self {
            rx_packets: counters.rx_packets,
            rx_bytes: counters.rx_bytes,
            rx_errors: counters.rx_errors,
            rx_dropped: counters.rx_dropped,
            tx_packets: counters.tx_packets,
            tx_bytes: counters.tx_bytes,
            tx_errors: counters.tx_errors,
            tx_dropped: counters.tx_dropped,
        }
    }
}

/// Refuses what cannot name an interface, and what the kernel would fill in (`tap%d`).
fn check_name(name: &str) -> io::Result<()> {
    let is_name = (1..libc::IFNAMSIZ).contains(&name.len())
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte));
    if is_name {
        return Ok(());
    }
    let most = libc::IFNAMSIZ - 1;
    let message = format!(
        "{name:?} cannot name an interface: that takes 1 to {most} visible characters without '/', ':' and '%'"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// A request of the kind that ioctl takes about the interface of this name.
pub(super) fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    check_name(name)?;
    // SAFETY: the structure is made of numbers and a pointer, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    Ok(request)
}

fn connect() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// Sends one request; yields its answer, if there is another one than "done".
fn exchange(
    netlink: &Socket,
    request: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<Option<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::new(
        NetlinkHeader::default(),
        NetlinkPayload::InnerMessage(request),
    );
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    netlink.send(&bytes, 0)?;
    let (reply, _) = netlink.recv_from_full()?;
    let reply = NetlinkMessage::deserialize(&reply)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    match reply.payload {
        NetlinkPayload::InnerMessage(reply) => Ok(Some(reply)),
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(None),
    }
}

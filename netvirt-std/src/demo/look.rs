//! A second pair of eyes on frames: what they are, read without the datapath's own parser.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetFrame, EthernetProtocol, Icmpv4Message, Icmpv4Packet,
    Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// What a frame carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'f> {
    /// An ARP message: whether it is an answer, and whose address it tells or asks for.
    Arp { is_answer: bool, about: IpAddr },
    /// An IP packet.
    Ip {
        source: IpAddr,
        destination: IpAddr,
        protocol: IpProtocol,
        payload: &'f [u8],
    },
    /// Anything else.
    Other,
}

impl<'f> Content<'f> {
    /// What an Ethernet frame carries.
    pub fn of(frame: &'f [u8]) -> Self {
        Self::read(frame).unwrap_or(Self::Other)
    }

    fn read(frame: &'f [u8]) -> Option<Self> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let packet = ethernet.payload();
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                let arp = ArpPacket::new_checked(packet).ok()?;
                let is_answer = arp.operation() == ArpOperation::Reply;
                let about = if is_answer {
                    arp.source_protocol_addr()
                } else {
                    arp.target_protocol_addr()
                };
                Some(Self::Arp {
                    is_answer,
                    about: ipv4(about)?,
                })
            }
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(packet).ok()?;
                Some(Self::Ip {
                    source: packet.src_addr().into(),
                    destination: packet.dst_addr().into(),
                    protocol: packet.next_header(),
                    payload: packet.payload(),
                })
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(packet).ok()?;
                Some(Self::Ip {
                    source: packet.src_addr().into(),
                    destination: packet.dst_addr().into(),
                    protocol: packet.next_header(),
                    payload: packet.payload(),
                })
            }
            EthernetProtocol::Unknown(_) => None,
        }
    }

    /// The VSID of an NVGRE packet.
    pub fn vsid(&self) -> Option<u32> {
        match self {
            Self::Ip {
                protocol: GRE,
                payload: [0x20, 0, 0x65, 0x58, a, b, c, _, ..],
                ..
            } => Some(u32::from_be_bytes([0, *a, *b, *c])),
            _ => None,
        }
    }

    /// Whether it is a question or an answer about where an address is.
    pub fn is_address_resolution(&self) -> bool {
        matches!(self, Self::Arp { .. })
            || matches!(
                self.icmpv6(),
                Some(Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert)
            )
    }

    /// Whether a machine tells routers which multicast it wants to hear, as it does when it gets an IPv6 address.
    pub fn is_multicast_report(&self) -> bool {
        const MULTICAST_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
        matches!(self, Self::Ip { destination, .. } if *destination == MULTICAST_ROUTERS)
    }

    /// Whether it is of a kind that a host itself sends to machines: an answer about addresses or to an echo, or what the
    /// router says of itself.
    pub fn is_of_host(&self) -> bool {
        matches!(
            self,
            Self::Arp {
                is_answer: true,
                ..
            }
        ) || self.icmpv4() == Some(Icmpv4Message::EchoReply)
            || matches!(
                self.icmpv6(),
                Some(
                    Icmpv6Message::EchoReply
                        | Icmpv6Message::NeighborAdvert
                        | Icmpv6Message::RouterAdvert
                )
            )
    }

    fn icmpv4(&self) -> Option<Icmpv4Message> {
        match self {
            Self::Ip {
                protocol: IpProtocol::Icmp,
                payload,
                ..
            } => Some(Icmpv4Packet::new_checked(*payload).ok()?.msg_type()),
            _ => None,
        }
    }

    fn icmpv6(&self) -> Option<Icmpv6Message> {
        match self {
            Self::Ip {
                protocol: IpProtocol::Icmpv6,
                payload,
                ..
            } => Some(Icmpv6Packet::new_checked(*payload).ok()?.msg_type()),
            _ => None,
        }
    }
}

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arp {
                is_answer: false,
                about,
            } => write!(f, "ARP: who has {about}?"),
            Self::Arp {
                is_answer: true,
                about,
            } => write!(f, "ARP: {about} is here"),
            Self::Ip {
                source,
                destination,
                protocol,
                payload,
            } => {
                if let Some(vsid) = self.vsid() {
                    return write!(f, "NVGRE {vsid}: {source} → {destination}");
                }
                if self.is_multicast_report() {
                    return write!(f, "multicast report: {source} → {destination}");
                }
                let name = match (protocol, self.icmpv4(), self.icmpv6()) {
                    (_, Some(Icmpv4Message::EchoRequest), _) => "ping".to_owned(),
                    (_, _, Some(Icmpv6Message::EchoRequest)) => "ping".to_owned(),
                    (_, _, Some(Icmpv6Message::NeighborSolicit)) => {
                        "neighbour solicitation".to_owned()
                    }
                    (_, _, Some(message)) => format!("ICMPv6 {message}"),
                    (_, Some(message), _) => format!("ICMP {message}"),
                    _ => protocol.to_string(),
                };
                write!(f, "{name}: {source} → {destination}")?;
                match (protocol, TcpPacket::new_checked(*payload)) {
                    (IpProtocol::Tcp, Ok(segment)) => write!(f, ", port {}", segment.dst_port()),
                    _ => Ok(()),
                }
            }
            Self::Other => f.write_str("neither IP nor ARP"),
        }
    }
}

const GRE: IpProtocol = IpProtocol::Unknown(47);

/// What identifies a frame wherever it turns up: all that neither tunnel, nor rewrite, nor router may change, nor a
/// network card that completes the checksum of TCP.
pub fn fingerprint(frame: &[u8]) -> u64 {
    const TCP_CHECKSUM: usize = 16;
    let mut hasher = DefaultHasher::new();
    match Content::of(frame) {
        Content::Ip {
            protocol: IpProtocol::Tcp,
            payload,
            ..
        } => {
            hasher.write(payload.get(..TCP_CHECKSUM).unwrap_or_default());
            hasher.write(payload.get(TCP_CHECKSUM + 2..).unwrap_or_default());
        }
        Content::Ip { payload, .. } => hasher.write(payload),
        _ => hasher.write(frame.get(14..).unwrap_or_default()),
    }
    hasher.finish()
}

fn ipv4(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
}

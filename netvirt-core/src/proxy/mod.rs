//! Answers that the host gives for the network: who has an address, and that the gateway is there.

pub(crate) mod arp;
mod duplicate;
mod heard;
pub(crate) mod icmp;
pub(crate) mod listener;
pub(crate) mod ndp;
mod owned;
mod router;

use core::net::{IpAddr, Ipv6Addr};

use crate::address::{Family, MacAddress, VlanId};
use crate::datapath::{DropReason, Outcome, Sender};
use crate::edit::{Edit, Ethernet, NoRoom, Push};
use crate::policy::{Location, NextHop, Record};
use crate::wire::{
    ArpMessage, Facts, ListenerReport, NeighborAdvertisement, NeighborSolicitation,
    RouterAdvertisement, multicast_mac,
};

pub use icmp::{EchoReply, IcmpError};
pub use owned::Owned;

/// Bytes that every answer fits in but those that contain bytes of the question: an echo reply is as long as its request,
/// an ICMP error has at most 1,294 bytes.
pub const LONGEST_MESSAGE: usize = RouterAdvertisement::MAX_FRAME_LEN;

const _: () = assert!(LONGEST_MESSAGE >= ListenerReport::MAX_FRAME_LEN);

/// An answer, to be written and sent out of where the question came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// An ARP reply (RFC 826).
    Arp {
        /// The message.
        message: ArpMessage,
        /// The VLAN to answer in.
        vlan: Option<VlanId>,
    },
    /// A neighbour advertisement (RFC 4861 §4.4).
    NeighborAdvertisement {
        /// The message.
        message: NeighborAdvertisement,
        /// Who asked.
        asker: MacAddress,
        /// Who answers.
        source: MacAddress,
        /// The VLAN to answer in.
        vlan: Option<VlanId>,
    },
    /// A router advertisement (RFC 4861 §4.2).
    RouterAdvertisement {
        /// The message.
        message: RouterAdvertisement,
        /// Who asked.
        asker: MacAddress,
    },
    /// The gateway's answer to an echo request.
    Echo(EchoReply),
    /// The gateway says why a packet goes no further.
    Error(IcmpError),
}

impl Reply {
    /// Writes the answer to `frame`, as it was received, to the front of `out`. Yields the answer's length.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short, or if `frame` is not the whole frame that is answered. For an ICMP error the first
    /// 1,294 bytes of it are enough.
    pub fn emit(&self, frame: &[u8], out: &mut [u8]) -> Result<usize, NoRoom> {
        match self {
            Self::Arp { message, vlan } => message
                .emit(message.target_mac, message.sender_mac, *vlan, out)
                .ok_or(NoRoom),
            Self::NeighborAdvertisement {
                message,
                asker,
                source,
                vlan,
            } => message
                .emit(link_of(message.destination, *asker), *source, *vlan, out)
                .ok_or(NoRoom),
            Self::RouterAdvertisement { message, asker } => message
                .emit(link_of(message.destination, *asker), out)
                .ok_or(NoRoom),
            Self::Echo(echo) => echo.emit(frame, out),
            Self::Error(error) => error.emit(frame, out),
        }
    }
}

/// Where an answer to `asker` goes on the link.
fn link_of(destination: Ipv6Addr, asker: MacAddress) -> MacAddress {
    match destination.is_multicast() {
        true => multicast_mac(destination),
        false => asker,
    }
}

impl NextHop {
    /// Writes the question for this next hop's MAC address, an ARP request or a neighbour solicitation, to the
    /// front of `out`, which takes [`LONGEST_MESSAGE`] bytes. Yields the frame's length.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn solicitation(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        match (self.source, self.address) {
            (IpAddr::V4(source), IpAddr::V4(address)) => ArpMessage::request(
                self.source_mac,
                source,
                address,
            )
            .emit(MacAddress::BROADCAST, self.source_mac, self.vlan, out),
            (IpAddr::V6(source), IpAddr::V6(address)) => {
                let message = NeighborSolicitation::resolve(source, self.source_mac, address);
                message.emit(
                    multicast_mac(message.destination),
                    self.source_mac,
                    self.vlan,
                    out,
                )
            }
            _ => None,
        }
        .ok_or(NoRoom)
    }

    /// Writes the question whether this next hop is still at `mac`, for that machine alone (RFC 1122 §2.3.2.1, RFC 4861
    /// §7.3.3), to the front of `out`, which takes [`LONGEST_MESSAGE`] bytes. Yields the frame's length.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn poll(&self, mac: MacAddress, out: &mut [u8]) -> Result<usize, NoRoom> {
        match (self.source, self.address) {
            (IpAddr::V4(source), IpAddr::V4(address)) => ArpMessage::request(
                self.source_mac,
                source,
                address,
            )
            .emit(mac, self.source_mac, self.vlan, out),
            (IpAddr::V6(source), IpAddr::V6(address)) => NeighborSolicitation::confirm(
                source,
                self.source_mac,
                address,
            )
            .emit(mac, self.source_mac, self.vlan, out),
            _ => None,
        }
        .ok_or(NoRoom)
    }
}

/// What becomes of a message about `target` without an answer of the host: about the sender's own address it needs
/// no carrying, and one that is meant for a machine of this host goes on to it.
fn unanswered<'p>(
    sender: &Sender<'p>,
    target: Option<&'p Record>,
    facts: &Facts,
) -> Result<Option<Outcome<'p>>, DropReason> {
    let Some(target) = target else {
        return Ok(None);
    };
    if target.is_on_port(sender.port) {
        return Err(DropReason::OwnAddress);
    }
    let is_to_one = facts.destination.is_unicast();
    Ok(is_to_one.then(|| pass_on(sender, target, facts)).flatten())
}

/// Hands a question or answer between two machines of this host on as it is.
fn pass_on<'p>(sender: &Sender<'p>, record: &'p Record, facts: &Facts) -> Option<Outcome<'p>> {
    let Location::Port(port) = record.location() else {
        return None;
    };
    let push = Push::Ethernet(Ethernet {
        destination: &record.mac,
        source: &sender.entry.mac,
        ethertype: facts.ethertype,
    });
    let family = facts.family().unwrap_or(Family::Ipv4);
    let edit = Edit::front(facts, family, facts.network_offset, push);
    Some(Outcome::Deliver { port, edit })
}

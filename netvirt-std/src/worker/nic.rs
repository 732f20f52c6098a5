//! The link to an offload NIC: frames of machines are handed to it, and what it hands back is delivered, or decided here.

use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::offload::Offload;
use netvirt_core::policy::Port;
use netvirt_core::wire::Malformed;
use netvirt_core::{MacAddress, PortId, UplinkId, Vsid};
use netvirt_fw::header::{ETHERTYPE, Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use serde::{Deserialize, Serialize};

/// The link to an offload NIC.
#[derive(Debug, Clone, Copy)]
pub struct NicLink {
    /// The uplink that it is.
    pub uplink: UplinkId,
    addresses: LinkAddresses,
}

/// What passed between a switch and its offload NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NicCounters {
    /// Frames of machines that were handed to the NIC.
    pub handed_over: u64,
    /// Frames of machines that the link to the NIC did not take.
    pub handed_over_lost: u64,
    /// Frames that the NIC handed back for machines.
    pub delivered: u64,
    /// Of these, frames that the machine's device did not take.
    pub delivered_lost: u64,
    /// Frames that the NIC left to the switch to decide: as many as it counts as received.
    pub exceptions: u64,
    /// Frames for ports that have another virtual subnet or MAC address by this switch's policy: the NIC needs the same.
    pub misdirected: u64,
    /// Frames of the NIC that make no sense to this version.
    pub malformed: u64,
}

impl NicCounters {
    /// Adds what another worker counted.
    pub const fn merge(&mut self, other: &Self) {
        self.handed_over += other.handed_over;
        self.handed_over_lost += other.handed_over_lost;
        self.delivered += other.delivered;
        self.delivered_lost += other.delivered_lost;
        self.exceptions += other.exceptions;
        self.misdirected += other.misdirected;
        self.malformed += other.malformed;
    }

    /// The counters with their names for people.
    pub fn named(&self) -> Vec<(String, u64)> {
        let named = [
            ("handed over to it", self.handed_over),
            ("  of these lost", self.handed_over_lost),
            ("delivered by it", self.delivered),
            ("  of these lost", self.delivered_lost),
            ("left to this switch", self.exceptions),
            ("for another machine", self.misdirected),
            ("not understood", self.malformed),
        ];
        named
            .map(|(name, frames)| (name.to_owned(), frames))
            .to_vec()
    }
}

/// What a frame from the link is.
#[derive(Debug, Clone, Copy)]
pub(super) enum HandedBack<'f> {
    /// A frame for a machine, its work beside it, and the virtual subnet that the port has in the NIC.
    Delivered(PortId, Option<Vsid>, Frame<'f>),
    /// A frame that is to be decided here.
    Exception(Frame<'f>),
    /// No frame of the NIC's: the kernel's own business.
    Other,
}

impl NicLink {
    /// The link between these two.
    pub const fn new(uplink: UplinkId, nic: MacAddress, host: MacAddress) -> Self {
        Self {
            uplink,
            addresses: LinkAddresses {
                destination: nic,
                source: host,
            },
        }
    }

    /// The MAC address that the NIC's frames come from.
    pub(super) const fn nic(&self) -> MacAddress {
        self.addresses.destination
    }

    /// What stands in front of a machine's frame. The port is in this virtual subnet.
    pub(super) fn hand_over(
        &self,
        port: PortId,
        vsid: Option<Vsid>,
        offload: Offload,
    ) -> [u8; LINK_LEN] {
        self.front(&Repr {
            offload,
            vsid,
            ..Repr::new(Kind::Sent(port))
        })
    }

    /// What stands in front of a frame that was decided here.
    pub(super) fn decided(&self, offload: Offload) -> [u8; LINK_LEN] {
        self.front(&Repr {
            offload,
            ..Repr::new(Kind::Decided(self.uplink))
        })
    }

    fn front(&self, repr: &Repr) -> [u8; LINK_LEN] {
        let mut front = [0; LINK_LEN];
        self.addresses.emit(repr, &mut front);
        front
    }
}

/// Reads a frame that came from the link to this NIC.
pub(super) fn read(bytes: &[u8], nic: MacAddress) -> Result<HandedBack<'_>, Malformed> {
    let Some((ethernet, rest)) = bytes.split_first_chunk::<14>() else {
        return Ok(HandedBack::Other);
    };
    if ethernet[6..12] != nic.0 || ethernet[12..] != ETHERTYPE.to_be_bytes() {
        return Ok(HandedBack::Other);
    }
    let packet = Packet::new_checked(rest)?;
    let repr = Repr::parse(&packet)?;
    let window = &rest[repr.buffer_len()..];
    let frame = |ingress| Frame {
        offload: repr.offload,
        ..Frame::whole(ingress, window)
    };
    match repr.kind {
        Kind::Delivered(port) => {
            let frame = frame(Ingress::Port(port));
            Ok(HandedBack::Delivered(port, repr.vsid, frame))
        }
        Kind::Exception { ingress, .. } => Ok(HandedBack::Exception(frame(ingress))),
        Kind::Sent(_) | Kind::Decided(_) => Err(Malformed::Value),
    }
}

/// Whether a frame that the NIC has for a port is for the machine behind that port here. Both number ports by their own policies.
pub(super) fn is_for(own: &Port, vsid: Option<Vsid>, frame: &Frame<'_>) -> bool {
    let destination = frame.window.first_chunk().map(|bytes| MacAddress(*bytes));
    own.vsid == vsid && destination.is_some_and(|mac| mac == own.mac || !mac.is_unicast())
}

//! Duplicate address detection for the host's own provider addresses (RFC 5227, RFC 4862 §5.4).

use core::net::IpAddr;

use super::arp::check_vlan;
use crate::address::{AddressBits, Family, MacAddress, UplinkId};
use crate::datapath::Punt;
use crate::edit::NoRoom;
use crate::policy::{AddressState, HostAddress, Policy};
use crate::wire::{ArpMessage, Facts, NeighborSolicitation, multicast_mac};

impl HostAddress {
    /// Writes the question whether anybody else has this address, to be asked before it is used: an ARP probe
    /// (RFC 5227 §2.1.1) or a neighbour solicitation from the unspecified address (RFC 4862 §5.4.2). `out` takes
    /// [`LONGEST_MESSAGE`](super::LONGEST_MESSAGE) bytes. Yields the frame's length.
    ///
    /// Who has it, or asks for it too, becomes a [`Punt::AddressConflict`] as long as the address is in the policy.
    /// How often to ask and how long to wait is the caller's.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn probe(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        match self.address.get() {
            IpAddr::V4(address) => ArpMessage::probe(self.mac, address).emit(
                MacAddress::BROADCAST,
                self.mac,
                self.vlan,
                out,
            ),
            IpAddr::V6(address) => {
                let message = NeighborSolicitation::probe(address);
                message.emit(multicast_mac(message.destination), self.mac, self.vlan, out)
            }
        }
        .ok_or(NoRoom)
    }
}

/// What a message of the provider network shows about an address.
pub(super) struct Claim {
    pub address: IpAddr,
    /// Who uses it, or wants to.
    pub mac: MacAddress,
    /// It is not used yet: its claimant asks first.
    pub is_probe: bool,
}

impl Claim {
    /// The conflict, if the address is one of this host's own, in the network in which the message was heard, and
    /// another machine claims it. A probe is one only while this host asks too; later it is answered.
    ///
    /// The addresses of machines under rewrite are not looked at: they move with their machines, and the new host
    /// may be heard of here before the move is.
    pub fn conflict(&self, policy: &Policy<'_>, facts: &Facts, uplink: UplinkId) -> Option<Punt> {
        let bits = AddressBits::from_ip(self.address);
        let own = policy.own_address(Family::of(self.address), bits)?;
        let is_contested = match own.state {
            AddressState::Tentative => true,
            AddressState::Preferred | AddressState::Deprecated => !self.is_probe,
            AddressState::Duplicate => false,
        };
        let is_another = self.mac != own.mac && self.mac.is_unicast();
        let is_here = own.uplink == uplink && check_vlan(facts, own.vlan).is_ok();
        (is_contested && is_another && is_here).then_some(Punt::AddressConflict {
            uplink,
            address: own.address,
            mac: self.mac,
        })
    }
}

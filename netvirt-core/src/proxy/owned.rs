//! What this host answers for in the provider network.

use core::net::IpAddr;

use crate::address::{AddressBits, Family, MacAddress, UplinkId, VlanId};
use crate::edit::NoRoom;
use crate::policy::{HostAddress, Location, Policy, Record};
use crate::wire::{ArpMessage, NeighborAdvertisement, multicast_mac};

/// A provider address that this host answers for: one of its own, or that of a local machine to which rewritten
/// packets come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The address.
    pub address: IpAddr,
    /// The MAC address to tell.
    pub mac: MacAddress,
    /// Its VLAN.
    pub vlan: Option<VlanId>,
    /// Its uplink.
    pub uplink: UplinkId,
}

impl Owned {
    /// An address that lies in the network of one of this host's own provider addresses; none while that is not in use.
    pub fn under(address: IpAddr, own: &HostAddress) -> Option<Self> {
        own.state.receives().then_some(Self {
            address,
            mac: own.mac,
            vlan: own.vlan,
            uplink: own.uplink,
        })
    }

    /// Writes the announcement to be sent when the address appears on this host: a gratuitous ARP (RFC 5227 §2.3)
    /// or an unsolicited neighbour advertisement (RFC 4861 §7.2.6). `out` takes
    /// [`LONGEST_MESSAGE`](super::LONGEST_MESSAGE) bytes. Yields the frame's length.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn announcement(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        match self.address {
            IpAddr::V4(address) => ArpMessage::announcement(self.mac, address).emit(
                MacAddress::BROADCAST,
                self.mac,
                self.vlan,
                out,
            ),
            IpAddr::V6(address) => {
                let message = NeighborAdvertisement::announcement(address, self.mac, false);
                message.emit(multicast_mac(message.destination), self.mac, self.vlan, out)
            }
        }
        .ok_or(NoRoom)
    }
}

impl Policy<'_> {
    /// Everything that this host answers for in the provider network. What was not there before a change of
    /// policy is to be [announced](Owned::announcement).
    pub fn owned_addresses(&self) -> impl Iterator<Item = Owned> {
        let own = self
            .provider_addresses()
            .filter_map(|own| Owned::under(own.address.get(), own));
        own.chain(
            self.records()
                .iter()
                .filter_map(|(_, record)| self.owned_by(record)),
        )
    }

    /// What this host answers for under an address of the provider network.
    pub(super) fn owned(&self, address: IpAddr) -> Option<Owned> {
        let (family, bits) = (Family::of(address), AddressBits::from_ip(address));
        match self.own_address(family, bits) {
            Some(own) => Owned::under(address, own),
            None => self.owned_by(self.rewrite_record(family, bits)?),
        }
    }

    /// The provider address that this host answers for because of a record.
    fn owned_by(&self, record: &Record) -> Option<Owned> {
        let Location::Port(_) = record.location() else {
            return None;
        };
        Owned::under(record.provider_ip()?, self.provider_of(record)?)
    }
}

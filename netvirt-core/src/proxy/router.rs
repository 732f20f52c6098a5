//! The distributed router tells of itself: that it is there, which prefixes are on the link, and what fits on it.

use core::net::{IpAddr, Ipv6Addr};

use super::Reply;
use super::ndp::{ROUTER_LINK_LOCAL, is_own, refused};
use crate::address::{Family, PortId};
use crate::datapath::{DropReason, Frame, Outcome, Sender};
use crate::policy::{
    HostAddress, Policy, PortEntry, RouterAdvertisements, Settings, Subnet, tunnel_overhead,
};
use crate::wire::{
    ALL_NODES, Facts, PrefixInformation, RouterAdvertisement, RouterSolicitation,
    read_router_solicitation,
};

/// The hop limit that hosts should send with.
const HOP_LIMIT: u8 = 64;

/// The longest there is, 18 hours (RFC 8319 §4 allows it; RFC 4861 §6.2.1 ended at 9,000 seconds): the router never goes
/// away, because every host of the network is it.
const LIFETIME: u16 = u16::MAX;

/// Addresses are made of prefixes of this length only (RFC 4862 §5.5.3, RFC 2464 §4).
const AUTONOMOUS_LENGTH: u8 = 64;

impl Policy<'_> {
    /// What the machine of a port is to be told of its router without having asked (RFC 4861 §6.2.4); none if its subnet
    /// has no IPv6 prefix, or policy does not want it. It goes to [`multicast_mac`](crate::wire::multicast_mac) of its
    /// destination, out of this port alone. Machines ask for it when they start, and not again: it should be repeated
    /// well before its lifetime ends. `LONGEST_MESSAGE` bytes take the frame.
    pub fn router_advertisement(&self, port: PortId) -> Option<RouterAdvertisement> {
        advertisement(self, self.settings()?, self.port(port)?, ALL_NODES)
    }
}

pub(super) fn read(frame: &Frame<'_>, facts: &Facts) -> Result<RouterSolicitation, DropReason> {
    read_router_solicitation(frame.window, facts)
        .map_err(|malformed| refused(malformed, DropReason::Malformed))
}

pub(super) fn answer<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'p>,
    facts: &Facts,
    message: &RouterSolicitation,
) -> Result<Outcome<'p>, DropReason> {
    let tells_own_mac = message.source_mac.is_none_or(|mac| mac == sender.entry.mac);
    let has_own_source = message.source.is_unspecified() || is_own(policy, sender, message.source);
    if !tells_own_mac || !has_own_source {
        return Err(DropReason::NdSpoof);
    }
    // RFC 4861 §6.2.6.
    let destination = match message.source.is_unspecified() {
        true => ALL_NODES,
        false => message.source,
    };
    let message = advertisement(policy, sender.settings, sender.entry, destination)
        .ok_or(DropReason::NeighbourUnknown)?;
    Ok(Outcome::Reply(Reply::RouterAdvertisement {
        message,
        asker: facts.source,
    }))
}

fn advertisement(
    policy: &Policy<'_>,
    settings: &Settings,
    entry: &PortEntry,
    destination: Ipv6Addr,
) -> Option<RouterAdvertisement> {
    let is_autonomous = match settings.router_advertisements {
        RouterAdvertisements::Off => return None,
        RouterAdvertisements::OnLink => false,
        RouterAdvertisements::Autonomous => true,
    };
    // A port that is not virtualised is in no subnet.
    let subnet = policy
        .subnet(entry.subnet)
        .filter(|subnet| subnet.vsid == entry.vsid)?;
    let prefixes = policy.ipv6_prefixes(subnet).map(|prefix| {
        let (IpAddr::V6(address), length) = prefix?.into() else {
            return None;
        };
        Some(PrefixInformation {
            prefix: address,
            length,
            autonomous: is_autonomous && length == AUTONOMOUS_LENGTH,
        })
    });
    prefixes.iter().flatten().next()?;
    Some(RouterAdvertisement {
        source: ROUTER_LINK_LOCAL,
        destination,
        source_mac: settings.router_mac,
        hop_limit: HOP_LIMIT,
        // What comes to a gateway is on its way out: the default route must not lead back.
        lifetime: if entry.gateway { 0 } else { LIFETIME },
        mtu: link_mtu(policy, subnet),
        prefixes,
    })
}

/// What fits between any two machines of a subnet as far as this host knows: through a tunnel from any of its own provider
/// addresses, or plain if all of them are under rewrite. A narrower path, be it to another subnet, is told with an ICMP
/// error when it is met.
fn link_mtu(policy: &Policy<'_>, subnet: &Subnet) -> Option<u16> {
    let fitting = |own: &HostAddress| match subnet.is_rewritten() {
        true => own.mtu,
        false => own
            .mtu
            .saturating_sub(tunnel_overhead(Family::of(own.address.get()))),
    };
    policy.provider_addresses().map(fitting).min()
}

//! Neighbour discovery: answered from the records, for the gateway, and for the host's own provider
//! addresses.

use core::net::Ipv6Addr;

use super::arp::{check_vlan, is_gateway, record_of};
use super::duplicate::Claim;
use super::heard::is_neighbour;
use super::{Reply, pass_on, router, unanswered};
use crate::address::{MacAddress, UplinkId, VlanId};
use crate::datapath::{DropReason, Frame, Outcome, Punt, Sender};
use crate::policy::Policy;
use crate::wire::{
    Facts, Fragment, Malformed, NeighborAdvertisement, NeighborMessage, NeighborSolicitation,
    Network, icmp_kind, icmpv6, multicast_mac, protocol, read_neighbor_message,
};

/// The router's link-local address, the same in every subnet.
pub(super) const ROUTER_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Whether a packet is a neighbour discovery message (RFC 4861 §4). A later fragment starts with anything.
#[inline(always)]
pub(crate) fn is_neighbor_discovery(frame: &Frame<'_>, facts: &Facts) -> bool {
    facts.network == Network::Ipv6
        && icmp_kind(frame.window, facts)
            .is_some_and(|kind| (icmpv6::ROUTER_SOLICITATION..=icmpv6::REDIRECT).contains(&kind))
}

/// Whether a first fragment leaves the type of its ICMPv6 message to a later one, where nobody would look for it: it has to
/// have all headers (RFC 7112 §5).
#[inline(always)]
pub(crate) fn hides_its_type(facts: &Facts) -> bool {
    facts.fragment == Fragment::First
        && facts.protocol == protocol::ICMPV6
        && facts.transport_length() == 0
}

/// A neighbour discovery message of a virtual machine.
#[cold]
pub(crate) fn from_port<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'p>,
    frame: &Frame<'_>,
    facts: &Facts,
) -> Result<Outcome<'p>, DropReason> {
    match icmp_kind(frame.window, facts) {
        Some(icmpv6::ROUTER_ADVERTISEMENT | icmpv6::REDIRECT) => {
            return Err(DropReason::RouterGuard);
        }
        Some(icmpv6::ROUTER_SOLICITATION) => {
            let message = router::read(frame, facts)?;
            return router::answer(policy, sender, facts, &message);
        }
        _ => {}
    }
    match read(frame, facts, DropReason::Malformed)? {
        NeighborMessage::Solicitation(message) => {
            answer_solicitation(policy, sender, facts, &message)
        }
        NeighborMessage::Advertisement(message) => {
            carry_advertisement(policy, sender, facts, &message)
        }
    }
}

fn read(
    frame: &Frame<'_>,
    facts: &Facts,
    otherwise: DropReason,
) -> Result<NeighborMessage, DropReason> {
    read_neighbor_message(frame.window, facts).map_err(|malformed| refused(malformed, otherwise))
}

/// Why a message is not read.
pub(super) fn refused(malformed: Malformed, otherwise: DropReason) -> DropReason {
    match malformed {
        Malformed::Truncated => DropReason::Truncated,
        _ => otherwise,
    }
}

/// Whether an address is the sender's own: a record of its port, or link-local, which has none.
pub(super) fn is_own(policy: &Policy<'_>, sender: &Sender<'_>, address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() && address != ROUTER_LINK_LOCAL
        || record_of(policy, sender, address.into())
            .is_some_and(|record| record.is_on_port(sender.port))
}

fn answer_solicitation<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'p>,
    facts: &Facts,
    message: &NeighborSolicitation,
) -> Result<Outcome<'p>, DropReason> {
    let tells_own_mac = message.source_mac.is_none_or(|mac| mac == sender.entry.mac);
    if !tells_own_mac || !(message.is_probe() || is_own(policy, sender, message.source)) {
        return Err(DropReason::NdSpoof);
    }
    let target = record_of(policy, sender, message.target.into());
    if let Some(outcome) = unanswered(sender, target, facts)? {
        return Ok(outcome);
    }
    let is_gateway =
        || message.target == ROUTER_LINK_LOCAL || is_gateway(policy, sender, message.target.into());
    let (mac, is_router) = match target {
        Some(record) => (record.mac, false),
        None if is_gateway() => (sender.settings.router_mac, true),
        None => return Err(DropReason::NeighbourUnknown),
    };
    Ok(advertise(message, facts, mac, is_router, None))
}

fn advertise(
    message: &NeighborSolicitation,
    facts: &Facts,
    mac: MacAddress,
    is_router: bool,
    vlan: Option<VlanId>,
) -> Outcome<'static> {
    // Any address of ours may be the source (RFC 4861 §4.4), but smoltcp's guests learn the source, not the target.
    let message = message.reply(message.target, mac, is_router);
    Outcome::Reply(Reply::NeighborAdvertisement {
        message,
        asker: facts.source,
        source: mac,
        vlan,
    })
}

/// An advertisement tells of its sender's own address, and goes to one machine of this host.
fn carry_advertisement<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'p>,
    facts: &Facts,
    message: &NeighborAdvertisement,
) -> Result<Outcome<'p>, DropReason> {
    let tells_own_mac = message.target_mac.is_none_or(|mac| mac == sender.entry.mac);
    if !tells_own_mac
        || !is_own(policy, sender, message.target)
        || !is_own(policy, sender, message.source)
    {
        return Err(DropReason::NdSpoof);
    }
    if message.destination.is_multicast() {
        return Err(DropReason::OwnAddress);
    }
    let receiver = record_of(policy, sender, message.destination.into());
    receiver
        .and_then(|record| pass_on(sender, record, facts))
        .ok_or(DropReason::NeighbourUnknown)
}

/// A neighbour discovery message of the provider network.
#[cold]
pub(crate) fn from_uplink(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    uplink: UplinkId,
) -> Result<Outcome<'static>, DropReason> {
    if !matches!(
        icmp_kind(frame.window, facts),
        Some(icmpv6::NEIGHBOR_SOLICITATION | icmpv6::NEIGHBOR_ADVERTISEMENT)
    ) {
        return Ok(Outcome::Punt(Punt::HostStack));
    }
    let message = read(frame, facts, DropReason::OuterMalformed)?;
    let claim = claim(&message, facts);
    if let Some(conflict) = claim.and_then(|claim| claim.conflict(policy, facts, uplink)) {
        return Ok(Outcome::Punt(conflict));
    }
    match message {
        NeighborMessage::Solicitation(message) => {
            let Some(own) = policy
                .owned(message.target.into())
                .filter(|own| own.uplink == uplink)
            else {
                return Ok(Outcome::Punt(Punt::NotOurs));
            };
            let is_to_group = message.destination.is_multicast()
                && facts.destination == multicast_mac(message.destination);
            if !is_to_group && facts.destination != own.mac {
                return Err(DropReason::OuterDstMac);
            }
            check_vlan(facts, own.vlan)?;
            Ok(advertise(&message, facts, own.mac, false, own.vlan))
        }
        NeighborMessage::Advertisement(message) => {
            Ok(Outcome::Punt(told(policy, facts, uplink, &message)))
        }
    }
}

/// What an advertisement says to this host (RFC 4861 §7.2.5).
fn told(
    policy: &Policy<'_>,
    facts: &Facts,
    uplink: UplinkId,
    message: &NeighborAdvertisement,
) -> Punt {
    let address = message.target.into();
    if !is_neighbour(policy, facts, uplink, address) {
        return Punt::NotOurs;
    }
    match message.target_mac {
        Some(mac) if mac.is_unicast() => Punt::Neighbour {
            uplink,
            address,
            mac,
            overriding: message.overriding,
        },
        None if message.solicited => Punt::Reachable { uplink, address },
        _ => Punt::NotOurs,
    }
}

/// Whose address a message shows to be in use, or about to be (RFC 4862 §5.4.3 and §5.4.4).
fn claim(message: &NeighborMessage, facts: &Facts) -> Option<Claim> {
    match message {
        NeighborMessage::Solicitation(message) => message.is_probe().then_some(Claim {
            address: message.target.into(),
            mac: facts.source,
            is_probe: true,
        }),
        NeighborMessage::Advertisement(message) => Some(Claim {
            address: message.target.into(),
            mac: message.target_mac.unwrap_or(facts.source),
            is_probe: false,
        }),
    }
}

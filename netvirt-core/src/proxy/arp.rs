//! ARP: answered from the records, for the gateway, and for the host's own provider addresses.

use core::net::IpAddr;

use super::duplicate::Claim;
use super::heard::is_neighbour;
use super::{Reply, unanswered};
use crate::address::{CustomerAddress, UplinkId, VlanId};
use crate::datapath::{DropReason, Frame, Outcome, Punt, Sender};
use crate::policy::{Policy, Record};
use crate::table::Key;
use crate::wire::{ArpMessage, ArpOperation, Facts, Malformed, Tag};

/// An ARP message of a virtual machine. Broadcasts never leave the host.
#[cold]
pub(crate) fn from_port<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'p>,
    frame: &Frame<'_>,
    facts: &Facts,
) -> Result<Outcome<'p>, DropReason> {
    let message = read(frame, facts, DropReason::Malformed)?;
    check_sender(policy, sender, &message)?;
    let target = record_of(policy, sender, message.target_ip.into());
    if message.is_announcement() {
        return Err(DropReason::OwnAddress);
    }
    if let Some(outcome) = unanswered(sender, target, facts)? {
        return Ok(outcome);
    }
    if message.operation != ArpOperation::Request {
        return Err(DropReason::NeighbourUnknown);
    }
    let mac = match target {
        Some(record) => record.mac,
        None if is_gateway(policy, sender, message.target_ip.into()) => sender.settings.router_mac,
        None => return Err(DropReason::NeighbourUnknown),
    };
    Ok(Outcome::Reply(Reply::Arp {
        message: message.reply(mac),
        vlan: None,
    }))
}

fn read(frame: &Frame<'_>, facts: &Facts, otherwise: DropReason) -> Result<ArpMessage, DropReason> {
    let payload = frame
        .window
        .get(usize::from(facts.network_offset)..)
        .unwrap_or_default();
    ArpMessage::parse(payload).map_err(|malformed| match malformed {
        Malformed::Truncated => DropReason::Truncated,
        _ => otherwise,
    })
}

/// The sender must tell its own MAC address, and its own IP address or none.
fn check_sender(
    policy: &Policy<'_>,
    sender: &Sender<'_>,
    message: &ArpMessage,
) -> Result<(), DropReason> {
    let owns_address = message.sender_ip.is_unspecified()
        || record_of(policy, sender, message.sender_ip.into())
            .is_some_and(|record| record.is_on_port(sender.port));
    if message.sender_mac == sender.entry.mac && owns_address {
        Ok(())
    } else {
        Err(DropReason::ArpSpoof)
    }
}

/// The record of an address in the sender's subnet.
pub(super) fn record_of<'p>(
    policy: &'p Policy<'_>,
    sender: &Sender<'_>,
    address: IpAddr,
) -> Option<&'p Record> {
    policy.records().get(&Key::ip(sender.vsid, address))
}

/// Whether an address is the gateway of the sender's subnet.
pub(super) fn is_gateway(policy: &Policy<'_>, sender: &Sender<'_>, address: IpAddr) -> bool {
    let prefix = CustomerAddress::new(address)
        .ok()
        .and_then(|address| policy.prefix_of(sender.entry.subnet, address));
    prefix.and_then(|prefix| prefix.gateway()) == Some(address)
}

/// An ARP message of the provider network.
#[cold]
pub(crate) fn from_uplink(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    uplink: UplinkId,
) -> Result<Outcome<'static>, DropReason> {
    let message = read(frame, facts, DropReason::OuterMalformed)?;
    if let Some(conflict) = claim(&message).conflict(policy, facts, uplink) {
        return Ok(Outcome::Punt(conflict));
    }
    if message.operation == ArpOperation::Reply || message.is_announcement() {
        let (address, mac) = (message.sender_ip.into(), message.sender_mac);
        let is_believable = mac.is_unicast() && is_neighbour(policy, facts, uplink, address);
        let punt = if is_believable {
            Punt::Neighbour {
                uplink,
                address,
                mac,
                overriding: true,
            }
        } else {
            Punt::NotOurs
        };
        return Ok(Outcome::Punt(punt));
    }
    let Some(own) = policy
        .owned(message.target_ip.into())
        .filter(|own| own.uplink == uplink)
    else {
        return Ok(Outcome::Punt(Punt::NotOurs));
    };
    if facts.destination != own.mac && !facts.destination.is_broadcast() {
        return Err(DropReason::OuterDstMac);
    }
    check_vlan(facts, own.vlan)?;
    Ok(Outcome::Reply(Reply::Arp {
        message: message.reply(own.mac),
        vlan: own.vlan,
    }))
}

/// Whoever sends any message but a probe uses the address it sends from (RFC 5227 §2.4).
fn claim(message: &ArpMessage) -> Claim {
    let is_probe = message.is_probe();
    let address = match is_probe {
        true => message.target_ip,
        false => message.sender_ip,
    };
    Claim {
        address: address.into(),
        mac: message.sender_mac,
        is_probe,
    }
}

/// A question must come in the VLAN of the address that it is about.
pub(super) fn check_vlan(facts: &Facts, expected: Option<VlanId>) -> Result<(), DropReason> {
    let vlan = match facts.tag {
        Tag::None | Tag::Priority { .. } => None,
        Tag::Vlan { tci } => Some(tci & 0xfff),
        Tag::Stacked => return Err(DropReason::PaVlan),
    };
    if vlan == expected.map(VlanId::get) {
        Ok(())
    } else {
        Err(DropReason::PaVlan)
    }
}

//! What the wire may bring, against the rules of reception written down without tables.

use std::net::IpAddr;

use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::policy::Reception;
use netvirt_core::{MacAddress, PortId, UplinkId};

use crate::packet::{Changes, Gre, Ip, assert_carried};
use crate::site::*;
use crate::support::hosts::Fate;
use crate::support::network::*;
use crate::support::packets::ip;

/// Reception: delivered is what the rules allow, as they say, and nothing else.
///
/// The first byte chooses the variant of the network, the second cuts the window; a frame from the uplink follows.
pub fn inbound(data: &[u8]) {
    let [variant, cut, bytes @ ..] = data else {
        return;
    };
    with_site(*variant, |site| {
        let fate = site.host(1).take_from_uplink(bytes);
        match tunnelled(site, bytes).or_else(|| rewritten(site, bytes)) {
            Some(expected) => expected.check(&fate, bytes),
            None if is_told_by_a_router(site, bytes) => {}
            None => assert!(!matches!(fate, Fate::Delivered(..)), "{fate:?}"),
        }
        if let Fate::Transmitted(_, sent) = &fate {
            assert!(
                variant & 8 != 0,
                "nothing is sent on but after a machine that moved"
            );
            check_redirect(site, bytes, sent);
        }
        let window = &bytes[..bytes.len() - usize::from(*cut).min(bytes.len())];
        let lengths = [bytes.len(), window.len() / 2, usize::MAX];
        for length in lengths {
            site.host(1).endure(&Frame {
                window,
                length,
                ..Frame::whole(Ingress::Uplink(UplinkId(0)), bytes)
            });
        }
    });
}

/// What a frame may become.
struct Expected<'a> {
    port: u32,
    /// Whom it says it comes from.
    macs: (MacAddress, MacAddress),
    packet: Ip<'a>,
    changes: Changes,
    /// Nothing about it is such that a receiver may refuse it.
    is_plain: bool,
    /// More than its header has to be changed.
    quotes: bool,
}

impl Expected<'_> {
    fn check(&self, fate: &Fate, given: &[u8]) {
        let Fate::Delivered(port, frame) = fate else {
            assert!(!self.is_plain, "{fate:?} instead of delivered: {given:x?}");
            return;
        };
        assert_eq!(*port, PortId(self.port));
        assert_eq!(
            (&frame[..6], &frame[6..12]),
            (&self.macs.0.0[..], &self.macs.1.0[..])
        );
        assert_eq!(frame[12..14], [[8, 0], [0x86, 0xdd]][self.packet.version()]);
        if !self.quotes {
            assert_carried(&self.packet, &frame[14..], self.changes);
        }
    }
}

/// A frame in a tunnel for a machine of host 1 (RFC 7637, RFC 2784, RFC 6040).
fn tunnelled<'a>(site: &Site, frame: &'a [u8]) -> Option<Expected<'a>> {
    let (link, outer) = read(frame)?;
    let is_strict = site.network.settings.reception == Reception::Strict;
    let is_for_us = link.destination == host_mac(1)
        && site.is_on_vlan(&link)
        && site.host_of(outer.destination) == Some(1);
    if !is_for_us || outer.protocol != 47 || outer.is_fragment() || !outer.has_intact_header() {
        return None;
    }
    let gre = Gre::read(outer.transport())?;
    let is_acceptable = match is_strict {
        true => gre.flags == 0x2000 && !(outer.version() == 0 && outer.has_options),
        false => gre.is_intact,
    };
    let key = gre
        .key
        .filter(|_| is_acceptable && gre.protocol == 0x6558)?;
    let vsid = key >> 8;
    site.network.subnets.iter().find(|(own, ..)| *own == vsid)?;

    let (inner_link, inner) = read(gre.payload).filter(|(link, _)| link.tag.is_none())?;
    let receiver = site.network.machines.iter().find(|machine| {
        machine.host == 1
            && machine.vsid == vsid
            && machine.mac == inner_link.destination
            && owns(machine, inner.destination)
    })?;
    let sending_host = site.host_of(outer.source).filter(|host| *host != 1)?;
    is_believable(site, vsid, sending_host, &inner_link, &inner)?;
    let ecn = combined_ecn(inner.traffic_class, outer.traffic_class)?;
    inner.has_intact_header().then_some(Expected {
        port: receiver.port,
        macs: (inner_link.destination, inner_link.source),
        packet: inner,
        changes: Changes {
            traffic_class: inner.traffic_class & !3 | ecn,
            ..Changes::none(&inner)
        },
        is_plain: !outer.has_options && !inner.has_options,
        quotes: false,
    })
}

/// Whether somebody of this address and MAC address may send from that host into the subnet.
fn is_believable(site: &Site, vsid: u32, host: u32, link: &Link, packet: &Ip<'_>) -> Option<()> {
    let domain = site.network.domain_of(vsid);
    let (sender, mac) = match site.owner(domain, packet.source) {
        Some(sender) if sender.vsid == vsid => (sender, sender.mac),
        Some(sender) => (sender, ROUTER),
        None if site.is_inside(domain, packet.source) || !is_unicast(packet.source) => {
            return None;
        }
        None => {
            let gateway = site.gateway(domain)?;
            let is_near = gateway.vsid == vsid;
            (gateway, if is_near { gateway.mac } else { ROUTER })
        }
    };
    (mac == link.source && sender.host != 1 && site.lives_or_lived_on(sender, host)).then_some(())
}

/// Whether a single machine somewhere beyond a gateway may have this address.
pub fn is_unicast(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.octets()[0] >= 224,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local(),
    };
    !is_local && !address.is_unspecified() && !address.is_loopback()
}

/// The table of RFC 6040 §4.2.
pub fn combined_ecn(inner: u8, outer: u8) -> Option<u8> {
    const TABLE: [[Option<u8>; 4]; 4] = [
        [Some(0), Some(0), Some(0), None],
        [Some(1), Some(1), Some(1), Some(3)],
        [Some(2), Some(1), Some(2), Some(3)],
        [Some(3), Some(3), Some(3), Some(3)],
    ];
    TABLE[usize::from(inner & 3)][usize::from(outer & 3)]
}

/// A rewritten packet for a machine of host 1.
fn rewritten<'a>(site: &Site, frame: &'a [u8]) -> Option<Expected<'a>> {
    let (link, packet) = read(frame)?;
    if link.destination != host_mac(1) || !site.is_on_vlan(&link) || !packet.has_intact_header() {
        return None;
    }
    let receiver = site
        .provider_owner(packet.destination)
        .filter(|machine| machine.host == 1)?;
    let sender = site
        .provider_owner(packet.source)
        .filter(|machine| machine.host != 1)?;
    let domain_of = |machine: &Machine| site.network.domain_of(machine.vsid);
    if domain_of(sender) != domain_of(receiver) {
        return None;
    }
    let version = packet.version();
    let is_near = sender.vsid == receiver.vsid;
    Some(Expected {
        port: receiver.port,
        macs: (receiver.mac, if is_near { sender.mac } else { ROUTER }),
        packet,
        changes: Changes {
            source: ip(sender.addresses[version]),
            destination: ip(receiver.addresses[version]),
            ..Changes::none(&packet)
        },
        is_plain: is_plainly_rewritten(&packet),
        quotes: packet.has_more_addresses(),
    })
}

/// Whether somebody of the provider network, who need not have a record, says what became of a rewritten packet.
fn is_told_by_a_router(site: &Site, frame: &[u8]) -> bool {
    read(frame).is_some_and(|(_, packet)| {
        packet.has_more_addresses() && site.provider_owner(packet.destination).is_some()
    })
}

/// Whether rewriting the packet needs nothing but its header and its checksum.
pub fn is_plainly_rewritten(packet: &Ip<'_>) -> bool {
    !packet.has_options
        && !packet.is_fragment()
        && match packet.protocol {
            6 | 17 | 33 | 136 => packet.checksum_at().is_some(),
            1 | 58 => false,
            89 | 103 => packet.version() == 0,
            0 | 43 | 44 | 60 => packet.version() == 0,
            _ => true,
        }
}

/// A frame is sent after a machine that moved: the packet as it was, and the hop that this takes.
fn check_redirect(site: &Site, given: &[u8], sent: &[u8]) {
    let (_, before) = read(given).expect("a packet");
    let (link, after) = read(sent).expect("a packet");
    assert_eq!((link.destination, link.source), (host_mac(2), host_mac(1)));
    assert!(site.is_on_vlan(&link) && after.has_intact_header());
    assert_eq!(site.host_of(after.source), Some(1));
    assert_eq!(site.host_of(after.destination), Some(2));
    assert_eq!(after.hop_limit, before.hop_limit - 1);
    assert_eq!(after.traffic_class, before.traffic_class, "marks are kept");
    let (before, after) = (
        Gre::read(before.transport()).unwrap(),
        Gre::read(after.transport()).unwrap(),
    );
    assert_eq!((after.key, after.flags), (before.key, 0x2000));
    let (was, inner) = read(before.payload).expect("an inner packet");
    let (is, again) = read(after.payload).expect("an inner packet");
    assert_eq!((was.destination, was.source), (is.destination, is.source));
    assert_eq!(inner.bytes, again.bytes);
    let receiver = site.machine_at(2, 17).expect("the machine that moved");
    assert!(site.was_moved(receiver) && owns(receiver, inner.destination));
}

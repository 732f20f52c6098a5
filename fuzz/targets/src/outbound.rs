//! What machines may send, against the rules of the way out written down without tables.

use std::net::IpAddr;

use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::policy::DscpPolicy;
use netvirt_core::{MacAddress, PortId};

use crate::inbound::is_plainly_rewritten;
use crate::packet::{Changes, Gre, Ip, assert_carried};
use crate::site::*;
use crate::support::hosts::Fate;
use crate::support::network::*;
use crate::support::packets::ip;

/// The way out: what leaves a port goes to whom it names, as the rules say, and only if the sender may say it.
///
/// The first byte chooses the variant of the network, the second the port, the third whether the frame is given the
/// sender's own addresses and whether those of another machine; a frame follows.
pub fn outbound(data: &[u8]) {
    let [variant, port, aim, bytes @ ..] = data else {
        return;
    };
    with_site(*variant, |site| {
        let port = u32::from(port % 8);
        let mut frame = bytes.to_vec();
        take_aim(site, port, *aim, &mut frame);
        let fate = site.host(1).take_from_port(port, &frame);
        check(site, port, &frame, &fate);
        check_flow(site, port, &frame, &fate);
        let window = &frame[..frame.len() - usize::from(*aim).min(frame.len())];
        for length in [frame.len(), window.len() / 2, usize::MAX] {
            site.host(1).endure(&Frame {
                window,
                length,
                ..Frame::whole(Ingress::Port(PortId(port)), &frame)
            });
        }
    });
}

/// Lets an untagged frame come from the machine at the port (bit 0) and go to another (bit 1, then its number).
fn take_aim(site: &Site, port: u32, aim: u8, frame: &mut [u8]) {
    let Some(sender) = site.machine_at(1, port) else {
        return;
    };
    let Some((link, packet)) = frame.split_first_chunk_mut::<14>() else {
        return;
    };
    let mut addresses = [None; 2];
    if aim & 1 != 0 {
        link[6..12].copy_from_slice(&sender.mac.0);
        addresses[0] = address_for(sender, packet);
    }
    if aim & 2 != 0 {
        let machines = &site.network.machines;
        let receiver = &machines[usize::from(aim >> 2) % machines.len()];
        let is_near = receiver.vsid == sender.vsid;
        let first_hop = if is_near { receiver.mac } else { ROUTER };
        link[..6].copy_from_slice(&first_hop.0);
        addresses[1] = address_for(receiver, packet);
    }
    if addresses != [None; 2] {
        readdress(packet, addresses);
    }
}

/// Whom a packet of a machine is for, and whether it is routed.
fn receiver<'a>(site: &'a Site, sender: &Machine, packet: &Ip<'_>) -> Option<(&'a Machine, bool)> {
    let domain = site.network.domain_of(sender.vsid);
    let receiver = match site.owner(domain, packet.destination) {
        Some(receiver) => receiver,
        None if site.is_inside(domain, packet.destination) => return None,
        None => return site.gateway(domain).map(|gateway| (gateway, true)),
    };
    Some((receiver, receiver.vsid != sender.vsid))
}

fn check(site: &Site, port: u32, frame: &[u8], fate: &Fate) {
    let allowed = allowed(site, port, frame);
    let Some((sender, receiver, is_routed, packet)) = allowed else {
        match fate {
            Fate::Delivered(to, out) => check_arp(site, port, frame, to.0, out),
            Fate::Transmitted(..) => panic!("{fate:?}"),
            _ => {}
        }
        return;
    };
    let changes = Changes {
        hop_limit: packet.hop_limit - u8::from(is_routed),
        ..Changes::none(&packet)
    };
    let crosses = sender.vsid != receiver.vsid;
    let macs = (receiver.mac, if crosses { ROUTER } else { sender.mac });
    let is_rewritten = !sender.rewrite.is_empty() && !receiver.rewrite.is_empty();
    match fate {
        Fate::Delivered(to, out) => {
            assert_eq!((receiver.host, receiver.port), (1, to.0));
            check_frame(macs, out, &packet, changes);
        }
        Fate::Transmitted(_, out) if is_rewritten => {
            assert_eq!(receiver.host, 2);
            check_rewritten(site, sender, receiver, out, &packet, changes);
        }
        Fate::Transmitted(_, out) => {
            assert_eq!(receiver.host, 2);
            let inner = check_tunnel(site, receiver, out, &packet);
            check_frame(macs, inner, &packet, changes);
        }
        _ => {
            let fits = packet.bytes.len() <= 1280;
            let is_plain = !packet.has_options && matches!(packet.protocol, 6 | 17);
            let is_carried = !is_rewritten || receiver.host == 1 || is_plainly_rewritten(&packet);
            assert!(!(fits && is_plain && is_carried), "{fate:?}: {frame:x?}");
        }
    }
}

/// ARP for one machine goes to it, if it lives on this host too, as it was said.
fn check_arp(site: &Site, port: u32, frame: &[u8], to: u32, out: &[u8]) {
    let sender = site.machine_at(1, port).expect("a sender");
    let receiver = site.machine_at(1, to).expect("a receiver");
    assert_eq!(sender.vsid, receiver.vsid);
    let tag = if frame[12..14] == [0x81, 0] { 4 } else { 0 };
    let message = &frame[12 + tag..];
    assert_eq!(frame[0] & 1, 0, "not for many");
    assert_eq!(message[..2], [8, 6]);
    assert_eq!(message[10..16], sender.mac.0, "its own MAC address");
    let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&message[at..at + 4]).unwrap());
    assert!(address(16).is_unspecified() || owns(sender, address(16)));
    assert!(owns(receiver, address(26)));
    let expected = [&receiver.mac.0, &sender.mac.0, message].concat();
    assert_eq!(out, expected);
}

/// Sender, receiver and whether it is routed, if the frame may leave at all.
fn allowed<'a, 'f>(
    site: &'a Site,
    port: u32,
    frame: &'f [u8],
) -> Option<(&'a Machine, &'a Machine, bool, Ip<'f>)> {
    let sender = site.machine_at(1, port)?;
    let (link, packet) = read(frame)?;
    let is_honest = link.source == sender.mac && owns(sender, packet.source);
    let is_untagged = link.tag.is_none_or(|tci| tci & 0xfff == 0);
    let is_to_one = link.destination.0[0] & 1 == 0 && !is_multicast(&packet);
    let (receiver, is_routed) = receiver(site, sender, &packet)?;
    let may_go = is_honest && is_untagged && is_to_one && (!is_routed || packet.hop_limit > 1);
    may_go.then_some((sender, receiver, is_routed, packet))
}

/// Multicast, broadcast, and what no machine has for an address.
fn is_multicast(packet: &Ip<'_>) -> bool {
    match packet.destination {
        IpAddr::V4(v4) => v4.octets()[0] >= 224,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local(),
    }
}

fn check_frame(macs: (MacAddress, MacAddress), out: &[u8], packet: &Ip<'_>, changes: Changes) {
    assert_eq!(
        (&out[..6], &out[6..12]),
        (&macs.0.0[..], &macs.1.0[..]),
        "an untagged frame to the receiver"
    );
    assert_eq!(out[12..14], [[8, 0], [0x86, 0xdd]][packet.version()]);
    assert_carried(packet, &out[14..], changes);
}

/// What leaves a tunnel's end (RFC 7637 §3.2); yields the frame inside.
fn check_tunnel<'a>(site: &Site, receiver: &Machine, out: &'a [u8], packet: &Ip<'_>) -> &'a [u8] {
    let (link, outer) = read(out).expect("an outer packet");
    assert_eq!((link.destination, link.source), (host_mac(2), host_mac(1)));
    assert!(site.is_on_vlan(&link));
    assert_eq!(site.host_of(outer.source), Some(1));
    assert_eq!(site.host_of(outer.destination), Some(2));
    assert!(outer.has_intact_header() && !outer.is_fragment() && !outer.has_options);
    assert_eq!(outer.bytes.len(), out.len() - link.length);
    if outer.version() == 0 {
        assert_eq!(outer.bytes[6] & 0xe0, 0x40, "DF");
    }
    let settings = &site.network.settings;
    assert_eq!((outer.protocol, outer.hop_limit), (47, settings.outer_ttl));
    let expected_class = match settings.dscp {
        DscpPolicy::Uniform => packet.traffic_class,
        DscpPolicy::Pipe(dscp) => dscp << 2 | packet.traffic_class & 3,
    };
    assert_eq!(outer.traffic_class, expected_class);
    let gre = Gre::read(outer.transport()).expect("GRE");
    assert_eq!((gre.flags, gre.protocol), (0x2000, 0x6558));
    assert_eq!(gre.key.map(|key| key >> 8), Some(receiver.vsid));
    gre.payload
}

fn check_rewritten(
    site: &Site,
    sender: &Machine,
    receiver: &Machine,
    out: &[u8],
    packet: &Ip<'_>,
    changes: Changes,
) {
    let (link, _) = read(out).expect("a packet");
    assert_eq!((link.destination, link.source), (host_mac(2), host_mac(1)));
    assert!(site.is_on_vlan(&link));
    if !packet.has_more_addresses() {
        let version = packet.version();
        let changes = Changes {
            source: ip(sender.rewrite[version]),
            destination: ip(receiver.rewrite[version]),
            ..changes
        };
        assert_carried(packet, &out[link.length..], changes);
    }
}

/// All fragments of a datagram are one flow: what they carry does not choose their way.
fn check_flow(site: &mut Site, port: u32, frame: &[u8], fate: &Fate) {
    let (Fate::Transmitted(_, sent), Some((link, packet))) = (fate, read(frame)) else {
        return;
    };
    if !packet.is_fragment() {
        return;
    }
    let start = link.length + packet.header_length;
    let mut other = frame.to_vec();
    for byte in other[start..].iter_mut().take(8) {
        *byte = !*byte;
    }
    // Flags that a first fragment must not have, and messages that are no longer carried, end here.
    let Fate::Transmitted(_, other) = site.host(1).take_from_port(port, &other) else {
        return;
    };
    assert_eq!(entropy(site, sent), entropy(site, &other));
}

/// What routers of the provider network see of a flow in a tunnel of ours; machines may send GRE of their own.
fn entropy(site: &Site, frame: &[u8]) -> Option<(u32, [u8; 3])> {
    let (_, outer) = read(frame)?;
    site.host_of(outer.source)?;
    let key = Gre::read(outer.transport())?.key?;
    let label = outer.bytes[1..4].try_into().unwrap();
    Some((key, if outer.version() == 1 { label } else { [0; 3] }))
}

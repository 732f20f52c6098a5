//! Questions of the provider network: answered for the host's own provider addresses and those of its machines.

use netvirt_core::datapath::*;
use netvirt_core::policy::*;
use netvirt_core::proxy::LONGEST_MESSAGE;
use netvirt_core::*;

use crate::support::hosts::*;
use crate::support::network::*;
use crate::support::packets::*;
use crate::support::{ca, vsid};

const PEER: (MacAddress, &str) = (MacAddress([2, 0, 0, 0, 0, 22]), "192.168.4.22");
const PEER_V6: (MacAddress, &str) = (MacAddress([2, 0, 0, 0, 0, 22]), "fd00:4::22");

#[test]
fn spec_2_4_answers_arp_for_own_addresses_and_rewritten_machines() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for target in ["192.168.4.11", "192.168.4.105"] {
        for sender in [PEER, (PEER.0, "0.0.0.0")] {
            let reply = host.replies_uplink(&arp_request(sender, target));
            assert_eq!(
                reply,
                arp((PEER.0, host_mac(1)), 2, (host_mac(1), target), sender)
            );
        }
        let unicast = arp((host_mac(1), PEER.0), 1, PEER, (MacAddress::ZERO, target));
        host.replies_uplink(&unicast);
        let elsewhere = arp((host_mac(3), PEER.0), 1, PEER, (MacAddress::ZERO, target));
        host.refuses_uplink(None, &elsewhere, DropReason::OuterDstMac);
    }
    // Another host's addresses, of its machines too, and a customer's.
    for target in ["192.168.4.22", "192.168.4.44", "192.168.4.207", "10.0.0.5"] {
        host.punts(&arp_request(PEER_OF_3, target), Punt::NotOurs);
    }
}

const PEER_OF_3: (MacAddress, &str) = (MacAddress([2, 0, 0, 0, 0, 33]), "192.168.4.33");

#[test]
fn questions_on_another_uplink_or_vlan_are_not_answered() {
    let network = Network::standard().with(|network| network.vlan = Some(5));
    let mut host = Nve::new(&network.changes(1));
    let tagged = |mut frame: Vec<u8>, tci: u16| {
        frame.splice(12..12, [[0x81, 0], tci.to_be_bytes()].concat());
        frame
    };
    for target in ["192.168.4.11", "192.168.4.105"] {
        let question = arp_request(PEER, target);
        let reply = host.replies_uplink(&tagged(question.clone(), 0xe005));
        let expected = arp((PEER.0, host_mac(1)), 2, (host_mac(1), target), PEER);
        assert_eq!(reply, tagged(expected, 5));
        host.refuses_uplink(None, &question, DropReason::PaVlan);
        host.refuses_uplink(None, &tagged(question.clone(), 6), DropReason::PaVlan);
        host.refuses_uplink(None, &tagged(question.clone(), 0), DropReason::PaVlan);
        let good = tagged(question, 5);
        let elsewhere = Frame::whole(Ingress::Uplink(UplinkId(1)), &good);
        assert_eq!(host.process(&elsewhere), Fate::Punted(Punt::NotOurs));
    }
    for target in ["fd00:4::11", "fd00:4::105"] {
        let question = solicitation(PEER_V6, target).frame();
        let reply = host.replies_uplink(&tagged(question.clone(), 5));
        let expected = advertisement((host_mac(1), target), PEER_V6, 0x60, (target, host_mac(1)));
        assert_eq!(reply, tagged(expected.frame(), 5));
        host.refuses_uplink(None, &question, DropReason::PaVlan);
        host.refuses_uplink(None, &tagged(question, 6), DropReason::PaVlan);
    }
}

#[test]
fn a_priority_tag_is_no_vlan() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let mut question = arp_request(PEER, "192.168.4.11");
    question.splice(12..12, [0x81, 0, 0xe0, 0]);
    let reply = host.replies_uplink(&question);
    assert_eq!(
        reply,
        arp(
            (PEER.0, host_mac(1)),
            2,
            (host_mac(1), "192.168.4.11"),
            PEER
        )
    );
}

#[test]
fn spec_2_4_answers_solicitations_for_own_addresses_and_rewritten_machines() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    for target in ["fd00:4::11", "fd00:4::105"] {
        let own = (host_mac(1), target);
        let reply = host.replies_uplink(&solicitation(PEER_V6, target).frame());
        assert_eq!(
            reply,
            advertisement(own, PEER_V6, 0x60, (target, own.0)).frame()
        );
        let probe = solicitation((PEER.0, "::"), target).frame();
        let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
        assert_eq!(
            host.replies_uplink(&probe),
            advertisement(own, all, 0x20, (target, own.0)).frame()
        );

        let unicast = |link: MacAddress| {
            solicitation(PEER_V6, target).with(|packet| {
                packet.destination = ip(target);
                packet.destination_mac = link;
                fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
            })
        };
        let reply = host.replies_uplink(&unicast(host_mac(1)).frame());
        assert_eq!(
            reply,
            advertisement(own, PEER_V6, 0x60, (target, own.0)).frame()
        );
        host.refuses_uplink(None, &unicast(host_mac(3)).frame(), DropReason::OuterDstMac);
        let wrong_group =
            solicitation(PEER_V6, target).with(|packet| packet.destination_mac = host_mac(3));
        host.refuses_uplink(None, &wrong_group.frame(), DropReason::OuterDstMac);
    }
    for target in ["fd00:4::22", "fd00:4::207", "2001:db8:1::5", "fe80::1"] {
        host.punts(&solicitation(PEER_V6, target).frame(), Punt::NotOurs);
    }
}

#[test]
fn what_others_say_of_themselves_is_the_callers_to_believe() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let own = (host_mac(1), "192.168.4.11");
    let heard = |address: &str| Punt::Neighbour {
        uplink: UplinkId(0),
        address: ip(address),
        mac: PEER.0,
        overriding: true,
    };
    host.punts(&arp((host_mac(1), PEER.0), 2, PEER, own), heard(PEER.1));
    host.punts(&arp_request(PEER, PEER.1), heard(PEER.1));
    let own_v6 = (host_mac(1), "fd00:4::11");
    let told = advertisement(PEER_V6, own_v6, 0x60, (PEER_V6.1, PEER.0));
    host.punts(&told.frame(), heard(PEER_V6.1));
    let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
    let told = advertisement(PEER_V6, all, 0x20, (PEER_V6.1, PEER.0));
    host.punts(&told.frame(), heard(PEER_V6.1));
    let told = advertisement(PEER_V6, own_v6, 0x40, (PEER_V6.1, PEER.0));
    let cautious = Punt::Neighbour {
        uplink: UplinkId(0),
        address: ip(PEER_V6.1),
        mac: PEER.0,
        overriding: false,
    };
    host.punts(&told.frame(), cautious);
    // A MAC address that nobody can have is not heard.
    let group = (MacAddress::BROADCAST, PEER.1);
    host.punts(&arp((host_mac(1), PEER.0), 2, group, own), Punt::NotOurs);
    let told = advertisement(PEER_V6, own_v6, 0x60, (PEER_V6.1, MacAddress::BROADCAST));
    host.punts(&told.frame(), Punt::NotOurs);
}

/// An advertisement that does not tell its sender's MAC address.
fn without_mac(receiver: (MacAddress, &str), flags: u8) -> Vec<u8> {
    let told = advertisement(PEER_V6, receiver, flags, (PEER_V6.1, PEER.0));
    told.with(|packet| {
        packet.transport.truncate(24);
        fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
    })
    .frame()
}

#[test]
fn an_answer_without_a_mac_address_says_that_its_sender_is_there() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let own = (host_mac(1), "fd00:4::11");
    let reachable = Punt::Reachable {
        uplink: UplinkId(0),
        address: ip(PEER_V6.1),
    };
    host.punts(&without_mac(own, 0x40), reachable);
    // It answers nobody.
    host.punts(&without_mac(own, 0x20), Punt::NotOurs);
}

#[test]
fn what_is_told_in_another_network_is_not_heard() {
    for vlan in [None, Some(5)] {
        let network = Network::standard().with(|network| network.vlan = vlan);
        let mut host = Nve::new(&network.changes(1));
        let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
        let messages = [
            arp(
                (host_mac(1), PEER.0),
                2,
                PEER,
                (host_mac(1), "192.168.4.11"),
            ),
            arp_request(PEER, PEER.1),
            advertisement(PEER_V6, all, 0x20, (PEER_V6.1, PEER.0)).frame(),
        ];
        let tagged = |frame: &[u8], vlan: Option<u16>| {
            let mut frame = frame.to_vec();
            if let Some(vlan) = vlan {
                frame.splice(12..12, [[0x81, 0], vlan.to_be_bytes()].concat());
            }
            frame
        };
        for message in messages {
            let mut is_heard = |uplink, frame: &[u8]| {
                let frame = Frame::whole(Ingress::Uplink(UplinkId(uplink)), frame);
                let fate = host.process(&frame);
                let is_heard = matches!(fate, Fate::Punted(Punt::Neighbour { .. }));
                assert!(is_heard || fate == Fate::Punted(Punt::NotOurs));
                is_heard
            };
            assert!(is_heard(0, &tagged(&message, vlan)));
            assert!(!is_heard(1, &tagged(&message, vlan)));
            let other_vlan = if vlan.is_some() { None } else { Some(5) };
            assert!(!is_heard(0, &tagged(&message, other_vlan)));
            assert!(!is_heard(0, &tagged(&message, Some(6))));
        }
    }
    // An address that lies in no network of ours.
    let mut host = Nve::new(&Network::standard().changes(1));
    let afar = (PEER.0, "203.0.113.9");
    host.punts(&arp_request(afar, afar.1), Punt::NotOurs);
}

#[test]
fn who_asks_for_listeners_in_our_network_is_told_apart() {
    let router = (MacAddress([2, 0, 0, 0, 0, 1]), "fe80::1:1");
    let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
    let query = |source: &str, hop_limit| {
        let mut message = vec![130, 0, 0, 0, 0x27, 0x10, 0, 0];
        message.extend([0; 16]);
        message.extend([2, 125, 0, 0]);
        Packet::raw(source, all.1, 58, &message)
            .with(|packet| {
                packet.hop_limit = hop_limit;
                fill_transport(packet.source, packet.destination, 58, &mut packet.transport);
            })
            .between(router.0, all.0)
            .frame()
    };
    let mut host = Nve::new(&Network::standard().changes(1));
    let good = query(router.1, 1);
    let asked = Punt::ListenerQuery {
        uplink: UplinkId(0),
    };
    host.punts(&good, asked);
    host.punts(&query(router.1, 255), Punt::NotOurs);
    host.punts(&query("2001:db8::1", 1), Punt::NotOurs);
    let mut damaged = good.clone();
    damaged[60] ^= 1;
    host.punts(&damaged, Punt::NotOurs);
    let mut tagged = good;
    tagged.splice(12..12, [0x81, 0, 0, 6]);
    host.punts(&tagged, Punt::NotOurs);
}

#[test]
fn damaged_messages_are_refused() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    let question = arp_request(PEER, "192.168.4.11");
    host.refuses_uplink(None, &question[..41], DropReason::Truncated);
    let mut broken = question.clone();
    broken[21] = 9;
    host.refuses_uplink(None, &broken, DropReason::OuterMalformed);
    let mut broken = solicitation(PEER_V6, "fd00:4::11").frame();
    broken[57] ^= 1;
    host.refuses_uplink(None, &broken, DropReason::OuterMalformed);
}

#[test]
fn an_address_that_is_not_known_to_be_unique_is_not_answered_for() {
    let network = Network::standard();
    for state in [AddressState::Tentative, AddressState::Duplicate] {
        let mut host = Nve::new(&network.changes(1));
        for own in network.own_addresses(1) {
            host.apply(&[Change::SetAddressState {
                address: own.address,
                state,
            }]);
        }
        for target in ["192.168.4.11", "192.168.4.105"] {
            host.punts(&arp_request(PEER, target), Punt::NotOurs);
        }
        for target in ["fd00:4::11", "fd00:4::105"] {
            host.punts(&solicitation(PEER_V6, target).frame(), Punt::NotOurs);
        }
        assert_eq!(host.policies.live().owned_addresses().count(), 0);
    }
}

#[test]
fn spec_2_4_answers_and_announces_all_that_is_owned() {
    for vlan in [None, Some(5)] {
        let network = Network::standard().with(|network| network.vlan = vlan);
        let host = Nve::new(&network.changes(1));
        let mut announced: Vec<Vec<u8>> = host
            .policies
            .live()
            .owned_addresses()
            .map(|owned| {
                let mut out = [0; LONGEST_MESSAGE];
                let length = owned.announcement(&mut out).unwrap();
                out[..length].to_vec()
            })
            .collect();
        announced.sort();
        let all = (MacAddress([0x33, 0x33, 0, 0, 0, 1]), "ff02::1");
        let mut expected: Vec<Vec<u8>> = ["192.168.4.11", "192.168.4.105"]
            .map(|address| arp_request((host_mac(1), address), address))
            .into_iter()
            .chain(["fd00:4::11", "fd00:4::105"].map(|address| {
                advertisement((host_mac(1), address), all, 0x20, (address, host_mac(1))).frame()
            }))
            .map(|mut frame| {
                if let Some(vlan) = vlan {
                    frame.splice(12..12, [[0x81, 0], vlan.to_be_bytes()].concat());
                }
                frame
            })
            .collect();
        expected.sort();
        assert_eq!(announced, expected);
    }
}

#[test]
fn a_machine_that_moved_away_is_no_longer_answered_for() {
    let network = Network::standard();
    let mut host = Nve::new(&network.changes(1));
    host.apply(&[Change::MoveRecord(
        RecordName::Address(vsid(GREEN_1), ca("10.0.0.5")),
        Location::Host(HostId(2)),
    )]);
    host.punts(&arp_request(PEER, "192.168.4.105"), Punt::NotOurs);
}

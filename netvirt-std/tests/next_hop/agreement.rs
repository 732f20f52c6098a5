//! What is told is what happens to packets, in random networks.

use std::net::IpAddr;

use netvirt_core::wire;
use netvirt_core::{CustomerAddress, PortId, Vsid};
use netvirt_std::explain::{NextHopQuery, NoSender, SelectedNextHop, select_next_hop};
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::networks::drafts::*;
use crate::networks::hosts::*;
use crate::networks::network::*;
use crate::networks::packets::*;

/// A host of whose network nothing has a name.
fn nameless() -> HostPolicy {
    let text = "[[physical-network]]\nname = \"site-1\"\nprefix = \"192.168.4.0/24\"\nmtu = 1600\n\n[[host]]\nname = \"here\"\n\
        uplink = { mac = \"02:00:00:00:00:0b\" }\naddresses = [\"192.168.4.11\"]\n";
    let file = PolicyFile::parse(text, "nameless.toml").unwrap();
    file.for_host("here").unwrap()
}

/// The packet that asks for the way, built by somebody else.
fn echo(sender: &Machine, source: &str, destination: &str) -> Vec<u8> {
    let echo = Packet::echo(source, destination, b"").between(sender.mac, ROUTER);
    let echo = echo.with(|packet| {
        packet.transport[4..].copy_from_slice(&[0x6e, 0x76, 0, 0]);
        fill_transport(
            packet.source,
            packet.destination,
            packet.protocol,
            &mut packet.transport,
        );
    });
    echo.frame()
}

fn outer_addresses(frame: &[u8]) -> (IpAddr, IpAddr) {
    let facts = wire::parse(frame, frame.len(), 0).unwrap();
    let family = facts.family().unwrap();
    (
        facts.source_address.to_ip(family),
        facts.destination_address.to_ip(family),
    )
}

fn customer(address: &str) -> CustomerAddress {
    CustomerAddress::new(ip(address)).unwrap()
}

/// What is told agrees with what became of the packet on the sender's host, and with the frame that the next hop
/// received in the end.
fn check(
    selected: &SelectedNextHop,
    sender: usize,
    first: &Fate,
    arrival: Result<&Arrival, &Fate>,
) -> Result<(), TestCaseError> {
    let verdict = match first {
        Fate::Delivered(port, _) => {
            prop_assert_eq!(selected.port.map(PortId), Some(*port));
            prop_assert_eq!(selected.method, None);
            "delivered"
        }
        Fate::Transmitted(_, frame) => {
            let addresses = (
                selected.source_provider_address.unwrap(),
                selected.destination_provider_address.unwrap(),
            );
            prop_assert_eq!(outer_addresses(frame), addresses);
            "transmitted"
        }
        Fate::Held(_, frame) => {
            let destination = selected.destination_provider_address.unwrap();
            prop_assert_eq!(outer_addresses(frame).1, destination);
            "held"
        }
        Fate::Replied(frame) => {
            let macs = (&frame[..6], &frame[6..12]);
            let told = (
                selected.source_mac_address.clone().unwrap(),
                selected.next_hop_mac_address.clone().unwrap(),
            );
            prop_assert_eq!(macs_of(macs), told);
            "replied"
        }
        // No packet that is asked about is as long as that.
        Fate::Fragmented(..) => "transmitted",
        Fate::Replicated(_) => "replicated",
        Fate::Lost(..) => unreachable!("that becomes of copies only"),
        Fate::Punted(_) => "punted",
        Fate::Dropped(reason) => {
            prop_assert_eq!(selected.reason, Some(reason.name()));
            prop_assert_eq!(selected.next_hop_address, None);
            "dropped"
        }
        Fate::Explained(reason, _) => {
            prop_assert_eq!(selected.reason, Some(reason.name()));
            prop_assert_eq!(selected.next_hop_address, None);
            "replied"
        }
    };
    prop_assert_eq!(selected.verdict, verdict);
    if let Ok(arrival) = arrival {
        let macs = (&arrival.frame[6..12], &arrival.frame[..6]);
        let told = (
            selected.source_mac_address.clone().unwrap(),
            selected.next_hop_mac_address.clone().unwrap(),
        );
        prop_assert_eq!(macs_of(macs), told);
        let host = match arrival.host {
            here if here == sender => "here".to_owned(),
            other => format!("host {other}"),
        };
        prop_assert_eq!(selected.host.as_deref(), Some(&*host));
    }
    Ok(())
}

fn macs_of((first, second): (&[u8], &[u8])) -> (String, String) {
    let mac = |bytes: &[u8]| netvirt_core::MacAddress(bytes.try_into().unwrap()).to_string();
    (mac(first), mac(second))
}

fn destinations() -> Vec<&'static str> {
    let mut destinations: Vec<&str> = ADDRESSES.into_iter().flatten().flatten().collect();
    destinations.extend([
        "10.0.0.1",
        "10.0.1.1",
        "10.0.2.77",
        "198.51.100.9",
        "2001:db8:1::1",
        "2001:db8:2::77",
        "2001:db8:ffff::9",
        "fe80::1",
    ]);
    destinations
}

fn ask(
    host: &Nve,
    names: &HostPolicy,
    sender: &Machine,
    source: Option<&str>,
    destination: &str,
) -> Result<SelectedNextHop, NoSender> {
    let query = NextHopQuery {
        vsid: Vsid::new(sender.vsid).unwrap(),
        source: source.map(customer),
        destination: customer(destination),
    };
    select_next_hop(host.policies.live(), names, &query)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn spec_2_6_next_hop_what_is_told_is_what_happens(
        draft in drafts(),
        is_resolved in prop::bool::weighted(0.8),
        questions in vec((any::<Index>(), any::<bool>(), select(destinations()), select(destinations())), 1..40),
    ) {
        let network = draft.network().with(|network| network.is_resolved = is_resolved);
        let names = nameless();
        let mut fabric = Fabric::new(&network);
        for (sender, is_own, foreign, destination) in questions {
            let sender = sender.get(&network.machines);
            let version = usize::from(ip(destination).is_ipv6());
            let source = if is_own { sender.addresses[version] } else { foreign };
            if ip(source).is_ipv4() != ip(destination).is_ipv4() {
                continue;
            }
            let number = sender.host as usize;
            let told = ask(fabric.host(number), &names, sender, Some(source), destination);
            // Whoever on the sender's host and in its subnet may say so is meant.
            let speakers = network
                .machines
                .iter()
                .filter(|machine| (machine.host, machine.vsid) == (sender.host, sender.vsid));
            let mut refusals = 0;
            let mut fates = vec![];
            for speaker in speakers {
                let frame = echo(speaker, source, destination);
                let first = fabric.host(number).take_from_port(speaker.port, &frame);
                if first == Fate::Dropped(netvirt_core::datapath::DropReason::CaSpoof) {
                    refusals += 1;
                    continue;
                }
                let arrival = fabric.send(number, speaker.port, &frame);
                fates.push((first, arrival));
            }
            match told {
                Ok(selected) => {
                    // Of several who may say so, gateways, the first is asked.
                    let (first, arrival) = &fates[0];
                    check(&selected, number, first, arrival.as_ref())?;
                }
                Err(nobody) => {
                    prop_assert!(fates.is_empty() && refusals > 0, "{} although {:?}", nobody, fates);
                }
            }
        }
    }

    #[test]
    fn without_a_source_a_machine_of_the_subnet_is_meant(
        draft in drafts(),
        questions in vec((any::<Index>(), select(destinations())), 1..20),
    ) {
        let network = draft.network();
        let names = nameless();
        let mut fabric = Fabric::new(&network);
        for (sender, destination) in questions {
            let sender = sender.get(&network.machines);
            let host = fabric.host(sender.host as usize);
            let Ok(told) = ask(host, &names, sender, None, destination) else {
                // Only the destination itself is there.
                let others = network.machines.iter().filter(|machine| {
                    (machine.host, machine.vsid) == (sender.host, sender.vsid)
                });
                prop_assert!(others.clone().all(|machine| machine.addresses.contains(&destination)));
                continue;
            };
            let source = told.source_customer_address.to_string();
            prop_assert_ne!(&source, destination);
            prop_assert_eq!(ask(host, &names, sender, Some(&source), destination), Ok(told));
        }
    }
}

#[test]
fn random_questions_reach_every_kind_of_answer() {
    // Guards the property above against networks in which nothing can be told.
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let names = nameless();
    let mut told = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..100 {
        let network = drafts().new_tree(&mut runner).unwrap().current().network();
        let mut fabric = Fabric::new(&network);
        for sender in &network.machines {
            for destination in destinations() {
                let host = fabric.host(sender.host as usize);
                let answer = match ask(host, &names, sender, None, destination) {
                    Ok(selected) => (selected.verdict, selected.method),
                    Err(_) => ("nobody", None),
                };
                *told.entry(answer).or_default() += 1;
            }
        }
    }
    for answer in [
        ("delivered", None),
        ("transmitted", Some("encapsulate")),
        ("transmitted", Some("rewrite")),
        ("replied", None),
        ("dropped", None),
        ("nobody", None),
    ] {
        assert!(told.get(&answer) > Some(&20), "{told:?}");
    }
}

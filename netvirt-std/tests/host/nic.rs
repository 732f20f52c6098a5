//! A switch whose uplink leads to an offload NIC: what passes between the two.

use std::time::Duration;

use netvirt_core::datapath::Ingress;
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_core::policy::{Change, Uncovered};
use netvirt_core::{MacAddress, PortId, UplinkId, Vsid};
use netvirt_fw::header::{ETHERTYPE, Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use netvirt_std::host::HostError;
use netvirt_std::worker::NicCounters;

use crate::running::*;
use crate::support::{TWO_HOSTS, arp, ethernet, packet};

pub const NIC: MacAddress = MacAddress([2, 0, 0, 0, 0xf, 1]);

const PARTIAL: Offload = Offload {
    checksum: Some(PartialChecksum {
        start: 34,
        offset: 6,
    }),
    ..Offload::NONE
};

/// The two hosts, the first of them with a NIC.
pub fn with_nic() -> String {
    with(
        "uplink = { mac = \"02:00:00:00:00:0b\" }",
        "uplink = { mac = \"02:00:00:00:00:0b\", nic = { mac = \"02:00:00:00:0f:01\" } }",
    )
}

/// host-1 alone; the test is its NIC.
fn offloaded() -> (Running, End) {
    let [near, far] = ends(FINISHED_ONLY);
    let host = Running::start(&with_nic(), "host-1", near, Duration::from_secs(600));
    (host, far)
}

/// What the NIC reads of a frame on its link.
fn read(link_frame: &[u8]) -> (Repr, Vec<u8>) {
    let (ethernet, rest) = link_frame.split_at(LINK_LEN - netvirt_fw::header::HEADER_LEN);
    assert_eq!(ethernet[..6], NIC.0);
    assert_eq!(ethernet[6..12], [2, 0, 0, 0, 0, 0x0b]);
    assert_eq!(ethernet[12..], ETHERTYPE.to_be_bytes());
    let packet = Packet::new_checked(rest).unwrap();
    let repr = Repr::parse(&packet).unwrap();
    (repr, rest[repr.buffer_len()..].to_vec())
}

fn written(repr: &Repr, frame: &[u8]) -> Vec<u8> {
    let addresses = LinkAddresses {
        destination: MacAddress([2, 0, 0, 0, 0, 0x0b]),
        source: NIC,
    };
    let mut front = [0; LINK_LEN];
    addresses.emit(repr, &mut front);
    [&front[..], frame].concat()
}

fn nic_counters(host: &Running) -> NicCounters {
    let counters = host.handle.ask(|host| host.nic_counters());
    counters.unwrap().unwrap().unwrap()
}

const BLUE_1_PORT: PortId = PortId(0);
const RED_1_PORT: PortId = PortId(1);

fn blue() -> Option<Vsid> {
    Some(Vsid::new(5001).unwrap())
}

fn for_blue_1() -> Repr {
    Repr {
        vsid: blue(),
        ..Repr::new(Kind::Delivered(BLUE_1_PORT))
    }
}

#[test]
fn a_frame_of_a_machine_is_handed_to_the_nic_with_the_work_beside_it() {
    let (mut host, mut nic) = offloaded();
    let frame = blue_1_to_2();
    host.machine("blue-1").send_with(&frame, PARTIAL);
    let (repr, handed) = read(&nic.receive());
    let expected = Repr {
        offload: PARTIAL,
        vsid: blue(),
        ..Repr::new(Kind::Sent(BLUE_1_PORT))
    };
    assert_eq!((repr, handed), (expected, frame));
    let expected = NicCounters {
        handed_over: 1,
        ..NicCounters::default()
    };
    assert_eq!(nic_counters(&host), expected);
    assert_eq!(host.counted().0.received, 0, "the NIC decides");
}

#[test]
fn a_frame_of_the_nic_reaches_its_machine_with_the_work_that_the_device_takes_over() {
    let (mut host, mut nic) = offloaded();
    let frame = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    let repr = Repr {
        offload: PARTIAL,
        ..for_blue_1()
    };
    nic.send(&written(&repr, &frame));
    assert_eq!(
        host.machine("blue-1").receive_with(),
        (frame.clone(), PARTIAL)
    );
    let nobody = Repr::new(Kind::Delivered(PortId(77)));
    nic.send(&written(&nobody, &frame));
    nic.send(&written(&repr, &frame));
    host.machine("blue-1").receive();
    let expected = NicCounters {
        delivered: 3,
        delivered_lost: 1,
        ..NicCounters::default()
    };
    assert_eq!(nic_counters(&host), expected);
}

#[test]
fn what_the_nic_does_not_cover_is_decided_here_and_leaves_as_decided() {
    let (mut host, mut nic) = offloaded();
    let exception = |ingress, frame: &[u8]| {
        let reason = None;
        written(&Repr::new(Kind::Exception { ingress, reason }), frame)
    };
    let decided = Repr::new(Kind::Decided(UplinkId(0)));
    let frame = blue_1_to_2();
    nic.send(&exception(Ingress::Port(BLUE_1_PORT), &frame));
    let question = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, "192.168.4.22"));
    let question = ethernet(BROADCAST, HOST_1, 0x0806, &question);
    assert_eq!(read(&nic.receive()), (decided, question));
    nic.send(&exception(Ingress::Uplink(UplinkId(0)), &host_2_answers()));
    let (repr, encapsulated) = read(&nic.receive());
    assert_eq!(repr, decided);
    assert_eq!(encapsulated, encapsulated_without_nic(&frame));
    let (totals, refused) = host.counted();
    assert!(totals.add_up());
    assert_eq!(refused, []);
    assert_eq!(nic_counters(&host).exceptions, 2);
    // And the other way: an answer of the machine's host.
    let back = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    nic.send(&exception(
        Ingress::Uplink(UplinkId(0)),
        &encapsulated_by_host_2(&back),
    ));
    assert_eq!(host.machine("blue-1").receive(), back);
}

fn encapsulated_without_nic(frame: &[u8]) -> Vec<u8> {
    let (mut host, mut uplink) = host_1();
    host.machine("blue-1").send(frame);
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    uplink.receive()
}

fn encapsulated_by_host_2(frame: &[u8]) -> Vec<u8> {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start(&policy, "host-2", near, Duration::ZERO);
    host.machine("blue-2").send(frame);
    let answer = arp(2, (HOST_1, "192.168.4.11"), (HOST_2, "192.168.4.22"));
    uplink.send(&ethernet(HOST_2, HOST_1, 0x0806, &answer));
    loop {
        let sent = uplink.receive();
        if sent[12..14] == [8, 0] {
            return sent;
        }
    }
}

#[test]
fn what_makes_no_sense_on_the_link_is_counted_and_what_is_not_the_nics_is_left_alone() {
    let (mut host, mut nic) = offloaded();
    let frame = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    let sent_by_a_host = written(&Repr::new(Kind::Sent(BLUE_1_PORT)), &frame);
    let good = written(&for_blue_1(), &frame);
    let mut other_version = good.clone();
    other_version[14] ^= 0xf0;
    let cut = &good[..LINK_LEN - 1];
    for malformed in [&sent_by_a_host[..], &other_version, cut] {
        nic.send(malformed);
    }
    nic.send(&ethernet(
        HOST_1,
        HOST_2,
        0x0800,
        &packet("192.168.4.22", "192.168.4.11"),
    ));
    let mut anothers = good.clone();
    anothers[11] ^= 1;
    nic.send(&anothers);
    nic.send(&good);
    assert_eq!(host.machine("blue-1").receive(), frame);
    let expected = NicCounters {
        delivered: 1,
        malformed: 3,
        ..NicCounters::default()
    };
    assert_eq!(nic_counters(&host), expected);
    assert_eq!(host.counted().0.received, 0);
}

/// As when the NIC was given another file than this switch has: nothing may reach the machine of another tenant.
#[test]
fn a_frame_for_a_port_that_is_another_machines_here_reaches_nobody() {
    let (mut host, mut nic) = offloaded();
    let frame = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    let to_all = ethernet(BROADCAST, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.255"));
    let port_of_red = Repr {
        vsid: blue(),
        ..Repr::new(Kind::Delivered(RED_1_PORT))
    };
    nic.send(&written(&port_of_red, &frame));
    nic.send(&written(&port_of_red, &to_all));
    // In the right subnet, and for the address of another machine of it.
    let to_another = ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.5", "10.0.0.7"));
    nic.send(&written(&for_blue_1(), &to_another));
    nic.send(&written(&for_blue_1(), &to_all));
    assert_eq!(host.machine("blue-1").receive(), to_all);
    let expected = NicCounters {
        delivered: 1,
        misdirected: 3,
        ..NicCounters::default()
    };
    assert_eq!(nic_counters(&host), expected);
}

/// The addresses are the NIC's: it probes, announces and answers for them.
#[test]
fn a_switch_with_a_nic_says_nothing_of_its_own_in_the_provider_network() {
    let (mut host, mut nic) = offloaded();
    host.wait_until_ready();
    host.machine("blue-1").send(&blue_1_to_2());
    let (first, _) = read(&nic.receive());
    assert_eq!(first.kind, Kind::Sent(BLUE_1_PORT));
}

#[test]
fn another_nic_is_another_uplink() {
    let (host, _nic) = offloaded();
    let without = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let other = with_nic().replace("02:00:00:00:0f:01", "02:00:00:00:0f:02");
    let before = host.handle.ask(|host| host.version()).unwrap();
    for policy in [&without, &other] {
        assert!(matches!(host.apply(policy), Err(HostError::OtherUplink)));
    }
    assert_eq!(host.handle.ask(|host| host.version()).unwrap(), before);
    let dropping = with_nic().replace("0f:01\"", "0f:01\", uncovered = \"drop\"");
    host.apply(&dropping).unwrap();
}

#[test]
fn the_nic_has_the_same_policy_but_for_what_it_does_not_cover() {
    let host = file(&with_nic()).for_host("host-1").unwrap();
    let differing: Vec<_> = host
        .changes
        .iter()
        .zip(host.changes_for_nic())
        .filter(|(ours, nics)| *ours != nics)
        .collect();
    let [(Change::SetSettings(ours), Change::SetSettings(nics))] = differing[..] else {
        panic!("{differing:?}");
    };
    assert_eq!(ours.uncovered, Uncovered::Refuse);
    assert_eq!(nics.uncovered, Uncovered::Punt);
    let dropping = with_nic().replace("0f:01\"", "0f:01\", uncovered = \"drop\"");
    let host = file(&dropping).for_host("host-1").unwrap();
    assert_eq!(host.changes_for_nic(), host.changes);
}

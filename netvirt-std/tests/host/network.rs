//! The provider network: addresses, next hops, path MTUs, groups.

use std::net::IpAddr;
use std::thread::{self};
use std::time::Duration;

use crate::support::{TWO_HOSTS, arp, ethernet, ipv4, udp};
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_core::policy::AddressState;
use netvirt_core::{MacAddress, ProviderAddress, UplinkId};
use netvirt_std::host::{Host, HostHandle, HostOptions, serve};
use netvirt_std::worker::Event;

use crate::running::*;

#[test]
fn an_address_is_probed_announced_and_only_then_are_machines_served() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let detection = Duration::from_millis(30);
    let mut host = Running::start(&policy, "host-1", near, detection);
    host.machine("blue-1").send(&blue_1_to_2());
    let probe = arp(1, (HOST_1, "0.0.0.0"), (NOBODY, "192.168.4.11"));
    let probe = ethernet(BROADCAST, HOST_1, 0x0806, &probe);
    for _ in 0..3 {
        assert_eq!(uplink.receive(), probe);
    }
    let announcement = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, "192.168.4.11"));
    let announcement = ethernet(BROADCAST, HOST_1, 0x0806, &announcement);
    assert_eq!(uplink.receive(), announcement);
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn an_address_that_another_machine_has_is_not_used() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let host = Running::start(&policy, "host-1", near, Duration::from_secs(3600));
    uplink.receive();
    let answer = arp(2, (HOST_2, "192.168.4.11"), (HOST_1, "0.0.0.0"));
    uplink.send(&ethernet(HOST_1, HOST_2, 0x0806, &answer));
    host.wait_until_ready();
    let states: Vec<_> = host
        .handle
        .ask(|host| host.addresses().map(|own| own.state).collect())
        .unwrap();
    assert_eq!(states, [AddressState::Duplicate]);
}

#[test]
fn frames_wait_for_their_next_hop_and_leave_in_their_order() {
    let (mut host, mut uplink) = host_1();
    for number in 0..4 {
        let payload = ipv4("10.0.0.5", "10.0.0.7", 253, &[number; 30]);
        let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &payload);
        host.machine("blue-1").send(&frame);
    }
    until_asked(&mut uplink, "192.168.4.22");
    while host.counted().0.received < 4 {
        thread::yield_now();
    }
    uplink.send(&host_2_answers());
    for number in 0..3 {
        let frame = uplink.receive();
        assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x16]);
        assert_eq!(frame[frame.len() - 30..], [number; 30]);
    }
    let (totals, refused) = host.counted();
    assert_eq!(refused, [("neighbour_queue_full", 1)]);
    assert_eq!((totals.held, totals.dropped), (3, 1));
}

#[test]
fn an_answer_that_another_worker_hears_releases_what_waits() {
    let cables = [ends(FINISHED_ONLY), ends(FINISHED_ONLY)];
    let (near, mut far): (Vec<_>, Vec<_>) =
        cables.map(|[near, far]| (near, far)).into_iter().unzip();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start_with_queues(&policy, "host-1", near, Duration::ZERO, None);
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut far[0], "192.168.4.22");
    far[1].send(&host_2_answers());
    let frame = far[0].receive();
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x16]);
    assert!(frame.ends_with(&blue_1_to_2()));
}

#[test]
fn what_waits_for_a_next_hop_leaves_when_a_version_states_it() {
    let (mut host, mut uplink) = host_1();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    while host.counted().0.held < 1 {
        thread::yield_now();
    }
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let own = "addresses = [\"192.168.4.11\"]";
    let stated = format!(
        "{own}\nneighbours = [{{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:77\" }}]"
    );
    assert!(policy.contains(own));
    host.apply(&policy.replace(own, &stated)).unwrap();
    let frame = loop {
        let frame = uplink.receive();
        if frame.ends_with(&blue_1_to_2()) {
            break frame;
        }
    };
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x77]);
}

/// RFC 4861 §6.2.4 and §6.2.5.
#[test]
fn a_machine_of_an_ipv6_subnet_hears_of_its_router_unasked_and_of_its_end() {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let ipv4_only = "prefixes = [\"10.0.0.0/24\"]";
    assert!(policy.contains(ipv4_only));
    let both = policy.replace(ipv4_only, "prefixes = [\"10.0.0.0/24\", \"fd00:1::/64\"]");
    let [near, _uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&both, "host-1", near, Duration::ZERO);
    let advertisement = |frame: &[u8]| {
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1], "all nodes");
        assert_eq!((frame[20], frame[21], frame[54]), (58, 255, 134));
        u16::from_be_bytes([frame[60], frame[61]])
    };
    let frame = host.machine("blue-1").receive();
    assert_eq!(advertisement(&frame), 65535);
    assert_eq!(frame[88..90], [64, 0x80], "an on-link prefix");
    host.apply(&policy).unwrap();
    let frame = host.machine("blue-1").receive();
    assert_eq!(advertisement(&frame), 0);
    assert_eq!(
        frame.len(),
        14 + 40 + 16 + 8,
        "nothing but the router's own MAC address"
    );
}

/// The question for a next hop, and its answer, as workers tell them.
fn asked_and_answered(address: IpAddr) -> [Event; 2] {
    let uplink = UplinkId(0);
    let answer = Event::Neighbour {
        uplink,
        address,
        mac: MacAddress([2, 0, 0, 0, 0, 0x16]),
        overriding: true,
    };
    [Event::Asked { uplink, address }, answer]
}

#[test]
fn next_hops_for_which_there_is_no_room_are_not_taken_for_known() {
    let (host, _uplink) = host_1();
    let counts = host.handle.ask(|host| {
        let room = host.capacity().neighbours as u32;
        let too_many = (0..2 * room).map(|number| IpAddr::from((10 << 24 | number).to_be_bytes()));
        let events: Vec<Event> = too_many.flat_map(asked_and_answered).collect();
        host.hear(events);
        let known = host.neighbours().count();
        (
            known,
            host.policies().read().neighbours().count(),
            room as usize,
        )
    });
    let (known, in_tables, room) = counts.unwrap();
    assert_eq!(known, in_tables);
    assert!((room..2 * room).contains(&known));
}

#[test]
fn what_is_refused_takes_nothing_with_it_that_was_heard_at_the_same_time() {
    let (host, _uplink) = host_1();
    let address = |address: &str| ProviderAddress::new(address.parse().unwrap()).unwrap();
    let known = host.handle.ask(move |host| {
        let path_mtu = |path, mtu| Event::PathMtu {
            address: address(path),
            mtu,
        };
        let mut events = asked_and_answered(address("192.168.4.22").get()).to_vec();
        events.extend([
            path_mtu("203.0.113.9", 1400),
            path_mtu("192.168.4.22", 1400),
        ]);
        host.hear(events);
        let mtus: Vec<_> = host
            .path_mtus()
            .map(|mtu| mtu.address.to_string())
            .collect();
        (host.neighbours().count(), mtus)
    });
    assert_eq!(known.unwrap(), (1, vec!["192.168.4.22".to_owned()]));
}

#[test]
fn a_new_address_is_probed_at_once() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let detection = Duration::from_millis(3);
    let mut host = Running::start(&policy, "host-1", near, detection);
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    while !uplink.receive().ends_with(&blue_1_to_2()) {}
    let more = policy.replace("\"192.168.4.11\"", "\"192.168.4.11\", \"192.168.4.12\"");
    host.apply(&more).unwrap();
    // The worker has done what it was told before.
    host.counted();
    host.machine("blue-1").send(&blue_1_to_2());
    let probe = arp(1, (HOST_1, "0.0.0.0"), (NOBODY, "192.168.4.12"));
    let probe = ethernet(BROADCAST, HOST_1, 0x0806, &probe);
    loop {
        let frame = uplink.receive();
        assert!(!frame.ends_with(&blue_1_to_2()), "the probe comes later");
        if frame == probe {
            break;
        }
    }
}

#[test]
fn a_conflict_that_waits_is_heard_before_an_address_is_found_unique() {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let drawer = Drawer::default();
    let mut far_ends = Vec::new();
    for name in ["uplink", "blue-1", "red-1"] {
        let [near, far] = ends(FINISHED_ONLY);
        drawer.put(name, vec![near.into_queue()]);
        far_ends.push(far);
    }
    let options = HostOptions {
        duplicate_detection: Duration::from_nanos(3),
        ..HostOptions::default()
    };
    let (handle, inbox) = HostHandle::new();
    let listener = handle.listener();
    let devices = Box::new(drawer);
    let host = Host::start(&file(&policy), "host-1", &options, devices, listener, None).unwrap();
    // Requests that keep the host busy for longer than the detection takes.
    for _ in 0..5 {
        let busy = |_: &mut Host| thread::sleep(Duration::from_millis(15));
        handle.request(busy, |()| {}).unwrap();
    }
    handle.listener()(Event::AddressConflict {
        address: ProviderAddress::new([192, 168, 4, 11].into()).unwrap(),
        mac: MacAddress([2, 0, 0, 0, 0, 0x16]),
    });
    let thread = thread::spawn(move || serve(host, &inbox));
    let states = handle.ask(|host| host.addresses().map(|own| own.state).collect::<Vec<_>>());
    assert_eq!(states.unwrap(), [AddressState::Duplicate]);
    handle.stop();
    thread.join().unwrap();
}

#[test]
fn groups_are_reported_before_an_address_is_probed_and_announced_and_when_a_router_asks() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let policy = policy
        .replace("192.168.4.0/24", "fd00:4::/64")
        .replace("192.168.4.", "fd00:4::");
    let detection = Duration::from_millis(3);
    let host = Running::start(&policy, "host-1", near, detection);
    // What a frame is by its ICMPv6 type; that of a report stands behind the router alert.
    let kind_of = |frame: &[u8]| if frame[20] == 0 { frame[62] } else { frame[54] };
    let mut kinds = Vec::new();
    while kinds.last() != Some(&136) {
        kinds.push(kind_of(&uplink.receive()));
    }
    assert_eq!(kinds, [143, 135, 143, 135, 143, 135, 143, 136]);
    // The announcement is repeated, with a report, and then nothing is due.
    kinds.truncate(0);
    while kinds.last() != Some(&136) {
        kinds.push(kind_of(&uplink.receive()));
    }
    assert_eq!(kinds, [143, 136]);
    host.handle
        .ask(|host| host.hear([Event::ListenerQuery]))
        .unwrap();
    let report = uplink.receive();
    assert_eq!(kind_of(&report), 143);
    // The solicited-node group of the address.
    assert!(report.ends_with(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x11]));
}

#[test]
fn who_was_not_asked_is_not_believed() {
    let (mut host, mut uplink) = host_1();
    uplink.send(&host_2_answers());
    while host.counted().0.punted < 1 {
        thread::yield_now();
    }
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn what_became_of_an_address_while_a_version_was_prepared_is_not_forgotten() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start(&policy, "host-1", near, Duration::from_millis(30));
    let narrower = file(&with("mtu = 1600", "mtu = 1500"));
    host.handle
        .ask(move |host| {
            assert!(!host.is_ready());
            host.prepare(&narrower)
        })
        .unwrap()
        .unwrap();
    host.wait_until_ready();
    host.handle.ask(|host| host.commit()).unwrap().unwrap();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

/// A datagram of 3000 bytes that may be cut, with the checksum of its pseudo header alone.
fn long_datagram() -> (Vec<u8>, Offload) {
    let mut datagram = udp(2980);
    let sum = (10 << 8) + 5 + (10 << 8) + 7 + 17 + 2980;
    datagram[6..8].copy_from_slice(&u16::to_be_bytes(sum));
    let mut packet = ipv4("10.0.0.5", "10.0.0.7", 17, &datagram);
    packet[6] = 0;
    let checksum = Some(PartialChecksum {
        start: 34,
        offset: 6,
    });
    let offload = Offload {
        checksum,
        ..Offload::NONE
    };
    (ethernet(BLUE_2, BLUE_1, 0x0800, &packet), offload)
}

/// The payload of the packet that these NVGRE frames carry in fragments.
fn put_together(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut whole = vec![];
    for (number, frame) in fragments.iter().enumerate() {
        let packet = &frame[56..];
        let word = u16::from_be_bytes([packet[6], packet[7]]);
        assert_eq!(usize::from(word & 0x1fff) * 8, whole.len());
        assert_eq!(word & 0xe000 == 0, number + 1 == fragments.len());
        whole.extend(&packet[20..]);
    }
    whole
}

#[test]
fn a_packet_in_fragments_waits_as_one_and_its_checksum_is_completed_before() {
    let (mut host, mut uplink) = host_1();
    let (frame, offload) = long_datagram();
    host.machine("blue-1").send_with(&frame, offload);
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    for _ in 0..2 {
        let fragments: Vec<_> = (0..2).map(|_| uplink.receive()).collect();
        for fragment in &fragments {
            assert_eq!(fragment[..6], [2, 0, 0, 0, 0, 0x16]);
        }
        let mut datagram = put_together(&fragments);
        let words = datagram
            .chunks(2)
            .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        let pseudo_header = (10 << 8) + 5 + (10 << 8) + 7 + 17 + 2980;
        let mut sum = words.sum::<u32>() + pseudo_header;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff, "the checksum of the whole datagram");
        datagram[6..8].fill(0);
        assert_eq!(datagram, udp(2980));
        assert_eq!(uplink.receive()[56 + 9], blue_1_to_2()[14 + 9]);
        // Once more, with the next hop known.
        host.machine("blue-1").send_with(&frame, offload);
        host.machine("blue-1").send(&blue_1_to_2());
    }
}

//! Broadcast on running switches: every copy arrives once, however many there are.

use std::fmt::Write;
use std::time::Duration;

use netvirt_core::counters::{Event, Tally};

use crate::running::*;
use crate::support::{TWO_HOSTS, arp, ethernet, ipv4, packet, udp};

/// More than leave in one call.
const OTHERS: usize = 100;
/// Machines of this host beside the sender.
const NEAR: usize = 3;

fn mac(number: usize) -> String {
    format!("02:00:00:00:01:{number:02x}")
}

fn address(number: usize) -> String {
    format!("192.168.4.{}", 100 + number)
}

/// host-1 with some machines in a subnet, and many other hosts with one each. The first of these are known to host-1.
fn many_hosts(known: usize) -> String {
    let mut policy = String::from(
        "[[physical-network]]\nname = \"site-1\"\nprefix = \"192.168.4.0/24\"\nmtu = 1600\n\
         [[routing-domain]]\nname = \"blue\"\n\
         [[routing-domain.subnet]]\nvsid = 5001\nprefixes = [\"10.0.0.0/24\"]\n",
    );
    let known: Vec<_> = (0..known)
        .map(|number| {
            let (address, mac) = (address(number), mac(number));
            format!("{{ address = \"{address}\", mac = \"{mac}\" }}")
        })
        .collect();
    let mut host = |name: &str, address: &str, mac: &str, neighbours: &str| {
        write!(
            policy,
            "[[host]]\nname = \"{name}\"\nuplink = {{ mac = \"{mac}\" }}\n\
             addresses = [\"{address}\"]\nneighbours = [{neighbours}]\n"
        )
        .unwrap();
    };
    host("host-1", "192.168.4.11", HOST_1, &known.join(", "));
    for number in 0..OTHERS {
        host(&format!("far-{number}"), &address(number), &mac(number), "");
    }
    let mut machine = |name: &str, host: &str, last: usize| {
        write!(
            policy,
            "[[vm]]\nname = \"{name}\"\nsubnet = 5001\nhost = \"{host}\"\n\
             mac = \"06:06:00:00:00:{last:02x}\"\naddresses = [\"10.0.0.{last}\"]\n"
        )
        .unwrap();
    };
    machine("blue-1", "host-1", 5);
    for number in 0..NEAR {
        machine(&format!("near-{number}"), "host-1", 10 + number);
    }
    for number in 0..OTHERS {
        machine(
            &format!("there-{number}"),
            &format!("far-{number}"),
            20 + number,
        );
    }
    policy
}

/// A datagram of blue-1 to everybody; no two have the same last byte.
fn broadcast(number: u8) -> Vec<u8> {
    let mut datagram = udp(20);
    *datagram.last_mut().unwrap() = number;
    // No checksum.
    datagram[6..8].fill(0);
    let packet = ipv4("10.0.0.5", "255.255.255.255", 17, &datagram);
    ethernet(BROADCAST, BLUE_1, 0x0800, &packet)
}

/// The same, too long for a tunnel, and allowed to be cut in two.
fn long_broadcast() -> Vec<u8> {
    let packet = ipv4("10.0.0.5", "255.255.255.255", 17, &udp(2000));
    let mut frame = ethernet(BROADCAST, BLUE_1, 0x0800, &packet);
    // Without DF; the header's checksum grows by as much as the header shrinks.
    assert_eq!(frame[20], 0x40);
    frame[20] = 0;
    let (high, carry) = frame[24].overflowing_add(0x40);
    frame[24] = high;
    frame[25] += u8::from(carry);
    frame
}

fn events(host: &Running) -> [u64; 2] {
    let counters = host.handle.ask(|host| host.counters()).unwrap().unwrap();
    [Event::Copy, Event::CopyLost].map(|event| counters.event(event))
}

#[test]
fn a_broadcast_reaches_the_machines_of_its_tenant_on_another_host() {
    let [mut one, mut two] = both_hosts();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    assert!(policy.contains("red-2"), "somebody who must not hear it");
    for number in 0..3 {
        let frame = broadcast(number);
        one.machine("blue-1").send(&frame);
        assert_eq!(two.machine("blue-2").receive(), frame);
    }
    // What red-2 hears first is what was sent to it afterwards.
    let (red_1, red_2) = ("08:08:00:00:00:05", "08:08:00:00:00:07");
    let for_red = ethernet(red_2, red_1, 0x0800, &packet("10.0.0.5", "10.0.0.7"));
    one.machine("red-1").send(&for_red);
    assert_eq!(two.machine("red-2").receive(), for_red);
    assert_eq!((one.counted().0.replicated, events(&one)), (3, [3, 0]));
    assert_eq!((two.counted().0.replicated, events(&two)), (3, [3, 0]));
}

#[test]
fn more_copies_than_leave_at_once_all_leave_once_and_in_order() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&many_hosts(OTHERS - 1), "host-1", near, Duration::ZERO);
    let frames = [broadcast(1), broadcast(2)];
    for frame in &frames {
        host.machine("blue-1").send(frame);
    }
    for machine in ["near-0", "near-1", "near-2"] {
        for frame in &frames {
            assert_eq!(host.machine(machine).receive(), *frame);
        }
    }
    let last = OTHERS - 1;
    let mut seen = vec![0; last];
    let mut asked = 0;
    while seen.iter().sum::<usize>() < 2 * last || asked == 0 {
        let wire = uplink.receive();
        if wire[12..14] == [0x08, 0x06] {
            let is_question = wire[38..42] == [192, 168, 4, 100 + last as u8];
            asked += usize::from(is_question);
            continue;
        }
        let (to, count) = (usize::from(wire[5]), seen[usize::from(wire[5])]);
        assert_eq!(wire[30..34], [192, 168, 4, 100 + to as u8]);
        assert_eq!(wire[42..], frames[count], "to far-{to}");
        seen[to] += 1;
    }
    assert_eq!(seen, vec![2; last]);

    // The copies for the last host waited.
    let answer = arp(2, (&mac(last), &address(last)), (HOST_1, "192.168.4.11"));
    uplink.send(&ethernet(HOST_1, &mac(last), 0x0806, &answer));
    for frame in &frames {
        let wire = uplink.receive();
        assert_eq!(wire[..6], [2, 0, 0, 0, 1, last as u8]);
        assert_eq!(wire[42..], frame[..]);
    }
    let copies = 2 * (OTHERS + NEAR) as u64;
    assert_eq!(events(&host), [copies, 0]);
    let (totals, refused) = host.counted();
    assert_eq!((totals.replicated, totals.held, refused), (2, 0, vec![]));
}

#[test]
fn copies_that_a_device_does_not_take_are_counted_as_lost_and_delivered_to_nobody() {
    let policy = many_hosts(OTHERS - 1);
    let [near, _uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&policy, "host-1", near, Duration::ZERO);
    // Nobody empties the cables, and they hold 1024 frames.
    let sent = 1024 / OTHERS as u64 + 8;
    for number in 0..sent {
        host.machine("blue-1").send(&broadcast(number as u8));
    }
    let counted = || host.handle.ask(|host| host.counters()).unwrap().unwrap();
    while counted().totals().replicated < sent {
        std::thread::yield_now();
    }
    let counters = counted();
    let [copies, lost] = events(&host);
    assert_eq!(copies + lost, sent * (OTHERS + NEAR) as u64);
    assert!(lost > 0);
    let delivered: u64 = (0..=NEAR as u32)
        .map(|port| {
            let Tally { frames, .. } = counters.port(netvirt_core::PortId(port)).delivered;
            frames
        })
        .sum();
    assert_eq!(delivered, sent * NEAR as u64, "their cables have room");
    assert!(counters.totals().add_up());
    assert_eq!(counters.totals().dropped, 0);
}

#[test]
fn a_copy_that_is_cut_is_lost_once_if_a_piece_of_it_is() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&many_hosts(OTHERS), "host-1", near, Duration::ZERO);
    // Nobody empties the cable, and it holds 1024 pieces: of one copy more only the first is taken.
    let sent = 1024 / (2 * OTHERS as u64) + 3;
    let frame = long_broadcast();
    for _ in 0..sent {
        host.machine("blue-1").send(&frame);
    }
    let counted = || host.handle.ask(|host| host.counters()).unwrap().unwrap();
    while counted().totals().replicated < sent {
        std::thread::yield_now();
    }
    let mut pieces = [0; OTHERS];
    for _ in 0..1024 {
        let wire = uplink.receive();
        if wire[12..14] == [0x08, 0x00] {
            pieces[usize::from(wire[5])] += 1;
        }
    }
    let whole: u64 = pieces.iter().map(|pieces| pieces / 2).sum();
    let near = sent * NEAR as u64;
    let all = sent * (OTHERS + NEAR) as u64;
    assert_eq!(events(&host), [whole + near, all - whole - near]);
}

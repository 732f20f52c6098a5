//! TAPs.

use std::collections::HashSet;
use std::io::ErrorKind;

use netvirt_core::offload::Offload;
use netvirt_std::device::link::Interface;
use netvirt_std::device::namespace::Namespace;
use netvirt_std::device::tap::{Tap, TapOptions, TapReceiver, TapSender};
use netvirt_std::device::{BATCH, Capabilities, Receiver, Sender};
use rtnetlink::LinkVeth;

use crate::support::*;

const NAME: &str = "eth0";
const MTU: u32 = 1450;

fn options(namespace: &Namespace, queues: usize) -> TapOptions<'_> {
    TapOptions {
        name: NAME,
        namespace,
        mac: Some(KERNEL.mac),
        mtu: MTU,
        queues,
    }
}

/// A TAP with one queue, as the NIC of a machine that has an address.
fn machine(namespace: &Namespace) -> (TapReceiver, TapSender, Interface) {
    let mut tap = Tap::open(&options(namespace, 1)).unwrap();
    set_addresses(&tap.interface, namespace);
    let (receiver, sender) = tap.queues.pop().unwrap();
    (receiver, sender, tap.interface)
}

#[test]
fn a_tap_is_made_as_it_was_asked_for() {
    let Some(namespace) = namespace() else { return };
    let mut tap = Tap::open(&options(&namespace, 1)).unwrap();
    let link = tap.interface.link().unwrap();
    assert_eq!(link.mac, Some(KERNEL.mac));
    assert_eq!(link.mtu, MTU);
    assert!(link.is_up && link.has_carrier);
    assert_eq!(link.kind.as_deref(), Some("tun"));
    assert_eq!(tap.interface.name(), NAME);
    let same = Interface::open(NAME, &namespace).unwrap();
    assert_eq!(same.index(), tap.interface.index());
    let elsewhere = Interface::open(NAME, &self::namespace().unwrap());
    assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_the_kernel_sends_comes_out_with_its_checksum_unfinished() {
    let Some(namespace) = namespace() else { return };
    let (mut receiver, _sender, _) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    for payload in [&b"odd"[..], b"even", &[0xa5; MTU as usize - 28]] {
        socket.send_to(payload, SWITCH.port(7)).unwrap();
        let (mut frame, offload) = receive_datagram(&mut receiver);
        let checksum = offload.checksum.expect("a partial checksum");
        assert_eq!(checksum, UDP_CHECKSUM);
        assert_eq!(offload.segmentation, None);
        finish(&mut frame, checksum);
        assert_eq!(payload_from_kernel(&frame), payload);
    }
    assert_eq!(receiver.fetch().unwrap(), 0);
}

#[test]
fn what_is_sent_reaches_the_kernel_in_whatever_pieces_it_comes() {
    let Some(namespace) = namespace() else { return };
    let (_receiver, mut sender, _) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    let frame = datagram(SWITCH, KERNEL, 7, b"hello");
    for cut in [0, 14, 33, frame.len()] {
        assert!(!send(&mut sender, &frame, cut, Offload::NONE), "{cut}");
        assert_receives(&socket, b"hello");
    }
}

#[test]
fn a_checksum_may_be_left_to_the_kernel() {
    let Some(namespace) = namespace() else { return };
    let (_receiver, mut sender, _) = machine(&namespace);
    let takes_over = Capabilities {
        checksum: true,
        segmentation: false,
    };
    assert_eq!(sender.capabilities(), takes_over);
    let socket = udp_socket(&namespace, 7);
    let wrong = unfinished(datagram(SWITCH, KERNEL, 7, b"wrong"));
    assert!(!send(&mut sender, &wrong, 14, Offload::NONE));
    let partial = unfinished(datagram(SWITCH, KERNEL, 7, b"partial"));
    let offload = Offload {
        checksum: Some(UDP_CHECKSUM),
        ..Offload::NONE
    };
    assert!(!send(&mut sender, &partial, 14, offload));
    assert_receives(&socket, b"partial");
    assert_receives_nothing_more(&socket);
}

#[test]
fn batches_keep_order_and_content() {
    const BATCHES: usize = 20;
    let Some(namespace) = namespace() else { return };
    let (mut receiver, mut sender, _) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    let payload = |number: usize| vec![number as u8; 1 + number * 2 % 1400];
    for batch in 0..BATCHES {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        for number in numbers.clone() {
            socket.send_to(&payload(number), SWITCH.port(7)).unwrap();
        }
        let mut expected = numbers.clone();
        receive(&mut receiver, BATCH, is_udp, |frame, _| {
            assert_eq!(frame[42..], payload(expected.next().unwrap()));
        });
        let frames: Vec<_> = numbers
            .clone()
            .map(|number| datagram(SWITCH, KERNEL, 7, &payload(number)))
            .collect();
        let mut outgoing = outgoing(&frames, 20);
        sender.send(&mut outgoing);
        assert!(outgoing.iter().all(|frame| !frame.is_lost));
        for number in numbers {
            assert_receives(&socket, &payload(number));
        }
    }
}

#[test]
fn frames_that_cannot_be_sent_are_lost() {
    let Some(namespace) = namespace() else { return };
    let (_receiver, mut sender, interface) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    let frame = datagram(SWITCH, KERNEL, 7, b"hello");
    change_link(&interface, &namespace, |link| link.down());
    assert!(send(&mut sender, &frame, 14, Offload::NONE));
    change_link(&interface, &namespace, |link| link.up());
    assert!(send(&mut sender, &frame[..13], 13, Offload::NONE), "cut");
    assert!(!send(&mut sender, &frame, 14, Offload::NONE));
    assert_receives(&socket, b"hello");
    assert_receives_nothing_more(&socket);
}

#[test]
fn frames_that_are_not_fetched_in_time_are_counted_by_the_interface() {
    const SENT: u64 = 3000;
    let Some(namespace) = namespace() else { return };
    let (mut receiver, _sender, mut interface) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    for _ in 0..SENT {
        socket.send_to(b"x", SWITCH.port(7)).unwrap();
    }
    let mut fetched = 0;
    loop {
        match receiver.fetch().unwrap() {
            0 => break,
            count => fetched += count as u64,
        }
    }
    let counters = interface.link().unwrap().counters;
    assert!(counters.tx_dropped > 0);
    assert_eq!(fetched + counters.tx_dropped, SENT);
}

#[test]
fn another_switch_takes_over_before_the_first_lets_go() {
    let Some(namespace) = namespace() else { return };
    let (mut first, first_sender, _) = machine(&namespace);
    let mut second = Tap::open(&options(&namespace, 1)).unwrap();
    let (mut receiver, mut sender) = second.queues.pop().unwrap();
    let socket = udp_socket(&namespace, 7);
    // While both are attached, the kernel chooses.
    socket.send_to(b"either", SWITCH.port(7)).unwrap();
    wait_for(&[&first, &receiver]);
    assert_eq!(first.fetch().unwrap() + receiver.fetch().unwrap(), 1);
    let frame = datagram(SWITCH, KERNEL, 7, b"second");
    assert!(!send(&mut sender, &frame, 14, Offload::NONE));
    assert_receives(&socket, b"second");

    drop((first, first_sender));
    for port in 1000..1000 + BATCH as u16 {
        let flow = udp_socket(&namespace, port);
        flow.send_to(&port.to_be_bytes(), SWITCH.port(port))
            .unwrap();
        let (frame, offload) = receive_datagram(&mut receiver);
        assert_eq!(frame[42..], port.to_be_bytes());
        assert_eq!(offload.checksum, Some(UDP_CHECKSUM));
    }
    assert!(!send(&mut sender, &frame, 14, Offload::NONE));
    assert_receives(&socket, b"second");
    let link = second.interface.link().unwrap();
    assert_eq!((link.mac, link.mtu), (Some(KERNEL.mac), MTU));
}

#[test]
fn a_tap_stays_until_it_is_removed() {
    let Some(namespace) = namespace() else { return };
    let tap = Tap::open(&options(&namespace, 1)).unwrap();
    let index = tap.interface.index();
    drop(tap);
    let tap = Tap::open(&options(&namespace, 1)).unwrap();
    assert_eq!(tap.interface.index(), index);
    Tap::remove(NAME, &namespace).unwrap();
    assert!(Interface::open(NAME, &namespace).is_ok(), "still in use");
    drop(tap);
    let gone = Interface::open(NAME, &namespace).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let again = Tap::remove(NAME, &namespace).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
}

#[test]
fn a_device_that_was_deleted_says_so() {
    let Some(namespace) = namespace() else { return };
    let (mut receiver, mut sender, mut interface) = machine(&namespace);
    let index = interface.index();
    configure(&namespace, async move |handle| {
        handle.link().del(index).execute().await
    });
    wait_for(&[&receiver]);
    receiver.fetch().unwrap_err();
    let frame = datagram(SWITCH, KERNEL, 7, b"hello");
    assert!(send(&mut sender, &frame, 14, Offload::NONE));
    let error = interface.link().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn flows_are_spread_over_queues() {
    const FLOWS: u16 = 64;
    let Some(namespace) = namespace() else { return };
    let mut tap = Tap::open(&options(&namespace, 2)).unwrap();
    set_addresses(&tap.interface, &namespace);
    let [(one, one_sender), (other, other_sender)] = &mut tap.queues[..] else {
        panic!("two queues");
    };
    for port in 1000..1000 + FLOWS {
        let socket = udp_socket(&namespace, port);
        socket
            .send_to(&port.to_be_bytes(), SWITCH.port(port))
            .unwrap();
    }
    let mut flows = HashSet::new();
    let mut counts = [0, 0];
    until(|| {
        wait_for(&[one, other]);
        for (receiver, count) in [&mut *one, &mut *other].into_iter().zip(&mut counts) {
            let fetched = receiver.fetch().unwrap();
            *count += fetched;
            for number in 0..fetched {
                assert!(flows.insert(receiver.frame(number).bytes[42..].to_vec()));
            }
        }
        flows.len() == usize::from(FLOWS)
    });
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    let socket = udp_socket(&namespace, 7);
    for sender in [one_sender, other_sender] {
        let frame = datagram(SWITCH, KERNEL, 7, b"hello");
        assert!(!send(sender, &frame, 14, Offload::NONE));
        assert_receives(&socket, b"hello");
    }
}

#[test]
fn an_interface_of_another_kind_is_refused_and_left_alone() {
    let Some(namespace) = namespace() else { return };
    configure(&namespace, async |handle| {
        let veth = LinkVeth::new(NAME, "peer").build();
        handle.link().add(veth).execute().await
    });
    let before = Interface::open(NAME, &namespace).unwrap().link().unwrap();
    for error in [
        Tap::open(&options(&namespace, 1)).unwrap_err(),
        Tap::remove(NAME, &namespace).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "interface eth0 in the network namespace of a file descriptor is no TAP but of the kind veth; \
             choose another name, or delete it with `ip link delete eth0`"
        );
    }
    let after = Interface::open(NAME, &namespace).unwrap().link().unwrap();
    assert_eq!(after, before);
}

#[test]
fn a_tap_that_cannot_be_set_up_is_not_left_behind() {
    let Some(namespace) = namespace() else { return };
    let too_large = TapOptions {
        mtu: 70_000,
        ..options(&namespace, 1)
    };
    let error = Tap::open(&too_large).unwrap_err().to_string();
    assert!(error.contains("cannot be given MTU 70000"), "{error}");
    let gone = Interface::open(NAME, &namespace).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn a_check_leaves_no_trace() {
    let Some(namespace) = namespace() else { return };
    Tap::check(&options(&namespace, 1)).unwrap();
    let gone = Interface::open(NAME, &namespace).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let mut tap = Tap::open(&options(&namespace, 1)).unwrap();
    let before = tap.interface.link().unwrap();
    let narrow = TapOptions {
        mtu: 1300,
        ..options(&namespace, 1)
    };
    Tap::check(&narrow).unwrap();
    assert_eq!(tap.interface.link().unwrap(), before);
    let too_large = TapOptions {
        mtu: 70_000,
        name: "eth1",
        ..options(&namespace, 1)
    };
    Tap::check(&too_large).unwrap_err();
}

#[test]
fn larger_packets_are_received_as_soon_as_the_mtu_allows_them() {
    let Some(namespace) = namespace() else { return };
    let (mut receiver, _sender, mut interface) = machine(&namespace);
    let socket = udp_socket(&namespace, 7);
    for mtu in [9000, 65_000] {
        Tap::fit(&mut interface, &std::sync::Weak::new(), None, mtu).unwrap();
        let payload = vec![7; mtu as usize - 28];
        socket.send_to(&payload, SWITCH.port(7)).unwrap();
        let (frame, offload) = receive_datagram(&mut receiver);
        assert_eq!(frame[42..], payload);
        assert_eq!(offload.checksum, Some(UDP_CHECKSUM));
    }
}

#[test]
fn what_cannot_name_an_interface_is_refused() {
    let namespace = Namespace::current();
    for name in ["", "sixteen-letters-", "a b", "a/b", "tap%d", "..", "a:1"] {
        let nameless = TapOptions {
            name,
            ..options(&namespace, 1)
        };
        let error = Tap::open(&nameless).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.to_string();
        assert!(message.contains("cannot name an interface"), "{message}");
    }
}

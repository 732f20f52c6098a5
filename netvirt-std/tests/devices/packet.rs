//! Packet sockets on both ends of veth pairs.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netvirt_core::offload::Offload;
use netvirt_std::device::packet::{PacketDevice, PacketOptions, Role};
use netvirt_std::device::{BATCH, Receiver};

use crate::cable::*;
use crate::support::*;

#[test]
fn frames_arrive_in_order_however_often_the_ring_goes_round() {
    const ROUNDS: usize = 8000 / BATCH;
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    for round in 0..ROUNDS {
        // Neither the ring nor a batch is a multiple of this.
        let count = 1 + round % (2 * BATCH + 3);
        let numbers = round * 100..round * 100 + count;
        let frames: Vec<_> = numbers.clone().map(experiment).collect();
        assert!(send_all(&mut sender, &frames).is_empty());
        let mut expected = frames.iter();
        receive(&mut receiver, count, is_experiment, |frame, offload| {
            assert_eq!(frame, expected.next().unwrap());
            assert_eq!(offload, Offload::NONE);
        });
    }
}

#[test]
fn frames_that_are_not_fetched_in_time_are_counted_as_missed() {
    const SENT: usize = 3 * MANY;
    let Some(cable) = Cable::new() else { return };
    let mut device = cable.open(&cable.near, Role::Uplink, 1);
    let (_, mut sender) = cable.far(Role::Uplink);
    let frames: Vec<_> = (0..SENT).map(experiment).collect();
    assert!(send_all(&mut sender, &frames).is_empty());
    let (receiver, _) = &mut device.queues[0];
    let mut fetched = Vec::new();
    let mut missed = 0;
    until(|| {
        wait_for(&[receiver]);
        for number in 0..receiver.fetch().unwrap() {
            let frame = receiver.frame(number).bytes;
            assert_eq!(frame, frames[number_of(frame)]);
            fetched.push(number_of(frame));
        }
        receiver.release();
        missed = device.missed.total().unwrap() as usize;
        fetched.len() + missed == SENT
    });
    assert!(missed > 0);
    assert!(fetched.is_sorted());
    assert!(
        fetched.iter().copied().take(MANY).eq(0..MANY),
        "the oldest are kept"
    );

    assert!(send_all(&mut sender, &frames[..1]).is_empty());
    receive(receiver, 1, is_experiment, |_, _| {});
    assert_eq!(device.missed.total().unwrap(), missed as u64);
}

#[test]
fn a_ring_has_room_for_as_many_frames_whatever_their_size() {
    for (role, room) in [(Role::Uplink, 2048), (Role::Port, 512)] {
        for mtu in [MTU, 9000, 65535] {
            let Some(cable) = Cable::new() else { return };
            cable.change_mtu(mtu);
            let mut device = cable.open(&cable.near, role, 1);
            let (_, mut sender) = cable.far(Role::Uplink);
            let frames: Vec<_> = (0..room).map(experiment).collect();
            assert!(send_all(&mut sender, &frames).is_empty());
            let mut expected = frames.iter();
            let (receiver, _) = &mut device.queues[0];
            receive(receiver, room, is_experiment, |frame, _| {
                assert_eq!(frame, expected.next().unwrap());
            });
            assert_eq!(device.missed.total().unwrap(), 0);
        }
    }
}

#[test]
fn the_ring_of_a_port_is_small() {
    let Some(cable) = Cable::new() else { return };
    let mut device = cable.open(&cable.near, Role::Port, 1);
    let (_, mut sender) = cable.far(Role::Uplink);
    let frames: Vec<_> = (0..MANY).map(experiment).collect();
    assert!(send_all(&mut sender, &frames).is_empty());
    assert!(device.missed.total().unwrap() > MANY as u64 / 2);
}

#[test]
fn a_released_ring_is_not_ready_until_something_comes() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, mut near) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    assert!(!is_ready(&receiver));
    send_all(&mut sender, &[experiment(1)]);
    wait_for(&[&receiver]);
    assert_eq!(receiver.fetch().unwrap(), 1);
    receiver.release();
    assert!(!is_ready(&receiver));
    // What the switch itself sends does not come back.
    assert!(send_all(&mut near, &[experiment(2)]).is_empty());
    assert!(!is_ready(&receiver));
    assert_eq!(receiver.fetch().unwrap(), 0);
}

#[test]
fn tags_stay_in_their_frames() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    for tags in [
        &[0x81, 0x00, 0xe1, 0x23][..],
        &[0x81, 0x00, 0x00, 0x00],
        &[0x88, 0xa8, 0x00, 0x05],
        &[0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x07],
        &[0x91, 0x00, 0x00, 0x05],
    ] {
        for number in [0, MTU as usize - 50 - 1] {
            let mut frame = experiment(number);
            frame.splice(12..12, tags.iter().copied());
            // Linux makes room for a tag of the usual kind only.
            let room = if tags[0] == 0x81 { 4 } else { 0 };
            frame.truncate(MTU as usize + 14 + room);
            assert!(send_all(&mut sender, &[frame.clone()]).is_empty());
            let is_tagged = |frame: &[u8]| frame.get(12..12 + tags.len()) == Some(tags);
            receive(&mut receiver, 1, is_tagged, |received, _| {
                assert_eq!(received, frame);
            });
        }
    }
}

#[test]
fn a_frame_that_does_not_fit_comes_out_empty() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    cable.change_mtu(9000);
    let large = [experiment(0), vec![0; 3000]].concat();
    let fitting = experiment(MTU as usize - 51);
    assert!(send_all(&mut sender, &[large, fitting.clone()]).is_empty());
    let mut frames = Vec::new();
    receive(
        &mut receiver,
        2,
        |_| true,
        |frame, _| {
            frames.push(frame.to_vec());
        },
    );
    assert_eq!(frames, [vec![], fitting]);
}

#[test]
fn only_frames_that_fail_are_lost() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    let mut frames: Vec<_> = (0..BATCH + 8).map(experiment).collect();
    // Too large for the interface: first, two in a row, the last of a batch, the first of the next, and the last of all.
    let lost = [0, 5, 6, BATCH - 1, BATCH, BATCH + 7];
    for number in lost {
        frames[number].resize(MTU as usize + 100, 0);
    }
    assert_eq!(send_all(&mut sender, &frames), lost);
    let mut numbers = Vec::new();
    receive(
        &mut receiver,
        frames.len() - lost.len(),
        is_experiment,
        |frame, _| numbers.push(number_of(frame)),
    );
    let kept = (0..frames.len()).filter(|number| !lost.contains(number));
    assert_eq!(numbers, kept.collect::<Vec<_>>());
}

#[test]
fn a_link_that_goes_down_loses_frames_and_comes_up_again() {
    let Some(mut cable) = Cable::new() else {
        return;
    };
    let (mut receiver, mut near) = cable.near(Role::Uplink);
    let (_, mut sender) = cable.far(Role::Uplink);
    let frames: Vec<_> = (0..3).map(experiment).collect();
    change_link(&cable.near, &cable.namespace, |link| link.down());
    assert_eq!(send_all(&mut near, &frames), [0, 1, 2]);
    // The kernel tells of it once.
    wait_for(&[&receiver]);
    assert_eq!(receiver.fetch().unwrap(), 0);
    assert!(!is_ready(&receiver));
    change_link(&cable.near, &cable.namespace, |link| link.up());
    await_carrier(&mut cable.far);
    assert!(send_all(&mut near, &frames).is_empty());
    assert!(send_all(&mut sender, &frames).is_empty());
    receive(&mut receiver, 3, is_experiment, |_, _| {});
}

#[test]
fn a_device_that_was_deleted_says_so() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, mut sender) = cable.near(Role::Uplink);
    let index = cable.near.index();
    configure(&cable.namespace, async move |handle| {
        handle.link().del(index).execute().await
    });
    wait_for(&[&receiver]);
    receiver.fetch().unwrap_err();
    assert_eq!(send_all(&mut sender, &[experiment(0)]), [0]);
}

#[test]
fn a_device_that_was_set_down_and_deleted_is_gone() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _sender) = cable.near(Role::Uplink);
    change_link(&cable.near, &cable.namespace, |link| link.down());
    wait_for(&[&receiver]);
    assert_eq!(receiver.fetch().unwrap(), 0);
    assert!(!receiver.is_gone());
    let index = cable.near.index();
    configure(&cable.namespace, async move |handle| {
        handle.link().del(index).execute().await
    });
    // Nothing becomes readable, and no error is told.
    assert!(receiver.is_gone());
}

#[test]
fn flows_are_spread_over_queues_and_no_frame_comes_twice() {
    const FLOWS: u16 = 64;
    let Some(cable) = Cable::new() else { return };
    let mut device = cable.open(&cable.near, Role::Uplink, 2);
    let (_, mut sender) = cable.far(Role::Uplink);
    let [(one, one_sender), (other, other_sender)] = &mut device.queues[..] else {
        panic!("two queues");
    };
    for round in 0..3u8 {
        let frames: Vec<_> = (0..FLOWS)
            .map(|port| datagram(KERNEL, SWITCH, 1000 + port, &[round]))
            .collect();
        assert!(send_all(&mut sender, &frames).is_empty());
        let mut received = HashSet::new();
        let mut counts = [0, 0];
        until(|| {
            wait_for(&[one, other]);
            for (receiver, count) in [&mut *one, &mut *other].into_iter().zip(&mut counts) {
                let fetched = receiver.fetch().unwrap();
                *count += fetched;
                for number in 0..fetched {
                    assert!(received.insert(receiver.frame(number).bytes.to_vec()));
                }
                receiver.release();
            }
            received.len() == frames.len()
        });
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        assert_eq!(received, HashSet::from_iter(frames));
    }
    // Nor what the switch itself sends.
    for sender in [one_sender, other_sender] {
        assert!(send_all(sender, &[experiment(0)]).is_empty());
    }
    assert!(!is_ready(one) && !is_ready(other));
}

#[test]
fn a_flow_that_has_begun_to_arrive_goes_on_while_queues_are_opened() {
    const QUEUES: usize = 8;
    const FLOWS: usize = 16;
    let Some(cable) = Cable::new() else { return };
    let (_, mut sender) = cable.far(Role::Uplink);
    let is_open = AtomicBool::new(false);
    let (mut device, sent) = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut number = 0_u32;
            // The last round comes when all queues are open.
            let mut is_last = false;
            while !is_last {
                is_last = is_open.load(Ordering::Acquire);
                let flow = |port| datagram(KERNEL, SWITCH, port as u16, &number.to_be_bytes());
                let frames: Vec<_> = (0..FLOWS).map(flow).collect();
                assert!(send_all(&mut sender, &frames).is_empty());
                number += 1;
            }
            number as usize
        });
        let device = cable.open(&cable.near, Role::Uplink, QUEUES);
        is_open.store(true, Ordering::Release);
        (device, sending.join().unwrap())
    });
    let mut arrived = vec![Vec::new(); FLOWS];
    for (receiver, _) in &mut device.queues {
        loop {
            let count = receiver.fetch().unwrap();
            for number in 0..count {
                let frame = receiver.frame(number).bytes;
                let flow = u16::from_be_bytes(frame[34..36].try_into().unwrap());
                let number = u32::from_be_bytes(frame[42..46].try_into().unwrap());
                arrived[usize::from(flow)].push(number as usize);
            }
            if count == 0 {
                break;
            }
        }
    }
    let lost = arrived
        .iter()
        .map(|numbers| sent - numbers[0] - numbers.len());
    let lost: usize = lost.sum();
    assert_eq!(lost as u64, device.missed.total().unwrap(), "{arrived:?}");
}

#[test]
fn frames_may_go_past_the_queueing_discipline() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Uplink);
    let straight = PacketOptions {
        bypass_qdisc: true,
        ..cable.options("far", Role::Uplink, 1)
    };
    let mut device = PacketDevice::open(&straight).unwrap();
    let (_, sender) = &mut device.queues[0];
    let frames: Vec<_> = (0..5).map(experiment).collect();
    assert!(send_all(sender, &frames).is_empty());
    let mut expected = frames.iter();
    receive(&mut receiver, 5, is_experiment, |frame, _| {
        assert_eq!(frame, expected.next().unwrap());
    });
}

#[test]
fn interfaces_that_cannot_be_taken_are_refused() {
    let Some(cable) = Cable::new() else { return };
    let refusal = |interface| {
        let options = cable.options(interface, Role::Uplink, 1);
        let error = PacketDevice::open(&options).unwrap_err();
        (error.kind(), error.to_string())
    };
    let place = "in the network namespace of a file descriptor";
    assert_eq!(
        refusal("u0"),
        (
            ErrorKind::NotFound,
            format!("interface u0 {place} does not exist; `ip link` lists what there is")
        )
    );
    assert_eq!(
        refusal("lo"),
        (
            ErrorKind::Unsupported,
            format!("interface lo {place} is no Ethernet interface")
        )
    );
    change_link(&cable.near, &cable.namespace, |link| link.down());
    assert_eq!(
        refusal("near"),
        (
            ErrorKind::NetworkDown,
            format!("interface near {place} is down; set it up with `ip link set near up`")
        )
    );
}

//! Devices in memory. These need no rights.

use netvirt_core::offload::Offload;
use netvirt_std::device::memory::{MemoryReceiver, MemorySender, cable};
use netvirt_std::device::{BATCH, Capabilities, Outgoing, Receiver, Sender};

use crate::support::{UDP_CHECKSUM, is_ready, wait_for};

/// Sends frames of one byte each and yields those that were lost.
fn send(sender: &mut MemorySender, frames: &[u8]) -> Vec<u8> {
    let mut outgoing: Vec<_> = frames
        .iter()
        .map(|byte| Outgoing {
            front: std::slice::from_ref(byte),
            rest: &[],
            offload: Offload::NONE,
            is_lost: false,
        })
        .collect();
    sender.send(&mut outgoing);
    let lost = outgoing.iter().filter(|frame| frame.is_lost);
    lost.map(|frame| frame.front[0]).collect()
}

fn fetch(receiver: &mut MemoryReceiver) -> Vec<u8> {
    let count = receiver.fetch().unwrap();
    let bytes = (0..count).map(|number| receiver.frame(number).bytes[0]);
    bytes.collect()
}

#[test]
fn each_end_receives_what_the_other_sends() {
    let [(mut one, mut to_other), (mut other, mut to_one)] =
        cable(8, Capabilities::default()).unwrap();
    assert!(send(&mut to_other, &[1, 2]).is_empty());
    assert!(send(&mut to_one, &[3]).is_empty());
    assert_eq!(fetch(&mut other), [1, 2]);
    assert_eq!(fetch(&mut one), [3]);
    assert!(fetch(&mut one).is_empty() && fetch(&mut other).is_empty());
}

#[test]
fn both_pieces_and_the_work_arrive() {
    let takes_over = Capabilities {
        checksum: true,
        segmentation: false,
    };
    let [(_, mut sender), (mut receiver, _)] = cable(1, takes_over).unwrap();
    assert_eq!(sender.capabilities(), takes_over);
    let offload = Offload {
        checksum: Some(UDP_CHECKSUM),
        ..Offload::NONE
    };
    let mut outgoing = [Outgoing {
        front: b"front ",
        rest: b"and rest",
        offload,
        is_lost: false,
    }];
    sender.send(&mut outgoing);
    assert!(!outgoing[0].is_lost);
    assert_eq!(receiver.fetch().unwrap(), 1);
    let frame = receiver.frame(0);
    assert_eq!(frame.bytes, b"front and rest");
    assert_eq!(frame.offload, offload);
}

#[test]
fn a_full_queue_loses_the_newest() {
    let [(_, mut sender), (mut receiver, _)] = cable(3, Capabilities::default()).unwrap();
    assert_eq!(send(&mut sender, &[1, 2, 3, 4, 5]), [4, 5]);
    assert_eq!(send(&mut sender, &[6]), [6]);
    assert_eq!(fetch(&mut receiver), [1, 2, 3]);
    assert!(send(&mut sender, &[7]).is_empty());
    assert_eq!(fetch(&mut receiver), [7]);
}

#[test]
fn an_end_is_ready_as_long_as_there_are_frames() {
    let [(_, mut sender), (mut receiver, _)] = cable(2 * BATCH, Capabilities::default()).unwrap();
    assert!(!is_ready(&receiver));
    for _ in 0..3 {
        send(&mut sender, &[1; BATCH + 1]);
        wait_for(&[&receiver]);
        assert_eq!(fetch(&mut receiver).len(), BATCH);
        assert!(is_ready(&receiver));
        send(&mut sender, &[2]);
        assert_eq!(fetch(&mut receiver), [1, 2]);
        assert!(!is_ready(&receiver));
    }
    send(&mut sender, &[]);
    assert!(!is_ready(&receiver));
}

#[test]
fn a_waiting_thread_is_woken() {
    let [(_, mut sender), (mut receiver, _)] = cable(1, Capabilities::default()).unwrap();
    let waiting = std::thread::spawn(move || {
        wait_for(&[&receiver]);
        fetch(&mut receiver)
    });
    assert!(send(&mut sender, &[9]).is_empty());
    assert_eq!(waiting.join().unwrap(), [9]);
}

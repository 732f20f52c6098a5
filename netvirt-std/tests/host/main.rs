//! Running switches on cables in memory: what their machines and the provider network see.

mod devices;
mod network;
mod nic;
mod offloaded;
mod replication;
mod running;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use crate::support::{TWO_HOSTS, arp, ethernet, ipv4, packet};
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_std::capture::CaptureReader;
use netvirt_std::capture::live::LiveCapture;

use crate::running::*;

#[test]
fn a_frame_arrives_as_it_was_sent_at_its_tenants_machine_on_another_host() {
    let [mut one, mut two] = both_hosts();
    let frame = blue_1_to_2();
    one.machine("blue-1").send(&frame);
    assert_eq!(two.machine("blue-2").receive(), frame);
    let back = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    two.machine("blue-2").send(&back);
    assert_eq!(one.machine("blue-1").receive(), back);
    for host in [&one, &two] {
        let (totals, refused) = host.counted();
        assert!(totals.add_up());
        assert_eq!(refused, []);
    }
    assert_eq!(one.counted().0.held, 1);
    assert_eq!(two.counted().0.transmitted + two.counted().0.held, 1);
}

#[test]
fn a_capture_shows_what_caused_a_message_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host-1.pcapng");
    let (capture, recording) = LiveCapture::start(&path).unwrap();
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host =
        Running::start_with_queues(&policy, "host-1", vec![near], Duration::ZERO, Some(capture));
    let asked = arp(1, (BLUE_1, "10.0.0.5"), (NOBODY, "10.0.0.7"));
    let asked = ethernet(BROADCAST, BLUE_1, 0x0806, &asked);
    host.machine("blue-1").send(&asked);
    let answered = host.machine("blue-1").receive();
    let held = blue_1_to_2();
    host.machine("blue-1").send(&held);
    let question = until_asked(&mut uplink, "192.168.4.22");
    drop(host);
    recording.finish().unwrap();
    let captured = CaptureReader::open(&path).unwrap();
    let captured: Vec<_> = captured.map(|frame| frame.unwrap().bytes).collect();
    let position = |wanted: &Vec<u8>| captured.iter().position(|frame| frame == wanted).unwrap();
    assert!(position(&asked) < position(&answered));
    assert!(position(&held) < position(&question));
}

#[test]
fn a_partial_checksum_is_completed_for_the_wire() {
    let (mut host, mut uplink) = host_1();
    let datagram = [
        0x04, 0x57, 0x08, 0xae, 0x00, 0x0c, 0x00, 0x00, b'h', b'n', b'v', b'!',
    ];
    let pseudo_header = [10 << 8, 5, 10 << 8, 7, 17, 12];
    let sum: u32 = pseudo_header.iter().sum();
    let mut partial = datagram;
    partial[6..8].copy_from_slice(&(sum as u16).to_be_bytes());
    let frame = ethernet(
        BLUE_2,
        BLUE_1,
        0x0800,
        &ipv4("10.0.0.5", "10.0.0.7", 17, &partial),
    );
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 6,
        }),
        ..Offload::NONE
    };
    host.machine("blue-1").send_with(&frame, offload);
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    let (sent, left) = uplink.receive_with();
    assert_eq!(left, Offload::NONE);
    let words: u32 = datagram
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let mut whole = sum + words;
    whole = (whole & 0xffff) + (whole >> 16);
    let expected = !(whole as u16);
    let at = sent.len() - datagram.len() + 6;
    assert_eq!(sent[at..at + 2], expected.to_be_bytes());
}

#[test]
fn a_machine_that_moves_is_reached_at_its_new_host_and_late_frames_follow_it() {
    let [mut one, mut two] = both_hosts();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let to_blue_1 = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    two.machine("blue-2").send(&to_blue_1);
    assert_eq!(one.machine("blue-1").receive(), to_blue_1);
    // Back to how it was and there again: the numbers of ports must not get mixed up.
    for _ in 0..2 {
        two.plug("blue-1");
        let moved = blue_1_moves("\nmigrating-from = \"host-1\"");
        two.apply(&moved).unwrap();
        two.machine("blue-2").send(&to_blue_1);
        assert_eq!(two.machine("blue-1").receive(), to_blue_1);
        one.apply(&moved).unwrap();
        let retired = blue_1_moves("");
        one.apply(&retired).unwrap();
        two.apply(&retired).unwrap();
        one.plug("blue-1");
        one.apply(&policy).unwrap();
        two.apply(&policy).unwrap();
        two.machine("blue-2").send(&to_blue_1);
        assert_eq!(one.machine("blue-1").receive(), to_blue_1);
    }
    for host in [&one, &two] {
        let (totals, refused) = host.counted();
        assert!(totals.add_up());
        assert_eq!(refused, []);
    }
}

#[test]
fn the_same_version_again_changes_nothing() {
    let (host, _uplink) = host_1();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let version = host.handle.ask(|host| host.version()).unwrap();
    assert_eq!(host.apply(&policy).unwrap(), version);
}

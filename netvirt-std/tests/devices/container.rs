//! What the kernel of a container leaves undone, and what it can be told.

use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_std::device::packet::Role;
use netvirt_std::device::{Capabilities, Sender};

use crate::cable::*;
use crate::support::*;

#[test]
fn a_partial_checksum_is_found_behind_a_tag() {
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Port);
    let (_, mut sender) = cable.far(Role::Port);
    let mut frame = unfinished(datagram(KERNEL, SWITCH, 7, b"tagged"));
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: UDP_START + 4,
            offset: 6,
        }),
        ..Offload::NONE
    };
    assert!(!send(&mut sender, &frame, 18, offload));
    receive(
        &mut receiver,
        1,
        |_| true,
        |received, work| {
            assert_eq!(received, frame);
            assert_eq!(work, offload);
        },
    );
}

#[test]
fn what_a_container_sends_comes_out_with_its_checksum_unfinished() {
    for role in [Role::Port, Role::Uplink] {
        let Some(cable) = Cable::new() else { return };
        set_addresses(&cable.far, &cable.namespace);
        let (mut receiver, _) = cable.near(role);
        let socket = udp_socket(&cable.namespace, 7);
        socket.send_to(b"partial", SWITCH.port(7)).unwrap();
        let (mut frame, offload) = receive_datagram(&mut receiver);
        assert_eq!(offload.checksum, Some(UDP_CHECKSUM));
        finish(&mut frame, UDP_CHECKSUM);
        assert_eq!(payload_from_kernel(&frame), b"partial");
    }
}

#[test]
fn an_unfinished_crc_of_sctp_comes_out_finished() {
    const SCTP: u8 = 132;
    // The CRC32c of 32 zeros, in the order of the wire (RFC 3720 §B.4).
    const FINISHED: [u8; 4] = [0xaa, 0x36, 0x91, 0x8a];
    let Some(cable) = Cable::new() else { return };
    let (mut receiver, _) = cable.near(Role::Port);
    let (_, mut sender) = cable.far(Role::Port);
    let mut packet = datagram(KERNEL, SWITCH, 0, &[0; 24]);
    packet[23] = SCTP;
    packet[34..].fill(0);
    let mut finished = packet.clone();
    finished[42..46].copy_from_slice(&FINISHED);
    packet[42..46].copy_from_slice(b"left");
    // Thus looks what the kernel leaves undone of SCTP behind a veth pair that claims to do it.
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 8,
        }),
        ..Offload::NONE
    };
    assert!(!send(&mut sender, &packet, 34, offload));
    let is_sctp = |frame: &[u8]| frame.get(23) == Some(&SCTP);
    receive(&mut receiver, 1, is_sctp, |frame, offload| {
        assert_eq!(frame, finished);
        assert_eq!(offload, Offload::NONE);
    });
}

#[test]
fn whatever_a_container_may_leave_undone_the_crc_of_sctp_is_not() {
    let Some(cable) = Cable::new() else { return };
    let has = |name| has_feature(&cable.far, &cable.namespace, name);
    assert!(has("tx-checksum-sctp"), "veth offers it");
    for checksum in [true, false, true] {
        let offloads = Capabilities {
            checksum,
            segmentation: false,
        };
        cable.far.set_transmit_offloads(offloads).unwrap();
        assert_eq!(has("tx-checksum-ip-generic"), checksum);
        assert!(!has("tx-checksum-sctp"));
        assert!(!has("tx-sctp-segmentation"));
    }
}

#[test]
fn a_container_can_be_told_to_leave_nothing_undone() {
    let Some(cable) = Cable::new() else { return };
    set_addresses(&cable.far, &cable.namespace);
    let (mut receiver, _) = cable.near(Role::Port);
    let socket = udp_socket(&cable.namespace, 7);
    for checksum in [false, true] {
        let offloads = Capabilities {
            checksum,
            segmentation: false,
        };
        cable.far.set_transmit_offloads(offloads).unwrap();
        socket.send_to(b"complete?", SWITCH.port(7)).unwrap();
        let (frame, offload) = receive_datagram(&mut receiver);
        assert_eq!(offload.checksum.is_some(), checksum);
        if !checksum {
            assert_eq!(payload_from_kernel(&frame), b"complete?");
        }
    }
}

#[test]
fn a_container_can_be_told_to_send_no_super_frames() {
    let Some(cable) = Cable::new() else { return };
    set_addresses(&cable.far, &cable.namespace);
    let (mut receiver, _) = cable.near(Role::Port);
    let socket = udp_socket(&cable.namespace, 7);
    set_segment_size(&socket, 100);
    let mut lengths = Vec::new();
    for segmentation in [true, false] {
        let offloads = Capabilities {
            checksum: true,
            segmentation,
        };
        cable.far.set_transmit_offloads(offloads).unwrap();
        socket.send_to(&[7; 300], SWITCH.port(7)).unwrap();
        let count = if segmentation { 1 } else { 3 };
        receive(&mut receiver, count, is_udp, |frame, offload| {
            assert_eq!(offload.segmentation.is_some(), segmentation);
            lengths.push(frame.len());
        });
    }
    assert_eq!(lengths, [342, 142, 142, 142]);
}

#[test]
fn received_frames_are_not_merged() {
    const ETHTOOL_GGRO: u32 = 0x2b;
    const ETHTOOL_SGRO: u32 = 0x2c;
    for role in [Role::Uplink, Role::Port] {
        let Some(cable) = Cable::new() else { return };
        let ask = |command, value| ethtool(&cable.near, &cable.namespace, command, value);
        ask(ETHTOOL_SGRO, 1);
        assert_eq!(ask(ETHTOOL_GGRO, 0), 1);
        let _device = cable.open(&cable.near, role, 1);
        assert_eq!(ask(ETHTOOL_GGRO, 0), 0);
    }
}

#[test]
fn a_port_takes_checksums_over_and_an_uplink_does_not() {
    let Some(cable) = Cable::new() else { return };
    set_addresses(&cable.far, &cable.namespace);
    let socket = udp_socket(&cable.namespace, 7);
    let (_, mut port) = cable.near(Role::Port);
    let takes_over = Capabilities {
        checksum: true,
        segmentation: false,
    };
    assert_eq!(port.capabilities(), takes_over);
    let partial = unfinished(datagram(SWITCH, KERNEL, 7, b"partial"));
    assert!(!send(&mut port, &partial, 14, Offload::NONE), "wrong");
    let offload = Offload {
        checksum: Some(UDP_CHECKSUM),
        ..Offload::NONE
    };
    assert!(!send(&mut port, &partial, 14, offload));
    assert_receives(&socket, b"partial");

    let (_, mut uplink) = cable.near(Role::Uplink);
    assert_eq!(uplink.capabilities(), Capabilities::default());
    let complete = datagram(SWITCH, KERNEL, 7, b"complete");
    assert!(!send(&mut uplink, &complete, 14, Offload::NONE));
    assert_receives(&socket, b"complete");
    assert_receives_nothing_more(&socket);
}

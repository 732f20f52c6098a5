//! Frames that go no further: what they are told to be near to.

use super::*;

#[test]
fn a_packet_too_big_is_told_with_both_sizes() {
    let large = ipv4("10.0.0.5", "10.0.0.7", 17, &udp(1480));
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &large);
    let near = "the packet has 1500 bytes; in NVGRE the path carries 1458, more if the physical network's MTU is raised";
    let (verdict, near_misses) = told("blue-1", &frame);
    assert!(verdict.ends_with("(too_big)"), "{verdict}");
    assert_eq!(near_misses, [near]);
}

#[test]
fn a_foreign_mac_address_is_told_with_its_owner() {
    let frame = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.5", "10.0.0.7"));
    let near = [
        "the port's machine has MAC address 06:06:00:00:00:05, not 06:06:00:00:00:07",
        "06:06:00:00:00:07 is blue-2's, on host-2",
    ];
    assert_told("blue-1", &frame, "dropped (mac_spoof)", &near);
    let frame = ethernet(BLUE_1, RED_1, 0x0800, &packet("10.0.0.5", "10.0.0.7"));
    let near = [
        "the port's machine has MAC address 06:06:00:00:00:05, not 08:08:00:00:00:05",
        "08:08:00:00:00:05 is red-1's, on host-1 in VSID 6001",
    ];
    assert_told("blue-1", &frame, "dropped (mac_spoof)", &near);
}

#[test]
fn a_foreign_source_address_is_told_with_its_owner() {
    let own = "the addresses of blue-1 are 10.0.0.5";
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.8", "10.0.0.7"));
    let near = ["10.0.0.8 belongs to blue-3 on host-3", own];
    assert_told("blue-1", &frame, "dropped (ca_spoof)", &near);
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.9", "10.0.0.7"));
    let near = [
        "a record for 10.0.0.9 exists in VSID 6001 (red-9 on host-2), not in 5001",
        own,
    ];
    assert_told("blue-1", &frame, "dropped (ca_spoof)", &near);
    let claim = arp(1, (BLUE_1, "10.0.0.7"), ("00:00:00:00:00:00", "10.0.0.8"));
    let frame = ethernet(BROADCAST, BLUE_1, 0x0806, &claim);
    let near = ["10.0.0.7 belongs to blue-2 on host-2", own];
    assert_told("blue-1", &frame, "dropped (arp_spoof)", &near);
}

#[test]
fn a_tunnel_from_the_wrong_host_is_told_with_the_right_one() {
    let inner = inner((BLUE_2, "10.0.0.7"), (BLUE_1, "10.0.0.5"));
    let from = |address| nvgre([HOST_2, HOST_1], [address, "192.168.4.11"], 5001, &inner);
    let known = "blue-2 on host-2 sends from 192.168.4.22; the frame came from 192.168.5.33, which is host-3's";
    assert_told(
        "uplink",
        &from("192.168.5.33"),
        "dropped (src_pa_mismatch)",
        &[known],
    );
    let unknown = "blue-2 on host-2 sends from 192.168.4.22; the frame came from 192.168.4.99, which is no known \
        host's";
    assert_told(
        "uplink",
        &from("192.168.4.99"),
        "dropped (src_pa_mismatch)",
        &[unknown],
    );
}

#[test]
fn a_sender_of_another_tenant_in_a_tunnel_is_told() {
    let frame = from_host_2(6001, &inner((ROUTER, "10.8.0.5"), (RED_1, "10.0.0.5")));
    let near = [
        "a record for 10.8.0.5 exists in VSID 8001 (orange-1 on host-2), not in 6001",
        "10.8.0.5 lies in 10.8.0.0/16, VSID 8001 (orange); there is no peering from orange to red",
    ];
    assert_told("uplink", &frame, "dropped (src_pa_mismatch)", &near);
}

#[test]
fn inner_mac_addresses_that_differ_are_told() {
    let frame = from_host_2(5001, &inner((BLUE_4, "10.0.0.7"), (BLUE_1, "10.0.0.5")));
    let near =
        "10.0.0.7 is blue-2 on host-2 with MAC address 06:06:00:00:00:07, not 06:06:00:00:01:04";
    assert_told("uplink", &frame, "dropped (inner_src_mac)", &[near]);
    let frame = from_host_2(5001, &inner((BLUE_4, "10.0.1.4"), (BLUE_1, "10.0.0.5")));
    let near = "10.0.1.4 is blue-4 on host-2 in another subnet, so the frame comes from the router, MAC address \
        02:15:5d:00:00:01, not 06:06:00:00:01:04";
    assert_told("uplink", &frame, "dropped (inner_src_mac)", &[near]);
    let frame = from_host_2(5001, &inner((BLUE_2, "10.0.0.7"), (RED_1, "10.0.0.5")));
    let near =
        "10.0.0.5 is blue-1 on host-1 with MAC address 06:06:00:00:00:05, not 08:08:00:00:00:05";
    assert_told("uplink", &frame, "dropped (no_local_dst)", &[near]);
}

#[test]
fn a_receiver_that_lives_elsewhere_is_told() {
    let frame = from_host_2(
        5001,
        &inner((BLUE_2, "10.0.0.7"), ("06:06:00:00:00:08", "10.0.0.8")),
    );
    let near = "10.0.0.8 is blue-3 on host-3, and no migration from here is under way";
    assert_told("uplink", &frame, "dropped (no_local_dst)", &[near]);
    let frame = from_host_2(5001, &inner((BLUE_2, "10.0.0.7"), (BLUE_1, "10.0.0.9")));
    let near = "a record for 10.0.0.9 exists in VSID 6001 (red-9 on host-2), not in 5001";
    assert_told("uplink", &frame, "dropped (no_local_dst)", &[near]);
}

#[test]
fn an_unknown_subnet_is_told_with_the_known_ones() {
    let frame = from_host_2(9001, &inner((BLUE_2, "10.0.0.7"), (BLUE_1, "10.0.0.5")));
    let near = "this host knows VSID 5001 (blue), VSID 5002 (blue), VSID 6001 (red), VSID 7001 (green), VSID 7002 \
        (lime), VSID 8001 (orange)";
    assert_told("uplink", &frame, "dropped (vsid_unknown)", &[near]);
}

#[test]
fn a_frame_off_its_link_is_told() {
    let inner = inner((BLUE_2, "10.0.0.7"), (BLUE_1, "10.0.0.5"));
    let addresses = ["192.168.4.22", "192.168.4.11"];
    let frame = nvgre([HOST_2, "02:00:00:00:00:99"], addresses, 5001, &inner);
    let near = "192.168.4.11 has MAC address 02:00:00:00:00:0b, not 02:00:00:00:00:99";
    assert_told("uplink", &frame, "dropped (outer_dst_mac)", &[near]);
    let mut frame = nvgre([HOST_2, HOST_1], addresses, 5001, &inner);
    frame.splice(12..12, [0x81, 0x00, 0x00, 0x05]);
    let near = "192.168.4.11 is reached untagged, the frame came in VLAN 5";
    assert_told("uplink", &frame, "dropped (pa_vlan)", &[near]);
}

#[test]
fn a_rewritten_packet_of_nobody_or_another_tenant_is_told() {
    let from = |address| ethernet(HOST_1, HOST_2, 0x0800, &packet(address, "192.168.4.105"));
    let near = "no record is reached under 192.168.4.199";
    assert_told(
        "uplink",
        &from("192.168.4.199"),
        "dropped (src_pa_unknown)",
        &[near],
    );
    let near = "192.168.4.22 is host-2's own address, which stands for no machine";
    assert_told(
        "uplink",
        &from("192.168.4.22"),
        "dropped (src_pa_unknown)",
        &[near],
    );
    let near = "192.168.4.205 stands for lime-2 on host-2 in VSID 7002 (lime), the destination is in VSID 7001 \
        (green); there is no peering from lime to green";
    assert_told(
        "uplink",
        &from("192.168.4.205"),
        "dropped (src_pa_unknown)",
        &[near],
    );
}

#[test]
fn a_frame_for_another_host_is_told_with_its_owner() {
    let to = |address| ethernet(HOST_1, HOST_2, 0x0800, &packet("192.168.4.1", address));
    let punted = "punted (not_ours)";
    assert_told(
        "uplink",
        &to("192.168.5.33"),
        punted,
        &["192.168.5.33 is host-3's"],
    );
    assert_told(
        "uplink",
        &to("192.168.4.107"),
        punted,
        &["192.168.4.107 stands for green-2 on host-2"],
    );
    let own = "this host's provider addresses are 192.168.4.11";
    assert_told("uplink", &to("192.168.4.98"), punted, &[own]);
}

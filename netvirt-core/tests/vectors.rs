//! The reference vectors: bytes that were computed by another program.

mod support;

use netvirt_core::*;
use support::hosts::{Fabric, Nve};
use support::network::*;
use support::packets::hex;

const INNER: &str = "060600000007 060600000005 0800
    450000261234400040111488 0a000005 0a000007 045708ae00120bdd 68656c6c6f2c20686e76";
const NVGRE: &str = "020000000016 02000000000b 0800
    4500005000004000402fb10d c0a8040b c0a80416 20006558 001389a7
    060600000007 060600000005 0800
    450000261234400040111488 0a000005 0a000007 045708ae00120bdd 68656c6c6f2c20686e76";
const REWRITTEN: &str = "450000261234400040119e0a c0a80469 c0a804cf 045708ae0012955f
    68656c6c6f2c20686e76";

/// Blue under rewrite, with the provider addresses of the vector.
fn rewriting() -> Network {
    Network::standard().with(|network| {
        network
            .machines
            .retain(|machine| !machine.name.starts_with("green"));
        network.machine_mut("blue a").rewrite = vec!["192.168.4.105", "fd00:4::105"];
        network.machine_mut("blue b").rewrite = vec!["192.168.4.207", "fd00:4::207"];
    })
}

#[test]
fn spec_1_2_gre_outbound_is_the_vector_byte_for_byte() {
    let mut host = Nve::new(&Network::standard().changes(1));
    assert_eq!(host.transmits(0, BLUE_1, &hex(INNER)), hex(NVGRE));
}

#[test]
fn nvgre_inbound_gives_the_inner_frame_back() {
    let mut host = Nve::new(&Network::standard().changes(2));
    assert_eq!(host.delivers(0, BLUE_1, &hex(NVGRE)), hex(INNER));
}

#[test]
fn spec_1_7_3_outbound_is_the_vector_byte_for_byte() {
    let mut host = Nve::new(&rewriting().changes(1));
    let out = host.transmits(0, BLUE_1, &hex(INNER));
    assert_eq!(out[..14], hex("020000000016 02000000000b 0800"));
    assert_eq!(out[14..], hex(REWRITTEN));
}

#[test]
fn spec_1_7_inbound_gives_the_frame_of_the_vector_back() {
    let mut host = Nve::new(&rewriting().changes(2));
    let frame = [hex("020000000016 02000000000b 0800"), hex(REWRITTEN)].concat();
    assert_eq!(host.delivers(0, BLUE_1, &frame), hex(INNER));
}

#[test]
fn spec_3_2_and_3_3_both_ways_arrive_at_the_machine_as_they_left() {
    for network in [Network::standard(), rewriting()] {
        let mut fabric = Fabric::new(&network);
        let arrival = fabric.send(1, 0, &hex(INNER)).unwrap();
        assert_eq!((arrival.host, arrival.port), (2, PortId(0)));
        assert_eq!(arrival.frame, hex(INNER));
    }
}

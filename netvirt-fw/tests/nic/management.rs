//! The NIC's own stack, and the host's own frames.

use netvirt_core::MacAddress;
use netvirt_core::policy::Change;

use crate::site::*;
use crate::support::network::*;
use crate::support::packets::*;

const PEER: MacAddress = MacAddress([2, 0, 0, 0, 0xe, 1]);

fn frame(to: MacAddress, from: MacAddress) -> Vec<u8> {
    Packet::udp("192.0.2.1", "192.0.2.2", b"management")
        .between(from, to)
        .frame()
}

fn site() -> Site {
    Site::new(&Network::standard().changes(1))
}

#[test]
fn the_stack_is_reached_from_both_sides_and_answers_there() {
    let mut site = site();
    let question = frame(STACK, PEER);
    let answer = frame(PEER, STACK);
    site.wire_brings(&question);
    assert_eq!(site.stack_received(), vec![question.clone()]);
    site.stack_sends(&answer);
    assert_eq!(site.wire.take_sent(), vec![answer.clone()]);
    assert!(site.host.take_sent().is_empty());
    site.host.bring(&question);
    site.run();
    assert_eq!(site.stack_received(), [question]);
    site.stack_sends(&answer);
    assert_eq!(site.host.take_sent(), [answer]);
    assert!(site.wire.take_sent().is_empty());
}

#[test]
fn the_hosts_own_frames_pass_as_they_are() {
    let mut site = site();
    let away = frame(PEER, HOST);
    site.host.bring(&away);
    site.run();
    assert_eq!(site.wire.take_sent(), [away]);
    let back = frame(HOST, PEER);
    site.wire_brings(&back);
    assert_eq!(site.host.take_sent(), [back]);
    let to_all = frame(MacAddress::BROADCAST, PEER);
    site.wire_brings(&to_all);
    assert_eq!(site.host.take_sent(), vec![to_all.clone()]);
    assert_eq!(site.stack_received(), [to_all]);
    assert_eq!(site.nic_counters().bridged, 4);
}

#[test]
fn no_machine_reaches_the_stack() {
    let network = Network::standard();
    let mut site = site();
    let machine = network.machine("blue a");
    let to_stack = network
        .datagram("blue a", "blue b", 0)
        .between(machine.mac, STACK);
    site.machine_sends(machine.port, &to_stack.frame());
    let inside = network.datagram("blue b", "blue a", 0).between(PEER, STACK);
    site.wire_brings(&network.tunnel(2, 1, BLUE_1).wrap(&inside.frame()));
    assert!(site.stack_received().is_empty());
}

#[test]
fn before_it_has_a_policy_the_nic_is_a_bridge_with_a_stack() {
    let mut site = Site::new(&[] as &[Change]);
    let question = frame(STACK, PEER);
    site.wire_brings(&question);
    assert_eq!(site.stack_received(), [question]);
    site.machine_sends(0, &frame(PEER, HOST));
    assert!(site.wire.take_sent().is_empty());
    assert_eq!(site.counters(|counters| counters.totals().dropped), 1);
}

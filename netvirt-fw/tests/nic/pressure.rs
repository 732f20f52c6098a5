//! Queues that are full: the host waits for the wire, the wire does not wait for the host, and nothing is lost uncounted.

use netvirt_core::PortId;
use netvirt_core::datapath::DropReason;
use netvirt_fw::header::{Kind, Repr};

use crate::site::*;
use crate::support::hosts::Nve;
use crate::support::network::*;

#[test]
fn a_wire_that_takes_nothing_slows_the_host_down_and_loses_nothing() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let frame = network.datagram("blue a", "blue b", 0).frame();
    site.wire.set_room(0);
    let sent = site.with_vsid(Repr::new(Kind::Sent(PortId(0))));
    let sent = with_header(&sent, &frame);
    for _ in 0..500 {
        site.host.bring(&sent);
    }
    site.run();
    assert!(site.host.waiting() > 400, "{}", site.host.waiting());
    site.wire.set_room(usize::MAX);
    site.run();
    assert_eq!(site.host.waiting(), 0);
    assert_eq!(site.wire.take_sent().len(), 500);
    assert_eq!(site.counters(|counters| counters.totals().transmitted), 500);
}

#[test]
fn a_host_that_takes_nothing_loses_frames_that_are_counted_and_the_stack_is_still_there() {
    let network = Network::standard();
    let mut site = Site::new(&network.changes(1));
    let inner = network.datagram("blue b", "blue a", 0).frame();
    let wire = Nve::new(&network.changes(2)).transmits(0, BLUE_1, &inner);
    site.host.set_room(0);
    for _ in 0..500 {
        site.wire.bring(&wire);
    }
    site.run();
    assert_eq!(site.wire.waiting(), 0);
    let to_stack = network.datagram("blue a", "blue b", 0).between(HOST, STACK);
    site.wire_brings(&to_stack.frame());
    assert_eq!(site.stack_received(), [to_stack.frame()]);
    site.host.set_room(usize::MAX);
    site.run();
    let received = site.told().len() as u64;
    let lost = site.refused(DropReason::PortFull);
    assert_eq!(received + lost, 500);
    assert_eq!(
        site.counters(|counters| counters.totals().delivered),
        received
    );
    assert!(received > 0 && lost > 0);
}

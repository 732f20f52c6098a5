//! What waits for a next hop.

use std::time::Duration;

use netvirt_core::UplinkId;
use netvirt_core::counters::Event;
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::NextHop;
use netvirt_fw::outbox::MOST_PIECES;

use crate::bench::{Bench, Egress, ROOMY, Rooms, broadcast, large, narrow_network};
use crate::support::hosts::Fate;
use crate::support::neighbour;
use crate::support::network::{Network, host_mac};

const UPLINK: Egress = Egress::Uplink(UplinkId(0));
const SECOND: Duration = Duration::from_secs(1);

/// Host 1 of a network in which nobody knows a next hop.
fn unresolved(network: Network, rooms: Rooms) -> Bench {
    let network = network.with(|network| network.is_resolved = false);
    Bench::new(&network.changes(1), rooms)
}

fn standard() -> Bench {
    unresolved(Network::standard(), ROOMY)
}

fn datagram() -> Vec<u8> {
    Network::standard().datagram("blue a", "blue b", 0).frame()
}

#[track_caller]
fn held(fate: Fate) -> (NextHop, Vec<u8>) {
    match fate {
        Fate::Held(next_hop, bytes) => (next_hop, bytes),
        other => panic!("{other:?}"),
    }
}

fn question_for(next_hop: &NextHop) -> Vec<u8> {
    let mut question = vec![0; 256];
    let length = next_hop.solicitation(&mut question).unwrap();
    question.truncate(length);
    question
}

fn addressed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[..6].copy_from_slice(&host_mac(2).0);
    bytes
}

impl Bench {
    /// Host 2 is heard.
    fn hear(&mut self) {
        let counters = self.nve.worker.counters_mut();
        let neighbour = neighbour("192.168.4.22", host_mac(2));
        self.outbox.release(&neighbour, counters);
    }

    fn look(&mut self) {
        let counters = self.nve.worker.counters_mut();
        self.outbox.look_at_held(counters, self.now);
    }
}

#[test]
fn a_frame_waits_for_its_next_hop_and_leaves_when_that_is_heard() {
    let mut host = standard();
    let (next_hop, bytes) = held(host.take_from_port(0, &datagram()));
    assert!(host.outbox.held.awaits(next_hop.uplink, next_hop.address));
    assert_eq!(host.left(), [(UPLINK, question_for(&next_hop))]);
    host.hear();
    assert_eq!(host.left(), [(UPLINK, addressed(bytes))]);
    assert!(!host.outbox.held.awaits(next_hop.uplink, next_hop.address));
    assert_eq!(host.outbox.held.due(), None);
    assert_eq!(host.nve.worker.counters().totals().held, 1);
    host.hear();
    assert_eq!(host.left(), []);
}

#[test]
fn a_question_is_asked_three_times_and_then_what_waits_is_given_up() {
    let mut host = standard();
    let start = host.now;
    let (next_hop, _) = held(host.take_from_port(0, &datagram()));
    let question = [(UPLINK, question_for(&next_hop))];
    assert_eq!(host.left(), question);
    for seconds in 1..3 {
        let due = start + seconds * SECOND;
        assert_eq!(host.outbox.held.due(), Some(due));
        host.now = due - Duration::from_nanos(1);
        host.look();
        assert_eq!(host.left(), []);
        host.now = due;
        host.look();
        host.look();
        assert_eq!(host.left(), question);
    }
    host.now = start + 3 * SECOND;
    assert_eq!(host.outbox.held.due(), Some(host.now));
    host.look();
    assert_eq!(host.left(), []);
    assert_eq!(host.refused(DropReason::NeighbourTimeout), 1);
    assert_eq!(host.outbox.held.due(), None);
}

#[test]
fn a_frame_asks_again_when_the_last_question_is_old() {
    let mut host = standard();
    let (next_hop, _) = held(host.take_from_port(0, &datagram()));
    host.left();
    held(host.take_from_port(0, &datagram()));
    assert_eq!(host.left(), []);
    host.now += SECOND;
    held(host.take_from_port(0, &datagram()));
    assert_eq!(host.left(), [(UPLINK, question_for(&next_hop))]);
    host.hear();
    assert_eq!(host.left().len(), 3);
}

#[test]
fn what_waits_is_given_up_in_time_whenever_it_was_asked_for_last() {
    let mut host = standard();
    let start = host.now;
    held(host.take_from_port(0, &datagram()));
    host.now = start + 5 * SECOND / 2;
    held(host.take_from_port(0, &datagram()));
    assert_eq!(host.left().len(), 2, "two questions");
    assert_eq!(host.outbox.held.due(), Some(start + 3 * SECOND));
    host.hear();
}

#[test]
fn few_frames_wait_for_one_next_hop_and_few_next_hops_are_asked_for() {
    let mut host = standard();
    for _ in 0..MOST_PIECES + 2 {
        held(host.take_from_port(0, &datagram()));
    }
    assert_eq!(host.refused(DropReason::NeighbourQueueFull), 2);
    host.keeps(MOST_PIECES);

    let mut host = unresolved(
        Network::standard(),
        Rooms {
            next_hops: 0,
            ..ROOMY
        },
    );
    held(host.take_from_port(0, &datagram()));
    assert_eq!(host.refused(DropReason::NeighbourQueueFull), 1);
    assert_eq!(host.left(), []);
}

#[test]
fn no_more_than_a_quarter_of_all_buffers_wait() {
    for (buffers, most) in [(3, 1), (8, 2), (11, 2), (12, 3)] {
        let mut host = unresolved(Network::standard(), Rooms { buffers, ..ROOMY });
        for _ in 0..most + 1 {
            held(host.take_from_port(0, &datagram()));
            host.left();
        }
        assert_eq!(host.outbox.held.len(), most);
        assert_eq!(host.refused(DropReason::NeighbourQueueFull), 1);
        host.keeps(most);
    }
}

#[test]
fn fragments_wait_together_and_are_lost_once() {
    let mut host = unresolved(narrow_network(), ROOMY);
    host.take_from_port(0, &large("blue a", "blue b").frame());
    host.left();
    // Three pieces: the next packet finds too little room for all of its.
    assert_eq!(host.outbox.pool.len(), ROOMY.buffers - 3);
    host.take_from_port(0, &large("blue a", "blue b").frame());
    assert_eq!(host.outbox.pool.len(), ROOMY.buffers - 3);
    assert_eq!(host.refused(DropReason::NeighbourQueueFull), 1);
    host.now += 3 * SECOND;
    host.look();
    assert_eq!(host.refused(DropReason::NeighbourTimeout), 1);
    assert_eq!(host.nve.worker.counters().totals().dropped, 2);
}

#[test]
fn fragments_that_waited_leave_as_the_path_would_have_carried_them() {
    let mut host = unresolved(narrow_network(), ROOMY);
    host.take_from_port(0, &large("blue a", "blue b").frame());
    host.left();
    host.hear();
    let mut resolved = Bench::new(&narrow_network().changes(1), ROOMY);
    resolved.take_from_port(0, &large("blue a", "blue b").frame());
    assert_eq!(host.left(), resolved.left());
}

#[test]
fn a_released_packet_that_cannot_leave_is_lost_once() {
    let rooms = Rooms { exits: 2, ..ROOMY };
    let mut host = unresolved(narrow_network(), rooms);
    host.take_from_port(0, &large("blue a", "blue b").frame());
    host.hear();
    assert_eq!(host.left().len(), 2, "question and first fragment");
    assert_eq!(host.refused(DropReason::PortFull), 1);
    let totals = *host.nve.worker.counters().totals();
    assert_eq!((totals.held, totals.dropped), (0, 1));
}

#[test]
fn a_copy_that_waits_is_counted_as_a_copy() {
    for is_heard in [true, false] {
        let mut host = standard();
        host.take_from_port(0, &broadcast());
        assert_eq!(host.left().len(), 2, "to blue near a, and the question");
        if is_heard {
            host.hear();
        } else {
            host.now += 3 * SECOND;
            host.look();
        }
        assert_eq!(host.left().len(), usize::from(is_heard));
        assert_eq!(host.event(Event::Copy), 1 + u64::from(is_heard));
        assert_eq!(host.event(Event::CopyLost), u64::from(!is_heard));
        assert_eq!(host.nve.worker.counters().totals().replicated, 1);
    }
}

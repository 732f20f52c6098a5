//! What cannot be handled as decided is counted as lost.

use netvirt_core::PortId;
use netvirt_core::counters::Event;
use netvirt_core::datapath::DropReason;

use crate::bench::{Bench, ROOMY, Rooms, broadcast, large, narrow_network};
use crate::support::network::Network;
use crate::support::packets::arp_request;

fn standard(rooms: Rooms) -> Bench {
    Bench::new(&Network::standard().changes(1), rooms)
}

fn question() -> Vec<u8> {
    let a = Network::standard().machine("blue a").mac;
    arp_request((a, "10.0.0.5"), "10.0.0.7")
}

#[test]
fn what_finds_the_way_out_full_is_lost() {
    let network = Network::standard();
    for (to, port) in [("blue b", 0), ("blue near a", 0)] {
        let mut host = standard(Rooms { exits: 0, ..ROOMY });
        host.take_from_port(port, &network.datagram("blue a", to, 0).frame());
        assert_eq!(host.refused(DropReason::PortFull), 1, "{to}");
        assert_eq!(host.nve.worker.counters().totals().dropped, 1);
    }
}

#[test]
fn an_answer_without_a_buffer_or_a_way_out_is_lost() {
    for rooms in [
        Rooms { exits: 0, ..ROOMY },
        Rooms {
            buffers: 1,
            ..ROOMY
        },
    ] {
        let mut host = standard(rooms);
        host.take_from_port(0, &question());
        assert_eq!(host.refused(DropReason::PortFull), 1);
        assert_eq!(host.left(), []);
    }
}

#[test]
fn a_lost_explanation_leaves_the_reason_for_it() {
    let mut host = Bench::new(
        &narrow_network().changes(1),
        Rooms {
            buffers: 1,
            ..ROOMY
        },
    );
    let frame = large("blue a", "blue c").with(|packet| packet.fragment = 0x4000);
    host.take_from_port(0, &frame.frame());
    assert_eq!(host.refused(DropReason::TooBig), 1);
    assert_eq!(host.refused(DropReason::PortFull), 0);
    assert_eq!(host.event(Event::ErrorSent), 0);
}

#[test]
fn copies_without_a_buffer_are_lost_each_for_itself() {
    for (buffers, copies) in [(1, 0), (2, 1), (3, 2)] {
        let mut host = standard(Rooms { buffers, ..ROOMY });
        host.take_from_port(0, &broadcast());
        assert_eq!(host.left().len(), copies);
        assert_eq!(host.event(Event::Copy), copies as u64);
        assert_eq!(host.event(Event::CopyLost), 2 - copies as u64);
        let near = host.nve.worker.counters().port(PortId(1));
        assert_eq!(near.delivered.frames, u64::from(copies > 0));
        assert_eq!(host.nve.worker.counters().totals().replicated, 1);
    }
}

#[test]
fn a_packet_is_not_cut_without_buffers_for_all_of_it() {
    for (buffers, pieces) in [(3, 0), (4, 3)] {
        let mut host = Bench::new(&narrow_network().changes(1), Rooms { buffers, ..ROOMY });
        host.take_from_port(0, &large("blue a", "blue b").frame());
        assert_eq!(host.left().len(), pieces);
        assert_eq!(host.refused(DropReason::PortFull), u64::from(pieces == 0));
    }
}

#[test]
fn a_packet_that_leaves_in_part_is_lost_once() {
    let mut host = Bench::new(&narrow_network().changes(1), Rooms { exits: 1, ..ROOMY });
    host.take_from_port(0, &large("blue a", "blue b").frame());
    assert_eq!(host.left().len(), 1);
    assert_eq!(host.refused(DropReason::PortFull), 1);
    assert_eq!(host.nve.worker.counters().totals().transmitted, 0);
}

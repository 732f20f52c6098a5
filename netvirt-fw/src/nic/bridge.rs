//! Frames of the NIC's own stack, which listens at the management address, and of the host's: they are bridged between host,
//! wire and stack by their MAC addresses. Frames of tenants never come here.

use netvirt_core::MacAddress;

/// Peers of the stack whose side is remembered.
const PEERS: usize = 8;

/// A side of the NIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Towards the host.
    Host,
    /// Towards the provider network.
    Wire,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Host => Self::Wire,
            Self::Wire => Self::Host,
        }
    }
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destinations {
    pub stack: bool,
    pub host: bool,
    pub wire: bool,
}

impl Destinations {
    const fn side(side: Side) -> Self {
        Self {
            stack: false,
            host: matches!(side, Side::Host),
            wire: matches!(side, Side::Wire),
        }
    }
}

/// A bridge of three ports, one of which is the stack's.
#[derive(Debug)]
pub(super) struct Bridge {
    stack: MacAddress,
    /// Those that spoke to the stack, the last of them just before `next`.
    peers: [Option<(MacAddress, Side)>; PEERS],
    next: usize,
}

impl Bridge {
    pub const fn new(stack: MacAddress) -> Self {
        Self {
            stack,
            peers: [None; PEERS],
            next: 0,
        }
    }

    /// Where a frame that came from this side goes. Whoever speaks to the stack is remembered; a frame for everyone only tells
    /// that one who is remembered has moved, so that strangers do not displace those who speak to the stack.
    pub fn forward(&mut self, frame: &[u8], from: Side) -> Destinations {
        let Some([destination, source]) = addresses(frame) else {
            return Destinations {
                stack: false,
                host: false,
                wire: false,
            };
        };
        if destination == self.stack {
            self.remember(source, from);
            return Destinations {
                stack: true,
                host: false,
                wire: false,
            };
        }
        if let Some(known) = self.known(source) {
            *known = from;
        }
        Destinations {
            stack: !destination.is_unicast(),
            ..Destinations::side(from.other())
        }
    }

    /// Where a frame of the stack goes: to the side of its peer, or to both if that is not known.
    pub fn forward_from_stack(&self, frame: &[u8]) -> Destinations {
        let peer = addresses(frame).and_then(|[destination, _]| {
            let mut peers = self.peers.iter().flatten();
            peers.find(|(mac, _)| *mac == destination)
        });
        match peer {
            Some((_, side)) => Destinations::side(*side),
            None => Destinations {
                stack: false,
                host: true,
                wire: true,
            },
        }
    }

    fn known(&mut self, peer: MacAddress) -> Option<&mut Side> {
        let mut peers = self.peers.iter_mut().flatten();
        peers.find(|(mac, _)| *mac == peer).map(|(_, side)| side)
    }

    fn remember(&mut self, peer: MacAddress, side: Side) {
        if let Some(known) = self.known(peer) {
            *known = side;
            return;
        }
        if let Some(place) = self.peers.get_mut(self.next) {
            *place = Some((peer, side));
        }
        self.next = self.next.wrapping_add(1) % PEERS;
    }
}

/// Destination and source.
fn addresses(frame: &[u8]) -> Option<[MacAddress; 2]> {
    let (destination, rest) = frame.split_first_chunk::<6>()?;
    let source = rest.first_chunk::<6>()?;
    Some([MacAddress(*destination), MacAddress(*source)])
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const STACK: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const NOBODY: Destinations = Destinations {
        stack: false,
        host: false,
        wire: false,
    };

    fn peer(number: u8) -> MacAddress {
        MacAddress([2, 0, 0, 0, 1, number])
    }

    fn frame(to: MacAddress, from: MacAddress) -> Vec<u8> {
        [&to.0[..], &from.0, &[8, 0]].concat()
    }

    #[test]
    fn the_hosts_own_frames_cross_and_those_for_the_stack_stay() {
        let mut bridge = Bridge::new(STACK);
        for (side, across) in [(Side::Host, Side::Wire), (Side::Wire, Side::Host)] {
            let other = bridge.forward(&frame(peer(2), peer(1)), side);
            assert_eq!(other, Destinations::side(across));
            let all = bridge.forward(&frame(MacAddress::BROADCAST, peer(1)), side);
            let stack = true;
            assert_eq!(
                all,
                Destinations {
                    stack,
                    ..Destinations::side(across)
                }
            );
            let own = bridge.forward(&frame(STACK, peer(1)), side);
            assert_eq!(own, Destinations { stack, ..NOBODY });
        }
        assert_eq!(bridge.forward(&[0; 11], Side::Host), NOBODY);
    }

    #[test]
    fn answers_of_the_stack_go_to_where_the_question_came_from() {
        let mut bridge = Bridge::new(STACK);
        let both = Destinations {
            host: true,
            wire: true,
            ..NOBODY
        };
        assert_eq!(bridge.forward_from_stack(&frame(peer(1), STACK)), both);
        bridge.forward(&frame(STACK, peer(1)), Side::Host);
        assert_eq!(
            bridge.forward_from_stack(&frame(peer(1), STACK)),
            Destinations::side(Side::Host)
        );
        bridge.forward(&frame(STACK, peer(1)), Side::Wire);
        assert_eq!(
            bridge.forward_from_stack(&frame(peer(1), STACK)),
            Destinations::side(Side::Wire)
        );
        let to_all = frame(MacAddress::BROADCAST, STACK);
        assert_eq!(bridge.forward_from_stack(&to_all), both);
    }

    #[test]
    fn one_who_moved_is_found_by_its_question_to_all() {
        let mut bridge = Bridge::new(STACK);
        bridge.forward(&frame(STACK, peer(1)), Side::Host);
        bridge.forward(&frame(MacAddress::BROADCAST, peer(1)), Side::Wire);
        assert_eq!(
            bridge.forward_from_stack(&frame(peer(1), STACK)),
            Destinations::side(Side::Wire)
        );
    }

    #[test]
    fn strangers_who_speak_to_all_displace_nobody() {
        let mut bridge = Bridge::new(STACK);
        bridge.forward(&frame(STACK, peer(0)), Side::Host);
        for stranger in 1..100 {
            bridge.forward(&frame(MacAddress::BROADCAST, peer(stranger)), Side::Wire);
        }
        assert_eq!(
            bridge.forward_from_stack(&frame(peer(0), STACK)),
            Destinations::side(Side::Host)
        );
    }

    #[test]
    fn the_first_of_too_many_peers_is_forgotten() {
        let mut bridge = Bridge::new(STACK);
        for number in 0..=PEERS as u8 {
            bridge.forward(&frame(STACK, peer(number)), Side::Wire);
        }
        let is_known = |number| !bridge.forward_from_stack(&frame(peer(number), STACK)).host;
        assert!(!is_known(0));
        assert!((1..=PEERS as u8).all(is_known));
    }
}

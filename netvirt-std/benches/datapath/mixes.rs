//! Traffic of those who wish the datapath ill, and what is not quite typical.

use netvirt_core::datapath::DropReason;

use crate::network::{Network, Reach, SUBNETS};
use crate::traffic::{Direction, Packet, Trace};

/// Packets that differ from typical ones in one thing.
pub struct Mix {
    /// What is different.
    pub name: &'static str,
    /// Which way they go.
    pub direction: Direction,
    /// Why they are refused; none if they are not.
    pub refused: Option<DropReason>,
    change: fn(&Network, &mut Packet),
}

impl Mix {
    /// The next packet of the mix.
    pub fn packet(&self, network: &Network, trace: &mut Trace) -> Packet {
        let mut packet = trace.packet(network, self.direction);
        (self.change)(network, &mut packet);
        packet
    }

    /// The name with method and direction.
    pub fn full_name(&self, reach: &str) -> String {
        let direction = match self.direction {
            Direction::Out => "out",
            Direction::In => "in",
        };
        format!("{reach} {direction}: {}", self.name)
    }
}

/// The name of the mix with which the others are compared.
pub const TYPICAL: &str = "typical";

const fn out(
    name: &'static str,
    refused: Option<DropReason>,
    change: fn(&Network, &mut Packet),
) -> Mix {
    Mix {
        name,
        direction: Direction::Out,
        refused,
        change,
    }
}

const fn inbound(
    name: &'static str,
    refused: Option<DropReason>,
    change: fn(&Network, &mut Packet),
) -> Mix {
    Mix {
        direction: Direction::In,
        ..out(name, refused, change)
    }
}

/// How far behind the last customer address of a subnet there is surely none: no record stands there.
const NOBODY: u32 = 1 << 19;

/// The mixes for a network, the typical ones first.
pub fn all(reach: Reach) -> Vec<Mix> {
    let mut mixes = vec![
        out(TYPICAL, None, |_, _| {}),
        out("another subnet of the tenant", None, |_, packet| {
            packet.destination ^= 1 << 20;
            packet.destination_mac = crate::network::ROUTER_MAC;
        }),
        out("one flow", None, |network, packet| {
            *packet = Packet::typical(network, Direction::Out, SUBNETS, 0);
        }),
        out("no record", Some(DropReason::NoRecord), |_, packet| {
            packet.destination += NOBODY;
        }),
        out(
            "no record, another subnet",
            Some(DropReason::NoRecord),
            |_, packet| {
                packet.destination = (packet.destination ^ 1 << 20) + NOBODY;
            },
        ),
        out("no route", Some(DropReason::NoRoute), |_, packet| {
            packet.destination ^= 0x0100_0000;
        }),
        out(
            "another's address",
            Some(DropReason::CaSpoof),
            |_, packet| {
                std::mem::swap(&mut packet.source, &mut packet.destination);
            },
        ),
        out(
            "nobody's address",
            Some(DropReason::CaSpoof),
            |_, packet| {
                packet.source = packet.destination + NOBODY;
            },
        ),
        out("another's MAC", Some(DropReason::MacSpoof), |_, packet| {
            packet.source_mac = packet.destination_mac;
        }),
        inbound(TYPICAL, None, |_, _| {}),
        inbound("one flow", None, |network, packet| {
            *packet = Packet::typical(network, Direction::In, SUBNETS, 0);
        }),
    ];
    match reach {
        Reach::Nvgre => mixes.extend(nvgre()),
        Reach::Rewrite => mixes.extend(rewrite()),
    }
    mixes
}

fn nvgre() -> [Mix; 7] {
    [
        inbound("no receiver", Some(DropReason::NoLocalDst), |_, packet| {
            packet.destination += NOBODY;
        }),
        inbound(
            "nobody's address",
            Some(DropReason::SrcPaMismatch),
            |_, packet| {
                packet.source += NOBODY;
            },
        ),
        inbound(
            "no sender, no receiver",
            Some(DropReason::SrcPaMismatch),
            |_, packet| {
                packet.source += NOBODY;
                packet.destination += NOBODY;
            },
        ),
        inbound(
            "of another host",
            Some(DropReason::SrcPaMismatch),
            |_, packet| {
                if let Some(tunnel) = &mut packet.tunnel {
                    tunnel.source ^= 1;
                }
            },
        ),
        inbound(
            "another's MAC",
            Some(DropReason::InnerSrcMac),
            |_, packet| {
                packet.source_mac = packet.destination_mac;
            },
        ),
        inbound(
            "unknown VSID",
            Some(DropReason::VsidUnknown),
            |_, packet| {
                if let Some(tunnel) = &mut packet.tunnel {
                    tunnel.key += 0x0010_0000;
                }
            },
        ),
        inbound("not ours", None, |_, packet| {
            if let Some(tunnel) = &mut packet.tunnel {
                tunnel.destination += 1;
            }
        }),
    ]
}

fn rewrite() -> [Mix; 3] {
    [
        inbound(
            "nobody's address",
            Some(DropReason::SrcPaUnknown),
            |_, packet| {
                packet.source ^= 0x8000_0000;
            },
        ),
        inbound(
            "wrong checksum",
            Some(DropReason::OuterMalformed),
            |_, packet| {
                packet.damage = 0x0100;
            },
        ),
        inbound("not ours", None, |_, packet| {
            packet.destination ^= 0x8000_0000;
        }),
    ]
}

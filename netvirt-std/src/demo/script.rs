//! What is tried in the demo network, and what is to come of it.

use std::net::{IpAddr, Ipv4Addr};

use netvirt_core::MacAddress;
use netvirt_core::datapath::DropReason;

use super::DemoError;
use super::attempt::{Act, Attempt, Deed, Expected};
use super::cast::Cast;
use super::forge;
use crate::echo::Ends;

const MIB: usize = 1 << 20;

const CA_1: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CA_5: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const CA_7: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const CA_9: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const PA_HOST_2: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 22);
const PA_GREEN_2: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 101);
/// In the provider network, but of no host.
const PA_INTRUDER: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 66);
const MAC_INTRUDER: MacAddress = MacAddress([0x02, 0, 0, 0, 0, 0x66]);
const VSID_BLUE: u32 = 5001;

/// What must work inside every tenant. A smoltcp machine that has to ask for a neighbour forgets the answer to a
/// ping meanwhile; so TCP, which repeats, goes first.
pub fn inside() -> Vec<Act> {
    let pairs = [
        ("blue-1", "blue-2"),
        ("red-1", "red-2"),
        ("green-1", "green-2"),
    ];
    let on_one_host = [
        ("blue-1", "10.0.0.9", "blue-5"),
        ("red-2", "10.0.0.8", "red-3"),
        ("green-1", "10.0.0.6", "green-3"),
    ];
    vec![
        at_once(
            "TCP across the wire, all at once, with the same addresses and the same ports",
            pairs.map(|(from, to)| sends(from, "10.0.0.7", 3 * MIB, to)),
        ),
        at_once(
            "The same question, from the same address to the same address, all at once",
            pairs.map(|(from, _)| pings(from, "10.0.0.7", Expected::Answers)),
        ),
        at_once(
            "TCP within a host",
            on_one_host.map(|(from, address, to)| sends(from, address, 2 * MIB, to)),
        ),
        at_once(
            "The gateway, which is no machine: each host answers for it",
            pairs.map(|(from, _)| pings(from, "10.0.0.1", Expected::Answers)),
        ),
        one_by_one(
            "From subnet to subnet: every host is the router",
            [
                sends("blue-1", "10.0.1.7", MIB, "blue-4"),
                pings("blue-1", "10.0.1.7", Expected::Answers),
                sends("blue-5", "10.0.1.5", MIB, "blue-3"),
                pings("blue-5", "10.0.1.5", Expected::Answers),
            ],
        ),
        one_by_one(
            "IPv6, over the same IPv4 wire",
            [
                sends("blue-4", "fd00:5002::5", MIB, "blue-3"),
                pings("blue-3", "fd00:5002::7", Expected::Answers),
                pings("blue-4", "fd00:5002::1", Expected::Answers),
            ],
        ),
    ]
}

/// What must be refused.
///
/// # Errors
/// The policy lacks a machine.
pub fn across(cast: &Cast) -> Result<Vec<Act>, DemoError> {
    let known = Macs::of(cast)?;
    Ok(vec![
        others_addresses(),
        lies(&known),
        own_tunnels(&known),
        intrusions(&known),
    ])
}

fn others_addresses() -> Act {
    let no_route = |host| Expected::Refused(host, DropReason::NoRoute);
    let unknown = |host| Expected::Refused(host, DropReason::NeighbourUnknown);
    one_by_one(
        "Addresses that only another tenant has",
        [
            pings("red-1", "10.0.1.5", no_route("host-1")),
            connects("red-1", "10.0.1.7", no_route("host-1")),
            connects("green-2", "10.0.1.7", no_route("host-2")),
            pings("red-1", "10.0.0.9", unknown("host-1")),
            connects("blue-2", "10.0.0.8", unknown("host-2")),
        ],
    )
}

fn lies(known: &Macs) -> Act {
    let refused = |reason| Expected::Refused("host-1", reason);
    let to_blue_5 = forge::ping(
        ends(known.red_1, known.blue_5),
        ends(CA_5, CA_9),
        "for blue-5",
    );
    let as_blue_5 = forge::ping(
        ends(known.red_1, known.red_2),
        ends(CA_9, CA_7),
        "as blue-5",
    );
    let as_blue_1 = forge::ping(
        ends(known.blue_1, known.red_2),
        ends(CA_5, CA_7),
        "as blue-1",
    );
    let as_gateway = forge::arp_claim(ends(known.red_1, known.red_2), CA_1, CA_7);
    one_by_one(
        "Machines that lie",
        [
            forges(
                "red-1",
                "goes to blue-5's MAC unasked",
                to_blue_5,
                refused(DropReason::NoRecord),
            ),
            forges(
                "red-1",
                "forges its address: 10.0.0.9",
                as_blue_5,
                refused(DropReason::CaSpoof),
            ),
            forges(
                "red-1",
                "forges its MAC: blue-1's",
                as_blue_1,
                refused(DropReason::MacSpoof),
            ),
            forges(
                "red-1",
                "claims to be the gateway",
                as_gateway,
                refused(DropReason::ArpSpoof),
            ),
        ],
    )
}

fn own_tunnels(known: &Macs) -> Act {
    let no_route = Expected::Refused("host-1", DropReason::NoRoute);
    let inner = forge::ping(
        ends(known.blue_1, known.blue_2),
        ends(CA_5, CA_7),
        "in red-1's own NVGRE",
    );
    let to_host = forge::nvgre(
        ends(known.red_1, known.router),
        ends(CA_5, PA_HOST_2),
        VSID_BLUE,
        &inner,
    );
    let to_red_2 = forge::nvgre(
        ends(known.red_1, known.red_2),
        ends(CA_5, CA_7),
        VSID_BLUE,
        &inner,
    );
    let to_green_2 = forge::ping(
        ends(known.green_1, known.router),
        ends(CA_5, PA_GREEN_2),
        "for a PA",
    );
    one_by_one(
        "Machines that make tunnels of their own, or know provider addresses",
        [
            forges(
                "red-1",
                "sends NVGRE for blue-2 to host-2",
                to_host,
                no_route,
            ),
            forges(
                "red-1",
                "sends NVGRE for blue-2 to red-2",
                to_red_2,
                Expected::OnlyBetween("red-2"),
            ),
            forges("green-1", "sends to green-2's PA", to_green_2, no_route),
        ],
    )
}

fn intrusions(known: &Macs) -> Act {
    let refused = |reason| Expected::Refused("host-2", reason);
    let inner = forge::ping(
        ends(known.blue_1, known.blue_2),
        ends(CA_5, CA_7),
        "from an intruder",
    );
    let macs = ends(MAC_INTRUDER, known.host_2);
    let tunnel = forge::nvgre(macs, ends(PA_INTRUDER, PA_HOST_2), VSID_BLUE, &inner);
    let plain = forge::ping(
        macs,
        ends(PA_INTRUDER, PA_GREEN_2),
        "from an intruder, for green-2",
    );
    let intrudes = |story, frame: Vec<u8>, inner, reason| Attempt {
        from: None,
        deed: Deed::Forge {
            story,
            frame,
            inner,
        },
        expected: refused(reason),
    };
    one_by_one(
        "An intruder in the provider network, at a PA of no host",
        [
            intrudes(
                "sends NVGRE as blue-1",
                tunnel,
                inner,
                DropReason::SrcPaMismatch,
            ),
            intrudes(
                "sends to green-2's PA",
                plain.clone(),
                plain,
                DropReason::SrcPaUnknown,
            ),
        ],
    )
}

/// The MAC addresses that forged frames need.
struct Macs {
    blue_1: MacAddress,
    blue_2: MacAddress,
    blue_5: MacAddress,
    red_1: MacAddress,
    red_2: MacAddress,
    green_1: MacAddress,
    router: MacAddress,
    host_2: MacAddress,
}

impl Macs {
    fn of(cast: &Cast) -> Result<Self, DemoError> {
        let machine = |name| Ok::<_, DemoError>(cast.machines[cast.machine(name)?].mac);
        Ok(Self {
            blue_1: machine("blue-1")?,
            blue_2: machine("blue-2")?,
            blue_5: machine("blue-5")?,
            red_1: machine("red-1")?,
            red_2: machine("red-2")?,
            green_1: machine("green-1")?,
            router: cast.router_mac(),
            host_2: cast.host("host-2")?.uplink_mac,
        })
    }
}

const fn ends<A: Copy>(from: A, to: A) -> Ends<A> {
    Ends { from, to }
}

fn at_once<const N: usize>(title: &'static str, attempts: [Attempt; N]) -> Act {
    Act {
        title,
        steps: vec![attempts.into()],
    }
}

fn one_by_one<const N: usize>(title: &'static str, attempts: [Attempt; N]) -> Act {
    Act {
        title,
        steps: attempts.map(|attempt| vec![attempt]).into(),
    }
}

fn pings(from: &'static str, to: &str, expected: Expected) -> Attempt {
    Attempt {
        from: Some(from),
        deed: Deed::Ping(address(to)),
        expected,
    }
}

fn sends(from: &'static str, to: &str, bytes: usize, receiver: &'static str) -> Attempt {
    let deed = Deed::Send(address(to), bytes);
    Attempt {
        from: Some(from),
        deed,
        expected: Expected::Received(receiver),
    }
}

fn connects(from: &'static str, to: &str, expected: Expected) -> Attempt {
    Attempt {
        from: Some(from),
        deed: Deed::Send(address(to), 1),
        expected,
    }
}

fn forges(from: &'static str, story: &'static str, frame: Vec<u8>, expected: Expected) -> Attempt {
    let deed = Deed::Forge {
        story,
        inner: frame.clone(),
        frame,
    };
    Attempt {
        from: Some(from),
        deed,
        expected,
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("the script's addresses are addresses")
}

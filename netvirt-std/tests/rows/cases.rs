//! The frames of each row: where they come in, and their bytes, written independently of the core.

use netvirt_core::MacAddress;

use crate::case_rewrite::GREEN;
use crate::networks::network::*;
use crate::networks::packets::*;

/// A frame that shows a row.
pub struct Case {
    pub row: &'static str,
    pub host: &'static str,
    pub port: &'static str,
    pub frame: Vec<u8>,
}

/// What makes the frames of a section.
type Cases = fn() -> Vec<Case>;

/// The sections and their frames, in order.
pub const SECTIONS: [(&str, Cases); 6] = [
    ("1.2", fields),
    ("1.5", reception),
    ("1.7", crate::case_rewrite::rewrite),
    ("2", proxies),
    ("3", walks),
    ("6", crate::case_threats::threats),
];

/// The frames of a section in the making.
pub struct Section {
    pub network: Network,
    pub cases: Vec<Case>,
}

impl Section {
    pub fn new() -> Self {
        Self {
            network: Network::standard(),
            cases: vec![],
        }
    }

    /// From a machine, on its host.
    pub fn from(&mut self, row: &'static str, machine: &str, frame: Vec<u8>) {
        let host = ["host-1", "host-2"][self.network.machine(machine).host as usize - 1];
        let names = ["blue-a", "blue-b", "red-a", "green-a", "green-b", "gate"];
        let written = machine.replace(' ', "-");
        let port = names.into_iter().find(|name| *name == written).unwrap();
        self.cases.push(Case {
            row,
            host,
            port,
            frame,
        });
    }

    /// From the provider network to a host.
    pub fn wire(&mut self, row: &'static str, host: usize, frame: Vec<u8>) {
        self.cases.push(Case {
            row,
            host: ["host-1", "host-2"][host - 1],
            port: "uplink",
            frame,
        });
    }

    /// From blue a's host to blue b's in a tunnel, changed in its outer headers.
    pub fn tunnel(&mut self, row: &'static str, change: impl FnOnce(&mut Tunnel)) {
        let inner = self.datagram(0).frame();
        self.inside(row, change, &inner);
    }

    /// The same around another frame.
    pub fn inside(&mut self, row: &'static str, change: impl FnOnce(&mut Tunnel), inner: &[u8]) {
        let tunnel = self.network.tunnel(1, 2, BLUE_1).with(change);
        self.wire(row, 2, tunnel.wrap(inner));
    }

    /// Blue a's datagram to blue b.
    pub fn datagram(&self, version: usize) -> Packet {
        self.network.datagram("blue a", "blue b", version)
    }

    pub fn mac(&self, machine: &str) -> MacAddress {
        self.network.machine(machine).mac
    }
}

pub fn over_ipv6(tunnel: &mut Tunnel) {
    (tunnel.source, tunnel.destination) = (ip("fd00:4::11"), ip("fd00:4::22"));
}

fn fields() -> Vec<Case> {
    let mut section = Section::new();
    section.from("1.2-gre", "blue a", section.datagram(0).frame());
    for version in 0..2 {
        let frame = section.datagram(version).frame();
        section.from("1.2-versions", "blue a", frame.clone());
        section.inside("1.2-versions", |_| {}, &frame);
        section.inside("1.2-versions", over_ipv6, &frame);
    }
    for tags in [
        &[(0x8100, 0xa000)][..],
        &[(0x8100, 5)],
        &[(0x88a8, 0), (0x8100, 0)],
    ] {
        let tagged = section
            .datagram(0)
            .with(|packet| packet.tags = tags.to_vec());
        section.from("1.2-inner-tag", "blue a", tagged.frame());
    }
    let mut other = section.datagram(0).frame();
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    section.from("1.2-inner-protocol", "blue a", other);
    let last = section.datagram(0).with(|packet| packet.hop_limit = 1);
    section.from("1.2-ttl", "blue a", last.frame());
    let marked = section
        .datagram(0)
        .with(|packet| packet.traffic_class = 0x28);
    section.from("1.2-dscp", "blue a", marked.frame());
    section.tunnel("1.2-dscp", |tunnel| tunnel.traffic_class = 0xb8);
    let capable = section
        .datagram(1)
        .with(|packet| packet.traffic_class = 0x01);
    section.from("1.2-ecn-out", "blue a", capable.frame());
    for (row, inner) in [
        ("1.2-ecn-not-ect", 0),
        ("1.2-ecn-ect0", 2),
        ("1.2-ecn-ect1", 1),
        ("1.2-ecn-ce", 3),
    ] {
        for outer in [0, 2, 1, 3] {
            let frame = section
                .datagram(0)
                .with(|packet| packet.traffic_class = inner)
                .frame();
            section.inside(row, |tunnel| tunnel.traffic_class = outer, &frame);
        }
    }
    for fragment in [0x2000, 0x0001] {
        section.tunnel("1.2-fragment", |tunnel| tunnel.fragment = fragment);
    }
    let frame = section.datagram(0).frame();
    for at in [25, 45, 59] {
        let mut tunnel = section.network.tunnel(1, 2, BLUE_1);
        over_ipv6(&mut tunnel);
        let mut damaged = tunnel.wrap(&frame);
        damaged[at] ^= 4;
        section.wire("1.2-misdelivered", 2, damaged);
    }
    section.cases
}

fn reception() -> Vec<Case> {
    let mut section = Section::new();
    let whole = section
        .network
        .tunnel(1, 2, BLUE_1)
        .wrap(&section.datagram(0).frame());
    for length in [13, 20, 33] {
        section.wire("1.5-1", 2, whole[..length].to_vec());
    }
    section.tunnel("1.5-2", |tunnel| tunnel.destination = ip("192.168.4.33"));
    for tags in [
        &[(0x8100, 5)][..],
        &[(0x8100, 0xe000)],
        &[(0x8100, 0), (0x8100, 0)],
    ] {
        section.tunnel("1.5-3", |tunnel| tunnel.tags = tags.to_vec());
    }
    for (at, value) in [(14, 0x44), (14, 0x65), (16, 0x7f), (24, 0)] {
        let mut broken = whole.clone();
        broken[at] = value;
        section.wire("1.5-4", 2, broken);
    }
    section.tunnel("1.5-5", |tunnel| tunnel.padding = 9);
    for options in [&[0x94, 4, 0, 0][..], &[131, 7, 4, 10, 0, 0, 1, 0]] {
        section.tunnel("1.5-6", |tunnel| tunnel.ipv4_options = options.to_vec());
    }
    let padding = (60, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    for count in [1, 4, 5] {
        section.tunnel("1.5-7", |tunnel| {
            over_ipv6(tunnel);
            tunnel.extensions = vec![padding.clone(); count];
        });
    }
    section.tunnel("1.5-7", |tunnel| {
        over_ipv6(tunnel);
        tunnel.fragment = 0;
    });
    for source in ["224.0.0.1", "127.0.0.1", "0.0.0.0", "192.168.4.22"] {
        section.tunnel("1.5-8", |tunnel| tunnel.source = ip(source));
    }
    for (row, flags) in [
        ("1.5-9", 0x2001),
        ("1.5-10", 0x6000),
        ("1.5-10", 0x2800),
        ("1.5-10", 0x2400),
        ("1.5-11", 0x2200),
        ("1.5-11", 0x2008),
        ("1.5-12", 0xa000),
    ] {
        section.tunnel(row, |tunnel| tunnel.gre_flags = flags);
    }
    let sum = section
        .network
        .tunnel(1, 2, BLUE_1)
        .with(|tunnel| tunnel.gre_flags = 0xa000);
    let mut wrong = sum.wrap(&section.datagram(0).frame());
    *wrong.last_mut().unwrap() ^= 1;
    section.wire("1.5-12", 2, wrong);
    section.tunnel("1.5-13", |tunnel| tunnel.gre_flags = 0x3000);
    section.tunnel("1.5-14", |tunnel| tunnel.gre_flags = 0x0000);
    section.tunnel("1.5-14", |tunnel| tunnel.gre_protocol = 0x880b);
    for vsid in [0, 0xfff, 0xff_ffff, 5999] {
        section.tunnel("1.5-15", |tunnel| tunnel.vsid = vsid);
    }
    section.inside("1.5-16", |_| {}, &whole[42..50]);
    let tagged = section
        .datagram(0)
        .with(|packet| packet.tags = vec![(0x8100, 0)]);
    section.inside("1.5-16", |_| {}, &tagged.frame());
    let group = section
        .datagram(0)
        .with(|packet| packet.source_mac = MacAddress::BROADCAST);
    section.inside("1.5-16", |_| {}, &group.frame());
    let asked = arp_request((section.mac("blue a"), "10.0.0.5"), "10.0.0.7");
    section.inside("1.5-17", |_| {}, &asked);
    for source in ["10.0.0.99", "10.0.0.7"] {
        let strange = section
            .datagram(0)
            .with(|packet| packet.source = ip(source));
        section.inside("1.5-18", |_| {}, &strange.frame());
    }
    for destination in ["10.0.0.99", "10.0.0.9", "10.0.1.6"] {
        let lost = section
            .datagram(0)
            .with(|packet| packet.destination = ip(destination));
        section.inside("1.5-19", |_| {}, &lost.frame());
    }
    for (at, value) in [(14, 0x44), (16, 0x7f), (24, 0)] {
        let mut broken = section.datagram(0).frame();
        broken[at] = value;
        section.inside("1.5-20", |_| {}, &broken);
    }
    let nested = section
        .network
        .tunnel(1, 2, RED_1)
        .gre(&section.datagram(0).frame());
    let nested = Packet::raw("10.0.0.5", "10.0.0.7", 47, &nested);
    let nested = nested.between(section.mac("blue a"), section.mac("blue b"));
    section.inside("1.5-21", |_| {}, &nested.frame());
    for mac in [host_mac(1), MacAddress::BROADCAST] {
        section.tunnel("1.5-link", |tunnel| tunnel.destination_mac = mac);
    }
    for mac in [ROUTER, section.mac("red a")] {
        let strange = section.datagram(0).with(|packet| packet.source_mac = mac);
        section.inside("1.5-inner-mac", |_| {}, &strange.frame());
    }
    let both = section.datagram(0).with(|packet| {
        (packet.source, packet.destination) = (ip("10.0.0.99"), ip("10.0.0.98"));
    });
    section.inside("1.5-order", |_| {}, &both.frame());
    section.cases
}

pub fn summed(packet: Packet) -> Packet {
    packet.with(|packet| {
        let (source, destination) = (packet.source, packet.destination);
        fill_transport(source, destination, packet.protocol, &mut packet.transport);
    })
}

fn proxies() -> Vec<Case> {
    let mut section = Section::new();
    let (a, near) = (section.mac("blue a"), section.mac("blue near a"));
    let own = (a, "10.0.0.5");
    for target in ["10.0.0.7", "10.0.0.1", "10.0.0.99"] {
        section.from("2.8-arp", "blue a", arp_request(own, target));
    }
    let own_ipv6 = (a, "2001:db8:1::5");
    for target in ["2001:db8:1::7", "2001:db8:1::99"] {
        section.from("2.8-nd", "blue a", solicitation(own_ipv6, target).frame());
    }
    for target in ["2001:db8:1::1", "fe80::1"] {
        section.from(
            "2.8-gateway-ipv6",
            "blue a",
            solicitation(own_ipv6, target).frame(),
        );
    }
    for (source, gateway) in [("10.0.0.5", "10.0.0.1"), ("2001:db8:1::5", "fe80::1")] {
        let echo = Packet::echo(source, gateway, b"hello, hnv").between(a, ROUTER);
        section.from("2.8-gateway", "blue a", echo.frame());
    }
    let question = arp((near, a), 1, own, (near, "10.0.0.9"));
    section.from("2.8-unicast", "blue a", question);
    section.from(
        "2.8-sanity",
        "blue a",
        arp_request((a, "10.0.0.9"), "10.0.0.7"),
    );
    section.from(
        "2.8-sanity",
        "blue a",
        arp_request((a, "10.0.0.1"), "10.0.0.1"),
    );
    let lie = solicitation((a, "2001:db8:1::9"), "2001:db8:1::7");
    section.from("2.8-nd-sanity", "blue a", lie.frame());
    for target in ["10.0.0.7", "10.0.0.5"] {
        section.from("2.8-probe", "blue a", arp_request((a, "0.0.0.0"), target));
    }
    let routers = MacAddress([0x33, 0x33, 0, 0, 0, 2]);
    let question = [&[133, 0, 0, 0, 0, 0, 0, 0, 1, 1][..], &a.0].concat();
    let question = summed(Packet::raw("fe80::5", "ff02::2", 58, &question)).between(a, routers);
    let question = question.with(|packet| packet.hop_limit = 255);
    section.from("2.8-advertisement", "blue a", question.frame());
    for kind in [134, 137] {
        let all = MacAddress([0x33, 0x33, 0, 0, 0, 1]);
        let message = Packet::icmp("fe80::5", "ff02::1", 58, kind, &[0; 8]).between(a, all);
        let message = message.with(|packet| packet.hop_limit = 255);
        section.from("2.8-router-guard", "blue a", message.frame());
    }
    let wrong = section
        .datagram(0)
        .with(|packet| packet.destination_mac = ROUTER);
    section.from("2.8-by-address", "blue a", wrong.frame());
    let asker = (host_mac(2), "192.168.4.22");
    for target in ["192.168.4.11", "192.168.4.105", "192.168.4.99"] {
        section.wire("2.4-answers", 1, arp_request(asker, target));
    }
    let asker = (host_mac(2), "fd00:4::22");
    section.wire("2.4-answers", 1, solicitation(asker, "fd00:4::11").frame());
    section.cases
}

fn walks() -> Vec<Case> {
    let mut section = Section::new();
    let network = section.network.clone();
    let between = |from: &str, to: &str, version: usize| network.datagram(from, to, version);
    let foreign = section
        .datagram(0)
        .with(|packet| packet.source_mac = ROUTER);
    section.from("3-guard", "blue a", foreign.frame());
    for (version, source) in [(0, "10.0.0.9"), (1, "2001:db8:1::9")] {
        let spoofed = section
            .datagram(version)
            .with(|packet| packet.source = ip(source));
        section.from("3-guard", "blue a", spoofed.frame());
    }
    for version in 0..2 {
        section.from(
            "3-1",
            "blue a",
            between("blue a", "blue near a", version).frame(),
        );
    }
    for version in 0..2 {
        let frame = between("blue a", "blue b", version).frame();
        section.from("3-2", "blue a", frame.clone());
        section.inside("3-2", |_| {}, &frame);
    }
    let [.., outer_source, outer_destination] = GREEN[0];
    section.from("3-3", "green a", between("green a", "green b", 0).frame());
    let rewritten = Packet::udp(outer_source, outer_destination, b"hello, hnv");
    section.wire(
        "3-3",
        2,
        rewritten.between(host_mac(1), host_mac(2)).frame(),
    );
    for version in 0..2 {
        let packet = between("blue a", "blue c", version);
        section.from("3-4", "blue a", packet.frame());
        let routed = packet.between(ROUTER, section.mac("blue c"));
        let routed = routed.with(|packet| packet.hop_limit -= 1).frame();
        section.inside("3-4", |tunnel| tunnel.vsid = BLUE_2, &routed);
        section.from(
            "3-4",
            "blue a",
            between("blue a", "blue near c", version).frame(),
        );
        let last = between("blue a", "blue c", version).with(|packet| packet.hop_limit = 1);
        section.from("3-4", "blue a", last.frame());
    }
    for destination in ["10.0.1.6", "8.8.8.8"] {
        let packet = between("red a", "red b", 0);
        let packet = packet.with(|packet| packet.destination = ip(destination));
        section.from("3-5", "red a", packet.frame());
    }
    for (version, outside) in [(0, "198.51.100.9"), (1, "2001:db8:ffff::9")] {
        let outward = between("blue a", "gate", version);
        let outward = summed(outward.with(|packet| packet.destination = ip(outside)));
        section.from("3-6-out", "blue a", outward.frame());
        let inward = between("gate", "blue a", version);
        let inward = summed(inward.with(|packet| packet.source = ip(outside)));
        section.from("3-6-in", "gate", inward.frame());
        let routed = inward.between(ROUTER, section.mac("blue a"));
        let routed = routed.with(|packet| packet.hop_limit -= 1).frame();
        let tunnel = network.tunnel(2, 1, BLUE_1);
        section.wire("3-6-in", 1, tunnel.wrap(&routed));
        let forged = tunnel.with(|tunnel| tunnel.source = ip("192.168.4.33"));
        section.wire("3-6-in", 1, forged.wrap(&routed));
    }
    for (version, nobody) in [(0, "10.0.0.99"), (1, "2001:db8:1::99")] {
        let packet = section
            .datagram(version)
            .with(|packet| packet.destination = ip(nobody));
        section.from("3-7", "blue a", packet.frame());
    }
    for version in 0..2 {
        let (a, b) = (network.machine("blue a"), network.machine("blue b"));
        let (from, to) = (a.addresses[version], b.addresses[version]);
        for length in [1558, 1559] {
            let packet = Packet::of_length(from, to, length).between(a.mac, b.mac);
            section.from("3-8", "blue a", packet.frame());
        }
    }
    let (a, b) = (section.mac("blue a"), section.mac("blue b"));
    let may_be_cut = Packet::of_length("10.0.0.5", "10.0.0.7", 1600).between(a, b);
    let may_be_cut = may_be_cut.with(|packet| packet.fragment = 0);
    section.from("3-8-fragment", "blue a", may_be_cut.frame());
    sizes(&mut section);
    section.from("3-9", "blue a", arp_request((a, "10.0.0.5"), "10.0.0.7"));
    let groups = [
        ("255.255.255.255", MacAddress::BROADCAST),
        ("ff02::fb", MacAddress([0x33, 0x33, 0, 0, 0, 0xfb])),
    ];
    for (version, (group, mac)) in groups.into_iter().enumerate() {
        let packet = section.datagram(version).with(|packet| {
            (packet.destination, packet.destination_mac) = (ip(group), mac);
        });
        let frame = summed(packet).frame();
        section.from("3-10", "blue a", frame.clone());
        section.inside("3-10", |_| {}, &frame);
    }
    mapped(&mut section);
    section.cases
}

/// Connections that ask for segments too large for the tunnel, and routers on its way that say what fits.
fn sizes(section: &mut Section) {
    for (version, announced) in [(0, 8960_u16), (0, 1400), (1, 8960)] {
        let [high, low] = announced.to_be_bytes();
        let [a, b] = ["blue a", "blue b"].map(|name| section.network.machine(name).clone());
        let syn = Packet::tcp(a.addresses[version], b.addresses[version], &[])
            .between(a.mac, b.mac)
            .with(|packet| {
                packet.transport.truncate(20);
                (packet.transport[12], packet.transport[13]) = (0x60, 0x02);
                packet.transport.extend([2, 4, high, low]);
            });
        section.from("3-8-clamp", "blue a", summed(syn).frame());
    }
    let frame = section.datagram(0).frame();
    for (mtu, to) in [(1400_u16, 2), (500, 2), (1400, 9)] {
        let [high, low] = mtu.to_be_bytes();
        let sent = section.network.tunnel(1, to, BLUE_1).wrap(&frame);
        let message = [&[3, 4, 0, 0, 0, 0, high, low], &sent[14..70]].concat();
        let told = Packet::raw("192.168.4.1", "192.168.4.11", 1, &message);
        let told = summed(told).between(host_mac(2), host_mac(1));
        section.wire("3-8-learnt", 1, told.frame());
    }
}

/// What is sent to addresses that groups of the provider network carry, and what comes out of these groups.
fn mapped(section: &mut Section) {
    let groups = [
        (
            ("239.1.1.1", MacAddress([1, 0, 0x5e, 1, 1, 1])),
            ("239.192.1.2", MacAddress([1, 0, 0x5e, 0x40, 1, 2])),
        ),
        (
            ("ff05::114", MacAddress([0x33, 0x33, 0, 0, 1, 0x14])),
            (
                "ff05::a1b2:c3d4",
                MacAddress([0x33, 0x33, 0xa1, 0xb2, 0xc3, 0xd4]),
            ),
        ),
    ];
    for (version, ((group, mac), (provider, provider_mac))) in groups.into_iter().enumerate() {
        let packet = section.datagram(version).with(|packet| {
            (packet.destination, packet.destination_mac) = (ip(group), mac);
        });
        let frame = summed(packet).frame();
        section.from("3-10-group-out", "blue a", frame.clone());
        let to_group = |tunnel: &mut Tunnel| {
            if version == 1 {
                over_ipv6(tunnel);
            }
            (tunnel.destination, tunnel.destination_mac) = (ip(provider), provider_mac);
        };
        section.inside("3-10-group-in", to_group, &frame);
        section.inside("3-10-group-in", |_| {}, &frame);
        let for_one = section.datagram(version).frame();
        section.inside("3-10-group-in", to_group, &for_one);
    }
}

//! The frames of section 1.7.

use crate::cases::*;
use crate::networks::network::*;
use crate::networks::packets::*;

/// Green a and green b: customer addresses, then provider addresses.
pub const GREEN: [[&str; 4]; 2] = [
    ["10.0.0.5", "10.0.0.7", "192.168.4.105", "192.168.4.207"],
    [
        "2001:db8:1::5",
        "2001:db8:1::7",
        "fd00:4::105",
        "fd00:4::207",
    ],
];

impl Section {
    /// From green a, and as it comes to green b from another host: `finish` does what remains to be done to either.
    fn green(
        &mut self,
        row: &'static str,
        version: usize,
        (protocol, transport): (u8, &[u8]),
        finish: impl Fn(Packet) -> Packet,
    ) {
        let [source, destination, outer_source, outer_destination] = GREEN[version];
        let inner = Packet::raw(source, destination, protocol, transport);
        let inner = inner.between(self.mac("green a"), self.mac("green b"));
        self.from(row, "green a", finish(inner).frame());
        let outer = Packet::raw(outer_source, outer_destination, protocol, transport);
        let outer = outer.between(host_mac(1), host_mac(2));
        self.wire(row, 2, finish(outer).frame());
    }
}

pub fn rewrite() -> Vec<Case> {
    let mut section = Section::new();
    let udp = Packet::udp("0.0.0.0", "0.0.0.0", b"hello, hnv").transport;
    let tcp = Packet::tcp("0.0.0.0", "0.0.0.0", b"hello, hnv").transport;
    let echo = Packet::echo("0.0.0.0", "0.0.0.0", b"hello, hnv").transport;
    let echo_ipv6 = Packet::echo("::", "::", b"hello, hnv").transport;
    for version in 0..2 {
        section.green("1.7-3", version, (17, &udp), summed);
        section.green("1.7-4-tcp", version, (6, &tcp), summed);
        section.green(
            "1.7-4-tcp",
            version,
            (33, &[udp.as_slice(), &[0; 8]].concat()),
            summed,
        );
        section.green("1.7-4-udp", version, (17, &udp), summed);
        section.green("1.7-4-udp", version, (136, &udp), summed);
        section.green(
            "1.7-4-an-absent-udp-checksum",
            version,
            (17, &udp),
            |packet| packet.with(|packet| packet.transport[6..8].fill(0)),
        );
        section.green("1.7-4-a-wrong-checksum", version, (6, &tcp), |packet| {
            summed(packet).with(|packet| packet.transport[17] ^= 0x55)
        });
        for protocol in [132, 50, 47, 4, 41, 2] {
            let payload = b"payload of another protocol";
            section.green("1.7-4-sctp", version, (protocol, payload), |packet| packet);
        }
    }
    section.green("1.7-4-icmp", 0, (1, &echo), summed);
    section.green("1.7-4-icmpv6", 1, (58, &echo_ipv6), summed);
    for protocol in [89, 103] {
        section.green(
            "1.7-4-routing-protocols",
            1,
            (protocol, &[0; 24]),
            |packet| packet,
        );
    }
    for version in 0..2 {
        section.green("1.7-6", version, (17, &udp), |packet| {
            summed(packet).with(|packet| packet.fragment = 0x2000)
        });
        section.green("1.7-6", version, (17, b"the rest"), |packet| {
            packet.with(|packet| packet.fragment = 0x0002)
        });
        section.green("1.7-6", version, (6, &tcp[..17]), |packet| {
            packet.with(|packet| packet.fragment = 0x2000)
        });
        section.green("1.7-6", version, (6, &tcp), |packet| {
            packet.with(|packet| packet.fragment = 0x2001)
        });
    }
    for options in [
        &[131, 7, 4, 10, 0, 0, 1, 0][..],
        &[7, 7, 4, 10, 0, 0, 1, 0],
        &[68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x94, 4, 0, 0],
    ] {
        section.green("1.7-7", 0, (17, &udp), |packet| {
            summed(packet.with(|packet| packet.ipv4_options = options.to_vec()))
        });
    }
    for header in [[0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 4, 1, 0, 0, 0, 0]] {
        section.green("1.7-7", 1, (17, &udp), |packet| {
            summed(packet.with(|packet| packet.extensions = vec![(43, header.to_vec())]))
        });
    }
    for version in 0..2 {
        section.green("1.7-8", version, (17, &udp), |packet| {
            summed(packet.with(|packet| {
                packet.traffic_class = 0xbb;
                packet.hop_limit = 1;
                packet.identification = 0xbeef;
            }))
        });
    }
    let mut other = section.network.datagram("green a", "green b", 0).frame();
    other[12..14].copy_from_slice(&[0x88, 0xcc]);
    section.from("1.7-not-carried", "green a", other);
    quotes(&mut section);
    let tagged = section.network.datagram("green a", "green b", 0);
    let tagged = tagged.with(|packet| packet.tags = vec![(0x8100, 5)]);
    section.from("1.7-not-carried", "green a", tagged.frame());
    for source in ["192.168.4.206", "192.168.4.11", "203.0.113.1", "224.0.0.1"] {
        let wire = Packet::udp(source, "192.168.4.207", b"hello, hnv");
        let wire = wire.between(host_mac(1), host_mac(2));
        section.wire("1.7-inbound", 2, wire.frame());
    }
    section.cases
}

/// ICMP errors: green b tells green a of a's packet, a router of the provider network tells of it as it was on the wire,
/// whole and cut short, and some quote what nobody can have sent.
fn quotes(section: &mut Section) {
    let (a, b) = (section.mac("green a"), section.mac("green b"));
    for (version, router) in ["192.168.99.1", "fd00:99::1"].into_iter().enumerate() {
        let [from, to, outer_from, outer_to] = GREEN[version];
        let stranger = ["10.0.0.99", "2001:db8:1::99"][version];
        // Port unreachable, and too big for a link that carries 1400 bytes.
        let (protocol, unreachable) = [
            (1, [3, 3, 0, 0, 0, 0, 0, 0]),
            (58, [1, 4, 0, 0, 0, 0, 0, 0]),
        ][version];
        let too_big = [[3, 4, 0, 0, 0, 0, 5, 120], [2, 0, 0, 0, 0, 0, 5, 120]][version];
        let error = |source: &str, destination: &str, header: &[u8], quote: &[u8]| {
            let message = [header, quote].concat();
            summed(Packet::raw(source, destination, protocol, &message))
        };
        let quoted = |source, destination| {
            let packet = Packet::udp(source, destination, b"hello, hnv");
            packet.ip_packet()
        };
        let whole = quoted(from, to);
        let header = whole.len() - 18;
        for quote in [&whole[..], &whole[..header + 8], &whole[..header - 1]] {
            let frame = error(to, from, &unreachable, quote).between(b, a);
            section.from("1.7-5", "green b", frame.frame());
        }
        let frame = error(to, from, &unreachable, &quoted(stranger, to)).between(b, a);
        section.from("1.7-5", "green b", frame.frame());
        let on_the_wire = quoted(outer_from, outer_to);
        for quote in [&on_the_wire, &quoted(outer_from, router)] {
            let frame = error(router, outer_from, &too_big, quote);
            let frame = frame.between(host_mac(2), host_mac(1));
            section.wire("1.7-5", 1, frame.frame());
        }
        // Labels behind the quote (RFC 4950), and an MTU that no link has.
        let mut labelled = on_the_wire.clone();
        labelled.resize(128, 0);
        labelled.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x21, 0xff]);
        let mut unreachable = unreachable;
        [unreachable[4], unreachable[5]] = [[0, 32], [16, 0]][version];
        let mut tiny = too_big;
        [tiny[6], tiny[7]] = [0, 68];
        for (row, header, quote) in [
            ("1.7-8", unreachable, &labelled),
            ("6-icmp", tiny, &on_the_wire),
        ] {
            let frame = error(router, outer_from, &header, quote);
            section.wire(row, 1, frame.between(host_mac(2), host_mac(1)).frame());
        }
    }
}

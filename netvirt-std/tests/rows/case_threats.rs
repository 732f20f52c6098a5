//! The frames of section 6.

use crate::cases::*;
use crate::networks::network::*;
use crate::networks::packets::*;

pub fn threats() -> Vec<Case> {
    let mut section = Section::new();
    let (a, b) = (section.mac("blue a"), section.mac("blue b"));
    let stolen = section.network.datagram("red a", "red b", 0).frame();
    let forged = section.network.tunnel(1, 2, RED_1).gre(&stolen);
    for (destination, mac) in [("10.0.0.7", b), ("192.168.4.22", ROUTER)] {
        let packet = Packet::raw("10.0.0.5", destination, 47, &forged).between(a, mac);
        section.from("6-forged-vsid", "blue a", packet.frame());
    }
    for source in ["192.168.4.33", "203.0.113.7"] {
        section.tunnel("6-forged-host", |tunnel| tunnel.source = ip(source));
    }
    let near = section.network.datagram("blue near a", "blue b", 0);
    section.from("6-spoofed-inside", "blue a", near.frame());
    let other_mac = near.with(|packet| packet.source_mac = a);
    section.from("6-spoofed-inside", "blue a", other_mac.frame());
    section.inside("6-spoofed-inside", |_| {}, &other_mac.frame());
    let red = section.network.datagram("red a", "red b", 0).frame();
    section.inside("6-foreign-domain", |_| {}, &red);
    let mut nested = section.datagram(0);
    for _ in 0..3 {
        let gre = section.network.tunnel(1, 2, BLUE_1).gre(&nested.frame());
        nested = Packet::raw("10.0.0.5", "10.0.0.7", 47, &gre).between(a, b);
        section.inside("6-nested", |_| {}, &nested.frame());
    }
    let frame = section.datagram(0).frame();
    for length in [4, 20, 40] {
        section.from("6-short", "blue a", frame[..length].to_vec());
        section.inside("6-short", |tunnel| tunnel.padding = 50, &frame[..length]);
    }
    let padded = section
        .datagram(0)
        .with(|packet| packet.padding = 70)
        .frame();
    section.from("6-padding", "blue a", padded.clone());
    section.inside("6-padding", |tunnel| tunnel.padding = 30, &padded);
    for protocol in [0, 255] {
        let odd = Packet::raw("10.0.0.5", "10.0.0.7", protocol, &[0x2a; 8]).between(a, b);
        section.from("6-odd-protocols", "blue a", odd.frame());
    }
    for fragment in [0x0004, 0x2002, 0x2002, 0x1fff] {
        let cut = section
            .datagram(0)
            .with(|packet| packet.fragment = fragment);
        section.from("6-fragments", "blue a", cut.frame());
    }
    for sum in [[0, 0], [0xff, 0xff]] {
        let packet = section.datagram(0);
        let packet = packet.with(|packet| packet.transport[6..8].copy_from_slice(&sum));
        section.from("6-checksums", "blue a", packet.frame());
    }
    section.from(
        "6-neighbours",
        "blue a",
        arp_request((a, "10.0.0.7"), "10.0.0.7"),
    );
    let mut helper = vec![1, 0x80, 0xc2, 0, 0, 0x0e];
    helper.extend(a.0);
    helper.extend([0x88, 0xcc, 2, 7, 4, 6, 6, 0, 0, 0, 5]);
    section.from("6-helpers", "blue a", helper.clone());
    section.wire("6-helpers", 2, helper);
    section.tunnel("6-sequence", |tunnel| tunnel.gre_flags = 0x3000);
    section.cases
}

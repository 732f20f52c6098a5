//! `netvirt trace`: decisions explained.

mod refusals;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use netvirt_core::datapath::Frame;
use netvirt_core::offload::Offload;
use netvirt_core::policy::{Change, CustomerRoute, Location, LookupRecord, Method, RouteTarget};
use netvirt_core::{CustomerAddress, ProviderAddress};
use netvirt_std::capture::CapturedFrame;
use netvirt_std::explain::explain;
use netvirt_std::policy_file::PolicyFile;
use netvirt_std::replay::{Place, Replay};
use support::{
    Captures, INNER_PACKET, NVGRE_FRAME, REWRITTEN_PACKET, TENANTS, TWO_HOSTS, VECTORS, arp, bytes,
    ethernet, ipv4, netvirt, nvgre, packet, text, udp,
};

const THREE_TENANTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../examples/three-tenants.toml"
);
const BLUE_1: &str = "06:06:00:00:00:05";
const BLUE_2: &str = "06:06:00:00:00:07";
const BLUE_4: &str = "06:06:00:00:01:04";
const RED_1: &str = "08:08:00:00:00:05";
const HOST_1: &str = "02:00:00:00:00:0b";
const HOST_2: &str = "02:00:00:00:00:16";
const ROUTER: &str = "02:15:5d:00:00:01";
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// Explains a frame that arrives at host-1.
fn trace(policy: &str, port: &str, frame: &[u8], more: &[&str]) -> support::Answer {
    let frame = text(frame);
    let arguments = [
        "trace", "--policy", policy, "--host", "host-1", "--port", port, "--hex", &frame,
    ];
    netvirt(arguments.iter().chain(more))
}

/// Verdict, reason or kind of punt, and near misses of a frame in the network of tenants. People and programs
/// must be told the same.
fn told(port: &str, frame: &[u8]) -> (String, Vec<String>) {
    let json = trace(TENANTS, port, frame, &["--json"]).out;
    let explanation: serde_json::Value = serde_json::from_str(&json).unwrap();
    let word = |key: &str| explanation[key].as_str();
    let why = word("reason").or(word("punt")).unwrap_or_default();
    let near_misses = explanation["near_misses"].as_array().unwrap().iter();
    let near_misses: Vec<_> = near_misses
        .map(|line| line.as_str().unwrap().to_owned())
        .collect();

    let people = trace(TENANTS, port, frame, &[]).out;
    let lines = people
        .lines()
        .filter_map(|line| line.strip_prefix("near miss    "));
    assert_eq!(lines.collect::<Vec<_>>(), near_misses);
    let verdict = format!("{} ({why})", word("verdict").unwrap());
    assert!(
        people.contains(&format!("verdict      {verdict}: ")),
        "{people}"
    );
    (verdict, near_misses)
}

#[track_caller]
fn assert_told(port: &str, frame: &[u8], verdict: &str, near_misses: &[&str]) {
    let (told_verdict, told_near_misses) = told(port, frame);
    assert_eq!(told_verdict, verdict);
    assert_eq!(told_near_misses, near_misses);
}

/// A packet of blue-1 into its own subnet, or to the router.
fn from_blue_1(destination: &str) -> Vec<u8> {
    ethernet(ROUTER, BLUE_1, 0x0800, &packet("10.0.0.5", destination))
}

/// A frame in NVGRE from host-2 to host-1.
fn from_host_2(vsid: u32, inner: &[u8]) -> Vec<u8> {
    nvgre(
        [HOST_2, HOST_1],
        ["192.168.4.22", "192.168.4.11"],
        vsid,
        inner,
    )
}

fn inner(source: (&str, &str), destination: (&str, &str)) -> Vec<u8> {
    ethernet(
        destination.0,
        source.0,
        0x0800,
        &packet(source.1, destination.1),
    )
}

#[test]
fn a_packet_that_goes_its_way_is_told_step_by_step() {
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &bytes(INNER_PACKET));
    let expected = "\
port         blue-1, VSID 5001 (blue), MAC address 06:06:00:00:00:05
parsed       10.0.0.5:1111 > 10.0.0.7:2222 UDP, 38 bytes, ttl 64; from MAC address 06:06:00:00:00:05 to \
06:06:00:00:00:07
source       10.0.0.5 in VSID 5001: blue-1 on host-1, MAC address 06:06:00:00:00:05, by NVGRE
destination  10.0.0.7 in VSID 5001: blue-2 on host-2, MAC address 06:06:00:00:00:07, by NVGRE
path         to 192.168.4.22 (host-2), carries inner packets of 1458 bytes in NVGRE, MAC address of the next hop \
known
verdict      transmitted: into the provider network
edit         14 bytes off the front, 56 bytes in their place: Ethernet and IP to 192.168.4.22, TTL 64; GRE with \
VSID 5001, FlowID 0xa7; inner Ethernet 06:06:00:00:00:05 > 06:06:00:00:00:07
out          uplink, 94 bytes
             0000  02 00 00 00 00 16 02 00 00 00 00 0b 08 00 45 00
             0010  00 50 00 00 40 00 40 2f b1 0d c0 a8 04 0b c0 a8
             0020  04 16 20 00 65 58 00 13 89 a7 06 06 00 00 00 07
             0030  06 06 00 00 00 05 08 00 45 00 00 26 12 34 40 00
             0040  40 11 14 88 0a 00 00 05 0a 00 00 07 04 57 08 ae
             0050  00 12 0b dd 68 65 6c 6c 6f 2c 20 68 6e 76
";
    assert_eq!(trace(VECTORS, "blue-1", &frame, &[]).good(), expected);
}

#[test]
fn a_rewritten_packet_is_told_with_its_new_addresses() {
    let frame = ethernet(
        "0a:0a:00:00:00:07",
        "0a:0a:00:00:00:05",
        0x0800,
        &bytes(INNER_PACKET),
    );
    let told = trace(VECTORS, "green-1", &frame, &[]).good();
    let line = "edit         addresses become 192.168.4.105 > 192.168.4.207, transport checksum at byte 40 adjusted";
    assert!(told.lines().any(|known| known == line), "{told}");
}

/// Green-1 tells green-2 that it does not take a packet between these addresses.
fn unreachable(source: &str, destination: &str) -> Vec<u8> {
    let message = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &packet(source, destination)].concat();
    let error = ipv4("10.0.0.5", "10.0.0.7", 1, &message);
    ethernet("0a:0a:00:00:00:07", "0a:0a:00:00:00:05", 0x0800, &error)
}

#[test]
fn an_icmp_error_under_rewrite_is_told_with_what_it_quotes() {
    let told = trace(
        VECTORS,
        "green-1",
        &unreachable("10.0.0.7", "10.0.0.5"),
        &[],
    )
    .good();
    for line in [
        "quoted       10.0.0.7: green-2 on host-2, MAC address 0a:0a:00:00:00:07, by rewrite as 192.168.4.207",
        "edit         addresses become 192.168.4.105 > 192.168.4.207, transport checksum at byte 36 adjusted",
        "edit         addresses of the packet quoted at byte 42 become 192.168.4.207 > 192.168.4.105, transport checksum \
         at byte 68 adjusted",
    ] {
        assert!(told.lines().any(|known| known == line), "{told}");
    }
    let told = trace(
        VECTORS,
        "green-1",
        &unreachable("10.0.0.7", "10.0.0.99"),
        &[],
    )
    .good();
    for line in [
        "quoted       10.0.0.99: no record",
        "verdict      dropped (icmp_inner_unknown): the packet that the ICMP error quotes cannot be translated: it is cut \
         short in its IP header, an ICMP error itself, or has an address that no record knows",
    ] {
        assert!(told.lines().any(|known| known == line), "{told}");
    }
}

#[test]
fn a_tunnel_is_told_with_what_is_inside() {
    let arguments = [
        "trace",
        "--policy",
        VECTORS,
        "--host",
        "host-2",
        "--port",
        "uplink",
        "--hex",
        NVGRE_FRAME,
    ];
    let told = netvirt(arguments).good();
    let labels: Vec<_> = told
        .lines()
        .filter_map(|line| line.get(..12))
        .map(str::trim)
        .collect();
    let steps = [
        "parsed",
        "GRE",
        "parsed",
        "source",
        "destination",
        "verdict",
        "edit",
        "out",
    ];
    assert_eq!(labels[..8], steps);
    assert!(
        told.contains("verdict      delivered: to blue-2, on this host\n"),
        "{told}"
    );
    assert!(
        told.contains("edit         42 bytes off the front\n"),
        "{told}"
    );
}

#[test]
fn a_held_packet_says_who_would_be_asked() {
    let frame = from_blue_1("10.0.0.7");
    let told = trace(TWO_HOSTS, "blue-1", &frame, &[]).good();
    let line = "verdict      held: it waits until 192.168.4.22 has told its MAC address; 192.168.4.11 asks for it";
    assert!(told.lines().any(|known| known == line), "{told}");
}

#[test]
fn a_record_of_another_tenant_is_told() {
    let near = "a record for 10.0.0.9 exists in VSID 6001 (red-9 on host-2), not in 5001";
    assert_told(
        "blue-1",
        &from_blue_1("10.0.0.9"),
        "dropped (no_record)",
        &[near],
    );
    let question = arp(1, (BLUE_1, "10.0.0.5"), ("00:00:00:00:00:00", "10.0.0.9"));
    let frame = ethernet(BROADCAST, BLUE_1, 0x0806, &question);
    assert_told("blue-1", &frame, "dropped (neighbour_unknown)", &[near]);
    assert_told(
        "blue-1",
        &from_blue_1("10.0.0.77"),
        "dropped (no_record)",
        &[],
    );
}

#[test]
fn a_missing_peering_is_told_with_its_direction() {
    let record = |vsid| {
        format!("a record for 10.8.0.5 exists in VSID 8001 (orange-1 on host-2), not in {vsid}")
    };
    let frame = ethernet(ROUTER, RED_1, 0x0800, &packet("10.0.0.5", "10.8.0.5"));
    let none =
        "10.8.0.5 lies in 10.8.0.0/16, VSID 8001 (orange); there is no peering from red to orange";
    assert_told(
        "red-1",
        &frame,
        "dropped (no_route)",
        &[&record(6001), none],
    );
    let wrong_way = "10.8.0.5 lies in 10.8.0.0/16, VSID 8001 (orange); the peering of orange and blue holds only \
        from orange to blue";
    assert_told(
        "blue-1",
        &from_blue_1("10.8.0.5"),
        "dropped (no_route)",
        &[&record(5001), wrong_way],
    );
}

#[test]
fn a_route_to_nobody_is_told() {
    let near = "the route 172.20.0.0/16 leads via 10.0.1.9, which no record knows";
    assert_told(
        "blue-1",
        &from_blue_1("172.20.0.1"),
        "dropped (no_record)",
        &[near],
    );
}

#[test]
fn a_host_without_path_is_told_with_its_addresses() {
    let near = "blue-3 is on host-3, which has 192.168.5.33; this host has 192.168.4.11/24, and no provider route \
        leads there";
    assert_told(
        "blue-1",
        &from_blue_1("10.0.0.8"),
        "dropped (no_path)",
        &[near],
    );
}

/// What a decision means, in words.
fn meaning(policy: &str, port: &str, frame: &[u8]) -> String {
    let explanation: serde_json::Value =
        serde_json::from_str(&trace(policy, port, frame, &["--json"]).out).unwrap();
    explanation["meaning"].as_str().unwrap().to_owned()
}

#[test]
fn a_refusal_says_whether_its_sender_is_told() {
    let large = ipv4("10.0.0.5", "10.0.0.7", 17, &udp(1480));
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &large);
    let why = "the packet does not fit through the path";
    assert_eq!(
        meaning(TENANTS, "blue-1", &frame),
        format!("{why}; the gateway says so to the sender")
    );
    let silent = std::fs::read_to_string(TENANTS).unwrap().replacen(
        "[settings]",
        "[settings]\nerrors = { per-second = 0, burst = 0 }",
        1,
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silent.toml");
    std::fs::write(&path, silent).unwrap();
    assert_eq!(
        meaning(path.to_str().unwrap(), "blue-1", &frame),
        format!("{why}; the sender is not told, because it was told as often as policy allows")
    );
}

#[test]
fn the_router_says_of_itself_what_holds_for_the_subnet() {
    let asker: Ipv6Addr = "fe80::5".parse().unwrap();
    let all_routers: Ipv6Addr = "ff02::2".parse().unwrap();
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 58, 255];
    packet.extend(asker.octets());
    packet.extend(all_routers.octets());
    packet.extend([133, 0, 0x7d, 0x32, 0, 0, 0, 0]);
    let frame = ethernet("33:33:00:00:00:02", "06:06:00:00:01:05", 0x86dd, &packet);
    let said = "the distributed router tells of itself: it is the default router, fd00:5002::/64 is on the link, packets \
        of 1558 bytes fit";
    assert_eq!(meaning(THREE_TENANTS, "blue-3", &frame), said);
}

/// Frames cut short, and frames of which only the front was captured, at every byte.
#[test]
fn the_explained_verdict_is_that_of_the_switch() {
    let text = std::fs::read_to_string(VECTORS).unwrap();
    let host = PolicyFile::parse(&text, "vectors.toml")
        .unwrap()
        .for_host("host-2")
        .unwrap();
    let rewritten = ethernet(HOST_2, HOST_1, 0x0800, &bytes(REWRITTEN_PACKET));
    let answer = ethernet(
        "0a:0a:00:00:00:05",
        "0a:0a:00:00:00:07",
        0x0800,
        &packet("10.0.0.7", "10.0.0.5"),
    );
    let frames = [
        ("uplink", bytes(NVGRE_FRAME)),
        ("uplink", rewritten),
        ("green-2", answer),
    ];
    let mut verdicts = BTreeSet::new();
    for (port, frame) in &frames {
        let place = Place::named(port, &host).unwrap();
        for kept in 0..=frame.len() {
            for length in [kept, frame.len()] {
                let captured = CapturedFrame {
                    timestamp: 0,
                    bytes: frame[..kept].to_vec(),
                    original_length: length as u32,
                    interface: 0,
                    comment: None,
                };
                let mut replay = Replay::new(&host).unwrap();
                let window = &captured.bytes;
                let frame = Frame {
                    ingress: place.ingress(),
                    window,
                    length,
                    offload: Offload::NONE,
                };
                let explanation = explain(replay.switch().policy(), &host, port, &frame);
                let decided = replay.push(place, &captured).decision;
                assert_eq!(explanation.verdict, decided.kind.name(), "{port} {kept}");
                assert_eq!(
                    explanation.reason,
                    decided.reason.map(|reason| reason.name())
                );
                verdicts.insert(explanation.verdict);
            }
        }
    }
    assert_eq!(
        verdicts,
        BTreeSet::from(["delivered", "dropped", "transmitted"])
    );
}

/// Near misses of a frame under a policy that no file may state, but another adapter's may.
fn told_under(change: impl Fn(&mut Change), port: &str, frame: &[u8]) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(TENANTS).unwrap();
    let file = PolicyFile::parse(&text, "tenants.toml").unwrap();
    let mut host = file.for_host("host-1").unwrap();
    host.changes.iter_mut().for_each(change);
    let replay = Replay::new(&host).unwrap();
    let ingress = Place::named(port, &host).unwrap().ingress();
    let frame = Frame::whole(ingress, frame);
    let explanation = explain(replay.switch().policy(), &host, port, &frame);
    (
        explanation.reason.unwrap_or_default().to_owned(),
        explanation.near_misses,
    )
}

#[test]
fn a_route_out_of_the_domain_is_told() {
    let astray = |change: &mut Change| {
        if let Change::AddCustomerRoute(CustomerRoute {
            target: target @ RouteTarget::Via(_),
            ..
        }) = change
        {
            *target = RouteTarget::Via(CustomerAddress::new("10.0.77.1".parse().unwrap()).unwrap());
        }
    };
    let near = "the route 172.20.0.0/16 leads via 10.0.77.1, which lies in no subnet of the routing domain";
    let told = told_under(astray, "blue-1", &from_blue_1("172.20.0.1"));
    assert_eq!(told, ("no_path".to_owned(), vec![near.to_owned()]));
}

#[test]
fn a_rewritten_sender_off_its_physical_network_is_told() {
    let astray = |change: &mut Change| {
        if let Change::AddRecord(LookupRecord {
            location: Location::Port(_),
            method: Method::Rewrite {
                provider_address, ..
            },
            ..
        }) = change
        {
            *provider_address = ProviderAddress::new("192.168.9.105".parse().unwrap()).unwrap();
        }
    };
    let only_green = |change: &mut Change| {
        if !matches!(change, Change::AddRecord(record) if record.vsid.get() == 7002) {
            astray(change);
        }
    };
    let frame = ethernet(
        "0a:0a:00:00:00:07",
        "0a:0a:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.7"),
    );
    let near = "the sender's provider address 192.168.9.105 lies in no prefix of this host's provider addresses";
    let told = told_under(only_green, "green-1", &frame);
    assert_eq!(told, ("no_path".to_owned(), vec![near.to_owned()]));
}

#[test]
fn every_frame_of_a_capture_is_explained() {
    let captures = Captures::new();
    let frames = [(2, from_blue_1("10.0.0.7")), (1, from_blue_1("10.0.0.77"))];
    let file = captures.input("blue-1", &frames);
    let file = file.strip_prefix("blue-1=").unwrap();
    let arguments = [
        "trace", "--policy", TWO_HOSTS, "--host", "host-1", "--port", "blue-1", "--in", file,
    ];
    let told = netvirt(arguments).good();
    let expected = [
        "frame        0",
        "verdict      held",
        "frame        1",
        "verdict      dropped (no_record)",
    ];
    let mut rest = &*told;
    for line in expected {
        let place = rest
            .find(line)
            .unwrap_or_else(|| panic!("{line} in {told}"));
        rest = &rest[place..];
    }
    let json = netvirt(arguments.iter().chain(&["--json"])).good();
    assert_eq!(json.lines().count(), 2);
}

#[test]
fn what_cannot_be_explained_says_what_to_do() {
    let trace = |host: &str, port: &str, frame: &[&str]| {
        let arguments = [
            "trace", "--policy", TWO_HOSTS, "--host", host, "--port", port,
        ];
        netvirt(arguments.iter().chain(frame)).bad_input()
    };
    let hex = ["--hex", "0606"];
    assert_eq!(
        trace("x", "blue-1", &hex),
        "error: the policy file has no host \"x\": choose one of: host-1, host-2\n"
    );
    assert_eq!(
        trace("host-1", "blue-2", &hex),
        "error: host-1 has no port \"blue-2\": it has uplink, blue-1, red-1\n"
    );
    assert_eq!(
        trace("host-1", "blue-1", &["--hex", "06 0"]),
        "error: --hex is no frame: the last byte has only one digit\n"
    );
    let both = trace("host-1", "blue-1", &["--hex", "06", "--in", "x"]);
    assert!(
        both.contains("'--hex <FRAME>' cannot be used with '--in <FILE>'"),
        "{both}"
    );
    let none = trace("host-1", "blue-1", &[]);
    assert!(none.contains("<--hex <FRAME>|--in <FILE>>"), "{none}");
}

#[test]
fn a_broadcast_is_told_with_all_that_hear_it_and_what_is_lost() {
    let packet = ipv4("10.0.0.5", "10.0.0.255", 17, &udp(20));
    let frame = ethernet(BROADCAST, BLUE_1, 0x0800, &packet);
    let told = trace(TWO_HOSTS, "blue-1", &frame, &[]).out;
    let expected =
        "verdict      replicated: copied to no machine of this host, and to 1 other host\n";
    assert!(told.contains(expected), "{told}");
    let json = trace(TWO_HOSTS, "blue-1", &frame, &["--json"]).out;
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&told["verdict"], &told["vsid"]),
        (&"replicated".into(), &5001.into())
    );
    assert!(told["reason"].is_null(), "{told}");
}

#[test]
fn a_group_of_the_provider_network_is_named() {
    let text = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mapped =
        "vsid = 5001\nmulticast = [{ group = \"10.0.0.255\", provider = \"239.192.0.1\" }]";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("network.toml");
    std::fs::write(&path, text.replacen("vsid = 5001", mapped, 1)).unwrap();
    let path = path.to_str().unwrap();
    let packet = ipv4("10.0.0.5", "10.0.0.255", 17, &udp(20));
    let frame = ethernet(BROADCAST, BLUE_1, 0x0800, &packet);
    let told = trace(path, "blue-1", &frame, &[]).out;
    for expected in [
        "group        10.0.0.255 in VSID 5001: carried by 239.192.0.1\n",
        "verdict      replicated: copied to no machine of this host, and to group 239.192.0.1 of the provider network\n",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    let other = ipv4("10.0.0.7", "255.255.255.255", 17, &udp(20));
    let other = ethernet(BROADCAST, BLUE_2, 0x0800, &other);
    let macs = [HOST_2, "01:00:5e:40:00:01"];
    let frame = nvgre(macs, ["192.168.4.22", "239.192.0.1"], 5001, &other);
    let told = trace(path, "uplink", &frame, &[]).out;
    let expected = "group        255.255.255.255 in VSID 5001: carried by no group\n";
    assert!(told.contains(expected), "{told}");
    assert!(
        told.contains("verdict      dropped (multicast): "),
        "{told}"
    );
}

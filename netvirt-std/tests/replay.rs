//! `netvirt replay`: captured frames through a host's switch.

mod support;

use std::fs;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use netvirt_core::MacAddress;
use netvirt_core::wire::{NeighborAdvertisement, NeighborSolicitation};
use netvirt_std::capture::CaptureReader;
use serde_json::{Value, json};
use support::{
    Captures, INNER_PACKET, NVGRE_FRAME, REWRITTEN_PACKET, TWO_HOSTS, VECTORS, arp, bytes,
    ethernet, ipv4, netvirt, nvgre, packet, replay, replay_arguments, text, udp,
};

const BLUE_1: &str = "06:06:00:00:00:05";
const BLUE_2: &str = "06:06:00:00:00:07";
const GREEN_1: &str = "0a:0a:00:00:00:05";
const GREEN_2: &str = "0a:0a:00:00:00:07";
const HOST_1: &str = "02:00:00:00:00:0b";
const HOST_2: &str = "02:00:00:00:00:16";
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
const NOBODY: &str = "00:00:00:00:00:00";
const SECOND: u64 = 1_000_000_000;

/// What left the switch, as (port, hexadecimal).
fn out(line: &Value) -> Vec<(&str, &str)> {
    let sent = line["out"].as_array().unwrap().iter();
    sent.map(|sent| (word(sent, "port"), word(sent, "frame")))
        .collect()
}

fn word<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}

fn verdict(line: &Value) -> &str {
    word(line, "verdict")
}

/// The one line of a single frame.
#[track_caller]
fn replay_one(policy: &str, host: &str, port: &str, frame: Vec<u8>) -> Value {
    let captures = Captures::new();
    let mut lines = replay(policy, host, &[captures.input(port, &[(1, frame)])]);
    assert_eq!(lines.len(), 2);
    lines.swap_remove(0)
}

fn blue_frame() -> Vec<u8> {
    ethernet(BLUE_2, BLUE_1, 0x0800, &bytes(INNER_PACKET))
}

#[test]
fn the_reference_packet_leaves_in_nvgre_byte_for_byte() {
    let line = replay_one(VECTORS, "host-1", "blue-1", blue_frame());
    assert_eq!(verdict(&line), "transmitted");
    assert_eq!(line["vsid"], 5001);
    assert_eq!(out(&line), [("uplink", &*text(&bytes(NVGRE_FRAME)))]);
}

#[test]
fn the_reference_frame_arrives_out_of_nvgre_byte_for_byte() {
    let line = replay_one(VECTORS, "host-2", "uplink", bytes(NVGRE_FRAME));
    assert_eq!(verdict(&line), "delivered");
    assert_eq!(line["vsid"], 5001);
    assert_eq!(out(&line), [("blue-2", &*text(&blue_frame()))]);
}

#[test]
fn the_reference_packet_leaves_rewritten_byte_for_byte() {
    let frame = ethernet(GREEN_2, GREEN_1, 0x0800, &bytes(INNER_PACKET));
    let line = replay_one(VECTORS, "host-1", "green-1", frame);
    assert_eq!(verdict(&line), "transmitted");
    assert_eq!(line["vsid"], 7001);
    let expected = ethernet(HOST_2, HOST_1, 0x0800, &bytes(REWRITTEN_PACKET));
    assert_eq!(out(&line), [("uplink", &*text(&expected))]);
}

#[test]
fn the_reference_packet_arrives_restored_byte_for_byte() {
    let frame = ethernet(HOST_2, HOST_1, 0x0800, &bytes(REWRITTEN_PACKET));
    let line = replay_one(VECTORS, "host-2", "uplink", frame);
    assert_eq!(verdict(&line), "delivered");
    assert_eq!(line["vsid"], 7001);
    let expected = ethernet(GREEN_2, GREEN_1, 0x0800, &bytes(INNER_PACKET));
    assert_eq!(out(&line), [("green-2", &*text(&expected))]);
}

/// A bit of everything: answers, refusals, a held and released frame, frames that are not ours.
fn mixed_inputs(captures: &Captures) -> Vec<String> {
    let question = arp(1, (BLUE_1, "10.0.0.5"), (NOBODY, "10.0.0.7"));
    let blue = [
        (10, ethernet(BROADCAST, BLUE_1, 0x0806, &question)),
        (20, blue_frame()),
        (
            30,
            ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.5", "10.0.0.9")),
        ),
        (
            40,
            ethernet(BLUE_2, GREEN_1, 0x0800, &packet("10.0.0.5", "10.0.0.7")),
        ),
        (70, blue_frame()),
    ];
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    let inner = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    let from_blue_2 = nvgre(
        [HOST_2, HOST_1],
        ["192.168.4.22", "192.168.4.11"],
        5001,
        &inner,
    );
    let uplink = [
        (50, ethernet(HOST_1, HOST_2, 0x0806, &answer)),
        (
            60,
            ethernet(
                HOST_1,
                HOST_2,
                0x0800,
                &packet("192.168.4.22", "192.168.4.99"),
            ),
        ),
        (80, from_blue_2),
        (
            90,
            ethernet(
                HOST_1,
                HOST_2,
                0x0800,
                &packet("192.168.4.22", "192.168.4.11"),
            ),
        ),
    ];
    vec![
        captures.input("blue-1", &blue),
        captures.input("uplink", &uplink),
    ]
}

#[test]
fn a_small_capture_gives_the_lines_that_it_always_gave() {
    let captures = Captures::new();
    let mut arguments = replay_arguments(TWO_HOSTS, "host-1", &mixed_inputs(&captures));
    let people = netvirt(&arguments).good();
    assert_eq!(people, include_str!("data/mixed.txt"));
    arguments.push("--json".to_owned());
    let programs = netvirt(&arguments).good();
    assert_eq!(programs, include_str!("data/mixed.jsonl"));
}

#[test]
fn the_same_input_gives_the_same_output_byte_for_byte() {
    let captures = Captures::new();
    let inputs = mixed_inputs(&captures);
    let run = |capture: &str, more: &[&str]| {
        let capture = captures.path(capture);
        let mut arguments = replay_arguments(TWO_HOSTS, "host-1", &inputs);
        arguments.extend(["--capture".to_owned(), capture.display().to_string()]);
        arguments.extend(more.iter().map(|more| more.to_string()));
        (netvirt(arguments).good(), fs::read(capture).unwrap())
    };
    for more in [&[][..], &["--json"]] {
        assert_eq!(run("first.pcapng", more), run("second.pcapng", more));
    }
}

#[test]
fn frames_arrive_in_order_of_time_whatever_the_order_of_their_captures() {
    let captures = Captures::new();
    let mut inputs = mixed_inputs(&captures);
    let lines = replay(TWO_HOSTS, "host-1", &inputs);
    inputs.reverse();
    assert_eq!(replay(TWO_HOSTS, "host-1", &inputs), lines);
    let ports: Vec<_> = lines
        .iter()
        .filter_map(|line| line["port"].as_str())
        .collect();
    let (blue, uplink) = ("blue-1", "uplink");
    assert_eq!(
        ports,
        [blue, blue, blue, blue, uplink, uplink, blue, uplink, uplink]
    );
}

#[test]
fn a_held_frame_asks_and_the_answer_releases_it() {
    let captures = Captures::new();
    let blue = captures.input(
        "blue-1",
        &[(1, blue_frame()), (2, blue_frame()), (9, blue_frame())],
    );
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    let uplink = captures.input("uplink", &[(3, ethernet(HOST_1, HOST_2, 0x0806, &answer))]);
    let lines = replay(TWO_HOSTS, "host-1", &[blue, uplink]);

    let question = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, "192.168.4.22"));
    let question = text(&ethernet(BROADCAST, HOST_1, 0x0806, &question));
    assert_eq!(
        (verdict(&lines[0]), out(&lines[0])),
        ("held", vec![("uplink", &*question)])
    );
    assert_eq!((verdict(&lines[1]), out(&lines[1])), ("held", vec![]));

    assert_eq!(
        (verdict(&lines[2]), &lines[2]["punt"]),
        ("punted", &json!("neighbour"))
    );
    let released = out(&lines[2]);
    assert_eq!(released.len(), 2);
    // The FlowID of this network is per flow: all but the last byte of the key is the reference frame's.
    let expected = text(&bytes(NVGRE_FRAME));
    for (port, frame) in &released {
        assert_eq!(
            (*port, &frame[..82], &frame[84..]),
            ("uplink", &expected[..82], &expected[84..])
        );
    }
    assert_eq!(verdict(&lines[3]), "transmitted");
    assert_eq!(out(&lines[3]), released[..1]);

    let counters = &lines[4]["counters"];
    for (name, number) in [
        ("received", 4),
        ("held", 2),
        ("released", 2),
        ("transmitted", 1),
        ("punted", 1),
    ] {
        assert_eq!(counters[name], number, "{name}");
    }
}

#[test]
fn a_next_hop_with_ipv6_is_asked_by_neighbour_solicitation() {
    let captures = Captures::new();
    let policy = captures.path("ipv6.toml");
    let text = fs::read_to_string(TWO_HOSTS).unwrap();
    let text = text
        .replace("192.168.4.0/24", "2001:db8:4::/64")
        .replace("192.168.4.", "2001:db8:4::");
    fs::write(&policy, text).unwrap();
    let [host_1, host_2] =
        ["2001:db8:4::11", "2001:db8:4::22"].map(|ip| ip.parse::<Ipv6Addr>().unwrap());
    let [host_1_mac, host_2_mac] = [HOST_1, HOST_2].map(|mac| mac.parse::<MacAddress>().unwrap());
    let question = NeighborSolicitation::resolve(host_1, host_1_mac, host_2);
    let answer = question.reply(host_2, host_2_mac, false);
    let mut frame = vec![0; NeighborAdvertisement::MAX_FRAME_LEN];
    let length = answer
        .emit(host_1_mac, host_2_mac, None, &mut frame)
        .unwrap();
    frame.truncate(length);
    let blue = captures.input("blue-1", &[(1, blue_frame())]);
    let lines = replay(
        policy,
        "host-1",
        &[blue, captures.input("uplink", &[(2, frame)])],
    );

    assert_eq!(verdict(&lines[0]), "held");
    let asked = bytes(out(&lines[0])[0].1);
    // The solicited-node group of ::22 (RFC 4291 §2.7.1, RFC 2464 §7), ICMPv6 type 135, the target.
    assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0, 0, 0x22]);
    assert_eq!((asked[54], &asked[62..78]), (135, &host_2.octets()[..]));
    assert_eq!(lines[1]["punt"], "neighbour");
    let released = bytes(out(&lines[1])[0].1);
    assert_eq!(released[..6], host_2_mac.0);
    assert_eq!(released[62..], blue_frame());
    assert_eq!(lines[2]["counters"]["released"], 1);
}

#[test]
fn an_answer_that_nobody_asked_for_is_not_believed() {
    let captures = Captures::new();
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    let uplink = captures.input("uplink", &[(1, ethernet(HOST_1, HOST_2, 0x0806, &answer))]);
    let blue = captures.input("blue-1", &[(2, blue_frame())]);
    let lines = replay(TWO_HOSTS, "host-1", &[uplink, blue]);
    assert_eq!((verdict(&lines[0]), out(&lines[0])), ("punted", vec![]));
    assert_eq!(verdict(&lines[1]), "held");
}

#[test]
fn a_next_hop_is_asked_again_though_no_more_frames_can_wait_for_it() {
    let captures = Captures::new();
    let times = [0, 1, 2, 3, SECOND, SECOND + 1, 2 * SECOND];
    let blue = captures.input("blue-1", &times.map(|time| (time, blue_frame())));
    let lines = replay(TWO_HOSTS, "host-1", &[blue]);
    let verdicts: Vec<_> = lines[3..7].iter().map(verdict).collect();
    assert_eq!(verdicts, ["dropped"; 4]);
    let questions: Vec<_> = lines[..7].iter().map(|line| out(line).len()).collect();
    assert_eq!(questions, [1, 0, 0, 0, 1, 0, 1]);
}

#[test]
fn spec_6_exhaustion_what_waits_is_bounded_and_given_up_in_the_end() {
    let captures = Captures::new();
    let times = [0, 1, 2, 3, 4 * SECOND];
    let blue = captures.input("blue-1", &times.map(|time| (time, blue_frame())));
    let lines = replay(TWO_HOSTS, "host-1", &[blue]);
    let verdicts: Vec<_> = lines[..5].iter().map(verdict).collect();
    assert_eq!(verdicts, ["held", "held", "held", "dropped", "held"]);
    assert_eq!(lines[3]["reason"], "neighbour_queue_full");
    assert_eq!(out(&lines[4]).len(), 1, "the next hop is asked for again");
    let counters = &lines[5]["counters"];
    assert_eq!(
        (&counters["held"], &counters["dropped"]),
        (&json!(1), &json!(4))
    );
    assert_eq!(counters["reasons"]["neighbour_timeout"], 3);
    assert_eq!(counters["reasons"]["neighbour_queue_full"], 1);
}

fn blue_broadcast() -> Vec<u8> {
    let packet = ipv4("10.0.0.5", "10.0.0.255", 17, &udp(20));
    ethernet(BROADCAST, BLUE_1, 0x0800, &packet)
}

#[test]
fn a_copy_waits_for_its_next_hop_like_any_frame() {
    let captures = Captures::new();
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    let uplink = captures.input("uplink", &[(2, ethernet(HOST_1, HOST_2, 0x0806, &answer))]);
    let blue = captures.input("blue-1", &[(1, blue_broadcast()), (3, blue_broadcast())]);
    let lines = replay(TWO_HOSTS, "host-1", &[uplink, blue]);
    assert_eq!(verdict(&lines[0]), "replicated");
    assert_eq!(out(&lines[0]).len(), 1, "the question");
    let (expected, sent) = (text(&blue_broadcast()), [&lines[1], &lines[2]]);
    for line in sent {
        let [("uplink", copy)] = out(line)[..] else {
            panic!("{line}");
        };
        assert!(copy.ends_with(&expected), "{copy}");
    }
    let counters = &lines[3]["counters"];
    assert_eq!(counters["replicated"], 2);
    assert_eq!(
        (&counters["held"], &counters["released"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(counters["events"]["copies"], 2);
    assert_eq!(counters["events"]["copies_lost"], 0);
}

#[test]
fn copies_that_cannot_wait_or_wait_too_long_are_lost_and_their_frames_are_not() {
    let captures = Captures::new();
    let times = [0, 1, 2, 3, 4 * SECOND];
    let blue = captures.input("blue-1", &times.map(|time| (time, blue_broadcast())));
    let lines = replay(TWO_HOSTS, "host-1", &[blue]);
    let verdicts: Vec<_> = lines[..5].iter().map(verdict).collect();
    assert_eq!(verdicts, ["replicated"; 5]);
    let counters = &lines[5]["counters"];
    assert_eq!(
        (
            &counters["replicated"],
            &counters["dropped"],
            &counters["held"]
        ),
        (&json!(5), &json!(0), &json!(0))
    );
    // One had no room, three were given up, and the last one still waits.
    assert_eq!(counters["events"]["copies"], 1);
    assert_eq!(counters["events"]["copies_lost"], 4);
}

#[test]
fn a_frame_cut_by_a_snap_length_keeps_its_length() {
    let captures = Captures::new();
    let packet = ipv4("10.0.0.5", "10.0.0.7", 17, &udp(980));
    let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &packet);
    let blue = captures.cut_input("blue-1", &[(1, &frame[..60], 1014)]);
    let lines = replay(VECTORS, "host-1", std::slice::from_ref(&blue));
    assert_eq!(verdict(&lines[0]), "transmitted");
    let sent = &lines[0]["out"][0];
    assert_eq!(sent["length"], 1056);
    let kept = bytes(sent["frame"].as_str().unwrap());
    assert_eq!(kept.len(), 60 + 42);
    assert_eq!(
        kept[16..18],
        1042u16.to_be_bytes(),
        "the outer IP length is the whole packet's"
    );
    assert_eq!(kept[56..], frame[14..60]);

    let file = captures.path("out.pcapng");
    let mut arguments = replay_arguments(VECTORS, "host-1", &[blue]);
    arguments.extend(["--capture".to_owned(), file.display().to_string()]);
    netvirt(arguments).good();
    let frames: Vec<_> = CaptureReader::open(&file)
        .unwrap()
        .map(|frame| frame.unwrap())
        .collect();
    let lengths: Vec<_> = frames
        .iter()
        .map(|frame| (frame.bytes.len(), frame.original_length))
        .collect();
    assert_eq!(lengths, [(60, 1014), (102, 1056)]);
}

#[test]
fn the_capture_shows_every_frame_at_its_port_and_why_it_was_refused() {
    let captures = Captures::new();
    let inputs = mixed_inputs(&captures);
    let file = captures.path("out.pcapng");
    let mut arguments = replay_arguments(TWO_HOSTS, "host-1", &inputs);
    arguments.extend(["--capture".to_owned(), file.display().to_string()]);
    netvirt(&arguments).good();

    // The uplink is interface 0, blue-1 interface 1, red-1 interface 2.
    let lines = replay(TWO_HOSTS, "host-1", &inputs);
    let interface = |port: &str| {
        ["uplink", "blue-1", "red-1"]
            .iter()
            .position(|name| *name == port)
    };
    let mut expected = Vec::new();
    for line in &lines[..lines.len() - 1] {
        expected.push((interface(line["port"].as_str().unwrap()), None));
        expected.extend(
            out(line)
                .into_iter()
                .map(|(port, frame)| (interface(port), Some(bytes(frame)))),
        );
    }
    let frames: Vec<_> = CaptureReader::open(&file)
        .unwrap()
        .map(|frame| frame.unwrap())
        .collect();
    assert_eq!(frames.len(), expected.len());
    for (frame, (interface, bytes)) in frames.iter().zip(expected) {
        assert_eq!(Some(frame.interface as usize), interface);
        assert!(bytes.is_none_or(|bytes| bytes == frame.bytes));
    }
    let raw = fs::read(&file).unwrap();
    for text in [
        "red-1",
        "dropped: no_record (VSID 5001)",
        "dropped: mac_spoof (VSID 5001)",
    ] {
        assert!(
            raw.windows(text.len())
                .any(|window| window == text.as_bytes()),
            "{text}"
        );
    }
}

/// A TCP transfer between a machine behind OVS's GRE and one behind Linux gretap: made by others, to the last byte.
#[test]
fn what_linux_and_ovs_sent_is_delivered_as_it_was() {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures"));
    let capture = directory.join("linux-gretap-with-ovs-gre.pcap");
    let input = format!("uplink={}", capture.display());
    let frames: Vec<_> = CaptureReader::open(&capture)
        .unwrap()
        .map(|frame| frame.unwrap())
        .collect();
    let sides = [
        ("side-1", "machine-1", [172, 31, 0, 1], 1688),
        ("side-2", "machine-2", [172, 31, 0, 2], 1312),
    ];
    for (host, machine, address, number) in sides {
        let lines = replay(
            directory.join("gretap-ovs.toml"),
            host,
            std::slice::from_ref(&input),
        );
        let mut delivered = 0;
        for (frame, line) in frames.iter().zip(&lines) {
            if frame.bytes[30..34] == address {
                // Outer Ethernet, IPv4 without options, and GRE with a key take 42 bytes.
                let inner = text(&frame.bytes[42..]);
                assert_eq!(
                    (verdict(line), out(line)),
                    ("delivered", vec![(machine, &*inner)])
                );
                assert_eq!(line["vsid"], 4660);
                delivered += 1;
            } else {
                assert_eq!((verdict(line), out(line)), ("punted", vec![]));
                assert_eq!(line["punt"], "not_ours");
            }
        }
        assert_eq!(delivered, number);
        let counters = &lines[frames.len()]["counters"];
        assert_eq!(counters["received"], 3000);
        assert_eq!(counters["delivered"], number);
        assert_eq!(counters["punted"], 3000 - number);
        assert_eq!(counters["ports"][0]["delivered"]["frames"], number);
        assert_eq!(counters["subnets"][0]["received"]["frames"], number);
    }
}

#[test]
fn what_cannot_be_replayed_says_what_to_do() {
    let captures = Captures::new();
    let blue = captures.input("blue-1", &[(1, blue_frame())]);
    let ask = |policy: &str, host: &str, input: &str| {
        netvirt(replay_arguments(policy, host, &[input.to_owned()])).bad_input()
    };
    assert_eq!(
        ask(TWO_HOSTS, "x", &blue),
        "error: the policy file has no host \"x\": choose one of: host-1, host-2\n"
    );
    assert_eq!(
        ask(TWO_HOSTS, "host-2", &blue),
        "error: host-2 has no port \"blue-1\": it has uplink, blue-2, red-2\n"
    );
    let no_port = ask(TWO_HOSTS, "host-1", "blue.pcap");
    assert!(
        no_port.contains("\"blue.pcap\" is not PORT=FILE"),
        "{no_port}"
    );
    let no_file = ask(TWO_HOSTS, "host-1", "uplink=no/such.pcap");
    assert!(no_file.starts_with("error: no/such.pcap: "), "{no_file}");
    let no_capture = ask(TWO_HOSTS, "host-1", &format!("uplink={TWO_HOSTS}"));
    assert!(
        no_capture.contains("neither a pcap nor a pcapng file"),
        "{no_capture}"
    );
    let no_policy = ask("no/such.toml", "host-1", &blue);
    assert!(
        no_policy.starts_with("error: no/such.toml: "),
        "{no_policy}"
    );

    let wrong = captures.path("wrong.toml");
    let text = fs::read_to_string(TWO_HOSTS)
        .unwrap()
        .replace("10.0.0.7", "10.0.9.7");
    fs::write(&wrong, text).unwrap();
    let refused = ask(wrong.to_str().unwrap(), "host-1", &blue);
    assert!(
        refused.contains("wrong.toml:") && refused.contains("10.0.9.7"),
        "{refused}"
    );
}

#[test]
fn a_packet_that_may_be_cut_leaves_in_fragments_and_any_other_is_told_what_fits() {
    let mut packet = ipv4("10.0.0.5", "10.0.0.7", 17, &udp(3000));
    let told = ethernet(BLUE_2, BLUE_1, 0x0800, &packet);
    let line = replay_one(VECTORS, "host-1", "blue-1", told);
    assert_eq!(
        (verdict(&line), word(&line, "reason")),
        ("replied", "too_big")
    );
    let [(port, error)] = out(&line)[..] else {
        panic!("{line}");
    };
    let error = bytes(error);
    assert_eq!(port, "blue-1");
    assert_eq!(error[34..36], [3, 4], "fragmentation needed");
    assert_eq!(error[40..42], 1458_u16.to_be_bytes(), "next-hop MTU");

    packet[6] = 0;
    let cut = ethernet(BLUE_2, BLUE_1, 0x0800, &packet);
    let line = replay_one(VECTORS, "host-1", "blue-1", cut);
    assert_eq!(verdict(&line), "transmitted");
    let lengths: Vec<_> = out(&line)
        .iter()
        .map(|(port, frame)| (*port, bytes(frame).len() - 76))
        .collect();
    assert_eq!(
        lengths,
        [("uplink", 1432), ("uplink", 1432), ("uplink", 136)]
    );
}

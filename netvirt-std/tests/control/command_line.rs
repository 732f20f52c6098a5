//! The program's commands that ask a running switch.

use serde_json::Value;

use super::switch::{Switch, TWO_HOSTS};
use crate::support::{self, Answer, ethernet, packet, text};

/// Calls the program about this switch.
fn netvirt(switch: &Switch, arguments: &[&str]) -> Answer {
    let socket = switch.socket();
    let control = ["--control", socket.to_str().unwrap()];
    support::netvirt(arguments.iter().chain(&control))
}

/// A switch that knows a next hop, and has a provider route and a group that carries broadcast.
fn switch() -> Switch {
    let policy = TWO_HOSTS
        .replace(
            "addresses = [\"192.168.4.11\"]",
            "addresses = [\"192.168.4.11\"]\nneighbours = [{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:16\" }]",
        )
        .replacen(
            "[[host]]",
            "[[physical-network.route]]\nprefix = \"192.168.9.0/24\"\nnext-hop = \"192.168.4.1\"\n\n[[host]]",
            1,
        )
        .replacen(
            "vsid = 5001",
            "vsid = 5001\nmulticast = [{ group = \"10.0.0.255\", provider = \"239.192.0.1\" }]",
            1,
        );
    Switch::start(&policy, "host-1")
}

fn to_nobody() -> Vec<u8> {
    let router = "02:15:5d:00:00:01";
    ethernet(
        router,
        "06:06:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.77"),
    )
}

#[test]
fn people_are_shown_tables() {
    let switch = switch();
    switch.cables.send("blue-1", &to_nobody());
    switch.wait_for_frames(1);
    for (arguments, expected) in [
        (
            &["show", "ports"][..],
            "\
machine  interface  VSID  domain  MAC address        addresses  received  delivered  refused  missed
───────  ─────────  ────  ──────  ─────────────────  ─────────  ────────  ─────────  ───────  ──────
blue-1   blue-1     5001  blue    06:06:00:00:00:05  10.0.0.5          1          0        1       0
red-1    red-1      6001  red     08:08:00:00:00:05  10.0.0.5          0          0        0       0
",
        ),
        (
            &[
                "show",
                "records",
                "machine=blue-1",
                "machine=red-2",
                "usable=true",
                "domain=blue",
            ],
            "\
VSID  domain  address   MAC address        machine  location  method       provider addresses  remarks
────  ──────  ────────  ─────────────────  ───────  ────────  ───────────  ──────────────────  ───────
5001  blue    10.0.0.5  06:06:00:00:00:05  blue-1   host-1    encapsulate  192.168.4.11
",
        ),
        (
            &["show", "customer-routes"],
            "\
domain  VSID  prefix       next hop  metric  remarks
──────  ────  ───────────  ────────  ──────  ───────
blue    5001  10.0.0.0/24  on-link      255
red     6001  10.0.0.0/24  on-link      255
",
        ),
        (
            &["show", "multicast-groups"],
            "\
domain  VSID  group       provider group  remarks
──────  ────  ──────────  ──────────────  ───────
blue    5001  10.0.0.255  239.192.0.1
",
        ),
        (
            &["show", "provider-addresses"],
            "\
address          interface  MAC address        VLAN   MTU  state
───────────────  ─────────  ─────────────────  ────  ────  ─────────
192.168.4.11/24  -          02:00:00:00:00:0b     -  1600  preferred
",
        ),
        (
            &["show", "provider-routes"],
            "\
prefix          next hop     metric
──────────────  ───────────  ──────
192.168.9.0/24  192.168.4.1     255
",
        ),
        (
            &["show", "hosts"],
            "\
host           provider address  path MTU  learnt
─────────────  ────────────────  ────────  ──────
host-1 (here)  192.168.4.11             -
host-2         192.168.4.22             -
",
        ),
        (
            &["show", "neighbours"],
            "\
address       MAC address        known
────────────  ─────────────────  ──────
192.168.4.22  02:00:00:00:00:16  stated
",
        ),
        (
            &["show", "counters", "vsid=5001"],
            "\
port    received  bytes  delivered  bytes  refused
──────  ────────  ─────  ─────────  ─────  ───────
blue-1         1     54          0      0        1

VSID  routing domain  sent  bytes  received  bytes  refused
────  ──────────────  ────  ─────  ────────  ─────  ───────
5001  blue               1     54         0      0        1
",
        ),
        (&["show", "ports", "vsid=7001"], "There are none.\n"),
    ] {
        assert_eq!(netvirt(&switch, arguments).good(), expected);
    }
}

#[test]
fn the_status_is_shown_by_default() {
    let switch = switch();
    let shown = netvirt(&switch, &["show"]).good();
    for line in [
        "host                    host-1\n",
        "policy version          1\n",
        "prepared version        -\n",
        "ready                   yes\n",
        "workers                 1\n",
        "ports                        328\n",
    ] {
        assert!(shown.contains(line), "{line}in\n{shown}");
    }
}

#[test]
fn programs_are_shown_what_the_switch_says() {
    let switch = switch();
    let shown = netvirt(&switch, &["show", "ports", "machine=red-1", "--json"]).good();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown, super::http::get(&switch, "/v1/ports?machine=red-1"));
    let status = netvirt(&switch, &["show", "--json"]).good();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["host"], "host-1");
    let reset = netvirt(&switch, &["show", "status", "--json", "--reset-stalls"]).good();
    let reset: Value = serde_json::from_str(&reset).unwrap();
    assert!(reset["longest_stall_ns"].as_u64() >= status["longest_stall_ns"].as_u64());
}

#[test]
fn what_cannot_be_shown_is_told_with_what_there_is() {
    let switch = switch();
    for (arguments, expected) in [
        (&["show", "prots"][..], "a similar value exists: 'ports'"),
        (
            &["show", "ports", "vsid"],
            "give FIELD=VALUE, for example vsid=5001",
        ),
        (
            &["show", "ports", "vsidd=5001"],
            "there is no field \"vsidd\" (did you mean \"vsid\"?): the fields are number, machine",
        ),
        (&["show", "status", "vsid=5001"], "leave FIELD=VALUE out"),
        (
            &["show", "ports", "--json", "--reset-stalls"],
            "--reset-stalls goes with the status",
        ),
        (
            &["show", "records", "usable=TRUE"],
            "\"TRUE\" is no value of usable: give true or false",
        ),
    ] {
        let complaints = netvirt(&switch, arguments).bad_input();
        assert!(complaints.contains(expected), "{complaints}");
    }
}

#[test]
fn a_switch_that_is_not_there_is_told_with_what_to_do() {
    let mut switch = switch();
    switch.stop_serving();
    let complaints = netvirt(&switch, &["show"]).bad_input();
    assert!(
        complaints.starts_with("error: no switch answers at "),
        "{complaints}"
    );
    assert!(
        complaints.contains("is `netvirt switch` running?"),
        "{complaints}"
    );
}

#[test]
fn a_frame_is_traced_as_the_policy_file_would_have_it() {
    let switch = switch();
    let frame = text(&to_nobody());
    let told = |more: &[&str]| {
        let arguments = ["trace", "--port", "blue-1", "--hex", &frame];
        netvirt(&switch, &[&arguments[..], more].concat()).good()
    };
    let offline = |more: &[&str]| {
        let arguments = [
            "trace",
            "--policy",
            support::TWO_HOSTS,
            "--host",
            "host-1",
            "--port",
            "blue-1",
            "--hex",
            &frame,
        ];
        support::netvirt(arguments.iter().chain(more)).good()
    };
    assert_eq!(told(&[]), offline(&[]));
    assert_eq!(told(&["--json"]), offline(&["--json"]));
    assert_eq!(switch.client().counters(&[]).unwrap().received, 0);
    let arguments = ["trace", "--port", "blue-7", "--hex", &frame];
    let complaints = netvirt(&switch, &arguments).bad_input();
    assert!(complaints.contains("no port \"blue-7\""), "{complaints}");
}

#[test]
fn frames_of_a_capture_are_traced_one_by_one() {
    let switch = switch();
    let captures = support::Captures::new();
    let long = to_nobody();
    captures.cut_input(
        "blue-1",
        &[(0, &long, long.len()), (1, &long[..40], long.len())],
    );
    let file = captures.path("blue-1.pcapng");
    let arguments = ["trace", "--port", "blue-1", "--in", file.to_str().unwrap()];
    let told = netvirt(&switch, &arguments).good();
    assert!(told.starts_with("frame        0\nport "), "{told}");
    assert!(told.contains("\n\nframe        1\nport "), "{told}");
    let offline = ["--policy", support::TWO_HOSTS, "--host", "host-1"];
    assert_eq!(
        told,
        support::netvirt(arguments.iter().chain(&offline)).good()
    );
}

#[test]
fn the_next_hop_is_selected_by_a_switch_or_by_a_policy_file() {
    let switch = switch();
    let arguments = ["select-next-hop", "--vsid", "5001", "10.0.0.7"];
    let expected = "\
source       10.0.0.5 in VSID 5001
destination  10.0.0.7
next hop     10.0.0.7 in VSID 5001: blue-2 on host-2
Ethernet     from 06:06:00:00:00:05 to 06:06:00:00:00:07
crosses      by NVGRE, from 192.168.4.11 to 192.168.4.22
verdict      transmitted: into the provider network
";
    assert_eq!(netvirt(&switch, &arguments).good(), expected);
    let json = netvirt(&switch, &[&arguments[..], &["--json"]].concat()).good();
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap()["machine"],
        "blue-2"
    );
    let offline = [
        "--policy",
        support::TWO_HOSTS,
        "--host",
        "host-2",
        "--source",
        "10.0.0.7",
    ];
    let to_itself = support::netvirt(arguments.iter().chain(&offline)).good();
    assert!(
        to_itself.contains("verdict      delivered: to blue-2, on this host\n"),
        "{to_itself}"
    );
}

/// The one in `/run/netvirt`, of which this test knows nothing.
#[test]
fn without_a_decider_the_only_switch_is_asked() {
    for arguments in [
        &["select-next-hop", "--vsid", "5001", "10.0.0.7"][..],
        &["trace", "--port", "blue-1", "--hex", "00"],
    ] {
        let answer = support::netvirt(arguments);
        assert!(
            !answer.complaints.contains("--policy"),
            "{}",
            answer.complaints
        );
    }
}

#[test]
fn a_next_hop_that_nobody_can_be_asked_for_ends_with_2() {
    let switch = switch();
    let elsewhere = [
        "select-next-hop",
        "--vsid",
        "5001",
        "--source",
        "10.0.0.7",
        "10.0.0.5",
    ];
    let complaints = netvirt(&switch, &elsewhere).bad_input();
    let expected =
        "error: no machine with 10.0.0.7 in VSID 5001 runs on host-1: ask the switch of host-2\n";
    assert_eq!(complaints, expected);
    for (arguments, expected) in [
        (&["select-next-hop", "--vsid", "5001"][..], "<DESTINATION>"),
        (&["select-next-hop", "--vsid", "1", "10.0.0.7"], "VSID 1"),
        (
            &["select-next-hop", "--vsid", "5001", "224.0.0.1"],
            "224.0.0.1",
        ),
        (
            &[
                "select-next-hop",
                "--vsid",
                "5001",
                "10.0.0.7",
                "--host",
                "host-1",
            ],
            "--host",
        ),
    ] {
        let complaints = netvirt(&switch, arguments).bad_input();
        assert!(complaints.contains(expected), "{complaints}");
    }
}

#[test]
fn rates_are_written_once_for_scripts() {
    let switch = switch();
    switch.cables.send("blue-1", &to_nobody());
    switch.wait_for_frames(1);
    let told = netvirt(&switch, &["top", "--once", "--interval", "0.1"]).good();
    let expected = "\
frames/s: received 0, delivered 0, transmitted 0, dropped 0

machine  received/s  bit/s  delivered/s  bit/s  refused/s
───────  ──────────  ─────  ───────────  ─────  ─────────
blue-1            0      0            0      0          0
red-1             0      0            0      0          0

routing domain  VSID  sent/s  bit/s  received/s  bit/s  refused/s
──────────────  ────  ──────  ─────  ──────────  ─────  ─────────
blue            5001       0      0           0      0          0
red             6001       0      0           0      0          0

refused because  frames/s  total
───────────────  ────────  ─────
no_record               0      1

beside these  frames/s  total
────────────  ────────  ─────
";
    assert_eq!(told, expected);
}

#[test]
fn rates_are_drawn_on_terminals_only() {
    let switch = switch();
    let complaints = netvirt(&switch, &["top"]).bad_input();
    assert!(complaints.contains("--once writes text"), "{complaints}");
    let complaints = netvirt(&switch, &["top", "--interval", "0"]).bad_input();
    assert!(complaints.contains("from 0.1 to 3600"), "{complaints}");
}

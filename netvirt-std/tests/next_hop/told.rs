//! What people and programs are told.

use std::fs;

use netvirt_core::{CustomerAddress, Vsid};
use netvirt_std::explain::{NextHopQuery, NoSender, SelectedNextHop, select_next_hop};
use netvirt_std::policy_file::PolicyFile;
use netvirt_std::replay::Replay;

use crate::support;

const BLUE: u32 = 5001;
const GREEN: u32 = 7001;
const ROUTER: &str = "02:15:5d:00:00:01";

fn tenants() -> String {
    fs::read_to_string(support::TENANTS).unwrap()
}

fn three_tenants() -> String {
    let directory = env!("CARGO_MANIFEST_DIR");
    fs::read_to_string(format!("{directory}/../examples/three-tenants.toml")).unwrap()
}

/// Asks host-1.
fn select(
    policy: &str,
    vsid: u32,
    source: Option<&str>,
    destination: &str,
) -> Result<SelectedNextHop, NoSender> {
    let address = |text: &str| CustomerAddress::new(text.parse().unwrap()).unwrap();
    let query = NextHopQuery {
        vsid: Vsid::new(vsid).unwrap(),
        source: source.map(address),
        destination: address(destination),
    };
    let file = PolicyFile::parse(policy, "site.toml").unwrap();
    let host = file.for_host("host-1").unwrap();
    let replay = Replay::new(&host).unwrap();
    let selected = select_next_hop(replay.switch().policy(), &host, &query);
    assert_eq!(replay.counters().received, 0);
    selected
}

fn macs(selected: &SelectedNextHop) -> (&str, &str) {
    (
        selected.source_mac_address.as_deref().unwrap(),
        selected.next_hop_mac_address.as_deref().unwrap(),
    )
}

#[test]
fn people_are_told_the_whole_way() {
    let selected = select(&tenants(), BLUE, Some("10.0.0.5"), "10.0.0.7").unwrap();
    let expected = "\
source       10.0.0.5 in VSID 5001
destination  10.0.0.7
next hop     10.0.0.7 in VSID 5001: blue-2 on host-2
Ethernet     from 06:06:00:00:00:05 to 06:06:00:00:00:07
crosses      by NVGRE, from 192.168.4.11 to 192.168.4.22
verdict      transmitted: into the provider network
";
    assert_eq!(selected.to_string(), expected);
    let json = serde_json::to_value(&selected).unwrap();
    assert_eq!(json["method"], "encapsulate");
    assert_eq!(json["host"], "host-2");
    assert_eq!(json["port"], serde_json::Value::Null);
    // Any machine of the subnet may ask.
    assert_eq!(
        select(&tenants(), BLUE, None, "10.0.0.7").unwrap(),
        selected
    );
}

#[test]
fn across_subnets_the_router_sends() {
    let selected = select(&tenants(), BLUE, None, "10.0.1.4").unwrap();
    assert_eq!(macs(&selected), (ROUTER, "06:06:00:00:01:04"));
    assert_eq!(selected.next_hop_virtual_subnet_id, Some(5002));
}

#[test]
fn behind_a_gateway_the_gateway_is_the_next_hop() {
    let policy = tenants().replace("10.0.1.9", "10.0.1.4");
    let selected = select(&policy, BLUE, None, "172.20.1.1").unwrap();
    assert_eq!(selected.next_hop_address, Some("10.0.1.4".parse().unwrap()));
    assert_eq!(macs(&selected), (ROUTER, "06:06:00:00:01:04"));
    assert_eq!(selected.machine.as_deref(), Some("blue-4"));
}

#[test]
fn a_rewritten_packet_goes_to_the_address_of_its_own() {
    let selected = select(&tenants(), GREEN, None, "10.0.0.7").unwrap();
    assert_eq!(selected.method, Some("rewrite"));
    assert_eq!(
        selected.source_provider_address,
        Some("192.168.4.105".parse().unwrap())
    );
    assert_eq!(
        selected.destination_provider_address,
        Some("192.168.4.107".parse().unwrap())
    );
    assert_eq!(macs(&selected), ("0a:0a:00:00:00:05", "0a:0a:00:00:00:07"));
}

#[test]
fn a_machine_of_this_host_is_reached_without_crossing() {
    let selected = select(&three_tenants(), BLUE, None, "10.0.1.5").unwrap();
    assert_eq!(selected.verdict, "delivered");
    assert_eq!((selected.port, selected.method), (Some(2), None));
    assert_eq!(macs(&selected), (ROUTER, "06:06:00:00:01:05"));
}

#[test]
fn the_gateway_is_the_host_itself() {
    let selected = select(&tenants(), BLUE, None, "10.0.0.1").unwrap();
    assert_eq!(selected.verdict, "replied");
    assert_eq!(macs(&selected), ("06:06:00:00:00:05", ROUTER));
    assert_eq!(selected.machine, None);
    let line = "next hop     10.0.0.1 in VSID 5001: the distributed router on host-1\n";
    assert!(selected.to_string().contains(line), "{selected}");
}

#[test]
fn packets_over_ipv6_are_asked_about_alike() {
    let selected = select(&three_tenants(), 5002, Some("fd00:5002::5"), "fd00:5002::7");
    let selected = selected.unwrap();
    assert_eq!(selected.machine.as_deref(), Some("blue-4"));
    assert_eq!(macs(&selected), ("06:06:00:00:01:05", "06:06:00:00:01:07"));
}

#[test]
fn a_refused_packet_has_no_next_hop_and_a_reason() {
    let selected = select(&tenants(), BLUE, None, "10.0.0.99").unwrap();
    assert_eq!(selected.reason, Some("no_record"));
    assert_eq!(selected.next_hop_address, None);
    let line =
        "verdict      dropped (no_record): no record knows who has the destination's address\n";
    assert!(selected.to_string().contains(line), "{selected}");
}

#[test]
fn who_cannot_be_asked_for_is_told_with_where_to_ask() {
    for (vsid, source, destination, expected) in [
        (
            BLUE,
            Some("10.0.0.7"),
            "10.0.0.5",
            "no machine with 10.0.0.7 in VSID 5001 runs on host-1: ask the switch of host-2",
        ),
        (
            BLUE,
            Some("10.0.0.77"),
            "10.0.0.5",
            "there is no machine with 10.0.0.77 in VSID 5001",
        ),
        (
            5002,
            None,
            "10.0.0.5",
            "no machine with such an address in VSID 5002 runs on host-1: ask the switch of host-2",
        ),
        (
            BLUE,
            None,
            "fd00::1",
            "there is no machine with such an address in VSID 5001",
        ),
        (
            5999,
            None,
            "10.0.0.5",
            "host-1 does not know VSID 5999: it knows 5001, 5002, 6001, 7001, 7002, 8001",
        ),
        (
            BLUE,
            Some("10.0.0.5"),
            "fd00::1",
            "no packet goes from 10.0.0.5 to fd00::1: give two addresses of one version of IP",
        ),
    ] {
        let error = select(&tenants(), vsid, source, destination).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

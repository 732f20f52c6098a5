//! What a switch tells of itself.

use netvirt_core::counters::Event;
use serde_json::{Value, json};

use super::http::{ask, get, refused};
use super::switch::{Switch, THREE_TENANTS, TWO_HOSTS};
use crate::support::{ethernet, packet};

const ROUTER: &str = "02:15:5d:00:00:01";

/// One field of each object.
fn column(list: &Value, field: &str) -> Vec<Value> {
    let objects = list.as_array().unwrap();
    objects.iter().map(|object| object[field].clone()).collect()
}

fn sorted(mut values: Vec<Value>) -> Vec<String> {
    values.sort_by_key(Value::to_string);
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    values.into_iter().map(text).collect()
}

#[test]
fn the_status_says_what_the_switch_is_and_how_it_does() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let status = get(&switch, "/v1/status");
    assert_eq!(status["host"], "host-1");
    assert_eq!(status["version"], 1);
    assert_eq!(status["prepared_version"], Value::Null);
    assert_eq!(status["ready"], true);
    assert_eq!(status["workers"], 1);
    assert!(status["uptime_seconds"].is_u64());
    assert!(status["longest_stall_ns"].is_u64());
    assert!(status["longest_policy_wait_ns"].is_u64());
    assert!(status["capacity"]["records"].as_u64().unwrap() >= 64);
}

/// Who only looks takes nothing from who looks later.
#[test]
fn the_longest_stalls_stay_until_they_are_to_begin_again() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (first, again) = (get(&switch, "/v1/status"), get(&switch, "/v1/status"));
    let longest = |status: &Value| status["longest_stall_ns"].as_u64().unwrap();
    assert!(longest(&first) > 0);
    assert!(longest(&again) >= longest(&first));
    let (status, body) = ask(&switch, "POST /v1/status/reset-stalls", &[], &[]);
    let last: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert!(longest(&last) >= longest(&again));
}

#[test]
fn ports_come_with_their_counters() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let frame = ethernet(
        ROUTER,
        "06:06:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.77"),
    );
    switch.cables.send("blue-1", &frame);
    switch.wait_for_frames(1);
    let expected = json!({
        "number": 0, "machine": "blue-1", "interface": "blue-1", "namespace": null, "attach": "tap", "attached": true,
        "vsid": 5001, "subnet": null, "domain": "blue",
        "mac": "06:06:00:00:00:05", "addresses": ["10.0.0.5"], "mtu": 1500,
        "received_frames": 1, "received_bytes": frame.len(),
        "delivered_frames": 0, "delivered_bytes": 0, "refused_frames": 1, "missed_frames": 0,
    });
    assert_eq!(get(&switch, "/v1/ports?machine=blue-1"), json!([expected]));
    assert_eq!(
        column(&get(&switch, "/v1/ports"), "machine"),
        ["blue-1", "red-1"]
    );
}

#[test]
fn records_are_filtered_on_any_field_and_any_of_several_values() {
    let switch = Switch::start(THREE_TENANTS, "host-1");
    let machines = |query: &str| {
        let list = get(&switch, &format!("/v1/records{query}"));
        sorted(column(&list, "machine"))
    };
    let all = machines("");
    assert_eq!(all.len(), 13, "{all:?}");
    for (query, expected) in [
        ("?vsid=6001", &["red-1", "red-2", "red-3"][..]),
        ("?vsid=6001&location=host-1", &["red-1"]),
        (
            "?vsid=6001&vsid=5001&location=host-2",
            &["blue-2", "red-2", "red-3"],
        ),
        ("?domain=red&machine=red-1", &["red-1"]),
        ("?subnet=red-web&port=", &["red-2", "red-3"]),
        ("?address=FD00:5002:0::7", &["blue-4"]),
        ("?mac=08-08-00-00-00-08", &["red-3"]),
        ("?mac=080800000008", &["red-3"]),
        ("?method=rewrite&location=host-2", &["green-2"]),
        (
            "?provider_addresses=192.168.4.22&domain=red",
            &["red-2", "red-3"],
        ),
        ("?machine=no%2Dbody", &[]),
        ("?usable=false", &[]),
    ] {
        assert_eq!(machines(query), expected, "{query}");
    }
    let one = get(&switch, "/v1/records?machine=red-2");
    let expected = json!([{
        "vsid": 6001, "subnet": "red-web", "domain": "red", "kind": "static",
        "address": "10.0.0.7", "mac": "08:08:00:00:00:07", "machine": "red-2",
        "location": "host-2", "port": null, "previous": null,
        "method": "encapsulate", "use_vm_mac": false,
        "provider_addresses": ["192.168.4.22"], "usable": true,
    }]);
    assert_eq!(one, expected);
}

#[test]
fn a_record_without_a_way_to_its_host_is_unusable() {
    let far = TWO_HOSTS.replace("192.168.4.22", "192.168.5.22").replacen(
        "[[host]]",
        "[[physical-network]]\nname = \"site-2\"\nprefix = \"192.168.5.0/24\"\nmtu = 1600\n\n[[host]]",
        1,
    );
    let switch = Switch::start(&far, "host-1");
    let unusable = get(&switch, "/v1/records?usable=false");
    assert_eq!(sorted(column(&unusable, "machine")), ["blue-2", "red-2"]);
}

#[test]
fn groups_that_carry_addresses_for_many_are_listed() {
    let mapped = "vsid = 5001\nmulticast = [{ group = \"239.1.1.1\", provider = \"239.192.0.1\" }]";
    let switch = Switch::start(&TWO_HOSTS.replacen("vsid = 5001", mapped, 1), "host-1");
    assert_eq!(
        get(&switch, "/v1/multicast-groups?group=239.1.1.1"),
        json!([{
            "domain": "blue", "vsid": 5001, "subnet": null, "group": "239.1.1.1", "provider": "239.192.0.1",
            "usable": true,
        }])
    );
    assert_eq!(get(&switch, "/v1/multicast-groups?vsid=6001"), json!([]));
    let room = get(&switch, "/v1/status")["capacity"]["multicast_groups"].as_u64();
    assert!(room >= Some(8), "{room:?}");
}

#[test]
fn routes_addresses_hosts_and_next_hops_are_listed() {
    let policy = TWO_HOSTS
        .replace(
            "addresses = [\"192.168.4.11\"]",
            "addresses = [\"192.168.4.11\"]\nneighbours = [{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:16\" }]",
        )
        .replacen(
            "[[host]]",
            "[[physical-network.route]]\nprefix = \"192.168.9.0/24\"\nnext-hop = \"192.168.4.1\"\n\n[[host]]",
            1,
        );
    let switch = Switch::start(&policy, "host-1");
    assert_eq!(
        get(&switch, "/v1/customer-routes?domain=blue"),
        json!([{
            "domain": "blue", "domain_id": "{11111111-2222-3333-4444-000000005001}", "vsid": 5001, "subnet": null,
            "prefix": "10.0.0.0/24", "next_hop": null, "metric": 255, "usable": true,
        }])
    );
    assert_eq!(
        get(&switch, "/v1/provider-addresses"),
        json!([{
            "address": "192.168.4.11", "prefix_length": 24, "interface": null, "mac": "02:00:00:00:00:0b", "vlan": null,
            "mtu": 1600, "state": "preferred",
        }])
    );
    assert_eq!(
        get(&switch, "/v1/provider-routes?prefix=192.168.9.0/24"),
        json!([{ "prefix": "192.168.9.0/24", "next_hop": "192.168.4.1", "metric": 255 }])
    );
    let host = |name: &str, local: bool, address: &str| {
        json!({
            "host": name, "local": local, "address": address, "path_mtu": null, "path_mtu_age_seconds": null,
        })
    };
    assert_eq!(
        get(&switch, "/v1/hosts"),
        json!([
            host("host-1", true, "192.168.4.11"),
            host("host-2", false, "192.168.4.22")
        ])
    );
    assert_eq!(get(&switch, "/v1/hosts?local=true&host=host-2"), json!([]));
    assert_eq!(
        get(&switch, "/v1/neighbours"),
        json!([{
            "address": "192.168.4.22", "mac": "02:00:00:00:00:16", "known": "stated", "age_seconds": null,
        }])
    );
}

#[test]
fn what_is_heard_in_the_network_has_an_age() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let frame = ethernet(
        ROUTER,
        "06:06:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.7"),
    );
    // It waits for host-2, which answers.
    switch.cables.send("blue-1", &frame);
    switch.wait_for_frames(1);
    let answer = crate::support::arp(
        2,
        ("02:00:00:00:00:16", "192.168.4.22"),
        ("02:00:00:00:00:0b", "192.168.4.11"),
    );
    let answer = ethernet("02:00:00:00:00:0b", "02:00:00:00:00:16", 0x0806, &answer);
    switch.cables.send("uplink", &answer);
    switch.wait_for_frames(2);
    let known = get(&switch, "/v1/neighbours?address=192.168.4.22");
    assert_eq!(known[0]["known"], "heard");
    assert_eq!(known[0]["mac"], "02:00:00:00:00:16");
    assert!(known[0]["age_seconds"].is_u64());
}

#[test]
fn counters_are_told_in_total_by_reason_by_port_and_by_subnet() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let frame = ethernet(
        ROUTER,
        "06:06:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.77"),
    );
    switch.cables.send("blue-1", &frame);
    switch.wait_for_frames(1);
    let counters = get(&switch, "/v1/counters?vsid=5001");
    assert_eq!(
        (&counters["received"], &counters["dropped"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(counters["reasons"]["no_record"], 1);
    assert_eq!(counters["reasons"]["ca_spoof"], 0);
    let events = counters["events"].as_object().unwrap();
    assert_eq!(events.len(), Event::COUNT);
    assert!(Event::ALL.iter().all(|event| events[event.name()] == 0));
    assert_eq!(counters["ports"][0]["refused"], 1);
    let length = frame.len();
    assert_eq!(
        counters["subnets"],
        json!([{
            "vsid": 5001, "domain": "blue", "sent": { "frames": 1, "bytes": length },
            "received": { "frames": 0, "bytes": 0 }, "refused": 1,
        }])
    );
}

#[test]
fn a_list_is_json_with_one_object_a_line() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (_, body) = ask(&switch, "GET /v1/ports", &[], &[]);
    assert_eq!(body.lines().count(), 2);
    assert!(body.starts_with("[{") && body.ends_with("}]\n"), "{body}");
    let (_, body) = ask(&switch, "GET /v1/ports?vsid=7777", &[], &[]);
    assert_eq!(body, "[]\n");
}

#[test]
fn a_list_that_is_longer_than_a_piece_arrives_whole() {
    let mut policy = TWO_HOSTS.to_owned();
    for number in 0..2000 {
        let (high, low) = (number / 250, number % 250);
        policy.push_str(&format!(
            "\n[[vm]]\nname = \"many-{number}\"\nsubnet = 5001\nhost = \"host-2\"\n\
             mac = \"06:06:00:01:{high:02x}:{low:02x}\"\naddresses = [\"10.0.{}.{}\"]\n",
            high + 1,
            low + 2
        ));
    }
    let policy = policy.replacen("10.0.0.0/24", "10.0.0.0/16", 1);
    let switch = Switch::start(&policy, "host-1");
    let list = get(&switch, "/v1/records");
    assert_eq!(list.as_array().unwrap().len(), 2004);
    let records: Vec<netvirt_std::control::RecordView> = switch.client().list(&[]).unwrap();
    assert_eq!(serde_json::to_value(records).unwrap(), list);
}

#[test]
fn what_is_asked_wrongly_is_told_with_what_there_is() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (status, error) = refused(&switch, "GET /v1/ports?colour=blue", &[]);
    assert_eq!(status, 400);
    assert!(
        error.starts_with(
            "there is no field \"colour\": the fields are number, machine, interface, "
        ),
        "{error}"
    );
    let (_, error) = refused(&switch, "GET /v1/ports?vsdi=5001", &[]);
    let expected = "there is no field \"vsdi\" (did you mean \"vsid\"?): the fields are number, ";
    assert!(error.starts_with(expected), "{error}");
    let (status, error) = refused(&switch, "GET /v1/status?host=host-1", &[]);
    assert_eq!((status, &*error), (400, "there is nothing to filter on"));
    let (status, error) = refused(&switch, "GET /v1/machines", &[]);
    assert_eq!(status, 404);
    assert!(
        error.starts_with("there is no /v1/machines: GET /v1/"),
        "{error}"
    );
    let (status, error) = refused(&switch, "POST /v1/ports", &[]);
    assert_eq!((status, &*error), (405, "/v1/ports takes no POST"));
    // Nothing of it hurts.
    assert_eq!(get(&switch, "/v1/status")["ready"], true);
}

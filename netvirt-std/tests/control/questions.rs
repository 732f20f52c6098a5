//! What the switch would do, asked without sending a frame.

use netvirt_core::{CustomerAddress, Vsid};
use netvirt_std::control::{Form, TraceRequest};
use netvirt_std::explain::NextHopQuery;
use serde_json::{Value, json};

use super::http::{ask, get, refused};
use super::switch::{Switch, TWO_HOSTS};
use crate::support::{ethernet, packet, text};

fn frame() -> String {
    text(&ethernet(
        "02:15:5d:00:00:01",
        "06:06:00:00:00:05",
        0x0800,
        &packet("10.0.0.5", "10.0.0.7"),
    ))
}

#[test]
fn a_frame_is_explained_under_the_live_policy_and_not_counted() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let request = json!({ "port": "blue-1", "frame": frame() }).to_string();
    let (status, body) = ask(&switch, "POST /v1/trace", &[], request.as_bytes());
    assert_eq!(status, 200, "{body}");
    let explanation: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(explanation["verdict"], "held");
    assert_eq!(explanation["policy_version"], 1);
    let accept = ["Accept: text/plain"];
    let (_, told) = ask(&switch, "POST /v1/trace", &accept, request.as_bytes());
    assert!(
        told.starts_with("port         blue-1, VSID 5001 (blue)"),
        "{told}"
    );
    assert_eq!(get(&switch, "/v1/counters")["received"], 0);
    // The same through the client.
    let request: TraceRequest = serde_json::from_str(&request).unwrap();
    let client = switch.client();
    assert_eq!(client.trace(&request, Form::Text).unwrap(), told);
    let again: Value =
        serde_json::from_slice(&client.trace(&request, Form::Json).unwrap()).unwrap();
    assert_eq!(again, explanation);
}

#[test]
fn what_cannot_be_traced_is_told() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    for (request, expected) in [
        (
            json!({ "port": "blue-7", "frame": frame() }),
            "host-1 has no port \"blue-7\": it has uplink, blue-1, red-1",
        ),
        (
            json!({ "port": "blue-1", "frame": "0x12" }),
            "`frame` is no frame: 'x' at character 2",
        ),
        (
            json!({ "port": "blue-1" }),
            "the body is no {\"port\": …, \"frame\": …} in JSON: ",
        ),
    ] {
        let (status, error) = refused(&switch, "POST /v1/trace", request.to_string().as_bytes());
        assert_eq!(status, 400);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_next_hop_is_selected_by_the_live_policy() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let path = "/v1/next-hop?vsid=5001&source=10.0.0.5&destination=10.0.0.7";
    let selected = get(&switch, path);
    assert_eq!(selected["next_hop_mac_address"], "06:06:00:00:00:07");
    assert_eq!(selected["host"], "host-2");
    assert_eq!(get(&switch, "/v1/counters")["received"], 0);
    let (_, told) = ask(
        &switch,
        &format!("GET {path}"),
        &["Accept: text/plain"],
        &[],
    );
    assert!(
        told.contains("next hop     10.0.0.7 in VSID 5001: blue-2 on host-2\n"),
        "{told}"
    );
    let address = |text: &str| CustomerAddress::new(text.parse().unwrap()).unwrap();
    let query = NextHopQuery {
        vsid: Vsid::new(5001).unwrap(),
        source: Some(address("10.0.0.5")),
        destination: address("10.0.0.7"),
    };
    assert_eq!(switch.client().next_hop(&query, Form::Text).unwrap(), told);
}

#[test]
fn a_next_hop_that_cannot_be_asked_for_is_told_why() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    for (query, expected) in [
        (
            "vsid=5001&source=10.0.0.7&destination=10.0.0.5",
            "no machine with 10.0.0.7 in VSID 5001 runs on host-1",
        ),
        ("vsid=5001", "give vsid, destination and"),
        ("vsid=1&destination=10.0.0.7", "VSID 1"),
        ("vsid=5001&destination=224.0.0.1", "224.0.0.1"),
    ] {
        let (status, error) = refused(&switch, &format!("GET /v1/next-hop?{query}"), &[]);
        assert_eq!(status, 400);
        assert!(error.contains(expected), "{error}");
    }
}

//! New versions of the policy.

use serde_json::{Value, json};

use super::http::{ask, get, refused};
use super::switch::{Switch, TWO_HOSTS};

/// A version with another machine on host-1.
fn with_blue_9() -> String {
    format!(
        "{TWO_HOSTS}\n[[vm]]\nname = \"blue-9\"\nsubnet = 5001\nhost = \"host-1\"\nmac = \"06:06:00:00:00:09\"\n\
         addresses = [\"10.0.0.9\"]\n"
    )
}

fn post(switch: &Switch, path: &str, body: &str) -> (u16, Value) {
    let (status, body) = ask(switch, &format!("POST {path}"), &[], body.as_bytes());
    (status, serde_json::from_str(&body).unwrap())
}

fn machines(switch: &Switch) -> Vec<Value> {
    let ports = get(switch, "/v1/ports");
    let ports = ports.as_array().unwrap().iter();
    ports.map(|port| port["machine"].clone()).collect()
}

#[test]
fn a_version_is_put_in_force_at_once() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    assert_eq!(
        post(&switch, "/v1/policy?name=site.toml", &with_blue_9()),
        (200, json!({ "version": 2 }))
    );
    assert_eq!(machines(&switch), ["blue-1", "red-1", "blue-9"]);
    assert_eq!(get(&switch, "/v1/status")["version"], 2);
}

/// Prepares a version, and yields its id.
#[track_caller]
fn prepare(switch: &Switch, policy: &str) -> String {
    let (status, prepared) = post(switch, "/v1/policy/prepare", policy);
    assert_eq!((status, &prepared["version"]), (200, &json!(2)));
    let id = prepared["id"].as_str().unwrap().to_owned();
    assert_eq!(get(switch, "/v1/status")["prepared_id"], id);
    id
}

#[test]
fn what_is_prepared_is_seen_when_it_is_committed() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let id = prepare(&switch, &with_blue_9());
    assert_eq!(machines(&switch), ["blue-1", "red-1"]);
    assert_eq!(get(&switch, "/v1/status")["prepared_version"], 2);
    assert_eq!(
        post(&switch, &format!("/v1/policy/commit?id={id}"), ""),
        (200, json!({ "version": 2 }))
    );
    assert_eq!(machines(&switch).len(), 3);
    let status = get(&switch, "/v1/status");
    assert_eq!(status["prepared_version"], Value::Null);
    assert_eq!(status["prepared_id"], Value::Null);
}

#[test]
fn what_is_aborted_leaves_no_trace() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let id = prepare(&switch, &with_blue_9());
    let abort = format!("/v1/policy/abort?id={id}");
    assert_eq!(post(&switch, &abort, ""), (200, json!({ "aborted": true })));
    assert_eq!(
        post(&switch, &abort, ""),
        (200, json!({ "aborted": false }))
    );
    let (status, error) = refused(&switch, &format!("POST /v1/policy/commit?id={id}"), &[]);
    assert_eq!(status, 409);
    assert!(
        error.starts_with("no version of the policy is prepared"),
        "{error}"
    );
    assert_eq!(machines(&switch).len(), 2);
}

#[test]
fn what_is_prepared_in_place_of_another_needs_its_own_id() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let mine = prepare(&switch, &with_blue_9());
    let other = prepare(&switch, &with_blue_9());
    for step in ["commit", "abort"] {
        let (status, error) = refused(&switch, &format!("POST /v1/policy/{step}?id={mine}"), &[]);
        assert_eq!(status, 409);
        let expected = format!("what is prepared is {other}, not {mine}: somebody prepared ");
        assert!(error.starts_with(&expected), "{error}");
        let (status, error) = refused(&switch, &format!("POST /v1/policy/{step}"), &[]);
        assert_eq!(status, 400);
        assert!(error.contains("?id="), "{error}");
    }
    assert_eq!(get(&switch, "/v1/status")["prepared_id"], other);
    // What is applied takes the place of what was prepared.
    post(&switch, "/v1/policy", TWO_HOSTS);
    let (status, _) = refused(&switch, &format!("POST /v1/policy/commit?id={other}"), &[]);
    assert_eq!(status, 409);
    assert_eq!(machines(&switch).len(), 2);
}

/// As `sha256sum` says it of the example.
#[test]
fn the_file_in_force_is_told_by_its_digest() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let digest = || get(&switch, "/v1/status")["digest"].clone();
    let of_two_hosts = "ab8451451b35fc211f7027d14c48365c596334ebbb52d4ed71a1054afabaf602";
    assert_eq!(digest(), of_two_hosts);
    prepare(&switch, &with_blue_9());
    assert_eq!(digest(), of_two_hosts);
    post(&switch, "/v1/policy", &with_blue_9());
    assert_ne!(digest(), of_two_hosts);
}

#[test]
fn a_wrong_file_is_told_line_by_line() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let wrong = TWO_HOSTS.replace("10.0.0.7", "10.0.9.7");
    let (status, problem) = post(&switch, "/v1/policy?name=site.toml", &wrong);
    assert_eq!(status, 422);
    let line = wrong
        .lines()
        .position(|line| line.contains("10.0.9.7"))
        .unwrap()
        + 1;
    let text = problem["error"].as_str().unwrap();
    assert!(text.contains(&format!("site.toml:{line}:")), "{text}");
    let diagnostics = problem["diagnostics"].as_array().unwrap();
    assert_eq!(diagnostics.len(), 2);
    assert_eq!(diagnostics[0]["severity"], "error");
    assert_eq!(diagnostics[0]["line"], line);
    assert!(diagnostics[0]["column"].as_u64().unwrap() > 1);
    let message = diagnostics[0]["message"].as_str().unwrap();
    assert!(message.contains("10.0.9.7"), "{message}");
    assert!(diagnostics[0]["remedy"].is_string());
    assert_eq!(get(&switch, "/v1/status")["version"], 1);
}

#[test]
fn a_file_without_this_host_is_a_wrong_file() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let other = TWO_HOSTS.replace("\"host-1\"", "\"host-7\"");
    let (status, error) = refused(&switch, "POST /v1/policy", other.as_bytes());
    assert_eq!(status, 422);
    assert!(error.contains("no host \"host-1\""), "{error}");
}

#[test]
fn what_the_tables_or_devices_refuse_is_a_conflict_and_changes_nothing() {
    let switch = Switch::with_broken(TWO_HOSTS, "host-1", Some("blue-9"));
    for path in ["/v1/policy", "/v1/policy/prepare"] {
        let (status, error) = refused(&switch, &format!("POST {path}"), with_blue_9().as_bytes());
        assert_eq!(
            (status, &*error),
            (409, "machine \"blue-9\": it cannot be opened: mend it")
        );
    }
    let mut many = TWO_HOSTS.to_owned();
    for number in 2..250 {
        many.push_str(&format!(
            "\n[[vm]]\nname = \"many-{number}\"\nsubnet = 5001\nhost = \"host-2\"\nmac = \"06:06:00:01:00:{number:02x}\"\n\
             addresses = [\"10.0.1.{number}\"]\n"
        ));
    }
    let many = many.replacen("[\"10.0.0.0/24\"]", "[\"10.0.0.0/24\", \"10.0.1.0/24\"]", 1);
    let (status, error) = refused(&switch, "POST /v1/policy", many.as_bytes());
    assert_eq!(status, 409);
    assert_eq!(
        error,
        "there is no room for more lookup records: host-1 needs 252 and has room for 88; start its switch again with this \
         file, or with --records 252"
    );
    assert_eq!(get(&switch, "/v1/status")["version"], 1);
    assert_eq!(machines(&switch).len(), 2);
}

#[test]
fn what_is_no_policy_file_at_all_is_malformed() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (status, error) = refused(&switch, "POST /v1/policy?name=x.toml", b"\xff\xfe");
    assert_eq!(status, 400);
    assert!(error.starts_with("x.toml is no text"), "{error}");
    let (status, _) = refused(&switch, "POST /v1/policy?nom=x.toml", b"");
    assert_eq!(status, 400);
}

/// However long the file, the answer is one that a person reads.
#[test]
fn very_many_faults_are_counted() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (status, problem) = post(&switch, "/v1/policy", &"[[vm]]\n".repeat(20_000));
    assert_eq!(status, 422);
    assert_eq!(problem["diagnostics"].as_array().unwrap().len(), 100);
    let error = problem["error"].as_str().unwrap();
    assert!(error.ends_with("\n\nand 79900 more"), "{error}");
}

#[test]
fn the_client_tells_what_the_switch_says() {
    let mut switch = Switch::start(TWO_HOSTS, "host-1");
    let client = switch.client();
    let prepared = client.prepare(with_blue_9(), "site.toml").unwrap();
    assert_eq!(prepared.version, 2);
    assert_eq!(client.status().unwrap().prepared_version, Some(2));
    assert!(client.abort(&prepared.id).unwrap().aborted);
    let error = client.commit(&prepared.id).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no version of the policy is prepared")
    );
    assert_eq!(client.apply(with_blue_9(), "site.toml").unwrap().version, 2);
    switch.stop();
    let error = client.status().unwrap_err();
    assert_eq!(error.to_string(), "the switch is ending: start it again");
}

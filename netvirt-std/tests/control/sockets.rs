//! The socket itself, who may not be there, and who does not listen.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use netvirt_std::control::{Client, ClientError, ControlSocket, Patience, SocketError};

use super::switch::{Switch, TWO_HOSTS};
use crate::support::{self, netvirt};

/// A switch that soon has waited long enough.
fn impatient(policy: &str) -> Switch {
    let soon = Duration::from_millis(50);
    let patience = Patience {
        header: soon,
        body: soon,
        piece: soon,
    };
    Switch::with(policy, "host-1", None, patience)
}

/// Sends a part of a request and waits for the end.
fn half_asked(switch: &Switch, half: &str) -> String {
    let mut stream = UnixStream::connect(switch.socket()).unwrap();
    stream.write_all(half.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn who_does_not_finish_a_request_is_not_waited_for() {
    let switch = impatient(TWO_HOSTS);
    for half in [
        "",
        "GET /v1/st",
        "GET /v1/status HTTP/1.1\r\nHost: netvirt\r\n",
    ] {
        let answer = half_asked(&switch, half);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let head = "POST /v1/policy HTTP/1.1\r\nHost: netvirt\r\nContent-Length: 100\r\n\r\n[[host]]";
    let answer = half_asked(&switch, head);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("the rest of the request"), "{answer}");
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let head = "POST /v1/policy HTTP/1.1\r\nHost: netvirt\r\nConnection: close\r\nContent-Length: 268435457\r\n\r\n";
    let answer = half_asked(&switch, head);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// A policy with a list of records that no socket holds.
fn with_many_machines() -> String {
    let machines = (0..4000).map(|number| {
        let (high, low) = (number / 250 + 1, number % 250 + 2);
        format!(
            "\n[[vm]]\nname = \"many-{number}\"\nsubnet = 5001\nhost = \"host-2\"\n\
             mac = \"06:06:00:01:{high:02x}:{low:02x}\"\naddresses = [\"10.0.{high}.{low}\"]\n"
        )
    });
    let policy = TWO_HOSTS.replacen("10.0.0.0/24", "10.0.0.0/16", 1);
    policy + &machines.collect::<String>()
}

#[test]
fn who_does_not_take_a_list_keeps_nobody_from_theirs() {
    let switch = impatient(&with_many_machines());
    let mut deaf: Vec<UnixStream> = (0..16)
        .map(|_| {
            let mut stream = UnixStream::connect(switch.socket()).unwrap();
            stream
                .write_all(b"GET /v1/records HTTP/1.1\r\nHost: netvirt\r\n\r\n")
                .unwrap();
            stream
        })
        .collect();
    let ports = switch.client().show("ports", &[]).unwrap();
    assert!(ports.starts_with(b"[{"));
    // The first has lost its turn to the later ones, and what it has of its list does not look like all of it.
    let mut begun = Vec::new();
    let _ = deaf[0].read_to_end(&mut begun);
    assert!(begun.starts_with(b"HTTP/1.1 200 "));
    assert!(!begun.ends_with(b"\r\n0\r\n\r\n"));
}

#[test]
fn who_answers_nothing_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("stopped.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let client = Client::new(&socket).unwrap();
    let client = client.with_patience(Duration::from_millis(10));
    for error in [
        client.status().unwrap_err(),
        client.commit("my-2").unwrap_err(),
        client.apply(TWO_HOSTS.to_owned(), "site.toml").unwrap_err(),
    ] {
        assert!(matches!(error, ClientError::Silent { .. }), "{error}");
        let expected = format!(
            "the switch at {} has been silent for 10ms",
            socket.display()
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn the_socket_goes_with_the_switch() {
    let mut switch = Switch::start(TWO_HOSTS, "host-1");
    let client = switch.client();
    client.status().unwrap();
    switch.stop_serving();
    assert!(!switch.socket().exists());
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::NoSwitch { .. }), "{error}");
    let told = error.to_string();
    let expected = format!("no switch answers at {}: ", switch.socket().display());
    assert!(told.starts_with(&expected), "{told}");
    assert!(told.contains("is `netvirt switch` running?"), "{told}");
}

#[test]
fn a_second_switch_does_not_take_the_socket_of_the_first() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let error = ControlSocket::claim(&switch.socket()).unwrap_err();
    assert!(matches!(error, SocketError::InUse(_)), "{error}");
    switch.client().status().unwrap();
}

#[test]
fn a_second_switch_touches_nothing_of_the_first() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("wire.pcapng");
    std::fs::write(&capture, "what the first has captured").unwrap();
    let second = netvirt([
        "switch".as_ref(),
        "--policy".as_ref(),
        support::TWO_HOSTS.as_ref(),
        "--host".as_ref(),
        "host-1".as_ref(),
        "--control".as_ref(),
        switch.socket().as_os_str(),
        "--capture".as_ref(),
        capture.as_os_str(),
    ]);
    let complaints = second.bad_input();
    let expected = format!(
        "error: another switch serves {}: ",
        switch.socket().display()
    );
    assert!(complaints.starts_with(&expected), "{complaints}");
    assert!(!complaints.contains("another socket"), "{complaints}");
    let captured = std::fs::read_to_string(&capture).unwrap();
    assert_eq!(captured, "what the first has captured");
    switch.client().status().unwrap();
}

#[test]
fn who_answers_nonsense_is_no_switch() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n42"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let client = Client::new(&socket).unwrap();
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::BrokenOff { .. }), "{error}");
    let error = client.status().unwrap_err();
    assert!(matches!(error, ClientError::Strange { .. }), "{error}");
    other.join().unwrap();
}

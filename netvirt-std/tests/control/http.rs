//! HTTP as somebody speaks it who does not know the client.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::switch::Switch;

/// The status and the body of an answer. HTTP/1.0 has no pieces and no second request.
pub fn ask(switch: &Switch, request: &str, headers: &[&str], body: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(switch.socket()).unwrap();
    let mut head = format!("{request} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// The JSON of a good answer.
#[track_caller]
pub fn get(switch: &Switch, path: &str) -> Value {
    let (status, body) = ask(switch, &format!("GET {path}"), &[], &[]);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Status and message of a refusal.
#[track_caller]
pub fn refused(switch: &Switch, request: &str, body: &[u8]) -> (u16, String) {
    let (status, body) = ask(switch, request, &[], body);
    let problem: Value = serde_json::from_str(&body).unwrap();
    (status, problem["error"].as_str().unwrap().to_owned())
}

//! The socket itself, and who may not be there.

use std::os::unix::net::UnixListener;

use netvirt_std::control::{Client, ClientError, ControlServer, SocketError};

use super::switch::{Switch, TWO_HOSTS};

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
    let socket = switch.socket();
    let handle = switch.handle.clone();
    let second = switch
        .handle
        .ask(move |host| ControlServer::start(&socket, host, handle))
        .unwrap();
    let error = second.unwrap_err();
    assert!(matches!(error, SocketError::InUse(_)), "{error}");
    switch.client().status().unwrap();
}

#[test]
fn who_answers_nonsense_is_no_switch() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("other.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let other = std::thread::spawn(move || {
        use std::io::{Read, Write};
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

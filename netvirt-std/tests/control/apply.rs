//! `netvirt apply`: new versions for one switch, or for several together.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::switch::{Switch, TWO_HOSTS};
use crate::support::{Answer, netvirt};

/// A version with another machine on each host.
fn with_more_machines() -> String {
    let machine = |name: &str, host: &str, last: u8| {
        format!(
            "\n[[vm]]\nname = \"{name}\"\nsubnet = 5001\nhost = \"{host}\"\nmac = \"06:06:00:00:00:{last:02x}\"\n\
             addresses = [\"10.0.0.{last}\"]\n"
        )
    };
    [
        TWO_HOSTS,
        &machine("blue-8", "host-1", 8),
        &machine("blue-9", "host-2", 9),
    ]
    .concat()
}

struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("site.toml"), policy).unwrap();
        Self { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("site.toml")
    }
}

fn apply(arguments: &[&Path]) -> Answer {
    let apply = Path::new("apply");
    netvirt([&[apply][..], arguments].concat())
}

fn option(name: &str) -> &Path {
    Path::new(name)
}

fn version(switch: &Switch) -> (u64, Option<u64>) {
    let status = switch.client().status().unwrap();
    (status.version, status.prepared_version)
}

/// The id in what `--prepare` says.
#[track_caller]
fn id_of(said: &str) -> String {
    let id = said
        .strip_prefix("version 2 is prepared: --commit ")
        .unwrap();
    id.trim_end().to_owned()
}

#[test]
fn one_switch_takes_a_version_at_once_or_in_two_steps() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (site, socket) = (Site::new(&with_more_machines()), switch.socket());
    let control = [option("--control"), &socket];
    let ask = |arguments: &[&Path]| apply(&[arguments, &control[..]].concat()).good();
    let id = id_of(&ask(&[option("--prepare"), &site.file()]));
    assert_eq!(version(&switch), (1, Some(2)));
    let abort = [option("--abort"), option(&id)];
    assert_eq!(ask(&abort), "what was prepared is forgotten\n");
    assert_eq!(ask(&abort), "nothing was prepared\n");
    let id = id_of(&ask(&[option("--prepare"), &site.file()]));
    let commit = [option("--commit"), option(&id)];
    assert_eq!(ask(&commit), "version 2 is in force\n");
    assert_eq!(version(&switch), (2, None));
    let before = Site::new(TWO_HOSTS);
    assert_eq!(ask(&[&before.file()]), "version 3 is in force\n");
}

#[test]
fn nobody_commits_what_somebody_else_prepared() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (site, socket) = (Site::new(&with_more_machines()), switch.socket());
    let control = [option("--control"), &socket];
    let ask = |arguments: &[&Path]| apply(&[arguments, &control[..]].concat());
    let mine = id_of(&ask(&[option("--prepare"), &site.file()]).good());
    let other = id_of(&ask(&[option("--prepare"), &site.file()]).good());
    let answer = ask(&[option("--commit"), option(&mine)]);
    assert_eq!(answer.status, Some(1));
    let expected = format!("what is prepared is {other}, not {mine}: ");
    assert!(
        answer.complaints.starts_with(&expected),
        "{}",
        answer.complaints
    );
    assert_eq!(version(&switch), (1, Some(2)));
}

/// What comes through a pipe is there only once.
#[test]
fn a_file_can_come_through_a_pipe() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let socket = switch.socket();
    for (file, expected) in [
        ("-", "version 2 is in force\n"),
        ("/dev/stdin", "version 3 is in force\n"),
    ] {
        let policy = if file == "-" {
            with_more_machines()
        } else {
            TWO_HOSTS.to_owned()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_netvirt"));
        let mut called = command
            .args([option("apply"), option(file), option("--control"), &socket])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = called.stdin.take().unwrap();
        input.write_all(policy.as_bytes()).unwrap();
        drop(input);
        let output = called.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
    assert_eq!(version(&switch), (3, None));
}

#[test]
fn one_switch_is_not_given_twice() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (site, socket) = (Site::new(&with_more_machines()), switch.socket());
    let same = socket.parent().unwrap().join(".").join("switch.sock");
    let hosts = option("--hosts");
    let complaints = apply(&[hosts, &socket, &same, &site.file()]).bad_input();
    assert!(complaints.contains("is given twice"), "{complaints}");
    assert_eq!(version(&switch), (1, None));
}

#[test]
fn who_is_interrupted_leaves_nothing_prepared() {
    let one = Switch::start(TWO_HOSTS, "host-1");
    let site = Site::new(&with_more_machines());
    let stopped = site.directory.path().join("stopped.sock");
    let listener = UnixListener::bind(&stopped).unwrap();
    let called = Command::new(env!("CARGO_BIN_EXE_netvirt"))
        .args([option("apply"), option("--hosts"), &one.socket(), &stopped])
        .arg(site.file())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // As soon as the second is asked, the first has prepared.
    let (_asked, _) = listener.accept().unwrap();
    assert_eq!(version(&one), (1, Some(2)));
    let process = rustix::process::Pid::from_child(&called);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let output = called.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaints = String::from_utf8(output.stderr).unwrap();
    let expected = "stopped.sock: interrupted\nno host was changed\n";
    assert!(complaints.ends_with(expected), "{complaints}");
    assert_eq!(version(&one), (1, None));
}

#[test]
fn a_wrong_file_is_told_before_any_switch_is_asked() {
    let site = Site::new(&TWO_HOSTS.replace("10.0.0.7", "10.0.9.7"));
    let nobody = site.directory.path().join("nobody.sock");
    for arguments in [
        &[&*site.file(), option("--hosts"), &nobody][..],
        &[option("--control"), &nobody, &site.file()],
    ] {
        let answer = apply(arguments);
        assert_eq!(answer.status, Some(1));
        assert!(
            answer.complaints.contains("site.toml:"),
            "{}",
            answer.complaints
        );
        assert!(
            answer.complaints.contains("10.0.9.7"),
            "{}",
            answer.complaints
        );
    }
}

#[test]
fn several_switches_take_a_version_together() {
    let site = Site::new(&with_more_machines());
    let file = site.file();
    let hosts = option("--hosts");
    for order in 0..3 {
        let one = Switch::start(TWO_HOSTS, "host-1");
        let two = Switch::start(TWO_HOSTS, "host-2");
        let sockets = [one.socket(), two.socket()];
        let arguments: Vec<&Path> = match order {
            0 => vec![hosts, &sockets[0], &sockets[1], &file],
            1 => vec![&file, hosts, &sockets[0], &sockets[1]],
            _ => vec![hosts, &sockets[0], hosts, &sockets[1], option("--"), &file],
        };
        let answer = apply(&arguments);
        let [one_is, two_is] = sockets
            .each_ref()
            .map(|socket| format!("{}: version 2 is", socket.display()));
        let expected =
            format!("{one_is} prepared\n{two_is} prepared\n{one_is} in force\n{two_is} in force\n");
        assert_eq!(answer.good(), expected);
        assert_eq!([version(&one), version(&two)], [(2, None); 2]);
    }
}

#[test]
fn if_one_refuses_none_changes() {
    let site = Site::new(&with_more_machines());
    let one = Switch::start(TWO_HOSTS, "host-1");
    let two = Switch::with_broken(TWO_HOSTS, "host-2", Some("blue-9"));
    let answer = apply(&[
        option("--hosts"),
        &one.socket(),
        &two.socket(),
        &site.file(),
    ]);
    assert_eq!(answer.status, Some(1));
    let expected = format!(
        "{}: machine \"blue-9\": it cannot be opened: mend it\nno host was changed\n",
        two.socket().display()
    );
    assert_eq!(answer.complaints, expected);
    assert_eq!([version(&one), version(&two)], [(1, None); 2]);
}

#[test]
fn if_one_does_not_answer_none_changes() {
    let site = Site::new(&with_more_machines());
    let one = Switch::start(TWO_HOSTS, "host-1");
    let nobody = site.directory.path().join("nobody.sock");
    let answer = apply(&[option("--hosts"), &one.socket(), &nobody, &site.file()]);
    assert_eq!(answer.status, Some(2));
    assert!(
        answer.complaints.contains("no switch answers at"),
        "{}",
        answer.complaints
    );
    assert!(
        answer.complaints.contains("no host was changed"),
        "{}",
        answer.complaints
    );
    assert_eq!(version(&one), (1, None));
}

/// Somebody who prepares and then cannot commit, or does not say whether.
fn fickle(socket: &Path, commit: &'static str) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let prepared =
            "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"id\": \"my-2\",\"version\":2}";
        for answer in [prepared, commit] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1 << 16];
            let mut length = 0;
            while !is_whole(&request[..length]) {
                length += stream.read(&mut request[length..]).unwrap();
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    })
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    body.len() >= length.unwrap_or(0)
}

#[test]
fn if_one_fails_after_others_committed_who_is_where_is_told() {
    let refuses = "HTTP/1.1 409 Conflict\r\nContent-Length: 35\r\n\r\n{\"error\":\"the network has changed\"}";
    for (commit, status, expected) in [
        (
            refuses,
            1,
            "\
TWO: the network has changed
1 host has the new version already: ONE
without it: TWO, THREE
apply the file again when the failed switch works, or the file before to go back
",
        ),
        (
            "",
            2,
            "\
error: TWO: the switch at TWO broke off: connection closed before message completed; see what it wrote on standard \
             error, and ask again
1 host has the new version already: ONE
not known, ask it by `netvirt show`: TWO
without it: THREE
apply the file again when the failed switch works, or the file before to go back
",
        ),
    ] {
        let site = Site::new(&with_more_machines());
        let one = Switch::start(TWO_HOSTS, "host-1");
        let two = site.directory.path().join("two.sock");
        let three = Switch::start(TWO_HOSTS, "host-2");
        let other = fickle(&two, commit);
        let sockets = [one.socket(), two, three.socket()];
        let [first, second, third] = sockets.each_ref();
        let answer = apply(&[option("--hosts"), first, second, third, &site.file()]);
        other.join().unwrap();
        assert_eq!(answer.status, Some(status));
        let mut complaints = answer.complaints;
        for (socket, name) in sockets.iter().zip(["ONE", "TWO", "THREE"]) {
            complaints = complaints.replace(socket.to_str().unwrap(), name);
        }
        assert_eq!(complaints, expected);
        assert_eq!([version(&one), version(&three)], [(2, None), (1, None)]);
    }
}

//! `netvirt apply`: new versions for one switch, or for several together.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
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

#[test]
fn one_switch_takes_a_version_at_once_or_in_two_steps() {
    let switch = Switch::start(TWO_HOSTS, "host-1");
    let (site, socket) = (Site::new(&with_more_machines()), switch.socket());
    let control = [option("--control"), &socket];
    let ask = |arguments: &[&Path]| apply(&[arguments, &control[..]].concat()).good();
    assert_eq!(
        ask(&[option("--prepare"), &site.file()]),
        "version 2 is prepared\n"
    );
    assert_eq!(version(&switch), (1, Some(2)));
    assert_eq!(
        ask(&[option("--abort")]),
        "what was prepared is forgotten\n"
    );
    assert_eq!(ask(&[option("--abort")]), "nothing was prepared\n");
    assert_eq!(
        ask(&[option("--prepare"), &site.file()]),
        "version 2 is prepared\n"
    );
    assert_eq!(ask(&[option("--commit")]), "version 2 is in force\n");
    assert_eq!(version(&switch), (2, None));
    let before = Site::new(TWO_HOSTS);
    assert_eq!(ask(&[&before.file()]), "version 3 is in force\n");
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
    assert_eq!(answer.status, Some(1));
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

/// Somebody who prepares and then cannot commit.
fn fickle(socket: &Path) -> thread::JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let answers = [
            (200, "{\"version\": 2}"),
            (409, "{\"error\": \"the network has changed\"}"),
        ];
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 1 << 16];
            let mut length = 0;
            while !is_whole(&request[..length]) {
                length += stream.read(&mut request[length..]).unwrap();
            }
            let answer = format!(
                "HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
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
    let site = Site::new(&with_more_machines());
    let one = Switch::start(TWO_HOSTS, "host-1");
    let two = site.directory.path().join("two.sock");
    let three = Switch::start(TWO_HOSTS, "host-2");
    let other = fickle(&two);
    let answer = apply(&[
        option("--hosts"),
        &one.socket(),
        &two,
        &three.socket(),
        &site.file(),
    ]);
    other.join().unwrap();
    assert_eq!(answer.status, Some(1));
    let [first, second, third] =
        [&one.socket(), &two, &three.socket()].map(|socket| socket.display().to_string());
    for expected in [
        format!("{second}: the network has changed\n"),
        format!("1 host has the new version already: {first}\n"),
        format!("without it: {second}, {third}\n"),
        "apply the file again when the failed switch works, or the file before to go back\n"
            .to_owned(),
    ] {
        assert!(
            answer.complaints.contains(&expected),
            "{expected}in\n{}",
            answer.complaints
        );
    }
    assert_eq!([version(&one), version(&three)], [(2, None), (1, None)]);
}

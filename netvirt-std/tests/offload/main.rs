//! `netvirt offload`, and the library behind it, against a NIC's management end on the loopback.

mod nic;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use netvirt_core::policy::*;
use netvirt_core::{HostId, PortId, ProviderAddress};
use netvirt_std::offload::{Client, NicPolicy, OffloadError, read_key};
use netvirt_std::policy_file::{HostPolicy, Numbering, PolicyFile};

use nic::Nic;
use support::{Answer, TWO_HOSTS, netvirt};

fn offload(command: &str, nic: &Nic, more: &[&str]) -> Answer {
    let (address, key) = (nic.address.to_string(), nic.key_file());
    let key = key.to_str().unwrap();
    let nic = ["offload", command, "--nic", &address, "--key-file", key];
    netvirt(nic.into_iter().chain(more.iter().copied()))
}

const HOST_1: [&str; 4] = ["--policy", TWO_HOSTS, "--host", "host-1"];

/// A policy file that lies there as long as the directory does.
struct Edited {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Edited {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("network.toml");
        std::fs::write(&path, text).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    fn arguments(&self) -> [&str; 4] {
        ["--policy", self.path.to_str().unwrap(), "--host", "host-1"]
    }
}

fn with_nic() -> String {
    let text = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let uplink = "uplink = { mac = \"02:00:00:00:00:0b\" }";
    assert!(text.contains(uplink));
    let nic = "uplink = { mac = \"02:00:00:00:00:0b\", nic = { mac = \"02:00:00:00:0f:01\" } }";
    text.replace(uplink, nic)
}

fn host_1(text: &str) -> HostPolicy {
    let file = PolicyFile::parse(text, "network.toml").unwrap_or_else(|found| panic!("{found}"));
    file.for_host("host-1").unwrap()
}

fn sorted(changes: &[Change]) -> Vec<String> {
    let mut lines: Vec<_> = changes.iter().map(|change| format!("{change:?}")).collect();
    lines.sort();
    lines
}

#[test]
fn a_nic_gets_its_hosts_policy_and_then_has_it() {
    let nic = Nic::start();
    let file = Edited::new(&with_nic());
    let differing = offload("diff", &nic, &file.arguments());
    assert_eq!(differing.status, Some(1));
    assert!(
        differing
            .out
            .contains("10.0.0.7 in VSID 5001 is 06:06:00:00:00:07 on host 1 by NVGRE\n"),
        "{}",
        differing.out
    );
    assert!(
        differing
            .complaints
            .starts_with("the NIC has another policy, version 0: "),
        "{}",
        differing.complaints
    );
    let wanted = host_1(&with_nic()).changes_for_nic();
    let pushed = offload("push", &nic, &file.arguments()).good();
    let count = wanted.len();
    assert_eq!(pushed, format!("version 1 is in force, {count} changes\n"));
    assert_eq!(sorted(&nic.policy()), sorted(&wanted));
    assert_eq!(offload("diff", &nic, &file.arguments()).good(), "");
    let again = offload("push", &nic, &file.arguments()).good();
    assert_eq!(again, "the NIC has this policy already, version 1\n");
}

#[test]
fn only_the_difference_is_pushed_and_what_was_learnt_stays() {
    let nic = Nic::start();
    let file = Edited::new(&with_nic());
    offload("push", &nic, &file.arguments()).good();
    let host_2 = ProviderAddress::new("192.168.4.22".parse().unwrap()).unwrap();
    let learnt = [
        Change::SetNeighbour(Neighbour {
            uplink: netvirt_core::UplinkId(0),
            address: host_2,
            mac: "02:00:00:00:00:16".parse().unwrap(),
        }),
        Change::SetPathMtu {
            address: host_2,
            mtu: 1400,
        },
    ];
    nic.with(move |nve| {
        for change in &learnt {
            nve.policies.learn(change).unwrap();
        }
    });
    assert_eq!(offload("diff", &nic, &file.arguments()).good(), "");
    let moved = with_nic().replace("10.0.0.7", "10.0.0.9");
    let moved = Edited::new(&moved);
    let json = [&moved.arguments()[..], &["--json"]].concat();
    let pushed = offload("push", &nic, &json).good();
    let pushed: serde_json::Value = serde_json::from_str(&pushed).unwrap();
    assert_eq!(pushed["version"], 2);
    assert_eq!(pushed["changes"].as_array().unwrap().len(), 4, "{pushed}");
    let policy = nic.policy();
    for change in &learnt {
        assert!(policy.contains(change), "{change:?}");
    }
    assert_eq!(offload("diff", &nic, &moved.arguments()).good(), "");
}

#[test]
fn what_a_nic_has_is_shown() {
    let nic = Nic::start();
    let empty = offload("show", &nic, &[]).good();
    assert!(empty.starts_with("Policy:\n  none\n"), "{empty}");
    offload("push", &nic, &Edited::new(&with_nic()).arguments()).good();
    nic.with(|nve| {
        let frame = netvirt_core::datapath::Frame::whole(
            netvirt_core::datapath::Ingress::Port(PortId(0)),
            &[0; 60],
        );
        let policy = nve.policies.live();
        let verdict = nve
            .worker
            .process(policy, &frame, std::time::Duration::ZERO);
        let drop = netvirt_fw::nve::LastDrop::of(&frame, &verdict).unwrap();
        nve.last_drops.note(drop);
        nve.nic.exceptions = 5;
    });
    let shown = offload("show", &nic, &[]).good();
    for line in [
        "  own address 192.168.4.11/24 on uplink 0, MTU 1600\n",
        "Policy version 1.\n",
        "mac_spoof             1\n",
        "left to the host       5\n",
        "mac_spoof     port 0      5001     60\n",
    ] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    let json = offload("show", &nic, &["--json"]).good();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["counters"]["received"], 1);
    assert_eq!(json["counters"]["reasons"]["mac_spoof"], 1);
    assert_eq!(json["nic"]["exceptions"], 5);
    assert_eq!(json["last_drops"][0]["ingress"], "port 0");
}

#[test]
fn with_another_key_nothing_is_changed() {
    let nic = Nic::start();
    let key = nic.write_key("other.key", &"5a".repeat(32), 0o600);
    let address = nic.address.to_string();
    let key = key.to_str().unwrap();
    let arguments = ["offload", "push", "--nic", &address, "--key-file", key];
    let refused = netvirt(arguments.into_iter().chain(HOST_1)).bad_input();
    assert!(
        refused.contains("error: the NIC has another key"),
        "{refused}"
    );
    assert_eq!(nic.version(), 0);
}

#[test]
fn a_policy_that_is_too_large_is_refused_and_the_table_is_named() {
    let nic = Nic::start();
    let file = Edited::new(&with_nic());
    offload("push", &nic, &file.arguments()).good();
    let before = nic.policy();
    let mut text = with_nic();
    for number in 0..300 {
        let (high, low) = (number / 250, number % 250 + 2);
        write!(
            text,
            "\n[[vm]]\nname = \"many-{number}\"\nsubnet = 7001\nhost = \"host-2\"\n\
             mac = \"06:06:01:00:{high:02x}:{low:02x}\"\naddresses = [\"10.7.{high}.{low}\"]\n"
        )
        .unwrap();
    }
    text += "\n[[routing-domain]]\nname = \"many\"\nid = \"{11111111-2222-3333-4444-000000007001}\"\n\
             [[routing-domain.subnet]]\nvsid = 7001\nprefixes = [\"10.7.0.0/16\"]\n\
             [[vm]]\nname = \"one\"\nsubnet = 7001\nhost = \"host-1\"\nmac = \"06:06:02:00:00:01\"\n\
             addresses = [\"10.7.9.1\"]\n";
    let large = Edited::new(&text);
    let refused = offload("push", &nic, &large.arguments());
    assert_eq!(
        (refused.status, &*refused.out),
        (Some(1), ""),
        "{}",
        refused.complaints
    );
    let said = refused.complaints;
    assert!(
        said.contains("the NIC refuses the policy, and keeps what it had: no room in the table of lookup records"),
        "{said}"
    );
    assert!(said.contains("(at: 10.7."), "{said}");
    assert_eq!((nic.version(), nic.policy()), (1, before));
}

#[test]
fn a_connection_that_is_lost_anywhere_says_so_and_the_nic_keeps_what_it_had() {
    let wanted = host_1(&with_nic()).changes_for_nic();
    let (mut lost, mut lost_in_commit) = (0, 0);
    for bytes in (0..2000).step_by(7) {
        let nic = Nic::start_that_hangs_up_after(bytes);
        let key = read_key(&nic.key_file()).unwrap();
        let pushed = Client::connect(&nic.address.to_string(), &key)
            .and_then(|mut client| client.push(0, &wanted));
        match pushed {
            Ok(version) => {
                assert_eq!((version, nic.version()), (1, 1));
                break;
            }
            Err(OffloadError::LostInCommit(_)) => lost_in_commit += 1,
            Err(OffloadError::Lost(_) | OffloadError::Unreachable { .. }) => {
                assert_eq!(nic.version(), 0, "after {bytes} bytes");
                lost += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(lost > 10 && lost_in_commit > 0, "{lost}, {lost_in_commit}");
}

#[test]
fn who_changes_a_policy_that_has_changed_meanwhile_is_told() {
    let nic = Nic::start();
    let key = read_key(&nic.key_file()).unwrap();
    let wanted = host_1(&with_nic()).changes_for_nic();
    let mut client = Client::connect(&nic.address.to_string(), &key).unwrap();
    assert_eq!(client.push(0, &wanted).unwrap(), 1);
    let moved = client.push(0, &wanted).unwrap_err();
    assert!(
        matches!(moved, OffloadError::Moved { version: 1 }),
        "{moved}"
    );
    let empty = NicPolicy {
        version: 1,
        changes: nic_policy(&mut client),
    };
    assert_eq!(client.policy().unwrap(), empty);
}

fn nic_policy(client: &mut Client) -> Vec<Change> {
    client.policy().unwrap().changes
}

#[test]
fn nobody_at_the_address_is_an_error_that_says_so() {
    let nic = Nic::start();
    let key = nic.key_file();
    let arguments = [
        "offload",
        "show",
        "--nic",
        "127.0.0.1:1",
        "--key-file",
        key.to_str().unwrap(),
    ];
    let refused = netvirt(arguments).bad_input();
    assert!(
        refused.starts_with("error: the NIC cannot be reached at 127.0.0.1:1: "),
        "{refused}"
    );
}

#[test]
fn a_key_is_64_digits_that_nobody_else_can_read() {
    let nic = Nic::start();
    let said = |path: &Path| read_key(path).unwrap_err().to_string();
    let open = nic.write_key("open", nic::KEY, 0o640);
    assert!(said(&open).contains("chmod 600"));
    for text in ["", &nic::KEY[2..], "not a key", &format!("{}00", nic::KEY)] {
        let malformed = nic.write_key("malformed", text, 0o600);
        assert!(said(&malformed).contains("64 hexadecimal digits"), "{text}");
    }
    assert!(said(Path::new("/no/such/file")).starts_with("/no/such/file: "));
    let with_newline = nic.write_key("newline", &format!("{}\n", nic::KEY), 0o400);
    assert_eq!(
        read_key(&with_newline).unwrap(),
        read_key(&nic.key_file()).unwrap()
    );
}

/// A NIC stays the host that it was, whatever number that has in the file.
#[test]
fn hosts_may_have_other_numbers_than_in_the_nic() {
    let wanted = host_1(&with_nic());
    let present: Vec<_> = wanted
        .changes_for_nic()
        .into_iter()
        .map(|change| exchanged(&change))
        .collect();
    assert_ne!(present, wanted.changes_for_nic());
    assert_eq!(wanted.difference_for_nic(&present), []);
}

/// Hosts 0 and 1 with each other's number.
fn exchanged(change: &Change) -> Change {
    let other = |host: HostId| HostId(1 - host.0);
    match *change {
        Change::SetSettings(settings) => Change::SetSettings(Settings {
            local_host: other(settings.local_host),
            ..settings
        }),
        Change::AddHost(host) => Change::AddHost(other(host)),
        Change::AddHostAddress(host, address) => Change::AddHostAddress(other(host), address),
        Change::AddRecord(LookupRecord {
            location: Location::Host(host),
            ..
        }) => match *change {
            Change::AddRecord(record) => Change::AddRecord(LookupRecord {
                location: Location::Host(other(host)),
                ..record
            }),
            unchanged => unchanged,
        },
        unchanged => unchanged,
    }
}

#[test]
fn ports_have_the_numbers_of_the_running_switch() {
    let text = with_nic();
    let file = PolicyFile::parse(&text, "network.toml").unwrap();
    let numbering = Numbering::of_ports([("red-1".to_owned(), PortId(7))]);
    let host = file.for_host_after("host-1", &numbering).unwrap();
    assert_eq!(host.port("red-1").unwrap().port, PortId(7));
    assert_eq!(host.port("blue-1").unwrap().port, PortId(0));
}

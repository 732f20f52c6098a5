//! What the tests of the program's commands share: calling it, captures, and frames.
#![allow(dead_code, reason = "each test program uses its part")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use netvirt_core::MacAddress;
use netvirt_std::capture::{CaptureWriter, Direction};
use netvirt_std::hex::{self, Hex};

pub const TWO_HOSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/two-hosts.toml");
pub const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors.toml");
pub const TENANTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tenants.toml");

/// The packet of the reference vectors, as the two machines see it.
pub const INNER_PACKET: &str = "450000261234400040111488 0a0000050a000007 045708ae00120bdd \
    68656c6c6f2c20686e76";
/// The same packet, rewritten.
pub const REWRITTEN_PACKET: &str =
    "450000261234400040119e0ac0a80469c0a804cf045708ae0012955f68656c6c6f2c20686e76";
/// The same packet in NVGRE, from the outer Ethernet header on.
pub const NVGRE_FRAME: &str = "02000000001602000000000b0800 \
    4500005000004000402fb10dc0a8040bc0a80416 20006558001389a7 \
    0606000000070606000000050800 \
    450000261234400040111488 0a0000050a000007 045708ae00120bdd 68656c6c6f2c20686e76";

pub struct Answer {
    pub status: Option<i32>,
    pub out: String,
    pub complaints: String,
}

impl Answer {
    /// The answer of a command that went well.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!((self.status, &*self.complaints), (Some(0), ""));
        self.out
    }

    /// What a command says that was given something wrong.
    #[track_caller]
    pub fn bad_input(self) -> String {
        assert_eq!((self.status, &*self.out), (Some(2), ""));
        self.complaints
    }
}

/// The program, or what the environment has in its place: one for another processor, and what runs it.
fn program() -> Command {
    let Ok(words) = std::env::var("NETVIRT") else {
        return Command::new(env!("CARGO_BIN_EXE_netvirt"));
    };
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().expect("NETVIRT names a program"));
    command.args(words);
    command
}

/// Calls the program.
pub fn netvirt<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Answer {
    let output = program().env_remove("NO_COLOR").args(arguments).output();
    let output = output.unwrap();
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory for the captures of a test.
pub struct Captures(tempfile::TempDir);

impl Captures {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes frames with their timestamps in nanoseconds, and yields the argument of `--in`.
    pub fn input(&self, port: &str, frames: &[(u64, Vec<u8>)]) -> String {
        let whole = frames
            .iter()
            .map(|(time, bytes)| (*time, &**bytes, bytes.len()));
        self.cut_input(port, &whole.collect::<Vec<_>>())
    }

    /// The same for frames of which only the front was kept.
    pub fn cut_input(&self, port: &str, frames: &[(u64, &[u8], usize)]) -> String {
        let file = self.path(port).with_extension("pcapng");
        let mut writer = CaptureWriter::create(&file).unwrap();
        let interface = writer.add_interface(port).unwrap();
        for (time, bytes, length) in frames {
            let written =
                writer.write_cut(interface, *time, Direction::Inbound, (bytes, *length), None);
            written.unwrap();
        }
        writer.finish().unwrap();
        format!("{port}={}", file.display())
    }
}

/// The arguments of `netvirt replay`.
pub fn replay_arguments(policy: &str, host: &str, inputs: &[String]) -> Vec<String> {
    let mut arguments = ["replay", "--policy", policy, "--host", host]
        .map(String::from)
        .to_vec();
    for input in inputs {
        arguments.extend(["--in".to_owned(), input.clone()]);
    }
    arguments
}

/// The JSON lines of a replay.
#[track_caller]
pub fn replay(policy: impl AsRef<Path>, host: &str, inputs: &[String]) -> Vec<serde_json::Value> {
    let policy = policy.as_ref().to_str().unwrap();
    let mut arguments = replay_arguments(policy, host, inputs);
    arguments.push("--json".to_owned());
    let out = netvirt(arguments).good();
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn bytes(text: &str) -> Vec<u8> {
    hex::parse(text).unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    Hex(bytes).to_string()
}

/// A frame: destination, source, EtherType, and what it carries.
pub fn ethernet(destination: &str, source: &str, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let [destination, source] =
        [destination, source].map(|mac| mac.parse::<MacAddress>().unwrap().0);
    [&destination[..], &source, &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet with TTL 64 and DF.
pub fn ipv4(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [source, destination] =
        [source, destination].map(|address| address.parse::<Ipv4Addr>().unwrap().octets());
    let length = (20 + payload.len() as u16).to_be_bytes();
    let front = [
        0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0,
    ];
    let mut packet = [&front[..], &source, &destination].concat();
    let sum: u32 = packet
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A UDP datagram without checksum.
pub fn udp(length: usize) -> Vec<u8> {
    let mut datagram = vec![0x04, 0x57, 0x08, 0xae, 0, 0, 0, 0];
    datagram[4..6].copy_from_slice(&(length as u16).to_be_bytes());
    datagram.resize(length, 0x5a);
    datagram
}

/// A packet of a machine to another, with 20 bytes of UDP.
pub fn packet(source: &str, destination: &str) -> Vec<u8> {
    ipv4(source, destination, 17, &udp(20))
}

/// A frame in NVGRE between two hosts.
pub fn nvgre(macs: [&str; 2], addresses: [&str; 2], vsid: u32, inner: &[u8]) -> Vec<u8> {
    let [vsid, flow_id] = [vsid << 8, 0];
    let gre = [
        &[0x20, 0, 0x65, 0x58][..],
        &(vsid | flow_id).to_be_bytes(),
        inner,
    ]
    .concat();
    let [source, destination] = addresses;
    ethernet(
        macs[1],
        macs[0],
        0x0800,
        &ipv4(source, destination, 47, &gre),
    )
}

/// An ARP message: 1 asks, 2 answers.
pub fn arp(operation: u8, sender: (&str, &str), target: (&str, &str)) -> Vec<u8> {
    let half = |(mac, address): (&str, &str)| {
        let mac = mac.parse::<MacAddress>().unwrap().0;
        [&mac[..], &address.parse::<Ipv4Addr>().unwrap().octets()].concat()
    };
    let front = [0, 1, 8, 0, 6, 4, 0, operation];
    [&front[..], &half(sender), &half(target)].concat()
}

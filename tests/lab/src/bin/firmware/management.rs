//! A NIC that is managed over the network, by the program `netvirt`.

use std::env;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use netvirt_lab::board::{Board, Cable, Socket};
use netvirt_std::counters::CounterReport;
use serde_json::Value;

use crate::Outcome;

/// The key that all images have.
pub const KEY: &str = "netvirt-fw/images/nic.key";

/// A NIC between two cables, and the way to its management address.
pub struct Managed {
    pub board: Board,
    pub host: Cable,
    pub wire: Cable,
    /// Where the management address can be reached from here.
    pub address: String,
    pub key: PathBuf,
}

impl Managed {
    pub fn boot(image: &str) -> Outcome<Self> {
        let socket = Socket::new(image)?;
        let (host, wire) = (socket.cable("host")?, socket.cable("wire")?);
        let key = socket.path("nic.key");
        write_for_me(&key, &fs::read_to_string(KEY)?)?;
        let port = free_port()?;
        let board = socket.boot_managed(port)?;
        board.wait_for("management at 192.168.4.250/24")?;
        Ok(Self {
            board,
            host,
            wire,
            address: format!("127.0.0.1:{port}"),
            key,
        })
    }

    /// A file beside the NIC's cables, which goes with them.
    pub fn write(&self, name: &str, text: &str) -> Outcome<PathBuf> {
        let path = self.key.with_file_name(name);
        write_for_me(&path, text)?;
        Ok(path)
    }

    /// Gives the NIC a host's part of a policy file.
    pub fn push(&self, policy: &Path, host: &str) -> Outcome {
        self.offload("push", &self.key, &host_of(policy, host))
            .map(drop)
    }

    /// What the NIC is told to be, in the program's own words.
    pub fn offload(&self, command: &str, key: &Path, more: &[String]) -> Outcome<String> {
        let netvirt = env::current_exe()?.with_file_name("netvirt");
        let output = Command::new(netvirt)
            .args(["offload", command, "--nic", &self.address, "--key-file"])
            .arg(key)
            .args(more)
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }

    /// Everything that the NIC tells.
    pub fn show(&self) -> Outcome<Value> {
        let shown = self.offload("show", &self.key, &["--json".to_owned()])?;
        Ok(serde_json::from_str(&shown)?)
    }

    pub fn counters(&self) -> Outcome<CounterReport> {
        Ok(serde_json::from_value(self.show()?["counters"].take())?)
    }

    /// The policy that it has, and its version.
    pub fn policy(&self) -> Outcome<(Value, Value)> {
        let mut shown = self.show()?;
        Ok((shown["version"].take(), shown["policy"].take()))
    }
}

pub fn host_of(policy: &Path, host: &str) -> [String; 4] {
    let policy = policy.display().to_string();
    ["--policy".into(), policy, "--host".into(), host.into()]
}

fn write_for_me(path: &Path, text: &str) -> Outcome {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o600))?)
}

fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

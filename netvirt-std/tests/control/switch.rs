//! Switches in memory, with their sockets.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netvirt_std::control::{Client, ControlServer, ControlSocket, Patience};
use netvirt_std::device::memory::{MemoryReceiver, MemorySender, cable};
use netvirt_std::device::{Capabilities, Outgoing, Sender};
use netvirt_std::host::{Devices, Host, HostHandle, HostOptions, Queue, serve};
use netvirt_std::policy_file::{HostPolicy, PolicyFile, PortInfo};

pub const TWO_HOSTS: &str = include_str!("../../../examples/two-hosts.toml");
pub const THREE_TENANTS: &str = include_str!("../../../examples/three-tenants.toml");

/// The other ends of all cables, by the machine's name; that of the uplink is `uplink`.
#[derive(Clone, Default)]
pub struct Cables {
    ends: Arc<Mutex<BTreeMap<String, (MemoryReceiver, MemorySender)>>>,
    /// A port that cannot be opened.
    broken: Option<String>,
}

impl Cables {
    fn check(&self, name: &str) -> io::Result<()> {
        if self.broken.as_deref() == Some(name) {
            return Err(io::Error::other("it cannot be opened: mend it"));
        }
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Vec<Queue>> {
        self.check(name)?;
        let [(receiver, sender), far] = cable(64, Capabilities::default())?;
        self.ends.lock().unwrap().insert(name.to_owned(), far);
        Ok(vec![Queue {
            receiver: Box::new(receiver),
            sender: Box::new(sender),
        }])
    }

    /// A machine sends a frame.
    pub fn send(&self, machine: &str, frame: &[u8]) {
        let mut ends = self.ends.lock().unwrap();
        let (_, sender) = ends.get_mut(machine).unwrap();
        let mut outgoing = [Outgoing::whole(frame)];
        sender.send(&mut outgoing);
        assert!(!outgoing[0].is_lost);
    }
}

impl Devices for Cables {
    fn open_uplink(&mut self, _host: &HostPolicy, _queues: usize) -> io::Result<Vec<Queue>> {
        self.open("uplink")
    }

    fn check_port(&mut self, port: &PortInfo) -> io::Result<()> {
        self.check(&port.name)
    }

    fn open_port(&mut self, port: &PortInfo, _queues: usize) -> io::Result<Vec<Queue>> {
        self.open(&port.name)
    }

    fn remove_port(&mut self, port: &PortInfo) {
        self.ends.lock().unwrap().remove(&port.name);
    }
}

/// A running switch of a host.
pub struct Switch {
    pub cables: Cables,
    pub handle: HostHandle,
    thread: Option<JoinHandle<()>>,
    server: Option<ControlServer>,
    directory: tempfile::TempDir,
}

impl Switch {
    pub fn start(policy: &str, host: &str) -> Self {
        Self::with_broken(policy, host, None)
    }

    /// A switch that cannot open the port of one machine.
    pub fn with_broken(policy: &str, host: &str, broken: Option<&str>) -> Self {
        Self::with(policy, host, broken, Patience::default())
    }

    pub fn with(policy: &str, host: &str, broken: Option<&str>, patience: Patience) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cables = Cables {
            broken: broken.map(str::to_owned),
            ..Cables::default()
        };
        let file = PolicyFile::parse(policy, "site.toml").unwrap();
        let options = HostOptions {
            records: 64,
            workers: 1,
            duplicate_detection: Duration::ZERO,
            ..HostOptions::default()
        };
        let (handle, inbox) = HostHandle::new();
        let devices = Box::new(cables.clone());
        let host = Host::start(&file, host, &options, devices, handle.listener(), None).unwrap();
        let path = directory.path().join("switch.sock");
        let socket = ControlSocket::claim(&path).unwrap();
        let server = ControlServer::start(socket, &host, handle.clone(), patience).unwrap();
        Self {
            cables,
            handle,
            thread: Some(thread::spawn(move || serve(host, &inbox))),
            server: Some(server),
            directory,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("switch.sock")
    }

    pub fn client(&self) -> Client {
        Client::new(&self.socket()).unwrap()
    }

    /// Waits until every frame that was sent before is counted.
    pub fn wait_for_frames(&self, received: u64) {
        while self.client().counters(&[]).unwrap().received < received {
            thread::yield_now();
        }
    }

    pub fn stop_serving(&mut self) {
        self.server = None;
    }

    pub fn stop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop();
    }
}

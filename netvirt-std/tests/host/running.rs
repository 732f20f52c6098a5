//! Switches on cables in memory, and what is said on these.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::support::{TWO_HOSTS, arp, ethernet, packet};
use netvirt_core::counters::Totals;
use netvirt_core::datapath::DropReason;
use netvirt_core::offload::Offload;
use netvirt_std::capture::live::CaptureSender;
use netvirt_std::device::memory::{MemoryReceiver, MemorySender, cable};
use netvirt_std::device::{BATCH, Capabilities, Outgoing, Received, Receiver, Sender};
use netvirt_std::host::{Devices, Host, HostError, HostHandle, HostOptions, Queue, serve};
use netvirt_std::policy_file::{HostPolicy, PolicyFile, PortInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

pub const BLUE_1: &str = "06:06:00:00:00:05";
pub const BLUE_2: &str = "06:06:00:00:00:07";
pub const HOST_1: &str = "02:00:00:00:00:0b";
pub const HOST_2: &str = "02:00:00:00:00:16";
pub const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
pub const NOBODY: &str = "00:00:00:00:00:00";
/// Longer than anything here takes; only a test that fails waits for it.
pub const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};
pub const FINISHED_ONLY: Capabilities = Capabilities {
    checksum: false,
    segmentation: false,
};
pub const PARTIAL_CHECKSUMS: Capabilities = Capabilities {
    checksum: true,
    segmentation: false,
};

/// One end of a cable.
pub struct End {
    receiver: MemoryReceiver,
    sender: MemorySender,
    fetched: usize,
    taken: usize,
}

impl End {
    pub fn new((receiver, sender): (MemoryReceiver, MemorySender)) -> Self {
        Self {
            receiver,
            sender,
            fetched: 0,
            taken: 0,
        }
    }

    pub fn into_queue(self) -> Queue {
        Queue {
            receiver: Box::new(self.receiver),
            sender: Box::new(self.sender),
        }
    }

    pub fn send(&mut self, frame: &[u8]) {
        self.send_with(frame, Offload::NONE);
    }

    pub fn send_with(&mut self, frame: &[u8], offload: Offload) {
        let mut frames = [Outgoing {
            offload,
            ..Outgoing::whole(frame)
        }];
        self.sender.send(&mut frames);
        assert!(!frames[0].is_lost);
    }

    /// The next frame.
    pub fn receive(&mut self) -> Vec<u8> {
        self.receive_with().0
    }

    pub fn receive_with(&mut self) -> (Vec<u8>, Offload) {
        while self.taken == self.fetched {
            let mut readiness = [PollFd::from_borrowed_fd(
                self.receiver.readiness(),
                PollFlags::IN,
            )];
            assert_eq!(poll(&mut readiness, Some(&PATIENCE)), Ok(1), "no frame");
            self.fetched = self.receiver.fetch().unwrap();
            self.taken = 0;
        }
        let frame = self.receiver.frame(self.taken);
        self.taken += 1;
        (frame.bytes.to_vec(), frame.offload)
    }
}

pub fn ends(capabilities: Capabilities) -> [End; 2] {
    cable(1024, capabilities).unwrap().map(End::new)
}

/// A device that its far end can break, or that never runs dry.
pub struct Fickle {
    receiver: MemoryReceiver,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Works until a frame of one byte arrives.
    Brittle,
    /// Gives the last frame again and again.
    Endless,
}

impl Receiver for Fickle {
    fn readiness(&self) -> BorrowedFd<'_> {
        self.receiver.readiness()
    }

    fn fetch(&mut self) -> io::Result<usize> {
        let count = self.receiver.fetch()?;
        match self.mood {
            Mood::Brittle if count > 0 && self.receiver.frame(0).bytes.len() == 1 => {
                Err(Errno::NODEV.into())
            }
            Mood::Brittle => Ok(count),
            Mood::Endless => Ok(BATCH),
        }
    }

    fn frame(&self, number: usize) -> Received<'_> {
        match self.mood {
            Mood::Brittle => self.receiver.frame(number),
            Mood::Endless => Received {
                bytes: &[],
                offload: Offload::NONE,
            },
        }
    }
}

impl Fickle {
    pub fn queue(
        End {
            receiver, sender, ..
        }: End,
        mood: Mood,
    ) -> Queue {
        Queue {
            receiver: Box::new(Self { receiver, mood }),
            sender: Box::new(sender),
        }
    }
}

/// Devices that lie ready under their names; whatever was opened is gone from here.
#[derive(Clone, Default)]
pub struct Drawer {
    queues: Arc<Mutex<HashMap<String, Vec<Queue>>>>,
    /// What was asked of the devices beside opening them.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Drawer {
    pub fn put(&self, name: &str, queues: Vec<Queue>) {
        self.queues.lock().unwrap().insert(name.into(), queues);
    }

    pub fn take(&self, name: &str) -> io::Result<Vec<Queue>> {
        let queues = self.queues.lock().unwrap().remove(name);
        queues.ok_or_else(|| missing(name))
    }

    pub fn ask(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

pub fn missing(name: &str) -> io::Error {
    io::Error::other(format!("no device named {name}"))
}

impl Devices for Drawer {
    fn open_uplink(&mut self, _: &HostPolicy, _: usize) -> io::Result<Vec<Queue>> {
        self.take("uplink")
    }

    fn open_port(&mut self, port: &PortInfo, _: usize) -> io::Result<Vec<Queue>> {
        self.take(&port.name)
    }

    fn check_port(&mut self, port: &PortInfo) -> io::Result<()> {
        let is_there = self.queues.lock().unwrap().contains_key(&port.name);
        is_there.then_some(()).ok_or_else(|| missing(&port.name))
    }

    fn fit_port(&mut self, port: &PortInfo) -> io::Result<()> {
        self.ask(format!("fit {} to {}, {}", port.name, port.mac, port.mtu));
        Ok(())
    }

    fn remove_port(&mut self, port: &PortInfo) {
        self.ask(format!("remove {}", port.name));
    }
}

/// A running switch, and the far ends of its cables.
pub struct Running {
    pub handle: HostHandle,
    thread: Option<JoinHandle<()>>,
    pub drawer: Drawer,
    workers: usize,
    machines: HashMap<String, Vec<End>>,
}

impl Running {
    pub fn start(policy: &str, name: &str, uplink: End, detection: Duration) -> Self {
        Self::start_with_queues(policy, name, vec![uplink], detection, None)
    }

    /// The same with a worker for each cable of the uplink, and a capture.
    pub fn start_with_queues(
        policy: &str,
        name: &str,
        uplink: Vec<End>,
        detection: Duration,
        capture: Option<CaptureSender>,
    ) -> Self {
        let workers = uplink.len();
        let file = file(policy);
        let drawer = Drawer::default();
        drawer.put("uplink", uplink.into_iter().map(End::into_queue).collect());
        let mut running = Self {
            handle: HostHandle::new().0,
            thread: None,
            drawer: drawer.clone(),
            workers,
            machines: HashMap::new(),
        };
        for port in file.for_host(name).unwrap().ports {
            running.plug(&port.name);
        }
        let options = HostOptions {
            workers,
            duplicate_detection: detection,
            ..HostOptions::default()
        };
        let (handle, inbox) = HostHandle::new();
        let listener = handle.listener();
        let host = Host::start(&file, name, &options, Box::new(drawer), listener, capture).unwrap();
        running.drawer.asked();
        running.handle = handle;
        running.thread = Some(thread::spawn(move || serve(host, &inbox)));
        running
    }

    /// Lays cables to a machine that is to come.
    pub fn plug(&mut self, machine: &str) {
        let cables = (0..self.workers).map(|_| ends(PARTIAL_CHECKSUMS));
        let (near, far) = cables.map(|[near, far]| (near.into_queue(), far)).unzip();
        self.drawer.put(machine, near);
        self.machines.insert(machine.into(), far);
    }

    /// Lays one of a device that is in this mood.
    pub fn plug_fickle(&mut self, machine: &str, mood: Mood) {
        let [near, far] = ends(PARTIAL_CHECKSUMS);
        self.drawer.put(machine, vec![Fickle::queue(near, mood)]);
        self.machines.insert(machine.into(), vec![far]);
    }

    /// A machine at its first queue.
    pub fn machine(&mut self, name: &str) -> &mut End {
        &mut self.machines.get_mut(name).unwrap()[0]
    }

    pub fn apply(&self, policy: &str) -> Result<u64, HostError> {
        let file = file(policy);
        self.handle.ask(move |host| host.apply(&file)).unwrap()
    }

    pub fn counted(&self) -> (Totals, Vec<(&'static str, u64)>) {
        let counters = self.handle.ask(|host| host.counters()).unwrap().unwrap();
        let refused = DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), counters.refused(*reason)))
            .filter(|(_, frames)| *frames > 0);
        (*counters.totals(), refused.collect())
    }

    pub fn wait_until_ready(&self) {
        while !self.handle.ask(|host| host.is_ready()).unwrap() {
            thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub fn file(policy: &str) -> PolicyFile {
    PolicyFile::parse(policy, "policy.toml").unwrap()
}

/// host-1 alone with the provider network, of which the test has the other end.
pub fn host_1() -> (Running, End) {
    let [near, far] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    (Running::start(&policy, "host-1", near, Duration::ZERO), far)
}

pub fn both_hosts() -> [Running; 2] {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let [one, two] = ends(FINISHED_ONLY);
    [
        Running::start(&policy, "host-1", one, Duration::ZERO),
        Running::start(&policy, "host-2", two, Duration::ZERO),
    ]
}

pub fn blue_1_to_2() -> Vec<u8> {
    ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.5", "10.0.0.7"))
}

/// What the provider network hears until somebody asks for this address.
pub fn until_asked(uplink: &mut End, address: &str) -> Vec<u8> {
    let question = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, address));
    let question = ethernet(BROADCAST, HOST_1, 0x0806, &question);
    loop {
        if uplink.receive() == question {
            return question;
        }
    }
}

pub fn host_2_answers() -> Vec<u8> {
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    ethernet(HOST_1, HOST_2, 0x0806, &answer)
}

/// Two hosts, and blue-1 moved to the second.
pub fn blue_1_moves(migrating_from: &str) -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let here = "name = \"blue-1\"\nsubnet = 5001\nhost = \"host-1\"";
    assert!(policy.contains(here));
    let there = format!("name = \"blue-1\"\nsubnet = 5001\nhost = \"host-2\"{migrating_from}");
    policy.replace(here, &there)
}

pub fn without_blue_1() -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let start = policy.find("[[vm]]\nname = \"blue-1\"").unwrap();
    let end = start + 1 + policy[start + 1..].find("[[vm]]").unwrap();
    format!("{}{}", &policy[..start], &policy[end..])
}

/// The two hosts, with something else written in one place.
pub fn with(was: &str, is: &str) -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    assert!(policy.contains(was));
    policy.replacen(was, is, 1)
}

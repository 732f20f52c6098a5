//! Running switches on cables in memory: what their machines and the provider network see.

mod support;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use netvirt_core::counters::Totals;
use netvirt_core::datapath::DropReason;
use netvirt_core::offload::{Offload, PartialChecksum};
use netvirt_core::policy::AddressState;
use netvirt_core::{MacAddress, ProviderAddress, UplinkId};
use netvirt_std::capture::CaptureReader;
use netvirt_std::capture::live::{CaptureSender, LiveCapture};
use netvirt_std::device::memory::{MemoryReceiver, MemorySender, cable};
use netvirt_std::device::{BATCH, Capabilities, Outgoing, Received, Receiver, Sender};
use netvirt_std::host::{Devices, Host, HostError, HostHandle, HostOptions, Queue, serve};
use netvirt_std::policy_file::{HostPolicy, PolicyFile, PortInfo};
use netvirt_std::worker::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use support::{TWO_HOSTS, arp, ethernet, ipv4, packet};

const BLUE_1: &str = "06:06:00:00:00:05";
const BLUE_2: &str = "06:06:00:00:00:07";
const HOST_1: &str = "02:00:00:00:00:0b";
const HOST_2: &str = "02:00:00:00:00:16";
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
const NOBODY: &str = "00:00:00:00:00:00";
/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 20,
    tv_nsec: 0,
};
const FINISHED_ONLY: Capabilities = Capabilities {
    checksum: false,
    segmentation: false,
};
const PARTIAL_CHECKSUMS: Capabilities = Capabilities {
    checksum: true,
    segmentation: false,
};

/// One end of a cable.
struct End {
    receiver: MemoryReceiver,
    sender: MemorySender,
    fetched: usize,
    taken: usize,
}

impl End {
    fn new((receiver, sender): (MemoryReceiver, MemorySender)) -> Self {
        Self {
            receiver,
            sender,
            fetched: 0,
            taken: 0,
        }
    }

    fn into_queue(self) -> Queue {
        Queue {
            receiver: Box::new(self.receiver),
            sender: Box::new(self.sender),
        }
    }

    fn send(&mut self, frame: &[u8]) {
        self.send_with(frame, Offload::NONE);
    }

    fn send_with(&mut self, frame: &[u8], offload: Offload) {
        let mut frames = [Outgoing {
            offload,
            ..Outgoing::whole(frame)
        }];
        self.sender.send(&mut frames);
        assert!(!frames[0].is_lost);
    }

    /// The next frame.
    fn receive(&mut self) -> Vec<u8> {
        self.receive_with().0
    }

    fn receive_with(&mut self) -> (Vec<u8>, Offload) {
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

fn ends(capabilities: Capabilities) -> [End; 2] {
    cable(1024, capabilities).unwrap().map(End::new)
}

/// A device that its far end can break, or that never runs dry.
struct Fickle {
    receiver: MemoryReceiver,
    mood: Mood,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
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
    fn queue(
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
struct Drawer {
    queues: Arc<Mutex<HashMap<String, Vec<Queue>>>>,
    /// What was asked of the devices beside opening them.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Drawer {
    fn put(&self, name: &str, queues: Vec<Queue>) {
        self.queues.lock().unwrap().insert(name.into(), queues);
    }

    fn take(&self, name: &str) -> io::Result<Vec<Queue>> {
        let queues = self.queues.lock().unwrap().remove(name);
        queues.ok_or_else(|| missing(name))
    }

    fn ask(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn missing(name: &str) -> io::Error {
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
struct Running {
    handle: HostHandle,
    thread: Option<JoinHandle<()>>,
    drawer: Drawer,
    workers: usize,
    machines: HashMap<String, Vec<End>>,
}

impl Running {
    fn start(policy: &str, name: &str, uplink: End, detection: Duration) -> Self {
        Self::start_with_queues(policy, name, vec![uplink], detection, None)
    }

    /// The same with a worker for each cable of the uplink, and a capture.
    fn start_with_queues(
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
        running.handle = handle;
        running.thread = Some(thread::spawn(move || serve(host, &inbox)));
        running
    }

    /// Lays cables to a machine that is to come.
    fn plug(&mut self, machine: &str) {
        let cables = (0..self.workers).map(|_| ends(PARTIAL_CHECKSUMS));
        let (near, far) = cables.map(|[near, far]| (near.into_queue(), far)).unzip();
        self.drawer.put(machine, near);
        self.machines.insert(machine.into(), far);
    }

    /// Lays one of a device that is in this mood.
    fn plug_fickle(&mut self, machine: &str, mood: Mood) {
        let [near, far] = ends(PARTIAL_CHECKSUMS);
        self.drawer.put(machine, vec![Fickle::queue(near, mood)]);
        self.machines.insert(machine.into(), vec![far]);
    }

    /// A machine at its first queue.
    fn machine(&mut self, name: &str) -> &mut End {
        &mut self.machines.get_mut(name).unwrap()[0]
    }

    fn apply(&self, policy: &str) -> Result<u64, HostError> {
        let file = file(policy);
        self.handle.ask(move |host| host.apply(&file)).unwrap()
    }

    fn counted(&self) -> (Totals, Vec<(&'static str, u64)>) {
        let counters = self.handle.ask(|host| host.counters()).unwrap().unwrap();
        let refused = DropReason::ALL
            .iter()
            .map(|reason| (reason.name(), counters.refused(*reason)))
            .filter(|(_, frames)| *frames > 0);
        (*counters.totals(), refused.collect())
    }

    fn wait_until_ready(&self) {
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

fn file(policy: &str) -> PolicyFile {
    PolicyFile::parse(policy, "policy.toml").unwrap()
}

/// host-1 alone with the provider network, of which the test has the other end.
fn host_1() -> (Running, End) {
    let [near, far] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    (Running::start(&policy, "host-1", near, Duration::ZERO), far)
}

fn both_hosts() -> [Running; 2] {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let [one, two] = ends(FINISHED_ONLY);
    [
        Running::start(&policy, "host-1", one, Duration::ZERO),
        Running::start(&policy, "host-2", two, Duration::ZERO),
    ]
}

fn blue_1_to_2() -> Vec<u8> {
    ethernet(BLUE_2, BLUE_1, 0x0800, &packet("10.0.0.5", "10.0.0.7"))
}

/// What the provider network hears until somebody asks for this address.
fn until_asked(uplink: &mut End, address: &str) -> Vec<u8> {
    let question = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, address));
    let question = ethernet(BROADCAST, HOST_1, 0x0806, &question);
    loop {
        if uplink.receive() == question {
            return question;
        }
    }
}

fn host_2_answers() -> Vec<u8> {
    let answer = arp(2, (HOST_2, "192.168.4.22"), (HOST_1, "192.168.4.11"));
    ethernet(HOST_1, HOST_2, 0x0806, &answer)
}

#[test]
fn a_frame_arrives_as_it_was_sent_at_its_tenants_machine_on_another_host() {
    let [mut one, mut two] = both_hosts();
    let frame = blue_1_to_2();
    one.machine("blue-1").send(&frame);
    assert_eq!(two.machine("blue-2").receive(), frame);
    let back = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    two.machine("blue-2").send(&back);
    assert_eq!(one.machine("blue-1").receive(), back);
    for host in [&one, &two] {
        let (totals, refused) = host.counted();
        assert!(totals.add_up());
        assert_eq!(refused, []);
    }
    assert_eq!(one.counted().0.held, 1);
    assert_eq!(two.counted().0.transmitted + two.counted().0.held, 1);
}

#[test]
fn an_address_is_probed_announced_and_only_then_are_machines_served() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let detection = Duration::from_millis(30);
    let mut host = Running::start(&policy, "host-1", near, detection);
    host.machine("blue-1").send(&blue_1_to_2());
    let probe = arp(1, (HOST_1, "0.0.0.0"), (NOBODY, "192.168.4.11"));
    let probe = ethernet(BROADCAST, HOST_1, 0x0806, &probe);
    for _ in 0..3 {
        assert_eq!(uplink.receive(), probe);
    }
    let announcement = arp(1, (HOST_1, "192.168.4.11"), (NOBODY, "192.168.4.11"));
    let announcement = ethernet(BROADCAST, HOST_1, 0x0806, &announcement);
    assert_eq!(uplink.receive(), announcement);
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn an_address_that_another_machine_has_is_not_used() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let host = Running::start(&policy, "host-1", near, Duration::from_secs(3600));
    uplink.receive();
    let answer = arp(2, (HOST_2, "192.168.4.11"), (HOST_1, "0.0.0.0"));
    uplink.send(&ethernet(HOST_1, HOST_2, 0x0806, &answer));
    host.wait_until_ready();
    let states: Vec<_> = host
        .handle
        .ask(|host| host.addresses().map(|own| own.state).collect())
        .unwrap();
    assert_eq!(states, [AddressState::Duplicate]);
}

#[test]
fn frames_wait_for_their_next_hop_and_leave_in_their_order() {
    let (mut host, mut uplink) = host_1();
    for number in 0..4 {
        let payload = ipv4("10.0.0.5", "10.0.0.7", 253, &[number; 30]);
        let frame = ethernet(BLUE_2, BLUE_1, 0x0800, &payload);
        host.machine("blue-1").send(&frame);
    }
    until_asked(&mut uplink, "192.168.4.22");
    while host.counted().0.received < 4 {
        thread::yield_now();
    }
    uplink.send(&host_2_answers());
    for number in 0..3 {
        let frame = uplink.receive();
        assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x16]);
        assert_eq!(frame[frame.len() - 30..], [number; 30]);
    }
    let (totals, refused) = host.counted();
    assert_eq!(refused, [("neighbour_queue_full", 1)]);
    assert_eq!((totals.held, totals.dropped), (3, 1));
}

#[test]
fn an_answer_that_another_worker_hears_releases_what_waits() {
    let cables = [ends(FINISHED_ONLY), ends(FINISHED_ONLY)];
    let (near, mut far): (Vec<_>, Vec<_>) =
        cables.map(|[near, far]| (near, far)).into_iter().unzip();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start_with_queues(&policy, "host-1", near, Duration::ZERO, None);
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut far[0], "192.168.4.22");
    far[1].send(&host_2_answers());
    let frame = far[0].receive();
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x16]);
    assert!(frame.ends_with(&blue_1_to_2()));
}

#[test]
fn what_waits_for_a_next_hop_leaves_when_a_version_states_it() {
    let (mut host, mut uplink) = host_1();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    while host.counted().0.held < 1 {
        thread::yield_now();
    }
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let own = "addresses = [\"192.168.4.11\"]";
    let stated = format!(
        "{own}\nneighbours = [{{ address = \"192.168.4.22\", mac = \"02:00:00:00:00:77\" }}]"
    );
    assert!(policy.contains(own));
    host.apply(&policy.replace(own, &stated)).unwrap();
    let frame = loop {
        let frame = uplink.receive();
        if frame.ends_with(&blue_1_to_2()) {
            break frame;
        }
    };
    assert_eq!(frame[..6], [2, 0, 0, 0, 0, 0x77]);
}

/// The question for a next hop, and its answer, as workers tell them.
fn asked_and_answered(address: IpAddr) -> [Event; 2] {
    let uplink = UplinkId(0);
    let answer = Event::Neighbour {
        uplink,
        address,
        mac: MacAddress([2, 0, 0, 0, 0, 0x16]),
        overriding: true,
    };
    [Event::Asked { uplink, address }, answer]
}

#[test]
fn next_hops_for_which_there_is_no_room_are_not_taken_for_known() {
    let (host, _uplink) = host_1();
    let counts = host.handle.ask(|host| {
        let room = host.capacity().neighbours as u32;
        let too_many = (0..2 * room).map(|number| IpAddr::from((10 << 24 | number).to_be_bytes()));
        let events: Vec<Event> = too_many.flat_map(asked_and_answered).collect();
        host.hear(events);
        let known = host.neighbours().count();
        (
            known,
            host.policies().read().neighbours().count(),
            room as usize,
        )
    });
    let (known, in_tables, room) = counts.unwrap();
    assert_eq!(known, in_tables);
    assert!((room..2 * room).contains(&known));
}

#[test]
fn what_is_refused_takes_nothing_with_it_that_was_heard_at_the_same_time() {
    let (host, _uplink) = host_1();
    let address = |address: &str| ProviderAddress::new(address.parse().unwrap()).unwrap();
    let known = host.handle.ask(move |host| {
        let path_mtu = |path, mtu| Event::PathMtu {
            address: address(path),
            mtu,
        };
        let mut events = asked_and_answered(address("192.168.4.22").get()).to_vec();
        events.extend([
            path_mtu("203.0.113.9", 1400),
            path_mtu("192.168.4.22", 1400),
        ]);
        host.hear(events);
        let mtus: Vec<_> = host
            .path_mtus()
            .map(|mtu| mtu.address.to_string())
            .collect();
        (host.neighbours().count(), mtus)
    });
    assert_eq!(known.unwrap(), (1, vec!["192.168.4.22".to_owned()]));
}

#[test]
fn a_new_address_is_probed_at_once() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let detection = Duration::from_millis(3);
    let mut host = Running::start(&policy, "host-1", near, detection);
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    while !uplink.receive().ends_with(&blue_1_to_2()) {}
    let more = policy.replace("\"192.168.4.11\"", "\"192.168.4.11\", \"192.168.4.12\"");
    host.apply(&more).unwrap();
    // The worker has done what it was told before.
    host.counted();
    host.machine("blue-1").send(&blue_1_to_2());
    let probe = arp(1, (HOST_1, "0.0.0.0"), (NOBODY, "192.168.4.12"));
    let probe = ethernet(BROADCAST, HOST_1, 0x0806, &probe);
    loop {
        let frame = uplink.receive();
        assert!(!frame.ends_with(&blue_1_to_2()), "the probe comes later");
        if frame == probe {
            break;
        }
    }
}

#[test]
fn a_conflict_that_waits_is_heard_before_an_address_is_found_unique() {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let drawer = Drawer::default();
    let mut far_ends = Vec::new();
    for name in ["uplink", "blue-1", "red-1"] {
        let [near, far] = ends(FINISHED_ONLY);
        drawer.put(name, vec![near.into_queue()]);
        far_ends.push(far);
    }
    let options = HostOptions {
        duplicate_detection: Duration::from_nanos(3),
        ..HostOptions::default()
    };
    let (handle, inbox) = HostHandle::new();
    let listener = handle.listener();
    let devices = Box::new(drawer);
    let host = Host::start(&file(&policy), "host-1", &options, devices, listener, None).unwrap();
    // Requests that keep the host busy for longer than the detection takes.
    for _ in 0..5 {
        let busy = |_: &mut Host| thread::sleep(Duration::from_millis(15));
        handle.request(busy, |()| {}).unwrap();
    }
    handle.listener()(Event::AddressConflict {
        address: ProviderAddress::new([192, 168, 4, 11].into()).unwrap(),
        mac: MacAddress([2, 0, 0, 0, 0, 0x16]),
    });
    let thread = thread::spawn(move || serve(host, &inbox));
    let states = handle.ask(|host| host.addresses().map(|own| own.state).collect::<Vec<_>>());
    assert_eq!(states.unwrap(), [AddressState::Duplicate]);
    handle.stop();
    thread.join().unwrap();
}

#[test]
fn groups_are_reported_before_an_address_is_probed_and_announced_and_when_a_router_asks() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let policy = policy
        .replace("192.168.4.0/24", "fd00:4::/64")
        .replace("192.168.4.", "fd00:4::");
    let detection = Duration::from_millis(3);
    let host = Running::start(&policy, "host-1", near, detection);
    // What a frame is by its ICMPv6 type; that of a report stands behind the router alert.
    let kind_of = |frame: &[u8]| if frame[20] == 0 { frame[62] } else { frame[54] };
    let mut kinds = Vec::new();
    while kinds.last() != Some(&136) {
        kinds.push(kind_of(&uplink.receive()));
    }
    assert_eq!(kinds, [143, 135, 143, 135, 143, 135, 143, 136]);
    // The announcement is repeated, with a report, and then nothing is due.
    kinds.truncate(0);
    while kinds.last() != Some(&136) {
        kinds.push(kind_of(&uplink.receive()));
    }
    assert_eq!(kinds, [143, 136]);
    host.handle
        .ask(|host| host.hear([Event::ListenerQuery]))
        .unwrap();
    let report = uplink.receive();
    assert_eq!(kind_of(&report), 143);
    // The solicited-node group of the address.
    assert!(report.ends_with(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x11]));
}

#[test]
fn a_capture_shows_what_caused_a_message_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("host-1.pcapng");
    let (capture, recording) = LiveCapture::start(&path).unwrap();
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host =
        Running::start_with_queues(&policy, "host-1", vec![near], Duration::ZERO, Some(capture));
    let asked = arp(1, (BLUE_1, "10.0.0.5"), (NOBODY, "10.0.0.7"));
    let asked = ethernet(BROADCAST, BLUE_1, 0x0806, &asked);
    host.machine("blue-1").send(&asked);
    let answered = host.machine("blue-1").receive();
    let held = blue_1_to_2();
    host.machine("blue-1").send(&held);
    let question = until_asked(&mut uplink, "192.168.4.22");
    drop(host);
    recording.finish().unwrap();
    let captured = CaptureReader::open(&path).unwrap();
    let captured: Vec<_> = captured.map(|frame| frame.unwrap().bytes).collect();
    let position = |wanted: &Vec<u8>| captured.iter().position(|frame| frame == wanted).unwrap();
    assert!(position(&asked) < position(&answered));
    assert!(position(&held) < position(&question));
}

#[test]
fn who_was_not_asked_is_not_believed() {
    let (mut host, mut uplink) = host_1();
    uplink.send(&host_2_answers());
    while host.counted().0.punted < 1 {
        thread::yield_now();
    }
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn a_partial_checksum_is_completed_for_the_wire() {
    let (mut host, mut uplink) = host_1();
    let datagram = [
        0x04, 0x57, 0x08, 0xae, 0x00, 0x0c, 0x00, 0x00, b'h', b'n', b'v', b'!',
    ];
    let pseudo_header = [10 << 8, 5, 10 << 8, 7, 17, 12];
    let sum: u32 = pseudo_header.iter().sum();
    let mut partial = datagram;
    partial[6..8].copy_from_slice(&(sum as u16).to_be_bytes());
    let frame = ethernet(
        BLUE_2,
        BLUE_1,
        0x0800,
        &ipv4("10.0.0.5", "10.0.0.7", 17, &partial),
    );
    let offload = Offload {
        checksum: Some(PartialChecksum {
            start: 34,
            offset: 6,
        }),
        ..Offload::NONE
    };
    host.machine("blue-1").send_with(&frame, offload);
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    let (sent, left) = uplink.receive_with();
    assert_eq!(left, Offload::NONE);
    let words: u32 = datagram
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    let mut whole = sum + words;
    whole = (whole & 0xffff) + (whole >> 16);
    let expected = !(whole as u16);
    let at = sent.len() - datagram.len() + 6;
    assert_eq!(sent[at..at + 2], expected.to_be_bytes());
}

/// Two hosts, and blue-1 moved to the second.
fn blue_1_moves(migrating_from: &str) -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let here = "name = \"blue-1\"\nsubnet = 5001\nhost = \"host-1\"";
    assert!(policy.contains(here));
    let there = format!("name = \"blue-1\"\nsubnet = 5001\nhost = \"host-2\"{migrating_from}");
    policy.replace(here, &there)
}

#[test]
fn a_machine_that_moves_is_reached_at_its_new_host_and_late_frames_follow_it() {
    let [mut one, mut two] = both_hosts();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let to_blue_1 = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    two.machine("blue-2").send(&to_blue_1);
    assert_eq!(one.machine("blue-1").receive(), to_blue_1);
    // Back to how it was and there again: the numbers of ports must not get mixed up.
    for _ in 0..2 {
        two.plug("blue-1");
        let moved = blue_1_moves("\nmigrating-from = \"host-1\"");
        two.apply(&moved).unwrap();
        two.machine("blue-2").send(&to_blue_1);
        assert_eq!(two.machine("blue-1").receive(), to_blue_1);
        one.apply(&moved).unwrap();
        let retired = blue_1_moves("");
        one.apply(&retired).unwrap();
        two.apply(&retired).unwrap();
        one.plug("blue-1");
        one.apply(&policy).unwrap();
        two.apply(&policy).unwrap();
        two.machine("blue-2").send(&to_blue_1);
        assert_eq!(one.machine("blue-1").receive(), to_blue_1);
    }
    for host in [&one, &two] {
        let (totals, refused) = host.counted();
        assert!(totals.add_up());
        assert_eq!(refused, []);
    }
}

#[test]
fn a_version_whose_device_cannot_be_opened_changes_nothing() {
    let [one, mut two] = both_hosts();
    let version = two.handle.ask(|host| host.version()).unwrap();
    let refused = two.apply(&blue_1_moves("")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "machine \"blue-1\": no device named blue-1"
    );
    assert_eq!(two.handle.ask(|host| host.version()).unwrap(), version);
    let mut one = one;
    one.machine("blue-1").send(&blue_1_to_2());
    assert_eq!(two.machine("blue-2").receive(), blue_1_to_2());
}

#[test]
fn the_same_version_again_changes_nothing() {
    let (host, _uplink) = host_1();
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let version = host.handle.ask(|host| host.version()).unwrap();
    assert_eq!(host.apply(&policy).unwrap(), version);
}

#[test]
fn what_a_machine_sent_before_it_went_is_carried_and_its_device_removed() {
    let (mut host, mut uplink) = host_1();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    uplink.receive();
    for _ in 0..100 {
        host.machine("blue-1").send(&blue_1_to_2());
    }
    host.apply(&without_blue_1()).unwrap();
    for _ in 0..100 {
        uplink.receive();
    }
    assert_eq!(host.drawer.asked(), ["remove blue-1"]);
}

fn without_blue_1() -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let start = policy.find("[[vm]]\nname = \"blue-1\"").unwrap();
    let end = start + 1 + policy[start + 1..].find("[[vm]]").unwrap();
    format!("{}{}", &policy[..start], &policy[end..])
}

/// The two hosts, with something else written in one place.
fn with(was: &str, is: &str) -> String {
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    assert!(policy.contains(was));
    policy.replacen(was, is, 1)
}

#[test]
fn a_machine_gets_its_new_address_and_mtu_when_they_are_in_force_and_not_before() {
    let (host, _uplink) = host_1();
    let changed = file(&with(BLUE_1, "06:06:00:00:00:55").replace("mtu = 1600", "mtu = 1500"));
    for _ in 0..2 {
        let changed = changed.clone();
        host.handle
            .ask(move |host| host.prepare(&changed).map(|_| host.abort()))
            .unwrap()
            .unwrap();
        assert_eq!(host.drawer.asked(), [""; 0]);
    }
    host.handle
        .ask(move |host| host.apply(&changed))
        .unwrap()
        .unwrap();
    assert_eq!(
        host.drawer.asked(),
        [
            "fit blue-1 to 06:06:00:00:00:55, 1458",
            "fit red-1 to 08:08:00:00:00:05, 1458"
        ]
    );
}

#[test]
fn an_interface_that_another_machine_gets_is_not_removed() {
    let (mut host, mut uplink) = host_1();
    host.plug("blue-9");
    let renamed = with(
        "name = \"blue-1\"",
        "name = \"blue-9\"\ninterface = \"blue-1\"",
    );
    host.apply(&renamed).unwrap();
    assert_eq!(host.drawer.asked(), [""; 0]);
    host.machine("blue-9").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn machines_are_served_while_another_address_is_probed() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start(&policy, "host-1", near, Duration::from_millis(3));
    host.wait_until_ready();
    let another = with("[\"192.168.4.11\"]", "[\"192.168.4.11\", \"192.168.4.99\"]");
    let renamed = "name = \"blue-9\"\ninterface = \"blue-1\"";
    host.plug("blue-9");
    host.apply(&another.replacen("name = \"blue-1\"", renamed, 1))
        .unwrap();
    assert!(host.handle.ask(|host| host.is_ready()).unwrap());
    host.machine("blue-9").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn what_became_of_an_address_while_a_version_was_prepared_is_not_forgotten() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut host = Running::start(&policy, "host-1", near, Duration::from_millis(30));
    let narrower = file(&with("mtu = 1600", "mtu = 1500"));
    host.handle
        .ask(move |host| {
            assert!(!host.is_ready());
            host.prepare(&narrower)
        })
        .unwrap()
        .unwrap();
    host.wait_until_ready();
    host.handle.ask(|host| host.commit()).unwrap().unwrap();
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn a_device_that_goes_away_is_found_again() {
    let [near, mut uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&without_blue_1(), "host-1", near, Duration::ZERO);
    host.plug_fickle("blue-1", Mood::Brittle);
    host.apply(&std::fs::read_to_string(TWO_HOSTS).unwrap())
        .unwrap();
    let is_attached = |host: &mut Host| {
        let mut ports = host.policy().ports.iter();
        let blue_1 = ports.find(|port| port.name == "blue-1").unwrap();
        host.is_attached(blue_1.port)
    };
    assert!(host.handle.ask(is_attached).unwrap());
    host.machine("blue-1").send(&[0]);
    while host.handle.ask(is_attached).unwrap() {
        thread::yield_now();
    }
    host.plug("blue-1");
    while !host.handle.ask(is_attached).unwrap() {
        thread::yield_now();
    }
    host.machine("blue-1").send(&blue_1_to_2());
    until_asked(&mut uplink, "192.168.4.22");
}

#[test]
fn a_machine_that_never_stops_sending_can_be_removed() {
    let [near, _uplink] = ends(FINISHED_ONLY);
    let mut host = Running::start(&without_blue_1(), "host-1", near, Duration::ZERO);
    host.plug_fickle("blue-1", Mood::Endless);
    host.apply(&std::fs::read_to_string(TWO_HOSTS).unwrap())
        .unwrap();
    host.machine("blue-1").send(&blue_1_to_2());
    host.apply(&without_blue_1()).unwrap();
    assert_eq!(host.drawer.asked(), ["remove blue-1"]);
}

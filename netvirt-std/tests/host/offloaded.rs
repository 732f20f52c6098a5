//! A switch and a real offload NIC, which stands between it and the provider network: together they do what a switch does alone.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use netvirt_core::policy::{
    Change, LookupRecord, MAX_CHANGE_LENGTH, Transaction, TransactionWriter,
};
use netvirt_core::table::Seed;
use netvirt_core::{MacAddress, UplinkId};
use netvirt_fw::nic::{self, Config, Framing, PacketMemory, State};
use netvirt_fw::nve::Storage256;
use netvirt_fw::rings::{Buffer, Capabilities, Queue, Rings};
use netvirt_std::device::memory::{MemoryReceiver, MemorySender, cable};
use netvirt_std::device::{Outgoing, Receiver, Sender};

use crate::nic::{NIC, with_nic};
use crate::running::*;
use crate::support::{TWO_HOSTS, ethernet, packet};

const BUFFERS: usize = 256;

/// A cable as a NIC's rings.
struct Cable {
    receiver: MemoryReceiver,
    sender: MemorySender,
    fetched: usize,
    taken: usize,
    sent: Vec<Buffer<'static>>,
}

impl Cable {
    fn new((receiver, sender): (MemoryReceiver, MemorySender)) -> Self {
        Self {
            receiver,
            sender,
            fetched: 0,
            taken: 0,
            sent: vec![],
        }
    }
}

impl Rings<'static> for Cable {
    fn receive(
        &mut self,
        _: &mut Context<'_>,
        frames: &mut Queue<'_, 'static>,
        pool: &mut Queue<'_, 'static>,
    ) {
        if self.taken == self.fetched {
            self.fetched = self.receiver.fetch().unwrap();
            self.taken = 0;
        }
        while self.taken < self.fetched
            && frames.room() > 0
            && let Some(mut buffer) = pool.pop()
        {
            let frame = self.receiver.frame(self.taken);
            buffer.fill(frame.bytes).unwrap();
            frames.push(buffer).unwrap();
            self.taken += 1;
        }
    }

    fn room(&mut self, _: &mut Context<'_>, pool: &mut Queue<'_, 'static>) -> usize {
        for buffer in self.sent.drain(..) {
            pool.push(buffer).unwrap();
        }
        usize::MAX
    }

    fn send(&mut self, frames: &mut Queue<'_, 'static>) {
        while let Some(buffer) = frames.pop() {
            let mut outgoing = [Outgoing::whole(buffer.frame())];
            self.sender.send(&mut outgoing);
            assert!(!outgoing[0].is_lost);
            self.sent.push(buffer);
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn is_up(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn longest_frame(&self) -> usize {
        1600
    }
}

/// A NIC that carries frames on a thread of its own.
struct Nic {
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Nic {
    fn start(changes: Vec<Change>, host: Cable, wire: Cable) -> Self {
        let is_stopping = Arc::new(AtomicBool::new(false));
        let is_told = Arc::clone(&is_stopping);
        let thread = thread::spawn(move || carry(&changes, host, wire, &is_told));
        Self {
            is_stopping,
            thread: Some(thread),
        }
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn carry(changes: &[Change], host: Cable, wire: Cable, is_stopping: &AtomicBool) {
    let storage = Box::leak(Box::new(Storage256::new()));
    let nve = Mutex::<NoopRawMutex, _>::new(RefCell::new(storage.nve(Seed::new(1, 2))));
    let nve: &'static _ = Box::leak(Box::new(nve));
    let mut encoded = vec![0; changes.len() * MAX_CHANGE_LENGTH];
    let mut writer = TransactionWriter::new(&mut encoded);
    changes
        .iter()
        .for_each(|change| writer.push(change).unwrap());
    let transaction = Transaction::new(writer.finish());
    nve.lock(|nve| nve.borrow_mut().policies.apply(transaction).unwrap());
    let config = Config {
        management: MacAddress([2, 0, 0, 0, 0xf, 2]),
        framing: Framing::Header { nic: NIC },
        uplink: UplinkId(0),
        spread: None,
        validates: false,
    };
    let state = Box::leak(Box::new(State::<BUFFERS>::new()));
    let memory = Box::leak(Box::new(PacketMemory::<BUFFERS, 2048>::new()));
    let (_stack, mut runner) = nic::new(state, memory, nve, &config, host, wire);
    let started = Instant::now();
    let mut context = Context::from_waker(Waker::noop());
    while !is_stopping.load(Ordering::Relaxed) {
        if !runner.round(&mut context, started.elapsed()) {
            thread::yield_now();
        }
    }
}

/// host-1 behind a NIC that has the policy without some of it, and the provider network.
fn offloaded(policy: &str, nic_has: impl Fn(&Change) -> bool) -> (Nic, Running, End) {
    let changes = file(policy).for_host("host-1").unwrap().changes_for_nic();
    let changes = changes.into_iter().filter(nic_has).collect();
    let [near, host] = cable(1024, FINISHED_ONLY).unwrap();
    let [wire, far] = cable(1024, FINISHED_ONLY).unwrap();
    let nic = Nic::start(changes, Cable::new(host), Cable::new(wire));
    let host = Running::start(policy, "host-1", End::new(near), Duration::ZERO);
    (nic, host, End::new(far))
}

/// What a host puts on the wire for these frames of blue-1, whose next hop has to be asked for.
fn on_the_wire(host: &mut Running, uplink: &mut End, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let [first, others @ ..] = frames else {
        return vec![];
    };
    host.machine("blue-1").send(first);
    until_asked(uplink, "192.168.4.22");
    uplink.send(&host_2_answers());
    let mut sent = vec![next_packet(uplink)];
    for frame in others {
        host.machine("blue-1").send(frame);
        sent.push(next_packet(uplink));
    }
    sent
}

/// The next frame that is neither question nor answer.
fn next_packet(uplink: &mut End) -> Vec<u8> {
    loop {
        let frame = uplink.receive();
        if frame[12..14] != [8, 6] {
            return frame;
        }
    }
}

fn frames() -> Vec<Vec<u8>> {
    let with_length = |length: usize| {
        let mut frame = blue_1_to_2();
        frame.resize(frame.len() + length, 0);
        frame
    };
    [0, 1, 17, 400].map(with_length).to_vec()
}

fn rewritten(policy: &str) -> String {
    let all = policy.replace("vsid = 5001\n", "vsid = 5001\nmethod = \"rewrite\"\n");
    assert_ne!(all, policy);
    let own = |policy: &str, machine: &str, address: &str| {
        let customer = format!("addresses = [\"{machine}\"]");
        assert!(policy.contains(&customer));
        let both = format!("{customer}\nprovider-addresses = [\"{address}\"]");
        policy.replacen(&customer, &both, 1)
    };
    let one = own(&all, "10.0.0.5", "192.168.4.105");
    own(&one, "10.0.0.7", "192.168.4.107")
}

#[test]
fn a_nic_puts_the_same_frames_on_the_wire_as_the_switch_without_it() {
    for method in [str::to_owned, rewritten] {
        let plain = method(&std::fs::read_to_string(TWO_HOSTS).unwrap());
        let [near, mut far] = ends(FINISHED_ONLY);
        let mut alone = Running::start(&plain, "host-1", near, Duration::ZERO);
        let expected = on_the_wire(&mut alone, &mut far, &frames());
        let (_nic, mut host, mut wire) = offloaded(&method(&with_nic()), |_| true);
        assert_eq!(on_the_wire(&mut host, &mut wire, &frames()), expected);
        let (totals, _) = host.counted();
        assert_eq!(totals.received, totals.punted, "it only hears of next hops");
    }
}

/// The record of blue-2, and what stands for host-2 to the switch alone.
fn is_of_blue_2(change: &Change) -> bool {
    matches!(change, Change::AddRecord(LookupRecord { mac, .. }) if mac.to_string() == BLUE_2)
}

#[test]
fn what_does_not_fit_into_the_nic_is_carried_by_the_switch() {
    let [near, mut far] = ends(FINISHED_ONLY);
    let policy = std::fs::read_to_string(TWO_HOSTS).unwrap();
    let mut alone = Running::start(&policy, "host-1", near, Duration::ZERO);
    let expected = on_the_wire(&mut alone, &mut far, &frames());
    let (_nic, mut host, mut wire) = offloaded(&with_nic(), |change| !is_of_blue_2(change));
    assert_eq!(on_the_wire(&mut host, &mut wire, &frames()), expected);
    // And what comes back.
    let [near, mut uplink_2] = ends(FINISHED_ONLY);
    let mut two = Running::start(&policy, "host-2", near, Duration::ZERO);
    let back = ethernet(BLUE_1, BLUE_2, 0x0800, &packet("10.0.0.7", "10.0.0.5"));
    two.machine("blue-2").send(&back);
    let answer = crate::support::arp(2, (HOST_1, "192.168.4.11"), (HOST_2, "192.168.4.22"));
    uplink_2.send(&ethernet(HOST_2, HOST_1, 0x0806, &answer));
    wire.send(&next_packet(&mut uplink_2));
    assert_eq!(host.machine("blue-1").receive(), back);
    let (totals, refused) = host.counted();
    assert!(totals.add_up() && totals.delivered == 1);
    assert_eq!(refused, []);
}

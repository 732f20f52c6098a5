//! A NIC in a network of hosts.

use std::cell::RefCell;
use std::task::{Context, Waker};
use std::time::Duration;

use embassy_net_driver::{Driver, RxToken, TxToken};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use netvirt_core::counters::Counters;
use netvirt_core::datapath::{DropReason, Ingress};
use netvirt_core::policy::{Change, Transaction, TransactionWriter};
use netvirt_core::table::Seed;
use netvirt_core::{MacAddress, PortId, UplinkId, Vsid};
use netvirt_fw::header::{Kind, LINK_LEN, LinkAddresses, Packet, Repr};
use netvirt_fw::nic::{self, Config, Device, Framing, PacketMemory, Runner, State};
use netvirt_fw::nve::{NicCounters, SharedNve, Storage256};

use crate::link::{Link, Ring};

pub const STACK: MacAddress = MacAddress([2, 0, 0, 0, 0xf, 1]);
pub const NIC: MacAddress = MacAddress([2, 0, 0, 0, 0xf, 2]);
pub const HOST: MacAddress = MacAddress([2, 0, 0, 0, 0xf, 3]);

pub const BUFFERS: usize = 96;
const LENGTH: usize = 4096;

/// A frame between host and NIC: what the header says, and what follows.
pub type Told = (Repr, Vec<u8>);

/// A NIC, the links to its sides, and its own stack.
pub struct Site {
    pub host: Link,
    pub wire: Link,
    pub stack: Device<'static>,
    pub nve: &'static SharedNve<'static, NoopRawMutex>,
    pub now: Duration,
    runner: Runner<'static, NoopRawMutex, Ring, Ring>,
}

pub const CONFIG: Config = Config {
    management: STACK,
    framing: Framing::Header { nic: NIC },
    uplink: UplinkId(0),
    spread: None,
    validates: false,
};

impl Site {
    pub fn new(changes: &[Change]) -> Self {
        Self::configured(changes, &CONFIG)
    }

    pub fn configured(changes: &[Change], config: &Config) -> Self {
        let storage = Box::leak(Box::new(Storage256::new()));
        let nve = Mutex::new(RefCell::new(storage.nve(Seed::new(1, 2))));
        let nve: &'static _ = Box::leak(Box::new(nve));
        let (host, wire) = (Link::new(), Link::new());
        let state = Box::leak(Box::new(State::<BUFFERS>::new()));
        let memory = Box::leak(Box::new(PacketMemory::<BUFFERS, LENGTH>::new()));
        let (stack, runner) = nic::new(state, memory, nve, config, host.ring(), wire.ring());
        let mut site = Self {
            host,
            wire,
            stack,
            nve,
            now: Duration::ZERO,
            runner,
        };
        site.apply(changes);
        // The NIC says where its addresses are.
        site.run();
        site.wire.take_sent();
        site
    }

    pub fn apply(&mut self, changes: &[Change]) {
        let mut encoded = vec![0; 128 * changes.len()];
        let mut writer = TransactionWriter::new(&mut encoded);
        for change in changes {
            writer.push(change).unwrap();
        }
        let transaction = Transaction::new(writer.finish());
        self.nve
            .lock(|nve| nve.borrow_mut().policies.apply(transaction).unwrap());
    }

    /// Lets the NIC do what there is to do. It must come to rest.
    pub fn run(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..200 {
            if !self.runner.round(&mut context, self.now) {
                return;
            }
        }
        panic!("the NIC does not come to rest");
    }

    pub fn nic_counters(&self) -> NicCounters {
        *self.runner.counters()
    }

    pub fn counters<R>(&self, ask: impl FnOnce(&Counters<'_>) -> R) -> R {
        self.nve.lock(|nve| ask(nve.borrow().worker.counters()))
    }

    pub fn refused(&self, reason: DropReason) -> u64 {
        self.counters(|counters| counters.refused(reason))
    }

    /// The host sends a frame with this header in front.
    pub fn host_sends(&mut self, repr: &Repr, frame: &[u8]) {
        self.host.bring(&with_header(&self.with_vsid(*repr), frame));
        self.run();
    }

    /// A header as a host writes it that has the NIC's policy.
    pub fn with_vsid(&self, repr: Repr) -> Repr {
        let vsid = match repr.kind {
            Kind::Sent(port) => self.vsid_of(port),
            _ => None,
        };
        Repr { vsid, ..repr }
    }

    fn vsid_of(&self, port: PortId) -> Option<Vsid> {
        let port = self
            .nve
            .lock(|nve| nve.borrow().policies.live().find_port(port));
        port.and_then(|port| port.vsid)
    }

    /// A machine of the host sends a frame that is complete.
    pub fn machine_sends(&mut self, port: u32, frame: &[u8]) {
        self.host_sends(&Repr::new(Kind::Sent(PortId(port))), frame);
    }

    pub fn wire_brings(&mut self, frame: &[u8]) {
        self.wire.bring(frame);
        self.run();
    }

    /// What the host received, in its header's words, without the VSID, which is always that of the port.
    pub fn told(&mut self) -> Vec<Told> {
        let sent = self.host.take_sent();
        let told = sent.iter().map(|frame| {
            let (repr, frame) = read_header(frame);
            let vsid = match repr.kind {
                Kind::Delivered(port) => self.vsid_of(port),
                _ => None,
            };
            assert_eq!(repr.vsid, vsid, "{:?}", repr.kind);
            (Repr { vsid: None, ..repr }, frame)
        });
        told.collect()
    }

    /// The stack sends a frame.
    pub fn stack_sends(&mut self, frame: &[u8]) {
        let mut context = Context::from_waker(Waker::noop());
        let token = self.stack.transmit(&mut context).expect("room");
        token.consume(frame.len(), |room| room.copy_from_slice(frame));
        self.run();
    }

    /// What the stack received.
    pub fn stack_received(&mut self) -> Vec<Vec<u8>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut received = Vec::new();
        while let Some((token, _)) = self.stack.receive(&mut context) {
            received.push(token.consume(|frame| frame.to_vec()));
        }
        received
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let totals = self.counters(|counters| *counters.totals());
            assert!(totals.add_up(), "{totals:?}");
        }
    }
}

pub fn with_header(repr: &Repr, frame: &[u8]) -> Vec<u8> {
    let link = LinkAddresses {
        destination: NIC,
        source: HOST,
    };
    let mut front = [0; LINK_LEN];
    link.emit(repr, &mut front);
    [&front, frame].concat()
}

pub fn read_header(frame: &[u8]) -> Told {
    assert_eq!(frame[6..14], [&NIC.0[..], &[0x88, 0xb5]].concat());
    let packet = Packet::new_checked(&frame[14..]).unwrap();
    (Repr::parse(&packet).unwrap(), packet.payload().to_vec())
}

/// What a machine is delivered, complete.
pub fn delivered(port: u32, frame: Vec<u8>) -> Told {
    (Repr::new(Kind::Delivered(PortId(port))), frame)
}

pub fn exception(ingress: Ingress, reason: Option<DropReason>, frame: &[u8]) -> Told {
    let kind = Kind::Exception { ingress, reason };
    (Repr::new(kind), frame.to_vec())
}

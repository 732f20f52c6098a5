//! Counts the instructions that a frame takes on its way through the NIC.
//!
//! QEMU counts them exactly when it runs with `-icount shift=0`. The functions are those of the images: the worker's decision
//! about a batch, and a round of the NIC between rings in memory, which is everything but the driver.
#![no_std]
#![no_main]

mod link;
mod network;
mod packets;

use core::cell::RefCell;
use core::hint::black_box;
use core::task::{Context, Waker};
use core::time::Duration;

use board::reset;
use defmt::println;
use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use link::{Link, Ring};
use netvirt_core::datapath::{Frame, Ingress, Verdict};
use netvirt_core::offload::{HashTypes, IndirectionTable, NibbleTable, ToeplitzKey};
use netvirt_core::table::{Portable, Seed};
use netvirt_core::{MacAddress, PortId, UplinkId};
use netvirt_fw::header::{Kind, LINK_LEN, LinkAddresses, Repr};
use netvirt_fw::nic::{self, Config, Framing, PacketMemory, Spread, State};
use netvirt_fw::nve::SharedNve;
use netvirt_fw::nve::{BATCH, Storage256};
use packets::{Packet, WALKS, Walk, Way};
use static_cell::{ConstStaticCell, StaticCell};

board::entry!(main);

const BUFFERS: usize = 64;
type Nve = SharedNve<'static, NoopRawMutex>;
type Nic = nic::Runner<'static, NoopRawMutex, Ring, Ring>;

static PACKETS: ConstStaticCell<PacketMemory<BUFFERS, { packets::LONGEST }>> =
    ConstStaticCell::new(PacketMemory::new());
static STATE: ConstStaticCell<State<BUFFERS>> = ConstStaticCell::new(State::new());
static STORAGE: ConstStaticCell<Storage256> = ConstStaticCell::new(Storage256::new());
static NVE: StaticCell<Nve> = StaticCell::new();
static HOST: StaticCell<Link> = StaticCell::new();
static WIRE: StaticCell<Link> = StaticCell::new();

const NIC_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
const HOST_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);
static KEY: NibbleTable = NibbleTable::new(&ToeplitzKey::VERIFICATION);
const CONFIG: Config = Config {
    management: MacAddress([2, 0, 0, 0, 0, 0x10]),
    framing: Framing::Header { nic: NIC_MAC },
    uplink: UplinkId(0),
    spread: Some(Spread {
        key: &KEY,
        types: HashTypes::ALL,
        queues: match IndirectionTable::new(&[0, 1, 2, 3]) {
            Ok(queues) => queues,
            Err(_) => panic!("queues are a power of two"),
        },
    }),
    validates: false,
};

fn main(_: Spawner) {
    let mut site = Site::new();
    for walk in WALKS {
        for length in walk.lengths {
            site.measure(walk, *length);
        }
    }
    reset()
}

/// A NIC between two links.
struct Site {
    nic: Nic,
    nve: &'static Nve,
    host: &'static Link,
    wire: &'static Link,
}

impl Site {
    fn new() -> Self {
        let nve = NVE.init_with(|| Mutex::new(RefCell::new(STORAGE.take().nve(Seed::new(1, 2)))));
        nve.lock(|nve| network::describe(&mut nve.borrow_mut().policies));
        let (host, wire) = (&*HOST.init_with(Link::new), &*WIRE.init_with(Link::new));
        let (state, packets) = (STATE.take(), PACKETS.take());
        let rings = (Ring(host), Ring(wire));
        let (_, nic) = nic::new(state, packets, nve, &CONFIG, rings.0, rings.1);
        let mut site = Self {
            nic,
            nve,
            host,
            wire,
        };
        // The NIC says where its addresses are.
        site.come_to_rest();
        site
    }

    fn measure(&mut self, walk: &Walk, length: usize) {
        let sent = walk.packet(length);
        let received = match walk.way {
            Way::Out(_) => sent,
            Way::In(port) => {
                let mut answered = self.sent(&sent, port);
                answered.mirror();
                answered
            }
        };
        let decision = self.decide(&received, walk.way);
        let whole = self.carry(&received, walk, BATCH) / BATCH as u32;
        let alone = self.carry(&received, walk, 1);
        println!(
            "| {=str}, {=usize} bytes | {=u32} | {=u32} | {=u32} |",
            walk.name, length, decision, whole, alone
        );
    }

    /// What leaves when a machine sends this.
    fn sent(&mut self, packet: &Packet, port: u32) -> Packet {
        self.arrive(packet, Way::Out(port));
        self.nic.round(&mut idle(), Duration::ZERO);
        let sent = self.wire.last_sent();
        self.come_to_rest();
        sent.unwrap_or_else(|| board::fail("nothing was sent"))
    }

    /// Instructions of the decision about one frame of a batch.
    fn decide(&mut self, packet: &Packet, way: Way) -> u32 {
        let ingress = match way {
            Way::Out(port) => Ingress::Port(PortId(port)),
            Way::In(_) => Ingress::Uplink(UplinkId(0)),
        };
        let frame = Frame {
            offload: packet.offload,
            ..Frame::whole(ingress, packet.bytes())
        };
        self.nve.lock(|nve| {
            let nve = &mut *nve.borrow_mut();
            let policy = nve.policies.live();
            let mut verdicts = [Verdict::UNDECIDED; BATCH];
            let before = now();
            nve.worker.process_batch::<Portable>(
                policy,
                &[frame; BATCH],
                &mut verdicts,
                Duration::ZERO,
            );
            let taken = now() - before;
            black_box(verdicts);
            taken / BATCH as u32
        })
    }

    /// Instructions from when so many frames come in until what comes of them has left.
    fn carry(&mut self, packet: &Packet, walk: &Walk, frames: usize) -> u32 {
        for _ in 0..frames {
            self.arrive(packet, walk.way);
        }
        let (destination, origin) = match walk.way {
            Way::Out(_) => (self.wire, self.host),
            Way::In(_) => (self.host, self.wire),
        };
        let leaving = destination.sent_frames() + frames * walk.leaving;
        let before = now();
        self.nic.round(&mut idle(), Duration::ZERO);
        while destination.sent_frames() < leaving {
            self.nic.round(&mut idle(), Duration::ZERO);
        }
        let taken = now() - before;
        self.come_to_rest();
        if destination.sent_frames() != leaving || !origin.is_empty() {
            board::fail("a frame took another way");
        }
        taken
    }

    fn arrive(&self, packet: &Packet, way: Way) {
        match way {
            Way::In(_) => self.wire.bring(&[], packet),
            Way::Out(port) => {
                let addresses = LinkAddresses {
                    destination: NIC_MAC,
                    source: HOST_MAC,
                };
                let own = self.nve.lock(|nve| {
                    let nve = nve.borrow();
                    nve.policies.live().find_port(PortId(port))
                });
                let repr = Repr {
                    offload: packet.offload,
                    vsid: own.and_then(|own| own.vsid),
                    ..Repr::new(Kind::Sent(PortId(port)))
                };
                let mut front = [0; LINK_LEN];
                addresses.emit(&repr, &mut front);
                self.host.bring(&front, packet);
            }
        }
    }

    fn come_to_rest(&mut self) {
        while self.nic.round(&mut idle(), Duration::ZERO) {}
    }
}

fn idle() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Instructions since the start.
fn now() -> u32 {
    riscv::register::minstret::read() as u32
}

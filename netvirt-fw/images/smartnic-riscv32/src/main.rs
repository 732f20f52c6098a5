//! A SmartNIC: QEMU's `virt` board with a RISC-V core of 32 bits.
#![no_std]
#![no_main]

mod config;

use core::cell::RefCell;

use board::{fail, spawn};
use defmt::info;
use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources, StaticConfigV4};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_time::Timer;
use netvirt_core::table::Seed;
use netvirt_fw::download::{self, Buffers, Nonces};
use netvirt_fw::nic::{self, PacketMemory, State};
use netvirt_fw::nve::SharedNve;
use static_cell::{ConstStaticCell, StaticCell};
use virtio::net::{self, Net, SharedQueues};
use virtio::{Unusable, entropy, virt};

board::entry!(main);

type Side = Net<{ config::RING }>;
type Rings = SharedQueues<{ config::RING }>;
type Nve = SharedNve<'static, NoopRawMutex>;
type Nic = nic::Runner<'static, NoopRawMutex, Side, Side>;
type Device = nic::Device<'static>;
type StackRunner = embassy_net::Runner<'static, Device>;

static PACKETS: ConstStaticCell<PacketMemory<{ config::BUFFERS }, { config::BUFFER }>> =
    ConstStaticCell::new(PacketMemory::new());
static STATE: ConstStaticCell<State<{ config::BUFFERS }>> = ConstStaticCell::new(State::new());
static STORAGE: ConstStaticCell<config::Storage> = ConstStaticCell::new(config::Storage::new());
static HOST: ConstStaticCell<Rings> = ConstStaticCell::new(Rings::new());
static WIRE: ConstStaticCell<Rings> = ConstStaticCell::new(Rings::new());
static NVE: StaticCell<Nve> = StaticCell::new();
static NIC: StaticCell<Nic> = StaticCell::new();
static SOCKETS: StaticCell<StackResources<2>> = StaticCell::new();
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());

fn main(spawner: Spawner) {
    let Random {
        policy,
        stack: stack_seed,
        nonces,
    } = random();
    let nve = edge(policy);
    let (device, nic) = nic(nve);
    let (stack, stack_runner) = management(device, stack_seed);

    spawn(spawner, carry(nic));
    spawn(spawner, run_stack(stack_runner));
    spawn(spawner, manage(stack, nve, Nonces::new(nonces)));
    spawn(spawner, show(stack, nve));
}

// What is made in these is large, and goes where it stays: the stack shall not hold all of it at once.

#[inline(never)]
fn edge([one, other]: [u64; 2]) -> &'static Nve {
    let seed = Seed::new(one, other);
    NVE.init_with(|| Mutex::new(RefCell::new(STORAGE.take().nve(seed))))
}

#[inline(never)]
fn nic(nve: &'static Nve) -> (Device, &'static mut Nic) {
    let host = side("host", config::HOST, HOST.take());
    let wire = side("wire", config::WIRE, WIRE.take());
    let (state, packets) = (STATE.take(), PACKETS.take());
    let (device, nic) = nic::new(state, packets, nve, &config::NIC, host, wire);
    (device, NIC.init(nic))
}

#[inline(never)]
fn management(device: Device, seed: u64) -> (Stack<'static>, StackRunner) {
    let address = embassy_net::Config::ipv4_static(StaticConfigV4 {
        address: config::MANAGEMENT,
        gateway: None,
        dns_servers: Default::default(),
    });
    let sockets = SOCKETS.init_with(StackResources::new);
    embassy_net::new(device, address, sockets, seed)
}

#[embassy_executor::task]
async fn carry(nic: &'static mut Nic) -> ! {
    nic.run().await
}

#[embassy_executor::task]
async fn run_stack(mut runner: StackRunner) -> ! {
    runner.run().await
}

/// Takes policies from who has the key.
#[embassy_executor::task]
async fn manage(stack: Stack<'static>, nve: &'static Nve, nonces: Nonces) -> ! {
    download::listen(stack, BUFFERS.take(), nve, &config::KEY, nonces).await
}

/// Shows when the NIC can be reached, and which policy it has.
#[embassy_executor::task]
async fn show(stack: Stack<'static>, nve: &'static Nve) -> ! {
    stack.wait_link_up().await;
    info!("management at {}", config::MANAGEMENT);
    let mut shown = None;
    loop {
        let version = nve.lock(|nve| nve.borrow().policies.live().version());
        if shown != Some(version) {
            info!("policy version {=u64}", version);
            shown = Some(version);
        }
        Timer::after_secs(1).await;
    }
}

/// The device of one side.
fn side(name: &'static str, bus: usize, rings: &'static mut Rings) -> Side {
    let device = virt::find(bus, net::KIND);
    ready(device.and_then(|device| Net::new(device, name, rings, config::LONGEST_FRAME)))
}

/// What nobody can foresee.
struct Random {
    policy: [u64; 2],
    stack: u64,
    nonces: [u8; 32],
}

fn random() -> Random {
    let bytes = ready(virt::find(config::ENTROPY, entropy::KIND).and_then(entropy::draw));
    let (nonces, rest) = bytes.split_at(32);
    let mut words = rest
        .as_chunks()
        .0
        .iter()
        .map(|word| u64::from_ne_bytes(*word));
    let mut word = || words.next().unwrap_or_default();
    Random {
        policy: [word(), word()],
        stack: word(),
        nonces: nonces.first_chunk().copied().unwrap_or_default(),
    }
}

#[track_caller]
fn ready<T>(device: Result<T, Unusable>) -> T {
    match device {
        Ok(device) => device,
        Err(why) => fail(why.as_str()),
    }
}

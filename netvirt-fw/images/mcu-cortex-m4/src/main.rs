//! A small device that is a tenant by itself: Arm's MPS2 board with a Cortex-M4 and a LAN9118. Its network stack lives in a
//! virtual network.
#![no_std]
#![no_main]

mod config;
mod lan9118;
mod policy;

use core::cell::RefCell;

use board::{fail, interrupts, spawn};
use defmt::info;
use embassy_executor::Spawner;
use embassy_net::driver::{Driver, HardwareAddress};
use embassy_net::tcp::{Error, TcpSocket};
use embassy_net::{Config, Stack, StackResources, StaticConfigV4};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use lan9118::Lan9118;
use netvirt_core::MacAddress;
use netvirt_fw::nve::SharedNve;
use netvirt_fw::overlay::Overlay;
use static_cell::{ConstStaticCell, StaticCell};

board::entry!(main);

type Nve = SharedNve<'static, NoopRawMutex>;
type StackRunner = embassy_net::Runner<'static, Overlay<'static, NoopRawMutex, Lan9118>>;

static PACKETS: ConstStaticCell<config::Packets> = ConstStaticCell::new(config::Packets::new());
static STORAGE: ConstStaticCell<config::Storage> = ConstStaticCell::new(config::Storage::new());
static NVE: StaticCell<Nve> = StaticCell::new();
static SOCKETS: StaticCell<StackResources<2>> = StaticCell::new();
static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers {
    receive: [0; _],
    send: [0; _],
    echo: [0; _],
});

fn main(spawner: Spawner) {
    let ethernet = ethernet();
    let nve = edge(&ethernet);
    let overlay = Overlay::new(PACKETS.take(), nve, config::PORT, ethernet);

    let address = Config::ipv4_static(StaticConfigV4 {
        address: config::CUSTOMER,
        gateway: None,
        dns_servers: Default::default(),
    });
    let sockets = SOCKETS.init_with(StackResources::new);
    let (stack, runner) = embassy_net::new(overlay, address, sockets, config::STACK_SEED);

    spawn(spawner, run_stack(runner));
    spawn(spawner, echo(stack));
    spawn(spawner, show(stack, nve));
}

fn ethernet() -> Lan9118 {
    let Some(interrupt) = interrupts::enable(config::LAN9118_LINE) else {
        fail("no place for an interrupt line");
    };
    // SAFETY: here is the LAN9118 of the board, and nothing else uses it.
    match unsafe { Lan9118::new(config::LAN9118, interrupt) } {
        Ok(ethernet) => ethernet,
        Err(_) => fail("no LAN9118"),
    }
}

/// The edge of the virtual network, which is the device itself.
fn edge(ethernet: &Lan9118) -> &'static Nve {
    let HardwareAddress::Ethernet(mac) = ethernet.hardware_address() else {
        fail("no Ethernet");
    };
    let mut nve = STORAGE.take().nve(config::TABLE_SEED);
    if policy::apply(&mut nve.policies, MacAddress(mac)).is_err() {
        fail("the policy that is built in does not fit");
    }
    NVE.init_with(|| Mutex::new(RefCell::new(nve)))
}

#[embassy_executor::task]
async fn run_stack(mut runner: StackRunner) -> ! {
    runner.run().await
}

/// Bytes on their way through the echo service.
struct Buffers {
    receive: [u8; 2048],
    send: [u8; 2048],
    echo: [u8; 512],
}

/// Sends back what it receives (RFC 862), for one after the other.
#[embassy_executor::task]
async fn echo(stack: Stack<'static>) -> ! {
    let buffers = BUFFERS.take();
    loop {
        let mut socket = TcpSocket::new(stack, &mut buffers.receive, &mut buffers.send);
        socket.set_timeout(Some(config::PATIENCE));
        if socket.accept(config::ECHO).await.is_ok() {
            match send_back(&mut socket, &mut buffers.echo).await {
                Ok(bytes) => info!("{=usize} bytes sent back", bytes),
                Err(_) => info!("a connection was lost"),
            }
        }
    }
}

/// Yields how many bytes there were.
async fn send_back(socket: &mut TcpSocket<'_>, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut bytes = 0;
    loop {
        let length = socket.read(buffer).await?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        if rest.is_empty() {
            socket.close();
            socket.flush().await?;
            return Ok(bytes);
        }
        bytes += length;
        while !rest.is_empty() {
            let sent = socket.write(rest).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
    }
}

/// Shows whether the cable is in, and by which policy the device is in the virtual network.
#[embassy_executor::task]
async fn show(stack: Stack<'static>, nve: &'static Nve) -> ! {
    let version = nve.lock(|nve| nve.borrow().policies.live().version());
    info!(
        "policy version {=u64}: {} at {}",
        version,
        config::CUSTOMER,
        config::PROVIDER
    );
    loop {
        stack.wait_link_up().await;
        info!("link up");
        stack.wait_link_down().await;
        info!("link down");
    }
}

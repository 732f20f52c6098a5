//! A SmartNIC: QEMU's `virt` board with a RISC-V core of 32 bits.
#![no_std]
#![no_main]

mod config;

use core::future;
use core::task::{Context, Poll};

use board::{PacketMemory, fail, spawn};
use defmt::info;
use embassy_executor::Spawner;
use netvirt_fw::rings::{Buffer, Queue, Rings};
use static_cell::{ConstStaticCell, StaticCell};
use virtio::net::{self, Net, SharedQueues};
use virtio::{Unusable, entropy, virt};

board::entry!(main);

static PACKETS: PacketMemory<{ config::BUFFER }, { config::BUFFERS }> = PacketMemory::new();
static PLACES: StaticCell<[Option<Buffer<'static>>; config::BUFFERS]> = StaticCell::new();

type Side = Net<{ config::RING }>;

fn main(spawner: Spawner) {
    static HOST: ConstStaticCell<SharedQueues<{ config::RING }>> =
        ConstStaticCell::new(SharedQueues::new());
    static WIRE: ConstStaticCell<SharedQueues<{ config::RING }>> =
        ConstStaticCell::new(SharedQueues::new());

    let seed = ready(virt::find(config::ENTROPY, entropy::KIND).and_then(entropy::draw));
    info!("seed {=[u8]:02x}", seed);
    let host = side(config::HOST, HOST.take());
    let wire = side(config::WIRE, WIRE.take());
    spawn(spawner, forward(host, wire, pool()));
}

/// The device of one side.
fn side(bus: usize, shared: &'static mut SharedQueues<{ config::RING }>) -> Side {
    let device = virt::find(bus, net::KIND);
    ready(device.and_then(|device| Net::new(device, shared, config::LONGEST_FRAME)))
}

#[track_caller]
fn ready<T>(device: Result<T, Unusable>) -> T {
    match device {
        Ok(device) => device,
        Err(why) => fail(why.as_str()),
    }
}

fn pool() -> Queue<'static, 'static> {
    let mut pool = Queue::new(PLACES.init_with(|| [const { None }; _]));
    for memory in PACKETS.take().into_iter().flatten() {
        let _ = pool.push(Buffer::new(memory));
    }
    pool
}

#[embassy_executor::task]
async fn forward(mut host: Side, mut wire: Side, mut pool: Queue<'static, 'static>) -> ! {
    let mut up = [const { None }; config::RING];
    let mut down = [const { None }; config::RING];
    let mut up = Queue::new(&mut up);
    let mut down = Queue::new(&mut down);
    let mut was_up = [false; 2];
    future::poll_fn(move |cx| -> Poll<core::convert::Infallible> {
        let is_up = [host.is_up(cx), wire.is_up(cx)];
        if is_up != was_up {
            info!("links up: {=bool} {=bool}", is_up[0], is_up[1]);
            was_up = is_up;
        }
        let busy = pass(cx, &mut host, &mut wire, &mut up, &mut pool)
            | pass(cx, &mut wire, &mut host, &mut down, &mut pool);
        if busy {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    loop {}
}

fn pass(
    cx: &mut Context<'_>,
    from: &mut Side,
    to: &mut Side,
    frames: &mut Queue<'_, 'static>,
    pool: &mut Queue<'_, 'static>,
) -> bool {
    from.receive(cx, frames, pool);
    let busy = !frames.is_empty();
    if to.room(cx, pool) > 0 {
        to.send(frames);
    }
    busy
}

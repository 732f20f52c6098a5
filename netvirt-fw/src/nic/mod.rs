//! The offload NIC: a host hands it plain frames of its machines, and the NIC does the rest, with the very functions that the
//! host's own switch would run.
//!
//! ```text
//!        host rings ──► framing ──► decide ──► edit in place ──► checksum, segments ──► wire rings
//!        host rings ◄── framing ◄── decide, hash, queue ◄─────────────────────────────── wire rings
//!                          ▲                    │ not covered by the policy: exception
//!                          └────────────────────┘
//!        the NIC's own stack ◄──► bridge by MAC address ◄──► frames of neither tenants nor tunnels
//! ```
//!
//! The NIC owns the provider addresses of its policy: it answers for them, resolves its next hops and learns path MTUs. Frames that
//! belong to no machine and to no tunnel pass between host and wire as they are.
//!
//! From the host no more is taken than the wire has room for, so that a slow wire slows the host down instead of losing frames.
//! From the wire everything is taken: a host that does not keep up loses frames, which is counted, and the NIC can still be
//! reached.
//!
//! [`new`] takes storage and rings and gives a driver for the stack at the management address, and a [`Runner`].

mod bridge;
mod datapath;
mod finish;
mod framing;

use core::future::poll_fn;
use core::mem::MaybeUninit;
use core::task::{Context, Poll};
use core::time::Duration;

use embassy_futures::select::select;
use embassy_futures::yield_now;
use embassy_net_driver::{HardwareAddress, LinkState};
use embassy_net_driver_channel as channel;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_time::{Instant, Timer};
use netvirt_core::{MacAddress, UplinkId};

use bridge::Bridge;
use datapath::{Datapath, Sides};
use finish::Finisher;
use framing::HostLink;

use crate::news::News;
use crate::nve::{BATCH, NicCounters, Nve, SharedNve};
use crate::outbox::{Held, Outbox, Waiting};
use crate::rings::{Buffer, BufferMemory, Queue, Rings};

pub use datapath::Spread;
pub use framing::Framing;

/// Frames that wait for a side to take them.
const WAITING: usize = 4 * BATCH;
/// Next hops that are asked for at the same time.
const NEXT_HOPS: usize = 8;
/// Frames between the NIC and its own stack, each way.
const STACK_FRAMES: usize = 4;
/// Rounds before other tasks have their turn.
const ROUNDS: usize = 4;

/// Bytes of the longest frame to and from the NIC's own stack, Ethernet header included.
pub const STACK_MTU: usize = 1514;

/// The driver of the NIC's own stack, for the management address.
pub type Device<'n> = channel::Device<'n, STACK_MTU>;

/// What a NIC is told when it starts.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The MAC address of the NIC's own stack.
    pub management: MacAddress,
    /// How host and NIC tell each other which machine a frame belongs to.
    pub framing: Framing,
    /// The uplink of the policy that the wire is.
    pub uplink: UplinkId,
    /// How frames from the wire are spread over the host's queues; if none, they are not hashed.
    pub spread: Option<Spread>,
    /// Whether the transport checksum of each frame to a machine is verified, which spares the host that, and takes as long as the
    /// frame is long.
    pub validates: bool,
}

/// Packet memory: `BUFFERS` of `LENGTH` bytes each, [`Buffer::HEADROOM`] of them in front of the frame, and those between the NIC
/// and its own stack.
///
/// Both rings hold buffers to receive into; beyond those there should be some for what waits, and as many as the longest
/// super-frame has segments.
pub struct PacketMemory<const BUFFERS: usize, const LENGTH: usize> {
    buffers: [BufferMemory<[u8; LENGTH]>; BUFFERS],
    stack: channel::State<STACK_MTU, STACK_FRAMES, STACK_FRAMES>,
}

impl<const BUFFERS: usize, const LENGTH: usize> PacketMemory<BUFFERS, LENGTH> {
    /// Memory with nothing in it.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        Self {
            buffers: [const { BufferMemory::new() }; _],
            stack: channel::State::new(),
        }
    }
}

/// Places of a queue. Emptied when the NIC is made, so that a `static` of them takes no room in an image.
type Places<T, const N: usize> = MaybeUninit<[Option<T>; N]>;

/// Everything that a NIC of `BUFFERS` buffers needs but packet memory and the storage of its [`Nve`].
pub struct State<'n, const BUFFERS: usize> {
    pool: Places<Buffer<'n>, BUFFERS>,
    received: Places<Buffer<'n>, BATCH>,
    ready: Places<Buffer<'n>, BATCH>,
    to_host: Places<Buffer<'n>, WAITING>,
    to_wire: Places<Buffer<'n>, WAITING>,
    to_stack: Places<Buffer<'n>, STACK_FRAMES>,
    held: Places<Waiting<'n>, NEXT_HOPS>,
}

impl<const BUFFERS: usize> State<'_, BUFFERS> {
    /// Room for everything, with nothing in it.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        Self {
            pool: MaybeUninit::uninit(),
            received: MaybeUninit::uninit(),
            ready: MaybeUninit::uninit(),
            to_host: MaybeUninit::uninit(),
            to_wire: MaybeUninit::uninit(),
            to_stack: MaybeUninit::uninit(),
            held: MaybeUninit::uninit(),
        }
    }
}

/// Carries frames between host, wire and the NIC's own stack, for ever.
pub struct Runner<'n, M: RawMutex, H, W> {
    nve: &'n SharedNve<'n, M>,
    host: H,
    wire: W,
    datapath: Datapath<'n, 'n>,
    finisher: Finisher<'n>,
    received: Queue<'n, 'n>,
    ready: Queue<'n, 'n>,
    stack: channel::Runner<'n, STACK_MTU>,
    is_up: bool,
}

/// A NIC between two rings. Yields the driver of its own stack, and what is to be run.
pub fn new<'n, M, H, W, const BUFFERS: usize, const LENGTH: usize>(
    state: &'n mut State<'n, BUFFERS>,
    memory: &'n mut PacketMemory<BUFFERS, LENGTH>,
    nve: &'n SharedNve<'n, M>,
    config: &Config,
    host: H,
    wire: W,
) -> (Device<'n>, Runner<'n, M, H, W>)
where
    M: RawMutex,
    H: Rings<'n>,
    W: Rings<'n>,
{
    let mut pool = Queue::new(emptied(&mut state.pool));
    for buffer in &mut memory.buffers {
        // There is a place for each.
        let _ = pool.push(Buffer::new(buffer));
    }
    let address = HardwareAddress::Ethernet(config.management.0);
    let (stack, device) = channel::new(&mut memory.stack, address);
    let sides = Sides {
        link: HostLink::new(config.framing),
        spread: config.spread,
        validates: config.validates,
        to_host: Queue::new(emptied(&mut state.to_host)),
        to_wire: Queue::new(emptied(&mut state.to_wire)),
    };
    let runner = Runner {
        nve,
        host,
        wire,
        datapath: Datapath {
            outbox: Outbox::new(sides, pool, Held::new(emptied(&mut state.held))),
            to_stack: Queue::new(emptied(&mut state.to_stack)),
            bridge: Bridge::new(config.management),
            news: News::new(),
            uplink: config.uplink,
            counters: NicCounters::default(),
        },
        finisher: Finisher::default(),
        received: Queue::new(emptied(&mut state.received)),
        ready: Queue::new(emptied(&mut state.ready)),
        stack,
        is_up: false,
    };
    (device, runner)
}

impl<'n, M, H, W> Runner<'n, M, H, W>
where
    M: RawMutex,
    H: Rings<'n>,
    W: Rings<'n>,
{
    /// Carries frames. Never ends.
    pub async fn run(&mut self) -> ! {
        let started = Instant::now();
        loop {
            let due = self.due().map(|due| at(started, due));
            let carried = poll_fn(|context| self.carry(context, started));
            match due {
                None => carried.await,
                Some(due) => {
                    select(carried, Timer::at(due)).await;
                }
            }
            yield_now().await;
        }
    }

    /// What the NIC itself counted.
    pub const fn counters(&self) -> &NicCounters {
        &self.datapath.counters
    }

    /// Carries what there is to be carried. Pending if there was nothing.
    fn carry(&mut self, context: &mut Context<'_>, started: Instant) -> Poll<()> {
        for done in 0..ROUNDS {
            let now = Instant::now().saturating_duration_since(started);
            let now = Duration::from_micros(now.as_micros());
            if !self.round(context, now) {
                return match done {
                    0 => Poll::Pending,
                    _ => Poll::Ready(()),
                };
            }
        }
        Poll::Ready(())
    }

    /// Takes a batch from each side and sends what came of it. Yields whether there was anything. `now` is the time since any
    /// moment that stays the same. [`run`](Self::run) calls it again and again; firmware with a loop of its own may, too.
    pub fn round(&mut self, context: &mut Context<'_>, now: Duration) -> bool {
        self.tell_link(context);
        let sent = self.send(context);
        let taken = self.nve.lock(|nve| {
            let Ok(nve) = &mut nve.try_borrow_mut() else {
                return false;
            };
            self.see_to_time(nve, now);
            let more = self.datapath.news.announce(nve, &mut self.datapath.outbox);
            let taken =
                self.take_from_host(context, nve, now) | self.take_from_wire(context, nve, now);
            nve.nic = self.datapath.counters;
            taken | more
        });
        let exchanged = self.exchange_with_stack(context);
        self.send(context) | sent | taken | exchanged
    }

    /// When something is to be done although nothing comes.
    fn due(&self) -> Option<Duration> {
        let held = self.datapath.outbox.held.due();
        let news = self.datapath.news.due();
        held.into_iter().chain(news).min()
    }

    fn see_to_time(&mut self, nve: &mut Nve<'_>, now: Duration) {
        let Datapath { outbox, news, .. } = &mut self.datapath;
        if outbox.held.due().is_some_and(|due| due <= now) {
            outbox.look_at_held(nve.worker.counters_mut(), now);
        }
        if news.due().is_some_and(|due| due <= now) {
            news.see_to_time(nve, outbox, now);
        }
    }

    fn take_from_host(
        &mut self,
        context: &mut Context<'_>,
        nve: &mut Nve<'_>,
        now: Duration,
    ) -> bool {
        let sides = &self.datapath.outbox.exits;
        if sides.to_wire.room() < 2 * BATCH {
            return false;
        }
        let pool = &mut self.datapath.outbox.pool;
        self.host.receive(context, &mut self.received, pool);
        let has_frames = !self.received.is_empty();
        if has_frames {
            self.datapath.take_from_host(nve, &mut self.received, now);
        }
        has_frames
    }

    fn take_from_wire(
        &mut self,
        context: &mut Context<'_>,
        nve: &mut Nve<'_>,
        now: Duration,
    ) -> bool {
        let pool = &mut self.datapath.outbox.pool;
        self.wire.receive(context, &mut self.received, pool);
        let has_frames = !self.received.is_empty();
        if has_frames {
            self.datapath.take_from_wire(nve, &mut self.received, now);
        }
        has_frames
    }

    /// Sends what is ready. Yields whether anything left.
    fn send(&mut self, context: &mut Context<'_>) -> bool {
        let outbox = &mut self.datapath.outbox;
        let (sides, pool) = (&mut outbox.exits, &mut outbox.pool);
        let mut has_sent = false;
        if self.host.room(context, pool) > 0 && !sides.to_host.is_empty() {
            self.host.send(&mut sides.to_host);
            has_sent = true;
        }
        if self.wire.room(context, pool) > 0 {
            let capabilities = self.wire.capabilities();
            let unfinished =
                self.finisher
                    .finish(&mut sides.to_wire, &mut self.ready, pool, capabilities);
            let counted = &mut self.datapath.counters.unfinished;
            *counted = counted.wrapping_add(unfinished.into());
            if !self.ready.is_empty() {
                self.wire.send(&mut self.ready);
                has_sent = true;
            }
        }
        has_sent
    }

    /// Gives the NIC's own stack its frames and takes those that it sends. Yields whether there were any.
    fn exchange_with_stack(&mut self, context: &mut Context<'_>) -> bool {
        let mut has_frames = false;
        while !self.datapath.to_stack.is_empty() {
            let Poll::Ready(place) = self.stack.poll_rx_buf(context) else {
                break;
            };
            let Some(buffer) = self.datapath.to_stack.pop() else {
                break;
            };
            let frame = buffer.frame();
            if let Some(place) = place.get_mut(..frame.len()) {
                place.copy_from_slice(frame);
                self.stack.rx_done(frame.len());
            } else {
                let lost = &mut self.datapath.counters.lost;
                *lost = lost.wrapping_add(1);
            }
            self.datapath.outbox.spare(buffer);
            has_frames = true;
        }
        while let Poll::Ready(frame) = self.stack.poll_tx_buf(context) {
            let Some(mut buffer) = self.datapath.outbox.pool.pop() else {
                break;
            };
            match buffer.fill(frame) {
                Ok(()) => self.datapath.take_from_stack(buffer),
                Err(_) => self.datapath.outbox.spare(buffer),
            }
            self.stack.tx_done();
            has_frames = true;
        }
        has_frames
    }

    /// The stack can be reached as long as any side can.
    fn tell_link(&mut self, context: &mut Context<'_>) {
        let is_up = self.host.is_up(context) | self.wire.is_up(context);
        if is_up == self.is_up {
            return;
        }
        self.is_up = is_up;
        let state = match is_up {
            true => LinkState::Up,
            false => LinkState::Down,
        };
        self.stack.set_link_state(state);
    }
}

fn emptied<T, const N: usize>(places: &mut Places<T, N>) -> &mut [Option<T>] {
    places.write([const { None }; _])
}

fn at(started: Instant, since: Duration) -> Instant {
    let since = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let at = started.checked_add(embassy_time::Duration::from_micros(since));
    at.unwrap_or(Instant::MAX)
}

//! The overlay port: a driver around a driver, so that a network stack lives inside a virtual network and a small device is a
//! tenant by itself.
//!
//! ```text
//!   stack ──► buffer ──► decide ──► edit in place ──► underlay      a frame, its fragments, or a question for its next hop
//!     ▲                    │  ▲
//!     └──── buffer ◄───────┘  └─────────────────────── underlay      a packet of the tunnel, or an answer to it
//! ```
//!
//! The stack is behind one port of the policy of an [`Nve`](crate::nve::Nve). What it sends is decided as that of any virtual
//! machine: encapsulated or rewritten, answered for the network (ARP, neighbour discovery, ICMP errors), cut, held until the
//! next hop is known, or refused. What the underlay brings is decided as on any host, and the device answers for its provider
//! addresses. Everything is counted by the edge.
//!
//! Nothing runs beside the stack: frames move when the stack asks for them. Frames of the underlay that are neither the
//! stack's nor about provider addresses are counted as punted and thrown away.
//!
//! A frame is copied once between the underlay's driver and a buffer; the stack reads and writes in the buffer.
//!
//! # What is lost, and where it is counted
//!
//! - While the underlay takes no frame, the stack can send none, and frames from the underlay stay in its driver: nothing is
//!   lost here.
//! - What a frame becomes may find no buffer (an answer, a copy, fragments), be longer than the underlay carries, or wait in vain
//!   for its next hop: the edge counts it as [`PortFull`], [`NeighbourQueueFull`] or [`NeighbourTimeout`].
//! - A frame of the underlay that is longer than a buffer is counted in [`Overlay::lost`] alone.
//!
//! # Example
//! ```
//! use core::cell::RefCell;
//!
//! use embassy_net_driver::Driver;
//! use embassy_sync::blocking_mutex::raw::RawMutex;
//! use netvirt_core::{MacAddress, PortId, UplinkId};
//! use netvirt_fw::nve::SharedNve;
//! use netvirt_fw::overlay::{self, Overlay};
//!
//! /// Eight frames of up to 1,514 bytes. Firmware keeps it in a StaticCell.
//! type State = overlay::State<'static, 1642, 8>;
//!
//! /// What it yields is given to `embassy_net::new`.
//! fn inside<M: RawMutex, U: Driver>(
//!     state: &'static mut State,
//!     nve: &'static SharedNve<'static, M>,
//!     ethernet: U,
//! ) -> Overlay<'static, M, U> {
//!     let port = overlay::Port {
//!         port: PortId(0),
//!         mac: MacAddress([0x06, 0, 0, 0, 0, 0x05]),
//!         uplink: UplinkId(0),
//!     };
//!     Overlay::new(state, nve, port, ethernet)
//! }
//! ```
//!
//! [`PortFull`]: netvirt_core::datapath::DropReason::PortFull
//! [`NeighbourQueueFull`]: netvirt_core::datapath::DropReason::NeighbourQueueFull
//! [`NeighbourTimeout`]: netvirt_core::datapath::DropReason::NeighbourTimeout

mod clock;
mod engine;

use core::mem::MaybeUninit;
use core::task::Context;

use embassy_net_driver::{
    Capabilities, ChecksumCapabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken,
};
use embassy_sync::blocking_mutex::raw::RawMutex;
use netvirt_core::{MacAddress, PortId, UplinkId};

use engine::{Engine, Ways};

pub use clock::{Clock, SystemClock};

use crate::driver::{DriverRings, Lost};
use crate::nve::SharedNve;
use crate::outbox::{Held, Outbox, Waiting};
use crate::rings::{Buffer, BufferMemory, Queue};

/// Next hops that are asked for at the same time.
const NEXT_HOPS: usize = 4;

/// Where the stack is in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// The port that the stack is behind.
    pub port: PortId,
    /// The MAC address of that port.
    pub mac: MacAddress,
    /// The uplink that the wrapped driver is.
    pub uplink: UplinkId,
}

/// The buffers of an overlay port: `FRAMES` of `LENGTH` bytes each, [`Buffer::HEADROOM`] of them in front of the frame.
///
/// A buffer should hold the longest frame of the underlay: 1,642 bytes for Ethernet. Eight buffers are enough for one packet after
/// the other, fragments and answers included; fewer than four do not compile. A quarter of them takes what waits for a next
/// hop, and another what the stack has not taken yet.
pub struct State<'d, const LENGTH: usize, const FRAMES: usize> {
    memory: [BufferMemory<[u8; LENGTH]>; FRAMES],
    /// Written when the port is made. An empty place is not all zero bytes, so that a `static` of it would take room in an image.
    places: MaybeUninit<Places<'d, FRAMES>>,
}

/// Where buffers are.
struct Places<'d, const FRAMES: usize> {
    pool: [Option<Buffer<'d>>; FRAMES],
    arrived: [Option<Buffer<'d>>; 1],
    to_stack: [Option<Buffer<'d>>; FRAMES],
    to_underlay: [Option<Buffer<'d>>; FRAMES],
    sent: [Option<Buffer<'d>>; FRAMES],
    held: [Option<Waiting<'d>>; NEXT_HOPS],
}

impl<const FRAMES: usize> Places<'_, FRAMES> {
    const EMPTY: Self = Self {
        pool: [const { None }; _],
        arrived: [const { None }; _],
        to_stack: [const { None }; _],
        to_underlay: [const { None }; _],
        sent: [const { None }; _],
        held: [const { None }; _],
    };
}

impl<const LENGTH: usize, const FRAMES: usize> State<'_, LENGTH, FRAMES> {
    /// Room for everything, with nothing in it.
    #[expect(
        clippy::new_without_default,
        reason = "it is too large to be made at run time"
    )]
    pub const fn new() -> Self {
        const {
            assert!(
                FRAMES >= 4,
                "one buffer each to send, to receive, to wait and for the stack"
            );
        };
        Self {
            memory: [const { BufferMemory::new() }; _],
            places: MaybeUninit::uninit(),
        }
    }
}

/// A driver whose frames travel through the virtual network, over another driver.
pub struct Overlay<'d, M: RawMutex, U, C = SystemClock> {
    engine: Engine<'d, M, DriverRings<'d, 'd, U>, C>,
    inbox: Inbox<'d>,
    mac: MacAddress,
    /// Bytes of the longest frame in a buffer.
    longest_in_buffer: usize,
}

/// The frame that the stack is to receive next. It stays here until the stack has seen it.
#[derive(Debug, Default)]
struct Inbox<'d> {
    frame: Option<Buffer<'d>>,
    is_read: bool,
}

impl<'d, M: RawMutex, U: Driver> Overlay<'d, M, U> {
    /// A stack's driver over `underlay`. The policy of `nve` may be downloaded later; until then all frames are refused.
    pub fn new<const LENGTH: usize, const FRAMES: usize>(
        state: &'d mut State<'d, LENGTH, FRAMES>,
        nve: &'d SharedNve<'d, M>,
        port: Port,
        underlay: U,
    ) -> Self {
        Self::with_clock(state, nve, port, underlay, SystemClock)
    }
}

impl<'d, M: RawMutex, U: Driver, C: Clock> Overlay<'d, M, U, C> {
    /// The same, with the time from elsewhere.
    pub fn with_clock<const LENGTH: usize, const FRAMES: usize>(
        state: &'d mut State<'d, LENGTH, FRAMES>,
        nve: &'d SharedNve<'d, M>,
        port: Port,
        underlay: U,
        clock: C,
    ) -> Self {
        let places = state.places.write(Places::EMPTY);
        let mut pool = Queue::new(&mut places.pool);
        for memory in &mut state.memory {
            // There is a place for each.
            let _ = pool.push(Buffer::new(memory));
        }
        let underlay = DriverRings::new(underlay, &mut places.sent);
        let to_stack = places.to_stack.get_mut(..FRAMES / 4).unwrap_or_default();
        let ways = Ways {
            port: port.port,
            uplink: port.uplink,
            to_stack: Queue::new(to_stack),
            to_underlay: Queue::new(&mut places.to_underlay),
            longest_frame: underlay.driver().capabilities().max_transmission_unit,
        };
        let outbox = Outbox::new(ways, pool, Held::new(&mut places.held));
        Self {
            engine: Engine::new(
                nve,
                underlay,
                clock,
                outbox,
                Queue::new(&mut places.arrived),
            ),
            inbox: Inbox::default(),
            mac: port.mac,
            longest_in_buffer: LENGTH.saturating_sub(Buffer::HEADROOM),
        }
    }

    /// Frames that the edge has not seen.
    pub const fn lost(&self) -> Lost {
        self.engine.underlay.lost()
    }

    /// Gives the buffer of a frame back that the stack has seen.
    fn tidy(&mut self) {
        if core::mem::take(&mut self.inbox.is_read)
            && let Some(buffer) = self.inbox.frame.take()
        {
            self.engine.spare(buffer);
        }
    }
}

impl<'d, M: RawMutex, U: Driver, C: Clock> Driver for Overlay<'d, M, U, C> {
    type RxToken<'a>
        = Received<'a, 'd>
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a, 'd, M, U, C>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.tidy();
        let is_ready = self.engine.attend(cx);
        if self.inbox.frame.is_none() && is_ready {
            self.inbox.frame = self.engine.receive(cx);
        }
        let is_given = self.inbox.frame.is_some() && self.engine.can_send();
        is_given.then_some((Received(&mut self.inbox), Sender(&mut self.engine)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.tidy();
        self.engine.attend(cx);
        let is_given = self.engine.can_send();
        is_given.then_some(Sender(&mut self.engine))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        match self.engine.is_up(cx) {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    /// The longest frame is what fits through a tunnel from each of the provider addresses in the policy, as it is at the time;
    /// without any, through any tunnel. It is never longer than a buffer.
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.engine.underlay.driver().capabilities();
        let through_tunnels = self.engine.longest_frame();
        capabilities.max_transmission_unit = through_tunnels.min(self.longest_in_buffer);
        // What the underlay computes and verifies is in the outer packet.
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac.0)
    }
}

/// A frame for the stack. Not consumed, it is received again.
pub struct Received<'a, 'd>(&'a mut Inbox<'d>);

impl RxToken for Received<'_, '_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        self.0.is_read = true;
        f(match &mut self.0.frame {
            Some(buffer) => buffer.frame_mut(),
            None => &mut [],
        })
    }
}

/// Leave to send one frame of the stack.
pub struct Sender<'a, 'd, M: RawMutex, U, C>(&'a mut Engine<'d, M, DriverRings<'d, 'd, U>, C>);

impl<M: RawMutex, U: Driver, C: Clock> TxToken for Sender<'_, '_, M, U, C> {
    /// A frame longer than a buffer, and so longer than the stack was told, gets no room at all.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let engine = self.0;
        let Some(mut buffer) = engine.empty_buffer(length) else {
            return f(&mut []);
        };
        let result = f(buffer.frame_mut());
        engine.send(buffer);
        result
    }
}

//! What the overlay port does with frames.

use core::task::{Context, Waker};

use embassy_sync::blocking_mutex::raw::RawMutex;
use netvirt_core::datapath::{Frame, Ingress};
use netvirt_core::edit::HEADROOM;
use netvirt_core::policy::{HostAddress, Port};
use netvirt_core::{PortId, UplinkId};

use super::clock::Clock;
use crate::news::News;
use crate::nve::{LastDrop, Nve, SharedNve};
use crate::outbox::{Decided, Exits, Outbox};
use crate::rings::{Buffer, Queue, Rings};

/// Frames of the underlay that are looked at before others have their turn.
const AT_ONCE: usize = 16;

/// Bytes of an untagged Ethernet header and of a tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;
/// Bytes of GRE with a key.
const GRE: usize = 8;

/// The ways out of the datapath.
#[derive(Debug)]
pub(super) struct Ways<'d> {
    pub port: PortId,
    pub uplink: UplinkId,
    pub to_stack: Queue<'d, 'd>,
    pub to_underlay: Queue<'d, 'd>,
    /// Of the underlay.
    pub longest_frame: usize,
}

impl<'d> Exits<'d> for Ways<'d> {
    fn deliver(&mut self, port: &Port, frame: Buffer<'d>) -> Result<(), Buffer<'d>> {
        match port.port == self.port {
            true => self.to_stack.push(frame),
            false => Err(frame),
        }
    }

    fn transmit(&mut self, uplink: UplinkId, frame: Buffer<'d>) -> Result<(), Buffer<'d>> {
        match uplink == self.uplink && frame.frame().len() <= self.longest_frame {
            true => self.to_underlay.push(frame),
            false => Err(frame),
        }
    }
}

/// Between a stack and the rings of the underlay.
pub(super) struct Engine<'d, M: RawMutex, R, C> {
    nve: &'d SharedNve<'d, M>,
    pub underlay: R,
    clock: C,
    outbox: Outbox<'d, 'd, Ways<'d>>,
    /// The frame of the underlay that comes next.
    arrived: Queue<'d, 'd>,
    news: News,
    /// The stack's.
    waker: Option<Waker>,
    is_underlay_ready: bool,
}

impl<'d, M: RawMutex, R: Rings<'d>, C: Clock> Engine<'d, M, R, C> {
    pub const fn new(
        nve: &'d SharedNve<'d, M>,
        underlay: R,
        clock: C,
        outbox: Outbox<'d, 'd, Ways<'d>>,
        arrived: Queue<'d, 'd>,
    ) -> Self {
        Self {
            nve,
            underlay,
            clock,
            outbox,
            arrived,
            news: News::new(),
            waker: None,
            is_underlay_ready: false,
        }
    }

    /// Does what is due by now, and sends what waits to be sent. Yields whether the underlay takes more; if not, the stack is woken
    /// when it does.
    pub fn attend(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let now = self.clock.now();
        let (outbox, news) = (&mut self.outbox, &mut self.news);
        let is_more_to_say = with(self.nve, |nve| {
            outbox.look_at_held(nve.worker.counters_mut(), now);
            news.see_to_time(nve, outbox, now);
            news.announce(nve, outbox)
        });
        if is_more_to_say == Some(true) {
            cx.waker().wake_by_ref();
        }
        self.arm();
        self.flush(cx)
    }

    /// The next frame for the stack. If there is none, the stack is woken when there is.
    pub fn receive(&mut self, cx: &mut Context<'_>) -> Option<Buffer<'d>> {
        for _ in 0..AT_ONCE {
            // What is caused by one frame has left before the next is taken.
            if !self.flush(cx) {
                return None;
            }
            if let Some(frame) = self.outbox.exits.to_stack.pop() {
                return Some(frame);
            }
            self.underlay
                .receive(cx, &mut self.arrived, &mut self.outbox.pool);
            let frame = self.arrived.pop()?;
            self.take(Ingress::Uplink(self.outbox.exits.uplink), frame);
        }
        cx.waker().wake_by_ref();
        None
    }

    /// Whether there is a buffer for a frame of the stack, and the underlay has taken all that was sent before.
    pub const fn can_send(&self) -> bool {
        self.is_underlay_ready && !self.outbox.pool.is_empty()
    }

    /// A buffer for a frame of this length; none if there is none of that size.
    pub fn empty_buffer(&mut self, length: usize) -> Option<Buffer<'d>> {
        let mut buffer = self.outbox.pool.pop()?;
        match buffer.received(length) {
            Ok(()) => Some(buffer),
            Err(_) => {
                self.outbox.spare(buffer);
                None
            }
        }
    }

    /// Sends a frame of the stack.
    pub fn send(&mut self, frame: Buffer<'d>) {
        self.take(Ingress::Port(self.outbox.exits.port), frame);
        let Some(waker) = self.waker.take() else {
            return;
        };
        self.flush(&mut Context::from_waker(&waker));
        // It may have been answered. Nobody looks for that before the stack is woken.
        if !self.outbox.exits.to_stack.is_empty() {
            waker.wake_by_ref();
        }
        self.waker = Some(waker);
    }

    pub fn spare(&mut self, buffer: Buffer<'d>) {
        self.outbox.spare(buffer);
    }

    pub fn is_up(&mut self, cx: &mut Context<'_>) -> bool {
        self.underlay.is_up(cx)
    }

    /// Bytes of the longest frame that fits through every tunnel of the policy.
    pub fn longest_frame(&self) -> usize {
        let underlay = self.underlay.longest_frame();
        let through_any = underlay.saturating_sub(HEADROOM - ETHERNET);
        with(self.nve, |nve| {
            let own = nve.policies.live().provider_addresses();
            own.map(|own| longest_through(own, underlay)).min()
        })
        .flatten()
        .unwrap_or(through_any)
    }

    /// Decides a frame and does what was decided.
    fn take(&mut self, ingress: Ingress, buffer: Buffer<'d>) {
        let now = self.clock.now();
        let (outbox, news) = (&mut self.outbox, &mut self.news);
        with(self.nve, |nve| {
            let policy = nve.policies.live();
            let frame = Frame::whole(ingress, buffer.frame());
            let verdict = nve.worker.process(policy, &frame, now);
            if let Some(drop) = LastDrop::of(&frame, &verdict) {
                nve.last_drops.note(drop);
            }
            let decided = Decided {
                ingress,
                buffer,
                verdict: &verdict,
            };
            let counters = nve.worker.counters_mut();
            if let Some((punt, buffer)) = outbox.carry_out(policy, decided, counters, now) {
                outbox.spare(buffer);
                news.hear(&punt, nve, outbox, now);
            }
        });
        self.arm();
    }

    /// Has the stack woken for what is due even if no frame arrives.
    fn arm(&self) {
        let due = [self.outbox.held.due(), self.news.due()];
        if let Some(due) = due.into_iter().flatten().min()
            && let Some(waker) = &self.waker
        {
            self.clock.wake_at(due, waker);
        }
    }

    /// Sends what waits to be sent. Yields whether the underlay takes more.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let to_underlay = &mut self.outbox.exits.to_underlay;
        loop {
            let room = self.underlay.room(cx, &mut self.outbox.pool);
            self.is_underlay_ready = room > 0 && to_underlay.is_empty();
            if room == 0 || to_underlay.is_empty() {
                return self.is_underlay_ready;
            }
            self.underlay.send(to_underlay);
        }
    }
}

/// Locks the edge. Nobody asks for it while it is locked, so there is always something.
fn with<'d, M: RawMutex, T>(
    nve: &SharedNve<'d, M>,
    what: impl FnOnce(&mut Nve<'d>) -> T,
) -> Option<T> {
    nve.lock(|nve| Some(what(&mut *nve.try_borrow_mut().ok()?)))
}

/// Bytes of the longest frame in a tunnel from this address, over an underlay whose longest frame has so many bytes.
fn longest_through(own: &HostAddress, underlay: usize) -> usize {
    let link = if own.vlan.is_some() {
        ETHERNET + TAG
    } else {
        ETHERNET
    };
    let packet = underlay.saturating_sub(link).min(own.mtu.into());
    let ip = if own.address.get().is_ipv4() { 20 } else { 40 };
    packet.saturating_sub(ip + GRE)
}

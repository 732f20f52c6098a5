//! One device: an overlay port over a driver in memory, with a clock that the test sets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use embassy_net_driver::{Driver, RxToken, TxToken};
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use netvirt_core::counters::{Event, Totals};
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::{Change, Policies};
use netvirt_core::{PortId, UplinkId};
use netvirt_fw::nve::{LastDrops, NicCounters, Nve, SharedNve};
use netvirt_fw::overlay::{Clock, Overlay, Port, State};

use crate::support::hosts::worker_of_size;
use crate::support::network::Network;
use crate::support::{Capacities, apply};
use crate::wire::MemoryDriver;

/// Bytes of the longest frame of the underlay.
pub const LONGEST: usize = 1622;
const LENGTH: usize = 128 + LONGEST;
const FRAMES: usize = 8;

/// A clock that stands still until the test sets it.
#[derive(Debug, Clone, Default)]
pub struct TestClock {
    now: Rc<Cell<Duration>>,
    due: Rc<Cell<Option<Duration>>>,
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.now.get()
    }

    fn wake_at(&self, due: Duration, _: &Waker) {
        self.due.set(Some(due));
    }
}

/// Counts how often it was woken.
#[derive(Default)]
pub struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Device {
    pub overlay: Overlay<'static, NoopRawMutex, MemoryDriver, TestClock>,
    pub underlay: MemoryDriver,
    nve: &'static SharedNve<'static, NoopRawMutex>,
    clock: TestClock,
    alarm: Arc<Alarm>,
}

/// An edge that is never given back.
pub fn shared(policies: Policies<'static>) -> &'static SharedNve<'static, NoopRawMutex> {
    let nve = Nve {
        policies,
        worker: worker_of_size(),
        last_drops: LastDrops::NONE,
        nic: NicCounters::default(),
    };
    Box::leak(Box::new(Mutex::new(RefCell::new(nve))))
}

/// Where a machine of the network is.
pub fn port_of(network: &Network, machine: &str) -> Port {
    let machine = network.machine(machine);
    Port {
        port: PortId(machine.port),
        mac: machine.mac,
        uplink: UplinkId(0),
    }
}

impl Device {
    /// A device that is this machine.
    pub fn new(network: &Network, machine: &str) -> Self {
        let host = network.machine(machine).host;
        let mut device = Self::without_policy(port_of(network, machine));
        device.apply(&network.changes(host));
        // It says which addresses it has.
        device.poll();
        device.underlay.sent();
        device.woken();
        device
    }

    pub fn without_policy(port: Port) -> Self {
        let underlay = MemoryDriver::new(LONGEST, 8);
        let nve = shared(Capacities::ROOMY.policies());
        let state = Box::leak(Box::new(State::<LENGTH, FRAMES>::new()));
        let clock = TestClock::default();
        clock.now.set(Duration::from_secs(1000));
        Self {
            overlay: Overlay::with_clock(state, nve, port, underlay.clone(), clock.clone()),
            underlay,
            nve,
            clock,
            alarm: Arc::default(),
        }
    }

    pub fn apply(&mut self, changes: &[Change]) {
        self.with_nve(|nve| apply(&mut nve.policies, changes))
            .unwrap_or_else(|refused| panic!("{refused}"));
    }

    pub fn with_nve<R>(&self, what: impl FnOnce(&mut Nve<'static>) -> R) -> R {
        self.nve.lock(|nve| what(&mut nve.borrow_mut()))
    }

    pub fn polled<R>(
        &mut self,
        what: impl FnOnce(
            &mut Overlay<'static, NoopRawMutex, MemoryDriver, TestClock>,
            &mut Context<'_>,
        ) -> R,
    ) -> R {
        let waker = Waker::from(self.alarm.clone());
        what(&mut self.overlay, &mut Context::from_waker(&waker))
    }

    /// The stack looks after its driver, without anything to send, as often as it is asked to.
    pub fn poll(&mut self) {
        loop {
            self.woken();
            self.polled(|overlay, cx| {
                let _ = overlay.transmit(cx);
            });
            if self.woken() == 0 {
                return;
            }
        }
    }

    /// The stack sends a frame. Yields whether it could.
    pub fn try_send(&mut self, frame: &[u8]) -> bool {
        self.polled(|overlay, cx| {
            let token = overlay.transmit(cx);
            token
                .map(|token| token.consume(frame.len(), |room| room.copy_from_slice(frame)))
                .is_some()
        })
    }

    /// The stack sends a frame. Yields what the underlay carries because of it.
    #[track_caller]
    pub fn send(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        assert!(self.try_send(frame), "the port takes no frame");
        self.underlay.sent()
    }

    /// The stack receives a frame.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        self.polled(|overlay, cx| {
            let (token, _) = overlay.receive(cx)?;
            Some(token.consume(|frame| frame.to_vec()))
        })
    }

    /// The underlay brings a frame. Yields what the stack receives because of it, all of it.
    pub fn arrive(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        self.underlay.arrive(frame);
        std::iter::from_fn(|| self.receive()).collect()
    }

    pub fn pass(&mut self, time: Duration) {
        self.clock.now.set(self.clock.now.get() + time);
    }

    /// In how long the port wants to be woken, as it said since this was asked before.
    pub fn due(&self) -> Option<Duration> {
        let due = self.clock.due.take();
        due.map(|due| due - self.clock.now.get())
    }

    pub fn woken(&self) -> usize {
        self.alarm.0.swap(0, Ordering::Relaxed)
    }

    pub fn totals(&self) -> Totals {
        self.with_nve(|nve| *nve.worker.counters().totals())
    }

    pub fn refused(&self, reason: DropReason) -> u64 {
        self.with_nve(|nve| nve.worker.counters().refused(reason))
    }

    pub fn event(&self, event: Event) -> u64 {
        self.with_nve(|nve| nve.worker.counters().event(event))
    }
}

impl Drop for Device {
    /// Every frame was counted once.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let totals = self.totals();
            assert!(totals.add_up(), "{totals:?}");
            let refused: u64 = DropReason::ALL
                .iter()
                .map(|reason| self.refused(*reason))
                .sum();
            assert_eq!(refused, totals.dropped + self.event(Event::ErrorSent));
        }
    }
}

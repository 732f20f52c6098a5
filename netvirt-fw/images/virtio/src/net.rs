//! A network device (§5.1) as the rings of a NIC.

use core::task::Context;

use board::interrupts;
use defmt::info;
use embassy_sync::waitqueue::AtomicWaker;
use netvirt_fw::rings::{self, Buffer, Rings};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, InterruptStatus, Transport};

use crate::queue::{Lent, Queue, Shared};
use crate::{Device, Unusable};

/// The kind of the device.
pub const KIND: DeviceType = DeviceType::Network;

const HAS_MTU: u64 = 1 << 3;
const HAS_MAC: u64 = 1 << 5;
const HAS_STATUS: u64 = 1 << 16;

/// Where the configuration has what.
const MAC: usize = 0;
const STATUS: usize = 6;
const MTU: usize = 10;

const LINK_IS_UP: u16 = 1;
const ETHERNET_HEADER: usize = 14;

/// Bytes of the header in front of each frame. No work is left to the device, so that it is zero in what is sent, and what
/// is received says nothing.
const HEADER: usize = 12;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;

/// What a network device with two queues of `N` buffers shares with its driver.
#[derive(Debug)]
pub struct SharedQueues<const N: usize> {
    receive: Shared<N>,
    transmit: Shared<N>,
}

impl<const N: usize> SharedQueues<N> {
    /// Queues in which nothing was put yet.
    #[expect(clippy::new_without_default, reason = "it is to lie where it is made")]
    pub const fn new() -> Self {
        Self {
            receive: Shared::new(),
            transmit: Shared::new(),
        }
    }
}

/// A network device with two queues of `N` buffers.
pub struct Net<const N: usize> {
    transport: MmioTransport<'static>,
    receive: Queue<N>,
    transmit: Queue<N>,
    interrupt: &'static AtomicWaker,
    name: &'static str,
    longest_frame: usize,
    has_status: bool,
    is_up: bool,
}

impl<const N: usize> Net<N> {
    /// Begins to use a device, which the log calls by this name. Its link carries frames of `longest_frame` bytes, unless the device itself knows better.
    ///
    /// # Errors
    /// Why the device cannot be used.
    pub fn new(
        mut device: Device,
        name: &'static str,
        shared: &'static mut SharedQueues<N>,
        longest_frame: usize,
    ) -> Result<Self, Unusable> {
        let features = device.begin(HAS_MAC | HAS_STATUS | HAS_MTU)?;
        if features & HAS_MAC == 0 {
            return Err(Unusable::Configuration);
        }
        let Device {
            mut transport,
            line,
        } = device;
        let mac: [u8; 6] = transport.read_config_space(MAC)?;
        let longest_frame = match features & HAS_MTU {
            0 => longest_frame,
            _ => {
                let mtu: u16 = transport.read_config_space(MTU)?;
                usize::from(mtu).saturating_add(ETHERNET_HEADER)
            }
        };
        let receive = Queue::new(&mut transport, RECEIVE, &mut shared.receive)?;
        let transmit = Queue::new(&mut transport, TRANSMIT, &mut shared.transmit)?;
        transport.finish_init();
        let mut net = Self {
            transport,
            receive,
            transmit,
            interrupt: interrupts::enable(line).ok_or(Unusable::Line)?,
            name,
            longest_frame,
            has_status: features & HAS_STATUS != 0,
            is_up: true,
        };
        info!("{=str}: {=[u8; 6]:02x}", name, mac);
        net.read_status();
        net.tell_link();
        Ok(net)
    }

    /// Quiets the line, and says whether a queue had raised it. Whoever waits for the link is woken if it has changed.
    fn acknowledge(&mut self, cx: &mut Context<'_>) -> bool {
        let raised = self.transport.ack_interrupt();
        if raised.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT) {
            let was_up = self.is_up;
            self.read_status();
            if self.is_up != was_up {
                self.tell_link();
                cx.waker().wake_by_ref();
            }
        }
        raised.contains(InterruptStatus::QUEUE_INTERRUPT)
    }

    fn read_status(&mut self) {
        if self.has_status {
            let status: u16 = self.transport.read_config_space(STATUS).unwrap_or(0);
            self.is_up = status & LINK_IS_UP != 0;
        }
    }

    fn tell_link(&self) {
        match self.is_up {
            true => info!("{=str}: link up", self.name),
            false => info!("{=str}: link down", self.name),
        }
    }

    fn take_frames(&mut self, frames: &mut rings::Queue<'_, 'static>) -> bool {
        let mut is_any = false;
        while frames.room() > 0
            && let Some((mut buffer, written)) = self.receive.take_back()
        {
            // A device that says it wrote more than it was lent leaves an empty frame.
            let _ = buffer.received(written.saturating_sub(HEADER));
            is_any |= frames.push(buffer).is_ok();
        }
        is_any
    }

    fn lend_empty(&mut self, pool: &mut rings::Queue<'_, 'static>) {
        while self.receive.room() > 0
            && let Some(buffer) = pool.pop()
        {
            let space = const { Buffer::HEADROOM - HEADER }..buffer.bytes().len();
            if let Err(buffer) = self.receive.lend(buffer, space, Lent::ToWrite) {
                let _ = pool.push(buffer);
                break;
            }
        }
        self.receive.ring_doorbell(&mut self.transport);
    }

    fn take_sent(&mut self, pool: &mut rings::Queue<'_, 'static>) {
        while let Some((buffer, _)) = self.transmit.take_back() {
            let _ = pool.push(buffer);
        }
    }
}

impl<const N: usize> Rings<'static> for Net<N> {
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        frames: &mut rings::Queue<'_, 'static>,
        pool: &mut rings::Queue<'_, 'static>,
    ) {
        if !self.take_frames(frames) {
            self.interrupt.register(cx.waker());
            // What raised the line is looked at now, for it will not be raised again for that.
            if self.acknowledge(cx) {
                self.take_frames(frames);
                if self.transmit.is_ready() {
                    cx.waker().wake_by_ref();
                }
            }
        }
        self.lend_empty(pool);
    }

    fn room(&mut self, cx: &mut Context<'_>, pool: &mut rings::Queue<'_, 'static>) -> usize {
        self.take_sent(pool);
        if self.transmit.room() == 0 {
            self.interrupt.register(cx.waker());
            if self.acknowledge(cx) {
                self.take_sent(pool);
                if self.receive.is_ready() {
                    cx.waker().wake_by_ref();
                }
            }
        }
        self.transmit.room()
    }

    fn send(&mut self, frames: &mut rings::Queue<'_, 'static>) {
        while self.transmit.room() > 0
            && let Some(mut buffer) = frames.pop()
        {
            if buffer.place().start < HEADER {
                // No room is left for the header: the device gets none of the frame, and discards that.
                buffer.pull(usize::MAX);
            }
            if let Ok(header) = buffer.push(HEADER) {
                header.fill(0);
            }
            let part = buffer.place();
            let _ = self.transmit.lend(buffer, part, Lent::ToRead);
        }
        self.transmit.ring_doorbell(&mut self.transport);
    }

    fn is_up(&mut self, cx: &mut Context<'_>) -> bool {
        self.interrupt.register(cx.waker());
        if !self.is_up && self.acknowledge(cx) {
            cx.waker().wake_by_ref();
        }
        self.is_up
    }

    fn longest_frame(&self) -> usize {
        self.longest_frame
    }
}

//! SMSC's LAN9118, an Ethernet controller without DMA: words are read from and written to its FIFOs one by one.

use core::hint;
use core::task::Context;

use board::Register;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

/// Bytes of the longest frame, without its check sequence.
const LONGEST_FRAME: usize = 1514;
const CHECK_SEQUENCE: usize = 4;
const ROOM: usize = (LONGEST_FRAME + CHECK_SEQUENCE).next_multiple_of(4);

type FrameBuffer = [u8; ROOM];

/// The controller and the frame in each direction that is between it and its user.
pub struct Lan9118 {
    registers: Registers,
    interrupt: &'static AtomicWaker,
    mac: [u8; 6],
    is_up: bool,
    received: FrameBuffer,
    /// Bytes of the frame in `received`; 0 if there is none.
    length: usize,
    sent: FrameBuffer,
}

/// There is no controller, or it does not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absent;

impl Lan9118 {
    /// Starts the controller whose registers begin at `base` and whose line wakes `interrupt`.
    ///
    /// # Safety
    /// There is a LAN9118, which nothing else uses.
    ///
    /// # Errors
    /// [`Absent`]
    pub unsafe fn new(base: usize, interrupt: &'static AtomicWaker) -> Result<Self, Absent> {
        // SAFETY: as the caller promises.
        let registers = unsafe { Registers::new(base) };
        registers.start()?;
        Ok(Self {
            registers,
            interrupt,
            mac: registers.mac(),
            is_up: registers.is_up(),
            received: [0; ROOM],
            length: 0,
            sent: [0; ROOM],
        })
    }

    fn acknowledge(&mut self) {
        let raised = self.registers.interrupts.read();
        self.registers.interrupts.write(raised);
        if raised & PHY != 0 {
            self.is_up = self.registers.is_up();
        }
    }

    /// Whether a frame of any length can be sent.
    fn has_room(&mut self) -> bool {
        while self.registers.sent.read() >> 16 & 0xff != 0 {
            self.registers.sent_status.read();
        }
        self.registers.sent.read() & 0xffff >= (COMMANDS + ROOM) as u32
    }

    /// Whether a frame was received. Those that are damaged or too long are discarded.
    fn has_frame(&mut self) -> bool {
        while self.length == 0 && self.registers.received.read() >> 16 & 0xff != 0 {
            let status = self.registers.received_status.read();
            let length = (status >> 16 & 0x3fff) as usize;
            self.registers.read_words(&mut self.received, length);
            if status & IS_DAMAGED == 0 && length <= ROOM {
                self.length = length.saturating_sub(CHECK_SEQUENCE);
            }
        }
        self.length != 0
    }
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Sending<'_>)> {
        self.interrupt.register(cx.waker());
        self.acknowledge();
        if !self.has_room() || !self.has_frame() {
            return None;
        }
        let received = Received {
            buffer: &mut self.received,
            length: &mut self.length,
        };
        let sending = Sending {
            buffer: &mut self.sent,
            registers: self.registers,
        };
        Some((received, sending))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Sending<'_>> {
        self.interrupt.register(cx.waker());
        self.acknowledge();
        self.has_room().then_some(Sending {
            buffer: &mut self.sent,
            registers: self.registers,
        })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.interrupt.register(cx.waker());
        match self.is_up {
            true => LinkState::Up,
            false => LinkState::Down,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = LONGEST_FRAME;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame that was received.
pub struct Received<'a> {
    buffer: &'a mut FrameBuffer,
    length: &'a mut usize,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let frame = self.buffer.get_mut(..*self.length);
        *self.length = 0;
        f(frame.unwrap_or_default())
    }
}

/// Room for a frame that is to be sent.
pub struct Sending<'a> {
    buffer: &'a mut FrameBuffer,
    registers: Registers,
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        // Longer ones than the capabilities say are not asked for, and would be cut.
        let length = length.min(LONGEST_FRAME);
        let result = f(self.buffer.get_mut(..length).unwrap_or_default());
        self.registers.write_frame(self.buffer, length);
        result
    }
}

// ---- Registers, by their names and numbers in the data sheet ----

/// Bytes of the two commands in front of a frame.
const COMMANDS: usize = 8;
const FIRST_AND_LAST_SEGMENT: u32 = 1 << 13 | 1 << 12;
const IS_DAMAGED: u32 = 1 << 15;

// Interrupts.
const RECEIVED: u32 = 1 << 3;
const SENT: u32 = 1 << 7;
const PHY: u32 = 1 << 18;

// Registers of the MAC, behind a window.
const MAC_CONTROL: u32 = 1;
const MAC_SENDS_AND_RECEIVES: u32 = 1 << 3 | 1 << 2;
const MAC_ADDRESS_HIGH: u32 = 2;
const MAC_ADDRESS_LOW: u32 = 3;
const MII_ACCESS: u32 = 6;
const MII_DATA: u32 = 7;
const IS_BUSY: u32 = 1 << 31;
const IS_READ: u32 = 1 << 30;

// Registers of the PHY, behind a window of the MAC.
const PHY_ADDRESS: u32 = 1 << 11;
const PHY_STATUS: u32 = 1;
const PHY_LINK_IS_UP: u32 = 1 << 2;
const PHY_INTERRUPTS: u32 = 29;
const PHY_INTERRUPT_MASK: u32 = 30;
const PHY_LINK_CHANGES: u32 = 1 << 6 | 1 << 4;
const MII_IS_WRITE: u32 = 1 << 1;
const MII_IS_BUSY: u32 = 1;

#[derive(Clone, Copy)]
struct Registers {
    receive_data: Register,
    send_data: Register,
    received_status: Register,
    sent_status: Register,
    interrupt_line: Register,
    interrupts: Register,
    interrupt_mask: Register,
    byte_order: Register,
    levels: Register,
    receive: Register,
    send: Register,
    hardware: Register,
    received: Register,
    sent: Register,
    mac_command: Register,
    mac_data: Register,
}

impl Registers {
    /// # Safety
    /// A LAN9118 is at `base`.
    const unsafe fn new(base: usize) -> Self {
        // SAFETY: as the caller promises; the numbers are those of the data sheet.
        unsafe {
            Self {
                receive_data: Register::new(base),
                send_data: Register::new(base + 0x20),
                received_status: Register::new(base + 0x40),
                sent_status: Register::new(base + 0x48),
                interrupt_line: Register::new(base + 0x54),
                interrupts: Register::new(base + 0x58),
                interrupt_mask: Register::new(base + 0x5c),
                byte_order: Register::new(base + 0x64),
                levels: Register::new(base + 0x68),
                receive: Register::new(base + 0x6c),
                send: Register::new(base + 0x70),
                hardware: Register::new(base + 0x74),
                received: Register::new(base + 0x7c),
                sent: Register::new(base + 0x80),
                mac_command: Register::new(base + 0xa4),
                mac_data: Register::new(base + 0xa8),
            }
        }
    }

    fn start(self) -> Result<(), Absent> {
        const SOFT_RESET: u32 = 1;
        const STORE_AND_FORWARD: u32 = 1 << 20;
        const SEND_FIFO_KIBIBYTES: u32 = 5 << 16;
        const SENDS: u32 = 1 << 1;
        const ENABLED_HIGH_PUSH_PULL: u32 = 1 << 8 | 1 << 4 | 1;
        if self.byte_order.read() != 0x8765_4321 {
            return Err(Absent);
        }
        self.hardware.write(SOFT_RESET);
        wait_while(|| self.hardware.read() & SOFT_RESET != 0)?;
        self.hardware.write(SEND_FIFO_KIBIBYTES | STORE_AND_FORWARD);
        self.receive.write(0);
        self.levels.write(0);
        self.write_mac(MAC_CONTROL, MAC_SENDS_AND_RECEIVES);
        self.send.write(SENDS);
        self.write_phy(PHY_INTERRUPT_MASK, PHY_LINK_CHANGES);
        self.interrupts.write(u32::MAX);
        self.interrupt_mask.write(RECEIVED | SENT | PHY);
        // Until now the line may be raised all the time.
        self.interrupt_line.write(ENABLED_HIGH_PUSH_PULL);
        Ok(())
    }

    /// The address that the controller was given.
    fn mac(self) -> [u8; 6] {
        let [a, b, c, d] = self.read_mac(MAC_ADDRESS_LOW).to_le_bytes();
        let [e, f, _, _] = self.read_mac(MAC_ADDRESS_HIGH).to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn is_up(self) -> bool {
        self.read_phy(PHY_INTERRUPTS);
        // The first look tells whether the link was down since the last.
        self.read_phy(PHY_STATUS);
        self.read_phy(PHY_STATUS) & PHY_LINK_IS_UP != 0
    }

    fn read_words(self, buffer: &mut FrameBuffer, length: usize) {
        let mut places = buffer.as_chunks_mut::<4>().0.iter_mut();
        for _ in 0..length.div_ceil(4) {
            let word = self.receive_data.read().to_le_bytes();
            if let Some(place) = places.next() {
                *place = word;
            }
        }
    }

    fn write_frame(self, buffer: &FrameBuffer, length: usize) {
        self.send_data.write(FIRST_AND_LAST_SEGMENT | length as u32);
        self.send_data.write(length as u32);
        for word in buffer.as_chunks::<4>().0.iter().take(length.div_ceil(4)) {
            self.send_data.write(u32::from_le_bytes(*word));
        }
    }

    fn read_mac(self, register: u32) -> u32 {
        self.mac_command.write(IS_BUSY | IS_READ | register);
        let _ = wait_while(|| self.mac_command.read() & IS_BUSY != 0);
        self.mac_data.read()
    }

    fn write_mac(self, register: u32, value: u32) {
        self.mac_data.write(value);
        self.mac_command.write(IS_BUSY | register);
        let _ = wait_while(|| self.mac_command.read() & IS_BUSY != 0);
    }

    fn read_phy(self, register: u32) -> u32 {
        self.write_mac(MII_ACCESS, PHY_ADDRESS | register << 6 | MII_IS_BUSY);
        let _ = wait_while(|| self.read_mac(MII_ACCESS) & MII_IS_BUSY != 0);
        self.read_mac(MII_DATA)
    }

    fn write_phy(self, register: u32, value: u32) {
        self.write_mac(MII_DATA, value);
        let command = PHY_ADDRESS | register << 6 | MII_IS_WRITE | MII_IS_BUSY;
        self.write_mac(MII_ACCESS, command);
        let _ = wait_while(|| self.read_mac(MII_ACCESS) & MII_IS_BUSY != 0);
    }
}

/// Waits for the controller, which takes microseconds, but not for ever.
fn wait_while(is_busy: impl Fn() -> bool) -> Result<(), Absent> {
    for _ in 0..100_000 {
        if !is_busy() {
            return Ok(());
        }
        hint::spin_loop();
    }
    Err(Absent)
}

//! What is soldered and what is chosen.

/// Where the virtio devices are: QEMU's `virtio-mmio-bus.N`.
pub const fn virtio(bus: usize) -> usize {
    0x0a00_0000 + bus * VIRTIO_LENGTH
}
/// Bytes of the registers of one.
pub const VIRTIO_LENGTH: usize = 0x200;

/// The interrupt line of the device at a virtio bus.
pub const fn line(bus: usize) -> u32 {
    48 + bus as u32
}

/// The bus of the device towards the host.
pub const HOST: usize = 0;
/// The bus of the device towards the provider network.
pub const WIRE: usize = 1;
/// The bus of the source of entropy.
pub const ENTROPY: usize = 2;

/// Frames that wait in each direction on each side.
pub const RING: usize = 64;
/// Bytes of a buffer: the room in front, and the longest frame.
pub const BUFFER: usize = 2048;
/// Buffers: both rings of both sides can be full, and as much again is on its way between them.
pub const BUFFERS: usize = 6 * RING;
/// Bytes of the longest frame that both links carry, with Ethernet's header.
pub const LONGEST_FRAME: usize = BUFFER - netvirt_fw::rings::Buffer::HEADROOM;

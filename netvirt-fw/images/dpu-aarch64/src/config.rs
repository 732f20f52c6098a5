//! What is soldered and what is chosen.

use netvirt_fw::rings::Buffer;

/// The virtio bus with the device towards the host.
pub const HOST: usize = 0;
/// The virtio bus with the device towards the provider network.
pub const WIRE: usize = 1;
/// The virtio bus with the source of entropy.
pub const ENTROPY: usize = 2;

/// Frames that wait in each direction on each side.
pub const RING: usize = 64;
/// Bytes of a buffer: the room in front, and the longest frame.
pub const BUFFER: usize = 2048;
/// Buffers: the rings of both sides can be full, and as much again is on its way between them.
pub const BUFFERS: usize = 6 * RING;
/// Bytes of the longest frame that both links carry, with Ethernet's header.
pub const LONGEST_FRAME: usize = BUFFER - Buffer::HEADROOM;

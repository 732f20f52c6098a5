//! What is soldered and what is chosen.

use embassy_net::{Ipv4Address, Ipv4Cidr};
use netvirt_core::offload::{HashTypes, IndirectionTable, NibbleTable, ToeplitzKey};
use netvirt_core::{MacAddress, UplinkId};
use netvirt_fw::download::Key;
use netvirt_fw::nic::{Config, Framing, Spread};
use netvirt_fw::nve::Storage4096;
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
pub const BUFFER: usize = 16 << 10;
/// Buffers: the rings of both sides can be full, and as much again waits between them.
pub const BUFFERS: usize = 6 * RING;
/// Bytes of the longest frame that both links carry, with Ethernet's header.
pub const LONGEST_FRAME: usize = BUFFER - Buffer::HEADROOM;

/// Room for the policy, twice.
pub type Storage = Storage4096;

/// Who the NIC is to its host, and to who manages it.
pub const NIC: Config = Config {
    management: MacAddress([2, 0, 0, 0, 0, 0x10]),
    framing: Framing::Header {
        nic: MacAddress([2, 0, 0, 0, 0, 1]),
    },
    uplink: UplinkId(0),
    spread: Some(Spread {
        key: &HASH,
        types: HashTypes::ALL,
        queues: QUEUES,
    }),
    validates: true,
};

/// What those have who may change the policy. Everybody has this one; a real NIC has its own, in memory that is written once.
pub const KEY: Key = match Key::from_hex(include_bytes!("../../nic.key")) {
    Some(key) => key,
    None => panic!("nic.key holds no key"),
};

/// The address that a policy is downloaded to.
pub const MANAGEMENT: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(192, 168, 4, 250), 24);

static HASH: NibbleTable = NibbleTable::new(&ToeplitzKey::VERIFICATION);

const QUEUES: IndirectionTable<'static> = match IndirectionTable::new(&[0, 1, 2, 3]) {
    Ok(queues) => queues,
    Err(_) => panic!("queues are a power of two"),
};

//! Veth pairs, and frames for them.

use netvirt_std::device::Sender;
use netvirt_std::device::link::Interface;
use netvirt_std::device::namespace::Namespace;
use netvirt_std::device::packet::{
    PacketDevice, PacketOptions, PacketReceiver, PacketSender, Role,
};
use rtnetlink::LinkVeth;

use crate::support::*;

pub const MTU: u32 = 1600;
/// An EtherType for experiments (IEEE 802).
pub const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// Frames that fit a ring.
pub const MANY: usize = 2000;

/// A veth pair. The switch is at one end, the kernel or another switch at the other.
pub struct Cable {
    pub namespace: Namespace,
    pub near: Interface,
    pub far: Interface,
}

impl Cable {
    pub fn new() -> Option<Self> {
        let namespace = namespace()?;
        configure(&namespace, async |handle| {
            let pair = LinkVeth::new("near", "far").mtu(MTU).up().build();
            handle.link().add(pair).execute().await
        });
        let mut near = Interface::open("near", &namespace).unwrap();
        let mut far = Interface::open("far", &namespace).unwrap();
        near.set_mtu(MTU).unwrap();
        far.set_mtu(MTU).unwrap();
        far.set_mac(KERNEL.mac).unwrap();
        far.set_up().unwrap();
        await_carrier(&mut near);
        Some(Self {
            namespace,
            near,
            far,
        })
    }

    pub fn open(&self, interface: &Interface, role: Role, queues: usize) -> PacketDevice {
        PacketDevice::open(&self.options(interface.name(), role, queues)).unwrap()
    }

    pub fn options<'o>(
        &'o self,
        interface: &'o str,
        role: Role,
        queues: usize,
    ) -> PacketOptions<'o> {
        PacketOptions {
            interface,
            namespace: &self.namespace,
            role,
            queues,
            bypass_qdisc: false,
        }
    }

    pub fn near(&self, role: Role) -> (PacketReceiver, PacketSender) {
        self.open(&self.near, role, 1).queues.pop().unwrap()
    }

    pub fn far(&self, role: Role) -> (PacketReceiver, PacketSender) {
        self.open(&self.far, role, 1).queues.pop().unwrap()
    }

    pub fn change_mtu(&self, mtu: u32) {
        for end in [&self.near, &self.far] {
            change_link(end, &self.namespace, |link| link.mtu(mtu));
        }
    }
}

/// The peer of this interface came up a moment ago. The kernel takes note of that later, and until then swallows what is
/// sent, unless somebody asks for the state of the link (since Linux 6.8).
pub fn await_carrier(interface: &mut Interface) {
    assert!(interface.link().unwrap().has_carrier);
}

/// A frame with `number` in front of content that follows from it.
pub fn experiment(number: usize) -> Vec<u8> {
    let mut frame = [KERNEL.mac.0, SWITCH.mac.0].concat();
    frame.extend(EXPERIMENT);
    frame.extend((number as u32).to_be_bytes());
    let length = 46 + number * 7 % (MTU as usize - 50);
    frame.extend((0..length).map(|place| (number + place) as u8));
    frame
}

pub fn is_experiment(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&EXPERIMENT)
}

pub fn number_of(frame: &[u8]) -> usize {
    u32::from_be_bytes(frame[14..18].try_into().unwrap()) as usize
}

/// Sends frames in batches and yields which were lost.
pub fn send_all(sender: &mut PacketSender, frames: &[Vec<u8>]) -> Vec<usize> {
    let mut outgoing = outgoing(frames, 14);
    sender.send(&mut outgoing);
    let lost = outgoing
        .iter()
        .enumerate()
        .filter(|(_, frame)| frame.is_lost);
    lost.map(|(number, _)| number).collect()
}

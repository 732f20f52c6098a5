//! The sending halves of all devices, by where they lead.

use crate::device::Sender;
use crate::switch::Egress;

#[derive(Default)]
pub(super) struct Senders {
    ports: Vec<Option<Box<dyn Sender>>>,
    uplinks: Vec<Option<Box<dyn Sender>>>,
}

impl Senders {
    pub fn get_mut(&mut self, egress: Egress) -> Option<&mut (dyn Sender + 'static)> {
        let (senders, number) = self.place(egress);
        senders.get_mut(number)?.as_deref_mut()
    }

    /// Yields the one that was there before.
    pub fn insert(&mut self, egress: Egress, sender: Box<dyn Sender>) -> Option<Box<dyn Sender>> {
        let (senders, number) = self.place(egress);
        if senders.len() <= number {
            senders.resize_with(number + 1, || None);
        }
        senders[number].replace(sender)
    }

    pub fn remove(&mut self, egress: Egress) -> Option<Box<dyn Sender>> {
        let (senders, number) = self.place(egress);
        senders.get_mut(number)?.take()
    }

    fn place(&mut self, egress: Egress) -> (&mut Vec<Option<Box<dyn Sender>>>, usize) {
        match egress {
            Egress::Port(port) => (&mut self.ports, port.0 as usize),
            Egress::Uplink(uplink) => (&mut self.uplinks, uplink.0 as usize),
        }
    }
}

//! What a host does in the provider network: it listens, asks, answers for its addresses and announces them.

use std::time::Duration;

use netvirt_core::policy::{Change, HostAddress, Neighbour, NextHop};
use netvirt_core::proxy::{LONGEST_MESSAGE, Owned};
use netvirt_core::{Prefix, ProviderAddress, UplinkId};

use super::addresses::{self, AddressStep};
use super::neighbours::NeighbourStep;
use super::{Host, HostError};
use crate::switch::solicitation;
use crate::worker::Event;

/// How often a host looks whether something is due, and how often while addresses are probed.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_WHILE_PROBING: Duration = Duration::from_millis(10);

impl Host {
    /// Takes what a worker heard in the provider network.
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Asked { uplink, address } => {
                let now = self.now();
                self.neighbours.ask(uplink, address, now);
            }
            Event::Neighbour {
                uplink,
                address,
                mac,
            } => {
                if let Ok(address) = ProviderAddress::new(address) {
                    let neighbour = Neighbour {
                        uplink,
                        address,
                        mac,
                    };
                    self.hear_neighbour(neighbour);
                }
            }
            Event::AddressConflict { address, mac } => {
                let now = self.now();
                if let Some(step) = self.addresses.conflict(address, now) {
                    tracing::error!("{}", addresses::complaint(address, mac));
                    self.see_to_address(step);
                }
            }
            Event::PathMtu { address, mtu } => {
                let change = Change::SetPathMtu { address, mtu };
                if self.apply_state(change) {
                    tracing::info!(%address, mtu, "the path to a host carries smaller packets only");
                    let now = self.now();
                    self.path_mtus.learn(address, mtu, now);
                }
            }
        }
    }

    fn hear_neighbour(&mut self, neighbour: Neighbour) {
        let now = self.now();
        if !self.neighbours.hear(neighbour, now) {
            return;
        }
        if self.apply_state(Change::SetNeighbour(neighbour)) {
            tracing::debug!(address = %neighbour.address, mac = %neighbour.mac, "a next hop is known");
        }
        for worker in &self.workers {
            worker.tell(move |worker| worker.release(&neighbour));
        }
    }

    /// Does what is due now.
    pub fn see_to_what_is_due(&mut self) {
        let now = self.now();
        for step in self.addresses.due(now) {
            self.see_to_address(step);
        }
        for owned in self.announcements.due(now) {
            self.send_announcement(&owned);
        }
        for step in self.neighbours.due(now) {
            self.see_to_neighbour(step);
        }
        for address in self.path_mtus.due(now) {
            self.apply_state(Change::RemovePathMtu { address });
        }
        self.look_after_devices();
        self.serve_machines();
    }

    /// How long until something may be due.
    pub fn next_look(&self) -> Duration {
        if self.addresses.are_decided() && !self.announcements.are_pending() {
            LOOK
        } else {
            LOOK_WHILE_PROBING
        }
    }

    fn see_to_address(&mut self, step: AddressStep) {
        match step {
            AddressStep::Probe(own) => {
                let mut frame = [0; LONGEST_MESSAGE];
                if let Ok(length) = own.probe(&mut frame) {
                    self.send(own.uplink, &frame[..length]);
                }
            }
            AddressStep::Change(own) => {
                tracing::info!(address = %own.address, state = ?own.state, "a provider address");
                self.apply_state(Change::SetAddressState {
                    address: own.address,
                    state: own.state,
                });
                self.announce();
            }
            AddressStep::Defend(own) => {
                let owned = Owned {
                    address: own.address.get(),
                    mac: own.mac,
                    vlan: own.vlan,
                    uplink: own.uplink,
                };
                self.send_announcement(&owned);
            }
        }
    }

    fn see_to_neighbour(&mut self, step: NeighbourStep) {
        match step {
            NeighbourStep::Ask(neighbour) => {
                let next_hop = self.next_hop(&neighbour);
                if let Some(question) = next_hop.and_then(|next_hop| solicitation(&next_hop)) {
                    self.send(neighbour.uplink, &question.bytes);
                }
            }
            NeighbourStep::Forget(neighbour) => {
                tracing::info!(address = %neighbour.address, "a next hop does not answer any more");
                self.apply_state(Change::RemoveNeighbour {
                    uplink: neighbour.uplink,
                    address: neighbour.address,
                });
            }
        }
    }

    /// How to ask for a neighbour: from the provider address whose network it is in.
    fn next_hop(&self, neighbour: &Neighbour) -> Option<NextHop> {
        let shares_prefix = |own: &&HostAddress| {
            own.uplink == neighbour.uplink
                && own.state.receives()
                && Prefix::of(own.address.get(), own.prefix_length)
                    .is_ok_and(|prefix| prefix.contains(neighbour.address.get()))
        };
        let own = self.addresses.iter().find(shares_prefix)?;
        Some(NextHop {
            uplink: own.uplink,
            address: neighbour.address.get(),
            vlan: own.vlan,
            source: own.address.get(),
            source_mac: own.mac,
        })
    }

    /// Applies a change of the network's state, and says whether that was possible.
    pub(super) fn apply_state(&mut self, change: Change) -> bool {
        match self.writer.apply_state(&[change]) {
            Ok(()) => true,
            Err(refused) => {
                let error = HostError::refused(&refused, &[change]);
                tracing::warn!(%error, "what the network said is not taken");
                false
            }
        }
    }

    pub(super) fn announce(&mut self) {
        let now = self.now();
        let news = self.announcements.of(&self.writer.policies().read(), now);
        for owned in news {
            self.send_announcement(&owned);
        }
    }

    fn send_announcement(&self, owned: &Owned) {
        let mut frame = [0; LONGEST_MESSAGE];
        if let Ok(length) = owned.announcement(&mut frame) {
            self.send(owned.uplink, &frame[..length]);
        }
    }

    /// Sends a frame of the switch's own. The first worker does: one is enough.
    fn send(&self, uplink: UplinkId, frame: &[u8]) {
        let frame = frame.to_vec();
        if let Some(worker) = self.workers.first() {
            worker.tell(move |worker| worker.send(uplink, &frame));
        }
    }
}

//! What a host does in the provider network: it listens, asks, answers for its addresses and announces them.

use std::collections::HashMap;
use std::time::Duration;

use netvirt_core::datapath::Ingress;
use netvirt_core::edit::NoRoom;
use netvirt_core::policy::{Change, Neighbour, NextHop};
use netvirt_core::proxy::{LONGEST_MESSAGE, Owned};
use netvirt_core::wire::{RouterAdvertisement, multicast_mac};
use netvirt_core::{MacAddress, PortId, ProviderAddress};

use super::addresses::{self, AddressStep};
use super::neighbours::NeighbourStep;
use super::{Host, HostError, UPLINK};
use crate::switch::Egress;
use crate::worker::Event;

/// How often a host looks whether something is due, and how often while addresses are probed.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_WHILE_PROBING: Duration = Duration::from_millis(10);

impl Host {
    /// Takes what workers heard in the provider network, all of it with one change of the policy's copies.
    pub fn hear(&mut self, events: impl IntoIterator<Item = Event>) {
        let changes = events.into_iter().filter_map(|event| self.take(event));
        let changes: Vec<Change> = changes.collect();
        self.apply_state(&changes);
    }

    /// Takes one event. Yields how it changes the network's state, if it does.
    fn take(&mut self, event: Event) -> Option<Change> {
        let now = self.now();
        match event {
            Event::Asked { uplink, address } => self.neighbours.ask(uplink, address, now),
            Event::Neighbour {
                uplink,
                address,
                mac,
                overriding,
            } => {
                let neighbour = Neighbour {
                    uplink,
                    address: ProviderAddress::new(address).ok()?,
                    mac,
                };
                let step = self.neighbours.hear(neighbour, overriding, now)?;
                return self.see_to_neighbour(step);
            }
            Event::Reachable { uplink, address } => self.neighbours.confirm(uplink, address, now),
            Event::ListenerQuery => self.announcements.query(),
            Event::AddressConflict { address, mac } => self.see_to_conflict(address, mac),
            Event::PathMtu { address, mtu } => {
                let is_learnt = self.path_mtus.learn(address, mtu, now);
                return is_learnt.then_some(Change::SetPathMtu { address, mtu });
            }
        }
        None
    }

    fn see_to_conflict(&mut self, address: ProviderAddress, mac: MacAddress) {
        let now = self.now();
        if let Some(step) = self.addresses.conflict(address, now) {
            tracing::error!("{}", addresses::complaint(address, mac));
            self.see_to_address(step);
        }
    }

    /// Does what is due now.
    pub fn see_to_what_is_due(&mut self) {
        let now = self.now();
        self.see_to_addresses();
        for owned in self.announcements.due(now) {
            self.send_announcement(&owned);
        }
        if self.announcements.is_report_due(now) {
            self.report_groups();
        }
        for (port, message) in self.router_advertisements.due(now) {
            self.send_router_advertisement(port, &message);
        }
        let mut changes = Vec::new();
        for step in self.due_neighbours() {
            changes.extend(self.see_to_neighbour(step));
        }
        for address in self.path_mtus.due(now) {
            changes.push(Change::RemovePathMtu { address });
        }
        self.apply_state(&changes);
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

    /// Does what is due now about the provider addresses. Without an uplink nobody could say that he has them.
    pub(super) fn see_to_addresses(&mut self) {
        if self.lost.has(Ingress::Uplink(UPLINK)) {
            return;
        }
        let now = self.now();
        for step in self.addresses.due(now) {
            self.see_to_address(step);
        }
    }

    fn see_to_address(&mut self, step: AddressStep) {
        match step {
            AddressStep::Probe(own) => {
                self.send_if_any(Egress::Uplink(own.uplink), |out| own.listener_report(out));
                self.send_if_any(Egress::Uplink(own.uplink), |out| own.probe(out).map(Some));
            }
            AddressStep::Change(own) => {
                tracing::info!(address = %own.address, state = ?own.state, "a provider address");
                self.apply_state(&[Change::SetAddressState {
                    address: own.address,
                    state: own.state,
                }]);
                self.announce();
            }
            AddressStep::Defend(own) => {
                if let Some(owned) = Owned::under(own.address.get(), &own) {
                    self.send_announcement(&owned);
                }
            }
        }
    }

    /// Does what is to be done about a next hop. Yields how that changes the network's state, if it does.
    fn see_to_neighbour(&mut self, step: NeighbourStep) -> Option<Change> {
        match step {
            NeighbourStep::Learn(neighbour) => Some(Change::SetNeighbour(neighbour)),
            NeighbourStep::Release(neighbour) => {
                self.release(vec![neighbour]);
                None
            }
            NeighbourStep::Poll(neighbour, next_hop) => {
                self.send_if_any(Egress::Uplink(neighbour.uplink), |out| {
                    next_hop.poll(neighbour.mac, out).map(Some)
                });
                None
            }
            NeighbourStep::Forget(neighbour) => {
                tracing::info!(address = %neighbour.address, "a next hop does not answer, or is not needed, any more");
                Some(Change::RemoveNeighbour {
                    uplink: neighbour.uplink,
                    address: neighbour.address,
                })
            }
        }
    }

    fn due_neighbours(&mut self) -> Vec<NeighbourStep> {
        let now = self.now();
        let live = self.writer.policies().read();
        // Mostly nothing is due; then all paths are not looked at either.
        let mut in_use: Option<HashMap<_, NextHop>> = None;
        self.neighbours.due(now, |neighbour| {
            let in_use = in_use.get_or_insert_with(|| {
                let next_hops = live.next_hops();
                next_hops.map(|it| ((it.uplink, it.address), it)).collect()
            });
            let place = (neighbour.uplink, neighbour.address.get());
            in_use.get(&place).copied()
        })
    }

    /// Applies changes of the network's state, all at once if that is possible, otherwise those that are.
    pub(super) fn apply_state(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let is_whole = changes.len() > 1 && self.writer.apply_state(changes).is_ok();
        let mut known = Vec::new();
        for change in changes {
            let is_taken = is_whole || self.apply_one(change);
            match *change {
                Change::SetNeighbour(neighbour) => {
                    if is_taken {
                        tracing::debug!(address = %neighbour.address, mac = %neighbour.mac, "a next hop is known");
                    } else {
                        self.neighbours.forget(&neighbour);
                    }
                    known.push(neighbour);
                }
                Change::SetPathMtu { address, mtu } if is_taken => {
                    tracing::info!(%address, mtu, "the path to a host carries smaller packets only");
                }
                Change::SetPathMtu { address, .. } => self.path_mtus.forget(address),
                _ => {}
            }
        }
        self.release(known);
    }

    fn apply_one(&mut self, change: &Change) -> bool {
        match self.writer.apply_state(&[*change]) {
            Ok(()) => true,
            Err(refused) => {
                let error = HostError::refused(&refused, &[*change]);
                tracing::warn!(%error, "what the network said is not taken");
                false
            }
        }
    }

    /// Has all workers send what waits for these next hops.
    pub(super) fn release(&self, neighbours: Vec<Neighbour>) {
        if neighbours.is_empty() {
            return;
        }
        for worker in &self.workers {
            let neighbours = neighbours.clone();
            worker.tell(move |worker| {
                for neighbour in &neighbours {
                    worker.release(neighbour);
                }
            });
        }
    }

    pub(super) fn announce(&mut self) {
        let now = self.now();
        let news = self.announcements.of(&self.writer.policies().read(), now);
        for owned in news {
            self.send_announcement(&owned);
        }
    }

    /// Says where an address is. What an offload NIC owns the NIC announces.
    fn send_announcement(&self, owned: &Owned) {
        if self.policy.nic.is_some() {
            return;
        }
        self.send_if_any(Egress::Uplink(owned.uplink), |out| {
            owned.listener_report(out)
        });
        self.send_if_any(Egress::Uplink(owned.uplink), |out| {
            owned.announcement(out).map(Some)
        });
    }

    /// Tells the machines for which it is new who their router is.
    pub(super) fn advertise_router(&mut self) {
        let now = self.now();
        let live = self.writer.policies().read();
        let news = self.router_advertisements.of(&live, now);
        drop(live);
        for (port, message) in news {
            self.send_router_advertisement(port, &message);
        }
    }

    fn send_router_advertisement(&self, port: PortId, message: &RouterAdvertisement) {
        self.send_if_any(Egress::Port(port), |out| {
            Ok(message.emit(multicast_mac(message.destination), out))
        });
    }

    /// Tells switches that snoop which groups questions for our addresses go to.
    fn report_groups(&self) {
        if self.policy.nic.is_some() {
            return;
        }
        for owned in self.policies().read().owned_addresses() {
            self.send_if_any(Egress::Uplink(owned.uplink), |out| {
                owned.listener_report(out)
            });
        }
    }

    /// Sends a frame of the switch's own, if there is one to send. The first worker does: one is enough.
    fn send_if_any(
        &self,
        egress: Egress,
        write: impl FnOnce(&mut [u8]) -> Result<Option<usize>, NoRoom>,
    ) {
        let mut frame = [0; LONGEST_MESSAGE];
        if let Ok(Some(length)) = write(&mut frame)
            && let Some(worker) = self.workers.first()
        {
            worker.tell(move |worker| worker.send(egress, &frame[..length]));
        }
    }
}

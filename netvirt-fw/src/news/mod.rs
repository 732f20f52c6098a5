//! What a device hears of the provider network, and what it tells it: next hops, path MTUs, its own addresses.

mod neighbours;

use core::net::IpAddr;
use core::time::Duration;

use netvirt_core::datapath::Punt;
use netvirt_core::policy::{Change, Neighbour};
use netvirt_core::proxy::Owned;
use netvirt_core::{MacAddress, ProviderAddress, UplinkId};

use neighbours::Neighbours;

use crate::nve::Nve;
use crate::outbox::{Exits, Outbox};

/// Paths whose smaller MTU is remembered at the same time.
const PATHS: usize = 8;
/// How long a path MTU is believed (RFC 1191 §6.3, RFC 8201 §5.4).
const PATH_MTU_LIFETIME: Duration = Duration::from_secs(600);
/// Addresses that are announced at once.
const ANNOUNCED_AT_ONCE: usize = 4;

/// What was heard, and what is still to be told.
#[derive(Debug)]
pub(crate) struct News {
    neighbours: Neighbours,
    path_mtus: [Option<PathMtu>; PATHS],
    announced: Announced,
}

/// How far the addresses of a policy are announced.
#[derive(Debug)]
struct Announced {
    version: u64,
    addresses: usize,
    is_complete: bool,
}

/// A path MTU that was learnt.
#[derive(Debug, Clone, Copy)]
struct PathMtu {
    address: ProviderAddress,
    heard: Duration,
}

impl News {
    pub const fn new() -> Self {
        Self {
            neighbours: Neighbours::new(),
            path_mtus: [None; PATHS],
            // A policy that nothing was said of has no addresses.
            announced: Announced {
                version: 0,
                addresses: 0,
                is_complete: true,
            },
        }
    }

    /// Believes what was heard, if that is due, and does what follows.
    pub fn hear<'b, X: Exits<'b>>(
        &mut self,
        punt: &Punt,
        nve: &mut Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
        now: Duration,
    ) {
        match *punt {
            Punt::Neighbour {
                uplink,
                address,
                mac,
                overriding,
            } => {
                if let Ok(address) = ProviderAddress::new(address) {
                    let neighbour = Neighbour {
                        uplink,
                        address,
                        mac,
                    };
                    self.learn(neighbour, overriding, nve, outbox, now);
                }
            }
            Punt::Reachable { uplink, address } => self.neighbours.confirm(uplink, address, now),
            Punt::PathMtu { address, mtu } => {
                let learned = nve.policies.learn(&Change::SetPathMtu { address, mtu });
                if learned.is_ok() {
                    self.remember_path(address, nve, now);
                }
            }
            Punt::ListenerQuery { .. } => {
                report_groups(nve, outbox);
            }
            _ => {}
        }
    }

    /// When there is something to be done next, unless something is heard.
    pub fn due(&self) -> Option<Duration> {
        let paths = self.path_mtus.iter().flatten();
        let forgotten = paths.map(|path| path.heard.saturating_add(PATH_MTU_LIFETIME));
        forgotten.chain(self.neighbours.due()).min()
    }

    /// Forgets path MTUs that are too old, and asks next hops whether they are still there.
    pub fn see_to_time<'b, X: Exits<'b>>(
        &mut self,
        nve: &mut Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
        now: Duration,
    ) {
        self.neighbours.see_to(nve, outbox, now);
        for place in &mut self.path_mtus {
            let is_old = |path: &PathMtu| now.saturating_sub(path.heard) >= PATH_MTU_LIFETIME;
            if let Some(PathMtu { address, .. }) = place.take_if(|path| is_old(path)) {
                forget_path_mtu(nve, address);
            }
        }
    }

    /// Announces the addresses of a policy that is new, a few at a time. Yields whether there are more.
    pub fn announce<'b, X: Exits<'b>>(
        &mut self,
        nve: &Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
    ) -> bool {
        let policy = nve.policies.live();
        if self.announced.version != policy.version() {
            self.announced = Announced {
                version: policy.version(),
                addresses: 0,
                is_complete: false,
            };
        }
        if self.announced.is_complete {
            return false;
        }
        let mut addresses = policy.owned_addresses().skip(self.announced.addresses);
        for _ in 0..ANNOUNCED_AT_ONCE.min(outbox.pool.len()) {
            let Some(owned) = addresses.next() else {
                self.announced.is_complete = true;
                return false;
            };
            outbox.tell(owned.uplink, |out| owned.announcement(out));
            self.announced.addresses = self.announced.addresses.saturating_add(1);
        }
        true
    }

    fn remember_path(&mut self, address: ProviderAddress, nve: &mut Nve<'_>, now: Duration) {
        let path = PathMtu {
            address,
            heard: now,
        };
        let is_it = |known: &PathMtu| known.address == address;
        let place = place_for(&mut self.path_mtus, is_it, |known| known.heard);
        // Who makes room is heard of again: its router will say so.
        if let Some(before) = place.and_then(|place| place.replace(path))
            && !is_it(&before)
        {
            forget_path_mtu(nve, before.address);
        }
    }

    /// Believes a next hop's MAC address if it was asked for, or if another one is known that it overrides.
    fn learn<'b, X: Exits<'b>>(
        &mut self,
        neighbour: Neighbour,
        overriding: bool,
        nve: &mut Nve<'_>,
        outbox: &mut Outbox<'_, 'b, X>,
        now: Duration,
    ) {
        let (uplink, address) = (neighbour.uplink, neighbour.address.get());
        let is_awaited = outbox.held.awaits(uplink, address);
        match known_mac(nve, uplink, address) {
            Some(known) if known == neighbour.mac => self.neighbours.confirm(uplink, address, now),
            Some(_) if overriding => self.believe(neighbour, nve, now),
            None if is_awaited => self.believe(neighbour, nve, now),
            _ => {}
        }
        if is_awaited {
            // One that the policy states meanwhile goes before.
            let mac = known_mac(nve, uplink, address).unwrap_or(neighbour.mac);
            outbox.release(&Neighbour { mac, ..neighbour }, nve.worker.counters_mut());
        }
    }

    /// A full table leaves a next hop unknown; it is asked for again with the next frame.
    fn believe(&mut self, neighbour: Neighbour, nve: &mut Nve<'_>, now: Duration) {
        let learned = nve.policies.learn(&Change::SetNeighbour(neighbour));
        if learned.is_ok()
            && let Some(made_room) = self.neighbours.remember(neighbour, now)
        {
            neighbours::forget(nve, &made_room);
        }
    }
}

/// Where something is to be remembered: in its own place, otherwise in a vacant one, otherwise in the oldest's.
fn place_for<T>(
    places: &mut [Option<T>],
    is_it: impl Fn(&T) -> bool,
    time: impl Fn(&T) -> Duration,
) -> Option<&mut Option<T>> {
    places.iter_mut().min_by_key(|place| match place {
        Some(known) if is_it(known) => (0, Duration::ZERO),
        None => (1, Duration::ZERO),
        Some(known) => (2, time(known)),
    })
}

fn known_mac(nve: &Nve<'_>, uplink: UplinkId, address: IpAddr) -> Option<MacAddress> {
    let mut neighbours = nve.policies.live().neighbours();
    let known =
        neighbours.find(|known| known.uplink == uplink && known.address.get() == address)?;
    Some(known.mac)
}

fn report_groups<'b, X: Exits<'b>>(nve: &Nve<'_>, outbox: &mut Outbox<'_, 'b, X>) {
    let is_listening = |owned: &Owned| owned.address.is_ipv6();
    for owned in nve.policies.live().owned_addresses().filter(is_listening) {
        outbox.tell(owned.uplink, |out| {
            owned.listener_report(out).map(|length| length.unwrap_or(0))
        });
    }
}

/// A path that went with its host needs no forgetting.
fn forget_path_mtu(nve: &mut Nve<'_>, address: ProviderAddress) {
    let _ = nve.policies.learn(&Change::RemovePathMtu { address });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_remembered_twice_and_the_oldest_makes_room() {
        let second = Duration::from_secs;
        let place = |places: &[Option<(char, Duration)>], name| {
            let mut places = places.to_vec();
            let is_it = |known: &(char, Duration)| known.0 == name;
            *place_for(&mut places, is_it, |known| known.1)?
        };
        let (a, b) = (Some(('a', second(20))), Some(('b', second(10))));
        assert_eq!(place(&[None, a, b], 'a'), a);
        assert_eq!(place(&[a, None, b], 'c'), None);
        assert_eq!(place(&[a, b], 'c'), b);
        assert_eq!(place(&[a, b], 'a'), a);
    }
}

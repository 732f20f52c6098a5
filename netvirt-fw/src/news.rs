//! What a device hears of the provider network, and what it tells it: next hops, path MTUs, its own addresses.

use core::net::IpAddr;
use core::time::Duration;

use netvirt_core::datapath::Punt;
use netvirt_core::policy::{Change, Neighbour};
use netvirt_core::proxy::Owned;
use netvirt_core::{MacAddress, ProviderAddress, UplinkId};

use crate::nve::Nve;
use crate::outbox::{Egress, Exits, Outbox};

/// Paths whose smaller MTU is remembered at the same time.
const PATHS: usize = 8;
/// How long a path MTU is believed (RFC 1191 §6.3, RFC 8201 §5.4).
const PATH_MTU_LIFETIME: Duration = Duration::from_secs(600);
/// Addresses that are announced at once.
const ANNOUNCED_AT_ONCE: usize = 4;

/// What was heard, and what is still to be told.
#[derive(Debug)]
pub(crate) struct News {
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
                    learn(neighbour, overriding, nve, outbox);
                }
            }
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
        let heard = self.path_mtus.iter().flatten().map(|path| path.heard);
        Some(heard.min()?.saturating_add(PATH_MTU_LIFETIME))
    }

    /// Forgets path MTUs that are too old.
    pub fn forget(&mut self, nve: &mut Nve<'_>, now: Duration) {
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
            outbox.tell(Egress::Uplink(owned.uplink), |out| owned.announcement(out));
            self.announced.addresses = self.announced.addresses.saturating_add(1);
        }
        true
    }

    fn remember_path(&mut self, address: ProviderAddress, nve: &mut Nve<'_>, now: Duration) {
        let path = PathMtu {
            address,
            heard: now,
        };
        let is_it =
            |place: &&mut Option<PathMtu>| place.is_none_or(|known| known.address == address);
        if let Some(place) = self.path_mtus.iter_mut().find(is_it) {
            *place = Some(path);
            return;
        }
        // The oldest makes room; its router will say so again.
        let oldest = self
            .path_mtus
            .iter_mut()
            .flatten()
            .min_by_key(|path| path.heard);
        if let Some(oldest) = oldest {
            let forgotten = core::mem::replace(oldest, path);
            forget_path_mtu(nve, forgotten.address);
        }
    }
}

/// Believes a next hop's MAC address if it was asked for, or if another one is known that it overrides.
fn learn<'b, X: Exits<'b>>(
    neighbour: Neighbour,
    overriding: bool,
    nve: &mut Nve<'_>,
    outbox: &mut Outbox<'_, 'b, X>,
) {
    let (uplink, address) = (neighbour.uplink, neighbour.address.get());
    let known = known_mac(nve, uplink, address);
    let is_awaited = outbox.held.awaits(uplink, address);
    let is_new = match known {
        None => is_awaited,
        Some(known) => overriding && known != neighbour.mac,
    };
    // A full table leaves the next hop unknown; it is asked for again with the next frame.
    if is_new {
        let _ = nve.policies.learn(&Change::SetNeighbour(neighbour));
    }
    if is_awaited {
        outbox.release(&neighbour, nve.worker.counters_mut());
    }
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
        outbox.tell(Egress::Uplink(owned.uplink), |out| {
            owned.listener_report(out).map(|length| length.unwrap_or(0))
        });
    }
}

/// A path that went with its host needs no forgetting.
fn forget_path_mtu(nve: &mut Nve<'_>, address: ProviderAddress) {
    let _ = nve.policies.learn(&Change::RemovePathMtu { address });
}

//! The provider addresses of this host: found unique before they are used, and defended afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use netvirt_core::policy::{AddressState, Change, HostAddress, Policy};
use netvirt_core::{MacAddress, ProviderAddress};

/// Questions before an address counts as unique (RFC 5227 §1.1, PROBE_NUM).
const PROBES: u32 = 3;
/// How long an address that somebody else has is left alone before it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// Least time between two announcements in defence (RFC 5227 §1.1, DEFEND_INTERVAL).
const DEFEND: Duration = Duration::from_secs(10);

/// What is to be done about a provider address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressStep {
    /// It is to be asked whether somebody has it.
    Probe(HostAddress),
    /// Its state has changed to the one told.
    Change(HostAddress),
    /// It is to be announced, because somebody else claims it.
    Defend(HostAddress),
}

/// The provider addresses and what is known of their uniqueness.
#[derive(Debug)]
pub(super) struct Addresses {
    /// How long an address is probed before it is used.
    detection: Duration,
    claims: BTreeMap<ProviderAddress, Claim>,
}

#[derive(Debug, Clone, Copy)]
struct Claim {
    address: HostAddress,
    probes: u32,
    /// When the next step is due; for one in use, when it may be defended again.
    next: Duration,
}

impl Addresses {
    /// No addresses yet. Each is to be probed for so long before it is used.
    pub const fn new(detection: Duration) -> Self {
        Self {
            detection,
            claims: BTreeMap::new(),
        }
    }

    /// The state in which an address is, or is to begin.
    pub fn state_of(&self, address: ProviderAddress) -> AddressState {
        match self.claims.get(&address) {
            Some(claim) => claim.address.state,
            None if self.detection.is_zero() => AddressState::Preferred,
            None => AddressState::Tentative,
        }
    }

    /// States the addresses of this host, in place of those stated before. Those that stay keep their state.
    pub fn state(&mut self, addresses: impl IntoIterator<Item = HostAddress>, now: Duration) {
        let mut claims = BTreeMap::new();
        for address in addresses {
            let claim = Claim {
                address: HostAddress {
                    state: self.state_of(address.address),
                    ..address
                },
                ..self.claims.get(&address.address).copied().unwrap_or(Claim {
                    address,
                    probes: 0,
                    next: now,
                })
            };
            claims.insert(address.address, claim);
        }
        self.claims = claims;
    }

    /// What is due at this time.
    pub fn due(&mut self, now: Duration) -> Vec<AddressStep> {
        let detection = self.detection;
        let claims = self.claims.values_mut();
        claims
            .filter_map(|claim| claim.due(now, detection))
            .collect()
    }

    /// Somebody else uses an address.
    pub fn conflict(&mut self, address: ProviderAddress, now: Duration) -> Option<AddressStep> {
        let claim = self.claims.get_mut(&address)?;
        match claim.address.state {
            AddressState::Tentative => {
                claim.next = now + TRY_AGAIN;
                Some(claim.change_to(AddressState::Duplicate))
            }
            AddressState::Preferred | AddressState::Deprecated if now >= claim.next => {
                claim.next = now + DEFEND;
                Some(AddressStep::Defend(claim.address))
            }
            _ => None,
        }
    }

    /// Whether each address was found unique, or not.
    pub fn are_decided(&self) -> bool {
        let mut claims = self.claims.values();
        claims.all(|claim| claim.address.state != AddressState::Tentative)
    }

    /// What is to be said to a policy that knows other states of them. States change while a transaction is prepared.
    pub fn states_unlike(&self, policy: &Policy<'_>) -> impl Iterator<Item = Change> {
        let known = policy.provider_addresses();
        let claims = self.claims.values();
        claims.filter_map(move |claim| {
            let HostAddress { address, state, .. } = claim.address;
            let is_unlike = |own: &HostAddress| own.address == address && own.state != state;
            let mut known = known.clone();
            let is_known = known.any(is_unlike);
            is_known.then_some(Change::SetAddressState { address, state })
        })
    }

    /// The addresses with their states.
    pub fn iter(&self) -> impl Iterator<Item = &HostAddress> {
        self.claims.values().map(|claim| &claim.address)
    }
}

impl Claim {
    fn due(&mut self, now: Duration, detection: Duration) -> Option<AddressStep> {
        if now < self.next {
            return None;
        }
        match self.address.state {
            AddressState::Duplicate => {
                self.probes = 0;
                Some(self.change_to(AddressState::Tentative))
            }
            AddressState::Tentative if self.probes == PROBES => {
                Some(self.change_to(AddressState::Preferred))
            }
            AddressState::Tentative => {
                self.probes += 1;
                self.next = now + detection / PROBES;
                Some(AddressStep::Probe(self.address))
            }
            AddressState::Preferred | AddressState::Deprecated => None,
        }
    }

    const fn change_to(&mut self, state: AddressState) -> AddressStep {
        self.address.state = state;
        AddressStep::Change(self.address)
    }
}

/// Who else has an address, in words for the log.
pub(super) fn complaint(address: ProviderAddress, mac: MacAddress) -> String {
    format!(
        "{mac} also uses the provider address {address}: each belongs to one host only; change one of them in the \
         policy file"
    )
}

#[cfg(test)]
mod tests {
    use netvirt_core::UplinkId;

    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn address(state: AddressState) -> HostAddress {
        HostAddress {
            address: ProviderAddress::new([192, 168, 4, 11].into()).unwrap(),
            prefix_length: 24,
            uplink: UplinkId(0),
            mac: MacAddress([2, 0, 0, 0, 0, 11]),
            vlan: None,
            mtu: 1500,
            state,
        }
    }

    fn addresses() -> Addresses {
        let mut addresses = Addresses::new(3 * STEP);
        addresses.state([address(AddressState::Preferred)], Duration::ZERO);
        addresses
    }

    #[test]
    fn an_address_is_used_after_three_questions_without_an_answer() {
        let mut addresses = addresses();
        for probe in 0..3 {
            let due = addresses.due(probe * STEP);
            assert_eq!(due, [AddressStep::Probe(address(AddressState::Tentative))]);
            assert_eq!(addresses.due(probe * STEP), []);
            assert!(!addresses.are_decided());
        }
        let due = addresses.due(3 * STEP);
        assert_eq!(due, [AddressStep::Change(address(AddressState::Preferred))]);
        assert!(addresses.are_decided());
        assert_eq!(addresses.due(100 * STEP), []);
    }

    #[test]
    fn an_address_that_somebody_has_is_not_used_and_tried_again() {
        let mut addresses = addresses();
        addresses.due(Duration::ZERO);
        let own = address(AddressState::Preferred).address;
        let step = addresses.conflict(own, STEP);
        let duplicate = AddressStep::Change(address(AddressState::Duplicate));
        assert_eq!(step, Some(duplicate));
        assert_eq!(addresses.conflict(own, STEP), None);
        assert!(addresses.are_decided());
        assert_eq!(addresses.due(STEP + TRY_AGAIN - STEP), []);
        let due = addresses.due(STEP + TRY_AGAIN);
        assert_eq!(due, [AddressStep::Change(address(AddressState::Tentative))]);
        let due = addresses.due(STEP + TRY_AGAIN);
        assert_eq!(due, [AddressStep::Probe(address(AddressState::Tentative))]);
    }

    #[test]
    fn an_address_in_use_is_defended_now_and_then() {
        let mut addresses = Addresses::new(Duration::ZERO);
        let own = address(AddressState::Preferred);
        addresses.state([own], Duration::ZERO);
        let defend = Some(AddressStep::Defend(own));
        assert_eq!(addresses.conflict(own.address, STEP), defend);
        assert_eq!(addresses.conflict(own.address, 2 * STEP), None);
        assert_eq!(addresses.conflict(own.address, STEP + DEFEND), defend);
    }

    #[test]
    fn what_stays_keeps_its_state() {
        let mut addresses = addresses();
        for probe in 0..=3 {
            addresses.due(probe * STEP);
        }
        let tagged = HostAddress {
            mtu: 9000,
            ..address(AddressState::Preferred)
        };
        addresses.state([tagged], 5 * STEP);
        assert_eq!(addresses.iter().copied().collect::<Vec<_>>(), [tagged]);
        assert_eq!(addresses.due(5 * STEP), []);
    }
}

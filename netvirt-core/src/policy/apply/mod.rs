//! Changing a copy that no packet reads.

mod groups;
mod members;
mod networks;
mod provider;
mod records;
mod routes;

use super::change::{Change, DscpPolicy, Settings};
use super::refusal::{Missing, OutOfRange, Refusal, Refused};
use super::tables::Policy;
use super::transaction::Transaction;

impl Policy<'_> {
    /// Applies a transaction to this copy: its changes in their order, each checked against what those
    /// before it left, and then what follows from them.
    ///
    /// # Errors
    /// [`Refused`] says which change does not fit and why. The copy is then half changed and of no use until it
    /// was made a [copy](Self::copy_from) of the live one; [`Policies`](super::Policies) sees to that.
    pub fn apply(&mut self, transaction: &Transaction<'_>) -> Result<(), Refused> {
        let mut is_policy = false;
        let mut change = 0;
        for item in transaction.changes() {
            item.map_err(Refusal::from)
                .and_then(|item| {
                    is_policy |= item.is_policy();
                    self.change(&item)
                })
                .map_err(|why| Refused { change, why })?;
            change = change.saturating_add(1);
        }
        self.conclude(is_policy)
            .map_err(|why| Refused { change, why })
    }

    /// Ends a transaction, of which some change is policy or none.
    pub(super) fn conclude(&mut self, is_policy: bool) -> Result<(), Refusal> {
        self.finish()?;
        if is_policy {
            self.version = self.version.wrapping_add(1);
        }
        Ok(())
    }

    /// Applies a change of the network's state to a copy that packets read. Such a change is done or not done, never half, and
    /// what follows from it always fits.
    pub(super) fn learn(&mut self, change: &Change) -> Result<(), Refusal> {
        self.change(change)?;
        self.finish()
    }

    /// A change of a transaction, which [`conclude`](Self::conclude) ends.
    pub(super) fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        if let Change::SetSettings(settings) = change {
            return self.set_settings(settings);
        }
        if self.settings.is_none() {
            return Err(Refusal::Missing(Missing::Settings));
        }
        match change {
            Change::SetSettings(settings) => self.set_settings(settings),
            Change::AddDomain(domain) => self.add_domain(*domain),
            Change::RemoveDomain(domain) => self.remove_domain(*domain),
            Change::AddSubnet { vsid, domain } => self.add_subnet(*vsid, *domain),
            Change::RemoveSubnet(vsid) => self.remove_subnet(*vsid),
            Change::AddPort(port) => self.add_port(port),
            Change::RemovePort(port) => self.remove_port(*port),
            Change::AddPeering(peering) => self.add_peering(peering),
            Change::RemovePeering(peering) => self.remove_peering(peering),
            Change::AddCustomerRoute(route) => self.add_customer_route(route),
            Change::SetCustomerRoute(route) => self.set_customer_route(route),
            Change::RemoveCustomerRoute(route) => self.remove_customer_route(route),
            Change::AddRecord(record) => self.add_record(record),
            Change::SetRecord(record) => self.set_record(record),
            Change::MoveRecord(name, location) => self.move_record(name, *location),
            Change::RetireMigration(name) => self.retire_migration(name),
            Change::RemoveRecord(name) => self.remove_record(name).map(|_subnet| ()),
            Change::AddHost(host) => self.add_host(*host),
            Change::RemoveHost(host) => self.remove_host(*host),
            Change::AddHostAddress(host, address) => self.add_host_address(*host, *address),
            Change::RemoveHostAddress(host, address) => self.remove_host_address(*host, *address),
            Change::AddProviderAddress(address) => self.add_provider_address(address),
            Change::SetProviderAddress(address) => self.set_provider_address(address),
            Change::RemoveProviderAddress(address) => self.remove_provider_address(*address),
            Change::AddProviderRoute(route) => self.add_provider_route(route),
            Change::SetProviderRoute(route) => self.set_provider_route(route),
            Change::RemoveProviderRoute(route) => self.remove_provider_route(route),
            Change::SetNeighbour(neighbour) => self.set_neighbour(neighbour),
            Change::RemoveNeighbour { uplink, address } => self.remove_neighbour(*uplink, *address),
            Change::SetPathMtu { address, mtu } => self.set_path_mtu(*address, *mtu),
            Change::RemovePathMtu { address } => self.remove_path_mtu(*address),
            Change::SetAddressState { address, state } => self.set_address_state(*address, *state),
            Change::AddMulticastGroup(group) => self.add_multicast_group(group),
            Change::RemoveMulticastGroup { vsid, address } => {
                self.remove_multicast_group(*vsid, *address)
            }
        }
    }

    fn set_settings(&mut self, settings: &Settings) -> Result<(), Refusal> {
        settings.router_mac.unicast()?;
        // Beyond it, hosts and ports could not be told apart in a record.
        if settings.local_host.0 > i32::MAX as u32 {
            return Err(Refusal::OutOfRange(OutOfRange::HostNumber));
        }
        if settings.outer_ttl == 0 {
            return Err(Refusal::OutOfRange(OutOfRange::OuterTtl));
        }
        if matches!(settings.dscp, DscpPolicy::Pipe(dscp) if dscp > 63) {
            return Err(Refusal::OutOfRange(OutOfRange::Dscp));
        }
        if self
            .settings
            .is_some_and(|present| present.local_host != settings.local_host)
        {
            return Err(Refusal::Exists(Missing::Host(settings.local_host)));
        }
        self.settings = Some(*settings);
        Ok(())
    }

    /// What follows from the changes as a whole.
    fn finish(&mut self) -> Result<(), Refusal> {
        self.look_for_ipv6_subnets();
        if self.paths_dirty {
            self.resolve_all_paths();
            self.resolve_all_groups();
            self.find_providers_of_records();
        }
        self.check_mtu()?;
        self.rebuild_dirty_domains()
    }
}

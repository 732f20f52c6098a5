//! Where the broadcast of a subnet goes: its ports, and the other hosts that have machines in it.

use super::super::change::{Location, LookupRecord, Method};
use super::super::members::{Member, link_to, linked, member_key};
use super::super::refusal::{InTable, Refusal, TableName};
use super::super::tables::Policy;
use crate::address::{HostId, PortId};

impl Policy<'_> {
    /// A record that was added makes its host a member of its subnet.
    pub(super) fn join(&mut self, record: &LookupRecord, subnet: u32) -> Result<(), Refusal> {
        let Location::Host(host) = record.location else {
            return Ok(());
        };
        if is_rewrite(record) {
            self.count_rewritten(subnet, 1);
            return Ok(());
        }
        if let Some(member) = self.member_mut(subnet, host) {
            member.records = member.records.saturating_add(1);
            return Ok(());
        }
        let second = self.subnet(subnet).map_or(0, |subnet| subnet.first_host);
        self.members
            .insert(Member::first(subnet, host, second), |_, _, _| {})
            .of(TableName::SubnetMembers)?;
        self.link_members(subnet, Some(host), linked(second));
        self.link_members(subnet, None, Some(host));
        self.count_hosts(subnet, 1);
        Ok(())
    }

    /// A record that goes may have been the last to make its host a member.
    pub(super) fn part(&mut self, record: &LookupRecord, subnet: u32) {
        let Location::Host(host) = record.location else {
            return;
        };
        if is_rewrite(record) {
            self.count_rewritten(subnet, -1);
            return;
        }
        let Some(member) = self.member_mut(subnet, host) else {
            return;
        };
        member.records = member.records.saturating_sub(1);
        if member.records > 0 {
            return;
        }
        let (previous, next) = (linked(member.previous), linked(member.next));
        self.members.remove(&member_key(subnet, host));
        self.link_members(subnet, previous, next);
        self.count_hosts(subnet, -1);
    }

    /// Makes two members neighbours; none is the end of the chain.
    fn link_members(&mut self, subnet: u32, before: Option<HostId>, behind: Option<HostId>) {
        let (to_before, to_behind) = (before.map_or(0, link_to), behind.map_or(0, link_to));
        match before.map(|host| self.member_mut(subnet, host)) {
            Some(Some(member)) => member.next = to_behind,
            Some(None) => {}
            None => {
                if let Some(subnet) = self.subnets.get_mut(subnet as usize) {
                    subnet.first_host = to_behind;
                }
            }
        }
        if let Some(member) = behind.and_then(|host| self.member_mut(subnet, host)) {
            member.previous = to_before;
        }
    }

    fn member_mut(&mut self, subnet: u32, host: HostId) -> Option<&mut Member> {
        let slot = self.members.slot_of(&member_key(subnet, host))?;
        self.members.at_mut(slot)
    }

    fn count_hosts(&mut self, subnet: u32, by: i32) {
        if let Some(subnet) = self.subnets.get_mut(subnet as usize) {
            subnet.hosts = subnet.hosts.saturating_add_signed(by);
        }
    }

    fn count_rewritten(&mut self, subnet: u32, by: i32) {
        if let Some(subnet) = self.subnets.get_mut(subnet as usize) {
            subnet.rewritten = subnet.rewritten.saturating_add_signed(by);
        }
    }

    /// Puts a port in front of the other ports of its subnet.
    pub(super) fn link_port(&mut self, port: PortId, subnet: u32) {
        if let Some(subnet) = self.subnets.get_mut(subnet as usize)
            && let Some(entry) = self.ports.get_mut(port.index())
        {
            entry.next = core::mem::replace(&mut subnet.first_port, port.0.wrapping_add(1));
        }
    }

    /// Takes a port out of the ports of its subnet. A host has few.
    pub(super) fn unlink_port(&mut self, port: PortId, subnet: u32) {
        let next = self.port(port).map_or(0, |entry| entry.next);
        let before = self
            .ports_of(subnet)
            .find(|other| self.port(*other).and_then(|entry| entry.next_port()) == Some(port));
        match before {
            Some(before) => {
                if let Some(before) = self.ports.get_mut(before.index()) {
                    before.next = next;
                }
            }
            None => {
                if let Some(subnet) = self.subnets.get_mut(subnet as usize) {
                    subnet.first_port = next;
                }
            }
        }
    }
}

/// Whether a record's machine is reached without a tunnel, where broadcast does not come.
const fn is_rewrite(record: &LookupRecord) -> bool {
    matches!(record.method, Method::Rewrite { .. })
}

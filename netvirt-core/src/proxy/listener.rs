//! The host listens for questions about its IPv6 addresses, and says so to switches that send groups only to listeners.

use core::net::IpAddr;

use super::Owned;
use super::arp::check_vlan;
use crate::address::{MacAddress, UplinkId, VlanId};
use crate::datapath::{Frame, Outcome, Punt};
use crate::edit::NoRoom;
use crate::policy::{HostAddress, Policy};
use crate::wire::{Facts, ListenerReport, is_listener_query, solicited_node};

impl HostAddress {
    /// Writes the report to be sent before each [`probe`](Self::probe): without it a switch that snoops keeps questions
    /// for the address away (RFC 4862 §5.4.2). `out` takes [`LONGEST_MESSAGE`](super::LONGEST_MESSAGE) bytes. Yields the
    /// frame's length; none with IPv4, where questions are broadcast.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn listener_report(&self, out: &mut [u8]) -> Result<Option<usize>, NoRoom> {
        report(self.address.get(), self.mac, self.vlan, out)
    }
}

impl Owned {
    /// Writes the report to be sent before each [`announcement`](Self::announcement) and after a
    /// [`Punt::ListenerQuery`]. `out` takes [`LONGEST_MESSAGE`](super::LONGEST_MESSAGE) bytes. Yields the frame's length;
    /// none with IPv4, where questions are broadcast.
    ///
    /// # Errors
    /// [`NoRoom`] if `out` is too short.
    pub fn listener_report(&self, out: &mut [u8]) -> Result<Option<usize>, NoRoom> {
        report(self.address, self.mac, self.vlan, out)
    }
}

fn report(
    address: IpAddr,
    mac: MacAddress,
    vlan: Option<VlanId>,
    out: &mut [u8],
) -> Result<Option<usize>, NoRoom> {
    let IpAddr::V6(address) = address else {
        return Ok(None);
    };
    let report = ListenerReport {
        group: solicited_node(address),
    };
    report.emit(mac, vlan, out).ok_or(NoRoom).map(Some)
}

/// A packet for none of our addresses may ask which groups we listen to.
#[cold]
pub(crate) fn query(
    policy: &Policy<'_>,
    frame: &Frame<'_>,
    facts: &Facts,
    uplink: UplinkId,
) -> Option<Outcome<'static>> {
    let is_our_network =
        |own: &HostAddress| own.uplink == uplink && check_vlan(facts, own.vlan).is_ok();
    let is_for_us =
        is_listener_query(frame.window, facts) && policy.provider_addresses().any(is_our_network);
    is_for_us.then_some(Outcome::Punt(Punt::ListenerQuery { uplink }))
}

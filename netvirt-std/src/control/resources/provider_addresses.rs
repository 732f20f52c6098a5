//! The provider addresses of the host itself.

use std::net::IpAddr;

use netvirt_core::policy::{AddressState, HostAddress};
use serde::{Deserialize, Serialize};

use super::or_nothing;
use crate::control::access::Access;
use crate::control::list::{Listed, Resource};
use crate::control::problem::Refusal;
use crate::report::{Align, Table};

/// A provider address of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAddressView {
    /// The address.
    pub address: IpAddr,
    /// The length of its on-link prefix, in bits.
    pub prefix_length: u8,
    /// The network interface of the host.
    pub interface: Option<String>,
    /// The MAC address that has it.
    pub mac: String,
    /// The VLAN of the physical network, if it is tagged.
    pub vlan: Option<u16>,
    /// The IP MTU of the physical network, in bytes.
    pub mtu: u16,
    /// What is known of its uniqueness: `preferred`, `deprecated`, `tentative` or `duplicate`.
    pub state: String,
}

impl ProviderAddressView {
    fn new(own: &HostAddress, interface: Option<&str>) -> Self {
        Self {
            address: own.address.get(),
            prefix_length: own.prefix_length,
            interface: interface.map(str::to_owned),
            mac: own.mac.to_string(),
            vlan: own.vlan.map(|vlan| vlan.get()),
            mtu: own.mtu,
            state: state_name(own.state).to_owned(),
        }
    }
}

const fn state_name(state: AddressState) -> &'static str {
    match state {
        AddressState::Preferred => "preferred",
        AddressState::Deprecated => "deprecated",
        AddressState::Tentative => "tentative",
        AddressState::Duplicate => "duplicate",
    }
}

impl Resource for ProviderAddressView {
    const NAME: &'static str = "provider-addresses";

    fn table(addresses: &[Self]) -> String {
        let mut table = Table::new([
            ("address", Align::Left),
            ("interface", Align::Left),
            ("MAC address", Align::Left),
            ("VLAN", Align::Right),
            ("MTU", Align::Right),
            ("state", Align::Left),
        ]);
        for own in addresses {
            table.row([
                &format!("{}/{}", own.address, own.prefix_length),
                &or_nothing(own.interface.as_ref()),
                &own.mac,
                &or_nothing(own.vlan),
                &own.mtu,
                &own.state,
            ]);
        }
        table.to_string()
    }
}

impl Listed for ProviderAddressView {
    fn list(access: &Access) -> Result<impl Iterator<Item = Self>, Refusal> {
        let views = access.ask(|host| {
            let interface = host.policy().uplink_interface.as_deref();
            let views = host.addresses();
            views
                .map(|own| ProviderAddressView::new(own, interface))
                .collect::<Vec<_>>()
        })?;
        Ok(views.into_iter())
    }
}

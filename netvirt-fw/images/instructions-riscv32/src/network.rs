//! The network of which the measured NIC is one host.

use core::net::{IpAddr, Ipv4Addr};

use netvirt_core::policy::*;
use netvirt_core::{
    CustomerAddress, DomainId, HostId, InvalidAddress, MacAddress, PortId, Prefix, ProviderAddress,
    UplinkId, Vsid,
};

/// Who sends or receives packets.
pub struct Station {
    pub mac: MacAddress,
    pub address: [u8; 4],
    /// Where it is, if it is near.
    pub port: u32,
}

const fn station(mac: u8, address: [u8; 4], port: u32) -> Station {
    Station {
        mac: MacAddress([6, 6, 0, 0, 0, mac]),
        address,
        port,
    }
}

/// A machine of the first subnet.
pub const NEAR: Station = station(5, [10, 0, 0, 5], 0);
/// A machine of the subnet that is rewritten.
pub const NEAR_REWRITTEN: Station = station(5, [10, 0, 0, 5], 1);
/// Machines of both subnets on the other host.
pub const FAR: Station = station(7, [10, 0, 0, 7], 0);
/// A machine of the second subnet on the other host, by way of the router.
pub const ROUTER: Station = Station {
    mac: ROUTER_MAC,
    address: [10, 0, 1, 6],
    port: 0,
};
/// A machine that no policy knows.
pub const NOBODY: Station = station(99, [10, 0, 0, 99], 0);

const ROUTER_MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xfe]);
const OWN: [u8; 4] = [192, 168, 4, 11];
const OTHER: [u8; 4] = [192, 168, 4, 22];

/// States the policy of the host.
pub fn describe(policies: &mut Policies<'_>) {
    let mut encoded = [0; 2048];
    let transaction = match encode(&mut encoded) {
        Ok(transaction) => transaction,
        Err(_) => board::fail("the policy has a wrong address"),
    };
    if policies.apply(transaction).is_err() {
        board::fail("the policy is refused");
    }
}

fn encode(buffer: &mut [u8]) -> Result<Transaction<'_>, InvalidAddress> {
    let (uplink, other) = (UplinkId(0), HostId(2));
    let (blue, green) = (DomainId(0), DomainId(1));
    let subnets = [(5001, blue, 0), (5002, blue, 1), (7001, green, 0)];
    let mut writer = TransactionWriter::new(buffer);
    let mut push = |change| {
        if writer.push(&change).is_err() {
            board::fail("the policy is too long");
        }
    };
    push(Change::SetSettings(Settings::new(HostId(1), ROUTER_MAC)));
    push(Change::AddProviderAddress(HostAddress {
        address: pa(OWN)?,
        prefix_length: 24,
        uplink,
        mac: MacAddress([2, 0, 0, 0, 0, 11]),
        vlan: None,
        mtu: 1600,
        state: AddressState::Preferred,
    }));
    push(Change::AddHost(other));
    push(Change::AddHostAddress(other, pa(OTHER)?));
    push(Change::SetNeighbour(Neighbour {
        uplink,
        address: pa(OTHER)?,
        mac: MacAddress([2, 0, 0, 0, 0, 22]),
    }));
    push(Change::AddDomain(blue));
    push(Change::AddDomain(green));
    for (number, domain, network) in subnets {
        let vsid = Vsid::new(number)?;
        push(Change::AddSubnet { vsid, domain });
        push(Change::AddCustomerRoute(CustomerRoute {
            vsid,
            prefix: Prefix::new(ip([10, 0, network, 0]), 24)?,
            target: RouteTarget::OnLink,
            metric: 0,
        }));
    }
    for (machine, number) in [(&NEAR, 5001), (&NEAR_REWRITTEN, 7001)] {
        push(Change::AddPort(Port {
            port: PortId(machine.port),
            vsid: Some(Vsid::new(number)?),
            mac: machine.mac,
        }));
    }
    let far = Location::Host(other);
    let c = station(6, [10, 0, 1, 6], 0);
    let here = |station: &Station| Location::Port(PortId(station.port));
    for (number, machine, location, rewritten) in [
        (5001, &NEAR, here(&NEAR), None),
        (5001, &FAR, far, None),
        (5002, &c, far, None),
        (
            7001,
            &NEAR_REWRITTEN,
            here(&NEAR_REWRITTEN),
            Some([192, 168, 4, 105]),
        ),
        (7001, &FAR, far, Some([192, 168, 4, 107])),
    ] {
        let method = match rewritten {
            None => Method::Encapsulate,
            Some(address) => Method::Rewrite {
                provider_address: pa(address)?,
                use_vm_mac: false,
            },
        };
        push(Change::AddRecord(LookupRecord {
            vsid: Vsid::new(number)?,
            kind: RecordKind::Static(CustomerAddress::new(ip(machine.address))?),
            mac: machine.mac,
            location,
            previous: None,
            method,
        }));
    }
    Ok(Transaction::new(writer.finish()))
}

fn ip(address: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(address))
}

fn pa(address: [u8; 4]) -> Result<ProviderAddress, InvalidAddress> {
    ProviderAddress::new(ip(address))
}

//! The policy that is built in: the device's part of network.toml, and one machine more, `blue-3`. Who is reached by IP rewrite,
//! as the device and `blue-3`, reaches the others so; all else is NVGRE.

use core::net::{IpAddr, Ipv4Addr};

use netvirt_core::policy::{
    AddressState, Change, CustomerRoute, HostAddress, Location, LookupRecord, MAX_CHANGE_LENGTH,
    Method, Policies, Port, RecordKind, RouteTarget, Settings, Transaction, TransactionWriter,
};
use netvirt_core::{CustomerAddress, DomainId, HostId, MacAddress, Prefix, ProviderAddress, Vsid};

use crate::config::{CUSTOMER, MTU, PORT, PROVIDER};

/// The policy does not fit together, or not into the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

const ROUTER: MacAddress = MacAddress([0x02, 0x15, 0x5d, 0, 0, 1]);
const BLUE: DomainId = DomainId(0);
const BLUE_1: Vsid = match Vsid::new(5001) {
    Ok(vsid) => vsid,
    Err(_) => panic!("no tenant may have this VSID"),
};
const DEVICE: HostId = HostId(0);
const OTHER: HostId = HostId(1);

const RECORDS: [LookupRecord; 3] = [
    // The device itself.
    record(
        CUSTOMER.address(),
        PORT.mac,
        Location::Port(PORT.port),
        rewrite(150),
    ),
    // blue-2
    record(
        Ipv4Addr::new(10, 0, 0, 7),
        MacAddress([6, 6, 0, 0, 0, 7]),
        Location::Host(OTHER),
        Method::Encapsulate,
    ),
    // blue-3
    record(
        Ipv4Addr::new(10, 0, 0, 8),
        MacAddress([6, 6, 0, 0, 0, 8]),
        Location::Host(OTHER),
        rewrite(208),
    ),
];

/// Lets the policy hold. `ethernet` is the MAC address of the device's Ethernet controller.
///
/// # Errors
/// [`Unfit`]
pub fn apply(policies: &mut Policies<'_>, ethernet: MacAddress) -> Result<(), Unfit> {
    let changes = changes(ethernet)?;
    let mut encoded = [0; CHANGES * MAX_CHANGE_LENGTH];
    let mut writer = TransactionWriter::new(&mut encoded);
    for change in &changes {
        writer.push(change).map_err(|_| Unfit)?;
    }
    let transaction = Transaction::new(writer.finish());
    policies.apply(transaction).map_err(|_| Unfit)
}

const CHANGES: usize = 11;

fn changes(ethernet: MacAddress) -> Result<[Change; CHANGES], Unfit> {
    let on_link = Prefix::of(CUSTOMER.address().into(), CUSTOMER.prefix_len());
    let [device, blue_2, blue_3] = RECORDS.map(Change::AddRecord);
    Ok([
        Change::SetSettings(Settings::new(DEVICE, ROUTER)),
        Change::AddProviderAddress(HostAddress {
            address: provider(PROVIDER.address()),
            prefix_length: PROVIDER.prefix_len(),
            uplink: PORT.uplink,
            mac: ethernet,
            vlan: None,
            mtu: MTU,
            state: AddressState::Preferred,
        }),
        Change::AddHost(OTHER),
        Change::AddHostAddress(OTHER, provider(Ipv4Addr::new(192, 168, 4, 22))),
        Change::AddDomain(BLUE),
        Change::AddSubnet {
            vsid: BLUE_1,
            domain: BLUE,
        },
        Change::AddCustomerRoute(CustomerRoute {
            vsid: BLUE_1,
            prefix: on_link.map_err(|_| Unfit)?,
            target: RouteTarget::OnLink,
            metric: 255,
        }),
        Change::AddPort(Port {
            port: PORT.port,
            vsid: Some(BLUE_1),
            mac: PORT.mac,
        }),
        device,
        blue_2,
        blue_3,
    ])
}

const fn record(
    address: Ipv4Addr,
    mac: MacAddress,
    location: Location,
    method: Method,
) -> LookupRecord {
    let Ok(address) = CustomerAddress::new(IpAddr::V4(address)) else {
        panic!("no machine may have this address");
    };
    LookupRecord {
        vsid: BLUE_1,
        kind: RecordKind::Static(address),
        mac,
        location,
        previous: None,
        method,
    }
}

const fn rewrite(last: u8) -> Method {
    Method::Rewrite {
        provider_address: provider(Ipv4Addr::new(192, 168, 4, last)),
        use_vm_mac: false,
    }
}

const fn provider(address: Ipv4Addr) -> ProviderAddress {
    match ProviderAddress::new(IpAddr::V4(address)) {
        Ok(address) => address,
        Err(_) => panic!("no host may have this address"),
    }
}

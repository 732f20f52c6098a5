//! Random changes, legal and illegal, of few things so that they meet.

use netvirt_core::policy::*;
use netvirt_core::*;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::*;

fn any_vsid() -> impl Strategy<Value = Vsid> {
    select(vec![5001, 5002, 6001, 7001]).prop_map(vsid)
}

fn any_domain() -> impl Strategy<Value = DomainId> {
    // Rarely one that no table holds.
    prop_oneof![12 => 0..3u32, 1 => Just(99)].prop_map(DomainId)
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    select(vec![
        "10.0.0.0/24",
        "10.0.0.0/29",
        "10.0.0.8/29",
        "10.0.1.0/24",
        "10.0.0.0/16",
        "0.0.0.0/0",
        "10.0.2.4/30",
        "fd00:1::/64",
        "fd00:2::/64",
        "::/0",
    ])
    .prop_map(prefix)
}

fn any_customer_address() -> impl Strategy<Value = CustomerAddress> {
    select(vec![
        "10.0.0.1",
        "10.0.0.5",
        "10.0.0.7",
        "10.0.0.9",
        "10.0.0.10",
        "10.0.1.5",
        "10.0.2.5",
        "10.0.2.6",
        "fd00:1::1",
        "fd00:1::5",
        "fd00:1::6",
        "fd00:2::5",
    ])
    .prop_map(ca)
}

fn any_provider_address() -> impl Strategy<Value = ProviderAddress> {
    select(vec![
        "192.168.4.1",
        "192.168.4.2",
        "192.168.4.3",
        "192.168.4.4",
        "192.168.5.1",
        "192.168.5.2",
        "fd01::1",
        "fd01::2",
        "fd02::1",
        "fd02::2",
    ])
    .prop_map(pa)
}

fn any_mac() -> impl Strategy<Value = MacAddress> {
    prop_oneof![
        20 => (1..4u8).prop_map(|last| MacAddress([2, 0, 0, 0, 0, last])),
        1 => Just(MacAddress::BROADCAST),
    ]
}

fn any_host() -> impl Strategy<Value = HostId> {
    prop_oneof![12 => 1..4u32, 1 => Just(99)].prop_map(HostId)
}

fn any_port() -> impl Strategy<Value = PortId> {
    prop_oneof![12 => 0..4u32, 1 => Just(99)].prop_map(PortId)
}

fn any_location() -> impl Strategy<Value = Location> {
    prop_oneof![
        any_port().prop_map(Location::Port),
        any_host().prop_map(Location::Host),
    ]
}

fn any_route() -> impl Strategy<Value = CustomerRoute> {
    let target = prop_oneof![
        2 => Just(RouteTarget::OnLink),
        1 => any_customer_address().prop_map(RouteTarget::Via),
    ];
    (any_vsid(), any_prefix(), target, 0..3u32).prop_map(|(vsid, prefix, target, metric)| {
        CustomerRoute {
            vsid,
            prefix,
            target,
            metric,
        }
    })
}

fn any_record() -> impl Strategy<Value = LookupRecord> {
    let kind = prop_oneof![
        4 => any_customer_address().prop_map(RecordKind::Static),
        1 => any_customer_address().prop_map(RecordKind::Dynamic),
        1 => Just(RecordKind::L2Only),
        2 => Just(RecordKind::GatewayWildcard),
    ];
    let with_provider = (any_provider_address(), any::<bool>(), any::<bool>());
    let with_provider =
        with_provider.prop_map(|(provider_address, use_vm_mac, is_in_transition)| {
            match is_in_transition {
                true => Method::Transition {
                    provider_address,
                    use_vm_mac,
                },
                false => Method::Rewrite {
                    provider_address,
                    use_vm_mac,
                },
            }
        });
    let method = prop_oneof![Just(Method::Encapsulate), with_provider];
    let previous = prop_oneof![3 => Just(None), 1 => any_host().prop_map(Some)];
    (
        any_vsid(),
        kind,
        any_mac(),
        any_location(),
        previous,
        method,
    )
        .prop_map(
            |(vsid, kind, mac, location, previous, method)| LookupRecord {
                vsid,
                kind,
                mac,
                location,
                previous,
                method,
            },
        )
}

fn any_record_name() -> impl Strategy<Value = RecordName> {
    any_record().prop_map(|record| record.name())
}

fn any_address_state() -> impl Strategy<Value = AddressState> {
    select(vec![
        AddressState::Preferred,
        AddressState::Deprecated,
        AddressState::Tentative,
    ])
}

fn any_own_address() -> impl Strategy<Value = HostAddress> {
    let state = any_address_state();
    let prefix_length = select(vec![24, 32, 64, 16, 200]);
    let mtu = prop_oneof![8 => Just(1600), 1 => Just(1300)];
    (any_provider_address(), prefix_length, any_mac(), mtu, state).prop_map(
        |(address, prefix_length, mac, mtu, state)| HostAddress {
            address,
            prefix_length,
            uplink: UplinkId(0),
            mac,
            vlan: None,
            mtu,
            state,
        },
    )
}

fn any_provider_route() -> impl Strategy<Value = ProviderRoute> {
    let prefix = select(vec!["192.168.5.0/24", "0.0.0.0/0", "fd02::/64"]).prop_map(prefix);
    (prefix, any_provider_address(), 0..3u32).prop_map(|(prefix, next_hop, metric)| ProviderRoute {
        prefix,
        next_hop,
        metric,
    })
}

fn any_neighbour() -> impl Strategy<Value = Neighbour> {
    (0..2u32, any_provider_address(), any_mac()).prop_map(|(uplink, address, mac)| Neighbour {
        uplink: UplinkId(uplink),
        address,
        mac,
    })
}

fn any_peering() -> impl Strategy<Value = Peering> {
    (any_domain(), any_domain()).prop_map(|(from, to)| Peering { from, to })
}

fn any_group() -> impl Strategy<Value = MulticastGroup> {
    let address = select(vec![
        "239.1.1.1",
        "255.255.255.255",
        "10.0.0.255",
        "10.0.0.7",
        "10.0.1.255",
        "ff02::fb",
        "fd00:1::5",
    ]);
    let provider_group = select(vec!["239.192.0.1", "239.192.0.2", "ff05::1"]);
    (any_vsid(), address, provider_group)
        .prop_map(|(vsid, address, provider_group)| group(vsid.get(), address, provider_group))
}

fn any_network_change() -> impl Strategy<Value = Change> {
    let port = (
        any_port(),
        prop::option::weighted(0.9, any_vsid()),
        any_mac(),
    )
        .prop_map(|(port, vsid, mac)| Port { port, vsid, mac });
    prop_oneof![
        3 => any_domain().prop_map(Change::AddDomain),
        1 => any_domain().prop_map(Change::RemoveDomain),
        4 => (any_vsid(), any_domain()).prop_map(|(vsid, domain)| Change::AddSubnet { vsid, domain }),
        1 => any_vsid().prop_map(Change::RemoveSubnet),
        6 => any_route().prop_map(Change::AddCustomerRoute),
        1 => any_route().prop_map(Change::SetCustomerRoute),
        2 => any_route().prop_map(Change::RemoveCustomerRoute),
        4 => any_peering().prop_map(Change::AddPeering),
        1 => any_peering().prop_map(Change::RemovePeering),
        4 => port.prop_map(Change::AddPort),
        1 => any_port().prop_map(Change::RemovePort),
        3 => any_group().prop_map(Change::AddMulticastGroup),
        1 => any_group().prop_map(|group| Change::RemoveMulticastGroup {
            vsid: group.vsid,
            address: group.address,
        }),
    ]
}

fn any_record_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        8 => any_record().prop_map(Change::AddRecord),
        4 => any_record().prop_map(Change::SetRecord),
        4 => (any_record_name(), any_location())
            .prop_map(|(name, location)| Change::MoveRecord(name, location)),
        1 => any_record_name().prop_map(Change::RetireMigration),
        2 => any_record_name().prop_map(Change::RemoveRecord),
    ]
}

fn any_provider_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => any_host().prop_map(Change::AddHost),
        1 => any_host().prop_map(Change::RemoveHost),
        4 => (any_host(), any_provider_address())
            .prop_map(|(host, address)| Change::AddHostAddress(host, address)),
        1 => (any_host(), any_provider_address())
            .prop_map(|(host, address)| Change::RemoveHostAddress(host, address)),
        2 => any_own_address().prop_map(Change::AddProviderAddress),
        1 => any_own_address().prop_map(Change::SetProviderAddress),
        1 => any_provider_address().prop_map(Change::RemoveProviderAddress),
        2 => any_provider_route().prop_map(Change::AddProviderRoute),
        1 => any_provider_route().prop_map(Change::SetProviderRoute),
        1 => any_provider_route().prop_map(Change::RemoveProviderRoute),
        2 => any_neighbour().prop_map(Change::SetNeighbour),
        1 => any_neighbour().prop_map(|known| Change::RemoveNeighbour {
            uplink: known.uplink,
            address: known.address,
        }),
        2 => (any_provider_address(), select(vec![575, 576, 1279, 1280, 1400, 9000]))
            .prop_map(|(address, mtu)| Change::SetPathMtu { address, mtu }),
        1 => any_provider_address().prop_map(|address| Change::RemovePathMtu { address }),
        1 => (any_provider_address(), any_address_state())
            .prop_map(|(address, state)| Change::SetAddressState { address, state }),
    ]
}

pub fn any_transaction() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        4 => any_network_change(),
        4 => any_record_change(),
        3 => any_provider_change(),
    ];
    prop_oneof![
        3 => prop::collection::vec(change.clone(), 1),
        1 => prop::collection::vec(change, 2..5),
    ]
}

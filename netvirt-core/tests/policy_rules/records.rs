//! Lookup records and migrations.

use netvirt_core::policy::*;
use netvirt_core::*;

use crate::support::*;
use crate::{accept, refuse};

const BLUE_1: (u32, &str) = (BLUE_VSID, "10.0.0.5");
const BLUE_2: (u32, &str) = (BLUE_VSID, "10.0.0.7");
const HOST_3: HostId = HostId(3);

fn name((number, address): (u32, &str)) -> RecordName {
    RecordName::Address(vsid(number), ca(address))
}

fn remote(address: &str) -> LookupRecord {
    record(BLUE_VSID, address, "060600000009", Location::Host(HOST_2))
}

fn wildcard(adapter: &str, location: Location) -> LookupRecord {
    LookupRecord {
        kind: RecordKind::GatewayWildcard,
        ..record(BLUE_VSID, "10.0.0.9", adapter, location)
    }
}

fn present(policies: &mut Policies<'_>, wanted: RecordName) -> Option<LookupRecord> {
    let records = Dump::of_both(policies).lookup_records;
    records.into_iter().find(|record| record.name() == wanted)
}

fn host_3() -> [Change; 2] {
    [
        Change::AddHost(HOST_3),
        Change::AddHostAddress(HOST_3, pa("192.168.4.33")),
    ]
}

#[test]
fn a_record_needs_what_it_names() {
    let stray = LookupRecord {
        vsid: vsid(9999),
        ..remote("10.0.0.9")
    };
    let nowhere = LookupRecord {
        location: Location::Host(HOST_3),
        ..remote("10.0.0.9")
    };
    let no_port = LookupRecord {
        location: Location::Port(PortId(9)),
        ..remote("10.0.0.9")
    };
    let no_previous = LookupRecord {
        previous: Some(HOST_3),
        ..remote("10.0.0.9")
    };
    for (record, missing) in [
        (stray, Missing::Subnet(vsid(9999))),
        (nowhere, Missing::Host(HOST_3)),
        (no_port, Missing::Port(PortId(9))),
        (no_previous, Missing::Host(HOST_3)),
    ] {
        assert_eq!(
            refuse(&[Change::AddRecord(record)]),
            Refusal::Missing(missing)
        );
    }
    let absent = name((BLUE_VSID, "10.0.0.9"));
    for change in [
        Change::SetRecord(remote("10.0.0.9")),
        Change::MoveRecord(absent, Location::Host(HOST_2)),
        Change::RetireMigration(absent),
        Change::RemoveRecord(absent),
    ] {
        assert_eq!(refuse(&[change]), Refusal::Missing(Missing::Record(absent)));
    }
}

#[test]
fn spec_2_2_prefix_a_customer_address_lies_in_one_of_its_own_subnet() {
    let second = [
        Change::AddSubnet {
            vsid: vsid(5002),
            domain: BLUE,
        },
        Change::AddCustomerRoute(on_link(5002, "10.0.1.0/24")),
        Change::AddCustomerRoute(on_link(5002, "10.0.3.0/24")),
        Change::AddCustomerRoute(on_link(5002, "2001:db8:1::/64")),
        Change::AddCustomerRoute(on_link(5002, "2001:db8:3::/64")),
        Change::AddCustomerRoute(via(5002, "10.99.0.0/16", "10.0.0.7")),
    ];
    for (outside, number) in [
        ("10.0.1.9", 5001),
        ("10.0.0.9", 5002),
        ("10.0.2.9", 5002),
        ("10.99.0.9", 5002),
        ("2001:db8:2::9", 5002),
    ] {
        let outside = LookupRecord {
            vsid: vsid(number),
            ..remote(outside)
        };
        let changes = [&second[..], &[Change::AddRecord(outside)]].concat();
        assert_eq!(refuse(&changes), Refusal::OutsideSubnet(outside.name()));
    }
    for inside in ["10.0.1.9", "10.0.3.9", "2001:db8:1::9", "2001:db8:3::9"] {
        let inside = LookupRecord {
            vsid: vsid(5002),
            ..remote(inside)
        };
        accept(&[&second[..], &[Change::AddRecord(inside)]].concat());
    }
}

#[test]
fn spec_2_2_prefix_and_2_8_gateway_network_and_broadcast_addresses_belong_to_no_machine() {
    let more = [
        Change::AddCustomerRoute(on_link(BLUE_VSID, "10.1.0.0/31")),
        Change::AddCustomerRoute(on_link(BLUE_VSID, "10.2.0.7/32")),
        Change::AddCustomerRoute(on_link(BLUE_VSID, "10.3.0.0/24")),
        Change::AddCustomerRoute(on_link(BLUE_VSID, "2001:db8:1::/64")),
        Change::AddCustomerRoute(on_link(BLUE_VSID, "2001:db8:2::7/128")),
    ];
    for (reserved, in_prefix) in [
        ("10.0.0.0", "10.0.0.0/24"),
        ("10.0.0.1", "10.0.0.0/24"),
        ("10.0.0.255", "10.0.0.0/24"),
        ("10.3.0.1", "10.3.0.0/24"),
        ("10.1.0.1", "10.1.0.0/31"),
        ("2001:db8:1::1", "2001:db8:1::/64"),
    ] {
        let changes = [&more[..], &[Change::AddRecord(remote(reserved))]].concat();
        assert_eq!(
            refuse(&changes),
            Refusal::ReservedAddress(name((BLUE_VSID, reserved)), prefix(in_prefix))
        );
    }
    for free in [
        "10.0.0.2",
        "10.0.0.254",
        "10.1.0.0",
        "10.2.0.7",
        "2001:db8:1::ffff",
        "2001:db8:2::7",
    ] {
        accept(&[&more[..], &[Change::AddRecord(remote(free))]].concat());
    }
}

#[test]
fn spec_2_2_key_an_address_has_one_record_in_a_subnet() {
    let blue2 = remote("10.0.0.7");
    assert_eq!(
        refuse(&[Change::AddRecord(blue2)]),
        Refusal::Exists(Missing::Record(blue2.name()))
    );
    let same_machine = record(
        BLUE_VSID,
        "10.0.0.8",
        "060600000007",
        Location::Host(HOST_2),
    );
    accept(&[Change::AddRecord(same_machine)]);
}

#[test]
fn spec_2_2_mac_of_a_record_is_unicast() {
    let group = LookupRecord {
        mac: MacAddress::BROADCAST,
        ..remote("10.0.0.9")
    };
    assert_eq!(
        refuse(&[Change::AddRecord(group)]),
        Refusal::Address(InvalidAddress::MacNotUnicast(group.mac))
    );
}

#[test]
fn spec_2_1_delivery_a_local_record_agrees_with_its_port() {
    let own = record(
        BLUE_VSID,
        "10.0.0.6",
        "060600000005",
        Location::Port(BLUE_PORT),
    );
    accept(&[Change::AddRecord(own)]);
    let other_mac = LookupRecord {
        mac: mac("060600000006"),
        ..own
    };
    let other_vsid = LookupRecord {
        vsid: vsid(RED_VSID),
        ..own
    };
    for wrong in [other_mac, other_vsid] {
        assert_eq!(
            refuse(&[Change::AddRecord(wrong)]),
            Refusal::PortMismatch(BLUE_PORT, wrong.name())
        );
    }
}

#[test]
fn this_host_is_named_by_its_ports_never_by_its_number() {
    let here = LookupRecord {
        location: Location::Host(HOST_1),
        ..remote("10.0.0.9")
    };
    for change in [
        Change::AddRecord(here),
        Change::AddHost(HOST_1),
        Change::MoveRecord(name(BLUE_2), Location::Host(HOST_1)),
    ] {
        assert_eq!(refuse(&[change]), Refusal::LocalHost(HOST_1));
    }
}

#[test]
fn a_record_on_a_host_without_address_is_unreachable() {
    let there = LookupRecord {
        location: Location::Host(HOST_3),
        ..remote("10.0.0.9")
    };
    assert_eq!(
        refuse(&[Change::AddHost(HOST_3), Change::AddRecord(there)]),
        Refusal::Unreachable(HOST_3)
    );
}

#[test]
fn spec_1_7_1_rewrite_stays_within_a_family_and_needs_an_address() {
    for with_provider in [rewritten, in_transition] {
        let record = with_provider(remote("10.0.0.9"), "2001:db8:f::9");
        assert_eq!(
            refuse(&[Change::AddRecord(record)]),
            Refusal::RewriteFamily(record.name())
        );
        for kind in [RecordKind::L2Only, RecordKind::GatewayWildcard] {
            let record = LookupRecord {
                kind,
                ..with_provider(remote("10.0.0.9"), "192.168.4.99")
            };
            assert_eq!(
                refuse(&[Change::AddRecord(record)]),
                Refusal::RewriteWithoutAddress(record.name())
            );
        }
    }
}

#[test]
fn spec_2_4_owner_a_provider_address_belongs_to_one() {
    for with_provider in [rewritten, in_transition] {
        one_owner(with_provider);
    }
}

fn one_owner(with_provider: fn(LookupRecord, &str) -> LookupRecord) {
    let rewrite = |provider| Change::AddRecord(with_provider(remote("10.0.0.9"), provider));
    let taken = |address| Refusal::ProviderAddressTaken(pa(address));
    for owned in ["192.168.4.11", "192.168.4.22"] {
        assert_eq!(refuse(&[rewrite(owned)]), taken(owned), "by a host");
    }
    let free = "192.168.4.99";
    let second = Change::AddRecord(rewritten(remote("10.0.0.10"), free));
    assert_eq!(refuse(&[rewrite(free), second]), taken(free), "by a record");
    let own = Change::AddProviderAddress(own_address(free, 24));
    assert_eq!(refuse(&[rewrite(free), own]), taken(free), "by a record");
    let other = Change::AddHostAddress(HOST_2, pa(free));
    assert_eq!(refuse(&[rewrite(free), other]), taken(free), "by a record");
    accept(&[
        rewrite(free),
        Change::RemoveRecord(name((BLUE_VSID, "10.0.0.9"))),
        second,
    ]);
    accept(&[
        rewrite(free),
        Change::SetRecord(remote("10.0.0.9")),
        second,
        Change::SetRecord(rewritten(remote("10.0.0.9"), "192.168.4.98")),
    ]);
    accept(&[
        rewrite(free),
        Change::SetRecord(rewritten(remote("10.0.0.9"), free)),
    ]);
}

/// Whatever the method was before: the record then says the new one, and owns what that names and nothing else.
#[test]
fn spec_2_2_method_changes_from_any_to_any() {
    let addresses = ["192.168.4.98", "192.168.4.99"];
    let mut methods = vec![remote("10.0.0.9")];
    for provider in addresses {
        methods.push(rewritten(remote("10.0.0.9"), provider));
        methods.push(in_transition(remote("10.0.0.9"), provider));
    }
    for before in &methods {
        for after in &methods {
            let mut policies = accept(&[Change::AddRecord(*before), Change::SetRecord(*after)]);
            assert_eq!(present(&mut policies, after.name()), Some(*after));
            for provider in addresses {
                let claim = Change::AddProviderAddress(own_address(provider, 24));
                let is_taken = after.method.provider_address() == Some(pa(provider));
                match apply(&mut policies, &[claim]) {
                    Ok(()) => assert!(!is_taken, "{before:?} to {after:?}"),
                    Err(refused) => {
                        assert_eq!(refused.why, Refusal::ProviderAddressTaken(pa(provider)));
                        assert!(is_taken, "{before:?} to {after:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_record_comes_out_as_it_was_said() {
    let cases = [
        remote("10.0.0.9"),
        LookupRecord {
            kind: RecordKind::Dynamic(ca("10.0.0.9")),
            previous: Some(HOST_1),
            ..remote("10.0.0.9")
        },
        LookupRecord {
            method: Method::Rewrite {
                provider_address: pa("192.168.4.99"),
                use_vm_mac: true,
            },
            ..remote("10.0.0.9")
        },
        LookupRecord {
            method: Method::Transition {
                provider_address: pa("192.168.4.99"),
                use_vm_mac: true,
            },
            ..remote("10.0.0.9")
        },
        rewritten(remote("2001:db8:1::9"), "2001:db8:f::9"),
        in_transition(remote("2001:db8:1::9"), "2001:db8:f::9"),
        LookupRecord {
            kind: RecordKind::L2Only,
            ..remote("10.0.0.9")
        },
        wildcard("060600000009", Location::Host(HOST_2)),
        wildcard("060600000005", Location::Port(BLUE_PORT)),
    ];
    for record in cases {
        let mut policies = accept(&[
            Change::AddCustomerRoute(on_link(BLUE_VSID, "2001:db8:1::/64")),
            Change::AddRecord(record),
            Change::AddRecord(record),
        ]);
        assert_eq!(present(&mut policies, record.name()), Some(record));
    }
}

#[test]
fn spec_2_2_set_replaces_everything_but_name_and_mac_address() {
    let set = LookupRecord {
        kind: RecordKind::Dynamic(ca("10.0.0.7")),
        mac: mac("060600000007"),
        location: Location::Host(HOST_3),
        previous: Some(HOST_2),
        ..rewritten(remote("10.0.0.7"), "192.168.4.99")
    };
    let mut policies = accept(&[&host_3()[..], &[Change::SetRecord(set)]].concat());
    assert_eq!(present(&mut policies, set.name()), Some(set));
    let other_machine = LookupRecord {
        mac: mac("060600000009"),
        ..set
    };
    assert_eq!(
        refuse(&[Change::SetRecord(other_machine)]),
        Refusal::MacDiffers(set.name(), mac("060600000007"))
    );
    assert_eq!(
        refuse(&[Change::SetRecord(LookupRecord {
            previous: Some(HostId(9)),
            ..set
        })]),
        Refusal::Missing(Missing::Host(HOST_3)),
        "and is checked like a new one"
    );
}

#[test]
fn spec_2_2_move_a_machine_leaves_its_previous_host_behind() {
    let mut policies = accept(&host_3());
    let port_2 = Change::AddPort(port(2, BLUE_VSID, "060600000007"));
    apply(&mut policies, &[port_2]).unwrap();
    let mut moved = |change: Change| {
        apply(&mut policies, &[change]).unwrap();
        let record = present(&mut policies, name(BLUE_2)).unwrap();
        (record.location, record.previous)
    };
    let to = |location| Change::MoveRecord(name(BLUE_2), location);
    let here = Location::Port(PortId(2));
    let on_2 = Location::Host(HOST_2);
    let on_3 = Location::Host(HOST_3);
    assert_eq!(moved(to(on_3)), (on_3, Some(HOST_2)));
    assert_eq!(moved(to(on_3)), (on_3, Some(HOST_2)), "not moved at all");
    assert_eq!(moved(to(here)), (here, Some(HOST_3)), "to this host");
    assert_eq!(moved(to(on_2)), (on_2, Some(HOST_1)), "from this host");
    let retire = Change::RetireMigration(name(BLUE_2));
    assert_eq!(moved(retire), (on_2, None));
    assert_eq!(moved(retire), (on_2, None), "twice is no error");
}

#[test]
fn a_machine_moves_only_to_where_it_can_be() {
    let to_port = Change::MoveRecord(name(BLUE_2), Location::Port(BLUE_PORT));
    assert_eq!(
        refuse(&[to_port]),
        Refusal::PortMismatch(BLUE_PORT, name(BLUE_2))
    );
    let to_host = Change::MoveRecord(name(BLUE_2), Location::Host(HOST_3));
    assert_eq!(refuse(&[to_host]), Refusal::Missing(Missing::Host(HOST_3)));
    assert_eq!(
        refuse(&[Change::AddHost(HOST_3), to_host]),
        Refusal::Unreachable(HOST_3)
    );
}

#[test]
fn a_previous_host_is_in_use_until_the_migration_is_retired() {
    let mut changes = host_3().to_vec();
    changes.extend(
        [BLUE_2, (RED_VSID, "10.0.0.7")]
            .map(|record| Change::MoveRecord(name(record), Location::Host(HOST_3))),
    );
    changes.push(Change::RetireMigration(name(BLUE_2)));
    changes.push(Change::RemoveHost(HOST_2));
    assert_eq!(refuse(&changes), Refusal::InUse(Missing::Host(HOST_2), 1));
    changes.pop();
    changes.push(Change::RetireMigration(name((RED_VSID, "10.0.0.7"))));
    changes.push(Change::RemoveHost(HOST_2));
    accept(&changes);
}

#[test]
fn a_port_is_free_when_its_machine_has_moved_away() {
    assert_eq!(
        refuse(&[Change::RemovePort(BLUE_PORT)]),
        Refusal::InUse(Missing::Port(BLUE_PORT), 1)
    );
    let mut policies = accept(&[
        Change::MoveRecord(name(BLUE_1), Location::Host(HOST_2)),
        Change::RemovePort(BLUE_PORT),
    ]);
    let record = present(&mut policies, name(BLUE_1)).unwrap();
    assert_eq!(record.previous, Some(HOST_1));
}

#[test]
fn spec_2_2_wildcard_a_mac_address_has_one_record_without_customer_address() {
    let gateway = wildcard("060600000009", Location::Host(HOST_2));
    let l2_only = LookupRecord {
        kind: RecordKind::L2Only,
        ..gateway
    };
    assert_eq!(
        refuse(&[Change::AddRecord(gateway), Change::AddRecord(l2_only)]),
        Refusal::Exists(Missing::Record(RecordName::Mac(
            vsid(BLUE_VSID),
            gateway.mac
        )))
    );
    let mut policies = accept(&[Change::AddRecord(gateway), Change::SetRecord(l2_only)]);
    assert_eq!(present(&mut policies, gateway.name()), Some(l2_only));
}

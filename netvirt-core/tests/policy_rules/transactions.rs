//! Transactions: all or nothing, in order, versions, encoding, capacity.

use netvirt_core::policy::*;
use netvirt_core::table::UnequalCapacity;
use netvirt_core::*;

use crate::support::*;
use crate::{accept, refusal, refuse};

#[test]
fn two_hosts_with_two_tenants_are_a_policy() {
    let mut policies = policies_of(&two_hosts());
    let dump = Dump::of_both(&mut policies);
    assert_eq!(dump.version, 1);
    assert_eq!(dump.lookup_records.len(), 4);
    assert_eq!(
        dump.customer_routes,
        [on_link(5001, "10.0.0.0/24"), on_link(6001, "10.0.0.0/24")]
    );
    assert_eq!(dump.subnets, [(vsid(5001), BLUE), (vsid(6001), RED)]);
}

#[test]
fn spec_2_2_identical_saying_the_same_again_changes_nothing_but_the_version() {
    let mut policies = policies_of(&two_hosts());
    let mut before = Dump::of_both(&mut policies);
    apply(&mut policies, &two_hosts()).unwrap();
    before.version += 1;
    assert_eq!(Dump::of_both(&mut policies), before);
}

#[test]
fn nothing_comes_before_the_settings() {
    let mut empty = Capacities::ROOMY.policies();
    for change in two_hosts().into_iter().skip(1) {
        assert_eq!(
            refusal(&mut empty, &[change]),
            Refusal::Missing(Missing::Settings)
        );
    }
}

#[test]
fn changes_are_checked_in_order_against_what_those_before_left() {
    let domain = DomainId(5);
    let subnet = Change::AddSubnet {
        vsid: vsid(7000),
        domain,
    };
    assert_eq!(
        refuse(&[subnet]),
        Refusal::Missing(Missing::Domain(domain)),
        "what a later change adds is not there yet"
    );
    accept(&[Change::AddDomain(domain), subnet]);
    accept(&[
        Change::AddDomain(domain),
        subnet,
        Change::RemoveSubnet(vsid(7000)),
        Change::RemoveDomain(domain),
        Change::AddDomain(domain),
    ]);
    assert_eq!(
        refuse(&[
            Change::AddDomain(domain),
            subnet,
            Change::RemoveDomain(domain)
        ]),
        Refusal::InUse(Missing::Domain(domain), 1)
    );
}

#[test]
fn spec_2_11_atomic_and_6_policy_input_a_transaction_cut_short_leaves_no_trace() {
    let mut policies = policies_of(&two_hosts());
    let before = Dump::of_both(&mut policies);
    let good = Change::AddDomain(DomainId(5));
    let whole = tx(&[good, Change::AddHost(HostId(300))]);
    let cut = &whole[..whole.len() - 1];
    assert_eq!(
        policies.apply(Transaction::new(cut)),
        Err(Refused {
            change: 1,
            why: Refusal::Malformed(MalformedChange)
        })
    );
    for garbage in [&[0xff][..], &[0x7f, 0, 0]] {
        let refused = policies.apply(Transaction::new(garbage)).unwrap_err();
        assert_eq!(refused.why, Refusal::Malformed(MalformedChange));
    }
    assert_eq!(Dump::of_both(&mut policies), before);
}

/// What these bytes are as a transaction: done, or refused without a trace.
fn is_done(policies: &mut Policies<'_>, bytes: &[u8]) -> bool {
    let before = Dump::of_both(policies);
    let is_done = policies.apply(Transaction::new(bytes)).is_ok();
    if !is_done {
        assert_eq!(Dump::of_both(policies), before);
    }
    is_done
}

#[test]
fn spec_6_policy_input_of_any_bytes_is_done_or_refused_without_a_trace() {
    let mut policies = policies_of(&two_hosts());
    let whole = tx(&two_hosts());
    let mut done = 0;
    for at in 0..whole.len() {
        for value in [0, 0x7f, 0x80, 0xff, whole[at] ^ 1] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            done += usize::from(is_done(&mut policies, &damaged));
        }
    }
    assert!(done > 0, "no damage is another transaction");
}

#[test]
fn an_illegal_value_in_the_encoding_is_malformed() {
    let encoded = tx(&[Change::RemoveSubnet(vsid(5001))]);
    let mut reserved = encoded.clone();
    // VSID 5001 is 0x89 0x27 as a varint; 0x00 is reserved.
    assert_eq!(reserved.split_off(1), [0x89, 0x27]);
    reserved.push(0);
    let mut policies = policies_of(&two_hosts());
    let refused = policies.apply(Transaction::new(&reserved)).unwrap_err();
    assert_eq!(refused.why, Refusal::Malformed(MalformedChange));
}

#[test]
fn no_change_is_longer_than_the_longest() {
    let longest = LookupRecord {
        vsid: Vsid::MAX,
        kind: RecordKind::Dynamic(ca("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
        mac: mac("feffffffffff"),
        location: Location::Host(HostId(u32::MAX)),
        previous: Some(HostId(u32::MAX)),
        method: Method::Rewrite {
            provider_address: pa("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            use_vm_mac: true,
        },
    };
    assert!(tx(&[Change::AddRecord(longest)]).len() <= MAX_CHANGE_LENGTH);
    let mut buffer = [0; 3];
    let mut writer = TransactionWriter::new(&mut buffer);
    writer.push(&Change::AddDomain(DomainId(1))).unwrap();
    assert_eq!(
        writer.push(&Change::AddRecord(longest)),
        Err(BufferFull),
        "and what does not fit leaves what was written"
    );
    assert_eq!(writer.finish(), tx(&[Change::AddDomain(DomainId(1))]));
}

#[test]
fn methods_keep_their_numbers_in_the_encoding() {
    let provider = "192.168.4.99";
    let plain = record(
        BLUE_VSID,
        "10.0.0.9",
        "060600000009",
        Location::Host(HOST_2),
    );
    let records = [
        plain,
        rewritten(plain, provider),
        in_transition(plain, provider),
    ];
    let addressed = |number| vec![number, 0, 192, 168, 4, 99, 0];
    let numbers = [vec![0], addressed(1), addressed(2)];
    for (record, expected) in records.iter().zip(numbers) {
        assert!(tx(&[Change::AddRecord(*record)]).ends_with(&expected));
    }
}

#[test]
fn changes_come_out_of_the_encoding_as_they_went_in() {
    let changes = two_hosts();
    let encoded = tx(&changes);
    let decoded: Result<Vec<_>, _> = Transaction::new(&encoded).changes().collect();
    assert_eq!(decoded, Ok(changes));
}

#[test]
fn spec_2_11_version_is_raised_by_each_policy_transaction() {
    let mut policies = policies_of(&two_hosts());
    let router = neighbour("192.168.4.1", OTHER_UPLINK_MAC);
    let mut version_after = |changes: &[Change]| {
        apply(&mut policies, changes).unwrap();
        policies.live().version()
    };
    assert_eq!(version_after(&[]), 1);
    assert_eq!(version_after(&[Change::SetNeighbour(router)]), 1);
    assert_eq!(
        version_after(&[Change::RemoveNeighbour {
            uplink: UplinkId(0),
            address: pa("192.168.4.1")
        }]),
        1
    );
    assert_eq!(version_after(&[path_mtu("192.168.4.22", 1400)]), 1);
    let address = pa("192.168.4.22");
    assert_eq!(version_after(&[Change::RemovePathMtu { address }]), 1);
    let address = pa("192.168.4.11");
    let state = AddressState::Deprecated;
    assert_eq!(
        version_after(&[Change::SetAddressState { address, state }]),
        1
    );
    let domains = [5, 6, 7].map(|number| Change::AddDomain(DomainId(number)));
    assert_eq!(version_after(&domains), 2, "once, not once a change");
    assert_eq!(
        version_after(&[Change::SetNeighbour(router), domains[0]]),
        3
    );
}

#[test]
fn spec_2_11_atomic_a_prepared_transaction_is_invisible_until_it_is_committed() {
    let mut policies = policies_of(&two_hosts());
    let before = Dump::of_both(&mut policies);
    let changes = tx(&[Change::AddDomain(DomainId(5))]);
    let mut prepared = policies.prepare(Transaction::new(&changes)).unwrap();
    assert_eq!(prepared.version(), 2);
    prepared.abort();
    assert_eq!(Dump::of_both(&mut policies), before, "aborted");
    drop(policies.prepare(Transaction::new(&changes)).unwrap());
    assert_eq!(Dump::of_both(&mut policies), before, "forgotten");
    policies
        .prepare(Transaction::new(&changes))
        .unwrap()
        .commit();
    let after = Dump::of_both(&mut policies);
    assert_eq!(after.version, 2);
    assert!(after.domains.contains(&DomainId(5)));
}

#[test]
fn copies_of_different_size_are_refused_before_anything_happens() {
    let small = Capacities {
        provider_routes: 1,
        ..Capacities::ROOMY
    };
    let mut policies = Policies::new(Capacities::ROOMY.policy(), small.policy());
    assert_eq!(
        apply(&mut policies, &two_hosts()).map_err(|refused| refused.why),
        Err(Refusal::UnequalCapacity(UnequalCapacity))
    );
    assert_eq!(policies.live().settings(), None);
}

#[test]
fn settings_can_change_but_not_which_host_this_is() {
    let changed = Settings {
        outer_ttl: 32,
        dscp: DscpPolicy::Pipe(63),
        ..Settings::new(HOST_1, ROUTER_MAC)
    };
    let policies = accept(&[Change::SetSettings(changed)]);
    assert_eq!(policies.live().settings(), Some(&changed));
    assert_eq!(
        refuse(&[Change::SetSettings(Settings::new(HOST_2, ROUTER_MAC))]),
        Refusal::Exists(Missing::Host(HOST_2))
    );
}

#[test]
fn settings_that_no_header_can_hold_are_refused() {
    let settings = Settings::new(HOST_1, ROUTER_MAC);
    let no_ttl = Settings {
        outer_ttl: 0,
        ..settings
    };
    let no_dscp = Settings {
        dscp: DscpPolicy::Pipe(64),
        ..settings
    };
    let group = Settings::new(HOST_1, MacAddress::BROADCAST);
    assert_eq!(
        refuse(&[Change::SetSettings(no_ttl)]),
        Refusal::OutOfRange(OutOfRange::OuterTtl)
    );
    assert_eq!(
        refuse(&[Change::SetSettings(no_dscp)]),
        Refusal::OutOfRange(OutOfRange::Dscp)
    );
    assert_eq!(
        refuse(&[Change::SetSettings(group)]),
        Refusal::Address(InvalidAddress::MacNotUnicast(MacAddress::BROADCAST))
    );
    let host = HostId(1 << 31);
    assert_eq!(
        refusal(
            &mut Capacities::ROOMY.policies(),
            &[Change::SetSettings(Settings::new(host, ROUTER_MAC))]
        ),
        Refusal::OutOfRange(OutOfRange::HostNumber)
    );
}

/// A policy whose storage of one kind is exhausted, and the change that does not fit.
fn overflow(capacities: Capacities, changes: Vec<Change>) -> Refused {
    let mut policies = capacities.policies();
    let (last, changes) = changes.split_last().unwrap();
    apply(&mut policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
    let before = Dump::of_both(&mut policies);
    let refused = apply(&mut policies, &[*last]).unwrap_err();
    assert_eq!(Dump::of_both(&mut policies), before, "full changes nothing");
    refused
}

fn with(mut changes: Vec<Change>, more: impl IntoIterator<Item = Change>) -> Vec<Change> {
    changes.extend(more);
    changes
}

fn numbered_record(number: u8) -> LookupRecord {
    let address = format!("10.0.0.{}", 10 + number);
    record(5001, &address, "060600000009", Location::Host(HOST_2))
}

#[test]
fn spec_2_11_full_a_table_says_its_name() {
    let two = two_hosts;
    let roomy = Capacities::ROOMY;
    let own = |number: u8| own_address(&format!("192.168.9.{number}"), 24);
    let provider_route = |number: u8| ProviderRoute {
        prefix: prefix(&format!("172.16.{number}.0/24")),
        next_hop: pa("192.168.4.1"),
        metric: 1,
    };
    let cases = [
        (
            TableName::Records,
            Capacities {
                records: 8,
                ..roomy
            },
            with(two(), (0..5).map(|n| Change::AddRecord(numbered_record(n)))),
        ),
        (
            TableName::RewriteIndex,
            Capacities {
                rewrites: 8,
                ..roomy
            },
            with(
                two(),
                (0..9).map(|n| {
                    let provider = format!("192.168.5.{}", n + 1);
                    Change::AddRecord(rewritten(numbered_record(n), &provider))
                }),
            ),
        ),
        (
            TableName::Domains,
            Capacities {
                domains: 2,
                ..roomy
            },
            with(two(), [Change::AddDomain(DomainId(2))]),
        ),
        (
            TableName::Subnets,
            Capacities {
                subnets: 2,
                ..roomy
            },
            with(
                two(),
                [Change::AddSubnet {
                    vsid: vsid(5002),
                    domain: BLUE,
                }],
            ),
        ),
        (
            TableName::CustomerRoutes,
            Capacities { routes: 2, ..roomy },
            with(
                two(),
                [Change::AddCustomerRoute(on_link(5001, "10.0.1.0/24"))],
            ),
        ),
        (
            TableName::RouteIntervals,
            Capacities {
                intervals: 8,
                ..roomy
            },
            with(
                two(),
                [Change::AddCustomerRoute(on_link(5001, "10.0.2.0/24"))],
            ),
        ),
        (
            TableName::Peerings,
            Capacities {
                peerings: 0,
                ..roomy
            },
            with(
                vec![settings()],
                [
                    Change::AddDomain(BLUE),
                    Change::AddDomain(RED),
                    Change::AddPeering(Peering {
                        from: BLUE,
                        to: RED,
                    }),
                ],
            ),
        ),
        (
            TableName::Hosts,
            Capacities { hosts: 3, ..roomy },
            with(two(), [Change::AddHost(HostId(3))]),
        ),
        (
            TableName::Paths,
            Capacities { paths: 1, ..roomy },
            with(two(), [Change::AddHostAddress(HOST_2, pa("192.168.4.23"))]),
        ),
        (
            TableName::Ports,
            Capacities { ports: 2, ..roomy },
            with(two(), [Change::AddPort(port(2, 5001, "060600000009"))]),
        ),
        (
            TableName::ProviderAddresses,
            Capacities {
                provider_addresses: 1,
                ..roomy
            },
            with(two(), [Change::AddProviderAddress(own(1))]),
        ),
        (
            TableName::ProviderRoutes,
            Capacities {
                provider_routes: 1,
                ..roomy
            },
            with(
                two(),
                [1, 2].map(|n| Change::AddProviderRoute(provider_route(n))),
            ),
        ),
        (
            TableName::Neighbours,
            Capacities {
                neighbours: 8,
                ..roomy
            },
            with(
                two(),
                (100..108).map(|n| {
                    let address = format!("192.168.4.{n}");
                    Change::SetNeighbour(neighbour(&address, OTHER_UPLINK_MAC))
                }),
            ),
        ),
        (
            TableName::SubnetMembers,
            Capacities {
                members: 8,
                ..roomy
            },
            // Both subnets have machines on host 2 already.
            with(
                two(),
                (30..37).flat_map(|n| {
                    let host = HostId(n);
                    let address = format!("10.0.0.{n}");
                    [
                        Change::AddHost(host),
                        Change::AddHostAddress(host, pa(&format!("192.168.4.{n}"))),
                        Change::AddRecord(record(
                            BLUE_VSID,
                            &address,
                            "0606000000ff",
                            Location::Host(host),
                        )),
                    ]
                }),
            ),
        ),
        (
            TableName::MulticastGroups,
            Capacities { groups: 8, ..roomy },
            with(
                two(),
                (1..10).map(|n| {
                    let address = format!("239.1.1.{n}");
                    Change::AddMulticastGroup(group(BLUE_VSID, &address, "239.192.0.1"))
                }),
            ),
        ),
    ];
    for (table, capacities, changes) in cases {
        let refused = overflow(capacities, changes);
        assert_eq!(refused.why, Refusal::Full(table));
        assert!(refused.to_string().contains(table.name()), "{refused}");
    }
}

#[test]
fn routes_fit_if_they_fit_in_the_end() {
    let capacities = Capacities {
        routes: 4,
        intervals: 16,
        ..Capacities::ROOMY
    };
    let mut policies = capacities.policies();
    apply(&mut policies, &two_hosts()).unwrap();
    let peer = [Change::AddPeering(Peering {
        from: BLUE,
        to: DomainId(2),
    })];
    let green = [
        Change::AddDomain(DomainId(2)),
        Change::AddSubnet {
            vsid: vsid(7001),
            domain: DomainId(2),
        },
        Change::AddCustomerRoute(on_link(7001, "10.7.0.0/24")),
    ];
    // Blue and Green take over one route of the other each: five in all.
    assert_eq!(
        crate::refusal_of_whole(&mut policies, &[&green[..], &peer].concat()),
        Refusal::Full(TableName::CustomerRoutes)
    );
    let red_goes = [
        Change::RemoveRecord(RecordName::Address(vsid(6001), ca("10.0.0.5"))),
        Change::RemoveRecord(RecordName::Address(vsid(6001), ca("10.0.0.7"))),
        Change::RemovePort(RED_PORT),
        Change::RemoveCustomerRoute(on_link(6001, "10.0.0.0/24")),
    ];
    apply(&mut policies, &[&green[..], &peer, &red_goes].concat()).unwrap();
    // All four places are taken. What the peering holds is free as soon as it goes.
    let unpeer = [Change::RemovePeering(Peering {
        from: BLUE,
        to: DomainId(2),
    })];
    let more = [
        Change::AddCustomerRoute(on_link(7001, "10.7.1.0/24")),
        Change::AddCustomerRoute(on_link(7001, "10.7.2.0/24")),
    ];
    apply(&mut policies, &[&unpeer[..], &more].concat()).unwrap();
}

#[test]
fn a_prepared_transaction_that_was_forgotten_is_gone_with_the_next() {
    let mut policies = policies_of(&two_hosts());
    let mut before = Dump::of_both(&mut policies);
    let forgotten = tx(&[Change::AddDomain(DomainId(7))]);
    std::mem::forget(policies.prepare(Transaction::new(&forgotten)).unwrap());
    assert_eq!(Dump::of(policies.live()), before);
    apply(&mut policies, &[Change::AddDomain(DomainId(8))]).unwrap();
    before.domains.push(DomainId(8));
    before.version += 1;
    assert_eq!(Dump::of_both(&mut policies), before);
}

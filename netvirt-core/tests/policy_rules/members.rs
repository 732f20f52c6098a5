//! Where the broadcast of a subnet goes follows from its records and ports.

use netvirt_core::policy::*;
use netvirt_core::*;

use super::support::*;

const HOST_3: HostId = HostId(3);

/// Two hosts with two tenants, and a third host.
fn three_hosts() -> Policies<'static> {
    super::accept(&[
        Change::AddHost(HOST_3),
        Change::AddHostAddress(HOST_3, pa("192.168.4.33")),
    ])
}

fn blue(address: &str, location: Location) -> LookupRecord {
    record(BLUE_VSID, address, "060600000009", location)
}

#[track_caller]
fn apply_all(policies: &mut Policies<'_>, changes: &[Change]) {
    apply(policies, changes).unwrap_or_else(|refused| panic!("{refused}"));
}

fn hosts(policies: &Policies<'_>, subnet: u32) -> Vec<u32> {
    let mut hosts: Vec<_> = policies
        .live()
        .subnet_hosts(vsid(subnet))
        .map(|host| host.0)
        .collect();
    hosts.sort();
    hosts
}

fn ports(policies: &Policies<'_>, subnet: u32) -> Vec<u32> {
    let ports = policies.live().subnet_ports(vsid(subnet));
    ports.map(|port| port.0).collect()
}

#[test]
fn a_host_is_a_member_as_long_as_one_record_says_so() {
    let mut policies = three_hosts();
    let records = ["10.0.0.9", "10.0.0.10"].map(|address| blue(address, Location::Host(HOST_3)));
    assert_eq!(hosts(&policies, BLUE_VSID), [2]);
    for record in records {
        apply_all(&mut policies, &[Change::AddRecord(record)]);
        assert_eq!(hosts(&policies, BLUE_VSID), [2, 3]);
        assert_eq!(hosts(&policies, RED_VSID), [2]);
    }
    let [first, second] = records.map(|record| Change::RemoveRecord(record.name()));
    apply_all(&mut policies, &[first]);
    assert_eq!(hosts(&policies, BLUE_VSID), [2, 3]);
    apply_all(&mut policies, &[second]);
    assert_eq!(hosts(&policies, BLUE_VSID), [2]);
}

#[test]
fn the_members_follow_a_machine_that_moves() {
    let mut policies = three_hosts();
    let name = RecordName::Address(vsid(BLUE_VSID), ca("10.0.0.7"));
    apply_all(
        &mut policies,
        &[Change::MoveRecord(name, Location::Host(HOST_3))],
    );
    assert_eq!(hosts(&policies, BLUE_VSID), [3], "not the previous host");
    apply_all(&mut policies, &[Change::RetireMigration(name)]);
    assert_eq!(hosts(&policies, BLUE_VSID), [3]);
    let here = [
        Change::AddPort(port(7, BLUE_VSID, "060600000007")),
        Change::MoveRecord(name, Location::Port(PortId(7))),
    ];
    apply_all(&mut policies, &here);
    assert_eq!(hosts(&policies, BLUE_VSID), [] as [u32; 0]);
    assert_eq!(ports(&policies, BLUE_VSID), [7, 0]);
}

#[test]
fn machines_that_are_reached_by_rewrite_make_no_member() {
    let mut policies = three_hosts();
    let plain = blue("10.0.0.9", Location::Host(HOST_3));
    let rewrite = rewritten(plain, "192.168.5.9");
    let transition = LookupRecord {
        method: Method::Transition {
            provider_address: pa("192.168.5.9"),
            use_vm_mac: false,
        },
        ..plain
    };
    apply_all(&mut policies, &[Change::AddRecord(rewrite)]);
    assert_eq!(hosts(&policies, BLUE_VSID), [2]);
    for (record, expected) in [(transition, &[2, 3][..]), (rewrite, &[2]), (plain, &[2, 3])] {
        apply_all(&mut policies, &[Change::SetRecord(record)]);
        assert_eq!(hosts(&policies, BLUE_VSID), expected, "{:?}", record.method);
    }
}

#[test]
fn ports_leave_from_anywhere_in_the_chain() {
    let more = [2, 3, 4].map(|number| Change::AddPort(port(number, BLUE_VSID, "060600000009")));
    for (gone, left) in [(0, [4, 3, 2]), (3, [4, 2, 0]), (4, [3, 2, 0])] {
        let mut policies = super::accept(&more);
        assert_eq!(ports(&policies, BLUE_VSID), [4, 3, 2, 0]);
        if gone == 0 {
            let name = RecordName::Address(vsid(BLUE_VSID), ca("10.0.0.5"));
            apply_all(&mut policies, &[Change::RemoveRecord(name)]);
        }
        apply_all(&mut policies, &[Change::RemovePort(PortId(gone))]);
        assert_eq!(ports(&policies, BLUE_VSID), left);
        assert_eq!(ports(&policies, RED_VSID), [1]);
        let again = Change::AddPort(port(gone, RED_VSID, "060600000009"));
        apply_all(&mut policies, &[again]);
        assert_eq!(ports(&policies, BLUE_VSID), left);
        assert_eq!(ports(&policies, RED_VSID), [gone, 1]);
    }
}

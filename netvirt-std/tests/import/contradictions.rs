//! What cannot hold at once: named with both places.

use netvirt_std::policy_file::Severity;

use crate::{SMALL, edited, in_short, refused};

/// What is told of the small network with more commands behind it, which begin at line 7.
#[track_caller]
fn told(commands: &str) -> String {
    in_short(&refused(&format!("{SMALL}{commands}\n")), Severity::Error)
}

const RECORD: &str = "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID 5001 \
    -MACAddress 060600000005 -ProviderAddress 192.168.4.11 -Rule TranslationMethodEncap";

#[test]
fn the_same_command_for_several_hosts_is_one_statement() {
    let again = format!("{RECORD} -CimSession hv01, hv02");
    crate::policy(&format!("{SMALL}{again}"));
}

#[test]
fn two_hosts_with_different_records() {
    let moved = edited(RECORD, "192.168.4.11", "192.168.4.22");
    assert_eq!(
        told(&format!("{moved} -CimSession hv02")),
        "7:125 10.0.0.5 of VSID 5001 is at 192.168.4.22 for host \"hv02\", at 192.168.4.11 for the machine that runs the \
         script; 5:125 the other is here; let all hosts have the same record"
    );
    let other_rule = edited(RECORD, "TranslationMethodEncap", "TranslationMethodNat");
    assert!(told(&format!("{other_rule} -CimSession hv02")).contains(
        "10.0.0.5 of VSID 5001 has one rule for host \"hv02\", another for the machine that runs the script; 5:144 the \
         other is here"
    ));
}

#[test]
fn one_host_with_two_records_of_one_key() {
    let moved = edited(RECORD, "192.168.4.11", "192.168.4.22");
    assert_eq!(
        told(&moved),
        "7:125 the machine that runs the script has this lookup record already, with another ProviderAddress: \
         192.168.4.11, here 192.168.4.22; 5:125 the first is here; change it with Set-NetVirtualizationLookupRecord, or \
         remove one of the two commands"
    );
    // What administrators write to a record for themselves may differ.
    crate::policy(&format!("{SMALL}{RECORD} -VMName other -Context again"));
}

#[test]
fn cases() {
    let cases = [
        (
            "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.11 -PrefixLength 24 -InterfaceIndex 4 \
             -CimSession hv02",
            "7:55 provider address 192.168.4.11 is given to host \"hv01\" and to host \"hv02\"; 2:55 the other is here; an \
             address is on one host: remove one of the two commands",
        ),
        (
            "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.33 -PrefixLength 24 -InterfaceIndex 12 -VlanID \
             7 -CimSession hv02",
            "7:112 192.168.4.33 is in VLAN 7, 192.168.4.11 of the same network in no VLAN; 2:1 the other is here; give all \
             addresses of a physical network the same -VlanID",
        ),
        (
            "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.33 -PrefixLength 16 -InterfaceIndex 12 \
             -CimSession hv02",
            "7:1 the physical networks \"site-1\" and \"site-2\" overlap; 2:1 overlaps this; give each physical network a \
             prefix of its own",
        ),
        (
            "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.33 -PrefixLength 24 -InterfaceIndex 13 \
             -CimSession hv02",
            "7:101 host \"hv02\" has provider addresses on two interfaces, and a policy file knows one uplink; 3:101 the \
             other is here; put all its provider addresses on one interface",
        ),
        (
            "Set-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.22 -MACAddress 00155d000001 -CimSession hv02\n\
             New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.33 -PrefixLength 24 -InterfaceIndex 12 \
             -MACAddress 00155d000002 -CimSession hv02",
            "8:116 host \"hv02\" has two MAC addresses for its provider addresses, and a policy file knows one uplink; 7:80 \
             the other is here; give all its provider addresses the same -MACAddress",
        ),
        (
            "New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000006001 -VirtualSubnetID 5001 \
             -DestinationPrefix 10.9.0.0/24 -NextHop 0.0.0.0",
            "7:53 VSID 5001 is in two routing domains, {11111111-2222-3333-4444-000000005001} and \
             {11111111-2222-3333-4444-000000006001}; 4:53 the other is here; put each virtual subnet into one routing \
             domain",
        ),
        (
            "New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000005001 -VirtualSubnetID 5002 \
             -DestinationPrefix 10.0.0.0/16 -NextHop 0.0.0.0",
            "7:131 10.0.0.0/24 and 10.0.0.0/16 overlap within routing domain \"domain-5001\"; 4:135 overlaps this prefix of \
             subnet 5001; give the subnets of one routing domain disjoint prefixes",
        ),
        (
            "New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000005001 -VirtualSubnetID 5001 \
             -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0 -CimSession hv01 -Metric 1",
            "7:185 the route to 10.0.0.0/24 has metric 1 for host \"hv01\", 255 for the machine that runs the script; 4:172 \
             the other is here; give it the same -Metric on all hosts",
        ),
        (
            "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress 060600000005 \
             -ProviderAddress 192.168.4.22 -Rule 1",
            "7:125 the machine with MAC address 06:06:00:00:00:05 in VSID 5001 is on two hosts, at 192.168.4.11 and at \
             192.168.4.22; 5:125 the other is here; let all lookup records of a machine have provider addresses of one host",
        ),
        (
            "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID 5001 -MACAddress 060600000009 \
             -ProviderAddress 192.168.4.22 -Rule 1",
            "7:52 10.0.0.5 is given twice in VSID 5001; 5:52 the first is here; a customer address has one owner in its \
             subnet: give another one here",
        ),
        (
            "Set-VMNetworkAdapter blue-1 -StaticMacAddress 060600000005 -VirtualSubnetId 6001",
            "7:1 the port of \"blue-1\" is in VSID 6001, its lookup records are in VSID 5001; 5:1 the other is here; let \
             both have the same VSID",
        ),
        (
            "Set-VMNetworkAdapter blue-1 -VirtualSubnetId 5001; Set-VMNetworkAdapter blue-1 -VirtualSubnetId 0",
            "7:52 the port of \"blue-1\" is in no virtual subnet, its lookup records are in VSID 5001; 5:1 the other is \
             here; let both have the same VSID",
        ),
    ];
    let mut wrong = String::new();
    for (commands, expected) in cases {
        let found = told(commands);
        if found != expected {
            wrong += &format!("{commands}\n  is told\n{found}\n  instead of\n{expected}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn rules_that_do_not_go_together() {
    let nat = edited(RECORD, "10.0.0.5", "10.0.0.9");
    let nat = edited(&nat, "TranslationMethodEncap", "TranslationMethodNat");
    assert_eq!(
        told(&nat),
        "7:125 192.168.4.11 cannot serve both TranslationMethodNat and TranslationMethodEncap; 5:125 the other is here; \
         use another provider address for one of them\n\
         7:144 VSID 5001 has records of both TranslationMethodEncap and TranslationMethodNat; 5:144 the other is here; a \
         policy file has one method for a virtual subnet: use one rule for all its records"
    );
}

//! What no command states: assumed, and said in a warning and in the file.

use netvirt_std::policy_file::Severity;

use crate::{SMALL, TWO_HOSTS, edited, host, imported, in_short, policy};

fn warnings(script: &str) -> String {
    in_short(&imported(script).told, Severity::Warning)
}

#[test]
fn what_the_example_does_not_say_is_said() {
    assert_eq!(
        warnings(TWO_HOSTS),
        "8:12 assumed: the name of host \"hv01\", taken from the session with it; and the MAC address \
         02:00:c0:a8:04:0b of its uplink, which no command states; put the uplink's own MAC address into the file, or \
         give -MACAddress with the provider address\n\
         9:12 assumed: the name of host \"hv02\", taken from the session with it; and the MAC address \
         02:00:c0:a8:04:16 of its uplink, which no command states; put the uplink's own MAC address into the file, or \
         give -MACAddress with the provider address\n\
         28:90 assumed: the name \"site-1\" of physical network 192.168.4.0/24, and an MTU of 1500, which no command \
         states; correct them in the file; with 1542 or more, on the links as well, machines keep their 1500\n\
         46:9 assumed: the names of routing domains domain-5001, domain-6001; commands know them by their GUIDs only; \
         give them names of your own in the file"
    );
}

#[test]
fn every_assumption_stands_in_the_file_too() {
    let made = imported(TWO_HOSTS).policy;
    let comments = made.lines().filter_map(|line| line.strip_prefix("# "));
    let comments = comments.collect::<Vec<_>>().join(" ");
    for said in [
        "the name \"site-1\"",
        "an MTU of 1500",
        "the MAC address 02:00:c0:a8:04:16 of its uplink",
    ] {
        let before = comments.split(said).next().unwrap_or_default();
        assert_ne!(before, comments, "{said} is not there");
        assert!(before.contains("Assumed: "), "{said}");
    }
}

#[test]
fn a_mac_address_that_is_stated_is_not_assumed() {
    let script = edited(
        SMALL,
        "192.168.4.11 -PrefixLength 24",
        "192.168.4.11 -PrefixLength 24 -MACAddress 00-15-5D-00-00-0B",
    );
    assert_eq!(
        host(&script, "hv01").uplink_mac.to_string(),
        "00:15:5d:00:00:0b"
    );
    let told = warnings(&script);
    assert!(told.starts_with(
        "2:55 assumed: the name of host \"hv01\", taken from the session with it; correct"
    ));
}

#[test]
fn uplinks_with_ipv6_addresses_get_different_mac_addresses() {
    let script = SMALL
        .replace("192.168.4.11", "fd00:4::11")
        .replace("192.168.4.22", "fd00:4::22")
        .replace("-PrefixLength 24", "-PrefixLength 64");
    let macs = ["hv01", "hv02"].map(|name| host(&script, name).uplink_mac);
    assert_ne!(macs[0], macs[1]);
    // Of one station, and locally administered.
    assert!(macs.iter().all(|mac| mac.0[0] & 3 == 2));
    assert!(warnings(&script).contains("with 1562 or more"));
}

#[test]
fn the_machine_that_runs_the_script_is_named_after_its_address() {
    let script = edited(SMALL, " -CimSession hv01", "");
    assert_eq!(host(&script, "host-192.168.4.11").ports.len(), 1);
    let told = warnings(&script);
    assert!(told.contains(
        "2:55 assumed: the name of host \"host-192.168.4.11\", taken from its provider address, since no session \
         names it; and the MAC"
    ));
}

#[test]
fn two_addresses_of_the_machine_that_runs_the_script_may_be_those_of_two_hosts() {
    let script = SMALL
        .replace(" -CimSession hv01", "")
        .replace(" -CimSession hv02", "");
    assert_eq!(policy(&script).summary().hosts, 1);
    assert!(warnings(&script).contains(
        "3:55 assumed: that one host has all 2 addresses of host \"host-192.168.4.11\"; say which host each is on with \
         -CimSession"
    ));
}

#[test]
fn a_host_that_only_records_know_is_assumed_in_a_known_network() {
    let second = SMALL.lines().nth(2).unwrap();
    let script = edited(SMALL, second, "");
    assert_eq!(host(&script, "host-192.168.4.22").ports.len(), 1);
    assert!(warnings(&script).contains(
        "6:125 assumed: host \"host-192.168.4.22\" with MAC address 02:00:c0:a8:04:16: no command says which host has \
         this provider address; correct its name and the MAC address of its uplink in the file"
    ));
}

#[test]
fn machines_without_names_are_named_after_their_mac_addresses() {
    let script = SMALL
        .replace(" -VMName blue-1", "")
        .replace(" -VMName blue-2", "");
    let names: Vec<_> = host(&script, "hv01")
        .machines
        .iter()
        .map(|m| m.name.clone())
        .collect();
    assert_eq!(names, ["vm-060600000005", "vm-060600000007"]);
    assert!(warnings(&script).contains(
        "5:1 assumed: the names of 2 virtual machines, made of their MAC addresses; give the lookup records -VMName"
    ));
}

#[test]
fn the_name_of_the_port_is_the_machines() {
    let cases = [
        // The MAC address says which machine it is.
        (
            "Get-VMNetworkAdapter Blue | where MacAddress -eq 060600000005 | Set-VMNetworkAdapter -VirtualSubnetID 5001",
            "",
        ),
        (
            "Set-VMNetworkAdapter Blue -StaticMacAddress 06-06-00-00-00-05 -VirtualSubnetID 5001",
            "",
        ),
        // It is the only one that is left.
        (
            "Set-VMNetworkAdapter -VMName Blue -VirtualSubnetID 5001 -ComputerName hv01",
            "7:1 assumed: that \"Blue\" has MAC address 06:06:00:00:00:05: of the ports and the records of VSID 5001 on \
             its host, these two are left; say it with -VMName in the lookup record",
        ),
    ];
    for (command, told) in cases {
        let script = format!("{SMALL}{command}\n");
        assert_eq!(host(&script, "hv01").ports[0].name, "Blue", "{command}");
        let made = imported(&script);
        assert!(
            made.policy.contains("# Its records say: VMName blue-1."),
            "{command}"
        );
        let last = in_short(&made.told, Severity::Warning);
        let last = last
            .lines()
            .find(|line| line.starts_with("7:"))
            .unwrap_or_default();
        assert_eq!(last, told, "{command}");
    }
}

#[test]
fn a_port_that_could_be_of_two_machines_is_left_out() {
    let script = edited(
        SMALL,
        "-ProviderAddress 192.168.4.22 -Rule",
        "-ProviderAddress 192.168.4.11 -Rule",
    );
    let script = format!(
        "{script}Set-VMNetworkAdapter -VMName Blue -VirtualSubnetID 5001 -ComputerName hv01\n"
    );
    assert!(warnings(&script).contains(
        "7:1 no lookup record is known to be of \"Blue\", whose port is in a virtual subnet; it is left out; give its \
         lookup records -VMName, if there are any; else add them"
    ));
}

#[test]
fn of_two_ports_none_is_taken_for_the_one_machine() {
    let ports =
        "Set-VMNetworkAdapter -VMName Blue, Navy -VirtualSubnetID 5001 -ComputerName hv01\n";
    let script = format!("{SMALL}{ports}");
    assert_eq!(host(&script, "hv01").ports[0].name, "blue-1");
    for name in ["Blue", "Navy"] {
        assert!(
            warnings(&script).contains(&format!("no lookup record is known to be of {name:?}"))
        );
    }
}

#[test]
fn a_port_on_another_host_than_the_records_say_is_told() {
    let bound =
        format!("{SMALL}Set-VMNetworkAdapter blue-1 -VirtualSubnetId 5001 -ComputerName hv02\n");
    assert!(warnings(&bound).contains(
        "7:1 the port of \"blue-1\" is bound on host \"hv02\", its lookup records are at host \"hv01\"; 5:1 its first record; \
         the records are followed: see that the machine has moved there"
    ));
    assert_eq!(host(&bound, "hv01").ports[0].name, "blue-1");
}

#[test]
fn remarks_of_administrators_are_kept_as_comments() {
    let script = edited(
        SMALL,
        "-VMName blue-1",
        "-VMName blue-1 -Context \"web`0 `nshop\" -CustomerID '{Contoso}'",
    );
    let made = imported(&script).policy;
    assert!(made.contains(
        "# Its records say: Context web shop; CustomerID {Contoso}.\n[[vm]]\nname = \"blue-1\""
    ));
}

#[test]
fn a_machine_whose_name_is_no_interfaces_gets_an_interface() {
    let script = edited(SMALL, "-VMName blue-1", "-VMName 'The Blue Machine'");
    let port = &host(&script, "hv01").ports[0];
    assert_eq!(port.name, "The Blue Machine");
    assert_eq!(port.interface.as_deref(), Some("vm-060600000005"));
    assert!(!imported(SMALL).policy.contains("interface = \"vm-"));
}

#[test]
fn names_that_a_policy_file_does_not_take_are_changed() {
    let script = edited(SMALL, "-VMName blue-1", "-VMName ' a=b '");
    let script = edited(&script, "-VMName blue-2", "-VMName uplink");
    let names: Vec<_> = host(&script, "hv01")
        .machines
        .iter()
        .map(|m| m.name.clone())
        .collect();
    assert_eq!(names, ["a-b", "uplink-5001"]);
}

#[test]
fn routes_of_one_host_become_those_of_its_network() {
    let route = "New-NetVirtualizationProviderRoute -InterfaceIndex 12 -DestinationPrefix 10.9.0.0/16 -NextHop 192.168.4.1 \
                 -CimSession hv01\n";
    assert!(warnings(&format!("{SMALL}{route}")).contains(
        "7:74 the route to 10.9.0.0/16 is given to all hosts of its physical network, also to \"hv02\"; a policy file \
         knows no routes of single hosts: see that it does no harm there"
    ));
    let both = format!("{SMALL}{route}{}", route.replace("hv01", "hv02"));
    assert!(!warnings(&both).contains("10.9.0.0/16"));
}

#[test]
fn what_is_left_out_is_told() {
    let cases = [
        (
            "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.1 -VirtualSubnetID 5001 -MACAddress 060600000001 \
             -ProviderAddress 192.168.4.11 -Rule 1",
            "7:52 10.0.0.1 is the default gateway of VSID 5001; the record is left out; every host is that gateway \
             itself; give a machine another address",
        ),
        (
            "Set-VMNetworkAdapter -VMName blue-1 -VirtualSubnetId 6001 -ComputerName hv01",
            "7:1 no lookup record is known to be of \"blue-1\", whose port is in a virtual subnet; it is left out; 5:1 of that \
             name, but in VSID 5001; give its lookup records -VMName, if there are any; else add them",
        ),
        (
            "Remove-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.99",
            "7:1 no lookup record that the script has made matches this: nothing is removed; see that the filters are \
             right",
        ),
        (
            "foreach ($nic in Get-NetAdapter WNV*) { Get-VM x }",
            "7:10 what `(Get-NetAdapter …)` yields is known only to the machine that runs the script; the block is followed \
             once; write down the values that it yields, if there are several",
        ),
        (
            "Write-Output a b | ForEach-Object { Get-VM x }",
            "7:20 what `(Write-Output …)` yields is known only to the machine that runs the script; the block is followed \
             once; write down the values that it yields, if there are several",
        ),
        (
            "Disable-NetAdapterBinding WNV -ComponentID ms_netwnv -CimSession hv01",
            "7:1 Windows forgets here what host \"hv01\" was given before; import keeps it; remove the commands before \
             it if they are not meant to last",
        ),
        (
            "Get-NetVirtualizationLookupRecord -CimSession hv03",
            "7:47 host \"hv03\" has no provider address and is left out; if machines run on it, add its \
             New-NetVirtualizationProviderAddress",
        ),
        (
            "New-NetVirtualizationLookupRecord -CustomerAddress 0.0.0.0 -VirtualSubnetID 5001 -MACAddress 060600000005 \
             -ProviderAddress 192.168.4.11 -Rule 1\n\
             New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000005001 -VirtualSubnetID 5002 \
             -DestinationPrefix fd00:5002::/64 -NextHop ::",
            "7:52 the gateway with MAC address 06:06:00:00:00:05 may carry IPv6 as well, for which it has no wildcard \
             record; a policy file does not tell the IP versions of a gateway apart: see that it does no harm",
        ),
    ];
    for (command, told) in cases {
        let found = warnings(&format!("{SMALL}{command}\n"));
        let found = found
            .lines()
            .find(|line| line.starts_with("7:"))
            .unwrap_or_default();
        assert_eq!(found, told, "{command}");
    }
}

#[test]
fn what_means_nothing_here_is_noted() {
    let cases = [
        (
            "Enable-NetAdapterBinding WNV -ComponentID ms_netwnv",
            "7:1 Enable-NetAdapterBinding has no counterpart in a policy file and is left out",
        ),
        (
            "Select-NetVirtualizationNextHop -DestinationCustomerAddress 10.0.0.7 -SourceVirtualSubnetID 5001",
            "7:1 Select-NetVirtualizationNextHop asks only and is left out; `netvirt trace` answers",
        ),
        (
            "Set-VMNetworkAdapter blue-1 -VirtualSubnetId 5001 -MacAddressSpoofing On -DhcpGuard Off",
            "7:1 -MacAddressSpoofing, -DhcpGuard has no counterpart in a policy file and is left out",
        ),
        (
            "Remove-NetVirtualizationLookupRecord -WhatIf",
            "7:1 Remove-NetVirtualizationLookupRecord changes nothing with -WhatIf",
        ),
        (
            "Write-Host $not.there -ForegroundColor Yellow; Set-NetVirtualizationGlobal -UseExternalRouter $false",
            "",
        ),
    ];
    for (command, told) in cases {
        let found = imported(&format!("{SMALL}{command}\n")).told;
        assert_eq!(in_short(&found, Severity::Note), told, "{command}");
    }
}

//! What is refused: script, place, what the operator is told, and what to do.

use netvirt_std::policy_file::Severity;

use crate::{SMALL, in_short, refused};

/// A command, and what is told of it; it stands at the end of the small network, from line 7 on.
struct Case {
    script: &'static str,
    told: &'static str,
}

#[track_caller]
fn check(cases: &[Case]) {
    let mut wrong = String::new();
    for Case { script, told } in cases {
        let found = in_short(&refused(&format!("{SMALL}{script}\n")), Severity::Error);
        if found != *told {
            wrong += &format!("{script}\n  is told\n{found}\n  instead of\n{told}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_no_policy_of_netvirt() {
    check(&[
        Case {
            script: "Set-NetVirtualizationGlobal -UseExternalRouter $true",
            told: "7:48 a policy file has no external router: netvirt routes between the subnets of a routing domain \
                   itself; set it to $false; where a router must see the traffic, give it a machine in the domain and \
                   customer routes to it",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 0.0.0.0 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 1 -Type L2Only",
            told: "7:151 a policy file has no L2Only records: netvirt does not learn addresses; give the machine's own \
                   customer addresses, without -Type",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 2 -Type 1",
            told: "7:144 a policy file has no addresses that are carried untranslated; use TranslationMethodEncap, or \
                   remove the record\n\
                   7:152 a policy file has no Dynamic records: netvirt does not learn addresses; leave -Type out, and see \
                   that the machine keeps this address",
        },
        Case {
            script: "New-NetVirtualizationProviderRoute -InterfaceIndex 12 -DestinationPrefix 10.0.0.0/8 -NextHop 0.0.0.0",
            told: "7:74 no provider address lies in 10.0.0.0/8, which is to be on-link; give a host a provider address in \
                   it with that -PrefixLength, or the route a router as -NextHop",
        },
        Case {
            script: "New-NetVirtualizationProviderRoute -InterfaceIndex 12 -DestinationPrefix 10.0.0.0/8 -NextHop 10.1.1.1",
            told: "7:94 the next hop 10.1.1.1 is on no physical network of the script; give a router on the network of a \
                   provider address",
        },
        Case {
            script: "foreach ($n in 1, 2, 3, 4) { New-NetVirtualizationProviderAddress -ProviderAddress \"192.168.4.3$n\" \
                     -PrefixLength 24 -InterfaceIndex 12 -CimSession hv01 }",
            told: "7:30 host \"hv01\" has more than 4 provider addresses of its own; netvirt needs one for all tenants: let \
                   the lookup records of its machines use fewer",
        },
    ]);
}

#[test]
fn what_is_missing() {
    check(&[
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001",
            told: "7:1 this lookup record lacks -MACAddress, -ProviderAddress, -Rule; add what is missing, with its value",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.1.0.9 -VirtualSubnetID 5002 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 1",
            told: "7:78 no on-link customer route says which prefix VSID 5002 is; add its \
                   New-NetVirtualizationCustomerRoute with -NextHop 0.0.0.0, or :: for IPv6",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.9.11 -Rule 1",
            told: "7:125 no command says which host has provider address 192.168.9.11; add its \
                   New-NetVirtualizationProviderAddress with -PrefixLength, and its host with -CimSession",
        },
        Case {
            script: "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.99 -PrefixLength 24 -InterfaceIndex 1 \
                     -CimSession hv03\n\
                     New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000007001 \
                     -VirtualSubnetID 7001 -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0\n\
                     New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 7001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.99 -Rule 0",
            told: "7:1 all provider addresses of host \"hv03\" are those of rewritten machines; a host needs one of its own: \
                   add a New-NetVirtualizationProviderAddress for it",
        },
        Case {
            script: "Set-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.99 -ProviderAddress 192.168.4.22",
            told: "7:1 no lookup record that the script has made matches this; put the New-NetVirtualizationLookupRecord \
                   before it, into the same script",
        },
        Case {
            script: "Set-VMNetworkAdapter -VirtualSubnetId 5001",
            told: "7:1 Set-VMNetworkAdapter names no virtual machine; name it with -VMName",
        },
        Case {
            script: "Remove-NetVirtualizationLookupRecord",
            told: "1:1 the script describes no virtual machine; import a script that makes lookup records with \
                   New-NetVirtualizationLookupRecord",
        },
    ]);
}

#[test]
fn values_that_a_field_does_not_take() {
    check(&[
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0 -VirtualSubnetID 4095 -MACAddress \
                     0606000009 -ProviderAddress 224.0.0.1 -Rule Encap -UseVmMACAddress yes -Type Gateway",
            told: "7:52 \"10.0.0\" is not an IP address; write an address, such as 10.0.0.5 or 2001:db8::5\n\
                   7:76 VSID 4095 is outside 4096..=16777214: choose one inside, the others are reserved; write a number \
                   in 4096..=16777214\n\
                   7:93 a MAC address is six octets in hexadecimal, such as 06:06:00:00:00:05; write a MAC address, such \
                   as 060600000005\n\
                   7:121 224.0.0.1 cannot belong to one machine: use a unicast address; write an address, such as \
                   192.168.4.11 or 2001:db8::11\n\
                   7:137 \"Encap\" is no rule of a lookup record; write TranslationMethodEncap or TranslationMethodNat\n\
                   7:160 \"yes\" is neither $true nor $false; write $true or $false\n\
                   7:170 \"Gateway\" is no type of a lookup record; write Static or GatewayWildcard",
        },
        Case {
            script: "New-NetVirtualizationCustomerRoute -RoutingDomainID {1} -VirtualSubnetID 16777215 -DestinationPrefix \
                     10.0.0.1/24 -NextHop 127.0.0.1 -Metric -1",
            told: "7:53 a block of commands cannot be taken here; write a GUID, such as \
                   {11111111-2222-3333-4444-000000005001}\n\
                   7:74 VSID 16777215 is outside 4096..=16777214: choose one inside, the others are reserved; write a \
                   number in 4096..=16777214\n\
                   7:102 10.0.0.1/24 has bits behind its length: write 10.0.0.0/24; write a prefix, such as 10.0.0.0/24\n\
                   7:123 127.0.0.1 cannot belong to one machine: use a unicast address; write an address, such as 10.0.0.5 \
                   or 2001:db8::5\n\
                   7:141 \"-1\" is no number below 2^32; write a number below 2^32",
        },
        Case {
            script: "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.5.1 -PrefixLength 33 -InterfaceIndex 1 \
                     -VlanID 4095",
            told: "7:110 VLAN id 4095 is outside 1..=4094; write a number in 1..=4094, or 0 for none",
        },
        Case {
            script: "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.5.1 -PrefixLength 33 -InterfaceIndex 1",
            told: "7:81 /33 is longer than 192.168.5.1; write at most 32 for IPv4, 128 for IPv6",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 1 -Type GatewayWildcard",
            told: "7:52 a GatewayWildcard record has no address of its own, and this has 10.0.0.9; write 0.0.0.0 or ::, and \
                   give the gateway's own address in a record without -Type",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 1 -UseVmMACAddress $true",
            told: "7:163 -UseVmMACAddress goes with TranslationMethodNat only; leave -UseVmMACAddress out",
        },
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAddress fd00::9 -VirtualSubnetID 5001 -MACAddress \
                     060600000009 -ProviderAddress 192.168.4.11 -Rule 0",
            told: "7:124 192.168.4.11 cannot stand for fd00::9: rewrite does not change the IP version; give a provider \
                   address of the same IP version",
        },
        Case {
            script: "New-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000005001 \
                     -VirtualSubnetID 5001 -DestinationPrefix 10.9.0.0/24 -NextHop ::",
            told: "7:152 the route to 10.9.0.0/24 has a next hop of the other IP version; give a next hop of the same IP \
                   version; 0.0.0.0 or :: for on-link",
        },
        Case {
            script: "$mac = (Get-VMNetworkAdapter blue-3).MacAddress\n\
                     New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress $mac \
                     -ProviderAddress 192.168.4.11 -Rule 1",
            told: "8:95 `(Get-VMNetworkAdapter blue-3).macaddress` is known only to the machine that runs the script; 7:38 \
                   the value is written here; write a MAC address, such as 060600000005",
        },
        Case {
            script: "$vsid = 77\nSet-VMNetworkAdapter blue-1 -VirtualSubnetId $vsid",
            told: "8:46 VSID 77 is outside 4096..=16777214: choose one inside, the others are reserved; 7:9 the value is \
                   written here; write a number in 4096..=16777214",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord -CimSession @(), $null -CustomerAddress 10.0.0.5, there",
            told: "7:47 no host is named here; write the host's name",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5, there | Out-Null",
            told: "7:52 \"there\" is not an IP address; write an address, such as 10.0.0.5 or 2001:db8::5",
        },
        Case {
            script: "Get-VMNetworkAdapter * | Set-VMNetworkAdapter -VirtualSubnetId 5001",
            told: "7:22 which machines \"*\" names, only the host knows; write the names out, with commas",
        },
        Case {
            script: "Get-VM | Get-VMNetworkAdapter | Set-VMNetworkAdapter -VirtualSubnetId 5001",
            told: "7:10 which adapters `Get-VM` yields, only the host knows; name the machine: `Get-VMNetworkAdapter -VMName \
                   NAME | …`",
        },
        Case {
            script: "Remove-NetVirtualizationLookupRecord -Unusable $true",
            told: "7:48 -Unusable is known only to a running host; pick the entries by what the script has given them",
        },
    ]);
}

#[test]
fn parameters() {
    check(&[
        Case {
            script: "New-NetVirtualizationLookupRecord -CustomerAdress 10.0.0.9 -VirtualSubnetID 1",
            told: "7:35 New-NetVirtualizationLookupRecord has no parameter -CustomerAdress; did you mean \
                   `CustomerAddress`?\n\
                   7:77 VSID 1 is outside 4096..=16777214: choose one inside, the others are reserved; write a number in \
                   4096..=16777214",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord -M 060600000005 -Cust 10.0.0.5",
            told: "7:51 -Cust could be -CustomerAddress or -CustomerID; write the parameter's whole name",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord -VirtualSubnetID -MACAddress 060600000005",
            told: "7:35 -VirtualSubnetID has no value; write its value behind it, on the same line",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord -VMName a -VMName b",
            told: "7:45 -VMName is given twice; remove one of them",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord 10.0.0.5",
            told: "7:35 Get-NetVirtualizationLookupRecord takes no value without a parameter's name here; write the \
                   parameter's name before it, or all values of a list with commas",
        },
        Case {
            script: "$x = 5; Get-NetVirtualizationLookupRecord @x",
            told: "7:43 `@x` must be a hashtable, and is a number; give the arguments as `@{ Parameter = value; … }`",
        },
        Case {
            script: "Invoke-Command -ComputerName hv01 -ScriptBlock { Get-VM $a } -ArgumentList 5",
            told: "7:76 what a block gets as arguments is not evaluated; use the variables themselves in the block: \
                   `$using:name`",
        },
    ]);
}

#[test]
fn the_language_beyond_what_is_followed() {
    check(&[
        Case {
            script: "if ($true) {\n  $a = 5\n}\nelse { $b = 6 }\n$c = $a, $b",
            told: "7:1 `if` is not evaluated: import follows commands that stand in a row; write down the commands of the \
                   branch that is taken",
        },
        Case {
            script: "try { Foo } catch { } finally { }; do { Foo } while ($true)\nBar-Foo",
            told: "7:1 `try` is not evaluated: import follows commands that stand in a row; write the commands without what \
                   watches over them\n\
                   7:36 `do` is not evaluated: import follows commands that stand in a row; write the commands out, or loop \
                   with foreach over a list\n\
                   8:1 import does not know the command Bar-Foo; remove it if the virtual network does not depend on it; \
                   else write what it does with the cmdlets of NetWNV",
        },
        Case {
            script: "function Add-It($a) { New-It $a }",
            told: "7:1 `function` is not evaluated: import follows commands that stand in a row; write its commands where it \
                   is called, or loop with foreach over a list",
        },
        Case {
            script: "param(\n  [string] $x = \"5\"\n)",
            told: "7:1 `param` is not evaluated: import follows commands that stand in a row; give each parameter a value as \
                   a variable: `$name = …`",
        },
        Case {
            script: "$a = \"10.0.0.\" + 5\n$b = 1..4\n$c = \"{0}\" -f 5\n$d = -not $true\n$e++\n$f += 1\n$g.x = 1",
            told: "7:16 the operator `+` is not evaluated; put texts together in quotes, as in \"10.0.0.$n\", and lists with \
                   commas\n\
                   8:7 the operator `..` is not evaluated; write the numbers out, with commas\n\
                   9:12 the operator `-f` is not evaluated; write down the value that results\n\
                   10:6 the operator `-not` is not evaluated; write down the value that results\n\
                   11:3 the operator `++` is not evaluated; write down the value that results\n\
                   12:4 `+=` is not evaluated; write the whole value in one assignment: `$name = …`\n\
                   13:1 only whole variables can be assigned here; write the whole value in one assignment: `$name = …`",
        },
        Case {
            script: "$a = [guid]::NewGuid()\n$b = [bool]\"x\"\n$c = \"x\".ToUpper()",
            told: "7:6 the type [guid] is not evaluated; remove it, or write down the value that results\n\
                   8:6 the type [bool] is not evaluated; remove it, or write down the value that results\n\
                   9:10 `toupper()` of text is not evaluated; write down the value that results",
        },
        Case {
            script: "for ($i = 5; $i -gt 0; $i--) { Foo-Bar }",
            told: "7:1 this `for` does not simply count up; write `for ($i = 0; $i -lt 3; $i++) { … }`, or loop with foreach \
                   over a list",
        },
        Case {
            script: "for ($i = 0; $i -lt 9; $i++) { $i = 5 }\nfor ($i = \"a\"; $i -lt 9; $i++) { }",
            told: "7:6 `$i` is changed while it counts; loop with foreach over a list of the numbers that are wanted\n\
                   8:11 a number is wanted here, and this is text; count from a number to a number",
        },
        Case {
            script: ". .\\common.ps1\n& $tool\n.\\other.ps1 -Now",
            told: "7:1 what another file or block does is not evaluated; write its commands here\n\
                   8:1 what another file or block does is not evaluated; write its commands here\n\
                   9:1 what another file or block does is not evaluated; write its commands here",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord | where { $_.MACAddress -like \"06*\" } | Remove-NetVirtualizationLookupRecord",
            told: "7:37 this condition is not evaluated; write `{ $_.MacAddress -eq \"060600000005\" }`, or several of these \
                   with -and",
        },
        Case {
            script: "New-NetVirtualizationLokupRecord -CustomerAddress 10.0.0.9",
            told: "7:1 import does not know the command New-NetVirtualizationLokupRecord; did you mean \
                   `New-NetVirtualizationLookupRecord`?",
        },
        Case {
            script: "$list = \"a\", \"b\"\n$x = $list[2]\n$t = @{ hv01 = 5 }\n$y = $t.hv02\n$z = $t[\"hv1\"]",
            told: "8:12 there is no element 2 in a list of 2; elements are counted from 0\n\
                   10:9 the hashtable has no entry `hv02`; did you mean `hv01`?\n\
                   11:9 the hashtable has no entry `hv1`; did you mean `hv01`?",
        },
        Case {
            script: "Get-VM $vmName\n$vmNames = \"a\"\nGet-VM $vmName\nInvoke-Command -ComputerName hv01 { Get-VM $vmNames }",
            told: "7:8 `$vmname` has no value here; give it one before: `$vmname = …`\n\
                   9:8 `$vmname` has no value here; did you mean `vmnames`?\n\
                   10:44 `$vmnames` has no value here; write `$using:vmnames`: the block runs on another machine",
        },
    ]);
}

#[test]
fn what_is_not_well_formed() {
    check(&[
        Case {
            script: "Get-NetVirtualizationLookupRecord\n    -VirtualSubnetID 5001",
            told: "8:5 `-VirtualSubnetID` stands where a command begins; end the line above with a backtick ` if the command \
                   goes on here",
        },
        Case {
            script: "Get-NetVirtualizationLookupRecord `  \n    -VirtualSubnetID 5001",
            told: "7:35 a backtick continues a line only if nothing follows it; remove the spaces behind it\n\
                   8:5 `-VirtualSubnetID` stands where a command begins; end the line above with a backtick ` if the command \
                   goes on here",
        },
        Case {
            script: "$pa = 192.168.4.11\n$vm = blue-1",
            told: "7:7 `192.168.4.11` is no whole number; write addresses and other text in quotes\n\
                   8:7 import does not know the command blue-1; remove it if the virtual network does not depend on it; else \
                   write what it does with the cmdlets of NetWNV",
        },
        Case {
            script: "foreach ($h in \"a\" { Get-VM $h }",
            told: "7:20 `{` was not expected here; write `)`",
        },
        Case {
            script: "Get-VM $($x)b; Get-VM a'b'; Get-VM -Name (5)(6)",
            told: "7:13 `b` was not expected here; write a space here, or the whole argument in quotes\n\
                   7:24 `'b'` was not expected here; write a space here, or the whole argument in quotes\n\
                   7:45 `(` was not expected here; write a space here, or the whole argument in quotes",
        },
        Case {
            script: "$x = @(\"a\", \"b\"",
            told: "7:6 this `@(` is not closed; write `)` where it ends",
        },
        Case {
            script: "$x = \"abc",
            told: "7:6 this text in double quotes does not end; close it with the closing quote",
        },
        Case {
            script: "$x = 'abc",
            told: "7:6 this text in single quotes does not end; close it with the closing quote",
        },
        Case {
            script: "$x = @\"\nabc\n  \"@",
            told: "7:6 this here-string does not end; close it with a line that begins with the closing quote and @",
        },
        Case {
            script: "<# what is this?",
            told: "7:1 this comment does not end; close it with #>",
        },
        Case {
            script: "}\n$t = @{ a 5 }\n)",
            told: "7:1 `}` was not expected here; write a value; text stands in quotes\n\
                   8:11 `5` was not expected here; write `=` and the value\n\
                   9:1 `)` was not expected here; write a value; text stands in quotes",
        },
    ]);
}

#[test]
fn all_of_it_is_told_at_once_and_nothing_follows_from_what_was_refused() {
    let script = "\
$mac = Read-Host
New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.11 -PrefixLenght 24 -InterfaceIndex 1
New-NetVirtualizationCustomerRoute -RoutingDomainID 5001 -VirtualSubnetID 5001 -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0
New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID 5001 -MACAddress $mac -ProviderAddress 192.168.4.11 -Rule 1
Set-NetVirtualizationGlobal -UseExternalRouter $true
";
    let told = in_short(&refused(script), Severity::Error);
    let places: Vec<_> = told
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(places, ["1:8", "2:68", "3:53", "5:48"]);
}

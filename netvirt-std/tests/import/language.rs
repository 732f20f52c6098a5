//! PowerShell as scripts write it: the same command in many forms.

use netvirt_std::import::decode;

use crate::{SMALL, edited, policy};

/// A record of a third machine, which each form must yield.
const THIRD: &str = "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 \
    -MACAddress 060600000009 -ProviderAddress 192.168.4.11 -Rule TranslationMethodEncap -VMName blue-3";

/// What both hosts are given, in whatever words the file says it.
#[track_caller]
fn changes(script: &str) -> Vec<String> {
    let file = policy(script);
    let hosts = file.host_names().map(|name| {
        let mut host = file.for_host(name).unwrap();
        host.digest.clear();
        format!("{host:?}")
    });
    hosts.collect()
}

#[track_caller]
fn yields_the_third(forms: &[&str]) {
    let expected = changes(&format!("{SMALL}{THIRD}\n"));
    assert_ne!(expected, changes(SMALL));
    for form in forms {
        assert_eq!(changes(&format!("{SMALL}{form}\n")), expected, "{form}");
    }
}

#[test]
fn commands_and_their_parameters() {
    yields_the_third(&[
        // Case does not matter, nor does the order; a name may be cut short, or its value joined with a colon.
        "new-netvirtualizationLOOKUPRECORD -vmname blue-3 -RULE translationmethodencap -PROVIDERADDRESS 192.168.4.11 \
         -macaddress 060600000009 -virtualsubnetid 5001 -customeraddress 10.0.0.9",
        "New-NetVirtualizationLookupRecord -CustomerA 10.0.0.9 -Vi 5001 -M:060600000009 -Prov: 192.168.4.11 -R:1 -VMN 'blue-3'",
        "NetWNV\\New-NetVirtualizationLookupRecord -CustomerAddress:10.0.0.9 -VirtualSubnetID:5001 -MACAddress \
         06-06-00-00-00-09 -ProviderAddress \"192.168.4.11\" -Rule 1 -VMName \"blue-3\" -Verbose -AsJob -Confirm:$false",
        // Numbers, also in hexadecimal; the default type; nobody's default made explicit.
        "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 0x1389 -MACAddress 06:06:00:00:00:09 \
         -ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3 -Type Static -UseVmMACAddress $false",
        // Typographic dashes and quotes, as word processors make them.
        "New-NetVirtualizationLookupRecord –CustomerAddress “10.0.0.9” –VirtualSubnetID 5001 —MACAddress ‘060600000009’ \
         –ProviderAddress 192.168.4.11 –Rule TranslationMethodEncap –VMName blue-3",
        // Ends of lines: continued, behind what cannot end a line, and without.
        "New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 `\n  -VirtualSubnetID 5001 `\r\n  -MACAddress 060600000009 \
         `\n-ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3;;",
        "$r = New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress 060600000009 \
         -ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3 2>$null >> log.txt # said",
        "$nic = (Get-NetAdapter WNV* | sort Name | select -First 1).Name\n\
         New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress 060600000009 \
         -ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3",
        "[void](New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress 060600000009 \
         -ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3 2>&1 | Out-Null)",
    ]);
}

#[test]
fn texts_and_variables() {
    let with = |before: &str, address: &str, name: &str| {
        let command = edited(THIRD, "10.0.0.9", address);
        format!("{before}\n{}", edited(&command, "blue-3", name))
    };
    let forms = [
        with("$n = 9; $net = '10.0.0'", "\"$net.$n\"", "blue-3"),
        with("$n = 9", "10.0.0.$n", "blue-3"),
        with("$net = '10.0.'", "${net}0.9", "blue-3"),
        with(
            "${the net} = \"10.0.0.\"",
            "\"${the net}9\"",
            "\"$('blue')-$(3)\"",
        ),
        with("$script:CA = \"10.0.0.9\"", "$ca", "blu`e-3"),
        with("[string] $ca = '10.0.0.9'", "$global:CA", "'blue-3'"),
        with(
            "$t = @{ ca = \"10.0.0.9\"; 'the name' = 'blue-3' }",
            "$t.CA",
            "$t['the name']",
        ),
        with(
            "$t = [pscustomobject]@{\n  ca =\n    '10.0.0.9'\n}; $key = 'CA'",
            "$t.$key",
            "blue-3",
        ),
        with(
            "$t = @{ vms = @(@{ ca = '10.0.0.9' }) }",
            "$t.vms[0].ca",
            "blue-3",
        ),
        with(
            "$list = '10.0.0.8',\n  '10.0.0.9'",
            "$list[1]",
            "(\"blue-3\")",
        ),
        with("$ca = @'\n10.0.0.9\n'@", "$ca", "blue-3"),
        with("$last = 9\n$ca = @\"\n10.0.0.$last\n\"@", "$ca", "blue-3"),
        with(
            "$q = \"say \"\"no\"\" `$x `\"\"; $s = 'it''s'",
            "10.0.0.9",
            "blue-3",
        ),
        with("<# 10.0.0.1\n #> # $x = (", "10.0.0.9", "blue-3"),
        with("$ca = if_you_like; $ca = '10.0.0.9'", "$ca", "blue-3")
            .replace("if_you_like", "$null"),
    ];
    yields_the_third(&forms.each_ref().map(String::as_str));
}

#[test]
fn loops_and_splatting() {
    let command = "New-NetVirtualizationLookupRecord";
    let rest = "-VirtualSubnetID 5001 -MACAddress 060600000009 -ProviderAddress 192.168.4.11 -Rule 1 -VMName blue-3";
    let forms = [
        format!("foreach ($ca in \"10.0.0.9\") {{ {command} -CustomerAddress $ca {rest} }}"),
        format!(
            "foreach ($ca in @('10.0.0.9', \"10.0.0.9\"))\n{{\n  {command} -CustomerAddress $ca {rest}\n}}"
        ),
        format!("\"10.0.0.9\" | ForEach-Object {{ {command} -CustomerAddress $_ {rest} }}"),
        format!("@(\"10.0.0.9\") |\n  % {{ {command} -CustomerAddress $_ {rest} }} | Out-Null"),
        format!("9 | foreach -Process {{ {command} -CustomerAddress \"10.0.0.$_\" {rest} }}"),
        format!("for ($i = 9; $i -lt 10; $i++) {{ {command} -CustomerAddress 10.0.0.$i {rest} }}"),
        format!("for ($i = 0; $i -lt 9; $i++) {{ }}; {command} -CustomerAddress 10.0.0.$i {rest}"),
        format!(
            "$x = 1, 2; for ($i=9;$i -le 9;$i++)\n{{ {command} -CustomerAddress 10.0.0.$i {rest} }}"
        ),
        format!(
            "$all = @{{ CustomerAddress = '10.0.0.9'; Rule = 1 }}\n{command} @all {}",
            rest.replace("-Rule 1", "")
        ),
        format!(
            "$vms = @{{ 'blue-3' = '10.0.0.9' }}\nforeach ($vm in $vms.Keys) {{ {command} -CustomerAddress $vms[$vm] {} $vm }}",
            rest.trim_end_matches("blue-3")
        ),
        format!(
            "@{{ 'blue-3' = '10.0.0.9' }}.GetEnumerator() | % {{ {command} -CustomerAddress $_.Value {rest} }}"
        ),
        format!(
            "@{{ ca = '10.0.0.9' }}, @{{ ca = '10.0.0.8' }} | ? ca -eq '10.0.0.9' | % {{ {command} -CustomerAddress $_.ca {rest} }}"
        ),
        format!("Invoke-Command {{ {command} -CustomerAddress 10.0.0.9 {rest} }}"),
        format!(
            "$ca = '10.0.0.9'; icm -Cn localhost {{ $a = $using:ca; {command} -CustomerAddress $a {rest} }}"
        ),
        format!(
            "{command} -CustomerAddress 10.0.0.9 {rest} -CimSession (New-CimSession hv01), hv02, $env:COMPUTERNAME"
        ),
        format!(
            "$s = New-CimSession -ComputerName hv01, HV02\n{command} -CustomerAddress 10.0.0.9 {rest} -Session $s"
        ),
    ];
    yields_the_third(&forms.each_ref().map(String::as_str));
}

#[test]
fn changes_and_removals() {
    let forms = [
        format!(
            "{}\nSet-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -ProviderAddress 192.168.4.11",
            THIRD.replace("4.11", "4.22")
        ),
        format!(
            "{}\n$r = Get-NetVirtualizationLookupRecord -MACAddress 060600000009\n$r | Set-NetVirtualizationLookupRecord -ProviderAddress 192.168.4.11 -PassThru",
            THIRD.replace("4.11", "4.22")
        ),
        format!(
            "{}\nGet-NetVirtualizationLookupRecord | ? {{ $_.VMName -eq 'BLUE-4' -and $_.Rule -eq 1 }} | Set-NetVirtualizationLookupRecord -VMName blue-3",
            THIRD.replace("blue-3", "blue-4")
        ),
        format!(
            "{THIRD}\n{}\nRemove-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.10, 10.0.0.11 -VirtualSubnetID 5001",
            THIRD.replace("0.9", "0.10").replace("0009", "0010")
        ),
        format!(
            "{THIRD}\nNew-NetVirtualizationCustomerRoute -RoutingDomainID 11111111-2222-3333-4444-000000005001 -VirtualSubnetID 5001 -DestinationPrefix 10.9.0.0/16 -NextHop 10.0.0.9\n\
            Get-NetVirtualizationCustomerRoute -DestinationPrefix 10.9.0.0/16 | Remove-NetVirtualizationCustomerRoute"
        ),
        format!(
            "New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.77 -PrefixLength 24 -InterfaceIndex 12 -CimSession hv01\n{THIRD}\n\
            Remove-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.77 -CimSession hv01"
        ),
        format!(
            "{THIRD}\nSet-VMNetworkAdapter blue-9 -VirtualSubnetId 6001; Set-VMNetworkAdapter blue-9 -VirtualSubnetId 0"
        ),
        format!("{THIRD} | Set-NetVirtualizationLookupRecord -Context made"),
        format!("{THIRD} -Context (Get-Date).Year -CustomerID $env:CUSTOMER"),
        format!(
            "Remove-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -ErrorAction SilentlyContinue\n{THIRD}"
        ),
    ];
    yields_the_third(&forms.each_ref().map(String::as_str));
}

#[test]
fn files_of_windows_are_read() {
    let script = edited(SMALL, "blue-1", "blå-1");
    let utf_16 = |bytes: fn(u16) -> [u8; 2], mark: [u8; 2]| {
        let units = script.encode_utf16().flat_map(bytes);
        mark.into_iter().chain(units).collect::<Vec<u8>>()
    };
    for bytes in [
        script.as_bytes().to_vec(),
        [b"\xef\xbb\xbf", script.as_bytes()].concat(),
        utf_16(u16::to_le_bytes, [0xff, 0xfe]),
        utf_16(u16::to_be_bytes, [0xfe, 0xff]),
    ] {
        assert_eq!(decode(&bytes).unwrap(), script);
    }
    for bytes in [&b"bl\xe5-1"[..], b"\xff\xfea", b"\xff\xfe\x00\xd8"] {
        assert!(decode(bytes).is_err());
    }
    assert_eq!(changes(&SMALL.replace('\n', "\r\n")), changes(SMALL));
}

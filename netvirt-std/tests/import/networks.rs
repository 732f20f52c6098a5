//! Whole scripts, and the networks that they describe.

use std::collections::BTreeSet;

use netvirt_core::datapath::Ingress;
use netvirt_core::policy::{
    Change, CustomerRoute, HostAddress, LookupRecord, Method, RecordKind, RouteTarget, Transaction,
};
use netvirt_core::table::Seed;
use netvirt_core::{CustomerAddress, MacAddress, PortId, UplinkId};
use netvirt_std::hex;
use netvirt_std::memory::HostCapacity;
use netvirt_std::policy_file::{HostPolicy, PolicyFile};
use netvirt_std::switch::{DecisionKind, Egress, Sent, Switch};

use crate::{TWO_HOSTS, TWO_HOSTS_POLICY, edited, host, imported, policy};

/// The reference packet from 10.0.0.5 to 10.0.0.7, as the two machines see it.
const BLUE_FRAME: &str = "0606000000070606000000050800 450000261234400040111488 0a0000050a000007 \
    045708ae00120bdd 68656c6c6f2c20686e76";

/// What a host is given, whatever its order; the MTU and the uplink's MAC address, which no script states, as one.
fn changes(policy: &HostPolicy) -> BTreeSet<String> {
    let comparable = policy.changes.iter().map(|change| match change {
        Change::AddProviderAddress(address) => Change::AddProviderAddress(HostAddress {
            mac: MacAddress([2, 0, 0, 0, 0, 0]),
            mtu: 1500,
            ..*address
        }),
        change => *change,
    });
    comparable.map(|change| format!("{change:?}")).collect()
}

/// What crossed the wire, and what came out at ports.
#[derive(Default)]
struct Passed {
    wire: Vec<Vec<u8>>,
    delivered: Vec<(PortId, Vec<u8>)>,
}

/// The switches of two hosts on one wire.
struct Wire {
    switches: [Switch; 2],
    now: u64,
}

impl Wire {
    fn new(file: &PolicyFile, hosts: [&str; 2]) -> Self {
        let switches = hosts.map(|name| {
            let host = file.for_host(name).unwrap();
            let mut switch = Switch::with_room_for(&host.changes, Seed::new(0, 0));
            let mut announcements = Vec::new();
            let applied = switch.apply(Transaction::new(&host.encode()), &mut announcements);
            applied.unwrap();
            switch
        });
        Self { switches, now: 0 }
    }

    /// Lets a machine of the first host send a frame, and both hosts talk until the wire is silent.
    fn send(&mut self, port: PortId, frame: &[u8]) -> Passed {
        let mut waiting = vec![(0, Ingress::Port(port), frame.to_vec())];
        let mut passed = Passed::default();
        while let Some((host, ingress, frame)) = waiting.pop() {
            let mut sent: Vec<Sent> = Vec::new();
            self.now += 1_000;
            self.switches[host].receive(self.now, ingress, &frame, &mut sent);
            for sent in sent {
                match sent.egress {
                    Egress::Uplink(_) => {
                        passed.wire.push(sent.bytes.clone());
                        waiting.push((1 - host, Ingress::Uplink(UplinkId(0)), sent.bytes));
                    }
                    Egress::Port(port) => passed.delivered.push((port, sent.bytes)),
                }
            }
            assert!(passed.wire.len() < 16, "the hosts do not come to an end");
        }
        passed
    }
}

#[test]
fn spec_2_10_cmdlets_two_hosts_are_those_of_the_policy_file() {
    let made = policy(TWO_HOSTS);
    let written = PolicyFile::parse(TWO_HOSTS_POLICY, "two-hosts.toml").unwrap();
    assert_eq!(made.summary(), written.summary());
    for (made_name, written_name) in [("hv01", "host-1"), ("hv02", "host-2")] {
        let made = made.for_host(made_name).unwrap();
        let written = written.for_host(written_name).unwrap();
        assert_eq!(changes(&made), changes(&written));
        let names = |policy: &HostPolicy| {
            policy
                .machines
                .iter()
                .map(|m| m.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&made), names(&written));
    }
}

#[test]
fn a_frame_of_blue_reaches_blue_on_the_other_host_in_nvgre() {
    let file = policy(TWO_HOSTS);
    let [first, second] = ["hv01", "hv02"].map(|name| file.for_host(name).unwrap());
    let blue_1 = first.port("blue-1").unwrap().port;
    let blue_2 = second.port("blue-2").unwrap().port;
    let frame = hex::parse(BLUE_FRAME).unwrap();
    let passed = Wire::new(&file, ["hv01", "hv02"]).send(blue_1, &frame);
    // ARP for 192.168.4.22, its answer, and the frame behind outer headers.
    assert_eq!(passed.wire.len(), 3);
    let outer = hex::parse(
        "0200c0a80416 0200c0a8040b 0800 4500005000004000402fb10d c0a8040b c0a80416 20006558 001389",
    );
    assert!(passed.wire[2].starts_with(&outer.unwrap()));
    assert!(passed.wire[2].ends_with(&frame));
    assert_eq!(passed.delivered, [(blue_2, frame)]);
}

#[test]
fn the_core_takes_what_every_host_is_given() {
    for script in [TWO_HOSTS, RECOVERY, REWRITE] {
        let file = policy(script);
        for name in file.host_names() {
            let host = file.for_host(name).unwrap();
            let mut policies = HostCapacity::for_changes(&host.changes).policies(Seed::new(0, 0));
            policies.apply(Transaction::new(&host.encode())).unwrap();
        }
    }
}

#[test]
fn the_file_is_laid_out_for_people() {
    let script = edited(TWO_HOSTS, "-PrefixLength 24", "-PrefixLength 24 -VlanID 40");
    let made = imported(&script).policy;
    let (_, first_host) = made.split_once("\n\n").unwrap();
    let (first_host, _) = first_host
        .split_once("# Assumed: the name of host \"hv02\"")
        .unwrap();
    assert_eq!(
        first_host,
        r#"# Assumed: the name "site-1" of physical network 192.168.4.0/24, and an MTU of 1500, which no command states.
[[physical-network]]
name = "site-1"
prefix = "192.168.4.0/24"
vlan = 40
mtu = 1500

# Assumed: the name of host "hv01", taken from the session with it; and the MAC address 02:00:c0:a8:04:0b of
# its uplink, which no command states.
[[host]]
name = "hv01"
uplink = { mac = "02:00:c0:a8:04:0b" }
addresses = ["192.168.4.11"]

"#
    );
    let (_, blue) = made.split_once("# ---- domain-5001 ----").unwrap();
    let (blue, _) = blue.split_once("[[vm]]\nname = \"blue-2\"").unwrap();
    assert_eq!(
        blue,
        r#"

# Assumed: the name; commands know it by its GUID only.
[[routing-domain]]
name = "domain-5001"
id = "{11111111-2222-3333-4444-000000005001}"

[[routing-domain.subnet]]
vsid = 5001
prefixes = ["10.0.0.0/24"]

[[vm]]
name = "blue-1"
subnet = 5001
host = "hv01"
mac = "06:06:00:00:00:05"
addresses = ["10.0.0.5"]

"#
    );
}

/// A hoster takes a tenant's machines in after a disaster: IPv4 and IPv6, two gateways, one of the old form, two
/// physical networks with a router between them.
const RECOVERY: &str = r#"
<#
    Tenant: Contoso. The gateway host is in Ashburn, the machines run in Boydton.
#>
$gatewayHost = "hoster-gw"
$machineHost = 'hoster-r1'
$gatewayPA   = "192.168.1.101"
$machinePA   = "192.168.2.111"
$domain      = "{11111111-2222-3333-4444-000000005001}"
$encap       = @{ Rule = "TranslationMethodEncap" }

ForEach ($hoster in $gatewayHost, $machineHost)
{
    $at = @{ CimSession = $hoster }

    # ContosoGW, the VPN gateway
    New-NetVirtualizationLookupRecord -CustomerAddress "10.6.0.2"       -ProviderAddress $gatewayPA -VirtualSubnetID "5001" -MACAddress "00155d05df03" -VMName "ContosoGW" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "2001:db8:ba::2" -ProviderAddress $gatewayPA -VirtualSubnetID "5001" -MACAddress "00155d05df03" -VMName "ContosoGW" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "0.0.0.0"        -ProviderAddress $gatewayPA -VirtualSubnetID "5001" -MACAddress "00155d05df03" -VMName "wildcard" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "::"             -ProviderAddress $gatewayPA -VirtualSubnetID "5001" -MACAddress "00155d05df03" -VMName "wildcard" @encap @at

    # ContosoDA, the remote access server; its wildcards are of the newer form
    New-NetVirtualizationLookupRecord -CustomerAddress "2001:db8:ba::6" -ProviderAddress $machinePA -VirtualSubnetID "5001" -MACAddress "00155d059701" -VMName "ContosoDA" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "::" -Type GatewayWildcard -ProviderAddress $machinePA -VirtualSubnetID "5001" -MACAddress "00155d059701" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "0.0.0.0" -Type 2 -ProviderAddress $machinePA -VirtualSubnetID "5001" -MACAddress "00155d059701" @encap @at

    # App1, an application server
    New-NetVirtualizationLookupRecord -CustomerAddress "10.0.0.80"        -ProviderAddress $machinePA -VirtualSubnetID "5002" -MACAddress "00155db1c505" -VMName "App1" @encap @at
    New-NetVirtualizationLookupRecord -CustomerAddress "2001:db8:dc::80"  -ProviderAddress $machinePA -VirtualSubnetID "5002" -MACAddress "00155db1c505" -VMName "App1" @encap @at

    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5001" -DestinationPrefix "10.6.0.0/24"      -NextHop "0.0.0.0" -Metric 255 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5001" -DestinationPrefix "2001:db8:ba::/48" -NextHop "::" -Metric 255 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5002" -DestinationPrefix "10.0.0.0/24"      -NextHop "0.0.0.0" -Metric 255 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5002" -DestinationPrefix "2001:db8:dc::/48" -NextHop "::" -Metric 255 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5001" -DestinationPrefix "0.0.0.0/0"        -NextHop "10.6.0.2" -Metric 255 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5002" -DestinationPrefix "0.0.0.0/0"        -NextHop "10.6.0.2" -Metric 128 @at
    New-NetVirtualizationCustomerRoute -RoutingDomainID $domain -VirtualSubnetID "5001" -DestinationPrefix "2001:db8:fa::/48" -NextHop "2001:db8:ba::2" -Metric 10 @at
}

Invoke-Command -ComputerName $gatewayHost -ScriptBlock {
    $nic = Get-NetAdapter "WnvNIC"
    New-NetVirtualizationProviderAddress -InterfaceIndex $nic.InterfaceIndex -ProviderAddress $using:gatewayPA -PrefixLength 24 -MACAddress 00-15-5D-00-00-65
    New-NetVirtualizationProviderRoute   -InterfaceIndex $nic.ifIndex -DestinationPrefix "192.168.2.0/24" -NextHop "192.168.1.1" -Metric 20
    Set-VMNetworkAdapter "ContosoGW" -Name "Wnv-CA-NIC" -VirtualSubnetID 5001;
}
Invoke-Command -ComputerName $machineHost -ScriptBlock {
    New-NetVirtualizationProviderAddress -InterfaceIndex (Get-NetAdapter "WnvNIC").InterfaceIndex -ProviderAddress $using:machinePA -PrefixLength 24 -VlanID 7
    New-NetVirtualizationProviderRoute   -InterfaceIndex (Get-NetAdapter "WnvNIC").InterfaceIndex -DestinationPrefix "0.0.0.0/0" -NextHop "192.168.2.1"
    Get-VMNetworkAdapter "ContosoDA" | where {$_.MacAddress -eq "00155D059701"} | Set-VMNetworkAdapter -VirtualSubnetID 5001
    Set-VMNetworkAdapter App1 -Name "Private Corpnet" -VirtualSubnetID 5002 –Passthru | Out-Null
}
"#;

fn records(policy: &HostPolicy) -> Vec<LookupRecord> {
    let records = policy.changes.iter().filter_map(|change| match change {
        Change::AddRecord(record) => Some(*record),
        _ => None,
    });
    records.collect()
}

fn address(text: &str) -> CustomerAddress {
    CustomerAddress::new(text.parse().unwrap()).unwrap()
}

#[test]
fn disaster_recovery_has_gateways_ipv6_and_a_router_between_the_sites() {
    let policy = host(RECOVERY, "hoster-r1");
    assert_eq!(policy.uplink_mac.to_string(), "02:00:c0:a8:02:6f");
    let said: Vec<_> = policy
        .machines
        .iter()
        .map(|machine| {
            (
                machine.name.as_str(),
                machine.vsid.get(),
                machine.addresses.len(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("ContosoGW", 5001, 2),
            ("ContosoDA", 5001, 1),
            ("App1", 5002, 2)
        ]
    );
    let wildcards = records(&policy)
        .iter()
        .filter(|record| record.kind == RecordKind::GatewayWildcard)
        .map(|record| record.mac.to_string())
        .collect::<Vec<_>>();
    assert_eq!(wildcards, ["00:15:5d:05:df:03", "00:15:5d:05:97:01"]);
    let own = policy.changes.iter().find_map(|change| match change {
        Change::AddProviderAddress(own) => {
            Some((own.prefix_length, own.vlan.map(|vlan| vlan.get())))
        }
        _ => None,
    });
    assert_eq!(own, Some((24, Some(7))));
    let routes = policy.changes.iter().filter_map(|change| match change {
        Change::AddCustomerRoute(CustomerRoute {
            prefix,
            target: RouteTarget::Via(next_hop),
            metric,
            ..
        }) => Some(format!("{prefix} {next_hop} {metric}")),
        Change::AddProviderRoute(route) => Some(format!(
            "provider {} {} {}",
            route.prefix, route.next_hop, route.metric
        )),
        _ => None,
    });
    assert_eq!(
        routes.collect::<Vec<_>>(),
        [
            "provider 0.0.0.0/0 192.168.2.1 255",
            "0.0.0.0/0 10.6.0.2 128",
            "2001:db8:fa::/48 2001:db8:ba::2 10",
        ]
    );
    let gateway = host(RECOVERY, "hoster-gw");
    assert_eq!(gateway.uplink_mac.to_string(), "00:15:5d:00:00:65");
    assert_eq!(gateway.ports.len(), 1);
}

/// Every address of a machine has a provider address of its own; the hosts have one for themselves.
const REWRITE: &str = r#"
$vms = (
    @{ VM = "green-1"; On = "hv01"; CA = "10.0.0.5"; MAC = "0a0a00000005"; PA = "192.168.4.105" },
    @{ VM = "green-2"; On = "hv02"; CA = "10.0.0.7"; MAC = "0a0a00000007"; PA = "192.168.4.207" }
)
$own = @{ hv01 = "192.168.4.11"; hv02 = "192.168.4.22" }
$own.GetEnumerator() | ForEach-Object {
    New-NetVirtualizationProviderAddress -ProviderAddress $_.Value -PrefixLength 24 -InterfaceIndex 4 -CimSession $_.Key
    New-NetVirtualizationCustomerRoute -RoutingDomainID "{11111111-2222-3333-4444-000000007001}" -VirtualSubnetID 7001 `
        -DestinationPrefix "10.0.0.0/24" -NextHop "0.0.0.0" -CimSession $_.Key
}
foreach ($vm in $vms) {
    New-NetVirtualizationProviderAddress -ProviderAddress $vm.PA -PrefixLength 32 -InterfaceIndex 4 -CimSession $vm.On
    foreach ($hv in $own.Keys) {
        New-NetVirtualizationLookupRecord -VirtualSubnetID 7001 -CustomerAddress $vm.CA -MACAddress $vm.MAC `
            -ProviderAddress $vm.PA -Rule 0 -UseVmMACAddress $true -VMName "$($vm.VM)" -CimSession $hv
    }
}
"#;

#[test]
fn rewritten_machines_have_the_provider_addresses_and_hosts_keep_their_own() {
    let policy = host(REWRITE, "hv01");
    let own: Vec<_> = policy
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::AddProviderAddress(own) => Some(own.address.to_string()),
            _ => None,
        })
        .collect();
    assert_eq!(own, ["192.168.4.11"]);
    let methods: Vec<_> = records(&policy)
        .iter()
        .map(|record| (record.kind, record.method))
        .collect();
    let rewritten = |own: &str, provider: &str| {
        let method = Method::Rewrite {
            provider_address: provider
                .parse::<std::net::IpAddr>()
                .unwrap()
                .try_into()
                .unwrap(),
            use_vm_mac: true,
        };
        (RecordKind::Static(address(own)), method)
    };
    assert_eq!(
        methods,
        [
            rewritten("10.0.0.5", "192.168.4.105"),
            rewritten("10.0.0.7", "192.168.4.207"),
        ]
    );
}

#[test]
fn a_rewritten_frame_reaches_the_other_host_without_a_tunnel() {
    let file = policy(REWRITE);
    let green_1 = file.for_host("hv01").unwrap().port("green-1").unwrap().port;
    let frame = BLUE_FRAME.replace("06060000000", "0a0a0000000");
    let frame = hex::parse(&frame).unwrap();
    let passed = Wire::new(&file, ["hv01", "hv02"]).send(green_1, &frame);
    let rewritten = "450000261234400040119e0ac0a80469c0a804cf045708ae0012955f68656c6c6f2c20686e76";
    assert!(
        passed
            .wire
            .last()
            .unwrap()
            .ends_with(&hex::parse(rewritten).unwrap())
    );
    assert_eq!(passed.delivered.len(), 1);
    assert_eq!(passed.delivered[0].1, frame);
}

#[test]
fn a_machine_that_was_moved_is_where_it_was_moved_to() {
    let moves = r#"
# blue-1 moves to hv02, red-1 is taken away, blue-2 gets another address.
Set-NetVirtualizationLookupRecord -MACAddress 06-06-00-00-00-05 -VirtualSubnetID 5001 -ProviderAddress "192.168.4.22" -CimSession $hosts
Get-NetVirtualizationLookupRecord -VirtualSubnetID 6001 -CimSession $hosts |
    Where-Object { $_.CustomerAddress -eq "10.0.0.5" } | Remove-NetVirtualizationLookupRecord
$old = Get-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.7 -VirtualSubnetID 5001 -CimSession $hosts
Remove-NetVirtualizationLookupRecord -InputObject $old
foreach ($h in $hosts) {
    New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.9 -VirtualSubnetID 5001 -MACAddress 060600000007 -ProviderAddress 192.168.4.22 -Rule TranslationMethodEncap -VMName blue-2 -CimSession $h
}
"#;
    let file = policy(&format!("{TWO_HOSTS}{moves}"));
    let [first, second] = ["hv01", "hv02"].map(|name| file.for_host(name).unwrap());
    assert_eq!(first.ports.len(), 0);
    let ports: Vec<_> = second
        .ports
        .iter()
        .map(|port| format!("{} {:?}", port.name, port.addresses))
        .collect();
    assert_eq!(
        ports,
        ["blue-1 [10.0.0.5]", "blue-2 [10.0.0.9]", "red-2 [10.0.0.7]"]
    );
    // Blue's two machines are on one host now.
    let frame = hex::parse(
        &BLUE_FRAME
            .replace("0a000007", "0a000009")
            .replace("1488", "1486"),
    )
    .unwrap();
    let mut wire = Wire::new(&file, ["hv02", "hv01"]);
    let mut sent = Vec::new();
    let port = second.port("blue-1").unwrap().port;
    let decision = wire.switches[0].receive(0, Ingress::Port(port), &frame, &mut sent);
    assert_eq!(decision.kind, DecisionKind::Delivered);
}

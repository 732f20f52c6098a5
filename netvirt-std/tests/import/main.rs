//! `netvirt import`: scripts of Hyper-V Network Virtualization, and the policy files made of them.

mod assumptions;
mod contradictions;
mod damage;
mod language;
mod networks;
mod refusals;

use netvirt_std::import::{Imported, import};
use netvirt_std::policy_file::{Diagnostics, HostPolicy, PolicyFile, Severity};

const TWO_HOSTS: &str = include_str!("../../../examples/two-hosts.ps1");
const TWO_HOSTS_POLICY: &str = include_str!("../../../examples/two-hosts.toml");

/// Two hosts, one tenant, one machine on each: what most cases change or add to.
const SMALL: &str = r#"
New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.11 -PrefixLength 24 -InterfaceIndex 12 -CimSession hv01
New-NetVirtualizationProviderAddress -ProviderAddress 192.168.4.22 -PrefixLength 24 -InterfaceIndex 12 -CimSession hv02
New-NetVirtualizationCustomerRoute -RoutingDomainID "{11111111-2222-3333-4444-000000005001}" -VirtualSubnetID 5001 -DestinationPrefix 10.0.0.0/24 -NextHop 0.0.0.0 -Metric 255
New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.5 -VirtualSubnetID 5001 -MACAddress 060600000005 -ProviderAddress 192.168.4.11 -Rule TranslationMethodEncap -VMName blue-1
New-NetVirtualizationLookupRecord -CustomerAddress 10.0.0.7 -VirtualSubnetID 5001 -MACAddress 060600000007 -ProviderAddress 192.168.4.22 -Rule TranslationMethodEncap -VMName blue-2
"#;

#[track_caller]
fn imported(script: &str) -> Imported {
    import(script, "network.ps1").unwrap_or_else(|told| panic!("{told}"))
}

#[track_caller]
fn refused(script: &str) -> Diagnostics {
    match import(script, "network.ps1") {
        Err(told) => told,
        Ok(imported) => panic!("it was accepted:\n{}", imported.policy),
    }
}

#[track_caller]
fn policy(script: &str) -> PolicyFile {
    let imported = imported(script);
    PolicyFile::parse(&imported.policy, "network.toml").unwrap()
}

#[track_caller]
fn host(script: &str, name: &str) -> HostPolicy {
    policy(script).for_host(name).unwrap()
}

/// `text` with one passage replaced, which must be there.
#[track_caller]
fn edited(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "the text lacks {old:?}");
    text.replacen(old, new, 1)
}

/// What is told, a line each: how bad it is, place, what it is; other places; remedy.
fn in_short(told: &Diagnostics, severity: Severity) -> String {
    let place = |span| {
        let (line, column) = told.position(span);
        format!("{line}:{column}")
    };
    let of_severity = told.iter().filter(|finding| finding.severity() == severity);
    let lines = of_severity.map(|finding| {
        let mut line = format!("{} {}", place(&finding.place().span), finding.message());
        for label in finding.related() {
            line += &format!("; {} {}", place(&label.span), label.text);
        }
        if let Some(remedy) = finding.remedy_text() {
            line += &format!("; {remedy}");
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_small_network_is_good() {
    let file = policy(SMALL);
    assert_eq!(file.warnings().to_string(), "");
    assert_eq!(file.summary().machines, 2);
}

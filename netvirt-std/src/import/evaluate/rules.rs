//! What the fields of an entry must be to one another.

use std::net::IpAddr;

use netvirt_core::Prefix;

use super::Evaluator;
use crate::import::findings::Result;
use crate::import::tables::{At, Fields, RecordType, Rule, TableName, at};
use crate::policy_file::Diagnostic;

impl Evaluator<'_> {
    pub(super) fn check(&self, table: TableName, fields: &Fields) -> Result<()> {
        let broken = match table {
            TableName::LookupRecords => broken_record(fields),
            TableName::CustomerRoutes | TableName::ProviderRoutes => broken_route(fields),
            TableName::ProviderAddresses => broken_provider_address(fields),
        };
        match broken {
            Some(finding) => self.findings.refuse(finding),
            None => Ok(()),
        }
    }
}

fn broken_record(fields: &Fields) -> Option<Diagnostic> {
    let own: At<IpAddr> = at(fields, "CustomerAddress")?;
    let provider: At<IpAddr> = at(fields, "ProviderAddress")?;
    let rule: Rule = at(fields, "Rule")?.value;
    let kind: RecordType = at(fields, "Type")?.value;
    let use_vm_mac: At<bool> = at(fields, "UseVmMACAddress")?;
    if kind == RecordType::GatewayWildcard && !own.value.is_unspecified() {
        let message = format!(
            "a GatewayWildcard record has no address of its own, and this has {}",
            own.value
        );
        let remedy =
            "write 0.0.0.0 or ::, and give the gateway's own address in a record without -Type";
        return Some(Diagnostic::error(&own.span, message).remedy(remedy));
    }
    if use_vm_mac.value && rule == Rule::Encapsulate {
        let message = "-UseVmMACAddress goes with TranslationMethodNat only";
        return Some(
            Diagnostic::error(&use_vm_mac.span, message).remedy("leave -UseVmMACAddress out"),
        );
    }
    if rule == Rule::Rewrite && own.value.is_ipv4() != provider.value.is_ipv4() {
        let message = format!(
            "{} cannot stand for {}: rewrite does not change the IP version",
            provider.value, own.value
        );
        let remedy = "give a provider address of the same IP version";
        return Some(Diagnostic::error(&provider.span, message).remedy(remedy));
    }
    None
}

fn broken_route(fields: &Fields) -> Option<Diagnostic> {
    let prefix: Prefix = at(fields, "DestinationPrefix")?.value;
    let next_hop: At<IpAddr> = at(fields, "NextHop")?;
    if prefix.address().is_ipv4() == next_hop.value.is_ipv4() {
        return None;
    }
    let message = format!("the route to {prefix} has a next hop of the other IP version");
    let remedy = "give a next hop of the same IP version; 0.0.0.0 or :: for on-link";
    Some(Diagnostic::error(&next_hop.span, message).remedy(remedy))
}

fn broken_provider_address(fields: &Fields) -> Option<Diagnostic> {
    let address: IpAddr = at(fields, "ProviderAddress")?.value;
    let length: At<u32> = at(fields, "PrefixLength")?;
    if address.is_ipv6() || length.value <= 32 {
        return None;
    }
    let message = format!("/{} is longer than {address}", length.value);
    let remedy = "write at most 32 for IPv4, 128 for IPv6";
    Some(Diagnostic::error(&length.span, message).remedy(remedy))
}

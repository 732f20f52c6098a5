//! The lookup records of all hosts, each once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netvirt_core::{MacAddress, Vsid};

use super::Assembler;
use crate::import::tables::{At, HostIndex, RecordType, Row, Rule, TableName};
use crate::policy_file::Span;

#[derive(Debug)]
pub struct LookupRecord {
    /// A host that has it, the first.
    pub host: HostIndex,
    pub address: At<IpAddr>,
    pub vsid: At<Vsid>,
    pub mac: At<MacAddress>,
    pub provider: At<IpAddr>,
    pub rule: At<Rule>,
    pub kind: At<RecordType>,
    pub use_vm_mac: At<bool>,
    pub machine: Option<String>,
    pub context: Option<String>,
    pub customer: Option<String>,
    pub place: Span,
}

impl LookupRecord {
    fn of(host: HostIndex, row: &Row) -> Option<Self> {
        let text = |field| Some(row.at::<String>(field)?.value).filter(|text| !text.is_empty());
        Some(Self {
            host,
            address: row.at("CustomerAddress")?,
            vsid: row.at("VirtualSubnetID")?,
            mac: row.at("MACAddress")?,
            provider: row.at("ProviderAddress")?,
            rule: row.at("Rule")?,
            kind: row.at("Type")?,
            use_vm_mac: row.at("UseVmMACAddress")?,
            machine: text("VMName"),
            context: text("Context"),
            customer: text("CustomerID"),
            place: row.place.clone(),
        })
    }

    /// Whether it stands for whatever the gateway carries: of that type, or the unspecified address of old.
    pub fn is_wildcard(&self) -> bool {
        self.address.value.is_unspecified()
    }
}

impl Assembler<'_> {
    /// The records in the order in which they were made.
    pub(super) fn records(&self) -> Vec<LookupRecord> {
        let mut records: Vec<LookupRecord> = Vec::new();
        let mut known = BTreeMap::new();
        for (host, row) in self.state.rows(TableName::LookupRecords) {
            let Some(record) = LookupRecord::of(host, row) else {
                continue;
            };
            let key = (record.vsid.value, record.address.value, record.mac.value);
            match known.get(&key) {
                Some(&position) => self.compare(&records[position], &record),
                None => {
                    known.insert(key, records.len());
                    records.push(record);
                }
            }
        }
        records
    }

    /// Two hosts must have the same record.
    fn compare(&self, first: &LookupRecord, later: &LookupRecord) {
        const REMEDY: &str = "let all hosts have the same record";
        let host = |record: &LookupRecord| self.state.host_entry(record.host).to_string();
        let what = format!("{} of VSID {}", later.address.value, later.vsid.value);
        if first.provider.value != later.provider.value {
            let message = format!(
                "{what} is at {} for {}, at {} for {}",
                later.provider.value,
                host(later),
                first.provider.value,
                host(first)
            );
            self.contradiction(&later.provider, &first.provider, message, REMEDY);
        }
        let differs = [
            (
                first.rule.value != later.rule.value,
                &first.rule.span,
                &later.rule.span,
                "rule",
            ),
            (
                first.kind.value != later.kind.value,
                &first.kind.span,
                &later.kind.span,
                "type",
            ),
            (
                first.use_vm_mac.value != later.use_vm_mac.value,
                &first.use_vm_mac.span,
                &later.use_vm_mac.span,
                "value of UseVmMACAddress",
            ),
        ];
        for (_, first_place, later_place, field) in
            differs.into_iter().filter(|(differs, ..)| *differs)
        {
            let message = format!(
                "{what} has one {field} for {}, another for {}",
                host(later),
                host(first)
            );
            let at = |span: &Span| At {
                value: (),
                span: span.clone(),
            };
            self.contradiction(&at(later_place), &at(first_place), message, REMEDY);
        }
    }
}

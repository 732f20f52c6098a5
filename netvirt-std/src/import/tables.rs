//! The tables that the cmdlets of network virtualization keep, one set on each host, and what else a script sets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use netvirt_core::{MacAddress, Prefix, Vsid};
use uuid::Uuid;

use crate::policy_file::Span;

/// One of the four tables of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    LookupRecords,
    CustomerRoutes,
    ProviderAddresses,
    ProviderRoutes,
}

/// A column of a table, which is a parameter of its cmdlets.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub role: Role,
}

/// What a field is to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It tells the entry from others.
    Key,
    /// It must be given and stays as it is.
    Fixed,
    /// It must be given and can be changed.
    Required,
    /// It may be given and can be changed.
    Optional,
    /// It may be given and stays as it is.
    OptionalFixed,
    /// It cannot be given: it is what the host finds.
    Observed,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    CustomerAddress,
    ProviderAddress,
    NextHop,
    Prefix,
    Vsid,
    Mac,
    Guid,
    Rule,
    RecordType,
    Flag,
    PrefixLength,
    Vlan,
    Number,
    Interface,
    Text,
}

/// What a field of an entry holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldValue {
    Address(IpAddr),
    Prefix(Prefix),
    Vsid(Vsid),
    Mac(MacAddress),
    Guid(Uuid),
    Rule(Rule),
    RecordType(RecordType),
    Flag(bool),
    Number(u32),
    Text(String),
    /// The network interface of a host, in the script's words, if they tell it from others.
    Interface(Option<String>),
}

/// How the packets to an address are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    Rewrite,
    Encapsulate,
}

/// What kind of lookup record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordType {
    Static,
    GatewayWildcard,
}

const fn field(name: &'static str, kind: Kind, role: Role) -> Field {
    Field { name, kind, role }
}

const LOOKUP_RECORD: &[Field] = &[
    field("CustomerAddress", Kind::CustomerAddress, Role::Key),
    field("VirtualSubnetID", Kind::Vsid, Role::Key),
    field("MACAddress", Kind::Mac, Role::Key),
    field("ProviderAddress", Kind::ProviderAddress, Role::Required),
    field("Rule", Kind::Rule, Role::Required),
    field("UseVmMACAddress", Kind::Flag, Role::Optional),
    field("Type", Kind::RecordType, Role::OptionalFixed),
    field("CustomerID", Kind::Text, Role::Optional),
    field("Context", Kind::Text, Role::Optional),
    field("VMName", Kind::Text, Role::Optional),
    field("Unusable", Kind::Flag, Role::Observed),
    field("Unsynchronized", Kind::Flag, Role::Observed),
];

const CUSTOMER_ROUTE: &[Field] = &[
    field("RoutingDomainID", Kind::Guid, Role::Key),
    field("VirtualSubnetID", Kind::Vsid, Role::Key),
    field("DestinationPrefix", Kind::Prefix, Role::Key),
    field("NextHop", Kind::NextHop, Role::Key),
    field("Metric", Kind::Number, Role::Optional),
];

const PROVIDER_ADDRESS: &[Field] = &[
    field("ProviderAddress", Kind::ProviderAddress, Role::Key),
    field("InterfaceIndex", Kind::Interface, Role::Fixed),
    field("PrefixLength", Kind::PrefixLength, Role::Required),
    field("VlanID", Kind::Vlan, Role::Optional),
    field("MACAddress", Kind::Mac, Role::Optional),
    field("AddressState", Kind::Text, Role::Observed),
    field("ManagedByCluster", Kind::Flag, Role::Observed),
];

const PROVIDER_ROUTE: &[Field] = &[
    field("DestinationPrefix", Kind::Prefix, Role::Key),
    field("NextHop", Kind::NextHop, Role::Key),
    field("InterfaceIndex", Kind::Interface, Role::Fixed),
    field("Metric", Kind::Number, Role::Optional),
];

impl TableName {
    pub const ALL: [Self; 4] = [
        Self::LookupRecords,
        Self::CustomerRoutes,
        Self::ProviderAddresses,
        Self::ProviderRoutes,
    ];

    /// The noun of its cmdlets, behind `NetVirtualization`.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::LookupRecords => "LookupRecord",
            Self::CustomerRoutes => "CustomerRoute",
            Self::ProviderAddresses => "ProviderAddress",
            Self::ProviderRoutes => "ProviderRoute",
        }
    }

    /// What an entry is called.
    pub const fn entry(self) -> &'static str {
        match self {
            Self::LookupRecords => "lookup record",
            Self::CustomerRoutes => "customer route",
            Self::ProviderAddresses => "provider address",
            Self::ProviderRoutes => "provider route",
        }
    }

    pub const fn fields(self) -> &'static [Field] {
        match self {
            Self::LookupRecords => LOOKUP_RECORD,
            Self::CustomerRoutes => CUSTOMER_ROUTE,
            Self::ProviderAddresses => PROVIDER_ADDRESS,
            Self::ProviderRoutes => PROVIDER_ROUTE,
        }
    }
}

impl Role {
    pub const fn must_be_given(self) -> bool {
        matches!(self, Self::Key | Self::Fixed | Self::Required)
    }

    pub const fn can_be_changed(self) -> bool {
        matches!(self, Self::Required | Self::Optional)
    }
}

/// A host that the script names, or the machine that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostIndex(usize);

#[derive(Debug)]
pub struct HostEntry {
    /// None for the machine that runs the script.
    pub name: Option<String>,
    /// Where it is named first.
    pub place: Span,
}

impl fmt::Display for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "host {name:?}"),
            None => f.write_str("the machine that runs the script"),
        }
    }
}

/// Which row of which host's table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowId {
    pub table: TableName,
    pub host: HostIndex,
    key: Vec<FieldValue>,
}

/// An entry of a table.
#[derive(Debug, Clone)]
pub struct Row {
    pub fields: Fields,
    /// The command that made it.
    pub place: Span,
    order: usize,
}

pub type Fields = BTreeMap<&'static str, Cell>;

/// What a field holds, and where that was written.
#[derive(Debug, Clone)]
pub struct Cell {
    pub value: FieldValue,
    pub origin: Span,
}

/// That a virtual machine's network adapter is in a virtual subnet.
#[derive(Debug, Clone)]
pub struct Binding {
    pub host: HostIndex,
    pub machine: String,
    pub adapter: Option<String>,
    pub mac: Option<MacAddress>,
    /// None if it is in none.
    pub vsid: Option<Vsid>,
    pub place: Span,
}

/// What a script has set, on all hosts.
#[derive(Debug, Default)]
pub struct State {
    pub hosts: Vec<HostEntry>,
    pub bindings: Vec<Binding>,
    rows: BTreeMap<RowId, Row>,
    made: usize,
}

/// Why an entry cannot be made: there is one with the same key and another value of this field.
#[derive(Debug)]
pub struct Clash {
    pub field: &'static str,
    pub first: Option<Cell>,
    pub place: Span,
}

impl State {
    /// The host called `name`; case does not matter.
    pub fn host_named(&mut self, name: &str, place: &Span) -> HostIndex {
        self.host(Some(name), place)
    }

    /// The machine that runs the script.
    pub fn this_machine(&mut self, place: &Span) -> HostIndex {
        self.host(None, place)
    }

    fn host(&mut self, name: Option<&str>, place: &Span) -> HostIndex {
        let folded = |name: Option<&str>| name.map(str::to_lowercase);
        let is_it = |host: &HostEntry| folded(host.name.as_deref()) == folded(name);
        let found = self.hosts.iter().position(is_it);
        HostIndex(found.unwrap_or_else(|| {
            self.hosts.push(HostEntry {
                name: name.map(str::to_owned),
                place: place.clone(),
            });
            self.hosts.len() - 1
        }))
    }

    pub fn host_entry(&self, host: HostIndex) -> &HostEntry {
        &self.hosts[host.0]
    }

    /// The hosts that the script names.
    pub fn named_hosts(&self) -> impl Iterator<Item = (HostIndex, &HostEntry)> {
        let hosts = self.hosts.iter().enumerate();
        let hosts = hosts.filter(|(_, host)| host.name.is_some());
        hosts.map(|(position, host)| (HostIndex(position), host))
    }

    /// Adds an entry and yields which it is; one that is there already may be given again.
    pub fn add(
        &mut self,
        table: TableName,
        host: HostIndex,
        fields: Fields,
        place: &Span,
    ) -> Result<RowId, Clash> {
        let keys = table
            .fields()
            .iter()
            .filter(|field| field.role == Role::Key);
        let key = keys.filter_map(|field| Some(fields.get(field.name)?.value.clone()));
        let id = RowId {
            table,
            host,
            key: key.collect(),
        };
        if let Some(there) = self.rows.get(&id) {
            return there.same(table, &fields).map(|()| id);
        }
        let row = Row {
            fields,
            place: place.clone(),
            order: self.made,
        };
        self.made += 1;
        self.rows.insert(id.clone(), row);
        Ok(id)
    }

    pub fn row(&self, id: &RowId) -> Option<&Row> {
        self.rows.get(id)
    }

    pub fn remove(&mut self, id: &RowId) {
        self.rows.remove(id);
    }

    pub fn change(&mut self, id: &RowId, fields: &Fields) {
        if let Some(row) = self.rows.get_mut(id) {
            row.fields.extend(fields.clone());
        }
    }

    /// The entries of a host's table.
    pub fn rows_of(
        &self,
        table: TableName,
        host: HostIndex,
    ) -> impl Iterator<Item = (&RowId, &Row)> {
        let first = RowId {
            table,
            host,
            key: Vec::new(),
        };
        self.rows
            .range(first..)
            .take_while(move |(id, _)| id.table == table && id.host == host)
    }

    /// The entries of all hosts' tables, in the order in which they were made.
    pub fn rows(&self, table: TableName) -> Vec<(HostIndex, &Row)> {
        let of_table = self.rows.iter().filter(|(id, _)| id.table == table);
        let mut rows: Vec<_> = of_table.map(|(id, row)| (id.host, row)).collect();
        rows.sort_by_key(|(_, row)| row.order);
        rows
    }
}

impl Row {
    /// Whether the fields that mean something to the network are those of this row.
    fn same(&self, table: TableName, fields: &Fields) -> Result<(), Clash> {
        let matters = |field: &&Field| field.kind != Kind::Text && field.kind != Kind::Interface;
        for field in table.fields().iter().filter(matters) {
            let first = self.fields.get(field.name);
            let second = fields.get(field.name);
            if first.map(|cell| &cell.value) != second.map(|cell| &cell.value) {
                return Err(Clash {
                    field: field.name,
                    first: first.cloned(),
                    place: self.place.clone(),
                });
            }
        }
        Ok(())
    }

    pub fn cell(&self, field: &str) -> Option<&Cell> {
        self.fields.get(field)
    }

    /// What a field holds, as the type that it is of.
    pub fn at<T: FromField>(&self, field: &str) -> Option<At<T>> {
        at(&self.fields, field)
    }
}

/// What one of the fields holds, as the type that it is of.
pub fn at<T: FromField>(fields: &Fields, field: &str) -> Option<At<T>> {
    let cell = fields.get(field)?;
    Some(At {
        value: T::from_field(&cell.value)?,
        span: cell.origin.clone(),
    })
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    pub value: T,
    pub span: Span,
}

/// A type of values that fields hold.
pub trait FromField: Sized {
    fn from_field(value: &FieldValue) -> Option<Self>;
}

macro_rules! from_field {
    ($($kind:ident $type:ty),*) => {$(
        impl FromField for $type {
            fn from_field(value: &FieldValue) -> Option<Self> {
                match value {
                    FieldValue::$kind(value) => Some(value.clone()),
                    _ => None,
                }
            }
        }
    )*};
}

from_field! {
    Address IpAddr, Prefix Prefix, Vsid Vsid, Mac MacAddress, Guid Uuid, Rule Rule, RecordType RecordType,
    Flag bool, Number u32, Text String, Interface Option<String>
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Vsid(vsid) => vsid.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
            Self::Guid(guid) => guid.braced().fmt(f),
            Self::Rule(Rule::Rewrite) => f.write_str("TranslationMethodNat"),
            Self::Rule(Rule::Encapsulate) => f.write_str("TranslationMethodEncap"),
            Self::RecordType(RecordType::Static) => f.write_str("Static"),
            Self::RecordType(RecordType::GatewayWildcard) => f.write_str("GatewayWildcard"),
            Self::Flag(flag) => f.write_str(if *flag { "True" } else { "False" }),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Interface(interface) => f.write_str(interface.as_deref().unwrap_or("unknown")),
        }
    }
}

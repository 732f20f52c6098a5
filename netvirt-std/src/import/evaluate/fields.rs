//! From the values of a script to those of the tables' fields.

use std::net::IpAddr;

use netvirt_core::{CustomerAddress, MacAddress, Prefix, ProviderAddress, VlanId, Vsid};
use uuid::Uuid;

use super::arguments::Argument;
use super::value::{Item, Value};
use crate::import::findings::{Findings, Noted, Result};
use crate::import::tables::{Cell, FieldValue, Kind, RecordType, Rule};
use crate::policy_file::Diagnostic;

/// Why a value cannot be taken, and what to do.
struct Refusal {
    message: String,
    remedy: &'static str,
}

impl Refusal {
    fn new(message: impl ToString, remedy: &'static str) -> Self {
        Self {
            message: message.to_string(),
            remedy,
        }
    }
}

type Converted<T> = std::result::Result<T, Refusal>;

/// The value of an argument as that of a field.
pub fn single(argument: &Argument, kind: Kind, findings: &Findings) -> Result<Cell> {
    let item = match argument.item.items() {
        [only] => only,
        _ => &argument.item,
    };
    cell(item, argument, kind, findings)
}

/// The values of an argument that may be a list.
pub fn several(argument: &Argument, kind: Kind, findings: &Findings) -> Result<Vec<FieldValue>> {
    let items = argument.item.items().iter().flat_map(Item::items);
    items
        .map(|item| Ok(cell(item, argument, kind, findings)?.value))
        .collect()
}

fn cell(item: &Item, argument: &Argument, kind: Kind, findings: &Findings) -> Result<Cell> {
    match convert(&item.value, kind) {
        Ok(value) => Ok(Cell {
            value,
            origin: item.origin.clone(),
        }),
        Err(Refusal { message, remedy }) => {
            let finding = Diagnostic::error(&argument.span, message).remedy(remedy);
            findings.refuse(argument.with_origin(item, finding))
        }
    }
}

/// Whether a value is that of a field; none if it cannot be one.
pub fn is_same(value: &Value, field: &FieldValue, kind: Kind) -> Option<bool> {
    let wanted = convert(value, kind).ok()?;
    Some(matches(field, &wanted))
}

/// Whether a field is what a filter asks for. What interface it is may not be known.
pub fn matches(field: &FieldValue, wanted: &FieldValue) -> bool {
    match (field, wanted) {
        (FieldValue::Interface(None), _) | (_, FieldValue::Interface(None)) => true,
        (FieldValue::Text(field), FieldValue::Text(wanted)) => {
            field.to_lowercase() == wanted.to_lowercase()
        }
        _ => field == wanted,
    }
}

/// A MAC address.
pub fn mac(argument: &Argument, findings: &Findings) -> Result<MacAddress> {
    match single(argument, Kind::Mac, findings)?.value {
        FieldValue::Mac(mac) => Ok(mac),
        _ => Err(Noted),
    }
}

fn convert(value: &Value, kind: Kind) -> Converted<FieldValue> {
    if kind == Kind::Interface {
        return Ok(FieldValue::Interface(
            value.text().map(|text| text.to_string()),
        ));
    }
    if kind == Kind::Flag {
        return flag(value).map(FieldValue::Flag);
    }
    if kind == Kind::Text && matches!(value, Value::Unknown(_)) {
        // What administrators write for themselves means nothing to the network.
        return Ok(FieldValue::Text(String::new()));
    }
    if let Value::Unknown(what) = value {
        let message = format!("`{what}` is known only to the machine that runs the script");
        return Err(Refusal::new(message, expected(kind)));
    }
    let Some(text) = value.text().filter(|_| !matches!(value, Value::Null)) else {
        let message = format!("{} cannot be taken here", value.kind());
        return Err(Refusal::new(message, expected(kind)));
    };
    from_text(text.trim(), kind)
}

/// What to write where a value of this kind is wanted.
const fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::CustomerAddress | Kind::NextHop => {
            "write an address, such as 10.0.0.5 or 2001:db8::5"
        }
        Kind::ProviderAddress => "write an address, such as 192.168.4.11 or 2001:db8::11",
        Kind::Prefix => "write a prefix, such as 10.0.0.0/24",
        Kind::Vsid => "write a number in 4096..=16777214",
        Kind::Mac => "write a MAC address, such as 060600000005",
        Kind::Guid => "write a GUID, such as {11111111-2222-3333-4444-000000005001}",
        Kind::Rule => "write TranslationMethodEncap or TranslationMethodNat",
        Kind::RecordType => "write Static or GatewayWildcard",
        Kind::Flag => "write $true or $false",
        Kind::PrefixLength => "write the number of leading bits, such as 24",
        Kind::Vlan => "write a number in 1..=4094, or 0 for none",
        Kind::Number | Kind::Interface => "write a number below 2^32",
        Kind::Text => "write a text",
    }
}

fn from_text(text: &str, kind: Kind) -> Converted<FieldValue> {
    let remedy = expected(kind);
    let invalid = |error: netvirt_core::InvalidAddress| Refusal::new(error, remedy);
    Ok(match kind {
        Kind::CustomerAddress | Kind::NextHop => {
            FieldValue::Address(match address(text, remedy)? {
                wildcard if wildcard.is_unspecified() => wildcard,
                address => CustomerAddress::new(address).map_err(invalid)?.get(),
            })
        }
        Kind::ProviderAddress => {
            let address = address(text, remedy)?;
            FieldValue::Address(ProviderAddress::new(address).map_err(invalid)?.get())
        }
        Kind::Prefix => FieldValue::Prefix(text.parse::<Prefix>().map_err(invalid)?),
        Kind::Vsid => FieldValue::Vsid(Vsid::new(number(text, remedy)?).map_err(invalid)?),
        Kind::Mac => {
            let mac = text.parse::<MacAddress>().and_then(MacAddress::unicast);
            FieldValue::Mac(mac.map_err(invalid)?)
        }
        Kind::Guid => FieldValue::Guid(
            Uuid::try_parse(text)
                .map_err(|_| Refusal::new(format!("{text:?} is no GUID"), remedy))?,
        ),
        Kind::Rule => FieldValue::Rule(rule(text)?),
        Kind::RecordType => FieldValue::RecordType(record_type(text)?),
        Kind::PrefixLength => match number(text, remedy)? {
            length @ 1..=128 => FieldValue::Number(length),
            length => {
                return Err(Refusal::new(
                    format!("a prefix of {length} bits does not exist here"),
                    remedy,
                ));
            }
        },
        Kind::Vlan => FieldValue::Number(match number(text, remedy)? {
            0 => 0,
            tag => {
                let tag = u16::try_from(tag).unwrap_or(u16::MAX);
                u32::from(VlanId::new(tag).map_err(invalid)?.get())
            }
        }),
        Kind::Number => FieldValue::Number(number(text, remedy)?),
        Kind::Text | Kind::Interface | Kind::Flag => FieldValue::Text(text.to_owned()),
    })
}

fn address(text: &str, remedy: &'static str) -> Converted<IpAddr> {
    text.parse()
        .map_err(|_| Refusal::new(format!("{text:?} is not an IP address"), remedy))
}

fn number(text: &str, remedy: &'static str) -> Converted<u32> {
    let number = match text.get(..2) {
        Some("0x" | "0X") => u32::from_str_radix(&text[2..], 16).ok(),
        _ => text.parse().ok(),
    };
    number.ok_or_else(|| Refusal::new(format!("{text:?} is no number below 2^32"), remedy))
}

fn flag(value: &Value) -> Converted<bool> {
    match value {
        Value::Flag(flag) => Ok(*flag),
        Value::Number(number @ 0..=1) => Ok(*number == 1),
        Value::Text(text) if matches!(&**text, "0" | "1") => Ok(&**text == "1"),
        other => Err(Refusal::new(
            format!("{other} is neither $true nor $false"),
            expected(Kind::Flag),
        )),
    }
}

fn rule(text: &str) -> Converted<Rule> {
    match text.to_lowercase().as_str() {
        "translationmethodnat" | "0" => Ok(Rule::Rewrite),
        "translationmethodencap" | "1" => Ok(Rule::Encapsulate),
        "translationmethodnone" | "2" => Err(Refusal::new(
            "a policy file has no addresses that are carried untranslated",
            "use TranslationMethodEncap, or remove the record",
        )),
        _ => Err(Refusal::new(
            format!("{text:?} is no rule of a lookup record"),
            expected(Kind::Rule),
        )),
    }
}

fn record_type(text: &str) -> Converted<RecordType> {
    match text.to_lowercase().as_str() {
        "static" | "0" => Ok(RecordType::Static),
        "gatewaywildcard" | "2" => Ok(RecordType::GatewayWildcard),
        "dynamic" | "1" => Err(Refusal::new(
            "a policy file has no Dynamic records: netvirt does not learn addresses",
            "leave -Type out, and see that the machine keeps this address",
        )),
        "l2only" | "3" => Err(Refusal::new(
            "a policy file has no L2Only records: netvirt does not learn addresses",
            "give the machine's own customer addresses, without -Type",
        )),
        _ => Err(Refusal::new(
            format!("{text:?} is no type of a lookup record"),
            expected(Kind::RecordType),
        )),
    }
}

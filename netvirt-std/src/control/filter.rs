//! Which objects of a list are wanted.

use std::fmt;
use std::net::IpAddr;

use netvirt_core::{MacAddress, Prefix};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::Value;

use super::written::expected_instead;
use crate::policy_file::nearest;

/// Objects that have, in each field that is named, one of the values that are named for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    wanted: Vec<(&'static str, Wanted)>,
}

/// A value as it was written, and as the switch writes it.
#[derive(Debug, Clone)]
struct Wanted {
    texts: Vec<String>,
}

/// What no object can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InvalidFilter {
    /// A field.
    Field {
        /// The field that was named.
        field: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// A value of a field.
    Value {
        /// The field.
        field: &'static str,
        /// What is wanted of it.
        value: String,
        /// What it can have.
        expected: &'static str,
    },
}

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, known) = match self {
            Self::Field { field, known } => (field, known),
            Self::Value {
                field,
                value,
                expected,
            } => return write!(f, "{value:?} is no value of {field}: give {expected}"),
        };
        if known.is_empty() {
            return f.write_str("there is nothing to filter on");
        }
        write!(f, "there is no field {field:?}")?;
        if let Some(meant) = nearest(field, known) {
            write!(f, " (did you mean {meant:?}?)")?;
        }
        write!(f, ": the fields are {}", known.join(", "))
    }
}

impl std::error::Error for InvalidFilter {}

impl Filter {
    /// Reads the fields and values of a query.
    pub fn of<T: DeserializeOwned>(query: Vec<(String, String)>) -> Result<Self, InvalidFilter> {
        let known = fields_of::<T>();
        let wanted = query.into_iter().map(|(field, value)| {
            let Some(field) = known.iter().find(|known| **known == field) else {
                return Err(InvalidFilter::Field { field, known });
            };
            match expected_instead::<T>(field, &value) {
                None => Ok((*field, Wanted::new(value))),
                Some(expected) => Err(InvalidFilter::Value {
                    field,
                    value,
                    expected,
                }),
            }
        });
        Ok(Self {
            wanted: wanted.collect::<Result<_, _>>()?,
        })
    }

    /// Whether an object is wanted.
    pub fn takes(&self, object: &impl Serialize) -> bool {
        self.wanted.is_empty()
            || serde_json::to_vec(object).is_ok_and(|object| self.takes_json(&object))
    }

    /// The same of an object in JSON, with all of its fields. Those that do not matter are skipped.
    pub fn takes_json(&self, object: &[u8]) -> bool {
        let mut object = serde_json::Deserializer::from_slice(object);
        self.wanted.is_empty() || object.deserialize_map(Look(self)).is_ok()
    }

    /// What is wanted of a field, if it matters.
    fn wanted_of(&self, field: &str) -> Option<impl Iterator<Item = &Wanted>> {
        let of_field = self.wanted.iter().filter(move |(name, _)| *name == field);
        let mut wanted = of_field.map(|(_, wanted)| wanted).peekable();
        wanted.peek().is_some().then_some(wanted)
    }
}

/// Reads an object as far as it is wanted.
struct Look<'f>(&'f Filter);

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key::<&str>()? {
            let Some(mut wanted) = self.0.wanted_of(field) else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: Value = object.next_value()?;
            if !wanted.any(|wanted| wanted.is(&value)) {
                return Err(A::Error::custom("not wanted"));
            }
        }
        Ok(())
    }
}

impl Wanted {
    /// Addresses can be written in several ways.
    fn new(text: String) -> Self {
        let address = text.parse::<IpAddr>().ok().map(|it| it.to_string());
        let prefix = text.parse::<Prefix>().ok().map(|it| it.to_string());
        let mac = text.parse::<MacAddress>().ok().map(|it| it.to_string());
        let others = [address, prefix, mac].into_iter().flatten();
        Self {
            texts: others.chain([text]).collect(),
        }
    }

    /// Nothing is wanted by an empty value, and of a list one is enough.
    fn is(&self, value: &Value) -> bool {
        let has = |text: &str| self.texts.iter().any(|wanted| wanted == text);
        match value {
            Value::Null => has(""),
            Value::Bool(_) | Value::Number(_) => has(&value.to_string()),
            Value::String(text) => has(text),
            Value::Array(values) if values.is_empty() => has(""),
            Value::Array(values) => values.iter().any(|value| self.is(value)),
            Value::Object(_) => false,
        }
    }
}

/// The fields that a kind of object has.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields = [].as_slice();
    // It fails as soon as it has told the names of its fields.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

/// Reads nothing but which fields are asked for.
struct FieldNames<'f>(&'f mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("no structure"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Thing {
        vsid: u32,
        name: Option<String>,
        mac: String,
        addresses: Vec<IpAddr>,
        usable: bool,
    }

    fn takes(query: &[(&str, &str)]) -> Result<bool, InvalidFilter> {
        let thing = Thing {
            vsid: 5001,
            name: None,
            mac: "06:06:00:00:00:05".to_owned(),
            addresses: ["10.0.0.5", "fd00::5"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            usable: true,
        };
        let query = query
            .iter()
            .map(|(field, value)| (field.to_string(), value.to_string()));
        Ok(Filter::of::<Thing>(query.collect())?.takes(&thing))
    }

    #[test]
    fn fields_are_all_and_values_are_any() {
        for (query, expected) in [
            (&[][..], true),
            (&[("vsid", "5001")], true),
            (&[("vsid", "6001")], false),
            (&[("vsid", "6001"), ("vsid", "5001")], true),
            (&[("vsid", "5001"), ("usable", "true")], true),
            (&[("vsid", "5001"), ("usable", "false")], false),
            (&[("vsid", "6001"), ("usable", "true")], false),
        ] {
            assert_eq!(takes(query), Ok(expected), "{query:?}");
        }
    }

    #[test]
    fn values_are_known_however_they_are_written() {
        for (field, value, expected) in [
            ("mac", "06:06:00:00:00:05", true),
            ("mac", "06-06-00-00-00-05", true),
            ("mac", "060600000005", true),
            ("mac", "060600000006", false),
            ("addresses", "10.0.0.5", true),
            ("addresses", "FD00:0::5", true),
            ("addresses", "10.0.0.6", false),
            ("addresses", "", false),
            ("name", "", true),
            ("name", "null", false),
        ] {
            assert_eq!(takes(&[(field, value)]), Ok(expected), "{field}={value}");
        }
    }

    #[test]
    fn a_value_that_no_object_can_have_is_told_with_what_it_can() {
        for (field, value, expected) in [
            ("vsid", "xyz", "a whole number"),
            ("vsid", "", "a whole number"),
            ("vsid", "4294967296", "a whole number"),
            ("usable", "TRUE", "true or false"),
            ("addresses", "10.0.0", "an IP address"),
            ("mac", "06:06", "a MAC address"),
        ] {
            let error = takes(&[(field, value)]).unwrap_err().to_string();
            let expected = format!("{value:?} is no value of {field}: give {expected}");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_field_that_does_not_exist_is_told_with_those_that_do() {
        let error = takes(&[("vsid", "5001"), ("macs", "1")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no field \"macs\" (did you mean \"mac\"?): the fields are vsid, name, mac, addresses, usable"
        );
    }
}

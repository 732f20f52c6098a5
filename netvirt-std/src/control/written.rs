//! Whether a value, as it is written in a filter, is one that a field can have.

use std::fmt;

use netvirt_core::{MacAddress, Prefix};
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// What a field of a kind of object can have, if it cannot have this value.
pub(super) fn expected_instead<T: DeserializeOwned>(
    field: &'static str,
    value: &str,
) -> Option<&'static str> {
    // In JSON these two are texts like any other.
    match field {
        "mac" if value.parse::<MacAddress>().is_err() => Some("a MAC address"),
        "prefix" if value.parse::<Prefix>().is_err() => Some("a prefix such as 10.0.0.0/24"),
        _ => expected_by_type::<T>(field, value),
    }
}

fn expected_by_type<T: DeserializeOwned>(field: &'static str, value: &str) -> Option<&'static str> {
    let mut expected = None;
    // It fails in any case, for want of the other fields.
    let _ = T::deserialize(OneField {
        field: Some(field),
        value,
        expected: &mut expected,
    });
    expected
}

/// An object of which only one field is there.
struct OneField<'a> {
    field: Option<&'static str>,
    value: &'a str,
    expected: &'a mut Option<&'static str>,
}

impl<'de> Deserializer<'de> for OneField<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct struct map enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for OneField<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let field = self.field.take();
        field
            .map(|field| seed.deserialize(field.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Written {
            value: self.value,
            expected: self.expected,
        })
    }
}

/// A value of whatever type the field has.
struct Written<'a> {
    value: &'a str,
    expected: &'a mut Option<&'static str>,
}

impl Written<'_> {
    /// What was read; else notes what was expected.
    fn read<T, E: fmt::Display>(
        self,
        read: Result<T, E>,
        expected: &'static str,
    ) -> Result<T, Error> {
        read.map_err(|error| {
            *self.expected = Some(expected);
            Error::custom(error)
        })
    }
}

macro_rules! whole_numbers {
    ($($deserialize:ident $visit:ident)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number = self.value.parse();
            visitor.$visit(self.read(number, "a whole number that fits")?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Written<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.value)
    }

    whole_numbers! {
        deserialize_u8 visit_u8
        deserialize_u16 visit_u16
        deserialize_u32 visit_u32
        deserialize_u64 visit_u64
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.value.parse();
        visitor.visit_bool(self.read(value, "true or false")?)
    }

    /// Addresses are read so; texts ask for a string.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let address = visitor.visit_str::<Error>(self.value);
        self.read(address, "an IP address")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            "" => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// One of the list, or none.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let is_empty = self.value.is_empty();
        visitor.visit_seq(OneElement((!is_empty).then_some(self)))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u128 f32 f64 char string bytes byte_buf unit unit_struct
        newtype_struct tuple tuple_struct struct map enum identifier ignored_any
    }
}

struct OneElement<'a>(Option<Written<'a>>);

impl<'de> SeqAccess<'de> for OneElement<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let element = self.0.take();
        element.map(|element| seed.deserialize(element)).transpose()
    }
}

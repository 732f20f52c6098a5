//! Frames as people write them: hexadecimal text.

use std::fmt;

/// Reads bytes from hexadecimal digits. White space and colons may stand between bytes, as in what tcpdump
/// and Wireshark print.
///
/// # Errors
/// [`InvalidHex`] says where the text is wrong.
pub fn parse(text: &str) -> Result<Vec<u8>, InvalidHex> {
    let mut bytes = Vec::new();
    let mut first_digit = None;
    for (place, character) in text.chars().enumerate() {
        match (character.to_digit(16), first_digit) {
            (Some(digit), None) => first_digit = Some(digit as u8),
            (Some(digit), Some(first)) => {
                bytes.push(first << 4 | digit as u8);
                first_digit = None;
            }
            (None, None) if character == ':' || character.is_whitespace() => {}
            (None, _) => return Err(InvalidHex::Character(character, place + 1)),
        }
    }
    match first_digit {
        None => Ok(bytes),
        Some(_) => Err(InvalidHex::HalfByte),
    }
}

/// A text is no sequence of bytes in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidHex {
    /// This character at this place, counted from 1, is no digit, or parts the two digits of a byte.
    Character(char, usize),
    /// The last byte has one digit.
    HalfByte,
}

impl fmt::Display for InvalidHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Character(character, place) => write!(
                f,
                "{character:?} at character {place}: give two hexadecimal digits a byte, for example 0200 or 02:00"
            ),
            Self::HalfByte => f.write_str("the last byte has only one digit"),
        }
    }
}

impl std::error::Error for InvalidHex {}

/// Bytes as hexadecimal digits without anything between, in lower case.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_with_what_tools_put_between_them() {
        for text in ["0200a7Ff", "02:00:a7:ff", " 02 00\n\ta7 FF ", "0200 a7ff"] {
            assert_eq!(parse(text), Ok(vec![2, 0, 0xa7, 0xff]), "{text:?}");
        }
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_byte_is_refused_with_its_place() {
        for (text, error) in [
            ("0", InvalidHex::HalfByte),
            ("02 0", InvalidHex::HalfByte),
            ("0 2", InvalidHex::Character(' ', 2)),
            ("0x02", InvalidHex::Character('x', 2)),
            ("02-00", InvalidHex::Character('-', 3)),
            ("é2", InvalidHex::Character('é', 1)),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn every_byte_is_written_as_it_is_read() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(parse(&Hex(&bytes).to_string()), Ok(bytes));
    }
}

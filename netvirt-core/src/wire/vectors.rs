//! Frames that the tests of this room share.

use std::vec::Vec;

use crate::checksum;

/// The reference NVGRE frame: VSID 5001, FlowID 0xA7, 192.168.4.11 to 192.168.4.22, carrying 10.0.0.5:1111 to
/// 10.0.0.7:2222 over UDP.
pub(super) const NVGRE_FRAME: &str = "02000000001602000000000b0800\
     4500005000004000402fb10dc0a8040bc0a80416\
     20006558001389a7\
     0606000000070606000000050800\
     450000261234400040111488\
     0a0000050a000007\
     045708ae00120bdd\
     68656c6c6f2c20686e76";

/// Reads hexadecimal digits.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn ethernet(ethertype: u16) -> Vec<u8> {
    let mut frame = hex("060600000007060600000005");
    frame.extend(ethertype.to_be_bytes());
    frame
}

/// An untagged frame from 10.0.0.5 to 10.0.0.7 with DF, TTL 64.
pub(super) fn ipv4_frame(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_frame_with_options(&[], 0x4000, protocol, payload)
}

/// An untagged frame from 10.0.0.5 to 10.0.0.7 with TTL 64. Options are a multiple of 4 bytes.
pub(super) fn ipv4_frame_with_options(
    options: &[u8],
    flags_and_offset: u16,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header_length = 20 + options.len();
    let mut header = Vec::from([0x40 | (header_length / 4) as u8, 0]);
    header.extend(((header_length + payload.len()) as u16).to_be_bytes());
    header.extend([0x12, 0x34]);
    header.extend(flags_and_offset.to_be_bytes());
    header.extend([64, protocol, 0, 0, 10, 0, 0, 5, 10, 0, 0, 7]);
    header.extend(options);
    let checksum = !checksum::sum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = ethernet(0x0800);
    frame.extend(header);
    frame.extend(payload);
    frame
}

/// An untagged frame from 2001:db8::5 to 2001:db8::7 with hop limit 64 and traffic class 0xB9. Each extension
/// header is its own number and its bytes, whose first is replaced by the number of the next.
pub(super) fn ipv6_frame(extensions: &[(u8, Vec<u8>)], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(0x86dd);
    let extension_length: usize = extensions.iter().map(|(_, bytes)| bytes.len()).sum();
    frame.extend([0x6b, 0x91, 0x23, 0x45]);
    frame.extend(((extension_length + payload.len()) as u16).to_be_bytes());
    let numbers: Vec<u8> = extensions
        .iter()
        .map(|(number, _)| *number)
        .chain([protocol])
        .collect();
    frame.extend([numbers[0], 64]);
    frame.extend(hex("20010db8000000000000000000000005"));
    frame.extend(hex("20010db8000000000000000000000007"));
    for ((_, bytes), next) in extensions.iter().zip(&numbers[1..]) {
        frame.push(*next);
        frame.extend(&bytes[1..]);
    }
    frame.extend(payload);
    frame
}

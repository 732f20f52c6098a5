//! The Toeplitz hash in its forms.

use std::hint::black_box;

use netvirt_core::offload::{ByteTable, HashTypes, NibbleTable, Toeplitz, ToeplitzKey, rss_hash};

use crate::frames::Carrier;
use crate::sampler::{Sampler, time};

/// Who hashes.
pub const FORMS: [&str; 3] = ["bit by bit", "nibbles", "bytes"];
/// What is hashed.
pub const INPUTS: [&str; 3] = [
    "Toeplitz, 12 bytes",
    "Toeplitz, 36 bytes",
    "RSS hash of an NVGRE frame",
];

const KEY: ToeplitzKey = ToeplitzKey::VERIFICATION;
const PASS: usize = 256;

/// Measures all forms.
pub fn run(sampler: &mut Sampler) {
    let nibbles = Box::new(NibbleTable::new(&KEY));
    let mut bytes = Box::new(ByteTable::ZERO);
    bytes.set_key(&KEY);
    verify(&KEY);
    verify(&*nibbles);
    verify(&*bytes);
    measure(sampler, FORMS[0], &KEY);
    measure(sampler, FORMS[1], &*nibbles);
    measure(sampler, FORMS[2], &*bytes);
}

/// The first published vector, and the key's own answer to all inputs.
fn verify(form: &impl Toeplitz) {
    let vector = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
    assert_eq!(form.hash(&vector), 0x51cc_c178);
    for input in inputs::<36>() {
        assert_eq!(form.hash(&input), KEY.hash(&input));
    }
}

fn inputs<const N: usize>() -> Vec<[u8; N]> {
    (0..PASS as u32)
        .map(|number| {
            std::array::from_fn(|at| (number.wrapping_mul(2_654_435_761) >> (at % 24)) as u8)
        })
        .collect()
}

fn measure(sampler: &mut Sampler, name: &str, form: &impl Toeplitz) {
    let (short, long) = (inputs::<12>(), inputs::<36>());
    each(sampler, INPUTS[0], name, &short, |input| form.hash(input));
    each(sampler, INPUTS[1], name, &long, |input| form.hash(input));
    let frames: Vec<Vec<u8>> = (0..PASS)
        .map(|port| Carrier::Nvgre.front(port as u16))
        .map(|front| [front, vec![0; 1]].concat())
        .map(with_its_length)
        .collect();
    let hash = |frame: &Vec<u8>| {
        rss_hash(form, HashTypes::ALL, frame, frame.len()).map_or(0, |hash| hash.value)
    };
    let ports = [10, 0, 0, 5, 10, 0, 0, 7, 0, 9, 0, 80];
    assert_eq!(hash(&frames[9]), KEY.hash(&ports));
    each(sampler, INPUTS[2], name, &frames, hash);
}

/// Corrects the lengths of a front that ends with the frame.
fn with_its_length(mut frame: Vec<u8>) -> Vec<u8> {
    for at in [14, 14 + Carrier::Nvgre.length()] {
        let length = (frame.len() - at) as u16;
        frame[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
    }
    frame
}

fn each<I>(sampler: &mut Sampler, input: &str, form: &str, inputs: &[I], hash: impl Fn(&I) -> u32) {
    if sampler.wants(input) {
        sampler.group(input, inputs.len()).measure(form, || {
            time(|| {
                for input in black_box(inputs) {
                    black_box(hash(input));
                }
            })
        });
    }
}

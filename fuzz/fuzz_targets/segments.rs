#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| netvirt_fuzz_targets::segments(data));

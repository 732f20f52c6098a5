//! The rows of required behaviour through `netvirt replay`: committed captures of the frames of each row, and what becomes
//! of them, to be read. What every row asks is in tests/rows/rows.txt, the network in tests/rows/network.toml.
//!
//! `UPDATE=1 cargo test -p netvirt-std --test rows` writes captures and stories anew; what changed is then to be read.

mod case_rewrite;
mod case_threats;
mod cases;
#[path = "../../../netvirt-core/tests/support/mod.rs"]
mod networks;
mod story;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cases::{Case, SECTIONS};
use netvirt_std::capture::{CaptureWriter, Direction};

const ROOM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/rows");

/// The capture of what came in at one place of one host.
fn capture_path(section: &str, host: &str, port: &str) -> PathBuf {
    Path::new(ROOM).join(format!("{section}/{host}.{port}.pcapng"))
}

/// The bytes of that capture: each frame with its row as the comment, a second apart in the order of the section.
fn capture(cases: &[(u64, Case)], port: &str) -> Vec<u8> {
    let mut writer = CaptureWriter::new("capture", Vec::new()).unwrap();
    let interface = writer.add_interface(port).unwrap();
    for (second, case) in cases {
        let (time, row) = (second * 1_000_000_000, Some(case.row));
        let written = writer.write(interface, time, Direction::Inbound, &case.frame, row);
        written.unwrap();
    }
    writer.finish().unwrap()
}

/// The committed file, which is to be this; written if that is wanted.
fn is_committed(path: &Path, expected: &[u8]) {
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, expected).unwrap();
        return;
    }
    let hint = "UPDATE=1 writes it anew";
    let found =
        fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; {hint}", path.display()));
    if found != expected {
        let [found, expected] = [&found, expected].map(String::from_utf8_lossy);
        let differs = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
        panic!("{} differs: {differs:#?}; {hint}", path.display());
    }
}

#[test]
fn the_captures_are_those_of_the_cases_and_tell_the_story_that_they_always_told() {
    for (section, cases) in SECTIONS {
        let mut places: BTreeMap<(&str, &str), Vec<(u64, Case)>> = BTreeMap::new();
        for (second, case) in (1..).zip(cases()) {
            let place = places.entry((case.host, case.port)).or_default();
            place.push((second, case));
        }
        for ((host, port), cases) in places {
            is_committed(&capture_path(section, host, port), &capture(&cases, port));
        }
        let told = story::of(section);
        let path = Path::new(ROOM).join(format!("{section}.txt"));
        is_committed(&path, told.as_bytes());
    }
}

//! Writes what fuzzing begins with: `seeds DIRECTORY FILE…` makes a directory of inputs for each target out of captures
//! of Ethernet (`.pcap`, `.pcapng`), policy files (`.toml`) and scripts (`.ps1`).

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use netvirt_fuzz_targets::seeds::{Seed, of_frame, of_the_standard_network};
use netvirt_std::capture::CaptureReader;

/// Longer inputs slow every run down and reach no other code.
const LONGEST: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let directory = arguments
        .next()
        .ok_or("usage: seeds DIRECTORY FILE…: the directory is missing")?;
    let mut seeds = of_the_standard_network();
    for file in arguments {
        seeds.extend(of_file(&file)?);
    }
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for (target, bytes) in seeds {
        if bytes.len() <= LONGEST {
            let count = written.entry(target).or_default();
            *count += 1;
            let place = directory.join(target);
            fs::create_dir_all(&place)?;
            fs::write(place.join(format!("{count:05}")), bytes)?;
        }
    }
    for (target, count) in written {
        println!("{target}: {count}");
    }
    Ok(())
}

fn of_file(file: &Path) -> Result<Vec<Seed>, Box<dyn Error>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => Ok(vec![("policy_file", fs::read(file)?)]),
        Some("ps1") => Ok(vec![("script", fs::read(file)?)]),
        _ => Ok(of_capture(file)),
    }
}

/// The frames of a capture up to where it cannot be read, which is where some of those captures are interesting.
fn of_capture(file: &Path) -> Vec<Seed> {
    let frames = CaptureReader::open(file).into_iter().flatten();
    let frames = frames.map_while(Result::ok).enumerate();
    frames
        .flat_map(|(number, frame)| of_frame(number, &frame.bytes))
        .collect()
}

//! The one table at the end.

use crate::frames::{PAYLOAD, SEGMENTS};
use crate::hashing;
use crate::merging;
use crate::sampler::{Figures, Results};
use crate::segmentation::{PLACES, ROOFS, WORK, row};

const LABEL: usize = 40;
const CELL: usize = 32;

/// Gbit/s of payload that segmentation with both checksums should reach, cold and hot.
const REACH: [(bool, f64); 2] = [(false, 60.0), (true, 200.0)];
/// Nanoseconds that the hash of 12 bytes should take at most.
const REACH_TOEPLITZ: f64 = 4.0;

/// Prints everything that was measured.
pub fn print(results: &Results) {
    println!("\nNanoseconds an operation, least / median of the samples; `-` was not run.");
    heading("a segment of 1400 bytes (Gbit/s)", &WORK);
    for place in PLACES {
        let name = row(place);
        line(&name, WORK.map(|work| results.get(&name, work)), throughput);
    }
    heading("the same in one piece (Gbit/s)", &ROOFS);
    for place in PLACES {
        let name = row(place);
        line(
            &name,
            ROOFS.map(|roof| results.get(&name, roof)),
            throughput,
        );
    }
    let checks = merging::CHECKS.map(|(check, _)| check);
    heading("a received segment", &checks);
    for flows in merging::FLOWS {
        let name = merging::row(flows);
        line(&name, checks.map(|check| results.get(&name, check)), plain);
    }
    heading("a hash", &hashing::FORMS);
    for input in hashing::INPUTS {
        line(
            input,
            hashing::FORMS.map(|form| results.get(input, form)),
            plain,
        );
    }
    println!();
    compare(results);
    reach(results);
}

fn heading(label: &str, columns: &[&str]) {
    let columns: String = columns
        .iter()
        .map(|name| format!("{name:>CELL$}"))
        .collect();
    println!("\n{label:<LABEL$}{columns}");
}

fn line<const N: usize>(
    label: &str,
    cells: [Option<Figures>; N],
    show: impl Fn(Figures) -> String,
) {
    let cells: String = cells
        .into_iter()
        .map(|figures| format!("{:>CELL$}", figures.map_or("-".into(), &show)))
        .collect();
    println!("{label:<LABEL$}{cells}");
}

fn plain(figures: Figures) -> String {
    format!("{:.1} / {:.1}", figures.least, figures.median)
}

fn throughput(figures: Figures) -> String {
    format!("{} ({:.0})", plain(figures), gigabits(figures.median))
}

/// Bits of payload a nanosecond, if a segment takes so long.
fn gigabits(nanoseconds: f64) -> f64 {
    (PAYLOAD * 8) as f64 / SEGMENTS as f64 / nanoseconds
}

/// Says how near to its roof the work on the payload comes.
fn compare(results: &Results) {
    for place in PLACES {
        let name = row(place);
        for (work, roof) in WORK[1..].iter().zip(ROOFS) {
            if let (Some(work_figures), Some(roof_figures)) =
                (results.get(&name, work), results.get(&name, roof))
            {
                let part = roof_figures.median / work_figures.median;
                println!("{name}, {work}: {part:.2} of {roof}");
            }
        }
    }
}

/// Says which rows fall short.
fn reach(results: &Results) {
    for place in PLACES {
        let Some((_, least)) = REACH.iter().find(|(is_hot, _)| *is_hot == place.1) else {
            continue;
        };
        for work in &WORK[1..] {
            if let Some(figures) = results.get(&row(place), work)
                && gigabits(figures.median) < *least
            {
                let found = gigabits(figures.median);
                println!(
                    "falls short of {least} Gbit/s: {}, {work}: {found:.0}",
                    row(place)
                );
            }
        }
    }
    for form in &hashing::FORMS[1..] {
        if let Some(figures) = results.get(hashing::INPUTS[0], form)
            && figures.median > REACH_TOEPLITZ
        {
            println!(
                "falls short of {REACH_TOEPLITZ} ns: {}, {form}: {}",
                hashing::INPUTS[0],
                plain(figures)
            );
        }
    }
}

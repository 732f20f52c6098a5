//! The one table at the end.

use crate::headers;
use crate::mixes::{self, TYPICAL};
use crate::network::Reach;
use crate::pages::Pages;
use crate::sampler::{Figures, Results};
use crate::tables;
use crate::whole_path::{
    DIRECTIONS, DISTRIBUTIONS, HANDOVERS, LENGTHS, MIXES, REACHES, RECORDS, column, row,
};

/// What a packet should cost at most, in nanoseconds, in batches of 32 from hot buffers.
const REACH: [(u32, f64); 2] = [(1_000, 25.0), (1_000_000, 45.0)];
const LABEL: usize = 50;
const CELL: usize = 18;

/// Prints everything that was measured: nanoseconds an operation, least and median sample.
pub fn print(results: &Results) {
    println!("\nNanoseconds, least / median of the samples; `-` was not run.");
    whole_path(results);
    contests(results);
    hostile(results);
    reach(results);
}

fn heading(label: &str, columns: impl Iterator<Item = String>) {
    let columns: String = columns.map(|name| format!("{name:>CELL$}")).collect();
    println!("\n{label:<LABEL$}{columns}");
}

fn line(label: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.map(|cell| format!("{cell:>CELL$}")).collect();
    println!("{label:<LABEL$}{cells}");
}

fn cell(figures: Option<Figures>) -> String {
    figures.map_or_else(
        || "-".into(),
        |figures| format!("{:.1} / {:.1}", figures.least, figures.median),
    )
}

fn columns() -> impl Iterator<Item = String> {
    HANDOVERS
        .iter()
        .flat_map(|(_, _, handover)| LENGTHS.map(|length| column(handover, length)))
}

/// All rows of the whole path: pages, method, direction, records, distribution.
fn rows() -> Vec<(Pages, &'static str, &'static str, u32, &'static str)> {
    let mut rows = Vec::new();
    for pages in [Pages::Huge, Pages::Small] {
        for (_, reach) in REACHES {
            for (_, direction) in DIRECTIONS {
                for records in RECORDS {
                    for (_, distribution) in DISTRIBUTIONS {
                        rows.push((pages, reach, direction, records, distribution));
                    }
                }
            }
        }
    }
    rows
}

fn whole_path(results: &Results) {
    heading("whole path: pages, method, direction, records", columns());
    for (pages, reach, direction, records, distribution) in rows() {
        let name = row(pages, reach, direction, records, distribution);
        line(
            &name,
            columns().map(|column| cell(results.get(&name, &column))),
        );
    }
}

fn contests(results: &Results) {
    heading(
        "headers",
        headers::CONTESTANTS.iter().map(|name| (*name).into()),
    );
    for work in headers::WORK {
        line(
            work,
            headers::CONTESTANTS
                .iter()
                .map(|contestant| cell(results.get(work, contestant))),
        );
    }
    heading(
        "table lookup (hashbrown with foldhash)",
        tables::CONTESTANTS.iter().map(|name| (*name).into()),
    );
    for entries in tables::ENTRIES {
        for asked in tables::ASKED {
            let name = tables::row(entries, asked);
            line(
                &name,
                tables::CONTESTANTS
                    .iter()
                    .map(|contestant| cell(results.get(&name, contestant))),
            );
        }
    }
}

fn hostile(results: &Results) {
    let names = ["ns", "of typical"];
    heading(
        "mixes, 1000000 records, 32 hot 64, huge pages",
        names.iter().map(|name| (*name).into()),
    );
    for (reach, reach_name) in [(Reach::Nvgre, REACHES[0].1), (Reach::Rewrite, REACHES[1].1)] {
        let mixes = mixes::all(reach);
        for mix in &mixes {
            let figures = results.get(MIXES, &mix.full_name(reach_name));
            let typical = mixes
                .iter()
                .find(|other| other.name == TYPICAL && other.direction == mix.direction)
                .and_then(|typical| results.get(MIXES, &typical.full_name(reach_name)));
            let ratio = match (figures, typical) {
                (Some(figures), Some(typical)) => format!("{:.2}", figures.median / typical.median),
                _ => "-".into(),
            };
            line(
                &mix.full_name(reach_name),
                [cell(figures), ratio].into_iter(),
            );
        }
    }
}

/// Says which rows fall short.
fn reach(results: &Results) {
    println!();
    for (pages, reach, direction, records, distribution) in rows() {
        let Some((_, most)) = REACH.iter().find(|(number, _)| *number == records) else {
            continue;
        };
        let name = row(pages, reach, direction, records, distribution);
        let hot = column(HANDOVERS[0].2, LENGTHS[0]);
        if let Some(figures) = results.get(&name, &hot)
            && figures.median > *most
        {
            println!(
                "falls short of {most} ns: {name}, {hot}: {:.1} / {:.1}",
                figures.least, figures.median
            );
        }
    }
}

//! What became of everything, a line a phase.

use serde_json::json;

use crate::book::{Book, Phase};

/// Prints all phases in which anything was sent.
pub fn print(book: &Book, as_json: bool) {
    if !as_json {
        println!(
            "{:<24} {:>8} {:>8} {:>6} {:>7} {:>9} {:>12} {:>7} {:>8} {:>7} {:>9}  worst gap",
            "phase",
            "sent",
            "received",
            "lost",
            "doubled",
            "reordered",
            "misdelivered",
            "corrupt",
            "gap ms",
            "sent ms",
            "delay ms",
        );
    }
    for phase in book.phases().iter().filter(|phase| phase.rounds > 0) {
        if as_json {
            println!("{}", object(phase));
        } else {
            print_row(phase);
        }
    }
}

fn print_row(phase: &Phase) {
    print!(
        "{:<24} {:>8} {:>8} {:>6} {:>7} {:>9} {:>12} {:>7} {:>8.1} {:>7.1} {:>9.1}  {}",
        phase.name,
        phase.sent,
        phase.received,
        phase.lost() + phase.unsent,
        phase.duplicated,
        phase.reordered,
        phase.misdelivered,
        phase.corrupt,
        milliseconds(phase.gap.arrivals),
        milliseconds(phase.gap.sendings),
        milliseconds(phase.longest_delay),
        phase.gap.flow,
    );
    let refused = format!("refused by the sender's kernel: {}", phase.refusal);
    let remarks = [
        (phase.skipped, "rounds left out, the machine was busy"),
        (phase.unsent, &refused),
        (phase.probes, "probes"),
    ];
    for (number, what) in remarks.iter().filter(|(number, _)| *number > 0) {
        print!("; {number} {what}");
    }
    println!("{}", if phase.is_good() { "" } else { "  <-- WRONG" });
}

fn object(phase: &Phase) -> serde_json::Value {
    json!({
        "phase": phase.name,
        "good": phase.is_good(),
        "rounds": phase.rounds,
        "skipped": phase.skipped,
        "sent": phase.sent,
        "unsent": phase.unsent,
        "refusal": phase.refusal,
        "received": phase.received,
        "lost": phase.lost(),
        "duplicated": phase.duplicated,
        "reordered": phase.reordered,
        "misdelivered": phase.misdelivered,
        "corrupt": phase.corrupt,
        "probes": phase.probes,
        "longest_gap_ms": milliseconds(phase.gap.arrivals),
        "longest_gap_flow": phase.gap.flow,
        "longest_gap_between_sendings_ms": milliseconds(phase.gap.sendings),
        "longest_delay_ms": milliseconds(phase.longest_delay),
    })
}

fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

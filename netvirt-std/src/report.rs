//! Tables of plain text for people.

use std::fmt;
use std::time::Duration;

/// On which side the cells of a column line up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table of plain text: a line of titles, a rule, and a line a row; columns as wide as they must be.
///
/// ```
/// use netvirt_std::report::{Align, Table};
///
/// let mut table = Table::new([("VSID", Align::Right), ("address", Align::Left)]);
/// table.row([&5001, &"10.0.0.5"]);
/// assert_eq!(table.to_string(), "VSID  address\n────  ────────\n5001  10.0.0.5\n");
/// ```
#[derive(Debug, Clone)]
pub struct Table<const COLUMNS: usize> {
    titles: [&'static str; COLUMNS],
    align: [Align; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub fn new(columns: [(&'static str, Align); COLUMNS]) -> Self {
        Self {
            titles: columns.map(|(title, _)| title),
            align: columns.map(|(_, align)| align),
            rows: Vec::new(),
        }
    }

    /// Adds a row at the end.
    pub fn row(&mut self, cells: [&dyn fmt::Display; COLUMNS]) {
        self.rows.push(cells.map(ToString::to_string));
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> [usize; COLUMNS] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| width(&row[column]));
            cells.fold(width(self.titles[column]), usize::max)
        })
    }

    fn write_line(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: [&str; COLUMNS],
        widths: [usize; COLUMNS],
    ) -> fmt::Result {
        let mut line = String::new();
        for ((cell, align), column) in cells.into_iter().zip(self.align).zip(widths) {
            let space = " ".repeat(column - width(cell));
            match align {
                Align::Left => line.extend([cell, &space, "  "]),
                Align::Right => line.extend([&space, cell, "  "]),
            }
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let rule = widths.map(|width| "─".repeat(width));
        self.write_line(f, self.titles, widths)?;
        self.write_line(f, rule.each_ref().map(String::as_str), widths)?;
        for row in &self.rows {
            self.write_line(f, row.each_ref().map(String::as_str), widths)?;
        }
        Ok(())
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// A number of bytes as people say it: `1.5 KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut number = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while number >= 1024.0 && unit + 1 < UNITS.len() {
            number /= 1024.0;
            unit += 1;
        }
        write!(f, "{number:.1} {}", UNITS[unit])
    }
}

/// A number with three digits or so and a prefix of the SI, for rates: `12`, `1.5k`, `3.2M`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Si(pub f64);

impl fmt::Display for Si {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
        let mut number = self.0;
        let mut prefix = 0;
        // What would be rounded to a thousand is one of the next prefix.
        while number >= 999.5 && prefix + 1 < PREFIXES.len() {
            number /= 1000.0;
            prefix += 1;
        }
        let is_fine = prefix > 0 || number.fract() != 0.0;
        let digits = usize::from(number < 99.95 && is_fine);
        write!(f, "{number:.digits$}{}", PREFIXES[prefix])
    }
}

/// A time as people say it, in its two largest units: `48 µs`, `3 min 20 s`, `2 d 4 h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
        let seconds = self.0.as_secs();
        if seconds == 0 {
            return match self.0.as_nanos() {
                0 => f.write_str("0 s"),
                nanos @ ..1_000 => write!(f, "{nanos} ns"),
                nanos @ ..1_000_000 => write!(f, "{} µs", nanos / 1_000),
                nanos => write!(f, "{} ms", nanos / 1_000_000),
            };
        }
        let place = UNITS.iter().position(|(unit, _)| seconds >= *unit);
        let units = &UNITS[place.unwrap_or(UNITS.len() - 1)..];
        let (unit, name) = units[0];
        write!(f, "{} {name}", seconds / unit)?;
        match units.get(1) {
            Some((smaller, name)) if seconds % unit / smaller > 0 => {
                write!(f, " {} {name}", seconds % unit / smaller)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        let mut table = Table::new([
            ("machine", Align::Left),
            ("frames", Align::Right),
            ("verdict", Align::Left),
        ]);
        table.row([&"röt-1", &7, &"delivered"]);
        table.row([&"blue-gateway", &12345, &""]);
        let expected = "\
machine       frames  verdict
────────────  ──────  ─────────
röt-1              7  delivered
blue-gateway   12345
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn bytes_are_said_in_the_largest_unit_that_fits() {
        let said = [0, 1023, 1024, 1536, 80 << 20, usize::MAX].map(|n| Bytes(n).to_string());
        assert_eq!(
            said[..5],
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "80.0 MiB"]
        );
        assert!(said[5].ends_with("iB"));
    }

    #[test]
    fn rates_have_three_digits_or_so() {
        let numbers = [
            0.0,
            7.0,
            7.25,
            99.96,
            999.4,
            999.6,
            1_500.0,
            99_960.0,
            3_210_000.0,
            4e15,
        ];
        let said = numbers.map(|number| Si(number).to_string());
        assert_eq!(
            said,
            [
                "0", "7", "7.2", "100", "999", "1.0k", "1.5k", "100k", "3.2M", "4000T"
            ]
        );
    }

    #[test]
    fn times_are_said_in_their_two_largest_units() {
        let said = [
            0, 1, 59, 60, 61, 3_600, 3_661, 86_399, 86_400, 90_000, 10_000_000,
        ]
        .map(|seconds| Age(Duration::from_secs(seconds)).to_string());
        assert_eq!(
            said,
            [
                "0 s",
                "1 s",
                "59 s",
                "1 min",
                "1 min 1 s",
                "1 h",
                "1 h 1 min",
                "23 h 59 min",
                "1 d",
                "1 d 1 h",
                "115 d 17 h"
            ]
        );
        let short = [999, 1_000, 48_700, 1_000_000, 999_999_999]
            .map(|nanos| Age(Duration::from_nanos(nanos)).to_string());
        assert_eq!(short, ["999 ns", "1 µs", "48 µs", "1 ms", "999 ms"]);
    }
}

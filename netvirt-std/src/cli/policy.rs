//! Reading the policy file.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use netvirt_std::policy_file::{Diagnostics, HostPolicy, PolicyFile};

use super::{Failure, complain};

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// The text of a policy file. What comes through a pipe can be read only once.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let read = match is_standard_input(path) {
        true => io::read_to_string(io::stdin().lock()),
        false => fs::read_to_string(path),
    };
    read.map_err(|error| Failure::Impossible(format!("{}: {error}", name(path))))
}

/// Reads a policy file, and passes its warnings on.
pub fn read(path: &Path) -> Result<PolicyFile, Failure> {
    parse(&read_text(path)?, path)
}

/// The same of its text.
pub fn parse(text: &str, path: &Path) -> Result<PolicyFile, Failure> {
    let file = PolicyFile::parse(text, &name(path)).map_err(found)?;
    if !file.warnings().is_empty() {
        complain(&file.warnings().render(is_colourful()));
    }
    Ok(file)
}

/// Reads a policy file that another command works from, and takes the part of one host.
pub fn of_host(path: &Path, name: &str) -> Result<HostPolicy, Failure> {
    let file = read(path).map_err(Failure::into_bad_input)?;
    let host = file.for_host(name);
    host.map_err(|unknown| Failure::Impossible(unknown.to_string()))
}

/// The file's name in messages.
pub fn name(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

pub fn found(diagnostics: Diagnostics) -> Failure {
    Failure::Found(diagnostics.render(is_colourful()))
}

/// Whether who reads standard error sees colours (<https://no-color.org>).
pub fn is_colourful() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

//! `netvirt allocate`

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use netvirt_std::policy_file::allocate;
use netvirt_std::report::{Align, Table};

use super::{Failure, policy};

/// Gives rewrite addresses their provider addresses, writes them into the file, and says which.
pub fn run(path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    if policy::is_standard_input(path) {
        return Err(Failure::Impossible(
            "addresses are written into the policy file: give its path".into(),
        ));
    }
    let text = policy::read_text(path)?;
    let (new_text, assigned) = allocate(&text, &policy::name(path)).map_err(policy::found)?;
    let name = path.display();
    if assigned.is_empty() {
        writeln!(out, "{name} needs no provider address and is unchanged.")?;
        return Ok(());
    }
    replace(path, &new_text)
        .map_err(|error| Failure::Impossible(format!("{name}: not written: {error}")))?;
    let mut table = Table::new([
        ("machine", Align::Left),
        ("customer address", Align::Left),
        ("provider address", Align::Left),
    ]);
    for given in &assigned {
        table.row([&given.machine, &given.address, &given.provider_address]);
    }
    write!(out, "Written into {name}:\n\n{table}")?;
    Ok(())
}

/// Puts a new text in the place of a file's, whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The file itself, not a symbolic link to it, is replaced, by one in its own directory: only there is a
    // rename one step.
    let path = fs::canonicalize(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.as_file()
        .set_permissions(fs::metadata(&path)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}

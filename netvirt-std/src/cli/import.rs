//! `netvirt import`

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use netvirt_std::import;
use netvirt_std::policy_file::{Diagnostics, Severity};

use super::{Failure, ImportArgs, complain, plural, policy};

/// Makes a policy file out of a script, and says what had to be assumed.
pub fn run(args: &ImportArgs, out: &mut impl Write) -> Result<(), Failure> {
    let script = read(&args.file)?;
    let imported = import::import(&script, &policy::name(&args.file)).map_err(refused)?;
    if !imported.told.is_empty() {
        complain(&imported.told.render(policy::is_colourful()));
    }
    let Some(path) = &args.output else {
        return Ok(write!(out, "{}", imported.policy)?);
    };
    let name = path.display();
    write_new(path, &imported.policy).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::Impossible(format!(
            "{name}: it exists already: remove it, or choose another name"
        )),
        _ => Failure::Impossible(format!("{name}: not written: {error}")),
    })?;
    writeln!(out, "Written into {name}.")?;
    Ok(())
}

/// Ends with what it comes to: much may be told before that had only to be assumed.
fn refused(told: Diagnostics) -> Failure {
    let errors = told
        .iter()
        .filter(|told| told.severity() == Severity::Error);
    let errors = plural(errors.count(), "error");
    let told = told.render(policy::is_colourful());
    Failure::Found(format!("{told}\n\n{errors}; nothing was written"))
}

fn read(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let bytes = fs::read(path).map_err(|error| Failure::Impossible(format!("{name}: {error}")))?;
    import::decode(&bytes).map_err(|error| Failure::Impossible(format!("{name}: {error}")))
}

/// Writes a file that is not there yet: what an operator has corrected in one is not lost.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

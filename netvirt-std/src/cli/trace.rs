//! `netvirt trace`

use std::io::Write;

use super::{Failure, TraceArgs};

pub fn run(_args: &TraceArgs, _out: &mut impl Write) -> Result<(), Failure> {
    Ok(())
}

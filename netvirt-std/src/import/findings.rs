//! What import has to say about a script.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::policy_file::{Diagnostic, Diagnostics, Log, Severity, Span};

/// That something was wrong and has been said: whoever needed it gives up in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted;

pub type Result<T> = std::result::Result<T, Noted>;

/// What was found so far. The body of a loop runs often; what is wrong in it is told once.
#[derive(Debug, Default)]
pub struct Findings {
    log: Log,
    told: RefCell<BTreeSet<(usize, usize, String)>>,
}

impl Findings {
    pub fn note(&self, finding: Diagnostic) {
        let Span { start, end } = finding.place().span;
        let message = finding.message().to_owned();
        if self.told.borrow_mut().insert((start, end, message)) {
            self.log.note(finding);
        }
    }

    /// Notes an error, which takes the place of the value that was wanted.
    pub fn refuse<T>(&self, finding: Diagnostic) -> Result<T> {
        debug_assert_eq!(finding.severity(), Severity::Error);
        self.note(finding);
        Err(Noted)
    }

    pub fn has_errors(&self) -> bool {
        self.log.has_errors()
    }

    pub fn into_diagnostics(self, file_name: &str, text: &str) -> Diagnostics {
        self.log.into_diagnostics(file_name, text)
    }
}

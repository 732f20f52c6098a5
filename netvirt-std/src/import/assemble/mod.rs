//! From the tables of all hosts to the one network that they are part of.
//!
//! What two hosts say of the same thing must be the same. What only a policy file needs and no command states is
//! assumed, and said.

mod customer;
mod hosts;
mod machines;
mod names;
mod provider;
mod provider_routes;
mod records;

use super::findings::Findings;
use super::network::Network;
use super::tables::{At, State};
use crate::policy_file::{Diagnostic, Span};
use records::LookupRecord;

/// Puts the network together; what cannot be described, or contradicts itself, is noted.
pub fn assemble(state: &State, findings: &Findings) -> Network {
    let assembler = Assembler {
        state,
        findings,
        // What a refused command would have said is not missed on top of that.
        complete: !findings.has_errors(),
    };
    let records = assembler.records();
    let provider = assembler.provider(&records);
    let domains = assembler.domains(&records);
    let mut machines = assembler.machines(&records, &provider, &domains);
    assembler.name(&mut machines, &provider);
    if machines.is_empty() && assembler.complete {
        findings.note(
            Diagnostic::error(&(0..0), "the script describes no virtual machine").remedy(
                "import a script that makes lookup records with New-NetVirtualizationLookupRecord",
            ),
        );
    }
    Network {
        physical: provider.networks,
        hosts: provider.hosts,
        domains,
        machines,
    }
}

struct Assembler<'s> {
    state: &'s State,
    findings: &'s Findings,
    /// Whether every command was understood: only then is anything missed.
    complete: bool,
}

impl Assembler<'_> {
    /// Notes something that is missed, unless a command that was not understood may have said it.
    fn miss(&self, finding: Diagnostic) {
        if self.complete {
            self.findings.note(finding);
        }
    }

    /// Notes two statements that cannot both hold.
    fn contradiction<A, B>(&self, later: &At<A>, first: &At<B>, message: String, remedy: &str) {
        let finding = Diagnostic::error(&later.span, message).remedy(remedy);
        self.findings.note(beside(
            finding,
            &later.span,
            &first.span,
            "the other is here",
        ));
    }

    /// Says as a warning what is assumed.
    fn assume(&self, place: &Span, what: String, remedy: impl Into<String>) -> String {
        let message = format!("assumed: {what}");
        self.findings
            .note(Diagnostic::warning(place, message).remedy(remedy));
        what
    }
}

/// Adds another place, unless it is the same.
fn beside(finding: Diagnostic, place: &Span, other: &Span, text: &str) -> Diagnostic {
    if place == other {
        finding
    } else {
        finding.there(other, text)
    }
}

//! Scripts of existing Hyper-V Network Virtualization automation, made into a policy file.
//!
//! [`import`] follows a PowerShell script that is made of the cmdlets of NetWNV (`New-NetVirtualizationLookupRecord`
//! and so on) with literal values, variables, lists, hashtables and loops over them. It keeps the tables that the
//! cmdlets would make on each host, puts them together to the one network that they are part of, and writes that as a
//! policy file.
//!
//! Nothing is left out or guessed in silence. What is not understood, or cannot be said in a policy file, is an error
//! with its place and a remedy, and all of them are told at once. What no command states is assumed, and said as a
//! warning and in a comment of the file. What has no bearing on the network is told in a note.
//!
//! # What is followed
//!
//! | | |
//! |---|---|
//! | `New-`, `Set-`, `Get-`, `Remove-NetVirtualization…` | `LookupRecord`, `CustomerRoute`, `ProviderAddress`, `ProviderRoute`; with `-CimSession`, filters and pipelines |
//! | `Set-VMNetworkAdapter -VirtualSubnetId` | also behind `Get-VM` or `Get-VMNetworkAdapter`, with `Where-Object { $_.… -eq … }` |
//! | `New-CimSession`, `Invoke-Command` | which host the commands run on |
//! | `foreach`, `ForEach-Object`, `for` that counts up | over literal lists, hashtables and what has been made of them |
//! | texts, here-strings, `@( )`, `@{ }`, splatting, `$( )` | members and elements of these |
//!
//! Everything else is refused: conditions, functions, operators, and what only a running host could answer.

mod assemble;
mod emit;
mod evaluate;
mod findings;
mod network;
mod script;
mod tables;

use std::fmt;

use crate::policy_file::{Diagnostic, Diagnostics, PolicyFile, Severity, Span};
use emit::Written;
use findings::Findings;

/// A policy file made from a script.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The text of the policy file.
    pub policy: String,
    /// What was assumed or left out, at its place in the script.
    pub told: Diagnostics,
}

/// Makes a policy file from the text of a script. `file_name` stands in the diagnostics.
///
/// ```
/// use netvirt_std::import::import;
/// use netvirt_std::policy_file::PolicyFile;
///
/// let script = include_str!("../../../examples/two-hosts.ps1");
/// let imported = import(script, "two-hosts.ps1").unwrap();
/// let file = PolicyFile::parse(&imported.policy, "two-hosts.toml").unwrap();
/// assert_eq!(file.summary().machines, 4);
/// ```
///
/// # Errors
///
/// Everything that is not understood, contradicts itself, or cannot be said in a policy file, and what was assumed
/// so far.
pub fn import(text: &str, file_name: &str) -> Result<Imported, Diagnostics> {
    let findings = Findings::default();
    let script = script::parse(text, &findings);
    let state = evaluate::evaluate(&script, &findings);
    let network = assemble::assemble(&state, &findings);
    let mut policy = String::new();
    if !findings.has_errors() {
        let written = emit::write(&network, file_name);
        check(&written, &findings);
        policy = written.text;
    }
    let failed = findings.has_errors();
    let told = findings.into_diagnostics(file_name, text);
    if failed {
        Err(told)
    } else {
        Ok(Imported { policy, told })
    }
}

/// Sees that the policy file is good. What is wrong with it is said of the commands that it comes from.
fn check(written: &Written, findings: &Findings) {
    let found = match PolicyFile::parse(&written.text, "policy file") {
        Ok(file) => file.warnings().clone(),
        Err(found) => found,
    };
    for finding in found.iter() {
        let origin = |span: &Span| written.origin(span).cloned().unwrap_or(0..0);
        let place = origin(&finding.place().span);
        let mut told = match finding.severity() {
            Severity::Error => Diagnostic::error(&place, finding.message()),
            Severity::Warning => Diagnostic::warning(&place, finding.message()),
            Severity::Note => Diagnostic::note(&place, finding.message()),
        };
        for label in finding.related() {
            let related = origin(&label.span);
            if related != place {
                told = told.there(&related, label.text.as_str());
            }
        }
        if let Some(remedy) = finding.remedy_text() {
            told = told.remedy(remedy);
        }
        findings.note(told);
    }
}

/// The text of a script's file: UTF-8, or UTF-16 as Windows PowerShell writes it.
///
/// # Errors
///
/// It is neither.
pub fn decode(bytes: &[u8]) -> Result<String, NoText> {
    let sixteen = |unit: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok();
        text.filter(|_| rest.is_empty())
    };
    let text = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        [0xff, 0xfe, rest @ ..] => sixteen(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => sixteen(u16::from_be_bytes, rest),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    };
    text.ok_or(NoText)
}

/// That a file is not text in an encoding that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoText;

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is neither UTF-8 nor UTF-16: save it as UTF-8")
    }
}

impl std::error::Error for NoText {}

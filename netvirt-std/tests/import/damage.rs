//! Whatever a script has become, it is read to the end, and what is said about it can be shown.

use std::fmt::Write;

use netvirt_std::import::import;
use netvirt_std::policy_file::PolicyFile;
use proptest::prelude::*;

use crate::{SMALL, TWO_HOSTS};

/// Passages that mean something somewhere in a script.
const PASSAGES: &[&str] = &[
    "",
    "\"",
    "'",
    "`",
    "`\n",
    "\n",
    "\r\n",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "@(",
    "@{",
    "$(",
    "@\"\n",
    "\n\"@",
    "<#",
    "#>",
    "#",
    "$",
    "${",
    "$hosts",
    "$_",
    "$using:x",
    "@hosts",
    "|",
    ";",
    ",",
    "=",
    "+=",
    "-eq",
    "-lt",
    "++",
    "..",
    "::",
    ".",
    ".Length",
    ".GetEnumerator()",
    "[0]",
    "[string]",
    "[int[]]",
    "if ($x) { } else { }",
    "foreach ($a in $hosts) {",
    "for ($i = 0; $i -lt 3; $i++) {",
    "while",
    "function f {",
    "param(",
    "-VirtualSubnetID",
    "-CimSession:",
    "5001",
    "0",
    "\"10.0.0.5\"",
    "::",
    "ä",
    "–",
    "“",
    "Remove-NetVirtualizationLookupRecord",
    "Set-NetVirtualizationLookupRecord -ProviderAddress 192.168.4.22",
    "Get-VM x |",
    "Invoke-Command -ComputerName hv01 {",
    "2>&1",
    "-WhatIf",
    "-Type GatewayWildcard",
];

fn damaged() -> impl Strategy<Value = String> {
    let edit = (
        any::<prop::sample::Index>(),
        0..24usize,
        prop::sample::select(PASSAGES),
    );
    let edits = prop::collection::vec(edit, 1..5);
    (prop::sample::select(&[SMALL, TWO_HOSTS][..]), edits).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (place, removed, passage) in edits {
            let start = place.index(letters.len());
            let end = letters.len().min(start + removed);
            letters.splice(start..end, passage.chars());
        }
        letters.into_iter().collect()
    })
}

fn soup() -> impl Strategy<Value = String> {
    let passage = prop_oneof![
        4 => prop::sample::select(PASSAGES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec((passage, any::<bool>()), 0..60).prop_map(|passages| {
        let mut text = String::new();
        for (passage, space) in passages {
            let _ = write!(text, "{passage}{}", if space { " " } else { "" });
        }
        text
    })
}

/// A script becomes a good policy file, or it is said why not.
fn is_used_or_explained(text: &str) {
    match import(text, "network.ps1") {
        Ok(imported) => {
            assert!(!imported.told.has_errors());
            assert!(PolicyFile::parse(&imported.policy, "network.toml").is_ok());
        }
        Err(told) => {
            assert!(told.has_errors());
            assert!(told.to_string().contains("network.ps1:"));
        }
    }
}

proptest! {
    #[test]
    fn a_damaged_script_is_used_or_explained(text in damaged()) {
        is_used_or_explained(&text);
    }

    #[test]
    fn any_mixture_of_passages_is_used_or_explained(text in soup()) {
        is_used_or_explained(&text);
    }

    #[test]
    fn any_text_is_used_or_explained(text in "\\PC*") {
        is_used_or_explained(&text);
    }
}

#[test]
fn what_grows_or_goes_on_for_ever_comes_to_an_end() {
    let many = |text: &str| text.repeat(50_000);
    let scripts = [
        // Nested deeper than anyone nests.
        many("("),
        many("@("),
        many("@{a="),
        many("{"),
        many("\"$("),
        many("[int]"),
        many("foreach ($a in 1) {"),
        many("$a["),
        many("if {"),
        // Long rather than deep.
        format!("$a = 1{}", many(" + 1")),
        format!("$a = 1\n$a{}", many(".b")),
        format!("$a = 1{}", many(", 1")),
        many("Foo | "),
        many("'' "),
        many("$x = 1 "),
        // Growing with every turn.
        format!("$a = 'aa'\n{}", many("$a = \"$a$a\"\n")),
        format!("$a = 1, 1\n{}", many("$a = @($a; $a)\n")),
        format!("$a = 1\n{}", many("$a = @{ a = $a }\n")),
        format!("$a = 1\n{}", many("$a = $a, $a\n")),
        format!("$a = $env:x\n{}", many("$a = $a.a\n")),
        // Never at an end.
        "for ($i = 0; $i -lt 9223372036854775807; $i++) { 1 }".to_owned(),
        "for ($i = 0; $i -lt 99999999; $i++) { for ($j = 0; $j -lt 99999999; $j++) { $a = \"$i\" } }".to_owned(),
        "$b = { Invoke-Command -ScriptBlock $b }; Invoke-Command -ScriptBlock $b".to_owned(),
        "$b = { 1 | % $b }; 1 | % $b".to_owned(),
    ];
    for script in scripts {
        let told = import(&script, "network.ps1").unwrap_err();
        assert!(told.has_errors());
    }
}
